/* The changing calls: each is one transaction. */
#include "storage/catalog.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "storage/catalog_db.h"
#include "storage/catalog_value.h"

static void put_day(struct catalog_change *change, const struct catalog_day *day)
{
	uint8_t bytes[CATALOG_DAY_SIZE_MAX];
	uint8_t key[4];

	catalog_day_key(day->day, key);
	catalog_change_put(change, DB_DAYS, key, sizeof(key), bytes, catalog_day_encode(day, bytes), 0);
}

static void put_totals(struct catalog_change *change, const struct catalog_totals *totals)
{
	uint8_t bytes[CATALOG_TOTALS_SIZE];

	catalog_totals_encode(totals, bytes);
	catalog_change_put(change, DB_META, "totals", 6, bytes, sizeof(bytes), 0);
}

/* Adds the segment's row and its counts. -EEXIST when its row is there. */
static int add_segment(struct catalog_change *change, const struct segment_summary *segment,
		       struct catalog_totals *totals)
{
	uint8_t bytes[SEGMENT_SUMMARY_SIZE_MAX];
	uint8_t key[CATALOG_SEGMENT_KEY_SIZE];
	struct catalog_day day = {.day = segment->day};
	int r = catalog_get_day(change->catalog, change->txn, segment->day, &day);

	if (r < 0 && r != -ENOENT)
		return r;
	catalog_segment_key(segment->day, segment->id, key);
	catalog_change_put(change, DB_SEGMENTS, key, sizeof(key), bytes, segment_summary_encode(segment, bytes),
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
	return catalog_from_mdb(change->error);
}

static void mark_sealed(struct catalog_change *change, uint64_t journal_id, unsigned flags)
{
	uint8_t key[8];

	be64_put(key, journal_id);
	catalog_change_put(change, DB_JOURNALS, key, sizeof(key), "\1", 1, flags);
}

static void put_lanes(struct catalog_change *change, const struct catalog_lane *lanes, size_t count)
{
	uint8_t key[CATALOG_LANE_KEY_SIZE];

	for (size_t i = 0; i < count; i++) {
		catalog_lane_key(&lanes[i], key);
		catalog_change_put(change, DB_LANES, key, sizeof(key), lanes[i].bytes, lanes[i].size, 0);
	}
}

int catalog_seal(struct catalog *catalog, const struct catalog_seal *seal)
{
	struct catalog_totals totals;
	struct catalog_change change;
	int r = catalog_change_begin(catalog, &change);

	if (r < 0)
		return r;
	r = catalog_get_totals(catalog, change.txn, &totals);
	mark_sealed(&change, seal->journal_id, MDB_NOOVERWRITE);
	for (size_t i = 0; i < seal->segment_count && r == 0; i++)
		r = add_segment(&change, &seal->segments[i], &totals);
	put_lanes(&change, seal->lanes, seal->lane_count);
	for (unsigned i = 0; i < REFUSAL_COUNT; i++)
		totals.refused[i] += seal->refused[i];
	put_totals(&change, &totals);
	return catalog_change_end(&change, r);
}

int catalog_adopt(struct catalog *catalog, const struct segment_summary *segment)
{
	struct catalog_totals totals;
	struct catalog_change change;
	int r = catalog_change_begin(catalog, &change);

	if (r < 0)
		return r;
	r = catalog_get_totals(catalog, change.txn, &totals);
	if (r == 0)
		r = add_segment(&change, segment, &totals);
	if (segment->lineage_kind == SEGMENT_FROM_JOURNALS)
		for (uint32_t i = 0; i < segment->lineage_count; i++)
			mark_sealed(&change, segment->lineage[i], 0);
	put_totals(&change, &totals);
	return catalog_change_end(&change, r);
}

/* Adds the segments, each with the marks of its journals. */
static int restore_segments(struct catalog_change *change, const struct catalog_restore *restore,
			    struct catalog_totals *totals)
{
	int r = 0;

	for (size_t i = 0; i < restore->segment_count && r == 0; i++) {
		const struct segment_summary *segment = restore->segments[i];

		r = add_segment(change, segment, totals);
		if (segment->lineage_kind == SEGMENT_FROM_JOURNALS)
			for (uint32_t j = 0; j < segment->lineage_count; j++)
				mark_sealed(change, segment->lineage[j], 0);
	}
	return r;
}

int catalog_restore(struct catalog *catalog, const struct catalog_restore *restore)
{
	struct catalog_totals totals = {0};
	struct catalog_change change;
	MDB_val key = catalog_bytes("new", 3);
	int r;

	if (!catalog->is_new)
		return -EEXIST;
	r = catalog_change_begin(catalog, &change);
	if (r < 0)
		return r;
	r = restore_segments(&change, restore, &totals);
	for (size_t i = 0; i < restore->journal_count; i++)
		mark_sealed(&change, restore->journals[i], 0);
	put_lanes(&change, restore->lanes, restore->lane_count);
	put_totals(&change, restore->totals != NULL ? restore->totals : &totals);
	if (change.error == 0)
		change.error = mdb_del(change.txn, catalog->dbs[DB_META], &key, NULL);
	r = catalog_change_end(&change, r);
	if (r == 0)
		catalog->is_new = false;
	return r;
}

int catalog_journal_forget(struct catalog *catalog, uint64_t journal_id)
{
	uint8_t bytes[8];
	struct catalog_change change;
	MDB_val key;
	int r = catalog_change_begin(catalog, &change);

	if (r < 0)
		return r;
	be64_put(bytes, journal_id);
	key = catalog_bytes(bytes, sizeof(bytes));
	change.error = mdb_del(change.txn, catalog->dbs[DB_JOURNALS], &key, NULL);
	if (change.error == MDB_NOTFOUND)
		change.error = 0;
	return catalog_change_end(&change, 0);
}

int catalog_purge_intend(struct catalog *catalog, int32_t number, int64_t now_us, const void *note, size_t note_size)
{
	struct catalog_day day = {.day = number};
	struct catalog_change change;
	int r;

	if (note_size > CATALOG_NOTE_SIZE)
		return -E2BIG;
	r = catalog_change_begin(catalog, &change);
	if (r < 0)
		return r;
	r = catalog_get_day(catalog, change.txn, number, &day);
	if (r == 0 && day.state == CATALOG_DAY_PURGED)
		return catalog_change_end(&change, -EALREADY);
	day.state = CATALOG_DAY_PURGE_INTENDED;
	day.changed_us = now_us;
	day.note_size = (uint32_t)note_size;
	if (note_size > 0)
		memcpy(day.note, note, note_size);
	put_day(&change, &day);
	return catalog_change_end(&change, r == -ENOENT ? 0 : r);
}

static int delete_segments(struct catalog_change *change, int32_t day, const struct catalog_segment *segments,
			   size_t count)
{
	uint8_t bytes[CATALOG_SEGMENT_KEY_SIZE];

	for (size_t i = 0; i < count && change->error == 0; i++) {
		MDB_val key = catalog_bytes(bytes, sizeof(bytes));

		catalog_segment_key(day, segments[i].id, bytes);
		change->error = mdb_del(change->txn, change->catalog->dbs[DB_SEGMENTS], &key, NULL);
	}
	return catalog_from_mdb(change->error);
}

int catalog_purge_forget(struct catalog *catalog, int32_t number, int64_t now_us)
{
	struct catalog_day day = {.day = number};
	struct catalog_segment *segments;
	struct catalog_change change;
	size_t count;
	int r = catalog_segments(catalog, number, number, &segments, &count);

	if (r < 0)
		return r;
	r = catalog_change_begin(catalog, &change);
	if (r < 0)
		goto out;
	r = catalog_get_day(catalog, change.txn, number, &day);
	if (r == -ENOENT)
		r = 0;
	if (r == 0)
		r = delete_segments(&change, number, segments, count);
	if (day.state != CATALOG_DAY_PURGED)
		day.changed_us = now_us;
	day.state = CATALOG_DAY_PURGED;
	put_day(&change, &day);
	r = catalog_change_end(&change, r);
out:
	free(segments);
	return r;
}
