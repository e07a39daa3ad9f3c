#include "appliance/handlers.h"

#include <string.h>

#include "appliance/gantry.h"
#include "appliance/hits.h"
#include "mgmt/audit.h"
#include "mgmt/server.h"

int handlers_bind(struct server *server, struct gantry *gantry, struct err *err)
{
	static const struct {
		const char *method;
		call_handler *handler;
	} rows[] = {
		{"status", handle_status},
		{"counters", handle_counters},
		{"feeds.add", handle_feeds_add},
		{"feeds.show", handle_feeds_show},
		{"feeds.rotate", handle_feeds_rotate},
		{"feeds.retire", handle_feeds_retire},
		{"feeds.remove", handle_feeds_remove},
		{"cameras.load", handle_cameras_load},
		{"cameras.show", handle_cameras_show},
		{"cameras.bind", handle_cameras_bind},
		{"cameras.suspend", handle_cameras_suspend},
		{"cameras.resume", handle_cameras_resume},
		{"lists.load", handle_lists_load},
		{"lists.add", handle_lists_add},
		{"lists.drop", handle_lists_drop},
		{"lists.edit", handle_lists_edit},
		{"lists.rollback", handle_lists_rollback},
		{"lists.versions", handle_lists_versions},
		{"lists.show", handle_lists_show},
		{"lists.check", handle_lists_check},
		{"lists.preview", handle_lists_preview},
		{"lists.remove", handle_lists_remove},
		{"lists.retro", handle_lists_retro},
		{"retros.show", handle_retros_show},
		{"retros.cancel", handle_retros_cancel},
		{"hits.acknowledge", handle_hits_acknowledge},
		{"hits.assess", handle_hits_assess},
		{"hits.respond", handle_hits_respond},
		{"hits.dismiss", handle_hits_dismiss},
		{"hits.show", handle_hits_show},
		{"hits.open", handle_hits_open},
		{"hits.rates", handle_hits_rates},
		{"hits.search", handle_hits_search},
		{"hits.follow", handle_hits_follow},
		{"hits.ack", handle_hits_ack},
		{"subscriptions.add", handle_subscriptions_add},
		{"subscriptions.remove", handle_subscriptions_remove},
		{"subscriptions.show", handle_subscriptions_show},
		{"reads.search", handle_reads_search},
		{"reads.count", handle_reads_count},
		{"reads.consecutive", handle_reads_consecutive},
		{"segments.show", handle_segments_show},
		{"reads.erase", handle_reads_erase},
		{"reads.restrict", handle_reads_restrict},
		{"reads.unrestrict", handle_reads_unrestrict},
		{"reads.amend", handle_reads_amend},
		{"purge.plan", handle_purge_plan},
		{"purge.run", handle_purge_run},
		{"purge.propose", handle_purge_propose},
		{"purge.approve", handle_purge_approve},
		{"purge.withdraw", handle_purge_withdraw},
		{"purge.show", handle_purge_show},
		{"holds.add", handle_holds_add},
		{"holds.show", handle_holds_show},
		{"holds.review", handle_holds_review},
		{"holds.renew", handle_holds_renew},
		{"holds.release", handle_holds_release},
		{"keys.show", handle_keys_show},
		{"keys.rotate", handle_keys_rotate},
		{"keys.escrow", handle_keys_escrow},
		{"appliance.stop", handle_stop},
	};
	int result;

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		result = server_bind(server, rows[i].method, rows[i].handler, gantry);
		if (result < 0)
			return err_set(err, result, "method %s: %s", rows[i].method, strerror(-result));
	}
	result = audit_bind(server, gantry->audit);
	return result < 0 ? err_set(err, result, "methods audit.*: %s", strerror(-result)) : 0;
}
