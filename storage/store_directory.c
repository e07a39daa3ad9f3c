/* The data directory before anything in it is opened: its paths, its lock, what is made in it and whose files are
 * there. */
#include "storage/store_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>

int store_path(char path[LAYOUT_PATH_SIZE], const char *directory, const char *name)
{
	size_t directory_size = strlen(directory);
	size_t name_size = strlen(name);

	if (directory_size + name_size + 1 >= LAYOUT_PATH_SIZE - 128) /* room for the names below it */
		return -ENAMETOOLONG;
	memcpy(path, directory, directory_size);
	path[directory_size] = '/';
	memcpy(path + directory_size + 1, name, name_size + 1);
	return 0;
}

static int paths_make(struct store *store, struct err *err)
{
	const struct store_options *options = &store->options;
	const char *db = options->db_directory != NULL ? options->db_directory : options->directory;
	int result;

	if (strlen(options->directory) >= LAYOUT_PATH_SIZE - 128 || strlen(db) >= LAYOUT_PATH_SIZE - 128)
		return err_set(err, -ENAMETOOLONG, "the data directory's path is too long");
	strcpy(store->directory, options->directory);
	strcpy(store->db_directory, db);
	result = store_path(store->journal_directory, store->directory, LAYOUT_JOURNAL);
	if (result == 0)
		result = store_path(store->segments_directory, store->directory, LAYOUT_SEGMENTS);
	if (result == 0)
		result = store_path(store->purge_directory, store->directory, LAYOUT_PURGE);
	if (result == 0)
		result = store_path(store->cases_directory, store->directory, LAYOUT_CASES);
	if (result == 0)
		result = store_path(store->audit_directory, store->directory, LAYOUT_AUDIT);
	return result < 0 ? err_set(err, result, "the data directory's path is too long") : 0;
}

static int lock_take(struct store *store, struct err *err)
{
	char path[LAYOUT_PATH_SIZE];
	int result = store_path(path, store->db_directory, LAYOUT_LOCK);

	if (result < 0)
		return err_set(err, result, "the data directory's path is too long");
	if (mkdir(store->db_directory, 0700) < 0 && errno != EEXIST)
		return err_set(err, -errno, "%s: %s", store->db_directory, strerror(errno));
	store->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (store->lock_fd < 0)
		return err_set(err, -errno, "%s: %s", path, strerror(errno));
	if (flock(store->lock_fd, LOCK_EX | LOCK_NB) < 0)
		return err_set(err, errno == EWOULDBLOCK ? -EBUSY : -errno, "%s: another process serves this directory",
			       path);
	return 0;
}

static int directories_make(struct store *store, struct err *err)
{
	static const char *const names[] = {LAYOUT_JOURNAL, LAYOUT_SEGMENTS, LAYOUT_REGISTER, LAYOUT_LISTS,
					    LAYOUT_AUDIT,   LAYOUT_PURGE,    LAYOUT_CASES};
	const struct io_ops *ops = store->io->ops;
	char path[LAYOUT_PATH_SIZE];
	int result = ops->mkdir(store->io, store->directory);

	for (size_t i = 0; result == 0 && i < sizeof(names) / sizeof(names[0]); i++) {
		result = store_path(path, store->directory, names[i]);
		if (result == 0)
			result = ops->mkdir(store->io, path);
	}
	if (result == 0)
		result = ops->dir_sync(store->io, store->directory);
	return result < 0 ? err_set(err, result, "%s: %s", store->directory, strerror(-result)) : 0;
}

struct found {
	bool keyring;
	bool foreign;
	bool any;
};

static int top_name(void *context, const char *name)
{
	struct found *found = context;

	if (strncmp(name, "keyring.", 8) == 0)
		found->keyring = true;
	else if (strcmp(name, LAYOUT_LOCK) != 0)
		found->foreign = true;
	return 0;
}

static int any_name(void *context, const char *name)
{
	struct found *found = context;

	(void)name;
	found->any = true;
	return 0;
}

int store_directory_judge(struct store *store, struct err *err, bool *ret_create)
{
	const struct io_ops *ops = store->io->ops;
	char path[LAYOUT_PATH_SIZE];
	struct found found = {0};
	int result = ops->list(store->io, store->directory, top_name, &found);

	if (result == 0)
		result = ops->list(store->io, store->journal_directory, any_name, &found);
	if (result == 0)
		result = ops->list(store->io, store->segments_directory, any_name, &found);
	if (result == 0)
		result = store_path(path, store->directory, LAYOUT_REGISTER);
	if (result == 0)
		result = ops->list(store->io, path, any_name, &found);
	if (result < 0)
		return err_set(err, result, "%s: %s", store->directory, strerror(-result));
	if (!found.keyring && !found.any && found.foreign)
		return err_set(err, -ENOTEMPTY, "%s: holds other files; give Gantry a directory of its own",
			       store->directory);
	*ret_create = !found.any;
	return 0;
}

int store_directory_ready(struct store *store, struct err *err)
{
	int result = paths_make(store, err);

	if (result == 0)
		result = lock_take(store, err);
	return result == 0 ? directories_make(store, err) : result;
}
