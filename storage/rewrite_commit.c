/*
 * The commit of a rewriting. One that failed may yet stand on the disk: the child is kept as it is (struct
 * rewrite_pending), and before anything else is rewritten the commit is tried again; -EEXIST then means that it had
 * happened. Were the child removed instead, a crash could leave a catalog that names it.
 */
#include "storage/rewrite_private.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "appliance/base/killpoint.h"
#include "storage/sealer.h"
#include "storage/segment_discard.h"
#include "storage/store_internal.h"
#include "storage/view.h"

static void key_owe(struct store *store, struct key_id id)
{
	pthread_mutex_lock(&store->seal_mutex);
	(void)sealer_key_owed(store, id); /* -ENOMEM: recovery finds it */
	pthread_mutex_unlock(&store->seal_mutex);
}

struct key_id rewrite_child_key(const struct rewrite_pending *plan)
{
	return (struct key_id){.id = plan->child_id, .day = plan->day, .kind = KEY_SEGMENT};
}

/* The file first: a key without a file is nobody's, and any start destroys it. */
void rewrite_child_remove(struct store *store, const struct rewrite_pending *plan)
{
	(void)segment_discard(store->io, store->segments_directory, plan->day, plan->child_id);
	key_owe(store, rewrite_child_key(plan));
}

static void parents_owe(struct store *store, const struct rewrite_pending *plan, uint64_t turn)
{
	pthread_mutex_lock(&store->seal_mutex);
	for (size_t i = 0; i < plan->parent_count; i++)
		if (sealer_segment_owed(store, plan->day, plan->parents[i], turn) < 0)
			break; /* files that the catalog does not name: recovery removes them */
	pthread_mutex_unlock(&store->seal_mutex);
}

static int replace(struct store *store, const struct rewrite_pending *plan, uint64_t *ret_turn)
{
	struct catalog_replace change = {.day = plan->day,
					 .parents = plan->parents,
					 .parent_count = plan->parent_count,
					 .child = plan->has_child ? &plan->child : NULL};
	int result;

	memtable_lock(store->memtable);
	result = catalog_replace(store->catalog, &change);
	if (result == 0 || result == -EEXIST)
		*ret_turn = views_turn(store->views);
	memtable_unlock(store->memtable);
	return result == -EEXIST ? 0 : result;
}

/* Certain not to have happened. */
static bool refused(int result)
{
	return result == -ENOENT || result == -ESTALE || result == -ENOMEM;
}

static void committed(struct store *store, const struct rewrite_pending *plan, uint64_t turn)
{
	killpoint("merge.committed");
	parents_owe(store, plan, turn);
	(void)sealer_debts_pay(store); /* what fails, or a search still reads, is paid by a later round */
}

int rewrite_commit(struct rewrite *rewrite)
{
	struct store *store = rewrite->store;
	struct rewrite_pending *plan = rewrite->plan;
	uint64_t turn;
	int result = replace(store, plan, &turn);

	if (result == 0) {
		committed(store, plan, turn);
		return 0;
	}
	if (refused(result)) {
		if (plan->has_child)
			rewrite_child_remove(store, plan);
	} else {
		store->pending_rewrite = plan;
		rewrite->plan = NULL; /* consumed */
	}
	return err_set(rewrite->err, result, "catalog: %s", strerror(-result));
}

int rewrite_commit_pending(struct store *store, struct err *err)
{
	struct rewrite_pending *plan = store->pending_rewrite;
	uint64_t turn;
	int result;

	if (plan == NULL)
		return 0;
	result = replace(store, plan, &turn);
	if (result == -ENOENT && !plan->has_child) {
		turn = views_turn(store->views); /* nobody else takes segments out: it had happened */
		result = 0;
	}
	if (result < 0 && !refused(result))
		return err_set(err, result, "catalog: %s", strerror(-result));
	if (result == 0)
		committed(store, plan, turn);
	else if (plan->has_child)
		rewrite_child_remove(store, plan); /* its day was purged meanwhile */
	store->pending_rewrite = NULL;
	free(plan);
	return 0;
}

void rewrite_fini(struct store *store)
{
	free(store->pending_rewrite);
	store->pending_rewrite = NULL;
}
