/*
 * The register's blobs: sealed files "<64 hex digits>.blob", named by a keyed digest of their content (an unkeyed one
 * would let anybody who guesses a short list prove that it is loaded). Any control thread; no state.
 */
#ifndef GANTRY_STORAGE_REGISTER_BLOB_H
#define GANTRY_STORAGE_REGISTER_BLOB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "appliance/base/err.h"
#include "storage/register_records.h"

struct io;

struct reg_blobs {
	struct io *io;
	char directory[4000];
	uint8_t key[32]; /* from which each blob's own key and the names are derived */
};

/* Makes the directory and removes unfinished files. */
int reg_blobs_init(struct reg_blobs *blobs, const char *directory, const uint8_t key[32], struct io *io);
void reg_blobs_fini(struct reg_blobs *blobs);

/* See reg_blob_put, reg_blob_get. */
int reg_blobs_put(struct reg_blobs *blobs, const void *bytes, size_t size, uint8_t ret_name[REG_BLOB_NAME_SIZE]);
int reg_blobs_get(struct reg_blobs *blobs, const uint8_t name[REG_BLOB_NAME_SIZE], struct err *err, void **ret_bytes,
		  size_t *ret_size);
bool reg_blobs_exists(struct reg_blobs *blobs, const uint8_t name[REG_BLOB_NAME_SIZE]);

/* Discards and unlinks; what is not there is well. Not yet durable: a blob that comes back is removed at the next open.
 */
int reg_blobs_remove(struct reg_blobs *blobs, const uint8_t name[REG_BLOB_NAME_SIZE]);

/* Calls each for every blob's name; it may not change the directory. */
int reg_blobs_each(struct reg_blobs *blobs, int (*each)(void *context, const uint8_t name[REG_BLOB_NAME_SIZE]),
		   void *context);

#endif
