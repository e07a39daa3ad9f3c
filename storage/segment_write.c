/*
 * The way of a journal's day: order the rows (row_order), walk them once in that order into a segment_build. Rows are
 * touched twice at random (once to break ties, once to encode), each time prefetched: that is what the speed depends
 * on.
 */
#include "storage/segment_write.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "appliance/base/bytes.h"
#include "storage/keyring.h"
#include "storage/row.h"
#include "storage/segment_build.h"
#include "storage/segment_format.h"

#define PREFETCH 16

static void prefetch(const struct segment_input *input, const uint32_t *order, size_t i)
{
	if (i + 2 * PREFETCH < input->row_count) /* the pointer first: it is a miss as well */
		__builtin_prefetch(&input->rows[order[i + 2 * PREFETCH]]);
	if (i + PREFETCH < input->row_count) {
		const char *ahead = (const char *)input->rows[order[i + PREFETCH]];

		__builtin_prefetch(ahead);
		__builtin_prefetch(ahead + sizeof(struct read) - 1);
	}
}

/* row_of: of each input row the number of the row that stands for it; NULL when nobody asks. */
static int walk_rows(struct segment_build *build, const struct segment_input *input, const uint32_t *order,
		     uint32_t *row_of)
{
	for (size_t i = 0; i < input->row_count; i++) {
		uint64_t row = 0;
		int r;

		prefetch(input, order, i);
		r = segment_build_row(build, input->rows[order[i]], &row);
		if (r < 0)
			return r;
		if (row_of != NULL)
			row_of[order[i]] = (uint32_t)row;
	}
	return 0;
}

static int give_hits(struct segment_build *build, const struct segment_input *input, const uint32_t *row_of)
{
	int r = 0;

	for (size_t i = 0; i < input->hit_count && r == 0; i++) {
		struct hit hit = input->hits[i];

		hit.row = row_of[hit.row];
		r = segment_build_hit(build, &hit);
	}
	return r;
}

static int check_input(const struct segment_input *input, struct err *err)
{
	if (input->row_count == 0 || input->row_count > SEGMENT_ROWS_MAX)
		return err_set(err, -EINVAL, "a segment of %zu rows cannot be written", input->row_count);
	for (size_t i = 0; i < input->row_count; i++)
		if (read_day(input->rows[i]->capture_us) != input->day)
			return err_set(err, -EINVAL, "row %zu of the input was not captured on day %d", i, input->day);
	for (size_t i = 0; i < input->hit_count; i++)
		if (input->hits[i].row >= input->row_count)
			return err_set(err, -EINVAL, "hit %zu of the input has no row", i);
	return 0;
}

static int build_rows(struct segment_build *build, const struct segment_input *input)
{
	uint32_t *order = malloc(input->row_count * sizeof(*order));
	uint32_t *row_of = NULL;
	int r = order == NULL ? -ENOMEM : row_order(input->rows, input->row_count, order);

	if (r == 0 && input->hit_count > 0) {
		row_of = malloc(input->row_count * sizeof(*row_of));
		r = row_of == NULL ? -ENOMEM : 0;
	}
	if (r == 0)
		r = walk_rows(build, input, order, row_of);
	if (r == 0)
		r = give_hits(build, input, row_of);
	free(row_of);
	free(order);
	return r;
}

static int open_build(struct io *io, struct keyring *keyring, const char *directory, const struct segment_input *input,
		      struct err *err, struct segment_build **ret_build)
{
	struct key_id key_id = {.id = input->id, .day = input->day, .kind = KEY_SEGMENT};
	struct segment_origin origin = {.id = input->id,
					.day = input->day,
					.key_version = input->key_version,
					.lineage_kind = input->lineage_kind,
					.lineage = input->lineage,
					.lineage_count = input->lineage_count};
	uint8_t key[KEY_SIZE];
	int r = keyring_get(keyring, key_id, key);

	if (r < 0)
		return err_set(err, r, "segment %016llx has no key in the keyring", (unsigned long long)input->id);
	r = segment_build_new(io, directory, key, &origin, err, ret_build);
	bytes_wipe(key, sizeof(key));
	return r;
}

int segment_write(struct io *io, struct keyring *keyring, const char *directory, const struct segment_input *input,
		  struct err *err, struct segment_summary *ret_summary)
{
	struct segment_build *build = NULL;
	int r = check_input(input, err);

	if (r == 0)
		r = open_build(io, keyring, directory, input, err, &build);
	if (r < 0)
		return r;
	r = build_rows(build, input);
	if (r < 0)
		(void)err_set(err, r, "segment %016llx of day %d: %s", (unsigned long long)input->id, input->day,
			      strerror(-r));
	else
		r = segment_build_finish(build, err, ret_summary);
	segment_build_free(build);
	return r;
}
