/*
 * The change log written anew. Its base is a view of the index taken while the log stood where the index does; the
 * writer goes on with the old log meanwhile, and waits only while the last of what it wrote is taken over.
 *
 * A log is due at GROWTH times what it began with. A register of which all is needed so costs a few bytes written anew
 * for each one logged, however large it becomes, and a log is never longer than GROWTH times what is needed.
 */
#include "storage/register.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define LOG_MODULE "register"
#include "appliance/base/bytes.h"
#include "appliance/base/clock.h"
#include "appliance/base/log.h"
#include "storage/changelog.h"
#include "storage/changelog_renew.h"
#include "storage/register_db.h"
#include "storage/register_entry.h"
#include "storage/register_internal.h"

#define GROWTH 4
#define PART_CHANGES 4096
#define PART_SIZE (256u << 10)

/* A part of the base in the making. */
struct part {
	struct changelog_renewal *renewal;
	struct reg_change changes[PART_CHANGES];
	size_t count;
	size_t size;
	uint8_t values[PART_SIZE];
};

static bool is_due(struct reg *reg)
{
	uint64_t size = changelog_size(reg->log);

	return !reg->renewing && !reg->index_behind && changelog_sequence(reg->log) > 1 && size >= reg->log_size_min &&
	       size >= GROWTH * changelog_base_size(reg->log);
}

static int part_put(struct part *part)
{
	struct reg_entry entry = {.time_us = clock_wall_us(),
				  .reason = "the log written anew",
				  .changes = part->changes,
				  .count = part->count};
	uint8_t *body;
	size_t size;
	int result = reg_entry_encode(&entry, &body, &size);

	if (result < 0)
		return result;
	result = changelog_renew_put(part->renewal, body, size);
	bytes_wipe(body, size);
	free(body);
	part->count = 0;
	part->size = 0;
	return result;
}

static int record_take(void *context, const struct reg_record *record)
{
	struct part *part = context;
	uint8_t *value;
	int result = 0;

	if (part->count == PART_CHANGES || part->size + record->value_size > PART_SIZE)
		result = part_put(part);
	if (result < 0)
		return result;
	value = part->values + part->size;
	memcpy(value, record->value, record->value_size);
	part->changes[part->count++] = (struct reg_change){
		.kind = record->kind, .a = record->a, .b = record->b, .value = value, .value_size = record->value_size};
	part->size += record->value_size;
	return 0;
}

/* Also of an empty register: a base has one part at least. */
static int base_write(struct changelog_renewal *renewal, struct reg_db_view *view)
{
	struct part *part = malloc(sizeof(*part));
	int result;

	if (part == NULL)
		return -ENOMEM;
	part->renewal = renewal;
	part->count = part->size = 0;
	result = reg_db_view_each(view, record_take, part);
	if (result == 0)
		result = part_put(part);
	bytes_wipe(part, sizeof(*part));
	free(part);
	return result;
}

/* 1 when begun, of log and index as they are at one moment. */
static int begin(struct reg *reg, struct changelog_renewal **ret_renewal, struct reg_db_view **ret_view)
{
	uint64_t applied = 0;
	int result = 0;

	pthread_mutex_lock(&reg->mutex);
	if (is_due(reg)) {
		result = reg_db_view_new(reg->db, ret_view, &applied);
		if (result == 0 && applied != changelog_sequence(reg->log))
			result = -EBADMSG;
		if (result == 0)
			result = changelog_renew_begin(reg->log, ret_renewal);
		reg->renewing = result == 0;
		result = result == 0 ? 1 : result;
	}
	pthread_mutex_unlock(&reg->mutex);
	return result;
}

static int finish(struct reg *reg, struct changelog_renewal *renewal)
{
	int result = changelog_renew_follow(renewal, reg_sequence(reg)); /* most of it, without the mutex */

	if (result < 0)
		return result;
	pthread_mutex_lock(&reg->mutex);
	result = changelog_renew_finish(renewal);
	pthread_mutex_unlock(&reg->mutex);
	return result;
}

int reg_renew(struct reg *reg, struct err *err)
{
	struct changelog_renewal *renewal = NULL;
	struct reg_db_view *view = NULL;
	struct reg_info before;
	struct reg_info after;
	int result;

	reg_info(reg, &before);
	result = begin(reg, &renewal, &view);
	if (result > 0)
		result = base_write(renewal, view);
	reg_db_view_free(view);
	if (renewal == NULL)
		return result < 0 ? err_set(err, result, "writing the register's log anew: %s", strerror(-result)) : 0;
	if (result == 0)
		result = finish(reg, renewal);
	changelog_renew_end(renewal);
	pthread_mutex_lock(&reg->mutex);
	reg->renewing = false;
	pthread_mutex_unlock(&reg->mutex);
	if (result < 0)
		return err_set(err, result, "writing the register's log anew: %s", strerror(-result));
	reg_info(reg, &after);
	log_info("the register's log was written anew: %llu MiB before, %llu now",
		 (unsigned long long)(before.log_size >> 20), (unsigned long long)(after.log_size >> 20));
	return REG_RENEWED;
}
