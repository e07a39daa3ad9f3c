#include "storage/lanes_copy.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "appliance/base/aead.h"
#include "appliance/base/bytes.h"
#include "appliance/base/digest.h"
#include "appliance/base/killpoint.h"
#include "storage/catalog_value.h"
#include "storage/io.h"
#include "storage/keyring.h"
#include "storage/layout.h"

#define FILE_MAGIC UINT64_C(0x53454e414c544e47) /* "GNTLANES" */
#define FILE_VERSION 1
#define FILE_ROUND 4096
#define FILE_SIZE_MAX (UINT64_C(1) << 30)
#define LANE_HEADER_SIZE 16

/* The header, all of it under the tag or part of it. */
enum {
	AT_MAGIC = 0,
	AT_VERSION = 8,
	AT_LANES = 12,
	AT_GENERATION = 16,
	AT_SIZE = 24, /* of the file */
	AT_JOURNALS = 32,
	AT_NONCE = 36,
	AT_TAG = 48,
	HEADER_SIZE = 64,
};

static const struct key_id lanes_key = {.id = 0, .day = KEY_DAY_NONE, .kind = KEY_LANES};

const char *lanes_copy_path(const char *directory, unsigned copy, char *ret_path)
{
	(void)snprintf(ret_path, LAYOUT_PATH_SIZE, "%s/%s", directory, copy == 0 ? LAYOUT_LANES_A : LAYOUT_LANES_B);
	return ret_path;
}

void lanes_content_fini(struct lanes_content *content)
{
	free(content->journals);
	free(content->lanes);
	free(content->bytes);
	*content = (struct lanes_content){0};
}

/* ---- gathering */

struct gather {
	struct lanes_content *content;
	size_t journal_room;
	size_t lane_room;
	size_t byte_count;
	size_t byte_room;
};

static int room_for(void **items, size_t *room, size_t needed, size_t size)
{
	size_t wanted = *room;
	void *grown;

	if (needed <= wanted)
		return 0;
	while (wanted < needed)
		wanted = wanted * 2 + 64;
	grown = realloc(*items, wanted * size);
	if (grown == NULL)
		return -ENOMEM;
	*items = grown;
	*room = wanted;
	return 0;
}

static int gather_journal(void *context, uint64_t journal_id)
{
	struct gather *gather = context;
	struct lanes_content *content = gather->content;

	if (room_for((void **)&content->journals, &gather->journal_room, content->journal_count + 1,
		     sizeof(journal_id)) < 0)
		return -ENOMEM;
	content->journals[content->journal_count++] = journal_id;
	return 0;
}

static int gather_lane(void *context, const struct catalog_lane *lane)
{
	struct gather *gather = context;
	struct lanes_content *content = gather->content;

	if (room_for((void **)&content->lanes, &gather->lane_room, content->lane_count + 1, sizeof(*lane)) < 0 ||
	    room_for((void **)&content->bytes, &gather->byte_room, gather->byte_count + lane->size, 1) < 0)
		return -ENOMEM;
	memcpy(content->bytes + gather->byte_count, lane->bytes, lane->size);
	gather->byte_count += lane->size;
	content->lanes[content->lane_count++] = *lane;
	return 0;
}

/* The bytes may have moved while they grew: where they lie is said when all are there. */
static void lanes_point(struct lanes_content *content)
{
	const uint8_t *at = content->bytes;

	for (size_t i = 0; i < content->lane_count; i++) {
		content->lanes[i].bytes = at;
		at += content->lanes[i].size;
	}
}

static int content_gather(struct catalog *catalog, struct lanes_content *content)
{
	struct gather gather = {.content = content};
	int r = catalog_totals(catalog, &content->totals);

	if (r == 0)
		r = catalog_each_journal(catalog, gather_journal, &gather);
	if (r == 0)
		r = catalog_each_lane(catalog, gather_lane, &gather);
	if (r == 0)
		lanes_point(content);
	return r;
}

/* ---- bytes */

static size_t content_size(const struct lanes_content *content)
{
	size_t size = HEADER_SIZE + CATALOG_TOTALS_SIZE + 8 * content->journal_count;

	for (size_t i = 0; i < content->lane_count; i++)
		size += LANE_HEADER_SIZE + content->lanes[i].size;
	return size;
}

/* `file` is `size` bytes, zeros. */
static void content_encode(const struct lanes_content *content, const uint8_t key_bytes[KEY_SIZE], uint8_t *file,
			   size_t size)
{
	uint8_t *at = file + HEADER_SIZE;
	struct aead_key key;

	le64_put(file + AT_MAGIC, FILE_MAGIC);
	le16_put(file + AT_VERSION, FILE_VERSION);
	le32_put(file + AT_LANES, (uint32_t)content->lane_count);
	le64_put(file + AT_GENERATION, content->generation);
	le64_put(file + AT_SIZE, size);
	le32_put(file + AT_JOURNALS, (uint32_t)content->journal_count);
	random_bytes(file + AT_NONCE, AEAD_NONCE_SIZE);
	catalog_totals_encode(&content->totals, at);
	at += CATALOG_TOTALS_SIZE;
	for (size_t i = 0; i < content->journal_count; i++, at += 8)
		le64_put(at, content->journals[i]);
	for (size_t i = 0; i < content->lane_count; i++) {
		const struct catalog_lane *lane = &content->lanes[i];

		le32_put(at, lane->feed);
		le32_put(at + 4, lane->epoch);
		le32_put(at + 8, lane->lane);
		le32_put(at + 12, (uint32_t)lane->size);
		memcpy(at + LANE_HEADER_SIZE, lane->bytes, lane->size);
		at += LANE_HEADER_SIZE + lane->size;
	}
	aead_key_init(&key, key_bytes);
	aead_seal(&key, file + AT_NONCE, file, AT_TAG, file + HEADER_SIZE, size - HEADER_SIZE, file + HEADER_SIZE,
		  file + AT_TAG);
	aead_key_fini(&key);
}

/* The lanes of an opened body; bytes stay in `body`. */
static int lanes_decode(const uint8_t *at, const uint8_t *end, struct lanes_content *content)
{
	for (size_t i = 0; i < content->lane_count; i++) {
		struct catalog_lane *lane = &content->lanes[i];

		if (end - at < LANE_HEADER_SIZE)
			return -EBADMSG;
		*lane = (struct catalog_lane){.feed = le32_get(at),
					      .epoch = le32_get(at + 4),
					      .lane = (uint8_t)le32_get(at + 8),
					      .bytes = at + LANE_HEADER_SIZE,
					      .size = le32_get(at + 12)};
		at += LANE_HEADER_SIZE;
		if (lane->size > (size_t)(end - at))
			return -EBADMSG;
		at += lane->size;
	}
	return 0;
}

static int content_decode(const uint8_t *header, uint8_t *body, size_t size, struct lanes_content *content)
{
	const uint8_t *at = body + CATALOG_TOTALS_SIZE;

	content->generation = le64_get(header + AT_GENERATION);
	content->journal_count = le32_get(header + AT_JOURNALS);
	content->lane_count = le32_get(header + AT_LANES);
	if (size < CATALOG_TOTALS_SIZE || content->journal_count > (size - CATALOG_TOTALS_SIZE) / 8 ||
	    content->lane_count > size / LANE_HEADER_SIZE)
		return -EBADMSG;
	content->journals = calloc(content->journal_count + 1, sizeof(*content->journals));
	content->lanes = calloc(content->lane_count + 1, sizeof(*content->lanes));
	if (content->journals == NULL || content->lanes == NULL)
		return -ENOMEM;
	if (catalog_totals_decode(body, CATALOG_TOTALS_SIZE, &content->totals) < 0)
		return -EBADMSG;
	for (size_t i = 0; i < content->journal_count; i++, at += 8)
		content->journals[i] = le64_get(at);
	return lanes_decode(at, body + size, content);
}

/* ---- files */

static bool header_valid(const uint8_t *header, uint64_t size)
{
	return le64_get(header + AT_MAGIC) == FILE_MAGIC && le16_get(header + AT_VERSION) == FILE_VERSION &&
	       le64_get(header + AT_SIZE) == size && size > HEADER_SIZE && size <= FILE_SIZE_MAX;
}

static int file_read(struct io_file *file, const uint8_t key_bytes[KEY_SIZE], struct lanes_content *content)
{
	uint8_t header[HEADER_SIZE];
	struct aead_key key;
	uint64_t size;
	int64_t count;
	int r = file->ops->size(file, &size);

	if (r < 0)
		return r;
	count = file->ops->read(file, 0, header, sizeof(header));
	if (count < 0)
		return (int)count;
	if (count != HEADER_SIZE || !header_valid(header, size))
		return -EBADMSG;
	size -= HEADER_SIZE;
	content->bytes = malloc(size);
	if (content->bytes == NULL)
		return -ENOMEM;
	count = file->ops->read(file, HEADER_SIZE, content->bytes, size);
	if (count < 0)
		return (int)count;
	if ((uint64_t)count != size)
		return -EBADMSG;
	aead_key_init(&key, key_bytes);
	r = aead_open(&key, header + AT_NONCE, header, AT_TAG, content->bytes, size, content->bytes, header + AT_TAG);
	aead_key_fini(&key);
	return r < 0 ? -EBADMSG : content_decode(header, content->bytes, size, content);
}

int lanes_copy_read_one(struct io *io, struct keyring *keyring, const char *directory, unsigned copy,
			struct lanes_content *ret_content)
{
	struct lanes_content content = {0};
	char path[LAYOUT_PATH_SIZE];
	uint8_t key[KEY_SIZE];
	struct io_file *file;
	int r = io->ops->open(io, lanes_copy_path(directory, copy, path), IO_READ, &file);

	if (r < 0)
		return r;
	r = keyring_get(keyring, lanes_key, key) == 0 ? file_read(file, key, &content) : -ENOKEY;
	bytes_wipe(key, sizeof(key));
	file->ops->close(file);
	if (r < 0) {
		lanes_content_fini(&content);
		return r;
	}
	*ret_content = content;
	return 0;
}

int lanes_copy_read(struct io *io, struct keyring *keyring, const char *directory, struct lanes_content *ret_content)
{
	struct lanes_content best = {0};
	bool found = false;
	int failed = -ENOENT;

	for (unsigned copy = 0; copy < LANES_COPIES; copy++) {
		struct lanes_content content;
		int r = lanes_copy_read_one(io, keyring, directory, copy, &content);

		if (r < 0) {
			failed = r != -ENOENT ? r : failed;
		} else if (found && content.generation <= best.generation) {
			lanes_content_fini(&content);
		} else {
			lanes_content_fini(&best);
			best = content;
			found = true;
		}
	}
	if (!found)
		return failed;
	*ret_content = best;
	return 0;
}

/* Made on the first write. */
static int key_get(struct keyring *keyring, uint8_t ret_key[KEY_SIZE])
{
	struct key_change make = {.id = lanes_key};
	int r = keyring_get(keyring, lanes_key, ret_key);

	if (r != -ENOENT)
		return r;
	r = keyring_change(keyring, &make, 1);
	return r < 0 ? r : keyring_get(keyring, lanes_key, ret_key);
}

/* What a copy says of itself before it is opened: enough for counting on. */
static void file_look(struct io *io, const char *path, uint64_t *ret_generation, uint64_t *ret_size)
{
	uint8_t header[HEADER_SIZE];
	struct io_file *file;

	*ret_generation = 0;
	*ret_size = 0;
	if (io->ops->open(io, path, IO_READ, &file) < 0)
		return;
	if (file->ops->size(file, ret_size) == 0 && file->ops->read(file, 0, header, HEADER_SIZE) == HEADER_SIZE &&
	    header_valid(header, *ret_size))
		*ret_generation = le64_get(header + AT_GENERATION);
	file->ops->close(file);
}

static int file_write(struct io *io, const char *directory, const char *path, const uint8_t *bytes, size_t size)
{
	struct io_file *file;
	bool made = false;
	int r = io->ops->open(io, path, IO_WRITE, &file);

	if (r == -ENOENT) {
		r = io->ops->open(io, path, IO_WRITE | IO_CREATE, &file);
		made = true;
	}
	if (r < 0)
		return r;
	r = file->ops->write_sync(file, 0, bytes, size);
	file->ops->close(file);
	return r == 0 && made ? io->ops->dir_sync(io, directory) : r;
}

/* A file never shrinks, so that a copy's seal reaches to its end; one that is far too large is made anew. */
static int copy_write(struct io *io, const char *directory, const char *path, uint64_t file_size,
		      const struct lanes_content *content, const uint8_t key[KEY_SIZE])
{
	size_t size = (content_size(content) + FILE_ROUND - 1) / FILE_ROUND * FILE_ROUND;
	uint8_t *bytes;
	int r = 0;

	if (size > FILE_SIZE_MAX)
		return -EFBIG;
	if (file_size > 4 * (uint64_t)size + (1 << 20))
		r = io->ops->unlink(io, path);
	else if (file_size > size)
		size = (size_t)file_size;
	bytes = r == 0 ? calloc(1, size) : NULL;
	if (r == 0 && bytes == NULL)
		r = -ENOMEM;
	if (r == 0) {
		content_encode(content, key, bytes, size);
		r = file_write(io, directory, path, bytes, size);
	}
	free(bytes);
	return r;
}

int lanes_copy_write(struct io *io, struct keyring *keyring, const char *directory, struct catalog *catalog)
{
	struct lanes_content content = {0};
	char paths[LANES_COPIES][LAYOUT_PATH_SIZE];
	uint64_t generations[LANES_COPIES];
	uint64_t sizes[LANES_COPIES];
	uint8_t key[KEY_SIZE];
	int r = key_get(keyring, key);

	if (r == 0)
		r = content_gather(catalog, &content);
	for (unsigned copy = 0; copy < LANES_COPIES; copy++)
		file_look(io, lanes_copy_path(directory, copy, paths[copy]), &generations[copy], &sizes[copy]);
	content.generation = (generations[0] > generations[1] ? generations[0] : generations[1]) + 1;
	for (unsigned copy = 0; copy < LANES_COPIES && r == 0; copy++) {
		r = copy_write(io, directory, paths[copy], sizes[copy], &content, key);
		killpoint("seal.lanes-copied");
	}
	bytes_wipe(key, sizeof(key));
	lanes_content_fini(&content);
	return r;
}
