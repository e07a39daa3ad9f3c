#include "dpdk/feed/record.h"

#include <string.h>

#include "appliance/base/bytes.h"
#include "appliance/base/prng.h"
#include "dpdk/feed/text.h"
#include "tests/check.h"

static const char *const vrms[] = {"AB12CDE",
				   "A1",
				   "B-MA 1234",
				   "1",
				   "ŁÓDŹ 1",
				   "Ω123",
				   "КА123",
				   "ab 12",
				   "AAAAAAAAAAAAAAAA",
				   "ÄÖÜÄÖÜÄÖ",
				   "\U0001F697"
				   "1",
				   "沪A12345"};

static struct read read_random(struct prng *prng)
{
	struct read read = {
		.capture_us = (int64_t)prng_below(prng, (uint64_t)FEED_TIME_US_MAX + 1),
		.camera = 1 + (uint32_t)prng_below(prng, UINT32_MAX),
		.flags = (uint16_t)prng_below(prng, READ_FLAGS_SENDER + 1),
		.kind = (uint8_t)prng_below(prng, READ_KIND_COUNT),
		.confidence = (uint8_t)prng_below(prng, 102),
		.road_lane = (uint8_t)prng_next(prng),
		.direction = (uint8_t)prng_below(prng, 3),
		.images = (uint8_t)prng_below(prng, 4),
	};

	if (read.confidence == 101)
		read.confidence = READ_CONFIDENCE_UNKNOWN;
	if ((read.flags & READ_FLAG_POSITION) != 0) {
		read.lat_e7 = (int32_t)(prng_below(prng, 1800000001) - 900000000);
		read.lon_e7 = (int32_t)(prng_below(prng, 3600000001) - 1800000000);
	}
	if (prng_chance(prng, 500))
		read.country = (uint16_t)('A' + prng_below(prng, 26) + (('A' + prng_below(prng, 26)) << 8));
	if (read.kind == READ_KIND_VRM) {
		const char *vrm = vrms[prng_below(prng, sizeof(vrms) / sizeof(vrms[0]))];

		memcpy(read.text, vrm, strnlen(vrm, sizeof(read.text)));
	}
	return read;
}

static void records_survive_the_round_trip(void)
{
	struct prng prng = {check_seed()};
	uint8_t records[FEED_RECORDS_MAX * FEED_RECORD_SIZE];
	uint8_t again[FEED_RECORD_SIZE];
	struct read sent[FEED_RECORDS_MAX];
	struct read got[FEED_RECORDS_MAX];

	for (unsigned round = 0; round < 5000; round++) {
		size_t count = 1 + prng_below(&prng, FEED_RECORDS_MAX);

		for (size_t i = 0; i < count; i++) {
			sent[i] = read_random(&prng);
			feed_record_encode(&sent[i], records + i * FEED_RECORD_SIZE);
		}
		memset(got, 0xa5, sizeof(got));
		CHECK_INT(0, feed_records_decode(records, count, got));
		CHECK_MEM(sent, got, count * sizeof(sent[0]));
		for (size_t i = 0; i < count; i++) {
			feed_record_encode(&got[i], again);
			CHECK_MEM(records + i * FEED_RECORD_SIZE, again, sizeof(again));
		}
	}
}

/* The format is canonical: whatever bytes are accepted are the bytes that the decoded read encodes to. */
static void accepted_bytes_are_the_only_ones_for_their_read(void)
{
	struct prng prng = {check_seed() + 1};
	unsigned accepted = 0;

	for (unsigned round = 0; round < 200000; round++) {
		uint8_t record[FEED_RECORD_SIZE];
		uint8_t again[FEED_RECORD_SIZE];
		struct read read = read_random(&prng);
		struct read got;

		feed_record_encode(&read, record);
		for (unsigned flips = 1 + (unsigned)prng_below(&prng, 3); flips > 0; flips--)
			record[prng_below(&prng, sizeof(record))] ^= (uint8_t)(1u << prng_below(&prng, 8));
		if (feed_records_decode(record, 1, &got) != 0) {
			static const struct read zero;

			CHECK_MEM(&zero, &got, sizeof(got));
			continue;
		}
		accepted++;
		feed_record_encode(&got, again);
		CHECK_MEM(record, again, sizeof(record));
	}
	CHECK(accepted > 1000);
}

struct flaw {
	const char *what;
	size_t at;
	size_t size;
	uint64_t value;
	bool malformed;
};

/* Against one good record with a VRM, no position, no country. */
static const struct flaw flaws[] = {
	{"capture before 1970", 0, 8, UINT64_MAX, true},
	{"capture at 1970", 0, 8, 0, false},
	{"last capture of year 9999", 0, 8, FEED_TIME_US_MAX, false},
	{"capture in year 10000", 0, 8, FEED_TIME_US_MAX + 1, true},
	{"camera 0", 8, 4, 0, true},
	{"latitude without its flag", 12, 4, 1, true},
	{"longitude without its flag", 16, 4, 1, true},
	{"no text", 20, 8, 0, true},
	{"only signs", 20, 8, 0x2d2d2d, true},
	{"a control character", 20, 8, 0x410941, true},
	{"a delete character", 20, 8, 0x417f41, true},
	{"text after the padding", 20, 8, 0x41004141, true},
	{"text only in the second half", 28, 8, 0x41, true},
	{"a lone continuation byte", 20, 8, 0x418041, true},
	{"an overlong slash", 20, 8, 0x41afc0, true},
	{"a surrogate", 20, 8, 0x4180a0ed, true},
	{"beyond Unicode", 20, 8, 0x41808090f4, true},
	{"a C1 control character", 20, 8, 0x4185c2, true},
	{"a multiplication sign alone", 20, 8, 0x97c3, true},
	{"a dash of U+2013 alone", 20, 8, 0x9380e2, true},
	{"a letter in Latin-1", 20, 8, 0x84c3, false},
	{"confidence 100", 36, 1, 100, false},
	{"confidence 101", 36, 1, 101, true},
	{"confidence 254", 36, 1, 254, true},
	{"confidence unknown", 36, 1, 255, false},
	{"lane of the road 255", 37, 1, 255, false},
	{"direction 2", 38, 1, 2, false},
	{"direction 3", 38, 1, 3, true},
	{"not read, with a text", 39, 1, 1, true},
	{"kind 2", 39, 1, 2, true},
	{"flag of the appliance", 40, 2, 1 << 8, true},
	{"reserved flag", 40, 2, 1 << 3, true},
	{"test flag", 40, 2, 2, false},
	{"country GB", 42, 2, 'G' | 'B' << 8, false},
	{"country in lower case", 42, 2, 'g' | 'b' << 8, true},
	{"country of one letter", 42, 2, 'G', true},
	{"country ZZ", 42, 2, 'Z' | 'Z' << 8, false},
	{"country behind Z first", 42, 2, '[' | 'A' << 8, true},
	{"country behind Z second", 42, 2, 'A' | '[' << 8, true},
	{"country before A", 42, 2, 'A' | '@' << 8, true},
	{"image bits", 44, 1, 3, false},
	{"reserved image bit", 44, 1, 4, true},
	{"reserved byte 45", 45, 1, 1, true},
	{"reserved byte 46", 46, 1, 1, true},
	{"reserved byte 47", 47, 1, 1, true},
};

static void record_good(uint8_t record[FEED_RECORD_SIZE])
{
	struct read read = {.capture_us = 1, .camera = 1, .text = "AB12"};

	feed_record_encode(&read, record);
}

static void each_flaw_is_found(void)
{
	for (size_t i = 0; i < sizeof(flaws) / sizeof(flaws[0]); i++) {
		uint8_t record[FEED_RECORD_SIZE];
		struct read read;

		record_good(record);
		for (size_t j = 0; j < flaws[i].size; j++)
			record[flaws[i].at + j] = (uint8_t)(flaws[i].value >> (8 * j));
		if (feed_records_decode(record, 1, &read) != flaws[i].malformed)
			check_note("flaw: %s", flaws[i].what);
		CHECK_INT(flaws[i].malformed, feed_records_decode(record, 1, &read));
	}
}

static void positions_are_bounded(void)
{
	static const struct {
		int32_t lat;
		int32_t lon;
		bool malformed;
	} rows[] = {{900000000, 1800000000, false},
		    {-900000000, -1800000000, false},
		    {0, 0, false},
		    {900000001, 0, true},
		    {-900000001, 0, true},
		    {0, 1800000001, true},
		    {0, -1800000001, true},
		    {INT32_MIN, 0, true},
		    {0, INT32_MAX, true}};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct read read = {.camera = 1, .text = "A", .flags = READ_FLAG_POSITION};
		uint8_t record[FEED_RECORD_SIZE];

		read.lat_e7 = rows[i].lat;
		read.lon_e7 = rows[i].lon;
		feed_record_encode(&read, record);
		CHECK_INT(rows[i].malformed, feed_records_decode(record, 1, &read));
	}
}

static void only_the_malformed_record_is_refused(void)
{
	struct prng prng = {check_seed() + 2};

	for (unsigned round = 0; round < 500; round++) {
		uint8_t records[FEED_RECORDS_MAX * FEED_RECORD_SIZE];
		struct read reads[FEED_RECORDS_MAX];
		uint32_t expected = (uint32_t)prng_next(&prng) & ((1u << FEED_RECORDS_MAX) - 1);

		for (unsigned i = 0; i < FEED_RECORDS_MAX; i++) {
			record_good(records + i * FEED_RECORD_SIZE);
			records[i * FEED_RECORD_SIZE + 37] = (uint8_t)i;
			if ((expected >> i & 1) != 0)
				records[i * FEED_RECORD_SIZE + 39] = 7;
		}
		CHECK_INT(expected, feed_records_decode(records, FEED_RECORDS_MAX, reads));
		for (unsigned i = 0; i < FEED_RECORDS_MAX; i++)
			CHECK_INT((expected >> i & 1) != 0 ? 0 : i, reads[i].road_lane);
	}
}

/*
 * The reference: the table of well-formed byte sequences (Unicode, table 3-7) written out, byte by byte, and the rules
 * of text.h in their own words.
 */
static size_t reference_length(const uint8_t *t, size_t size)
{
#define IN(i, low, high) (t[i] >= (low) && t[i] <= (high))
	if (IN(0, 0x20, 0x7e))
		return 1;
	if (size >= 2 && t[0] == 0xc2 && IN(1, 0xa0, 0xbf)) /* from A0: C1 controls are refused */
		return 2;
	if (size >= 2 && IN(0, 0xc3, 0xdf) && IN(1, 0x80, 0xbf))
		return 2;
	if (size >= 3 && IN(2, 0x80, 0xbf) &&
	    ((t[0] == 0xe0 && IN(1, 0xa0, 0xbf)) || (IN(0, 0xe1, 0xec) && IN(1, 0x80, 0xbf)) ||
	     (t[0] == 0xed && IN(1, 0x80, 0x9f)) || (IN(0, 0xee, 0xef) && IN(1, 0x80, 0xbf))))
		return 3;
	if (size >= 4 && IN(2, 0x80, 0xbf) && IN(3, 0x80, 0xbf) &&
	    ((t[0] == 0xf0 && IN(1, 0x90, 0xbf)) || (IN(0, 0xf1, 0xf3) && IN(1, 0x80, 0xbf)) ||
	     (t[0] == 0xf4 && IN(1, 0x80, 0x8f))))
		return 4;
	return 0;
#undef IN
}

static bool reference_valid(const uint8_t *text, size_t size)
{
	size_t at = 0;

	while (at < size && text[at] != 0) {
		size_t length = reference_length(text + at, size - at);

		if (length == 0)
			return false;
		at += length;
	}
	while (at < size)
		if (text[at++] != 0)
			return false;
	return true;
}

static void texts_agree_with_the_reference(void)
{
	struct prng prng = {check_seed() + 3};
	static const uint8_t bytes[] = {0,    0,    'A',  '7',  ' ',  0x1f, 0x7f, 0x80, 0x8f, 0x90, 0x9f, 0xa0,
					0xbf, 0xc0, 0xc2, 0xc3, 0xdf, 0xe0, 0xed, 0xef, 0xf0, 0xf4, 0xf5};
	unsigned valid = 0;

	for (unsigned round = 0; round < 400000; round++) {
		uint8_t text[16] = {0};
		size_t length = prng_below(&prng, 17);

		for (size_t i = 0; i < length; i++)
			text[i] = bytes[prng_below(&prng, sizeof(bytes))];
		CHECK_INT(reference_valid(text, 16), feed_text_valid(text, 16));
		CHECK(!feed_text_vrm(text) || feed_text_valid(text, 16));
		valid += feed_text_valid(text, 16);
	}
	CHECK(valid > 1000);
}

static void every_single_byte_is_judged(void)
{
	for (unsigned c = 0; c < 256; c++) {
		uint8_t text[16] = {(uint8_t)c};
		bool alnum = (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');

		CHECK_INT(c == 0 || (c >= 0x20 && c < 0x7f), feed_text_valid(text, sizeof(text)));
		CHECK_INT(alnum, feed_text_vrm(text));
	}
}

int main(int argc, char **argv)
{
	static const struct check_test tests[] = {
		{"records survive the round trip", records_survive_the_round_trip},
		{"accepted bytes are the only ones for their read", accepted_bytes_are_the_only_ones_for_their_read},
		{"each flaw is found", each_flaw_is_found},
		{"positions are bounded", positions_are_bounded},
		{"only the malformed record is refused", only_the_malformed_record_is_refused},
		{"texts agree with the reference", texts_agree_with_the_reference},
		{"every single byte is judged", every_single_byte_is_judged},
		{NULL, NULL},
	};

	return check_main(argc, argv, "feed/records", tests);
}
