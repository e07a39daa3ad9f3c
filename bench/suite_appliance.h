/*
 * A whole appliance to measure, and what an operator does with it: the built gantryd, gantryctl and gantry-load, found
 * beside this program, each as a child. All of it lives below one directory. Children die with the main thread, which
 * alone may call these.
 */
#ifndef GANTRY_BENCH_SUITE_APPLIANCE_H
#define GANTRY_BENCH_SUITE_APPLIANCE_H

#include <jansson.h>
#include <stdint.h>
#include <sys/types.h>

#include "appliance/base/err.h"
#include "bench/suite_room.h"

struct suite_options;

#define SUITE_APPLIANCE_FEEDS 4

enum suite_program { PROGRAM_GANTRYD, PROGRAM_GANTRYCTL, PROGRAM_LOAD, PROGRAMS };

struct suite_appliance {
	char directory[SUITE_PATH_SIZE];
	char socket[SUITE_PATH_SIZE + 32];
	char programs[PROGRAMS][2 * SUITE_PATH_SIZE];
	const struct suite_options *options;
	pid_t gantryd; /* 0: does not run */
	pid_t fleet;
};

/*
 * Makes the directory and starts gantryd there, with default settings, on CPU 0 when there are two; returns once it
 * answers. -ENOENT: a program is missing; -ETIMEDOUT, -ECHILD: it does not answer, or has ended, the end of its log in
 * err; -ECANCELED: the bench was told to stop. Nothing runs then.
 */
int suite_appliance_start(const struct suite_options *options, const char *directory,
			  struct suite_appliance *ret_appliance, struct err *err);

/*
 * gantryctl with these arguments (ends with NULL). 0 with the last line that it printed as JSON, the caller's; -ECHILD
 * with what it complained of.
 */
int suite_appliance_ctl(struct suite_appliance *appliance, const char *const *arguments, json_t **ret_answer,
			struct err *err);

/* Cameras, feeds and their bindings of the fleet that the options describe. */
int suite_appliance_register(struct suite_appliance *appliance, struct err *err);

/* Starts gantry-load: `rate` reads a second for so many seconds, on CPU 1 when there are two. */
int suite_appliance_fleet_start(struct suite_appliance *appliance, uint32_t rate, uint32_t seconds, struct err *err);
/* 1 while it runs; 0 with its report once it has ended well, every read acknowledged; -ECHILD. */
int suite_appliance_fleet_poll(struct suite_appliance *appliance, json_t **ret_report, struct err *err);

/* Kills what still runs; its files stay. Safe for one that never started. */
void suite_appliance_end(struct suite_appliance *appliance);

#endif
