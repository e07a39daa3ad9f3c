#include "bench/report.h"

#include <errno.h>
#include <inttypes.h>

#include <jansson.h>

static const char *const refusals[REFUSAL_COUNT] = {"untold", "malformed", "too_old", "future", "camera_suspended"};

int report_status(const struct report *report)
{
	if (outbox_violations_sum(&report->totals.violations) > 0)
		return 1;
	return report->totals.outstanding > 0 ? 3 : 0;
}

static double rate(const struct report *report)
{
	return report->seconds > 0 ? (double)report->totals.acknowledged / report->seconds : 0;
}

static void put(json_t *object, const char *name, uint64_t value)
{
	(void)json_object_set_new(object, name, json_integer((json_int_t)value));
}

static json_t *refused_object(const struct sender_totals *totals)
{
	json_t *object = json_object();

	for (unsigned i = 0; i < REFUSAL_COUNT; i++)
		if (totals->refused_by[i] > 0 || i > 0)
			put(object, refusals[i], totals->refused_by[i]);
	return object;
}

static json_t *violations_object(const struct sender_totals *totals)
{
	json_t *object = json_object();

#define REPORT_VIOLATION(name, help) put(object, #name, totals->violations.name);
	OUTBOX_VIOLATIONS(REPORT_VIOLATION)
#undef REPORT_VIOLATION
	return object;
}

static json_t *faults_object(const struct fault_counters *faults)
{
	json_t *object = json_object();

	put(object, "dropped_out", faults->dropped_out);
	put(object, "dropped_in", faults->dropped_in);
	put(object, "duplicated", faults->duplicated);
	put(object, "reordered", faults->reordered);
	put(object, "corrupted", faults->corrupted);
	return object;
}

int report_json(const struct report *report, FILE *out)
{
	const struct sender_totals *totals = &report->totals;
	json_t *object = json_object();
	int r;

	put(object, "sent", totals->sent);
	put(object, "acknowledged", totals->acknowledged);
	put(object, "refused", totals->refused);
	(void)json_object_set_new(object, "refused_by", refused_object(totals));
	put(object, "made", totals->made);
	put(object, "outstanding", totals->outstanding);
	put(object, "retransmitted", totals->retransmitted);
	put(object, "deferred", totals->deferred);
	put(object, "violations", outbox_violations_sum(&totals->violations));
	(void)json_object_set_new(object, "violations_by", violations_object(totals));
	(void)json_object_set_new(object, "seconds", json_real(report->seconds));
	(void)json_object_set_new(object, "reads_per_s", json_real(rate(report)));
	put(object, "ack_p50_us", histogram_at(&totals->latency, 500));
	put(object, "ack_p99_us", histogram_at(&totals->latency, 990));
	put(object, "datagrams", report->datagrams_sent);
	put(object, "datagrams_data", totals->data_datagrams);
	put(object, "datagrams_lost", totals->datagrams_lost);
	put(object, "datagrams_unsent", report->datagrams_unsent);
	put(object, "datagrams_received", report->datagrams_received);
	put(object, "datagrams_refused", totals->drops);
	put(object, "timeouts", totals->timeouts);
	put(object, "hellos", totals->hellos);
	put(object, "sessions", totals->welcomes);
	put(object, "heartbeats", totals->heartbeats);
	put(object, "acks", totals->acks);
	put(object, "twins_lost", report->twins_lost);
	(void)json_object_set_new(object, "faults", faults_object(&report->faults));
	put(object, "feeds", totals->feeds);
	put(object, "seed", report->seed);
	r = json_dumpf(object, out, JSON_COMPACT | JSON_REAL_PRECISION(9));
	json_decref(object);
	fputc('\n', out);
	return r != 0 || fflush(out) != 0 ? -EIO : 0;
}

void report_text(const struct report *report, FILE *out)
{
	const struct sender_totals *totals = &report->totals;

	fprintf(out, "sent           %" PRIu64 "\nacknowledged   %" PRIu64 "\nrefused        %" PRIu64 "\n",
		totals->sent, totals->acknowledged, totals->refused);
	for (unsigned i = 0; i < REFUSAL_COUNT; i++)
		if (totals->refused_by[i] > 0)
			fprintf(out, "  %-12s %" PRIu64 "\n", refusals[i], totals->refused_by[i]);
	fprintf(out, "outstanding    %" PRIu64 "\nretransmitted  %" PRIu64 "\ndatagrams      %" PRIu64 "\n",
		totals->outstanding, totals->retransmitted, report->datagrams_sent);
	fprintf(out,
		"seconds        %.3f\nreads/s        %.0f\nACK latency    p50 %" PRIu64 " us, p99 %" PRIu64 " us\n",
		report->seconds, rate(report), histogram_at(&totals->latency, 500),
		histogram_at(&totals->latency, 990));
	fprintf(out, "violations     %" PRIu64 "\n", outbox_violations_sum(&totals->violations));
#define REPORT_VIOLATION(name, help)                                                                                   \
	if (totals->violations.name > 0)                                                                               \
		fprintf(out, "  %-12s %" PRIu64 ": the appliance %s\n", #name, totals->violations.name, help);
	OUTBOX_VIOLATIONS(REPORT_VIOLATION)
#undef REPORT_VIOLATION
	if (totals->welcomes == 0)
		fputs("nobody welcomed us: is the appliance up, is the feed registered, is its key the right one?\n",
		      out);
	else if (totals->outstanding > 0)
		fprintf(out,
			"not everything was acknowledged: %" PRIu64
			" deferrals (cameras unknown or not bound to the feed?)\n",
			totals->deferred);
}

void report_progress(const struct sender_totals *now, const struct sender_totals *before, double seconds, FILE *out)
{
	fprintf(out,
		"sent %" PRIu64 " (%.0f/s)  acknowledged %" PRIu64 " (%.0f/s)  outstanding %" PRIu64 "  again %" PRIu64
		"  refused %" PRIu64 "  flight %" PRIu64 "  credit %" PRIu64 "  sessions %u/%u\n",
		now->sent, (double)(now->sent - before->sent) / seconds, now->acknowledged,
		(double)(now->acknowledged - before->acknowledged) / seconds, now->outstanding, now->retransmitted,
		now->refused, now->flight, now->credit, now->open, now->feeds);
	fflush(out);
}
