/*
 * The escrow export: a key file sealed so that two officers' private keys are needed to read it. Nested CMS
 * (RFC 5083 AuthEnvelopedData, AES-256-GCM): the inner message for the first officer, all of it inside the outer one
 * for the second; PEM, so that `openssl cms -decrypt` twice gives the file back without any of our programs.
 *
 * Pure functions over the caller's memory. Any control thread. The secret never reaches an error text.
 */
#ifndef GANTRY_STORAGE_ESCROW_H
#define GANTRY_STORAGE_ESCROW_H

#include <stddef.h>
#include <stdint.h>

#include "appliance/base/err.h"

#define ESCROW_OFFICERS 2
#define ESCROW_CERTIFICATE_SIZE_MAX (64 * 1024)
#define ESCROW_NAME_SIZE 256

/* Who an envelope was sealed to. */
struct escrow_officer {
	char name[ESCROW_NAME_SIZE]; /* the certificate's subject, RFC 2253 */
	uint8_t digest[32];          /* SHA-256 of the certificate */
	char not_after[32];          /* as OpenSSL prints it */
};

/*
 * Seals `key` (32 bytes; the text inside is the form of a master key file: 64 hex digits and a newline) to both
 * certificates (PEM). *ret_pem is malloc'd, NUL-terminated, the caller's. -EINVAL, err says which and why: no
 * certificate, another kind of key than RSA or EC, a key of less than 112 bits of strength (RSA 2048), not to be used
 * for encryption, not valid at this time, or both of one officer (same certificate, key or subject). -EIO: OpenSSL
 * failed. ret untouched on failure.
 */
int escrow_seal(const uint8_t key[32], const char *const certificates[ESCROW_OFFICERS], struct err *err, char **ret_pem,
		struct escrow_officer ret_officers[ESCROW_OFFICERS]);

#endif
