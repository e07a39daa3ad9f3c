#include <errno.h>
#include <stdio.h>

#include "bench/suite_commands.h"
#include "bench/suite_options.h"
#include "bench/suite_room.h"

enum status { STATUS_FAILED = 1, STATUS_USAGE = 2, STATUS_NO_ROOM = 3 };

static int run(const struct suite_options *options, int *ret_status, struct err *err)
{
	switch (options->command) {
	case SUITE_STORAGE:
		return suite_storage(options, ret_status, err);
	case SUITE_SEARCH:
		if (options->measure)
			return suite_measure(options, ret_status, err);
		return suite_search(options, "/proc/self/exe", ret_status, err);
	case SUITE_MATCH:
		return suite_match(options, ret_status, err);
	case SUITE_CLONES:
		return suite_clones(options, ret_status, err);
	case SUITE_HITS:
		return suite_hits(options, ret_status, err);
	default:
		return suite_recovery(options, ret_status, err);
	}
}

int main(int argc, char **argv)
{
	struct suite_options options;
	struct err err = {""};
	int status = 0;
	int r = suite_options_parse(argc, argv, &options, &err);

	if (r > 0)
		return 0;
	if (r < 0) {
		fprintf(stderr, "gantry-bench: %s\n", err.text);
		return STATUS_USAGE;
	}
	suite_room_guard();
	r = run(&options, &status, &err);
	if (r < 0) {
		fprintf(stderr, "gantry-bench: %s\n", err.text);
		return r == -ENOSPC ? STATUS_NO_ROOM : STATUS_FAILED;
	}
	return status;
}
