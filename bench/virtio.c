#include "bench/virtio.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "appliance/base/clock.h"
#include "bench/fleet.h"
#include "bench/transport.h"
#include "dpdk/answer.h"
#include "dpdk/eal.h"
#include "dpdk/frame.h"
#include "dpdk/port.h"
#include "dpdk/reply.h"

#define ASK_NS (INT64_C(200) * 1000000)
#define LOOK_NS (INT64_C(250) * 1000000) /* between looks at the link, and the longest that coming back may block */
#define NAP_NS (INT64_C(1) * 1000000)
#define WAIT_NS_MAX (INT64_C(50) * 1000) /* the device has no interrupt to wait for */

static_assert(TRANSPORT_DATAGRAM_MAX == REPLY_PAYLOAD_MAX, "a datagram is written in place");
static_assert(TRANSPORT_BURST >= FRAME_BURST, "a batch of frames is one receive");

struct virtio {
	struct transport transport;
	struct port *port;
	struct frame_queue *queues[PORT_QUEUES_MAX]; /* the first one sends; all of them receive */
	unsigned queue_count;
	unsigned turn; /* the queue that was received from last */
	struct virtio_settings settings;
	int64_t look_ns; /* when the link is to be looked at next */
	unsigned channels;
	unsigned first_port;
	bool started;
	char name[32];
	struct path paths[FLEET_FEEDS_MAX];
};

void virtio_settings_init(struct virtio_settings *settings)
{
	*settings = (struct virtio_settings){
		.own = "10.77.0.2",
		.peer = "10.77.0.1",
		.own_port = 40000,
		.peer_port = 4717,
		.memory_mib = 256,
		.wait_s = 30,
		.queues = 1,
		.core = -1,
	};
}

static uint8_t *virtio_begin(struct transport *transport, unsigned channel)
{
	struct virtio *virtio = (struct virtio *)transport;

	return virtio->port == NULL ? NULL : reply_begin(virtio->queues[0], &virtio->paths[channel]);
}

static void virtio_commit(struct transport *transport, size_t size)
{
	struct virtio *virtio = (struct virtio *)transport;

	reply_commit(virtio->queues[0], size);
	transport->sent++;
}

static void virtio_abandon(struct transport *transport)
{
	struct virtio *virtio = (struct virtio *)transport;

	reply_abandon(virtio->queues[0]);
}

static void virtio_flush(struct transport *transport)
{
	struct virtio *virtio = (struct virtio *)transport;

	if (virtio->port != NULL)
		transport->unsent += reply_flush(virtio->queues[0]);
}

static int connect_port(struct virtio *virtio, int64_t deadline_ns, struct err *err);
static void close_port(struct virtio *virtio);

/*
 * virtio-user never takes up again with an appliance that went away: the port is closed, and opened anew when its
 * socket is back. Until then there is no room to send and nothing to receive, and the spool waits.
 */
static void watch_link(struct virtio *virtio)
{
	int64_t now_ns = clock_mono_ns();
	struct err err;

	if (now_ns < virtio->look_ns)
		return;
	virtio->look_ns = now_ns + LOOK_NS;
	if (virtio->port != NULL && !port_link_up(virtio->port))
		close_port(virtio);
	if (virtio->port == NULL && connect_port(virtio, now_ns + LOOK_NS, &err) < 0)
		close_port(virtio);
}

/* The next queue that has something: each worker of the appliance answers on its own. */
static const struct frame_batch *receive_any(struct virtio *virtio)
{
	const struct frame_batch *batch;

	for (unsigned tries = 1;; tries++) {
		virtio->turn = (virtio->turn + 1) % virtio->queue_count;
		batch = frame_receive(virtio->queues[virtio->turn]);
		if (batch->frame_count > 0 || tries == virtio->queue_count)
			return batch;
		frame_release(virtio->queues[virtio->turn]);
	}
}

static unsigned virtio_receive(struct transport *transport, struct transport_datagram ret_datagrams[TRANSPORT_BURST])
{
	struct virtio *virtio = (struct virtio *)transport;
	const struct frame_batch *batch;
	unsigned count = 0;

	watch_link(virtio);
	if (virtio->port == NULL)
		return 0;
	batch = receive_any(virtio);

	for (unsigned i = 0; i < batch->count; i++) {
		const struct datagram *datagram = &batch->datagrams[i];
		unsigned channel = datagram->path.own_port - virtio->first_port;

		if (channel >= virtio->channels)
			continue;
		/* The buffer is ours until frame_release: opening in place spoils nobody else's bytes. */
		ret_datagrams[count].payload = (uint8_t *)(uintptr_t)datagram->payload;
		ret_datagrams[count].size = datagram->size;
		ret_datagrams[count++].channel = channel;
	}
	transport->received += count;
	return count;
}

static void virtio_release(struct transport *transport)
{
	struct virtio *virtio = (struct virtio *)transport;

	if (virtio->port != NULL)
		frame_release(virtio->queues[virtio->turn]);
}

static void nap(int64_t ns)
{
	struct timespec time = {ns / 1000000000, ns % 1000000000};

	nanosleep(&time, NULL);
}

static void virtio_wait(struct transport *transport, int64_t ns)
{
	(void)transport;
	nap(ns < WAIT_NS_MAX ? ns : WAIT_NS_MAX);
}

static void close_port(struct virtio *virtio)
{
	for (unsigned i = 0; i < virtio->queue_count; i++)
		virtio->queues[i] = frame_queue_free(virtio->queues[i]);
	virtio->port = port_close(virtio->port);
}

static void virtio_free(struct transport *transport)
{
	struct virtio *virtio = (struct virtio *)transport;

	close_port(virtio);
	if (virtio->started)
		eal_stop();
	free(virtio);
}

static const struct transport_ops virtio_ops = {virtio_begin,   virtio_commit,  virtio_abandon, virtio_flush,
						virtio_receive, virtio_release, virtio_wait,    virtio_free};

static int start_eal(struct virtio *virtio, const struct virtio_settings *settings, struct err *err)
{
	struct eal_settings eal;
	int r;

	snprintf(virtio->name, sizeof(virtio->name), "gantry-load-%d", (int)getpid());
	eal_settings_init(&eal, virtio->name);
	eal.memory_mib = settings->memory_mib;
	eal.hugepages = settings->hugepages;
	eal.verbose = settings->verbose;
	eal.control_core = settings->core >= 0 ? settings->core : EAL_CORE_ANY;
	eal.worker_count = 0;
	r = eal_start(&eal, err);
	virtio->started = r == 0;
	return r;
}

/* The appliance may still be starting: its socket is waited for. */
static int open_port(struct virtio *virtio, const struct virtio_settings *settings, int64_t deadline_ns,
		     struct err *err)
{
	struct port_settings port;
	int r;

	port_settings_init(&port, "virtio", settings->path);
	port.tx_buffer_count = 8191;
	port.queue_count = virtio->queue_count;
	do {
		if (access(settings->path, F_OK) == 0) {
			r = port_open(&port, &virtio->port, err);
			/* Bound but not listening yet, or left behind by one that died: the same as not there. */
			if (r != -ENOENT && r != -ECONNREFUSED)
				return r;
		}
		nap(10 * NAP_NS);
	} while (clock_mono_ns() < deadline_ns);
	return err_set(err, -ENOENT, "%s: no vhost socket there: is gantryd running, with a vhost port at this path?",
		       settings->path);
}

static int make_paths(struct virtio *virtio, const struct virtio_settings *settings, struct err *err)
{
	uint8_t own_mac[PATH_MAC_SIZE];
	uint8_t peer_mac[PATH_MAC_SIZE];

	port_mac(virtio->port, own_mac);
	if (settings->peer_mac != NULL && path_mac_parse(settings->peer_mac, peer_mac) < 0)
		return err_set(err, -EINVAL, "--peer-mac %s is no unicast MAC address", settings->peer_mac);
	for (unsigned i = 0; i < virtio->channels; i++) {
		int r = path_make(own_mac, settings->own, (uint16_t)(settings->own_port + i),
				  settings->peer_mac == NULL ? NULL : peer_mac, settings->peer,
				  (uint16_t)settings->peer_port, &virtio->paths[i], err);

		if (r < 0)
			return r;
	}
	return 0;
}

static int open_queues(struct virtio *virtio, const struct virtio_settings *settings, struct err *err)
{
	struct frame_local local;
	int r;

	frame_local_init(&local, (uint16_t)settings->own_port);
	local.udp_port_count = (uint16_t)virtio->channels;
	r = frame_local_add(&local, settings->own, err);
	for (unsigned i = 0; i < virtio->queue_count && r == 0; i++)
		r = frame_queue_new(virtio->port, i, &local, &virtio->queues[i], err);
	return r;
}

static int learn_mac(struct virtio *virtio, const struct virtio_settings *settings, int64_t deadline_ns,
		     struct err *err)
{
	int64_t ask_ns = 0;
	uint8_t mac[PATH_MAC_SIZE];

	do {
		int64_t now_ns = clock_mono_ns();

		if (now_ns >= ask_ns) {
			(void)answer_ask(virtio->queues[0], &virtio->paths[0]);
			(void)reply_flush(virtio->queues[0]);
			ask_ns = now_ns + ASK_NS;
		}
		(void)frame_receive(virtio->queues[0]);
		frame_release(virtio->queues[0]);
		if (answer_heard(virtio->queues[0], mac)) {
			for (unsigned i = 0; i < virtio->channels; i++)
				memcpy(virtio->paths[i].peer_mac, mac, sizeof(mac));
			return 0;
		}
		nap(NAP_NS);
	} while (clock_mono_ns() < deadline_ns);
	return err_set(err, -ETIMEDOUT,
		       "nobody answers for %s on %s: check the appliance's address, or give --peer-mac", settings->peer,
		       settings->path);
}

/* Port, addresses, queues, the appliance's MAC. On failure close_port tidies up. */
static int connect_port(struct virtio *virtio, int64_t deadline_ns, struct err *err)
{
	const struct virtio_settings *settings = &virtio->settings;
	int r = open_port(virtio, settings, deadline_ns, err);

	if (r == 0)
		r = make_paths(virtio, settings, err);
	if (r == 0)
		r = open_queues(virtio, settings, err);
	if (r == 0 && settings->peer_mac == NULL)
		r = learn_mac(virtio, settings, deadline_ns, err);
	return r;
}

int virtio_new(const struct virtio_settings *settings, unsigned channels, struct transport **ret_transport,
	       struct err *err)
{
	int64_t deadline_ns = clock_mono_ns() + (int64_t)settings->wait_s * 1000000000;
	struct virtio *virtio;
	int r;

	if (channels > FLEET_FEEDS_MAX || settings->own_port + channels > UINT16_MAX)
		return err_set(err, -EINVAL, "%u feeds from port %u on: more than there are ports", channels,
			       settings->own_port);
	virtio = calloc(1, sizeof(*virtio));
	if (virtio == NULL)
		return err_set(err, -ENOMEM, "no memory for the transport");
	virtio->transport.ops = &virtio_ops;
	virtio->channels = channels;
	virtio->queue_count = settings->queues;
	virtio->settings = *settings;
	virtio->first_port = settings->own_port;
	r = start_eal(virtio, settings, err);
	if (r == 0)
		r = connect_port(virtio, deadline_ns, err);
	if (r < 0) {
		virtio_free(&virtio->transport);
		return r;
	}
	*ret_transport = &virtio->transport;
	return 0;
}
