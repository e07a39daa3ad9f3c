/*
 * The audit log: append-only, tamper-evident (R50–R53). A Merkle tree (RFC 6962 hashing) over leaves in one file, and a
 * checkpoint, an Ed25519 signed note (C2SP tlog-checkpoint), that vouches for all of them.
 *
 * A leaf is a clear envelope (index, time, who, verb, outcome, key month) and a body (JSON: parameters, grounds, facts)
 * sealed by AES-256-GCM under that month's key. Its hash covers the sealed form: destroying a month's key takes the
 * bodies and leaves every proof intact.
 *
 * Life cycle of an entry: sealed and numbered under the lock, written and synced by one of the waiting threads for all
 * of them (group commit), covered by a new signed checkpoint; only then does audit_append return. So acknowledged means
 * durable and signed, and what lies beyond the last checkpoint in the file was never acknowledged.
 *
 * Every function may be called from any control thread.
 */
#ifndef GANTRY_MGMT_AUDIT_H
#define GANTRY_MGMT_AUDIT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "mgmt/merkle.h"

struct audit;
struct err;

#define AUDIT_KEY_SIZE 32
#define AUDIT_TEXT_MAX 255         /* bytes of an account or a verb */
#define AUDIT_BODY_MAX (64 * 1024) /* bytes of a body */
#define AUDIT_CHECKPOINT_MAX 1024  /* bytes of a checkpoint's text, its NUL included */
#define AUDIT_VKEY_MAX 256         /* bytes of a verifier key's text, its NUL included */

enum audit_outcome {
	AUDIT_NOTE = 0,   /* an event without a request: a purge step, the clock's state (R5) */
	AUDIT_INTENT = 1, /* allowed and about to run; its outcome follows in a later entry, unless the power failed */
	AUDIT_DONE = 2,
	AUDIT_FAILED = 3,
	AUDIT_REFUSED = 4, /* before any effect */
	AUDIT_CANCELLED = 5,
	AUDIT_OUTCOME_COUNT
};
const char *audit_outcome_name(enum audit_outcome outcome);

/* What the keyring gives. Called with the log's lock held: they may wait for the keyring's lock, so nobody may append
 * to the log while holding that one. */
struct audit_keys {
	void *ctx;
	/*
	 * Key of a month (year * 12 + month - 1, UTC), made and made durable first when `create` and it never was. 0,
	 * -ENOENT when there is none (destroyed, or never made), or another negative errno.
	 */
	int (*month_key)(void *ctx, int32_t month, bool create, uint8_t ret_key[AUDIT_KEY_SIZE]);
	/* Seed of the log's Ed25519 key: the same for the log's whole life. */
	int (*signing_seed)(void *ctx, uint8_t ret_seed[AUDIT_KEY_SIZE]);
};

/* The file operations that make things durable; tests put faults here. NULL in the options means the real ones. */
struct audit_files {
	void *ctx;
	/* Everything or -errno. */
	int (*write)(void *ctx, int fd, const void *bytes, size_t size, uint64_t offset);
	int (*sync)(void *ctx, int fd);
	int (*rename)(void *ctx, const char *from, const char *to);
	int (*truncate)(void *ctx, int fd, uint64_t size);
};

struct audit_options {
	const char *directory; /* made when missing */
	const char *origin;    /* first line of checkpoints and name of the key: no spaces, no '+'; same for ever */
	struct audit_keys keys;
	const struct audit_files *files;
	bool existing; /* refuse to begin a new log (-ENOENT): the caller knows that there was one */
};

/*
 * Opens or begins the log. An incomplete tail beyond the last checkpoint is cut (logged), complete authentic entries
 * beyond it are kept and signed. Anything wrong before it is -EBADMSG with a text naming the damage, and nothing is
 * changed. -EBUSY when another process has it open.
 */
int audit_open(const struct audit_options *options, struct audit **ret_audit, struct err *err);
struct audit *audit_close(struct audit *audit);

struct audit_entry {
	int64_t time_us; /* 0: now */
	uint32_t uid;
	const char *account;
	const char *verb;
	enum audit_outcome outcome;
	uint64_t intent;  /* index of the intent that this outcome belongs to; AUDIT_NO_INTENT */
	const char *body; /* JSON text, or NULL */
	size_t body_size;
};
#define AUDIT_NO_INTENT UINT64_MAX

/*
 * Durable and signed when 0. A failed write (-ENOSPC …) is taken back and later appends may succeed; where the file's
 * state is not known any more (a failed sync), this and all later appends fail with -EIO until the log is opened anew.
 * -EINVAL when a text is too long, -EMSGSIZE for the body.
 */
int audit_append(struct audit *audit, const struct audit_entry *entry, uint64_t *ret_index);

/* The newest checkpoint: size, root and its text. */
struct audit_head {
	uint64_t size;
	uint8_t root[MERKLE_HASH_SIZE];
	char checkpoint[AUDIT_CHECKPOINT_MAX];
};
void audit_head_get(struct audit *audit, struct audit_head *ret_head);

/* "name+hash+key" as C2SP signed-note prints a verifier key: what an auditor keeps. Lives as the log. */
const char *audit_vkey(const struct audit *audit);

/* One entry read back. Valid during the callback. */
struct audit_record {
	uint64_t index;
	struct audit_entry entry; /* body NULL when there is none, or its key is gone */
	bool body_lost;           /* there is a body, its month's key is destroyed */
	int32_t month;
	const uint8_t *leaf; /* as hashed */
	size_t leaf_size;
};
typedef int audit_visit(const struct audit_record *record, void *ctx);

/*
 * Entries [first, first + count) that exist, in order; a negative result of `visit` ends and is passed up. With `open`
 * bodies are decrypted. -EBADMSG naming the entry when one is damaged.
 */
int audit_read(struct audit *audit, uint64_t first, uint64_t count, bool open, audit_visit *visit, void *ctx,
	       struct err *err);

/* Recomputes every hash from the files and checks the checkpoint's signature. -EBADMSG names the first damage. */
int audit_verify(struct audit *audit, struct audit_head *ret_head, struct err *err);

/* The same on a directory without a running appliance; the log may not be open. */
int audit_verify_directory(const char *directory, const char *vkey, struct audit_head *ret_head, struct err *err);

/*
 * RFC 6962 proofs against the current head. `ret_path` takes MERKLE_PATH_MAX hashes. -ERANGE outside the tree.
 */
int audit_prove_inclusion(struct audit *audit, uint64_t index, struct audit_head *ret_head,
			  uint8_t (*ret_path)[MERKLE_HASH_SIZE], unsigned *ret_count, struct err *err);
int audit_prove_consistency(struct audit *audit, uint64_t old_size, struct audit_head *ret_head,
			    uint8_t (*ret_path)[MERKLE_HASH_SIZE], unsigned *ret_count, struct err *err);

/* Proves [first, first + count) against a head taken before (merkle_range). */
int audit_prove_range(struct audit *audit, const struct audit_head *head, uint64_t first, uint64_t count,
		      uint8_t (*ret_path)[MERKLE_HASH_SIZE], unsigned *ret_count, struct err *err);

struct server;
/* Binds audit.show, audit.verify, audit.export and audit.attachment to the log. `audit` outlives the server. */
int audit_bind(struct server *server, struct audit *audit);

#endif
