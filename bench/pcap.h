/*
 * A transport that records what passes through another one as a classic pcap file (24-byte file header, 16 bytes before
 * each frame; microseconds), each datagram in the Ethernet, IPv4 and UDP headers it would travel in.
 */
#ifndef GANTRY_BENCH_PCAP_H
#define GANTRY_BENCH_PCAP_H

#include "appliance/base/err.h"

struct transport;

/* Owns `inner` from then on, also when it fails. */
int pcap_new(struct transport *inner, const char *path, struct transport **ret_transport, struct err *err);
/* Ends the file; 0, or -EIO when not everything could be written. Called before transport_free, which ignores it. */
int pcap_finish(struct transport *transport);

#endif
