/*
 * The spool of one feed: the reads that are not yet acknowledged, in the order that gave them their sequences.
 *
 * A mapped file per feed, DIRECTORY/feed-ID.spool, with a ring of 48-byte wire records per lane; without a directory
 * it is anonymous memory and dies with the process. One owner thread; another process is kept out by a lock.
 *
 * Survives SIGKILL at any instant (the page cache is enough for that): a sequence that was ever given is never given
 * to another read, what was acknowledged is not outstanding afterwards, what was not is. A power cut may tear what the
 * kernel had not written back, so a spool left open by another boot of the machine is not believed: it is set aside
 * and a new one started. A new spool has a new random epoch, in which sequences start at 1 again.
 */
#ifndef GANTRY_BENCH_SPOOL_H
#define GANTRY_BENCH_SPOOL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "appliance/base/err.h"
#include "appliance/base/read.h"

#define SPOOL_RECORD_SIZE 48
#define SPOOL_PUSH_MAX 64
#define SPOOL_READS_MIN 4096
#define SPOOL_READS_MAX (UINT32_C(1) << 26)

enum spool_opened {
	SPOOL_RESUMED = 1, /* an earlier run's, with its epoch */
	SPOOL_FRESH = 2,   /* there was none */
	SPOOL_RENEWED = 3, /* what was there is damaged or untrusted: now feed-ID.spool.damaged-EPOCH */
};

struct spool;

/*
 * reads: room of each lane, rounded up to a power of two; an existing spool keeps its own. Returns enum spool_opened,
 * or -EBUSY (another process has it), -EINVAL, or what the system said, with err filled; nothing is left behind.
 */
int spool_open(const char *directory, uint32_t feed, uint32_t reads, struct spool **ret_spool, struct err *err);
/* Marks it as closed in order and writes it back. NULL allowed; returns NULL. */
struct spool *spool_close(struct spool *spool);

uint32_t spool_epoch(const struct spool *spool);
uint32_t spool_capacity(const struct spool *spool);

/* Sequence of the next new read; lowest one outstanding (equal to next when none is). */
uint64_t spool_next(const struct spool *spool, enum feed_lane lane);
uint64_t spool_lowest(const struct spool *spool, enum feed_lane lane);

/* How many reads may be pushed now. */
uint32_t spool_room(const struct spool *spool, enum feed_lane lane);

/* Gives `count` records (1..SPOOL_PUSH_MAX, not above the room) the next sequences; returns the first. */
uint64_t spool_push(struct spool *spool, enum feed_lane lane, const uint8_t *records, unsigned count);

/*
 * The record of an outstanding or later sequence; in [lowest, next). *ret_contiguous: how many records follow each
 * other in memory from here on, before the ring starts again (at least 1; may reach beyond next).
 */
const uint8_t *spool_record(const struct spool *spool, enum feed_lane lane, uint64_t sequence,
			    uint32_t *ret_contiguous);

/* True when the sequence, below next, is acknowledged. */
bool spool_acknowledged(const struct spool *spool, enum feed_lane lane, uint64_t sequence);

/*
 * The first run of unacknowledged sequences within [from, end): true, *ret_first and *ret_end (exclusive); false when
 * all are acknowledged. lowest <= from, end <= next.
 */
bool spool_unacknowledged(const struct spool *spool, enum feed_lane lane, uint64_t from, uint64_t end,
			  uint64_t *ret_first, uint64_t *ret_end);

/* All of [first, end) is acknowledged: for good once this returns. lowest <= first <= end <= next. */
void spool_acknowledge(struct spool *spool, enum feed_lane lane, uint64_t first, uint64_t end);

/* How many are outstanding. O(outstanding / 64). */
uint64_t spool_outstanding(const struct spool *spool, enum feed_lane lane);

#endif
