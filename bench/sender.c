#include "bench/sender.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "appliance/base/bytes.h"
#include "appliance/base/clock.h"
#include "bench/curve.h"
#include "bench/ledger.h"
#include "bench/spool.h"
#include "bench/transport.h"
#include "dpdk/feed/link.h"

#define BATCHES_PER_TURN 28 /* SENDER_QUANTUM full datagrams */
#define RECEIVES_PER_TURN 8
#define TURN_NS_MAX (INT64_C(1) * 1000000)

static_assert(FLEET_RECORD_SIZE == FEED_RECORD_SIZE, "the fleet makes records in wire form");
static_assert(FLEET_BATCH <= SPOOL_PUSH_MAX, "a batch of one lane is one push");

struct feed {
	struct feed_link link;
	struct spool *spool;
	struct outbox *outboxes[FEED_LANE_COUNT];
	struct outbox_book book;
	struct sender *sender;
	uint32_t id;
};

struct sender {
	struct sender_settings settings;
	struct transport *transport;
	struct sender_source source;
	struct ledger *ledger;
	struct feed *feeds[FLEET_FEEDS_MAX];
	unsigned feed_count;
	unsigned turn; /* feed that goes first */
	bool stopped;
	double tokens; /* reads that may be made now */
	int64_t tokens_ns;
	uint64_t made;
	uint64_t hellos;
	uint64_t heartbeats;
	uint64_t acks;
	uint64_t welcomes;
	uint64_t drops;
	int64_t began_ns;
	int64_t settled_ns;
	struct fleet_batch batch;
	uint8_t lane_records[FEED_LANE_COUNT][FLEET_BATCH * FEED_RECORD_SIZE];
};

void sender_settings_init(struct sender_settings *settings)
{
	*settings = (struct sender_settings){
		.window_max = 8192,
		.spool_reads = 262144,
		.name = "gantry-load",
	};
}

int sender_new(const struct sender_settings *settings, struct transport *transport, const struct sender_source *source,
	       struct ledger *ledger, struct sender **ret_sender)
{
	struct sender *sender = calloc(1, sizeof(*sender));

	if (sender == NULL)
		return -ENOMEM;
	sender->settings = *settings;
	sender->transport = transport;
	sender->source = *source;
	sender->ledger = ledger;
	*ret_sender = sender;
	return 0;
}

static struct feed *feed_free(struct feed *feed)
{
	if (feed == NULL)
		return NULL;
	for (unsigned lane = 0; lane < FEED_LANE_COUNT; lane++)
		outbox_free(feed->outboxes[lane]);
	spool_close(feed->spool);
	feed_link_fini(&feed->link);
	free(feed);
	return NULL;
}

struct sender *sender_free(struct sender *sender)
{
	if (sender == NULL)
		return NULL;
	for (unsigned i = 0; i < sender->feed_count; i++)
		feed_free(sender->feeds[i]);
	free(sender);
	return NULL;
}

static int book_acknowledged(void *context, enum feed_lane lane, uint64_t first, uint64_t end)
{
	struct feed *feed = context;

	if (feed->sender->ledger == NULL)
		return 0;
	return ledger_acknowledged(feed->sender->ledger, feed->id, feed->spool, lane, first, end);
}

static int book_refused(void *context, enum feed_lane lane, uint64_t first, uint64_t end, uint8_t reason)
{
	struct feed *feed = context;

	if (feed->sender->ledger == NULL)
		return 0;
	return ledger_refused(feed->sender->ledger, feed->id, spool_epoch(feed->spool), lane, first,
			      (uint32_t)(end - first), reason);
}

int sender_add_feed(struct sender *sender, uint32_t id, const uint8_t key[32], struct err *err)
{
	struct feed *feed;
	int opened;

	if (sender->feed_count == FLEET_FEEDS_MAX)
		return err_set(err, -ENOSPC, "more than %d feeds", FLEET_FEEDS_MAX);
	feed = aligned_alloc(64, (sizeof(*feed) + 63) / 64 * 64);
	if (feed == NULL)
		return err_set(err, -ENOMEM, "no memory for feed %u", id);
	memset(feed, 0, sizeof(*feed));
	feed->sender = sender;
	feed->id = id;
	feed->book = (struct outbox_book){book_acknowledged, book_refused, feed};
	feed_link_init(&feed->link, id, key);
	opened = spool_open(sender->settings.spool_path, id, sender->settings.spool_reads, &feed->spool, err);
	if (opened < 0) {
		feed_free(feed);
		return opened;
	}
	for (unsigned lane = 0; lane < FEED_LANE_COUNT; lane++) {
		int r = outbox_new(feed->spool, lane, sender->settings.window_max, &feed->book, &feed->outboxes[lane]);

		if (r < 0) {
			feed_free(feed);
			return err_set(err, r, "no memory for feed %u", id);
		}
	}
	sender->feeds[sender->feed_count++] = feed;
	return opened;
}

static void say_hello(struct sender *sender, unsigned index, int64_t now_ns, int64_t now_us)
{
	struct feed *feed = sender->feeds[index];
	struct feed_hello hello = {.clock_us = now_us, .epoch = spool_epoch(feed->spool)};
	uint8_t *room = sender->transport->ops->begin(sender->transport, index);

	if (room == NULL)
		return;
	for (unsigned lane = 0; lane < FEED_LANE_COUNT; lane++) {
		hello.lanes[lane].next = spool_next(feed->spool, lane);
		hello.lanes[lane].lowest = spool_lowest(feed->spool, lane);
	}
	snprintf(hello.name, sizeof(hello.name), "%s", sender->settings.name);
	if (feed_link_hello(&feed->link, &hello, now_ns, room) != FEED_SEALED) {
		sender->transport->ops->abandon(sender->transport);
		return;
	}
	sender->transport->ops->commit(sender->transport, FEED_HELLO_SIZE);
	sender->hellos++;
}

static void lane_state(const struct feed *feed, enum feed_lane lane, int64_t now_us, struct feed_lane_state *ret_state)
{
	uint64_t lowest = spool_lowest(feed->spool, lane);
	uint64_t next = spool_next(feed->spool, lane);
	uint32_t contiguous;

	*ret_state = (struct feed_lane_state){.sent = {.next = next, .lowest = lowest}, .backlog = next - lowest};
	if (lowest < next) {
		int64_t capture_us = (int64_t)le64_get(spool_record(feed->spool, lane, lowest, &contiguous));

		ret_state->oldest_age_us = now_us > capture_us ? (uint64_t)(now_us - capture_us) : 0;
	}
}

static void say_heartbeat(struct sender *sender, unsigned index, int64_t now_ns, int64_t now_us)
{
	struct feed *feed = sender->feeds[index];
	struct feed_heartbeat heartbeat = {.clock_us = now_us, .epoch = spool_epoch(feed->spool)};
	struct clock_state clock;
	uint8_t *room = sender->transport->ops->begin(sender->transport, index);
	size_t size;

	if (room == NULL)
		return;
	for (unsigned lane = 0; lane < FEED_LANE_COUNT; lane++)
		lane_state(feed, lane, now_us, &heartbeat.lanes[lane]);
	clock_state_get(&clock);
	heartbeat.clock_synchronised = clock.synchronised;
	heartbeat.clock_offset_us = clock.offset_us;
	snprintf(heartbeat.clock_source, sizeof(heartbeat.clock_source), "kernel");
	if (feed_link_seal_heartbeat(&feed->link, &heartbeat, now_ns, room, &size) != FEED_SEALED) {
		sender->transport->ops->abandon(sender->transport);
		return;
	}
	sender->transport->ops->commit(sender->transport, size);
	sender->heartbeats++;
}

/* One datagram of a lane, if one may go. */
static bool send_one(struct sender *sender, unsigned index, enum feed_lane lane, int64_t now_ns)
{
	struct feed *feed = sender->feeds[index];
	struct outbox *outbox = feed->outboxes[lane];
	struct feed_data data = {.epoch = spool_epoch(feed->spool)};
	uint32_t contiguous;
	uint8_t *room;
	size_t size;
	bool again;

	if (!outbox_peek(outbox, &data.first, &data.count, &again))
		return false;
	room = sender->transport->ops->begin(sender->transport, index);
	if (room == NULL)
		return false;
	data.records = spool_record(feed->spool, lane, data.first, &contiguous);
	if (feed_link_seal_data(&feed->link, lane, &data, now_ns, room, &size) != FEED_SEALED) {
		sender->transport->ops->abandon(sender->transport);
		return false;
	}
	sender->transport->ops->commit(sender->transport, size);
	outbox_sent(outbox, data.first, data.count, again, now_ns);
	return true;
}

static bool send_lanes(struct sender *sender, unsigned index, int64_t now_ns)
{
	unsigned sent = 0;

	for (unsigned lane = 0; lane < FEED_LANE_COUNT; lane++) {
		outbox_timer(sender->feeds[index]->outboxes[lane], now_ns);
		while (sent < SENDER_QUANTUM && send_one(sender, index, lane, now_ns))
			sent++;
	}
	return sent > 0;
}

/* A batch into the spool, each read to its lane. */
static void spool_batch(struct sender *sender, struct feed *feed, const struct fleet_batch *batch)
{
	unsigned counts[FEED_LANE_COUNT] = {0};

	for (unsigned i = 0; i < batch->count; i++) {
		unsigned lane = batch->lanes[i];

		memcpy(sender->lane_records[lane] + (size_t)counts[lane]++ * FEED_RECORD_SIZE, batch->records[i],
		       FEED_RECORD_SIZE);
	}
	for (unsigned lane = 0; lane < FEED_LANE_COUNT; lane++)
		if (counts[lane] > 0)
			spool_push(feed->spool, lane, sender->lane_records[lane], counts[lane]);
	sender->made += batch->count;
}

bool sender_making(const struct sender *sender)
{
	return !sender->stopped && (sender->settings.reads_max == 0 || sender->made < sender->settings.reads_max);
}

static unsigned make_max(const struct sender *sender, const struct feed *feed)
{
	uint64_t max = FLEET_BATCH;

	for (unsigned lane = 0; lane < FEED_LANE_COUNT; lane++)
		if (spool_room(feed->spool, lane) < max)
			max = spool_room(feed->spool, lane);
	if (sender->settings.reads_max > 0 && sender->settings.reads_max - sender->made < max)
		max = sender->settings.reads_max - sender->made;
	if (sender->settings.reads_per_s > 0 && sender->tokens < (double)max)
		max = (uint64_t)sender->tokens;
	return (unsigned)max;
}

static bool make_reads(struct sender *sender, unsigned index, int64_t now_us)
{
	struct feed *feed = sender->feeds[index];
	bool made = false;

	for (unsigned i = 0; i < BATCHES_PER_TURN && sender_making(sender); i++) {
		unsigned max = make_max(sender, feed);

		if (max == 0)
			break;
		sender->source.fill(sender->source.context, index, now_us, max, &sender->batch);
		if (sender->batch.count == 0)
			break;
		spool_batch(sender, feed, &sender->batch);
		sender->tokens -= sender->batch.count;
		made = true;
	}
	return made;
}

/* What is not made now is made up for later, within a second's worth. */
static void tokens_add(struct sender *sender, int64_t now_ns, int64_t now_us)
{
	double rate = sender->settings.reads_per_s;

	if (rate <= 0)
		return;
	if (sender->settings.curve)
		rate *= curve_permille(now_us) / 1000.0;
	if (sender->tokens_ns != 0)
		sender->tokens += rate * (double)(now_ns - sender->tokens_ns) / 1e9;
	sender->tokens_ns = now_ns;
	sender->tokens = fmin(sender->tokens, fmax(rate, 1.0));
}

static int receive_ack(struct sender *sender, struct feed *feed, const struct feed_peek *peek,
		       const struct feed_event *event, int64_t now_ns)
{
	struct outbox *outbox = feed->outboxes[event->ack.durable.lane];
	uint64_t before = outbox_counters(outbox)->acknowledged;
	int r = outbox_ack(outbox, &event->ack, peek->id, peek->number, now_ns);

	sender->acks++;
	if (outbox_counters(outbox)->acknowledged != before)
		sender->settled_ns = now_ns;
	return r;
}

static int receive_one(struct sender *sender, struct transport_datagram *datagram, int64_t now_ns)
{
	struct feed *feed = sender->feeds[datagram->channel];
	struct feed_event event;
	struct feed_peek peek;
	int r = 0;

	/* The peek first: opening spends the bytes. */
	if (feed_peek(datagram->payload, datagram->size, FEED_SIDE_SENDER, &peek) == FEED_OPENED_ACK) {
		if (feed_link_receive(&feed->link, datagram->payload, datagram->size, now_ns, &event) ==
		    FEED_OPENED_ACK)
			return receive_ack(sender, feed, &peek, &event, now_ns);
		sender->drops++;
		return 0;
	}
	if (feed_link_receive(&feed->link, datagram->payload, datagram->size, now_ns, &event) != FEED_OPENED_WELCOME) {
		sender->drops++;
		return 0;
	}
	sender->welcomes++;
	if (sender->began_ns == 0)
		sender->began_ns = sender->settled_ns = now_ns;
	for (unsigned lane = 0; r == 0 && lane < FEED_LANE_COUNT; lane++)
		r = outbox_welcome(feed->outboxes[lane], &event.welcome.lanes[lane], event.welcome.session, now_ns);
	return r;
}

static int receive_all(struct sender *sender, int64_t now_ns, bool *ret_any)
{
	struct transport_datagram datagrams[TRANSPORT_BURST];
	int r = 0;

	for (unsigned turn = 0; r == 0 && turn < RECEIVES_PER_TURN; turn++) {
		unsigned count = sender->transport->ops->receive(sender->transport, datagrams);

		for (unsigned i = 0; r == 0 && i < count; i++)
			if (datagrams[i].channel < sender->feed_count)
				r = receive_one(sender, &datagrams[i], now_ns);
		sender->transport->ops->release(sender->transport);
		if (count > 0)
			*ret_any = true;
		if (count < TRANSPORT_BURST && turn + 1 >= sender->feed_count)
			break;
	}
	return r;
}

static bool feed_turn(struct sender *sender, unsigned index, int64_t now_ns, int64_t now_us)
{
	struct feed *feed = sender->feeds[index];
	unsigned due;
	bool done = false;

	if (feed->link.state == FEED_LINK_IDLE)
		feed_link_start(&feed->link, now_ns);
	due = feed_link_timer(&feed->link, now_ns);
	if ((due & FEED_LINK_DUE_HELLO) != 0)
		say_hello(sender, index, now_ns, now_us);
	if ((due & FEED_LINK_DUE_HEARTBEAT) != 0)
		say_heartbeat(sender, index, now_ns, now_us);
	if (sender_making(sender))
		done = make_reads(sender, index, now_us);
	if (feed->link.state == FEED_LINK_OPEN && send_lanes(sender, index, now_ns))
		done = true;
	return done;
}

int sender_turn(struct sender *sender, int64_t now_ns, int64_t now_us, bool *ret_done)
{
	bool done = false;
	int r;

	tokens_add(sender, now_ns, now_us);
	for (unsigned i = 0; i < sender->feed_count; i++)
		if (feed_turn(sender, (sender->turn + i) % sender->feed_count, now_ns, now_us))
			done = true;
	sender->turn = (sender->turn + 1) % sender->feed_count;
	sender->transport->ops->flush(sender->transport);
	r = receive_all(sender, now_ns, &done);
	if (r == 0)
		*ret_done = done;
	return r;
}

void sender_stop_making(struct sender *sender)
{
	sender->stopped = true;
}

bool sender_idle(const struct sender *sender)
{
	for (unsigned i = 0; i < sender->feed_count; i++)
		for (unsigned lane = 0; lane < FEED_LANE_COUNT; lane++)
			if (!outbox_idle(sender->feeds[i]->outboxes[lane]))
				return false;
	return true;
}

int64_t sender_next_ns(const struct sender *sender, int64_t now_ns)
{
	int64_t next = now_ns + TURN_NS_MAX;

	if (sender->settings.reads_per_s > 0 && sender_making(sender) && sender->tokens < 1)
		next = fmin((double)next, (double)now_ns + (1 - sender->tokens) / sender->settings.reads_per_s * 1e9);
	return next;
}

static void totals_add_lane(struct sender_totals *totals, const struct feed *feed, enum feed_lane lane)
{
	const struct outbox *outbox = feed->outboxes[lane];
	const struct outbox_counters *counters = outbox_counters(outbox);

	totals->sent += counters->sent;
	totals->acknowledged += counters->acknowledged;
	totals->retransmitted += counters->retransmitted;
	totals->data_datagrams += counters->datagrams;
	totals->datagrams_lost += counters->lost;
	totals->timeouts += counters->timeouts;
	totals->deferred += counters->deferred;
	totals->flight += outbox_flight(outbox);
	totals->credit += outbox_credit(outbox);
	totals->outstanding += spool_outstanding(feed->spool, lane);
	for (unsigned i = 0; i < REFUSAL_COUNT; i++)
		totals->refused_by[i] += counters->refused[i];
	totals->refused += outbox_refused(outbox);
#define TOTALS_VIOLATION(name, help) totals->violations.name += counters->violations.name;
	OUTBOX_VIOLATIONS(TOTALS_VIOLATION)
#undef TOTALS_VIOLATION
	for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++)
		totals->latency.counts[i] += counters->latency.counts[i];
	totals->latency.total += counters->latency.total;
}

void sender_totals(const struct sender *sender, struct sender_totals *ret_totals)
{
	uint64_t told = 0;

	*ret_totals = (struct sender_totals){
		.made = sender->made,
		.hellos = sender->hellos,
		.heartbeats = sender->heartbeats,
		.acks = sender->acks,
		.welcomes = sender->welcomes,
		.drops = sender->drops,
		.feeds = sender->feed_count,
		.began_ns = sender->began_ns,
		.settled_ns = sender->settled_ns,
	};
	for (unsigned i = 0; i < sender->feed_count; i++) {
		ret_totals->open += sender->feeds[i]->link.state == FEED_LINK_OPEN;
		for (unsigned lane = 0; lane < FEED_LANE_COUNT; lane++)
			totals_add_lane(ret_totals, sender->feeds[i], lane);
	}
	for (unsigned i = 0; i < REFUSAL_COUNT; i++)
		told += ret_totals->refused_by[i];
	if (ret_totals->refused > told)
		ret_totals->refused_by[REFUSAL_NONE] += ret_totals->refused - told;
}
