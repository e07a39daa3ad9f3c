/*
 * Lists as the appliance keeps them: records and blobs of the register, the lists loaded now, their way from one
 * version to the next. Control threads; what says so needs change_lock.
 */
#ifndef GANTRY_APPLIANCE_LISTS_H
#define GANTRY_APPLIANCE_LISTS_H

#include <stdbool.h>
#include <stdint.h>

#include "storage/register.h"

struct err;
struct gantry;
struct list;
struct list_ahead;

/* What the register knows of a name, removed lists too. */
struct lists_known {
	struct reg_list found;
	bool is_found;
	uint32_t highest; /* id given so far */
};

int lists_find(struct reg *reg, const char *name, struct lists_known *ret_known);

/* The list of a version from its blob; the caller frees it. As reg_blob_get and list_parse. */
int lists_read(struct reg *reg, const struct reg_list_version *version, struct err *err, struct list **ret_list);

/* Held: change_lock, or lists_lock while it is used. NULL: not loaded. */
const struct list *lists_loaded(const struct gantry *gantry, uint32_t id);

/*
 * Held: change_lock. The list of `ahead` becomes the version of its list, or with NULL the known one is removed: blob,
 * match set, register, workers. The register comes behind all that may be refused, for what it lets go of is gone.
 * `keep_previous`: what can be rolled back to stays what it was (the content did not change); of a removal, the version
 * that goes can be rolled back to until R25 deletes it. On failure, < 0 with err, the former version stays everywhere,
 * and err says so when it does not.
 */
int lists_commit(struct gantry *gantry, struct reg *reg, const struct lists_known *known, struct list_ahead *ahead,
		 bool keep_previous, uint32_t uid, struct err *err);

#endif
