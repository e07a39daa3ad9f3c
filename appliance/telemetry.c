#include "appliance/telemetry.h"

#include <pthread.h>
#include <stdbool.h>
#include <string.h>

#include "appliance/gantry.h"
#include "appliance/totals.h"
#include "dpdk/telemetry.h"

/* DPDK's socket threads live longer than what they would ask. */
static pthread_mutex_t serving_lock = PTHREAD_MUTEX_INITIALIZER;
static bool serving;

struct telemetry_group {
	struct gantry *gantry;
	const char *group;
};

struct filling {
	struct telemetry_sheet *sheet;
	const char *group;
};

static void fill_one(void *context, const char *group, const char *name, uint64_t value, const char *help)
{
	const struct filling *filling = context;

	(void)help;
	if (strcmp(group, filling->group) == 0)
		telemetry_add(filling->sheet, name, value);
}

static void fill_group(void *context, struct telemetry_sheet *sheet)
{
	const struct telemetry_group *group = context;
	struct filling filling = {.sheet = sheet, .group = group->group};

	pthread_mutex_lock(&serving_lock);
	if (serving)
		counters_each(group->gantry, fill_one, &filling);
	pthread_mutex_unlock(&serving_lock);
}

int telemetry_start(struct gantry *gantry, struct err *err)
{
	/* DPDK keeps the contexts by reference for the life of the process. */
	static struct telemetry_group groups[] = {
		{NULL, "frames"}, {NULL, "feed"},       {NULL, "reads"},
		{NULL, "store"},  {NULL, "management"}, {NULL, "hits"},
	};
	static const struct telemetry_command commands[] = {
		{"/gantry/frames", "What became of each frame on the port.", fill_group, &groups[0]},
		{"/gantry/feed", "What became of each datagram of the feed protocol.", fill_group, &groups[1]},
		{"/gantry/reads", "What became of each read record.", fill_group, &groups[2]},
		{"/gantry/store", "Reads acknowledged, stored, collapsed, refused and erased since the beginning.",
		 fill_group, &groups[3]},
		{"/gantry/management", "Clients and requests of the management socket.", fill_group, &groups[4]},
		{"/gantry/hits", "Hits delivered.", fill_group, &groups[5]},
	};

	for (size_t i = 0; i < sizeof(groups) / sizeof(groups[0]); i++)
		groups[i].gantry = gantry;
	serving = true;
	return telemetry_register(commands, sizeof(commands) / sizeof(commands[0]), err);
}

void telemetry_stop(void)
{
	pthread_mutex_lock(&serving_lock);
	serving = false;
	pthread_mutex_unlock(&serving_lock);
}
