/*
 * The catalog: which segments exist, which journals are sealed, how far each lane has come, what became of each day.
 * One LMDB environment; it can be rebuilt from the files (lanes: from what recovery knows), so a damaged one is moved
 * away and made anew. No VRM in clear: fences stay sealed under their segment's key and die with it.
 *
 * Any control thread may call; writers are serialised inside. Every changing call is one transaction, durable on
 * return: all of it or nothing. Errors: -EBADMSG a value is not what this version writes, -ENOSPC map or disk full,
 * -EIO, -ENOMEM.
 */
#ifndef GANTRY_STORAGE_CATALOG_H
#define GANTRY_STORAGE_CATALOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "appliance/base/err.h"
#include "appliance/base/read.h"
#include "storage/segment_format.h"

struct catalog;
struct catalog_day;

struct catalog_options {
	const char *directory; /* made when absent */
	uint64_t map_size;     /* sparse; 0 means 64 GiB */
	bool read_only;        /* gantry-fsck: -ENOENT when there is none; only the reading calls may follow */
};

/*
 * -EBADMSG when it is damaged or of another version: move the directory away and rebuild. The file is checked before
 * LMDB sees it (lmdb_check.h). One open per process. catalog_free of one that was open for writing leaves the mark of
 * an orderly close.
 */
int catalog_open(const struct catalog_options *options, struct err *err, struct catalog **ret_catalog);
struct catalog *catalog_free(struct catalog *catalog);

struct catalog_totals {
	uint64_t stored;    /* rows in segments, since the beginning, purged ones too */
	uint64_t collapsed; /* equal reads left out at sealing and merging */
	uint64_t erased;    /* reads removed singly: from segments, or left out at sealing */
	uint64_t refused[REFUSAL_COUNT];
	uint64_t hits;
};

struct catalog_lane {
	uint32_t feed;
	uint32_t epoch;
	uint8_t lane;
	const void *bytes; /* lane_map's */
	size_t size;
};

/* What one sealed journal changes. Arrays are borrowed. */
struct catalog_seal {
	uint64_t journal_id;
	const struct segment_summary *segments; /* none when the journal held refusals only */
	size_t segment_count;
	const struct catalog_lane *lanes; /* as of the journal's end */
	size_t lane_count;
	uint64_t refused[REFUSAL_COUNT]; /* of this journal */
	uint64_t erased;                 /* reads of this journal that are left out for good */
	int64_t now_us;                  /* wall clock: when its days were sealed into */
	bool unjudged;                   /* nobody could know what of it is erased or amended */
};
/* Segments, lanes, totals, days' counts and "journal sealed" in one transaction. -EEXIST: that journal is sealed
 * already. */
int catalog_seal(struct catalog *catalog, const struct catalog_seal *seal);

/* Segments of one day, the parents, and what takes their place. Borrowed. */
struct catalog_replace {
	int32_t day;
	const uint64_t *parents; /* each once */
	size_t parent_count;
	const struct segment_summary *child; /* NULL: nothing is left of them */
};
/*
 * Parents out, child in, the day's counts and the totals, in one transaction. Whatever rows the child lacks that it did
 * not collapse are counted as erased, so that stored + collapsed + refused + erased stays what it was. -EEXIST the
 * child is there already, -ENOENT a parent is not, -ESTALE the day is being purged or is.
 */
int catalog_replace(struct catalog *catalog, const struct catalog_replace *replace);

/* True from its making until catalog_restore: it knows nothing yet, whatever the files say. */
bool catalog_is_new(const struct catalog *catalog);

/* What a rebuild found out. Arrays are borrowed. */
struct catalog_restore {
	const struct segment_summary *const *segments;
	size_t segment_count;
	const struct catalog_lane *lanes;
	size_t lane_count;
	const uint64_t *journals; /* sealed */
	size_t journal_count;
	const struct catalog_day *purged; /* days that were purged, with their counts */
	size_t purged_count;
	const struct catalog_totals *totals; /* NULL: as segments and purged days add up */
};
/* Everything in one transaction; the catalog is not new any more. -EEXIST when it was not. */
int catalog_restore(struct catalog *catalog, const struct catalog_restore *restore);

int catalog_journal_sealed(struct catalog *catalog, uint64_t journal_id, bool *ret_sealed);
/* The mark may go once the journal's key and file are gone for good. */
int catalog_journal_forget(struct catalog *catalog, uint64_t journal_id);
int catalog_totals(struct catalog *catalog, struct catalog_totals *ret_totals);
/* Journals with the mark "sealed". The callback may not call the catalog. */
int catalog_each_journal(struct catalog *catalog, int (*each)(void *context, uint64_t journal_id), void *context);
/* The callback borrows the lane's bytes; a non-zero return stops and is returned. It may not call the catalog. */
int catalog_each_lane(struct catalog *catalog, int (*each)(void *context, const struct catalog_lane *lane),
		      void *context);

/* -ENOENT when there is none. */
int catalog_segment(struct catalog *catalog, int32_t day, uint64_t id, struct segment_summary *ret_summary);

/* The short form, for plans and lists. */
struct catalog_segment {
	uint64_t id;
	uint32_t case_number; /* a case's copy of held rows; 0: the day's own */
	uint64_t row_count;
	uint64_t file_size;
	int64_t capture_first_us;
	int64_t capture_last_us;
	int32_t day;
	uint16_t lineage_kind; /* enum segment_lineage_kind */
	uint32_t lineage_count;
	uint64_t collapsed_count;
	uint64_t hit_count;
};
/*
 * Segments of the days first_day … last_day (inclusive), ascending by (day, id), from one read snapshot that is over on
 * return. *ret_segments is malloc'ed, the caller frees.
 */
int catalog_segments(struct catalog *catalog, int32_t first_day, int32_t last_day,
		     struct catalog_segment **ret_segments, size_t *ret_count);

/*
 * The same in two steps, for who has to take the snapshot under a lock and wants to read it outside (view.c). End it
 * soon: while it lasts the file cannot reuse pages. Any thread may use it, one at a time.
 */
struct catalog_snapshot {
	struct catalog *catalog;
	void *txn;
};
int catalog_snapshot_take(struct catalog *catalog, struct catalog_snapshot *ret_snapshot);
/* What is wanted of the segments. */
struct catalog_choice {
	int32_t first_day; /* inclusive both */
	int32_t last_day;
	bool hits; /* only those that may hold a hit with hit_after < number ≤ hit_upto */
	uint64_t hit_after;
	uint64_t hit_upto;
};
int catalog_snapshot_segments(const struct catalog_snapshot *snapshot, const struct catalog_choice *choice,
			      struct catalog_segment **ret_segments, size_t *ret_count);
void catalog_snapshot_end(struct catalog_snapshot *snapshot);

/* A day's life: OPEN → PURGE_INTENDED (closed to ingest) → PURGED. */
enum catalog_day_state { CATALOG_DAY_OPEN = 0, CATALOG_DAY_PURGE_INTENDED = 1, CATALOG_DAY_PURGED = 2 };
#define CATALOG_NOTE_SIZE 1024
struct catalog_day {
	int32_t day;
	enum catalog_day_state state;
	uint64_t rows;
	uint64_t hits;
	uint64_t collapsed;
	uint64_t bytes;
	uint32_t segments;
	int64_t changed_us; /* of the state; wall clock given by the caller */
	int64_t sealed_us;  /* when something was last sealed into it; 0 unknown */
	bool unjudged;      /* segments of it may hold reads that were erased or amended before */
	uint32_t note_size; /* the purge's authority and progress: the caller's bytes */
	uint8_t note[CATALOG_NOTE_SIZE];
};
/* Days with segments or a state other than OPEN, ascending. The callback may not call the catalog. */
int catalog_each_day(struct catalog *catalog, int (*each)(void *context, const struct catalog_day *day), void *context);
/* -ENOENT when nothing is known of the day (it is open). */
int catalog_day(struct catalog *catalog, int32_t day, struct catalog_day *ret_day);

/* Its segments have been looked through: not unjudged any more. Idempotent. */
int catalog_day_judged(struct catalog *catalog, int32_t day);

/* Durable intent: the day is closed. Again on an intended day: replaces the note. -EALREADY purged. -E2BIG note. */
int catalog_purge_intend(struct catalog *catalog, int32_t day, int64_t now_us, const void *note, size_t note_size);
/* Keys and files are gone: drops the day's segment rows, marks it purged, keeps counts and note. Idempotent. */
int catalog_purge_forget(struct catalog *catalog, int32_t day, int64_t now_us);

/*
 * Copies of held rows (storage/cases.h): one segment for a case and a day. Their rows are counted nowhere else.
 * catalog_case_put replaces what the case has of that day; with NULL, nothing stays. forget drops all of a case.
 */
int catalog_case_put(struct catalog *catalog, uint32_t number, int32_t day, const struct segment_summary *segment);
int catalog_case_forget(struct catalog *catalog, uint32_t number);
/* As catalog_segments, of one case. */
int catalog_case_segments(struct catalog *catalog, uint32_t number, int32_t first_day, int32_t last_day,
			  struct catalog_segment **ret_segments, size_t *ret_count);
/* As catalog_segment. */
int catalog_case_segment(struct catalog *catalog, uint32_t number, int32_t day, uint64_t id,
			 struct segment_summary *ret_summary);

/* The hit fences of every segment and every copy of held rows; stops at the first non-zero, which it returns. */
int catalog_each_hit_fence(struct catalog *catalog, int (*each)(void *context, const struct segment_hit_fence *fence),
			   void *context);

struct catalog_info {
	uint64_t segments;
	uint64_t bytes_used; /* of the environment's file */
	uint64_t map_size;
	unsigned readers_reaped; /* slots of dead processes, cleared by this call */
};
int catalog_info(struct catalog *catalog, struct catalog_info *ret_info);

#endif
