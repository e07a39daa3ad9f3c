#include "mgmt/leaves.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "appliance/base/aead.h"
#include "appliance/base/bytes.h"
#include "appliance/base/err.h"

const uint8_t leaves_head[LEAVES_HEAD_SIZE] = "gantry-audit\0\0\0\1";

void frame_finish(uint8_t *to, size_t leaf_size, merkle_hash ret_hash)
{
	le32_put(to, FRAME_MAGIC);
	le32_put(to + 4, (uint32_t)leaf_size);
	merkle_leaf(to + FRAME_HEAD_SIZE, leaf_size, ret_hash);
	memcpy(to + FRAME_HEAD_SIZE + leaf_size, ret_hash, MERKLE_HASH_SIZE);
}

static int check_head(FILE *file, struct err *err)
{
	uint8_t head[LEAVES_HEAD_SIZE];

	if (fread(head, sizeof(head), 1, file) != 1 || memcmp(head, leaves_head, sizeof(head)) != 0)
		return err_set(err, -EBADMSG, LEAVES_NAME ": its header is damaged");
	return 0;
}

int leaves_scan_init(struct leaves_scan *scan, int directory_fd, uint64_t index, uint64_t offset, struct err *err)
{
	int fd = openat(directory_fd, LEAVES_NAME, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	int r = 0;

	memset(scan, 0, sizeof(*scan));
	if (fd < 0)
		return err_set(err, -errno, LEAVES_NAME ": %s", strerror(errno));
	scan->file = fdopen(fd, "r");
	scan->bytes = malloc(LEAF_SIZE_MAX + MERKLE_HASH_SIZE);
	scan->index = index;
	scan->offset = offset;
	if (scan->file == NULL || scan->bytes == NULL)
		r = err_set(err, -ENOMEM, LEAVES_NAME ": out of memory");
	else if (offset == LEAVES_HEAD_SIZE)
		r = check_head(scan->file, err);
	else if (fseeko(scan->file, (off_t)offset, SEEK_SET) < 0)
		r = err_set(err, -errno, LEAVES_NAME ": %s", strerror(errno));
	if (scan->file == NULL)
		(void)close(fd);
	if (r < 0)
		leaves_scan_fini(scan);
	return r;
}

void leaves_scan_fini(struct leaves_scan *scan)
{
	if (scan->file != NULL)
		(void)fclose(scan->file);
	free(scan->bytes);
	memset(scan, 0, sizeof(*scan));
}

static int damaged(const struct leaves_scan *scan, const char *what, struct err *err)
{
	return err_set(err, -EBADMSG, LEAVES_NAME ": entry %" PRIu64 " at byte %" PRIu64 " %s", scan->index,
		       scan->offset, what);
}

int leaves_next(struct leaves_scan *scan, struct err *err)
{
	uint8_t head[FRAME_HEAD_SIZE];
	size_t got = fread(head, 1, sizeof(head), scan->file);
	size_t size;

	if (got == 0 && feof(scan->file))
		return LEAVES_END;
	if (got < sizeof(head))
		return damaged(scan, "is cut off", err);
	size = le32_get(head + 4);
	if (le32_get(head) != FRAME_MAGIC || size > LEAF_SIZE_MAX)
		return damaged(scan, "does not begin as an entry does", err);
	if (fread(scan->bytes, size + MERKLE_HASH_SIZE, 1, scan->file) != 1)
		return damaged(scan, "is cut off", err);
	merkle_leaf(scan->bytes, size, scan->hash);
	if (bytes_differ(scan->hash, scan->bytes + size, MERKLE_HASH_SIZE) != 0)
		return damaged(scan, "is damaged: its hash does not fit", err);
	if (leaf_decode(scan->bytes, size, &scan->leaf) < 0)
		return damaged(scan, "is not a leaf", err);
	if (scan->leaf.index != scan->index)
		return damaged(scan, "stands in another's place", err);
	scan->index++;
	scan->offset += size + FRAME_EXTRA_SIZE;
	return 0;
}

int checkpoint_read(int directory_fd, const struct note_verifier *verifier, struct checkpoint *ret_checkpoint,
		    char *ret_text, struct err *err)
{
	char text[NOTE_TEXT_MAX];
	int fd = openat(directory_fd, CHECKPOINT_NAME, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	ssize_t size;
	int r;

	if (fd < 0)
		return err_set(err, -errno, CHECKPOINT_NAME ": %s", strerror(errno));
	size = read(fd, text, sizeof(text) - 1);
	r = size < 0 ? err_set(err, -errno, CHECKPOINT_NAME ": %s", strerror(errno)) : 0;
	(void)close(fd);
	if (r < 0)
		return r;
	text[size] = '\0';
	r = checkpoint_open(text, (size_t)size, verifier, ret_checkpoint, err);
	if (r == 0)
		memcpy(ret_text, text, (size_t)size + 1);
	return r;
}

int leaves_verify(struct leaves_scan *scan, const struct checkpoint *checkpoint, struct merkle *ret_tree,
		  struct err *err)
{
	struct merkle tree = {0};
	merkle_hash root;
	int r;

	while (tree.size < checkpoint->size) {
		r = leaves_next(scan, err);
		if (r == LEAVES_END)
			return err_set(err, -EBADMSG,
				       LEAVES_NAME ": ends after %" PRIu64
						   " entries, the checkpoint vouches for %" PRIu64,
				       tree.size, checkpoint->size);
		if (r < 0)
			return r;
		merkle_append(&tree, scan->hash);
	}
	merkle_root(&tree, root);
	if (bytes_differ(root, checkpoint->root, sizeof(root)) != 0)
		return err_set(err, -EBADMSG,
			       LEAVES_NAME ": the root of its first %" PRIu64
					   " entries is not the checkpoint's: some were "
					   "exchanged",
			       checkpoint->size);
	*ret_tree = tree;
	return 0;
}
