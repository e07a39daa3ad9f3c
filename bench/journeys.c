#include "bench/journeys.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "appliance/base/prng.h"
#include "appliance/base/read.h"

#define METRES_PER_E7 0.0111195 /* along a meridian */
#define CELL_LAT_E7 300000      /* 3.3 km: what is in reach lies in the same cell or one beside it */
#define CELL_LON_E7 600000      /* 3.3 km at 60 degrees north, more to the south of it */
#define LONG_PERMILLE 50
#define LONG_KMH 100.0
#define HOME_TRIES 64
#define DAY_S 86400.0

struct spot {
	double lat_e7;
	double lon_e7;
};

static double lon_scale(double lat_e7)
{
	return cos(lat_e7 * M_PI / 180e7) * METRES_PER_E7;
}

double journeys_metres(const struct camera *a, const struct camera *b)
{
	return hypot((a->lat_e7 - b->lat_e7) * METRES_PER_E7,
		     (a->lon_e7 - b->lon_e7) * lon_scale((a->lat_e7 + (double)b->lat_e7) / 2));
}

static uint32_t cell_of(const struct journeys *journeys, int32_t lat_e7, int32_t lon_e7)
{
	uint32_t row = (uint32_t)((lat_e7 - journeys->lat_e7) / CELL_LAT_E7);
	uint32_t column = (uint32_t)((lon_e7 - journeys->lon_e7) / CELL_LON_E7);

	return row * journeys->columns + column;
}

static void grid_measure(struct journeys *journeys)
{
	int32_t lat_high = INT32_MIN, lon_high = INT32_MIN;

	journeys->lat_e7 = INT32_MAX;
	journeys->lon_e7 = INT32_MAX;
	for (uint32_t i = 0; i < journeys->cameras->count; i++) {
		const struct camera *camera = &journeys->cameras->table[i];

		journeys->lat_e7 = camera->lat_e7 < journeys->lat_e7 ? camera->lat_e7 : journeys->lat_e7;
		journeys->lon_e7 = camera->lon_e7 < journeys->lon_e7 ? camera->lon_e7 : journeys->lon_e7;
		lat_high = camera->lat_e7 > lat_high ? camera->lat_e7 : lat_high;
		lon_high = camera->lon_e7 > lon_high ? camera->lon_e7 : lon_high;
	}
	journeys->rows = (uint32_t)((lat_high - journeys->lat_e7) / CELL_LAT_E7) + 1;
	journeys->columns = (uint32_t)((lon_high - journeys->lon_e7) / CELL_LON_E7) + 1;
}

/* A counting sort of the cameras by their cells. */
static int grid_fill(struct journeys *journeys)
{
	uint32_t cells = journeys->rows * journeys->columns;
	const struct cameras *cameras = journeys->cameras;

	journeys->first = calloc((size_t)cells + 2, sizeof(*journeys->first));
	journeys->sorted = calloc(cameras->count, sizeof(*journeys->sorted));
	if (journeys->first == NULL || journeys->sorted == NULL)
		return -ENOMEM;
	for (uint32_t i = 0; i < cameras->count; i++)
		journeys->first[cell_of(journeys, cameras->table[i].lat_e7, cameras->table[i].lon_e7) + 2]++;
	for (uint32_t cell = 0; cell < cells; cell++)
		journeys->first[cell + 2] += journeys->first[cell + 1];
	for (uint32_t i = 0; i < cameras->count; i++) {
		uint32_t cell = cell_of(journeys, cameras->table[i].lat_e7, cameras->table[i].lon_e7);

		journeys->sorted[journeys->first[cell + 1]++] = i;
	}
	return 0;
}

int journeys_init(struct journeys *journeys, const struct cameras *cameras, uint32_t vehicles, uint32_t clones,
		  uint64_t seed)
{
	*journeys = (struct journeys){.cameras = cameras, .seed = seed, .vehicles = vehicles, .clones = clones};
	if (clones > vehicles / 4)
		return -EINVAL;
	if (clones > 0)
		journeys->stride = (vehicles - 1) / clones;
	grid_measure(journeys);
	return grid_fill(journeys);
}

void journeys_fini(struct journeys *journeys)
{
	free(journeys->first);
	free(journeys->sorted);
	journeys->first = NULL;
	journeys->sorted = NULL;
}

static bool is_clone(const struct journeys *journeys, uint32_t vehicle)
{
	return journeys->clones > 0 && vehicle % journeys->stride == 0 && vehicle / journeys->stride < journeys->clones;
}

uint32_t journeys_plate(const struct journeys *journeys, uint32_t vehicle)
{
	return is_clone(journeys, vehicle) ? vehicle + 1 : vehicle;
}

/* Draws of a vehicle: the same ones whenever it is asked about. */
static struct prng draws_of(const struct journeys *journeys, uint32_t vehicle)
{
	return (struct prng){journeys->seed * UINT64_C(0xd1342543de82ef95) +
			     (uint64_t)vehicle * UINT64_C(0x2545f4914f6cdd1d)};
}

static uint32_t home_of(const struct journeys *journeys, uint32_t vehicle, struct prng *prng)
{
	uint32_t home = (uint32_t)prng_below(prng, journeys->cameras->count);
	struct prng other;
	uint32_t from;

	if (!is_clone(journeys, vehicle))
		return home;
	other = draws_of(journeys, vehicle + 1);
	from = home_of(journeys, vehicle + 1, &other);
	for (unsigned i = 0; i < HOME_TRIES && journeys_metres(&journeys->cameras->table[home],
							       &journeys->cameras->table[from]) < JOURNEYS_APART_M;
	     i++)
		home = (uint32_t)prng_below(prng, journeys->cameras->count);
	return home;
}

uint32_t journeys_home(const struct journeys *journeys, uint32_t vehicle)
{
	struct prng prng = draws_of(journeys, vehicle);

	return home_of(journeys, vehicle, &prng);
}

/*
 * 0 … 1, over and over, in no less than `period_s` but for those that are longer than a day. As often every day, so
 * that a read moved by whole days (bench/suite_reads.h) still is where its vehicle was.
 */
static double turn_of(int64_t at_us, double period_s, uint64_t phase)
{
	double a_day = floor(DAY_S / period_s);
	double turns =
		(double)(at_us % DAY_US) / (double)DAY_US * (a_day < 1 ? 1 : a_day) + (double)(phase & 0xffff) / 65536;

	return turns - floor(turns);
}

static struct spot circle(const struct camera *home, struct prng *prng, int64_t at_us)
{
	double radius_m = 1000 + (double)prng_below(prng, 5000);
	double speed_kmh = 30 + (double)prng_below(prng, 60);
	double angle = 2 * M_PI * turn_of(at_us, 2 * M_PI * radius_m / speed_kmh * 3.6, prng_next(prng));

	return (struct spot){home->lat_e7 + radius_m * sin(angle) / METRES_PER_E7,
			     home->lon_e7 + radius_m * cos(angle) / lon_scale(home->lat_e7)};
}

static struct spot line(const struct camera *a, const struct camera *b, struct prng *prng, int64_t at_us)
{
	double period_s = 2 * (journeys_metres(a, b) + 1000) / LONG_KMH * 3.6;
	double along = 2 * turn_of(at_us, period_s, prng_next(prng));

	along = along < 1 ? along : 2 - along;
	return (struct spot){a->lat_e7 + along * (b->lat_e7 - (double)a->lat_e7),
			     a->lon_e7 + along * (b->lon_e7 - (double)a->lon_e7)};
}

static uint32_t nearest(const struct journeys *journeys, struct spot spot)
{
	int64_t row = (int64_t)floor((spot.lat_e7 - journeys->lat_e7) / CELL_LAT_E7);
	int64_t column = (int64_t)floor((spot.lon_e7 - journeys->lon_e7) / CELL_LON_E7);
	double scale = lon_scale(spot.lat_e7), best = JOURNEYS_REACH_M * (double)JOURNEYS_REACH_M;
	uint32_t found = JOURNEYS_NOWHERE;

	for (int64_t r = row - 1; r <= row + 1; r++) {
		for (int64_t c = column - 1; c <= column + 1; c++) {
			uint32_t cell = (uint32_t)(r * journeys->columns + c);

			if (r < 0 || r >= journeys->rows || c < 0 || c >= journeys->columns)
				continue;
			for (uint32_t i = journeys->first[cell]; i < journeys->first[cell + 1]; i++) {
				const struct camera *camera = &journeys->cameras->table[journeys->sorted[i]];
				double lat = (camera->lat_e7 - spot.lat_e7) * METRES_PER_E7;
				double lon = (camera->lon_e7 - spot.lon_e7) * scale;

				if (lat * lat + lon * lon < best) {
					best = lat * lat + lon * lon;
					found = journeys->sorted[i];
				}
			}
		}
	}
	return found;
}

uint32_t journeys_camera(const struct journeys *journeys, uint32_t vehicle, int64_t at_us)
{
	struct prng prng = draws_of(journeys, vehicle);
	const struct camera *home = &journeys->cameras->table[home_of(journeys, vehicle, &prng)];
	bool bears_one = is_clone(journeys, vehicle) || (vehicle > 0 && is_clone(journeys, vehicle - 1));

	if (!bears_one && prng_chance(&prng, LONG_PERMILLE)) {
		const struct camera *other = &journeys->cameras->table[prng_below(&prng, journeys->cameras->count)];

		return nearest(journeys, line(home, other, &prng, at_us));
	}
	return nearest(journeys, circle(home, &prng, at_us));
}
