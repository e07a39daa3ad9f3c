/* What the tests of segments share: a keyring in a fresh directory, and random reads that collide on purpose. */
#ifndef GANTRY_TESTS_STORAGE_SEGMENT_FIXTURE_H
#define GANTRY_TESTS_STORAGE_SEGMENT_FIXTURE_H

#include <stddef.h>
#include <stdint.h>

#include "appliance/base/prng.h"
#include "appliance/base/read.h"
#include "storage/io.h"
#include "storage/keyring.h"
#include "storage/segment_format.h"
#include "storage/segment_read.h"

#define FIXTURE_DAY 20779

struct fixture {
	char directory[512];
	char segments[600];
	struct io *io;
	struct keyring *keyring;
};

/* A real directory with a keyring (identity key included) and segments/. Aborts when it cannot. */
void fixture_init(struct fixture *fixture);
void fixture_fini(struct fixture *fixture);

/* Makes the key, writes the rows as one segment of the day. What segment_write says. */
int fixture_write(struct fixture *fixture, struct io *io, int32_t day, uint64_t id, const struct read *rows,
		  size_t row_count, const struct hit *hits, size_t hit_count, struct segment_summary *ret_summary);

/* Reads of few keys, cameras and instants, so that equal ones and near ones are common. Day from capture_us. */
struct read fixture_read(struct prng *prng, int32_t day);
/* Every field random over its whole range; captured on that day. */
struct read fixture_wild_read(struct prng *prng, int32_t day);

/* The plain rule: store order, copies from another (feed, epoch) dropped. Sorts in place; returns what is left. */
size_t fixture_collapse(struct read *rows, size_t count);
/* A plain, slow store order, written apart from row.c. */
int fixture_compare(const struct read *a, const struct read *b);

/* All rows of a segment, in its order; how many. */
size_t fixture_read_all(const struct segment *segment, struct read *ret_rows);
/* For segment_check: an unsigned counts what it finds. */
void fixture_count_damage(void *context, const char *text, uint64_t rows_lost);

#endif
