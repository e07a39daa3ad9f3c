#include "dpdk/reply.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#include <rte_ethdev.h>
#include <rte_mbuf.h>
#include <rte_pause.h>

#include "appliance/base/bytes.h"
#include "dpdk/checksum.h"
#include "dpdk/queue.h"

#define FLUSH_TRIES 64 /* with a pause between: a few µs, then the frames are given up */
#define VLAN_SIZE 4
#define IP4_HEADER_SIZE 20
#define HOP_LIMIT 64
#define PROTOCOL_UDP 17

uint16_t queue_put_ethernet(uint8_t *at, const uint8_t *to, const uint8_t *from, const struct path *tags,
			    uint16_t ethertype)
{
	uint16_t offset = 2 * PATH_MAC_SIZE;

	memcpy(at, to, PATH_MAC_SIZE);
	memcpy(at + PATH_MAC_SIZE, from, PATH_MAC_SIZE);
	for (unsigned i = 0; tags != NULL && i < tags->vlan_count; i++) {
		be16_put(at + offset, tags->vlan_tpid[i]);
		be16_put(at + offset + 2, tags->vlan_tci[i]);
		offset += VLAN_SIZE;
	}
	be16_put(at + offset, ethertype);
	return offset + 2;
}

static uint8_t *put_ip4(uint8_t *ip, const struct path *path)
{
	memset(ip, 0, IP4_HEADER_SIZE);
	ip[0] = 0x45;
	ip[6] = 0x40; /* don't fragment: then the identification may be 0 (RFC 6864) */
	ip[8] = HOP_LIMIT;
	ip[9] = PROTOCOL_UDP;
	memcpy(ip + 12, path->own_address, 4);
	memcpy(ip + 16, path->peer_address, 4);
	return ip + IP4_HEADER_SIZE;
}

static uint8_t *put_ip6(uint8_t *ip, const struct path *path)
{
	memset(ip, 0, 8);
	ip[0] = 0x60;
	ip[6] = PROTOCOL_UDP;
	ip[7] = HOP_LIMIT;
	memcpy(ip + 8, path->own_address, 16);
	memcpy(ip + 24, path->peer_address, 16);
	return ip + PARSE_IP6_HEADER_SIZE;
}

uint8_t *reply_begin(struct frame_queue *queue, const struct path *path)
{
	struct rte_mbuf *frame;
	uint8_t *bytes;
	uint8_t *udp;

	assert(queue->building == NULL);
	assert(path->vlan_count <= PATH_VLANS_MAX);
	assert(path->ip_version == 4 || path->ip_version == 6);
	frame = rte_pktmbuf_alloc(queue->port->tx_pools[queue->index]);
	if (frame == NULL) {
		queue_count(queue, FRAME_tx_no_buffer, 1);
		return NULL;
	}
	bytes = rte_pktmbuf_mtod(frame, uint8_t *);
	queue->building = frame;
	queue->building_version = path->ip_version;
	queue->building_ip_offset =
		queue_put_ethernet(bytes, path->peer_mac, path->own_mac, path, path->ip_version == 4 ? 0x0800 : 0x86dd);
	udp = path->ip_version == 4 ? put_ip4(bytes + queue->building_ip_offset, path)
				    : put_ip6(bytes + queue->building_ip_offset, path);
	be16_put(udp, path->own_port);
	be16_put(udp + 2, path->peer_port);
	return udp + PARSE_UDP_HEADER_SIZE;
}

/* A sum of zero is sent as all ones: zero would say that there is none (RFC 768). */
static void put_udp_lengths(uint8_t *udp, uint16_t udp_size, const uint8_t *addresses, size_t addresses_size)
{
	uint16_t sum;

	be16_put(udp + 4, udp_size);
	be16_put(udp + 6, 0);
	sum = (uint16_t)~checksum_layer4(addresses, addresses_size, PROTOCOL_UDP, udp, udp_size);
	if (sum == 0)
		sum = 0xffff;
	memcpy(udp + 6, &sum, sizeof(sum));
}

void reply_commit(struct frame_queue *queue, size_t size)
{
	struct rte_mbuf *frame = queue->building;
	uint8_t *ip = rte_pktmbuf_mtod_offset(frame, uint8_t *, queue->building_ip_offset);
	uint16_t udp_size = (uint16_t)(size + PARSE_UDP_HEADER_SIZE);
	uint16_t ip_size;

	assert(frame != NULL);
	assert(size <= REPLY_PAYLOAD_MAX);
	if (queue->building_version == 4) {
		uint16_t sum;

		ip_size = IP4_HEADER_SIZE + udp_size;
		be16_put(ip + 2, ip_size);
		sum = (uint16_t)~checksum_sum(ip, IP4_HEADER_SIZE);
		memcpy(ip + 10, &sum, sizeof(sum));
		put_udp_lengths(ip + IP4_HEADER_SIZE, udp_size, ip + 12, 8);
	} else {
		ip_size = PARSE_IP6_HEADER_SIZE + udp_size;
		be16_put(ip + 4, udp_size);
		put_udp_lengths(ip + PARSE_IP6_HEADER_SIZE, udp_size, ip + 8, 32);
	}
	frame->data_len = queue->building_ip_offset + ip_size;
	frame->pkt_len = frame->data_len;
	queue->building = NULL;
	queue_send(queue, frame);
}

void reply_abandon(struct frame_queue *queue)
{
	rte_pktmbuf_free(queue->building);
	queue->building = NULL;
}

int reply_send(struct frame_queue *queue, const struct path *path, const void *payload, size_t size)
{
	uint8_t *room;

	if (size > REPLY_PAYLOAD_MAX)
		return -EMSGSIZE;
	room = reply_begin(queue, path);
	if (room == NULL)
		return -ENOBUFS;
	memcpy(room, payload, size);
	reply_commit(queue, size);
	return 0;
}

void queue_flush(struct frame_queue *queue)
{
	unsigned sent = 0;

	for (unsigned tries = 0; sent < queue->tx_count && tries < FLUSH_TRIES; tries++) {
		if (tries > 0)
			rte_pause();
		sent += rte_eth_tx_burst(queue->port_id, queue->index, queue->tx + sent,
					 (uint16_t)(queue->tx_count - sent));
	}
	queue_count(queue, FRAME_tx_sent, sent);
	if (sent < queue->tx_count) {
		rte_pktmbuf_free_bulk(queue->tx + sent, queue->tx_count - sent);
		queue_count(queue, FRAME_tx_unsent, queue->tx_count - sent);
		queue->unsent_count += queue->tx_count - sent;
	}
	queue->tx_count = 0;
}

void queue_send(struct frame_queue *queue, struct rte_mbuf *frame)
{
	queue->tx[queue->tx_count++] = frame;
	if (queue->tx_count == QUEUE_TX_BATCH)
		queue_flush(queue);
}

unsigned reply_flush(struct frame_queue *queue)
{
	unsigned unsent;

	queue_flush(queue);
	unsent = queue->unsent_count;
	queue->unsent_count = 0;
	return unsent;
}
