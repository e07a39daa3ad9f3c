#include "appliance/marking.h"

#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "appliance/base/bytes.h"
#include "appliance/base/clock.h"
#include "appliance/change.h"
#include "appliance/gantry.h"
#include "appliance/read_query.h"
#include "mgmt/call.h"
#include "storage/hold.h"
#include "storage/hold_follow.h"
#include "storage/store.h"

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

int marking_look(struct marking *marking)
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

json_t *marking_answer(const struct marking *marking, bool already)
{
	char time[CLOCK_TEXT_SIZE];
	json_t *object = json_pack("{s:s,s:I,s:s,s:b}", "id", marking->id, "camera", (json_int_t)marking->camera,
				   "captured", clock_text_utc(marking->capture_us, time), "already", already);

	if (marking->held_by != NULL)
		(void)json_object_set(object, "held_by", marking->held_by);
	return object;
}

void marking_publish(struct marking *marking)
{
	struct err err = {""};

	if (gantry_publish(marking->gantry, &err) < 0)
		call_fail(marking->call, CALL_FAILED,
			  "it is durable and no search finds it, but the workers could not be told: %s; restart",
			  err.text);
}

bool marking_was_made(struct marking *marking, enum mark_kind kind)
{
	uint8_t id[MARK_ID_SIZE];

	(void)hex_decode(marking->id, id, sizeof(id));
	return marks_made(store_marks(marking->gantry->store), read_day(marking->capture_us), id, kind);
}

void marking_fail_unknown(struct marking *marking)
{
	if (marking_was_made(marking, MARK_ERASED))
		call_fail(marking->call, CALL_REFUSED, "that read has been erased");
	else if (marking_was_made(marking, MARK_AMENDED))
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
				   .who_uid = call_peer(marking->call)->uid};

	(void)hex_decode(marking->id, order.public_id, MARK_ID_SIZE);
	return order;
}

int marking_follow(struct marking *marking, const struct read *corrected)
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

int marking_make(struct marking *marking, enum mark_kind kind,
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

int marking_edit_copy(struct marking *marking, enum case_edit_kind kind)
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

int marking_run(struct call *call, struct gantry *gantry, int (*act)(struct marking *marking))
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
