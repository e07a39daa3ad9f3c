/* gantry-fsck as a program, on directories made here: what it dumps, what it finds, how it exits. */
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "appliance/base/aead.h"
#include "appliance/base/bytes.h"
#include "storage/journal_file.h"
#include "storage/segment_write.h"
#include "tests/check.h"
#include "tests/storage/segment_fixture.h"

#define RUN_ROWS 20
#define FRAMES 3
#define JOURNAL_ROWS (RUN_ROWS * FRAMES)

/* Runs the program; what it said on standard output is in ret_text (the caller frees). Returns its exit status. */
static int run_fsck(const char *arguments, char **ret_text)
{
	size_t size = 0, room = 1 << 16;
	char *text = malloc(room);
	char *command;
	FILE *pipe;
	int status;

	CHECK(asprintf(&command, "'%s' %s 2>/dev/null", getenv("GANTRY_FSCK"), arguments) > 0);
	pipe = popen(command, "r");
	CHECK(pipe != NULL);
	for (size_t n; (n = fread(text + size, 1, room - size - 1, pipe)) > 0;) {
		size += n;
		if (room - size < 4096)
			text = realloc(text, room *= 2);
	}
	text[size] = '\0';
	status = pclose(pipe);
	free(command);
	*ret_text = text;
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static int run_on(const struct fixture *fixture, const char *more, char **ret_text)
{
	char arguments[2000];

	(void)snprintf(arguments, sizeof(arguments), "'%s' --master-key '%s/master.key' %s", fixture->directory,
		       fixture->directory, more);
	return run_fsck(arguments, ret_text);
}

static void put_bytes(const char *path, off_t at, const void *bytes, size_t size)
{
	int fd = open(path, O_WRONLY | O_CREAT, 0600);

	CHECK(fd >= 0);
	CHECK_INT(size, pwrite(fd, bytes, size, at));
	close(fd);
}

static void flip(const char *path, off_t at)
{
	int fd = open(path, O_RDWR);
	uint8_t byte;

	CHECK(fd >= 0);
	CHECK_INT(1, pread(fd, &byte, 1, at));
	byte ^= 0x20;
	CHECK_INT(1, pwrite(fd, &byte, 1, at));
	close(fd);
}

/*
 * A closed journal of FRAMES frames, each one run of RUN_ROWS reads of lane 0 from sequence `first` on, and in the
 * first frame one refused run of lane 1. Returns the offset of the second frame.
 */
static off_t put_journal(struct fixture *fixture, uint64_t id, uint64_t sequence, uint64_t first, struct read *rows)
{
	struct key_change change = {.id = {.id = id, .day = KEY_DAY_NONE, .kind = KEY_JOURNAL}};
	struct journal_file_header file = {.file_id = id, .sequence = sequence, .file_size = 1 << 20, .worker = 0};
	struct journal_file_name name = {0, sequence, JOURNAL_FILE_CLOSED};
	static uint8_t body[1 << 16], block[1 << 17];
	uint8_t chain[JOURNAL_CHAIN_SIZE], key_bytes[KEY_SIZE];
	char path[JOURNAL_PATH_MAX], directory[600];
	off_t at = JOURNAL_HEADER_SIZE, second = 0;
	struct aead_key key;

	(void)snprintf(directory, sizeof(directory), "%s/journal", fixture->directory);
	(void)mkdir(directory, 0700);
	CHECK_INT(0, keyring_change(fixture->keyring, &change, 1));
	CHECK_INT(0, keyring_get(fixture->keyring, change.id, key_bytes));
	CHECK_INT(0, journal_file_path(directory, &name, path));
	aead_key_init(&key, key_bytes);
	journal_file_header_encode(&file, &key, block, chain);
	put_bytes(path, 0, block, JOURNAL_HEADER_SIZE);
	for (unsigned f = 1; f <= FRAMES + 1; f++) {
		struct journal_frame_header header = {
			.file_id = id, .frame = f, .durable = f - 1, .key_version = 1, .end = f == FRAMES + 1};
		struct run run = {.first = first + (f - 1) * RUN_ROWS, .feed = 5, .epoch = 9, .count = RUN_ROWS};
		struct run refused = {
			.first = first, .feed = 5, .epoch = 9, .count = 2, .lane = 1, .refusal = REFUSAL_FUTURE};

		memcpy(header.chain, chain, sizeof(chain));
		if (!header.end) {
			for (unsigned i = 0; i < RUN_ROWS; i++) {
				rows[(f - 1) * RUN_ROWS + i].feed = 5;
				rows[(f - 1) * RUN_ROWS + i].epoch = 9;
				rows[(f - 1) * RUN_ROWS + i].receipt_us = rows[(f - 1) * RUN_ROWS].receipt_us;
			}
			header.body_size = (uint32_t)journal_run_encode(&run, 0, &rows[(f - 1) * RUN_ROWS], body);
			header.run_count = 1;
			header.row_count = RUN_ROWS;
			if (f == 1) {
				header.body_size +=
					(uint32_t)journal_run_encode(&refused, 0, NULL, body + header.body_size);
				header.run_count = 2;
			}
		}
		journal_frame_encode(&header, &key, body, block, chain);
		put_bytes(path, at, block, journal_frame_size(header.body_size));
		at += (off_t)journal_frame_size(header.body_size);
		if (f == 1)
			second = at;
	}
	aead_key_fini(&key);
	return second;
}

/* The documented line, put together the slow way. */
static void expect_row(char *line, char where, uint64_t id, const struct read *row)
{
	char key[33];
	char text[80] = "";

	for (unsigned i = 0; i < 16 && row->text[i] != 0; i++)
		(void)sprintf(text + strlen(text), row->text[i] < 32 || row->text[i] == '\\' ? "\\x%02x" : "%c",
			      row->text[i]);
	(void)sprintf(line, "%d\t%c%016llx\t%u\t%u\t%lld\t%lld\t%u\t%s\t%s\t%d\t%d\t%u\t%u\t%u\t%u\t%u\t%s\t%u",
		      (int)read_day(row->capture_us), where, (unsigned long long)id, row->feed, row->epoch,
		      (long long)row->capture_us, (long long)row->receipt_us, row->camera, text[0] != '\0' ? text : "-",
		      hex_encode(row->key, 16, key), row->lat_e7, row->lon_e7, row->kind, row->confidence,
		      row->road_lane, row->direction, row->flags, row->country != 0 ? "GB" : "-", row->images);
}

static int compare_lines(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static size_t split_lines(char *text, char **lines, size_t max)
{
	size_t count = 0;

	for (char *line = strtok(text, "\n"); line != NULL; line = strtok(NULL, "\n")) {
		CHECK(count < max);
		lines[count++] = line;
	}
	qsort(lines, count, sizeof(char *), compare_lines);
	return count;
}

struct yard {
	struct fixture fixture;
	struct read in_segments[300]; /* days D and D + 1, segments 1 and 2 */
	struct read unsealed[JOURNAL_ROWS];
	struct read half[JOURNAL_ROWS]; /* alternating days D and D + 1; D sealed into segment 3 */
	struct read again[JOURNAL_ROWS];
	size_t kept[2];
	off_t second_frame;
};

/* Two plain segments; a journal on its own; a journal of which one day is sealed; a journal that repeats identities. */
static struct yard *yard_new(void)
{
	struct yard *yard = calloc(1, sizeof(*yard));
	struct segment_summary *summary = calloc(1, sizeof(*summary));
	struct prng prng = {check_seed()};
	struct read of_day[JOURNAL_ROWS];

	fixture_init(&yard->fixture);
	for (unsigned s = 0; s < 2; s++) {
		for (unsigned i = 0; i < 150; i++)
			yard->in_segments[s * 150 + i] = fixture_read(&prng, FIXTURE_DAY + (int32_t)s);
		memset(yard->in_segments[s * 150].text, 0, READ_TEXT_SIZE);
		memcpy(yard->in_segments[s * 150].text, "A\\\tB", 4);
		CHECK_INT(0, fixture_write(&yard->fixture, yard->fixture.io, FIXTURE_DAY + (int32_t)s, 1 + s,
					   &yard->in_segments[s * 150], 150, NULL, 0, summary));
		yard->kept[s] = fixture_collapse(&yard->in_segments[s * 150], 150);
		CHECK_INT(yard->kept[s], summary->row_count);
	}
	for (unsigned i = 0; i < JOURNAL_ROWS; i++) {
		yard->unsealed[i] = fixture_read(&prng, FIXTURE_DAY);
		yard->half[i] = fixture_read(&prng, FIXTURE_DAY + i % 2);
		yard->half[i].kind = READ_KIND_NOT_READ; /* never collapses */
		yard->again[i] = fixture_read(&prng, FIXTURE_DAY);
	}
	yard->second_frame = put_journal(&yard->fixture, 0xa0, 1, 1, yard->unsealed);
	(void)put_journal(&yard->fixture, 3 ^ 1, 2, 1001, yard->half); /* the fixture's lineage is id ^ 1 */
	(void)put_journal(&yard->fixture, 0xa2, 3, 1 + RUN_ROWS / 2, yard->again);
	for (unsigned i = 0; i < JOURNAL_ROWS / 2; i++)
		of_day[i] = yard->half[2 * i];
	CHECK_INT(0, fixture_write(&yard->fixture, yard->fixture.io, FIXTURE_DAY, 3, of_day, JOURNAL_ROWS / 2, NULL, 0,
				   summary));
	free(summary);
	return yard;
}

static void yard_free(struct yard *yard)
{
	fixture_fini(&yard->fixture);
	free(yard);
}

static void each_read_is_dumped_once(void)
{
	static char expected_text[1000][256];
	char *expected[1000], *lines[1000];
	size_t expected_count = 0, count;
	struct yard *yard;
	char *text;

	if (getenv("GANTRY_FSCK") == NULL)
		CHECK_SKIP("GANTRY_FSCK does not name the program");
	yard = yard_new();
	CHECK_INT(0, run_on(&yard->fixture, "--dump -", &text));
	for (unsigned s = 0; s < 2; s++)
		for (size_t i = 0; i < yard->kept[s]; i++)
			expect_row(expected_text[expected_count++], 's', 1 + s, &yard->in_segments[s * 150 + i]);
	for (unsigned i = 0; i < JOURNAL_ROWS; i++) {
		expect_row(expected_text[expected_count++], 'j', 0xa0, &yard->unsealed[i]);
		expect_row(expected_text[expected_count++], i % 2 == 0 ? 's' : 'j', i % 2 == 0 ? 3 : 2, &yard->half[i]);
	}
	/* Its first sequences stand in journal a0 already. */
	for (unsigned i = JOURNAL_ROWS - RUN_ROWS / 2; i < JOURNAL_ROWS; i++)
		expect_row(expected_text[expected_count++], 'j', 0xa2, &yard->again[i]);
	(void)sprintf(expected_text[expected_count++], "refused\tj00000000000000a0\t5\t9\t1\t1\t2\t%d\t0",
		      REFUSAL_FUTURE);
	(void)sprintf(expected_text[expected_count++], "refused\tj00000000000000a2\t5\t9\t1\t11\t2\t%d\t0",
		      REFUSAL_FUTURE);
	for (size_t i = 0; i < expected_count; i++)
		expected[i] = expected_text[i];
	qsort(expected, expected_count, sizeof(char *), compare_lines);
	count = split_lines(text, lines, 1000);
	CHECK_INT(expected_count, count);
	for (size_t i = 0; i < count; i++) {
		char *receipt = strncmp(lines[i], "refused", 7) == 0 ? strrchr(lines[i], '\t') : NULL;

		if (receipt != NULL)
			(void)strcpy(receipt, "\t0");
		CHECK_STR(expected[i], lines[i]);
	}
	free(text);
	yard_free(yard);
}

static json_t *report_of(const struct yard *yard, int expected_status)
{
	json_t *report;
	char *text;

	CHECK_INT(expected_status, run_on(&yard->fixture, "--json", &text));
	report = json_loads(text, 0, NULL);
	CHECK(report != NULL);
	free(text);
	return report;
}

static bool names_note(const json_t *report, const char *what)
{
	const json_t *entry;
	size_t i;

	json_array_foreach(json_object_get(report, "notes"), i,
			   entry) if (strstr(json_string_value(entry), what) != NULL) return true;
	return false;
}

static bool names_damage(const json_t *report, const char *what)
{
	const json_t *damage = json_object_get(report, "damage");
	const json_t *entry;
	size_t i;

	json_array_foreach(damage, i, entry) if (strstr(json_string_value(json_object_get(entry, "text")), what) !=
						 NULL) return true;
	return false;
}

static long long number(const json_t *report, const char *name)
{
	return json_integer_value(json_object_get(report, name));
}

static void damage_is_found_and_named(void)
{
	struct yard *yard;
	json_t *report;
	char path[800];

	if (getenv("GANTRY_FSCK") == NULL)
		CHECK_SKIP("GANTRY_FSCK does not name the program");
	yard = yard_new();
	report = report_of(yard, 0);
	CHECK(json_is_true(json_object_get(report, "clean")));
	CHECK_INT(3, number(report, "segments"));
	CHECK_INT(3, number(report, "journals"));
	CHECK_INT(JOURNAL_ROWS + JOURNAL_ROWS / 2 + RUN_ROWS / 2, number(report, "journal_rows"));
	CHECK_INT(4, number(report, "refused"));
	json_decref(report);

	(void)snprintf(path, sizeof(path), "%s/d%d-0000000000000001.seg", yard->fixture.segments, FIXTURE_DAY);
	flip(path, SEGMENT_HEADER_SIZE + 100); /* the first row page */
	report = report_of(yard, 1);
	CHECK_INT(1, number(report, "damage_count"));
	CHECK_INT(yard->kept[0], number(report, "rows_lost"));
	CHECK(names_damage(report, "0000000000000001.seg: row page 0"));
	json_decref(report);
	flip(path, SEGMENT_HEADER_SIZE + 100);

	(void)snprintf(path, sizeof(path), "%s/journal/w00-0000000001.closed", yard->fixture.directory);
	flip(path, yard->second_frame + 300);
	report = report_of(yard, 1);
	CHECK(names_damage(report, "w00-0000000001.closed: frames 2 to 2"));
	json_decref(report);
	flip(path, yard->second_frame + 300);
	json_decref(report_of(yard, 0));

	CHECK_INT(0, keyring_destroy_day(yard->fixture.keyring, FIXTURE_DAY + 1));
	report = report_of(yard, 0); /* purged is not damaged */
	CHECK_INT(2, number(report, "segments"));
	CHECK(names_note(report, "its day is purged"));
	json_decref(report);
	yard_free(yard);
}

/* A report quotes what it finds: JSON takes nothing but UTF-8, and no terminal is to obey a file's name. */
static void what_is_quoted_is_printable(void)
{
	struct yard *yard;
	char path[800];
	char *text;
	json_t *report;

	if (getenv("GANTRY_FSCK") == NULL)
		CHECK_SKIP("GANTRY_FSCK does not name the program");
	yard = yard_new();
	(void)snprintf(path, sizeof(path), "%s/journal/caf\xc3\xa9 \xff\xc3 \x1b[2J \xc2\x9b", yard->fixture.directory);
	put_bytes(path, 0, "x", 1);
	report = report_of(yard, 0);
	CHECK(names_note(report, "journal/caf\xc3\xa9 ?? ?[2J ??: not a journal's name"));
	json_decref(report);
	CHECK_INT(0, run_on(&yard->fixture, "", &text));
	CHECK(strstr(text, "journal/caf\xc3\xa9 ?? ?[2J ??: not a journal's name") != NULL);
	CHECK(strchr(text, '\x1b') == NULL);
	free(text);
	yard_free(yard);
}

/* A crash between a merge's commit and its parents' end: their reads are the child's, readable or not. */
static void a_replaced_segment_is_no_damage(void)
{
	const uint64_t parents[] = {1};
	const struct read *pointers[150];
	struct segment_input input = {.id = 9,
				      .day = FIXTURE_DAY,
				      .key_version = 1,
				      .lineage_kind = SEGMENT_FROM_SEGMENTS,
				      .lineage = parents,
				      .lineage_count = 1,
				      .rows = pointers};
	struct key_change keys[2] = {{.id = {.id = 9, .day = FIXTURE_DAY, .kind = KEY_SEGMENT}},
				     {.id = {.id = 1, .day = FIXTURE_DAY, .kind = KEY_SEGMENT}, .destroy = true}};
	struct segment_summary *summary = malloc(sizeof(*summary));
	struct err err = {""};
	struct yard *yard;

	if (getenv("GANTRY_FSCK") == NULL)
		CHECK_SKIP("GANTRY_FSCK does not name the program");
	CHECK(summary != NULL);
	yard = yard_new();
	input.row_count = yard->kept[0];
	for (size_t i = 0; i < input.row_count; i++)
		pointers[i] = &yard->in_segments[i];
	CHECK_INT(0, keyring_change(yard->fixture.keyring, &keys[0], 1));
	CHECK_INT(0, segment_write(yard->fixture.io, yard->fixture.keyring, yard->fixture.segments, &input, &err,
				   summary));
	for (unsigned gone = 0; gone < 2; gone++) {
		json_t *report = report_of(yard, 0);

		CHECK(json_is_true(json_object_get(report, "clean")));
		CHECK_INT(3, number(report, "segments"));
		CHECK_INT(yard->kept[0] + yard->kept[1] + JOURNAL_ROWS / 2, number(report, "segment_rows"));
		CHECK(names_note(report, "another segment took its place"));
		json_decref(report);
		CHECK_INT(0, keyring_change(yard->fixture.keyring, &keys[1], 1));
	}
	yard_free(yard);
	free(summary);
}

static void exit_statuses_are_as_promised(void)
{
	struct yard *yard;
	char path[800], arguments[2000];
	char *text;

	if (getenv("GANTRY_FSCK") == NULL)
		CHECK_SKIP("GANTRY_FSCK does not name the program");
	yard = yard_new();
	CHECK_INT(0, run_fsck("--help", &text));
	CHECK(strstr(text, "Dump format") != NULL);
	free(text);
	CHECK_INT(2, run_fsck("", &text));
	free(text);
	CHECK_INT(2, run_on(&yard->fixture, "--no-such-option", &text));
	free(text);
	(void)snprintf(arguments, sizeof(arguments), "/does/not/exist --master-key '%s/master.key'",
		       yard->fixture.directory);
	CHECK_INT(3, run_fsck(arguments, &text));
	free(text);
	(void)snprintf(path, sizeof(path), "%s/master.key", yard->fixture.directory);
	put_bytes(path, 3, "x", 1); /* not a hex digit */
	CHECK_INT(3, run_on(&yard->fixture, "", &text));
	free(text);
	CHECK_INT(3, run_on(&yard->fixture, "--dump /does/not/exist", &text));
	free(text);
	yard_free(yard);
}

/* Bytes at random, cuts at random: a report and a status, never a crash, and no line that was never stored. */
static void any_rubbish_is_survived(void)
{
	static const char *const names[] = {"segments/d20779-0000000000000001.seg",
					    "segments/d20780-0000000000000002.seg", "journal/w00-0000000001.closed",
					    "journal/w00-0000000002.closed", "keyring.a"};
	struct prng prng = {check_seed()};
	struct yard *yard;

	if (getenv("GANTRY_FSCK") == NULL)
		CHECK_SKIP("GANTRY_FSCK does not name the program");
	yard = yard_new();
	for (unsigned round = 0; round < 40; round++) {
		char path[800], copy[820], command[2000];
		struct stat status;
		char *text;
		int r;

		(void)snprintf(path, sizeof(path), "%s/%s", yard->fixture.directory, names[round % 5]);
		(void)snprintf(copy, sizeof(copy), "%s/copy", yard->fixture.directory);
		(void)snprintf(command, sizeof(command), "cp -p '%s' '%s'", path, copy);
		CHECK_INT(0, system(command));
		CHECK_INT(0, stat(path, &status));
		for (unsigned flips = 1 + (unsigned)prng_below(&prng, 20); flips > 0; flips--)
			flip(path, (off_t)prng_below(&prng, (uint64_t)status.st_size));
		if (prng_chance(&prng, 300))
			CHECK_INT(0, truncate(path, (off_t)prng_below(&prng, (uint64_t)status.st_size)));
		r = run_on(&yard->fixture, "--dump -", &text);
		if (r != 0 && r != 1)
			check_note("%s: status %d", path, r);
		CHECK(r == 0 || r == 1);
		CHECK(round % 5 > 1 || r == 1); /* a segment has no byte that does not count */
		free(text);
		CHECK_INT(0, rename(copy, path));
	}
	yard_free(yard);
}

int main(int argc, char **argv)
{
	static const struct check_test tests[] = {
		{"each read is dumped once", each_read_is_dumped_once},
		{"damage is found and named", damage_is_found_and_named},
		{"what is quoted is printable", what_is_quoted_is_printable},
		{"a replaced segment is no damage", a_replaced_segment_is_no_damage},
		{"any rubbish is survived", any_rubbish_is_survived},
		{"exit statuses are as promised", exit_statuses_are_as_promised},
		{NULL, NULL},
	};

	return check_main(argc, argv, "fsck", tests);
}
