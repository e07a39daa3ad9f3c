#include "appliance/lanes.h"

#include <rte_ring.h>
#include <rte_ring_elem.h>
#include <string.h>

#define LOG_MODULE "lanes"
#include "appliance/base/log.h"
#include "appliance/base/read.h"
#include "appliance/worker.h"
#include "storage/store.h"

/* What fails now is asked for again with every datagram: told once a second. */
static void failure_tell(const struct lane_request *request, int result)
{
	static int64_t told_ns;

	if (result == STORE_EPOCH_OLD)
		log_warn("feed %u: spool epoch %u is older than its eight newest, refused", request->feed,
			 request->epoch);
	else if (log_due(&told_ns))
		log_error("feed %u: its lanes cannot be opened now: %s", request->feed, strerror(-result));
}

static struct lane_grant grant_make(const struct lane_request *request, lanes_open *open, void *context)
{
	struct lane_grant grant = {.slot = request->slot, .epoch = request->epoch, .outcome = LANES_OPENED};
	int result = 0;

	for (unsigned lane = 0; result == 0 && lane < FEED_LANE_COUNT; lane++)
		result = open(context, request->feed, request->epoch, (uint8_t)lane, &grant.windows[lane]);
	if (result == 0)
		return grant;
	failure_tell(request, result);
	grant.windows[FEED_LANE_LIVE] = NULL;
	grant.windows[FEED_LANE_BACKLOG] = NULL;
	grant.outcome = result == STORE_EPOCH_OLD ? LANES_REFUSED : LANES_FAILED;
	return grant;
}

void lanes_answer(struct rte_ring *requests, struct rte_ring *grants, lanes_open *open, void *context)
{
	struct lane_request request;

	while (rte_ring_free_count(grants) > 0 && rte_ring_sc_dequeue_elem(requests, &request, sizeof(request)) == 0) {
		struct lane_grant grant = grant_make(&request, open, context);

		(void)rte_ring_sp_enqueue_elem(grants, &grant, sizeof(grant)); /* there is room: see above */
	}
}
