/*
 * The keeper's and the control plane's side: making a journal, preparing its files, closing them.
 *
 * Life of a file: created and preallocated → key durable in the keyring → header written, directory synced → `next` →
 * the worker's → `done` → renamed → its generation CLOSED, which hands it to the sealer. A crash leaves at worst an
 * empty file without a header (JOURNAL_SCAN_EMPTY), a header without frames, or a key without a file: nothing is under
 * it.
 */
#include "storage/journal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "appliance/base/bytes.h"
#include "appliance/base/clock.h"
#include "appliance/base/digest.h"
#include "appliance/base/killpoint.h"
#include "storage/io.h"
#include "storage/journal_private.h"
#include "storage/keyring.h"

static struct journal_file_name active_name(const struct journal *journal, const struct journal_active *active,
					    enum journal_file_state state)
{
	return (struct journal_file_name){
		.worker = journal->options.worker, .sequence = active->sequence, .state = state};
}

static int active_path(const struct journal *journal, const struct journal_active *active,
		       enum journal_file_state state, char ret_path[JOURNAL_PATH_MAX])
{
	struct journal_file_name name = active_name(journal, active, state);

	return journal_file_path(journal->directory, &name, ret_path);
}

static void active_free(struct journal_active *active)
{
	if (active == NULL)
		return;
	if (active->file != NULL)
		active->file->ops->close(active->file);
	aead_key_fini(&active->key);
	free(active);
}

/* ---- preparing */

static int file_create(struct journal *journal, struct journal_active *active)
{
	char path[JOURNAL_PATH_MAX];
	int r = active_path(journal, active, JOURNAL_FILE_OPEN, path);

	if (r == 0)
		r = journal->io->ops->open(journal->io, path, IO_WRITE | IO_CREATE | IO_DIRECT, &active->file);
	if (r < 0)
		return r;
	r = active->file->ops->preallocate(active->file, journal->options.file_size);
	if (r < 0)
		(void)journal->io->ops->unlink(journal->io, path);
	return r;
}

static int key_make(struct journal *journal, struct journal_active *active)
{
	struct key_id id = {.id = active->id, .day = KEY_DAY_NONE, .kind = KEY_JOURNAL};
	struct key_change change = {.id = id};
	uint8_t key[KEY_SIZE];
	int r = keyring_change(journal->keyring, &change, 1);

	if (r == 0)
		r = keyring_get(journal->keyring, id, key);
	if (r < 0)
		return r;
	aead_key_init(&active->key, key);
	bytes_wipe(key, sizeof(key));
	return 0;
}

/* Nothing but a header was ever sealed under it. Best effort: recovery sweeps keys without files. */
static void key_destroy(struct journal *journal, const struct journal_active *active)
{
	struct key_change change = {
		.id = {.id = active->id, .day = KEY_DAY_NONE, .kind = KEY_JOURNAL},
		.destroy = true,
	};

	(void)keyring_change(journal->keyring, &change, 1);
}

static void file_remove(struct journal *journal, const struct journal_active *active)
{
	char path[JOURNAL_PATH_MAX];

	if (active_path(journal, active, JOURNAL_FILE_OPEN, path) == 0)
		(void)journal->io->ops->unlink(journal->io, path);
}

static int header_write(struct journal *journal, struct journal_active *active)
{
	struct journal_file_header header = {
		.file_id = active->id,
		.sequence = active->sequence,
		.file_size = journal->options.file_size,
		.created_us = clock_wall_us(),
		.worker = journal->options.worker,
	};
	uint8_t *block = aligned_alloc(IO_ALIGN, JOURNAL_HEADER_SIZE);
	int r;

	if (block == NULL)
		return -ENOMEM;
	journal_file_header_encode(&header, &active->key, block, active->chain);
	r = active->file->ops->write_sync(active->file, 0, block, JOURNAL_HEADER_SIZE);
	free(block);
	if (r < 0)
		return r;
	return journal->io->ops->dir_sync(journal->io, journal->directory);
}

static struct journal_active *active_new(struct journal *journal)
{
	struct journal_active *active = aligned_alloc(_Alignof(struct journal_active), sizeof(*active));

	if (active == NULL)
		return NULL;
	memset(active, 0, sizeof(*active));
	random_bytes(&active->id, sizeof(active->id));
	active->sequence = journal->sequence++; /* a name is never used twice, whatever comes of it */
	active->offset = JOURNAL_HEADER_SIZE;
	return active;
}

static int journal_prepare(struct journal *journal)
{
	struct journal_active *active = active_new(journal);
	int r = active == NULL ? -ENOMEM : file_create(journal, active);

	if (r < 0)
		goto free_active;
	killpoint("journal.created");
	r = key_make(journal, active);
	if (r < 0)
		goto remove_file;
	killpoint("journal.keyed");
	r = header_write(journal, active);
	if (r < 0)
		goto destroy_key;
	r = memtable_open_generation(journal->memtable, journal->options.worker, active->sequence, active->id,
				     &active->generation);
	if (r < 0)
		goto destroy_key;
	atomic_store_explicit(&journal->next, active, memory_order_release);
	return 0;

destroy_key:
	key_destroy(journal, active);
remove_file:
	file_remove(journal, active);
free_active:
	active_free(active);
	return r;
}

/* A prepared file that no worker took. */
static void journal_discard(struct journal *journal, struct journal_active *active)
{
	if (active == NULL)
		return;
	memtable_lock(journal->memtable);
	memtable_retire(journal->memtable, active->generation);
	memtable_unlock(journal->memtable);
	key_destroy(journal, active);
	file_remove(journal, active);
	(void)journal->io->ops->dir_sync(journal->io, journal->directory);
	active_free(active);
}

/* ---- closing */

/*
 * The name is for people and for the eye of recovery, which reads the frames all the same: a rename that fails changes
 * nothing that matters.
 */
static void journal_finish(struct journal *journal, struct journal_active *active)
{
	enum journal_file_state state = active->ended ? JOURNAL_FILE_CLOSED : JOURNAL_FILE_FAILED;
	struct generation *generation = active->generation;
	char from[JOURNAL_PATH_MAX];
	char to[JOURNAL_PATH_MAX];

	if (active_path(journal, active, JOURNAL_FILE_OPEN, from) == 0 &&
	    active_path(journal, active, state, to) == 0 && journal->io->ops->rename(journal->io, from, to) == 0)
		(void)journal->io->ops->dir_sync(journal->io, journal->directory);
	active_free(active);
	atomic_store_explicit(&generation->state, GENERATION_CLOSED, memory_order_release);
}

static bool journal_finish_all(struct journal *journal)
{
	bool done = false;

	for (unsigned i = 0; i < JOURNAL_DONE_MAX; i++) {
		_Atomic(struct journal_active *) *slot = &journal->done[journal->done_tail % JOURNAL_DONE_MAX];
		struct journal_active *active = atomic_load_explicit(slot, memory_order_acquire);

		if (active == NULL)
			break;
		journal->done_tail++;
		atomic_store_explicit(slot, NULL, memory_order_release);
		journal_finish(journal, active);
		done = true;
	}
	return done;
}

static const char *keep_why(int r)
{
	if (r == -ENOSPC || r == -EDQUOT)
		return "no space on the disk for a journal file";
	return r < 0 ? "a journal file cannot be made" : NULL;
}

bool journal_keep(struct journal *journal, bool space_allows)
{
	bool done = journal_finish_all(journal);
	bool closed = atomic_load_explicit(&journal->closed, memory_order_relaxed);
	int64_t now = clock_mono_ns();
	int r;

	if (atomic_load_explicit(&journal->next, memory_order_relaxed) != NULL) {
		atomic_store_explicit(&journal->keep_why, NULL, memory_order_relaxed);
		return done;
	}
	if (!space_allows) {
		atomic_store_explicit(&journal->keep_why, "no space on the disk beyond the reserves",
				      memory_order_relaxed);
		return done;
	}
	/* A disk that takes headers and refuses frames must not eat a file and a key at every turn. */
	if (closed && now - journal->prepared_ns < journal->options.retry_interval_ns)
		return done;
	journal->prepared_ns = now;
	r = journal_prepare(journal);
	atomic_store_explicit(&journal->keep_why, keep_why(r), memory_order_relaxed);
	return done || r == 0;
}

/* ---- life */

struct sequence_search {
	unsigned worker;
	uint64_t highest;
};

static int sequence_see(void *context, const char *name)
{
	struct sequence_search *search = context;
	struct journal_file_name parsed;

	if (journal_file_name_parse(name, &parsed) && parsed.worker == search->worker &&
	    parsed.sequence > search->highest)
		search->highest = parsed.sequence;
	return 0;
}

static int journal_sequence_find(struct journal *journal)
{
	struct sequence_search search = {.worker = journal->options.worker};
	int r = journal->io->ops->list(journal->io, journal->directory, sequence_see, &search);

	if (r < 0)
		return r;
	journal->sequence = search.highest + 1;
	if (journal->sequence < journal->options.sequence_min)
		journal->sequence = journal->options.sequence_min;
	return 0;
}

static int slab_new(struct journal *journal, unsigned number)
{
	struct slab *slab = &journal->slabs[number];

	slab->plain = journal->plains + (size_t)number * journal->options.slab_size;
	slab->sealed = journal->buffers + (size_t)number * journal->options.slab_size;
	slab->runs = calloc(journal->slab_runs_max, sizeof(*slab->runs));
	slab->windows = calloc(journal->slab_runs_max, sizeof(*slab->windows));
	slab->rows = calloc(journal->slab_runs_max, sizeof(*slab->rows));
	slab->run_hits = calloc(journal->slab_runs_max, sizeof(*slab->run_hits));
	slab->hits = calloc(journal->slab_hits_max, sizeof(*slab->hits));
	slab->hit_reads = calloc(journal->slab_hits_max, sizeof(*slab->hit_reads));
	if (slab->runs == NULL || slab->windows == NULL || slab->rows == NULL || slab->run_hits == NULL ||
	    slab->hits == NULL || slab->hit_reads == NULL)
		return -ENOMEM;
	return 0;
}

/* Touched once here, so that no worker meets a page fault. */
static uint8_t *buffer_new(size_t size)
{
	uint8_t *buffer = aligned_alloc(IO_ALIGN, size);

	if (buffer != NULL)
		memset(buffer, 0, size);
	return buffer;
}

static int journal_slabs_new(struct journal *journal)
{
	const struct journal_options *options = &journal->options;
	size_t slabs_size = (size_t)options->slab_count * options->slab_size;
	size_t buffers_size = slabs_size + (size_t)JOURNAL_LEAVING_MAX * IO_ALIGN;

	/* Bounds that a slab of ordinary runs (two dozen reads, a hit in a hundred) never meets. */
	journal->slab_runs_max = options->slab_size / 128 + 1;
	journal->slab_hits_max = options->slab_size / 128 + 1;
	journal->buffers = buffer_new(buffers_size);
	journal->plains = buffer_new(slabs_size);
	journal->hit_scratch = calloc(journal->slab_hits_max, sizeof(*journal->hit_scratch));
	if (journal->buffers == NULL || journal->plains == NULL || journal->hit_scratch == NULL)
		return -ENOMEM;
	for (unsigned i = 0; i < options->slab_count; i++)
		if (slab_new(journal, i) < 0)
			return -ENOMEM;
	return journal->io->ops->queue_new(journal->io, options->slab_count + JOURNAL_LEAVING_MAX, journal->buffers,
					   buffers_size, &journal->queue);
}

static int options_check(const struct journal_options *options)
{
	if (options->slab_count < 2 || options->slab_count > JOURNAL_SLABS_MAX || options->slab_size < 2 * IO_ALIGN ||
	    options->slab_size % IO_ALIGN != 0 || options->slab_size > JOURNAL_FRAME_SIZE_MAX ||
	    options->file_size % IO_ALIGN != 0 ||
	    options->file_size < JOURNAL_HEADER_SIZE + options->slab_size + IO_ALIGN || options->worker > 99)
		return -EINVAL;
	return strlen(options->directory) >= JOURNAL_PATH_MAX - 32 ? -ENAMETOOLONG : 0;
}

int journal_new(const struct journal_options *options, const struct journal_hooks *hooks, struct io *io,
		struct keyring *keyring, struct memtable *memtable, struct journal **ret_journal)
{
	struct journal *journal;
	int r = options_check(options);

	if (r < 0)
		return r;
	journal = aligned_alloc(_Alignof(struct journal), sizeof(*journal));
	if (journal == NULL)
		return -ENOMEM;
	memset(journal, 0, sizeof(*journal));
	journal->options = *options;
	journal->hit_count = options->hit_count;
	strcpy(journal->directory, options->directory);
	journal->options.directory = journal->directory;
	journal->hooks = *hooks;
	journal->io = io;
	journal->keyring = keyring;
	journal->memtable = memtable;
	r = journal_slabs_new(journal);
	if (r == 0)
		r = journal_sequence_find(journal);
	if (r < 0) {
		journal_free(journal);
		return r;
	}
	(void)journal_keep(journal, true); /* if it cannot yet, the keeper goes on trying and journal_info says why */
	*ret_journal = journal;
	return 0;
}

static bool journal_writing(const struct journal *journal)
{
	bool writing = false;

	for (unsigned i = 0; i < journal->flying_count; i++)
		writing = writing || journal->flying[i]->state == SLAB_FLYING;
	for (unsigned i = 0; i < JOURNAL_LEAVING_MAX; i++)
		writing = writing || (journal->leaving[i] != NULL && journal->leaving[i]->in_flight > 0);
	return writing;
}

/* Every buffer the kernel may still read from is waited for. */
static void journal_drain(struct journal *journal)
{
	const struct timespec pause = {.tv_nsec = 50000};

	while (journal_writing(journal)) {
		journal_reap(journal);
		if (journal_writing(journal))
			(void)nanosleep(&pause, NULL);
	}
}

static void journal_end(struct journal *journal)
{
	if (journal->open != NULL && journal->open->run_count > 0)
		journal_submit(journal, journal->open);
	journal_drain(journal);
	if (journal->current != NULL)
		(void)journal_leave(journal);
	journal_leave_step(journal); /* END is submitted … */
	journal_drain(journal);
	journal_leave_step(journal); /* … and the file handed over */
	(void)journal_finish_all(journal);
}

static void slab_free(struct slab *slab)
{
	free(slab->runs);
	free(slab->windows);
	free(slab->rows);
	free(slab->run_hits);
	free(slab->hits);
	free(slab->hit_reads);
}

void journal_number_behind(struct journal *journal, uint64_t count)
{
	if (journal->hit_count < count)
		journal->hit_count = count;
}

struct journal *journal_free(struct journal *journal)
{
	size_t slabs_size;

	if (journal == NULL)
		return NULL;
	slabs_size = (size_t)journal->options.slab_count * journal->options.slab_size;
	if (journal->queue != NULL) {
		journal_end(journal);
		journal->queue->ops->queue_free(journal->queue);
	}
	journal_discard(journal, atomic_load(&journal->next));
	for (unsigned i = 0; i < JOURNAL_LEAVING_MAX; i++)
		active_free(journal->leaving[i]);
	active_free(journal->current);
	for (unsigned i = 0; i < journal->options.slab_count; i++)
		slab_free(&journal->slabs[i]);
	if (journal->plains != NULL)
		bytes_wipe(journal->plains, slabs_size); /* VRMs */
	free(journal->plains);
	free(journal->buffers);
	free(journal->hit_scratch);
	free(journal);
	return NULL;
}
