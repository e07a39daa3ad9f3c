/*
 * The base of match sets: everything of given versions of lists that takes long to build. Immutable, shared by a count
 * of references, made on any control thread (seconds, when patterns have to be compiled), used through a match set
 * (matcher/matchset.h) only.
 *
 * A base outlives the versions it was made of: a set lays the newest lists over it. What of it still holds is told by
 * list id, generation and tolerance: within a generation an entry keeps its number.
 */
#ifndef GANTRY_MATCHER_MATCHBASE_H
#define GANTRY_MATCHER_MATCHBASE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct err;
struct hscompile;
struct list;
struct matchbase;

/* Zero in any field is its default. */
struct match_limits {
	uint32_t mass_entries_min;  /* exact entries of a list so long go to the mass table, others to Hyperscan; 1 */
	uint32_t literals_max;      /* when all other lists together are longer, they go there too; 100,000 */
	uint32_t patterns_max;      /* entries with wildcards of all lists; 30,000. More is refused */
	uint32_t substitutions_max; /* entries of lists that accept a substitution; 100,000. More is refused */
};

enum matchbase_part { MATCHBASE_LITERALS, MATCHBASE_PATTERNS, MATCHBASE_PARTS };

/*
 * Where images of compiled databases rest, one of each part. `get` gives bytes that the base wipes and frees, or < 0;
 * what it gives is checked, and when it does not fit it is as if nothing had been there. `put` may fail silently.
 */
struct matchbase_cache {
	int (*get)(void *context, enum matchbase_part part, void **ret_bytes, size_t *ret_size);
	void (*put)(void *context, enum matchbase_part part, const void *bytes, size_t size);
	void *context;
};

struct matchbase_options {
	struct match_limits limits;
	const struct matchbase *like;        /* its databases are taken where they are the same; may be NULL */
	const struct matchbase_cache *cache; /* may be NULL */
	const struct hscompile *compile;     /* matcher/hscompile.h; NULL: in this process */
	bool ready_only;                     /* compile nothing */
};

enum matchbase_outcome { MATCHBASE_TO_COMPILE = 1 };

/*
 * Lists are only read, and not needed afterwards. 0; MATCHBASE_TO_COMPILE: under ready_only a database is neither in
 * `like` nor in the cache; -E2BIG: over a limit; -EINVAL: two lists with one id, or a pattern that Hyperscan refuses;
 * -ENOTSUP: this CPU lacks what Hyperscan needs; -ENOMEM; those of hscompile_run. Then ret_base is untouched and err
 * says why: list and line, never the VRM.
 */
int matchbase_new(const struct list *const *lists, size_t count, const struct matchbase_options *options,
		  struct err *err, struct matchbase **ret_base);
struct matchbase *matchbase_hold(struct matchbase *base); /* NULL stays NULL */
/* Lets go. NULL is fine; returns NULL. */
struct matchbase *matchbase_free(struct matchbase *base);

#endif
