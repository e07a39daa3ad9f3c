/* SHA-256, HMAC-SHA-256 and HKDF (RFC 5869) through OpenSSL, and randomness from the kernel. Control plane. */
#ifndef GANTRY_BASE_DIGEST_H
#define GANTRY_BASE_DIGEST_H

#include <stddef.h>
#include <stdint.h>

#define SHA256_SIZE 32

void sha256(const void *bytes, size_t size, uint8_t ret_digest[SHA256_SIZE]);

struct slice {
	const void *bytes;
	size_t size;
};
/* The digest of the parts one after the other. */
void sha256_parts(const struct slice *parts, size_t count, uint8_t ret_digest[SHA256_SIZE]);

void hmac_sha256(const void *key, size_t key_size, const void *bytes, size_t size, uint8_t ret_mac[SHA256_SIZE]);

/* Extract-and-expand; size at most 255 * 32. Salt and info may be empty (NULL, 0). */
void hkdf_sha256(const void *salt, size_t salt_size, const void *secret, size_t secret_size, const void *info,
		 size_t info_size, void *ret_bytes, size_t size);

/* From getrandom(2): blocks until the kernel's pool is seeded, then never fails. */
void random_bytes(void *ret_bytes, size_t size);

#endif
