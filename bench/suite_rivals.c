#include "bench/suite_rivals.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "appliance/base/bytes.h"
#include "appliance/base/clock.h"
#include "bench/suite_re2.h"
#include "gantry-config.h"
#include "matcher/list.h"
#include "matcher/vrm.h"

#if HAVE_PCRE2
#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>
#endif

#define CLASS "[A-Z0-9]"
#define EXPRESSION_SIZE_MAX (LIST_PATTERN_SIZE * sizeof(CLASS "*") + 2)
#define LOOK_EVERY 1024 /* reads between two looks at the clock */

/* Reads are looked at in turn, again and again, until time is up. */
struct race {
	const struct read *reads;
	size_t count;
	double seconds;
	int64_t build_ns;
};

typedef bool rival_matches(const void *rival, const uint8_t key[READ_TEXT_SIZE]);

static void race_run(const struct race *race, rival_matches *matches, const void *rival,
		     struct rival_result *ret_result)
{
	struct rival_result result = {.build_ms = (double)race->build_ns / 1e6};
	int64_t start_ns = clock_mono_ns(), now_ns = start_ns;

	while ((double)(now_ns - start_ns) < race->seconds * 1e9) {
		for (size_t i = 0; i < LOOK_EVERY; i++, result.looked++)
			result.matched += matches(rival, race->reads[result.looked % race->count].key);
		now_ns = clock_mono_ns();
	}
	result.vrms_per_s = (double)result.looked * 1e9 / (double)(now_ns - start_ns);
	*ret_result = result;
}

/* Open addressing, one key a slot: what is written in an afternoon. */
struct hash_set {
	uint8_t (*slots)[READ_TEXT_SIZE];
	uint64_t mask;
};

static uint8_t *hash_set_place(const struct hash_set *set, const uint8_t key[READ_TEXT_SIZE])
{
	uint64_t at = XXH3_64bits(key, READ_TEXT_SIZE) & set->mask;

	while (set->slots[at][0] != 0 && !bytes_equal_16(set->slots[at], key))
		at = (at + 1) & set->mask;
	return set->slots[at];
}

static bool hash_set_matches(const void *rival, const uint8_t key[READ_TEXT_SIZE])
{
	return hash_set_place(rival, key)[0] != 0;
}

int rival_hash_set(const struct list *const *lists, size_t list_count_all, const struct read *reads, size_t count,
		   double seconds, struct rival_result *ret_result)
{
	struct race race = {reads, count, seconds, 0};
	int64_t start_ns = clock_mono_ns();
	struct hash_set set = {.mask = 15};
	size_t entries = 0;

	for (size_t l = 0; l < list_count_all; l++)
		entries += list_count(lists[l]);
	while (set.mask + 1 < 2 * entries)
		set.mask = set.mask * 2 + 1;
	set.slots = calloc(set.mask + 1, sizeof(*set.slots));
	if (set.slots == NULL)
		return -ENOMEM;
	for (size_t l = 0; l < list_count_all; l++) {
		for (uint32_t i = 0; i < list_count(lists[l]); i++) {
			uint8_t key[READ_TEXT_SIZE] = {0};
			struct list_entry entry;

			list_entry(lists[l], i, &entry);
			memcpy(key, entry.pattern, strnlen(entry.pattern, READ_TEXT_SIZE));
			memcpy(hash_set_place(&set, key), key, READ_TEXT_SIZE);
		}
	}
	race.build_ns = clock_mono_ns() - start_ns;
	race_run(&race, hash_set_matches, &set, ret_result);
	free(set.slots);
	return 0;
}

#if HAVE_PCRE2 || HAVE_RE2
static char *expression_write(const char *pattern, char *at)
{
	for (; *pattern != '\0'; pattern++) {
		if (*pattern == '?')
			at = stpcpy(at, CLASS);
		else if (*pattern == '*')
			at = stpcpy(at, CLASS "*");
		else
			*at++ = *pattern;
	}
	*at = '\0';
	return at;
}
#endif

#if HAVE_PCRE2
struct pcre2 {
	pcre2_code *code;
	pcre2_match_data *data;
};

static bool pcre2_matches(const void *rival, const uint8_t key[READ_TEXT_SIZE])
{
	const struct pcre2 *pcre2 = rival;

	return pcre2_jit_match(pcre2->code, key, vrm_key_size(key), 0, 0, pcre2->data, NULL) >= 0;
}

/* All patterns as one alternation: PCRE2 has no sets. */
static char *alternation(const struct list *patterns)
{
	char *text = malloc(list_count(patterns) * EXPRESSION_SIZE_MAX + 16), *at = text;

	if (text == NULL)
		return NULL;
	at = stpcpy(at, "^(?:");
	for (uint32_t i = 0; i < list_count(patterns); i++) {
		struct list_entry entry;

		list_entry(patterns, i, &entry);
		if (i > 0)
			*at++ = '|';
		at = expression_write(entry.pattern, at);
	}
	(void)stpcpy(at, ")$");
	return text;
}

int rival_pcre2(const struct list *patterns, const struct read *reads, size_t count, double seconds,
		struct rival_result *ret_result)
{
	struct race race = {reads, count, seconds, 0};
	int64_t start_ns = clock_mono_ns();
	char *text = alternation(patterns);
	struct pcre2 pcre2 = {0};
	PCRE2_SIZE offset;
	int code, status = -EINVAL;

	if (text == NULL)
		return -ENOMEM;
	pcre2.code = pcre2_compile((PCRE2_SPTR)text, PCRE2_ZERO_TERMINATED, 0, &code, &offset, NULL);
	if (pcre2.code != NULL && pcre2_jit_compile(pcre2.code, PCRE2_JIT_COMPLETE) == 0) {
		pcre2.data = pcre2_match_data_create(1, NULL);
		race.build_ns = clock_mono_ns() - start_ns;
		status = pcre2.data == NULL ? -ENOMEM : 0;
	}
	if (status == 0)
		race_run(&race, pcre2_matches, &pcre2, ret_result);
	pcre2_match_data_free(pcre2.data);
	pcre2_code_free(pcre2.code);
	free(text);
	return status;
}
#else
int rival_pcre2(const struct list *patterns, const struct read *reads, size_t count, double seconds,
		struct rival_result *ret_result)
{
	(void)patterns;
	(void)reads;
	(void)count;
	(void)seconds;
	(void)ret_result;
	return -ENOTSUP;
}
#endif

#if HAVE_RE2
static bool re2_matches(const void *rival, const uint8_t key[READ_TEXT_SIZE])
{
	return re2_set_match(rival, (const char *)key, vrm_key_size(key)) > 0;
}

int rival_re2(const struct list *patterns, const struct read *reads, size_t count, double seconds,
	      struct rival_result *ret_result)
{
	struct race race = {reads, count, seconds, 0};
	int64_t start_ns = clock_mono_ns();
	uint32_t pattern_count = list_count(patterns);
	char(*texts)[EXPRESSION_SIZE_MAX] = malloc(pattern_count * sizeof(*texts) + 1);
	const char **expressions = calloc(pattern_count + 1, sizeof(*expressions));
	struct re2_set *set = NULL;

	for (uint32_t i = 0; texts != NULL && expressions != NULL && i < pattern_count; i++) {
		struct list_entry entry;

		list_entry(patterns, i, &entry);
		(void)expression_write(entry.pattern, texts[i]);
		expressions[i] = texts[i];
	}
	if (texts != NULL && expressions != NULL)
		set = re2_set_new(expressions, pattern_count);
	race.build_ns = clock_mono_ns() - start_ns;
	if (set != NULL)
		race_run(&race, re2_matches, set, ret_result);
	re2_set_free(set);
	free(expressions);
	free(texts);
	return set != NULL ? 0 : -ENOMEM;
}
#else
int rival_re2(const struct list *patterns, const struct read *reads, size_t count, double seconds,
	      struct rival_result *ret_result)
{
	(void)patterns;
	(void)reads;
	(void)count;
	(void)seconds;
	(void)ret_result;
	return -ENOTSUP;
}
#endif
