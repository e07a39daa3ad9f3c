#include "tests/storage/sim_io.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

#include "appliance/base/prng.h"
#include "tests/storage/sim_internal.h"

int sim_gate(struct sim *sim, enum sim_kind kind)
{
	if (sim->off)
		return -EIO;
	if (kind != SIM_READ && ++sim->ops == sim->cut_at) {
		sim->off = true;
		return prng_chance(&sim->prng, 500) ? SIM_GATE_CUT : -EIO;
	}
	if (!(sim->fail_kinds & kind) || sim->fail_count == 0)
		return 0;
	if (sim->fail_skip > 0) {
		sim->fail_skip--;
		return 0;
	}
	sim->fail_count--;
	return -sim->fail_error;
}

int sim_gate_file(struct sim_file *file, enum sim_kind kind)
{
	return file->epoch != file->sim->epoch ? -EIO : sim_gate(file->sim, kind);
}

int sim_gate_result(int gated)
{
	return gated == SIM_GATE_CUT ? -EIO : gated;
}

static int sim_space(struct io *io, const char *path, struct io_space *ret_space)
{
	struct sim *sim = sim_of(io);
	uint64_t used;

	(void)path;
	sim_lock(sim);
	used = sim_used(sim);
	ret_space->total_bytes = sim->capacity > 0 ? sim->capacity : UINT64_C(1) << 50;
	ret_space->free_bytes = used < ret_space->total_bytes ? ret_space->total_bytes - used : 0;
	return sim_unlock(sim, 0);
}

const struct io_ops sim_ops_table = {
	.open = sim_open,
	.close = sim_close,
	.size = sim_size,
	.preallocate = sim_preallocate,
	.read = sim_read,
	.write_sync = sim_write_sync,
	.write = sim_write,
	.sync = sim_sync,
	.punch = sim_punch,
	.rename = sim_rename,
	.unlink = sim_unlink,
	.mkdir = sim_mkdir,
	.dir_sync = sim_dir_sync,
	.list = sim_list,
	.space = sim_space,
	.queue_new = sim_queue_new,
	.queue_free = sim_queue_free,
	.submit = sim_submit,
	.reap = sim_reap,
	.reader_new = sim_reader_new,
	.reader_free = sim_reader_free,
	.reader_submit = sim_reader_submit,
	.reader_reap = sim_reader_reap,
	.direct = sim_direct,
	.name = "simulated",
};

struct io *sim_new(uint64_t seed)
{
	struct sim *sim = sim_must(calloc(1, sizeof(*sim)));

	sim->io.ops = &sim_ops_table;
	sim->prng.state = seed;
	sim->names.seen = true;
	(void)pthread_mutex_init(&sim->lock, NULL);
	return &sim->io;
}

struct io *sim_free(struct io *io)
{
	struct sim *sim = sim_of(io);

	if (sim == NULL)
		return NULL;
	while (sim->inodes != NULL) {
		struct inode *next = sim->inodes->next;

		sim_inode_free(sim->inodes);
		sim->inodes = next;
	}
	free(sim->names.all);
	free(sim->names_safe.all);
	free(sim->log);
	free(sim->dirs);
	(void)pthread_mutex_destroy(&sim->lock);
	free(sim);
	return NULL;
}

uint64_t sim_ops(struct io *io)
{
	uint64_t ops;

	sim_lock(sim_of(io));
	ops = sim_of(io)->ops;
	(void)sim_unlock(sim_of(io), 0);
	return ops;
}

void sim_cut_at(struct io *io, uint64_t op)
{
	sim_lock(sim_of(io));
	sim_of(io)->cut_at = op;
	(void)sim_unlock(sim_of(io), 0);
}

bool sim_is_cut(struct io *io)
{
	bool off;

	sim_lock(sim_of(io));
	off = sim_of(io)->off;
	(void)sim_unlock(sim_of(io), 0);
	return off;
}

void sim_crash(struct io *io)
{
	struct sim *sim = sim_of(io);

	sim_lock(sim);
	for (struct sim_queue *queue = sim->queues; queue != NULL; queue = queue->next) {
		for (unsigned i = 0; i < queue->count && queue->epoch == sim->epoch; i++) {
			const struct sim_write *write = &queue->writes[i];

			if (!write->lost && write->offset + write->size <= write->inode->room)
				sim_inode_write_torn(sim, write->inode, write->offset, write->copy, write->size);
		}
	}
	for (struct inode *inode = sim->inodes; inode != NULL; inode = inode->next)
		sim_inode_crash(sim, inode);
	sim_names_crash(sim);
	sim->epoch++;
	sim->off = false;
	sim->cut_at = 0;
	sim->fail_count = 0;
	(void)sim_unlock(sim, 0);
}

void sim_fail(struct io *io, unsigned kinds, uint64_t nth, uint64_t count, int error)
{
	struct sim *sim = sim_of(io);

	sim_lock(sim);
	sim->fail_kinds = kinds;
	sim->fail_skip = nth > 0 ? nth - 1 : 0;
	sim->fail_count = count;
	sim->fail_error = error;
	(void)sim_unlock(sim, 0);
}

void sim_capacity(struct io *io, uint64_t bytes)
{
	sim_lock(sim_of(io));
	sim_of(io)->capacity = bytes;
	(void)sim_unlock(sim_of(io), 0);
}
