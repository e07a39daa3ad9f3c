/* What the catalog is asked; catalog_change.c changes it, catalog_db.c is its access to LMDB. */
#include "storage/catalog.h"

#include <errno.h>
#include <stdlib.h>

#include "storage/catalog_db.h"
#include "storage/catalog_gather.h"
#include "storage/catalog_value.h"

int catalog_journal_sealed(struct catalog *catalog, uint64_t journal_id, bool *ret_sealed)
{
	uint8_t key[8];
	MDB_val value;
	MDB_txn *txn;
	int r = catalog_read_begin(catalog, &txn);

	if (r < 0)
		return r;
	be64_put(key, journal_id);
	r = catalog_txn_get(txn, catalog->dbs[DB_JOURNALS], key, sizeof(key), &value);
	mdb_txn_abort(txn);
	if (r < 0 && r != -ENOENT)
		return r;
	*ret_sealed = r == 0;
	return 0;
}

int catalog_totals(struct catalog *catalog, struct catalog_totals *ret_totals)
{
	MDB_txn *txn;
	int r = catalog_read_begin(catalog, &txn);

	if (r < 0)
		return r;
	r = catalog_get_totals(catalog, txn, ret_totals);
	mdb_txn_abort(txn);
	return r;
}

bool catalog_is_new(const struct catalog *catalog)
{
	return catalog->is_new;
}

struct journal_call {
	int (*each)(void *context, uint64_t journal_id);
	void *context;
};

static int call_journal(void *context, const MDB_val *key, const MDB_val *value)
{
	const struct journal_call *call = context;

	(void)value;
	return key->mv_size == 8 ? call->each(call->context, be64_get(key->mv_data)) : -EBADMSG;
}

int catalog_each_journal(struct catalog *catalog, int (*each)(void *context, uint64_t journal_id), void *context)
{
	struct journal_call call = {each, context};

	return catalog_each_pair(catalog, DB_JOURNALS, call_journal, &call);
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

	return catalog_each_pair(catalog, DB_LANES, call_lane, &call);
}

int catalog_summary_get(struct catalog *catalog, enum catalog_db db, const MDB_val *key, int32_t day, uint64_t id,
			struct segment_summary *ret_summary)
{
	MDB_val value;
	MDB_txn *txn;
	int r = catalog_read_begin(catalog, &txn);

	if (r < 0)
		return r;
	r = catalog_txn_get(txn, catalog->dbs[db], key->mv_data, key->mv_size, &value);
	if (r == 0)
		r = segment_summary_decode(value.mv_data, value.mv_size, NULL, ret_summary);
	mdb_txn_abort(txn);
	if (r == 0 && (ret_summary->day != day || ret_summary->id != id))
		return -EBADMSG;
	return r;
}

int catalog_segment(struct catalog *catalog, int32_t day, uint64_t id, struct segment_summary *ret_summary)
{
	uint8_t bytes[CATALOG_SEGMENT_KEY_SIZE];
	MDB_val key = catalog_bytes(bytes, sizeof(bytes));

	catalog_segment_key(day, id, bytes);
	return catalog_summary_get(catalog, DB_SEGMENTS, &key, day, id, ret_summary);
}

static int segment_wanted(const struct catalog_wanted *wanted, const MDB_val *key)
{
	if (key->mv_size != CATALOG_SEGMENT_KEY_SIZE)
		return -EBADMSG;
	return catalog_day_of(key->mv_data) > wanted->last_day ? CATALOG_GATHER_STOP : 0;
}

int catalog_snapshot_take(struct catalog *catalog, struct catalog_snapshot *ret_snapshot)
{
	MDB_txn *txn;
	int r = catalog_read_begin(catalog, &txn);

	if (r == 0)
		*ret_snapshot = (struct catalog_snapshot){catalog, txn};
	return r;
}

void catalog_snapshot_end(struct catalog_snapshot *snapshot)
{
	mdb_txn_abort(snapshot->txn);
	snapshot->txn = NULL;
}

int catalog_snapshot_segments(const struct catalog_snapshot *snapshot, const struct catalog_choice *choice,
			      struct catalog_segment **ret_segments, size_t *ret_count)
{
	struct catalog_wanted wanted = {.last_day = choice->last_day, .choice = choice};
	uint8_t key[CATALOG_SEGMENT_KEY_SIZE];
	MDB_val first = catalog_bytes(key, sizeof(key));

	catalog_segment_key(choice->first_day, 0, key);
	return catalog_gather(snapshot->catalog, snapshot->txn, DB_SEGMENTS, &first, segment_wanted, &wanted,
			      ret_segments, ret_count);
}

int catalog_segments(struct catalog *catalog, int32_t first_day, int32_t last_day,
		     struct catalog_segment **ret_segments, size_t *ret_count)
{
	struct catalog_choice choice = {.first_day = first_day, .last_day = last_day};
	struct catalog_snapshot snapshot;
	int r = catalog_snapshot_take(catalog, &snapshot);

	if (r < 0)
		return r;
	r = catalog_snapshot_segments(&snapshot, &choice, ret_segments, ret_count);
	catalog_snapshot_end(&snapshot);
	return r;
}

struct fence_call {
	int (*each)(void *context, const struct segment_hit_fence *fence);
	void *context;
	struct segment_summary summary; /* large: kept off the stack */
};

static int call_fences(void *context, const MDB_val *key, const MDB_val *value)
{
	struct fence_call *call = context;
	int r = segment_summary_decode(value->mv_data, value->mv_size, NULL, &call->summary);

	(void)key;
	for (uint32_t i = 0; r == 0 && i < call->summary.hit_fence_count; i++)
		r = call->each(call->context, &call->summary.hit_fences[i]);
	return r;
}

int catalog_each_hit_fence(struct catalog *catalog, int (*each)(void *context, const struct segment_hit_fence *fence),
			   void *context)
{
	struct fence_call *call = malloc(sizeof(*call));
	int r;

	if (call == NULL)
		return -ENOMEM;
	call->each = each;
	call->context = context;
	r = catalog_each_pair(catalog, DB_SEGMENTS, call_fences, call);
	if (r == 0)
		r = catalog_each_pair(catalog, DB_CASES, call_fences, call);
	free(call);
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

	return catalog_each_pair(catalog, DB_DAYS, call_day, &call);
}

int catalog_day(struct catalog *catalog, int32_t day, struct catalog_day *ret_day)
{
	MDB_txn *txn;
	int r = catalog_read_begin(catalog, &txn);

	if (r < 0)
		return r;
	r = catalog_get_day(catalog, txn, day, ret_day);
	mdb_txn_abort(txn);
	return r;
}

int catalog_info(struct catalog *catalog, struct catalog_info *ret_info)
{
	struct catalog_info info = {0};
	MDB_envinfo env;
	MDB_stat stat_all, stat_segments;
	MDB_txn *txn;
	int reaped = 0;
	int r = catalog_from_mdb(mdb_reader_check(catalog->env, &reaped));

	if (r == 0)
		r = catalog_read_begin(catalog, &txn);
	if (r < 0)
		return r;
	r = catalog_from_mdb(mdb_stat(txn, catalog->dbs[DB_SEGMENTS], &stat_segments));
	mdb_txn_abort(txn);
	if (r == 0)
		r = catalog_from_mdb(mdb_env_info(catalog->env, &env));
	if (r == 0)
		r = catalog_from_mdb(mdb_env_stat(catalog->env, &stat_all));
	if (r < 0)
		return r;
	info.segments = stat_segments.ms_entries;
	info.bytes_used = ((uint64_t)env.me_last_pgno + 1) * stat_all.ms_psize;
	info.map_size = env.me_mapsize;
	info.readers_reaped = (unsigned)reaped;
	*ret_info = info;
	return 0;
}
