/*
 * The register's record of a hit's life (R24): who acknowledged it, what it was found to be, how it ended. Its bytes
 * are as register_records.h's. No VRM stands in it: the change log keeps it longer than the read lives. Pure functions,
 * any thread.
 */
#ifndef GANTRY_STORAGE_REGISTER_HIT_H
#define GANTRY_STORAGE_REGISTER_HIT_H

#include "storage/register_records.h"

#define REG_HIT_TEXT_SIZE 257      /* with its zero */
#define REG_HIT_CAMERA_UNKNOWN 255 /* camera type: the register had no such camera */

/* How far a hit has come; stable numbers. */
enum reg_hit_state {
	REG_HIT_ACKNOWLEDGED = 1,
	REG_HIT_ASSESSED = 2,
	REG_HIT_RESPONDED = 3, /* the end, as the next is */
	REG_HIT_DISMISSED = 4,
	REG_HIT_STATE_END
};

/* What the hit was found to be; stable numbers. */
enum reg_hit_disposition {
	REG_HIT_UNJUDGED = 0, /* not assessed yet */
	REG_HIT_CORRECT = 1,
	REG_HIT_MISREAD = 2,       /* the camera read another plate than there was */
	REG_HIT_WRONG_VEHICLE = 3, /* the plate was read well, the vehicle is not the one that is meant */
	REG_HIT_STALE_ENTRY = 4,   /* the list should not have had it any more */
	REG_HIT_DISPOSITION_END
};

struct reg_hit_step {
	uint32_t uid;
	int64_t time_us;
	char account[REG_NAME_SIZE];
	char organisation[REG_NAME_SIZE]; /* empty: not known */
};

struct reg_hit_life {
	int32_t day;     /* of capture, 0 … */
	uint32_t index;  /* in the day */
	uint64_t number; /* of the hit */
	uint32_t list;
	uint32_t camera;
	uint8_t camera_type; /* enum reg_camera_type of then, or REG_HIT_CAMERA_UNKNOWN */
	uint8_t priority;
	uint8_t state;       /* enum reg_hit_state; what follows is there as far as it says */
	uint8_t disposition; /* enum reg_hit_disposition */
	struct reg_hit_step acknowledged;
	struct reg_hit_step assessed;
	struct reg_hit_step ended;
	char assessment[REG_HIT_TEXT_SIZE];
	char ending[REG_HIT_TEXT_SIZE];
};

size_t reg_hit_life_encode(const struct reg_hit_life *life, uint8_t buffer[REG_RECORD_SIZE_MAX]);

/* -EBADMSG when the bytes are no such record, whole and nothing more; ret untouched. */
int reg_hit_life_decode(const void *bytes, size_t size, struct reg_hit_life *ret_life);

#endif
