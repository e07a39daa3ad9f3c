#include "bench/plate.h"

#include <string.h>

#define LETTERS "ABCDEFGHJKLMNOPRSTUVWXYZ" /* no I, no Q: they look like 1 and 0 */
#define AREA_LETTERS "ABCDEFGHJKLMNOPRSTUVWXY"
#define YEAR_LETTERS "ABCDEFGHJKLMNPRSTVWXY"

static const char german[] = "ÄÖÜABCDEFGHIJKLMNOPRSTUVWXYZABCDEFGHIJKLMNOPRSTUVWXYZ";
static const char croatian[] = "ČŠŽABCDEFGHIJKLMNOPRSTUVZ";
static const char greek[] = "ΑΒΕΖΗΙΚΜΝΟΡΤΥΧ";
static const char cyrillic[] = "АВЕКМНОРСТУХ";

/*
 * A pattern: '9' any digit, '8' a digit but 0, 'A' a letter without I and Q, 'R' an area letter, 'Y' a year letter,
 * 'L' any Latin letter, 'G', 'H', 'E', 'C' a letter of the German, Croatian, Greek, Cyrillic set; others as they are.
 */
struct pattern {
	uint16_t weight;
	const char *country;
	const char *shape;
};

static const struct pattern prefix_shapes[] = {
	{60, "GB", "Y899AAA"}, {25, "GB", "Y89AAA"}, {10, "GB", "Y8AAA"}, {5, "GB", "Q899AAA"}, {0}};
static const struct pattern suffix_shapes[] = {{70, "GB", "AAA899Y"}, {20, "GB", "AAA89Y"}, {10, "GB", "AAA8Y"}, {0}};
static const struct pattern dateless_shapes[] = {
	{30, "GB", "AAA899"}, {20, "GB", "AA8999"}, {15, "GB", "AAA89"}, {10, "GB", "899AAA"},
	{10, "GB", "8999A"},  {10, "GB", "A89"},    {5, "GB", "A8"},     {0}};
static const struct pattern northern_shapes[] = {
	{40, "GB", "RIA8999"}, {40, "GB", "RAZ8999"}, {10, "GB", "RZA899"}, {10, "GB", "RZ8999"}, {0}};
static const struct pattern military_shapes[] = {{1, "GB", "AA89AA"}, {0}};
static const struct pattern diplomat_shapes[] = {{9, "GB", "899D899"}, {1, "GB", "899X899"}, {0}};
static const struct pattern foreign_shapes[] = {{22, "IE", "L82L8999"}, {18, "PL", "LL89999"},
						{10, "DE", "LLGL8999"}, {7, "DE", "L-GG 899"},
						{12, "FR", "AA899AA"},  {6, "NL", "89LLL8"},
						{5, "ES", "8999LLL"},   {7, "RO", "L89LLL"},
						{4, "LT", "LLL899"},    {3, "HR", "HG899HL"},
						{3, "GR", "EEE8999"},   {2, "BG", "CC8999CC"},
						{1, "UA", "CC9999CC"},  {0}};

static const uint16_t format_weights[PLATE_FOREIGN] = {830, 85, 8, 22, 45, 5, 5}; /* of a thousand */

static size_t utf8_size(uint8_t lead)
{
	return lead < 0x80 ? 1 : lead < 0xe0 ? 2 : 3;
}

/* One character of a set, UTF-8. */
static size_t put_of(struct prng *prng, const char *set, uint8_t *at)
{
	size_t count = 0;
	const char *c = set;
	size_t size;

	for (; *c != '\0'; c += utf8_size((uint8_t)*c))
		count++;
	c = set;
	for (size_t skip = prng_below(prng, count); skip > 0; skip--)
		c += utf8_size((uint8_t)*c);
	size = utf8_size((uint8_t)*c);
	memcpy(at, c, size);
	return size;
}

static size_t put(struct prng *prng, char kind, uint8_t *at)
{
	switch (kind) {
	case '9':
		return put_of(prng, "0123456789", at);
	case '8':
		return put_of(prng, "123456789", at);
	case 'A':
		return put_of(prng, LETTERS, at);
	case 'R':
		return put_of(prng, AREA_LETTERS, at);
	case 'Y':
		return put_of(prng, YEAR_LETTERS, at);
	case 'L':
		return put_of(prng, "ABCDEFGHIJKLMNOPRSTUVWXYZ", at);
	case 'G':
		return put_of(prng, german, at);
	case 'H':
		return put_of(prng, croatian, at);
	case 'E':
		return put_of(prng, greek, at);
	case 'C':
		return put_of(prng, cyrillic, at);
	default:
		*at = (uint8_t)kind;
		return 1;
	}
}

static void fill(struct prng *prng, const char *country, const char *shape, struct plate *plate)
{
	size_t size = 0;

	for (; *shape != '\0'; shape++)
		size += put(prng, *shape, plate->text + size);
	plate->country = (uint16_t)((uint8_t)country[0] | (uint8_t)country[1] << 8);
}

static void fill_of(struct prng *prng, const struct pattern *patterns, struct plate *plate)
{
	unsigned total = 0;
	unsigned at;

	for (const struct pattern *pattern = patterns; pattern->weight > 0; pattern++)
		total += pattern->weight;
	at = (unsigned)prng_below(prng, total);
	while (at >= patterns->weight)
		at -= patterns++->weight;
	fill(prng, patterns->country, patterns->shape, plate);
}

/* Two area letters, the age identifier of a half year from 02 to 26 and 51 to 76, three letters. */
static void fill_current(struct prng *prng, struct plate *plate)
{
	unsigned age = (unsigned)prng_below(prng, 51);

	age = age < 25 ? 2 + age : 26 + age;
	fill(prng, "GB", "RR00AAA", plate);
	plate->text[2] = (uint8_t)('0' + age / 10);
	plate->text[3] = (uint8_t)('0' + age % 10);
}

static enum plate_format format_pick(struct prng *prng, unsigned foreign_permille)
{
	unsigned at;
	unsigned format = 0;

	if (prng_chance(prng, foreign_permille))
		return PLATE_FOREIGN;
	at = (unsigned)prng_below(prng, 1000);
	while (at >= format_weights[format])
		at -= format_weights[format++];
	return (enum plate_format)format;
}

void plate_make(struct prng *prng, unsigned foreign_permille, struct plate *ret_plate)
{
	static const struct pattern *const patterns[PLATE_FORMATS] = {
		[PLATE_PREFIX] = prefix_shapes,     [PLATE_SUFFIX] = suffix_shapes,
		[PLATE_DATELESS] = dateless_shapes, [PLATE_NORTHERN] = northern_shapes,
		[PLATE_MILITARY] = military_shapes, [PLATE_DIPLOMAT] = diplomat_shapes,
		[PLATE_FOREIGN] = foreign_shapes,
	};
	enum plate_format format = format_pick(prng, foreign_permille);

	memset(ret_plate, 0, sizeof(*ret_plate));
	ret_plate->format = (uint16_t)format;
	if (format == PLATE_CURRENT)
		fill_current(prng, ret_plate);
	else
		fill_of(prng, patterns[format], ret_plate);
}

static const char *mistaken_for(uint8_t c)
{
	switch (c) {
	case '0':
		return "ODQO";
	case 'O':
		return "0D0Q";
	case 'D':
	case 'Q':
		return "0O0O";
	case '1':
		return "IIII";
	case 'I':
		return "1111";
	case '2':
		return "ZZZZ";
	case 'Z':
		return "2222";
	case '5':
		return "SSSS";
	case 'S':
		return "5555";
	case '8':
		return "BBBB";
	case 'B':
		return "8888";
	case '6':
		return "GGGG";
	case 'G':
		return "6666";
	default:
		return NULL;
	}
}

bool plate_misread(uint64_t random, uint8_t text[READ_TEXT_SIZE])
{
	unsigned start = random % READ_TEXT_SIZE;

	for (unsigned i = 0; i < READ_TEXT_SIZE; i++) {
		unsigned at = (start + i) % READ_TEXT_SIZE;
		const char *others = mistaken_for(text[at]);

		if (others == NULL)
			continue;
		text[at] = (uint8_t)others[random >> 8 & 3];
		return true;
	}
	return false;
}
