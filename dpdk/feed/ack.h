/*
 * The ACK: what is durable, how much more may come, and what was refused or deferred. Pure functions, any thread.
 */
#ifndef GANTRY_FEED_ACK_H
#define GANTRY_FEED_ACK_H

#include <stdbool.h>
#include <stdint.h>

#include "appliance/base/read.h"
#include "dpdk/feed/wire.h"

#define FEED_ACK_RANGES_MAX 16
#define FEED_ACK_NOTICES_MAX 8
#define FEED_ACK_HEADER_SIZE 48
#define FEED_ACK_RANGE_SIZE 16
#define FEED_ACK_NOTICE_SIZE 12
#define FEED_ACK_SIZE_MAX                                                                                              \
	(FEED_ACK_HEADER_SIZE + FEED_ACK_RANGES_MAX * FEED_ACK_RANGE_SIZE + FEED_ACK_NOTICES_MAX * FEED_ACK_NOTICE_SIZE)

struct feed_range {
	uint64_t first;
	uint64_t last; /* inclusive */
};

/*
 * What is on stable storage of one (feed, epoch, lane): stored, or refused for good with the refusal itself journalled.
 *
 * Only the completion of a durable write may produce this value: the code that handles the storage writer's completions
 * fills it, nothing else ever does, and nobody edits a copy. That is how "acknowledged means durable" can be checked by
 * reading one function. A read that is in memory, in flight or recognised as a duplicate of one in flight is not in it.
 */
struct feed_durable {
	uint64_t cumulative; /* every sequence up to and including it */
	/* Some of what is durable beyond cumulative + 1: ascending, not touching each other. */
	struct feed_range ranges[FEED_ACK_RANGES_MAX];
	uint64_t refused_total; /* sequences refused for good in this lane and epoch, over all time */
	uint32_t epoch;
	uint8_t lane; /* enum feed_lane */
	uint8_t range_count;
};

/* Why reads are not stored. Below FEED_DEFERRAL_FIRST an enum refusal: permanent. From there: keep it and retry. */
enum feed_deferral {
	FEED_DEFERRAL_FIRST = 128,
	FEED_DEFERRAL_UNKNOWN_CAMERA = 128, /* camera is not in the register (yet) */
	FEED_DEFERRAL_NOT_BOUND = 129,      /* camera is not bound to this feed (yet) */
	FEED_DEFERRAL_END
};

/* Information about consecutive sequences. It acknowledges nothing: only feed_durable does. */
struct feed_notice {
	uint64_t first;
	uint16_t count; /* at least 1 */
	uint8_t reason; /* enum refusal (not REFUSAL_NONE) or enum feed_deferral */
};

struct feed_ack {
	struct feed_durable durable;
	int64_t clock_us;        /* appliance's wall clock */
	uint64_t deferred_total; /* deferrals in this lane since the appliance started; each retry counts again */
	struct feed_notice notices[FEED_ACK_NOTICES_MAX]; /* oldest first */
	uint32_t credit;                                  /* sequences up to cumulative + credit may be sent */
	uint8_t notice_count;
};

/* Returns the body's size, at most FEED_ACK_SIZE_MAX. The lane travels in the datagram's header. */
size_t feed_ack_encode(const struct feed_ack *ack, uint8_t ret_body[FEED_ACK_SIZE_MAX]);
/* 0 or FEED_DROP_MALFORMED. */
int feed_ack_decode(const uint8_t *body, size_t size, uint8_t lane, struct feed_ack *ret_ack);

/*
 * The last notices of one lane and epoch, kept by the worker and repeated in every ACK until newer ones push them out.
 * Consecutive sequences with one reason join into one notice. Zeroed is empty.
 */
struct feed_notices {
	struct feed_notice rows[FEED_ACK_NOTICES_MAX];
	uint8_t count;
};

void feed_notices_add(struct feed_notices *notices, uint64_t first, uint16_t count, uint8_t reason);
/* Copies them into the ACK. */
void feed_notices_put(const struct feed_notices *notices, struct feed_ack *ack);

#endif
