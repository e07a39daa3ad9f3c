/* lists.retro, retros.show and retros.cancel; and the search back that comes with lists.load and lists.add. */
#include <errno.h>
#include <jansson.h>
#include <pthread.h>

#include "appliance/change.h"
#include "appliance/gantry.h"
#include "appliance/handlers.h"
#include "appliance/handlers_retro.h"
#include "appliance/list_access.h"
#include "appliance/lists.h"
#include "appliance/retro.h"
#include "matcher/list.h"
#include "mgmt/call.h"
#include "storage/store.h"

int retro_ask(struct call *call, struct gantry *gantry, const struct list_info *info, uint32_t since_version,
	      int64_t days, uint32_t *ret_number)
{
	const struct retro_order order = {.list = info->id,
					  .generation = info->generation,
					  .since_version = since_version,
					  .upto_version = info->version,
					  .days = days,
					  .who_uid = call_peer(call)->uid};
	struct err err = {""};
	int result;

	if (gantry->retro == NULL) {
		call_fail(call, CALL_STOPPING, "the appliance is starting or stopping");
		return -EAGAIN;
	}
	result = retro_request(gantry->retro, &order, &err, ret_number);
	if (result < 0) {
		call_fail(call, result == -EBUSY ? CALL_BUSY : CALL_FAILED, "%s", err.text);
		return result;
	}
	call_audit_fact(call, "retro", json_integer(*ret_number));
	call_audit_fact(call, "retro_list", json_integer(info->id));
	call_audit_fact(call, "retro_since_version", json_integer(since_version));
	call_audit_fact(call, "retro_days", json_integer(days));
	return 0;
}

static void ask_locked(struct call *call, struct gantry *gantry, struct reg *reg)
{
	int64_t since = call_integer(call, "since_version", 0);
	const struct list *list = NULL;
	struct lists_known known;
	struct list_info info;
	uint32_t number;

	if (lists_find(reg, call_text(call, "name"), &known) < 0) {
		call_fail(call, CALL_FAILED, "the register cannot be read");
		return;
	}
	if (known.is_found && !known.found.removed)
		list = lists_loaded(gantry, known.found.list);
	if (list == NULL) {
		call_fail(call, CALL_REFUSED, "no list of that name is loaded; see lists.show");
		return;
	}
	info = *list_info(list);
	if (since > info.version) {
		call_fail(call, CALL_REFUSED, "the list's version is %u: nothing came with a later one", info.version);
		return;
	}
	if (retro_ask(call, gantry, &info, (uint32_t)since, call_integer(call, "days", 0), &number) == 0)
		call_result(call, json_pack("{s:I,s:I,s:I}", "number", (json_int_t)number, "list", (json_int_t)info.id,
					    "version", (json_int_t)info.version));
}

int handle_lists_retro(struct call *call, void *context)
{
	struct gantry *gantry = context;
	struct reg *reg = change_register(call, gantry);

	if (reg == NULL)
		return 0;
	pthread_mutex_lock(&gantry->change_lock);
	if (list_access_change(call, gantry, reg) == 0)
		ask_locked(call, gantry, reg);
	pthread_mutex_unlock(&gantry->change_lock);
	return 0;
}

int handle_retros_show(struct call *call, void *context)
{
	struct gantry *gantry = context;

	call_result(call, json_pack("{s:o}", "retros", retro_json(gantry->retro)));
	return 0;
}

int handle_retros_cancel(struct call *call, void *context)
{
	struct gantry *gantry = context;
	uint32_t number = (uint32_t)call_integer(call, "number", 0);
	struct reg *reg = change_register(call, gantry);
	struct err err = {""};

	if (reg == NULL || list_access_cancel(call, reg, number) < 0)
		return 0;
	if (gantry->retro == NULL)
		call_fail(call, CALL_STOPPING, "the appliance is starting or stopping");
	else if (retro_cancel(gantry->retro, number, &err) != 0)
		call_fail(call, CALL_REFUSED, "%s", err.text);
	else
		call_result(call, json_pack("{s:I}", "number", (json_int_t)number));
	return 0;
}
