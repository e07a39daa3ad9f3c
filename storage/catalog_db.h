/*
 * Inside of the catalog: its environment of six databases and its transactions; the only place that knows lmdb.h.
 * Included by catalog*.c alone.
 *
 * LMDB serialises writers by a lock of its own and binds a write transaction to its thread: each changing call begins
 * and ends one. Read transactions last as long as one call, but for a snapshot. Nothing is deleted through a moving
 * cursor: keys are collected first (0.9.24 has bugs there).
 *
 * Every value is followed by XXH3-64 of its key and itself, added by catalog_change_put and checked and taken off by
 * catalog_txn_get and catalog_each_pair*: LMDB has no checksums. Each commit leaves its transaction's number in the
 * meta database, so that a meta page that names another one is found.
 */
#ifndef GANTRY_STORAGE_CATALOG_DB_H
#define GANTRY_STORAGE_CATALOG_DB_H

#include <lmdb.h>
#include <stddef.h>

#include "storage/catalog.h"

#define CATALOG_PATH_SIZE 4096

enum catalog_db { DB_SEGMENTS, DB_JOURNALS, DB_LANES, DB_DAYS, DB_META, DB_CASES, DB_COUNT };

struct catalog {
	MDB_env *env;
	MDB_dbi dbs[DB_COUNT];
	bool read_only;
	bool is_new; /* made empty at this open, or an open before that did not come to fill it */
	char directory[CATALOG_PATH_SIZE];
};

/* LMDB's code as -errno; 0 stays 0. */
int catalog_from_mdb(int rc);

static inline MDB_val catalog_bytes(const void *bytes, size_t size)
{
	return (MDB_val){size, (void *)bytes};
}

/* A transaction with a sticky error: calls after the first failure do nothing, the end reports it. */
struct catalog_change {
	struct catalog *catalog;
	MDB_txn *txn;
	int error; /* LMDB's */
};
int catalog_change_begin(struct catalog *catalog, struct catalog_change *ret_change);
void catalog_change_put(struct catalog_change *change, enum catalog_db db, const void *key, size_t key_size,
			const void *bytes, size_t size, unsigned flags);
/* Commits; with `r` < 0 or a sticky error aborts, and returns that. */
int catalog_change_end(struct catalog_change *change, int r);

int catalog_read_begin(struct catalog *catalog, MDB_txn **ret_txn);
/* 0, -ENOENT, -EBADMSG, or < 0; the value is valid until the next put. */
int catalog_txn_get(MDB_txn *txn, MDB_dbi db, const void *key, size_t key_size, MDB_val *ret_value);
/* A segment's summary, of the catalog or of a case: -EBADMSG also when it is of another segment than its key says. */
int catalog_summary_get(struct catalog *catalog, enum catalog_db db, const MDB_val *key, int32_t day, uint64_t id,
			struct segment_summary *ret_summary);
int catalog_get_totals(struct catalog *catalog, MDB_txn *txn, struct catalog_totals *ret_totals);
int catalog_get_day(struct catalog *catalog, MDB_txn *txn, int32_t number, struct catalog_day *ret_day);

/* Calls `each` for the pairs from `first` on (NULL: from the beginning). Stops at the first non-zero. */
int catalog_each_pair_in(struct catalog *catalog, MDB_txn *txn, enum catalog_db db, const MDB_val *first,
			 int (*each)(void *context, const MDB_val *key, const MDB_val *value), void *context);
/* All of them, in a transaction of its own. */
int catalog_each_pair(struct catalog *catalog, enum catalog_db db,
		      int (*each)(void *context, const MDB_val *key, const MDB_val *value), void *context);

#endif
