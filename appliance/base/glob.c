#include "appliance/base/glob.h"

#include <errno.h>

#include "appliance/base/utf8.h"

/* 0, or -EINVAL for what no string could be compared with. */
static int pattern_check(const uint8_t *pattern, size_t size)
{
	uint32_t point;
	size_t step;

	if (size == 0 || size > GLOB_PATTERN_SIZE_MAX)
		return -EINVAL;
	for (size_t i = 0; i < size; i += step) {
		step = utf8_next(pattern + i, size - i, &point);
		if (step == 0 || point == 0)
			return -EINVAL;
	}
	return 0;
}

/* "*?*?" says the same as "??*": in that form no two stars meet, and the minimum comes first. */
static void pattern_collapse(const uint8_t *pattern, size_t size, struct glob *glob)
{
	bool star = false;

	for (size_t i = 0; i < size; i++) {
		if (pattern[i] == '*') {
			star = true;
			continue;
		}
		if (star && pattern[i] != '?') {
			glob->pattern[glob->pattern_size++] = '*';
			star = false;
		}
		glob->pattern[glob->pattern_size++] = pattern[i];
	}
	if (star)
		glob->pattern[glob->pattern_size++] = '*';
}

static void plan_sizes(struct glob *glob)
{
	size_t fixed = 0, ones = 0, stars = 0;
	size_t size_max;

	for (size_t i = 0; i < glob->pattern_size; i++) {
		ones += glob->pattern[i] == '?';
		stars += glob->pattern[i] == '*';
	}
	fixed = glob->pattern_size - ones - stars;
	size_max = stars > 0 ? GLOB_STRING_SIZE : fixed + 4 * ones;
	glob->wildcards = (uint8_t)(ones + stars);
	glob->size_min = (uint8_t)(fixed + ones);
	glob->size_max = (uint8_t)(size_max < GLOB_STRING_SIZE ? size_max : GLOB_STRING_SIZE);
	glob->exact = glob->wildcards == 0 && glob->size_min <= GLOB_STRING_SIZE;
	glob->masked = stars == 0 && glob->size_min <= GLOB_STRING_SIZE;
}

static void plan_prefix(struct glob *glob)
{
	while (glob->prefix_size < glob->pattern_size && glob->prefix_size < GLOB_STRING_SIZE) {
		uint8_t byte = glob->pattern[glob->prefix_size];

		if (byte == '?' || byte == '*')
			break;
		glob->prefix[glob->prefix_size++] = byte;
	}
}

static void plan_mask(struct glob *glob)
{
	for (size_t i = 0; i < glob->pattern_size; i++)
		glob->masked = glob->masked && glob->pattern[i] < 0x80;
	if (!glob->masked)
		return;
	memset(glob->mask, 0xff, sizeof(glob->mask));
	for (size_t i = 0; i < glob->pattern_size; i++) {
		glob->mask[i] = glob->pattern[i] == '?' ? 0 : 0xff;
		glob->value[i] = glob->pattern[i] & glob->mask[i];
	}
}

int glob_compile(const char *pattern, size_t size, struct glob *ret_glob)
{
	struct glob glob = {0};
	int status = pattern_check((const uint8_t *)pattern, size);

	if (status < 0)
		return status;
	pattern_collapse((const uint8_t *)pattern, size, &glob);
	plan_sizes(&glob);
	plan_prefix(&glob);
	plan_mask(&glob);
	*ret_glob = glob;
	return 0;
}

/* Where the next character begins. */
static size_t character_next(const uint8_t *string, size_t size, size_t at)
{
	at++;
	while (at < size && (string[at] & 0xc0) == 0x80)
		at++;
	return at;
}

/*
 * Greedy with one point of return: what a later star can reach, an earlier one need not be asked for again. Every
 * return moves the last star's end forward, so there are at most 16 of them.
 */
bool glob_match(const struct glob *glob, const uint8_t string[GLOB_STRING_SIZE])
{
	const uint8_t *pattern = glob->pattern;
	const size_t size = strnlen((const char *)string, GLOB_STRING_SIZE);
	size_t p = glob->prefix_size, s = glob->prefix_size;
	size_t star = SIZE_MAX, star_end = 0;

	if (size < glob->size_min || size > glob->size_max || memcmp(string, glob->prefix, glob->prefix_size) != 0)
		return false;
	for (;;) {
		if (p < glob->pattern_size && pattern[p] == '*') {
			star = p++;
			star_end = s;
		} else if (s < size && p < glob->pattern_size && pattern[p] == '?') {
			s = character_next(string, size, s);
			p++;
		} else if (s < size && p < glob->pattern_size && pattern[p] == string[s]) {
			s++;
			p++;
		} else if (s == size && p == glob->pattern_size) {
			return true;
		} else if (star != SIZE_MAX && star_end < size) {
			star_end = character_next(string, size, star_end);
			s = star_end;
			p = star + 1;
		} else {
			return false;
		}
	}
}
