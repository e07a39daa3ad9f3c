/* The register and the purges' files: what is outside of segments, journals and catalog. */
#include "storage/fsck.h"

#include <errno.h>
#include <string.h>

#include "storage/purge_file.h"
#include "storage/register_check.h"

static void tell_damage(void *context, const char *text)
{
	struct fsck *fsck = context;

	fsck_damage(fsck, fsck_below(fsck, text), 0);
}

static void tell_note(void *context, const char *text)
{
	struct fsck *fsck = context;

	fsck_note(fsck, "%s", fsck_below(fsck, text));
}

static int check_purge(struct fsck *fsck, const char *directory, const char *name)
{
	const char *const suffixes[] = {PURGE_FILE_INTENT, PURGE_FILE_CERTIFICATE};
	struct purge_record record;
	struct err err = {""};
	uint64_t number;
	int32_t day;

	for (unsigned i = 0; i < 2; i++) {
		if (!purge_file_name_parse(name, suffixes[i], &day, &number))
			continue;
		fsck->purges++;
		if (purge_file_read(fsck->io, directory, suffixes[i], day, number, &err, &record) < 0)
			fsck_damage_format(fsck, 0, LAYOUT_PURGE "/%s: %s; %s", name, err.text,
					   i == 0 ? "its day stays closed, run the purge again"
						  : "the audit log has the certificate");
		return 0;
	}
	fsck_note(fsck, LAYOUT_PURGE "/%s: not a purge's file", name);
	return 0;
}

static int check_purges(struct fsck *fsck)
{
	char directory[LAYOUT_PATH_SIZE];
	char **names;
	size_t count;
	int r = fsck_list(fsck->io, fsck_path(fsck, LAYOUT_PURGE, directory), &names, &count);

	if (r < 0)
		return r;
	for (size_t i = 0; i < count; i++)
		(void)check_purge(fsck, directory, names[i]);
	fsck_list_free(names, count);
	return 0;
}

int fsck_register(struct fsck *fsck)
{
	char directory[LAYOUT_PATH_SIZE], db[LAYOUT_PATH_SIZE], lists[LAYOUT_PATH_SIZE];
	struct reg_options options = {.directory = fsck_path(fsck, LAYOUT_REGISTER, directory),
				      .db_directory = fsck_path(fsck, LAYOUT_REGISTER "/db", db),
				      .lists_directory = fsck_path(fsck, LAYOUT_LISTS, lists)};
	struct register_check_hooks hooks = {tell_damage, tell_note, fsck};
	struct register_check found;
	int r = register_check(&options, fsck->io, fsck->keyring, &hooks, &found);

	if (r < 0)
		return r;
	fsck->register_entries = found.entries;
	fsck->lists = found.lists;
	return check_purges(fsck);
}
