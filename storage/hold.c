/* What is held: the register's records of cases, and their reviews. */
#include "storage/hold.h"

#include <errno.h>
#include <string.h>

#include "appliance/base/bytes.h"
#include "storage/hold_internal.h"
#include "storage/register.h"
#include "storage/store_internal.h"

struct reg_change hold_put(const struct reg_hold *hold, uint8_t buffer[REG_RECORD_SIZE_MAX])
{
	return (struct reg_change){
		.kind = REG_HOLD, .a = hold->number, .value = buffer, .value_size = reg_hold_encode(hold, buffer)};
}

int hold_ready(struct store *store, struct err *err)
{
	if (store->reg == NULL)
		return err_set(err, -ENOKEY, "the register is incomplete, no holds: %s", store->reg_why.text);
	return 0;
}

struct each_call {
	int (*each)(void *context, const struct reg_hold *hold);
	void *context;
};

static int each_record(void *context, const struct reg_record *record)
{
	struct each_call *call = context;
	struct reg_hold hold;
	int result = reg_hold_decode(record->value, record->value_size, &hold);

	return result < 0 ? result : call->each(call->context, &hold);
}

int hold_each(struct store *store, int (*each)(void *context, const struct reg_hold *hold), void *context)
{
	struct each_call call = {each, context};

	return store->reg == NULL ? -ENOKEY : reg_each(store->reg, REG_HOLD, 0, UINT32_MAX, each_record, &call);
}

struct each_selector_call {
	int (*each)(void *context, struct reg_hold_selector *selector);
	void *context;
};

static int each_selector_record(void *context, const struct reg_record *record)
{
	struct each_selector_call *call = context;
	struct reg_hold_selector selector;
	int result = reg_hold_selector_decode(record->value, record->value_size, &selector);

	if (result == 0)
		result = call->each(call->context, &selector);
	bytes_wipe(&selector, sizeof(selector));
	return result;
}

int hold_each_selector(struct store *store, uint32_t number,
		       int (*each)(void *context, struct reg_hold_selector *selector), void *context)
{
	struct each_selector_call call = {each, context};

	return store->reg == NULL
		       ? -ENOKEY
		       : reg_each(store->reg, REG_HOLD_SELECTOR, number, number, each_selector_record, &call);
}

static int behind_index(void *context, const struct reg_record *record)
{
	*(uint32_t *)context = record->b + 1;
	return 0;
}

int hold_selector_end(struct store *store, uint32_t number, uint32_t *ret_index)
{
	uint32_t index = 0;
	int result = reg_each(store->reg, REG_HOLD_SELECTOR, number, number, behind_index, &index);

	if (result == 0)
		*ret_index = index;
	return result;
}

struct finding {
	const char *reference;
	struct reg_hold *hold;
};

static int find_one(void *context, const struct reg_hold *hold)
{
	struct finding *finding = context;

	if (strcmp(hold->reference, finding->reference) != 0)
		return 0;
	*finding->hold = *hold;
	return 1;
}

int hold_find(struct store *store, const char *reference, struct reg_hold *ret_hold)
{
	struct finding finding = {reference, ret_hold};
	int result = hold_each(store, find_one, &finding);

	return result == 1 ? 0 : result == 0 ? -ENOENT : result;
}

int hold_by_number(struct store *store, uint32_t number, struct reg_hold *ret_hold)
{
	uint8_t value[REG_RECORD_SIZE_MAX];
	size_t size;
	int result = store->reg == NULL ? -ENOKEY : reg_get(store->reg, REG_HOLD, number, 0, value, &size);

	return result < 0 ? result : reg_hold_decode(value, size, ret_hold);
}

struct overdue {
	int32_t today;
	unsigned count;
};

static int overdue_one(void *context, const struct reg_hold *hold)
{
	struct overdue *overdue = context;

	overdue->count += !hold->released && hold->review_day <= overdue->today;
	return 0;
}

int hold_overdue(struct store *store, int32_t today, unsigned *ret_count)
{
	struct overdue overdue = {.today = today};
	int result = hold_each(store, overdue_one, &overdue);

	if (result == 0)
		*ret_count = overdue.count;
	return result;
}

int hold_renew(struct store *store, const char *reference, int32_t review_day, uint32_t who_uid, const char *reason,
	       struct err *err)
{
	uint8_t buffer[REG_RECORD_SIZE_MAX];
	struct reg_change change;
	struct reg_hold hold;
	int result = hold_ready(store, err);

	if (result < 0)
		return result;
	if (review_day <= read_day(store_wall_us(store)))
		return err_set(err, -EINVAL, "the date of review has to lie in the future");
	pthread_mutex_lock(&store->hold_mutex);
	result = hold_find(store, reference, &hold);
	if (result < 0)
		(void)err_set(err, result, "there is no hold of that case");
	else if (hold.released)
		result = err_set(err, -EBUSY, "this case's hold is being released");
	if (result == 0) {
		hold.review_day = review_day;
		change = hold_put(&hold, buffer);
		result = reg_change(store->reg, &change, 1, who_uid, reason, err);
	}
	pthread_mutex_unlock(&store->hold_mutex);
	return result;
}
