#include "bench/sheet.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

static const char *const reasons[] = {"stolen", "wanted", "uninsured", "missing person", "no keeper"};
static const char *const actions[] = {"stop", "observe", "assess"};
#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static void row_print(struct prng *prng, const char *vrm, FILE *out)
{
	fprintf(out, "%s,%s,%s\n", vrm, reasons[prng_below(prng, COUNT(reasons))],
		actions[prng_below(prng, COUNT(actions))]);
}

static void text_of(const struct plate *plate, char text[READ_TEXT_SIZE + 1])
{
	memcpy(text, plate->text, READ_TEXT_SIZE);
	text[READ_TEXT_SIZE] = '\0';
}

/* A vehicle that was not taken yet; gives up its draw for a walk when the draw is taken, so that it always ends. */
static uint32_t take(const struct population *population, struct prng *prng, uint8_t *taken)
{
	uint32_t rank = population_pick(population, prng_next(prng));

	while (taken[rank] != 0)
		rank = rank + 1 < population->count ? rank + 1 : 0;
	taken[rank] = 1;
	return rank;
}

/* One or two characters unknown, or the end, or the beginning. Four characters at least stay known. */
static void pattern_make(struct prng *prng, const char *text, char pattern[READ_TEXT_SIZE + 2])
{
	size_t size = strlen(text);

	strcpy(pattern, text);
	switch (prng_below(prng, 4)) {
	case 0:
		pattern[size - 1 - prng_below(prng, 2)] = '?';
		pattern[1] = '?';
		break;
	case 1:
		strcpy(pattern + size - 2, "*");
		break;
	case 2:
		pattern[0] = '*';
		strcpy(pattern + 1, text + 2);
		break;
	default:
		pattern[prng_below(prng, size)] = '?';
		break;
	}
}

int sheet_first(struct u64_map *drawn, const void *text, size_t size)
{
	uint64_t key = XXH3_64bits(text, size);
	uint32_t value;
	int result;

	key += key == 0;
	if (u64_map_get(drawn, key, &value))
		return 0;
	result = u64_map_put(drawn, key, 1);
	return result < 0 ? result : 1;
}

/* Made of a vehicle of the population, or, when there are not enough of them to tell patterns apart, of any. */
static void plate_draw(const struct population *population, bool any, struct prng *prng, char text[READ_TEXT_SIZE + 1])
{
	struct plate plate = population->plates[population_pick(population, prng_next(prng))];

	while (any || plate.format != PLATE_CURRENT) {
		plate_make(prng, 0, &plate);
		any = false;
	}
	text_of(&plate, text);
}

static int patterns_print(const struct population *population, uint32_t patterns, struct prng *prng, FILE *out)
{
	struct u64_map drawn = {0};
	uint32_t printed = 0;
	int result = 1;

	while (printed < patterns && result >= 0) {
		char text[READ_TEXT_SIZE + 1];
		char pattern[READ_TEXT_SIZE + 2];

		plate_draw(population, result == 0, prng, text);
		pattern_make(prng, text, pattern);
		result = sheet_first(&drawn, pattern, strlen(pattern));
		if (result > 0) {
			row_print(prng, pattern, out);
			printed++;
		}
	}
	u64_map_fini(&drawn);
	return result < 0 ? result : 0;
}

int sheet_list(const struct population *population, uint32_t entries, uint32_t patterns, uint64_t seed, FILE *out,
	       struct err *err)
{
	struct prng prng = {seed ^ UINT64_C(0x6c697374)};
	uint8_t *taken;

	if (entries > population->count)
		return err_set(err, -EINVAL, "a list of %u vehicles, but only %u drive: raise --vehicles", entries,
			       population->count);
	taken = calloc(population->count, 1);
	if (taken == NULL)
		return err_set(err, -ENOMEM, "no memory for the list");
	fputs("vrm,reason,action\n", out);
	for (uint32_t i = 0; i < entries; i++) {
		char text[READ_TEXT_SIZE + 1];

		text_of(&population->plates[take(population, &prng, taken)], text);
		row_print(&prng, text, out);
	}
	free(taken);
	if (patterns_print(population, patterns, &prng, out) < 0)
		return err_set(err, -ENOMEM, "no memory for the list");
	return fflush(out) != 0 || ferror(out) ? err_set(err, -EIO, "the list could not be written") : 0;
}

int sheet_sample(const struct population *population, FILE *out, struct err *err)
{
	char text[READ_TEXT_SIZE + 1];

	for (uint32_t rank = 0; rank < population->count; rank++) {
		if (population->plates[rank].format != PLATE_CURRENT)
			continue;
		text_of(&population->plates[rank], text);
		fprintf(out, "vehicle\t%s\n", text);
		text[3] = '?';
		fprintf(out, "pattern\t%s\n", text);
		return fflush(out) != 0 || ferror(out) ? err_set(err, -EIO, "the sample could not be written") : 0;
	}
	return err_set(err, -ENOENT, "no vehicle with a current UK plate: raise --vehicles");
}
