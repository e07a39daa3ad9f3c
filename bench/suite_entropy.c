#include "bench/suite_entropy.h"

#include <errno.h>
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include <xxhash.h>

#include "storage/segment_text.h"

#define TABLE_MIN 1024
#define OCTAVE_BITS 4 /* classes to an octave: 2^4 */
#define CLASSES (64 << OCTAVE_BITS)

/* How often each symbol came; open addressing, symbol 0 is kept as ZERO. */
struct symbols {
	uint64_t *keys;
	uint32_t *counts;
	size_t capacity; /* power of two, or 0 */
	size_t used;
	uint64_t total;
};
#define ZERO UINT64_C(0xffffffffffffff00)

/* Symbols of which something is known beforehand. */
struct given {
	struct symbols conditions;
	struct symbols pairs;
};

/* Distances by sign and class, and the bits below their classes. */
struct distances {
	uint64_t counts[2 * CLASSES];
	uint64_t total;
	double below;
};

struct position {
	int32_t lat_e7;
	int32_t lon_e7;
};

struct suite_entropy {
	uint64_t rows;
	struct symbols cameras;
	struct symbols feeds;
	struct symbols plain[SUITE_COLUMNS];
	struct given key_shapes;
	struct given key_characters;
	struct given countries;
	struct given kinds;
	struct distances captures;
	struct distances receipts;
	struct distances latitudes;
	struct distances longitudes;
	struct position *positions; /* by camera */
	size_t position_count;
};

const char *suite_column_name(enum suite_column column)
{
	static const char *const names[SUITE_COLUMNS] = {
		[SUITE_COLUMN_GROUPS] = "groups",
		[SUITE_COLUMN_KEY] = "key",
		[SUITE_COLUMN_FORM] = "form",
		[SUITE_COLUMN_TEXT] = "text",
		[SUITE_COLUMN_CAPTURE] = "capture",
		[SUITE_COLUMN_RECEIPT] = "receipt",
		[SUITE_COLUMN_CAMERA] = "camera",
		[SUITE_COLUMN_FEED] = "feed",
		[SUITE_COLUMN_EPOCH] = "epoch",
		[SUITE_COLUMN_COUNTRY] = "country",
		[SUITE_COLUMN_FLAGS] = "flags",
		[SUITE_COLUMN_KIND] = "kind",
		[SUITE_COLUMN_CONFIDENCE] = "confidence",
		[SUITE_COLUMN_ROAD_LANE] = "road_lane",
		[SUITE_COLUMN_DIRECTION] = "direction",
		[SUITE_COLUMN_IMAGES] = "images",
		[SUITE_COLUMN_POSITION] = "position",
	};

	return names[column];
}

int suite_entropy_new(struct suite_entropy **ret_entropy)
{
	struct suite_entropy *entropy = calloc(1, sizeof(*entropy));

	if (entropy == NULL)
		return -ENOMEM;
	*ret_entropy = entropy;
	return 0;
}

static void symbols_fini(struct symbols *symbols)
{
	free(symbols->keys);
	free(symbols->counts);
}

static void given_fini(struct given *given)
{
	symbols_fini(&given->conditions);
	symbols_fini(&given->pairs);
}

struct suite_entropy *suite_entropy_free(struct suite_entropy *entropy)
{
	if (entropy == NULL)
		return NULL;
	symbols_fini(&entropy->cameras);
	symbols_fini(&entropy->feeds);
	given_fini(&entropy->key_shapes);
	given_fini(&entropy->key_characters);
	given_fini(&entropy->countries);
	given_fini(&entropy->kinds);
	for (unsigned i = 0; i < SUITE_COLUMNS; i++)
		symbols_fini(&entropy->plain[i]);
	free(entropy->positions);
	free(entropy);
	return NULL;
}

static size_t slot_of(const struct symbols *symbols, uint64_t key)
{
	size_t at = (size_t)((key * UINT64_C(0x9e3779b97f4a7c15)) >> 20) & (symbols->capacity - 1);

	while (symbols->keys[at] != 0 && symbols->keys[at] != key)
		at = (at + 1) & (symbols->capacity - 1);
	return at;
}

static int symbols_grow(struct symbols *symbols)
{
	struct symbols old = *symbols;

	symbols->capacity = old.capacity == 0 ? TABLE_MIN : 2 * old.capacity;
	symbols->keys = calloc(symbols->capacity, sizeof(*symbols->keys));
	symbols->counts = calloc(symbols->capacity, sizeof(*symbols->counts));
	if (symbols->keys == NULL || symbols->counts == NULL) {
		symbols_fini(symbols);
		*symbols = old;
		return -ENOMEM;
	}
	for (size_t i = 0; i < old.capacity; i++) {
		size_t at;

		if (old.keys[i] == 0)
			continue;
		at = slot_of(symbols, old.keys[i]);
		symbols->keys[at] = old.keys[i];
		symbols->counts[at] = old.counts[i];
	}
	symbols_fini(&old);
	return 0;
}

static int symbols_add(struct symbols *symbols, uint64_t symbol)
{
	uint64_t key = symbol == 0 ? ZERO : symbol;
	size_t at;

	if (2 * symbols->used >= symbols->capacity && symbols_grow(symbols) < 0)
		return -ENOMEM;
	at = slot_of(symbols, key);
	if (symbols->keys[at] == 0) {
		symbols->keys[at] = key;
		symbols->used++;
	}
	symbols->counts[at]++;
	symbols->total++;
	return 0;
}

/* All bits together, of every symbol added. */
static double symbols_bits(const struct symbols *symbols)
{
	double bits = 0;

	for (size_t i = 0; i < symbols->capacity; i++)
		if (symbols->counts[i] > 0)
			bits += symbols->counts[i] * log2((double)symbols->total / symbols->counts[i]);
	return bits;
}

static void distances_add(struct distances *distances, int64_t signed_distance)
{
	uint64_t distance = (uint64_t)(signed_distance < 0 ? -signed_distance : signed_distance);
	unsigned octave = distance < (1u << OCTAVE_BITS) ? OCTAVE_BITS : 63 - (unsigned)__builtin_clzll(distance);
	unsigned below = octave - OCTAVE_BITS;
	unsigned class = (below << OCTAVE_BITS) + (unsigned)(distance >> below);

	distances->counts[signed_distance < 0 ? CLASSES + class : class]++;
	distances->below += below;
	distances->total++;
}

static double distances_bits(const struct distances *distances)
{
	double bits = distances->below;

	for (unsigned i = 0; i < 2 * CLASSES; i++)
		if (distances->counts[i] > 0)
			bits += (double)distances->counts[i] *
				log2((double)distances->total / (double)distances->counts[i]);
	return bits;
}

static uint64_t given(uint32_t condition, uint32_t symbol)
{
	return (uint64_t)condition << 32 | symbol;
}

static int add_given(struct given *given_of, uint32_t condition, uint32_t symbol)
{
	return symbols_add(&given_of->conditions, condition) | symbols_add(&given_of->pairs, given(condition, symbol));
}

static double given_bits(const struct given *given_of)
{
	return symbols_bits(&given_of->pairs) - symbols_bits(&given_of->conditions);
}

/* The row's text where it is not as expected. */
static int text_add(struct suite_entropy *entropy, const struct read *before, const struct read *row)
{
	uint8_t expected[READ_TEXT_SIZE];
	bool differs;
	int r;

	if (before != NULL)
		memcpy(expected, before->text, sizeof(expected));
	else
		segment_text_expect(row->key, expected);
	differs = memcmp(expected, row->text, sizeof(expected)) != 0;
	r = symbols_add(&entropy->plain[SUITE_COLUMN_FORM], differs);
	for (unsigned i = 0; i < READ_TEXT_SIZE; i++)
		expected[i] ^= row->text[i];
	return differs ? r | symbols_add(&entropy->plain[SUITE_COLUMN_TEXT], XXH3_64bits(expected, sizeof(expected)))
		       : r;
}

/* A key once, from the one before. */
static int key_add(struct suite_entropy *entropy, const uint8_t *before, const uint8_t *key)
{
	unsigned size = segment_text_size(key);
	unsigned at = 0;
	int r;

	while (at < READ_TEXT_SIZE && before[at] == key[at])
		at++;
	r = add_given(&entropy->key_shapes, segment_text_size(before), at << 8 | size);
	for (unsigned i = at; i < size; i++)
		r |= add_given(&entropy->key_characters, i << 16 | (i == at ? 0x100u | before[i] : 0u), key[i]);
	return r;
}

static int position_add(struct suite_entropy *entropy, const struct read *row)
{
	struct position *last;

	if (row->camera >= entropy->position_count) {
		size_t count = row->camera + (size_t)TABLE_MIN;
		struct position *grown = realloc(entropy->positions, count * sizeof(*grown));

		if (grown == NULL)
			return -ENOMEM;
		memset(grown + entropy->position_count, 0, (count - entropy->position_count) * sizeof(*grown));
		entropy->positions = grown;
		entropy->position_count = count;
	}
	last = &entropy->positions[row->camera];
	distances_add(&entropy->latitudes, (int64_t)row->lat_e7 - last->lat_e7);
	distances_add(&entropy->longitudes, (int64_t)row->lon_e7 - last->lon_e7);
	*last = (struct position){row->lat_e7, row->lon_e7};
	return 0;
}

static int row_add(struct suite_entropy *entropy, const struct read *before, const struct read *row)
{
	struct symbols *plain = entropy->plain;
	bool same = before != NULL && memcmp(before->key, row->key, READ_TEXT_SIZE) == 0;
	int64_t since = same ? before->capture_us : read_day(row->capture_us) * DAY_US;
	uint32_t country = before != NULL ? before->country : UINT16_MAX;
	bool keyless = row->key[0] == 0;
	int r = 0;

	/* A stretch begins anywhere: its first key has no neighbour. */
	if (before != NULL && !same)
		r |= key_add(entropy, before->key, row->key);
	distances_add(&entropy->captures, row->capture_us - since);
	distances_add(&entropy->receipts, row->receipt_us - row->capture_us);
	r |= symbols_add(&entropy->cameras, row->camera);
	r |= symbols_add(&entropy->feeds, row->feed);
	r |= symbols_add(&plain[SUITE_COLUMN_FEED], given(row->camera, row->feed));
	r |= symbols_add(&plain[SUITE_COLUMN_DIRECTION], given(row->camera, row->direction));
	r |= symbols_add(&plain[SUITE_COLUMN_FLAGS], given(row->camera, row->flags));
	r |= symbols_add(&plain[SUITE_COLUMN_ROAD_LANE], given(row->camera, row->road_lane));
	r |= symbols_add(&plain[SUITE_COLUMN_EPOCH], given(row->feed, row->epoch));
	r |= add_given(&entropy->countries, country << 2 | (uint32_t)same << 1 | keyless, row->country);
	r |= add_given(&entropy->kinds, keyless, row->kind);
	r |= text_add(entropy, same ? before : NULL, row);
	r |= symbols_add(&plain[SUITE_COLUMN_CONFIDENCE], row->confidence);
	r |= symbols_add(&plain[SUITE_COLUMN_IMAGES], row->images);
	if ((row->flags & READ_FLAG_POSITION) != 0)
		r |= position_add(entropy, row);
	entropy->rows++;
	return r;
}

int suite_entropy_add(struct suite_entropy *entropy, const struct read *rows, size_t count)
{
	uint64_t group = 0;

	for (size_t i = 0; i < count; i++) {
		group++;
		if (row_add(entropy, i == 0 ? NULL : &rows[i - 1], &rows[i]) < 0)
			return -ENOMEM;
		if (i + 1 < count && memcmp(rows[i].key, rows[i + 1].key, READ_TEXT_SIZE) == 0)
			continue;
		if (symbols_add(&entropy->plain[SUITE_COLUMN_GROUPS], group) < 0)
			return -ENOMEM;
		group = 0;
	}
	return 0;
}

double suite_entropy_bits(const struct suite_entropy *entropy, enum suite_column column)
{
	double bits = symbols_bits(&entropy->plain[column]);

	if (entropy->rows == 0)
		return 0;
	switch (column) {
	case SUITE_COLUMN_KEY:
		bits = given_bits(&entropy->key_shapes) + given_bits(&entropy->key_characters);
		break;
	case SUITE_COLUMN_COUNTRY:
		bits = given_bits(&entropy->countries);
		break;
	case SUITE_COLUMN_KIND:
		bits = given_bits(&entropy->kinds);
		break;
	case SUITE_COLUMN_CAPTURE:
		bits = distances_bits(&entropy->captures);
		break;
	case SUITE_COLUMN_RECEIPT:
		bits = distances_bits(&entropy->receipts);
		break;
	case SUITE_COLUMN_CAMERA:
		bits = symbols_bits(&entropy->cameras);
		break;
	case SUITE_COLUMN_POSITION:
		bits = distances_bits(&entropy->latitudes) + distances_bits(&entropy->longitudes);
		break;
	case SUITE_COLUMN_FEED:
	case SUITE_COLUMN_DIRECTION:
	case SUITE_COLUMN_FLAGS:
	case SUITE_COLUMN_ROAD_LANE:
		bits -= symbols_bits(&entropy->cameras);
		break;
	case SUITE_COLUMN_EPOCH:
		bits -= symbols_bits(&entropy->feeds);
		break;
	default:
		break;
	}
	return bits > 0 ? bits / (double)entropy->rows : 0;
}

uint64_t suite_entropy_rows(const struct suite_entropy *entropy)
{
	return entropy->rows;
}
