/*
 * The audit log: opening and closing.
 *
 * Happy path: lock the directory, read the checkpoint, recompute the root of the leaves that it vouches for, compare.
 * What follows them was never acknowledged: whole authentic entries are kept and signed, the rest is cut. A log begins
 * with the checkpoint of an empty tree, so that leaves without a checkpoint are always damage.
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
#include "appliance/base/err.h"
#include "mgmt/audit_private.h"

#define LOG_MODULE "audit"
#include "appliance/base/log.h"

static int begin(struct audit *audit, bool existing, struct err *err)
{
	struct merkle empty = {0};
	char text[NOTE_TEXT_MAX];
	bool unknown;
	int r;

	if (existing)
		return err_set(err, -ENOENT, "%s: the audit log is gone; there was one", audit->directory);
	r = audit_sign(audit, &empty, text, &unknown);
	if (r < 0)
		return err_set(err, r, "%s/" CHECKPOINT_NAME ": %s", audit->directory, strerror(-r));
	audit_set_head(audit, &empty, LEAVES_HEAD_SIZE, text);
	return 0;
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
		r = audit_mark(audit, i, scan.offset);
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
		r = audit_sign(audit, &tree, fresh, &unknown);
		text = fresh;
	}
	if (r == 0)
		r = note_marks(audit, tree.size);
	if (r < 0)
		return err_set(err, r, "%s: %s", audit->directory, strerror(-r));
	audit_set_head(audit, &tree, audit->file_size, text);
	return 0;
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
	audit->files = options->files != NULL ? *options->files : audit_real_files;
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
