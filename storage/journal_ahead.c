/*
 * Two pieces: the owner copies out of one while the helper fills the other. The mutex guards each piece's state and
 * `stop`; a piece's bytes belong to the helper while it is WANTED and to the owner otherwise. At most one piece is
 * WANTED at a time, so the helper reads in the order asked for.
 */
#include "storage/journal_ahead.h"

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "storage/io.h"

#define PIECE_SIZE ((size_t)2 << 20) /* a disk is at full speed, and it stays in a cache */
#define PIECES 2

enum piece_state { PIECE_EMPTY, PIECE_WANTED, PIECE_FULL };

struct piece {
	uint8_t *bytes;
	uint64_t offset;
	int64_t count; /* or -errno */
	enum piece_state state;
};

struct journal_ahead {
	struct io_file *file;
	uint64_t file_size;
	struct piece pieces[PIECES];
	unsigned current; /* the piece that is copied from; owner's */
	pthread_mutex_t mutex;
	pthread_cond_t changed;
	pthread_t thread;
	bool stop;
};

static struct piece *piece_wanted(struct journal_ahead *ahead)
{
	for (unsigned i = 0; i < PIECES; i++)
		if (ahead->pieces[i].state == PIECE_WANTED)
			return &ahead->pieces[i];
	return NULL;
}

static void *helper(void *argument)
{
	struct journal_ahead *ahead = argument;

	(void)pthread_mutex_lock(&ahead->mutex);
	while (!ahead->stop) {
		struct piece *piece = piece_wanted(ahead);

		if (piece == NULL) {
			(void)pthread_cond_wait(&ahead->changed, &ahead->mutex);
			continue;
		}
		(void)pthread_mutex_unlock(&ahead->mutex);
		piece->count = ahead->file->ops->read(ahead->file, piece->offset, piece->bytes, PIECE_SIZE);
		(void)pthread_mutex_lock(&ahead->mutex);
		piece->state = PIECE_FULL;
		(void)pthread_cond_broadcast(&ahead->changed);
	}
	(void)pthread_mutex_unlock(&ahead->mutex);
	return NULL;
}

static void pieces_free(struct journal_ahead *ahead)
{
	for (unsigned i = 0; i < PIECES; i++)
		free(ahead->pieces[i].bytes);
	free(ahead);
}

int journal_ahead_new(struct io_file *file, uint64_t file_size, struct journal_ahead **ret_ahead)
{
	struct journal_ahead *ahead = calloc(1, sizeof(*ahead));
	bool whole = ahead != NULL;

	for (unsigned i = 0; whole && i < PIECES; i++) {
		ahead->pieces[i].bytes = aligned_alloc(IO_ALIGN, PIECE_SIZE);
		whole = ahead->pieces[i].bytes != NULL;
	}
	if (!whole) {
		if (ahead != NULL)
			pieces_free(ahead);
		return -ENOMEM;
	}
	ahead->file = file;
	ahead->file_size = file_size;
	(void)pthread_mutex_init(&ahead->mutex, NULL);
	(void)pthread_cond_init(&ahead->changed, NULL);
	if (pthread_create(&ahead->thread, NULL, helper, ahead) != 0) {
		(void)pthread_cond_destroy(&ahead->changed);
		(void)pthread_mutex_destroy(&ahead->mutex);
		pieces_free(ahead);
		return -EAGAIN;
	}
	*ret_ahead = ahead;
	return 0;
}

struct journal_ahead *journal_ahead_free(struct journal_ahead *ahead)
{
	if (ahead == NULL)
		return NULL;
	(void)pthread_mutex_lock(&ahead->mutex);
	ahead->stop = true;
	(void)pthread_cond_broadcast(&ahead->changed);
	(void)pthread_mutex_unlock(&ahead->mutex);
	(void)pthread_join(ahead->thread, NULL);
	(void)pthread_cond_destroy(&ahead->changed);
	(void)pthread_mutex_destroy(&ahead->mutex);
	pieces_free(ahead);
	return NULL;
}

/* Nothing is asked for beyond the file's end. Mutex held. */
static void piece_ask(struct journal_ahead *ahead, struct piece *piece, uint64_t offset)
{
	piece->offset = offset;
	piece->state = PIECE_EMPTY;
	if (offset >= ahead->file_size)
		return;
	piece->state = PIECE_WANTED;
	(void)pthread_cond_broadcast(&ahead->changed);
}

/* Mutex held. */
static void piece_await(struct journal_ahead *ahead, const struct piece *piece)
{
	while (piece->state == PIECE_WANTED)
		(void)pthread_cond_wait(&ahead->changed, &ahead->mutex);
}

static bool piece_holds(const struct piece *piece, uint64_t offset)
{
	return piece->state != PIECE_EMPTY && offset >= piece->offset && offset < piece->offset + PIECE_SIZE;
}

/* The piece that holds `offset`, read whole; the one behind it is under way. NULL at the file's end. */
static const struct piece *piece_at(struct journal_ahead *ahead, uint64_t offset)
{
	struct piece *piece = &ahead->pieces[ahead->current];
	struct piece *other;

	if (offset >= ahead->file_size)
		return NULL;
	(void)pthread_mutex_lock(&ahead->mutex);
	if (!piece_holds(piece, offset)) {
		ahead->current = (ahead->current + 1) % PIECES;
		piece = &ahead->pieces[ahead->current];
		if (!piece_holds(piece, offset)) {
			for (unsigned i = 0; i < PIECES; i++)
				piece_await(ahead, &ahead->pieces[i]);
			piece_ask(ahead, piece, offset);
		}
		piece_await(ahead, piece);
		other = &ahead->pieces[(ahead->current + 1) % PIECES];
		piece_ask(ahead, other, piece->offset + PIECE_SIZE);
	}
	(void)pthread_mutex_unlock(&ahead->mutex);
	return piece;
}

int64_t journal_ahead_read(struct journal_ahead *ahead, uint64_t offset, void *buffer, size_t size)
{
	size_t done = 0;

	while (done < size) {
		const struct piece *piece = piece_at(ahead, offset + done);
		uint64_t skip;
		size_t part;

		if (piece == NULL)
			break;
		if (piece->count < 0)
			return piece->count;
		skip = offset + done - piece->offset;
		if (skip >= (uint64_t)piece->count)
			break;
		part = (size_t)((uint64_t)piece->count - skip);
		if (part > size - done)
			part = size - done;
		memcpy((uint8_t *)buffer + done, piece->bytes + skip, part);
		done += part;
	}
	return (int64_t)done;
}
