#include "appliance/present_life.h"

#include "appliance/base/clock.h"
#include "storage/register_hit.h"

const char *present_hit_state(uint8_t state)
{
	static const char *const names[] = {"unacknowledged", "acknowledged", "assessed", "responded", "dismissed"};

	return state < REG_HIT_STATE_END ? names[state] : "unknown";
}

const char *present_disposition(uint8_t disposition)
{
	static const char *const names[] = {NULL, "correct", "misread", "wrong-vehicle", "stale-entry"};

	return disposition < REG_HIT_DISPOSITION_END ? names[disposition] : NULL;
}

json_t *present_step(const struct reg_hit_step *step)
{
	char at[CLOCK_TEXT_SIZE];

	return json_pack("{s:s,s:I,s:s,s:s}", "by", step->account, "uid", (json_int_t)step->uid, "organisation",
			 step->organisation, "at", clock_text_utc(step->time_us, at));
}

static json_t *step_with_text(const struct reg_hit_step *step, const char *text)
{
	json_t *object = present_step(step);

	if (text[0] != '\0')
		(void)json_object_set_new(object, "text", json_string(text));
	return object;
}

json_t *present_life(const struct reg_hit_life *life)
{
	json_t *object = json_pack("{s:s}", "state", present_hit_state(life->state));

	if (life->state >= REG_HIT_ASSESSED)
		(void)json_object_set_new(object, "disposition", json_string(present_disposition(life->disposition)));
	(void)json_object_set_new(object, "acknowledged", present_step(&life->acknowledged));
	if (life->state >= REG_HIT_ASSESSED)
		(void)json_object_set_new(object, "assessed", step_with_text(&life->assessed, life->assessment));
	if (life->state >= REG_HIT_RESPONDED)
		(void)json_object_set_new(object, "ended", step_with_text(&life->ended, life->ending));
	return object;
}
