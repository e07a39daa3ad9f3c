/* What became of purges: certificates and intents, as their files say. */
#include "storage/purge.h"

#include <errno.h>
#include <stdlib.h>

#include "storage/purge_file.h"
#include "storage/store_internal.h"

struct showing {
	struct store *store;
	const char *suffix;
	int (*certificate)(void *context, const struct purge_certificate *certificate);
	int (*intent)(void *context, const struct purge_certificate *intended, enum purge_step step);
	void *context;
};

static int show_one(void *context, const char *name)
{
	struct showing *showing = context;
	struct store *store = showing->store;
	struct purge_record record;
	struct err err = {""};
	uint64_t number;
	int32_t day;
	int result;

	if (!purge_file_name_parse(name, showing->suffix, &day, &number))
		return 0;
	result = purge_file_read(store->io, store->purge_directory, showing->suffix, day, number, &err, &record);
	if (result == -ENOENT) /* finished since the directory was listed */
		return 0;
	if (result == -EBADMSG) {
		if (showing->intent != NULL)
			store_alarm_stand(store, STANDING_PURGE, day, "%s", err.text);
		else
			store_alarm(store, "%s", err.text);
		return 0;
	}
	if (result < 0)
		return result;
	return showing->intent != NULL ? showing->intent(showing->context, &record.certificate, record.step)
				       : showing->certificate(showing->context, &record.certificate);
}

static int intent_name(void *context, const char *name)
{
	uint64_t number;
	int32_t day;

	return purge_file_name_parse(name, PURGE_FILE_INTENT, &day, &number) && day == *(const int32_t *)context;
}

int purge_begun(struct store *store, int32_t day)
{
	if (keyring_day_destroyed(store->keyring, day))
		return 1;
	return store->io->ops->list(store->io, store->purge_directory, intent_name, &day);
}

int purge_certificates(struct store *store, int (*each)(void *context, const struct purge_certificate *certificate),
		       void *context)
{
	struct showing showing = {
		.store = store, .suffix = PURGE_FILE_CERTIFICATE, .certificate = each, .context = context};

	return store->io->ops->list(store->io, store->purge_directory, show_one, &showing);
}

int purge_intents(struct store *store,
		  int (*each)(void *context, const struct purge_certificate *intended, enum purge_step step),
		  void *context)
{
	struct showing showing = {.store = store, .suffix = PURGE_FILE_INTENT, .intent = each, .context = context};

	return store->io->ops->list(store->io, store->purge_directory, show_one, &showing);
}
