/*
 * The audit log: opening, appending, closing. Reading and proofs are in audit_read.c.
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

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "appliance/base/bytes.h"
#include "appliance/base/clock.h"
#include "appliance/base/err.h"
#include "mgmt/audit_private.h"

#define LOG_MODULE "audit"
#include "appliance/base/log.h"

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

static int real_write(void *ctx, int fd, const void *bytes, size_t size, uint64_t offset)
{
	(void)ctx;
	while (size > 0) {
		ssize_t wrote = pwrite(fd, bytes, size, (off_t)offset);

		if (wrote < 0 && errno == EINTR)
			continue;
		if (wrote <= 0)
			return wrote < 0 ? -errno : -EIO;
		bytes = (const uint8_t *)bytes + wrote;
		size -= (size_t)wrote;
		offset += (uint64_t)wrote;
	}
	return 0;
}

static int real_sync(void *ctx, int fd)
{
	(void)ctx;
	return fsync(fd) < 0 ? -errno : 0;
}

static int real_rename(void *ctx, const char *from, const char *to)
{
	(void)ctx;
	return rename(from, to) < 0 ? -errno : 0;
}

static int real_truncate(void *ctx, int fd, uint64_t size)
{
	(void)ctx;
	return ftruncate(fd, (off_t)size) < 0 ? -errno : 0;
}

static const struct audit_files real_files = {NULL, real_write, real_sync, real_rename, real_truncate};

static void path_of(const struct audit *audit, const char *name, char *to)
{
	(void)snprintf(to, PATH_SIZE, "%s/%s", audit->directory, name);
}

static int write_file(const struct audit_files *files, int fd, const char *text)
{
	int r = files->write(files->ctx, fd, text, strlen(text), 0);

	return r == 0 ? files->sync(files->ctx, fd) : r;
}

/* ret_unknown: the file may or may not stand in the directory after a power cut. */
static int write_checkpoint(struct audit *audit, const char *text, bool *ret_unknown)
{
	const struct audit_files *files = &audit->files;
	char from[PATH_SIZE];
	char to[PATH_SIZE];
	int fd = openat(audit->directory_fd, CHECKPOINT_NEW_NAME, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW,
			0600);
	int r;

	if (fd < 0)
		return -errno;
	path_of(audit, CHECKPOINT_NEW_NAME, from);
	path_of(audit, CHECKPOINT_NAME, to);
	r = write_file(files, fd, text);
	(void)close(fd);
	if (r == 0)
		r = files->rename(files->ctx, from, to);
	if (r < 0) {
		(void)unlinkat(audit->directory_fd, CHECKPOINT_NEW_NAME, 0);
		return r;
	}
	r = files->sync(files->ctx, audit->directory_fd);
	*ret_unknown = r < 0;
	return r;
}

static int grow_marks(struct audit *audit, uint64_t index, uint64_t offset)
{
	uint64_t *marks;

	if (index % MARK_EVERY != 0)
		return 0;
	marks = realloc(audit->marks, (index / MARK_EVERY + 1) * sizeof(*marks));
	if (marks == NULL)
		return -ENOMEM;
	marks[index / MARK_EVERY] = offset;
	audit->marks = marks;
	return 0;
}

/* The committed state becomes this one. */
static int set_head(struct audit *audit, const struct merkle *tree, uint64_t file_size, const char *text)
{
	audit->tree = *tree;
	audit->file_size = file_size;
	audit->head.size = tree->size;
	merkle_root(tree, audit->head.root);
	(void)snprintf(audit->head.checkpoint, sizeof(audit->head.checkpoint), "%s", text);
	return 0;
}

static int sign_and_write(struct audit *audit, const struct merkle *tree, char *ret_text, bool *ret_unknown)
{
	merkle_hash root;

	merkle_root(tree, root);
	checkpoint_sign(&audit->signer, tree->size, root, ret_text);
	return write_checkpoint(audit, ret_text, ret_unknown);
}

static int begin(struct audit *audit, bool existing, struct err *err)
{
	struct merkle empty = {0};
	char text[NOTE_TEXT_MAX];
	bool unknown;
	int r;

	if (existing)
		return err_set(err, -ENOENT, "%s: the audit log is gone; there was one", audit->directory);
	r = sign_and_write(audit, &empty, text, &unknown);
	if (r < 0)
		return err_set(err, r, "%s/" CHECKPOINT_NAME ": %s", audit->directory, strerror(-r));
	return set_head(audit, &empty, LEAVES_HEAD_SIZE, text);
}

/* The leaves file of a log whose checkpoint vouches for nothing yet. */
static int begin_leaves(struct audit *audit, struct err *err)
{
	const struct audit_files *files = &audit->files;
	int r = files->truncate(files->ctx, audit->leaves_fd, 0);

	if (r == 0)
		r = files->write(files->ctx, audit->leaves_fd, leaves_head, LEAVES_HEAD_SIZE, 0);
	if (r == 0)
		r = files->sync(files->ctx, audit->leaves_fd);
	if (r == 0)
		r = files->sync(files->ctx, audit->directory_fd);
	return r < 0 ? err_set(err, r, "%s/" LEAVES_NAME ": %s", audit->directory, strerror(-r)) : 0;
}

static int open_directory(struct audit *audit, struct err *err)
{
	if (mkdir(audit->directory, 0700) < 0 && errno != EEXIST)
		return err_set(err, -errno, "%s: %s", audit->directory, strerror(errno));
	audit->directory_fd = open(audit->directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (audit->directory_fd < 0)
		return err_set(err, -errno, "%s: %s", audit->directory, strerror(errno));
	if (flock(audit->directory_fd, LOCK_EX | LOCK_NB) < 0)
		return err_set(err, errno == EWOULDBLOCK ? -EBUSY : -errno,
			       "%s: another process has this audit log open", audit->directory);
	return 0;
}

static int open_leaves(struct audit *audit, const struct checkpoint *checkpoint, struct err *err)
{
	struct stat stat;
	int flags = O_RDWR | O_CLOEXEC | O_NOFOLLOW | (checkpoint->size == 0 ? O_CREAT : 0);

	audit->leaves_fd = openat(audit->directory_fd, LEAVES_NAME, flags, 0600);
	if (audit->leaves_fd < 0 && errno == ENOENT)
		return err_set(err, -EBADMSG,
			       "%s/" LEAVES_NAME ": is gone, the checkpoint vouches for %" PRIu64 " entries",
			       audit->directory, checkpoint->size);
	if (audit->leaves_fd < 0 || fstat(audit->leaves_fd, &stat) < 0)
		return err_set(err, -errno, "%s/" LEAVES_NAME ": %s", audit->directory, strerror(errno));
	return checkpoint->size == 0 && stat.st_size < LEAVES_HEAD_SIZE ? begin_leaves(audit, err) : 0;
}

static int note_marks(struct audit *audit, uint64_t size)
{
	struct leaves_scan scan;
	int r = leaves_scan_init(&scan, audit->directory_fd, 0, LEAVES_HEAD_SIZE, NULL);

	for (uint64_t i = 0; i < size && r == 0; i++) {
		r = grow_marks(audit, i, scan.offset);
		if (r == 0)
			r = leaves_next(&scan, NULL);
	}
	leaves_scan_fini(&scan);
	return r;
}

static bool is_authentic(struct audit *audit, const struct leaf *leaf)
{
	uint8_t *body = malloc(leaf->body_size + 1);
	bool authentic =
		body != NULL && audit_key(audit, leaf->month, false) == 0 && leaf_open(leaf, &audit->key, body) == 0;

	if (body != NULL)
		bytes_wipe(body, leaf->body_size);
	free(body);
	return authentic;
}

/*
 * What follows the checkpoint's entries was never acknowledged. Whole authentic entries stay, for they say what was
 * being asked when the power went; the rest is cut.
 */
static int settle_tail(struct audit *audit, struct leaves_scan *scan, struct merkle *tree, struct err *err)
{
	uint64_t end = scan->offset;
	int r;

	while ((r = leaves_next(scan, NULL)) == 0 && is_authentic(audit, &scan->leaf)) {
		merkle_append(tree, scan->hash);
		end = scan->offset;
	}
	if (r != LEAVES_END) {
		log_warn("%s: an entry that was never acknowledged is incomplete at byte %" PRIu64 ", cut",
			 audit->directory, end);
		r = audit->files.truncate(audit->files.ctx, audit->leaves_fd, end);
		if (r == 0)
			r = audit->files.sync(audit->files.ctx, audit->leaves_fd);
		if (r < 0)
			return err_set(err, r, "%s/" LEAVES_NAME ": %s", audit->directory, strerror(-r));
	}
	audit->file_size = end;
	return 0;
}

static int recover(struct audit *audit, const struct checkpoint *checkpoint, const char *text, struct err *err)
{
	struct leaves_scan scan;
	struct merkle tree;
	char fresh[NOTE_TEXT_MAX];
	bool unknown;
	int r = leaves_scan_init(&scan, audit->directory_fd, 0, LEAVES_HEAD_SIZE, err);

	if (r < 0)
		return err_prefix(err, r, "%s", audit->directory);
	r = leaves_verify(&scan, checkpoint, &tree, err);
	if (r == 0)
		r = settle_tail(audit, &scan, &tree, err);
	leaves_scan_fini(&scan);
	if (r < 0)
		return err_prefix(err, r, "%s", audit->directory);
	if (tree.size > checkpoint->size) {
		r = sign_and_write(audit, &tree, fresh, &unknown);
		text = fresh;
	}
	if (r == 0)
		r = note_marks(audit, tree.size);
	if (r < 0)
		return err_set(err, r, "%s: %s", audit->directory, strerror(-r));
	return set_head(audit, &tree, audit->file_size, text);
}

static int load(struct audit *audit, bool existing, struct err *err)
{
	struct checkpoint checkpoint = {0};
	char text[NOTE_TEXT_MAX];
	int r = checkpoint_read(audit->directory_fd, &audit->signer.verifier, &checkpoint, text, err);

	if (r == -ENOENT && faccessat(audit->directory_fd, LEAVES_NAME, F_OK, 0) == 0)
		return err_set(err, -EBADMSG, "%s/" CHECKPOINT_NAME ": is gone, though there are leaves",
			       audit->directory);
	if (r == -ENOENT) {
		r = begin(audit, existing, err);
		if (r == 0)
			r = open_leaves(audit, &checkpoint, err);
		return r;
	}
	if (r < 0)
		return err_prefix(err, r, "%s", audit->directory);
	r = open_leaves(audit, &checkpoint, err);
	return r == 0 ? recover(audit, &checkpoint, text, err) : r;
}

static int take_signer(struct audit *audit, const struct audit_options *options, struct err *err)
{
	uint8_t seed[NOTE_SEED_SIZE];
	int r = note_init();

	if (r == 0)
		r = options->keys.signing_seed(options->keys.ctx, seed);
	if (r < 0)
		return err_set(err, r, "audit log: its signing key cannot be had: %s", strerror(-r));
	r = note_signer_init(&audit->signer, options->origin, seed);
	bytes_wipe(seed, sizeof(seed));
	if (r < 0)
		return err_set(err, r, "audit log: \"%s\" cannot be its origin: no spaces, no plus sign",
			       options->origin);
	note_vkey(&audit->signer.verifier, audit->vkey);
	return 0;
}

int audit_open(const struct audit_options *options, struct audit **ret_audit, struct err *err)
{
	struct audit *audit;
	int r;

	if (strlen(options->directory) + sizeof(CHECKPOINT_NEW_NAME) + 32 > PATH_SIZE)
		return err_set(err, -ENAMETOOLONG, "%s: too long", options->directory);
	audit = aligned_alloc(_Alignof(struct audit), sizeof(*audit));
	if (audit == NULL)
		return err_set(err, -ENOMEM, "audit log: out of memory");
	memset(audit, 0, sizeof(*audit));
	audit->directory_fd = audit->leaves_fd = -1;
	audit->keys = options->keys;
	audit->files = options->files != NULL ? *options->files : real_files;
	(void)snprintf(audit->directory, sizeof(audit->directory), "%s", options->directory);
	(void)pthread_mutex_init(&audit->lock, NULL);
	(void)pthread_cond_init(&audit->committed, NULL);
	r = take_signer(audit, options, err);
	if (r == 0)
		r = open_directory(audit, err);
	if (r == 0)
		r = load(audit, options->existing, err);
	if (r < 0) {
		(void)audit_close(audit);
		return r;
	}
	audit->next_index = audit->head.size;
	*ret_audit = audit;
	return 0;
}

struct audit *audit_close(struct audit *audit)
{
	if (audit == NULL)
		return NULL;
	assert(audit->open == NULL);
	if (audit->leaves_fd >= 0)
		(void)close(audit->leaves_fd);
	if (audit->directory_fd >= 0)
		(void)close(audit->directory_fd);
	note_signer_fini(&audit->signer);
	aead_key_fini(&audit->key);
	free(audit->marks);
	(void)pthread_cond_destroy(&audit->committed);
	(void)pthread_mutex_destroy(&audit->lock);
	free(audit);
	return NULL;
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
		r = sign_and_write(audit, tree, ret_text, ret_poison);
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
		if (grow_marks(audit, audit->head.size + i, audit->file_size + batch->offsets[i]) < 0)
			abort(); /* eight bytes every thousand entries, after the entry is durable: nothing could be
				    undone */
	if (r == 0) {
		(void)set_head(audit, &tree, audit->file_size + batch->size, text);
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
