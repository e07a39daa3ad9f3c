/* Texts on the wire: UTF-8 (RFC 3629), zero padded, without control characters. Pure functions, any thread. */
#ifndef GANTRY_FEED_TEXT_H
#define GANTRY_FEED_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* `size` is a multiple of 8. An empty text is valid. Control characters are U+0000 (as text), U+0001..U+001F and
 * U+007F..U+009F. */
bool feed_text_valid(const uint8_t *text, size_t size);

/*
 * A valid text of 16 bytes with at least one letter or digit: ASCII ones, or any code point from U+00C0 on, less the
 * signs U+00D7 and U+00F7, the punctuation and symbol blocks U+2000..U+2BFF and U+3000..U+303F, the private use area
 * U+E000..U+F8FF and the specials U+FFF0..U+FFFF.
 */
bool feed_text_vrm(const uint8_t text[16]);

#endif
