/*
 * The window of one lane of one feed's epoch: which sequences were taken, and which are durable.
 *
 * A window belongs to the worker that owns the feed. It is made and sized by a control thread (store_lane) and lives as
 * long as the store. Everything below `base` is durable (stored, collapsed or refused) and for ever a duplicate; bits
 * tell of the `size` sequences from base on. Key invariant: durable ⊆ taken; bit of sequence s is at s & (size − 1).
 *
 * Only the journal's completion marks durable (lane_durable is called by journal.c alone), so that no ACK can be made
 * of anything else: lane_mark is the one source of an ACK's numbers.
 */
#ifndef GANTRY_STORAGE_LANE_H
#define GANTRY_STORAGE_LANE_H

#include <stdbool.h>
#include <stdint.h>

#include "appliance/base/read.h"

#define LANE_RUN_MAX 32 /* records of one datagram at most */
#define LANE_RANGES_MAX 16

struct lane_window {
	uint64_t base;
	uint64_t highest; /* highest sequence ever taken; base − 1 when none beyond */
	uint64_t *taken;
	uint64_t *durable;
	uint32_t size; /* power of two, ≥ 4096 */
	uint32_t feed;
	uint32_t epoch;
	uint8_t lane;
	uint64_t stored_total;  /* durable reads of this lane and epoch, over restarts */
	uint64_t refused_total; /* durable refusals, likewise */
};

struct lane_range {
	uint64_t first;
	uint64_t last;
};

/* What may be acknowledged now. */
struct lane_mark {
	uint64_t cumulative; /* all sequences ≤ this are durable; base − 1 */
	unsigned range_count;
	struct lane_range
		ranges[LANE_RANGES_MAX]; /* beyond cumulative, ascending, the first ones when there are more */
	uint64_t stored_total;
	uint64_t refused_total;
};

struct lane_fates {
	uint32_t fresh;   /* bit i: sequence first + i was never seen: take it */
	uint32_t pending; /* taken, not yet durable: say nothing */
	uint32_t durable; /* durable already: a repeated ACK is owed */
	uint32_t beyond;  /* outside the window: drop, not acknowledged */
};

/* Judges sequences first … first + count − 1; count ≤ LANE_RUN_MAX. Changes nothing. Worker. */
void lane_judge(const struct lane_window *window, uint64_t first, unsigned count, struct lane_fates *ret_fates);

/*
 * An empty window that begins at `base`: all before it are durable. `size` is a power of two, at least
 * LANE_WINDOW_SIZE_MIN; `taken` and `durable` are the caller's, size / 64 words each. Control plane.
 */
#define LANE_WINDOW_SIZE_MIN 4096
void lane_init(struct lane_window *window, uint64_t base, uint32_t size, uint64_t *taken, uint64_t *durable);

/* Marks a run as taken; every sequence of it must be fresh. Worker. */
void lane_take(struct lane_window *window, uint64_t first, unsigned count);

/* journal.c only: a durable frame holds this run. Advances base over the contiguous durable prefix. Worker. */
void lane_durable(struct lane_window *window, const struct run *run);

/*
 * Worker: the sender says that it holds nothing below `lowest` any more, so what is missing below it will never come (a
 * store that lost journals, a sender that gave reads up). Settles it, so that the lane goes on, and returns how many
 * sequences it settled: lost, to be counted and told, each once. Base stops at the first one that is on its way to the
 * disk, as ever: so a base only ever passes what lies in frames durable before, which is what a run's watermark in the
 * journal says. What lies beyond the window then waits for the sender's next word.
 */
uint64_t lane_take_up(struct lane_window *window, uint64_t lowest);

void lane_mark(const struct lane_window *window, struct lane_mark *ret_mark);

#endif
