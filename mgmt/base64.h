/* Base64 (RFC 4648 section 4, padded) through libsodium, strictly: one text for each run of bytes. Any thread. */
#ifndef GANTRY_MGMT_BASE64_H
#define GANTRY_MGMT_BASE64_H

#include <stddef.h>

#define BASE64_SIZE(size) (((size) + 2) / 3 * 4 + 1) /* of the text, its NUL included */

/* `text` takes BASE64_SIZE(size) bytes and is returned. */
char *base64_encode(const void *bytes, size_t size, char *text);

/* At most size_max bytes. -EBADMSG when the text is anything but their encoding. */
int base64_decode(const char *text, size_t text_size, void *bytes, size_t size_max, size_t *ret_size);

#endif
