/* The search back as handlers of lists ask for it. */
#ifndef GANTRY_APPLIANCE_HANDLERS_RETRO_H
#define GANTRY_APPLIANCE_HANDLERS_RETRO_H

#include <stdint.h>

struct call;
struct gantry;
struct list_info;

/*
 * For entries that came with since_version … the list's version, which is in force. Durable, with its audit facts, when
 * it returns 0; < 0: the call failed.
 */
int retro_ask(struct call *call, struct gantry *gantry, const struct list_info *info, uint32_t since_version,
	      int64_t days, uint32_t *ret_number);

#endif
