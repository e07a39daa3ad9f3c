#include "storage/consecutive.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "appliance/base/clock.h"
#include "storage/row.h"

#define FIRST_STEP_US (INT64_C(15) * 60 * 1000000)

struct kept_row {
	struct read read;
	char public_id[SEARCH_PUBLIC_ID_SIZE];
};

struct steps {
	struct search_query query; /* of the step */
	struct search_result step;
	struct search_result *total;
	int64_t deadline_ns; /* 0: none */
	int64_t from_us;     /* what is left of the window */
	int64_t to_us;
	struct kept_row *rows; /* in the order of the search */
	size_t count;
	size_t limit;
};

static int keep_row(void *context, const struct read *read, const char public_id[SEARCH_PUBLIC_ID_SIZE])
{
	struct steps *steps = context;
	struct kept_row *row = &steps->rows[steps->count++];

	row->read = *read;
	memcpy(row->public_id, public_id, SEARCH_PUBLIC_ID_SIZE);
	return 0;
}

/* Cuts the next step off the window: that of the last one doubled, so that a silent year is some twenty steps. */
static void next_window(struct steps *steps, int64_t size_us)
{
	struct search_query *query = &steps->query;
	bool whole = (uint64_t)steps->to_us - (uint64_t)steps->from_us <= (uint64_t)size_us;

	query->from_us = steps->from_us;
	query->to_us = steps->to_us;
	if (!whole && query->oldest_first)
		query->to_us = steps->from_us + size_us;
	else if (!whole)
		query->from_us = steps->to_us - size_us;
	if (query->oldest_first)
		steps->from_us = query->to_us;
	else
		steps->to_us = query->from_us;
}

/* What is left of the budgets; false: nothing, and the total says so. */
static bool next_budgets(struct steps *steps, const struct search_query *whole)
{
	struct search_result *total = steps->total;
	int64_t left_ns = steps->deadline_ns - clock_mono_ns();

	if (whole->rows_max != 0 && total->rows_seen >= whole->rows_max)
		total->stop = SEARCH_ROWS_MAX;
	else if (whole->bytes_max != 0 && total->bytes_read >= whole->bytes_max)
		total->stop = SEARCH_BYTES_MAX;
	else if (steps->deadline_ns != 0 && left_ns <= 0)
		total->stop = SEARCH_MS_MAX;
	if (total->stop != SEARCH_DONE) {
		total->incomplete = true;
		return false;
	}
	steps->query.rows_max = whole->rows_max != 0 ? whole->rows_max - total->rows_seen : 0;
	steps->query.bytes_max = whole->bytes_max != 0 ? whole->bytes_max - total->bytes_read : 0;
	steps->query.ms_max = steps->deadline_ns != 0 ? left_ns / 1000000 + 1 : 0;
	return true;
}

static void add_step(struct search_result *total, const struct search_result *step)
{
	for (uint64_t i = 0; i < step->faults && i < SEARCH_FAULTS_MAX; i++)
		if (total->faults + i < SEARCH_FAULTS_MAX)
			total->fault[total->faults + i] = step->fault[i];
	total->faults += step->faults;
	total->incomplete = total->incomplete || step->incomplete;
	total->stop = step->stop;
	total->rows_seen += step->rows_seen;
	total->bytes_read += step->bytes_read;
	total->pages_read += step->pages_read;
	total->segments += step->segments;
}

static int walk(struct steps *steps, struct views *views, const struct search_query *whole, struct err *err)
{
	int64_t size_us = FIRST_STEP_US;
	int r = 0;

	while (r == 0 && steps->from_us < steps->to_us && steps->count < steps->limit && next_budgets(steps, whole)) {
		next_window(steps, size_us);
		steps->query.limit = (uint32_t)(steps->limit - steps->count);
		r = search_run(views, &steps->query, err, keep_row, steps, &steps->step);
		if (r == 0)
			add_step(steps->total, &steps->step);
		if (r != 0 || steps->total->stop != SEARCH_DONE)
			break;
		size_us = size_us < INT64_MAX / 4 ? 2 * size_us : size_us;
	}
	steps->total->truncated = steps->count == steps->limit;
	return r;
}

static int compare_rows(const void *a, const void *b)
{
	const struct read *x = &((const struct kept_row *)a)->read;
	const struct read *y = &((const struct kept_row *)b)->read;

	if (x->capture_us != y->capture_us)
		return x->capture_us < y->capture_us ? -1 : 1;
	return row_compare(x, y);
}

static int give(const struct steps *steps, search_row_fn *row, void *row_context)
{
	int r = 0;

	for (size_t i = 0; i < steps->count && r == 0; i++) {
		r = row(row_context, &steps->rows[i].read, steps->rows[i].public_id);
		steps->total->count += r == 0;
	}
	return r;
}

int consecutive_run(struct views *views, const struct search_query *query, struct err *err, search_row_fn *row,
		    void *row_context, struct search_result *ret_result)
{
	struct steps *steps;
	int r;

	if (query->camera_count != 1 || query->count_only || query->cursor.set || query->limit == 0 ||
	    query->limit > SEARCH_LIMIT_MAX)
		return err_set(err, -EINVAL, "consecutive reads are of one camera, 1 … %d", SEARCH_LIMIT_MAX);
	steps = calloc(1, sizeof(*steps));
	if (steps == NULL)
		return -ENOMEM;
	steps->query = *query;
	steps->query.progress = NULL; /* the steps' reads are not the window's */
	steps->from_us = query->from_us;
	steps->to_us = query->to_us;
	steps->limit = query->limit;
	steps->deadline_ns = query->ms_max > 0 ? clock_mono_ns() + query->ms_max * 1000000 : 0;
	steps->total = calloc(1, sizeof(*steps->total));
	steps->rows = malloc(query->limit * sizeof(*steps->rows));
	r = steps->total != NULL && steps->rows != NULL ? walk(steps, views, query, err) : -ENOMEM;
	if (r == 0 && !query->oldest_first)
		qsort(steps->rows, steps->count, sizeof(*steps->rows), compare_rows);
	if (r == 0)
		r = give(steps, row, row_context);
	if (r == 0)
		*ret_result = *steps->total;
	free(steps->rows);
	free(steps->total);
	free(steps);
	return r;
}
