/* A store whose disk fails, fills up or rots, and what of it can be lost. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <xxhash.h>

#include "appliance/base/bytes.h"
#include "appliance/base/clock.h"
#include "appliance/base/log.h"
#include "storage/io.h"
#include "storage/journal.h"
#include "storage/keyring.h"
#include "storage/lane.h"
#include "storage/purge.h"
#include "storage/register.h"
#include "storage/store.h"
#include "storage/store_internal.h"
#include "tests/check.h"
#include "tests/storage/rig_check.h"
#include "tests/storage/sim_io.h"
#include "tests/storage/store_rig.h"
#include "tests/storage/store_world.h"

static void failing_count(void *context, const char *text)
{
	*(unsigned *)context += strncmp(text, "sealing fails", 13) == 0;
}

/* Is it an alarm that sealing fails? */
static unsigned failing_told(struct store *store)
{
	unsigned count = 0;

	store_alarms_each(store, failing_count, &count);
	return count;
}

/* The Nth write, creation or sync fails while sealing: said, tried again, nothing lost. */
static void test_seal_fails(void)
{
	static const int errors[] = {EIO, ENOSPC};

	for (unsigned nth = 1; nth < 24; nth++) {
		struct io *io = sim_new(check_seed() + nth);
		struct rig *rig = rig_new(io, check_seed() + nth);
		struct store_status *status = malloc(sizeof(*status));
		int result;

		CHECK(status != NULL);
		rig_check_open(rig, "open");
		rig_send_some(rig, 40);
		rig_settle(rig, 1000);
		for (unsigned i = 0; i < RIG_WORKERS; i++)
			journal_roll(store_journal(rig->store, i));
		for (unsigned i = 0; i < 20; i++) {
			for (unsigned worker = 0; worker < RIG_WORKERS; worker++)
				journal_poll(store_journal(rig->store, worker), clock_mono_ns());
			(void)store_keep(rig->store);
		}
		sim_fail(io, SIM_ALL, nth, 1 + nth % 3, errors[nth % 2]);
		result = store_seal_all(rig->store, 0);
		rig_check_reads(rig);
		CHECK_INT(0, store_status(rig->store, status));
		CHECK_INT(rig->acked, status->stored_total);
		if (result < 0)
			CHECK_INT(STORE_SEAL_FAILING, status->state);
		CHECK_INT(result < 0, failing_told(rig->store));
		sim_fail(io, SIM_ALL, 0, 0, EIO);
		CHECK_INT(0, store_seal_all(rig->store, 0));
		CHECK_INT(0, store_status(rig->store, status));
		CHECK_INT(STORE_RUNNING, status->state);
		CHECK_INT(0, failing_told(rig->store));
		CHECK_INT(rig->acked, status->reads_segments);
		rig_check_reads(rig);
		CHECK_INT(0, rig_close(rig, false));
		rig_check_open(rig, "open");
		rig_check_reads(rig);
		CHECK_INT(0, rig_close(rig, true));
		sim_free(io);
		free(rig);
		free(status);
	}
}

/* A full disk closes credit and says why; a purge makes room; service resumes by itself. */
static void test_disk_full(void)
{
	struct io *io = sim_new(check_seed());
	struct rig *rig = rig_new(io, check_seed());
	struct store_status *status = malloc(sizeof(*status));
	bool full = false;
	uint64_t acked;

	CHECK(status != NULL);
	rig_check_open(rig, "open");
	/* Room for the journals that exist, their sealing and a little. */
	for (unsigned turn = 0; turn < 400 && !full; turn++) {
		rig_send_some(rig, 4);
		rig_settle(rig, 50);
		(void)store_seal_all(rig->store, INT64_C(5000000000));
		if (turn == 3) {
			CHECK_INT(0, store_status(rig->store, status));
			sim_capacity(io, status->disk_total_bytes != 0 ? 0 : 0);
		}
		if (turn == 4) {
			struct io_space space;

			sim_capacity(io, UINT64_C(1) << 30);
			CHECK_INT(0, io->ops->space(io, RIG_DIRECTORY, &space));
			CHECK_INT(0, store_status(rig->store, status));
			sim_capacity(io, space.total_bytes - space.free_bytes + status->disk_reserve_bytes +
						 2 * rig->options.journal_file_size + (96 << 10));
		}
		if (turn > 4) {
			usleep(1000);
			rig->options.threads_off = true;
			CHECK_INT(0, store_status(rig->store, status));
			full = status->state == STORE_DISK_FULL;
		}
		if (turn > 4 && !full && turn % 8 == 0)
			usleep(210000); /* the keeper measures five times a second */
	}
	CHECK(full);
	CHECK(strstr(status->why, "disk is full") != NULL);
	rig_settle(rig, 200);
	rig_check_reads(rig);
	acked = rig->acked;
	for (unsigned day = 0; day < 2; day++) {
		int result = rig_purge(rig, day);

		if (result != 0)
			check_note("purge: %d %s", result, rig->err.text);
		CHECK_INT(0, result);
	}
	CHECK_INT(0, store_status(rig->store, status));
	CHECK_INT(STORE_RUNNING, status->state);
	CHECK(store_credit_open(rig->store));
	rig_send_some(rig, 30);
	rig_settle(rig, 1000);
	CHECK(rig->acked > acked);
	rig_check_reads(rig);
	CHECK_INT(0, rig_close(rig, true));
	sim_free(io);
	free(rig);
	free(status);
}

/* The first name in a directory that ends so. */
struct name_search {
	const char *ending;
	char name[256];
};

static int name_see(void *context, const char *name)
{
	struct name_search *search = context;
	size_t size = strlen(name);
	size_t ending = strlen(search->ending);

	if (search->name[0] == '\0' && size >= ending && strcmp(name + size - ending, search->ending) == 0)
		snprintf(search->name, sizeof(search->name), "%s", name);
	return 0;
}

/* A byte rots in an acknowledged frame: said, with what it cost; later frames are kept; the lanes go on. */
static void test_rot(void)
{
	struct io *io = sim_new(check_seed());
	struct rig *rig = rig_new(io, check_seed());
	struct store_status *status = malloc(sizeof(*status));
	struct name_search search = {.ending = "-0000000001.closed"};
	char path[600];
	uint64_t acked;
	uint64_t before;

	CHECK(status != NULL);
	rig->options.workers = 1;
	rig_check_open(rig, "open");
	for (unsigned i = 0; i < 60; i++) {
		(void)rig_send(rig);
		rig_settle(rig, 1000);
	}
	acked = rig->acked;
	CHECK_INT(0, rig_close(rig, false));
	CHECK(io->ops->list(io, RIG_DIRECTORY "/journal", name_see, &search) == 0);
	CHECK(search.name[0] != '\0');
	snprintf(path, sizeof(path), RIG_DIRECTORY "/journal/%s", search.name);
	for (uint64_t frame = 10; frame < 15; frame++) /* one may hold refusals only */
		CHECK_INT(0, sim_rot(io, path, 4096 * frame + 140, 0x08));
	rig_check_open(rig, "open");
	CHECK_INT(0, store_status(rig->store, status));
	CHECK(status->damage_count > 0);
	CHECK(strstr(status->damage[0], search.name) != NULL);
	CHECK(status->stored_total < acked);
	CHECK(status->stored_total + 5 * LANE_RUN_MAX >= acked);
	before = status->stored_total;
	/* No sender sends it again, and no window waits for it: what is resent is taken for what it is. */
	(void)rig_resend(rig);
	rig_settle(rig, 1000);
	CHECK_INT(0, store_seal_all(rig->store, INT64_C(5000000000)));
	CHECK_INT(0, store_status(rig->store, status));
	CHECK(status->stored_total >= before);
	CHECK_INT(0, rig_close(rig, true));
	rig_check_open(rig, "open");
	CHECK_INT(0, store_status(rig->store, status));
	CHECK_INT(0, status->damage_count);
	rig_done(rig, io);
	free(status);
}

/* One start's worth of acknowledged reads that stay in their journal: nobody seals. */
static void send_unsealed(struct rig *rig)
{
	int64_t due_ns;

	rig_check_open(rig, "open");
	for (unsigned i = 0; i < 40; i++) {
		(void)rig_send(rig);
		for (unsigned turn = 0; turn < 1000 && !journal_idle(store_journal(rig->store, 0), &due_ns); turn++)
			journal_poll(store_journal(rig->store, 0), clock_mono_ns());
	}
	CHECK_INT(0, rig_close(rig, false));
}

/* The file as another version would have written it. */
static void version_change(struct io *io, const char *path)
{
	size_t size;
	uint8_t *bytes = sim_get(io, path, &size);

	CHECK(bytes != NULL && size > 2 * IO_ALIGN);
	le16_put(bytes + 8, 1);
	le64_put(bytes + 64, XXH3_64bits(bytes, 64));
	le16_put(bytes + IO_ALIGN + 4, 1);
	le64_put(bytes + IO_ALIGN + 120, XXH3_64bits(bytes + IO_ALIGN, 120));
	CHECK_INT(0, sim_put(io, path, bytes, size));
	free(bytes);
}

/*
 * A journal that cannot be opened, of which no frame can be read, or that another version wrote, stops the start, as
 * often as it is tried; when it can be read again all is there, though the later journal's watermarks lie beyond it.
 */
static void test_journal_unreadable(void)
{
	static const int errors[] = {EACCES, EMFILE, EIO, ENOMEM};
	struct io *io = sim_new(check_seed());
	struct rig *rig = rig_new(io, check_seed());
	struct name_search search = {.ending = "-0000000001.closed"};
	char path[600];
	uint8_t *whole;
	uint64_t acked;
	size_t size;

	rig->options.workers = 1;
	send_unsealed(rig);
	acked = rig->acked;
	CHECK(acked > 0);
	send_unsealed(rig);
	CHECK(rig->acked > acked);
	CHECK_INT(0, io->ops->list(io, RIG_DIRECTORY "/journal", name_see, &search));
	CHECK(search.name[0] != '\0');
	snprintf(path, sizeof(path), RIG_DIRECTORY "/journal/%s", search.name);
	for (unsigned i = 0; i < 4; i++) {
		CHECK_INT(0, sim_deny(io, path, errors[i]));
		CHECK_INT(-EIO, rig_open(rig));
		CHECK(strstr(rig->err.text, search.name) != NULL);
		CHECK(strstr(rig->err.text, "start again") != NULL);
	}
	CHECK_INT(0, sim_deny(io, path, 0));
	whole = sim_get(io, path, &size);
	version_change(io, path);
	CHECK_INT(-ENOTSUP, rig_open(rig));
	CHECK(strstr(rig->err.text, search.name) != NULL);
	CHECK(strstr(rig->err.text, "another version") != NULL);
	CHECK_INT(0, sim_put(io, path, whole, size));
	free(whole);
	rig_check_open(rig, "open");
	rig_check_reads(rig);
	CHECK_INT(0, rig_close(rig, false));
	rig_check_open(rig, "open");
	rig_check_reads(rig);
	CHECK_INT(0, rig_close(rig, true));
	rig_check_open(rig, "open");
	rig_check_reads(rig);
	rig_check_tidy(rig);
	rig_done(rig, io);
}

/* The only frame of a journal cannot be read: it is not taken for an empty one, nor removed. */
static void test_frame_unreadable(void)
{
	struct io *io = sim_new(check_seed());
	struct rig *rig = rig_new(io, check_seed());
	struct name_search search = {.ending = "-0000000001.closed"};
	char path[600];
	uint8_t *bytes;
	size_t size;

	rig->options.workers = 1;
	rig_check_open(rig, "open");
	CHECK(rig_send(rig));
	for (unsigned turn = 0; turn < 1000; turn++)
		journal_poll(store_journal(rig->store, 0), clock_mono_ns());
	CHECK_INT(0, rig_close(rig, false));
	CHECK_INT(0, io->ops->list(io, RIG_DIRECTORY "/journal", name_see, &search));
	CHECK(search.name[0] != '\0');
	snprintf(path, sizeof(path), RIG_DIRECTORY "/journal/%s", search.name);
	CHECK_INT(0, sim_bad_block(io, path, 4096));
	for (unsigned i = 0; i < 2; i++) {
		CHECK_INT(-EIO, rig_open(rig));
		CHECK(strstr(rig->err.text, search.name) != NULL);
		bytes = sim_get(io, path, &size);
		CHECK(bytes != NULL);
		free(bytes);
	}
	sim_free(io);
	free(rig);
}

static int audit_refuse(void *context, const struct purge_certificate *intended)
{
	(void)context;
	(void)intended;
	return -EIO;
}

/* Of two purges that stand half done the first's intent rots: it is told, and the other is finished. */
static void test_purge_intent_damaged(void)
{
	struct purge_hooks refusing = {.audit_intent = audit_refuse};
	struct purge_hooks hooks = {.context = NULL};
	struct io *io = sim_new(check_seed());
	struct rig *rig = rig_new(io, check_seed());
	struct name_search search = {.ending = ".intent"};
	struct purge_certificate certificate;
	char path[600];

	rig_check_open(rig, "open");
	rig_send_some(rig, 60);
	rig_settle(rig, 1000);
	CHECK_INT(-EIO, purge_run(rig->store, rig->first_day, "rule", 1, &refusing, &rig->err, &certificate));
	CHECK_INT(0, io->ops->list(io, RIG_DIRECTORY "/purge", name_see, &search));
	CHECK(search.name[0] != '\0');
	CHECK_INT(-EIO, purge_run(rig->store, rig->first_day + 1, "rule", 1, &refusing, &rig->err, &certificate));
	snprintf(path, sizeof(path), RIG_DIRECTORY "/purge/%s", search.name);
	CHECK_INT(0, sim_rot(io, path, 20, 1));
	CHECK_INT(-EBADMSG, purge_resume(rig->store, &hooks, &rig->err));
	CHECK(strstr(rig->err.text, search.name) != NULL);
	CHECK(!keyring_day_destroyed(store_keyring(rig->store), rig->first_day));
	CHECK(keyring_day_destroyed(store_keyring(rig->store), rig->first_day + 1));
	/* Purged anew, it is through, and nothing stands any more. */
	CHECK_INT(0, purge_run(rig->store, rig->first_day, "rule", 1, &hooks, &rig->err, &certificate));
	CHECK_INT(0, purge_resume(rig->store, &hooks, &rig->err));
	CHECK_INT(0, rig_close(rig, true));
	sim_free(io);
	free(rig);
}

/* The catalog is lost: the segments are adopted, those whose journal is still there are sealed anew; each read once. */
static void test_catalog_lost(void)
{
	for (unsigned round = 0; round < 4; round++) {
		struct io *io = sim_new(check_seed() + round);
		struct rig *rig = rig_new(io, check_seed() + round);
		struct store_status *status = malloc(sizeof(*status));
		char path[700];

		CHECK(status != NULL);
		rig_check_open(rig, "open");
		rig_send_some(rig, 50);
		rig_settle(rig, 1000);
		CHECK_INT(0, store_seal_all(rig->store, INT64_C(5000000000)));
		if (round % 2 == 1)
			CHECK_INT(0, rig_purge(rig, 1));
		rig_send_some(rig, 50);
		rig_settle(rig, 1000);
		CHECK_INT(0, rig_close(rig, round < 2));
		snprintf(path, sizeof(path), "%s/catalog/data.mdb", rig->db_directory);
		CHECK_INT(0, unlink(path));
		rig_check_open(rig, "open");
		CHECK_INT(0, store_status(rig->store, status));
		CHECK(status->damage_count > 0);
		/* Rows only: windows of sealed lanes are lost with the catalog. */
		CHECK(rig_verify_rows(rig));
		CHECK_INT(0, rig_close(rig, true));
		rig_check_open(rig, "open");
		CHECK(rig_verify_rows(rig));
		CHECK_INT(0, rig_close(rig, false));
		sim_free(io);
		free(rig);
		free(status);
	}
}

/* The change log is damaged: journalling goes on, search, match and purge are told why not. */
static void test_register_incomplete(void)
{
	struct io *io = sim_new(check_seed());
	struct rig *rig = rig_new(io, check_seed());
	struct reg_feed feed = {.feed = 1, .name = "force"};
	uint8_t buffer[REG_RECORD_SIZE_MAX];
	struct reg_change change = reg_feed_put(&feed, buffer);
	const char *why = NULL;

	rig_check_open(rig, "open");
	CHECK_INT(0, reg_change(store_register(rig->store, &why), &change, 1, 0, "first", &rig->err));
	CHECK_INT(0, reg_change(store_register(rig->store, &why), &change, 1, 0, "second", &rig->err));
	CHECK_INT(0, rig_close(rig, true));
	CHECK_INT(0, sim_rot(io, RIG_DIRECTORY "/register/changes.log", 100, 1));
	rig_check_open(rig, "open");
	CHECK(store_register(rig->store, &why) == NULL);
	CHECK(strstr(why, "changes.log") != NULL);
	rig_send_some(rig, 30);
	rig_settle(rig, 1000);
	CHECK(rig->acked > 100);
	CHECK_INT(-ENOKEY, rig_purge(rig, 0));
	rig_check_reads(rig);
	CHECK_INT(0, rig_close(rig, true));
	sim_free(io);
	free(rig);
}

int main(int argc, char **argv)
{
	static const struct check_test tests[] = {
		{"failing writes delay sealing", test_seal_fails},
		{"a full disk pushes back until a purge", test_disk_full},
		{"rot is told and closed over", test_rot},
		{"a journal that cannot be read stops the start", test_journal_unreadable},
		{"a damaged intent holds up no other day", test_purge_intent_damaged},
		{"a journal without a readable frame stops the start", test_frame_unreadable},
		{"a lost catalog is made anew", test_catalog_lost},
		{"an incomplete register stops only what needs it", test_register_incomplete},
		{NULL, NULL},
	};

	log_level_set(getenv("GANTRY_TEST_LOG") != NULL ? LOG_LEVEL_DEBUG : LOG_LEVEL_ERROR);
	return check_main(argc, argv, "storage store damage", tests);
}
