#include "storage/key_plan.h"

#include <string.h>

#include "storage/search.h"
#include "storage/segment_format.h"

#define CLASS_MAX 16 /* characters of one class of misreads */

struct misreads {
	uint8_t members[128][CLASS_MAX]; /* by the character they fold to; ascending */
	uint8_t counts[128];
};

static void learn_misreads(const struct search_fold *fold, struct misreads *misreads)
{
	memset(misreads, 0, sizeof(*misreads));
	for (const char *at = fold->alphabet; *at != '\0'; at++) {
		uint8_t key[16] = {(uint8_t)*at};
		uint8_t to;

		fold->fold(key, key);
		to = key[0] & 0x7f;
		if (misreads->counts[to] < CLASS_MAX)
			misreads->members[to][misreads->counts[to]++] = (uint8_t)*at;
	}
}

static bool prefix_and_star(const struct glob *glob)
{
	return glob->wildcards == 1 && glob->pattern_size == glob->prefix_size + 1 &&
	       glob->pattern[glob->prefix_size] == '*';
}

static struct key_range *add_range(struct key_plan *plan)
{
	struct key_range *range = &plan->ranges[plan->range_count++];

	memset(range->low, 0, sizeof(range->low));
	memset(range->high, 0xff, sizeof(range->high));
	return range;
}

static void set_prefix(struct key_range *range, const uint8_t *prefix, size_t size, bool exact)
{
	memcpy(range->low, prefix, size);
	memcpy(range->high, prefix, size);
	if (exact)
		memcpy(range->high, range->low, sizeof(range->high));
}

/*
 * Page reads of one segment when the first `size` characters are written out. A whole key costs a leaf and a row page;
 * any other range a leaf and a share of the dictionary, of which each character leaves about a sixteenth, and the same
 * for the rows.
 */
static uint64_t page_reads(uint64_t ranges, size_t size, bool exact, uint64_t keys)
{
	return exact ? 2 * ranges : ranges * (4 + (keys >> 4 * size) / SEGMENT_PAGE_KEYS);
}

/* How much of the beginning to write out. */
static size_t choose_size(const struct glob *glob, const struct misreads *misreads, uint64_t keys)
{
	uint64_t least = page_reads(1, 0, false, keys);
	uint64_t ranges = 1;
	size_t best = 0;

	for (size_t size = 1; size <= glob->prefix_size; size++) {
		uint64_t reads;

		ranges *= misreads->counts[glob->prefix[size - 1] & 0x7f];
		if (ranges > KEY_PLAN_RANGES_MAX)
			break;
		reads = page_reads(ranges, size, glob->exact && size == glob->prefix_size, keys);
		if (reads <= least) {
			least = reads;
			best = size;
		}
	}
	return best;
}

/* One range for each way to misread the first `size` characters, in order: like an odometer, the last turns fastest. */
static void write_out(struct key_plan *plan, const struct misreads *misreads, size_t size, bool exact)
{
	const uint8_t *prefix = plan->query->folded_glob->prefix;
	unsigned at[16] = {0};
	uint8_t plate[16];

	for (size_t i = 0; i < size; i++)
		if (misreads->counts[prefix[i] & 0x7f] == 0)
			return; /* a character that no key has */
	for (;;) {
		size_t turn = size;

		for (size_t i = 0; i < size; i++)
			plate[i] = misreads->members[prefix[i] & 0x7f][at[i]];
		set_prefix(add_range(plan), plate, size, exact);
		while (turn > 0 && ++at[turn - 1] == misreads->counts[prefix[turn - 1] & 0x7f])
			at[--turn] = 0;
		if (turn == 0)
			return;
	}
}

/* What may be one of several characters is any of them to a scan. */
static void loosen(struct key_plan *plan, const struct misreads *misreads)
{
	const struct glob *folded = plan->query->folded_glob;
	char pattern[GLOB_PATTERN_SIZE_MAX];

	for (size_t i = 0; i < folded->pattern_size; i++) {
		uint8_t byte = folded->pattern[i];

		pattern[i] = byte == '*' || misreads->counts[byte & 0x7f] == 1 ? (char)byte : '?';
	}
	plan->has_filter = glob_compile(pattern, folded->pattern_size, &plan->filter) == 0;
}

static void plan_tolerant(struct key_plan *plan, uint64_t keys)
{
	const struct glob *glob = plan->query->folded_glob;
	struct misreads misreads;
	size_t size;

	learn_misreads(plan->query->fold, &misreads);
	size = choose_size(glob, &misreads, keys);
	plan->range_only = size == glob->prefix_size && (glob->exact || prefix_and_star(glob));
	write_out(plan, &misreads, size, glob->exact && plan->range_only);
	loosen(plan, &misreads);
}

static void plan_glob(struct key_plan *plan, const struct glob *glob)
{
	set_prefix(add_range(plan), glob->prefix, glob->prefix_size, glob->exact);
	plan->range_only = glob->exact || prefix_and_star(glob);
	plan->filter = *glob;
	plan->has_filter = true;
}

void key_plan_init(struct key_plan *plan, const struct search_query *query, uint64_t keys)
{
	plan->query = query;
	plan->range_count = 0;
	plan->range_only = true;
	plan->has_filter = false;
	plan->keyed = query->not_read || query->keyless || query->key_glob != NULL || query->folded_glob != NULL;
	if (query->not_read || query->keyless)
		memset(add_range(plan)->high, 0, 16); /* neither has a key */
	else if (query->folded_glob != NULL)
		plan_tolerant(plan, keys);
	else if (query->key_glob != NULL)
		plan_glob(plan, query->key_glob);
	else
		(void)add_range(plan);
}

bool key_plan_matches(const struct key_plan *plan, const uint8_t key[16])
{
	const struct search_query *query = plan->query;
	const struct glob *glob = query->folded_glob != NULL ? query->folded_glob : query->key_glob;
	uint8_t folded[16];

	if (plan->range_only || glob == NULL)
		return true;
	if (query->folded_glob != NULL) {
		query->fold->fold(key, folded);
		key = folded;
	}
	return glob->masked ? glob_match_masked(glob, key) : glob_match(glob, key);
}
