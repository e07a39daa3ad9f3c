#include "storage/segment_out.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "appliance/base/bytes.h"
#include "storage/io.h"
#include "storage/segment_page.h"

#define WRITE_SIZE ((size_t)1 << 20)
#define SYNC_SIZE ((size_t)16 << 20) /* written between two syncs */
#define BUFFER_SIZE (WRITE_SIZE + SEGMENT_LEAF_SIZE_MAX + SEGMENT_PAGE_ROOM)
#define LEAF_PAGES_MIN 64
#define LEAF_PAGES_MAX ((SEGMENT_LEAF_SIZE_MAX - SEGMENT_FENCES_AT - AEAD_TAG_SIZE) / SEGMENT_FENCE_SIZE)

/* How the top page's fences are shared out among the sections. */
static const unsigned top_share[SEGMENT_SECTIONS] = {
	[SEGMENT_ROWS] = 80, [SEGMENT_KEYS] = 20, [SEGMENT_SCENES] = 16, [SEGMENT_HITS] = 11};
static_assert(80 + 20 + 16 + 11 <= SEGMENT_TOP_FENCES, "the top page holds every section's share");

static void fail(struct segment_out *out, int error)
{
	if (out->error == 0)
		out->error = error;
}

int segment_out_init(struct segment_out *out, struct io *io, const char *directory, const uint8_t key[32], int32_t day,
		     uint64_t id)
{
	char name[SEGMENT_NAME_SIZE];
	char tmp_name[SEGMENT_NAME_SIZE];
	int r;

	out->io = io;
	out->directory = directory;
	out->day = day;
	out->id = id;
	out->offset = SEGMENT_HEADER_SIZE;
	segment_name(day, id, ".tmp", tmp_name);
	segment_name(day, id, ".seg", name);
	if (snprintf(out->tmp_path, sizeof(out->tmp_path), "%s/%s", directory, tmp_name) >= LAYOUT_PATH_SIZE ||
	    snprintf(out->path, sizeof(out->path), "%s/%s", directory, name) >= LAYOUT_PATH_SIZE)
		return -ENAMETOOLONG;
	out->buffer = malloc(BUFFER_SIZE);
	if (out->buffer == NULL)
		return -ENOMEM;
	r = io->ops->open(io, out->tmp_path, IO_WRITE | IO_CREATE, &out->file);
	if (r < 0)
		return r;
	aead_key_init(&out->key, key);
	return 0;
}

void segment_out_fini(struct segment_out *out)
{
	if (out->file != NULL) {
		out->file->ops->close(out->file);
		out->file = NULL;
		(void)out->io->ops->unlink(out->io, out->tmp_path); /* recovery removes it if this cannot */
	}
	aead_key_fini(&out->key);
	for (unsigned s = 0; s < SEGMENT_SECTIONS; s++)
		free(out->fences[s].list);
	free(out->parked);
	free(out->buffer);
	memset(out->fences, 0, sizeof(out->fences));
	out->parked = NULL;
	out->buffer = NULL;
}

/* Of a large file the kernel would hold back a gigabyte, and journals wait behind it in the end. */
static void sync_some(struct segment_out *out, size_t size)
{
	int r;

	out->unsynced += size;
	if (out->unsynced < SYNC_SIZE || out->error != 0)
		return;
	out->unsynced = 0;
	r = out->file->ops->sync(out->file);
	if (r < 0)
		fail(out, r);
}

static void flush(struct segment_out *out)
{
	int r;

	if (out->fill == 0)
		return;
	if (out->error == 0) {
		r = out->file->ops->write(out->file, out->offset, out->buffer, out->fill);
		if (r < 0)
			fail(out, r);
	}
	sync_some(out, out->fill);
	out->offset += out->fill;
	out->fill = 0;
}

static void add_fence(struct segment_out *out, unsigned section, const struct segment_fence *fence)
{
	struct segment_fences *fences = &out->fences[section];

	if (fences->count == fences->room) {
		size_t room = fences->room == 0 ? 256 : 2 * fences->room;
		struct segment_fence *list = realloc(fences->list, room * sizeof(*list));

		if (list == NULL) {
			fail(out, -ENOMEM);
			return;
		}
		fences->list = list;
		fences->room = room;
	}
	fences->list[fences->count++] = *fence;
}

static struct segment_fence make_fence(const uint8_t key[16], uint64_t offset, size_t sealed_size, uint32_t first)
{
	struct segment_fence fence = {.offset = offset, .size = (uint32_t)sealed_size, .first = first};

	memcpy(fence.key, key, sizeof(fence.key));
	return fence;
}

uint8_t *segment_out_begin(struct segment_out *out)
{
	return out->buffer + out->fill;
}

void segment_out_end(struct segment_out *out, unsigned section, const uint8_t key[16], uint32_t first, size_t size)
{
	struct segment_fence fence = make_fence(key, out->offset + out->fill, size + AEAD_TAG_SIZE, first);

	segment_page_seal(&out->key, out->day, out->id, section, out->fences[section].count, out->buffer + out->fill,
			  size);
	add_fence(out, section, &fence);
	out->fill += fence.size;
	if (out->fill >= WRITE_SIZE)
		flush(out);
}

uint8_t *segment_out_begin_parked(struct segment_out *out)
{
	if (out->parked_room - out->parked_size < SEGMENT_PAGE_ROOM) {
		size_t room = 2 * out->parked_room + SEGMENT_PAGE_ROOM;
		uint8_t *parked = realloc(out->parked, room);

		if (parked == NULL) {
			fail(out, -ENOMEM);
			return NULL;
		}
		out->parked = parked;
		out->parked_room = room;
	}
	return out->parked + out->parked_size;
}

void segment_out_end_parked(struct segment_out *out, unsigned section, const uint8_t key[16], uint32_t first,
			    size_t size)
{
	struct segment_fence fence = make_fence(key, out->parked_size, size + AEAD_TAG_SIZE, first);

	segment_page_seal(&out->key, out->day, out->id, section, out->fences[section].count,
			  out->parked + out->parked_size, size);
	add_fence(out, section, &fence);
	out->parked_size += fence.size;
}

void segment_out_unpark(struct segment_out *out, unsigned section)
{
	int r;

	flush(out);
	for (size_t i = 0; i < out->fences[section].count; i++)
		out->fences[section].list[i].offset += out->offset;
	if (out->error == 0 && out->parked_size > 0) {
		r = out->file->ops->write(out->file, out->offset, out->parked, out->parked_size);
		if (r < 0)
			fail(out, r);
	}
	out->offset += out->parked_size;
	out->parked_size = 0;
}

/* Encodes count fences as a page at `at`; returns its size without tag. */
static size_t encode_fences(const struct segment_fence *fences, size_t count, uint8_t *at)
{
	le32_put(at, (uint32_t)count);
	le32_put(at + 4, 0);
	for (size_t i = 0; i < count; i++)
		segment_fence_encode(&fences[i], at + SEGMENT_FENCES_AT + i * SEGMENT_FENCE_SIZE);
	return SEGMENT_FENCES_AT + count * SEGMENT_FENCE_SIZE;
}

/* Writes a section's leaves; their fences go to `top`. */
static void write_leaves(struct segment_out *out, unsigned section, struct segment_section_info *info,
			 struct segment_fence *top)
{
	const struct segment_fences *fences = &out->fences[section];
	size_t pages = (fences->count + top_share[section] - 1) / top_share[section];

	if (pages < LEAF_PAGES_MIN)
		pages = LEAF_PAGES_MIN;
	info->page_count = (uint32_t)fences->count;
	info->leaf_pages = (uint32_t)pages;
	info->leaf_count = 0;
	if (pages > LEAF_PAGES_MAX) {
		fail(out, -E2BIG);
		return;
	}
	for (size_t i = 0; i < fences->count; i += pages) {
		size_t count = fences->count - i < pages ? fences->count - i : pages;
		size_t size = encode_fences(&fences->list[i], count, out->buffer + out->fill);

		top[info->leaf_count] = make_fence(fences->list[i].key, out->offset + out->fill, size + AEAD_TAG_SIZE,
						   fences->list[i].first);
		segment_page_seal(&out->key, out->day, out->id, section | SEGMENT_LEAF, info->leaf_count,
				  out->buffer + out->fill, size);
		info->leaf_count++;
		out->fill += size + AEAD_TAG_SIZE;
		if (out->fill >= WRITE_SIZE)
			flush(out);
	}
}

static void write_top(struct segment_out *out, const struct segment_fence *top, size_t count,
		      struct segment_summary *summary)
{
	size_t size = encode_fences(top, count, summary->top);

	segment_page_seal(&out->key, out->day, out->id, SEGMENT_TOP, 0, summary->top, size);
	summary->top_size = (uint32_t)(size + AEAD_TAG_SIZE);
	summary->top_offset = out->offset + out->fill;
	memcpy(out->buffer + out->fill, summary->top, summary->top_size);
	out->fill += summary->top_size;
}

static int publish(struct segment_out *out)
{
	int r = out->file->ops->sync(out->file);

	if (r == 0)
		r = out->io->ops->rename(out->io, out->tmp_path, out->path);
	if (r < 0)
		return r;
	out->file->ops->close(out->file);
	out->file = NULL; /* the .tmp is no more */
	r = out->io->ops->dir_sync(out->io, out->directory);
	if (r < 0)
		(void)out->io->ops->unlink(out->io, out->path); /* the caller will write these rows again */
	return r;
}

int segment_out_finish(struct segment_out *out, struct segment_summary *summary)
{
	struct segment_fence top[SEGMENT_TOP_FENCES];
	uint8_t header[SEGMENT_HEADER_SIZE];
	size_t count = 0;
	int r;

	for (unsigned s = SEGMENT_ROWS; s < SEGMENT_TOP && out->error == 0; s++) {
		write_leaves(out, s, &summary->sections[s], &top[count]);
		count += summary->sections[s].leaf_count;
	}
	if (out->error != 0)
		return out->error;
	write_top(out, top, count, summary);
	summary->file_size = out->offset + out->fill + SEGMENT_END_SIZE;
	segment_header_encode(summary, &out->key, header);
	segment_end_encode(header, summary->file_size, out->buffer + out->fill);
	out->fill += SEGMENT_END_SIZE;
	flush(out);
	if (out->error != 0)
		return out->error;
	r = out->file->ops->write(out->file, 0, header, sizeof(header));
	return r < 0 ? r : publish(out);
}
