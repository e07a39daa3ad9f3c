#include "matcher/vrm.h"

#include <assert.h>
#include <endian.h>
#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include "appliance/base/err.h"
#include "appliance/base/glob.h"
#include "appliance/base/utf8.h"
#include "matcher/vrm_table.h"

static_assert(READ_TEXT_SIZE == 16, "a text and a key are one vector");
static_assert(READ_TEXT_SIZE == GLOB_STRING_SIZE, "globs match keys");

/* GCC's portable vectors: SSE2, NEON or plain code, whatever the machine has. A comparison gives 0xff where true. */
typedef uint8_t vrm_vector __attribute__((vector_size(READ_TEXT_SIZE)));

static inline vrm_vector between(vrm_vector bytes, uint8_t low, uint8_t high)
{
	return (vrm_vector)((bytes >= low) & (bytes <= high));
}

static inline vrm_vector equal(vrm_vector bytes, uint8_t value)
{
	return (vrm_vector)(bytes == value);
}

/* Where bytes hold `from`, `to`. */
static inline vrm_vector replace(vrm_vector bytes, uint8_t from, uint8_t to)
{
	return bytes ^ (equal(bytes, from) & (uint8_t)(from ^ to));
}

/*
 * Letters, digits, and zeros from the first zero on. `zero` as an integer has its first byte lowest: every zero byte
 * but the last must have a zero byte above it.
 */
static inline bool plain(vrm_vector good, vrm_vector zero)
{
	uint64_t g[2], z[2];

	memcpy(g, &good, sizeof(g));
	memcpy(z, &zero, sizeof(z));
	z[0] = le64toh(z[0]);
	z[1] = le64toh(z[1]);
	return ((z[0] & ~(z[0] >> 8 | z[1] << 56)) | (z[1] & ~(z[1] >> 8 | UINT64_C(0xff) << 56)) | ~(g[0] & g[1])) ==
	       0;
}

static uint8_t letter_fold(char letter)
{
	return letter == 'O' ? '0' : letter == 'I' ? '1' : (uint8_t)letter;
}

/* Appends what the code point leaves; its size of UTF-8 bounds that, so a key cannot outgrow its text. */
static size_t key_append(uint32_t point, uint8_t *key, size_t size)
{
	const char *letters = vrm_letters(point);

	if (letters == NULL)
		return size;
	key[size++] = letter_fold(letters[0]);
	if (letters[1] != 0)
		key[size++] = letter_fold(letters[1]);
	return size;
}

static int key_by_table(const uint8_t text[READ_TEXT_SIZE], uint8_t ret_key[READ_TEXT_SIZE])
{
	const size_t text_size = strnlen((const char *)text, READ_TEXT_SIZE);
	uint8_t key[READ_TEXT_SIZE] = {0};
	size_t key_size = 0, step;
	uint32_t point;

	for (size_t i = text_size; i < READ_TEXT_SIZE; i++)
		if (text[i] != 0)
			return VRM_NOT_UTF8;
	for (size_t i = 0; i < text_size; i += step) {
		step = utf8_next(text + i, text_size - i, &point);
		if (step == 0)
			return VRM_NOT_UTF8;
		key_size = key_append(point, key, key_size);
		assert(key_size <= i + step);
	}
	if (key_size == 0)
		return VRM_NO_LETTER;
	memcpy(ret_key, key, sizeof(key));
	return 0;
}

/* Nearly every text is nothing but ASCII letters and digits: those are done sixteen at once, without a branch. */
int vrm_key(const uint8_t text[READ_TEXT_SIZE], uint8_t ret_key[READ_TEXT_SIZE])
{
	vrm_vector bytes, zero;

	memcpy(&bytes, text, sizeof(bytes));
	bytes ^= between(bytes, 'a', 'z') & (uint8_t)('a' ^ 'A');
	zero = equal(bytes, 0);
	if (text[0] == 0 || !plain(between(bytes, '0', '9') | between(bytes, 'A', 'Z') | zero, zero))
		return key_by_table(text, ret_key);
	bytes = replace(replace(bytes, 'O', '0'), 'I', '1');
	memcpy(ret_key, &bytes, sizeof(bytes));
	return 0;
}

void vrm_fold(const uint8_t key[READ_TEXT_SIZE], uint8_t ret_folded[READ_TEXT_SIZE])
{
	vrm_vector bytes;

	memcpy(&bytes, key, sizeof(bytes));
	bytes = replace(replace(replace(bytes, 'O', '0'), 'D', '0'), 'Q', '0');
	bytes = replace(replace(replace(bytes, 'I', '1'), 'Z', '2'), 'S', '5');
	bytes = replace(replace(bytes, 'B', '8'), 'G', '6');
	memcpy(ret_folded, &bytes, sizeof(bytes));
}

/* As many H as the weight has room for, an H being worth two, then what is left. The bytes written. */
static size_t run_write(size_t weight, uint8_t *at)
{
	memset(at, 'H', weight / 2);
	if (weight % 2 != 0)
		at[weight / 2] = '1';
	return weight / 2 + weight % 2;
}

void vrm_alike(const uint8_t key[READ_TEXT_SIZE], uint8_t ret_canonical[READ_TEXT_SIZE])
{
	uint8_t folded[READ_TEXT_SIZE + 1] = {0}, canonical[READ_TEXT_SIZE] = {0};
	size_t size = 0, weight = 0;
	uint8_t runs = 0;

	vrm_fold(key, folded);
	for (size_t i = 0; i < READ_TEXT_SIZE; i++)
		runs |= (folded[i] == 'H') | ((folded[i] == '1') & (folded[i + 1] == '1'));
	if (runs == 0) {
		memcpy(ret_canonical, folded, READ_TEXT_SIZE);
		return;
	}
	for (size_t i = 0; i < READ_TEXT_SIZE && folded[i] != 0; i++) {
		if (folded[i] == 'H' || folded[i] == '1') {
			weight += folded[i] == 'H' ? 2 : 1;
			continue;
		}
		size += run_write(weight, canonical + size);
		weight = 0;
		canonical[size++] = folded[i];
	}
	(void)run_write(weight, canonical + size);
	memcpy(ret_canonical, canonical, READ_TEXT_SIZE);
}

/* Characters of a pattern over keys. `any`: what stands for one character of a text, which may leave 0 to 2 in its key.
 */
static int pattern_keys(const char *pattern, size_t size, char any, struct err *err,
			uint8_t ret_key[GLOB_PATTERN_SIZE_MAX], size_t *ret_size)
{
	size_t key_size = 0, step;
	uint32_t point;

	if (size > GLOB_PATTERN_SIZE_MAX)
		return err_set(err, -EINVAL, "the VRM is longer than %d bytes", GLOB_PATTERN_SIZE_MAX);
	for (size_t i = 0; i < size; i += step) {
		step = utf8_next((const uint8_t *)pattern + i, size - i, &point);
		if (step == 0 || point == 0)
			return err_set(err, -EINVAL, "the VRM is not UTF-8 text");
		if (point == '?' || point == '*')
			ret_key[key_size++] = point == '?' ? (uint8_t)any : '*';
		else
			key_size = key_append(point, ret_key, key_size);
	}
	*ret_size = key_size;
	return 0;
}

static int pattern_glob(const uint8_t *key, size_t key_size, struct err *err, struct glob *ret_glob)
{
	struct glob glob;

	if (glob_compile((const char *)key, key_size, &glob) < 0)
		return err_set(err, -EINVAL, "the VRM has no letter, digit, ? or *");
	if (glob.size_min > GLOB_STRING_SIZE)
		return err_set(err, -EINVAL, "the VRM is longer than any can be (%d characters)", GLOB_STRING_SIZE);
	*ret_glob = glob;
	return 0;
}

int vrm_pattern_key(const char *pattern, size_t size, struct err *err, struct glob *ret_glob)
{
	uint8_t key[GLOB_PATTERN_SIZE_MAX];
	size_t key_size = 0;
	int status = pattern_keys(pattern, size, '?', err, key, &key_size);

	return status < 0 ? status : pattern_glob(key, key_size, err, ret_glob);
}

int vrm_pattern_folded(const char *pattern, size_t size, struct err *err, struct glob *ret_glob)
{
	uint8_t key[GLOB_PATTERN_SIZE_MAX] = {0};
	size_t key_size = 0;
	int status = pattern_keys(pattern, size, '?', err, key, &key_size);

	static_assert(GLOB_PATTERN_SIZE_MAX % READ_TEXT_SIZE == 0, "folded a vector at a time");
	if (status < 0)
		return status;
	for (size_t i = 0; i < sizeof(key); i += READ_TEXT_SIZE)
		vrm_fold(key + i, key + i);
	return pattern_glob(key, key_size, err, ret_glob);
}

int vrm_pattern_text(const char *pattern, size_t size, struct err *err, struct glob *ret_text, struct glob *ret_key)
{
	uint8_t key[GLOB_PATTERN_SIZE_MAX];
	struct glob text;
	size_t key_size = 0;
	int status = pattern_keys(pattern, size, '*', err, key, &key_size);

	if (status < 0)
		return status;
	if (glob_compile(pattern, size, &text) < 0)
		return err_set(err, -EINVAL, "the VRM is empty");
	if (key_size > 0) {
		status = pattern_glob(key, key_size, err, ret_key);
		if (status < 0)
			return status;
	}
	*ret_text = text;
	return key_size > 0 ? 0 : VRM_NO_LETTER;
}
