#include "dpdk/answer.h"

#include <errno.h>
#include <string.h>

#include <rte_mbuf.h>

#include "appliance/base/bytes.h"
#include "dpdk/checksum.h"
#include "dpdk/queue.h"

#define SECOND_NS INT64_C(1000000000)
#define ARP_SIZE 28
#define ARP_REQUEST 1
#define ARP_REPLY 2
#define IP6_SIZE PARSE_IP6_HEADER_SIZE
#define ND_SIZE 24
#define ND_OPTION_SIZE 8 /* type, length, MAC */
#define ND_SOLICITATION 135
#define ND_ADVERTISEMENT 136
#define ND_HOP_LIMIT 255
#define HOP_LIMIT 64
#define PROTOCOL_ICMP6 58

#define ETHERTYPE_ARP 0x0806
#define ETHERTYPE_IPV6 0x86dd

enum nd_flags { ND_SOLICITED = 0x40, ND_OVERRIDE = 0x20 };

static const uint8_t all_nodes[16] = {0xff, 0x02, [15] = 1};
static const uint8_t all_nodes_mac[PATH_MAC_SIZE] = {0x33, 0x33, 0, 0, 0, 1};
static const uint8_t broadcast_mac[PATH_MAC_SIZE] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};

/* Buckets of one second each: at worst twice the limit in a second that straddles two. */
static bool answer_allowed(struct frame_queue *queue, int64_t now_ns)
{
	if (now_ns - queue->answer_window_ns >= SECOND_NS) {
		queue->answer_window_ns = now_ns;
		queue->answer_count = 0;
	}
	if (queue->answer_count >= ANSWERS_PER_SECOND)
		return false;
	queue->answer_count++;
	return true;
}

static void put_arp(uint8_t *arp, uint16_t operation, const uint8_t *sender_mac, const uint8_t *sender,
		    const uint8_t *target_mac, const uint8_t *target)
{
	be16_put(arp, 1);
	be16_put(arp + 2, 0x0800);
	arp[4] = PATH_MAC_SIZE;
	arp[5] = 4;
	be16_put(arp + 6, operation);
	memcpy(arp + 8, sender_mac, PATH_MAC_SIZE);
	memcpy(arp + 14, sender, 4);
	memcpy(arp + 18, target_mac, PATH_MAC_SIZE);
	memcpy(arp + 24, target, 4);
}

/* A whole neighbour message with one MAC option: source MAC in a solicitation, target MAC in an advertisement. */
static void put_nd(uint8_t *ip, uint8_t type, uint8_t flags, const uint8_t *source, const uint8_t *destination,
		   const uint8_t *target, const uint8_t *mac)
{
	uint8_t *icmp = ip + IP6_SIZE;
	uint16_t sum;

	memset(ip, 0, 8);
	ip[0] = 0x60;
	be16_put(ip + 4, ND_SIZE + ND_OPTION_SIZE);
	ip[6] = PROTOCOL_ICMP6;
	ip[7] = ND_HOP_LIMIT;
	memcpy(ip + 8, source, 16);
	memcpy(ip + 24, destination, 16);
	memset(icmp, 0, 8);
	icmp[0] = type;
	icmp[4] = flags;
	memcpy(icmp + 8, target, 16);
	icmp[ND_SIZE] = type == ND_SOLICITATION ? 1 : 2;
	icmp[ND_SIZE + 1] = 1;
	memcpy(icmp + ND_SIZE + 2, mac, PATH_MAC_SIZE);
	sum = (uint16_t)~checksum_layer4(ip + 8, 32, PROTOCOL_ICMP6, icmp, ND_SIZE + ND_OPTION_SIZE);
	memcpy(icmp + 2, &sum, sizeof(sum));
}

static void answer_arp(const struct frame_queue *queue, uint8_t *arp)
{
	uint8_t asker_mac[PATH_MAC_SIZE];
	uint8_t asker[4];
	uint8_t target[4];

	memcpy(asker_mac, arp + 8, sizeof(asker_mac));
	memcpy(asker, arp + 14, sizeof(asker));
	memcpy(target, arp + 24, sizeof(target));
	put_arp(arp, ARP_REPLY, queue->rules.mac, target, asker_mac, asker);
}

/* RFC 4861, 7.2.4: whoever tries an address (from ::) is told before all nodes; everybody else alone. */
static void answer_nd(const struct frame_queue *queue, uint8_t *bytes, uint8_t *ip)
{
	static const uint8_t unspecified[16];
	uint8_t target[16];
	uint8_t asker[16];

	memcpy(target, ip + IP6_SIZE + 8, sizeof(target));
	memcpy(asker, ip + 8, sizeof(asker));
	if (memcmp(asker, unspecified, sizeof(asker)) == 0) {
		memcpy(bytes, all_nodes_mac, PATH_MAC_SIZE);
		put_nd(ip, ND_ADVERTISEMENT, ND_OVERRIDE, target, all_nodes, target, queue->rules.mac);
	} else {
		put_nd(ip, ND_ADVERTISEMENT, ND_SOLICITED | ND_OVERRIDE, target, asker, target, queue->rules.mac);
	}
}

static void answer_echo4(uint8_t *ip, uint8_t *icmp, uint16_t icmp_size)
{
	uint8_t asker[4];
	uint16_t sum;

	memcpy(asker, ip + 12, sizeof(asker));
	memcpy(ip + 12, ip + 16, 4);
	memcpy(ip + 16, asker, 4);
	be16_put(ip + 4, 0);
	be16_put(ip + 6, 0x4000);
	ip[8] = HOP_LIMIT;
	be16_put(ip + 10, 0);
	sum = (uint16_t)~checksum_sum(ip, 20);
	memcpy(ip + 10, &sum, sizeof(sum));
	icmp[0] = 0;
	be16_put(icmp + 2, 0);
	sum = (uint16_t)~checksum_sum(icmp, icmp_size);
	memcpy(icmp + 2, &sum, sizeof(sum));
}

static void answer_echo6(uint8_t *ip, uint8_t *icmp, uint16_t icmp_size)
{
	uint8_t asker[16];
	uint16_t sum;

	memcpy(asker, ip + 8, sizeof(asker));
	memcpy(ip + 8, ip + 24, 16);
	memcpy(ip + 24, asker, 16);
	ip[7] = HOP_LIMIT;
	icmp[0] = 129;
	be16_put(icmp + 2, 0);
	sum = (uint16_t)~checksum_layer4(ip + 8, 32, PROTOCOL_ICMP6, icmp, icmp_size);
	memcpy(icmp + 2, &sum, sizeof(sum));
}

static uint16_t answer_size(const struct parse_view *view, enum frame_outcome request)
{
	if (request == FRAME_arp_answered)
		return view->ip_offset + ARP_SIZE;
	if (request == FRAME_nd_answered)
		return view->ip_offset + IP6_SIZE + ND_SIZE + ND_OPTION_SIZE;
	return view->l4_offset + view->l4_size;
}

bool queue_answer(struct frame_queue *queue, struct rte_mbuf *frame, const struct parse_view *view,
		  enum frame_outcome request, int64_t now_ns)
{
	uint8_t *bytes = rte_pktmbuf_mtod(frame, uint8_t *);
	uint8_t *ip = bytes + view->ip_offset;
	uint16_t size = answer_size(view, request);

	if (size > frame->data_len + rte_pktmbuf_tailroom(frame) || !answer_allowed(queue, now_ns))
		return false;
	memcpy(bytes, bytes + PATH_MAC_SIZE, PATH_MAC_SIZE);
	memcpy(bytes + PATH_MAC_SIZE, queue->rules.mac, PATH_MAC_SIZE);
	if (request == FRAME_arp_answered)
		answer_arp(queue, ip);
	else if (request == FRAME_nd_answered)
		answer_nd(queue, bytes, ip);
	else if (view->ip_version == 4)
		answer_echo4(ip, bytes + view->l4_offset, view->l4_size);
	else
		answer_echo6(ip, bytes + view->l4_offset, view->l4_size);
	/* Padding that came with the question is not sent back. */
	frame->data_len = size;
	frame->pkt_len = size;
	frame->ol_flags = 0;
	queue_send(queue, frame);
	return true;
}

void queue_hear(struct frame_queue *queue, const struct rte_mbuf *frame, const struct parse_view *view)
{
	const uint8_t *bytes = rte_pktmbuf_mtod(frame, const uint8_t *);
	const uint8_t *mac = bytes + PATH_MAC_SIZE;

	/* ARP names the MAC itself; of an advertisement the sender's frame tells it (its option may be missing). */
	if (view->ip_version == 0)
		mac = bytes + view->ip_offset + 8;
	memcpy(queue->neighbour_mac, mac, PATH_MAC_SIZE);
	queue->neighbour_known = true;
	queue->rules.asked_version = 0;
}

static struct rte_mbuf *frame_new(struct frame_queue *queue)
{
	struct rte_mbuf *frame = rte_pktmbuf_alloc(queue->port->tx_pools[queue->index]);

	if (frame == NULL)
		queue_count(queue, FRAME_tx_no_buffer, 1);
	return frame;
}

static void send_sized(struct frame_queue *queue, struct rte_mbuf *frame, size_t size)
{
	frame->data_len = (uint16_t)size;
	frame->pkt_len = (uint32_t)size;
	queue_send(queue, frame);
}

static void announce_ip4(struct frame_queue *queue, const uint8_t *address)
{
	static const uint8_t nobody[PATH_MAC_SIZE];
	struct rte_mbuf *frame = frame_new(queue);
	uint8_t *bytes;
	uint16_t offset;

	if (frame == NULL)
		return;
	bytes = rte_pktmbuf_mtod(frame, uint8_t *);
	offset = queue_put_ethernet(bytes, broadcast_mac, queue->rules.mac, NULL, ETHERTYPE_ARP);
	put_arp(bytes + offset, ARP_REQUEST, queue->rules.mac, address, nobody, address);
	send_sized(queue, frame, offset + ARP_SIZE);
}

static void announce_ip6(struct frame_queue *queue, const uint8_t *address)
{
	struct rte_mbuf *frame = frame_new(queue);
	uint8_t *bytes;
	uint16_t offset;

	if (frame == NULL)
		return;
	bytes = rte_pktmbuf_mtod(frame, uint8_t *);
	offset = queue_put_ethernet(bytes, all_nodes_mac, queue->rules.mac, NULL, ETHERTYPE_IPV6);
	put_nd(bytes + offset, ND_ADVERTISEMENT, ND_OVERRIDE, address, all_nodes, address, queue->rules.mac);
	send_sized(queue, frame, offset + IP6_SIZE + ND_SIZE + ND_OPTION_SIZE);
}

void answer_announce(struct frame_queue *queue)
{
	for (unsigned i = 0; i < queue->rules.local.ipv4_count; i++)
		announce_ip4(queue, queue->rules.local.ipv4[i]);
	for (unsigned i = 0; i < queue->rules.local.ipv6_count; i++)
		announce_ip6(queue, queue->rules.local.ipv6[i]);
}

static size_t put_question(uint8_t *bytes, const struct path *path)
{
	static const uint8_t nobody[PATH_MAC_SIZE];
	uint8_t group[16] = {0xff, 0x02, [11] = 1, [12] = 0xff};
	uint8_t group_mac[PATH_MAC_SIZE] = {0x33, 0x33, 0xff};
	uint16_t offset;

	if (path->ip_version == 4) {
		offset = queue_put_ethernet(bytes, broadcast_mac, path->own_mac, path, ETHERTYPE_ARP);
		put_arp(bytes + offset, ARP_REQUEST, path->own_mac, path->own_address, nobody, path->peer_address);
		return offset + ARP_SIZE;
	}
	memcpy(group + 13, path->peer_address + 13, 3);
	memcpy(group_mac + 3, path->peer_address + 13, 3);
	offset = queue_put_ethernet(bytes, group_mac, path->own_mac, path, ETHERTYPE_IPV6);
	put_nd(bytes + offset, ND_SOLICITATION, 0, path->own_address, group, path->peer_address, path->own_mac);
	return offset + IP6_SIZE + ND_SIZE + ND_OPTION_SIZE;
}

int answer_ask(struct frame_queue *queue, const struct path *path)
{
	struct rte_mbuf *frame = frame_new(queue);

	if (frame == NULL)
		return -ENOBUFS;
	queue->neighbour_known = false;
	queue->rules.asked_version = path->ip_version;
	memcpy(queue->rules.asked_address, path->peer_address, PATH_ADDRESS_SIZE);
	send_sized(queue, frame, put_question(rte_pktmbuf_mtod(frame, uint8_t *), path));
	return 0;
}

bool answer_heard(const struct frame_queue *queue, uint8_t ret_mac[PATH_MAC_SIZE])
{
	if (!queue->neighbour_known)
		return false;
	memcpy(ret_mac, queue->neighbour_mac, PATH_MAC_SIZE);
	return true;
}
