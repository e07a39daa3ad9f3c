/*
 * What a query wants of a row, in two steps: first by fields that its public id is made of, so that rows sharing an id
 * are numbered together whatever else is asked; then by the others.
 */
#include "storage/search_source.h"

#include <string.h>

#include "appliance/base/area.h"

bool search_key_matches(const struct search *search, const uint8_t key[16])
{
	const struct key_plan *keys = &search->keys;

	return key_ranges_hold(keys->ranges, keys->range_count, key) && key_plan_matches(keys, key);
}

bool search_camera_listed(const struct search_query *query, uint32_t camera)
{
	size_t low = 0;
	size_t high = query->camera_count;

	if (query->cameras == NULL)
		return true;
	while (low < high) {
		size_t middle = (low + high) / 2;

		if (query->cameras[middle] < camera)
			low = middle + 1;
		else
			high = middle;
	}
	return low < query->camera_count && query->cameras[low] == camera;
}

static bool camera_wanted(struct search *search, uint32_t camera)
{
	const struct search_query *query = search->query;

	if (search->camera_known && search->camera == camera)
		return search->camera_wanted;
	search->camera = camera;
	search->camera_known = true;
	search->camera_wanted = search_camera_listed(query, camera) &&
				(query->camera_allowed == NULL || query->camera_allowed(query->context, camera));
	return search->camera_wanted;
}

/* Of a camera that is wanted. A read without a position of its own lies where the register has its camera. */
static bool in_area(const struct search_query *query, const struct read *read)
{
	size_t low = 0;
	size_t high = query->roamer_count;

	while (low < high) {
		size_t middle = (low + high) / 2;

		if (query->roamers[middle].camera < read->camera)
			low = middle + 1;
		else
			high = middle;
	}
	if (low == query->roamer_count || query->roamers[low].camera != read->camera)
		return true;
	if ((read->flags & READ_FLAG_POSITION) == 0)
		return query->roamers[low].inside;
	return area_contains(query->area, (struct area_point){read->lat_e7, read->lon_e7});
}

static bool kind_wanted(const struct search_query *query, const struct read *read)
{
	if (query->not_read)
		return read->kind == READ_KIND_NOT_READ;
	return read->kind == READ_KIND_VRM ||
	       (query->key_glob == NULL && query->folded_glob == NULL && query->text_glob == NULL && !query->keyless);
}

bool search_wants(struct search *search, const struct read *read)
{
	if (read->capture_us < search->from_us || read->capture_us >= search->to_us)
		return false;
	if (search->keys.keyed && !search_key_matches(search, read->key))
		return false;
	return camera_wanted(search, read->camera);
}

bool search_answers(const struct search *search, const struct read *read)
{
	const struct search_query *query = search->query;

	return kind_wanted(query, read) && (query->text_glob == NULL || glob_match(query->text_glob, read->text)) &&
	       (query->area == NULL || in_area(query, read));
}
