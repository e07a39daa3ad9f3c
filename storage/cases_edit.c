#include "storage/cases_edit.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "appliance/base/bytes.h"
#include "appliance/base/killpoint.h"
#include "appliance/base/digest.h"
#include "storage/cases.h"
#include "storage/catalog.h"
#include "storage/rewrite.h"
#include "storage/rewrite_stream.h"
#include "storage/row.h"
#include "storage/segment_build.h"
#include "storage/store_internal.h"

/* Beside 0 and errors. */
enum { NO_SUCH_ROW = 1, NO_ROW_LEFT = 2 };

struct editing {
	struct store *store;
	const struct case_edit *edit;
	struct err *err;
	uint32_t number;
	int32_t day;
	const struct segment_summary *old;
	struct segment_summary *fresh;
	char directory[CASE_DIRECTORY_SIZE];
	uint64_t met;
};

static bool is_meant(const struct editing *editing, const struct read *row)
{
	const struct read *read = editing->edit->read;

	return memcmp(row->key, read->key, READ_TEXT_SIZE) == 0 &&
	       (row_equal(row, read) || row_compare(row, read) == 0);
}

static int edit_row(void *context, const struct read *row)
{
	struct editing *editing = context;

	if (!is_meant(editing, row))
		return 0;
	editing->met++;
	return editing->edit->kind == CASE_EDIT_ERASE || editing->edit->kind == CASE_EDIT_AMEND;
}

static void edit_flag(void *context, struct read *row)
{
	const struct editing *editing = context;

	if (!is_meant(editing, row))
		return;
	if (editing->edit->kind == CASE_EDIT_RESTRICT)
		row->flags |= READ_FLAG_RESTRICTED;
	else
		row->flags &= (uint16_t)~READ_FLAG_RESTRICTED;
}

static int rows_write(struct editing *editing, struct segment_build *build)
{
	const struct case_edit *edit = editing->edit;
	struct key_id old_key = case_key(editing->number, editing->old->id);
	struct rewrite_rule rule = {.row = edit_row,
				    .flag = edit_flag,
				    .extra = edit->corrected,
				    .extra_count = edit->kind == CASE_EDIT_AMEND,
				    .context = editing};
	struct rewrite_stream stream = {.io = editing->store->io,
					.keyring = editing->store->keyring,
					.directory = editing->directory,
					.segments = editing->old,
					.segment_count = 1,
					.key = &old_key,
					.rule = &rule};
	int result = rewrite_stream_run(&stream, build, editing->err);

	if (result < 0)
		return result;
	if (editing->met == 0)
		return NO_SUCH_ROW;
	return stream.rows_kept > 0 ? segment_build_finish(build, editing->err, editing->fresh) : NO_ROW_LEFT;
}

/* The new segment under its own key. 0; NO_SUCH_ROW; NO_ROW_LEFT; else nothing is there. */
static int segment_write_anew(struct editing *editing, uint64_t id)
{
	struct store *store = editing->store;
	struct key_change change = {.id = case_key(editing->number, id)};
	struct segment_origin origin = {.id = id,
					.day = editing->day,
					.key_version = editing->old->key_version,
					.lineage_kind = SEGMENT_FROM_SEGMENTS,
					.lineage = &editing->old->id,
					.lineage_count = 1};
	struct segment_build *build = NULL;
	uint8_t key[KEY_SIZE];
	int result = keyring_change(store->keyring, &change, 1);

	if (result == 0)
		result = keyring_get(store->keyring, change.id, key);
	if (result < 0)
		return err_set(editing->err, result, "keyring: %s; nothing was changed", strerror(-result));
	killpoint("case.keyed");
	result = segment_build_new(store->io, editing->directory, key, &origin, editing->err, &build);
	bytes_wipe(key, sizeof(key));
	if (result == 0)
		result = rows_write(editing, build);
	segment_build_free(build);
	if (result == 0) {
		killpoint("case.written");
		return 0;
	}
	change.destroy = true;
	if (keyring_change(store->keyring, &change, 1) < 0 && result > 0)
		return err_set(editing->err, -EIO, "a key that nothing is sealed under could not be destroyed");
	return result;
}

static int copy_edit(struct editing *editing)
{
	struct store *store = editing->store;
	uint64_t id;
	int result;

	random_bytes(&id, sizeof(id));
	result = segment_write_anew(editing, id);
	if (result < 0 || result == NO_SUCH_ROW)
		return result;
	result = catalog_case_put(store->catalog, editing->number, editing->day, result == 0 ? editing->fresh : NULL);
	if (result == 0) {
		killpoint("case.committed");
		result = case_others_remove(store, editing->number, editing->day, id);
	}
	return result < 0 ? err_set(editing->err, result, "copy of case %u: %s", editing->number, strerror(-result))
			  : 0;
}

/* A case has one copy of a day; NO_SUCH_ROW: none. */
static int copy_find(struct editing *editing, struct segment_summary *ret_summary)
{
	struct catalog_segment *segments = NULL;
	size_t count = 0;
	int result = catalog_case_segments(editing->store->catalog, editing->number, editing->day, editing->day,
					   &segments, &count);

	if (result == 0 && count > 0)
		result = catalog_case_segment(editing->store->catalog, editing->number, editing->day, segments[0].id,
					      ret_summary);
	free(segments);
	if (result < 0)
		return err_set(editing->err, result, "copy of case %u: %s", editing->number, strerror(-result));
	return count > 0 ? 0 : NO_SUCH_ROW;
}

int case_edit(struct store *store, uint32_t number, const struct case_edit *edit, struct err *err)
{
	struct segment_summary *summaries = calloc(2, sizeof(*summaries));
	struct editing editing = {
		.store = store, .edit = edit, .err = err, .number = number, .day = read_day(edit->read->capture_us)};
	int result;

	if (summaries == NULL)
		return err_set(err, -ENOMEM, "out of memory");
	(void)case_directory(store->cases_directory, number, editing.directory);
	editing.old = &summaries[0];
	editing.fresh = &summaries[1];
	pthread_mutex_lock(&store->hold_mutex);
	/* Until the day's keys are gone the day has the read, and a copy is provisional. */
	if (!keyring_day_destroyed(store->keyring, editing.day))
		result = NO_SUCH_ROW;
	else
		result = copy_find(&editing, &summaries[0]);
	if (result == 0)
		result = copy_edit(&editing);
	pthread_mutex_unlock(&store->hold_mutex);
	free(summaries);
	return result;
}
