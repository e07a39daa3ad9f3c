/*
 * Gantry feed protocol, version 1: the datagrams and their bodies (docs/feed-protocol.md holds the byte tables).
 *
 * Pure functions on bytes, no state, no allocation, any thread. Every integer on the wire is little-endian. Decoders
 * check all they read, touch nothing on failure and answer FEED_DROP_*; encoders get values that our own code made and
 * assert their bounds. Times are µs since 1970 UTC.
 */
#ifndef GANTRY_FEED_WIRE_H
#define GANTRY_FEED_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "appliance/base/read.h"
#include "dpdk/feed/outcome.h"

#define FEED_VERSION 1
#define FEED_DATAGRAM_SIZE_MAX 1400 /* UDP payload */
#define FEED_HEADER_SIZE 16         /* of transport datagrams; it is their associated data */
#define FEED_TAG_SIZE 16
#define FEED_BODY_SIZE_MAX (FEED_DATAGRAM_SIZE_MAX - FEED_HEADER_SIZE - FEED_TAG_SIZE)
#define FEED_NAME_SIZE 32   /* sender's and node's name: UTF-8, zero padded */
#define FEED_SOURCE_SIZE 16 /* name of a clock source, the same way */

#define FEED_HANDSHAKE_HEADER_SIZE 8
#define FEED_HELLO_PAYLOAD_SIZE 80
#define FEED_WELCOME_PAYLOAD_SIZE 80
#define FEED_HELLO_SIZE 136   /* header 8, ephemeral key 32, payload 80, tag 16 */
#define FEED_WELCOME_SIZE 136 /* never longer than the HELLO that asked for it */

/* Bounds of what may be told, so that no sum of two of them overflows. */
#define FEED_SEQUENCE_MAX (UINT64_MAX >> 1)
#define FEED_TIME_US_MAX INT64_C(253402300799999999) /* 9999-12-31T23:59:59.999999Z; clocks and captures, from 0 */

#define FEED_RECORD_SIZE 48
#define FEED_RECORDS_MAX 28 /* in one DATA */
#define FEED_DATA_HEADER_SIZE 16
#define FEED_HEARTBEAT_SIZE 104 /* body */

enum feed_type {
	FEED_TYPE_HELLO = 1,     /* sender to appliance */
	FEED_TYPE_WELCOME = 2,   /* appliance to sender */
	FEED_TYPE_DATA = 3,      /* sender to appliance */
	FEED_TYPE_ACK = 4,       /* appliance to sender */
	FEED_TYPE_HEARTBEAT = 5, /* sender to appliance */
	FEED_TYPE_IMAGE_FIRST = 16,
	FEED_TYPE_IMAGE_LAST = 19, /* reserved, refused in version 1 */
};

enum feed_side { FEED_SIDE_APPLIANCE, FEED_SIDE_SENDER };

/* What the clear bytes of a datagram say, before anything is authenticated: enough to find who it is for. */
struct feed_peek {
	uint64_t number; /* packet number; transport types only */
	uint32_t id;     /* feed id of HELLO and WELCOME, session id of all others */
	uint8_t type;    /* enum feed_type */
	uint8_t lane;    /* enum feed_lane; 0 for HELLO, WELCOME, HEARTBEAT */
};

/*
 * Checks size, version, type, direction (what `receiver` itself would send is FEED_DROP_REFLECTED) and reserved bytes.
 * The answer is the FEED_DROP_* that ended it, or one of FEED_HELLO_FRESH, FEED_OPENED_WELCOME, FEED_OPENED_DATA,
 * FEED_OPENED_ACK, FEED_OPENED_HEARTBEAT: what it claims to be, not to be counted yet.
 */
enum feed_outcome feed_peek(const uint8_t *datagram, size_t size, enum feed_side receiver, struct feed_peek *ret_peek);

/* Writes the 16 clear bytes of a transport datagram. */
void feed_header_encode(const struct feed_peek *header, uint8_t ret_header[FEED_HEADER_SIZE]);

/* What the sender says of one lane. Sequences start at 1; next - 1 is the last one given. */
struct feed_lane_sent {
	uint64_t next;   /* sequence that the next new read of this lane gets */
	uint64_t lowest; /* lowest sequence not acknowledged; equal to next when all are */
};

struct feed_hello {
	int64_t clock_us; /* sender's wall clock */
	struct feed_lane_sent lanes[FEED_LANE_COUNT];
	uint32_t epoch;                /* of the sender's spool, from 1 */
	char name[FEED_NAME_SIZE + 1]; /* terminated here, zero padded on the wire */
};

void feed_hello_encode(const struct feed_hello *hello, uint8_t ret_payload[FEED_HELLO_PAYLOAD_SIZE]);
/* 0 or FEED_DROP_MALFORMED. */
int feed_hello_decode(const uint8_t payload[FEED_HELLO_PAYLOAD_SIZE], struct feed_hello *ret_hello);

/* What the appliance says of one lane in a WELCOME. */
struct feed_lane_granted {
	uint64_t cumulative;  /* all up to and including it are acknowledged; 0 unless known */
	uint32_t credit;      /* reads beyond cumulative that may be on their way */
	uint16_t records_max; /* records in one DATA, 1..FEED_RECORDS_MAX */
	bool known;           /* the appliance has durable state of this (feed, epoch, lane) */
};

struct feed_welcome {
	int64_t clock_us; /* appliance's wall clock */
	struct feed_lane_granted lanes[FEED_LANE_COUNT];
	uint32_t session; /* filled by feed_peer_welcome; the caller leaves it */
	char node[FEED_NAME_SIZE + 1];
};

void feed_welcome_encode(const struct feed_welcome *welcome, uint8_t ret_payload[FEED_WELCOME_PAYLOAD_SIZE]);
/* 0 or FEED_DROP_MALFORMED. */
int feed_welcome_decode(const uint8_t payload[FEED_WELCOME_PAYLOAD_SIZE], struct feed_welcome *ret_welcome);

/* A DATA body, its frame checked; the records are not (record.h does that, one by one). */
struct feed_data {
	const uint8_t *records; /* count times FEED_RECORD_SIZE bytes, inside the body that was decoded */
	uint64_t first;         /* sequence of the first record, at least 1; the last one does not overflow */
	uint32_t epoch;         /* at least 1 */
	uint16_t count;         /* 1..FEED_RECORDS_MAX */
};

/* Writes header and records (bytes already encoded by feed_record_encode); returns the body's size. */
size_t feed_data_encode(const struct feed_data *data, uint8_t *ret_body);
/* 0 or FEED_DROP_MALFORMED. */
int feed_data_decode(const uint8_t *body, size_t size, struct feed_data *ret_data);

struct feed_lane_state {
	struct feed_lane_sent sent;
	uint64_t backlog;       /* reads spooled and not acknowledged */
	uint64_t oldest_age_us; /* of the oldest of them, since its capture; 0 when there is none */
};

struct feed_heartbeat {
	int64_t clock_us;        /* sender's wall clock */
	int64_t clock_offset_us; /* last measured offset of that clock from its source */
	struct feed_lane_state lanes[FEED_LANE_COUNT];
	uint32_t epoch;
	bool clock_synchronised;
	char clock_source[FEED_SOURCE_SIZE + 1];
};

void feed_heartbeat_encode(const struct feed_heartbeat *heartbeat, uint8_t ret_body[FEED_HEARTBEAT_SIZE]);
/* 0 or FEED_DROP_MALFORMED. */
int feed_heartbeat_decode(const uint8_t *body, size_t size, struct feed_heartbeat *ret_heartbeat);

#endif
