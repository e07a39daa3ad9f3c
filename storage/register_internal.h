/* The inside of the register, shared by register.c (changes, reads), register_open.c and register_check.c. */
#ifndef GANTRY_STORAGE_REGISTER_INTERNAL_H
#define GANTRY_STORAGE_REGISTER_INTERNAL_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "storage/keyring.h"
#include "storage/register.h"
#include "storage/register_blob.h"

struct changelog;
struct io;
struct reg_db;

struct reg {
	struct io *io;
	struct changelog *log;
	struct reg_db *db;
	struct reg_blobs blobs;
	pthread_mutex_t mutex;
	bool index_behind; /* log has what the index could not take */
	bool rebuilt;
	bool renewing;         /* somebody writes the log anew */
	uint64_t log_size_min; /* below it the log is not written anew */
	/* While replaying. */
	uint64_t applied;   /* what the index has */
	uint64_t base_done; /* records of a base that the index has taken */
	unsigned batch;
};

/* What KEY_REGISTER is made into, one for each use. The caller wipes. */
struct reg_keys {
	uint8_t log[KEY_SIZE];
	uint8_t db[KEY_SIZE];
	uint8_t blobs[KEY_SIZE];
};
void reg_keys_derive(const uint8_t key[KEY_SIZE], struct reg_keys *ret_keys);

/* Removes the blob when no list names it; mutex held, or nobody else has the register yet. */
int reg_blob_release(void *reg, const uint8_t name[REG_BLOB_NAME_SIZE]);

#endif
