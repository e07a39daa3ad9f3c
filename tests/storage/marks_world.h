/*
 * What the tests of marks share: a world of a few dozen reads that are sent, sent again by other ways, erased,
 * restricted and amended, sealed, merged, rewritten, crashed and reopened, held against a plain model after every step.
 */
#ifndef GANTRY_TESTS_STORAGE_MARKS_WORLD_H
#define GANTRY_TESTS_STORAGE_MARKS_WORLD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "storage/io.h"
#include "storage/keyring.h"
#include "storage/marks.h"
#include "storage/search.h"
#include "tests/storage/store_rig.h"

#define WORLD_THINGS 48
#define WORLD_LIST 1 /* of the hits that odd things are sent with; the entry is the thing */
#define WORLD_DIRECTORY "/data"
#define WORLD_CHANGES WORLD_DIRECTORY "/register/changes.log"
#define WORLD_IDENTITY ((struct key_id){.day = KEY_DAY_NONE, .kind = KEY_IDENTITY})

/* What the model knows of one sighting. */
struct thing {
	struct read original;
	struct read now;                 /* as it has to be found, but for feed, epoch and receipt */
	uint32_t sent_in[RIG_FEEDS + 1]; /* epoch: a feed that sends it twice in one epoch has seen it twice */
	bool sent;
	bool erased;
	bool restricted;
};

struct world {
	struct rig rig;
	struct io *io;
	struct prng prng;
	uint64_t next[RIG_FEEDS + 1]; /* sequence, of the epoch of now */
	uint32_t epochs[RIG_FEEDS + 1];
	struct thing things[WORLD_THINGS];
	unsigned made; /* to number VRMs */
};

/* What a search found. */
struct found {
	struct read reads[8 * WORLD_THINGS];
	char ids[8 * WORLD_THINGS][SEARCH_PUBLIC_ID_SIZE];
	size_t count;
};

struct act {
	struct mark_order order;
	struct read read;
	uint8_t text[READ_TEXT_SIZE];
};

/* Opens the store, and makes the key of identities when there is none. */
void world_open(struct world *world);
/* A new directory, open; `name` is LMDB's. */
struct world *world_new(uint64_t seed, const char *name);
void world_free(struct world *world);

/* The original, as any feed may send it, now or again. */
void world_send(struct world *world, unsigned index, uint32_t feed);
/* All feeds begin anew: what they send again is told apart from what they sent twice. */
void world_new_epochs(struct world *world);
/* What a search for the pattern (NULL: all) finds, counted as well. The caller frees. */
struct found *world_look(struct world *world, const char *pattern, bool restricted);
/* But for feed, epoch and receipt. */
bool world_same_sighting(const struct read *row, const struct read *wanted);
/* Each thing is found once or not at all, as the model has it; with and without restricted ones. */
void world_verify(struct world *world);

/* By its VRM alone: what stands in the dictionary, the memtable's index and beside them. */
void world_verify_vrm(struct world *world, unsigned index);

/* No row of a segment is one that a mark drops; so many pages cannot be read. */
void world_verify_removed_but(struct world *world, unsigned unreadable);
void world_verify_removed(struct world *world);

/* The row of a thing, with its id; restricted ones too. False: it is not there. */
bool world_row(struct world *world, unsigned index, struct read *ret_read, uint8_t ret_id[MARK_ID_SIZE]);
/* An act as order, not yet made; false: its thing is not there. world_act_note tells the model, world_act does all. */
bool world_act_init(struct world *world, unsigned index, enum mark_kind kind, struct act *act);
void world_act_note(struct world *world, unsigned index, const struct act *act);
void world_act(struct world *world, unsigned index, enum mark_kind kind);
void world_lift(struct world *world, unsigned index);
void world_seal(struct world *world);

/* Rounds until nothing is pending but what waits for a first segment. */
void world_tidy(struct world *world);
/* Stored, collapsed and erased reads are all that were sent. */
void world_books_hold(struct world *world);

/* Sends some, seals half of them; thing 0 is to be erased, thing 1 amended. */
struct world *world_half_sealed(uint64_t seed, const char *name);

/* test_marks.c */
void marks_test_random(void);
void marks_test_set(void);

/* test_marks_crash.c */
void marks_test_crash_points(void);
void marks_test_failures(void);
void marks_test_late(void);

/* test_marks_end.c */
void marks_test_day_dies(void);
void marks_test_day_died_before(void);
void marks_test_identity_lost(void);
void marks_test_work_lost(void);
void marks_test_keys_go(void);
void marks_test_work_of_another_version(void);

/* test_marks_damage.c */
void marks_test_search_meanwhile(void);
void marks_test_damaged(void);
void marks_test_looked_through(void);
void marks_test_merged_away(void);

#endif
