/*
 * A lost catalog, made anew from the files: the segments that hold reads nothing else holds, the lanes' copy, and what
 * became of purged days, from their certificates. One
 * catalog transaction: a crash before it finds a catalog that is still new, and the rebuild begins again.
 *
 * Of all segment files exactly one generation is taken (docs/disk-format.md, "Rebuilding the catalog"). No file is
 * touched: what was not taken is what recovery removes as never committed.
 */
#ifndef GANTRY_STORAGE_CATALOG_REBUILD_H
#define GANTRY_STORAGE_CATALOG_REBUILD_H

#include <stdbool.h>
#include <stddef.h>

#include "appliance/base/err.h"

struct catalog;
struct io;
struct keyring;

struct catalog_rebuild {
	struct io *io;
	struct keyring *keyring;
	struct catalog *catalog; /* catalog_is_new() */
	const char *directory;   /* of the data: lanes' copy, purge/ */
	const char *segments_directory;
	void (*damage)(void *context, const char *text); /* a segment or copy that cannot be read; no VRM in it */
	void *context;
};

struct catalog_rebuild_result {
	size_t segments;
	size_t lanes;
	size_t purged_days;
	bool lanes_known; /* from the copy; else they begin anew */
};

/* 0, or < 0: the catalog is new still. Single-threaded. */
int catalog_rebuild(const struct catalog_rebuild *rebuild, struct err *err, struct catalog_rebuild_result *ret_result);

#endif
