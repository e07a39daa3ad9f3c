#include "bench/suite_progress.h"

#include <stdio.h>
#include <unistd.h>

#include "appliance/base/clock.h"

#define SECOND_NS INT64_C(1000000000)

void suite_progress_start(struct suite_progress *progress, const char *what, uint64_t total)
{
	*progress = (struct suite_progress){.what = what, .total = total, .terminal = isatty(STDERR_FILENO) == 1};
	progress->start_ns = clock_mono_ns();
	atomic_store(&progress->shown_ns, progress->start_ns);
}

static void show(const struct suite_progress *progress, uint64_t done, int64_t now_ns)
{
	double seconds = (double)(now_ns - progress->start_ns) / 1e9;
	double rate = seconds > 0 ? (double)done / seconds : 0;
	double left = rate > 0 ? (double)(progress->total - done) / rate : 0;

	fprintf(stderr, "%s%s: %.1f of %.1f M reads, %.2f M/s, %.0f s left%s", progress->terminal ? "\r\033[K" : "",
		progress->what, (double)done / 1e6, (double)progress->total / 1e6, rate / 1e6, left,
		progress->terminal ? "" : "\n");
}

void suite_progress_add(struct suite_progress *progress, uint64_t count)
{
	uint64_t done = atomic_fetch_add(&progress->done, count) + count;
	int64_t now_ns = clock_mono_ns();
	int64_t shown_ns = atomic_load(&progress->shown_ns);

	if (now_ns - shown_ns < (progress->terminal ? SECOND_NS : 10 * SECOND_NS))
		return;
	if (atomic_compare_exchange_strong(&progress->shown_ns, &shown_ns, now_ns))
		show(progress, done, now_ns);
}

void suite_progress_end(struct suite_progress *progress)
{
	show(progress, atomic_load(&progress->done), clock_mono_ns());
	if (progress->terminal)
		fputc('\n', stderr);
}
