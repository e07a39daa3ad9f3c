/* The database of held copies: (case, day, segment id) → summary, as the segments' own. */
#include "storage/catalog.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "storage/catalog_db.h"
#include "storage/catalog_gather.h"
#include "storage/catalog_value.h"

#define KEY_CASE_SIZE (4 + CATALOG_SEGMENT_KEY_SIZE)

static void case_key_make(uint32_t number, int32_t day, uint64_t id, uint8_t key[KEY_CASE_SIZE])
{
	be32_put(key, number);
	catalog_segment_key(day, id, key + 4);
}

static int case_wanted(const struct catalog_wanted *wanted, const MDB_val *key)
{
	const uint8_t *bytes = key->mv_data;

	if (key->mv_size != KEY_CASE_SIZE)
		return -EBADMSG;
	return be32_get(bytes) != wanted->case_number || catalog_day_of(bytes + 4) > wanted->last_day
		       ? CATALOG_GATHER_STOP
		       : 0;
}

static int gather_in(struct catalog *catalog, MDB_txn *txn, uint32_t number, int32_t first_day, int32_t last_day,
		     struct catalog_segment **ret_segments, size_t *ret_count)
{
	struct catalog_wanted wanted = {.case_number = number, .last_day = last_day};
	uint8_t key[KEY_CASE_SIZE];
	MDB_val first = catalog_bytes(key, sizeof(key));

	case_key_make(number, first_day, 0, key);
	return catalog_gather(catalog, txn, DB_CASES, &first, case_wanted, &wanted, ret_segments, ret_count);
}

int catalog_case_segments(struct catalog *catalog, uint32_t number, int32_t first_day, int32_t last_day,
			  struct catalog_segment **ret_segments, size_t *ret_count)
{
	MDB_txn *txn;
	int r = catalog_read_begin(catalog, &txn);

	if (r < 0)
		return r;
	r = gather_in(catalog, txn, number, first_day, last_day, ret_segments, ret_count);
	mdb_txn_abort(txn);
	return r;
}

int catalog_case_segment(struct catalog *catalog, uint32_t number, int32_t day, uint64_t id,
			 struct segment_summary *ret_summary)
{
	uint8_t bytes[KEY_CASE_SIZE];
	MDB_val key = catalog_bytes(bytes, sizeof(bytes));

	case_key_make(number, day, id, bytes);
	return catalog_summary_get(catalog, DB_CASES, &key, day, id, ret_summary);
}

/* Drops the case's rows of these days; keys are gathered first, for nothing is deleted through a moving cursor. */
static int drop(struct catalog_change *change, uint32_t number, int32_t first_day, int32_t last_day)
{
	struct catalog_segment *segments = NULL;
	uint8_t bytes[KEY_CASE_SIZE];
	size_t count = 0;
	int r = gather_in(change->catalog, change->txn, number, first_day, last_day, &segments, &count);

	for (size_t i = 0; r == 0 && i < count; i++) {
		MDB_val key = catalog_bytes(bytes, sizeof(bytes));

		case_key_make(number, segments[i].day, segments[i].id, bytes);
		r = catalog_from_mdb(mdb_del(change->txn, change->catalog->dbs[DB_CASES], &key, NULL));
	}
	free(segments);
	return r;
}

int catalog_case_put(struct catalog *catalog, uint32_t number, int32_t day, const struct segment_summary *segment)
{
	uint8_t bytes[SEGMENT_SUMMARY_SIZE_MAX];
	uint8_t key[KEY_CASE_SIZE];
	struct catalog_change change;
	int r = catalog_change_begin(catalog, &change);

	if (r < 0)
		return r;
	r = drop(&change, number, day, day);
	if (r == 0 && segment != NULL) {
		case_key_make(number, day, segment->id, key);
		catalog_change_put(&change, DB_CASES, key, sizeof(key), bytes, segment_summary_encode(segment, bytes),
				   0);
	}
	return catalog_change_end(&change, r);
}

int catalog_case_forget(struct catalog *catalog, uint32_t number)
{
	struct catalog_change change;
	int r = catalog_change_begin(catalog, &change);

	return r < 0 ? r : catalog_change_end(&change, drop(&change, number, INT32_MIN, INT32_MAX));
}
