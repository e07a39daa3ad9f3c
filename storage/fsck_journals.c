#include "storage/fsck.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "storage/io.h"
#include "storage/journal_file.h"
#include "storage/keyring.h"
#include "storage/lane_map.h"

static int find_key(void *context, uint64_t file_id, uint8_t ret_key[KEY_SIZE])
{
	struct fsck *fsck = context;
	struct key_id id = {.id = file_id, .day = KEY_DAY_NONE, .kind = KEY_JOURNAL};

	return keyring_get(fsck->keyring, id, ret_key);
}

static void dump_rows(struct fsck *fsck, uint64_t journal_id, const struct journal_run *run, const struct run *part)
{
	const struct read *rows = run->reads + (part->first - run->run.first);

	for (unsigned i = 0; i < part->count; i++) {
		if (fsck_is_sealed(fsck, journal_id, read_day(rows[i].capture_us)))
			continue;
		fsck->journal_rows++;
		fsck_dump_row(fsck, 'j', journal_id, &rows[i]);
	}
}

/* A run whose write was thought failed may stand in the next file too: each identity is taken once. */
static int take_run(struct fsck *fsck, uint64_t journal_id, bool sealed, const struct journal_run *run)
{
	uint64_t from = run->run.first;
	struct run part;

	while (lane_map_fresh(fsck->lanes, &run->run, &from, &part)) {
		if (part.refusal == REFUSAL_NONE) {
			dump_rows(fsck, journal_id, run, &part);
		} else if (!sealed) {
			fsck->refused += part.count;
			fsck_dump_refused(fsck, journal_id, &part, run->receipt_us);
		}
	}
	return lane_map_apply(fsck->lanes, &run->run);
}

static void report_holes(struct fsck *fsck, const char *name, const struct journal_scan_result *result)
{
	struct err err;

	for (unsigned i = 0; i < result->hole_count && i < JOURNAL_HOLES_MAX; i++) {
		const struct journal_hole *hole = &result->holes[i];

		if (!hole->damage) {
			fsck_note(fsck, LAYOUT_JOURNAL "/%s: a torn tail at byte %llu, never acknowledged", name,
				  (unsigned long long)hole->offset);
			continue;
		}
		(void)err_set(&err, 0,
			      LAYOUT_JOURNAL
			      "/%s: frames %llu to %llu at byte %llu are damaged: acknowledged reads in them are lost",
			      name, (unsigned long long)hole->first_frame, (unsigned long long)hole->last_frame,
			      (unsigned long long)hole->offset);
		fsck_damage(fsck, err.text, 0);
	}
	if (result->hole_count > JOURNAL_HOLES_MAX) {
		(void)err_set(&err, 0, LAYOUT_JOURNAL "/%s: %u more holes", name,
			      result->hole_count - JOURNAL_HOLES_MAX);
		fsck_damage(fsck, err.text, 0);
	}
	if (result->chain_breaks > 0) {
		(void)err_set(&err, 0,
			      LAYOUT_JOURNAL
			      "/%s: %u frames do not follow the one before: something was cut out or put in",
			      name, result->chain_breaks);
		fsck_damage(fsck, err.text, 0);
	}
	if (!result->header_valid) {
		(void)err_set(&err, 0,
			      LAYOUT_JOURNAL
			      "/%s: its header block is damaged; its frames tell enough, nothing is lost by it",
			      name);
		fsck_damage(fsck, err.text, 0);
	}
}

/* Where nothing but zeros is ever written: behind a header block's fields, behind a frame's body, behind END. */
struct blanks {
	struct io_file *file;
	uint64_t size;
	uint64_t end;   /* behind the last frame */
	uint64_t first; /* byte that is not zero; UINT64_MAX: none */
};

static void blank_check(struct blanks *blanks, uint64_t from, uint64_t to)
{
	uint8_t block[65536];

	while (blanks->first == UINT64_MAX && from < to && from < blanks->size) {
		size_t size = to - from < sizeof(block) ? (size_t)(to - from) : sizeof(block);
		int64_t count = blanks->file->ops->read(blanks->file, from, block, size);

		if (count <= 0)
			return;
		for (int64_t i = 0; i < count && blanks->first == UINT64_MAX; i++)
			if (block[i] != 0)
				blanks->first = from + (uint64_t)i;
		from += (uint64_t)count;
	}
}

static void blanks_frame(struct blanks *blanks, const struct journal_frame *frame)
{
	uint64_t body_end = frame->offset + JOURNAL_FRAME_HEADER_SIZE + frame->header.body_size;

	blanks->end = frame->offset + journal_frame_size(frame->header.body_size);
	blank_check(blanks, body_end, blanks->end);
}

static void blanks_finish(struct fsck *fsck, struct blanks *blanks, const char *name,
			  const struct journal_scan_result *result)
{
	if (result->header_valid)
		blank_check(blanks, JOURNAL_HEADER_USED, JOURNAL_HEADER_SIZE);
	if (result->ended) {
		blank_check(blanks, blanks->end + JOURNAL_FRAME_HEADER_SIZE, blanks->end + JOURNAL_FRAME_BLOCK);
		blank_check(blanks, blanks->end + JOURNAL_FRAME_BLOCK, blanks->size);
	}
	if (blanks->first != UINT64_MAX)
		fsck_damage_format(fsck, 0,
				   LAYOUT_JOURNAL
				   "/%s: byte %llu is not zero, where nothing is stored; nothing is lost "
				   "by it",
				   name, (unsigned long long)blanks->first);
}

static int scan_frames(struct fsck *fsck, const char *name, uint64_t journal_id, struct journal_scan *scan,
		       struct blanks *blanks)
{
	bool sealed = fsck_is_sealed_at_all(fsck, journal_id);
	struct journal_frame frame;
	struct journal_run run;
	struct err err = {""};
	int r;

	for (;;) {
		r = journal_scan_next(scan, &err, &frame);
		if (r <= 0)
			break;
		blanks_frame(blanks, &frame);
		while (journal_frame_next(&frame, &run)) {
			r = take_run(fsck, journal_id, sealed, &run);
			if (r < 0)
				return r;
		}
	}
	if (r < 0) {
		(void)err_prefix(&err, r, LAYOUT_JOURNAL "/%s: the device cannot read on, the rest is not checked",
				 name);
		fsck_damage(fsck, err.text, 0);
		return 0;
	}
	fsck->journal_frames += journal_scan_result(scan)->frames;
	report_holes(fsck, name, journal_scan_result(scan));
	blanks_finish(fsck, blanks, name, journal_scan_result(scan));
	return 0;
}

static int id_remember(struct fsck *fsck, uint64_t id)
{
	if (fsck->journal_id_count == fsck->journal_id_room) {
		size_t room = fsck->journal_id_room * 2 + 64;
		uint64_t *ids = realloc(fsck->journal_ids, room * sizeof(*ids));

		if (ids == NULL)
			return -ENOMEM;
		fsck->journal_ids = ids;
		fsck->journal_id_room = room;
	}
	fsck->journal_ids[fsck->journal_id_count++] = id;
	return 0;
}

/* A crash in the making of a journal leaves a key without a file; so does losing the file. */
static int key_judge(void *context, struct key_id key)
{
	struct fsck *fsck = context;

	for (size_t i = 0; i < fsck->journal_id_count; i++)
		if (fsck->journal_ids[i] == key.id)
			return 0;
	fsck_note(fsck,
		  LAYOUT_JOURNAL ": the keyring has a key of journal %016llx, which is not there: it was about to be "
				 "made, or it is lost with its reads",
		  (unsigned long long)key.id);
	return 0;
}

static int check_journal(struct fsck *fsck, const char *name)
{
	char path[JOURNAL_PATH_MAX];
	struct journal_scan_options options = {.path = path, .key = find_key, .context = fsck};
	struct journal_scan *scan;
	struct blanks blanks = {.end = JOURNAL_HEADER_SIZE, .first = UINT64_MAX};
	struct err err = {""};
	uint64_t id = 0;
	int r;

	if (snprintf(path, sizeof(path), "%s/%s", fsck->journal_directory, name) >= (int)sizeof(path))
		return -ENAMETOOLONG;
	r = journal_scan_new(&options, fsck->io, &err, &scan, &id);
	if (r == -ENOMEM)
		return r;
	if (r == JOURNAL_SCAN_EMPTY || r == JOURNAL_SCAN_KEYLESS) {
		fsck_note(fsck, LAYOUT_JOURNAL "/%s: %s, removed at the next start", name,
			  r == JOURNAL_SCAN_EMPTY ? "empty" : "its key is gone, it is sealed or was never used");
		return 0;
	}
	if (r < 0) {
		(void)err_prefix(&err, r, LAYOUT_JOURNAL "/%s: cannot be read", name);
		fsck_damage(fsck, err.text, 0);
		return 0;
	}
	fsck->journals++;
	r = id_remember(fsck, id);
	if (r == 0)
		r = fsck->io->ops->open(fsck->io, path, IO_READ, &blanks.file);
	if (r == 0)
		r = blanks.file->ops->size(blanks.file, &blanks.size);
	if (r == 0)
		r = scan_frames(fsck, name, id, scan, &blanks);
	if (blanks.file != NULL)
		blanks.file->ops->close(blanks.file);
	journal_scan_free(scan);
	return r;
}

int fsck_journals(struct fsck *fsck)
{
	struct journal_file_name parsed;
	char **names;
	size_t count;
	int r = fsck_list(fsck->io, fsck->journal_directory, &names, &count);

	if (r < 0)
		return r;
	for (size_t i = 0; i < count && r == 0; i++) {
		fsck_progress(fsck, LAYOUT_JOURNAL, i, count);
		if (journal_file_name_parse(names[i], &parsed))
			r = check_journal(fsck, names[i]);
		else
			fsck_note(fsck, LAYOUT_JOURNAL "/%s: not a journal's name", names[i]);
	}
	fsck_list_free(names, count);
	return r == 0 ? keyring_each(fsck->keyring, KEY_JOURNAL, key_judge, fsck) : r;
}
