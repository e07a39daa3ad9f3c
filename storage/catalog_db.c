#include "storage/catalog_db.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "storage/catalog_value.h"

#define MAP_SIZE_DEFAULT (UINT64_C(64) << 30)
#define READERS_MAX 256
#define VERSION 1

static const char *const database_names[DB_COUNT] = {"segments", "journals", "lanes", "days", "meta"};

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

void catalog_change_put(struct catalog_change *change, enum catalog_db db, const void *key, size_t key_size,
			const void *bytes, size_t size, unsigned flags)
{
	MDB_val k = catalog_bytes(key, key_size);
	MDB_val v = catalog_bytes(bytes, size);

	if (change->error == 0)
		change->error = mdb_put(change->txn, change->catalog->dbs[db], &k, &v, flags);
}

int catalog_txn_get(MDB_txn *txn, MDB_dbi db, const void *key, size_t key_size, MDB_val *ret_value)
{
	MDB_val k = catalog_bytes(key, key_size);

	return catalog_from_mdb(mdb_get(txn, db, &k, ret_value));
}

int catalog_change_end(struct catalog_change *change, int r)
{
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

/* A map that reaches beyond the end of its file would be a SIGBUS at the first touch. */
static int check_file(struct catalog *catalog, const char *directory, struct err *err)
{
	char path[4096];
	MDB_envinfo info;
	struct stat status;
	MDB_stat stat_env;

	if (mdb_env_info(catalog->env, &info) != 0 || mdb_env_stat(catalog->env, &stat_env) != 0 ||
	    snprintf(path, sizeof(path), "%s/data.mdb", directory) >= (int)sizeof(path) || stat(path, &status) < 0)
		return err_set(err, -EIO, "%s: cannot look at the catalog's file", directory);
	if (info.me_last_txnid > 0 && (uint64_t)status.st_size < ((uint64_t)info.me_last_pgno + 1) * stat_env.ms_psize)
		return err_set(err, -EBADMSG, "%s: the catalog's file is cut short; move it away, it is rebuilt",
			       directory);
	return 0;
}

static int check_version(struct catalog_change *change)
{
	static const uint8_t version[4] = {VERSION};
	MDB_val value;
	int r = catalog_txn_get(change->txn, change->catalog->dbs[DB_META], "version", 7, &value);

	if (r == -ENOENT) {
		catalog_change_put(change, DB_META, "version", 7, version, sizeof(version), 0);
		return 0;
	}
	if (r == 0 && (value.mv_size != sizeof(version) || memcmp(value.mv_data, version, sizeof(version)) != 0))
		return -EBADMSG;
	return r;
}

static int open_databases(struct catalog *catalog)
{
	struct catalog_change change;
	int r = catalog_change_begin(catalog, &change);

	if (r < 0)
		return r;
	for (unsigned i = 0; i < DB_COUNT && change.error == 0; i++)
		change.error = mdb_dbi_open(change.txn, database_names[i], MDB_CREATE, &catalog->dbs[i]);
	if (change.error == 0)
		r = check_version(&change);
	return catalog_change_end(&change, r);
}

int catalog_open(const struct catalog_options *options, struct err *err, struct catalog **ret_catalog)
{
	struct catalog *catalog = calloc(1, sizeof(*catalog));
	int r;

	if (catalog == NULL)
		return -ENOMEM;
	if (mkdir(options->directory, 0700) < 0 && errno != EEXIST) {
		r = err_set(err, -errno, "%s: cannot make the catalog's directory: %s", options->directory,
			    strerror(errno));
		goto failed;
	}
	r = catalog_from_mdb(mdb_env_create(&catalog->env));
	if (r < 0)
		goto failed;
	if (mdb_env_set_mapsize(catalog->env, options->map_size != 0 ? options->map_size : MAP_SIZE_DEFAULT) != 0 ||
	    mdb_env_set_maxdbs(catalog->env, DB_COUNT) != 0 || mdb_env_set_maxreaders(catalog->env, READERS_MAX) != 0)
		r = -EINVAL;
	if (r == 0)
		r = catalog_from_mdb(mdb_env_open(catalog->env, options->directory, MDB_NOTLS | MDB_NORDAHEAD, 0600));
	if (r == 0)
		r = check_file(catalog, options->directory, err);
	if (r == 0)
		r = catalog_from_mdb(mdb_reader_check(catalog->env, NULL)); /* slots that a killed process left */
	if (r == 0)
		r = open_databases(catalog);
	if (r < 0) {
		(void)err_set(err, r, "%s: cannot open the catalog: %s%s", options->directory, strerror(-r),
			      r == -EBADMSG ? "; move it away, it is rebuilt from the segments" : "");
		goto failed;
	}
	*ret_catalog = catalog;
	return 0;
failed:
	catalog_free(catalog);
	return r;
}

struct catalog *catalog_free(struct catalog *catalog)
{
	if (catalog == NULL)
		return NULL;
	if (catalog->env != NULL)
		mdb_env_close(catalog->env);
	free(catalog);
	return NULL;
}
