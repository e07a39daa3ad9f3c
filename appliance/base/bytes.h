/* Fixed-width integers in byte order: little-endian on the wire and on disk, big-endian in LMDB keys. Any alignment. */
#ifndef GANTRY_BASE_BYTES_H
#define GANTRY_BASE_BYTES_H

#include <endian.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define BYTES_GET(name, type, convert)                                                                                 \
	static inline type name(const void *at)                                                                        \
	{                                                                                                              \
		type value;                                                                                            \
		memcpy(&value, at, sizeof(value));                                                                     \
		return convert(value);                                                                                 \
	}
#define BYTES_PUT(name, type, convert)                                                                                 \
	static inline void name(void *at, type value)                                                                  \
	{                                                                                                              \
		value = convert(value);                                                                                \
		memcpy(at, &value, sizeof(value));                                                                     \
	}

BYTES_GET(le16_get, uint16_t, le16toh)
BYTES_GET(le32_get, uint32_t, le32toh)
BYTES_GET(le64_get, uint64_t, le64toh)
BYTES_GET(be16_get, uint16_t, be16toh)
BYTES_GET(be32_get, uint32_t, be32toh)
BYTES_GET(be64_get, uint64_t, be64toh)
BYTES_PUT(le16_put, uint16_t, htole16)
BYTES_PUT(le32_put, uint32_t, htole32)
BYTES_PUT(le64_put, uint64_t, htole64)
BYTES_PUT(be16_put, uint16_t, htobe16)
BYTES_PUT(be32_put, uint32_t, htobe32)
BYTES_PUT(be64_put, uint64_t, htobe64)

#undef BYTES_GET
#undef BYTES_PUT

/* For keys and texts in hot loops, where a call of memcmp costs more than the comparison. */
static inline bool bytes_equal_16(const uint8_t *a, const uint8_t *b)
{
	return ((le64_get(a) ^ le64_get(b)) | (le64_get(a + 8) ^ le64_get(b + 8))) == 0;
}

/* Lower-case hex. `text` takes 2 * size + 1 bytes and is returned. */
char *hex_encode(const void *bytes, size_t size, char *text);

/* Exactly 2 * size hex digits and the end of the text, else -EINVAL and bytes untouched. */
int hex_decode(const char *text, void *bytes, size_t size);

/* Overwrites a secret; the compiler may not leave it out. */
void bytes_wipe(void *bytes, size_t size);

/* 0 when equal; its time does not depend on where they differ. */
int bytes_differ(const void *a, const void *b, size_t size);

#endif
