/* The lists of the register, parsed, and the match set made of them. */
#include "appliance/gantry_inside.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "appliance/base/array.h"
#include "appliance/base/bytes.h"
#include "appliance/fold.h"
#include "appliance/list_ahead.h"
#include "appliance/tables.h"
#include "matcher/list.h"
#include "storage/register.h"
#include "storage/store.h"

struct list_loading {
	struct gantry *gantry;
	struct reg *reg;
	struct list_ahead *ahead;
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

/* As it is in memory: loaded, or about to be. */
static struct list *list_at_hand(const struct list_loading *loading, const struct reg_list *record)
{
	const struct gantry *gantry = loading->gantry;

	for (size_t i = 0; i < gantry->list_count; i++)
		if (is_version(gantry->lists[i], record))
			return gantry->lists[i];
	return loading->ahead != NULL && is_version(loading->ahead->list, record) ? loading->ahead->list : NULL;
}

static int list_read(const struct list_loading *loading, const struct reg_list *row, struct err *err,
		     struct list **ret_list)
{
	void *bytes;
	size_t size;
	int result = reg_blob_get(loading->reg, row->now.blob, err, &bytes, &size);

	if (result < 0)
		return err->text[0] != '\0' ? result : err_set(err, result, "its entries: %s", strerror(-result));
	result = list_parse(bytes, size, err, ret_list);
	bytes_wipe(bytes, size);
	free(bytes);
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

	if (result < 0 || row.removed)
		return result;
	if (loading->count == LISTS_MAX)
		return err_set(loading->err, -E2BIG, "more than %d lists", LISTS_MAX);
	list = list_at_hand(loading, &row);
	if (list == NULL && (result = list_read(loading, &row, &why, &list)) < 0) {
		if (result != -ENOMEM)
			return missing_add(loading, &row, &why);
		*loading->err = why;
		return err_prefix(loading->err, result, "list %u", row.list);
	}
	loading->lists[loading->count++] = list;
	return 0;
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

/* The set made ahead when it is of just these lists, or a new one. */
static int matching_of(const struct list_loading *loading, struct matching **ret_matching)
{
	struct matching *matching = NULL;

	if (loading->ahead != NULL)
		matching = list_ahead_matching(loading->ahead, loading->lists, loading->count);
	if (matching == NULL)
		return fold_matching(loading->gantry->fold, loading->lists, loading->count, loading->err, ret_matching);
	*ret_matching = matching;
	return 0;
}

/* The alarm of lists: not those that are missing, or over. */
static void tell_missing(const struct list_loading *loading)
{
	char text[400];

	if (loading->missing_count == 0) {
		gantry_alarm_over(loading->gantry, ALARM_LISTS);
		return;
	}
	(void)snprintf(
		text, sizeof(text),
		"list \"%s\"%s cannot be read and matches nothing: load it again, with --retro; its hits go to its "
		"owner only (%s)",
		loading->missing[0].name, loading->missing_count > 1 ? " and others" : "", loading->why.text);
	gantry_alarm_stand(loading->gantry, ALARM_LISTS, text);
}

bool gantry_lists_loaded(struct gantry *gantry)
{
	bool loaded;

	pthread_mutex_lock(&gantry->lists_lock);
	loaded = gantry->lists_generation > 0;
	pthread_mutex_unlock(&gantry->lists_lock);
	return loaded;
}

int gantry_load_lists(struct gantry *gantry, struct list_ahead *ahead, struct err *err)
{
	struct list_loading loading = {
		.gantry = gantry, .reg = store_register(gantry->store, NULL), .ahead = ahead, .err = err};
	struct matching *matching;
	struct list **old = gantry->lists;
	size_t old_count = gantry->list_count;
	int result;

	if (loading.reg == NULL)
		return err_set(err, -ENOKEY, "the register is incomplete: lists cannot be loaded");
	loading.lists = calloc(LISTS_MAX, sizeof(struct list *));
	if (loading.lists == NULL)
		return err_set(err, -ENOMEM, "out of memory");
	result = reg_each(loading.reg, REG_LIST, 0, UINT32_MAX, load_list, &loading);
	if (result == 0)
		result = matching_of(&loading, &matching);
	if (result != 0) {
		free_lists(gantry, loading.lists, loading.count, old, old_count, ahead != NULL ? ahead->list : NULL);
		free(loading.missing);
		return result;
	}
	pthread_mutex_lock(&gantry->lists_lock);
	gantry->lists = loading.lists;
	gantry->list_count = loading.count;
	free(gantry->missing);
	gantry->missing = loading.missing;
	gantry->missing_count = loading.missing_count;
	gantry->lists_generation++;
	pthread_mutex_unlock(&gantry->lists_lock);
	if (ahead != NULL)
		ahead->taken = among(gantry->lists, gantry->list_count, ahead->list);
	free_lists(gantry, old, old_count, gantry->lists, gantry->list_count, NULL);
	(void)matching_release(gantry->matching);
	gantry->matching = matching;
	fold_note(gantry->fold, matching);
	tell_missing(&loading);
	return 0;
}

void gantry_lists_free(struct gantry *gantry)
{
	free_lists(gantry, gantry->lists, gantry->list_count, NULL, 0, NULL);
	free(gantry->missing);
}
