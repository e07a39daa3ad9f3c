/*
 * The lanes' copy: what the catalog knows and no segment can tell (lanes as of the sealed journals, which journals are
 * sealed and not yet destroyed, totals), in two files outside LMDB. Written before a sealed journal's key is destroyed,
 * so that a lost catalog costs no window: at any moment a valid copy, together with the journals that still have their
 * keys, holds everything that was ever durable.
 *
 * `lanes.a` is overwritten in place, then `lanes.b`: whatever a crash tears, the other is whole, and nothing is
 * destroyed before both are. Each is sealed under KEY_LANES to its last byte. Under the sealer's mutex.
 */
#ifndef GANTRY_STORAGE_LANES_COPY_H
#define GANTRY_STORAGE_LANES_COPY_H

#include <stddef.h>
#include <stdint.h>

#include "appliance/base/err.h"
#include "storage/catalog.h"

struct io;
struct keyring;

#define LANES_COPIES 2

/* A copy's content. */
struct lanes_content {
	uint64_t generation;
	struct catalog_totals totals;
	uint64_t *journals; /* sealed, their keys may still be there */
	size_t journal_count;
	struct catalog_lane *lanes;
	size_t lane_count;
	uint8_t *bytes; /* that the lanes point into */
};
void lanes_content_fini(struct lanes_content *content);

/* Both copies from the catalog's present state, durable on return. `directory` is the data directory. */
int lanes_copy_write(struct io *io, struct keyring *keyring, const char *directory, struct catalog *catalog);

/*
 * One copy (0: a, 1: b). -ENOENT none, -EBADMSG damaged, -ENOKEY: the keyring has no key for it.
 */
int lanes_copy_read_one(struct io *io, struct keyring *keyring, const char *directory, unsigned copy,
			struct lanes_content *ret_content);
/* The newest that opens. -ENOENT when neither file is there, -EBADMSG when none opens. */
int lanes_copy_read(struct io *io, struct keyring *keyring, const char *directory, struct lanes_content *ret_content);

/* Path of a copy; ret_path takes LAYOUT_PATH_SIZE bytes. */
const char *lanes_copy_path(const char *directory, unsigned copy, char *ret_path);

#endif
