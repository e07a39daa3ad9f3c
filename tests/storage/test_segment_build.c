/* Segments built row by row, also such as lie; writes that fail or are cut short; input that is refused. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "appliance/base/bytes.h"
#include "storage/row.h"
#include "storage/segment_build.h"
#include "storage/segment_keys.h"
#include "storage/segment_out.h"
#include "storage/segment_page.h"
#include "storage/segment_read.h"
#include "tests/check.h"
#include "tests/storage/segment_fixture.h"
#include "tests/storage/sim_io.h"

static const struct segment_origin test_origin = {.id = 21,
						  .day = FIXTURE_DAY,
						  .key_version = 1,
						  .lineage_kind = SEGMENT_FROM_SEGMENTS,
						  .lineage = (const uint64_t[]){4, 5},
						  .lineage_count = 2};

/* A build under the key that the fixture's keyring has for segment 21. */
static struct segment_build *start_build(struct fixture *fixture)
{
	struct key_change change = {.id = {.id = 21, .day = FIXTURE_DAY, .kind = KEY_SEGMENT}};
	struct segment_build *build = NULL;
	uint8_t key[KEY_SIZE];
	struct err err = {""};

	if (keyring_get(fixture->keyring, change.id, key) != 0)
		CHECK_INT(0, keyring_change(fixture->keyring, &change, 1));
	CHECK_INT(0, keyring_get(fixture->keyring, change.id, key));
	CHECK_INT(0, segment_build_new(fixture->io, fixture->segments, key, &test_origin, &err, &build));
	return build;
}

static bool build_file_exists(struct fixture *fixture, const char *suffix)
{
	char path[700], name[SEGMENT_NAME_SIZE];

	(void)snprintf(path, sizeof(path), "%s/%s", fixture->segments, segment_name(FIXTURE_DAY, 21, suffix, name));
	return access(path, F_OK) == 0;
}

/* A stream gives what segment_write gives: the same rows, numbers that rows can be found by, sums that add up. */
static void a_stream_of_rows_is_a_segment(void)
{
	enum { COUNT = 30000 };
	struct prng prng = {check_seed()};
	struct read *rows = calloc(COUNT, sizeof(*rows)), *back = calloc(COUNT, sizeof(*back));
	const struct read **pointers = calloc(COUNT, sizeof(const struct read *));
	uint64_t *numbers = calloc(COUNT, sizeof(*numbers));
	struct segment_summary summary;
	struct segment_sizes sizes;
	struct segment_build *build;
	struct segment *segment;
	struct fixture fixture;
	struct err err = {""};
	uint64_t bytes = 0;
	unsigned damage = 0;
	struct segment_check_hooks hooks = {.damage = fixture_count_damage, .context = &damage};

	fixture_init(&fixture);
	for (size_t i = 0; i < COUNT; i++) {
		rows[i] = prng_chance(&prng, 700) ? fixture_read(&prng, FIXTURE_DAY)
						  : fixture_wild_read(&prng, FIXTURE_DAY);
		pointers[i] = &rows[i];
	}
	CHECK_INT(0, row_sort(pointers, COUNT));
	build = start_build(&fixture);
	for (size_t i = 0; i < COUNT; i++)
		CHECK_INT(0, segment_build_row(build, pointers[i], &numbers[i]));
	CHECK(build_file_exists(&fixture, ".tmp") && !build_file_exists(&fixture, ".seg"));
	CHECK_INT(0, segment_build_finish(build, &err, &summary));
	segment_build_sizes(build, &sizes);
	for (unsigned i = 0; i < sizes.count; i++)
		bytes += sizes.list[i].bytes;
	CHECK(bytes == summary.file_size);
	segment_build_free(build);
	CHECK(!build_file_exists(&fixture, ".tmp") && build_file_exists(&fixture, ".seg"));
	CHECK_INT(0, segment_open(fixture.io, fixture.keyring, fixture.segments, FIXTURE_DAY, 21, &err, &segment));
	CHECK_INT(2, segment_summary(segment)->lineage_count);
	CHECK_INT(summary.row_count, fixture_read_all(segment, back));
	CHECK_INT(COUNT, summary.row_count + summary.collapsed_count);
	CHECK(summary.collapsed_count > 100);
	for (size_t i = 0; i < COUNT; i++)
		CHECK(row_same_key(pointers[i], &back[numbers[i]]) &&
		      pointers[i]->capture_us == back[numbers[i]].capture_us &&
		      pointers[i]->camera == back[numbers[i]].camera);
	CHECK_INT(fixture_collapse(rows, COUNT), summary.row_count);
	CHECK_MEM(rows, back, summary.row_count * sizeof(*rows));
	CHECK_INT(0, segment_check(segment, &hooks));
	segment_free(segment);
	fixture_fini(&fixture);
	free(numbers);
	free(pointers);
	free(back);
	free(rows);
}

struct calling_off {
	unsigned asked;
	unsigned at; /* which asking calls it off */
};

static int call_off(void *context)
{
	struct calling_off *off = context;

	return off->asked++ == off->at ? -ECANCELED : 0;
}

/* What was called off while it was finished, wherever it was, leaves nothing; it is asked all along. */
static void a_finish_is_called_off(void)
{
	enum { COUNT = 60000, EVERY_HIT = 4 };
	struct calling_off off = {.at = 0};
	struct prng prng = {check_seed()};
	struct read *rows = calloc(COUNT, sizeof(*rows));
	const struct read **pointers = calloc(COUNT, sizeof(const struct read *));
	struct segment_summary summary;
	struct fixture fixture;
	int result;

	fixture_init(&fixture);
	for (size_t i = 0; i < COUNT; i++) {
		rows[i] = fixture_read(&prng, FIXTURE_DAY);
		pointers[i] = &rows[i];
	}
	CHECK_INT(0, row_sort(pointers, COUNT));
	do {
		struct segment_build *build = start_build(&fixture);
		struct err err = {""};
		uint64_t number;

		segment_build_pace(build, call_off, &off);
		for (size_t i = 0; i < COUNT; i++) {
			CHECK_INT(0, segment_build_row(build, pointers[i], &number));
			if (i % EVERY_HIT == 0)
				CHECK_INT(0,
					  segment_build_hit(build, &(struct hit){.row = (uint32_t)number,
										 .number = hit_number(1, number + 1)}));
		}
		off.asked = 0;
		result = segment_build_finish(build, &err, &summary);
		if (result < 0) {
			CHECK_INT(-ECANCELED, result);
			CHECK_INT(off.at + 1, off.asked);
			CHECK(strstr(err.text, "put off") != NULL);
		}
		segment_build_free(build);
		CHECK(!build_file_exists(&fixture, ".tmp"));
		CHECK_INT(result == 0, build_file_exists(&fixture, ".seg"));
		off.at += 1 + off.at / 4;
	} while (result < 0);
	CHECK(off.asked > summary.sections[SEGMENT_SCENES].page_count + summary.sections[SEGMENT_HITS].page_count);
	fixture_fini(&fixture);
	free(pointers);
	free(rows);
}

static void a_build_refuses_what_cannot_be(void)
{
	struct prng prng = {3};
	struct read first = fixture_wild_read(&prng, FIXTURE_DAY), second, late;
	struct segment_origin orphan = test_origin;
	struct segment_build *build, *none = NULL;
	struct segment_summary summary;
	struct fixture fixture;
	struct err err = {""};
	uint8_t key[32] = {0};
	uint64_t number = 0;

	fixture_init(&fixture);
	orphan.lineage_count = 0;
	CHECK_INT(-EINVAL, segment_build_new(fixture.io, fixture.segments, key, &orphan, &err, &none));
	CHECK(none == NULL && err.text[0] != '\0');
	build = start_build(&fixture);
	CHECK_INT(-ENODATA, segment_build_finish(build, &err, &summary));
	CHECK_INT(-EINVAL, segment_build_hit(build, &(struct hit){.row = 0, .number = hit_number(1, 1)}));
	second = first;
	second.capture_us = first.capture_us > (int64_t)FIXTURE_DAY * DAY_US ? first.capture_us - 1 : first.capture_us;
	second.camera = 0;
	CHECK_INT(0, segment_build_row(build, &first, &number));
	CHECK_INT(-EINVAL, segment_build_row(build, &second, &number));
	late = first;
	late.capture_us = (int64_t)(FIXTURE_DAY + 1) * DAY_US;
	CHECK_INT(-EINVAL, segment_build_row(build, &late, &number));
	segment_build_free(build);
	CHECK(!build_file_exists(&fixture, ".tmp") && !build_file_exists(&fixture, ".seg"));
	CHECK(segment_build_free(NULL) == NULL);
	fixture_fini(&fixture);
}

/* Writes one row by hand, under true seals, with the scene and the dictionary as told. */
static int check_by_hand(struct fixture *fixture, const struct read *row, struct segment_scene scene,
			 const uint8_t (*key)[16])
{
	struct segment_summary summary = {.id = 21,
					  .day = FIXTURE_DAY,
					  .lineage_kind = SEGMENT_FROM_JOURNALS,
					  .lineage_count = 1,
					  .row_count = 1,
					  .capture_first_us = row->capture_us,
					  .capture_last_us = row->capture_us};
	struct segment_out out = {0};
	uint8_t seal[KEY_SIZE], fence[16] = {0};
	struct segment *segment;
	unsigned faults = 0;
	struct segment_check_hooks hooks = {.damage = fixture_count_damage, .context = &faults};
	struct key_id id = {.id = 21, .day = FIXTURE_DAY, .kind = KEY_SEGMENT};
	struct err err = {""};
	uint32_t one = 1;
	int r;

	CHECK_INT(0, keyring_get(fixture->keyring, id, seal));
	CHECK_INT(0, segment_out_init(&out, fixture->io, fixture->segments, seal, FIXTURE_DAY, 21));
	segment_out_end(&out, SEGMENT_ROWS, row->key, 0, segment_rows_encode(row, 1, segment_out_begin(&out)));
	segment_out_end(&out, SEGMENT_KEYS, *key, 0, segment_keys_encode(key, &one, 1, 0, segment_out_begin(&out)));
	be32_put(fence, scene.camera);
	be32_put(fence + 4, scene.unit);
	segment_out_end(&out, SEGMENT_SCENES, fence, 0, segment_scenes_encode(&scene, 1, segment_out_begin(&out)));
	for (unsigned s = SEGMENT_ROWS; s <= SEGMENT_SCENES; s++)
		summary.sections[s].item_count = 1;
	CHECK_INT(0, segment_out_finish(&out, &summary));
	segment_out_fini(&out);
	CHECK_INT(0, segment_open(fixture->io, fixture->keyring, fixture->segments, FIXTURE_DAY, 21, &err, &segment));
	r = segment_check(segment, &hooks);
	CHECK_INT(r, faults > 0);
	segment_free(segment);
	return r;
}

/* What no seal can show: sections that are whole and contradict each other. */
static void sections_that_disagree_are_found(void)
{
	struct prng prng = {6};
	struct read row = fixture_read(&prng, FIXTURE_DAY);
	struct segment_scene scene = {row.camera, 0, 0}, other;
	const uint8_t(*key)[16] = (const uint8_t(*)[16])row.key;
	uint8_t strange[1][16] = {"ZZZZ"};
	struct fixture fixture;

	fixture_init(&fixture);
	segment_build_free(start_build(&fixture));
	scene.unit = (uint32_t)((row.capture_us - (int64_t)FIXTURE_DAY * DAY_US) / 1000000 / SEGMENT_SCENE_UNIT_S);
	CHECK_INT(0, check_by_hand(&fixture, &row, scene, key));
	other = scene;
	other.camera++;
	CHECK_INT(1, check_by_hand(&fixture, &row, other, key));
	other = scene;
	other.unit = other.unit == 0 ? 1 : other.unit - 1;
	CHECK_INT(1, check_by_hand(&fixture, &row, other, key));
	other = scene;
	other.page = 1;
	CHECK_INT(1, check_by_hand(&fixture, &row, other, key));
	CHECK_INT(1, check_by_hand(&fixture, &row, scene, (const uint8_t(*)[16])strange));
	row.capture_us += DAY_US;
	CHECK_INT(1, check_by_hand(&fixture, &row, scene, key));
	fixture_fini(&fixture);
}

/* Rows of a segment on the simulated disk, as the reader gives them; 0 when there is none under its name. */
static size_t rows_on(struct io *sim, struct fixture *fixture, uint64_t id, struct read *ret_rows)
{
	struct segment *segment;
	struct err err = {""};
	size_t count;
	int r = segment_open(sim, fixture->keyring, fixture->segments, FIXTURE_DAY, id, &err, &segment);

	if (r == -ENOENT)
		return 0;
	CHECK_INT(0, r);
	count = fixture_read_all(segment, ret_rows);
	segment_free(segment);
	return count;
}

enum sweep { SWEEP_FAIL, SWEEP_FULL, SWEEP_CUT };

/*
 * The Nth operation fails, or the power goes in it, for N = 1, 2, 3 … until the write succeeds. After each: nothing
 * under the segment's name, or all of it; nothing at all when the call said no and the power stayed.
 */
static void sweep_write(enum sweep sweep)
{
	enum { COUNT = 60000 };
	struct prng prng = {check_seed()};
	struct read *rows = calloc(COUNT, sizeof(*rows));
	struct read *sorted = calloc(COUNT, sizeof(*rows));
	struct read *back = calloc(COUNT, sizeof(*rows));
	struct segment_summary summary;
	struct fixture fixture;
	unsigned n = 0;
	size_t kept;
	int r = -1;

	fixture_init(&fixture);
	(void)snprintf(fixture.segments, sizeof(fixture.segments), "/d");
	for (size_t i = 0; i < COUNT; i++)
		sorted[i] = rows[i] = fixture_wild_read(&prng, FIXTURE_DAY);
	kept = fixture_collapse(sorted, COUNT);
	while (r != 0) {
		struct io *sim = sim_new(check_seed() + ++n);
		size_t found;

		CHECK(n < 100);
		CHECK_INT(0, sim->ops->mkdir(sim, "/d"));
		CHECK_INT(0, sim->ops->dir_sync(sim, "/"));
		if (sweep == SWEEP_CUT)
			sim_cut_at(sim, sim_ops(sim) + n);
		else
			sim_fail(sim, SIM_ALL, n, 1, sweep == SWEEP_FULL ? ENOSPC : EIO);
		r = fixture_write(&fixture, sim, FIXTURE_DAY, 6, rows, COUNT, NULL, 0, &summary);
		CHECK(r <= 0);
		sim_fail(sim, 0, 0, 0, 0);
		if (sweep == SWEEP_CUT)
			sim_crash(sim);
		found = rows_on(sim, &fixture, 6, back);
		CHECK(found == 0 || (found == kept && memcmp(back, sorted, kept * sizeof(*back)) == 0));
		CHECK(r != 0 || found == kept);
		CHECK(r == 0 || sweep == SWEEP_CUT || found == 0);
		sim_free(sim);
	}
	CHECK(n > 8);
	fixture_fini(&fixture);
	free(back);
	free(sorted);
	free(rows);
}

static void a_failed_write_leaves_nothing(void)
{
	sweep_write(SWEEP_FAIL);
	sweep_write(SWEEP_FULL);
}

static void a_power_cut_leaves_all_or_nothing(void)
{
	sweep_write(SWEEP_CUT);
}

static void bad_input_is_refused(void)
{
	struct prng prng = {4};
	struct read rows[2] = {fixture_read(&prng, FIXTURE_DAY), fixture_read(&prng, FIXTURE_DAY + 1)};
	struct hit hit = {.row = 1, .number = hit_number(1, 1)};
	struct segment_summary summary;
	struct fixture fixture;

	fixture_init(&fixture);
	CHECK_INT(-EINVAL, fixture_write(&fixture, fixture.io, FIXTURE_DAY, 1, rows, 0, NULL, 0, &summary));
	CHECK_INT(-EINVAL, fixture_write(&fixture, fixture.io, FIXTURE_DAY, 1, rows, 2, NULL, 0, &summary));
	CHECK_INT(-EINVAL, fixture_write(&fixture, fixture.io, FIXTURE_DAY, 1, rows, 1, &hit, 1, &summary));
	CHECK_INT(0, fixture_write(&fixture, fixture.io, FIXTURE_DAY, 1, rows, 1, NULL, 0, &summary));
	fixture_fini(&fixture);
}

int main(int argc, char **argv)
{
	static const struct check_test tests[] = {
		{"a stream of rows is a segment", a_stream_of_rows_is_a_segment},
		{"a finish is called off", a_finish_is_called_off},
		{"a build refuses what cannot be", a_build_refuses_what_cannot_be},
		{"sections that disagree are found", sections_that_disagree_are_found},
		{"a failed write leaves nothing", a_failed_write_leaves_nothing},
		{"a power cut leaves all or nothing", a_power_cut_leaves_all_or_nothing},
		{"bad input is refused", bad_input_is_refused},
		{NULL, NULL},
	};

	return check_main(argc, argv, "segment build", tests);
}
