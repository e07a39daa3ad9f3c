/*
 * The store: one data directory, opened whole. It owns keyring, catalog, register, memtable, lanes and the workers'
 * journals, and runs the threads behind them: the keeper (chunks, next journal files, disk room), the sealer (closed
 * journals become day segments) and the tidier (a quiet day's segments become one).
 *
 * Life cycle: store_open recovers what a crash left, of every worker there ever was, and starts the threads; workers
 * then append through store_journal; store_close ends the threads when no worker runs any more.
 *
 * Threads: store_open/close one control thread; store_day_open, store_credit_open and store_age_us any thread, workers
 * too (one load); everything else any control thread.
 *
 * Lock order: purge mutex, tidy mutex, hold mutex, seal mutex, lane mutex, memtable_lock, LMDB's writer.
 */
#ifndef GANTRY_STORAGE_STORE_H
#define GANTRY_STORAGE_STORE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "appliance/base/err.h"
#include "appliance/base/read.h"

#define STORE_WORKERS_MAX 64
#define STORE_DAMAGE_MAX 64     /* damages kept for status; the count goes on */
#define STORE_LANE_EPOCHS_MAX 8 /* of one feed and lane: a sender's epoch older than its 8 newest is refused */
#define STORE_DAY_END 65536     /* days 0 … STORE_DAY_END − 1 since 1970 can be stored */

struct catalog;
struct clock_guard;
struct clock_source;
struct hit_lives;
struct io;
struct journal;
struct journal_hooks;
struct keyring;
struct lane_window;
struct late_hits;
struct marks;
struct memtable;
struct reg;
struct store;
struct views;

enum store_outcome {
	STORE_EPOCH_OLD = 1, /* store_lane: eight newer epochs of the feed are known */
	STORE_BUSY = 2,      /* a worker did not answer in time: nothing is lost, call again */
};

struct store_options {
	const char *directory;      /* made when missing, 0700; must be empty or Gantry's */
	const char *db_directory;   /* of LMDB, always on a real disk; NULL: `directory` */
	const char *master_path;    /* keyring's master key file, outside `directory` */
	const char *keyring_b_path; /* second copy of the keyring; NULL: inside `directory` */
	unsigned workers;           /* ≤ STORE_WORKERS_MAX; may differ from last time */
	uint16_t key_version;       /* of the VRM key */

	size_t memtable_bytes_max;
	bool memtable_prefault;

	uint64_t journal_file_size;
	uint32_t journal_slab_size;
	unsigned journal_slab_count;
	int64_t journal_commit_interval_ns;
	int64_t journal_roll_age_ns;

	uint32_t lane_size;               /* sequences in a window; power of two ≥ 4096 */
	int64_t merge_quiet_us;           /* a day into which nothing was sealed for so long is merged */
	uint64_t reserve_bytes;           /* kept free beyond what sealing and a purge need */
	size_t catalog_map_size;          /* LMDB's, the register's too; 0: its default */
	uint64_t register_log_size_min;   /* see reg_options; 0: its default */
	int64_t erase_rewrite_us;         /* age at which what was erased or amended is physically removed */
	int32_t retention_days;           /* 0: 365; a day is due when it is more days past */
	const struct clock_source *clock; /* NULL: this machine's; copied */
	int64_t clock_jump_us;            /* beyond it a step of the clock is suspicious; 0: an hour */
	bool clock_always;                /* suspicious only when it jumps: a machine without time source */
	bool threads_off; /* tests: no threads; whoever calls drives store_keep, and the store polls the journals itself
			   * while it waits for them */
};

/* What the store tells its owner. */
struct store_hooks {
	/* One per worker (options.workers of them), copied: called on that worker's thread; see journal.h. */
	const struct journal_hooks *journal;
	/*
	 * Something an operator must know: damage found, a write that fails. No VRM, no secret in it. `lasts`: it has
	 * begun, and store_alarms_each names it until it is over. Any thread of the store. May be NULL.
	 */
	void (*alarm)(void *context, const char *text, bool lasts);
	void *context;
};

/*
 * An empty or missing directory becomes a store. Another process holding it: -EBUSY. -ENOTEMPTY: foreign files.
 * Damage in journals, segments or the register is no failure: it is told by alarm and status, the rest is served.
 * What cannot be served without harm fails: keyring (see keyring.h), catalog that can neither be opened nor begun anew,
 * memtable too small for the unsealed rows (-ENOMEM after what could be sealed was).
 */
int store_open(const struct store_options *options, const struct store_hooks *hooks, struct io *io, struct err *err,
	       struct store **ret_store);

/*
 * The workers have stopped. Ends the threads; with `seal` closes and seals every journal first (a clean stop: the next
 * start recovers nothing). -errno when sealing failed: the journals stay, nothing is lost; the store is closed anyway.
 */
int store_close(struct store *store, bool seal);

/* Owned by the store, alive until store_close. `worker` < options.workers. The hooks were given at store_open. */
struct journal *store_journal(struct store *store, unsigned worker);
struct memtable *store_memtable(struct store *store);
struct catalog *store_catalog(struct store *store);
struct keyring *store_keyring(struct store *store);
struct views *store_views(struct store *store); /* for searches: storage/view.h */
struct marks *store_marks(struct store *store); /* storage/marks.h */
struct hit_lives *store_hit_lives(struct store *store);
struct late_hits *store_late_hits(struct store *store); /* storage/late_hits.h */
struct clock_guard *store_clock_guard(struct store *store);
/* clock_guard_age_us of the store's guard. Any thread, workers too. */
int64_t store_age_us(const struct store *store, int64_t wall_us);
/* NULL when the register is incomplete: journal on, but neither search, match nor purge. *ret_why then says so. */
struct reg *store_register(struct store *store, const char **ret_why);
/* "<directory>/audit" and the like: base name from layout.h. Owned by the store. */
const char *store_audit_directory(const struct store *store);

/*
 * The window of a lane: the one that exists (recovered, or given out before: always the same pointer) or a new one. It
 * lives until store_close and belongs to the worker that owns the feed. 0, STORE_EPOCH_OLD, -EINVAL no such lane,
 * -EOVERFLOW more gaps are recovered than a window can span, or -ENOMEM. Call it once a sender has proved its key:
 * windows are never given back.
 */
int store_lane(struct store *store, uint32_t feed, uint32_t epoch, uint8_t lane, struct lane_window **ret_window);

/* Every lane with a window or a mark, in no order. Stops at the first non-zero. `each` may not call the store. */
struct store_lane_entry {
	uint32_t feed;
	uint32_t epoch;
	uint8_t lane;
	uint64_t cumulative; /* as recovered at store_open */
	uint64_t stored_total;
	uint64_t refused_total;
	const struct lane_window *window; /* NULL when none was asked for; its worker writes it */
};
int store_lane_each(struct store *store, int (*each)(void *context, const struct store_lane_entry *entry),
		    void *context);

/*
 * False when reads of that day are refused for good: purged, or closed for a purge. A worker asks before it appends and
 * calls journal_poll only between bursts: then no read of a closed day can follow a purge.
 */
bool store_day_open(const struct store *store, int32_t day);

/* Room on disk beyond the reserves: false pushes every sender back. */
bool store_credit_open(const struct store *store);

/*
 * Asks every worker to close its journal and seals all that is closed. Waits at most `wait_ns` for workers that run
 * (0: seals only what is closed already). 0, STORE_BUSY, or the -errno of the seal that failed (it will be retried).
 */
int store_seal_all(struct store *store, int64_t wait_ns);

/* One round of the keeper thread's work; for tests with threads_off. True if it did anything. */
bool store_keep(struct store *store);

enum store_state {
	STORE_RUNNING,
	STORE_DISK_FULL,       /* credit closed; `why` says what is missing */
	STORE_SEAL_FAILING,    /* journalling goes on while there is room; retried with back-off */
	STORE_JOURNAL_FAILING, /* a worker's journal is closed */
	STORE_REGISTER_INCOMPLETE,
};

struct store_day {
	int32_t day;
	bool closed; /* to ingest, or purged */
	bool purged;
	uint64_t reads; /* in segments */
	uint32_t segments;
	uint64_t bytes;
};

/* The tidier: what it does, and how it went the last time. */
struct store_tidy {
	bool running;
	int32_t day; /* in the making, when running */
	uint64_t rows_done;
	uint64_t rows_total;
	uint64_t rewrites; /* merges, since the start of the process */
	uint64_t failures;
	int32_t last_day;
	int64_t last_us; /* when the last one was done; 0: none yet */
	uint64_t last_rows;
	uint64_t last_bytes;
	uint32_t last_parents;
	int64_t last_ns; /* how long it took */
	char why[192];   /* of the last failure, or why one is put off; empty when well */
};

struct store_status {
	enum store_state state;
	char why[256];           /* empty when STORE_RUNNING */
	uint64_t reads_segments; /* held, sealed */
	uint64_t reads_memtable; /* held, durable in journals, not sealed */
	uint64_t segments;
	uint64_t segment_bytes;
	uint64_t journal_bytes; /* files, preallocated */
	unsigned journals_unsealed;
	size_t memtable_bytes_used;
	size_t memtable_bytes_max;
	uint64_t disk_total_bytes;
	uint64_t disk_free_bytes;
	uint64_t disk_reserve_bytes;
	bool credit_open;
	/* Since the directory was made, memtable included, as of the last commit. */
	uint64_t stored_total;
	uint64_t collapsed_total;
	uint64_t refused_total[REFUSAL_COUNT];
	uint64_t erased_total; /* removed singly */
	uint64_t purged_total;
	uint64_t seal_failures;
	uint64_t damage_count;
	unsigned damage_text_count;
	char damage[STORE_DAMAGE_MAX][192];
	int64_t recovery_ns;     /* how long store_open took to recover the journals */
	uint64_t recovery_reads; /* rows brought back to the memtable */
	const char *io_name;     /* of the I/O in use */
	/* The register's change log: 0 when the register is incomplete. */
	uint64_t register_sequence; /* of its last entry */
	uint64_t register_log_bytes;
	char register_why[192]; /* writing it anew failed; empty when well */
	struct store_tidy tidy;
};
int store_status(struct store *store, struct store_status *ret_status);

/*
 * Damage that somebody met who read: an alarm, and counted, the first time that its text comes. No VRM in it. Any
 * control thread.
 */
void store_damage_met(struct store *store, const char *text);

/*
 * What an operator must know as long as it is so: sealing that fails, a removal that is late, a purge that stands half
 * done. `each` may not call the store. Any control thread.
 */
void store_alarms_each(struct store *store, void (*each)(void *context, const char *text), void *context);

/* The days that hold reads or were purged, ascending. Caller frees *ret_days. */
int store_days(struct store *store, struct store_day **ret_days, size_t *ret_count);

#endif
