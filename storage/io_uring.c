/*
 * Durable writes through io_uring: WRITE_FIXED from registered buffers (plain WRITE where the memory limit forbids
 * registration) with RWF_DSYNC. No links, no SQPOLL, no fsync: for an overwrite of preallocated blocks the kernel can
 * make this one write that reaches the medium.
 *
 * One thread uses a queue at a time (the worker; journal_free's thread once the worker has stopped), which is why the
 * ring is not bound to its first submitter. Each write in flight owns a slot; slots are the bound of the queue.
 */
#include <liburing.h>

#include "storage/io_real.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/uio.h>

#define URING_DEPTH_MAX 64
#define URING_AGAIN_MAX 16 /* how often the kernel may ask us to come again with one write */

struct uring_slot {
	uint64_t token;
	uint64_t offset;
	const void *buffer;
	uint32_t size;
	int fd;
	unsigned again;
	bool busy;
};

struct uring_queue {
	struct io_queue queue;
	struct io_uring ring;
	uint8_t *buffers;
	size_t buffers_size;
	bool fixed;
	unsigned depth;
	unsigned in_flight;
	struct uring_slot slots[URING_DEPTH_MAX];
};

static struct uring_queue *uring_of(struct io_queue *queue)
{
	return (struct uring_queue *)queue;
}

/* Completions wait for our next system call instead of interrupting us; older kernels do without. */
int io_ring_init(unsigned depth, struct io_uring *ring)
{
	if (io_uring_queue_init(depth, ring, IORING_SETUP_COOP_TASKRUN | IORING_SETUP_TASKRUN_FLAG) == 0)
		return 0;
	return io_uring_queue_init(depth, ring, 0);
}

int io_ring_probe(void)
{
	struct io_uring ring;
	int r = io_ring_init(2, &ring);

	if (r == 0)
		io_uring_queue_exit(&ring);
	return r;
}

int io_ring_queue_new(const struct io_ops *ops, unsigned depth, void *buffers, size_t buffers_size,
		      struct io_queue **ret_queue)
{
	struct iovec area = {.iov_base = buffers, .iov_len = buffers_size};
	struct uring_queue *queue;
	int r;

	if (depth == 0 || depth > URING_DEPTH_MAX)
		return -EINVAL;
	queue = calloc(1, sizeof(*queue));
	if (queue == NULL)
		return -ENOMEM;
	r = io_ring_init(depth, &queue->ring);
	if (r < 0) {
		free(queue);
		return r;
	}
	queue->queue.ops = ops;
	queue->depth = depth;
	queue->buffers = buffers;
	queue->buffers_size = buffers_size;
	queue->fixed = buffers_size > 0 && io_uring_register_buffers(&queue->ring, &area, 1) == 0;
	*ret_queue = &queue->queue;
	return 0;
}

void io_ring_queue_free(struct io_queue *queue)
{
	if (queue == NULL)
		return;
	io_uring_queue_exit(&uring_of(queue)->ring);
	free(queue);
}

static bool uring_is_fixed(const struct uring_queue *queue, const struct uring_slot *slot)
{
	const uint8_t *at = slot->buffer;

	return queue->fixed && at >= queue->buffers && slot->size <= queue->buffers_size &&
	       (size_t)(at - queue->buffers) <= queue->buffers_size - slot->size;
}

static int uring_start(struct uring_queue *queue, struct uring_slot *slot)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(&queue->ring);

	if (sqe == NULL)
		return -EAGAIN;
	if (uring_is_fixed(queue, slot))
		io_uring_prep_write_fixed(sqe, slot->fd, slot->buffer, slot->size, slot->offset, 0);
	else
		io_uring_prep_write(sqe, slot->fd, slot->buffer, slot->size, slot->offset);
	sqe->rw_flags = RWF_DSYNC;
	io_uring_sqe_set_data64(sqe, (uint64_t)(slot - queue->slots));
	/* An entry that the kernel did not take yet stays in the ring; the next reap hands it over again. */
	(void)io_uring_submit(&queue->ring);
	return 0;
}

int io_ring_queue_submit(struct io_queue *io_queue, struct io_file *file, uint64_t offset, const void *buffer,
			 size_t size, uint64_t token)
{
	struct uring_queue *queue = uring_of(io_queue);
	struct uring_slot *slot = queue->slots;
	int r;

	if (queue->in_flight == queue->depth)
		return -EAGAIN;
	while (slot->busy)
		slot++;
	*slot = (struct uring_slot){
		.token = token,
		.offset = offset,
		.buffer = buffer,
		.size = (uint32_t)size,
		.fd = ((struct io_real_file *)file)->fd,
		.busy = true,
	};
	r = uring_start(queue, slot);
	if (r < 0) {
		slot->busy = false;
		return r;
	}
	queue->in_flight++;
	return 0;
}

/* True when the write is over and `ret_completion` filled; false when it was started anew. */
static bool uring_finish(struct uring_queue *queue, struct uring_slot *slot, int result,
			 struct io_completion *ret_completion)
{
	if ((result == -EAGAIN || result == -EINTR) && slot->again++ < URING_AGAIN_MAX && uring_start(queue, slot) == 0)
		return false; /* nothing was written: the same bytes may go again */
	if (result >= 0)
		result = (uint32_t)result == slot->size ? 0 : -EIO;
	*ret_completion = (struct io_completion){.token = slot->token, .result = result};
	slot->busy = false;
	queue->in_flight--;
	return true;
}

int io_ring_queue_reap(struct io_queue *io_queue, struct io_completion *ret_completions, unsigned max)
{
	struct uring_queue *queue = uring_of(io_queue);
	struct io_uring_cqe *cqes[URING_DEPTH_MAX];
	unsigned found;
	unsigned done = 0;

	if (queue->in_flight == 0)
		return 0;
	if (io_uring_sq_ready(&queue->ring) > 0)
		(void)io_uring_submit(&queue->ring);
	found = io_uring_peek_batch_cqe(&queue->ring, cqes, max < URING_DEPTH_MAX ? max : URING_DEPTH_MAX);
	for (unsigned i = 0; i < found; i++) {
		struct uring_slot *slot = &queue->slots[io_uring_cqe_get_data64(cqes[i])];

		if (uring_finish(queue, slot, cqes[i]->res, &ret_completions[done]))
			done++;
	}
	io_uring_cq_advance(&queue->ring, found);
	return (int)done;
}
