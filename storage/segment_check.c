/*
 * One pass over a segment for gantry-fsck and tests. It goes on after each fault, so that the report is whole and what
 * can be read is read; what compares one section with another (dictionary, scenes) is done only when both were
 * readable.
 */
#include "storage/segment_read.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "appliance/base/array.h"
#include "storage/io.h"
#include "appliance/base/radix.h"
#include "storage/row.h"
#include "storage/segment_file.h"

struct extent {
	uint64_t offset;
	uint64_t size;
};

struct check {
	const struct segment *segment;
	const struct segment_check_hooks *hooks;
	struct segment_scratch scratch;
	struct segment_rows rows;
	struct segment_keys keys;
	struct segment_scenes scenes;
	struct segment_hits hits;
	struct extent *extents;
	size_t extent_count;
	size_t extent_room;
	bool damage;
	bool section_damage[SEGMENT_SECTIONS];
	/* The walk over the rows. */
	struct read last;
	bool last_set;
	/* Of what two sections must agree on. */
	uint64_t row_keys_sum;
	uint64_t *row_scenes; /* hashes of the rows' scenes, a row each */
	size_t row_scene_count;
	/* Of the hits. */
	uint64_t *numbers;
	size_t number_count;
	size_t number_room;
	struct segment_summary *fences; /* as they should be */
};

static void report(struct check *check, unsigned section, const char *text, uint64_t rows_lost)
{
	check->damage = true;
	if (section < SEGMENT_SECTIONS)
		check->section_damage[section] = true;
	if (check->hooks->damage != NULL)
		check->hooks->damage(check->hooks->context, text, rows_lost);
}

static void report_logic(struct check *check, unsigned section, const char *what)
{
	char name[SEGMENT_NAME_SIZE];
	struct err err;

	(void)err_set(&err, 0, "%s: %s",
		      segment_name(check->segment->summary.day, check->segment->summary.id, ".seg", name), what);
	report(check, section, err.text, 0);
}

static int add_extent(struct check *check, uint64_t offset, uint64_t size)
{
	void *grown = array_grow(check->extents, check->extent_count, &check->extent_room, sizeof(*check->extents));

	if (grown == NULL)
		return -ENOMEM;
	check->extents = grown;
	check->extents[check->extent_count++] = (struct extent){offset, size};
	return 0;
}

static int compare_extents(const void *a, const void *b)
{
	const struct extent *x = a;
	const struct extent *y = b;

	return x->offset < y->offset ? -1 : x->offset > y->offset;
}

/* The fixed parts are read again from the file: the reader may have been opened from the catalog's word. */
static void check_frame(struct check *check)
{
	const struct segment_summary *summary = &check->segment->summary;
	struct io_file *file;
	struct segment_summary *own = malloc(sizeof(*own));
	uint8_t header[SEGMENT_HEADER_SIZE];
	uint8_t top[SEGMENT_TOP_SIZE_MAX];
	uint8_t end[SEGMENT_END_SIZE];
	struct err err = {""};

	if (own == NULL)
		return;
	if (segment_plain_file(check->segment, &file) < 0)
		report_logic(check, SEGMENT_HEADER, "the file cannot be opened");
	else if (file->ops->read(file, 0, header, sizeof(header)) != (int64_t)sizeof(header) ||
		 segment_header_decode(header, &check->segment->key, &err, own) < 0)
		report(check, SEGMENT_HEADER, err.text[0] != '\0' ? err.text : "segment header: cannot be read", 0);
	else if (own->id != summary->id || own->file_size != summary->file_size || own->day != summary->day)
		report_logic(check, SEGMENT_HEADER, "the header contradicts the catalog");
	else if (file->ops->read(file, summary->file_size - SEGMENT_END_SIZE, end, sizeof(end)) !=
			 (int64_t)sizeof(end) ||
		 segment_end_check(header, summary->file_size, end) < 0)
		report_logic(check, SEGMENT_HEADER, "the end mark does not fit the header");
	if (segment_plain_file(check->segment, &file) == 0 &&
	    (file->ops->read(file, summary->top_offset, top, summary->top_size) != (int64_t)summary->top_size ||
	     memcmp(top, summary->top, summary->top_size) != 0))
		report_logic(check, SEGMENT_HEADER, "the top page is not that of the catalog");
	free(own);
}

/* Leaves of a section: their places and those of the pages they name. */
static int check_leaves(struct check *check, unsigned section)
{
	const struct segment *segment = check->segment;
	const struct segment_section_info *info = &segment->summary.sections[section];
	struct segment_fence fence;
	int r = 0;

	for (uint32_t leaf = 0; leaf < info->leaf_count && r == 0; leaf++) {
		const struct segment_fence *top = &segment->top[segment->top_first[section] + leaf];
		struct err err = {""};

		r = add_extent(check, top->offset, top->size);
		if (segment_load_leaf(segment, &check->scratch, section, leaf, &err) < 0) {
			report(check, section, err.text,
			       section == SEGMENT_ROWS ? (uint64_t)info->leaf_pages * SEGMENT_PAGE_ROWS : 0);
			continue;
		}
		for (uint32_t i = 0; i < check->scratch.leaf_pages && r == 0; i++) {
			(void)segment_find_fence(segment, &check->scratch, section, leaf * info->leaf_pages + i, &err,
						 &fence);
			r = add_extent(check, fence.offset, fence.size);
		}
	}
	return r;
}

static void check_extents(struct check *check)
{
	uint64_t at = SEGMENT_HEADER_SIZE;

	for (unsigned s = SEGMENT_ROWS; s < SEGMENT_TOP; s++)
		if (check->section_damage[s])
			return; /* not all places are known */
	qsort(check->extents, check->extent_count, sizeof(*check->extents), compare_extents);
	for (size_t i = 0; i < check->extent_count && check->extents[i].offset == at; i++)
		at += check->extents[i].size;
	if (at != check->segment->summary.top_offset)
		report_logic(check, SEGMENT_HEADER, "its pages do not cover the file without gap or overlap");
}

/* Tells scenes apart well enough for a check, in eight bytes a row. */
static uint64_t scene_hash(struct segment_scene scene)
{
	return XXH3_64bits(&scene, sizeof(scene));
}

static void note_scene(struct check *check, const struct read *row, uint32_t number)
{
	int64_t unit_us = SEGMENT_SCENE_UNIT_S * INT64_C(1000000);
	int64_t since = row->capture_us - (int64_t)check->segment->summary.day * DAY_US;
	struct segment_scene scene = {row->camera, (uint32_t)(since / unit_us), number / SEGMENT_PAGE_ROWS};

	check->row_scenes[check->row_scene_count++] = scene_hash(scene);
}

static void check_row(struct check *check, const struct read *row, uint32_t number)
{
	if (!check->last_set || memcmp(check->last.key, row->key, 16) != 0)
		check->row_keys_sum += XXH3_64bits_withSeed(row->key, 16, number);
	if (check->last_set && row_compare(&check->last, row) > 0)
		report_logic(check, SEGMENT_ROWS, "rows are out of order");
	if (read_day(row->capture_us) != check->segment->summary.day)
		report_logic(check, SEGMENT_ROWS, "a row belongs to another day");
	note_scene(check, row, number);
	check->last = *row;
	check->last_set = true;
}

static int check_rows(struct check *check)
{
	const struct segment *segment = check->segment;
	uint32_t pages = segment->summary.sections[SEGMENT_ROWS].page_count;
	int r = 0;

	for (uint32_t page = 0; page < pages && r == 0; page++) {
		uint64_t left = segment->summary.row_count - (uint64_t)page * SEGMENT_PAGE_ROWS;
		struct err err = {""};

		if (segment_read_rows(segment, &check->scratch, page, &err, &check->rows) < 0) {
			report(check, SEGMENT_ROWS, err.text, left < SEGMENT_PAGE_ROWS ? left : SEGMENT_PAGE_ROWS);
			continue;
		}
		for (uint32_t i = 0; i < check->rows.count; i++)
			check_row(check, &check->rows.rows[i], check->rows.first + i);
		if (check->hooks->rows != NULL)
			r = check->hooks->rows(check->hooks->context, &check->rows);
	}
	return r;
}

static void check_keys(struct check *check)
{
	const struct segment_section_info *info = &check->segment->summary.sections[SEGMENT_KEYS];
	uint8_t last[16] = {0};
	uint64_t sum = 0, count = 0;
	uint32_t next_row = 0;

	for (uint32_t page = 0; page < info->page_count; page++) {
		const struct segment_keys *keys = &check->keys;
		struct err err = {""};

		if (segment_read_keys(check->segment, &check->scratch, page, &err, &check->keys) < 0) {
			report(check, SEGMENT_KEYS, err.text, 0);
			continue;
		}
		for (uint32_t i = 0; i < keys->count; i++, count++) {
			if (count > 0 && memcmp(last, keys->keys[i], 16) >= 0)
				report_logic(check, SEGMENT_KEYS, "dictionary keys are out of order");
			memcpy(last, keys->keys[i], 16);
			sum += XXH3_64bits_withSeed(last, 16, keys->first_row[i]);
		}
		if (keys->first_row[0] != next_row && !check->section_damage[SEGMENT_KEYS])
			report_logic(check, SEGMENT_KEYS, "dictionary pages do not follow each other");
		next_row = keys->first_row[keys->count];
	}
	if (!check->section_damage[SEGMENT_KEYS] && !check->section_damage[SEGMENT_ROWS] &&
	    (sum != check->row_keys_sum || count != info->item_count || next_row != check->segment->summary.row_count))
		report_logic(check, SEGMENT_KEYS, "dictionary and rows disagree");
}

static int compare_scenes(const struct segment_scene *a, const struct segment_scene *b)
{
	if (a->camera != b->camera)
		return a->camera < b->camera ? -1 : 1;
	if (a->unit != b->unit)
		return a->unit < b->unit ? -1 : 1;
	return a->page < b->page ? -1 : a->page > b->page;
}

/* What the rows say: the sum over their distinct scenes, and how many there are. */
static uint64_t sum_row_scenes(struct check *check, uint64_t *ret_count)
{
	uint64_t sum = 0;

	*ret_count = 0;
	radix_sort_in_place(check->row_scenes, check->row_scene_count);
	for (size_t i = 0; i < check->row_scene_count; i++) {
		if (i > 0 && check->row_scenes[i] == check->row_scenes[i - 1])
			continue;
		sum += check->row_scenes[i];
		++*ret_count;
	}
	return sum;
}

static void check_scenes(struct check *check)
{
	const struct segment_section_info *info = &check->segment->summary.sections[SEGMENT_SCENES];
	struct segment_scene last = {0, 0, 0};
	uint64_t sum = 0, count = 0, row_count;

	for (uint32_t page = 0; page < info->page_count; page++) {
		struct err err = {""};

		if (segment_read_scenes(check->segment, &check->scratch, page, &err, &check->scenes) < 0) {
			report(check, SEGMENT_SCENES, err.text, 0);
			continue;
		}
		for (uint32_t i = 0; i < check->scenes.count; i++, count++) {
			struct segment_scene scene = check->scenes.scenes[i];

			if (count > 0 && compare_scenes(&last, &scene) >= 0)
				report_logic(check, SEGMENT_SCENES, "scenes are out of order");
			last = scene;
			sum += scene_hash(scene);
		}
	}
	if (check->section_damage[SEGMENT_SCENES] || check->section_damage[SEGMENT_ROWS])
		return;
	if (sum != sum_row_scenes(check, &row_count) || count != row_count || count != info->item_count)
		report_logic(check, SEGMENT_SCENES, "scenes and rows disagree");
}

static int check_number(struct check *check, const struct hit *hit)
{
	uint64_t *numbers;

	if (!segment_hit_number_valid(hit->number)) {
		report_logic(check, SEGMENT_HITS, "a hit has a number that was never given");
		return 0;
	}
	numbers = array_grow(check->numbers, check->number_count, &check->number_room, sizeof(*numbers));
	if (numbers == NULL)
		return -ENOMEM;
	check->numbers = numbers;
	check->numbers[check->number_count++] = hit->number;
	segment_hit_fence_add(check->fences, hit->number);
	return 0;
}

/* Each number stands once, and the fences are those of the numbers. */
static void check_numbers(struct check *check)
{
	const struct segment_summary *summary = &check->segment->summary;

	radix_sort_in_place(check->numbers, check->number_count);
	for (size_t i = 1; i < check->number_count; i++)
		if (check->numbers[i] == check->numbers[i - 1])
			report_logic(check, SEGMENT_HITS, "two hits have one number");
	if (check->fences->hit_fence_count != summary->hit_fence_count ||
	    memcmp(check->fences->hit_fences, summary->hit_fences,
		   summary->hit_fence_count * sizeof(summary->hit_fences[0])) != 0)
		report_logic(check, SEGMENT_HITS, "its hit fences are not those of its hits");
}

static int check_hits(struct check *check)
{
	const struct segment_section_info *info = &check->segment->summary.sections[SEGMENT_HITS];
	uint64_t count = 0;
	uint32_t last = 0;
	int r = 0;

	for (uint32_t page = 0; page < info->page_count && r == 0; page++) {
		struct err err = {""};

		if (segment_read_hits(check->segment, &check->scratch, page, &err, &check->hits) < 0) {
			report(check, SEGMENT_HITS, err.text, 0);
			continue;
		}
		for (uint32_t i = 0; i < check->hits.count && r == 0; i++, count++) {
			if (check->hits.hits[i].row < last)
				report_logic(check, SEGMENT_HITS, "hits are out of order");
			last = check->hits.hits[i].row;
			r = check_number(check, &check->hits.hits[i]);
		}
	}
	if (r < 0 || check->section_damage[SEGMENT_HITS])
		return r;
	if (count != info->item_count)
		report_logic(check, SEGMENT_HITS, "hits are missing");
	check_numbers(check);
	return 0;
}

static void check_free(struct check *check)
{
	segment_scratch_fini(&check->scratch);
	free(check->row_scenes);
	free(check->numbers);
	free(check->fences);
	free(check->extents);
	free(check);
}

static struct check *check_new(const struct segment *segment, const struct segment_check_hooks *hooks)
{
	struct check *check = calloc(1, sizeof(*check));

	if (check == NULL)
		return NULL;
	check->segment = segment;
	check->hooks = hooks;
	check->row_scenes = malloc(segment->summary.row_count * sizeof(*check->row_scenes));
	check->fences = calloc(1, sizeof(*check->fences));
	if (check->row_scenes != NULL && check->fences != NULL)
		return check;
	check_free(check);
	return NULL;
}

int segment_check(const struct segment *segment, const struct segment_check_hooks *hooks)
{
	struct check *check = check_new(segment, hooks);
	int r = 0;

	if (check == NULL)
		return -ENOMEM;
	check_frame(check);
	for (unsigned s = SEGMENT_ROWS; s < SEGMENT_TOP && r == 0; s++)
		r = check_leaves(check, s);
	if (r == 0) {
		check_extents(check);
		r = check_rows(check);
	}
	if (r == 0) {
		check_keys(check);
		check_scenes(check);
		r = check_hits(check);
	}
	if (r == 0 && check->damage)
		r = 1;
	check_free(check);
	return r;
}
