/* The real side of the seam, queues and readers, on the temporary directory and, where there is one, on tmpfs. */
#include "storage/io.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "appliance/base/prng.h"
#include "tests/check.h"

#define BLOCKS 64
#define DEPTH 8

static char directory_text[512];

static const char *path_of(const char *name)
{
	static char path[4][700];
	static unsigned next;
	char *at = path[next++ % 4];

	snprintf(at, 700, "%s/%s", directory_text, name);
	return at;
}

static int name_count(void *context, const char *name)
{
	(void)name;
	++*(unsigned *)context;
	return 0;
}

static int name_stop(void *context, const char *name)
{
	(void)context;
	(void)name;
	return 42;
}

static void files_check(struct io *io)
{
	struct io_file *file;
	struct io_space space;
	uint64_t size;
	char text[16] = {0};
	unsigned names = 0;

	CHECK_INT(-ENOENT, io->ops->open(io, path_of("none"), IO_READ, &file));
	CHECK_INT(0, io->ops->mkdir(io, path_of("sub")));
	CHECK_INT(0, io->ops->mkdir(io, path_of("sub")));
	CHECK_INT(0, io->ops->open(io, path_of("a"), IO_WRITE | IO_CREATE, &file));
	CHECK_INT(0, io->ops->write(file, 0, "hello", 5));
	CHECK_INT(0, io->ops->write_sync(file, 5, " world", 6));
	CHECK_INT(0, io->ops->sync(file));
	CHECK_INT(0, io->ops->size(file, &size));
	CHECK_INT(11, size);
	io->ops->close(file);
	CHECK_INT(-EEXIST, io->ops->open(io, path_of("a"), IO_WRITE | IO_CREATE, &file));
	CHECK_INT(0, io->ops->rename(io, path_of("a"), path_of("b")));
	CHECK_INT(0, io->ops->dir_sync(io, directory_text));
	CHECK_INT(0, io->ops->open(io, path_of("b"), IO_READ | IO_PRIVATE, &file));
	CHECK_INT(7, io->ops->read(file, 4, text, sizeof(text)));
	CHECK_STR("o world", text);
	CHECK_INT(0, io->ops->read(file, 100, text, sizeof(text)));
	io->ops->close(file);
	CHECK_INT(0, chmod(path_of("b"), 0640));
	CHECK_INT(-EPERM, io->ops->open(io, path_of("b"), IO_READ | IO_PRIVATE, &file));
	CHECK_INT(0, io->ops->list(io, directory_text, name_count, &names));
	CHECK_INT(1, names); /* not the directory */
	CHECK_INT(42, io->ops->list(io, directory_text, name_stop, NULL));
	CHECK_INT(0, io->ops->space(io, directory_text, &space));
	CHECK(space.total_bytes >= space.free_bytes && space.total_bytes > 0);
	CHECK_INT(0, io->ops->unlink(io, path_of("b")));
	CHECK_INT(-ENOENT, io->ops->unlink(io, path_of("b")));
	CHECK_INT(-ENOENT, io->ops->dir_sync(io, path_of("none")));
	CHECK_INT(0, rmdir(path_of("sub")));
}

/* Reaps until `want` are done; checks results and that no token comes twice. */
static void queue_reap(struct io_queue *queue, unsigned *done, unsigned want, bool *seen)
{
	const struct timespec pause = {.tv_nsec = 100000};

	for (unsigned i = 0; i < 50000 && *done < want; i++) {
		struct io_completion completions[3];
		int count = queue->ops->reap(queue, completions, 3);

		CHECK(count >= 0 && count <= 3);
		for (int j = 0; j < count; j++) {
			CHECK_INT(0, completions[j].result);
			CHECK(completions[j].token < BLOCKS && !seen[completions[j].token]);
			seen[completions[j].token] = true;
		}
		*done += (unsigned)count;
		if (count == 0)
			(void)nanosleep(&pause, NULL);
	}
	CHECK(*done >= want);
}

static void queue_check(struct io *io, bool registered)
{
	uint8_t *buffers = aligned_alloc(IO_ALIGN, BLOCKS * IO_ALIGN);
	uint8_t *again = aligned_alloc(IO_ALIGN, BLOCKS * IO_ALIGN);
	struct prng prng = {.state = check_seed()};
	bool seen[BLOCKS] = {false};
	struct io_queue *queue;
	struct io_file *file;
	unsigned done = 0;
	uint64_t size;

	CHECK(buffers != NULL && again != NULL);
	for (size_t i = 0; i < BLOCKS * IO_ALIGN; i++)
		buffers[i] = (uint8_t)prng_next(&prng);
	CHECK_INT(0, io->ops->open(io, path_of("q"), IO_WRITE | IO_CREATE | IO_DIRECT, &file));
	check_note("%s, %s", io->ops->name, io->ops->direct(file) ? "O_DIRECT" : "buffered");
	CHECK_INT(0, io->ops->preallocate(file, BLOCKS * IO_ALIGN));
	CHECK_INT(0, io->ops->size(file, &size));
	CHECK_INT(BLOCKS * IO_ALIGN, size);
	CHECK_INT(0, io->ops->queue_new(io, DEPTH, buffers, registered ? BLOCKS * IO_ALIGN : 0, &queue));
	for (unsigned i = 0; i < BLOCKS; i++) {
		int r;

		while ((r = queue->ops->submit(queue, file, (uint64_t)i * IO_ALIGN, buffers + (size_t)i * IO_ALIGN,
					       IO_ALIGN, i)) == -EAGAIN)
			queue_reap(queue, &done, done + 1, seen);
		CHECK_INT(0, r);
		CHECK(i + 1 - done <= DEPTH);
	}
	queue_reap(queue, &done, BLOCKS, seen);
	queue->ops->queue_free(queue);
	CHECK_INT(BLOCKS * IO_ALIGN, io->ops->read(file, 0, again, BLOCKS * IO_ALIGN));
	CHECK_MEM(buffers, again, BLOCKS * IO_ALIGN);
	CHECK(io->ops->punch(file) <= 0);
	io->ops->close(file);
	CHECK_INT(0, io->ops->unlink(io, path_of("q")));
	free(buffers);
	free(again);
}

/* Twice as many reads as may be in flight, each of another size and place; the last ones reach over the end. */
static void reader_check(struct io *io, int flags)
{
	enum { READS = 40, SIZE = 24 * IO_ALIGN + 777 };
	uint8_t *bytes = aligned_alloc(IO_ALIGN, 25 * IO_ALIGN);
	uint8_t *into = aligned_alloc(IO_ALIGN, READS * 8 * IO_ALIGN);
	struct prng prng = {.state = check_seed()};
	bool seen[READS] = {false};
	struct io_completion completions[5];
	struct io_reader *reader;
	struct io_file *file;
	unsigned started = 0, done = 0;

	for (size_t i = 0; i < SIZE; i++)
		bytes[i] = (uint8_t)prng_next(&prng);
	CHECK_INT(0, io->ops->open(io, path_of("r"), IO_WRITE | IO_CREATE, &file));
	CHECK_INT(0, io->ops->write_sync(file, 0, bytes, SIZE));
	io->ops->close(file);
	CHECK_INT(0, io->ops->open(io, path_of("r"), IO_READ | flags, &file));
	CHECK_INT(-EINVAL, io->ops->reader_new(io, IO_READER_DEPTH_MAX + 1, &reader));
	CHECK_INT(0, io->ops->reader_new(io, DEPTH, &reader));
	CHECK_INT(0, reader->ops->reader_reap(reader, completions, 5, 1)); /* nothing in flight: does not wait */
	while (done < READS) {
		int count = 0;

		for (; started < READS; started++) {
			size_t size = (1 + started % 8) * IO_ALIGN;
			int r = reader->ops->reader_submit(reader, file, started % 24 * IO_ALIGN,
							   into + (size_t)started * 8 * IO_ALIGN, size, started);

			if (r == -EAGAIN)
				break;
			CHECK_INT(0, r);
			CHECK(started + 1 - done <= DEPTH);
		}
		count = reader->ops->reader_reap(reader, completions, 5, done % 3);
		CHECK(count >= 0 && count <= 5);
		for (int i = 0; i < count; i++) {
			unsigned at = (unsigned)completions[i].token;
			size_t offset = at % 24 * (size_t)IO_ALIGN;
			size_t size = (1 + at % 8) * (size_t)IO_ALIGN;

			CHECK(at < READS && !seen[at]);
			seen[at] = true;
			size = offset + size <= SIZE ? size : SIZE - offset;
			CHECK_INT(size, completions[i].result);
			CHECK_MEM(bytes + offset, into + (size_t)at * 8 * IO_ALIGN, size);
		}
		done += (unsigned)count;
	}
	for (unsigned i = 0; i < DEPTH; i++) /* freed while they are in flight */
		CHECK_INT(0, reader->ops->reader_submit(reader, file, 0, into + (size_t)i * IO_ALIGN, IO_ALIGN, i));
	reader->ops->reader_free(reader);
	io->ops->close(file);
	CHECK_INT(0, io->ops->unlink(io, path_of("r")));
	free(bytes);
	free(into);
}

/* A write that cannot succeed says so in its completion. */
static void queue_failure_check(struct io *io)
{
	uint8_t *buffer = aligned_alloc(IO_ALIGN, IO_ALIGN);
	struct io_completion completion = {0};
	const struct timespec pause = {.tv_nsec = 100000};
	struct io_queue *queue;
	struct io_file *file;
	int count = 0;

	CHECK(buffer != NULL);
	memset(buffer, 1, IO_ALIGN);
	CHECK_INT(0, io->ops->open(io, path_of("f"), IO_WRITE | IO_CREATE, &file));
	io->ops->close(file);
	CHECK_INT(0, io->ops->open(io, path_of("f"), IO_READ, &file)); /* not for writing */
	CHECK_INT(0, io->ops->queue_new(io, 2, buffer, IO_ALIGN, &queue));
	CHECK_INT(0, queue->ops->submit(queue, file, 0, buffer, IO_ALIGN, 9));
	for (unsigned i = 0; i < 50000 && count == 0; i++) {
		count = queue->ops->reap(queue, &completion, 1);
		if (count == 0)
			(void)nanosleep(&pause, NULL);
	}
	CHECK_INT(1, count);
	CHECK_INT(9, completion.token);
	CHECK_INT(-EBADF, completion.result);
	queue->ops->queue_free(queue);
	io->ops->close(file);
	CHECK_INT(0, io->ops->unlink(io, path_of("f")));
	free(buffer);
}

static void all_check(struct io *io, const char *directory)
{
	snprintf(directory_text, sizeof(directory_text), "%s/io", directory);
	CHECK_INT(0, io->ops->mkdir(io, directory_text));
	files_check(io);
	queue_check(io, true);
	queue_check(io, false);
	queue_failure_check(io);
	reader_check(io, 0);
	reader_check(io, IO_DIRECT);
	CHECK_INT(0, rmdir(directory_text));
}

static void test_native(void)
{
	struct io *io;

	CHECK_INT(0, io_real_new(&io));
	all_check(io, check_directory());
	io_real_free(io);
}

static void test_plain(void)
{
	struct io *io;

	CHECK_INT(0, io_real_new_plain(&io));
	CHECK_STR("pwritev2", io->ops->name);
	all_check(io, check_directory());
	io_real_free(io);
}

static void test_tmpfs(void)
{
	char directory[] = "/dev/shm/gantry-io-XXXXXX";
	struct io *io;

	if (mkdtemp(directory) == NULL)
		CHECK_SKIP("no tmpfs at /dev/shm: %s", strerror(errno));
	CHECK_INT(0, io_real_new(&io));
	all_check(io, directory);
	io_real_free(io);
	CHECK_INT(0, io_real_new_plain(&io));
	all_check(io, directory);
	io_real_free(io);
	CHECK_INT(0, rmdir(directory));
}

int main(int argc, char **argv)
{
	static const struct check_test tests[] = {
		{"files and the native queue", test_native},
		{"files and the helper thread's queue", test_plain},
		{"tmpfs, which may have no O_DIRECT", test_tmpfs},
		{NULL, NULL},
	};

	return check_main(argc, argv, "real io", tests);
}
