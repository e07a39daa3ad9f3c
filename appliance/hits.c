#include "appliance/hits.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "appliance/base/bytes.h"
#include "appliance/base/digest.h"
#include "appliance/base/err.h"
#include "appliance/escalation.h"
#include "appliance/gantry.h"
#include "appliance/hits_inside.h"
#include "storage/hit_scan.h"
#include "storage/keyring.h"
#include "storage/late_hits.h"
#include "storage/store.h"

/* Of cursors: from the key of public ids, which is the same for ever. */
static int cursor_key(struct gantry *gantry, uint8_t ret_key[SUBSCRIPTIONS_KEY_SIZE])
{
	const struct key_id id = {.day = KEY_DAY_NONE, .kind = KEY_IDENTITY};
	static const char info[] = "gantry hit cursor";
	uint8_t key[KEY_SIZE];
	int result = keyring_get(store_keyring(gantry->store), id, key);

	if (result < 0)
		return result;
	hkdf_sha256(NULL, 0, key, sizeof(key), info, sizeof(info) - 1, ret_key, SUBSCRIPTIONS_KEY_SIZE);
	bytes_wipe(key, sizeof(key));
	return 0;
}

static int start_subscriptions(struct hits *hits, struct err *err)
{
	struct gantry *gantry = hits->gantry;
	struct subscriptions_options options = {
		.reg = store_register(gantry->store, NULL),
		.urgent_priority = hits->urgent_priority,
		.window = (size_t)gantry->config.hits_window,
		.receipts_us = gantry->config.retention_days * DAY_US,
		.guard = store_clock_guard(gantry->store),
	};
	int result = 0;

	/* Without a register nobody subscribes, and the key may be one of the things that are missing. */
	if (options.reg != NULL)
		result = cursor_key(gantry, options.key);
	if (result < 0)
		return err_set(err, result, "the key of hits' cursors: %s", strerror(-result));
	result = subscriptions_new(&options, err, &hits->subscriptions);
	bytes_wipe(options.key, sizeof(options.key));
	return result;
}

/* What was there before this start is behind both rings: the store has it. */
static int start_rings(struct hits *hits, struct err *err)
{
	const size_t sizes[HIT_LANE_COUNT] = {(size_t)hits->gantry->config.hits_urgent_ring,
					      (size_t)hits->gantry->config.hits_mass_ring};
	struct hit_positions behind;
	int result = 0;

	for (unsigned i = 0; i < HIT_SOURCES; i++)
		behind.at[i] = hit_source_at(i) == HIT_SOURCE_LATE
				       ? late_hits_highest(store_late_hits(hits->gantry->store))
				       : hit_highest(hits->gantry->store, hit_source_at(i));
	for (unsigned lane = 0; lane < HIT_LANE_COUNT && result == 0; lane++)
		result = hit_ring_new(sizes[lane], &behind, &hits->rings[lane]);
	return result < 0 ? err_set(err, result, "the rings of hits: %s", strerror(-result)) : 0;
}

/* What a subscriber has acknowledged was a number once, even where nothing else remembers it. */
static void number_behind(struct hits *hits)
{
	struct subscription *subscription;

	for (size_t i = 0; (subscription = subscriptions_take_at(hits->subscriptions, i)) != NULL; i++) {
		for (unsigned lane = 0; lane < HIT_LANE_COUNT; lane++)
			for (unsigned source = 0; source < HIT_SOURCES; source++)
				hit_number_behind(hits->gantry->store,
						  subscription->lanes[lane].acknowledged.at[source]);
		subscriptions_release(hits->subscriptions, subscription);
	}
}

static int start_couriers(struct hits *hits, struct err *err)
{
	int result = courier_start_catcher(hits, err, &hits->catcher);

	for (unsigned lane = 0; lane < HIT_LANE_COUNT && result == 0; lane++)
		result = courier_start_lane(hits, lane, err, &hits->lanes[lane]);
	return result;
}

int hits_start(struct gantry *gantry, struct hits **ret_hits, struct err *err)
{
	struct hits *hits = calloc(1, sizeof(*hits));
	int result;

	if (hits == NULL)
		return err_set(err, -ENOMEM, "out of memory");
	hits->gantry = gantry;
	(void)pthread_mutex_init(&hits->late_lock, NULL);
	hits->urgent_priority = (uint8_t)gantry->config.hits_urgent_priority;
	if ((result = hit_latency_new(&hits->latency)) < 0)
		(void)err_set(err, result, "out of memory");
	else if ((result = start_rings(hits, err)) == 0 && (result = start_subscriptions(hits, err)) == 0) {
		number_behind(hits);
		result = start_couriers(hits, err);
	}
	if (result < 0) {
		hits_stop(hits);
		return result;
	}
	*ret_hits = hits;
	return 0;
}

/* Those of the lanes first: they wake the one that catches up, which looks at the lanes' rings. */
struct hits *hits_stop(struct hits *hits)
{
	if (hits == NULL)
		return NULL;
	for (unsigned lane = 0; lane < HIT_LANE_COUNT; lane++)
		hits->lanes[lane] = courier_stop(hits->lanes[lane]);
	hits->catcher = courier_stop(hits->catcher);
	hits->subscriptions = subscriptions_free(hits->subscriptions);
	for (unsigned lane = 0; lane < HIT_LANE_COUNT; lane++)
		hits->rings[lane] = hit_ring_free(hits->rings[lane]);
	hits->latency = hit_latency_free(hits->latency);
	(void)pthread_mutex_destroy(&hits->late_lock);
	free(hits);
	return NULL;
}

struct subscriptions *hits_subscriptions(struct hits *hits)
{
	return hits->subscriptions;
}

/* Runs of one lane go to its ring together. */
static void publish(struct hits *hits, const struct hit_found *found, size_t count)
{
	size_t first = 0;

	for (size_t i = 1; i <= count; i++) {
		enum hit_lane lane = hits_lane_of(hits, found[first].hit.priority);

		if (i < count && hits_lane_of(hits, found[i].hit.priority) == lane)
			continue;
		hit_ring_put(hits->rings[lane], &found[first], i - first);
		first = i;
	}
}

void gantry_hits_publish(struct gantry *gantry, const struct hit_found *found, size_t count)
{
	struct hits *hits = gantry->hits;
	size_t first = 0;

	if (hits == NULL)
		return;
	for (size_t i = 0; i <= count; i++) {
		if (i < count && (found[i].hit.flags & HIT_FLAG_REPEAT) == 0)
			continue;
		if (i > first)
			publish(hits, &found[first], i - first);
		for (; first < i; first++)
			escalation_take(gantry->escalation, &found[first].hit, &found[first].read);
		atomic_fetch_add_explicit(&hits->repeats, i < count, memory_order_relaxed);
		first = i + 1;
	}
}

static int found_compare(const void *a, const void *b)
{
	const struct hit_found *x = a, *y = b;

	return x->hit.number < y->hit.number ? -1 : x->hit.number > y->hit.number;
}

/* Days give numbers their order, not the places in the array. `found` has room for all. */
static void publish_late(struct gantry *gantry, const struct late_hit *hits, size_t count, struct hit_found *found)
{
	size_t fresh = 0;

	for (size_t i = 0; i < count; i++)
		if (hits[i].found.hit.number != 0)
			found[fresh++] = hits[i].found;
	qsort(found, fresh, sizeof(*found), found_compare);
	gantry_hits_publish(gantry, found, fresh);
	bytes_wipe(found, count * sizeof(*found));
}

int gantry_hits_put_late(struct gantry *gantry, struct late_hit *hits, size_t count, uint32_t who_uid, struct err *err,
			 size_t *ret_put)
{
	struct hit_found *found = calloc(count + 1, sizeof(*found));
	int result;

	if (found == NULL)
		return err_set(err, -ENOMEM, "out of memory");
	(void)pthread_mutex_lock(&gantry->hits->late_lock);
	result = late_hits_put(store_late_hits(gantry->store), hits, count, who_uid, err, ret_put);
	if (result == 0)
		publish_late(gantry, hits, count, found);
	(void)pthread_mutex_unlock(&gantry->hits->late_lock);
	free(found);
	return result;
}

void hits_info(struct hits *hits, struct hits_info *ret_info)
{
	struct subscription *subscription;

	memset(ret_info, 0, sizeof(*ret_info));
	for (unsigned lane = 0; lane < HIT_LANE_COUNT; lane++) {
		struct hit_ring_info ring;

		hit_ring_info(hits->rings[lane], &ring);
		ret_info->published += ring.put;
	}
	ret_info->repeats = atomic_load(&hits->repeats);
	for (size_t i = 0; (subscription = subscriptions_take_at(hits->subscriptions, i)) != NULL; i++) {
		(void)pthread_mutex_lock(&subscription->lock);
		for (unsigned lane = 0; lane < HIT_LANE_COUNT; lane++) {
			ret_info->delivered += subscription->lanes[lane].delivered;
			ret_info->acknowledged += subscription->lanes[lane].acknowledged_count;
			ret_info->caught_up += subscription->lanes[lane].from_store;
		}
		(void)pthread_mutex_unlock(&subscription->lock);
		subscriptions_release(hits->subscriptions, subscription);
	}
}
