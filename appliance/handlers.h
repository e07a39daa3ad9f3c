/* The methods of the management socket, bound to the appliance. Each handler runs on a thread of the server's pool. */
#ifndef GANTRY_APPLIANCE_HANDLERS_H
#define GANTRY_APPLIANCE_HANDLERS_H

#include <jansson.h>

#include "appliance/base/err.h"

struct call;
struct gantry;
struct server;

/* Binds every method this appliance offers. -errno with a text when the table lacks one: our own bug. */
int handlers_bind(struct server *server, struct gantry *gantry, struct err *err);

/* handlers_status.c */
int handle_status(struct call *call, void *gantry);
int handle_counters(struct call *call, void *gantry);
int handle_stop(struct call *call, void *gantry);
/* handlers_feeds.c */
int handle_feeds_add(struct call *call, void *gantry);
int handle_feeds_show(struct call *call, void *gantry);
int handle_feeds_rotate(struct call *call, void *gantry);
int handle_feeds_retire(struct call *call, void *gantry);
int handle_feeds_remove(struct call *call, void *gantry);
/* handlers_cameras.c */
int handle_cameras_load(struct call *call, void *gantry);
int handle_cameras_show(struct call *call, void *gantry);
int handle_cameras_bind(struct call *call, void *gantry);
int handle_cameras_suspend(struct call *call, void *gantry);
int handle_cameras_resume(struct call *call, void *gantry);
/* handlers_lists.c */
int handle_lists_load(struct call *call, void *gantry);
int handle_lists_add(struct call *call, void *gantry);
int handle_lists_drop(struct call *call, void *gantry);
int handle_lists_edit(struct call *call, void *gantry);
int handle_lists_rollback(struct call *call, void *gantry);
int handle_lists_remove(struct call *call, void *gantry);
/* handlers_lists_show.c */
int handle_lists_show(struct call *call, void *gantry);
int handle_lists_versions(struct call *call, void *gantry);
int handle_lists_check(struct call *call, void *gantry);
/* handlers_retro.c */
int handle_lists_retro(struct call *call, void *gantry);
int handle_retros_show(struct call *call, void *gantry);
int handle_retros_cancel(struct call *call, void *gantry);
/* handlers_preview.c */
int handle_lists_preview(struct call *call, void *gantry);
/* handlers_hit_life.c */
int handle_hits_acknowledge(struct call *call, void *gantry);
int handle_hits_assess(struct call *call, void *gantry);
int handle_hits_respond(struct call *call, void *gantry);
int handle_hits_dismiss(struct call *call, void *gantry);
/* handlers_hit_show.c */
int handle_hits_show(struct call *call, void *gantry);
int handle_hits_open(struct call *call, void *gantry);
/* handlers_hit_rates.c */
int handle_hits_rates(struct call *call, void *gantry);
/* handlers_subscriptions.c */
int handle_subscriptions_add(struct call *call, void *gantry);
int handle_subscriptions_remove(struct call *call, void *gantry);
int handle_subscriptions_show(struct call *call, void *gantry);
/* All of them, or that of the name; the hits are started. New reference. */
json_t *subscriptions_json(struct gantry *gantry, const char *only);
/* handlers_reads.c */
int handle_hits_search(struct call *call, void *gantry);
int handle_reads_search(struct call *call, void *gantry);
int handle_reads_count(struct call *call, void *gantry);
int handle_reads_consecutive(struct call *call, void *gantry);
/* handlers_segments.c */
int handle_segments_show(struct call *call, void *gantry);
/* handlers_marks.c */
int handle_reads_erase(struct call *call, void *gantry);
int handle_reads_restrict(struct call *call, void *gantry);
int handle_reads_unrestrict(struct call *call, void *gantry);
/* handlers_amend.c */
int handle_reads_amend(struct call *call, void *gantry);
/* handlers_purge.c */
int handle_purge_plan(struct call *call, void *gantry);
int handle_purge_run(struct call *call, void *gantry);
int handle_purge_propose(struct call *call, void *gantry);
int handle_purge_approve(struct call *call, void *gantry);
int handle_purge_withdraw(struct call *call, void *gantry);
int handle_purge_show(struct call *call, void *gantry);
/* handlers_holds.c */
int handle_holds_add(struct call *call, void *gantry);
int handle_holds_show(struct call *call, void *gantry);
int handle_holds_review(struct call *call, void *gantry);
int handle_holds_renew(struct call *call, void *gantry);
int handle_holds_release(struct call *call, void *gantry);

/* handlers_keys.c */
int handle_keys_show(struct call *call, void *gantry);
int handle_keys_rotate(struct call *call, void *gantry);
int handle_keys_escrow(struct call *call, void *gantry);

struct purge_hooks;
/* What a purge writes into the audit log; also for the purges that a crash left standing. */
void purge_hooks_of(struct gantry *gantry, struct purge_hooks *ret_hooks);

struct hold_release;
/* The certificate of a release, into the audit log; context is the gantry. */
int hold_audit(void *context, const struct hold_release *release);

#endif
