/*
 * virtio-user against a vhost port in another process: a forked child (before EAL starts in either) is the appliance,
 * a receiver in memory behind a vhost port.
 */
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "bench/loop.h"
#include "bench/transport.h"
#include "bench/virtio.h"
#include "dpdk/eal.h"
#include "dpdk/frame.h"
#include "dpdk/port.h"
#include "dpdk/reply.h"
#include "tests/bench/drive.h"
#include "tests/check.h"

#define FEEDS 3
#define READS 200000

static char socket_path[256];
static pid_t appliance;

static void answers_send(struct transport *loop, struct frame_queue *queue, const struct path *paths)
{
	struct transport_datagram datagrams[TRANSPORT_BURST];
	unsigned count = loop->ops->receive(loop, datagrams);

	for (unsigned i = 0; i < count; i++)
		(void)reply_send(queue, &paths[datagrams[i].channel], datagrams[i].payload, datagrams[i].size);
	loop->ops->release(loop);
	(void)reply_flush(queue);
}

static void serve(struct transport *loop, struct frame_queue *queue)
{
	static struct path paths[FEEDS];

	for (;;) {
		const struct frame_batch *batch = frame_receive(queue);
		unsigned count = batch->count;

		for (unsigned i = 0; i < batch->count; i++) {
			const struct datagram *datagram = &batch->datagrams[i];
			unsigned channel = datagram->path.peer_port - 40000U;

			if (channel >= FEEDS)
				continue;
			paths[channel] = datagram->path;
			memcpy(loop->ops->begin(loop, channel), datagram->payload, datagram->size);
			loop->ops->commit(loop, datagram->size);
		}
		frame_release(queue);
		loop->ops->flush(loop);
		answers_send(loop, queue, paths);
		if (count == 0)
			nanosleep(&(struct timespec){0, 50000}, NULL);
	}
}

static void appliance_be(void)
{
	const struct loop_settings settings = {.credit = 30000};
	struct eal_settings eal;
	struct port_settings port_settings;
	struct frame_local local;
	struct frame_queue *queue = NULL;
	struct transport *loop = NULL;
	struct port *port = NULL;
	static struct feeds feeds;
	struct err err = {""};
	char name[64];

	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	snprintf(name, sizeof(name), "test-virtio-%d", (int)getpid());
	drive_feeds(FEEDS, &feeds);
	eal_settings_init(&eal, name);
	eal.memory_mib = 256;
	eal.worker_count = 0;
	port_settings_init(&port_settings, "vhost", socket_path);
	frame_local_init(&local, 4717);
	if (loop_new(&settings, feeds.rows, FEEDS, &loop) < 0 || eal_start(&eal, &err) < 0 ||
	    frame_local_add(&local, "10.77.0.1", &err) < 0 || port_open(&port_settings, &port, &err) < 0 ||
	    frame_queue_new(port, 0, &local, &queue, &err) < 0) {
		fprintf(stderr, "appliance's side: %s\n", err.text);
		_exit(1);
	}
	serve(loop, queue);
}

static void reads_go_through_vhost(void)
{
	struct virtio_settings settings;
	struct transport *transport = NULL;
	struct sender_totals totals;
	struct feeds feeds;
	struct err err = {""};
	int r;

	drive_feeds(FEEDS, &feeds);
	virtio_settings_init(&settings);
	settings.path = socket_path;
	settings.wait_s = 10;
	r = virtio_new(&settings, FEEDS, &transport, &err);
	if (r < 0)
		check_note("%s", err.text);
	CHECK_INT(0, r);
	drive_sender(transport, &feeds, READS, 8, NULL, NULL, &totals);
	CHECK_INT(FEEDS, totals.open);
	CHECK(totals.latency.total > 0);
	transport_free(transport);
}

int main(int argc, char **argv)
{
	static const struct check_test tests[] = {
		{"reads go through vhost", reads_go_through_vhost},
		{NULL, NULL},
	};
	int r;

	snprintf(socket_path, sizeof(socket_path), "/tmp/gantry-test-virtio-%d.sock", (int)getpid());
	appliance = fork();
	if (appliance == 0)
		appliance_be();
	r = check_main(argc, argv, "bench virtio", tests);
	kill(appliance, SIGKILL);
	waitpid(appliance, NULL, 0);
	unlink(socket_path);
	return r;
}
