/* Lives of hits from the register, once, and the end of a day's. */
#include "storage/hit_lives_internal.h"

#include <errno.h>
#include <string.h>

#include "storage/keyring.h"
#include "storage/register.h"

#define FORGET_AT_ONCE 256

static int load_record(void *context, const struct reg_record *found)
{
	struct hit_lives *lives = context;
	struct reg_hit_life record;
	struct hit_life life;
	int result = reg_hit_life_decode(found->value, found->value_size, &record);

	if (result == 0 && record.day >= STORE_DAY_END)
		result = -EBADMSG;
	if (result == 0)
		result = hit_lives_room_make(lives, 1);
	if (result < 0)
		return result;
	life = hit_life_of(&record);
	hit_lives_put(lives, &life);
	return 0;
}

/* Purges that died before they came to it. */
static int dead_forget(struct hit_lives *lives, struct err *err)
{
	for (int32_t day = 0; day < STORE_DAY_END; day++) {
		int result = 0;

		if (lives->days[day].count > 0 && keyring_day_destroyed(lives->keyring, day))
			result = hit_lives_forget_day_locked(lives, day, err);
		if (result < 0)
			return result;
	}
	return 0;
}

int hit_lives_load(struct hit_lives *lives, struct reg *reg, struct keyring *keyring, struct err *err)
{
	int result;

	(void)pthread_mutex_lock(&lives->change);
	lives->reg = reg;
	lives->keyring = keyring;
	(void)pthread_mutex_lock(&lives->image);
	result = reg_each(reg, REG_HIT_LIFE, 0, UINT32_MAX, load_record, lives);
	(void)pthread_mutex_unlock(&lives->image);
	if (result < 0)
		(void)err_set(err, result, "the register's lives of hits: %s", strerror(-result));
	else
		result = dead_forget(lives, err);
	if (result < 0)
		lives->reg = NULL;
	(void)pthread_mutex_unlock(&lives->change);
	return result;
}

/* Only the image: the records are gone. */
static void image_forget(struct hit_lives *lives, int32_t day)
{
	size_t kept = 0;

	(void)pthread_mutex_lock(&lives->image);
	u64_map_clear(&lives->places);
	for (size_t i = 0; i < lives->count; i++) {
		if (lives->all[i].day == day)
			continue;
		lives->all[kept] = lives->all[i];
		(void)u64_map_put(&lives->places, lives->all[kept].number, (uint32_t)kept); /* there is room */
		kept++;
	}
	lives->count = kept;
	lives->days[day].count = 0;
	(void)pthread_mutex_unlock(&lives->image);
}

static int records_delete(struct hit_lives *lives, int32_t day, struct err *err)
{
	struct reg_change changes[FORGET_AT_ONCE];
	size_t count = 0;
	int result = 0;

	for (size_t i = 0; result == 0 && i < lives->count; i++) {
		if (lives->all[i].day != day)
			continue;
		changes[count++] =
			(struct reg_change){.kind = REG_HIT_LIFE, .a = (uint32_t)day, .b = lives->all[i].index};
		if (count < FORGET_AT_ONCE)
			continue;
		result = reg_change(lives->reg, changes, count, 0, "the day of these hits has been purged", err);
		count = 0;
	}
	if (result == 0 && count > 0)
		result = reg_change(lives->reg, changes, count, 0, "the day of these hits has been purged", err);
	return result;
}

int hit_lives_forget_day_locked(struct hit_lives *lives, int32_t day, struct err *err)
{
	int result = records_delete(lives, day, err);

	if (result == 0)
		image_forget(lives, day);
	return result;
}

int hit_lives_forget_day(struct hit_lives *lives, int32_t day, struct err *err)
{
	int result = 0;

	(void)pthread_mutex_lock(&lives->change);
	if (lives->reg != NULL && day >= 0 && day < STORE_DAY_END && lives->days[day].count > 0)
		result = hit_lives_forget_day_locked(lives, day, err);
	(void)pthread_mutex_unlock(&lives->change);
	return result;
}
