/*
 * Every step is idempotent and is done again by a resumed purge, up to the one that cannot be: the keys are gone. The
 * intent file remembers the counts (taken when nothing more can be added to the day) and the last step done, so that a
 * certificate can be given even when the catalog is lost in between.
 */
#include "storage/purge_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "appliance/base/array.h"
#include "appliance/base/killpoint.h"
#include "storage/cases.h"
#include "storage/hit_lives.h"
#include "storage/hold.h"
#include "storage/keeper.h"
#include "storage/late_hits.h"
#include "storage/marks.h"
#include "storage/segment_discard.h"
#include "storage/store_internal.h"
#include "storage/view.h"

#define COPY_TRIES 16 /* a mark or a late hit that comes in between makes the copies anew */
#define WORKERS_WAIT_NS INT64_C(10000000000)

static int failed(struct purge *purge, int result, const char *step)
{
	return err_set(purge->err, result, "purge of day %d, %s: %s; the intent stands, run it again",
		       purge->record.certificate.day, step, strerror(-result));
}

/* The step is durable, or needs not be. */
static void step_tell(const struct purge *purge, enum purge_step step)
{
	static const char *const names[] = {[PURGE_INTENDED] = "purge.intended",
					    [PURGE_CLOSED] = "purge.closed",
					    [PURGE_HELD] = "purge.held",
					    [PURGE_AUDITED] = "purge.audited",
					    [PURGE_KEYS_DESTROYED] = "purge.keys-destroyed",
					    [PURGE_UNLINKED] = "purge.unlinked",
					    [PURGE_FORGOTTEN] = "purge.forgotten"};

	if (step < PURGE_CERTIFIED)
		killpoint(names[step]);
	if (purge->hooks->progress != NULL)
		purge->hooks->progress(purge->hooks->context, purge->record.certificate.day, step);
}

static int record_save(struct purge *purge, enum purge_step step)
{
	if (purge->record.step < step)
		purge->record.step = step;
	return purge_file_write(purge->store->io, purge->store->purge_directory, PURGE_FILE_INTENT, &purge->record);
}

/* The end of a step that the intent remembers. */
static int step_done(struct purge *purge, enum purge_step step)
{
	int result = record_save(purge, step);

	if (result < 0)
		return failed(purge, result, "writing the intent");
	step_tell(purge, step);
	return 0;
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
	step_tell(purge, PURGE_INTENDED);
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
	return step_done(purge, PURGE_CLOSED);
}

struct wanted_case {
	uint32_t number;
	char reference[REG_NAME_SIZE];
};

static int case_named(void *context, const struct reg_hold *hold)
{
	struct wanted_case *wanted = context;

	if (hold->number != wanted->number)
		return 0;
	memcpy(wanted->reference, hold->reference, sizeof(wanted->reference));
	return 1;
}

struct case_numbers {
	uint32_t *numbers;
	size_t count;
	size_t room;
};

static int case_collect(void *context, const struct reg_hold *hold)
{
	struct case_numbers *cases = context;
	uint32_t *grown;

	if (hold->released)
		return 0;
	grown = array_grow(cases->numbers, cases->count, &cases->room, sizeof(*grown));
	if (grown == NULL)
		return -ENOMEM;
	cases->numbers = grown;
	cases->numbers[cases->count++] = hold->number;
	return 0;
}

/* Copies come before anything is freed: the day waits until there is room, and whoever can make some is told. */
static int room_missing(struct purge *purge, uint32_t number)
{
	const struct purge_certificate *certificate = &purge->record.certificate;
	struct wanted_case wanted = {.number = number, .reference = "?"};

	(void)hold_each(purge->store, case_named, &wanted);
	return err_set(
		purge->err, -ENOSPC,
		"purge of day %d: no room to copy what case %s holds of it: make up to %llu KiB of room; the day "
		"is tried again after the other days that are due",
		certificate->day, wanted.reference, (unsigned long long)(certificate->bytes >> 10) + 1);
}

static int cases_copy(struct purge *purge, const struct case_numbers *cases)
{
	struct purge_certificate *certificate = &purge->record.certificate;

	certificate->held_cases = 0;
	certificate->held_reads = 0;
	for (size_t i = 0; i < cases->count; i++) {
		uint64_t rows = 0;
		int result = case_copy(purge->store, cases->numbers[i], certificate->day, purge->err, &rows);

		if (result == -ENOSPC)
			return room_missing(purge, cases->numbers[i]);
		if (result < 0)
			return err_prefix(purge->err, result, "purge of day %d, copying held rows", certificate->day);
		certificate->held_cases += rows > 0;
		certificate->held_reads += rows;
	}
	return 0;
}

/*
 * Copies made by an attempt that did not reach the end of this step are provisional: holds may have been added since,
 * so all are made anew. From the durable step on, under the same mutex, no hold is taken for this day any more. Reads
 * may still be erased or amended, and late hits of them put, until the keys are gone: copies that do not know of it are
 * made anew too, and the steps behind them are done again. A resumed purge does not know what its copies knew: any mark
 * and any late hit of the day will do.
 */
static int step_hold(struct purge *purge)
{
	struct store *store = purge->store;
	struct case_numbers cases = {0};
	int32_t day = purge->record.certificate.day;
	uint64_t stamp = marks_stamp(store->marks, day);
	uint64_t late_stamp = late_hits_stamp(store->late, day);
	int result;

	if (purge->record.step >= PURGE_HELD && ((stamp == purge->marks_stamp && late_stamp == purge->late_stamp) ||
						 keyring_day_destroyed(store->keyring, day)))
		return 0;
	if (purge->record.step > PURGE_CLOSED)
		purge->record.step = PURGE_CLOSED;
	pthread_mutex_lock(&store->hold_mutex);
	purge->marks_stamp = stamp; /* from before the copying, which may see more */
	purge->late_stamp = late_stamp;
	result = hold_each(store, case_collect, &cases);
	if (result < 0)
		(void)failed(purge, result, "reading the holds");
	else
		result = cases_copy(purge, &cases);
	if (result == 0) {
		result = record_save(purge, PURGE_HELD);
		if (result < 0)
			(void)failed(purge, result, "writing the intent");
	}
	pthread_mutex_unlock(&store->hold_mutex);
	free(cases.numbers);
	if (result == 0)
		step_tell(purge, PURGE_HELD);
	return result;
}

static int step_audit(struct purge *purge)
{
	int result = 0;

	if (purge->record.step >= PURGE_AUDITED)
		return 0;
	if (purge->hooks->audit_intent != NULL)
		result = purge->hooks->audit_intent(purge->hooks->context, &purge->record.certificate);
	if (result < 0)
		return failed(purge, result, "writing the audit entry");
	return step_done(purge, PURGE_AUDITED);
}

static int keys_destroy(struct purge *purge)
{
	struct store *store = purge->store;

	for (unsigned tries = 0; tries < COPY_TRIES; tries++) {
		int result =
			late_hits_destroy_day(store->late, store->marks, store->keyring, purge->record.certificate.day,
					      purge->late_stamp, purge->marks_stamp);

		if (result != MARKS_CHANGED)
			return result < 0 ? failed(purge, result, "destroying its keys") : 0;
		result = step_hold(purge);
		if (result == 0)
			result = step_audit(purge);
		if (result != 0)
			return result;
	}
	return failed(purge, -EAGAIN, "its reads are being erased or amended, or hits of them found, all the time");
}

static int step_destroy(struct purge *purge)
{
	struct purge_certificate *certificate = &purge->record.certificate;
	int result = keys_destroy(purge);

	if (result != 0)
		return result;
	/* At once: whatever fails after this, what is open of the day is not read any more. */
	views_forget_day(purge->store->views, certificate->day);
	certificate->destroyed_us = store_wall_us(purge->store);
	return step_done(purge, PURGE_KEYS_DESTROYED);
}

struct day_files {
	int32_t day;
	uint64_t *ids;
	size_t count;
	size_t room;
};

static int day_file_collect(void *context, const char *name)
{
	struct day_files *files = context;
	uint64_t *grown;
	int32_t day;
	uint64_t id;

	if (segment_name_parse(name, ".seg", &day, &id) != 0 || day != files->day)
		return 0;
	grown = array_grow(files->ids, files->count, &files->room, sizeof(*grown));
	if (grown == NULL)
		return -ENOMEM;
	files->ids = grown;
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
	step_tell(purge, PURGE_UNLINKED);
	return 0;
}

static int step_forget(struct purge *purge)
{
	int32_t day = purge->record.certificate.day;
	int result = catalog_purge_forget(purge->store->catalog, day, store_wall_us(purge->store));

	if (result == 0)
		result = marks_forget_day(purge->store->marks, day, NULL);
	if (result == 0)
		result = hit_lives_forget_day(purge->store->hit_lives, day, NULL);
	if (result == 0)
		result = late_hits_forget_day(purge->store->late, day, NULL);
	if (result < 0)
		return failed(purge, result, "removing it from the catalog");
	step_tell(purge, PURGE_FORGOTTEN);
	return 0;
}

static int step_certify(struct purge *purge)
{
	struct store *store = purge->store;
	struct purge_certificate *certificate = &purge->record.certificate;
	int result = 0;

	certificate->finished_us = store_wall_us(purge->store);
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
	step_tell(purge, PURGE_CERTIFIED);
	return 0;
}

static int kept_count(void *context, const struct reg_hold *hold)
{
	struct purge *purge = context;
	struct purge_certificate *certificate = &purge->record.certificate;
	struct catalog_segment *segments = NULL;
	size_t count = 0;
	int result = catalog_case_segments(purge->store->catalog, hold->number, certificate->day, certificate->day,
					   &segments, &count);

	for (size_t i = 0; i < count; i++)
		certificate->held_reads += segments[i].row_count;
	certificate->held_cases += count > 0;
	free(segments);
	return result;
}

/*
 * The keyring says that the keys are gone, the intent does not know: it was lost, or rotted, and is begun anew. The
 * copies are all that is left of the held rows: nothing is copied any more. Counts as far as the catalog has them.
 */
static int destroyed_already(struct purge *purge)
{
	struct purge_certificate *certificate = &purge->record.certificate;
	struct catalog_day day = {0};
	int result = catalog_day(purge->store->catalog, certificate->day, &day);

	purge->record.step = PURGE_KEYS_DESTROYED;
	certificate->reads = day.rows;
	certificate->segments = day.segments;
	certificate->bytes = day.bytes;
	certificate->held_cases = 0;
	certificate->held_reads = 0;
	if (result == 0 || result == -ENOENT)
		result = hold_each(purge->store, kept_count, purge);
	return result < 0 ? failed(purge, result, "counting what was held") : 0;
}

/* With the keys gone a resumed purge has nothing left to seal, count or announce. */
int purge_steps(struct purge *purge)
{
	static int (*const steps[])(struct purge *) = {step_intend,  step_close,  step_hold,   step_audit,
						       step_destroy, step_unlink, step_forget, step_certify};
	bool lost = purge->record.step < PURGE_AUDITED &&
		    keyring_day_destroyed(purge->store->keyring, purge->record.certificate.day);
	int result = lost ? destroyed_already(purge) : 0;
	bool destroyed = purge->record.step >= PURGE_KEYS_DESTROYED;

	store_day_close(purge->store, purge->record.certificate.day);
	for (size_t i = destroyed ? PURGE_UNLINKED : PURGE_INTENDED; result == 0 && i <= PURGE_CERTIFIED; i++)
		result = steps[i](purge);
	return result;
}
