/* Match sets against a plain model, through edits of their lists and bases of any age. */
#include "matcher/matchset.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "appliance/base/glob.h"
#include "appliance/base/prng.h"
#include "appliance/base/read.h"
#include "matcher/list.h"
#include "matcher/list_build.h"
#include "matcher/vrm.h"
#include "tests/check.h"
#include "tests/matcher/matchset_world.h"

/* The plain model: every read against every entry, by the words of list.h. */
struct model {
	struct list *lists[4];
	size_t count;
};

/* By the words of list.h, not by the matcher's canonical form: classes to their digit, every H written 11. */
static void plain_form(const uint8_t *key, char form[2 * READ_TEXT_SIZE + 1])
{
	static const char *const classes[] = {"0ODQ", "1I", "2Z", "5S", "8B", "6G"};
	char *at = form;

	for (size_t i = 0; i < READ_TEXT_SIZE && key[i] != 0; i++) {
		char written = (char)key[i];

		for (size_t c = 0; c < sizeof(classes) / sizeof(classes[0]); c++)
			if (strchr(classes[c], written) != NULL)
				written = classes[c][0];
		if (written == 'H')
			*at++ = '1';
		*at++ = written == 'H' ? '1' : written;
	}
	*at = '\0';
}

static bool plainly_alike(const uint8_t *a, const uint8_t *b)
{
	char forms[2][2 * READ_TEXT_SIZE + 1];

	plain_form(a, forms[0]);
	plain_form(b, forms[1]);
	return strcmp(forms[0], forms[1]) == 0;
}

static bool one_differs(const uint8_t *a, const uint8_t *b)
{
	size_t size = strnlen((const char *)a, READ_TEXT_SIZE), differ = 0;

	if (size != strnlen((const char *)b, READ_TEXT_SIZE) || size < 5 || size > 11)
		return false;
	for (size_t i = 0; i < size; i++)
		differ += a[i] != b[i];
	return differ == 1;
}

static enum list_tolerance tolerance_of(const struct list_info *info, const struct list_entry *entry)
{
	if (entry->flags & (LIST_FLAG_AS_RECEIVED | LIST_FLAG_EXACT))
		return LIST_TOLERANCE_OFF;
	return info->tolerance == LIST_TOLERANCE_OFF && (entry->flags & LIST_FLAG_TOLERANT) ? LIST_TOLERANCE_CLASSES
											    : info->tolerance;
}

static bool entry_matches(const struct list_info *info, const struct list_entry *entry, const struct read *read,
			  enum hit_kind *ret_kind)
{
	uint8_t key[READ_TEXT_SIZE] = {0};
	struct glob glob;

	if (read->receipt_us >= entry->expires_us || (entry->flags & LIST_FLAG_REMOVED))
		return false;
	*ret_kind = entry->flags & LIST_FLAG_WILDCARD ? HIT_PATTERN : HIT_EXACT;
	if (entry->flags & LIST_FLAG_WILDCARD) {
		CHECK_INT(0, glob_compile(entry->pattern, strlen(entry->pattern), &glob));
		return glob_match(&glob, read->key);
	}
	memcpy(key, entry->pattern, strlen(entry->pattern));
	if (memcmp(key, read->key, sizeof(key)) == 0)
		return !(entry->flags & LIST_FLAG_AS_RECEIVED) ||
		       (strlen(entry->text) == strnlen((const char *)read->text, READ_TEXT_SIZE) &&
			memcmp(entry->text, read->text, strlen(entry->text)) == 0);
	*ret_kind = HIT_TOLERANT;
	if (tolerance_of(info, entry) == LIST_TOLERANCE_OFF)
		return false;
	return plainly_alike(key, read->key) ||
	       (tolerance_of(info, entry) == LIST_TOLERANCE_SUBSTITUTION && one_differs(key, read->key));
}

static size_t model_match(const struct model *model, const struct read *reads, size_t count, struct hit *expected)
{
	size_t total = 0;

	for (uint32_t row = 0; row < count; row++) {
		for (size_t l = 0; l < model->count; l++) {
			for (uint32_t e = 0; e < list_count(model->lists[l]); e++) {
				const struct list_info *info = list_info(model->lists[l]);
				struct list_entry entry;
				enum hit_kind kind;

				list_entry(model->lists[l], e, &entry);
				if (reads[row].kind != READ_KIND_VRM || (reads[row].flags & READ_FLAG_TEST) ||
				    !entry_matches(info, &entry, &reads[row], &kind))
					continue;
				CHECK(total < HITS_MAX);
				expected[total++] = (struct hit){.row = row,
								 .list = info->id,
								 .version = info->version,
								 .entry = e,
								 .kind = (uint8_t)kind,
								 .priority = info->priority};
			}
		}
	}
	return total;
}

static int hit_order(const void *left, const void *right)
{
	const struct hit *a = left, *b = right;

	if (a->row != b->row)
		return a->row < b->row ? -1 : 1;
	if (a->list != b->list)
		return a->list < b->list ? -1 : 1;
	return a->entry < b->entry ? -1 : a->entry > b->entry;
}

/* Few letters, most of them of misread classes, so that reads and entries meet in every way. */
static void random_vrm(struct prng *prng, char *text, bool wild)
{
	static const char *const characters[] = {"A", "B", "8", "H", "O", "D", "I", "1", " ", "\xc3\x84", "b", "-"};
	size_t length = 2 + prng_below(prng, 5);

	text[0] = '\0';
	for (size_t i = 0; i < length; i++) {
		if (wild && prng_chance(prng, 300))
			strcat(text, prng_chance(prng, 500) ? "?" : "*");
		else
			strcat(text, characters[prng_below(prng, 12)]);
	}
	if (wild)
		strcat(text, "AB"); /* the fixed ones that a pattern needs */
}

static char *random_row(struct prng *prng, char *at)
{
	uint64_t kind = prng_below(prng, 4);
	char vrm[32];

	random_vrm(prng, vrm, kind == 0);
	return text_add(at, "%s,%s,%s,%s\n", vrm, kind == 1 ? "1" : "", kind == 2 ? "1" : "",
			prng_chance(prng, 200) ? "1970-01-01T00:00:02Z" : "");
}

/* A list in the making: its text grows, and so its entries keep their numbers. */
struct draft {
	struct list_info info;
	char text[400 * 32];
	char *end;
	bool removed[400];
	struct list *list; /* its newest version */
};

/* Some random VRMs are none (only dashes), or were there before: left out, which the model sees as well. */
static void draft_load(struct draft *draft)
{
	struct list_result result;

	draft->info.version++;
	CHECK_INT(0, list_load_csv(&draft->info, draft->text, (size_t)(draft->end - draft->text), NULL, &result, &err,
				   &draft->list));
	for (uint32_t i = 0; i < list_count(draft->list); i++)
		draft->list->slots[i].flags |= draft->removed[i] ? LIST_FLAG_REMOVED : 0;
}

static void draft_replace(struct draft *draft, struct prng *prng)
{
	size_t entries = 1 + prng_below(prng, 60);

	draft->info.generation++;
	draft->info.tolerance = (enum list_tolerance)prng_below(prng, LIST_TOLERANCE_COUNT);
	draft->end = stpcpy(draft->text, "vrm,tolerant,as-received,expires\n");
	memset(draft->removed, 0, sizeof(draft->removed));
	for (size_t i = 0; i < entries; i++)
		draft->end = random_row(prng, draft->end);
}

static void draft_init(struct draft *draft, struct prng *prng, uint32_t id)
{
	memset(draft, 0, sizeof(*draft));
	draft->info = (struct list_info){.id = id, .name = "random", .priority = (uint8_t)prng_below(prng, 101)};
	draft_replace(draft, prng);
	draft_load(draft);
}

/* Replaced whole, given another tolerance or priority, added to, removed from, or loaded again as it was. */
static void draft_edit(struct draft *draft, struct prng *prng)
{
	switch (prng_below(prng, 6)) {
	case 0:
		draft_replace(draft, prng);
		break;
	case 1:
		draft->info.tolerance = (enum list_tolerance)prng_below(prng, LIST_TOLERANCE_COUNT);
		draft->info.priority = (uint8_t)prng_below(prng, 101);
		break;
	case 2:
		for (uint32_t i = 0; i < list_count(draft->list); i++)
			draft->removed[i] = draft->removed[i] || prng_chance(prng, 200);
		break;
	case 3:
		break;
	default:
		for (size_t i = 1 + prng_below(prng, 10); i > 0 && draft->end < draft->text + 380 * 32; i--)
			draft->end = random_row(prng, draft->end);
		break;
	}
	list_free(draft->list);
	draft_load(draft);
}

static void random_reads(struct prng *prng, struct read *reads, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		char text[64];

		memset(&reads[i], 0, sizeof(reads[i]));
		reads[i].receipt_us = (int64_t)prng_below(prng, 4000000);
		if (prng_chance(prng, 50)) {
			reads[i].kind = READ_KIND_NOT_READ;
			continue;
		}
		do {
			random_vrm(prng, text, false);
			if (prng_chance(prng, 300))
				strcat(text, "AB");
			memset(reads[i].text, 0, READ_TEXT_SIZE);
			memcpy(reads[i].text, text, strnlen(text, READ_TEXT_SIZE));
		} while (vrm_key(reads[i].text, reads[i].key) != 0);
		reads[i].flags = prng_chance(prng, 50) ? READ_FLAG_TEST : 0;
	}
}

static size_t kinds_seen[5];

/* Random bursts, fetched by random room, against the model. */
static void set_agrees(const struct matchset *set, const struct model *model, struct prng *prng)
{
	static struct hit expected[HITS_MAX];
	struct match_scratch *scratch;

	CHECK_INT(0, match_scratch_new(set, &scratch));
	for (int burst = 0; burst < 6; burst++) {
		struct read reads[64];
		size_t count = 1 + prng_below(prng, 64);
		size_t room = prng_chance(prng, 500) ? HITS_MAX : 1 + prng_below(prng, 7);
		size_t total;

		random_reads(prng, reads, count);
		total = model_match(model, reads, count, expected);
		match_all(set, scratch, reads, count, room);
		for (size_t i = 1; i < hit_count; i++)
			CHECK(hits[i - 1].row <= hits[i].row);
		qsort(hits, hit_count, sizeof(hits[0]), hit_order);
		CHECK_INT(total, hit_count);
		CHECK_MEM(expected, hits, total * sizeof(hits[0]));
		for (size_t i = 0; i < total; i++)
			kinds_seen[hits[i].kind]++;
	}
	match_scratch_free(scratch);
}

static void model_fill(struct model *model, const struct draft *drafts, size_t count)
{
	model->count = count;
	for (size_t i = 0; i < count; i++)
		model->lists[i] = drafts[i].list;
}

/*
 * Lists live through edits; the base is of some earlier moment, or there is none. Now and then a list is missing
 * altogether, and lists come in another order.
 */
static void agrees_with_the_plain_model(void)
{
	static struct draft drafts[4];
	struct prng prng = {check_seed()};

	memset(kinds_seen, 0, sizeof(kinds_seen));
	for (int turn = 0; turn < 25; turn++) {
		struct match_limits limits = {.mass_entries_min = prng_chance(&prng, 500) ? 1000 : 1,
					      .literals_max = prng_chance(&prng, 200) ? 10 : 0};
		size_t count = 1 + prng_below(&prng, 4);
		struct matchbase *base = NULL;

		for (size_t i = 0; i < count; i++)
			draft_init(&drafts[i], &prng, (uint32_t)i + 1);
		for (int edit = 0; edit < 12; edit++) {
			struct model model;
			struct matchset *set;
			size_t first = prng_chance(&prng, 200) ? 1 : 0;

			draft_edit(&drafts[prng_below(&prng, count)], &prng);
			model_fill(&model, drafts + first, count - first);
			if (prng_chance(&prng, 250)) {
				matchbase_free(base);
				base = base_make(model.lists, model.count, &limits);
			}
			set = set_on(base, model.lists, model.count);
			set_agrees(set, &model, &prng);
			matchset_free(set);
		}
		matchbase_free(base);
		for (size_t i = 0; i < count; i++)
			list_free(drafts[i].list);
	}
	CHECK(kinds_seen[HIT_EXACT] > 100 && kinds_seen[HIT_PATTERN] > 100 && kinds_seen[HIT_TOLERANT] > 100);
}

int main(int argc, char **argv)
{
	static const struct check_test tests[] = {
		{"agrees with the plain model", agrees_with_the_plain_model},
		{NULL, NULL},
	};

	return check_main(argc, argv, "matchset_model", tests);
}
