/*
 * A cursor over bytes with a sticky error: a chain of reads or writes is checked once at its end. Little-endian.
 * A read past the end gives zeros and sets `bad`; a write past the end writes nothing and sets it.
 */
#ifndef GANTRY_STORAGE_CURSOR_H
#define GANTRY_STORAGE_CURSOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "appliance/base/bytes.h"

struct cursor {
	uint8_t *at;
	const uint8_t *end;
	bool bad;
};

/* For reading the cast is safe: none of the cursor_get_* writes. */
static inline struct cursor cursor_over(const void *bytes, size_t size)
{
	uint8_t *at = (uint8_t *)(uintptr_t)bytes;

	return (struct cursor){.at = at, .end = at + size};
}

static inline uint8_t *cursor_take(struct cursor *cursor, size_t size)
{
	uint8_t *at = cursor->at;

	if (cursor->bad || (size_t)(cursor->end - at) < size) {
		cursor->bad = true;
		return NULL;
	}
	cursor->at += size;
	return at;
}

/* True when everything was read and nothing was missing. */
static inline bool cursor_done(const struct cursor *cursor)
{
	return !cursor->bad && cursor->at == cursor->end;
}

#define CURSOR_INTEGER(name, type, load, store)                                                                        \
	static inline type cursor_get_##name(struct cursor *cursor)                                                    \
	{                                                                                                              \
		const uint8_t *at = cursor_take(cursor, sizeof(type));                                                 \
		return at != NULL ? load : 0;                                                                          \
	}                                                                                                              \
	static inline void cursor_put_##name(struct cursor *cursor, type value)                                        \
	{                                                                                                              \
		uint8_t *at = cursor_take(cursor, sizeof(type));                                                       \
		if (at != NULL)                                                                                        \
			store;                                                                                         \
	}
CURSOR_INTEGER(u8, uint8_t, *at, *at = value)
CURSOR_INTEGER(u16, uint16_t, le16_get(at), le16_put(at, value))
CURSOR_INTEGER(u32, uint32_t, le32_get(at), le32_put(at, value))
CURSOR_INTEGER(u64, uint64_t, le64_get(at), le64_put(at, value))
#undef CURSOR_INTEGER

static inline void cursor_get_bytes(struct cursor *cursor, void *ret_bytes, size_t size)
{
	const uint8_t *at = cursor_take(cursor, size);

	if (at != NULL)
		memcpy(ret_bytes, at, size);
}

static inline void cursor_put_bytes(struct cursor *cursor, const void *bytes, size_t size)
{
	uint8_t *at = cursor_take(cursor, size);

	if (at != NULL && size > 0)
		memcpy(at, bytes, size);
}

/* A text: u16 length and its bytes; `capacity` includes the zero that the buffer gets. A zero inside is refused. */
static inline void cursor_get_text(struct cursor *cursor, char *ret_text, size_t capacity)
{
	size_t size = cursor_get_u16(cursor);
	const uint8_t *at;

	if (size >= capacity)
		cursor->bad = true;
	at = cursor_take(cursor, size);
	if (at == NULL || memchr(at, 0, size) != NULL) {
		cursor->bad = true;
		return;
	}
	memcpy(ret_text, at, size);
	ret_text[size] = '\0';
}

static inline void cursor_put_text(struct cursor *cursor, const char *text)
{
	size_t size = strlen(text);

	if (size > UINT16_MAX) {
		cursor->bad = true;
		return;
	}
	cursor_put_u16(cursor, (uint16_t)size);
	cursor_put_bytes(cursor, text, size);
}

#endif
