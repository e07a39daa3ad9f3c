/*
 * The stream behind a rewriting: rows of several segments of a day, merged in store order, through a rule, into a
 * segment_build, with their hits. One thread; pages are read one at a time, so memory does not grow with the day.
 */
#ifndef GANTRY_STORAGE_REWRITE_STREAM_H
#define GANTRY_STORAGE_REWRITE_STREAM_H

#include <stddef.h>
#include <stdint.h>

#include "appliance/base/err.h"

struct io;
struct key_id;
struct keyring;
struct rewrite_rule;
struct segment_build;
struct segment_summary;

struct rewrite_stream {
	struct io *io;
	struct keyring *keyring;
	const char *directory;                  /* of the segments */
	const struct segment_summary *segments; /* of one day, as the catalog has them */
	size_t segment_count;
	const struct key_id *key;        /* of the only segment, when it is a case's copy; NULL: their day's */
	const struct rewrite_rule *rule; /* NULL: keep all */
	/* Between pages: `rows` more were taken from the segments. < 0 ends the stream with that. May be NULL. */
	int (*pace)(void *context, uint64_t rows, struct err *err);
	/*
	 * A segment or page that cannot be read: NULL ends the stream with -EBADMSG, -EIO or -ENOTSUP; else it is tried
	 * again when the disk was to blame, then told, and passed over.
	 */
	void (*damage)(void *context, const char *text);
	void *context;
	/* Out. */
	uint64_t rows_kept; /* given to the build, before it collapsed equal ones */
	uint64_t rows_dropped;
};

/* 0, what the rule or pace said, -EBADMSG, -ENOMEM, or what io and the build say; the build is then to be freed. */
int rewrite_stream_run(struct rewrite_stream *stream, struct segment_build *build, struct err *err);

#endif
