#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "appliance/base/clock.h"
#include "appliance/gantry.h"
#include "appliance/handlers.h"
#include "appliance/present.h"
#include "appliance/read_answer.h"
#include "appliance/read_cursor.h"
#include "appliance/read_query.h"
#include "mgmt/call.h"
#include "storage/consecutive.h"
#include "storage/search.h"
#include "storage/store.h"

enum question { QUESTION_SEARCH, QUESTION_COUNT, QUESTION_CONSECUTIVE };

struct searching {
	struct call *call;
	struct gantry *gantry;
	enum question question;
	struct read_query query;
	struct search_result result;
	int64_t began_ns;
	/* Of the rows given, for whoever evaluates a camera (R14). */
	uint64_t not_read;
	uint64_t tests;
	int64_t first_us;
	int64_t last_us;
};

static int give_row(void *context, const struct read *read, const char public_id[SEARCH_PUBLIC_ID_SIZE])
{
	struct searching *searching = context;
	json_t *row = present_read(searching->gantry, read, public_id);

	searching->not_read += read->kind == READ_KIND_NOT_READ;
	searching->tests += (read->flags & READ_FLAG_TEST) != 0;
	if (searching->first_us == 0)
		searching->first_us = read->capture_us;
	searching->last_us = read->capture_us;
	return row == NULL ? -ENOMEM : call_row(searching->call, row);
}

static int put_page(const struct searching *searching, json_t *object)
{
	const struct search_result *result = &searching->result;
	char cursor[SEARCH_CURSOR_TEXT_SIZE];
	int error;

	(void)json_object_set_new(object, "truncated", json_boolean(result->truncated));
	if (!result->truncated)
		return 0;
	error = read_cursor_give(searching->gantry, searching->query.question, &result->cursor, cursor);
	if (error == 0)
		(void)json_object_set_new(object, "cursor", json_string(cursor));
	return error;
}

static void put_evaluation(const struct searching *searching, json_t *object)
{
	char time[CLOCK_TEXT_SIZE];

	(void)json_object_set_new(object, "camera", json_integer(searching->query.cameras[0]));
	(void)json_object_set_new(object, "not_read", json_integer((json_int_t)searching->not_read));
	(void)json_object_set_new(object, "tests", json_integer((json_int_t)searching->tests));
	if (searching->result.count == 0)
		return;
	(void)json_object_set_new(object, "first", json_string(clock_text_utc(searching->first_us, time)));
	(void)json_object_set_new(object, "last", json_string(clock_text_utc(searching->last_us, time)));
}

static int answer(struct searching *searching)
{
	const struct search_result *result = &searching->result;
	json_t *object = read_answer_json(&searching->query.search, result, searching->began_ns);
	int error = 0;

	/* An unreadable part is damage, whoever finds it. */
	for (uint64_t i = 0; i < result->faults && i < SEARCH_FAULTS_MAX; i++)
		store_damage_met(searching->gantry->store, result->fault[i].err.text);
	if (searching->question == QUESTION_SEARCH)
		error = put_page(searching, object);
	if (searching->question == QUESTION_CONSECUTIVE)
		put_evaluation(searching, object);
	if (error < 0) {
		json_decref(object);
		return error;
	}
	call_audit_fact(searching->call, "count", json_integer((json_int_t)result->count));
	call_audit_fact(searching->call, "complete", json_boolean(!result->incomplete));
	call_result(searching->call, object);
	return 0;
}

static int take_query(struct searching *searching)
{
	if (searching->question == QUESTION_CONSECUTIVE)
		return read_query_take_consecutive(&searching->query, searching->call, searching->gantry);
	return read_query_take(&searching->query, searching->call, searching->gantry,
			       searching->question == QUESTION_COUNT);
}

static int search(struct searching *searching)
{
	struct call *call = searching->call;
	const char *why;
	struct err err = {""};
	int result;

	if (store_register(searching->gantry->store, &why) == NULL) {
		call_fail(call, CALL_FAILED, "the register is incomplete, so nothing is searched: %s", why);
		return 0;
	}
	searching->began_ns = clock_mono_ns();
	if ((result = take_query(searching)) < 0)
		return result == -EINVAL ? 0 : result;
	result = (searching->question == QUESTION_CONSECUTIVE ? consecutive_run : search_run)(
		searching->gantry->views, &searching->query.search, &err, give_row, searching, &searching->result);
	if (result == -EINVAL) {
		call_fail(call, CALL_INVALID_PARAMS, "%s", err.text);
		return 0;
	}
	if (result != 0)
		return result;
	if (searching->result.stop == SEARCH_CANCELLED)
		return -ECANCELED;
	return answer(searching);
}

static int ask(struct call *call, struct gantry *gantry, enum question question)
{
	struct searching *searching = calloc(1, sizeof(*searching));
	int result;

	if (searching == NULL)
		return -ENOMEM;
	searching->call = call;
	searching->gantry = gantry;
	searching->question = question;
	result = search(searching);
	read_query_fini(&searching->query);
	free(searching);
	return result;
}

int handle_reads_search(struct call *call, void *gantry)
{
	return ask(call, gantry, QUESTION_SEARCH);
}

int handle_reads_count(struct call *call, void *gantry)
{
	return ask(call, gantry, QUESTION_COUNT);
}

int handle_reads_consecutive(struct call *call, void *gantry)
{
	return ask(call, gantry, QUESTION_CONSECUTIVE);
}
