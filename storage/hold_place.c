#include "storage/hold_place.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "storage/store_internal.h"

int hold_place_each(struct store *store, uint32_t camera, int64_t capture_us, search_row_fn *each, void *context,
		    struct err *err, bool *ret_incomplete)
{
	struct search_query query = {.from_us = capture_us,
				     .to_us = capture_us + 1,
				     .cameras = &camera,
				     .camera_count = 1,
				     .restricted = true,
				     .limit = SEARCH_LIMIT_MAX};
	struct search_result *found = calloc(1, sizeof(*found));
	int result;

	if (found == NULL)
		return err_set(err, -ENOMEM, "out of memory");
	result = search_run(store->views, &query, err, each, context, found);
	if (result >= 0)
		*ret_incomplete = found->incomplete;
	else if (result != -EINVAL)
		(void)err_set(err, result, "looking for the read: %s", strerror(-result));
	free(found);
	return result;
}
