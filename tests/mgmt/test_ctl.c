/* gantryctl as its user meets it: a process, against a server with handlers that answer as the appliance would. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "appliance/base/err.h"
#include "appliance/base/prng.h"
#include "mgmt/export.h"
#include "tests/check.h"
#include "tests/mgmt/ctl_world.h"

static void help_at_every_level(void)
{
	struct world world = {0};

	CHECK_INT(0, ctl_run(&world, "--help"));
	CHECK(ctl_says("search"));
	CHECK(ctl_says("Exit status"));
	CHECK(ctl_says("  hits follow           A sub") && ctl_says("  subscriptions remove  End a"));
	CHECK_INT(2, ctl_run(&world, " "));
	CHECK_INT(0, ctl_run(&world, "feeds --help"));
	CHECK(ctl_says("feeds rotate"));
	CHECK_INT(2, ctl_run(&world, "feeds"));
	CHECK_INT(0, ctl_run(&world, "search --help"));
	CHECK(ctl_says("--not-read"));
	CHECK(ctl_says("--purpose"));
	CHECK(ctl_says("Examples:"));
	CHECK_INT(0, ctl_run(&world, "lists load --help"));
	CHECK(ctl_says("--list-purpose"));
	CHECK_INT(0, ctl_run(&world, "hits follow --help"));
	CHECK(ctl_says("are printed is acknowledged") && ctl_says("--no-ack"));
	CHECK_INT(0, ctl_run(&world, "hits.follow --help"));
	CHECK(ctl_says("Usage: gantryctl hits follow"));
	CHECK_INT(0, ctl_run(&world, "reads.search --help"));
	CHECK(ctl_says("Usage: gantryctl search"));
	CHECK_INT(0, ctl_run(&world, "audit.key --help"));
	CHECK(ctl_says("Usage: gantryctl audit key"));
	CHECK_INT(2, ctl_run(&world, "hits. --help"));
	CHECK_INT(2, ctl_run(&world, "hits.dance --help"));
	CHECK_INT(0, ctl_run(&world, "api --markdown"));
	CHECK(ctl_says("### `reads.search`"));
	CHECK_INT(0, ctl_run(&world, "api --json"));
	CHECK(ctl_says("\"openrpc\""));
	CHECK_INT(0, ctl_run(&world, "--version"));
}

static void wrong_command_lines(void)
{
	static const struct {
		const char *args;
		const char *text;
	} cases[] = {
		{"dance", "no command"},
		{"feeds dance", "no command"},
		{"status --colour", "no such option"},
		{"status now", "one word too many"},
		{"feeds add", "--feed "},
		{"feeds add seven --name n --organisation o", "feed"},
		{"feeds add 7 --name", "needs a value"},
		{"feeds add 4294967296 --name n --organisation o", "--feed "},
		{"feeds rotate", "--feed "},
		{"search AB1 --limit many", "--limit"},
		{"search AB1 --limit 0", "--limit "},
		{"search AB1 --window 5", "no such option"},
		{"search AB1 --from yesterday " GROUNDS, "--from "},
		{"search AB1 --camera x " GROUNDS, "--camera"},
		{"search AB1 --purpose curiosity", "--purpose "},
		{"search AB1 --strict=1", "takes no value"},
		{"search AB1 --count --limit 5 " GROUNDS, "do not go together"},
		{"search AB1 --vrm AB2 " GROUNDS, "--vrm is given twice"},
		{"search --vrm AB1 AB2 " GROUNDS, "vrm is given twice"},
		{"search AB1 --limit 5 --limit=6 " GROUNDS, "--limit is given twice"},
		{"search AB1 --from 2026-07-01 --from 2026-07-02 " GROUNDS, "--from is given twice"},
		{"search AB1 --strict --strict " GROUNDS, "--strict is given twice"},
		{"search AB1 --csv --csv " GROUNDS, "--csv is given twice"},
		{"hits follow --for 1 --for 2", "--for is given twice"},
		{"hits follow " GROUNDS, "the subscription's name is missing"},
		{"hits acknowledge", "--hit is missing"},
		{"lists load f --name n --list-purpose x", "--list-purpose must be one of monitor | respond"},
		{"audit attachment 12 --out f " GROUNDS, "--attachment must be 64 digits"},
		{"audit attachment " SIXTY_FOUR " --out f " GROUNDS, "--attachment must be 64 digits"},
		{"hits follow --count 0", "--count"},
		{"hits follow --for x", "--for"},
		{"lists load --name n", "FILE"},
		{"lists load f", "--name "},
		{"purge run 2026-11", "--day "},
		{"audit export " GROUNDS, "--out"},
		{"audit verify --file f", "--key"},
		{"stop", "--reason "},
	};
	struct world world = {0};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		int code = ctl_run(&world, "%s", cases[i].args);

		if (code != 2)
			check_note("%s", cases[i].args);
		CHECK(ctl_complains(cases[i].text));
		CHECK_INT(2, code);
	}
}

static void unreachable(void)
{
	struct world world = {0};

	(void)snprintf(world.test.path, sizeof(world.test.path), "%s/none", check_directory());
	CHECK_INT(3, ctl_run(&world, "status"));
	CHECK(ctl_complains("is the appliance running?"));
	CHECK_INT(3, ctl_run(&world, "status --socket /"));
}

static void status_for_people_and_scripts(void)
{
	const char *directory = check_directory();
	struct world world;

	ctl_begin(&world);
	CHECK_INT(0, ctl_run(&world, "status"));
	CHECK(ctl_says("running"));
	CHECK(ctl_says("2026-07-01 13:00:00.250 BST")); /* local, with its zone */
	CHECK(ctl_says("backlog"));
	CHECK(ctl_says("5.0 GiB"));
	CHECK(ctl_says("uptime_s  1234.6\n"));
	CHECK(ctl_says(
		"CAMERA TYPE  HOUR HITS  HOUR WITHIN 2S PERCENT  HOUR P50  DAY HITS  DAY WITHIN 2S PERCENT    DAY "
		"P50\n"));
	CHECK(ctl_says("fixed                7                   100.0    1.6 ms\n"));
	CHECK(ctl_says("                   50.0  2000.0 ms\n"));
	CHECK(ctl_says("a?[2Jb??2J"));
	CHECK(strchr(ctl_output, 0x1b) == NULL);
	CHECK_INT(0, ctl_run(&world, "status --json"));
	CHECK(ctl_says("\"disk_free_bytes\":5368709120"));
	CHECK_INT(0, ctl_run(&world, "status >/dev/full 2>'%s/full'; cat '%s/full'", directory, directory));
	CHECK(ctl_says("standard output: No space left on device"));
	CHECK_INT(1, ctl_run(&world, "counters"));
	CHECK(ctl_complains("not available"));
	test_server_fini(&world.test);
}

static void changes(void)
{
	struct world world;

	ctl_begin(&world);
	CHECK_INT(0, ctl_run(&world, "feeds add 7 --name North --organisation 'Northshire Police'"));
	CHECK(ctl_says("c0ffee"));
	CHECK_INT(1, ctl_run(&world, "feeds add --feed=9 --name=North --organisation=N"));
	CHECK(ctl_complains("feed 9 exists"));
	CHECK_INT(1, ctl_run(&world, "feeds add 9 --name North --organisation N --json"));
	CHECK(ctl_says("\"code\":-32001"));
	CHECK_INT(1, test_audit_count(world.test.options.audit, "feeds.add", AUDIT_DONE));
	CHECK_INT(2, test_audit_count(world.test.options.audit, "feeds.add", AUDIT_FAILED));
	CHECK_INT(3, test_audit_count(world.test.options.audit, "feeds.add", AUDIT_INTENT));
	test_server_fini(&world.test);
}

/* Characters of every length at every place of the pieces in which a file travels. */
static void files_are_uploaded(void)
{
	static const char *const letters[] = {"a", "\xc3\x84", "\xe2\x82\xac", "\xf0\x9f\x9a\x97", "\n", "\""};
	struct prng prng = {check_seed()};
	struct world world;
	char path[300];
	unsigned char sum = 0;
	size_t size = 0;
	FILE *file;

	ctl_begin(&world);
	(void)snprintf(path, sizeof(path), "%s/list.csv", check_directory());
	file = fopen(path, "w");
	CHECK(file != NULL);
	while (size < 700000) {
		const char *letter = letters[prng_below(&prng, 6)];

		(void)fputs(letter, file);
		for (const char *at = letter; *at != '\0'; at++, size++)
			sum = (unsigned char)(sum * 31 + (unsigned char)*at);
	}
	CHECK_INT(0, fclose(file));
	CHECK_INT(0, ctl_run(&world, "lists load %s --name stolen", path));
	CHECK(ctl_says("not a plate"));
	CHECK_INT(size, world.uploaded_size);
	CHECK_INT(sum, world.uploaded_sum);
	file = fopen(path, "a");
	(void)fputs("\xff", file);
	CHECK_INT(0, fclose(file));
	CHECK_INT(1, ctl_run(&world, "lists load %s --name stolen", path));
	CHECK(ctl_complains("UTF-8"));
	CHECK_INT(1, ctl_run(&world, "lists load %s.none --name stolen", path));
	CHECK_INT(0, ctl_run(&world, "lists load /dev/null --name empty"));
	CHECK_INT(0, world.uploaded_size);
	test_server_fini(&world.test);
}

static void searches(void)
{
	struct world world;

	ctl_begin(&world);
	CHECK_INT(0, ctl_run(&world, "search 'AB1?CDE' --from 2026-07-01 --to '2026-07-02 12:00' " GROUNDS));
	CHECK(ctl_says("CAPTURED"));
	CHECK(ctl_says("2026-07-01 13:00:00.250 BST"));
	CHECK(ctl_says("1002"));
	CHECK(strstr(ctl_output, "FLAGS") == NULL); /* empty in every row */
	CHECK(strchr(ctl_output, 0x1b) == NULL);
	CHECK(ctl_complains("--cursor c-3"));
	CHECK_INT(0, ctl_run(&world, "search 'AB1?CDE' --json " GROUNDS));
	CHECK(ctl_says("{\"vrm\":\"AB12CDE\""));
	CHECK(strstr(ctl_output, "\"cursor\":\"c-3\"") >
	      strstr(ctl_output, "\"camera\":1002")); /* the result is last */
	CHECK_INT(0, ctl_run(&world, "search 'AB1?CDE' --count --camera 1 --camera 2 " GROUNDS));
	CHECK_STR("1234\n", ctl_output);
	CHECK_INT(1, ctl_run(&world, "search 'AB1?CDE' --purpose serious --case C-17"));
	CHECK(ctl_complains("reason is missing"));
	CHECK_INT(1, ctl_run(&world, "search 'AB1?CDE' --purpose serious --case q --reason 'because of it'"));
	CHECK(ctl_complains("case is no reference"));
	CHECK_INT(1, ctl_run(&world, "search 'AB1?CDE' --purpose serious --case C-17 --reason xx"));
	CHECK(ctl_complains("reason says nothing"));
	CHECK_INT(3, test_audit_count(world.test.options.audit, "reads.search", AUDIT_REFUSED));
	world.complete = false;
	CHECK_INT(4, ctl_run(&world, "search 'AB1?CDE' " GROUNDS));
	CHECK(ctl_complains("INCOMPLETE"));
	CHECK_INT(4, ctl_run(&world, "search 'AB1?CDE' --json " GROUNDS));
	test_server_fini(&world.test);
}

static void evaluations(void)
{
	struct world world;

	ctl_begin(&world);
	CHECK_INT(0, ctl_run(&world, "consecutive 1001 --count 250 --from 2026-07-01 --csv " GROUNDS));
	CHECK(strncmp(ctl_output,
		      "id,capture,receipt,vrm,key,kind,camera,camera_name,position,lat,lon,feed,confidence,"
		      "lane,direction,country,flags,images\r\n",
		      100) == 0);
	CHECK(ctl_says("\r\n,2026-07-01T12:00:00.250000Z,,\"A\"\"B, 1\",,,1001,\"Ring, North\",,51.5000000,,,,,,,test "
		       "position,\r\n"));
	CHECK(ctl_complains(
		"2 sightings, of them 1 not read, 2 tests, 1.5 ms; looked at 77 rows and keys, 3 segments"));
	CHECK_INT(2, ctl_run(&world, "consecutive 1001 --csv --json " GROUNDS));
	CHECK_INT(2, ctl_run(&world, "search AB1 --csv --count " GROUNDS));
	CHECK_INT(2, ctl_run(&world, "consecutive --count 250 " GROUNDS));
	CHECK(ctl_complains("--camera is missing"));
	CHECK_INT(2, ctl_run(&world, "consecutive 1001 --count 10001 " GROUNDS));
	CHECK_INT(1, ctl_run(&world, "consecutive 1001 --count 250 --from 2026-07-01"));
	CHECK(ctl_complains("purpose is missing"));
	CHECK_INT(0, ctl_run(&world, "segments show --day 2026-07-01"));
	CHECK(ctl_says("64.0 KiB") && ctl_says("B/READ") && ctl_says("segments  1"));
	CHECK_INT(2, ctl_run(&world, "segments show --day yesterday"));
	CHECK_INT(0, ctl_run(&world, "segments --help"));
	test_server_fini(&world.test);
}

/* The export is checked by the file and the key alone, and by nothing that was changed. */
static void audit_for_the_auditor(void)
{
	const char *directory = check_directory();
	struct world world;
	struct export_report report;
	char path[300];
	char key[AUDIT_VKEY_MAX];
	char *bytes = malloc(65536);
	size_t size;
	FILE *file;

	ctl_begin(&world);
	for (int i = 0; i < 3; i++)
		CHECK_INT(0, ctl_run(&world, "feeds add %d --name n --organisation o", i));
	CHECK_INT(0, ctl_run(&world, "lists load /dev/null --name list-of-ours"));
	CHECK_INT(0, ctl_run(&world, "audit verify"));
	CHECK(ctl_says("size"));
	CHECK_INT(0, ctl_run(&world, "audit show --purpose audit --case A-1 --reason 'monthly review'"));
	CHECK(ctl_says("feeds.add"));
	CHECK(ctl_says("monthly review"));
	CHECK(ctl_says("  WHAT  ") && ctl_says("list-of-ours") && ctl_says("  ADDED  REMOVED  "));
	CHECK(ctl_says("     12        3"));
	CHECK_INT(1, ctl_run(&world, "audit show"));
	CHECK_INT(0, ctl_run(&world, "audit key > %s/key; true", directory));
	(void)snprintf(path, sizeof(path), "%s/key", directory);
	ctl_slurp(path, key, sizeof(key));
	key[strcspn(key, "\n")] = '\0';
	CHECK_INT(0,
		  ctl_run(&world,
			  "audit export --out %s/export --first 2 --count 3 --purpose audit --case A-1 --reason review",
			  directory));
	CHECK(ctl_says("verified"));
	CHECK_INT(1, ctl_run(&world, "audit export --out %s/export --purpose audit --case A-1 --reason review",
			     directory));
	test_server_fini(&world.test);

	CHECK_INT(0, ctl_run(&world, "audit verify --file %s/export --key %s/key --json", directory, directory));
	CHECK(ctl_says("\"first\":2,\"count\":3"));
	CHECK_INT(0, ctl_run(&world, "audit verify --file %s/export --key '%s'", directory, key));
	(void)snprintf(path, sizeof(path), "%s/export", directory);
	ctl_slurp(path, bytes, 65536);
	size = strlen(bytes);
	for (size_t i = 0; i < size; i++) {
		bytes[i] ^= 1;
		file = fmemopen(bytes, size, "r");
		if (export_verify(file, key, &report, NULL) == 0)
			check_note("byte %zu of %zu may be changed", i, size);
		CHECK(export_verify(file, key, &report, NULL) < 0 && ftell(file) >= 0);
		(void)fclose(file);
		bytes[i] ^= 1;
	}
	for (size_t i = 1; i < size; i++) {
		file = fmemopen(bytes, i, "r");
		CHECK_INT(-EBADMSG, export_verify(file, key, &report, NULL));
		(void)fclose(file);
	}
	free(bytes);
}

int main(int argc, char **argv)
{
	static const struct check_test tests[] = {
		{"help at every level", help_at_every_level},
		{"wrong command lines", wrong_command_lines},
		{"unreachable", unreachable},
		{"status for people and scripts", status_for_people_and_scripts},
		{"changes", changes},
		{"files are uploaded", files_are_uploaded},
		{"searches", searches},
		{"evaluations", evaluations},
		{"hits", ctl_test_hits},
		{"hits searched", ctl_test_hits_searched},
		{"lists and rates", ctl_test_lists_and_rates},
		{"hits taken on", ctl_test_hits_taken_on},
		{"hits end with the appliance", ctl_test_hits_end_with_the_appliance},
		{"audit for the auditor", audit_for_the_auditor},
		{NULL, NULL},
	};

	return check_main(argc, argv, "gantryctl", tests);
}
