#include "storage/hold_match.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "appliance/base/bytes.h"
#include "appliance/base/clock.h"
#include "appliance/base/digest.h"
#include "appliance/base/glob.h"
#include "storage/hold.h"
#include "storage/keyring.h"
#include "storage/marks.h"
#include "storage/register.h"
#include "storage/register_hold.h"
#include "storage/row.h"
#include "storage/search.h"
#include "storage/store_internal.h"

struct criteria {
	uint32_t index; /* of the selector */
	struct glob glob;
	bool globbed;
	int64_t from_us;
	int64_t to_us;
	uint32_t *cameras; /* sorted; NULL any */
	size_t camera_count;
};

struct held_read {
	struct reg_hold_read read;
	uint64_t identity; /* which key made its id */
	uint32_t index;    /* of the selector */
};

struct hold_match {
	struct criteria *criteria;
	size_t criteria_count;
	struct held_read *reads; /* by (camera, capture); behind them those whose key is lost */
	const struct mark_day *marks;
	size_t read_count;
	size_t lost_count;
	uint32_t number;
	uint8_t identity_key[KEY_SIZE];
	int64_t day_first_us;
	struct read *corrected; /* in store order; those before corrected_next are counted */
	size_t corrected_count;
	size_t corrected_next;
	/* As search numbers the reads that share a public id's fields. */
	struct read head;
	struct read last;
	uint32_t ordinal;
	bool head_set;
	bool last_set;
};

static int read_order(const void *a, const void *b)
{
	const struct reg_hold_read *left = &((const struct held_read *)a)->read;
	const struct reg_hold_read *right = &((const struct held_read *)b)->read;

	if (left->camera != right->camera)
		return left->camera < right->camera ? -1 : 1;
	return left->capture_us < right->capture_us ? -1 : left->capture_us > right->capture_us;
}

static int camera_order(const void *a, const void *b)
{
	uint32_t left = *(const uint32_t *)a;
	uint32_t right = *(const uint32_t *)b;

	return left < right ? -1 : left > right;
}

static int take_reads(struct hold_match *match, const struct reg_hold_selector *selector)
{
	struct held_read *grown = realloc(match->reads, (match->read_count + selector->read_count) * sizeof(*grown));

	if (grown == NULL)
		return -ENOMEM;
	match->reads = grown;
	for (unsigned i = 0; i < selector->read_count; i++) {
		int64_t since_us = selector->reads[i].capture_us - match->day_first_us;

		if (since_us >= 0 && since_us < DAY_US)
			grown[match->read_count++] =
				(struct held_read){selector->reads[i], selector->identity, selector->index};
	}
	return 0;
}

static int take_criteria(struct hold_match *match, const struct reg_hold_selector *selector)
{
	struct criteria *grown;
	struct criteria *criteria;

	if (selector->from_us >= match->day_first_us + DAY_US || selector->to_us <= match->day_first_us)
		return 0;
	grown = realloc(match->criteria, (match->criteria_count + 1) * sizeof(*grown));
	if (grown == NULL)
		return -ENOMEM;
	match->criteria = grown;
	criteria = &grown[match->criteria_count];
	*criteria = (struct criteria){.index = selector->index,
				      .from_us = selector->from_us,
				      .to_us = selector->to_us,
				      .globbed = selector->pattern[0] != '\0',
				      .camera_count = selector->camera_count};
	if (criteria->globbed && glob_compile(selector->pattern, strlen(selector->pattern), &criteria->glob) < 0)
		return -EBADMSG;
	if (selector->camera_count > 0) {
		criteria->cameras = malloc(selector->camera_count * sizeof(uint32_t));
		if (criteria->cameras == NULL)
			return -ENOMEM;
		memcpy(criteria->cameras, selector->cameras, selector->camera_count * sizeof(uint32_t));
		qsort(criteria->cameras, selector->camera_count, sizeof(uint32_t), camera_order);
	}
	match->criteria_count++;
	return 0;
}

static int take_selector(void *context, struct reg_hold_selector *selector)
{
	return selector->read_count > 0 ? take_reads(context, selector) : take_criteria(context, selector);
}

static bool criteria_match(const struct criteria *criteria, const struct read *row)
{
	if (row->capture_us < criteria->from_us || row->capture_us >= criteria->to_us)
		return false;
	if (criteria->globbed && (row->kind != READ_KIND_VRM || !glob_match(&criteria->glob, row->key)))
		return false;
	return criteria->cameras == NULL ||
	       bsearch(&row->camera, criteria->cameras, criteria->camera_count, sizeof(uint32_t), camera_order) != NULL;
}

/* The first of the held reads with this row's camera and time; read_count when there is none. */
static size_t reads_find(const struct hold_match *match, const struct read *row)
{
	struct held_read wanted = {.read = {.camera = row->camera, .capture_us = row->capture_us}};
	size_t low = 0;
	size_t high = match->read_count;

	while (low < high) {
		size_t middle = (low + high) / 2;

		if (read_order(&match->reads[middle], &wanted) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static uint64_t identity_of(const uint8_t key[KEY_SIZE])
{
	static const char info[] = "gantry holds: which key of public ids";
	uint8_t bytes[8];

	hkdf_sha256(NULL, 0, key, KEY_SIZE, info, sizeof(info), bytes, sizeof(bytes));
	return le64_get(bytes);
}

/* -ENOENT none. */
static int identity_get(struct store *store, uint8_t key[KEY_SIZE])
{
	return keyring_get(store->keyring, (struct key_id){.day = KEY_DAY_NONE, .kind = KEY_IDENTITY}, key);
}

int hold_identity(struct store *store, struct err *err, uint64_t *ret_identity)
{
	uint8_t key[KEY_SIZE];
	int result = identity_get(store, key);

	if (result == -ENOENT)
		return err_set(err, -ENOKEY, "the keyring has no key of public ids (KEY_IDENTITY): no read has an id");
	if (result < 0)
		return err_set(err, result, "the key of public ids: %s", strerror(-result));
	*ret_identity = identity_of(key);
	bytes_wipe(key, sizeof(key));
	return 0;
}

/* All reads of that place are held, or it was named anew. */
static bool stands_in(const struct hold_match *match, const struct reg_hold_read *lost)
{
	struct read place = {.camera = lost->camera, .capture_us = lost->capture_us};
	size_t at = reads_find(match, &place);

	if (at < match->read_count && match->reads[at].read.camera == lost->camera &&
	    match->reads[at].read.capture_us == lost->capture_us)
		return true;
	for (size_t i = 0; i < match->criteria_count; i++)
		if (!match->criteria[i].globbed && criteria_match(&match->criteria[i], &place))
			return true;
	return false;
}

/* Ids of another key say nothing any more: those reads go behind the others, unless something stands in for them. */
static int reads_ready(struct hold_match *match, struct store *store)
{
	size_t all = match->read_count;
	uint64_t identity = 0;
	int result;

	if (all == 0)
		return 0;
	result = identity_get(store, match->identity_key);
	if (result < 0 && result != -ENOENT)
		return result;
	if (result == 0)
		identity = identity_of(match->identity_key);
	match->read_count = 0;
	for (size_t i = 0; i < all; i++) {
		struct held_read held = match->reads[i];

		if (result != 0 || held.identity != identity)
			continue;
		match->reads[i] = match->reads[match->read_count];
		match->reads[match->read_count++] = held;
	}
	qsort(match->reads, match->read_count, sizeof(*match->reads), read_order);
	for (size_t i = match->read_count; i < all; i++)
		if (!stands_in(match, &match->reads[i].read))
			match->reads[match->read_count + match->lost_count++] = match->reads[i];
	return 0;
}

int hold_match_whole(const struct hold_match *match, struct store *store, struct err *err)
{
	const struct reg_hold_read *first;
	struct reg_hold hold = {.reference = "?"};
	char time[CLOCK_TEXT_SIZE];

	if (match->lost_count == 0)
		return 0;
	first = &match->reads[match->read_count].read;
	(void)hold_by_number(store, match->number, &hold);
	return err_set(
		err, -ENOKEY,
		"case %s holds %zu of its reads by ids of a key (KEY_IDENTITY) that the keyring has no more, the "
		"first of camera %u at %s: restore the keyring that has it, or add each of them to the case by its "
		"camera and a window of one µs from its time on; holds.show lists them; then the day goes",
		hold.reference, match->lost_count, first->camera, clock_text_utc(first->capture_us, time));
}

int hold_match_new(struct store *store, uint32_t number, int32_t day, const struct mark_day *marks,
		   struct hold_match **ret_match)
{
	struct hold_match *match = calloc(1, sizeof(*match));
	int result;

	if (match == NULL)
		return -ENOMEM;
	match->number = number;
	match->day_first_us = (int64_t)day * DAY_US;
	match->marks = marks;
	result = hold_each_selector(store, number, take_selector, match);
	if (result == 0 && match->criteria_count + match->read_count == 0)
		result = -ENOENT;
	if (result == 0)
		result = reads_ready(match, store);
	if (result < 0) {
		hold_match_free(match);
		return result;
	}
	*ret_match = match;
	return 0;
}

struct hold_match *hold_match_free(struct hold_match *match)
{
	if (match == NULL)
		return NULL;
	for (size_t i = 0; i < match->criteria_count; i++)
		free(match->criteria[i].cameras);
	if (match->criteria != NULL)
		bytes_wipe(match->criteria, match->criteria_count * sizeof(*match->criteria));
	free(match->criteria);
	free(match->reads);
	if (match->corrected != NULL)
		bytes_wipe(match->corrected, match->corrected_count * sizeof(*match->corrected));
	free(match->corrected);
	bytes_wipe(match, sizeof(*match));
	free(match);
	return NULL;
}

static int store_order(const void *a, const void *b)
{
	return row_compare(a, b);
}

int hold_match_corrected(struct hold_match *match, const struct read *reads, size_t count)
{
	struct read *corrected = calloc(count + 1, sizeof(*corrected));

	if (corrected == NULL)
		return -ENOMEM;
	if (count > 0)
		memcpy(corrected, reads, count * sizeof(*corrected));
	qsort(corrected, count, sizeof(*corrected), store_order);
	match->corrected = corrected;
	match->corrected_count = count;
	return 0;
}

bool hold_match_by_id(const struct hold_match *match)
{
	return match->read_count > 0;
}

static bool reads_match(const struct hold_match *match, const struct read *row)
{
	char text[SEARCH_PUBLIC_ID_SIZE] = "";
	uint8_t public_id[REG_PUBLIC_ID_SIZE];

	for (size_t i = reads_find(match, row); i < match->read_count && match->reads[i].read.camera == row->camera &&
						match->reads[i].read.capture_us == row->capture_us;
	     i++) {
		if (text[0] == '\0') {
			search_public_id(match->identity_key, row, match->ordinal, text);
			(void)hex_decode(text, public_id, sizeof(public_id));
		}
		if (memcmp(public_id, match->reads[i].read.public_id, sizeof(public_id)) == 0)
			return true;
	}
	return false;
}

static bool matches(const struct hold_match *match, const struct read *row)
{
	for (size_t i = 0; i < match->criteria_count; i++)
		if (criteria_match(&match->criteria[i], row))
			return true;
	return match->read_count > 0 && reads_match(match, row);
}

bool hold_match_may(const struct hold_match *match, const struct read *read)
{
	size_t at = reads_find(match, read);

	for (size_t i = 0; i < match->criteria_count; i++)
		if (criteria_match(&match->criteria[i], read))
			return true;
	return at < match->read_count && match->reads[at].read.camera == read->camera &&
	       match->reads[at].read.capture_us == read->capture_us;
}

/* A copy that search collapses has the number of the read it copies; so has a corrected read that is met twice. */
static void count_on(struct hold_match *match, const struct read *row)
{
	bool equal = match->head_set && row_equal(&match->head, row);

	if (equal && !row_same_source(&match->head, row))
		return;
	if ((row->flags & READ_FLAG_AMENDED) != 0 && match->last_set && row_compare(&match->last, row) == 0)
		return;
	if (!equal) {
		match->head = *row;
		match->head_set = true;
	}
	match->ordinal = match->last_set && search_shares_public_id(&match->last, row) ? match->ordinal + 1 : 0;
	while (mark_id_taken(match->marks, row, match->ordinal))
		match->ordinal++;
	match->last = *row;
	match->last_set = true;
}

bool hold_matches(struct hold_match *match, const struct read *row)
{
	if (match->read_count > 0) {
		while (match->corrected_next < match->corrected_count &&
		       row_compare(&match->corrected[match->corrected_next], row) < 0)
			count_on(match, &match->corrected[match->corrected_next++]);
		count_on(match, row);
	}
	return matches(match, row);
}

bool hold_matches_read(const struct hold_match *match, const struct read *row,
		       const uint8_t public_id[REG_PUBLIC_ID_SIZE], uint32_t *ret_index)
{
	for (size_t i = 0; i < match->criteria_count; i++) {
		if (criteria_match(&match->criteria[i], row)) {
			*ret_index = match->criteria[i].index;
			return true;
		}
	}
	for (size_t i = 0; i < match->read_count && public_id != NULL; i++) {
		if (memcmp(public_id, match->reads[i].read.public_id, REG_PUBLIC_ID_SIZE) == 0) {
			*ret_index = match->reads[i].index;
			return true;
		}
	}
	for (size_t i = match->read_count; i < match->read_count + match->lost_count; i++) {
		if (match->reads[i].read.camera == row->camera && match->reads[i].read.capture_us == row->capture_us) {
			*ret_index = match->reads[i].index;
			return true;
		}
	}
	return false;
}
