/*
 * A proposal is one record of the register; numbers are those of the register's entries, so none is ever given twice.
 * purge_approve reads it, checks it and orders the purge; the intent is durable before the record goes, so a crash
 * between leaves a proposal for a day that is being purged, which expires.
 */
#include "storage/purge_proposal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "storage/register.h"
#include "storage/retention.h"
#include "storage/store_internal.h"

static int register_ready(struct store *store, struct err *err)
{
	if (store->reg == NULL)
		return err_set(err, -ENOKEY, "the register is incomplete, nothing is purged: %s", store->reg_why.text);
	return 0;
}

struct each_call {
	int (*each)(void *context, const struct reg_proposal *proposal);
	void *context;
};

static int each_record(void *context, const struct reg_record *record)
{
	struct each_call *call = context;
	struct reg_proposal proposal;
	int result = reg_proposal_decode(record->value, record->value_size, &proposal);

	return result < 0 ? result : call->each(call->context, &proposal);
}

int purge_proposal_each(struct store *store, int (*each)(void *context, const struct reg_proposal *proposal),
			void *context)
{
	struct each_call call = {each, context};

	return store->reg == NULL ? -ENOKEY : reg_each(store->reg, REG_PROPOSAL, 0, UINT32_MAX, each_record, &call);
}

/* By the wall clock, which is under guard whenever it matters; set back, nothing lives longer. */
static bool expired(struct store *store, const struct reg_proposal *proposal)
{
	int64_t age_us = store_wall_us(store) - proposal->proposed_us;

	return age_us < 0 || age_us >= PURGE_PROPOSAL_LIFE_US;
}

struct sighting {
	struct store *store;
	int32_t day;
};

static int same_day(void *context, const struct reg_proposal *proposal)
{
	const struct sighting *sighting = context;

	return proposal->day == sighting->day && !expired(sighting->store, proposal);
}

static int day_check(struct store *store, int32_t day, struct err *err)
{
	struct sighting sighting = {store, day};
	struct catalog_day found;
	int begun;
	int result;

	if (day >= read_day(store_wall_us(store)))
		return err_set(err, -EINVAL, "that day is not over yet (UTC)");
	if (day < retention_due_before(store))
		return err_set(err, -EINVAL,
			       "that day is due by the retention rule and goes by itself; purge.run "
			       "begins it at once");
	result = catalog_day(store->catalog, day, &found);
	if (result < 0 && result != -ENOENT)
		return err_set(err, result, "catalog: %s", strerror(-result));
	begun = purge_begun(store, day);
	if (begun < 0)
		return err_set(err, begun, "the purges that stand: %s", strerror(-begun));
	if (begun == 1 || (result == 0 && found.state != CATALOG_DAY_OPEN))
		return err_set(err, -EALREADY, "that day is purged, or being purged; see purge.show");
	result = purge_proposal_each(store, same_day, &sighting);
	if (result == 1)
		return err_set(err, -EEXIST, "that day is proposed already; see purge.show");
	return result < 0 ? err_set(err, result, "register: %s", strerror(-result)) : 0;
}

static int proposal_put(struct store *store, struct reg_proposal *proposal, struct err *err)
{
	uint8_t buffer[REG_RECORD_SIZE_MAX];
	struct reg_change change = {.kind = REG_PROPOSAL, .value = buffer};

	proposal->number = (uint32_t)reg_sequence(store->reg) + 1;
	proposal->proposed_us = store_wall_us(store);
	change.a = proposal->number;
	change.value_size = reg_proposal_encode(proposal, buffer);
	return reg_change(store->reg, &change, 1, proposal->who_uid, "purge proposed", err);
}

int purge_propose(struct store *store, struct reg_proposal *proposal, struct err *err)
{
	int result = register_ready(store, err);

	if (result < 0)
		return result;
	if (proposal->authority[0] == '\0' || proposal->reason[0] == '\0')
		return err_set(err, -EINVAL, "a purge needs an authority and a reason");
	pthread_mutex_lock(&store->purge_mutex);
	result = day_check(store, proposal->day, err);
	if (result == 0)
		result = proposal_put(store, proposal, err);
	pthread_mutex_unlock(&store->purge_mutex);
	return result;
}

static int proposal_get(struct store *store, uint32_t number, struct err *err, struct reg_proposal *ret_proposal)
{
	uint8_t value[REG_RECORD_SIZE_MAX];
	size_t size;
	int result = register_ready(store, err);

	if (result < 0)
		return result;
	result = reg_get(store->reg, REG_PROPOSAL, number, 0, value, &size);
	if (result == -ENOENT)
		return err_set(err, result, "there is no such proposal (any more); see purge.show");
	if (result == 0)
		result = reg_proposal_decode(value, size, ret_proposal);
	return result < 0 ? err_set(err, result, "register: %s", strerror(-result)) : 0;
}

static int proposal_delete(struct store *store, uint32_t number, uint32_t who_uid, const char *why, struct err *err)
{
	struct reg_change change = {.kind = REG_PROPOSAL, .a = number};

	return reg_change(store->reg, &change, 1, who_uid, why, err);
}

/* Does an intent stand that this proposal gave? */
static int intent_of(void *context, const struct purge_certificate *intended, enum purge_step step)
{
	(void)step;
	return intended->proposal == *(const uint32_t *)context;
}

int purge_approve(struct store *store, uint32_t number, uint32_t who_uid, const struct purge_hooks *hooks,
		  struct err *err, struct purge_certificate *ret_certificate)
{
	struct reg_proposal proposal;
	struct purge_order order;
	int result = proposal_get(store, number, err, &proposal);

	if (result < 0)
		return result;
	if (proposal.who_uid == who_uid)
		return err_set(err, -EPERM, "a purge is approved by another account than the one that proposed it");
	if (expired(store, &proposal))
		return err_set(err, -ETIMEDOUT, "the proposal is older than an hour: propose it again");
	order = (struct purge_order){.day = proposal.day,
				     .authority = proposal.authority,
				     .who_uid = who_uid,
				     .proposer_uid = proposal.who_uid,
				     .proposal = number};
	result = purge_order_run(store, &order, hooks, err, ret_certificate);
	/* Its intent, once durable, is the purge: the proposal is used up. */
	if (result == 0 || result == PURGE_NOTHING || purge_intents(store, intent_of, &number) == 1)
		(void)proposal_delete(store, number, who_uid, "purge approved", NULL);
	return result;
}

int purge_withdraw(struct store *store, uint32_t number, uint32_t who_uid, struct err *err)
{
	struct reg_proposal proposal;
	int result = proposal_get(store, number, err, &proposal);

	return result < 0 ? result : proposal_delete(store, number, who_uid, "proposal of a purge withdrawn", err);
}

struct expiry {
	struct store *store;
	uint32_t number; /* found */
};

static int expired_one(void *context, const struct reg_proposal *proposal)
{
	struct expiry *expiry = context;

	expiry->number = proposal->number;
	return expired(expiry->store, proposal);
}

int purge_proposals_expire(struct store *store)
{
	struct expiry expiry = {.store = store};
	int count = 0;

	for (;; count++) {
		int result = purge_proposal_each(store, expired_one, &expiry);

		if (result == 1)
			result = proposal_delete(store, expiry.number, 0, "proposal of a purge expired", NULL);
		else
			return result < 0 ? result : count;
		if (result < 0)
			return result;
	}
}
