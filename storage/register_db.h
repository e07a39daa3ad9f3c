/*
 * The register's index: LMDB with sealed values, and the number of the last log entry it has taken. Whatever is wrong
 * with it, it is thrown away and made again from the log; so it is checked whole when it is opened.
 *
 * Key: kind (1 byte), a, b (big-endian). Value: sealed with AES-256-GCM, the key as associated data, the nonce being
 * the log entry's number and the change's place in it: an entry that is applied anew gives the same bytes. What a base
 * of the log gives has the number it stands for and its place in the base, beyond those of any change: two bases for
 * one number hold the same records in the same order.
 *
 * reg_db_begin … commit: one thread, the register's writer. Reads: any thread.
 */
#ifndef GANTRY_STORAGE_REGISTER_DB_H
#define GANTRY_STORAGE_REGISTER_DB_H

#include <stddef.h>
#include <stdint.h>

#include "appliance/base/err.h"

struct reg_change;
struct reg_db;
struct reg_record;

/*
 * Opens or makes the environment in a directory that exists. *ret_applied: the last entry taken, 0 in a new one.
 * -EBADMSG: damaged (or under another key): nothing can be said of what it held.
 */
int reg_db_open(const char *directory, size_t map_size, const uint8_t *key, struct reg_db **ret_db,
		uint64_t *ret_applied);
/* gantry-fsck: the same check, nothing is written; only reads may follow. -ENOENT: there is none. err says what is
 * wrong. */
int reg_db_open_read_only(const char *directory, const uint8_t *key, struct err *err, struct reg_db **ret_db,
			  uint64_t *ret_applied);
struct reg_db *reg_db_free(struct reg_db *db);

/* Removes the environment's files; none may be open. */
int reg_db_wipe(const char *directory);

/* One write transaction: entries applied in order, then committed whole or not at all. */
int reg_db_begin(struct reg_db *db);
int reg_db_apply(struct reg_db *db, uint64_t sequence, const struct reg_change *changes, size_t count);
/*
 * Instead of it, a base: reg_db_clear, then its records in order, `first` being how many were put before, then
 * reg_db_base_end. It may be committed in between: an index with half a base counts as damaged at its next opening.
 */
int reg_db_clear(struct reg_db *db);
int reg_db_base_put(struct reg_db *db, uint64_t sequence, uint64_t first, const struct reg_change *changes,
		    size_t count);
int reg_db_base_end(struct reg_db *db, uint64_t sequence);
int reg_db_commit(struct reg_db *db); /* ends the transaction, also when it fails */
void reg_db_abort(struct reg_db *db); /* nothing when there is none */

/* As reg_get and reg_each. -EBADMSG: a value that does not open. */
int reg_db_get(struct reg_db *db, int kind, uint32_t a, uint32_t b, void *ret_value, size_t *ret_size);
int reg_db_each(struct reg_db *db, int kind, uint32_t a_first, uint32_t a_last,
		int (*each)(void *context, const struct reg_record *record), void *context);

/* All records of one moment, in the order of their keys. One thread; ended before reg_db_free. */
struct reg_db_view;
int reg_db_view_new(struct reg_db *db, struct reg_db_view **ret_view, uint64_t *ret_applied);
int reg_db_view_each(struct reg_db_view *view, int (*each)(void *context, const struct reg_record *record),
		     void *context);
struct reg_db_view *reg_db_view_free(struct reg_db_view *view);

#endif
