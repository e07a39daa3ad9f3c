/* The register: what was changed is there after any crash; what is damaged is refused and said. */
#include "storage/register.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define LOG_MODULE "test"
#include "appliance/base/log.h"
#include "appliance/base/prng.h"
#include "storage/changelog.h"
#include "storage/io.h"
#include "storage/keyring.h"
#include "tests/check.h"
#include "tests/storage/sim_io.h"

struct bench {
	char root[512];
	char paths[6][640]; /* register, db, lists, master, keyring a, b */
	struct io *io;
	struct keyring *keyring;
	struct reg *reg;
	struct err err;
};

/* Without checks: also the child's, which runs outside the suite. */
static int bench_attach(struct bench *bench, const char *root, bool create)
{
	static const char *const names[] = {"register", "db", "lists", "master", "keyring.a", "keyring.b"};
	struct keyring_options options;

	memset(bench, 0, sizeof(*bench));
	snprintf(bench->root, sizeof(bench->root), "%s", root);
	for (size_t i = 0; i < 6; i++)
		snprintf(bench->paths[i], sizeof(bench->paths[i]), "%s/%s", bench->root, names[i]);
	if (io_real_new(&bench->io) < 0)
		return -EIO;
	options = (struct keyring_options){.master_path = bench->paths[3],
					   .copy_a_path = bench->paths[4],
					   .copy_b_path = bench->paths[5],
					   .create = create};
	return keyring_open(&options, bench->io, &bench->err, &bench->keyring);
}

static void bench_init(struct bench *bench)
{
	static unsigned number;
	char root[512];

	snprintf(root, sizeof(root), "%s/r%u", check_directory(), number++);
	CHECK_INT(0, mkdir(root, 0700));
	CHECK_INT(0, bench_attach(bench, root, true));
}

static int bench_open(struct bench *bench)
{
	struct reg_options options = {.directory = bench->paths[0],
				      .db_directory = bench->paths[1],
				      .lists_directory = bench->paths[2],
				      .map_size = 16 << 20};

	return reg_open(&options, bench->io, bench->keyring, &bench->err, &bench->reg);
}

static void bench_close(struct bench *bench)
{
	bench->reg = reg_free(bench->reg);
}

static void bench_fini(struct bench *bench)
{
	bench_close(bench);
	keyring_free(bench->keyring);
	io_real_free(bench->io);
}

static void log_path(const struct bench *bench, char path[700])
{
	snprintf(path, 700, "%s/changes.log", bench->paths[0]);
}

static void db_remove(const struct bench *bench)
{
	char path[700];

	snprintf(path, sizeof(path), "%s/data.mdb", bench->paths[1]);
	(void)unlink(path);
	snprintf(path, sizeof(path), "%s/lock.mdb", bench->paths[1]);
	(void)unlink(path);
}

static uint8_t *file_load(const char *path, size_t *ret_size)
{
	struct stat stat_file;
	uint8_t *bytes;
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	CHECK(fd >= 0);
	CHECK_INT(0, fstat(fd, &stat_file));
	bytes = malloc((size_t)stat_file.st_size + 1);
	CHECK(bytes != NULL);
	CHECK_INT(stat_file.st_size, read(fd, bytes, (size_t)stat_file.st_size));
	close(fd);
	*ret_size = (size_t)stat_file.st_size;
	return bytes;
}

static void file_store(const char *path, const uint8_t *bytes, size_t size)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	CHECK(fd >= 0);
	CHECK_INT(size, write(fd, bytes, size));
	close(fd);
}

static int feed_try(struct bench *bench, uint32_t number, const char *name)
{
	struct reg_feed feed = {.feed = number, .created_us = 42};
	uint8_t buffer[REG_RECORD_SIZE_MAX];
	struct reg_change change;

	snprintf(feed.name, sizeof(feed.name), "%s", name);
	memset(feed.key, (int)number, sizeof(feed.key));
	change = reg_feed_put(&feed, buffer);
	return reg_change(bench->reg, &change, 1, 1000, "test", &bench->err);
}

static void feed_put(struct bench *bench, uint32_t number, const char *name)
{
	CHECK_INT(0, feed_try(bench, number, name));
}

static int list_put(struct bench *bench, uint32_t number, uint32_t version, const uint8_t *blob, bool removed)
{
	struct reg_list list = {.list = number, .now.version = version, .priority = 50, .removed = removed};
	uint8_t buffer[REG_RECORD_SIZE_MAX];
	struct reg_change change;

	snprintf(list.name, sizeof(list.name), "list %u", number);
	if (blob != NULL)
		memcpy(list.now.blob, blob, sizeof(list.now.blob));
	change = reg_list_put(&list, buffer);
	return reg_change(bench->reg, &change, 1, 1000, "list", &bench->err);
}

static int count_records(void *context, const struct reg_record *record)
{
	(void)record;
	++*(unsigned *)context;
	return 0;
}

static void test_changes_survive(void)
{
	struct bench bench;
	struct reg_feed feed;
	struct reg_change drop = {.kind = REG_FEED, .a = 2};
	unsigned count = 0;

	bench_init(&bench);
	CHECK_INT(0, bench_open(&bench));
	for (uint32_t i = 1; i <= 5; i++)
		feed_put(&bench, i, "one");
	feed_put(&bench, 3, "three");
	CHECK_INT(0, reg_change(bench.reg, &drop, 1, 0, "", &bench.err));
	bench_close(&bench);
	CHECK_INT(0, bench_open(&bench));
	CHECK_INT(7, reg_sequence(bench.reg));
	CHECK_INT(0, reg_feed_get(bench.reg, 3, &feed));
	CHECK_STR("three", feed.name);
	CHECK_INT(3, feed.key[31]);
	CHECK_INT(-ENOENT, reg_feed_get(bench.reg, 2, &feed));
	CHECK_INT(0, reg_each(bench.reg, REG_FEED, 0, UINT32_MAX, count_records, &count));
	CHECK_INT(4, count);
	count = 0;
	CHECK_INT(0, reg_each(bench.reg, REG_FEED, 4, 5, count_records, &count));
	CHECK_INT(2, count);
	bench_fini(&bench);
}

static void test_refusals(void)
{
	struct bench bench;
	struct reg_feed feed = {.feed = 1};
	uint8_t buffer[REG_RECORD_SIZE_MAX];
	uint8_t blob[REG_BLOB_NAME_SIZE] = {1};
	struct reg_change change;

	bench_init(&bench);
	CHECK_INT(0, bench_open(&bench));
	change = reg_feed_put(&feed, buffer);
	change.a = 2;
	CHECK_INT(-EINVAL, reg_change(bench.reg, &change, 1, 0, "", &bench.err));
	change.a = 1;
	change.value_size--;
	CHECK_INT(-EINVAL, reg_change(bench.reg, &change, 1, 0, "", &bench.err));
	CHECK_INT(-EINVAL, reg_change(bench.reg, &change, 0, 0, "", &bench.err));
	CHECK_INT(-ENOENT, list_put(&bench, 1, 1, blob, false));
	CHECK_INT(0, reg_sequence(bench.reg));
	bench_fini(&bench);
}

/* A random history, against a plain table, with the index lost now and then: the same content every time. */
static void test_against_table(void)
{
	enum { CAMERAS = 40 };
	struct prng prng = {check_seed()};
	struct bench bench;
	int64_t table[CAMERAS] = {0}; /* created_us, 0: none */

	bench_init(&bench);
	CHECK_INT(0, bench_open(&bench));
	for (int round = 1; round <= 60; round++) {
		uint8_t buffers[8][REG_RECORD_SIZE_MAX];
		struct reg_change changes[8];
		size_t count = 1 + prng_below(&prng, 8);
		unsigned held = 0;
		unsigned found = 0;

		for (size_t i = 0; i < count; i++) {
			struct reg_camera camera = {.camera = (uint32_t)prng_below(&prng, CAMERAS),
						    .created_us = round};

			changes[i] = reg_camera_put(&camera, buffers[i]);
			if (prng_chance(&prng, 300))
				changes[i] = (struct reg_change){.kind = REG_CAMERA, .a = camera.camera};
			table[camera.camera] = changes[i].value != NULL ? round : 0;
		}
		CHECK_INT(0, reg_change(bench.reg, changes, count, 5, "why", &bench.err));
		if (prng_chance(&prng, 300)) {
			bool lost = prng_chance(&prng, 500);
			struct reg_info info;

			bench_close(&bench);
			if (lost)
				db_remove(&bench);
			CHECK_INT(0, bench_open(&bench));
			reg_info(bench.reg, &info);
			CHECK_INT(lost, info.rebuilt);
		}
		for (uint32_t camera = 0; camera < CAMERAS; camera++) {
			struct reg_camera back;
			int result = reg_camera_get(bench.reg, camera, &back);

			held += table[camera] != 0;
			CHECK_INT(table[camera] != 0 ? 0 : -ENOENT, result);
			if (result == 0)
				CHECK_INT(table[camera], back.created_us);
		}
		CHECK_INT(0, reg_each(bench.reg, REG_CAMERA, 0, UINT32_MAX, count_records, &found));
		CHECK_INT(held, found);
	}
	bench_fini(&bench);
}

/* One byte changed, anywhere: refused with a text, and the file left as it was. */
static void test_log_flipped(void)
{
	struct bench bench;
	char path[700];
	uint8_t *bytes;
	size_t size;

	bench_init(&bench);
	CHECK_INT(0, bench_open(&bench));
	for (uint32_t i = 1; i <= 3; i++)
		feed_put(&bench, i, "x");
	bench_close(&bench);
	log_path(&bench, path);
	bytes = file_load(path, &size);
	for (size_t at = 0; at < size; at += 3) {
		uint8_t *after;
		size_t after_size;

		bytes[at] ^= 0x10;
		file_store(path, bytes, size);
		bench.err.text[0] = '\0';
		CHECK_INT(-EBADMSG, bench_open(&bench));
		CHECK(strstr(bench.err.text, "changes.log") != NULL);
		after = file_load(path, &after_size);
		CHECK(after_size == size && memcmp(after, bytes, size) == 0);
		free(after);
		bytes[at] ^= 0x10;
	}
	/* The index lost as well: all but the last entry still tell of the damage. */
	for (size_t at = 0; at < 2 * size / 3; at += 7) {
		bytes[at] ^= 0x01;
		file_store(path, bytes, size);
		db_remove(&bench);
		CHECK_INT(-EBADMSG, bench_open(&bench));
		bytes[at] ^= 0x01;
	}
	file_store(path, bytes, size);
	CHECK_INT(0, bench_open(&bench));
	CHECK_INT(3, reg_sequence(bench.reg));
	free(bytes);
	bench_fini(&bench);
}

static void test_log_shorter(void)
{
	struct bench bench;
	char path[700];
	uint8_t *bytes;
	size_t size;

	bench_init(&bench);
	CHECK_INT(0, bench_open(&bench));
	feed_put(&bench, 1, "x");
	feed_put(&bench, 2, "x");
	bench_close(&bench);
	log_path(&bench, path);
	bytes = file_load(path, &size);
	for (size_t cut = 0; cut < size; cut += 5) {
		file_store(path, bytes, cut);
		CHECK_INT(-EBADMSG, bench_open(&bench));
	}
	CHECK_INT(0, unlink(path));
	CHECK_INT(-EBADMSG, bench_open(&bench));
	CHECK(strstr(bench.err.text, "missing") != NULL);
	/* Nor is a register that is gone whole taken for one that never was. */
	db_remove(&bench);
	CHECK_INT(-EBADMSG, bench_open(&bench));
	file_store(path, bytes, size);
	CHECK_INT(0, bench_open(&bench));
	CHECK_INT(2, reg_sequence(bench.reg));
	free(bytes);
	bench_fini(&bench);
}

/* An entry of which only a part reached the disk, before the index knew: cut, and the log goes on. */
static void test_torn_tail(void)
{
	struct bench bench;
	char path[700];
	char copy[800];
	char db[700];
	uint8_t *before;
	uint8_t *after;
	uint8_t *index;
	size_t before_size;
	size_t after_size;
	size_t index_size;

	bench_init(&bench);
	CHECK_INT(0, bench_open(&bench));
	feed_put(&bench, 1, "kept");
	bench_close(&bench);
	log_path(&bench, path);
	snprintf(db, sizeof(db), "%s/data.mdb", bench.paths[1]);
	snprintf(copy, sizeof(copy), "%s.copy", db);
	before = file_load(path, &before_size);
	index = file_load(db, &index_size);
	CHECK_INT(0, bench_open(&bench));
	feed_put(&bench, 2, "torn");
	bench_close(&bench);
	after = file_load(path, &after_size);
	for (size_t size = before_size; size < after_size; size++) {
		struct reg_feed feed;
		struct reg_info info;

		file_store(path, after, size);
		db_remove(&bench);
		file_store(db, index, index_size);
		CHECK_INT(0, bench_open(&bench));
		reg_info(bench.reg, &info);
		CHECK_INT(1, info.sequence);
		CHECK_INT(size > before_size, info.tail_cut);
		CHECK_INT(-ENOENT, reg_feed_get(bench.reg, 2, &feed));
		feed_put(&bench, 3, "next");
		bench_close(&bench);
		CHECK_INT(0, bench_open(&bench));
		CHECK_INT(2, reg_sequence(bench.reg));
		CHECK_INT(0, reg_feed_get(bench.reg, 3, &feed));
		CHECK_INT(0, reg_feed_get(bench.reg, 1, &feed));
		bench_close(&bench);
	}
	free(before);
	free(after);
	free(index);
	bench_fini(&bench);
}

/* Any byte of the index flipped or any part of it cut off: the same register, made anew where need be. */
static void test_index_damaged(void)
{
	struct prng prng = {check_seed()};
	struct bench bench;
	char db[700];
	uint8_t *index;
	size_t size;

	bench_init(&bench);
	CHECK_INT(0, bench_open(&bench));
	for (uint32_t i = 1; i <= 20; i++)
		feed_put(&bench, i, "x");
	bench_close(&bench);
	snprintf(db, sizeof(db), "%s/data.mdb", bench.paths[1]);
	index = file_load(db, &size);
	for (int round = 0; round < 20; round++) {
		unsigned count = 0;

		db_remove(&bench);
		file_store(db, index, prng_below(&prng, size));
		CHECK_INT(0, bench_open(&bench));
		CHECK_INT(0, reg_each(bench.reg, REG_FEED, 0, UINT32_MAX, count_records, &count));
		CHECK_INT(20, count);
		bench_close(&bench);
	}
	free(index);
	bench_fini(&bench);
}

static void test_blobs(void)
{
	struct bench bench;
	uint8_t name[REG_BLOB_NAME_SIZE];
	uint8_t other[REG_BLOB_NAME_SIZE];
	char *list = malloc(1 << 20);
	char path[1400];
	char text[2 * REG_BLOB_NAME_SIZE + 1];
	void *back;
	uint8_t *file;
	size_t size;

	CHECK(list != NULL);
	for (size_t i = 0; i < 1 << 20; i++)
		list[i] = "AB12CDE\n"[i % 8];
	bench_init(&bench);
	CHECK_INT(0, bench_open(&bench));
	CHECK_INT(0, reg_blob_put(bench.reg, list, 1 << 20, name));
	CHECK_INT(0, list_put(&bench, 1, 1, name, false));
	bench_close(&bench);
	CHECK_INT(0, bench_open(&bench));
	CHECK_INT(0, reg_blob_get(bench.reg, name, &bench.err, &back, &size));
	CHECK_INT(1 << 20, size);
	CHECK_MEM(list, back, size);
	free(back);
	/* Sealed on disk: the list's first lines are nowhere in the file. */
	for (size_t i = 0; i < sizeof(name); i++)
		sprintf(text + 2 * i, "%02x", name[i]);
	snprintf(path, sizeof(path), "%s/%s.blob", bench.paths[2], text);
	file = file_load(path, &size);
	CHECK(memmem(file, size, "AB12CDE", 7) == NULL);
	/* A flipped byte is said and named; putting it again mends it. */
	file[size / 2] ^= 1;
	file_store(path, file, size);
	CHECK_INT(-EBADMSG, reg_blob_get(bench.reg, name, &bench.err, &back, &size));
	CHECK(strstr(bench.err.text, text) != NULL);
	CHECK_INT(0, reg_blob_put(bench.reg, list, 1 << 20, other));
	CHECK_MEM(name, other, sizeof(name));
	CHECK_INT(0, reg_blob_get(bench.reg, name, &bench.err, &back, &size));
	free(back);
	/* Replaced by a new version: gone. One that no list names is gone at the next open. */
	CHECK_INT(0, reg_blob_put(bench.reg, list, 1000, other));
	CHECK_INT(0, list_put(&bench, 1, 2, other, false));
	CHECK_INT(-ENOENT, reg_blob_get(bench.reg, name, &bench.err, &back, &size));
	CHECK(strstr(bench.err.text, text) != NULL);
	CHECK_INT(0, reg_blob_put(bench.reg, list, 2000, name));
	bench_close(&bench);
	CHECK_INT(0, bench_open(&bench));
	CHECK_INT(-ENOENT, reg_blob_get(bench.reg, name, &bench.err, &back, &size));
	/* One that nobody is going to name is dropped, one that a list names is not. */
	CHECK_INT(0, reg_blob_put(bench.reg, list, 2000, name));
	CHECK_INT(0, reg_blob_drop(bench.reg, name));
	CHECK_INT(-ENOENT, reg_blob_get(bench.reg, name, &bench.err, &back, &size));
	CHECK_INT(0, reg_blob_drop(bench.reg, other));
	CHECK_INT(0, reg_blob_get(bench.reg, other, &bench.err, &back, &size));
	free(back);
	CHECK_INT(0, list_put(&bench, 1, 2, NULL, true));
	CHECK_INT(-ENOENT, reg_blob_get(bench.reg, other, &bench.err, &back, &size));
	free(file);
	free(list);
	bench_fini(&bench);
}

/* The secrets that were put are in no file of the register. */
static void test_nothing_in_clear(void)
{
	static const char secret[] = "k3y-of-a-feed-that-none-may-see!";
	struct bench bench;
	struct reg_feed feed = {.feed = 1, .name = "name of the feed"};
	uint8_t buffer[REG_RECORD_SIZE_MAX];
	struct reg_change change;

	bench_init(&bench);
	CHECK_INT(0, bench_open(&bench));
	memcpy(feed.key, secret, sizeof(feed.key));
	change = reg_feed_put(&feed, buffer);
	CHECK_INT(0, reg_change(bench.reg, &change, 1, 0, "a reason in clear", &bench.err));
	bench_close(&bench);
	for (int i = 0; i < 2; i++) {
		DIR *directory = opendir(bench.paths[i]);
		struct dirent *entry;

		CHECK(directory != NULL);
		while ((entry = readdir(directory)) != NULL) {
			char path[1000];
			uint8_t *bytes;
			size_t size;

			if (entry->d_name[0] == '.')
				continue;
			snprintf(path, sizeof(path), "%s/%s", bench.paths[i], entry->d_name);
			bytes = file_load(path, &size);
			CHECK(memmem(bytes, size, secret, 16) == NULL);
			CHECK(memmem(bytes, size, "name of the feed", 16) == NULL);
			CHECK(memmem(bytes, size, "a reason in clear", 16) == NULL);
			free(bytes);
		}
		closedir(directory);
	}
	bench_fini(&bench);
}

/* The power goes at every operation of a history in turn: what was said to be done is there, and nothing half. */
static void test_power_cuts(void)
{
	enum { CHANGES = 12 };

	for (uint64_t cut = 1;; cut++) {
		struct io *io = sim_new(check_seed() + cut);
		struct bench bench = {0};
		char db[700];
		unsigned done = 0;
		unsigned count = 0;
		bool was_cut;
		struct keyring_options keys = {
			.master_path = "/m", .copy_a_path = "/g/a", .copy_b_path = "/g/b", .create = true};
		struct reg_options options = {
			.directory = "/g/r", .db_directory = db, .lists_directory = "/g/l", .map_size = 16 << 20};

		snprintf(db, sizeof(db), "%s/c%llu", check_directory(), (unsigned long long)cut);
		CHECK_INT(0, mkdir(db, 0700));
		CHECK_INT(0, io->ops->mkdir(io, "/g"));
		CHECK_INT(0, io->ops->dir_sync(io, "/"));
		CHECK_INT(0, keyring_open(&keys, io, &bench.err, &bench.keyring));
		sim_cut_at(io, sim_ops(io) + cut);
		if (reg_open(&options, io, bench.keyring, &bench.err, &bench.reg) == 0) {
			while (done < CHANGES && feed_try(&bench, done + 1, "x") == 0)
				done++;
			reg_free(bench.reg);
			bench.reg = NULL;
		}
		keyring_free(bench.keyring);
		was_cut = sim_is_cut(io);
		sim_crash(io);
		sim_cut_at(io, 0);
		CHECK_INT(0, keyring_open(&keys, io, &bench.err, &bench.keyring));
		if (reg_open(&options, io, bench.keyring, &bench.err, &bench.reg) != 0)
			check_note("cut at %llu: %s", (unsigned long long)cut, bench.err.text);
		CHECK(bench.reg != NULL);
		CHECK_INT(0, reg_each(bench.reg, REG_FEED, 0, UINT32_MAX, count_records, &count));
		CHECK(count == done || count == done + 1);
		CHECK_INT(0, feed_try(&bench, 100, "after"));
		reg_free(bench.reg);
		keyring_free(bench.keyring);
		sim_free(io);
		if (!was_cut)
			break;
	}
}

/* The part of a process that is killed: five changes, in the directory given. */
static int child_main(const char *root)
{
	struct bench bench;

	if (bench_attach(&bench, root, false) < 0)
		return 1;
	if (bench_open(&bench) < 0)
		return 1;
	for (uint32_t i = 1; i <= 5; i++)
		if (feed_try(&bench, i, "x") < 0)
			return 1;
	return 0;
}

/* Killed between log and index: the change was durable, so it is found. */
static void test_killed_between(void)
{
	struct bench bench;
	struct reg_feed feed;
	char root[512];
	int status;
	pid_t child;

	bench_init(&bench);
	snprintf(root, sizeof(root), "%s", bench.root);
	bench_fini(&bench);
	child = fork();
	CHECK(child >= 0);
	if (child == 0) {
		setenv("GANTRY_KILL", "register.logged:3", 1);
		execl("/proc/self/exe", "test_register", "--child", root, (char *)NULL);
		_exit(2);
	}
	CHECK_INT(child, waitpid(child, &status, 0));
	CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
	CHECK_INT(0, bench_attach(&bench, root, false));
	CHECK_INT(0, bench_open(&bench));
	CHECK_INT(3, reg_sequence(bench.reg));
	CHECK_INT(0, reg_feed_get(bench.reg, 3, &feed));
	CHECK_INT(-ENOENT, reg_feed_get(bench.reg, 4, &feed));
	bench_fini(&bench);
}

int main(int argc, char **argv)
{
	static const struct check_test tests[] = {{"changes survive a restart", test_changes_survive},
						  {"what does not agree is refused", test_refusals},
						  {"a random history is kept", test_against_table},
						  {"a flipped bit in the log is refused", test_log_flipped},
						  {"a shortened log is refused", test_log_shorter},
						  {"a torn entry is cut", test_torn_tail},
						  {"a damaged index is made anew", test_index_damaged},
						  {"blobs live as long as their list", test_blobs},
						  {"nothing stands in clear", test_nothing_in_clear},
						  {"a kill between log and index", test_killed_between},
						  {"power cuts leave whole changes", test_power_cuts},
						  {NULL, NULL}};

	if (argc == 3 && strcmp(argv[1], "--child") == 0)
		return child_main(argv[2]);
	log_level_set(LOG_LEVEL_ERROR);
	/* What a disk does to the register is done by hand here: memory will do, and saves thousands of flushes. */
	if (access("/dev/shm", W_OK) == 0)
		(void)setenv("TMPDIR", "/dev/shm", 0);
	return check_main(argc, argv, "storage register", tests);
}
