/*
 * How many bits a read's fields hold, column by column: what a perfect coder that models a column as described here
 * would need. It is an estimate from the rows themselves (empirical distributions, order 0), in store order.
 *
 *	groups      how many rows in a row have one key
 *	key         once for a group: how much of the key before it shares and how long it is; then each character,
 *given its place, the first one also given the character that it takes the place of capture     the time since the row
 *before when that has the same key, else since the day's start receipt     receipt − capture camera      its
 *distribution feed, direction, flags, road_lane   given the camera epoch       given the feed country     given that of
 *the row before, whether it has the same key, and whether it has one form        is the text as expected: as in the row
 *before of the same key, else as storage/segment_text.h has it text        of those that are not: the distribution of
 *its difference from what was expected position    of mobile reads: distance from the same camera's last one, latitude
 *and longitude kind        given whether there is a key confidence, images   their distributions
 *
 * A distance counts as the entropy of its magnitude class (sixteen to an octave) and all bits below that.
 *
 * One owner thread.
 */
#ifndef GANTRY_BENCH_SUITE_ENTROPY_H
#define GANTRY_BENCH_SUITE_ENTROPY_H

#include <stddef.h>
#include <stdint.h>

#include "appliance/base/read.h"

enum suite_column {
	SUITE_COLUMN_GROUPS,
	SUITE_COLUMN_KEY,
	SUITE_COLUMN_FORM,
	SUITE_COLUMN_TEXT,
	SUITE_COLUMN_CAPTURE,
	SUITE_COLUMN_RECEIPT,
	SUITE_COLUMN_CAMERA,
	SUITE_COLUMN_FEED,
	SUITE_COLUMN_EPOCH,
	SUITE_COLUMN_COUNTRY,
	SUITE_COLUMN_FLAGS,
	SUITE_COLUMN_KIND,
	SUITE_COLUMN_CONFIDENCE,
	SUITE_COLUMN_ROAD_LANE,
	SUITE_COLUMN_DIRECTION,
	SUITE_COLUMN_IMAGES,
	SUITE_COLUMN_POSITION,
	SUITE_COLUMNS
};

const char *suite_column_name(enum suite_column column);

struct suite_entropy;

int suite_entropy_new(struct suite_entropy **ret_entropy); /* 0, -ENOMEM */
struct suite_entropy *suite_entropy_free(struct suite_entropy *entropy);

/* Rows that follow each other in store order; other calls may be about other stretches of it. 0, -ENOMEM. */
int suite_entropy_add(struct suite_entropy *entropy, const struct read *rows, size_t count);

/* Bits a row of that column, over all rows added; 0 without any. */
double suite_entropy_bits(const struct suite_entropy *entropy, enum suite_column column);
uint64_t suite_entropy_rows(const struct suite_entropy *entropy);

#endif
