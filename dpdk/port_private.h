/* The inside of a port, for the files of dpdk/ only. */
#ifndef GANTRY_DPDK_PORT_PRIVATE_H
#define GANTRY_DPDK_PORT_PRIVATE_H

#include <rte_ethdev.h>
#include <rte_mempool.h>
#include <rte_ring.h>

#include "dpdk/port.h"

#define PORT_NAME_SIZE 64
#define PORT_DEVICE_TEXT_SIZE 1024

enum port_kind { PORT_VHOST, PORT_VIRTIO, PORT_AF_PACKET, PORT_PCI, PORT_RING, PORT_PCAP, PORT_NULL, PORT_OTHER };

struct port_profile {
	const char *name;
	const char *driver; /* what DPDK calls the device, without its number */
	enum port_kind kind;
	bool wants_where;
	bool udp_checksum_partial; /* senders may leave it unfinished: a wrong one proves nothing */
	bool loses_silently;
	bool holds_buffers; /* as many as it has descriptors, until it is asked to send again */
	bool offloads;      /* ask the device for checksum checks */
};

struct ring_link;

struct port {
	const struct port_profile *profile;
	struct ring_link *link; /* PORT_RING: this end's share of it */
	unsigned link_end;
	char name[PORT_NAME_SIZE];
	uint16_t id; /* DPDK's */
	bool udp_checksum_partial;
	bool started;
	unsigned queue_count;
	struct rte_ether_addr mac;
	struct rte_mempool *rx_pools[PORT_QUEUES_MAX];
	struct rte_mempool *tx_pools[PORT_QUEUES_MAX];
	bool queue_taken[PORT_QUEUES_MAX]; /* by a frame_queue; control thread */
};

/* port_profile.c. The profile of a name; PORT_OTHER for every name it does not know. */
const struct port_profile *port_profile_find(const char *name);

/* Bounds and fields that any profile needs; no look at the host. -EINVAL. */
int port_settings_check(const struct port_settings *settings, struct err *err);

/* The host has what the profile needs: socket directory, interface, file, right. Removes nothing. */
int port_host_check(const struct port_settings *settings, struct err *err);

/* DPDK's name and arguments for the device, the `number`-th of this process. -ENAMETOOLONG when it does not fit. */
int port_device_text(const struct port_settings *settings, unsigned number, char name[PORT_NAME_SIZE],
		     char arguments[PORT_DEVICE_TEXT_SIZE], struct err *err);

/* port_ring.c. Makes this end's device of the link `where`, and with the first end the link. ret_id is DPDK's. */
int port_ring_open(const struct port_settings *settings, struct port *port, struct err *err);
/* After the device has gone: drains what this end sent, frees the link with its last end. */
void port_ring_close(struct port *port);

#endif
