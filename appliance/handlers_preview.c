/*
 * lists.preview: what a list would let through for one VRM before it is armed with it, by its tolerance, and how many
 * of yesterday's reads each plate would have hit, by its conditions.
 */
#include <errno.h>
#include <jansson.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "appliance/base/clock.h"
#include "appliance/base/err.h"
#include "appliance/base/glob.h"
#include "appliance/gantry.h"
#include "appliance/handlers.h"
#include "appliance/list_trial.h"
#include "appliance/lists.h"
#include "appliance/lists_head.h"
#include "matcher/list.h"
#include "matcher/vrm.h"
#include "matcher/vrm_variants.h"
#include "mgmt/call.h"
#include "storage/search.h"
#include "storage/store.h"

#define LIMIT_MAX 1000

struct preview {
	struct call *call;
	struct gantry *gantry;
	uint8_t key[READ_TEXT_SIZE];
	struct list_info head; /* of the list, loaded or thought of */
	struct list_trial trial;
	size_t limit;
	int64_t from_us;
	int64_t to_us;
	int64_t deadline_ns;
	uint8_t keys[LIMIT_MAX][READ_TEXT_SIZE];
	size_t key_count;
	uint8_t patterns[VRM_SUBSTITUTION_MAX][16];
	size_t pattern_count;
	uint64_t total;    /* of keys that are alike */
	uint64_t exact;    /* hits of the key itself */
	uint64_t admitted; /* in the count that goes on */
	bool incomplete;
	json_t *variants;
	struct search_result result;
};

static bool is_cancelled(void *call)
{
	return call_cancelled(call);
}

static int judge(void *context, const struct read *read, const char public_id[SEARCH_PUBLIC_ID_SIZE])
{
	struct preview *preview = context;

	(void)public_id;
	preview->admitted += list_trial_admits(&preview->trial, read);
	return 0;
}

/* The reads behind query->cursor, as many as one answer gives. 0 with `result` of it, or -errno. */
static int judge_some(struct preview *preview, struct search_query *query)
{
	struct err err = {""};
	int result;

	query->ms_max = (preview->deadline_ns - clock_mono_ns()) / 1000000;
	preview->result.truncated = false;
	if (query->ms_max <= 0) {
		preview->incomplete = true;
		return 0;
	}
	result = search_run(preview->gantry->views, query, &err, judge, preview, &preview->result);
	if (result == 0 && preview->result.stop == SEARCH_CANCELLED)
		return -ECANCELED;
	preview->incomplete = preview->incomplete || preview->result.incomplete;
	return result;
}

/*
 * Yesterday's reads of a key or pattern that would have been hits. 0, or -errno; what the budget leaves out is said by
 * `incomplete`.
 */
static int count_hits(struct preview *preview, const uint8_t pattern[READ_TEXT_SIZE], uint64_t *ret_count)
{
	const struct gantry *gantry = preview->gantry;
	struct glob glob;
	struct search_query query = {.key_glob = &glob,
				     .from_us = preview->from_us,
				     .to_us = preview->to_us,
				     .cancelled = is_cancelled,
				     .context = preview->call,
				     .limit = SEARCH_LIMIT_MAX,
				     .rows_max = (uint64_t)gantry->config.search_rows_max,
				     .bytes_max = (uint64_t)gantry->config.search_mib_max << 20};
	int result = glob_compile((const char *)pattern, strnlen((const char *)pattern, READ_TEXT_SIZE), &glob);

	preview->admitted = 0;
	if (result == 0)
		result = judge_some(preview, &query);
	while (result == 0 && preview->result.truncated) {
		query.cursor = preview->result.cursor;
		result = judge_some(preview, &query);
	}
	*ret_count = preview->admitted;
	return result;
}

static int tell(struct preview *preview, const uint8_t pattern[READ_TEXT_SIZE], const char *kind, uint64_t reads)
{
	char text[READ_TEXT_SIZE + 1] = {0};

	memcpy(text, pattern, READ_TEXT_SIZE);
	return json_array_append_new(preview->variants, json_pack("{s:s,s:s,s:I}", "vrm_key", text, "kind", kind,
								  "reads", (json_int_t)reads)) < 0
		       ? -ENOMEM
		       : 0;
}

static int tell_alike(struct preview *preview)
{
	size_t steps = preview->key_count + preview->pattern_count;
	int result = 0;

	for (size_t i = 0; i < preview->key_count && result == 0; i++) {
		bool is_key = memcmp(preview->keys[i], preview->key, READ_TEXT_SIZE) == 0;
		uint64_t reads;

		if (is_key)
			continue;
		call_progress(preview->call, i, steps, "variants counted");
		result = count_hits(preview, preview->keys[i], &reads);
		if (result == 0)
			result = tell(preview, preview->keys[i], "misread", reads);
	}
	return result;
}

/* A pattern also meets the key itself: its reads are not counted again. */
static int tell_substitutions(struct preview *preview)
{
	int result = 0;

	for (size_t i = 0; i < preview->pattern_count && result == 0; i++) {
		uint64_t reads;

		call_progress(preview->call, preview->key_count + i, preview->key_count + preview->pattern_count,
			      "variants counted");
		result = count_hits(preview, preview->patterns[i], &reads);
		if (result == 0)
			result = tell(preview, preview->patterns[i], "substitution",
				      reads > preview->exact ? reads - preview->exact : 0);
	}
	return result;
}

static int count_all(struct preview *preview)
{
	int result = count_hits(preview, preview->key, &preview->exact);

	if (result == 0)
		result = tell(preview, preview->key, "exact", preview->exact);
	if (result == 0)
		result = tell_alike(preview);
	return result == 0 ? tell_substitutions(preview) : result;
}

static void find_variants(struct preview *preview)
{
	preview->total = 1;
	if (preview->head.tolerance == LIST_TOLERANCE_OFF)
		return;
	preview->total = vrm_variants_alike(preview->key, preview->limit, preview->keys, &preview->key_count);
	if (preview->head.tolerance == LIST_TOLERANCE_SUBSTITUTION)
		preview->pattern_count = vrm_variants_substitution(preview->key, preview->patterns);
}

/* -EINVAL: said. */
static int take_loaded(struct preview *preview, struct reg *reg, const char *name)
{
	const struct list *list = NULL;
	struct lists_known known;
	int result = lists_find(reg, name, &known);

	if (result < 0)
		return result;
	pthread_mutex_lock(&preview->gantry->lists_lock);
	if (known.is_found)
		list = lists_loaded(preview->gantry, known.found.list);
	if (list != NULL)
		preview->head = *list_info(list);
	pthread_mutex_unlock(&preview->gantry->lists_lock);
	if (list != NULL)
		return 0;
	call_fail(preview->call, CALL_REFUSED, "no list of that name is loaded; see lists.show");
	return -EINVAL;
}

/* The head that is tried: of a list, of none, and what the call says instead. -EINVAL: said. */
static int take_head(struct preview *preview, struct reg *reg)
{
	struct call *call = preview->call;
	int result = 0;

	if (call_has(call, "name")) {
		result = take_loaded(preview, reg, call_text(call, "name"));
	} else {
		lists_head_default("", &preview->head);
		preview->head.tolerance = LIST_TOLERANCE_CLASSES;
	}
	if (result == 0 && call_has(call, "tolerance"))
		(void)list_tolerance_parse(call_text(call, "tolerance"), &preview->head.tolerance);
	if (result == 0)
		result = lists_head_take_conditions(call, &preview->head.conditions);
	return result == 0 ? list_trial_init(&preview->trial, preview->gantry, &preview->head) : result;
}

/* -EINVAL: said. */
static int take(struct preview *preview, struct reg *reg)
{
	struct call *call = preview->call;
	const char *vrm = call_text(call, "vrm");
	uint8_t text[READ_TEXT_SIZE] = {0};
	int64_t most = preview->gantry->config.search_ms_max;
	int64_t asked = call_integer(call, "ms_max", most);

	if (strpbrk(vrm, "?*") != NULL || strlen(vrm) > READ_TEXT_SIZE) {
		call_fail(call, CALL_INVALID_PARAMS, "vrm: a plate of at most 16 bytes, without wildcards");
		return -EINVAL;
	}
	memcpy(text, vrm, strlen(vrm));
	if (vrm_key(text, preview->key) != 0) {
		call_fail(call, CALL_INVALID_PARAMS, "vrm: a VRM needs a letter or digit");
		return -EINVAL;
	}
	preview->limit = (size_t)call_integer(call, "limit", 100);
	preview->to_us = read_day(clock_wall_us()) * DAY_US;
	preview->from_us = preview->to_us - DAY_US;
	preview->deadline_ns = clock_mono_ns() + (asked < most ? asked : most) * 1000000;
	return take_head(preview, reg);
}

static void answer(struct preview *preview)
{
	char from[CLOCK_TEXT_SIZE], to[CLOCK_TEXT_SIZE];

	call_audit_fact(preview->call, "variants", json_integer((json_int_t)json_array_size(preview->variants)));
	call_result(preview->call,
		    json_pack("{s:s,s:b,s:I,s:b,s:s,s:s,s:b,s:O}", "tolerance",
			      list_tolerance_name(preview->head.tolerance), "conditional",
			      list_trial_conditional(&preview->trial), "variants_total", (json_int_t)preview->total,
			      "truncated", preview->total > preview->key_count && preview->key_count == preview->limit,
			      "from", clock_text_utc(preview->from_us, from), "to", clock_text_utc(preview->to_us, to),
			      "complete", !preview->incomplete, "variants", preview->variants));
}

static int run(struct preview *preview)
{
	const char *why;
	struct reg *reg = store_register(preview->gantry->store, &why);
	int result;

	if (reg == NULL) {
		call_fail(preview->call, CALL_FAILED, "the register is incomplete, so nothing is searched: %s", why);
		return 0;
	}
	result = take(preview, reg);
	if (result < 0)
		return result == -EINVAL ? 0 : result;
	find_variants(preview);
	result = count_all(preview);
	if (result == 0)
		answer(preview);
	return result;
}

int handle_lists_preview(struct call *call, void *gantry)
{
	struct preview *preview = calloc(1, sizeof(*preview));
	int result;

	if (preview == NULL)
		return -ENOMEM;
	preview->call = call;
	preview->gantry = gantry;
	preview->variants = json_array();
	result = run(preview);
	list_trial_fini(&preview->trial);
	json_decref(preview->variants);
	free(preview);
	return result;
}
