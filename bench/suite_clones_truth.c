#include "bench/suite_clones_truth.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "bench/fleet.h"
#include "matcher/vrm.h"

static int compare_plates(const void *a, const void *b)
{
	return memcmp(((const struct clone_plate *)a)->key, ((const struct clone_plate *)b)->key, READ_TEXT_SIZE);
}

/* One row a key; of vehicles that share one, the row tells of the planted. */
static void join_equal(struct clone_world *world)
{
	size_t kept = 0;

	for (size_t i = 0; i < world->count; i++) {
		struct clone_plate *last = kept > 0 ? &world->plates[kept - 1] : NULL;
		const struct clone_plate *plate = &world->plates[i];
		uint32_t bearers;

		if (last == NULL || memcmp(last->key, plate->key, READ_TEXT_SIZE) != 0) {
			world->plates[kept++] = *plate;
			continue;
		}
		bearers = last->bearers + plate->bearers;
		if (plate->clone != UINT32_MAX)
			*last = *plate;
		last->bearers = bearers;
	}
	world->count = kept;
}

int clone_world_init(struct clone_world *world, const struct fleet *fleet)
{
	const struct population *population = &fleet->population;

	*world = (struct clone_world){.fleet = fleet, .planted = fleet->journeys.clones};
	world->plates = calloc(population->count, sizeof(*world->plates));
	if (world->plates == NULL)
		return -ENOMEM;
	for (uint32_t vehicle = 0; vehicle < population->count; vehicle++) {
		struct clone_plate *plate = &world->plates[world->count];
		uint32_t bears = journeys_plate(&fleet->journeys, vehicle);

		if (bears != vehicle) /* its own plate is on no vehicle */
			continue;
		*plate = (struct clone_plate){.vehicle = vehicle, .clone = UINT32_MAX, .bearers = 1};
		if (vehicle > 0 && journeys_plate(&fleet->journeys, vehicle - 1) == vehicle)
			plate->clone = vehicle - 1;
		if (vrm_key(population->plates[vehicle].text, plate->key) == 0)
			world->count++;
	}
	qsort(world->plates, world->count, sizeof(*world->plates), compare_plates);
	join_equal(world);
	return 0;
}

void clone_world_fini(struct clone_world *world)
{
	free(world->plates);
	free(world->seen);
	world->plates = NULL;
	world->seen = NULL;
}

struct clone_plate *clone_world_find(const struct clone_world *world, const uint8_t key[READ_TEXT_SIZE])
{
	struct clone_plate wanted;

	memcpy(wanted.key, key, READ_TEXT_SIZE);
	return bsearch(&wanted, world->plates, world->count, sizeof(wanted), compare_plates);
}

int clone_world_saw(struct clone_world *world, const struct read *read)
{
	const struct cameras *cameras = &world->fleet->cameras;
	const struct clone_plate *plate = clone_world_find(world, read->key);
	const struct camera *camera = &cameras->table[read->camera - 1];
	const struct journeys *journeys = &world->fleet->journeys;

	if (plate == NULL || plate->clone == UINT32_MAX)
		return 0;
	if (world->seen_count == world->seen_room) {
		size_t room = world->seen_room == 0 ? 4096 : 2 * world->seen_room;
		void *seen = realloc(world->seen, room * sizeof(*world->seen));

		if (seen == NULL)
			return -ENOMEM;
		world->seen = seen;
		world->seen_room = room;
	}
	world->seen[world->seen_count++] = (struct clone_seen){
		.plate = (uint32_t)(plate - world->plates),
		.camera = read->camera - 1,
		.capture_us = read->capture_us,
		.is_clone = journeys_metres(camera, &cameras->table[journeys_home(journeys, plate->clone)]) <
			    journeys_metres(camera, &cameras->table[journeys_home(journeys, plate->vehicle)]),
	};
	return 0;
}

static int compare_seen(const void *a, const void *b)
{
	const struct clone_seen *x = a, *y = b;

	if (x->plate != y->plate)
		return x->plate < y->plate ? -1 : 1;
	return (x->capture_us > y->capture_us) - (x->capture_us < y->capture_us);
}

uint64_t clone_world_catchable(struct clone_world *world, double speed_kmh, double slack_s, double distance_m)
{
	const struct camera *cameras = world->fleet->cameras.table;
	uint64_t catchable = 0;

	qsort(world->seen, world->seen_count, sizeof(*world->seen), compare_seen);
	for (size_t i = 0; i < world->seen_count; i++) {
		const struct clone_seen *one = &world->seen[i];
		struct clone_plate *plate = &world->plates[one->plate];

		for (size_t j = i + 1; j < world->seen_count && !plate->catchable; j++) {
			const struct clone_seen *other = &world->seen[j];
			double seconds = (double)(other->capture_us - one->capture_us) / 1e6 + slack_s;
			double metres;

			if (other->plate != one->plate)
				break;
			metres = journeys_metres(&cameras[one->camera], &cameras[other->camera]);
			plate->catchable = one->is_clone != other->is_clone && metres > distance_m &&
					   metres > speed_kmh / 3.6 * seconds;
			catchable += plate->catchable;
		}
	}
	return catchable;
}

enum clone_truth clone_world_judge(const struct clone_plate *plate)
{
	if (plate == NULL)
		return CLONE_FALSE;
	if (plate->clone != UINT32_MAX)
		return CLONE_PLANTED;
	return plate->bearers > 1 ? CLONE_CHANCE : CLONE_FALSE;
}
