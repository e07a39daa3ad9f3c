/*
 * R25: a list that its supplier has not revised for 28 days is deleted; from day 21 on its owner is warned. By the wall
 * clock, and never while the clock is under suspicion. R21: each class of lists has a cadence of its own; one that is
 * not revised as often is told of. Control threads.
 */
#ifndef GANTRY_APPLIANCE_LISTS_AGE_H
#define GANTRY_APPLIANCE_LISTS_AGE_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "appliance/base/err.h"
#include "matcher/list.h"

struct gantry;
struct reg;
struct reg_list;

#define LISTS_WARN_DAYS 21
#define LISTS_KEEP_DAYS 28

enum lists_age { LISTS_FRESH, LISTS_WARNED, LISTS_DUE };
enum lists_age lists_age(int64_t revised_us, int64_t now_us);

/*
 * By a clock that is trusted now: a list that a wrong clock has revised in the future, or so long ago that it would
 * soon be deleted, counts as revised now; one that says something likely keeps it. The previous version alike. True:
 * the record is another.
 */
bool lists_age_settle(struct reg_list *list, int64_t now_us);

/* Minutes in which lists of a class are expected to be revised, by enum list_class; 0: whenever it may be. */
bool lists_late(const struct reg_list *list, const int64_t cadence[LIST_CLASS_COUNT], int64_t now_us);

/* Called for a list that is due or to be settled. 0, or -errno with err. */
typedef int lists_expire_fn(void *context, uint32_t list, struct err *err);

/*
 * One round: every list that is due at now_us, one that was removed and can come back too, or to be settled, goes
 * through `expire`, unless the clock is under suspicion: then none. A failure holds up no other list. Returns how many
 * went, or the first failure with err.
 */
int lists_age_round(struct reg *reg, int64_t now_us, bool clock_trusted, lists_expire_fn *expire, void *context,
		    struct err *err);

/* Appends a text for each list that is late, warned of, or due and still there. */
void lists_age_alarms(struct reg *reg, const int64_t cadence[LIST_CLASS_COUNT], int64_t now_us, json_t *array);

/* The lists_expire_fn of the appliance: context is the gantry. Settles the list, or deletes it, audited; takes
 * change_lock. */
int lists_expire(void *gantry, uint32_t list, struct err *err);

#endif
