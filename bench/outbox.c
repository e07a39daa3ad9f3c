/* What may go now, and what went: the outbox between spool and wire. */
#include "bench/outbox.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "bench/outbox_inside.h"

#define WINDOW_START 256
#define TIMES_MAX 16

uint64_t outbox_violations_sum(const struct outbox_violations *violations)
{
	uint64_t sum = 0;

#define OUTBOX_VIOLATION_ADD(name, help) sum += violations->name;
	OUTBOX_VIOLATIONS(OUTBOX_VIOLATION_ADD)
#undef OUTBOX_VIOLATION_ADD
	return sum;
}

int outbox_new(struct spool *spool, enum feed_lane lane, uint32_t window_max, const struct outbox_book *book,
	       struct outbox **ret_outbox)
{
	struct outbox *outbox = calloc(1, sizeof(*outbox));

	if (outbox == NULL)
		return -ENOMEM;
	outbox->size = OUTBOX_WINDOW_MIN;
	while (outbox->size < window_max)
		outbox->size *= 2;
	outbox->flights = calloc(outbox->size, sizeof(*outbox->flights));
	outbox->agains = calloc(outbox->size, sizeof(*outbox->agains));
	outbox->waits = calloc(outbox->size, sizeof(*outbox->waits));
	outbox->refused = calloc(spool_capacity(spool) / 64, sizeof(*outbox->refused));
	if (outbox->flights == NULL || outbox->agains == NULL || outbox->waits == NULL || outbox->refused == NULL) {
		outbox_free(outbox);
		return -ENOMEM;
	}
	outbox->spool = spool;
	outbox->lane = lane;
	outbox->book = book;
	outbox->unsent = spool_lowest(spool, lane);
	outbox->resumed = spool_next(spool, lane);
	outbox->cumulative = outbox->unsent - 1;
	outbox->window = outbox->size < WINDOW_START ? outbox->size : WINDOW_START;
	outbox->window_slow = outbox->size;
	outbox->records_max = FEED_RECORDS_MAX;
	*ret_outbox = outbox;
	return 0;
}

struct outbox *outbox_free(struct outbox *outbox)
{
	if (outbox == NULL)
		return NULL;
	free(outbox->flights);
	free(outbox->agains);
	free(outbox->waits);
	free(outbox->refused);
	free(outbox);
	return NULL;
}

/* Cuts [first, end) to what fits one datagram, the credit and the spool's memory. */
static bool cut(const struct outbox *outbox, uint64_t first, uint64_t end, uint16_t *ret_count)
{
	uint64_t limit = outbox->cumulative + outbox->credit + 1;
	uint32_t contiguous;

	if (first >= limit)
		return false;
	if (end > limit)
		end = limit;
	spool_record(outbox->spool, outbox->lane, first, &contiguous);
	if (end - first > contiguous)
		end = first + contiguous;
	*ret_count = (uint16_t)(end - first < outbox->records_max ? end - first : outbox->records_max);
	return true;
}

bool outbox_peek(struct outbox *outbox, uint64_t *ret_first, uint16_t *ret_count, bool *ret_again)
{
	uint64_t first;
	uint64_t end;

	if (!outbox->welcomed || outbox->tail - outbox->head == outbox->size)
		return false;
	if (outbox->flying >= outbox->window && outbox->probes == 0)
		return false;
	for (; outbox->again_head < outbox->again_tail; outbox->again_head++) {
		const struct again *again = &outbox->agains[outbox->again_head & (outbox->size - 1)];

		if (!open_run(outbox, again->first, again->end, &first, &end))
			continue;
		if (!cut(outbox, first, end, ret_count))
			return false;
		outbox->again_times = again->times;
		*ret_first = first;
		*ret_again = true;
		return true;
	}
	if (outbox->flying >= outbox->window)
		return false;
	if (!open_run(outbox, outbox->unsent, spool_next(outbox->spool, outbox->lane), &first, &end) ||
	    !cut(outbox, first, end, ret_count))
		return false;
	*ret_first = first;
	*ret_again = false;
	return true;
}

static void refused_clear(struct outbox *outbox, uint64_t first, uint64_t end)
{
	uint64_t mask = spool_capacity(outbox->spool) - 1;

	for (; first < end; first++)
		outbox->refused[(first & mask) / 64] &= ~(UINT64_C(1) << first % 64);
}

void outbox_sent(struct outbox *outbox, uint64_t first, uint16_t count, bool again, int64_t now_ns)
{
	struct flight *flight = flight_at(outbox, outbox->tail);

	assert(outbox->tail - outbox->head < outbox->size);
	*flight = (struct flight){.first = first, .sent_ns = now_ns, .count = count, .times = 1};
	if (again) {
		struct again *from = &outbox->agains[outbox->again_head & (outbox->size - 1)];

		flight->times = outbox->again_times < TIMES_MAX ? outbox->again_times + 1 : TIMES_MAX;
		from->first = first + count;
		if (outbox->probes > 0)
			outbox->probes--;
		outbox->counters.retransmitted += count;
	} else {
		refused_clear(outbox, first, first + count);
		outbox->unsent = first + count;
		outbox->counters.sent += count;
	}
	if (outbox->flying++ == 0)
		outbox->progress_ns = now_ns;
	outbox->tail++;
	outbox->counters.datagrams++;
}

bool outbox_idle(const struct outbox *outbox)
{
	return spool_lowest(outbox->spool, outbox->lane) == spool_next(outbox->spool, outbox->lane);
}

uint32_t outbox_flight(const struct outbox *outbox)
{
	return outbox->flying;
}

uint32_t outbox_window(const struct outbox *outbox)
{
	return outbox->window;
}

uint64_t outbox_credit(const struct outbox *outbox)
{
	uint64_t limit = outbox->cumulative + outbox->credit + 1;

	return limit > outbox->unsent ? limit - outbox->unsent : 0;
}

const struct outbox_counters *outbox_counters(const struct outbox *outbox)
{
	return &outbox->counters;
}

uint64_t outbox_refused(const struct outbox *outbox)
{
	uint64_t counted = outbox->refused_total - outbox->refused_before;
	uint64_t told = 0;

	for (unsigned i = 0; i < REFUSAL_COUNT; i++)
		told += outbox->counters.refused[i];
	return counted > told ? counted : told;
}
