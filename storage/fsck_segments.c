#include "storage/fsck.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "storage/keyring.h"
#include "storage/segment_read.h"

struct walk {
	struct fsck *fsck;
	uint64_t id;
	bool dump;
};

static void on_damage(void *context, const char *text, uint64_t rows_lost)
{
	struct walk *walk = context;

	fsck_damage_format(walk->fsck, rows_lost, LAYOUT_SEGMENTS "/%s", text);
}

static int on_rows(void *context, const struct segment_rows *rows)
{
	struct walk *walk = context;

	for (uint32_t i = 0; walk->dump && i < rows->count; i++)
		fsck_dump_row(walk->fsck, 's', walk->id, &rows->rows[i]);
	return 0;
}

static int remember_lineage(struct fsck *fsck, const struct segment_summary *summary)
{
	for (uint32_t i = 0; i < summary->lineage_count && summary->lineage_kind == SEGMENT_FROM_JOURNALS; i++) {
		if (fsck->sealed_count == fsck->sealed_room) {
			size_t room = fsck->sealed_room == 0 ? 64 : 2 * fsck->sealed_room;
			struct fsck_sealed *sealed = realloc(fsck->sealed, room * sizeof(*sealed));

			if (sealed == NULL)
				return -ENOMEM;
			fsck->sealed = sealed;
			fsck->sealed_room = room;
		}
		fsck->sealed[fsck->sealed_count++] = (struct fsck_sealed){summary->lineage[i], summary->day};
	}
	return 0;
}

/* True when an ancestor's rows of this day were given by an earlier segment: a failed sealing's leftover. */
static bool is_repeated(const struct fsck *fsck, const struct segment_summary *summary)
{
	if (summary->lineage_kind != SEGMENT_FROM_JOURNALS)
		return false;
	for (uint32_t i = 0; i < summary->lineage_count; i++)
		for (size_t j = 0; j < fsck->sealed_count; j++)
			if (fsck->sealed[j].journal_id == summary->lineage[i] && fsck->sealed[j].day == summary->day)
				return true;
	return false;
}

/* Segments that another one of their day was made from: it has their rows, they only wait to be removed. */
struct replaced {
	struct replaced_item {
		uint64_t id;
		int32_t day;
	} * items;
	size_t count;
	size_t room;
};

static int replaced_add(struct replaced *replaced, const struct segment_summary *summary)
{
	for (uint32_t i = 0; i < summary->lineage_count && summary->lineage_kind == SEGMENT_FROM_SEGMENTS; i++) {
		if (replaced->count == replaced->room) {
			size_t room = replaced->room == 0 ? 64 : 2 * replaced->room;
			struct replaced_item *items = realloc(replaced->items, room * sizeof(*items));

			if (items == NULL)
				return -ENOMEM;
			replaced->items = items;
			replaced->room = room;
		}
		replaced->items[replaced->count++] = (struct replaced_item){summary->lineage[i], summary->day};
	}
	return 0;
}

static int replaced_gather(struct fsck *fsck, char **names, size_t count, struct replaced *replaced)
{
	int r = 0;

	for (size_t i = 0; i < count && r == 0; i++) {
		struct segment *segment;
		int32_t day;
		uint64_t id;

		if (segment_name_parse(names[i], ".seg", &day, &id) != 0 ||
		    segment_open(fsck->io, fsck->keyring, fsck->segments_directory, day, id, NULL, &segment) < 0)
			continue;
		r = replaced_add(replaced, segment_summary(segment));
		segment_free(segment);
	}
	return r;
}

static bool is_replaced(const struct replaced *replaced, int32_t day, uint64_t id)
{
	for (size_t i = 0; i < replaced->count; i++)
		if (replaced->items[i].id == id && replaced->items[i].day == day)
			return true;
	return false;
}

static int check_segment(struct fsck *fsck, const char *name, int32_t day, uint64_t id)
{
	struct walk walk = {.fsck = fsck, .id = id, .dump = fsck->dump != NULL};
	struct segment_check_hooks hooks = {on_damage, on_rows, &walk};
	const struct segment_summary *summary;
	struct segment *segment;
	struct err err = {""};
	int r = segment_open(fsck->io, fsck->keyring, fsck->segments_directory, day, id, &err, &segment);

	if (r == -ENOMEM)
		return r;
	if (r == -ENOKEY && keyring_day_destroyed(fsck->keyring, day)) {
		fsck_note(fsck, LAYOUT_SEGMENTS "/%s: its day is purged, the file only waits to be removed", name);
		return 0;
	}
	if (r < 0) {
		fsck_damage_format(fsck, 0, LAYOUT_SEGMENTS "/%s: the whole segment is lost: %s", name, err.text);
		return 0;
	}
	summary = segment_summary(segment);
	fsck->segments++;
	fsck->segment_bytes += summary->file_size;
	if (is_repeated(fsck, summary)) {
		fsck_note(fsck, LAYOUT_SEGMENTS "/%s: a second copy of a journal's day, left by a sealing that failed",
			  name);
		walk.dump = false;
	} else {
		fsck->segment_rows += summary->row_count;
		r = remember_lineage(fsck, summary);
	}
	if (r == 0)
		r = segment_check(segment, &hooks);
	segment_free(segment);
	return r < 0 ? r : 0;
}

static int compare_sealed(const void *a, const void *b)
{
	const struct fsck_sealed *x = a;
	const struct fsck_sealed *y = b;

	if (x->journal_id != y->journal_id)
		return x->journal_id < y->journal_id ? -1 : 1;
	return x->day < y->day ? -1 : x->day > y->day;
}

int fsck_segments(struct fsck *fsck)
{
	struct replaced replaced = {0};
	char **names;
	size_t count;
	int r = fsck_list(fsck->io, fsck->segments_directory, &names, &count);

	if (r < 0)
		return r;
	r = replaced_gather(fsck, names, count, &replaced);
	for (size_t i = 0; i < count && r == 0; i++) {
		int32_t day;
		uint64_t id;

		fsck_progress(fsck, LAYOUT_SEGMENTS, i, count);
		if (segment_name_parse(names[i], ".seg", &day, &id) == 0 && is_replaced(&replaced, day, id))
			fsck_note(fsck,
				  LAYOUT_SEGMENTS "/%s: another segment took its place, removed at the next start",
				  names[i]);
		else if (segment_name_parse(names[i], ".seg", &day, &id) == 0)
			r = check_segment(fsck, names[i], day, id);
		else if (segment_name_parse(names[i], ".tmp", &day, &id) == 0)
			fsck_note(fsck, LAYOUT_SEGMENTS "/%s: an unfinished segment, removed at the next start",
				  names[i]);
		else
			fsck_note(fsck, LAYOUT_SEGMENTS "/%s: not a segment's name", names[i]);
	}
	fsck_list_free(names, count);
	free(replaced.items);
	if (fsck->sealed_count > 0)
		qsort(fsck->sealed, fsck->sealed_count, sizeof(*fsck->sealed), compare_sealed);
	return r;
}

bool fsck_is_sealed(const struct fsck *fsck, uint64_t journal_id, int32_t day)
{
	struct fsck_sealed wanted = {journal_id, day};

	return fsck->sealed_count > 0 &&
	       bsearch(&wanted, fsck->sealed, fsck->sealed_count, sizeof(wanted), compare_sealed) != NULL;
}

bool fsck_is_sealed_at_all(const struct fsck *fsck, uint64_t journal_id)
{
	for (size_t i = 0; i < fsck->sealed_count; i++)
		if (fsck->sealed[i].journal_id == journal_id)
			return true;
	return false;
}
