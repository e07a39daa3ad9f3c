#include "storage/hold_reads.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "appliance/base/bytes.h"
#include "appliance/base/clock.h"
#include "storage/hold.h"
#include "storage/hold_internal.h"
#include "storage/hold_place.h"
#include "storage/marks.h"
#include "storage/store_internal.h"

#define MORE_NAMED 8 /* after the first that is missing */

struct checking {
	struct store *store;
	const struct hold_selector *selector;
	size_t missing;
	size_t first;
	char more[MORE_NAMED * 8]; /* ", 17, 18" */
	int32_t day;               /* last one judged */
	bool day_gone;
	bool incomplete; /* of the first */
};

struct meeting {
	char wanted[SEARCH_PUBLIC_ID_SIZE];
	bool met;
};

static int read_see(void *context, const struct read *row, const char public_id[SEARCH_PUBLIC_ID_SIZE])
{
	struct meeting *meeting = context;

	(void)row;
	meeting->met = meeting->met || strcmp(public_id, meeting->wanted) == 0;
	return 0;
}

static int day_judge(struct checking *checking, int32_t day)
{
	int result;

	if (day == checking->day)
		return 0;
	result = hold_day_gone(checking->store, day);
	if (result < 0)
		return result;
	checking->day = day;
	checking->day_gone = result == 1;
	return 0;
}

static void missing_add(struct checking *checking, size_t at, bool incomplete)
{
	size_t size = strlen(checking->more);

	if (checking->missing == 0) {
		checking->first = at;
		checking->incomplete = incomplete;
	} else if (checking->missing <= MORE_NAMED) {
		(void)snprintf(checking->more + size, sizeof(checking->more) - size, "%s%zu", size > 0 ? ", " : "",
			       at + 1);
	}
	checking->missing++;
}

static int read_check(struct checking *checking, size_t at, struct err *err)
{
	const struct reg_hold_read *read = &checking->selector->reads[at];
	struct meeting meeting = {.met = false};
	bool incomplete = false;
	int result = day_judge(checking, read_day(read->capture_us));

	if (result < 0)
		return err_set(err, result, "the purges that stand: %s", strerror(-result));
	if (checking->day_gone)
		return 0;
	(void)hex_encode(read->public_id, sizeof(read->public_id), meeting.wanted);
	result = hold_place_each(checking->store, read->camera, read->capture_us, read_see, &meeting, err, &incomplete);
	if (result == 0 && !meeting.met)
		missing_add(checking, at, incomplete);
	return result;
}

/* What became of it, and what to do. */
static const char *fate(const struct checking *checking, const struct reg_hold_read *read)
{
	struct marks *marks = checking->store->marks;
	int32_t day = read_day(read->capture_us);

	if (marks_made(marks, day, read->public_id, MARK_AMENDED))
		return "has been amended: name the read that stands in its place, as a search of that camera and time "
		       "shows it";
	if (marks_made(marks, day, read->public_id, MARK_ERASED))
		return "has been erased: leave it out";
	if (checking->incomplete)
		return "was not found, but parts of its day could not be read: see status and gantry-fsck, or hold it "
		       "by camera and window";
	return "is none that is here: give id, camera and capture time as one row of a search shows them";
}

static int missing_tell(const struct checking *checking, struct err *err)
{
	const struct reg_hold_read *read = &checking->selector->reads[checking->first];
	char id[SEARCH_PUBLIC_ID_SIZE];
	char time[CLOCK_TEXT_SIZE];

	(void)hex_encode(read->public_id, sizeof(read->public_id), id);
	return err_set(err, checking->incomplete ? -EIO : -ENOENT,
		       "nothing is held: read %zu of %zu (%s, camera %u, %s) %s%s%s%s", checking->first + 1,
		       checking->selector->read_count, id, read->camera, clock_text_utc(read->capture_us, time),
		       fate(checking, read), checking->more[0] != '\0' ? "; nor are these there: " : "", checking->more,
		       checking->missing > MORE_NAMED + 1 ? " and more" : "");
}

int hold_reads_check(struct store *store, const struct hold_selector *selector, struct err *err)
{
	struct checking checking = {.store = store, .selector = selector, .day = INT32_MIN};

	for (size_t i = 0; i < selector->read_count; i++) {
		int result = read_check(&checking, i, err);

		if (result < 0)
			return result;
	}
	return checking.missing == 0 ? 0 : missing_tell(&checking, err);
}
