/* The inside of the set of subscriptions, for subscriptions*.c only. */
#ifndef GANTRY_APPLIANCE_SUBSCRIPTIONS_SET_H
#define GANTRY_APPLIANCE_SUBSCRIPTIONS_SET_H

#include <pthread.h>

#include "appliance/subscriptions.h"
#include "storage/register.h"

#define FLUSH_CHANGES_MAX 4096

/* Changes on their way to the register: gathered, written, and kept until they are. */
struct flush {
	struct reg_change *changes;
	uint8_t (*values)[REG_RECORD_SIZE_MAX];
	size_t count;
};

struct subscriptions {
	struct subscriptions_options options;
	pthread_mutex_t lock; /* the table and references */
	struct subscription **table;
	size_t count;
	size_t room;
	uint64_t generation;
	uint32_t highest;           /* number given so far */
	pthread_mutex_t flush_lock; /* changes of the table and of the register; and what follows */
	struct flush flush;
	size_t flush_next; /* index in the table with which the next flush begins */
	int64_t tidied_us;
};

/* Lock of the lane's subscription held: the record that says how far it has come. */
void subscription_positions(const struct subscription *subscription, enum hit_lane lane, uint8_t urgent_priority,
			    struct reg_positions *ret_positions);

/* Also those that are removed. Borrowed; NULL behind the last. */
struct subscription *subscriptions_take_any(struct subscriptions *set, size_t index);

#endif
