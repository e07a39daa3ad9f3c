#include "storage/fsck.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "storage/cases.h"
#include "storage/catalog.h"
#include "storage/keyring.h"
#include "storage/segment_read.h"

/* One case's directory. */
struct looking {
	struct fsck *fsck;
	uint32_t number;
	char directory[CASE_DIRECTORY_SIZE];
};

static void on_damage(void *context, const char *text, uint64_t rows_lost)
{
	const struct looking *looking = context;

	fsck_damage_format(looking->fsck, rows_lost, LAYOUT_CASES "/%08x/%s", looking->number, text);
}

static int on_rows(void *context, const struct segment_rows *rows)
{
	(void)context;
	(void)rows;
	return 0;
}

static int check_copy(struct looking *looking, const char *name, int32_t day, uint64_t id)
{
	struct segment_check_hooks hooks = {on_damage, on_rows, looking};
	struct fsck *fsck = looking->fsck;
	struct key_id key = case_key(looking->number, id);
	struct segment *segment;
	struct err err = {""};
	int r = segment_open_keyed(fsck->io, fsck->keyring, looking->directory, &key, day, &err, &segment);

	if (r == -ENOMEM)
		return r;
	if (r == -ENOKEY) {
		fsck_note(fsck, LAYOUT_CASES "/%08x/%s: its key is gone, the file only waits to be removed",
			  looking->number, name);
		return 0;
	}
	if (r < 0) {
		fsck_damage_format(fsck, 0, LAYOUT_CASES "/%08x/%s: the whole copy is lost: %s", looking->number, name,
				   err.text);
		return 0;
	}
	fsck->case_segments++;
	fsck->case_rows += segment_summary(segment)->row_count;
	r = segment_check(segment, &hooks);
	segment_free(segment);
	return r < 0 ? r : 0;
}

static int check_case(struct fsck *fsck, uint32_t number)
{
	struct looking looking = {.fsck = fsck, .number = number};
	char cases[LAYOUT_PATH_SIZE];
	char **names;
	size_t count;
	int r;

	(void)case_directory(fsck_path(fsck, LAYOUT_CASES, cases), number, looking.directory);
	r = fsck_list(fsck->io, looking.directory, &names, &count);
	if (r < 0)
		return r;
	for (size_t i = 0; i < count && r == 0; i++) {
		int32_t day;
		uint64_t id;

		if (segment_name_parse(names[i], ".seg", &day, &id) == 0)
			r = check_copy(&looking, names[i], day, id);
		else
			fsck_note(fsck, LAYOUT_CASES "/%08x/%s: unfinished, or not a copy's name", number, names[i]);
	}
	fsck_list_free(names, count);
	return r;
}

static int check_directories(struct fsck *fsck)
{
	char path[LAYOUT_PATH_SIZE];
	DIR *directory = opendir(fsck_path(fsck, LAYOUT_CASES, path));
	const struct dirent *entry;
	int r = 0;

	if (directory == NULL)
		return errno == ENOENT ? 0 : -errno;
	while (r == 0 && (entry = readdir(directory)) != NULL) {
		char *end;
		unsigned long number = strtoul(entry->d_name, &end, 16);

		if (entry->d_name[0] == '.')
			continue;
		if (strlen(entry->d_name) == 8 && *end == '\0')
			r = check_case(fsck, (uint32_t)number);
		else
			fsck_note(fsck, LAYOUT_CASES "/%s: not a case's directory", entry->d_name);
	}
	(void)closedir(directory);
	return r;
}

struct missing {
	struct fsck *fsck;
	uint32_t *numbers; /* of the cases that have keys */
	size_t count;
};

static int number_take(void *context, struct key_id key)
{
	struct missing *missing = context;
	void *grown;

	for (size_t i = 0; i < missing->count; i++)
		if (missing->numbers[i] == (uint32_t)key.day)
			return 0;
	grown = realloc(missing->numbers, (missing->count + 1) * sizeof(*missing->numbers));
	if (grown == NULL)
		return -ENOMEM;
	missing->numbers = grown;
	missing->numbers[missing->count++] = (uint32_t)key.day;
	return 0;
}

/* Copies that the catalog knows, whose key stands, and that are not there. */
static int check_known(struct missing *missing, struct catalog *catalog, uint32_t number)
{
	struct fsck *fsck = missing->fsck;
	char cases[LAYOUT_PATH_SIZE], directory[CASE_DIRECTORY_SIZE], name[SEGMENT_NAME_SIZE];
	struct catalog_segment *known;
	size_t count;
	int r = catalog_case_segments(catalog, number, INT32_MIN, INT32_MAX, &known, &count);

	if (r < 0)
		return r;
	(void)case_directory(fsck_path(fsck, LAYOUT_CASES, cases), number, directory);
	for (size_t i = 0; i < count; i++) {
		struct key_id key = case_key(number, known[i].id);
		struct segment *segment;
		struct err err;

		r = segment_open_keyed(fsck->io, fsck->keyring, directory, &key, known[i].day, &err, &segment);
		if (r == 0)
			segment_free(segment);
		else if (r == -ENOENT)
			fsck_damage_format(fsck, known[i].row_count,
					   LAYOUT_CASES "/%08x/%s: missing: its held reads are lost", number,
					   segment_name(known[i].day, known[i].id, ".seg", name));
		else if (r == -EBADMSG)
			fsck->rows_lost += known[i].row_count; /* told with the file */
	}
	free(known);
	return 0;
}

static int check_missing(struct fsck *fsck)
{
	char path[LAYOUT_PATH_SIZE];
	struct catalog_options options = {.directory = fsck_path(fsck, LAYOUT_CATALOG, path), .read_only = true};
	struct missing missing = {.fsck = fsck};
	struct catalog *catalog;
	int r = keyring_each(fsck->keyring, KEY_CASE, number_take, &missing);

	/* A catalog that cannot be opened is told by fsck_catalog. */
	if (r == 0 && missing.count > 0 && catalog_open(&options, NULL, &catalog) == 0) {
		for (size_t i = 0; i < missing.count && r == 0; i++)
			r = check_known(&missing, catalog, missing.numbers[i]);
		catalog_free(catalog);
	}
	free(missing.numbers);
	return r == -EBADMSG ? 0 : r;
}

int fsck_cases(struct fsck *fsck)
{
	int r = check_directories(fsck);

	return r < 0 ? r : check_missing(fsck);
}
