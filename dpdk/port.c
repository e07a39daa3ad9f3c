/*
 * Life of a port, all on the control thread: check the settings and the host, make the device (a vdev is plugged in, a
 * PCI device was probed by EAL, a ring end is made from rings), pools, queues, start; close undoes it in reverse.
 *
 * A pool is freed only when every buffer is home. One that is not (a frame still held somewhere is our own bug) is left
 * allocated with a warning: freeing it would hand its memory to someone else while it can still be written.
 */
#include "dpdk/port.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <rte_bus_vdev.h>
#include <rte_dev.h>
#include <rte_ethdev.h>
#include <rte_errno.h>
#include <rte_mbuf.h>

#define LOG_MODULE "dpdk"
#include "appliance/base/log.h"
#include "dpdk/port_private.h"

#define POOL_CACHE_COUNT 256

static unsigned device_number; /* never reused, so that a name left behind by a failure is in nobody's way */

static struct rte_mempool *pool_new(const struct port *port, const char *kind, unsigned queue, unsigned count,
				    const char *ops, struct err *err)
{
	char name[RTE_MEMPOOL_NAMESIZE];
	unsigned cache = count / 2 < POOL_CACHE_COUNT ? count / 4 : POOL_CACHE_COUNT;
	struct rte_mempool *pool;

	(void)snprintf(name, sizeof(name), "gp%u_%s%u_%u", port->id, kind, queue, device_number);
	pool = rte_pktmbuf_pool_create_by_ops(name, count, cache, 0, RTE_MBUF_DEFAULT_BUF_SIZE, SOCKET_ID_ANY, ops);
	if (pool == NULL)
		(void)err_set(err, -rte_errno,
			      "port %s: no pool of %u buffers (%s): raise the packet memory or lower the buffers",
			      port->name, count, rte_strerror(rte_errno));
	return pool;
}

static struct rte_mempool *pool_free(const struct port *port, struct rte_mempool *pool)
{
	if (pool == NULL)
		return NULL;
	if (rte_mempool_full(pool))
		rte_mempool_free(pool);
	else
		log_warn("port %s: %u buffers are still out, leaving their pool allocated", port->name,
			 rte_mempool_in_use_count(pool));
	return NULL;
}

static void pools_free(struct port *port)
{
	for (unsigned i = 0; i < port->queue_count; i++) {
		port->rx_pools[i] = pool_free(port, port->rx_pools[i]);
		port->tx_pools[i] = pool_free(port, port->tx_pools[i]);
	}
}

static int pools_new(struct port *port, const struct port_settings *settings, struct err *err)
{
	for (unsigned i = 0; i < port->queue_count; i++) {
		port->rx_pools[i] = pool_new(port, "rx", i, settings->buffer_count, settings->pool_ops, err);
		if (port->rx_pools[i] == NULL)
			return -ENOMEM;
		port->tx_pools[i] = pool_new(port, "tx", i, settings->tx_buffer_count, settings->pool_ops, err);
		if (port->tx_pools[i] == NULL)
			return -ENOMEM;
	}
	return 0;
}

static int queues_set_up(struct port *port, const struct port_settings *settings, struct err *err)
{
	uint16_t rx_count = (uint16_t)settings->descriptor_count;
	uint16_t tx_count = (uint16_t)settings->descriptor_count;
	int result = rte_eth_dev_adjust_nb_rx_tx_desc(port->id, &rx_count, &tx_count);

	for (uint16_t i = 0; result == 0 && i < port->queue_count; i++) {
		result = rte_eth_rx_queue_setup(port->id, i, rx_count, SOCKET_ID_ANY, NULL, port->rx_pools[i]);
		if (result == 0)
			result = rte_eth_tx_queue_setup(port->id, i, tx_count, SOCKET_ID_ANY, NULL);
	}
	if (result < 0)
		return err_set(err, result, "port %s: its queues can not be set up: %s", port->name,
			       rte_strerror(-result));
	return 0;
}

/* Offloads and RSS only as far as the device says it has them: software devices refuse a bit they do not know. */
static int configure(struct port *port, const struct port_settings *settings, struct err *err)
{
	struct rte_eth_conf conf = {.rxmode = {.mtu = settings->mtu}};
	struct rte_eth_dev_info info;
	int result = rte_eth_dev_info_get(port->id, &info);

	if (result < 0)
		return err_set(err, result, "port %s: DPDK can not describe it: %s", port->name, rte_strerror(-result));
	if (port->queue_count > info.max_rx_queues || port->queue_count > info.max_tx_queues)
		return err_set(err, -EINVAL,
			       "port %s: %u queues wanted, the device has %u for receiving and %u for sending",
			       port->name, port->queue_count, info.max_rx_queues, info.max_tx_queues);
	if (info.max_mtu != 0 && settings->mtu > info.max_mtu)
		return err_set(err, -EINVAL, "port %s: MTU %u wanted, the device takes %u", port->name, settings->mtu,
			       info.max_mtu);
	if (port->profile->offloads)
		conf.rxmode.offloads =
			info.rx_offload_capa & (RTE_ETH_RX_OFFLOAD_IPV4_CKSUM | RTE_ETH_RX_OFFLOAD_UDP_CKSUM);
	if (port->queue_count > 1 && info.flow_type_rss_offloads != 0) {
		conf.rxmode.mq_mode = RTE_ETH_MQ_RX_RSS;
		conf.rx_adv_conf.rss_conf.rss_hf = info.flow_type_rss_offloads & (RTE_ETH_RSS_IP | RTE_ETH_RSS_UDP);
	}
	result = rte_eth_dev_configure(port->id, (uint16_t)port->queue_count, (uint16_t)port->queue_count, &conf);
	if (result < 0)
		return err_set(err, result, "port %s: can not be configured: %s", port->name, rte_strerror(-result));
	return 0;
}

/* Which frames the device lets through. Most software devices filter nothing and say ENOTSUP: nothing is missing. */
static void filters_set(struct port *port, const struct port_settings *settings)
{
	static const struct rte_ether_addr none;
	struct rte_ether_addr wanted;
	bool promiscuous = settings->promiscuous;

	(void)rte_eth_macaddr_get(port->id, &port->mac);
	memcpy(wanted.addr_bytes, settings->mac, PORT_MAC_SIZE);
	if (!rte_is_same_ether_addr(&wanted, &none)) {
		if (rte_eth_dev_default_mac_addr_set(port->id, &wanted) < 0)
			promiscuous = true;
		port->mac = wanted;
	}
	/* Neighbour solicitations come to multicast MACs. */
	(void)rte_eth_allmulticast_enable(port->id);
	if (promiscuous)
		(void)rte_eth_promiscuous_enable(port->id);
}

static int start(struct port *port, const struct port_settings *settings, struct err *err)
{
	int result;

	result = configure(port, settings, err);
	if (result == 0)
		result = pools_new(port, settings, err);
	if (result == 0)
		result = queues_set_up(port, settings, err);
	if (result < 0)
		return result;
	result = rte_eth_dev_start(port->id);
	if (result < 0)
		return err_set(err, result, "port %s: does not start: %s", port->name, rte_strerror(-result));
	port->started = true;
	filters_set(port, settings);
	return 0;
}

static int plug_in(struct port *port, const struct port_settings *settings, struct err *err)
{
	char arguments[PORT_DEVICE_TEXT_SIZE];
	int result = port_device_text(settings, device_number++, port->name, arguments, err);

	if (result < 0)
		return result;
	if (port->profile->kind == PORT_RING)
		return port_ring_open(settings, port, err);
	if (port->profile->kind == PORT_VHOST && unlink(settings->where) < 0 && errno != ENOENT)
		return err_set(err, -errno, "port vhost: the stale socket %s can not be removed: %s", settings->where,
			       strerror(errno));
	if (port->profile->kind != PORT_PCI) {
		result = rte_eal_hotplug_add("vdev", port->name, arguments);
		if (result < 0)
			return err_set(err, result, "port %s: DPDK can not make the device (%s): %s", settings->profile,
				       arguments, rte_strerror(-result));
	}
	if (rte_eth_dev_get_port_by_name(port->name, &port->id) < 0) {
		if (port->profile->kind != PORT_PCI)
			(void)rte_eal_hotplug_remove("vdev", port->name);
		return err_set(err, -ENODEV, "port %s: DPDK drives no network device %s; is it bound to vfio-pci?",
			       settings->profile, port->name);
	}
	return 0;
}

static void pull_out(struct port *port)
{
	if (port->started)
		(void)rte_eth_dev_stop(port->id);
	(void)rte_eth_dev_close(port->id);
	if (port->profile->kind != PORT_PCI)
		(void)rte_eal_hotplug_remove("vdev", port->name);
	if (port->profile->kind == PORT_RING)
		port_ring_close(port);
}

int port_open(const struct port_settings *settings, struct port **ret_port, struct err *err)
{
	struct port *port;
	int result = port_settings_check(settings, err);

	if (result == 0)
		result = port_host_check(settings, err);
	if (result < 0)
		return result;
	port = calloc(1, sizeof(*port));
	if (port == NULL)
		return err_set(err, -ENOMEM, "port %s: no memory", settings->profile);
	port->profile = port_profile_find(settings->profile);
	port->queue_count = settings->queue_count;
	port->udp_checksum_partial = port->profile->udp_checksum_partial;
	result = plug_in(port, settings, err);
	if (result < 0)
		goto fail;
	result = start(port, settings, err);
	if (result < 0)
		goto fail_plugged;
	*ret_port = port;
	return 0;
fail_plugged:
	pull_out(port);
	pools_free(port);
fail:
	free(port);
	return result;
}

struct port *port_close(struct port *port)
{
	if (port == NULL)
		return NULL;
	pull_out(port);
	pools_free(port);
	free(port);
	return NULL;
}

const char *port_name(const struct port *port)
{
	return port->name;
}

void port_mac(const struct port *port, uint8_t ret_mac[PORT_MAC_SIZE])
{
	memcpy(ret_mac, port->mac.addr_bytes, PORT_MAC_SIZE);
}

unsigned port_queue_count(const struct port *port)
{
	return port->queue_count;
}

bool port_link_up(const struct port *port)
{
	struct rte_eth_link link;

	return rte_eth_link_get_nowait(port->id, &link) == 0 && link.link_status == RTE_ETH_LINK_UP;
}

bool port_loses_silently(const struct port *port)
{
	return port->profile->loses_silently;
}

void port_statistics(const struct port *port, struct port_statistics *ret_statistics)
{
	struct rte_eth_stats stats = {.ipackets = 0};

	(void)rte_eth_stats_get(port->id, &stats);
	*ret_statistics = (struct port_statistics){
		.rx_frames = stats.ipackets,
		.rx_bytes = stats.ibytes,
		.tx_frames = stats.opackets,
		.tx_bytes = stats.obytes,
		.rx_missed = stats.imissed,
		.rx_errors = stats.ierrors,
		.rx_no_buffer = stats.rx_nombuf,
		.tx_errors = stats.oerrors,
	};
}
