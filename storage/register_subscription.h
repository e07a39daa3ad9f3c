/*
 * The register's records of those whom hits are delivered to (docs/disk-format.md), as register_records.h: who they
 * are, how far they have come, and receipts of what they were given. No VRM stands in them. Pure functions, any thread.
 */
#ifndef GANTRY_STORAGE_REGISTER_SUBSCRIPTION_H
#define GANTRY_STORAGE_REGISTER_SUBSCRIPTION_H

#include "appliance/base/hit_positions.h"
#include "storage/register_records.h"

#define REG_SUBSCRIPTION_LISTS 64
#define REG_SUBSCRIPTION_NUMBER_MAX ((1u << 24) - 1)

/* Stable numbers. */
enum reg_subscription_kind { REG_SUBSCRIPTION_FULL = 0, REG_SUBSCRIPTION_SMS = 1, REG_SUBSCRIPTION_KIND_COUNT };

struct reg_subscription {
	uint32_t number; /* 1 … */
	uint32_t uid;    /* the account that may use it */
	uint8_t kind;    /* enum reg_subscription_kind */
	bool clones;     /* also hits of no list: impossible journeys */
	bool removed;    /* kept for its receipts */
	uint8_t list_count;
	int64_t created_us;
	int64_t removed_us;                     /* 0 before */
	uint32_t lists[REG_SUBSCRIPTION_LISTS]; /* ids; none: all that its organisation may have */
	char name[REG_NAME_SIZE];
	char organisation[REG_NAME_SIZE];
};

/* How far a subscription has come in one lane, source by source. */
struct reg_positions {
	uint32_t number;
	uint8_t lane;     /* enum hit_lane */
	uint8_t priority; /* from which on a hit was urgent when this was written */
	struct hit_positions acknowledged;
	uint32_t receipt_first[HIT_SOURCES]; /* index of the oldest receipt that is kept */
	uint32_t receipt_next[HIT_SOURCES];  /* one behind the newest */
};

/*
 * Hits of one source that were acknowledged within a second (urgent) or a minute (mass): all those from … to that were
 * the subscription's in that lane.
 */
struct reg_receipt {
	uint32_t number; /* of the subscription */
	uint8_t lane;
	uint32_t index; /* running, for (subscription, lane, source); numbers and times grow with it */
	uint64_t from;
	uint64_t to;
	uint32_t count;
	uint32_t uid;            /* who acknowledged */
	int64_t delivered_us;    /* the first of them; 0: by an appliance that ended before it was acknowledged */
	int64_t acknowledged_us; /* the last of them */
};

size_t reg_subscription_encode(const struct reg_subscription *subscription, uint8_t buffer[REG_RECORD_SIZE_MAX]);
size_t reg_positions_encode(const struct reg_positions *positions, uint8_t buffer[REG_RECORD_SIZE_MAX]);
size_t reg_receipt_encode(const struct reg_receipt *receipt, uint8_t buffer[REG_RECORD_SIZE_MAX]);

/* -EBADMSG when the bytes are no such record, whole and nothing more; ret untouched. */
int reg_subscription_decode(const void *bytes, size_t size, struct reg_subscription *ret_subscription);
int reg_positions_decode(const void *bytes, size_t size, struct reg_positions *ret_positions);
int reg_receipt_decode(const void *bytes, size_t size, struct reg_receipt *ret_receipt);

/* Is it the record that belongs under this key? 0 or -EINVAL. */
int reg_subscription_check(uint32_t a, uint32_t b, const void *bytes, size_t size);

/* The `a` under which receipts of (subscription, lane, source) lie, and of one of them. */
uint32_t reg_receipt_key(uint32_t number, uint8_t lane, unsigned source_index);
uint32_t reg_receipt_a(const struct reg_receipt *receipt);

#endif
