/*
 * Which segments count. A segment was committed, or stands for reads that nothing else holds, unless
 *   - its day is purged, or its key is gone;
 *   - it was made from journals one of which still has its key and is not known as sealed: that journal is sealed anew;
 *   - it is a parent of another segment that is there whole: the child has its reads (a parent is rewritten only when
 *     what it was made from is destroyed, so no chain is longer than this);
 *   - another one of the same day and lineage is taken already: what a failed attempt left.
 */
#include "storage/catalog_rebuild.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "appliance/base/array.h"
#include "appliance/base/bytes.h"
#include "storage/catalog.h"
#include "storage/io.h"
#include "storage/keyring.h"
#include "storage/lanes_copy.h"
#include "storage/layout.h"
#include "storage/purge_file.h"
#include "storage/segment_read.h"

struct found {
	struct segment_summary **summaries; /* of every segment that opens */
	size_t count;
	size_t room;
};

struct rebuilding {
	const struct catalog_rebuild *options;
	struct lanes_content lanes;
	struct found found;
	struct catalog_day *purged;
	size_t purged_count;
	struct err *err;
};

static int name_take(struct rebuilding *rebuilding, const char *name, int32_t day, uint64_t id)
{
	const struct catalog_rebuild *options = rebuilding->options;
	struct segment_summary *summary;
	struct segment *segment;
	struct err err = {""};
	int r = segment_open(options->io, options->keyring, options->segments_directory, day, id, &err, &segment);

	if (r == -ENOKEY)
		return 0;
	if (r == -EBADMSG || r == -ENOTSUP) {
		(void)err_prefix(&err, r, "%s is left out", name);
		options->damage(options->context, err.text);
		return 0;
	}
	/* What cannot be read today may be readable tomorrow, and the catalog would not know it. */
	if (r < 0)
		return err_set(rebuilding->err, r,
			       "the catalog was lost, and not every segment can be read: %s; mend the cause and try "
			       "again, or give its reads up by moving it away",
			       err.text);
	summary = malloc(sizeof(*summary));
	if (summary != NULL)
		*summary = *segment_summary(segment);
	segment_free(segment);
	if (summary == NULL)
		return -ENOMEM;
	rebuilding->found.summaries[rebuilding->found.count++] = summary;
	return 0;
}

static int on_name(void *context, const char *name)
{
	struct rebuilding *rebuilding = context;
	struct found *found = &rebuilding->found;
	int32_t day;
	uint64_t id;
	void *grown;

	if (segment_name_parse(name, ".seg", &day, &id) != 0 ||
	    keyring_day_destroyed(rebuilding->options->keyring, day))
		return 0;
	grown = array_grow(found->summaries, found->count, &found->room, sizeof(*found->summaries));
	if (grown == NULL)
		return -ENOMEM;
	found->summaries = grown;
	return name_take(rebuilding, name, day, id);
}

static bool journal_sealed(const struct rebuilding *rebuilding, uint64_t journal_id)
{
	for (size_t i = 0; i < rebuilding->lanes.journal_count; i++)
		if (rebuilding->lanes.journals[i] == journal_id)
			return true;
	return false;
}

/* Will recovery bring its reads back from a journal? */
static bool journals_live(const struct rebuilding *rebuilding, const struct segment_summary *summary)
{
	uint8_t key[KEY_SIZE];
	bool live = false;

	for (uint32_t i = 0; summary->lineage_kind == SEGMENT_FROM_JOURNALS && i < summary->lineage_count; i++) {
		struct key_id id = {.id = summary->lineage[i], .day = KEY_DAY_NONE, .kind = KEY_JOURNAL};

		live = live ||
		       (keyring_get(rebuilding->options->keyring, id, key) == 0 && !journal_sealed(rebuilding, id.id));
	}
	bytes_wipe(key, sizeof(key));
	return live;
}

static bool is_parent_of(const struct segment_summary *parent, const struct segment_summary *child)
{
	if (child->lineage_kind == SEGMENT_FROM_JOURNALS || child->day != parent->day || child == parent)
		return false;
	for (uint32_t i = 0; i < child->lineage_count; i++)
		if (child->lineage[i] == parent->id)
			return true;
	return false;
}

static bool same_lineage(const struct segment_summary *a, const struct segment_summary *b)
{
	return a->day == b->day && a->lineage_kind == b->lineage_kind && a->lineage_count == b->lineage_count &&
	       memcmp(a->lineage, b->lineage, a->lineage_count * sizeof(a->lineage[0])) == 0;
}

static bool segment_counts(const struct rebuilding *rebuilding, const struct segment_summary *summary,
			   const struct segment_summary *const *taken, size_t taken_count)
{
	if (journals_live(rebuilding, summary))
		return false;
	for (size_t i = 0; i < rebuilding->found.count; i++)
		if (is_parent_of(summary, rebuilding->found.summaries[i]))
			return false;
	for (size_t i = 0; i < taken_count; i++)
		if (same_lineage(taken[i], summary))
			return false;
	return true;
}

static int order(const void *a, const void *b)
{
	const struct segment_summary *x = *(struct segment_summary *const *)a;
	const struct segment_summary *y = *(struct segment_summary *const *)b;

	if (x->day != y->day)
		return x->day < y->day ? -1 : 1;
	return x->id < y->id ? -1 : x->id > y->id;
}

static int restore(struct rebuilding *rebuilding, bool lanes_known, struct catalog_rebuild_result *result)
{
	struct found *found = &rebuilding->found;
	const struct segment_summary **taken = calloc(found->count + 1, sizeof(*taken));
	struct catalog_restore restored = {.segments = taken,
					   .purged = rebuilding->purged,
					   .purged_count = rebuilding->purged_count,
					   .lanes = rebuilding->lanes.lanes,
					   .lane_count = rebuilding->lanes.lane_count,
					   .journals = rebuilding->lanes.journals,
					   .journal_count = rebuilding->lanes.journal_count,
					   .totals = lanes_known ? &rebuilding->lanes.totals : NULL};
	int r;

	if (taken == NULL)
		return -ENOMEM;
	if (found->count > 0)
		qsort(found->summaries, found->count, sizeof(*found->summaries), order);
	for (size_t i = 0; i < found->count; i++)
		if (segment_counts(rebuilding, found->summaries[i], taken, restored.segment_count))
			taken[restored.segment_count++] = found->summaries[i];
	r = catalog_restore(rebuilding->options->catalog, &restored);
	free(taken);
	*result = (struct catalog_rebuild_result){restored.segment_count, rebuilding->lanes.lane_count,
						  rebuilding->purged_count, lanes_known};
	return r;
}

/* One row a day: of two certificates the one that counts more, a purge begun anew found what the first had left. */
static int purged_add(struct rebuilding *rebuilding, const struct purge_certificate *certificate)
{
	struct catalog_day *day = rebuilding->purged;
	struct catalog_day *end = day + rebuilding->purged_count;
	void *grown;

	while (day < end && day->day != certificate->day)
		day++;
	if (day == end) {
		grown = realloc(rebuilding->purged, (rebuilding->purged_count + 1) * sizeof(*rebuilding->purged));
		if (grown == NULL)
			return -ENOMEM;
		rebuilding->purged = grown;
		day = &rebuilding->purged[rebuilding->purged_count++];
	} else if (day->rows > certificate->reads) {
		return 0;
	}
	*day = (struct catalog_day){.day = certificate->day,
				    .state = CATALOG_DAY_PURGED,
				    .rows = certificate->reads,
				    .bytes = certificate->bytes,
				    .segments = certificate->segments,
				    .changed_us = certificate->finished_us,
				    .note_size = (uint32_t)strlen(certificate->authority)};
	static_assert(PURGE_TEXT_SIZE <= CATALOG_NOTE_SIZE + 1, "an authority fits a note");
	memcpy(day->note, certificate->authority, day->note_size);
	return 0;
}

static int on_purge_file(void *context, const char *name)
{
	struct rebuilding *rebuilding = context;
	const struct catalog_rebuild *options = rebuilding->options;
	char directory[LAYOUT_PATH_SIZE];
	struct purge_record record;
	struct err err = {""};
	uint64_t number;
	int32_t day;
	int r;

	if (!purge_file_name_parse(name, PURGE_FILE_CERTIFICATE, &day, &number) ||
	    !keyring_day_destroyed(options->keyring, day))
		return 0;
	(void)snprintf(directory, sizeof(directory), "%s/" LAYOUT_PURGE, options->directory);
	r = purge_file_read(options->io, directory, PURGE_FILE_CERTIFICATE, day, number, &err, &record);
	if (r == -EBADMSG) {
		options->damage(options->context, err.text);
		return 0;
	}
	return r < 0 ? r : purged_add(rebuilding, &record.certificate);
}

static int purged_gather(struct rebuilding *rebuilding)
{
	const struct catalog_rebuild *options = rebuilding->options;
	char directory[LAYOUT_PATH_SIZE];
	int r;

	(void)snprintf(directory, sizeof(directory), "%s/" LAYOUT_PURGE, options->directory);
	r = options->io->ops->list(options->io, directory, on_purge_file, rebuilding);
	return r == -ENOENT ? 0 : r;
}

int catalog_rebuild(const struct catalog_rebuild *rebuild, struct err *err, struct catalog_rebuild_result *ret_result)
{
	struct catalog_rebuild_result result = {0};
	struct rebuilding rebuilding = {.options = rebuild, .err = err};
	struct io *io = rebuild->io;
	int lanes = lanes_copy_read(io, rebuild->keyring, rebuild->directory, &rebuilding.lanes);
	int r = lanes == -ENOMEM ? lanes : 0;

	if (err != NULL)
		err->text[0] = '\0';
	if (lanes < 0 && lanes != -ENOENT && r == 0)
		rebuild->damage(rebuild->context, "neither copy of the lanes can be read: they begin anew");
	if (r == 0)
		r = io->ops->list(io, rebuild->segments_directory, on_name, &rebuilding);
	if (r == 0)
		r = purged_gather(&rebuilding);
	if (r == 0)
		r = restore(&rebuilding, lanes == 0, &result);
	for (size_t i = 0; i < rebuilding.found.count; i++)
		free(rebuilding.found.summaries[i]);
	free(rebuilding.found.summaries);
	free(rebuilding.purged);
	lanes_content_fini(&rebuilding.lanes);
	if (r < 0)
		return err != NULL && err->text[0] != '\0' ? r
							   : err_set(err, r, "%s: rebuilding the catalog: %s",
								     rebuild->segments_directory, strerror(-r));
	*ret_result = result;
	return 0;
}
