#include "tests/dpdk/fixture.h"

#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <rte_ethdev.h>
#include <rte_mbuf.h>

#include "dpdk/eal.h"
#include "dpdk/port_private.h"
#include "tests/check.h"
#include "tests/dpdk/wire.h"

static bool started;
static char instance[32];
static char runtime[300];

int fixture_core(void)
{
	cpu_set_t set;

	if (sched_getaffinity(0, sizeof(set), &set) < 0)
		abort();
	for (int core = 0;; core++)
		if (CPU_ISSET(core, &set))
			return core;
}

void fixture_eal(void)
{
	struct eal_settings settings;
	struct err err;

	if (started)
		return;
	/* A child process takes its parent's directory: who is killed can not clear up. */
	if (getenv("GANTRY_TEST_RUNTIME") == NULL)
		(void)setenv("GANTRY_TEST_RUNTIME", check_directory(), 1);
	(void)setenv("RUNTIME_DIRECTORY", getenv("GANTRY_TEST_RUNTIME"), 1);
	(void)snprintf(instance, sizeof(instance), "test-%d", (int)getpid());
	eal_settings_init(&settings, instance);
	settings.memory_mib = 128;
	settings.worker_count = 2;
	settings.worker_cores[1] = fixture_core();
	if (eal_start(&settings, &err) < 0) {
		(void)fprintf(stderr, "%s\n", err.text);
		abort();
	}
	(void)snprintf(runtime, sizeof(runtime), "%s/dpdk/%s", getenv("RUNTIME_DIRECTORY"), instance);
	started = true;
}

const char *fixture_runtime(void)
{
	return runtime;
}

void fixture_eal_stop(void)
{
	if (started)
		eal_stop();
}

void fixture_settings(struct port_settings *settings, const char *profile, const char *where)
{
	port_settings_init(settings, profile, where);
	settings->buffer_count = FIXTURE_BUFFERS;
	settings->tx_buffer_count = FIXTURE_BUFFERS;
	memcpy(settings->mac, wire_us_mac, sizeof(wire_us_mac));
}

struct fixture_end fixture_open(const struct port_settings *settings)
{
	struct fixture_end end = {NULL, NULL};
	struct frame_local local;
	struct err err = {""};
	int result;

	fixture_eal();
	result = port_open(settings, &end.port, &err);
	if (result < 0)
		check_note("%s", err.text);
	CHECK_INT(0, result);
	frame_local_init(&local, WIRE_US_PORT);
	CHECK_INT(0, frame_local_add(&local, WIRE_US4_TEXT, &err));
	CHECK_INT(0, frame_local_add(&local, WIRE_US6_TEXT, &err));
	CHECK_INT(0, frame_queue_new(end.port, 0, &local, &end.queue, &err));
	return end;
}

void fixture_close(struct fixture_end *end)
{
	end->queue = frame_queue_free(end->queue);
	end->port = port_close(end->port);
}

void fixture_put(const struct port *port, const void *bytes, size_t size)
{
	struct rte_mbuf *frame = rte_pktmbuf_alloc(port->rx_pools[0]);

	CHECK(frame != NULL);
	memcpy(rte_pktmbuf_append(frame, (uint16_t)size), bytes, size);
	frame->ol_flags |=
		RTE_MBUF_F_RX_RSS_HASH; /* what a device may say of a frame must not go out with its answer */
	CHECK_INT(1, rte_eth_tx_burst(port->id, 0, &frame, 1));
}

size_t fixture_take(const struct port *port, void *bytes, size_t room)
{
	struct rte_mbuf *frame;
	size_t size;

	if (rte_eth_rx_burst(port->id, 0, &frame, 1) == 0)
		return 0;
	size = frame->pkt_len;
	CHECK(size <= room);
	CHECK_INT(frame->data_len, size);
	CHECK_INT(0, frame->ol_flags);
	memcpy(bytes, rte_pktmbuf_mtod(frame, void *), size);
	rte_pktmbuf_free(frame);
	return size;
}

struct frame_counters fixture_counters(const struct frame_queue *queue)
{
	struct frame_counters counters;

	frame_counters_read(queue, &counters);
	return counters;
}

uint64_t fixture_rx_total(const struct frame_queue *queue)
{
	struct frame_counters counters = fixture_counters(queue);
	uint64_t values[FRAME_COUNTERS_COUNT];
	uint64_t total = 0;

	memcpy(values, &counters, sizeof(values));
	for (unsigned i = 0; i < FRAME_COUNTERS_COUNT; i++)
		total += frame_counter_table[i].rx ? values[i] : 0;
	return total;
}
