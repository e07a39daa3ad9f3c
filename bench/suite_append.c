#include "bench/suite_append.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "appliance/base/clock.h"
#include "bench/suite_reads.h"
#include "matcher/vrm.h"
#include "storage/journal.h"
#include "storage/lane.h"
#include "storage/store.h"

#define POLL_READS 512 /* a worker polls between bursts */

void suite_append_options(struct store_options *ret_options, size_t memtable_bytes)
{
	*ret_options = (struct store_options){.workers = 1,
					      .key_version = VRM_KEY_VERSION,
					      .memtable_bytes_max = memtable_bytes,
					      .memtable_prefault = true,
					      .journal_file_size = (uint64_t)128 << 20,
					      .journal_slab_size = 1 << 20,
					      .journal_slab_count = 6,
					      .journal_commit_interval_ns = 1000000,
					      .journal_roll_age_ns = INT64_C(300000000000),
					      .lane_size = 65536,
					      .merge_quiet_us = INT64_C(3600000000),
					      .reserve_bytes = (uint64_t)64 << 20,
					      .catalog_map_size = (size_t)4 << 30};
}

size_t suite_append_memtable(uint32_t mib)
{
	uint64_t quarter = (uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE) / 4;

	if (mib > 0)
		return (size_t)mib << 20;
	return quarter < (uint64_t)2 << 30 ? (size_t)quarter : (size_t)2 << 30;
}

void suite_append_durable(void *context, const struct journal_commit *commit)
{
	(void)context;
	(void)commit;
}

int suite_appender_init(struct suite_appender *appender, struct store *store, const struct suite_fleet *fleet,
			struct err *err)
{
	size_t lanes = (size_t)fleet->feeds * FEED_LANE_COUNT;
	int r = 0;

	*appender = (struct suite_appender){.store = store, .feeds = fleet->feeds};
	appender->windows = calloc(lanes, sizeof(*appender->windows));
	appender->next = calloc(lanes, sizeof(*appender->next));
	if (appender->windows == NULL || appender->next == NULL)
		r = -ENOMEM;
	for (size_t i = 0; r == 0 && i < lanes; i++) {
		unsigned feed = (unsigned)(i / FEED_LANE_COUNT);

		appender->next[i] = 1;
		r = store_lane(store, feed + 1, fleet->epochs[feed], i % FEED_LANE_COUNT, &appender->windows[i]);
	}
	if (r != 0) {
		suite_appender_fini(appender);
		return err_set(err, r < 0 ? r : -EINVAL, "the lanes could not be opened");
	}
	journal_poll(store_journal(store, 0), clock_mono_ns());
	return 0;
}

void suite_appender_fini(struct suite_appender *appender)
{
	free(appender->windows);
	free(appender->next);
	appender->windows = NULL;
	appender->next = NULL;
}

static unsigned lane_of(const struct read *read)
{
	return (read->feed - 1) * FEED_LANE_COUNT +
	       ((read->flags & READ_FLAG_BACKLOG) != 0 ? FEED_LANE_BACKLOG : FEED_LANE_LIVE);
}

/* What came in one datagram: a feed's lane, one receipt time. */
static unsigned run_length(const struct read *reads, size_t count)
{
	unsigned length = 1;

	while (length < count && length < LANE_RUN_MAX && lane_of(&reads[length]) == lane_of(&reads[0]) &&
	       reads[length].receipt_us == reads[0].receipt_us)
		length++;
	return length;
}

/* False: no room now. */
static bool run_append(struct suite_appender *appender, const struct read *reads, unsigned count)
{
	unsigned lane = lane_of(reads);
	struct run run = {.first = appender->next[lane],
			  .feed = reads->feed,
			  .epoch = reads->epoch,
			  .count = (uint16_t)count,
			  .lane = (uint8_t)(lane % FEED_LANE_COUNT)};
	struct lane_fates fates;

	lane_judge(appender->windows[lane], run.first, count, &fates);
	if (fates.beyond != 0 ||
	    journal_append(store_journal(appender->store, 0), appender->windows[lane], &run, reads, NULL, 0) != 0) {
		appender->pushed_back++;
		return false;
	}
	appender->next[lane] += count;
	appender->appended += count;
	return true;
}

size_t suite_appender_give(struct suite_appender *appender, const struct read *reads, size_t count)
{
	struct journal *journal = store_journal(appender->store, 0);
	size_t polled = 0;
	size_t given = 0;

	while (given < count) {
		unsigned length = run_length(reads + given, count - given);

		if (!run_append(appender, reads + given, length))
			break;
		given += length;
		if (given - polled >= POLL_READS) {
			journal_poll(journal, clock_mono_ns());
			polled = given;
		}
	}
	journal_poll(journal, clock_mono_ns());
	return given;
}

bool suite_appender_settled(struct suite_appender *appender)
{
	struct journal *journal = store_journal(appender->store, 0);
	int64_t due_ns;

	journal_poll(journal, clock_mono_ns());
	return journal_idle(journal, &due_ns);
}
