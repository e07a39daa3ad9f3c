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

/*
 * Adds the segment's row and its counts. `sealed_us` 0: nothing new came into its day. `unjudged`: its day is. -EEXIST
 * when its row is there.
 */
static int add_segment(struct catalog_change *change, const struct segment_summary *segment, int64_t sealed_us,
		       bool unjudged, struct catalog_totals *totals)
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
	if (sealed_us != 0)
		day.sealed_us = sealed_us;
	day.unjudged = day.unjudged || unjudged;
	put_day(change, &day);
	totals->stored += segment->row_count;
	totals->hits += segment->sections[SEGMENT_HITS].item_count;
	totals->collapsed += segment->collapsed_count;
	return catalog_from_mdb(change->error);
}

/* Is its row there? */
static int find_segment(struct catalog_change *change, const struct segment_summary *segment)
{
	uint8_t key[CATALOG_SEGMENT_KEY_SIZE];
	MDB_val value;

	catalog_segment_key(segment->day, segment->id, key);
	return catalog_txn_get(change->txn, change->catalog->dbs[DB_SEGMENTS], key, sizeof(key), &value);
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
		r = add_segment(&change, &seal->segments[i], seal->now_us, seal->unjudged, &totals);
	put_lanes(&change, seal->lanes, seal->lane_count);
	for (unsigned i = 0; i < REFUSAL_COUNT; i++)
		totals.refused[i] += seal->refused[i];
	totals.erased += seal->erased;
	put_totals(&change, &totals);
	return catalog_change_end(&change, r);
}

/* Takes one parent's row out and its counts off. */
static int remove_segment(struct catalog_change *change, struct segment_summary *summary, uint64_t id,
			  struct catalog_day *day, struct catalog_totals *totals)
{
	uint8_t bytes[CATALOG_SEGMENT_KEY_SIZE];
	MDB_val key = catalog_bytes(bytes, sizeof(bytes));
	MDB_val value;
	int r;

	catalog_segment_key(day->day, id, bytes);
	r = catalog_txn_get(change->txn, change->catalog->dbs[DB_SEGMENTS], bytes, sizeof(bytes), &value);
	if (r == 0)
		r = segment_summary_decode(value.mv_data, value.mv_size, NULL, summary);
	if (r < 0)
		return r;
	day->rows -= summary->row_count;
	day->hits -= summary->sections[SEGMENT_HITS].item_count;
	day->bytes -= summary->file_size;
	day->segments--;
	totals->stored -= summary->row_count;
	totals->hits -= summary->sections[SEGMENT_HITS].item_count;
	totals->erased += summary->row_count;
	return catalog_from_mdb(mdb_del(change->txn, change->catalog->dbs[DB_SEGMENTS], &key, NULL));
}

static int delete_day(struct catalog_change *change, int32_t number)
{
	uint8_t bytes[4];
	MDB_val key = catalog_bytes(bytes, sizeof(bytes));

	catalog_day_key(number, bytes);
	return catalog_from_mdb(mdb_del(change->txn, change->catalog->dbs[DB_DAYS], &key, NULL));
}

static int replace_segments(struct catalog_change *change, const struct catalog_replace *replace,
			    struct segment_summary *scratch, struct catalog_totals *totals)
{
	struct catalog_day day;
	int r = catalog_get_day(change->catalog, change->txn, replace->day, &day);

	if (r == 0 && day.state != CATALOG_DAY_OPEN)
		return -ESTALE;
	for (size_t i = 0; i < replace->parent_count && r == 0; i++)
		r = remove_segment(change, scratch, replace->parents[i], &day, totals);
	if (r < 0)
		return r;
	if (day.segments == 0 && replace->child == NULL)
		return delete_day(change, day.day);
	put_day(change, &day);
	if (replace->child == NULL)
		return 0;
	totals->erased -= replace->child->row_count + replace->child->collapsed_count;
	return add_segment(change, replace->child, 0, false, totals);
}

int catalog_replace(struct catalog *catalog, const struct catalog_replace *replace)
{
	struct segment_summary *scratch = malloc(sizeof(*scratch));
	struct catalog_totals totals;
	struct catalog_change change;
	int r;

	if (scratch == NULL)
		return -ENOMEM;
	r = catalog_change_begin(catalog, &change);
	if (r < 0)
		goto out;
	if (replace->child != NULL) {
		r = find_segment(&change, replace->child);
		r = r == 0 ? -EEXIST : r == -ENOENT ? 0 : r;
	}
	if (r == 0)
		r = catalog_get_totals(catalog, change.txn, &totals);
	if (r == 0)
		r = replace_segments(&change, replace, scratch, &totals);
	if (r == 0)
		put_totals(&change, &totals);
	r = catalog_change_end(&change, r);
out:
	free(scratch);
	return r;
}

/* Adds the segments, each with the marks of its journals. */
static int restore_segments(struct catalog_change *change, const struct catalog_restore *restore,
			    struct catalog_totals *totals)
{
	int r = 0;

	for (size_t i = 0; i < restore->segment_count && r == 0; i++) {
		const struct segment_summary *segment = restore->segments[i];

		r = add_segment(change, segment, 0, true, totals); /* how they were sealed stood in the one lost */
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
	for (size_t i = 0; i < restore->purged_count; i++) {
		put_day(&change, &restore->purged[i]);
		totals.stored += restore->purged[i].rows;
	}
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

int catalog_day_judged(struct catalog *catalog, int32_t number)
{
	struct catalog_day day;
	struct catalog_change change;
	int r = catalog_change_begin(catalog, &change);

	if (r < 0)
		return r;
	r = catalog_get_day(catalog, change.txn, number, &day);
	if (r == 0) {
		day.unjudged = false;
		put_day(&change, &day);
	}
	return catalog_change_end(&change, r == -ENOENT ? 0 : r);
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
