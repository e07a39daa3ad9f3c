/* Segments that rotted, were cut, exchanged or are of another format: all of it is seen. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

#include "appliance/base/bytes.h"
#include "storage/keyring.h"
#include "storage/segment_keys.h"
#include "storage/segment_page.h"
#include "storage/segment_read.h"
#include "tests/check.h"
#include "tests/storage/segment_fixture.h"

/* True when the file as it lies there is refused at open or reported by the check. */
static bool detected(struct fixture *fixture, uint64_t id)
{
	unsigned faults = 0;
	struct segment_check_hooks hooks = {.damage = fixture_count_damage, .context = &faults};
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
	struct hit hit = {.row = 3, .list = 1, .number = hit_number(2, 77)};
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

static void other_formats_are_refused(void)
{
	static const uint32_t formats[] = {0, 1, 2, SEGMENT_FORMAT + 1, UINT32_MAX};
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

/* What the check says of a segment of two rows with these hits. */
static bool hits_are_faulty(struct fixture *fixture, uint64_t id, const struct hit *hits, size_t count)
{
	struct prng prng = {3};
	struct read rows[2] = {fixture_read(&prng, FIXTURE_DAY), fixture_read(&prng, FIXTURE_DAY)};
	struct segment_summary summary;

	CHECK_INT(0, fixture_write(fixture, fixture->io, FIXTURE_DAY, id, rows, 2, hits, count, &summary));
	return detected(fixture, id);
}

/* The file, with other hit fences in its header, sealed as if they were its own. */
static void forge_fences(struct fixture *fixture, const struct segment_summary *summary)
{
	struct key_id id = {.id = summary->id, .day = summary->day, .kind = KEY_SEGMENT};
	uint8_t page[SEGMENT_HEADER_SIZE], end[SEGMENT_END_SIZE], bytes[KEY_SIZE];
	char path[700], name[SEGMENT_NAME_SIZE];
	struct aead_key key;
	int fd;

	CHECK_INT(0, keyring_get(fixture->keyring, id, bytes));
	aead_key_init(&key, bytes);
	segment_header_encode(summary, &key, page);
	segment_end_encode(page, summary->file_size, end);
	aead_key_fini(&key);
	(void)snprintf(path, sizeof(path), "%s/%s", fixture->segments,
		       segment_name(summary->day, summary->id, ".seg", name));
	fd = open(path, O_RDWR);
	CHECK(fd >= 0);
	CHECK_INT(sizeof(page), pwrite(fd, page, sizeof(page), 0));
	CHECK_INT(sizeof(end), pwrite(fd, end, sizeof(end), (off_t)(summary->file_size - sizeof(end))));
	close(fd);
}

static void numbers_of_hits_are_checked(void)
{
	const struct hit well[] = {{.row = 0, .list = 1, .number = hit_number(1, 7)},
				   {.row = 0, .list = 2, .number = hit_number(63, 7)},
				   {.row = 1, .list = 1, .number = hit_number(1, 9)},
				   {.row = 1, .list = 2, .number = hit_number(HIT_SOURCE_LATE, 1)}};
	const struct hit twice[] = {{.row = 0, .list = 1, .number = hit_number(1, 7)},
				    {.row = 1, .list = 1, .number = hit_number(1, 7)}};
	const struct hit none[] = {{.row = 0, .list = 1}};
	struct segment_summary summary;
	struct prng prng = {4};
	struct read row = fixture_read(&prng, FIXTURE_DAY);
	struct fixture fixture;

	fixture_init(&fixture);
	CHECK(!hits_are_faulty(&fixture, 1, well, 4));
	CHECK(hits_are_faulty(&fixture, 2, twice, 2));
	CHECK_INT(-EINVAL, fixture_write(&fixture, fixture.io, FIXTURE_DAY, 3, &row, 1, none, 1, &summary));
	CHECK_INT(0, fixture_write(&fixture, fixture.io, FIXTURE_DAY, 4, &row, 1, well, 1, &summary));
	CHECK(!detected(&fixture, 4));
	summary.hit_fences[0].last++;
	forge_fences(&fixture, &summary);
	CHECK(detected(&fixture, 4));
	summary.hit_fence_count = 0;
	forge_fences(&fixture, &summary);
	CHECK(detected(&fixture, 4));
	fixture_fini(&fixture);
}

static void fences_come_back(void)
{
	struct prng prng = {check_seed()};
	struct segment_summary *summary = calloc(2, sizeof(*summary));
	struct read row = fixture_read(&prng, FIXTURE_DAY);
	uint8_t bytes[SEGMENT_SUMMARY_SIZE_MAX];
	uint64_t low = 0, high = 0;
	struct fixture fixture;
	struct err err = {""};
	size_t size;

	fixture_init(&fixture);
	CHECK(summary != NULL);
	CHECK_INT(0, fixture_write(&fixture, fixture.io, FIXTURE_DAY, 5, &row, 1, NULL, 0, summary));
	CHECK_INT(0, summary->hit_fence_count);
	CHECK(!segment_hit_fences_meet(summary, 0, UINT64_MAX));
	for (unsigned i = 0; i < 2000; i++) {
		unsigned source = (unsigned)prng_below(&prng, SEGMENT_HIT_WORKERS + 1);
		uint64_t number = hit_number(source == SEGMENT_HIT_WORKERS ? HIT_SOURCE_LATE : source,
					     1 + prng_below(&prng, 1000000));

		segment_hit_fence_add(summary, number);
		CHECK(segment_hit_fences_meet(summary, number - 1, number));
		if (source == 5) {
			low = low == 0 || number < low ? number : low;
			high = number > high ? number : high;
		}
	}
	CHECK_INT(SEGMENT_HIT_FENCES_MAX, summary->hit_fence_count);
	CHECK(summary->hit_fences[5].first == low && summary->hit_fences[5].last == high);
	CHECK(!segment_hit_fences_meet(summary, high, hit_number(5, HIT_COUNT_MASK)));
	CHECK(!segment_hit_fences_meet(summary, hit_number(5, 0), low - 1));
	summary->sections[SEGMENT_HITS] = (struct segment_section_info){2000, 8, 1, 64};
	summary->top_size += SEGMENT_FENCE_SIZE;
	summary->file_size += SEGMENT_FENCE_SIZE;
	size = segment_summary_encode(summary, bytes);
	CHECK_INT(0, segment_summary_decode(bytes, size, &err, &summary[1]));
	CHECK_MEM(summary->hit_fences, summary[1].hit_fences, sizeof(summary->hit_fences));
	/* Whatever stands there, it is refused or makes sense (ASan watches). */
	for (unsigned round = 0; round < 5000; round++) {
		uint8_t *exact;
		size_t cut = prng_chance(&prng, 300) ? 8 + prng_below(&prng, size - 7) : size;

		exact = malloc(cut);
		CHECK(exact != NULL);
		memcpy(exact, bytes, cut);
		for (unsigned flips = (unsigned)prng_below(&prng, 4); flips > 0; flips--)
			exact[prng_chance(&prng, 500) ? prng_below(&prng, cut < 200 ? cut : 200)
						      : prng_below(&prng, cut)] ^=
				(uint8_t)(1u << prng_below(&prng, 8));
		le64_put(exact + cut - 8, XXH3_64bits(exact, cut - 8));
		if (segment_summary_decode(exact, cut, &err, &summary[1]) == 0)
			for (uint32_t i = 0; i < summary[1].hit_fence_count; i++)
				CHECK(summary[1].hit_fences[i].first <= summary[1].hit_fences[i].last);
		free(exact);
	}
	free(summary);
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

int main(int argc, char **argv)
{
	static const struct check_test tests[] = {
		{"any flipped bit is detected", any_flipped_bit_is_detected},
		{"any truncation is detected", any_truncation_is_detected},
		{"a file cannot stand for another", a_file_cannot_stand_for_another},
		{"other formats are refused", other_formats_are_refused},
		{"numbers of hits are checked", numbers_of_hits_are_checked},
		{"fences of hits come back, or are refused", fences_come_back},
		{"page decoders survive anything", page_decoders_survive_anything},
		{NULL, NULL},
	};

	return check_main(argc, argv, "segment damage", tests);
}
