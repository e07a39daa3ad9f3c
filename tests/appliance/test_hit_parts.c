/* What couriers stand on: the four fields of an SMS, who may have a list's hits, latencies by camera type. */
#include <string.h>

#include "appliance/hit_judge.h"
#include "appliance/hit_latency.h"
#include "appliance/sms_event.h"
#include "appliance/base/prng.h"
#include "appliance/base/read.h"
#include "matcher/list.h"
#include "storage/register_subscription.h"
#include "tests/check.h"

static void an_sms_has_four_fields(void)
{
	struct read read = {.text = "AB12CDE", .capture_us = 1000000, .camera = 7, .lat_e7 = 515000000};
	struct sms_event event;
	char long_name[400];
	const char *key;
	json_t *json, *value;

	sms_event_make(&read, "A1 north", "A1", "stolen", &event);
	json = sms_event_json(&event);
	CHECK_INT(4, json_object_size(json));
	CHECK_STR("AB12CDE", json_string_value(json_object_get(json, "vrm")));
	CHECK_STR("1970-01-01T00:00:01.000000Z", json_string_value(json_object_get(json, "time")));
	CHECK_STR("A1 north, A1", json_string_value(json_object_get(json, "location")));
	CHECK_STR("stolen", json_string_value(json_object_get(json, "list")));
	json_decref(json);
	sms_event_make(&read, NULL, NULL, NULL, &event);
	CHECK_STR("", event.location);
	/* Cut anywhere, it stays text. */
	for (size_t size = 0; size < 300; size++) {
		memset(long_name, 0, sizeof(long_name));
		memset(long_name, 'a', size);
		memcpy(long_name + size, "äß漢字😀ä", strlen("äß漢字😀ä"));
		sms_event_make(&read, long_name, "", long_name, &event);
		json = sms_event_json(&event);
		CHECK(json != NULL);
		json_object_foreach(json, key, value) CHECK(json_is_string(value));
		json_decref(json);
	}
}

static void whom_the_list_names(void)
{
	struct list_info info = {.id = 3, .owner = "North", .subscriber_count = 1, .subscribers = {"South"}};
	struct reg_subscription subscription = {.organisation = "South"};

	CHECK(hit_judge_may(&info, "North"));
	CHECK(hit_judge_may(&info, "South"));
	CHECK(!hit_judge_may(&info, "East"));
	CHECK(hit_judge_wants(&info, &subscription));
	subscription.list_count = 1;
	subscription.lists[0] = 4;
	CHECK(!hit_judge_wants(&info, &subscription));
	subscription.lists[0] = 3;
	CHECK(hit_judge_wants(&info, &subscription));
	info.owner[0] = '\0';
	CHECK(!hit_judge_may(&info, "")); /* nobody's is not everybody's */
}

static void the_last_hour_and_day(void)
{
	struct hit_latency *latency;
	struct hit_latency_share share;

	CHECK_INT(0, hit_latency_new(&latency));
	for (int64_t minute = 0; minute < 26 * 60; minute++)
		for (unsigned i = 0; i < 10; i++)
			hit_latency_add(latency, minute * 60, 1, i == 0 ? 5000000 : 1000);
	hit_latency_share(latency, (26 * 60 - 1) * 60, 1, HIT_LATENCY_HOUR, &share);
	CHECK_INT(600, share.count);
	CHECK_INT(540, share.within);
	CHECK(share.p50_us >= 1000 && share.p50_us < 1200);
	CHECK(share.p99_us >= 5000000);
	hit_latency_share(latency, (26 * 60 - 1) * 60, 1, HIT_LATENCY_DAY, &share);
	CHECK_INT(24 * 600, share.count);
	hit_latency_share(latency, (28 * 60) * 60, 1, HIT_LATENCY_HOUR, &share);
	CHECK_INT(0, share.count);
	hit_latency_share(latency, (26 * 60 - 1) * 60, 0, HIT_LATENCY_DAY, &share);
	CHECK_INT(0, share.count);
	hit_latency_add(latency, 0, 200, 1);
	hit_latency_share(latency, 0, HIT_LATENCY_TYPE_UNKNOWN, HIT_LATENCY_HOUR, &share);
	CHECK_INT(1, share.count);
	hit_latency_free(latency);
}

int main(int argc, char **argv)
{
	static const struct check_test tests[] = {{"an SMS has four fields", an_sms_has_four_fields},
						  {"whom the list names", whom_the_list_names},
						  {"the last hour and day", the_last_hour_and_day},
						  {NULL, NULL}};

	return check_main(argc, argv, "hit_parts", tests);
}
