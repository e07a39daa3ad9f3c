#include "appliance/attendant.h"

#include <errno.h>
#include <jansson.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <time.h>

#define LOG_MODULE "attendant"
#include "appliance/base/clock.h"
#include "appliance/base/log.h"
#include "appliance/counters.h"
#include "appliance/escalation.h"
#include "appliance/gantry.h"
#include "appliance/histogram.h"
#include "appliance/lanes.h"
#include "appliance/present.h"
#include "matcher/list.h"
#include "mgmt/call.h"
#include "storage/memtable.h"
#include "storage/store.h"

#define FOLLOWERS_MAX 64
#define WAKE_NS 1000000
#define CLOCK_EVERY_NS (INT64_C(600) * 1000000000)
#define HITS_A_ROUND 4096

/* How far the hits of one worker have been followed. */
struct hit_cursor {
	uint64_t sequence; /* of the generation being followed; 0 none yet */
	struct chunk *chunk;
	uint32_t index;
};

struct follower {
	struct call *call;   /* NULL: free */
	uint32_t lists[64];  /* ids */
	unsigned list_count; /* 0 follows all */
	uint64_t missed;     /* since it was last told */
	atomic_bool gone;
};

struct attendant {
	struct gantry *gantry;
	pthread_t thread;
	atomic_bool stopping;
	struct hit_cursor cursors[WORKERS_MAX];
	struct memtable_view view; /* held between rounds: a generation in it is not freed under a cursor */
	bool viewing;

	pthread_mutex_t lock; /* followers */
	struct follower followers[FOLLOWERS_MAX];

	struct histogram latency;
	_Atomic uint64_t hits;
	_Atomic uint64_t delivered;
	_Atomic uint64_t missed;
	int64_t clock_due_ns;
	/* The last second, for status. */
	int64_t rate_ns;
	uint64_t rate_reads;
	uint64_t rate_slept_ns[WORKERS_MAX];
	_Atomic uint64_t reads_per_s;
	_Atomic unsigned busy_permille[WORKERS_MAX];
	unsigned budget; /* hits that this round may still look at */
};

static int lane_of_store(void *context, uint32_t feed, uint32_t epoch, uint8_t lane, struct lane_window **ret_window)
{
	return store_lane(context, feed, epoch, lane, ret_window);
}

static void open_lanes(struct gantry *gantry)
{
	for (unsigned i = 0; i < gantry->worker_count; i++)
		lanes_answer(worker_lane_requests(gantry->workers[i]), worker_lane_grants(gantry->workers[i]),
			     lane_of_store, gantry->store);
}

static bool follower_wants(const struct follower *follower, uint32_t list)
{
	if (follower->list_count == 0)
		return true;
	for (unsigned i = 0; i < follower->list_count; i++)
		if (follower->lists[i] == list)
			return true;
	return false;
}

static void follower_end(struct follower *follower)
{
	struct call *call = follower->call;

	follower->call = NULL;
	call_result(call, json_pack("{s:I}", "missed", (json_int_t)follower->missed));
	call_finish(call);
}

/* Tells a follower that lagged how many it missed, as soon as it can be told anything again. */
static int tell_missed(struct follower *follower)
{
	int result;

	if (follower->missed == 0)
		return 0;
	result = call_notify_try(follower->call, "hits.missed",
				 json_pack("{s:I}", "count", (json_int_t)follower->missed));
	if (result == 0)
		follower->missed = 0;
	return result;
}

/* attendant->lock held. Takes `event` over. */
static void deliver_to(struct attendant *attendant, struct follower *follower, json_t *event)
{
	int result = tell_missed(follower);

	if (result == 0)
		result = call_notify_try(follower->call, "hits.hit", event);
	else
		json_decref(event);
	if (result == 0) {
		atomic_fetch_add_explicit(&attendant->delivered, 1, memory_order_relaxed);
	} else {
		follower->missed++;
		atomic_fetch_add_explicit(&attendant->missed, 1, memory_order_relaxed);
	}
}

/* True when somebody wanted it. */
static bool deliver(struct attendant *attendant, const struct hit *hit, const struct read *read)
{
	struct follower *wanting[FOLLOWERS_MAX];
	unsigned count = 0;
	json_t *event;

	if ((hit->flags & HIT_FLAG_REPEAT) != 0)
		return false;
	atomic_fetch_add_explicit(&attendant->hits, 1, memory_order_relaxed);
	escalation_take(attendant->gantry->escalation, hit, read);
	pthread_mutex_lock(&attendant->lock);
	for (unsigned i = 0; i < FOLLOWERS_MAX; i++) {
		struct follower *follower = &attendant->followers[i];

		if (follower->call != NULL && !atomic_load(&follower->gone) && follower_wants(follower, hit->list))
			wanting[count++] = follower;
	}
	event = count > 0 ? present_hit(attendant->gantry, hit, read) : NULL;
	for (unsigned i = 0; event != NULL && i < count; i++)
		deliver_to(attendant, wanting[i], i + 1 < count ? json_deep_copy(event) : event);
	pthread_mutex_unlock(&attendant->lock);
	return event != NULL;
}

void attendant_deliver(struct attendant *attendant, const struct hit *hits, size_t count, const struct read *read)
{
	for (size_t i = 0; attendant != NULL && i < count; i++)
		(void)deliver(attendant, &hits[i], read);
}

void attendant_escalated(struct gantry *gantry, const struct watched_hit *hit)
{
	struct attendant *attendant = gantry->attendant;

	pthread_mutex_lock(&attendant->lock);
	for (unsigned i = 0; i < FOLLOWERS_MAX; i++) {
		struct follower *follower = &attendant->followers[i];

		if (follower->call != NULL && !atomic_load(&follower->gone) && follower_wants(follower, hit->list))
			(void)call_notify_try(follower->call, "hits.escalated", present_watched(gantry, hit));
	}
	pthread_mutex_unlock(&attendant->lock);
}

static const struct read *row_of(struct chunk *first, uint32_t row)
{
	for (struct chunk *chunk = first; chunk != NULL; chunk = atomic_load(&chunk->next))
		if (row >= chunk->first_row && row < chunk->first_row + CHUNK_ROWS)
			return &chunk->rows[row - chunk->first_row];
	return NULL;
}

/* Follows one generation to its published end. True when it is closed and nothing of it is left. */
static bool follow_generation(struct attendant *attendant, struct hit_cursor *cursor, struct generation *generation)
{
	bool closed = atomic_load(&generation->state) != GENERATION_OPEN;

	if (cursor->chunk == NULL)
		cursor->chunk = atomic_load(&generation->first);
	while (cursor->chunk != NULL) {
		struct chunk *next = atomic_load(&cursor->chunk->next);
		uint32_t count = atomic_load(&cursor->chunk->hits_durable);

		for (; cursor->index < count; cursor->index++, attendant->budget--) {
			if (attendant->budget == 0)
				return false;
			const struct hit *hit = &cursor->chunk->hits[cursor->index];
			const struct read *read = row_of(cursor->chunk, hit->row);

			if (read != NULL && deliver(attendant, hit, read))
				histogram_add(&attendant->latency, clock_wall_us() - read->receipt_us);
		}
		/* A chunk that has a successor gets no more, once all that was appended to it is durable. */
		if (next == NULL || cursor->index < cursor->chunk->hit_count)
			break;
		cursor->chunk = next;
		cursor->index = 0;
	}
	return closed && (cursor->chunk == NULL || cursor->index == cursor->chunk->hit_count);
}

static uint64_t hits_left(const struct hit_cursor *cursor)
{
	uint64_t left = 0;
	uint32_t index = cursor->index;

	for (struct chunk *chunk = cursor->chunk; chunk != NULL; chunk = atomic_load(&chunk->next)) {
		left += atomic_load(&chunk->hits_durable) - index;
		index = 0;
	}
	return left;
}

/*
 * Followers are so far behind that a generation was sealed under them. Holding it longer would keep its memory from the
 * workers: an alarm that is late must not become a read that is refused. The hits stay with their reads.
 */
static void give_up(struct attendant *attendant, struct hit_cursor *cursor, const struct generation *generation)
{
	uint64_t left = hits_left(cursor);

	pthread_mutex_lock(&attendant->lock);
	for (unsigned i = 0; i < FOLLOWERS_MAX; i++) {
		if (attendant->followers[i].call == NULL)
			continue;
		attendant->followers[i].missed += left;
		atomic_fetch_add_explicit(&attendant->missed, left, memory_order_relaxed);
	}
	pthread_mutex_unlock(&attendant->lock);
	*cursor = (struct hit_cursor){.sequence = generation->sequence + 1};
}

/*
 * Each worker's generations of one view, in order, as far as they go: one that is still written to holds up those
 * behind it, of which the next is always open ahead, empty.
 */
static void follow_view(struct attendant *attendant, const struct memtable_view *view)
{
	bool waiting[WORKERS_MAX] = {false};

	for (size_t i = 0; i < view->count; i++) {
		struct generation *generation = view->generations[i];
		struct hit_cursor *cursor;

		if (generation->worker >= WORKERS_MAX || waiting[generation->worker])
			continue;
		cursor = &attendant->cursors[generation->worker];
		if (generation->sequence < cursor->sequence)
			continue;
		if (generation->sequence > cursor->sequence)
			*cursor = (struct hit_cursor){.sequence = generation->sequence};
		if (follow_generation(attendant, cursor, generation))
			*cursor = (struct hit_cursor){.sequence = generation->sequence + 1};
		else if (atomic_load(&generation->state) == GENERATION_SEALED)
			give_up(attendant, cursor, generation);
		else
			waiting[generation->worker] = true;
	}
}

/*
 * The view of the last round is let go only after it has been followed once more and the new one is taken: a generation
 * under a cursor is never freed, and one that was closed and sealed since is first followed to its end.
 */
static void follow_hits(struct attendant *attendant)
{
	struct memtable *memtable = store_memtable(attendant->gantry->store);
	struct memtable_view view;

	attendant->budget = HITS_A_ROUND;
	if (memtable_view_take(memtable, &view) < 0)
		return;
	if (attendant->viewing) {
		follow_view(attendant, &attendant->view);
		memtable_view_release(memtable, &attendant->view);
	}
	follow_view(attendant, &view);
	attendant->view = view;
	attendant->viewing = true;
}

/* What was recovered has been delivered before the crash, or belongs to followers of then: begin behind it. */
static void skip_recovered(struct attendant *attendant)
{
	struct memtable *memtable = store_memtable(attendant->gantry->store);
	struct memtable_view view;

	if (memtable_view_take(memtable, &view) < 0)
		return;
	for (size_t i = 0; i < view.count; i++) {
		const struct generation *generation = view.generations[i];

		if (generation->worker < WORKERS_MAX && atomic_load(&generation->state) != GENERATION_OPEN &&
		    generation->sequence >= attendant->cursors[generation->worker].sequence)
			attendant->cursors[generation->worker].sequence = generation->sequence + 1;
	}
	memtable_view_release(memtable, &view);
}

static void end_gone(struct attendant *attendant, bool all)
{
	pthread_mutex_lock(&attendant->lock);
	for (unsigned i = 0; i < FOLLOWERS_MAX; i++) {
		struct follower *follower = &attendant->followers[i];

		if (follower->call != NULL && (all || atomic_load(&follower->gone)))
			follower_end(follower);
	}
	pthread_mutex_unlock(&attendant->lock);
}

static void audit_clock(struct attendant *attendant)
{
	int64_t now_ns = clock_mono_ns();
	struct clock_state state;
	char body[128];

	if (now_ns < attendant->clock_due_ns)
		return;
	attendant->clock_due_ns = now_ns + CLOCK_EVERY_NS - INT64_C(1000000000);
	clock_state_get(&state);
	(void)snprintf(body, sizeof(body), "{\"synchronised\":%s,\"offset_us\":%lld,\"error_max_us\":%lld}",
		       state.synchronised ? "true" : "false", (long long)state.offset_us,
		       (long long)state.error_max_us);
	(void)gantry_note(attendant->gantry, 0, "clock.state", body);
}

static void take_rates(struct attendant *attendant)
{
	const struct gantry *gantry = attendant->gantry;
	int64_t now_ns = clock_mono_ns();
	int64_t passed_ns = now_ns - attendant->rate_ns;
	uint64_t reads = 0;

	if (passed_ns < INT64_C(1000000000))
		return;
	for (unsigned i = 0; i < gantry->worker_count; i++) {
		int64_t running_ns;
		uint64_t slept_ns;
		uint32_t credit;
		uint64_t slept;

		reads += counter_get(&worker_counters(gantry->workers[i])->durable_reads);
		worker_load(gantry->workers[i], &running_ns, &slept_ns, &credit);
		slept = slept_ns - attendant->rate_slept_ns[i];
		attendant->rate_slept_ns[i] = slept_ns;
		atomic_store(&attendant->busy_permille[i],
			     slept < (uint64_t)passed_ns ? (unsigned)(1000 - 1000 * slept / (uint64_t)passed_ns) : 0);
	}
	if (attendant->rate_ns != 0)
		atomic_store(&attendant->reads_per_s,
			     (reads - attendant->rate_reads) * 1000000000 / (uint64_t)passed_ns);
	attendant->rate_reads = reads;
	attendant->rate_ns = now_ns;
}

static void *attend(void *context)
{
	struct attendant *attendant = context;
	struct timespec nap = {.tv_nsec = WAKE_NS};

	(void)prctl(PR_SET_NAME, "attendant");
	(void)prctl(PR_SET_TIMERSLACK, 50000);
	skip_recovered(attendant);
	while (!atomic_load(&attendant->stopping)) {
		open_lanes(attendant->gantry);
		follow_hits(attendant);
		end_gone(attendant, false);
		audit_clock(attendant);
		take_rates(attendant);
		if (attendant->budget > 0)
			(void)nanosleep(&nap, NULL);
	}
	follow_hits(attendant);
	end_gone(attendant, true);
	if (attendant->viewing)
		memtable_view_release(store_memtable(attendant->gantry->store), &attendant->view);
	return NULL;
}

int attendant_start(struct gantry *gantry, struct attendant **ret_attendant, struct err *err)
{
	struct attendant *attendant = calloc(1, sizeof(*attendant));
	int result;

	if (attendant == NULL)
		return err_set(err, -ENOMEM, "out of memory");
	attendant->gantry = gantry;
	pthread_mutex_init(&attendant->lock, NULL);
	result = pthread_create(&attendant->thread, NULL, attend, attendant);
	if (result != 0) {
		free(attendant);
		return err_set(err, -result, "attendant thread: %s", strerror(result));
	}
	*ret_attendant = attendant;
	return 0;
}

struct attendant *attendant_stop(struct attendant *attendant)
{
	if (attendant == NULL)
		return NULL;
	atomic_store(&attendant->stopping, true);
	pthread_join(attendant->thread, NULL);
	pthread_mutex_destroy(&attendant->lock);
	free(attendant);
	return NULL;
}

/* On a thread of the server: only a flag, the attendant ends the call in its next round. */
static void on_cancelled(struct call *call, void *context)
{
	struct follower *follower = context;

	(void)call;
	atomic_store(&follower->gone, true);
}

/* The ids of the lists asked for by name; the call fails when one of them is not loaded. */
static int lists_wanted(struct gantry *gantry, struct call *call, uint32_t lists[64], unsigned *ret_count)
{
	const json_t *names = call_array(call, "lists");
	unsigned count = 0;

	pthread_mutex_lock(&gantry->lists_lock);
	for (size_t i = 0; i < json_array_size(names) && i < 64; i++) {
		const char *name = json_string_value(json_array_get(names, i));

		for (size_t j = 0; j < gantry->list_count; j++)
			if (strcmp(list_info(gantry->lists[j])->name, name) == 0)
				lists[count++] = list_info(gantry->lists[j])->id;
	}
	pthread_mutex_unlock(&gantry->lists_lock);
	if (count < json_array_size(names)) {
		call_fail(call, CALL_REFUSED, "lists: not every name is a list that is loaded; see lists.show");
		return -ENOENT;
	}
	*ret_count = count;
	return 0;
}

int attendant_follow(struct call *call, void *context)
{
	struct gantry *gantry = context;
	struct attendant *attendant = gantry->attendant;
	struct follower *follower = NULL;
	uint32_t lists[64];
	unsigned list_count = 0;
	int result = 0;

	if (attendant == NULL || atomic_load(&attendant->stopping)) {
		call_fail(call, CALL_STOPPING, "the appliance is starting or stopping");
		return 0;
	}
	if (lists_wanted(gantry, call, lists, &list_count) < 0)
		return 0;
	pthread_mutex_lock(&attendant->lock);
	for (unsigned i = 0; i < FOLLOWERS_MAX && follower == NULL; i++)
		if (attendant->followers[i].call == NULL)
			follower = &attendant->followers[i];
	if (follower == NULL) {
		call_fail(call, CALL_BUSY, "%d followers already", FOLLOWERS_MAX);
	} else {
		follower->missed = 0;
		follower->list_count = list_count;
		memcpy(follower->lists, lists, list_count * sizeof(lists[0]));
		atomic_store(&follower->gone, false);
		result = call_keep(call, on_cancelled, follower);
		if (result == 0)
			follower->call = call;
	}
	pthread_mutex_unlock(&attendant->lock);
	if (follower == NULL)
		return 0;
	return result == 0 ? CALL_STREAMING : -ECANCELED;
}

void attendant_info(struct attendant *attendant, struct attendant_info *ret_info)
{
	memset(ret_info, 0, sizeof(*ret_info));
	if (attendant == NULL)
		return;
	ret_info->hits = atomic_load(&attendant->hits);
	ret_info->delivered = atomic_load(&attendant->delivered);
	ret_info->missed = atomic_load(&attendant->missed);
	ret_info->reads_per_s = atomic_load(&attendant->reads_per_s);
	for (unsigned i = 0; i < WORKERS_MAX; i++)
		ret_info->busy_permille[i] = atomic_load(&attendant->busy_permille[i]);
	ret_info->latency_p50_us = histogram_quantile(&attendant->latency, 500);
	ret_info->latency_p99_us = histogram_quantile(&attendant->latency, 990);
	pthread_mutex_lock(&attendant->lock);
	for (unsigned i = 0; i < FOLLOWERS_MAX; i++)
		ret_info->followers += attendant->followers[i].call != NULL;
	pthread_mutex_unlock(&attendant->lock);
}
