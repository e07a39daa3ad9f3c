/*
 * What a subscriber is given with hits, and gives back to acknowledge them: how far that message had brought it in its
 * lane, source by source. Text that says nothing to whoever holds it, bound to subscription and lane by a keyed digest:
 * one made up, changed, or of another subscription is refused. Good across connections and restarts. Pure functions.
 */
#ifndef GANTRY_APPLIANCE_HIT_CURSOR_H
#define GANTRY_APPLIANCE_HIT_CURSOR_H

#include <stdint.h>

#include "appliance/base/hit_positions.h"

#define HIT_CURSOR_KEY_SIZE 32
#define HIT_CURSOR_MAC_SIZE 16
#define HIT_CURSOR_BYTES_MAX (1 + 1 + HIT_SOURCES * 9 + HIT_CURSOR_MAC_SIZE)
#define HIT_CURSOR_TEXT_SIZE (2 * HIT_CURSOR_BYTES_MAX + 1)

/* Which subscription: its number alone could come again. */
struct hit_cursor_owner {
	uint32_t number;
	int64_t created_us;
};

/* Returns `text`. */
const char *hit_cursor_write(const uint8_t key[HIT_CURSOR_KEY_SIZE], const struct hit_cursor_owner *owner,
			     enum hit_lane lane, const struct hit_positions *positions,
			     char text[HIT_CURSOR_TEXT_SIZE]);

/* -EBADMSG, and ret untouched: not one that was written for this subscription with this key. */
int hit_cursor_read(const uint8_t key[HIT_CURSOR_KEY_SIZE], const struct hit_cursor_owner *owner, const char *text,
		    enum hit_lane *ret_lane, struct hit_positions *ret_positions);

#endif
