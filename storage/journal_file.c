#include "storage/journal_file.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "appliance/base/aead.h"
#include "appliance/base/bytes.h"
#include "storage/io.h"

#define JOURNAL_VERSION 2       /* 1: hits without number and flags */
#define FRAME_MAGIC 0x524a4e47u /* "GNJR" */
#define FRAME_FLAG_END 1u

static const uint8_t header_magic[8] = {'G', 'N', 'T', 'J', 'R', 'N', 'L', 0};
static const char *const state_names[] = {"open", "closed", "failed"};

/* Offsets in the file's header. */
enum {
	HEADER_AT_VERSION = 8,
	HEADER_AT_WORKER = 12,
	HEADER_AT_FILE_ID = 16,
	HEADER_AT_SEQUENCE = 24,
	HEADER_AT_FILE_SIZE = 32,
	HEADER_AT_CREATED = 40,
	HEADER_AT_TAG = 48, /* over all before it */
	HEADER_AT_CHECKSUM = 64,
	HEADER_END = JOURNAL_HEADER_USED,
};

/* Offsets in a frame's header. */
enum {
	FRAME_AT_MAGIC = 0,
	FRAME_AT_VERSION = 4,
	FRAME_AT_KEY_VERSION = 6,
	FRAME_AT_FILE_ID = 8,
	FRAME_AT_FRAME = 16,
	FRAME_AT_DURABLE = 24,
	FRAME_AT_SUBMITTED = 32,
	FRAME_AT_CHAIN = 40,
	FRAME_AT_RUN_COUNT = 56,
	FRAME_AT_ROW_COUNT = 60,
	FRAME_AT_HIT_COUNT = 64,
	FRAME_AT_BODY_SIZE = 68,
	FRAME_AT_FLAGS = 72,
	FRAME_AT_TAG = 96, /* over all before it and the body */
	FRAME_AT_CHECKSUM = 120,
};
static_assert(FRAME_AT_CHECKSUM + 8 == JOURNAL_FRAME_HEADER_SIZE, "the checksum closes the header");
static_assert(FRAME_AT_CHAIN + JOURNAL_CHAIN_SIZE == FRAME_AT_RUN_COUNT, "header fields overlap");
static_assert(JOURNAL_FRAME_BLOCK == IO_ALIGN, "a frame is written directly");
static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "rows and hits are copied as they lie in memory");

bool journal_file_name_parse(const char *name, struct journal_file_name *ret_name)
{
	char again[JOURNAL_PATH_MAX];
	char state[8];
	struct journal_file_name parsed;
	int end = 0;

	if (sscanf(name, "w%2u-%10" SCNu64 ".%7[a-z]%n", &parsed.worker, &parsed.sequence, state, &end) != 3 ||
	    name[end] != '\0')
		return false;
	for (unsigned i = 0; i < sizeof(state_names) / sizeof(state_names[0]); i++) {
		if (strcmp(state, state_names[i]) != 0)
			continue;
		parsed.state = (enum journal_file_state)i;
		/* One spelling only: what is not what we would write is not ours. */
		if (journal_file_path("", &parsed, again) < 0 || strcmp(again + 1, name) != 0)
			return false;
		*ret_name = parsed;
		return true;
	}
	return false;
}

int journal_file_path(const char *directory, const struct journal_file_name *name, char ret_path[JOURNAL_PATH_MAX])
{
	int n = snprintf(ret_path, JOURNAL_PATH_MAX, "%s/w%02u-%010" PRIu64 ".%s", directory, name->worker,
			 name->sequence, state_names[name->state]);

	return n < 0 || n >= JOURNAL_PATH_MAX ? -ENAMETOOLONG : 0;
}

static int file_discard(struct io *io, const char *path)
{
	struct io_file *file;
	int r = io->ops->open(io, path, IO_WRITE, &file);

	if (r == -ENOENT)
		return 0;
	if (r < 0)
		return r;
	(void)file->ops->punch(file); /* its key is gone already: this only helps */
	file->ops->close(file);
	return io->ops->unlink(io, path);
}

int journal_file_destroy(struct io *io, const char *directory, const struct journal_file_name *name)
{
	struct journal_file_name any = *name;
	char path[JOURNAL_PATH_MAX];
	int r = 0;

	for (unsigned i = 0; i < sizeof(state_names) / sizeof(state_names[0]) && r == 0; i++) {
		any.state = (enum journal_file_state)i;
		r = journal_file_path(directory, &any, path);
		if (r == 0)
			r = file_discard(io, path);
	}
	return r < 0 ? r : io->ops->dir_sync(io, directory);
}

static void nonce_of(uint64_t frame, uint8_t ret_nonce[AEAD_NONCE_SIZE])
{
	memset(ret_nonce, 0, AEAD_NONCE_SIZE);
	le64_put(ret_nonce + 4, frame);
}

static void chain_of(const void *bytes, size_t size, uint8_t ret_chain[JOURNAL_CHAIN_SIZE])
{
	XXH128_hash_t hash = XXH3_128bits(bytes, size);

	le64_put(ret_chain, hash.low64);
	le64_put(ret_chain + 8, hash.high64);
}

/* ---- the file's header */

void journal_file_header_encode(const struct journal_file_header *header, const struct aead_key *key,
				uint8_t ret_block[JOURNAL_HEADER_SIZE], uint8_t ret_chain[JOURNAL_CHAIN_SIZE])
{
	uint8_t nonce[AEAD_NONCE_SIZE];

	memset(ret_block, 0, JOURNAL_HEADER_SIZE);
	memcpy(ret_block, header_magic, sizeof(header_magic));
	le16_put(ret_block + HEADER_AT_VERSION, JOURNAL_VERSION);
	le32_put(ret_block + HEADER_AT_WORKER, header->worker);
	le64_put(ret_block + HEADER_AT_FILE_ID, header->file_id);
	le64_put(ret_block + HEADER_AT_SEQUENCE, header->sequence);
	le64_put(ret_block + HEADER_AT_FILE_SIZE, header->file_size);
	le64_put(ret_block + HEADER_AT_CREATED, (uint64_t)header->created_us);
	nonce_of(0, nonce);
	aead_seal(key, nonce, ret_block, HEADER_AT_TAG, NULL, 0, NULL, ret_block + HEADER_AT_TAG);
	le64_put(ret_block + HEADER_AT_CHECKSUM, XXH3_64bits(ret_block, HEADER_AT_CHECKSUM));
	chain_of(ret_block, HEADER_END, ret_chain);
}

int journal_file_header_decode(const uint8_t block[JOURNAL_HEADER_SIZE], const struct aead_key *key,
			       struct journal_file_header *ret_header, uint8_t ret_chain[JOURNAL_CHAIN_SIZE])
{
	uint8_t nonce[AEAD_NONCE_SIZE];

	if (memcmp(block, header_magic, sizeof(header_magic)) != 0 ||
	    le64_get(block + HEADER_AT_CHECKSUM) != XXH3_64bits(block, HEADER_AT_CHECKSUM))
		return -EBADMSG;
	if (le16_get(block + HEADER_AT_VERSION) != JOURNAL_VERSION)
		return -ENOTSUP;
	nonce_of(0, nonce);
	if (key != NULL && aead_open(key, nonce, block, HEADER_AT_TAG, NULL, 0, NULL, block + HEADER_AT_TAG) < 0)
		return -EBADMSG;
	*ret_header = (struct journal_file_header){
		.file_id = le64_get(block + HEADER_AT_FILE_ID),
		.sequence = le64_get(block + HEADER_AT_SEQUENCE),
		.file_size = le64_get(block + HEADER_AT_FILE_SIZE),
		.created_us = (int64_t)le64_get(block + HEADER_AT_CREATED),
		.worker = le32_get(block + HEADER_AT_WORKER),
	};
	chain_of(block, HEADER_END, ret_chain);
	return 0;
}

/* ---- frames */

size_t journal_frame_size(size_t body_size)
{
	return (JOURNAL_FRAME_HEADER_SIZE + body_size + JOURNAL_FRAME_BLOCK - 1) / JOURNAL_FRAME_BLOCK *
	       JOURNAL_FRAME_BLOCK;
}

void journal_frame_encode(const struct journal_frame_header *header, const struct aead_key *key, const void *body,
			  void *ret_frame, uint8_t ret_chain[JOURNAL_CHAIN_SIZE])
{
	uint8_t *frame = ret_frame;
	size_t end = JOURNAL_FRAME_HEADER_SIZE + header->body_size;
	uint8_t nonce[AEAD_NONCE_SIZE];

	memset(frame, 0, JOURNAL_FRAME_HEADER_SIZE);
	le32_put(frame + FRAME_AT_MAGIC, FRAME_MAGIC);
	le16_put(frame + FRAME_AT_VERSION, JOURNAL_VERSION);
	le16_put(frame + FRAME_AT_KEY_VERSION, header->key_version);
	le64_put(frame + FRAME_AT_FILE_ID, header->file_id);
	le64_put(frame + FRAME_AT_FRAME, header->frame);
	le64_put(frame + FRAME_AT_DURABLE, header->durable);
	le64_put(frame + FRAME_AT_SUBMITTED, (uint64_t)header->submitted_us);
	memcpy(frame + FRAME_AT_CHAIN, header->chain, JOURNAL_CHAIN_SIZE);
	le32_put(frame + FRAME_AT_RUN_COUNT, header->run_count);
	le32_put(frame + FRAME_AT_ROW_COUNT, header->row_count);
	le32_put(frame + FRAME_AT_HIT_COUNT, header->hit_count);
	le32_put(frame + FRAME_AT_BODY_SIZE, header->body_size);
	le16_put(frame + FRAME_AT_FLAGS, header->end ? FRAME_FLAG_END : 0);
	nonce_of(header->frame, nonce);
	aead_seal(key, nonce, frame, FRAME_AT_TAG, body, header->body_size, frame + JOURNAL_FRAME_HEADER_SIZE,
		  frame + FRAME_AT_TAG);
	le64_put(frame + FRAME_AT_CHECKSUM, XXH3_64bits(frame, FRAME_AT_CHECKSUM));
	memset(frame + end, 0, journal_frame_size(header->body_size) - end);
	chain_of(frame, JOURNAL_FRAME_HEADER_SIZE, ret_chain);
}

int journal_frame_header_decode(const void *bytes, struct journal_frame_header *ret_header)
{
	const uint8_t *frame = bytes;
	struct journal_frame_header header;

	if (le32_get(frame + FRAME_AT_MAGIC) != FRAME_MAGIC ||
	    le64_get(frame + FRAME_AT_CHECKSUM) != XXH3_64bits(frame, FRAME_AT_CHECKSUM))
		return -EBADMSG;
	if (le16_get(frame + FRAME_AT_VERSION) != JOURNAL_VERSION)
		return -ENOTSUP;
	header = (struct journal_frame_header){
		.file_id = le64_get(frame + FRAME_AT_FILE_ID),
		.frame = le64_get(frame + FRAME_AT_FRAME),
		.durable = le64_get(frame + FRAME_AT_DURABLE),
		.submitted_us = (int64_t)le64_get(frame + FRAME_AT_SUBMITTED),
		.run_count = le32_get(frame + FRAME_AT_RUN_COUNT),
		.row_count = le32_get(frame + FRAME_AT_ROW_COUNT),
		.hit_count = le32_get(frame + FRAME_AT_HIT_COUNT),
		.body_size = le32_get(frame + FRAME_AT_BODY_SIZE),
		.key_version = le16_get(frame + FRAME_AT_KEY_VERSION),
		.end = le16_get(frame + FRAME_AT_FLAGS) & FRAME_FLAG_END,
	};
	memcpy(header.chain, frame + FRAME_AT_CHAIN, JOURNAL_CHAIN_SIZE);
	if (header.frame == 0 || header.durable >= header.frame ||
	    header.body_size > JOURNAL_FRAME_SIZE_MAX - JOURNAL_FRAME_HEADER_SIZE)
		return -EBADMSG;
	*ret_header = header;
	return 0;
}

int journal_frame_open(const struct journal_frame_header *header, const struct aead_key *key, const void *bytes,
		       void *body, uint8_t ret_chain[JOURNAL_CHAIN_SIZE])
{
	const uint8_t *frame = bytes;
	uint8_t nonce[AEAD_NONCE_SIZE];
	int r;

	nonce_of(header->frame, nonce);
	r = aead_open(key, nonce, frame, FRAME_AT_TAG, frame + JOURNAL_FRAME_HEADER_SIZE, header->body_size, body,
		      frame + FRAME_AT_TAG);
	if (r < 0)
		return r;
	chain_of(frame, JOURNAL_FRAME_HEADER_SIZE, ret_chain);
	return 0;
}

/* ---- runs and rows: a row is three stretches of struct read, as they lie in memory on a little-endian machine */

#define ROW_HEAD offsetof(struct read, receipt_us) /* key, text, capture */
#define ROW_PLACE 12                               /* camera, latitude, longitude */
#define ROW_TAIL 12                                /* country … zero */
static_assert(ROW_HEAD + ROW_PLACE + ROW_TAIL == JOURNAL_ROW_SIZE, "a row is 64 bytes");
static_assert(offsetof(struct read, camera) + ROW_PLACE == offsetof(struct read, feed),
	      "camera, lat, lon lie together");
static_assert(offsetof(struct read, country) + ROW_TAIL == sizeof(struct read), "the tail ends the read");
static_assert(JOURNAL_HIT_SIZE == sizeof(struct hit), "hits are journalled as they are");

static inline void row_put(uint8_t *at, const struct read *read)
{
	memcpy(at, read, ROW_HEAD);
	memcpy(at + ROW_HEAD, &read->camera, ROW_PLACE);
	memcpy(at + ROW_HEAD + ROW_PLACE, &read->country, ROW_TAIL);
}

static inline void row_get(const uint8_t *at, struct read *read)
{
	memcpy(read, at, ROW_HEAD);
	memcpy(&read->camera, at + ROW_HEAD, ROW_PLACE);
	memcpy(&read->country, at + ROW_HEAD + ROW_PLACE, ROW_TAIL);
}

size_t journal_run_encode(const struct run *run, uint64_t watermark, const struct read *reads, void *ret_bytes)
{
	uint8_t *at = ret_bytes;
	unsigned rows = run->refusal == REFUSAL_NONE ? run->count : 0;

	le64_put(at, run->first);
	le64_put(at + 8, watermark);
	le64_put(at + 16, rows > 0 ? (uint64_t)reads[0].receipt_us : 0);
	le32_put(at + 24, run->feed);
	le32_put(at + 28, run->epoch);
	le16_put(at + 32, run->count);
	at[34] = run->lane;
	at[35] = run->refusal;
	le32_put(at + 36, 0);
	at += JOURNAL_RUN_SIZE;
	for (unsigned i = 0; i < rows; i++, at += JOURNAL_ROW_SIZE)
		row_put(at, &reads[i]);
	return (size_t)(at - (uint8_t *)ret_bytes);
}

static void run_get(const uint8_t *at, struct journal_run *ret_run)
{
	ret_run->run = (struct run){
		.first = le64_get(at),
		.feed = le32_get(at + 24),
		.epoch = le32_get(at + 28),
		.count = le16_get(at + 32),
		.lane = at[34],
		.refusal = at[35],
	};
	ret_run->watermark = le64_get(at + 8);
	ret_run->receipt_us = (int64_t)le64_get(at + 16);
}

bool journal_frame_next(struct journal_frame *frame, struct journal_run *ret_run)
{
	unsigned rows;

	if (frame->runs_left == 0)
		return false;
	frame->runs_left--;
	run_get(frame->next, ret_run);
	frame->next += JOURNAL_RUN_SIZE;
	ret_run->first_row = frame->row;
	rows = ret_run->run.refusal == REFUSAL_NONE ? ret_run->run.count : 0;
	for (unsigned i = 0; i < rows; i++, frame->next += JOURNAL_ROW_SIZE) {
		struct read *read = &ret_run->reads[i];

		row_get(frame->next, read);
		read->receipt_us = ret_run->receipt_us;
		read->feed = ret_run->run.feed;
		read->epoch = ret_run->run.epoch;
	}
	frame->row += rows;
	return true;
}

/* Size of the run at `at` with its rows, 0 when it is not well formed. */
static size_t run_check(const uint8_t *at, size_t left, uint32_t *rows)
{
	struct journal_run run;
	size_t size = JOURNAL_RUN_SIZE;

	if (left < size)
		return 0;
	run_get(at, &run);
	if (run.run.count == 0 || run.run.count > LANE_RUN_MAX || run.run.lane >= FEED_LANE_COUNT ||
	    run.run.refusal >= REFUSAL_COUNT || run.run.first == 0 || run.run.first > INT64_MAX)
		return 0;
	if (run.run.refusal == REFUSAL_NONE) {
		size += (size_t)run.run.count * JOURNAL_ROW_SIZE;
		*rows += run.run.count;
	}
	return size <= left ? size : 0;
}

/* Where the hits begin; NULL when the body is not what its header says. */
static const uint8_t *body_check(const struct journal_frame_header *header, const uint8_t *body)
{
	const uint8_t *at = body;
	const uint8_t *end = body + header->body_size;
	uint32_t rows = 0;

	for (uint32_t i = 0; i < header->run_count; i++) {
		size_t size = run_check(at, (size_t)(end - at), &rows);

		if (size == 0)
			return NULL;
		at += size;
	}
	if (rows != header->row_count || (size_t)(end - at) != (size_t)header->hit_count * JOURNAL_HIT_SIZE)
		return NULL;
	for (uint32_t i = 0; i < header->hit_count; i++)
		if (le32_get(at + (size_t)i * JOURNAL_HIT_SIZE) >= rows)
			return NULL;
	return at;
}

int journal_frame_init(struct journal_frame *frame, const struct journal_frame_header *header, const void *body,
		       uint64_t offset)
{
	const uint8_t *hits = body_check(header, body);

	if (hits == NULL)
		return -EBADMSG;
	*frame = (struct journal_frame){
		.header = *header,
		.offset = offset,
		.hits = (const struct hit *)hits,
		.next = body,
		.runs_left = header->run_count,
	};
	return 0;
}
