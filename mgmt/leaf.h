/*
 * One leaf of the audit log: a clear envelope and a body sealed with AES-256-GCM, the envelope as associated data.
 * Little-endian. Pure functions.
 *
 *	0  u8  version 1        8  u64 index              36 u32 body size
 *	1  u8  outcome         16  i64 time, µs           40 nonce, 12 random bytes
 *	2  u8  account size    24  u64 intent             52 account, verb
 *	3  u8  verb size       32  i32 key month           … sealed body, 16-byte tag (also without a body)
 *	4  u32 uid
 *
 * The nonce is random, not the index: an index is given again when an unacknowledged entry was cut off after a crash.
 */
#ifndef GANTRY_MGMT_LEAF_H
#define GANTRY_MGMT_LEAF_H

#include <stddef.h>
#include <stdint.h>

#include "mgmt/audit.h"

struct aead_key;

#define LEAF_HEAD_SIZE 52
#define LEAF_SIZE_MAX (LEAF_HEAD_SIZE + 2 * AUDIT_TEXT_MAX + AUDIT_BODY_MAX + 16)

struct leaf {
	uint64_t index;
	uint64_t intent;
	int64_t time_us;
	uint32_t uid;
	int32_t month;
	enum audit_outcome outcome;
	char account[AUDIT_TEXT_MAX + 1];
	char verb[AUDIT_TEXT_MAX + 1];
	const uint8_t *bytes; /* the whole leaf, borrowed */
	size_t size;
	size_t clear_size; /* of the envelope */
	size_t body_size;
};

/* year * 12 + month - 1, UTC. */
int32_t leaf_month(int64_t time_us);

/* Bytes that leaf_encode writes; -EINVAL or -EMSGSIZE when a text or the body is too long. */
int leaf_size(const struct audit_entry *entry, size_t *ret_size);
void leaf_encode(const struct audit_entry *entry, uint64_t index, int64_t time_us, const struct aead_key *key,
		 uint8_t *to);

/* -EBADMSG when it is not a leaf; the bytes must outlive ret_leaf. */
int leaf_decode(const uint8_t *bytes, size_t size, struct leaf *ret_leaf);

/* The body, `body_size` bytes, to `to`. -EBADMSG when it is not authentic. */
int leaf_open(const struct leaf *leaf, const struct aead_key *key, void *to);

#endif
