/* The Internet checksum (RFC 1071) over IPv4 headers, and over UDP and ICMPv6 with their pseudo-headers. Any thread. */
#ifndef GANTRY_DPDK_CHECKSUM_H
#define GANTRY_DPDK_CHECKSUM_H

#include <stddef.h>
#include <stdint.h>

#include <rte_byteorder.h>
#include <rte_ip.h>

/* The folded one's complement sum of a range that begins at an even offset. 0xffff for a range whose checksum fits. */
static inline uint16_t checksum_sum(const void *bytes, size_t size)
{
	return rte_raw_cksum(bytes, size);
}

static inline uint16_t checksum_fold(uint32_t sum)
{
	sum = (sum >> 16) + (sum & 0xffff);
	sum = (sum >> 16) + (sum & 0xffff);
	return (uint16_t)sum;
}

/*
 * The sum of layer 4 with its pseudo-header: `addresses` are source and destination as they lie in the IP header
 * (8 or 32 bytes). Sums are in the byte order of the memory, as RFC 1071 allows: store the complement as it is.
 */
static inline uint16_t checksum_layer4(const uint8_t *addresses, size_t addresses_size, uint8_t protocol,
				       const uint8_t *bytes, size_t size)
{
	uint32_t sum = checksum_sum(addresses, addresses_size);

	sum += rte_cpu_to_be_16(protocol);
	sum += rte_cpu_to_be_16((uint16_t)size);
	sum += checksum_sum(bytes, size);
	return checksum_fold(sum);
}

#endif
