/* hits.search: the hits of a search's reads. */
#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "appliance/gantry.h"
#include "appliance/handlers.h"
#include "appliance/hit_access.h"
#include "appliance/hits.h"
#include "appliance/lists.h"
#include "appliance/present.h"
#include "appliance/read_cursor.h"
#include "appliance/read_search.h"
#include "mgmt/call.h"
#include "storage/hit_search.h"
#include "storage/store.h"

struct searching {
	struct read_search search;
	struct hit_query query;
	uint64_t question;
	struct hit_search_cursor cursor;
	struct hit_access access;
};

static bool may(void *context, uint32_t list)
{
	return hit_access_may(context, list);
}

static int give_row(void *context, const struct hit_found *found)
{
	struct searching *searching = context;
	json_t *row = present_hit(searching->search.gantry, &found->hit, &found->read);

	if (row == NULL)
		return -ENOMEM;
	(void)json_object_set_new(row, "late", json_boolean(found->hit.flags & HIT_FLAG_LATE));
	(void)json_object_set_new(row, "repeat", json_boolean(found->hit.flags & HIT_FLAG_REPEAT));
	return call_row(searching->search.call, row);
}

/* By name, of the register: removed ones too, whose hits are still there. */
static int take_lists(struct searching *searching)
{
	const json_t *names = call_array(searching->search.call, "lists");
	struct reg *reg = store_register(searching->search.gantry->store, NULL);
	struct hit_query *query = &searching->query;

	for (size_t i = 0; names != NULL && i < json_array_size(names); i++) {
		struct lists_known known;
		int result = lists_find(reg, json_string_value(json_array_get(names, i)), &known);

		if (result < 0)
			return result;
		if (!known.is_found) {
			call_fail(searching->search.call, CALL_REFUSED,
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
	const char *kind = call_text(searching->search.call, "kind");

	for (unsigned i = 0; kind != NULL && i < sizeof(names) / sizeof(names[0]); i++)
		if (strcmp(names[i], kind) == 0)
			searching->query.kinds = 1u << i;
}

static int take_cursor(struct searching *searching)
{
	static const char *const names[] = {"lists", "kind", "priority_min", NULL};
	const char *text = call_text(searching->search.call, "cursor");
	int result =
		read_cursor_question(searching->search.call, &searching->search.query, names, &searching->question);

	if (result < 0 || text == NULL)
		return result;
	result = hit_search_cursor_read(searching->question, text, &searching->query.cursor);
	if (result < 0)
		call_fail(searching->search.call, CALL_INVALID_PARAMS,
			  result == -ESTALE ? "cursor: of another question; give it with all that the search that gave "
					      "it was asked"
					    : "cursor: not one that a search for hits has given");
	return result < 0 ? -EINVAL : 0;
}

static int take_query(void *context)
{
	struct searching *searching = context;
	struct call *call = searching->search.call;
	int result = read_query_take_hits(&searching->search.query, call, searching->search.gantry);

	if (result < 0)
		return result;
	searching->query.priority_min = (uint8_t)call_integer(call, "priority_min", 0);
	take_kind(searching);
	result = take_lists(searching);
	if (result == 0)
		result = take_cursor(searching);
	searching->query.reads = searching->search.query.search;
	searching->access = (struct hit_access){.gantry = searching->search.gantry, .uid = call_peer(call)->uid};
	searching->query.may = may;
	searching->query.may_context = &searching->access;
	return result;
}

static int run(void *context, struct err *err)
{
	struct searching *searching = context;

	return hit_search_run(searching->search.gantry->store, &searching->query, err, give_row, searching,
			      &searching->search.result, &searching->cursor);
}

static int put_page(void *context, json_t *object)
{
	const struct searching *searching = context;
	bool truncated = searching->search.result.truncated;
	char cursor[HIT_SEARCH_CURSOR_TEXT_SIZE];

	(void)json_object_set_new(object, "truncated", json_boolean(truncated));
	/* Whether any were left out is not told: that, too, would tell of lists. */
	(void)json_object_set_new(object, "lists",
				  json_string(hits_account_all(searching->access.uid) ? "all" : "own"));
	if (truncated) {
		hit_search_cursor_write(searching->question, &searching->cursor, cursor);
		(void)json_object_set_new(object, "cursor", json_string(cursor));
	}
	return 0;
}

int handle_hits_search(struct call *call, void *gantry)
{
	static const struct read_search_verb verb = {take_query, run, put_page};
	struct searching *searching = calloc(1, sizeof(*searching));
	int result;

	if (searching == NULL)
		return -ENOMEM;
	searching->search.call = call;
	searching->search.gantry = gantry;
	result = read_search_run(&searching->search, &verb, searching);
	read_query_fini(&searching->search.query);
	free(searching);
	return result;
}
