/* A list from CSV text, whole. */
#include "matcher/list.h"

#include <errno.h>

#include "appliance/base/err.h"
#include "matcher/list_rows.h"

/* So many rows are kept in the order of what they say, fewer in that of their lines. */
#define ARRANGED_MIN 4096

static int row_take(void *context, const struct list_row *row, const char **ret_reason)
{
	struct list *list = context;
	struct list_row of_now = *row;

	of_now.since = list->info.version;
	return list_row_add_once(list, &of_now, ret_reason);
}

static void row_hint(const void *list, const struct slice *vrm)
{
	list_row_hint(list, vrm);
}

int list_load_csv(const struct list_info *info, const char *text, size_t size, const struct list_options *options,
		  struct list_result *ret_result, struct err *err, struct list **ret_list)
{
	struct list *list;
	int status = list_new(info, err, &list);

	if (status < 0)
		return status;
	status = list_rows_read(text, size, options, row_take, row_hint, list, ret_result, err);
	if (status == 0 && list_count(list) >= ARRANGED_MIN)
		status = list_arrange(list);
	if (status == 0)
		status = list_seal(list);
	if (status == -ENOMEM)
		status = err_set(err, -ENOMEM, "no memory for a list of this size");
	if (status < 0) {
		list_free(list);
		return status;
	}
	*ret_list = list;
	return 0;
}
