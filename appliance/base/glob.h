/*
 * Partial VRMs: a pattern in which `?` stands for exactly one character and `*` for any run of them, none included; it
 * has to cover the whole string (R30). A string is what a read carries: 16 bytes of UTF-8, zero padded. A character is
 * a code point. Case and spaces are not our business: matcher/vrm.h makes patterns over keys.
 *
 * A compiled glob is plain data: copy it, share it between threads, no fini. Matching needs at most 16 × 16 byte
 * compares whatever the pattern: runs of wildcards are collapsed, and only the last `*` is ever retried.
 *
 * A search plans with the public fields:
 *	exact		one string only: prefix, zero padded, is that string
 *	prefix		every match begins with these prefix_size bytes: a range of a sorted dictionary
 *	masked		one size only: glob_match_masked decides, fast enough for a scan over every string
 *	size_min/max	bytes of a match; size_min > 16 means that nothing ever matches
 */
#ifndef GANTRY_BASE_GLOB_H
#define GANTRY_BASE_GLOB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define GLOB_PATTERN_SIZE_MAX 64
#define GLOB_STRING_SIZE 16

struct glob {
	_Alignas(16) uint8_t mask[GLOB_STRING_SIZE]; /* valid when masked: 0xff where a byte is fixed, pad included */
	_Alignas(16) uint8_t value[GLOB_STRING_SIZE];
	uint8_t prefix[GLOB_STRING_SIZE];       /* zero padded */
	uint8_t pattern[GLOB_PATTERN_SIZE_MAX]; /* canonical: of adjacent wildcards the `?` first, then one `*` */
	uint8_t pattern_size;
	uint8_t prefix_size; /* at most 16 */
	uint8_t size_min;    /* bytes */
	uint8_t size_max;    /* bytes, at most 16 */
	uint8_t wildcards;   /* `?` and `*` left in the canonical pattern */
	bool exact;          /* no wildcard, and it fits a string */
	bool masked;         /* ASCII without `*`, and it fits a string; exact ones too */
};

/* 0; -EINVAL and ret untouched when the pattern is empty, over 64 bytes, not UTF-8, or holds a NUL. */
int glob_compile(const char *pattern, size_t size, struct glob *ret_glob);

/* Any thread. A string that is not UTF-8 is safe: a byte and the continuations behind it count as one character. */
bool glob_match(const struct glob *glob, const uint8_t string[GLOB_STRING_SIZE]);

/*
 * The same answer as glob_match for an ASCII string (every VRM key is one) and a masked glob. The last byte is looked
 * at apart, because a `?` at the end would accept the pad.
 */
static inline bool glob_match_masked(const struct glob *glob, const uint8_t string[GLOB_STRING_SIZE])
{
	uint64_t s[2], m[2], v[2];

	memcpy(s, string, sizeof(s));
	memcpy(m, glob->mask, sizeof(m));
	memcpy(v, glob->value, sizeof(v));
	return (((s[0] & m[0]) ^ v[0]) | ((s[1] & m[1]) ^ v[1])) == 0 && string[glob->size_min - 1] != 0;
}

#endif
