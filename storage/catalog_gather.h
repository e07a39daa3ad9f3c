/*
 * Inside of the catalog: segments in their short form, gathered from one database of summaries. Included by catalog*.c
 * alone.
 */
#ifndef GANTRY_STORAGE_CATALOG_GATHER_H
#define GANTRY_STORAGE_CATALOG_GATHER_H

#include <stdint.h>

#include "storage/catalog_db.h"

#define CATALOG_GATHER_STOP 1 /* of `each`: no later pair is wanted */

/* What is wanted; the key is `each`'s business. */
struct catalog_wanted {
	uint32_t case_number; /* given to what is gathered */
	int32_t last_day;
	const struct catalog_choice *choice; /* NULL: whatever hits they hold */
};

/*
 * From the pair `first` on: `each` looks at the key and answers 0 to have its value taken, CATALOG_GATHER_STOP or
 * -errno. The caller frees *ret_segments. -ENOMEM, -EBADMSG a value is no summary.
 */
int catalog_gather(struct catalog *catalog, MDB_txn *txn, enum catalog_db db, const MDB_val *first,
		   int (*each)(const struct catalog_wanted *wanted, const MDB_val *key),
		   const struct catalog_wanted *wanted, struct catalog_segment **ret_segments, size_t *ret_count);

#endif
