/*
 * Encodes dictionary pages. The common class is made by dropping from each position the characters that are too seldom
 * for the bit that they cost every key, until nothing is gained; what is dropped makes up the rest.
 */
#include <string.h>

#include "appliance/base/bytes.h"
#include "storage/segment_cursor.h"
#include "storage/segment_keys.h"
#include "storage/segment_keys_class.h"

#define REST_COST 24  /* bits that a key costs more in the rest: found by trying */
#define DROP_ROUNDS 8 /* the second or third changes little already */

struct members {
	uint16_t index[SEGMENT_PAGE_KEYS]; /* of keys, ascending */
	unsigned count;
};

/* Symbols, then nothing but zeros. */
static bool is_clean(const uint8_t key[16])
{
	unsigned size = segment_text_size(key);

	for (unsigned p = 0; p < size; p++)
		if (key[p] == 0 || key_symbol(key[p]) == KEY_SYMBOLS)
			return false;
	return true;
}

static unsigned usual_size(const uint8_t (*keys)[16], unsigned count)
{
	unsigned sizes[17] = {0};
	unsigned best = 0;

	for (unsigned i = 0; i < count; i++)
		sizes[segment_text_size(keys[i])]++;
	for (unsigned size = 1; size <= 16; size++)
		if (sizes[size] > sizes[best])
			best = size;
	return best;
}

static unsigned bits_for(unsigned count)
{
	return count <= 1 ? 0 : 32 - (unsigned)__builtin_clz(count - 1);
}

/* Symbols that occur, most used first. Returns how many. */
static unsigned rank_symbols(const unsigned uses[KEY_SYMBOLS], unsigned order[KEY_SYMBOLS])
{
	unsigned found = 0;

	for (unsigned s = 0; s < KEY_SYMBOLS; s++) {
		unsigned at = found;

		if (uses[s] == 0)
			continue;
		for (; at > 0 && uses[order[at - 1]] < uses[s]; at--)
			order[at] = order[at - 1];
		order[at] = s;
		found++;
	}
	return found;
}

/* The symbols of one position that are worth their bits among these members: of all powers of two the best. */
static uint64_t worthy_set(const uint8_t (*keys)[16], const struct members *members, unsigned position)
{
	unsigned uses[KEY_SYMBOLS] = {0};
	unsigned order[KEY_SYMBOLS];
	unsigned found, all, worth, lost = 0;
	int64_t best = 0;
	uint64_t set = 0;

	for (unsigned i = 0; i < members->count; i++)
		uses[key_symbol(keys[members->index[i]][position])]++;
	found = rank_symbols(uses, order);
	all = bits_for(found);
	worth = found;
	for (unsigned bits = all, kept = found; bits-- > 0;) {
		int64_t gain;

		for (; kept > 1u << bits; kept--)
			lost += uses[order[kept - 1]];
		gain = (int64_t)members->count * (all - bits) - (int64_t)lost * REST_COST;
		if (gain > best) {
			best = gain;
			worth = kept;
		}
	}
	for (unsigned i = 0; i < worth; i++)
		set |= UINT64_C(1) << order[i];
	return set;
}

/* Keeps the members whose symbol at the position is in the set. */
static bool drop(const uint8_t (*keys)[16], struct members *members, unsigned position, uint64_t set)
{
	unsigned kept = 0;

	for (unsigned i = 0; i < members->count; i++) {
		members->index[kept] = members->index[i];
		kept += set >> key_symbol(keys[members->index[i]][position]) & 1;
	}
	if (kept == members->count)
		return false;
	members->count = kept;
	return true;
}

static void choose_common(const uint8_t (*keys)[16], unsigned count, struct members *common)
{
	unsigned size = usual_size(keys, count);
	bool again = true;

	common->count = 0;
	for (unsigned i = 0; i < count; i++) {
		common->index[common->count] = (uint16_t)i;
		common->count += segment_text_size(keys[i]) == size && is_clean(keys[i]);
	}
	for (unsigned round = 0; round < DROP_ROUNDS && again; round++) {
		again = false;
		for (unsigned p = 0; p < size && common->count > 0; p++)
			again |= drop(keys, common, p, worthy_set(keys, common, p));
	}
}

/* False when a member has no number. */
static bool plan_numbers(const uint8_t (*keys)[16], const struct members *members, struct key_numbers *numbers)
{
	memset(numbers, 0, sizeof(*numbers));
	for (unsigned i = 0; i < members->count; i++) {
		const uint8_t *key = keys[members->index[i]];

		if (!is_clean(key))
			return false;
		for (unsigned p = 0; p < 16; p++)
			numbers->at[p].set |= UINT64_C(1) << key_symbol(key[p]);
		if (segment_text_size(key) > numbers->positions)
			numbers->positions = (uint8_t)segment_text_size(key);
	}
	return key_numbers_plan(numbers);
}

static uint64_t number_of(const struct key_numbers *numbers, const uint8_t key[16])
{
	uint64_t number = 0;

	for (unsigned p = 0; p < numbers->positions; p++)
		number |= key_rank(numbers->at[p].set, key_symbol(key[p])) << numbers->at[p].shift;
	return number;
}

/* The width that makes a block smallest; wider distances become exceptions. */
static unsigned plan_width(const uint64_t (*distances)[KEY_LANES], unsigned steps)
{
	unsigned sizes[65] = {0};
	unsigned widest = 0, best_width, exceptions = 0;
	size_t best;

	for (unsigned i = 0; i < steps * KEY_LANES; i++) {
		uint64_t distance = distances[i / KEY_LANES][i % KEY_LANES];
		unsigned size = distance == 0 ? 0 : 64 - (unsigned)__builtin_clzll(distance);

		sizes[size]++;
		widest = size > widest ? size : widest;
	}
	best_width = widest;
	best = (size_t)key_words(steps, widest) * 8 * KEY_LANES;
	for (unsigned width = widest; width-- > 0 && widest - width <= KEY_EXCEPTION_BITS;) {
		size_t size;

		exceptions += sizes[width + 1];
		if (exceptions > KEY_EXCEPTIONS_MAX)
			break;
		size = (size_t)key_words(steps, width) * 8 * KEY_LANES + (size_t)exceptions * KEY_EXCEPTION_SIZE;
		if (size < best) {
			best = size;
			best_width = width;
		}
	}
	return best_width;
}

/* Word w of lane l lies at (w × 8 + l) × 8. */
static uint8_t *put_words(const uint64_t (*distances)[KEY_LANES], unsigned steps, unsigned width, uint8_t *at)
{
	unsigned words = key_words(steps, width);
	uint64_t mask = (UINT64_C(1) << width) - 1;

	memset(at, 0, (size_t)words * 8 * KEY_LANES);
	for (unsigned step = 0; step < steps && width > 0; step++) {
		unsigned word = step * width / 64, shift = step * width % 64;

		for (unsigned lane = 0; lane < KEY_LANES; lane++) {
			uint64_t low = distances[step][lane] & mask;
			uint8_t *to = at + ((size_t)word * KEY_LANES + lane) * 8;

			le64_put(to, le64_get(to) | low << shift);
			if (shift + width > 64)
				le64_put(to + (size_t)8 * KEY_LANES, low >> (64 - shift));
		}
	}
	return at + (size_t)words * 8 * KEY_LANES;
}

static uint8_t *put_block(const uint64_t (*distances)[KEY_LANES], unsigned steps, uint8_t *at)
{
	unsigned width = plan_width(distances, steps);
	uint8_t *count = at + 1;

	*at = (uint8_t)width;
	*count = 0;
	at = put_words(distances, steps, width, at + KEY_BLOCK_FIXED);
	for (unsigned i = 0; i < steps * KEY_LANES; i++) {
		uint64_t high = distances[i / KEY_LANES][i % KEY_LANES] >> width;

		if (high == 0)
			continue;
		le64_put(at, high << 16 | i);
		at += KEY_EXCEPTION_SIZE;
		++*count;
	}
	return at;
}

/* Numbers laid out in runs; what the last runs lack stands still. */
static uint8_t *put_packed(const uint8_t (*keys)[16], const struct members *members, const struct key_numbers *numbers,
			   uint8_t *at)
{
	uint64_t distances[KEY_STEPS_MAX][KEY_LANES] = {{0}};
	unsigned steps = key_steps(members->count);
	uint64_t last = 0;

	*at++ = KEY_FORM_PACKED;
	*at++ = numbers->positions;
	for (unsigned p = 0; p < numbers->positions; p++, at += KEY_SET_SIZE) {
		le32_put(at, (uint32_t)numbers->at[p].set);
		at[4] = (uint8_t)(numbers->at[p].set >> 32);
	}
	for (unsigned i = 0; i < steps * KEY_LANES; i++) {
		uint64_t number = i < members->count ? number_of(numbers, keys[members->index[i]]) : last;

		distances[i % steps][i / steps] = number - last;
		if (i % steps == 0) {
			le64_put(at, number);
			at += (numbers->bits + 7) / 8;
		}
		last = number;
	}
	for (unsigned step = 1; step < steps; step += KEY_BLOCK_STEPS)
		at = put_block(&distances[step], steps - step < KEY_BLOCK_STEPS ? steps - step : KEY_BLOCK_STEPS, at);
	return at;
}

static uint8_t *put_class(const uint8_t (*keys)[16], const struct members *members, uint8_t *at)
{
	struct key_numbers numbers;
	uint8_t *end = at + 1;

	if (members->count == 0)
		return at;
	if (plan_numbers(keys, members, &numbers)) {
		end = put_packed(keys, members, &numbers, at);
		if ((size_t)(end - at) <= 1 + (size_t)16 * members->count)
			return end;
	}
	*at = KEY_FORM_RAW;
	end = at + 1;
	for (unsigned i = 0; i < members->count; i++, end += 16)
		memcpy(end, keys[members->index[i]], 16);
	return end;
}

/* Elias gamma: as many zeros as the number has bits behind its first, then that one, then the others. */
static uint8_t *put_counts(const uint32_t *counts, unsigned count, uint8_t *at)
{
	uint64_t bits = 0;
	unsigned fill = 0;

	for (unsigned i = 0; i < count; i++) {
		unsigned behind = 31 - (unsigned)__builtin_clz(counts[i]);
		uint32_t low = counts[i] & ~(UINT32_C(1) << behind);

		for (unsigned part = 0; part < 2; part++) {
			bits |= (part == 0 ? UINT64_C(1) << behind : (uint64_t)low) << fill;
			fill += part == 0 ? behind + 1 : behind;
			for (; fill >= 8; fill -= 8, bits >>= 8)
				*at++ = (uint8_t)bits;
		}
	}
	if (fill > 0)
		*at++ = (uint8_t)bits;
	return at;
}

size_t segment_keys_encode(const uint8_t (*keys)[16], const uint32_t *counts, unsigned count, uint32_t first_row,
			   uint8_t *page)
{
	struct members common, rest = {.count = 0};
	uint8_t *at = page + KEYS_FIXED;
	uint8_t *class;

	choose_common(keys, count, &common);
	for (unsigned i = 0, c = 0; i < count; i++) {
		if (c < common.count && common.index[c] == i)
			c++;
		else
			rest.index[rest.count++] = (uint16_t)i;
	}
	le16_put(page + KEYS_AT_COUNT, (uint16_t)count);
	le16_put(page + KEYS_AT_COMMON, (uint16_t)common.count);
	le32_put(page + KEYS_AT_FIRST_ROW, first_row);
	if (common.count > 0 && rest.count > 0) {
		memset(at, 0, (count + 7) / 8);
		for (unsigned i = 0; i < rest.count; i++)
			at[rest.index[i] / 8] |= (uint8_t)(1u << rest.index[i] % 8);
		at += (count + 7) / 8;
	}
	class = at;
	at = put_class(keys, &common, class);
	le16_put(page + KEYS_AT_COMMON_SIZE, (uint16_t)(at - class));
	class = at;
	at = put_class(keys, &rest, class);
	le16_put(page + KEYS_AT_REST_SIZE, (uint16_t)(at - class));
	return (size_t)(put_counts(counts, count, at) - page);
}
