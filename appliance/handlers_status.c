#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "appliance/escalation.h"
#include "appliance/fold.h"
#include "appliance/attendant.h"
#include "appliance/base/bytes.h"
#include "appliance/base/clock.h"
#include "appliance/calendar.h"
#include "appliance/counters.h"
#include "appliance/feed_state.h"
#include "appliance/gantry.h"
#include "appliance/gate.h"
#include "appliance/handlers.h"
#include "appliance/hits.h"
#include "appliance/lists_age.h"
#include "appliance/present.h"
#include "appliance/tables.h"
#include "appliance/totals.h"
#include "gantry-config.h"
#include "matcher/list.h"
#include "mgmt/call.h"
#include "storage/clock_guard.h"
#include "storage/register.h"
#include "storage/marks.h"
#include "storage/store.h"

static json_t *refused_by(const uint64_t refused[REFUSAL_COUNT])
{
	json_t *object = json_object();

	for (unsigned i = 1; object != NULL && i < REFUSAL_COUNT; i++)
		(void)json_object_set_new(object, present_refusal((enum refusal)i),
					  json_integer((json_int_t)refused[i]));
	return object;
}

static json_t *totals_json(const struct totals *totals)
{
	return json_pack("{s:I,s:I,s:I,s:I,s:I,s:o,s:I,s:I,s:I,s:I,s:I,s:I,s:b}", "received", (json_int_t)totals->reads,
			 "acknowledged", (json_int_t)totals->acknowledged, "stored", (json_int_t)totals->stored,
			 "collapsed", (json_int_t)totals->collapsed, "refused", (json_int_t)totals->refused_total,
			 "refused_by", refused_by(totals->refused), "deferred", (json_int_t)totals->deferred,
			 "duplicate", (json_int_t)totals->repeated, "pushed_back", (json_int_t)totals->pushed_back,
			 "lost", (json_int_t)totals->lost, "erased", (json_int_t)totals->erased, "purged",
			 (json_int_t)totals->purged, "balance_ok", totals->balanced);
}

static json_t *workers_json(struct gantry *gantry, const struct attendant_info *info)
{
	json_t *array = json_array();

	for (unsigned i = 0; array != NULL && i < gantry->worker_count; i++) {
		struct worker_counters *counters = worker_counters(gantry->workers[i]);
		int64_t running_ns;
		uint64_t slept_ns;
		uint32_t credit;

		worker_load(gantry->workers[i], &running_ns, &slept_ns, &credit);
		(void)json_array_append_new(array, json_pack("{s:i,s:I,s:I,s:f,s:I}", "id", (int)i, "rx",
							     (json_int_t)counter_get(&counters->feed[FEED_OPENED_DATA]),
							     "reads", (json_int_t)counter_get(&counters->durable_reads),
							     "busy_percent", info->busy_permille[i] / 10.0, "credit",
							     (json_int_t)credit));
	}
	return array;
}

static json_t *lane_json(const struct feed_shown *shown, unsigned lane)
{
	const struct lane_shown *of = &shown->lanes[lane];
	uint64_t acknowledged = atomic_load_explicit(&of->cumulative, memory_order_relaxed);
	uint64_t highest = atomic_load_explicit(&of->highest, memory_order_relaxed);

	return json_pack("{s:s,s:I,s:I,s:I,s:I,s:I,s:f,s:I,s:I}", "lane", lane == FEED_LANE_LIVE ? "live" : "backlog",
			 "epoch", (json_int_t)atomic_load_explicit(&shown->epoch, memory_order_relaxed), "acknowledged",
			 (json_int_t)acknowledged, "next",
			 (json_int_t)atomic_load_explicit(&of->next, memory_order_relaxed), "gaps",
			 (json_int_t)(highest > acknowledged ? highest - acknowledged : 0), "backlog",
			 (json_int_t)atomic_load_explicit(&of->backlog, memory_order_relaxed), "backlog_age_s",
			 (double)atomic_load_explicit(&of->oldest_age_us, memory_order_relaxed) / 1e6, "credit",
			 (json_int_t)atomic_load_explicit(&of->credit, memory_order_relaxed), "deferred",
			 (json_int_t)atomic_load_explicit(&of->deferred, memory_order_relaxed));
}

static json_t *feed_json(struct gantry *gantry, const struct reg_feed *feed, int64_t now_us)
{
	static const char *const states[] = {"active", "suspended", "removed"};
	const struct feed_entry *entry = gantry->tables != NULL ? tables_feed(gantry->tables, feed->feed) : NULL;
	const struct feed_shown *shown = entry != NULL ? &entry->state->shown : NULL;
	int64_t seen_us = shown != NULL ? atomic_load_explicit(&shown->last_seen_us, memory_order_relaxed) : 0;
	int clock = shown != NULL ? atomic_load_explicit(&shown->clock_synchronised, memory_order_relaxed) : -1;
	char time[CLOCK_TEXT_SIZE];
	json_t *lanes = json_array();
	const char *state = states[feed->state];

	for (unsigned lane = 0; shown != NULL && lane < FEED_LANE_COUNT; lane++)
		(void)json_array_append_new(lanes, lane_json(shown, lane));
	if (feed->state == REG_FEED_ACTIVE && seen_us > 0)
		state = now_us - seen_us < 5000000 ? "connected" : "silent";
	return json_pack("{s:I,s:s,s:s,s:s,s:o,s:b,s:b,s:I,s:o,s:o}", "feed", (json_int_t)feed->feed, "name",
			 feed->name, "organisation", feed->organisation, "state", state, "last_seen",
			 seen_us > 0 ? json_string(clock_text_utc(seen_us, time)) : json_null(), "all_cameras",
			 feed->all_cameras, "rotating", feed->has_key_next, "reads",
			 (json_int_t)(shown != NULL ? atomic_load_explicit(&shown->reads, memory_order_relaxed) : 0),
			 "clock_synchronised", clock < 0 ? json_null() : json_boolean(clock), "lanes", lanes);
}

struct feeds_showing {
	struct gantry *gantry;
	json_t *array;
	int64_t now_us;
	size_t left;
};

static int show_feed(void *context, const struct reg_record *record)
{
	struct feeds_showing *showing = context;
	struct reg_feed feed;

	if (reg_feed_decode(record->value, record->value_size, &feed) < 0 || feed.state == REG_FEED_REMOVED)
		return 0;
	if (showing->left == 0)
		return 1;
	showing->left--;
	(void)json_array_append_new(showing->array, feed_json(showing->gantry, &feed, showing->now_us));
	bytes_wipe(&feed, sizeof(feed)); /* its keys */
	return 0;
}

/* tables_lock keeps the published tables from being freed while their feeds' states are looked up. */
static json_t *feeds_json(struct gantry *gantry, uint32_t first, uint32_t last, size_t limit)
{
	struct feeds_showing showing = {
		.gantry = gantry, .array = json_array(), .now_us = clock_wall_us(), .left = limit};
	struct reg *reg = store_register(gantry->store, NULL);

	if (reg != NULL) {
		pthread_mutex_lock(&gantry->tables_lock);
		(void)reg_each(reg, REG_FEED, first, last, show_feed, &showing);
		pthread_mutex_unlock(&gantry->tables_lock);
	}
	return showing.array;
}

int handle_feeds_show(struct call *call, void *context)
{
	bool one = call_has(call, "feed");
	uint32_t feed = (uint32_t)call_integer(call, "feed", 0);

	call_result(call,
		    json_pack("{s:o}", "feeds", feeds_json(context, one ? feed : 0, one ? feed : UINT32_MAX, 100000)));
	return 0;
}

/* What the tidier does now, how the last one went, and why one is put off. */
static json_t *merging_json(const struct store_tidy *tidy)
{
	json_t *object = json_pack("{s:b,s:I,s:I,s:s}", "running", tidy->running, "done", (json_int_t)tidy->rewrites,
				   "failures", (json_int_t)tidy->failures, "why", tidy->why);
	char day[PRESENT_DAY_SIZE];
	char at[CLOCK_TEXT_SIZE];

	if (tidy->running)
		(void)json_object_update_new(
			object,
			json_pack("{s:s,s:f}", "day", present_day(tidy->day, day), "percent",
				  tidy->rows_total > 0 ? 100.0 * (double)tidy->rows_done / (double)tidy->rows_total
						       : 0.0));
	if (tidy->last_us != 0)
		(void)json_object_set_new(
			object, "last",
			json_pack("{s:s,s:s,s:i,s:I,s:I,s:f}", "day", present_day(tidy->last_day, day), "at",
				  clock_text_utc(tidy->last_us, at), "segments", (int)tidy->last_parents, "reads",
				  (json_int_t)tidy->last_rows, "bytes", (json_int_t)tidy->last_bytes, "ms",
				  (double)tidy->last_ns / 1e6));
	return object;
}

static json_t *storage_json(const struct store_status *status)
{
	static const char *const states[] = {"running", "disk full", "sealing fails", "journal fails",
					     "register incomplete"};
	json_t *damage = json_array();

	for (unsigned i = 0; i < status->damage_text_count; i++)
		(void)json_array_append_new(damage, json_string(status->damage[i]));
	json_t *object = json_pack(
		"{s:s,s:s,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:b,s:o}", "state", states[status->state], "why",
		status->why, "held_reads", (json_int_t)(status->reads_segments + status->reads_memtable), "segments",
		(json_int_t)status->segments, "bytes", (json_int_t)(status->segment_bytes + status->journal_bytes),
		"segment_bytes", (json_int_t)status->segment_bytes, "memtable_bytes",
		(json_int_t)status->memtable_bytes_used, "memtable_bytes_max", (json_int_t)status->memtable_bytes_max,
		"disk_free_bytes", (json_int_t)status->disk_free_bytes, "disk_reserve_bytes",
		(json_int_t)status->disk_reserve_bytes, "unsealed_journals", (json_int_t)status->journals_unsealed,
		"credit_open", status->credit_open, "damage", damage);
	(void)json_object_set_new(object, "unsealed_reads", json_integer((json_int_t)status->reads_memtable));
	(void)json_object_set_new(object, "damage_count", json_integer((json_int_t)status->damage_count));
	(void)json_object_set_new(object, "seal_failures", json_integer((json_int_t)status->seal_failures));
	(void)json_object_set_new(object, "recovery_ms", json_real((double)status->recovery_ns / 1e6));
	(void)json_object_set_new(object, "recovery_reads", json_integer((json_int_t)status->recovery_reads));
	(void)json_object_set_new(object, "merging", merging_json(&status->tidy));
	(void)json_object_set_new(object, "register",
				  json_pack("{s:I,s:I,s:s}", "entries", (json_int_t)status->register_sequence,
					    "log_bytes", (json_int_t)status->register_log_bytes, "why",
					    status->register_why));
	(void)json_object_set_new(object, "io", json_string(status->io_name));
	return object;
}

/* Single reads that are marked, and those of them that still lie in a segment (R39). */
static json_t *marks_json(struct gantry *gantry, int64_t now_us)
{
	struct marks_info info;

	marks_info(store_marks(gantry->store), &info);
	return json_pack("{s:I,s:I,s:I,s:I,s:f}", "erased", (json_int_t)info.erased, "restricted",
			 (json_int_t)info.restricted, "amended", (json_int_t)info.amended, "pending",
			 (json_int_t)info.pending, "pending_age_s",
			 info.pending > 0 ? (double)(now_us - info.pending_since_us) / 1e6 : 0.0);
}

/* A standing alarm often quotes the event that began it, or the event the reason that stands. */
static bool is_told(const json_t *array, const char *text)
{
	for (size_t i = 0; i < json_array_size(array); i++) {
		const char *told = json_string_value(json_array_get(array, i));

		if (strstr(told, text) != NULL || strstr(text, told) != NULL)
			return true;
	}
	return false;
}

static void tell(void *array, const char *text)
{
	if (!is_told(array, text))
		(void)json_array_append_new(array, json_string(text));
}

static json_t *alarms_json(struct gantry *gantry, const struct store_status *status, const struct totals *totals)
{
	json_t *array = json_array();

	if (status->why[0] != '\0')
		(void)json_array_append_new(array, json_string(status->why));
	if (totals->deferred > 0)
		(void)json_array_append_new(
			array,
			json_sprintf("%llu reads deferred: their cameras are not registered or not bound; see counters",
				     (unsigned long long)totals->deferred));
	if (totals->lost > 0)
		(void)json_array_append_new(
			array,
			json_sprintf("%llu sequences are neither here nor at their senders any more: this store was "
				     "damaged after it had acknowledged them",
				     (unsigned long long)totals->lost));
	calendar_alarms(gantry->calendar, array);
	if (store_register(gantry->store, NULL) != NULL)
		lists_age_alarms(store_register(gantry->store, NULL), gantry->config.lists_cadence,
				 clock_guard_age_us(store_clock_guard(gantry->store), clock_wall_us()), array);
	gantry_alarms_each(gantry, tell, array);
	return array;
}

static json_t *lists_json(struct gantry *gantry)
{
	json_t *array = json_array();

	pthread_mutex_lock(&gantry->lists_lock);
	for (size_t i = 0; i < gantry->list_count; i++) {
		const struct list_info *info = list_info(gantry->lists[i]);

		(void)json_array_append_new(array, json_pack("{s:I,s:s,s:I,s:I}", "list", (json_int_t)info->id, "name",
							     info->name, "version", (json_int_t)info->version,
							     "entries", (json_int_t)list_living(gantry->lists[i])));
	}
	pthread_mutex_unlock(&gantry->lists_lock);
	return array;
}

static json_t *clock_json(void)
{
	struct clock_state state;

	clock_state_get(&state);
	return json_pack("{s:b,s:I,s:I}", "synchronised", state.synchronised, "offset_us", (json_int_t)state.offset_us,
			 "error_max_us", (json_int_t)state.error_max_us);
}

int handle_status(struct call *call, void *context)
{
	struct gantry *gantry = context;
	struct store_status *status = calloc(1, sizeof(*status));
	struct attendant_info info;
	struct totals totals;
	char since[CLOCK_TEXT_SIZE];
	double uptime_s = (double)(clock_mono_ns() - gantry->started_ns) / 1e9;
	int result = status == NULL ? -ENOMEM : store_status(gantry->store, status);

	if (result == 0)
		result = totals_get(gantry, &totals);
	if (result < 0) {
		free(status);
		return result;
	}
	attendant_info(gantry->attendant, &info);
	json_t *object = json_pack(
		"{s:s,s:s,s:s,s:s,s:f,s:o,s:{s:f},s:o,s:o,s:o,s:o,s:o,s:o,s:o,s:o}", "version", GANTRY_VERSION, "node",
		gantry->config.node, "state", status->state == STORE_RUNNING ? "running" : "degraded", "since",
		clock_text_utc(gantry->started_us, since), "uptime_s", uptime_s, "totals", totals_json(&totals),
		"rates", "reads_per_s", (double)info.reads_per_s, "hits", hits_json(gantry, totals.hits), "workers",
		workers_json(gantry, &info), "storage", storage_json(status), "feeds",
		feeds_json(gantry, 0, UINT32_MAX, 1000), "lists", lists_json(gantry), "clock", clock_json(),
		"retention", calendar_json(gantry->calendar), "alarms", alarms_json(gantry, status, &totals));
	escalation_status(gantry->escalation, json_object_get(object, "hits"));
	(void)json_object_set_new(object, "matching", fold_json(gantry->fold));
	(void)json_object_set_new(object, "gate", gate_json(gantry));
	(void)json_object_set_new(object, "marks", marks_json(gantry, clock_wall_us()));
	free(status);
	call_result(call, object);
	return 0;
}

static void put_counter(void *context, const char *group, const char *name, uint64_t value, const char *help)
{
	json_t *object = context;
	json_t *of = json_object_get(object, group);

	(void)help;
	if (of == NULL) {
		of = json_object();
		(void)json_object_set_new(object, group, of);
	}
	(void)json_object_set_new(of, name, json_integer((json_int_t)value));
}

int handle_counters(struct call *call, void *context)
{
	json_t *object = json_object();

	if (object == NULL)
		return -ENOMEM;
	counters_each(context, put_counter, object);
	call_result(call, object);
	return 0;
}

int handle_stop(struct call *call, void *context)
{
	struct gantry *gantry = context;

	atomic_store(&gantry->stop_asked, true);
	call_result(call, json_pack("{s:s}", "state", "stopping"));
	return 0;
}
