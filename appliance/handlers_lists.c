/* lists.load, add, drop, edit, rollback and remove: each makes the next version of a list, under change_lock. */
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "appliance/base/clock.h"
#include "appliance/base/err.h"
#include "appliance/change.h"
#include "appliance/gantry.h"
#include "appliance/handlers.h"
#include "appliance/handlers_retro.h"
#include "appliance/list_access.h"
#include "appliance/list_ahead.h"
#include "appliance/lists.h"
#include "appliance/lists_head.h"
#include "appliance/lists_log.h"
#include "matcher/list_edit.h"
#include "mgmt/call.h"
#include "storage/clock_guard.h"
#include "storage/store.h"

enum change { CHANGE_LOAD, CHANGE_ADD, CHANGE_DROP };

/* One call that changes a list. */
struct changing {
	struct call *call;
	struct gantry *gantry;
	struct reg *reg;
	struct lists_known known;
	const struct list *old; /* loaded now; NULL none */
	struct list *fresh;     /* owned by `ahead` once that has begun */
	struct list_ahead ahead;
	struct lists_log log;
	struct list_result rows;
	struct list_report *reports; /* all of them, when the caller wants a report */
	size_t report_count;
	size_t report_room;
	bool unchanged;
};

static int refuse(struct changing *changing, const char *text)
{
	call_fail(changing->call, CALL_REFUSED, "%s", text);
	return -ENOENT;
}

static int failed(struct changing *changing, int result, const struct err *err)
{
	call_fail(changing->call, result == -EINVAL || result == -E2BIG ? CALL_REFUSED : CALL_FAILED, "%s", err->text);
	return result;
}

/* change_lock held. */
static int find(struct changing *changing)
{
	int result = lists_find(changing->reg, call_text(changing->call, "name"), &changing->known);

	if (result < 0) {
		call_fail(changing->call, CALL_FAILED, "the register cannot be read: %s", strerror(-result));
		return result;
	}
	if (changing->known.is_found && !changing->known.found.removed)
		changing->old = lists_loaded(changing->gantry, changing->known.found.list);
	return 0;
}

/* For what needs the list as it is. */
static int find_loaded(struct changing *changing)
{
	int result = find(changing);

	if (result < 0)
		return result;
	if (!changing->known.is_found || changing->known.found.removed)
		return refuse(changing, "no list of that name is loaded; see lists.show");
	return changing->old != NULL ? 0 : refuse(changing, "the list's entries cannot be read: load it again");
}

/* The head of the next version: numbers, and what the one before said. */
static int next_info(struct changing *changing, struct list_info *ret_info)
{
	const struct lists_known *known = &changing->known;
	uint32_t last = known->is_found ? known->found.now.version : 0;
	int64_t version =
		call_has(changing->call, "version") ? call_integer(changing->call, "version", 0) : (int64_t)last + 1;

	if (version > UINT32_MAX)
		return refuse(changing, "the list has had every version there is: remove it and use another name");
	if (version <= last) {
		call_fail(changing->call, CALL_REFUSED, "version %lld is not newer than %u, %s (R22)",
			  (long long)version, last, known->found.removed ? "the last one" : "which is loaded");
		return -ESTALE;
	}
	if (changing->old != NULL)
		*ret_info = *list_info(changing->old);
	else
		lists_head_default(call_text(changing->call, "name"), ret_info);
	ret_info->revised_us = known->found.now.revised_us;
	ret_info->revised_unsure = known->found.now.revised_unsure;
	ret_info->id = known->is_found ? known->found.list : known->highest + 1;
	ret_info->version = (uint32_t)version;
	ret_info->generation = known->is_found ? known->found.now.generation : 0;
	return 0;
}

/* By its supplier, now: the clock may be wrong, but not behind what was trusted already. */
static void revise(const struct changing *changing, struct list_info *info)
{
	struct clock_guard *guard = store_clock_guard(changing->gantry->store);
	struct clock_guard_state clock;

	clock_guard_look(guard, &clock);
	info->revised_us = clock_guard_age_us(guard, clock.now_us);
	info->revised_unsure = clock.trust != CLOCK_TRUSTED;
}

static int keep_report(void *context, const struct list_report *report)
{
	struct changing *changing = context;
	size_t room = 2 * changing->report_room + 64;
	struct list_report *grown;

	if (changing->report_count == changing->report_room) {
		grown = realloc(changing->reports, room * sizeof(*grown));
		if (grown == NULL)
			return -ENOMEM;
		changing->reports = grown;
		changing->report_room = room;
	}
	changing->reports[changing->report_count++] = *report;
	return 0;
}

static void begin_ahead(struct changing *changing)
{
	if (changing->ahead.list == NULL)
		list_ahead_begin(&changing->ahead, changing->gantry, changing->reg, changing->fresh);
}

/* What the fresh list differs in, for the log. */
static int take_difference(struct changing *changing)
{
	struct list_changes *changes;
	int result = list_changes_new(changing->old, changing->fresh, &changes);

	if (result < 0)
		return result;
	begin_ahead(changing);
	result = lists_log_expect(&changing->log, list_changes_count(changes));
	if (result == 0)
		result = list_changes_tell(changes, lists_log_take, &changing->log);
	(void)list_changes_free(changes);
	return result;
}

/* Rows that are all wrong are a wrong file, and no rows may be one that came short: neither may cost a list. */
static int check_rows(struct changing *changing, enum change change)
{
	const struct list_result *rows = &changing->rows;
	const struct reg_list *found = &changing->known.found;

	if (change != CHANGE_DROP && rows->bad > 0 && rows->bad == rows->rows) {
		const struct list_report *first = &rows->reports[0];

		call_fail(changing->call, CALL_REFUSED,
			  "every row is bad, so nothing is loaded; the first of %u: line %u, column %u: %s", rows->bad,
			  first->line, first->column, first->reason);
		return -EINVAL;
	}
	if (change == CHANGE_LOAD && rows->rows == 0 && !found->removed && found->now.entry_count > 0 &&
	    !call_boolean(changing->call, "empty", false)) {
		call_fail(changing->call, CALL_REFUSED,
			  "the file has no row, and the list %llu entries: nothing is changed; to empty the list, say "
			  "so: empty (--empty)",
			  (unsigned long long)found->now.entry_count);
		return -EINVAL;
	}
	return 0;
}

/* A list loaded whole; one that says what the version before said keeps its slots and is only revised. */
static int load_whole(struct changing *changing, struct list_info *info, const struct list_options *options,
		      const char *text, size_t size, struct err *err)
{
	const struct list *old = changing->old;
	int result = lists_head_take(changing->call, info);

	if (result < 0)
		return result;
	info->generation++;
	result = list_load_csv(info, text, size, options, &changing->rows, err, &changing->fresh);
	if (result < 0)
		return failed(changing, result, err);
	result = check_rows(changing, CHANGE_LOAD);
	if (result < 0)
		return result;
	if (old != NULL && memcmp(list_info(old)->sha256, list_info(changing->fresh)->sha256, SHA256_SIZE) == 0) {
		changing->fresh = list_free(changing->fresh);
		changing->unchanged = true;
		info->generation = list_info(old)->generation;
		result = list_restate(old, info, err, &changing->fresh);
	} else {
		result = take_difference(changing);
		if (result < 0)
			(void)err_set(err, result, "out of memory");
	}
	return result < 0 ? failed(changing, result, err) : 0;
}

static int edit_rows(struct changing *changing, enum change change, const struct list_info *info,
		     const struct list_options *options, const char *text, size_t size, struct err *err)
{
	int result =
		(change == CHANGE_ADD ? list_add : list_drop)(changing->old, info, text, size, options, lists_log_take,
							      &changing->log, &changing->rows, err, &changing->fresh);

	if (result < 0)
		return failed(changing, result, err);
	result = check_rows(changing, change);
	if (result < 0)
		return result;
	changing->unchanged = changing->log.counts[LIST_ADDED] + changing->log.counts[LIST_REMOVED] == 0;
	return 0;
}

/* Into the log, then into force. `keep_previous` as lists_commit has it; without `fresh` the list goes. */
static int commit(struct changing *changing, bool keep_previous, struct err *err)
{
	const struct reg_list *found = &changing->known.found;
	const struct list_info *info = changing->fresh != NULL ? list_info(changing->fresh) : NULL;
	const struct lists_log_note note = {.uid = call_peer(changing->call)->uid,
					    .account = call_peer(changing->call)->account,
					    .verb = call_method(changing->call),
					    .name = call_text(changing->call, "name"),
					    .list = info != NULL ? info->id : found->list,
					    .from_version = changing->known.is_found ? found->now.version : 0,
					    .version = info != NULL ? info->version : found->now.version,
					    .head_before = changing->old != NULL ? list_info(changing->old) : NULL,
					    .head = info};
	const char *name;
	json_t *facts, *value;
	int result;

	if (info != NULL)
		begin_ahead(changing);
	result = lists_log_write(&changing->log, changing->gantry->audit, &note, err, &facts);
	if (result < 0)
		return failed(changing, result, err);
	json_object_foreach(facts, name, value)
	{
		call_audit_fact(changing->call, name, json_incref(value));
	}
	json_decref(facts);
	result = lists_commit(changing->gantry, changing->reg, &changing->known, info != NULL ? &changing->ahead : NULL,
			      keep_previous, note.uid, err);
	return result < 0 ? failed(changing, result, err) : 0;
}

static json_t *report_json(const struct list_report *report)
{
	return json_pack("{s:I,s:i,s:b,s:s}", "line", (json_int_t)report->line, "column", (int)report->column,
			 "duplicate", report->duplicate, "reason", report->reason);
}

static json_t *reports_json(const struct list_result *rows)
{
	json_t *array = json_array();

	for (uint32_t i = 0; array != NULL && i < rows->report_count; i++)
		(void)json_array_append_new(array, report_json(&rows->reports[i]));
	return array;
}

/* With the new version in force: its new entries are searched back, when that was asked for. False: it failed. */
static bool ask_retro(struct changing *changing, json_t **ret_number)
{
	const struct list_info *info = changing->fresh != NULL ? list_info(changing->fresh) : NULL;
	int64_t days = call_has(changing->call, "retro") ? call_integer(changing->call, "retro", 0) : 0;
	uint32_t number;

	*ret_number = json_null();
	if (days == 0 || info == NULL)
		return true;
	if (retro_ask(changing->call, changing->gantry, info, info->version, days, &number) < 0)
		return false;
	*ret_number = json_integer(number);
	return true;
}

static void answer(struct changing *changing)
{
	const struct list *of = changing->fresh != NULL ? changing->fresh : changing->old;
	const struct list_info *info = list_info(of);
	json_t *retro;

	if (!ask_retro(changing, &retro))
		return;
	call_result(changing->call,
		    json_pack("{s:I,s:I,s:I,s:I,s:I,s:I,s:b,s:I,s:I,s:I,s:o,s:o}", "list", (json_int_t)info->id,
			      "version", (json_int_t)info->version, "generation", (json_int_t)info->generation,
			      "entries", (json_int_t)list_living(of), "added",
			      (json_int_t)changing->log.counts[LIST_ADDED], "removed",
			      (json_int_t)changing->log.counts[LIST_REMOVED], "unchanged", changing->unchanged,
			      "expired", (json_int_t)changing->rows.expired, "rejected_count",
			      (json_int_t)changing->rows.bad, "duplicates", (json_int_t)changing->rows.duplicates,
			      "rejected", reports_json(&changing->rows), "retro", retro));
}

static void change_locked(struct changing *changing, enum change change)
{
	struct list_options options = {.strict = call_boolean(changing->call, "strict", false)};
	struct list_info info;
	struct err err = {""};
	size_t size;
	const char *text = call_upload(changing->call, "upload", &size);
	int result = change == CHANGE_LOAD ? find(changing) : find_loaded(changing);

	if (call_boolean(changing->call, "report", false)) {
		options.report = keep_report;
		options.context = changing;
	}
	if (change != CHANGE_DROP)
		options.now_us = clock_wall_us();
	if (result == 0)
		result = next_info(changing, &info);
	if (result < 0)
		return;
	revise(changing, &info);
	if (change == CHANGE_LOAD)
		result = load_whole(changing, &info, &options, text, size, &err);
	else
		result = edit_rows(changing, change, &info, &options, text, size, &err);
	if (result < 0)
		return;
	/* An edit that changed nothing makes no version; a list loaded again is revised by it. */
	if (changing->unchanged && change != CHANGE_LOAD)
		changing->fresh = list_free(changing->fresh);
	else if (commit(changing, changing->unchanged, &err) < 0)
		return;
	answer(changing);
}

/* Not under the lock: a client may be slow. */
static int send_reports(const struct changing *changing)
{
	int result = 0;

	for (size_t i = 0; i < changing->report_count && result == 0; i++)
		result = call_row(changing->call, report_json(&changing->reports[i]));
	return result == -ENOMEM ? result : 0;
}

static int with_list(struct call *call, struct gantry *gantry,
		     void (*run)(struct changing *changing, enum change change), enum change change)
{
	struct changing *changing = calloc(1, sizeof(*changing));
	int result = 0;

	if (changing == NULL)
		return -ENOMEM;
	changing->call = call;
	changing->gantry = gantry;
	changing->reg = change_register(call, gantry);
	if (changing->reg != NULL) {
		pthread_mutex_lock(&gantry->change_lock);
		if (list_access_change(call, gantry, changing->reg) == 0)
			run(changing, change);
		if (changing->ahead.list == NULL)
			changing->fresh = list_free(changing->fresh);
		list_ahead_end(&changing->ahead);
		pthread_mutex_unlock(&gantry->change_lock);
		result = send_reports(changing);
	}
	lists_log_fini(&changing->log);
	free(changing->reports);
	free(changing);
	return result;
}

int handle_lists_load(struct call *call, void *gantry)
{
	return with_list(call, gantry, change_locked, CHANGE_LOAD);
}

int handle_lists_add(struct call *call, void *gantry)
{
	return with_list(call, gantry, change_locked, CHANGE_ADD);
}

int handle_lists_drop(struct call *call, void *gantry)
{
	return with_list(call, gantry, change_locked, CHANGE_DROP);
}

/* There is one version to go back to, and an edit takes its place. */
static json_t *spent_json(uint32_t before)
{
	return json_sprintf("lists.rollback goes back to version %u from now on: the same entries under the head "
			    "before; entries of an older version are no longer kept",
			    before);
}

/* The head changes, and what it was last revised for does not: that is the content's. */
static void edit_locked(struct changing *changing, enum change change)
{
	struct list_info info;
	struct err err = {""};
	int result = find_loaded(changing);

	(void)change;
	if (result == 0)
		result = next_info(changing, &info);
	if (result == 0)
		result = lists_head_take(changing->call, &info);
	if (result < 0)
		return;
	result = list_restate(changing->old, &info, &err, &changing->fresh);
	if (result < 0) {
		(void)failed(changing, result, &err);
		return;
	}
	changing->unchanged =
		memcmp(list_info(changing->old)->sha256, list_info(changing->fresh)->sha256, SHA256_SIZE) == 0;
	if (changing->unchanged)
		changing->fresh = list_free(changing->fresh);
	else if (commit(changing, false, &err) < 0)
		return;
	info = *list_info(changing->fresh != NULL ? changing->fresh : changing->old);
	call_result(changing->call,
		    json_pack("{s:I,s:I,s:b,s:o?}", "list", (json_int_t)info.id, "version", (json_int_t)info.version,
			      "unchanged", changing->unchanged, "rollback",
			      changing->unchanged ? NULL : spent_json(changing->known.found.now.version)));
}

int handle_lists_edit(struct call *call, void *gantry)
{
	return with_list(call, gantry, edit_locked, CHANGE_LOAD);
}

/* The content of the version before, under a new number and in a new generation: slots given since are not its own. */
static int restore(struct changing *changing, struct err *err)
{
	const struct reg_list *found = &changing->known.found;
	struct list *before;
	struct list_info info;
	int result = lists_read(changing->reg, &found->previous, err, &before);

	if (result < 0)
		return result;
	info = *list_info(before);
	info.id = found->list;
	info.version = found->now.version + 1;
	info.generation = found->now.generation + 1;
	info.revised_us = found->previous.revised_us;
	info.revised_unsure = found->previous.revised_unsure;
	result = list_restate(before, &info, err, &changing->fresh);
	list_free(before);
	if (result == 0)
		result = take_difference(changing);
	return result;
}

static void rollback_locked(struct changing *changing, enum change change)
{
	const struct reg_list *found = &changing->known.found;
	struct err err = {""};
	int result = find(changing);

	(void)change;
	if (result < 0)
		return;
	if (!changing->known.is_found || !found->has_previous || found->now.version == UINT32_MAX) {
		(void)refuse(changing, "there is no version of this list to go back to; see lists.versions");
		return;
	}
	result = restore(changing, &err);
	if (result < 0) {
		(void)failed(changing, result, &err);
		return;
	}
	call_audit_fact(changing->call, "of_version", json_integer(found->previous.version));
	if (commit(changing, false, &err) < 0)
		return;
	call_result(changing->call,
		    json_pack("{s:I,s:I,s:I,s:I,s:I,s:I,s:I}", "list", (json_int_t)found->list, "version",
			      (json_int_t)list_info(changing->fresh)->version, "of_version",
			      (json_int_t)found->previous.version, "from_version", (json_int_t)found->now.version,
			      "entries", (json_int_t)list_living(changing->fresh), "added",
			      (json_int_t)changing->log.counts[LIST_ADDED], "removed",
			      (json_int_t)changing->log.counts[LIST_REMOVED]));
}

int handle_lists_rollback(struct call *call, void *gantry)
{
	return with_list(call, gantry, rollback_locked, CHANGE_LOAD);
}

static void remove_locked(struct changing *changing, enum change change)
{
	struct err err = {""};
	int result = find(changing);

	(void)change;
	if (result < 0)
		return;
	if (!changing->known.is_found || changing->known.found.removed) {
		(void)refuse(changing, "no list of that name is loaded; see lists.show");
		return;
	}
	if (changing->old != NULL && lists_log_take_all(&changing->log, changing->old) < 0) {
		call_fail(changing->call, CALL_FAILED, "out of memory");
		return;
	}
	if (commit(changing, true, &err) == 0)
		call_result(changing->call, json_pack("{s:I}", "list", (json_int_t)changing->known.found.list));
}

int handle_lists_remove(struct call *call, void *gantry)
{
	return with_list(call, gantry, remove_locked, CHANGE_LOAD);
}
