/*
 * gantry-fsck, the offline check of a data directory: what its files share. One thread, one run. Checking writes
 * nothing to the directory; only --rebuild-catalog and --new-master do.
 *
 * A text of damage names the file below the data directory, says what is broken and what that loses.
 */
#ifndef GANTRY_STORAGE_FSCK_H
#define GANTRY_STORAGE_FSCK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "appliance/base/read.h"
#include "storage/layout.h"

struct catalog;
struct io;
struct journal_run;
struct keyring;
struct lane_map;

/* A journal whose rows of that day stand in a segment. */
struct fsck_sealed {
	uint64_t journal_id;
	int32_t day;
};

struct fsck_options {
	const char *directory;
	const char *master;
	const char *keyring_a;
	const char *keyring_b;
	const char *dump;
	const char *new_master;
	bool rebuild_catalog;
	bool json;
};

struct fsck {
	struct fsck_options options;
	struct io *io;
	struct keyring *keyring;
	int lock_fd;
	char segments_directory[LAYOUT_PATH_SIZE];
	char journal_directory[LAYOUT_PATH_SIZE];
	FILE *report; /* for people; NULL with --json */
	FILE *dump;   /* NULL: none */
	struct json_t *damage;
	struct json_t *notes;
	struct fsck_sealed *sealed; /* sorted once the segments are through */
	size_t sealed_count;
	size_t sealed_room;
	uint64_t *journal_ids; /* of the files that have a key */
	size_t journal_id_count;
	size_t journal_id_room;
	struct lane_map *lanes; /* identities taken from journals: each once */
	uint64_t segments;
	uint64_t segment_rows;
	uint64_t segment_bytes;
	uint64_t held_rows; /* of cases, beside segment_rows */
	uint64_t journals;
	uint64_t journal_frames;
	uint64_t journal_rows; /* that are in no segment */
	uint64_t refused;      /* likewise */
	uint64_t register_entries;
	uint64_t lists;
	uint64_t purges;
	uint64_t audit_entries;
	uint64_t rows_lost; /* at least */
	uint64_t damage_count;
	int64_t start_ns; /* of the run, for the progress */
	int64_t told_ns;
};

/* fsck_report.c. Something is broken; `rows_lost` reads with it, 0 when unknown or none. */
void fsck_damage(struct fsck *fsck, const char *text, uint64_t rows_lost);
/* The same with a format. */
void fsck_damage_format(struct fsck *fsck, uint64_t rows_lost, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
/* Something worth a word that loses nothing. */
void fsck_note(struct fsck *fsck, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* To standard error, once a run takes longer than two seconds, at most once a second. */
void fsck_progress(struct fsck *fsck, const char *what, uint64_t done, uint64_t total);
void fsck_report(struct fsck *fsck);
/* Path below the data directory of a file in it: how the texts name files. */
const char *fsck_below(const struct fsck *fsck, const char *path);

/* "<data directory>/<name>" into a buffer of LAYOUT_PATH_SIZE, which is returned. */
const char *fsck_path(const struct fsck *fsck, const char *name, char *ret_path);

/* Each part of the check; 0, or < 0: could not go on. fsck_segments before fsck_journals. */
int fsck_keys(struct fsck *fsck);     /* fsck_keys.c: both copies of the keyring */
int fsck_top(struct fsck *fsck);      /* fsck_keys.c: what lies in the directory and is nobody's */
int fsck_segments(struct fsck *fsck); /* verified, rows dumped, lineage remembered */
int fsck_journals(struct fsck *fsck);
int fsck_cases(struct fsck *fsck);    /* fsck_cases.c: copies of held rows; the clock's file */
int fsck_catalog(struct fsck *fsck);  /* fsck_catalog.c: against the files; the lanes' copies */
int fsck_register(struct fsck *fsck); /* fsck_register.c: log, index, lists; purge files */
int fsck_audit(struct fsck *fsck);    /* appliance/fsck_audit.c, for the audit log's format is mgmt's */

/* --rebuild-catalog: made anew beside the old one, which is then put aside. 0 or < 0 with a text on standard error. */
int fsck_catalog_rebuild(struct fsck *fsck);

/* fsck_cases.c, for fsck_catalog: copies that the catalog knows against the files. */
int fsck_cases_known(struct fsck *fsck, struct catalog *catalog);
/* Copies of held rows of days that are purged, into a catalog that was rebuilt. < 0: as the catalog's. */
int fsck_cases_adopt(struct fsck *fsck, struct catalog *catalog, uint64_t *ret_copies);

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
