/*
 * The journal of one worker: append, group commit, roll.
 *
 * Happy path: the worker appends the runs of a burst (journal_append) into the open slab and the memtable; the slab is
 * sealed and submitted when it is full or its oldest read is older than the commit interval (journal_poll); when the
 * write and all before it are durable the journal marks the lanes' windows, publishes the memtable's rows and calls
 * `durable`. A full file is followed by the next one, prepared ahead by the keeper thread (file preallocated, its key
 * durable in the keyring); the closed generation goes to the sealer.
 *
 * Failure: a failed write poisons its file, which is never written again; its slabs, still in memory, are sealed anew
 * into the next file; when that fails too the journal closes: journal_append answers JOURNAL_CLOSED, nothing is lost or
 * acknowledged, status says why, and the keeper keeps trying to prepare a file: service resumes by itself.
 *
 * Threads: everything here belongs to the worker, except journal_new/free and journal_info (control), and the hand-over
 * slots to the keeper (inside).
 */
#ifndef GANTRY_STORAGE_JOURNAL_H
#define GANTRY_STORAGE_JOURNAL_H

#include <stdbool.h>
#include <stdint.h>

#include "appliance/base/read.h"

struct journal;
struct lane_window;
struct io;
struct keyring;
struct memtable;
struct generation;

enum journal_outcome {
	JOURNAL_FULL = 1,   /* slabs busy, memtable exhausted or no next file: drop unacknowledged, nothing changed */
	JOURNAL_CLOSED = 2, /* the disk failed twice: as FULL, until the keeper finds a way */
};

/* What became durable, in the order of appending. Borrowed during the callback. Worker thread. */
struct journal_commit {
	const struct run *runs;
	struct lane_window *const *windows; /* of each run; already marked durable */
	unsigned run_count;
	const struct read *const *rows; /* of each run: its first row, NULL for a refused run; run.count in sequence */
	const struct hit *hits;         /* row = index into hit_reads */
	const struct read *const *hit_reads;
	unsigned hit_count;
	uint64_t journal_id;
	uint64_t frame;
};

struct journal_hooks {
	void (*durable)(void *context, const struct journal_commit *commit);
	void *context;
};

struct journal_options {
	const char *directory; /* journals of all workers: "<directory>/w<worker>-<sequence>.<state>" */
	unsigned worker;
	uint64_t file_size;         /* 256 MiB; multiple of IO_ALIGN */
	uint32_t slab_size;         /* 1 MiB at most in flight per frame */
	unsigned slab_count;        /* 4–8 */
	int64_t commit_interval_ns; /* 1 ms */
	int64_t roll_age_ns;        /* a non-empty file is closed when it is older */
	int64_t retry_interval_ns;  /* closed: the keeper tries a new file no more often; 1 s */
	uint64_t sequence_min;      /* first file's sequence at least; 0: one after the highest name in the directory */
	uint64_t hit_count;         /* hits are numbered behind it: read.h */
	uint16_t key_version;       /* of the VRM key, for headers */
};

int journal_new(const struct journal_options *options, const struct journal_hooks *hooks, struct io *io,
		struct keyring *keyring, struct memtable *memtable, struct journal **ret_journal);
/*
 * The worker has stopped: submits what is open, waits for what is in flight (`durable` is called for it, on this
 * thread), closes the file with END and its last name, removes the prepared one.
 */
struct journal *journal_free(struct journal *journal);

/*
 * Appends one run of at most LANE_RUN_MAX sequences: `reads` are its rows (NULL when run->refusal), which share one
 * receipt time and bear the run's feed and epoch; hits' row is an index into reads, their number is not looked at and
 * given here, one after the other in the order in which they become visible. Takes the sequences in `window`,
 * which all must be fresh. 0, or an outcome: then nothing is changed.
 *
 * Of more hits than journal_hits_max the first so many are kept, the others are left out: the caller, who alone knows
 * what they are, counts them.
 */
int journal_append(struct journal *journal, struct lane_window *window, const struct run *run, const struct read *reads,
		   const struct hit *hits, unsigned hit_count);

/* Hits to come are numbered behind `count` too. Control, before the worker runs. */
void journal_number_behind(struct journal *journal, uint64_t count);

/* Hits that one run may bear: as many as an empty slab and an empty memtable chunk take. */
uint32_t journal_hits_max(const struct journal *journal);

/* Submits what is due, reaps what is done, calls `durable`. Bounded work, never blocks. */
void journal_poll(struct journal *journal, int64_t now_ns);

/* True when nothing waits for a commit: the worker may sleep long. Else *ret_due_ns is when to poll again. */
bool journal_idle(const struct journal *journal, int64_t *ret_due_ns);

/* Reads that may still be granted, from free slabs, memtable chunks and prepared files; 0 pushes back. */
uint32_t journal_credit(const struct journal *journal);

/* Asks the worker (any thread) to close its current file at the next poll, e.g. before a purge; answered by seal. */
void journal_roll(struct journal *journal);
/*
 * Any thread: the worker has not answered yet. Once it has, all it had appended before is durable, in files it has
 * left: a write that fails meanwhile delays the answer until its slabs have found another file and left that too.
 */
bool journal_roll_pending(const struct journal *journal);

struct journal_info {
	uint64_t frames;
	uint64_t bytes;   /* written, padding included */
	uint64_t reads;   /* durable */
	uint64_t refused; /* durable refusals */
	uint64_t failed_writes;
	bool closed;
	const char *why; /* when closed or without room: static text; NULL when well */
};
void journal_info(const struct journal *journal, struct journal_info *ret_info);

/*
 * Keeper thread: gives every file that the worker is through with its final name (closed, failed), then marks its
 * generation GENERATION_CLOSED, which hands it to the sealer; prepares the next file when there is none and space
 * allows. Destroys nothing that held a frame. True if it did anything.
 */
bool journal_keep(struct journal *journal, bool space_allows);

#endif
