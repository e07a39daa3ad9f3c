/* Writes and reads in flight, which land in any order. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "appliance/base/prng.h"
#include "tests/storage/sim_internal.h"

int sim_queue_new(struct io *io, unsigned depth, void *buffers, size_t buffers_size, struct io_queue **ret_queue)
{
	struct sim *sim = sim_of(io);
	struct sim_queue *queue;

	(void)buffers;
	(void)buffers_size;
	if (depth == 0 || depth > SIM_QUEUE_MAX)
		return -EINVAL;
	queue = sim_must(calloc(1, sizeof(*queue)));
	sim_lock(sim);
	queue->queue.ops = &sim_ops_table;
	queue->sim = sim;
	queue->depth = depth;
	queue->epoch = sim->epoch;
	queue->next = sim->queues;
	sim->queues = queue;
	*ret_queue = &queue->queue;
	return sim_unlock(sim, 0);
}

void sim_queue_free(struct io_queue *io_queue)
{
	struct sim_queue *queue = (struct sim_queue *)io_queue;
	struct sim *sim;
	struct sim_queue **at;

	if (queue == NULL)
		return;
	sim = queue->sim;
	sim_lock(sim);
	for (at = &sim->queues; *at != queue; at = &(*at)->next)
		;
	*at = queue->next;
	for (unsigned i = 0; i < queue->count; i++)
		free(queue->writes[i].copy);
	free(queue);
	(void)sim_unlock(sim, 0);
}

static int do_submit(struct sim_queue *queue, struct sim_file *file, const struct sim_write *write)
{
	struct sim *sim = queue->sim;
	struct sim_write *slot = &queue->writes[queue->count];
	bool lost = sim->off || file->epoch != sim->epoch;
	int r;

	if (queue->count == queue->depth)
		return -EAGAIN;
	if (sim_misaligned(file, write->offset, write->buffer, write->size))
		return -EINVAL;
	r = sim_gate_file(file, SIM_SUBMIT);
	*slot = *write;
	slot->inode = file->inode;
	slot->lost = lost;
	slot->copy = sim_must(malloc(write->size));
	memcpy(slot->copy, write->buffer, write->size);
	slot->error = sim_gate_result(r);
	if (!lost && sim_inode_grow(sim, file->inode, write->offset + write->size) < 0)
		slot->error = -ENOSPC;
	queue->count++;
	return 0;
}

int sim_submit(struct io_queue *io_queue, struct io_file *io_file, uint64_t offset, const void *buffer, size_t size,
	       uint64_t token)
{
	struct sim_queue *queue = (struct sim_queue *)io_queue;
	struct sim_write write = {.buffer = buffer, .offset = offset, .size = size, .token = token};

	sim_lock(queue->sim);
	return sim_unlock(queue->sim, do_submit(queue, sim_file_of(io_file), &write));
}

static int write_complete(struct sim *sim, struct sim_write *write, unsigned epoch)
{
	if (sim->off || epoch != sim->epoch)
		return -EIO;
	if (memcmp(write->buffer, write->copy, write->size) != 0) {
		fprintf(stderr, "sim_io: a buffer was changed while its write was in flight\n");
		abort();
	}
	if (write->error == 0)
		sim_inode_write(write->inode, write->offset, write->copy, write->size);
	else if (write->error != -ENOSPC)
		sim_inode_write_torn(sim, write->inode, write->offset, write->copy, write->size);
	sim_inode_save(write->inode, write->offset, write->size);
	return write->error;
}

int sim_reap(struct io_queue *io_queue, struct io_completion *ret_completions, unsigned max)
{
	struct sim_queue *queue = (struct sim_queue *)io_queue;
	struct sim *sim = queue->sim;
	unsigned done = 0;

	sim_lock(sim);
	for (unsigned i = 0; i < queue->count && done < max;) {
		struct sim_write *write = &queue->writes[i];

		if (!sim->off && prng_chance(&sim->prng, 400)) {
			i++;
			continue;
		}
		ret_completions[done++] = (struct io_completion){.token = write->token,
								 .result = write_complete(sim, write, queue->epoch)};
		free(write->copy);
		*write = queue->writes[--queue->count];
	}
	return sim_unlock(sim, (int)done);
}

struct sim_read {
	struct io_file *file;
	void *buffer;
	uint64_t offset;
	size_t size;
	uint64_t token;
};

struct sim_reader {
	struct io_reader reader;
	struct sim *sim;
	unsigned depth;
	unsigned count;
	struct sim_read reads[IO_READER_DEPTH_MAX];
};

int sim_reader_new(struct io *io, unsigned depth, struct io_reader **ret_reader)
{
	struct sim_reader *reader;

	if (depth == 0 || depth > IO_READER_DEPTH_MAX)
		return -EINVAL;
	reader = sim_must(calloc(1, sizeof(*reader)));
	reader->reader.ops = &sim_ops_table;
	reader->sim = sim_of(io);
	reader->depth = depth;
	*ret_reader = &reader->reader;
	return 0;
}

void sim_reader_free(struct io_reader *io_reader)
{
	struct sim_reader *reader = (struct sim_reader *)io_reader;

	if (reader == NULL)
		return;
	for (unsigned i = 0; i < reader->count; i++)
		memset(reader->reads[i].buffer, 0xa5, reader->reads[i].size);
	free(reader);
}

int sim_reader_submit(struct io_reader *io_reader, struct io_file *file, uint64_t offset, void *buffer, size_t size,
		      uint64_t token)
{
	struct sim_reader *reader = (struct sim_reader *)io_reader;

	if (reader->count == reader->depth)
		return -EAGAIN;
	if (sim_misaligned(sim_file_of(file), offset, buffer, size))
		return -EINVAL;
	memset(buffer, 0xa5, size); /* who looks too early sees that nothing is there */
	reader->reads[reader->count++] = (struct sim_read){file, buffer, offset, size, token};
	return 0;
}

int sim_reader_reap(struct io_reader *io_reader, struct io_completion *ret_completions, unsigned max, unsigned wait)
{
	struct sim_reader *reader = (struct sim_reader *)io_reader;
	unsigned done = 0;

	sim_lock(reader->sim);
	while (reader->count > 0 && done < max && (done < wait || prng_chance(&reader->sim->prng, 500))) {
		struct sim_read *read = &reader->reads[prng_below(&reader->sim->prng, reader->count)];

		ret_completions[done++] = (struct io_completion){
			.token = read->token,
			.result = (int)sim_do_read(sim_file_of(read->file), read->offset, read->buffer, read->size)};
		*read = reader->reads[--reader->count];
	}
	return sim_unlock(reader->sim, (int)done);
}
