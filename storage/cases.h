/*
 * The copies of held rows: for each case and purged day one segment in cases/<8 hex digits of the case>/, under a key
 * of its own (KEY_CASE: id is the segment's, day the case's number, so that a purge of the day does not destroy it and
 * the ring alone tells which keys a case has). The catalog's database `cases` lists them; it is rebuilt from the files.
 *
 * A copy is provisional until its purge is past PURGE_HELD: until then the day's own segments hold the rows, and the
 * copy is made anew by every attempt. Way of one copy: key durable → segment written and renamed → catalog row put in
 * place of any other of that (case, day) → keys and files of others of that (case, day) gone.
 *
 * Control threads; purge_mutex or hold_mutex held, or the store not open yet.
 */
#ifndef GANTRY_STORAGE_CASES_H
#define GANTRY_STORAGE_CASES_H

#include <stddef.h>
#include <stdint.h>

#include "appliance/base/err.h"
#include "storage/keyring.h"
#include "storage/layout.h"

struct io;
struct store;

#define CASE_DIRECTORY_SIZE (LAYOUT_PATH_SIZE + 16)

/* "<cases>/<8 hex digits>". Returns path. */
const char *case_directory(const char *cases_directory, uint32_t number, char path[CASE_DIRECTORY_SIZE]);

static inline struct key_id case_key(uint32_t number, uint64_t segment)
{
	return (struct key_id){.id = segment, .day = (int32_t)number, .kind = KEY_CASE};
}

/*
 * Copies what the case holds of the day; no copy when it holds nothing. *ret_rows: rows copied. -ESTALE: the day's keys
 * are destroyed, the copies stay as they are.
 */
int case_copy(struct store *store, uint32_t number, int32_t day, struct err *err, uint64_t *ret_rows);

/* Keys and files of the case's other copies of the day go: `but` stays; 0 none does. Behind the catalog's change. */
int case_others_remove(struct store *store, uint32_t number, int32_t day, uint64_t but);

/*
 * Destroys every copy of the case: keys, then files. The catalog's rows stay for who has to say what went, and are then
 * dropped by catalog_case_forget. Idempotent.
 */
struct case_gone {
	uint32_t segments;
	uint64_t rows;
};
int case_destroy(struct store *store, uint32_t number, struct err *err, struct case_gone *ret_gone);

/*
 * Recovery, before anybody asks: adopts copies of days past PURGE_HELD that the catalog does not know, says which it
 * knows and cannot find, and removes keys that no file is sealed under.
 */
int cases_recover(struct store *store, struct err *err);

#endif
