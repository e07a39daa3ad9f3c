#include "bench/loop.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "appliance/base/clock.h"
#include "bench/transport.h"
#include "dpdk/feed/peer.h"

#define ANSWERS 1024

struct lane_window {
	uint64_t cumulative;
	uint64_t highest;
	uint64_t refused;
	uint64_t deferred;
	uint64_t bits[LOOP_WINDOW / 64]; /* of sequence s at s modulo LOOP_WINDOW: durable; above cumulative only */
	struct feed_notices notices;
	bool known;
	bool owed; /* an ACK */
};

struct channel {
	struct feed_peer peer;
	struct lane_window lanes[FEED_LANE_COUNT];
	uint32_t epoch;
	uint8_t key[32];
};

struct answer {
	uint8_t payload[TRANSPORT_DATAGRAM_MAX];
	size_t size;
	unsigned channel;
};

struct loop {
	struct transport transport;
	struct loop_settings settings;
	struct channel *channels;
	struct answer *answers; /* ring */
	unsigned answers_head;
	unsigned answers_count;
	unsigned answers_lent;
	unsigned count;
	unsigned channel;
	uint64_t stored;
	uint64_t refused;
	uint8_t room[TRANSPORT_DATAGRAM_MAX];
};

static struct answer *answer_add(struct loop *loop, unsigned channel)
{
	struct answer *answer;

	if (loop->answers_count == ANSWERS)
		return NULL;
	answer = &loop->answers[(loop->answers_head + loop->answers_count++) % ANSWERS];
	answer->channel = channel;
	return answer;
}

static uint8_t *loop_begin(struct transport *transport, unsigned channel)
{
	struct loop *loop = (struct loop *)transport;

	loop->channel = channel;
	return loop->room;
}

static void hello_take(struct loop *loop, const uint8_t *datagram, size_t size)
{
	struct channel *channel = &loop->channels[loop->channel];
	struct feed_welcome welcome = {.clock_us = clock_wall_us(), .node = "loop"};
	struct feed_hello hello;
	uint8_t bytes[FEED_WELCOME_SIZE];
	enum feed_outcome outcome = feed_peer_hello(&channel->peer, datagram, size, clock_mono_ns(), &hello, bytes);
	struct answer *answer;

	if (outcome == FEED_HELLO_FRESH) {
		if (channel->epoch != hello.epoch) {
			memset(channel->lanes, 0, sizeof(channel->lanes));
			channel->epoch = hello.epoch;
		}
		for (unsigned lane = 0; lane < FEED_LANE_COUNT; lane++) {
			struct lane_window *window = &channel->lanes[lane];

			if (!window->known)
				window->cumulative = window->highest = hello.lanes[lane].lowest - 1;
			welcome.lanes[lane].known = window->known;
			welcome.lanes[lane].cumulative = window->known ? window->cumulative : 0;
			welcome.lanes[lane].credit = loop->settings.credit;
			welcome.lanes[lane].records_max = FEED_RECORDS_MAX;
		}
		outcome = feed_peer_welcome(&channel->peer, &welcome, clock_mono_ns(), bytes);
	}
	if (outcome != FEED_SEALED && outcome != FEED_HELLO_REPEATED)
		return;
	answer = answer_add(loop, loop->channel);
	if (answer == NULL)
		return;
	memcpy(answer->payload, bytes, sizeof(bytes));
	answer->size = sizeof(bytes);
}

static void durable_mark(struct lane_window *window, uint64_t sequence)
{
	window->known = true;
	window->bits[sequence % LOOP_WINDOW / 64] |= UINT64_C(1) << sequence % 64;
	if (sequence > window->highest)
		window->highest = sequence;
	while ((window->bits[(window->cumulative + 1) % LOOP_WINDOW / 64] >> (window->cumulative + 1) % 64 & 1) != 0) {
		window->cumulative++;
		window->bits[window->cumulative % LOOP_WINDOW / 64] &= ~(UINT64_C(1) << window->cumulative % 64);
	}
}

static bool durable(const struct lane_window *window, uint64_t sequence)
{
	return sequence <= window->cumulative ||
	       (sequence <= window->highest && (window->bits[sequence % LOOP_WINDOW / 64] >> sequence % 64 & 1) != 0);
}

static void read_take(struct loop *loop, struct lane_window *window, const struct loop_read *read)
{
	uint8_t fate = loop->settings.judge == NULL ? 0 : loop->settings.judge(loop->settings.context, read);

	if (!read->fresh)
		return;
	if (fate != 0)
		feed_notices_add(&window->notices, read->sequence, 1, fate);
	if (fate >= FEED_DEFERRAL_FIRST) {
		window->deferred++;
		return;
	}
	if (fate != 0) {
		window->refused++;
		loop->refused++;
	} else {
		loop->stored++;
	}
	durable_mark(window, read->sequence);
}

static void data_take(struct loop *loop, const struct feed_opened *opened)
{
	struct channel *channel = &loop->channels[loop->channel];
	struct lane_window *window = &channel->lanes[opened->lane];
	struct loop_read read = {.feed = channel->peer.feed, .epoch = opened->data.epoch, .lane = opened->lane};

	if (opened->data.epoch != channel->epoch)
		return;
	for (unsigned i = 0; i < opened->data.count; i++) {
		read.sequence = opened->data.first + i;
		read.record = opened->data.records + (size_t)i * FEED_RECORD_SIZE;
		read.fresh = !durable(window, read.sequence);
		if (read.sequence > window->cumulative + LOOP_WINDOW - 1)
			break;
		read_take(loop, window, &read);
	}
	window->owed = true;
}

static void loop_commit(struct transport *transport, size_t size)
{
	struct loop *loop = (struct loop *)transport;
	struct channel *channel = &loop->channels[loop->channel];
	struct feed_opened opened;
	struct feed_peek peek;
	enum feed_outcome outcome = feed_peek(loop->room, size, FEED_SIDE_APPLIANCE, &peek);

	transport->sent++;
	if (outcome == FEED_HELLO_FRESH) {
		hello_take(loop, loop->room, size);
		return;
	}
	if (outcome != FEED_OPENED_DATA && outcome != FEED_OPENED_HEARTBEAT)
		return;
	outcome = feed_peer_open(&channel->peer, &peek, loop->room, size, clock_mono_ns(),
				 loop->room + FEED_HEADER_SIZE, &opened);
	if (outcome == FEED_OPENED_DATA)
		data_take(loop, &opened);
	else if (outcome == FEED_OPENED_HEARTBEAT)
		channel->lanes[FEED_LANE_LIVE].owed = channel->lanes[FEED_LANE_BACKLOG].owed = true;
}

static void loop_abandon(struct transport *transport)
{
	(void)transport;
}

static void ranges_put(const struct lane_window *window, struct feed_durable *durable_value)
{
	uint64_t sequence = window->cumulative + 1;

	while (sequence <= window->highest && durable_value->range_count < FEED_ACK_RANGES_MAX) {
		struct feed_range *range = &durable_value->ranges[durable_value->range_count];

		for (; sequence <= window->highest && !durable(window, sequence); sequence++)
			;
		if (sequence > window->highest)
			break;
		range->first = sequence;
		for (; sequence <= window->highest && durable(window, sequence); sequence++)
			;
		range->last = sequence - 1;
		durable_value->range_count++;
	}
}

static void ack_send(struct loop *loop, unsigned index, enum feed_lane lane)
{
	struct channel *channel = &loop->channels[index];
	struct lane_window *window = &channel->lanes[lane];
	struct feed_ack ack = {
		.durable = {.cumulative = window->cumulative,
			    .refused_total = window->refused,
			    .epoch = channel->epoch,
			    .lane = (uint8_t)lane},
		.clock_us = clock_wall_us(),
		.deferred_total = window->deferred,
		.credit = loop->settings.credit,
	};
	struct answer *answer;

	ranges_put(window, &ack.durable);
	feed_notices_put(&window->notices, &ack);
	if (loop->settings.spoil != NULL)
		loop->settings.spoil(loop->settings.context, channel->peer.feed, &ack);
	answer = answer_add(loop, index);
	if (answer == NULL)
		return;
	window->owed = false;
	if (feed_peer_ack(&channel->peer, &ack, clock_mono_ns(), answer->payload, &answer->size) != FEED_SEALED)
		loop->answers_count--;
}

static void loop_flush(struct transport *transport)
{
	struct loop *loop = (struct loop *)transport;

	for (unsigned i = 0; i < loop->count; i++)
		for (unsigned lane = 0; lane < FEED_LANE_COUNT; lane++)
			if (loop->channels[i].lanes[lane].owed && feed_peer_connected(&loop->channels[i].peer))
				ack_send(loop, i, lane);
}

static unsigned loop_receive(struct transport *transport, struct transport_datagram ret_datagrams[TRANSPORT_BURST])
{
	struct loop *loop = (struct loop *)transport;
	unsigned count = loop->answers_count < TRANSPORT_BURST ? loop->answers_count : TRANSPORT_BURST;

	for (unsigned i = 0; i < count; i++) {
		struct answer *answer = &loop->answers[(loop->answers_head + i) % ANSWERS];

		ret_datagrams[i] =
			(struct transport_datagram){answer->payload, (uint32_t)answer->size, answer->channel};
	}
	loop->answers_lent = count;
	transport->received += count;
	return count;
}

static void loop_release(struct transport *transport)
{
	struct loop *loop = (struct loop *)transport;

	loop->answers_head = (loop->answers_head + loop->answers_lent) % ANSWERS;
	loop->answers_count -= loop->answers_lent;
	loop->answers_lent = 0;
}

static void loop_wait(struct transport *transport, int64_t ns)
{
	struct timespec time = {ns / 1000000000, ns % 1000000000};

	(void)transport;
	nanosleep(&time, NULL);
}

static void loop_free(struct transport *transport)
{
	struct loop *loop = (struct loop *)transport;

	for (unsigned i = 0; loop->channels != NULL && i < loop->count; i++)
		feed_peer_fini(&loop->channels[i].peer);
	free(loop->channels);
	free(loop->answers);
	free(loop);
}

static const struct transport_ops loop_ops = {loop_begin,   loop_commit,  loop_abandon, loop_flush,
					      loop_receive, loop_release, loop_wait,    loop_free};

int loop_new(const struct loop_settings *settings, const struct loop_feed *feeds, unsigned count,
	     struct transport **ret_transport)
{
	struct loop *loop = calloc(1, sizeof(*loop));

	if (loop == NULL)
		return -ENOMEM;
	loop->transport.ops = &loop_ops;
	loop->settings = *settings;
	loop->channels = aligned_alloc(64, (count * sizeof(*loop->channels) + 63) / 64 * 64);
	loop->answers = calloc(ANSWERS, sizeof(*loop->answers));
	if (loop->channels == NULL || loop->answers == NULL) {
		loop_free(&loop->transport);
		return -ENOMEM;
	}
	memset(loop->channels, 0, count * sizeof(*loop->channels));
	loop->count = count;
	for (unsigned i = 0; i < count; i++) {
		memcpy(loop->channels[i].key, feeds[i].key, sizeof(feeds[i].key));
		feed_peer_init(&loop->channels[i].peer, feeds[i].feed, 0, (uint16_t)i, feeds[i].key, NULL,
			       clock_mono_ns());
	}
	*ret_transport = &loop->transport;
	return 0;
}

void loop_credit_set(struct transport *transport, uint32_t credit)
{
	struct loop *loop = (struct loop *)transport;

	loop->settings.credit = credit;
	for (unsigned i = 0; i < loop->count; i++)
		for (unsigned lane = 0; lane < FEED_LANE_COUNT; lane++)
			loop->channels[i].lanes[lane].owed = true;
}

void loop_restart(struct transport *transport)
{
	struct loop *loop = (struct loop *)transport;

	for (unsigned i = 0; i < loop->count; i++) {
		struct channel *channel = &loop->channels[i];
		uint32_t feed = channel->peer.feed;

		feed_peer_fini(&channel->peer);
		feed_peer_init(&channel->peer, feed, 0, (uint16_t)i, channel->key, NULL, clock_mono_ns());
	}
}

void loop_totals(const struct transport *transport, uint64_t *ret_stored, uint64_t *ret_refused)
{
	const struct loop *loop = (const struct loop *)transport;

	*ret_stored = loop->stored;
	*ret_refused = loop->refused;
}
