/*
 * The change log: append-only frames in one file, each sealed, numbered and bound to the one before by its hash.
 *
 * A frame is a header of 88 bytes and a body (docs/disk-format.md). Its header's checksum tells damage from a torn
 * tail; AES-256-GCM over header and body tells forgery. The nonce is the sequence and eight random bytes, because a
 * number whose first frame was torn off is given again.
 *
 * A log that was written anew (storage/changelog_renew.h) begins with its base: frames that say what the entries up to
 * a number came to, and one behind them that ends it. The entries go on from that number.
 *
 * One thread at a time: the owner (register.c) has the mutex.
 */
#ifndef GANTRY_STORAGE_CHANGELOG_H
#define GANTRY_STORAGE_CHANGELOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "appliance/base/err.h"

#define CHANGELOG_BODY_SIZE_MAX (64u << 20)

struct changelog;
struct io;

struct changelog_options {
	const char *directory; /* of "changes.log" */
	const uint8_t *key;    /* KEY_SIZE bytes, copied */
	bool read_only; /* gantry-fsck: nothing is written; a torn tail is only told, a missing file is -ENOENT */
	uint64_t sequence_min; /* entries known to have been durable: a log that ends sooner is damaged; 0 unknown */
};

enum changelog_kind {
	CHANGELOG_ENTRY = 0,
	CHANGELOG_BASE = 1,     /* a part of what the entries up to `sequence` came to */
	CHANGELOG_BASE_END = 2, /* all of it was given; without a body */
	CHANGELOG_KIND_COUNT
};

struct changelog_frame {
	enum changelog_kind kind;
	uint64_t sequence;
	const uint8_t *body; /* wiped behind the call */
	size_t size;
};

/*
 * Reads the whole log, verifying every frame, and calls `each` in order; its non-zero result ends the opening with it.
 * A bad frame is the torn tail when nothing known durable lies at or behind it: then it is overwritten with zeros and
 * the log goes on before it. Otherwise, and anywhere in a base, -EBADMSG, err says where, the file is untouched. A
 * missing file is made, unless sequence_min says that there was one. What an interrupted renewal left is removed.
 */
int changelog_open(const struct changelog_options *options, struct io *io, struct err *err,
		   int (*each)(void *context, const struct changelog_frame *frame), void *context,
		   struct changelog **ret_log);
struct changelog *changelog_free(struct changelog *log);

/*
 * Durable when 0. -EFBIG: a body over the maximum. Else the disk's error: the log goes on before the failed frame, and
 * the call may be repeated.
 */
int changelog_append(struct changelog *log, const uint8_t *body, size_t size, uint64_t *ret_sequence);

uint64_t changelog_sequence(const struct changelog *log);  /* last one; 0 none */
uint64_t changelog_size(const struct changelog *log);      /* bytes up to the end of the last frame */
uint64_t changelog_base_size(const struct changelog *log); /* of these, its base; 0 none */
bool changelog_tail_cut(const struct changelog *log);      /* at this open; read-only: it is to be */

#endif
