/* Memory that runs out: every allocation of rules, places and cells fails once. Nothing leaks or is left half made. */
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "appliance/cells.h"
#include "appliance/hit_rules.h"
#include "matcher/list.h"
#include "tests/check.h"

void *__real_calloc(size_t count, size_t size);
void *__real_aligned_alloc(size_t alignment, size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_aligned_alloc(size_t alignment, size_t size);

static int allowed = -1; /* allocations until the one that fails; -1: none does */
static bool failed;

static bool fails_now(void)
{
	if (allowed < 0)
		return false;
	failed = failed || allowed == 0;
	return allowed-- == 0;
}

void *__wrap_calloc(size_t count, size_t size)
{
	return fails_now() ? NULL : __real_calloc(count, size);
}

void *__wrap_aligned_alloc(size_t alignment, size_t size)
{
	return fails_now() ? NULL : __real_aligned_alloc(alignment, size);
}

static struct list *list_make(void)
{
	struct list_info info = {.id = 3, .version = 1, .name = "short of memory"};
	struct list_options options = {0};
	struct list *list;
	struct err err;

	CHECK_INT(0, list_area_add(&info.conditions, "circle 51.5,0,20000", &err));
	CHECK_INT(0, list_load_csv(&info, "vrm\nAB12CDE\n", 12, &options, NULL, &err, &list));
	return list;
}

static int make_all(const struct list *list)
{
	struct places places = {0};
	struct hit_rules *rules = NULL, *again = NULL;
	struct cells *cells = NULL;
	struct zone zone;
	struct hit_rules_options options = {.places = &places, .zone = &zone};
	int result = places_init(&places, 2);

	zone_utc(&zone);
	if (result == 0) {
		places_add(&places, 1, (struct area_point){515000000, 0}, 0, 0);
		result = hit_rules_new(&list, 1, &options, &rules);
	}
	options.old = rules;
	if (result == 0)
		result = hit_rules_new(&list, 1, &options, &again);
	if (result == 0)
		result = cells_new(1 << 12, &cells);
	if (result == 0)
		CHECK(rules->rules[1].ground == again->rules[1].ground); /* shared */
	(void)cells_free(cells);
	(void)hit_rules_free(rules);
	(void)hit_rules_free(again);
	places_fini(&places);
	return result;
}

static void every_allocation_may_fail(void)
{
	struct list *list = list_make();
	unsigned failures = 0;
	int result;

	for (int i = 0;; i++) {
		failed = false;
		allowed = i;
		result = make_all(list);
		allowed = -1;
		if (!failed)
			break;
		CHECK_INT(-ENOMEM, result);
		failures++;
	}
	CHECK_INT(0, result);
	CHECK(failures > 8);
	(void)list_free(list);
}

int main(int argc, char **argv)
{
	static const struct check_test tests[] = {
		{"every allocation may fail", every_allocation_may_fail},
		{NULL, NULL},
	};

	return check_main(argc, argv, "gate without memory", tests);
}
