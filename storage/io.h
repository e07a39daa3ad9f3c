/*
 * The seam under storage: every byte that storage writes to or reads from a disk passes here (LMDB's own pages apart).
 *
 * The real side is io_real.c (+ io_uring for asynchronous writes and reads); the simulated side is
 * tests/storage/sim_io.c, which can fail, tear, drop and rot. Functions return 0 or a count ≥ 0, or -errno. Paths are
 * absolute or relative to the process; nobody changes directory.
 *
 * Durability: io_write_sync and completed io_submit writes are durable when they return or complete (RWF_DSYNC or an
 * fdatasync behind them). A created, renamed or unlinked name is durable only after io_dir_sync of its directory.
 */
#ifndef GANTRY_STORAGE_IO_H
#define GANTRY_STORAGE_IO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define IO_ALIGN 4096 /* offsets, sizes and buffers of direct I/O */

struct io;        /* one side of the seam; any thread */
struct io_file;   /* an open file; any thread may read, one writes */
struct io_queue;  /* asynchronous writes of one owner thread */
struct io_reader; /* asynchronous reads of one owner thread */

#define IO_READER_DEPTH_MAX 64 /* NVMe and virtio disks give all they have at this depth; more only adds waiting */

enum io_open_flags {
	IO_READ = 0,
	IO_WRITE = 1 << 0,
	IO_CREATE = 1 << 1, /* with IO_WRITE; fails with -EEXIST when the name is taken */
	IO_DIRECT =
		1 << 2, /* O_DIRECT where the file system has it, buffered + fdatasync where not: ops->direct tells */
	IO_PRIVATE = 1 << 3, /* -EPERM when group or others may read or write it */
};

struct io_completion {
	uint64_t token;
	int result; /* of a write 0, of a read the bytes read; -errno */
};

struct io_space {
	uint64_t total_bytes;
	uint64_t free_bytes; /* to this process */
};

struct io_ops {
	int (*open)(struct io *io, const char *path, int flags, struct io_file **ret_file);
	void (*close)(struct io_file *file);
	int (*size)(struct io_file *file, uint64_t *ret_size);
	int (*preallocate)(struct io_file *file,
			   uint64_t size); /* real blocks: a later overwrite cannot meet -ENOSPC */
	int64_t (*read)(struct io_file *file, uint64_t offset, void *buffer, size_t size); /* short only at the end */
	int (*write_sync)(struct io_file *file, uint64_t offset, const void *buffer,
			  size_t size); /* whole and durable */
	int (*write)(struct io_file *file, uint64_t offset, const void *buffer,
		     size_t size); /* whole, not yet durable */
	int (*sync)(struct io_file *file);
	int (*punch)(struct io_file *file); /* discard the content of the whole file; best effort, before unlink */
	int (*rename)(struct io *io, const char *from, const char *to);
	int (*unlink)(struct io *io, const char *path);
	int (*mkdir)(struct io *io, const char *path); /* 0 also when it is there already */
	int (*dir_sync)(struct io *io, const char *path);
	/* Calls `each` for every regular file's name, in no order; stops at the first non-zero, which it returns. */
	int (*list)(struct io *io, const char *path, int (*each)(void *context, const char *name), void *context);
	int (*space)(struct io *io, const char *path, struct io_space *ret_space);

	/* A queue of durable asynchronous writes, `depth` at most in flight, from buffers registered at its start. */
	int (*queue_new)(struct io *io, unsigned depth, void *buffers, size_t buffers_size,
			 struct io_queue **ret_queue);
	void (*queue_free)(struct io_queue *queue);
	/* Never blocks; -EAGAIN when `depth` are in flight. `buffer` stays untouched by the caller until completion. */
	int (*submit)(struct io_queue *queue, struct io_file *file, uint64_t offset, const void *buffer, size_t size,
		      uint64_t token);
	/* Completed writes, in any order; result 0 = whole and durable, else -errno (a short write is -EIO). Never
	 * blocks. */
	int (*reap)(struct io_queue *queue, struct io_completion *ret_completions, unsigned max);
	bool (*direct)(struct io_file *file);

	/*
	 * A queue of reads, `depth` at most in flight (1 … IO_READER_DEPTH_MAX). Of an IO_DIRECT file offset, size and
	 * buffer are multiples of IO_ALIGN. Freeing waits for what is in flight: buffers and files are the caller's
	 * until then.
	 */
	int (*reader_new)(struct io *io, unsigned depth, struct io_reader **ret_reader);
	void (*reader_free)(struct io_reader *reader);
	/* Never blocks; -EAGAIN when `depth` are in flight. Reads begin at the next reap at the latest. */
	int (*reader_submit)(struct io_reader *reader, struct io_file *file, uint64_t offset, void *buffer, size_t size,
			     uint64_t token);
	/*
	 * Finished reads, in any order; result = bytes read, short only at the end of the file, or -errno. Blocks until
	 * `wait` (at most `max`) have finished, or all that are in flight; 0: never. Returns how many.
	 */
	int (*reader_reap)(struct io_reader *reader, struct io_completion *ret_completions, unsigned max,
			   unsigned wait);
	const char *name; /* "io_uring", "pwritev2", "simulated" … for status */
};

/* Every implementation's object begins with its table. */
struct io {
	const struct io_ops *ops;
};
struct io_file {
	const struct io_ops *ops;
};
struct io_queue {
	const struct io_ops *ops;
};
struct io_reader {
	const struct io_ops *ops;
};

/* The real side. io_uring when the kernel allows it, else a helper thread with pwritev2(RWF_DSYNC). */
int io_real_new(struct io **ret_io);
/* The same without io_uring, whatever the kernel allows. */
int io_real_new_plain(struct io **ret_io);
struct io *io_real_free(struct io *io);

#endif
