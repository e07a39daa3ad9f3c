#include "matcher/vrm_named.h"

#include <string.h>

#include "appliance/base/utf8.h"
#include "matcher/vrm.h"

/* The last characters of the text's key, as many as the one that is looked for has. */
struct tail {
	uint8_t chars[READ_TEXT_SIZE];
	size_t size;
	size_t max;
};

static void tail_add(struct tail *tail, uint8_t character)
{
	if (tail->size == tail->max)
		memmove(tail->chars, tail->chars + 1, --tail->size);
	tail->chars[tail->size++] = character;
}

bool vrm_named(const char *text, const uint8_t key[READ_TEXT_SIZE])
{
	struct tail tail = {.max = vrm_key_size(key)};
	size_t left = strlen(text);
	uint32_t point;

	if (tail.max < VRM_NAMED_MIN)
		return false;
	while (left > 0) {
		uint8_t one[READ_TEXT_SIZE] = {0};
		size_t size = utf8_next((const uint8_t *)text, left, &point);

		if (size == 0)
			return true;
		memcpy(one, text, size);
		text += size;
		left -= size;
		if (vrm_key(one, one) != 0)
			continue;
		for (size_t i = 0; i < vrm_key_size(one); i++) {
			tail_add(&tail, one[i]);
			if (tail.size == tail.max && memcmp(tail.chars, key, tail.max) == 0)
				return true;
		}
	}
	return false;
}
