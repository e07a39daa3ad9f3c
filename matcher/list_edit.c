#include "matcher/list_edit.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "appliance/base/err.h"
#include "appliance/base/glob.h"
#include "matcher/list_rows.h"
#include "matcher/vrm.h"

struct edit {
	struct list *list;
	list_change_fn *tell;
	void *context;
};

static int tell_of(const struct edit *edit, enum list_change change, const struct list *list, uint32_t index)
{
	struct list_entry entry;

	if (edit->tell == NULL)
		return 0;
	list_entry(list, index, &entry);
	return edit->tell(edit->context, change, &entry);
}

static int edit_begin(const struct list *old, const struct list_info *info, struct err *err, struct edit *edit)
{
	int status = list_copy(old, info, false, err, &edit->list);

	if (status == 0 && list_index(edit->list) < 0) {
		edit->list = list_free(edit->list);
		status = err_set(err, -ENOMEM, "no memory for a list of %u entries", list_count(old));
	}
	return status;
}

/* Frees the edit's list on failure. */
static int edit_end(struct edit *edit, int status, struct err *err, struct list **ret_list)
{
	struct list *list = edit->list;
	struct list *compact;

	if (status == 0 && list->removed > list_living(list)) {
		struct list_info info = list->info;

		info.generation++;
		status = list_copy(list, &info, true, err, &compact);
		if (status == 0) {
			list_free(list);
			list = compact;
		}
	}
	if (status == 0 && list_seal(list) < 0)
		status = err_set(err, -ENOMEM, "no memory for a list of %u entries", list_count(list));
	if (status < 0) {
		list_free(list);
		return status;
	}
	*ret_list = list;
	return 0;
}

/* The living entry, not `index` itself, that stands for the same reads; UINT32_MAX: none. */
static uint32_t same_find(const struct list *list, uint32_t index)
{
	const struct list_seen *at = NULL;
	const char *pattern = list->pool + list->slots[index].offset;
	uint32_t other;

	do
		other = list_find(list, pattern, &at);
	while (other != UINT32_MAX && (other == index || !list_entry_is_same(list, other, list, index)));
	return other;
}

static int row_add(void *context, const struct list_row *row, const char **ret_reason)
{
	struct edit *edit = context;
	struct list *list = edit->list;
	struct list_row of_now = *row;
	size_t pool_size = list->pool_size;
	uint32_t index, other;
	int status;

	of_now.since = list->info.version;
	status = list_row_add(list, &of_now, ret_reason);
	if (status != 0)
		return status;
	index = list->count - 1;
	other = same_find(list, index);
	if (other != UINT32_MAX && list_entry_is_equal(list, other, list, index)) {
		list->count--;
		list->pool_size = pool_size;
		*ret_reason = "is on the list already";
		return LIST_ROW_DUPLICATE;
	}
	if (other != UINT32_MAX) {
		list_slot_remove(list, other);
		status = tell_of(edit, LIST_REMOVED, list, other);
	}
	if (status == 0)
		status = list_seen_add(list, index);
	return status == 0 ? tell_of(edit, LIST_ADDED, list, index) : status;
}

int list_add(const struct list *old, const struct list_info *info, const char *text, size_t size,
	     const struct list_options *options, list_change_fn *tell, void *context, struct list_result *ret_result,
	     struct err *err, struct list **ret_list)
{
	struct edit edit = {.tell = tell, .context = context};
	int status = edit_begin(old, info, err, &edit);

	if (status < 0)
		return status;
	status = list_rows_read(text, size, options, row_add, NULL, &edit, ret_result, err);
	return edit_end(&edit, status, err, ret_list);
}

static int row_drop(void *context, const struct list_row *row, const char **ret_reason)
{
	struct edit *edit = context;
	char pattern[GLOB_PATTERN_SIZE_MAX + 1] = {0};
	const struct list_seen *at = NULL;
	struct glob glob;
	bool found = false;
	uint32_t index;
	int status = 0;

	if (row->vrm.size > LIST_PATTERN_SIZE || vrm_pattern_key(row->vrm.bytes, row->vrm.size, NULL, &glob) < 0) {
		*ret_reason = "a VRM needs a letter or digit, and at most 16 of them";
		return LIST_ROW_BAD;
	}
	memcpy(pattern, glob.pattern, glob.pattern_size);
	while (status == 0 && (index = list_find(edit->list, pattern, &at)) != UINT32_MAX) {
		found = true;
		list_slot_remove(edit->list, index);
		status = tell_of(edit, LIST_REMOVED, edit->list, index);
	}
	if (!found)
		*ret_reason = "no entry of the list has this VRM";
	return status < 0 ? status : found ? 0 : LIST_ROW_BAD;
}

int list_drop(const struct list *old, const struct list_info *info, const char *text, size_t size,
	      const struct list_options *options, list_change_fn *tell, void *context, struct list_result *ret_result,
	      struct err *err, struct list **ret_list)
{
	struct edit edit = {.tell = tell, .context = context};
	int status = edit_begin(old, info, err, &edit);

	if (status < 0)
		return status;
	status = list_rows_read(text, size, options, row_drop, NULL, &edit, ret_result, err);
	return edit_end(&edit, status, err, ret_list);
}

int list_restate(const struct list *old, const struct list_info *info, struct err *err, struct list **ret_list)
{
	struct edit edit = {0};
	int status = list_copy(old, info, info->generation != old->info.generation, err, &edit.list);

	return status < 0 ? status : edit_end(&edit, 0, err, ret_list);
}
