#include "storage/segment_read.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "appliance/base/bytes.h"
#include "storage/segment_file.h"
#include "storage/segment_keys.h"
#include "storage/segment_page.h"

int segment_damaged(const struct segment *segment, struct err *err, unsigned section, uint32_t page, const char *what)
{
	static const char *const names[SEGMENT_SECTIONS] = {"header", "row", "key", "scene", "hit"};
	char name[SEGMENT_NAME_SIZE];
	unsigned data = section & ~(unsigned)SEGMENT_LEAF;

	segment_name(segment->summary.day, segment->summary.id, ".seg", name);
	if (data >= SEGMENT_SECTIONS)
		return err_set(err, -EBADMSG, "%s: top page: %s", name, what);
	return err_set(err, -EBADMSG, "%s: %s%s page %u: %s", name, names[data],
		       (section & SEGMENT_LEAF) != 0 ? " fence" : "", page, what);
}

void segment_scratch_fini(struct segment_scratch *scratch)
{
	free(scratch->page);
	free(scratch->leaf);
	*scratch = (struct segment_scratch){0};
}

static int scratch_ready(struct segment_scratch *scratch)
{
	if (scratch->page == NULL)
		scratch->page = malloc(SEGMENT_PAGE_ROOM);
	if (scratch->leaf == NULL)
		scratch->leaf = malloc(SEGMENT_LEAF_SIZE_MAX);
	return scratch->page != NULL && scratch->leaf != NULL ? 0 : -ENOMEM;
}

/* Reads and opens the page that a fence names into `buffer`. Gives the size without the tag. */
static int read_page(const struct segment *segment, struct segment_scratch *scratch, unsigned section, uint32_t page,
		     const struct segment_fence *fence, uint8_t *buffer, size_t size_max, struct err *err,
		     size_t *ret_size)
{
	int r;

	if (fence->size <= AEAD_TAG_SIZE || fence->size > size_max || fence->offset > segment->summary.file_size ||
	    fence->size > segment->summary.file_size - fence->offset)
		return segment_damaged(segment, err, section, page, "lies outside the file");
	r = segment_read_exactly(segment, fence->offset, buffer, fence->size);
	if (r == -EBADMSG)
		return segment_damaged(segment, err, section, page, "cut short");
	if (r < 0) {
		(void)segment_damaged(segment, err, section, page, strerror(-r));
		return r;
	}
	scratch->bytes_read += fence->size;
	scratch->pages_read++;
	if (segment_page_open(&segment->key, segment->summary.day, segment->summary.id, section, page, buffer,
			      fence->size) < 0)
		return segment_damaged(segment, err, section, page, "not what its key sealed");
	*ret_size = fence->size - AEAD_TAG_SIZE;
	return 0;
}

/* Pages that a leaf names when it is what it should be. */
static uint32_t leaf_pages(const struct segment *segment, unsigned section, uint32_t number)
{
	const struct segment_section_info *info = &segment->summary.sections[section];
	size_t left = info->page_count - (size_t)number * info->leaf_pages;

	return left < info->leaf_pages ? (uint32_t)left : info->leaf_pages;
}

static int check_leaf(const struct segment *segment, unsigned section, uint32_t number, const uint8_t *leaf,
		      size_t size, struct err *err)
{
	size_t pages = leaf_pages(segment, section, number);

	if (size != SEGMENT_FENCES_AT + pages * SEGMENT_FENCE_SIZE || le32_get(leaf) != pages)
		return segment_damaged(segment, err, section | SEGMENT_LEAF, number, "makes no sense");
	return 0;
}

int segment_open_leaf(const struct segment *segment, unsigned section, uint32_t number, uint8_t *bytes, size_t size,
		      struct err *err, uint32_t *ret_pages)
{
	int r;

	if (segment_page_open(&segment->key, segment->summary.day, segment->summary.id, section | SEGMENT_LEAF, number,
			      bytes, size) < 0)
		return segment_damaged(segment, err, section | SEGMENT_LEAF, number, "not what its key sealed");
	r = check_leaf(segment, section, number, bytes, size - AEAD_TAG_SIZE, err);
	if (r == 0)
		*ret_pages = leaf_pages(segment, section, number);
	return r;
}

int segment_load_leaf(const struct segment *segment, struct segment_scratch *scratch, unsigned section, uint32_t number,
		      struct err *err)
{
	size_t size = 0;
	int r;

	if (scratch->leaf_of == segment && scratch->leaf_id == segment->summary.id &&
	    scratch->leaf_section == section && scratch->leaf_number == number)
		return 0;
	r = scratch_ready(scratch);
	if (r < 0)
		return r;
	scratch->leaf_of = NULL;
	r = read_page(segment, scratch, section | SEGMENT_LEAF, number,
		      &segment->top[segment->top_first[section] + number], scratch->leaf, SEGMENT_LEAF_SIZE_MAX, err,
		      &size);
	if (r == 0)
		r = check_leaf(segment, section, number, scratch->leaf, size, err);
	if (r < 0)
		return r;
	scratch->leaf_of = segment;
	scratch->leaf_id = segment->summary.id;
	scratch->leaf_section = section;
	scratch->leaf_number = number;
	scratch->leaf_pages = leaf_pages(segment, section, number);
	return 0;
}

static const uint8_t *leaf_fence(const struct segment_scratch *scratch, uint32_t index)
{
	return scratch->leaf + SEGMENT_FENCES_AT + (size_t)index * SEGMENT_FENCE_SIZE;
}

int segment_find_fence(const struct segment *segment, struct segment_scratch *scratch, unsigned section, uint32_t page,
		       struct err *err, struct segment_fence *ret_fence)
{
	const struct segment_section_info *info = &segment->summary.sections[section];
	int r;

	if (page >= info->page_count)
		return -ERANGE;
	r = segment_load_leaf(segment, scratch, section, page / info->leaf_pages, err);
	if (r == 0)
		segment_fence_decode(leaf_fence(scratch, page % info->leaf_pages), ret_fence);
	return r;
}

/* Reads, opens a data page by its number into scratch->page. */
static int load_page(const struct segment *segment, struct segment_scratch *scratch, unsigned section, uint32_t page,
		     struct err *err, struct segment_fence *ret_fence, size_t *ret_size)
{
	int r = segment_find_fence(segment, scratch, section, page, err, ret_fence);

	return r < 0 ? r
		     : read_page(segment, scratch, section, page, ret_fence, scratch->page, SEGMENT_PAGE_SIZE_MAX, err,
				 ret_size);
}

int segment_decode_rows(const struct segment *segment, uint32_t page, uint32_t first, const uint8_t *bytes, size_t size,
			struct err *err, struct segment_rows *ret_rows)
{
	uint64_t left = segment->summary.row_count - (uint64_t)page * SEGMENT_PAGE_ROWS;

	if (segment_rows_decode(bytes, size, ret_rows->rows, &ret_rows->count) < 0 ||
	    first != page * SEGMENT_PAGE_ROWS ||
	    ret_rows->count != (left < SEGMENT_PAGE_ROWS ? left : SEGMENT_PAGE_ROWS))
		return segment_damaged(segment, err, SEGMENT_ROWS, page, "makes no sense");
	ret_rows->first = first;
	return 0;
}

int segment_read_rows(const struct segment *segment, struct segment_scratch *scratch, uint32_t page, struct err *err,
		      struct segment_rows *ret_rows)
{
	struct segment_fence fence;
	size_t size = 0;
	int r = load_page(segment, scratch, SEGMENT_ROWS, page, err, &fence, &size);

	return r < 0 ? r : segment_decode_rows(segment, page, fence.first, scratch->page, size, err, ret_rows);
}

int segment_read_keys(const struct segment *segment, struct segment_scratch *scratch, uint32_t page, struct err *err,
		      struct segment_keys *ret_keys)
{
	struct segment_fence fence;
	size_t size = 0;
	int r = load_page(segment, scratch, SEGMENT_KEYS, page, err, &fence, &size);

	if (r < 0)
		return r;
	if (segment_keys_decode(scratch->page, size, ret_keys->keys, ret_keys->first_row, &ret_keys->count) < 0 ||
	    fence.first != ret_keys->first_row[0] || ret_keys->first_row[ret_keys->count] > segment->summary.row_count)
		return segment_damaged(segment, err, SEGMENT_KEYS, page, "makes no sense");
	return 0;
}

int segment_decode_scenes(const struct segment *segment, uint32_t page, const uint8_t *bytes, size_t size,
			  struct err *err, struct segment_scenes *ret_scenes)
{
	if (segment_scenes_decode(bytes, size, ret_scenes->scenes, &ret_scenes->count) < 0)
		return segment_damaged(segment, err, SEGMENT_SCENES, page, "makes no sense");
	for (uint32_t i = 0; i < ret_scenes->count; i++)
		if (ret_scenes->scenes[i].page >= segment->summary.sections[SEGMENT_ROWS].page_count)
			return segment_damaged(segment, err, SEGMENT_SCENES, page,
					       "names a row page that does not exist");
	return 0;
}

int segment_read_scenes(const struct segment *segment, struct segment_scratch *scratch, uint32_t page, struct err *err,
			struct segment_scenes *ret_scenes)
{
	struct segment_fence fence;
	size_t size = 0;
	int r = load_page(segment, scratch, SEGMENT_SCENES, page, err, &fence, &size);

	return r < 0 ? r : segment_decode_scenes(segment, page, scratch->page, size, err, ret_scenes);
}

int segment_read_hits(const struct segment *segment, struct segment_scratch *scratch, uint32_t page, struct err *err,
		      struct segment_hits *ret_hits)
{
	struct segment_fence fence;
	size_t size = 0;
	int r = load_page(segment, scratch, SEGMENT_HITS, page, err, &fence, &size);

	if (r < 0)
		return r;
	if (segment_hits_decode(scratch->page, size, ret_hits->hits, &ret_hits->count) < 0)
		return segment_damaged(segment, err, SEGMENT_HITS, page, "makes no sense");
	for (uint32_t i = 0; i < ret_hits->count; i++)
		if (ret_hits->hits[i].row >= segment->summary.row_count)
			return segment_damaged(segment, err, SEGMENT_HITS, page, "names a row that does not exist");
	return 0;
}

uint32_t segment_find_leaf(const struct segment *segment, unsigned section, const uint8_t key[16])
{
	const struct segment_fence *top = &segment->top[segment->top_first[section]];
	uint32_t low = 0;
	uint32_t high = segment->summary.sections[section].leaf_count;

	while (high - low > 1) {
		uint32_t middle = low + (high - low) / 2;

		if (memcmp(top[middle].key, key, 16) < 0)
			low = middle;
		else
			high = middle;
	}
	return low;
}

int segment_find(const struct segment *segment, struct segment_scratch *scratch, unsigned section,
		 const uint8_t key[16], struct err *err, uint32_t *ret_page)
{
	const struct segment_section_info *info = &segment->summary.sections[section];
	uint32_t leaf = segment_find_leaf(segment, section, key);
	uint32_t low = 0;
	uint32_t high;
	int r;

	if (info->page_count == 0)
		return -ERANGE;
	r = segment_load_leaf(segment, scratch, section, leaf, err);
	if (r < 0)
		return r;
	high = scratch->leaf_pages;
	while (high - low > 1) {
		uint32_t middle = low + (high - low) / 2;

		if (memcmp(leaf_fence(scratch, middle), key, 16) < 0)
			low = middle;
		else
			high = middle;
	}
	*ret_page = leaf * info->leaf_pages + low;
	return 0;
}

int segment_each_hit(const struct segment *segment, struct segment_scratch *scratch, struct err *err,
		     int (*each)(void *context, const struct hit *hit), void *context)
{
	struct segment_hits hits;

	for (uint32_t page = 0; page < segment->summary.sections[SEGMENT_HITS].page_count; page++) {
		int r = segment_read_hits(segment, scratch, page, err, &hits);

		for (uint32_t i = 0; r == 0 && i < hits.count; i++)
			r = each(context, &hits.hits[i]);
		if (r != 0)
			return r;
	}
	return 0;
}
