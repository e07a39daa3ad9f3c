/*
 * The sealer: closed generations of the memtable become day segments, and their journals go. See sealer.c for the
 * steps. Control threads.
 */
#ifndef GANTRY_STORAGE_SEALER_H
#define GANTRY_STORAGE_SEALER_H

#include <stddef.h>
#include <stdint.h>

#include "storage/journal_file.h"
#include "storage/keyring.h"

struct store;

/* Seals every closed generation and pays every debt. 0, or the first failure's -errno: then call again later. */
int sealer_round(struct store *store);

/* Clean stop, no worker runs: closes the journals, seals them all. */
int sealer_finish(struct store *store);
void sealer_fini(struct store *store);

/* Recovery: the file of a journal whose rows are in the memtable; the file of one that is sealed and must go. -ENOMEM.
 */
int sealer_journal_recovered(struct store *store, uint64_t journal_id, const struct journal_file_name *file);
int sealer_journal_owed(struct store *store, uint64_t journal_id, const struct journal_file_name *file);
/* A key that nothing is sealed under any more. seal_mutex held, but in recovery. -ENOMEM. */
int sealer_key_owed(struct store *store, struct key_id key);
/* A segment that was replaced: key and file go when that turn of the views has passed. seal_mutex held. -ENOMEM. */
int sealer_segment_owed(struct store *store, int32_t day, uint64_t id, uint64_t turn);
/* One durable change of the keyring: new keys, and the end of those owed; then their files go. seal_mutex held. */
int sealer_keys_change(struct store *store, const struct key_change *makes, size_t make_count);
/* The same without new keys; takes seal_mutex. */
int sealer_debts_pay(struct store *store);

#endif
