/*
 * Datagrams out: UDP built back along a path, with every checksum computed here, in batches.
 *
 * The worker that owns the frame_queue only. Write the payload in place:
 *
 *	uint8_t *room = reply_begin(queue, &feed->path);
 *	if (room != NULL)
 *		reply_commit(queue, encode_ack(room, REPLY_PAYLOAD_MAX));
 *	…
 *	reply_flush(queue);	once a turn of the worker's loop
 *
 * What is sent may be lost: by the wire, and here when the device's queue stays full (counted as tx_unsent). Nothing
 * ever waits for room.
 */
#ifndef GANTRY_DPDK_REPLY_H
#define GANTRY_DPDK_REPLY_H

#include <stddef.h>
#include <stdint.h>

#include "dpdk/path.h"

#define REPLY_PAYLOAD_MAX 1400

struct frame_queue;

/*
 * Room for REPLY_PAYLOAD_MAX bytes, to be ended by reply_commit or reply_abandon before the next reply_begin. NULL when
 * no buffer is free (counted: tx_no_buffer); try again in a later turn.
 */
uint8_t *reply_begin(struct frame_queue *queue, const struct path *path);

/* Completes headers and checksums and queues the frame; a full batch is given to the device at once. */
void reply_commit(struct frame_queue *queue, size_t size);
void reply_abandon(struct frame_queue *queue);

/* begin, copy, commit. 0; -ENOBUFS when no buffer is free; -EMSGSIZE above REPLY_PAYLOAD_MAX. */
int reply_send(struct frame_queue *queue, const struct path *path, const void *payload, size_t size);

/*
 * Gives the batch to the device: a bounded number of tries, then what is left is freed and counted. Returns how many
 * frames were not sent since the last flush. frame_receive flushes too, when it has answered something.
 */
unsigned reply_flush(struct frame_queue *queue);

#endif
