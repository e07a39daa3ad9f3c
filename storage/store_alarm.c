/*
 * What an operator must know: events are told to the store's owner, damage is kept for the status besides, and what
 * lasts is kept until it is over. Any control thread; status_mutex guards what is kept.
 */
#include "storage/store_internal.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define LOG_MODULE "store"
#include "appliance/base/array.h"
#include "appliance/base/log.h"

static void alarm_tell(struct store *store, const char *text, bool lasts)
{
	log_warn("%s", text);
	if (store->hooks.alarm != NULL)
		store->hooks.alarm(store->hooks.context, text, lasts);
}

void store_alarm(struct store *store, const char *format, ...)
{
	char text[512];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(text, sizeof(text), format, arguments);
	va_end(arguments);
	alarm_tell(store, text, false);
}

/* status_mutex held. */
static struct store_standing *standing_find(const struct store *store, enum store_standing_kind kind, int32_t day)
{
	for (size_t i = 0; i < store->standing_count; i++)
		if (store->standings[i].kind == kind && store->standings[i].day == day)
			return &store->standings[i];
	return NULL;
}

/* status_mutex held. NULL when memory is short. */
static struct store_standing *standing_new(struct store *store, enum store_standing_kind kind, int32_t day)
{
	struct store_standing *grown =
		array_grow(store->standings, store->standing_count, &store->standing_room, sizeof(*grown));

	if (grown == NULL)
		return NULL;
	store->standings = grown;
	grown += store->standing_count++;
	*grown = (struct store_standing){.kind = kind, .day = day};
	return grown;
}

void store_alarm_stand(struct store *store, enum store_standing_kind kind, int32_t day, const char *format, ...)
{
	char text[sizeof(store->standings->text)];
	struct store_standing *standing;
	va_list arguments;
	bool fresh;

	va_start(arguments, format);
	vsnprintf(text, sizeof(text), format, arguments);
	va_end(arguments);
	pthread_mutex_lock(&store->status_mutex);
	standing = standing_find(store, kind, day);
	fresh = standing == NULL;
	if (fresh)
		standing = standing_new(store, kind, day);
	if (standing != NULL)
		memcpy(standing->text, text, sizeof(text));
	pthread_mutex_unlock(&store->status_mutex);
	if (fresh)
		alarm_tell(store, text, standing != NULL);
}

void store_alarm_over(struct store *store, enum store_standing_kind kind, int32_t day)
{
	struct store_standing *standing;
	struct store_standing was;

	pthread_mutex_lock(&store->status_mutex);
	standing = standing_find(store, kind, day);
	if (standing != NULL) {
		was = *standing;
		memmove(standing, standing + 1,
			(size_t)(store->standings + --store->standing_count - standing) * sizeof(*standing));
	}
	pthread_mutex_unlock(&store->status_mutex);
	if (standing != NULL)
		log_info("is over: %s", was.text);
}

void store_alarms_each(struct store *store, void (*each)(void *context, const char *text), void *context)
{
	pthread_mutex_lock(&store->status_mutex);
	for (size_t i = 0; i < store->standing_count; i++)
		each(context, store->standings[i].text);
	pthread_mutex_unlock(&store->status_mutex);
}

void store_damage(struct store *store, const char *format, ...)
{
	char text[512];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(text, sizeof(text), format, arguments);
	va_end(arguments);
	pthread_mutex_lock(&store->status_mutex);
	store->damage_count++;
	if (store->damage_text_count < STORE_DAMAGE_MAX)
		snprintf(store->damage[store->damage_text_count++], sizeof(store->damage[0]), "%.190s", text);
	pthread_mutex_unlock(&store->status_mutex);
	alarm_tell(store, text, false);
}

void store_damage_met(struct store *store, const char *text)
{
	char kept[sizeof(store->damage[0])];
	bool known = false;

	(void)snprintf(kept, sizeof(kept), "%.190s", text);
	pthread_mutex_lock(&store->status_mutex);
	for (unsigned i = 0; i < store->damage_text_count && !known; i++)
		known = strcmp(store->damage[i], kept) == 0;
	pthread_mutex_unlock(&store->status_mutex);
	if (!known)
		store_damage(store, "%s", text);
}
