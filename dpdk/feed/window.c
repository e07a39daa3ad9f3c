#include "dpdk/feed/window.h"

#include <assert.h>
#include <string.h>

/*
 * Number n has bit n % 64 of word n / 64 % FEED_WINDOW_WORDS. The word that is being filled at the top may overlap in
 * the ring with the oldest one, which is why a whole word of the ring is not counted in FEED_WINDOW_SIZE.
 */
static_assert((FEED_WINDOW_WORDS & (FEED_WINDOW_WORDS - 1)) == 0, "the ring is indexed by a mask");
static_assert(FEED_WINDOW_SIZE >= 4096, "reordering of a burst of bursts must not look like a replay");

enum feed_window_answer feed_window_check(const struct feed_window *window, uint64_t number)
{
	if (number >= window->next)
		return FEED_WINDOW_NEW;
	if (window->next - number > FEED_WINDOW_SIZE)
		return FEED_WINDOW_BELOW;
	if ((window->words[number / 64 % FEED_WINDOW_WORDS] >> (number % 64) & 1) != 0)
		return FEED_WINDOW_SEEN;
	return FEED_WINDOW_NEW;
}

void feed_window_mark(struct feed_window *window, uint64_t number)
{
	if (number >= window->next) {
		/* Words between the old top's and the new one's hold bits of numbers long past. */
		uint64_t top = window->next > 0 ? (window->next - 1) / 64 : 0;
		uint64_t count = number / 64 - top;

		if (count >= FEED_WINDOW_WORDS) {
			memset(window->words, 0, sizeof(window->words));
		} else {
			for (uint64_t i = 1; i <= count; i++)
				window->words[(top + i) % FEED_WINDOW_WORDS] = 0;
		}
		window->next = number + 1;
	}
	window->words[number / 64 % FEED_WINDOW_WORDS] |= UINT64_C(1) << (number % 64);
}
