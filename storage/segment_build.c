/*
 * A segment in the making. Rows fill the row page and, with each new key, the dictionary page; each leaves one entry of
 * the scene list behind, which is sorted in place when the last row is in. Then scenes, hits and fences are written.
 */
#include "storage/segment_build.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "appliance/base/bytes.h"
#include "storage/radix.h"
#include "storage/row.h"
#include "storage/segment_keys.h"
#include "storage/segment_out.h"
#include "storage/segment_page.h"

/* An entry of the scene list: camera, unit of the day, row page, from the top down; so its order is the scenes'. */
#define PAGE_BITS 19
#define UNIT_BITS 13
static_assert(DAY_US / 1000000 / SEGMENT_SCENE_UNIT_S <= 1 << UNIT_BITS, "a unit of the day fits");
static_assert(SEGMENT_ROWS_MAX / SEGMENT_PAGE_ROWS <= 1 << PAGE_BITS, "a row page's number fits");
static_assert(32 + UNIT_BITS + PAGE_BITS == 64, "an entry fills its 64 bits");

#define LIST_MIN 4096

struct segment_build {
	struct segment_summary *summary;
	struct segment_out out;
	int (*pace)(void *context); /* NULL: nobody calls it off */
	void *pace_context;
	uint64_t *scenes;
	size_t scene_room;
	struct hit *hits;
	size_t hit_count;
	size_t hit_room;
	uint32_t row_count;
	uint32_t head_row; /* first of the group of equal reads that the last row belongs to */
	int64_t midnight_us;
	/* The row page being filled; `last` is the row before its first. */
	struct read last;
	struct read rows[SEGMENT_PAGE_ROWS];
	unsigned page_rows;
	uint64_t row_bytes[SEGMENT_ROW_PARTS];
	/* The dictionary page being filled. */
	uint8_t keys[SEGMENT_PAGE_KEYS][16];
	uint32_t key_counts[SEGMENT_PAGE_KEYS];
	unsigned page_keys;
	uint32_t keys_first_row;
	uint64_t key_count;
	uint64_t section_bytes[SEGMENT_SECTIONS]; /* of data pages, sealed */
};

static void count_page(struct segment_build *build, unsigned section, size_t size)
{
	build->section_bytes[section] += size + AEAD_TAG_SIZE;
}

static void end_row_page(struct segment_build *build)
{
	uint8_t *page;
	size_t size;

	if (build->page_rows == 0)
		return;
	page = segment_out_begin(&build->out);
	size = segment_rows_encode_counted(build->rows, build->page_rows, page, build->row_bytes);
	count_page(build, SEGMENT_ROWS, size);
	segment_out_end(&build->out, SEGMENT_ROWS, build->rows[0].key, build->row_count - build->page_rows, size);
	build->last = build->rows[build->page_rows - 1];
	build->page_rows = 0;
}

static void end_key_page(struct segment_build *build)
{
	uint8_t *page;
	size_t size;

	if (build->page_keys == 0)
		return;
	page = segment_out_begin_parked(&build->out);
	if (page != NULL) {
		size = segment_keys_encode(build->keys, build->key_counts, build->page_keys, build->keys_first_row,
					   page);
		count_page(build, SEGMENT_KEYS, size);
		segment_out_end_parked(&build->out, SEGMENT_KEYS, build->keys[0], build->keys_first_row, size);
	}
	build->page_keys = 0;
}

static void add_key(struct segment_build *build, const uint8_t key[16])
{
	if (build->page_keys == SEGMENT_PAGE_KEYS)
		end_key_page(build);
	if (build->page_keys == 0)
		build->keys_first_row = build->row_count;
	memcpy(build->keys[build->page_keys], key, 16);
	build->key_counts[build->page_keys++] = 0;
	build->key_count++;
}

static int grow(void **list, size_t *room, size_t item_size)
{
	size_t more = *room == 0 ? LIST_MIN : 2 * *room;
	void *grown = realloc(*list, more * item_size);

	if (grown == NULL)
		return -ENOMEM;
	*list = grown;
	*room = more;
	return 0;
}

static int add_scene(struct segment_build *build, const struct read *row)
{
	uint64_t unit = (uint64_t)(row->capture_us - build->midnight_us) / (SEGMENT_SCENE_UNIT_S * UINT64_C(1000000));

	if (build->row_count == build->scene_room &&
	    grow((void **)&build->scenes, &build->scene_room, sizeof(*build->scenes)) < 0)
		return -ENOMEM;
	build->scenes[build->row_count] = (uint64_t)row->camera << (UNIT_BITS + PAGE_BITS) | unit << PAGE_BITS |
					  build->row_count / SEGMENT_PAGE_ROWS;
	return 0;
}

static int add_row(struct segment_build *build, const struct read *row, bool new_key)
{
	struct segment_summary *summary = build->summary;
	int r = add_scene(build, row);

	if (r < 0)
		return r;
	if (new_key)
		add_key(build, row->key);
	build->key_counts[build->page_keys - 1]++;
	if (row->capture_us < summary->capture_first_us)
		summary->capture_first_us = row->capture_us;
	if (row->capture_us > summary->capture_last_us)
		summary->capture_last_us = row->capture_us;
	build->rows[build->page_rows++] = *row;
	build->row_count++;
	if (build->page_rows == SEGMENT_PAGE_ROWS)
		end_row_page(build);
	return 0;
}

/* How a row stands to the one before. Nearly always key or time settle it. */
enum follows { FOLLOWS_NOT, FOLLOWS_NEW_KEY, FOLLOWS_SAME_KEY, FOLLOWS_EQUAL };

static enum follows follow(const struct read *last, const struct read *row)
{
	if (!row_same_key(last, row))
		return memcmp(last->key, row->key, sizeof(row->key)) < 0 ? FOLLOWS_NEW_KEY : FOLLOWS_NOT;
	if (last->capture_us < row->capture_us)
		return FOLLOWS_SAME_KEY;
	if (row_compare(last, row) > 0)
		return FOLLOWS_NOT;
	return row_equal(last, row) ? FOLLOWS_EQUAL : FOLLOWS_SAME_KEY;
}

int segment_build_row(struct segment_build *build, const struct read *row, uint64_t *ret_row)
{
	const struct read *last = build->page_rows > 0 ? &build->rows[build->page_rows - 1] : &build->last;
	enum follows follows = build->row_count == 0 ? FOLLOWS_NEW_KEY : follow(last, row);
	int r;

	if (follows == FOLLOWS_NOT || row->capture_us < build->midnight_us ||
	    row->capture_us - build->midnight_us >= DAY_US)
		return -EINVAL;
	/* All of a group that were kept have one source, so the last of them speaks for the group. */
	if (follows == FOLLOWS_EQUAL && !row_same_source(last, row)) {
		build->summary->collapsed_count++;
		*ret_row = build->head_row;
		return 0;
	}
	if (build->row_count == SEGMENT_ROWS_MAX)
		return -E2BIG;
	if (follows != FOLLOWS_EQUAL)
		build->head_row = build->row_count;
	r = add_row(build, row, follows == FOLLOWS_NEW_KEY);
	if (r == 0)
		*ret_row = build->row_count - 1;
	return r;
}

int segment_build_hit(struct segment_build *build, const struct hit *hit)
{
	if (hit->row >= build->row_count || !segment_hit_number_valid(hit->number))
		return -EINVAL;
	if (build->hit_count == build->hit_room &&
	    grow((void **)&build->hits, &build->hit_room, sizeof(*build->hits)) < 0)
		return -ENOMEM;
	build->hits[build->hit_count++] = *hit;
	return 0;
}

static void write_scene_page(struct segment_build *build, const struct segment_scene *scenes, unsigned count)
{
	uint64_t *item_count = &build->summary->sections[SEGMENT_SCENES].item_count;
	uint8_t key[16] = {0};
	uint8_t *page = segment_out_begin(&build->out);
	size_t size = segment_scenes_encode(scenes, count, page);

	be32_put(key, scenes[0].camera);
	be32_put(key + 4, scenes[0].unit);
	count_page(build, SEGMENT_SCENES, size);
	segment_out_end(&build->out, SEGMENT_SCENES, key, (uint32_t)*item_count, size);
	*item_count += count;
}

void segment_build_pace(struct segment_build *build, int (*pace)(void *context), void *context)
{
	build->pace = pace;
	build->pace_context = context;
}

static int ask_pace(const struct segment_build *build)
{
	return build->pace != NULL ? build->pace(build->pace_context) : 0;
}

/* Rows of one vehicle at one camera in one unit share a page, and so an entry: it is written once. */
static int write_scenes(struct segment_build *build)
{
	struct segment_scene scenes[SEGMENT_PAGE_SCENES];
	unsigned count = 0;
	int r = radix_sort_in_place_paced(build->scenes, build->row_count, build->pace, build->pace_context);

	for (uint32_t i = 0; r == 0 && i < build->row_count; i++) {
		uint64_t entry = build->scenes[i];

		if (i > 0 && entry == build->scenes[i - 1])
			continue;
		if (count == SEGMENT_PAGE_SCENES) {
			write_scene_page(build, scenes, count);
			count = 0;
			r = ask_pace(build);
		}
		scenes[count++] =
			(struct segment_scene){.camera = (uint32_t)(entry >> (UNIT_BITS + PAGE_BITS)),
					       .unit = (uint32_t)(entry >> PAGE_BITS) & ((1u << UNIT_BITS) - 1),
					       .page = (uint32_t)entry & ((1u << PAGE_BITS) - 1)};
	}
	if (r == 0)
		write_scene_page(build, scenes, count);
	return r;
}

#define COMPARE(field)                                                                                                 \
	if (x->field != y->field)                                                                                      \
	return x->field < y->field ? -1 : 1

/* 0: they say the same, whatever their numbers. */
static int compare_finds(const struct hit *x, const struct hit *y)
{
	COMPARE(row);
	COMPARE(list);
	COMPARE(version);
	COMPARE(entry);
	COMPARE(kind);
	COMPARE(priority);
	return 0;
}

static int compare_hits(const void *a, const void *b)
{
	const struct hit *x = a;
	const struct hit *y = b;
	int order = compare_finds(x, y);

	if (order != 0)
		return order;
	COMPARE(flags);
	COMPARE(number);
	return 0;
}
#undef COMPARE

/*
 * Copies that collapsed bring the same hits along: those are kept once, the first of those that are no repeats. Returns
 * how many there are.
 */
static size_t gather_hits(struct segment_build *build)
{
	struct hit *hits = build->hits;
	size_t kept = 0;

	if (build->hit_count > 0)
		qsort(hits, build->hit_count, sizeof(*hits), compare_hits);
	for (size_t i = 0; i < build->hit_count; i++)
		if (kept == 0 || compare_finds(&hits[kept - 1], &hits[i]) != 0)
			hits[kept++] = hits[i];
	return kept;
}

static int write_hits(struct segment_build *build)
{
	size_t count = gather_hits(build);
	int r = 0;

	build->summary->sections[SEGMENT_HITS].item_count = count;
	for (size_t i = 0; i < count; i++)
		segment_hit_fence_add(build->summary, build->hits[i].number);
	for (size_t i = 0; r == 0 && i < count; i += SEGMENT_PAGE_HITS) {
		unsigned in_page = count - i < SEGMENT_PAGE_HITS ? (unsigned)(count - i) : SEGMENT_PAGE_HITS;
		uint8_t key[16] = {0};
		uint8_t *page = segment_out_begin(&build->out);
		size_t size = segment_hits_encode(&build->hits[i], in_page, page);

		be32_put(key, build->hits[i].row);
		count_page(build, SEGMENT_HITS, size);
		segment_out_end(&build->out, SEGMENT_HITS, key, (uint32_t)i, size);
		r = ask_pace(build);
	}
	return r;
}

int segment_build_finish(struct segment_build *build, struct err *err, struct segment_summary *ret_summary)
{
	struct segment_summary *summary = build->summary;
	int r;

	if (build->row_count == 0)
		return err_set(err, -ENODATA, "%s: a segment without rows cannot be written", build->out.path);
	end_row_page(build);
	end_key_page(build);
	segment_out_unpark(&build->out, SEGMENT_KEYS);
	r = write_scenes(build);
	if (r == 0)
		r = write_hits(build);
	if (r < 0)
		return err_set(err, r, "%s: put off while it was finished", build->out.path);
	summary->row_count = build->row_count;
	summary->sections[SEGMENT_ROWS].item_count = build->row_count;
	summary->sections[SEGMENT_KEYS].item_count = build->key_count;
	r = segment_out_finish(&build->out, summary);
	if (r < 0)
		return err_set(err, r, "%s: cannot write segment: %s", build->out.path, strerror(-r));
	*ret_summary = *summary;
	return 0;
}

static void start_summary(const struct segment_origin *origin, struct segment_summary *summary)
{
	memset(summary, 0, sizeof(*summary));
	summary->id = origin->id;
	summary->day = origin->day;
	summary->key_version = origin->key_version;
	summary->lineage_kind = origin->lineage_kind;
	summary->lineage_count = (uint32_t)origin->lineage_count;
	memcpy(summary->lineage, origin->lineage, origin->lineage_count * sizeof(*origin->lineage));
	summary->capture_first_us = INT64_MAX;
	summary->capture_last_us = INT64_MIN;
}

static struct segment_build *build_alloc(void)
{
	struct segment_build *build = aligned_alloc(_Alignof(struct segment_build), sizeof(struct segment_build));

	if (build == NULL)
		return NULL;
	memset(build, 0, sizeof(*build));
	build->summary = malloc(sizeof(*build->summary));
	if (build->summary != NULL)
		return build;
	free(build);
	return NULL;
}

int segment_build_new(struct io *io, const char *directory, const uint8_t key[32], const struct segment_origin *origin,
		      struct err *err, struct segment_build **ret_build)
{
	struct segment_build *build;
	int r;

	if (origin->lineage_count == 0 || origin->lineage_count > SEGMENT_LINEAGE_MAX)
		return err_set(err, -EINVAL, "a segment of %zu ancestors cannot be written", origin->lineage_count);
	build = build_alloc();
	if (build == NULL)
		return err_set(err, -ENOMEM, "no memory to write a segment");
	start_summary(origin, build->summary);
	build->midnight_us = (int64_t)origin->day * DAY_US;
	r = segment_out_init(&build->out, io, directory, key, origin->day, origin->id);
	if (r < 0) {
		(void)err_set(err, r, "%s: cannot write segment: %s", build->out.path, strerror(-r));
		segment_build_free(build);
		return r;
	}
	*ret_build = build;
	return 0;
}

struct segment_build *segment_build_free(struct segment_build *build)
{
	if (build == NULL)
		return NULL;
	segment_out_fini(&build->out);
	free(build->hits);
	free(build->scenes);
	free(build->summary);
	free(build);
	return NULL;
}

static void add_size(struct segment_sizes *sizes, const char *name, uint64_t bytes)
{
	sizes->list[sizes->count++] = (struct segment_size){name, bytes};
}

void segment_build_sizes(const struct segment_build *build, struct segment_sizes *ret_sizes)
{
	const struct segment_summary *summary = build->summary;
	uint64_t pages = build->section_bytes[SEGMENT_ROWS];
	uint64_t fences = summary->file_size - SEGMENT_HEADER_SIZE - SEGMENT_END_SIZE;

	ret_sizes->count = 0;
	for (unsigned p = 0; p < SEGMENT_ROW_PARTS; p++) {
		add_size(ret_sizes, segment_row_part_name(p), build->row_bytes[p]);
		pages -= build->row_bytes[p];
	}
	add_size(ret_sizes, "row page frame", pages);
	add_size(ret_sizes, "dictionary", build->section_bytes[SEGMENT_KEYS]);
	add_size(ret_sizes, "scenes", build->section_bytes[SEGMENT_SCENES]);
	add_size(ret_sizes, "hits", build->section_bytes[SEGMENT_HITS]);
	for (unsigned s = SEGMENT_ROWS; s < SEGMENT_TOP; s++)
		fences -= build->section_bytes[s];
	add_size(ret_sizes, "fences", fences);
	add_size(ret_sizes, "header and end", SEGMENT_HEADER_SIZE + SEGMENT_END_SIZE);
}
