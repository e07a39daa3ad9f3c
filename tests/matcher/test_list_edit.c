/* Versions of a list: whatever is added, removed, restated or put back, the list says what a plain model says. */
#include "matcher/list_edit.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "appliance/base/err.h"
#include "appliance/base/prng.h"
#include "matcher/vrm.h"
#include "tests/check.h"

#define MODEL_MAX 4096
#define PLATES 60
#define TEXT_ROOM 8192

static struct list_result result;
static struct err err;

/* A row, and the number it was given. */
struct row {
	char vrm[8];
	char reason[8];
	bool tolerant;
	bool removed;
	uint32_t since;
};

struct model {
	struct row rows[MODEL_MAX];
	uint32_t count;
	uint32_t generation;
	uint32_t generation_since;
};

static bool is_same(const struct row *a, const struct row *b)
{
	return strcmp(a->vrm, b->vrm) == 0 && a->tolerant == b->tolerant;
}

static struct row row_random(struct prng *prng)
{
	struct row row = {.tolerant = prng_chance(prng, 300)};

	(void)snprintf(row.vrm, sizeof(row.vrm), "AB%02uC", (unsigned)prng_below(prng, PLATES));
	if (!row.tolerant && prng_chance(prng, 200))
		row.vrm[3] = '?';
	(void)snprintf(row.reason, sizeof(row.reason), "r%u", (unsigned)prng_below(prng, 3));
	return row;
}

static uint32_t model_living(const struct model *model)
{
	uint32_t living = 0;

	for (uint32_t i = 0; i < model->count; i++)
		living += !model->rows[i].removed;
	return living;
}

static void model_compact(struct model *model)
{
	uint32_t count = 0;

	for (uint32_t i = 0; i < model->count; i++)
		if (!model->rows[i].removed)
			model->rows[count++] = model->rows[i];
	model->count = count;
}

static void model_close(struct model *model)
{
	if (model->count - model_living(model) <= model_living(model))
		return;
	model_compact(model);
	model->generation++;
}

/* Rows that a person would write, as CSV and for the model. */
static size_t text_random(struct prng *prng, struct row *rows, uint32_t count, char *text)
{
	int size = sprintf(text, "vrm,reason,tolerant\n");

	for (uint32_t i = 0; i < count; i++) {
		rows[i] = row_random(prng);
		size += sprintf(text + size, "%s,%s,%s\n", rows[i].vrm, rows[i].reason, rows[i].tolerant ? "yes" : "");
	}
	return (size_t)size;
}

/* What came and went by `tell`, for comparison with the difference of the two lists. */
struct told {
	uint32_t counts[2];
};

static int tell(void *context, enum list_change change, const struct list_entry *entry)
{
	struct told *told = context;

	CHECK(entry->pattern[0] != '\0');
	told->counts[change]++;
	return 0;
}

static void model_add(struct model *model, const struct row *rows, uint32_t count, uint32_t version)
{
	for (uint32_t i = 0; i < count; i++) {
		bool there = false;

		for (uint32_t j = 0; j < model->count; j++) {
			struct row *other = &model->rows[j];

			if (other->removed || !is_same(other, &rows[i]))
				continue;
			there = strcmp(other->reason, rows[i].reason) == 0;
			other->removed = !there;
			break;
		}
		CHECK(model->count < MODEL_MAX);
		if (!there) {
			model->rows[model->count] = rows[i];
			model->rows[model->count++].since = version;
		}
	}
	model_close(model);
}

static uint32_t model_drop(struct model *model, const struct row *rows, uint32_t count)
{
	uint32_t missed = 0;

	for (uint32_t i = 0; i < count; i++) {
		bool found = false;

		for (uint32_t j = 0; j < model->count; j++) {
			if (model->rows[j].removed || strcmp(model->rows[j].vrm, rows[i].vrm) != 0)
				continue;
			model->rows[j].removed = found = true;
		}
		missed += !found;
	}
	model_close(model);
	return missed;
}

static void model_load(struct model *model, const struct row *rows, uint32_t count, uint32_t version)
{
	struct model *old = malloc(sizeof(*old));

	*old = *model;
	model->count = 0;
	for (uint32_t i = 0; i < count; i++) {
		bool there = false;

		for (uint32_t j = 0; j < model->count; j++)
			there = there || is_same(&model->rows[j], &rows[i]);
		if (there)
			continue;
		model->rows[model->count] = rows[i];
		model->rows[model->count].since = version;
		for (uint32_t j = 0; j < old->count; j++)
			if (!old->rows[j].removed && is_same(&old->rows[j], &rows[i]) &&
			    strcmp(old->rows[j].reason, rows[i].reason) == 0)
				model->rows[model->count].since = old->rows[j].since;
		model->count++;
	}
	model->generation++;
	free(old);
}

static void agrees(const struct list *list, const struct model *model, uint32_t version)
{
	CHECK_INT(version, list_info(list)->version);
	CHECK_INT(model->generation, list_info(list)->generation);
	CHECK_INT(model->generation_since, list_info(list)->generation_since);
	CHECK_INT(model->count, list_count(list));
	CHECK_INT(model_living(model), list_living(list));
	for (uint32_t i = 0; i < model->count; i++) {
		struct list_entry entry;

		list_entry(list, i, &entry);
		CHECK_INT(model->rows[i].removed, (entry.flags & LIST_FLAG_REMOVED) != 0);
		if (entry.flags & LIST_FLAG_REMOVED)
			continue;
		CHECK_STR(model->rows[i].reason, entry.reason);
		CHECK_STR(model->rows[i].vrm, entry.text);
		CHECK_INT(model->rows[i].tolerant, (entry.flags & LIST_FLAG_TOLERANT) != 0);
		CHECK_INT(model->rows[i].since, entry.since);
	}
}

/* What stands on the disk gives the same list back. */
static struct list *through_image(struct list *list)
{
	struct list *again;
	void *bytes;
	size_t size;

	CHECK_INT(0, list_image(list, &bytes, &size));
	CHECK_INT(0, list_parse(bytes, size, &err, &again));
	CHECK_MEM(list_info(list), list_info(again), sizeof(struct list_info));
	free(bytes);
	list_free(list);
	return again;
}

/* Added and removed, counted by hand. */
static void differs_by(const struct list *old, const struct list *fresh, uint32_t ret_counts[2])
{
	memset(ret_counts, 0, 2 * sizeof(ret_counts[0]));
	for (int side = 0; side < 2; side++) {
		const struct list *of = side == LIST_ADDED ? fresh : old;
		const struct list *other = side == LIST_ADDED ? old : fresh;

		for (uint32_t i = 0; i < list_count(of); i++) {
			struct list_entry entry, found;
			bool there = false;

			list_entry(of, i, &entry);
			for (uint32_t j = 0; j < list_count(other) && !there; j++) {
				list_entry(other, j, &found);
				there = (found.flags & LIST_FLAG_REMOVED) == 0 &&
					strcmp(entry.pattern, found.pattern) == 0 && entry.flags == found.flags &&
					strcmp(entry.reason, found.reason) == 0;
			}
			ret_counts[side] += (entry.flags & LIST_FLAG_REMOVED) == 0 && !there;
		}
	}
}

static struct list *step_add(struct prng *prng, const struct list *list, struct list_info *info, struct model *model)
{
	char text[TEXT_ROOM];
	struct row rows[64];
	uint32_t count = (uint32_t)prng_below(prng, 12);
	size_t size = text_random(prng, rows, count, text);
	struct told told = {{0}};
	struct list *next;

	CHECK_INT(0, list_add(list, info, text, size, NULL, tell, &told, &result, &err, &next));
	CHECK_INT(count, result.rows);
	CHECK_INT(0, result.bad);
	CHECK_INT(result.loaded, told.counts[LIST_ADDED]);
	model_add(model, rows, count, info->version);
	return next;
}

static struct list *step_drop(struct prng *prng, const struct list *list, struct list_info *info, struct model *model)
{
	char text[TEXT_ROOM];
	struct row rows[64];
	uint32_t count = (uint32_t)prng_below(prng, 20);
	size_t size = text_random(prng, rows, count, text);
	struct told told = {{0}};
	uint32_t living = list_living(list);
	struct list *next;

	CHECK_INT(0, list_drop(list, info, text, size, NULL, tell, &told, &result, &err, &next));
	CHECK_INT(living - list_living(next), told.counts[LIST_REMOVED]);
	CHECK_INT(model_drop(model, rows, count), result.bad);
	return next;
}

static struct list *step_load(struct prng *prng, struct list *list, struct list_info *info, struct model *model)
{
	char text[TEXT_ROOM];
	struct row rows[64];
	uint32_t count = (uint32_t)prng_below(prng, 60), counts[2], by_hand[2];
	size_t size = text_random(prng, rows, count, text);
	struct list *next;

	info->generation++;
	CHECK_INT(0, list_load_csv(info, text, size, NULL, &result, &err, &next));
	differs_by(list, next, by_hand);
	CHECK_INT(0, list_difference(list, next, NULL, NULL, counts));
	CHECK_INT(by_hand[LIST_ADDED], counts[LIST_ADDED]);
	CHECK_INT(by_hand[LIST_REMOVED], counts[LIST_REMOVED]);
	model_load(model, rows, count, info->version);
	return next;
}

/* What an entry of the list has stood there since; `version` when it does not. */
static uint32_t model_since(const struct model *model, const struct row *row, uint32_t version)
{
	for (uint32_t i = 0; i < model->count; i++)
		if (!model->rows[i].removed && is_same(&model->rows[i], row) &&
		    strcmp(model->rows[i].reason, row->reason) == 0)
			return model->rows[i].since;
	return version;
}

/*
 * Back to what the version before said, under a new number and in a new generation: what was gone meanwhile is new.
 */
static struct list *step_back(const struct list *list, const struct list *before, struct list_info *info,
			      struct model *model, const struct model *model_before)
{
	uint32_t generation = list_info(list)->generation + 1, counts[2];
	struct list *next;
	struct model back;

	info->generation = generation;
	CHECK_INT(0, list_restate(before, info, &err, &next));
	CHECK_MEM(list_info(before)->sha256, list_info(next)->sha256, SHA256_SIZE);
	CHECK_INT(0, list_difference(before, next, NULL, NULL, counts));
	CHECK_INT(0, counts[LIST_ADDED] + counts[LIST_REMOVED]);
	CHECK_INT(0, list_difference(list, next, NULL, NULL, counts));
	back = *model_before;
	model_compact(&back);
	for (uint32_t i = 0; i < back.count; i++)
		back.rows[i].since = model_since(model, &back.rows[i], info->version);
	*model = back;
	model->generation = generation;
	return next;
}

static void random_edits_agree_with_the_model(void)
{
	struct prng prng = {check_seed()};
	struct model *model = calloc(1, sizeof(*model)), *before = calloc(1, sizeof(*before)),
		     *saved = calloc(1, sizeof(*saved));
	struct list_info info = {.id = 1, .version = 1, .name = "edited"};
	struct list *list, *previous;

	CHECK_INT(0, list_load_csv(&info, "vrm\n", sizeof("vrm\n") - 1, NULL, &result, &err, &list));
	CHECK_INT(0, list_load_csv(&info, "vrm\n", sizeof("vrm\n") - 1, NULL, &result, &err, &previous));
	model->generation_since = 1;
	for (int turn = 0; turn < 3000; turn++) {
		uint64_t choice = prng_below(&prng, 100);
		struct list *next;

		info = *list_info(list);
		info.version++;
		*saved = *model;
		if (choice < 45)
			next = step_add(&prng, list, &info, model);
		else if (choice < 85)
			next = step_drop(&prng, list, &info, model);
		else if (choice < 95)
			next = step_load(&prng, list, &info, model);
		else
			next = step_back(list, previous, &info, model, before);
		list_free(previous);
		previous = list;
		*before = *saved;
		if (model->generation != saved->generation)
			model->generation_since = info.version;
		list = through_image(next);
		agrees(list, model, info.version);
	}
	CHECK(model->generation > 100);
	list_free(list);
	list_free(previous);
	free(model);
	free(before);
	free(saved);
}

static void bad_edits_change_nothing(void)
{
	struct list_options strict = {.strict = true};
	struct list_info info = {.id = 1, .version = 1, .name = "edited"};
	struct list *list, *next = NULL;

	CHECK_INT(0, list_load_csv(&info, "vrm\nAB1\nAB2\n", sizeof("vrm\nAB1\nAB2\n") - 1, NULL, NULL, &err, &list));
	info.version = 2;
	CHECK_INT(-EINVAL, list_add(list, &info, "vrm\nAB3\n****\n", sizeof("vrm\nAB3\n****\n") - 1, &strict, NULL,
				    NULL, NULL, &err, &next));
	CHECK(strstr(err.text, "line 3, column 1") != NULL);
	CHECK_INT(-EINVAL, list_drop(list, &info, "vrm\nAB1\nAB3\n", sizeof("vrm\nAB1\nAB3\n") - 1, &strict, NULL, NULL,
				     NULL, &err, &next));
	CHECK(strstr(err.text, "line 3, column 1: no entry") != NULL);
	CHECK_INT(-EINVAL, list_add(list, &info, "AB3\n", sizeof("AB3\n") - 1, NULL, NULL, NULL, NULL, &err, &next));
	CHECK_INT(-EINVAL, list_drop(list, &info, "", sizeof("") - 1, NULL, NULL, NULL, NULL, &err, &next));
	info.name[0] = '\0';
	CHECK_INT(-EINVAL, list_restate(list, &info, &err, &next));
	CHECK(next == NULL);
	CHECK_INT(2, list_living(list));
	list_free(list);
}

static void note_met(void *context, uint32_t index, bool exact)
{
	int *met = context;

	met[index] = exact ? 1 : 2;
}

static void a_vrm_meets_its_entries(void)
{
	const char *text = "vrm,tolerant,as-received\nAB12CDE,,\nAB12CDE,yes,\nA812CDE,no,\nA81ZCDE,,\nAB1?CDE,,\n"
			   "AB12 CDE,,1\nXX12CDE,,\n";
	static const int expected[LIST_TOLERANCE_COUNT][7] = {
		{1, 1, 0, 0, 1, 1, 0}, {1, 1, 0, 2, 1, 1, 0}, {1, 1, 0, 2, 1, 1, 0}};
	uint8_t vrm[16] = "AB12 CDE", key[16];

	CHECK_INT(0, vrm_key(vrm, key));
	for (int i = 0; i < LIST_TOLERANCE_COUNT; i++) {
		struct list_info info = {.id = 1, .version = 1, .name = "met", .tolerance = (enum list_tolerance)i};
		struct list *list;
		int met[7] = {0};

		CHECK_INT(0, list_load_csv(&info, text, strlen(text), NULL, NULL, &err, &list));
		(void)list_meet(list, key, vrm, 7, note_met, met);
		CHECK_MEM(expected[i], met, sizeof(met));
		CHECK_INT(1, list_meet(list, key, vrm, 1, note_met, met));
		list_free(list);
	}
}

static void one_substitution_is_met(void)
{
	struct list_info info = {.id = 1, .version = 1, .name = "met", .tolerance = LIST_TOLERANCE_SUBSTITUTION};
	uint8_t vrm[16] = "AX12CDE", key[16];
	struct list *list;
	int met[4] = {0};
	static const int expected[4] = {2, 0, 0, 2};

	CHECK_INT(0, list_load_csv(&info, "vrm\nAB12CDE\nAB13CDE\nAX12CD\nAX12CQE\n",
				   sizeof("vrm\nAB12CDE\nAB13CDE\nAX12CD\nAX12CQE\n") - 1, NULL, NULL, &err, &list));
	CHECK_INT(0, vrm_key(vrm, key));
	CHECK_INT(2, list_meet(list, key, vrm, 4, note_met, met));
	CHECK_MEM(expected, met, sizeof(met));
	list_free(list);
}

int main(int argc, char **argv)
{
	static const struct check_test tests[] = {
		{"random edits agree with the model", random_edits_agree_with_the_model},
		{"bad edits change nothing", bad_edits_change_nothing},
		{"a VRM meets its entries", a_vrm_meets_its_entries},
		{"one substitution is met", one_substitution_is_met},
		{NULL, NULL},
	};

	return check_main(argc, argv, "list_edit", tests);
}
