#include "appliance/subscriptions.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define LOG_MODULE "hits"
#include "appliance/base/array.h"
#include "appliance/base/bytes.h"
#include "appliance/base/clock.h"
#include "appliance/base/err.h"
#include "appliance/base/log.h"
#include "appliance/hit_cursor.h"
#include "appliance/subscription.h"
#include "appliance/subscriptions_set.h"

static struct reg_change head_put(const struct reg_subscription *record, uint8_t buffer[REG_RECORD_SIZE_MAX])
{
	return (struct reg_change){.kind = REG_SUBSCRIPTION,
				   .a = record->number,
				   .value = buffer,
				   .value_size = reg_subscription_encode(record, buffer)};
}

void subscription_positions(const struct subscription *subscription, enum hit_lane index, uint8_t urgent_priority,
			    struct reg_positions *ret_positions)
{
	const struct subscription_lane *lane = &subscription->lanes[index];

	*ret_positions = (struct reg_positions){.number = subscription->record.number,
						.lane = (uint8_t)index,
						.priority = urgent_priority,
						.acknowledged = lane->acknowledged};
	for (unsigned i = 0; i < HIT_SOURCES; i++) {
		ret_positions->receipt_first[i] = lane->receipt_first[i];
		ret_positions->receipt_next[i] = lane->receipt_next[i] + (lane->receipts[i].to != 0);
	}
}

/* The set's lock held, or nobody else about. Takes the subscription over. */
static int put_in(struct subscriptions *set, struct subscription *subscription)
{
	void *grown = array_grow(set->table, set->count, &set->room, sizeof(struct subscription *));

	if (grown == NULL)
		return -ENOMEM;
	set->table = grown;
	set->table[set->count++] = subscription;
	set->generation++;
	if (subscription->record.number > set->highest)
		set->highest = subscription->record.number;
	return 0;
}

static int load_head(struct subscriptions *set, const struct reg_record *record)
{
	struct reg_subscription head;
	struct subscription *subscription;
	int result = reg_subscription_decode(record->value, record->value_size, &head);

	if (result == 0)
		result = subscription_new(&head, set->options.window, &subscription);
	if (result < 0)
		return result;
	result = put_in(set, subscription);
	if (result < 0)
		subscription_free(subscription);
	return result;
}

/* The boundary has moved: a hit's lane may be the other one now, which may have come further. */
static void level(struct subscription *subscription)
{
	struct hit_positions *urgent = &subscription->lanes[HIT_LANE_URGENT].acknowledged;
	struct hit_positions *mass = &subscription->lanes[HIT_LANE_MASS].acknowledged;

	hit_positions_meet(urgent, mass);
	*mass = *urgent;
}

static int load_lane(struct subscriptions *set, const struct reg_record *record)
{
	struct subscription *subscription = set->count > 0 ? set->table[set->count - 1] : NULL;
	struct reg_positions positions;
	struct subscription_lane *lane;
	int result = reg_positions_decode(record->value, record->value_size, &positions);

	if (result < 0 || subscription == NULL || subscription->record.number != positions.number)
		return -EBADMSG;
	lane = &subscription->lanes[positions.lane];
	lane->acknowledged = positions.acknowledged;
	memcpy(lane->receipt_first, positions.receipt_first, sizeof(lane->receipt_first));
	memcpy(lane->receipt_next, positions.receipt_next, sizeof(lane->receipt_next));
	/* They are made together and written one by one, whichever has changed: either may tell. */
	subscription->moved_boundary |= positions.priority != set->options.urgent_priority;
	if (positions.lane == HIT_LANE_COUNT - 1 && subscription->moved_boundary)
		level(subscription);
	return 0;
}

/* In the order of their keys: what a subscription is, then its lanes. */
static int load(void *context, const struct reg_record *record)
{
	return record->b == 0 ? load_head(context, record) : load_lane(context, record);
}

int subscriptions_new(const struct subscriptions_options *options, struct err *err, struct subscriptions **ret_set)
{
	struct subscriptions *set = calloc(1, sizeof(*set));
	int result = 0;

	if (set == NULL)
		return err_set(err, -ENOMEM, "out of memory");
	set->options = *options;
	(void)pthread_mutex_init(&set->lock, NULL);
	(void)pthread_mutex_init(&set->flush_lock, NULL);
	if (options->reg != NULL)
		result = reg_each(options->reg, REG_SUBSCRIPTION, 0, UINT32_MAX, load, set);
	if (result < 0) {
		subscriptions_free(set);
		return err_set(err, result, "the subscriptions of the register: %s", strerror(-result));
	}
	*ret_set = set;
	return 0;
}

struct subscriptions *subscriptions_free(struct subscriptions *set)
{
	struct err err = {""};

	if (set == NULL)
		return NULL;
	/* Twice: a change that failed before goes first. */
	if (subscriptions_flush(set, clock_wall_us(), true, &err) < 0 ||
	    subscriptions_flush(set, clock_wall_us(), true, &err) < 0)
		log_warn("%s; what it covered is delivered again", err.text);
	for (size_t i = 0; i < set->count; i++)
		subscription_free(set->table[i]);
	free(set->table);
	free(set->flush.changes);
	free(set->flush.values);
	bytes_wipe(&set->options, sizeof(set->options));
	(void)pthread_mutex_destroy(&set->flush_lock);
	(void)pthread_mutex_destroy(&set->lock);
	free(set);
	return NULL;
}

/* The set's lock held. */
static struct subscription *find(const struct subscriptions *set, const char *name)
{
	for (size_t i = 0; i < set->count; i++)
		if (!set->table[i]->record.removed && strcmp(set->table[i]->record.name, name) == 0)
			return set->table[i];
	return NULL;
}

static size_t living(const struct subscriptions *set)
{
	size_t count = 0;

	for (size_t i = 0; i < set->count; i++)
		count += !set->table[i]->record.removed;
	return count;
}

static int add_durably(struct subscriptions *set, struct subscription *subscription, const struct hit_positions *now,
		       uint32_t who_uid, struct err *err)
{
	uint8_t values[1 + HIT_LANE_COUNT][REG_RECORD_SIZE_MAX];
	struct reg_change changes[1 + HIT_LANE_COUNT] = {head_put(&subscription->record, values[0])};

	for (unsigned lane = 0; lane < HIT_LANE_COUNT; lane++) {
		struct reg_positions positions;

		subscription->lanes[lane].acknowledged = *now;
		subscription_positions(subscription, lane, set->options.urgent_priority, &positions);
		changes[1 + lane] =
			(struct reg_change){.kind = REG_SUBSCRIPTION,
					    .a = positions.number,
					    .b = 1 + lane,
					    .value = values[1 + lane],
					    .value_size = reg_positions_encode(&positions, values[1 + lane])};
	}
	return reg_change(set->options.reg, changes, 1 + HIT_LANE_COUNT, who_uid, "subscriptions.add", err);
}

/* Changes of the table are made under flush_lock: what is judged here stays so until it is written. */
static int judge_new(struct subscriptions *set, const char *name, struct err *err)
{
	int result = 0;

	(void)pthread_mutex_lock(&set->lock);
	if (find(set, name) != NULL)
		result = err_set(err, -EEXIST, "there is a subscription of that name already; see subscriptions.show");
	else if (living(set) >= SUBSCRIPTIONS_MAX || set->highest == REG_SUBSCRIPTION_NUMBER_MAX)
		result = err_set(err, -ENOSPC, "%d subscriptions already: remove one that nobody uses",
				 SUBSCRIPTIONS_MAX);
	(void)pthread_mutex_unlock(&set->lock);
	return result;
}

/* flush_lock held. */
static int add_locked(struct subscriptions *set, const struct reg_subscription *wanted, const struct hit_positions *now,
		      uint32_t who_uid, struct err *err, uint32_t *ret_number)
{
	struct reg_subscription record = *wanted;
	struct subscription *subscription;
	int result = judge_new(set, wanted->name, err);

	if (result < 0)
		return result;
	record.number = set->highest + 1;
	record.created_us = clock_wall_us();
	record.removed = false;
	if (subscription_new(&record, set->options.window, &subscription) < 0)
		return err_set(err, -ENOMEM, "out of memory");
	result = add_durably(set, subscription, now, who_uid, err);
	if (result == 0) {
		(void)pthread_mutex_lock(&set->lock);
		result = put_in(set, subscription);
		(void)pthread_mutex_unlock(&set->lock);
		if (result < 0)
			result = err_set(err, result, "out of memory; the subscription is there after a restart");
	}
	if (result < 0)
		subscription_free(subscription);
	else
		*ret_number = record.number;
	return result;
}

int subscriptions_add(struct subscriptions *set, const struct reg_subscription *wanted, const struct hit_positions *now,
		      uint32_t who_uid, struct err *err, uint32_t *ret_number)
{
	int result;

	if (set->options.reg == NULL)
		return err_set(err, -ENOKEY, "the register is incomplete: there can be no subscriptions");
	(void)pthread_mutex_lock(&set->flush_lock);
	result = add_locked(set, wanted, now, who_uid, err, ret_number);
	(void)pthread_mutex_unlock(&set->flush_lock);
	return result;
}

/* flush_lock held: durable first, then hidden. */
static int remove_locked(struct subscriptions *set, struct subscription *subscription, uint32_t who_uid,
			 struct err *err)
{
	struct reg_subscription record = subscription->record;
	uint8_t value[REG_RECORD_SIZE_MAX];
	struct reg_change change;
	int result;

	if (record.removed)
		return err_set(err, -ENOENT, "it is removed already");
	record.removed = true;
	record.removed_us = clock_wall_us();
	change = head_put(&record, value);
	result = reg_change(set->options.reg, &change, 1, who_uid, "subscriptions.remove", err);
	if (result < 0)
		return result;
	(void)pthread_mutex_lock(&set->lock);
	subscription->record.removed_us = record.removed_us;
	subscription->record.removed = true;
	set->generation++;
	(void)pthread_mutex_unlock(&set->lock);
	return 0;
}

int subscriptions_remove(struct subscriptions *set, const char *name, uint32_t who_uid, struct err *err)
{
	struct subscription *subscription = subscriptions_take(set, name);
	int result;

	if (subscription == NULL)
		return err_set(err, -ENOENT, "there is no subscription of that name; see subscriptions.show");
	(void)pthread_mutex_lock(&set->flush_lock);
	result = remove_locked(set, subscription, who_uid, err);
	(void)pthread_mutex_unlock(&set->flush_lock);
	if (result == 0)
		subscription_end(subscription, FOLLOWER_REMOVED);
	subscriptions_release(set, subscription);
	return result;
}

struct subscription *subscriptions_take(struct subscriptions *set, const char *name)
{
	struct subscription *subscription;

	(void)pthread_mutex_lock(&set->lock);
	subscription = find(set, name);
	if (subscription != NULL)
		subscription->references++;
	(void)pthread_mutex_unlock(&set->lock);
	return subscription;
}

static struct subscription *take_nth(struct subscriptions *set, size_t index, bool removed_too)
{
	struct subscription *subscription = NULL;

	(void)pthread_mutex_lock(&set->lock);
	for (size_t i = 0; i < set->count && subscription == NULL; i++)
		if (removed_too || !set->table[i]->record.removed)
			if (index-- == 0)
				subscription = set->table[i];
	if (subscription != NULL)
		subscription->references++;
	(void)pthread_mutex_unlock(&set->lock);
	return subscription;
}

struct subscription *subscriptions_take_at(struct subscriptions *set, size_t index)
{
	return take_nth(set, index, false);
}

struct subscription *subscriptions_take_any(struct subscriptions *set, size_t index)
{
	return take_nth(set, index, true);
}

/* The table holds a reference of its own, so the last one is never given back while it is there. */
void subscriptions_release(struct subscriptions *set, struct subscription *subscription)
{
	bool last;

	(void)pthread_mutex_lock(&set->lock);
	last = --subscription->references == 0;
	(void)pthread_mutex_unlock(&set->lock);
	if (last)
		subscription_free(subscription);
}

uint64_t subscriptions_generation(struct subscriptions *set)
{
	uint64_t generation;

	(void)pthread_mutex_lock(&set->lock);
	generation = set->generation;
	(void)pthread_mutex_unlock(&set->lock);
	return generation;
}

static struct hit_cursor_owner owner_of(const struct subscription *subscription)
{
	return (struct hit_cursor_owner){subscription->record.number, subscription->record.created_us};
}

const char *subscriptions_cursor(struct subscriptions *set, const struct subscription *subscription, enum hit_lane lane,
				 const struct hit_positions *positions, char *text)
{
	struct hit_cursor_owner owner = owner_of(subscription);

	return hit_cursor_write(set->options.key, &owner, lane, positions, text);
}

int subscriptions_acknowledge(struct subscriptions *set, struct subscription *subscription, const char *cursor,
			      struct hit_latency *latency, size_t *ret_count)
{
	struct hit_cursor_owner owner = owner_of(subscription);
	struct hit_positions positions;
	enum hit_lane lane;
	int result = hit_cursor_read(set->options.key, &owner, cursor, &lane, &positions);

	if (result == 0)
		*ret_count = subscription_acknowledge(subscription, lane, &positions, clock_wall_us(), latency);
	return result;
}
