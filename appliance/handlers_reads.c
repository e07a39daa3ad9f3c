#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "appliance/base/clock.h"
#include "appliance/gantry.h"
#include "appliance/handlers.h"
#include "appliance/present.h"
#include "appliance/read_cursor.h"
#include "appliance/read_search.h"
#include "mgmt/call.h"
#include "storage/consecutive.h"
#include "storage/search.h"
#include "storage/store.h"

enum question { QUESTION_SEARCH, QUESTION_COUNT, QUESTION_CONSECUTIVE };

struct searching {
	struct read_search search;
	enum question question;
	/* Of the rows given, for whoever evaluates a camera (R14). */
	uint64_t not_read;
	uint64_t tests;
	int64_t first_us;
	int64_t last_us;
};

static int give_row(void *context, const struct read *read, const char public_id[SEARCH_PUBLIC_ID_SIZE])
{
	struct searching *searching = context;
	json_t *row = present_read(searching->search.gantry, read, public_id);

	searching->not_read += read->kind == READ_KIND_NOT_READ;
	searching->tests += (read->flags & READ_FLAG_TEST) != 0;
	if (searching->first_us == 0)
		searching->first_us = read->capture_us;
	searching->last_us = read->capture_us;
	return row == NULL ? -ENOMEM : call_row(searching->search.call, row);
}

static int put_page(const struct searching *searching, json_t *object)
{
	const struct search_result *result = &searching->search.result;
	char cursor[SEARCH_CURSOR_TEXT_SIZE];
	int error;

	(void)json_object_set_new(object, "truncated", json_boolean(result->truncated));
	if (!result->truncated)
		return 0;
	error = read_cursor_give(searching->search.gantry, searching->search.query.question, &result->cursor, cursor);
	if (error == 0)
		(void)json_object_set_new(object, "cursor", json_string(cursor));
	return error;
}

static void put_evaluation(const struct searching *searching, json_t *object)
{
	char time[CLOCK_TEXT_SIZE];

	(void)json_object_set_new(object, "camera", json_integer(searching->search.query.cameras[0]));
	(void)json_object_set_new(object, "not_read", json_integer((json_int_t)searching->not_read));
	(void)json_object_set_new(object, "tests", json_integer((json_int_t)searching->tests));
	if (searching->search.result.count == 0)
		return;
	(void)json_object_set_new(object, "first", json_string(clock_text_utc(searching->first_us, time)));
	(void)json_object_set_new(object, "last", json_string(clock_text_utc(searching->last_us, time)));
}

static int put_own(void *context, json_t *object)
{
	const struct searching *searching = context;
	const struct search_result *result = &searching->search.result;

	/* An unreadable part is damage, whoever finds it. */
	for (uint64_t i = 0; i < result->faults && i < SEARCH_FAULTS_MAX; i++)
		store_damage_met(searching->search.gantry->store, result->fault[i].err.text);
	if (searching->question == QUESTION_SEARCH)
		return put_page(searching, object);
	if (searching->question == QUESTION_CONSECUTIVE)
		put_evaluation(searching, object);
	return 0;
}

static int take_query(void *context)
{
	struct searching *searching = context;
	struct read_search *search = &searching->search;

	if (searching->question == QUESTION_CONSECUTIVE)
		return read_query_take_consecutive(&search->query, search->call, search->gantry);
	return read_query_take(&search->query, search->call, search->gantry, searching->question == QUESTION_COUNT);
}

static int run(void *context, struct err *err)
{
	struct searching *searching = context;
	struct read_search *search = &searching->search;

	return (searching->question == QUESTION_CONSECUTIVE ? consecutive_run : search_run)(
		search->gantry->views, &search->query.search, err, give_row, searching, &search->result);
}

static int ask(struct call *call, struct gantry *gantry, enum question question)
{
	static const struct read_search_verb verb = {take_query, run, put_own};
	struct searching *searching = calloc(1, sizeof(*searching));
	int result;

	if (searching == NULL)
		return -ENOMEM;
	searching->search.call = call;
	searching->search.gantry = gantry;
	searching->question = question;
	result = read_search_run(&searching->search, &verb, searching);
	read_query_fini(&searching->search.query);
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
