#include "storage/late_join.h"

#include <errno.h>
#include <stdlib.h>

#include "appliance/base/array.h"
#include "appliance/base/bytes.h"
#include "storage/late_hits.h"
#include "storage/row.h"

struct late_join {
	bool (*wanted)(const void *context, const struct read *read);
	const void *context;
	struct hit_found *found; /* in store order of the reads, then by number */
	size_t count;
	size_t room;
	size_t at;
};

static int take(void *context, const struct hit_found *found)
{
	struct late_join *join = context;
	struct hit_found *grown;

	if (!join->wanted(join->context, &found->read))
		return 0;
	grown = array_grow(join->found, join->count, &join->room, sizeof(*grown));
	if (grown == NULL)
		return -ENOMEM;
	join->found = grown;
	join->found[join->count++] = *found;
	return 0;
}

static int compare(const void *a, const void *b)
{
	const struct hit_found *x = a;
	const struct hit_found *y = b;
	int order = row_compare(&x->read, &y->read);

	return order != 0 ? order : x->hit.number < y->hit.number ? -1 : x->hit.number > y->hit.number;
}

int late_join_new(struct late_hits *late, int32_t day, bool (*wanted)(const void *context, const struct read *read),
		  const void *context, struct err *err, struct late_join **ret_join, size_t *ret_unreadable)
{
	struct late_join *join = calloc(1, sizeof(*join));
	int64_t from_us = (int64_t)day * DAY_US;
	size_t unreadable;
	int result;

	if (join == NULL)
		return err_set(err, -ENOMEM, "out of memory");
	join->wanted = wanted;
	join->context = context;
	if (!late_hits_loaded(late))
		result = err_set(err, -ENOKEY, "the late hits are not loaded: a restart tries again");
	else
		result = late_hits_each(late, from_us, from_us + DAY_US, true, take, join, err, &unreadable);
	if (result < 0) {
		(void)late_join_free(join);
		return result == -ENOMEM ? err_set(err, result, "out of memory") : result;
	}
	if (join->count > 0)
		qsort(join->found, join->count, sizeof(*join->found), compare);
	*ret_join = join;
	*ret_unreadable = unreadable;
	return 0;
}

struct late_join *late_join_free(struct late_join *join)
{
	if (join != NULL && join->found != NULL)
		bytes_wipe(join->found, join->count * sizeof(*join->found));
	if (join != NULL)
		free(join->found);
	free(join);
	return NULL;
}

const struct hit *late_join_next(struct late_join *join, const struct read *row)
{
	for (; join->at < join->count; join->at++) {
		const struct read *read = &join->found[join->at].read;

		if (row_same_key(read, row) && row_equal(read, row))
			return &join->found[join->at++].hit;
		if (row_compare(read, row) > 0)
			break;
	}
	return NULL;
}
