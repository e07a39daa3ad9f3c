/*
 * The body of a change-log entry: when, who, why, and its puts and deletes (docs/disk-format.md). Pure functions.
 */
#ifndef GANTRY_STORAGE_REGISTER_ENTRY_H
#define GANTRY_STORAGE_REGISTER_ENTRY_H

#include <stddef.h>
#include <stdint.h>

#include "storage/register.h"

struct reg_entry {
	int64_t time_us;
	uint32_t who_uid;
	char reason[REG_REASON_SIZE_MAX + 1];
	struct reg_change *changes; /* malloc'd by reg_entry_decode; the values lie in the body */
	size_t count;
};

/* *ret_body is malloc'd; it holds secrets: wipe and free. -EFBIG, -ENOMEM. */
int reg_entry_encode(const struct reg_entry *entry, uint8_t **ret_body, size_t *ret_size);

/* -EBADMSG when the bytes are no entry. Free ret_entry->changes. */
int reg_entry_decode(const uint8_t *body, size_t size, struct reg_entry *ret_entry);

#endif
