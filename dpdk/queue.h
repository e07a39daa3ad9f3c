/* The inside of a frame_queue, for the files of dpdk/ only. One worker owns it; counters may be read by any thread. */
#ifndef GANTRY_DPDK_QUEUE_H
#define GANTRY_DPDK_QUEUE_H

#include <rte_mbuf.h>

#include "dpdk/frame.h"
#include "dpdk/parse.h"
#include "dpdk/port_private.h"

#define QUEUE_TX_BATCH 64

struct frame_queue {
	struct port *port;
	uint16_t port_id;
	uint16_t index;
	struct parse_rules rules;

	struct rte_mbuf *held[FRAME_BURST]; /* under the payloads of the batch */
	unsigned held_count;
	bool lent; /* between frame_receive and frame_release */

	struct rte_mbuf *tx[QUEUE_TX_BATCH]; /* built, not yet given to the device */
	unsigned tx_count;
	unsigned unsent_count;     /* since the last reply_flush */
	struct rte_mbuf *building; /* between reply_begin and reply_commit */
	uint16_t building_ip_offset;
	uint8_t building_version;

	int64_t answer_window_ns; /* start of the second in which answers are counted */
	unsigned answer_count;
	bool neighbour_known;
	uint8_t neighbour_mac[PATH_MAC_SIZE];

	struct frame_batch batch;
	_Alignas(RTE_CACHE_LINE_SIZE) uint64_t counters[FRAME_COUNTERS_COUNT];
};

/* The one writer's add: a plain increment whose store other threads may see at any time, but never torn. */
static inline void queue_count(struct frame_queue *queue, enum frame_outcome outcome, unsigned count)
{
	__atomic_store_n(&queue->counters[outcome], queue->counters[outcome] + count, __ATOMIC_RELAXED);
}

/* reply.c. Queues a complete frame; takes it over. */
void queue_send(struct frame_queue *queue, struct rte_mbuf *frame);
/* What reply_flush does, but leaves the count of unsent frames standing. */
void queue_flush(struct frame_queue *queue);
/* MACs, the VLAN tags of a path (NULL: none) and the ethertype; returns their size. */
uint16_t queue_put_ethernet(uint8_t *at, const uint8_t *to, const uint8_t *from, const struct path *tags,
			    uint16_t ethertype);

/* answer.c. Makes the answer in the frame that asked and queues it (takes it over). false: over the limit, or no room
 * in the buffer; the frame is still the caller's. */
bool queue_answer(struct frame_queue *queue, struct rte_mbuf *frame, const struct parse_view *view,
		  enum frame_outcome request, int64_t now_ns);

/* answer.c. Keeps the MAC out of the answer to our question. */
void queue_hear(struct frame_queue *queue, const struct rte_mbuf *frame, const struct parse_view *view);

#endif
