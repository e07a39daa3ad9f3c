/*
 * Matching reads against every list at once.
 *
 * A match set is immutable: a base (matcher/matchbase.h), which took long to build and is shared, and what has changed
 * since, which is built in milliseconds. The control thread makes one on every change of a list, makes one scratch per
 * worker against it, publishes set and scratches together by one pointer per worker, and frees the old ones when every
 * worker has passed a quiescent point. Workers only call match_burst, each with its own scratch.
 *
 *	base    exact, of most lists       ─▶ mass table		  XXH3
 *		exact, below the boundary  ─▶ Hyperscan literals	  \nKEY\n
 *		with ? or *		   ─▶ Hyperscan patterns	  \nAB[A-Z0-9]C[A-Z0-9]*\n
 *		tolerant		   ─▶ tolerant table		  as mass, over canonical forms
 *		one substitution	   ─▶ and a mask table		  each place blanked
 *	links   what of the base is no entry any more, and under which number its lists stand in this set
 *	delta   entries that the base lacks: the same tables; patterns in the mask table, and few that do not fit it
 *		in a small database
 *
 * So one set is one version of every list, and that version stands on each hit. Entries that share a key are one
 * literal or one slot: the tiers answer with a group, which names its entries.
 */
#ifndef GANTRY_MATCHER_MATCHSET_H
#define GANTRY_MATCHER_MATCHSET_H

#include <stddef.h>
#include <stdint.h>

#include "matcher/matchbase.h"

struct err;
struct hit;
struct list;
struct matchset;
struct match_scratch;
struct read;

/* Of a delta: patterns that no mask table takes (two `*`, or of the 129th shape of their size). */
#define MATCHSET_SMALL_PATTERNS_MAX 200

struct matchset_stats {
	uint32_t lists;
	uint32_t entries;       /* that hit */
	uint32_t base_entries;  /* of them, in the base */
	uint32_t delta_entries; /* and in the delta */
	uint32_t tombstones;    /* entries of the base that are none any more */
	uint32_t delta_patterns;
	uint32_t literals; /* distinct keys or patterns in each tier, of base and delta */
	uint32_t patterns;
	uint32_t mass;
	uint32_t tolerant;
	uint32_t masked;
	size_t database_size; /* bytes of all Hyperscan databases */
	int64_t build_ns;
};

/*
 * Builds a set over `count` lists (none is fine: it never hits) on `base`, which it holds; NULL: everything is delta.
 * Lists are only read, and not needed afterwards.
 *
 * 0; -E2BIG: over a limit, in all lists or in the delta (then a base of these lists may yet do); -EINVAL: two lists
 * with one id, or a pattern that Hyperscan refuses; -ENOTSUP: this CPU lacks what Hyperscan needs; -ENOMEM. Then
 * ret_set is untouched and err names the list and line, never the VRM.
 */
int matchset_new(const struct list *const *lists, size_t count, struct matchbase *base,
		 const struct match_limits *limits, struct err *err, struct matchset **ret_set);
/* No scratch made against it may be used afterwards. NULL is fine; returns NULL. */
struct matchset *matchset_free(struct matchset *set);
void matchset_stats(const struct matchset *set, struct matchset_stats *ret_stats);

/* The base it stands on, the set's own hold; NULL: none. */
struct matchbase *matchset_base(const struct matchset *set);

/* How much a new base would take in: entries outside the base and tombstones in it. */
uint64_t matchset_stale(const struct matchset *set);

/* Room for one worker to match against this very set; made on the control thread. -ENOMEM. Free in any order. */
int match_scratch_new(const struct matchset *set, struct match_scratch **ret_scratch);
struct match_scratch *match_scratch_free(struct match_scratch *scratch);

enum match_outcome { MATCH_MORE = 1 };

/* Where a burst was left, when its hits outnumbered the room for them. Starts as zero; not ours to set. */
struct match_cursor {
	uint32_t read; /* first read with hits not yet given */
	uint32_t hit;  /* how many of that read's are given */
};

/*
 * The hot path: the hits of `count` reads by their keys, in the order of the reads; `row` is the index in `reads`. Of
 * one read every entry hits once at most. Not-read and test reads never hit.
 *
 * 0: that is all of them. MATCH_MORE: hits is full; call again, same reads, same cursor, until 0 comes, and nothing is
 * lost or told twice whatever hits_max is (>= 1). Costs a second scan from cursor->read on, so let hits_max be generous
 * (4 times the burst). -EIO: Hyperscan failed, which is a bug; no hit is given.
 * Any count works; bursts of 32 to 1,024 are scanned at once, larger ones in parts. No allocation, no lock.
 */
int match_burst(const struct matchset *set, struct match_scratch *scratch, const struct read *reads, size_t count,
		struct match_cursor *cursor, struct hit *hits, size_t hits_max, size_t *ret_count);

#endif
