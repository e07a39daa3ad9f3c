/* What the real side's files share: the open file, and its two kinds of queue. Nobody else includes it. */
#ifndef GANTRY_STORAGE_IO_REAL_H
#define GANTRY_STORAGE_IO_REAL_H

#include <stdbool.h>

#include "storage/io.h"

struct io_real_file {
	struct io_file file;
	int fd;
	bool direct;
};

/* Whole and durable: RWF_DSYNC, or a write and fdatasync where the file system refuses the flag. 0, -errno. */
int io_real_write_durable(int fd, uint64_t offset, const void *buffer, size_t size);

/* io_uring_queue_init with what the kernel offers. 0, -errno. */
struct io_uring;
int io_ring_init(unsigned depth, struct io_uring *ring);

/* Queue operations over io_uring; queue_new says -errno when the kernel has no ring for us. */
int io_ring_probe(void);
int io_ring_queue_new(const struct io_ops *ops, unsigned depth, void *buffers, size_t buffers_size,
		      struct io_queue **ret_queue);
void io_ring_queue_free(struct io_queue *queue);
int io_ring_queue_submit(struct io_queue *queue, struct io_file *file, uint64_t offset, const void *buffer, size_t size,
			 uint64_t token);
int io_ring_queue_reap(struct io_queue *queue, struct io_completion *ret_completions, unsigned max);

/* The same over a helper thread that writes synchronously, in order. */
int io_helper_queue_new(const struct io_ops *ops, unsigned depth, struct io_queue **ret_queue);
void io_helper_queue_free(struct io_queue *queue);
int io_helper_queue_submit(struct io_queue *queue, struct io_file *file, uint64_t offset, const void *buffer,
			   size_t size, uint64_t token);
int io_helper_queue_reap(struct io_queue *queue, struct io_completion *ret_completions, unsigned max);

/* Readers over io_uring; reader_new says -errno when the kernel has no ring for us. */
int io_ring_reader_new(const struct io_ops *ops, unsigned depth, struct io_reader **ret_reader);
void io_ring_reader_free(struct io_reader *reader);
int io_ring_reader_submit(struct io_reader *reader, struct io_file *file, uint64_t offset, void *buffer, size_t size,
			  uint64_t token);
int io_ring_reader_reap(struct io_reader *reader, struct io_completion *ret_completions, unsigned max, unsigned wait);

/* The same by plain reads, done when they are reaped. */
int io_plain_reader_new(const struct io_ops *ops, unsigned depth, struct io_reader **ret_reader);
void io_plain_reader_free(struct io_reader *reader);
int io_plain_reader_submit(struct io_reader *reader, struct io_file *file, uint64_t offset, void *buffer, size_t size,
			   uint64_t token);
int io_plain_reader_reap(struct io_reader *reader, struct io_completion *ret_completions, unsigned max, unsigned wait);

#endif
