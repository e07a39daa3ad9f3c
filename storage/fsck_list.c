#include "storage/fsck.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "storage/io.h"

struct listing {
	char **names;
	size_t count;
	size_t room;
};

static int keep_name(void *context, const char *name)
{
	struct listing *listing = context;

	if (listing->count == listing->room) {
		size_t room = listing->room == 0 ? 64 : 2 * listing->room;
		char **names = realloc(listing->names, room * sizeof(char *));

		if (names == NULL)
			return -ENOMEM;
		listing->names = names;
		listing->room = room;
	}
	listing->names[listing->count] = strdup(name);
	return listing->names[listing->count] != NULL ? (listing->count++, 0) : -ENOMEM;
}

static int compare_names(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

int fsck_list(struct io *io, const char *directory, char ***ret_names, size_t *ret_count)
{
	struct listing listing = {0};
	int r = io->ops->list(io, directory, keep_name, &listing);

	if (r < 0 && r != -ENOENT) {
		fsck_list_free(listing.names, listing.count);
		return r;
	}
	if (listing.count > 0)
		qsort(listing.names, listing.count, sizeof(char *), compare_names);
	*ret_names = listing.names;
	*ret_count = listing.count;
	return 0;
}

void fsck_list_free(char **names, size_t count)
{
	for (size_t i = 0; i < count; i++)
		free(names[i]);
	free(names);
}
