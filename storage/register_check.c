#include "storage/register_check.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "appliance/base/bytes.h"
#include "storage/changelog.h"
#include "storage/io.h"
#include "storage/keyring.h"
#include "storage/register_db.h"
#include "storage/register_entry.h"
#include "storage/register_internal.h"

/* A list as the log leaves it. */
struct known_list {
	uint32_t list;
	uint32_t version;
	bool former; /* only to be rolled back to */
	uint8_t blob[REG_BLOB_NAME_SIZE];
};

struct checking {
	const struct reg_options *options;
	const struct register_check_hooks *hooks;
	struct io *io;
	struct reg_keys keys;
	struct reg_blobs blobs;
	struct known_list *lists;
	size_t list_count;
	struct register_check found;
};

static void tell_damage(struct checking *checking, const char *where, const char *why)
{
	char text[512];

	(void)snprintf(text, sizeof(text), "%s%s", where, why);
	checking->hooks->damage(checking->hooks->context, text);
}

static void list_forget(struct checking *checking, uint32_t list)
{
	for (size_t i = 0; i < checking->list_count; i++)
		if (checking->lists[i].list == list)
			checking->lists[i--] = checking->lists[--checking->list_count];
}

/* The room is there. */
static void known_add(struct checking *checking, uint32_t list, const struct reg_list_version *version, bool former)
{
	struct known_list *known = &checking->lists[checking->list_count++];

	*known = (struct known_list){.list = list, .version = version->version, .former = former};
	memcpy(known->blob, version->blob, sizeof(known->blob));
}

static int list_take(struct checking *checking, const struct reg_change *change)
{
	struct reg_list list;
	void *grown;

	list_forget(checking, change->a);
	if (change->value == NULL)
		return 0;
	if (reg_list_decode(change->value, change->value_size, &list) < 0)
		return -EBADMSG;
	if (list.removed && !list.has_previous)
		return 0;
	grown = realloc(checking->lists, (checking->list_count + 2) * sizeof(*checking->lists));
	if (grown == NULL)
		return -ENOMEM;
	checking->lists = grown;
	if (!list.removed)
		known_add(checking, list.list, &list.now, false);
	if (list.has_previous)
		known_add(checking, list.list, &list.previous, true);
	return 0;
}

static int frame_take(void *context, const struct changelog_frame *frame)
{
	struct checking *checking = context;
	struct reg_entry entry;
	int r;

	if (frame->kind == CHANGELOG_BASE_END)
		return 0;
	r = reg_entry_decode(frame->body, frame->size, &entry);
	if (r < 0)
		return r;
	for (size_t i = 0; r == 0 && i < entry.count; i++)
		if (entry.changes[i].kind == REG_LIST)
			r = list_take(checking, &entry.changes[i]);
	free(entry.changes);
	if (r == 0)
		checking->found.entries += frame->kind == CHANGELOG_ENTRY ? 1 : entry.count;
	return r;
}

/* The index's say on how far the log must reach: 0 when it cannot be asked. */
static uint64_t index_check(struct checking *checking)
{
	const char *directory = checking->options->db_directory;
	struct reg_db *db = NULL;
	struct err err = {""};
	uint64_t applied = 0;
	int r = reg_db_open_read_only(directory, checking->keys.db, &err, &db, &applied);

	if (r == -ENOENT)
		tell_damage(checking, directory, ": the register's index is missing; it is made anew from the log");
	else if (r < 0 && err.text[0] != '\0')
		tell_damage(checking, err.text, "; it is made anew from the log");
	else if (r < 0)
		tell_damage(checking, directory,
			    "/data.mdb: a value of the register's index is damaged; it is made anew from the log");
	reg_db_free(db);
	return applied;
}

static int log_check(struct checking *checking, uint64_t applied)
{
	struct changelog_options options = {.directory = checking->options->directory,
					    .key = checking->keys.log,
					    .read_only = true,
					    .sequence_min = applied};
	struct changelog *log = NULL;
	struct err err = {""};
	int r = changelog_open(&options, checking->io, &err, frame_take, checking, &log);

	if (r == -ENOMEM)
		return r;
	if (r < 0)
		tell_damage(checking, err.text,
			    "; meanwhile reads are journalled, and nothing is searched, matched or purged");
	else if (changelog_tail_cut(log))
		checking->hooks->note(
			checking->hooks->context,
			"register/changes.log: a torn last entry that nobody was told of, cut at the next "
			"start");
	if (r == 0 && changelog_sequence(log) > applied && applied > 0)
		checking->hooks->note(checking->hooks->context,
				      "register/db: it lacks the log's last entries, and takes them at the next start");
	changelog_free(log);
	return 0;
}

static void blobs_check(struct checking *checking)
{
	for (size_t i = 0; i < checking->list_count; i++) {
		const struct known_list *list = &checking->lists[i];
		struct err err = {""};
		char text[96];
		void *bytes;
		size_t size;
		int r = reg_blobs_get(&checking->blobs, list->blob, &err, &bytes, &size);

		checking->found.lists += !list->former;
		if (r < 0) {
			(void)snprintf(text, sizeof(text), "; list %u version %u is lost, %s", list->list,
				       list->version, list->former ? "nothing goes back to it" : "load it again");
			tell_damage(checking, err.text[0] != '\0' ? err.text : strerror(-r), text);
			continue;
		}
		checking->found.blobs++;
		bytes_wipe(bytes, size);
		free(bytes);
	}
}

int register_check(const struct reg_options *options, struct io *io, struct keyring *keyring,
		   const struct register_check_hooks *hooks, struct register_check *ret_check)
{
	const struct key_id id = {.id = 0, .day = KEY_DAY_NONE, .kind = KEY_REGISTER};
	struct checking *checking = calloc(1, sizeof(*checking));
	uint8_t key[KEY_SIZE];
	int r = 0;

	if (checking == NULL)
		return -ENOMEM;
	*checking = (struct checking){.options = options, .hooks = hooks, .io = io};
	if (keyring_get(keyring, id, key) < 0) {
		hooks->note(hooks->context, "register: the keyring has no key for one, none was begun");
	} else {
		reg_keys_derive(key, &checking->keys);
		checking->blobs.io = io;
		memcpy(checking->blobs.key, checking->keys.blobs, sizeof(checking->blobs.key));
		(void)snprintf(checking->blobs.directory, sizeof(checking->blobs.directory), "%s",
			       options->lists_directory);
		r = log_check(checking, index_check(checking));
		blobs_check(checking);
	}
	*ret_check = checking->found;
	bytes_wipe(key, sizeof(key));
	bytes_wipe(&checking->keys, sizeof(checking->keys));
	bytes_wipe(&checking->blobs, sizeof(checking->blobs));
	free(checking->lists);
	free(checking);
	return r;
}
