#include "tests/storage/search_plates.h"

#include <string.h>

#include "tests/storage/segment_fixture.h"

const char plate_alphabet[] = "0123456789ABCDEFGHJKLMNPQRSTUVWXYZ";

uint8_t plate_fold_one(uint8_t c)
{
	static const char *const classes[] = {"0ODQ", "1I", "2Z", "5S", "8B", "6G"};

	for (unsigned i = 0; i < 6 && c != 0; i++)
		if (strchr(classes[i], c) != NULL)
			return (uint8_t)classes[i][0];
	return c;
}

void plate_fold(const uint8_t key[16], uint8_t ret_folded[16])
{
	for (unsigned i = 0; i < 16; i++)
		ret_folded[i] = plate_fold_one(key[i]);
}

const struct search_fold plate_misreads = {plate_fold, plate_alphabet};

struct read plate_read(struct prng *prng, int32_t day)
{
	static const char letters[] = "A0DQ1ZS5B8G6C2";
	struct read read = fixture_read(prng, day);
	unsigned size = 1 + (unsigned)prng_below(prng, 7);

	if (read.kind == READ_KIND_VRM) {
		memset(read.key, 0, 16);
		for (unsigned i = 0; i < size; i++)
			read.key[i] = (uint8_t)letters[prng_below(prng, i == 0 ? 3 : 14)];
		memcpy(read.text, read.key, 16);
		if (prng_chance(prng, 100))
			read.text[prng_below(prng, size)] = 'a';
		if (prng_chance(prng, 20))
			memset(read.key, 0, 16); /* a text of another script */
	}
	read.camera = 1 + (uint32_t)prng_below(prng, PLATE_CAMERAS);
	read.flags &= (uint16_t)~READ_FLAG_POSITION;
	read.lat_e7 = read.lon_e7 = 0;
	if (prng_chance(prng, read.camera >= 7 ? 800 : 50)) {
		read.flags |= READ_FLAG_POSITION;
		read.lat_e7 = 510000000 + (int32_t)prng_below(prng, 100) * 100000;
		read.lon_e7 = -5000000 + (int32_t)prng_below(prng, 100) * 100000;
	}
	read.capture_us += (int64_t)prng_below(prng, 30) * 60000000;
	return read;
}
