/* The register looked at offline: its log, its index, the blobs that its lists name. Nothing is written. One thread. */
#ifndef GANTRY_STORAGE_REGISTER_CHECK_H
#define GANTRY_STORAGE_REGISTER_CHECK_H

#include <stdbool.h>
#include <stdint.h>

#include "storage/register.h"

struct register_check {
	uint64_t entries; /* of the log, that open, and the records that it begins with */
	uint64_t lists;
	uint64_t blobs;
};

/*
 * Tells by `damage` what is broken and what that loses, by `note` what the next start puts right. 0 however much is
 * broken, or -ENOMEM.
 */
struct register_check_hooks {
	void (*damage)(void *context, const char *text);
	void (*note)(void *context, const char *text);
	void *context;
};
int register_check(const struct reg_options *options, struct io *io, struct keyring *keyring,
		   const struct register_check_hooks *hooks, struct register_check *ret_check);

#endif
