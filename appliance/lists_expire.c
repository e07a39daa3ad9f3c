/* A list that went unrevised for 28 days goes by itself (R25). */
#include <errno.h>
#include <jansson.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "appliance/base/clock.h"
#include "appliance/gantry.h"
#include "appliance/lists.h"
#include "appliance/lists_age.h"
#include "appliance/lists_log.h"
#include "storage/register.h"
#include "storage/store.h"

#define LOG_MODULE "lists"
#include "appliance/base/log.h"

/* It was removed before: what could be rolled back to goes. Every entry of it was logged as it was removed. */
static int forget(struct reg *reg, struct reg_list *list, struct err *err)
{
	uint8_t buffer[REG_RECORD_SIZE_MAX];
	struct reg_change change;
	int result;

	list->has_previous = false;
	memset(&list->previous, 0, sizeof(list->previous));
	change = reg_list_put(list, buffer);
	result = reg_change(reg, &change, 1, (uint32_t)getuid(), "removed, and not revised for 28 days", err);
	if (result == 0)
		log_warn("list \"%s\" was removed and not revised for %d days: its last version is deleted", list->name,
			 LISTS_KEEP_DAYS);
	return result;
}

static int settle(struct reg *reg, const struct reg_list *list, struct err *err)
{
	uint8_t buffer[REG_RECORD_SIZE_MAX];
	const struct reg_change change = reg_list_put(list, buffer);
	char revised[CLOCK_TEXT_SIZE];
	int result = reg_change(reg, &change, 1, (uint32_t)getuid(), "revised by a clock that was not trusted", err);

	if (result == 0)
		log_info("list \"%s\" was revised by a clock that was not trusted: counts as revised at %s", list->name,
			 clock_text_utc(list->now.revised_us, revised));
	return result;
}

/* What came of the entry that says that it goes: it may have to be said again. */
static void note_outcome(struct gantry *gantry, const struct lists_log_note *note, const json_t *facts, int result,
			 const struct err *err)
{
	json_t *body = json_pack("{s:I,s:s,s:I,s:O?,s:b,s:s}", "list", (json_int_t)note->list, "name", note->name,
				 "version", (json_int_t)note->version, "entry", json_object_get(facts, "entry"),
				 "deleted", result == 0, "why", result == 0 ? "" : err->text);
	char *text = body != NULL ? json_dumps(body, JSON_COMPACT) : NULL;

	if (text != NULL)
		(void)gantry_note(gantry, note->uid, "lists.expire", text);
	free(text);
	json_decref(body);
}

/* change_lock held; the record is looked at again, for it may have been revised since. */
static int expire_locked(struct gantry *gantry, struct reg *reg, uint32_t id, struct err *err)
{
	struct lists_known known = {.is_found = true};
	struct lists_log log = {0};
	const struct list *loaded = lists_loaded(gantry, id);
	int64_t now_us = clock_wall_us();
	json_t *facts = NULL;
	int result = reg_list_get(reg, id, &known.found);

	if (result < 0)
		return err_set(err, result, "%s", strerror(-result));
	if (known.found.removed && !known.found.has_previous)
		return 0;
	if (lists_age_settle(&known.found, now_us))
		return settle(reg, &known.found, err);
	if (lists_age(known.found.now.revised_us, now_us) != LISTS_DUE)
		return 0;
	if (known.found.removed)
		return forget(reg, &known.found, err);
	const struct lists_log_note note = {.uid = (uint32_t)getuid(),
					    .account = "gantryd",
					    .verb = "retention rule: NASPLE 8.13.6, not revised for 28 days",
					    .name = known.found.name,
					    .list = id,
					    .from_version = known.found.now.version,
					    .version = known.found.now.version};

	if (loaded != NULL && lists_log_take_all(&log, loaded) < 0)
		result = err_set(err, -ENOMEM, "out of memory");
	if (result == 0)
		result = lists_log_write(&log, gantry->audit, &note, err, &facts);
	if (result == 0) {
		result = lists_commit(gantry, reg, &known, NULL, false, note.uid, err);
		note_outcome(gantry, &note, facts, result, err);
	}
	if (result == 0)
		log_warn("list \"%s\" was not revised for %d days: deleted", known.found.name, LISTS_KEEP_DAYS);
	json_decref(facts);
	lists_log_fini(&log);
	return result;
}

int lists_expire(void *context, uint32_t list, struct err *err)
{
	struct gantry *gantry = context;
	struct reg *reg = store_register(gantry->store, NULL);
	int result;

	if (reg == NULL)
		return err_set(err, -ENOKEY, "the register is incomplete");
	pthread_mutex_lock(&gantry->change_lock);
	result = expire_locked(gantry, reg, list, err);
	pthread_mutex_unlock(&gantry->change_lock);
	return result;
}
