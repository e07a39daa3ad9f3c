/*
 * A folded key is taken as a row of parts: a character of a class, or a run of 1 and H, of which an H weighs two. Alike
 * is what has the same parts; so variants are all ways to write each part that together fit a key.
 */
#include "matcher/vrm_variants.h"

#include <stdbool.h>
#include <string.h>

#include "matcher/vrm.h"

#define ALPHABET_SIZE (sizeof(VRM_KEY_ALPHABET) - 1)

struct part {
	uint8_t folded; /* 0: a run */
	uint8_t weight; /* of the run */
};

struct variants {
	struct part parts[READ_TEXT_SIZE];
	unsigned part_count;
	uint8_t folds[ALPHABET_SIZE]; /* what each character of the alphabet folds to */
	uint8_t key[READ_TEXT_SIZE];  /* being written */
	uint8_t (*keys)[READ_TEXT_SIZE];
	size_t keys_max;
	size_t count;
};

static void folds_take(struct variants *variants)
{
	for (size_t i = 0; i < ALPHABET_SIZE; i++) {
		uint8_t key[READ_TEXT_SIZE] = {(uint8_t)VRM_KEY_ALPHABET[i]};

		vrm_fold(key, key);
		variants->folds[i] = key[0];
	}
}

static void parts_take(struct variants *variants, const uint8_t key[READ_TEXT_SIZE])
{
	uint8_t folded[READ_TEXT_SIZE];
	struct part *last = NULL;

	vrm_fold(key, folded);
	for (unsigned i = 0; i < READ_TEXT_SIZE && folded[i] != 0; i++) {
		bool in_run = folded[i] == '1' || folded[i] == 'H';
		uint8_t weight = folded[i] == 'H' ? 2 : 1;

		if (in_run && last != NULL && last->folded == 0) {
			last->weight = (uint8_t)(last->weight + weight);
			continue;
		}
		last = &variants->parts[variants->part_count++];
		*last = in_run ? (struct part){.weight = weight} : (struct part){.folded = folded[i]};
	}
}

/* n over k; small. */
static uint64_t choose(unsigned n, unsigned k)
{
	uint64_t result = 1;

	for (unsigned i = 1; i <= k; i++)
		result = result * (n - k + i) / i;
	return result;
}

/* ways[size] becomes the number of ways to write everything up to this part in `size` characters. */
static void part_count_ways(const struct variants *variants, const struct part *part, uint64_t ways[READ_TEXT_SIZE + 1])
{
	uint64_t next[READ_TEXT_SIZE + 1] = {0};
	uint64_t members = 0;

	for (size_t i = 0; i < ALPHABET_SIZE; i++)
		members += variants->folds[i] == part->folded;
	for (unsigned size = 0; size <= READ_TEXT_SIZE; size++) {
		if (part->folded != 0 && size < READ_TEXT_SIZE)
			next[size + 1] += ways[size] * members;
		for (unsigned pairs = 0; part->folded == 0 && pairs <= part->weight / 2u; pairs++) {
			unsigned written = part->weight - pairs;

			if (size + written <= READ_TEXT_SIZE)
				next[size + written] += ways[size] * choose(written, pairs);
		}
	}
	memcpy(ways, next, sizeof(next));
}

static uint64_t total_of(const struct variants *variants)
{
	uint64_t ways[READ_TEXT_SIZE + 1] = {1};
	uint64_t total = 0;

	for (unsigned i = 0; i < variants->part_count; i++)
		part_count_ways(variants, &variants->parts[i], ways);
	for (unsigned size = 0; size <= READ_TEXT_SIZE; size++)
		total += ways[size];
	return total;
}

/* The fewest characters that the parts from here on, of the first of which `weight` is left, can be written in. */
static unsigned size_least(const struct variants *variants, unsigned part, unsigned weight)
{
	unsigned size = 0;

	for (; part < variants->part_count; part++) {
		const struct part *at = &variants->parts[part];

		size += at->folded != 0 ? 1 : (weight + 1) / 2;
		weight = part + 1 < variants->part_count ? variants->parts[part + 1].weight : 0;
	}
	return size;
}

static void walk(struct variants *variants, unsigned part, unsigned weight, unsigned size);

static void walk_with(struct variants *variants, uint8_t character, unsigned part, unsigned weight, unsigned size)
{
	variants->key[size] = character;
	walk(variants, part, weight, size + 1);
	variants->key[size] = 0;
}

/* Depth first, characters ascending (1 before H): so the keys come in order. Bounded by keys_max, for no step is in
 * vain. */
static void walk(struct variants *variants, unsigned part, unsigned weight, unsigned size)
{
	const struct part *at = &variants->parts[part];
	unsigned next = part + 1 < variants->part_count ? variants->parts[part + 1].weight : 0;

	if (variants->count == variants->keys_max || size + size_least(variants, part, weight) > READ_TEXT_SIZE)
		return;
	if (part == variants->part_count) {
		memcpy(variants->keys[variants->count++], variants->key, READ_TEXT_SIZE);
		return;
	}
	if (at->folded != 0) {
		for (size_t i = 0; i < ALPHABET_SIZE; i++)
			if (variants->folds[i] == at->folded)
				walk_with(variants, (uint8_t)VRM_KEY_ALPHABET[i], part + 1, next, size);
		return;
	}
	walk_with(variants, '1', weight == 1 ? part + 1 : part, weight == 1 ? next : weight - 1, size);
	if (weight >= 2)
		walk_with(variants, 'H', weight == 2 ? part + 1 : part, weight == 2 ? next : weight - 2, size);
}

uint64_t vrm_variants_alike(const uint8_t key[READ_TEXT_SIZE], size_t keys_max, uint8_t (*ret_keys)[READ_TEXT_SIZE],
			    size_t *ret_count)
{
	struct variants variants = {.keys = ret_keys, .keys_max = keys_max};

	folds_take(&variants);
	parts_take(&variants, key);
	if (variants.part_count > 0)
		walk(&variants, 0, variants.parts[0].weight, 0);
	*ret_count = variants.count;
	return variants.part_count > 0 ? total_of(&variants) : 0;
}

size_t vrm_variants_substitution(const uint8_t key[READ_TEXT_SIZE], uint8_t ret_patterns[VRM_SUBSTITUTION_MAX][16])
{
	size_t size = strnlen((const char *)key, READ_TEXT_SIZE);

	if (size < VRM_SUBSTITUTION_MIN || size > VRM_SUBSTITUTION_MAX)
		return 0;
	for (size_t i = 0; i < size; i++) {
		memcpy(ret_patterns[i], key, READ_TEXT_SIZE);
		ret_patterns[i][i] = '?';
	}
	return size;
}
