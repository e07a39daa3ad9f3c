#include "storage/segment_read.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "appliance/base/bytes.h"
#include "storage/io.h"
#include "storage/keyring.h"
#include "storage/layout.h"
#include "storage/segment_file.h"
#include "storage/segment_keys.h"
#include "storage/segment_page.h"

#define SCENE_UNIT_US (SEGMENT_SCENE_UNIT_S * INT64_C(1000000))
#define SCENE_UNIT_LAST ((uint32_t)(DAY_US / SCENE_UNIT_US) - 1)

static int damaged(const struct segment *segment, struct err *err, unsigned section, uint32_t page, const char *what)
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

/* Decodes the sealed top page and checks that it names leaf pages inside the file. */
static int open_top(struct segment *segment, struct err *err)
{
	const struct segment_summary *summary = &segment->summary;
	uint8_t page[SEGMENT_TOP_SIZE_MAX];
	uint32_t count = 0;

	for (unsigned s = SEGMENT_ROWS; s < SEGMENT_TOP; s++) {
		segment->top_first[s] = count;
		count += summary->sections[s].leaf_count;
	}
	memcpy(page, summary->top, summary->top_size);
	if (segment_page_open(&segment->key, summary->day, summary->id, SEGMENT_TOP, 0, page, summary->top_size) < 0 ||
	    le32_get(page) != count)
		return damaged(segment, err, SEGMENT_TOP, 0, "not what its key sealed");
	for (uint32_t i = 0; i < count; i++) {
		struct segment_fence *fence = &segment->top[i];

		segment_fence_decode(page + SEGMENT_FENCES_AT + i * SEGMENT_FENCE_SIZE, fence);
		if (fence->size > SEGMENT_LEAF_SIZE_MAX || fence->offset > summary->file_size ||
		    fence->size > summary->file_size - fence->offset)
			return damaged(segment, err, SEGMENT_TOP, 0, "names a page outside the file");
	}
	return 0;
}

static int open_key(struct segment *segment, struct keyring *keyring, const struct key_id *id, struct err *err)
{
	char name[SEGMENT_NAME_SIZE];
	uint8_t key[KEY_SIZE];
	int r = keyring_get(keyring, *id, key);

	if (r == -ENOENT)
		return err_set(err, -ENOKEY, "%s: its key is not in the keyring",
			       segment_name(segment->summary.day, segment->summary.id, ".seg", name));
	if (r < 0)
		return r;
	aead_key_init(&segment->key, key);
	bytes_wipe(key, sizeof(key));
	return 0;
}

static int open_file(struct segment *segment, struct io *io, const char *directory, struct err *err)
{
	char path[LAYOUT_PATH_SIZE];
	char name[SEGMENT_NAME_SIZE];
	int r;

	segment_name(segment->summary.day, segment->summary.id, ".seg", name);
	if (snprintf(path, sizeof(path), "%s/%s", directory, name) >= (int)sizeof(path))
		return err_set(err, -ENAMETOOLONG, "%s: path too long", directory);
	r = io->ops->open(io, path, IO_READ, &segment->file);
	if (r == 0)
		r = segment->file->ops->size(segment->file, &segment->size_on_disk);
	return r < 0 ? err_set(err, r, "%s: %s", path, strerror(-r)) : 0;
}

static int read_exactly(const struct segment *segment, uint64_t offset, void *bytes, size_t size)
{
	int64_t got = segment->file->ops->read(segment->file, offset, bytes, size);

	if (got < 0)
		return (int)got;
	return (size_t)got == size ? 0 : -EBADMSG;
}

/* The header is the file's own word, so it has to be that of the name asked for. */
static int read_header(struct segment *segment, int32_t day, uint64_t id, struct err *err)
{
	uint8_t page[SEGMENT_HEADER_SIZE];
	struct segment_summary *summary = &segment->summary;
	int r = read_exactly(segment, 0, page, sizeof(page));

	if (r == -EBADMSG)
		return damaged(segment, err, SEGMENT_HEADER, 0, "cut short");
	if (r < 0)
		return r;
	r = segment_header_decode(page, &segment->key, err, summary);
	if (r < 0) {
		summary->day = day;
		summary->id = id;
		return r;
	}
	if (summary->day != day || summary->id != id)
		return damaged(segment, err, SEGMENT_HEADER, 0, "belongs to another name");
	r = read_exactly(segment, summary->top_offset, summary->top, summary->top_size);
	return r == -EBADMSG ? damaged(segment, err, SEGMENT_TOP, 0, "cut short") : r;
}

static int finish_open(struct segment *segment, struct err *err)
{
	if (segment->size_on_disk != segment->summary.file_size)
		return damaged(segment, err, SEGMENT_HEADER, 0, "the file's size is not what it should be");
	return open_top(segment, err);
}

static struct segment *segment_alloc(void)
{
	struct segment *segment = aligned_alloc(_Alignof(struct segment), sizeof(struct segment));

	if (segment != NULL)
		memset(segment, 0, sizeof(*segment));
	return segment;
}

int segment_open(struct io *io, struct keyring *keyring, const char *directory, int32_t day, uint64_t id,
		 struct err *err, struct segment **ret_segment)
{
	struct key_id key = {.id = id, .day = day, .kind = KEY_SEGMENT};

	return segment_open_keyed(io, keyring, directory, &key, day, err, ret_segment);
}

int segment_open_keyed(struct io *io, struct keyring *keyring, const char *directory, const struct key_id *key,
		       int32_t day, struct err *err, struct segment **ret_segment)
{
	struct segment *segment = segment_alloc();
	uint64_t id = key->id;
	int r;

	if (segment == NULL)
		return -ENOMEM;
	segment->summary.day = day;
	segment->summary.id = id;
	r = open_file(segment, io, directory, err);
	if (r == 0)
		r = open_key(segment, keyring, key, err);
	if (r == 0)
		r = read_header(segment, day, id, err);
	if (r == 0)
		r = finish_open(segment, err);
	if (r == 0)
		*ret_segment = segment;
	else
		segment_free(segment);
	return r;
}

int segment_open_summary(struct io *io, struct keyring *keyring, const char *directory,
			 const struct segment_summary *summary, struct err *err, struct segment **ret_segment)
{
	struct key_id key = {.id = summary->id, .day = summary->day, .kind = KEY_SEGMENT};

	return segment_open_summary_keyed(io, keyring, directory, &key, summary, err, ret_segment);
}

int segment_open_summary_keyed(struct io *io, struct keyring *keyring, const char *directory, const struct key_id *key,
			       const struct segment_summary *summary, struct err *err, struct segment **ret_segment)
{
	struct segment *segment = segment_alloc();
	int r;

	if (segment == NULL)
		return -ENOMEM;
	segment->summary = *summary;
	r = open_file(segment, io, directory, err);
	if (r == 0)
		r = open_key(segment, keyring, key, err);
	if (r == 0)
		r = finish_open(segment, err);
	if (r == 0)
		*ret_segment = segment;
	else
		segment_free(segment);
	return r;
}

struct segment *segment_free(struct segment *segment)
{
	if (segment == NULL)
		return NULL;
	if (segment->file != NULL)
		segment->file->ops->close(segment->file);
	aead_key_fini(&segment->key);
	bytes_wipe(segment->top, sizeof(segment->top)); /* VRM keys */
	free(segment);
	return NULL;
}

const struct segment_summary *segment_summary(const struct segment *segment)
{
	return &segment->summary;
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
		return damaged(segment, err, section, page, "lies outside the file");
	r = read_exactly(segment, fence->offset, buffer, fence->size);
	if (r == -EBADMSG)
		return damaged(segment, err, section, page, "cut short");
	if (r < 0) {
		(void)damaged(segment, err, section, page, strerror(-r));
		return r;
	}
	scratch->bytes_read += fence->size;
	scratch->pages_read++;
	if (segment_page_open(&segment->key, segment->summary.day, segment->summary.id, section, page, buffer,
			      fence->size) < 0)
		return damaged(segment, err, section, page, "not what its key sealed");
	*ret_size = fence->size - AEAD_TAG_SIZE;
	return 0;
}

int segment_load_leaf(const struct segment *segment, struct segment_scratch *scratch, unsigned section, uint32_t number,
		      struct err *err)
{
	const struct segment_section_info *info = &segment->summary.sections[section];
	size_t pages, size = 0;
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
	if (r < 0)
		return r;
	pages = info->page_count - (size_t)number * info->leaf_pages;
	if (pages > info->leaf_pages)
		pages = info->leaf_pages;
	if (size != SEGMENT_FENCES_AT + pages * SEGMENT_FENCE_SIZE || le32_get(scratch->leaf) != pages)
		return damaged(segment, err, section | SEGMENT_LEAF, number, "makes no sense");
	scratch->leaf_of = segment;
	scratch->leaf_id = segment->summary.id;
	scratch->leaf_section = section;
	scratch->leaf_number = number;
	scratch->leaf_pages = (uint32_t)pages;
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

int segment_page_key(const struct segment *segment, struct segment_scratch *scratch, unsigned section, uint32_t page,
		     struct err *err, uint8_t ret_key[16])
{
	struct segment_fence fence;
	int r = segment_find_fence(segment, scratch, section, page, err, &fence);

	if (r == 0)
		memcpy(ret_key, fence.key, sizeof(fence.key));
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

int segment_read_rows(const struct segment *segment, struct segment_scratch *scratch, uint32_t page, struct err *err,
		      struct segment_rows *ret_rows)
{
	struct segment_fence fence;
	uint64_t left;
	size_t size = 0;
	int r = load_page(segment, scratch, SEGMENT_ROWS, page, err, &fence, &size);

	if (r < 0)
		return r;
	left = segment->summary.row_count - (uint64_t)page * SEGMENT_PAGE_ROWS;
	if (segment_rows_decode(scratch->page, size, ret_rows->rows, &ret_rows->count) < 0 ||
	    fence.first != page * SEGMENT_PAGE_ROWS ||
	    ret_rows->count != (left < SEGMENT_PAGE_ROWS ? left : SEGMENT_PAGE_ROWS))
		return damaged(segment, err, SEGMENT_ROWS, page, "makes no sense");
	ret_rows->first = fence.first;
	return 0;
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
		return damaged(segment, err, SEGMENT_KEYS, page, "makes no sense");
	return 0;
}

int segment_read_scenes(const struct segment *segment, struct segment_scratch *scratch, uint32_t page, struct err *err,
			struct segment_scenes *ret_scenes)
{
	struct segment_fence fence;
	size_t size = 0;
	int r = load_page(segment, scratch, SEGMENT_SCENES, page, err, &fence, &size);

	if (r < 0)
		return r;
	if (segment_scenes_decode(scratch->page, size, ret_scenes->scenes, &ret_scenes->count) < 0)
		return damaged(segment, err, SEGMENT_SCENES, page, "makes no sense");
	for (uint32_t i = 0; i < ret_scenes->count; i++)
		if (ret_scenes->scenes[i].page >= segment->summary.sections[SEGMENT_ROWS].page_count)
			return damaged(segment, err, SEGMENT_SCENES, page, "names a row page that does not exist");
	return 0;
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
		return damaged(segment, err, SEGMENT_HITS, page, "makes no sense");
	for (uint32_t i = 0; i < ret_hits->count; i++)
		if (ret_hits->hits[i].row >= segment->summary.row_count)
			return damaged(segment, err, SEGMENT_HITS, page, "names a row that does not exist");
	return 0;
}

/* The last leaf whose first key is below `key`; the first one when there is none. */
static uint32_t find_leaf(const struct segment *segment, unsigned section, const uint8_t key[16])
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
	uint32_t leaf = find_leaf(segment, section, key);
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

static int append_page(struct segment_page_list *list, size_t max, uint32_t page)
{
	if (list->count >= max)
		return -E2BIG;
	if (list->count == list->room) {
		size_t room = list->room == 0 ? 1024 : 2 * list->room;
		uint32_t *pages = realloc(list->pages, room * sizeof(*pages));

		if (pages == NULL)
			return -ENOMEM;
		list->pages = pages;
		list->room = room;
	}
	list->pages[list->count++] = page;
	return 0;
}

/* Appends what of one page falls into the range. 1 when the range ends in this page. */
static int append_scenes(const struct segment_scenes *scenes, uint32_t camera, uint32_t first, uint32_t last,
			 size_t max, struct segment_page_list *list)
{
	for (uint32_t i = 0; i < scenes->count; i++) {
		const struct segment_scene *scene = &scenes->scenes[i];
		int r = 0;

		if (scene->camera > camera || (scene->camera == camera && scene->unit > last))
			return 1;
		if (scene->camera == camera && scene->unit >= first)
			r = append_page(list, max, scene->page);
		if (r < 0)
			return r;
	}
	return 0;
}

int segment_find_scenes(const struct segment *segment, struct segment_scratch *scratch, uint32_t camera,
			int64_t from_us, int64_t to_us, size_t max, struct err *err, struct segment_page_list *list)
{
	const struct segment_summary *summary = &segment->summary;
	int64_t midnight = (int64_t)summary->day * DAY_US;
	struct segment_scenes scenes;
	uint32_t first, last, page;
	uint8_t key[16] = {0};
	int r;

	if (from_us > summary->capture_last_us || to_us <= summary->capture_first_us || from_us >= to_us)
		return 0;
	first = from_us <= midnight ? 0 : (uint32_t)((from_us - midnight) / SCENE_UNIT_US);
	last = to_us - 1 >= midnight + DAY_US ? SCENE_UNIT_LAST : (uint32_t)((to_us - 1 - midnight) / SCENE_UNIT_US);
	be32_put(key, camera);
	be32_put(key + 4, first);
	r = segment_find(segment, scratch, SEGMENT_SCENES, key, err, &page);
	for (; r == 0 && page < summary->sections[SEGMENT_SCENES].page_count; page++) {
		r = segment_read_scenes(segment, scratch, page, err, &scenes);
		if (r == 0)
			r = append_scenes(&scenes, camera, first, last, max, list);
	}
	return r < 0 ? r : 0;
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
