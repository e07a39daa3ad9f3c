#include "appliance/list_ahead.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "appliance/base/bytes.h"
#include "appliance/fold.h"
#include "appliance/gantry.h"
#include "appliance/tables.h"
#include "matcher/list.h"

static void *blob_make(void *context)
{
	struct list_ahead *ahead = context;
	void *bytes;
	size_t size;

	ahead->blob_result = list_image(ahead->list, &bytes, &size);
	if (ahead->blob_result < 0)
		return NULL;
	ahead->blob_result = reg_blob_put(ahead->reg, bytes, size, ahead->blob);
	ahead->blob_size = size;
	bytes_wipe(bytes, size);
	free(bytes);
	return NULL;
}

static void *set_make(void *context)
{
	struct list_ahead *ahead = context;
	struct matching *matching;

	if (fold_matching_ahead(ahead->gantry->fold, ahead->lists, ahead->list_count, &matching) == 0)
		ahead->matching = matching;
	return NULL;
}

/* The lists as they will be: in the order of their ids, as the register has them. Left empty without memory. */
static void foresee(struct list_ahead *ahead)
{
	const struct gantry *gantry = ahead->gantry;
	uint32_t id = list_info(ahead->list)->id;
	size_t at = 0;

	ahead->lists = calloc(gantry->list_count + 1, sizeof(struct list *));
	if (ahead->lists == NULL)
		return;
	while (at < gantry->list_count && list_info(gantry->lists[at])->id < id) {
		ahead->lists[at] = gantry->lists[at];
		at++;
	}
	ahead->list_count = at;
	ahead->lists[ahead->list_count++] = ahead->list;
	if (at < gantry->list_count && list_info(gantry->lists[at])->id == id)
		at++;
	for (; at < gantry->list_count; at++)
		ahead->lists[ahead->list_count++] = gantry->lists[at];
}

void list_ahead_begin(struct list_ahead *ahead, struct gantry *gantry, struct reg *reg, struct list *list)
{
	*ahead = (struct list_ahead){.gantry = gantry, .reg = reg, .list = list, .blob_result = -EAGAIN};
	foresee(ahead);
	ahead->blob_waited = pthread_create(&ahead->blob_thread, NULL, blob_make, ahead) != 0;
	ahead->set_waited = ahead->lists == NULL || pthread_create(&ahead->set_thread, NULL, set_make, ahead) != 0;
}

static void wait_for(bool *waited, pthread_t thread)
{
	if (!*waited)
		(void)pthread_join(thread, NULL);
	*waited = true;
}

int list_ahead_blob(struct list_ahead *ahead, uint8_t ret_name[REG_BLOB_NAME_SIZE], uint64_t *ret_size)
{
	wait_for(&ahead->blob_waited, ahead->blob_thread);
	if (ahead->blob_result == -EAGAIN)
		(void)blob_make(ahead);
	if (ahead->blob_result < 0)
		return ahead->blob_result;
	memcpy(ret_name, ahead->blob, sizeof(ahead->blob));
	*ret_size = ahead->blob_size;
	return 0;
}

struct matching *list_ahead_matching(struct list_ahead *ahead, struct list *const *lists, size_t count)
{
	struct matching *matching;

	wait_for(&ahead->set_waited, ahead->set_thread);
	if (count != ahead->list_count || memcmp(lists, ahead->lists, count * sizeof(struct list *)) != 0)
		return NULL;
	matching = ahead->matching;
	ahead->matching = NULL;
	return matching;
}

void list_ahead_end(struct list_ahead *ahead)
{
	if (ahead->list == NULL)
		return;
	wait_for(&ahead->blob_waited, ahead->blob_thread);
	wait_for(&ahead->set_waited, ahead->set_thread);
	if (!ahead->blob_named && ahead->blob_result == 0)
		(void)reg_blob_drop(ahead->reg, ahead->blob);
	(void)matching_release(ahead->matching);
	if (!ahead->taken)
		(void)list_free(ahead->list);
	free(ahead->lists);
	memset(ahead, 0, sizeof(*ahead));
}
