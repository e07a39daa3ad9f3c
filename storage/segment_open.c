/* Opens a segment, by its file's header or by the catalog's row, and owns its two handles. */
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
#include "storage/segment_page.h"

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
		return segment_damaged(segment, err, SEGMENT_TOP, 0, "not what its key sealed");
	for (uint32_t i = 0; i < count; i++) {
		struct segment_fence *fence = &segment->top[i];

		segment_fence_decode(page + SEGMENT_FENCES_AT + i * SEGMENT_FENCE_SIZE, fence);
		if (fence->size > SEGMENT_LEAF_SIZE_MAX || fence->offset > summary->file_size ||
		    fence->size > summary->file_size - fence->offset)
			return segment_damaged(segment, err, SEGMENT_TOP, 0, "names a page outside the file");
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

/* Whoever of several threads is first opens it for all; a segment stays what it is by that, hence the cast. */
static int handle_get(const struct segment *segment, struct io_file *const _Atomic *handle, int flags,
		      struct io_file **ret_file)
{
	struct io_file *_Atomic *shared = (struct io_file * _Atomic *)(uintptr_t)handle;
	struct io_file *file = atomic_load_explicit(shared, memory_order_acquire);
	struct io_file *fresh;
	int r;

	if (file != NULL) {
		*ret_file = file;
		return 0;
	}
	r = segment->io->ops->open(segment->io, segment->path, IO_READ | flags, &fresh);
	if (r < 0)
		return r;
	if (!atomic_compare_exchange_strong(shared, &file, fresh)) {
		fresh->ops->close(fresh);
		fresh = file;
	}
	*ret_file = fresh;
	return 0;
}

int segment_plain_file(const struct segment *segment, struct io_file **ret_file)
{
	return handle_get(segment, &segment->plain, 0, ret_file);
}

int segment_direct_file(const struct segment *segment, struct io_file **ret_file)
{
	return handle_get(segment, &segment->direct, IO_DIRECT, ret_file);
}

static int set_path(struct segment *segment, struct io *io, const char *directory, struct err *err)
{
	char path[LAYOUT_PATH_SIZE];
	char name[SEGMENT_NAME_SIZE];

	segment_name(segment->summary.day, segment->summary.id, ".seg", name);
	if (snprintf(path, sizeof(path), "%s/%s", directory, name) >= (int)sizeof(path))
		return err_set(err, -ENAMETOOLONG, "%s: path too long", directory);
	segment->io = io;
	segment->path = strdup(path);
	return segment->path != NULL ? 0 : err_set(err, -ENOMEM, "%s: out of memory", name);
}

static int file_error(const struct segment *segment, int r, struct err *err)
{
	return r < 0 ? err_set(err, r, "%s: %s", segment->path, strerror(-r)) : 0;
}

int segment_read_exactly(const struct segment *segment, uint64_t offset, void *bytes, size_t size)
{
	struct io_file *file;
	int64_t got = segment_plain_file(segment, &file);

	if (got == 0)
		got = file->ops->read(file, offset, bytes, size);
	if (got < 0)
		return (int)got;
	return (size_t)got == size ? 0 : -EBADMSG;
}

/* The header is the file's own word, so it has to be that of the name asked for. */
static int read_header(struct segment *segment, int32_t day, uint64_t id, struct err *err)
{
	uint8_t page[SEGMENT_HEADER_SIZE];
	struct segment_summary *summary = &segment->summary;
	int r = segment_read_exactly(segment, 0, page, sizeof(page));

	if (r == -EBADMSG)
		return segment_damaged(segment, err, SEGMENT_HEADER, 0, "cut short");
	if (r < 0)
		return r;
	r = segment_header_decode(page, &segment->key, err, summary);
	if (r < 0) {
		summary->day = day;
		summary->id = id;
		return r;
	}
	if (summary->day != day || summary->id != id)
		return segment_damaged(segment, err, SEGMENT_HEADER, 0, "belongs to another name");
	r = segment_read_exactly(segment, summary->top_offset, summary->top, summary->top_size);
	return r == -EBADMSG ? segment_damaged(segment, err, SEGMENT_TOP, 0, "cut short") : r;
}

/* `file` is the handle that is open already. */
static int finish_open(struct segment *segment, struct io_file *file, struct err *err)
{
	uint64_t size = 0;
	int r = file_error(segment, file->ops->size(file, &size), err);

	if (r < 0)
		return r;
	if (size != segment->summary.file_size)
		return segment_damaged(segment, err, SEGMENT_HEADER, 0, "the file's size is not what it should be");
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
	struct io_file *file;
	int r;

	if (segment == NULL)
		return -ENOMEM;
	segment->summary.day = day;
	segment->summary.id = id;
	r = set_path(segment, io, directory, err);
	if (r == 0)
		r = file_error(segment, segment_plain_file(segment, &file), err);
	if (r == 0)
		r = open_key(segment, keyring, key, err);
	if (r == 0)
		r = read_header(segment, day, id, err);
	if (r == 0)
		r = finish_open(segment, file, err);
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
	struct io_file *file;
	int r;

	if (segment == NULL)
		return -ENOMEM;
	segment->summary = *summary;
	r = set_path(segment, io, directory, err);
	if (r == 0)
		r = file_error(segment, segment_direct_file(segment, &file), err);
	if (r == 0)
		r = open_key(segment, keyring, key, err);
	if (r == 0)
		r = finish_open(segment, file, err);
	if (r == 0)
		*ret_segment = segment;
	else
		segment_free(segment);
	return r;
}

static void close_handle(struct io_file *file)
{
	if (file != NULL)
		file->ops->close(file);
}

struct segment *segment_free(struct segment *segment)
{
	if (segment == NULL)
		return NULL;
	close_handle(atomic_load(&segment->plain));
	close_handle(atomic_load(&segment->direct));
	free(segment->path);
	aead_key_fini(&segment->key);
	bytes_wipe(segment->top, sizeof(segment->top)); /* VRM keys */
	free(segment);
	return NULL;
}

const struct segment_summary *segment_summary(const struct segment *segment)
{
	return &segment->summary;
}
