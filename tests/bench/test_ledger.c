#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "appliance/base/bytes.h"
#include "appliance/base/prng.h"
#include "bench/ledger.h"
#include "bench/spool.h"
#include "tests/check.h"

static char path[256];

static void path_set(const char *name)
{
	static const char *directory;

	if (directory == NULL)
		directory = check_directory();
	snprintf(path, sizeof(path), "%s/%s", directory, name);
}

static void record_make(uint64_t sequence, uint8_t record[SPOOL_RECORD_SIZE])
{
	memset(record, 0, SPOOL_RECORD_SIZE);
	le64_put(record, 1700000000000000 + sequence);
	le32_put(record + 8, (uint32_t)sequence * 3);
	if (sequence % 5 != 0) {
		memcpy(record + 20,
		       sequence % 7 == 0 ? "M\xc3\x9c"
					   "AB123"
					 : "AB12CDE",
		       sequence % 7 == 0 ? 8 : 7);
		le16_put(record + 42, 'G' | 'B' << 8);
	}
	record[36] = sequence % 5 == 0 ? READ_CONFIDENCE_UNKNOWN : 90;
	record[37] = 2;
	record[38] = READ_DIRECTION_RECEDING;
	record[39] = sequence % 5 == 0;
	le16_put(record + 40, READ_FLAG_POSITION);
	le32_put(record + 12, (uint32_t)-123);
	le32_put(record + 16, 456);
	record[44] = 3;
}

static struct spool *spool_filled(unsigned count)
{
	struct spool *spool = NULL;

	CHECK_INT(SPOOL_FRESH, spool_open(NULL, 12, 4096, &spool, NULL));
	for (unsigned i = 1; i <= count; i++) {
		uint8_t record[SPOOL_RECORD_SIZE];

		record_make(i, record);
		spool_push(spool, FEED_LANE_LIVE, record, 1);
	}
	return spool;
}

static void line_make(uint32_t epoch, uint64_t sequence, const char *fate, char line[256])
{
	snprintf(line, 256, "12\t%u\tlive\t%llu\t%s\t%llu\t%u\t%s\t-123\t456\t%u\t%u\t2\t2\t1\t%s\t3\n", epoch,
		 (unsigned long long)sequence, fate, 1700000000000000ULL + sequence, (unsigned)sequence * 3,
		 sequence % 5 == 0   ? ""
		 : sequence % 7 == 0 ? "M\xc3\x9c"
				       "AB123"
				     : "AB12CDE",
		 (unsigned)(sequence % 5 == 0), sequence % 5 == 0 ? 255U : 90U, sequence % 5 == 0 ? "-" : "GB");
}

static char *print_all(uint64_t *ret_count)
{
	char *text = NULL;
	size_t size = 0;
	FILE *out = open_memstream(&text, &size);

	CHECK_INT(0, ledger_print(path, out, ret_count, NULL));
	fclose(out);
	return text;
}

static void each_read_is_printed_once_with_its_fate(void)
{
	struct spool *spool = spool_filled(300);
	struct ledger *ledger = NULL;
	uint64_t count = 0;
	char *text;
	char *at;

	path_set("fates");
	CHECK_INT(0, ledger_open(path, &ledger, NULL));
	CHECK_INT(0, ledger_refused(ledger, 12, spool_epoch(spool), FEED_LANE_LIVE, 20, 2, REFUSAL_TOO_OLD));
	CHECK_INT(0, ledger_acknowledged(ledger, 12, spool, FEED_LANE_LIVE, 1, 101));
	/* Closed, opened, and what came between ledger and spool told again. */
	ledger_close(ledger);
	CHECK_INT(0, ledger_open(path, &ledger, NULL));
	CHECK_INT(0, ledger_acknowledged(ledger, 12, spool, FEED_LANE_LIVE, 90, 201));
	CHECK_INT(0, ledger_refused(ledger, 12, spool_epoch(spool), FEED_LANE_LIVE, 150, 1, REFUSAL_FUTURE));
	CHECK_INT(0, ledger_refused(ledger, 12, spool_epoch(spool), FEED_LANE_LIVE, 250, 1, REFUSAL_FUTURE));
	CHECK_INT(0, ledger_refused(ledger, 12, spool_epoch(spool), FEED_LANE_BACKLOG, 1, 300, REFUSAL_FUTURE));
	ledger_close(ledger);
	text = print_all(&count);
	CHECK_INT(200, count);
	at = text;
	for (uint64_t s = 1; s <= 200; s++) {
		char line[256];

		line_make(spool_epoch(spool), s,
			  s == 20 || s == 21 ? "too-old"
			  : s == 150         ? "future"
					     : "acknowledged",
			  line);
		if (strncmp(at, line, strlen(line)) != 0)
			check_note("sequence %u: expected %s", (unsigned)s, line);
		CHECK_INT(0, strncmp(at, line, strlen(line)));
		at += strlen(line);
	}
	CHECK_INT('\0', *at);
	free(text);
	spool_close(spool);
}

static void copy_cut(const char *from, const char *to, off_t size)
{
	char *bytes = malloc((size_t)size + 1);
	int in = open(from, O_RDONLY);
	int out = open(to, O_WRONLY | O_CREAT | O_TRUNC, 0600);

	CHECK_INT(size, read(in, bytes, (size_t)size));
	CHECK_INT(size, write(out, bytes, (size_t)size));
	close(in);
	close(out);
	free(bytes);
}

/* Cut at every byte: what is printed is whole entries from the start, and the file goes on after the cut. */
static void a_torn_end_is_cut_off(void)
{
	struct spool *spool = spool_filled(40);
	struct ledger *ledger = NULL;
	char whole[256];
	struct stat stat_of;
	uint64_t before = 0;

	path_set("whole");
	snprintf(whole, sizeof(whole), "%s", path);
	CHECK_INT(0, ledger_open(path, &ledger, NULL));
	for (uint64_t s = 1; s < 10; s += 3)
		CHECK_INT(0, ledger_acknowledged(ledger, 12, spool, FEED_LANE_LIVE, s, s + 3));
	ledger_close(ledger);
	CHECK_INT(0, stat(whole, &stat_of));
	for (off_t size = 16; size <= stat_of.st_size; size++) {
		uint64_t count = 99;
		char *text;

		path_set("cut");
		copy_cut(whole, path, size);
		text = print_all(&count);
		free(text);
		CHECK(count % 3 == 0 && count >= before && count <= before + 3);
		before = count;
		CHECK_INT(0, ledger_open(path, &ledger, NULL));
		CHECK_INT(0, ledger_acknowledged(ledger, 12, spool, FEED_LANE_LIVE, 30, 35));
		ledger_close(ledger);
		text = print_all(&count);
		free(text);
		CHECK_INT(before + 5, count);
	}
	CHECK_INT(9, before);
	spool_close(spool);
}

/* A flipped bit in an entry's head ends the ledger there; in the file's head it is no ledger. Never a crash. */
static void damage_is_no_crash(void)
{
	struct prng prng = {check_seed()};
	char whole[256];
	struct stat stat_of;

	path_set("whole");
	snprintf(whole, sizeof(whole), "%s", path);
	CHECK_INT(0, stat(whole, &stat_of));
	for (unsigned i = 0; i < 2000; i++) {
		FILE *out = fopen("/dev/null", "w");
		off_t at = (off_t)prng_below(&prng, (uint64_t)stat_of.st_size);
		uint64_t count = 0;
		uint8_t byte;
		int fd;
		int r;

		path_set("damaged");
		copy_cut(whole, path, stat_of.st_size);
		fd = open(path, O_RDWR);
		CHECK_INT(1, pread(fd, &byte, 1, at));
		byte ^= (uint8_t)(1 << prng_below(&prng, 8));
		CHECK_INT(1, pwrite(fd, &byte, 1, at));
		close(fd);
		r = ledger_print(path, out, &count, NULL);
		CHECK_INT(at < 16 ? -EINVAL : 0, r);
		CHECK(count <= 9);
		fclose(out);
	}
}

static void strangers_are_refused(void)
{
	struct ledger *ledger = NULL;
	struct ledger *other = NULL;
	struct err err = {""};
	uint64_t count;
	int fd;

	path_set("stranger");
	fd = open(path, O_WRONLY | O_CREAT, 0600);
	CHECK_INT(29, write(fd, "this is a text, not a ledger\n", 29));
	close(fd);
	CHECK_INT(-EINVAL, ledger_open(path, &ledger, &err));
	CHECK(strstr(err.text, "no ledger") != NULL);
	CHECK_INT(-EINVAL, ledger_print(path, stdout, &count, &err));
	path_set("absent");
	CHECK_INT(-ENOENT, ledger_print(path, stdout, &count, &err));
	CHECK_INT(0, ledger_open(path, &ledger, NULL));
	CHECK_INT(-EBUSY, ledger_open(path, &other, &err));
	ledger_close(ledger);
	CHECK_INT(0, ledger_print(path, stdout, &count, &err));
	CHECK_INT(0, count);
}

int main(int argc, char **argv)
{
	static const struct check_test tests[] = {
		{"each read is printed once with its fate", each_read_is_printed_once_with_its_fate},
		{"a torn end is cut off", a_torn_end_is_cut_off},
		{"damage is no crash", damage_is_no_crash},
		{"strangers are refused", strangers_are_refused},
		{NULL, NULL},
	};

	return check_main(argc, argv, "bench ledger", tests);
}
