/*
 * Held rows: every page of every copy, copies that the catalog knows and no file has, and the last time seen. Rows of
 * copies are neither dumped nor counted with the store's: their day is purged.
 */
#include "storage/fsck.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "storage/cases.h"
#include "storage/catalog.h"
#include "storage/clock_guard.h"
#include "storage/io.h"
#include "storage/segment_read.h"

struct visit {
	struct fsck *fsck;
	uint32_t number;
	char directory[CASE_DIRECTORY_SIZE];
};

static void on_damage(void *context, const char *text, uint64_t rows_lost)
{
	const struct visit *visit = context;

	fsck_damage_format(visit->fsck, rows_lost, LAYOUT_CASES "/%08x/%s", visit->number, text);
}

static int copy_check(struct visit *visit, const char *name, int32_t day, uint64_t id)
{
	struct segment_check_hooks hooks = {.damage = on_damage, .context = visit};
	struct key_id key = case_key(visit->number, id);
	struct segment *segment;
	struct err err = {""};
	int r = segment_open_keyed(visit->fsck->io, visit->fsck->keyring, visit->directory, &key, day, &err, &segment);

	if (r == -ENOMEM)
		return r;
	if (r == -ENOKEY) {
		fsck_note(visit->fsck, LAYOUT_CASES "/%08x/%s: its key is destroyed, removed at the next start",
			  visit->number, name);
		return 0;
	}
	if (r < 0) {
		fsck_damage_format(visit->fsck, 0, LAYOUT_CASES "/%08x/%s: what the case held of that day is lost: %s",
				   visit->number, name, err.text);
		return 0;
	}
	visit->fsck->held_rows += segment_summary(segment)->row_count;
	r = segment_check(segment, &hooks);
	segment_free(segment);
	return r < 0 ? r : 0;
}

static int case_check(struct fsck *fsck, const char *cases_directory, uint32_t number)
{
	struct visit visit = {.fsck = fsck, .number = number};
	char **names;
	size_t count;
	int r;

	(void)case_directory(cases_directory, number, visit.directory);
	r = fsck_list(fsck->io, visit.directory, &names, &count);
	if (r < 0)
		return r;
	for (size_t i = 0; i < count && r == 0; i++) {
		int32_t day;
		uint64_t id;

		if (segment_name_parse(names[i], ".seg", &day, &id) == 0)
			r = copy_check(&visit, names[i], day, id);
		else if (segment_name_parse(names[i], ".tmp", &day, &id) == 0)
			fsck_note(fsck, LAYOUT_CASES "/%08x/%s: an unfinished copy, removed at the next start", number,
				  names[i]);
		else
			fsck_note(fsck, LAYOUT_CASES "/%08x/%s: not a segment's name", number, names[i]);
	}
	fsck_list_free(names, count);
	return r;
}

static bool number_parse(const char *name, uint32_t *ret_number)
{
	char again[16];
	unsigned number;

	if (sscanf(name, "%8x", &number) != 1)
		return false;
	(void)snprintf(again, sizeof(again), "%08x", number);
	*ret_number = number;
	return strcmp(name, again) == 0;
}

static void clock_check(struct fsck *fsck)
{
	int r = clock_guard_check(fsck->io, fsck->options.directory);

	if (r == -ENOENT)
		fsck_note(fsck, LAYOUT_CLOCK ": missing: after the next start nothing is purged for ten minutes");
	else if (r < 0)
		fsck_damage(fsck,
			    LAYOUT_CLOCK ": damaged: after the next start nothing is purged for ten minutes; no read "
					 "is lost",
			    0);
}

int fsck_cases(struct fsck *fsck)
{
	char path[LAYOUT_PATH_SIZE];
	DIR *directory = opendir(fsck_path(fsck, LAYOUT_CASES, path));
	const struct dirent *entry;
	int r = 0;

	clock_check(fsck);
	if (directory == NULL)
		return errno == ENOENT ? 0 : -errno;
	while (r == 0 && (entry = readdir(directory)) != NULL) {
		uint32_t number;

		if (number_parse(entry->d_name, &number))
			r = case_check(fsck, path, number);
		else if (entry->d_name[0] != '.')
			fsck_note(fsck, LAYOUT_CASES "/%s: not Gantry's, left alone", entry->d_name);
	}
	(void)closedir(directory);
	return r;
}

struct adoption {
	struct fsck *fsck;
	struct catalog *catalog;
	uint64_t copies;
};

/* As at a start (cases_recover.c): where the day's keys are gone, the file is the only witness. */
static int copy_adopt(struct adoption *adoption, const char *directory, uint32_t number, int32_t day, uint64_t id)
{
	struct fsck *fsck = adoption->fsck;
	struct key_id key = case_key(number, id);
	struct segment *segment;
	struct err err = {""};
	int r;

	if (!keyring_day_destroyed(fsck->keyring, day))
		return 0;
	r = segment_open_keyed(fsck->io, fsck->keyring, directory, &key, day, &err, &segment);
	if (r < 0)
		return r == -ENOMEM ? r : 0; /* told by the check that follows */
	r = catalog_case_put(adoption->catalog, number, day, segment_summary(segment));
	segment_free(segment);
	adoption->copies += r == 0;
	return r;
}

static int case_adopt(struct adoption *adoption, uint32_t number)
{
	char cases[LAYOUT_PATH_SIZE], directory[CASE_DIRECTORY_SIZE];
	char **names;
	size_t count;
	int r;

	(void)case_directory(fsck_path(adoption->fsck, LAYOUT_CASES, cases), number, directory);
	r = fsck_list(adoption->fsck->io, directory, &names, &count);
	if (r < 0)
		return r == -ENOENT ? 0 : r;
	for (size_t i = 0; i < count && r == 0; i++) {
		int32_t day;
		uint64_t id;

		if (segment_name_parse(names[i], ".seg", &day, &id) == 0)
			r = copy_adopt(adoption, directory, number, day, id);
	}
	fsck_list_free(names, count);
	return r;
}

struct keyed {
	uint32_t *numbers;
	size_t count;
};

static int number_add(void *context, struct key_id key)
{
	struct keyed *keyed = context;
	void *grown;

	for (size_t i = 0; i < keyed->count; i++)
		if (keyed->numbers[i] == (uint32_t)key.day)
			return 0;
	grown = realloc(keyed->numbers, (keyed->count + 1) * sizeof(*keyed->numbers));
	if (grown == NULL)
		return -ENOMEM;
	keyed->numbers = grown;
	keyed->numbers[keyed->count++] = (uint32_t)key.day;
	return 0;
}

int fsck_cases_adopt(struct fsck *fsck, struct catalog *catalog, uint64_t *ret_copies)
{
	struct adoption adoption = {.fsck = fsck, .catalog = catalog};
	struct keyed keyed = {0};
	int r = keyring_each(fsck->keyring, KEY_CASE, number_add, &keyed);

	for (size_t i = 0; r == 0 && i < keyed.count; i++)
		r = case_adopt(&adoption, keyed.numbers[i]);
	free(keyed.numbers);
	*ret_copies = adoption.copies;
	return r;
}

static int known_check(struct fsck *fsck, struct catalog *catalog, uint32_t number)
{
	char path[CASE_DIRECTORY_SIZE + SEGMENT_NAME_SIZE];
	char name[SEGMENT_NAME_SIZE];
	struct catalog_segment *known = NULL;
	size_t count = 0;
	int r = catalog_case_segments(catalog, number, INT32_MIN, INT32_MAX, &known, &count);

	for (size_t i = 0; r == 0 && i < count; i++) {
		struct io_file *file;

		(void)snprintf(path, sizeof(path), "%s/" LAYOUT_CASES "/%08x/%s", fsck->options.directory, number,
			       segment_name(known[i].day, known[i].id, ".seg", name));
		if (fsck->io->ops->open(fsck->io, path, IO_READ, &file) == 0)
			file->ops->close(file);
		else
			fsck_damage_format(fsck, known[i].row_count,
					   LAYOUT_CASES "/%08x/%s: missing, the catalog knows it: what the case held "
							"of that day is lost",
					   number, name);
	}
	free(known);
	return r;
}

int fsck_cases_known(struct fsck *fsck, struct catalog *catalog)
{
	struct keyed keyed = {0};
	int r = keyring_each(fsck->keyring, KEY_CASE, number_add, &keyed);

	for (size_t i = 0; r == 0 && i < keyed.count; i++)
		r = known_check(fsck, catalog, keyed.numbers[i]);
	free(keyed.numbers);
	return r;
}
