/*
 * VRM keys (R3): what is matched and searched in place of the text a camera sent.
 *
 * A key is 1 to 16 ASCII characters, zero padded, out of A–Z without I and O, and 0–9:
 *	- letters upper case; Latin letters with diacritics become their base letter (Ä→A, Ø→O, ß→SS, Æ→AE);
 *	- Greek and Cyrillic look-alikes become the Latin letter they look like (В→B, Ρ→P); what looks like no Latin
 *	  letter is transliterated (Д→D, Ж→ZH, Θ→TH). vrm_table.c holds every row, docs/ prints them;
 *	- letter O becomes digit 0 and letter I digit 1, for UK plates draw them alike;
 *	- everything else (spaces, dashes, dots, marks, other scripts) is left out.
 * A key never outgrows its text (no row is longer than its character's UTF-8), and the key of a key is that key.
 * The key's version stands in every header that keeps keys: change a row and you must raise it.
 *
 * All functions are pure: any thread, no allocation.
 */
#ifndef GANTRY_MATCHER_VRM_H
#define GANTRY_MATCHER_VRM_H

#include <stddef.h>
#include <stdint.h>

#include "appliance/base/bytes.h"
#include "appliance/base/read.h"

struct err;
struct glob;

#define VRM_KEY_VERSION 1
#define VRM_KEY_ALPHABET "0123456789ABCDEFGHJKLMNPQRSTUVWXYZ" /* ascending */

enum vrm_outcome {
	VRM_NOT_UTF8 = 1,  /* not UTF-8, or bytes behind the first zero */
	VRM_NO_LETTER = 2, /* nothing is left of it: no letter or digit that we know */
};

/* The hot path. 0, or an enum vrm_outcome with ret_key untouched. text and ret_key may be the same 16 bytes. */
int vrm_key(const uint8_t text[READ_TEXT_SIZE], uint8_t ret_key[READ_TEXT_SIZE]);

/*
 * Folds the classes that cameras misread, {0 O D Q} {1 I} {2 Z} {5 S} {8 B} {6 G}, each to its digit. They partition
 * the alphabet, so a misread-tolerant comparison is plain equality of folded keys.
 */
void vrm_fold(const uint8_t key[READ_TEXT_SIZE], uint8_t ret_folded[READ_TEXT_SIZE]);

/*
 * What tolerant entries are compared by: the folded key, in which moreover 11 and H are alike, because a camera takes
 * one for the other. Of each run of both, as many H as it has room for and then a 1 (an H is worth two): two keys are
 * alike when their canonical forms are equal, and no form outgrows its key. May be the same 16 bytes.
 */
void vrm_alike(const uint8_t key[READ_TEXT_SIZE], uint8_t ret_canonical[READ_TEXT_SIZE]);

/* Bytes of a key, 0 … 16. */
static inline size_t vrm_key_size(const uint8_t key[READ_TEXT_SIZE])
{
	uint64_t low = le64_get(key), high = le64_get(key + 8);

	if (high != 0)
		return 16 - (size_t)__builtin_clzll(high) / 8;
	return low != 0 ? 8 - (size_t)__builtin_clzll(low) / 8 : 0;
}

/*
 * A partial VRM as a person writes it ("ab1? cde") as a glob over keys: `?` and `*` stay, all else becomes key
 * characters as above. -EINVAL with the reason in err and ret untouched: empty, over 64 bytes, not UTF-8, or longer
 * than any key. Whether so few fixed characters are allowed is the caller's rule.
 */
int vrm_pattern_key(const char *pattern, size_t size, struct err *err, struct glob *ret_glob);

/* The same as a glob over folded keys. */
int vrm_pattern_folded(const char *pattern, size_t size, struct err *err, struct glob *ret_glob);

/*
 * A pattern over texts as they were received, in which `?` is one character of the text, and what it says of the key: a
 * text that matches ret_text has a key that matches ret_key. VRM_NO_LETTER with ret_key untouched: it has none.
 */
int vrm_pattern_text(const char *pattern, size_t size, struct err *err, struct glob *ret_text, struct glob *ret_key);

#endif
