/*
 * A step's way: judged by the record that the register has ▸ one entry with all records that change, durable ▸ image.
 * Room in the image is made before the entry: behind it nothing can fail.
 */
#include "storage/hit_lives.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "appliance/base/clock.h"
#include "appliance/base/read.h"
#include "storage/hit_lives_internal.h"
#include "storage/keyring.h"
#include "storage/register.h"

/* Who and why stand in the audit log; here a reason in words might name the read for longer than its day. */
#define LIFE_REASON "see the audit log"

int hit_lives_new(size_t max, struct hit_lives **ret_lives)
{
	struct hit_lives *lives = calloc(1, sizeof(*lives));

	if (lives == NULL)
		return -ENOMEM;
	lives->max = max;
	(void)pthread_mutex_init(&lives->change, NULL);
	(void)pthread_mutex_init(&lives->image, NULL);
	*ret_lives = lives;
	return 0;
}

struct hit_lives *hit_lives_free(struct hit_lives *lives)
{
	if (lives == NULL)
		return NULL;
	u64_map_fini(&lives->places);
	free(lives->all);
	(void)pthread_mutex_destroy(&lives->image);
	(void)pthread_mutex_destroy(&lives->change);
	free(lives);
	return NULL;
}

struct hit_life hit_life_of(const struct reg_hit_life *record)
{
	return (struct hit_life){.number = record->number,
				 .acknowledged_us = record->acknowledged.time_us,
				 .day = record->day,
				 .index = record->index,
				 .list = record->list,
				 .camera = record->camera,
				 .camera_type = record->camera_type,
				 .priority = record->priority,
				 .state = record->state,
				 .disposition = record->disposition};
}

int hit_lives_room_make(struct hit_lives *lives, size_t more)
{
	size_t wanted = lives->count + more;
	size_t room = lives->room > 0 ? lives->room : 64;
	struct hit_life *all;

	while (room < wanted)
		room *= 2;
	if (room > lives->room) {
		all = reallocarray(lives->all, room, sizeof(*all));
		if (all == NULL)
			return -ENOMEM;
		lives->all = all;
		lives->room = room;
	}
	return u64_map_reserve(&lives->places, wanted);
}

void hit_lives_put(struct hit_lives *lives, const struct hit_life *life)
{
	struct hit_day *day = &lives->days[life->day];
	uint32_t place;

	if (!u64_map_get(&lives->places, life->number, &place)) {
		place = (uint32_t)lives->count++;
		(void)u64_map_put(&lives->places, life->number, place); /* there is room */
		day->count++;
	}
	lives->all[place] = *life;
	if (day->next <= life->index)
		day->next = life->index + 1;
}

/* Responding and dismissing are the same step. */
static unsigned rank_of(uint8_t state)
{
	return state < REG_HIT_RESPONDED ? state : REG_HIT_RESPONDED;
}

static struct reg_hit_step *step_of(struct reg_hit_life *life, uint8_t state)
{
	return state == REG_HIT_ACKNOWLEDGED ? &life->acknowledged
	       : state == REG_HIT_ASSESSED   ? &life->assessed
					     : &life->ended;
}

static bool text_same(const char *kept, const char *text)
{
	return strcmp(kept, text != NULL ? text : "") == 0;
}

/* Is what was done at that step what is to be done? */
static bool is_same(const struct reg_hit_life *life, const struct hit_order *order)
{
	switch (order->state) {
	case REG_HIT_ACKNOWLEDGED:
		return true;
	case REG_HIT_ASSESSED:
		return life->disposition == order->disposition && text_same(life->assessment, order->text);
	default:
		return life->state == order->state && text_same(life->ending, order->text);
	}
}

/* `life` is all zero, but for what names it, when there is none yet. */
static int judge(struct reg_hit_life *life, const struct hit_order *order, struct hit_answer *answer)
{
	unsigned rank = rank_of(order->state);
	unsigned now = rank_of(life->state);

	answer->state = life->state;
	if (now + 1 < rank)
		return HIT_LIVES_EARLY;
	if (now < rank)
		return 0;
	answer->before = *step_of(life, order->state);
	if (answer->before.uid != order->uid)
		return HIT_LIVES_TAKEN;
	if (is_same(life, order))
		return HIT_LIVES_SAME;
	return now == REG_HIT_ASSESSED && rank == REG_HIT_ASSESSED ? 0 : HIT_LIVES_FIXED;
}

static void text_put(char *to, size_t size, const char *text)
{
	(void)snprintf(to, size, "%s", text != NULL ? text : "");
}

static void apply(struct reg_hit_life *life, const struct hit_order *order)
{
	struct reg_hit_step *step = step_of(life, order->state);

	*step = (struct reg_hit_step){.uid = order->uid, .time_us = clock_wall_us()};
	text_put(step->account, sizeof(step->account), order->account);
	text_put(step->organisation, sizeof(step->organisation), order->organisation);
	life->state = order->state;
	if (order->state == REG_HIT_ASSESSED) {
		life->disposition = order->disposition;
		text_put(life->assessment, sizeof(life->assessment), order->text);
	} else if (order->state > REG_HIT_ASSESSED) {
		text_put(life->ending, sizeof(life->ending), order->text);
	}
}

/* With either lock. */
static const struct hit_life *find(const struct hit_lives *lives, uint64_t number)
{
	uint32_t place;

	return u64_map_get(&lives->places, number, &place) ? &lives->all[place] : NULL;
}

static int record_get(struct hit_lives *lives, const struct hit_life *life, struct reg_hit_life *ret_record)
{
	uint8_t value[REG_RECORD_SIZE_MAX];
	size_t size;
	int result = reg_get(lives->reg, REG_HIT_LIFE, (uint32_t)life->day, life->index, value, &size);

	return result == 0 ? reg_hit_life_decode(value, size, ret_record) : result;
}

/* The orders of one call that are carried out. */
struct stepping {
	struct hit_lives *lives;
	size_t count;
	size_t fresh; /* of them lives that begin */
	struct reg_hit_life records[HIT_LIVES_ORDERS_MAX];
	struct reg_change changes[HIT_LIVES_ORDERS_MAX];
	uint8_t bytes[HIT_LIVES_ORDERS_MAX][REG_RECORD_SIZE_MAX];
};

/* Indexes that this call has given out in the day before it is noted in the image. */
static uint32_t index_next(const struct stepping *stepping, int32_t day)
{
	uint32_t index = stepping->lives->days[day].next;

	for (size_t i = 0; i < stepping->count; i++)
		if (stepping->records[i].day == day && stepping->records[i].index >= index)
			index = stepping->records[i].index + 1;
	return index;
}

static int life_begin(struct stepping *stepping, const struct hit_order *order, struct reg_hit_life *life)
{
	if (keyring_day_destroyed(stepping->lives->keyring, order->day))
		return HIT_LIVES_PURGED;
	if (stepping->lives->count + stepping->fresh >= stepping->lives->max)
		return HIT_LIVES_FULL;
	*life = (struct reg_hit_life){.day = order->day,
				      .index = index_next(stepping, order->day),
				      .number = order->number,
				      .list = order->list,
				      .camera = order->camera,
				      .camera_type = order->camera_type,
				      .priority = order->priority};
	return 0;
}

/* The life as the register has it, or as this call has left it; one that is to begin has state 0. */
static int life_take(struct stepping *stepping, const struct hit_order *order, size_t *ret_at,
		     struct reg_hit_life *ret_life)
{
	const struct hit_life *known;

	for (size_t i = 0; i < stepping->count; i++)
		if (stepping->records[i].number == order->number) {
			*ret_at = i;
			*ret_life = stepping->records[i];
			return 0;
		}
	*ret_at = stepping->count;
	known = find(stepping->lives, order->number);
	if (known == NULL)
		return life_begin(stepping, order, ret_life);
	if (keyring_day_destroyed(stepping->lives->keyring, known->day))
		return HIT_LIVES_PURGED;
	return record_get(stepping->lives, known, ret_life);
}

static bool order_valid(const struct hit_order *order)
{
	return order->number != 0 && order->day >= 0 && order->day < STORE_DAY_END && order->priority <= 100 &&
	       (order->camera_type < REG_CAMERA_TYPE_COUNT || order->camera_type == REG_HIT_CAMERA_UNKNOWN) &&
	       order->state >= REG_HIT_ACKNOWLEDGED && order->state < REG_HIT_STATE_END &&
	       order->disposition < REG_HIT_DISPOSITION_END &&
	       (order->state == REG_HIT_ASSESSED) == (order->disposition != REG_HIT_UNJUDGED) &&
	       (order->text == NULL || strlen(order->text) < REG_HIT_TEXT_SIZE);
}

static int step_one(struct stepping *stepping, const struct hit_order *order, struct hit_answer *answer)
{
	struct reg_hit_life life;
	size_t at;
	int result;

	*answer = (struct hit_answer){0};
	if (!order_valid(order))
		return -EINVAL;
	result = life_take(stepping, order, &at, &life);
	if (result == 0)
		result = judge(&life, order, answer);
	if (result != 0) {
		answer->outcome = result;
		return result < 0 ? result : 0;
	}
	stepping->fresh += life.state == 0;
	apply(&life, order);
	answer->state = life.state;
	stepping->records[at] = life;
	stepping->count += at == stepping->count;
	return 0;
}

static int stepping_write(struct stepping *stepping, uint32_t uid, struct err *err)
{
	struct hit_lives *lives = stepping->lives;
	int result;

	(void)pthread_mutex_lock(&lives->image);
	result = hit_lives_room_make(lives, stepping->fresh);
	(void)pthread_mutex_unlock(&lives->image);
	if (result < 0)
		return err_set(err, result, "lives of hits: %s", strerror(-result));
	for (size_t i = 0; i < stepping->count; i++)
		stepping->changes[i] = (struct reg_change){
			.kind = REG_HIT_LIFE,
			.a = (uint32_t)stepping->records[i].day,
			.b = stepping->records[i].index,
			.value = stepping->bytes[i],
			.value_size = reg_hit_life_encode(&stepping->records[i], stepping->bytes[i])};
	result = reg_change(lives->reg, stepping->changes, stepping->count, uid, LIFE_REASON, err);
	if (result < 0)
		return result;
	(void)pthread_mutex_lock(&lives->image);
	for (size_t i = 0; i < stepping->count; i++) {
		struct hit_life life = hit_life_of(&stepping->records[i]);

		hit_lives_put(lives, &life);
	}
	(void)pthread_mutex_unlock(&lives->image);
	return 0;
}

static int step_locked(struct stepping *stepping, const struct hit_order *orders, size_t count, struct err *err,
		       struct hit_answer *answers)
{
	if (stepping->lives->reg == NULL)
		return err_set(err, -EIO, "the register is incomplete: lives of hits cannot be kept");
	for (size_t i = 0; i < count; i++) {
		int result = step_one(stepping, &orders[i], &answers[i]);

		if (result < 0)
			return err_set(err, result, "the life of hit %zu of the call: %s", i, strerror(-result));
	}
	return stepping->count > 0 ? stepping_write(stepping, orders[0].uid, err) : 0;
}

int hit_lives_step(struct hit_lives *lives, const struct hit_order *orders, size_t count, struct err *err,
		   struct hit_answer *ret_answers)
{
	struct stepping *stepping;
	int result;

	if (count == 0 || count > HIT_LIVES_ORDERS_MAX)
		return err_set(err, -EINVAL, "a call takes 1 to %d hits", HIT_LIVES_ORDERS_MAX);
	stepping = calloc(1, sizeof(*stepping));
	if (stepping == NULL)
		return err_set(err, -ENOMEM, "out of memory");
	stepping->lives = lives;
	(void)pthread_mutex_lock(&lives->change);
	result = step_locked(stepping, orders, count, err, ret_answers);
	(void)pthread_mutex_unlock(&lives->change);
	free(stepping);
	return result;
}

int hit_lives_get(struct hit_lives *lives, uint64_t number, struct reg_hit_life *ret_life)
{
	const struct hit_life *life;
	int result = -ENOENT;

	(void)pthread_mutex_lock(&lives->change);
	life = find(lives, number);
	if (life != NULL)
		result = record_get(lives, life, ret_life);
	(void)pthread_mutex_unlock(&lives->change);
	return result;
}

bool hit_lives_known(struct hit_lives *lives, uint64_t number)
{
	bool known;

	(void)pthread_mutex_lock(&lives->image);
	known = find(lives, number) != NULL;
	(void)pthread_mutex_unlock(&lives->image);
	return known;
}

uint64_t hit_lives_highest(struct hit_lives *lives, unsigned source)
{
	uint64_t highest = 0;

	(void)pthread_mutex_lock(&lives->image);
	for (size_t i = 0; i < lives->count; i++)
		if (hit_source(lives->all[i].number) == source && lives->all[i].number > highest)
			highest = lives->all[i].number;
	(void)pthread_mutex_unlock(&lives->image);
	return highest;
}

int hit_lives_copy(struct hit_lives *lives, bool (*wanted)(const void *context, const struct hit_life *life),
		   const void *context, struct hit_life **ret_lives, size_t *ret_count)
{
	struct hit_life *copy;
	size_t count = 0;
	size_t copied = 0;

	(void)pthread_mutex_lock(&lives->image);
	for (size_t i = 0; i < lives->count; i++)
		count += wanted(context, &lives->all[i]);
	copy = calloc(count + 1, sizeof(*copy));
	for (size_t i = 0; copy != NULL && i < lives->count; i++)
		if (wanted(context, &lives->all[i]))
			copy[copied++] = lives->all[i];
	(void)pthread_mutex_unlock(&lives->image);
	if (copy == NULL)
		return -ENOMEM;
	*ret_lives = copy;
	*ret_count = copied;
	return 0;
}

bool hit_lives_of_day(struct hit_lives *lives, int32_t day)
{
	bool any;

	if (day < 0 || day >= STORE_DAY_END)
		return false;
	(void)pthread_mutex_lock(&lives->image);
	any = lives->days[day].count > 0;
	(void)pthread_mutex_unlock(&lives->image);
	return any;
}

void hit_lives_info(struct hit_lives *lives, struct hit_lives_info *ret_info)
{
	struct hit_lives_info info = {0};

	(void)pthread_mutex_lock(&lives->image);
	for (size_t i = 0; i < lives->count; i++) {
		info.acknowledged += lives->all[i].state == REG_HIT_ACKNOWLEDGED;
		info.assessed += lives->all[i].state == REG_HIT_ASSESSED;
		info.ended += lives->all[i].state >= REG_HIT_RESPONDED;
	}
	(void)pthread_mutex_unlock(&lives->image);
	*ret_info = info;
}
