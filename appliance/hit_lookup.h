/* The hit that a call names: is there one, and may the account have it? Handler threads. */
#ifndef GANTRY_APPLIANCE_HIT_LOOKUP_H
#define GANTRY_APPLIANCE_HIT_LOOKUP_H

#include <stdint.h>
#include <sys/types.h>

#include "appliance/base/err.h"

struct gantry;
struct hit_found;

enum hit_lookup_outcome { HIT_LOOKUP_REFUSED = 1 /* why says the reason, for the caller's answer */ };

/*
 * By its name (base/hit_name.h). Refused: no name, no such hit (any more), of a read over age (R34), not allowed. 0,
 * HIT_LOOKUP_REFUSED or -errno with `why`. The read is personal data: wipe it.
 */
int hit_lookup(struct gantry *gantry, uid_t uid, const char *name, struct err *why, struct hit_found *ret_found);

#endif
