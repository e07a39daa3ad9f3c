#include "appliance/list_access.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include "appliance/gantry.h"
#include "appliance/hits.h"
#include "appliance/lists.h"
#include "appliance/subscription.h"
#include "appliance/subscriptions.h"
#include "matcher/list.h"
#include "mgmt/call.h"
#include "storage/register_late.h"

#define WHO_MAY_ALL "the superuser or the appliance's own account"

/* By sms one is told four fields: it is no way to more (R28). */
static bool speaks_for(struct gantry *gantry, uid_t uid, const char *organisation)
{
	struct subscriptions *set = gantry->hits != NULL ? hits_subscriptions(gantry->hits) : NULL;
	struct subscription *subscription;
	bool found = false;

	if (set == NULL || organisation == NULL || organisation[0] == '\0')
		return false;
	for (size_t i = 0; !found && (subscription = subscriptions_take_at(set, i)) != NULL; i++) {
		const struct reg_subscription *record = &subscription->record;

		found = record->uid == uid && record->kind == REG_SUBSCRIPTION_FULL &&
			strcmp(record->organisation, organisation) == 0;
		subscriptions_release(set, subscription);
	}
	return found;
}

static int refuse(struct call *call, const char *text)
{
	call_fail(call, CALL_REFUSED, "%s", text);
	return -EACCES;
}

/* A removed list's name brings its number back, and with it the hits that it once had: they are not the next one's. */
static int may_change_known(struct call *call, struct gantry *gantry, const struct reg_list *known)
{
	const struct list *list = known->removed ? NULL : lists_loaded(gantry, known->list);

	if (list == NULL)
		return refuse(call,
			      "a list that is removed, or that cannot be read, comes back by " WHO_MAY_ALL " (R24)");
	if (speaks_for(gantry, call_peer(call)->uid, list_info(list)->owner))
		return 0;
	return refuse(call, "this list is changed by an account with a subscription (not for sms) of its owner, or "
			    "by " WHO_MAY_ALL " (R24)");
}

int list_access_change(struct call *call, struct gantry *gantry, struct reg *reg)
{
	const char *owner = call_has(call, "owner") ? call_text(call, "owner") : NULL;
	struct lists_known known;
	int result = 0;

	if (hits_account_all(call_peer(call)->uid))
		return 0;
	if (lists_find(reg, call_text(call, "name"), &known) < 0)
		return refuse(call, "the register cannot be read, and with it who owns the list");
	if (known.is_found)
		result = may_change_known(call, gantry, &known.found);
	if (result == 0 && (!known.is_found || owner != NULL) && !speaks_for(gantry, call_peer(call)->uid, owner))
		result = refuse(call, "a list is given to an organisation by an account with a subscription (not for "
				      "sms) of it, or by " WHO_MAY_ALL " (R24); see the parameter owner");
	return result;
}

int list_access_cancel(struct call *call, struct reg *reg, uint32_t number)
{
	uint8_t value[REG_RECORD_SIZE_MAX];
	struct reg_retro retro;
	size_t size;

	if (hits_account_all(call_peer(call)->uid))
		return 0;
	if (reg_get(reg, REG_RETRO, number, 0, value, &size) == 0 && reg_retro_decode(value, size, &retro) == 0 &&
	    retro.who_uid == call_peer(call)->uid)
		return 0;
	return refuse(call, "a search back is ended by the account that asked for it, or by " WHO_MAY_ALL " (R24)");
}

int list_access_subscribe(struct call *call)
{
	if (hits_account_all(call_peer(call)->uid))
		return 0;
	return refuse(call, "who is told of hits is said by " WHO_MAY_ALL " (R24)");
}
