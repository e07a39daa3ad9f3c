/* What status says of hits. */
#include "appliance/hits_inside.h"

#include "appliance/base/clock.h"
#include "appliance/camera_csv.h"
#include "appliance/gantry.h"
#include "appliance/handlers.h"
#include "appliance/histogram.h"
#include "appliance/hit_event.h"

static json_t *ring_json(struct hits *hits, enum hit_lane lane)
{
	const struct histogram *latency = courier_latency(hits->lanes[lane]);
	struct hit_ring_info ring;

	hit_ring_info(hits->rings[lane], &ring);
	return json_pack("{s:s,s:I,s:I,s:I,s:I,s:I,s:I}", "lane", hit_lane_name(lane), "published",
			 (json_int_t)ring.put, "fill", (json_int_t)ring.fill, "entries", (json_int_t)ring.entries,
			 "overwritten", (json_int_t)ring.overwritten, "latency_p50_us",
			 (json_int_t)histogram_quantile(latency, 500), "latency_p99_us",
			 (json_int_t)histogram_quantile(latency, 990));
}

static json_t *share_json(struct hits *hits, int64_t now_s, unsigned type, enum hit_latency_span span)
{
	struct hit_latency_share share;

	hit_latency_share(hits->latency, now_s, type, span, &share);
	if (share.count == 0)
		return NULL;
	return json_pack("{s:I,s:f,s:I,s:I}", "hits", (json_int_t)share.count, "within_2s_percent",
			 100.0 * (double)share.within / (double)share.count, "p50_us", (json_int_t)share.p50_us,
			 "p99_us", (json_int_t)share.p99_us);
}

/* R20, of camera types that had any. */
static json_t *shares_json(struct hits *hits)
{
	int64_t now_s = clock_mono_ns() / 1000000000;
	json_t *array = json_array();

	for (unsigned type = 0; type < HIT_LATENCY_TYPES; type++) {
		json_t *hour = share_json(hits, now_s, type, HIT_LATENCY_HOUR);
		json_t *day = share_json(hits, now_s, type, HIT_LATENCY_DAY);

		if (hour == NULL && day == NULL)
			continue;
		(void)json_array_append_new(
			array, json_pack("{s:s,s:o,s:o}", "camera_type",
					 type < REG_CAMERA_TYPE_COUNT ? camera_type_name(type) : "unknown", "hour",
					 hour != NULL ? hour : json_null(), "day", day != NULL ? day : json_null()));
	}
	return array;
}

json_t *hits_json(struct gantry *gantry, uint64_t total)
{
	struct hits *hits = gantry->hits;
	json_t *lanes = json_array();
	struct hits_info info;

	if (hits == NULL)
		return json_null();
	hits_info(hits, &info);
	for (unsigned lane = 0; lane < HIT_LANE_COUNT; lane++)
		(void)json_array_append_new(lanes, ring_json(hits, lane));
	return json_pack("{s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:o,s:o,s:o}", "total", (json_int_t)total, "published",
			 (json_int_t)info.published, "repeats", (json_int_t)info.repeats, "delivered",
			 (json_int_t)info.delivered, "acknowledged", (json_int_t)info.acknowledged, "caught_up",
			 (json_int_t)info.caught_up, "waiting_over_2s", (json_int_t)hits_waiting(hits, clock_wall_us()),
			 "lanes", lanes, "subscriptions", subscriptions_json(gantry, NULL), "r20", shares_json(hits));
}
