#include "storage/lane.h"

#include <assert.h>
#include <string.h>

/* A stretch of the ring of bits that lies in one word. */
struct lane_piece {
	uint32_t word;
	uint32_t shift;
	uint32_t count;
};

static inline struct lane_piece lane_piece_of(const struct lane_window *window, uint64_t sequence, uint64_t count)
{
	uint32_t position = (uint32_t)sequence & (window->size - 1);
	struct lane_piece piece = {.word = position / 64, .shift = position % 64};
	uint64_t room = 64 - piece.shift;

	piece.count = (uint32_t)(count < room ? count : room);
	return piece;
}

static inline uint64_t lane_piece_mask(struct lane_piece piece)
{
	uint64_t mask = piece.count == 64 ? UINT64_MAX : (UINT64_C(1) << piece.count) - 1;

	return mask << piece.shift;
}

static void lane_bits_set(const struct lane_window *window, uint64_t *words, uint64_t first, uint64_t count)
{
	while (count > 0) {
		struct lane_piece piece = lane_piece_of(window, first, count);

		words[piece.word] |= lane_piece_mask(piece);
		first += piece.count;
		count -= piece.count;
	}
}

static void lane_bits_clear(const struct lane_window *window, uint64_t *words, uint64_t first, uint64_t count)
{
	while (count > 0) {
		struct lane_piece piece = lane_piece_of(window, first, count);

		words[piece.word] &= ~lane_piece_mask(piece);
		first += piece.count;
		count -= piece.count;
	}
}

/* Up to 32 bits from `first` on, lowest = first. A word boundary may lie between; the ring is whole words, so it wraps.
 */
static uint32_t lane_bits_get(const struct lane_window *window, const uint64_t *words, uint64_t first)
{
	uint32_t position = (uint32_t)first & (window->size - 1);
	uint32_t word = position / 64;
	uint32_t shift = position % 64;
	uint64_t low = words[word] >> shift;
	uint64_t high = shift == 0 ? 0 : words[(word + 1) & (window->size / 64 - 1)] << (64 - shift);

	return (uint32_t)(low | high);
}

void lane_init(struct lane_window *window, uint64_t base, uint32_t size, uint64_t *taken, uint64_t *durable)
{
	assert(size >= LANE_WINDOW_SIZE_MIN);
	assert((size & (size - 1)) == 0);
	memset(taken, 0, size / 8);
	memset(durable, 0, size / 8);
	*window = (struct lane_window){
		.base = base, .highest = base - 1, .taken = taken, .durable = durable, .size = size};
}

static inline uint32_t lane_low_bits(uint64_t count)
{
	return count >= 32 ? UINT32_MAX : (UINT32_C(1) << count) - 1;
}

void lane_judge(const struct lane_window *window, uint64_t first, unsigned count, struct lane_fates *ret_fates)
{
	uint32_t all = lane_low_bits(count);
	uint32_t behind = 0;
	uint32_t within;
	uint32_t taken;
	uint32_t durable;

	assert(count <= LANE_RUN_MAX);
	if (first < window->base)
		behind = lane_low_bits(window->base - first) & all;
	/* How many of the sequences lie below the window's end, counted so that nothing overflows near the last number.
	 */
	if (first < window->base)
		within = all & ~behind; /* the window is wider than a run */
	else if (first - window->base >= window->size)
		within = 0;
	else
		within = all & lane_low_bits(window->size - (first - window->base));
	if (first > UINT64_MAX - LANE_RUN_MAX)
		within = 0; /* numbers end here: nothing sensible can follow */
	taken = within == 0 ? 0 : lane_bits_get(window, window->taken, first) & within;
	durable = within == 0 ? 0 : lane_bits_get(window, window->durable, first) & within;
	*ret_fates = (struct lane_fates){
		.fresh = within & ~taken,
		.pending = taken & ~durable,
		.durable = durable | behind,
		.beyond = all & ~within & ~behind,
	};
}

void lane_take(struct lane_window *window, uint64_t first, unsigned count)
{
	assert(first >= window->base);
	assert(first - window->base + count <= window->size);
	lane_bits_set(window, window->taken, first, count);
	if (first + count - 1 > window->highest)
		window->highest = first + count - 1;
}

/* Moves base over the contiguous durable prefix and frees its bits for the numbers a window further on. */
static void lane_advance(struct lane_window *window)
{
	while (window->base <= window->highest) {
		struct lane_piece piece = lane_piece_of(window, window->base, 64);
		uint64_t bits = ~(window->durable[piece.word] >> piece.shift);
		uint32_t run = bits == 0 ? 64 : (uint32_t)__builtin_ctzll(bits);

		if (run > piece.count)
			run = piece.count;
		if (run == 0)
			return;
		lane_bits_clear(window, window->taken, window->base, run);
		lane_bits_clear(window, window->durable, window->base, run);
		window->base += run;
		if (run < piece.count)
			return;
	}
}

/* What of first … end − 1 was never taken will not come: done with, like what is durable. Returns how many. */
static uint64_t lane_settle(struct lane_window *window, uint64_t first, uint64_t end)
{
	uint64_t settled = 0;

	while (first < end) {
		struct lane_piece piece = lane_piece_of(window, first, end - first);
		uint64_t bits = lane_piece_mask(piece) & ~window->taken[piece.word];

		window->taken[piece.word] |= bits;
		window->durable[piece.word] |= bits;
		settled += (uint64_t)__builtin_popcountll(bits);
		first += piece.count;
	}
	return settled;
}

uint64_t lane_take_up(struct lane_window *window, uint64_t lowest)
{
	uint64_t end = window->base + window->size;
	uint64_t inside = lowest < end ? lowest : end;
	uint64_t lost;

	if (lowest <= window->base)
		return 0;
	lost = lane_settle(window, window->base, inside);
	if (window->highest < inside - 1)
		window->highest = inside - 1;
	lane_advance(window);
	/* Beyond the window nothing was taken; it follows once nothing in the window is on its way to the disk. */
	if (window->base == end && lowest > end) {
		lost += lowest - end;
		window->base = lowest;
		window->highest = lowest - 1;
	}
	return lost;
}

void lane_durable(struct lane_window *window, const struct run *run)
{
	uint64_t first = run->first;
	uint64_t end = run->first + run->count;

	/* Numbers that lane_take_up has passed meanwhile are stored all the same. */
	if (first < window->base)
		first = window->base;
	assert(end <= first || end - window->base <= window->size);
	if (end > first)
		lane_bits_set(window, window->durable, first, end - first);
	if (run->refusal == REFUSAL_NONE)
		window->stored_total += run->count;
	else
		window->refused_total += run->count;
	if (end > first && first == window->base)
		lane_advance(window);
}

/* The first sequence ≥ from, ≤ last, whose durable bit is `wanted`; last + 1 when there is none. */
static uint64_t lane_find(const struct lane_window *window, uint64_t from, uint64_t last, bool wanted)
{
	while (from <= last) {
		struct lane_piece piece = lane_piece_of(window, from, last - from + 1);
		uint64_t bits = wanted ? window->durable[piece.word] : ~window->durable[piece.word];

		bits &= lane_piece_mask(piece);
		if (bits != 0)
			return from + (uint64_t)__builtin_ctzll(bits) - piece.shift;
		from += piece.count;
	}
	return last + 1;
}

void lane_mark(const struct lane_window *window, struct lane_mark *ret_mark)
{
	uint64_t at = window->base;
	unsigned count = 0;

	while (count < LANE_RANGES_MAX) {
		uint64_t first = lane_find(window, at, window->highest, true);

		if (first > window->highest)
			break;
		at = lane_find(window, first, window->highest, false);
		ret_mark->ranges[count++] = (struct lane_range){.first = first, .last = at - 1};
	}
	ret_mark->cumulative = window->base - 1;
	ret_mark->range_count = count;
	ret_mark->stored_total = window->stored_total;
	ret_mark->refused_total = window->refused_total;
}
