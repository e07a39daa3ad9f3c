/*
 * reads.erase, reads.restrict, reads.unrestrict, reads.amend: a read is named by its public id together with camera and
 * capture time, which find it. The mark is durable and in force before the call answers: in the store's searches with
 * marks_make, on the workers with the tables that are published behind it.
 */
#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "appliance/attendant.h"
#include "appliance/base/bytes.h"
#include "appliance/base/clock.h"
#include "appliance/change.h"
#include "appliance/gantry.h"
#include "appliance/handlers.h"
#include "appliance/read_query.h"
#include "appliance/tables.h"
#include "matcher/matchset.h"
#include "matcher/vrm.h"
#include "mgmt/call.h"
#include "storage/cases_edit.h"
#include "storage/hold.h"
#include "storage/hold_follow.h"
#include "storage/marks.h"
#include "storage/search.h"
#include "storage/store.h"

/* One call. The reads in it are personal data: the whole is wiped. */
struct marking {
	struct call *call;
	struct gantry *gantry;
	uint32_t case_number; /* not 0: of that case's copy, for the read's day is gone */
	char id[SEARCH_PUBLIC_ID_SIZE];
	uint32_t camera;
	int64_t capture_us;
	bool found;
	struct read read;
	/* of an amendment */
	uint8_t text[READ_TEXT_SIZE];
	uint8_t key[READ_TEXT_SIZE];
	struct hit hits[MARKS_HITS_MAX];
	size_t hit_count;
	bool hits_more;
	struct read corrected;
	bool corrected_found;
	bool corrected_exact; /* else only its text is looked at: it was corrected by an earlier call */
	char corrected_id[SEARCH_PUBLIC_ID_SIZE];
	json_t *held_by; /* cases that held it; NULL: not asked */
	struct search_result result;
};

static bool is_corrected(const struct marking *marking, const struct read *read)
{
	if ((read->flags & READ_FLAG_AMENDED) == 0 || memcmp(read->text, marking->text, READ_TEXT_SIZE) != 0)
		return false;
	return !marking->corrected_exact ||
	       (read->zero[0] == marking->corrected.zero[0] && read->feed == marking->corrected.feed &&
		read->epoch == marking->corrected.epoch && read->receipt_us == marking->corrected.receipt_us);
}

static int look_row(void *context, const struct read *read, const char public_id[SEARCH_PUBLIC_ID_SIZE])
{
	struct marking *marking = context;

	if (strcmp(public_id, marking->id) == 0) {
		marking->found = true;
		marking->read = *read;
	}
	if (is_corrected(marking, read)) {
		marking->corrected_found = true;
		memcpy(marking->corrected_id, public_id, sizeof(marking->corrected_id));
	}
	return 0;
}

/* R34 holds for marks too: what no search shows any more is not looked at either, but for what a case holds. */
static int check_age(const struct marking *marking)
{
	struct read_window_rules rules = read_query_rules(marking->gantry);
	struct read_window_ask ask = {.has_to = true, .to_us = marking->capture_us + 1};
	struct read_window window;
	struct err err = {""};
	int result = read_window_set(&rules, &ask, &err, &window);

	if (result < 0)
		call_fail(marking->call, CALL_REFUSED, "%s", err.text);
	return result;
}

/* All reads of that camera at that microsecond. 0, or -errno with the call failed. */
static int look(struct marking *marking)
{
	struct search_query query = {.case_number = marking->case_number,
				     .from_us = marking->capture_us,
				     .to_us = marking->capture_us + 1,
				     .cameras = &marking->camera,
				     .camera_count = 1,
				     .restricted = true,
				     .limit = SEARCH_LIMIT_MAX,
				     .ms_max = marking->gantry->config.search_ms_max};
	struct err err = {""};
	int result = marking->case_number == 0 ? check_age(marking) : 0;

	if (result < 0)
		return result;
	marking->found = false;
	marking->corrected_found = false;
	result = search_run(marking->gantry->views, &query, &err, look_row, marking, &marking->result);
	if (result < 0) {
		call_fail(marking->call, CALL_FAILED, "%s", err.text);
		return result;
	}
	if (marking->result.incomplete && !marking->found) {
		call_fail(
			marking->call, CALL_FAILED,
			"parts of that day could not be read, the read may be among them: see status and gantry-fsck");
		return -EIO;
	}
	return 0;
}

static json_t *answer(const struct marking *marking, bool already)
{
	char time[CLOCK_TEXT_SIZE];
	json_t *object = json_pack("{s:s,s:I,s:s,s:b}", "id", marking->id, "camera", (json_int_t)marking->camera,
				   "captured", clock_text_utc(marking->capture_us, time), "already", already);

	if (marking->held_by != NULL)
		(void)json_object_set(object, "held_by", marking->held_by);
	return object;
}

/* change_lock held: what the workers know is what the marks say. */
static void publish(struct marking *marking)
{
	struct err err = {""};

	if (gantry_publish(marking->gantry, &err) < 0)
		call_fail(marking->call, CALL_FAILED,
			  "it is durable and no search finds it, but the workers could not be told: %s; restart",
			  err.text);
}

/* With the call failed: there is no such read, and none was marked so before. */
static bool was_made(struct marking *marking, enum mark_kind kind)
{
	uint8_t id[MARK_ID_SIZE];

	(void)hex_decode(marking->id, id, sizeof(id));
	return marks_made(store_marks(marking->gantry->store), read_day(marking->capture_us), id, kind);
}

static void fail_unknown(struct marking *marking)
{
	if (was_made(marking, MARK_ERASED))
		call_fail(marking->call, CALL_REFUSED, "that read has been erased");
	else if (was_made(marking, MARK_AMENDED))
		call_fail(marking->call, CALL_REFUSED,
			  "that read has been amended: name the read that stands in its place");
	else
		call_fail(marking->call, CALL_REFUSED,
			  "no read of that id, camera and capture time; give all three as a search shows them");
}

static struct mark_order order_of(const struct marking *marking, enum mark_kind kind)
{
	struct mark_order order = {.kind = kind,
				   .read = &marking->read,
				   .text = marking->text,
				   .key = marking->key,
				   .hits = marking->hits,
				   .hit_count = marking->hit_count,
				   .who_uid = call_peer(marking->call)->uid};

	(void)hex_decode(marking->id, order.public_id, MARK_ID_SIZE);
	return order;
}

/* Which cases hold the read; they hold `corrected` in its stead when that is given. 0, or < 0 with the call failed. */
static int follow(struct marking *marking, const struct read *corrected)
{
	struct reg_hold *holds = NULL;
	uint8_t id[MARK_ID_SIZE];
	struct err err = {""};
	size_t count = 0;
	int result;

	(void)hex_decode(marking->id, id, sizeof(id));
	result = hold_follow(marking->gantry->store, &marking->read, id, corrected, call_peer(marking->call)->uid, &err,
			     &holds, &count);
	if (result < 0)
		call_fail(marking->call, CALL_FAILED, "the cases that hold it: %s; nothing was changed", err.text);
	json_decref(marking->held_by);
	marking->held_by = json_array();
	for (size_t i = 0; i < count; i++)
		(void)json_array_append_new(marking->held_by, json_string(holds[i].reference));
	free(holds);
	return result;
}

/* change_lock held. Makes the mark, or only asks whether it may be made. 0, MARKS_ALREADY, or the call failed. */
static int make(struct marking *marking, enum mark_kind kind,
		int (*how)(struct marks *marks, const struct mark_order *order, struct err *err))
{
	struct mark_order order = order_of(marking, kind);
	struct err err = {""};
	int result = how(store_marks(marking->gantry->store), &order, &err);

	if (result < 0)
		call_fail(marking->call, CALL_FAILED, "%s", err.text);
	else if (result == MARKS_RESTRICTED)
		call_fail(marking->call, CALL_REFUSED,
			  "that read is restricted: lift the restriction with reads.unrestrict, then amend it");
	else if (result == MARKS_WORN_OUT)
		call_fail(marking->call, CALL_REFUSED, "a read is amended %d times at most", MARKS_AMENDMENTS_MAX);
	return result == MARKS_RESTRICTED || result == MARKS_WORN_OUT ? -EPERM : result;
}

/* A case's copy, at once; the read was found there. 0 or 1 (it is so already) answered by the caller; < 0 call failed.
 */
static int edit_copy(struct marking *marking, enum case_edit_kind kind)
{
	struct case_edit edit = {.kind = kind, .read = &marking->read, .corrected = &marking->corrected};
	bool restricted = (marking->read.flags & READ_FLAG_RESTRICTED) != 0;
	struct err err = {""};
	int result;

	if ((kind == CASE_EDIT_RESTRICT && restricted) || (kind == CASE_EDIT_LIFT && !restricted))
		return 1;
	result = case_edit(marking->gantry->store, marking->case_number, &edit, &err);
	if (result == 0)
		return 0;
	if (result == 1)
		call_fail(
			marking->call, CALL_REFUSED,
			"the case's copy of that day is not final, or has no such read any more: while its day lives a "
			"read is named without hold");
	else
		call_fail(marking->call, CALL_FAILED, "%s", err.text);
	return -EPERM;
}

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
	result = edit_copy(marking, kind);
	if (result >= 0)
		call_result(marking->call, answer(marking, result == 1));
}

static int set_mark(struct marking *marking, enum mark_kind kind)
{
	struct gantry *gantry = marking->gantry;
	int result = look(marking);

	if (result < 0)
		return 0;
	if (marking->case_number != 0) {
		edit_answer(marking, kind == MARK_ERASED ? CASE_EDIT_ERASE : CASE_EDIT_RESTRICT);
		return 0;
	}
	if (!marking->found) {
		if (was_made(marking, kind))
			call_result(marking->call, answer(marking, true));
		else
			fail_unknown(marking);
		return 0;
	}
	if (follow(marking, NULL) < 0)
		return 0;
	pthread_mutex_lock(&gantry->change_lock);
	result = make(marking, kind, marks_make);
	if (result >= 0)
		call_result(marking->call, answer(marking, result == MARKS_ALREADY));
	if (result == 0)
		publish(marking);
	pthread_mutex_unlock(&gantry->change_lock);
	return 0;
}

static int lift_mark(struct marking *marking)
{
	struct gantry *gantry = marking->gantry;
	struct err err = {""};
	int result = look(marking);

	if (result < 0)
		return 0;
	if (marking->case_number != 0) {
		edit_answer(marking, CASE_EDIT_LIFT);
		return 0;
	}
	if (!marking->found) {
		fail_unknown(marking);
		return 0;
	}
	pthread_mutex_lock(&gantry->change_lock);
	result = marks_lift(store_marks(gantry->store), &marking->read, call_peer(marking->call)->uid, &err);
	if (result < 0)
		call_fail(marking->call, CALL_FAILED, "%s", err.text);
	else
		call_result(marking->call, answer(marking, result == MARKS_ALREADY));
	if (result == 0)
		publish(marking);
	pthread_mutex_unlock(&gantry->change_lock);
	return 0;
}

/* ---- amendment */

/* As a camera might have sent it; and with a key, for what nobody can search for corrects nothing. */
static int take_vrm(struct marking *marking)
{
	const char *vrm = call_text(marking->call, "vrm");
	size_t size = strlen(vrm);

	if (size <= READ_TEXT_SIZE) {
		memcpy(marking->text, vrm, size);
		if (strpbrk(vrm, "?*") == NULL && vrm_key(marking->text, marking->key) == 0)
			return 0;
	}
	call_fail(marking->call, CALL_INVALID_PARAMS,
		  "vrm: 1 to %d bytes of UTF-8 with a letter or digit, as a camera would send it", READ_TEXT_SIZE);
	return -EINVAL;
}

/*
 * change_lock held: the corrected read against the lists of now, entries that have run out by now left aside. What
 * exceeds MARKS_HITS_MAX is said in the answer.
 */
static int match(struct marking *marking)
{
	const struct matching *matching = marking->gantry->matching;
	struct read read = marking->corrected;
	struct match_cursor cursor = {0};
	struct match_scratch *scratch;
	int result;

	if (matching == NULL)
		return 0;
	result = match_scratch_new(matching->set, &scratch);
	if (result < 0)
		return result;
	read.receipt_us = clock_wall_us();
	result = match_burst(matching->set, scratch, &read, 1, &cursor, marking->hits, MARKS_HITS_MAX,
			     &marking->hit_count);
	(void)match_scratch_free(scratch);
	marking->hits_more = result == MATCH_MORE;
	return result < 0 ? result : 0;
}

static json_t *text_json(const uint8_t text[READ_TEXT_SIZE])
{
	return json_stringn((const char *)text, strnlen((const char *)text, READ_TEXT_SIZE));
}

/* Old and new value, durable in the log's sealed part before anything changes: afterwards the old one is nowhere else.
 */
static int note_values(struct marking *marking)
{
	json_t *object = json_pack("{s:o,s:o,s:o,s:s,s:s,s:s}", "read", answer(marking, false), "vrm_before",
				   text_json(marking->read.text), "vrm_after", text_json(marking->text), "purpose",
				   call_text(marking->call, "purpose"), "case", call_text(marking->call, "case"),
				   "reason", call_text(marking->call, "reason"));
	char *body = object != NULL ? json_dumps(object, JSON_COMPACT) : NULL;
	int result = body == NULL
			     ? -ENOMEM
			     : gantry_note(marking->gantry, call_peer(marking->call)->uid, "reads.amendment", body);

	if (body != NULL)
		bytes_wipe(body, strlen(body));
	free(body);
	json_decref(object);
	if (result < 0)
		call_fail(marking->call, CALL_UNAUDITED, "the audit log did not take the entry; nothing was changed");
	return result;
}

/* The answer names the id under which the read is found from now on. */
static void answer_amended(struct marking *marking, bool already)
{
	json_t *object = answer(marking, already);

	(void)json_object_set_new(object, "new_id",
				  marking->corrected_found ? json_string(marking->corrected_id) : json_null());
	(void)json_object_set_new(object, "hits", json_integer((json_int_t)marking->hit_count));
	(void)json_object_set_new(object, "more_hits", json_boolean(marking->hits_more));
	call_result(marking->call, object);
}

/* change_lock held. */
static int amend_locked(struct marking *marking)
{
	int result;

	marks_correct(&marking->read, marking->text, marking->key, &marking->corrected);
	result = match(marking);
	if (result < 0) {
		call_fail(marking->call, CALL_FAILED, "matching the corrected read: %s", strerror(-result));
		return result;
	}
	if ((result = make(marking, MARK_AMENDED, marks_judge)) != 0 || (result = note_values(marking)) < 0 ||
	    (result = follow(marking, &marking->corrected)) < 0 ||
	    (result = make(marking, MARK_AMENDED, marks_make)) != 0)
		return result;
	attendant_deliver(marking->gantry->attendant, marking->hits, marking->hit_count, &marking->corrected);
	marking->corrected_exact = true;
	if (look(marking) == 0)
		answer_amended(marking, false);
	publish(marking);
	return 0;
}

/* Neither matched nor delivered: its day is gone. Old and new value are noted as for any other. */
static void amend_copy(struct marking *marking)
{
	if ((marking->read.flags & READ_FLAG_RESTRICTED) != 0) {
		call_fail(marking->call, CALL_REFUSED,
			  "that read is restricted: lift the restriction with reads.unrestrict, then amend it");
		return;
	}
	if (marking->read.zero[0] == MARKS_AMENDMENTS_MAX) {
		call_fail(marking->call, CALL_REFUSED, "a read is amended %d times at most", MARKS_AMENDMENTS_MAX);
		return;
	}
	marks_correct(&marking->read, marking->text, marking->key, &marking->corrected);
	if (note_values(marking) < 0 || edit_copy(marking, CASE_EDIT_AMEND) < 0)
		return;
	marking->corrected_exact = true;
	if (look(marking) == 0)
		answer_amended(marking, false);
}

/* Asked before? Then the same text stands there; another one is a new correction, of the read that stands there. */
static void amend_again(struct marking *marking)
{
	if (marking->corrected_found && was_made(marking, MARK_AMENDED))
		answer_amended(marking, true);
	else
		fail_unknown(marking);
}

static int amend_mark(struct marking *marking)
{
	struct gantry *gantry = marking->gantry;

	if (take_vrm(marking) < 0 || look(marking) < 0)
		return 0;
	if (!marking->found) {
		amend_again(marking);
		return 0;
	}
	if (marking->read.kind != READ_KIND_VRM) {
		call_fail(marking->call, CALL_REFUSED,
			  "no plate was read there: only a VRM that was misread is amended (NASPLE 9.7)");
		return 0;
	}
	if (memcmp(marking->read.text, marking->text, READ_TEXT_SIZE) == 0) {
		memcpy(marking->corrected_id, marking->id, sizeof(marking->id));
		marking->corrected_found = true;
		answer_amended(marking, true);
		return 0;
	}
	if (marking->case_number != 0) {
		amend_copy(marking);
		return 0;
	}
	pthread_mutex_lock(&gantry->change_lock);
	if (amend_locked(marking) == MARKS_ALREADY)
		fail_unknown(marking); /* another call was faster */
	pthread_mutex_unlock(&gantry->change_lock);
	return 0;
}

/* -EINVAL with the call failed. */
static int take_hold(struct marking *marking)
{
	struct reg_hold hold;
	int result;

	if (!call_has(marking->call, "hold"))
		return 0;
	result = hold_find(marking->gantry->store, call_text(marking->call, "hold"), &hold);
	if (result == -ENOENT || (result == 0 && hold.released)) {
		call_fail(marking->call, CALL_REFUSED, "hold: there is no hold of that case; see holds.show");
		return -EINVAL;
	}
	if (result == 0)
		marking->case_number = hold.number;
	return result;
}

static int run(struct call *call, struct gantry *gantry, int (*act)(struct marking *marking))
{
	struct marking *marking;
	uint8_t id[MARK_ID_SIZE];
	int result;

	if (change_register(call, gantry) == NULL)
		return 0;
	marking = calloc(1, sizeof(*marking));
	if (marking == NULL)
		return -ENOMEM;
	marking->call = call;
	marking->gantry = gantry;
	marking->camera = (uint32_t)call_integer(call, "camera", 0);
	marking->capture_us = call_time(call, "captured", 0);
	if (hex_decode(call_text(call, "id"), id, sizeof(id)) == 0)
		hex_encode(id, sizeof(id), marking->id); /* lower case, as searches give it */
	result = take_hold(marking);
	if (result == 0)
		result = act(marking);
	else if (result == -EINVAL)
		result = 0;
	json_decref(marking->held_by);
	bytes_wipe(marking, sizeof(*marking));
	free(marking);
	return result;
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
	return run(call, gantry, act_erase);
}

int handle_reads_restrict(struct call *call, void *gantry)
{
	return run(call, gantry, act_restrict);
}

int handle_reads_unrestrict(struct call *call, void *gantry)
{
	return run(call, gantry, lift_mark);
}

int handle_reads_amend(struct call *call, void *gantry)
{
	return run(call, gantry, amend_mark);
}
