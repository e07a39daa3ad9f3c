#include "tests/storage/store_rig.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "appliance/base/clock.h"
#include "storage/catalog.h"
#include "storage/io.h"
#include "storage/journal.h"
#include "storage/keyring.h"
#include "storage/lane.h"
#include "storage/memtable.h"
#include "storage/purge.h"
#include "storage/segment_read.h"
#include "storage/view.h"

#define RUN_MAX 28

static bool problem(struct rig *rig, const char *format, ...) __attribute__((format(printf, 2, 3)));
static bool problem(struct rig *rig, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(rig->problem, sizeof(rig->problem), format, arguments);
	va_end(arguments);
	return false;
}

/* An identity as text, unique; every field of its read follows from it. */
void rig_read(const struct rig *rig, uint32_t feed, unsigned lane, uint64_t sequence, struct read *ret_read)
{
	struct prng prng = {(uint64_t)feed << 40 ^ (uint64_t)lane << 36 ^ sequence};
	char text[READ_TEXT_SIZE + 1];

	*ret_read = (struct read){.camera = 1 + (uint32_t)prng_below(&prng, 50),
				  .feed = feed,
				  .epoch = rig->epoch,
				  .kind = READ_KIND_VRM,
				  .confidence = (uint8_t)prng_below(&prng, 101),
				  .road_lane = (uint8_t)prng_below(&prng, 4),
				  .direction = (uint8_t)prng_below(&prng, 3),
				  .images = (uint8_t)prng_below(&prng, 4),
				  .country = 'G' | 'B' << 8};
	ret_read->flags = lane == FEED_LANE_BACKLOG ? READ_FLAG_BACKLOG : 0;
	ret_read->capture_us = (int64_t)(rig->first_day + (int32_t)rig_day_of(feed, lane, sequence)) * DAY_US +
			       (int64_t)prng_below(&prng, (uint64_t)DAY_US);
	ret_read->receipt_us = ret_read->capture_us + 1000000;
	snprintf(text, sizeof(text), "%uL%uS%llu", (unsigned)feed % 100, lane % 10, (unsigned long long)sequence);
	memcpy(ret_read->text, text, strlen(text));
	memcpy(ret_read->key, text, strlen(text));
}

unsigned rig_day_of(uint32_t feed, unsigned lane, uint64_t sequence)
{
	return (unsigned)((sequence / 7 + feed + lane) % RIG_DAYS);
}

unsigned rig_hits(uint32_t feed, unsigned lane, uint64_t sequence, uint32_t row, struct hit ret_hits[RIG_HITS])
{
	unsigned count = (unsigned)((feed + lane + sequence) % (RIG_HITS + 1));

	for (unsigned i = 0; i < count; i++)
		ret_hits[i] = (struct hit){.row = row,
					   .list = 1 + (uint32_t)(sequence % 3),
					   .version = 1,
					   .entry = i,
					   .kind = (uint8_t)(sequence / 3 % 3),
					   .priority = (uint8_t)(sequence % 101),
					   .flags = i > 0 && sequence % 5 == 0 ? HIT_FLAG_REPEAT : 0};
	return count;
}

static bool is_refused(uint64_t sequence)
{
	return sequence / 5 % 16 == 3;
}

static void fate_acked(struct rig *rig, const struct run *run)
{
	for (unsigned i = 0; i < run->count; i++) {
		uint64_t sequence = run->first + i;

		if (sequence < RIG_SEQUENCES) /* a test of far numbers keeps its own account */
			rig->fates[run->feed - 1][run->lane][sequence] =
				run->refusal == REFUSAL_NONE ? RIG_ACKED : RIG_REFUSED_ACKED;
		rig->acked += run->refusal == REFUSAL_NONE;
	}
}

static void hit_committed(struct rig *rig, const struct hit *hit, const struct read *read)
{
	unsigned source = hit_source(hit->number);
	struct rig_identity id;

	if (!rig_identify(read, &id) || hit->entry >= RIG_HITS)
		return;
	if (source >= STORE_WORKERS_MAX || hit->number <= rig->hit_highest[source])
		rig->hits_wrong = !problem(rig, "hit %llx became visible behind %llx", (unsigned long long)hit->number,
					   (unsigned long long)rig->hit_highest[source % STORE_WORKERS_MAX]);
	rig->hit_highest[source % STORE_WORKERS_MAX] = hit->number;
	rig->hits[id.feed - 1][id.lane][id.sequence][hit->entry] = hit->number;
}

static void commit_seen(void *context, const struct journal_commit *commit)
{
	struct rig *rig = context;

	if (rig->ledger_fd >= 0 && write(rig->ledger_fd, commit->runs, commit->run_count * sizeof(*commit->runs)) < 0)
		abort();
	for (unsigned i = 0; i < commit->run_count; i++)
		fate_acked(rig, &commit->runs[i]);
	for (unsigned i = 0; i < commit->hit_count; i++)
		hit_committed(rig, &commit->hits[i], commit->hit_reads[commit->hits[i].row]);
}

void rig_ledger_read(struct rig *rig, const char *path)
{
	struct run run;
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return;
	while (read(fd, &run, sizeof(run)) == sizeof(run))
		fate_acked(rig, &run);
	close(fd);
	/* What else it sent is not known: up to as much again as fits its slabs, behind the last that was acknowledged.
	 */
	for (uint32_t feed = 0; feed < RIG_FEEDS; feed++)
		for (unsigned lane = 0; lane < FEED_LANE_COUNT; lane++) {
			uint64_t last = 0;

			for (uint64_t sequence = 1; sequence < RIG_SEQUENCES; sequence++)
				if (rig->fates[feed][lane][sequence] != RIG_UNSENT)
					last = sequence;
			rig->next[feed][lane] = last + 1000 < RIG_SEQUENCES ? last + 1000 : RIG_SEQUENCES;
			for (uint64_t sequence = 1; sequence < rig->next[feed][lane]; sequence++)
				if (rig->fates[feed][lane][sequence] == RIG_UNSENT)
					rig->fates[feed][lane][sequence] =
						is_refused(sequence) ? RIG_REFUSED_SENT : RIG_SENT;
		}
}

void rig_init(struct rig *rig, struct io *io, const char *directory, const char *db_directory, uint64_t seed)
{
	memset(rig, 0, sizeof(*rig));
	rig->io = io;
	rig->ledger_fd = -1;
	rig->prng.state = seed;
	rig->epoch = 1;
	rig->first_day = read_day(clock_wall_us()) - 10;
	snprintf(rig->directory, sizeof(rig->directory), "%s", directory);
	snprintf(rig->db_directory, sizeof(rig->db_directory), "%s", db_directory);
	snprintf(rig->master_path, sizeof(rig->master_path), "%s.master", directory);
	rig->options = (struct store_options){.directory = rig->directory,
					      .db_directory = rig->db_directory,
					      .master_path = rig->master_path,
					      .workers = RIG_WORKERS,
					      .key_version = 1,
					      .memtable_bytes_max = (size_t)64 << 20,
					      .journal_file_size = 256 << 10,
					      .journal_slab_size = 32 << 10,
					      .journal_slab_count = 4,
					      .journal_commit_interval_ns = 0,
					      .journal_roll_age_ns = INT64_C(3600000000000),
					      .lane_size = 4096,
					      .reserve_bytes = 64 << 10,
					      .catalog_map_size = 64 << 20,
					      .register_log_size_min = 1,
					      .clock_always = true,
					      .threads_off = true};
	for (unsigned i = 0; i < RIG_FEEDS; i++)
		for (unsigned lane = 0; lane < FEED_LANE_COUNT; lane++)
			rig->next[i][lane] = 1;
}

int rig_open(struct rig *rig)
{
	struct journal_hooks journals[STORE_WORKERS_MAX];
	struct store_hooks hooks = {.journal = journals};
	int result;

	for (unsigned i = 0; i < rig->options.workers; i++)
		journals[i] = (struct journal_hooks){.durable = commit_seen, .context = rig};
	if (rig->hits_looked)
		memcpy(rig->hit_floor, rig->hit_highest, sizeof(rig->hit_floor));
	rig->hits_looked = false;
	result = store_open(&rig->options, &hooks, rig->io, &rig->err, &rig->store);
	if (result < 0)
		return result;
	for (unsigned i = 0; i < rig->options.workers; i++)
		journal_poll(store_journal(rig->store, i),
			     clock_mono_ns()); /* a worker's first turn: it knows the time */
	return 0;
}

int rig_close(struct rig *rig, bool seal)
{
	int result = store_close(rig->store, seal);

	rig->store = NULL;
	return result;
}

static struct journal *worker_of(struct rig *rig, uint32_t feed)
{
	return store_journal(rig->store, feed % rig->options.workers);
}

/* The run of fresh sequences from `first` on, of one fate; its length. */
static unsigned run_length(const struct rig *rig, const struct lane_window *window, uint32_t feed, unsigned lane,
			   uint64_t first, unsigned wanted)
{
	unsigned count = 0;

	(void)feed;
	(void)lane;
	while (count < wanted && first + count < RIG_SEQUENCES) {
		uint64_t sequence = first + count;
		struct lane_fates fates;

		lane_judge(window, sequence, 1, &fates);
		if (fates.fresh == 0 || is_refused(sequence) != is_refused(first) ||
		    store_day_open(rig->store, rig->first_day + (int32_t)rig_day_of(feed, lane, sequence)) !=
			    store_day_open(rig->store, rig->first_day + (int32_t)rig_day_of(feed, lane, first)))
			break;
		count++;
	}
	return count;
}

/* 1 taken, 0 nothing to do or no room. */
static int run_send(struct rig *rig, uint32_t feed, unsigned lane, uint64_t first, unsigned wanted, unsigned *ret_count)
{
	struct lane_window *window;
	struct read reads[LANE_RUN_MAX];
	struct run run = {.first = first, .feed = feed, .epoch = rig->epoch, .lane = (uint8_t)lane};
	struct hit hits[LANE_RUN_MAX * RIG_HITS];
	unsigned hit_count = 0;
	int result = store_lane(rig->store, feed, rig->epoch, (uint8_t)lane, &window);

	*ret_count = 1;
	if (result != 0)
		return 0;
	run.count = (uint16_t)run_length(rig, window, feed, lane, first, wanted);
	if (run.count == 0)
		return 0;
	if (is_refused(first))
		run.refusal = REFUSAL_MALFORMED;
	if (!store_day_open(rig->store, rig->first_day + (int32_t)rig_day_of(feed, lane, first)))
		run.refusal = REFUSAL_TOO_OLD;
	for (unsigned i = 0; i < run.count; i++)
		rig_read(rig, feed, lane, first + i, &reads[i]);
	for (unsigned i = 0; i < run.count; i++)
		reads[i].receipt_us = reads[0].receipt_us;
	for (unsigned i = 0; i < run.count && run.refusal == REFUSAL_NONE; i++)
		hit_count += rig_hits(feed, lane, first + i, i, &hits[hit_count]);
	if (journal_append(worker_of(rig, feed), window, &run, run.refusal == REFUSAL_NONE ? reads : NULL, hits,
			   hit_count) != 0)
		return 0;
	for (unsigned i = 0; i < run.count; i++)
		rig->fates[feed - 1][lane][first + i] = run.refusal == REFUSAL_NONE ? RIG_SENT : RIG_REFUSED_SENT;
	*ret_count = run.count;
	return 1;
}

bool rig_send(struct rig *rig)
{
	uint32_t feed = 1 + (uint32_t)prng_below(&rig->prng, RIG_FEEDS);
	unsigned lane = (unsigned)prng_below(&rig->prng, FEED_LANE_COUNT);
	uint64_t first = rig->next[feed - 1][lane];
	unsigned count;

	/* Now and then a datagram is lost on the wire: a gap that a resend fills. */
	if (prng_chance(&rig->prng, 50))
		first += 1 + prng_below(&rig->prng, 20);
	if (!run_send(rig, feed, lane, first, 1 + (unsigned)prng_below(&rig->prng, RUN_MAX), &count))
		return false;
	rig->next[feed - 1][lane] = first + count;
	return true;
}

bool rig_resend(struct rig *rig)
{
	bool any = false;

	for (uint32_t feed = 1; feed <= RIG_FEEDS; feed++)
		for (unsigned lane = 0; lane < FEED_LANE_COUNT; lane++)
			for (uint64_t first = 1; first < rig->next[feed - 1][lane];) {
				uint64_t left = rig->next[feed - 1][lane] - first;
				unsigned count;

				any = run_send(rig, feed, lane, first, left < RUN_MAX ? (unsigned)left : RUN_MAX,
					       &count) ||
				      any;
				first += count;
				journal_poll(worker_of(rig, feed), clock_mono_ns());
			}
	return any;
}

static bool all_idle(struct rig *rig)
{
	int64_t due_ns;

	for (unsigned worker = 0; worker < rig->options.workers; worker++)
		if (!journal_idle(store_journal(rig->store, worker), &due_ns))
			return false;
	return true;
}

void rig_settle(struct rig *rig, unsigned turns)
{
	static const struct timespec pause = {.tv_nsec = 200000};

	for (unsigned i = 0; i < turns; i++) {
		for (unsigned worker = 0; worker < rig->options.workers; worker++)
			journal_poll(store_journal(rig->store, worker), clock_mono_ns());
		if (rig->options.threads_off)
			(void)store_keep(rig->store);
		if (all_idle(rig))
			return;
		if (i > 20)
			(void)nanosleep(&pause, NULL);
	}
}

static void purge_seen(void *context, int32_t day, enum purge_step step)
{
	struct rig *rig = context;

	if (step == PURGE_KEYS_DESTROYED)
		rig->purged[day - rig->first_day] = true;
}

int rig_purge(struct rig *rig, unsigned day)
{
	struct purge_hooks hooks = {.progress = purge_seen, .context = rig};
	struct purge_certificate certificate;

	rig->purge_begun[day] = true;
	return purge_run(rig->store, rig->first_day + (int32_t)day, "retention rule, day 366", 1000, &hooks, &rig->err,
			 &certificate);
}

bool rig_identify(const struct read *row, struct rig_identity *ret_identity)
{
	char text[READ_TEXT_SIZE + 1] = {0};
	unsigned long long sequence;

	memcpy(text, row->text, READ_TEXT_SIZE);
	ret_identity->amended = text[0] == 'A';
	if (sscanf(text + ret_identity->amended, "%uL%uS%llu", &ret_identity->feed, &ret_identity->lane, &sequence) !=
	    3)
		return false;
	ret_identity->sequence = sequence;
	return ret_identity->feed > 0 && ret_identity->feed <= RIG_FEEDS && ret_identity->lane < FEED_LANE_COUNT &&
	       sequence < RIG_SEQUENCES;
}

void rig_amend(struct read *read)
{
	memmove(read->text + 1, read->text, READ_TEXT_SIZE - 1);
	read->text[0] = 'A';
	memcpy(read->key, read->text, READ_TEXT_SIZE);
	read->flags |= READ_FLAG_AMENDED;
	read->zero[0] = 1; /* amendments */
}

static bool row_found(struct rig *rig, const struct read *row)
{
	struct rig_identity id;
	struct read expected;

	if (!rig_identify(row, &id))
		return problem(rig, "a row that nobody sent: %.16s", (const char *)row->text);
	rig_read(rig, id.feed, id.lane, id.sequence, &expected);
	if (id.amended)
		rig_amend(&expected);
	expected.receipt_us = row->receipt_us; /* the run's first row's */
	if (memcmp(&expected, row, sizeof(expected)) != 0)
		return problem(rig, "row %.16s differs from what was sent", (const char *)row->text);
	if (id.amended && rig->marked[id.feed - 1][id.lane][id.sequence])
		return true;
	if (++rig->found[id.feed - 1][id.lane][id.sequence] > 1)
		return problem(rig, "row %.16s is there twice", (const char *)row->text);
	return true;
}

static bool segment_rows(struct rig *rig, struct segment *segment)
{
	struct segment_scratch scratch = {0};
	struct segment_rows *rows = malloc(sizeof(*rows));
	uint32_t pages = segment_summary(segment)->sections[SEGMENT_ROWS].page_count;
	bool well = rows != NULL;

	for (uint32_t page = 0; well && page < pages; page++) {
		int result = segment_read_rows(segment, &scratch, page, &rig->err, rows);

		if (result < 0 && rig->tolerant) {
			rig->unreadable++;
			continue;
		}
		if (result < 0)
			well = problem(rig, "a segment cannot be read: %.150s", rig->err.text);
		for (uint32_t i = 0; well && i < rows->count; i++)
			well = row_found(rig, &rows->rows[i]);
	}
	segment_scratch_fini(&scratch);
	free(rows);
	return well;
}

static bool generation_rows(struct rig *rig, const struct generation *generation)
{
	const struct chunk *chunk = atomic_load_explicit(&generation->first, memory_order_acquire);
	bool well = true;

	for (; well && chunk != NULL; chunk = atomic_load_explicit(&chunk->next, memory_order_acquire))
		for (uint32_t i = 0; well && i < atomic_load(&chunk->rows_durable); i++)
			well = row_found(rig, &chunk->rows[i]);
	return well;
}

static bool rows_collect(struct rig *rig)
{
	struct views *views = store_views(rig->store);
	struct view view;
	bool well = true;

	memset(rig->found, 0, sizeof(rig->found));
	if (view_take(views, INT32_MIN, INT32_MAX, &view) < 0)
		return problem(rig, "no view");
	for (size_t i = 0; well && i < view.memory.count; i++)
		well = generation_rows(rig, view.memory.generations[i]);
	for (size_t i = 0; well && i < view.segment_count; i++) {
		struct segment *segment;
		int result = view_segment_get(views, &view.segments[i], &rig->err, &segment);

		if (result == VIEW_PURGED)
			continue;
		if (result < 0 && rig->tolerant) {
			rig->unreadable++;
			continue;
		}
		if (result < 0) {
			well = problem(rig, "a segment cannot be opened: %.150s", rig->err.text);
			continue;
		}
		well = segment_rows(rig, segment);
		view_segment_put(views, segment);
	}
	view_release(&view);
	return well;
}

bool rig_rows(struct rig *rig)
{
	rig->unreadable = 0;
	return rows_collect(rig);
}

static bool identity_verify(struct rig *rig, uint32_t feed, unsigned lane, uint64_t sequence,
			    const struct lane_window *window)
{
	unsigned day = rig_day_of(feed, lane, sequence);
	uint8_t fate = rig->fates[feed - 1][lane][sequence];
	uint8_t found = rig->found[feed - 1][lane][sequence];
	bool gone = !store_day_open(rig->store, rig->first_day + (int32_t)day) || rig->marked[feed - 1][lane][sequence];
	struct lane_fates fates;

	lane_judge(window, sequence, 1, &fates);
	if (rig->purged[day] && found)
		return problem(rig, "feed %u lane %u sequence %llu was purged and is there", feed, lane,
			       (unsigned long long)sequence);
	if (fate == RIG_ACKED && !found && !gone)
		return problem(rig, "feed %u lane %u sequence %llu was acknowledged and is lost", feed, lane,
			       (unsigned long long)sequence);
	if ((fate == RIG_ACKED || fate == RIG_REFUSED_ACKED || found) && fates.durable == 0)
		return problem(rig, "feed %u lane %u sequence %llu is held or acknowledged, its window forgot it", feed,
			       lane, (unsigned long long)sequence);
	if (fate == RIG_UNSENT && (found || fates.fresh == 0))
		return problem(rig, "feed %u lane %u sequence %llu was never sent", feed, lane,
			       (unsigned long long)sequence);
	if ((fate == RIG_SENT || fate == RIG_UNSENT) && !found && !gone && fates.durable != 0)
		return problem(rig, "feed %u lane %u sequence %llu is not held, its window says so", feed, lane,
			       (unsigned long long)sequence);
	return true;
}

static int name_count(void *context, const char *name)
{
	(void)name;
	++*(size_t *)context;
	return 0;
}

static int key_count(void *context, struct key_id id)
{
	(void)id;
	++*(size_t *)context;
	return 0;
}

static size_t files_in(struct rig *rig, const char *name)
{
	char path[600];
	size_t count = 0;

	snprintf(path, sizeof(path), "%s/%s", rig->directory, name);
	(void)rig->io->ops->list(rig->io, path, name_count, &count);
	return count;
}

bool rig_verify_tidy(struct rig *rig)
{
	size_t segment_keys = 0;
	size_t journal_keys = 0;
	struct catalog_info info;

	if (catalog_info(store_catalog(rig->store), &info) < 0)
		return problem(rig, "no catalog");
	(void)keyring_each(store_keyring(rig->store), KEY_SEGMENT, key_count, &segment_keys);
	(void)keyring_each(store_keyring(rig->store), KEY_JOURNAL, key_count, &journal_keys);
	if (files_in(rig, "segments") != info.segments || segment_keys != info.segments)
		return problem(rig, "%zu segment files and %zu keys for %llu segments", files_in(rig, "segments"),
			       segment_keys, (unsigned long long)info.segments);
	if (files_in(rig, "journal") != journal_keys)
		return problem(rig, "%zu journal files for %zu keys", files_in(rig, "journal"), journal_keys);
	return true;
}

bool rig_verify_rows(struct rig *rig)
{
	if (!rows_collect(rig))
		return false;
	for (uint32_t feed = 1; feed <= RIG_FEEDS; feed++)
		for (unsigned lane = 0; lane < FEED_LANE_COUNT; lane++)
			for (uint64_t sequence = 1; sequence < rig->next[feed - 1][lane]; sequence++) {
				bool found = rig->found[feed - 1][lane][sequence] > 0;
				bool gone = rig->purged[rig_day_of(feed, lane, sequence)];

				if (found && gone)
					return problem(rig, "a purged read is there");
				if (!found && !gone && !rig->marked[feed - 1][lane][sequence] &&
				    rig->fates[feed - 1][lane][sequence] == RIG_ACKED)
					return problem(rig, "an acknowledged read is lost");
			}
	return true;
}

bool rig_verify(struct rig *rig)
{
	if (!rows_collect(rig))
		return false;
	for (uint32_t feed = 1; feed <= RIG_FEEDS; feed++)
		for (unsigned lane = 0; lane < FEED_LANE_COUNT; lane++) {
			struct lane_window *window;

			if (store_lane(rig->store, feed, rig->epoch, (uint8_t)lane, &window) != 0)
				return problem(rig, "no window");
			for (uint64_t sequence = 1; sequence < rig->next[feed - 1][lane]; sequence++)
				if (!identity_verify(rig, feed, lane, sequence, window))
					return false;
		}
	return true;
}
