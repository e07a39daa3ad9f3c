/* Whole senders against the receiver in memory, which says of every read what became of it. */
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "appliance/base/bytes.h"
#include "appliance/base/clock.h"
#include "appliance/base/prng.h"
#include "bench/fault.h"
#include "bench/ledger.h"
#include "bench/loop.h"
#include "bench/spool.h"
#include "bench/transport.h"
#include "tests/bench/drive.h"
#include "tests/check.h"

#define SEQUENCES 100000
#define FEEDS 2

/* What the receiver made durable: record and fate by feed, lane and sequence, of one epoch each. */
struct witness {
	uint8_t records[FEEDS][FEED_LANE_COUNT][SEQUENCES][8]; /* capture time */
	uint8_t fates[FEEDS][FEED_LANE_COUNT][SEQUENCES];      /* 1 stored, 2 refused */
	uint32_t epochs[FEEDS];
	uint64_t fresh;
	uint64_t repeated;
	uint64_t refused;
	unsigned lanes_seen;
	uint64_t live_before_backlog;
	bool backlog_came;
	bool refusing;
};

static struct witness *witness;

static uint8_t judge(void *context, const struct loop_read *read)
{
	struct witness *w = context;
	unsigned feed = read->feed - 1;
	uint8_t *fate = &w->fates[feed][read->lane][read->sequence];

	CHECK(read->sequence < SEQUENCES);
	if (w->epochs[feed] == 0)
		w->epochs[feed] = read->epoch;
	CHECK_INT(w->epochs[feed], read->epoch);
	if (read->lane == FEED_LANE_BACKLOG)
		w->backlog_came = true;
	else if (!w->backlog_came)
		w->live_before_backlog++;
	if (!read->fresh) {
		/* A sequence belongs to one read for ever. */
		CHECK_MEM(w->records[feed][read->lane][read->sequence], read->record, 8);
		w->repeated++;
		return 0;
	}
	CHECK_INT(0, *fate);
	memcpy(w->records[feed][read->lane][read->sequence], read->record, 8);
	w->fresh++;
	*fate = w->refusing && read->sequence % 1000 < 3 ? 2 : 1;
	w->refused += *fate == 2;
	return *fate == 2 ? REFUSAL_CAMERA_SUSPENDED : 0;
}

static struct transport *receiver_new(struct feeds *feeds, uint32_t credit)
{
	const struct loop_settings settings = {.judge = judge, .context = witness, .credit = credit};
	struct transport *transport = NULL;

	drive_feeds(FEEDS, feeds);
	CHECK_INT(0, loop_new(&settings, feeds->rows, FEEDS, &transport));
	return transport;
}

static void witness_open(void)
{
	free(witness);
	witness = calloc(1, sizeof(*witness));
	CHECK(witness != NULL);
}

/*
 * The ledger says of every read what the receiver says, and of no other. (Refusals here are rare enough for the eight
 * notices of an ACK to tell each; a denser hail would be counted, not explained.)
 */
static void ledger_compare(const char *path)
{
	char *text = NULL;
	size_t size = 0;
	FILE *out = open_memstream(&text, &size);
	uint64_t count = 0;
	char *save = NULL;
	uint64_t refused = 0;

	CHECK_INT(0, ledger_print(path, out, &count, NULL));
	fclose(out);
	CHECK_INT(witness->fresh, count);
	for (char *line = strtok_r(text, "\n", &save); line != NULL; line = strtok_r(NULL, "\n", &save)) {
		unsigned feed;
		unsigned epoch;
		unsigned long long sequence;
		unsigned long long capture;
		char lane[16];
		char fate[32];
		uint8_t seen;

		CHECK_INT(6, sscanf(line, "%u\t%u\t%15s\t%llu\t%31s\t%llu", &feed, &epoch, lane, &sequence, fate,
				    &capture));
		CHECK_INT(witness->epochs[feed - 1], epoch);
		seen = witness->fates[feed - 1][strcmp(lane, "backlog") == 0][sequence];
		CHECK_STR(seen == 2   ? "camera-suspended"
			  : seen == 1 ? "acknowledged"
				      : "unknown to the receiver",
			  fate);
		CHECK_INT(capture, le64_get(witness->records[feed - 1][strcmp(lane, "backlog") == 0][sequence]));
		refused += seen == 2;
	}
	CHECK_INT(witness->refused, refused);
	free(text);
}

static void path_make(char path[256], const char *name)
{
	snprintf(path, 256, "%s/%s", check_directory(), name);
}

static void a_clean_run_sends_each_read_once(void)
{
	struct sender_totals totals;
	struct feeds feeds;
	struct transport *transport;
	char path[256];

	witness_open();
	path_make(path, "ledger");
	transport = receiver_new(&feeds, 5000);
	drive_sender(transport, &feeds, 50000, 8, NULL, path, &totals);
	CHECK_INT(50000, witness->fresh);
	CHECK_INT(0, witness->repeated);
	CHECK_INT(0, totals.retransmitted);
	ledger_compare(path);
	transport_free(transport);
}

static void a_bad_wire_and_refusals_end_in_the_same_ledger(void)
{
	const struct fault_settings faults = {check_seed(), 80, 80, 100, 40};
	struct sender_totals totals;
	struct feeds feeds;
	struct transport *transport;
	char path[256];

	witness_open();
	witness->refusing = true;
	path_make(path, "ledger");
	transport = receiver_new(&feeds, 3000);
	CHECK_INT(0, fault_new(transport, &faults, &transport));
	drive_sender(transport, &feeds, 40000, 8, NULL, path, &totals);
	CHECK_INT(40000, witness->fresh);
	CHECK(totals.retransmitted > 0);
	CHECK_INT(witness->refused, totals.refused);
	CHECK(fault_counters(transport)->corrupted > 0);
	CHECK(fault_counters(transport)->dropped_in > 0);
	CHECK(fault_counters(transport)->reordered > 0);
	CHECK(fault_counters(transport)->duplicated > 0);
	ledger_compare(path);
	transport_free(transport);
}

struct slow {
	struct sender *sender;
	struct fleet *fleet;
	struct fleet_streams *streams;
	struct ledger *ledger;
};

static void slow_fill(void *context, unsigned feed, int64_t now_us, unsigned count_max, struct fleet_batch *ret_batch)
{
	fleet_streams_fill(context, feed, now_us, count_max, ret_batch);
}

static void slow_open(struct slow *slow, struct transport *transport, const struct feeds *feeds, const char *spool,
		      const char *ledger)
{
	struct fleet_settings fleet_settings;
	struct sender_settings settings;
	struct sender_source source = {.fill = slow_fill};

	fleet_settings_init(&fleet_settings);
	fleet_settings.cameras = 600;
	fleet_settings.vehicles = 2000;
	fleet_settings.backlog_permille = 300;
	slow->fleet = calloc(1, sizeof(*slow->fleet));
	CHECK_INT(0, fleet_init(slow->fleet, &fleet_settings));
	CHECK_INT(0, fleet_streams_new(slow->fleet, feeds->ranges, feeds->count, clock_wall_us(), &slow->streams));
	source.context = slow->streams;
	sender_settings_init(&settings);
	settings.spool_path = spool;
	settings.spool_reads = 4096;
	settings.reads_max = 7000;
	slow->ledger = NULL;
	if (ledger != NULL)
		CHECK_INT(0, ledger_open(ledger, &slow->ledger, NULL));
	CHECK_INT(0, sender_new(&settings, transport, &source, slow->ledger, &slow->sender));
	for (unsigned i = 0; i < feeds->count; i++)
		CHECK(sender_add_feed(slow->sender, feeds->rows[i].feed, feeds->rows[i].key, NULL) > 0);
}

static void slow_close(struct slow *slow)
{
	sender_free(slow->sender);
	ledger_close(slow->ledger);
	fleet_streams_free(slow->streams);
	fleet_fini(slow->fleet);
	free(slow->fleet);
}

static void slow_turns(struct slow *slow, unsigned turns, int64_t *now_ns)
{
	bool done;

	for (unsigned i = 0; i < turns; i++) {
		*now_ns += 500000;
		CHECK_INT(0, sender_turn(slow->sender, *now_ns, clock_wall_us(), &done));
	}
}

/* Sender and receiver restart in the middle again and again; every read arrives, none under another's sequence. */
static void restarts_of_both_sides_lose_nothing(void)
{
	struct prng prng = {check_seed()};
	struct feeds feeds;
	struct transport *transport;
	char ledger[256];
	const char *spool = check_directory();
	struct slow slow;
	struct sender_totals totals;
	int64_t now_ns = clock_mono_ns();

	witness_open();
	path_make(ledger, "ledger");
	transport = receiver_new(&feeds, 700);
	for (unsigned round = 0; round < 12; round++) {
		slow_open(&slow, transport, &feeds, spool, ledger);
		slow_turns(&slow, 5 + (unsigned)prng_below(&prng, 20), &now_ns);
		if (round % 3 == 2) {
			loop_restart(transport);
			slow_turns(&slow, (unsigned)prng_below(&prng, 20000), &now_ns);
		}
		slow_close(&slow);
	}
	slow_open(&slow, transport, &feeds, spool, ledger);
	sender_stop_making(slow.sender);
	for (unsigned i = 0; i < 40000 && !sender_idle(slow.sender); i++)
		slow_turns(&slow, 1, &now_ns);
	sender_totals(slow.sender, &totals);
	CHECK(sender_idle(slow.sender));
	CHECK_INT(0, outbox_violations_sum(&totals.violations));
	slow_close(&slow);
	CHECK(witness->fresh > 5000);
	ledger_compare(ledger);
	transport_free(transport);
}

/* Both spools are full when the session opens: the backlog waits for the live lane's credit to be used up. */
static void live_goes_before_backlog(void)
{
	struct feeds feeds;
	struct transport *transport;
	struct slow slow;
	int64_t now_ns = clock_mono_ns();

	witness_open();
	drive_feeds(1, &feeds);
	{
		const struct loop_settings settings = {.judge = judge, .context = witness, .credit = 1000};

		CHECK_INT(0, loop_new(&settings, feeds.rows, 1, &transport));
	}
	slow_open(&slow, transport, &feeds, NULL, NULL);
	slow_turns(&slow, 4, &now_ns);
	/* 1000 of credit are 36 datagrams: all of them live before the first of the backlog. */
	CHECK(witness->backlog_came);
	CHECK(witness->live_before_backlog >= 1000);
	slow_close(&slow);
	transport_free(transport);
}

static void lie(void *context, uint32_t feed, struct feed_ack *ack)
{
	unsigned *calls = context;

	(void)feed;
	if (++*calls % 3 == 0)
		ack->durable.cumulative += 1000000;
}

/* Every third ACK claims what was never sent: counted, not believed, and the run still ends well. */
static void lies_are_counted(void)
{
	unsigned calls = 0;
	const struct loop_settings settings = {.spoil = lie, .context = &calls, .credit = 2000};
	struct feeds feeds;
	struct transport *transport = NULL;
	struct slow slow;
	struct sender_totals totals;
	int64_t now_ns = clock_mono_ns();
	uint64_t stored;
	uint64_t refused;

	drive_feeds(1, &feeds);
	CHECK_INT(0, loop_new(&settings, feeds.rows, 1, &transport));
	slow_open(&slow, transport, &feeds, NULL, NULL);
	slow_turns(&slow, 200, &now_ns);
	sender_stop_making(slow.sender);
	for (unsigned i = 0; i < 20000 && !sender_idle(slow.sender); i++)
		slow_turns(&slow, 1, &now_ns);
	sender_totals(slow.sender, &totals);
	loop_totals(transport, &stored, &refused);
	CHECK(totals.violations.unsent >= calls / 3);
	CHECK_INT(stored, totals.acknowledged);
	CHECK_INT(0, totals.outstanding);
	slow_close(&slow);
	transport_free(transport);
}

int main(int argc, char **argv)
{
	static const struct check_test tests[] = {
		{"a clean run sends each read once", a_clean_run_sends_each_read_once},
		{"a bad wire and refusals end in the same ledger", a_bad_wire_and_refusals_end_in_the_same_ledger},
		{"restarts of both sides lose nothing", restarts_of_both_sides_lose_nothing},
		{"live goes before backlog", live_goes_before_backlog},
		{"lies are counted", lies_are_counted},
		{NULL, NULL},
	};
	int r = check_main(argc, argv, "bench sender", tests);

	free(witness);
	return r;
}
