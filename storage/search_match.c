/* What a query wants of a row, but for the text: key range, pattern, window, cameras. */
#include "storage/search_source.h"

#include <string.h>

static bool prefix_and_star(const struct glob *glob)
{
	return glob->wildcards == 1 && glob->pattern_size == glob->prefix_size + 1 &&
	       glob->pattern[glob->prefix_size] == '*';
}

void search_plan_keys(struct search *search)
{
	const struct glob *glob = search->query->key_glob;

	memset(search->key_low, 0, sizeof(search->key_low));
	memset(search->key_high, 0xff, sizeof(search->key_high));
	search->key_range_only = true;
	if (search->query->not_read) {
		memset(search->key_high, 0, sizeof(search->key_high));
	} else if (glob != NULL) {
		memcpy(search->key_low, glob->prefix, glob->prefix_size);
		memcpy(search->key_high, glob->prefix, glob->prefix_size);
		if (glob->exact)
			memcpy(search->key_high, search->key_low, sizeof(search->key_high));
		search->key_range_only = glob->exact || prefix_and_star(glob);
	}
}

bool search_key_matches(const struct search *search, const uint8_t key[16])
{
	const struct glob *glob = search->query->key_glob;

	if (memcmp(key, search->key_low, 16) < 0 || memcmp(key, search->key_high, 16) > 0)
		return false;
	if (search->key_range_only)
		return true;
	return glob->masked ? glob_match_masked(glob, key) : glob_match(glob, key);
}

static bool camera_listed(const struct search_query *query, uint32_t camera)
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
	search->camera_wanted = camera_listed(query, camera) &&
				(query->camera_allowed == NULL || query->camera_allowed(query->context, camera));
	return search->camera_wanted;
}

bool search_wants(struct search *search, const struct read *read)
{
	const struct search_query *query = search->query;

	if (read->capture_us < search->from_us || read->capture_us >= search->to_us)
		return false;
	if (query->not_read ? read->kind != READ_KIND_NOT_READ
			    : query->key_glob != NULL &&
				      (read->kind != READ_KIND_VRM || !search_key_matches(search, read->key)))
		return false;
	return camera_wanted(search, read->camera);
}
