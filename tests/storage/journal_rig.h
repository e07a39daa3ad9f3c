/*
 * The journal on the simulated disk: a random fleet of two feeds appends, the keeper keeps, the power fails, writes
 * fail, the disk fills up. The reference: which sequences were ever appended, and which were said to be durable. What
 * every read holds follows from its identity alone, so that anything found can be checked byte for byte.
 */
#ifndef GANTRY_TESTS_STORAGE_JOURNAL_RIG_H
#define GANTRY_TESTS_STORAGE_JOURNAL_RIG_H

#include <stdbool.h>
#include <stdint.h>

#include "appliance/base/prng.h"
#include "storage/io.h"
#include "storage/journal.h"
#include "storage/journal_file.h"
#include "storage/keyring.h"
#include "storage/lane.h"
#include "storage/lane_map.h"

#define RIG_FEEDS 2
#define RIG_LANES (RIG_FEEDS * FEED_LANE_COUNT)
#define RIG_SEQUENCES 16384
#define RIG_DIRECTORY "/d/journal"

extern const struct keyring_options ring_options;

struct rig {
	struct io *io;
	struct prng prng;
	struct keyring *keyring;
	struct memtable *memtable;
	struct journal *journal;
	struct lane_map *map;
	struct lane_window *windows[RIG_LANES];
	struct journal_options options;
	int64_t now;
	uint64_t rows_acked; /* of this boot */
	uint64_t refused_acked;
	uint64_t hits_told;
	uint64_t rows_sealed;
	bool acked[RIG_LANES][RIG_SEQUENCES];
	bool appended[RIG_LANES][RIG_SEQUENCES];
	bool told_twice;
	bool told_wrong;
	/* Of every hit that became durable, in its order; may be NULL. */
	void (*hit_told)(void *context, const struct hit *hit, const struct read *read);
	void *hit_context;
};

struct found {
	struct rig *rig;
	struct lane_map *map;
	uint64_t watermarks[RIG_LANES];
	uint64_t rows;
	uint64_t hits;
	unsigned files;
	unsigned damaged;
	unsigned torn;
	unsigned wrong;
	struct journal_scan_result first; /* of the file with sequence 1 */
};

struct lane_id rig_lane_id(unsigned lane);
void rig_read_make(unsigned lane, uint64_t sequence, int64_t receipt_us, struct read *ret_read);
void rig_scan(struct rig *rig, struct found *ret_found);
struct rig *rig_new(uint64_t seed);

/* -errno when the disk would not; then the rig is as before. */
int rig_boot(struct rig *rig, struct found *ret_found);
void rig_stop(struct rig *rig);
void rig_free(struct rig *rig);

/* Appends one run of fresh sequences near the window's base; the journal's outcome. */
int rig_append(struct rig *rig, unsigned lane, unsigned spread);
void rig_poll(struct rig *rig);
/* What the sealer would do with closed generations: they give their memory back. */
void rig_seal(struct rig *rig);
void rig_keep(struct rig *rig);

/* A stretch of life. Returns how often an append was turned away. */
unsigned rig_live(struct rig *rig, unsigned steps, unsigned *ret_closed);

/* Until nothing waits, with a keeper that does its work. */
bool rig_settle(struct rig *rig);
unsigned rig_unacked(const struct rig *rig);
void rig_check_memory(struct rig *rig);
void rig_check_disk(struct rig *rig, const struct found *found);

#endif
