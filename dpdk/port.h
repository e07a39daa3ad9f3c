/*
 * A port: one network device that DPDK owns, opened by the name of a profile with defaults that fit it.
 *
 *	profile     where                   what it is
 *	vhost       socket path             the appliance's side of a vhost-user socket; peers come and go
 *	virtio      socket path             the client's side (gantry-load); the appliance must be there first
 *	af_packet   interface               a kernel interface, best one end of a veth pair (needs CAP_NET_RAW)
 *	pci         PCI address             a NIC bound to vfio-pci, listed in eal_settings.pci_devices
 *	ring        name of a link          two ports of one process opened with the same name are its two ends
 *	pcap        file to read            frames are written to where_tx, or dropped when that is NULL
 *	null        -                       receives zeros at once and for ever, drops what is sent
 *	other text  -                       any DPDK device string, e.g. "net_tap0,iface=t0"; not certified
 *
 * Opened, closed and asked by the control thread; frames go through dpdk/frame.h and dpdk/reply.h, one queue pair per
 * worker. Everything that handles a port's frames has stopped before it is closed.
 */
#ifndef GANTRY_DPDK_PORT_H
#define GANTRY_DPDK_PORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "appliance/base/err.h"

#define PORT_QUEUES_MAX 16
#define PORT_MAC_SIZE 6

struct port_settings {
	const char *profile;
	const char *where;
	const char *where_tx;      /* pcap only */
	const char *options;       /* appended to the device string with a comma; NULL none */
	const char *pool_ops;      /* mempool kind; "ring_mt_hts" bears preempted threads */
	unsigned queue_count;      /* rx and tx alike, 1..PORT_QUEUES_MAX */
	unsigned buffer_count;     /* mbufs per rx queue, about 2.4 KiB each; 2^k - 1 wastes nothing */
	unsigned tx_buffer_count;  /* mbufs per tx queue for frames we build */
	unsigned descriptor_count; /* per queue, where the device has descriptors */
	unsigned mtu;              /* bytes of an IP packet */
	bool promiscuous;
	uint8_t mac[PORT_MAC_SIZE]; /* all zero: the device's own */
};

/* The defaults for a profile. Strings are kept by reference until port_open has returned. */
void port_settings_init(struct port_settings *settings, const char *profile, const char *where);

struct port;

/*
 * Makes the device, its pools and queues, and starts it. 0, or what failed, with err saying what to do; then nothing is
 * left behind. A stale vhost socket is removed; one that another process serves is refused with -EADDRINUSE.
 * -ENOENT or -ECONNREFUSED from `virtio`: the appliance does not serve its socket (yet), or not any more. A virtio port
 * whose link went down does not come back: close it and open it anew.
 */
int port_open(const struct port_settings *settings, struct port **ret_port, struct err *err);

/* Stops and removes the device and frees the pools. NULL allowed; returns NULL. */
struct port *port_close(struct port *port);

const char *port_name(const struct port *port); /* DPDK's name of the device */
void port_mac(const struct port *port, uint8_t ret_mac[PORT_MAC_SIZE]);
unsigned port_queue_count(const struct port *port);

/* True while frames can pass; on a vhost port: while a peer is connected. Cheap; any thread. */
bool port_link_up(const struct port *port);

/* True when nothing but asking often keeps frames from being lost: such a port is never left alone above 1 ms. */
bool port_loses_silently(const struct port *port);

/* The device's own account. A device may count nothing (af_packet never reports what it lost). Any thread. */
struct port_statistics {
	uint64_t rx_frames;
	uint64_t rx_bytes;
	uint64_t tx_frames;
	uint64_t tx_bytes;
	uint64_t rx_missed; /* no room in the device's queue */
	uint64_t rx_errors;
	uint64_t rx_no_buffer; /* pool empty */
	uint64_t tx_errors;
};
void port_statistics(const struct port *port, struct port_statistics *ret_statistics);

/*
 * What these settings mean on this host, for `--check`: needs no EAL, opens nothing. 0 and a text of a few lines; or
 * -EINVAL, -ENOENT, -EPERM, -EADDRINUSE with what to mend in err.
 */
int port_describe(const struct port_settings *settings, char *text, size_t text_size, struct err *err);

#endif
