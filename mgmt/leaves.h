/*
 * The file of leaves: a 16-byte header, then frames: magic, leaf size, leaf, leaf hash. Reading it, checked, in order.
 * A scan has one owner and its own descriptor; it may run while another thread appends beyond what it reads.
 */
#ifndef GANTRY_MGMT_LEAVES_H
#define GANTRY_MGMT_LEAVES_H

#include <stdint.h>
#include <stdio.h>

#include "mgmt/leaf.h"
#include "mgmt/merkle.h"
#include "mgmt/note.h"

#define LEAVES_NAME "leaves"
#define CHECKPOINT_NAME "checkpoint"
#define CHECKPOINT_NEW_NAME "checkpoint.new"

#define LEAVES_HEAD_SIZE 16
#define FRAME_HEAD_SIZE 8
#define FRAME_MAGIC UINT32_C(0x31464c47) /* "GLF1" */
#define FRAME_EXTRA_SIZE (FRAME_HEAD_SIZE + MERKLE_HASH_SIZE)

extern const uint8_t leaves_head[LEAVES_HEAD_SIZE];

/* `to` takes leaf size + FRAME_EXTRA_SIZE bytes, the leaf already at to + FRAME_HEAD_SIZE. */
void frame_finish(uint8_t *to, size_t leaf_size, merkle_hash ret_hash);

enum leaves_outcome { LEAVES_END = 1 }; /* nothing follows: the file ends with the last leaf */

struct leaves_scan {
	FILE *file;
	uint64_t index;  /* of the next leaf */
	uint64_t offset; /* of its frame */
	uint8_t *bytes;
	struct leaf leaf; /* after leaves_next: borrowed until the next call */
	merkle_hash hash;
};

/* At the frame of leaf `index`, which stands at `offset` (0, LEAVES_HEAD_SIZE: from the start, the header checked). */
int leaves_scan_init(struct leaves_scan *scan, int directory_fd, uint64_t index, uint64_t offset, struct err *err);
void leaves_scan_fini(struct leaves_scan *scan);

/* 0 and a checked leaf, LEAVES_END, or -EBADMSG naming the entry; then index and offset still name it. */
int leaves_next(struct leaves_scan *scan, struct err *err);

/* The checkpoint file, its signature checked; ret_text takes NOTE_TEXT_MAX. -ENOENT when there is no file. */
int checkpoint_read(int directory_fd, const struct note_verifier *verifier, struct checkpoint *ret_checkpoint,
		    char *ret_text, struct err *err);

/* Reads `checkpoint->size` leaves from the start and compares the root. */
int leaves_verify(struct leaves_scan *scan, const struct checkpoint *checkpoint, struct merkle *ret_tree,
		  struct err *err);

#endif
