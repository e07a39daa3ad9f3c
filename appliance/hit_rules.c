#include "appliance/hit_rules.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define LOG_MODULE "lists"
#include "appliance/base/log.h"
#include "appliance/base/read.h"
#include "matcher/list.h"

struct hit_ground {
	unsigned references;    /* control threads that change tables, one at a time */
	uint64_t places_digest; /* of the places that of_place was made for */
	struct list_conditions conditions;
	size_t count;
	struct area areas[LIST_AREAS_MAX];
	uint8_t of_place[]; /* number of the first area that holds it + 1; 0: none */
};

static uint8_t area_of(const struct hit_ground *ground, struct area_point point)
{
	for (size_t i = 0; i < ground->count; i++)
		if (area_contains(&ground->areas[i], point))
			return (uint8_t)(i + 1);
	return 0;
}

static bool same_areas(const struct list_conditions *a, const struct list_conditions *b)
{
	return a->area_count == b->area_count && memcmp(a->areas, b->areas, sizeof(a->areas)) == 0;
}

static struct hit_ground *ground_hold(const struct hit_rules *old, const struct list_info *info, uint64_t digest)
{
	const struct hit_rule *rule = old != NULL ? hit_rules_find(old, info->id) : NULL;

	if (rule == NULL || rule->ground == NULL || rule->ground->places_digest != digest ||
	    !same_areas(&rule->ground->conditions, &info->conditions))
		return NULL;
	rule->ground->references++;
	return rule->ground;
}

static struct hit_ground *ground_release(struct hit_ground *ground)
{
	if (ground != NULL && --ground->references == 0)
		free(ground);
	return NULL;
}

/* 0 with *ret_ground NULL when an area cannot be read: an alarm too many is better than one that is lost. */
static int ground_new(const struct list_info *info, const struct places *places, struct hit_ground **ret_ground)
{
	struct hit_ground *ground = calloc(1, sizeof(*ground) + places->count);
	struct err err = {""};

	if (ground == NULL)
		return -ENOMEM;
	ground->references = 1;
	ground->places_digest = places->digest;
	ground->conditions = info->conditions;
	*ret_ground = NULL;
	for (; ground->count < info->conditions.area_count; ground->count++) {
		const char *text = list_area_text(&info->conditions, (unsigned)ground->count);

		if (area_parse(text, &err, &ground->areas[ground->count]) < 0) {
			log_error("list %u: its areas cannot be read (%s): it hits everywhere; set them again",
				  info->id, err.text);
			free(ground);
			return 0;
		}
	}
	for (size_t i = 0; i < places->count; i++)
		ground->of_place[i] = area_of(ground, places->table[i].point);
	*ret_ground = ground;
	return 0;
}

static int take_list(struct hit_rules *rules, const struct list_info *info, const struct hit_rules_options *options)
{
	const struct list_conditions *conditions = &info->conditions;
	struct hit_rule *rule = &rules->rules[rules->count];
	int result = 0;

	*rule = (struct hit_rule){.list = info->id,
				  .generation = info->generation,
				  .suppress_minutes = info->suppress_minutes,
				  .suppress_scope = (uint8_t)info->suppress_scope,
				  .conditions = *conditions};
	slot_put(&rules->by_list, (uint64_t)info->id + 1, (uint32_t)rules->count++);
	if (conditions->area_count > 0)
		rule->ground = ground_hold(options->old, info, options->places->digest);
	if (conditions->area_count > 0 && rule->ground == NULL)
		result = ground_new(info, options->places, &rule->ground);
	rule->conditional = rule->ground != NULL || conditions->window_count > 0 || conditions->directions != 0 ||
			    conditions->camera_types != 0;
	return result;
}

/* Room for `count` lists, and the rule of clones. */
static int rules_new(size_t count, const struct hit_rules_options *options, struct hit_rules **ret_rules)
{
	struct hit_rules *rules = calloc(1, sizeof(*rules));
	int result;

	if (rules == NULL)
		return -ENOMEM;
	rules->zone = *options->zone;
	rules->rules = calloc(count + 1, sizeof(*rules->rules));
	result = slot_table_init(&rules->by_list, count + 1);
	if (rules->rules == NULL || result < 0) {
		(void)hit_rules_free(rules);
		return -ENOMEM;
	}
	rules->rules[0] =
		(struct hit_rule){.suppress_minutes = options->clone_minutes, .suppress_scope = LIST_SCOPE_ANYWHERE};
	slot_put(&rules->by_list, 1, 0);
	rules->count = 1;
	*ret_rules = rules;
	return 0;
}

static int rules_give(struct hit_rules *rules, int result, struct hit_rules **ret_rules)
{
	if (result < 0) {
		(void)hit_rules_free(rules);
		return result;
	}
	*ret_rules = rules;
	return 0;
}

int hit_rules_new(const struct list *const *lists, size_t count, const struct hit_rules_options *options,
		  struct hit_rules **ret_rules)
{
	struct hit_rules *rules = NULL;
	int result = rules_new(count, options, &rules);

	for (size_t i = 0; i < count && result == 0; i++)
		result = take_list(rules, list_info(lists[i]), options);
	return rules_give(rules, result, ret_rules);
}

int hit_rules_of_head(const struct list_info *info, const struct hit_rules_options *options,
		      struct hit_rules **ret_rules)
{
	struct hit_rules *rules = NULL;
	int result = rules_new(1, options, &rules);

	if (result == 0)
		result = take_list(rules, info, options);
	return rules_give(rules, result, ret_rules);
}

struct hit_rules *hit_rules_free(struct hit_rules *rules)
{
	if (rules == NULL)
		return NULL;
	for (size_t i = 0; i < rules->count; i++)
		(void)ground_release(rules->rules[i].ground);
	free(rules->rules);
	slot_table_fini(&rules->by_list);
	free(rules);
	return NULL;
}

const struct hit_rule *hit_rules_find(const struct hit_rules *rules, uint32_t list)
{
	uint32_t found = slot_find(&rules->by_list, (uint64_t)list + 1);

	return found == 0 ? NULL : &rules->rules[found - 1];
}

/* 0: in none of the list's areas. */
static uint8_t ground_area(const struct hit_ground *ground, uint32_t place, const struct read *read)
{
	if ((read->flags & READ_FLAG_POSITION) != 0)
		return area_of(ground, (struct area_point){read->lat_e7, read->lon_e7});
	return place != PLACE_NONE ? ground->of_place[place] : 0;
}

bool hit_rule_admits(const struct hit_rules *rules, const struct hit_rule *rule, const struct places *places,
		     uint32_t place, const struct read *read)
{
	unsigned type = place != PLACE_NONE ? places->table[place].type : LIST_CAMERA_TYPES;
	unsigned minute = 0;

	if (!rule->conditional)
		return true;
	if (rule->conditions.window_count > 0)
		minute = zone_minute_of_week(&rules->zone, read->capture_us);
	if (!list_conditions_hold(&rule->conditions, minute, read->direction, type))
		return false;
	return rule->ground == NULL || ground_area(rule->ground, place, read) != 0;
}

bool hit_gate_admits(const struct hit_rules *rules, const struct places *places, uint32_t list, const struct read *read)
{
	const struct hit_rule *rule = hit_rules_find(rules, list);

	return rule == NULL || hit_rule_admits(rules, rule, places, places_find(places, read->camera), read);
}

/* Rounds down, also west of Greenwich. */
static int32_t tile(int32_t e7, int32_t size)
{
	return e7 / size - (e7 % size < 0);
}

static struct hit_spot spot_of_area(const struct hit_rule *rule, const struct places *places, uint32_t place,
				    const struct read *read)
{
	struct area_point point = {read->lat_e7, read->lon_e7};

	if (rule->ground != NULL)
		return (struct hit_spot){ground_area(rule->ground, place, read), 0};
	if ((read->flags & READ_FLAG_POSITION) == 0) {
		if (place == PLACE_NONE)
			return (struct hit_spot){(int32_t)read->camera, INT32_MAX};
		point = places->table[place].point;
	}
	return (struct hit_spot){tile(point.lat_e7, HIT_TILE_LAT_E7), tile(point.lon_e7, HIT_TILE_LON_E7)};
}

struct hit_spot hit_rule_spot(const struct hit_rule *rule, const struct places *places, uint32_t place,
			      const struct read *read)
{
	switch ((enum list_scope)rule->suppress_scope) {
	case LIST_SCOPE_CAMERA:
		return (struct hit_spot){(int32_t)read->camera, 0};
	case LIST_SCOPE_AREA:
		return spot_of_area(rule, places, place, read);
	case LIST_SCOPE_ANYWHERE:
	case LIST_SCOPE_COUNT:
		break;
	}
	return (struct hit_spot){0, 0};
}
