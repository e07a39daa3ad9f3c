/* Command lines as data: one row of a table per option, from which parser and help come. Main thread. */
#ifndef GANTRY_BENCH_OPTION_TABLE_H
#define GANTRY_BENCH_OPTION_TABLE_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "appliance/base/err.h"

enum option_kind {
	OPTION_U32,
	OPTION_U64,
	OPTION_PERCENT, /* "0.3" into an unsigned, in thousandths */
	OPTION_STRING,
	OPTION_FLAG,     /* sets a bool */
	OPTION_FLAG_OFF, /* clears one */
};

struct option_row {
	const char *name;
	const char *argument; /* NULL for flags */
	enum option_kind kind;
	size_t offset; /* of the field in the program's options */
	uint64_t min;
	uint64_t max;
	const char *help;
};

struct option_table {
	const char *program;
	const struct option_row *rows;
	size_t count;
};

/*
 * argv[*at] is "--name value", "--name=value" or a flag: puts the value into `options` and moves *at to the last
 * argument used. -EINVAL with err. Strings point into argv.
 */
int option_table_parse(const struct option_table *table, int argc, char **argv, int *at, void *options,
		       struct err *err);

/* One line an option. */
void option_table_help(const struct option_table *table, FILE *out);

#endif
