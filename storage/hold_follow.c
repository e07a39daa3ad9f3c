#include "storage/hold_follow.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "appliance/base/bytes.h"
#include "storage/hold.h"
#include "storage/hold_internal.h"
#include "storage/hold_match.h"
#include "storage/hold_place.h"
#include "storage/keyring.h"
#include "storage/marks.h"
#include "storage/row.h"
#include "storage/search.h"
#include "storage/store_internal.h"

struct following {
	struct store *store;
	const struct read *read;
	const uint8_t *public_id;
	struct reg_hold *holds; /* that hold it */
	uint32_t *selectors;    /* by which each does */
	size_t count;
};

static int follow_add(struct following *following, const struct reg_hold *hold, uint32_t selector)
{
	struct reg_hold *holds = realloc(following->holds, (following->count + 1) * sizeof(*holds));
	uint32_t *selectors;

	if (holds == NULL)
		return -ENOMEM;
	following->holds = holds;
	selectors = realloc(following->selectors, (following->count + 1) * sizeof(*selectors));
	if (selectors == NULL)
		return -ENOMEM;
	following->selectors = selectors;
	holds[following->count] = *hold;
	selectors[following->count++] = selector;
	return 0;
}

static int follow_see(void *context, const struct reg_hold *hold)
{
	struct following *following = context;
	struct hold_match *match;
	uint32_t selector;
	bool held;
	int result;

	if (hold->released)
		return 0;
	result = hold_match_new(following->store, hold->number, read_day(following->read->capture_us), NULL, &match);
	if (result < 0)
		return result == -ENOENT ? 0 : result;
	held = hold_matches_read(match, following->read, following->public_id, &selector);
	hold_match_free(match);
	return held ? follow_add(following, hold, selector) : 0;
}

/* What else shares the corrected read's public id but for the ordinal, and comes before it. */
struct sharing {
	const struct read *corrected;
	char original[SEARCH_PUBLIC_ID_SIZE];
	uint32_t before;
};

static int share_see(void *context, const struct read *row, const char public_id[SEARCH_PUBLIC_ID_SIZE])
{
	struct sharing *sharing = context;

	sharing->before += search_shares_public_id(row, sharing->corrected) &&
			   strcmp(public_id, sharing->original) != 0 && row_compare(row, sharing->corrected) < 0;
	return 0;
}

/* The id under which a search will show the corrected read: the next that is free behind those that come before it. */
static int corrected_id(const struct following *following, const struct read *corrected, struct err *err,
			uint8_t ret_id[REG_PUBLIC_ID_SIZE])
{
	struct store *store = following->store;
	struct key_id identity = {.day = KEY_DAY_NONE, .kind = KEY_IDENTITY};
	struct sharing sharing = {.corrected = corrected};
	char text[SEARCH_PUBLIC_ID_SIZE];
	uint8_t key[KEY_SIZE];
	struct mark_set *marks;
	bool incomplete;
	int result;

	(void)hex_encode(following->public_id, REG_PUBLIC_ID_SIZE, sharing.original);
	result =
		hold_place_each(store, corrected->camera, corrected->capture_us, share_see, &sharing, err, &incomplete);
	if (result == 0)
		result = keyring_get(store->keyring, identity, key);
	if (result < 0)
		return result;
	marks = marks_hold(store->marks);
	for (uint32_t ordinal = 0;; ordinal++) {
		search_public_id(key, corrected, ordinal, text);
		if (strcmp(text, sharing.original) == 0 ||
		    mark_id_taken(mark_set_day(marks, read_day(corrected->capture_us)), corrected, ordinal))
			continue;
		if (sharing.before-- == 0)
			break;
	}
	mark_set_release(marks);
	bytes_wipe(key, sizeof(key));
	return hex_decode(text, ret_id, REG_PUBLIC_ID_SIZE);
}

/*
 * Beside the selector that held the read comes one for what stands in its place, by the same maker for the same reason:
 * whoever amends a read has not held it.
 */
static int selector_put(struct store *store, uint32_t number, uint32_t holding, const struct reg_hold_read *read,
			uint32_t who_uid, struct err *err)
{
	uint8_t buffer[REG_RECORD_SIZE_MAX];
	struct reg_change change = {.kind = REG_HOLD_SELECTOR, .a = number, .value = buffer};
	struct reg_hold_selector selector;
	size_t size;
	int result = reg_get(store->reg, REG_HOLD_SELECTOR, number, holding, buffer, &size);

	if (result == 0)
		result = reg_hold_selector_decode(buffer, size, &selector);
	if (result == 0)
		result = hold_selector_end(store, number, &selector.index);
	if (result == 0)
		result = hold_identity(store, err, &selector.identity);
	if (result < 0)
		return result;
	selector.first = selector.index;
	selector.follows = true;
	selector.pattern[0] = '\0';
	selector.from_us = INT64_MIN;
	selector.to_us = INT64_MAX;
	selector.camera_count = 0;
	selector.read_count = 1;
	selector.reads[0] = *read;
	change.b = selector.index;
	change.value_size = reg_hold_selector_encode(&selector, buffer);
	result = reg_change(store->reg, &change, 1, who_uid, "a held read is amended", err);
	bytes_wipe(&selector, sizeof(selector));
	bytes_wipe(buffer, sizeof(buffer));
	return result;
}

static int follow_locked(struct following *following, const struct read *corrected, uint32_t who_uid, struct err *err)
{
	struct reg_hold_read read;
	int result = hold_each(following->store, follow_see, following);

	if (result < 0 || following->count == 0 || corrected == NULL)
		return result;
	read.camera = corrected->camera;
	read.capture_us = corrected->capture_us;
	result = corrected_id(following, corrected, err, read.public_id);
	for (size_t i = 0; result == 0 && i < following->count; i++)
		result = selector_put(following->store, following->holds[i].number, following->selectors[i], &read,
				      who_uid, err);
	return result;
}

int hold_follow(struct store *store, const struct read *read, const uint8_t public_id[REG_PUBLIC_ID_SIZE],
		const struct read *corrected, uint32_t who_uid, struct err *err, struct reg_hold **ret_holds,
		size_t *ret_count)
{
	struct following following = {.store = store, .read = read, .public_id = public_id};
	int result = hold_ready(store, err);

	if (result < 0)
		return result;
	pthread_mutex_lock(&store->hold_mutex);
	result = follow_locked(&following, corrected, who_uid, err);
	pthread_mutex_unlock(&store->hold_mutex);
	free(following.selectors);
	if (result < 0) {
		free(following.holds);
		return err->text[0] != '\0' ? result : err_set(err, result, "holds: %s", strerror(-result));
	}
	*ret_holds = following.holds;
	*ret_count = following.count;
	return 0;
}
