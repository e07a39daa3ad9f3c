/*
 * What stands between a hit that is known and whoever is to be told of it: its read may have been erased, corrected or
 * restricted meanwhile, or its day destroyed. The store asks this of what it gives; hits in rings, and late ones on
 * their way there, are older than that answer.
 *
 * One thread each, a control thread. Sees what holds at begin: for one message, not for longer.
 */
#ifndef GANTRY_APPLIANCE_HIT_SCREEN_H
#define GANTRY_APPLIANCE_HIT_SCREEN_H

#include <stdbool.h>
#include <stdint.h>

struct gantry;
struct hit_found;
struct keyring;
struct mark_day;
struct mark_set;

struct hit_screen {
	struct keyring *keyring;
	struct mark_set *marks;
	const struct mark_day *marks_day; /* of `day`, the one asked about last */
	int32_t day;
	bool destroyed; /* that day */
};

void hit_screen_begin(struct gantry *gantry, struct hit_screen *ret_screen);
void hit_screen_end(struct hit_screen *screen);

/* True: nobody may be told of it any more. */
bool hit_screen_hides(struct hit_screen *screen, const struct hit_found *found);

#endif
