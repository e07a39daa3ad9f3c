#include "appliance/late_match.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "appliance/base/array.h"
#include "appliance/base/bytes.h"
#include "appliance/base/clock.h"
#include "appliance/counters.h"
#include "appliance/gantry.h"
#include "appliance/hit_rules.h"
#include "appliance/hits.h"
#include "appliance/tables.h"
#include "matcher/list.h"
#include "matcher/matchset.h"
#include "storage/store.h"

#define HITS_AT_ONCE (4 * SWEEP_BURST)

/* How long the journals are waited for at a time: who waits says in between why. */
#define SETTLE_NS (INT64_C(30) * 1000000000)

int late_match_settle(struct gantry *gantry, const atomic_bool *stopping, struct err *err)
{
	static const struct timespec nap = {.tv_nsec = 2000000};
	int64_t until_ns = clock_mono_ns() + SETTLE_NS;

	for (unsigned i = 0; i < gantry->worker_count; i++) {
		const struct worker_counters *counters = worker_counters(gantry->workers[i]);
		uint64_t taken = counter_get(&counters->taken);

		while (counter_get(&counters->durable_reads) < taken) {
			if (atomic_load(stopping))
				return 1;
			if (clock_mono_ns() >= until_ns)
				return err_set(err, -EAGAIN, "worker %u has taken reads that are not durable yet", i);
			(void)nanosleep(&nap, NULL);
		}
	}
	return 0;
}

int late_match_init(struct late_match *match, struct gantry *gantry)
{
	int result;

	*match = (struct late_match){.gantry = gantry};
	if (gantry->matching == NULL)
		return -EAGAIN;
	match->lists = calloc(gantry->list_count + 1, sizeof(*match->lists));
	if (match->lists == NULL)
		return -ENOMEM;
	for (size_t i = 0; i < gantry->list_count; i++) {
		const struct list_info *info = list_info(gantry->lists[i]);

		match->lists[match->list_count++] = (struct late_list){info->id, info->generation};
	}
	result = match_scratch_new(gantry->matching->set, &match->scratch);
	if (result < 0) {
		free(match->lists);
		match->lists = NULL;
		return result;
	}
	match->matching = matching_hold(gantry->matching);
	return 0;
}

static void forget(struct late_match *match)
{
	if (match->hits != NULL)
		bytes_wipe(match->hits, match->room * sizeof(*match->hits));
	free(match->hits);
	match->hits = NULL;
	match->count = match->room = 0;
}

void late_match_fini(struct late_match *match)
{
	if (match->gantry == NULL)
		return;
	forget(match);
	match_scratch_free(match->scratch);
	pthread_mutex_lock(&match->gantry->change_lock);
	match->matching = matching_release(match->matching);
	pthread_mutex_unlock(&match->gantry->change_lock);
	free(match->lists);
	*match = (struct late_match){0};
}

static uint32_t generation_of(const struct late_match *match, uint32_t list)
{
	for (size_t i = 0; i < match->list_count; i++)
		if (match->lists[i].list == list)
			return match->lists[i].generation;
	return 0;
}

/* Growing by copies of which the former is wiped: it holds VRMs. */
static int room_make(struct late_match *match)
{
	size_t room = match->room == 0 ? 256 : 2 * match->room;
	struct late_hit *grown;

	if (match->count < match->room)
		return 0;
	grown = calloc(room, sizeof(*grown));
	if (grown == NULL)
		return -ENOMEM;
	if (match->count > 0) {
		memcpy(grown, match->hits, match->count * sizeof(*grown));
		bytes_wipe(match->hits, match->count * sizeof(*grown));
	}
	free(match->hits);
	match->hits = grown;
	match->room = room;
	return 0;
}

static int take(struct late_match *match, const struct hit *hit, const struct read *read)
{
	struct late_hit *late;
	int result = 0;

	match->met++;
	if (match->count >= match->hits_max)
		return 0;
	result = room_make(match);
	if (result < 0)
		return result;
	late = &match->hits[match->count++];
	*late = (struct late_hit){.found = {.hit = *hit, .read = *read}, .generation = generation_of(match, hit->list)};
	late->found.hit.row = 0;
	late->found.hit.flags |= HIT_FLAG_LATE;
	if (match->kind != HIT_EXACT)
		late->found.hit.kind = match->kind;
	return 0;
}

/* Hits come by ascending rows, and so do those that are known: *at goes along. change_lock held. */
static int judge(struct late_match *match, const struct sweep_burst *burst, const struct hit *hit, size_t *at)
{
	const struct tables *tables = match->gantry->tables;
	size_t end;

	while (*at < burst->hit_count && burst->hits[*at].row < hit->row)
		(*at)++;
	for (end = *at; end < burst->hit_count && burst->hits[end].row == hit->row; end++)
		;
	if (match->wants != NULL && !match->wants(match->context, hit, burst->hits + *at, end - *at))
		return 0;
	if (!hit_gate_admits(tables->rules, &tables->places, hit->list, &burst->reads[hit->row]))
		return 0;
	return take(match, hit, &burst->reads[hit->row]);
}

int late_match_burst(struct late_match *match, const struct sweep_burst *burst)
{
	struct match_cursor cursor = {0};
	struct hit hits[HITS_AT_ONCE];
	size_t at = 0;
	int result = MATCH_MORE;
	int failed = 0;

	while (result == MATCH_MORE && failed == 0) {
		size_t count = 0;

		result = match_burst(match->matching->set, match->scratch, burst->reads, burst->count, &cursor, hits,
				     HITS_AT_ONCE, &count);
		if (result < 0 || count == 0)
			continue;
		(void)pthread_mutex_lock(&match->gantry->change_lock);
		for (size_t i = 0; failed == 0 && i < count; i++)
			failed = judge(match, burst, &hits[i], &at);
		(void)pthread_mutex_unlock(&match->gantry->change_lock);
	}
	return failed < 0 ? failed : result;
}

int late_match_put(struct late_match *match, uint32_t who_uid, struct err *err, uint64_t *ret_put)
{
	uint64_t all = 0;
	int result = 0;

	for (size_t done = 0; result == 0 && done < match->count;) {
		size_t count = match->count - done < LATE_HITS_PUT_MAX ? match->count - done : LATE_HITS_PUT_MAX;
		size_t put = 0;

		result = gantry_hits_put_late(match->gantry, match->hits + done, count, who_uid, err, &put);
		all += put;
		done += count;
	}
	forget(match);
	if (result == 0)
		*ret_put = all;
	return result;
}
