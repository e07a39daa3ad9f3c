#include "appliance/hit_judge.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "appliance/base/read.h"
#include "appliance/gantry.h"
#include "matcher/list.h"
#include "storage/register_subscription.h"

bool hit_judge_may(const struct list_info *info, const char *organisation)
{
	if (organisation[0] == '\0')
		return false;
	if (strcmp(info->owner, organisation) == 0)
		return true;
	for (unsigned i = 0; i < info->subscriber_count; i++)
		if (strcmp(info->subscribers[i], organisation) == 0)
			return true;
	return false;
}

bool hit_judge_names(const struct reg_subscription *subscription, uint32_t list)
{
	bool named = subscription->list_count == 0;

	for (unsigned i = 0; i < subscription->list_count && !named; i++)
		named = subscription->lists[i] == list;
	return named;
}

bool hit_judge_wants(const struct list_info *info, const struct reg_subscription *subscription)
{
	return hit_judge_names(subscription, info->id) && hit_judge_may(info, subscription->organisation);
}

/* Of such a list only the owner is known. */
static bool wants_missing(const struct missing_list *missing, const struct reg_subscription *subscription)
{
	return subscription->organisation[0] != '\0' && strcmp(missing->owner, subscription->organisation) == 0 &&
	       hit_judge_names(subscription, missing->list);
}

static int compare(const void *a, const void *b)
{
	uint32_t left = *(const uint32_t *)a;
	uint32_t right = *(const uint32_t *)b;

	return left < right ? -1 : left > right;
}

/* lists_lock held. */
static int look(struct hit_judge *judge, const struct gantry *gantry, const struct reg_subscription *subscription)
{
	size_t most = gantry->list_count + gantry->missing_count + 1;
	uint32_t *lists = realloc(judge->lists, most * sizeof(*lists));

	judge->count = 0;
	if (lists == NULL)
		return -ENOMEM;
	judge->lists = lists;
	for (size_t i = 0; i < gantry->list_count; i++)
		if (hit_judge_wants(list_info(gantry->lists[i]), subscription))
			judge->lists[judge->count++] = list_info(gantry->lists[i])->id;
	for (size_t i = 0; i < gantry->missing_count; i++)
		if (wants_missing(&gantry->missing[i], subscription))
			judge->lists[judge->count++] = gantry->missing[i].list;
	qsort(judge->lists, judge->count, sizeof(*judge->lists), compare);
	judge->generation = gantry->lists_generation;
	judge->clones = subscription->clones;
	return 0;
}

int hit_judge_renew(struct hit_judge *judge, struct gantry *gantry, const struct reg_subscription *subscription)
{
	int result = 0;

	pthread_mutex_lock(&gantry->lists_lock);
	if (gantry->lists_generation == 0)
		result = -EAGAIN;
	else if (judge->lists == NULL || judge->generation != gantry->lists_generation)
		result = look(judge, gantry, subscription);
	pthread_mutex_unlock(&gantry->lists_lock);
	return result;
}

void hit_judge_fini(struct hit_judge *judge)
{
	free(judge->lists);
	memset(judge, 0, sizeof(*judge));
}

bool hit_judge_allows(const struct hit_judge *judge, const struct hit *hit)
{
	if (hit->list == 0)
		return judge->clones;
	return judge->count > 0 &&
	       bsearch(&hit->list, judge->lists, judge->count, sizeof(*judge->lists), compare) != NULL;
}
