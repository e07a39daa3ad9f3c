/*
 * Repeats: a hit of a vehicle that the same entry of its list has told of at the same spot less than so many minutes
 * ago. A new entry is heard, whatever an older one has told. The minutes run from the hit that was told, not from its
 * last repeat, so that a vehicle that keeps coming is told of again and again.
 *
 * All workers share one table (cells.h). Asking and noting are two steps, and a hit is noted only when the journal has
 * taken it: nothing is silenced by a hit that was pushed back. What can go wrong lets a repeat through and never
 * silences a first one: two workers that ask at the same moment, an entry given up in a full set, a restart, after
 * which the table is empty.
 *
 * Time is that of the receipt. A read that comes late (REPEATS_LATE_US after its capture, or more) is judged by its
 * capture and among late ones only: a camera that empties its buffer neither floods nor silences what is live. Late
 * reads come in any order, so one captured less than the minutes before the one told is a repeat, too.
 */
#ifndef GANTRY_APPLIANCE_REPEATS_H
#define GANTRY_APPLIANCE_REPEATS_H

#include <stdbool.h>
#include <stdint.h>

#include "appliance/cells.h"
#include "appliance/hit_rules.h"

#define REPEATS_LATE_US INT64_C(300000000)

struct read;

struct repeat {
	struct cell_key key;
	uint32_t time_s;
	uint32_t window_s;
};

/* What the hit would be a repeat of, on its way to the cache. rule->suppress_minutes > 0; entry: of
 * its list, 0 for clones. Any thread, as all. */
struct repeat repeat_of(const struct cells *cells, const struct hit_rule *rule, uint32_t entry, struct hit_spot spot,
			const struct read *read);

/* Was one told of? */
bool repeat_told(const struct cells *cells, const struct repeat *repeat);

/* This one is told. True: for it, one was forgotten that would have silenced others under the same minutes. */
bool repeat_note(struct cells *cells, const struct repeat *repeat);

#endif
