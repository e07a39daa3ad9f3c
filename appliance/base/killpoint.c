#include "appliance/base/killpoint.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

const char *const killpoint_names[] = {
	"journal.created",      /* file made and preallocated, its key not yet in the keyring */
	"journal.keyed",        /* its key durable, no frame yet */
	"journal.rolled",       /* the worker moved to the next file, the closed one waits for the sealer */
	"seal.keyed",           /* keys of the new segments durable, no page yet */
	"seal.written",         /* segments written and renamed, catalog not yet told */
	"seal.committed",       /* catalog committed, journal's key still there */
	"seal.lanes-copied",    /* the first copy of the lanes written, then both; keys not yet destroyed */
	"seal.key-destroyed",   /* journal's key destroyed, its file still there */
	"seal.unlinked",        /* journal's file gone */
	"merge.keyed",          /* key of the child durable, no page yet */
	"merge.written",        /* child written and renamed, catalog not yet told */
	"merge.committed",      /* catalog committed, parents' keys still there */
	"merge.destroyed",      /* parents' keys destroyed, their files still there */
	"commit.submitted",     /* a frame handed to the kernel */
	"commit.durable",       /* a frame durable, nobody told */
	"register.logged",      /* change in the change log, not yet in LMDB */
	"register.renewed",     /* the change log written anew has its name, the directory is not synced */
	"case.keyed",           /* key of an edited copy durable, no page yet */
	"case.written",         /* the edited copy beside the old one */
	"case.committed",       /* the catalog has the edited one; the old one's key stands */
	"mark.keyed",           /* key of a mark's sealed part durable, its record not */
	"mark.rewritten",       /* segments rewritten without a marked read, its record does not say so yet */
	"mark.noted",           /* records say so, the keys of their sealed parts still there */
	"late.keyed",           /* key of a day's late hits durable, their records not */
	"late.rekeyed",         /* a new key for a day's late hits durable, their records under the former one */
	"late.rewritten",       /* late hits written anew without erased reads, the former key still there */
	"purge.intended",       /* durable intent */
	"purge.closed",         /* day closed to ingest, its journals sealed */
	"purge.held",           /* held rows committed to their cases' segments */
	"purge.audited",        /* audit entry written */
	"purge.keys-destroyed", /* keyring without the day's keys */
	"purge.unlinked",       /* files gone */
	"purge.forgotten",      /* catalog rows gone, certificate not yet written */
	"rotate.made",          /* a new master key file beside the old one, nothing wrapped under it */
	"rotate.wrapped",       /* both copies of the keyring wrapped under the new master key */
	"rotate.renamed",       /* the new master key has its place, the old one not yet overwritten */
	NULL,
};

static pthread_once_t kill_once = PTHREAD_ONCE_INIT;
static char kill_name[64];
static atomic_int kill_left;

static void kill_read(void)
{
	const char *wish = getenv("GANTRY_KILL");
	const char *colon;
	size_t size;

	if (wish == NULL)
		return;
	colon = strchr(wish, ':');
	size = colon != NULL ? (size_t)(colon - wish) : strlen(wish);
	if (size >= sizeof(kill_name))
		return;
	memcpy(kill_name, wish, size);
	atomic_store(&kill_left, colon != NULL ? atoi(colon + 1) : 1);
}

void killpoint(const char *name)
{
	pthread_once(&kill_once, kill_read);
	if (kill_name[0] == '\0' || strcmp(name, kill_name) != 0)
		return;
	if (atomic_fetch_sub(&kill_left, 1) == 1)
		raise(SIGKILL);
}
