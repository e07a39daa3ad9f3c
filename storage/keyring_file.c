#include "storage/keyring_file.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "appliance/base/aead.h"
#include "appliance/base/bytes.h"
#include "appliance/base/digest.h"

#define RING_VERSION 1
#define RING_HEADER_SIZE 128
#define RING_ENTRY_SIZE 48
#define RING_DAY_SIZE 4
#define RING_CHECKSUM_SIZE 8
#define RING_COUNT_MAX (1u << 20)
#define RING_SLOT_MASTER 1 /* the KEK sealed with AES-256-GCM under the master key */

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
	RING_AT_SLOT = 64,
	RING_AT_SLOT_NONCE = 68,
	RING_AT_SLOT_KEK = 80,
	RING_AT_SLOT_TAG = 112,
};
static_assert(RING_AT_BODY_TAG + AEAD_TAG_SIZE <= RING_AT_SLOT, "header fields overlap");
static_assert(RING_AT_SLOT_TAG + AEAD_TAG_SIZE == RING_HEADER_SIZE, "one slot fills the header");

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

static size_t ring_body_size(size_t entry_count, size_t day_count)
{
	return entry_count * RING_ENTRY_SIZE + day_count * RING_DAY_SIZE;
}

size_t keyring_file_size(const struct keyring_content *content)
{
	return RING_HEADER_SIZE + ring_body_size(content->entry_count, content->day_count) + RING_CHECKSUM_SIZE;
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
}

static void ring_slot_seal(uint8_t *file, const uint8_t master[KEY_SIZE], const uint8_t kek[KEY_SIZE])
{
	struct aead_key key;

	le16_put(file + RING_AT_SLOT, RING_SLOT_MASTER);
	random_bytes(file + RING_AT_SLOT_NONCE, AEAD_NONCE_SIZE);
	aead_key_init(&key, master);
	aead_seal(&key, file + RING_AT_SLOT_NONCE, file, RING_AT_SLOT_AAD_END, kek, KEY_SIZE, file + RING_AT_SLOT_KEK,
		  file + RING_AT_SLOT_TAG);
	aead_key_fini(&key);
}

void keyring_file_encode(const struct keyring_content *content, const uint8_t master[KEY_SIZE], void *ret_bytes)
{
	size_t body_size = ring_body_size(content->entry_count, content->day_count);
	uint8_t *file = ret_bytes;
	uint8_t *body = file + RING_HEADER_SIZE;
	uint8_t kek[KEY_SIZE];
	struct aead_key key;

	memset(file, 0, RING_HEADER_SIZE);
	memcpy(file + RING_AT_MAGIC, ring_magic, sizeof(ring_magic));
	le16_put(file + RING_AT_VERSION, RING_VERSION);
	le16_put(file + RING_AT_HEADER_SIZE, RING_HEADER_SIZE);
	le16_put(file + RING_AT_SLOT_COUNT, 1);
	le64_put(file + RING_AT_GENERATION, content->generation);
	le32_put(file + RING_AT_ENTRY_COUNT, (uint32_t)content->entry_count);
	le32_put(file + RING_AT_DAY_COUNT, (uint32_t)content->day_count);
	random_bytes(kek, sizeof(kek));
	ring_slot_seal(file, master, kek);
	random_bytes(file + RING_AT_BODY_NONCE, AEAD_NONCE_SIZE);
	ring_body_put(content, body);
	aead_key_init(&key, kek);
	aead_seal(&key, file + RING_AT_BODY_NONCE, file, RING_AT_BODY_AAD_END, body, body_size, body,
		  file + RING_AT_BODY_TAG);
	aead_key_fini(&key);
	bytes_wipe(kek, sizeof(kek));
	le64_put(body + body_size, XXH3_64bits(file, RING_HEADER_SIZE + body_size));
}

/* Everything that can be said without a key. */
static int ring_header_check(const uint8_t *file, size_t size)
{
	uint64_t body_size;

	if (size < RING_HEADER_SIZE + RING_CHECKSUM_SIZE || size > KEYRING_FILE_SIZE_MAX ||
	    memcmp(file, ring_magic, sizeof(ring_magic)) != 0 ||
	    le64_get(file + size - RING_CHECKSUM_SIZE) != XXH3_64bits(file, size - RING_CHECKSUM_SIZE))
		return -EBADMSG;
	if (le16_get(file + RING_AT_VERSION) != RING_VERSION)
		return -ENOTSUP;
	if (le32_get(file + RING_AT_ENTRY_COUNT) > RING_COUNT_MAX ||
	    le32_get(file + RING_AT_DAY_COUNT) > RING_COUNT_MAX)
		return -EBADMSG;
	body_size = ring_body_size(le32_get(file + RING_AT_ENTRY_COUNT), le32_get(file + RING_AT_DAY_COUNT));
	if (le16_get(file + RING_AT_HEADER_SIZE) != RING_HEADER_SIZE || le16_get(file + RING_AT_SLOT_COUNT) != 1 ||
	    le16_get(file + RING_AT_SLOT) != RING_SLOT_MASTER ||
	    size != RING_HEADER_SIZE + body_size + RING_CHECKSUM_SIZE)
		return -EBADMSG;
	return 0;
}

static int ring_open_body(const uint8_t *file, size_t body_size, const uint8_t master[KEY_SIZE], uint8_t *ret_body)
{
	struct aead_key key;
	uint8_t kek[KEY_SIZE];
	int r;

	aead_key_init(&key, master);
	r = aead_open(&key, file + RING_AT_SLOT_NONCE, file, RING_AT_SLOT_AAD_END, file + RING_AT_SLOT_KEK, KEY_SIZE,
		      kek, file + RING_AT_SLOT_TAG);
	aead_key_fini(&key);
	if (r < 0)
		return -EKEYREJECTED; /* the checksum held, so it is the key that is wrong */
	aead_key_init(&key, kek);
	r = aead_open(&key, file + RING_AT_BODY_NONCE, file, RING_AT_BODY_AAD_END, file + RING_HEADER_SIZE, body_size,
		      ret_body, file + RING_AT_BODY_TAG);
	aead_key_fini(&key);
	bytes_wipe(kek, sizeof(kek));
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
		r = ring_open_body(file, body_size, master, body);
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
