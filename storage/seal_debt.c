/*
 * Debts: keys that nothing needs any more, and the files that go after them: sealed journals, segments that others
 * took the place of. Rewriting the keyring costs several flushes, so they are paid with the next change that makes
 * keys, or at the end of a round; a segment's not before the last view that may read it is released. All under
 * seal_mutex.
 */
#include "storage/sealer.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define LOG_MODULE "sealer"
#include "appliance/base/array.h"
#include "appliance/base/killpoint.h"
#include "appliance/base/log.h"
#include "storage/lanes_copy.h"
#include "storage/segment_discard.h"
#include "storage/store_internal.h"
#include "storage/view.h"

static int debt_add(struct store *store, const struct seal_debt *debt)
{
	void *grown = array_grow(store->debts, store->debt_count, &store->debt_capacity, sizeof(*store->debts));

	if (grown == NULL)
		return -ENOMEM;
	store->debts = grown;
	store->debts[store->debt_count++] = *debt;
	return 0;
}

int sealer_key_owed(struct store *store, struct key_id key)
{
	struct seal_debt debt = {.key = key};

	return debt_add(store, &debt);
}

int sealer_journal_owed(struct store *store, uint64_t journal_id, const struct journal_file_name *file)
{
	struct seal_debt debt = {.key = {.id = journal_id, .day = KEY_DAY_NONE, .kind = KEY_JOURNAL},
				 .kind = DEBT_JOURNAL,
				 .file = *file};

	return debt_add(store, &debt);
}

int sealer_segment_owed(struct store *store, int32_t day, uint64_t id, uint64_t turn)
{
	struct seal_debt debt = {
		.key = {.id = id, .day = day, .kind = KEY_SEGMENT}, .kind = DEBT_SEGMENT, .turn = turn};

	return debt_add(store, &debt);
}

/* Those that can be paid now to the front; how many they are. */
static size_t debts_due(struct store *store)
{
	size_t due = 0;

	for (size_t i = 0; i < store->debt_count; i++) {
		struct seal_debt debt = store->debts[i];

		if (debt.kind == DEBT_SEGMENT && !views_passed(store->views, debt.turn))
			continue;
		store->debts[i] = store->debts[due];
		store->debts[due++] = debt;
	}
	return due;
}

static int journal_gone(struct store *store, const struct seal_debt *debt)
{
	int result;

	killpoint("seal.key-destroyed");
	result = journal_file_destroy(store->io, store->journal_directory, &debt->file);
	killpoint("seal.unlinked");
	return result == 0 ? catalog_journal_forget(store->catalog, debt->key.id) : result;
}

static int segment_gone(struct store *store, const struct seal_debt *debt)
{
	killpoint("merge.destroyed");
	views_forget_segment(store->views, debt->key.day, debt->key.id);
	return segment_discard(store->io, store->segments_directory, debt->key.day, debt->key.id);
}

/* The keys are gone: the files go too. One that cannot be unlinked now is keyless and goes with the next start. */
static void debts_settle(struct store *store, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		const struct seal_debt *debt = &store->debts[i];
		int result = 0;

		if (debt->kind == DEBT_JOURNAL)
			result = journal_gone(store, debt);
		else if (debt->kind == DEBT_SEGMENT)
			result = segment_gone(store, debt);
		if (result < 0)
			log_warn("a file whose key is destroyed: %s, removing it at the next start", strerror(-result));
	}
	store->debt_count -= count;
	if (store->debt_count > 0)
		memmove(store->debts, store->debts + count, store->debt_count * sizeof(*store->debts));
}

/* A sealed journal dies only when its lanes stand outside the catalog too. */
static int lanes_keep(struct store *store, size_t owed)
{
	bool needed = false;

	for (size_t i = 0; i < owed; i++)
		needed = needed || store->debts[i].kind == DEBT_JOURNAL;
	return needed ? lanes_copy_write(store->io, store->keyring, store->directory, store->catalog) : 0;
}

int sealer_keys_change(struct store *store, const struct key_change *makes, size_t make_count)
{
	size_t owed = debts_due(store);
	struct key_change *changes;
	int result;

	if (owed + make_count == 0)
		return 0;
	result = lanes_keep(store, owed);
	if (result < 0)
		return result;
	changes = calloc(owed + make_count, sizeof(*changes));
	if (changes == NULL)
		return -ENOMEM;
	for (size_t i = 0; i < owed; i++)
		changes[i] = (struct key_change){.id = store->debts[i].key, .destroy = true};
	if (make_count > 0)
		memcpy(changes + owed, makes, make_count * sizeof(*changes));
	result = keyring_change(store->keyring, changes, owed + make_count);
	free(changes);
	if (result < 0)
		return result;
	if (make_count > 0)
		killpoint("seal.keyed");
	debts_settle(store, owed);
	return 0;
}

int sealer_debts_pay(struct store *store)
{
	int result;

	pthread_mutex_lock(&store->seal_mutex);
	result = sealer_keys_change(store, NULL, 0);
	pthread_mutex_unlock(&store->seal_mutex);
	return result;
}
