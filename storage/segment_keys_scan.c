/*
 * A pattern against a dictionary page. For each class the pattern becomes a few tests on numbers: one for each way to
 * stretch its stars over the positions and, in a class of keys of several lengths, for each length. Most of them die at
 * once because a character does not occur at its place in this page. Where there would be too many, and for keys that
 * are no numbers, every key is written out and compared.
 */
#include <errno.h>
#include <string.h>

#include "appliance/base/glob.h"
#include "storage/segment_keys.h"
#include "storage/segment_keys_class.h"
#include "storage/segment_keys_lanes.h"

#define TESTS_MAX 32
#define TRIALS_MAX 512 /* ways to lay a pattern that are looked at: more cost as much as comparing the keys */

struct tests {
	struct key_test all[TESTS_MAX];
	unsigned count;
	unsigned trials;
	bool too_many;
};

/* Adds position p's wish to the test: the pattern's byte, 0 for the end of the text, '?' for any symbol but that. */
static bool wish(const struct key_numbers *numbers, unsigned p, uint8_t byte, struct key_test *test)
{
	const struct key_position *position = &numbers->at[p];
	uint64_t field = ((UINT64_C(1) << position->bits) - 1) << position->shift;
	unsigned symbol;

	if (byte == '?') {
		/* Only behind the last one may the text have ended: earlier ones are looked at by whoever comes last.
		 */
		if (position->set == 1)
			return false;
		test->some = position->set & 1 ? field : 0;
		return true;
	}
	symbol = key_symbol(byte);
	if (symbol == KEY_SYMBOLS || (position->set >> symbol & 1) == 0)
		return false;
	test->mask |= field;
	test->value |= key_rank(position->set, symbol) << position->shift;
	if (symbol != 0)
		test->some = 0;
	return true;
}

static void add_test(struct tests *tests, const struct key_test *test)
{
	if (tests->count == TESTS_MAX)
		tests->too_many = true;
	else
		tests->all[tests->count++] = *test;
}

/* What stands behind a text that ended at position p: the end, at every place. */
static void end_here(const struct key_numbers *numbers, unsigned p, struct key_test test, struct tests *tests)
{
	for (; p < numbers->positions; p++)
		if (!wish(numbers, p, 0, &test))
			return;
	add_test(tests, &test);
}

/*
 * The pattern from `i` on laid at position p. A star at the end takes whatever follows; another one is tried at every
 * length, which is bounded by the positions.
 */
static void lay(const struct key_numbers *numbers, const struct glob *glob, unsigned i, unsigned p,
		struct key_test test, struct tests *tests)
{
	if (++tests->trials > TRIALS_MAX)
		tests->too_many = true;
	for (; i < glob->pattern_size && glob->pattern[i] != '*'; i++, p++)
		if (p >= numbers->positions || !wish(numbers, p, glob->pattern[i], &test))
			return;
	if (i == glob->pattern_size) {
		end_here(numbers, p, test, tests);
		return;
	}
	if (i + 1 == glob->pattern_size) {
		add_test(tests, &test);
		return;
	}
	for (; p < numbers->positions && !tests->too_many; p++) {
		lay(numbers, glob, i + 1, p, test, tests);
		if (!wish(numbers, p, '?', &test))
			return;
	}
}

static void glob_keys(const struct glob *glob, const uint8_t (*keys)[16], uint32_t count, uint64_t *bits)
{
	for (uint32_t i = 0; i < count; i++)
		if (glob_match(glob, keys[i]))
			bits[i / 64] |= UINT64_C(1) << (i % 64);
}

static int glob_class(const struct glob *glob, const struct key_class_bytes *class, uint64_t *bits)
{
	uint8_t keys[SEGMENT_PAGE_KEYS][16];
	int r = key_class_decode(class, keys);

	if (r == 0)
		glob_keys(glob, keys, class->count, bits);
	return r;
}

/* Bit i of `bits` for each key i of the class that matches. */
static int scan_class(const struct glob *glob, const struct key_class_bytes *class, uint64_t *bits)
{
	unsigned steps = key_steps(class->count);
	struct key_numbers numbers;
	struct key_values values;
	struct tests tests;

	if (class->form == KEY_FORM_RAW)
		return glob_class(glob, class, bits);
	if (key_class_numbers(class, &numbers) < 0)
		return -EBADMSG;
	tests.count = tests.trials = 0;
	tests.too_many = false;
	lay(&numbers, glob, 0, 0, (struct key_test){0}, &tests);
	if (tests.too_many)
		return glob_class(glob, class, bits);
	if (tests.count == 0)
		return 0;
	if (key_class_values(class, &numbers, &values) < 0)
		return -EBADMSG;
	(void)key_lanes_test(&values, steps, tests.all, tests.count, bits);
	return 0;
}

/* Unmarks the keys that are not wanted on a closer look. */
static int sift(const struct segment_keys_query *query, const struct key_class_bytes *class, uint64_t *bits)
{
	uint8_t keys[SEGMENT_PAGE_KEYS][16];

	if (key_class_decode(class, keys) < 0)
		return -EBADMSG;
	for (uint32_t i = 0; i < class->count; i++)
		if ((bits[i / 64] >> (i % 64) & 1) && !query->wanted(query->context, keys[i]))
			bits[i / 64] &= ~(UINT64_C(1) << (i % 64));
	return 0;
}

static bool any_bit(const uint64_t *bits, uint32_t count)
{
	for (uint32_t i = 0; i < (count + 63) / 64; i++)
		if (bits[i] != 0)
			return true;
	return false;
}

/* Row ranges of the keys marked in their classes; the marks behind a class's last key are those of no key. */
static int gather(const struct keys_page *page, uint64_t (*bits)[SEGMENT_PAGE_KEYS / 64],
		  struct segment_row_range *ret_ranges, uint32_t *ret_count)
{
	struct key_counts counts = key_counts_of(page);
	uint32_t next[KEY_CLASSES] = {0};
	uint64_t row = page->first_row;
	uint32_t found = 0;

	for (uint32_t i = 0; i < page->count; i++) {
		unsigned class = keys_page_class(page, i);
		uint32_t at = next[class]++;
		uint32_t count = key_counts_next(&counts);

		if (count == 0 || row + count > SEGMENT_ROWS_MAX)
			return -EBADMSG;
		if (bits[class][at / 64] >> (at % 64) & 1)
			ret_ranges[found++] = (struct segment_row_range){(uint32_t)row, (uint32_t)(row + count)};
		row += count;
	}
	*ret_count = found;
	return 0;
}

/* A class that may be empty. */
static int look_at_class(const struct segment_keys_query *query, const struct key_class_bytes *class, uint64_t *bits)
{
	if (class->count == 0)
		return 0;
	if (scan_class(query->glob, class, bits) < 0)
		return -EBADMSG;
	return query->wanted != NULL && any_bit(bits, class->count) ? sift(query, class, bits) : 0;
}

int segment_keys_scan(const uint8_t *page, size_t size, const struct segment_keys_query *query,
		      struct segment_row_range *ret_ranges, uint32_t *ret_range_count, uint32_t *ret_key_count)
{
	uint64_t bits[KEY_CLASSES][SEGMENT_PAGE_KEYS / 64] = {{0}};
	struct keys_page open;
	uint32_t found = 0;

	if (keys_page_open(page, size, &open) < 0)
		return -EBADMSG;
	for (unsigned class = 0; class < KEY_CLASSES; class ++)
		if (look_at_class(query, &open.classes[class], bits[class]) < 0)
			return -EBADMSG;
	if ((any_bit(bits[KEY_COMMON], open.classes[KEY_COMMON].count) ||
	     any_bit(bits[KEY_REST], open.classes[KEY_REST].count)) &&
	    gather(&open, bits, ret_ranges, &found) < 0)
		return -EBADMSG;
	*ret_range_count = found;
	*ret_key_count = open.count;
	return 0;
}
