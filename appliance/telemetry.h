/* The appliance's counters on DPDK's telemetry socket: /gantry/frames, /gantry/feed, /gantry/reads, /gantry/store … */
#ifndef GANTRY_APPLIANCE_TELEMETRY_H
#define GANTRY_APPLIANCE_TELEMETRY_H

#include "appliance/base/err.h"

struct gantry;

/* After the store is open. The commands live until EAL stops, and answer nothing after telemetry_stop. */
int telemetry_start(struct gantry *gantry, struct err *err);
void telemetry_stop(void);

#endif
