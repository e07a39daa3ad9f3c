/*
 * A request's parameters as a search: VRM in its four readings, cameras, area, window, page, budgets. Handler threads;
 * one owner.
 */
#ifndef GANTRY_APPLIANCE_READ_QUERY_H
#define GANTRY_APPLIANCE_READ_QUERY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "appliance/base/glob.h"
#include "appliance/read_area.h"
#include "appliance/read_window.h"
#include "storage/search.h"

struct call;
struct gantry;

/* Zeroed, then one of the takes; `search` borrows the rest. */
struct read_query {
	struct search_query search;
	struct glob key;
	struct glob text;
	uint32_t *cameras; /* as asked for: sorted, each once; NULL any */
	size_t camera_count;
	uint64_t question; /* of reads.search: see read_cursor.h */
	struct read_area area;
};

/*
 * reads.search and reads.count. 0; -EINVAL with the call failed and its reason said; -ENOMEM. fini whatever it says.
 * Cancelling and progress are the call's.
 */
int read_query_take(struct read_query *query, struct call *call, struct gantry *gantry, bool count_only);

/* hits.search: of which reads, and limit, order, count; not its cursor. Same results. */
int read_query_take_hits(struct read_query *query, struct call *call, struct gantry *gantry);

/* reads.consecutive: of one camera, from a moment on or the last before one. Same results. */
int read_query_take_consecutive(struct read_query *query, struct call *call, struct gantry *gantry);

/* What time a request may look at now. */
struct read_window_rules read_query_rules(const struct gantry *gantry);

void read_query_fini(struct read_query *query);

#endif
