/*
 * What the tests of holds share: a store on the simulated disk with reads of three days, cases that hold some of them,
 * and what was found of a case, to be compared with what should be.
 *
 * One world at a time, in `world`; a helper that fails ends the test.
 */
#ifndef GANTRY_TESTS_STORAGE_HOLD_WORLD_H
#define GANTRY_TESTS_STORAGE_HOLD_WORLD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "storage/catalog.h"
#include "storage/hold.h"
#include "storage/keyring.h"
#include "storage/register_records.h"
#include "storage/search.h"
#include "tests/check.h"
#include "tests/storage/sim_io.h"
#include "tests/storage/store_rig.h"

#define WORLD_DIRECTORY "/gantry"
/* Uids: who adds holds, who marks reads. */
#define WORLD_HOLDER 7
#define WORLD_MARKER 11
#define IDS_MAX 4096

/* Under a sanitizer, which takes its time, every third operation; which third, the seed says. */
#ifdef __SANITIZE_ADDRESS__
#define WORLD_STRIDE 3
#else
#define WORLD_STRIDE 1
#endif

struct world {
	struct rig *rig;
	struct io *io;
	bool restricted; /* ask for these too */
};
extern struct world world;

/* Public ids of an answer, sorted; its rows in the order they came in. */
struct ids {
	char id[IDS_MAX][SEARCH_PUBLIC_ID_SIZE];
	struct read rows[IDS_MAX];
	size_t count;
};
struct ids *ids_new(void); /* freed with free */
bool ids_same(const struct ids *a, const struct ids *b);

/* Log level, a fast place for LMDB, and check_main. */
int world_main(int argc, char **argv, const char *suite, const struct check_test *tests);

/* An empty store; the reads to be sent depend on check_seed() alone, the disk's moods on `seed`. */
void world_begin(uint64_t seed);
void world_end(void);
/* A store just closed is opened again. */
void world_open(void);
/* The same, closed cleanly before. */
void world_reopen(void);
void world_lose_catalog(void);

void world_send(unsigned runs);
/* Two sealed segments a day and unsealed rows beside them. */
void world_fill(unsigned runs);
/* For sweeps: as little as shows the fault. Rows that are not sealed yet make the purge's own sealing part of it. */
void world_fill_little(bool unsealed);
/* Reads of one feed, captured on the first day at that time of it, which is set in them; hits NULL: none. */
void world_send_reads(struct read *reads, size_t count, int64_t since_us, const struct hit *hits, size_t hit_count);

int world_try_hold(const char *reference, const struct hold_selector *selector, struct hold_added *added);
/* The same by another account. */
int world_try_hold_as(uint32_t who_uid, const char *reference, const struct hold_selector *selector,
		      struct hold_added *added);
/* Holds a pattern at all times; the case's number. */
uint32_t world_hold(const char *reference, const char *pattern);
/* world_begin, 20 runs, and that hold. */
uint32_t world_with_hold(const char *reference, const char *pattern);

/* Rows of one day that match; of a case's copies when `number` is not 0. */
void world_ask(struct ids *ids, uint32_t number, unsigned day, const char *pattern, const uint32_t *camera);
/* How many there are, of the first day and of another. */
uint64_t world_copied(uint32_t number, const char *pattern);
uint64_t world_case_rows(uint32_t number, unsigned day);
/* How a hold names the read, as a search that finds it says. */
struct reg_hold_read world_name(const struct read *read);

unsigned world_case_keys(uint32_t number);
unsigned world_case_files(uint32_t number);
/* Keys of that kind of the first day. */
unsigned world_day_keys(enum key_kind kind);
/* The sealed segments of the first day; freed with free. */
size_t world_segments(struct catalog_segment **ret_segments);
const char *world_segment_path(const struct catalog_segment *segment);

/* Marks a row of `from`; amended to `vrm`, with the cases that hold it told before. */
void world_mark(enum mark_kind kind, const struct ids *from, size_t at, const char *vrm);

struct world_plan {
	uint64_t reads;
	unsigned cases;
};
/* What hold_plan says of the first day. */
struct world_plan world_plan(void);

/* Days up to the first that a plan says are left: 1 or 0, and then it is that one. */
size_t world_planned(void);

/* Held present exactly once, everything else of the first day gone, nothing left lying about. */
void world_check_held(const struct ids *expected, uint32_t number, uint32_t empty);

/* The nth operation from here on fails, or the power goes there. */
struct world_fault {
	uint64_t ops;
	uint64_t nth;
	bool cut;
};
struct world_fault world_fault_set(uint64_t nth, bool cut);
/* True when it was met. After a cut nothing works until world_crash. */
bool world_fault_clear(const struct world_fault *fault);
/* Closed as it is; with `cut` what was not durable is lost. Open it again. */
void world_crash(bool cut);
/* Calls `run` with nth = 1, 2, 3 … as the stride says, until it returns false; that was beyond `least`. */
void world_sweep(bool (*run)(uint64_t nth, int way), int way, unsigned stride, uint64_t least);

#endif
