/*
 * Marks on single reads: erased and restricted ones (R39), amended ones (R2, NASPLE 9.7). This is their owner; what
 * meets reads asks the immutable set that it publishes (storage/mark_set.h).
 *
 * A mark is a record of the register. Its life:
 *
 *	made ▸ key KEY_MARK durable (mark.keyed) ▸ record in the change log, the read and its correction sealed under
 *	that key ▸ set published: from here on no answer, no list and no new segment knows the read. The verb answers.
 *	pending ▸ after store_options.erase_rewrite_us marks_tidy rewrites the segments that still hold it
 *	(mark.rewritten) ▸ record without the sealed part (mark.noted) ▸ KEY_MARK destroyed.
 *	standing ▸ the hash alone keeps a copy that is sent again from returning, until the day is purged: the day's
 *	KEY_MARKs die with its segments' keys, its records go from the register.
 *
 * A restriction is never pending: the read stays where it is.
 *
 * A crash before the record is durable leaves a key that marks_load destroys; after it, the mark. A pending mark whose
 * key is lost still hides its read; its correction is lost, and said so.
 *
 * Threads: any control thread; changes are serialised inside. Locks: `change` is held over register and keyring (order:
 * behind the store's own, before theirs); the set's lock is a leaf.
 */
#ifndef GANTRY_STORAGE_MARKS_H
#define GANTRY_STORAGE_MARKS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "appliance/base/err.h"
#include "appliance/base/read.h"
#include "storage/mark_set.h"

#define MARKS_AMENDMENTS_MAX 255 /* of one read */

struct keyring;
struct marks;
struct reg;

enum marks_outcome {
	MARKS_ALREADY = 1,    /* as asked before: nothing changed */
	MARKS_RESTRICTED = 2, /* a restricted read is not amended: lift the restriction first */
	MARKS_WORN_OUT = 3,   /* amended MARKS_AMENDMENTS_MAX times */
	MARKS_CHANGED = 4,    /* marks_destroy_day: nothing was done */
};

/* No marks until marks_load. -ENOMEM. */
int marks_new(struct marks **ret_marks);
struct marks *marks_free(struct marks *marks); /* every set held from it stays valid until released */

/*
 * From the register, once, before anything is sealed or searched. Records of purged days go. -ENOKEY: there are marks,
 * but no KEY_IDENTITY to apply them: nothing may be searched. -ENOTSUP: another version of Gantry left a mark pending.
 * *ret_unreadable: pending marks whose sealed part does not open.
 */
int marks_load(struct marks *marks, struct reg *reg, struct keyring *keyring, struct err *err, size_t *ret_unreadable);

/* The set of now; NULL when there are no marks. Give it back with mark_set_release. */
struct mark_set *marks_hold(struct marks *marks);

struct mark_order {
	enum mark_kind kind;
	const struct read *read; /* as a search found it, every field */
	uint8_t public_id[MARK_ID_SIZE];
	const uint8_t *text; /* amended: the VRM that it should have been, zero padded, and its key */
	const uint8_t *key;
	uint32_t who_uid;
};
/* The read that an amendment puts in its place: all else stays. The text's only change is what 9.7 allows. */
void marks_correct(const struct read *read, const uint8_t text[READ_TEXT_SIZE], const uint8_t key[READ_TEXT_SIZE],
		   struct read *ret_corrected);
/*
 * Durable and in force in every set held from now on when it returns 0. An outcome, or -errno with err and nothing
 * changed (after a power cut the mark may yet be found); -ESTALE: the keys of the read's day are destroyed. Erasing a
 * restricted read replaces the restriction.
 */
int marks_make(struct marks *marks, const struct mark_order *order, struct err *err);
/* What marks_make would say now, before it changes anything. */
int marks_judge(struct marks *marks, const struct mark_order *order, struct err *err);
/* Ends a restriction. MARKS_ALREADY: the read is not restricted. */
int marks_lift(struct marks *marks, const struct read *read, uint32_t who_uid, struct err *err);

/* Was a read with that public id marked so before? For requests that find it no more. */
bool marks_made(struct marks *marks, int32_t day, const uint8_t public_id[MARK_ID_SIZE], enum mark_kind kind);

/* Stands for what is erased and amended of the day now; 0: nothing. For who copies what is left. */
uint64_t marks_stamp(struct marks *marks, int32_t day);
/*
 * keyring_destroy_day, unless the stamp is another by now: MARKS_CHANGED. In between no mark is made, and of that day
 * none any more once it returns 0. A day that is destroyed already has no stamp to meet.
 */
int marks_destroy_day(struct marks *marks, struct keyring *keyring, int32_t day, uint64_t stamp);

/* The day has been purged: its records go. Idempotent. */
int marks_forget_day(struct marks *marks, int32_t day, struct err *err);

struct marks_info {
	uint64_t erased;
	uint64_t restricted;
	uint64_t amended;
	uint64_t pending;         /* not yet physically removed */
	int64_t pending_since_us; /* the oldest of them; 0 none */
};
void marks_info(struct marks *marks, struct marks_info *ret_info);

#endif
