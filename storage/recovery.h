/*
 * Recovery: what store_open makes of the files it finds. See recovery.c for the steps. Single-threaded.
 */
#ifndef GANTRY_STORAGE_RECOVERY_H
#define GANTRY_STORAGE_RECOVERY_H

#include <stdint.h>

#include "appliance/base/err.h"
#include "storage/journal_file.h"
#include "storage/lane_map.h"

struct generation;
struct store;

/* Keyring, catalog, memtable and lane maps are open. *ret_sequence_min: lower than every new journal file's number. */
int recovery_run(struct store *store, struct err *err, uint64_t *ret_sequence_min);

/* recovery_segment.c: segments of the directory against those of the catalog; exactly one generation remains. */
int recovery_segments(struct store *store, struct err *err);

/* What journals say of lanes beyond what was recovered: judged when all have been read. */
struct recovery_watermark {
	struct lane_id id;
	uint64_t watermark;
};
struct recovery_marks {
	struct recovery_watermark *marks;
	size_t count;
	size_t capacity;
};

/*
 * recovery_journal.c: one journal's rows into a closed generation, each identity once. 0, RECOVERY_GONE when the file
 * holds nothing that is not recovered or sealed and may go, RECOVERY_SEALED, or -errno; *ret_id is the journal's id, 0
 * when unknown. A file that cannot be opened or read is -EIO, never an outcome: nothing of it may be taken for lost or
 * for stored, so the store is not opened until it can be read, and file and key stay as they are.
 */
enum recovery_outcome { RECOVERY_GONE = 1, RECOVERY_SEALED = 2 };
int recovery_journal(struct store *store, const struct journal_file_name *file, struct recovery_marks *marks,
		     struct err *err, uint64_t *ret_id);

#endif
