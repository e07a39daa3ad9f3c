/*
 * The fallback queue: one thread that writes synchronously (pwritev2 with RWF_DSYNC), in the order of submission.
 *
 * Synchronisation. `slots` is a ring of `depth`: the owner fills slot `submitted`, the thread finishes slot `finished`,
 * the owner takes it back at `reaped`; reaped ≤ finished ≤ submitted ≤ reaped + depth. A semaphore wakes the thread:
 * sem_post neither blocks nor locks, so the owner may be a worker.
 */
#include "storage/io_real.h"

#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>

#define HELPER_DEPTH_MAX 64

struct helper_slot {
	uint64_t token;
	uint64_t offset;
	const void *buffer;
	size_t size;
	int fd;
	int result;
};

struct helper_queue {
	struct io_queue queue;
	pthread_t thread;
	sem_t wake;
	_Atomic bool stopping;
	_Atomic uint32_t submitted; /* owner writes */
	_Atomic uint32_t finished;  /* thread writes */
	uint32_t reaped;            /* owner's own */
	unsigned depth;
	struct helper_slot slots[HELPER_DEPTH_MAX];
};

static struct helper_queue *helper_of(struct io_queue *queue)
{
	return (struct helper_queue *)queue;
}

static void helper_write_next(struct helper_queue *queue)
{
	uint32_t at = atomic_load_explicit(&queue->finished, memory_order_relaxed);
	struct helper_slot *slot = &queue->slots[at % HELPER_DEPTH_MAX];

	slot->result = io_real_write_durable(slot->fd, slot->offset, slot->buffer, slot->size);
	atomic_store_explicit(&queue->finished, at + 1, memory_order_release);
}

static void *helper_main(void *argument)
{
	struct helper_queue *queue = argument;

	for (;;) {
		while (sem_wait(&queue->wake) < 0)
			;
		if (atomic_load_explicit(&queue->finished, memory_order_relaxed) !=
		    atomic_load_explicit(&queue->submitted, memory_order_acquire))
			helper_write_next(queue);
		else if (atomic_load(&queue->stopping))
			return NULL;
	}
}

static int helper_thread_start(struct helper_queue *queue)
{
	sigset_t all;
	sigset_t before;
	int r;

	/* Signals are the main thread's business. */
	(void)sigfillset(&all);
	(void)pthread_sigmask(SIG_SETMASK, &all, &before);
	r = pthread_create(&queue->thread, NULL, helper_main, queue);
	(void)pthread_sigmask(SIG_SETMASK, &before, NULL);
	return -r;
}

int io_helper_queue_new(const struct io_ops *ops, unsigned depth, struct io_queue **ret_queue)
{
	struct helper_queue *queue;
	int r;

	if (depth == 0 || depth > HELPER_DEPTH_MAX)
		return -EINVAL;
	queue = calloc(1, sizeof(*queue));
	if (queue == NULL)
		return -ENOMEM;
	queue->queue.ops = ops;
	queue->depth = depth;
	if (sem_init(&queue->wake, 0, 0) < 0) {
		r = -errno;
		goto free_queue;
	}
	r = helper_thread_start(queue);
	if (r < 0)
		goto destroy_wake;
	*ret_queue = &queue->queue;
	return 0;

destroy_wake:
	(void)sem_destroy(&queue->wake);
free_queue:
	free(queue);
	return r;
}

/* What is submitted is written first: its buffers are still the caller's. */
void io_helper_queue_free(struct io_queue *io_queue)
{
	struct helper_queue *queue = helper_of(io_queue);

	if (queue == NULL)
		return;
	atomic_store(&queue->stopping, true);
	(void)sem_post(&queue->wake);
	(void)pthread_join(queue->thread, NULL);
	(void)sem_destroy(&queue->wake);
	free(queue);
}

int io_helper_queue_submit(struct io_queue *io_queue, struct io_file *file, uint64_t offset, const void *buffer,
			   size_t size, uint64_t token)
{
	struct helper_queue *queue = helper_of(io_queue);
	uint32_t at = atomic_load_explicit(&queue->submitted, memory_order_relaxed);

	if (at - queue->reaped == queue->depth)
		return -EAGAIN;
	queue->slots[at % HELPER_DEPTH_MAX] = (struct helper_slot){
		.token = token,
		.offset = offset,
		.buffer = buffer,
		.size = size,
		.fd = ((struct io_real_file *)file)->fd,
	};
	atomic_store_explicit(&queue->submitted, at + 1, memory_order_release);
	(void)sem_post(&queue->wake);
	return 0;
}

int io_helper_queue_reap(struct io_queue *io_queue, struct io_completion *ret_completions, unsigned max)
{
	struct helper_queue *queue = helper_of(io_queue);
	uint32_t finished = atomic_load_explicit(&queue->finished, memory_order_acquire);
	unsigned count = 0;

	while (queue->reaped != finished && count < max) {
		const struct helper_slot *slot = &queue->slots[queue->reaped % HELPER_DEPTH_MAX];

		ret_completions[count++] = (struct io_completion){.token = slot->token, .result = slot->result};
		queue->reaped++;
	}
	return (int)count;
}
