/* reads.amend: old and new value go into the audit log first, then the corrected read stands in the other's place. */
#include "appliance/handlers.h"

#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "appliance/base/bytes.h"
#include "appliance/base/clock.h"
#include "appliance/gantry.h"
#include "appliance/hit_rules.h"
#include "appliance/hits.h"
#include "appliance/marking.h"
#include "appliance/tables.h"
#include "matcher/list.h"
#include "matcher/matchset.h"
#include "matcher/vrm.h"
#include "mgmt/call.h"
#include "storage/late_hits.h"

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

/* change_lock held: hits that their lists' conditions rule out are none, here as on a worker. */
static void drop_outside(struct marking *marking)
{
	const struct tables *tables = marking->gantry->tables;
	size_t kept = 0;

	for (size_t i = 0; i < marking->hit_count; i++)
		if (hit_gate_admits(tables->rules, &tables->places, marking->hits[i].list, &marking->corrected))
			marking->hits[kept++] = marking->hits[i];
	marking->hit_count = kept;
}

/*
 * change_lock held: the corrected read against the lists of now, entries that have run out by now left aside. What
 * exceeds MARKING_HITS_MAX is said in the answer.
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
	result = match_burst(matching->set, scratch, &read, 1, &cursor, marking->hits, MARKING_HITS_MAX,
			     &marking->hit_count);
	(void)match_scratch_free(scratch);
	drop_outside(marking);
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
	json_t *object = json_pack("{s:o,s:o,s:o,s:s,s:s,s:s}", "read", marking_answer(marking, false), "vrm_before",
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
	json_t *object = marking_answer(marking, already);

	(void)json_object_set_new(object, "new_id",
				  marking->corrected_found ? json_string(marking->corrected_id) : json_null());
	(void)json_object_set_new(object, "hits", json_integer((json_int_t)marking->hit_count));
	(void)json_object_set_new(object, "more_hits", json_boolean(marking->hits_more));
	call_result(marking->call, object);
}

static uint32_t generation_of(struct gantry *gantry, uint32_t list)
{
	for (size_t i = 0; i < gantry->list_count; i++)
		if (list_info(gantry->lists[i])->id == list)
			return list_info(gantry->lists[i])->generation;
	return 0;
}

/*
 * change_lock held. The read was stored long ago: its new hits lie beside it, as late ones do. Put before the mark is
 * made: a crash between tells of a correction that somebody has to ask for again, which puts none twice; the other way
 * round nobody would ever be told.
 */
static int put_hits(struct marking *marking)
{
	struct late_hit late[MARKING_HITS_MAX];
	struct err err = {""};
	int result = 0;
	size_t put;

	for (size_t i = 0; i < marking->hit_count; i++) {
		late[i] = (struct late_hit){.found = {.hit = marking->hits[i], .read = marking->corrected},
					    .generation = generation_of(marking->gantry, marking->hits[i].list)};
		late[i].found.hit.flags |= HIT_FLAG_LATE;
	}
	if (marking->hit_count > 0)
		result = gantry_hits_put_late(marking->gantry, late, marking->hit_count, call_peer(marking->call)->uid,
					      &err, &put);
	if (result < 0)
		call_fail(marking->call, CALL_FAILED, "the corrected read's hits: %s; nothing was changed", err.text);
	bytes_wipe(late, sizeof(late));
	return result;
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
	if ((result = marking_make(marking, MARK_AMENDED, marks_judge)) != 0 || (result = note_values(marking)) < 0 ||
	    (result = marking_follow(marking, &marking->corrected)) < 0 || (result = put_hits(marking)) < 0 ||
	    (result = marking_make(marking, MARK_AMENDED, marks_make)) != 0)
		return result;
	marking->corrected_exact = true;
	if (marking_look(marking) == 0)
		answer_amended(marking, false);
	marking_publish(marking);
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
	if (note_values(marking) < 0 || marking_edit_copy(marking, CASE_EDIT_AMEND) < 0)
		return;
	marking->corrected_exact = true;
	if (marking_look(marking) == 0)
		answer_amended(marking, false);
}

/* Asked before? Then the same text stands there; another one is a new correction, of the read that stands there. */
static void amend_again(struct marking *marking)
{
	if (marking->corrected_found && marking_was_made(marking, MARK_AMENDED))
		answer_amended(marking, true);
	else
		marking_fail_unknown(marking);
}

static int amend_mark(struct marking *marking)
{
	struct gantry *gantry = marking->gantry;

	if (take_vrm(marking) < 0 || marking_look(marking) < 0)
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
		marking_fail_unknown(marking); /* another call was faster */
	pthread_mutex_unlock(&gantry->change_lock);
	return 0;
}

int handle_reads_amend(struct call *call, void *gantry)
{
	return marking_run(call, gantry, amend_mark);
}
