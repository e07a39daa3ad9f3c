/* Transport over plain kernel UDP sockets, IPv4 or IPv6, one connected socket a channel. No DPDK is initialised. */
#ifndef GANTRY_BENCH_UDP_H
#define GANTRY_BENCH_UDP_H

#include "appliance/base/err.h"

struct transport;

/* where: "host:port", "[v6]:port" or a name; the local port is the kernel's choice. */
int udp_new(const char *where, unsigned channels, struct transport **ret_transport, struct err *err);

#endif
