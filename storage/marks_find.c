/*
 * Looks for what is to go by the fences for VRM key and capture time. A segment of which a page cannot be read blocks
 * the marks that may lie in it, and no other segment.
 */
#include "storage/marks_removal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "appliance/base/array.h"
#include "appliance/base/bytes.h"
#include "storage/row.h"
#include "storage/store_internal.h"
#include "storage/view.h"

#define PUT_OFF_NS (INT64_C(3600) * 1000000000) /* damage does not heal by itself */
#define RETRY_NS (INT64_C(60) * 1000000000)     /* a disk may */

/* What a row of a segment, with the key and time that are looked for, says. */
struct sighting {
	bool marked; /* a row that must go */
	bool same;   /* the very row of `like` */
};

static int segment_look(struct removal *removal, const struct segment *segment, const struct read *like,
			struct segment_rows *rows, struct sighting *ret_sighting)
{
	uint32_t pages = segment_summary(segment)->sections[SEGMENT_ROWS].page_count;
	struct sighting sighting = {false, false};
	uint32_t page;
	int result = segment_find(segment, &removal->scratch, SEGMENT_ROWS, like->key, removal->err, &page);

	for (; result == 0 && page < pages; page++) {
		result = segment_read_rows(segment, &removal->scratch, page, removal->err, rows);
		for (uint32_t i = 0; result == 0 && i < rows->count; i++) {
			const struct read *row = &rows->rows[i];
			int order = memcmp(row->key, like->key, READ_TEXT_SIZE);

			if (order > 0 || (order == 0 && row->capture_us > like->capture_us)) {
				*ret_sighting = sighting;
				return 0;
			}
			if (order < 0 || row->capture_us < like->capture_us)
				continue;
			sighting.marked = sighting.marked || mark_drops(mark_find(removal->marks, row));
			sighting.same = sighting.same || row_compare(row, like) == 0;
		}
	}
	if (result == 0)
		*ret_sighting = sighting;
	return result;
}

void removal_add_parent(struct removal *removal, uint64_t id)
{
	if (removal->parent_count > 0 && removal->parents[removal->parent_count - 1] == id)
		return;
	if (removal->parent_count == SEGMENT_LINEAGE_MAX)
		removal->more = true;
	else
		removal->parents[removal->parent_count++] = id;
}

static int sight_add(struct removal *removal, uint64_t segment, size_t mark)
{
	struct sight *sights = array_grow(removal->sights, removal->sight_count, &removal->sight_room, sizeof(*sights));

	if (sights == NULL)
		return err_set(removal->err, -ENOMEM, "out of memory");
	removal->sights = sights;
	removal->sights[removal->sight_count++] = (struct sight){segment, mark};
	return 0;
}

static bool is_damage(int result)
{
	return result == -EBADMSG || result == -ENOENT || result == -ENOKEY;
}

bool removal_goes_on(int result)
{
	return is_damage(result) || result == -EIO || result == -EAGAIN;
}

void removal_block(struct removal *removal, uint64_t segment, int why, const struct err *err)
{
	bool fresh = false;

	for (size_t i = 0; i < removal->sight_count; i++) {
		size_t mark = removal->sights[i].mark;

		if (removal->sights[i].segment != segment)
			continue;
		if (removal->stands[mark] != STAND_PUT_OFF)
			removal->stands[mark] = why == -EAGAIN ? STAND_BLOCKED : STAND_PUT_OFF;
		fresh = fresh || removal->pending[mark].until_ns == 0;
	}
	if (is_damage(why) && fresh)
		store_damage(removal->store,
			     "day %d, segment %016llx is damaged: erased or amended reads in it stay hidden, but "
			     "cannot be removed: %s",
			     removal->day, (unsigned long long)segment, err->text);
	if (is_damage(why) || (why == -EIO && removal->put_off_ns == 0))
		removal->put_off_ns = is_damage(why) ? PUT_OFF_NS : RETRY_NS;
	if (removal->failed == 0)
		removal->failed =
			err_set(removal->err, why, "segment %016llx: %s", (unsigned long long)segment, err->text);
}

static bool in_range(const struct catalog_segment *which, const struct pending_mark *mark)
{
	return !mark->readable ||
	       (mark->read.capture_us >= which->capture_first_us && mark->read.capture_us <= which->capture_last_us);
}

/* Does the segment hold what the mark is after? A mark that cannot be read any more suspects every segment. */
static int mark_judge(struct removal *removal, const struct catalog_segment *which, const struct segment *segment,
		      struct segment_rows *rows, size_t at)
{
	const struct pending_mark *mark = &removal->pending[at];
	struct sighting sighting = {.marked = true};
	int result = 0;

	if (!in_range(which, mark))
		return 0;
	if (mark->readable)
		result = segment_look(removal, segment, &mark->read, rows, &sighting);
	if (result == 0 ? sighting.marked : removal_goes_on(result)) {
		int added = sight_add(removal, which->id, at);

		result = added < 0 ? added : result;
	}
	if (result == 0 && !removal->placed[at]) {
		result = segment_look(removal, segment, &mark->corrected, rows, &sighting);
		removal->placed[at] = result == 0 && sighting.same;
	}
	return result;
}

/* 0, also when the segment is blocked, or -errno: then nothing more can be said of the day. */
static int segment_judge(struct removal *removal, const struct catalog_segment *which, const struct segment *segment,
			 struct segment_rows *rows)
{
	size_t seen = removal->sight_count;
	struct err first = {""};
	int why = 0;

	for (size_t i = 0; i < removal->pending_count; i++) {
		int result = mark_judge(removal, which, segment, rows, i);

		if (result < 0 && !removal_goes_on(result))
			return result;
		if (result < 0 && why == 0) {
			why = result;
			first = *removal->err;
		}
	}
	if (why < 0) {
		removal_block(removal, which->id, why, &first);
		return 0;
	}
	if (removal->sight_count > seen)
		removal_add_parent(removal, which->id);
	if (removal->smallest == 0 || which->file_size < removal->smallest_size) {
		removal->smallest = which->id;
		removal->smallest_size = which->file_size;
	}
	return 0;
}

/* It cannot even be opened. */
static int segment_suspect(struct removal *removal, const struct catalog_segment *which, int why)
{
	struct err err = *removal->err;
	int result = 0;

	for (size_t i = 0; result == 0 && i < removal->pending_count; i++)
		if (in_range(which, &removal->pending[i]))
			result = sight_add(removal, which->id, i);
	if (result == 0)
		removal_block(removal, which->id, why, &err);
	return result;
}

static int segment_take(struct removal *removal, const struct catalog_segment *which, struct segment_rows *rows)
{
	struct segment *segment;
	int result = view_segment_get(removal->store->views, which, removal->err, &segment);

	if (result == VIEW_PURGED)
		return err_set(removal->err, -ESTALE, "the day is being purged");
	if (result < 0)
		return removal_goes_on(result) ? segment_suspect(removal, which, result) : result;
	result = segment_judge(removal, which, segment, rows);
	view_segment_put(removal->store->views, segment);
	return result;
}

static int segments_judge(struct removal *removal, const struct view *view)
{
	struct segment_rows *rows = malloc(sizeof(*rows));
	int result = rows != NULL ? 0 : err_set(removal->err, -ENOMEM, "out of memory");

	for (size_t i = 0; result == 0 && i < view->segment_count; i++)
		result = segment_take(removal, &view->segments[i], rows);
	if (rows != NULL)
		bytes_wipe(rows, sizeof(*rows));
	free(rows);
	return result;
}

int removal_find(struct removal *removal)
{
	struct view view;
	int result = view_take(removal->store->views, removal->day, removal->day, &view);

	if (result < 0)
		return err_set(removal->err, result, "looking for it: %s", strerror(-result));
	result = segments_judge(removal, &view);
	view_release(&view);
	segment_scratch_fini(&removal->scratch);
	return result;
}
