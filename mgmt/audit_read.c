/* The audit log read back: entries, verification, proofs. Reads only what is committed, with a descriptor of its own.
 */
#include "mgmt/audit.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "appliance/base/bytes.h"
#include "appliance/base/err.h"
#include "mgmt/audit_private.h"

static int scan_at(struct audit *audit, uint64_t index, struct leaves_scan *scan, struct err *err)
{
	uint64_t mark = index / MARK_EVERY;
	uint64_t offset;

	(void)pthread_mutex_lock(&audit->lock);
	offset = audit->marks[mark];
	(void)pthread_mutex_unlock(&audit->lock);
	return leaves_scan_init(scan, audit->directory_fd, mark * MARK_EVERY, offset, err);
}

/* Bodies of a month are opened with its key, kept for as long as one reading of the log takes. */
struct opener {
	struct aead_key key;
	int32_t month;
	int key_result;
	char *body;
};

static int open_body(struct audit *audit, struct opener *opener, const struct leaf *leaf, struct audit_record *record)
{
	uint8_t bytes[AUDIT_KEY_SIZE];

	if (leaf->body_size == 0)
		return 0;
	if (opener->month != leaf->month) {
		(void)pthread_mutex_lock(&audit->lock);
		opener->key_result = audit->keys.month_key(audit->keys.ctx, leaf->month, false, bytes);
		(void)pthread_mutex_unlock(&audit->lock);
		if (opener->key_result == 0)
			aead_key_init(&opener->key, bytes);
		bytes_wipe(bytes, sizeof(bytes));
		opener->month = leaf->month;
	}
	if (opener->key_result == -ENOENT) {
		record->body_lost = true;
		return 0;
	}
	if (opener->key_result < 0)
		return opener->key_result;
	if (leaf_open(leaf, &opener->key, opener->body) < 0)
		return -EBADMSG;
	record->entry.body = opener->body;
	record->entry.body_size = leaf->body_size;
	return 0;
}

static void fill_record(const struct leaf *leaf, struct audit_record *ret_record)
{
	*ret_record = (struct audit_record){
		.index = leaf->index,
		.entry = {.time_us = leaf->time_us,
			  .uid = leaf->uid,
			  .account = leaf->account,
			  .verb = leaf->verb,
			  .outcome = leaf->outcome,
			  .intent = leaf->intent},
		.month = leaf->month,
		.leaf = leaf->bytes,
		.leaf_size = leaf->size,
	};
}

static int visit_range(struct audit *audit, struct leaves_scan *scan, uint64_t first, uint64_t end,
		       struct opener *opener, audit_visit *visit, void *ctx, struct err *err)
{
	while (scan->index < end) {
		struct audit_record record;
		int r = leaves_next(scan, err);

		if (r == LEAVES_END)
			r = err_set(err, -EBADMSG, LEAVES_NAME ": ends before entry %" PRIu64, scan->index);
		if (r < 0)
			return r;
		if (scan->leaf.index < first)
			continue;
		fill_record(&scan->leaf, &record);
		r = opener != NULL ? open_body(audit, opener, &scan->leaf, &record) : 0;
		if (r < 0)
			return err_set(err, r, LEAVES_NAME ": the body of entry %" PRIu64 " cannot be opened: %s",
				       scan->leaf.index, strerror(-r));
		r = visit(&record, ctx);
		if (r < 0)
			return err_set(err, r, LEAVES_NAME ": reading was ended: %s", strerror(-r));
	}
	return 0;
}

int audit_read(struct audit *audit, uint64_t first, uint64_t count, bool open, audit_visit *visit, void *ctx,
	       struct err *err)
{
	struct audit_head head;
	struct opener *opener = NULL;
	struct leaves_scan scan;
	int r;

	audit_head_get(audit, &head);
	if (first >= head.size || count == 0)
		return 0;
	if (count > head.size - first)
		count = head.size - first;
	r = scan_at(audit, first, &scan, err);
	if (r < 0)
		return r;
	if (open) {
		opener = aligned_alloc(_Alignof(struct opener), sizeof(*opener));
		if (opener != NULL) {
			memset(opener, 0, sizeof(*opener));
			opener->body = malloc(AUDIT_BODY_MAX);
		}
	}
	if (open && (opener == NULL || opener->body == NULL))
		r = err_set(err, -ENOMEM, LEAVES_NAME ": out of memory");
	else
		r = visit_range(audit, &scan, first, first + count, opener, visit, ctx, err);
	if (opener != NULL) {
		if (opener->body != NULL)
			bytes_wipe(opener->body, AUDIT_BODY_MAX);
		free(opener->body);
		aead_key_fini(&opener->key);
	}
	free(opener);
	leaves_scan_fini(&scan);
	return r;
}

static int verify_at(int directory_fd, const struct note_verifier *verifier, struct audit_head *ret_head,
		     struct err *err)
{
	struct checkpoint checkpoint;
	struct leaves_scan scan;
	struct merkle tree;
	struct audit_head head = {0};
	int r = checkpoint_read(directory_fd, verifier, &checkpoint, head.checkpoint, err);

	if (r == 0)
		r = leaves_scan_init(&scan, directory_fd, 0, LEAVES_HEAD_SIZE, err);
	if (r < 0)
		return r == -ENOENT ? -EBADMSG : r;
	r = leaves_verify(&scan, &checkpoint, &tree, err);
	leaves_scan_fini(&scan);
	if (r < 0)
		return r;
	head.size = checkpoint.size;
	memcpy(head.root, checkpoint.root, sizeof(head.root));
	*ret_head = head;
	return 0;
}

int audit_verify(struct audit *audit, struct audit_head *ret_head, struct err *err)
{
	struct audit_head before;
	struct audit_head found;
	int r;

	audit_head_get(audit, &before);
	r = verify_at(audit->directory_fd, &audit->signer.verifier, &found, err);
	if (r < 0)
		return r;
	if (found.size < before.size)
		return err_set(err, -EBADMSG,
			       CHECKPOINT_NAME ": vouches for %" PRIu64 " entries, %" PRIu64
					       " were acknowledged: it was put back",
			       found.size, before.size);
	*ret_head = found;
	return 0;
}

int audit_verify_directory(const char *directory, const char *vkey, struct audit_head *ret_head, struct err *err)
{
	struct note_verifier verifier;
	int fd;
	int r = note_init();

	if (r == 0)
		r = note_vkey_parse(vkey, &verifier, err);
	if (r < 0)
		return r;
	fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return err_set(err, -errno, "%s: %s", directory, strerror(errno));
	r = verify_at(fd, &verifier, ret_head, err);
	(void)close(fd);
	return r < 0 ? err_prefix(err, r, "%s", directory) : 0;
}

/* The hashes of the first `size` leaves; the caller frees. */
static int load_hashes(struct audit *audit, uint64_t size, merkle_hash **ret_hashes, struct err *err)
{
	merkle_hash *hashes = calloc(size > 0 ? size : 1, sizeof(*hashes));
	struct leaves_scan scan;
	int r;

	if (hashes == NULL)
		return err_set(err, -ENOMEM, "audit log: out of memory for %" PRIu64 " hashes", size);
	r = leaves_scan_init(&scan, audit->directory_fd, 0, LEAVES_HEAD_SIZE, err);
	for (uint64_t i = 0; i < size && r == 0; i++) {
		r = leaves_next(&scan, err);
		memcpy(hashes[i], scan.hash, sizeof(scan.hash));
	}
	leaves_scan_fini(&scan);
	if (r == LEAVES_END)
		r = err_set(err, -EBADMSG, LEAVES_NAME ": ends too early");
	if (r < 0)
		free(hashes);
	else
		*ret_hashes = hashes;
	return r;
}

int audit_prove_inclusion(struct audit *audit, uint64_t index, struct audit_head *ret_head, merkle_hash *ret_path,
			  unsigned *ret_count, struct err *err)
{
	struct audit_head head;
	merkle_hash *hashes;
	int r;

	audit_head_get(audit, &head);
	if (index >= head.size)
		return err_set(err, -ERANGE, "audit log: has %" PRIu64 " entries", head.size);
	r = load_hashes(audit, head.size, &hashes, err);
	if (r < 0)
		return r;
	*ret_count = merkle_inclusion(hashes, head.size, index, ret_path);
	*ret_head = head;
	free(hashes);
	return 0;
}

int audit_prove_consistency(struct audit *audit, uint64_t old_size, struct audit_head *ret_head, merkle_hash *ret_path,
			    unsigned *ret_count, struct err *err)
{
	struct audit_head head;
	merkle_hash *hashes;
	int r;

	audit_head_get(audit, &head);
	if (old_size == 0 || old_size > head.size)
		return err_set(err, -ERANGE, "audit log: has %" PRIu64 " entries", head.size);
	r = load_hashes(audit, head.size, &hashes, err);
	if (r < 0)
		return r;
	*ret_count = merkle_consistency(hashes, old_size, head.size, ret_path);
	*ret_head = head;
	free(hashes);
	return 0;
}

int audit_prove_range(struct audit *audit, const struct audit_head *head, uint64_t first, uint64_t count,
		      merkle_hash *ret_path, unsigned *ret_count, struct err *err)
{
	merkle_hash *hashes;
	int r;

	if (count == 0 || first >= head->size || count > head->size - first)
		return err_set(err, -ERANGE, "audit log: has %" PRIu64 " entries", head->size);
	r = load_hashes(audit, head->size, &hashes, err);
	if (r < 0)
		return r;
	*ret_count = merkle_range(hashes, head->size, first, count, ret_path);
	free(hashes);
	return 0;
}
