/* Rows and hits that come back as they were put in, the documented bytes, and how fast it goes. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "appliance/base/bytes.h"
#include "appliance/base/clock.h"
#include "storage/row.h"
#include "storage/segment_build.h"
#include "storage/segment_page.h"
#include "storage/segment_read.h"
#include "tests/check.h"
#include "tests/storage/segment_fixture.h"

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
	CHECK_INT(kept, fixture_read_all(segment, back));
	CHECK_MEM(rows, back, kept * sizeof(*rows));
	CHECK_MEM(segment_summary(segment)->top, summary.top, summary.top_size);
	CHECK_INT(summary.file_size, segment_summary(segment)->file_size);
	segment_free(segment);
	CHECK_INT(0, segment_open_summary(fixture.io, fixture.keyring, fixture.segments, &summary, &err, &segment));
	CHECK_INT(kept, fixture_read_all(segment, back));
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

	for (unsigned i = 0; i < sizeof(hits) / sizeof(hits[0]); i++)
		hits[i].number = hit_number(1, i + 1);
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
	CHECK_INT(0, hex_decode("493f86846b6d05ac850583cb88abb6b0", expected, 16));
	CHECK_MEM(expected, page + sizeof(plain), 16);
	aead_key_fini(&key);
	free(page);
}

/* The same example's header page, top page, and end mark. */
static void the_documented_file_holds(void)
{
	static const char header_hex[] =
		"47414e5452534547030000000010000008070605040302012b5100000100010001000000980000"
		"000200000000000000000000000000000000208d28d2600600406bd928d2600600ad1200000000"
		"0000d5110000000000000807060504030201010000000100000001000000400000000200000000"
		"000000020000000100000001000000400000000200000000000000030000000100000001000000"
		"4000000002000000000000000400000001000000010000004000000001000000000000000100000000000000";
	static const char fence_hex[] = "90f09028d260060190f09028d2600601";
	static const char tag_hex[] = "434b2a6b58418f89fc856a18066ea8430f0ad8f9c4f88cd9";
	static const char top_hex[] = "040000000000000041423132434445000000000000000000f51000000000000038000000000000"
				      "00414231324344450000000000000000002d110000000000003800000000000000000012670000"
				      "000000000000000000006511000000000000380000000000000000000000000000000000000000"
				      "0000009d110000000000003800000000000000";
	static const char end_hex[] = "47414e5452454e440807060504030201ad1200000000000005be83606efafe7600000000000000"
				      "00000000000000000000000000000000000a34e2173d3fc721";
	static const char scene_hex[] = "020000000000000000e04c0200000000000000014000000000";
	const struct segment_origin origin = {.id = 0x0102030405060708,
					      .day = 20779,
					      .key_version = 1,
					      .lineage_kind = SEGMENT_FROM_JOURNALS,
					      .lineage = (const uint64_t[]){0x1122334455667788},
					      .lineage_count = 1};
	const struct segment_scene scenes[] = {{4711, 0, 0}, {4712, 0, 0}};
	uint8_t key_bytes[32], expected[256], file[8192], page[SEGMENT_PAGE_ROOM / 8];
	const struct hit hit = {
		.row = 0, .list = 1, .version = 1, .entry = 1, .number = hit_number(1, 1795305600250000)};
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
	CHECK_INT(0, hex_decode(header_hex, expected, 0xc8));
	CHECK_MEM(expected, file, 0xc8);
	CHECK_INT(0, hex_decode(fence_hex, expected, 0x10));
	CHECK_MEM(expected, file + 0x100, 0x10);
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
		{"names are exact", names_are_exact},
		{"the documented example holds", the_documented_example_holds},
		{"the documented file holds", the_documented_file_holds},
		{"sealing is fast", sealing_is_fast},
		{NULL, NULL},
	};

	return check_main(argc, argv, "segment", tests);
}
