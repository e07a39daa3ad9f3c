/*
 * The memtable: rows that are journalled and not yet sealed, in generations of chunks from a prefaulted pool.
 *
 * A generation holds what one journal file holds. Its worker appends rows, runs and hits to its last chunk and
 * publishes counts when, and only when, they are durable; search threads read up to the published counts and never see
 * what a crash could take back. When the journal file is closed the generation is handed to the sealer; when its
 * segments are in the catalog it is retired, and its chunks go back to the pool as soon as the last view lets go of it
 * and the follower, if there is one (memtable_follow.h), has passed it.
 *
 * Synchronisation. Worker → readers: release store of a chunk's `rows_durable`, `hits_durable` (and of `next`), acquire
 * load by the reader. Pool → worker: one bounded SPSC ring of ready chunks per worker, filled by the keeper thread, so
 * that a worker neither locks nor allocates. An empty ring means the pool is exhausted: the worker pushes back.
 */
#ifndef GANTRY_STORAGE_MEMTABLE_H
#define GANTRY_STORAGE_MEMTABLE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "appliance/base/read.h"

#define CHUNK_ROWS 32768
#define CHUNK_RUNS 8192
#define CHUNK_HITS 8192

struct memtable;

struct chunk {
	_Atomic(struct chunk *) next;  /* worker writes once, readers follow */
	_Atomic uint32_t rows_durable; /* worker writes, readers read */
	_Atomic uint32_t runs_durable;
	_Atomic uint32_t hits_durable;
	_Atomic bool
		hits_mixed; /* worker writes: the numbers of its hits do not ascend (a recovered chunk's may not) */
	uint32_t row_count; /* worker's own: appended, durable or not */
	uint32_t run_count;
	uint32_t hit_count;
	uint32_t first_row;  /* row number in its generation of rows[0] */
	uint32_t run_closed; /* worker's own: runs before it are in a closed slab and grow no more */
	/* Sorted VRM index of a full, durable chunk: rows in (key, capture) order; made by the keeper, read by search.
	 */
	_Atomic(const uint16_t *) order;
	uint16_t order_space[CHUNK_ROWS];
	struct read rows[CHUNK_ROWS];
	struct run runs[CHUNK_RUNS];
	uint64_t watermarks[CHUNK_RUNS]; /* of each run's lane when it was appended; 0 unknown */
	struct hit hits[CHUNK_HITS];     /* row = row number in the generation */
};

enum generation_state { GENERATION_OPEN, GENERATION_CLOSED, GENERATION_SEALED };

struct generation {
	uint64_t journal_id; /* of its journal file; also the key's id */
	uint64_t sequence;   /* 1, 2, 3 … per worker: order of sealing */
	unsigned worker;
	_Atomic int state;             /* enum generation_state */
	_Atomic(struct chunk *) first; /* NULL until the first row */
	struct chunk *last;            /* worker's own while open */
	struct chunk *published;       /* worker's own: the chunk up to which rows are durable */
	_Atomic uint64_t row_count_durable;
	int64_t opened_ns;            /* monotonic; rolls by age */
	struct generation *list_next; /* of the memtable's live list; memtable's lock */
	unsigned references;          /* memtable's lock */
	/* memtable_follow.h */
	struct generation *follow_next; /* its lock */
	struct chunk *followed;         /* follower's own: the chunk it is at, NULL before the first */
	uint32_t followed_hits;         /* and the hits of it that it has had */
};

struct memtable_options {
	size_t bytes_max; /* whole chunks of it are used; at least 4 chunks a worker */
	unsigned workers;
	bool prefault; /* the pool's pages are brought from now on; workers get only chunks whose pages are there */
};

int memtable_new(const struct memtable_options *options, struct memtable **ret_memtable);
struct memtable *memtable_free(struct memtable *memtable);

/* Keeper thread: tops up every worker's ring of ready chunks, sorts chunks that became full. True if it did anything.
 */
bool memtable_keep(struct memtable *memtable);

/* Control or recovery: a new open generation, on the live list. The memtable owns it. -ENOMEM. */
int memtable_open_generation(struct memtable *memtable, unsigned worker, uint64_t sequence, uint64_t journal_id,
			     struct generation **ret_generation);

/* Worker: room for so many in the last chunk, taking a ready chunk if need be. False: exhausted, nothing changed. */
bool memtable_reserve(struct memtable *memtable, struct generation *generation, unsigned rows, unsigned runs,
		      unsigned hits);

/* Recovery (single-threaded): as memtable_reserve, straight from the pool. */
bool memtable_reserve_recovery(struct memtable *memtable, struct generation *generation, unsigned rows, unsigned runs,
			       unsigned hits);

/*
 * Worker, after a reserve that said yes: copies the run, its rows and their hits (row = index into reads) behind what
 * is there. A run that continues the last one (same lane, same fate, next sequence) makes it longer, unless
 * memtable_mark_take came between. Returns where the first row lies now, NULL for a refused run; it stays there as long
 * as the generation.
 */
const struct read *memtable_append(struct generation *generation, const struct run *run, const struct read *reads,
				   const struct hit *hits, unsigned hit_count);

/*
 * Worker, after memtable_append: all of the last run's lane up to the watermark was durable or given up by its sender
 * when the run was appended, in this generation or an older one. The sealer closes over what is missing below.
 */
void memtable_watermark(struct generation *generation, uint64_t watermark);

/* How far a generation was filled at some moment. */
struct memtable_mark {
	struct chunk *chunk; /* NULL: nothing yet */
	uint32_t rows;
	uint32_t runs;
	uint32_t hits;
};
/* Worker: the end of what is appended now; nothing before it changes any more. */
void memtable_mark_take(struct generation *generation, struct memtable_mark *ret_mark);
/* Worker (recovery: its thread): everything up to the mark is durable, readers may see it. Marks come in order. */
void memtable_publish(struct generation *generation, const struct memtable_mark *mark);

/* Worker: rows that ready chunks and the last chunk (generation may be NULL) still take, at least. */
size_t memtable_room(const struct memtable *memtable, unsigned worker, const struct generation *generation);

/* A view: every generation that is live now, each referenced, in the order of (worker, sequence). */
struct memtable_view {
	struct generation **generations;
	size_t count;
};
/* Any thread but a worker. The memtable's lock is recursive: the caller may hold it around a catalog snapshot. */
int memtable_view_take(struct memtable *memtable, struct memtable_view *ret_view);
void memtable_view_release(struct memtable *memtable, struct memtable_view *view);

/*
 * The lock that makes memtable generation and catalog snapshot one: the sealer commits its LMDB transaction and retires
 * the generation inside it; a view takes its read transaction and generations inside it.
 */
void memtable_lock(struct memtable *memtable);
void memtable_unlock(struct memtable *memtable);
/* Sealer, lock held: off the live list; freed when the last view has let go and the follower has passed it. */
void memtable_retire(struct memtable *memtable, struct generation *generation);

struct memtable_info {
	size_t bytes_max;
	size_t bytes_used;
	uint64_t rows; /* durable, not sealed */
	unsigned generations;
};
void memtable_info(struct memtable *memtable, struct memtable_info *ret_info);

#endif
