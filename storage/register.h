/*
 * The register: what operators told the appliance (feeds and their keys, cameras, bindings, lists). No read can bring
 * it back, so its truth is a sealed, hash-chained, append-only change log (storage/changelog.h); the LMDB environment
 * beside it is only its index and is replayed, or rebuilt, from the log at open. Once it has grown to several times
 * what the register holds, reg_renew writes the log anew.
 *
 * A change is an entry of one or more puts and deletes: all durable when reg_change returns 0, or none. Values in LMDB
 * are sealed. Large values (a list's entries) are blobs: sealed files named by a keyed digest of their content, durable
 * before the entry that names them.
 *
 * Everything seals under KEY_REGISTER, through keys derived from it for each use (HKDF): log, index, blobs.
 *
 * Threads: any control thread; one writer at a time (a mutex inside), readers do not wait for it. Never a worker.
 */
#ifndef GANTRY_STORAGE_REGISTER_H
#define GANTRY_STORAGE_REGISTER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "appliance/base/err.h"
#include "storage/register_records.h"

#define REG_CHANGES_MAX 65535 /* in one entry */
#define REG_REASON_SIZE_MAX 1024

struct io;
struct keyring;
struct reg;

struct reg_options {
	const char *directory;       /* "<directory>/changes.log"; made when missing */
	const char *db_directory;    /* of LMDB, on a real disk; made when missing */
	const char *lists_directory; /* of the blobs; made when missing */
	size_t map_size;             /* LMDB's; 0 means 1 GiB */
	uint64_t log_size_min;       /* a smaller log is not written anew; 0 means 64 MiB */
};

/*
 * Opens or, where nothing is, begins the register; makes KEY_REGISTER when the keyring has none and there is no log.
 *
 * -EBADMSG: the log is damaged before its last durable entry, shorter than the index says, gone, or was sealed under
 * another key: the register is incomplete and nothing was changed. A torn last entry, which nobody was told of, is cut.
 * A missing or damaged index is rebuilt from the log and said in the log. -ENOKEY: there is a log but no key for it.
 */
int reg_open(const struct reg_options *options, struct io *io, struct keyring *keyring, struct err *err,
	     struct reg **ret_reg);
struct reg *reg_free(struct reg *reg);

/* One put or delete. */
struct reg_change {
	enum reg_kind kind;
	uint32_t a; /* see enum reg_kind */
	uint32_t b;
	const void *value; /* encoded record (register_records.h); NULL deletes: of what is not there, is nothing */
	size_t value_size;
};

/*
 * All changes as one entry, signed with who and why. -EINVAL: a value that does not decode or does not agree with its
 * key, or an entry too large. -ENOENT: a list names a blob that is not there. Other errors: the disk failed; nothing is
 * changed in memory or index, the call may be repeated (after a power cut the entry may yet be found; it is then
 * whole).
 */
int reg_change(struct reg *reg, const struct reg_change *changes, size_t count, uint32_t who_uid, const char *reason,
	       struct err *err);

/* -ENOENT none. ret_value takes REG_RECORD_SIZE_MAX bytes. */
int reg_get(struct reg *reg, enum reg_kind kind, uint32_t a, uint32_t b, void *ret_value, size_t *ret_size);

/* A record met in reg_each; borrowed during the call. */
struct reg_record {
	enum reg_kind kind;
	uint32_t a;
	uint32_t b;
	const void *value;
	size_t value_size;
};
/*
 * Every record of a kind with a_first ≤ a ≤ a_last, in the order of (a, b), of one moment. Stops at the first non-zero
 * of `each` and returns it. The callback may read the register but not change it.
 */
int reg_each(struct reg *reg, enum reg_kind kind, uint32_t a_first, uint32_t a_last,
	     int (*each)(void *context, const struct reg_record *record), void *context);

/* reg_get and decode. -ENOENT none. */
int reg_feed_get(struct reg *reg, uint32_t feed, struct reg_feed *ret_feed);
int reg_camera_get(struct reg *reg, uint32_t camera, struct reg_camera *ret_camera);
int reg_list_get(struct reg *reg, uint32_t list, struct reg_list *ret_list);

/* Puts for reg_change: `buffer` takes the bytes and lives until the change is done. */
struct reg_change reg_feed_put(const struct reg_feed *feed, uint8_t buffer[REG_RECORD_SIZE_MAX]);
struct reg_change reg_camera_put(const struct reg_camera *camera, uint8_t buffer[REG_RECORD_SIZE_MAX]);
struct reg_change reg_binding_put(const struct reg_binding *binding, uint8_t buffer[REG_RECORD_SIZE_MAX]);
struct reg_change reg_list_put(const struct reg_list *list, uint8_t buffer[REG_RECORD_SIZE_MAX]);
struct reg_change reg_mark_put(const struct reg_mark *mark, uint8_t buffer[REG_RECORD_SIZE_MAX]);

/*
 * Seals `bytes` into a file, durable on return; equal content gives the same name. A blob that no list of the register
 * names is removed: when a change lets go of it, or at the next reg_open.
 */
int reg_blob_put(struct reg *reg, const void *bytes, size_t size, uint8_t ret_name[REG_BLOB_NAME_SIZE]);
/* One that no change was asked to name: removes it unless a list does so already. */
int reg_blob_drop(struct reg *reg, const uint8_t name[REG_BLOB_NAME_SIZE]);
/* The caller wipes and frees *ret_bytes. -ENOENT missing, -EBADMSG damaged; err names the file. */
int reg_blob_get(struct reg *reg, const uint8_t name[REG_BLOB_NAME_SIZE], struct err *err, void **ret_bytes,
		 size_t *ret_size);

/* The last entry's number (0: none yet): grows with every change, for whoever caches what it read. */
uint64_t reg_sequence(struct reg *reg);

enum reg_renew_outcome { REG_RENEWED = 1 };
/*
 * Writes the change log anew when it is due: as large as log_size_min and four times what it began with. What it says
 * then is what the register holds; what was deleted or replaced is not in it any more. Takes as long as writing that
 * does; changes wait for the last entries of it only. 0: not due, or somebody is at it; REG_RENEWED; or -errno, the log
 * is the former one. Any control thread.
 */
int reg_renew(struct reg *reg, struct err *err);

struct reg_info {
	uint64_t sequence;
	uint64_t log_size;      /* bytes */
	uint64_t log_base_size; /* of these, what it began with when it was written anew */
	bool rebuilt;           /* the index was rebuilt from the log at this open */
	bool tail_cut;          /* a torn last entry was cut at this open */
};
void reg_info(struct reg *reg, struct reg_info *ret_info);

#endif
