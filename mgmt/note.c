#include "mgmt/note.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <sodium.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "appliance/base/bytes.h"
#include "appliance/base/digest.h"
#include "appliance/base/err.h"
#include "mgmt/base64.h"

#define ALGORITHM_ED25519 0x01
#define SIGNATURE_SIZE 64
#define DASH "\xe2\x80\x94 " /* em dash and space begin a signature line */

static_assert(crypto_sign_SECRETKEYBYTES == sizeof(((struct note_signer *)NULL)->secret_key), "Ed25519 secret key");
static_assert(crypto_sign_SEEDBYTES == NOTE_SEED_SIZE, "Ed25519 seed");

int note_init(void)
{
	return sodium_init() < 0 ? -EIO : 0;
}

static int check_name(const char *name)
{
	size_t size = strlen(name);

	if (size == 0 || size > NOTE_NAME_MAX)
		return -EINVAL;
	for (size_t i = 0; i < size; i++)
		if ((unsigned char)name[i] <= ' ' || name[i] == '+' || name[i] == 0x7f)
			return -EINVAL;
	return 0;
}

static void set_id(struct note_verifier *verifier)
{
	const struct slice parts[] = {{verifier->name, strlen(verifier->name)},
				      {"\n\x01", 2},
				      {verifier->public_key, sizeof(verifier->public_key)}};
	uint8_t digest[SHA256_SIZE];

	sha256_parts(parts, 3, digest);
	memcpy(verifier->id, digest, sizeof(verifier->id));
}

int note_signer_init(struct note_signer *signer, const char *name, const uint8_t seed[NOTE_SEED_SIZE])
{
	if (check_name(name) < 0)
		return -EINVAL;
	memset(signer, 0, sizeof(*signer));
	(void)snprintf(signer->verifier.name, sizeof(signer->verifier.name), "%s", name);
	if (crypto_sign_seed_keypair(signer->verifier.public_key, signer->secret_key, seed) != 0)
		return -EINVAL;
	set_id(&signer->verifier);
	return 0;
}

void note_signer_fini(struct note_signer *signer)
{
	bytes_wipe(signer->secret_key, sizeof(signer->secret_key));
}

/* Exactly `size` bytes. */
static int decode(const char *text, size_t text_size, void *bytes, size_t size)
{
	size_t got;

	return base64_decode(text, text_size, bytes, size, &got) < 0 || got != size ? -EBADMSG : 0;
}

void note_vkey(const struct note_verifier *verifier, char *ret_text)
{
	uint8_t key[33] = {ALGORITHM_ED25519};
	char id[2 * sizeof(verifier->id) + 1];
	char base64[64];

	memcpy(key + 1, verifier->public_key, sizeof(verifier->public_key));
	(void)base64_encode(key, sizeof(key), base64);
	(void)snprintf(ret_text, NOTE_VKEY_MAX, "%s+%s+%s", verifier->name,
		       hex_encode(verifier->id, sizeof(verifier->id), id), base64);
}

int note_vkey_parse(const char *text, struct note_verifier *ret_verifier, struct err *err)
{
	const char *id_at = strchr(text, '+');
	const char *key_at = id_at != NULL ? strchr(id_at + 1, '+') : NULL;
	struct note_verifier verifier = {0};
	uint8_t key[33];
	uint8_t id[4];
	char id_text[2 * sizeof(id) + 1];

	if (key_at == NULL || key_at - id_at != 9 || (size_t)(id_at - text) >= sizeof(verifier.name))
		return err_set(err, -EINVAL, "not a verifier key: it reads name+8 hex digits+base64");
	memcpy(verifier.name, text, (size_t)(id_at - text));
	memcpy(id_text, id_at + 1, 8);
	id_text[8] = '\0';
	if (check_name(verifier.name) < 0 || hex_decode(id_text, id, sizeof(id)) < 0 ||
	    decode(key_at + 1, strlen(key_at + 1), key, sizeof(key)) < 0 || key[0] != ALGORITHM_ED25519)
		return err_set(err, -EINVAL, "not a verifier key for Ed25519: it reads name+8 hex digits+base64");
	memcpy(verifier.public_key, key + 1, sizeof(verifier.public_key));
	set_id(&verifier);
	if (bytes_differ(id, verifier.id, sizeof(id)) != 0)
		return err_set(err, -EINVAL, "the verifier key is mistyped: its hash does not fit its key");
	*ret_verifier = verifier;
	return 0;
}

void checkpoint_sign(const struct note_signer *signer, uint64_t size, const merkle_hash root, char *ret_text)
{
	uint8_t signature[4 + SIGNATURE_SIZE];
	char base64[128];
	int used;

	(void)base64_encode(root, MERKLE_HASH_SIZE, base64);
	used = snprintf(ret_text, NOTE_TEXT_MAX, "%s\n%" PRIu64 "\n%s\n", signer->verifier.name, size, base64);
	memcpy(signature, signer->verifier.id, 4);
	(void)crypto_sign_detached(signature + 4, NULL, (const uint8_t *)ret_text, (unsigned long long)used,
				   signer->secret_key);
	(void)base64_encode(signature, sizeof(signature), base64);
	(void)snprintf(ret_text + used, NOTE_TEXT_MAX - (size_t)used, "\n" DASH "%s %s\n", signer->verifier.name,
		       base64);
}

/* Is this line (without LF) the key's signature of the first `signed_size` bytes of text? */
static bool is_signed(const char *line, size_t line_size, const char *text, size_t signed_size,
		      const struct note_verifier *verifier)
{
	size_t name_size = strlen(verifier->name);
	size_t head_size = strlen(DASH) + name_size + 1;
	uint8_t signature[4 + SIGNATURE_SIZE];

	if (line_size <= head_size || memcmp(line, DASH, strlen(DASH)) != 0 ||
	    memcmp(line + strlen(DASH), verifier->name, name_size) != 0 || line[head_size - 1] != ' ' ||
	    decode(line + head_size, line_size - head_size, signature, sizeof(signature)) < 0)
		return false;
	return memcmp(signature, verifier->id, 4) == 0 &&
	       crypto_sign_verify_detached(signature + 4, (const uint8_t *)text, signed_size, verifier->public_key) ==
		       0;
}

/* The next line of a text that need not end in NUL; NULL when there is no whole one. */
static const char *next_line(const char **at, const char *end, size_t *ret_size)
{
	const char *line = *at;
	const char *lf = line < end ? memchr(line, '\n', (size_t)(end - line)) : NULL;

	if (lf == NULL)
		return NULL;
	*ret_size = (size_t)(lf - line);
	*at = lf + 1;
	return line;
}

static int parse_size(const char *line, size_t size, uint64_t *ret_value)
{
	uint64_t value = 0;

	if (size == 0 || size > 19 || (line[0] == '0' && size > 1))
		return -EBADMSG;
	for (size_t i = 0; i < size; i++) {
		if (line[i] < '0' || line[i] > '9')
			return -EBADMSG;
		value = value * 10 + (uint64_t)(line[i] - '0');
	}
	*ret_value = value;
	return 0;
}

static int parse_body(const char **at, const char *end, struct checkpoint *checkpoint)
{
	size_t size;
	const char *line = next_line(at, end, &size);

	if (line == NULL || size == 0 || size > NOTE_NAME_MAX)
		return -EBADMSG;
	memcpy(checkpoint->origin, line, size);
	checkpoint->origin[size] = '\0';
	line = next_line(at, end, &size);
	if (line == NULL || parse_size(line, size, &checkpoint->size) < 0)
		return -EBADMSG;
	line = next_line(at, end, &size);
	return line != NULL ? decode(line, size, checkpoint->root, sizeof(checkpoint->root)) : -EBADMSG;
}

/* Just behind the LF that ends the signed text: the last empty line parts it from the signatures. NULL: none. */
static const char *find_signatures(const char *text, const char *end)
{
	for (const char *at = end - 2; at >= text; at--)
		if (at[0] == '\n' && at[1] == '\n')
			return at + 1;
	return NULL;
}

int note_open(const char *text, size_t text_size, const struct note_verifier *verifier, size_t *ret_signed_size,
	      struct err *err)
{
	const char *end = text + text_size;
	const char *at = text_size >= 2 ? find_signatures(text, end) : NULL;
	const char *line;
	size_t signed_size;
	size_t size = 0;
	bool found = false;

	if (at == NULL)
		return err_set(err, -EBADMSG, "checkpoint: has no signature");
	signed_size = (size_t)(at - text);
	at++;
	while ((line = next_line(&at, end, &size)) != NULL)
		found = found || is_signed(line, size, text, signed_size, verifier);
	if (at != end)
		return err_set(err, -EBADMSG, "checkpoint: its last line is cut");
	if (!found)
		return err_set(err, -EBADMSG, "checkpoint: is not signed by the key of %s", verifier->name);
	*ret_signed_size = signed_size;
	return 0;
}

/* Extension lines may follow the root; they are signed and mean nothing to us. */
int checkpoint_open(const char *text, size_t text_size, const struct note_verifier *verifier,
		    struct checkpoint *ret_checkpoint, struct err *err)
{
	struct checkpoint checkpoint = {0};
	const char *at = text;
	size_t signed_size;
	int r = note_open(text, text_size, verifier, &signed_size, err);

	if (r < 0)
		return r;
	if (parse_body(&at, text + signed_size, &checkpoint) < 0)
		return err_set(err, -EBADMSG, "checkpoint: is not origin, size and root");
	if (strcmp(checkpoint.origin, verifier->name) != 0)
		return err_set(err, -EBADMSG, "checkpoint: is of another log than %s", verifier->name);
	*ret_checkpoint = checkpoint;
	return 0;
}
