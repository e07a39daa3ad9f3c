/*
 * Inside of rewriting: what rewrite.c (parents and child), rewrite_commit.c (the catalog, and what goes behind it) and
 * rewrite_copy.c share. The tidy mutex is held throughout.
 */
#ifndef GANTRY_STORAGE_REWRITE_PRIVATE_H
#define GANTRY_STORAGE_REWRITE_PRIVATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "appliance/base/err.h"
#include "storage/keyring.h"
#include "storage/rewrite_stream.h"
#include "storage/segment_format.h"

struct rewrite_rule;
struct store;

/* A replacement in the catalog, as it was tried. */
struct rewrite_pending {
	int32_t day;
	bool has_child;
	uint64_t child_id; /* of the key, also without child */
	size_t parent_count;
	uint64_t parents[SEGMENT_LINEAGE_MAX];
	struct segment_summary child;
};

struct rewrite {
	struct store *store;
	struct err *err;
	struct segment_summary *segments;
	size_t count;
	uint64_t room_rows; /* since the last look */
	struct rewrite_stream stream;
	struct rewrite_pending *plan;
};

/* rewrite.c. Lists the parents in a new plan; 0 or < 0 with err. */
int rewrite_plan(struct rewrite *rewrite, int32_t day, const uint64_t *parents, size_t count);
void rewrite_stream_prepare(struct rewrite *rewrite, const struct rewrite_rule *rule);
/* 0 with a durable segment, REWRITE_NOTHING when no row was kept. */
int rewrite_child(struct rewrite *rewrite, const char *directory, const uint8_t key[KEY_SIZE], uint64_t id,
		  struct segment_summary *ret_summary);
void rewrite_free(struct rewrite *rewrite);

/* rewrite_commit.c. */
struct key_id rewrite_child_key(const struct rewrite_pending *plan);
/* Its file and its key go. */
void rewrite_child_remove(struct store *store, const struct rewrite_pending *plan);
/* The catalog's transaction, then the parents go. A failure that may yet have happened keeps the plan in the store. */
int rewrite_commit(struct rewrite *rewrite);
/* A commit that may have happened is brought to an end. */
int rewrite_commit_pending(struct store *store, struct err *err);

#endif
