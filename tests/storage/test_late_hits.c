/* Late hits against a plain list of what was put: over reopens, marks, tidying and purges, crashes and failures. */
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "appliance/base/clock.h"
#include "storage/late_hits.h"
#include "storage/late_internal.h"
#include "storage/marks.h"
#include "storage/register.h"
#include "tests/check.h"
#include "tests/storage/marks_world.h"
#include "tests/storage/sim_io.h"

#define MODEL_MAX 8192
#define SCAN_MAX 64

/* What was put, as it has to be found. */
struct entry {
	struct hit_found found;
	uint32_t generation;
	unsigned thing;
	bool gone; /* its read was erased or amended, or its day purged */
};

struct model {
	struct world *world;
	struct prng prng;
	size_t count;
	struct entry entries[MODEL_MAX]; /* ascending by number */
};

static struct late_hits *late_of(const struct model *model)
{
	return store_late_hits(model->world->rig.store);
}

static struct model *model_new(uint64_t seed, const char *name)
{
	struct model *model = calloc(1, sizeof(*model));

	CHECK(model != NULL);
	model->world = world_new(seed, name);
	model->prng.state = seed;
	for (unsigned i = 0; i < WORLD_THINGS; i++)
		world_send(model->world, i, i % RIG_FEEDS + 1);
	return model;
}

static void model_free(struct model *model)
{
	world_free(model->world);
	free(model);
}

static void model_reopen(struct model *model)
{
	CHECK_INT(0, rig_close(&model->world->rig, false));
	world_open(model->world);
}

/* A hit of a thing's read as it lies there now. False: there is none. */
static bool hit_make(struct model *model, unsigned thing, uint32_t list, uint32_t entry, struct late_hit *ret_hit)
{
	uint8_t id[MARK_ID_SIZE];
	struct late_hit hit = {.generation = 1};

	if (!world_row(model->world, thing, &hit.found.read, id))
		return false;
	hit.found.hit.list = list;
	hit.found.hit.version = 3;
	hit.found.hit.entry = entry;
	hit.found.hit.kind = HIT_RETRO;
	hit.found.hit.priority = (uint8_t)(entry % 101);
	hit.found.hit.flags = HIT_FLAG_LATE;
	*ret_hit = hit;
	return true;
}

static bool same_hit(const struct hit_found *a, const struct hit_found *b)
{
	return memcmp(&a->read, &b->read, sizeof(a->read)) == 0 && a->hit.list == b->hit.list &&
	       a->hit.version == b->hit.version && a->hit.entry == b->hit.entry && a->hit.kind == b->hit.kind &&
	       a->hit.priority == b->hit.priority && a->hit.flags == b->hit.flags;
}

static bool sender_same(const struct read *a, const struct read *b)
{
	return memcmp(a->text, b->text, READ_TEXT_SIZE) == 0 && a->capture_us == b->capture_us &&
	       a->camera == b->camera && a->confidence == b->confidence && a->zero[0] == b->zero[0];
}

static const struct entry *model_knows(const struct model *model, const struct late_hit *hit)
{
	for (size_t i = 0; i < model->count; i++) {
		const struct entry *entry = &model->entries[i];

		if (sender_same(&entry->found.read, &hit->found.read) && entry->found.hit.list == hit->found.hit.list &&
		    entry->found.hit.entry == hit->found.hit.entry && entry->generation == hit->generation)
			return entry;
	}
	return NULL;
}

static int entry_compare(const void *a, const void *b)
{
	const struct entry *left = a;
	const struct entry *right = b;

	return left->found.hit.number < right->found.hit.number ? -1 : 1;
}

/* Tells the model what a put answered; each new one exactly once, none of a read that is restricted. */
static void model_note(struct model *model, const struct late_hit *hits, const unsigned *things, size_t count,
		       size_t put)
{
	uint64_t highest = late_hits_highest(late_of(model));
	size_t numbered = 0;

	for (size_t i = 0; i < count; i++) {
		bool known = model_knows(model, &hits[i]) != NULL || model->world->things[things[i]].restricted;

		CHECK(known == (hits[i].found.hit.number == 0));
		if (known)
			continue;
		CHECK_INT(HIT_SOURCE_LATE, hit_source(hits[i].found.hit.number));
		CHECK(hits[i].found.hit.number <= highest);
		CHECK(model->count < MODEL_MAX);
		model->entries[model->count++] =
			(struct entry){.found = hits[i].found, .generation = hits[i].generation, .thing = things[i]};
		numbered++;
	}
	CHECK_INT(numbered, put);
	qsort(model->entries, model->count, sizeof(model->entries[0]), entry_compare);
}

static void model_put(struct model *model, size_t wanted)
{
	struct late_hit *hits = calloc(wanted + 1, sizeof(*hits));
	unsigned *things = calloc(wanted + 1, sizeof(*things));
	uint64_t before = late_hits_highest(late_of(model));
	struct err err = {""};
	size_t count = 0;
	size_t put = 0;

	for (size_t i = 0; i < wanted; i++) {
		things[count] = (unsigned)prng_below(&model->prng, WORLD_THINGS);
		count += hit_make(model, things[count], 1 + (uint32_t)prng_below(&model->prng, 3),
				  (uint32_t)prng_below(&model->prng, 40), &hits[count]);
		hits[count].generation = 1 + (uint32_t)prng_below(&model->prng, 2);
	}
	CHECK_INT(0, late_hits_put(late_of(model), hits, count, 7, &err, &put));
	for (size_t i = 0; i < count; i++)
		CHECK(hits[i].found.hit.number == 0 || hits[i].found.hit.number > before);
	model_note(model, hits, things, count, put);
	free(hits);
	free(things);
}

static bool shown(const struct model *model, const struct entry *entry)
{
	return !entry->gone && !model->world->things[entry->thing].restricted;
}

static void verify_scan(struct model *model, uint64_t after, uint64_t upto, size_t max)
{
	struct hit_found *found = calloc(max + 1, sizeof(*found));
	struct err err = {""};
	size_t count = SIZE_MAX;
	size_t at = 0;

	CHECK_INT(0, late_hits_scan(late_of(model), after, upto, max, &err, found, &count));
	for (size_t i = 0; i < model->count && at < max; i++) {
		const struct entry *entry = &model->entries[i];

		if (entry->found.hit.number <= after || entry->found.hit.number > upto || !shown(model, entry))
			continue;
		CHECK(at < count);
		CHECK(found[at].hit.number == entry->found.hit.number);
		CHECK(same_hit(&found[at], &entry->found));
		at++;
	}
	CHECK_INT(at, count);
	free(found);
}

struct window {
	struct model *model;
	int64_t from_us;
	int64_t to_us;
	size_t met;
};

static int window_hit(void *context, const struct hit_found *found)
{
	struct window *window = context;

	CHECK(found->read.capture_us >= window->from_us && found->read.capture_us < window->to_us);
	for (size_t i = 0; i < window->model->count; i++)
		if (window->model->entries[i].found.hit.number == found->hit.number)
			CHECK(same_hit(found, &window->model->entries[i].found));
	window->met++;
	return 0;
}

static void verify_window(struct model *model)
{
	int64_t day_us = (int64_t)model->world->rig.first_day * DAY_US;
	struct window window = {.model = model, .from_us = day_us + 1000 * (int64_t)prng_below(&model->prng, 8)};
	struct err err = {""};
	size_t unreadable = 0;
	size_t expected = 0;

	window.to_us = prng_below(&model->prng, 2) != 0 ? window.from_us + 4000 : day_us + 2 * DAY_US;
	for (size_t i = 0; i < model->count; i++) {
		int64_t capture_us = model->entries[i].found.read.capture_us;

		expected +=
			shown(model, &model->entries[i]) && capture_us >= window.from_us && capture_us < window.to_us;
	}
	CHECK_INT(0, late_hits_each(late_of(model), window.from_us, window.to_us, false, window_hit, &window, &err,
				    &unreadable));
	CHECK_INT(expected, window.met);
	CHECK_INT(0, unreadable);
}

static void verify(struct model *model)
{
	struct hit_found found;
	struct err err = {""};

	verify_scan(model, 0, UINT64_MAX, MODEL_MAX);
	for (unsigned i = 0; i < 8 && model->count > 0; i++) {
		const struct entry *from = &model->entries[prng_below(&model->prng, model->count)];
		const struct entry *to = &model->entries[prng_below(&model->prng, model->count)];

		verify_scan(model, from->found.hit.number, to->found.hit.number, prng_below(&model->prng, SCAN_MAX));
		CHECK_INT(shown(model, from) ? 0 : -ENOENT,
			  late_hits_find(late_of(model), from->found.hit.number, &err, &found));
	}
	verify_window(model);
	CHECK_INT(-ENOENT, late_hits_find(late_of(model), hit_number(1, 5), &err, &found));
	CHECK_INT(-ENOENT, late_hits_find(late_of(model), late_hits_highest(late_of(model)) + 1, &err, &found));
}

static void model_mark(struct model *model, unsigned thing, enum mark_kind kind)
{
	world_act(model->world, thing, kind);
	for (size_t i = 0; kind != MARK_RESTRICTED && i < model->count; i++)
		model->entries[i].gone = model->entries[i].gone || model->entries[i].thing == thing;
}

static unsigned late_keys;
static int key_count(void *context, struct key_id id)
{
	(void)context;
	(void)id;
	late_keys++;
	return 0;
}

static void verify_keys(struct model *model, unsigned max)
{
	late_keys = 0;
	CHECK_INT(0, keyring_each(store_keyring(model->world->rig.store), KEY_LATE, key_count, NULL));
	CHECK(late_keys <= max);
}

static void test_random(void)
{
	for (unsigned life = 0; life < 4; life++) {
		char name[32];
		struct model *model;
		struct err err = {""};

		snprintf(name, sizeof(name), "random%u", life);
		model = model_new(check_seed() + life, name);
		for (unsigned step = 0; step < 60; step++) {
			unsigned thing = (unsigned)prng_below(&model->prng, WORLD_THINGS);

			switch (prng_below(&model->prng, 8)) {
			case 0:
				model_reopen(model);
				break;
			case 1:
				if (!model->world->things[thing].erased && !model->world->things[thing].restricted)
					model_mark(model, thing, MARK_ERASED);
				break;
			case 2:
				if (!model->world->things[thing].erased && !model->world->things[thing].restricted)
					model_mark(model, thing,
						   prng_below(&model->prng, 2) ? MARK_AMENDED : MARK_RESTRICTED);
				break;
			case 3:
				CHECK_INT(0, late_hits_tidy(late_of(model), &err));
				verify_keys(model, 2);
				break;
			case 4:
				world_seal(model->world);
				break;
			default:
				model_put(model, prng_below(&model->prng, 80));
			}
			verify(model);
		}
		CHECK(model->count > 100);
		model_free(model);
	}
}

/* With the day its hits go, now and at the next start; numbers go on. */
static void test_day_dies(void)
{
	struct model *model = model_new(check_seed(), "purge");
	struct late_hit hit;
	struct err err = {""};
	uint64_t last;
	size_t put;

	model_put(model, 200);
	CHECK(hit_make(model, 0, 1, 99, &hit));
	last = late_hits_highest(late_of(model));
	CHECK_INT(0, rig_purge(&model->world->rig, 0));
	for (size_t i = 0; i < model->count; i++)
		model->entries[i].gone = model->entries[i].thing % 3 != 2;
	verify(model);
	verify_keys(model, 1);
	CHECK_INT(0, late_hits_put(late_of(model), &hit, 1, 0, &err, &put));
	CHECK(put == 0 && hit.found.hit.number == 0);
	model_reopen(model);
	verify(model);
	CHECK(late_hits_highest(late_of(model)) == last);
	/* One that dies before it forgets them: they go at the next start. */
	CHECK_INT(0, keyring_destroy_day(store_keyring(model->world->rig.store), model->world->rig.first_day + 1));
	model_reopen(model);
	for (size_t i = 0; i < model->count; i++)
		model->entries[i].gone = true;
	verify_scan(model, 0, UINT64_MAX, MODEL_MAX);
	verify_keys(model, 0);
	CHECK(late_hits_highest(late_of(model)) == last);
	model_free(model);
}

/* What a put says, and nothing in between: all of it is there, or nothing. */
static void crash_settle(struct model *model, struct late_hit *hits, const unsigned *things, size_t count, bool done)
{
	struct hit_found found[32];
	struct err err = {""};
	size_t there;

	CHECK_INT(0, late_hits_scan(late_of(model), model->entries[model->count - 1].found.hit.number, UINT64_MAX, 32,
				    &err, found, &there));
	CHECK(there == count || (there == 0 && !done));
	if (there == 0) {
		size_t put;

		CHECK_INT(0, late_hits_put(late_of(model), hits, count, 0, &err, &put));
		CHECK_INT(count, put);
		model_note(model, hits, things, count, put);
		return;
	}
	for (size_t i = 0; i < count; i++) {
		const struct hit_found *one = NULL;

		for (size_t j = 0; j < there; j++)
			if (same_hit(&found[j], &hits[i].found))
				one = &found[j];
		CHECK(one != NULL);
		hits[i].found = *one;
	}
	model_note(model, hits, things, count, there);
}

/* A put and a tidying, cut or failing at the nth operation. False: it came through. */
static bool faulty_round(uint64_t nth, bool cut)
{
	char name[32];
	struct model *model;
	struct late_hit hits[24];
	unsigned things[24];
	struct err err = {""};
	bool done, reached;
	size_t put = 0;
	uint64_t ops;

	snprintf(name, sizeof(name), "%s%llu", cut ? "cut" : "fail", (unsigned long long)nth);
	model = model_new(check_seed() + nth, name);
	/* A day that has a key, with a hit that is to go; every third thing is of one that has none. */
	for (unsigned i = 0; i < 2; i++)
		CHECK(hit_make(model, i, 9, 50 + i, &hits[i]));
	CHECK_INT(0, late_hits_put(late_of(model), hits, 2, 0, &err, &put));
	things[0] = 0;
	things[1] = 1;
	model_note(model, hits, things, 2, put);
	for (unsigned i = 0; i < 24; i++) {
		things[i] = 3 + i;
		CHECK(hit_make(model, things[i], 9, i, &hits[i]));
	}
	model_mark(model, 0, MARK_ERASED);
	ops = sim_ops(model->world->io);
	if (cut)
		sim_cut_at(model->world->io, ops + nth);
	else
		sim_fail(model->world->io, SIM_ALL, nth, 1, nth % 2 ? EIO : ENOSPC);
	done = late_hits_put(late_of(model), hits, 24, 0, &err, &put) == 0;
	(void)late_hits_tidy(late_of(model), &err);
	reached = cut ? sim_is_cut(model->world->io) : sim_ops(model->world->io) - ops >= nth;
	if (cut) {
		(void)rig_close(&model->world->rig, false);
		sim_crash(model->world->io);
		sim_cut_at(model->world->io, 0);
		world_open(model->world);
	} else {
		sim_fail(model->world->io, SIM_ALL, 0, 0, EIO);
	}
	crash_settle(model, hits, things, 24, done);
	verify(model);
	CHECK_INT(0, late_hits_tidy(late_of(model), &err));
	model_reopen(model);
	verify(model);
	verify_keys(model, 2);
	model_free(model);
	return reached;
}

static void test_crashes(void)
{
	int64_t begun_ns = clock_mono_ns();
	unsigned rounds = 0;

	for (uint64_t nth = 1; faulty_round(nth, true); nth += clock_mono_ns() - begun_ns > INT64_C(4000000000) ? 5 : 1)
		rounds++;
	printf("\n    %u crashes ", rounds);
	CHECK(rounds > 10);
}

static void test_failures(void)
{
	int64_t begun_ns = clock_mono_ns();
	unsigned rounds = 0;

	for (uint64_t nth = 1; faulty_round(nth, false);
	     nth += clock_mono_ns() - begun_ns > INT64_C(4000000000) ? 5 : 1)
		rounds++;
	printf("\n    %u failures ", rounds);
	CHECK(rounds > 10);
}

static int texts_look(void *context, const uint8_t *bytes, size_t size)
{
	const uint8_t *text = context;

	return memmem(bytes, size, text, strlen((const char *)text)) != NULL;
}

/* So many of the hits that lie in batches, tidied or not, are of reads that a mark drops. */
static unsigned dropped_kept(struct model *model)
{
	struct late_hits *late = late_of(model);
	struct late_content *content = malloc(sizeof(*content));
	struct mark_set *marks = marks_hold(store_marks(model->world->rig.store));
	unsigned dropped = 0;

	CHECK(content != NULL);
	for (size_t i = 0; i < late->batch_count; i++) {
		CHECK_INT(0, late_batch_read(late, &late->batches[i], content));
		for (size_t j = 0; j < content->count; j++)
			dropped += mark_drops(
				mark_find(mark_set_day(marks, late->batches[i].day), &content->hits[j].found.read));
	}
	mark_set_release(marks);
	free(content);
	return dropped;
}

/* Erased after they were found and before they are put, the day tidied in between: nothing of them is kept. */
static void test_erased_before_put(void)
{
	struct model *model = model_new(check_seed(), "before");
	struct late_hit hits[3];
	struct err err = {""};
	size_t put;

	for (unsigned i = 0; i < 3; i++)
		CHECK(hit_make(model, 3 * i, 1, i, &hits[i]));
	CHECK_INT(0, late_hits_put(late_of(model), &hits[0], 1, 0, &err, &put));
	model_mark(model, 3, MARK_ERASED);
	model_mark(model, 6, MARK_RESTRICTED);
	CHECK_INT(0, late_hits_tidy(late_of(model), &err));
	CHECK_INT(0, late_hits_put(late_of(model), hits, 3, 0, &err, &put));
	CHECK_INT(0, put);
	CHECK(hits[1].found.hit.number == 0 && hits[2].found.hit.number == 0);
	CHECK_INT(0, dropped_kept(model));
	world_lift(model->world, 6);
	CHECK_INT(0, late_hits_put(late_of(model), &hits[2], 1, 0, &err, &put));
	CHECK_INT(1, put);
	model_free(model);
}

struct erasing {
	struct model *model;
	struct act acts[WORLD_THINGS];
	size_t count;
	atomic_bool done;
};

static void *erase_all(void *context)
{
	struct erasing *erasing = context;
	struct err err = {""};

	for (size_t i = 0; i < erasing->count; i++)
		CHECK_INT(0, marks_make(store_marks(erasing->model->world->rig.store), &erasing->acts[i].order, &err));
	atomic_store(&erasing->done, true);
	return NULL;
}

static void *tidy_all(void *context)
{
	struct erasing *erasing = context;
	struct err err = {""};

	while (!atomic_load(&erasing->done))
		CHECK_INT(0, late_hits_tidy(late_of(erasing->model), &err));
	return NULL;
}

/* Puts, marks and tidying at once: after one more tidying nothing is left of what was erased. */
static void test_erased_meanwhile(void)
{
	struct erasing *erasing = calloc(1, sizeof(*erasing));
	struct model *model = model_new(check_seed(), "meanwhile");
	struct late_hit hits[WORLD_THINGS];
	pthread_t threads[2];
	struct err err = {""};
	size_t put;

	CHECK(erasing != NULL);
	erasing->model = model;
	for (unsigned i = 0; i < WORLD_THINGS; i++) {
		CHECK(hit_make(model, i, 1, i, &hits[i]));
		if (i % 4 != 0)
			continue;
		CHECK(world_act_init(model->world, i, MARK_ERASED, &erasing->acts[erasing->count]));
		erasing->acts[erasing->count].order.read = &erasing->acts[erasing->count].read;
		erasing->count++;
	}
	CHECK_INT(0, pthread_create(&threads[0], NULL, erase_all, erasing));
	CHECK_INT(0, pthread_create(&threads[1], NULL, tidy_all, erasing));
	for (uint32_t round = 0; !atomic_load(&erasing->done); round++) {
		for (unsigned i = 0; i < WORLD_THINGS; i++)
			hits[i].found.hit.entry = round;
		CHECK_INT(0, late_hits_put(late_of(model), hits, WORLD_THINGS, 0, &err, &put));
	}
	for (unsigned i = 0; i < 2; i++)
		CHECK_INT(0, pthread_join(threads[i], NULL));
	CHECK_INT(0, late_hits_tidy(late_of(model), &err));
	CHECK_INT(0, dropped_kept(model));
	model_free(model);
	free(erasing);
}

/* The VRM stands nowhere on the medium, and once erased and tidied its key is gone. */
static void test_sealed(void)
{
	struct model *model = model_new(check_seed(), "sealed");
	uint8_t text[] = "QZ7SECRET";
	struct late_hit hit;
	struct err err = {""};
	size_t put;

	CHECK(hit_make(model, 4, 1, 1, &hit));
	memcpy(hit.found.read.text, text, sizeof(text));
	memcpy(hit.found.read.key, text, sizeof(text));
	CHECK_INT(0, late_hits_put(late_of(model), &hit, 1, 0, &err, &put));
	CHECK_INT(1, put);
	CHECK_INT(0, sim_medium_each(model->world->io, texts_look, text));
	model_free(model);
}

static void test_bounds(void)
{
	struct model *model = model_new(check_seed(), "bounds");
	struct late_hit *hits = calloc(LATE_HITS_PUT_MAX + 1, sizeof(*hits));
	struct hit_found found;
	struct late_hits *empty;
	struct err err = {""};
	int64_t begun_ns;
	size_t put = 1;

	CHECK(hits != NULL);
	CHECK_INT(-EINVAL, late_hits_put(late_of(model), hits, LATE_HITS_PUT_MAX + 1, 0, &err, &put));
	CHECK_INT(0, late_hits_put(late_of(model), hits, 0, 0, &err, &put));
	CHECK_INT(0, put);
	CHECK(late_hits_highest(late_of(model)) == 0);
	for (size_t i = 0; i < 100000; i++) {
		CHECK(i > 0 || hit_make(model, 5, 1, 0, &hits[0]));
		hits[i] = hits[0];
		hits[i].found.hit.entry = (uint32_t)i;
		hits[i].found.read.capture_us = hits[0].found.read.capture_us + (int64_t)i;
	}
	begun_ns = clock_mono_ns();
	CHECK_INT(0, late_hits_put(late_of(model), hits, 100000, 0, &err, &put));
	CHECK_INT(100000, put);
	printf("\n    100,000 late hits put in %lld ms, ", (long long)(clock_mono_ns() - begun_ns) / 1000000);
	begun_ns = clock_mono_ns();
	CHECK_INT(0, late_hits_put(late_of(model), hits, 100000, 0, &err, &put));
	CHECK_INT(0, put);
	model_reopen(model);
	printf("opened again in %lld ms ", (long long)(clock_mono_ns() - begun_ns) / 1000000);
	CHECK_INT(0, late_hits_find(late_of(model), late_hits_highest(late_of(model)), &err, &found));
	CHECK_INT(99999, found.hit.entry);
	CHECK_INT(0, late_hits_new(&empty));
	CHECK_INT(-ENOKEY, late_hits_put(empty, hits, 1, 0, &err, &put));
	late_hits_free(empty);
	free(hits);
	model_free(model);
}

/* Random and mutated bytes: refused, or a record that encodes to the same bytes. */
static void test_fuzz(void)
{
	struct prng prng = {check_seed()};
	struct reg_late_hits hits = {.day = 20000, .number = 3, .key = 5, .first = 1000, .count = 4, .sealed_size = 99};
	struct reg_retro retro = {.number = 1, .list = 2, .first_day = 5, .last_day = 9, .next_day = 7, .why = "so"};
	uint8_t bytes[REG_RECORD_SIZE_MAX];
	uint8_t again[REG_RECORD_SIZE_MAX];

	for (unsigned i = 0; i < 200000; i++) {
		size_t size = i % 2 ? reg_late_hits_encode(&hits, bytes) : reg_retro_encode(&retro, bytes);
		struct reg_late_hits got_hits;
		struct reg_retro got_retro;

		for (uint64_t n = prng_below(&prng, 4); n > 0; n--)
			bytes[prng_below(&prng, size)] = (uint8_t)prng_next(&prng);
		if (prng_below(&prng, 8) == 0)
			size = (size_t)prng_below(&prng, size + 1);
		if (i % 2 && reg_late_hits_decode(bytes, size, &got_hits) == 0) {
			CHECK_INT(size, reg_late_hits_encode(&got_hits, again));
			CHECK_MEM(bytes, again, size);
		}
		if (i % 2 == 0 && reg_retro_decode(bytes, size, &got_retro) == 0) {
			CHECK_INT(size, reg_retro_encode(&got_retro, again));
			CHECK_MEM(bytes, again, size);
		}
	}
}

int main(int argc, char **argv)
{
	static const struct check_test tests[] = {
		{"random puts, marks, tidying and reopens leave what a plain list has", test_random},
		{"late hits die with their day", test_day_dies},
		{"power cut at every operation of a put and a tidying", test_crashes},
		{"every operation of a put and a tidying fails", test_failures},
		{"reads erased between find and put have no hits", test_erased_before_put},
		{"puts, marks and tidying at once leave nothing of the erased", test_erased_meanwhile},
		{"nothing on the medium tells the read", test_sealed},
		{"bounds, and many at once", test_bounds},
		{"records of random bytes", test_fuzz},
		{NULL, NULL},
	};
	return check_main(argc, argv, "late hits", tests);
}
