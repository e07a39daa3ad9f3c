#include "bench/suite_query.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "appliance/base/prng.h"
#include "bench/suite_reads.h"
#include "matcher/vrm.h"

#define CURRENT_SIZE (SUITE_PATTERN_SIZE - 1)
#define DRAWS 1000
#define MORNING_US (INT64_C(7) * 3600 * 1000000)
#define DAYTIME_US (INT64_C(11) * 3600 * 1000000)

/* Anybody but the most seen twentieth, with a plate of the current format. */
static const struct plate *vehicle_pick(const struct suite_fleet *fleet, struct prng *prng)
{
	const struct population *population = &fleet->fleet.population;
	uint32_t first = population->count / 20;

	for (unsigned i = 0; i < DRAWS; i++) {
		const struct plate *plate =
			&population->plates[first + (uint32_t)prng_below(prng, population->count - first)];

		if (plate->format == PLATE_CURRENT)
			return plate;
	}
	return NULL;
}

static int glob_make(struct suite_queries *queries, const struct suite_fleet *fleet, struct prng *prng,
		     enum suite_kind kind, unsigned index)
{
	const struct plate *plate = vehicle_pick(fleet, prng);
	struct glob *glob = &queries->globs[kind][index];
	unsigned at = kind * SUITE_QUERIES + index;
	char *pattern = queries->patterns[kind][index];

	if (plate == NULL)
		return -ENOENT;
	memcpy(pattern, plate->text, CURRENT_SIZE);
	pattern[CURRENT_SIZE] = '\0';
	if (kind == SUITE_LEADING) {
		pattern[0] = '?';
		pattern[1] = '?';
	} else if (kind == SUITE_INNER) {
		pattern[1] = '?';
		pattern[5] = '?';
	}
	if (vrm_pattern_key(pattern, CURRENT_SIZE, NULL, glob) < 0)
		return -ENOENT;
	/* All eight bytes but the wildcards: the eighth is the pad that ends a key of seven. */
	memset(&queries->masks[at], 0xff, 8);
	for (unsigned i = 0; i < CURRENT_SIZE; i++)
		if (pattern[i] == '?')
			((uint8_t *)&queries->masks[at])[i] = 0;
	memcpy(&queries->values[at], glob->value, 8);
	queries->values[at] &= queries->masks[at];
	return 0;
}

static int compare_cameras(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a;
	uint32_t y = *(const uint32_t *)b;

	return (x > y) - (x < y);
}

/* Ten different cameras, evenly over the fleet, in daytime. */
static void scene_make(struct suite_scene *scene, uint32_t cameras, struct prng *prng)
{
	uint32_t share = cameras / SUITE_SCENE_CAMERAS;

	for (unsigned i = 0; i < SUITE_SCENE_CAMERAS; i++)
		scene->cameras[i] = 1 + i * share + (uint32_t)prng_below(prng, share);
	qsort(scene->cameras, SUITE_SCENE_CAMERAS, sizeof(scene->cameras[0]), compare_cameras);
	scene->from_us = MORNING_US + (int64_t)prng_below(prng, (uint64_t)DAYTIME_US);
}

int suite_queries_init(struct suite_queries *queries, const struct suite_fleet *fleet)
{
	struct prng prng = {fleet->seed ^ UINT64_C(0x7175657279)};

	if (fleet->fleet.cameras.count < SUITE_SCENE_CAMERAS)
		return -ENOENT;
	for (unsigned kind = 0; kind < SUITE_SCENE; kind++) {
		for (unsigned i = 0; i < SUITE_QUERIES; i++) {
			int r = glob_make(queries, fleet, &prng, kind, i);

			if (r < 0)
				return r;
		}
	}
	for (unsigned i = 0; i < SUITE_QUERIES; i++)
		scene_make(&queries->scenes[i], fleet->fleet.cameras.count, &prng);
	return 0;
}

static void count_scenes(const struct suite_queries *queries, const struct read *read, struct suite_counts *counts)
{
	int64_t at_us = read->capture_us - read_day(read->capture_us) * DAY_US;

	for (unsigned i = 0; i < SUITE_QUERIES; i++) {
		const struct suite_scene *scene = &queries->scenes[i];

		if (at_us < scene->from_us || at_us >= scene->from_us + SUITE_SCENE_US)
			continue;
		for (unsigned k = 0; k < SUITE_SCENE_CAMERAS; k++)
			counts->of[SUITE_SCENE][i] += scene->cameras[k] == read->camera;
	}
}

void suite_queries_count(const struct suite_queries *queries, const struct suite_fleet *fleet, const struct read *reads,
			 size_t count, struct suite_counts *counts)
{
	uint64_t *of = counts->of[0];

	for (size_t i = 0; i < count; i++) {
		uint64_t key[2];
		uint64_t met = 0;

		if (suite_fleet_copy(fleet, &reads[i]))
			continue;
		count_scenes(queries, &reads[i], counts);
		memcpy(key, reads[i].key, sizeof(key));
		if (key[0] == 0 || key[1] != 0)
			continue;
		for (unsigned q = 0; q < SUITE_SCENE * SUITE_QUERIES; q++)
			met |= (uint64_t)((key[0] & queries->masks[q]) == queries->values[q]) << q;
		/* "??12CDE" leaves no zero where a character has to be: a shorter key has another pad. */
		for (; met != 0; met &= met - 1)
			of[__builtin_ctzll(met)]++;
	}
}

void suite_counts_add(struct suite_counts *counts, const struct suite_counts *more)
{
	for (unsigned kind = 0; kind < SUITE_KINDS; kind++)
		for (unsigned i = 0; i < SUITE_QUERIES; i++)
			counts->of[kind][i] += more->of[kind][i];
}
