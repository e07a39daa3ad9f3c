/* Shared by purge.c (who begins, and what stands) and purge_steps.c, nobody else. */
#ifndef GANTRY_STORAGE_PURGE_INTERNAL_H
#define GANTRY_STORAGE_PURGE_INTERNAL_H

#include <stdint.h>

#include "appliance/base/err.h"
#include "storage/purge.h"
#include "storage/purge_file.h"

struct store;

struct purge {
	struct store *store;
	const struct purge_hooks *hooks;
	struct err *err;
	struct purge_record record;
	uint64_t damaged_number; /* of a damaged intent that this one replaces; 0 none */
	uint64_t marks_stamp;    /* of the day's marks when the held rows were copied (marks.h) */
	uint64_t late_stamp;     /* the same of what late hits had been put of it (late_hits.h) */
};

/* Every step from the first on, or from the one behind the keys' end. purge_mutex and tidy mutex held. */
int purge_steps(struct purge *purge);

#endif
