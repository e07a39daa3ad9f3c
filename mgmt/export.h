/*
 * An export of the audit log: a text file that anybody can check with the verifier key alone (R53).
 *
 *	gantry-audit-export 1
 *	<base64 of a leaf>            one line each, in order
 *	{"first":…,"count":…,"size":…,"checkpoint":"…","proof":["<hex>",…]}
 *
 * The proof is merkle_range's: with the leaves it gives the checkpoint's root. Bodies stay sealed. Any thread.
 */
#ifndef GANTRY_MGMT_EXPORT_H
#define GANTRY_MGMT_EXPORT_H

#include <stdint.h>
#include <stdio.h>

#include "mgmt/merkle.h"

struct err;

#define EXPORT_HEAD "gantry-audit-export 1"

struct export_report {
	uint64_t first;
	uint64_t count;
	uint64_t size;   /* of the log that the checkpoint vouches for */
	int64_t from_us; /* times of the first and last leaf; 0 without leaves */
	int64_t to_us;
	merkle_hash root;
};

/* -EBADMSG with a text naming the first line that is wrong; -EINVAL when the key is not one; -EIO. */
int export_verify(FILE *file, const char *vkey, struct export_report *ret_report, struct err *err);

#endif
