/*
 * The Merkle tree of RFC 6962 section 2.1 (same in RFC 9162): SHA-256, leaves prefixed 0x00, nodes 0x01. Pure functions
 * over the caller's memory.
 */
#ifndef GANTRY_MGMT_MERKLE_H
#define GANTRY_MGMT_MERKLE_H

#include <stddef.h>
#include <stdint.h>

#define MERKLE_HASH_SIZE 32
#define MERKLE_LEVEL_MAX 64
#define MERKLE_PATH_MAX 128 /* hashes of the longest proof, a range's two edges included */

typedef uint8_t merkle_hash[MERKLE_HASH_SIZE];

void merkle_leaf(const void *bytes, size_t size, merkle_hash ret_hash);
void merkle_node(const merkle_hash left, const merkle_hash right, merkle_hash ret_hash);

/* A growing tree: the roots of its complete subtrees, one per bit of its size. {0} is the empty tree. */
struct merkle {
	uint64_t size;
	merkle_hash subtree[MERKLE_LEVEL_MAX]; /* [level] valid where bit `level` of size is set */
};
void merkle_append(struct merkle *tree, const merkle_hash leaf);
void merkle_root(const struct merkle *tree, merkle_hash ret_root);

/* MTH of `count` leaf hashes. */
void merkle_root_of(const merkle_hash *leaves, uint64_t count, merkle_hash ret_root);

/* PATH(index, D[size]): index < size. Returns the number of hashes written (at most MERKLE_LEVEL_MAX). */
unsigned merkle_inclusion(const merkle_hash *leaves, uint64_t size, uint64_t index, merkle_hash *ret_path);
/* 0, or -EBADMSG when the path does not lead from the leaf to the root. */
int merkle_inclusion_check(const merkle_hash leaf, uint64_t index, uint64_t size, const merkle_hash *path,
			   unsigned count, const merkle_hash root);

/* PROOF(old, D[size]): 0 < old <= size. */
unsigned merkle_consistency(const merkle_hash *leaves, uint64_t old_size, uint64_t size, merkle_hash *ret_path);
int merkle_consistency_check(uint64_t old_size, const merkle_hash old_root, uint64_t size, const merkle_hash root,
			     const merkle_hash *path, unsigned count);

/*
 * A range's proof: the subtrees left and right of [first, first + count), in order, so that the range's leaves and the
 * proof give the root. Ours, not the RFC's; an inclusion proof is its case count = 1 in another order.
 */
unsigned merkle_range(const merkle_hash *leaves, uint64_t size, uint64_t first, uint64_t count, merkle_hash *ret_path);
int merkle_range_check(const merkle_hash *leaves, uint64_t first, uint64_t count, uint64_t size,
		       const merkle_hash *path, unsigned path_count, const merkle_hash root);

#endif
