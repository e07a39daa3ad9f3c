/*
 * Hyperscan, as far as we use it: canonical key patterns in, a block-mode database out. Every expression is the pattern
 * between two separators, `\nAB[A-Z0-9]C[A-Z0-9]*\n`; its id is its index. No flags, no anchors, no start of match, no
 * offset limits: each of those makes compiling or scanning many times slower.
 *
 * This is the seam for compiling elsewhere: nothing but the patterns goes in.
 */
#ifndef GANTRY_MATCHER_HSDB_H
#define GANTRY_MATCHER_HSDB_H

#include <stddef.h>
#include <stdint.h>

struct err;
struct hs_database;

#define HSDB_SEPARATOR '\n'

/* A pattern of at most 24 bytes out of A–Z, 0–9, `?`, `*`; zero padded. */
#define HSDB_PATTERN_SIZE 24
struct hsdb_pattern {
	char bytes[HSDB_PATTERN_SIZE];
};

/*
 * 0; none at all gives NULL. -ENOTSUP: the CPU is too old for Hyperscan. -ENOMEM. -EINVAL: Hyperscan refuses an
 * expression, or all of them together; then ret_bad is its index, or count when none is to blame.
 */
int hsdb_compile(const struct hsdb_pattern *patterns, uint32_t count, struct err *err, uint32_t *ret_bad,
		 struct hs_database **ret_db);
void hsdb_free(struct hs_database *db);
size_t hsdb_size(const struct hs_database *db);

#endif
