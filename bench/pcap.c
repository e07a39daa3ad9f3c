#include "bench/pcap.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "appliance/base/bytes.h"
#include "appliance/base/clock.h"
#include "bench/transport.h"

#define PCAP_MAGIC 0xa1b2c3d4U
#define ETHERNET_SIZE 14
#define IPV4_SIZE 20
#define UDP_SIZE 8
#define HEADERS_SIZE (ETHERNET_SIZE + IPV4_SIZE + UDP_SIZE)
#define FLEET_PORT 40000
#define APPLIANCE_PORT 4717

static const uint8_t fleet_mac[6] = {0x02, 0x47, 0x4e, 0x54, 0x00, 0x02};
static const uint8_t appliance_mac[6] = {0x02, 0x47, 0x4e, 0x54, 0x00, 0x01};
static const uint8_t fleet_ip[4] = {10, 77, 0, 2};
static const uint8_t appliance_ip[4] = {10, 77, 0, 1};

struct pcap {
	struct transport transport;
	struct transport *inner;
	FILE *file;
	uint8_t *room;
	unsigned channel;
};

static uint16_t ipv4_sum(const uint8_t *header)
{
	uint32_t sum = 0;

	for (unsigned i = 0; i < IPV4_SIZE; i += 2)
		sum += be16_get(header + i);
	sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t) ~(sum + (sum >> 16));
}

static void headers_make(bool out, unsigned channel, size_t size, uint8_t header[HEADERS_SIZE])
{
	uint8_t *ip = header + ETHERNET_SIZE;
	uint8_t *udp = ip + IPV4_SIZE;
	uint16_t port = (uint16_t)(FLEET_PORT + channel);

	memset(header, 0, HEADERS_SIZE);
	memcpy(header, out ? appliance_mac : fleet_mac, 6);
	memcpy(header + 6, out ? fleet_mac : appliance_mac, 6);
	be16_put(header + 12, 0x0800);
	ip[0] = 0x45;
	be16_put(ip + 2, (uint16_t)(IPV4_SIZE + UDP_SIZE + size));
	be16_put(ip + 6, 0x4000); /* never fragmented */
	ip[8] = 64;
	ip[9] = 17;
	memcpy(ip + 12, out ? fleet_ip : appliance_ip, 4);
	memcpy(ip + 16, out ? appliance_ip : fleet_ip, 4);
	be16_put(ip + 10, ipv4_sum(ip));
	be16_put(udp, out ? port : APPLIANCE_PORT);
	be16_put(udp + 2, out ? APPLIANCE_PORT : port);
	be16_put(udp + 4, (uint16_t)(UDP_SIZE + size)); /* checksum zero: none */
}

static void frame_write(struct pcap *pcap, bool out, unsigned channel, const uint8_t *payload, size_t size)
{
	uint8_t headers[16 + HEADERS_SIZE];
	int64_t now_us = clock_wall_us();

	le32_put(headers, (uint32_t)(now_us / 1000000));
	le32_put(headers + 4, (uint32_t)(now_us % 1000000));
	le32_put(headers + 8, (uint32_t)(HEADERS_SIZE + size));
	le32_put(headers + 12, (uint32_t)(HEADERS_SIZE + size));
	headers_make(out, channel, size, headers + 16);
	/* A failed write is kept in the stream's error flag, which pcap_finish asks for. */
	(void)fwrite(headers, sizeof(headers), 1, pcap->file);
	(void)fwrite(payload, size, 1, pcap->file);
}

static uint8_t *pcap_begin(struct transport *transport, unsigned channel)
{
	struct pcap *pcap = (struct pcap *)transport;

	pcap->channel = channel;
	pcap->room = pcap->inner->ops->begin(pcap->inner, channel);
	return pcap->room;
}

static void pcap_commit(struct transport *transport, size_t size)
{
	struct pcap *pcap = (struct pcap *)transport;

	frame_write(pcap, true, pcap->channel, pcap->room, size);
	pcap->inner->ops->commit(pcap->inner, size);
}

static void pcap_abandon(struct transport *transport)
{
	struct pcap *pcap = (struct pcap *)transport;

	pcap->inner->ops->abandon(pcap->inner);
}

static void pcap_flush(struct transport *transport)
{
	struct pcap *pcap = (struct pcap *)transport;

	pcap->inner->ops->flush(pcap->inner);
	transport->sent = pcap->inner->sent;
	transport->unsent = pcap->inner->unsent;
}

static unsigned pcap_receive(struct transport *transport, struct transport_datagram ret_datagrams[TRANSPORT_BURST])
{
	struct pcap *pcap = (struct pcap *)transport;
	unsigned count = pcap->inner->ops->receive(pcap->inner, ret_datagrams);

	for (unsigned i = 0; i < count; i++)
		frame_write(pcap, false, ret_datagrams[i].channel, ret_datagrams[i].payload, ret_datagrams[i].size);
	transport->received += count;
	return count;
}

static void pcap_release(struct transport *transport)
{
	struct pcap *pcap = (struct pcap *)transport;

	pcap->inner->ops->release(pcap->inner);
}

static void pcap_wait(struct transport *transport, int64_t ns)
{
	struct pcap *pcap = (struct pcap *)transport;

	pcap->inner->ops->wait(pcap->inner, ns);
}

static void pcap_free(struct transport *transport)
{
	struct pcap *pcap = (struct pcap *)transport;

	(void)pcap_finish(transport);
	transport_free(pcap->inner);
	free(pcap);
}

static const struct transport_ops pcap_ops = {pcap_begin,   pcap_commit,  pcap_abandon, pcap_flush,
					      pcap_receive, pcap_release, pcap_wait,    pcap_free};

int pcap_new(struct transport *inner, const char *path, struct transport **ret_transport, struct err *err)
{
	struct pcap *pcap = calloc(1, sizeof(*pcap));
	uint8_t head[24] = {0};

	if (pcap != NULL)
		pcap->file = fopen(path, "we");
	if (pcap == NULL || pcap->file == NULL) {
		int r = err_set(err, pcap == NULL ? -ENOMEM : -errno, "%s: %s", path, strerror(errno));

		free(pcap);
		transport_free(inner);
		return r;
	}
	le32_put(head, PCAP_MAGIC);
	le16_put(head + 4, 2);
	le16_put(head + 6, 4);
	le32_put(head + 16, 65535);
	le32_put(head + 20, 1); /* Ethernet */
	(void)fwrite(head, sizeof(head), 1, pcap->file);
	pcap->transport.ops = &pcap_ops;
	pcap->inner = inner;
	*ret_transport = &pcap->transport;
	return 0;
}

int pcap_finish(struct transport *transport)
{
	struct pcap *pcap = (struct pcap *)transport;
	bool failed;

	if (pcap->file == NULL)
		return 0;
	failed = ferror(pcap->file) != 0;
	failed = fclose(pcap->file) != 0 || failed;
	pcap->file = NULL;
	return failed ? -EIO : 0;
}
