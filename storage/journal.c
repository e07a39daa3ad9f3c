/*
 * The worker's side: append and roll; see journal_commit.c for what happens to a slab once it is submitted.
 *
 * A slab belongs to a file, and its rows to that file's generation, from its first read on. A file is left when it has
 * no room for one more slab of full size and its END, so that no slab ever has to change file because of its length.
 */
#include "storage/journal.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "appliance/base/bytes.h"
#include "appliance/base/clock.h"
#include "appliance/base/killpoint.h"
#include "storage/io.h"
#include "storage/journal_private.h"
#include "storage/lane.h"

#define FLYING_TARGET 4                   /* frames in flight beyond which a slab grows instead of being sent early */
#define MARK_AFTER_NS INT64_C(1000000000) /* quiet so long: an empty frame records that the last one was durable */
#define POLL_SOON_NS 20000                /* how soon to look for a completion */
#define POLL_LATER_NS 1000000             /* and for the keeper, who alone can help */
#define CREDIT_ROW_SIZE 80                /* journal bytes of a read with its share of run and header, generously */

static uint64_t file_room(const struct journal *journal, const struct journal_active *active)
{
	uint64_t reserved = active->offset + IO_ALIGN; /* END */

	return journal->options.file_size > reserved ? journal->options.file_size - reserved : 0;
}

bool journal_leave(struct journal *journal)
{
	for (unsigned i = 0; i < JOURNAL_LEAVING_MAX; i++) {
		if (journal->leaving[i] != NULL)
			continue;
		journal->leaving[i] = journal->current;
		journal->current = NULL;
		return true;
	}
	return false;
}

struct journal_active *journal_file_for_slab(struct journal *journal)
{
	struct journal_active *current = journal->current;

	if (current != NULL && !current->poisoned && file_room(journal, current) >= journal->options.slab_size)
		return current;
	if (atomic_load_explicit(&journal->next, memory_order_relaxed) == NULL) {
		journal_why(journal, "no journal file is prepared");
		return NULL;
	}
	if (current != NULL && !journal_leave(journal)) {
		journal_why(journal, "journal files wait for their last writes");
		return NULL;
	}
	journal->current = atomic_exchange_explicit(&journal->next, NULL, memory_order_acquire);
	journal->current->taken_ns = journal->now_ns;
	killpoint("journal.rolled");
	return journal->current;
}

/* A free slab in a file with room; NULL, and why, when there is neither. */
static struct slab *slab_open(struct journal *journal)
{
	struct slab *slab = NULL;
	struct journal_active *active;

	for (unsigned i = 0; i < journal->options.slab_count && slab == NULL; i++)
		if (journal->slabs[i].state == SLAB_FREE)
			slab = &journal->slabs[i];
	if (slab == NULL) {
		journal_why(journal, "the disk is slower than the traffic");
		return NULL;
	}
	active = journal_file_for_slab(journal);
	if (active == NULL)
		return NULL;
	slab->state = SLAB_OPEN;
	slab->active = active;
	slab->oldest_ns = journal->now_ns;
	slab->body_size = 0;
	slab->run_count = 0;
	slab->row_count = 0;
	slab->hit_count = 0;
	active->slabs++;
	journal->open = slab;
	return slab;
}

static bool slab_fits(const struct journal *journal, const struct slab *slab, size_t size, unsigned hits)
{
	size_t used = JOURNAL_FRAME_HEADER_SIZE + slab->body_size + (size_t)slab->hit_count * JOURNAL_HIT_SIZE;

	return used + size + (size_t)hits * JOURNAL_HIT_SIZE <= journal->options.slab_size &&
	       slab->run_count < journal->slab_runs_max && slab->hit_count + hits <= journal->slab_hits_max;
}

static void slab_add(struct slab *slab, struct lane_window *window, const struct run *run, const struct read *reads,
		     const struct read *rows, const struct hit *hits, unsigned hit_count)
{
	uint32_t at = slab->run_count++;

	memtable_watermark(slab->active->generation, window->base - 1);
	slab->body_size += (uint32_t)journal_run_encode(run, window->base - 1, reads, slab->plain + slab->body_size);
	slab->runs[at] = *run;
	slab->windows[at] = window;
	slab->rows[at] = rows;
	slab->run_hits[at] = (uint16_t)hit_count;
	for (unsigned i = 0; i < hit_count; i++) {
		slab->hit_reads[slab->hit_count] = rows + hits[i].row;
		slab->hits[slab->hit_count] = hits[i];
		slab->hits[slab->hit_count++].row += slab->row_count;
	}
	if (run->refusal == REFUSAL_NONE)
		slab->row_count += run->count;
}

/* The array is the bound: beside a longest run the smallest slab still has bytes for four times as many. */
uint32_t journal_hits_max(const struct journal *journal)
{
	return journal->slab_hits_max < CHUNK_HITS ? journal->slab_hits_max : CHUNK_HITS;
}

/*
 * Closed, and what is there is on its way to show whether the disk writes again. Only when nothing is there does a
 * closed journal take reads: some frame has to be the first that is durable again.
 */
static bool proving(const struct journal *journal)
{
	return atomic_load_explicit(&journal->closed, memory_order_relaxed) &&
	       (journal->flying_count > 0 || (journal->open != NULL && journal->open->run_count > 0));
}

/* Slabs whose write failed wait for another file, whether a poll has taken them out of theirs yet or not. */
static bool slabs_wait(const struct journal *journal)
{
	const struct journal_active *current = journal->current;
	bool wait = journal->homeless_count > 0 || (current != NULL && current->poisoned && current->slabs > 0);

	for (unsigned i = 0; i < JOURNAL_LEAVING_MAX; i++) {
		const struct journal_active *leaving = journal->leaving[i];

		wait = wait || (leaving != NULL && leaving->poisoned && leaving->slabs > 0);
	}
	return wait;
}

int journal_append(struct journal *journal, struct lane_window *window, const struct run *run, const struct read *reads,
		   const struct hit *hits, unsigned hit_count)
{
	unsigned rows = run->refusal == REFUSAL_NONE ? run->count : 0;
	size_t size = JOURNAL_RUN_SIZE + (size_t)rows * JOURNAL_ROW_SIZE;
	struct slab *slab = journal->open;
	const struct read *kept;

	assert(run->count >= 1 && run->count <= LANE_RUN_MAX);
	assert(rows > 0 || hit_count == 0);
	if (hit_count > journal_hits_max(journal))
		hit_count = journal_hits_max(journal);
	if (slabs_wait(journal) || proving(journal))
		return atomic_load_explicit(&journal->closed, memory_order_relaxed) ? JOURNAL_CLOSED : JOURNAL_FULL;
	if (slab != NULL && !slab_fits(journal, slab, size, hit_count)) {
		journal_submit(journal, slab);
		slab = NULL;
	}
	if (slab == NULL)
		slab = slab_open(journal);
	if (slab == NULL)
		return atomic_load_explicit(&journal->closed, memory_order_relaxed) ? JOURNAL_CLOSED : JOURNAL_FULL;
	if (!memtable_reserve(journal->memtable, slab->active->generation, rows, 1, hit_count)) {
		journal_why(journal, "the memtable is exhausted: sealing, or the following of hits, lags");
		return JOURNAL_FULL;
	}
	if (slab->run_count == 0)
		slab->oldest_ns = journal->now_ns;
	for (unsigned i = 0; i < hit_count; i++) {
		journal->hit_scratch[i] = hits[i];
		journal->hit_scratch[i].number = hit_number(journal->options.worker, ++journal->hit_count);
	}
	kept = memtable_append(slab->active->generation, run, reads, journal->hit_scratch, hit_count);
	slab_add(slab, window, run, reads, kept, journal->hit_scratch, hit_count);
	lane_take(window, run->first, run->count);
	return 0;
}

/* ---- poll */

static bool current_holds(const struct journal *journal)
{
	const struct journal_active *current = journal->current;

	return current != NULL && (current->frame > 0 || current->slabs > 0);
}

static bool roll_due(const struct journal *journal, bool wanted)
{
	if (!current_holds(journal))
		return false;
	return (wanted && !journal->roll_left) ||
	       journal->now_ns - journal->current->taken_ns >= journal->options.roll_age_ns;
}

/* Slabs that are not durable yet in files that were left: their write may fail, and then they move on. */
static bool leaving_holds(const struct journal *journal)
{
	for (unsigned i = 0; i < JOURNAL_LEAVING_MAX; i++)
		if (journal->leaving[i] != NULL && journal->leaving[i]->slabs > 0)
			return true;
	return false;
}

/* Whether or not the next file is ready: what is in this one must get sealed, and sealing makes room. */
static void current_roll(struct journal *journal, bool wanted)
{
	if (journal->open != NULL && journal->open->run_count > 0) {
		journal_submit(journal, journal->open);
	} else if (journal->open != NULL) {
		journal->open->active->slabs--;
		journal->open->state = SLAB_FREE;
		journal->open = NULL;
	}
	if (journal_leave(journal))
		journal->roll_left = wanted;
}

static void journal_roll_step(struct journal *journal)
{
	bool wanted = atomic_load_explicit(&journal->roll_wanted, memory_order_acquire);

	/* Slabs without a file hold reads that a roll was asked to close in: not answered before they have found one.
	 */
	if (journal->homeless_count > 0)
		return;
	if (roll_due(journal, wanted))
		current_roll(journal, wanted);
	if (!wanted || leaving_holds(journal) || (!journal->roll_left && current_holds(journal)))
		return;
	journal->roll_left = false;
	atomic_store_explicit(&journal->roll_wanted, false, memory_order_release);
}

/* When traffic stops, the last frame's durability stands nowhere: an empty frame says it, so that rot there is damage.
 */
static void journal_mark_step(struct journal *journal)
{
	struct journal_active *current = journal->current;

	/* Rows of a homeless slab that has only half moved in would be published by it. */
	if (current == NULL || current->poisoned || current->frame == 0 || current->marked ||
	    journal->homeless_count > 0 || journal->flying_count > 0 ||
	    journal->now_ns - journal->submitted_ns < MARK_AFTER_NS ||
	    file_room(journal, current) < journal->options.slab_size)
		return;
	if (journal->open == NULL && slab_open(journal) == NULL)
		return;
	if (journal->open->run_count == 0)
		journal_submit(journal, journal->open);
}

void journal_poll(struct journal *journal, int64_t now_ns)
{
	struct slab *open;

	journal->now_ns = now_ns;
	journal_reap(journal);
	journal_leave_step(journal);
	journal_rehouse(journal);
	journal_roll_step(journal);
	open = journal->open;
	if (open != NULL && open->run_count > 0 && journal->flying_count < FLYING_TARGET &&
	    now_ns - open->oldest_ns >= journal->options.commit_interval_ns)
		journal_submit(journal, open);
	journal_mark_step(journal);
	if (atomic_load_explicit(&journal->why, memory_order_relaxed) != NULL &&
	    !atomic_load_explicit(&journal->closed, memory_order_relaxed) && journal_credit(journal) > 0)
		journal_why(journal, NULL);
}

bool journal_idle(const struct journal *journal, int64_t *ret_due_ns)
{
	bool writing = journal->flying_count > 0;

	for (unsigned i = 0; i < JOURNAL_LEAVING_MAX; i++)
		writing = writing || (journal->leaving[i] != NULL && journal->leaving[i]->slabs == 0);
	if (writing || journal->homeless_count > 0) {
		*ret_due_ns = journal->now_ns + (writing ? POLL_SOON_NS : POLL_LATER_NS);
		return false;
	}
	if (journal->open == NULL || journal->open->run_count == 0)
		return true;
	*ret_due_ns = journal->open->oldest_ns + journal->options.commit_interval_ns;
	return false;
}

uint32_t journal_credit(const struct journal *journal)
{
	const struct journal_active *current = journal->current;
	const struct journal_active *next = atomic_load_explicit(&journal->next, memory_order_relaxed);
	size_t rows =
		memtable_room(journal->memtable, journal->options.worker, current != NULL ? current->generation : NULL);
	uint64_t room = 0;
	uint64_t slabs = 0;

	if (slabs_wait(journal) || proving(journal))
		return 0;
	if (current != NULL && !current->poisoned)
		room = file_room(journal, current);
	if (room < journal->options.slab_size)
		room = 0;
	if (next != NULL)
		room += journal->options.file_size - JOURNAL_HEADER_SIZE - IO_ALIGN;
	for (unsigned i = 0; i < journal->options.slab_count; i++)
		if (journal->slabs[i].state == SLAB_FREE)
			slabs += journal->options.slab_size;
	if (journal->open != NULL)
		slabs += journal->options.slab_size - JOURNAL_FRAME_HEADER_SIZE - journal->open->body_size;
	if (slabs < room)
		room = slabs;
	room /= CREDIT_ROW_SIZE;
	return (uint32_t)(room < rows ? room : rows);
}

void journal_roll(struct journal *journal)
{
	atomic_store_explicit(&journal->roll_wanted, true, memory_order_release);
}

bool journal_roll_pending(const struct journal *journal)
{
	return atomic_load_explicit(&journal->roll_wanted, memory_order_acquire);
}

void journal_info(const struct journal *journal, struct journal_info *ret_info)
{
	const char *keep_why = atomic_load_explicit(&journal->keep_why, memory_order_relaxed);
	const char *why = atomic_load_explicit(&journal->why, memory_order_relaxed);

	*ret_info = (struct journal_info){
		.frames = atomic_load_explicit(&journal->frames, memory_order_relaxed),
		.bytes = atomic_load_explicit(&journal->bytes, memory_order_relaxed),
		.reads = atomic_load_explicit(&journal->reads, memory_order_relaxed),
		.refused = atomic_load_explicit(&journal->refused, memory_order_relaxed),
		.failed_writes = atomic_load_explicit(&journal->failed_writes, memory_order_relaxed),
		.closed = atomic_load_explicit(&journal->closed, memory_order_relaxed),
		.why = keep_why != NULL ? keep_why : why,
	};
}
