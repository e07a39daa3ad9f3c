#include "mgmt/base64.h"

#include <errno.h>
#include <sodium.h>
#include <stdbool.h>

char *base64_encode(const void *bytes, size_t size, char *text)
{
	return sodium_bin2base64(text, BASE64_SIZE(size), bytes, size, sodium_base64_VARIANT_ORIGINAL);
}

/* libsodium 1.0.18 takes some bytes above 127 for characters of the alphabet. */
static bool is_ascii(const char *text, size_t size)
{
	for (size_t i = 0; i < size; i++)
		if ((unsigned char)text[i] > 127)
			return false;
	return true;
}

int base64_decode(const char *text, size_t text_size, void *bytes, size_t size_max, size_t *ret_size)
{
	const char *end = NULL;
	size_t size = 0;

	if (!is_ascii(text, text_size) ||
	    sodium_base642bin(bytes, size_max, text, text_size, NULL, &size, &end, sodium_base64_VARIANT_ORIGINAL) !=
		    0 ||
	    end != text + text_size)
		return -EBADMSG;
	*ret_size = size;
	return 0;
}
