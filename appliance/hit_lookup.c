#include "appliance/hit_lookup.h"

#include <errno.h>

#include "appliance/base/bytes.h"
#include "appliance/base/hit_name.h"
#include "appliance/escalation.h"
#include "appliance/gantry.h"
#include "appliance/hits.h"
#include "appliance/read_query.h"
#include "storage/hit_scan.h"
#include "storage/register_records.h"

static int refuse(struct err *why, const char *text)
{
	(void)err_set(why, -EPERM, "%s", text);
	return HIT_LOOKUP_REFUSED;
}

/* R34: what no search shows any more has no hit either. */
static int age_check(struct gantry *gantry, const struct hit_found *found, struct err *why)
{
	struct read_window_rules rules = read_query_rules(gantry);
	struct read_window_ask ask = {.has_to = true, .to_us = found->read.capture_us + 1};
	struct read_window window;

	return read_window_set(&rules, &ask, why, &window) < 0 ? HIT_LOOKUP_REFUSED : 0;
}

int hit_lookup(struct gantry *gantry, uid_t uid, const char *name, struct err *why, struct hit_found *ret_found)
{
	struct hit_found found;
	uint64_t number;
	char organisation[REG_NAME_SIZE];
	int result;

	if (hit_name_parse(name, &number) < 0)
		return refuse(why, "that is no number of a hit: give it as hits.follow shows it");
	result = hit_find(gantry->store, number, why, &found);
	if (result == -ENOENT) {
		escalation_over(gantry->escalation, number);
		return refuse(why, "there is no such hit, or its read has been purged, erased, amended or restricted");
	}
	if (result < 0)
		return result;
	result = age_check(gantry, &found, why);
	if (result == 0 && !hits_account_may(gantry, uid, found.hit.list, organisation))
		result = refuse(why, "this account is not among those that may have hits of its list");
	if (result == 0)
		*ret_found = found;
	bytes_wipe(&found, sizeof(found));
	return result;
}
