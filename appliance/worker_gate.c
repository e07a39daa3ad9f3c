/*
 * The gate on its worker: a burst's clones are found and laid between the hits of the lists, hits that their lists'
 * conditions rule out go; then, run by run, repeats are marked, and noted when the journal has taken them.
 */
#include <string.h>

#include "appliance/clones.h"
#include "appliance/gate.h"
#include "appliance/hit_rules.h"
#include "appliance/repeats.h"
#include "appliance/worker_inside.h"

#define REPEATS_AT_ONCE 32

void worker_clashes(struct worker *worker)
{
	struct gate *gate = worker->options.gate;
	struct clones_counts counts = {0};

	worker->clash_count = 0;
	if (gate == NULL || gate->sightings == NULL || worker->read_count == 0)
		return;
	worker->clash_count = (unsigned)clones_judge(&gate->clones, &worker->tables->places, worker->reads,
						     worker->places, worker->read_count, worker->clashes, &counts);
	counter_add(&worker->counters.clones_looked, counts.looked);
	counter_add(&worker->counters.clones_evicted, counts.evicted);
}

/* From behind, so that it is done in place: both are in the order of the reads. */
static size_t merge_clashes(const struct worker *worker, uint32_t first, uint32_t reads, struct hit *hits, size_t count)
{
	unsigned begin = 0, end = worker->clash_count;
	size_t at, total;

	while (begin < end && worker->clashes[begin].row < first)
		begin++;
	while (end > begin && worker->clashes[end - 1].row >= first + reads)
		end--;
	at = total = count + end - begin;
	for (size_t left = count; end > begin;) {
		uint32_t row = worker->clashes[end - 1].row - first;

		if (left > 0 && hits[left - 1].row > row) {
			hits[--at] = hits[--left];
			continue;
		}
		hits[--at] = worker->clashes[--end];
		hits[at].row = row;
	}
	return total;
}

size_t worker_gate(struct worker *worker, uint32_t first, uint32_t reads, struct hit *hits, size_t count)
{
	const struct tables *tables = worker->tables;
	size_t kept = 0;

	count = merge_clashes(worker, first, reads, hits, count);
	if (tables->rules == NULL)
		return count;
	for (size_t i = 0; i < count; i++) {
		const struct hit_rule *rule = hit_rules_find(tables->rules, hits[i].list);
		uint32_t at = first + hits[i].row;

		if (rule == NULL ||
		    hit_rule_admits(tables->rules, rule, &tables->places, worker->places[at], &worker->reads[at]))
			hits[kept++] = hits[i];
	}
	counter_add(&worker->counters.hits_outside, count - kept);
	return kept;
}

/* False: nothing that its list calls a repeat is known of this hit, nor ever will be. */
static bool may_repeat(const struct worker *worker, uint32_t first, const struct hit *hit, struct repeat *ret_repeat)
{
	const struct tables *tables = worker->tables;
	const struct hit_rule *rule = tables->rules != NULL ? hit_rules_find(tables->rules, hit->list) : NULL;
	uint32_t at = first + hit->row;

	if (rule == NULL || rule->suppress_minutes == 0)
		return false;
	*ret_repeat = repeat_of(worker->options.gate->repeats, rule, hit->kind == HIT_CLONE ? 0 : hit->entry,
				hit_rule_spot(rule, &tables->places, worker->places[at], &worker->reads[at]),
				&worker->reads[at]);
	return true;
}

/* Some at a time, so that all their cells are on the way before the first is looked into. */
static void mark_some(const struct worker *worker, uint32_t first, struct hit *hits, size_t count)
{
	struct repeat repeats[REPEATS_AT_ONCE];
	uint8_t of[REPEATS_AT_ONCE];
	unsigned asked = 0;

	for (size_t i = 0; i < count; i++)
		if (may_repeat(worker, first, &hits[i], &repeats[asked]))
			of[asked++] = (uint8_t)i;
	for (unsigned i = 0; i < asked; i++)
		if (repeat_told(worker->options.gate->repeats, &repeats[i]))
			hits[of[i]].flags |= HIT_FLAG_REPEAT;
}

void worker_repeats_mark(const struct worker *worker, uint32_t first, struct hit *hits, size_t count)
{
	for (size_t at = 0; at < count; at += REPEATS_AT_ONCE)
		mark_some(worker, first, hits + at, count - at < REPEATS_AT_ONCE ? count - at : REPEATS_AT_ONCE);
}

void worker_repeats_note(struct worker *worker, uint32_t first, const struct hit *hits, size_t count)
{
	uint64_t repeated = 0, forgotten = 0, raised = 0;
	struct repeat repeat;

	for (size_t i = 0; i < count; i++) {
		if ((hits[i].flags & HIT_FLAG_REPEAT) != 0) {
			repeated++;
			continue;
		}
		raised += hits[i].kind == HIT_CLONE;
		if (may_repeat(worker, first, &hits[i], &repeat))
			forgotten += repeat_note(worker->options.gate->repeats, &repeat);
	}
	counter_add(&worker->counters.hits_repeated, repeated);
	counter_add(&worker->counters.repeats_forgotten, forgotten);
	counter_add(&worker->counters.clones_raised, raised);
}
