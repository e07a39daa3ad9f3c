#include "storage/segment_keys_lanes.h"

#include <stddef.h>
#include <string.h>

#define KEY_TEST_STEPS 16 /* between two looks whether anything passed */

/* The compiler makes of one such vector what the target has: one, two or four registers. */
typedef uint64_t lanes __attribute__((vector_size(8 * KEY_LANES)));

#define LANES_INLINE static inline __attribute__((always_inline))

LANES_INLINE void lanes_load(const void *from, lanes *ret_lanes)
{
	memcpy(ret_lanes, from, sizeof(*ret_lanes));
}

LANES_INLINE void unpack(const uint8_t *words, unsigned width, unsigned steps, uint64_t (*values)[KEY_LANES])
{
	unsigned word_count = key_words(steps, width);
	uint64_t mask = (UINT64_C(1) << width) - 1;
	lanes sum, low, high;

	lanes_load(values - 1, &sum);
	for (unsigned step = 0, bit = 0; step < steps; step++, bit += width) {
		unsigned word = bit / 64, shift = bit % 64;

		if (width > 0) {
			/* At the end the word itself again: its bits fall above the mask. */
			unsigned behind = word + 1 < word_count ? word + 1 : word;

			lanes_load(words + (size_t)word * sizeof(lanes), &low);
			lanes_load(words + (size_t)behind * sizeof(lanes), &high);
			sum += (low >> shift | high << (63 - shift) << 1) & mask;
		}
		memcpy(values[step], &sum, sizeof(sum));
	}
}

LANES_INLINE void passes(const uint64_t *value, const struct key_test *test, lanes *ret_passes)
{
	lanes number;

	lanes_load(value, &number);
	number |= UINT64_C(1) << 63; /* what `some` asks for when it asks for nothing */
	*ret_passes = (lanes)((number & test->mask) == test->value) & (lanes)((number & test->some) != 0);
}

static void mark(const struct key_values *values, unsigned first, unsigned end, unsigned steps,
		 const struct key_test *test, uint64_t *bits)
{
	for (unsigned step = first; step < end; step++) {
		for (unsigned lane = 0; lane < KEY_LANES; lane++) {
			uint64_t number = values->at[step][lane] | UINT64_C(1) << 63;
			unsigned i = lane * steps + step;

			if ((number & test->mask) == test->value && (number & test->some) != 0)
				bits[i / 64] |= UINT64_C(1) << (i % 64);
		}
	}
}

LANES_INLINE bool test_all(const struct key_values *values, unsigned steps, const struct key_test *tests,
			   unsigned count, uint64_t *bits)
{
	bool found = false;

	for (unsigned t = 0; t < count; t++) {
		struct key_test test = tests[t];

		if (test.some == 0)
			test.some = UINT64_C(1) << 63;
		for (unsigned first = 0; first < steps; first += KEY_TEST_STEPS) {
			unsigned end = first + KEY_TEST_STEPS < steps ? first + KEY_TEST_STEPS : steps;
			lanes any = {0}, one;
			uint64_t folded = 0;

			for (unsigned step = first; step < end; step++) {
				passes(values->at[step], &test, &one);
				any |= one;
			}
			for (unsigned lane = 0; lane < KEY_LANES; lane++)
				folded |= any[lane];
			if (folded == 0)
				continue;
			mark(values, first, end, steps, &test, bits);
			found = true;
		}
	}
	return found;
}

#if defined(__x86_64__)
#define VARIANT(suffix, target_name)                                                                                   \
	__attribute__((target(target_name))) static void unpack_##suffix(const uint8_t *words, unsigned width,         \
									 unsigned steps, uint64_t(*values)[KEY_LANES]) \
	{                                                                                                              \
		unpack(words, width, steps, values);                                                                   \
	}                                                                                                              \
	__attribute__((target(target_name))) static bool test_##suffix(const struct key_values *values,                \
								       unsigned steps, const struct key_test *tests,   \
								       unsigned count, uint64_t *bits)                 \
	{                                                                                                              \
		return test_all(values, steps, tests, count, bits);                                                    \
	}
VARIANT(avx512, "avx512f")
VARIANT(avx2, "avx2")
#define DISPATCH(call)                                                                                                 \
	do {                                                                                                           \
		if (__builtin_cpu_supports("avx512f"))                                                                 \
			return call(avx512);                                                                           \
		if (__builtin_cpu_supports("avx2"))                                                                    \
			return call(avx2);                                                                             \
	} while (0)
#else
#define DISPATCH(call)
#endif

void key_lanes_unpack(const uint8_t *words, unsigned width, unsigned steps, uint64_t (*values)[KEY_LANES])
{
#define CALL(suffix) unpack_##suffix(words, width, steps, values)
	DISPATCH(CALL);
#undef CALL
	unpack(words, width, steps, values);
}

bool key_lanes_test(const struct key_values *values, unsigned steps, const struct key_test *tests, unsigned count,
		    uint64_t *bits)
{
#define CALL(suffix) test_##suffix(values, steps, tests, count, bits)
	DISPATCH(CALL);
#undef CALL
	return test_all(values, steps, tests, count, bits);
}
