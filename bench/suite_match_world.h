/*
 * What gantry-bench match works on: reads of the fleet, and lists that meet as many of them as a national store's do.
 *
 *	mass	  half of it seldom seen vehicles of the fleet, about 4 % of all sightings, half plates nobody drives
 *	literals  plates nobody drives, and few seldom seen vehicles
 *	patterns  partial VRMs of plates nobody drives (bench/sheet.h): one or two `?`, or a `*` at either end
 *	many	  the same by the ten thousand
 *
 * Each has as many different entries as were asked for. Made once from the seed by one thread, then read only.
 */
#ifndef GANTRY_BENCH_SUITE_MATCH_WORLD_H
#define GANTRY_BENCH_SUITE_MATCH_WORLD_H

#include <stddef.h>
#include <stdint.h>

#include "appliance/base/err.h"
#include "appliance/base/read.h"
#include "bench/suite_reads.h"

struct list;
struct suite_options;

enum match_world_list { WORLD_MASS, WORLD_LITERALS, WORLD_PATTERNS, WORLD_MANY, WORLD_LISTS };

struct match_world {
	struct suite_fleet fleet;
	struct read *reads; /* with a plate: others are not matched */
	size_t read_count;
	const struct list *lists[WORLD_LISTS];
	char *texts[WORLD_LISTS]; /* the CSV that they were loaded from */
	size_t sizes[WORLD_LISTS];
};

int match_world_init(struct match_world *world, const struct suite_options *options, struct err *err);
void match_world_fini(struct match_world *world);

/* The mass list's CSV of another day: as long, other halves of both kinds. The caller frees. NULL: no memory. */
char *match_world_mass_text(const struct match_world *world, uint32_t entries, unsigned day, size_t *ret_size);

/* A list of that CSV; the caller frees. */
int match_world_list(uint32_t id, uint32_t version, uint32_t generation, const char *text, size_t size, struct err *err,
		     struct list **ret_list);

#endif
