/*
 * The marks on single reads as those who meet reads see them: one immutable set, replaced whole by its owner
 * (storage/marks.h) whenever a mark comes or goes.
 *
 * A mark knows its read by a keyed hash over every field of the sender (what row_equal compares) and the number of
 * amendments: so it covers the copies of the read that come by other feeds or another spool, and holds no VRM. A keyed
 * 32-bit tag over camera, time, lane and VRM key stands before the hash: of a day with marks a row costs one XXH3 of 32
 * bytes and a look into a table that is a quarter full at most, of a day without one it costs nothing.
 *
 * Life: mark_set_new gives one reference; mark_set_hold needs another one to be held meanwhile; the last release
 * frees. Lookups: any thread, workers too: they neither allocate nor lock.
 */
#ifndef GANTRY_STORAGE_MARK_SET_H
#define GANTRY_STORAGE_MARK_SET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "appliance/base/read.h"
#include "storage/register_records.h"

struct mark_set;

/* All derived from KEY_IDENTITY; a secret. */
struct mark_keys {
	uint8_t identity[32]; /* of public ids */
	uint8_t hash[32];
	uint64_t tag_seed;
};
void mark_keys_derive(const uint8_t identity[32], struct mark_keys *ret_keys);

uint32_t mark_tag(const struct mark_keys *keys, const struct read *read);
void mark_hash(const struct mark_keys *keys, const struct read *read, uint8_t ret_hash[MARK_HASH_SIZE]);
/* Public id as search_public_id gives it, as bytes. Control threads. */
void mark_public_id(const struct mark_keys *keys, const struct read *read, uint32_t ordinal,
		    uint8_t ret_id[MARK_ID_SIZE]);

/* What the set keeps of a mark. */
struct mark_brief {
	int32_t day;
	uint32_t tag;
	uint8_t kind; /* enum mark_kind */
	uint8_t hash[MARK_HASH_SIZE];
	uint8_t public_id[MARK_ID_SIZE];
};

/* The marks of one day. */
struct mark_day {
	int32_t day;
	uint32_t mask; /* of slots */
	uint32_t first;
	uint32_t count;
	uint32_t *slots;                 /* index into briefs + 1, by tag; 0 empty */
	const struct mark_brief *briefs; /* of all days; this day's are [first, first + count) */
	const struct mark_keys *keys;
};

/*
 * Copies all of it. Briefs ascend by day; `corrected` are the reads that stand in for amended ones and lie in no
 * segment yet, any order. -ENOMEM.
 */
int mark_set_new(const struct mark_keys *keys, const struct mark_brief *briefs, size_t count,
		 const struct read *corrected, size_t corrected_count, struct mark_set **ret_set);
/* Both accept NULL: no marks at all. */
struct mark_set *mark_set_hold(struct mark_set *set);
void mark_set_release(struct mark_set *set);

/* The day's marks; NULL when it has none, or set is NULL. One test for a day without. */
const struct mark_day *mark_set_day(const struct mark_set *set, int32_t day);

/* The reads that stand in for amended ones, by capture time; borrowed from the set. */
const struct read *mark_set_corrected(const struct mark_set *set, size_t *ret_count);

/* What is to be done with the read; day may be NULL. */
enum mark_kind mark_find(const struct mark_day *day, const struct read *read);

/* It is not there: not for a search, not for a list, not for a new segment. */
static inline bool mark_drops(enum mark_kind kind)
{
	return kind == MARK_ERASED || kind == MARK_AMENDED;
}

/* mark_drops of the read's mark as rewrite.h asks for it: the context is a const struct mark_day, or NULL. */
int mark_rule(void *day, const struct read *read);

/*
 * Was this public id that of a read which is erased or amended? Then no other read may take it over, or a request to
 * erase it that is repeated would reach a stranger. Control threads.
 */
bool mark_id_taken(const struct mark_day *day, const struct read *read, uint32_t ordinal);

#endif
