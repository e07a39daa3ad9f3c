/* What follows from who may have a hit (hit_judge.h), beside its delivery: escalations, and the steps of its life. */
#include "appliance/hits.h"

#include <string.h>
#include <unistd.h>

#include "appliance/base/clock.h"
#include "appliance/base/read.h"
#include "appliance/gantry.h"
#include "appliance/hit_judge.h"
#include "appliance/hit_watch.h"
#include "appliance/hits_inside.h"
#include "appliance/present.h"
#include "matcher/list.h"
#include "mgmt/call.h"

static bool may(struct gantry *gantry, const struct subscription *subscription, uint32_t list)
{
	struct hit_judge judge = {0};
	struct hit hit = {.list = list};
	bool allowed = hit_judge_renew(&judge, gantry, &subscription->record) == 0 && hit_judge_allows(&judge, &hit);

	hit_judge_fini(&judge);
	return allowed;
}

/* An sms has no room for it. Whoever is connected is told; who is not sees it in hits.open. */
static void tell(struct gantry *gantry, struct subscription *subscription, const struct watched_hit *hit)
{
	const struct connection *connection;

	if (subscription->record.kind != REG_SUBSCRIPTION_FULL || !may(gantry, subscription, hit->list))
		return;
	(void)pthread_mutex_lock(&subscription->lock);
	connection = (const struct connection *)subscription->follower;
	if (connection != NULL && !atomic_load(&subscription->follower->gone))
		(void)call_notify_try(connection->call, "hits.escalated", present_watched(gantry, hit), 0);
	(void)pthread_mutex_unlock(&subscription->lock);
}

void hits_escalated(struct gantry *gantry, const struct watched_hit *hit)
{
	struct subscriptions *set = gantry->hits->subscriptions;
	struct subscription *subscription;

	for (size_t i = 0; (subscription = subscriptions_take_at(set, i)) != NULL; i++) {
		tell(gantry, subscription, hit);
		subscriptions_release(set, subscription);
	}
}

bool hits_account_all(uid_t uid)
{
	return uid == 0 || uid == getuid();
}

bool hits_account_may(struct gantry *gantry, uid_t uid, uint32_t list, char *ret_organisation)
{
	struct subscriptions *set = gantry->hits->subscriptions;
	struct subscription *subscription;
	bool allowed = false;

	ret_organisation[0] = '\0';
	for (size_t i = 0; !allowed && (subscription = subscriptions_take_at(set, i)) != NULL; i++) {
		/* What is told by sms is four fields, and no way to the others (R28). */
		allowed = subscription->record.uid == uid && subscription->record.kind == REG_SUBSCRIPTION_FULL &&
			  may(gantry, subscription, list);
		if (allowed)
			strcpy(ret_organisation, subscription->record.organisation);
		subscriptions_release(set, subscription);
	}
	return allowed || hits_account_all(uid);
}

struct deliveries {
	struct gantry *gantry;
	const struct hit *hit;
	json_t *rows;
};

/* A receipt covers a span of numbers: those between that were for others are not its own. */
static bool was_for(struct gantry *gantry, const char *organisation, uint32_t list)
{
	bool allowed = list == 0;

	(void)pthread_mutex_lock(&gantry->lists_lock);
	for (size_t i = 0; i < gantry->list_count && !allowed; i++)
		allowed = list_info(gantry->lists[i])->id == list &&
			  hit_judge_may(list_info(gantry->lists[i]), organisation);
	(void)pthread_mutex_unlock(&gantry->lists_lock);
	return allowed;
}

static int delivery_see(void *context, const struct subscription_receipt *receipt)
{
	struct deliveries *deliveries = context;
	char delivered[CLOCK_TEXT_SIZE];
	char acknowledged[CLOCK_TEXT_SIZE];

	if (!was_for(deliveries->gantry, receipt->organisation, deliveries->hit->list))
		return 0;
	return json_array_append_new(
		deliveries->rows,
		json_pack("{s:s,s:s,s:I,s:o,s:s}", "subscription", receipt->subscription, "organisation",
			  receipt->organisation, "uid", (json_int_t)receipt->uid, "delivered",
			  receipt->delivered_us != 0 ? json_string(clock_text_utc(receipt->delivered_us, delivered))
						     : json_null(),
			  "acknowledged", clock_text_utc(receipt->acknowledged_us, acknowledged)));
}

void hits_delivered(struct gantry *gantry, const struct hit *hit, json_t *object)
{
	struct deliveries deliveries = {gantry, hit, json_array()};

	(void)subscriptions_receipts(gantry->hits->subscriptions, hit->number, delivery_see, &deliveries);
	(void)json_object_set_new(object, "delivered", deliveries.rows);
}
