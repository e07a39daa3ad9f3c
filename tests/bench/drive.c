#include "tests/bench/drive.h"

#include <stdlib.h>

#include "appliance/base/clock.h"
#include "bench/ledger.h"
#include "bench/transport.h"
#include "tests/check.h"

#define CAMERAS 600

static void fill(void *context, unsigned feed, int64_t now_us, unsigned count_max, struct fleet_batch *ret_batch)
{
	fleet_streams_fill(context, feed, now_us, count_max, ret_batch);
}

void drive_feeds(unsigned count, struct feeds *ret_feeds)
{
	feeds_invent(count, CAMERAS, 20, 7, ret_feeds);
}

static void turns(struct sender *sender, struct transport *transport, unsigned seconds)
{
	int64_t end_ns = clock_mono_ns() + (int64_t)seconds * 1000000000;
	int64_t now_ns;

	while ((now_ns = clock_mono_ns()) < end_ns && (sender_making(sender) || !sender_idle(sender))) {
		bool done = false;

		CHECK_INT(0, sender_turn(sender, now_ns, clock_wall_us(), &done));
		if (!done)
			transport->ops->wait(transport, sender_next_ns(sender, now_ns) - now_ns);
	}
}

void drive_sender(struct transport *transport, const struct feeds *feeds, uint64_t reads, unsigned seconds,
		  const char *spool_path, const char *ledger_path, struct sender_totals *ret_totals)
{
	struct fleet_settings fleet_settings;
	struct sender_settings settings;
	struct sender_source source = {.fill = fill};
	struct fleet_streams *streams = NULL;
	struct ledger *ledger = NULL;
	struct sender *sender = NULL;
	struct sender_totals totals;
	struct fleet fleet;

	fleet_settings_init(&fleet_settings);
	fleet_settings.seed = check_seed();
	fleet_settings.cameras = CAMERAS;
	fleet_settings.vehicles = 5000;
	CHECK_INT(0, fleet_init(&fleet, &fleet_settings));
	CHECK_INT(0, fleet_streams_new(&fleet, feeds->ranges, feeds->count, clock_wall_us(), &streams));
	source.context = streams;
	sender_settings_init(&settings);
	settings.reads_max = reads;
	settings.spool_reads = 16384;
	settings.spool_path = spool_path;
	if (ledger_path != NULL)
		CHECK_INT(0, ledger_open(ledger_path, &ledger, NULL));
	CHECK_INT(0, sender_new(&settings, transport, &source, ledger, &sender));
	for (unsigned i = 0; i < feeds->count; i++)
		CHECK(sender_add_feed(sender, feeds->rows[i].feed, feeds->rows[i].key, NULL) > 0);
	turns(sender, transport, seconds);
	sender_totals(sender, &totals);
	if (totals.outstanding > 0)
		check_note("outstanding %llu flight %llu credit %llu lost %llu timeouts %llu again %llu acks %llu "
			   "drops %llu unsent %llu",
			   (unsigned long long)totals.outstanding, (unsigned long long)totals.flight,
			   (unsigned long long)totals.credit, (unsigned long long)totals.datagrams_lost,
			   (unsigned long long)totals.timeouts, (unsigned long long)totals.retransmitted,
			   (unsigned long long)totals.acks, (unsigned long long)totals.drops,
			   (unsigned long long)transport->unsent);
	CHECK_INT(0, outbox_violations_sum(&totals.violations));
	CHECK_INT(reads, totals.made);
	CHECK_INT(0, totals.outstanding);
	CHECK_INT(totals.sent, totals.acknowledged);
	if (ret_totals != NULL)
		*ret_totals = totals;
	sender_free(sender);
	ledger_close(ledger);
	fleet_streams_free(streams);
	fleet_fini(&fleet);
}
