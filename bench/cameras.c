#include "bench/cameras.h"

#include <errno.h>
#include <stdlib.h>

#include "appliance/base/prng.h"
#include "appliance/base/read.h"

/* Places that traffic gathers around, by a rough share of people; degrees in hundredths. */
static const struct place {
	const char *name;
	const char *force;
	int16_t lat;
	int16_t lon;
	uint16_t share;
} places[] = {
	{"London", "Metropolitan", 5151, -13, 240},
	{"Birmingham", "West Midlands", 5248, -189, 70},
	{"Manchester", "Greater Manchester", 5348, -224, 70},
	{"Leeds", "West Yorkshire", 5380, -155, 55},
	{"Glasgow", "Scotland", 5586, -425, 50},
	{"Liverpool", "Merseyside", 5341, -299, 40},
	{"Newcastle", "Northumbria", 5497, -161, 35},
	{"Sheffield", "South Yorkshire", 5338, -147, 35},
	{"Bristol", "Avon and Somerset", 5145, -259, 35},
	{"Cardiff", "South Wales", 5148, -318, 30},
	{"Nottingham", "Nottinghamshire", 5295, -115, 30},
	{"Leicester", "Leicestershire", 5264, -113, 25},
	{"Southampton", "Hampshire", 5090, -140, 30},
	{"Edinburgh", "Scotland", 5595, -319, 30},
	{"Belfast", "Northern Ireland", 5460, -593, 25},
	{"Hull", "Humberside", 5374, -33, 15},
	{"Derby", "Derbyshire", 5292, -148, 15},
	{"Plymouth", "Devon and Cornwall", 5037, -414, 20},
	{"Norwich", "Norfolk", 5263, 130, 15},
	{"Maidstone", "Kent", 5127, 52, 25},
	{"Reading", "Thames Valley", 5145, -98, 30},
	{"Cambridge", "Cambridgeshire", 5221, 12, 15},
	{"Preston", "Lancashire", 5376, -270, 20},
	{"York", "North Yorkshire", 5396, -108, 12},
	{"Aberdeen", "Scotland", 5715, -210, 12},
	{"Swansea", "South Wales", 5162, -394, 11},
	{"Carlisle", "Cumbria", 5489, -294, 8},
	{"Inverness", "Scotland", 5748, -422, 6},
};
#define PLACES (sizeof(places) / sizeof(places[0]))

static const char *const roads[] = {"M1",   "M6",  "M25", "M62",   "M4",          "M5",       "A1",
				    "A14",  "A12", "A38", "A3",    "A57",         "A19",      "A55",
				    "A303", "A66", "A46", "B4100", "High Street", "Ring Road"};
#define ROADS (sizeof(roads) / sizeof(roads[0]))

/* Sum of four: near enough to a bell for where cameras stand, ± range. */
static int32_t scatter(struct prng *prng, int32_t range)
{
	int64_t sum = 0;

	for (int i = 0; i < 4; i++)
		sum += (int64_t)prng_below(prng, 2 * (uint64_t)range + 1) - range;
	return (int32_t)(sum / 2);
}

static unsigned place_pick(struct prng *prng)
{
	unsigned total = 0;
	unsigned at;
	unsigned i = 0;

	for (unsigned k = 0; k < PLACES; k++)
		total += places[k].share;
	at = (unsigned)prng_below(prng, total);
	while (at >= places[i].share)
		at -= places[i++].share;
	return i;
}

static void camera_make(struct prng *prng, struct camera *camera)
{
	unsigned place = place_pick(prng);
	unsigned kind = (unsigned)prng_below(prng, 100);

	camera->type = kind < 66   ? CAMERA_STATIC
		       : kind < 82 ? CAMERA_MULTI_LANE
		       : kind < 94 ? CAMERA_MOVEABLE
				   : CAMERA_MOBILE;
	camera->lat_e7 = places[place].lat * 100000 + scatter(prng, 1200000);
	camera->lon_e7 = places[place].lon * 100000 + scatter(prng, 1900000);
	camera->lanes = camera->type == CAMERA_MULTI_LANE ? (uint8_t)(2 + prng_below(prng, 3)) : 1;
	/* A few busy ones, many quiet ones: a square of an even draw. */
	camera->weight = (uint16_t)(40 + prng_below(prng, 30) * prng_below(prng, 30) * camera->lanes);
	if (camera->type == CAMERA_MOBILE)
		camera->weight /= 4;
	camera->not_read_permille = (uint16_t)(5 + prng_below(prng, camera->type == CAMERA_MOBILE ? 60 : 30));
	camera->direction = prng_chance(prng, 650) ? READ_DIRECTION_APPROACHING : READ_DIRECTION_RECEDING;
	camera->force = (uint8_t)place;
	camera->road = (uint8_t)prng_below(prng, ROADS);
	camera->restricted = prng_chance(prng, 10);
}

int cameras_init(struct cameras *cameras, uint32_t count, uint64_t seed)
{
	struct prng prng = {seed ^ UINT64_C(0x63616d65726173)};

	if (count == 0 || count > CAMERAS_MAX)
		return -EINVAL;
	cameras->table = calloc(count, sizeof(*cameras->table));
	if (cameras->table == NULL)
		return -ENOMEM;
	cameras->count = count;
	for (uint32_t i = 0; i < count; i++)
		camera_make(&prng, &cameras->table[i]);
	return 0;
}

void cameras_fini(struct cameras *cameras)
{
	free(cameras->table);
	cameras->table = NULL;
	cameras->count = 0;
}

int cameras_print(const struct cameras *cameras, FILE *out)
{
	static const char *const types[CAMERA_TYPES] = {"fixed", "fixed", "portable", "mobile"};
	static const char *const directions[] = {"unknown", "approaching", "receding"};

	fputs("camera,name,organisation,type,lat,lon,road,direction,restricted\n", out);
	for (uint32_t i = 0; i < cameras->count; i++) {
		const struct camera *camera = &cameras->table[i];
		const struct place *place = &places[camera->force];

		fprintf(out, "%u,%s %s %u,%s Police,%s,%.7f,%.7f,%s,%s,%s\n", i + 1, place->name, roads[camera->road],
			i + 1, place->force, types[camera->type], camera->lat_e7 / 1e7, camera->lon_e7 / 1e7,
			roads[camera->road], directions[camera->direction], camera->restricted ? "yes" : "no");
	}
	return fflush(out) != 0 || ferror(out) ? -EIO : 0;
}
