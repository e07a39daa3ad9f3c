/*
 * Hits that somebody should acknowledge and nobody has yet: a bounded table, and which of them have waited too long.
 * Knows no clock: whoever asks says the time. Any control thread; a mutex inside, held briefly.
 */
#ifndef GANTRY_APPLIANCE_HIT_WATCH_H
#define GANTRY_APPLIANCE_HIT_WATCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct hit_watch;

struct watched_hit {
	uint64_t number;
	int64_t published_us; /* by the wall clock, to be shown */
	int64_t since_ns;     /* it waits, by the monotonic clock: may be before its zero */
	int32_t day;          /* of its read's capture */
	uint32_t list;
	uint32_t camera;
	uint8_t priority;
	bool escalated;
};

enum hit_watch_outcome {
	HIT_WATCH_KNOWN = 1, /* it is watched already: nothing changed */
	HIT_WATCH_FULL = 2,  /* counted as passed over */
};

/* For at most `max` hits, whose memory is taken at once. -ENOMEM. */
int hit_watch_new(size_t max, struct hit_watch **ret_watch);
struct hit_watch *hit_watch_free(struct hit_watch *watch);

int hit_watch_add(struct hit_watch *watch, const struct watched_hit *hit);
/* False: it was not watched. */
bool hit_watch_remove(struct hit_watch *watch, uint64_t number);

/*
 * Up to `max` of those that wait since that moment or longer and have not escalated yet, which they have now; in no
 * order. Fewer than `max`: there are no more.
 */
size_t hit_watch_escalate(struct hit_watch *watch, int64_t before_ns, size_t max, struct watched_hit *ret_hits);

/* Those of at least that priority, published first first. The caller frees *ret_hits. -ENOMEM. */
int hit_watch_copy(struct hit_watch *watch, uint8_t priority_min, struct watched_hit **ret_hits, size_t *ret_count);

/* Drops those whose day is gone. */
void hit_watch_sweep(struct hit_watch *watch, bool (*gone)(void *context, int32_t day), void *context);

/* Those passed over are looked for anew: from now on none is. */
void hit_watch_caught_up(struct hit_watch *watch);

struct hit_watch_info {
	size_t open; /* watched, escalated ones too */
	size_t escalated;
	uint64_t passed_over;     /* since hit_watch_caught_up, for want of room */
	uint64_t escalated_total; /* since the start */
	uint64_t oldest;          /* number of the escalated one that waits longest; 0: none */
	int64_t oldest_ns;        /* since when */
};
void hit_watch_info(struct hit_watch *watch, struct hit_watch_info *ret_info);

#endif
