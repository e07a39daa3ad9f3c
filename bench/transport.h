/*
 * The seam between sender and wire: datagrams out and in over numbered channels, one per feed (each its own UDP port,
 * so that receive-side scaling sees as many flows as there are feeds). Behind it: a kernel UDP socket (udp.h), DPDK's
 * virtio-user (virtio.h), a receiver in memory (loop.h), deliberate faults around any of them (fault.h), a recording
 * (pcap.h). One owner thread. Nothing here waits except `wait`.
 */
#ifndef GANTRY_BENCH_TRANSPORT_H
#define GANTRY_BENCH_TRANSPORT_H

#include <stddef.h>
#include <stdint.h>

#define TRANSPORT_DATAGRAM_MAX 1400
#define TRANSPORT_BURST 64

struct transport_datagram {
	uint8_t *payload; /* may be decrypted in place; lives until `release` */
	uint32_t size;
	unsigned channel;
};

struct transport;

struct transport_ops {
	/* Room for TRANSPORT_DATAGRAM_MAX bytes, ended by commit or abandon before the next begin; NULL: full, later.
	 */
	uint8_t *(*begin)(struct transport *transport, unsigned channel);
	void (*commit)(struct transport *transport, size_t size);
	void (*abandon)(struct transport *transport);
	/* What was committed leaves now at the latest. */
	void (*flush)(struct transport *transport);
	/* Up to TRANSPORT_BURST datagrams. Each call is followed by release, before the next. */
	unsigned (*receive)(struct transport *transport, struct transport_datagram ret_datagrams[TRANSPORT_BURST]);
	void (*release)(struct transport *transport);
	/* Sleeps until something may have come, ns at most. */
	void (*wait)(struct transport *transport, int64_t ns);
	void (*free)(struct transport *transport);
};

struct transport {
	const struct transport_ops *ops;
	uint64_t sent;   /* datagrams handed to the wire */
	uint64_t unsent; /* ... that it had no room for: as good as lost */
	uint64_t received;
};

/* NULL allowed; returns NULL. */
static inline struct transport *transport_free(struct transport *transport)
{
	if (transport != NULL)
		transport->ops->free(transport);
	return NULL;
}

#endif
