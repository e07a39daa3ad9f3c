#include "dpdk/path.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

int path_address_parse(const char *text, uint8_t *ret_version, uint8_t ret_address[PATH_ADDRESS_SIZE])
{
	uint8_t address[PATH_ADDRESS_SIZE] = {0};
	uint8_t version;

	if (text == NULL)
		return -EINVAL;
	if (inet_pton(AF_INET, text, address) == 1)
		version = 4;
	else if (inet_pton(AF_INET6, text, address) == 1)
		version = 6;
	else
		return -EINVAL;
	*ret_version = version;
	memcpy(ret_address, address, sizeof(address));
	return 0;
}

int path_mac_parse(const char *text, uint8_t ret_mac[PATH_MAC_SIZE])
{
	unsigned bytes[PATH_MAC_SIZE];
	uint8_t any = 0;
	int used = -1;

	/* Exactly "xx:xx:xx:xx:xx:xx": sscanf alone would take blanks and signs. */
	if (text == NULL || strlen(text) != 17 || strspn(text, "0123456789abcdefABCDEF:") != 17 ||
	    sscanf(text, "%2x:%2x:%2x:%2x:%2x:%2x%n", &bytes[0], &bytes[1], &bytes[2], &bytes[3], &bytes[4], &bytes[5],
		   &used) != PATH_MAC_SIZE ||
	    used != 17 || (bytes[0] & 1) != 0)
		return -EINVAL;
	for (unsigned i = 0; i < PATH_MAC_SIZE; i++)
		any |= (uint8_t)bytes[i];
	if (any == 0)
		return -EINVAL;
	for (unsigned i = 0; i < PATH_MAC_SIZE; i++)
		ret_mac[i] = (uint8_t)bytes[i];
	return 0;
}

int path_make(const uint8_t own_mac[PATH_MAC_SIZE], const char *own_address, uint16_t own_port, const uint8_t *peer_mac,
	      const char *peer_address, uint16_t peer_port, struct path *ret_path, struct err *err)
{
	struct path path = {.own_port = own_port, .peer_port = peer_port};
	uint8_t peer_version;

	if (path_address_parse(own_address, &path.ip_version, path.own_address) < 0)
		return err_set(err, -EINVAL, "own address '%s' is neither IPv4 nor IPv6", own_address);
	if (path_address_parse(peer_address, &peer_version, path.peer_address) < 0)
		return err_set(err, -EINVAL, "peer address '%s' is neither IPv4 nor IPv6", peer_address);
	if (peer_version != path.ip_version)
		return err_set(err, -EINVAL, "own address %s and peer address %s are of different IP versions",
			       own_address, peer_address);
	if (own_port == 0 || peer_port == 0)
		return err_set(err, -EINVAL, "UDP port 0 can not be used");
	memcpy(path.own_mac, own_mac, PATH_MAC_SIZE);
	if (peer_mac != NULL)
		memcpy(path.peer_mac, peer_mac, PATH_MAC_SIZE);
	path_hash_set(&path);
	*ret_path = path;
	return 0;
}

void path_hash_set(struct path *path)
{
	uint8_t flow[2 * PATH_ADDRESS_SIZE + 5];

	memcpy(flow, path->own_address, PATH_ADDRESS_SIZE);
	memcpy(flow + 16, path->peer_address, PATH_ADDRESS_SIZE);
	memcpy(flow + 32, &path->own_port, 2);
	memcpy(flow + 34, &path->peer_port, 2);
	flow[36] = path->ip_version;
	path->hash = XXH3_64bits(flow, sizeof(flow));
}

bool path_same_flow(const struct path *a, const struct path *b)
{
	return a->hash == b->hash && a->ip_version == b->ip_version && a->own_port == b->own_port &&
	       a->peer_port == b->peer_port && memcmp(a->own_address, b->own_address, PATH_ADDRESS_SIZE) == 0 &&
	       memcmp(a->peer_address, b->peer_address, PATH_ADDRESS_SIZE) == 0;
}

static void end_text(uint8_t version, const uint8_t *address, uint16_t port, char *text, size_t size)
{
	char host[INET6_ADDRSTRLEN] = "?";

	(void)inet_ntop(version == 4 ? AF_INET : AF_INET6, address, host, sizeof(host));
	(void)snprintf(text, size, version == 4 ? "%s:%u" : "[%s]:%u", host, port);
}

const char *path_text(const struct path *path, char buffer[PATH_TEXT_SIZE])
{
	char own[INET6_ADDRSTRLEN + 10];
	char peer[INET6_ADDRSTRLEN + 10];
	int used;

	end_text(path->ip_version, path->own_address, path->own_port, own, sizeof(own));
	end_text(path->ip_version, path->peer_address, path->peer_port, peer, sizeof(peer));
	used = snprintf(buffer, PATH_TEXT_SIZE, "%s > %s", peer, own);
	for (unsigned i = 0; i < path->vlan_count && i < PATH_VLANS_MAX && used > 0 && used < PATH_TEXT_SIZE; i++)
		used += snprintf(buffer + used, (size_t)(PATH_TEXT_SIZE - used), "%s%u", i == 0 ? " vlan " : ".",
				 path->vlan_tci[i] & 0xfff);
	return buffer;
}
