/*
 * Inside of dictionary pages, shared by segment_keys*.c alone: where things lie in a page, and a class of keys as
 * numbers.
 */
#ifndef GANTRY_STORAGE_SEGMENT_KEYS_CLASS_H
#define GANTRY_STORAGE_SEGMENT_KEYS_CLASS_H

#include <assert.h>
#include <stdbool.h>
#include <stdint.h>

#include "storage/segment_format.h"

#define KEY_SYMBOLS 37 /* the end of the text, 0 … 9, A … Z: in the order of their bytes */
#define KEY_SET_SIZE 5 /* bytes of a set of symbols */
#define KEY_BITS_MAX 63
#define KEY_LANES 8
#define KEY_BLOCK_STEPS 64 /* of a block of distances: so a block is a whole number of words whatever its width */
#define KEY_STEPS_MAX ((SEGMENT_PAGE_KEYS + KEY_LANES - 1) / KEY_LANES)
#define KEY_BLOCK_FIXED 2      /* width, number of exceptions */
#define KEY_EXCEPTION_SIZE 8   /* step × 8 + lane in two bytes, the distance's bits above the width in six */
#define KEY_EXCEPTIONS_MAX 255 /* of a block */
#define KEY_EXCEPTION_BITS 48

/* Of a page. */
#define KEYS_AT_COUNT 0
#define KEYS_AT_COMMON 2
#define KEYS_AT_FIRST_ROW 4
#define KEYS_AT_COMMON_SIZE 8
#define KEYS_AT_REST_SIZE 10
#define KEYS_FIXED 12
static_assert(SEGMENT_PAGE_SIZE_MAX <= 1 << 16, "sizes inside a page fit two bytes");

/* First byte of a class. */
enum key_form { KEY_FORM_PACKED = 1, KEY_FORM_RAW = 2 };

enum key_class { KEY_COMMON = 0, KEY_REST = 1, KEY_CLASSES = 2 };

/* A position's field in the number. */
struct key_position {
	uint64_t set; /* bit s: symbol s occurs */
	uint8_t shift;
	uint8_t bits;
};

/* How a class makes numbers of keys. */
struct key_numbers {
	struct key_position at[16];
	uint8_t positions; /* what lies behind is zero in every key */
	uint8_t bits;      /* of a number, 0 … KEY_BITS_MAX */
};

/* Numbers of a class: number i stands at [i % steps][i / steps]. */
struct key_values {
	_Alignas(64) uint64_t at[KEY_STEPS_MAX][KEY_LANES];
};

static inline unsigned key_steps(unsigned count)
{
	return (count + KEY_LANES - 1) / KEY_LANES;
}

/* Words of 64 bits that `steps` distances of a lane take. */
static inline unsigned key_words(unsigned steps, unsigned width)
{
	return (steps * width + 63) / 64;
}

/* KEY_SYMBOLS when the byte is none. */
static inline unsigned key_symbol(uint8_t byte)
{
	if (byte >= '0' && byte <= '9')
		return 1 + byte - '0';
	if (byte >= 'A' && byte <= 'Z')
		return 11 + byte - 'A';
	return byte == 0 ? 0 : KEY_SYMBOLS;
}

static inline uint64_t key_rank(uint64_t set, unsigned symbol)
{
	return (unsigned)__builtin_popcountll(set & ((UINT64_C(1) << symbol) - 1));
}

/* Fills shifts and bits from the sets; false when a number would not fit. */
bool key_numbers_plan(struct key_numbers *numbers);

/* One class of a page, its place found and checked. */
struct key_class_bytes {
	const uint8_t *at;
	uint32_t size;
	uint32_t count;
	enum key_form form;
};

/* A page taken apart. */
struct keys_page {
	struct key_class_bytes classes[KEY_CLASSES];
	const uint8_t *rest_bits; /* NULL: all keys are of one class */
	const uint8_t *counts;
	const uint8_t *end;
	uint32_t count;
	uint32_t first_row;
};
/* -EBADMSG. */
int keys_page_open(const uint8_t *page, size_t size, struct keys_page *ret_page);

/* Key i of the page is of this class. */
static inline unsigned keys_page_class(const struct keys_page *page, uint32_t i)
{
	if (page->rest_bits == NULL)
		return page->classes[KEY_COMMON].count == 0 ? KEY_REST : KEY_COMMON;
	return page->rest_bits[i / 8] >> (i % 8) & 1;
}

/* Of a packed class: -EBADMSG. */
int key_class_numbers(const struct key_class_bytes *class, struct key_numbers *ret_numbers);
int key_class_values(const struct key_class_bytes *class, const struct key_numbers *numbers,
		     struct key_values *ret_values);

/* The keys of a class of either form, one behind the other: -EBADMSG. */
int key_class_decode(const struct key_class_bytes *class, uint8_t (*ret_keys)[16]);

/* The numbers of rows, one key after the other, as Elias gamma codes. */
struct key_counts {
	const uint8_t *at;
	const uint8_t *end;
	uint64_t bits;
	unsigned fill;
};
static inline struct key_counts key_counts_of(const struct keys_page *page)
{
	return (struct key_counts){.at = page->counts, .end = page->end};
}
/* 0 when the bytes end or make no sense. */
uint32_t key_counts_next(struct key_counts *counts);

#endif
