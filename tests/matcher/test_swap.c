/*
 * A storm of swaps: one thread replaces, extends, thins, restates and rolls back three lists, and publishes set after
 * set, now upon the old base, now upon a new one; workers match all the while, each with its scratch of the set, and
 * take a new one over between bursts, as the appliance's do.
 *
 * Each version of a list says by itself which plates it holds, so that of every read it is known what has to hit it:
 * exactly the entries of one version of every list, with that version on each hit, none missing and none too many. And
 * a worker that has seen a version never sees an older one.
 */
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "appliance/base/clock.h"
#include "appliance/base/err.h"
#include "appliance/base/prng.h"
#include "matcher/list.h"
#include "matcher/list_edit.h"
#include "matcher/matchset.h"
#include "matcher/vrm.h"
#include "tests/check.h"

enum { WORKERS = 3, LISTS = 3, KEYS = 200, BURST = 64, FORMS = 3, STORM_MS = 1000 };
enum { SETS_MIN = 24, BURSTS_MIN = 300 }; /* the storm goes on until there were so many, and hits of every kind */

/* How a plate may stand on a list: itself, with one character open, with two runs open. */
enum form { FORM_EXACT, FORM_OPEN, FORM_RUNS };

/* A version of a list, and what the model knows of it. */
struct edition {
	struct list *list;
	uint32_t version;
	enum list_tolerance tolerance;
	uint8_t priority;
	bool member[KEYS][FORMS];
	uint32_t entry[KEYS][FORMS]; /* its number */
};

/* What is published. */
struct published {
	uint64_t number; /* 1, 2, 3 … */
	struct matchset *set;
	struct match_scratch *scratches[WORKERS];
	struct edition editions[LISTS]; /* without their lists */
};

static struct published *_Atomic current;
/* The set that a worker has last seen, between bursts: what is older is not used by it any more. */
static struct {
	_Alignas(64) _Atomic uint64_t number;
} quiet[WORKERS];
static atomic_bool ended;
static _Atomic unsigned wrong, bursts, hits_seen[HIT_TOLERANT + 1];

static void form_write(unsigned key, enum form form, char text[32])
{
	static const char *const formats[FORMS] = {"K%04uXA", "K%04u?A", "*%04uX*"};

	(void)snprintf(text, 32, formats[form], key);
}

/* A read of the plate; `misread`: with letters that its digits are taken for. */
static void read_make(unsigned key, bool misread, struct read *read)
{
	char text[32];

	form_write(key, FORM_EXACT, text);
	for (char *at = text; misread && *at != '\0'; at++)
		*at = *at == '2' ? 'Z' : *at == '5' ? 'S' : *at == '8' ? 'B' : *at;
	*read = (struct read){.receipt_us = 1};
	memcpy(read->text, text, strlen(text));
	(void)vrm_key(read->text, read->key);
}

/* ---- workers */

static unsigned expected_of(const struct edition *edition, unsigned key, bool differs, enum form form)
{
	if (!edition->member[key][form])
		return 0;
	if (!differs)
		return form == FORM_EXACT ? 1 + HIT_EXACT : 1 + HIT_PATTERN;
	return form == FORM_EXACT && edition->tolerance == LIST_TOLERANCE_CLASSES ? 1 + HIT_TOLERANT : 0;
}

/* Takes the hit away from what is expected of its read: 1 + its kind, by list and form. False: nobody expects it. */
static bool take_hit(const struct published *from, const struct hit *hit, unsigned key,
		     unsigned char expected[LISTS][FORMS])
{
	const struct edition *edition = &from->editions[(hit->list - 1) % LISTS];

	if (hit->list < 1 || hit->list > LISTS || hit->version != edition->version ||
	    hit->priority != edition->priority)
		return false;
	for (unsigned form = 0; form < FORMS; form++) {
		unsigned char *wanted = &expected[hit->list - 1][form];

		if (*wanted != 1u + hit->kind || edition->entry[key][form] != hit->entry)
			continue;
		*wanted = 0;
		atomic_fetch_add_explicit(&hits_seen[hit->kind], 1, memory_order_relaxed);
		return true;
	}
	return false;
}

struct burst {
	struct read reads[BURST];
	unsigned keys[BURST];
	unsigned char expected[BURST][LISTS][FORMS];
};

static void burst_make(const struct published *from, struct prng *prng, struct burst *burst)
{
	for (size_t i = 0; i < BURST; i++) {
		struct read plain;
		bool differs;

		burst->keys[i] = (unsigned)prng_below(prng, KEYS);
		read_make(burst->keys[i], prng_chance(prng, 300), &burst->reads[i]);
		read_make(burst->keys[i], false, &plain);
		differs = memcmp(plain.key, burst->reads[i].key, sizeof(plain.key)) != 0;
		for (unsigned list = 0; list < LISTS; list++)
			for (unsigned form = 0; form < FORMS; form++)
				burst->expected[i][list][form] = (unsigned char)expected_of(
					&from->editions[list], burst->keys[i], differs, (enum form)form);
	}
}

static void burst_check(const struct published *from, struct match_scratch *scratch, struct burst *burst, size_t room)
{
	static const unsigned char nothing[BURST][LISTS][FORMS];
	struct match_cursor cursor = {0};
	struct hit hits[256];
	int result;

	do {
		size_t got = 0;

		result = match_burst(from->set, scratch, burst->reads, BURST, &cursor, hits, room, &got);
		for (size_t i = 0; i < got; i++)
			wrong += hits[i].row >= BURST ||
				 !take_hit(from, &hits[i], burst->keys[hits[i].row], burst->expected[hits[i].row]);
	} while (result == MATCH_MORE);
	wrong += result != 0 || memcmp(nothing, burst->expected, sizeof(nothing)) != 0;
	bursts++;
}

static void *work(void *context)
{
	unsigned index = (unsigned)(uintptr_t)context;
	struct prng prng = {check_seed() + index};
	uint32_t newest[LISTS] = {0};

	while (!atomic_load_explicit(&ended, memory_order_relaxed)) {
		struct published *from = atomic_load_explicit(&current, memory_order_acquire);
		struct burst burst;

		for (unsigned list = 0; list < LISTS; list++) {
			wrong += from->editions[list].version < newest[list];
			newest[list] = from->editions[list].version;
		}
		burst_make(from, &prng, &burst);
		burst_check(from, from->scratches[index], &burst,
			    prng_chance(&prng, 800) ? 256 : 1 + prng_below(&prng, 16));
		atomic_store_explicit(&quiet[index].number, from->number, memory_order_release);
		sched_yield(); /* where cores are few, who publishes is to have its share */
	}
	atomic_store_explicit(&quiet[index].number, UINT64_MAX, memory_order_release);
	return NULL;
}

/* ---- the thread that changes lists */

static struct err err;

/* Entries and their numbers as the list has them; its membership is the model's own. */
static void edition_take(struct edition *edition, struct list *list)
{
	unsigned living = 0;

	edition->list = list;
	edition->version = list_info(list)->version;
	edition->tolerance = list_info(list)->tolerance;
	edition->priority = list_info(list)->priority;
	for (uint32_t i = 0; i < list_count(list); i++) {
		struct list_entry entry;
		unsigned key;
		enum form form;

		list_entry(list, i, &entry);
		if (entry.flags & LIST_FLAG_REMOVED)
			continue;
		form = entry.pattern[0] == '*' ? FORM_RUNS : strchr(entry.pattern, '?') ? FORM_OPEN : FORM_EXACT;
		CHECK_INT(1, sscanf(entry.pattern + 1, "%4u", &key));
		CHECK(key < KEYS && edition->member[key][form]);
		edition->entry[key][form] = i;
		living++;
	}
	for (unsigned key = 0; key < KEYS; key++)
		for (unsigned form = 0; form < FORMS; form++)
			living -= edition->member[key][form];
	CHECK_INT(0, living);
}

/* So many of the plates that do not stand there (`there`: do), as a file; the model has it done already. */
static size_t rows_choose(struct prng *prng, struct edition *edition, bool there, unsigned permille, char *text)
{
	char *at = stpcpy(text, "vrm\n");

	for (unsigned key = 0; key < KEYS; key++)
		for (unsigned form = 0; form < FORMS; form++) {
			char row[32];

			/* Few: Hyperscan compiles them anew for every set. */
			if (edition->member[key][form] != there || !prng_chance(prng, permille) ||
			    (form == FORM_RUNS && key % 40 != 3))
				continue;
			edition->member[key][form] = !there;
			form_write(key, (enum form)form, row);
			at = stpcpy(stpcpy(at, row), "\n");
		}
	return (size_t)(at - text);
}

/* The next version of a list. `previous` is the one before it, which a roll-back brings back. */
static void edition_next(struct prng *prng, struct edition *edition, struct edition *previous)
{
	static char text[KEYS * FORMS * 16];
	struct edition old = *edition;
	struct list_info info = *list_info(old.list);
	struct list *list = NULL;
	uint64_t what = prng_below(prng, 10);

	info.version++;
	if (what == 0 || (what == 1 && previous->list == NULL)) { /* replaced whole */
		info.generation = info.version;
		memset(edition->member, 0, sizeof(edition->member));
		CHECK_INT(0, list_load_csv(&info, text, rows_choose(prng, edition, false, 500, text), NULL, NULL, &err,
					   &list));
	} else if (what == 1) { /* rolled back */
		memcpy(edition->member, previous->member, sizeof(edition->member));
		info = *list_info(previous->list);
		info.version = old.version + 1;
		info.generation = info.version;
		CHECK_INT(0, list_restate(previous->list, &info, &err, &list));
	} else if (what == 2) { /* another head */
		info.tolerance = old.tolerance == LIST_TOLERANCE_OFF ? LIST_TOLERANCE_CLASSES : LIST_TOLERANCE_OFF;
		info.priority = (uint8_t)prng_below(prng, 101);
		CHECK_INT(0, list_restate(old.list, &info, &err, &list));
	} else if (what < 6) {
		CHECK_INT(0, list_drop(old.list, &info, text, rows_choose(prng, edition, true, 100, text), NULL, NULL,
				       NULL, NULL, &err, &list));
	} else {
		CHECK_INT(0, list_add(old.list, &info, text, rows_choose(prng, edition, false, 60, text), NULL, NULL,
				      NULL, NULL, &err, &list));
	}
	edition_take(edition, list);
	list_free(previous->list);
	*previous = old;
}

static void edition_first(uint32_t id, struct edition *edition)
{
	struct list_info info = {.id = id,
				 .version = 1,
				 .generation = 1,
				 .name = "storm",
				 .priority = (uint8_t)id,
				 .tolerance = id == 1 ? LIST_TOLERANCE_CLASSES : LIST_TOLERANCE_OFF};
	struct list *list;

	memset(edition, 0, sizeof(*edition));
	CHECK_INT(0, list_load_csv(&info, "vrm\n", 4, NULL, NULL, &err, &list));
	edition_take(edition, list);
}

static struct published *published_free(struct published *published)
{
	if (published == NULL)
		return NULL;
	for (unsigned i = 0; i < WORKERS; i++)
		match_scratch_free(published->scratches[i]);
	matchset_free(published->set);
	free(published);
	return NULL;
}

/* Waits for the workers as rte_rcu_qsbr does: none is left in what was before. */
static void publish(const struct edition editions[LISTS], const struct list *const *lists, struct matchbase *base)
{
	struct published *next = calloc(1, sizeof(*next)), *old = atomic_load(&current);

	memcpy(next->editions, editions, sizeof(next->editions));
	next->number = old != NULL ? old->number + 1 : 1;
	CHECK_INT(0, matchset_new(lists, LISTS, base, NULL, &err, &next->set));
	for (unsigned i = 0; i < WORKERS; i++)
		CHECK_INT(0, match_scratch_new(next->set, &next->scratches[i]));
	atomic_store_explicit(&current, next, memory_order_release);
	for (unsigned i = 0; old != NULL && i < WORKERS; i++)
		while (atomic_load_explicit(&quiet[i].number, memory_order_acquire) < next->number)
			sched_yield();
	published_free(old);
}

static bool enough_seen(void)
{
	return bursts >= BURSTS_MIN && hits_seen[HIT_EXACT] > 0 && hits_seen[HIT_PATTERN] > 0 &&
	       hits_seen[HIT_TOLERANT] > 0;
}

static void a_storm_of_swaps(void)
{
	static struct edition editions[LISTS], previous[LISTS];
	struct prng prng = {check_seed()};
	struct matchbase *base = NULL;
	pthread_t threads[WORKERS];
	int64_t end_ns = clock_mono_ns() + STORM_MS * INT64_C(1000000);
	unsigned sets = 0;

	for (unsigned i = 0; i < LISTS; i++)
		edition_first(i + 1, &editions[i]);
	for (; clock_mono_ns() < end_ns || sets < SETS_MIN || !enough_seen(); sets++) {
		const struct list *lists[LISTS];

		for (unsigned i = 0; i < LISTS; i++)
			if (prng_chance(&prng, 500))
				edition_next(&prng, &editions[i], &previous[i]);
		for (unsigned i = 0; i < LISTS; i++)
			lists[i] = editions[(i + sets) % LISTS].list; /* their order says nothing */
		if (prng_chance(&prng, 100)) {
			struct match_limits limits = {.mass_entries_min = prng_chance(&prng, 500) ? 1000 : 1};
			struct matchbase_options options = {.limits = limits};

			base = matchbase_free(base);
			CHECK_INT(0, matchbase_new(lists, LISTS, &options, &err, &base));
		}
		publish(editions, lists, base);
		for (uintptr_t i = 0; sets == 0 && i < WORKERS; i++)
			CHECK_INT(0, pthread_create(&threads[i], NULL, work, (void *)i));
	}
	atomic_store(&ended, true);
	for (unsigned i = 0; i < WORKERS; i++)
		CHECK_INT(0, pthread_join(threads[i], NULL));
	printf("\n    %u sets, versions %u, %u and %u, %u bursts ", sets, editions[0].version, editions[1].version,
	       editions[2].version, bursts);
	published_free(atomic_load(&current));
	matchbase_free(base);
	for (unsigned i = 0; i < LISTS; i++) {
		list_free(editions[i].list);
		list_free(previous[i].list);
	}
	CHECK_INT(0, wrong);
}

int main(int argc, char **argv)
{
	static const struct check_test tests[] = {{"a storm of swaps", a_storm_of_swaps}, {NULL, NULL}};

	return check_main(argc, argv, "swap", tests);
}
