#include "appliance/hits_inside.h"

#include <stdio.h>
#include <string.h>

#include "appliance/gantry.h"
#include "appliance/hit_judge.h"
#include "matcher/list.h"

struct naming {
	char names[128];
	size_t size;
	unsigned count;
	unsigned more;
};

/* lists_lock held; it is a leaf, so the subscriptions were taken before. */
static bool has_subscriber(const struct list_info *info, struct subscription *const *subscriptions, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (hit_judge_wants(info, &subscriptions[i]->record))
			return true;
	return false;
}

static void name(struct naming *naming, const char *list)
{
	size_t left = sizeof(naming->names) - naming->size;
	int size = snprintf(naming->names + naming->size, left, "%s%s", naming->count > 0 ? ", " : "", list);

	if (size < 0 || (size_t)size >= left) {
		naming->names[naming->size] = '\0';
		naming->more++;
		return;
	}
	naming->size += (size_t)size;
	naming->count++;
}

static void tell(struct hits *hits, const struct naming *naming)
{
	char more[32] = "";
	char text[192];

	if (naming->count + naming->more == 0) {
		gantry_alarm_over(hits->gantry, ALARM_UNSUBSCRIBED);
		return;
	}
	if (naming->more > 0)
		(void)snprintf(more, sizeof(more), " and %u more", naming->more);
	(void)snprintf(text, sizeof(text), "nobody is told of hits of %s%s: see subscriptions.add", naming->names,
		       more);
	gantry_alarm_stand(hits->gantry, ALARM_UNSUBSCRIBED, text);
}

static void look(struct hits *hits, struct hits_watch *watch, struct subscription *const *subscriptions, size_t count)
{
	struct gantry *gantry = hits->gantry;
	struct naming naming = {.size = 0};

	pthread_mutex_lock(&gantry->lists_lock);
	watch->lists_generation = gantry->lists_generation;
	for (size_t i = 0; i < gantry->list_count; i++)
		if (list_living(gantry->lists[i]) > 0 &&
		    !has_subscriber(list_info(gantry->lists[i]), subscriptions, count))
			name(&naming, list_info(gantry->lists[i])->name);
	pthread_mutex_unlock(&gantry->lists_lock);
	tell(hits, &naming);
}

static bool is_current(struct hits *hits, const struct hits_watch *watch)
{
	uint64_t generation;

	pthread_mutex_lock(&hits->gantry->lists_lock);
	generation = hits->gantry->lists_generation;
	pthread_mutex_unlock(&hits->gantry->lists_lock);
	return watch->looked && watch->lists_generation == generation &&
	       watch->subscriptions_generation == subscriptions_generation(hits->subscriptions);
}

void hits_watch_lists(struct hits *hits, struct hits_watch *watch)
{
	struct subscription *subscriptions[SUBSCRIPTIONS_MAX];
	size_t count = 0;

	if (is_current(hits, watch))
		return;
	watch->looked = true;
	watch->subscriptions_generation = subscriptions_generation(hits->subscriptions);
	while (count < SUBSCRIPTIONS_MAX &&
	       (subscriptions[count] = subscriptions_take_at(hits->subscriptions, count)) != NULL)
		count++;
	look(hits, watch, subscriptions, count);
	for (size_t i = 0; i < count; i++)
		subscriptions_release(hits->subscriptions, subscriptions[i]);
}
