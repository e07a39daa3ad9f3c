/* Names: a log of changes between those that are seen and those that are durable, directory by directory. */
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "appliance/base/prng.h"
#include "tests/storage/sim_internal.h"

struct name *sim_names_find(const struct names *names, const char *path)
{
	for (size_t i = 0; i < names->count; i++)
		if (strcmp(names->all[i].path, path) == 0)
			return &names->all[i];
	return NULL;
}

static void names_remove(struct names *names, const char *path)
{
	struct name *name = sim_names_find(names, path);

	if (name == NULL)
		return;
	name->inode->name_count -= names->seen;
	*name = names->all[--names->count];
}

/* Twice as much at a time: under AddressSanitizer each realloc is a copy to fresh memory. */
static void names_grow(struct names *names, size_t count)
{
	if (count <= names->room)
		return;
	names->room = 2 * count;
	names->all = sim_must(realloc(names->all, names->room * sizeof(*names->all)));
}

void sim_names_put(struct names *names, const char *path, struct inode *inode)
{
	names_remove(names, path);
	names_grow(names, names->count + 1);
	snprintf(names->all[names->count].path, SIM_PATH_MAX, "%s", path);
	names->all[names->count++].inode = inode;
	inode->name_count += names->seen;
}

static void names_apply(struct names *names, const struct change *change)
{
	struct name *name;

	switch (change->kind) {
	case CHANGE_CREATE:
		sim_names_put(names, change->path, change->inode);
		break;
	case CHANGE_RENAME:
		name = sim_names_find(names, change->path);
		if (name != NULL) {
			names_remove(names, change->path);
			sim_names_put(names, change->to, change->inode);
		}
		break;
	case CHANGE_UNLINK:
		names_remove(names, change->path);
		break;
	}
}

void sim_names_change(struct sim *sim, enum change_kind kind, const char *path, const char *to, struct inode *inode)
{
	struct change *change;

	sim->log = sim_must(realloc(sim->log, (sim->log_count + 1) * sizeof(*sim->log)));
	change = &sim->log[sim->log_count++];
	*change = (struct change){.kind = kind, .inode = inode};
	snprintf(change->path, SIM_PATH_MAX, "%s", path);
	snprintf(change->to, SIM_PATH_MAX, "%s", to);
	names_apply(&sim->names, change);
}

void sim_names_dir(const char *path, char ret_dir[SIM_PATH_MAX])
{
	const char *slash = strrchr(path, '/');

	if (slash == NULL)
		snprintf(ret_dir, SIM_PATH_MAX, ".");
	else if (slash == path)
		snprintf(ret_dir, SIM_PATH_MAX, "/");
	else
		snprintf(ret_dir, SIM_PATH_MAX, "%.*s", (int)(slash - path), path);
}

static bool names_in(const char *path, const char *dir)
{
	const char *slash = strrchr(path, '/');

	if (slash == NULL || slash == path)
		return strcmp(dir, slash == NULL ? "." : "/") == 0;
	return strncmp(dir, path, (size_t)(slash - path)) == 0 && dir[slash - path] == '\0';
}

bool sim_dir_exists(const struct sim *sim, const char *dir)
{
	if (strcmp(dir, ".") == 0 || strcmp(dir, "/") == 0)
		return true;
	for (size_t i = 0; i < sim->dir_count; i++)
		if (strcmp(sim->dirs[i], dir) == 0)
			return true;
	return false;
}

/* Applies the directory's changes to the durable names: all, or at a crash a prefix of them. */
static void names_dir_save(struct sim *sim, const char *dir, size_t count_max)
{
	size_t kept = 0;

	for (size_t i = 0; i < sim->log_count; i++) {
		if (!names_in(sim->log[i].path, dir)) {
			sim->log[kept++] = sim->log[i];
		} else if (count_max > 0) {
			names_apply(&sim->names_safe, &sim->log[i]);
			count_max--;
		}
	}
	sim->log_count = kept;
}

static int do_rename(struct sim *sim, const char *from, const char *to)
{
	struct name *name = sim_names_find(&sim->names, from);
	char dir[SIM_PATH_MAX];
	int r = sim_gate(sim, SIM_NAME);

	if (r < 0)
		return r;
	sim_names_dir(to, dir);
	if (name == NULL || !sim_dir_exists(sim, dir))
		return -ENOENT;
	assert(names_in(from, dir)); /* the log knows one directory an operation */
	sim_names_change(sim, CHANGE_RENAME, from, to, name->inode);
	return sim_gate_result(r);
}

int sim_rename(struct io *io, const char *from, const char *to)
{
	sim_lock(sim_of(io));
	return sim_unlock(sim_of(io), do_rename(sim_of(io), from, to));
}

static int do_unlink(struct sim *sim, const char *path)
{
	struct name *name = sim_names_find(&sim->names, path);
	int r = sim_gate(sim, SIM_NAME);

	if (r < 0)
		return r;
	if (name == NULL)
		return -ENOENT;
	sim_names_change(sim, CHANGE_UNLINK, path, "", name->inode);
	return sim_gate_result(r);
}

int sim_unlink(struct io *io, const char *path)
{
	sim_lock(sim_of(io));
	return sim_unlock(sim_of(io), do_unlink(sim_of(io), path));
}

static int do_mkdir(struct sim *sim, const char *path)
{
	int r = sim_gate(sim, SIM_NAME);

	if (r < 0 || sim_dir_exists(sim, path))
		return sim_gate_result(r);
	sim->dirs = sim_must(realloc(sim->dirs, (sim->dir_count + 1) * sizeof(*sim->dirs)));
	snprintf(sim->dirs[sim->dir_count++], SIM_PATH_MAX, "%s", path);
	return sim_gate_result(r);
}

int sim_mkdir(struct io *io, const char *path)
{
	sim_lock(sim_of(io));
	return sim_unlock(sim_of(io), do_mkdir(sim_of(io), path));
}

int sim_dir_sync(struct io *io, const char *path)
{
	struct sim *sim = sim_of(io);
	int r;

	sim_lock(sim);
	r = sim_gate(sim, SIM_SYNC);
	if (r >= 0 && !sim_dir_exists(sim, path))
		return sim_unlock(sim, -ENOENT);
	if (r >= 0)
		names_dir_save(sim, path, SIZE_MAX);
	return sim_unlock(sim, sim_gate_result(r));
}

int sim_list(struct io *io, const char *path, int (*each)(void *context, const char *name), void *context)
{
	struct sim *sim = sim_of(io);
	char(*found)[SIM_PATH_MAX];
	size_t count = 0;
	int r;

	sim_lock(sim);
	r = sim_gate(sim, SIM_READ);
	if (r == 0 && !sim_dir_exists(sim, path))
		r = -ENOENT;
	if (r < 0)
		return sim_unlock(sim, r);
	found = sim_must(calloc(sim->names.count + 1, sizeof(*found)));
	for (size_t i = 0; i < sim->names.count; i++)
		if (names_in(sim->names.all[i].path, path))
			memcpy(found[count++], sim->names.all[i].path, SIM_PATH_MAX);
	(void)sim_unlock(sim, 0);
	for (size_t i = 0; i < count && r == 0; i++) {
		const char *slash = strrchr(found[i], '/');

		r = each(context, slash == NULL ? found[i] : slash + 1);
	}
	free(found);
	return r;
}

void sim_names_crash(struct sim *sim)
{
	while (sim->log_count > 0) {
		char dir[SIM_PATH_MAX];

		sim_names_dir(sim->log[0].path, dir);
		names_dir_save(sim, dir, prng_below(&sim->prng, sim->log_count + 1));
	}
	names_grow(&sim->names, sim->names_safe.count);
	if (sim->names_safe.count > 0)
		memcpy(sim->names.all, sim->names_safe.all, sim->names_safe.count * sizeof(*sim->names.all));
	sim->names.count = sim->names_safe.count;
	for (struct inode *inode = sim->inodes; inode != NULL; inode = inode->next)
		inode->name_count = 0;
	for (size_t i = 0; i < sim->names.count; i++)
		sim->names.all[i].inode->name_count++;
}
