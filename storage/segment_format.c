#include "storage/segment_format.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <xxhash.h>

#include "appliance/base/bytes.h"
#include "appliance/base/read.h"

#define MAGIC "GANTRSEG"
#define END_MAGIC "GANTREND"
#define MAGIC_SIZE 8

/* Offsets in the header page; docs/disk-format.md has the table. */
#define AT_SECTIONS 96
#define SECTION_SIZE 24
#define AT_HIT_FENCE_COUNT 192
#define AT_HIT_FENCES 256
#define AT_LINEAGE 1536
#define AT_TAG 4072
#define AT_SUM 4088
#define END_AT_SUM 56
static_assert(AT_SECTIONS + 4 * SECTION_SIZE <= AT_HIT_FENCE_COUNT, "the section table lies before what follows it");
static_assert(AT_HIT_FENCE_COUNT + 8 <= SEGMENT_SUMMARY_FIXED, "the count of hit fences is part of the fixed fields");
static_assert(SEGMENT_SUMMARY_FIXED <= AT_HIT_FENCES, "fixed fields lie before the hit fences");
static_assert(AT_HIT_FENCES + SEGMENT_HIT_FENCE_SIZE * SEGMENT_HIT_FENCES_MAX <= AT_LINEAGE,
	      "hit fences lie before the lineage");
static_assert(AT_LINEAGE + 8 * SEGMENT_LINEAGE_MAX <= AT_TAG, "the lineage lies before the tag");

const char *segment_name(int32_t day, uint64_t id, const char *suffix, char name[SEGMENT_NAME_SIZE])
{
	(void)snprintf(name, SEGMENT_NAME_SIZE, "d%" PRId32 "-%016" PRIx64 "%s", day, id, suffix);
	return name;
}

int segment_name_parse(const char *name, const char *suffix, int32_t *ret_day, uint64_t *ret_id)
{
	char canonical[SEGMENT_NAME_SIZE];
	int32_t day;
	uint64_t id;

	if (sscanf(name, "d%" SCNd32 "-%16" SCNx64, &day, &id) != 2 ||
	    strcmp(segment_name(day, id, suffix, canonical), name) != 0)
		return -EINVAL;
	*ret_day = day;
	*ret_id = id;
	return 0;
}

static void nonce_make(unsigned section, uint64_t page_number, uint8_t nonce[AEAD_NONCE_SIZE])
{
	le32_put(nonce, section);
	le64_put(nonce + 4, page_number);
}

static void put_fixed(const struct segment_summary *summary, uint8_t *bytes)
{
	memset(bytes, 0, SEGMENT_SUMMARY_FIXED);
	memcpy(bytes, MAGIC, MAGIC_SIZE);
	le32_put(bytes + 8, SEGMENT_FORMAT);
	le32_put(bytes + 12, SEGMENT_HEADER_SIZE);
	le64_put(bytes + 16, summary->id);
	le32_put(bytes + 24, (uint32_t)summary->day);
	le16_put(bytes + 28, summary->key_version);
	le16_put(bytes + 30, summary->lineage_kind);
	le32_put(bytes + 32, summary->lineage_count);
	le32_put(bytes + 36, summary->top_size);
	le64_put(bytes + 40, summary->row_count);
	le64_put(bytes + 48, summary->collapsed_count);
	le64_put(bytes + 56, (uint64_t)summary->capture_first_us);
	le64_put(bytes + 64, (uint64_t)summary->capture_last_us);
	le64_put(bytes + 72, summary->file_size);
	le64_put(bytes + 80, summary->top_offset);
	le64_put(bytes + 88, summary->id); /* of the key; a later version may key several segments alike */
	for (unsigned s = SEGMENT_ROWS; s < SEGMENT_TOP; s++) {
		uint8_t *at = bytes + AT_SECTIONS + (s - 1) * SECTION_SIZE;

		le32_put(at, s);
		le32_put(at + 4, summary->sections[s].page_count);
		le32_put(at + 8, summary->sections[s].leaf_count);
		le32_put(at + 12, summary->sections[s].leaf_pages);
		le64_put(at + 16, summary->sections[s].item_count);
	}
	le32_put(bytes + AT_HIT_FENCE_COUNT, summary->hit_fence_count);
}

static void put_hit_fences(const struct segment_summary *summary, uint8_t *at)
{
	for (uint32_t i = 0; i < summary->hit_fence_count; i++, at += SEGMENT_HIT_FENCE_SIZE) {
		le64_put(at, summary->hit_fences[i].first);
		le64_put(at + 8, summary->hit_fences[i].last);
	}
}

/* The count has been checked. */
static int get_hit_fences(const uint8_t *at, struct err *err, struct segment_summary *summary)
{
	int source = -1;

	for (uint32_t i = 0; i < summary->hit_fence_count; i++, at += SEGMENT_HIT_FENCE_SIZE) {
		struct segment_hit_fence fence = {le64_get(at), le64_get(at + 8)};

		if ((int)hit_source(fence.first) <= source || hit_source(fence.first) != hit_source(fence.last) ||
		    fence.first > fence.last || !segment_hit_number_valid(fence.first))
			return err_set(err, -EBADMSG, "segment header: fence %u of its hits makes no sense", i);
		source = (int)hit_source(fence.first);
		summary->hit_fences[i] = fence;
	}
	return 0;
}

static int get_section(const uint8_t *at, unsigned section, struct segment_section_info *ret_info)
{
	struct segment_section_info info = {le64_get(at + 16), le32_get(at + 4), le32_get(at + 8), le32_get(at + 12)};

	if (le32_get(at) != section || info.leaf_pages == 0 || info.page_count > info.item_count ||
	    info.leaf_count != (info.page_count + (uint64_t)info.leaf_pages - 1) / info.leaf_pages)
		return -EBADMSG;
	*ret_info = info;
	return 0;
}

static int get_fixed(const uint8_t *bytes, struct err *err, struct segment_summary *summary)
{
	uint32_t fences = 0;

	if (memcmp(bytes, MAGIC, MAGIC_SIZE) != 0)
		return err_set(err, -EBADMSG, "not a segment: its first bytes are not %s", MAGIC);
	if (le32_get(bytes + 8) != SEGMENT_FORMAT || le32_get(bytes + 12) != SEGMENT_HEADER_SIZE)
		return err_set(err, -ENOTSUP, "segment format %u, this program reads %u", le32_get(bytes + 8),
			       SEGMENT_FORMAT);
	summary->id = le64_get(bytes + 16);
	summary->day = (int32_t)le32_get(bytes + 24);
	summary->key_version = le16_get(bytes + 28);
	summary->lineage_kind = le16_get(bytes + 30);
	summary->lineage_count = le32_get(bytes + 32);
	summary->top_size = le32_get(bytes + 36);
	summary->row_count = le64_get(bytes + 40);
	summary->collapsed_count = le64_get(bytes + 48);
	summary->capture_first_us = (int64_t)le64_get(bytes + 56);
	summary->capture_last_us = (int64_t)le64_get(bytes + 64);
	summary->file_size = le64_get(bytes + 72);
	summary->top_offset = le64_get(bytes + 80);
	memset(summary->sections, 0, sizeof(summary->sections));
	for (unsigned s = SEGMENT_ROWS; s < SEGMENT_TOP; s++) {
		if (get_section(bytes + AT_SECTIONS + (s - 1) * SECTION_SIZE, s, &summary->sections[s]) < 0)
			return err_set(err, -EBADMSG, "segment header: section %u makes no sense", s);
		fences += summary->sections[s].leaf_count;
	}
	summary->hit_fence_count = le32_get(bytes + AT_HIT_FENCE_COUNT);
	if (summary->hit_fence_count > SEGMENT_HIT_FENCES_MAX ||
	    summary->hit_fence_count > summary->sections[SEGMENT_HITS].item_count ||
	    summary->lineage_count > SEGMENT_LINEAGE_MAX || summary->row_count == 0 ||
	    summary->row_count > SEGMENT_ROWS_MAX || summary->row_count != summary->sections[SEGMENT_ROWS].item_count ||
	    fences > SEGMENT_TOP_FENCES ||
	    summary->top_size != SEGMENT_FENCES_AT + fences * SEGMENT_FENCE_SIZE + AEAD_TAG_SIZE ||
	    summary->file_size < SEGMENT_HEADER_SIZE + SEGMENT_END_SIZE + summary->top_size ||
	    summary->top_offset != summary->file_size - SEGMENT_END_SIZE - summary->top_size ||
	    le64_get(bytes + 88) != summary->id)
		return err_set(err, -EBADMSG, "segment header: counts or sizes make no sense");
	return 0;
}

void segment_header_encode(const struct segment_summary *summary, const struct aead_key *key,
			   uint8_t page[SEGMENT_HEADER_SIZE])
{
	uint8_t nonce[AEAD_NONCE_SIZE];
	uint8_t none[1] = {0};

	memset(page, 0, SEGMENT_HEADER_SIZE);
	put_fixed(summary, page);
	put_hit_fences(summary, page + AT_HIT_FENCES);
	for (uint32_t i = 0; i < summary->lineage_count; i++)
		le64_put(page + AT_LINEAGE + 8 * i, summary->lineage[i]);
	nonce_make(SEGMENT_HEADER, 0, nonce);
	aead_seal(key, nonce, page, AT_TAG, none, 0, none, page + AT_TAG);
	le64_put(page + AT_SUM, XXH3_64bits(page, AT_SUM));
}

int segment_header_decode(const uint8_t page[SEGMENT_HEADER_SIZE], const struct aead_key *key, struct err *err,
			  struct segment_summary *ret_summary)
{
	uint8_t nonce[AEAD_NONCE_SIZE];
	uint8_t none[1] = {0};
	struct segment_summary *summary = ret_summary;
	int r;

	if (le64_get(page + AT_SUM) != XXH3_64bits(page, AT_SUM))
		return err_set(err, -EBADMSG, "segment header: checksum does not fit");
	nonce_make(SEGMENT_HEADER, 0, nonce);
	if (key != NULL && aead_open(key, nonce, page, AT_TAG, none, 0, none, page + AT_TAG) < 0)
		return err_set(err, -EBADMSG, "segment header: not what its key sealed");
	r = get_fixed(page, err, summary);
	if (r < 0)
		return r;
	for (uint32_t i = 0; i < summary->lineage_count; i++)
		summary->lineage[i] = le64_get(page + AT_LINEAGE + 8 * i);
	return get_hit_fences(page + AT_HIT_FENCES, err, summary);
}

size_t segment_summary_encode(const struct segment_summary *summary, uint8_t bytes[SEGMENT_SUMMARY_SIZE_MAX])
{
	uint8_t *at = bytes + SEGMENT_SUMMARY_FIXED;

	put_fixed(summary, bytes);
	for (uint32_t i = 0; i < summary->lineage_count; i++, at += 8)
		le64_put(at, summary->lineage[i]);
	put_hit_fences(summary, at);
	at += (size_t)SEGMENT_HIT_FENCE_SIZE * summary->hit_fence_count;
	memcpy(at, summary->top, summary->top_size);
	at += summary->top_size;
	le64_put(at, XXH3_64bits(bytes, (size_t)(at - bytes)));
	return (size_t)(at + 8 - bytes);
}

int segment_summary_decode(const uint8_t *bytes, size_t size, struct err *err, struct segment_summary *ret_summary)
{
	const uint8_t *at = bytes + SEGMENT_SUMMARY_FIXED;
	int r;

	if (size < SEGMENT_SUMMARY_FIXED + 8 || le64_get(bytes + size - 8) != XXH3_64bits(bytes, size - 8))
		return err_set(err, -EBADMSG, "segment row: checksum does not fit");
	r = get_fixed(bytes, err, ret_summary);
	if (r < 0)
		return r;
	if (size != SEGMENT_SUMMARY_FIXED + 8 * (size_t)ret_summary->lineage_count +
			    (size_t)SEGMENT_HIT_FENCE_SIZE * ret_summary->hit_fence_count + ret_summary->top_size + 8)
		return err_set(err, -EBADMSG, "segment row: its size makes no sense");
	for (uint32_t i = 0; i < ret_summary->lineage_count; i++, at += 8)
		ret_summary->lineage[i] = le64_get(at);
	r = get_hit_fences(at, err, ret_summary);
	at += (size_t)SEGMENT_HIT_FENCE_SIZE * ret_summary->hit_fence_count;
	if (r == 0)
		memcpy(ret_summary->top, at, ret_summary->top_size);
	return r;
}

bool segment_hit_number_valid(uint64_t number)
{
	unsigned source = hit_source(number);

	return (number & HIT_COUNT_MASK) != 0 && (source < SEGMENT_HIT_WORKERS || source == HIT_SOURCE_LATE);
}

void segment_hit_fence_add(struct segment_summary *summary, uint64_t number)
{
	struct segment_hit_fence *fence = summary->hit_fences;
	struct segment_hit_fence *end = fence + summary->hit_fence_count;

	while (fence < end && hit_source(fence->first) < hit_source(number))
		fence++;
	if (fence == end || hit_source(fence->first) != hit_source(number)) {
		assert(summary->hit_fence_count < SEGMENT_HIT_FENCES_MAX);
		memmove(fence + 1, fence, (size_t)(end - fence) * sizeof(*fence));
		*fence = (struct segment_hit_fence){number, number};
		summary->hit_fence_count++;
	}
	if (number < fence->first)
		fence->first = number;
	if (number > fence->last)
		fence->last = number;
}

bool segment_hit_fences_meet(const struct segment_summary *summary, uint64_t after, uint64_t upto)
{
	for (uint32_t i = 0; i < summary->hit_fence_count; i++)
		if (summary->hit_fences[i].last > after && summary->hit_fences[i].first <= upto)
			return true;
	return false;
}

void segment_end_encode(const uint8_t header[SEGMENT_HEADER_SIZE], uint64_t file_size, uint8_t end[SEGMENT_END_SIZE])
{
	memset(end, 0, SEGMENT_END_SIZE);
	memcpy(end, END_MAGIC, MAGIC_SIZE);
	memcpy(end + 8, header + 16, 8);
	le64_put(end + 16, file_size);
	le64_put(end + 24, XXH3_64bits(header, SEGMENT_HEADER_SIZE));
	le64_put(end + END_AT_SUM, XXH3_64bits(end, END_AT_SUM));
}

int segment_end_check(const uint8_t header[SEGMENT_HEADER_SIZE], uint64_t file_size,
		      const uint8_t end[SEGMENT_END_SIZE])
{
	uint8_t expected[SEGMENT_END_SIZE];

	segment_end_encode(header, file_size, expected);
	return memcmp(expected, end, SEGMENT_END_SIZE) == 0 ? 0 : -EBADMSG;
}

void segment_fence_encode(const struct segment_fence *fence, uint8_t bytes[SEGMENT_FENCE_SIZE])
{
	memcpy(bytes, fence->key, sizeof(fence->key));
	le64_put(bytes + 16, fence->offset);
	le32_put(bytes + 24, fence->size);
	le32_put(bytes + 28, fence->first);
}

void segment_fence_decode(const uint8_t bytes[SEGMENT_FENCE_SIZE], struct segment_fence *ret_fence)
{
	memcpy(ret_fence->key, bytes, sizeof(ret_fence->key));
	ret_fence->offset = le64_get(bytes + 16);
	ret_fence->size = le32_get(bytes + 24);
	ret_fence->first = le32_get(bytes + 28);
}

static void aad_make(int32_t day, uint64_t id, uint8_t aad[16])
{
	le32_put(aad, (uint32_t)day);
	le32_put(aad + 4, SEGMENT_FORMAT);
	le64_put(aad + 8, id);
}

void segment_page_seal(const struct aead_key *key, int32_t day, uint64_t id, unsigned section, uint64_t page_number,
		       uint8_t *page, size_t size)
{
	uint8_t nonce[AEAD_NONCE_SIZE];
	uint8_t aad[16];

	nonce_make(section, page_number, nonce);
	aad_make(day, id, aad);
	aead_seal(key, nonce, aad, sizeof(aad), page, size, page, page + size);
}

int segment_page_open(const struct aead_key *key, int32_t day, uint64_t id, unsigned section, uint64_t page_number,
		      uint8_t *page, size_t size)
{
	uint8_t nonce[AEAD_NONCE_SIZE];
	uint8_t aad[16];

	if (size < AEAD_TAG_SIZE)
		return -EBADMSG;
	nonce_make(section, page_number, nonce);
	aad_make(day, id, aad);
	size -= AEAD_TAG_SIZE;
	return aead_open(key, nonce, aad, sizeof(aad), page, size, page, page + size);
}
