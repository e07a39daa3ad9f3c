#include "storage/mark_set.h"

#include <errno.h>
#include <sodium.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "appliance/base/bytes.h"
#include "appliance/base/digest.h"
#include "storage/cursor.h"
#include "storage/search.h"
#include "storage/store.h"

#define IDENTITY_SIZE_MAX 80
#define GROUP_SIZE 29

struct mark_set {
	atomic_uint references;
	struct mark_keys keys;
	uint64_t days_marked[STORE_DAY_END / 64]; /* a bit a day */
	struct mark_day *days;                    /* ascending */
	size_t day_count;
	struct mark_brief *briefs;
	uint32_t *slots; /* of all days */
	struct read *corrected;
	size_t corrected_count;
};

void mark_keys_derive(const uint8_t identity[32], struct mark_keys *ret_keys)
{
	static const char hash_info[] = "gantry marks: hash of a read";
	static const char tag_info[] = "gantry marks: tag";

	memcpy(ret_keys->identity, identity, sizeof(ret_keys->identity));
	hkdf_sha256(NULL, 0, identity, 32, hash_info, sizeof(hash_info), ret_keys->hash, sizeof(ret_keys->hash));
	hkdf_sha256(NULL, 0, identity, 32, tag_info, sizeof(tag_info), &ret_keys->tag_seed, sizeof(ret_keys->tag_seed));
}

uint32_t mark_tag(const struct mark_keys *keys, const struct read *read)
{
	uint8_t group[GROUP_SIZE];

	memcpy(group, read->key, READ_TEXT_SIZE);
	le64_put(group + 16, (uint64_t)read->capture_us);
	le32_put(group + 24, read->camera);
	group[28] = read->road_lane;
	return (uint32_t)XXH3_64bits_withSeed(group, sizeof(group), keys->tag_seed);
}

/* libsodium's HMAC keeps its state on the stack: this one may be called by a worker. */
void mark_hash(const struct mark_keys *keys, const struct read *read, uint8_t ret_hash[MARK_HASH_SIZE])
{
	uint8_t bytes[IDENTITY_SIZE_MAX];
	struct cursor cursor = cursor_over(bytes, sizeof(bytes));
	crypto_auth_hmacsha256_state state;

	cursor_put_bytes(&cursor, read->key, READ_TEXT_SIZE);
	cursor_put_bytes(&cursor, read->text, READ_TEXT_SIZE);
	cursor_put_u64(&cursor, (uint64_t)read->capture_us);
	cursor_put_u32(&cursor, read->camera);
	cursor_put_u32(&cursor, (uint32_t)read->lat_e7);
	cursor_put_u32(&cursor, (uint32_t)read->lon_e7);
	cursor_put_u16(&cursor, read->country);
	cursor_put_u16(&cursor, read->flags & (READ_FLAGS_SENDER | READ_FLAG_AMENDED));
	cursor_put_u8(&cursor, read->kind);
	cursor_put_u8(&cursor, read->confidence);
	cursor_put_u8(&cursor, read->road_lane);
	cursor_put_u8(&cursor, read->direction);
	cursor_put_u8(&cursor, read->images);
	cursor_put_u8(&cursor, read->zero[0]);
	(void)crypto_auth_hmacsha256_init(&state, keys->hash, sizeof(keys->hash));
	(void)crypto_auth_hmacsha256_update(&state, bytes, (size_t)(cursor.at - bytes));
	(void)crypto_auth_hmacsha256_final(&state, ret_hash);
}

void mark_public_id(const struct mark_keys *keys, const struct read *read, uint32_t ordinal,
		    uint8_t ret_id[MARK_ID_SIZE])
{
	char text[SEARCH_PUBLIC_ID_SIZE];

	search_public_id(keys->identity, read, ordinal, text);
	(void)hex_decode(text, ret_id, MARK_ID_SIZE);
}

/* At most a quarter full: a row that no mark covers meets an empty slot at the first look, three times of four. */
static uint32_t slots_for(uint32_t count)
{
	uint32_t slots = 8;

	while (slots < 4 * (uint64_t)count)
		slots *= 2;
	return slots;
}

static void day_fill(struct mark_day *day)
{
	for (uint32_t i = day->first; i < day->first + day->count; i++) {
		uint32_t at = day->briefs[i].tag & day->mask;

		while (day->slots[at] != 0)
			at = (at + 1) & day->mask;
		day->slots[at] = i + 1;
	}
}

/* How many days there are, and slots for all of them. */
static size_t days_count(const struct mark_brief *briefs, size_t count, size_t *ret_slots)
{
	size_t days = 0;

	*ret_slots = 0;
	for (size_t i = 0, end; i < count; i = end, days++) {
		for (end = i + 1; end < count && briefs[end].day == briefs[i].day; end++)
			;
		*ret_slots += slots_for((uint32_t)(end - i));
	}
	return days;
}

static void days_lay_out(struct mark_set *set, size_t count)
{
	uint32_t *slots = set->slots;

	for (size_t i = 0, end; i < count; i = end) {
		struct mark_day *day = &set->days[set->day_count++];
		int32_t number = set->briefs[i].day;

		for (end = i + 1; end < count && set->briefs[end].day == number; end++)
			;
		*day = (struct mark_day){.day = number,
					 .mask = slots_for((uint32_t)(end - i)) - 1,
					 .first = (uint32_t)i,
					 .count = (uint32_t)(end - i),
					 .slots = slots,
					 .briefs = set->briefs,
					 .keys = &set->keys};
		slots += day->mask + 1;
		day_fill(day);
		set->days_marked[number / 64] |= UINT64_C(1) << (number % 64);
	}
}

static int compare_capture(const void *a, const void *b)
{
	int64_t left = ((const struct read *)a)->capture_us;
	int64_t right = ((const struct read *)b)->capture_us;

	return left < right ? -1 : left > right;
}

int mark_set_new(const struct mark_keys *keys, const struct mark_brief *briefs, size_t count,
		 const struct read *corrected, size_t corrected_count, struct mark_set **ret_set)
{
	struct mark_set *set = calloc(1, sizeof(*set));
	size_t slot_count;
	size_t day_count = days_count(briefs, count, &slot_count);

	if (set == NULL)
		return -ENOMEM;
	atomic_init(&set->references, 1);
	set->keys = *keys;
	set->days = calloc(day_count + 1, sizeof(*set->days));
	set->briefs = calloc(count + 1, sizeof(*set->briefs));
	set->slots = calloc(slot_count + 1, sizeof(*set->slots));
	set->corrected = calloc(corrected_count + 1, sizeof(*set->corrected));
	if (set->days == NULL || set->briefs == NULL || set->slots == NULL || set->corrected == NULL) {
		mark_set_release(set);
		return -ENOMEM;
	}
	if (count > 0)
		memcpy(set->briefs, briefs, count * sizeof(*briefs));
	if (corrected_count > 0)
		memcpy(set->corrected, corrected, corrected_count * sizeof(*corrected));
	set->corrected_count = corrected_count;
	qsort(set->corrected, corrected_count, sizeof(*corrected), compare_capture);
	days_lay_out(set, count);
	*ret_set = set;
	return 0;
}

struct mark_set *mark_set_hold(struct mark_set *set)
{
	if (set != NULL)
		atomic_fetch_add_explicit(&set->references, 1, memory_order_relaxed);
	return set;
}

void mark_set_release(struct mark_set *set)
{
	if (set == NULL || atomic_fetch_sub_explicit(&set->references, 1, memory_order_acq_rel) > 1)
		return;
	if (set->corrected != NULL)
		bytes_wipe(set->corrected, set->corrected_count * sizeof(*set->corrected));
	bytes_wipe(&set->keys, sizeof(set->keys));
	free(set->corrected);
	free(set->slots);
	free(set->briefs);
	free(set->days);
	free(set);
}

const struct mark_day *mark_set_day(const struct mark_set *set, int32_t day)
{
	size_t low = 0;
	size_t high;

	if (set == NULL || day < 0 || day >= STORE_DAY_END || (set->days_marked[day / 64] >> (day % 64) & 1) == 0)
		return NULL;
	high = set->day_count;
	while (low + 1 < high) {
		size_t middle = (low + high) / 2;

		if (set->days[middle].day <= day)
			low = middle;
		else
			high = middle;
	}
	return &set->days[low];
}

const struct read *mark_set_corrected(const struct mark_set *set, size_t *ret_count)
{
	*ret_count = set != NULL ? set->corrected_count : 0;
	return set != NULL ? set->corrected : NULL;
}

enum mark_kind mark_find(const struct mark_day *day, const struct read *read)
{
	uint8_t hash[MARK_HASH_SIZE];
	bool hashed = false;
	uint32_t tag;

	if (day == NULL)
		return MARK_NONE;
	tag = mark_tag(day->keys, read);
	for (uint32_t at = tag & day->mask; day->slots[at] != 0; at = (at + 1) & day->mask) {
		const struct mark_brief *brief = &day->briefs[day->slots[at] - 1];

		if (brief->tag != tag)
			continue;
		if (!hashed)
			mark_hash(day->keys, read, hash);
		hashed = true;
		if (memcmp(brief->hash, hash, MARK_HASH_SIZE) == 0)
			return brief->kind;
	}
	return MARK_NONE;
}

int mark_rule(void *day, const struct read *read)
{
	return mark_drops(mark_find(day, read));
}

bool mark_id_taken(const struct mark_day *day, const struct read *read, uint32_t ordinal)
{
	uint8_t id[MARK_ID_SIZE];
	bool known = false;
	uint32_t tag;

	if (day == NULL)
		return false;
	tag = mark_tag(day->keys, read);
	for (uint32_t at = tag & day->mask; day->slots[at] != 0; at = (at + 1) & day->mask) {
		const struct mark_brief *brief = &day->briefs[day->slots[at] - 1];

		if (brief->tag != tag || !mark_drops(brief->kind))
			continue;
		if (!known)
			mark_public_id(day->keys, read, ordinal, id);
		known = true;
		if (memcmp(brief->public_id, id, MARK_ID_SIZE) == 0)
			return true;
	}
	return false;
}
