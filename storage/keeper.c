/*
 * Two threads. The keeper turns every ms while there is work and every few ms when there is none: a worker that takes
 * chunks at full speed empties its ring in tens of ms. The sealer sleeps on a bell that the keeper rings when it has
 * closed a journal; after a failure it waits, doubling up to half a minute.
 *
 * Disk room. Every journal file that exists may have to be sealed: as many bytes again are reserved, for a segment is
 * never larger than what it came from; with them two rewritings of both keyring copies and the reserve of the settings
 * (catalog, audit log, one purge). Credit stands while free ≥ reserve; one more journal file is made only while it and
 * its sealing fit too. So a full disk first ends the supply of files, and what is open can always be sealed.
 */
#include "storage/keeper.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>
#include <time.h>

#define LOG_MODULE "keeper"
#include "appliance/base/clock.h"
#include "appliance/base/log.h"
#include "storage/journal.h"
#include "storage/sealer.h"
#include "storage/store_internal.h"

#define DISK_INTERVAL_NS INT64_C(200000000)
#define TURN_BUSY_NS INT64_C(1000000)
#define TURN_IDLE_NS INT64_C(5000000)
#define IDLE_TURNS 200 /* without work, before the longer sleep */
#define SEALER_INTERVAL_NS INT64_C(250000000)
#define BACKOFF_MIN_NS INT64_C(500000000)
#define BACKOFF_MAX_NS INT64_C(30000000000)

static int journal_count(void *context, const char *name)
{
	struct journal_file_name parsed;

	if (journal_file_name_parse(name, &parsed))
		++*(uint64_t *)context;
	return 0;
}

void keeper_disk(struct store *store)
{
	struct io_space space = {0};
	struct keyring_info keyring;
	uint64_t files = 0;
	uint64_t reserve;
	uint64_t file_size = store->options.journal_file_size;
	bool allows;
	int result = store->io->ops->space(store->io, store->directory, &space);

	if (result == 0)
		result = store->io->ops->list(store->io, store->journal_directory, journal_count, &files);
	if (result < 0) {
		store_alarm_stand(store, STANDING_DISK, 0, "disk room cannot be measured: %s", strerror(-result));
		return;
	}
	store_alarm_over(store, STANDING_DISK, 0);
	keyring_info(store->keyring, &keyring);
	reserve = files * file_size + 4 * keyring.file_size + store->options.reserve_bytes;
	allows = space.free_bytes >= reserve + 2 * file_size;
	atomic_store_explicit(&store->credit, space.free_bytes >= reserve, memory_order_release);
	pthread_mutex_lock(&store->status_mutex);
	store->disk_total = space.total_bytes;
	store->disk_free = space.free_bytes;
	store->disk_reserve = reserve;
	store->journal_bytes = files * file_size;
	store->space_allows = allows;
	pthread_mutex_unlock(&store->status_mutex);
}

static bool space_allows(struct store *store)
{
	bool allows;

	pthread_mutex_lock(&store->status_mutex);
	allows = store->space_allows;
	pthread_mutex_unlock(&store->status_mutex);
	return allows;
}

void store_bell(struct store *store)
{
	pthread_mutex_lock(&store->thread_mutex);
	store->sealer_rung = true;
	pthread_cond_signal(&store->sealer_bell);
	pthread_mutex_unlock(&store->thread_mutex);
}

bool store_keep(struct store *store)
{
	bool rolled = false;
	bool done;
	int64_t now_ns = clock_mono_ns();

	for (unsigned i = 0; i < store->options.workers; i++) {
		if (journal_keep(store->journals[i], space_allows(store))) {
			rolled = true;
			keeper_disk(store); /* a file more: the next one must still fit */
		}
	}
	if (rolled)
		store_bell(store);
	done = memtable_keep(store->memtable); /* after the files: sorting may take longer than a worker can wait */
	if (now_ns - store->disk_checked_ns >= DISK_INTERVAL_NS) {
		store->disk_checked_ns = now_ns;
		keeper_disk(store);
	}
	return done || rolled;
}

static bool stopping(const struct store *store)
{
	return atomic_load_explicit(&((struct store *)(uintptr_t)store)->stop, memory_order_acquire);
}

static void sleep_ns(int64_t ns)
{
	struct timespec time = {.tv_sec = ns / 1000000000, .tv_nsec = ns % 1000000000};

	(void)nanosleep(&time, NULL);
}

static void *keeper_main(void *argument)
{
	struct store *store = argument;
	unsigned idle = 0;

	while (!stopping(store)) {
		if (store_keep(store))
			idle = 0;
		else if (idle < IDLE_TURNS)
			idle++;
		sleep_ns(idle < IDLE_TURNS ? TURN_BUSY_NS : TURN_IDLE_NS);
	}
	return NULL;
}

/* Until the bell, or for so long. After a failure the bell does not shorten the wait. */
static void sealer_sleep(struct store *store, int64_t ns, bool failed)
{
	int64_t until_ns = clock_mono_ns() + ns;
	struct timespec until = {.tv_sec = until_ns / 1000000000, .tv_nsec = until_ns % 1000000000};

	pthread_mutex_lock(&store->thread_mutex);
	while (!stopping(store) && (failed || !store->sealer_rung))
		if (pthread_cond_timedwait(&store->sealer_bell, &store->thread_mutex, &until) == ETIMEDOUT)
			break;
	store->sealer_rung = false;
	pthread_mutex_unlock(&store->thread_mutex);
}

#define SEALER_NICE 5

static void *sealer_main(void *argument)
{
	struct store *store = argument;
	int64_t backoff_ns = BACKOFF_MIN_NS;

	/*
	 * Where cores are scarce, workers and alarms come first: the memtable takes up what is not sealed yet, and when
	 * it fills, workers push back and leave the core to the sealer. Only this thread is made nicer (Linux: by its
	 * id).
	 */
	(void)setpriority(PRIO_PROCESS, (id_t)gettid(), SEALER_NICE);
	while (!stopping(store)) {
		bool failed = sealer_round(store) < 0;

		sealer_sleep(store, failed ? backoff_ns : SEALER_INTERVAL_NS, failed);
		backoff_ns = !failed                           ? BACKOFF_MIN_NS
			     : backoff_ns < BACKOFF_MAX_NS / 2 ? backoff_ns * 2
							       : BACKOFF_MAX_NS;
	}
	return NULL;
}

int keeper_start(struct store *store, struct err *err)
{
	int result = pthread_create(&store->keeper, NULL, keeper_main, store);

	store->keeper_runs = result == 0;
	if (result == 0) {
		result = pthread_create(&store->sealer, NULL, sealer_main, store);
		store->sealer_runs = result == 0;
	}
	if (result == 0)
		return 0;
	keeper_stop(store);
	return err_set(err, -result, "the store's threads: %s", strerror(result));
}

void keeper_stop(struct store *store)
{
	pthread_mutex_lock(&store->thread_mutex);
	atomic_store_explicit(&store->stop, true, memory_order_release);
	pthread_cond_broadcast(&store->sealer_bell);
	pthread_mutex_unlock(&store->thread_mutex);
	if (store->keeper_runs)
		(void)pthread_join(store->keeper, NULL);
	if (store->sealer_runs)
		(void)pthread_join(store->sealer, NULL);
	store->keeper_runs = false;
	store->sealer_runs = false;
}
