/*
 * Every step is idempotent and is done again by a resumed purge, up to the one that cannot be: the keys are gone. The
 * intent file remembers the counts (taken when nothing more can be added to the day) and the last step done, so that a
 * certificate can be given even when the catalog is lost in between.
 */
#include "storage/purge.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LOG_MODULE "purge"
#include "appliance/base/clock.h"
#include "appliance/base/killpoint.h"
#include "appliance/base/log.h"
#include "storage/keeper.h"
#include "storage/purge_file.h"
#include "storage/rewrite.h"
#include "storage/segment_discard.h"
#include "storage/store_internal.h"
#include "storage/view.h"

#define WORKERS_WAIT_NS INT64_C(10000000000)

struct purge {
	struct store *store;
	const struct purge_hooks *hooks;
	struct err *err;
	struct purge_record record;
	uint64_t damaged_number; /* of a damaged intent that this one replaces; 0 none */
};

struct intents {
	int32_t day;    /* wanted; INT32_MIN any */
	uint64_t after; /* wanted: higher numbers only */
	int32_t found_day;
	uint64_t found_number;
	uint64_t highest; /* of intents and certificates */
	bool found;
};

static int intent_see(void *context, const char *name)
{
	struct intents *intents = context;
	uint64_t number;
	int32_t day;
	bool intent = purge_file_name_parse(name, PURGE_FILE_INTENT, &day, &number);

	if (!intent && !purge_file_name_parse(name, PURGE_FILE_CERTIFICATE, &day, &number))
		return 0;
	if (number > intents->highest)
		intents->highest = number;
	if (!intent || number <= intents->after || (intents->day != INT32_MIN && day != intents->day))
		return 0;
	if (!intents->found || number < intents->found_number) {
		intents->found_day = day;
		intents->found_number = number;
	}
	intents->found = true;
	return 0;
}

/* The first intent behind `after` that stands for the day, and the highest number given so far. */
static int intents_look(struct store *store, int32_t day, uint64_t after, struct intents *ret_intents)
{
	*ret_intents = (struct intents){.day = day, .after = after};
	return store->io->ops->list(store->io, store->purge_directory, intent_see, ret_intents);
}

static int failed(struct purge *purge, int result, const char *step)
{
	return err_set(purge->err, result, "purge of day %d, %s: %s; the intent stands, run it again",
		       purge->record.certificate.day, step, strerror(-result));
}

static void progress(const struct purge *purge, enum purge_step step)
{
	if (purge->hooks->progress != NULL)
		purge->hooks->progress(purge->hooks->context, purge->record.certificate.day, step);
}

static int record_save(struct purge *purge, enum purge_step step)
{
	if (purge->record.step < step)
		purge->record.step = step;
	return purge_file_write(purge->store->io, purge->store->purge_directory, PURGE_FILE_INTENT, &purge->record);
}

static int step_intend(struct purge *purge)
{
	const struct purge_certificate *certificate = &purge->record.certificate;
	int result = record_save(purge, PURGE_INTENDED);

	if (result == 0)
		result = catalog_purge_intend(purge->store->catalog, certificate->day, certificate->intended_us,
					      certificate->authority, strlen(certificate->authority));
	if (result < 0 && result != -EALREADY)
		return failed(purge, result, "writing the intent");
	killpoint("purge.intended");
	progress(purge, PURGE_INTENDED);
	return 0;
}

/* After this no read of the day can come any more, and all there are lie in its segments: they can be counted. */
static int step_close(struct purge *purge)
{
	struct purge_certificate *certificate = &purge->record.certificate;
	struct catalog_day day = {0};
	int result;

	store_day_close(purge->store, certificate->day);
	result = store_seal_all(purge->store, WORKERS_WAIT_NS);
	if (result == STORE_BUSY)
		return PURGE_BUSY;
	if (result < 0)
		return failed(purge, result, "sealing its journals");
	result = catalog_day(purge->store->catalog, certificate->day, &day);
	if (result < 0 && result != -ENOENT)
		return failed(purge, result, "counting its reads");
	/* Less than was counted before: the catalog was lost in between. */
	if (result == 0 && day.rows >= certificate->reads) {
		certificate->reads = day.rows;
		certificate->segments = day.segments;
		certificate->bytes = day.bytes;
	}
	result = record_save(purge, PURGE_CLOSED);
	if (result < 0)
		return failed(purge, result, "writing the intent");
	killpoint("purge.closed");
	progress(purge, PURGE_CLOSED);
	return 0;
}

static int step_audit(struct purge *purge)
{
	int result = 0;

	if (purge->record.step >= PURGE_AUDITED)
		return 0;
	if (purge->hooks->audit_intent != NULL)
		result = purge->hooks->audit_intent(purge->hooks->context, &purge->record.certificate);
	if (result == 0)
		result = record_save(purge, PURGE_AUDITED);
	if (result < 0)
		return failed(purge, result, "writing the audit entry");
	killpoint("purge.audited");
	progress(purge, PURGE_AUDITED);
	return 0;
}

static int step_destroy(struct purge *purge)
{
	struct purge_certificate *certificate = &purge->record.certificate;
	int result = keyring_destroy_day(purge->store->keyring, certificate->day);

	if (result == 0) {
		/* At once: whatever fails after this, what is open of the day is not read any more. */
		views_forget_day(purge->store->views, certificate->day);
		certificate->destroyed_us = clock_wall_us();
		result = record_save(purge, PURGE_KEYS_DESTROYED);
	}
	if (result < 0)
		return failed(purge, result, "destroying its keys");
	killpoint("purge.keys-destroyed");
	progress(purge, PURGE_KEYS_DESTROYED);
	return 0;
}

struct day_files {
	int32_t day;
	uint64_t *ids;
	size_t count;
	size_t capacity;
};

static int day_file_collect(void *context, const char *name)
{
	struct day_files *files = context;
	int32_t day;
	uint64_t id;

	if (segment_name_parse(name, ".seg", &day, &id) != 0 || day != files->day)
		return 0;
	if (files->count == files->capacity) {
		size_t capacity = files->capacity * 2 + 64;
		void *grown = realloc(files->ids, capacity * sizeof(*files->ids));

		if (grown == NULL)
			return -ENOMEM;
		files->ids = grown;
		files->capacity = capacity;
	}
	files->ids[files->count++] = id;
	return 0;
}

static int step_unlink(struct purge *purge)
{
	struct store *store = purge->store;
	struct day_files files = {.day = purge->record.certificate.day};
	int result = store->io->ops->list(store->io, store->segments_directory, day_file_collect, &files);

	views_forget_day(store->views, files.day); /* again, for a resumed purge: an open file would keep its blocks */
	for (size_t i = 0; result == 0 && i < files.count; i++)
		result = segment_discard(store->io, store->segments_directory, files.day, files.ids[i]);
	if (result == 0 && files.count > 0)
		result = store->io->ops->dir_sync(store->io, store->segments_directory);
	free(files.ids);
	if (result < 0)
		return failed(purge, result, "removing its files");
	keeper_disk(store);
	killpoint("purge.unlinked");
	progress(purge, PURGE_UNLINKED);
	return 0;
}

static int step_forget(struct purge *purge)
{
	int result = catalog_purge_forget(purge->store->catalog, purge->record.certificate.day, clock_wall_us());

	if (result < 0)
		return failed(purge, result, "removing it from the catalog");
	killpoint("purge.forgotten");
	progress(purge, PURGE_FORGOTTEN);
	return 0;
}

static int step_certify(struct purge *purge)
{
	struct store *store = purge->store;
	struct purge_certificate *certificate = &purge->record.certificate;
	int result = 0;

	certificate->finished_us = clock_wall_us();
	purge->record.step = PURGE_CERTIFIED;
	if (purge->hooks->audit_certificate != NULL)
		result = purge->hooks->audit_certificate(purge->hooks->context, certificate);
	if (result == 0)
		result = purge_file_write(store->io, store->purge_directory, PURGE_FILE_CERTIFICATE, &purge->record);
	if (result == 0)
		result = purge_file_remove(store->io, store->purge_directory, PURGE_FILE_INTENT, certificate->day,
					   certificate->number);
	if (result == 0 && purge->damaged_number != 0)
		result = purge_file_remove(store->io, store->purge_directory, PURGE_FILE_INTENT, certificate->day,
					   purge->damaged_number);
	if (result < 0)
		return failed(purge, result, "writing the certificate");
	progress(purge, PURGE_CERTIFIED);
	return 0;
}

/* With the keys gone a resumed purge has nothing left to seal, count or announce. */
static int purge_steps(struct purge *purge)
{
	static int (*const steps[])(struct purge *) = {step_intend, step_close,  step_audit,  step_destroy,
						       step_unlink, step_forget, step_certify};
	bool destroyed = purge->record.step >= PURGE_KEYS_DESTROYED;
	int result = 0;

	store_day_close(purge->store, purge->record.certificate.day);
	for (size_t i = destroyed ? PURGE_UNLINKED : PURGE_INTENDED; result == 0 && i <= PURGE_CERTIFIED; i++)
		result = steps[i](purge);
	return result;
}

static uint64_t rows_of_day(const struct generation *generation, int32_t day)
{
	const struct chunk *chunk = atomic_load_explicit(&generation->first, memory_order_acquire);
	uint64_t count = 0;

	for (; chunk != NULL; chunk = atomic_load_explicit(&chunk->next, memory_order_acquire)) {
		uint32_t rows = atomic_load_explicit(&chunk->rows_durable, memory_order_acquire);

		for (uint32_t i = 0; i < rows; i++)
			count += read_day(chunk->rows[i].capture_us) == day;
	}
	return count;
}

/* The reads of a day that are not sealed yet. */
static int memtable_rows(struct store *store, int32_t day, uint64_t *ret_count)
{
	struct memtable_view view;
	uint64_t count = 0;
	int result = memtable_view_take(store->memtable, &view);

	if (result < 0)
		return result;
	for (size_t i = 0; i < view.count; i++)
		count += rows_of_day(view.generations[i], day);
	memtable_view_release(store->memtable, &view);
	*ret_count = count;
	return 0;
}

/* 1 the day holds something, 0 nothing, -errno. */
static int day_holds(struct store *store, int32_t day)
{
	struct catalog_day found;
	uint64_t count;
	int result = catalog_day(store->catalog, day, &found);

	if (result == 0 && found.state != CATALOG_DAY_PURGED && found.segments > 0)
		return 1;
	if (result < 0 && result != -ENOENT)
		return result;
	result = memtable_rows(store, day, &count);
	return result < 0 ? result : count > 0;
}

static int purge_begin(struct purge *purge, int32_t day, const char *authority, uint32_t who_uid)
{
	struct store *store = purge->store;
	struct intents intents;
	int result = intents_look(store, day, 0, &intents);

	if (result == 0 && intents.found) {
		result = purge_file_read(store->io, store->purge_directory, PURGE_FILE_INTENT, day,
					 intents.found_number, purge->err, &purge->record);
		if (result != -EBADMSG)
			return result;
		/* That there was one is known by its name; the rest is begun anew. */
		purge->damaged_number = intents.found_number;
		result = 1;
	} else if (result == 0) {
		result = day_holds(store, day);
	}
	if (result < 0)
		return err_set(purge->err, result, "purge of day %d: %s", day, strerror(-result));
	if (result == 0)
		return PURGE_NOTHING;
	purge->record.certificate = (struct purge_certificate){
		.number = intents.highest + 1, .day = day, .who_uid = who_uid, .intended_us = clock_wall_us()};
	snprintf(purge->record.certificate.authority, PURGE_TEXT_SIZE, "%s", authority);
	return 0;
}

static int purge_check(struct store *store, int32_t day, const char *authority, struct err *err)
{
	if (store->reg == NULL)
		return err_set(err, -ENOKEY, "the register is incomplete, nothing is purged: %s", store->reg_why.text);
	if (authority[0] == '\0' || strlen(authority) >= PURGE_TEXT_SIZE)
		return err_set(err, -EINVAL, "a purge needs an authority of 1 to %d bytes", PURGE_TEXT_SIZE - 1);
	if (day >= read_day(clock_wall_us()))
		return err_set(err, -EINVAL, "day %d is not over yet (UTC)", day);
	return 0;
}

int purge_run(struct store *store, int32_t day, const char *authority, uint32_t who_uid,
	      const struct purge_hooks *hooks, struct err *err, struct purge_certificate *ret_certificate)
{
	struct purge purge = {.store = store, .hooks = hooks, .err = err};
	int result = purge_check(store, day, authority, err);

	if (result < 0)
		return result;
	pthread_mutex_lock(&store->purge_mutex);
	rewrite_preempt(store);
	result = purge_begin(&purge, day, authority, who_uid);
	if (result == 0)
		result = purge_steps(&purge);
	rewrite_unlock(store);
	pthread_mutex_unlock(&store->purge_mutex);
	if (result == 0)
		*ret_certificate = purge.record.certificate;
	return result;
}

static int intent_resume(struct store *store, const struct purge_hooks *hooks, const struct intents *intents,
			 struct err *err)
{
	struct purge purge = {.store = store, .hooks = hooks, .err = err};
	int result = purge_file_read(store->io, store->purge_directory, PURGE_FILE_INTENT, intents->found_day,
				     intents->found_number, err, &purge.record);

	return result == 0 ? purge_steps(&purge) : result;
}

/* One after the other, whatever becomes of those before: a day whose intent is damaged holds up no other day. */
int purge_resume(struct store *store, const struct purge_hooks *hooks, struct err *err)
{
	struct intents intents = {0};
	int finished = 0;
	int first = 0;

	if (store->reg == NULL)
		return err_set(err, -ENOKEY, "the register is incomplete, nothing is purged: %s", store->reg_why.text);
	pthread_mutex_lock(&store->purge_mutex);
	rewrite_preempt(store);
	for (;;) {
		struct err why;
		int result = intents_look(store, INT32_MIN, intents.found_number, &intents);

		if (result < 0 && first == 0)
			first = err_set(err, result, "%s: %s", store->purge_directory, strerror(-result));
		if (result < 0 || !intents.found)
			break;
		result = intent_resume(store, hooks, &intents, &why);
		if (result == PURGE_BUSY)
			result = err_set(&why, -EAGAIN, "purge of day %d: a worker does not answer", intents.found_day);
		finished += result == 0;
		if (result == 0)
			continue;
		store_alarm(store, "%s", why.text);
		if (first == 0)
			first = err_set(err, result, "%s", why.text);
		if (result == -EAGAIN)
			break; /* the next would wait for the same worker */
	}
	rewrite_unlock(store);
	pthread_mutex_unlock(&store->purge_mutex);
	return first < 0 ? first : finished;
}
