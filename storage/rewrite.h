/*
 * Rewriting: some sealed segments of a day, the parents, become one, the child, under a new key; then the parents' keys
 * and files go. That is how a day's segments are merged, how single reads are physically removed or replaced (a rule
 * says which), and how rows are copied out of a day for a case.
 *
 * Steps, each durable before the next: journals and grandparents that the parents name are gone → child's key
 * (merge.keyed) → child's pages, .tmp, rename (merge.written) → one catalog transaction, parents out and child in,
 * under memtable_lock (merge.committed) → every view taken before it is released → parents' keys destroyed
 * (merge.destroyed) → their files discarded. A crash leaves one generation whole: see recovery_segment.c.
 *
 * Control threads that hold the tidy mutex through rewrite_lock or rewrite_preempt; one rewriting at a time. Memory: 8
 * bytes a row of the child (segment_build.h), about 0.4 MiB a parent, and the hits.
 */
#ifndef GANTRY_STORAGE_REWRITE_H
#define GANTRY_STORAGE_REWRITE_H

#include <stddef.h>
#include <stdint.h>

#include "appliance/base/err.h"
#include "appliance/base/read.h"
#include "storage/keyring.h"

struct segment_summary;
struct store;

enum rewrite_outcome {
	REWRITE_NOTHING = 1, /* rewrite_copy: no row was kept, nothing is written */
	/* A parent is fresh: a journal it was sealed from, or a segment it was made from (which a search still reads),
	 * is not destroyed yet. Nothing is done; call again later. */
	REWRITE_WAITS = 2,
};

/* What becomes of the rows. All borrowed for the call. */
struct rewrite_rule {
	/* Asked once for each row of the parents, in store order, before equal ones collapse: 1 drop, 0 keep, < 0 stop.
	 */
	int (*row)(void *context, const struct read *row);
	/* Changes flags of the appliance in a row that is kept. NULL: as they are. */
	void (*flag)(void *context, struct read *row);
	/* Rows of the day that come in beside them, in any order (a corrected read). */
	const struct read *extra;
	size_t extra_count;
	/* The next of the hits that come in with a row that is kept, an extra one too; NULL: no more. NULL: none do. */
	const struct hit *(*hit)(void *context, const struct read *row);
	void *context;
};

struct rewrite_result {
	uint64_t child;     /* segment id; 0 when no row was kept */
	uint64_t rows;      /* of the child */
	uint64_t collapsed; /* equal reads of different parents, left out now */
	uint64_t dropped;   /* by the rule */
	uint64_t bytes;     /* of the child's file */
};

/* The tidy mutex (lock order: storage/store_internal.h). Waits for whatever is being rewritten to end. */
void rewrite_lock(struct store *store);
/* The same for a purge: what is being rewritten stops at its next page with -ECANCELED and leaves nothing. */
void rewrite_preempt(struct store *store);
void rewrite_unlock(struct store *store);

/*
 * Tidy mutex held. Parents: ids of sealed segments of an open day, 1 … SEGMENT_LINEAGE_MAX, each once; rule NULL keeps
 * every row. On 0 every view taken from now on sees the child instead. No child is made when nothing is kept.
 *
 * 0 or REWRITE_WAITS, and else, nothing changed: -ENOENT no such segment (any more: look again), -ESTALE the day is
 * being purged or is, -ENOSPC not enough room for the child beside the reserves, -EBADMSG a parent is damaged, -ENOTSUP
 * parents of different VRM key versions, -ECANCELED a purge or the end of the process wants the mutex, else what io,
 * keyring and catalog say. A commit that failed and may yet have happened is tried again at the next call, before
 * anything else is.
 */
int rewrite_segments(struct store *store, int32_t day, const uint64_t *parents, size_t count,
		     const struct rewrite_rule *rule, struct err *err, struct rewrite_result *ret_result);

struct rewrite_target {
	const char *directory; /* "<directory>/d<day>-<segment id>.seg" is made */
	struct key_id key;     /* stands in the keyring */
	uint64_t segment_id;
};
/*
 * Tidy mutex held. All sealed segments of the day, also of one that is closed, as one stream with equal reads
 * collapsed; the rows that the rule keeps go to the target, durable on return. Changes neither catalog nor the day. 0,
 * REWRITE_NOTHING, or < 0 and no file. What of a segment is damaged, or the disk does not give, is told as damage and
 * left out; VRM keys of different versions are copied as they are, and told. The summary's lineage names the segments
 * copied from, the first SEGMENT_LINEAGE_MAX of them. A purge uses it under rewrite_preempt.
 */
int rewrite_copy(struct store *store, int32_t day, const struct rewrite_rule *rule, const struct rewrite_target *target,
		 struct err *err, struct segment_summary *ret_summary);

#endif
