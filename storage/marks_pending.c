#include "storage/marks_pending.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "appliance/base/clock.h"
#include "appliance/base/killpoint.h"
#include "storage/marks_internal.h"

/* The keys of marks that are done. Not before their records say so. */
static int settle(struct marks *marks)
{
	int result = marks->keys_owed ? marks_orphans_destroy(marks) : 0;

	if (result == 0)
		marks->keys_owed = false;
	return result;
}

int marks_due(struct marks *marks, int64_t until_us, int32_t **ret_days, size_t *ret_count)
{
	int64_t now_ns = until_us == INT64_MAX ? INT64_MAX : clock_mono_ns();
	size_t count = 0;
	int32_t *days;

	(void)pthread_mutex_lock(&marks->change);
	(void)settle(marks); /* what failed before; if it fails again it is tried again */
	days = calloc(marks->count + 1, sizeof(*days));
	for (size_t i = 0; days != NULL && i < marks->count; i++) {
		const struct mark *mark = &marks->all[i];

		if (mark->work != NULL && mark->made_us <= until_us && mark->work->until_ns <= now_ns &&
		    (count == 0 || days[count - 1] != mark->brief.day))
			days[count++] = mark->brief.day;
	}
	(void)pthread_mutex_unlock(&marks->change);
	if (days == NULL)
		return -ENOMEM;
	*ret_days = days;
	*ret_count = count;
	return 0;
}

static void pending_of(const struct mark *mark, struct pending_mark *ret_pending)
{
	*ret_pending = (struct pending_mark){.number = mark->number,
					     .kind = mark->brief.kind,
					     .made_us = mark->made_us,
					     .removed = mark->work->removed,
					     .until_ns = mark->work->until_ns,
					     .readable = mark->work->readable,
					     .read = mark->work->read,
					     .corrected = mark->work->corrected};
}

int marks_pending(struct marks *marks, int32_t day, struct pending_mark **ret_pending, size_t *ret_count)
{
	struct pending_mark *pending;
	size_t count = 0;
	size_t first, end;

	(void)pthread_mutex_lock(&marks->change);
	first = marks_of_day(marks, day, &end);
	for (size_t i = first; i < end; i++)
		count += marks->all[i].work != NULL;
	pending = calloc(count + 1, sizeof(*pending));
	count = 0;
	for (size_t i = first; pending != NULL && i < end; i++)
		if (marks->all[i].work != NULL)
			pending_of(&marks->all[i], &pending[count++]);
	(void)pthread_mutex_unlock(&marks->change);
	if (pending == NULL)
		return -ENOMEM;
	*ret_pending = pending;
	*ret_count = count;
	return 0;
}

static struct mark *mark_of_pending(struct marks *marks, int32_t day, const struct pending_mark *mark)
{
	size_t end;

	for (size_t i = marks_of_day(marks, day, &end); i < end; i++)
		if (marks->all[i].number == mark->number && marks->all[i].work != NULL)
			return &marks->all[i];
	return NULL;
}

/* Durable: nothing is sealed under the mark's key any more. */
static int done_note(struct marks *marks, struct mark *mark, struct err *err)
{
	struct mark done = *mark;
	int result;

	done.work = NULL;
	done.key = 0;
	result = mark_record_write(marks, &done, 0, err);
	if (result < 0)
		return result;
	mark_work_free(mark->work);
	*mark = done;
	return 0;
}

static int done_locked(struct marks *marks, int32_t day, const struct pending_mark *pending, size_t count,
		       struct err *err)
{
	int result = 0;
	int settled;

	for (size_t i = 0; result == 0 && i < count; i++) {
		struct mark *mark = mark_of_pending(marks, day, &pending[i]);

		if (mark != NULL) /* else its day has been purged meanwhile */
			result = done_note(marks, mark, err);
		marks->keys_owed = marks->keys_owed || (mark != NULL && result == 0);
	}
	killpoint("mark.noted");
	settled = marks_publish(marks);
	if (settled == 0)
		settled = settle(marks);
	return result == 0 && settled < 0 ? err_set(err, settled, "marks that are done: %s", strerror(-settled))
					  : result;
}

int marks_done(struct marks *marks, int32_t day, const struct pending_mark *pending, size_t count, struct err *err)
{
	int result;

	(void)pthread_mutex_lock(&marks->change);
	result = done_locked(marks, day, pending, count, err);
	(void)pthread_mutex_unlock(&marks->change);
	return result;
}

void marks_removed(struct marks *marks, int32_t day, const struct pending_mark *pending, size_t count)
{
	(void)pthread_mutex_lock(&marks->change);
	for (size_t i = 0; i < count; i++) {
		struct mark *mark = mark_of_pending(marks, day, &pending[i]);

		if (mark != NULL)
			mark->work->removed = true;
	}
	(void)pthread_mutex_unlock(&marks->change);
}

void marks_put_off(struct marks *marks, int32_t day, const struct pending_mark *pending, size_t count, int64_t until_ns)
{
	(void)pthread_mutex_lock(&marks->change);
	for (size_t i = 0; i < count; i++) {
		struct mark *mark = mark_of_pending(marks, day, &pending[i]);

		if (mark != NULL)
			mark->work->until_ns = until_ns;
	}
	(void)pthread_mutex_unlock(&marks->change);
}
