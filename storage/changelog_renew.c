#include "storage/changelog_renew.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "appliance/base/bytes.h"
#include "appliance/base/killpoint.h"
#include "storage/changelog_internal.h"
#include "storage/io.h"

#define RENEWAL_NAME CHANGELOG_NAME ".tmp"

struct changelog_renewal {
	struct changelog source; /* the log as it was, going on through its entries; the file is the log's */
	struct changelog fresh;
	struct changelog *log;
	struct io_file *former; /* replaced for good; NULL: not yet, or perhaps not for good */
};

static void remnant_path(const struct changelog *log, char path[4096])
{
	(void)snprintf(path, 4096, "%s/" RENEWAL_NAME, log->directory);
}

void changelog_remnant_remove(const struct changelog *log)
{
	const struct io_ops *ops = log->io->ops;
	struct io_file *file;
	char path[4096];

	remnant_path(log, path);
	if (ops->open(log->io, path, IO_WRITE, &file) < 0)
		return;
	(void)ops->punch(file);
	ops->close(file);
	(void)ops->unlink(log->io, path);
}

static void fresh_init(struct changelog *fresh, const struct changelog *log)
{
	*fresh = *log;
	fresh->file = NULL;
	fresh->phase = CHANGELOG_BEGINS;
	fresh->end = fresh->base_size = 0;
	memset(fresh->previous, 0, sizeof(fresh->previous));
	remnant_path(log, fresh->path);
}

static struct changelog_renewal *renewal_free(struct changelog_renewal *renewal)
{
	aead_key_fini(&renewal->source.key);
	aead_key_fini(&renewal->fresh.key);
	free(renewal);
	return NULL;
}

int changelog_renew_begin(struct changelog *log, struct changelog_renewal **ret_renewal)
{
	struct changelog_renewal *renewal = aligned_alloc(64, (sizeof(*renewal) + 63) / 64 * 64);
	int result;

	assert(log->sequence > 1);
	if (renewal == NULL)
		return -ENOMEM;
	renewal->log = log;
	renewal->former = NULL;
	renewal->source = *log;
	fresh_init(&renewal->fresh, log);
	changelog_remnant_remove(log);
	result = log->io->ops->open(log->io, renewal->fresh.path, IO_WRITE | IO_CREATE, &renewal->fresh.file);
	if (result < 0) {
		renewal_free(renewal);
		return result;
	}
	*ret_renewal = renewal;
	return 0;
}

int changelog_renew_put(struct changelog_renewal *renewal, const uint8_t *body, size_t size)
{
	return changelog_frame_write(&renewal->fresh, CHANGELOG_BASE, body, size, false);
}

static int entry_follow(struct changelog_renewal *renewal)
{
	uint8_t header[CHANGELOG_HEADER_SIZE];
	uint8_t *body;
	size_t size;
	int result = changelog_frame_read(&renewal->source, header, &body, &size);

	if (result < 0)
		return result == -ENODATA ? -EBADMSG : result;
	result = changelog_frame_write(&renewal->fresh, CHANGELOG_ENTRY, body, size, false);
	bytes_wipe(body, size);
	free(body);
	if (result == 0)
		changelog_frame_passed(&renewal->source, header, size);
	return result;
}

int changelog_renew_follow(struct changelog_renewal *renewal, uint64_t sequence)
{
	struct changelog *fresh = &renewal->fresh;
	int result = 0;

	assert(fresh->phase != CHANGELOG_BEGINS);
	if (fresh->phase == CHANGELOG_IN_BASE)
		result = changelog_frame_write(fresh, CHANGELOG_BASE_END, (const uint8_t *)"", 0, false);
	while (result == 0 && fresh->sequence < sequence)
		result = entry_follow(renewal);
	return result == 0 ? fresh->file->ops->sync(fresh->file) : result;
}

/* The log goes on in the new file. */
static struct io_file *take_place(struct changelog *log, struct changelog *fresh)
{
	struct io_file *former = log->file;

	log->file = fresh->file;
	log->end = fresh->end;
	log->base_size = fresh->base_size;
	memcpy(log->previous, fresh->previous, sizeof(log->previous));
	fresh->file = NULL;
	return former;
}

int changelog_renew_finish(struct changelog_renewal *renewal)
{
	struct changelog *log = renewal->log;
	const struct io_ops *ops = log->io->ops;
	struct io_file *former;
	int result = changelog_renew_follow(renewal, log->sequence);

	if (result == 0)
		result = ops->rename(log->io, renewal->fresh.path, log->path);
	if (result < 0)
		return result;
	killpoint("register.renewed");
	former = take_place(log, &renewal->fresh);
	log->unsettled = ops->dir_sync(log->io, log->directory) < 0;
	if (log->unsettled)
		ops->close(former); /* a power cut may bring it back: it stays whole */
	else
		renewal->former = former;
	return 0;
}

struct changelog_renewal *changelog_renew_end(struct changelog_renewal *renewal)
{
	const struct io_ops *ops = renewal->log->io->ops;

	if (renewal->former != NULL) {
		(void)ops->punch(renewal->former);
		ops->close(renewal->former);
	}
	if (renewal->fresh.file != NULL) {
		ops->close(renewal->fresh.file);
		changelog_remnant_remove(renewal->log);
	}
	return renewal_free(renewal);
}
