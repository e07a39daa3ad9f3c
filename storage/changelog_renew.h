/*
 * A change log written anew: a second file beside it takes a base, which says what the log's entries came to, then the
 * entries that came meanwhile, and takes its place by a rename. One log whole is there at any moment; a crash before
 * the rename leaves the former one, and a file that the next opening removes.
 *
 * One renewal at a time, of one thread; with the owner's mutex where it says so. The log lives longer.
 */
#ifndef GANTRY_STORAGE_CHANGELOG_RENEW_H
#define GANTRY_STORAGE_CHANGELOG_RENEW_H

#include <stddef.h>
#include <stdint.h>

struct changelog;
struct changelog_renewal;

/* Mutex held. The base will stand for all entries up to now, two at least. -errno: nothing is left. */
int changelog_renew_begin(struct changelog *log, struct changelog_renewal **ret_renewal);
/* A part of the base, at least one. -EFBIG, or the disk's error: the renewal can only be ended. */
int changelog_renew_put(struct changelog_renewal *renewal, const uint8_t *body, size_t size);
/* Ends the base and takes over the entries up to `sequence`, durable ones; then all of it is durable. */
int changelog_renew_follow(struct changelog_renewal *renewal, uint64_t sequence);
/*
 * Mutex held. Takes over what else has come, and puts the new file into the log's place. -errno: the log is the former
 * one. When only the name's durability is in doubt it is 0, and the next append sees to it first.
 */
int changelog_renew_finish(struct changelog_renewal *renewal);
/* Discards the file that is not the log: the former one after a finish, else the new one. */
struct changelog_renewal *changelog_renew_end(struct changelog_renewal *renewal);

#endif
