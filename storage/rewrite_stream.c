/*
 * A heap of sources, the smallest current row on top. A source holds one decoded row page and one hit page; hits are
 * sorted by row, so they come along as the rows are passed. The rule's extra rows are one more source.
 */
#include "storage/rewrite_stream.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "storage/rewrite.h"
#include "storage/row.h"
#include "storage/segment_build.h"
#include "storage/segment_file.h"

struct source {
	const struct read *row; /* current; NULL at the end */
	/* Of a segment. */
	struct segment *segment;
	struct segment_scratch scratch;
	struct segment_rows *page;
	uint32_t next_page;
	uint32_t at; /* of the current row in its page */
	struct segment_hits hits;
	uint32_t next_hit_page;
	uint32_t hit_at;
	/* Of the extra rows: row i is extra[order[i]]. */
	uint32_t *order;
	size_t order_at;
};

struct merge {
	struct rewrite_stream *stream;
	struct segment_build *build;
	struct err *err;
	struct source *sources;
	size_t source_count;
	struct source **heap;
	size_t heap_count;
};

#define READ_TRIES 5 /* of what the disk does not give, before it counts as damaged */

static bool try_again(const struct rewrite_stream *stream, int result, unsigned *tries)
{
	return result == -EIO && stream->damage != NULL && ++*tries < READ_TRIES;
}

/* Damage is passed over when the stream says so, and what the disk does not give; every other failure ends it. */
static int pass_over(const struct rewrite_stream *stream, int result, const struct err *err)
{
	if (stream->damage == NULL || (result != -EBADMSG && result != -EIO && result != -ENOTSUP))
		return result;
	stream->damage(stream->context, err->text);
	return 0;
}

static int open_source(struct merge *merge, struct source *source, const struct segment_summary *summary)
{
	const struct rewrite_stream *stream = merge->stream;
	unsigned tries = 0;
	int result;

	do
		result = stream->key == NULL
				 ? segment_open_summary(stream->io, stream->keyring, stream->directory, summary,
							merge->err, &source->segment)
				 : segment_open_summary_keyed(stream->io, stream->keyring, stream->directory,
							      stream->key, summary, merge->err, &source->segment);
	while (try_again(stream, result, &tries));
	if (result == -ENOENT || result == -ENOKEY)
		result = -EBADMSG; /* the catalog has it: gone is damaged */
	if (result < 0) {
		source->segment = NULL;
		return pass_over(stream, result, merge->err);
	}
	source->page = malloc(sizeof(*source->page));
	return source->page != NULL ? 0 : err_set(merge->err, -ENOMEM, "out of memory");
}

static uint32_t page_count(const struct source *source, unsigned section)
{
	return segment_summary(source->segment)->sections[section].page_count;
}

/* Makes the next row page current; source->row stays NULL behind the last. */
static int next_page(struct merge *merge, struct source *source)
{
	const struct rewrite_stream *stream = merge->stream;

	while (source->next_page < page_count(source, SEGMENT_ROWS)) {
		unsigned tries = 0;
		int result;

		do
			result = segment_read_rows(source->segment, &source->scratch, source->next_page, merge->err,
						   source->page);
		while (try_again(stream, result, &tries));
		source->next_page++;
		if (result == 0) {
			source->at = 0;
			source->row = source->page->rows;
			return stream->pace == NULL ? 0
						    : stream->pace(stream->context, source->page->count, merge->err);
		}
		result = pass_over(stream, result, merge->err);
		if (result < 0)
			return result;
	}
	return 0;
}

static void next_extra(const struct rewrite_stream *stream, struct source *source)
{
	if (source->order_at < stream->rule->extra_count)
		source->row = &stream->rule->extra[source->order[source->order_at++]];
}

static int next_row(struct merge *merge, struct source *source)
{
	if (source->segment != NULL && source->row != NULL && ++source->at < source->page->count) {
		source->row++;
		return 0;
	}
	source->row = NULL;
	if (source->segment != NULL)
		return next_page(merge, source);
	if (source->order != NULL)
		next_extra(merge->stream, source);
	return 0;
}

/* The hit after those taken; NULL when there is none. A hit page that cannot be read may be passed over. */
static int next_hit(struct merge *merge, struct source *source, const struct hit **ret_hit)
{
	*ret_hit = NULL;
	while (source->hit_at == source->hits.count) {
		unsigned tries = 0;
		int result;

		if (source->next_hit_page == page_count(source, SEGMENT_HITS))
			return 0;
		source->hit_at = source->hits.count = 0;
		do
			result = segment_read_hits(source->segment, &source->scratch, source->next_hit_page, merge->err,
						   &source->hits);
		while (try_again(merge->stream, result, &tries));
		source->next_hit_page++;
		if (result < 0) {
			source->hits.count = 0;
			result = pass_over(merge->stream, result, merge->err);
		}
		if (result < 0)
			return result;
	}
	*ret_hit = &source->hits.hits[source->hit_at];
	return 0;
}

static int give_hit(struct merge *merge, struct hit hit, uint64_t row)
{
	int result;

	hit.row = (uint32_t)row;
	result = segment_build_hit(merge->build, &hit);
	return result < 0 ? err_set(merge->err, result, "hits: %s", strerror(-result)) : 0;
}

/* Passes the hits up to the source's current row, and gives those of the row itself when it was kept. */
static int take_hits(struct merge *merge, struct source *source, bool kept, uint64_t row)
{
	uint64_t number = (uint64_t)source->page->first + source->at;
	const struct hit *hit;
	int result = next_hit(merge, source, &hit);

	while (result == 0 && hit != NULL && hit->row <= number) {
		if (kept && hit->row == number)
			result = give_hit(merge, *hit, row);
		source->hit_at++;
		if (result == 0)
			result = next_hit(merge, source, &hit);
	}
	return result;
}

/* What the rule has for the row, which was kept. */
static int take_rule_hits(struct merge *merge, const struct source *source, uint64_t row)
{
	const struct rewrite_rule *rule = merge->stream->rule;
	const struct hit *hit;
	int result = 0;

	if (rule == NULL || rule->hit == NULL)
		return 0;
	while (result == 0 && (hit = rule->hit(rule->context, source->row)) != NULL)
		result = give_hit(merge, *hit, row);
	return result;
}

/* The rule has no say over its own rows. */
static int judge(struct merge *merge, const struct source *source)
{
	const struct rewrite_rule *rule = merge->stream->rule;
	int result;

	if (rule == NULL || rule->row == NULL || source->segment == NULL)
		return 0;
	result = rule->row(rule->context, source->row);
	return result < 0 ? err_set(merge->err, result, "the rule stopped: %s", strerror(-result)) : result;
}

static int keep_row(struct merge *merge, const struct source *source, uint64_t *ret_row)
{
	const struct rewrite_rule *rule = merge->stream->rule;
	struct read row;

	merge->stream->rows_kept++;
	if (rule == NULL || rule->flag == NULL || source->segment == NULL)
		return segment_build_row(merge->build, source->row, ret_row);
	row = *source->row;
	rule->flag(rule->context, &row);
	return segment_build_row(merge->build, &row, ret_row);
}

static int take_row(struct merge *merge, struct source *source)
{
	uint64_t row = 0;
	int dropped = judge(merge, source);
	int result = 0;

	if (dropped < 0)
		return dropped;
	if (dropped) {
		merge->stream->rows_dropped++;
	} else {
		result = keep_row(merge, source, &row);
	}
	if (result < 0)
		return err_set(merge->err, result, "rows: %s", strerror(-result));
	if (!dropped)
		result = take_rule_hits(merge, source, row);
	if (result < 0 || source->segment == NULL || page_count(source, SEGMENT_HITS) == 0)
		return result;
	return take_hits(merge, source, !dropped, row);
}

static void heap_down(struct merge *merge, size_t at)
{
	struct source *source = merge->heap[at];

	for (;;) {
		size_t child = 2 * at + 1;

		if (child >= merge->heap_count)
			break;
		if (child + 1 < merge->heap_count &&
		    row_compare(merge->heap[child + 1]->row, merge->heap[child]->row) < 0)
			child++;
		if (row_compare(merge->heap[child]->row, source->row) >= 0)
			break;
		merge->heap[at] = merge->heap[child];
		at = child;
	}
	merge->heap[at] = source;
}

static int merge_rows(struct merge *merge)
{
	int result = 0;

	for (size_t i = 0; result == 0 && i < merge->source_count; i++) {
		result = next_row(merge, &merge->sources[i]);
		if (merge->sources[i].row != NULL)
			merge->heap[merge->heap_count++] = &merge->sources[i];
	}
	for (size_t i = merge->heap_count; i-- > 0;)
		heap_down(merge, i);
	while (result == 0 && merge->heap_count > 0) {
		struct source *source = merge->heap[0];

		result = take_row(merge, source);
		if (result == 0)
			result = next_row(merge, source);
		if (source->row == NULL)
			merge->heap[0] = merge->heap[--merge->heap_count];
		if (merge->heap_count > 0)
			heap_down(merge, 0);
	}
	return result;
}

static int order_extra(const struct rewrite_rule *rule, struct source *source)
{
	const struct read **rows = malloc(rule->extra_count * sizeof(const struct read *));
	int result = -ENOMEM;

	source->order = malloc(rule->extra_count * sizeof(*source->order));
	if (rows != NULL && source->order != NULL) {
		for (size_t i = 0; i < rule->extra_count; i++)
			rows[i] = &rule->extra[i];
		result = row_order(rows, rule->extra_count, source->order);
	}
	free(rows);
	return result;
}

static int open_all(struct merge *merge)
{
	const struct rewrite_stream *stream = merge->stream;
	int result = 0;

	for (size_t i = 0; result == 0 && i < stream->segment_count; i++)
		result = open_source(merge, &merge->sources[merge->source_count++], &stream->segments[i]);
	if (result < 0 || stream->rule == NULL || stream->rule->extra_count == 0)
		return result;
	result = order_extra(stream->rule, &merge->sources[merge->source_count++]);
	return result < 0 ? err_set(merge->err, result, "out of memory") : 0;
}

static void close_all(struct merge *merge)
{
	for (size_t i = 0; i < merge->source_count; i++) {
		struct source *source = &merge->sources[i];

		segment_scratch_fini(&source->scratch);
		segment_free(source->segment);
		free(source->page);
		free(source->order);
	}
	free(merge->sources);
	free(merge->heap);
}

int rewrite_stream_run(struct rewrite_stream *stream, struct segment_build *build, struct err *err)
{
	struct merge merge = {.stream = stream, .build = build, .err = err};
	int result;

	stream->rows_kept = stream->rows_dropped = 0;
	merge.sources = calloc(stream->segment_count + 1, sizeof(*merge.sources));
	merge.heap = calloc(stream->segment_count + 1, sizeof(struct source *));
	if (merge.sources == NULL || merge.heap == NULL)
		result = err_set(err, -ENOMEM, "out of memory");
	else
		result = open_all(&merge);
	if (result == 0)
		result = merge_rows(&merge);
	close_all(&merge);
	return result;
}
