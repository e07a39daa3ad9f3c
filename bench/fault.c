#include "bench/fault.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "appliance/base/prng.h"
#include "bench/transport.h"

struct held {
	uint8_t payload[TRANSPORT_DATAGRAM_MAX];
	size_t size;
	unsigned channel;
	unsigned left; /* datagrams that still pass it */
};

struct fault {
	struct transport transport;
	struct transport *inner;
	struct fault_settings settings;
	struct fault_counters counters;
	struct prng prng;
	struct held held[FAULT_HELD_MAX];
	unsigned held_count;
	unsigned channel;
	unsigned idle_flushes;
	uint8_t room[TRANSPORT_DATAGRAM_MAX];
};

static uint8_t *fault_begin(struct transport *transport, unsigned channel)
{
	struct fault *fault = (struct fault *)transport;

	fault->channel = channel;
	return fault->room;
}

static void pass(struct fault *fault, unsigned channel, const uint8_t *payload, size_t size)
{
	uint8_t *room = fault->inner->ops->begin(fault->inner, channel);

	if (room == NULL) {
		fault->transport.unsent++;
		return;
	}
	memcpy(room, payload, size);
	fault->inner->ops->commit(fault->inner, size);
	fault->transport.sent++;
}

static void held_pass(struct fault *fault, unsigned at)
{
	pass(fault, fault->held[at].channel, fault->held[at].payload, fault->held[at].size);
	fault->held[at] = fault->held[--fault->held_count];
}

/* One more datagram has overtaken those that are held back. */
static void held_turn(struct fault *fault)
{
	for (unsigned i = fault->held_count; i-- > 0;)
		if (fault->held[i].left-- <= 1)
			held_pass(fault, i);
}

static bool hold(struct fault *fault, const uint8_t *payload, size_t size)
{
	struct held *held;

	if (fault->held_count == FAULT_HELD_MAX)
		return false;
	held = &fault->held[fault->held_count++];
	memcpy(held->payload, payload, size);
	held->size = size;
	held->channel = fault->channel;
	held->left = 1 + (unsigned)prng_below(&fault->prng, FAULT_HELD_MAX);
	fault->counters.reordered++;
	return true;
}

static void fault_commit(struct transport *transport, size_t size)
{
	struct fault *fault = (struct fault *)transport;

	fault->idle_flushes = 0;
	if (prng_chance(&fault->prng, fault->settings.drop_permille)) {
		fault->counters.dropped_out++;
		return;
	}
	if (prng_chance(&fault->prng, fault->settings.corrupt_permille)) {
		uint64_t bit = prng_below(&fault->prng, size * 8);

		fault->room[bit / 8] ^= (uint8_t)(1 << bit % 8);
		fault->counters.corrupted++;
	}
	if (prng_chance(&fault->prng, fault->settings.duplicate_permille)) {
		fault->counters.duplicated++;
		pass(fault, fault->channel, fault->room, size);
	}
	if (!prng_chance(&fault->prng, fault->settings.reorder_permille) || !hold(fault, fault->room, size)) {
		pass(fault, fault->channel, fault->room, size);
		held_turn(fault);
	}
}

static void fault_abandon(struct transport *transport)
{
	(void)transport;
}

static void fault_flush(struct transport *transport)
{
	struct fault *fault = (struct fault *)transport;

	/* Nothing came after them for a while: they go, or the last datagrams of a run would never arrive. */
	if (fault->held_count > 0 && ++fault->idle_flushes > FAULT_HELD_MAX)
		held_pass(fault, 0);
	fault->inner->ops->flush(fault->inner);
}

static unsigned fault_receive(struct transport *transport, struct transport_datagram ret_datagrams[TRANSPORT_BURST])
{
	struct fault *fault = (struct fault *)transport;
	unsigned count = fault->inner->ops->receive(fault->inner, ret_datagrams);
	unsigned kept = 0;

	for (unsigned i = 0; i < count; i++) {
		if (prng_chance(&fault->prng, fault->settings.drop_permille))
			fault->counters.dropped_in++;
		else
			ret_datagrams[kept++] = ret_datagrams[i];
	}
	transport->received += kept;
	return kept;
}

static void fault_release(struct transport *transport)
{
	struct fault *fault = (struct fault *)transport;

	fault->inner->ops->release(fault->inner);
}

static void fault_wait(struct transport *transport, int64_t ns)
{
	struct fault *fault = (struct fault *)transport;

	fault->inner->ops->wait(fault->inner, ns);
}

static void fault_free(struct transport *transport)
{
	struct fault *fault = (struct fault *)transport;

	transport_free(fault->inner);
	free(fault);
}

static const struct transport_ops fault_ops = {fault_begin,   fault_commit,  fault_abandon, fault_flush,
					       fault_receive, fault_release, fault_wait,    fault_free};

int fault_new(struct transport *inner, const struct fault_settings *settings, struct transport **ret_transport)
{
	struct fault *fault = calloc(1, sizeof(*fault));

	if (fault == NULL) {
		transport_free(inner);
		return -ENOMEM;
	}
	fault->transport.ops = &fault_ops;
	fault->inner = inner;
	fault->settings = *settings;
	fault->prng.state = settings->seed;
	*ret_transport = &fault->transport;
	return 0;
}

const struct fault_counters *fault_counters(const struct transport *transport)
{
	return &((const struct fault *)transport)->counters;
}
