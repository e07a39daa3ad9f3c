/*
 * Scene pages. Camera and unit together are one ascending number, the cell; the steps from one cell to the next are
 * small and fall off evenly, which is what a Rice code is best for: a step's upper bits in unary, its low bits as they
 * are. Row page numbers have no order that would shorten them: they are packed.
 */
#include "storage/segment_page.h"

#include <assert.h>
#include <errno.h>

#include "storage/bits.h"
#include "storage/column.h"

#define UNIT_BITS 13
#define UNITS ((unsigned)(DAY_US / 1000000 / SEGMENT_SCENE_UNIT_S))
static_assert(UNITS <= 1u << UNIT_BITS, "a unit fits its place in the cell");
#define CELL_BITS (32 + UNIT_BITS)

#define UNARY_MAX 24 /* so many zeros, and the one behind them: the whole step follows */
#define LOW_MAX 31
static_assert(UNARY_MAX + 1 + LOW_MAX <= BITS_FAST && CELL_BITS <= BITS_FAST, "one load reads a step");

/* count u16, low bits of a step u8, width of page numbers u8, base of page numbers u32, first cell u64 */
#define SCENES_FIXED 16

static uint64_t cell_of(const struct segment_scene *scene)
{
	return (uint64_t)scene->camera << UNIT_BITS | scene->unit;
}

static size_t cost_of(const uint64_t *steps, unsigned count, unsigned low)
{
	size_t cost = 0;

	for (unsigned i = 1; i < count; i++) {
		uint64_t high = steps[i] >> low;

		cost += high < UNARY_MAX ? high + 1 + low : UNARY_MAX + 1 + CELL_BITS;
	}
	return cost;
}

/* The number of low bits that costs least: cost falls to its minimum and rises again. */
static unsigned choose_low(const uint64_t *steps, unsigned count)
{
	size_t best = cost_of(steps, count, 0);
	unsigned low = 0;

	for (; low < LOW_MAX; low++) {
		size_t cost = cost_of(steps, count, low + 1);

		if (cost >= best)
			break;
		best = cost;
	}
	return low;
}

static uint8_t *put_steps(const uint64_t *steps, unsigned count, unsigned low, uint8_t *at)
{
	struct bits_writer writer = {.at = at};

	for (unsigned i = 1; i < count; i++) {
		uint64_t high = steps[i] >> low;

		if (high < UNARY_MAX) {
			bits_put_fast(&writer, UINT64_C(1) << high, (unsigned)high + 1);
			bits_put_fast(&writer, steps[i] & ((UINT64_C(1) << low) - 1), low);
		} else {
			bits_put_fast(&writer, UINT64_C(1) << UNARY_MAX, UNARY_MAX + 1);
			bits_put_fast(&writer, steps[i], CELL_BITS);
		}
	}
	return bits_end(&writer);
}

size_t segment_scenes_encode(const struct segment_scene *scenes, unsigned count, uint8_t *page)
{
	uint64_t steps[SEGMENT_PAGE_SCENES], pages[SEGMENT_PAGE_SCENES];
	uint8_t *at = page + SCENES_FIXED;
	struct column column;
	unsigned low;

	for (unsigned i = 0; i < count; i++) {
		assert(scenes[i].unit < UNITS);
		steps[i] = cell_of(&scenes[i]) - (i > 0 ? cell_of(&scenes[i - 1]) : 0);
		pages[i] = scenes[i].page;
	}
	low = choose_low(steps, count);
	column = column_plan(pages, count);
	le16_put(page, (uint16_t)count);
	page[2] = (uint8_t)low;
	page[3] = (uint8_t)column.width;
	le32_put(page + 4, (uint32_t)column.base);
	le64_put(page + 8, steps[0]);
	at += column_pack(column, pages, count, at);
	return (size_t)(put_steps(steps, count, low, at) - page);
}

/* The next step; false when the bits end before it does. */
static bool get_step(struct bits_reader *reader, unsigned low, uint64_t *ret_step)
{
	uint64_t ahead = le64_get(reader->bytes + reader->at / 8) >> (reader->at % 8);
	unsigned high = (unsigned)__builtin_ctzll(ahead | UINT64_C(1) << UNARY_MAX);
	unsigned width = high < UNARY_MAX ? low : CELL_BITS;

	if (!bits_left(reader, high + 1 + width))
		return false;
	reader->at += high + 1;
	*ret_step = bits_get_fast(reader, width);
	if (high < UNARY_MAX)
		*ret_step |= (uint64_t)high << low;
	return true;
}

static int get_steps(struct bits_reader *reader, unsigned low, uint64_t cell, unsigned count,
		     struct segment_scene *ret_scenes)
{
	for (unsigned i = 0; i < count; i++) {
		uint64_t step = 0;

		if (i > 0 && !get_step(reader, low, &step))
			return -EBADMSG;
		cell += step;
		ret_scenes[i].camera = (uint32_t)(cell >> UNIT_BITS);
		ret_scenes[i].unit = (uint32_t)cell & ((1u << UNIT_BITS) - 1);
		if (cell >> CELL_BITS != 0 || ret_scenes[i].unit >= UNITS)
			return -EBADMSG;
	}
	return (reader->end - reader->at) < 8 ? 0 : -EBADMSG;
}

int segment_scenes_decode(const uint8_t *page, size_t size, struct segment_scene *ret_scenes, uint32_t *ret_count)
{
	uint64_t pages[SEGMENT_PAGE_SCENES];
	struct bits_reader reader = {.at = 0};
	struct column column;
	unsigned count;
	size_t packed;

	if (size < SCENES_FIXED)
		return -EBADMSG;
	count = le16_get(page);
	column = (struct column){le32_get(page + 4), page[3], 0};
	packed = SCENES_FIXED + column_size(column.width, count);
	if (count == 0 || count > SEGMENT_PAGE_SCENES || page[2] > LOW_MAX || column.width > 32 || packed > size)
		return -EBADMSG;
	(void)column_unpack(column, page + SCENES_FIXED, count, pages);
	reader.bytes = page + packed;
	reader.end = (size - packed) * 8;
	if (get_steps(&reader, page[2], le64_get(page + 8), count, ret_scenes) < 0)
		return -EBADMSG;
	for (unsigned i = 0; i < count; i++)
		ret_scenes[i].page = (uint32_t)pages[i];
	*ret_count = count;
	return 0;
}
