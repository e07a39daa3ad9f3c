/*
 * A store that the suite fills by itself: opened without threads or traffic, its segments written straight by storage's
 * own writer and committed to its catalog, as the sealer does with a journal's rows.
 *
 * suite_store_seal may be called by several threads at once; open and close by one.
 */
#ifndef GANTRY_BENCH_SUITE_STORE_H
#define GANTRY_BENCH_SUITE_STORE_H

#include <stddef.h>
#include <stdint.h>

#include "appliance/base/err.h"
#include "appliance/base/read.h"

struct catalog;
struct io;
struct keyring;
struct segment_summary;
struct store;
struct views;

#define SUITE_STORE_DIRECTORY "store"
#define SUITE_STORE_MASTER "master.key"

struct suite_store {
	struct io *io;
	struct store *store;
	char segments[512]; /* directory */
};

/* Below `room`: made when missing, else as it was left. */
int suite_store_open(struct suite_store *store, const char *room, struct err *err);
void suite_store_close(struct suite_store *store);

/* New keys for `count` segments of the days days[i]; ids are made up. One durable change of the keyring. */
int suite_store_keys(struct suite_store *store, const int32_t *days, size_t count, uint64_t *ret_ids, struct err *err);

/* Writes the rows, all of that day, as one segment and commits it. `seconds` spent in the writer are added up. */
int suite_store_seal(struct suite_store *store, int32_t day, uint64_t id, const struct read *rows, size_t count,
		     struct err *err, struct segment_summary *ret_summary, double *seconds);

/*
 * Merges those of the day's segments whose ids are not 0 into one, as the tidier does with a quiet day. *ret_seconds
 * until the parents are gone.
 */
int suite_store_merge(struct suite_store *store, int32_t day, const uint64_t *ids, size_t count, struct err *err,
		      double *ret_seconds);

/*
 * The same directory, for searching alone: keyring, catalog and views without the store around them, hence without its
 * recovery, which would look at every file first. Nobody else may have the store open.
 */
struct suite_reader {
	struct io *io;
	struct keyring *keyring;
	struct catalog *catalog;
	struct views *views;
};
int suite_reader_open(struct suite_reader *reader, const char *room, struct err *err);
void suite_reader_close(struct suite_reader *reader);

#endif
