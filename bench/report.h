/* What a run tells: a progress line each second, and the result as text or as one JSON object. */
#ifndef GANTRY_BENCH_REPORT_H
#define GANTRY_BENCH_REPORT_H

#include <stdint.h>
#include <stdio.h>

#include "bench/fault.h"
#include "bench/sender.h"

struct report {
	struct sender_totals totals;
	struct fault_counters faults;
	double seconds; /* from the first session to the last ACK that settled anything */
	uint64_t datagrams_sent;
	uint64_t datagrams_unsent;
	uint64_t datagrams_received;
	uint64_t twins_lost;
	uint64_t seed;
};

/* Exit status: 0 all acknowledged and no rule broken, 1 a rule broken, 3 reads outstanding. */
int report_status(const struct report *report);

int report_json(const struct report *report, FILE *out);
void report_text(const struct report *report, FILE *out);

/* `before` are the totals of about a second ago. */
void report_progress(const struct sender_totals *now, const struct sender_totals *before, double seconds, FILE *out);

#endif
