#include "tests/check.h"

#include <CUnit/Basic.h>
#include <ftw.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define DIRECTORIES_MAX 4096

static uint64_t seed;
static unsigned skipped_count;
static char *directories[DIRECTORIES_MAX];
static unsigned directory_count;

uint64_t check_seed(void)
{
	return seed;
}

void check_note(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	(void)fprintf(stderr, "\n    ");
	(void)vfprintf(stderr, format, args);
	(void)fprintf(stderr, " (seed %llu)\n", (unsigned long long)seed);
	va_end(args);
}

void check_skipped(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	printf("skipped: ");
	vprintf(format, args);
	printf(" ... ");
	va_end(args);
	skipped_count++;
}

static int remove_entry(const char *path, const struct stat *stat, int type, struct FTW *ftw)
{
	(void)stat;
	(void)type;
	(void)ftw;
	return remove(path);
}

static void remove_directories(void)
{
	for (unsigned i = 0; i < directory_count; i++) {
		(void)nftw(directories[i], remove_entry, 16, FTW_DEPTH | FTW_PHYS);
		free(directories[i]);
	}
}

static const char *directory_under(const char *base)
{
	char *path;

	if (directory_count == DIRECTORIES_MAX || asprintf(&path, "%s/gantry-test-XXXXXX", base) < 0)
		abort();
	if (mkdtemp(path) == NULL) {
		perror(path);
		abort();
	}
	directories[directory_count++] = path;
	return path;
}

const char *check_directory(void)
{
	const char *tmp = getenv("TMPDIR");

	return directory_under(tmp != NULL ? tmp : "/tmp");
}

const char *check_memory_directory(void)
{
	return access("/dev/shm", W_OK) == 0 ? directory_under("/dev/shm") : check_directory();
}

int check_main(int argc, char **argv, const char *suite_name, const struct check_test *tests)
{
	const char *only = NULL;
	const char *wish = getenv("GANTRY_SEED");
	struct timespec now;
	CU_pSuite suite;
	unsigned failed;

	clock_gettime(CLOCK_REALTIME, &now);
	seed = wish != NULL ? strtoull(wish, NULL, 0) : (uint64_t)now.tv_sec * 1000003u + (uint64_t)now.tv_nsec;
	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], "--seed") == 0 && i + 1 < argc)
			seed = strtoull(argv[++i], NULL, 0);
		else
			only = argv[i];
	}
	(void)setvbuf(stdout, NULL, _IOLBF, 0);
	printf("seed %llu\n", (unsigned long long)seed);
	if (CU_initialize_registry() != CUE_SUCCESS)
		return 2;
	suite = CU_add_suite(suite_name, NULL, NULL);
	if (suite == NULL)
		return 2;
	for (; tests->name != NULL; tests++)
		if ((only == NULL || strstr(tests->name, only) != NULL) &&
		    CU_add_test(suite, tests->name, tests->run) == NULL)
			return 2;
	CU_basic_set_mode(CU_BRM_VERBOSE);
	CU_basic_run_tests();
	failed = CU_get_number_of_tests_failed();
	printf("gantry-check: %u passed, %u failed, %u skipped\n",
	       CU_get_number_of_tests_run() - failed - skipped_count, failed, skipped_count);
	if (failed > 0)
		printf("seed %llu\n", (unsigned long long)seed);
	CU_cleanup_registry();
	remove_directories();
	return failed > 0;
}
