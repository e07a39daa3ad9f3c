/*
 * The attendant: a control thread that does what workers may not do themselves and people wait for.
 *
 *	- opens the lanes of a feed's spool epoch when a worker asks (store_lane may allocate);
 *	- follows the hits that become durable (storage/hit_follow.h) and hands copies to those who bring them to
 *	  subscribers (hits.h);
 *	- counts for status what the last second brought.
 *
 * It wakes every millisecond. A round of hits allocates nothing and waits for no disk, sealing or closing of a file.
 */
#ifndef GANTRY_APPLIANCE_ATTENDANT_H
#define GANTRY_APPLIANCE_ATTENDANT_H

#include <stdint.h>

#include "appliance/base/err.h"
#include "appliance/worker.h"

struct attendant;
struct gantry;

int attendant_start(struct gantry *gantry, struct attendant **ret_attendant, struct err *err);
struct attendant *attendant_stop(struct attendant *attendant);

struct attendant_info {
	uint64_t reads_per_s;                /* made durable in the last second */
	unsigned busy_permille[WORKERS_MAX]; /* share of the last second that a worker did not sleep */
};
void attendant_info(struct attendant *attendant, struct attendant_info *ret_info);

#endif
