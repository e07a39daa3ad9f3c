/* The lists of the register, parsed, and the match set made of them. */
#include "appliance/gantry_inside.h"

#include <errno.h>
#include <stdlib.h>

#include "appliance/base/bytes.h"
#include "appliance/fold.h"
#include "appliance/tables.h"
#include "matcher/list.h"
#include "storage/register.h"
#include "storage/store.h"

struct list_loading {
	struct gantry *gantry;
	struct reg *reg;
	struct list **lists;
	size_t count;
	struct err *err;
};

static struct list *loaded_list(struct gantry *gantry, const struct reg_list *record)
{
	for (size_t i = 0; i < gantry->list_count; i++) {
		const struct list_info *info = list_info(gantry->lists[i]);

		if (info->id == record->list && info->version == record->now.version)
			return gantry->lists[i];
	}
	return NULL;
}

static int load_list(void *context, const struct reg_record *record)
{
	struct list_loading *loading = context;
	struct reg_list row;
	struct list *list;
	void *bytes;
	size_t size;
	int result = reg_list_decode(record->value, record->value_size, &row);

	if (result < 0 || row.removed)
		return result;
	if (loading->count == LISTS_MAX)
		return err_set(loading->err, -E2BIG, "more than %d lists", LISTS_MAX);
	list = loaded_list(loading->gantry, &row);
	if (list == NULL) {
		if ((result = reg_blob_get(loading->reg, row.now.blob, loading->err, &bytes, &size)) < 0)
			return result;
		result = list_parse(bytes, size, loading->err, &list);
		bytes_wipe(bytes, size);
		free(bytes);
		if (result < 0)
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

/* Frees of `lists` those that are not among `keep`. */
static void free_lists(struct gantry *gantry, struct list **lists, size_t count, struct list *const *keep,
		       size_t keep_count)
{
	for (size_t i = 0; i < count; i++)
		if (!among(keep, keep_count, lists[i]))
			fold_drop(gantry->fold, lists[i]);
	free(lists);
}

int gantry_load_lists(struct gantry *gantry, struct err *err)
{
	struct list_loading loading = {.gantry = gantry, .reg = store_register(gantry->store, NULL), .err = err};
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
		result = fold_matching(gantry->fold, loading.lists, loading.count, err, &matching);
	if (result != 0) {
		free_lists(gantry, loading.lists, loading.count, old, old_count);
		return result;
	}
	pthread_mutex_lock(&gantry->lists_lock);
	gantry->lists = loading.lists;
	gantry->list_count = loading.count;
	gantry->lists_generation++;
	pthread_mutex_unlock(&gantry->lists_lock);
	free_lists(gantry, old, old_count, gantry->lists, gantry->list_count);
	(void)matching_release(gantry->matching);
	gantry->matching = matching;
	gantry_alarm_over(gantry, ALARM_LISTS);
	return 0;
}

void gantry_lists_free(struct gantry *gantry)
{
	free_lists(gantry, gantry->lists, gantry->list_count, NULL, 0);
}
