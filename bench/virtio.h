/*
 * Transport over DPDK's virtio-user: the client's side of the appliance's vhost socket. Starts EAL (once a process) on
 * the calling thread, learns the appliance's MAC by ARP or neighbour solicitation. Channel i speaks from UDP port
 * own_port + i.
 */
#ifndef GANTRY_BENCH_VIRTIO_H
#define GANTRY_BENCH_VIRTIO_H

#include <stdbool.h>

#include "appliance/base/err.h"

struct transport;

struct virtio_settings {
	const char *path;     /* of the vhost socket */
	const char *own;      /* our address, IPv4 or IPv6 */
	const char *peer;     /* the appliance's */
	const char *peer_mac; /* NULL: ask for it */
	unsigned own_port;
	unsigned peer_port;
	unsigned memory_mib;
	unsigned queues; /* 1..PORT_QUEUES_MAX: as many as the appliance has workers, each answers on its own */
	unsigned wait_s; /* for the socket, the link and the MAC */
	int core;        /* CPU of this thread, or -1 */
	bool hugepages;
	bool verbose; /* EAL's own log */
};
void virtio_settings_init(struct virtio_settings *settings);

/* -ENOENT: no socket there; -ETIMEDOUT: nobody answered. EAL can not be started again after a failure. */
int virtio_new(const struct virtio_settings *settings, unsigned channels, struct transport **ret_transport,
	       struct err *err);

#endif
