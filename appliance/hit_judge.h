/*
 * Which lists' hits a subscription may have (R24), by the lists of this moment: those whose owner is its organisation
 * or that name it among their subscribers, and of these only those that it asks for when it names any. A list that is
 * gone lets nobody have its hits any more; of one whose entries and head cannot be read, only the owner has them. Hits
 * of no list (impossible journeys) go to subscriptions that ask for them.
 *
 * One thread each; hit_judge_renew looks at the appliance's lists under lists_lock, when they have changed.
 */
#ifndef GANTRY_APPLIANCE_HIT_JUDGE_H
#define GANTRY_APPLIANCE_HIT_JUDGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct gantry;
struct hit;
struct list_info;
struct reg_subscription;

struct hit_judge {
	uint64_t generation; /* of the lists it stands on */
	uint32_t *lists;     /* ids, ascending */
	size_t count;
	bool clones;
};

/* May that organisation have the hits of such a list? */
bool hit_judge_may(const struct list_info *info, const char *organisation);
/* Does the subscription ask for that list: by its number, or for all? */
bool hit_judge_names(const struct reg_subscription *subscription, uint32_t list);
/* Both. */
bool hit_judge_wants(const struct list_info *info, const struct reg_subscription *subscription);

/*
 * `judge` zeroed before the first. -EAGAIN: no lists were ever loaded in this life of the process, so nobody can say; a
 * hit must wait, not be passed over. -ENOMEM. It allows nothing then.
 */
int hit_judge_renew(struct hit_judge *judge, struct gantry *gantry, const struct reg_subscription *subscription);
void hit_judge_fini(struct hit_judge *judge);

bool hit_judge_allows(const struct hit_judge *judge, const struct hit *hit);

#endif
