/* Inside of the lives of hits: their image, shared by hit_lives.c and hit_lives_load.c, nobody else. */
#ifndef GANTRY_STORAGE_HIT_LIVES_INTERNAL_H
#define GANTRY_STORAGE_HIT_LIVES_INTERNAL_H

#include <pthread.h>

#include "appliance/base/u64_map.h"
#include "storage/hit_lives.h"
#include "storage/store.h"

/* What days have. */
struct hit_day {
	uint32_t next; /* index that the next life of the day gets */
	uint32_t count;
};

/* Written with both locks held, read with either. */
struct hit_lives {
	pthread_mutex_t change;
	pthread_mutex_t image;
	struct reg *reg; /* NULL: not loaded */
	struct keyring *keyring;
	size_t max;
	struct hit_life *all;
	size_t count;
	size_t room;
	struct u64_map places; /* by number: index in `all` */
	struct hit_day days[STORE_DAY_END];
};

/* What of a record stands in memory. */
struct hit_life hit_life_of(const struct reg_hit_life *record);
/* Room for `more` lives more. -ENOMEM. Both locks held. */
int hit_lives_room_make(struct hit_lives *lives, size_t more);
/* There is room. A number that is there is replaced. Both locks held. */
void hit_lives_put(struct hit_lives *lives, const struct hit_life *life);
/* `change` held. Deletes the records of the day, then its lives. */
int hit_lives_forget_day_locked(struct hit_lives *lives, int32_t day, struct err *err);

#endif
