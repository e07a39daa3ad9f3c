#include "storage/fsck.h"

#include <dirent.h>
#include <errno.h>
#include <string.h>

#include "appliance/base/clock.h"
#include "storage/keyring.h"

int fsck_keys(struct fsck *fsck)
{
	struct keyring_copy copies[2];
	struct keyring_info info;

	keyring_info(fsck->keyring, &info);
	if (info.by_escrow)
		fsck_note(fsck, "opened with the escrow key: make a new master key with --new-master");
	keyring_copies(fsck->keyring, copies);
	for (unsigned i = 0; i < 2; i++) {
		const char *name = fsck_below(fsck, copies[i].path);
		const char *state = keyring_copy_state_name(copies[i].state);

		if (copies[i].state == KEYRING_COPY_OLDER || copies[i].state == KEYRING_COPY_FOREIGN)
			fsck_note(fsck, "%s: of an interrupted change (%s), written anew at the next start", name,
				  state);
		else if (copies[i].state != KEYRING_COPY_CURRENT)
			fsck_damage_format(fsck, 0,
					   "%s: %s; the other copy has everything, and this one is written "
					   "anew at the next start",
					   name, state);
	}
	return 0;
}

/* Names of the data directory that are somebody's. */
static bool is_known(const char *name)
{
	static const char *const names[] = {LAYOUT_LOCK,     LAYOUT_JOURNAL, LAYOUT_SEGMENTS,  LAYOUT_CATALOG,
					    LAYOUT_REGISTER, LAYOUT_LISTS,   LAYOUT_AUDIT,     LAYOUT_PURGE,
					    LAYOUT_LANES_A,  LAYOUT_LANES_B, LAYOUT_KEYRING_A, LAYOUT_KEYRING_B,
					    LAYOUT_CASES,    LAYOUT_CLOCK};

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (strcmp(name, names[i]) == 0)
			return true;
	return false;
}

int fsck_top(struct fsck *fsck)
{
	DIR *directory = opendir(fsck->options.directory);
	const struct dirent *entry;

	if (directory == NULL)
		return -errno;
	while ((entry = readdir(directory)) != NULL) {
		const char *name = entry->d_name;

		if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0 || is_known(name))
			continue;
		if (strncmp(name, LAYOUT_CATALOG ".damaged-", 16) == 0 ||
		    strncmp(name, LAYOUT_CATALOG ".former-", 15) == 0)
			fsck_note(fsck, "%s: a catalog that was put aside; remove it when nobody wants to look at it",
				  name);
		else
			fsck_note(fsck, "%s: not Gantry's, left alone", name);
	}
	(void)closedir(directory);
	return 0;
}
