/*
 * A link of rings inside one process: two ports opened with the same name are its two ends, what one sends the other
 * receives. For tests and simulations. One worker per queue and end, so the rings are single-producer single-consumer.
 *
 * The table of links belongs to the control thread. A link lives from its first end's opening to its last end's close.
 */
#include "dpdk/port.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <rte_errno.h>
#include <rte_eth_ring.h>
#include <rte_mbuf.h>
#include <rte_ring.h>

#include "dpdk/port_private.h"

#define LINKS_MAX 16
#define LINK_NAME_SIZE 16

struct ring_link {
	char name[LINK_NAME_SIZE];
	bool end_used[2];
	unsigned queue_count;
	struct rte_ring *rings[2][PORT_QUEUES_MAX]; /* [end that sends into it][queue] */
};

static struct ring_link links[LINKS_MAX];

static void link_free(struct ring_link *link)
{
	for (unsigned end = 0; end < 2; end++)
		for (unsigned i = 0; i < PORT_QUEUES_MAX; i++)
			rte_ring_free(link->rings[end][i]);
	memset(link, 0, sizeof(*link));
}

static int link_new(struct ring_link *link, const struct port_settings *settings, struct err *err)
{
	char name[RTE_RING_NAMESIZE];

	(void)snprintf(link->name, sizeof(link->name), "%s", settings->where);
	link->queue_count = settings->queue_count;
	for (unsigned end = 0; end < 2; end++)
		for (unsigned i = 0; i < settings->queue_count; i++) {
			(void)snprintf(name, sizeof(name), "gl%u_%u_%u", (unsigned)(link - links), end, i);
			link->rings[end][i] = rte_ring_create(name, settings->descriptor_count, SOCKET_ID_ANY,
							      RING_F_SP_ENQ | RING_F_SC_DEQ);
			if (link->rings[end][i] == NULL) {
				int code = rte_errno;

				link_free(link);
				return err_set(err, -code, "port ring: no ring of %u: %s", settings->descriptor_count,
					       rte_strerror(code));
			}
		}
	return 0;
}

static int link_find(const struct port_settings *settings, struct ring_link **ret_link, struct err *err)
{
	struct ring_link *unused = NULL;

	if (strlen(settings->where) >= LINK_NAME_SIZE)
		return err_set(err, -EINVAL, "port ring: '%s' is longer than %d", settings->where, LINK_NAME_SIZE - 1);
	for (unsigned i = 0; i < LINKS_MAX; i++) {
		if (strcmp(links[i].name, settings->where) == 0) {
			if (links[i].queue_count != settings->queue_count)
				return err_set(err, -EINVAL, "port ring: both ends of '%s' need the same queues",
					       settings->where);
			*ret_link = &links[i];
			return 0;
		}
		if (links[i].name[0] == '\0' && unused == NULL)
			unused = &links[i];
	}
	if (unused == NULL)
		return err_set(err, -ENOSPC, "port ring: more than %d links", LINKS_MAX);
	*ret_link = unused;
	return link_new(unused, settings, err);
}

int port_ring_open(const struct port_settings *settings, struct port *port, struct err *err)
{
	struct ring_link *link = NULL;
	unsigned end;
	int id;
	int result = link_find(settings, &link, err);

	if (result < 0)
		return result;
	end = link->end_used[0] ? 1 : 0;
	if (link->end_used[end])
		return err_set(err, -EBUSY, "port ring: both ends of '%s' are taken", settings->where);
	id = rte_eth_from_rings(port->name, link->rings[!end], settings->queue_count, link->rings[end],
				settings->queue_count, 0);
	if (id < 0) {
		result = -rte_errno;
		if (!link->end_used[!end])
			link_free(link);
		return err_set(err, result, "port ring: DPDK can not make the device: %s", rte_strerror(-result));
	}
	port->id = (uint16_t)id;
	(void)rte_eth_dev_get_name_by_port(port->id, port->name); /* the driver gave it a prefix */
	port->link = link;
	port->link_end = end;
	link->end_used[end] = true;
	return 0;
}

void port_ring_close(struct port *port)
{
	struct ring_link *link = port->link;
	void *frame;

	/* What we sent and nobody took lies in our pool's buffers; what waited for us lies in the other end's. */
	for (unsigned end = 0; end < 2; end++)
		for (unsigned i = 0; i < link->queue_count; i++)
			while (rte_ring_dequeue(link->rings[end][i], &frame) == 0)
				rte_pktmbuf_free(frame);
	link->end_used[port->link_end] = false;
	if (!link->end_used[0] && !link->end_used[1])
		link_free(link);
	port->link = NULL;
}
