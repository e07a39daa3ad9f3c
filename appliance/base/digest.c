#include "appliance/base/digest.h"

#include <assert.h>
#include <errno.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "appliance/base/bytes.h"

void sha256(const void *bytes, size_t size, uint8_t ret_digest[SHA256_SIZE])
{
	if (EVP_Digest(bytes, size, ret_digest, NULL, EVP_sha256(), NULL) != 1)
		abort(); /* only out of memory inside the library: nothing sensible can follow */
}

void sha256_parts(const struct slice *parts, size_t count, uint8_t ret_digest[SHA256_SIZE])
{
	EVP_MD_CTX *context = EVP_MD_CTX_new();

	if (context == NULL || EVP_DigestInit_ex(context, EVP_sha256(), NULL) != 1)
		abort();
	for (size_t i = 0; i < count; i++)
		if (EVP_DigestUpdate(context, parts[i].bytes, parts[i].size) != 1)
			abort();
	if (EVP_DigestFinal_ex(context, ret_digest, NULL) != 1)
		abort();
	EVP_MD_CTX_free(context);
}

void hmac_sha256(const void *key, size_t key_size, const void *bytes, size_t size, uint8_t ret_mac[SHA256_SIZE])
{
	if (HMAC(EVP_sha256(), key, (int)key_size, bytes, size, ret_mac, NULL) == NULL)
		abort();
}

void hkdf_sha256(const void *salt, size_t salt_size, const void *secret, size_t secret_size, const void *info,
		 size_t info_size, void *ret_bytes, size_t size)
{
	static const uint8_t no_salt[SHA256_SIZE];
	uint8_t block[SHA256_SIZE + 256 + 1];
	uint8_t extracted[SHA256_SIZE];
	uint8_t *to = ret_bytes;
	size_t block_size = 0;

	assert(info_size <= 256);
	assert(size <= 255 * SHA256_SIZE);
	hmac_sha256(salt_size > 0 ? salt : no_salt, salt_size > 0 ? salt_size : sizeof(no_salt), secret, secret_size,
		    extracted);
	for (uint8_t counter = 1; size > 0; counter++) {
		size_t take = size < SHA256_SIZE ? size : SHA256_SIZE;

		if (info_size > 0)
			memcpy(block + block_size, info, info_size);
		block[block_size + info_size] = counter;
		hmac_sha256(extracted, sizeof(extracted), block, block_size + info_size + 1, block);
		memcpy(to, block, take);
		block_size = SHA256_SIZE;
		to += take;
		size -= take;
	}
	bytes_wipe(block, sizeof(block));
	bytes_wipe(extracted, sizeof(extracted));
}

void random_bytes(void *ret_bytes, size_t size)
{
	uint8_t *to = ret_bytes;

	while (size > 0) {
		ssize_t got = getrandom(to, size, 0);

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			abort(); /* kernels since 3.17 have it; without randomness no key may be made */
		to += got;
		size -= (size_t)got;
	}
}
