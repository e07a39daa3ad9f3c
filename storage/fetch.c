#include "storage/fetch.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#define ROOM_SMALL (FETCH_SMALL_MAX + 2 * (size_t)IO_ALIGN)
#define ROOM_LARGE (FETCH_SIZE_MAX + 2 * (size_t)IO_ALIGN)
#define SPARE_SMALL 64 /* blocks kept for the next read */
#define SPARE_LARGE 16
#define WAIT_SHARE 8 /* of what is in flight is waited for at once: a call for each one costs more than it saves */

/* A ring through its head. */
struct waiting {
	struct fetch_read head;
};

struct spare {
	size_t room;
	unsigned count;
	unsigned max;
	void *blocks[SPARE_SMALL];
};

struct fetch {
	struct io_reader *reader;
	struct waiting urgent;
	struct waiting small;
	struct waiting large;
	struct spare spare_small;
	struct spare spare_large;
	struct fetch_read *flying[IO_READER_DEPTH_MAX]; /* by token */
	uint8_t tokens[IO_READER_DEPTH_MAX];            /* free ones, the first token_count */
	unsigned token_count;
	size_t flying_bytes;
	size_t held_bytes;
	uint64_t bytes_read;
	uint64_t pages_read;
};

static void ring_init(struct waiting *waiting)
{
	waiting->head.next = waiting->head.previous = &waiting->head;
}

static void ring_add(struct waiting *waiting, struct fetch_read *read)
{
	read->next = &waiting->head;
	read->previous = waiting->head.previous;
	read->previous->next = read;
	waiting->head.previous = read;
}

static void ring_remove(struct fetch_read *read)
{
	read->previous->next = read->next;
	read->next->previous = read->previous;
	read->next = read->previous = NULL;
}

static struct fetch_read *ring_first(struct waiting *waiting)
{
	return waiting->head.next == &waiting->head ? NULL : waiting->head.next;
}

/* The whole blocks that hold the read's bytes. */
static size_t span(const struct fetch_read *read)
{
	uint64_t first = read->offset / IO_ALIGN * IO_ALIGN;
	uint64_t end = (read->offset + read->size + IO_ALIGN - 1) / IO_ALIGN * IO_ALIGN;

	return (size_t)(end - first);
}

static struct spare *spare_of(struct fetch *fetch, const struct fetch_read *read)
{
	return read->size <= FETCH_SMALL_MAX ? &fetch->spare_small : &fetch->spare_large;
}

static uint8_t *block_take(struct spare *spare)
{
	return spare->count > 0 ? spare->blocks[--spare->count] : aligned_alloc(IO_ALIGN, spare->room);
}

static void block_give_back(struct spare *spare, uint8_t *block)
{
	if (spare->count < spare->max)
		spare->blocks[spare->count++] = block;
	else
		free(block);
}

int fetch_new(struct io *io, struct fetch **ret_fetch)
{
	struct fetch *fetch = calloc(1, sizeof(*fetch));
	int r;

	if (fetch == NULL)
		return -ENOMEM;
	r = io->ops->reader_new(io, IO_READER_DEPTH_MAX, &fetch->reader);
	if (r < 0) {
		free(fetch);
		return r;
	}
	ring_init(&fetch->urgent);
	ring_init(&fetch->small);
	ring_init(&fetch->large);
	fetch->spare_small = (struct spare){.room = ROOM_SMALL, .max = SPARE_SMALL};
	fetch->spare_large = (struct spare){.room = ROOM_LARGE, .max = SPARE_LARGE};
	while (fetch->token_count < IO_READER_DEPTH_MAX) {
		fetch->tokens[fetch->token_count] = (uint8_t)fetch->token_count;
		fetch->token_count++;
	}
	*ret_fetch = fetch;
	return 0;
}

struct fetch *fetch_free(struct fetch *fetch)
{
	if (fetch == NULL)
		return NULL;
	assert(fetch->held_bytes == 0);
	fetch->reader->ops->reader_free(fetch->reader);
	while (fetch->spare_small.count > 0)
		free(fetch->spare_small.blocks[--fetch->spare_small.count]);
	while (fetch->spare_large.count > 0)
		free(fetch->spare_large.blocks[--fetch->spare_large.count]);
	free(fetch);
	return NULL;
}

static void finish(struct fetch_read *read, int result)
{
	read->state = FETCH_DONE;
	read->result = result;
	*read->signal = true;
}

/* The read is in no ring. */
static void launch(struct fetch *fetch, struct fetch_read *read)
{
	size_t size = span(read);
	uint8_t token;
	int r;

	read->block = block_take(spare_of(fetch, read));
	if (read->block == NULL) {
		finish(read, -ENOMEM);
		return;
	}
	fetch->held_bytes += spare_of(fetch, read)->room;
	token = fetch->tokens[fetch->token_count - 1];
	r = fetch->reader->ops->reader_submit(fetch->reader, read->file, read->offset / IO_ALIGN * IO_ALIGN,
					      read->block, size, token);
	if (r < 0) {
		finish(read, r);
		return;
	}
	fetch->token_count--;
	fetch->flying[token] = read;
	fetch->flying_bytes += size;
	fetch->bytes_read += size;
	read->state = FETCH_FLYING;
}

static bool may_fly(const struct fetch *fetch, const struct fetch_read *read)
{
	if (fetch->token_count == 0)
		return false;
	if (read->urgent || fetch->flying_bytes == 0)
		return read->urgent || fetch->held_bytes < FETCH_HELD_MAX;
	return fetch->flying_bytes + span(read) <= FETCH_FLYING_MAX && fetch->held_bytes < FETCH_HELD_MAX;
}

static void launch_all(struct fetch *fetch)
{
	struct waiting *rings[] = {&fetch->urgent, &fetch->small, &fetch->large};

	for (unsigned i = 0; i < 3; i++) {
		for (struct fetch_read *read; (read = ring_first(rings[i])) != NULL;) {
			if (!may_fly(fetch, read))
				return;
			ring_remove(read);
			launch(fetch, read);
		}
	}
}

void fetch_start(struct fetch *fetch, struct fetch_read *read, struct io_file *file, uint64_t offset, uint32_t size,
		 bool *signal)
{
	assert(read->state == FETCH_IDLE && size > 0 && size <= FETCH_SIZE_MAX);
	*read = (struct fetch_read){
		.file = file, .offset = offset, .size = size, .signal = signal, .state = FETCH_WAITING};
	ring_add(size <= FETCH_SMALL_MAX ? &fetch->small : &fetch->large, read);
}

void fetch_urge(struct fetch *fetch, struct fetch_read *read)
{
	if (read->state != FETCH_WAITING || read->urgent)
		return;
	ring_remove(read);
	read->urgent = true;
	ring_add(&fetch->urgent, read);
}

static void take(struct fetch *fetch, const struct io_completion *completion)
{
	struct fetch_read *read = fetch->flying[completion->token];
	size_t wanted = read->offset % IO_ALIGN + read->size;

	fetch->flying[completion->token] = NULL;
	fetch->tokens[fetch->token_count++] = (uint8_t)completion->token;
	fetch->flying_bytes -= span(read);
	if (completion->result < 0)
		finish(read, completion->result);
	else
		finish(read, (size_t)completion->result < wanted ? -EBADMSG : 0);
}

static bool reap(struct fetch *fetch, unsigned wait)
{
	struct io_completion completions[IO_READER_DEPTH_MAX];
	int count = fetch->reader->ops->reader_reap(fetch->reader, completions, IO_READER_DEPTH_MAX, wait);

	assert(count >= 0); /* a ring says otherwise only to who uses it wrongly */
	for (int i = 0; i < count; i++)
		take(fetch, &completions[i]);
	return count > 0;
}

bool fetch_poll(struct fetch *fetch)
{
	launch_all(fetch);
	return fetch->token_count < IO_READER_DEPTH_MAX && reap(fetch, 0);
}

void fetch_wait(struct fetch *fetch)
{
	unsigned flying;

	launch_all(fetch);
	flying = IO_READER_DEPTH_MAX - fetch->token_count;
	if (flying > 0)
		(void)reap(fetch, flying / WAIT_SHARE + 1);
}

void fetch_release(struct fetch *fetch, struct fetch_read *read)
{
	if (read->state == FETCH_WAITING)
		ring_remove(read);
	while (read->state == FETCH_FLYING)
		(void)reap(fetch, 1);
	if (read->block != NULL) {
		block_give_back(spare_of(fetch, read), read->block);
		fetch->held_bytes -= spare_of(fetch, read)->room;
	}
	*read = (struct fetch_read){.state = FETCH_IDLE};
}

uint64_t fetch_bytes_read(const struct fetch *fetch)
{
	return fetch->bytes_read;
}

void fetch_count_page(struct fetch *fetch)
{
	fetch->pages_read++;
}

uint64_t fetch_pages_read(const struct fetch *fetch)
{
	return fetch->pages_read;
}
