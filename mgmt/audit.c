/*
 * The audit log: appending. Opening is in audit_open.c, reading and proofs in audit_read.c.
 *
 * Append: an entry is numbered and sealed under the lock and joins the open batch; a waiting thread that finds nobody
 * committing takes the batch and, without the lock, writes its frames, syncs them, signs a checkpoint over the new
 * tree, syncs that under another name, renames it into place and syncs the directory. Then everybody in the batch is
 * told. Meanwhile others fill the next batch.
 *
 * Failure: a write that fails, or a checkpoint that cannot be written, is taken back by cutting the file to its last
 * committed size; the batch, and the next one whose numbers followed it, fail. Where that cut or a sync fails, nobody
 * knows what the disk holds: the log is poisoned and takes nothing more until it is opened anew.
 */
#include "mgmt/audit.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "appliance/base/bytes.h"
#include "appliance/base/clock.h"
#include "mgmt/audit_private.h"

struct batch {
	uint8_t *bytes;
	size_t size;
	size_t capacity;
	merkle_hash *hashes;
	uint64_t *offsets; /* of frames, from the batch's start */
	unsigned count;
	unsigned hash_capacity;
	unsigned waiter_count;
	bool done;
	int result;
};

const char *audit_outcome_name(enum audit_outcome outcome)
{
	static const char *const names[] = {"note", "intent", "done", "failed", "refused", "cancelled"};

	return outcome < AUDIT_OUTCOME_COUNT ? names[outcome] : "?";
}

int audit_key(struct audit *audit, int32_t month, bool create)
{
	uint8_t bytes[AUDIT_KEY_SIZE];
	int r;

	if (audit->key_month == month && month != 0)
		return 0;
	r = audit->keys.month_key(audit->keys.ctx, month, create, bytes);
	if (r < 0)
		return r;
	aead_key_init(&audit->key, bytes);
	audit->key_month = month;
	bytes_wipe(bytes, sizeof(bytes));
	return 0;
}

static struct batch *batch_free(struct batch *batch)
{
	free(batch->bytes);
	free(batch->hashes);
	free(batch->offsets);
	free(batch);
	return NULL;
}

static int batch_reserve(struct batch *batch, size_t size)
{
	size_t capacity = batch->capacity > 0 ? batch->capacity : 4096;
	unsigned hash_capacity = batch->hash_capacity + 16;
	void *bytes;

	while (capacity < batch->size + size)
		capacity *= 2;
	bytes = capacity > batch->capacity ? realloc(batch->bytes, capacity) : batch->bytes;
	if (bytes == NULL)
		return -ENOMEM;
	batch->bytes = bytes;
	batch->capacity = capacity;
	if (batch->count < batch->hash_capacity)
		return 0;
	bytes = realloc(batch->hashes, hash_capacity * sizeof(*batch->hashes));
	if (bytes == NULL)
		return -ENOMEM;
	batch->hashes = bytes;
	bytes = realloc(batch->offsets, hash_capacity * sizeof(*batch->offsets));
	if (bytes == NULL)
		return -ENOMEM;
	batch->offsets = bytes;
	batch->hash_capacity = hash_capacity;
	return 0;
}

/* Lock held: numbers and seals the entry into the open batch. */
static int join(struct audit *audit, const struct audit_entry *entry, struct batch **ret_batch, uint64_t *ret_index)
{
	int64_t time_us = entry->time_us != 0 ? entry->time_us : clock_wall_us();
	struct batch *batch = audit->open;
	size_t size;
	int r = leaf_size(entry, &size);

	if (r == 0)
		r = audit->poisoned ? -EIO : audit_key(audit, leaf_month(time_us), true);
	if (r < 0)
		return r;
	if (batch == NULL)
		batch = calloc(1, sizeof(*batch));
	if (batch == NULL)
		return -ENOMEM;
	r = batch_reserve(batch, size + FRAME_EXTRA_SIZE);
	if (r < 0) {
		if (audit->open == NULL)
			(void)batch_free(batch);
		return r;
	}
	leaf_encode(entry, audit->next_index, time_us, &audit->key, batch->bytes + batch->size + FRAME_HEAD_SIZE);
	frame_finish(batch->bytes + batch->size, size, batch->hashes[batch->count]);
	batch->offsets[batch->count++] = batch->size;
	batch->size += size + FRAME_EXTRA_SIZE;
	batch->waiter_count++;
	audit->open = batch;
	*ret_batch = batch;
	*ret_index = audit->next_index++;
	return 0;
}

/* No lock, but only one at a time. */
static int write_batch(struct audit *audit, const struct batch *batch, struct merkle *tree, char *ret_text,
		       bool *ret_poison)
{
	const struct audit_files *files = &audit->files;
	int r = files->write(files->ctx, audit->leaves_fd, batch->bytes, batch->size, audit->file_size);

	if (r == 0) {
		r = files->sync(files->ctx, audit->leaves_fd);
		*ret_poison = r < 0;
	}
	for (unsigned i = 0; i < batch->count && r == 0; i++)
		merkle_append(tree, batch->hashes[i]);
	if (r == 0)
		r = audit_sign(audit, tree, ret_text, ret_poison);
	if (r < 0 && !*ret_poison)
		*ret_poison = files->truncate(files->ctx, audit->leaves_fd, audit->file_size) < 0;
	return r;
}

static void tell(struct batch *batch, int result)
{
	batch->done = true;
	batch->result = result;
}

/* Lock held. The numbers of whatever waits follow those that failed: it fails with them. */
static void fail_all(struct audit *audit, struct batch *batch, int result)
{
	tell(batch, result);
	if (audit->open != NULL)
		tell(audit->open, result);
	audit->open = NULL;
	audit->next_index = audit->head.size;
}

/* Lock held, let go meanwhile. */
static void commit(struct audit *audit)
{
	struct batch *batch = audit->open;
	struct merkle tree = audit->tree;
	char text[NOTE_TEXT_MAX];
	bool poison = false;
	int r;

	audit->open = NULL;
	audit->committing = true;
	(void)pthread_mutex_unlock(&audit->lock);
	r = write_batch(audit, batch, &tree, text, &poison);
	(void)pthread_mutex_lock(&audit->lock);
	audit->committing = false;
	for (unsigned i = 0; i < batch->count && r == 0; i++)
		if (audit_mark(audit, audit->head.size + i, audit->file_size + batch->offsets[i]) < 0)
			abort(); /* eight bytes every thousand entries, after the entry is durable: nothing could be
				    undone */
	if (r == 0) {
		audit_set_head(audit, &tree, audit->file_size + batch->size, text);
		tell(batch, 0);
	} else {
		audit->poisoned = poison;
		fail_all(audit, batch, poison ? -EIO : r);
	}
	(void)pthread_cond_broadcast(&audit->committed);
}

int audit_append(struct audit *audit, const struct audit_entry *entry, uint64_t *ret_index)
{
	struct batch *batch;
	uint64_t index;
	int r;

	(void)pthread_mutex_lock(&audit->lock);
	r = join(audit, entry, &batch, &index);
	if (r == 0) {
		while (!batch->done) {
			if (audit->committing)
				(void)pthread_cond_wait(&audit->committed, &audit->lock);
			else
				commit(audit);
		}
		r = batch->result;
		if (--batch->waiter_count == 0)
			(void)batch_free(batch);
	}
	(void)pthread_mutex_unlock(&audit->lock);
	if (r == 0)
		*ret_index = index;
	return r;
}

void audit_head_get(struct audit *audit, struct audit_head *ret_head)
{
	(void)pthread_mutex_lock(&audit->lock);
	*ret_head = audit->head;
	(void)pthread_mutex_unlock(&audit->lock);
}

const char *audit_vkey(const struct audit *audit)
{
	return audit->vkey;
}
