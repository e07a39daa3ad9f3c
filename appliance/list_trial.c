#include "appliance/list_trial.h"

#include <errno.h>
#include <pthread.h>

#include "appliance/base/read.h"
#include "appliance/gantry.h"
#include "appliance/gate.h"
#include "appliance/hit_rules.h"
#include "appliance/tables.h"

int list_trial_init(struct list_trial *trial, struct gantry *gantry, const struct list_info *info)
{
	struct hit_rules_options options = {.places = &trial->places, .zone = &gantry->gate->zone};
	int result;

	pthread_mutex_lock(&gantry->tables_lock);
	result = places_copy(&gantry->tables->places, &trial->places);
	pthread_mutex_unlock(&gantry->tables_lock);
	if (result == 0)
		result = hit_rules_of_head(info, &options, &trial->rules);
	if (result == 0)
		trial->rule = &trial->rules->rules[trial->rules->count - 1]; /* behind that of clones */
	return result;
}

void list_trial_fini(struct list_trial *trial)
{
	trial->rules = hit_rules_free(trial->rules);
	places_fini(&trial->places);
}

bool list_trial_conditional(const struct list_trial *trial)
{
	return trial->rule->conditional;
}

bool list_trial_admits(const struct list_trial *trial, const struct read *read)
{
	return (read->flags & READ_FLAG_TEST) == 0 && hit_rule_admits(trial->rules, trial->rule, &trial->places,
								      places_find(&trial->places, read->camera), read);
}
