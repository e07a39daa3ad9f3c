/*
 * The records of the register and their bytes: feeds, cameras, bindings, lists, marks.
 *
 * Encoding is little-endian and versioned: a version byte first, fields in the order of the structs, texts as a
 * 16-bit length and UTF-8 bytes (docs/disk-format.md). Pure functions, any thread. Texts in the structs are
 * zero-terminated.
 */
#ifndef GANTRY_STORAGE_REGISTER_RECORDS_H
#define GANTRY_STORAGE_REGISTER_RECORDS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define REG_NAME_SIZE 64 /* with its zero */
#define REG_TEXT_SIZE 128
#define REG_FEED_KEY_SIZE 32
#define REG_BLOB_NAME_SIZE 32
#define REG_RECORD_SIZE_MAX 1408 /* no encoded record is longer */

/* Stable numbers; also the first byte of an LMDB key. */
enum reg_kind {
	REG_FEED = 1,           /* a: feed */
	REG_CAMERA = 2,         /* a: camera */
	REG_BINDING = 3,        /* a: feed, b: camera */
	REG_LIST = 4,           /* a: list; its newest version, or «removed» */
	REG_MARK = 6,           /* a: capture day, b: number in it */
	REG_HOLD = 16,          /* a: case */
	REG_HOLD_SELECTOR = 17, /* a: case, b: index */
	REG_PROPOSAL = 18,      /* a: number of the proposed purge */
	REG_SUBSCRIPTION = 19,  /* a: number, b: 0 what it is, 1 + lane how far it has come */
	REG_RECEIPT = 20,       /* a, b: reg_receipt_a, number among them */
	REG_HIT_LIFE = 21,      /* a: capture day, b: number in it (register_hit.h) */
	REG_LATE_HIT = 22,      /* a: capture day, b: number in it; or REG_LATE_LAST (register_late.h) */
	REG_UNMATCHED = 23,     /* a: number of the window in which reads were accepted unmatched */
	REG_RETRO = 24,         /* a: number of the search back */
	REG_KIND_END
};

enum reg_feed_state { REG_FEED_ACTIVE = 0, REG_FEED_SUSPENDED = 1, REG_FEED_REMOVED = 2, REG_FEED_STATE_COUNT };

struct reg_feed {
	uint32_t feed;
	uint8_t state;     /* enum reg_feed_state */
	bool all_cameras;  /* may speak for every registered camera, without bindings */
	bool has_key_next; /* key_next is valid beside key while the sender changes over */
	int64_t created_us;
	uint8_t key[REG_FEED_KEY_SIZE]; /* the pre-shared key: a secret */
	uint8_t key_next[REG_FEED_KEY_SIZE];
	char name[REG_NAME_SIZE];
	char organisation[REG_NAME_SIZE];
};

/* NASPLE's kinds of capture device (R13); stable numbers. */
enum reg_camera_type {
	REG_CAMERA_FIXED = 0,
	REG_CAMERA_MOBILE = 1,
	REG_CAMERA_DASHBOARD = 2,
	REG_CAMERA_PORTABLE = 3,
	REG_CAMERA_CCTV = 4,
	REG_CAMERA_TYPE_COUNT
};

struct reg_camera {
	uint32_t camera;
	int32_t lat_e7; /* WGS 84, 1e-7 degree */
	int32_t lon_e7;
	uint8_t type;         /* enum reg_camera_type */
	bool restricted;      /* R16 */
	bool suspended;       /* R15: its reads are refused */
	int64_t suspended_us; /* since when; 0 when not suspended */
	int64_t created_us;
	char name[REG_NAME_SIZE];
	char organisation[REG_NAME_SIZE];
	char suspended_reason[REG_TEXT_SIZE];
	char road[REG_TEXT_SIZE];
	char direction[REG_NAME_SIZE];
};

struct reg_binding {
	uint32_t feed;
	uint32_t camera;
	int64_t since_us;
};

/* One version of a list's content. */
struct reg_list_version {
	uint32_t version;
	uint32_t generation; /* replaced whole so often */
	int64_t created_us;  /* when it was made */
	int64_t revised_us;  /* when its content was last revised (R25) */
	bool revised_unsure; /* so said a clock under suspicion */
	uint64_t entry_count;
	uint8_t hash[32];                 /* of what it says, as the loader made it */
	uint8_t blob[REG_BLOB_NAME_SIZE]; /* reg_blob_put's name of the list; all zero when removed */
	uint64_t blob_size;
};

#define REG_LIST_CLASS_COUNT 16 /* room for matcher/list.h's */

struct reg_list {
	uint32_t list;
	uint8_t list_class; /* as matcher/list.h numbers them */
	uint8_t priority;   /* 0..100 */
	bool removed; /* no entries any more: `now` has no blob; keeps the version so that an old one stays refused */
	bool has_previous;           /* `previous` can be rolled back to */
	struct reg_list_version now; /* its version grows with every change; an older one is refused by whoever loads */
	struct reg_list_version previous;
	char name[REG_NAME_SIZE];
	char owner[REG_NAME_SIZE];
	char purpose[REG_TEXT_SIZE];
};

/* What is to be done with a read wherever it is met; stable numbers. */
enum mark_kind {
	MARK_NONE = 0,
	MARK_ERASED = 1,     /* R39: it does not exist */
	MARK_RESTRICTED = 2, /* R39: kept, raises no hits, shown to few purposes */
	MARK_AMENDED = 3,    /* R2: it does not exist; the corrected read takes its place */
	MARK_KIND_END
};

#define MARK_HASH_SIZE 32
#define MARK_ID_SIZE 16
#define REG_MARK_SEALED_MAX 1136 /* what an earlier version sealed too, so that it can be told apart */

/*
 * A mark on one read. Nothing in it tells the read to whoever lacks KEY_IDENTITY; what the physical removal needs to
 * know of it lies sealed under a key of its own and dies with that key.
 */
struct reg_mark {
	int32_t day; /* of capture, 0 … */
	uint32_t number;
	uint8_t kind;    /* enum mark_kind */
	bool pending;    /* the read may still lie in a segment, or its correction in none */
	int64_t made_us; /* when the mark was set */
	uint32_t tag;    /* see storage/mark_set.h */
	uint8_t hash[MARK_HASH_SIZE];
	uint8_t public_id[MARK_ID_SIZE]; /* of the read */
	uint64_t key;                    /* KEY_MARK (key, day) while pending, else 0 */
	uint16_t sealed_size;            /* 0 unless pending */
	uint8_t sealed[REG_MARK_SEALED_MAX];
};

/* Each writes at most REG_RECORD_SIZE_MAX bytes and returns how many. Fields out of bounds are our bug: asserted. */
size_t reg_feed_encode(const struct reg_feed *feed, uint8_t buffer[REG_RECORD_SIZE_MAX]);
size_t reg_camera_encode(const struct reg_camera *camera, uint8_t buffer[REG_RECORD_SIZE_MAX]);
size_t reg_binding_encode(const struct reg_binding *binding, uint8_t buffer[REG_RECORD_SIZE_MAX]);
size_t reg_list_encode(const struct reg_list *list, uint8_t buffer[REG_RECORD_SIZE_MAX]);
size_t reg_mark_encode(const struct reg_mark *mark, uint8_t buffer[REG_RECORD_SIZE_MAX]);

/* -EBADMSG when the bytes are no such record, whole and nothing more; ret untouched. */
int reg_feed_decode(const void *bytes, size_t size, struct reg_feed *ret_feed);
int reg_camera_decode(const void *bytes, size_t size, struct reg_camera *ret_camera);
int reg_binding_decode(const void *bytes, size_t size, struct reg_binding *ret_binding);
int reg_list_decode(const void *bytes, size_t size, struct reg_list *ret_list);
int reg_mark_decode(const void *bytes, size_t size, struct reg_mark *ret_mark);

#endif
