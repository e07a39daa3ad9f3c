#include "appliance/attendant.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <time.h>

#include "appliance/base/bytes.h"
#include "appliance/base/clock.h"
#include "appliance/counters.h"
#include "appliance/gantry.h"
#include "appliance/hits.h"
#include "appliance/lanes.h"
#include "storage/hit_scan.h"
#include "storage/memtable.h"
#include "storage/store.h"

#define WAKE_NS 1000000
#define HITS_AT_ONCE 256 /* given to the rings */

/* How far the hits of one worker have been followed. */
struct hit_cursor {
	uint64_t sequence; /* of the generation being followed; 0 none yet */
	struct chunk *chunk;
	uint32_t index;
};

struct attendant {
	struct gantry *gantry;
	pthread_t thread;
	atomic_bool stopping;
	struct hit_cursor cursors[WORKERS_MAX];
	struct memtable_view view; /* held between rounds: a generation in it is not freed under a cursor */
	bool viewing;

	struct hit_found found[HITS_AT_ONCE]; /* on their way to the rings */
	size_t found_count;

	/* The last second, for status. */
	int64_t rate_ns;
	uint64_t rate_reads;
	uint64_t rate_slept_ns[WORKERS_MAX];
	_Atomic uint64_t reads_per_s;
	_Atomic unsigned busy_permille[WORKERS_MAX];
};

static int lane_of_store(void *context, uint32_t feed, uint32_t epoch, uint8_t lane, struct lane_window **ret_window)
{
	return store_lane(context, feed, epoch, lane, ret_window);
}

static void open_lanes(struct gantry *gantry)
{
	for (unsigned i = 0; i < gantry->worker_count; i++)
		lanes_answer(worker_lane_requests(gantry->workers[i]), worker_lane_grants(gantry->workers[i]),
			     lane_of_store, gantry->store);
}

static void publish(struct attendant *attendant)
{
	gantry_hits_publish(attendant->gantry, attendant->found, attendant->found_count);
	attendant->found_count = 0;
}

static void take(struct attendant *attendant, const struct hit *hit, const struct read *read)
{
	if (attendant->found_count == HITS_AT_ONCE)
		publish(attendant);
	attendant->found[attendant->found_count++] = (struct hit_found){.hit = *hit, .read = *read};
}

static const struct read *row_of(struct chunk *first, uint32_t row)
{
	for (struct chunk *chunk = first; chunk != NULL; chunk = atomic_load(&chunk->next))
		if (row >= chunk->first_row && row < chunk->first_row + CHUNK_ROWS)
			return &chunk->rows[row - chunk->first_row];
	return NULL;
}

/* Follows one generation to its published end. True when it is closed and nothing of it is left. */
static bool follow_generation(struct attendant *attendant, struct hit_cursor *cursor, struct generation *generation)
{
	bool closed = atomic_load(&generation->state) != GENERATION_OPEN;

	if (cursor->chunk == NULL)
		cursor->chunk = atomic_load(&generation->first);
	while (cursor->chunk != NULL) {
		struct chunk *next = atomic_load(&cursor->chunk->next);
		uint32_t count = atomic_load(&cursor->chunk->hits_durable);

		for (; cursor->index < count; cursor->index++) {
			const struct hit *hit = &cursor->chunk->hits[cursor->index];
			const struct read *read = row_of(cursor->chunk, hit->row);

			if (read != NULL)
				take(attendant, hit, read);
		}
		/* A chunk that has a successor gets no more, once all that was appended to it is durable. */
		if (next == NULL || cursor->index < cursor->chunk->hit_count)
			break;
		cursor->chunk = next;
		cursor->index = 0;
	}
	return closed && (cursor->chunk == NULL || cursor->index == cursor->chunk->hit_count);
}

/*
 * Each worker's generations of one view, in order, as far as they go: one that is still written to holds up those
 * behind it, of which the next is always open ahead, empty.
 */
static void follow_view(struct attendant *attendant, const struct memtable_view *view)
{
	bool waiting[WORKERS_MAX] = {false};

	for (size_t i = 0; i < view->count; i++) {
		struct generation *generation = view->generations[i];
		struct hit_cursor *cursor;

		if (generation->worker >= WORKERS_MAX || waiting[generation->worker])
			continue;
		cursor = &attendant->cursors[generation->worker];
		if (generation->sequence < cursor->sequence)
			continue;
		if (generation->sequence > cursor->sequence)
			*cursor = (struct hit_cursor){.sequence = generation->sequence};
		if (follow_generation(attendant, cursor, generation))
			*cursor = (struct hit_cursor){.sequence = generation->sequence + 1};
		else
			waiting[generation->worker] = true;
	}
}

/*
 * The view of the last round is let go only after it has been followed once more and the new one is taken: a generation
 * under a cursor is never freed, and one that was closed and sealed since is first followed to its end.
 */
static void follow_hits(struct attendant *attendant)
{
	struct memtable *memtable = store_memtable(attendant->gantry->store);
	struct memtable_view view;

	if (memtable_view_take(memtable, &view) < 0)
		return;
	if (attendant->viewing) {
		follow_view(attendant, &attendant->view);
		memtable_view_release(memtable, &attendant->view);
	}
	follow_view(attendant, &view);
	publish(attendant);
	attendant->view = view;
	attendant->viewing = true;
}

/* What was recovered is behind the rings: subscribers that lack some of it are served from the store. */
static void skip_recovered(struct attendant *attendant)
{
	struct memtable *memtable = store_memtable(attendant->gantry->store);
	struct memtable_view view;

	if (memtable_view_take(memtable, &view) < 0)
		return;
	for (size_t i = 0; i < view.count; i++) {
		const struct generation *generation = view.generations[i];

		if (generation->worker < WORKERS_MAX && atomic_load(&generation->state) != GENERATION_OPEN &&
		    generation->sequence >= attendant->cursors[generation->worker].sequence)
			attendant->cursors[generation->worker].sequence = generation->sequence + 1;
	}
	memtable_view_release(memtable, &view);
}

static void take_rates(struct attendant *attendant)
{
	const struct gantry *gantry = attendant->gantry;
	int64_t now_ns = clock_mono_ns();
	int64_t passed_ns = now_ns - attendant->rate_ns;
	uint64_t reads = 0;

	if (passed_ns < INT64_C(1000000000))
		return;
	for (unsigned i = 0; i < gantry->worker_count; i++) {
		int64_t running_ns;
		uint64_t slept_ns;
		uint32_t credit;
		uint64_t slept;

		reads += counter_get(&worker_counters(gantry->workers[i])->durable_reads);
		worker_load(gantry->workers[i], &running_ns, &slept_ns, &credit);
		slept = slept_ns - attendant->rate_slept_ns[i];
		attendant->rate_slept_ns[i] = slept_ns;
		atomic_store(&attendant->busy_permille[i],
			     slept < (uint64_t)passed_ns ? (unsigned)(1000 - 1000 * slept / (uint64_t)passed_ns) : 0);
	}
	if (attendant->rate_ns != 0)
		atomic_store(&attendant->reads_per_s,
			     (reads - attendant->rate_reads) * 1000000000 / (uint64_t)passed_ns);
	attendant->rate_reads = reads;
	attendant->rate_ns = now_ns;
}

static void *attend(void *context)
{
	struct attendant *attendant = context;
	struct timespec nap = {.tv_nsec = WAKE_NS};

	(void)prctl(PR_SET_NAME, "attendant");
	(void)prctl(PR_SET_TIMERSLACK, 50000);
	skip_recovered(attendant);
	while (!atomic_load(&attendant->stopping)) {
		open_lanes(attendant->gantry);
		follow_hits(attendant);
		take_rates(attendant);
		(void)nanosleep(&nap, NULL);
	}
	follow_hits(attendant);
	if (attendant->viewing)
		memtable_view_release(store_memtable(attendant->gantry->store), &attendant->view);
	return NULL;
}

int attendant_start(struct gantry *gantry, struct attendant **ret_attendant, struct err *err)
{
	struct attendant *attendant = calloc(1, sizeof(*attendant));
	int result;

	if (attendant == NULL)
		return err_set(err, -ENOMEM, "out of memory");
	attendant->gantry = gantry;
	result = pthread_create(&attendant->thread, NULL, attend, attendant);
	if (result != 0) {
		free(attendant);
		return err_set(err, -result, "attendant thread: %s", strerror(result));
	}
	*ret_attendant = attendant;
	return 0;
}

struct attendant *attendant_stop(struct attendant *attendant)
{
	if (attendant == NULL)
		return NULL;
	atomic_store(&attendant->stopping, true);
	pthread_join(attendant->thread, NULL);
	bytes_wipe(attendant->found, sizeof(attendant->found));
	free(attendant);
	return NULL;
}

void attendant_info(struct attendant *attendant, struct attendant_info *ret_info)
{
	memset(ret_info, 0, sizeof(*ret_info));
	if (attendant == NULL)
		return;
	ret_info->reads_per_s = atomic_load(&attendant->reads_per_s);
	for (unsigned i = 0; i < WORKERS_MAX; i++)
		ret_info->busy_permille[i] = atomic_load(&attendant->busy_permille[i]);
}
