/* hits.search: the hits of a search's reads. */
#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "appliance/base/clock.h"
#include "appliance/gantry.h"
#include "appliance/handlers.h"
#include "appliance/lists.h"
#include "appliance/present.h"
#include "appliance/read_answer.h"
#include "appliance/read_cursor.h"
#include "appliance/read_query.h"
#include "mgmt/call.h"
#include "storage/hit_search.h"
#include "storage/store.h"

struct searching {
	struct call *call;
	struct gantry *gantry;
	struct read_query reads;
	struct hit_query query;
	uint64_t question;
	struct search_result result;
	struct hit_search_cursor cursor;
	int64_t began_ns;
};

static int give_row(void *context, const struct hit_found *found)
{
	struct searching *searching = context;
	json_t *row = present_hit(searching->gantry, &found->hit, &found->read);

	if (row == NULL)
		return -ENOMEM;
	(void)json_object_set_new(row, "late", json_boolean(found->hit.flags & HIT_FLAG_LATE));
	(void)json_object_set_new(row, "repeat", json_boolean(found->hit.flags & HIT_FLAG_REPEAT));
	return call_row(searching->call, row);
}

/* By name, of the register: removed ones too, whose hits are still there. */
static int take_lists(struct searching *searching)
{
	const json_t *names = call_array(searching->call, "lists");
	struct reg *reg = store_register(searching->gantry->store, NULL);
	struct hit_query *query = &searching->query;

	for (size_t i = 0; names != NULL && i < json_array_size(names); i++) {
		struct lists_known known;
		int result = lists_find(reg, json_string_value(json_array_get(names, i)), &known);

		if (result < 0)
			return result;
		if (!known.is_found) {
			call_fail(searching->call, CALL_REFUSED,
				  "lists: not every name is that of a list; see lists.show");
			return -EINVAL;
		}
		query->lists[query->list_count++] = known.found.list;
	}
	return 0;
}

static void take_kind(struct searching *searching)
{
	static const char *const names[] = {[HIT_EXACT] = "exact",
					    [HIT_PATTERN] = "pattern",
					    [HIT_TOLERANT] = "tolerant",
					    [HIT_RETRO] = "retro",
					    [HIT_CLONE] = "clone"};
	const char *kind = call_text(searching->call, "kind");

	for (unsigned i = 0; kind != NULL && i < sizeof(names) / sizeof(names[0]); i++)
		if (strcmp(names[i], kind) == 0)
			searching->query.kinds = 1u << i;
}

static int take_cursor(struct searching *searching)
{
	static const char *const names[] = {"lists", "kind", "priority_min", NULL};
	const char *text = call_text(searching->call, "cursor");
	int result = read_cursor_question(searching->call, &searching->reads, names, &searching->question);

	if (result < 0 || text == NULL)
		return result;
	result = hit_search_cursor_read(searching->question, text, &searching->query.cursor);
	if (result < 0)
		call_fail(searching->call, CALL_INVALID_PARAMS,
			  result == -ESTALE ? "cursor: of another question; give it with all that the search that gave "
					      "it was asked"
					    : "cursor: not one that a search for hits has given");
	return result < 0 ? -EINVAL : 0;
}

static int take_query(struct searching *searching)
{
	struct call *call = searching->call;
	int result = read_query_take_hits(&searching->reads, call, searching->gantry);

	if (result < 0)
		return result;
	searching->query.priority_min = (uint8_t)call_integer(call, "priority_min", 0);
	take_kind(searching);
	result = take_lists(searching);
	if (result == 0)
		result = take_cursor(searching);
	searching->query.reads = searching->reads.search;
	return result;
}

static int answer(struct searching *searching)
{
	const struct search_result *result = &searching->result;
	json_t *object = read_answer_json(&searching->reads.search, result, searching->began_ns);
	char cursor[HIT_SEARCH_CURSOR_TEXT_SIZE];

	if (object == NULL)
		return -ENOMEM;
	(void)json_object_set_new(object, "truncated", json_boolean(result->truncated));
	if (result->truncated) {
		hit_search_cursor_write(searching->question, &searching->cursor, cursor);
		(void)json_object_set_new(object, "cursor", json_string(cursor));
	}
	call_audit_fact(searching->call, "count", json_integer((json_int_t)result->count));
	call_audit_fact(searching->call, "complete", json_boolean(!result->incomplete));
	call_result(searching->call, object);
	return 0;
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
	result = hit_search_run(searching->gantry->store, &searching->query, &err, give_row, searching,
				&searching->result, &searching->cursor);
	if (result == -EINVAL || result == -EIO) {
		call_fail(call, result == -EINVAL ? CALL_INVALID_PARAMS : CALL_FAILED, "%s", err.text);
		return 0;
	}
	if (result != 0)
		return result;
	return searching->result.stop == SEARCH_CANCELLED ? -ECANCELED : answer(searching);
}

int handle_hits_search(struct call *call, void *gantry)
{
	struct searching *searching = calloc(1, sizeof(*searching));
	int result;

	if (searching == NULL)
		return -ENOMEM;
	searching->call = call;
	searching->gantry = gantry;
	result = search(searching);
	read_query_fini(&searching->reads);
	free(searching);
	return result;
}
