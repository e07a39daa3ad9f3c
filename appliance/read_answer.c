#include "appliance/read_answer.h"

#include "appliance/base/clock.h"
#include "storage/search.h"

static json_t *unreadable_json(const struct search_result *result)
{
	json_t *array = json_array();

	for (uint64_t i = 0; i < result->faults && i < SEARCH_FAULTS_MAX; i++)
		(void)json_array_append_new(array, json_string(result->fault[i].err.text));
	return array;
}

static const char *stop_name(enum search_stop stop)
{
	static const char *const names[] = {"", "rows_max", "bytes_max", "ms_max", "cancelled"};

	return names[stop];
}

json_t *read_answer_json(const struct search_query *query, const struct search_result *result, int64_t began_ns)
{
	char from[CLOCK_TEXT_SIZE], to[CLOCK_TEXT_SIZE];
	json_t *object =
		json_pack("{s:I,s:b,s:o,s:s,s:s,s:I,s:I,s:I,s:I,s:f}", "count", (json_int_t)result->count, "complete",
			  !result->incomplete, "unreadable", unreadable_json(result), "from",
			  clock_text_utc(query->from_us, from), "to", clock_text_utc(query->to_us, to), "rows_seen",
			  (json_int_t)result->rows_seen, "bytes_read", (json_int_t)result->bytes_read, "pages_read",
			  (json_int_t)result->pages_read, "segments", (json_int_t)result->segments, "elapsed_ms",
			  (double)(clock_mono_ns() - began_ns) / 1e6);

	if (result->stop != SEARCH_DONE)
		(void)json_object_set_new(object, "stopped", json_string(stop_name(result->stop)));
	if (query->area != NULL)
		(void)json_object_set_new(object, "cameras_inside",
					  json_integer((json_int_t)(query->camera_count - query->roamer_count)));
	if (query->area != NULL)
		(void)json_object_set_new(object, "cameras_moving", json_integer((json_int_t)query->roamer_count));
	return object;
}
