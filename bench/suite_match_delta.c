#include "bench/suite_match_delta.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "appliance/base/clock.h"
#include "bench/suite_match_world.h"
#include "bench/suite_options.h"
#include "bench/suite_report.h"
#include "matcher/list.h"
#include "matcher/matchset.h"
#include "matcher/vrm.h"

#define TRIES 200
#define BURST 896 /* 32 datagrams of 28 */
#define RATE 1000000
#define HITS (4 * BURST)
#define NEW_LIST 100u /* its id */
#define BASE_LISTS 3
#define LISTS (BASE_LISTS + 1)
#define GIVE_UP_NS INT64_C(5000000000)

struct published {
	struct matchset *set;
	struct match_scratch *scratch;
};

/* The stand-in's. Atomic fields are written by the one side and read by the other, as commented. */
struct stand_in {
	const struct match_world *world;
	_Atomic(struct published *) published; /* control → worker */
	_Atomic uint64_t turns;                /* worker → control: its quiescent points */
	_Atomic uint32_t wanted;               /* control → worker: the entry of the new list whose read is brought */
	_Atomic int64_t seen_ns;               /* worker → control: when it hit; 0 not yet */
	atomic_bool ended;
	struct read read; /* of the wanted entry; written while `wanted` is UINT32_MAX and a turn has passed since */
	uint64_t matched;
	int64_t started_ns, ended_ns;
	uint64_t failures;
};

static void look(struct stand_in *stand_in, const struct hit *hits, size_t count, uint32_t wanted)
{
	for (size_t i = 0; i < count; i++)
		if (hits[i].list == NEW_LIST && hits[i].entry == wanted && atomic_load(&stand_in->seen_ns) == 0)
			atomic_store(&stand_in->seen_ns, clock_mono_ns());
}

static void turn(struct stand_in *stand_in, struct read *burst, struct hit *hits)
{
	const struct match_world *world = stand_in->world;
	struct published *published = atomic_load(&stand_in->published);
	uint32_t wanted = atomic_load(&stand_in->wanted);
	size_t from = stand_in->matched % (world->read_count - BURST);
	struct match_cursor cursor = {0};
	size_t count;
	int status;

	memcpy(burst, world->reads + from, BURST * sizeof(*burst));
	if (wanted != UINT32_MAX)
		burst[BURST - 1] = stand_in->read;
	do {
		status = match_burst(published->set, published->scratch, burst, BURST, &cursor, hits, HITS, &count);
		if (status >= 0)
			look(stand_in, hits, count, wanted);
	} while (status == MATCH_MORE);
	stand_in->failures += status < 0;
	stand_in->matched += BURST;
	atomic_fetch_add(&stand_in->turns, 1);
}

static void *stand_in_run(void *context)
{
	struct stand_in *stand_in = context;
	struct read *burst = malloc(BURST * sizeof(*burst));
	struct hit *hits = malloc(HITS * sizeof(*hits));

	stand_in->started_ns = clock_mono_ns();
	while (burst != NULL && hits != NULL && !atomic_load(&stand_in->ended)) {
		turn(stand_in, burst, hits);
		while (clock_mono_ns() - stand_in->started_ns <
		       (int64_t)(stand_in->matched * UINT64_C(1000000000) / RATE))
			sched_yield();
	}
	stand_in->ended_ns = clock_mono_ns();
	free(burst);
	free(hits);
	return NULL;
}

/* Waits until the worker has begun and ended a turn since. */
static void quiesce(struct stand_in *stand_in)
{
	const struct timespec pause = {.tv_nsec = 20000};
	uint64_t turns = atomic_load(&stand_in->turns);

	while (atomic_load(&stand_in->turns) < turns + 2 && !atomic_load(&stand_in->ended))
		(void)nanosleep(&pause, NULL);
}

static int published_new(const struct list *const *lists, size_t count, struct matchbase *base, struct err *err,
			 struct published **ret_published)
{
	struct published *published = calloc(1, sizeof(*published));
	int status = published == NULL ? -ENOMEM : matchset_new(lists, count, base, NULL, err, &published->set);

	if (status == 0)
		status = match_scratch_new(published->set, &published->scratch);
	if (status < 0) {
		if (published != NULL)
			(void)matchset_free(published->set);
		free(published);
		return status;
	}
	*ret_published = published;
	return 0;
}

static void published_free(struct published *published)
{
	(void)match_scratch_free(published->scratch);
	(void)matchset_free(published->set);
	free(published);
}

static void publish(struct stand_in *stand_in, struct published *published)
{
	struct published *old = atomic_exchange(&stand_in->published, published);

	quiesce(stand_in);
	published_free(old);
}

/* The new list's CSV with `count` rows, of plates that nobody drives, and the last row's read. */
static void new_rows(char *text, unsigned count, struct read *ret_read)
{
	char vrm[16];

	text = stpcpy(text, "vrm\n");
	for (unsigned i = 0; i < count; i++) {
		(void)snprintf(vrm, sizeof(vrm), "0NEW%04u", i);
		text = stpcpy(stpcpy(text, vrm), "\n");
	}
	memset(ret_read, 0, sizeof(*ret_read));
	memcpy(ret_read->text, vrm, strlen(vrm));
	(void)vrm_key(ret_read->text, ret_read->key);
}

/* One try: the row is there, a list of it, a set, a pointer; and the worker sees the vehicle. */
static int alarm_once(struct stand_in *stand_in, struct matchbase *base, const struct list *const *lists,
		      unsigned number, char *text, struct err *err, double *ret_ms, uint64_t *wrong)
{
	const struct timespec pause = {.tv_nsec = 10000};
	const struct list *all[LISTS] = {lists[0], lists[1], lists[2]};
	struct published *published;
	struct list *list;
	int64_t started_ns;
	int status;

	atomic_store(&stand_in->wanted, UINT32_MAX);
	quiesce(stand_in);
	new_rows(text, number + 1, &stand_in->read);
	atomic_store(&stand_in->seen_ns, 0);
	atomic_store(&stand_in->wanted, number);
	started_ns = clock_mono_ns();
	status = match_world_list(NEW_LIST, number + 1, 1, text, strlen(text), err, &list);
	if (status < 0)
		return status;
	all[BASE_LISTS] = list;
	status = published_new(all, LISTS, base, err, &published);
	(void)list_free(list);
	if (status < 0)
		return status;
	publish(stand_in, published);
	while (atomic_load(&stand_in->seen_ns) == 0 && clock_mono_ns() - started_ns < GIVE_UP_NS)
		(void)nanosleep(&pause, NULL);
	*wrong += atomic_load(&stand_in->seen_ns) == 0;
	*ret_ms = (double)(atomic_load(&stand_in->seen_ns) - started_ns) / 1e6;
	return 0;
}

static int alarms_run(struct stand_in *stand_in, struct matchbase *base, const struct list *const *lists,
		      struct err *err, struct match_delta *delta)
{
	double *ms = calloc(TRIES, sizeof(*ms));
	char *text = malloc(TRIES * 16 + 16);
	int status = ms == NULL || text == NULL ? -ENOMEM : 0;

	for (unsigned i = 0; i < TRIES && status == 0; i++)
		status = alarm_once(stand_in, base, lists, i, text, err, &ms[i], &delta->wrong);
	if (status == 0) {
		struct suite_spread spread = suite_spread_of(ms, TRIES);

		delta->alarm_p50_ms = spread.median;
		delta->alarm_p99_ms = ms[TRIES * 99 / 100 - 1];
		delta->alarm_max_ms = spread.max;
	}
	free(ms);
	free(text);
	return status;
}

static double ms_since(int64_t started_ns)
{
	return (double)(clock_mono_ns() - started_ns) / 1e6;
}

/* The mass list of another day, beside the worker. */
static int replace_run(struct stand_in *stand_in, struct matchbase *base, const struct suite_options *options,
		       struct err *err, struct match_delta *delta)
{
	const struct match_world *world = stand_in->world;
	struct matchbase_options again = {.limits = {.mass_entries_min = 0}, .like = base};
	struct published *published;
	struct matchbase *folded;
	const struct list *lists[BASE_LISTS];
	struct list *list;
	int64_t started_ns;
	size_t size;
	char *text = match_world_mass_text(world, options->mass, 1, &size);
	int status;

	if (text == NULL)
		return -ENOMEM;
	started_ns = clock_mono_ns();
	status = match_world_list(1 + WORLD_MASS, 2, 2, text, size, err, &list);
	free(text);
	if (status < 0)
		return status;
	delta->mass_parse_ms = ms_since(started_ns);
	memcpy(lists, world->lists, sizeof(lists));
	lists[WORLD_MASS] = list;
	status = published_new(lists, BASE_LISTS, base, err, &published);
	if (status == 0) {
		publish(stand_in, published);
		delta->mass_replace_ms = ms_since(started_ns);
		started_ns = clock_mono_ns();
		status = matchbase_new(lists, BASE_LISTS, &again, err, &folded);
	}
	if (status == 0) {
		status = published_new(lists, BASE_LISTS, folded, err, &published);
		if (status == 0) {
			delta->wrong += matchset_stale(published->set) != 0;
			publish(stand_in, published);
		}
		delta->mass_fold_ms = ms_since(started_ns);
		(void)matchbase_free(folded);
	}
	(void)list_free(list);
	return status;
}

/* What rests on disk, in memory here. */
struct stored {
	void *lists[BASE_LISTS];
	size_t list_sizes[BASE_LISTS];
	void *parts[MATCHBASE_PARTS];
	size_t part_sizes[MATCHBASE_PARTS];
};

static int stored_get(void *context, enum matchbase_part part, void **ret_bytes, size_t *ret_size)
{
	struct stored *stored = context;
	void *bytes;

	if (stored->parts[part] == NULL)
		return -ENOENT;
	bytes = malloc(stored->part_sizes[part]);
	if (bytes == NULL)
		return -ENOMEM;
	memcpy(bytes, stored->parts[part], stored->part_sizes[part]);
	*ret_bytes = bytes;
	*ret_size = stored->part_sizes[part];
	return 0;
}

static void stored_put(void *context, enum matchbase_part part, const void *bytes, size_t size)
{
	struct stored *stored = context;

	stored->parts[part] = malloc(size);
	if (stored->parts[part] == NULL)
		return;
	memcpy(stored->parts[part], bytes, size);
	stored->part_sizes[part] = size;
}

static int restart_once(struct stored *stored, struct err *err, struct match_delta *delta)
{
	const struct matchbase_cache cache = {stored_get, stored_put, stored};
	const struct matchbase_options options = {.cache = &cache, .ready_only = true};
	struct list *lists[BASE_LISTS] = {NULL};
	struct published *published;
	struct matchbase *base;
	int64_t started_ns = clock_mono_ns();
	int status = 0;

	for (int i = 0; i < BASE_LISTS && status == 0; i++)
		status = list_parse(stored->lists[i], stored->list_sizes[i], err, &lists[i]);
	if (status == 0)
		status = matchbase_new((const struct list *const *)lists, BASE_LISTS, &options, err, &base);
	if (status == MATCHBASE_TO_COMPILE)
		return err_set(err, -EIO, "the stored databases were not taken");
	if (status == 0) {
		status = published_new((const struct list *const *)lists, BASE_LISTS, base, err, &published);
		(void)matchbase_free(base);
	}
	delta->restart_ms = ms_since(started_ns);
	if (status == 0) {
		delta->wrong += matchset_stale(published->set) != 0;
		published_free(published);
	}
	for (int i = 0; i < BASE_LISTS; i++)
		(void)list_free(lists[i]);
	return status;
}

static int restart_run(const struct match_world *world, struct err *err, struct match_delta *delta)
{
	struct stored stored = {0};
	const struct matchbase_cache cache = {stored_get, stored_put, &stored};
	const struct matchbase_options options = {.cache = &cache};
	struct matchbase *base = NULL;
	int status = matchbase_new(world->lists, BASE_LISTS, &options, err, &base);

	(void)matchbase_free(base);
	for (int i = 0; i < BASE_LISTS && status == 0; i++)
		status = list_image(world->lists[i], &stored.lists[i], &stored.list_sizes[i]);
	if (status == 0)
		status = restart_once(&stored, err, delta);
	for (int i = 0; i < BASE_LISTS; i++)
		free(stored.lists[i]);
	for (int i = 0; i < MATCHBASE_PARTS; i++)
		free(stored.parts[i]);
	return status;
}

int match_delta_run(const struct match_world *world, struct matchbase *base, const struct suite_options *options,
		    struct err *err, struct match_delta *ret_delta)
{
	struct stand_in stand_in = {.world = world, .wanted = UINT32_MAX};
	struct match_delta delta = {0};
	struct published *first;
	pthread_t thread;
	int status = restart_run(world, err, &delta);

	if (status == 0)
		status = published_new(world->lists, BASE_LISTS, base, err, &first);
	if (status < 0)
		return status;
	atomic_store(&stand_in.published, first);
	if (pthread_create(&thread, NULL, stand_in_run, &stand_in) != 0) {
		published_free(first);
		return err_set(err, -EAGAIN, "no thread to match on");
	}
	status = alarms_run(&stand_in, base, world->lists, err, &delta);
	if (status == 0)
		status = replace_run(&stand_in, base, options, err, &delta);
	atomic_store(&stand_in.ended, true);
	(void)pthread_join(thread, NULL);
	published_free(atomic_load(&stand_in.published));
	delta.rate = (double)stand_in.matched * 1e9 / (double)(stand_in.ended_ns - stand_in.started_ns);
	delta.wrong += stand_in.failures;
	if (status == 0)
		*ret_delta = delta;
	return status;
}
