#include <errno.h>
#include <regex.h>
#include <stdlib.h>
#include <string.h>

#include "appliance/base/bytes.h"
#include "bench/curve.h"
#include "bench/fleet.h"
#include "bench/sheet.h"
#include "dpdk/feed/record.h"
#include "tests/check.h"

#define NOW_US INT64_C(1795000000000000)

static void settings_small(struct fleet_settings *settings)
{
	fleet_settings_init(settings);
	settings->seed = check_seed();
	settings->cameras = 300;
	settings->vehicles = 20000;
}

/* Fills the records of `count` reads from the streams in turn, 2 ms of clock a batch. */
static size_t collect(struct fleet_streams *streams, unsigned feeds, size_t count, uint8_t *records, uint8_t *lanes)
{
	struct fleet_batch batch;
	int64_t now_us = NOW_US;
	size_t made = 0;

	for (unsigned turn = 0; made < count && turn < 1000000; turn++) {
		unsigned max = count - made < FLEET_BATCH ? (unsigned)(count - made) : FLEET_BATCH;

		now_us += 2000;
		fleet_streams_fill(streams, turn % feeds, now_us, max, &batch);
		for (unsigned i = 0; i < batch.count; i++, made++) {
			memcpy(records + made * FLEET_RECORD_SIZE, batch.records[i], FLEET_RECORD_SIZE);
			lanes[made] = batch.lanes[i];
		}
	}
	return made;
}

static uint8_t *make(uint64_t seed, size_t count, unsigned feeds, unsigned dual, uint8_t **ret_lanes)
{
	struct fleet_settings settings;
	struct fleet_range ranges[8];
	struct fleet_streams *streams = NULL;
	struct fleet fleet;
	uint8_t *records = malloc(count * FLEET_RECORD_SIZE);
	uint8_t *lanes = malloc(count);

	settings_small(&settings);
	settings.seed = seed;
	CHECK_INT(0, fleet_init(&fleet, &settings));
	fleet_ranges_split(settings.cameras, dual, feeds, ranges);
	CHECK_INT(0, fleet_streams_new(&fleet, ranges, feeds, NOW_US, &streams));
	CHECK_INT(count, collect(streams, feeds, count, records, lanes));
	CHECK_INT(0, fleet_streams_twins_lost(streams));
	fleet_streams_free(streams);
	fleet_fini(&fleet);
	*ret_lanes = lanes;
	return records;
}

static void one_seed_one_fleet(void)
{
	size_t count = 20000;
	uint8_t *lanes[3];
	uint8_t *a = make(check_seed(), count, 3, 100, &lanes[0]);
	uint8_t *b = make(check_seed(), count, 3, 100, &lanes[1]);
	uint8_t *c = make(check_seed() + 1, count, 3, 100, &lanes[2]);

	CHECK_MEM(a, b, count * FLEET_RECORD_SIZE);
	CHECK_MEM(lanes[0], lanes[1], count);
	CHECK(memcmp(a, c, count * FLEET_RECORD_SIZE) != 0);
	free(a);
	free(b);
	free(c);
	for (int i = 0; i < 3; i++)
		free(lanes[i]);
}

static void every_record_is_well_formed(void)
{
	size_t count = 200000;
	uint8_t *lanes;
	uint8_t *records = make(check_seed(), count, 2, 0, &lanes);
	size_t kinds[READ_KIND_COUNT] = {0};
	size_t backlog = 0;
	size_t placed = 0;

	for (size_t i = 0; i + FEED_RECORDS_MAX <= count; i += FEED_RECORDS_MAX) {
		struct read reads[FEED_RECORDS_MAX];

		CHECK_INT(0, feed_records_decode(records + i * FLEET_RECORD_SIZE, FEED_RECORDS_MAX, reads));
		for (unsigned k = 0; k < FEED_RECORDS_MAX; k++) {
			CHECK(reads[k].camera >= 1 && reads[k].camera <= 300);
			CHECK(reads[k].capture_us <= NOW_US + 100000000);
			CHECK(reads[k].capture_us > NOW_US - 2 * DAY_US);
			CHECK(reads[k].road_lane >= 1);
			kinds[reads[k].kind]++;
			backlog += lanes[i + k] == FEED_LANE_BACKLOG;
			placed += (reads[k].flags & READ_FLAG_POSITION) != 0;
		}
	}
	/* Shares, generously: 2 % backlog, 0.5 to 6 % not read, a few mobile cameras. */
	CHECK(backlog > count / 100 && backlog < count * 3 / 100);
	CHECK(kinds[READ_KIND_NOT_READ] > count / 200 && kinds[READ_KIND_NOT_READ] < count * 6 / 100);
	CHECK(placed > 0 && placed < count / 5);
	free(records);
	free(lanes);
}

static int order(const void *a, const void *b)
{
	const uint8_t *left = a;
	const uint8_t *right = b;
	uint32_t camera_left = le32_get(left + 8);
	uint32_t camera_right = le32_get(right + 8);

	if (camera_left != camera_right)
		return camera_left < camera_right ? -1 : 1;
	return le64_get(left) < le64_get(right) ? -1 : le64_get(left) > le64_get(right);
}

/* Of 300 cameras over three feeds with a tenth shared, 101..110 and 201..210 speak twice, word for word. */
static void captures_are_unique_but_for_twins(void)
{
	size_t count = 300000;
	uint8_t *lanes;
	uint8_t *records = make(check_seed(), count, 3, 100, &lanes);
	size_t twins = 0;

	qsort(records, count, FLEET_RECORD_SIZE, order);
	for (size_t i = 1; i < count; i++) {
		const uint8_t *here = records + i * FLEET_RECORD_SIZE;
		const uint8_t *before = here - FLEET_RECORD_SIZE;
		uint32_t camera = le32_get(here + 8);

		if (order(before, here) != 0)
			continue;
		CHECK((camera > 100 && camera <= 110) || (camera > 200 && camera <= 210));
		CHECK_MEM(before, here, FLEET_RECORD_SIZE);
		CHECK(i < 2 || order(before - FLEET_RECORD_SIZE, here) != 0);
		twins++;
	}
	CHECK(twins > count / 100);
	free(records);
	free(lanes);
}

/* A second run, begun after the first, never captures at a moment of the first, whatever its seed. */
static void restarts_do_not_repeat_captures(void)
{
	struct fleet_settings settings;
	struct fleet_range range = {1, 5};
	struct fleet fleet;
	size_t count = 100000;
	uint8_t *records = malloc(2 * count * FLEET_RECORD_SIZE);
	int64_t now_us = NOW_US;
	size_t made = 0;

	settings_small(&settings);
	settings.cameras = 5;
	settings.late_permille = 300;
	settings.backlog_permille = 300;
	CHECK_INT(0, fleet_init(&fleet, &settings));
	for (unsigned run = 0; run < 20; run++) {
		struct fleet_streams *streams = NULL;
		struct fleet_batch batch;

		now_us += 1;
		CHECK_INT(0, fleet_streams_new(&fleet, &range, 1, now_us, &streams));
		for (unsigned turn = 0; turn < 1000; turn++) {
			now_us += 7;
			fleet_streams_fill(streams, 0, now_us, 3, &batch);
			memcpy(records + made * FLEET_RECORD_SIZE, batch.records,
			       (size_t)batch.count * FLEET_RECORD_SIZE);
			made += batch.count;
		}
		fleet_streams_free(streams);
	}
	CHECK(made > 10000);
	qsort(records, made, FLEET_RECORD_SIZE, order);
	for (size_t i = 1; i < made; i++)
		CHECK(order(records + (i - 1) * FLEET_RECORD_SIZE, records + i * FLEET_RECORD_SIZE) != 0);
	free(records);
	fleet_fini(&fleet);
}

/* The shapes of the notes' table, written once more as expressions. */
static void plates_have_real_shapes(void)
{
	static const char *const shapes[PLATE_FORMATS] = {
		[PLATE_CURRENT] = "^[A-HJ-PR-Y]{2}(0[2-9]|[1-7][0-9])[A-HJ-PR-Z]{3}$",
		[PLATE_PREFIX] = "^[A-HJ-NP-TV-YQ][1-9][0-9]{0,2}[A-HJ-PR-Z]{3}$",
		[PLATE_SUFFIX] = "^[A-HJ-PR-Z]{3}[1-9][0-9]{0,2}[A-HJ-NPR-TV-Y]$",
		[PLATE_DATELESS] = "^([A-HJ-PR-Z]{1,3}[1-9][0-9]{0,3}|[1-9][0-9]{0,3}[A-HJ-PR-Z]{1,3})$",
		[PLATE_NORTHERN] = "^[A-HJ-PR-Y][IZA-Y]?[IZA-Y]?[1-9][0-9]{2,3}$",
		[PLATE_MILITARY] = "^[A-Z]{2}[1-9][0-9][A-Z]{2}$",
		[PLATE_DIPLOMAT] = "^[1-9][0-9]{2}[DX][1-9][0-9]{2}$",
		[PLATE_FOREIGN] = "^.{5,16}$",
	};
	struct prng prng = {check_seed()};
	regex_t expressions[PLATE_FORMATS];
	size_t seen[PLATE_FORMATS] = {0};
	size_t diacritics = 0;

	for (unsigned i = 0; i < PLATE_FORMATS; i++)
		CHECK_INT(0, regcomp(&expressions[i], shapes[i], REG_EXTENDED | REG_NOSUB));
	for (unsigned i = 0; i < 200000; i++) {
		char text[READ_TEXT_SIZE + 1] = "";
		struct plate plate;

		plate_make(&prng, 30, &plate);
		memcpy(text, plate.text, READ_TEXT_SIZE);
		if (regexec(&expressions[plate.format], text, 0, NULL, 0) != 0)
			check_note("format %u: %s", plate.format, text);
		CHECK_INT(0, regexec(&expressions[plate.format], text, 0, NULL, 0));
		CHECK(plate.format == PLATE_FOREIGN || plate.country == ('G' | 'B' << 8));
		if (plate.format == PLATE_CURRENT)
			CHECK(memcmp(text + 2, "50", 2) != 0 && memcmp(text + 2, "00", 2) != 0);
		if (plate.format == PLATE_NORTHERN)
			CHECK(strpbrk(text + 1, "IZ") != NULL);
		for (const char *c = text; *c != '\0'; c++)
			diacritics += (uint8_t)*c >= 0xc0;
		seen[plate.format]++;
	}
	for (unsigned i = 0; i < PLATE_FORMATS; i++) {
		CHECK(seen[i] > 0);
		regfree(&expressions[i]);
	}
	CHECK(seen[PLATE_CURRENT] > 120000);
	CHECK(seen[PLATE_FOREIGN] > 5000 && seen[PLATE_FOREIGN] < 7000);
	CHECK(diacritics > 1000);
}

static void misreads_stay_in_their_class(void)
{
	static const char *const classes[] = {"0ODQ", "1I", "2Z", "5S", "8B", "6G"};
	struct prng prng = {check_seed()};
	size_t made = 0;

	for (unsigned i = 0; i < 50000; i++) {
		struct plate plate;
		uint8_t text[READ_TEXT_SIZE];
		unsigned changed = 0;

		plate_make(&prng, 100, &plate);
		memcpy(text, plate.text, sizeof(text));
		if (!plate_misread(prng_next(&prng), text)) {
			CHECK_MEM(plate.text, text, sizeof(text));
			continue;
		}
		made++;
		for (unsigned k = 0; k < READ_TEXT_SIZE; k++) {
			bool kin = false;

			if (text[k] == plate.text[k])
				continue;
			changed++;
			for (unsigned class = 0; class < 6; class ++)
				kin = kin || (strchr(classes[class], text[k]) != NULL &&
					      strchr(classes[class], plate.text[k]) != NULL);
			CHECK(kin);
		}
		CHECK_INT(1, changed);
	}
	CHECK(made > 30000);
}

/* The head as often as each doubling beyond; within the head all alike; nobody left out of reach. */
static void sightings_fall_with_rank(void)
{
	struct prng prng = {check_seed()};
	struct population population;
	size_t draws = 400000;
	size_t band[4] = {0};
	size_t first = 0;
	uint32_t highest = 0;

	CHECK_INT(0, population_init(&population, 5000, 0, 1));
	CHECK_INT(3, population.bands);
	for (size_t i = 0; i < draws; i++) {
		uint32_t rank = population_pick(&population, prng_next(&prng));

		CHECK(rank < 5000);
		band[rank < 1024 ? 0 : rank < 2048 ? 1 : 2]++;
		first += rank == 0;
		highest = rank > highest ? rank : highest;
	}
	for (unsigned i = 0; i < 3; i++)
		CHECK(band[i] > draws / 3 - draws / 60 && band[i] < draws / 3 + draws / 60);
	CHECK(first > draws / 3 / 1024 / 2 && first < draws / 3 / 1024 * 2);
	CHECK(highest > 4900);
	population_fini(&population);
	for (uint32_t count = 1; count < 5; count++) {
		CHECK_INT(0, population_init(&population, count, 0, 1));
		for (unsigned i = 0; i < 100; i++)
			CHECK(population_pick(&population, prng_next(&prng)) < count);
		population_fini(&population);
	}
}

/* Each camera's share of reads is its share of the weight. */
static void cameras_are_as_busy_as_they_weigh(void)
{
	size_t count = 400000;
	uint8_t *lanes;
	uint8_t *records = make(check_seed(), count, 1, 0, &lanes);
	struct cameras cameras;
	uint64_t total = 0;
	size_t *seen = calloc(301, sizeof(*seen));

	CHECK_INT(0, cameras_init(&cameras, 300, check_seed()));
	for (size_t i = 0; i < count; i++)
		seen[le32_get(records + i * FLEET_RECORD_SIZE + 8)]++;
	for (uint32_t i = 0; i < 300; i++)
		total += cameras.table[i].weight;
	for (uint32_t i = 0; i < 300; i++) {
		double expected = (double)count * cameras.table[i].weight / (double)total;
		double off = (double)seen[i + 1] - expected;

		/* Six standard deviations of a count, and some for slots that were taken. */
		CHECK(off * off < 36 * expected + expected * expected / 400 + 100);
	}
	cameras_fini(&cameras);
	free(records);
	free(lanes);
	free(seen);
}

static void a_day_has_its_hours(void)
{
	uint64_t sum = 0;
	int64_t before = -1;

	for (int hour = 0; hour < 24; hour++)
		sum += curve_permille(NOW_US - NOW_US % DAY_US + hour * (DAY_US / 24));
	CHECK_INT(24 * 1000, sum);
	CHECK_INT(0, curve_moment(0, 90000000));
	CHECK_INT(DAY_US, curve_moment(90000000, 90000000));
	for (uint64_t i = 0; i <= 10000; i++) {
		int64_t at = curve_moment(i, 10000);

		CHECK(at > before);
		before = at;
	}
	CHECK(curve_moment(5000, 10000) > DAY_US / 2);
}

/* Also where few vehicles make far fewer patterns than are asked for. */
static void patterns_are_different(void)
{
	struct population population;
	struct u64_map drawn = {0};
	FILE *file = tmpfile();
	char line[128];
	unsigned rows = 0;

	CHECK_INT(0, population_init(&population, 3, 0, check_seed()));
	CHECK_INT(0, sheet_list(&population, 0, 20000, check_seed(), file, NULL));
	rewind(file);
	CHECK(fgets(line, sizeof(line), file) != NULL);
	for (; fgets(line, sizeof(line), file) != NULL; rows++)
		CHECK_INT(1, sheet_first(&drawn, line, strcspn(line, ",")));
	CHECK_INT(20000, rows);
	u64_map_fini(&drawn);
	population_fini(&population);
	fclose(file);
}

static void lists_are_of_the_fleet(void)
{
	struct population population;
	FILE *file = tmpfile();
	char line[128];
	unsigned rows = 0;
	unsigned partial = 0;

	CHECK_INT(0, population_init(&population, 3000, 30, check_seed()));
	CHECK_INT(-EINVAL, sheet_list(&population, 3001, 0, 1, file, NULL));
	CHECK_INT(0, sheet_list(&population, 3000, 50, check_seed(), file, NULL));
	rewind(file);
	CHECK(fgets(line, sizeof(line), file) != NULL);
	CHECK_STR("vrm,reason,action\n", line);
	while (fgets(line, sizeof(line), file) != NULL) {
		char *reason = strchr(line, ',');

		CHECK(reason != NULL && reason > line && strchr(reason + 1, ',') != NULL);
		*reason = '\0';
		rows++;
		partial += strpbrk(line, "?*") != NULL;
	}
	CHECK_INT(3050, rows);
	CHECK_INT(50, partial);
	population_fini(&population);
	fclose(file);
	patterns_are_different();
}

int main(int argc, char **argv)
{
	static const struct check_test tests[] = {
		{"one seed, one fleet", one_seed_one_fleet},
		{"every record is well formed", every_record_is_well_formed},
		{"captures are unique but for twins", captures_are_unique_but_for_twins},
		{"restarts do not repeat captures", restarts_do_not_repeat_captures},
		{"plates have real shapes", plates_have_real_shapes},
		{"misreads stay in their class", misreads_stay_in_their_class},
		{"sightings fall with rank", sightings_fall_with_rank},
		{"cameras are as busy as they weigh", cameras_are_as_busy_as_they_weigh},
		{"a day has its hours", a_day_has_its_hours},
		{"lists are of the fleet", lists_are_of_the_fleet},
		{NULL, NULL},
	};

	return check_main(argc, argv, "bench fleet", tests);
}
