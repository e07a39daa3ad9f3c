/*
 * The read: one sighting of a vehicle, in the one shape that every part of Gantry handles once it has left the wire.
 *
 * A read travels by value. The worker that owns its feed fills it from a wire record (dpdk/feed), gives it its VRM key
 * (matcher), and appends it to the journal and the memtable (storage); a sealed segment gives the same struct back.
 * Times are µs since 1970-01-01 UTC. Positions are WGS 84 in units of 1e-7 degree. Host byte order.
 */
#ifndef GANTRY_BASE_READ_H
#define GANTRY_BASE_READ_H

#include <assert.h>
#include <stdbool.h>
#include <stdint.h>

#define READ_TEXT_SIZE 16 /* bytes of a VRM as received (UTF-8) and of its key, zero padded */
#define DAY_US INT64_C(86400000000)

enum read_kind {
	READ_KIND_VRM = 0,      /* a plate was read */
	READ_KIND_NOT_READ = 1, /* a vehicle passed, its plate was not read (R4): text and key are all zero */
	READ_KIND_COUNT
};

/* Low byte: the sender says so, on the wire. High byte: the appliance says so. */
enum read_flags {
	READ_FLAG_POSITION = 1 << 0,     /* lat_e7, lon_e7 are the camera's own position at capture (mobile) */
	READ_FLAG_TEST = 1 << 1,         /* connectivity test (R2): stored, never matched */
	READ_FLAG_CLOCK_UNSURE = 1 << 2, /* the camera's clock was not synchronised at capture */
	READ_FLAGS_SENDER = 0x0007,
	READ_FLAG_BACKLOG = 1 << 8,     /* came in the backlog lane */
	READ_FLAG_UNMATCHED = 1 << 9,   /* accepted while not all lists were loaded: matched later */
	READ_FLAG_AMENDED = 1 << 10,    /* its VRM was corrected here (R2); zero[0] counts how often */
	READ_FLAG_RESTRICTED = 1 << 11, /* of a case's copy: restricted (R39); the mark died with the day */
};

#define READ_CONFIDENCE_UNKNOWN 255

struct read {
	uint8_t key[READ_TEXT_SIZE];  /* VRM key (matcher/vrm.h), zero padded; all zero when not read */
	uint8_t text[READ_TEXT_SIZE]; /* as received, UTF-8, zero padded */
	int64_t capture_us;
	int64_t receipt_us;
	uint32_t camera;
	int32_t lat_e7; /* 0 unless READ_FLAG_POSITION */
	int32_t lon_e7;
	uint32_t feed;
	uint32_t epoch;     /* of the sender's spool */
	uint16_t country;   /* two upper-case ASCII letters, first one in the low byte; 0 unknown */
	uint16_t flags;     /* enum read_flags */
	uint8_t kind;       /* enum read_kind */
	uint8_t confidence; /* 0..100, READ_CONFIDENCE_UNKNOWN */
	uint8_t road_lane;  /* lane of the road, 1 = nearside; 0 unknown */
	uint8_t direction;  /* enum read_direction */
	uint8_t images;     /* bit 0 plate patch, bit 1 overview exist at the sender; 0 says «no image» */
	uint8_t zero[3];
};
static_assert(sizeof(struct read) == 80, "a read is a row of the memtable: its size is a budget");

enum read_direction { READ_DIRECTION_UNKNOWN = 0, READ_DIRECTION_APPROACHING = 1, READ_DIRECTION_RECEDING = 2 };

/* The two lanes of a feed: each has its own sequence, ACK, window and credit. */
enum feed_lane { FEED_LANE_LIVE = 0, FEED_LANE_BACKLOG = 1, FEED_LANE_COUNT = 2 };

/* Why a read is refused for good: acknowledged as refused, counted, journalled as a run without rows. Stable values. */
enum refusal {
	REFUSAL_NONE = 0,
	REFUSAL_MALFORMED = 1, /* a field outside its bounds, text not UTF-8, VRM without a single letter or digit */
	REFUSAL_TOO_OLD = 2,   /* captured before now − retention, or on a day already purged */
	REFUSAL_FUTURE = 3,    /* captured later than now + 10 min */
	REFUSAL_CAMERA_SUSPENDED = 4, /* R15 */
	REFUSAL_COUNT
};

/*
 * A run: consecutive sequence numbers of one lane that met the same fate. Identity of a read = (feed, epoch, lane,
 * sequence). Sequences start at 1. With refusal == REFUSAL_NONE the run's `count` reads are stored, in order.
 */
struct run {
	uint64_t first;
	uint32_t feed;
	uint32_t epoch;
	uint16_t count;
	uint8_t lane;    /* enum feed_lane */
	uint8_t refusal; /* enum refusal */
	uint32_t zero;
};
static_assert(sizeof(struct run) == 24, "runs are kept beside rows in the memtable");

enum hit_kind { HIT_EXACT = 0, HIT_PATTERN = 1, HIT_TOLERANT = 2, HIT_RETRO = 3, HIT_CLONE = 4 };

enum hit_flags {
	HIT_FLAG_REPEAT = 1 << 0, /* a repeat within its list's minutes: kept and counted, delivered to nobody */
	HIT_FLAG_LATE = 1 << 1,   /* found after the read was stored: by a search back, or because its list was not loaded */
	HIT_FLAG_CLASH_LATER = 1 << 2, /* HIT_CLONE: the sighting that it clashes with was captured after this one */
};

/*
 * A hit: a read met an entry of a VOI list. Belongs to the row `row` of whatever it is stored beside.
 *
 * Its number is its name for ever: who made it (the worker of its journal, or HIT_SOURCE_LATE) in the upper byte, below
 * it a count that only grows, from the start's µs since 1970. Hits of one source become visible in the order of their
 * numbers, so one number a source says how far a subscriber has come.
 *
 * HIT_CLONE is of no list: `list` is 0, `entry` the camera of the other sighting, `version` the seconds between.
 */
struct hit {
	uint32_t row;
	uint32_t list;
	uint32_t version; /* of the list */
	uint32_t entry;   /* its number in that version of the list (matcher/list.h) */
	uint8_t kind;     /* enum hit_kind */
	uint8_t priority; /* 0..100 */
	uint16_t flags;   /* enum hit_flags */
	uint64_t number;  /* 0: nobody has numbered it yet; journal_append does */
} __attribute__((packed, aligned(4)));
static_assert(sizeof(struct hit) == 28, "hits are journalled as they are");

#define HIT_SOURCE_SHIFT 56
#define HIT_SOURCE_LATE 255 /* hits of reads that were stored before */
#define HIT_COUNT_MASK ((UINT64_C(1) << HIT_SOURCE_SHIFT) - 1)

static inline unsigned hit_source(uint64_t number)
{
	return (unsigned)(number >> HIT_SOURCE_SHIFT);
}

static inline uint64_t hit_number(unsigned source, uint64_t count)
{
	return (uint64_t)source << HIT_SOURCE_SHIFT | (count & HIT_COUNT_MASK);
}

/* The day a read is filed under: days since 1970-01-01 UTC of its capture. Rounds down, also before 1970. */
static inline int32_t read_day(int64_t capture_us)
{
	int64_t day = capture_us / DAY_US;
	return (int32_t)(capture_us % DAY_US < 0 ? day - 1 : day);
}

#endif
