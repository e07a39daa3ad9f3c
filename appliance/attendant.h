/*
 * The attendant: a control thread that does what workers may not do themselves and people wait for.
 *
 *	- opens the lanes of a feed's spool epoch when a worker asks (store_lane may allocate);
 *	- follows the memtable's published hits, generation by generation, and hands copies to those who bring them to
 *	  subscribers (hits.h).
 *
 * It wakes every millisecond and waits for nobody. A hit is read from the memtable only once its read is durable, so
 * that an alarm can always be found again by search. A generation that the last round left unfinished is held until the
 * next one: none is sealed away under the cursor.
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
