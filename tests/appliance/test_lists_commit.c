/*
 * A list's way into force, over a store on a real disk: whatever fails on it, threads and memory of its helpers too,
 * the former version stays everywhere, can be changed and rolled back as before, and nothing of the refused one is met.
 */
#include "appliance/lists.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "appliance/base/clock.h"
#include "appliance/fold.h"
#include "appliance/gantry.h"
#include "appliance/gantry_inside.h"
#include "appliance/list_ahead.h"
#include "appliance/lists_age.h"
#include "appliance/present.h"
#include "appliance/tables.h"
#include "matcher/list.h"
#include "matcher/list_edit.h"
#include "matcher/matchset.h"
#include "mgmt/audit.h"
#include "storage/io.h"
#include "tests/check.h"
#include "tests/short_memory.h"
#include "tests/storage/store_rig.h"

#define ODD_ROWS (2 * MATCHSET_SMALL_PATTERNS_MAX) /* more than a set takes beside its base */

/* What fails next, each once. */
static bool matching_fails, register_fails;
static unsigned threads_fail; /* a bit for each that is asked for from now on */
static unsigned published;

int __real_pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*run)(void *), void *context);
int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*run)(void *), void *context);
int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*run)(void *), void *context)
{
	bool fails = (threads_fail & 1) != 0;

	threads_fail >>= 1;
	return fails ? EAGAIN : __real_pthread_create(thread, attributes, run, context);
}

int __real_matching_new(struct matchset *set, unsigned workers, struct matching **ret_matching);
int __wrap_matching_new(struct matchset *set, unsigned workers, struct matching **ret_matching);
int __wrap_matching_new(struct matchset *set, unsigned workers, struct matching **ret_matching)
{
	if (!matching_fails)
		return __real_matching_new(set, workers, ret_matching);
	matching_fails = false;
	(void)matchset_free(set);
	return -ENOMEM;
}

/* Memory is short on the way to the register only: what it does then is tested with it. */
int __real_reg_change(struct reg *reg, const struct reg_change *changes, size_t count, uint32_t uid, const char *reason,
		      struct err *err);
int __wrap_reg_change(struct reg *reg, const struct reg_change *changes, size_t count, uint32_t uid, const char *reason,
		      struct err *err);
int __wrap_reg_change(struct reg *reg, const struct reg_change *changes, size_t count, uint32_t uid, const char *reason,
		      struct err *err)
{
	memory_allowed = -1;
	if (!register_fails)
		return __real_reg_change(reg, changes, count, uid, reason, err);
	register_fails = false;
	return err_set(err, -EIO, "the disk failed");
}

int __wrap_gantry_publish(struct gantry *gantry, struct err *err);
int __wrap_gantry_publish(struct gantry *gantry, struct err *err)
{
	(void)gantry;
	(void)err;
	published++;
	return 0;
}

/* What would go into the audit log: the verbs, and the last body. */
static char noted[256], noted_body[4096];

int __wrap_audit_append(struct audit *audit, const struct audit_entry *entry, uint64_t *ret_index);
int __wrap_audit_append(struct audit *audit, const struct audit_entry *entry, uint64_t *ret_index)
{
	(void)audit;
	CHECK(strlen(noted) + strlen(entry->verb) + 2 < sizeof(noted));
	(void)strcat(strcat(noted, entry->verb), " ");
	(void)snprintf(noted_body, sizeof(noted_body), "%.*s", (int)entry->body_size, (const char *)entry->body);
	*ret_index = 77;
	return 0;
}

struct world {
	struct rig rig;
	struct gantry gantry;
	struct reg *reg;
	struct err err;
};

static struct world *world_new(const char *name)
{
	struct world *world = calloc(1, sizeof(*world));
	struct gantry *gantry = &world->gantry;
	char directory[256];
	struct io *io;

	(void)snprintf(directory, sizeof(directory), "%s/%s", check_memory_directory(), name);
	CHECK_INT(0, io_real_new(&io));
	rig_init(&world->rig, io, directory, directory, check_seed());
	CHECK_INT(0, rig_open(&world->rig));
	world->reg = store_register(world->rig.store, NULL);
	gantry->io = io;
	gantry->store = world->rig.store;
	gantry->worker_count = 1;
	gantry->config.compiler_memory_mib = 1024;
	gantry->config.compiler_seconds = 60;
	(void)snprintf(gantry->config.compiler, sizeof(gantry->config.compiler), "%s", getenv("GANTRY_COMPILE"));
	(void)snprintf(gantry->config.data_directory, sizeof(gantry->config.data_directory), "%s", directory);
	(void)pthread_mutex_init(&gantry->change_lock, NULL);
	(void)pthread_mutex_init(&gantry->lists_lock, NULL);
	(void)pthread_mutex_init(&gantry->alarm_lock, NULL);
	CHECK_INT(0, fold_new(gantry, &gantry->fold, &world->err));
	CHECK_INT(0, gantry_load_lists(gantry, &world->err));
	return world;
}

static void world_free(struct world *world)
{
	struct io *io = world->rig.io;

	gantry_lists_free(&world->gantry);
	(void)matching_release(world->gantry.matching);
	(void)fold_free(world->gantry.fold);
	CHECK_INT(0, rig_close(&world->rig, true));
	io_real_free(io);
	free(world);
}

/* The next version of a list, replaced whole. */
static struct list *next_of(struct world *world, const char *name, const char *text, struct lists_known *ret_known)
{
	struct list_info info = {0};
	struct list *list;

	CHECK_INT(0, lists_find(world->reg, name, ret_known));
	(void)snprintf(info.name, sizeof(info.name), "%s", name);
	info.id = ret_known->is_found ? ret_known->found.list : ret_known->highest + 1;
	info.version = ret_known->found.now.version + 1;
	info.generation = ret_known->found.now.generation + 1;
	CHECK_INT(0, list_load_csv(&info, text, strlen(text), NULL, NULL, &world->err, &list));
	return list;
}

/* As a handler does it; `allowed` allocations on the way, -1: all. */
static int commit_list(struct world *world, const struct lists_known *known, struct list *list, int allowed)
{
	struct list_ahead ahead = {0};
	int result;

	pthread_mutex_lock(&world->gantry.change_lock);
	memory_allowed = allowed;
	memory_failed = false;
	list_ahead_begin(&ahead, &world->gantry, world->reg, list);
	result = lists_commit(&world->gantry, world->reg, known, &ahead, false, 7, &world->err);
	memory_allowed = -1;
	list_ahead_end(&ahead);
	pthread_mutex_unlock(&world->gantry.change_lock);
	return result;
}

static int commit(struct world *world, const char *name, const char *text, int allowed)
{
	struct lists_known known;
	struct list *list = next_of(world, name, text, &known);

	return commit_list(world, &known, list, allowed);
}

/* The next version of "wanted", rows added to it or dropped. */
static void edit(struct world *world, bool add, const char *text)
{
	struct lists_known known;
	const struct list *old;
	struct list_info info;
	struct list *list;

	CHECK_INT(0, lists_find(world->reg, "wanted", &known));
	old = lists_loaded(&world->gantry, known.found.list);
	info = *list_info(old);
	info.version++;
	CHECK_INT(0, (add ? list_add : list_drop)(old, &info, text, strlen(text), NULL, NULL, NULL, NULL, &world->err,
						  &list));
	CHECK_INT(0, commit_list(world, &known, list, -1));
}

static int take_away(struct world *world, const char *name, bool keep)
{
	struct lists_known known;

	CHECK_INT(0, lists_find(world->reg, name, &known));
	return lists_commit(&world->gantry, world->reg, &known, NULL, keep, 7, &world->err);
}

static bool meets(struct world *world, const char *vrm)
{
	const struct matching *matching = world->gantry.matching;
	struct read read = {.kind = READ_KIND_VRM, .receipt_us = 1};
	struct match_cursor cursor = {0};
	struct hit hits[8];
	size_t count;

	memcpy(read.key, vrm, strlen(vrm));
	memcpy(read.text, vrm, strlen(vrm));
	CHECK_INT(0, match_burst(matching->set, matching->scratches[0], &read, 1, &cursor, hits, 8, &count));
	return count > 0;
}

/* What the register has of it, with every version that it names in reach. */
static void known_now(struct world *world, const char *name, struct lists_known *ret_known)
{
	struct list *list;

	CHECK_INT(0, lists_find(world->reg, name, ret_known));
	CHECK(ret_known->is_found && !ret_known->found.removed);
	CHECK_INT(0, lists_read(world->reg, &ret_known->found.now, &world->err, &list));
	(void)list_free(list);
	if (!ret_known->found.has_previous)
		return;
	CHECK_INT(0, lists_read(world->reg, &ret_known->found.previous, &world->err, &list));
	(void)list_free(list);
}

/* Nothing is other than before the attempt that failed. */
static void all_stays(struct world *world, const struct lists_known *before, uint64_t generation, unsigned told)
{
	struct lists_known now;

	known_now(world, before->found.name, &now);
	CHECK_MEM(&before->found, &now.found, sizeof(now.found));
	CHECK(world->gantry.lists_generation == generation);
	CHECK_INT(told, published);
	CHECK(lists_loaded(&world->gantry, before->found.list) != NULL);
	CHECK_INT(before->found.now.version, list_info(lists_loaded(&world->gantry, before->found.list))->version);
}

/* Patterns that only a compiled database takes. */
static char *odd_rows(char letter)
{
	char *text = malloc((size_t)ODD_ROWS * 16 + 8), *at = stpcpy(text, "vrm\n");

	for (unsigned i = 0; i < ODD_ROWS; i++)
		at += sprintf(at, "%c%03u*1*2\n", letter, i);
	return text;
}

/* Every allocation between the log and the register fails once, those of the threads beside as well. */
static void test_no_memory(void)
{
	struct world *world = world_new("memory");
	char text[64], vrm[2][8] = {"A1", ""};
	unsigned failed = 0, went_on = 0;
	struct lists_known before;

	CHECK_INT(0, commit(world, "beside", "vrm\nXYZ\n", -1));
	CHECK_INT(0, commit(world, "wanted", "vrm\nA0\n", -1));
	CHECK_INT(0, commit(world, "wanted", "vrm\nA1\n", -1));
	memory_failed = true;
	for (int allowed = 0; memory_failed; allowed++) {
		uint64_t generation = world->gantry.lists_generation;
		unsigned told = published;

		CHECK(allowed < 10000);
		known_now(world, "wanted", &before);
		(void)snprintf(vrm[1], sizeof(vrm[1]), "B%d", allowed);
		(void)snprintf(text, sizeof(text), "vrm\n%s\n", vrm[1]);
		if (commit(world, "wanted", text, allowed) == 0) {
			went_on += memory_failed;
			CHECK(!meets(world, vrm[0]) && meets(world, vrm[1]));
			memcpy(vrm[0], vrm[1], sizeof(vrm[0]));
			CHECK_INT(told + 1, published);
		} else {
			CHECK(memory_failed);
			failed++;
			all_stays(world, &before, generation, told);
			CHECK(meets(world, vrm[0]) && !meets(world, vrm[1]));
		}
		CHECK(meets(world, "XYZ"));
	}
	check_note("%u failures refused the list, %u did not", failed, went_on);
	CHECK(failed > 0 && went_on > 0);
	world_free(world);
}

/* One thread, the other, or both cannot be had: the work is done all the same. */
static void test_no_threads(void)
{
	struct world *world = world_new("threads");

	for (unsigned mask = 0; mask < 4; mask++) {
		char text[32], vrm[8];
		struct lists_known known;

		(void)snprintf(vrm, sizeof(vrm), "T%u", mask);
		(void)snprintf(text, sizeof(text), "vrm\n%s\n", vrm);
		threads_fail = mask;
		CHECK_INT(0, commit(world, "wanted", text, -1));
		CHECK_INT(0, threads_fail);
		CHECK(meets(world, vrm));
		known_now(world, "wanted", &known);
		CHECK_INT(mask + 1, known.found.now.version);
		CHECK(mask == 0 || !meets(world, "T0"));
	}
	/* Neither does one that is given up leave anything. */
	threads_fail = 3;
	{
		struct lists_known known;
		struct list_ahead ahead;

		list_ahead_begin(&ahead, &world->gantry, world->reg, next_of(world, "wanted", "vrm\nU\n", &known));
		list_ahead_end(&ahead);
		CHECK(meets(world, "T3") && !meets(world, "U"));
	}
	world_free(world);
}

/* A base was compiled for a list that is refused: its version is given again, to other entries. */
static void a_base_is_refused(bool by_register)
{
	struct world *world = world_new(by_register ? "base_register" : "base");
	struct lists_known before;
	char *text = odd_rows('P');
	unsigned told;

	CHECK_INT(0, commit(world, "wanted", "vrm\nA0\n", -1));
	CHECK_INT(0, commit(world, "wanted", "vrm\nA1\n", -1));
	known_now(world, "wanted", &before);
	told = published;
	matching_fails = !by_register;
	register_fails = by_register;
	CHECK(commit(world, "wanted", text, -1) < 0);
	CHECK(!matching_fails && !register_fails);
	CHECK(strstr(world->err.text, "the former version stays") != NULL);
	all_stays(world, &before, 3, told);
	CHECK(meets(world, "A1") && !meets(world, "P001X1X2"));
	free(text);
	text = odd_rows('Q');
	CHECK_INT(0, commit(world, "wanted", text, -1));
	CHECK(!meets(world, "P001X1X2") && meets(world, "Q001X1X2"));
	free(text);
	world_free(world);
}

static void test_base_refused(void)
{
	if (getenv("GANTRY_COMPILE") == NULL)
		CHECK_SKIP("GANTRY_COMPILE is not set");
	a_base_is_refused(false);
	a_base_is_refused(true);
}

/* A removal that cannot be made leaves the list matched, in the register, and to be rolled back. */
static void test_removal_refused(void)
{
	struct world *world = world_new("removal");
	struct lists_known before, now;
	unsigned told;

	CHECK_INT(0, commit(world, "wanted", "vrm\nA0\n", -1));
	CHECK_INT(0, commit(world, "wanted", "vrm\nA1\n", -1));
	known_now(world, "wanted", &before);
	told = published;
	matching_fails = true;
	CHECK_INT(-ENOMEM, take_away(world, "wanted", false));
	all_stays(world, &before, 3, told);
	register_fails = true;
	CHECK_INT(-EIO, take_away(world, "wanted", false));
	all_stays(world, &before, 3, told);
	CHECK(meets(world, "A1"));
	CHECK_INT(0, take_away(world, "wanted", false));
	CHECK_INT(0, lists_find(world->reg, "wanted", &now));
	CHECK(now.found.removed && !meets(world, "A1"));
	CHECK_INT(0, world->gantry.list_count);
	world_free(world);
}

/* A list that was last revised so many days ago. */
static void put_old(struct world *world, int64_t days, bool unsure)
{
	struct lists_known known;
	struct list_info info;
	struct list *list;

	CHECK_INT(0, commit(world, "wanted", "vrm\nA0\n", -1));
	CHECK_INT(0, lists_find(world->reg, "wanted", &known));
	info = *list_info(lists_loaded(&world->gantry, known.found.list));
	info.version++;
	info.revised_us = clock_wall_us() - days * DAY_US;
	info.revised_unsure = unsure;
	CHECK_INT(0, list_restate(lists_loaded(&world->gantry, known.found.list), &info, &world->err, &list));
	CHECK_INT(0, commit_list(world, &known, list, -1));
	noted[0] = '\0';
}

/* What was removed can be read until it is as old as R25 has it, or the name is loaded again; what expired, never. */
static void test_removed_stays_readable(void)
{
	struct world *world = world_new("removed");
	struct lists_known now;
	struct list *list;

	put_old(world, 27, false);
	CHECK_INT(0, take_away(world, "wanted", true));
	CHECK_INT(0, rig_close(&world->rig, true));
	CHECK_INT(0, rig_open(&world->rig));
	world->gantry.store = world->rig.store;
	world->reg = store_register(world->rig.store, NULL);
	CHECK_INT(0, lists_expire(&world->gantry, 1, &world->err));
	CHECK_INT(0, lists_find(world->reg, "wanted", &now));
	CHECK(now.found.removed && now.found.has_previous && !meets(world, "A0"));
	CHECK_INT(0, lists_read(world->reg, &now.found.previous, &world->err, &list));
	CHECK_INT(1, list_living(list));
	(void)list_free(list);
	CHECK_INT(0, commit(world, "wanted", "vrm\nA1\n", -1));
	CHECK(lists_read(world->reg, &now.found.previous, &world->err, &list) < 0);
	put_old(world, 40, false);
	CHECK_INT(0, take_away(world, "wanted", true));
	CHECK_INT(0, lists_find(world->reg, "wanted", &now));
	CHECK_INT(1, lists_age_round(world->reg, clock_wall_us(), true, lists_expire, &world->gantry, &world->err));
	CHECK(lists_read(world->reg, &now.found.previous, &world->err, &list) < 0);
	CHECK_INT(0, lists_age_round(world->reg, clock_wall_us(), true, lists_expire, &world->gantry, &world->err));
	CHECK_INT(0, lists_find(world->reg, "wanted", &now));
	CHECK(now.found.removed && !now.found.has_previous);
	world_free(world);
}

static unsigned folds(struct world *world)
{
	json_t *state = fold_json(world->gantry.fold);
	unsigned count = (unsigned)json_integer_value(json_object_get(state, "folds"));

	json_decref(state);
	return count;
}

/* While a new base is compiled of a snapshot, lists go on changing: what came meanwhile lies over it. */
static void test_fold_meanwhile(void)
{
	struct world *world;
	char text[32], vrm[8], *patterns;
	bool met = true;

	if (getenv("GANTRY_COMPILE") == NULL)
		CHECK_SKIP("GANTRY_COMPILE is not set");
	world = world_new("fold");
	patterns = odd_rows('P');
	patterns[strlen("vrm\n") + 150 * strlen("P000*1*2\n")] = '\0';
	CHECK_INT(0, fold_start(world->gantry.fold, &world->err));
	CHECK_INT(0, commit(world, "wanted", "vrm\nA0\n", -1));
	CHECK_INT(0, commit(world, "patterns", patterns, -1));
	for (unsigned i = 1; i < 5000 && (folds(world) == 0 || i < 40); i++) {
		(void)snprintf(text, sizeof(text), "vrm\nA%u\n", i);
		edit(world, i % 8 != 7, i % 8 != 7 ? text : "vrm\nA3\n");
		if (i % 8 == 7)
			edit(world, true, "vrm\nA3\nA7\n");
		(void)snprintf(vrm, sizeof(vrm), "A%u", i % 8 != 7 ? i : 3);
		pthread_mutex_lock(&world->gantry.change_lock);
		met = met && meets(world, vrm) && meets(world, "P149X1X2") && !meets(world, "P150X1X2");
		pthread_mutex_unlock(&world->gantry.change_lock);
		usleep(2000);
	}
	fold_stop(world->gantry.fold);
	CHECK(met);
	CHECK(folds(world) > 0);
	free(patterns);
	world_free(world);
}

/* The entry that says that a list goes has another behind it that says whether it did. */
static void test_expiry(void)
{
	struct world *world = world_new("expiry");
	struct lists_known known;

	put_old(world, 40, false);
	register_fails = true;
	CHECK_INT(-EIO, lists_expire(&world->gantry, 1, &world->err));
	CHECK_STR("lists.change lists.expire ", noted);
	CHECK(strstr(noted_body, "\"entry\":77,\"deleted\":false") != NULL);
	CHECK(strstr(noted_body, "the disk failed") != NULL);
	CHECK(meets(world, "A0"));
	noted[0] = '\0';
	CHECK_INT(0, lists_expire(&world->gantry, 1, &world->err));
	CHECK_STR("lists.change lists.expire ", noted);
	CHECK(strstr(noted_body, "\"entry\":77,\"deleted\":true") != NULL);
	CHECK(!meets(world, "A0"));
	CHECK_INT(0, lists_find(world->reg, "wanted", &known));
	CHECK(known.found.removed);
	world_free(world);
}

/* Revised by a wrong clock: kept, matched on, and from now on as old as it is. */
static void test_wrong_clock(void)
{
	struct world *world = world_new("clock");
	struct lists_known known;

	put_old(world, 40, true);
	CHECK_INT(0, lists_expire(&world->gantry, 1, &world->err));
	CHECK_STR("", noted);
	known_now(world, "wanted", &known);
	CHECK(!known.found.now.revised_unsure && clock_wall_us() - known.found.now.revised_us < DAY_US);
	CHECK(meets(world, "A0"));
	CHECK_INT(0, lists_expire(&world->gantry, 1, &world->err));
	CHECK(meets(world, "A0"));
	world_free(world);
}

/* What the client is told of a hit: "" when it is told no reason. */
static void told_reason(struct world *world, uint32_t version, uint32_t entry, char reason[32])
{
	const struct hit hit = {.list = 1, .version = version, .entry = entry};
	const struct read read = {.kind = READ_KIND_VRM};
	json_t *object = present_hit(&world->gantry, &hit, &read);
	const char *text = json_string_value(json_object_get(object, "reason"));

	(void)snprintf(reason, 32, "%s", text != NULL ? text : "");
	json_decref(object);
}

/* A hit on its way, caught up, or sent again is told with its reason as long as its entry can be told. */
static void test_reason_stays(void)
{
	static const struct {
		uint32_t version, entry;
		const char *reason;
	} told[] = {{1, 0, "armed"}, {1, 1, "other"}, {2, 0, "armed"}, {2, 2, "came"}, {4, 3, "new"},
		    {1, 2, ""},      {3, 3, ""},      {0, 0, ""},      {5, 0, ""},     {4, 4, ""}};
	struct world *world = world_new("reason");
	char reason[32];

	CHECK_INT(0, commit(world, "wanted", "vrm,reason\nA0,armed\nA1,other\n", -1));
	edit(world, true, "vrm,reason\nA2,came\n");
	edit(world, false, "vrm\nA1\n");
	edit(world, true, "vrm,reason\nA0,new\n");
	for (int pass = 0; pass < 2; pass++) {
		for (size_t i = 0; i < sizeof(told) / sizeof(told[0]); i++) {
			told_reason(world, told[i].version, told[i].entry, reason);
			CHECK_STR(told[i].reason, reason);
		}
		/* And as it comes back from the disk. */
		gantry_lists_free(&world->gantry);
		world->gantry.lists = NULL;
		world->gantry.list_count = 0;
		world->gantry.missing = NULL;
		CHECK_INT(0, gantry_load_lists(&world->gantry, &world->err));
	}
	CHECK_INT(0, commit(world, "wanted", "vrm,reason\nA1,whole\nA0,list\n", -1));
	told_reason(world, 4, 0, reason);
	CHECK_STR("", reason);
	told_reason(world, 5, 0, reason);
	CHECK(reason[0] != '\0');
	world_free(world);
}

int main(int argc, char **argv)
{
	static const struct check_test tests[] = {
		{"no memory", test_no_memory},
		{"no threads", test_no_threads},
		{"a base of refused lists is met by nobody", test_base_refused},
		{"a removal that is refused", test_removal_refused},
		{"a removed list can be read until it is old", test_removed_stays_readable},
		{"lists change while a base is folded", test_fold_meanwhile},
		{"an expiry is followed by its outcome", test_expiry},
		{"a wrong clock deletes nothing", test_wrong_clock},
		{"a hit keeps its reason", test_reason_stays},
		{NULL, NULL},
	};

	return check_main(argc, argv, "lists_commit", tests);
}
