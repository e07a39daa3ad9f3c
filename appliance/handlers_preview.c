/* lists.preview: what a tolerance would let through for one VRM, before a list is armed with it. */
#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "appliance/base/clock.h"
#include "appliance/base/err.h"
#include "appliance/base/glob.h"
#include "appliance/gantry.h"
#include "appliance/handlers.h"
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
	enum list_tolerance tolerance;
	size_t limit;
	int64_t from_us;
	int64_t to_us;
	int64_t deadline_ns;
	uint8_t keys[LIMIT_MAX][READ_TEXT_SIZE];
	size_t key_count;
	uint8_t patterns[VRM_SUBSTITUTION_MAX][16];
	size_t pattern_count;
	uint64_t total; /* of keys that are alike */
	uint64_t exact; /* reads of the key itself */
	bool incomplete;
	json_t *variants;
	struct search_result result;
};

static bool is_cancelled(void *call)
{
	return call_cancelled(call);
}

/* Yesterday's reads of a key or pattern. 0, or -errno; what the budget leaves out is said by `incomplete`. */
static int count_reads(struct preview *preview, const uint8_t pattern[READ_TEXT_SIZE], uint64_t *ret_count)
{
	const struct gantry *gantry = preview->gantry;
	int64_t left_ms = (preview->deadline_ns - clock_mono_ns()) / 1000000;
	struct glob glob;
	struct err err = {""};
	struct search_query query = {.key_glob = &glob,
				     .from_us = preview->from_us,
				     .to_us = preview->to_us,
				     .cancelled = is_cancelled,
				     .context = preview->call,
				     .count_only = true,
				     .rows_max = (uint64_t)gantry->config.search_rows_max,
				     .bytes_max = (uint64_t)gantry->config.search_mib_max << 20,
				     .ms_max = left_ms};
	int result = glob_compile((const char *)pattern, strnlen((const char *)pattern, READ_TEXT_SIZE), &glob);

	*ret_count = 0;
	if (left_ms <= 0) {
		preview->incomplete = true;
		return result;
	}
	if (result == 0)
		result = search_run(gantry->views, &query, &err, NULL, NULL, &preview->result);
	if (result != 0)
		return result;
	if (preview->result.stop == SEARCH_CANCELLED)
		return -ECANCELED;
	preview->incomplete = preview->incomplete || preview->result.incomplete;
	*ret_count = preview->result.count;
	return 0;
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
		result = count_reads(preview, preview->keys[i], &reads);
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
		result = count_reads(preview, preview->patterns[i], &reads);
		if (result == 0)
			result = tell(preview, preview->patterns[i], "substitution",
				      reads > preview->exact ? reads - preview->exact : 0);
	}
	return result;
}

static int count_all(struct preview *preview)
{
	int result = count_reads(preview, preview->key, &preview->exact);

	if (result == 0)
		result = tell(preview, preview->key, "exact", preview->exact);
	if (result == 0)
		result = tell_alike(preview);
	return result == 0 ? tell_substitutions(preview) : result;
}

static void find_variants(struct preview *preview)
{
	preview->total = 1;
	if (preview->tolerance == LIST_TOLERANCE_OFF)
		return;
	preview->total = vrm_variants_alike(preview->key, preview->limit, preview->keys, &preview->key_count);
	if (preview->tolerance == LIST_TOLERANCE_SUBSTITUTION)
		preview->pattern_count = vrm_variants_substitution(preview->key, preview->patterns);
}

static int take(struct preview *preview)
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
	preview->tolerance = LIST_TOLERANCE_CLASSES;
	if (call_has(call, "tolerance"))
		(void)list_tolerance_parse(call_text(call, "tolerance"), &preview->tolerance);
	preview->limit = (size_t)call_integer(call, "limit", 100);
	preview->to_us = read_day(clock_wall_us()) * DAY_US;
	preview->from_us = preview->to_us - DAY_US;
	preview->deadline_ns = clock_mono_ns() + (asked < most ? asked : most) * 1000000;
	return 0;
}

static void answer(struct preview *preview)
{
	char from[CLOCK_TEXT_SIZE], to[CLOCK_TEXT_SIZE];

	call_audit_fact(preview->call, "variants", json_integer((json_int_t)json_array_size(preview->variants)));
	call_result(preview->call,
		    json_pack("{s:s,s:I,s:b,s:s,s:s,s:b,s:O}", "tolerance", list_tolerance_name(preview->tolerance),
			      "variants_total", (json_int_t)preview->total, "truncated",
			      preview->total > preview->key_count && preview->key_count == preview->limit, "from",
			      clock_text_utc(preview->from_us, from), "to", clock_text_utc(preview->to_us, to),
			      "complete", !preview->incomplete, "variants", preview->variants));
}

int handle_lists_preview(struct call *call, void *gantry)
{
	struct preview *preview = calloc(1, sizeof(*preview));
	const char *why;
	int result;

	if (preview == NULL)
		return -ENOMEM;
	preview->call = call;
	preview->gantry = gantry;
	preview->variants = json_array();
	if (store_register(preview->gantry->store, &why) == NULL) {
		call_fail(call, CALL_FAILED, "the register is incomplete, so nothing is searched: %s", why);
		result = -EINVAL;
	} else {
		result = take(preview);
	}
	if (result == 0) {
		find_variants(preview);
		result = count_all(preview);
		if (result == 0)
			answer(preview);
	} else {
		result = 0; /* said */
	}
	json_decref(preview->variants);
	free(preview);
	return result;
}
