/*
 * One step of a search back (retro.h): what is not sealed, or one day, read past the entries that the request asks for,
 * and what they hit put as late hits. What a step put it does not put again when it is repeated, so a step that failed
 * or was stopped is simply run again.
 *
 * The search back's thread. change_lock is held for the moment that it takes to note what is to be searched.
 */
#ifndef GANTRY_APPLIANCE_RETRO_STEP_H
#define GANTRY_APPLIANCE_RETRO_STEP_H

#include <stdbool.h>

#include "appliance/base/err.h"

struct gantry;
struct reg_retro;

struct retro_step_order {
	struct gantry *gantry;
	bool memory; /* what is not sealed, of all days of the request; else its next_day, sealed */
	bool (*stopped)(void *context, const struct reg_retro *request); /* asked before each burst of reads */
	void *context;
};

/*
 * 0: what it found is put, and the request's finds, met and why say so; that the day is done the caller notes.
 * 1: stopped, or, with *ret_why, there is nothing to search any more. < 0 with err. The request is unchanged then.
 */
int retro_step_run(const struct retro_step_order *order, struct reg_retro *request, const char **ret_why,
		   struct err *err);

#endif
