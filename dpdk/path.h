/*
 * A path: all that is needed to send a datagram back to where one came from. Plain bytes, stored by value per feed.
 *
 * Made by frame_receive from an arriving frame, or by path_make from settings. "own" is our side, "peer" the other.
 * Nothing in it is authentic by itself: keep the path of the last authentic datagram.
 */
#ifndef GANTRY_DPDK_PATH_H
#define GANTRY_DPDK_PATH_H

#include <assert.h>
#include <stdbool.h>
#include <stdint.h>

#include "appliance/base/err.h"

#define PATH_MAC_SIZE 6
#define PATH_ADDRESS_SIZE 16
#define PATH_VLANS_MAX 2
#define PATH_TEXT_SIZE 128

struct path {
	uint8_t own_mac[PATH_MAC_SIZE];
	uint8_t peer_mac[PATH_MAC_SIZE];
	uint8_t ip_version; /* 4 or 6 */
	uint8_t vlan_count;
	uint16_t own_port;                      /* host order */
	uint16_t peer_port;                     /* host order */
	uint16_t vlan_tci[PATH_VLANS_MAX];      /* outermost first, as received; host order */
	uint16_t vlan_tpid[PATH_VLANS_MAX];     /* 0x8100 or 0x88a8 */
	uint8_t own_address[PATH_ADDRESS_SIZE]; /* IPv4 in the first 4 bytes, the rest zero; network order */
	uint8_t peer_address[PATH_ADDRESS_SIZE];
	uint16_t zero[3];
	uint64_t hash; /* of version, addresses and ports: equal for one flow. Unkeyed: no defence against a liar */
};
static_assert(sizeof(struct path) == 72, "a path has no hidden padding: it is compared and stored as bytes");

/* Text form of an address to bytes: "192.0.2.1" or "2001:db8::1". -EINVAL, ret untouched, when it is neither. */
int path_address_parse(const char *text, uint8_t *ret_version, uint8_t ret_address[PATH_ADDRESS_SIZE]);

/* "02:00:5e:10:00:01". -EINVAL, ret untouched, when it is anything else or not a unicast MAC. */
int path_mac_parse(const char *text, uint8_t ret_mac[PATH_MAC_SIZE]);

/*
 * A client's path from settings: addresses as text, both of one version. peer_mac may be NULL: all zero until
 * answer_ask has learned it. -EINVAL with err saying which part is wrong.
 */
int path_make(const uint8_t own_mac[PATH_MAC_SIZE], const char *own_address, uint16_t own_port, const uint8_t *peer_mac,
	      const char *peer_address, uint16_t peer_port, struct path *ret_path, struct err *err);

/* Recomputes hash after addresses or ports were changed by hand. */
void path_hash_set(struct path *path);

/* Same flow: version, addresses, ports. MACs and VLAN tags may differ (a router failed over). */
bool path_same_flow(const struct path *a, const struct path *b);

/* "192.0.2.7:4000 > 192.0.2.1:7171 vlan 5", for logs of the control plane. Returns buffer. */
const char *path_text(const struct path *path, char buffer[PATH_TEXT_SIZE]);

#endif
