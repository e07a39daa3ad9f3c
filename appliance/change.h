/* What handlers that change the register share: one entry in the change log, then new tables for the workers. */
#ifndef GANTRY_APPLIANCE_CHANGE_H
#define GANTRY_APPLIANCE_CHANGE_H

#include <stddef.h>

#include "storage/register.h"

struct call;
struct gantry;

/* The register, or NULL with the call failed: it is incomplete. */
struct reg *change_register(struct call *call, struct gantry *gantry);

/*
 * change_lock held. Writes the changes as one entry by the call's account and publishes. 0, or < 0 with the call
 * failed; when only publishing failed the change is durable and the text says so.
 */
int change_commit(struct call *call, struct gantry *gantry, const struct reg_change *changes, size_t count);

/*
 * change_lock held: the same for any number of changes, in entries of REG_CHANGES_MAX, published once. When a later
 * entry fails the earlier ones are durable and published, and the text says how many.
 */
int change_commit_many(struct call *call, struct gantry *gantry, const struct reg_change *changes, size_t count);

#endif
