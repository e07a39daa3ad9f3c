/*
 * The thin layer over CUnit: a table of tests, a main, asserts that stop the test they stand in, and a reason printed
 * when a test cannot run here.
 *
 *	static void test_of_something(void) { CHECK_INT(2, one() + one()); }
 *	int main(int argc, char **argv)
 *	{
 *		static const struct check_test tests[] = {{"one and one are two", test_of_something}, {NULL, NULL}};
 *		return check_main(argc, argv, "arithmetic", tests);
 *	}
 *
 * `program NAME` runs only the tests whose name contains NAME; `--seed N` replays. Closes with CUnit's summary.
 */
#ifndef GANTRY_TESTS_CHECK_H
#define GANTRY_TESTS_CHECK_H

#include <CUnit/CUnit.h>
#include <stdint.h>

struct check_test {
	const char *name;
	void (*run)(void);
};

int check_main(int argc, char **argv, const char *suite, const struct check_test *tests);

/* The seed of this run: --seed N, else GANTRY_SEED, else from the clock. Printed at the start and with every failure.
 */
uint64_t check_seed(void);

/* Ends the test as skipped, printing why. Not a pass: the closing line of tests/run counts it apart. */
#define CHECK_SKIP(...)                                                                                                \
	do {                                                                                                           \
		check_skipped(__VA_ARGS__);                                                                            \
		return;                                                                                                \
	} while (0)
void check_skipped(const char *format, ...) __attribute__((format(printf, 1, 2)));

#define CHECK(condition) CU_ASSERT_FATAL(condition)
#define CHECK_INT(expected, actual)                                                                                    \
	do {                                                                                                           \
		long long check_e_ = (long long)(expected);                                                            \
		long long check_a_ = (long long)(actual);                                                              \
		if (check_e_ != check_a_)                                                                              \
			check_note("%s:%d: %s is %lld, expected %lld", __FILE__, __LINE__, #actual, check_a_,          \
				   check_e_);                                                                          \
		CU_ASSERT_FATAL(check_e_ == check_a_);                                                                 \
	} while (0)
#define CHECK_STR(expected, actual)                                                                                    \
	do {                                                                                                           \
		const char *check_e_ = (expected);                                                                     \
		const char *check_a_ = (actual);                                                                       \
		if (check_a_ == NULL || strcmp(check_e_, check_a_) != 0)                                               \
			check_note("%s:%d: %s is \"%s\", expected \"%s\"", __FILE__, __LINE__, #actual,                \
				   check_a_ != NULL ? check_a_ : "(null)", check_e_);                                  \
		CU_ASSERT_FATAL(check_a_ != NULL && strcmp(check_e_, check_a_) == 0);                                  \
	} while (0)
#define CHECK_MEM(expected, actual, size) CU_ASSERT_FATAL((size) == 0 || memcmp((expected), (actual), (size)) == 0)
void check_note(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* A fresh directory under $TMPDIR, removed with all it holds when the program ends. The caller frees nothing. */
const char *check_directory(void);
/* The same where syncing costs nothing, when the machine has such a place: for what is not the thing under test. */
const char *check_memory_directory(void);

#endif
