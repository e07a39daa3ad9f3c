/* What audit.c, audit_open.c, audit_files.c and audit_read.c share. */
#ifndef GANTRY_MGMT_AUDIT_PRIVATE_H
#define GANTRY_MGMT_AUDIT_PRIVATE_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "appliance/base/aead.h"
#include "mgmt/audit.h"
#include "mgmt/leaves.h"

#define PATH_SIZE 4096
#define MARK_EVERY 1024 /* entries between two remembered offsets */

struct batch;

struct audit {
	struct aead_key key; /* of key_month; under the lock */
	int32_t key_month;
	char directory[PATH_SIZE - 32]; /* leaves room for the names in it */
	int directory_fd;
	int leaves_fd;
	struct audit_keys keys;
	struct audit_files files;
	struct note_signer signer;
	char vkey[AUDIT_VKEY_MAX];

	pthread_mutex_t lock;
	pthread_cond_t committed;
	struct batch *open; /* filling; NULL when empty */
	bool committing;
	bool poisoned;
	uint64_t next_index;
	/* The committed state; written by the committer under the lock. */
	struct merkle tree;
	uint64_t file_size;
	uint64_t *marks; /* offset of entry i * MARK_EVERY */
	struct audit_head head;
};

extern const struct audit_files audit_real_files;

/* Signs a tree and replaces the checkpoint file. ret_text takes NOTE_TEXT_MAX. On failure the old one stands, unless
 * *ret_unknown: then nobody knows which of the two a power cut would leave. */
int audit_sign(struct audit *audit, const struct merkle *tree, char *ret_text, bool *ret_unknown);

/* Remembers where entry `index` stands, for every MARK_EVERYth. Lock held. */
int audit_mark(struct audit *audit, uint64_t index, uint64_t offset);

/* The committed state becomes this one. Lock held. */
void audit_set_head(struct audit *audit, const struct merkle *tree, uint64_t file_size, const char *text);

/* Makes audit->key the key of this month. Lock held, or nobody else there yet. */
int audit_key(struct audit *audit, int32_t month, bool create);

#endif
