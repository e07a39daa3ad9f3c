/*
 * Each file of a data directory lost in turn: removed, cut in half, with a flipped bit; after a clean stop and after a
 * crash. What gantry-fsck says of it, whether the store opens, what is still there: the table "A data directory" of
 * docs/disk-format.md, row by row. The audit log's rows are tested with the whole appliance (tests/appliance/loss.py).
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define LOG_MODULE "test"
#include "appliance/base/clock.h"
#include "appliance/base/log.h"
#include "storage/hold.h"
#include "storage/io.h"
#include "storage/register.h"
#include "storage/tidier.h"
#include "tests/check.h"
#include "tests/storage/rig_check.h"
#include "tests/storage/store_rig.h"

#define FILES_MAX 200
#define DOCS "docs/disk-format.md"

enum injury { REMOVED, HALVED, FLIPPED, INJURY_COUNT };
static const char *const injury_names[] = {"removed", "halved", "flipped"};

/* What becomes of the reads and of the register. */
enum fate {
	ALL_THERE,        /* every read, every window, the register */
	OWN_READS_LOST,   /* those of the file at most; the others are there, each once */
	REGISTER_MISSING, /* every read; no register */
	LIST_LOST,        /* all but that list's entries */
	NOT_OPENED,       /* the store refuses to open; mended, all is there */
};

/* What fsck says. */
enum verdict { CLEAN, DAMAGE, EITHER, CANNOT_OPEN };

/* A row of the page's table: beginning and end of the files' paths, what is found, and what the page must say of them.
 */
struct rule {
	const char *prefix;
	const char *suffix;
	enum verdict verdicts[INJURY_COUNT]; /* removed, halved, flipped */
	enum fate fate;
	const char *sentence; /* in the page's table */
};

static const struct rule rules[] = {
	{"lock", "", {CLEAN, CLEAN, CLEAN}, ALL_THERE, "made anew"},
	{"keyring.", "", {DAMAGE, DAMAGE, DAMAGE}, ALL_THERE, "one: rewritten at the next start and said"},
	{"../master", "", {CANNOT_OPEN, CANNOT_OPEN, CANNOT_OPEN}, NOT_OPENED, "gantryd does not start"},
	{"journal/", "", {EITHER, EITHER, EITHER}, OWN_READS_LOST, "its unsealed reads are lost"},
	{"segments/", ".seg", {DAMAGE, DAMAGE, DAMAGE}, OWN_READS_LOST, "its reads are lost"},
	{"catalog/data.mdb",
	 "",
	 {DAMAGE, DAMAGE, EITHER},
	 ALL_THERE,
	 "made anew from segments and the lanes' copy; nothing is lost"},
	{"catalog/lock.mdb", "", {CLEAN, CLEAN, CLEAN}, ALL_THERE, "made anew"},
	{"catalog/clean", "", {CLEAN, DAMAGE, DAMAGE}, ALL_THERE, "the environment counts as damaged"},
	{"lanes.", "", {DAMAGE, DAMAGE, DAMAGE}, ALL_THERE, "written anew at the next sealing"},
	{"register/changes.log",
	 "",
	 {DAMAGE, DAMAGE, DAMAGE},
	 REGISTER_MISSING,
	 "neither searches, matches nor purges"},
	{"register/db/data.mdb", "", {DAMAGE, DAMAGE, EITHER}, ALL_THERE, "made anew from the log; nothing is lost"},
	{"register/db/lock.mdb", "", {CLEAN, CLEAN, CLEAN}, ALL_THERE, "made anew"},
	{"register/db/clean", "", {CLEAN, DAMAGE, DAMAGE}, ALL_THERE, "the environment counts as damaged"},
	{"lists/", ".blob", {DAMAGE, DAMAGE, DAMAGE}, LIST_LOST, "load the list again"},
	{"purge/", ".certificate", {CLEAN, DAMAGE, DAMAGE}, ALL_THERE, "the audit log has it too"},
	{"cases/", ".seg", {DAMAGE, DAMAGE, DAMAGE}, ALL_THERE, "the other copies are served"},
	{"clock", "", {CLEAN, DAMAGE, DAMAGE}, ALL_THERE, "nothing is purged for ten synchronised minutes"},
	{"stranger", "", {CLEAN, CLEAN, CLEAN}, ALL_THERE, "left alone"},
};

/* ---- a directory with everything in it */

struct yard {
	char directory[600]; /* of both templates and the copy that is injured */
	struct rig rig;      /* as it was when the templates were taken */
	uint8_t blob[REG_BLOB_NAME_SIZE];
	char files[FILES_MAX][300];
	size_t file_count;
};

static void shell(const char *format, ...) __attribute__((format(printf, 1, 2)));
static void shell(const char *format, ...)
{
	char command[3000];
	va_list arguments;

	va_start(arguments, format);
	(void)vsnprintf(command, sizeof(command), format, arguments);
	va_end(arguments);
	CHECK_INT(0, system(command));
}

/* A case holds reads of the day that goes. */
static void hold_some(struct rig *rig)
{
	struct reg_hold hold = {.hold_class = REG_HOLD_MOPI, .reference = "C-1", .reason = "loss"};
	struct hold_selector selector = {.pattern = "?L*", .from_us = INT64_MIN, .to_us = INT64_MAX};
	struct hold_added added;

	hold.review_day = read_day(clock_wall_us()) + 10;
	CHECK_INT(0, hold_add(rig->store, &hold, &selector, &rig->err, &added));
}

static void register_fill(struct yard *yard)
{
	const char *why;
	struct reg *reg = store_register(yard->rig.store, &why);
	struct reg_list list = {.list = 7, .now = {.version = 1, .entry_count = 3}};
	uint8_t buffer[REG_RECORD_SIZE_MAX];
	struct reg_change change;
	struct err err;

	CHECK(reg != NULL);
	CHECK_INT(0, reg_blob_put(reg, "entries", 7, yard->blob));
	memcpy(list.now.blob, yard->blob, sizeof(list.now.blob));
	list.now.blob_size = 7;
	(void)snprintf(list.name, sizeof(list.name), "stolen");
	change = reg_list_put(&list, buffer);
	CHECK_INT(0, reg_change(reg, &change, 1, 1000, "a test", &err));
	for (uint32_t i = 1; i < 30; i++) {
		struct reg_camera camera = {.camera = i};

		(void)snprintf(camera.name, sizeof(camera.name), "camera %u", i);
		change = reg_camera_put(&camera, buffer);
		CHECK_INT(0, reg_change(reg, &change, 1, 1000, "a test", &err));
	}
}

static void send_some(struct rig *rig, unsigned runs)
{
	for (unsigned i = 0; i < runs; i++)
		(void)rig_send(rig);
	(void)rig_resend(rig);
	rig_settle(rig, 500);
}

/* t-crashed is taken while the store is open, t-clean behind a stop that leaves its journals unsealed. */
static struct yard *yard_new(struct io *io)
{
	struct yard *yard = calloc(1, sizeof(*yard));
	struct reg_info info;
	char path[700];

	CHECK(yard != NULL);
	/* What syncs is not under test, and each of some two hundred copies is opened, written and closed. */
	(void)snprintf(yard->directory, sizeof(yard->directory), "%s", check_memory_directory());
	(void)snprintf(path, sizeof(path), "%s/data", yard->directory);
	rig_init(&yard->rig, io, path, path, check_seed());
	(void)snprintf(yard->rig.master_path, sizeof(yard->rig.master_path), "%s/master", yard->directory);
	yard->rig.options.db_directory = NULL;
	yard->rig.options.master_path = yard->rig.master_path;
	CHECK_INT(0, rig_open(&yard->rig));
	register_fill(yard);
	(void)tidier_round(yard->rig.store); /* the register's log is written anew, and goes on */
	reg_info(store_register(yard->rig.store, NULL), &info);
	CHECK(info.log_base_size > 0);
	for (unsigned round = 0; round < 3; round++) {
		send_some(&yard->rig, 30);
		CHECK_INT(0, store_seal_all(yard->rig.store, INT64_C(3000000000)));
	}
	hold_some(&yard->rig);
	CHECK_INT(0, rig_purge(&yard->rig, 0));
	send_some(&yard->rig, 30);
	shell("echo what > '%s/data/stranger'", yard->directory);
	shell("cp -a '%s/data' '%s/t-crashed'", yard->directory, yard->directory);
	CHECK_INT(0, rig_close(&yard->rig, false));
	shell("mv '%s/data' '%s/t-clean'", yard->directory, yard->directory);
	return yard;
}

static void files_find(struct yard *yard, const char *top, const char *below)
{
	char path[1600], name[600];
	struct dirent *entry;
	DIR *directory;

	(void)snprintf(path, sizeof(path), "%s/%s/%s", yard->directory, top, below);
	directory = opendir(path);
	CHECK(directory != NULL);
	while ((entry = readdir(directory)) != NULL) {
		if (entry->d_name[0] == '.')
			continue;
		(void)snprintf(name, sizeof(name), "%s%s%s", below, below[0] != '\0' ? "/" : "", entry->d_name);
		if (entry->d_type == DT_DIR) {
			files_find(yard, top, name);
		} else {
			CHECK(yard->file_count < FILES_MAX && strlen(name) < sizeof(yard->files[0]));
			strcpy(yard->files[yard->file_count++], name);
		}
	}
	(void)closedir(directory);
}

static const struct rule *rule_of(const char *file)
{
	size_t size = strlen(file);

	for (size_t i = 0; i < sizeof(rules) / sizeof(rules[0]); i++)
		if (strncmp(file, rules[i].prefix, strlen(rules[i].prefix)) == 0 && size >= strlen(rules[i].suffix) &&
		    strcmp(file + size - strlen(rules[i].suffix), rules[i].suffix) == 0)
			return &rules[i];
	check_note("%s: no rule says what its loss means", file);
	CHECK(false);
	return NULL;
}

/* False when there is nothing to injure. */
static bool injure(const struct yard *yard, const char *file, enum injury injury, struct prng *prng)
{
	char path[1000];
	struct stat status;
	uint8_t byte;
	off_t at;
	int fd;

	(void)snprintf(path, sizeof(path), "%s/data/%s", yard->directory, file);
	CHECK_INT(0, stat(path, &status));
	if (injury == REMOVED)
		return unlink(path) == 0;
	if (status.st_size == 0)
		return false;
	if (injury == HALVED)
		return truncate(path, status.st_size / 2) == 0;
	fd = open(path, O_RDWR);
	CHECK(fd >= 0);
	at = (off_t)prng_below(prng, (uint64_t)status.st_size);
	if (strncmp(file, "../master", 9) == 0)
		at = 1; /* its last byte is a newline, which may be missing */
	CHECK_INT(1, pread(fd, &byte, 1, at));
	/* Hex digits may be large letters too: bit 5 of one says nothing. */
	byte ^= strncmp(file, "../master", 9) == 0 ? 1 : (uint8_t)(1 << prng_below(prng, 8));
	CHECK_INT(1, pwrite(fd, &byte, 1, at));
	close(fd);
	return true;
}

/* ---- what is found */

static int fsck_run(const struct yard *yard, json_t **ret_report)
{
	char command[2000], text[65536];
	size_t size;
	FILE *pipe;
	int status;

	(void)snprintf(command, sizeof(command), "'%s' '%s/data' --master-key '%s/master' --json 2>/dev/null",
		       getenv("GANTRY_FSCK"), yard->directory, yard->directory);
	pipe = popen(command, "r");
	CHECK(pipe != NULL);
	size = fread(text, 1, sizeof(text) - 1, pipe);
	text[size] = '\0';
	status = pclose(pipe);
	*ret_report = json_loads(text, 0, NULL);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static bool report_names(const json_t *report, const char *file)
{
	json_t *entry;
	size_t i;

	json_array_foreach(json_object_get(report, "damage"), i, entry)
	{
		if (strstr(json_string_value(json_object_get(entry, "text")), file) != NULL)
			return true;
	}
	return false;
}

static void fsck_judge(const struct yard *yard, const char *file, enum verdict verdict, const char *what)
{
	char directory[300];
	json_t *report;
	int status = fsck_run(yard, &report);
	bool named;

	(void)snprintf(directory, sizeof(directory), "%s", file);
	if (strstr(file, "/clean") != NULL)
		strcpy(strstr(directory, "/clean"), ""); /* the environment is named, and the mark in words */
	if (strstr(file, "db/data.mdb") != NULL)
		strcpy(directory, "register/db");
	if (strncmp(file, "catalog/data.mdb", 16) == 0)
		strcpy(directory, "catalog"); /* LMDB, when it is the first to see it, knows no more */
	named = report != NULL && report_names(report, directory);
	if ((verdict == CLEAN && status != 0) || (verdict == DAMAGE && (status != 1 || !named)) ||
	    (verdict == EITHER && !(status == 0 || (status == 1 && named))) ||
	    (verdict == CANNOT_OPEN && status != 3)) {
		check_note("%s: fsck ended with %d, %s it: %s", what, status, named ? "named" : "did not name",
			   json_dumps(json_object_get(report, "damage"), JSON_COMPACT | JSON_ENCODE_ANY));
		CHECK(false);
	}
	json_decref(report);
}

/* Acknowledged reads of open days that are not there, and whether any is lost. */
static unsigned reads_lost(const struct rig *rig)
{
	unsigned lost = 0;

	for (unsigned feed = 0; feed < RIG_FEEDS; feed++)
		for (unsigned lane = 0; lane < FEED_LANE_COUNT; lane++)
			for (uint64_t sequence = 1; sequence < RIG_SEQUENCES; sequence++)
				lost += rig->fates[feed][lane][sequence] == RIG_ACKED &&
					!rig->found[feed][lane][sequence] &&
					!rig->purged[rig_day_of(feed + 1, lane, sequence)];
	return lost;
}

static void register_judge(struct rig *rig, const struct yard *yard, enum fate fate, const char *what)
{
	const char *why = "";
	struct reg *reg = store_register(rig->store, &why);
	struct reg_camera camera;
	struct err err;
	void *bytes;
	size_t size;
	int r;

	if (fate == REGISTER_MISSING) {
		if (reg != NULL)
			check_note("%s: there is a register", what);
		CHECK(reg == NULL && why[0] != '\0');
		return;
	}
	if (reg == NULL)
		check_note("%s: %s", what, why);
	CHECK(reg != NULL);
	CHECK_INT(0, reg_camera_get(reg, 29, &camera));
	CHECK_STR("camera 29", camera.name);
	r = reg_blob_get(reg, yard->blob, &err, &bytes, &size);
	if (fate == LIST_LOST) {
		CHECK(r == -ENOENT || r == -EBADMSG);
		return;
	}
	CHECK_INT(0, r);
	CHECK_INT(7, size);
	CHECK_MEM("entries", bytes, 7);
	free(bytes);
}

static void store_judge(const struct yard *yard, enum fate fate, bool go_on, unsigned *lost_most, const char *what)
{
	struct rig *rig = malloc(sizeof(*rig));
	int r;

	CHECK(rig != NULL);
	*rig = yard->rig;
	rig->options.directory = rig->directory;
	rig->options.master_path = rig->master_path;
	r = rig_open(rig);
	if (fate == NOT_OPENED) {
		if (r == 0)
			check_note("%s: the store opened", what);
		CHECK(r < 0 && rig->err.text[0] != '\0');
		free(rig);
		return;
	}
	if (r < 0)
		check_note("%s: %s", what, rig->err.text);
	CHECK_INT(0, r);
	rig->tolerant = fate == OWN_READS_LOST;
	rig_check(rig, rig->tolerant ? rig_rows(rig) : rig_verify(rig), what);
	if (rig->tolerant && reads_lost(rig) > *lost_most)
		*lost_most = reads_lost(rig);
	register_judge(rig, yard, fate, what);
	if (!go_on) {
		CHECK_INT(0, rig_close(rig, false));
		free(rig);
		return;
	}
	/* What is sent now is taken, sealed, and there after a restart. */
	for (unsigned i = 0; i < 5; i++)
		(void)rig_send(rig);
	rig_settle(rig, 500);
	CHECK_INT(0, rig_close(rig, true));
	r = rig_open(rig);
	if (r < 0)
		check_note("%s, again: %s", what, rig->err.text);
	CHECK_INT(0, r);
	rig_check(rig, rig->tolerant ? rig_rows(rig) : rig_verify(rig), what);
	CHECK_INT(0, rig_close(rig, false));
	free(rig);
}

static void lose_one(struct yard *yard, const char *top, const char *file, enum injury injury, struct prng *prng,
		     unsigned *lost_most)
{
	const struct rule *rule = rule_of(file);
	char what[400];

	(void)snprintf(what, sizeof(what), "%s %s %s", top, file, injury_names[injury]);
	shell("rm -rf '%s/data' && cp -a '%s/%s' '%s/data' && cp -a '%s/master' '%s/kept'", yard->directory,
	      yard->directory, top, yard->directory, yard->directory, yard->directory);
	if (injure(yard, file, injury, prng)) {
		fsck_judge(yard, file, rule->verdicts[injury], what);
		store_judge(yard, rule->fate, injury != FLIPPED, lost_most, what);
	}
	shell("mv '%s/kept' '%s/master'", yard->directory, yard->directory);
}

/* Files of a kind are alike: two of each will do. */
static bool is_third(const struct yard *yard, size_t index)
{
	unsigned before = 0;

	for (size_t i = 0; i < index; i++)
		before += rule_of(yard->files[i]) == rule_of(yard->files[index]);
	return before >= 2;
}

static void lose_each(struct yard *yard, const char *top, const bool injuries[INJURY_COUNT])
{
	struct prng prng = {check_seed()};
	unsigned lost_most = 0;

	yard->file_count = 0;
	files_find(yard, top, "");
	strcpy(yard->files[yard->file_count++], "../master");
	for (size_t i = 0; i < yard->file_count; i++)
		for (enum injury injury = REMOVED; injury < INJURY_COUNT; injury++)
			if (injuries[injury] && !is_third(yard, i))
				lose_one(yard, top, yard->files[i], injury, &prng, &lost_most);
	printf("\n    %zu files of %s, most reads lost with one: %u of %llu ", yard->file_count, top, lost_most,
	       (unsigned long long)yard->rig.acked);
	CHECK(lost_most > 0 && lost_most < yard->rig.acked);
}

static struct yard *yard_get(struct io **ret_io)
{
	log_level_set(LOG_LEVEL_ERROR);
	CHECK_INT(0, io_real_new(ret_io));
	return yard_new(*ret_io);
}

static void each_file_after_a_clean_stop(void)
{
	struct io *io;
	struct yard *yard;

	if (getenv("GANTRY_FSCK") == NULL)
		CHECK_SKIP("GANTRY_FSCK does not name the program");
	yard = yard_get(&io);
	lose_each(yard, "t-clean", (bool[]){true, false, true});
	free(yard);
	io_real_free(io);
}

static void each_file_after_a_crash(void)
{
	struct io *io;
	struct yard *yard;

	if (getenv("GANTRY_FSCK") == NULL)
		CHECK_SKIP("GANTRY_FSCK does not name the program");
	yard = yard_get(&io);
	lose_each(yard, "t-crashed", (bool[]){false, true, true});
	free(yard);
	io_real_free(io);
}

/* Both copies of the keyring, or the catalog and both copies of the lanes. */
static void two_at_once(void)
{
	struct io *io;
	struct yard *yard;
	unsigned lost = 0;

	if (getenv("GANTRY_FSCK") == NULL)
		CHECK_SKIP("GANTRY_FSCK does not name the program");
	yard = yard_get(&io);
	shell("cd '%s' && cp -a t-clean data && rm data/keyring.a data/keyring.b", yard->directory);
	fsck_judge(yard, "keyring", CANNOT_OPEN, "both keyring copies");
	store_judge(yard, NOT_OPENED, true, &lost, "both keyring copies");
	shell("cd '%s' && rm -rf data && cp -a t-clean data && rm data/catalog/data.mdb data/lanes.a", yard->directory);
	fsck_judge(yard, "lanes.a", DAMAGE, "catalog and lanes.a");
	store_judge(yard, ALL_THERE, true, &lost, "catalog and lanes.a");
	/* The lanes begin anew: the rows are there, and nothing of them is told twice. */
	shell("cd '%s' && rm -rf data && cp -a t-clean data && rm data/catalog/data.mdb data/lanes.[ab]",
	      yard->directory);
	fsck_judge(yard, "lanes.b", DAMAGE, "catalog and both lanes");
	store_judge(yard, OWN_READS_LOST, true, &lost, "catalog and both lanes");
	CHECK_INT(0, lost);
	free(yard);
	io_real_free(io);
}

/* The page says in its table what is tested here. */
static void the_page_says_so(void)
{
	static char text[400000];
	char *table, *end;
	size_t size;
	FILE *page = fopen(DOCS, "r");

	if (page == NULL)
		CHECK_SKIP("run it where docs/ is");
	size = fread(text, 1, sizeof(text) - 1, page);
	text[size] = '\0';
	(void)fclose(page);
	table = strstr(text, "## A data directory");
	CHECK(table != NULL);
	end = strstr(table + 4, "\n## ");
	CHECK(end != NULL);
	*end = '\0';
	for (size_t i = 0; i < sizeof(rules) / sizeof(rules[0]); i++) {
		if (strstr(table, rules[i].sentence) == NULL)
			check_note("%s: the page does not say \"%s\"", rules[i].prefix, rules[i].sentence);
		CHECK(strstr(table, rules[i].sentence) != NULL);
	}
}

int main(int argc, char **argv)
{
	static const struct check_test tests[] = {
		{"each file after a clean stop", each_file_after_a_clean_stop},
		{"each file after a crash", each_file_after_a_crash},
		{"two at once", two_at_once},
		{"the page says so", the_page_says_so},
		{NULL, NULL},
	};

	return check_main(argc, argv, "loss", tests);
}
