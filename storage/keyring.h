/*
 * The keyring: master key (a file outside the data directory, 0600) → key-encrypting key → keyring file with every key
 * under which Gantry stores anything. Two checksummed copies on separate paths, generation numbers, newest valid wins
 * (a copy that is older or damaged is rewritten at open, and said so).
 *
 * Losing a key is losing what it sealed: that is how a journal dies after sealing, and how a day is purged. So every
 * change is durable in both copies before the call returns, and a destruction re-wraps the ring under a fresh KEK,
 * overwrites the old file in place and discards it before it is unlinked.
 *
 * Any control thread may call (a mutex inside); never a worker. Calls may take tens of ms (fsync).
 */
#ifndef GANTRY_STORAGE_KEYRING_H
#define GANTRY_STORAGE_KEYRING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "appliance/base/err.h"

#define KEY_SIZE 32
#define KEY_DAY_NONE INT32_MIN

struct io;
struct keyring;

/* Stable numbers. What `id` and `day` mean is the kind's business. */
enum key_kind {
	KEY_JOURNAL = 1,       /* id: journal file id; no day */
	KEY_SEGMENT = 2,       /* id: segment id; day: its capture day */
	KEY_REGISTER = 3,      /* id: 0; the change log, LMDB values, lists, feeds' keys */
	KEY_AUDIT_MONTH = 4,   /* id: year * 12 + month − 1 */
	KEY_AUDIT_SIGNING = 5, /* id: 0; Ed25519 seed */
	KEY_CACHE = 6,         /* id: 0; serialised Hyperscan databases and other caches */
	KEY_IDENTITY = 7,      /* id: 0; keyed hashes of public ids and identities */
	KEY_CASE = 8,          /* id: segment id; day: the case's number: held rows outlive their day */
	KEY_LANES = 9,         /* id: 0; the lanes' copy outside the catalog */
	KEY_ESCROW = 10,       /* id: random, told with the export; opens the ring beside the master key */
	KEY_MARK = 11,         /* id: random; day: of the marked read, with which it dies. What its removal needs */
	KEY_LATE = 12,         /* id: random; day: of the reads whose late hits it seals, with which it dies */
	KEY_KIND_END = 16,
};

struct key_id {
	uint64_t id;
	int32_t day; /* KEY_DAY_NONE when the kind has none */
	enum key_kind kind;
};

struct keyring_options {
	const char *master_path; /* 32 bytes as 64 hex digits and a newline */
	const char *copy_a_path; /* created together with its directory's entry when `create` */
	const char *copy_b_path;
	bool create; /* neither copy exists and the data directory is empty: make a ring (and the master key if absent)
		      */
	bool read_only; /* nothing is written: neither copies mended nor leftovers removed; every change is -EROFS */
	bool escrow;    /* master_path may hold the escrow key; then the only change allowed is keyring_rewrap */
};

/*
 * -ENOENT no ring and not `create`; -EKEYREJECTED the master key does not open it; -EBADMSG both copies are damaged;
 * -EPERM the master key file is readable by others. ret untouched, err says what to do. An interrupted rotation of the
 * master key is finished, or undone when no copy had been wrapped under the new key.
 */
int keyring_open(const struct keyring_options *options, struct io *io, struct err *err, struct keyring **ret_keyring);
struct keyring *keyring_free(struct keyring *keyring); /* wipes; returns NULL */

/* -ENOENT when there is no such key (never made, or destroyed). */
int keyring_get(struct keyring *keyring, struct key_id id, uint8_t ret_key[KEY_SIZE]);

struct key_change {
	struct key_id id;
	bool destroy; /* else make, from random bytes; making one that exists is -EEXIST */
};
/*
 * All changes at once or none, durable in both copies on return. Every change is under a fresh KEK; the former files
 * are overwritten and discarded. Destroying a key that is not there changes nothing. -EIO, -ENOSPC when a copy could
 * not be written: the ring in memory is unchanged and the call may be repeated; a restart before that finds the ring as
 * it was or as it was to be.
 */
int keyring_change(struct keyring *keyring, const struct key_change *changes, size_t count);

/* Destroys every KEY_SEGMENT, KEY_MARK and KEY_LATE of the day and leaves the mark «destroyed»; idempotent. */
int keyring_destroy_day(struct keyring *keyring, int32_t day);
bool keyring_day_destroyed(struct keyring *keyring, int32_t day);

struct keyring_info {
	uint64_t generation;
	size_t key_count;
	size_t kinds[KEY_KIND_END]; /* keys by kind */
	size_t days_destroyed;
	size_t file_size;
	bool copy_mended;       /* one copy was missing, older or damaged at open and has been rewritten */
	bool by_escrow;         /* opened with the escrow key */
	int64_t master_made_us; /* µs since 1970 UTC */
	int64_t escrow_made_us; /* 0: no export is valid */
	uint64_t escrow_id;
};
void keyring_info(struct keyring *keyring, struct keyring_info *ret_info);

/* How a copy stands on the disk now. */
enum keyring_copy_state {
	KEYRING_COPY_CURRENT,
	KEYRING_COPY_OLDER, /* opens, of an older generation */
	KEYRING_COPY_MISSING,
	KEYRING_COPY_DAMAGED,
	KEYRING_COPY_FOREIGN, /* whole, wrapped under another master key */
	KEYRING_COPY_UNREADABLE,
};
struct keyring_copy {
	const char *path; /* lives as long as the keyring */
	enum keyring_copy_state state;
	uint64_t generation; /* 0 when it does not open */
};
/* Reads both copies anew; a, then b. */
void keyring_copies(struct keyring *keyring, struct keyring_copy ret_copies[2]);
const char *keyring_copy_state_name(enum keyring_copy_state state);

/* Calls each for every key of a kind; the callback may not call the keyring. */
int keyring_each(struct keyring *keyring, enum key_kind kind, int (*each)(void *context, struct key_id id),
		 void *context);

/*
 * A new master key: "<master>.new" durable, both copies wrapped under it, then it takes the place of the old file,
 * which is overwritten, discarded and unlinked. A crash at any step leaves a master key file and a copy that it opens,
 * and keyring_open finds them. < 0: err says whether the old key or the new one stands; the call may be repeated.
 * -EROFS, -EACCES: the key's directory cannot be written, as with a systemd credential: see keyring_rewrap.
 */
int keyring_rotate_master(struct keyring *keyring, struct err *err);

/*
 * Offline: wraps both copies under the master key in the file at `path`, made of random bytes when there is none. The
 * former master key's file is left to its owner. A ring that was opened with the escrow key loses that key: it has been
 * seen, the next export makes another.
 */
int keyring_rewrap(struct keyring *keyring, const char *path, struct err *err);

/*
 * Makes `key` (random, the caller's) the one escrow key from now on: the ring opens with it as it does with the master
 * key, over every later change and rotation, until the next call; a former one opens nothing that is written from now
 * on. Durable in both copies on return; errors as keyring_change.
 */
int keyring_escrow_set(struct keyring *keyring, const uint8_t key[KEY_SIZE], uint64_t id, int64_t now_us);

#endif
