/* What two versions of a list differ in: a walk over both in the order of what they say. */
#include "matcher/list_edit.h"

#include <errno.h>
#include <stdlib.h>

#include "matcher/list_build.h"

struct walk {
	const struct list *old;
	struct list *fresh;
	uint32_t *old_order;
	uint32_t *fresh_order;
	uint32_t old_count;
	list_change_fn *tell;
	void *context;
	uint32_t counts[2];
};

static int changed(struct walk *walk, enum list_change change, const struct list *list, uint32_t index)
{
	struct list_entry entry;

	walk->counts[change]++;
	if (walk->tell == NULL)
		return 0;
	list_entry(list, index, &entry);
	return walk->tell(walk->context, change, &entry);
}

/* An entry of both: it stayed, or says something else now. */
static int met(struct walk *walk, uint32_t old, uint32_t fresh)
{
	int status;

	if (list_entry_is_equal(walk->old, old, walk->fresh, fresh)) {
		walk->fresh->slots[fresh].since = walk->old->slots[old].since;
		return 0;
	}
	status = changed(walk, LIST_REMOVED, walk->old, old);
	return status < 0 ? status : changed(walk, LIST_ADDED, walk->fresh, fresh);
}

static int walk_both(struct walk *walk)
{
	uint32_t fresh_count = list_living(walk->fresh);
	uint32_t at_old = 0, at_fresh = 0;
	int status = 0;

	while (status >= 0 && (at_old < walk->old_count || at_fresh < fresh_count)) {
		int order = at_old == walk->old_count ? 1 : at_fresh == fresh_count ? -1 : 0;

		list_prefetch(walk->old, walk->old_order, walk->old_count, at_old);
		list_prefetch(walk->fresh, walk->fresh_order, fresh_count, at_fresh);
		if (order == 0)
			order = list_entry_compare(walk->old, walk->old_order[at_old], walk->fresh,
						   walk->fresh_order[at_fresh]);
		if (order == 0)
			status = met(walk, walk->old_order[at_old++], walk->fresh_order[at_fresh++]);
		else if (order < 0)
			status = changed(walk, LIST_REMOVED, walk->old, walk->old_order[at_old++]);
		else
			status = changed(walk, LIST_ADDED, walk->fresh, walk->fresh_order[at_fresh++]);
	}
	return status;
}

int list_difference(const struct list *old, struct list *fresh, list_change_fn *tell, void *context,
		    uint32_t ret_counts[2])
{
	struct walk walk = {.old = old, .fresh = fresh, .tell = tell, .context = context};
	int status = old != NULL ? list_sorted(old, &walk.old_order) : 0;

	walk.old_count = old != NULL ? list_living(old) : 0;
	if (status == 0)
		status = list_sorted(fresh, &walk.fresh_order);
	if (status == 0)
		status = walk_both(&walk);
	free(walk.old_order);
	free(walk.fresh_order);
	if (status < 0)
		return status;
	ret_counts[LIST_ADDED] = walk.counts[LIST_ADDED];
	ret_counts[LIST_REMOVED] = walk.counts[LIST_REMOVED];
	return 0;
}
