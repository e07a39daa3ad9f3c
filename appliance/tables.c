#include "appliance/tables.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "appliance/base/bytes.h"
#include "appliance/feed_state.h"
#include "appliance/hit_rules.h"
#include "matcher/matchset.h"
#include "storage/mark_set.h"
#include "storage/register.h"

int matching_new(struct matchset *set, unsigned workers, struct matching **ret_matching)
{
	struct matching *matching = calloc(1, sizeof(*matching));

	if (matching == NULL)
		goto no_memory;
	matching->set = set;
	matching->workers = workers;
	matching->references = 1;
	matching->scratches = calloc(workers, sizeof(struct match_scratch *));
	if (matching->scratches == NULL)
		goto no_memory;
	for (unsigned i = 0; i < workers; i++)
		if (match_scratch_new(set, &matching->scratches[i]) < 0)
			goto no_memory;
	*ret_matching = matching;
	return 0;

no_memory:
	if (matching != NULL)
		(void)matching_release(matching);
	else
		(void)matchset_free(set);
	return -ENOMEM;
}

struct matching *matching_hold(struct matching *matching)
{
	if (matching != NULL)
		matching->references++;
	return matching;
}

struct matching *matching_release(struct matching *matching)
{
	if (matching == NULL || --matching->references > 0)
		return NULL;
	for (unsigned i = 0; matching->scratches != NULL && i < matching->workers; i++)
		(void)match_scratch_free(matching->scratches[i]);
	free(matching->scratches);
	(void)matchset_free(matching->set);
	free(matching);
	return NULL;
}

struct making {
	struct reg *reg;
	struct tables *tables;
	tables_state_of *state_of;
	void *context;
	size_t count;
};

static int count_record(void *context, const struct reg_record *record)
{
	struct making *making = context;

	(void)record;
	making->count++;
	return 0;
}

static int count_kind(struct making *making, enum reg_kind kind, size_t *ret_count)
{
	making->count = 0;
	int result = reg_each(making->reg, kind, 0, UINT32_MAX, count_record, making);
	*ret_count = making->count;
	return result;
}

static int take_feed(void *context, const struct reg_record *record)
{
	struct making *making = context;
	struct tables *tables = making->tables;
	struct feed_entry *entry = &tables->feeds[tables->feed_count];
	struct reg_feed feed;
	int result = reg_feed_decode(record->value, record->value_size, &feed);

	if (result < 0 || feed.state == REG_FEED_REMOVED)
		return result;
	entry->feed = feed.feed;
	entry->active = feed.state == REG_FEED_ACTIVE;
	entry->all_cameras = feed.all_cameras;
	entry->has_key_next = feed.has_key_next;
	memcpy(entry->key, feed.key, sizeof(entry->key));
	memcpy(entry->key_next, feed.key_next, sizeof(entry->key_next));
	entry->state = making->state_of(making->context, feed.feed, feed.key, feed.has_key_next ? feed.key_next : NULL);
	bytes_wipe(&feed, sizeof(feed));
	if (entry->state == NULL)
		return -ENOMEM;
	slot_put(&tables->by_feed, (uint64_t)entry->feed + 1, (uint32_t)tables->feed_count);
	tables->feed_count++;
	return 0;
}

static int take_camera(void *context, const struct reg_record *record)
{
	struct making *making = context;
	struct reg_camera camera;
	int result = reg_camera_decode(record->value, record->value_size, &camera);

	if (result == 0)
		places_add(&making->tables->places, camera.camera, (struct area_point){camera.lat_e7, camera.lon_e7},
			   camera.type, camera.suspended);
	return result;
}

/* Bindings come after cameras: they carry what is known of the camera, so that a worker needs one probe. */
static int take_binding(void *context, const struct reg_record *record)
{
	struct making *making = context;
	uint32_t camera = slot_find(&making->tables->places.by_camera, (uint64_t)record->b + 1);

	if (camera != 0)
		slot_put(&making->tables->bindings, (uint64_t)record->a << 32 | record->b, camera - 1);
	return 0;
}

static int make_slots(struct tables *tables)
{
	tables->slots = calloc(tables->workers, sizeof(uint32_t *));
	tables->slot_counts = calloc(tables->workers, sizeof(uint32_t));
	if (tables->slots == NULL || tables->slot_counts == NULL)
		return -ENOMEM;
	for (size_t i = 0; i < tables->feed_count; i++) {
		const struct feed_state *state = tables->feeds[i].state;

		if (tables->slot_counts[state->worker] < state->slot + 1u)
			tables->slot_counts[state->worker] = state->slot + 1u;
	}
	for (unsigned worker = 0; worker < tables->workers; worker++) {
		tables->slots[worker] = calloc(tables->slot_counts[worker] + 1, sizeof(uint32_t));
		if (tables->slots[worker] == NULL)
			return -ENOMEM;
	}
	for (size_t i = 0; i < tables->feed_count; i++) {
		const struct feed_state *state = tables->feeds[i].state;

		tables->slots[state->worker][state->slot] = (uint32_t)i + 1;
	}
	return 0;
}

int tables_new(struct reg *reg, struct matching *matching, unsigned workers, tables_state_of *state_of, void *context,
	       struct tables **ret_tables)
{
	struct tables *tables = calloc(1, sizeof(*tables));
	struct making making = {.reg = reg, .tables = tables, .state_of = state_of, .context = context};
	size_t feed_count = 0;
	size_t camera_count = 0;
	size_t binding_count = 0;
	int result;

	if (tables == NULL)
		return -ENOMEM;
	tables->workers = workers;
	if (reg != NULL && ((result = count_kind(&making, REG_FEED, &feed_count)) < 0 ||
			    (result = count_kind(&making, REG_CAMERA, &camera_count)) < 0 ||
			    (result = count_kind(&making, REG_BINDING, &binding_count)) < 0))
		goto failed;
	tables->feeds = calloc(feed_count + 1, sizeof(struct feed_entry));
	if (tables->feeds == NULL) {
		result = -ENOMEM;
		goto failed;
	}
	if ((result = slot_table_init(&tables->by_feed, feed_count)) < 0 ||
	    (result = places_init(&tables->places, camera_count)) < 0 ||
	    (result = slot_table_init(&tables->bindings, binding_count)) < 0)
		goto failed;
	if (reg != NULL && ((result = reg_each(reg, REG_FEED, 0, UINT32_MAX, take_feed, &making)) < 0 ||
			    (result = reg_each(reg, REG_CAMERA, 0, UINT32_MAX, take_camera, &making)) < 0 ||
			    (result = reg_each(reg, REG_BINDING, 0, UINT32_MAX, take_binding, &making)) < 0))
		goto failed;
	if ((result = make_slots(tables)) < 0)
		goto failed;
	tables->matching = matching_hold(matching);
	*ret_tables = tables;
	return 0;

failed:
	(void)tables_free(tables);
	return result;
}

struct tables *tables_free(struct tables *tables)
{
	if (tables == NULL)
		return NULL;
	(void)matching_release(tables->matching);
	mark_set_release(tables->marks);
	(void)hit_rules_free(tables->rules);
	for (unsigned worker = 0; tables->slots != NULL && worker < tables->workers; worker++)
		free(tables->slots[worker]);
	free(tables->slots);
	free(tables->slot_counts);
	slot_table_fini(&tables->by_feed);
	places_fini(&tables->places);
	slot_table_fini(&tables->bindings);
	if (tables->feeds != NULL)
		bytes_wipe(tables->feeds, tables->feed_count * sizeof(struct feed_entry));
	free(tables->feeds);
	free(tables);
	return NULL;
}
