#include "appliance/gate.h"

#include <errno.h>
#include <stdlib.h>

#include "appliance/base/clock.h"
#include "appliance/cells.h"
#include "appliance/config.h"
#include "appliance/counters.h"
#include "appliance/gantry.h"
#include "appliance/hit_rules.h"
#include "appliance/tables.h"

static int make_tables(const struct config *config, struct gate *gate, struct err *err)
{
	if (cells_new((size_t)config->repeats_mib << 20, &gate->repeats) < 0)
		return err_set(err, -ENOMEM, "no memory for repeats; lower lists.repeats");
	if (!config->clones_detect)
		return 0;
	if (cells_new((size_t)config->clones_mib << 20, &gate->sightings) < 0)
		return err_set(err, -ENOMEM,
			       "no memory for sightings; lower clones.memory, or set clones.detect to no");
	gate->clones = (struct clones){
		.settings = {.speed_kmh = (uint32_t)config->clones_speed_kmh,
			     .slack_s = (uint32_t)config->clones_slack_s,
			     .distance_m = (uint32_t)config->clones_distance_m,
			     .confidence = (uint8_t)config->clones_confidence,
			     .sightings = (uint8_t)config->clones_sightings,
			     .priority = (uint8_t)config->clones_priority},
		.cells = gate->sightings,
	};
	return 0;
}

int gate_new(const struct config *config, struct err *err, struct gate **ret_gate)
{
	struct gate *gate = calloc(1, sizeof(*gate));
	int result;

	if (gate == NULL)
		return err_set(err, -ENOMEM, "out of memory");
	gate->clone_minutes = (uint16_t)config->clones_minutes;
	result = zone_load(config->zone, clock_wall_us() / 1000000, err, &gate->zone);
	if (result < 0)
		(void)err_prefix(err, result, "lists.zone");
	else
		result = make_tables(config, gate, err);
	if (result < 0) {
		(void)gate_free(gate);
		return result;
	}
	*ret_gate = gate;
	return 0;
}

struct gate *gate_free(struct gate *gate)
{
	if (gate == NULL)
		return NULL;
	(void)cells_free(gate->repeats);
	(void)cells_free(gate->sightings);
	free(gate);
	return NULL;
}

int gate_rules(const struct gantry *gantry, const struct tables *tables, struct hit_rules **ret_rules)
{
	const struct hit_rules_options options = {
		.places = &tables->places,
		.zone = &gantry->gate->zone,
		.old = gantry->tables != NULL ? gantry->tables->rules : NULL,
		.clone_minutes = gantry->gate->clone_minutes,
	};

	return hit_rules_new((const struct list *const *)gantry->lists, gantry->list_count, &options, ret_rules);
}

json_t *gate_json(const struct gantry *gantry)
{
	json_t *object = json_object();

	if (object == NULL)
		return NULL;
#define GATE_SUM(name, help)                                                                                           \
	{                                                                                                              \
		uint64_t sum = 0;                                                                                      \
		for (unsigned i = 0; i < gantry->worker_count; i++)                                                    \
			sum += counter_get(&worker_counters(gantry->workers[i])->name);                                \
		(void)json_object_set_new(object, #name, json_integer((json_int_t)sum));                               \
	}
	GATE_COUNTERS(GATE_SUM)
#undef GATE_SUM
	(void)json_object_set_new(object, "clones_detected", json_boolean(gantry->gate->sightings != NULL));
	(void)json_object_set_new(object, "repeats_bytes", json_integer((json_int_t)cells_size(gantry->gate->repeats)));
	(void)json_object_set_new(
		object, "clones_bytes",
		json_integer(gantry->gate->sightings == NULL ? 0 : (json_int_t)cells_size(gantry->gate->sightings)));
	return object;
}
