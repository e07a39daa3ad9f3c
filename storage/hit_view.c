#include "storage/hit_view.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "appliance/base/bytes.h"
#include "storage/mark_set.h"
#include "storage/marks.h"
#include "storage/store_internal.h"

static int view_begin(struct store *store, struct err *err, struct hit_view *view)
{
	const char *why;

	*view = (struct hit_view){.store = store, .err = err, .day = INT32_MIN};
	if (store_register(store, &why) == NULL)
		return err_set(err, -EIO, "the register is incomplete, so no hit is given: %s", why);
	return 0;
}

/* `result` is what taking the view says. */
static int view_finish(struct store *store, int result, struct err *err, struct hit_view *view)
{
	if (result < 0)
		return err_set(err, result == -ENOMEM ? result : -EIO, "looking for hits: %s", strerror(-result));
	/* Behind the view, which pins what they made go: so nothing that was marked by now is given. */
	view->marks = marks_hold(store->marks);
	return 0;
}

int hit_view_take(struct store *store, uint64_t after, uint64_t upto, struct err *err, struct hit_view *ret_view)
{
	struct hit_view view;
	int r = view_begin(store, err, &view);

	if (r == 0)
		r = view_finish(store, view_take_hits(store->views, after, upto, &view.view), err, &view);
	if (r == 0)
		*ret_view = view;
	return r;
}

int hit_view_take_days(struct store *store, int32_t first_day, int32_t last_day, struct err *err,
		       struct hit_view *ret_view)
{
	struct hit_view view;
	int r = view_begin(store, err, &view);

	if (r == 0)
		r = view_finish(store, view_take(store->views, first_day, last_day, &view.view), err, &view);
	if (r == 0)
		*ret_view = view;
	return r;
}

static void segment_leave(struct hit_view *view)
{
	if (view->segment != NULL)
		view_segment_put(view->view.views, view->segment);
	view->segment = NULL;
	view->rows_set = false;
}

void hit_view_release(struct hit_view *view)
{
	segment_leave(view);
	segment_scratch_fini(&view->scratch);
	if (view->rows != NULL)
		bytes_wipe(view->rows, sizeof(*view->rows));
	free(view->rows);
	mark_set_release(view->marks);
	view_release(&view->view);
}

/*
 * The device gives nothing: for a moment perhaps, and who asks again gets it. One that does so all the time, however
 * often it is asked, has lost it; it is asked at least so often that a pause between two failures is a recovery.
 */
static bool may_recover(struct store *store)
{
	int64_t now_ns = store->clock.mono_ns(store->clock.context);
	bool may;

	(void)pthread_mutex_lock(&store->status_mutex);
	if (store->unread_last_ns == 0 || now_ns - store->unread_last_ns > HIT_VIEW_PATIENCE_NS)
		store->unread_since_ns = now_ns;
	store->unread_last_ns = now_ns;
	may = now_ns - store->unread_since_ns < HIT_VIEW_PATIENCE_NS;
	(void)pthread_mutex_unlock(&store->status_mutex);
	return may;
}

/* As the device says it, a bad sector (ENODATA) too: past the page cache all of them come through. */
static bool is_device_error(int result)
{
	return result == -EIO || result == -ENODATA || result == -EILSEQ || result == -EREMOTEIO ||
	       result == -ENOLINK || result == -ETIMEDOUT;
}

/* What may be passed over is; what another try may give ends the call, lest a hit be passed over for good. */
static int damage(struct hit_view *view, int result, const struct err *err)
{
	bool lost = result == -EBADMSG || result == -ENOTSUP || result == -ENOENT || result == -ENOKEY;

	if (result == -ENOMEM)
		return result;
	if (is_device_error(result))
		lost = view->fault != NULL || !may_recover(view->store);
	if (!lost)
		return err_set(view->err, -EIO, "hits: %s", err->text[0] != '\0' ? err->text : strerror(-result));
	store_damage_met(view->store, err->text);
	if (view->fault != NULL)
		view->fault(view->fault_context, err);
	return HIT_VIEW_LOST;
}

static int segment_enter(struct hit_view *view, uint32_t number)
{
	struct err err = {""};
	int r;

	if (view->segment != NULL && view->segment_number == number)
		return 0;
	segment_leave(view);
	r = view_segment_get(view->view.views, &view->view.segments[number], &err, &view->segment);
	if (r == 0) {
		view->segment_number = number;
		return 0;
	}
	view->segment = NULL;
	return r == VIEW_PURGED ? HIT_VIEW_LOST : damage(view, r, &err);
}

int hit_view_each(struct hit_view *view, uint32_t segment,
		  int (*each)(void *context, uint32_t segment, const struct hit *hit), void *context)
{
	struct segment_hits hits;
	uint32_t pages;
	int r;

	if (view->view.segments[segment].hit_count == 0)
		return 0;
	r = segment_enter(view, segment);
	if (r != 0)
		return r == HIT_VIEW_LOST ? 0 : r;
	pages = segment_summary(view->segment)->sections[SEGMENT_HITS].page_count;
	for (uint32_t page = 0; page < pages && r == 0; page++) {
		struct err err = {""};

		r = segment_read_hits(view->segment, &view->scratch, page, &err, &hits);
		if (r < 0) {
			r = damage(view, r, &err);
			r = r == HIT_VIEW_LOST ? 0 : r;
			continue;
		}
		for (uint32_t i = 0; i < hits.count && r == 0; i++)
			r = each(context, segment, &hits.hits[i]);
	}
	return r;
}

static int page_enter(struct hit_view *view, uint32_t page)
{
	struct err err = {""};
	int r;

	if (view->rows_set && view->page == page)
		return view->rows_lost ? HIT_VIEW_LOST : 0;
	if (view->rows == NULL)
		view->rows = malloc(sizeof(*view->rows));
	if (view->rows == NULL)
		return -ENOMEM;
	r = segment_read_rows(view->segment, &view->scratch, page, &err, view->rows);
	if (r < 0)
		r = damage(view, r, &err);
	view->rows_set = r >= 0;
	view->rows_lost = r == HIT_VIEW_LOST;
	view->page = page;
	return r;
}

int hit_view_row(struct hit_view *view, uint32_t segment, uint32_t row, const struct read **ret_read)
{
	int r = segment_enter(view, segment);

	if (r == 0)
		r = page_enter(view, row / SEGMENT_PAGE_ROWS);
	if (r == 0)
		*ret_read = &view->rows->rows[row - view->rows->first];
	return r;
}

int hit_view_first_row(struct hit_view *view, uint32_t segment, const uint8_t key[READ_TEXT_SIZE], uint32_t *ret_row)
{
	struct err err = {""};
	uint32_t page;
	int r = segment_enter(view, segment);

	if (r == 0) {
		r = segment_find(view->segment, &view->scratch, SEGMENT_ROWS, key, &err, &page);
		if (r == 0)
			*ret_row = page * SEGMENT_PAGE_ROWS;
		else
			r = damage(view, r, &err);
	}
	return r == HIT_VIEW_LOST ? 0 : r;
}

bool hit_view_hides(struct hit_view *view, const struct read *read, bool restricted_wanted)
{
	int32_t day = read_day(read->capture_us);
	enum mark_kind mark;

	if (view->day != day) {
		view->day = day;
		view->marks_day = mark_set_day(view->marks, day);
	}
	mark = mark_find(view->marks_day, read);
	if (mark_drops(mark))
		return true;
	return !restricted_wanted && (mark == MARK_RESTRICTED || (read->flags & READ_FLAG_RESTRICTED) != 0);
}
