#include "appliance/clones.h"

#include <assert.h>
#include <string.h>

#include "appliance/base/read.h"
#include "appliance/cells.h"
#include "storage/register_records.h"

#define BATCH 64 /* sets fetched ahead of their use */
#define SECOND_US INT64_C(1000000)

/* A value: seconds since 2020 (31 bits), confirmed (1 bit), camera (32 bits). Time above all: the oldest goes first. */
#define EPOCH_S INT64_C(1577836800)
#define TIME_SHIFT 33
#define TIME_MAX ((INT64_C(1) << 31) - 1)
#define CONFIRMED (UINT64_C(1) << 32)

#define SIDES 2
#define SECOND_SIDE UINT64_C(0xc2b2ae3d27d4eb4f) /* makes the second side's tag of the first's */

struct side {
	bool there;
	bool confirmed;
	bool clashes; /* with the read under judgement */
	uint32_t camera;
	int64_t time_s;
	float distance_squared; /* to it */
};

struct sighting {
	struct cell_key keys[SIDES];
	float metres[3];
	uint32_t camera;
	int64_t time_s; /* since EPOCH_S */
	bool remembered;
};

static bool moves(uint8_t type)
{
	return type == REG_CAMERA_MOBILE || type == REG_CAMERA_DASHBOARD;
}

static bool counts(const struct clones *clones, const struct places *where, const struct read *read, uint32_t place)
{
	if (read->kind != READ_KIND_VRM || read->key[CLONES_KEY_MIN - 1] == 0 ||
	    (read->flags & (READ_FLAG_TEST | READ_FLAG_CLOCK_UNSURE)) != 0)
		return false;
	if (read->confidence < clones->settings.confidence)
		return false;
	if ((read->flags & READ_FLAG_POSITION) != 0)
		return true;
	return place != PLACE_NONE && !moves(where->table[place].type);
}

static void sighting_of(const struct places *where, const struct read *read, uint32_t place, struct cell_key key,
			struct sighting *ret_sighting)
{
	int64_t time_s = read->capture_us / SECOND_US - EPOCH_S;
	struct sighting sighting = {.keys = {key, {key.set, key.tag ^ SECOND_SIDE}}, .camera = read->camera};

	sighting.time_s = time_s < 1 ? 1 : time_s > TIME_MAX ? TIME_MAX : time_s;
	sighting.remembered = (read->flags & READ_FLAG_POSITION) == 0;
	if (sighting.remembered) {
		memcpy(sighting.metres, where->table[place].metres, sizeof(sighting.metres));
	} else {
		double metres[3];

		area_in_space((struct area_point){read->lat_e7, read->lon_e7}, metres);
		for (unsigned i = 0; i < 3; i++)
			sighting.metres[i] = (float)metres[i];
	}
	*ret_sighting = sighting;
}

static float apart_squared(const float a[3], const float b[3])
{
	float sum = 0;

	for (unsigned i = 0; i < 3; i++)
		sum += (a[i] - b[i]) * (a[i] - b[i]);
	return sum;
}

static int64_t seconds_between(const struct side *side, const struct sighting *sighting)
{
	return side->time_s < sighting->time_s ? sighting->time_s - side->time_s : side->time_s - sighting->time_s;
}

/* A side whose camera is not registered any more is none: nobody knows where it was. */
static struct side side_get(const struct clones *clones, const struct places *where, const struct sighting *sighting,
			    unsigned which)
{
	const struct clones_settings *settings = &clones->settings;
	uint64_t value = cells_get(clones->cells, sighting->keys[which]);
	struct side side = {.there = false};
	uint32_t place =
		sighting->camera == (uint32_t)value || value == 0 ? PLACE_NONE : places_find(where, (uint32_t)value);
	float reach;

	if (value == 0 || (place == PLACE_NONE && (uint32_t)value != sighting->camera))
		return side;
	side.there = true;
	side.confirmed = (value & CONFIRMED) != 0;
	side.camera = (uint32_t)value;
	side.time_s = (int64_t)(value >> TIME_SHIFT);
	if (place == PLACE_NONE) /* the same camera: no distance */
		return side;
	side.distance_squared = apart_squared(sighting->metres, where->table[place].metres);
	reach = (float)settings->speed_kmh / 3.6f * (float)(seconds_between(&side, sighting) + settings->slack_s);
	if (reach < (float)settings->distance_m)
		reach = (float)settings->distance_m;
	side.clashes = side.distance_squared > reach * reach;
	return side;
}

static bool side_put(const struct clones *clones, const struct sighting *sighting, unsigned which,
		     const struct side *side)
{
	uint64_t value = (uint64_t)side->time_s << TIME_SHIFT | (side->confirmed ? CONFIRMED : 0) | side->camera;
	int64_t living = sighting->time_s > CLONES_LIVING_S ? sighting->time_s - CLONES_LIVING_S : 0;

	return cells_put(clones->cells, sighting->keys[which], value, (uint64_t)living << TIME_SHIFT);
}

/* The side with this sighting: the newest is kept, and two that differ confirm it. */
static struct side side_with(const struct side *side, const struct sighting *sighting)
{
	struct side with = *side;

	if (side->camera != sighting->camera || seconds_between(side, sighting) >= CLONES_CONFIRM_S)
		with.confirmed = true;
	if (sighting->remembered && sighting->time_s >= side->time_s) {
		with.time_s = sighting->time_s;
		with.camera = sighting->camera;
	}
	return with;
}

/* The side that the read belongs to, SIDES when it fits none. */
static unsigned side_choose(const struct side sides[SIDES])
{
	unsigned chosen = SIDES;

	for (unsigned i = 0; i < SIDES; i++)
		if (sides[i].there && !sides[i].clashes &&
		    (chosen == SIDES || sides[i].distance_squared < sides[chosen].distance_squared))
			chosen = i;
	return chosen;
}

/* It fits no side. True: a sighting was given up for it. */
static bool side_begin(const struct clones *clones, const struct sighting *sighting, const struct side sides[SIDES])
{
	const struct side fresh = {.time_s = sighting->time_s, .camera = sighting->camera};

	if (!sighting->remembered)
		return false;
	if (!sides[0].there)
		return side_put(clones, sighting, 0, &fresh);
	/* A third place: what is confirmed stays, or a misread would hide a clone. */
	if (!sides[1].there || !sides[1].confirmed)
		return side_put(clones, sighting, 1, &fresh);
	return false;
}

/* It fits this one. A confirmed second side takes the first's place when that was seen once only: a misread, likely. */
static bool side_renew(const struct clones *clones, const struct sighting *sighting, struct side sides[SIDES],
		       unsigned which)
{
	struct side with = side_with(&sides[which], sighting);

	sides[which].confirmed = with.confirmed;
	if (which == 1 && with.confirmed && !sides[0].confirmed) {
		cells_remove(clones->cells, sighting->keys[1]);
		return side_put(clones, sighting, 0, &with);
	}
	return side_put(clones, sighting, which, &with);
}

/* The side that the read clashes with and that is well enough known for a hit; NULL: none. */
static const struct side *judge(const struct clones *clones, const struct sighting *sighting, struct side sides[SIDES],
				bool *evicted)
{
	unsigned own = side_choose(sides);
	const struct side *other;

	*evicted = own == SIDES ? side_begin(clones, sighting, sides) : side_renew(clones, sighting, sides, own);
	if (clones->settings.sightings < 2)
		return sides[0].clashes ? &sides[0] : sides[1].clashes ? &sides[1] : NULL;
	if (own == SIDES)
		return NULL;
	other = &sides[own ^ 1];
	return other->clashes && other->confirmed && sides[own].confirmed ? other : NULL;
}

static struct hit hit_of(const struct clones *clones, const struct sighting *sighting, const struct side *other,
			 size_t row)
{
	return (struct hit){
		.row = (uint32_t)row,
		.version = (uint32_t)seconds_between(other, sighting),
		.entry = other->camera,
		.kind = HIT_CLONE,
		.priority = clones->settings.priority,
		.flags = other->time_s > sighting->time_s ? HIT_FLAG_CLASH_LATER : 0,
	};
}

static size_t judge_batch(const struct clones *clones, const struct places *where, const struct read *reads,
			  const uint32_t *places, size_t first, size_t end, struct hit *hits,
			  struct clones_counts *counts_of)
{
	struct cell_key keys[BATCH];
	uint16_t rows[BATCH];
	size_t looked = 0, found = 0;

	for (size_t i = first; i < end; i++) {
		if (!counts(clones, where, &reads[i], places[i]))
			continue;
		rows[looked] = (uint16_t)(i - first);
		keys[looked] = cells_key(clones->cells, reads[i].key, READ_TEXT_SIZE);
		cells_prefetch(clones->cells, keys[looked++]);
	}
	for (size_t i = 0; i < looked; i++) {
		size_t row = first + rows[i];
		struct sighting sighting;
		struct side sides[SIDES];
		const struct side *other;
		bool evicted;

		sighting_of(where, &reads[row], places[row], keys[i], &sighting);
		for (unsigned side = 0; side < SIDES; side++)
			sides[side] = side_get(clones, where, &sighting, side);
		other = judge(clones, &sighting, sides, &evicted);
		if (other != NULL)
			hits[found++] = hit_of(clones, &sighting, other, row);
		counts_of->evicted += evicted;
	}
	counts_of->looked += looked;
	counts_of->clashes += found;
	return found;
}

size_t clones_judge(const struct clones *clones, const struct places *where, const struct read *reads,
		    const uint32_t *places, size_t count, struct hit *ret_hits, struct clones_counts *ret_counts)
{
	size_t found = 0;

	for (size_t at = 0; at < count; at += BATCH)
		found += judge_batch(clones, where, reads, places, at, count - at < BATCH ? count : at + BATCH,
				     ret_hits + found, ret_counts);
	return found;
}
