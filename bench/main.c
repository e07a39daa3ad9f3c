#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/feeds.h"
#include "bench/ledger.h"
#include "bench/options.h"
#include "bench/run.h"
#include "bench/sheet.h"

static int print_cameras(const struct options *options, struct err *err)
{
	struct cameras cameras;
	int r = cameras_init(&cameras, options->fleet.cameras, options->fleet.seed);

	if (r == 0) {
		r = cameras_print(&cameras, stdout);
		cameras_fini(&cameras);
	}
	return r == 0 ? 0 : err_set(err, r, "cameras: %s", strerror(-r));
}

static int print_bindings(const struct options *options, struct err *err)
{
	struct feeds *feeds = calloc(1, sizeof(*feeds));
	int r = 0;

	if (feeds == NULL)
		return err_set(err, -ENOMEM, "no memory");
	if (options->feeds == NULL)
		feeds_invent(options->feed_count, options->fleet.cameras, options->dual_permille, options->fleet.seed,
			     feeds);
	else
		r = feeds_load(options->feeds, options->fleet.cameras, options->dual_permille, feeds, err);
	for (unsigned i = 0; r == 0 && i < feeds->count; i++)
		printf("%u\t%u\t%u\n", feeds->rows[i].feed, feeds->ranges[i].first, feeds->ranges[i].last);
	free(feeds);
	return r;
}

static int print_of_population(const struct options *options, struct err *err)
{
	struct population population;
	int r = population_init(&population, options->fleet.vehicles, options->fleet.foreign_permille,
				options->fleet.seed);

	if (r < 0)
		return err_set(err, r, "vehicles: %s", strerror(-r));
	if (options->command == COMMAND_LIST)
		r = sheet_list(&population, options->entries, options->patterns, options->fleet.seed, stdout, err);
	else
		r = sheet_sample(&population, stdout, err);
	population_fini(&population);
	return r;
}

static int dispatch(const struct options *options, int *ret_status, struct err *err)
{
	uint64_t count;

	switch (options->command) {
	case COMMAND_CAMERAS:
		return print_cameras(options, err);
	case COMMAND_BINDINGS:
		return print_bindings(options, err);
	case COMMAND_LIST:
	case COMMAND_SAMPLE:
		return print_of_population(options, err);
	case COMMAND_LEDGER:
		return ledger_print(options->file, stdout, &count, err);
	default:
		return run(options, ret_status, err);
	}
}

int main(int argc, char **argv)
{
	struct options options;
	struct err err = {""};
	int status = 0;
	int r = options_parse(argc, argv, &options, &err);

	if (r > 0)
		return 0;
	if (r < 0) {
		fprintf(stderr, "gantry-load: %s\n", err.text);
		return 2;
	}
	r = dispatch(&options, &status, &err);
	if (r < 0) {
		fprintf(stderr, "gantry-load: %s\n", err.text);
		return 1;
	}
	return status;
}
