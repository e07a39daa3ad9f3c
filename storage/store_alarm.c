/* What an operator must know: told to the store's owner, and damage kept for the status besides. Any control thread. */
#include "storage/store_internal.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define LOG_MODULE "store"
#include "appliance/base/log.h"

static void alarm_tell(struct store *store, const char *text)
{
	log_warn("%s", text);
	if (store->hooks.alarm != NULL)
		store->hooks.alarm(store->hooks.context, text);
}

void store_alarm(struct store *store, const char *format, ...)
{
	char text[512];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(text, sizeof(text), format, arguments);
	va_end(arguments);
	alarm_tell(store, text);
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
	alarm_tell(store, text);
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
