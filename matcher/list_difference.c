/* What two versions of a list differ in: a walk over both in the order of what they say. */
#include "matcher/list_edit.h"

#include <errno.h>
#include <stdlib.h>

#include "matcher/list_build.h"

#define OF_FRESH (UINT32_C(1) << 31) /* in a place: an entry of the new list, which came; others went */
_Static_assert(LIST_ROWS_MAX < OF_FRESH, "an index leaves the mark's bit free");

struct list_changes {
	const struct list *old;
	const struct list *fresh;
	uint32_t counts[2];
	uint32_t count;
	uint32_t places[];
};

struct walk {
	const struct list *old;
	struct list *fresh;
	uint32_t *old_order;
	uint32_t *fresh_order;
	uint32_t old_count;
	struct list_changes *changes;
};

static void removed(struct walk *walk, uint32_t old)
{
	walk->changes->places[walk->changes->count++] = old;
	walk->changes->counts[LIST_REMOVED]++;
}

/* Perhaps taken from a version before: it came with this one all the same. */
static void added(struct walk *walk, uint32_t fresh)
{
	walk->fresh->slots[fresh].since = walk->fresh->info.version;
	walk->changes->places[walk->changes->count++] = fresh | OF_FRESH;
	walk->changes->counts[LIST_ADDED]++;
}

/* An entry of both: it stayed, or says something else now. */
static void met(struct walk *walk, uint32_t old, uint32_t fresh)
{
	if (list_entry_is_equal(walk->old, old, walk->fresh, fresh)) {
		walk->fresh->slots[fresh].since = walk->old->slots[old].since;
		return;
	}
	removed(walk, old);
	added(walk, fresh);
}

static void walk_both(struct walk *walk)
{
	uint32_t fresh_count = list_living(walk->fresh);
	uint32_t at_old = 0, at_fresh = 0;

	while (at_old < walk->old_count || at_fresh < fresh_count) {
		int order = at_old == walk->old_count ? 1 : at_fresh == fresh_count ? -1 : 0;

		list_prefetch(walk->old, walk->old_order, walk->old_count, at_old);
		list_prefetch(walk->fresh, walk->fresh_order, fresh_count, at_fresh);
		if (order == 0)
			order = list_entry_compare(walk->old, walk->old_order[at_old], walk->fresh,
						   walk->fresh_order[at_fresh]);
		if (order == 0)
			met(walk, walk->old_order[at_old++], walk->fresh_order[at_fresh++]);
		else if (order < 0)
			removed(walk, walk->old_order[at_old++]);
		else
			added(walk, walk->fresh_order[at_fresh++]);
	}
}

int list_changes_new(const struct list *old, struct list *fresh, struct list_changes **ret_changes)
{
	struct walk walk = {.old = old, .fresh = fresh, .old_count = old != NULL ? list_living(old) : 0};
	size_t most = (size_t)walk.old_count + list_living(fresh);
	int status = old != NULL ? list_sorted(old, &walk.old_order) : 0;

	if (status == 0)
		status = list_sorted(fresh, &walk.fresh_order);
	if (status == 0) {
		walk.changes = malloc(sizeof(*walk.changes) + most * sizeof(walk.changes->places[0]));
		status = walk.changes == NULL ? -ENOMEM : 0;
	}
	if (status == 0) {
		*walk.changes = (struct list_changes){.old = old, .fresh = fresh};
		walk_both(&walk);
		*ret_changes = walk.changes;
	}
	free(walk.old_order);
	free(walk.fresh_order);
	return status;
}

struct list_changes *list_changes_free(struct list_changes *changes)
{
	free(changes);
	return NULL;
}

uint32_t list_changes_count(const struct list_changes *changes)
{
	return changes->count;
}

/* They stand in the order of what they say: in large lists, that in which they lie. */
static void prefetch(const struct list_changes *changes, uint32_t at)
{
	uint32_t place;

	if (at + LIST_AHEAD >= changes->count)
		return;
	place = changes->places[at + LIST_AHEAD];
	if ((place & OF_FRESH) != 0)
		__builtin_prefetch(changes->fresh->pool + changes->fresh->slots[place & ~OF_FRESH].offset);
	else
		__builtin_prefetch(changes->old->pool + changes->old->slots[place].offset);
}

int list_changes_tell(const struct list_changes *changes, list_change_fn *tell, void *context)
{
	int status = 0;

	for (uint32_t i = 0; i < changes->count && status >= 0; i++) {
		uint32_t place = changes->places[i];
		bool came = (place & OF_FRESH) != 0;
		struct list_entry entry;

		prefetch(changes, i);
		list_entry(came ? changes->fresh : changes->old, place & ~OF_FRESH, &entry);
		status = tell(context, came ? LIST_ADDED : LIST_REMOVED, &entry);
	}
	return status < 0 ? status : 0;
}

int list_difference(const struct list *old, struct list *fresh, list_change_fn *tell, void *context,
		    uint32_t ret_counts[2])
{
	struct list_changes *changes;
	int status = list_changes_new(old, fresh, &changes);

	if (status < 0)
		return status;
	if (tell != NULL)
		status = list_changes_tell(changes, tell, context);
	if (status == 0) {
		ret_counts[LIST_ADDED] = changes->counts[LIST_ADDED];
		ret_counts[LIST_REMOVED] = changes->counts[LIST_REMOVED];
	}
	(void)list_changes_free(changes);
	return status;
}
