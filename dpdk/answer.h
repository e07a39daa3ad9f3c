/*
 * Being a neighbour: nobody else answers for an address on a port that DPDK owns.
 *
 * frame_receive answers, in the frame that asked and to the MAC that asked (there is no neighbour table to fill or to
 * poison): ARP requests (RFC 826, probes of RFC 5227), IPv6 neighbour solicitations (RFC 4861 7.1.1, duplicate address
 * detection of RFC 4862 too), ICMP echo (RFC 792) and ICMPv6 echo (RFC 4443) to our unicast addresses. At most
 * ANSWERS_PER_SECOND per queue, all kinds together; what is above is counted and left. Here is the rest: speaking up at
 * start, and asking (a client's need; the appliance never asks and so can not be told a lie).
 *
 * The worker that owns the frame_queue only.
 */
#ifndef GANTRY_DPDK_ANSWER_H
#define GANTRY_DPDK_ANSWER_H

#include <stdbool.h>
#include <stdint.h>

#include "dpdk/path.h"

#define ANSWERS_PER_SECOND 1000

struct frame_queue;

/*
 * Says whose our addresses are: a gratuitous ARP (RFC 5227 announcement) for each IPv4, an unsolicited neighbour
 * advertisement for each IPv6. Once a port's link is up; untagged. Queued: reply_flush sends it.
 */
void answer_announce(struct frame_queue *queue);

/*
 * Asks who has path->peer_address (ARP or neighbour solicitation), from path->own_mac and own_address, with path's VLAN
 * tags, and sends it. From now on frame_receive listens for that answer; a new question replaces the old one.
 * 0, or -ENOBUFS when no buffer was free.
 */
int answer_ask(struct frame_queue *queue, const struct path *path);

/* True, once the answer to the last question has come: its MAC. Else false and ret untouched. */
bool answer_heard(const struct frame_queue *queue, uint8_t ret_mac[PATH_MAC_SIZE]);

#endif
