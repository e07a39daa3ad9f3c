#include "dpdk/feed/window.h"

#include <stdbool.h>
#include <string.h>

#include "appliance/base/prng.h"
#include "tests/check.h"

#define NUMBERS (1u << 17)

/* The reference: one flag for every number there is. */
struct model {
	bool seen[NUMBERS];
	uint64_t next;
};
static struct model model;

static enum feed_window_answer model_check(uint64_t number)
{
	if (number < model.next && model.next - number > FEED_WINDOW_SIZE)
		return FEED_WINDOW_BELOW;
	return model.seen[number] ? FEED_WINDOW_SEEN : FEED_WINDOW_NEW;
}

static void model_mark(uint64_t number)
{
	model.seen[number] = true;
	if (number >= model.next)
		model.next = number + 1;
}

/* Around the top mostly, at the lower edge often, anywhere sometimes; jumps of every length. */
static uint64_t number_random(struct prng *prng)
{
	uint64_t next = model.next;
	uint64_t spread = prng_chance(prng, 20) ? 3 * FEED_WINDOW_SIZE : prng_chance(prng, 100) ? 200 : 20;

	if (prng_chance(prng, 150) && next > FEED_WINDOW_SIZE + 70)
		return next - FEED_WINDOW_SIZE - 70 + prng_below(prng, 140);
	if (prng_chance(prng, 100))
		return prng_below(prng, next + 1);
	next += prng_below(prng, spread + 1);
	return next > spread / 2 ? next - spread / 2 : 0;
}

static void window_agrees_with_the_reference(void)
{
	struct prng prng = {check_seed()};

	for (unsigned round = 0; round < 20; round++) {
		struct feed_window window = {0};

		memset(&model, 0, sizeof(model));
		for (unsigned i = 0; i < 40000; i++) {
			uint64_t number = number_random(&prng);

			if (number >= NUMBERS)
				break;
			CHECK_INT(model_check(number), feed_window_check(&window, number));
			/* A check without a mark, as after a bad tag, must leave no trace. */
			if (model_check(number) == FEED_WINDOW_NEW && !prng_chance(&prng, 100)) {
				feed_window_mark(&window, number);
				model_mark(number);
			}
		}
		for (uint64_t number = 0; number < NUMBERS; number++)
			CHECK_INT(model_check(number), feed_window_check(&window, number));
	}
}

static void edges_are_exact(void)
{
	struct feed_window window = {0};

	CHECK_INT(FEED_WINDOW_NEW, feed_window_check(&window, 0));
	CHECK_INT(FEED_WINDOW_NEW, feed_window_check(&window, UINT64_MAX - 1));
	feed_window_mark(&window, FEED_WINDOW_SIZE);
	CHECK_INT(FEED_WINDOW_NEW, feed_window_check(&window, 1));
	CHECK_INT(FEED_WINDOW_BELOW, feed_window_check(&window, 0));
	feed_window_mark(&window, 1);
	CHECK_INT(FEED_WINDOW_SEEN, feed_window_check(&window, 1));
	feed_window_mark(&window, FEED_WINDOW_SIZE + 1);
	CHECK_INT(FEED_WINDOW_BELOW, feed_window_check(&window, 1));
	CHECK_INT(FEED_WINDOW_NEW, feed_window_check(&window, 2));
}

int main(int argc, char **argv)
{
	static const struct check_test tests[] = {
		{"window agrees with the reference", window_agrees_with_the_reference},
		{"edges are exact", edges_are_exact},
		{NULL, NULL},
	};

	return check_main(argc, argv, "feed/window", tests);
}
