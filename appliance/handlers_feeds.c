#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "appliance/base/bytes.h"
#include "appliance/base/clock.h"
#include "appliance/base/digest.h"
#include "appliance/change.h"
#include "appliance/gantry.h"
#include "appliance/handlers.h"
#include "mgmt/call.h"

/* The one moment in which a feed's key leaves the appliance. */
static json_t *key_answer(uint32_t feed, const uint8_t key[REG_FEED_KEY_SIZE])
{
	char text[2 * REG_FEED_KEY_SIZE + 1];
	json_t *answer =
		json_pack("{s:I,s:s}", "feed", (json_int_t)feed, "key", hex_encode(key, REG_FEED_KEY_SIZE, text));

	bytes_wipe(text, sizeof(text));
	return answer;
}

/* change_lock held. 0, or < 0 with the call failed. */
static int put_feed(struct call *call, struct gantry *gantry, const struct reg_feed *feed)
{
	uint8_t buffer[REG_RECORD_SIZE_MAX];
	struct reg_change change = reg_feed_put(feed, buffer);
	int result = change_commit(call, gantry, &change, 1);

	bytes_wipe(buffer, sizeof(buffer));
	return result;
}

/* change_lock held: the feed of the call, which must be registered and not removed. */
static int get_feed(struct call *call, struct reg *reg, struct reg_feed *ret_feed)
{
	uint32_t number = (uint32_t)call_integer(call, "feed", 0);
	int result = reg_feed_get(reg, number, ret_feed);

	if (result == 0 && ret_feed->state != REG_FEED_REMOVED)
		return 0;
	if (result == -ENOENT || result == 0)
		call_fail(call, CALL_REFUSED, "feed %u is not registered; see feeds.show", number);
	else
		call_fail(call, CALL_FAILED, "feed %u cannot be read: %s", number, strerror(-result));
	return -ENOENT;
}

static int add_feed(struct call *call, struct gantry *gantry, struct reg *reg)
{
	struct reg_feed feed = {.feed = (uint32_t)call_integer(call, "feed", 0), .created_us = clock_wall_us()};
	struct reg_feed known;

	if (reg_feed_get(reg, feed.feed, &known) == 0 && known.state != REG_FEED_REMOVED) {
		call_fail(call, CALL_REFUSED, "feed %u is registered already; feeds.rotate gives it a new key",
			  feed.feed);
		return -EEXIST;
	}
	(void)snprintf(feed.name, sizeof(feed.name), "%s", call_text(call, "name"));
	(void)snprintf(feed.organisation, sizeof(feed.organisation), "%s", call_text(call, "organisation"));
	random_bytes(feed.key, sizeof(feed.key));
	int result = put_feed(call, gantry, &feed);
	if (result == 0)
		call_result(call, key_answer(feed.feed, feed.key));
	bytes_wipe(&feed, sizeof(feed));
	return result;
}

static int rotate_feed(struct call *call, struct gantry *gantry, struct reg *reg)
{
	struct reg_feed feed;
	int result = get_feed(call, reg, &feed);

	if (result < 0)
		return result;
	if (feed.has_key_next) {
		call_fail(call, CALL_REFUSED,
			  "feed %u has two keys already: its sender may be using the second; feeds.retire drops the "
			  "first",
			  feed.feed);
		return -EEXIST;
	}
	random_bytes(feed.key_next, sizeof(feed.key_next));
	feed.has_key_next = true;
	result = put_feed(call, gantry, &feed);
	if (result == 0)
		call_result(call, key_answer(feed.feed, feed.key_next));
	bytes_wipe(&feed, sizeof(feed));
	return result;
}

static int retire_feed(struct call *call, struct gantry *gantry, struct reg *reg)
{
	struct reg_feed feed;
	int result = get_feed(call, reg, &feed);

	if (result < 0)
		return result;
	if (!feed.has_key_next) {
		call_fail(call, CALL_REFUSED, "feed %u has one key only; feeds.rotate makes the second", feed.feed);
		return -ENOENT;
	}
	memcpy(feed.key, feed.key_next, sizeof(feed.key));
	memset(feed.key_next, 0, sizeof(feed.key_next));
	feed.has_key_next = false;
	result = put_feed(call, gantry, &feed);
	if (result == 0)
		call_result(call, json_pack("{s:I}", "feed", (json_int_t)feed.feed));
	bytes_wipe(&feed, sizeof(feed));
	return result;
}

struct unbinding {
	struct reg_change *changes;
	size_t count;
	size_t space;
};

static int unbind_one(void *context, const struct reg_record *record)
{
	struct unbinding *unbinding = context;

	if (unbinding->count == unbinding->space) {
		size_t space = unbinding->space * 2 + 64;
		void *changes = realloc(unbinding->changes, space * sizeof(struct reg_change));

		if (changes == NULL)
			return -ENOMEM;
		unbinding->changes = changes;
		unbinding->space = space;
	}
	unbinding->changes[unbinding->count++] =
		(struct reg_change){.kind = REG_BINDING, .a = record->a, .b = record->b};
	return 0;
}

/* change_lock held: a feed registered later under the number of one removed inherits none of its cameras. */
static int unbind_all(struct call *call, struct gantry *gantry, struct reg *reg, uint32_t feed)
{
	struct unbinding unbinding = {.changes = NULL};
	int result = reg_each(reg, REG_BINDING, feed, feed, unbind_one, &unbinding);

	if (result < 0)
		call_fail(call, CALL_FAILED, "the feed's bindings cannot be read, nothing is changed: %s",
			  strerror(-result));
	else if (unbinding.count > 0)
		result = change_commit_many(call, gantry, unbinding.changes, unbinding.count);
	free(unbinding.changes);
	return result;
}

/* The row stays, without its key: the reads that the feed sent still name it. */
static int remove_feed(struct call *call, struct gantry *gantry, struct reg *reg)
{
	struct reg_feed feed;
	int result = get_feed(call, reg, &feed);

	if (result < 0)
		return result;
	if ((result = unbind_all(call, gantry, reg, feed.feed)) < 0)
		return result;
	feed.state = REG_FEED_REMOVED;
	feed.all_cameras = false;
	feed.has_key_next = false;
	memset(feed.key, 0, sizeof(feed.key));
	memset(feed.key_next, 0, sizeof(feed.key_next));
	result = put_feed(call, gantry, &feed);
	if (result == 0)
		call_result(call, json_pack("{s:I}", "feed", (json_int_t)feed.feed));
	return result;
}

static int with_lock(struct call *call, struct gantry *gantry,
		     int (*work)(struct call *call, struct gantry *gantry, struct reg *reg))
{
	struct reg *reg = change_register(call, gantry);

	if (reg == NULL)
		return 0;
	pthread_mutex_lock(&gantry->change_lock);
	(void)work(call, gantry, reg); /* it has set the call's result or failure */
	pthread_mutex_unlock(&gantry->change_lock);
	return 0;
}

int handle_feeds_add(struct call *call, void *gantry)
{
	return with_lock(call, gantry, add_feed);
}

int handle_feeds_rotate(struct call *call, void *gantry)
{
	return with_lock(call, gantry, rotate_feed);
}

int handle_feeds_retire(struct call *call, void *gantry)
{
	return with_lock(call, gantry, retire_feed);
}

int handle_feeds_remove(struct call *call, void *gantry)
{
	return with_lock(call, gantry, remove_feed);
}
