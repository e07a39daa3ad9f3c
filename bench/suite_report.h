/*
 * What a command of the suite tells: one JSON object, or the same as text. Every report bears machine and conditions.
 * Built by one thread.
 */
#ifndef GANTRY_BENCH_SUITE_REPORT_H
#define GANTRY_BENCH_SUITE_REPORT_H

#include <stddef.h>

#include <jansson.h>

struct suite_options;

/* A new object with "command", "scale", "conditions"; the caller owns it. cache: in which state it was; NULL: any. */
json_t *suite_report_new(const struct suite_options *options, const char *directory);

void suite_report_integer(json_t *object, const char *name, long long value);
void suite_report_real(json_t *object, const char *name, double value);
void suite_report_text(json_t *object, const char *name, const char *value);

/* The middle, the smallest and the largest of `count` > 0 figures. Sorts them. */
struct suite_spread {
	double median;
	double min;
	double max;
};
struct suite_spread suite_spread_of(double *figures, size_t count);

/* The object as JSON on one line, or as text: nested objects indented, arrays of objects as tables. 0 or -EIO. */
int suite_report_print(const json_t *object, int json);

#endif
