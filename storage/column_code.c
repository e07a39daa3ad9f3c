#include "storage/column_code.h"

#include <errno.h>
#include <stdbool.h>

#include "storage/bits.h"
#include "storage/column.h"
#include "storage/varint.h"

/* First byte: the width, CODE_PATCHED added when patches follow; or CODE_SAME, CODE_RUNS. */
#define CODE_SAME 0x7e
#define CODE_RUNS 0x7f
#define CODE_PATCHED 0x80
#define WIDTH_MAX 64
#define LANES 4  /* in which lowest values are looked for apart */
#define STRAYS 2 /* so many of them may come from strays */

struct plan {
	struct column column;
	unsigned patches;
	size_t size; /* of the packed form, bytes, nearly */
	unsigned changes;
};

/* What is known of a column: how many distances from the lowest value have how many bits. */
struct profile {
	uint64_t low;
	uint64_t all_bits; /* of all distances */
	unsigned of_length[WIDTH_MAX + 1];
};

static bool all_same(const uint64_t *values, unsigned count)
{
	uint64_t differ = 0;

	for (unsigned i = 1; i < count; i++)
		differ |= values[i] ^ values[0];
	return differ == 0;
}

static unsigned count_changes(const uint64_t *values, unsigned count)
{
	unsigned changes = 0;

	for (unsigned i = 1; i < count; i++)
		changes += values[i] != values[i - 1];
	return changes;
}

static uint64_t lower(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

/* Ascending: the lowest of every LANES-th value. */
static void find_lows(const uint64_t *values, unsigned count, uint64_t ret_lows[LANES])
{
	uint64_t lows[LANES];

	for (unsigned l = 0; l < LANES; l++)
		lows[l] = values[l % count];
	for (unsigned i = LANES; i + LANES <= count; i += LANES)
		for (unsigned l = 0; l < LANES; l++)
			lows[l] = lower(lows[l], values[i + l]);
	for (unsigned i = count - count % LANES; i < count; i++)
		lows[0] = lower(lows[0], values[i]);
	for (unsigned l = 0; l < LANES; l++) {
		unsigned at = l;

		for (; at > 0 && ret_lows[at - 1] > lows[l]; at--)
			ret_lows[at] = ret_lows[at - 1];
		ret_lows[at] = lows[l];
	}
}

/* Four counts side by side: most values have the same length, and one counter would wait for itself. */
static void profile_make(const uint64_t *values, unsigned count, uint64_t low, struct profile *profile)
{
	uint16_t of_length[4][WIDTH_MAX + 1] = {0};
	uint64_t all = 0;
	unsigned i = 0;

	for (; i + 4 <= count; i += 4) {
		uint64_t a = values[i] - low, b = values[i + 1] - low;
		uint64_t c = values[i + 2] - low, d = values[i + 3] - low;

		all |= a | b | c | d;
		of_length[0][bits_of(a)]++;
		of_length[1][bits_of(b)]++;
		of_length[2][bits_of(c)]++;
		of_length[3][bits_of(d)]++;
	}
	for (; i < count; i++) {
		all |= values[i] - low;
		of_length[0][bits_of(values[i] - low)]++;
	}
	profile->low = low;
	profile->all_bits = all;
	for (unsigned l = 0; l <= WIDTH_MAX; l++)
		profile->of_length[l] = (unsigned)of_length[0][l] + of_length[1][l] + of_length[2][l] + of_length[3][l];
}

/* Tries each width that some value has, from the widest down, and keeps the one that costs least. */
static struct plan plan_packed(const struct profile *profile, unsigned count)
{
	unsigned shift = (unsigned)__builtin_ctzll(profile->all_bits);
	unsigned longest = bits_of(profile->all_bits);
	struct plan plan = {.column = {profile->low, longest - shift, shift}};
	size_t best = (size_t)count * (longest - shift);
	unsigned patches = 0;

	for (unsigned length = longest; length > shift && patches < count / 4;) {
		size_t cost;

		patches += profile->of_length[length--];
		while (length > shift && profile->of_length[length] == 0)
			length--;
		cost = (size_t)count * (length - shift);
		for (unsigned l = length + 1; l <= longest; l++)
			cost += (size_t)8 * profile->of_length[l] * (1 + varint_size(l - length));
		if (cost < best) {
			best = cost;
			plan.column.width = length - shift;
			plan.patches = patches;
		}
	}
	plan.size = (best + 7) / 8 + 3;
	return plan;
}

/*
 * Distances are counted from the lowest value, unless one or two strays lie far below all others (a camera whose clock
 * is ahead): then from the lowest of these, and the strays, being below it, wrap and become patches.
 */
static struct plan choose(const uint64_t *values, unsigned count)
{
	uint64_t lows[LANES];
	struct profile profile;
	struct plan plan, other;

	find_lows(values, count, lows);
	profile_make(values, count, lows[0], &profile);
	plan = plan_packed(&profile, count);
	if (lows[STRAYS] != lows[0] && bits_of((lows[STRAYS] - lows[0]) >> plan.column.shift) >= plan.column.width) {
		profile_make(values, count, lows[STRAYS], &profile);
		other = plan_packed(&profile, count);
		plan = other.size < plan.size ? other : plan;
	}
	plan.changes = count_changes(values, count);
	return plan;
}

static uint8_t *put_packed(const struct plan *plan, const uint64_t *values, unsigned count, uint8_t *at)
{
	struct column column = plan->column;
	unsigned above = column.width + column.shift;
	unsigned last = 0;

	*at++ = (uint8_t)(column.width | (plan->patches > 0 ? CODE_PATCHED : 0));
	*at++ = (uint8_t)column.shift;
	at = varint_put(at, column.base);
	at += column_pack(column, values, count, at);
	if (plan->patches == 0)
		return at;
	at = varint_put(at, plan->patches);
	for (unsigned i = 0; i < count; i++) {
		uint64_t high = (values[i] - column.base) >> above;

		if (high == 0)
			continue;
		at = varint_put(at, i - last);
		at = varint_put(at, high);
		last = i;
	}
	return at;
}

/* NULL when it does not fit into `room`. */
static uint8_t *put_runs(const struct plan *plan, const uint64_t *values, unsigned count, uint8_t *at, size_t room)
{
	const uint8_t *end = at + room;
	unsigned last = 0;

	*at++ = CODE_RUNS;
	at = varint_put(at, values[0]);
	at = varint_put(at, plan->changes);
	for (unsigned i = 1; i < count; i++) {
		if (values[i] == values[i - 1])
			continue;
		at = varint_put(at, i - last);
		at = varint_put(at, varint_fold(values[i] - values[i - 1]));
		last = i;
		if (at > end)
			return NULL;
	}
	return at;
}

uint8_t *column_code_put(const uint64_t *values, unsigned count, uint8_t *at)
{
	struct plan plan;

	if (all_same(values, count)) {
		*at = CODE_SAME;
		return varint_put(at + 1, values[0]);
	}
	plan = choose(values, count);
	if ((size_t)2 * plan.changes < plan.size) {
		uint8_t *end = put_runs(&plan, values, count, at, plan.size);

		if (end != NULL)
			return end;
	}
	return put_packed(&plan, values, count, at);
}

/* Adds gap and value of the next patch or change. */
static bool get_step(struct segment_cursor *cursor, unsigned count, uint64_t *at, uint64_t *ret_value)
{
	uint64_t gap;

	if (!varint_get(cursor, &gap) || gap >= count || !varint_get(cursor, ret_value))
		return false;
	*at += gap;
	return *at < count;
}

static int get_runs(struct segment_cursor *cursor, unsigned count, uint64_t *ret_values)
{
	uint64_t value, changes, step;
	uint64_t at = 0;
	unsigned i = 0;

	if (!varint_get(cursor, &value) || !varint_get(cursor, &changes) || changes >= count)
		return -EBADMSG;
	for (; changes > 0; changes--) {
		if (!get_step(cursor, count, &at, &step))
			return -EBADMSG;
		for (; i < at; i++)
			ret_values[i] = value;
		value += varint_unfold(step);
	}
	for (; i < count; i++)
		ret_values[i] = value;
	return 0;
}

static int get_patches(struct segment_cursor *cursor, unsigned count, unsigned shift, uint64_t *values)
{
	uint64_t patches, high;
	uint64_t at = 0;

	if (shift > 63 || !varint_get(cursor, &patches) || patches > count)
		return -EBADMSG;
	for (; patches > 0; patches--) {
		if (!get_step(cursor, count, &at, &high))
			return -EBADMSG;
		values[at] += high << shift;
	}
	return 0;
}

static int get_packed(struct segment_cursor *cursor, unsigned code, unsigned count, uint64_t *ret_values)
{
	struct column column = {.width = code & ~(unsigned)CODE_PATCHED};
	const uint8_t *bytes = segment_cursor_take(cursor, 1);

	if (bytes == NULL || *bytes > 63 || column.width > WIDTH_MAX || !varint_get(cursor, &column.base))
		return -EBADMSG;
	column.shift = *bytes;
	bytes = segment_cursor_take(cursor, column_size(column.width, count));
	if (bytes == NULL)
		return -EBADMSG;
	(void)column_unpack(column, bytes, count, ret_values);
	if ((code & CODE_PATCHED) == 0)
		return 0;
	return get_patches(cursor, count, column.width + column.shift, ret_values);
}

int column_code_get(struct segment_cursor *cursor, unsigned count, uint64_t *ret_values)
{
	const uint8_t *code = segment_cursor_take(cursor, 1);

	if (code == NULL)
		return -EBADMSG;
	if (*code == CODE_SAME)
		return varint_get(cursor, ret_values) ? 1 : -EBADMSG;
	if (*code == CODE_RUNS)
		return get_runs(cursor, count, ret_values);
	return get_packed(cursor, *code, count, ret_values);
}

int column_code_get_all(struct segment_cursor *cursor, unsigned count, uint64_t *ret_values)
{
	int r = column_code_get(cursor, count, ret_values);

	for (unsigned i = 1; r == 1 && i < count; i++)
		ret_values[i] = ret_values[0];
	return r < 0 ? r : 0;
}
