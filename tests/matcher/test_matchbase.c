/*
 * Where a base's databases come from: a base like it, the cache, this process, another process; and all that can go
 * wrong with each.
 */
#include "matcher/matchbase.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "appliance/base/clock.h"
#include "appliance/base/err.h"
#include "appliance/base/prng.h"
#include "matcher/hscompile.h"
#include "matcher/hscompile_wire.h"
#include "matcher/hsdb.h"
#include "matcher/list.h"
#include "matcher/matchset.h"
#include "matcher/vrm.h"
#include "tests/check.h"

static struct err err;

static struct list *list_make(const char *text)
{
	struct list_info info = {.id = 1, .version = 1, .generation = 1, .name = "one"};
	struct list *list;

	CHECK_INT(0, list_load_csv(&info, text, strlen(text), NULL, NULL, &err, &list));
	return list;
}

/* Patterns that take Hyperscan seconds: two places open in each. */
static struct hsdb_pattern *patterns_make(uint32_t count)
{
	struct hsdb_pattern *patterns = calloc(count, sizeof(*patterns));
	struct prng prng = {7};

	for (uint32_t i = 0; i < count; i++) {
		for (size_t j = 0; j < 7; j++)
			patterns[i].bytes[j] = VRM_KEY_ALPHABET[prng_below(&prng, 34)];
		patterns[i].bytes[prng_below(&prng, 7)] = '?';
		patterns[i].bytes[prng_below(&prng, 7)] = '?';
	}
	return patterns;
}

/* A cache in memory that counts. */
struct shelf {
	void *bytes[MATCHBASE_PARTS];
	size_t sizes[MATCHBASE_PARTS];
	unsigned gets, puts;
};

static int shelf_get(void *context, enum matchbase_part part, void **ret_bytes, size_t *ret_size)
{
	struct shelf *shelf = context;
	void *copy;

	shelf->gets++;
	if (shelf->bytes[part] == NULL)
		return -ENOENT;
	copy = malloc(shelf->sizes[part] + 1);
	memcpy(copy, shelf->bytes[part], shelf->sizes[part]);
	*ret_bytes = copy;
	*ret_size = shelf->sizes[part];
	return 0;
}

static void shelf_put(void *context, enum matchbase_part part, const void *bytes, size_t size)
{
	struct shelf *shelf = context;

	shelf->puts++;
	free(shelf->bytes[part]);
	shelf->bytes[part] = malloc(size);
	memcpy(shelf->bytes[part], bytes, size);
	shelf->sizes[part] = size;
}

static void shelf_fini(struct shelf *shelf)
{
	for (int i = 0; i < MATCHBASE_PARTS; i++)
		free(shelf->bytes[i]);
}

static size_t hits_of(struct matchbase *base, const struct list *list, const char *vrm)
{
	struct read read = {0};
	struct match_cursor cursor = {0};
	struct match_scratch *scratch;
	struct matchset *set;
	struct hit hits[8];
	size_t count;

	memcpy(read.text, vrm, strlen(vrm));
	CHECK_INT(0, vrm_key(read.text, read.key));
	CHECK_INT(0, matchset_new(&list, 1, base, NULL, &err, &set));
	CHECK_INT(0, match_scratch_new(set, &scratch));
	CHECK_INT(0, match_burst(set, scratch, &read, 1, &cursor, hits, 8, &count));
	match_scratch_free(scratch);
	matchset_free(set);
	return count;
}

static struct matchbase *make(const struct list *list, const struct matchbase_options *options)
{
	struct matchbase *base;

	CHECK_INT(0, matchbase_new(&list, 1, options, &err, &base));
	return base;
}

static void compiled_once(void)
{
	struct list *list = list_make("vrm\nAB12CDE\nAB1?CDE\n"), *more = list_make("vrm\nAB12CDE\nXY12CDE\nAB1?CDE\n");
	struct shelf shelf = {0};
	const struct matchbase_cache cache = {shelf_get, shelf_put, &shelf};
	struct matchbase_options options = {.limits = {.mass_entries_min = 100}, .cache = &cache, .ready_only = true};
	struct matchbase *first, *again, *alike;

	CHECK_INT(MATCHBASE_TO_COMPILE, matchbase_new((const struct list *const *)&list, 1, &options, &err, &first));
	options.ready_only = false;
	first = make(list, &options);
	CHECK_INT(2, shelf.puts);
	CHECK_INT(2, hits_of(first, list, "AB12CDE"));
	/* A start later: nothing is compiled. */
	options.ready_only = true;
	again = make(list, &options);
	CHECK_INT(2, shelf.puts);
	CHECK_INT(2, hits_of(again, list, "AB12CDE"));
	/* Other literals, the same patterns: those are shared, whatever the cache holds. */
	shelf.sizes[MATCHBASE_PATTERNS] = 0;
	options.ready_only = false;
	options.like = again;
	alike = make(more, &options);
	CHECK_INT(3, shelf.puts);
	matchbase_free(again);
	matchbase_free(first);
	CHECK_INT(2, hits_of(alike, more, "AB12CDE"));
	CHECK_INT(1, hits_of(alike, more, "XY12CDE"));
	matchbase_free(alike);
	CHECK(matchbase_free(NULL) == NULL && matchbase_hold(NULL) == NULL);
	shelf_fini(&shelf);
	list_free(list);
	list_free(more);
}

/* Cut anywhere, a bit flipped anywhere, nothing of ours, or of other lists: compiled anew, and put in its place. */
static void a_corrupt_image_is_compiled_anew(void)
{
	struct list *list = list_make("vrm\nAB1?CDE\n"), *other = list_make("vrm\nAB2?CDE\n");
	struct prng prng = {check_seed()};
	struct shelf shelf = {0};
	const struct matchbase_cache cache = {shelf_get, shelf_put, &shelf};
	const struct matchbase_options options = {.cache = &cache};
	struct matchbase *base = make(other, &options);

	matchbase_free(base);
	for (unsigned turn = 0; turn < 100; turn++) {
		uint8_t *bytes = shelf.bytes[MATCHBASE_PATTERNS];
		unsigned puts = shelf.puts;

		switch (turn == 0 ? 0 : 1 + turn % 3) {
		case 1:
			bytes[prng_below(&prng, shelf.sizes[MATCHBASE_PATTERNS])] ^=
				(uint8_t)(1 << prng_below(&prng, 8));
			break;
		case 2:
			shelf.sizes[MATCHBASE_PATTERNS] = prng_below(&prng, shelf.sizes[MATCHBASE_PATTERNS]);
			break;
		case 3:
			for (size_t i = 0; i < shelf.sizes[MATCHBASE_PATTERNS]; i++)
				bytes[i] = (uint8_t)prng_next(&prng);
			break;
		}
		base = make(list, &options);
		CHECK_INT(puts + 1, shelf.puts);
		CHECK_INT(1, hits_of(base, list, "AB12CDE"));
		matchbase_free(base);
	}
	shelf_fini(&shelf);
	list_free(list);
	list_free(other);
}

/* The parser itself: each outcome, and never a database from bytes that no hsdb_image has made. */
static void images_are_checked(void)
{
	struct hsdb_pattern *patterns = patterns_make(20);
	struct prng prng = {check_seed()};
	uint8_t key[SHA256_SIZE], *bytes;
	struct hsdb *db, *parsed;
	void *image;
	uint32_t bad;
	size_t size;

	CHECK_INT(0, hsdb_compile(patterns, 20, &err, &bad, &db));
	CHECK_INT(0, hsdb_image(db, &image, &size));
	hsdb_key(patterns, 20, key);
	CHECK_MEM(key, hsdb_content(db), SHA256_SIZE);
	CHECK_INT(0, hsdb_parse(image, size, key, &err, &parsed));
	CHECK_INT(hsdb_size(db), hsdb_size(parsed));
	hsdb_free(parsed);
	patterns[0].bytes[0] ^= 1;
	hsdb_key(patterns, 20, key);
	CHECK_INT(-ESTALE, hsdb_parse(image, size, key, &err, &parsed));
	CHECK(strstr(err.text, "other lists") != NULL);
	bytes = malloc(size + 16);
	for (unsigned turn = 0; turn < 3000; turn++) {
		size_t length = turn % 3 == 0 ? prng_below(&prng, size + 16) : size;

		memcpy(bytes, image, size);
		memset(bytes + size, 0, 16);
		if (turn % 3 == 1)
			bytes[prng_below(&prng, size)] ^= (uint8_t)(1 + prng_below(&prng, 255));
		if (turn % 3 == 2)
			for (size_t i = 0; i < 200; i++)
				bytes[prng_below(&prng, 200)] = (uint8_t)prng_next(&prng);
		if (length == size && memcmp(bytes, image, size) == 0)
			continue;
		CHECK(hsdb_parse(bytes, length, hsdb_content(db), &err, &parsed) < 0);
	}
	free(bytes);
	free(image);
	hsdb_free(db);
	free(patterns);
}

static void hostile_patterns_are_refused(void)
{
	static const char *const hostile[] = {"", "****", "*", "?", "????????????????", "A***************", "*A*"};
	struct hsdb_pattern empty = {{0}};
	struct hsdb *db;
	uint32_t bad;

	for (size_t i = 0; i < sizeof(hostile) / sizeof(hostile[0]); i++) {
		struct list_info info = {.id = 1, .version = 1, .name = "hostile"};
		const struct list_options options = {.strict = true};
		struct list_result result;
		struct list *list;
		char text[64];

		(void)snprintf(text, sizeof(text), "vrm,reason\n%s,x\n", hostile[i]);
		CHECK_INT(-EINVAL, list_load_csv(&info, text, strlen(text), &options, &result, &err, &list));
		CHECK_INT(1, result.bad);
		CHECK_INT(2, result.reports[0].line);
		CHECK(strlen(result.reports[0].reason) > 10);
	}
	/* Behind that door Hyperscan 5.4.0 would take the empty one. */
	CHECK_INT(-EINVAL, hsdb_compile(&empty, 1, &err, &bad, &db));
	CHECK_INT(0, bad);
}

static const char *compiler(void)
{
	return getenv("GANTRY_COMPILE");
}

static void compiled_elsewhere_is_the_same(void)
{
	struct list *list = list_make("vrm\nAB12CDE\nAB1?CDE\nAB*DE\n");
	const struct hscompile compile = {.program = compiler()};
	const struct matchbase_options options = {.limits = {.mass_entries_min = 100}, .compile = &compile};
	struct matchbase *base;

	if (compiler() == NULL)
		CHECK_SKIP("GANTRY_COMPILE is not set");
	base = make(list, &options);
	CHECK_INT(3, hits_of(base, list, "AB12CDE"));
	CHECK_INT(0, hits_of(base, list, "AB12CDF"));
	matchbase_free(base);
	list_free(list);
	CHECK(waitpid(-1, NULL, WNOHANG) < 0 && errno == ECHILD);
}

static const char *script(const char *body)
{
	static char path[512];
	static unsigned number;
	int fd;

	(void)snprintf(path, sizeof(path), "%s/compile%u", check_directory(), number++);
	fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0700);
	CHECK(fd >= 0);
	CHECK_INT(strlen(body), write(fd, body, strlen(body)));
	close(fd);
	return path;
}

static int run(const struct hscompile *compile, uint32_t count)
{
	struct hsdb_pattern *patterns = patterns_make(count);
	void *bytes = NULL;
	uint32_t bad;
	size_t size;
	int status;

	err.text[0] = '\0';
	status = hscompile_run(compile, patterns, count, &err, &bad, &bytes, &size);
	CHECK((status == 0) == (bytes != NULL));
	CHECK(status == 0 || err.text[0] != '\0');
	CHECK(waitpid(-1, NULL, WNOHANG) < 0 && errno == ECHILD);
	free(bytes);
	free(patterns);
	return status;
}

static int run_script(const char *body)
{
	const struct hscompile compile = {.program = script(body), .timeout_ms = 700};

	return run(&compile, 3000);
}

static void a_compile_process_that_fails_is_told(void)
{
	int64_t started_ns = clock_mono_ns();

	CHECK_INT(-ECHILD, run_script("#!/bin/sh\nkill -9 $$\n"));
	CHECK(strstr(err.text, "signal 9") != NULL);
	CHECK_INT(-EBADMSG, run_script("#!/bin/sh\nexit 3\n"));
	CHECK(strstr(err.text, "status 3") != NULL);
	CHECK_INT(-EBADMSG, run_script("#!/bin/sh\nexec head -c 200000 /dev/urandom >&0\n"));
	CHECK(strstr(err.text, "something else") != NULL);
	CHECK_INT(-ETIMEDOUT, run_script("#!/bin/sh\nexec sleep 60\n"));
	CHECK(strstr(err.text, "too long") != NULL);
	/* It hangs up and stays. */
	CHECK_INT(-ECHILD, run_script("#!/bin/sh\nexec 0<&-\nexec sleep 60\n"));
	CHECK(clock_mono_ns() - started_ns < INT64_C(10000000000));
	CHECK_INT(-ENOENT, run(&(struct hscompile){.program = "/nonexistent/gantry-compile"}, 3));
}

static void a_compile_process_can_be_called_off(void)
{
	atomic_bool cancelled = true;
	const struct hscompile compile = {.program = script("#!/bin/sh\nexec sleep 60\n"), .cancelled = &cancelled};

	CHECK_INT(-ECANCELED, run(&compile, 3));
}

/* Head and size are right, what follows is not an image. */
static void an_answer_is_not_believed(void)
{
	struct compile_answer answer = {.magic = COMPILE_MAGIC, .size = 5000};
	struct list *list = list_make("vrm\nAB1?CDE\n");
	struct matchbase *base = NULL;
	char path[512], body[700];
	struct hscompile compile = {.timeout_ms = 5000};
	const struct matchbase_options options = {.compile = &compile};
	uint8_t garbage[5000] = {1, 2, 3};
	int fd;

	(void)snprintf(path, sizeof(path), "%s/answer", check_directory());
	fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	CHECK_INT(sizeof(answer), write(fd, &answer, sizeof(answer)));
	CHECK_INT(sizeof(garbage), write(fd, garbage, sizeof(garbage)));
	close(fd);
	(void)snprintf(body, sizeof(body), "#!/bin/sh\nexec cat %s >&0\n", path);
	compile.program = script(body);
	CHECK_INT(-EBADMSG, matchbase_new((const struct list *const *)&list, 1, &options, &err, &base));
	CHECK(base == NULL && strstr(err.text, "compiling process") != NULL);
	list_free(list);
}

static void limits_of_the_compile_process(void)
{
	if (compiler() == NULL)
		CHECK_SKIP("GANTRY_COMPILE is not set");
	CHECK_INT(-ETIMEDOUT, run(&(struct hscompile){.program = compiler(), .timeout_ms = 300}, 30000));
	CHECK_INT(-ETIMEDOUT, run(&(struct hscompile){.program = compiler(), .cpu_s = 1}, 30000));
	CHECK(strstr(err.text, "CPU") != NULL);
#ifndef __SANITIZE_ADDRESS__
	/* Hyperscan says so, or dies of it. */
	int status = run(&(struct hscompile){.program = compiler(), .memory_max = 60 << 20}, 30000);
	CHECK(status == -ENOMEM || status == -ECHILD);
#endif
}

int main(int argc, char **argv)
{
	static const struct check_test tests[] = {
		{"compiled once", compiled_once},
		{"a corrupt image is compiled anew", a_corrupt_image_is_compiled_anew},
		{"images are checked", images_are_checked},
		{"hostile patterns are refused", hostile_patterns_are_refused},
		{"compiled elsewhere is the same", compiled_elsewhere_is_the_same},
		{"a compile process that fails is told", a_compile_process_that_fails_is_told},
		{"a compile process can be called off", a_compile_process_can_be_called_off},
		{"an answer is not believed", an_answer_is_not_believed},
		{"limits of the compile process", limits_of_the_compile_process},
		{NULL, NULL},
	};

	return check_main(argc, argv, "matchbase", tests);
}
