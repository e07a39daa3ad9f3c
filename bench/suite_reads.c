#include "bench/suite_reads.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "appliance/base/prng.h"
#include "bench/curve.h"
#include "dpdk/feed/record.h"
#include "matcher/vrm.h"

#define DUAL_PERMILLE 10
#define DATAGRAM_READS FEED_RECORDS_MAX
#define GATHER_US INT64_C(200000)
#define TURN_READS 8 /* that a feed makes at one moment */
#define LEAD_US 2000 /* the first slots lie behind the clock */
#define FLIGHT_US 20000
#define FLIGHT_SENDER_US 80000
#define FLIGHT_JITTER_US 200000

/* What a sender gathers for one lane. */
struct datagram {
	int64_t opened_us;
	unsigned count;
	struct read reads[DATAGRAM_READS];
};

struct suite_day {
	const struct suite_fleet *fleet;
	struct fleet shifted; /* the same cameras and vehicles under this day's seed; nothing of it is owned */
	struct fleet_streams *streams;
	struct prng prng; /* of the network */
	int64_t start_us;
	int64_t nudge_us;
	uint64_t total;
	uint64_t made;
	uint64_t turn;
	unsigned flushed; /* datagrams sent off at the end */
	struct datagram datagrams[FLEET_FEEDS_MAX][FEED_LANE_COUNT];
};

int suite_fleet_init(struct suite_fleet *fleet, const struct suite_fleet_options *options)
{
	struct prng prng = {options->seed ^ UINT64_C(0x65706f636873)};
	struct fleet_settings settings;
	int r;

	fleet_settings_init(&settings);
	settings.seed = options->seed;
	settings.cameras = options->cameras;
	settings.vehicles = options->vehicles;
	settings.clones = options->clones;
	r = fleet_init(&fleet->fleet, &settings);
	if (r < 0)
		return r;
	fleet->feeds = options->feeds;
	fleet->seed = options->seed;
	fleet_ranges_split(settings.cameras, DUAL_PERMILLE, options->feeds, fleet->ranges);
	for (unsigned i = 0; i < options->feeds; i++)
		fleet->epochs[i] = (uint32_t)prng_next(&prng) | 1;
	return 0;
}

void suite_fleet_fini(struct suite_fleet *fleet)
{
	fleet_fini(&fleet->fleet);
}

bool suite_fleet_copy(const struct suite_fleet *fleet, const struct read *read)
{
	return read->kind == READ_KIND_VRM && read->feed > 1 && read->camera <= fleet->ranges[read->feed - 2].last;
}

int suite_day_new(const struct suite_fleet *fleet, int32_t number, uint64_t reads, struct suite_day **ret_day)
{
	struct prng mix = {fleet->seed ^ (uint64_t)(uint32_t)number << 20};
	struct suite_day *day = calloc(1, sizeof(*day));
	int r;

	if (day == NULL)
		return -ENOMEM;
	day->fleet = fleet;
	day->shifted = fleet->fleet;
	day->shifted.settings.seed = prng_next(&mix);
	day->prng.state = prng_next(&mix);
	day->start_us = number * DAY_US;
	day->total = reads;
	r = fleet_streams_new(&day->shifted, fleet->ranges, fleet->feeds, day->start_us, &day->streams);
	if (r < 0) {
		free(day);
		return r;
	}
	*ret_day = day;
	return 0;
}

struct suite_day *suite_day_free(struct suite_day *day)
{
	if (day == NULL)
		return NULL;
	fleet_streams_free(day->streams);
	free(day);
	return NULL;
}

static int64_t moment(const struct suite_day *day)
{
	int64_t at = curve_moment(day->made, day->total) + LEAD_US + day->nudge_us;

	return day->start_us + (at < DAY_US - FLEET_SLOT_US ? at : DAY_US - FLEET_SLOT_US);
}

static int64_t flight_us(struct suite_day *day, unsigned feed)
{
	struct prng sender = {day->fleet->epochs[feed]};

	return FLIGHT_US + (int64_t)prng_below(&sender, FLIGHT_SENDER_US) +
	       (int64_t)prng_below(&day->prng, FLIGHT_JITTER_US);
}

/* All reads of the datagram are received now; those of earlier days are moved on to this one. */
static size_t datagram_close(struct suite_day *day, unsigned feed, unsigned lane, int64_t now_us,
			     struct read *ret_reads)
{
	struct datagram *datagram = &day->datagrams[feed][lane];
	/* On a thin day the feed's next turn is later than the sender would have waited. */
	int64_t waited_us = now_us - datagram->opened_us < GATHER_US ? now_us - datagram->opened_us : GATHER_US;
	int64_t receipt_us = datagram->opened_us + waited_us + flight_us(day, feed);
	unsigned count = datagram->count;

	for (unsigned i = 0; i < count; i++) {
		struct read *read = &datagram->reads[i];

		read->receipt_us = receipt_us;
		while (read->capture_us < day->start_us) {
			read->capture_us += DAY_US;
			read->receipt_us += DAY_US;
		}
	}
	memcpy(ret_reads, datagram->reads, count * sizeof(*ret_reads));
	datagram->count = 0;
	return count;
}

static void datagram_add(struct suite_day *day, unsigned feed, unsigned lane, int64_t now_us, const struct read *read)
{
	struct datagram *datagram = &day->datagrams[feed][lane];
	struct read *at = &datagram->reads[datagram->count];

	if (datagram->count++ == 0)
		datagram->opened_us = now_us;
	*at = *read;
	at->feed = feed + 1;
	at->epoch = day->fleet->epochs[feed];
	if (lane == FEED_LANE_BACKLOG)
		at->flags |= READ_FLAG_BACKLOG;
	if (at->kind == READ_KIND_VRM)
		(void)vrm_key(at->text, at->key); /* no letter we know: the key stays empty, as on the worker */
}

/* One feed makes a few reads; what is due is sent off. At most 2 datagrams and a turn's reads. */
static size_t turn(struct suite_day *day, struct read *ret_reads)
{
	unsigned feed = (unsigned)(day->turn++ % day->fleet->feeds);
	unsigned max = day->total - day->made < TURN_READS ? (unsigned)(day->total - day->made) : TURN_READS;
	int64_t now_us = moment(day);
	struct read reads[TURN_READS];
	struct fleet_batch batch;
	uint32_t malformed;
	size_t given = 0;

	/* Before new reads: what they would join was sent by then. */
	for (unsigned lane = 0; lane < FEED_LANE_COUNT; lane++)
		if (day->datagrams[feed][lane].count > 0 && now_us - day->datagrams[feed][lane].opened_us >= GATHER_US)
			given += datagram_close(day, feed, lane, now_us, ret_reads + given);
	fleet_streams_fill(day->streams, feed, now_us, max, &batch);
	if (batch.count == 0)
		day->nudge_us += LEAD_US;
	day->made += batch.count;
	malformed = feed_records_decode(batch.records[0], batch.count, reads);
	assert(malformed == 0);
	(void)malformed;
	for (unsigned i = 0; i < batch.count; i++) {
		unsigned lane = batch.lanes[i];

		datagram_add(day, feed, lane, now_us, &reads[i]);
		if (day->datagrams[feed][lane].count == DATAGRAM_READS)
			given += datagram_close(day, feed, lane, now_us, ret_reads + given);
	}
	return given;
}

size_t suite_day_next(struct suite_day *day, struct read *ret_reads, size_t max)
{
	size_t given = 0;

	assert(max >= SUITE_DAY_READS_MIN);
	while (day->made < day->total && given + 4 * DATAGRAM_READS <= max)
		given += turn(day, ret_reads + given);
	while (day->made == day->total && day->flushed < day->fleet->feeds * FEED_LANE_COUNT &&
	       given + DATAGRAM_READS <= max) {
		unsigned feed = day->flushed / FEED_LANE_COUNT;

		given += datagram_close(day, feed, day->flushed % FEED_LANE_COUNT, moment(day), ret_reads + given);
		day->flushed++;
	}
	return given;
}
