/*
 * What a search shows of one camera at one µs: where a hold names a single read, by its public id. An id says the
 * read's place among those that share its fields, so only a search of them all can give it. Any control thread.
 */
#ifndef GANTRY_STORAGE_HOLD_PLACE_H
#define GANTRY_STORAGE_HOLD_PLACE_H

#include <stdbool.h>
#include <stdint.h>

#include "appliance/base/err.h"
#include "storage/search.h"

struct store;

/*
 * Calls each for every read there, restricted ones too; no copies of cases. 0; the first non-zero of `each`; -errno
 * with err. *ret_incomplete: parts of the day could not be read, there may be more. May be called with hold_mutex held.
 */
int hold_place_each(struct store *store, uint32_t camera, int64_t capture_us, search_row_fn *each, void *context,
		    struct err *err, bool *ret_incomplete);

#endif
