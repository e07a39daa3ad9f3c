/* The lists of the register, parsed, and the match set made of them. */
#include "appliance/gantry_inside.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "appliance/base/array.h"
#include "appliance/fold.h"
#include "appliance/list_ahead.h"
#include "appliance/lists.h"
#include "appliance/tables.h"
#include "matcher/list.h"
#include "storage/register.h"
#include "storage/store.h"

struct list_loading {
	struct gantry *gantry;
	struct reg *reg;
	const struct reg_list *change; /* stands for what the register says of that list; NULL: nothing does */
	struct list *fresh;            /* of that record, unless it removes it */
	struct list **lists;
	size_t count;
	struct missing_list *missing;
	size_t missing_count;
	size_t missing_room;
	struct err why; /* of the first that is missing */
	struct err *err;
};

static bool is_version(const struct list *list, const struct reg_list *record)
{
	return list_info(list)->id == record->list && list_info(list)->version == record->now.version;
}

static struct list *list_at_hand(const struct gantry *gantry, const struct reg_list *record)
{
	for (size_t i = 0; i < gantry->list_count; i++)
		if (is_version(gantry->lists[i], record))
			return gantry->lists[i];
	return NULL;
}

/* `list` is not freed on failure. */
static int take_list(struct list_loading *loading, struct list *list)
{
	if (loading->count == LISTS_MAX)
		return err_set(loading->err, -E2BIG, "more than %d lists", LISTS_MAX);
	loading->lists[loading->count++] = list;
	return 0;
}

static int list_read(const struct list_loading *loading, const struct reg_list *row, struct err *err,
		     struct list **ret_list)
{
	int result = lists_read(loading->reg, &row->now, err, ret_list);

	if (result < 0 && err->text[0] == '\0')
		return err_set(err, result, "its entries: %s", strerror(-result));
	return result;
}

static int missing_add(struct list_loading *loading, const struct reg_list *row, const struct err *why)
{
	void *grown =
		array_grow(loading->missing, loading->missing_count, &loading->missing_room, sizeof(*loading->missing));

	if (grown == NULL)
		return -ENOMEM;
	loading->missing = grown;
	if (loading->missing_count == 0)
		loading->why = *why;
	loading->missing[loading->missing_count] = (struct missing_list){.list = row->list};
	memcpy(loading->missing[loading->missing_count].name, row->name, sizeof(row->name));
	memcpy(loading->missing[loading->missing_count].owner, row->owner, sizeof(row->owner));
	loading->missing_count++;
	return 0;
}

static int load_list(void *context, const struct reg_record *record)
{
	struct list_loading *loading = context;
	struct reg_list row;
	struct list *list;
	struct err why = {""};
	int result = reg_list_decode(record->value, record->value_size, &row);

	if (result < 0)
		return result;
	if (loading->change != NULL && loading->change->list == row.list) {
		row = *loading->change;
		loading->change = NULL;
	}
	if (row.removed)
		return 0;
	if (loading->fresh != NULL && is_version(loading->fresh, &row))
		return take_list(loading, loading->fresh);
	list = list_at_hand(loading->gantry, &row);
	if (list != NULL)
		return take_list(loading, list);
	result = list_read(loading, &row, &why, &list);
	if (result == -ENOMEM) {
		*loading->err = why;
		return err_prefix(loading->err, result, "list %u", row.list);
	}
	if (result < 0)
		return missing_add(loading, &row, &why);
	result = take_list(loading, list);
	if (result < 0)
		(void)list_free(list);
	return result;
}

static bool among(struct list *const *lists, size_t count, const struct list *list)
{
	for (size_t i = 0; i < count; i++)
		if (lists[i] == list)
			return true;
	return false;
}

/* Frees of `lists` those that are not among `keep`, nor `spare`. */
static void free_lists(struct gantry *gantry, struct list **lists, size_t count, struct list *const *keep,
		       size_t keep_count, const struct list *spare)
{
	for (size_t i = 0; i < count; i++)
		if (lists[i] != spare && !among(keep, keep_count, lists[i]))
			fold_drop(gantry->fold, lists[i]);
	free(lists);
}

/* The register's lists, with the change made. One it does not know has the highest id: it comes last. */
static int load_all(struct list_loading *loading)
{
	int result = reg_each(loading->reg, REG_LIST, 0, UINT32_MAX, load_list, loading);

	if (result == 0 && loading->change != NULL && loading->fresh != NULL)
		result = take_list(loading, loading->fresh);
	return result;
}

/* The set made ahead when it is of just these lists, or a new one. */
static int matching_of(const struct list_loading *loading, struct list_ahead *ahead, struct matching **ret_matching)
{
	struct matching *matching = NULL;

	if (ahead != NULL)
		matching = list_ahead_matching(ahead, loading->lists, loading->count);
	if (matching == NULL)
		return fold_matching(loading->gantry->fold, loading->lists, loading->count, loading->err, ret_matching);
	*ret_matching = matching;
	return 0;
}

/* The alarm of lists: not those that are missing, or over. */
static void tell_missing(struct gantry *gantry, const struct lists_next *next)
{
	char text[400];

	if (next->missing_count == 0) {
		gantry_alarm_over(gantry, ALARM_LISTS);
		return;
	}
	(void)snprintf(text, sizeof(text),
		       "list \"%s\"%s cannot be read and matches nothing: load it again; its hits go to its owner only "
		       "(%s)",
		       next->missing[0].name, next->missing_count > 1 ? " and others" : "", next->why.text);
	gantry_alarm_stand(gantry, ALARM_LISTS, text);
}

bool gantry_lists_complete(const struct gantry *gantry)
{
	return gantry->matching != NULL && gantry->missing_count == 0;
}

bool gantry_lists_loaded(struct gantry *gantry)
{
	bool loaded;

	pthread_mutex_lock(&gantry->lists_lock);
	loaded = gantry->lists_generation > 0;
	pthread_mutex_unlock(&gantry->lists_lock);
	return loaded;
}

int gantry_lists_make(struct gantry *gantry, const struct reg_list *change, struct list_ahead *ahead, struct err *err,
		      struct lists_next *ret_next)
{
	struct list_loading loading = {.gantry = gantry,
				       .reg = store_register(gantry->store, NULL),
				       .change = change,
				       .fresh = ahead != NULL ? ahead->list : NULL,
				       .err = err};
	struct lists_next next = {.fresh = loading.fresh};
	int result;

	if (loading.reg == NULL)
		return err_set(err, -ENOKEY, "the register is incomplete: lists cannot be loaded");
	loading.lists = calloc(LISTS_MAX, sizeof(struct list *));
	if (loading.lists == NULL)
		return err_set(err, -ENOMEM, "out of memory");
	result = load_all(&loading);
	next.lists = loading.lists;
	next.count = loading.count;
	next.missing = loading.missing;
	next.missing_count = loading.missing_count;
	next.why = loading.why;
	if (result == 0)
		result = matching_of(&loading, ahead, &next.matching);
	if (result < 0)
		gantry_lists_drop(gantry, &next);
	else
		*ret_next = next;
	return result;
}

void gantry_lists_drop(struct gantry *gantry, struct lists_next *next)
{
	free_lists(gantry, next->lists, next->count, gantry->lists, gantry->list_count, next->fresh);
	free(next->missing);
	(void)matching_release(next->matching);
	memset(next, 0, sizeof(*next));
}

void gantry_lists_take(struct gantry *gantry, struct lists_next *next, struct list_ahead *ahead)
{
	struct list **old = gantry->lists;
	size_t old_count = gantry->list_count;

	pthread_mutex_lock(&gantry->lists_lock);
	gantry->lists = next->lists;
	gantry->list_count = next->count;
	free(gantry->missing);
	gantry->missing = next->missing;
	gantry->missing_count = next->missing_count;
	gantry->lists_generation++;
	pthread_mutex_unlock(&gantry->lists_lock);
	if (ahead != NULL)
		ahead->taken = among(gantry->lists, gantry->list_count, ahead->list);
	free_lists(gantry, old, old_count, gantry->lists, gantry->list_count, NULL);
	(void)matching_release(gantry->matching);
	gantry->matching = next->matching;
	fold_note(gantry->fold, gantry->matching);
	tell_missing(gantry, next);
	memset(next, 0, sizeof(*next));
}

int gantry_load_lists(struct gantry *gantry, struct err *err)
{
	struct lists_next next;
	int result = gantry_lists_make(gantry, NULL, NULL, err, &next);

	if (result == 0)
		gantry_lists_take(gantry, &next, NULL);
	return result;
}

void gantry_lists_free(struct gantry *gantry)
{
	free_lists(gantry, gantry->lists, gantry->list_count, NULL, 0, NULL);
	free(gantry->missing);
}
