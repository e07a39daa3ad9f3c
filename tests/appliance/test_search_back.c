/*
 * The search back itself, over a store on the simulated disk: a cancel that was answered lasts whatever comes then, and
 * however often the power goes, every read that meets an entry is found once.
 */
#include "appliance/retro.h"

#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "appliance/base/clock.h"
#include "appliance/base/log.h"
#include "appliance/gantry.h"
#include "appliance/hit_rules.h"
#include "appliance/hits_inside.h"
#include "appliance/tables.h"
#include "matcher/list.h"
#include "matcher/matchset.h"
#include "storage/late_hits.h"
#include "storage/sweep.h"
#include "tests/check.h"
#include "tests/storage/marks_world.h"
#include "tests/storage/sim_io.h"

#define DAYS 12 /* back: the world's reads are younger */
#define WAIT_MS 20000

/* Where the search is held up: before each sweep, while `held`. */
static atomic_bool held;
static sem_t arrived, go_on;
static atomic_uint sweeps, notes;

int __real_sweep_run(struct views *views, struct sweep *sweep, struct err *err);
int __wrap_sweep_run(struct views *views, struct sweep *sweep, struct err *err);
int __wrap_sweep_run(struct views *views, struct sweep *sweep, struct err *err)
{
	if (atomic_load(&held)) {
		(void)sem_post(&arrived);
		(void)sem_wait(&go_on);
	}
	atomic_fetch_add(&sweeps, 1);
	return __real_sweep_run(views, sweep, err);
}

/* What would go into the audit log. */
int __wrap_gantry_note(struct gantry *gantry, uint32_t uid, const char *verb, const char *body);
int __wrap_gantry_note(struct gantry *gantry, uint32_t uid, const char *verb, const char *body)
{
	(void)gantry;
	CHECK_INT(7, uid);
	CHECK_STR("lists.retro.end", verb);
	CHECK(strstr(body, "\"finds\"") != NULL);
	atomic_fetch_add(&notes, 1);
	return 0;
}

struct back {
	struct world *world;
	struct gantry gantry;
	struct hits hits;
	struct tables tables;
	struct list *list;
	struct retro *retro;
	struct err err;
};

/* Every other plate of the world: "P0", "P2", … */
static struct list *half_the_plates(void)
{
	struct list_info info = {.id = 1, .version = 3, .generation = 1, .name = "wanted", .priority = 60};
	char text[1024], *at = stpcpy(text, "vrm\n");
	struct list *list;
	struct err err;

	for (unsigned i = 0; i < WORLD_THINGS / 2; i += 2)
		at += sprintf(at, "P%u\n", i);
	CHECK_INT(0, list_load_csv(&info, text, (size_t)(at - text), NULL, NULL, &err, &list));
	for (uint32_t i = 0; i < list_count(list); i++) {
		struct list_entry entry;

		list_entry(list, i, &entry);
		CHECK_INT(3, entry.since);
	}
	return list;
}

static void begin(struct back *back)
{
	struct gantry *gantry = &back->gantry;

	gantry->store = back->world->rig.store;
	gantry->views = store_views(gantry->store);
	CHECK_INT(0, retro_start(gantry, &back->retro, &back->err));
}

static void tables_make(struct back *back)
{
	const struct zone utc = {0};
	struct hit_rules_options options = {.places = &back->tables.places, .zone = &utc};
	struct matchset *set;

	CHECK_INT(0, slot_table_init(&back->tables.places.by_camera, 1));
	CHECK_INT(0, hit_rules_new((const struct list *const *)&back->list, 1, &options, &back->tables.rules));
	CHECK_INT(0, matchset_new((const struct list *const *)&back->list, 1, NULL, NULL, &back->err, &set));
	CHECK_INT(0, matching_new(set, 1, &back->gantry.matching));
	back->gantry.tables = &back->tables;
}

static struct back *back_new(uint64_t seed, const char *name)
{
	struct back *back = calloc(1, sizeof(*back));
	struct gantry *gantry = &back->gantry;
	struct hit_positions behind = {{0}};

	CHECK(back != NULL);
	back->world = world_half_sealed(seed, name);
	back->list = half_the_plates();
	(void)pthread_mutex_init(&gantry->change_lock, NULL);
	(void)pthread_mutex_init(&gantry->lists_lock, NULL);
	(void)pthread_mutex_init(&back->hits.late_lock, NULL);
	gantry->config.retention_days = DAYS;
	gantry->config.retro_hits_max = 100000;
	gantry->lists = &back->list;
	gantry->list_count = 1;
	gantry->hits = &back->hits;
	back->hits.gantry = gantry;
	for (unsigned lane = 0; lane < HIT_LANE_COUNT; lane++)
		CHECK_INT(0, hit_ring_new(1024, &behind, &back->hits.rings[lane]));
	tables_make(back);
	begin(back);
	return back;
}

static void back_free(struct back *back)
{
	retro_stop(back->retro);
	matching_release(back->gantry.matching);
	hit_rules_free(back->tables.rules);
	slot_table_fini(&back->tables.places.by_camera);
	for (unsigned lane = 0; lane < HIT_LANE_COUNT; lane++)
		hit_ring_free(back->hits.rings[lane]);
	list_free(back->list);
	world_free(back->world);
	free(back);
}

static uint32_t ask(struct back *back)
{
	struct retro_order order = {
		.list = 1, .generation = 1, .since_version = 1, .upto_version = 3, .days = DAYS, .who_uid = 7};
	uint32_t number = 0;

	CHECK_INT(0, retro_request(back->retro, &order, &back->err, &number));
	return number;
}

/* Its state; "" for one that nobody knows. ret_finds may be NULL. */
static void show(struct back *back, uint32_t number, char state[16], json_int_t *ret_finds)
{
	json_t *array = retro_json(back->retro), *object;
	size_t i;

	state[0] = '\0';
	json_array_foreach(array, i, object)
	{
		if (json_integer_value(json_object_get(object, "number")) != number)
			continue;
		(void)snprintf(state, 16, "%s", json_string_value(json_object_get(object, "state")));
		if (json_object_get(object, "ended") == NULL && strcmp(state, "cancelled") == 0)
			(void)strcpy(state, "cancelling");
		if (ret_finds != NULL)
			*ret_finds = json_integer_value(json_object_get(object, "finds"));
	}
	json_decref(array);
}

static bool has_ended(struct back *back, uint32_t number)
{
	char state[16];

	show(back, number, state, NULL);
	return strcmp(state, "done") == 0 || strcmp(state, "cancelled") == 0;
}

/* Until it has ended, or the power has gone. */
static void wait_end(struct back *back, uint32_t number)
{
	for (unsigned i = 0; i < WAIT_MS && !has_ended(back, number); i++) {
		if (sim_is_cut(back->world->io))
			return;
		usleep(1000);
	}
	CHECK(has_ended(back, number));
}

static void power_goes_and_comes(struct back *back)
{
	struct world *world = back->world;

	sim_cut_at(world->io, sim_ops(world->io) + 1);
	atomic_store(&held, false);
	(void)sem_post(&go_on);
	back->retro = retro_stop(back->retro);
	while (sem_trywait(&go_on) == 0)
		;
	(void)rig_close(&world->rig, false);
	sim_crash(world->io);
	sim_cut_at(world->io, 0);
	world_open(world);
	begin(back);
}

struct tally {
	struct back *back;
	unsigned of_thing[WORLD_THINGS];
	unsigned all;
	uint64_t last;
};

static int tally_hit(void *context, const struct hit_found *found)
{
	struct tally *tally = context;

	CHECK_INT(HIT_RETRO, found->hit.kind);
	CHECK_INT(1, found->hit.list);
	tally->all++;
	for (unsigned i = 0; i < WORLD_THINGS; i++)
		if (world_same_sighting(&found->read, &tally->back->world->things[i].now))
			tally->of_thing[i]++;
	return 0;
}

/* What a plain look at the world says: each thing with an even plate once, nothing else. Returns how many. */
static unsigned check_finds(struct back *back, bool all)
{
	struct tally tally = {.back = back};
	size_t unreadable = 0;
	unsigned wanted = 0;

	CHECK_INT(0, late_hits_each(store_late_hits(back->world->rig.store), 0, INT64_MAX, false, tally_hit, &tally,
				    &back->err, &unreadable));
	CHECK_INT(0, unreadable);
	for (unsigned i = 0; i < WORLD_THINGS; i++) {
		bool meets = i / 2 % 2 == 0 && back->world->things[i].sent;

		wanted += meets;
		if (all)
			CHECK_INT(meets, tally.of_thing[i]);
		CHECK(tally.of_thing[i] <= meets);
	}
	if (all)
		CHECK_INT(wanted, tally.all);
	return tally.all;
}

static void hold(void)
{
	CHECK_INT(0, sem_init(&arrived, 0, 0));
	CHECK_INT(0, sem_init(&go_on, 0, 0));
	atomic_store(&sweeps, 0);
	atomic_store(&notes, 0);
	atomic_store(&held, true);
}

/* Lets the search run up to its n-th sweep from here. */
static void let_through(unsigned count)
{
	(void)sem_wait(&arrived);
	while (count-- > 0) {
		(void)sem_post(&go_on);
		(void)sem_wait(&arrived);
	}
}

/* One in work and one that waits: both are cancelled, the power goes before the search has noticed anything. */
static void a_cancel_lasts(void)
{
	struct prng prng = {check_seed()};

	for (unsigned round = 0; round < 6; round++) {
		struct back *back;
		uint32_t numbers[2];
		unsigned before;
		bool power = round % 3 != 2; /* else it goes on, and only then ends */

		hold();
		back = back_new(prng_next(&prng), round % 2 == 0 ? "cancel_a" : "cancel_b");
		numbers[0] = ask(back);
		numbers[1] = ask(back);
		let_through((unsigned)prng_below(&prng, 6));
		CHECK_INT(0, retro_cancel(back->retro, numbers[0], &back->err));
		CHECK_INT(0, retro_cancel(back->retro, numbers[1], &back->err));
		CHECK_INT(RETRO_ENDED, retro_cancel(back->retro, numbers[1], &back->err));
		CHECK_INT(RETRO_UNKNOWN, retro_cancel(back->retro, numbers[1] + 100, &back->err));
		before = check_finds(back, false);
		if (power) {
			power_goes_and_comes(back);
			atomic_store(&sweeps, 0);
		} else {
			atomic_store(&held, false);
			(void)sem_post(&go_on);
		}
		for (unsigned i = 0; i < 2; i++) {
			char state[16];

			wait_end(back, numbers[i]);
			show(back, numbers[i], state, NULL);
			CHECK_STR("cancelled", state);
		}
		CHECK(atomic_load(&sweeps) == 0 || !power);
		/* The note comes before the record: when the power goes between them, one is noted again. */
		CHECK(atomic_load(&notes) == 2 || (power && atomic_load(&notes) == 3));
		CHECK_INT(before, check_finds(back, false));
		/* Whoever asks again is given all of it. */
		wait_end(back, ask(back));
		(void)check_finds(back, true);
		back_free(back);
	}
}

/* What cannot be made durable is not cancelled, and says so. */
static void a_cancel_that_fails(void)
{
	struct back *back;
	uint32_t number;
	char state[16];

	hold();
	back = back_new(check_seed(), "cancel_c");
	number = ask(back);
	let_through(1);
	sim_fail(back->world->io, SIM_ALL, 1, 1000, EIO);
	CHECK(retro_cancel(back->retro, number, &back->err) < 0);
	CHECK(back->err.text[0] != '\0');
	show(back, number, state, NULL);
	CHECK_STR("running", state);
	sim_fail(back->world->io, SIM_ALL, 0, 0, EIO);
	atomic_store(&held, false);
	(void)sem_post(&go_on);
	wait_end(back, number);
	show(back, number, state, NULL);
	CHECK_STR("done", state);
	(void)check_finds(back, true);
	back_free(back);
}

/* Anywhere, again in what follows, until it comes to its end: nothing is found twice, nothing not at all. */
static void the_power_goes_anywhere(void)
{
	struct prng prng = {check_seed()};
	int64_t start_ns = clock_mono_ns();
	unsigned rounds = 0, cuts = 0;

	while (rounds < 150 && (rounds < 2 || clock_mono_ns() - start_ns < INT64_C(2500000000))) {
		struct back *back;
		uint32_t number;
		char name[16], state[16];
		json_int_t finds = 0;

		hold();
		atomic_store(&held, false);
		(void)snprintf(name, sizeof(name), "power_%u", rounds);
		back = back_new(prng_next(&prng), name);
		number = ask(back);
		for (unsigned i = 0; i < 4; i++) {
			sim_cut_at(back->world->io,
				   sim_ops(back->world->io) + 1 + prng_below(&prng, i == 0 ? DAYS / 2 : 25));
			wait_end(back, number);
			cuts += sim_is_cut(back->world->io);
			(void)check_finds(back, false);
			power_goes_and_comes(back);
		}
		wait_end(back, number);
		show(back, number, state, &finds);
		CHECK_STR("done", state);
		CHECK(finds <= check_finds(back, true));
		/* Once more: it meets all of them again and tells none. */
		number = ask(back);
		wait_end(back, number);
		show(back, number, state, &finds);
		CHECK_INT(0, finds);
		(void)check_finds(back, true);
		back_free(back);
		rounds++;
	}
	CHECK(cuts >= rounds); /* a search makes an operation a day at least: the first cut of each is met */
	printf("\n    %u searches, %u power cuts ", rounds, cuts);
}

int main(int argc, char **argv)
{
	static const struct check_test tests[] = {{"a cancel lasts", a_cancel_lasts},
						  {"a cancel that fails", a_cancel_that_fails},
						  {"the power goes anywhere", the_power_goes_anywhere},
						  {NULL, NULL}};

	log_level_set(LOG_LEVEL_ERROR);
	return check_main(argc, argv, "search_back", tests);
}
