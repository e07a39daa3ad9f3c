/*
 * The files of purge/: an intent while a purge goes on, its certificate for ever after. Outside LMDB, so that a lost
 * catalog forgets neither. Names "d<day>-<number>.intent" and ".certificate"; docs/disk-format.md has the bytes.
 * Nothing in them is personal data: they are checksummed, not sealed.
 */
#ifndef GANTRY_STORAGE_PURGE_FILE_H
#define GANTRY_STORAGE_PURGE_FILE_H

#include <stdbool.h>
#include <stdint.h>

#include "appliance/base/err.h"
#include "storage/purge.h"

#define PURGE_FILE_INTENT ".intent"
#define PURGE_FILE_CERTIFICATE ".certificate"

struct io;

struct purge_record {
	enum purge_step step;                 /* the last one that is known to be done */
	struct purge_certificate certificate; /* as far as known */
};

bool purge_file_name_parse(const char *name, const char *suffix, int32_t *ret_day, uint64_t *ret_number);

/* Durable, replacing what was there. */
int purge_file_write(struct io *io, const char *directory, const char *suffix, const struct purge_record *record);
/* -EBADMSG: damaged; err names it. */
int purge_file_read(struct io *io, const char *directory, const char *suffix, int32_t day, uint64_t number,
		    struct err *err, struct purge_record *ret_record);
/* Durable; 0 also when there is none. */
int purge_file_remove(struct io *io, const char *directory, const char *suffix, int32_t day, uint64_t number);

#endif
