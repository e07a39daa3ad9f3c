/*
 * Is this LMDB environment's file safe to open? LMDB follows page numbers, offsets and sizes without looking at them: a
 * damaged page is a crash or, worse, a quiet loss. So the file is looked at first, without LMDB.
 *
 * A file that was closed in order has a mark beside it ("clean": size and XXH3-128 of data.mdb): it must be that file
 * to the last byte. With or without a mark (a crash leaves none) every page is walked: headers, node offsets, order of
 * keys, large values; each page is used once or free once; and both meta pages must be neighbours in number, as commits
 * leave them. What the values say is for their owner to check.
 *
 * The format is LMDB 0.9's, on 64-bit little-endian, without DUPSORT. Works on the real file system: LMDB does not go
 * through storage/io.h. One thread, nobody else has the environment open.
 */
#ifndef GANTRY_STORAGE_LMDB_CHECK_H
#define GANTRY_STORAGE_LMDB_CHECK_H

#include <stdint.h>

#include "appliance/base/err.h"

enum lmdb_check_outcome {
	LMDB_ABSENT = 1, /* no data.mdb, or an empty one, and no mark: a new environment */
};

/*
 * 0, LMDB_ABSENT, or -EBADMSG with a text that says what is wrong; -errno when the file cannot be read. With
 * LMDB_ABSENT a mark beside it means that there was one: that is -EBADMSG.
 */
int lmdb_check(const char *directory, struct err *err);

/* lmdb_mark.c */

/* Before the first write: the mark goes, durably. 0 also when there is none. */
int lmdb_mark_remove(const char *directory);
/* After mdb_env_close: writes the mark, durably. A mark that cannot be written costs the next open a walk. */
int lmdb_mark_write(const char *directory);
/*
 * Is there a mark, and does it fit the file (`fd` < 0: there is none)? -EBADMSG when it does not, *ret_marked is set
 * then too.
 */
int lmdb_mark_compare(const char *directory, int fd, uint64_t size, struct err *err);

#endif
