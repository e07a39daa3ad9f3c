/*
 * A turn: take a burst, judge each frame (dpdk/parse.c), answer or free what is no datagram, hold the rest until the
 * worker has copied its payloads out. Everything here belongs to the queue's worker, but for making and freeing it.
 */
#include "dpdk/frame.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <rte_ethdev.h>
#include <rte_mbuf.h>
#include <rte_prefetch.h>

#include "appliance/base/clock.h"
#include "dpdk/queue.h"
#include "dpdk/reply.h"

#define PREFETCH_AHEAD 4

const struct frame_counter_info frame_counter_table[FRAME_COUNTERS_COUNT] = {
#define ROW(name, help) {#name, help, true},
	FRAME_RX_COUNTERS(ROW)
#undef ROW
#define ROW(name, help) {#name, help, false},
		FRAME_TX_COUNTERS(ROW)
#undef ROW
};

void frame_local_init(struct frame_local *local, uint16_t udp_port)
{
	*local = (struct frame_local){.udp_port = udp_port, .udp_port_count = 1};
}

static bool address_usable(uint8_t version, const uint8_t *address)
{
	static const uint8_t zeros[15];

	if (version == 4)
		return address[0] != 0 && address[0] != 127 && address[0] < 224;
	return address[0] != 0xff && !(memcmp(address, zeros, 15) == 0 && address[15] <= 1);
}

int frame_local_add(struct frame_local *local, const char *text, struct err *err)
{
	uint8_t address[PATH_ADDRESS_SIZE];
	uint8_t version;

	if (path_address_parse(text, &version, address) < 0)
		return err_set(err, -EINVAL, "address '%s' is neither IPv4 nor IPv6", text != NULL ? text : "");
	if (!address_usable(version, address))
		return err_set(err, -EINVAL, "address %s can not be a port's: give a unicast address", text);
	if ((version == 4 ? local->ipv4_count : local->ipv6_count) == FRAME_ADDRESSES_MAX)
		return err_set(err, -ENOSPC, "address %s: more than %d of its version", text, FRAME_ADDRESSES_MAX);
	if (version == 4)
		memcpy(local->ipv4[local->ipv4_count++], address, 4);
	else
		memcpy(local->ipv6[local->ipv6_count++], address, 16);
	return 0;
}

int frame_queue_new(struct port *port, unsigned index, const struct frame_local *local, struct frame_queue **ret_queue,
		    struct err *err)
{
	struct frame_queue *queue;

	if (index >= port->queue_count)
		return err_set(err, -EINVAL, "port %s has no queue %u", port->name, index);
	if (port->queue_taken[index])
		return err_set(err, -EBUSY, "port %s: queue %u has its worker", port->name, index);
	if (local->ipv4_count + local->ipv6_count == 0)
		return err_set(err, -EINVAL, "port %s has no IP address: give one", port->name);
	if (local->udp_port == 0 || local->udp_port_count == 0 || local->udp_port + local->udp_port_count > 65536)
		return err_set(err, -EINVAL, "port %s: UDP ports %u and %u after it: give 1 to 65535", port->name,
			       local->udp_port, local->udp_port_count);
	queue = aligned_alloc(RTE_CACHE_LINE_SIZE, sizeof(*queue));
	if (queue == NULL)
		return err_set(err, -ENOMEM, "port %s: no memory for a queue", port->name);
	memset(queue, 0, sizeof(*queue));
	queue->port = port;
	queue->port_id = port->id;
	queue->index = (uint16_t)index;
	queue->rules.local = *local;
	queue->rules.udp_checksum_partial = port->udp_checksum_partial;
	memcpy(queue->rules.mac, port->mac.addr_bytes, PATH_MAC_SIZE);
	port->queue_taken[index] = true;
	*ret_queue = queue;
	return 0;
}

struct frame_queue *frame_queue_free(struct frame_queue *queue)
{
	if (queue == NULL)
		return NULL;
	frame_release(queue);
	reply_abandon(queue);
	if (queue->tx_count > 0)
		rte_pktmbuf_free_bulk(queue->tx, queue->tx_count);
	queue->port->queue_taken[queue->index] = false;
	free(queue);
	return NULL;
}

/* In CKSUM_NONE the device vouches for the data although the field is not right. */
static unsigned checksums_known(uint64_t flags)
{
	unsigned known = 0;

	if ((flags & RTE_MBUF_F_RX_IP_CKSUM_MASK) == RTE_MBUF_F_RX_IP_CKSUM_GOOD)
		known |= PARSE_IP_CHECKSUM_GOOD;
	else if ((flags & RTE_MBUF_F_RX_IP_CKSUM_MASK) == RTE_MBUF_F_RX_IP_CKSUM_BAD)
		known |= PARSE_IP_CHECKSUM_BAD;
	switch (flags & RTE_MBUF_F_RX_L4_CKSUM_MASK) {
	case RTE_MBUF_F_RX_L4_CKSUM_GOOD:
	case RTE_MBUF_F_RX_L4_CKSUM_NONE:
		known |= PARSE_UDP_CHECKSUM_GOOD;
		break;
	case RTE_MBUF_F_RX_L4_CKSUM_BAD:
		known |= PARSE_UDP_CHECKSUM_BAD;
		break;
	default:
		break;
	}
	return known;
}

static void hold(struct frame_queue *queue, struct rte_mbuf *frame, const struct parse_view *view)
{
	struct datagram *datagram = &queue->batch.datagrams[queue->batch.count++];
	const uint8_t *bytes = rte_pktmbuf_mtod(frame, const uint8_t *);

	datagram->payload = bytes + view->l4_offset + PARSE_UDP_HEADER_SIZE;
	datagram->size = view->l4_size - PARSE_UDP_HEADER_SIZE;
	parse_path(&queue->rules, bytes, view, &datagram->path);
	queue->held[queue->held_count++] = frame;
}

/* The frame goes into the batch, into the transmit batch (then true), or back to its pool; and into one counter. */
static bool take(struct frame_queue *queue, struct rte_mbuf *frame)
{
	struct parse_view view;
	enum frame_outcome outcome = FRAME_segmented;
	bool answered = false;

	/* A tag that the device took off belongs back into the frame: the path home needs it. */
	if (frame->nb_segs == 1 &&
	    ((frame->ol_flags & RTE_MBUF_F_RX_VLAN_STRIPPED) == 0 || rte_vlan_insert(&frame) == 0))
		outcome = parse_frame(&queue->rules, rte_pktmbuf_mtod(frame, const uint8_t *), frame->data_len,
				      checksums_known(frame->ol_flags), &view);
	switch (outcome) {
	case FRAME_datagram:
		hold(queue, frame, &view);
		break;
	case FRAME_arp_answered:
	case FRAME_nd_answered:
	case FRAME_echo_answered:
		answered = queue_answer(queue, frame, &view, outcome, queue->batch.receipt_ns);
		if (answered)
			break;
		outcome = FRAME_answer_limited;
		rte_pktmbuf_free(frame);
		break;
	case FRAME_neighbour_heard:
		queue_hear(queue, frame, &view);
		rte_pktmbuf_free(frame);
		break;
	default:
		rte_pktmbuf_free(frame);
		break;
	}
	queue_count(queue, outcome, 1);
	return answered;
}

const struct frame_batch *frame_receive(struct frame_queue *queue)
{
	struct rte_mbuf *frames[FRAME_BURST];
	struct frame_batch *batch = &queue->batch;
	bool answered = false;
	unsigned count;

	assert(!queue->lent);
	queue->lent = true;
	count = rte_eth_rx_burst(queue->port_id, queue->index, frames, FRAME_BURST);
	batch->frame_count = count;
	batch->count = 0;
	batch->receipt_us = count > 0 ? clock_wall_us() : 0;
	batch->receipt_ns = count > 0 ? clock_mono_ns() : 0;
	for (unsigned i = 0; i < count && i < PREFETCH_AHEAD; i++)
		rte_prefetch0(rte_pktmbuf_mtod(frames[i], void *));
	for (unsigned i = 0; i < count; i++) {
		if (i + PREFETCH_AHEAD < count)
			rte_prefetch0(rte_pktmbuf_mtod(frames[i + PREFETCH_AHEAD], void *));
		answered |= take(queue, frames[i]);
	}
	if (answered)
		queue_flush(queue);
	return batch;
}

void frame_release(struct frame_queue *queue)
{
	if (queue->held_count > 0)
		rte_pktmbuf_free_bulk(queue->held, queue->held_count);
	queue->held_count = 0;
	queue->batch.count = 0;
	queue->lent = false;
}

void frame_counters_read(const struct frame_queue *queue, struct frame_counters *ret_counters)
{
	uint64_t values[FRAME_COUNTERS_COUNT];

	static_assert(sizeof(values) == sizeof(*ret_counters), "one field a counter, in the order of the table");
	for (unsigned i = 0; i < FRAME_COUNTERS_COUNT; i++)
		values[i] = __atomic_load_n(&queue->counters[i], __ATOMIC_RELAXED);
	memcpy(ret_counters, values, sizeof(values));
}
