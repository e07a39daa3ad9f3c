/*
 * The inside of the simulated disk. An inode has two contents: `now`, which reads see, and `safe`, which survives;
 * `dirty` marks the sectors that differ or may. Names are a list too (`names`, what open sees), a durable list
 * (`names_safe`) and a log of changes between the two, which dir_sync applies for its directory. An inode without names
 * and open files becomes a ghost: its safe content is still on the medium.
 */
#ifndef GANTRY_TESTS_STORAGE_SIM_INTERNAL_H
#define GANTRY_TESTS_STORAGE_SIM_INTERNAL_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "appliance/base/prng.h"
#include "storage/io.h"
#include "tests/storage/sim_io.h"

#define SIM_SECTOR 512
#define SIM_BLOCK 4096
#define SIM_PATH_MAX 512
#define SIM_QUEUE_MAX 64

struct inode {
	struct inode *next;
	uint8_t *now;
	uint8_t *safe;
	uint8_t *dirty; /* a byte a sector */
	uint64_t room;  /* allocated bytes of each, whole blocks */
	uint64_t size;
	uint64_t size_safe;
	unsigned open_count;
	unsigned name_count; /* of `names`, not the durable ones */
	bool exposed;
	bool bad;
	uint64_t bad_offset;
	int deny_error;
};

struct name {
	char path[SIM_PATH_MAX];
	struct inode *inode;
};

struct names {
	struct name *all;
	size_t count;
	size_t room;
	bool seen; /* what open sees: counted in the inodes */
};

enum change_kind { CHANGE_CREATE, CHANGE_RENAME, CHANGE_UNLINK };

struct change {
	enum change_kind kind;
	char path[SIM_PATH_MAX];
	char to[SIM_PATH_MAX];
	struct inode *inode;
};

struct sim {
	struct io io;
	pthread_mutex_t lock;
	struct prng prng;
	struct inode *inodes;
	struct names names;
	struct names names_safe;
	struct change *log;
	size_t log_count;
	char (*dirs)[SIM_PATH_MAX];
	size_t dir_count;
	uint64_t capacity;
	uint64_t ops;
	uint64_t cut_at;
	bool off;
	unsigned epoch; /* grows with each crash */
	unsigned fail_kinds;
	uint64_t fail_skip;
	uint64_t fail_count;
	int fail_error;
	struct sim_queue *queues;
};

struct sim_file {
	struct io_file file;
	struct sim *sim;
	struct inode *inode;
	unsigned epoch;
	bool direct;
	bool writable;
};

struct sim_write {
	struct inode *inode;
	const void *buffer;
	uint8_t *copy;
	uint64_t offset;
	size_t size;
	uint64_t token;
	int error;
	bool lost; /* submitted when the power was off already */
};

struct sim_queue {
	struct io_queue queue;
	struct sim *sim;
	struct sim_queue *next;
	unsigned depth;
	unsigned epoch;
	unsigned count;
	struct sim_write writes[SIM_QUEUE_MAX];
};

/* Memory that a test cannot do without. */
static inline void *sim_must(void *memory)
{
	if (memory == NULL)
		abort();
	return memory;
}

static inline struct sim *sim_of(struct io *io)
{
	return (struct sim *)io;
}

static inline struct sim_file *sim_file_of(struct io_file *file)
{
	return (struct sim_file *)file;
}

static inline void sim_lock(struct sim *sim)
{
	(void)pthread_mutex_lock(&sim->lock);
}

static inline int sim_unlock(struct sim *sim, int result)
{
	(void)pthread_mutex_unlock(&sim->lock);
	return result;
}

/* ---- sim_io.c: the whole disk and its faults */

#define SIM_GATE_CUT 1
/*
 * Lock held. 0: go on; SIM_GATE_CUT: the power goes during this operation, which may have had its effect, and the
 * caller learns nothing; -errno: it fails.
 */
int sim_gate(struct sim *sim, enum sim_kind kind);
int sim_gate_file(struct sim_file *file, enum sim_kind kind);
int sim_gate_result(int gated);
extern const struct io_ops sim_ops_table;

/* ---- sim_inode.c: contents */

struct inode *sim_inode_new(struct sim *sim);
/* Bytes of all files that are not ghosts. */
uint64_t sim_used(const struct sim *sim);
/* Room for so many bytes; -ENOSPC beyond the disk's capacity. */
int sim_inode_grow(struct sim *sim, struct inode *inode, uint64_t size);
void sim_inode_write(struct inode *inode, uint64_t offset, const uint8_t *bytes, size_t size);
/* These bytes, or all of them with the size, are safe from now on. */
void sim_inode_save(struct inode *inode, uint64_t offset, uint64_t size);

/* Any subset of the sectors; all, none and prefixes come more often than chance would have them. */
void sim_inode_write_torn(struct sim *sim, struct inode *inode, uint64_t offset, const uint8_t *bytes, size_t size);
void sim_inode_sync(struct inode *inode);
void sim_inode_free(struct inode *inode);

/* Only dirty sectors can differ, and a disk has many clean ones by the time its power goes. */
void sim_inode_crash(struct sim *sim, struct inode *inode);

/* ---- sim_names.c: names and directories */

struct name *sim_names_find(const struct names *names, const char *path);
void sim_names_put(struct names *names, const char *path, struct inode *inode);
void sim_names_change(struct sim *sim, enum change_kind kind, const char *path, const char *to, struct inode *inode);
void sim_names_dir(const char *path, char ret_dir[SIM_PATH_MAX]);
bool sim_dir_exists(const struct sim *sim, const char *dir);
int sim_rename(struct io *io, const char *from, const char *to);
int sim_unlink(struct io *io, const char *path);
int sim_mkdir(struct io *io, const char *path);
int sim_dir_sync(struct io *io, const char *path);

/* The callback may use the disk: names are copied out first. */
int sim_list(struct io *io, const char *path, int (*each)(void *context, const char *name), void *context);
void sim_names_crash(struct sim *sim);

/* ---- sim_file.c: open files */

int sim_open(struct io *io, const char *path, int flags, struct io_file **ret_file);
void sim_close(struct io_file *io_file);
int sim_size(struct io_file *io_file, uint64_t *ret_size);
int sim_preallocate(struct io_file *io_file, uint64_t size);
int64_t sim_do_read(struct sim_file *file, uint64_t offset, void *buffer, size_t size);
int64_t sim_read(struct io_file *io_file, uint64_t offset, void *buffer, size_t size);
/* Not as IO_DIRECT wants it. */
bool sim_misaligned(const struct sim_file *file, uint64_t offset, const void *buffer, size_t size);
int sim_write_sync(struct io_file *io_file, uint64_t offset, const void *buffer, size_t size);
int sim_write(struct io_file *io_file, uint64_t offset, const void *buffer, size_t size);
int sim_sync(struct io_file *io_file);
int sim_punch(struct io_file *io_file);
bool sim_direct(struct io_file *file);

/* ---- sim_queue.c: what is in flight */

int sim_queue_new(struct io *io, unsigned depth, void *buffers, size_t buffers_size, struct io_queue **ret_queue);
void sim_queue_free(struct io_queue *io_queue);
int sim_submit(struct io_queue *io_queue, struct io_file *io_file, uint64_t offset, const void *buffer, size_t size,
	       uint64_t token);

/* In any order, now or later; with a single write in flight it may be asked for twice or thrice. */
int sim_reap(struct io_queue *io_queue, struct io_completion *ret_completions, unsigned max);
int sim_reader_new(struct io *io, unsigned depth, struct io_reader **ret_reader);

/* What is in flight lands before the reader goes, as a real disk would do it. */
void sim_reader_free(struct io_reader *io_reader);
int sim_reader_submit(struct io_reader *io_reader, struct io_file *file, uint64_t offset, void *buffer, size_t size,
		      uint64_t token);

/* In any order, now or later. */
int sim_reader_reap(struct io_reader *io_reader, struct io_completion *ret_completions, unsigned max, unsigned wait);

#endif
