#include "bench/run.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "appliance/base/bytes.h"
#include "appliance/base/clock.h"
#include "bench/curve.h"
#include "bench/feeds.h"
#include "bench/ledger.h"
#include "bench/loop.h"
#include "bench/options.h"
#include "bench/pcap.h"
#include "bench/report.h"
#include "bench/spool.h"
#include "bench/transport.h"
#include "bench/udp.h"
#include "bench/virtio.h"

#define SECOND_NS INT64_C(1000000000)
#define DAY_LEAD_US 2000

struct job {
	const struct options *options;
	struct feeds feeds;
	struct fleet fleet;
	struct fleet_streams *streams;
	struct transport *transport; /* the outermost */
	struct transport *fault;     /* the same or within it, or NULL */
	struct ledger *ledger;
	struct sender *sender;
	uint64_t made; /* for --day */
	int64_t nudge_us;
	int64_t day_us; /* start of --day; 0 without */
	struct sender_totals before;
};

static volatile sig_atomic_t stops;

static void on_stop(int signal)
{
	(void)signal;
	stops++;
}

/* Where the clock of --day stands: within the day, a little ahead of its first slots. */
static int64_t day_moment(const struct job *job)
{
	int64_t moment = curve_moment(job->made, job->options->sender.reads_max) + DAY_LEAD_US + job->nudge_us;

	return job->day_us + (moment < DAY_US - FLEET_SLOT_US ? moment : DAY_US - FLEET_SLOT_US);
}

static void source_fill(void *context, unsigned feed, int64_t now_us, unsigned count_max, struct fleet_batch *ret_batch)
{
	struct job *job = context;

	if (job->day_us != 0)
		now_us = day_moment(job);
	fleet_streams_fill(job->streams, feed, now_us, count_max, ret_batch);
	job->made += ret_batch->count;
	/* The day's clock is moved by reads: were there no free slot at this moment, there would never be one. */
	if (ret_batch->count == 0)
		job->nudge_us += DAY_LEAD_US;
}

static int transport_open(struct job *job, struct err *err)
{
	const struct options *options = job->options;
	const char *where = options->command == COMMAND_PCAP ? "loop" : options->transport;
	struct virtio_settings virtio = options->virtio;
	const struct loop_settings loop = {.credit = LOOP_WINDOW / 2};

	if (strncmp(where, "udp:", 4) == 0)
		return udp_new(where + 4, job->feeds.count, &job->transport, err);
	if (strncmp(where, "virtio:", 7) == 0) {
		virtio.path = where + 7;
		return virtio_new(&virtio, job->feeds.count, &job->transport, err);
	}
	if (strcmp(where, "loop") == 0) {
		if (loop_new(&loop, job->feeds.rows, job->feeds.count, &job->transport) == 0)
			return 0;
		return err_set(err, -ENOMEM, "no memory for the receiver");
	}
	return err_set(err, -EINVAL, "--transport %s: must be udp:HOST:PORT, virtio:SOCKET_PATH or loop", where);
}

/* Faults act on what the recording has not seen yet: it shows what the fleet meant to send. */
static int transport_wrap(struct job *job, struct err *err)
{
	const struct fault_settings *fault = &job->options->fault;
	const char *path = job->options->command == COMMAND_PCAP ? job->options->out : job->options->pcap;
	struct transport *inner;
	int r = 0;

	if (fault->drop_permille + fault->duplicate_permille + fault->reorder_permille + fault->corrupt_permille > 0) {
		inner = job->transport;
		job->transport = NULL;
		if (fault_new(inner, fault, &job->transport) < 0)
			return err_set(err, -ENOMEM, "no memory for faults");
		job->fault = job->transport;
	}
	if (path != NULL) {
		inner = job->transport;
		job->transport = NULL;
		r = pcap_new(inner, path, &job->transport, err);
	}
	return r;
}

static int feeds_open(struct job *job, struct err *err)
{
	const struct options *options = job->options;

	if (options->command == COMMAND_PCAP && options->feeds == NULL) {
		feeds_invent(options->feed_count, options->fleet.cameras, options->dual_permille, options->fleet.seed,
			     &job->feeds);
		return 0;
	}
	return feeds_load(options->feeds, options->fleet.cameras, options->dual_permille, &job->feeds, err);
}

static int fleet_open(struct job *job, struct err *err)
{
	struct fleet_settings settings = job->options->fleet;
	int64_t start_us = clock_wall_us();
	int r;

	if (job->options->day != NULL) {
		if (clock_parse(job->options->day, &job->day_us) < 0 || job->day_us <= 0)
			return err_set(err, -EINVAL, "--day %s: must be YYYY-MM-DD", job->options->day);
		start_us = job->day_us;
		settings.punctual = true;
	}
	r = fleet_init(&job->fleet, &settings);
	if (r == 0)
		r = fleet_streams_new(&job->fleet, job->feeds.ranges, job->feeds.count, start_us, &job->streams);
	return r == 0 ? 0 : err_set(err, r, "the fleet could not be made: %s", strerror(-r));
}

static int sender_open(struct job *job, struct err *err)
{
	const struct sender_source source = {source_fill, job};
	const char *directory = job->options->sender.spool_path;

	if (directory != NULL && mkdir(directory, 0700) < 0 && errno != EEXIST)
		return err_set(err, -errno, "--spool %s: %s", directory, strerror(errno));
	if (sender_new(&job->options->sender, job->transport, &source, job->ledger, &job->sender) < 0)
		return err_set(err, -ENOMEM, "no memory for the sender");
	for (unsigned i = 0; i < job->feeds.count; i++) {
		int opened = sender_add_feed(job->sender, job->feeds.rows[i].feed, job->feeds.rows[i].key, err);

		if (opened < 0)
			return opened;
		if (opened == SPOOL_RENEWED)
			fprintf(stderr,
				"gantry-load: spool of feed %u was damaged or left open by a crashed machine: set "
				"aside, new epoch\n",
				job->feeds.rows[i].feed);
	}
	return 0;
}

static int job_open(struct job *job, struct err *err)
{
	int r = feeds_open(job, err);

	if (r == 0)
		r = fleet_open(job, err);
	if (r == 0 && job->options->ledger != NULL)
		r = ledger_open(job->options->ledger, &job->ledger, err);
	if (r == 0)
		r = transport_open(job, err);
	if (r == 0)
		r = transport_wrap(job, err);
	return r == 0 ? sender_open(job, err) : r;
}

static void job_close(struct job *job)
{
	sender_free(job->sender);
	transport_free(job->transport);
	ledger_close(job->ledger);
	fleet_streams_free(job->streams);
	fleet_fini(&job->fleet);
	bytes_wipe(&job->feeds, sizeof(job->feeds));
}

static void progress(struct job *job, double seconds)
{
	struct sender_totals totals;

	sender_totals(job->sender, &totals);
	report_progress(&totals, &job->before, seconds, stderr);
	job->before = totals;
}

/* Until everything is acknowledged, or the time for that is over. */
static int drive(struct job *job, struct err *err)
{
	const struct options *options = job->options;
	bool show = options->progress || isatty(STDERR_FILENO);
	int64_t start_ns = clock_mono_ns();
	int64_t shown_ns = start_ns;
	int64_t end_ns = options->duration_s == 0 ? INT64_MAX : start_ns + options->duration_s * SECOND_NS;
	int64_t drain_ns = INT64_MAX;

	for (;;) {
		int64_t now_ns = clock_mono_ns();
		bool done = false;
		int r = sender_turn(job->sender, now_ns, clock_wall_us(), &done);

		if (r < 0)
			return err_set(err, r, "the ledger can not be written: %s", strerror(-r));
		if (now_ns >= end_ns || stops > 0)
			sender_stop_making(job->sender);
		if (!sender_making(job->sender)) {
			if (drain_ns == INT64_MAX)
				drain_ns = now_ns + options->drain_s * SECOND_NS;
			if (sender_idle(job->sender) || now_ns >= drain_ns || stops > 1)
				return 0;
		}
		if (show && now_ns - shown_ns >= SECOND_NS) {
			progress(job, (double)(now_ns - shown_ns) / 1e9);
			shown_ns = now_ns;
		}
		if (!done) {
			int64_t wait_ns = sender_next_ns(job->sender, now_ns) - now_ns;

			if (wait_ns > 0)
				job->transport->ops->wait(job->transport, wait_ns);
		}
	}
}

static void report_make(const struct job *job, struct report *ret_report)
{
	memset(ret_report, 0, sizeof(*ret_report));
	sender_totals(job->sender, &ret_report->totals);
	ret_report->seconds = (double)(ret_report->totals.settled_ns - ret_report->totals.began_ns) / 1e9;
	ret_report->datagrams_sent = job->transport->sent;
	ret_report->datagrams_unsent = job->transport->unsent;
	ret_report->datagrams_received = job->transport->received;
	ret_report->twins_lost = fleet_streams_twins_lost(job->streams);
	ret_report->seed = job->options->fleet.seed;
	if (job->fault != NULL)
		ret_report->faults = *fault_counters(job->fault);
}

static int pin(const struct options *options, struct err *err)
{
	cpu_set_t set;

	/* 50 µs of slack would be a quarter of a wait at 5,000 reads a second. */
	(void)prctl(PR_SET_TIMERSLACK, 1UL);
	if (!options->pinned)
		return 0;
	CPU_ZERO(&set);
	CPU_SET(options->core, &set);
	if (sched_setaffinity(0, sizeof(set), &set) < 0)
		return err_set(err, -errno, "--core %u: %s", options->core, strerror(errno));
	return 0;
}

int run(const struct options *options, int *ret_status, struct err *err)
{
	const struct sigaction action = {.sa_handler = on_stop};
	struct job *job = calloc(1, sizeof(*job));
	struct report *report = calloc(1, sizeof(*report));
	int r;

	if (job == NULL || report == NULL) {
		free(job);
		free(report);
		return err_set(err, -ENOMEM, "no memory");
	}
	job->options = options;
	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
	r = pin(options, err);
	if (r == 0)
		r = job_open(job, err);
	if (r == 0)
		r = drive(job, err);
	if (r == 0) {
		report_make(job, report);
		if (options->json)
			r = report_json(report, stdout);
		else
			report_text(report, stdout);
		*ret_status = report_status(report);
	}
	job_close(job);
	free(job);
	free(report);
	return r;
}
