/* From the configuration to EAL, a port with a queue for each worker, and the workers. */
#include "appliance/gantry_inside.h"

#include <errno.h>
#include <rte_malloc.h>
#include <rte_rcu_qsbr.h>
#include <string.h>

#include "appliance/cross.h"
#include "dpdk/eal.h"
#include "dpdk/frame.h"
#include "dpdk/path.h"
#include "dpdk/port.h"

void gantry_eal_settings(const struct config *config, struct eal_settings *settings, const char *name)
{
	eal_settings_init(settings, name);
	settings->memory_mib = (unsigned)config->memory_mib;
	settings->hugepages = config->hugepages;
	settings->control_core = (int)config->control_core;
	settings->worker_count = (unsigned)config->workers;
	for (unsigned i = 0; i < settings->worker_count; i++)
		settings->worker_cores[i] =
			config->first_worker_core < 0 ? EAL_CORE_ANY : (int)(config->first_worker_core + i);
	settings->extra = config->eal_extra[0] != '\0' ? config->eal_extra : NULL;
	if (strcmp(config->port, "pci") == 0)
		settings->pci_devices[0] = config->port_device;
}

static int port_settings_of(const struct config *config, struct port_settings *settings, struct err *err)
{
	port_settings_init(settings, config->port, config->port_device[0] != '\0' ? config->port_device : NULL);
	settings->queue_count = (unsigned)config->workers;
	settings->buffer_count = (unsigned)config->buffers - 1;
	if (config->mac[0] != '\0' && path_mac_parse(config->mac, settings->mac) < 0)
		return err_set(err, -EINVAL, "port.mac: wants six bytes in hex like 02:00:5e:10:00:01");
	return 0;
}

static int frame_local_of(const struct config *config, struct frame_local *local, struct err *err)
{
	int result = 0;

	frame_local_init(local, (uint16_t)config->udp_port);
	if (config->ipv4[0] != '\0')
		result = frame_local_add(local, config->ipv4, err);
	if (result == 0 && config->ipv6[0] != '\0')
		result = frame_local_add(local, config->ipv6, err);
	return result;
}

int gantry_port_start(struct gantry *gantry, struct err *err)
{
	struct port_settings settings;
	struct frame_local local;
	int result;

	if ((result = port_settings_of(&gantry->config, &settings, err)) < 0 ||
	    (result = frame_local_of(&gantry->config, &local, err)) < 0 ||
	    (result = port_open(&settings, &gantry->port, err)) < 0)
		return result;
	for (unsigned i = 0; i < gantry->worker_count && result == 0; i++)
		result = frame_queue_new(gantry->port, i, &local, &gantry->queues[i], err);
	return result;
}

int gantry_workers_start(struct gantry *gantry, struct err *err)
{
	size_t size = rte_rcu_qsbr_get_memsize(WORKERS_MAX);
	struct worker_options options = {
		.worker_count = gantry->worker_count,
		.busy = gantry->config.poll == CONFIG_POLL_BUSY,
		.sleep_cap_us = IDLE_QUIET_CAP_US,
		.retention_us = gantry->config.retention_days * DAY_US,
		.future_us = gantry->config.future_s * 1000000,
		.node = gantry->config.node,
		.port = gantry->port,
		.gate = gantry->gate,
	};
	int result;

	gantry->quiescence = rte_zmalloc("quiescence", size, RTE_CACHE_LINE_SIZE);
	if (gantry->quiescence == NULL || rte_rcu_qsbr_init(gantry->quiescence, WORKERS_MAX) != 0)
		return err_set(err, -ENOMEM, "no memory for quiescence; raise eal.memory");
	if (gantry->worker_count > 1 && crossing_new(gantry->worker_count, &gantry->crossing) < 0)
		return err_set(err, -ENOMEM, "no memory for the rings between workers; raise eal.memory");
	for (unsigned i = 0; i < gantry->worker_count; i++) {
		options.index = i;
		result = worker_new(&options, gantry->queues[i], gantry->crossing, gantry->quiescence,
				    &gantry->workers[i]);
		if (result < 0)
			return err_set(err, result, "worker %u: %s; raise eal.memory", i, strerror(-result));
	}
	return 0;
}
