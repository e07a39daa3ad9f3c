/*
 * What happens to a slab. Happy path: open → flying → written → (all before it are durable) committed and free.
 *
 * Failure: the write fails → failed; its file is poisoned and leaves. When no slab is in flight any more, all that are
 * not committed, and the open one, become homeless, in their order: one by one their rows move to the generation of the
 * next file, and they are sealed anew under its key. That goes for slabs behind the failed one in a newer file too, be
 * they written: committed before it, their hits would become visible before those with lower numbers, and whoever
 * follows hits by their numbers would never be told of these. So that file is left as well. Nothing is appended while a
 * slab waits for a home. A second poisoned file without a durable frame in between closes the journal
 * until a frame is durable again. Slabs are never given up: they wait, unacknowledged, as long as the process lives.
 */
#include <assert.h>
#include <errno.h>
#include <string.h>

#include "appliance/base/clock.h"
#include "appliance/base/killpoint.h"
#include "storage/io.h"
#include "storage/journal_private.h"
#include "storage/lane.h"

#define REAP_MAX 32

static void file_poison(struct journal *journal, struct journal_active *active)
{
	counter_add(&journal->failed_writes, 1);
	if (active->poisoned)
		return;
	active->poisoned = true;
	if (++journal->failures >= 2) {
		atomic_store_explicit(&journal->closed, true, memory_order_relaxed);
		journal_why(journal, "the disk failed twice in writing the journal");
	} else {
		journal_why(journal, "a journal write failed");
	}
}

static void file_write(struct journal *journal, struct journal_active *active, const void *frame, size_t size,
		       uint64_t token, int *ret_result)
{
	int r;

	assert(active->offset % IO_ALIGN == 0);
	assert(active->offset + size <= journal->options.file_size);
	r = journal->queue->ops->submit(journal->queue, active->file, active->offset, frame, size, token);
	active->offset += size;
	if (r == 0)
		active->in_flight++;
	*ret_result = r;
}

static struct journal_frame_header frame_header(const struct journal *journal, struct journal_active *active)
{
	struct journal_frame_header header = {
		.file_id = active->id,
		.frame = ++active->frame,
		.durable = active->durable,
		.submitted_us = clock_wall_us(),
		.key_version = journal->options.key_version,
	};

	memcpy(header.chain, active->chain, JOURNAL_CHAIN_SIZE);
	return header;
}

void journal_submit(struct journal *journal, struct slab *slab)
{
	struct journal_active *active = slab->active;
	struct journal_frame_header header = frame_header(journal, active);
	size_t hits_size = (size_t)slab->hit_count * JOURNAL_HIT_SIZE;
	size_t size = journal_frame_size(slab->body_size + hits_size);
	int r;

	assert(size <= journal->options.slab_size);
	memcpy(slab->plain + slab->body_size, slab->hits, hits_size);
	header.run_count = slab->run_count;
	header.row_count = slab->row_count;
	header.hit_count = slab->hit_count;
	header.body_size = slab->body_size + (uint32_t)hits_size;
	journal_frame_encode(&header, &active->key, slab->plain, slab->sealed, active->chain);
	memtable_mark_take(active->generation, &slab->mark);
	if (slab == journal->open)
		journal->open = NULL;
	slab->frame = header.frame;
	slab->state = SLAB_FLYING;
	active->marked = slab->run_count == 0;
	journal->flying[journal->flying_count++] = slab;
	journal->submitted_ns = journal->now_ns;
	file_write(journal, active, slab->sealed, size, (uint64_t)(slab - journal->slabs), &r);
	if (r < 0) {
		slab->state = SLAB_FAILED;
		file_poison(journal, active);
		return;
	}
	counter_add(&journal->frames, 1);
	counter_add(&journal->bytes, size);
	killpoint("commit.submitted");
}

/* ---- completions */

static void slab_commit(struct journal *journal, struct slab *slab)
{
	struct journal_active *active = slab->active;
	struct journal_commit commit = {
		.runs = slab->runs,
		.windows = slab->windows,
		.run_count = slab->run_count,
		.rows = slab->rows,
		.hits = slab->hits,
		.hit_reads = slab->hit_reads,
		.hit_count = slab->hit_count,
		.journal_id = active->id,
		.frame = slab->frame,
	};
	uint64_t sequences = 0;

	killpoint("commit.durable");
	for (uint32_t i = 0; i < slab->run_count; i++) {
		lane_durable(slab->windows[i], &slab->runs[i]);
		sequences += slab->runs[i].count;
	}
	/* On disk a hit names a row of its frame; its reader here gets the row itself. */
	for (uint32_t i = 0; i < slab->hit_count; i++)
		slab->hits[i].row = i;
	memtable_publish(active->generation, &slab->mark);
	active->durable = slab->frame;
	active->slabs--;
	counter_add(&journal->reads, slab->row_count);
	counter_add(&journal->refused, sequences - slab->row_count);
	journal->failures = 0;
	if (atomic_load_explicit(&journal->closed, memory_order_relaxed))
		atomic_store_explicit(&journal->closed, false, memory_order_relaxed);
	journal_why(journal, NULL);
	if (slab->run_count > 0 && journal->hooks.durable != NULL)
		journal->hooks.durable(journal->hooks.context, &commit);
	slab->state = SLAB_FREE;
}

static void flying_drop(struct journal *journal, unsigned count)
{
	journal->flying_count -= count;
	memmove(journal->flying, journal->flying + count, journal->flying_count * sizeof(journal->flying[0]));
}

static void completion_take(struct journal *journal, const struct io_completion *completion)
{
	struct slab *slab;

	if (completion->token >= JOURNAL_TOKEN_END) {
		struct journal_active *active = journal->leaving[completion->token - JOURNAL_TOKEN_END];

		active->in_flight--;
		active->ended = completion->result == 0;
		if (!active->ended) {
			/* All its frames are durable and nothing waits for it: only its name will say so. */
			counter_add(&journal->failed_writes, 1);
			active->poisoned = true;
		}
		return;
	}
	slab = &journal->slabs[completion->token];
	assert(slab->state == SLAB_FLYING);
	slab->active->in_flight--;
	slab->state = completion->result == 0 ? SLAB_WRITTEN : SLAB_FAILED;
	if (completion->result != 0)
		file_poison(journal, slab->active);
}

void journal_reap(struct journal *journal)
{
	struct io_completion completions[REAP_MAX];
	unsigned committed = 0;
	int count = journal->queue->ops->reap(journal->queue, completions, REAP_MAX);

	for (int i = 0; i < count; i++)
		completion_take(journal, &completions[i]);
	while (committed < journal->flying_count && journal->flying[committed]->state == SLAB_WRITTEN)
		slab_commit(journal, journal->flying[committed++]);
	if (committed > 0)
		flying_drop(journal, committed);
}

/* ---- leaving files */

static bool slabs_failed(const struct journal *journal)
{
	for (unsigned i = 0; i < journal->flying_count; i++)
		if (journal->flying[i]->state == SLAB_FAILED)
			return true;
	return journal->open != NULL && journal->open->active->poisoned;
}

static bool slabs_in_flight(const struct journal *journal)
{
	for (unsigned i = 0; i < journal->flying_count; i++)
		if (journal->flying[i]->state == SLAB_FLYING)
			return true;
	return false;
}

/* From here on the slab stands on its plaintext alone: its file and generation may go. */
static void slab_evict(struct journal *journal, struct slab *slab)
{
	/* What it has appended to the generation must never be published: nothing comes behind it there. */
	slab->active->poisoned = slab->active->poisoned || slab->run_count > 0;
	slab->active->slabs--;
	slab->active = NULL;
	if (slab->run_count == 0) {
		slab->state = SLAB_FREE;
		return;
	}
	slab->state = SLAB_HOMELESS;
	journal->roll_left = false; /* the file it comes to has to be left as well */
	journal->homeless[journal->homeless_count++] = slab;
}

/* Those that fly come before those that were homeless already: these had not come to their turn. */
static void slabs_evict(struct journal *journal)
{
	struct slab *waiting[JOURNAL_SLABS_MAX];
	unsigned count = journal->homeless_count;

	memcpy(waiting, journal->homeless, count * sizeof(waiting[0]));
	journal->homeless_count = 0;
	for (unsigned i = 0; i < journal->flying_count; i++)
		slab_evict(journal, journal->flying[i]);
	journal->flying_count = 0;
	memcpy(&journal->homeless[journal->homeless_count], waiting, count * sizeof(waiting[0]));
	journal->homeless_count += count;
	if (journal->open != NULL)
		slab_evict(journal, journal->open);
	journal->open = NULL;
}

static void file_end(struct journal *journal, unsigned number)
{
	struct journal_active *active = journal->leaving[number];
	struct journal_frame_header header = frame_header(journal, active);
	uint8_t *block = journal->buffers + (size_t)journal->options.slab_count * journal->options.slab_size +
			 (size_t)number * IO_ALIGN;
	int r;

	header.end = true;
	journal_frame_encode(&header, &active->key, NULL, block, active->chain);
	file_write(journal, active, block, IO_ALIGN, JOURNAL_TOKEN_END + number, &r);
	active->ending = true;
	if (r < 0) {
		counter_add(&journal->failed_writes, 1);
		active->poisoned = true;
	}
}

/* False: the ring to the keeper is full, try later. */
static bool file_hand_over(struct journal *journal, struct journal_active *active)
{
	_Atomic(struct journal_active *) *slot = &journal->done[journal->done_head % JOURNAL_DONE_MAX];

	if (atomic_load_explicit(slot, memory_order_relaxed) != NULL)
		return false;
	atomic_store_explicit(slot, active, memory_order_release);
	journal->done_head++;
	return true;
}

static void file_leave_step(struct journal *journal, unsigned number)
{
	struct journal_active *active = journal->leaving[number];

	if (active->in_flight > 0)
		return;
	if (active->slabs > 0)
		return; /* its slabs wait for those before them, or for another home */
	if (!active->poisoned && !active->ending) {
		file_end(journal, number);
		return;
	}
	if (file_hand_over(journal, active))
		journal->leaving[number] = NULL;
}

void journal_leave_step(struct journal *journal)
{
	if (slabs_failed(journal) && !slabs_in_flight(journal))
		slabs_evict(journal);
	if (journal->current != NULL && journal->current->poisoned)
		(void)journal_leave(journal);
	for (unsigned i = 0; i < JOURNAL_LEAVING_MAX; i++)
		if (journal->leaving[i] != NULL)
			file_leave_step(journal, i);
}

/* ---- homeless slabs */

/* One run of the slab goes to the generation; false when the memtable has no room now. */
static bool run_move(struct journal *journal, struct slab *slab, struct generation *generation)
{
	struct journal_frame cursor = slab->cursor;
	struct journal_run moved;
	uint32_t at = slab->run_count - cursor.runs_left;
	unsigned hits = slab->run_hits[at];
	unsigned rows;
	const struct read *kept;

	(void)journal_frame_next(&cursor, &moved);
	rows = moved.run.refusal == REFUSAL_NONE ? moved.run.count : 0;
	if (!memtable_reserve(journal->memtable, generation, rows, 1, hits)) {
		journal_why(journal, "the memtable is exhausted: sealing, or the following of hits, lags");
		return false;
	}
	for (unsigned i = 0; i < hits; i++) {
		journal->hit_scratch[i] = slab->hits[slab->moved_hits + i];
		journal->hit_scratch[i].row -= moved.first_row;
	}
	kept = memtable_append(generation, &moved.run, moved.reads, journal->hit_scratch, hits);
	memtable_watermark(generation, moved.watermark);
	for (unsigned i = 0; i < hits; i++)
		slab->hit_reads[slab->moved_hits + i] = kept + journal->hit_scratch[i].row;
	slab->rows[at] = kept;
	slab->moved_hits += hits;
	slab->cursor = cursor;
	return true;
}

static void cursor_start(struct slab *slab)
{
	struct journal_frame_header header = {
		.run_count = slab->run_count,
		.row_count = slab->row_count,
		.hit_count = slab->hit_count,
		.body_size = slab->body_size + slab->hit_count * JOURNAL_HIT_SIZE,
	};
	int r;

	memcpy(slab->plain + slab->body_size, slab->hits, (size_t)slab->hit_count * JOURNAL_HIT_SIZE);
	r = journal_frame_init(&slab->cursor, &header, slab->plain, 0);
	assert(r == 0); /* our own encoding, in our own memory */
	(void)r;
	slab->moved_hits = 0;
}

/* The file a slab began to move to may itself have failed meanwhile: then it starts again. */
static struct journal_active *slab_new_home(struct journal *journal, struct slab *slab)
{
	struct journal_active *active = journal_file_for_slab(journal);

	if (active == NULL || active == slab->active)
		return active;
	active->slabs++;
	if (slab->active != NULL)
		slab->active->slabs--;
	slab->active = active;
	cursor_start(slab);
	return active;
}

/* At most one slab a poll: bounded work. */
void journal_rehouse(struct journal *journal)
{
	struct slab *slab;
	struct journal_active *active;

	if (journal->homeless_count == 0 || slabs_failed(journal))
		return;
	slab = journal->homeless[0];
	active = slab_new_home(journal, slab);
	if (active == NULL)
		return;
	assert(journal->open == NULL || journal->open->run_count == 0);
	while (slab->cursor.runs_left > 0)
		if (!run_move(journal, slab, active->generation))
			return;
	journal->homeless_count--;
	memmove(journal->homeless, journal->homeless + 1, journal->homeless_count * sizeof(journal->homeless[0]));
	journal_submit(journal, slab);
}
