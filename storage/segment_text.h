/*
 * VRM keys and texts in a row page. Pure functions, any thread.
 *
 * A key is a string over letters and digits: where it follows a key of the same size, only the characters behind what
 * they share are kept, six bits each. The text as received is mostly what the key lets one expect; what is not so is
 * kept as a patch or whole.
 */
#ifndef GANTRY_STORAGE_SEGMENT_TEXT_H
#define GANTRY_STORAGE_SEGMENT_TEXT_H

#include <stddef.h>
#include <stdint.h>

#include "appliance/base/read.h"
#include "storage/bits.h"
#include "storage/segment_cursor.h"

/* `previous`: the key before it, all zero for the first. key differs from previous unless it is the first. */
void segment_key_put(struct bits_writer *writer, const uint8_t *key, const uint8_t *previous);
/* key: the previous one, changed to the next. 0 or -EBADMSG. */
int segment_key_get(struct bits_reader *reader, uint8_t key[READ_TEXT_SIZE]);

/*
 * The text that a key makes one expect: the key itself; for a UK plate of the current form (two letters, two digits,
 * three letters) with the letters that keys fold into digits put back (0 to O, 1 to I).
 */
void segment_text_expect(const uint8_t key[READ_TEXT_SIZE], uint8_t ret_text[READ_TEXT_SIZE]);

/* A text that differs from `expected`. Returns where it ends. */
uint8_t *segment_text_put(uint8_t *at, const uint8_t *text, const uint8_t *expected);
/* text: the expected one, changed to the true one. 0 or -EBADMSG. */
int segment_text_get(struct segment_cursor *cursor, uint8_t text[READ_TEXT_SIZE]);

#endif
