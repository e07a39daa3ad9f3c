#include "appliance/change.h"

#include <errno.h>
#include <string.h>

#include "appliance/gantry.h"
#include "mgmt/call.h"
#include "storage/store.h"

struct reg *change_register(struct call *call, struct gantry *gantry)
{
	const char *why;
	struct reg *reg = store_register(gantry->store, &why);

	if (reg == NULL)
		call_fail(call, CALL_FAILED, "the register is incomplete: %s", why);
	return reg;
}

static int change_write(struct call *call, struct gantry *gantry, const struct reg_change *changes, size_t count)
{
	struct reg *reg = store_register(gantry->store, NULL);
	struct err err = {""};
	const char *reason = call_has(call, "reason") ? call_text(call, "reason") : "";
	int result = reg_change(reg, changes, count, call_peer(call)->uid, reason, &err);

	if (result < 0)
		call_fail(call, CALL_FAILED, "the register did not take the change, nothing is changed: %s", err.text);
	return result;
}

static int change_publish(struct call *call, struct gantry *gantry)
{
	struct err err = {""};
	int result = gantry_publish(gantry, &err);

	if (result < 0)
		call_fail(call, CALL_FAILED, "the change is durable, but the workers could not be told: %s; restart",
			  err.text);
	return result;
}

int change_commit(struct call *call, struct gantry *gantry, const struct reg_change *changes, size_t count)
{
	int result = change_write(call, gantry, changes, count);

	return result < 0 ? result : change_publish(call, gantry);
}

int change_commit_many(struct call *call, struct gantry *gantry, const struct reg_change *changes, size_t count)
{
	const size_t chunk = REG_CHANGES_MAX;
	size_t done = 0;
	int result = 0;

	while (done < count && result == 0) {
		size_t take = count - done < chunk ? count - done : chunk;

		result = change_write(call, gantry, changes + done, take);
		if (result == 0)
			done += take;
	}
	if (result == 0)
		return change_publish(call, gantry);
	if (done > 0 && change_publish(call, gantry) == 0)
		call_fail(call, CALL_FAILED, "only the first %zu of %zu rows were taken: %s; load the rest again", done,
			  count, strerror(-result));
	return result;
}
