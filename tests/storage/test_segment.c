#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

#include "appliance/base/bytes.h"
#include "appliance/base/clock.h"
#include "storage/row.h"
#include "storage/segment_build.h"
#include "storage/segment_keys.h"
#include "storage/segment_out.h"
#include "storage/segment_keys.h"
#include "storage/segment_page.h"
#include "storage/segment_read.h"
#include "storage/segment_write.h"
#include "tests/check.h"
#include "tests/storage/segment_fixture.h"
#include "tests/storage/sim_io.h"

/* All rows of a segment, in its order. */
static size_t read_all(const struct segment *segment, struct read *ret_rows)
{
	struct segment_scratch scratch = {0};
	struct segment_rows *page = malloc(sizeof(*page));
	struct err err = {""};
	size_t count = 0;

	for (uint32_t p = 0; p < segment_summary(segment)->sections[SEGMENT_ROWS].page_count; p++) {
		CHECK_INT(0, segment_read_rows(segment, &scratch, p, &err, page));
		CHECK_INT(count, page->first);
		memcpy(&ret_rows[count], page->rows, page->count * sizeof(*ret_rows));
		count += page->count;
	}
	free(page);
	segment_scratch_fini(&scratch);
	return count;
}

static void check_against_model(struct read (*make)(struct prng *prng, int32_t day), size_t count)
{
	struct prng prng = {check_seed() + count};
	struct read *rows = calloc(count + 1, sizeof(*rows));
	struct read *back = calloc(count + 1, sizeof(*back));
	struct segment_summary summary;
	struct segment *segment;
	struct fixture fixture;
	struct err err = {""};
	size_t kept;

	fixture_init(&fixture);
	for (size_t i = 0; i < count; i++)
		rows[i] = make(&prng, FIXTURE_DAY);
	CHECK_INT(0, fixture_write(&fixture, fixture.io, FIXTURE_DAY, 5, rows, count, NULL, 0, &summary));
	kept = fixture_collapse(rows, count);
	CHECK_INT(kept, summary.row_count);
	CHECK_INT(count - kept, summary.collapsed_count);
	CHECK_INT(0, segment_open(fixture.io, fixture.keyring, fixture.segments, FIXTURE_DAY, 5, &err, &segment));
	CHECK_INT(kept, read_all(segment, back));
	CHECK_MEM(rows, back, kept * sizeof(*rows));
	CHECK_MEM(segment_summary(segment)->top, summary.top, summary.top_size);
	CHECK_INT(summary.file_size, segment_summary(segment)->file_size);
	segment_free(segment);
	CHECK_INT(0, segment_open_summary(fixture.io, fixture.keyring, fixture.segments, &summary, &err, &segment));
	CHECK_INT(kept, read_all(segment, back));
	CHECK_MEM(rows, back, kept * sizeof(*rows));
	segment_free(segment);
	fixture_fini(&fixture);
	free(back);
	free(rows);
}

static void round_trip_plausible(void)
{
	static const size_t counts[] = {1, 2, 511, 512, 513, 1025, 20000};

	for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++)
		check_against_model(fixture_read, counts[i]);
}

static void round_trip_wild(void)
{
	static const size_t counts[] = {1, 512, 700, 9000};

	for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++)
		check_against_model(fixture_wild_read, counts[i]);
}

/* The radix sort against qsort on keys with long common prefixes, one giant group included. */
static void order_is_store_order(void)
{
	struct prng prng = {check_seed()};
	enum { COUNT = 30000 };
	struct read *rows = calloc(COUNT, sizeof(*rows));
	const struct read **pointers = calloc(COUNT, sizeof(const struct read *));

	for (size_t i = 0; i < COUNT; i++) {
		rows[i] = i % 3 == 0 ? fixture_wild_read(&prng, FIXTURE_DAY) : fixture_read(&prng, FIXTURE_DAY);
		if (i % 5 == 0)
			memset(rows[i].key, 0, 16);
		if (i % 7 == 0)
			memcpy(rows[i].key, "AAAAAAAA", 8);
		pointers[i] = &rows[i];
	}
	CHECK_INT(0, row_sort(pointers, COUNT));
	for (size_t i = 1; i < COUNT; i++) {
		CHECK(fixture_compare(pointers[i - 1], pointers[i]) <= 0);
		CHECK(row_compare(pointers[i - 1], pointers[i]) <= 0);
	}
	free(pointers);
	free(rows);
}

struct hit_list {
	struct hit hits[64];
	size_t count;
};

static int keep_hit(void *context, const struct hit *hit)
{
	struct hit_list *list = context;

	list->hits[list->count++] = *hit;
	return 0;
}

/* Two feeds bring one read with one hit each, one of them twice the same: the survivor has both hits, once. */
static void hits_follow_the_survivor(void)
{
	struct prng prng = {1};
	struct read rows[3] = {fixture_wild_read(&prng, FIXTURE_DAY)};
	struct hit hits[] = {{.row = 1, .list = 3, .version = 2, .entry = 9, .kind = HIT_EXACT, .priority = 50},
			     {.row = 0, .list = 3, .version = 2, .entry = 9, .kind = HIT_EXACT, .priority = 50},
			     {.row = 0, .list = 4, .version = 1, .entry = 1, .kind = HIT_PATTERN, .priority = 7},
			     {.row = 2, .list = 8, .version = 1, .entry = 5, .kind = HIT_EXACT, .priority = 1}};
	struct segment_scratch scratch = {0};
	struct segment_summary summary;
	struct hit_list list = {.count = 0};
	struct segment *segment;
	struct fixture fixture;
	struct err err = {""};

	fixture_init(&fixture);
	rows[0].kind = READ_KIND_VRM;
	memcpy(rows[0].key, "BBBBBB", 6);
	rows[0].feed = 2;
	rows[1] = rows[0];
	rows[1].feed = 1;
	rows[2] = rows[0];
	memcpy(rows[2].key, "AAAAAA", 6);
	CHECK_INT(0, fixture_write(&fixture, fixture.io, FIXTURE_DAY, 9, rows, 3, hits, 4, &summary));
	CHECK_INT(2, summary.row_count);
	CHECK_INT(0, segment_open(fixture.io, fixture.keyring, fixture.segments, FIXTURE_DAY, 9, &err, &segment));
	CHECK_INT(0, segment_each_hit(segment, &scratch, &err, keep_hit, &list));
	CHECK_INT(3, list.count);
	CHECK_INT(0, list.hits[0].row);
	CHECK_INT(8, list.hits[0].list);
	CHECK_INT(1, list.hits[1].row);
	CHECK_INT(3, list.hits[1].list);
	CHECK_INT(50, list.hits[1].priority);
	CHECK_INT(4, list.hits[2].list);
	segment_free(segment);
	segment_scratch_fini(&scratch);
	fixture_fini(&fixture);
}

static void count_damage(void *context, const char *text, uint64_t rows_lost)
{
	(void)text;
	(void)rows_lost;
	++*(unsigned *)context;
}

/* True when the file as it lies there is refused at open or reported by the check. */
static bool detected(struct fixture *fixture, uint64_t id)
{
	unsigned faults = 0;
	struct segment_check_hooks hooks = {.damage = count_damage, .context = &faults};
	struct segment *segment;
	struct err err = {""};
	int r = segment_open(fixture->io, fixture->keyring, fixture->segments, FIXTURE_DAY, id, &err, &segment);

	if (r < 0)
		return err.text[0] != '\0';
	r = segment_check(segment, &hooks);
	segment_free(segment);
	return r == 1 && faults > 0;
}

static void make_small(struct fixture *fixture, uint64_t id, char path[700], off_t *ret_size)
{
	struct prng prng = {check_seed()};
	static struct read rows[700];
	struct hit hit = {.row = 3, .list = 1};
	struct segment_summary summary;
	char name[SEGMENT_NAME_SIZE];
	struct stat status;

	for (size_t i = 0; i < 700; i++)
		rows[i] = fixture_read(&prng, FIXTURE_DAY);
	CHECK_INT(0, fixture_write(fixture, fixture->io, FIXTURE_DAY, id, rows, 700, &hit, 1, &summary));
	(void)snprintf(path, 700, "%s/%s", fixture->segments, segment_name(FIXTURE_DAY, id, ".seg", name));
	CHECK_INT(0, stat(path, &status));
	CHECK_INT(summary.file_size, status.st_size);
	CHECK(!detected(fixture, id));
	*ret_size = status.st_size;
}

static void any_flipped_bit_is_detected(void)
{
	struct fixture fixture;
	char path[700];
	off_t size;
	int fd;

	fixture_init(&fixture);
	make_small(&fixture, 77, path, &size);
	fd = open(path, O_RDWR);
	CHECK(fd >= 0);
	for (off_t at = 0; at < size; at += at < 300 || at > size - 3000 ? 1 : 7) {
		uint8_t byte, bad;

		CHECK_INT(1, pread(fd, &byte, 1, at));
		bad = byte ^ (uint8_t)(1u << (at % 8));
		CHECK_INT(1, pwrite(fd, &bad, 1, at));
		if (!detected(&fixture, 77))
			check_note("byte %lld of %lld", (long long)at, (long long)size);
		CHECK(detected(&fixture, 77));
		CHECK_INT(1, pwrite(fd, &byte, 1, at));
	}
	CHECK(!detected(&fixture, 77));
	close(fd);
	fixture_fini(&fixture);
}

static void any_truncation_is_detected(void)
{
	struct fixture fixture;
	char path[700];
	off_t size;

	fixture_init(&fixture);
	make_small(&fixture, 78, path, &size);
	for (off_t at = size - 1; at >= 0; at--) {
		CHECK_INT(0, truncate(path, at));
		if (!detected(&fixture, 78))
			check_note("cut at %lld of %lld", (long long)at, (long long)size);
		CHECK(detected(&fixture, 78));
	}
	fixture_fini(&fixture);
}

/* A whole file under another's name, and pages of one segment put into another: keys, days and ids bind them. */
static void a_file_cannot_stand_for_another(void)
{
	struct segment_summary summary, other;
	struct prng prng = {2};
	struct read row = fixture_read(&prng, FIXTURE_DAY);
	struct segment *segment;
	struct fixture fixture;
	struct err err = {""};
	char from[700], to[700], name[SEGMENT_NAME_SIZE];

	fixture_init(&fixture);
	CHECK_INT(0, fixture_write(&fixture, fixture.io, FIXTURE_DAY, 1, &row, 1, NULL, 0, &summary));
	CHECK_INT(0, fixture_write(&fixture, fixture.io, FIXTURE_DAY, 2, &row, 1, NULL, 0, &other));
	(void)snprintf(from, sizeof(from), "%s/%s", fixture.segments, segment_name(FIXTURE_DAY, 1, ".seg", name));
	(void)snprintf(to, sizeof(to), "%s/%s", fixture.segments, segment_name(FIXTURE_DAY, 2, ".seg", name));
	CHECK_INT(0, rename(from, to));
	CHECK_INT(-EBADMSG,
		  segment_open(fixture.io, fixture.keyring, fixture.segments, FIXTURE_DAY, 2, &err, &segment));
	CHECK_INT(-ENOENT, segment_open(fixture.io, fixture.keyring, fixture.segments, FIXTURE_DAY, 1, &err, &segment));
	CHECK_INT(0, keyring_destroy_day(fixture.keyring, FIXTURE_DAY));
	CHECK_INT(-ENOKEY, segment_open_summary(fixture.io, fixture.keyring, fixture.segments, &other, &err, &segment));
	fixture_fini(&fixture);
}

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
	struct segment_check_hooks hooks = {.damage = count_damage, .context = &damage};

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
	CHECK_INT(summary.row_count, read_all(segment, back));
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
				CHECK_INT(0, segment_build_hit(build, &(struct hit){.row = (uint32_t)number}));
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
	CHECK_INT(-EINVAL, segment_build_hit(build, &(struct hit){.row = 0}));
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
	struct segment_check_hooks hooks = {.damage = count_damage, .context = &faults};
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

static void other_formats_are_refused(void)
{
	static const uint32_t formats[] = {0, 1, SEGMENT_FORMAT + 1, UINT32_MAX};
	struct segment_summary summary, back;
	struct fixture fixture;
	struct prng prng = {8};
	struct read row = fixture_read(&prng, FIXTURE_DAY);
	uint8_t bytes[SEGMENT_SUMMARY_SIZE_MAX];
	uint8_t page[SEGMENT_HEADER_SIZE];
	struct aead_key key;
	uint8_t zeros[32] = {0};
	size_t size;

	fixture_init(&fixture);
	CHECK_INT(0, fixture_write(&fixture, fixture.io, FIXTURE_DAY, 5, &row, 1, NULL, 0, &summary));
	aead_key_init(&key, zeros);
	for (size_t i = 0; i < sizeof(formats) / sizeof(formats[0]); i++) {
		struct err err = {""};

		segment_header_encode(&summary, &key, page);
		le32_put(page + 8, formats[i]);
		le64_put(page + 4088, XXH3_64bits(page, 4088));
		CHECK_INT(-ENOTSUP, segment_header_decode(page, NULL, &err, &back));
		CHECK(strstr(err.text, "format") != NULL);
		size = segment_summary_encode(&summary, bytes);
		le32_put(bytes + 8, formats[i]);
		le64_put(bytes + size - 8, XXH3_64bits(bytes, size - 8));
		CHECK_INT(-ENOTSUP, segment_summary_decode(bytes, size, &err, &back));
	}
	aead_key_fini(&key);
	fixture_fini(&fixture);
}

/* The page decoders on mutated pages: refused or decoded, never a step outside (ASan watches). */
static void page_decoders_survive_anything(void)
{
	struct prng prng = {check_seed()};
	static struct read rows[SEGMENT_PAGE_ROWS];
	static struct segment_keys keys;
	static struct segment_scene scenes[SEGMENT_PAGE_SCENES];
	static struct hit hits[SEGMENT_PAGE_HITS];
	uint8_t *page = malloc(SEGMENT_PAGE_ROOM);

	for (unsigned round = 0; round < 3000; round++) {
		unsigned count = 1 + (unsigned)prng_below(&prng, 40);
		size_t size;
		uint32_t got;
		uint8_t *exact;

		for (unsigned i = 0; i < count; i++)
			rows[i] = fixture_wild_read(&prng, FIXTURE_DAY);
		size = segment_rows_encode(rows, count, page);
		for (unsigned flips = (unsigned)prng_below(&prng, 6); flips > 0; flips--)
			page[prng_below(&prng, prng_chance(&prng, 500) ? 140 : size)] ^=
				(uint8_t)(1u << prng_below(&prng, 8));
		if (prng_chance(&prng, 300))
			size = prng_below(&prng, size + 1);
		exact = malloc(size + 16); /* the tag's place is readable */
		memcpy(exact, page, size);
		memset(exact + size, 0xff, 16);
		(void)segment_rows_decode(exact, size, rows, &got);
		(void)segment_keys_decode(exact, size, keys.keys, keys.first_row, &got);
		(void)segment_scenes_decode(exact, size, scenes, &got);
		(void)segment_hits_decode(exact, size, hits, &got);
		free(exact);
	}
	free(page);
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
	count = read_all(segment, ret_rows);
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
	struct hit hit = {.row = 1};
	struct segment_summary summary;
	struct fixture fixture;

	fixture_init(&fixture);
	CHECK_INT(-EINVAL, fixture_write(&fixture, fixture.io, FIXTURE_DAY, 1, rows, 0, NULL, 0, &summary));
	CHECK_INT(-EINVAL, fixture_write(&fixture, fixture.io, FIXTURE_DAY, 1, rows, 2, NULL, 0, &summary));
	CHECK_INT(-EINVAL, fixture_write(&fixture, fixture.io, FIXTURE_DAY, 1, rows, 1, &hit, 1, &summary));
	CHECK_INT(0, fixture_write(&fixture, fixture.io, FIXTURE_DAY, 1, rows, 1, NULL, 0, &summary));
	fixture_fini(&fixture);
}

static void names_are_exact(void)
{
	char name[SEGMENT_NAME_SIZE];
	int32_t day;
	uint64_t id;

	CHECK_STR("d20779-00000000000000ff.seg", segment_name(20779, 255, ".seg", name));
	CHECK_INT(0, segment_name_parse("d-5-ffffffffffffffff.tmp", ".tmp", &day, &id));
	CHECK_INT(-5, day);
	CHECK(id == UINT64_MAX);
	CHECK_INT(-EINVAL, segment_name_parse("d20779-00000000000000FF.seg", ".seg", &day, &id));
	CHECK_INT(-EINVAL, segment_name_parse("d20779-00000000000000ff.seg", ".tmp", &day, &id));
	CHECK_INT(-EINVAL, segment_name_parse("d020779-00000000000000ff.seg", ".seg", &day, &id));
	CHECK_INT(-EINVAL, segment_name_parse("d20779-ff.seg", ".seg", &day, &id));
	CHECK_INT(-EINVAL, segment_name_parse("", ".seg", &day, &id));
}

static void documented_rows(struct read rows[2])
{
	rows[0] = (struct read){.capture_us = 1795305600000000,
				.receipt_us = 1795305600250000,
				.camera = 4711,
				.feed = 3,
				.epoch = 1,
				.country = 'G' | 'B' << 8,
				.confidence = 93,
				.road_lane = 2,
				.direction = 1,
				.images = 1};
	memcpy(rows[0].key, "AB12CDE", 7);
	memcpy(rows[0].text, "AB12CDE", 7);
	rows[1] = rows[0];
	rows[1].capture_us += 5000000;
	rows[1].receipt_us += 5000100;
	rows[1].camera = 4712;
	rows[1].confidence = 88;
	memcpy(rows[1].key, "XY99ZZ0", 7);
	memcpy(rows[1].text, "XY99ZZO", 7);
}

/* The worked example of docs/disk-format.md: when this fails, files written before can no longer be read. */
static void the_documented_example_holds(void)
{
	static const char plain_hex[] =
		"02007ec784017e007e00030058057e027e017e017e007e00027e01d08284626486888a009e6799"
		"ae4300208d28d260060017000000a02526050290a10f20030100e72402017e067e027ee7247e00";
	struct read rows[2];
	uint8_t *page = calloc(1, SEGMENT_PAGE_ROOM);
	uint8_t expected[16], plain[78], key_bytes[32];
	struct read back[SEGMENT_PAGE_ROWS];
	struct aead_key key;
	uint32_t count;

	documented_rows(rows);
	CHECK_INT(0, hex_decode(plain_hex, plain, sizeof(plain)));
	CHECK_INT(sizeof(plain), segment_rows_encode(rows, 2, page));
	CHECK_MEM(plain, page, sizeof(plain));
	CHECK_INT(0, segment_rows_decode(page, sizeof(plain), back, &count));
	CHECK_INT(2, count);
	CHECK_MEM(rows, back, sizeof(rows));
	for (unsigned i = 0; i < 32; i++)
		key_bytes[i] = (uint8_t)i;
	aead_key_init(&key, key_bytes);
	segment_page_seal(&key, 20779, 0x0102030405060708, SEGMENT_ROWS, 0, page, sizeof(plain));
	CHECK_INT(0, hex_decode("e02cfcf820ae9207340406c364c4f6c9", expected, 16));
	CHECK_MEM(expected, page, 16);
	CHECK_INT(0, hex_decode("25108dd1c48f052f5c3ea7cb48567004", expected, 16));
	CHECK_MEM(expected, page + sizeof(plain), 16);
	aead_key_fini(&key);
	free(page);
}

/* The same example's header page, top page, and end mark. */
static void the_documented_file_holds(void)
{
	static const char header_hex[] =
		"47414e5452534547020000000010000008070605040302012b5100000100010001000000980000"
		"000200000000000000000000000000000000208d28d2600600406bd928d2600600a51200000000"
		"0000cd110000000000000807060504030201010000000100000001000000400000000200000000"
		"000000020000000100000001000000400000000200000000000000030000000100000001000000"
		"400000000200000000000000040000000100000001000000400000000100000000000000";
	static const char tag_hex[] = "ae91e5b1c7c27d99cded478cfd88a5f67fd0a56db235779c";
	static const char top_hex[] = "040000000000000041423132434445000000000000000000ed1000000000000038000000000000"
				      "004142313243444500000000000000000025110000000000003800000000000000000012670000"
				      "000000000000000000005d11000000000000380000000000000000000000000000000000000000"
				      "00000095110000000000003800000000000000";
	static const char end_hex[] = "47414e5452454e440807060504030201a512000000000000bdf234289ca70ce200000000000000"
				      "0000000000000000000000000000000000150d368459fc8b27";
	static const char scene_hex[] = "020000000000000000e04c0200000000000000014000000000";
	const struct segment_origin origin = {.id = 0x0102030405060708,
					      .day = 20779,
					      .key_version = 1,
					      .lineage_kind = SEGMENT_FROM_JOURNALS,
					      .lineage = (const uint64_t[]){0x1122334455667788},
					      .lineage_count = 1};
	const struct segment_scene scenes[] = {{4711, 0, 0}, {4712, 0, 0}};
	uint8_t key_bytes[32], expected[256], file[8192], page[SEGMENT_PAGE_ROOM / 8];
	const struct hit hit = {.row = 0, .list = 1, .version = 1, .entry = 1};
	struct segment_summary summary;
	struct segment_build *build;
	struct fixture fixture;
	struct aead_key key;
	struct err err = {""};
	struct read rows[2];
	struct io_file *io_file;
	char path[700], name[SEGMENT_NAME_SIZE];
	uint64_t number;

	fixture_init(&fixture);
	documented_rows(rows);
	for (unsigned i = 0; i < 32; i++)
		key_bytes[i] = (uint8_t)i;
	CHECK_INT(0, segment_build_new(fixture.io, fixture.segments, key_bytes, &origin, &err, &build));
	CHECK_INT(0, segment_build_row(build, &rows[0], &number));
	CHECK_INT(0, segment_build_hit(build, &hit));
	CHECK_INT(0, segment_build_row(build, &rows[1], &number));
	CHECK_INT(0, segment_build_finish(build, &err, &summary));
	segment_build_free(build);
	(void)snprintf(path, sizeof(path), "%s/%s", fixture.segments, segment_name(20779, origin.id, ".seg", name));
	CHECK_INT(0, fixture.io->ops->open(fixture.io, path, IO_READ, &io_file));
	CHECK_INT(summary.file_size, io_file->ops->read(io_file, 0, file, sizeof(file)));
	io_file->ops->close(io_file);
	CHECK_INT(0, hex_decode(header_hex, expected, 0xc0));
	CHECK_MEM(expected, file, 0xc0);
	CHECK_INT(0, hex_decode(tag_hex, expected, 24));
	CHECK_MEM(expected, file + 0xfe8, 24);
	CHECK_INT(0, hex_decode(end_hex, expected, SEGMENT_END_SIZE));
	CHECK_MEM(expected, file + summary.file_size - SEGMENT_END_SIZE, SEGMENT_END_SIZE);
	aead_key_init(&key, key_bytes);
	CHECK_INT(0, segment_page_open(&key, 20779, origin.id, SEGMENT_TOP, 0, summary.top, summary.top_size));
	aead_key_fini(&key);
	CHECK_INT(0, hex_decode(top_hex, expected, 136));
	CHECK_MEM(expected, summary.top, 136);
	CHECK_INT(0, hex_decode(scene_hex, expected, 25));
	CHECK_INT(25, segment_scenes_encode(scenes, 2, page));
	CHECK_MEM(expected, page, 25);
	fixture_fini(&fixture);
}

/* Prints how fast a realistic journal's worth is sealed, and what a row costs on disk. Fails on a gross regression
 * only. */
static void sealing_is_fast(void)
{
	enum { COUNT = 300000 };
	struct prng prng = {7};
	struct read *rows = calloc(COUNT, sizeof(*rows));
	struct segment_summary summary;
	struct fixture fixture;
	int64_t start;
	double seconds;

	fixture_init(&fixture);
	for (size_t i = 0; i < COUNT; i++) {
		struct read *row = &rows[i];

		(void)snprintf((char *)row->key, 16, "%c%c%02u%c%c%c", 'A' + (int)prng_below(&prng, 26),
			       'A' + (int)prng_below(&prng, 26), (unsigned)prng_below(&prng, 100),
			       'A' + (int)prng_below(&prng, 26), 'A' + (int)prng_below(&prng, 26),
			       'A' + (int)prng_below(&prng, 26));
		if (i > 1000 && prng_chance(&prng, 300))
			memcpy(row->key, rows[prng_below(&prng, i)].key, 16);
		memcpy(row->text, row->key, 16);
		for (unsigned j = 0; j < 8; j++) /* as the VRM key folds them */
			row->key[j] = row->key[j] == '0' ? 'O' : row->key[j] == '1' ? 'I' : row->key[j];
		row->capture_us = (int64_t)FIXTURE_DAY * DAY_US + (int64_t)i * 1000 + (int64_t)prng_below(&prng, 900);
		row->receipt_us = row->capture_us + 20000 + (int64_t)prng_below(&prng, 2000000);
		row->camera = 1 + (uint32_t)prng_below(&prng, 12000);
		row->feed = 1 + row->camera / 300;
		row->epoch = 1;
		row->country = 'G' | 'B' << 8;
		row->confidence = (uint8_t)(60 + prng_below(&prng, 40));
		row->road_lane = (uint8_t)(1 + prng_below(&prng, 3));
		row->direction = 1;
		row->images = 3;
	}
	start = clock_mono_ns();
	CHECK_INT(0, fixture_write(&fixture, fixture.io, FIXTURE_DAY, 3, rows, COUNT, NULL, 0, &summary));
	seconds = (double)(clock_mono_ns() - start) / 1e9;
	printf("%.2f M rows/s, %.1f bytes a row ... ", COUNT / seconds / 1e6, (double)summary.file_size / COUNT);
	CHECK(summary.file_size / COUNT < 20);
	fixture_fini(&fixture);
	free(rows);
}

int main(int argc, char **argv)
{
	static const struct check_test tests[] = {
		{"plausible reads come back bit for bit, collapsed by the plain rule", round_trip_plausible},
		{"wild reads come back bit for bit", round_trip_wild},
		{"the fast order is the store order", order_is_store_order},
		{"hits follow the survivor of equal reads", hits_follow_the_survivor},
		{"any flipped bit is detected", any_flipped_bit_is_detected},
		{"any truncation is detected", any_truncation_is_detected},
		{"a file cannot stand for another", a_file_cannot_stand_for_another},
		{"a stream of rows is a segment", a_stream_of_rows_is_a_segment},
		{"a finish is called off", a_finish_is_called_off},
		{"a build refuses what cannot be", a_build_refuses_what_cannot_be},
		{"sections that disagree are found", sections_that_disagree_are_found},
		{"other formats are refused", other_formats_are_refused},
		{"page decoders survive anything", page_decoders_survive_anything},
		{"a failed write leaves nothing", a_failed_write_leaves_nothing},
		{"a power cut leaves all or nothing", a_power_cut_leaves_all_or_nothing},
		{"bad input is refused", bad_input_is_refused},
		{"names are exact", names_are_exact},
		{"the documented example holds", the_documented_example_holds},
		{"the documented file holds", the_documented_file_holds},
		{"sealing is fast", sealing_is_fast},
		{NULL, NULL},
	};

	return check_main(argc, argv, "segment", tests);
}
