/* hits.show: one hit with its read and its whole life. hits.open: what still waits for somebody. */
#include "appliance/handlers.h"

#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "appliance/base/bytes.h"
#include "appliance/base/clock.h"
#include "appliance/base/hit_name.h"
#include "appliance/change.h"
#include "appliance/escalation.h"
#include "appliance/gantry.h"
#include "appliance/hit_access.h"
#include "appliance/hit_lookup.h"
#include "appliance/hits.h"
#include "appliance/present.h"
#include "appliance/present_life.h"
#include "mgmt/call.h"
#include "storage/hit_lives.h"
#include "storage/hit_scan.h"
#include "storage/store.h"

static void put_life(struct gantry *gantry, uint64_t number, json_t *object)
{
	struct reg_hit_life life;
	int result = hit_lives_get(store_hit_lives(gantry->store), number, &life);

	(void)json_object_set_new(
		object, "life", result == 0 ? present_life(&life) : json_pack("{s:s}", "state", present_hit_state(0)));
}

int handle_hits_show(struct call *call, void *context)
{
	struct gantry *gantry = context;
	struct hit_found found;
	struct err why = {""};
	json_t *object;
	int result;

	if (change_register(call, gantry) == NULL)
		return 0;
	result = hit_lookup(gantry, call_peer(call)->uid, call_text(call, "number"), &why, &found);
	if (result != 0) {
		call_fail(call, result < 0 ? CALL_FAILED : CALL_REFUSED, "%s", why.text);
		return 0;
	}
	object = present_hit(gantry, &found.hit, &found.read);
	(void)json_object_set_new(object, "late", json_boolean((found.hit.flags & HIT_FLAG_LATE) != 0));
	(void)json_object_set_new(object, "repeat", json_boolean((found.hit.flags & HIT_FLAG_REPEAT) != 0));
	put_life(gantry, found.hit.number, object);
	hits_delivered(gantry, &found.hit, object);
	bytes_wipe(&found, sizeof(found));
	call_result(call, object);
	return 0;
}

/* What hits.open asks for. */
struct opening {
	struct hit_access access;
	struct gantry *gantry;
	uint8_t priority_min;
	bool wants[REG_HIT_RESPONDED]; /* by state: 0 unacknowledged, 1 acknowledged, 2 assessed */
	size_t limit;
	struct watched_hit *watched;
	size_t watched_count;
	struct hit_life *lives;
	size_t life_count;
};

static bool is_open(const void *context, const struct hit_life *life)
{
	const struct opening *opening = context;

	return life->state < REG_HIT_RESPONDED && opening->wants[life->state] &&
	       life->priority >= opening->priority_min;
}

static int by_age(const void *a, const void *b)
{
	const struct hit_life *left = a, *right = b;

	if (left->acknowledged_us != right->acknowledged_us)
		return left->acknowledged_us < right->acknowledged_us ? -1 : 1;
	return left->number < right->number ? -1 : left->number > right->number;
}

static int opening_gather(struct opening *opening)
{
	struct hit_watch *watch = escalation_watch(opening->gantry->escalation);
	int result = 0;

	if (opening->wants[0] && watch != NULL)
		result = hit_watch_copy(watch, opening->priority_min, &opening->watched, &opening->watched_count);
	if (result == 0)
		result = hit_lives_copy(store_hit_lives(opening->gantry->store), is_open, opening, &opening->lives,
					&opening->life_count);
	if (result == 0)
		qsort(opening->lives, opening->life_count, sizeof(*opening->lives), by_age);
	return result;
}

static json_t *life_row(struct gantry *gantry, const struct hit_life *life)
{
	struct reg_hit_life record;
	char since[CLOCK_TEXT_SIZE];
	char name[HIT_NAME_SIZE];
	json_t *row = json_pack("{s:s,s:s,s:I,s:o,s:i,s:I,s:s}", "number", hit_name(life->number, name), "state",
				present_hit_state(life->state), "list", (json_int_t)life->list, "list_name",
				present_list_name(gantry, life->list), "priority", (int)life->priority, "camera",
				(json_int_t)life->camera, "since", clock_text_utc(life->acknowledged_us, since));

	if (hit_lives_get(store_hit_lives(gantry->store), life->number, &record) == 0)
		(void)json_object_set_new(row, "by",
					  json_string(record.state == REG_HIT_ACKNOWLEDGED ? record.acknowledged.account
											   : record.assessed.account));
	return row;
}

/* Both, oldest first, of the lists that the account may have. */
static json_t *opening_rows(struct opening *opening, bool *ret_more)
{
	json_t *rows = json_array();
	size_t w = 0, l = 0;

	while (json_array_size(rows) < opening->limit && (w < opening->watched_count || l < opening->life_count)) {
		bool is_watched = l == opening->life_count ||
				  (w < opening->watched_count &&
				   opening->watched[w].published_us <= opening->lives[l].acknowledged_us);
		uint32_t list = is_watched ? opening->watched[w].list : opening->lives[l].list;

		if (hit_access_may(&opening->access, list))
			(void)json_array_append_new(rows,
						    is_watched ? present_watched(opening->gantry, &opening->watched[w])
							       : life_row(opening->gantry, &opening->lives[l]));
		w += is_watched;
		l += !is_watched;
	}
	*ret_more = w < opening->watched_count || l < opening->life_count;
	return rows;
}

static void opening_take(struct opening *opening, struct call *call)
{
	const char *state = call_text(call, "state");

	opening->access = (struct hit_access){.gantry = opening->gantry, .uid = call_peer(call)->uid};
	opening->priority_min = (uint8_t)call_integer(call, "priority_min", 0);
	opening->limit = (size_t)call_integer(call, "limit", 100);
	for (uint8_t i = 0; i < REG_HIT_RESPONDED; i++)
		opening->wants[i] = state == NULL || strcmp(state, present_hit_state(i)) == 0;
}

int handle_hits_open(struct call *call, void *context)
{
	struct opening opening = {.gantry = context};
	json_t *rows;
	bool more;
	int result;

	if (change_register(call, context) == NULL)
		return 0;
	opening_take(&opening, call);
	result = opening_gather(&opening);
	if (result == 0) {
		rows = opening_rows(&opening, &more);
		call_result(call, json_pack("{s:o,s:b,s:I}", "hits", rows, "more", more, "watched_from",
					    (json_int_t)opening.gantry->config.escalate_priority));
	}
	free(opening.lives);
	free(opening.watched);
	return result;
}
