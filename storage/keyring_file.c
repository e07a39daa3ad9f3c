#include "storage/keyring_file.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "appliance/base/aead.h"
#include "appliance/base/bytes.h"
#include "appliance/base/digest.h"

#define RING_VERSION 2
#define RING_FIXED_SIZE 64 /* of the header before its slots */
#define RING_SLOT_SIZE 64
#define RING_STATE_SIZE 16 /* behind the days: times of master key and escrow */
#define RING_SLOTS_MAX 2
#define RING_ENTRY_SIZE 48
#define RING_DAY_SIZE 4
#define RING_CHECKSUM_SIZE 8
#define RING_COUNT_MAX (1u << 20)
#define RING_SLOT_MASTER 1 /* the KEK sealed with AES-256-GCM under the master key */
#define RING_SLOT_ESCROW 2 /* the same under the escrow key */

static const uint8_t ring_magic[8] = {'G', 'N', 'T', 'K', 'E', 'Y', 'S', 0};

/* Offsets in the header. */
enum {
	RING_AT_MAGIC = 0,
	RING_AT_VERSION = 8,
	RING_AT_HEADER_SIZE = 10,
	RING_AT_SLOT_COUNT = 12,
	RING_AT_GENERATION = 16,
	RING_AT_ENTRY_COUNT = 24,
	RING_AT_DAY_COUNT = 28,
	RING_AT_SLOT_AAD_END = 32, /* all before it is bound to the wrapped KEK */
	RING_AT_BODY_NONCE = 32,
	RING_AT_BODY_AAD_END = 44, /* all before it is bound to the body */
	RING_AT_BODY_TAG = 44,
};
/* Offsets in a slot. */
enum {
	SLOT_AT_TYPE = 0,
	SLOT_AT_NONCE = 4,
	SLOT_AT_KEK = 16,
	SLOT_AT_TAG = 48,
};
static_assert(RING_AT_BODY_TAG + AEAD_TAG_SIZE <= RING_FIXED_SIZE, "header fields overlap");
static_assert(SLOT_AT_TAG + AEAD_TAG_SIZE == RING_SLOT_SIZE, "a slot is full");

int keyring_id_order(const struct key_id *a, const struct key_id *b)
{
	if (a->kind != b->kind)
		return a->kind < b->kind ? -1 : 1;
	if (a->id != b->id)
		return a->id < b->id ? -1 : 1;
	if (a->day != b->day)
		return a->day < b->day ? -1 : 1;
	return 0;
}

void keyring_content_fini(struct keyring_content *content)
{
	if (content->entries != NULL)
		bytes_wipe(content->entries, content->entry_count * sizeof(*content->entries));
	free(content->entries);
	free(content->days);
	*content = (struct keyring_content){0};
}

const struct keyring_entry *keyring_content_escrow(const struct keyring_content *content)
{
	/* The last kinds stand last, and there is one of this. */
	for (size_t i = content->entry_count; i > 0 && content->entries[i - 1].id.kind >= KEY_ESCROW; i--)
		if (content->entries[i - 1].id.kind == KEY_ESCROW)
			return &content->entries[i - 1];
	return NULL;
}

static size_t ring_body_size(size_t entry_count, size_t day_count)
{
	return entry_count * RING_ENTRY_SIZE + day_count * RING_DAY_SIZE + RING_STATE_SIZE;
}

static size_t ring_header_size(size_t slot_count)
{
	return RING_FIXED_SIZE + slot_count * RING_SLOT_SIZE;
}

static size_t ring_slot_count(const struct keyring_content *content)
{
	return keyring_content_escrow(content) != NULL ? 2 : 1;
}

size_t keyring_file_size(const struct keyring_content *content)
{
	return ring_header_size(ring_slot_count(content)) + ring_body_size(content->entry_count, content->day_count) +
	       RING_CHECKSUM_SIZE;
}

static void ring_body_put(const struct keyring_content *content, uint8_t *at)
{
	for (size_t i = 0; i < content->entry_count; i++, at += RING_ENTRY_SIZE) {
		const struct keyring_entry *entry = &content->entries[i];

		le32_put(at, (uint32_t)entry->id.kind);
		le32_put(at + 4, (uint32_t)entry->id.day);
		le64_put(at + 8, entry->id.id);
		memcpy(at + 16, entry->key, KEY_SIZE);
	}
	for (size_t i = 0; i < content->day_count; i++, at += RING_DAY_SIZE)
		le32_put(at, (uint32_t)content->days[i]);
	le64_put(at, (uint64_t)content->master_made_us);
	le64_put(at + 8, (uint64_t)content->escrow_made_us);
}

static void ring_slot_seal(uint8_t *file, unsigned index, uint16_t type, const uint8_t wrapper[KEY_SIZE],
			   const uint8_t kek[KEY_SIZE])
{
	uint8_t *slot = file + ring_header_size(index);
	struct aead_key key;

	le16_put(slot + SLOT_AT_TYPE, type);
	random_bytes(slot + SLOT_AT_NONCE, AEAD_NONCE_SIZE);
	aead_key_init(&key, wrapper);
	aead_seal(&key, slot + SLOT_AT_NONCE, file, RING_AT_SLOT_AAD_END, kek, KEY_SIZE, slot + SLOT_AT_KEK,
		  slot + SLOT_AT_TAG);
	aead_key_fini(&key);
}

void keyring_file_encode(const struct keyring_content *content, const uint8_t master[KEY_SIZE], void *ret_bytes)
{
	const struct keyring_entry *escrow = keyring_content_escrow(content);
	size_t body_size = ring_body_size(content->entry_count, content->day_count);
	size_t header_size = ring_header_size(ring_slot_count(content));
	uint8_t *file = ret_bytes;
	uint8_t *body = file + header_size;
	uint8_t kek[KEY_SIZE];
	struct aead_key key;

	memset(file, 0, header_size);
	memcpy(file + RING_AT_MAGIC, ring_magic, sizeof(ring_magic));
	le16_put(file + RING_AT_VERSION, RING_VERSION);
	le16_put(file + RING_AT_HEADER_SIZE, (uint16_t)header_size);
	le16_put(file + RING_AT_SLOT_COUNT, (uint16_t)ring_slot_count(content));
	le64_put(file + RING_AT_GENERATION, content->generation);
	le32_put(file + RING_AT_ENTRY_COUNT, (uint32_t)content->entry_count);
	le32_put(file + RING_AT_DAY_COUNT, (uint32_t)content->day_count);
	random_bytes(kek, sizeof(kek));
	ring_slot_seal(file, 0, RING_SLOT_MASTER, master, kek);
	if (escrow != NULL)
		ring_slot_seal(file, 1, RING_SLOT_ESCROW, escrow->key, kek);
	random_bytes(file + RING_AT_BODY_NONCE, AEAD_NONCE_SIZE);
	ring_body_put(content, body);
	aead_key_init(&key, kek);
	aead_seal(&key, file + RING_AT_BODY_NONCE, file, RING_AT_BODY_AAD_END, body, body_size, body,
		  file + RING_AT_BODY_TAG);
	aead_key_fini(&key);
	bytes_wipe(kek, sizeof(kek));
	le64_put(body + body_size, XXH3_64bits(file, header_size + body_size));
}

static bool ring_slots_valid(const uint8_t *file, size_t size, uint16_t count)
{
	static const uint16_t types[RING_SLOTS_MAX] = {RING_SLOT_MASTER, RING_SLOT_ESCROW};

	if (count < 1 || count > RING_SLOTS_MAX || size < ring_header_size(count) + RING_CHECKSUM_SIZE ||
	    le16_get(file + RING_AT_HEADER_SIZE) != ring_header_size(count))
		return false;
	for (unsigned i = 0; i < count; i++)
		if (le16_get(file + ring_header_size(i) + SLOT_AT_TYPE) != types[i])
			return false;
	return true;
}

/* Everything that can be said without a key. */
static int ring_header_check(const uint8_t *file, size_t size)
{
	uint64_t body_size;

	if (size < ring_header_size(1) + RING_CHECKSUM_SIZE || size > KEYRING_FILE_SIZE_MAX ||
	    memcmp(file, ring_magic, sizeof(ring_magic)) != 0 ||
	    le64_get(file + size - RING_CHECKSUM_SIZE) != XXH3_64bits(file, size - RING_CHECKSUM_SIZE))
		return -EBADMSG;
	if (le16_get(file + RING_AT_VERSION) != RING_VERSION)
		return -ENOTSUP;
	if (le32_get(file + RING_AT_ENTRY_COUNT) > RING_COUNT_MAX ||
	    le32_get(file + RING_AT_DAY_COUNT) > RING_COUNT_MAX)
		return -EBADMSG;
	body_size = ring_body_size(le32_get(file + RING_AT_ENTRY_COUNT), le32_get(file + RING_AT_DAY_COUNT));
	if (!ring_slots_valid(file, size, le16_get(file + RING_AT_SLOT_COUNT)) ||
	    size != le16_get(file + RING_AT_HEADER_SIZE) + body_size + RING_CHECKSUM_SIZE)
		return -EBADMSG;
	return 0;
}

static int ring_slot_open(const uint8_t *file, unsigned index, const uint8_t wrapper[KEY_SIZE], uint8_t kek[KEY_SIZE])
{
	const uint8_t *slot = file + ring_header_size(index);
	struct aead_key key;
	int r;

	aead_key_init(&key, wrapper);
	r = aead_open(&key, slot + SLOT_AT_NONCE, file, RING_AT_SLOT_AAD_END, slot + SLOT_AT_KEK, KEY_SIZE, kek,
		      slot + SLOT_AT_TAG);
	aead_key_fini(&key);
	return r;
}

static int ring_open_body(const uint8_t *file, size_t body_size, const uint8_t master[KEY_SIZE], uint8_t *ret_body,
			  bool *ret_by_escrow)
{
	struct aead_key key;
	uint8_t kek[KEY_SIZE];
	unsigned slot = 0;
	int r = ring_slot_open(file, 0, master, kek);

	if (r < 0 && le16_get(file + RING_AT_SLOT_COUNT) == 2) {
		slot = 1;
		r = ring_slot_open(file, 1, master, kek);
	}
	if (r < 0)
		return -EKEYREJECTED; /* the checksum held, so it is the key that is wrong */
	aead_key_init(&key, kek);
	r = aead_open(&key, file + RING_AT_BODY_NONCE, file, RING_AT_BODY_AAD_END,
		      file + le16_get(file + RING_AT_HEADER_SIZE), body_size, ret_body, file + RING_AT_BODY_TAG);
	aead_key_fini(&key);
	bytes_wipe(kek, sizeof(kek));
	*ret_by_escrow = slot == 1;
	return r;
}

static int ring_body_get(const uint8_t *at, struct keyring_content *content)
{
	for (size_t i = 0; i < content->entry_count; i++, at += RING_ENTRY_SIZE) {
		struct keyring_entry *entry = &content->entries[i];

		entry->id.kind = (enum key_kind)le32_get(at);
		entry->id.day = (int32_t)le32_get(at + 4);
		entry->id.id = le64_get(at + 8);
		memcpy(entry->key, at + 16, KEY_SIZE);
		if (i > 0 && keyring_id_order(&content->entries[i - 1].id, &entry->id) >= 0)
			return -EBADMSG;
	}
	for (size_t i = 0; i < content->day_count; i++, at += RING_DAY_SIZE) {
		content->days[i] = (int32_t)le32_get(at);
		if (i > 0 && content->days[i - 1] >= content->days[i])
			return -EBADMSG;
	}
	content->master_made_us = (int64_t)le64_get(at);
	content->escrow_made_us = (int64_t)le64_get(at + 8);
	return 0;
}

int keyring_file_decode(const void *bytes, size_t size, const uint8_t master[KEY_SIZE],
			struct keyring_content *ret_content)
{
	const uint8_t *file = bytes;
	struct keyring_content content = {0};
	size_t body_size;
	uint8_t *body;
	int r = ring_header_check(file, size);

	if (r < 0)
		return r;
	content.generation = le64_get(file + RING_AT_GENERATION);
	content.entry_count = le32_get(file + RING_AT_ENTRY_COUNT);
	content.day_count = le32_get(file + RING_AT_DAY_COUNT);
	body_size = ring_body_size(content.entry_count, content.day_count);
	body = malloc(body_size + 1);
	content.entries = calloc(content.entry_count + 1, sizeof(*content.entries));
	content.days = calloc(content.day_count + 1, sizeof(*content.days));
	if (body == NULL || content.entries == NULL || content.days == NULL)
		r = -ENOMEM;
	if (r == 0)
		r = ring_open_body(file, body_size, master, body, &content.by_escrow);
	if (r == 0)
		r = ring_body_get(body, &content);
	if (body != NULL)
		bytes_wipe(body, body_size);
	free(body);
	if (r < 0) {
		keyring_content_fini(&content);
		return r;
	}
	*ret_content = content;
	return 0;
}
