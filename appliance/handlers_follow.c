/* hits.follow and hits.ack: a subscriber's connection. Who may is the account that the subscription is for. */
#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "appliance/gantry.h"
#include "appliance/hits_inside.h"
#include "mgmt/call.h"

/* The subscription of the call, if its account may use it; NULL with the call failed. */
static struct subscription *subscription_of(struct call *call, struct hits *hits)
{
	const char *name = call_text(call, "subscription");
	struct subscription *subscription;

	if (hits == NULL) {
		call_fail(call, CALL_STOPPING, "the appliance is starting or stopping");
		return NULL;
	}
	subscription = name != NULL ? subscriptions_take(hits->subscriptions, name) : NULL;
	if (subscription == NULL) {
		call_fail(
			call, CALL_REFUSED,
			"hits are told to subscriptions, and there is none of that name: see subscriptions.show, make "
			"one with subscriptions.add");
		return NULL;
	}
	if (subscription->record.uid == call_peer(call)->uid)
		return subscription;
	subscriptions_release(hits->subscriptions, subscription);
	call_fail(call, CALL_REFUSED, "that subscription is another account's: see subscriptions.show");
	return NULL;
}

static void end(struct follower *follower, enum follower_end why)
{
	struct connection *connection = (struct connection *)follower;
	struct call *call = connection->call;

	if (why == FOLLOWER_TAKEN_OVER)
		call_fail(call, CALL_REFUSED, "taken over: another connection follows this subscription now");
	else if (why == FOLLOWER_REMOVED)
		call_fail(call, CALL_REFUSED, "the subscription is removed");
	else
		call_result(call, json_pack("{s:I}", "delivered", (json_int_t)follower->delivered));
	call_finish(call);
	free(connection);
}

/* On a thread of the server: only a flag, a courier ends the call in its next round. */
static void on_cancelled(struct call *call, void *context)
{
	struct connection *connection = context;

	(void)call;
	atomic_store(&connection->follower.gone, true);
	courier_wake(connection->hits->lanes[HIT_LANE_URGENT]);
}

/* Removed between the look and now: nobody would end it. */
static void end_if_removed(struct subscriptions *set, struct subscription *subscription)
{
	struct subscription *again = subscriptions_take(set, subscription->record.name);

	if (again != subscription)
		subscription_end(subscription, FOLLOWER_REMOVED);
	if (again != NULL)
		subscriptions_release(set, again);
}

int handle_hits_follow(struct call *call, void *context)
{
	struct hits *hits = ((struct gantry *)context)->hits;
	struct subscription *subscription = subscription_of(call, hits);
	struct connection *connection;
	int result;

	if (subscription == NULL)
		return 0;
	connection = calloc(1, sizeof(*connection));
	if (connection == NULL) {
		subscriptions_release(hits->subscriptions, subscription);
		return -ENOMEM;
	}
	connection->follower.end = end;
	connection->call = call;
	connection->hits = hits;
	result = call_keep(call, on_cancelled, connection);
	if (result == 0) {
		subscription_follow(subscription, &connection->follower);
		end_if_removed(hits->subscriptions, subscription);
		courier_wake(hits->catcher);
	} else {
		free(connection);
	}
	subscriptions_release(hits->subscriptions, subscription);
	return result == 0 ? CALL_STREAMING : result;
}

int handle_hits_ack(struct call *call, void *context)
{
	struct hits *hits = ((struct gantry *)context)->hits;
	struct subscription *subscription = subscription_of(call, hits);
	size_t count = 0;
	int result;

	if (subscription == NULL)
		return 0;
	result = subscriptions_acknowledge(hits->subscriptions, subscription, call_text(call, "cursor"), hits->latency,
					   &count);
	subscriptions_release(hits->subscriptions, subscription);
	if (result < 0)
		call_fail(call, CALL_INVALID_PARAMS, "cursor: not one that this subscription was given with its hits");
	else
		call_result(call, json_pack("{s:I}", "acknowledged", (json_int_t)count));
	return 0;
}
