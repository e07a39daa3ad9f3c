/*
 * Search: rows of a view that match a query, or their number.
 *
 * Day by day, in the order asked for, the segments and the memtable's part are merged in store order (row.h), which
 * brings equal reads together to be collapsed, and survivors pass into a bounded "best N so far". The answer does not
 * depend on what has been sealed. Wrong data is never returned: a page that cannot be read is named in the result and
 * the answer marked incomplete.
 *
 * Any thread but a worker; one call runs on one thread, allocates (some tens of MiB at most beside the rows kept), and
 * blocks on the disk; the page reads of the segments to come are in flight together (search_ahead.h). Cost: an exact
 * VRM about two page reads a segment, a tolerant one as much for each plate it may have been; a prefix its range;
 * another pattern a scan of the dictionaries; cameras in a window without VRM the scene permutation; anything else
 * every row of the days.
 */
#ifndef GANTRY_STORAGE_SEARCH_H
#define GANTRY_STORAGE_SEARCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "appliance/base/err.h"
#include "appliance/base/glob.h"
#include "appliance/base/read.h"

struct area;
struct views;

#define SEARCH_LIMIT_MAX 10000
#define SEARCH_FAULTS_MAX 16
#define SEARCH_PUBLIC_ID_SIZE 33 /* 32 hex digits and the end */
#define SEARCH_CURSOR_TEXT_SIZE 256

/* Where an answer ended; the next page begins behind it. Opaque; all zero: from the beginning. */
struct search_cursor {
	struct read last;
	uint32_t ordinal; /* among rows the same in every field */
	bool set;
};

/* How misreads are folded (matcher/vrm.h): character by character, each into one of its class. */
struct search_fold {
	void (*fold)(const uint8_t key[16], uint8_t ret_folded[16]);
	const char *alphabet; /* what keys are made of, ascending */
};

/* A camera that moves: its reads lie where their own position says, those without one where the register has it. */
struct search_roamer {
	uint32_t camera;
	bool inside; /* its place in the register */
};

struct search_query {
	uint32_t case_number; /* not 0: only the case's copies of held rows, and no ordinary read (hold.h) */
	/* On the VRM key; NULL any. A not-read record matches no glob. */
	const struct glob *key_glob;
	const struct glob *folded_glob; /* misread-tolerant: on the folded key; NULL no. Needs `fold` */
	const struct search_fold *fold;
	const struct glob *text_glob; /* strict: on the text as received; NULL no */
	bool keyless;                 /* only reads whose text has no VRM key; then neither key nor folded glob */
	bool not_read;                /* only not-read records; then no globs */
	bool restricted;              /* restricted reads too (R39); else they do not exist */
	int64_t from_us;              /* captured in [from_us, to_us) */
	int64_t to_us;
	const uint32_t *cameras; /* sorted, without repeats; NULL any */
	size_t camera_count;
	/*
	 * NULL: everywhere. Else `cameras` are those that stand inside the area and those that may have come there: the
	 * roamers, sorted by camera, whose reads are judged one by one.
	 */
	const struct area *area;
	const struct search_roamer *roamers;
	size_t roamer_count;
	/* R16: rows of a camera for which this says false do not exist. NULL: all do. Called by this thread. */
	bool (*camera_allowed)(void *context, uint32_t camera);
	bool (*cancelled)(void *context); /* asked every few ms; NULL never */
	/*
	 * How many of the sealed reads of the window's days are gone past, looked at or not: after each day with
	 * segments, and within a day for each thousandth part of all. Grows from call to call. NULL no.
	 */
	void (*progress)(void *context, uint64_t reads_done, uint64_t reads);
	void *context;
	bool oldest_first; /* else newest first */
	bool count_only;
	uint32_t limit; /* rows of one answer, 1 … SEARCH_LIMIT_MAX; not used by count_only */
	struct search_cursor cursor;
	/* Budgets; 0 means none. */
	uint64_t rows_max;  /* looked at */
	uint64_t bytes_max; /* read from segments */
	int64_t ms_max;
};

enum search_stop { SEARCH_DONE = 0, SEARCH_ROWS_MAX, SEARCH_BYTES_MAX, SEARCH_MS_MAX, SEARCH_CANCELLED };

struct search_fault {
	struct err err; /* which part could not be read, and why */
};

struct search_result {
	uint64_t count;  /* rows given, or counted */
	bool truncated;  /* the limit was reached and there are more: go on from `cursor` */
	bool incomplete; /* parts were unreadable, or it was stopped: rows may be missing */
	enum search_stop stop;
	struct search_cursor cursor; /* set when truncated */
	uint64_t faults;             /* all of them; the first SEARCH_FAULTS_MAX have a text */
	struct search_fault fault[SEARCH_FAULTS_MAX];
	uint64_t rows_seen;
	uint64_t bytes_read;
	uint64_t pages_read;
	uint64_t segments; /* looked into */
};

/* Row in answer order; borrowed. A non-zero return ends the search and is returned. */
typedef int search_row_fn(void *context, const struct read *read, const char public_id[SEARCH_PUBLIC_ID_SIZE]);

/*
 * 0 with *ret_result filled (look at incomplete); -EINVAL a query out of bounds, with err; -ENOMEM. `row` is not called
 * when count_only. `ret_result` is large: keep it off small stacks.
 */
int search_run(struct views *views, const struct search_query *query, struct err *err, search_row_fn *row,
	       void *row_context, struct search_result *ret_result);

/*
 * The public id of a read: HMAC-SHA-256 under KEY_IDENTITY over (camera, capture time, lane of the road, VRM key,
 * ordinal among reads equal in these), the first 16 bytes in hex. It says nothing about the read to whoever lacks the
 * key.
 */
void search_public_id(const uint8_t identity_key[32], const struct read *read, uint32_t ordinal,
		      char ret_text[SEARCH_PUBLIC_ID_SIZE]);

/* Equal in all fields of the public id but the ordinal. */
bool search_shares_public_id(const struct read *a, const struct read *b);

/*
 * A cursor as text for clients: AES-256-GCM under a key that HKDF-SHA-256 derives from KEY_IDENTITY, because it holds
 * the last row's fields. `question` is a digest of what was asked; it is a place in that answer and in no other.
 * An unset cursor is the empty text.
 */
void search_cursor_seal(const uint8_t identity_key[32], uint64_t question, const struct search_cursor *cursor,
			char ret_text[SEARCH_CURSOR_TEXT_SIZE]);
/* -EINVAL: no text that search_cursor_seal gave under this key; -ESTALE: of another question. */
int search_cursor_open(const uint8_t identity_key[32], uint64_t question, const char *text,
		       struct search_cursor *ret_cursor);

#endif
