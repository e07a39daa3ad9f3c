/*
 * A storm of swaps: one thread edits lists and publishes set after set, now upon the old base, now upon a new one;
 * others match all the while. Every hit bears its list's version, and all hits of one burst must be exactly those of
 * the lists as they were at that version, as a plain comparison finds them.
 *
 * Each edition of the list has the keys that `member` says, so that a matcher can tell what it ought to find from the
 * edition alone. Within a generation keys are added at the end and removed for good, a key's number being its entry's;
 * now and then the list is replaced whole.
 */
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "appliance/base/clock.h"
#include "appliance/base/err.h"
#include "appliance/base/prng.h"
#include "matcher/list_build.h"
#include "matcher/matchset.h"
#include "matcher/vrm.h"
#include "tests/check.h"

enum { MATCHERS = 3, KEYS = 200, KEYS_FIRST = 100, KEYS_A_VERSION = 5, STORM_MS = 1500 };

struct edition {
	uint32_t version;
	uint32_t generation; /* the version it began with */
};

/* A set in use: a lock stands in for the workers' quiescent points. */
struct published {
	struct matchset *set;
	struct edition edition;
	_Atomic int users;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct published *current;
static atomic_bool ended;
static _Atomic unsigned wrong, bursts;

static unsigned key_count(const struct edition *edition)
{
	unsigned count = KEYS_FIRST + KEYS_A_VERSION * (edition->version - edition->generation);

	return count < KEYS ? count : KEYS;
}

static bool member(const struct edition *edition, unsigned key)
{
	struct prng prng = {(uint64_t)edition->generation << 32 | key};

	return key < key_count(edition) && edition->version - edition->generation < prng_below(&prng, 40);
}

/* A tenth of the keys are patterns, of which none matches another key. */
static void vrm_write(unsigned key, bool pattern, char text[32])
{
	(void)snprintf(text, 32, pattern && key % 10 == 3 ? "K%04u?A" : "K%04uXA", key);
}

static struct list *edition_list(const struct edition *edition)
{
	struct list_info info = {
		.id = 1, .version = edition->version, .generation = edition->generation, .name = "storm"};
	char text[KEYS * 16 + 16], *at = stpcpy(text, "vrm\n");
	struct list *list;
	struct err err;

	for (unsigned key = 0; key < key_count(edition); key++) {
		char vrm[32];

		vrm_write(key, true, vrm);
		at += sprintf(at, "%s\n", vrm);
	}
	if (list_load_csv(&info, text, (size_t)(at - text), NULL, NULL, &err, &list) < 0)
		abort();
	for (unsigned key = 0; key < key_count(edition); key++)
		if (!member(edition, key))
			list->slots[key].flags |= LIST_FLAG_REMOVED;
	return list;
}

static struct published *take(void)
{
	struct published *taken;

	pthread_mutex_lock(&lock);
	taken = current;
	taken->users++;
	pthread_mutex_unlock(&lock);
	return taken;
}

static void burst_check(const struct published *taken, struct match_scratch *scratch, const struct read *reads,
			const unsigned *keys, size_t count)
{
	struct match_cursor cursor = {0};
	struct hit hits[256];
	size_t got = 0, at = 0;

	if (match_burst(taken->set, scratch, reads, count, &cursor, hits, 256, &got) != 0)
		wrong++;
	for (uint32_t i = 0; i < count; i++) {
		if (!member(&taken->edition, keys[i]))
			continue;
		if (at >= got || hits[at].row != i || hits[at].entry != keys[i] ||
		    hits[at].version != taken->edition.version)
			wrong++;
		at++;
	}
	wrong += at != got;
	bursts++;
}

static void *matcher(void *context)
{
	struct prng prng = {check_seed() + (uintptr_t)context};

	while (!atomic_load(&ended)) {
		struct published *taken = take();
		struct match_scratch *scratch;

		if (match_scratch_new(taken->set, &scratch) < 0)
			abort();
		for (int i = 0; i < 8; i++) {
			struct read reads[64] = {0};
			unsigned keys[64];

			for (size_t j = 0; j < 64; j++) {
				char vrm[32];

				keys[j] = (unsigned)prng_below(&prng, KEYS);
				vrm_write(keys[j], false, vrm);
				memcpy(reads[j].text, vrm, strlen(vrm));
				(void)vrm_key(reads[j].text, reads[j].key);
			}
			burst_check(taken, scratch, reads, keys, 64);
		}
		match_scratch_free(scratch);
		taken->users--;
	}
	return NULL;
}

static void publish(struct matchset *set, const struct edition *edition)
{
	struct published *next = calloc(1, sizeof(*next)), *old;

	next->set = set;
	next->edition = *edition;
	pthread_mutex_lock(&lock);
	old = current;
	current = next;
	pthread_mutex_unlock(&lock);
	while (old != NULL && old->users > 0)
		sched_yield();
	if (old != NULL)
		matchset_free(old->set);
	free(old);
}

static void a_storm_of_swaps(void)
{
	struct prng prng = {check_seed()};
	struct matchbase *base = NULL;
	pthread_t threads[MATCHERS];
	struct edition edition = {0, 1};
	int64_t end_ns = clock_mono_ns() + STORM_MS * INT64_C(1000000);
	struct err err;

	for (int i = 0; clock_mono_ns() < end_ns; i++) {
		struct matchset *set;
		struct list *list;

		edition.version++;
		if (prng_chance(&prng, 50))
			edition.generation = edition.version;
		list = edition_list(&edition);

		if (prng_chance(&prng, 150)) {
			matchbase_free(base);
			CHECK_INT(0, matchbase_new((const struct list *const *)&list, 1, NULL, &err, &base));
		}
		CHECK_INT(0, matchset_new((const struct list *const *)&list, 1, base, NULL, &err, &set));
		list_free(list);
		publish(set, &edition);
		for (uintptr_t t = 0; i == 0 && t < MATCHERS; t++)
			CHECK_INT(0, pthread_create(&threads[t], NULL, matcher, (void *)t));
	}
	atomic_store(&ended, true);
	for (int t = 0; t < MATCHERS; t++)
		(void)pthread_join(threads[t], NULL);
	printf("%u versions, %u bursts ", edition.version, bursts);
	matchset_free(current->set);
	free(current);
	matchbase_free(base);
	CHECK(edition.version > 20 && bursts > 100);
	CHECK_INT(0, wrong);
}

int main(int argc, char **argv)
{
	static const struct check_test tests[] = {{"a storm of swaps", a_storm_of_swaps}, {NULL, NULL}};

	return check_main(argc, argv, "swap", tests);
}
