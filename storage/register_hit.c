#include "storage/register_hit.h"

#include <assert.h>
#include <errno.h>

#include "storage/register_cursor.h"

#define LIFE_FIXED_SIZE (1 + 4 + 4 + 8 + 4 + 4 + 4)
#define LIFE_STEP_SIZE (4 + 8 + 2 * (2 + REG_NAME_SIZE - 1))
static_assert(LIFE_FIXED_SIZE + 3 * LIFE_STEP_SIZE + 2 * (2 + REG_HIT_TEXT_SIZE - 1) <= REG_RECORD_SIZE_MAX,
	      "a whole life fits");

static void put_step(struct cursor *cursor, const struct reg_hit_step *step)
{
	cursor_put_u32(cursor, step->uid);
	cursor_put_u64(cursor, (uint64_t)step->time_us);
	cursor_put_text(cursor, step->account);
	cursor_put_text(cursor, step->organisation);
}

static void get_step(struct cursor *cursor, struct reg_hit_step *step)
{
	step->uid = cursor_get_u32(cursor);
	step->time_us = (int64_t)cursor_get_u64(cursor);
	cursor_get_text(cursor, step->account, sizeof(step->account));
	cursor_get_text(cursor, step->organisation, sizeof(step->organisation));
}

/* Do the parts agree with each other? The same for what is written and what was read. */
static bool is_life(const struct reg_hit_life *life)
{
	bool judged = life->disposition != REG_HIT_UNJUDGED;

	return life->day >= 0 && life->number != 0 && life->priority <= 100 &&
	       (life->camera_type < REG_CAMERA_TYPE_COUNT || life->camera_type == REG_HIT_CAMERA_UNKNOWN) &&
	       life->state >= REG_HIT_ACKNOWLEDGED && life->state < REG_HIT_STATE_END &&
	       life->disposition < REG_HIT_DISPOSITION_END && judged == (life->state >= REG_HIT_ASSESSED);
}

size_t reg_hit_life_encode(const struct reg_hit_life *life, uint8_t buffer[REG_RECORD_SIZE_MAX])
{
	struct cursor cursor = reg_record_begin(buffer, REG_RECORD_VERSION);

	assert(is_life(life));
	cursor_put_u32(&cursor, (uint32_t)life->day);
	cursor_put_u32(&cursor, life->index);
	cursor_put_u64(&cursor, life->number);
	cursor_put_u32(&cursor, life->list);
	cursor_put_u32(&cursor, life->camera);
	cursor_put_u8(&cursor, life->camera_type);
	cursor_put_u8(&cursor, life->priority);
	cursor_put_u8(&cursor, life->state);
	cursor_put_u8(&cursor, life->disposition);
	put_step(&cursor, &life->acknowledged);
	if (life->state >= REG_HIT_ASSESSED) {
		put_step(&cursor, &life->assessed);
		cursor_put_text(&cursor, life->assessment);
	}
	if (life->state >= REG_HIT_RESPONDED) {
		put_step(&cursor, &life->ended);
		cursor_put_text(&cursor, life->ending);
	}
	return reg_record_end(&cursor, buffer);
}

int reg_hit_life_decode(const void *bytes, size_t size, struct reg_hit_life *ret_life)
{
	struct cursor cursor = reg_record_read(bytes, size);
	struct reg_hit_life life = {0};

	life.day = (int32_t)cursor_get_u32(&cursor);
	life.index = cursor_get_u32(&cursor);
	life.number = cursor_get_u64(&cursor);
	life.list = cursor_get_u32(&cursor);
	life.camera = cursor_get_u32(&cursor);
	life.camera_type = cursor_get_u8(&cursor);
	life.priority = cursor_get_u8(&cursor);
	life.state = cursor_get_u8(&cursor);
	life.disposition = cursor_get_u8(&cursor);
	get_step(&cursor, &life.acknowledged);
	if (life.state >= REG_HIT_ASSESSED) {
		get_step(&cursor, &life.assessed);
		cursor_get_text(&cursor, life.assessment, sizeof(life.assessment));
	}
	if (life.state >= REG_HIT_RESPONDED) {
		get_step(&cursor, &life.ended);
		cursor_get_text(&cursor, life.ending, sizeof(life.ending));
	}
	if (!cursor_done(&cursor) || !is_life(&life))
		return -EBADMSG;
	*ret_life = life;
	return 0;
}
