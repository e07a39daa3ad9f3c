/*
 * Asynchronous reads of one thread: over an io_uring of its own, or, where there is none, plain reads done when they
 * are reaped.
 *
 * Both keep a slot for each read in flight; slots are the bound. Ring: submit only fills an entry of the ring, reap
 * hands all new ones to the kernel in one system call and waits in the same. A read that comes back short is carried on
 * with until it is whole or the file ends.
 */
#include <liburing.h>

#include "storage/io_real.h"

#include <errno.h>
#include <stdlib.h>

#define READER_AGAIN_MAX 16 /* how often the kernel may ask us to come again with one read */

struct reader_slot {
	struct io_file *file;
	uint8_t *buffer;
	uint64_t offset;
	uint64_t token;
	uint32_t size;
	uint32_t done;
	unsigned again;
};

/* Slots: free[0 … free_count) are the numbers of those not in flight. */
struct reader {
	struct io_reader reader;
	struct io_uring ring; /* not of the plain one */
	unsigned depth;
	unsigned free_count;
	uint8_t free[IO_READER_DEPTH_MAX];
	uint8_t next; /* plain: order does not matter, but nobody shall starve */
	struct reader_slot slots[IO_READER_DEPTH_MAX];
};

static struct reader *reader_of(struct io_reader *reader)
{
	return (struct reader *)reader;
}

static struct reader *reader_alloc(const struct io_ops *ops, unsigned depth)
{
	struct reader *reader = calloc(1, sizeof(*reader));

	if (reader == NULL)
		return NULL;
	reader->reader.ops = ops;
	reader->depth = depth;
	while (reader->free_count < depth) {
		reader->free[reader->free_count] = (uint8_t)reader->free_count;
		reader->free_count++;
	}
	return reader;
}

static unsigned in_flight(const struct reader *reader)
{
	return reader->depth - reader->free_count;
}

/* NULL when all are in flight. */
static struct reader_slot *slot_take(struct reader *reader, struct io_file *file, uint64_t offset, void *buffer,
				     size_t size, uint64_t token)
{
	struct reader_slot *slot;

	if (reader->free_count == 0)
		return NULL;
	slot = &reader->slots[reader->free[--reader->free_count]];
	*slot = (struct reader_slot){
		.file = file, .buffer = buffer, .offset = offset, .token = token, .size = (uint32_t)size};
	return slot;
}

static struct io_completion slot_give_back(struct reader *reader, struct reader_slot *slot, int result)
{
	reader->free[reader->free_count++] = (uint8_t)(slot - reader->slots);
	slot->file = NULL;
	return (struct io_completion){.token = slot->token, .result = result};
}

int io_ring_reader_new(const struct io_ops *ops, unsigned depth, struct io_reader **ret_reader)
{
	struct reader *reader;
	int r;

	if (depth == 0 || depth > IO_READER_DEPTH_MAX)
		return -EINVAL;
	reader = reader_alloc(ops, depth);
	if (reader == NULL)
		return -ENOMEM;
	r = io_ring_init(depth, &reader->ring);
	if (r < 0) {
		free(reader);
		return r;
	}
	*ret_reader = &reader->reader;
	return 0;
}

static void ring_start(struct reader *reader, struct reader_slot *slot)
{
	/* As many entries as slots: there is always one. */
	struct io_uring_sqe *sqe = io_uring_get_sqe(&reader->ring);

	io_uring_prep_read(sqe, ((struct io_real_file *)slot->file)->fd, slot->buffer + slot->done,
			   slot->size - slot->done, slot->offset + slot->done);
	io_uring_sqe_set_data64(sqe, (uint64_t)(slot - reader->slots));
}

int io_ring_reader_submit(struct io_reader *io_reader, struct io_file *file, uint64_t offset, void *buffer, size_t size,
			  uint64_t token)
{
	struct reader *reader = reader_of(io_reader);
	struct reader_slot *slot = slot_take(reader, file, offset, buffer, size, token);

	if (slot == NULL)
		return -EAGAIN;
	ring_start(reader, slot);
	return 0;
}

/* True when the read is over and `ret_completion` filled; false when the rest of it was started. */
static bool ring_finish(struct reader *reader, struct reader_slot *slot, int result,
			struct io_completion *ret_completion)
{
	bool again = (result == -EAGAIN || result == -EINTR) && slot->again++ < READER_AGAIN_MAX;

	if (result > 0) {
		slot->done += (uint32_t)result;
		/* Of a direct read what is left of a block is the end of the file: it could not be asked for again. */
		again = slot->done < slot->size && slot->done % IO_ALIGN == 0;
	}
	if (again) {
		ring_start(reader, slot);
		return false;
	}
	*ret_completion = slot_give_back(reader, slot, result < 0 ? result : (int)slot->done);
	return true;
}

/* Entries that the kernel did not take (it was short of memory) stay in the ring: the next call hands them over. */
static int ring_enter(struct reader *reader, unsigned wait)
{
	int r;

	if (wait == 0 && io_uring_sq_ready(&reader->ring) == 0)
		return 0;
	do {
		r = io_uring_submit_and_wait(&reader->ring, wait);
	} while (r == -EINTR);
	return r < 0 && r != -EAGAIN && r != -EBUSY ? r : 0;
}

int io_ring_reader_reap(struct io_reader *io_reader, struct io_completion *ret_completions, unsigned max, unsigned wait)
{
	struct reader *reader = reader_of(io_reader);
	struct io_uring_cqe *cqes[IO_READER_DEPTH_MAX];
	unsigned done = 0;

	while (done < max && in_flight(reader) > 0) {
		unsigned still = done < wait ? wait - done : 0;
		int r = ring_enter(reader, still < in_flight(reader) ? still : in_flight(reader));
		unsigned found = io_uring_peek_batch_cqe(
			&reader->ring, cqes, max - done < IO_READER_DEPTH_MAX ? max - done : IO_READER_DEPTH_MAX);

		if (r < 0 && found == 0)
			return done > 0 ? (int)done : r;
		for (unsigned i = 0; i < found; i++) {
			struct reader_slot *slot = &reader->slots[io_uring_cqe_get_data64(cqes[i])];

			if (ring_finish(reader, slot, cqes[i]->res, &ret_completions[done]))
				done++;
		}
		io_uring_cq_advance(&reader->ring, found);
		if (done >= wait)
			break;
	}
	return (int)done;
}

void io_ring_reader_free(struct io_reader *io_reader)
{
	struct reader *reader = reader_of(io_reader);
	struct io_completion completions[IO_READER_DEPTH_MAX];

	if (reader == NULL)
		return;
	while (in_flight(reader) > 0 && io_ring_reader_reap(io_reader, completions, IO_READER_DEPTH_MAX, 1) > 0)
		;
	io_uring_queue_exit(&reader->ring);
	free(reader);
}

int io_plain_reader_new(const struct io_ops *ops, unsigned depth, struct io_reader **ret_reader)
{
	struct reader *reader;

	if (depth == 0 || depth > IO_READER_DEPTH_MAX)
		return -EINVAL;
	reader = reader_alloc(ops, depth);
	if (reader == NULL)
		return -ENOMEM;
	*ret_reader = &reader->reader;
	return 0;
}

void io_plain_reader_free(struct io_reader *reader)
{
	free(reader);
}

int io_plain_reader_submit(struct io_reader *io_reader, struct io_file *file, uint64_t offset, void *buffer,
			   size_t size, uint64_t token)
{
	return slot_take(reader_of(io_reader), file, offset, buffer, size, token) == NULL ? -EAGAIN : 0;
}

int io_plain_reader_reap(struct io_reader *io_reader, struct io_completion *ret_completions, unsigned max,
			 unsigned wait)
{
	struct reader *reader = reader_of(io_reader);
	unsigned done = 0;

	if (wait == 0)
		wait = 1; /* who only polls gets on as well */
	for (unsigned i = 0; i < reader->depth && done < wait && done < max; i++) {
		struct reader_slot *slot = &reader->slots[reader->next++ % reader->depth];

		if (slot->file != NULL) {
			int64_t n = slot->file->ops->read(slot->file, slot->offset, slot->buffer, slot->size);

			ret_completions[done++] = slot_give_back(reader, slot, (int)n);
		}
	}
	return (int)done;
}
