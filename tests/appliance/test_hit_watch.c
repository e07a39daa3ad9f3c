/* The table of unacknowledged hits against a plain array: adds, removals, escalations, sweeps, a full table. */
#include "appliance/hit_watch.h"

#include <stdlib.h>
#include <string.h>

#include "appliance/base/prng.h"
#include "tests/check.h"

#define HITS 300
#define ROOM 120

struct model {
	bool held[HITS];
	struct watched_hit hits[HITS];
	size_t count;
	size_t escalated;
	uint64_t passed_over;
	uint64_t escalated_total;
};

static struct watched_hit hit_of(struct prng *prng, unsigned index)
{
	return (struct watched_hit){.number = 1 + index,
				    .published_us = 1 + (int64_t)prng_below(prng, 1000),
				    .since_ns = (int64_t)prng_below(prng, 1000) - 500,
				    .day = (int32_t)(index % 4),
				    .list = index % 3,
				    .priority = (uint8_t)(80 + index % 21)};
}

static void model_drop(struct model *model, unsigned index)
{
	model->held[index] = false;
	model->count--;
	model->escalated -= model->hits[index].escalated;
}

static void act_add(struct hit_watch *watch, struct model *model, struct prng *prng)
{
	unsigned index = (unsigned)prng_below(prng, HITS);
	struct watched_hit hit = hit_of(prng, index);
	int wanted = model->held[index] ? HIT_WATCH_KNOWN : model->count == ROOM ? HIT_WATCH_FULL : 0;

	CHECK_INT(wanted, hit_watch_add(watch, &hit));
	model->passed_over += wanted == HIT_WATCH_FULL;
	if (wanted != 0)
		return;
	model->held[index] = true;
	model->hits[index] = hit;
	model->count++;
}

static void act_remove(struct hit_watch *watch, struct model *model, struct prng *prng)
{
	unsigned index = (unsigned)prng_below(prng, HITS);

	CHECK_INT(model->held[index], hit_watch_remove(watch, 1 + index));
	if (model->held[index])
		model_drop(model, index);
}

static void act_escalate(struct hit_watch *watch, struct model *model, struct prng *prng)
{
	struct watched_hit due[16];
	int64_t before_ns = (int64_t)prng_below(prng, 1000) - 500;
	size_t count;

	do {
		count = hit_watch_escalate(watch, before_ns, 16, due);
		for (size_t i = 0; i < count; i++) {
			struct watched_hit *hit = &model->hits[due[i].number - 1];

			CHECK(model->held[due[i].number - 1] && !hit->escalated && hit->since_ns <= before_ns);
			hit->escalated = true;
			model->escalated++;
			model->escalated_total++;
		}
	} while (count == 16);
	for (unsigned i = 0; i < HITS; i++)
		CHECK(!model->held[i] || model->hits[i].escalated || model->hits[i].since_ns > before_ns);
}

static bool is_day(void *context, int32_t day)
{
	return day == *(int32_t *)context;
}

static void act_sweep(struct hit_watch *watch, struct model *model, struct prng *prng)
{
	int32_t day = (int32_t)prng_below(prng, 4);

	hit_watch_sweep(watch, is_day, &day);
	for (unsigned i = 0; i < HITS; i++)
		if (model->held[i] && model->hits[i].day == day)
			model_drop(model, i);
	hit_watch_caught_up(watch);
	model->passed_over = 0;
}

static void verify(struct hit_watch *watch, const struct model *model)
{
	struct hit_watch_info info;
	struct watched_hit *copy;
	size_t count, wanted = 0;
	const struct watched_hit *oldest = NULL;

	hit_watch_info(watch, &info);
	CHECK_INT(model->count, info.open);
	CHECK_INT(model->escalated, info.escalated);
	CHECK_INT(model->passed_over, info.passed_over);
	CHECK_INT(model->escalated_total, info.escalated_total);
	for (unsigned i = 0; i < HITS; i++) {
		wanted += model->held[i] && model->hits[i].priority >= 90;
		if (model->held[i] && model->hits[i].escalated &&
		    (oldest == NULL || model->hits[i].since_ns < oldest->since_ns))
			oldest = &model->hits[i];
	}
	CHECK_INT(oldest != NULL, info.oldest != 0);
	CHECK(oldest == NULL || info.oldest_ns == oldest->since_ns);
	CHECK_INT(0, hit_watch_copy(watch, 90, &copy, &count));
	CHECK_INT(wanted, count);
	for (size_t i = 0; i < count; i++) {
		CHECK(model->held[copy[i].number - 1]);
		CHECK_MEM(&model->hits[copy[i].number - 1], &copy[i], sizeof(copy[i]));
		CHECK(i == 0 || copy[i - 1].published_us <= copy[i].published_us);
	}
	free(copy);
}

static void test_random(void)
{
	struct prng prng = {.state = check_seed()};
	struct model *model = calloc(1, sizeof(*model));
	struct hit_watch *watch;

	CHECK(model != NULL);
	CHECK_INT(0, hit_watch_new(ROOM, &watch));
	for (unsigned step = 0; step < 20000; step++) {
		unsigned choice = (unsigned)prng_below(&prng, 100);

		if (choice < 60)
			act_add(watch, model, &prng);
		else if (choice < 97)
			act_remove(watch, model, &prng);
		else if (choice < 99)
			act_escalate(watch, model, &prng);
		else if (prng_chance(&prng, 200))
			act_sweep(watch, model, &prng);
		if (step % 16 == 0)
			verify(watch, model);
	}
	hit_watch_free(watch);
	free(model);
}

int main(int argc, char **argv)
{
	static const struct check_test tests[] = {{"against a model", test_random}, {NULL, NULL}};

	return check_main(argc, argv, "unacknowledged hits", tests);
}
