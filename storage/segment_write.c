/*
 * The way of a segment: order the rows (row_order), walk them once in that order, and while walking collapse equal
 * reads, fill row pages, gather the dictionary and the scene list; then scenes, hits, fences. Rows are touched twice
 * at random (once to break ties, once to encode), each time prefetched: that is what the speed depends on.
 */
#include "storage/segment_write.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "appliance/base/bytes.h"
#include "storage/keyring.h"
#include "storage/radix.h"
#include "storage/row.h"
#include "storage/segment_keys.h"
#include "storage/segment_out.h"
#include "storage/segment_page.h"

#define PREFETCH 16
#define SECOND_BITS 17 /* a day has 86,400 */
static_assert(86400 < 1 << SECOND_BITS, "camera and second fit one radix key");

struct writer {
	const struct segment_input *input;
	struct segment_summary *summary;
	struct segment_out out;
	uint32_t *order;
	uint32_t *row_of;          /* of each input row; NULL without hits */
	struct radix_item *scenes; /* room for twice as many */
	uint32_t row_count;
	/* The row page being filled. */
	struct read rows[SEGMENT_PAGE_ROWS];
	unsigned page_rows;
	/* The dictionary page being filled. */
	uint8_t keys[SEGMENT_PAGE_KEYS][16];
	uint32_t key_counts[SEGMENT_PAGE_KEYS];
	unsigned page_keys;
	uint32_t keys_first_row;
	uint64_t key_count;
	/* First of the group of equal reads that the walk is in. */
	struct read head;
	uint32_t head_row;
};

static void end_row_page(struct writer *writer)
{
	uint8_t *page;

	if (writer->page_rows == 0)
		return;
	page = segment_out_begin(&writer->out);
	segment_out_end(&writer->out, SEGMENT_ROWS, writer->rows[0].key, writer->row_count - writer->page_rows,
			segment_rows_encode(writer->rows, writer->page_rows, page));
	writer->page_rows = 0;
}

static void end_key_page(struct writer *writer)
{
	uint8_t *page;

	if (writer->page_keys == 0)
		return;
	page = segment_out_begin_parked(&writer->out);
	if (page != NULL)
		segment_out_end_parked(&writer->out, SEGMENT_KEYS, writer->keys[0], writer->keys_first_row,
				       segment_keys_encode(writer->keys, writer->key_counts, writer->page_keys,
							   writer->keys_first_row, page));
	writer->page_keys = 0;
}

static void add_key(struct writer *writer, const uint8_t key[16])
{
	if (writer->page_keys > 0 && memcmp(writer->keys[writer->page_keys - 1], key, 16) == 0) {
		writer->key_counts[writer->page_keys - 1]++;
		return;
	}
	if (writer->page_keys == SEGMENT_PAGE_KEYS)
		end_key_page(writer);
	if (writer->page_keys == 0)
		writer->keys_first_row = writer->row_count;
	memcpy(writer->keys[writer->page_keys], key, 16);
	writer->key_counts[writer->page_keys++] = 1;
	writer->key_count++;
}

static void add_row(struct writer *writer, const struct read *row)
{
	struct segment_summary *summary = writer->summary;
	uint32_t second = (uint32_t)((row->capture_us - (int64_t)writer->input->day * DAY_US) / 1000000);

	add_key(writer, row->key);
	writer->scenes[writer->row_count] =
		(struct radix_item){(uint64_t)row->camera << SECOND_BITS | second, writer->row_count};
	if (row->capture_us < summary->capture_first_us)
		summary->capture_first_us = row->capture_us;
	if (row->capture_us > summary->capture_last_us)
		summary->capture_last_us = row->capture_us;
	writer->rows[writer->page_rows++] = *row;
	writer->row_count++;
	if (writer->page_rows == SEGMENT_PAGE_ROWS)
		end_row_page(writer);
}

/* Takes the next row in store order; returns the row number that stands for it. */
static uint32_t take_row(struct writer *writer, const struct read *row)
{
	bool equal = writer->row_count > 0 && row_equal(&writer->head, row);

	if (equal && !row_same_source(&writer->head, row)) {
		writer->summary->collapsed_count++;
		return writer->head_row;
	}
	if (!equal) {
		writer->head = *row;
		writer->head_row = writer->row_count;
	}
	add_row(writer, row);
	return writer->row_count - 1;
}

static void walk_rows(struct writer *writer)
{
	const struct read *const *rows = writer->input->rows;
	size_t count = writer->input->row_count;

	for (size_t i = 0; i < count; i++) {
		uint32_t row;

		if (i + 2 * PREFETCH < count) /* the pointer first: it is a miss as well */
			__builtin_prefetch(&rows[writer->order[i + 2 * PREFETCH]]);
		if (i + PREFETCH < count) {
			const char *ahead = (const char *)rows[writer->order[i + PREFETCH]];

			__builtin_prefetch(ahead);
			__builtin_prefetch(ahead + sizeof(struct read) - 1);
		}
		row = take_row(writer, rows[writer->order[i]]);
		if (writer->row_of != NULL)
			writer->row_of[writer->order[i]] = row;
	}
	end_row_page(writer);
	end_key_page(writer);
	segment_out_unpark(&writer->out, SEGMENT_KEYS);
}

static void write_scenes(struct writer *writer)
{
	struct segment_scene scenes[SEGMENT_PAGE_SCENES];

	radix_sort(writer->scenes, writer->scenes + writer->input->row_count, writer->row_count);
	for (uint32_t i = 0; i < writer->row_count; i += SEGMENT_PAGE_SCENES) {
		uint32_t left = writer->row_count - i;
		unsigned count = left < SEGMENT_PAGE_SCENES ? left : SEGMENT_PAGE_SCENES;
		uint8_t key[16] = {0};
		uint8_t *page = segment_out_begin(&writer->out);

		for (unsigned j = 0; j < count; j++)
			scenes[j] = (struct segment_scene){
				(uint32_t)(writer->scenes[i + j].key >> SECOND_BITS),
				(uint32_t)(writer->scenes[i + j].key & ((1u << SECOND_BITS) - 1)),
				writer->scenes[i + j].index};
		be32_put(key, scenes[0].camera);
		be32_put(key + 4, scenes[0].second);
		segment_out_end(&writer->out, SEGMENT_SCENES, key, i, segment_scenes_encode(scenes, count, page));
	}
}

static int compare_hits(const void *a, const void *b)
{
	const struct hit *x = a;
	const struct hit *y = b;

#define COMPARE(field)                                                                                                 \
	if (x->field != y->field)                                                                                      \
	return x->field < y->field ? -1 : 1
	COMPARE(row);
	COMPARE(list);
	COMPARE(version);
	COMPARE(entry);
	COMPARE(kind);
	COMPARE(priority);
	COMPARE(zero);
#undef COMPARE
	return 0;
}

/* Copies that collapsed bring the same hits along: those are kept once. Returns how many there are, or < 0. */
static int64_t gather_hits(struct writer *writer, struct hit *hits)
{
	const struct segment_input *input = writer->input;
	size_t kept = 0;

	for (size_t i = 0; i < input->hit_count; i++) {
		hits[i] = input->hits[i];
		hits[i].row = writer->row_of[input->hits[i].row];
	}
	qsort(hits, input->hit_count, sizeof(*hits), compare_hits);
	for (size_t i = 0; i < input->hit_count; i++)
		if (kept == 0 || compare_hits(&hits[kept - 1], &hits[i]) != 0)
			hits[kept++] = hits[i];
	return (int64_t)kept;
}

static int write_hits(struct writer *writer)
{
	struct hit *hits;
	size_t count;

	if (writer->input->hit_count == 0)
		return 0;
	hits = malloc(writer->input->hit_count * sizeof(*hits));
	if (hits == NULL)
		return -ENOMEM;
	count = (size_t)gather_hits(writer, hits);
	writer->summary->sections[SEGMENT_HITS].item_count = count;
	for (size_t i = 0; i < count; i += SEGMENT_PAGE_HITS) {
		unsigned in_page = count - i < SEGMENT_PAGE_HITS ? (unsigned)(count - i) : SEGMENT_PAGE_HITS;
		uint8_t key[16] = {0};
		uint8_t *page = segment_out_begin(&writer->out);

		be32_put(key, hits[i].row);
		segment_out_end(&writer->out, SEGMENT_HITS, key, (uint32_t)i,
				segment_hits_encode(&hits[i], in_page, page));
	}
	free(hits);
	return 0;
}

static int check_input(const struct segment_input *input, struct err *err)
{
	if (input->row_count == 0 || input->row_count > SEGMENT_ROWS_MAX || input->lineage_count == 0 ||
	    input->lineage_count > SEGMENT_LINEAGE_MAX)
		return err_set(err, -EINVAL, "a segment of %zu rows and %zu ancestors cannot be written",
			       input->row_count, input->lineage_count);
	for (size_t i = 0; i < input->row_count; i++)
		if (read_day(input->rows[i]->capture_us) != input->day)
			return err_set(err, -EINVAL, "row %zu of the input was not captured on day %d", i, input->day);
	for (size_t i = 0; i < input->hit_count; i++)
		if (input->hits[i].row >= input->row_count)
			return err_set(err, -EINVAL, "hit %zu of the input has no row", i);
	return 0;
}

static void start_summary(const struct segment_input *input, struct segment_summary *summary)
{
	memset(summary, 0, sizeof(*summary));
	summary->id = input->id;
	summary->day = input->day;
	summary->key_version = input->key_version;
	summary->lineage_kind = input->lineage_kind;
	summary->lineage_count = (uint32_t)input->lineage_count;
	memcpy(summary->lineage, input->lineage, input->lineage_count * sizeof(*input->lineage));
	summary->capture_first_us = INT64_MAX;
	summary->capture_last_us = INT64_MIN;
}

static int make_scratch(struct writer *writer)
{
	const struct segment_input *input = writer->input;

	writer->order = malloc(input->row_count * sizeof(*writer->order));
	if (writer->order == NULL)
		return -ENOMEM;
	if (input->hit_count > 0) {
		writer->row_of = malloc(input->row_count * sizeof(*writer->row_of));
		if (writer->row_of == NULL)
			return -ENOMEM;
	}
	return row_order(input->rows, input->row_count, writer->order);
}

static int write_all(struct writer *writer)
{
	struct segment_section_info *sections = writer->summary->sections;
	int r;

	/* After row_order has given its own scratch back. */
	writer->scenes = malloc(2 * writer->input->row_count * sizeof(*writer->scenes));
	if (writer->scenes == NULL)
		return -ENOMEM;
	walk_rows(writer);
	write_scenes(writer);
	r = write_hits(writer);
	if (r < 0)
		return r;
	writer->summary->row_count = writer->row_count;
	sections[SEGMENT_ROWS].item_count = writer->row_count;
	sections[SEGMENT_SCENES].item_count = writer->row_count;
	sections[SEGMENT_KEYS].item_count = writer->key_count;
	return segment_out_finish(&writer->out, writer->summary);
}

int segment_write(struct io *io, struct keyring *keyring, const char *directory, const struct segment_input *input,
		  struct err *err, struct segment_summary *ret_summary)
{
	struct key_id key_id = {.id = input->id, .day = input->day, .kind = KEY_SEGMENT};
	struct segment_summary *summary = malloc(sizeof(*summary));
	struct writer *writer = aligned_alloc(_Alignof(struct writer), sizeof(struct writer));
	uint8_t key[KEY_SIZE];
	int r = -ENOMEM;

	if (summary == NULL || writer == NULL)
		goto out;
	memset(writer, 0, sizeof(*writer));
	writer->input = input;
	writer->summary = summary;
	r = check_input(input, err);
	if (r < 0)
		goto out;
	start_summary(input, summary);
	r = keyring_get(keyring, key_id, key);
	if (r < 0) {
		(void)err_set(err, r, "segment %016llx has no key in the keyring", (unsigned long long)input->id);
		goto out;
	}
	r = make_scratch(writer);
	if (r == 0)
		r = segment_out_init(&writer->out, io, directory, key, input->day, input->id);
	bytes_wipe(key, sizeof(key));
	if (r == 0)
		r = write_all(writer);
	segment_out_fini(&writer->out);
	if (r < 0)
		(void)err_set(err, r, "%s: cannot write segment: %s", writer->out.path, strerror(-r));
	else
		*ret_summary = *summary;
	free(writer->scenes);
	free(writer->row_of);
	free(writer->order);
out:
	free(writer);
	free(summary);
	return r;
}
