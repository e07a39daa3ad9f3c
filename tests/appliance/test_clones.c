/*
 * Clones: what is raised is impossible and names a sighting that was; whoever drives as one can raises nothing, in
 * whatever order its reads come; two that bear one plate are found. On several threads and in a table far too small,
 * what is raised is still true. To be run under ThreadSanitizer too.
 */
#include "appliance/clones.h"

#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "appliance/base/prng.h"
#include "appliance/base/read.h"
#include "appliance/cells.h"
#include "storage/register_records.h"
#include "tests/check.h"

#define NOW_US INT64_C(1795000000000000)
#define SECOND_US INT64_C(1000000)
#define GRID 30 /* cameras a side: 0.2 degrees apart, so about 22 by 14 km */
#define CAMERAS (GRID * GRID)
#define SPEED_KMH 250
#define SLACK_S 60
#define DISTANCE_M 10000

static const struct clones_settings usual = {.speed_kmh = SPEED_KMH,
					     .slack_s = SLACK_S,
					     .distance_m = DISTANCE_M,
					     .confidence = 50,
					     .sightings = 2,
					     .priority = 60};

static struct places places;

static struct area_point point_of(unsigned camera)
{
	return (struct area_point){500000000 + (int32_t)(camera / GRID) * 2000000,
				   -50000000 + (int32_t)(camera % GRID) * 2000000};
}

static void places_make(void)
{
	CHECK_INT(0, places_init(&places, CAMERAS + 1));
	for (unsigned i = 0; i < CAMERAS; i++)
		places_add(&places, 1000 + i, point_of(i), REG_CAMERA_FIXED, 0);
	places_add(&places, 5000, point_of(0), REG_CAMERA_MOBILE, 0);
}

/* Haversine on a sphere: within half a percent. */
static double metres_between(struct area_point a, struct area_point b)
{
	double lat_a = a.lat_e7 * M_PI / 180e7, lat_b = b.lat_e7 * M_PI / 180e7;
	double lat = sin((lat_b - lat_a) / 2), lon = sin((b.lon_e7 - a.lon_e7) * M_PI / 180e7 / 2);

	return 2 * 6371000 * asin(sqrt(lat * lat + cos(lat_a) * cos(lat_b) * lon * lon));
}

static struct read read_of(uint32_t vehicle, unsigned camera, int64_t second)
{
	struct read read = {.camera = 1000 + camera, .confidence = 90, .capture_us = NOW_US + second * SECOND_US};

	memset(read.key, 'A', 4);
	memcpy(read.key + 4, &vehicle, sizeof(vehicle));
	return read;
}

/* One read; true: it raised *ret_hit. */
static bool look(const struct clones *clones, const struct read *read, struct hit *ret_hit)
{
	struct clones_counts counts = {0};
	uint32_t place = places_find(&places, read->camera);

	return clones_judge(clones, &places, read, &place, 1, ret_hit, &counts) == 1;
}

static bool looks(const struct clones *clones, uint32_t vehicle, unsigned camera, int64_t second)
{
	struct read read = read_of(vehicle, camera, second);
	struct hit hit;

	return look(clones, &read, &hit);
}

static struct clones clones_make(struct clones_settings settings, size_t size)
{
	struct clones clones = {.settings = settings};

	if (places.table == NULL)
		places_make();
	CHECK_INT(0, cells_new(size, &clones.cells));
	return clones;
}

#define FAR (CAMERAS - 1)

static void two_sightings_on_either_side_raise(void)
{
	struct clones clones = clones_make(usual, 1 << 16);
	struct read read;
	struct hit hit;

	CHECK(!looks(&clones, 1, 0, 0));
	CHECK(!looks(&clones, 1, 1, 900));
	CHECK(!looks(&clones, 1, FAR, 1000));
	read = read_of(1, FAR - 1, 1900);
	CHECK(look(&clones, &read, &hit));
	CHECK_INT(HIT_CLONE, hit.kind);
	CHECK_INT(0, hit.list);
	CHECK_INT(1001, hit.entry);
	CHECK_INT(1000, hit.version);
	CHECK_INT(0, hit.flags);
	CHECK_INT(60, hit.priority);
	/* Back on the first side: it clashes with the newest of the second. */
	read = read_of(1, 1, 2000);
	CHECK(look(&clones, &read, &hit));
	CHECK_INT(1000 + FAR - 1, hit.entry);
	CHECK_INT(100, hit.version);
	/* Late: captured before the sighting that it clashes with. */
	read = read_of(1, 0, 1700);
	CHECK(look(&clones, &read, &hit));
	CHECK_INT(1000 + FAR - 1, hit.entry);
	CHECK_INT(200, hit.version);
	CHECK_INT(HIT_FLAG_CLASH_LATER, hit.flags);
	(void)cells_free(clones.cells);
}

static void one_misread_raises_nothing_unless_asked_for(void)
{
	struct clones_settings eager = usual;
	struct clones clones = clones_make(usual, 1 << 16);

	/* In the middle, at the beginning, and the same read again. */
	CHECK(!looks(&clones, 1, 0, 0) && !looks(&clones, 1, 1, 900) && !looks(&clones, 1, FAR, 1000));
	CHECK(!looks(&clones, 1, FAR, 1000) && !looks(&clones, 1, FAR, 1005) && !looks(&clones, 1, 2, 2000));
	CHECK(!looks(&clones, 2, FAR, 0) && !looks(&clones, 2, 0, 100) && !looks(&clones, 2, 1, 1000));
	CHECK(!looks(&clones, 2, 2, 2000) && !looks(&clones, 2, 3, 3000));
	(void)cells_free(clones.cells);
	eager.sightings = 1;
	clones = clones_make(eager, 1 << 16);
	CHECK(!looks(&clones, 1, 0, 0) && looks(&clones, 1, FAR, 100));
	(void)cells_free(clones.cells);
}

/* A third place neither hides the clone nor is one. */
static void a_misread_hides_no_clone(void)
{
	struct clones clones = clones_make(usual, 1 << 16);

	CHECK(!looks(&clones, 1, 0, 0) && !looks(&clones, 1, 1, 900));
	CHECK(!looks(&clones, 1, FAR, 1000) && looks(&clones, 1, FAR - 1, 1900));
	CHECK(!looks(&clones, 1, GRID / 2, 1950));
	CHECK(looks(&clones, 1, FAR, 2500) && looks(&clones, 1, 0, 2500));
	(void)cells_free(clones.cells);
}

static void what_proves_nothing_is_left_out(void)
{
	struct clones_settings eager = usual;
	struct clones clones;
	struct read first = read_of(1, 0, 0);
	struct hit hit;

	eager.sightings = 1;
	clones = clones_make(eager, 1 << 16);
	CHECK(!look(&clones, &first, &hit));
	for (unsigned i = 0; i < 7; i++) {
		struct read read = read_of(1, FAR, 10);

		if (i == 0)
			read.kind = READ_KIND_NOT_READ;
		else if (i == 1)
			read.flags = READ_FLAG_TEST;
		else if (i == 2)
			read.flags = READ_FLAG_CLOCK_UNSURE;
		else if (i == 3)
			read.confidence = 49;
		else if (i == 4)
			read.key[CLONES_KEY_MIN - 1] = 0;
		else if (i == 5)
			read.camera = 5000; /* it moves, and says not where to */
		else
			read.camera = 77; /* not registered any more */
		CHECK(!look(&clones, &read, &hit));
	}
	struct read unsaid = read_of(1, FAR, 10);
	unsaid.confidence = READ_CONFIDENCE_UNKNOWN;
	CHECK(look(&clones, &unsaid, &hit));
	(void)cells_free(clones.cells);
}

/* A camera that moves is where it says it is: judged, not remembered. */
static void own_positions_count(void)
{
	struct clones_settings eager = usual;
	struct clones clones;
	struct read read = read_of(1, 0, 0);
	struct hit hit;

	eager.sightings = 1;
	clones = clones_make(eager, 1 << 16);
	CHECK(!look(&clones, &read, &hit));
	read.camera = 5000;
	read.flags = READ_FLAG_POSITION;
	read.lat_e7 = point_of(1).lat_e7;
	read.lon_e7 = point_of(1).lon_e7;
	read.capture_us += 800 * SECOND_US;
	CHECK(!look(&clones, &read, &hit));
	read.lat_e7 = point_of(FAR).lat_e7;
	read.lon_e7 = point_of(FAR).lon_e7;
	CHECK(look(&clones, &read, &hit));
	CHECK_INT(1000, hit.entry);
	CHECK(!looks(&clones, 1, 1, 900));
	(void)cells_free(clones.cells);
}

/* ---- at random */

#define VEHICLES 400
#define SEEN 60
#define CHAOS_THREADS 4

struct drive {
	unsigned camera[SEEN];
	int64_t second[SEEN];
};

/* From camera to camera at 60 to 220 km/h, as the crow flies. */
static void drive_make(struct prng *prng, unsigned from, struct drive *drive)
{
	int64_t second = (int64_t)prng_below(prng, 3600);
	unsigned at = from;

	for (unsigned i = 0; i < SEEN; i++) {
		unsigned row = at / GRID, column = at % GRID, to;
		double metres;

		drive->camera[i] = at;
		drive->second[i] = second;
		row += row + 1 < GRID && prng_chance(prng, 500) ? 1 : row > 0 ? -1u : 0;
		column += column + 1 < GRID && prng_chance(prng, 500) ? 1 : column > 0 ? -1u : 0;
		to = row * GRID + column;
		metres = metres_between(point_of(at), point_of(to));
		second += 1 + (int64_t)(metres / (60 + (double)prng_below(prng, 160)) * 3.6);
		at = to;
	}
}

static void shuffle(struct prng *prng, struct read *reads, size_t count)
{
	for (size_t i = count; i > 1; i--) {
		size_t other = (size_t)prng_below(prng, i);
		struct read swap = reads[i - 1];

		reads[i - 1] = reads[other];
		reads[other] = swap;
	}
}

static void whoever_drives_as_one_can_raises_nothing(void)
{
	struct prng prng = {check_seed()};
	struct clones_settings eager = usual;
	struct clones clones;
	struct read *reads = calloc((size_t)VEHICLES * SEEN, sizeof(*reads));

	CHECK(reads != NULL);
	eager.sightings = 1;
	clones = clones_make(eager, 1 << 20);
	for (uint32_t vehicle = 0; vehicle < VEHICLES; vehicle++) {
		struct drive drive;

		drive_make(&prng, (unsigned)prng_below(&prng, CAMERAS), &drive);
		for (unsigned i = 0; i < SEEN; i++)
			reads[vehicle * SEEN + i] = read_of(vehicle, drive.camera[i], drive.second[i]);
	}
	shuffle(&prng, reads, (size_t)VEHICLES * SEEN);
	for (size_t i = 0; i < (size_t)VEHICLES * SEEN; i++) {
		struct hit hit;

		CHECK(!look(&clones, &reads[i], &hit));
	}
	free(reads);
	(void)cells_free(clones.cells);
}

static void two_that_bear_one_plate_are_found(void)
{
	struct prng prng = {check_seed()};
	struct clones clones = clones_make(usual, 1 << 20);
	unsigned found = 0;

	for (uint32_t vehicle = 0; vehicle < VEHICLES; vehicle++) {
		struct drive one, other;
		bool raised = false;

		/* Corners: no less than 200 km apart after SEEN steps would be too much to ask; within the first 8. */
		drive_make(&prng, 0, &one);
		drive_make(&prng, FAR, &other);
		for (unsigned i = 0; i < 8; i++) {
			raised |= looks(&clones, vehicle, one.camera[i], one.second[i]);
			raised |= looks(&clones, vehicle, other.camera[i], other.second[i]);
		}
		found += raised;
	}
	CHECK(found >= VEHICLES * 95 / 100);
	(void)cells_free(clones.cells);
}

struct chaos {
	struct clones clones;
	struct prng prng;
	uint64_t raised;
	uint64_t wrong;
};

/* Each vehicle is seen at one second by each camera: camera and vehicle say when, so that a hit can be checked. */
static int64_t chaos_second(uint32_t vehicle, unsigned camera)
{
	return (int64_t)((vehicle * 2654435761u + camera * 40503u) % 7200);
}

static void *chaos_run(void *context)
{
	struct chaos *chaos = context;

	for (unsigned step = 0; step < 40000; step++) {
		uint32_t vehicle = (uint32_t)prng_below(&chaos->prng, 300);
		unsigned camera = (unsigned)prng_below(&chaos->prng, CAMERAS), other;
		struct read read = read_of(vehicle, camera, chaos_second(vehicle, camera));
		int64_t between;
		struct hit hit;
		double metres;

		if (!look(&chaos->clones, &read, &hit))
			continue;
		chaos->raised++;
		other = hit.entry - 1000;
		between = chaos_second(vehicle, other) - chaos_second(vehicle, camera);
		metres = metres_between(point_of(camera), point_of(other));
		chaos->wrong += hit.entry < 1000 || other >= CAMERAS || llabs(between) != hit.version ||
				(between > 0) != ((hit.flags & HIT_FLAG_CLASH_LATER) != 0) ||
				metres < DISTANCE_M * 0.99 ||
				metres * 1.01 < SPEED_KMH / 3.6 * (double)(hit.version + SLACK_S);
	}
	return NULL;
}

static void what_is_raised_is_true_in(size_t size, uint8_t sightings)
{
	struct clones_settings settings = usual;
	struct chaos chaos[CHAOS_THREADS];
	pthread_t threads[CHAOS_THREADS];
	struct clones clones;
	uint64_t raised = 0;

	settings.sightings = sightings;
	clones = clones_make(settings, size);
	for (unsigned i = 0; i < CHAOS_THREADS; i++) {
		chaos[i] = (struct chaos){.clones = clones, .prng = {check_seed() + i}};
		CHECK_INT(0, pthread_create(&threads[i], NULL, chaos_run, &chaos[i]));
	}
	for (unsigned i = 0; i < CHAOS_THREADS; i++) {
		CHECK_INT(0, pthread_join(threads[i], NULL));
		CHECK_INT(0, chaos[i].wrong);
		raised += chaos[i].raised;
	}
	CHECK(raised > 0);
	(void)cells_free(clones.cells);
}

static void what_is_raised_is_true_on_all_threads(void)
{
	what_is_raised_is_true_in(1 << 20, 2);
	what_is_raised_is_true_in(4 * CELLS_SET_SIZE, 1);
}

int main(int argc, char **argv)
{
	static const struct check_test tests[] = {
		{"two sightings on either side raise", two_sightings_on_either_side_raise},
		{"one misread raises nothing unless asked for", one_misread_raises_nothing_unless_asked_for},
		{"a misread hides no clone", a_misread_hides_no_clone},
		{"what proves nothing is left out", what_proves_nothing_is_left_out},
		{"own positions count", own_positions_count},
		{"whoever drives as one can raises nothing", whoever_drives_as_one_can_raises_nothing},
		{"two that bear one plate are found", two_that_bear_one_plate_are_found},
		{"what is raised is true on all threads", what_is_raised_is_true_on_all_threads},
		{NULL, NULL},
	};
	int result = check_main(argc, argv, "clones", tests);

	if (places.table != NULL)
		places_fini(&places);
	return result;
}
