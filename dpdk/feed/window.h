/*
 * Replay window over packet numbers, after RFC 6479: a ring of 64-bit words, so that moving on clears whole words.
 * Zeroed is empty. Check before authentication, mark only after it. One owner, no allocation.
 */
#ifndef GANTRY_FEED_WINDOW_H
#define GANTRY_FEED_WINDOW_H

#include <stdint.h>

#define FEED_WINDOW_WORDS 128
#define FEED_WINDOW_SIZE ((FEED_WINDOW_WORDS - 1) * 64) /* numbers below the highest that are still told apart */

struct feed_window {
	uint64_t next; /* highest number marked, plus 1 */
	uint64_t words[FEED_WINDOW_WORDS];
};

enum feed_window_answer { FEED_WINDOW_NEW, FEED_WINDOW_SEEN, FEED_WINDOW_BELOW };

enum feed_window_answer feed_window_check(const struct feed_window *window, uint64_t number);

/* Only a number that feed_window_check calls new. */
void feed_window_mark(struct feed_window *window, uint64_t number);

#endif
