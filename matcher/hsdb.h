/*
 * Hyperscan, as far as we use it: canonical key patterns in, a block-mode database out. Every expression is the pattern
 * between two separators, `\nAB[A-Z0-9]C[A-Z0-9]*\n`; its id is its index. No flags, no anchors, no start of match, no
 * offset limits: each of those makes compiling or scanning many times slower.
 *
 * A database is immutable and shared by a count of references; any control thread. Its key names what it was made of:
 * SHA-256 over Hyperscan's version, this platform, and every pattern with its id.
 *
 * As an image it can be made elsewhere (matcher/hscompile.h) and kept: a head with key, size and digest, checked before
 * Hyperscan sees a byte, for hs_deserialize_database trusts what it is given. An image tells VRMs: it is sealed where
 * it rests.
 */
#ifndef GANTRY_MATCHER_HSDB_H
#define GANTRY_MATCHER_HSDB_H

#include <stddef.h>
#include <stdint.h>

#include "appliance/base/digest.h"

struct err;
struct hs_database;

#define HSDB_SEPARATOR '\n'

/* A pattern of 1 to 24 bytes out of A–Z, 0–9, `?`, `*`; zero padded. */
#define HSDB_PATTERN_SIZE 24
struct hsdb_pattern {
	char bytes[HSDB_PATTERN_SIZE];
};

struct hsdb;

void hsdb_key(const struct hsdb_pattern *patterns, uint32_t count, uint8_t ret_key[SHA256_SIZE]);

/*
 * 0; none at all gives NULL. -ENOTSUP: the CPU is too old for Hyperscan. -ENOMEM. -EINVAL: an empty pattern, or
 * Hyperscan refuses an expression, or all of them together; then ret_bad is its index, or count when none is to blame.
 */
int hsdb_compile(const struct hsdb_pattern *patterns, uint32_t count, struct err *err, uint32_t *ret_bad,
		 struct hsdb **ret_db);

struct hsdb *hsdb_hold(struct hsdb *db); /* NULL stays NULL */
/* Lets go. NULL is fine; returns NULL. */
struct hsdb *hsdb_free(struct hsdb *db);

const struct hs_database *hsdb_database(const struct hsdb *db); /* NULL for NULL */
const uint8_t *hsdb_content(const struct hsdb *db);             /* its key; db is not NULL */
size_t hsdb_size(const struct hsdb *db);

/* The caller wipes and frees ret_bytes. -ENOMEM. */
int hsdb_image(const struct hsdb *db, void **ret_bytes, size_t *ret_size);
/*
 * -EBADMSG: not an image, damaged, or of another Hyperscan; -ESTALE: a whole image, but of other patterns, version or
 * platform; -ENOMEM. err says which.
 */
int hsdb_parse(const void *bytes, size_t size, const uint8_t key[SHA256_SIZE], struct err *err, struct hsdb **ret_db);

#endif
