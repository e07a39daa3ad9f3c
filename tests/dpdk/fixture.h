/* What every test with EAL needs: one EAL without hugepages, PCI or root, its files in a directory of the test's. */
#ifndef GANTRY_TESTS_DPDK_FIXTURE_H
#define GANTRY_TESTS_DPDK_FIXTURE_H

#include <stddef.h>

#include "dpdk/frame.h"
#include "dpdk/port.h"

#define FIXTURE_BUFFERS 2047

/* Starts EAL with 128 MiB at the first call; every later one does nothing. Ends the program when it can not. */
void fixture_eal(void);
void fixture_eal_stop(void);
/* The core to which the second of its two workers is pinned. */
int fixture_core(void);
/* Where EAL's telemetry socket lies. */
const char *fixture_runtime(void);

/* Small pools, and our MAC of tests/dpdk/wire.h. */
void fixture_settings(struct port_settings *settings, const char *profile, const char *where);

/* A port and its first queue under the addresses and port of wire.h. */
struct fixture_end {
	struct port *port;
	struct frame_queue *queue;
};
struct fixture_end fixture_open(const struct port_settings *settings);
void fixture_close(struct fixture_end *end);

/* Puts bytes on the wire, as the other station, through the raw device. */
void fixture_put(const struct port *port, const void *bytes, size_t size);
/* Takes a frame off the wire: its size, 0 when there is none. */
size_t fixture_take(const struct port *port, void *bytes, size_t room);

/* Sum of all rx counters. */
uint64_t fixture_rx_total(const struct frame_queue *queue);
struct frame_counters fixture_counters(const struct frame_queue *queue);

#endif
