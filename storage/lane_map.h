/*
 * The control plane's map of lanes: (feed, epoch, lane) → which sequences are durable, as a cumulative sequence and a
 * sorted list of ranges beyond it, with totals. Used twice: the sealer's (as of the sealed journals; goes into the
 * catalog in the sealing transaction) and recovery's (catalog, then every journal), from which the workers' windows are
 * made.
 *
 * One thread at a time; the windows made from a map belong to workers afterwards, their memory to the map.
 * -ENOMEM takes nothing from what a map holds; a merge may have taken some lanes.
 */
#ifndef GANTRY_STORAGE_LANE_MAP_H
#define GANTRY_STORAGE_LANE_MAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "storage/lane.h"

#define LANE_EPOCHS_MAX 8 /* live epochs of one feed: the newest ones; older ones are not told by lane_map_epochs */
#define LANE_WINDOW_SIZE_MAX (1u << 24)

struct lane_map;

struct lane_id {
	uint32_t feed;
	uint32_t epoch;
	uint8_t lane;
};

/* What is known of one lane. ranges: beyond cumulative, ascending, apart by at least one sequence. Borrowed. */
struct lane_state {
	struct lane_id id;
	uint64_t cumulative;
	uint64_t stored_total;
	uint64_t refused_total;
	uint64_t lost_total; /* closed over: durable once, then damaged, or given up by the sender */
	const struct lane_range *ranges;
	size_t range_count;
};

int lane_map_new(struct lane_map **ret_map);
struct lane_map *lane_map_free(struct lane_map *map); /* its windows too */

/* Adds a durable run; sequences already there are not counted again. 0, -ENOMEM. */
int lane_map_apply(struct lane_map *map, const struct run *run);

/*
 * The next stretch of the run, from sequence *from on, that the map does not hold yet: true, ret_part is it (same
 * fate), *from is behind it. False: none left. Start with *from = run->first. How recovery takes each identity once.
 */
bool lane_map_fresh(const struct lane_map *map, const struct run *run, uint64_t *from, struct run *ret_part);

/*
 * A frame said that all ≤ watermark had been durable. What is missing below it is lost: `lost` (may be NULL) is told
 * each range, and the gaps are closed, for their sender will not send them again. Call it when every journal has been
 * applied.
 */
int lane_map_watermark(struct lane_map *map, const struct lane_id *id, uint64_t watermark,
		       void (*lost)(void *context, const struct lane_id *id, const struct lane_range *range),
		       void *context);

/* Closes over a range that is lost, as lane_map_watermark does with its gaps, whatever its length. 0, -ENOMEM. */
int lane_map_lose(struct lane_map *map, const struct lane_id *id, const struct lane_range *range);

/* False when the map has never heard of the lane. */
bool lane_map_get(const struct lane_map *map, const struct lane_id *id, struct lane_state *ret_state);
int lane_map_each(const struct lane_map *map, int (*each)(void *context, const struct lane_state *state),
		  void *context);

/*
 * The lanes changed since the last call, each as bytes for the catalog (borrowed during `each`); stops at the first
 * non-zero, which it returns, and every lane stays dirty; after 0 all are clean.
 */
int lane_map_each_dirty(struct lane_map *map,
			int (*each)(void *context, const struct lane_id *id, const void *bytes, size_t size),
			void *context);

/* One lane from its bytes (replacing what was known). -EBADMSG when they are not well formed: then nothing changed. */
int lane_map_load(struct lane_map *map, const struct lane_id *id, const void *bytes, size_t size);

/* Every lane of `from`, merged into `map` as if its runs had been applied; totals become the greater of both. */
int lane_map_merge(struct lane_map *map, const struct lane_map *from);

/* The epochs known of a feed, descending, at most LANE_EPOCHS_MAX. Returns how many. */
unsigned lane_map_epochs(const struct lane_map *map, uint32_t feed, uint32_t ret_epochs[LANE_EPOCHS_MAX]);

/*
 * A live window of the lane in the map's state (empty when unknown), for its worker. `size` is rounded up to a power of
 * two that holds every range known; -EOVERFLOW when that is more than LANE_WINDOW_SIZE_MAX. The map does not follow the
 * window afterwards.
 */
int lane_map_window_new(struct lane_map *map, const struct lane_id *id, uint32_t size, struct lane_window **ret_window);

#endif
