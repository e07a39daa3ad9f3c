/*
 * Whole days: every thread takes the next day, makes it in a buffer of its own and seals it; nothing is shared but the
 * day's number and the sums.
 *
 * One day in pieces: this thread makes piece after piece into two buffers in turn, another seals them. `full` says
 * which are ready; the mutex guards it and `result`, nothing else: a buffer belongs to whom `full` says.
 */
#include "bench/suite_build.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include <xxhash.h>

#include "bench/suite_progress.h"
#include "bench/suite_reads.h"
#include "bench/suite_room.h"
#include "bench/suite_store.h"
#include "storage/segment_format.h"

#define STEP_READS 16384 /* made, counted and hashed while they are in the cache */
#define BUFFERS 2
#define THREADS_MAX 64

uint64_t suite_read_hash(const struct read *read)
{
	return XXH3_64bits(read, sizeof(*read));
}

static void built_add(struct suite_built *built, const struct suite_built *more)
{
	built->reads += more->reads;
	built->copies += more->copies;
	built->rows += more->rows;
	built->segments += more->segments;
	built->content += more->content;
	built->seal_s += more->seal_s;
	suite_counts_add(&built->counts, &more->counts);
}

static void note_reads(const struct suite_builder *builder, const struct read *reads, size_t count,
		       struct suite_built *built)
{
	uint64_t copies = 0;

	for (size_t i = 0; i < count; i++) {
		if (suite_fleet_copy(builder->fleet, &reads[i]))
			copies++;
		else if (builder->hash)
			built->content += suite_read_hash(&reads[i]);
	}
	built->reads += count;
	built->copies += copies;
	if (builder->queries != NULL)
		suite_queries_count(builder->queries, builder->fleet, reads, count, &built->counts);
	suite_progress_add(builder->progress, count);
}

/* Up to `room` reads; fewer only at the day's end, or when it is to stop. */
static size_t make_reads(const struct suite_builder *builder, struct suite_day *day, struct read *reads, size_t room,
			 struct suite_built *built)
{
	size_t count = 0;

	while (count + SUITE_DAY_READS_MIN <= room && !suite_room_stopped()) {
		size_t step = room - count < STEP_READS ? room - count : STEP_READS;
		size_t made = suite_day_next(day, reads + count, step);

		if (made == 0)
			break;
		note_reads(builder, reads + count, made, built);
		count += made;
	}
	return count;
}

static int seal_reads(const struct suite_builder *builder, int32_t day, uint64_t id, const struct read *reads,
		      size_t count, struct err *err, struct suite_built *built)
{
	struct segment_summary *summary = malloc(sizeof(*summary));
	int r = summary == NULL ? err_set(err, -ENOMEM, "no memory")
				: suite_store_seal(builder->store, day, id, reads, count, err, summary, &built->seal_s);

	if (r == 0) {
		built->rows += summary->row_count;
		built->segments++;
	}
	free(summary);
	return r;
}

/* ---- whole days */

struct days_job {
	const struct suite_builder *builder;
	const uint64_t *ids;
	int32_t first_day;
	uint32_t days;
	uint64_t reads;
	_Atomic uint32_t next;
	atomic_bool stop;
	pthread_mutex_t mutex; /* of what follows */
	struct suite_built built;
	struct err err;
	int result;
};

static int day_build(struct days_job *job, uint32_t index, struct read *reads, size_t room, struct err *err,
		     struct suite_built *built)
{
	int32_t number = job->first_day + (int32_t)index;
	struct suite_day *day;
	size_t count;
	int r = suite_day_new(job->builder->fleet, number, job->reads, &day);

	if (r < 0)
		return err_set(err, r, "no memory for a day's generator");
	count = make_reads(job->builder, day, reads, room, built);
	suite_day_free(day);
	if (suite_room_stopped())
		return err_set(err, -ECANCELED, "stopped");
	return seal_reads(job->builder, number, job->ids[index], reads, count, err, built);
}

static void *days_thread(void *argument)
{
	struct days_job *job = argument;
	size_t room = (size_t)job->reads + SUITE_DAY_READS_MIN;
	struct read *reads = malloc(room * sizeof(*reads));
	struct suite_built built = {0};
	struct err err = {""};
	int r = reads == NULL
			? err_set(&err, -ENOMEM, "no memory for a day of %llu reads", (unsigned long long)job->reads)
			: 0;

	while (r == 0 && !atomic_load(&job->stop)) {
		uint32_t index = atomic_fetch_add(&job->next, 1);

		if (index >= job->days)
			break;
		r = day_build(job, index, reads, room, &err, &built);
	}
	free(reads);
	(void)pthread_mutex_lock(&job->mutex);
	built_add(&job->built, &built);
	if (r < 0 && job->result == 0) {
		job->result = r;
		job->err = err;
		atomic_store(&job->stop, true);
	}
	(void)pthread_mutex_unlock(&job->mutex);
	return NULL;
}

static int days_run(struct days_job *job, struct err *err)
{
	pthread_t threads[THREADS_MAX];
	unsigned wanted = job->builder->threads < THREADS_MAX ? job->builder->threads : THREADS_MAX;
	unsigned count = 0;

	while (count < wanted && count < job->days && pthread_create(&threads[count], NULL, days_thread, job) == 0)
		count++;
	if (count == 0)
		return err_set(err, -EAGAIN, "no thread could be started");
	for (unsigned i = 0; i < count; i++)
		(void)pthread_join(threads[i], NULL);
	return job->result < 0 ? err_set(err, job->result, "%s", job->err.text) : 0;
}

int suite_build_days(const struct suite_builder *builder, int32_t first_day, uint32_t days, uint64_t reads,
		     struct err *err, struct suite_built *ret_built)
{
	struct days_job *job = calloc(1, sizeof(*job));
	uint64_t *ids = calloc(days + 1, sizeof(*ids));
	int32_t *numbers = calloc(days + 1, sizeof(*numbers));
	int r = -ENOMEM;

	if (job == NULL || ids == NULL || numbers == NULL) {
		(void)err_set(err, r, "no memory");
		goto out;
	}
	for (uint32_t i = 0; i < days; i++)
		numbers[i] = first_day + (int32_t)i;
	r = days == 0 ? 0 : suite_store_keys(builder->store, numbers, days, ids, err);
	if (r < 0)
		goto out;
	job->builder = builder;
	job->ids = ids;
	job->first_day = first_day;
	job->days = days;
	job->reads = reads;
	(void)pthread_mutex_init(&job->mutex, NULL);
	r = days == 0 ? 0 : days_run(job, err);
	(void)pthread_mutex_destroy(&job->mutex);
	if (r == 0)
		*ret_built = job->built;
out:
	free(numbers);
	free(ids);
	free(job);
	return r;
}

/* ---- one day in pieces */

struct buffer {
	struct read *reads;
	size_t count;
	bool full;
};

struct pieces_job {
	const struct suite_builder *builder;
	uint64_t *ids;
	int32_t day;
	size_t pieces;
	struct buffer buffers[BUFFERS];
	pthread_mutex_t mutex;
	pthread_cond_t changed;
	int result;               /* of the sealing thread, at once */
	struct suite_built built; /* its own until it is joined */
	struct err err;
};

static void *pieces_thread(void *argument)
{
	struct pieces_job *job = argument;

	for (size_t i = 0; i < job->pieces; i++) {
		struct buffer *buffer = &job->buffers[i % BUFFERS];
		int r = 0;

		(void)pthread_mutex_lock(&job->mutex);
		while (!buffer->full && job->result == 0)
			(void)pthread_cond_wait(&job->changed, &job->mutex);
		r = job->result;
		(void)pthread_mutex_unlock(&job->mutex);
		if (r < 0)
			break;
		if (buffer->count == 0)
			job->ids[i] = 0;
		else
			r = seal_reads(job->builder, job->day, job->ids[i], buffer->reads, buffer->count, &job->err,
				       &job->built);
		(void)pthread_mutex_lock(&job->mutex);
		buffer->full = false;
		if (r < 0)
			job->result = r;
		(void)pthread_cond_signal(&job->changed);
		(void)pthread_mutex_unlock(&job->mutex);
		if (r < 0)
			break;
	}
	return NULL;
}

/* Fills every buffer in turn; ends early when sealing failed. */
static void pieces_make(struct pieces_job *job, struct suite_day *day, size_t room, struct suite_built *built)
{
	int result = 0;

	for (size_t i = 0; result == 0 && i < job->pieces; i++) {
		struct buffer *buffer = &job->buffers[i % BUFFERS];

		(void)pthread_mutex_lock(&job->mutex);
		while (buffer->full && job->result == 0)
			(void)pthread_cond_wait(&job->changed, &job->mutex);
		result = job->result;
		(void)pthread_mutex_unlock(&job->mutex);
		if (result < 0)
			break;
		buffer->count = make_reads(job->builder, day, buffer->reads, room, built);
		(void)pthread_mutex_lock(&job->mutex);
		buffer->full = true;
		if (suite_room_stopped() && job->result == 0)
			job->result = err_set(&job->err, -ECANCELED, "stopped");
		(void)pthread_cond_signal(&job->changed);
		(void)pthread_mutex_unlock(&job->mutex);
	}
}

static int pieces_run(struct pieces_job *job, uint64_t reads, size_t room, struct err *err)
{
	struct suite_built built = {0};
	struct suite_day *day;
	pthread_t thread;
	int r = suite_day_new(job->builder->fleet, job->day, reads, &day);

	if (r < 0)
		return err_set(err, r, "no memory for a day's generator");
	if (pthread_create(&thread, NULL, pieces_thread, job) != 0) {
		suite_day_free(day);
		return err_set(err, -EAGAIN, "no thread could be started");
	}
	pieces_make(job, day, room, &built);
	(void)pthread_join(thread, NULL);
	suite_day_free(day);
	built_add(&job->built, &built);
	return job->result < 0 ? err_set(err, job->result, "%s", job->err.text) : 0;
}

/* A buffer is full when less than SUITE_DAY_READS_MIN of it is free, so a piece holds a little more than `piece`. */
size_t suite_build_pieces(uint64_t reads, uint64_t piece)
{
	return (size_t)((reads + piece - 1) / piece);
}

static int pieces_prepare(struct pieces_job *job, size_t room, uint64_t *ids, struct err *err)
{
	int32_t *days = calloc(job->pieces, sizeof(*days));
	int r;

	for (unsigned i = 0; i < BUFFERS; i++)
		job->buffers[i].reads = malloc(room * sizeof(struct read));
	if (days == NULL || job->buffers[0].reads == NULL || job->buffers[1].reads == NULL) {
		free(days);
		return err_set(err, -ENOMEM, "no memory for two pieces of %zu reads", room);
	}
	for (size_t i = 0; i < job->pieces; i++)
		days[i] = job->day;
	r = suite_store_keys(job->builder->store, days, job->pieces, ids, err);
	free(days);
	return r;
}

int suite_build_day(const struct suite_builder *builder, int32_t day, uint64_t reads, uint64_t piece, struct err *err,
		    struct suite_built *ret_built, uint64_t *ret_ids)
{
	size_t room = (size_t)piece + SUITE_DAY_READS_MIN;
	struct pieces_job *job = calloc(1, sizeof(*job));
	int r;

	if (job == NULL)
		return err_set(err, -ENOMEM, "no memory");
	job->builder = builder;
	job->ids = ret_ids;
	job->day = day;
	job->pieces = suite_build_pieces(reads, piece);
	(void)pthread_mutex_init(&job->mutex, NULL);
	(void)pthread_cond_init(&job->changed, NULL);
	r = pieces_prepare(job, room, ret_ids, err);
	if (r == 0)
		r = pieces_run(job, reads, room, err);
	if (r == 0)
		*ret_built = job->built;
	for (unsigned i = 0; i < BUFFERS; i++)
		free(job->buffers[i].reads);
	(void)pthread_cond_destroy(&job->changed);
	(void)pthread_mutex_destroy(&job->mutex);
	free(job);
	return r;
}
