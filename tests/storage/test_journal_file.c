/* Names, encoding and the scan of journal files made by hand: every truncation, flipped bits, holes, garbage. */
#include "storage/journal_file.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "appliance/base/aead.h"
#include "appliance/base/bytes.h"
#include "appliance/base/prng.h"
#include "storage/io.h"
#include "tests/check.h"
#include "tests/storage/sim_io.h"

#define FRAMES 9
#define FILE_ID UINT64_C(0x1122334455667788)
#define PATH "/j/w03-0000000042.open"

static uint8_t file_key[AEAD_KEY_SIZE] = {5, 6, 7};

struct built {
	uint8_t *bytes;
	size_t size;
	size_t offsets[FRAMES + 3]; /* of frames 1 … FRAMES, of END, of the end */
};

static int key_give(void *context, uint64_t file_id, uint8_t ret_key[32])
{
	if (context != NULL || file_id != FILE_ID)
		return -ENOENT;
	memcpy(ret_key, file_key, sizeof(file_key));
	return 0;
}

static size_t body_make(uint64_t frame, struct journal_frame_header *header, uint8_t *body)
{
	size_t size = 0;

	for (unsigned i = 0; i < 1 + frame * 7 % 5; i++) {
		struct run run = {
			.first = 1 + frame * 1000 + i * 32, .feed = 4, .epoch = 5, .count = (uint16_t)(1 + frame % 32)};
		struct read reads[LANE_RUN_MAX];

		run.refusal = i == 2 ? REFUSAL_FUTURE : REFUSAL_NONE;
		memset(reads, 0, sizeof(reads));
		for (unsigned j = 0; j < run.count; j++) {
			reads[j].camera = (uint32_t)(run.first + j);
			reads[j].receipt_us = (int64_t)frame;
		}
		size += journal_run_encode(&run, run.first - 1, reads, body + size);
		header->run_count++;
		header->row_count += run.refusal ? 0 : run.count;
	}
	for (uint32_t i = 0; i < frame % 3; i++) {
		struct hit hit = {.row = i % header->row_count, .list = (uint32_t)frame};

		memcpy(body + size, &hit, sizeof(hit));
		size += sizeof(hit);
		header->hit_count++;
	}
	header->body_size = (uint32_t)size;
	return size;
}

/* Frames 1 … FRAMES, each saying that the one two before it was durable; then END, then some prepared space. */
static struct built file_make(bool end)
{
	struct journal_file_header header = {.file_id = FILE_ID, .sequence = 42, .worker = 3};
	struct built built = {.bytes = calloc(1, 64 * IO_ALIGN)};
	uint8_t body[16384];
	uint8_t chain[JOURNAL_CHAIN_SIZE];
	struct aead_key key;

	CHECK(built.bytes != NULL);
	aead_key_init(&key, file_key);
	journal_file_header_encode(&header, &key, built.bytes, chain);
	built.size = JOURNAL_HEADER_SIZE;
	for (uint64_t frame = 1; frame <= FRAMES + 1; frame++) {
		struct journal_frame_header frame_header = {.file_id = FILE_ID, .frame = frame};

		built.offsets[frame] = built.size;
		if (frame > FRAMES && !end)
			break;
		memcpy(frame_header.chain, chain, sizeof(chain));
		frame_header.durable = frame > FRAMES ? FRAMES : frame > 2 ? frame - 2 : 0;
		frame_header.end = frame > FRAMES;
		if (!frame_header.end)
			(void)body_make(frame, &frame_header, body);
		journal_frame_encode(&frame_header, &key, body, built.bytes + built.size, chain);
		built.size += journal_frame_size(frame_header.body_size);
	}
	built.offsets[FRAMES + 2] = built.size;
	built.size += 3 * IO_ALIGN;
	aead_key_fini(&key);
	return built;
}

struct seen {
	bool frames[FRAMES + 2];
	unsigned count;
	struct journal_scan_result result;
};

static void frame_see(struct seen *seen, struct journal_frame *frame)
{
	struct journal_run run;
	uint64_t number = frame->header.frame;
	uint32_t rows = 0;

	CHECK(number >= 1 && number <= FRAMES);
	CHECK(!seen->frames[number]);
	seen->frames[number] = true;
	seen->count++;
	CHECK_INT(number % 3, frame->header.hit_count);
	while (journal_frame_next(frame, &run)) {
		CHECK_INT(rows, run.first_row);
		CHECK_INT(run.run.first - 1, run.watermark);
		for (unsigned i = 0; i < run.run.count && run.run.refusal == REFUSAL_NONE; i++, rows++) {
			CHECK_INT(run.run.first + i, run.reads[i].camera);
			CHECK_INT(number, run.reads[i].receipt_us);
			CHECK_INT(4, run.reads[i].feed);
		}
	}
	CHECK_INT(frame->header.row_count, rows);
}

/* The outcome of journal_scan_new. */
static int scan(const uint8_t *bytes, size_t size, bool keyless, struct seen *ret_seen)
{
	struct io *io = sim_new(1);
	struct journal_scan_options options = {.path = PATH, .key = key_give, .context = keyless ? io : NULL};
	struct journal_scan *journal;
	struct journal_frame frame;
	uint64_t id = 0;
	int r;

	memset(ret_seen, 0, sizeof(*ret_seen));
	CHECK_INT(0, io->ops->mkdir(io, "/j"));
	CHECK_INT(0, sim_put(io, PATH, bytes, size));
	r = journal_scan_new(&options, io, NULL, &journal, &id);
	CHECK(r >= 0);
	if (r == 0) {
		CHECK_INT(FILE_ID, id);
		while ((r = journal_scan_next(journal, NULL, &frame)) == 1)
			frame_see(ret_seen, &frame);
		CHECK_INT(0, r);
		CHECK_INT(0, journal_scan_next(journal, NULL, &frame));
		ret_seen->result = *journal_scan_result(journal);
		CHECK_INT(ret_seen->count, ret_seen->result.frames);
		journal_scan_free(journal);
	}
	sim_free(io);
	return r;
}

static void test_names(void)
{
	static const char *const wrong[] = {"w3-0000000042.open",     "w03-42.open",
					    "w03-0000000042.opened",  "w03-0000000042.",
					    "w03-0000000042",         "x03-0000000042.open",
					    "w03-0000000042.open ",   "w-1-0000000042.open",
					    "w03--000000042.open",    "",
					    "w03-0000000042.open.tmp"};
	struct journal_file_name name;
	char path[JOURNAL_PATH_MAX];

	for (enum journal_file_state state = JOURNAL_FILE_OPEN; state <= JOURNAL_FILE_FAILED; state++) {
		struct journal_file_name made = {.worker = 7, .sequence = 1234567, .state = state};

		CHECK_INT(0, journal_file_path("/j", &made, path));
		CHECK(journal_file_name_parse(path + 3, &name));
		CHECK_INT(7, name.worker);
		CHECK_INT(1234567, name.sequence);
		CHECK_INT(state, name.state);
	}
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		CHECK(!journal_file_name_parse(wrong[i], &name));
}

static void test_destroy(void)
{
	static const char *const states[] = {"open", "closed", "failed"};
	struct journal_file_name name = {.worker = 3, .sequence = 42};
	static const uint8_t bytes[8192] = {0xab, 0xcd, 0xef, 0x01, 0x23};

	for (unsigned i = 0; i < 3; i++) {
		struct io *io = sim_new(check_seed());
		struct io_file *file;
		char path[JOURNAL_PATH_MAX];

		snprintf(path, sizeof(path), "/j/w03-0000000042.%s", states[i]);
		CHECK_INT(0, io->ops->mkdir(io, "/j"));
		CHECK_INT(0, sim_put(io, path, bytes, sizeof(bytes)));
		CHECK_INT(0, sim_put(io, "/j/w03-0000000043.open", bytes, 5));
		CHECK_INT(0, journal_file_destroy(io, "/j", &name));
		sim_crash(io);
		CHECK_INT(-ENOENT, io->ops->open(io, path, IO_READ, &file));
		CHECK_INT(0, io->ops->open(io, "/j/w03-0000000043.open", IO_READ, &file));
		io->ops->close(file);
		CHECK_INT(0, journal_file_destroy(io, "/j", &name));
		sim_free(io);
	}
}

static void test_whole_file(void)
{
	struct built built = file_make(true);
	struct seen seen;

	CHECK_INT(0, scan(built.bytes, built.size, false, &seen));
	CHECK_INT(FRAMES, seen.count);
	CHECK(seen.result.ended && seen.result.header_valid && !seen.result.damaged);
	CHECK_INT(0, seen.result.hole_count);
	CHECK_INT(0, seen.result.chain_breaks);
	CHECK_INT(FRAMES, seen.result.durable_known);
	CHECK_INT(42, seen.result.header.sequence);
	CHECK_INT(JOURNAL_SCAN_KEYLESS, scan(built.bytes, built.size, true, &seen));
	free(built.bytes);
}

static void test_cut_at_every_place(void)
{
	struct built built = file_make(false);
	struct prng prng = {.state = check_seed()};

	for (size_t size = 0; size <= built.size;
	     size += size % 512 < 4 || size % IO_ALIGN > IO_ALIGN - 4 ? 1 : 1 + prng_below(&prng, 60)) {
		struct seen seen;
		int r = scan(built.bytes, size, false, &seen);
		unsigned whole = 0;

		while (whole < FRAMES && size >= built.offsets[whole + 2])
			whole++;
		if (r == JOURNAL_SCAN_EMPTY) {
			CHECK(size < JOURNAL_HEADER_SIZE);
			continue;
		}
		CHECK_INT(0, r);
		/* A frame may be whole although its padding is not. */
		CHECK(seen.count == whole || seen.count == whole + 1);
		CHECK(!seen.result.damaged);
		CHECK(seen.result.hole_count <= 1);
	}
	free(built.bytes);
}

static void test_flipped_bits(void)
{
	struct built built = file_make(true);
	struct prng prng = {.state = check_seed()};

	for (unsigned round = 0; round < 3000; round++) {
		size_t offset = prng_below(&prng, built.offsets[FRAMES + 2]);
		uint8_t mask = (uint8_t)(1 << prng_below(&prng, 8));
		struct seen seen;

		if (round % 2 == 0) /* headers weigh more than padding */
			offset = built.offsets[1 + prng_below(&prng, FRAMES)] + prng_below(&prng, 160);
		built.bytes[offset] ^= mask;
		CHECK_INT(0, scan(built.bytes, built.size, false, &seen));
		built.bytes[offset] ^= mask;
		CHECK(seen.count >= FRAMES - 1);
		if (seen.count == FRAMES - 1) {
			CHECK(seen.result.damaged);
			CHECK_INT(1, seen.result.hole_count);
			CHECK(!seen.frames[seen.result.holes[0].first_frame]);
			CHECK_INT(seen.result.holes[0].first_frame, seen.result.holes[0].last_frame);
			CHECK_INT(built.offsets[seen.result.holes[0].first_frame], seen.result.holes[0].offset);
		} else if (offset >= JOURNAL_HEADER_SIZE && offset < built.offsets[FRAMES + 1]) {
			CHECK(!seen.result.damaged); /* padding */
		} else if (offset < 72) {
			CHECK(!seen.result.header_valid);
			CHECK(seen.result.damaged);
		}
	}
	free(built.bytes);
}

/* Frames lost to a hole: damage as far as later frames say they were durable, torn beyond. */
static void test_holes_are_judged(void)
{
	for (unsigned first = 1; first <= FRAMES; first++) {
		for (unsigned last = first; last <= FRAMES; last++) {
			struct built built = file_make(false);
			unsigned known = last < FRAMES && FRAMES > 2 ? FRAMES - 2 : first > 3 ? first - 3 : 0;
			struct seen seen;

			memset(built.bytes + built.offsets[first], 0, built.offsets[last + 1] - built.offsets[first]);
			CHECK_INT(0, scan(built.bytes, built.size, false, &seen));
			CHECK_INT(FRAMES - (last - first + 1), seen.count);
			CHECK_INT(known, seen.result.durable_known);
			CHECK_INT(last < FRAMES && first <= known, seen.result.damaged);
			if (last == FRAMES) {
				CHECK_INT(0, seen.result.hole_count); /* zeros behind the last frame are just space */
			} else if (last <= known) {
				CHECK_INT(1, seen.result.hole_count);
				CHECK_INT(first, seen.result.holes[0].first_frame);
				CHECK_INT(last, seen.result.holes[0].last_frame);
				CHECK(seen.result.holes[0].damage);
			} else if (first <= known) {
				CHECK_INT(2, seen.result.hole_count);
				CHECK_INT(known, seen.result.holes[0].last_frame);
				CHECK(seen.result.holes[0].damage);
				CHECK_INT(known + 1, seen.result.holes[1].first_frame);
				CHECK_INT(last, seen.result.holes[1].last_frame);
				CHECK(!seen.result.holes[1].damage);
			} else {
				CHECK_INT(1, seen.result.hole_count);
				CHECK(!seen.result.holes[0].damage);
			}
			free(built.bytes);
		}
	}
}

static void test_header_lost(void)
{
	struct built built = file_make(true);
	struct seen seen;

	memset(built.bytes, 0, JOURNAL_HEADER_SIZE);
	CHECK_INT(0, scan(built.bytes, built.size, false, &seen));
	CHECK_INT(FRAMES, seen.count);
	CHECK(!seen.result.header_valid);
	CHECK(seen.result.damaged);
	memset(built.bytes, 0, built.size);
	CHECK_INT(JOURNAL_SCAN_EMPTY, scan(built.bytes, built.size, false, &seen));
	free(built.bytes);
}

/* Of another version, checksums as they should be. */
static void version_set(uint8_t *header, size_t at, size_t checksum, uint16_t version)
{
	le16_put(header + at, version);
	le64_put(header + checksum, XXH3_64bits(header, checksum));
}

/* What another version wrote is neither read as ours nor taken for damage, nor for a file that nothing is lost with. */
static void test_another_version(void)
{
	struct built built = file_make(true);
	struct journal_scan_options options = {.path = PATH, .key = key_give};
	struct seen seen;

	for (unsigned round = 0; round < 3; round++) {
		struct io *io = sim_new(1);
		struct journal_scan *journal;
		struct err err = {""};
		uint64_t id;

		for (unsigned frame = 1; frame <= FRAMES + 1; frame++)
			version_set(built.bytes + built.offsets[frame], 4, 120, (uint16_t)(1 + 2 * (round % 2)));
		if (round == 2) /* its own header is lost */
			memset(built.bytes, 0, JOURNAL_HEADER_SIZE);
		else
			version_set(built.bytes, 8, 64, (uint16_t)(1 + 2 * round));
		CHECK_INT(0, io->ops->mkdir(io, "/j"));
		CHECK_INT(0, sim_put(io, PATH, built.bytes, built.size));
		CHECK_INT(-ENOTSUP, journal_scan_new(&options, io, &err, &journal, &id));
		CHECK(strstr(err.text, PATH) != NULL && strstr(err.text, "another version") != NULL);
		sim_free(io);
	}
	version_set(built.bytes, 8, 64, 1);
	memset(built.bytes + JOURNAL_HEADER_SIZE, 0, built.size - JOURNAL_HEADER_SIZE);
	CHECK_INT(JOURNAL_SCAN_EMPTY, scan(built.bytes, built.size, false, &seen));
	free(built.bytes);
}

/* A file whose blocks cannot be read from one place on costs those blocks, not the file. */
static void test_unreadable_blocks(void)
{
	struct built built = file_make(true);
	struct journal_scan_options options = {.path = PATH, .key = key_give};

	for (uint64_t bad = 0; bad < built.size / IO_ALIGN; bad++) {
		struct io *io = sim_new(1);
		struct journal_scan *journal;
		struct journal_frame frame;
		struct seen seen = {0};
		uint64_t id;

		CHECK_INT(0, io->ops->mkdir(io, "/j"));
		CHECK_INT(0, sim_put(io, PATH, built.bytes, built.size));
		sim_bad_block(io, PATH, bad * IO_ALIGN);
		CHECK_INT(0, journal_scan_new(&options, io, NULL, &journal, &id));
		while (journal_scan_next(journal, NULL, &frame) == 1)
			frame_see(&seen, &frame);
		CHECK(seen.count >= FRAMES - 1);
		CHECK(journal_scan_result(journal)->damaged);
		CHECK(journal_scan_result(journal)->unreadable_blocks >= 1);
		journal_scan_free(journal);
		sim_free(io);
	}
	free(built.bytes);
}

/* Frames of the same key put in other places, or twice: each counts once, in its place in the numbering. */
static void test_shuffled_frames(void)
{
	struct built built = file_make(true);
	size_t size = built.offsets[3] - built.offsets[2];
	struct seen seen;

	/* Frame 2 again behind END: nothing follows END. */
	memcpy(built.bytes + built.offsets[FRAMES + 2], built.bytes + built.offsets[2],
	       size < 3 * IO_ALIGN ? size : 3 * IO_ALIGN);
	CHECK_INT(0, scan(built.bytes, built.size, false, &seen));
	CHECK_INT(FRAMES, seen.count);
	CHECK(!seen.result.damaged);
	/* Frame 1 in the place of a later one. */
	memcpy(built.bytes + built.offsets[6], built.bytes + built.offsets[1], IO_ALIGN);
	CHECK_INT(0, scan(built.bytes, built.size, false, &seen));
	CHECK_INT(FRAMES - 1, seen.count);
	CHECK(seen.result.damaged);
	free(built.bytes);
}

static void test_mutated_files(void)
{
	struct prng prng = {.state = check_seed()};

	for (unsigned round = 0; round < 1500; round++) {
		struct built built = file_make(round % 2);
		struct seen seen;

		for (unsigned i = 0; i < 1 + prng_below(&prng, 12); i++) {
			size_t at = prng_below(&prng, built.size);
			size_t size = prng_below(&prng, 3000);
			size_t from = prng_below(&prng, built.size);

			if (prng_chance(&prng, 500)) {
				at &= ~(size_t)(IO_ALIGN - 1);
				from &= ~(size_t)(IO_ALIGN - 1);
			}
			size = size > built.size - at ? built.size - at : size;
			size = size > built.size - from ? built.size - from : size;
			if (prng_chance(&prng, 300))
				memmove(built.bytes + at, built.bytes + from, size);
			else if (prng_chance(&prng, 300))
				memset(built.bytes + at, (int)prng_next(&prng), size);
			else
				built.bytes[at] = (uint8_t)prng_next(&prng);
		}
		(void)scan(built.bytes, built.size, false, &seen); /* frame_see checks all that opened */
		free(built.bytes);
	}
}

/* Bodies as no journal writes them, sealed with the right key: refused before anybody walks over them. */
static void test_malformed_bodies(void)
{
	struct prng prng = {.state = check_seed()};
	_Alignas(8) uint8_t good[16384];
	_Alignas(8) uint8_t body[16384];
	unsigned refused = 0;

	for (unsigned round = 0; round < 20000; round++) {
		struct journal_frame_header header = {.frame = 1};
		struct journal_frame frame;
		struct journal_run run;
		size_t size = body_make(1 + round % FRAMES, &header, good);

		memcpy(body, good, size);
		switch (prng_below(&prng, 5)) {
		case 0:
			header.run_count += (uint32_t)prng_below(&prng, 5) - 2;
			break;
		case 1:
			header.row_count += (uint32_t)prng_below(&prng, 5) - 2;
			break;
		case 2:
			header.hit_count += (uint32_t)prng_below(&prng, 5) - 2;
			break;
		case 3:
			header.body_size = (uint32_t)prng_below(&prng, size);
			break;
		default:
			body[prng_below(&prng, JOURNAL_RUN_SIZE)] = (uint8_t)prng_next(&prng);
		}
		if (journal_frame_init(&frame, &header, body, 0) < 0) {
			refused++;
			continue;
		}
		for (uint32_t i = 0; i < frame.header.hit_count; i++)
			CHECK(frame.hits[i].row < frame.header.row_count);
		while (journal_frame_next(&frame, &run))
			CHECK(run.run.count <= LANE_RUN_MAX);
	}
	CHECK(refused > 5000);
}

int main(int argc, char **argv)
{
	static const struct check_test tests[] = {
		{"names", test_names},
		{"a file is destroyed whatever its state", test_destroy},
		{"a whole file is read", test_whole_file},
		{"a file cut at any place", test_cut_at_every_place},
		{"a flipped bit costs one frame and is named", test_flipped_bits},
		{"holes are damage where frames say so, torn elsewhere", test_holes_are_judged},
		{"the file's header is lost", test_header_lost},
		{"another version is refused", test_another_version},
		{"unreadable blocks", test_unreadable_blocks},
		{"frames in the wrong place", test_shuffled_frames},
		{"mutated files", test_mutated_files},
		{"malformed bodies are refused", test_malformed_bodies},
		{NULL, NULL},
	};

	return check_main(argc, argv, "journal file", tests);
}
