#include "storage/catalog_db.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <xxhash.h>

#include "storage/catalog_value.h"
#include "storage/lmdb_check.h"

#define MAP_SIZE_DEFAULT (UINT64_C(64) << 30)
#define READERS_MAX 256
#define VERSION 3
#define CHECKSUM_SIZE 8

static const char *const database_names[DB_COUNT] = {"segments", "journals", "lanes", "days", "meta", "cases"};

int catalog_from_mdb(int rc)
{
	switch (rc) {
	case 0:
		return 0;
	case MDB_NOTFOUND:
		return -ENOENT;
	case MDB_KEYEXIST:
		return -EEXIST;
	case MDB_MAP_FULL:
	case MDB_TXN_FULL:
		return -ENOSPC;
	case MDB_READERS_FULL:
		return -EAGAIN;
	case MDB_CORRUPTED:
	case MDB_PAGE_NOTFOUND:
	case MDB_INVALID:
	case MDB_VERSION_MISMATCH:
	case MDB_PANIC:
		return -EBADMSG;
	default:
		return rc > 0 ? -rc : -EIO;
	}
}

int catalog_change_begin(struct catalog *catalog, struct catalog_change *ret_change)
{
	*ret_change = (struct catalog_change){.catalog = catalog};
	return catalog_from_mdb(mdb_txn_begin(catalog->env, NULL, 0, &ret_change->txn));
}

static uint64_t pair_checksum(const MDB_val *key, const void *value, size_t size)
{
	return XXH3_64bits_withSeed(value, size, XXH3_64bits(key->mv_data, key->mv_size));
}

/* Takes the checksum off. */
static int value_check(const MDB_val *key, MDB_val *value)
{
	if (value->mv_size < CHECKSUM_SIZE)
		return -EBADMSG;
	value->mv_size -= CHECKSUM_SIZE;
	return le64_get((const uint8_t *)value->mv_data + value->mv_size) ==
			       pair_checksum(key, value->mv_data, value->mv_size)
		       ? 0
		       : -EBADMSG;
}

void catalog_change_put(struct catalog_change *change, enum catalog_db db, const void *key, size_t key_size,
			const void *bytes, size_t size, unsigned flags)
{
	MDB_val k = catalog_bytes(key, key_size);
	MDB_val v = catalog_bytes(NULL, size + CHECKSUM_SIZE);

	if (change->error != 0)
		return;
	change->error = mdb_put(change->txn, change->catalog->dbs[db], &k, &v, flags | MDB_RESERVE);
	if (change->error != 0)
		return;
	if (size > 0)
		memcpy(v.mv_data, bytes, size);
	le64_put((uint8_t *)v.mv_data + size, pair_checksum(&k, bytes, size));
}

int catalog_txn_get(MDB_txn *txn, MDB_dbi db, const void *key, size_t key_size, MDB_val *ret_value)
{
	MDB_val k = catalog_bytes(key, key_size);

	int r = catalog_from_mdb(mdb_get(txn, db, &k, ret_value));

	return r < 0 ? r : value_check(&k, ret_value);
}

int catalog_change_end(struct catalog_change *change, int r)
{
	uint8_t number[8];

	if (r == 0 && change->error == 0) {
		le64_put(number, mdb_txn_id(change->txn));
		catalog_change_put(change, DB_META, "commit", 6, number, sizeof(number), 0);
	}
	if (change->error != 0) /* the first one: what came behind it only met a transaction that was over */
		r = catalog_from_mdb(change->error);
	if (r != 0) {
		mdb_txn_abort(change->txn);
		return r;
	}
	return catalog_from_mdb(mdb_txn_commit(change->txn));
}

int catalog_read_begin(struct catalog *catalog, MDB_txn **ret_txn)
{
	return catalog_from_mdb(mdb_txn_begin(catalog->env, NULL, MDB_RDONLY, ret_txn));
}

int catalog_each_pair_in(struct catalog *catalog, MDB_txn *txn, enum catalog_db db, const MDB_val *first,
			 int (*each)(void *context, const MDB_val *key, const MDB_val *value), void *context)
{
	MDB_cursor *cursor;
	MDB_val key = {0}, value;
	int r = catalog_from_mdb(mdb_cursor_open(txn, catalog->dbs[db], &cursor));

	if (r < 0)
		return r;
	if (first != NULL)
		key = *first;
	r = catalog_from_mdb(mdb_cursor_get(cursor, &key, &value, first != NULL ? MDB_SET_RANGE : MDB_FIRST));
	while (r == 0) {
		r = value_check(&key, &value);
		if (r == 0)
			r = each(context, &key, &value);
		if (r == 0)
			r = catalog_from_mdb(mdb_cursor_get(cursor, &key, &value, MDB_NEXT));
		else if (r == -ENOENT)
			r = -EIO; /* an answer of `each`, not the end of the data */
	}
	mdb_cursor_close(cursor);
	return r == -ENOENT ? 0 : r;
}

int catalog_each_pair(struct catalog *catalog, enum catalog_db db,
		      int (*each)(void *context, const MDB_val *key, const MDB_val *value), void *context)
{
	MDB_txn *txn;
	int r = catalog_read_begin(catalog, &txn);

	if (r < 0)
		return r;
	r = catalog_each_pair_in(catalog, txn, db, NULL, each, context);
	mdb_txn_abort(txn);
	return r;
}

int catalog_get_totals(struct catalog *catalog, MDB_txn *txn, struct catalog_totals *ret_totals)
{
	MDB_val value;
	int r = catalog_txn_get(txn, catalog->dbs[DB_META], "totals", 6, &value);

	if (r == -ENOENT) {
		*ret_totals = (struct catalog_totals){0};
		return 0;
	}
	return r < 0 ? r : catalog_totals_decode(value.mv_data, value.mv_size, ret_totals);
}

int catalog_get_day(struct catalog *catalog, MDB_txn *txn, int32_t number, struct catalog_day *ret_day)
{
	uint8_t key[4];
	MDB_val value;
	int r;

	catalog_day_key(number, key);
	r = catalog_txn_get(txn, catalog->dbs[DB_DAYS], key, sizeof(key), &value);
	return r < 0 ? r : catalog_day_decode(number, value.mv_data, value.mv_size, ret_day);
}

static int check_version(struct catalog *catalog, MDB_txn *txn)
{
	static const uint8_t version[4] = {VERSION};
	MDB_val value;
	int r = catalog_txn_get(txn, catalog->dbs[DB_META], "version", 7, &value);

	if (r == 0 && (value.mv_size != sizeof(version) || memcmp(value.mv_data, version, sizeof(version)) != 0))
		return -EBADMSG;
	return r == -ENOENT ? -EBADMSG : r;
}

/* The commit that this snapshot shows is the one that its meta page says. */
static int check_commit(struct catalog *catalog, MDB_txn *txn)
{
	MDB_val value;
	int r = catalog_txn_get(txn, catalog->dbs[DB_META], "commit", 6, &value);

	if (r == 0 && (value.mv_size != 8 || le64_get(value.mv_data) != mdb_txn_id(txn)))
		return -EBADMSG;
	return r == -ENOENT ? -EBADMSG : r;
}

static int pair_pass(void *context, const MDB_val *key, const MDB_val *value)
{
	(void)context;
	(void)key;
	(void)value;
	return 0;
}

/* Every value bears its checksum: who reads one later need not ask what to do when it does not. */
static int check_values(struct catalog *catalog, MDB_txn *txn)
{
	int r = 0;

	for (unsigned db = 0; db < DB_COUNT && r == 0; db++)
		r = catalog_each_pair_in(catalog, txn, (enum catalog_db)db, NULL, pair_pass, NULL);
	return r;
}

/* What is there opens, in one snapshot: all databases, version, commit, values. */
static int open_existing(struct catalog *catalog)
{
	MDB_val value;
	MDB_txn *txn;
	int r = catalog_read_begin(catalog, &txn);

	if (r < 0)
		return r;
	for (unsigned i = 0; i < DB_COUNT && r == 0; i++)
		r = catalog_from_mdb(mdb_dbi_open(txn, database_names[i], 0, &catalog->dbs[i]));
	if (r == -ENOENT)
		r = -EBADMSG; /* all are made in one transaction */
	if (r == 0)
		r = check_version(catalog, txn);
	if (r == 0)
		r = check_commit(catalog, txn);
	if (r == 0)
		r = check_values(catalog, txn);
	if (r == 0) {
		r = catalog_txn_get(txn, catalog->dbs[DB_META], "new", 3, &value);
		catalog->is_new = r == 0;
		r = r == -ENOENT ? 0 : r;
	}
	/* Committing a read transaction is what makes the handles stay. */
	if (r == 0)
		return catalog_from_mdb(mdb_txn_commit(txn));
	mdb_txn_abort(txn);
	return r;
}

static int make_databases(struct catalog *catalog)
{
	static const uint8_t version[4] = {VERSION};
	struct catalog_change change;
	int r = catalog_change_begin(catalog, &change);

	if (r < 0)
		return r;
	for (unsigned i = 0; i < DB_COUNT && change.error == 0; i++)
		change.error = mdb_dbi_open(change.txn, database_names[i], MDB_CREATE, &catalog->dbs[i]);
	catalog_change_put(&change, DB_META, "version", 7, version, sizeof(version), 0);
	catalog_change_put(&change, DB_META, "new", 3, version, sizeof(version), 0);
	catalog->is_new = true;
	return catalog_change_end(&change, 0);
}

/* Nothing was ever committed: no main database yet. */
static int is_empty(struct catalog *catalog, bool *ret_empty)
{
	MDB_envinfo info;
	int r = catalog_from_mdb(mdb_env_info(catalog->env, &info));

	if (r == 0)
		*ret_empty = info.me_last_txnid == 0;
	return r;
}

static int environment_open(struct catalog *catalog, const struct catalog_options *options)
{
	unsigned flags = MDB_NOTLS | MDB_NORDAHEAD | (options->read_only ? MDB_RDONLY | MDB_NOLOCK : 0);
	bool empty = false;
	int r = catalog_from_mdb(mdb_env_create(&catalog->env));

	if (r < 0)
		return r;
	if (mdb_env_set_mapsize(catalog->env, options->map_size != 0 ? options->map_size : MAP_SIZE_DEFAULT) != 0 ||
	    mdb_env_set_maxdbs(catalog->env, DB_COUNT) != 0 || mdb_env_set_maxreaders(catalog->env, READERS_MAX) != 0)
		return -EINVAL;
	r = catalog_from_mdb(mdb_env_open(catalog->env, options->directory, flags, 0600));
	if (r == 0 && !options->read_only)
		r = catalog_from_mdb(mdb_reader_check(catalog->env, NULL)); /* slots that a killed process left */
	if (r == 0)
		r = is_empty(catalog, &empty);
	if (r < 0)
		return r;
	return empty ? options->read_only ? -ENOENT : make_databases(catalog) : open_existing(catalog);
}

/* LMDB believes whatever its file says: it is looked at first. */
static int file_ready(const struct catalog_options *options, struct err *err)
{
	int r = lmdb_check(options->directory, err);

	if (r == LMDB_ABSENT && options->read_only)
		return err_set(err, -ENOENT, "%s: there is no catalog", options->directory);
	if (r < 0)
		return r == -EBADMSG ? err_prefix(err, r, "the catalog is damaged (move it away, it is rebuilt)") : r;
	return options->read_only ? 0 : lmdb_mark_remove(options->directory);
}

int catalog_open(const struct catalog_options *options, struct err *err, struct catalog **ret_catalog)
{
	struct catalog *catalog = calloc(1, sizeof(*catalog));
	int r;

	if (catalog == NULL)
		return -ENOMEM;
	catalog->read_only = options->read_only;
	if (snprintf(catalog->directory, sizeof(catalog->directory), "%s", options->directory) >= CATALOG_PATH_SIZE) {
		r = err_set(err, -ENAMETOOLONG, "the catalog's path is too long");
		goto failed;
	}
	if (!options->read_only && mkdir(options->directory, 0700) < 0 && errno != EEXIST) {
		r = err_set(err, -errno, "%s: cannot make the catalog's directory: %s", options->directory,
			    strerror(errno));
		goto failed;
	}
	r = file_ready(options, err);
	if (r < 0)
		goto failed;
	r = environment_open(catalog, options);
	if (r < 0) {
		(void)err_set(err, r, "%s: cannot open the catalog: %s%s", options->directory, strerror(-r),
			      r == -EBADMSG ? "; move it away, it is rebuilt from the segments" : "");
		goto failed;
	}
	*ret_catalog = catalog;
	return 0;
failed:
	catalog->read_only = true; /* no mark over what could not be opened */
	catalog_free(catalog);
	return r;
}

struct catalog *catalog_free(struct catalog *catalog)
{
	if (catalog == NULL)
		return NULL;
	if (catalog->env != NULL)
		mdb_env_close(catalog->env);
	if (!catalog->read_only)
		(void)lmdb_mark_write(catalog->directory); /* without it the next open only has less to go by */
	free(catalog);
	return NULL;
}
