/*
 * What a case holds of a day, copied: the rows that its selectors match, restricted ones as such, corrected reads
 * beside them, also those that lie in no segment yet, and the hits of all of these, those found late among them.
 */
#include "storage/cases.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "appliance/base/bytes.h"
#include "appliance/base/digest.h"
#include "storage/hold_match.h"
#include "storage/hold_place.h"
#include "storage/late_join.h"
#include "storage/marks.h"
#include "storage/marks_pending.h"
#include "storage/rewrite.h"
#include "storage/row.h"
#include "storage/segment_build.h"
#include "storage/segment_format.h"
#include "storage/store_internal.h"

static int directory_make(struct store *store, const char *directory)
{
	const struct io_ops *ops = store->io->ops;
	int result = ops->mkdir(store->io, directory);

	return result < 0 ? result : ops->dir_sync(store->io, store->cases_directory);
}

/* What is copied: what the case holds of the reads that there are, corrected ones included. */
struct copying {
	struct store *store;
	struct mark_set *marks;
	const struct mark_day *day_marks;
	struct hold_match *match;
	struct read *corrected; /* that lie in no segment yet, or may just have come into one */
	size_t corrected_count;
	struct late_join *late;
};

static int row_judge(void *context, const struct read *row)
{
	const struct copying *copying = context;

	if (mark_drops(mark_find(copying->day_marks, row)))
		return 1;
	for (size_t i = 0; i < copying->corrected_count; i++) {
		struct read corrected = copying->corrected[i];

		corrected.flags &= (uint16_t)~READ_FLAG_RESTRICTED;
		if (row_compare(&corrected, row) == 0)
			return 1; /* it comes in beside the rows */
	}
	return hold_matches(copying->match, row) ? 0 : 1;
}

/* The mark dies with the day; the copy keeps what it said. */
static void restriction_keep(void *context, struct read *row)
{
	const struct copying *copying = context;

	if (mark_find(copying->day_marks, row) == MARK_RESTRICTED)
		row->flags |= READ_FLAG_RESTRICTED;
}

static int corrected_add(struct copying *copying, const struct pending_mark *mark)
{
	struct read *reads = realloc(copying->corrected, (copying->corrected_count + 1) * sizeof(*reads));

	if (reads == NULL)
		return -ENOMEM;
	copying->corrected = reads;
	reads[copying->corrected_count] = mark->corrected;
	restriction_keep(copying, &reads[copying->corrected_count++]);
	return 0;
}

struct naming {
	const struct read *read;
	char public_id[SEARCH_PUBLIC_ID_SIZE]; /* empty: not met */
};

static int name_see(void *context, const struct read *row, const char public_id[SEARCH_PUBLIC_ID_SIZE])
{
	struct naming *naming = context;

	if (row_compare(row, naming->read) == 0)
		memcpy(naming->public_id, public_id, SEARCH_PUBLIC_ID_SIZE);
	return 0;
}

/* 1 the case holds the corrected read, 0 not, -errno. Where ids matter, by the one under which a search shows it. */
static int corrected_held(const struct copying *copying, const struct read *corrected, struct err *err)
{
	struct naming naming = {.read = corrected, .public_id = ""};
	uint8_t id[REG_PUBLIC_ID_SIZE];
	bool incomplete;
	uint32_t index;
	int result = 0;

	if (hold_match_by_id(copying->match))
		result = hold_place_each(copying->store, corrected->camera, corrected->capture_us, name_see, &naming,
					 err, &incomplete);
	if (result < 0)
		return result;
	if (naming.public_id[0] != '\0')
		(void)hex_decode(naming.public_id, id, sizeof(id));
	return hold_matches_read(copying->match, corrected, naming.public_id[0] != '\0' ? id : NULL, &index);
}

/* Those that are there: an erased correction is none. Moved to the front of `pending`; their reads are counted. */
static int corrected_count_on(struct copying *copying, struct pending_mark *pending, size_t *count)
{
	struct read *reads = calloc(*count + 1, sizeof(*reads));
	size_t kept = 0;
	int result;

	if (reads == NULL)
		return -ENOMEM;
	for (size_t i = 0; i < *count; i++) {
		if (!pending[i].readable || pending[i].kind != MARK_AMENDED ||
		    mark_drops(mark_find(copying->day_marks, &pending[i].corrected)))
			continue;
		reads[kept] = pending[i].corrected;
		pending[kept++] = pending[i];
	}
	result = hold_match_corrected(copying->match, reads, kept);
	bytes_wipe(reads, kept * sizeof(*reads));
	free(reads);
	*count = kept;
	return result;
}

static int corrected_take(struct copying *copying, int32_t day, struct err *err)
{
	struct pending_mark *pending = NULL;
	size_t all = 0;
	size_t count;
	int result = marks_pending(copying->store->marks, day, &pending, &all);

	if (result < 0)
		return result;
	count = all;
	result = corrected_count_on(copying, pending, &count);
	for (size_t i = 0; result == 0 && i < count; i++) {
		result = corrected_held(copying, &pending[i].corrected, err);
		if (result == 1)
			result = corrected_add(copying, &pending[i]);
	}
	if (all > 0)
		bytes_wipe(pending, all * sizeof(*pending));
	free(pending);
	return result;
}

static bool late_wanted(const void *match, const struct read *read)
{
	return hold_match_may(match, read);
}

static const struct hit *late_hit(void *context, const struct read *row)
{
	return late_join_next(((struct copying *)context)->late, row);
}

static int late_take(struct copying *copying, uint32_t number, int32_t day, struct err *err)
{
	size_t unreadable;
	int result =
		late_join_new(copying->store->late, day, late_wanted, copying->match, err, &copying->late, &unreadable);

	if (result == 0 && unreadable > 0)
		store_damage(copying->store, "%zu late hits of day %d cannot be read: case %u keeps its reads without",
			     unreadable, day, number);
	return result;
}

/* -ENOENT: no selector of the case touches the day. */
static int copying_init(struct copying *copying, struct store *store, uint32_t number, int32_t day, struct err *err)
{
	int result;

	*copying = (struct copying){.store = store, .marks = marks_hold(store->marks)};
	copying->day_marks = mark_set_day(copying->marks, day);
	result = hold_match_new(store, number, day, copying->day_marks, &copying->match);
	if (result == 0)
		result = hold_match_whole(copying->match, store, err);
	if (result == 0)
		result = late_take(copying, number, day, err);
	return result < 0 ? result : corrected_take(copying, day, err);
}

static void copying_fini(struct copying *copying)
{
	hold_match_free(copying->match);
	(void)late_join_free(copying->late);
	if (copying->corrected != NULL)
		bytes_wipe(copying->corrected, copying->corrected_count * sizeof(*copying->corrected));
	free(copying->corrected);
	mark_set_release(copying->marks);
}

static int corrected_build(struct copying *copying, struct segment_build *build)
{
	const struct read **rows = calloc(copying->corrected_count, sizeof(*rows));
	int result = rows != NULL ? 0 : -ENOMEM;

	for (size_t i = 0; result == 0 && i < copying->corrected_count; i++)
		rows[i] = &copying->corrected[i];
	if (result == 0)
		result = row_sort(rows, copying->corrected_count);
	for (size_t i = 0; result == 0 && i < copying->corrected_count; i++) {
		const struct hit *found;
		uint64_t number;

		result = segment_build_row(build, rows[i], &number);
		while (result == 0 && (found = late_join_next(copying->late, rows[i])) != NULL) {
			struct hit hit = *found;

			hit.row = (uint32_t)number;
			result = segment_build_hit(build, &hit);
		}
	}
	free(rows);
	return result;
}

/* A day of which only corrected reads are left, in no segment: the copy is made of them alone. */
static int corrected_write(struct copying *copying, int32_t day, const struct rewrite_target *target, struct err *err,
			   struct segment_summary *ret_summary)
{
	static const uint64_t none[1];
	struct segment_origin origin = {.id = target->segment_id,
					.day = day,
					.key_version = copying->store->options.key_version,
					.lineage_kind = SEGMENT_FROM_SEGMENTS,
					.lineage = none,
					.lineage_count = 1};
	struct segment_build *build = NULL;
	uint8_t key[KEY_SIZE];
	int result = keyring_get(copying->store->keyring, target->key, key);

	if (result == 0)
		result = segment_build_new(copying->store->io, target->directory, key, &origin, err, &build);
	bytes_wipe(key, sizeof(key));
	if (result == 0)
		result = corrected_build(copying, build);
	if (result == 0)
		result = segment_build_finish(build, err, ret_summary);
	segment_build_free(build);
	return result;
}

/* The copy's file, under a new key. REWRITE_NOTHING: neither is there. */
static int copy_write(struct store *store, uint32_t number, int32_t day, struct copying *copying, struct err *err,
		      struct segment_summary *ret_summary)
{
	char directory[CASE_DIRECTORY_SIZE];
	struct rewrite_rule rule = {.row = row_judge,
				    .flag = restriction_keep,
				    .extra = copying->corrected,
				    .extra_count = copying->corrected_count,
				    .hit = late_hit,
				    .context = copying};
	struct rewrite_target target = {.directory = case_directory(store->cases_directory, number, directory)};
	struct key_change change = {.destroy = false};
	int result;

	random_bytes(&target.segment_id, sizeof(target.segment_id));
	target.key = case_key(number, target.segment_id);
	change.id = target.key;
	result = directory_make(store, directory);
	if (result == 0)
		result = keyring_change(store->keyring, &change, 1);
	if (result < 0)
		return err_set(err, result, "%s: %s", directory, strerror(-result));
	result = rewrite_copy(store, day, &rule, &target, err, ret_summary);
	if (result == REWRITE_NOTHING && copying->corrected_count > 0)
		result = corrected_write(copying, day, &target, err, ret_summary);
	if (result != 0) {
		change.destroy = true;
		if (keyring_change(store->keyring, &change, 1) < 0 && result > 0)
			return err_set(err, -EIO, "a key that nothing is sealed under could not be destroyed");
	}
	return result;
}

int case_copy(struct store *store, uint32_t number, int32_t day, struct err *err, uint64_t *ret_rows)
{
	struct segment_summary *summary = calloc(1, sizeof(*summary));
	struct copying copying = {.store = store};
	bool copied = false;
	int result;

	/* What there is of the day in the case is all that is left of it. */
	if (keyring_day_destroyed(store->keyring, day)) {
		free(summary);
		return err_set(err, -ESTALE, "day %d is destroyed: the copies of case %u stay as they are", day,
			       number);
	}
	result = summary != NULL ? copying_init(&copying, store, number, day, err) : -ENOMEM;
	if (result == 0) {
		result = copy_write(store, number, day, &copying, err, summary);
		copied = result == 0;
	} else if (result != -ENOENT && result != -ENOKEY) {
		(void)err_set(err, result, "selectors of case %u: %s", number, strerror(-result));
	}
	copying_fini(&copying);
	if (result == -ENOENT || result == REWRITE_NOTHING)
		result = 0;
	if (result == 0) {
		result = catalog_case_put(store->catalog, number, day, copied ? summary : NULL);
		if (result == 0)
			result = case_others_remove(store, number, day, copied ? summary->id : 0);
		if (result < 0)
			(void)err_set(err, result, "copy of case %u: %s", number, strerror(-result));
	}
	if (result == 0)
		*ret_rows = copied ? summary->row_count : 0;
	free(summary);
	return result;
}
