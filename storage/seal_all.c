/*
 * Sealing all there is: the workers are asked to leave their files, and what they left is sealed. The sealer's thread
 * goes on beside this; seal_mutex keeps the rounds apart.
 */
#include "storage/sealer.h"

#include <errno.h>
#include <stdlib.h>
#include <time.h>

#include "appliance/base/clock.h"
#include "storage/journal.h"
#include "storage/store_internal.h"

struct wait_set {
	uint64_t *ids;
	size_t count;
};

/* Generations that may hold something now. */
static int wait_set_take(struct store *store, struct wait_set *ret_set)
{
	struct memtable_view view;
	int result = memtable_view_take(store->memtable, &view);

	if (result < 0)
		return result;
	ret_set->count = 0;
	ret_set->ids = calloc(view.count + 1, sizeof(*ret_set->ids));
	for (size_t i = 0; ret_set->ids != NULL && i < view.count; i++)
		ret_set->ids[ret_set->count++] = view.generations[i]->journal_id;
	memtable_view_release(store->memtable, &view);
	return ret_set->ids != NULL ? 0 : -ENOMEM;
}

static bool set_holds(const struct wait_set *set, uint64_t id)
{
	for (size_t i = 0; i < set->count; i++)
		if (set->ids[i] == id)
			return true;
	return false;
}

/* Is one of them still alive and not empty? 1 yes, 0 no, -ENOMEM. */
static int set_waits(struct store *store, const struct wait_set *set)
{
	struct memtable_view view;
	int waits = memtable_view_take(store->memtable, &view);

	if (waits < 0)
		return waits;
	for (size_t i = 0; i < view.count; i++)
		if (set_holds(set, view.generations[i]->journal_id) &&
		    atomic_load_explicit(&view.generations[i]->first, memory_order_acquire) != NULL)
			waits = 1;
	memtable_view_release(store->memtable, &view);
	return waits;
}

static bool rolls_pending(struct store *store)
{
	for (unsigned i = 0; i < store->options.workers; i++)
		if (journal_roll_pending(store->journals[i]))
			return true;
	return false;
}

static void rolls_ask(struct store *store)
{
	for (unsigned i = 0; i < store->options.workers; i++)
		journal_roll(store->journals[i]);
}

static void journals_drive(struct store *store)
{
	for (unsigned i = 0; i < store->options.workers; i++)
		journal_poll(store->journals[i], clock_mono_ns());
	(void)store_keep(store);
}

/*
 * Every worker has left the file that it had when this began, and all that was left is sealed. A worker that fills its
 * new file meanwhile is asked to roll again: a file it had already at the beginning, but empty, is waited for too.
 */
static int seal_waiting(struct store *store, const struct wait_set *set, int64_t until_ns)
{
	static const struct timespec pause = {.tv_nsec = 1000000};
	bool answered = false;
	int result = 0;

	rolls_ask(store);
	while (result == 0) {
		if (store->options.threads_off)
			journals_drive(store);
		result = sealer_round(store);
		if (result < 0)
			return result;
		if (!rolls_pending(store)) {
			if (answered && (result = set_waits(store, set)) <= 0)
				return result;
			result = 0;
			if (answered)
				rolls_ask(store);
			answered = true;
		}
		if (clock_mono_ns() >= until_ns)
			return STORE_BUSY;
		(void)nanosleep(&pause, NULL);
	}
	return result;
}

int store_seal_all(struct store *store, int64_t wait_ns)
{
	struct wait_set set;
	int result;

	if (wait_ns == 0)
		return sealer_round(store);
	result = wait_set_take(store, &set);
	if (result < 0)
		return result;
	result = seal_waiting(store, &set, clock_mono_ns() + wait_ns);
	free(set.ids);
	return result;
}

int sealer_finish(struct store *store)
{
	for (unsigned i = 0; i < store->options.workers; i++)
		store->journals[i] = journal_free(store->journals[i]);
	return sealer_round(store);
}
