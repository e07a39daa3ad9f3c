/*
 * Five databases in one environment: segments, journals, lanes, days, meta. LMDB serialises writers by a lock of its
 * own and binds a write transaction to its thread: each changing call begins and ends one. Read transactions last as
 * long as one call. Nothing is deleted through a moving cursor: keys are collected first (0.9.24 has bugs there).
 */
#include "storage/catalog.h"

#include <errno.h>
#include <lmdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "storage/catalog_value.h"

#define MAP_SIZE_DEFAULT (UINT64_C(64) << 30)
#define READERS_MAX 256
#define VERSION 1

enum database { DB_SEGMENTS, DB_JOURNALS, DB_LANES, DB_DAYS, DB_META, DB_COUNT };
static const char *const database_names[DB_COUNT] = {"segments", "journals", "lanes", "days", "meta"};

struct catalog {
	MDB_env *env;
	MDB_dbi dbs[DB_COUNT];
};

/* A transaction with a sticky error: calls after the first failure do nothing, commit reports it. */
struct change {
	struct catalog *catalog;
	MDB_txn *txn;
	int error; /* LMDB's */
};

static int from_mdb(int rc)
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

static MDB_val value_of(const void *bytes, size_t size)
{
	return (MDB_val){size, (void *)bytes};
}

static int change_begin(struct catalog *catalog, struct change *ret_change)
{
	*ret_change = (struct change){.catalog = catalog};
	return from_mdb(mdb_txn_begin(catalog->env, NULL, 0, &ret_change->txn));
}

static void change_put(struct change *change, enum database db, const void *key, size_t key_size, const void *bytes,
		       size_t size, unsigned flags)
{
	MDB_val k = value_of(key, key_size);
	MDB_val v = value_of(bytes, size);

	if (change->error == 0)
		change->error = mdb_put(change->txn, change->catalog->dbs[db], &k, &v, flags);
}

/* 0, -ENOENT, or < 0; the value is valid until the next put. */
static int txn_get(MDB_txn *txn, MDB_dbi db, const void *key, size_t key_size, MDB_val *ret_value)
{
	MDB_val k = value_of(key, key_size);

	return from_mdb(mdb_get(txn, db, &k, ret_value));
}

/* `r` < 0 or a sticky error aborts. */
static int change_end(struct change *change, int r)
{
	if (r == 0)
		r = from_mdb(change->error);
	if (r != 0) {
		mdb_txn_abort(change->txn);
		return r;
	}
	return from_mdb(mdb_txn_commit(change->txn));
}

static int read_begin(struct catalog *catalog, MDB_txn **ret_txn)
{
	return from_mdb(mdb_txn_begin(catalog->env, NULL, MDB_RDONLY, ret_txn));
}

/* Calls `each` for the pairs from `first` on (NULL: from the beginning). Stops at the first non-zero. */
static int each_pair_in(struct catalog *catalog, MDB_txn *txn, enum database db, const MDB_val *first,
			int (*each)(void *context, const MDB_val *key, const MDB_val *value), void *context)
{
	MDB_cursor *cursor;
	MDB_val key = {0}, value;
	int r = from_mdb(mdb_cursor_open(txn, catalog->dbs[db], &cursor));

	if (r < 0)
		return r;
	if (first != NULL)
		key = *first;
	r = from_mdb(mdb_cursor_get(cursor, &key, &value, first != NULL ? MDB_SET_RANGE : MDB_FIRST));
	while (r == 0) {
		r = each(context, &key, &value);
		if (r == 0)
			r = from_mdb(mdb_cursor_get(cursor, &key, &value, MDB_NEXT));
		else if (r == -ENOENT)
			r = -EIO; /* an answer of `each`, not the end of the data */
	}
	mdb_cursor_close(cursor);
	return r == -ENOENT ? 0 : r;
}

static int each_pair(struct catalog *catalog, enum database db,
		     int (*each)(void *context, const MDB_val *key, const MDB_val *value), void *context)
{
	MDB_txn *txn;
	int r = read_begin(catalog, &txn);

	if (r < 0)
		return r;
	r = each_pair_in(catalog, txn, db, NULL, each, context);
	mdb_txn_abort(txn);
	return r;
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

static int check_version(struct change *change)
{
	static const uint8_t version[4] = {VERSION};
	MDB_val value;
	int r = txn_get(change->txn, change->catalog->dbs[DB_META], "version", 7, &value);

	if (r == -ENOENT) {
		change_put(change, DB_META, "version", 7, version, sizeof(version), 0);
		return 0;
	}
	if (r == 0 && (value.mv_size != sizeof(version) || memcmp(value.mv_data, version, sizeof(version)) != 0))
		return -EBADMSG;
	return r;
}

static int open_databases(struct catalog *catalog)
{
	struct change change;
	int r = change_begin(catalog, &change);

	if (r < 0)
		return r;
	for (unsigned i = 0; i < DB_COUNT && change.error == 0; i++)
		change.error = mdb_dbi_open(change.txn, database_names[i], MDB_CREATE, &catalog->dbs[i]);
	if (change.error == 0)
		r = check_version(&change);
	return change_end(&change, r);
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
	r = from_mdb(mdb_env_create(&catalog->env));
	if (r < 0)
		goto failed;
	if (mdb_env_set_mapsize(catalog->env, options->map_size != 0 ? options->map_size : MAP_SIZE_DEFAULT) != 0 ||
	    mdb_env_set_maxdbs(catalog->env, DB_COUNT) != 0 || mdb_env_set_maxreaders(catalog->env, READERS_MAX) != 0)
		r = -EINVAL;
	if (r == 0)
		r = from_mdb(mdb_env_open(catalog->env, options->directory, MDB_NOTLS | MDB_NORDAHEAD, 0600));
	if (r == 0)
		r = check_file(catalog, options->directory, err);
	if (r == 0)
		r = from_mdb(mdb_reader_check(catalog->env, NULL)); /* slots that a killed process left */
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

static int get_totals(struct catalog *catalog, MDB_txn *txn, struct catalog_totals *ret_totals)
{
	MDB_val value;
	int r = txn_get(txn, catalog->dbs[DB_META], "totals", 6, &value);

	if (r == -ENOENT) {
		*ret_totals = (struct catalog_totals){0};
		return 0;
	}
	return r < 0 ? r : catalog_totals_decode(value.mv_data, value.mv_size, ret_totals);
}

static int get_day(struct catalog *catalog, MDB_txn *txn, int32_t number, struct catalog_day *ret_day)
{
	uint8_t key[4];
	MDB_val value;
	int r;

	catalog_day_key(number, key);
	r = txn_get(txn, catalog->dbs[DB_DAYS], key, sizeof(key), &value);
	return r < 0 ? r : catalog_day_decode(number, value.mv_data, value.mv_size, ret_day);
}

static void put_day(struct change *change, const struct catalog_day *day)
{
	uint8_t bytes[CATALOG_DAY_SIZE_MAX];
	uint8_t key[4];

	catalog_day_key(day->day, key);
	change_put(change, DB_DAYS, key, sizeof(key), bytes, catalog_day_encode(day, bytes), 0);
}

static void put_totals(struct change *change, const struct catalog_totals *totals)
{
	uint8_t bytes[CATALOG_TOTALS_SIZE];

	catalog_totals_encode(totals, bytes);
	change_put(change, DB_META, "totals", 6, bytes, sizeof(bytes), 0);
}

/* Adds the segment's row and its counts. -EEXIST when its row is there. */
static int add_segment(struct change *change, const struct segment_summary *segment, struct catalog_totals *totals)
{
	uint8_t bytes[SEGMENT_SUMMARY_SIZE_MAX];
	uint8_t key[CATALOG_SEGMENT_KEY_SIZE];
	struct catalog_day day = {.day = segment->day};
	int r = get_day(change->catalog, change->txn, segment->day, &day);

	if (r < 0 && r != -ENOENT)
		return r;
	catalog_segment_key(segment->day, segment->id, key);
	change_put(change, DB_SEGMENTS, key, sizeof(key), bytes, segment_summary_encode(segment, bytes),
		   MDB_NOOVERWRITE);
	day.rows += segment->row_count;
	day.hits += segment->sections[SEGMENT_HITS].item_count;
	day.collapsed += segment->collapsed_count;
	day.bytes += segment->file_size;
	day.segments++;
	put_day(change, &day);
	totals->stored += segment->row_count;
	totals->hits += segment->sections[SEGMENT_HITS].item_count;
	totals->collapsed += segment->collapsed_count;
	return from_mdb(change->error);
}

static void mark_sealed(struct change *change, uint64_t journal_id, unsigned flags)
{
	uint8_t key[8];

	be64_put(key, journal_id);
	change_put(change, DB_JOURNALS, key, sizeof(key), "\1", 1, flags);
}

static void put_lanes(struct change *change, const struct catalog_lane *lanes, size_t count)
{
	uint8_t key[CATALOG_LANE_KEY_SIZE];

	for (size_t i = 0; i < count; i++) {
		catalog_lane_key(&lanes[i], key);
		change_put(change, DB_LANES, key, sizeof(key), lanes[i].bytes, lanes[i].size, 0);
	}
}

int catalog_seal(struct catalog *catalog, const struct catalog_seal *seal)
{
	struct catalog_totals totals;
	struct change change;
	int r = change_begin(catalog, &change);

	if (r < 0)
		return r;
	r = get_totals(catalog, change.txn, &totals);
	mark_sealed(&change, seal->journal_id, MDB_NOOVERWRITE);
	for (size_t i = 0; i < seal->segment_count && r == 0; i++)
		r = add_segment(&change, &seal->segments[i], &totals);
	put_lanes(&change, seal->lanes, seal->lane_count);
	for (unsigned i = 0; i < REFUSAL_COUNT; i++)
		totals.refused[i] += seal->refused[i];
	put_totals(&change, &totals);
	return change_end(&change, r);
}

int catalog_adopt(struct catalog *catalog, const struct segment_summary *segment)
{
	struct catalog_totals totals;
	struct change change;
	int r = change_begin(catalog, &change);

	if (r < 0)
		return r;
	r = get_totals(catalog, change.txn, &totals);
	if (r == 0)
		r = add_segment(&change, segment, &totals);
	if (segment->lineage_kind == SEGMENT_FROM_JOURNALS)
		for (uint32_t i = 0; i < segment->lineage_count; i++)
			mark_sealed(&change, segment->lineage[i], 0);
	put_totals(&change, &totals);
	return change_end(&change, r);
}

int catalog_put_lanes(struct catalog *catalog, const struct catalog_lane *lanes, size_t count)
{
	struct change change;
	int r = change_begin(catalog, &change);

	if (r < 0)
		return r;
	put_lanes(&change, lanes, count);
	return change_end(&change, 0);
}

int catalog_journal_sealed(struct catalog *catalog, uint64_t journal_id, bool *ret_sealed)
{
	uint8_t key[8];
	MDB_val value;
	MDB_txn *txn;
	int r = read_begin(catalog, &txn);

	if (r < 0)
		return r;
	be64_put(key, journal_id);
	r = txn_get(txn, catalog->dbs[DB_JOURNALS], key, sizeof(key), &value);
	mdb_txn_abort(txn);
	if (r < 0 && r != -ENOENT)
		return r;
	*ret_sealed = r == 0;
	return 0;
}

int catalog_journal_forget(struct catalog *catalog, uint64_t journal_id)
{
	uint8_t bytes[8];
	struct change change;
	MDB_val key;
	int r = change_begin(catalog, &change);

	if (r < 0)
		return r;
	be64_put(bytes, journal_id);
	key = value_of(bytes, sizeof(bytes));
	change.error = mdb_del(change.txn, catalog->dbs[DB_JOURNALS], &key, NULL);
	if (change.error == MDB_NOTFOUND)
		change.error = 0;
	return change_end(&change, 0);
}

int catalog_totals(struct catalog *catalog, struct catalog_totals *ret_totals)
{
	MDB_txn *txn;
	int r = read_begin(catalog, &txn);

	if (r < 0)
		return r;
	r = get_totals(catalog, txn, ret_totals);
	mdb_txn_abort(txn);
	return r;
}

struct lane_call {
	int (*each)(void *context, const struct catalog_lane *lane);
	void *context;
};

static int call_lane(void *context, const MDB_val *key, const MDB_val *value)
{
	struct lane_call *call = context;
	struct catalog_lane lane = {.bytes = value->mv_data, .size = value->mv_size};
	int r = catalog_lane_of(key->mv_data, key->mv_size, &lane);

	return r < 0 ? r : call->each(call->context, &lane);
}

int catalog_each_lane(struct catalog *catalog, int (*each)(void *context, const struct catalog_lane *lane),
		      void *context)
{
	struct lane_call call = {each, context};

	return each_pair(catalog, DB_LANES, call_lane, &call);
}

int catalog_segment(struct catalog *catalog, int32_t day, uint64_t id, struct segment_summary *ret_summary)
{
	uint8_t key[CATALOG_SEGMENT_KEY_SIZE];
	MDB_val value;
	MDB_txn *txn;
	int r = read_begin(catalog, &txn);

	if (r < 0)
		return r;
	catalog_segment_key(day, id, key);
	r = txn_get(txn, catalog->dbs[DB_SEGMENTS], key, sizeof(key), &value);
	if (r == 0)
		r = segment_summary_decode(value.mv_data, value.mv_size, NULL, ret_summary);
	mdb_txn_abort(txn);
	if (r == 0 && (ret_summary->day != day || ret_summary->id != id))
		return -EBADMSG;
	return r;
}

#define STOP 1

struct segment_gather {
	struct catalog_segment *list;
	size_t count;
	size_t room;
	int32_t last_day;
	struct segment_summary summary;
};

static int gather_segment(void *context, const MDB_val *key, const MDB_val *value)
{
	struct segment_gather *gather = context;
	const struct segment_summary *summary = &gather->summary;
	int r;

	if (key->mv_size != CATALOG_SEGMENT_KEY_SIZE)
		return -EBADMSG;
	if (catalog_day_of(key->mv_data) > gather->last_day)
		return STOP;
	r = segment_summary_decode(value->mv_data, value->mv_size, NULL, &gather->summary);
	if (r < 0)
		return r;
	if (gather->count == gather->room) {
		size_t room = gather->room == 0 ? 64 : 2 * gather->room;
		struct catalog_segment *list = realloc(gather->list, room * sizeof(*list));

		if (list == NULL)
			return -ENOMEM;
		gather->list = list;
		gather->room = room;
	}
	gather->list[gather->count++] = (struct catalog_segment){.id = summary->id,
								 .row_count = summary->row_count,
								 .file_size = summary->file_size,
								 .capture_first_us = summary->capture_first_us,
								 .capture_last_us = summary->capture_last_us,
								 .day = summary->day};
	return 0;
}

int catalog_snapshot_take(struct catalog *catalog, struct catalog_snapshot *ret_snapshot)
{
	MDB_txn *txn;
	int r = read_begin(catalog, &txn);

	if (r == 0)
		*ret_snapshot = (struct catalog_snapshot){catalog, txn};
	return r;
}

void catalog_snapshot_end(struct catalog_snapshot *snapshot)
{
	mdb_txn_abort(snapshot->txn);
	snapshot->txn = NULL;
}

int catalog_snapshot_segments(const struct catalog_snapshot *snapshot, int32_t first_day, int32_t last_day,
			      struct catalog_segment **ret_segments, size_t *ret_count)
{
	struct segment_gather *gather = calloc(1, sizeof(*gather));
	uint8_t key[CATALOG_SEGMENT_KEY_SIZE];
	MDB_val first = value_of(key, sizeof(key));
	int r;

	if (gather == NULL)
		return -ENOMEM;
	gather->last_day = last_day;
	catalog_segment_key(first_day, 0, key);
	r = each_pair_in(snapshot->catalog, snapshot->txn, DB_SEGMENTS, &first, gather_segment, gather);
	if (r < 0) {
		free(gather->list);
	} else {
		*ret_segments = gather->list;
		*ret_count = gather->count;
		r = 0;
	}
	free(gather);
	return r;
}

int catalog_segments(struct catalog *catalog, int32_t first_day, int32_t last_day,
		     struct catalog_segment **ret_segments, size_t *ret_count)
{
	struct catalog_snapshot snapshot;
	int r = catalog_snapshot_take(catalog, &snapshot);

	if (r < 0)
		return r;
	r = catalog_snapshot_segments(&snapshot, first_day, last_day, ret_segments, ret_count);
	catalog_snapshot_end(&snapshot);
	return r;
}

struct day_call {
	int (*each)(void *context, const struct catalog_day *day);
	void *context;
};

static int call_day(void *context, const MDB_val *key, const MDB_val *value)
{
	struct day_call *call = context;
	struct catalog_day day;
	int r;

	if (key->mv_size != 4)
		return -EBADMSG;
	r = catalog_day_decode(catalog_day_of(key->mv_data), value->mv_data, value->mv_size, &day);
	return r < 0 ? r : call->each(call->context, &day);
}

int catalog_each_day(struct catalog *catalog, int (*each)(void *context, const struct catalog_day *day), void *context)
{
	struct day_call call = {each, context};

	return each_pair(catalog, DB_DAYS, call_day, &call);
}

int catalog_day(struct catalog *catalog, int32_t day, struct catalog_day *ret_day)
{
	MDB_txn *txn;
	int r = read_begin(catalog, &txn);

	if (r < 0)
		return r;
	r = get_day(catalog, txn, day, ret_day);
	mdb_txn_abort(txn);
	return r;
}

int catalog_purge_intend(struct catalog *catalog, int32_t number, int64_t now_us, const void *note, size_t note_size)
{
	struct catalog_day day = {.day = number};
	struct change change;
	int r;

	if (note_size > CATALOG_NOTE_SIZE)
		return -E2BIG;
	r = change_begin(catalog, &change);
	if (r < 0)
		return r;
	r = get_day(catalog, change.txn, number, &day);
	if (r == 0 && day.state == CATALOG_DAY_PURGED)
		return change_end(&change, -EALREADY);
	day.state = CATALOG_DAY_PURGE_INTENDED;
	day.changed_us = now_us;
	day.note_size = (uint32_t)note_size;
	if (note_size > 0)
		memcpy(day.note, note, note_size);
	put_day(&change, &day);
	return change_end(&change, r == -ENOENT ? 0 : r);
}

static int delete_segments(struct change *change, int32_t day, const struct catalog_segment *segments, size_t count)
{
	uint8_t bytes[CATALOG_SEGMENT_KEY_SIZE];

	for (size_t i = 0; i < count && change->error == 0; i++) {
		MDB_val key = value_of(bytes, sizeof(bytes));

		catalog_segment_key(day, segments[i].id, bytes);
		change->error = mdb_del(change->txn, change->catalog->dbs[DB_SEGMENTS], &key, NULL);
	}
	return from_mdb(change->error);
}

int catalog_purge_forget(struct catalog *catalog, int32_t number, int64_t now_us)
{
	struct catalog_day day = {.day = number};
	struct catalog_segment *segments;
	struct change change;
	size_t count;
	int r = catalog_segments(catalog, number, number, &segments, &count);

	if (r < 0)
		return r;
	r = change_begin(catalog, &change);
	if (r < 0)
		goto out;
	r = get_day(catalog, change.txn, number, &day);
	if (r == -ENOENT)
		r = 0;
	if (r == 0)
		r = delete_segments(&change, number, segments, count);
	if (day.state != CATALOG_DAY_PURGED)
		day.changed_us = now_us;
	day.state = CATALOG_DAY_PURGED;
	put_day(&change, &day);
	r = change_end(&change, r);
out:
	free(segments);
	return r;
}

int catalog_info(struct catalog *catalog, struct catalog_info *ret_info)
{
	struct catalog_info info = {0};
	MDB_envinfo env;
	MDB_stat stat_all, stat_segments;
	MDB_txn *txn;
	int reaped = 0;
	int r = from_mdb(mdb_reader_check(catalog->env, &reaped));

	if (r == 0)
		r = read_begin(catalog, &txn);
	if (r < 0)
		return r;
	r = from_mdb(mdb_stat(txn, catalog->dbs[DB_SEGMENTS], &stat_segments));
	mdb_txn_abort(txn);
	if (r == 0)
		r = from_mdb(mdb_env_info(catalog->env, &env));
	if (r == 0)
		r = from_mdb(mdb_env_stat(catalog->env, &stat_all));
	if (r < 0)
		return r;
	info.segments = stat_segments.ms_entries;
	info.bytes_used = ((uint64_t)env.me_last_pgno + 1) * stat_all.ms_psize;
	info.map_size = env.me_mapsize;
	info.readers_reaped = (unsigned)reaped;
	*ret_info = info;
	return 0;
}
