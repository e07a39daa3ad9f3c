/*
 * Signed checkpoints: c2sp.org/tlog-checkpoint inside c2sp.org/signed-note, with one Ed25519 key.
 *
 *	gantry.example/audit/node-1          origin, also the name of the key
 *	17                                   leaves
 *	qINS1GRFhWHwdkUeqLEoP4yEMkTBBzxBkGwGQlVlVcs=   root
 *	                                     an empty line
 *	— gantry.example/audit/node-1 5fNg…=          base64(key id ‖ signature)
 *
 * Verifier key: name+hex(key id)+base64(0x01 ‖ public key); key id = first 4 bytes of SHA-256(name ‖ LF ‖ 0x01 ‖ key).
 * Pure functions, any thread. sodium_init must have been called (audit_open does; note_init here for others).
 */
#ifndef GANTRY_MGMT_NOTE_H
#define GANTRY_MGMT_NOTE_H

#include <stddef.h>
#include <stdint.h>

#include "mgmt/merkle.h"

struct err;

#define NOTE_NAME_MAX 128
#define NOTE_SEED_SIZE 32
#define NOTE_TEXT_MAX 1024
#define NOTE_VKEY_MAX 256

struct note_verifier {
	char name[NOTE_NAME_MAX + 1];
	uint8_t id[4];
	uint8_t public_key[32];
};

struct note_signer {
	struct note_verifier verifier;
	uint8_t secret_key[64]; /* wiped by note_signer_fini */
};

struct checkpoint {
	char origin[NOTE_NAME_MAX + 1];
	uint64_t size;
	merkle_hash root;
};

int note_init(void); /* -EIO when libsodium cannot start */

/* -EINVAL when the name is empty, too long, or has a space, a plus sign or a control character. */
int note_signer_init(struct note_signer *signer, const char *name, const uint8_t seed[NOTE_SEED_SIZE]);
void note_signer_fini(struct note_signer *signer);

/* Text forms of the verifier key. ret_text takes NOTE_VKEY_MAX bytes. */
void note_vkey(const struct note_verifier *verifier, char *ret_text);
int note_vkey_parse(const char *text, struct note_verifier *ret_verifier, struct err *err);

/* Is this a note with a signature of this key? ret_signed_size: how much of the text, from its start, it covers. */
int note_open(const char *text, size_t text_size, const struct note_verifier *verifier, size_t *ret_signed_size,
	      struct err *err);

/* ret_text takes NOTE_TEXT_MAX bytes, NUL included. */
void checkpoint_sign(const struct note_signer *signer, uint64_t size, const merkle_hash root, char *ret_text);

/* -EBADMSG with a text: not a checkpoint, or not signed by this key, or of another origin. */
int checkpoint_open(const char *text, size_t text_size, const struct note_verifier *verifier,
		    struct checkpoint *ret_checkpoint, struct err *err);

#endif
