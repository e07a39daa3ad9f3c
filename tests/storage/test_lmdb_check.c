/* Both environments under random and aimed damage: never a crash, never an answer that was not stored. */
#include "storage/lmdb_check.h"

#include <errno.h>
#include <fcntl.h>
#include <lmdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "appliance/base/bytes.h"
#include "appliance/base/prng.h"
#include "storage/catalog.h"
#include "tests/check.h"

#define PAIRS 3000
#ifdef __SANITIZE_ADDRESS__
#define ROUNDS 600
#else
#define ROUNDS 2400
#endif

struct yard {
	char directory[600];
	char path[700];
	uint8_t *bytes; /* of the whole file */
	size_t size;
};

static void yard_take(struct yard *yard)
{
	struct stat status;
	int fd = open(yard->path, O_RDONLY);

	CHECK(fd >= 0);
	CHECK_INT(0, fstat(fd, &status));
	yard->size = (size_t)status.st_size;
	yard->bytes = malloc(yard->size);
	CHECK(yard->bytes != NULL);
	CHECK_INT(yard->size, pread(fd, yard->bytes, yard->size, 0));
	close(fd);
}

static void yard_put(const struct yard *yard, const uint8_t *bytes, size_t size)
{
	char path[720];
	int fd = open(yard->path, O_WRONLY | O_CREAT | O_TRUNC, 0600);

	CHECK(fd >= 0);
	CHECK_INT(size, pwrite(fd, bytes, size, 0));
	close(fd);
	(void)snprintf(path, sizeof(path), "%s/lock.mdb", yard->directory);
	(void)unlink(path);
}

static MDB_env *env_open(const char *directory)
{
	MDB_env *env;

	CHECK_INT(0, mdb_env_create(&env));
	CHECK_INT(0, mdb_env_set_mapsize(env, 64 << 20));
	CHECK_INT(0, mdb_env_set_maxdbs(env, 8));
	CHECK_INT(0, mdb_env_open(env, directory, MDB_NOTLS | MDB_NORDAHEAD, 0600));
	return env;
}

/* A life of puts and deletes in two databases, with small values and large ones: free pages, overflows, splits. */
static void env_live(const char *directory, struct prng *prng)
{
	MDB_env *env = env_open(directory);
	static uint8_t value[9000];

	for (unsigned t = 0; t < 60; t++) {
		MDB_txn *txn;
		MDB_dbi dbis[2];

		CHECK_INT(0, mdb_txn_begin(env, NULL, 0, &txn));
		CHECK_INT(0, mdb_dbi_open(txn, "one", MDB_CREATE, &dbis[0]));
		CHECK_INT(0, mdb_dbi_open(txn, "two", MDB_CREATE, &dbis[1]));
		for (unsigned i = 0; i < PAIRS / 60; i++) {
			uint8_t key[8];
			MDB_val k = {sizeof(key), key};
			MDB_val v = {prng_chance(prng, 100) ? prng_below(prng, sizeof(value)) : prng_below(prng, 200),
				     value};

			be64_put(key, prng_below(prng, 250));
			if (prng_chance(prng, 300))
				(void)mdb_del(txn, dbis[i % 2], &k, NULL);
			else
				CHECK_INT(0, mdb_put(txn, dbis[i % 2], &k, &v, 0));
		}
		CHECK_INT(0, mdb_txn_commit(txn));
		if (t % 10 == 9) {
			struct err err = {""};
			int r = lmdb_check(directory, &err); /* no writer is in the middle of anything */

			if (r < 0)
				check_note("%s", err.text);
			CHECK_INT(0, r);
		}
	}
	mdb_env_close(env);
}

/* Walks everything and writes a little, as an owner would. LMDB may answer with errors, but not die. */
static void env_use(const char *directory)
{
	MDB_env *env;
	MDB_txn *txn;
	MDB_dbi dbi;

	CHECK_INT(0, mdb_env_create(&env));
	CHECK_INT(0, mdb_env_set_mapsize(env, 64 << 20));
	CHECK_INT(0, mdb_env_set_maxdbs(env, 8));
	if (mdb_env_open(env, directory, MDB_NOTLS | MDB_NORDAHEAD, 0600) == 0 &&
	    mdb_txn_begin(env, NULL, 0, &txn) == 0) {
		for (unsigned i = 0; i < 2; i++) {
			MDB_val key, value;
			MDB_cursor *cursor;
			uint64_t sum = 0;

			if (mdb_dbi_open(txn, i == 0 ? "one" : "two", 0, &dbi) != 0 ||
			    mdb_cursor_open(txn, dbi, &cursor) != 0)
				continue;
			while (mdb_cursor_get(cursor, &key, &value, MDB_NEXT) == 0)
				for (size_t b = 0; b < value.mv_size; b++)
					sum += ((const uint8_t *)value.mv_data)[b];
			mdb_cursor_close(cursor);
			for (uint64_t k = 0; k < 600; k += 50 + sum % 2) {
				uint8_t bytes[8];
				MDB_val small = {8, bytes};

				be64_put(bytes, k);
				(void)mdb_put(txn, dbi, &small, &small, 0);
				be64_put(bytes, k + 7);
				(void)mdb_del(txn, dbi, &small, NULL);
			}
		}
		(void)mdb_txn_commit(txn);
	}
	mdb_env_close(env);
}

static void damage_is_found_before_lmdb_meets_it(void)
{
	struct prng prng = {check_seed()};
	struct yard yard;
	unsigned refused = 0, passed = 0;

	(void)snprintf(yard.directory, sizeof(yard.directory), "%s", check_directory());
	(void)snprintf(yard.path, sizeof(yard.path), "%s/data.mdb", yard.directory);
	CHECK_INT(LMDB_ABSENT, lmdb_check(yard.directory, NULL));
	env_live(yard.directory, &prng);
	yard_take(&yard);
	for (unsigned round = 0; round < ROUNDS; round++) {
		uint8_t *bytes = malloc(yard.size);
		size_t size = yard.size;

		CHECK(bytes != NULL);
		memcpy(bytes, yard.bytes, size);
		for (uint64_t flips = 1 + (prng_chance(&prng, 300) ? prng_below(&prng, 30) : 0); flips > 0; flips--) {
			uint64_t page = prng_below(&prng, size / 4096);
			/* Headers and the pointers behind them twice as often as anything else. */
			uint64_t at = page * 4096 + prng_below(&prng, prng_chance(&prng, 500) ? 160 : 4096);

			bytes[at] ^= (uint8_t)(1 << prng_below(&prng, 8));
		}
		if (prng_chance(&prng, 50))
			size = prng_below(&prng, size);
		yard_put(&yard, bytes, size);
		if (lmdb_check(yard.directory, NULL) == 0) {
			passed++;
			env_use(yard.directory);
		} else {
			refused++;
		}
		free(bytes);
	}
	printf("\n    %zu pages, %u damaged files refused, %u let through and survived ", yard.size / 4096, refused,
	       passed);
	CHECK(refused > ROUNDS / 10);
	yard_put(&yard, yard.bytes, yard.size);
	CHECK_INT(0, lmdb_check(yard.directory, NULL));
	free(yard.bytes);
}

static void the_mark_covers_every_bit(void)
{
	struct prng prng = {check_seed()};
	struct err err = {""};
	struct yard yard;

	(void)snprintf(yard.directory, sizeof(yard.directory), "%s", check_directory());
	(void)snprintf(yard.path, sizeof(yard.path), "%s/data.mdb", yard.directory);
	env_live(yard.directory, &prng);
	CHECK_INT(0, lmdb_mark_write(yard.directory));
	CHECK_INT(0, lmdb_check(yard.directory, &err));
	yard_take(&yard);
	for (unsigned round = 0; round < 300; round++) {
		uint64_t at = prng_below(&prng, yard.size);

		yard.bytes[at] ^= 1;
		yard_put(&yard, yard.bytes, yard.size);
		CHECK_INT(-EBADMSG, lmdb_check(yard.directory, &err));
		yard.bytes[at] ^= 1;
	}
	CHECK_INT(0, unlink(yard.path));
	CHECK_INT(-EBADMSG, lmdb_check(yard.directory, &err));
	yard_put(&yard, yard.bytes, yard.size);
	CHECK_INT(0, lmdb_check(yard.directory, &err));
	CHECK_INT(0, lmdb_mark_remove(yard.directory));
	CHECK_INT(0, lmdb_mark_remove(yard.directory));
	CHECK_INT(0, lmdb_check(yard.directory, &err));
	free(yard.bytes);
}

/* ---- the catalog's values */

static int lane_wrong(void *context, const struct catalog_lane *lane)
{
	uint8_t expected[64];

	(void)context;
	memset(expected, (int)(lane->feed & 0xff), sizeof(expected));
	return lane->size == sizeof(expected) && lane->feed < 400 && lane->epoch == lane->feed * 3 &&
			       memcmp(lane->bytes, expected, sizeof(expected)) == 0
		       ? 0
		       : 1;
}

static int journal_wrong(void *context, uint64_t journal_id)
{
	(void)context;
	return journal_id >= 1000 && journal_id < 1100 ? 0 : 1;
}

/* Bits flipped one at a time, without a mark: the catalog opens with what was stored, or refuses. */
static bool catalog_is_right(const struct catalog_options *options)
{
	struct catalog_totals totals;
	struct catalog *catalog;
	int r = catalog_open(options, NULL, &catalog);
	bool right = true;

	if (r < 0)
		return false;
	r = catalog_totals(catalog, &totals);
	CHECK(r == -EBADMSG || (r == 0 && totals.stored == 11 && totals.refused[2] == 4));
	right = right && r == 0;
	r = catalog_each_lane(catalog, lane_wrong, NULL);
	CHECK(r <= 0);
	right = right && r == 0;
	r = catalog_each_journal(catalog, journal_wrong, NULL);
	CHECK(r <= 0);
	right = right && r == 0;
	catalog_free(catalog);
	return right;
}

static void catalog_fill(const struct catalog_options *options)
{
	static uint8_t bytes[400][64];
	static struct catalog_lane lanes[400];
	static uint64_t journals[100];
	static struct catalog_totals totals = {.stored = 11, .refused = {0, 3, 4}};
	struct catalog_restore restore = {
		.lanes = lanes, .lane_count = 400, .journals = journals, .journal_count = 100, .totals = &totals};
	struct catalog *catalog;
	struct err err = {""};

	for (unsigned i = 0; i < 400; i++) {
		memset(bytes[i], (int)(i & 0xff), sizeof(bytes[i]));
		lanes[i] =
			(struct catalog_lane){.feed = i, .epoch = 3 * i, .bytes = bytes[i], .size = sizeof(bytes[i])};
	}
	for (unsigned i = 0; i < 100; i++)
		journals[i] = 1000 + i;
	CHECK_INT(0, catalog_open(options, &err, &catalog));
	CHECK(catalog_is_new(catalog));
	CHECK_INT(0, catalog_restore(catalog, &restore));
	CHECK_INT(-EEXIST, catalog_restore(catalog, &restore));
	for (unsigned i = 0; i < 5; i++) /* some freed pages */
		CHECK_INT(0, catalog_journal_forget(catalog, 5000));
	catalog_free(catalog);
}

static void a_flipped_bit_gives_no_wrong_answer(void)
{
	struct prng prng = {check_seed()};
	struct yard yard;
	struct catalog_options options = {.directory = yard.directory, .map_size = 16 << 20};
	unsigned refused = 0;
	char mark[700];

	(void)snprintf(yard.directory, sizeof(yard.directory), "%s", check_directory());
	(void)snprintf(yard.path, sizeof(yard.path), "%s/data.mdb", yard.directory);
	(void)snprintf(mark, sizeof(mark), "%s/clean", yard.directory);
	catalog_fill(&options);
	CHECK_INT(0, unlink(mark));
	yard_take(&yard);
	for (unsigned round = 0; round < ROUNDS / 3; round++) {
		uint64_t at = prng_below(&prng, yard.size);
		uint8_t bit = (uint8_t)(1 << prng_below(&prng, 8));

		yard.bytes[at] ^= bit;
		yard_put(&yard, yard.bytes, yard.size);
		refused += !catalog_is_right(&options);
		yard.bytes[at] ^= bit;
		(void)unlink(mark);
	}
	yard_put(&yard, yard.bytes, yard.size);
	CHECK(catalog_is_right(&options));
	printf("\n    %u of %u flips refused, the others hit what nobody reads ", refused, ROUNDS / 3);
	free(yard.bytes);
}

int main(int argc, char **argv)
{
	static const struct check_test tests[] = {
		{"damage is found before LMDB meets it", damage_is_found_before_lmdb_meets_it},
		{"the mark covers every bit", the_mark_covers_every_bit},
		{"a flipped bit gives no wrong answer", a_flipped_bit_gives_no_wrong_answer},
		{NULL, NULL},
	};

	return check_main(argc, argv, "lmdb_check", tests);
}
