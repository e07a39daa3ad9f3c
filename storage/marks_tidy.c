/*
 * A day's way: what memory still holds of its marked reads is sealed, which leaves them out → under the tidy mutex the
 * segments that hold them are found, by the fences for VRM key and capture time, and rewritten without them, corrected
 * reads coming in (mark.rewritten) → the records say so, the keys of their sealed parts go (marks_done).
 *
 * Once the seal is over no further segment can hold such a read: a seal that begins later knows the mark. A crash after
 * the rewriting finds no segment that holds the reads, the corrected ones in place, and only the records left to do.
 *
 * A corrected read of a day without any segment waits, sealed in the register, for the first one.
 *
 * Segments are judged and rewritten one by one: what is damaged holds up no other. The marks whose reads may lie in a
 * damaged segment are put off, by PUT_OFF_NS, without another look at it or another key; that is told once.
 */
#include "storage/marks_tidy.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "appliance/base/bytes.h"
#include "appliance/base/clock.h"
#include "appliance/base/killpoint.h"
#include "storage/marks.h"
#include "storage/rewrite.h"
#include "storage/row.h"
#include "storage/segment_read.h"
#include "storage/store_internal.h"
#include "storage/view.h"

#define SEAL_WAIT_NS (INT64_C(10) * 1000000000)
#define PUT_OFF_NS (INT64_C(3600) * 1000000000) /* damage does not heal by itself */
#define RETRY_NS (INT64_C(60) * 1000000000)     /* a disk may */

enum stand {
	STAND_DONE,    /* in no segment */
	STAND_WAITS,   /* its corrected read waits for a segment */
	STAND_BLOCKED, /* may lie in a segment that cannot be rewritten now: at the next round */
	STAND_PUT_OFF, /* the same: not at the next round */
};

/* A mark's read lies in that segment, or may. */
struct sight {
	uint64_t segment;
	size_t todo;
};

/* One day's removal. */
struct removal {
	struct store *store;
	int32_t day;
	struct err *err;
	struct mark_set *set;
	const struct mark_day *marks;
	struct mark_todo *todos;
	size_t todo_count;
	bool *placed;       /* by todo: its corrected read stands in a segment, or needs not */
	enum stand *stands; /* by todo */
	struct sight *sights;
	size_t sight_count;
	size_t sight_room;
	int failed; /* what the first segment that is left as it is said; err has the words */
	int64_t put_off_ns;
	uint64_t parents[SEGMENT_LINEAGE_MAX]; /* to be rewritten, each by itself */
	size_t parent_count;
	bool more;         /* there are more segments to rewrite than one round takes */
	uint64_t smallest; /* segment of the day, to take corrections in; 0 none */
	uint64_t smallest_size;
	struct read *extra;
	size_t extra_count;
	struct hit *hits;
	size_t hit_count;
	struct segment_scratch scratch;
};

static bool chunk_holds(const struct removal *removal, const struct chunk *chunk)
{
	uint32_t count = atomic_load_explicit(&chunk->rows_durable, memory_order_acquire);

	for (uint32_t i = 0; i < count; i++)
		if (read_day(chunk->rows[i].capture_us) == removal->day &&
		    mark_drops(mark_find(removal->marks, &chunk->rows[i])))
			return true;
	return false;
}

/* Does memory hold one of the reads? 1 yes, 0 no, -errno. */
static int memory_holds(const struct removal *removal)
{
	struct memtable_view view;
	int holds = memtable_view_take(removal->store->memtable, &view);

	if (holds < 0)
		return holds;
	for (size_t i = 0; i < view.count && holds == 0; i++) {
		struct chunk *chunk = atomic_load_explicit(&view.generations[i]->first, memory_order_acquire);

		for (; chunk != NULL && holds == 0; chunk = atomic_load_explicit(&chunk->next, memory_order_acquire))
			holds = chunk_holds(removal, chunk);
	}
	memtable_view_release(removal->store->memtable, &view);
	return holds;
}

static int memory_seal(struct removal *removal)
{
	int result = memory_holds(removal);

	if (result > 0)
		result = store_seal_all(removal->store, SEAL_WAIT_NS);
	if (result == STORE_BUSY)
		return err_set(removal->err, -EAGAIN, "a worker does not close its journal");
	return result < 0 ? err_set(removal->err, result, "sealing: %s", strerror(-result)) : 0;
}

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

static void parent_add(struct removal *removal, uint64_t id)
{
	if (removal->parent_count > 0 && removal->parents[removal->parent_count - 1] == id)
		return;
	if (removal->parent_count == SEGMENT_LINEAGE_MAX)
		removal->more = true;
	else
		removal->parents[removal->parent_count++] = id;
}

static int sight_add(struct removal *removal, uint64_t segment, size_t todo)
{
	if (removal->sight_count == removal->sight_room) {
		size_t room = removal->sight_room * 2 + 16;
		struct sight *sights = realloc(removal->sights, room * sizeof(*sights));

		if (sights == NULL)
			return err_set(removal->err, -ENOMEM, "out of memory");
		removal->sights = sights;
		removal->sight_room = room;
	}
	removal->sights[removal->sight_count++] = (struct sight){segment, todo};
	return 0;
}

static bool is_damage(int result)
{
	return result == -EBADMSG || result == -ENOENT || result == -ENOKEY;
}

/* Failures that are of this segment, and leave the others be. */
static bool is_its_own(int result)
{
	return is_damage(result) || result == -EIO || result == -EAGAIN;
}

/* The segment stays as it is; so do the marks that were seen in it. */
static void segment_block(struct removal *removal, uint64_t segment, int why, const struct err *err)
{
	bool fresh = false;

	for (size_t i = 0; i < removal->sight_count; i++) {
		size_t todo = removal->sights[i].todo;

		if (removal->sights[i].segment != segment)
			continue;
		if (removal->stands[todo] != STAND_PUT_OFF)
			removal->stands[todo] = why == -EAGAIN ? STAND_BLOCKED : STAND_PUT_OFF;
		fresh = fresh || removal->todos[todo].until_ns == 0;
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

static bool in_range(const struct catalog_segment *which, const struct mark_todo *todo)
{
	return !todo->readable ||
	       (todo->read.capture_us >= which->capture_first_us && todo->read.capture_us <= which->capture_last_us);
}

/* Does the segment hold what the mark is after? A mark that cannot be read any more suspects every segment. */
static int todo_judge(struct removal *removal, const struct catalog_segment *which, const struct segment *segment,
		      struct segment_rows *rows, size_t at)
{
	const struct mark_todo *todo = &removal->todos[at];
	struct sighting sighting = {.marked = true};
	int result = 0;

	if (!in_range(which, todo))
		return 0;
	if (todo->readable)
		result = segment_look(removal, segment, &todo->read, rows, &sighting);
	if (result == 0 ? sighting.marked : is_its_own(result)) {
		int added = sight_add(removal, which->id, at);

		result = added < 0 ? added : result;
	}
	if (result == 0 && !removal->placed[at]) {
		result = segment_look(removal, segment, &todo->corrected, rows, &sighting);
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

	for (size_t i = 0; i < removal->todo_count; i++) {
		int result = todo_judge(removal, which, segment, rows, i);

		if (result < 0 && !is_its_own(result))
			return result;
		if (result < 0 && why == 0) {
			why = result;
			first = *removal->err;
		}
	}
	if (why < 0) {
		segment_block(removal, which->id, why, &first);
		return 0;
	}
	if (removal->sight_count > seen)
		parent_add(removal, which->id);
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

	for (size_t i = 0; result == 0 && i < removal->todo_count; i++)
		if (in_range(which, &removal->todos[i]))
			result = sight_add(removal, which->id, i);
	if (result == 0)
		segment_block(removal, which->id, why, &err);
	return result;
}

static int segment_take(struct removal *removal, const struct catalog_segment *which, struct segment_rows *rows)
{
	struct segment *segment;
	int result = view_segment_get(removal->store->views, which, removal->err, &segment);

	if (result == VIEW_PURGED)
		return err_set(removal->err, -ESTALE, "the day is being purged");
	if (result < 0)
		return is_its_own(result) ? segment_suspect(removal, which, result) : result;
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

/* Which segments have to be rewritten, and which corrected reads stand in one. */
static int segments_find(struct removal *removal)
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

/* The corrected reads that come in with this rewriting. */
static void extras_take(struct removal *removal)
{
	for (size_t i = 0; i < removal->todo_count; i++) {
		const struct mark_todo *todo = &removal->todos[i];

		if (removal->placed[i])
			continue;
		for (unsigned h = 0; h < todo->hit_count; h++) {
			removal->hits[removal->hit_count] = todo->hits[h];
			removal->hits[removal->hit_count++].row = (uint32_t)removal->extra_count;
		}
		removal->extra[removal->extra_count++] = todo->corrected;
	}
}

/* 0, or -errno of the segment. The corrected reads come in with the first that can be rewritten. */
static int segment_rewrite(struct removal *removal, uint64_t id, struct err *err)
{
	struct rewrite_rule rule = {.row = mark_rule,
				    .extra = removal->extra,
				    .extra_count = removal->extra_count,
				    .extra_hits = removal->hits,
				    .extra_hit_count = removal->hit_count,
				    .context = (void *)removal->marks};
	struct rewrite_result done;
	int result = rewrite_segments(removal->store, removal->day, &id, 1, &rule, err, &done);

	if (result == REWRITE_WAITS)
		return err_set(err, -EAGAIN, "its journal is not destroyed yet, or a search reads on");
	if (result < 0)
		return result;
	killpoint("mark.rewritten");
	removal->extra_count = 0;
	removal->hit_count = 0;
	return 0;
}

static int segments_rewrite(struct removal *removal)
{
	if (removal->parent_count == 0 && removal->extra_count > 0 && removal->smallest != 0)
		parent_add(removal, removal->smallest);
	for (size_t i = 0; i < removal->parent_count; i++) {
		struct err err = {""};
		int result = segment_rewrite(removal, removal->parents[i], &err);

		/* A commit that may have happened is brought to its end before anything else. */
		if (result < 0 && (!is_its_own(result) || removal->store->pending_rewrite != NULL)) {
			*removal->err = err;
			return result;
		}
		if (result < 0)
			segment_block(removal, removal->parents[i], result, &err);
	}
	return 0;
}

/* Where each mark stands, behind the rewriting. */
static void stands_judge(struct removal *removal)
{
	for (size_t i = 0; i < removal->todo_count; i++)
		if (removal->stands[i] == STAND_DONE && !removal->placed[i] && removal->extra_count > 0)
			removal->stands[i] = removal->failed == 0       ? STAND_WAITS
					     : removal->put_off_ns == 0 ? STAND_BLOCKED
									: STAND_PUT_OFF;
}

/* Those that stand so, at the beginning of todos from `from` on; how many. */
static size_t todos_gather(struct removal *removal, enum stand stand, size_t from)
{
	for (size_t i = from; i < removal->todo_count; i++) {
		struct mark_todo todo = removal->todos[i];

		if (removal->stands[i] != stand)
			continue;
		removal->todos[i] = removal->todos[from];
		removal->stands[i] = removal->stands[from];
		removal->todos[from] = todo;
		removal->stands[from++] = stand;
		bytes_wipe(&todo, sizeof(todo));
	}
	return from;
}

/* The records of what is done. The number done. */
static int records_write(struct removal *removal)
{
	struct marks *marks = removal->store->marks;
	size_t done = todos_gather(removal, STAND_DONE, 0);
	size_t waiting = todos_gather(removal, STAND_WAITS, done);
	size_t put_off = todos_gather(removal, STAND_PUT_OFF, waiting);
	int result;

	marks_removed(marks, removal->day, removal->todos + done, waiting - done);
	if (removal->put_off_ns != 0)
		marks_put_off(marks, removal->day, removal->todos + waiting, put_off - waiting,
			      clock_mono_ns() + removal->put_off_ns);
	if (done == 0 || removal->more)
		return 0;
	result = marks_done(marks, removal->day, removal->todos, done, removal->err);
	return result < 0 ? result : (int)done;
}

/* Erasures need no corrected read; nor does an amendment whose result has been erased or amended since. */
static int removal_begin(struct removal *removal)
{
	size_t hits = 0;

	removal->placed = calloc(removal->todo_count + 1, sizeof(*removal->placed));
	removal->extra = calloc(removal->todo_count + 1, sizeof(*removal->extra));
	for (size_t i = 0; i < removal->todo_count; i++)
		hits += removal->todos[i].hit_count;
	removal->hits = calloc(hits + 1, sizeof(*removal->hits));
	removal->stands = calloc(removal->todo_count + 1, sizeof(*removal->stands));
	if (removal->stands == NULL || removal->placed == NULL || removal->extra == NULL || removal->hits == NULL)
		return err_set(removal->err, -ENOMEM, "out of memory");
	for (size_t i = 0; i < removal->todo_count; i++)
		removal->placed[i] = removal->todos[i].kind != MARK_AMENDED || !removal->todos[i].readable ||
				     mark_drops(mark_find(removal->marks, &removal->todos[i].corrected));
	return memory_seal(removal);
}

static int removal_run(struct removal *removal)
{
	int result = removal_begin(removal);

	if (result < 0)
		return result;
	rewrite_lock(removal->store);
	result = segments_find(removal);
	if (result == 0) {
		extras_take(removal);
		result = segments_rewrite(removal);
	}
	rewrite_unlock(removal->store);
	if (result < 0)
		return result;
	stands_judge(removal);
	result = records_write(removal);
	return result < 0 || removal->failed == 0 ? result : removal->failed;
}

static void removal_fini(struct removal *removal)
{
	if (removal->todos != NULL)
		bytes_wipe(removal->todos, removal->todo_count * sizeof(*removal->todos));
	if (removal->extra != NULL)
		bytes_wipe(removal->extra, removal->todo_count * sizeof(*removal->extra));
	free(removal->todos);
	free(removal->placed);
	free(removal->stands);
	free(removal->sights);
	free(removal->extra);
	free(removal->hits);
	mark_set_release(removal->set);
}

/* Only corrected reads that wait for the day's first segment, and there is still none. */
static bool nothing_to_do(const struct removal *removal)
{
	struct catalog_day day;

	for (size_t i = 0; i < removal->todo_count; i++)
		if (!removal->todos[i].removed)
			return false;
	return catalog_day(removal->store->catalog, removal->day, &day) == -ENOENT || day.segments == 0;
}

/* Leaves out what is put off. */
static void todos_due(struct removal *removal)
{
	int64_t now_ns = clock_mono_ns();
	size_t due = 0;

	for (size_t i = 0; i < removal->todo_count; i++)
		if (removal->todos[i].until_ns <= now_ns)
			removal->todos[due++] = removal->todos[i];
	bytes_wipe(removal->todos + due, (removal->todo_count - due) * sizeof(*removal->todos));
	removal->todo_count = due;
}

/* The set is taken behind the marks: it has all of them, and maybe more, which are then dropped before their time. */
static int tidy_day(struct store *store, int32_t day, bool now, struct err *err)
{
	struct removal removal = {.store = store, .day = day, .err = err};
	int result = marks_pending(store->marks, day, &removal.todos, &removal.todo_count);

	if (result < 0)
		return err_set(err, result, "out of memory");
	if (!now)
		todos_due(&removal);
	removal.set = marks_hold(store->marks);
	removal.marks = mark_set_day(removal.set, day);
	if (removal.marks != NULL && !nothing_to_do(&removal))
		result = removal_run(&removal);
	removal_fini(&removal);
	return result;
}

/* Told once, until all is well again. */
static void lateness_judge(struct store *store, const struct err *why)
{
	struct marks_info info;
	bool late;

	marks_info(store->marks, &info);
	late = info.pending > 0 && clock_wall_us() - info.pending_since_us > MARKS_LATE_US;
	if (late && !store->removal_late)
		store_alarm(store,
			    "%llu erased or amended reads are hidden, but not physically removed within the hour: %s",
			    (unsigned long long)info.pending, why->text[0] != '\0' ? why->text : "in work");
	store->removal_late = late;
}

int marks_tidy(struct store *store, bool now, struct err *err)
{
	int64_t until_us = now ? INT64_MAX : clock_wall_us() - store->options.erase_rewrite_us;
	struct err first = {""};
	int result = 0;
	int32_t *days;
	int done = 0;
	size_t count;

	if (store->reg == NULL)
		return 0;
	if (marks_due(store->marks, until_us, &days, &count) < 0)
		return err_set(err, -ENOMEM, "out of memory");
	for (size_t i = 0; i < count; i++) {
		struct err why = {""};
		int part = tidy_day(store, days[i], now, &why);

		if (part > 0)
			done += part;
		if (part < 0 && result == 0)
			result = err_set(&first, part, "removing reads of day %d: %s", days[i], why.text);
	}
	free(days);
	lateness_judge(store, &first);
	if (result < 0)
		*err = first;
	return result < 0 ? result : done;
}
