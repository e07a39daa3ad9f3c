/*
 * What the journal's three files share: journal.c (the worker's side: append, roll), journal_commit.c (the worker's
 * side: submit, reap, failure) and journal_keep.c (the keeper's side: prepare, close). Nobody else includes it.
 *
 * Hand-over. keeper → worker: `next`, one prepared file. worker → keeper: `done`, a ring of files the worker is through
 * with. Whoever holds a journal_active owns all of it.
 */
#ifndef GANTRY_STORAGE_JOURNAL_PRIVATE_H
#define GANTRY_STORAGE_JOURNAL_PRIVATE_H

#include <stdatomic.h>
#include <stddef.h>

#include "appliance/base/aead.h"
#include "storage/journal.h"
#include "storage/journal_file.h"
#include "storage/memtable.h"

#define JOURNAL_SLABS_MAX 16
#define JOURNAL_LEAVING_MAX 4 /* files whose last frames or END are on their way */
#define JOURNAL_DONE_MAX 8
#define JOURNAL_TOKEN_END 256 /* + number of the leaving file; below it, a slab's number */

/* One file from its preparation to its last name. */
struct journal_active {
	struct aead_key key;
	struct io_file *file;
	struct generation *generation;
	uint64_t id;
	uint64_t sequence;
	uint64_t offset;  /* of the next frame */
	uint64_t frame;   /* last number given */
	uint64_t durable; /* highest contiguous durable frame */
	uint8_t chain[JOURNAL_CHAIN_SIZE];
	int64_t taken_ns;
	unsigned slabs;     /* that lie in this file and are not yet durable, the open one included */
	unsigned in_flight; /* writes */
	bool poisoned;      /* a write failed: never written again */
	bool ending;        /* END submitted */
	bool ended;         /* END durable */
	bool marked;        /* its last frame is empty */
};

enum slab_state {
	SLAB_FREE,
	SLAB_OPEN,     /* being filled */
	SLAB_FLYING,   /* its write is under way */
	SLAB_WRITTEN,  /* durable, but not all before it */
	SLAB_FAILED,   /* its write failed; waits for its neighbours in the file */
	SLAB_HOMELESS, /* its file is poisoned: to be sealed anew */
};

/* A frame in the making. The arrays run in parallel; `plain` keeps the body until it is durable somewhere. */
struct slab {
	enum slab_state state;
	struct journal_active *active;
	uint64_t frame;
	int64_t oldest_ns;
	struct memtable_mark mark;
	uint32_t body_size; /* without hits */
	uint32_t run_count;
	uint32_t row_count;
	uint32_t hit_count;
	struct journal_frame cursor; /* homeless: what of it does not lie in the new generation yet */
	uint32_t moved_hits;         /* and the hits that do */
	uint8_t *plain;
	uint8_t *sealed;
	struct run *runs;
	struct lane_window **windows;
	const struct read **rows;
	uint16_t *run_hits; /* hits of each run */
	struct hit *hits;   /* row: in the frame */
	const struct read **hit_reads;
};

struct journal {
	struct journal_options options;
	char directory[JOURNAL_PATH_MAX];
	struct journal_hooks hooks;
	struct io *io;
	struct keyring *keyring;
	struct memtable *memtable;
	struct io_queue *queue;
	uint8_t *buffers; /* aligned, registered: sealed slabs, then one END block a leaving file */
	uint8_t *plains;
	uint32_t slab_runs_max;
	uint32_t slab_hits_max;

	/* Worker's own. */
	int64_t now_ns; /* of the last poll */
	int64_t submitted_ns;
	struct journal_active *current;
	struct journal_active *leaving[JOURNAL_LEAVING_MAX];
	bool roll_left; /* the roll asked for has left its file; not answered yet, what is in flight may still fail */
	struct slab *open;
	struct slab *flying[JOURNAL_SLABS_MAX]; /* in the order of submission, which is the order of commit */
	unsigned flying_count;
	struct slab *homeless[JOURNAL_SLABS_MAX]; /* in the order they had */
	unsigned homeless_count;
	unsigned failures; /* files poisoned since the last durable frame */
	uint32_t done_head;
	struct slab slabs[JOURNAL_SLABS_MAX];
	struct hit *hit_scratch;
	uint64_t hit_count; /* the last number given */

	/* Keeper's own. */
	uint64_t sequence; /* of the next file */
	int64_t prepared_ns;
	uint32_t done_tail;

	/* Both. */
	_Atomic(struct journal_active *) next;
	_Atomic(struct journal_active *) done[JOURNAL_DONE_MAX]; /* worker fills an empty one, keeper empties it */
	_Atomic bool roll_wanted;
	_Atomic bool closed;            /* worker writes */
	_Atomic(const char *) why;      /* worker writes */
	_Atomic(const char *) keep_why; /* keeper writes */
	_Atomic uint64_t frames;        /* worker writes these */
	_Atomic uint64_t bytes;
	_Atomic uint64_t reads;
	_Atomic uint64_t refused;
	_Atomic uint64_t failed_writes;
};

/* One writer: no locked instruction needed. */
static inline void counter_add(_Atomic uint64_t *counter, uint64_t more)
{
	atomic_store_explicit(counter, atomic_load_explicit(counter, memory_order_relaxed) + more,
			      memory_order_relaxed);
}

static inline void journal_why(struct journal *journal, const char *why)
{
	atomic_store_explicit(&journal->why, why, memory_order_relaxed);
}

/* journal.c */
/* A file with room for one more frame of any size, rolling if need be; NULL when there is none now. */
struct journal_active *journal_file_for_slab(struct journal *journal);
/* The current file takes no more slabs. False: too many are leaving, nothing changed. */
bool journal_leave(struct journal *journal);

/* journal_commit.c */
void journal_submit(struct journal *journal, struct slab *slab);
void journal_reap(struct journal *journal);
void journal_leave_step(struct journal *journal);
void journal_rehouse(struct journal *journal);

#endif
