/*
 * Lives of hits (R24): acknowledged ▸ assessed ▸ responded or dismissed, each with who and when. The truth is a record
 * of the register (register_hit.h); this is its owner and keeps what is asked often in memory: 40 bytes a life, and
 * where it is by its hit's number.
 *
 * A hit without a life is one that nobody has acknowledged. A life goes when the day of its read is purged. A step is
 * durable before the call answers; a crash leaves the life with the step or without.
 *
 * Threads: any control thread; changes are serialised inside. Locks: `change` is held over the register (order: behind
 * the store's own, before its); the image's lock is a leaf.
 */
#ifndef GANTRY_STORAGE_HIT_LIVES_H
#define GANTRY_STORAGE_HIT_LIVES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "appliance/base/err.h"
#include "storage/register_hit.h"

#define HIT_LIVES_MAX (4u << 20) /* 160 MiB: a new life beyond it is refused */
#define HIT_LIVES_ORDERS_MAX 256 /* of one call, one entry of the change log */

struct hit_lives;
struct keyring;
struct reg;

enum hit_lives_outcome {
	HIT_LIVES_SAME = 1,   /* this account did just that before: nothing changed */
	HIT_LIVES_TAKEN = 2,  /* another account did that step */
	HIT_LIVES_FIXED = 3,  /* this account did that step otherwise, and it cannot be changed any more */
	HIT_LIVES_EARLY = 4,  /* the step before it has not been done */
	HIT_LIVES_PURGED = 5, /* the day of its read has been purged */
	HIT_LIVES_FULL = 6,   /* `max` lives are kept already */
};

/* None until hit_lives_load. `max`: HIT_LIVES_MAX, less in tests. -ENOMEM. */
int hit_lives_new(size_t max, struct hit_lives **ret_lives);
struct hit_lives *hit_lives_free(struct hit_lives *lives); /* the register is still open, or was never given */

/* From the register, once, before anything asks. Records of purged days go. */
int hit_lives_load(struct hit_lives *lives, struct reg *reg, struct keyring *keyring, struct err *err);

/* What is to be done with a hit, by whom. Texts are borrowed. */
struct hit_order {
	uint64_t number;
	int32_t day; /* of its read's capture */
	uint32_t list;
	uint32_t camera;
	uint8_t camera_type;
	uint8_t priority;
	uint8_t state;       /* enum reg_hit_state: the step */
	uint8_t disposition; /* of REG_HIT_ASSESSED, else REG_HIT_UNJUDGED */
	uint32_t uid;
	const char *account;      /* cut to what a record holds */
	const char *organisation; /* the same; NULL: not known */
	const char *text;         /* assessment or ending, < REG_HIT_TEXT_SIZE bytes; NULL: none */
};

struct hit_answer {
	int outcome;                /* 0: done; or an outcome */
	uint8_t state;              /* how far the hit has come; 0: nobody has acknowledged it */
	struct reg_hit_step before; /* SAME, TAKEN, FIXED: the step as it was done */
};

/*
 * One step each for up to HIT_LIVES_ORDERS_MAX hits: those that may be done are done together, one entry of the
 * register, or on -errno none (after a power cut they may yet be found done, all of them). The account that assessed a
 * hit may assess it anew until it has ended. -EINVAL: an order out of bounds.
 */
int hit_lives_step(struct hit_lives *lives, const struct hit_order *orders, size_t count, struct err *err,
		   struct hit_answer *ret_answers);

/* The whole record. -ENOENT: nobody has acknowledged it, or its day has been purged. */
int hit_lives_get(struct hit_lives *lives, uint64_t number, struct reg_hit_life *ret_life);

/* Has somebody acknowledged it? */
bool hit_lives_known(struct hit_lives *lives, uint64_t number);

/* The highest number of that source that has a life; 0: none. No hit may be given it, or one below it, again. */
uint64_t hit_lives_highest(struct hit_lives *lives, unsigned source);

/* What stands in memory of a life. */
struct hit_life {
	uint64_t number;
	int64_t acknowledged_us;
	int32_t day;
	uint32_t index;
	uint32_t list;
	uint32_t camera;
	uint8_t camera_type;
	uint8_t priority;
	uint8_t state;
	uint8_t disposition;
};

/* Those that `wanted` says true of, in no order; it may call nothing here. The caller frees *ret_lives. -ENOMEM. */
int hit_lives_copy(struct hit_lives *lives, bool (*wanted)(const void *context, const struct hit_life *life),
		   const void *context, struct hit_life **ret_lives, size_t *ret_count);

/* Is there a life of that day? */
bool hit_lives_of_day(struct hit_lives *lives, int32_t day);

/* The day has been purged, its keys are gone: its records go. Idempotent. */
int hit_lives_forget_day(struct hit_lives *lives, int32_t day, struct err *err);

struct hit_lives_info {
	uint64_t acknowledged; /* and not assessed */
	uint64_t assessed;     /* and not ended */
	uint64_t ended;
};
void hit_lives_info(struct hit_lives *lives, struct hit_lives_info *ret_info);

#endif
