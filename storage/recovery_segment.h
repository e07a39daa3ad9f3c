/* Inside of recovery's segment part: the files of the directory, shared by recovery_segment.c and recovery_adopt.c. */
#ifndef GANTRY_STORAGE_RECOVERY_SEGMENT_H
#define GANTRY_STORAGE_RECOVERY_SEGMENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "appliance/base/err.h"

struct store;

struct segment_file {
	int32_t day;
	uint64_t id;
	bool unfinished;
	/* recovery_adopt.c's */
	bool unwanted; /* to be removed */
	bool damaged;  /* told, and left alone */
};

struct segment_files {
	struct segment_file *files; /* ascending by (day, id) */
	size_t count;
	size_t capacity;
};

/* Makes room for one item more. -ENOMEM. */
int recovery_grow(void **items, size_t *capacity, size_t count, size_t size);

int recovery_file_remove(struct store *store, const struct segment_file *file);

/*
 * The catalog was lost: makes its segments from the files. All of it or nothing; what is superfluous is removed behind
 * that. < 0: err may say more.
 */
int recovery_adopt(struct store *store, struct segment_files *files, struct err *err);

#endif
