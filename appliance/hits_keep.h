/*
 * Which hits stay where there is no room for all of a read's. A pure function, for workers.
 */
#ifndef GANTRY_APPLIANCE_HITS_KEEP_H
#define GANTRY_APPLIANCE_HITS_KEEP_H

struct hit;

/*
 * At most `room` hits stay, in the order they have: those of the highest priority, of one priority the first, and
 * repeats only where nothing else wants the room. Returns how many.
 */
unsigned hits_keep(struct hit *hits, unsigned count, unsigned room);

#endif
