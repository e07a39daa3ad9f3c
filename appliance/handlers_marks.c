/*
 * reads.erase, reads.restrict, reads.unrestrict. The mark is durable and in force before the call answers: in the
 * store's searches with marks_make, on the workers with the tables that are published behind it.
 */
#include "appliance/handlers.h"

#include "appliance/gantry.h"
#include "appliance/marking.h"
#include "mgmt/call.h"
#include "storage/store.h"

static void edit_answer(struct marking *marking, enum case_edit_kind kind)
{
	int result;

	if (!marking->found) {
		call_fail(marking->call, CALL_REFUSED,
			  "the case has no copy of such a read; give id, camera and capture time as a search that "
			  "quotes the "
			  "case shows them");
		return;
	}
	result = marking_edit_copy(marking, kind);
	if (result >= 0)
		call_result(marking->call, marking_answer(marking, result == 1));
}

static int set_mark(struct marking *marking, enum mark_kind kind)
{
	struct gantry *gantry = marking->gantry;
	int result = marking_look(marking);

	if (result < 0)
		return 0;
	if (marking->case_number != 0) {
		edit_answer(marking, kind == MARK_ERASED ? CASE_EDIT_ERASE : CASE_EDIT_RESTRICT);
		return 0;
	}
	if (!marking->found) {
		if (marking_was_made(marking, kind))
			call_result(marking->call, marking_answer(marking, true));
		else
			marking_fail_unknown(marking);
		return 0;
	}
	if (marking_follow(marking, NULL) < 0)
		return 0;
	pthread_mutex_lock(&gantry->change_lock);
	result = marking_make(marking, kind, marks_make);
	if (result >= 0)
		call_result(marking->call, marking_answer(marking, result == MARKS_ALREADY));
	if (result == 0)
		marking_publish(marking);
	pthread_mutex_unlock(&gantry->change_lock);
	return 0;
}

static int lift_mark(struct marking *marking)
{
	struct gantry *gantry = marking->gantry;
	struct err err = {""};
	int result = marking_look(marking);

	if (result < 0)
		return 0;
	if (marking->case_number != 0) {
		edit_answer(marking, CASE_EDIT_LIFT);
		return 0;
	}
	if (!marking->found) {
		marking_fail_unknown(marking);
		return 0;
	}
	pthread_mutex_lock(&gantry->change_lock);
	result = marks_lift(store_marks(gantry->store), &marking->read, call_peer(marking->call)->uid, &err);
	if (result < 0)
		call_fail(marking->call, CALL_FAILED, "%s", err.text);
	else
		call_result(marking->call, marking_answer(marking, result == MARKS_ALREADY));
	if (result == 0)
		marking_publish(marking);
	pthread_mutex_unlock(&gantry->change_lock);
	return 0;
}

static int act_erase(struct marking *marking)
{
	return set_mark(marking, MARK_ERASED);
}

static int act_restrict(struct marking *marking)
{
	return set_mark(marking, MARK_RESTRICTED);
}

int handle_reads_erase(struct call *call, void *gantry)
{
	return marking_run(call, gantry, act_erase);
}

int handle_reads_restrict(struct call *call, void *gantry)
{
	return marking_run(call, gantry, act_restrict);
}

int handle_reads_unrestrict(struct call *call, void *gantry)
{
	return marking_run(call, gantry, lift_mark);
}
