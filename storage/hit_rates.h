/*
 * What was measured of hits (R24): how many of those assessed were correct, misread and so on, by camera, by list or by
 * both, with how sure that is. Pure functions, any thread.
 */
#ifndef GANTRY_STORAGE_HIT_RATES_H
#define GANTRY_STORAGE_HIT_RATES_H

#include <stddef.h>
#include <stdint.h>

#include "storage/register_hit.h"

struct hit_life;

enum hit_rates_by { HIT_RATES_CAMERA, HIT_RATES_LIST, HIT_RATES_BOTH };

struct hit_rate {
	uint32_t camera; /* 0 by list */
	uint32_t list;   /* 0 by camera */
	uint64_t assessed;
	uint64_t counts[REG_HIT_DISPOSITION_END]; /* by enum reg_hit_disposition; [0] stays 0 */
	double misread;                           /* share of those assessed, 0 … 1 */
	double low;                               /* the interval that has the true share with 95 % */
	double high;
};

/* Wilson's interval of 95 % for a share of which `count` of `total` are known; 0 … 1 when total is 0. */
void hit_rate_interval(uint64_t count, uint64_t total, double *ret_low, double *ret_high);

/*
 * Groups of at least `assessed_min` assessed lives, the worst share of misreads first; of equal ones the surer first.
 * `lives` are sorted by it; those not assessed are passed over. The caller frees *ret_rates. -ENOMEM.
 */
int hit_rates_of(struct hit_life *lives, size_t count, enum hit_rates_by by, uint64_t assessed_min,
		 struct hit_rate **ret_rates, size_t *ret_count);

#endif
