/*
 * gantry-fsck, the offline check of a data directory: what its files share. One thread, one run, nothing is written to
 * the directory (but a keyring copy that keyring_open mends).
 */
#ifndef GANTRY_STORAGE_FSCK_H
#define GANTRY_STORAGE_FSCK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "appliance/base/read.h"

struct io;
struct journal_run;
struct keyring;
struct lane_map;

/* A journal whose rows of that day stand in a segment. */
struct fsck_sealed {
	uint64_t journal_id;
	int32_t day;
};

struct fsck {
	struct io *io;
	struct keyring *keyring;
	char segments_directory[4096];
	char journal_directory[4096];
	FILE *report; /* for people; NULL with --json */
	FILE *dump;   /* NULL: none */
	struct json_t *damage;
	struct json_t *notes;
	struct fsck_sealed *sealed; /* sorted once the segments are through */
	size_t sealed_count;
	size_t sealed_room;
	struct lane_map *lanes; /* identities taken from journals: each once */
	uint64_t segments;
	uint64_t segment_rows;
	uint64_t segment_bytes;
	uint64_t journals;
	uint64_t journal_frames;
	uint64_t journal_rows; /* that are in no segment */
	uint64_t refused;      /* likewise */
	uint64_t rows_lost;    /* at least */
	uint64_t damage_count;
};

/* Something is broken; `rows_lost` reads with it, 0 when unknown or none. */
void fsck_damage(struct fsck *fsck, const char *text, uint64_t rows_lost);
/* Something worth a word that loses nothing. */
void fsck_note(struct fsck *fsck, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Every segment: verified, its rows dumped, its lineage remembered. Then every journal. 0, or < 0: could not go on. */
int fsck_segments(struct fsck *fsck);
int fsck_journals(struct fsck *fsck);

bool fsck_is_sealed(const struct fsck *fsck, uint64_t journal_id, int32_t day);
bool fsck_is_sealed_at_all(const struct fsck *fsck, uint64_t journal_id);

/* A directory's names in byte order; the caller frees each and the list. A missing directory is empty. */
int fsck_list(struct io *io, const char *directory, char ***ret_names, size_t *ret_count);
void fsck_list_free(char **names, size_t count);

/* One line; `where` is 's' or 'j', id of the segment or journal. Does nothing without --dump. */
void fsck_dump_row(struct fsck *fsck, char where, uint64_t id, const struct read *row);
void fsck_dump_refused(struct fsck *fsck, uint64_t id, const struct run *run, int64_t receipt_us);
extern const char fsck_dump_format[]; /* for --help */

#endif
