/*
 * Where the suite works: a directory of its own on a real disk, with room checked before, and gone afterwards; and the
 * page cache in front of it. Main thread.
 *
 * The directory holds a mark, "gantry-bench"; one that exists, is not empty and has none is refused, so that nothing
 * but the suite's own files is ever removed.
 */
#ifndef GANTRY_BENCH_SUITE_ROOM_H
#define GANTRY_BENCH_SUITE_ROOM_H

#include <stdbool.h>
#include <stdint.h>

#include "appliance/base/err.h"

#define SUITE_PATH_SIZE 512

struct suite_room {
	char path[SUITE_PATH_SIZE]; /* absolute */
	bool keep;
};

/*
 * Takes `data`, made when missing, or with NULL a fresh directory under $TMPDIR if that is on a disk, else under the
 * current one. It is kept at the end when `keep`, or when it was there before. -ENOSPC when fewer than `bytes` are free
 * there, with what is missing in err; -ENOTEMPTY foreign files; else what the system said. Nothing is left behind.
 */
int suite_room_take(const char *data, bool keep, uint64_t bytes, struct suite_room *ret_room, struct err *err);
/* `bytes` more are needed: as above. */
int suite_room_check(const char *directory, uint64_t bytes, struct err *err);
/* Removes it unless it is kept. */
void suite_room_leave(struct suite_room *room);

/* A directory in the room and all below it; 0 also when there is none. */
int suite_room_remove(const struct suite_room *room, const char *name);

/*
 * From now on the first SIGINT or SIGTERM only sets a mark, so that a run ends in order and leaves nothing; a second
 * one ends the process at once. Whoever works for long asks for the mark, on any thread.
 */
void suite_room_guard(void);
bool suite_room_stopped(void);

enum suite_cache { SUITE_CACHE_AUTO, SUITE_CACHE_DROP, SUITE_CACHE_ADVISE };

/*
 * Empties the page cache: the whole machine's (root; AUTO takes it when allowed), or by posix_fadvise that of every
 * file below `directory`, which leaves inodes and directories cached. Returns what was done, as words for the report;
 * NULL with errno when it could not be done.
 */
const char *suite_cache_empty(enum suite_cache how, const char *directory);

#endif
