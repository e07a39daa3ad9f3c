/* The retention rule over more than a year of days that take milliseconds; proposals by two persons. */
#include "storage/retention.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define LOG_MODULE "test"
#include "appliance/base/log.h"
#include "appliance/base/prng.h"
#include "storage/catalog.h"
#include "storage/clock_guard.h"
#include "storage/hold.h"
#include "storage/io.h"
#include "storage/journal.h"
#include "storage/keyring.h"
#include "storage/purge_file.h"
#include "storage/purge_proposal.h"
#include "storage/store_internal.h"
#include "tests/check.h"
#include "tests/storage/fake_clock.h"
#include "tests/storage/rig_check.h"
#include "tests/storage/sim_io.h"
#include "tests/storage/store_rig.h"

#define SIM_DIRECTORY "/gantry"
#define DAYS 400
#define FIRST_DAY 20000

static struct fake_clock now;
static struct clock_source source;
static struct rig *rig;
static struct io *io;
static uint64_t sequence;
static unsigned certified[DAYS + 1000]; /* by day − FIRST_DAY + 500 */
static struct retention_result round_result;

static void pass_us(int64_t us)
{
	now.wall_us += us;
	now.mono_ns += us * 1000;
}

static void open_store(void)
{
	rig_check_open(rig, "open");
}

static void world_begin(void)
{
	static unsigned number;
	char path[600];

	io = sim_new(check_seed());
	rig = malloc(sizeof(*rig));
	CHECK(rig != NULL);
	(void)snprintf(path, sizeof(path), "%s/db%u", check_directory(), number++);
	rig_init(rig, io, SIM_DIRECTORY, path, check_seed());
	source = fake_clock_source(&now);
	rig->options.clock = &source;
	rig->options.clock_always = false;
	now.wall_us = (int64_t)FIRST_DAY * DAY_US + DAY_US / 2;
	now.mono_ns = INT64_C(7000000000);
	now.synchronised = true;
	sequence = 0;
	memset(certified, 0, sizeof(certified));
	open_store();
}

static void world_end(void)
{
	(void)rig_close(rig, false);
	sim_free(io);
	free(rig);
}

/* One read captured on that day. */
static void send(int32_t day)
{
	struct read read = {.camera = 9, .feed = 1, .epoch = 1, .kind = READ_KIND_VRM};
	struct run run = {.first = ++sequence, .feed = 1, .epoch = 1, .count = 1};
	struct lane_window *window;

	read.capture_us = (int64_t)day * DAY_US + (int64_t)(sequence % 1000) * 1000000;
	read.receipt_us = now.wall_us;
	(void)snprintf((char *)read.key, sizeof(read.key), "R%llu", (unsigned long long)sequence);
	memcpy(read.text, read.key, sizeof(read.text));
	CHECK_INT(0, store_lane(rig->store, 1, 1, 0, &window));
	CHECK_INT(0, journal_append(store_journal(rig->store, 1), window, &run, &read, NULL, 0));
	rig_settle(rig, 1000);
}

static int certificate_audit(void *context, const struct purge_certificate *certificate)
{
	(void)context;
	certified[certificate->day - FIRST_DAY + 500]++;
	return 0;
}

static int run_round(void)
{
	struct retention_hooks hooks = {.purge = {.audit_certificate = certificate_audit}};
	int result = retention_round(rig->store, 77, &hooks, &round_result);

	if (result != 0)
		check_note("%s", round_result.why.text);
	return result;
}

static bool day_lives(int32_t day)
{
	struct purge_day *days;
	size_t count;
	bool found;

	CHECK_INT(0, purge_plan(rig->store, day + 1, &days, &count));
	found = count > 0 && days[count - 1].day == day;
	free(days);
	return found;
}

static void a_year_of_days(void)
{
	struct prng prng = {check_seed()};

	world_begin();
	for (int32_t today = FIRST_DAY; today < FIRST_DAY + DAYS; today++) {
		int32_t oldest = today - 365;

		send(today);
		if (prng_chance(&prng, 200))
			CHECK_INT(0, store_seal_all(rig->store, INT64_C(5000000000)));
		if (prng_chance(&prng, 50)) {
			CHECK_INT(0, rig_close(rig, prng_chance(&prng, 500)));
			open_store();
		}
		CHECK_INT(0, run_round());
		CHECK(!round_result.suspended);
		CHECK_INT(oldest > FIRST_DAY, round_result.purged);
		if (oldest >= FIRST_DAY)
			CHECK(day_lives(oldest)); /* its 365th day: not yet */
		if (oldest > FIRST_DAY) {
			CHECK(!day_lives(oldest - 1)); /* day 366 */
			CHECK(keyring_day_destroyed(store_keyring(rig->store), oldest - 1));
			CHECK_INT(1, certified[oldest - 1 - FIRST_DAY + 500]);
		}
		/* Minute by minute is not needed: one look an hour keeps the guard's thread of time. */
		for (int hour = 0; hour < 24; hour++) {
			struct clock_guard_state state;

			pass_us(DAY_US / 24);
			clock_guard_look(store_clock_guard(rig->store), &state);
		}
	}
	CHECK_INT(0, certified[DAYS - 366 + 500]);
	world_end();
}

/* An appliance that was off for a month catches up, but not before its clock is believed. */
static void catches_up_when_trusted(void)
{
	struct clock_guard_state state;

	world_begin();
	for (int32_t day = 0; day < 30; day++)
		send(FIRST_DAY - 340 + day); /* late reads */
	CHECK_INT(0, run_round());
	CHECK_INT(0, round_result.due);
	CHECK_INT(0, rig_close(rig, true));
	now.wall_us += 40 * DAY_US;
	now.mono_ns = 1000;
	open_store();
	CHECK_INT(0, run_round());
	CHECK(round_result.suspended);
	CHECK_INT(0, round_result.purged);
	CHECK(round_result.why.text[0] != '\0');
	CHECK(day_lives(FIRST_DAY - 340));
	for (int i = 0; i < 601; i++) {
		pass_us(1000000);
		clock_guard_look(store_clock_guard(rig->store), &state);
	}
	CHECK_INT(CLOCK_TRUSTED, state.trust);
	CHECK_INT(0, run_round());
	CHECK_INT(15, round_result.due); /* 340 − 40 + … : those more than 365 days past */
	CHECK_INT(15, round_result.purged);
	CHECK(!day_lives(FIRST_DAY - 326));
	CHECK(day_lives(FIRST_DAY - 325));
	world_end();
}

static void alarm_count(void *context, const char *text)
{
	if (strstr(text, "CASE/ROOM") != NULL && strstr(text, "KiB") != NULL)
		++*(unsigned *)context;
}

static void alarm_take(void *context, const char *text, bool lasts)
{
	CHECK(lasts);
	alarm_count(context, text);
}

static void any_count(void *context, const char *text)
{
	(void)text;
	++*(unsigned *)context;
}

static unsigned alarms_standing(void (*count)(void *context, const char *text))
{
	unsigned standing = 0;

	store_alarms_each(rig->store, count, &standing);
	return standing;
}

/* A year before last, two days; all of the older is held, or of both. */
static void two_days_of_a_full_disk(int32_t held_days, unsigned *alarms)
{
	struct key_change identity = {.id = {.day = KEY_DAY_NONE, .kind = KEY_IDENTITY}};
	struct reg_hold hold = {.hold_class = REG_HOLD_CPIA,
				.who_uid = 7,
				.review_day = FIRST_DAY + 100,
				.reference = "CASE/ROOM",
				.reason = "the reason of the test"};
	struct hold_selector selector = {.from_us = (FIRST_DAY - 400) * DAY_US,
					 .to_us = (FIRST_DAY - 400 + held_days) * DAY_US,
					 .pattern = "R*"};
	struct hold_added added;

	world_begin();
	CHECK_INT(0, keyring_change(store_keyring(rig->store), &identity, 1));
	for (int32_t i = 0; i < 1200; i++) {
		send(FIRST_DAY - 400 + i / 600);
		if (i % 200 == 199)
			CHECK_INT(0, store_seal_all(rig->store, INT64_C(5000000000)));
	}
	CHECK_INT(0, hold_add(rig->store, &hold, &selector, &rig->err, &added));
	*alarms = 0;
	rig->store->hooks.alarm = alarm_take;
	rig->store->hooks.context = alarms;
}

/* Held reads want room before any is freed: the other days make it, in one round, and who can make some is told. */
static void held_reads_want_room(void)
{
	unsigned helped = 0;
	bool alone = false;

	for (uint64_t room = 0; !alone && room < 1 << 20; room += 4 << 10) {
		struct io_space space;
		unsigned alarms;

		two_days_of_a_full_disk(1, &alarms);
		sim_capacity(io, UINT64_C(1) << 40);
		CHECK_INT(0, io->ops->space(io, SIM_DIRECTORY, &space));
		sim_capacity(io, space.total_bytes - space.free_bytes + room);
		(void)run_round();
		alone = alarms == 0 && round_result.purged == 2;
		helped += alarms == 1 && round_result.purged == 2;
		if (round_result.purged == 2)
			CHECK_INT(0, round_result.failed);
		CHECK(alarms <= 1);
		if (round_result.purged < 2 && alarms > 0)
			CHECK(day_lives(FIRST_DAY - 400));
		sim_capacity(io, 0);
		if (round_result.purged < 2)
			CHECK_INT(0, run_round());
		CHECK_INT(0, alarms_standing(any_count));
		CHECK(!day_lives(FIRST_DAY - 399));
		CHECK(certified[FIRST_DAY - 400 - FIRST_DAY + 500] == 1);
		world_end();
	}
	CHECK(alone);
	CHECK(helped > 0);
}

/* Where no day can make room for another it is told once, and named as long as the days wait; then it is over. */
static void waiting_for_room_is_told_while_it_lasts(void)
{
	unsigned waited = 0;

	for (uint64_t room = 0; room < 64 << 10; room += 4 << 10) {
		struct io_space space;
		unsigned alarms, standing;

		two_days_of_a_full_disk(2, &alarms);
		sim_capacity(io, UINT64_C(1) << 40);
		CHECK_INT(0, io->ops->space(io, SIM_DIRECTORY, &space));
		sim_capacity(io, space.total_bytes - space.free_bytes + room);
		(void)run_round();
		standing = alarms_standing(alarm_count);
		if (standing > 0 && round_result.purged == 0) {
			CHECK_INT(alarms, standing);
			(void)run_round();
			CHECK_INT(standing, alarms_standing(alarm_count));
			CHECK_INT(standing, alarms);
			waited++;
		}
		sim_capacity(io, 0);
		CHECK_INT(0, run_round());
		CHECK(!day_lives(FIRST_DAY - 400));
		CHECK(!day_lives(FIRST_DAY - 399));
		CHECK_INT(0, alarms_standing(any_count));
		world_end();
	}
	CHECK(waited > 0);
}

/* A clock that jumps a year ahead destroys nothing, be it asked by the rule or by two persons. */
static void a_wrong_clock_destroys_nothing(void)
{
	struct reg_proposal proposal = {
		.day = FIRST_DAY - 5, .who_uid = 1, .authority = "letter 4711", .reason = "unlawful"};
	struct purge_hooks hooks = {.context = NULL};
	struct purge_certificate certificate;

	world_begin();
	send(FIRST_DAY - 5);
	send(FIRST_DAY - 1);
	CHECK_INT(0, purge_propose(rig->store, &proposal, &rig->err));
	now.wall_us += 366 * DAY_US;
	CHECK_INT(0, run_round());
	CHECK(round_result.suspended);
	CHECK(day_lives(FIRST_DAY - 5));
	now.wall_us -= 366 * DAY_US;
	CHECK_INT(0, run_round());
	CHECK(round_result.suspended); /* it is right again, but nobody should know that so soon */
	now.synchronised = false;
	proposal.day = FIRST_DAY - 1;
	CHECK_INT(0, purge_propose(rig->store, &proposal, &rig->err));
	CHECK_INT(PURGE_SUSPENDED, purge_approve(rig->store, proposal.number, 2, &hooks, &rig->err, &certificate));
	CHECK(rig->err.text[0] != '\0');
	CHECK_INT(PURGE_SUSPENDED, purge_run(rig->store, FIRST_DAY - 5, "rule", 1, &hooks, &rig->err, &certificate));
	CHECK(day_lives(FIRST_DAY - 5) && day_lives(FIRST_DAY - 1));
	world_end();
}

static void a_shorter_retention(void)
{
	world_begin();
	CHECK_INT(0, rig_close(rig, true));
	rig->options.retention_days = 30;
	open_store();
	send(FIRST_DAY - 31);
	send(FIRST_DAY - 30);
	CHECK_INT(0, run_round());
	CHECK_INT(1, round_result.purged);
	CHECK(!day_lives(FIRST_DAY - 31));
	CHECK(day_lives(FIRST_DAY - 30));
	world_end();
}

static int fail_audit(void *context, const struct purge_certificate *intended)
{
	(void)context;
	(void)intended;
	return -EIO;
}

/* One day whose purge fails is told, tried again, and holds up no other. */
static void a_failing_purge_is_retried(void)
{
	struct retention_hooks failing = {.purge = {.audit_intent = fail_audit}};

	world_begin();
	send(FIRST_DAY - 370);
	send(FIRST_DAY - 369);
	CHECK_INT(-EIO, retention_round(rig->store, 77, &failing, &round_result));
	CHECK_INT(2, round_result.failed);
	CHECK(round_result.why.text[0] != '\0');
	CHECK_INT(0, rig_close(rig, false));
	open_store();
	CHECK_INT(0, run_round());
	CHECK_INT(2, round_result.resumed);
	CHECK_INT(0, round_result.due);
	CHECK(!day_lives(FIRST_DAY - 370) && !day_lives(FIRST_DAY - 369));
	world_end();
}

static int count_one(void *context, const struct reg_proposal *proposal)
{
	(void)proposal;
	++*(unsigned *)context;
	return 0;
}

static unsigned proposals(void)
{
	unsigned count = 0;

	CHECK_INT(0, purge_proposal_each(rig->store, count_one, &count));
	return count;
}

static uint32_t propose(int32_t day, uint32_t who)
{
	struct reg_proposal proposal = {.day = day, .who_uid = who, .authority = "letter", .reason = "unlawful"};

	CHECK_INT(0, purge_propose(rig->store, &proposal, &rig->err));
	return proposal.number;
}

static int certificate_take(void *context, const struct purge_certificate *certificate)
{
	*(struct purge_certificate *)context = *certificate;
	return 0;
}

static void two_persons(void)
{
	struct reg_proposal proposal = {.who_uid = 1, .authority = "letter", .reason = "unlawful"};
	struct purge_hooks hooks = {.context = NULL};
	struct purge_certificate certificate;
	uint32_t number;

	world_begin();
	for (int32_t day = 1; day <= 4; day++)
		send(FIRST_DAY - day);
	send(FIRST_DAY - 380);
	proposal.day = FIRST_DAY; /* not over */
	CHECK_INT(-EINVAL, purge_propose(rig->store, &proposal, &rig->err));
	proposal.day = FIRST_DAY - 380; /* the rule's own */
	CHECK_INT(-EINVAL, purge_propose(rig->store, &proposal, &rig->err));
	number = propose(FIRST_DAY - 1, 1);
	proposal.day = FIRST_DAY - 1;
	CHECK_INT(-EEXIST, purge_propose(rig->store, &proposal, &rig->err));
	CHECK_INT(-EPERM, purge_approve(rig->store, number, 1, &hooks, &rig->err, &certificate));
	CHECK_INT(-ENOENT, purge_approve(rig->store, number + 1, 2, &hooks, &rig->err, &certificate));
	/* It outlives a restart, and still wants another account. */
	CHECK_INT(0, rig_close(rig, true));
	open_store();
	CHECK_INT(1, proposals());
	CHECK_INT(-EPERM, purge_approve(rig->store, number, 1, &hooks, &rig->err, &certificate));
	CHECK(day_lives(FIRST_DAY - 1));
	CHECK_INT(0, purge_approve(rig->store, number, 2, &hooks, &rig->err, &certificate));
	CHECK(!day_lives(FIRST_DAY - 1));
	CHECK_INT(2, certificate.who_uid);
	CHECK_INT(1, certificate.proposer_uid);
	CHECK_INT(number, certificate.proposal);
	CHECK_STR("letter", certificate.authority);
	memset(&certificate, 0, sizeof(certificate));
	CHECK_INT(0, purge_certificates(rig->store, certificate_take, &certificate));
	CHECK_INT(1, certificate.proposer_uid);
	CHECK_INT(0, proposals());
	CHECK_INT(-ENOENT, purge_approve(rig->store, number, 2, &hooks, &rig->err, &certificate));
	proposal.day = FIRST_DAY - 1;
	CHECK_INT(-EALREADY, purge_propose(rig->store, &proposal, &rig->err));
	/* Withdrawn, and no number is given twice. */
	CHECK(propose(FIRST_DAY - 2, 1) > number);
	number = propose(FIRST_DAY - 3, 1);
	CHECK_INT(0, purge_withdraw(rig->store, number, 3, &rig->err));
	CHECK_INT(-ENOENT, purge_withdraw(rig->store, number, 3, &rig->err));
	CHECK_INT(-ENOENT, purge_approve(rig->store, number, 2, &hooks, &rig->err, &certificate));
	CHECK(propose(FIRST_DAY - 3, 1) > number);
	world_end();
}

static void proposals_expire(void)
{
	struct purge_hooks hooks = {.context = NULL};
	struct purge_certificate certificate;
	uint32_t number;

	world_begin();
	send(FIRST_DAY - 1);
	send(FIRST_DAY - 2);
	number = propose(FIRST_DAY - 1, 1);
	pass_us(PURGE_PROPOSAL_LIFE_US - 1);
	CHECK_INT(0, purge_proposals_expire(rig->store));
	CHECK_INT(1, proposals());
	pass_us(1);
	CHECK_INT(-ETIMEDOUT, purge_approve(rig->store, number, 2, &hooks, &rig->err, &certificate));
	CHECK_INT(0, run_round());
	CHECK_INT(1, round_result.expired);
	CHECK_INT(0, proposals());
	CHECK_INT(-ENOENT, purge_approve(rig->store, number, 2, &hooks, &rig->err, &certificate));
	CHECK(day_lives(FIRST_DAY - 1));
	/* At the last moment it is good. */
	number = propose(FIRST_DAY - 1, 1);
	pass_us(PURGE_PROPOSAL_LIFE_US - 1);
	CHECK_INT(0, purge_approve(rig->store, number, 2, &hooks, &rig->err, &certificate));
	/* A clock set back makes none live longer. */
	number = propose(FIRST_DAY - 2, 1);
	now.wall_us -= 1000;
	CHECK_INT(-ETIMEDOUT, purge_approve(rig->store, number, 2, &hooks, &rig->err, &certificate));
	world_end();
}

static int audit_fails(void *context, const struct purge_certificate *intended)
{
	(void)context;
	(void)intended;
	return -EIO;
}

static int intent_rot(void *context, const char *name)
{
	char path[256];

	(void)context;
	if (strstr(name, PURGE_FILE_INTENT) == NULL)
		return 0;
	(void)snprintf(path, sizeof(path), SIM_DIRECTORY "/purge/%s", name);
	return sim_rot(io, path, 40, 1);
}

static int intent_count(void *context, const struct purge_certificate *intended, enum purge_step step)
{
	(void)intended;
	(void)step;
	++*(unsigned *)context;
	return 0;
}

/* The damaged intent of a day that is not due still says by its name that the day was begun: one person goes on. */
static void an_approved_intent_rots(void)
{
	struct reg_proposal proposal = {
		.day = FIRST_DAY - 1, .who_uid = 1, .authority = "letter", .reason = "unlawful"};
	struct purge_hooks hooks = {.audit_intent = audit_fails};
	struct purge_certificate certificate;
	unsigned count = 0;

	world_begin();
	send(FIRST_DAY - 1);
	CHECK_INT(0, purge_begun(rig->store, FIRST_DAY - 1));
	CHECK_INT(-EIO, purge_approve(rig->store, propose(FIRST_DAY - 1, 1), 2, &hooks, &rig->err, &certificate));
	CHECK_INT(0, rig_close(rig, true));
	CHECK_INT(0, io->ops->list(io, SIM_DIRECTORY "/purge", intent_rot, NULL));
	(void)snprintf(rig->err.text, sizeof(rig->err.text), "%s/catalog/data.mdb", rig->db_directory);
	CHECK_INT(0, unlink(rig->err.text)); /* it would say that the day is being purged */
	open_store();
	CHECK_INT(0, purge_intents(rig->store, intent_count, &count));
	CHECK_INT(0, count);
	CHECK_INT(1, purge_begun(rig->store, FIRST_DAY - 1));
	CHECK_INT(0, purge_begun(rig->store, FIRST_DAY - 2));
	CHECK_INT(-EALREADY, purge_propose(rig->store, &proposal, &rig->err));
	hooks.audit_intent = NULL;
	CHECK_INT(0, purge_run(rig->store, FIRST_DAY - 1, "begun before", 3, &hooks, &rig->err, &certificate));
	CHECK(!day_lives(FIRST_DAY - 1));
	CHECK_INT(0, purge_resume(rig->store, &hooks, &rig->err)); /* the damaged one is gone */
	CHECK_INT(1, purge_begun(rig->store, FIRST_DAY - 1));
	world_end();
}

/* Cut at every operation of an approval: it is a purge or a proposal afterwards, never a purge nobody approved. */
static void an_approval_is_cut(void)
{
	bool reached = true;

	for (uint64_t nth = 1; reached; nth += 3) {
		struct purge_hooks hooks = {.context = NULL};
		struct purge_certificate certificate;
		uint32_t number;
		uint64_t ops;

		world_begin();
		send(FIRST_DAY - 1);
		number = propose(FIRST_DAY - 1, 1);
		ops = sim_ops(io);
		sim_cut_at(io, ops + nth);
		(void)purge_approve(rig->store, number, 2, &hooks, &rig->err, &certificate);
		reached = sim_ops(io) - ops >= nth;
		(void)rig_close(rig, false);
		sim_crash(io);
		sim_cut_at(io, 0);
		open_store();
		CHECK_INT(0, run_round());
		if (day_lives(FIRST_DAY - 1))
			CHECK_INT(0, purge_approve(rig->store, number, 2, &hooks, &rig->err, &certificate));
		CHECK(!day_lives(FIRST_DAY - 1));
		memset(&certificate, 0, sizeof(certificate));
		CHECK_INT(0, purge_certificates(rig->store, certificate_take, &certificate));
		CHECK_INT(1, certificate.proposer_uid);
		CHECK_INT(2, certificate.who_uid);
		world_end();
	}
}

int main(int argc, char **argv)
{
	static const struct check_test tests[] = {
		{"a year of days", a_year_of_days},
		{"catches up when trusted", catches_up_when_trusted},
		{"a wrong clock destroys nothing", a_wrong_clock_destroys_nothing},
		{"a shorter retention", a_shorter_retention},
		{"a failing purge is retried", a_failing_purge_is_retried},
		{"two persons", two_persons},
		{"proposals expire", proposals_expire},
		{"an approval is cut", an_approval_is_cut},
		{"an approved intent rots", an_approved_intent_rots},
		{"held reads want room", held_reads_want_room},
		{"waiting for room is told while it lasts", waiting_for_room_is_told_while_it_lasts},
		{NULL, NULL},
	};

	log_level_set(getenv("GANTRY_TEST_LOG") != NULL ? LOG_LEVEL_DEBUG : LOG_LEVEL_ERROR);
	/* LMDB's flushes are not what is tested here, and there are thousands. */
	if (access("/dev/shm", W_OK) == 0)
		(void)setenv("TMPDIR", "/dev/shm", 0);
	return check_main(argc, argv, "retention", tests);
}
