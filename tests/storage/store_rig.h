/*
 * A rig for tests of the store: a directory, workers driven by hand, reads whose content tells their identity, and a
 * ledger of what was acknowledged, against which everything that is found is held.
 */
#ifndef GANTRY_TESTS_STORAGE_STORE_RIG_H
#define GANTRY_TESTS_STORAGE_STORE_RIG_H

#include <stdbool.h>
#include <stdint.h>

#include "appliance/base/prng.h"
#include "storage/store.h"

#define RIG_FEEDS 4
#define RIG_SEQUENCES 4096 /* of one lane at most */
#define RIG_DAYS 3
#define RIG_WORKERS 2
#define RIG_HITS 2 /* of one read at most */

enum rig_fate { RIG_UNSENT = 0, RIG_SENT, RIG_ACKED, RIG_REFUSED_SENT, RIG_REFUSED_ACKED };

struct rig {
	struct io *io; /* the caller's */
	struct store *store;
	struct store_options options;
	char directory[512];
	char db_directory[600];
	char master_path[600];
	struct err err;
	struct prng prng;
	int32_t first_day; /* reads are captured on first_day … first_day + RIG_DAYS − 1, all over */
	uint32_t epoch;
	uint64_t next[RIG_FEEDS][FEED_LANE_COUNT]; /* sequence to send */
	uint8_t fates[RIG_FEEDS][FEED_LANE_COUNT][RIG_SEQUENCES];
	uint8_t found[RIG_FEEDS][FEED_LANE_COUNT][RIG_SEQUENCES];
	/* Marked (storage/marks.h), perhaps: its row may be gone, or replaced by one whose VRM begins with an A. */
	bool marked[RIG_FEEDS][FEED_LANE_COUNT][RIG_SEQUENCES];
	bool purge_begun[RIG_DAYS];
	bool purged[RIG_DAYS];
	uint64_t acked; /* reads */
	/* Of every hit the number that it bore when it was first seen, 0: never yet; of every source the highest. */
	uint64_t hits[RIG_FEEDS][FEED_LANE_COUNT][RIG_SEQUENCES][RIG_HITS];
	uint64_t hit_highest[STORE_WORKERS_MAX];
	uint64_t hit_floor[STORE_WORKERS_MAX]; /* hit_highest when the store was opened after they were looked at */
	bool hits_looked;                      /* since then: none is there that was never seen */
	bool hits_wrong;                       /* numbers did not become visible in their order: see problem */
	int ledger_fd;     /* ≥ 0: each acknowledged run is written there, before anything else happens */
	char problem[256]; /* what rig_verify found wrong */
	bool tolerant;     /* a page or segment that cannot be read is no problem, only counted */
	unsigned unreadable;
};

/* `directory` is the io's; `db_directory` is real. Sizes small, threads off. */
void rig_init(struct rig *rig, struct io *io, const char *directory, const char *db_directory, uint64_t seed);
int rig_open(struct rig *rig);
int rig_close(struct rig *rig, bool seal);

/* The day (index) and read of an identity: pure functions of it. */
void rig_read(const struct rig *rig, uint32_t feed, unsigned lane, uint64_t sequence, struct read *ret_read);
unsigned rig_day_of(uint32_t feed, unsigned lane, uint64_t sequence);
/* The hits that it is sent with, their row is `row`, their entry counts them; some are repeats. Returns how many. */
unsigned rig_hits(uint32_t feed, unsigned lane, uint64_t sequence, uint32_t row, struct hit ret_hits[RIG_HITS]);

/* The identity of a row, from its text; false: nobody sent it. *ret_amended: its VRM is a corrected one. */
struct rig_identity {
	uint32_t feed;
	unsigned lane;
	uint64_t sequence;
	bool amended;
};
bool rig_identify(const struct read *row, struct rig_identity *ret_identity);
/* The correction that tests make: an A before the VRM. */
void rig_amend(struct read *read);

/* Sends one run of up to 28 reads of a random lane, as a worker would; true when something was taken. */
bool rig_send(struct rig *rig);
/* Sends again what is not acknowledged of every lane, from the beginning; true when something was taken. */
bool rig_resend(struct rig *rig);
/* Polls all workers and keeps, until nothing waits for a commit or `turns` are over. */
void rig_settle(struct rig *rig, unsigned turns);

/* Purges the day with that index, noting how far it came. */
int rig_purge(struct rig *rig, unsigned day);

/*
 * Every acknowledged read of a day that is not purged is found exactly once with every field, no other read more than
 * once, none of a purged day; and each lane's window says of every sequence what was found. False: see problem.
 */
bool rig_verify(struct rig *rig);

/* Gathers what there is into `found`: no row that was never sent, none twice, none changed. */
bool rig_rows(struct rig *rig);

/* The same of the rows alone. */
bool rig_verify_rows(struct rig *rig);

/* No file and no key is there that nothing needs; right after rig_open, with no purge half done. */
bool rig_verify_tidy(struct rig *rig);

/* Takes a ledger written by another process into the fates. */
void rig_ledger_read(struct rig *rig, const char *path);

#endif
