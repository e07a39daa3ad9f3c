/*
 * The commands of gantry-bench. Each takes its room, says on standard error what it will use, measures, checks, prints
 * its report, and gives the room back. Main thread.
 *
 * 0 with *ret_status the program's exit status (1: an answer was wrong); -ENOSPC no room; else < 0 with err.
 */
#ifndef GANTRY_BENCH_SUITE_COMMANDS_H
#define GANTRY_BENCH_SUITE_COMMANDS_H

#include "appliance/base/err.h"

struct suite_options;

int suite_storage(const struct suite_options *options, int *ret_status, struct err *err);
/* program: this program's file, to start fresh processes of. */
int suite_search(const struct suite_options *options, const char *program, int *ret_status, struct err *err);
/* search --measure: one question in this fresh process; prints one JSON object for suite_search. */
int suite_measure(const struct suite_options *options, int *ret_status, struct err *err);
int suite_match(const struct suite_options *options, int *ret_status, struct err *err);
int suite_clones(const struct suite_options *options, int *ret_status, struct err *err);
/* Runs the built gantryd, gantryctl and gantry-load, which it finds beside this program. */
int suite_hits(const struct suite_options *options, int *ret_status, struct err *err);
int suite_recovery(const struct suite_options *options, int *ret_status, struct err *err);

#endif
