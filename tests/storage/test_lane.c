/* Windows and the map against plain arrays of booleans. */
#include "storage/lane.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "appliance/base/prng.h"
#include "storage/lane_map.h"
#include "tests/check.h"

#define SIZE LANE_WINDOW_SIZE_MIN
#define SEQUENCES 40000

struct reference {
	bool taken[SEQUENCES];
	bool durable[SEQUENCES];
	uint64_t base;
};

static void reference_advance(struct reference *reference)
{
	while (reference->durable[reference->base])
		reference->base++;
}

static void judge_check(const struct lane_window *window, const struct reference *reference, uint64_t first,
			unsigned count)
{
	struct lane_fates fates;

	lane_judge(window, first, count, &fates);
	for (unsigned i = 0; i < 32; i++) {
		uint32_t bit = UINT32_C(1) << i;
		uint64_t sequence = first + i;
		bool within = i < count && sequence >= reference->base && sequence < reference->base + SIZE;

		CHECK_INT(i < count && sequence >= reference->base + SIZE, (fates.beyond & bit) != 0);
		CHECK_INT(within && !reference->taken[sequence], (fates.fresh & bit) != 0);
		CHECK_INT(within && reference->taken[sequence] && !reference->durable[sequence],
			  (fates.pending & bit) != 0);
		CHECK_INT(i < count && (sequence < reference->base || (within && reference->durable[sequence])),
			  (fates.durable & bit) != 0);
	}
}

static void mark_check(const struct lane_window *window, const struct reference *reference)
{
	struct lane_mark mark;
	uint64_t at = reference->base;

	lane_mark(window, &mark);
	CHECK_INT(reference->base - 1, mark.cumulative);
	for (unsigned i = 0; i < mark.range_count; i++) {
		while (at < mark.ranges[i].first)
			CHECK(!reference->durable[at++]);
		while (at <= mark.ranges[i].last)
			CHECK(reference->durable[at++]);
		CHECK(!reference->durable[at]);
	}
	while (mark.range_count < LANE_RANGES_MAX && at < reference->base + SIZE)
		CHECK(!reference->durable[at++]);
}

static void test_window_against_reference(void)
{
	struct prng prng = {.state = check_seed()};
	struct reference *reference = calloc(1, sizeof(*reference));
	uint64_t taken[SIZE / 64];
	uint64_t durable[SIZE / 64];
	struct lane_window window;
	struct run runs[64];
	unsigned run_count = 0;
	uint64_t stored = 0;
	uint64_t refused = 0;

	CHECK(reference != NULL);
	reference->base = 1;
	lane_init(&window, 1, SIZE, taken, durable);
	for (unsigned step = 0; step < 60000 && reference->base + 2 * SIZE < SEQUENCES; step++) {
		unsigned spread = step % 1000 < 500 ? 100 : SIZE + 100;
		uint64_t first = reference->base + prng_below(&prng, spread);
		unsigned count = 1 + (unsigned)prng_below(&prng, LANE_RUN_MAX);
		struct lane_fates fates;

		if (first > 50 && prng_chance(&prng, 100))
			first = reference->base - 1 - prng_below(&prng, reference->base > 40 ? 40 : 1);
		judge_check(&window, reference, first, count);
		lane_judge(&window, first, count, &fates);
		if (fates.fresh != 0 && run_count < 64) {
			struct run *run = &runs[run_count++];

			run->first = first + (unsigned)__builtin_ctz(fates.fresh);
			fates.fresh >>= __builtin_ctz(fates.fresh);
			run->count = (uint16_t)(~fates.fresh == 0 ? 32 : __builtin_ctz(~fates.fresh));
			run->refusal = prng_chance(&prng, 100) ? REFUSAL_TOO_OLD : REFUSAL_NONE;
			lane_take(&window, run->first, run->count);
			memset(&reference->taken[run->first], 1, run->count);
		}
		if (run_count > 0 && (run_count == 64 || prng_chance(&prng, 500))) {
			unsigned pick = (unsigned)prng_below(&prng, run_count);
			struct run run = runs[pick];

			runs[pick] = runs[--run_count];
			lane_durable(&window, &run);
			memset(&reference->durable[run.first], 1, run.count);
			reference_advance(reference);
			*(run.refusal ? &refused : &stored) += run.count;
		}
		if (step % 16 == 0)
			mark_check(&window, reference);
	}
	CHECK(reference->base > 3 * SIZE); /* the ring went round */
	CHECK_INT(stored, window.stored_total);
	CHECK_INT(refused, window.refused_total);
	free(reference);
}

static uint64_t reference_take_up(struct reference *reference, uint64_t lowest)
{
	uint64_t end = reference->base + SIZE;
	uint64_t lost = 0;

	for (uint64_t i = reference->base; i < lowest && i < end; i++) {
		lost += !reference->taken[i];
		reference->durable[i] = reference->durable[i] || !reference->taken[i];
		reference->taken[i] = true;
	}
	reference_advance(reference);
	for (uint64_t i = end; reference->base >= end && i < lowest; i++) {
		lost++;
		reference->base = i + 1;
	}
	return lost;
}

/*
 * A sender's word that it holds nothing below a sequence, at random, amid taking and completing: the count of what was
 * lost, the base and every later judgement are the reference's, and base passes nothing that is on its way.
 */
static void test_take_up(void)
{
	static struct reference reference;
	static uint64_t taken[SIZE / 64];
	static uint64_t durable[SIZE / 64];
	struct prng prng = {check_seed()};
	struct lane_window window;
	uint64_t held = 0;

	memset(&reference, 0, sizeof(reference));
	reference.base = 1;
	lane_init(&window, 1, SIZE, taken, durable);
	while (reference.base + 3 * SIZE < SEQUENCES) {
		uint64_t first = reference.base + (prng_chance(&prng, 500) ? 0 : prng_below(&prng, SIZE - 1));
		struct run run = {.first = first, .count = 1};
		struct lane_fates fates;

		lane_judge(&window, first, 1, &fates);
		CHECK_INT(!reference.taken[first], fates.fresh);
		if (fates.fresh != 0) {
			lane_take(&window, first, 1);
			reference.taken[first] = true;
		}
		if (prng_chance(&prng, 3)) {
			uint64_t lowest = reference.base + prng_below(&prng, SIZE + SIZE / 4);
			uint64_t lost = reference_take_up(&reference, lowest);

			CHECK_INT(lost, lane_take_up(&window, lowest));
			CHECK_INT(0, lane_take_up(&window, reference.base));
		}
		if (!prng_chance(&prng, 200)) {
			CHECK(first >= reference.base || reference.durable[first]);
			held += first == reference.base;
			lane_durable(&window, &run);
			reference.durable[first] = true;
			reference_advance(&reference);
		}
		CHECK_INT(reference.base, window.base);
		judge_check(&window, &reference, first, 1);
	}
	CHECK(held > 0);
}

/* The base waits for what is on its way, however far the sender has gone on; then one word more takes it all. */
static void test_take_up_waits(void)
{
	const uint64_t lowest = UINT64_C(1) << 62;
	uint64_t taken[SIZE / 64];
	uint64_t durable[SIZE / 64];
	struct run run = {.first = 11, .count = 5};
	struct lane_window window;

	lane_init(&window, 1, SIZE, taken, durable);
	lane_take(&window, run.first, run.count);
	CHECK_INT(SIZE - run.count, lane_take_up(&window, lowest));
	CHECK_INT(run.first, window.base);
	CHECK_INT(0, lane_take_up(&window, run.first + run.count));
	lane_durable(&window, &run);
	CHECK_INT(SIZE + 1, window.base);
	CHECK_INT(lowest - SIZE - 1, lane_take_up(&window, lowest));
	CHECK_INT(lowest, window.base);
	CHECK_INT(lowest - 1, window.highest);
	CHECK_INT(0, lane_take_up(&window, lowest));
	CHECK_INT(run.count, window.stored_total);
}

static void test_far_numbers(void)
{
	uint64_t taken[SIZE / 64];
	uint64_t durable[SIZE / 64];
	struct lane_window window;
	struct lane_fates fates;

	lane_init(&window, 1, SIZE, taken, durable);
	lane_judge(&window, UINT64_MAX - 3, 32, &fates);
	CHECK_INT(UINT32_MAX, fates.beyond);
	CHECK_INT(0, fates.fresh | fates.durable | fates.pending);
	lane_judge(&window, UINT64_MAX, 1, &fates);
	CHECK_INT(1, fates.beyond);
	lane_judge(&window, SIZE, 32, &fates); /* the last one within, the rest not */
	CHECK_INT(1, fates.fresh);
	CHECK_INT(UINT32_MAX - 1, fates.beyond);
	lane_judge(&window, 0, 2, &fates);
	CHECK_INT(1, fates.durable);
	CHECK_INT(2, fates.fresh);
	lane_judge(&window, 5, 0, &fates);
	CHECK_INT(0, fates.fresh | fates.durable | fates.pending | fates.beyond);
}

/* ---- the map */

static struct run run_of(struct lane_id id, uint64_t first, uint16_t count)
{
	return (struct run){.first = first, .count = count, .feed = id.feed, .epoch = id.epoch, .lane = id.lane};
}

static void map_check(const struct lane_map *map, const struct lane_id *id, const bool *there, uint64_t end)
{
	struct lane_state state;
	uint64_t at = 1;

	CHECK(lane_map_get(map, id, &state));
	while (at <= state.cumulative)
		CHECK(there[at++]);
	for (size_t i = 0; i < state.range_count; i++) {
		CHECK(state.ranges[i].first > at);
		while (at < state.ranges[i].first)
			CHECK(!there[at++]);
		while (at <= state.ranges[i].last)
			CHECK(there[at++]);
	}
	while (at < end)
		CHECK(!there[at++]);
}

static unsigned fresh_count(const struct lane_map *map, const struct run *run, const bool *there)
{
	uint64_t from = run->first;
	unsigned count = 0;
	struct run part;

	while (lane_map_fresh(map, run, &from, &part)) {
		CHECK(part.count > 0);
		for (unsigned i = 0; i < part.count; i++)
			CHECK(!there[part.first + i]);
		count += part.count;
	}
	return count;
}

static void test_map_against_reference(void)
{
	struct prng prng = {.state = check_seed()};

	for (unsigned round = 0; round < 60; round++) {
		struct lane_id id = {.feed = round, .epoch = 2, .lane = 1};
		bool there[3000] = {false};
		struct lane_map *map;
		struct lane_state state;
		uint64_t total = 0;

		CHECK_INT(0, lane_map_new(&map));
		for (unsigned step = 0; step < 200; step++) {
			struct run run = run_of(id, 1 + prng_below(&prng, 2500), (uint16_t)(1 + prng_below(&prng, 60)));
			unsigned fresh = 0;

			if (step % 4 == 0)
				run.first = 1 + prng_below(&prng, 50);
			for (unsigned i = 0; i < run.count; i++)
				fresh += !there[run.first + i];
			CHECK_INT(fresh, fresh_count(map, &run, there));
			CHECK_INT(0, lane_map_apply(map, &run));
			memset(&there[run.first], 1, run.count);
			total += fresh;
			map_check(map, &id, there, 2900);
		}
		CHECK(lane_map_get(map, &id, &state));
		CHECK_INT(total, state.stored_total);
		lane_map_free(map);
	}
}

struct dump {
	struct lane_map *into;
	unsigned count;
};

static int dump_lane(void *context, const struct lane_id *id, const void *bytes, size_t size)
{
	struct dump *dump = context;
	uint8_t *copy = malloc(size + 8);

	CHECK(copy != NULL);
	memcpy(copy, bytes, size);
	CHECK_INT(0, lane_map_load(dump->into, id, copy, size));
	for (size_t cut = 0; cut < size; cut++)
		CHECK_INT(-EBADMSG, lane_map_load(dump->into, id, copy, cut));
	CHECK_INT(-EBADMSG, lane_map_load(dump->into, id, copy, size + 8));
	copy[0] ^= 1;
	CHECK_INT(-EBADMSG, lane_map_load(dump->into, id, copy, size));
	free(copy);
	dump->count++;
	return 0;
}

static int state_same(void *context, const struct lane_state *state)
{
	struct lane_state other;

	CHECK(lane_map_get(context, &state->id, &other));
	CHECK_INT(state->cumulative, other.cumulative);
	CHECK_INT(state->stored_total, other.stored_total);
	CHECK_INT(state->refused_total, other.refused_total);
	CHECK_INT(state->lost_total, other.lost_total);
	CHECK_INT(state->range_count, other.range_count);
	CHECK_MEM(state->ranges, other.ranges, state->range_count * sizeof(*state->ranges));
	return 0;
}

static struct lane_map *map_random(struct prng *prng)
{
	struct lane_map *map;

	CHECK_INT(0, lane_map_new(&map));
	for (unsigned i = 0; i < 3000; i++) {
		struct lane_id id = {.feed = (uint32_t)prng_below(prng, 200), .epoch = (uint32_t)prng_below(prng, 3)};
		struct run run = run_of(id, 1 + prng_below(prng, 300), (uint16_t)(1 + prng_below(prng, 20)));

		run.lane = (uint8_t)prng_below(prng, 2);
		run.refusal = prng_chance(prng, 100) ? REFUSAL_FUTURE : REFUSAL_NONE;
		CHECK_INT(0, lane_map_apply(map, &run));
	}
	return map;
}

static void test_dump_load_merge(void)
{
	struct prng prng = {.state = check_seed()};
	struct lane_map *map = map_random(&prng);
	struct lane_id id = {.feed = 1, .epoch = 0, .lane = 0};
	struct run run = run_of(id, 5000, 3);
	struct dump dump = {0};
	struct lane_map *merged;

	CHECK_INT(0, lane_map_new(&dump.into));
	CHECK_INT(0, lane_map_each_dirty(map, dump_lane, &dump));
	CHECK(dump.count > 500);
	CHECK_INT(0, lane_map_each(map, state_same, dump.into));
	CHECK_INT(0, lane_map_each(dump.into, state_same, map));
	dump.count = 0;
	CHECK_INT(0, lane_map_each_dirty(map, dump_lane, &dump));
	CHECK_INT(0, dump.count);
	CHECK_INT(0, lane_map_apply(map, &run));
	CHECK_INT(0, lane_map_each_dirty(map, dump_lane, &dump));
	CHECK_INT(1, dump.count);
	CHECK_INT(0, lane_map_new(&merged));
	CHECK_INT(0, lane_map_merge(merged, map));
	CHECK_INT(0, lane_map_each(map, state_same, merged));
	lane_map_free(merged);
	lane_map_free(dump.into);
	lane_map_free(map);
}

static void test_window_of_map(void)
{
	struct prng prng = {.state = check_seed()};
	struct lane_map *map = map_random(&prng);
	struct lane_id id = {.feed = 999, .epoch = 1, .lane = 0};
	struct lane_window *window;
	struct lane_state state;
	struct lane_mark mark;
	struct run run = run_of(id, 10000, 5);

	CHECK_INT(0, lane_map_window_new(map, &id, 1, &window));
	CHECK_INT(1, window->base);
	CHECK_INT(LANE_WINDOW_SIZE_MIN, window->size);
	CHECK_INT(999, window->feed);
	CHECK_INT(0, lane_map_apply(map, &run));
	CHECK_INT(0, lane_map_window_new(map, &id, 1, &window));
	CHECK_INT(16384, window->size); /* grew, so that the range is in it */
	run.first = UINT64_C(1) << 40;
	CHECK_INT(0, lane_map_apply(map, &run));
	CHECK_INT(-EOVERFLOW, lane_map_window_new(map, &id, 1, &window));
	for (uint32_t feed = 0; feed < 200; feed++) {
		id = (struct lane_id){.feed = feed, .epoch = 1, .lane = 1};
		if (!lane_map_get(map, &id, &state))
			continue;
		CHECK_INT(0, lane_map_window_new(map, &id, 5000, &window));
		CHECK_INT(8192, window->size);
		lane_mark(window, &mark);
		CHECK_INT(state.cumulative, mark.cumulative);
		CHECK_INT(state.stored_total, mark.stored_total);
		CHECK_INT(state.refused_total, mark.refused_total);
		CHECK_INT(state.range_count < LANE_RANGES_MAX ? state.range_count : LANE_RANGES_MAX, mark.range_count);
		CHECK_MEM(state.ranges, mark.ranges, mark.range_count * sizeof(mark.ranges[0]));
	}
	lane_map_free(map);
}

static void lost_sum(void *context, const struct lane_id *id, const struct lane_range *range)
{
	(void)id;
	*(uint64_t *)context += range->last - range->first + 1;
}

static void test_lost_ranges_of_any_length(void)
{
	struct lane_id id = {.feed = 4, .epoch = 4, .lane = 0};
	struct lane_range lost = {.first = 1, .last = UINT64_C(1) << 62};
	struct run run = run_of(id, 101, 10);
	struct lane_map *map;
	struct lane_state state;

	CHECK_INT(0, lane_map_new(&map));
	CHECK_INT(0, lane_map_apply(map, &run));
	CHECK_INT(0, lane_map_lose(map, &id, &lost));
	CHECK_INT(0, lane_map_lose(map, &id, &lost));
	CHECK(lane_map_get(map, &id, &state));
	CHECK_INT(lost.last, state.cumulative);
	CHECK_INT(0, state.range_count);
	CHECK_INT(lost.last - run.count, state.lost_total);
	CHECK_INT(run.count, state.stored_total);
	CHECK_INT(0, state.refused_total);
	lane_map_free(map);
}

static void test_watermark_names_the_lost(void)
{
	struct lane_id id = {.feed = 4, .epoch = 4, .lane = 0};
	struct run early = run_of(id, 1, 10);
	struct run late = run_of(id, 31, 10);
	struct lane_map *map;
	struct lane_state state;
	uint64_t lost = 0;

	CHECK_INT(0, lane_map_new(&map));
	CHECK_INT(0, lane_map_apply(map, &early));
	CHECK_INT(0, lane_map_apply(map, &late));
	CHECK_INT(0, lane_map_watermark(map, &id, 10, lost_sum, &lost));
	CHECK_INT(0, lost);
	CHECK_INT(0, lane_map_watermark(map, &id, 25, lost_sum, &lost));
	CHECK_INT(15, lost);
	CHECK(lane_map_get(map, &id, &state));
	CHECK_INT(25, state.cumulative);
	CHECK_INT(1, state.range_count);
	CHECK_INT(0, lane_map_watermark(map, &id, 50, NULL, NULL));
	CHECK(lane_map_get(map, &id, &state));
	CHECK_INT(50, state.cumulative);
	CHECK_INT(0, state.range_count);
	CHECK_INT(15 + 5 + 10, state.lost_total);
	CHECK_INT(20, state.stored_total);
	lane_map_free(map);
}

static void test_epochs(void)
{
	struct lane_map *map;
	uint32_t epochs[LANE_EPOCHS_MAX];

	CHECK_INT(0, lane_map_new(&map));
	CHECK_INT(0, lane_map_epochs(map, 1, epochs));
	for (uint32_t i = 0; i < 24; i++) {
		struct lane_id id = {.feed = 1, .epoch = (i * 7) % 12, .lane = i % 2};
		struct run run = run_of(id, 1, 1);

		CHECK_INT(0, lane_map_apply(map, &run));
	}
	CHECK_INT(LANE_EPOCHS_MAX, lane_map_epochs(map, 1, epochs));
	for (unsigned i = 0; i < LANE_EPOCHS_MAX; i++)
		CHECK_INT(11 - i, epochs[i]);
	lane_map_free(map);
}

int main(int argc, char **argv)
{
	static const struct check_test tests[] = {
		{"a window judges as the reference does", test_window_against_reference},
		{"taking up waits for what is on its way to the disk", test_take_up_waits},
		{"numbers at both ends", test_far_numbers},
		{"a window takes up where its sender still has reads", test_take_up},
		{"the map holds what the reference holds", test_map_against_reference},
		{"lanes are dumped, loaded and merged", test_dump_load_merge},
		{"a window made from the map", test_window_of_map},
		{"a lost range of any length is closed over in one step", test_lost_ranges_of_any_length},
		{"a watermark names what was lost and closes the gap", test_watermark_names_the_lost},
		{"the newest epochs of a feed", test_epochs},
		{NULL, NULL},
	};

	return check_main(argc, argv, "lanes", tests);
}
