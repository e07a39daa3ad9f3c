#include "tests/storage/segment_fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "appliance/base/bytes.h"
#include "storage/segment_write.h"
#include "tests/check.h"

#define MUST(call)                                                                                                     \
	do {                                                                                                           \
		int must_ = (call);                                                                                    \
		if (must_ != 0) {                                                                                      \
			(void)fprintf(stderr, "%s:%d: %s: %d\n", __FILE__, __LINE__, #call, must_);                    \
			abort();                                                                                       \
		}                                                                                                      \
	} while (0)

void fixture_init(struct fixture *fixture)
{
	char master[600], a[600], b[600];
	struct keyring_options options = {master, a, b, true};
	struct key_change identity = {.id = {.id = 0, .day = KEY_DAY_NONE, .kind = KEY_IDENTITY}};
	struct err err = {""};

	(void)snprintf(fixture->directory, sizeof(fixture->directory), "%s", check_directory());
	(void)snprintf(fixture->segments, sizeof(fixture->segments), "%s/segments", fixture->directory);
	(void)snprintf(master, sizeof(master), "%s/master.key", fixture->directory);
	(void)snprintf(a, sizeof(a), "%s/keyring.a", fixture->directory);
	(void)snprintf(b, sizeof(b), "%s/keyring.b", fixture->directory);
	MUST(mkdir(fixture->segments, 0700));
	MUST(io_real_new(&fixture->io));
	MUST(keyring_open(&options, fixture->io, &err, &fixture->keyring));
	MUST(keyring_change(fixture->keyring, &identity, 1));
}

void fixture_fini(struct fixture *fixture)
{
	keyring_free(fixture->keyring);
	io_real_free(fixture->io);
}

int fixture_write(struct fixture *fixture, struct io *io, int32_t day, uint64_t id, const struct read *rows,
		  size_t row_count, const struct hit *hits, size_t hit_count, struct segment_summary *ret_summary)
{
	struct key_change change = {.id = {.id = id, .day = day, .kind = KEY_SEGMENT}};
	uint8_t key[KEY_SIZE];
	const struct read **pointers = malloc((row_count + 1) * sizeof(const struct read *));
	uint64_t lineage[1] = {id ^ 1};
	struct segment_input input = {.id = id,
				      .day = day,
				      .key_version = 1,
				      .lineage_kind = SEGMENT_FROM_JOURNALS,
				      .lineage = lineage,
				      .lineage_count = 1,
				      .rows = pointers,
				      .row_count = row_count,
				      .hits = hits,
				      .hit_count = hit_count};
	struct err err = {""};
	int r;

	for (size_t i = 0; i < row_count; i++)
		pointers[i] = &rows[i];
	if (keyring_get(fixture->keyring, change.id, key) != 0)
		MUST(keyring_change(fixture->keyring, &change, 1));
	r = segment_write(io, fixture->keyring, fixture->segments, &input, &err, ret_summary);
	free(pointers);
	return r;
}

static void random_bytes_of(struct prng *prng, void *bytes, size_t size)
{
	uint8_t *at = bytes;

	for (size_t i = 0; i < size; i++)
		at[i] = (uint8_t)prng_next(prng);
}

struct read fixture_wild_read(struct prng *prng, int32_t day)
{
	struct read read;

	random_bytes_of(prng, &read, sizeof(read));
	memset(read.key + prng_below(prng, 17) % 16, 0, 1);
	if (prng_chance(prng, 500))
		memset(read.key + 1 + prng_below(prng, 15), 0, 1);
	if (prng_chance(prng, 300))
		memset(read.key + 7, 0, 9);
	if (prng_chance(prng, 300))
		memcpy(read.text, read.key, 16);
	if (prng_chance(prng, 200))
		read.text[3] ^= 1;
	if (prng_chance(prng, 300))
		memset(read.text + prng_below(prng, 16), 0, 1);
	read.capture_us = (int64_t)day * DAY_US + (int64_t)prng_below(prng, DAY_US);
	return read;
}

struct read fixture_read(struct prng *prng, int32_t day)
{
	static const char letters[] = "ABIO";
	struct read read;
	unsigned size = 2 + (unsigned)prng_below(prng, prng_chance(prng, 100) ? 14 : 4);

	memset(&read, 0, sizeof(read));
	for (unsigned i = 0; i < size; i++)
		read.key[i] = (uint8_t)letters[prng_below(prng, 2 + (i < 2) * 2)];
	memcpy(read.text, read.key, 16);
	for (unsigned i = 0; i < size; i++)
		if (read.text[i] == 'I' && prng_chance(prng, 500))
			read.text[i] = '1';
	if (prng_chance(prng, 50)) {
		read.kind = READ_KIND_NOT_READ;
		memset(read.key, 0, 16);
		memset(read.text, 0, 16);
	}
	read.capture_us = (int64_t)day * DAY_US + (int64_t)prng_below(prng, 40) * 2160000000 +
			  (int64_t)prng_below(prng, 3) * 400000;
	read.receipt_us = read.capture_us + (int64_t)prng_below(prng, 5000000);
	read.camera = 1 + (uint32_t)prng_below(prng, 6) * (prng_chance(prng, 10) ? 100000007 : 1);
	read.road_lane = (uint8_t)prng_below(prng, 2);
	read.confidence = prng_chance(prng, 900) ? 90 : 40;
	read.feed = 1 + (uint32_t)prng_below(prng, 3);
	read.epoch = 7 + (uint32_t)prng_below(prng, 2);
	read.country = prng_chance(prng, 800) ? 'G' | 'B' << 8 : 0;
	if (prng_chance(prng, 100)) {
		read.flags |= READ_FLAG_POSITION;
		read.lat_e7 = 515000000;
		read.lon_e7 = -1270000;
	}
	if (prng_chance(prng, 300))
		read.flags |= READ_FLAG_BACKLOG;
	return read;
}

#define ORDER(a, b)                                                                                                    \
	if ((a) != (b))                                                                                                \
	return (a) < (b) ? -1 : 1

static int compare_for_sender(const struct read *a, const struct read *b)
{
	int order = memcmp(a->key, b->key, 16);

	if (order != 0)
		return order;
	ORDER(a->capture_us, b->capture_us);
	ORDER(a->camera, b->camera);
	ORDER(a->road_lane, b->road_lane);
	order = memcmp(a->text, b->text, 16);
	if (order != 0)
		return order;
	ORDER(a->lat_e7, b->lat_e7);
	ORDER(a->lon_e7, b->lon_e7);
	ORDER(a->country, b->country);
	ORDER(a->flags & 7, b->flags & 7);
	ORDER(a->kind, b->kind);
	ORDER(a->confidence, b->confidence);
	ORDER(a->direction, b->direction);
	ORDER(a->images, b->images);
	return 0;
}

int fixture_compare(const struct read *a, const struct read *b)
{
	int order = compare_for_sender(a, b);

	if (order != 0)
		return order;
	ORDER(a->feed, b->feed);
	ORDER(a->epoch, b->epoch);
	ORDER(a->receipt_us, b->receipt_us);
	ORDER(a->flags, b->flags);
	return memcmp(a->zero, b->zero, 3);
}

static int compare_pointers(const void *a, const void *b)
{
	return fixture_compare(a, b);
}

size_t fixture_collapse(struct read *rows, size_t count)
{
	size_t kept = 0;

	qsort(rows, count, sizeof(*rows), compare_pointers);
	for (size_t i = 0; i < count;) {
		size_t end = i;

		while (end < count && compare_for_sender(&rows[i], &rows[end]) == 0)
			end++;
		for (size_t j = i; j < end; j++)
			if (rows[j].kind != READ_KIND_VRM ||
			    (rows[j].feed == rows[i].feed && rows[j].epoch == rows[i].epoch))
				rows[kept++] = rows[j];
		i = end;
	}
	return kept;
}

size_t fixture_read_all(const struct segment *segment, struct read *ret_rows)
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

void fixture_count_damage(void *context, const char *text, uint64_t rows_lost)
{
	(void)text;
	(void)rows_lost;
	++*(unsigned *)context;
}
