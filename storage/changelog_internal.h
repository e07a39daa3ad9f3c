/* The inside of the change log, shared by changelog.c (opening, appending) and changelog_renew.c. */
#ifndef GANTRY_STORAGE_CHANGELOG_INTERNAL_H
#define GANTRY_STORAGE_CHANGELOG_INTERNAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "appliance/base/aead.h"
#include "appliance/base/digest.h"
#include "storage/changelog.h"

#define CHANGELOG_NAME "changes.log"
#define CHANGELOG_HEADER_SIZE 88

struct io;
struct io_file;

/* What may follow. */
enum changelog_phase { CHANGELOG_BEGINS, CHANGELOG_IN_BASE, CHANGELOG_IN_ENTRIES };

struct changelog {
	struct io *io;
	struct io_file *file;
	struct aead_key key;
	enum changelog_phase phase;
	uint64_t sequence;  /* of the last frame */
	uint64_t end;       /* behind the last frame */
	uint64_t base_size; /* end of the base */
	uint8_t previous[SHA256_SIZE];
	bool read_only;
	bool tail_cut;
	bool unsettled; /* its name may not be durable: nothing is, before the directory was synced */
	char directory[4000];
	char path[4096];
};

/*
 * The frame at log->end. 0 with the body, malloc'd; -EBADMSG or -ENODATA when no whole and true one stands there; else
 * the disk's. changelog_frame_passed goes behind it.
 */
int changelog_frame_read(struct changelog *log, uint8_t header[CHANGELOG_HEADER_SIZE], uint8_t **ret_body,
			 size_t *ret_size);
void changelog_frame_passed(struct changelog *log, const uint8_t *header, size_t body_size);
/* Behind the last one, and passes it. -errno: the log is as before. */
int changelog_frame_write(struct changelog *log, enum changelog_kind kind, const uint8_t *body, size_t size,
			  bool durable);

/* Discards and unlinks what an interrupted renewal left; what fails is left to the next one. */
void changelog_remnant_remove(const struct changelog *log);

#endif
