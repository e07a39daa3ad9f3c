#include "appliance/lists_age.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define LOG_MODULE "lists"
#include "appliance/base/array.h"
#include "appliance/base/log.h"
#include "appliance/base/read.h"
#include "storage/register.h"

#define MINUTE_US INT64_C(60000000)
#define STEP_US (60 * MINUTE_US) /* back, which a clock may take and be trusted */

enum lists_age lists_age(int64_t revised_us, int64_t now_us)
{
	if (now_us - revised_us >= LISTS_KEEP_DAYS * DAY_US)
		return LISTS_DUE;
	return now_us - revised_us >= LISTS_WARN_DAYS * DAY_US ? LISTS_WARNED : LISTS_FRESH;
}

static bool settle(struct reg_list_version *version, int64_t now_us)
{
	bool future = version->revised_us > now_us + (version->revised_unsure ? 0 : STEP_US);
	bool old = version->revised_unsure && lists_age(version->revised_us, now_us) != LISTS_FRESH;
	bool changes = future || version->revised_unsure;

	if (future || old)
		version->revised_us = now_us;
	version->revised_unsure = false;
	return changes;
}

bool lists_age_settle(struct reg_list *list, int64_t now_us)
{
	bool changes = settle(&list->now, now_us);

	return (list->has_previous && settle(&list->previous, now_us)) || changes;
}

bool lists_late(const struct reg_list *list, const int64_t cadence[LIST_CLASS_COUNT], int64_t now_us)
{
	int64_t minutes = list->list_class < LIST_CLASS_COUNT ? cadence[list->list_class] : 0;

	return minutes > 0 && now_us - list->now.revised_us > minutes * MINUTE_US;
}

struct gathering {
	int64_t now_us;
	uint32_t *lists;
	size_t count;
	size_t room;
};

/* The register may not be changed while it is walked. */
static int gather(void *context, const struct reg_record *record)
{
	struct gathering *gathering = context;
	struct reg_list list;
	void *grown;

	if (reg_list_decode(record->value, record->value_size, &list) < 0 || (list.removed && !list.has_previous) ||
	    (!lists_age_settle(&list, gathering->now_us) &&
	     lists_age(list.now.revised_us, gathering->now_us) != LISTS_DUE))
		return 0;
	grown = array_grow(gathering->lists, gathering->count, &gathering->room, sizeof(*gathering->lists));
	if (grown == NULL)
		return -ENOMEM;
	gathering->lists = grown;
	gathering->lists[gathering->count++] = list.list;
	return 0;
}

int lists_age_round(struct reg *reg, int64_t now_us, bool clock_trusted, lists_expire_fn *expire, void *context,
		    struct err *err)
{
	struct gathering gathering = {.now_us = now_us};
	struct err local = {""};
	int first = 0, expired = 0;

	if (!clock_trusted)
		return 0;
	first = reg_each(reg, REG_LIST, 0, UINT32_MAX, gather, &gathering);
	if (first < 0)
		(void)err_set(err, first, "the register cannot be read: %s", strerror(-first));
	for (size_t i = 0; i < gathering.count; i++) {
		int result = expire(context, gathering.lists[i], &local);

		expired += result == 0;
		if (result < 0 && first == 0) {
			first = result;
			(void)err_set(err, result, "list %u is over %d days old and cannot be deleted: %s",
				      gathering.lists[i], LISTS_KEEP_DAYS, local.text);
		}
	}
	free(gathering.lists);
	return first < 0 ? first : expired;
}

struct telling {
	const int64_t *cadence;
	int64_t now_us;
	json_t *array;
};

static int tell(void *context, const struct reg_record *record)
{
	struct telling *telling = context;
	struct reg_list list;
	enum lists_age age;
	int64_t days;

	if (reg_list_decode(record->value, record->value_size, &list) < 0 || list.removed)
		return 0;
	(void)lists_age_settle(&list, telling->now_us);
	age = lists_age(list.now.revised_us, telling->now_us);
	days = (list.now.revised_us + LISTS_KEEP_DAYS * DAY_US - telling->now_us + DAY_US - 1) / DAY_US;
	if (age == LISTS_FRESH && lists_late(&list, telling->cadence, telling->now_us))
		(void)json_array_append_new(
			telling->array,
			json_sprintf("list \"%s\" was last revised %lld minutes ago; of its class, %s, one is expected "
				     "every %lld (R21): ask its supplier, or load it again when nothing has changed",
				     list.name, (long long)((telling->now_us - list.now.revised_us) / MINUTE_US),
				     list_class_name((enum list_class)list.list_class),
				     (long long)telling->cadence[list.list_class]));
	if (age == LISTS_WARNED)
		(void)json_array_append_new(
			telling->array, json_sprintf("list \"%s\" was not revised for %d days or more: it is deleted "
						     "in %lld day(s) unless it is loaded again (R25)",
						     list.name, LISTS_WARN_DAYS, (long long)days));
	if (age == LISTS_DUE)
		(void)json_array_append_new(
			telling->array, json_sprintf("list \"%s\" was not revised for %d days: it is deleted as soon "
						     "as the clock is trusted (R25)",
						     list.name, LISTS_KEEP_DAYS));
	return 0;
}

void lists_age_alarms(struct reg *reg, const int64_t cadence[LIST_CLASS_COUNT], int64_t now_us, json_t *array)
{
	struct telling telling = {cadence, now_us, array};

	(void)reg_each(reg, REG_LIST, 0, UINT32_MAX, tell, &telling);
}
