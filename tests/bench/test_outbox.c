/*
 * The outbox against a wire and a receiver simulated at the level of sequences: datagrams and ACKs get lost, late,
 * doubled and overtaken on a clock of the test's own. The receiver here is a plain array of what is durable.
 */
#include <stdlib.h>
#include <string.h>

#include "appliance/base/prng.h"
#include "bench/outbox.h"
#include "bench/spool.h"
#include "tests/check.h"

#define READS_MAX 60000
#define WIRE_MAX 8192
#define MS INT64_C(1000000)
#define SECOND INT64_C(1000000000)

struct parcel {
	int64_t at_ns; /* of arrival */
	uint64_t first;
	uint16_t count;
	bool busy;
};

struct letter {
	int64_t at_ns;
	uint64_t number;
	struct feed_ack ack;
	bool busy;
};

enum fate { FATE_NONE, FATE_STORED, FATE_REFUSED };

struct world {
	struct prng prng;
	struct spool *spool;
	struct outbox *outbox;
	struct parcel parcels[WIRE_MAX];
	struct letter letters[WIRE_MAX];
	uint8_t fates[READS_MAX]; /* at the receiver */
	uint8_t known[READS_MAX]; /* the sender was told that it is acknowledged */
	uint8_t booked[READS_MAX];
	uint8_t refused[READS_MAX]; /* told by the book */
	struct feed_notices notices;
	uint64_t cumulative;
	uint64_t highest;
	uint64_t arrived; /* last datagram's first */
	uint64_t refused_count;
	uint64_t ack_number;
	uint64_t believed_limit; /* cumulative + credit of the newest ACK delivered */
	uint64_t believed_number;
	uint32_t credit;
	unsigned drop;
	unsigned late;
	unsigned double_;
	bool owed;
	bool deferring;
	bool deaf; /* the receiver is down */
	int64_t now_ns;
};

static struct world *world;

static int booked(void *context, enum feed_lane lane, uint64_t first, uint64_t end)
{
	struct world *w = context;

	CHECK_INT(FEED_LANE_LIVE, lane);
	for (uint64_t s = first; s < end; s++) {
		CHECK_INT(0, w->booked[s]);
		CHECK(w->fates[s] != FATE_NONE);
		w->booked[s] = 1;
	}
	return 0;
}

static int book_refused(void *context, enum feed_lane lane, uint64_t first, uint64_t end, uint8_t reason)
{
	struct world *w = context;

	CHECK_INT(FEED_LANE_LIVE, lane);
	for (uint64_t s = first; s < end; s++) {
		CHECK_INT(0, w->refused[s]);
		CHECK_INT(FATE_REFUSED, w->fates[s]);
		CHECK_INT(REFUSAL_TOO_OLD, reason);
		w->refused[s] = 1;
	}
	return 0;
}

static struct outbox_book book;

static void world_open(uint32_t window)
{
	world = calloc(1, sizeof(*world));
	world->prng.state = check_seed();
	world->now_ns = SECOND;
	world->credit = 20000;
	book = (struct outbox_book){booked, book_refused, world};
	CHECK_INT(SPOOL_FRESH, spool_open(NULL, 1, 8192, &world->spool, NULL));
	CHECK_INT(0, outbox_new(world->spool, FEED_LANE_LIVE, window, &book, &world->outbox));
}

static void world_close(void)
{
	outbox_free(world->outbox);
	spool_close(world->spool);
	free(world);
}

static int64_t travel_ns(void)
{
	int64_t ns = 500000 + (int64_t)prng_below(&world->prng, 200000);

	return prng_chance(&world->prng, world->late) ? ns + (int64_t)prng_below(&world->prng, 20 * MS) : ns;
}

static void parcel_post(uint64_t first, uint16_t count)
{
	if (prng_chance(&world->prng, world->drop))
		return;
	for (unsigned i = 0; i < WIRE_MAX; i++) {
		if (world->parcels[i].busy)
			continue;
		world->parcels[i] = (struct parcel){world->now_ns + travel_ns(), first, count, true};
		break;
	}
	if (prng_chance(&world->prng, world->double_))
		parcel_post(first, count);
}

/* Sixteen ranges are not all that can be told: an ACK begins where the datagram that it answers lies. */
static uint64_t ranges_from(void)
{
	uint64_t s = world->arrived;

	while (s > world->cumulative + 1 && world->fates[s - 1] != FATE_NONE)
		s--;
	return s > world->cumulative + 1 ? s : world->cumulative + 1;
}

static void ack_make(struct feed_ack *ack)
{
	memset(ack, 0, sizeof(*ack));
	ack->durable.epoch = spool_epoch(world->spool);
	ack->durable.cumulative = world->cumulative;
	ack->durable.refused_total = world->refused_count;
	ack->credit = world->credit;
	for (uint64_t s = ranges_from(); s <= world->highest; s++) {
		struct feed_range *range;

		if (world->fates[s] == FATE_NONE)
			continue;
		if (ack->durable.range_count == FEED_ACK_RANGES_MAX)
			break;
		range = &ack->durable.ranges[ack->durable.range_count++];
		range->first = s;
		while (s + 1 <= world->highest && world->fates[s + 1] != FATE_NONE)
			s++;
		range->last = s;
	}
	feed_notices_put(&world->notices, ack);
}

static void letter_post(void)
{
	if (prng_chance(&world->prng, world->drop))
		return;
	for (unsigned i = 0; i < WIRE_MAX; i++) {
		struct letter *letter = &world->letters[i];

		if (letter->busy)
			continue;
		letter->at_ns = world->now_ns + travel_ns();
		letter->number = world->ack_number++;
		letter->busy = true;
		ack_make(&letter->ack);
		return;
	}
}

/* Sequences of every 37th are refused; of every 50th deferred while the register lags. */
static void parcel_arrive(const struct parcel *parcel)
{
	world->owed = true;
	world->arrived = parcel->first;
	for (uint64_t s = parcel->first; s < parcel->first + parcel->count; s++) {
		if (world->fates[s] != FATE_NONE || (world->deferring && s % 50 == 0))
			continue;
		world->fates[s] = s % 37 == 0 ? FATE_REFUSED : FATE_STORED;
		if (s % 37 == 0) {
			world->refused_count++;
			feed_notices_add(&world->notices, s, 1, REFUSAL_TOO_OLD);
		}
		if (s > world->highest)
			world->highest = s;
	}
	while (world->fates[world->cumulative + 1] != FATE_NONE)
		world->cumulative++;
}

static void letter_arrive(const struct letter *letter)
{
	const struct feed_durable *durable = &letter->ack.durable;

	for (uint64_t s = 1; s <= durable->cumulative; s++)
		world->known[s] = 1;
	for (unsigned i = 0; i < durable->range_count; i++)
		memset(&world->known[durable->ranges[i].first], 1,
		       durable->ranges[i].last - durable->ranges[i].first + 1);
	if (letter->number >= world->believed_number) {
		world->believed_number = letter->number;
		if (durable->cumulative + letter->ack.credit > world->believed_limit || letter->ack.credit == 0 ||
		    world->credit < 100)
			world->believed_limit = durable->cumulative + letter->ack.credit;
	}
	CHECK_INT(0, outbox_ack(world->outbox, &letter->ack, 77, letter->number, world->now_ns));
}

static void deliver(void)
{
	for (unsigned i = 0; i < WIRE_MAX; i++) {
		if (world->parcels[i].busy && world->parcels[i].at_ns <= world->now_ns) {
			world->parcels[i].busy = false;
			if (!world->deaf)
				parcel_arrive(&world->parcels[i]);
		}
		if (world->letters[i].busy && world->letters[i].at_ns <= world->now_ns) {
			world->letters[i].busy = false;
			letter_arrive(&world->letters[i]);
		}
	}
}

/* Everything the outbox offers is within the credit and holds nothing that is known to be acknowledged. */
static unsigned send_all(void)
{
	uint64_t first;
	uint16_t count;
	bool again;
	unsigned sent = 0;

	while (sent < 256 && outbox_peek(world->outbox, &first, &count, &again)) {
		CHECK(count >= 1 && count <= FEED_RECORDS_MAX);
		CHECK(first + count <= spool_next(world->spool, FEED_LANE_LIVE));
		CHECK(first + count - 1 <= world->believed_limit);
		for (uint64_t s = first; s < first + count; s++)
			CHECK(!world->known[s]);
		outbox_sent(world->outbox, first, count, again, world->now_ns);
		parcel_post(first, count);
		sent++;
	}
	CHECK(outbox_flight(world->outbox) <= outbox_window(world->outbox) + OUTBOX_PROBES);
	return sent;
}

static void turn(uint64_t reads)
{
	static const uint8_t records[SPOOL_PUSH_MAX * SPOOL_RECORD_SIZE];
	uint64_t next = spool_next(world->spool, FEED_LANE_LIVE);

	world->now_ns += 200000;
	if (next <= reads) {
		unsigned count = (unsigned)(reads + 1 - next < SPOOL_PUSH_MAX ? reads + 1 - next : SPOOL_PUSH_MAX);

		if (spool_room(world->spool, FEED_LANE_LIVE) >= count)
			spool_push(world->spool, FEED_LANE_LIVE, records, count);
	}
	outbox_timer(world->outbox, world->now_ns);
	send_all();
	deliver();
	/* A heartbeat each second asks for an ACK; a commit that made something durable gives one. */
	if (!world->deaf && (world->owed || world->now_ns % SECOND == 0)) {
		letter_post();
		world->owed = false;
	}
}

static void welcome(void)
{
	struct feed_lane_granted granted = {.cumulative = world->cumulative,
					    .credit = world->credit,
					    .records_max = FEED_RECORDS_MAX,
					    .known = world->cumulative > 0};

	world->believed_limit = world->cumulative + world->credit;
	CHECK_INT(0, outbox_welcome(world->outbox, &granted, 77, world->now_ns));
}

static void check_all(uint64_t reads)
{
	const struct outbox_counters *counters = outbox_counters(world->outbox);

	CHECK(outbox_idle(world->outbox));
	CHECK_INT(reads, counters->sent);
	CHECK_INT(reads, counters->acknowledged);
	CHECK_INT(reads / 37, outbox_refused(world->outbox));
	CHECK_INT(0, outbox_violations_sum(&counters->violations));
	for (uint64_t s = 1; s <= reads; s++)
		CHECK_INT(1, world->booked[s]);
}

static unsigned drive(uint64_t reads, unsigned turns_max)
{
	unsigned turns = 0;

	while (turns < turns_max && !(spool_next(world->spool, FEED_LANE_LIVE) > reads && outbox_idle(world->outbox))) {
		turn(reads);
		turns++;
	}
	return turns;
}

static void a_clean_wire_needs_no_second_sending(void)
{
	world_open(256);
	welcome();
	drive(20000, 100000);
	check_all(20000);
	CHECK_INT(0, outbox_counters(world->outbox)->retransmitted);
	CHECK_INT(0, outbox_counters(world->outbox)->lost);
	CHECK(outbox_counters(world->outbox)->latency.total > 0);
	world_close();
}

static void a_bad_wire_loses_nothing(void)
{
	world_open(512);
	world->drop = 100;
	world->late = 100;
	world->double_ = 100;
	welcome();
	drive(20000, 400000);
	check_all(20000);
	CHECK(outbox_counters(world->outbox)->retransmitted > 1000);
	/* Repair costs: not many times what was lost. */
	CHECK(outbox_counters(world->outbox)->retransmitted < 20000);
	world_close();
}

/* A whole window is lost behind the last ACK: one probe's answer is enough to send all of it again. */
static void a_lost_tail_comes_again_soon(void)
{
	world_open(256);
	welcome();
	drive(2000, 100);
	CHECK(outbox_counters(world->outbox)->latency.total > 0);
	world->drop = 1000;
	drive(7000, 20);
	world->drop = 0;
	CHECK(outbox_flight(world->outbox) > 50);
	/* 300 ms at most: a timeout, two round trips, and what the halved window adds. */
	CHECK(drive(7000, 1500) < 1500);
	check_all(7000);
	world_close();
}

/* Deferred reads wait, come back with longer and longer pauses, and get through once the register knows them. */
static void deferred_reads_wait_without_flooding(void)
{
	uint64_t before;

	world_open(512);
	world->deferring = true;
	welcome();
	drive(5000, 50000);
	CHECK(!outbox_idle(world->outbox));
	before = outbox_counters(world->outbox)->retransmitted;
	drive(5000, 50000);
	/* Ten seconds more: a hundred reads, each every two seconds at most. */
	CHECK(outbox_counters(world->outbox)->retransmitted - before < 700);
	CHECK_INT(100, spool_outstanding(world->spool, FEED_LANE_LIVE));
	world->deferring = false;
	CHECK(drive(5000, 50000) < 25000);
	check_all(5000);
	world_close();
}

static void without_credit_nothing_goes(void)
{
	uint64_t sent;

	world_open(512);
	world->credit = 50;
	welcome();
	drive(1000, 5);
	world->credit = 0;
	drive(1000, 50000);
	CHECK(outbox_counters(world->outbox)->sent >= 50 && outbox_counters(world->outbox)->sent <= 200);
	sent = outbox_counters(world->outbox)->datagrams;
	drive(1000, 50000);
	CHECK_INT(sent, outbox_counters(world->outbox)->datagrams);
	world->credit = 10000;
	drive(1000, 50000);
	check_all(1000);
	world_close();
}

/* The receiver dies with a window in flight; what it had is durable, the rest comes again after its WELCOME. */
static void a_receiver_that_dies_gets_the_rest_again(void)
{
	world_open(512);
	welcome();
	drive(30000, 200);
	CHECK(!outbox_idle(world->outbox));
	world->deaf = true;
	drive(30000, 30000);
	memset(world->letters, 0, sizeof(world->letters));
	CHECK(outbox_counters(world->outbox)->timeouts > 2);
	world->deaf = false;
	world->ack_number = 0;
	world->believed_number = 0;
	for (uint64_t s = 1; s <= world->cumulative; s++)
		world->known[s] = 1;
	welcome();
	CHECK(drive(30000, 20000) < 20000);
	check_all(30000);
	world_close();
}

static void spool_some(unsigned count)
{
	static const uint8_t records[SPOOL_PUSH_MAX * SPOOL_RECORD_SIZE];

	spool_push(world->spool, FEED_LANE_LIVE, records, count);
}

static struct feed_ack ack_of(uint64_t cumulative)
{
	struct feed_ack ack = {.durable = {.cumulative = cumulative, .epoch = spool_epoch(world->spool)},
			       .credit = 1000};

	return ack;
}

/* One lie at a time: counted under its name, and nothing of it believed. */
static void a_liar_is_not_believed(void)
{
	const struct outbox_violations *seen;
	struct feed_ack ack;
	uint64_t number = 10;

	world_open(64);
	seen = &outbox_counters(world->outbox)->violations;
	memset(world->fates, FATE_STORED, sizeof(world->fates));
	spool_some(60);
	welcome();
	send_all();
	spool_some(40); /* given, never sent */
	ack = ack_of(20);
	CHECK_INT(0, outbox_ack(world->outbox, &ack, 77, number++, world->now_ns));
	CHECK_INT(20, outbox_counters(world->outbox)->acknowledged);
	CHECK_INT(0, outbox_violations_sum(seen));

	ack = ack_of(61);
	CHECK_INT(0, outbox_ack(world->outbox, &ack, 77, number++, world->now_ns));
	CHECK_INT(1, seen->unsent);
	ack = ack_of(UINT64_MAX);
	CHECK_INT(0, outbox_ack(world->outbox, &ack, 77, number++, world->now_ns));
	CHECK_INT(2, seen->unsent);
	ack = ack_of(20);
	ack.durable.range_count = 1;
	ack.durable.ranges[0] = (struct feed_range){30, 61};
	CHECK_INT(0, outbox_ack(world->outbox, &ack, 77, number++, world->now_ns));
	CHECK_INT(3, seen->unsent);
	ack.durable.ranges[0] = (struct feed_range){21, 30};
	CHECK_INT(0, outbox_ack(world->outbox, &ack, 77, number++, world->now_ns));
	CHECK_INT(1, seen->ranges);
	ack.durable.ranges[0] = (struct feed_range){40, 30};
	CHECK_INT(0, outbox_ack(world->outbox, &ack, 77, number++, world->now_ns));
	CHECK_INT(2, seen->ranges);
	ack = ack_of(19);
	CHECK_INT(0, outbox_ack(world->outbox, &ack, 77, number++, world->now_ns));
	CHECK_INT(1, seen->went_back);
	ack = ack_of(30);
	ack.durable.epoch++;
	CHECK_INT(0, outbox_ack(world->outbox, &ack, 77, number++, world->now_ns));
	CHECK_INT(1, seen->epoch);
	ack = ack_of(30);
	ack.durable.refused_total = 61;
	CHECK_INT(0, outbox_ack(world->outbox, &ack, 77, number++, world->now_ns));
	CHECK_INT(1, seen->refused_above);
	ack = ack_of(30);
	ack.notice_count = 1;
	ack.notices[0] = (struct feed_notice){61, 1, REFUSAL_FUTURE};
	CHECK_INT(0, outbox_ack(world->outbox, &ack, 77, number++, world->now_ns));
	CHECK_INT(4, seen->unsent);
	CHECK_INT(20, outbox_counters(world->outbox)->acknowledged);
	CHECK_INT(21, spool_lowest(world->spool, FEED_LANE_LIVE));

	/* An honest ACK still counts; one that was overtaken by it is no step back. */
	ack = ack_of(30);
	ack.durable.refused_total = 5;
	CHECK_INT(0, outbox_ack(world->outbox, &ack, 77, number++, world->now_ns));
	CHECK_INT(30, outbox_counters(world->outbox)->acknowledged);
	ack = ack_of(25);
	CHECK_INT(0, outbox_ack(world->outbox, &ack, 77, 11, world->now_ns));
	CHECK_INT(1, seen->went_back);
	ack = ack_of(31);
	ack.durable.refused_total = 4;
	CHECK_INT(0, outbox_ack(world->outbox, &ack, 77, number++, world->now_ns));
	CHECK_INT(1, seen->refused_back);
	CHECK_INT(30, outbox_counters(world->outbox)->acknowledged);
	world->cumulative = 10;
	welcome();
	CHECK_INT(2, seen->went_back);
	world->cumulative = 70;
	welcome();
	CHECK_INT(5, seen->unsent);
	world_close();
}

int main(int argc, char **argv)
{
	static const struct check_test tests[] = {
		{"a clean wire needs no second sending", a_clean_wire_needs_no_second_sending},
		{"a bad wire loses nothing", a_bad_wire_loses_nothing},
		{"a lost tail comes again soon", a_lost_tail_comes_again_soon},
		{"deferred reads wait without flooding", deferred_reads_wait_without_flooding},
		{"without credit nothing goes", without_credit_nothing_goes},
		{"a receiver that dies gets the rest again", a_receiver_that_dies_gets_the_rest_again},
		{"a liar is not believed", a_liar_is_not_believed},
		{NULL, NULL},
	};

	return check_main(argc, argv, "bench outbox", tests);
}
