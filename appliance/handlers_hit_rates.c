/* hits.rates: misreads and their like, measured by what people found (R24). Figures only: no read, no person. */
#include "appliance/handlers.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "appliance/change.h"
#include "appliance/gantry.h"
#include "appliance/present.h"
#include "mgmt/call.h"
#include "storage/hit_lives.h"
#include "storage/hit_rates.h"
#include "storage/register.h"
#include "storage/store.h"

struct window {
	int32_t first_day;
	int32_t last_day;
};

static bool is_assessed(const void *context, const struct hit_life *life)
{
	const struct window *window = context;

	return life->state >= REG_HIT_ASSESSED && life->day >= window->first_day && life->day <= window->last_day;
}

static enum hit_rates_by by_of(const char *name)
{
	if (name == NULL || strcmp(name, "camera") == 0)
		return HIT_RATES_CAMERA;
	return strcmp(name, "list") == 0 ? HIT_RATES_LIST : HIT_RATES_BOTH;
}

static json_t *camera_name(struct reg *reg, uint32_t number)
{
	struct reg_camera camera;

	return reg_camera_get(reg, number, &camera) == 0 ? json_string(camera.name) : json_null();
}

static json_t *rate_row(struct gantry *gantry, const struct hit_rate *rate, enum hit_rates_by by)
{
	json_t *row = json_object();

	if (by != HIT_RATES_LIST) {
		(void)json_object_set_new(row, "camera", json_integer(rate->camera));
		(void)json_object_set_new(row, "camera_name",
					  camera_name(store_register(gantry->store, NULL), rate->camera));
	}
	if (by != HIT_RATES_CAMERA) {
		(void)json_object_set_new(row, "list", json_integer(rate->list));
		(void)json_object_set_new(row, "list_name", present_list_name(gantry, rate->list));
	}
	(void)json_object_update_new(
		row, json_pack("{s:I,s:I,s:I,s:I,s:I,s:f,s:f,s:f}", "assessed", (json_int_t)rate->assessed, "correct",
			       (json_int_t)rate->counts[REG_HIT_CORRECT], "misread",
			       (json_int_t)rate->counts[REG_HIT_MISREAD], "wrong_vehicle",
			       (json_int_t)rate->counts[REG_HIT_WRONG_VEHICLE], "stale_entry",
			       (json_int_t)rate->counts[REG_HIT_STALE_ENTRY], "misread_share", rate->misread,
			       "misread_low", rate->low, "misread_high", rate->high));
	return row;
}

static void answer(struct call *call, struct gantry *gantry, const struct hit_rate *rates, size_t count,
		   enum hit_rates_by by)
{
	size_t limit = (size_t)call_integer(call, "limit", 100);
	json_t *rows = json_array();

	for (size_t i = 0; i < count && i < limit; i++)
		(void)json_array_append_new(rows, rate_row(gantry, &rates[i], by));
	call_result(call, json_pack("{s:o,s:b}", "rates", rows, "more", count > limit));
}

int handle_hits_rates(struct call *call, void *context)
{
	struct gantry *gantry = context;
	struct window window = {call_day(call, "from", 0), call_day(call, "to", STORE_DAY_END - 1)};
	enum hit_rates_by by = by_of(call_text(call, "by"));
	struct hit_life *lives;
	struct hit_rate *rates;
	size_t count;
	int result;

	if (change_register(call, gantry) == NULL)
		return 0;
	if (window.first_day > window.last_day) {
		call_fail(call, CALL_INVALID_PARAMS, "from is behind to");
		return 0;
	}
	result = hit_lives_copy(store_hit_lives(gantry->store), is_assessed, &window, &lives, &count);
	if (result < 0)
		return result;
	result = hit_rates_of(lives, count, by, (uint64_t)call_integer(call, "assessed_min", 20), &rates, &count);
	free(lives);
	if (result < 0)
		return result;
	answer(call, gantry, rates, count, by);
	free(rates);
	return 0;
}
