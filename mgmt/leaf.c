#include "mgmt/leaf.h"

#include <errno.h>
#include <string.h>
#include <time.h>

#include "appliance/base/aead.h"
#include "appliance/base/bytes.h"
#include "appliance/base/digest.h"

#define LEAF_VERSION 1
#define NONCE_OFFSET 40

int32_t leaf_month(int64_t time_us)
{
	time_t seconds = (time_t)(time_us / 1000000);
	struct tm tm;

	(void)gmtime_r(&seconds, &tm);
	return (tm.tm_year + 1900) * 12 + tm.tm_mon;
}

int leaf_size(const struct audit_entry *entry, size_t *ret_size)
{
	size_t account_size = strlen(entry->account);
	size_t verb_size = strlen(entry->verb);
	size_t body_size = entry->body != NULL ? entry->body_size : 0;

	if (account_size > AUDIT_TEXT_MAX || verb_size > AUDIT_TEXT_MAX || entry->outcome >= AUDIT_OUTCOME_COUNT)
		return -EINVAL;
	if (body_size > AUDIT_BODY_MAX)
		return -EMSGSIZE;
	*ret_size = LEAF_HEAD_SIZE + account_size + verb_size + body_size + AEAD_TAG_SIZE;
	return 0;
}

void leaf_encode(const struct audit_entry *entry, uint64_t index, int64_t time_us, const struct aead_key *key,
		 uint8_t *to)
{
	size_t account_size = strlen(entry->account);
	size_t verb_size = strlen(entry->verb);
	size_t body_size = entry->body != NULL ? entry->body_size : 0;
	size_t clear_size = LEAF_HEAD_SIZE + account_size + verb_size;

	to[0] = LEAF_VERSION;
	to[1] = (uint8_t)entry->outcome;
	to[2] = (uint8_t)account_size;
	to[3] = (uint8_t)verb_size;
	le32_put(to + 4, entry->uid);
	le64_put(to + 8, index);
	le64_put(to + 16, (uint64_t)time_us);
	le64_put(to + 24, entry->intent);
	le32_put(to + 32, (uint32_t)leaf_month(time_us));
	le32_put(to + 36, (uint32_t)body_size);
	random_bytes(to + NONCE_OFFSET, AEAD_NONCE_SIZE);
	memcpy(to + LEAF_HEAD_SIZE, entry->account, account_size);
	memcpy(to + LEAF_HEAD_SIZE + account_size, entry->verb, verb_size);
	aead_seal(key, to + NONCE_OFFSET, to, clear_size, body_size > 0 ? entry->body : "", body_size, to + clear_size,
		  to + clear_size + body_size);
}

int leaf_decode(const uint8_t *bytes, size_t size, struct leaf *ret_leaf)
{
	struct leaf leaf = {.bytes = bytes, .size = size};

	if (size < LEAF_HEAD_SIZE + AEAD_TAG_SIZE || bytes[0] != LEAF_VERSION || bytes[1] >= AUDIT_OUTCOME_COUNT)
		return -EBADMSG;
	leaf.outcome = bytes[1];
	leaf.uid = le32_get(bytes + 4);
	leaf.index = le64_get(bytes + 8);
	leaf.time_us = (int64_t)le64_get(bytes + 16);
	leaf.intent = le64_get(bytes + 24);
	leaf.month = (int32_t)le32_get(bytes + 32);
	leaf.body_size = le32_get(bytes + 36);
	leaf.clear_size = LEAF_HEAD_SIZE + (size_t)bytes[2] + bytes[3];
	if (leaf.body_size > AUDIT_BODY_MAX || size != leaf.clear_size + leaf.body_size + AEAD_TAG_SIZE)
		return -EBADMSG;
	memcpy(leaf.account, bytes + LEAF_HEAD_SIZE, bytes[2]);
	memcpy(leaf.verb, bytes + LEAF_HEAD_SIZE + bytes[2], bytes[3]);
	*ret_leaf = leaf;
	return 0;
}

int leaf_open(const struct leaf *leaf, const struct aead_key *key, void *to)
{
	return aead_open(key, leaf->bytes + NONCE_OFFSET, leaf->bytes, leaf->clear_size, leaf->bytes + leaf->clear_size,
			 leaf->body_size, to, leaf->bytes + leaf->clear_size + leaf->body_size);
}
