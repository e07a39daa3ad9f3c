#include "mgmt/merkle.h"

#include <assert.h>
#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include "appliance/base/bytes.h"
#include "appliance/base/digest.h"

static_assert(MERKLE_HASH_SIZE == SHA256_SIZE, "the tree's hash is SHA-256");

void merkle_leaf(const void *bytes, size_t size, merkle_hash ret_hash)
{
	const struct slice parts[] = {{"\x00", 1}, {bytes, size}};

	sha256_parts(parts, 2, ret_hash);
}

void merkle_node(const merkle_hash left, const merkle_hash right, merkle_hash ret_hash)
{
	uint8_t bytes[1 + 2 * MERKLE_HASH_SIZE];

	bytes[0] = 0x01;
	memcpy(bytes + 1, left, MERKLE_HASH_SIZE);
	memcpy(bytes + 1 + MERKLE_HASH_SIZE, right, MERKLE_HASH_SIZE);
	sha256(bytes, sizeof(bytes), ret_hash);
}

/* Like adding one to a binary counter: every carry joins two subtrees of equal size. */
void merkle_append(struct merkle *tree, const merkle_hash leaf)
{
	merkle_hash hash;
	unsigned level = 0;

	memcpy(hash, leaf, sizeof(hash));
	for (; (tree->size >> level & 1) != 0; level++)
		merkle_node(tree->subtree[level], hash, hash);
	memcpy(tree->subtree[level], hash, sizeof(hash));
	tree->size++;
}

void merkle_root(const struct merkle *tree, merkle_hash ret_root)
{
	merkle_hash hash;
	bool begun = false;

	sha256("", 0, hash);
	for (unsigned level = 0; level < MERKLE_LEVEL_MAX; level++) {
		if ((tree->size >> level & 1) == 0)
			continue;
		if (begun)
			merkle_node(tree->subtree[level], hash, hash);
		else
			memcpy(hash, tree->subtree[level], sizeof(hash));
		begun = true;
	}
	memcpy(ret_root, hash, sizeof(hash));
}

void merkle_root_of(const merkle_hash *leaves, uint64_t count, merkle_hash ret_root)
{
	struct merkle tree = {0};

	for (uint64_t i = 0; i < count; i++)
		merkle_append(&tree, leaves[i]);
	merkle_root(&tree, ret_root);
}

/* The largest power of two below n; n > 1. RFC 6962's k. */
static uint64_t split(uint64_t n)
{
	uint64_t k = 1;

	while (k * 2 < n)
		k *= 2;
	return k;
}

unsigned merkle_inclusion(const merkle_hash *leaves, uint64_t size, uint64_t index, merkle_hash *ret_path)
{
	uint64_t k;
	unsigned count;

	assert(index < size);
	if (size == 1)
		return 0;
	k = split(size);
	if (index < k) {
		count = merkle_inclusion(leaves, k, index, ret_path);
		merkle_root_of(leaves + k, size - k, ret_path[count]);
	} else {
		count = merkle_inclusion(leaves + k, size - k, index - k, ret_path);
		merkle_root_of(leaves, k, ret_path[count]);
	}
	return count + 1;
}

/* RFC 9162 section 2.1.3.2. */
int merkle_inclusion_check(const merkle_hash leaf, uint64_t index, uint64_t size, const merkle_hash *path,
			   unsigned count, const merkle_hash root)
{
	uint64_t node = index;
	uint64_t last = size - 1;
	merkle_hash hash;

	if (index >= size)
		return -EBADMSG;
	memcpy(hash, leaf, sizeof(hash));
	for (unsigned i = 0; i < count; i++) {
		if (last == 0)
			return -EBADMSG;
		if ((node & 1) != 0 || node == last) {
			merkle_node(path[i], hash, hash);
			while ((node & 1) == 0 && node != 0) {
				node >>= 1;
				last >>= 1;
			}
		} else {
			merkle_node(hash, path[i], hash);
		}
		node >>= 1;
		last >>= 1;
	}
	return last == 0 && bytes_differ(hash, root, sizeof(hash)) == 0 ? 0 : -EBADMSG;
}

/* SUBPROOF(old, D[size], whole) of RFC 6962 section 2.1.2. */
static unsigned subproof(const merkle_hash *leaves, uint64_t old_size, uint64_t size, bool whole, merkle_hash *ret_path)
{
	uint64_t k;
	unsigned count;

	if (old_size == size) {
		if (whole)
			return 0;
		merkle_root_of(leaves, size, ret_path[0]);
		return 1;
	}
	k = split(size);
	if (old_size <= k) {
		count = subproof(leaves, old_size, k, whole, ret_path);
		merkle_root_of(leaves + k, size - k, ret_path[count]);
	} else {
		count = subproof(leaves + k, old_size - k, size - k, false, ret_path);
		merkle_root_of(leaves, k, ret_path[count]);
	}
	return count + 1;
}

unsigned merkle_consistency(const merkle_hash *leaves, uint64_t old_size, uint64_t size, merkle_hash *ret_path)
{
	assert(old_size > 0);
	assert(old_size <= size);
	return subproof(leaves, old_size, size, true, ret_path);
}

/* RFC 9162 section 2.1.4.2, steps 4 to 6. */
static int consistency_walk(uint64_t node, uint64_t last, const merkle_hash *path, unsigned count, merkle_hash old_hash,
			    merkle_hash new_hash)
{
	for (unsigned i = 0; i < count; i++) {
		if (last == 0)
			return -EBADMSG;
		if ((node & 1) != 0 || node == last) {
			merkle_node(path[i], old_hash, old_hash);
			merkle_node(path[i], new_hash, new_hash);
			while ((node & 1) == 0 && node != 0) {
				node >>= 1;
				last >>= 1;
			}
		} else {
			merkle_node(new_hash, path[i], new_hash);
		}
		node >>= 1;
		last >>= 1;
	}
	return last == 0 ? 0 : -EBADMSG;
}

int merkle_consistency_check(uint64_t old_size, const merkle_hash old_root, uint64_t size, const merkle_hash root,
			     const merkle_hash *path, unsigned count)
{
	uint64_t node = old_size - 1;
	uint64_t last = size - 1;
	merkle_hash old_hash;
	merkle_hash new_hash;
	unsigned used = 0;

	if (old_size == 0 || old_size > size)
		return -EBADMSG;
	if (old_size == size)
		return count == 0 && bytes_differ(old_root, root, MERKLE_HASH_SIZE) == 0 ? 0 : -EBADMSG;
	if (count == 0)
		return -EBADMSG;
	while ((node & 1) != 0) {
		node >>= 1;
		last >>= 1;
	}
	/* A complete old tree is its own first hash, and is not in the proof. */
	memcpy(old_hash, (old_size & (old_size - 1)) == 0 ? old_root : path[used++], sizeof(old_hash));
	memcpy(new_hash, old_hash, sizeof(new_hash));
	if (consistency_walk(node, last, path + used, count - used, old_hash, new_hash) < 0)
		return -EBADMSG;
	return bytes_differ(old_hash, old_root, sizeof(old_hash)) == 0 &&
			       bytes_differ(new_hash, root, sizeof(new_hash)) == 0
		       ? 0
		       : -EBADMSG;
}

/* The subtrees of [at, at + size) that lie outside [first, end), left to right. */
static unsigned range_of(const merkle_hash *leaves, uint64_t at, uint64_t size, uint64_t first, uint64_t end,
			 merkle_hash *ret_path)
{
	uint64_t k;
	unsigned count;

	if (first <= at && at + size <= end)
		return 0;
	if (at + size <= first || end <= at) {
		merkle_root_of(leaves + at, size, ret_path[0]);
		return 1;
	}
	k = split(size);
	count = range_of(leaves, at, k, first, end, ret_path);
	return count + range_of(leaves, at + k, size - k, first, end, ret_path + count);
}

unsigned merkle_range(const merkle_hash *leaves, uint64_t size, uint64_t first, uint64_t count, merkle_hash *ret_path)
{
	assert(count > 0);
	assert(first < size);
	assert(count <= size - first);
	return range_of(leaves, 0, size, first, first + count, ret_path);
}

struct range_walk {
	const merkle_hash *leaves; /* of [first, end) */
	uint64_t first;
	uint64_t end;
	const merkle_hash *path;
	unsigned left;
};

static int range_root(struct range_walk *walk, uint64_t at, uint64_t size, merkle_hash ret_root)
{
	uint64_t k;
	merkle_hash left;
	merkle_hash right;

	if (walk->first <= at && at + size <= walk->end) {
		merkle_root_of(walk->leaves + (at - walk->first), size, ret_root);
		return 0;
	}
	if (at + size <= walk->first || walk->end <= at) {
		if (walk->left == 0)
			return -EBADMSG;
		memcpy(ret_root, walk->path[0], MERKLE_HASH_SIZE);
		walk->path++;
		walk->left--;
		return 0;
	}
	k = split(size);
	if (range_root(walk, at, k, left) < 0 || range_root(walk, at + k, size - k, right) < 0)
		return -EBADMSG;
	merkle_node(left, right, ret_root);
	return 0;
}

int merkle_range_check(const merkle_hash *leaves, uint64_t first, uint64_t count, uint64_t size,
		       const merkle_hash *path, unsigned path_count, const merkle_hash root)
{
	struct range_walk walk = {leaves, first, first + count, path, path_count};
	merkle_hash hash;

	/* Above 2^62 the recursion's sums could wrap; no log is so long. */
	if (count == 0 || size > UINT64_C(1) << 62 || first >= size || count > size - first)
		return -EBADMSG;
	if (range_root(&walk, 0, size, hash) < 0 || walk.left > 0)
		return -EBADMSG;
	return bytes_differ(hash, root, sizeof(hash)) == 0 ? 0 : -EBADMSG;
}
