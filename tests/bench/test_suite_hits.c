/*
 * gantry-bench hits runs a whole appliance with its fleet and two subscribers at a tiny scale: every hit is told, the
 * figures are there, nothing is left behind. GANTRY_BENCH names the program.
 */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <jansson.h>

#include "tests/check.h"

#define TINY "hits --seconds 1 --rate 20000 --cameras 200 --vehicles 20000"

static char directory[64];

/* Whatever it printed, NULL for none; its exit status. */
static int run(const char *program, json_t **ret_report)
{
	char command[600];
	FILE *out;
	int status;

	(void)snprintf(command, sizeof(command), "%s %s --json --seed %llu --data %s/room 2>%s/log", program, TINY,
		       (unsigned long long)check_seed() % 1000 + 1, directory, directory);
	out = popen(command, "r");
	CHECK(out != NULL);
	*ret_report = json_loadf(out, JSON_DISABLE_EOF_CHECK, NULL);
	status = pclose(out);
	CHECK(WIFEXITED(status));
	return WEXITSTATUS(status);
}

static bool logged(const char *text)
{
	char path[80], line[600];
	bool found = false;
	FILE *file;

	(void)snprintf(path, sizeof(path), "%s/log", directory);
	file = fopen(path, "r");
	CHECK(file != NULL);
	while (fgets(line, sizeof(line), file) != NULL)
		found |= strstr(line, text) != NULL;
	(void)fclose(file);
	return found;
}

static void test_every_hit_is_told(void)
{
	static const char *const names[] = {"calm", "busy", "flood"};
	json_t *report = NULL;
	const json_t *row;
	size_t i;

	CHECK_INT(0, run(getenv("GANTRY_BENCH"), &report));
	CHECK_INT(3, json_array_size(json_object_get(report, "traffics")));
	CHECK_INT(0, json_integer_value(json_object_get(report, "wrong")));
	json_array_foreach(json_object_get(report, "traffics"), i, row)
	{
		CHECK_STR(names[i], json_string_value(json_object_get(row, "traffic")));
		CHECK(json_integer_value(json_object_get(row, "urgent_hits")) > 0);
		CHECK(json_integer_value(json_object_get(row, "mass_hits")) > 0);
		CHECK(json_number_value(json_object_get(row, "p99_ms")) > 0);
		CHECK(json_number_value(json_object_get(row, "max_ms")) >=
		      json_number_value(json_object_get(row, "p99_ms")));
		CHECK_INT(0, json_integer_value(json_object_get(row, "not_told")));
	}
	row = json_array_get(json_object_get(report, "traffics"), 2);
	/* Four in ten reads of the flood, less the misread ones. */
	CHECK(json_number_value(json_object_get(row, "hits_per_s")) >
	      0.3 * json_number_value(json_object_get(row, "reads_per_s")));
	CHECK(json_number_value(json_object_get(report, "flood_p99_ms")) > 0);
	json_decref(report);
}

/* Without the programs that it runs it says which one is missing, and where it looked. */
static void test_alone(void)
{
	char command[400], program[100];
	json_t *report = NULL;

	(void)snprintf(program, sizeof(program), "%s/gantry-bench", directory);
	(void)snprintf(command, sizeof(command), "cp %s %s", getenv("GANTRY_BENCH"), program);
	CHECK_INT(0, system(command));
	CHECK_INT(1, run(program, &report));
	CHECK(report == NULL);
	CHECK(logged("gantryd is neither in"));
}

int main(int argc, char **argv)
{
	static const struct check_test tests[] = {
		{"every hit is told, and the figures are there", test_every_hit_is_told},
		{"alone it says what it lacks", test_alone},
		{NULL, NULL}};
	char command[100];
	int status;

	(void)snprintf(directory, sizeof(directory), "/tmp/gantry-test-XXXXXX");
	if (mkdtemp(directory) == NULL)
		return 1;
	status = check_main(argc, argv, "bench hits", tests);
	(void)snprintf(command, sizeof(command), "rm -rf %s", directory);
	return system(command) == 0 ? status : 1;
}
