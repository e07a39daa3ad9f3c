/* The records of the register as bytes: nothing is lost in them, and nothing that is not theirs is taken. */
#include "storage/register_records.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "appliance/base/prng.h"
#include "storage/register.h"
#include "tests/check.h"

/* Random records survive their encoding; any cut or extension of it is refused. */
static void test_records(void)
{
	struct prng prng = {check_seed()};

	for (int round = 0; round < 200; round++) {
		struct reg_camera camera = {.camera = (uint32_t)prng_next(&prng),
					    .lat_e7 = (int32_t)prng_next(&prng),
					    .lon_e7 = (int32_t)prng_next(&prng),
					    .type = (uint8_t)prng_below(&prng, REG_CAMERA_TYPE_COUNT),
					    .restricted = prng_chance(&prng, 500),
					    .suspended = prng_chance(&prng, 500),
					    .suspended_us = (int64_t)prng_next(&prng),
					    .created_us = (int64_t)prng_next(&prng)};
		uint8_t buffer[REG_RECORD_SIZE_MAX + 1];
		struct reg_camera back;
		size_t size;

		memset(camera.name, 'n', prng_below(&prng, sizeof(camera.name)));
		memset(camera.road, 'r', prng_below(&prng, sizeof(camera.road)));
		memset(camera.suspended_reason, 's', prng_below(&prng, sizeof(camera.suspended_reason)));
		size = reg_camera_encode(&camera, buffer);
		memset(&back, 0, sizeof(back));
		CHECK_INT(0, reg_camera_decode(buffer, size, &back));
		CHECK_STR(camera.name, back.name);
		CHECK_STR(camera.road, back.road);
		CHECK_STR(camera.suspended_reason, back.suspended_reason);
		CHECK_INT(camera.camera, back.camera);
		CHECK_INT(camera.lat_e7, back.lat_e7);
		CHECK_INT(camera.lon_e7, back.lon_e7);
		CHECK_INT(camera.suspended_us, back.suspended_us);
		CHECK_INT(camera.restricted, back.restricted);
		for (size_t cut = 0; cut < size; cut++)
			CHECK_INT(-EBADMSG, reg_camera_decode(buffer, cut, &back));
		buffer[size] = 0;
		CHECK_INT(-EBADMSG, reg_camera_decode(buffer, size + 1, &back));
	}
}

static void test_marks_records(void)
{
	struct prng prng = {check_seed()};

	for (int round = 0; round < 300; round++) {
		struct reg_mark mark = {.day = (int32_t)prng_below(&prng, 70000),
					.number = (uint32_t)prng_next(&prng),
					.kind = (uint8_t)(1 + prng_below(&prng, MARK_KIND_END - 1)),
					.pending = prng_chance(&prng, 500),
					.made_us = (int64_t)prng_next(&prng),
					.tag = (uint32_t)prng_next(&prng),
					.key = prng_next(&prng)};
		uint8_t buffer[REG_RECORD_SIZE_MAX + 1];
		uint8_t again[REG_RECORD_SIZE_MAX];
		struct reg_mark back;
		size_t size;

		memset(mark.hash, round, sizeof(mark.hash));
		memset(mark.public_id, round + 1, sizeof(mark.public_id));
		if (mark.pending)
			mark.sealed_size = (uint16_t)prng_below(&prng, sizeof(mark.sealed) + 1);
		memset(mark.sealed, round + 2, mark.sealed_size);
		size = reg_mark_encode(&mark, buffer);
		CHECK(size <= REG_RECORD_SIZE_MAX);
		CHECK_INT(0, reg_mark_decode(buffer, size, &back));
		CHECK_INT(size, reg_mark_encode(&back, again));
		CHECK_MEM(buffer, again, size);
		for (size_t cut = 0; cut < size; cut += 7)
			CHECK_INT(-EBADMSG, reg_mark_decode(buffer, cut, &back));
		buffer[size] = 0;
		CHECK_INT(-EBADMSG, reg_mark_decode(buffer, size + 1, &back));
		for (unsigned i = 0; i < 3; i++)
			buffer[prng_below(&prng, size)] = (uint8_t)prng_next(&prng);
		if (reg_mark_decode(buffer, size, &back) == 0)
			CHECK_INT(size, reg_mark_encode(&back, buffer));
	}
}

/* A list as it was written before revisions could be unsure: the same bytes without that one. */
static void test_list_of_before(void)
{
	const struct reg_list list = {.list = 9,
				      .now = {.version = 3, .revised_us = 5, .blob_size = 77},
				      .name = "list",
				      .purpose = "purpose"};
	const size_t flag = 1 + 4 + 4 + 4 + 4 + 8 + 8 + 8 + sizeof(list.now.hash) + sizeof(list.now.blob) + 8;
	uint8_t buffer[REG_RECORD_SIZE_MAX];
	size_t size = reg_list_encode(&list, buffer);
	struct reg_list back;

	CHECK_INT(0, reg_list_decode(buffer, size, &back));
	CHECK(!back.now.revised_unsure);
	buffer[flag] = 1;
	CHECK_INT(0, reg_list_decode(buffer, size, &back));
	CHECK(back.now.revised_unsure);
	buffer[flag] = 2;
	CHECK_INT(-EBADMSG, reg_list_decode(buffer, size, &back));
	memmove(buffer + flag, buffer + flag + 1, size - flag - 1);
	buffer[0] = 2;
	CHECK_INT(0, reg_list_decode(buffer, size - 1, &back));
	CHECK(back.now.blob_size == 77 && !back.now.revised_unsure && strcmp(back.purpose, "purpose") == 0);
	CHECK_INT(-EBADMSG, reg_list_decode(buffer, size, &back));
}

/* Mutated records are refused or decode to something that encodes again: never a crash. */
static void test_records_mutated(void)
{
	struct prng prng = {check_seed()};
	struct reg_feed feed = {.feed = 7, .name = "Force", .organisation = "Org"};
	struct reg_list list = {.list = 9,
				.has_previous = true,
				.now.version = 3,
				.previous.version = 2,
				.name = "list",
				.purpose = "purpose"};

	for (int round = 0; round < 20000; round++) {
		uint8_t buffer[REG_RECORD_SIZE_MAX];
		bool is_feed = prng_chance(&prng, 500);
		size_t size = is_feed ? reg_feed_encode(&feed, buffer) : reg_list_encode(&list, buffer);
		struct reg_feed feed_back;
		struct reg_list list_back;

		for (unsigned i = 0; i <= prng_below(&prng, 3); i++)
			buffer[prng_below(&prng, size)] = (uint8_t)prng_next(&prng);
		if (is_feed && reg_feed_decode(buffer, size, &feed_back) == 0)
			CHECK_INT(size, reg_feed_encode(&feed_back, buffer));
		/* An encoding of before is taken too, and comes out as today's. */
		if (!is_feed && buffer[0] == 3 && reg_list_decode(buffer, size, &list_back) == 0)
			CHECK_INT(size, reg_list_encode(&list_back, buffer));
	}
}

int main(int argc, char **argv)
{
	static const struct check_test tests[] = {
		{"records keep every field", test_records},
		{"records of marks", test_marks_records},
		{"a list of before", test_list_of_before},
		{"mutated records do no harm", test_records_mutated},
		{NULL, NULL},
	};

	return check_main(argc, argv, "register records", tests);
}
