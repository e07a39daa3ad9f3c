/* A receiver in memory behind a kernel UDP socket on the loopback interface, in a forked child. */
#ifndef GANTRY_TESTS_BENCH_UDP_SERVER_H
#define GANTRY_TESTS_BENCH_UDP_SERVER_H

#include <stdint.h>
#include <sys/types.h>

struct feeds;
struct loop_settings;

/*
 * Serves the feeds on a fresh port of that family (AF_INET, AF_INET6). What the settings point to is used in the child:
 * shared memory, if the parent is to see it. 0: the family is not there. The caller kills and reaps the child.
 */
pid_t udp_server_start(int family, const struct feeds *feeds, const struct loop_settings *settings, uint16_t *ret_port);

#endif
