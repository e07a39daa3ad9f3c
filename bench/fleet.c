#include "bench/fleet.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "appliance/base/bytes.h"
#include "bench/curve.h"

#define CLASSES FLEET_SLOT_US
#define CLASS_TABLE 1024
#define READY_SLOTS 64 /* a millisecond */
#define MINUTE_US INT64_C(60000000)
#define SECOND_US INT64_C(1000000)
#define PASS_TRIES 256 /* vehicles looked at for one that passes a camera of the stream */

static_assert(sizeof(struct plate) == 20, "plates are kept by the million");

enum class_kind { CLASS_PROMPT, CLASS_LATE, CLASS_BACKLOG };

/* Delay classes: what kind each is and how old its reads are; every delay a multiple of FLEET_SLOT_US. */
static const struct class
{
	uint8_t kind;
	int64_t delay_us;
} classes[CLASSES] = {
	{CLASS_PROMPT, 0},
	{CLASS_PROMPT, 96000},
	{CLASS_PROMPT, 160000},
	{CLASS_PROMPT, 240000},
	{CLASS_PROMPT, 400000},
	{CLASS_PROMPT, 800000},
	{CLASS_LATE, 10 * MINUTE_US},
	{CLASS_LATE, 95 * MINUTE_US},
	{CLASS_LATE, 26 * 60 * MINUTE_US},
	{CLASS_LATE, 45 * 60 * MINUTE_US},
	{CLASS_BACKLOG, 20 * MINUTE_US},
	{CLASS_BACKLOG, 70 * MINUTE_US},
	{CLASS_BACKLOG, 3 * 60 * MINUTE_US},
	{CLASS_BACKLOG, 5 * 60 * MINUTE_US},
	{CLASS_BACKLOG, 8 * 60 * MINUTE_US},
	{CLASS_BACKLOG, 12 * 60 * MINUTE_US},
};

/* Walker's alias method over the cameras that a stream makes reads for. */
struct alias {
	uint32_t threshold; /* below it: this one; else `other` */
	uint32_t other;
};

struct twin {
	uint8_t lane;
	uint8_t record[FLEET_RECORD_SIZE];
};

struct stream {
	struct prng prng;
	struct fleet_range range;
	uint32_t *own; /* camera indices this stream makes reads for */
	struct alias *aliases;
	uint32_t own_count;
	struct twin *twins; /* ring */
	uint32_t twins_head;
	uint32_t twins_count;
};

struct fleet_streams {
	const struct fleet *fleet;
	struct stream *streams;
	int64_t *slots;   /* by camera index: last slot taken */
	int16_t *partner; /* by camera index: stream that gets a copy, or -1 */
	int16_t *owner;   /* by camera index: stream that makes its reads, or -1 */
	uint64_t twins_lost;
	int64_t mix_us; /* when class_of was last made */
	unsigned count;
	uint8_t class_of[CLASS_TABLE];
};

void fleet_settings_init(struct fleet_settings *settings)
{
	*settings = (struct fleet_settings){
		.seed = 1,
		.cameras = 18000,
		.vehicles = 2000000,
		.foreign_permille = 30,
		.misread_permille = 30,
		.late_permille = 3,
		.backlog_permille = 20,
	};
}

int fleet_init(struct fleet *fleet, const struct fleet_settings *settings)
{
	int r;

	memset(fleet, 0, sizeof(*fleet));
	fleet->settings = *settings;
	if (settings->late_permille + settings->backlog_permille > 1000)
		return -EINVAL;
	r = cameras_init(&fleet->cameras, settings->cameras, settings->seed);
	if (r == 0)
		r = population_init(&fleet->population, settings->vehicles, settings->foreign_permille, settings->seed);
	if (r == 0 && (settings->journeys || settings->clones > 0))
		r = journeys_init(&fleet->journeys, &fleet->cameras, settings->vehicles, settings->clones,
				  settings->seed);
	if (r != 0)
		fleet_fini(fleet);
	return r;
}

void fleet_fini(struct fleet *fleet)
{
	journeys_fini(&fleet->journeys);
	population_fini(&fleet->population);
	cameras_fini(&fleet->cameras);
}

void fleet_ranges_split(uint32_t cameras, unsigned dual_permille, unsigned feeds, struct fleet_range *ret_ranges)
{
	for (unsigned i = 0; i < feeds; i++) {
		uint32_t first = (uint32_t)((uint64_t)cameras * i / feeds) + 1;
		uint32_t last = (uint32_t)((uint64_t)cameras * (i + 1) / feeds);

		if (last < first)
			last = first;
		ret_ranges[i].first = first;
		ret_ranges[i].last = last;
		if (i + 1 < feeds)
			ret_ranges[i].last += (uint32_t)((uint64_t)(last - first + 1) * dual_permille / 1000);
		if (ret_ranges[i].last > cameras)
			ret_ranges[i].last = cameras;
	}
}

static int alias_build(struct stream *stream, const struct cameras *cameras)
{
	uint32_t n = stream->own_count;
	uint64_t *scaled = malloc(n * sizeof(*scaled));
	uint32_t *stack = malloc(n * sizeof(*stack));
	uint64_t total = 0;
	uint32_t small = 0;
	uint32_t large = n;

	if (scaled == NULL || stack == NULL) {
		free(scaled);
		free(stack);
		return -ENOMEM;
	}
	for (uint32_t i = 0; i < n; i++)
		total += cameras->table[stream->own[i]].weight;
	for (uint32_t i = 0; i < n; i++) {
		scaled[i] = (uint64_t)cameras->table[stream->own[i]].weight * n;
		if (scaled[i] < total)
			stack[small++] = i;
		else
			stack[--large] = i;
		stream->aliases[i] = (struct alias){UINT32_MAX, i};
	}
	while (small > 0 && large < n) {
		uint32_t less = stack[--small];
		uint32_t more = stack[large];

		stream->aliases[less].threshold = (uint32_t)((unsigned __int128)scaled[less] * UINT32_MAX / total);
		stream->aliases[less].other = more;
		scaled[more] -= total - scaled[less];
		if (scaled[more] < total) {
			large++;
			stack[small++] = more;
		}
	}
	free(scaled);
	free(stack);
	return 0;
}

/* The first stream whose range holds a camera owns it; the next such stream is its partner. */
static int stream_init(struct fleet_streams *streams, unsigned index, const bool *taken)
{
	struct stream *stream = &streams->streams[index];
	uint32_t size = stream->range.last - stream->range.first + 1;

	stream->prng.state = streams->fleet->settings.seed * UINT64_C(0x2545f4914f6cdd1d) + index;
	stream->own = malloc(size * sizeof(*stream->own));
	stream->aliases = malloc(size * sizeof(*stream->aliases));
	stream->twins = malloc(FLEET_TWINS_MAX * sizeof(*stream->twins));
	if (stream->own == NULL || stream->aliases == NULL || stream->twins == NULL)
		return -ENOMEM;
	for (uint32_t camera = stream->range.first - 1; camera < stream->range.last; camera++) {
		if (!taken[camera]) {
			stream->own[stream->own_count++] = camera;
			streams->owner[camera] = (int16_t)index;
		} else if (streams->partner[camera] < 0) {
			streams->partner[camera] = (int16_t)index;
		}
	}
	return stream->own_count == 0 ? 0 : alias_build(stream, &streams->fleet->cameras);
}

static int streams_fill_tables(struct fleet_streams *streams, const struct fleet_range *ranges, int64_t now_us)
{
	uint32_t cameras = streams->fleet->cameras.count;
	bool *taken = calloc(cameras, sizeof(*taken));
	int r = taken == NULL ? -ENOMEM : 0;

	for (uint32_t i = 0; i < cameras; i++) {
		streams->slots[i] = now_us - now_us % FLEET_SLOT_US;
		streams->partner[i] = -1;
		streams->owner[i] = -1;
	}
	for (unsigned i = 0; r == 0 && i < streams->count; i++) {
		if (ranges[i].first == 0 || ranges[i].last < ranges[i].first || ranges[i].last > cameras) {
			r = -EINVAL;
			break;
		}
		streams->streams[i].range = ranges[i];
		r = stream_init(streams, i, taken);
		for (uint32_t camera = ranges[i].first - 1; r == 0 && camera < ranges[i].last; camera++)
			taken[camera] = true;
	}
	free(taken);
	return r;
}

int fleet_streams_new(const struct fleet *fleet, const struct fleet_range *ranges, unsigned count, int64_t now_us,
		      struct fleet_streams **ret_streams)
{
	struct fleet_streams *streams;
	int r = -ENOMEM;

	if (count == 0 || count > FLEET_FEEDS_MAX)
		return -EINVAL;
	streams = calloc(1, sizeof(*streams));
	if (streams == NULL)
		return -ENOMEM;
	streams->fleet = fleet;
	streams->count = count;
	streams->mix_us = INT64_MIN;
	streams->streams = calloc(count, sizeof(*streams->streams));
	streams->slots = malloc(fleet->cameras.count * sizeof(*streams->slots));
	streams->partner = malloc(fleet->cameras.count * sizeof(*streams->partner));
	streams->owner = malloc(fleet->cameras.count * sizeof(*streams->owner));
	if (streams->streams != NULL && streams->slots != NULL && streams->partner != NULL && streams->owner != NULL)
		r = streams_fill_tables(streams, ranges, now_us);
	if (r != 0) {
		fleet_streams_free(streams);
		return r;
	}
	*ret_streams = streams;
	return 0;
}

struct fleet_streams *fleet_streams_free(struct fleet_streams *streams)
{
	if (streams == NULL)
		return NULL;
	for (unsigned i = 0; streams->streams != NULL && i < streams->count; i++) {
		free(streams->streams[i].own);
		free(streams->streams[i].aliases);
		free(streams->streams[i].twins);
	}
	free(streams->streams);
	free(streams->slots);
	free(streams->partner);
	free(streams->owner);
	free(streams);
	return NULL;
}

/* Puts `count` entries of the table to classes of one kind, each weighed by the traffic at the time it stands for. */
static unsigned mix_kind(struct fleet_streams *streams, unsigned at, unsigned count, enum class_kind kind,
			 int64_t now_us)
{
	unsigned weights[CLASSES] = {0};
	unsigned total = 0;
	unsigned left = count;

	for (unsigned i = 0; i < CLASSES; i++) {
		if (classes[i].kind == kind)
			weights[i] = curve_permille(now_us - classes[i].delay_us);
		total += weights[i];
	}
	for (unsigned i = 0; i < CLASSES; i++) {
		unsigned share;

		if (weights[i] == 0)
			continue;
		share = (unsigned)((uint64_t)left * weights[i] / total);
		total -= weights[i];
		left -= share;
		memset(&streams->class_of[at], (int)i, share);
		at += share;
	}
	return at;
}

static void mix(struct fleet_streams *streams, int64_t now_us)
{
	const struct fleet_settings *settings = &streams->fleet->settings;
	unsigned late = (settings->late_permille * CLASS_TABLE + 999) / 1000;
	unsigned backlog = (settings->backlog_permille * CLASS_TABLE + 999) / 1000;
	unsigned at;

	if (late + backlog > CLASS_TABLE)
		late = CLASS_TABLE - backlog;
	at = mix_kind(streams, 0, late, CLASS_LATE, now_us);
	at = mix_kind(streams, at, backlog, CLASS_BACKLOG, now_us);
	mix_kind(streams, at, CLASS_TABLE - at, CLASS_PROMPT, now_us);
	streams->mix_us = now_us;
}

static uint32_t camera_pick(const struct stream *stream, uint64_t random)
{
	uint32_t at = (uint32_t)((random >> 32) * stream->own_count >> 32);

	return (uint32_t)random < stream->aliases[at].threshold ? stream->own[at]
								: stream->own[stream->aliases[at].other];
}

/* A mobile camera drives around its base: a position that moves with time, within about two kilometres. */
static void position_put(const struct camera *camera, int64_t capture_us, uint64_t random, uint8_t *record)
{
	int32_t turn = (int32_t)(capture_us / SECOND_US % 400) - 200;

	le32_put(record + 12, (uint32_t)(camera->lat_e7 + turn * 900 + (int32_t)(random & 0x3ff)));
	le32_put(record + 16, (uint32_t)(camera->lon_e7 - turn * 1400 + (int32_t)(random >> 10 & 0x3ff)));
}

static void plate_put(const struct fleet_settings *settings, const struct plate *plate, uint64_t random,
		      uint8_t *record)
{
	uint8_t confidence = (uint8_t)(80 + (random >> 20 & 0xf) + (random >> 24 & 0x3));

	memcpy(record + 20, plate->text, READ_TEXT_SIZE);
	le16_put(record + 42, plate->country);
	if ((random >> 54) * 1000 < (uint64_t)settings->misread_permille << 10 && plate_misread(random, record + 20))
		confidence = (uint8_t)(45 + (random >> 20 & 0x1f));
	record[36] = confidence;
	record[39] = READ_KIND_VRM;
}

struct draw {
	uint64_t random;
	int64_t slot;
	uint32_t camera;
	uint32_t vehicle;
};

static unsigned class_of(const struct fleet_streams *streams, uint64_t random)
{
	return streams->fleet->settings.punctual ? (unsigned)(random & 7) : streams->class_of[random % CLASS_TABLE];
}

static int64_t delay_of(const struct fleet_streams *streams, uint64_t random)
{
	return streams->fleet->settings.punctual ? 0 : classes[class_of(streams, random)].delay_us;
}

/* The byte layout is that of docs/feed-protocol.md, DATA record. Returns the lane. */
static uint8_t record_make(const struct fleet_streams *streams, const struct draw *draw, uint8_t *record)
{
	const struct fleet_settings *settings = &streams->fleet->settings;
	const struct camera *camera = &streams->fleet->cameras.table[draw->camera];
	uint64_t random = draw->random;
	unsigned class = class_of(streams, random);
	int64_t capture_us = draw->slot - delay_of(streams, random) + class;
	uint16_t flags = 0;

	memset(record, 0, FLEET_RECORD_SIZE);
	le64_put(record, (uint64_t)capture_us);
	le32_put(record + 8, draw->camera + 1);
	if (camera->type == CAMERA_MOBILE) {
		position_put(camera, capture_us, random >> 30, record);
		flags |= READ_FLAG_POSITION;
	}
	/* Bits 10..19 decide on not-read, 54..63 on a misread, 40..49 on the rest. */
	if ((random >> 10 & 0x3ff) * 1000 < (uint64_t)(camera->not_read_permille + settings->not_read_permille) << 10) {
		record[39] = READ_KIND_NOT_READ;
		record[36] = READ_CONFIDENCE_UNKNOWN;
	} else {
		plate_put(settings, &streams->fleet->population.plates[draw->vehicle], random, record);
	}
	record[37] = (uint8_t)(1 + (random >> 40 & 0xf) % camera->lanes);
	record[38] = camera->direction;
	if ((random >> 40 & 0x3ff) * 1000 < (uint64_t)settings->test_permille << 10)
		flags |= READ_FLAG_TEST;
	le16_put(record + 40, flags);
	record[44] = (random >> 50 & 0xf) == 0 ? 1 : 3;
	return classes[class].kind == CLASS_BACKLOG && !settings->punctual ? FEED_LANE_BACKLOG : FEED_LANE_LIVE;
}

static void twin_give(struct fleet_streams *streams, unsigned to, uint8_t lane, const uint8_t *record)
{
	struct stream *stream = &streams->streams[to];
	struct twin *twin;

	if (stream->twins_count == FLEET_TWINS_MAX) {
		streams->twins_lost++;
		return;
	}
	twin = &stream->twins[(stream->twins_head + stream->twins_count++) % FLEET_TWINS_MAX];
	twin->lane = lane;
	memcpy(twin->record, record, FLEET_RECORD_SIZE);
}

static void twins_take(struct stream *stream, unsigned count_max, struct fleet_batch *batch)
{
	for (; batch->count < count_max && stream->twins_count > 0; batch->count++) {
		const struct twin *twin = &stream->twins[stream->twins_head];

		batch->lanes[batch->count] = twin->lane;
		memcpy(batch->records[batch->count], twin->record, FLEET_RECORD_SIZE);
		stream->twins_head = (stream->twins_head + 1) % FLEET_TWINS_MAX;
		stream->twins_count--;
	}
}

/* A vehicle, and the camera of this stream that saw it when the read was captured. False: hardly any passes one. */
static bool pass_draw(const struct fleet_streams *streams, struct stream *stream, int64_t now_us, struct draw *draw)
{
	const struct fleet *fleet = streams->fleet;
	int16_t index = (int16_t)(stream - streams->streams);

	for (unsigned i = 0; i < PASS_TRIES; i++) {
		uint32_t vehicle = population_pick(&fleet->population, prng_next(&stream->prng));

		draw->random = prng_next(&stream->prng);
		draw->camera = journeys_camera(&fleet->journeys, vehicle, now_us - delay_of(streams, draw->random));
		if (draw->camera == JOURNEYS_NOWHERE || streams->owner[draw->camera] != index)
			continue;
		draw->vehicle = journeys_plate(&fleet->journeys, vehicle);
		return true;
	}
	return false;
}

/* All draws before any record: the plates' cache lines come while the rest is drawn. */
static unsigned draw_burst(struct fleet_streams *streams, struct stream *stream, int64_t now_us, unsigned count,
			   struct draw draws[FLEET_BATCH])
{
	const struct population *population = &streams->fleet->population;
	/* A little ago: the slots from there to now are for cameras drawn more than once in a burst. */
	int64_t ready_us = now_us - now_us % FLEET_SLOT_US - READY_SLOTS * FLEET_SLOT_US;
	unsigned made = 0;

	for (unsigned i = 0; i < count; i++) {
		struct draw *draw = &draws[made];
		int64_t slot;

		if (streams->fleet->journeys.cameras == NULL) {
			draw->camera = camera_pick(stream, prng_next(&stream->prng));
			draw->vehicle = population_pick(population, prng_next(&stream->prng));
			draw->random = prng_next(&stream->prng);
		} else if (!pass_draw(streams, stream, now_us, draw)) {
			break;
		}
		__builtin_prefetch(&population->plates[draw->vehicle]);
		slot = streams->slots[draw->camera] + FLEET_SLOT_US;
		if (slot > now_us)
			continue;
		if (slot < ready_us)
			slot = ready_us;
		streams->slots[draw->camera] = slot;
		draw->slot = slot;
		made++;
	}
	return made;
}

void fleet_streams_fill(struct fleet_streams *streams, unsigned index, int64_t now_us, unsigned count_max,
			struct fleet_batch *ret_batch)
{
	struct stream *stream = &streams->streams[index];
	struct draw draws[FLEET_BATCH];
	unsigned count;

	if (streams->mix_us == INT64_MIN || now_us - streams->mix_us > 10 * SECOND_US || now_us < streams->mix_us)
		mix(streams, now_us);
	if (count_max > FLEET_BATCH)
		count_max = FLEET_BATCH;
	ret_batch->count = 0;
	twins_take(stream, count_max, ret_batch);
	if (stream->own_count == 0)
		return;
	count = draw_burst(streams, stream, now_us, count_max - ret_batch->count, draws);
	for (unsigned i = 0; i < count; i++) {
		unsigned at = ret_batch->count++;
		int partner = streams->partner[draws[i].camera];

		ret_batch->lanes[at] = record_make(streams, &draws[i], ret_batch->records[at]);
		if (partner >= 0)
			twin_give(streams, (unsigned)partner, ret_batch->lanes[at], ret_batch->records[at]);
	}
}

uint64_t fleet_streams_twins_lost(const struct fleet_streams *streams)
{
	return streams->twins_lost;
}
