/* The feeds, each with a slot for ever, and the tables in which the workers find them. */
#include "appliance/gantry_inside.h"

#include <errno.h>
#include <rte_rcu_qsbr.h>
#include <stdlib.h>
#include <string.h>

#include "appliance/base/bytes.h"
#include "appliance/base/clock.h"
#include "appliance/feed_state.h"
#include "appliance/gate.h"
#include "appliance/tables.h"
#include "storage/marks.h"
#include "storage/register.h"
#include "storage/store.h"

static struct feed_state *feed_state_new(struct gantry *gantry, uint32_t feed, const uint8_t key[32],
					 const uint8_t *key_next)
{
	unsigned owner = feed % gantry->worker_count;
	struct feed_slots *slots = &gantry->slots[owner];
	struct feed_state *state;

	if (slots->states == NULL)
		slots->states = calloc(FEED_SLOTS_MAX, sizeof(struct feed_state *));
	if (slots->states == NULL || slots->count == FEED_SLOTS_MAX)
		return NULL;
	state = aligned_alloc(64, (sizeof(*state) + 63) / 64 * 64);
	if (state == NULL)
		return NULL;
	memset(state, 0, sizeof(*state));
	state->feed = feed;
	state->worker = owner;
	state->slot = (uint16_t)slots->count;
	state->last_seen_ns = INT64_MIN / 2;
	atomic_init(&state->shown.clock_synchronised, -1);
	memcpy(state->key, key, sizeof(state->key));
	state->has_key_next = key_next != NULL;
	if (key_next != NULL)
		memcpy(state->key_next, key_next, sizeof(state->key_next));
	feed_peer_init(&state->peer, feed, (uint8_t)owner, state->slot, key, key_next, clock_mono_ns());
	slots->states[slots->count++] = state;
	return state;
}

static struct feed_state *feed_state_of(void *context, uint32_t feed, const uint8_t key[32], const uint8_t *key_next)
{
	struct gantry *gantry = context;
	const struct feed_slots *slots = &gantry->slots[feed % gantry->worker_count];
	const struct feed_entry *known = gantry->tables != NULL ? tables_feed(gantry->tables, feed) : NULL;

	if (known != NULL)
		return known->state;
	/* A feed that was removed and is registered again: rare, so a search is good enough. */
	for (uint32_t i = 0; i < slots->count; i++)
		if (slots->states[i]->feed == feed)
			return slots->states[i];
	return feed_state_new(gantry, feed, key, key_next);
}

int gantry_publish(struct gantry *gantry, struct err *err)
{
	struct reg *reg = store_register(gantry->store, NULL);
	struct tables *old = gantry->tables;
	struct tables *tables;
	int result;

	result = tables_new(reg, gantry->matching, gantry->worker_count, feed_state_of, gantry, &tables);
	if (result < 0)
		return err_set(err, result, "new tables for the workers: %s", strerror(-result));
	result = gate_rules(gantry, tables, &tables->rules);
	if (result < 0) {
		(void)tables_free(tables);
		return err_set(err, result, "new tables for the workers: %s", strerror(-result));
	}
	tables->incomplete = !gantry_lists_complete(gantry);
	tables->marks = marks_hold(store_marks(gantry->store));
	tables->generation = atomic_fetch_add(&gantry->tables_generation, 1) + 1;
	for (unsigned i = 0; i < gantry->worker_count; i++)
		worker_publish(gantry->workers[i], tables);
	pthread_mutex_lock(&gantry->tables_lock);
	gantry->tables = tables;
	pthread_mutex_unlock(&gantry->tables_lock);
	if (gantry->workers_running)
		rte_rcu_qsbr_synchronize(gantry->quiescence, RTE_QSBR_THRID_INVALID);
	(void)tables_free(old);
	return 0;
}

void gantry_feeds_free(struct gantry *gantry)
{
	for (unsigned worker = 0; worker < gantry->worker_count; worker++) {
		struct feed_slots *slots = &gantry->slots[worker];

		for (uint32_t i = 0; i < slots->count; i++) {
			feed_peer_fini(&slots->states[i]->peer);
			bytes_wipe(slots->states[i], sizeof(*slots->states[i]));
			free(slots->states[i]);
		}
		free(slots->states);
	}
}
