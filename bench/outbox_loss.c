/* What of an outbox is over, lost, deferred or overdue; and how far its window opens. RFC 9002, section 6. */
#include "bench/outbox.h"

#include "bench/outbox_inside.h"

static bool flight_settled(const struct outbox *outbox, const struct flight *flight)
{
	uint64_t first;
	uint64_t end;

	return !open_run(outbox, flight->first, flight->first + flight->count, &first, &end);
}

static void window_grow(struct outbox *outbox)
{
	if (outbox->window >= outbox->size)
		return;
	if (outbox->window < outbox->window_slow) {
		outbox->window++;
	} else if (++outbox->window_part >= outbox->window) {
		outbox->window_part = 0;
		outbox->window++;
	}
}

static void flight_finish(struct outbox *outbox, struct flight *flight, uint64_t number, int64_t now_ns)
{
	flight->over = true;
	outbox->flying--;
	if (outbox->settled < number + 1)
		outbox->settled = number + 1;
	/* Which sending an ACK answers is only known of reads that were sent once (Karn). */
	if (flight->times == 1) {
		rtt_sample(&outbox->rtt, now_ns - flight->sent_ns);
		histogram_add(&outbox->counters.latency, (uint64_t)(now_ns - flight->sent_ns) / 1000, 1);
	}
	window_grow(outbox);
	outbox->timeouts_row = 0;
	outbox->progress_ns = now_ns;
}

void outbox_head_move(struct outbox *outbox, int64_t now_ns)
{
	while (outbox->head < outbox->tail) {
		struct flight *flight = flight_at(outbox, outbox->head);

		if (!flight->over) {
			if (!flight_settled(outbox, flight))
				return;
			flight_finish(outbox, flight, outbox->head, now_ns);
		}
		outbox->head++;
	}
}

static bool again_add(struct outbox *outbox, const struct again *again)
{
	if (outbox->again_tail - outbox->again_head == outbox->size)
		return false;
	outbox->agains[outbox->again_tail++ & (outbox->size - 1)] = *again;
	return true;
}

static void flight_over(struct outbox *outbox, struct flight *flight)
{
	flight->over = true;
	outbox->flying--;
}

/* Hands what is unacknowledged of a flight to `again`. False when there is no room: a later scan will. */
static bool flight_give_up(struct outbox *outbox, struct flight *flight)
{
	struct again again = {.first = flight->first, .end = flight->first + flight->count, .times = flight->times};

	if (!again_add(outbox, &again))
		return false;
	flight_over(outbox, flight);
	return true;
}

/* The same, but later. */
static bool flight_put_off(struct outbox *outbox, struct flight *flight, int64_t now_ns, int64_t wait_ns)
{
	struct again *wait = &outbox->waits[outbox->wait_count];

	if (outbox->wait_count == outbox->size)
		return false;
	wait_ns <<= flight->times > 8 ? 8 : flight->times;
	wait->first = flight->first;
	wait->end = flight->first + flight->count;
	wait->times = flight->times;
	wait->due_ns = now_ns + (wait_ns < OUTBOX_WAIT_NS_MAX ? wait_ns : OUTBOX_WAIT_NS_MAX);
	outbox->wait_count++;
	flight_over(outbox, flight);
	return true;
}

static void waits_end(struct outbox *outbox, int64_t now_ns)
{
	outbox->waits_ns = now_ns;
	for (uint32_t i = outbox->wait_count; i-- > 0;) {
		if (outbox->waits[i].due_ns > now_ns)
			continue;
		if (!again_add(outbox, &outbox->waits[i]))
			return;
		outbox->waits[i] = outbox->waits[--outbox->wait_count];
	}
}

/*
 * A datagram is taken whole. One of which a part is acknowledged has arrived, and the rest of it was deferred: the
 * register is asked again later, and the wire is not to blame.
 */
static bool flight_arrived(const struct outbox *outbox, const struct flight *flight)
{
	uint64_t first = flight->first;
	uint64_t end = flight->first + flight->count;
	uint64_t open_first;
	uint64_t open_end;

	return open_run(outbox, first, end, &open_first, &open_end) && (open_first > first || open_end < end);
}

static void window_shrink(struct outbox *outbox, uint64_t number)
{
	if (number < outbox->recovery)
		return;
	outbox->recovery = outbox->tail;
	outbox->window = outbox->window / 2 > OUTBOX_WINDOW_MIN ? outbox->window / 2 : OUTBOX_WINDOW_MIN;
	outbox->window_slow = outbox->window;
}

static bool flight_lose(struct outbox *outbox, struct flight *flight, uint64_t number, int64_t now_ns)
{
	if (flight_arrived(outbox, flight))
		return flight_put_off(outbox, flight, now_ns, OUTBOX_DEFER_NS);
	if (flight->times > 1)
		return flight_put_off(outbox, flight, now_ns, rtt_now(&outbox->rtt));
	if (!flight_give_up(outbox, flight))
		return false;
	outbox->counters.lost++;
	window_shrink(outbox, number);
	return true;
}

static void losses_find(struct outbox *outbox, int64_t now_ns)
{
	int64_t wait_ns = rtt_now(&outbox->rtt) * 9 / 8 + OUTBOX_SCAN_NS;

	for (uint64_t number = outbox->head; number + OUTBOX_REORDER < outbox->settled; number++) {
		struct flight *flight = flight_at(outbox, number);

		if (flight->over || now_ns - flight->sent_ns < wait_ns)
			continue;
		if (!flight_lose(outbox, flight, number, now_ns))
			break;
	}
}

static void scan(struct outbox *outbox, int64_t now_ns)
{
	outbox->scan_ns = now_ns;
	outbox->stirred = false;
	for (uint64_t number = outbox->head; number < outbox->tail; number++) {
		struct flight *flight = flight_at(outbox, number);

		if (!flight->over && flight_settled(outbox, flight))
			flight_finish(outbox, flight, number, now_ns);
	}
	losses_find(outbox, now_ns);
	outbox_head_move(outbox, now_ns);
}

int64_t outbox_timeout_ns(const struct outbox *outbox)
{
	int64_t spread = 4 * outbox->rtt.variation_ns;
	int64_t wait =
		rtt_now(&outbox->rtt) + (spread > OUTBOX_SCAN_NS ? spread : OUTBOX_SCAN_NS) + OUTBOX_ACK_DELAY_NS;

	wait <<= outbox->timeouts_row > 8 ? 8 : outbox->timeouts_row;
	return wait > OUTBOX_WAIT_NS_MAX ? OUTBOX_WAIT_NS_MAX : wait;
}

/*
 * Nothing was settled for too long. What was sent again already makes room (it may be deferred, all of it, and would
 * fill the window for ever) and comes back after its wait; of the rest the oldest are sent again to ask for an answer.
 */
static void probe(struct outbox *outbox, int64_t now_ns)
{
	unsigned probes = 0;

	outbox->counters.timeouts++;
	outbox->timeouts_row++;
	outbox->progress_ns = now_ns;
	for (uint64_t number = outbox->head; number < outbox->tail; number++) {
		struct flight *flight = flight_at(outbox, number);

		if (flight->over)
			continue;
		if (flight->times > 1)
			(void)flight_put_off(outbox, flight, now_ns, rtt_now(&outbox->rtt));
		else if (probes < OUTBOX_PROBES && flight_give_up(outbox, flight))
			probes++;
	}
	outbox->probes = probes;
	outbox_head_move(outbox, now_ns);
}

void outbox_timer(struct outbox *outbox, int64_t now_ns)
{
	if (outbox->wait_count > 0 && now_ns - outbox->waits_ns >= OUTBOX_WAITS_NS)
		waits_end(outbox, now_ns);
	if (outbox->head == outbox->tail)
		return;
	if (now_ns - outbox->scan_ns >= OUTBOX_SCAN_NS && (outbox->stirred || outbox->settled > outbox->head))
		scan(outbox, now_ns);
	if (outbox->flying > 0 && now_ns - outbox->progress_ns >= outbox_timeout_ns(outbox))
		probe(outbox, now_ns);
}
