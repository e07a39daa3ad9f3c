/*
 * Purges that are not the rule's own: one account proposes, another approves within the hour (R34 and field practice:
 * propose, show the effect, commit by a second person). Proposals lie sealed in the register, so they outlive a
 * restart; an approved one becomes a purge's intent and is gone.
 *
 * Any control thread. Needs the register: -ENOKEY without.
 */
#ifndef GANTRY_STORAGE_PURGE_PROPOSAL_H
#define GANTRY_STORAGE_PURGE_PROPOSAL_H

#include <stdint.h>

#include "appliance/base/err.h"
#include "storage/purge.h"
#include "storage/register_hold.h"

#define PURGE_PROPOSAL_LIFE_US INT64_C(3600000000)

struct store;

/*
 * `proposal` gives day, who_uid, authority and reason; number and time are filled in. -EINVAL: the day is not over, or
 * is due by the rule (purge_run takes it), or a text is missing; -EEXIST: that day is proposed already; -EALREADY: it
 * is purged or being purged.
 */
int purge_propose(struct store *store, struct reg_proposal *proposal, struct err *err);

/*
 * Purges the proposed day as purge_run does. -ENOENT no such proposal (expired, withdrawn, approved); -EPERM by the
 * account that proposed it; -ETIMEDOUT expired. With the other outcomes of purge_run the proposal stands, unless the
 * intent was written: then the purge stands and goes on by itself.
 */
int purge_approve(struct store *store, uint32_t number, uint32_t who_uid, const struct purge_hooks *hooks,
		  struct err *err, struct purge_certificate *ret_certificate);

/* By any account. -ENOENT. */
int purge_withdraw(struct store *store, uint32_t number, uint32_t who_uid, struct err *err);

/* Those that stand, by number. Stops at the first non-zero. */
int purge_proposal_each(struct store *store, int (*each)(void *context, const struct reg_proposal *proposal),
			void *context);

/* Removes what expired. The number removed, or -errno. */
int purge_proposals_expire(struct store *store);

#endif
