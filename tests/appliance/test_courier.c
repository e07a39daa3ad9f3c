/*
 * Couriers among everything that happens at once: hits are published, clients are slow, go, are taken over and
 * acknowledge, the rings overtake, and the store fails now and then. The store and the socket are
 * the test's; rings, subscriptions, judges and couriers are the appliance's, with all their threads.
 *
 * Whatever happens: each hit that a subscription may have reaches it, nothing else does; on one connection a source's
 * hits come in order and once; what was acknowledged never comes on a later connection.
 */
#include "appliance/courier.h"

#include <errno.h>
#include <jansson.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "appliance/base/clock.h"
#include "appliance/base/err.h"
#include "appliance/base/log.h"
#include "appliance/base/prng.h"
#include "appliance/gantry.h"
#include "appliance/hit_cursor.h"
#include "appliance/hit_screen.h"
#include "appliance/hits_inside.h"
#include "matcher/list.h"
#include "mgmt/call.h"
#include "storage/hit_scan.h"
#include "storage/io.h"
#include "storage/keyring.h"
#include "storage/register.h"
#include "tests/check.h"

enum { HITS = 24000, PUBLISHERS = 3, ROOMS = 4, RING = 64, URGENT = 50 };

/* Owners of the lists: of two rooms both, of the third one, of the fourth none but the clones. */
static const char *const organisations[ROOMS] = {"North", "North", "South", "East"};

/* A hit there ever was; row says which. */
struct past {
	struct hit_found found;
	bool damaged; /* the store has lost it for good */
	bool hidden;  /* its read was erased before it was told */
};

static struct {
	pthread_mutex_t lock;
	struct past *hits;
	size_t count;
	uint64_t highest[HIT_SOURCES];
	atomic_int store_error; /* 0: it works; < 0 always that; > 0 so many of a thousand fail */
	atomic_uint scans, failures;
	struct prng prng;
} past = {.lock = PTHREAD_MUTEX_INITIALIZER};

/* A connection, in place of struct call. */
struct session {
	struct connection connection;
	struct room *room;
	unsigned number;
	bool closed; /* the lock, as all below */
	enum follower_end ended;
	unsigned ends;
	uint64_t last[HIT_LANE_COUNT][HIT_SOURCES];
	size_t seen[HIT_LANE_COUNT]; /* of the hits told in a lane, how many the newest cursor covers */
	char cursor[HIT_LANE_COUNT][HIT_CURSOR_TEXT_SIZE];
	uint32_t *told[HIT_LANE_COUNT];
	unsigned waiting;
};

struct room {
	struct hits *hits;
	struct subscription *subscription;
	unsigned index;
	pthread_t thread;
	pthread_mutex_t lock;
	struct prng prng;
	atomic_int stalled;          /* takes nothing; else so many of a thousand messages find no room */
	uint32_t *acknowledged;      /* by hit: number of the session that acknowledged it first; 0: none */
	uint8_t *got;                /* by hit */
	struct session *session;     /* of now; the lock */
	atomic_bool taken_over_next; /* right behind the next message, before its courier looks up */
	atomic_uint sessions;
	unsigned waiting; /* hits.waiting told */
};

static atomic_bool publishing, over;
static atomic_uint wrong;

/* In threads of the test a check cannot stop the test: it is counted. */
static void expect(bool good, const char *what)
{
	if (!good && atomic_fetch_add(&wrong, 1) == 0)
		check_note("%s", what);
}

/* ---- the store */

int __wrap_hit_scan(struct store *store, unsigned source, uint64_t after, uint64_t upto, size_t max, struct err *err,
		    struct hit_found *ret_found, size_t *ret_count);
int __wrap_hit_scan(struct store *store, unsigned source, uint64_t after, uint64_t upto, size_t max, struct err *err,
		    struct hit_found *ret_found, size_t *ret_count)
{
	int error = atomic_load(&past.store_error);
	size_t count = 0;

	(void)store;
	atomic_fetch_add(&past.scans, 1);
	(void)pthread_mutex_lock(&past.lock);
	if (error < 0 || (error > 0 && prng_chance(&past.prng, (unsigned)error))) {
		memset(ret_found, 0x55, max * sizeof(*ret_found)); /* undefined, says the contract */
		*ret_count = 12345;
		(void)pthread_mutex_unlock(&past.lock);
		atomic_fetch_add(&past.failures, 1);
		return err_set(err, -EIO, "a segment of the test does not open");
	}
	for (size_t i = 0; i < past.count && count < max; i++) {
		const struct hit *hit = &past.hits[i].found.hit;

		if (hit_source(hit->number) == source && hit->number > after && hit->number <= upto &&
		    (hit->flags & HIT_FLAG_REPEAT) == 0 && !past.hits[i].damaged)
			ret_found[count++] = past.hits[i].found;
	}
	(void)pthread_mutex_unlock(&past.lock);
	*ret_count = count;
	return 0;
}

/* As of one marked behind its publication: the store's own answer would lack it. */
void __wrap_hit_screen_begin(struct gantry *gantry, struct hit_screen *ret_screen);
void __wrap_hit_screen_begin(struct gantry *gantry, struct hit_screen *ret_screen)
{
	(void)gantry;
	memset(ret_screen, 0, sizeof(*ret_screen));
}

void __wrap_hit_screen_end(struct hit_screen *screen);
void __wrap_hit_screen_end(struct hit_screen *screen)
{
	(void)screen;
}

bool __wrap_hit_screen_hides(struct hit_screen *screen, const struct hit_found *found);
bool __wrap_hit_screen_hides(struct hit_screen *screen, const struct hit_found *found)
{
	(void)screen;
	return past.hits[found->hit.entry].hidden;
}

/* ---- the socket */

json_t *__wrap_hit_event(struct gantry *gantry, uint8_t kind, const struct hit_found *found);
json_t *__wrap_hit_event(struct gantry *gantry, uint8_t kind, const struct hit_found *found)
{
	(void)gantry;
	(void)kind;
	return json_integer((json_int_t)found->hit.entry);
}

uint8_t __wrap_hit_event_camera_type(struct gantry *gantry, const struct hit_found *found);
uint8_t __wrap_hit_event_camera_type(struct gantry *gantry, const struct hit_found *found)
{
	(void)gantry;
	(void)found;
	return 0;
}

size_t __wrap_call_waiting(const struct call *call);
size_t __wrap_call_waiting(const struct call *call)
{
	const struct session *session = (const struct session *)call;

	return atomic_load(&session->room->stalled) == 1000 ? SIZE_MAX : 0;
}

static bool may_have(unsigned room, const struct hit *hit)
{
	if ((hit->flags & HIT_FLAG_REPEAT) != 0)
		return false;
	if (past.hits[hit->entry].hidden)
		return false;
	return hit->list == 0 ? room == 3 : room < 2 || (room == 2 && hit->list == 2);
}

/* The room's lock held. */
static void take_hit(struct session *session, enum hit_lane lane, uint32_t index)
{
	struct room *room = session->room;
	const struct hit *hit = &past.hits[index].found.hit;
	uint64_t *last = &session->last[lane][hit_source_index(hit_source(hit->number))];

	expect(may_have(room->index, hit), "a hit came to somebody whose it is not");
	expect((hit->priority >= URGENT) == (lane == HIT_LANE_URGENT), "a hit came in the other lane");
	expect(hit->number > *last, "a hit came twice, or behind a later one, on one connection");
	expect(room->acknowledged[index] == 0 || room->acknowledged[index] >= session->number,
	       "an acknowledged hit came again on a later connection");
	*last = hit->number;
	room->got[index] = 1;
	session->told[lane][session->seen[lane]++] = index;
}

static int take_message(struct session *session, const char *method, json_t *params)
{
	enum hit_lane lane = strcmp(json_string_value(json_object_get(params, "lane")), "urgent") == 0 ? HIT_LANE_URGENT
												       : HIT_LANE_MASS;
	json_t *hits = json_object_get(params, "hits"), *hit;
	size_t i;

	if (session->closed)
		return -ECANCELED;
	if (strcmp(method, "hits.waiting") == 0) {
		expect(json_string_length(json_object_get(params, "why")) > 0, "no word of why hits wait");
		session->waiting++;
		session->room->waiting++;
		return 0;
	}
	expect(strcmp(method, "hits.hits") == 0 && json_array_size(hits) > 0, "an empty message");
	json_array_foreach(hits, i, hit) take_hit(session, lane, (uint32_t)json_integer_value(hit));
	(void)snprintf(session->cursor[lane], HIT_CURSOR_TEXT_SIZE, "%s",
		       json_string_value(json_object_get(params, "cursor")));
	return 0;
}

static void session_begin(struct room *room);

int __wrap_call_notify_try(struct call *call, const char *method, json_t *params, unsigned rows);
int __wrap_call_notify_try(struct call *call, const char *method, json_t *params, unsigned rows)
{
	struct session *session = (struct session *)call;
	struct room *room = session->room;
	int result = -EAGAIN;

	(void)pthread_mutex_lock(&room->lock);
	expect(rows == json_array_size(json_object_get(params, "hits")),
	       "a message that counts other hits than it has");
	if (!prng_chance(&room->prng, (unsigned)atomic_load(&room->stalled)))
		result = take_message(session, method, params);
	(void)pthread_mutex_unlock(&room->lock);
	json_decref(params);
	if (result == 0 && atomic_exchange(&room->taken_over_next, false))
		session_begin(room);
	return result;
}

/* ---- clients */

static void on_end(struct follower *follower, enum follower_end why)
{
	struct session *session = (struct session *)follower;

	(void)pthread_mutex_lock(&session->room->lock);
	session->ended = why;
	session->ends++;
	(void)pthread_mutex_unlock(&session->room->lock);
}

/* Sessions live until the end of the test: couriers may still hold one that was taken over. */
static struct session *sessions[4096];
static atomic_uint session_count;

static void session_begin(struct room *room)
{
	struct session *session = calloc(1, sizeof(*session));
	unsigned place = atomic_fetch_add(&session_count, 1);

	if (session == NULL || place >= sizeof(sessions) / sizeof(sessions[0]))
		abort();
	sessions[place] = session;
	session->connection =
		(struct connection){.follower = {.end = on_end}, .call = (struct call *)session, .hits = room->hits};
	session->room = room;
	session->number = atomic_fetch_add(&room->sessions, 1) + 1;
	for (unsigned lane = 0; lane < HIT_LANE_COUNT; lane++)
		session->told[lane] = calloc(HITS, sizeof(uint32_t));
	(void)pthread_mutex_lock(&room->lock);
	room->session = session;
	(void)pthread_mutex_unlock(&room->lock);
	subscription_follow(room->subscription, &session->connection.follower);
	courier_wake(room->hits->catcher);
}

/* The newest of a lane; everything told before it on this connection is acknowledged then. */
static void acknowledge(struct room *room, enum hit_lane lane)
{
	struct session *session;
	char cursor[HIT_CURSOR_TEXT_SIZE];
	size_t count = 0, covered;

	(void)pthread_mutex_lock(&room->lock);
	session = room->session;
	memcpy(cursor, session->cursor[lane], sizeof(cursor));
	covered = session->seen[lane];
	(void)pthread_mutex_unlock(&room->lock);
	if (cursor[0] == '\0')
		return;
	expect(subscriptions_acknowledge(room->hits->subscriptions, room->subscription, cursor, room->hits->latency,
					 &count) == 0,
	       "a cursor was refused");
	(void)pthread_mutex_lock(&room->lock);
	for (size_t i = 0; i < covered; i++)
		if (room->acknowledged[session->told[lane][i]] == 0)
			room->acknowledged[session->told[lane][i]] = session->number;
	(void)pthread_mutex_unlock(&room->lock);
}

static void leave(struct room *room)
{
	struct session *session;

	(void)pthread_mutex_lock(&room->lock);
	session = room->session;
	session->closed = true;
	(void)pthread_mutex_unlock(&room->lock);
	atomic_store(&session->connection.follower.gone, true);
	courier_wake(room->hits->lanes[HIT_LANE_URGENT]);
}

static void *live_in(void *context)
{
	struct room *room = context;
	struct prng prng = {check_seed() + room->index};

	session_begin(room);
	while (!atomic_load(&over)) {
		usleep((useconds_t)prng_below(&prng, 4000));
		acknowledge(room, (enum hit_lane)prng_below(&prng, HIT_LANE_COUNT));
		if (!atomic_load(&publishing)) { /* from here on it only takes what is left */
			atomic_store(&room->stalled, 50);
			continue;
		}
		atomic_store(&room->stalled, prng_chance(&prng, 300) ? 1000 : 200);
		if (prng_chance(&prng, 30)) /* another connection takes over */
			session_begin(room);
		else if (prng_chance(&prng, 30)) {
			leave(room);
			usleep((useconds_t)prng_below(&prng, 3000));
			session_begin(room);
		}
	}
	return NULL;
}

/* ---- hits */

/* One thread a source, as it is with journals: a hit is in the store before it is told. False: there are enough. */
static bool publish_some(struct gantry *gantry, struct prng *prng, unsigned source, size_t most)
{
	struct hit_found batch[64];
	size_t wanted = 1 + prng_below(prng, most), count = 0;
	unsigned index = hit_source_index(source);

	(void)pthread_mutex_lock(&past.lock);
	for (; count < wanted && past.count < HITS; count++) {
		struct past *made = &past.hits[past.count];

		past.highest[index] += 1 + prng_below(prng, 3);
		made->found.hit = (struct hit){.number = hit_number(source, past.highest[index]),
					       .entry = (uint32_t)past.count++,
					       .list = (uint32_t)prng_below(prng, 3),
					       .priority = prng_chance(prng, 300) ? 90 : 10,
					       .flags = prng_chance(prng, 50) ? HIT_FLAG_REPEAT : 0};
		made->found.read.receipt_us = clock_wall_us();
		made->damaged = prng_chance(prng, 5);
		made->hidden = prng_chance(prng, 30);
		batch[count] = made->found;
	}
	(void)pthread_mutex_unlock(&past.lock);
	gantry_hits_publish(gantry, batch, count);
	return count == wanted;
}

struct publisher {
	struct gantry *gantry;
	unsigned source;
	pthread_t thread;
};

static void *publish_all(void *context)
{
	struct publisher *publisher = context;
	struct prng prng = {check_seed() + 100 + publisher->source};

	while (publish_some(publisher->gantry, &prng, publisher->source, 64)) {
		atomic_store(&past.store_error, prng_chance(&prng, 300) ? 400 : 0);
		usleep((useconds_t)prng_below(&prng, 6000));
	}
	return NULL;
}

/* ---- the appliance */

struct stage {
	char paths[6][512];
	struct io *io;
	struct keyring *keyring;
	struct reg *reg;
	struct gantry gantry;
	struct hits hits;
	struct list *lists[2];
	struct room rooms[ROOMS];
	struct err err;
};

static struct list *list_of(uint32_t id, const char *owner, const char *other)
{
	struct list_info info = {.id = id, .version = 1, .generation = 1, .name = "list"};
	struct list *list;
	struct err err;

	(void)snprintf(info.owner, sizeof(info.owner), "%s", owner);
	info.subscriber_count = other != NULL;
	(void)snprintf(info.subscribers[0], sizeof(info.subscribers[0]), "%s", other != NULL ? other : "");
	CHECK_INT(0, list_load_csv(&info, "vrm\nAB12CDE\n", 12, NULL, NULL, &err, &list));
	return list;
}

static void register_open(struct stage *stage)
{
	static const char *const names[] = {"register", "db", "lists", "master", "keyring.a", "keyring.b"};
	static unsigned number;
	struct keyring_options keyring;
	struct reg_options options;
	char root[256];

	(void)snprintf(root, sizeof(root), "%s/c%u", check_memory_directory(), number++);
	CHECK_INT(0, mkdir(root, 0700));
	for (size_t i = 0; i < 6; i++)
		(void)snprintf(stage->paths[i], sizeof(stage->paths[i]), "%s/%s", root, names[i]);
	keyring = (struct keyring_options){.master_path = stage->paths[3],
					   .copy_a_path = stage->paths[4],
					   .copy_b_path = stage->paths[5],
					   .create = true};
	options = (struct reg_options){stage->paths[0], stage->paths[1], stage->paths[2], 16u << 20};
	CHECK_INT(0, io_real_new(&stage->io));
	CHECK_INT(0, keyring_open(&keyring, stage->io, &stage->err, &stage->keyring));
	CHECK_INT(0, reg_open(&options, stage->io, stage->keyring, &stage->err, &stage->reg));
}

static void room_open(struct stage *stage, unsigned index)
{
	struct reg_subscription wanted = {.uid = 7, .clones = index == 3};
	struct hit_positions now = {{0}};
	struct room *room = &stage->rooms[index];
	uint32_t number;

	(void)snprintf(wanted.name, sizeof(wanted.name), "room %u", index);
	(void)snprintf(wanted.organisation, sizeof(wanted.organisation), "%s", organisations[index]);
	CHECK_INT(0, subscriptions_add(stage->hits.subscriptions, &wanted, &now, 7, &stage->err, &number));
	*room = (struct room){.hits = &stage->hits, .index = index, .prng = {check_seed() + 10 + index}};
	(void)pthread_mutex_init(&room->lock, NULL);
	room->subscription = subscriptions_take(stage->hits.subscriptions, wanted.name);
	room->acknowledged = calloc(HITS, sizeof(*room->acknowledged));
	room->got = calloc(HITS, sizeof(*room->got));
}

static struct stage *stage_new(void)
{
	struct stage *stage = calloc(1, sizeof(*stage));
	struct subscriptions_options options = {.urgent_priority = URGENT, .window = 200, .receipts_us = 1000000};
	struct hit_positions behind = {{0}};
	struct gantry *gantry = &stage->gantry;
	struct hits *hits = &stage->hits;

	past.hits = calloc(HITS, sizeof(*past.hits));
	past.count = 0;
	memset(past.highest, 0, sizeof(past.highest));
	past.prng = (struct prng){check_seed()};
	atomic_store(&past.store_error, 0);
	atomic_store(&past.scans, 0);
	atomic_store(&past.failures, 0);
	atomic_store(&wrong, 0);
	atomic_store(&over, false);
	register_open(stage);
	options.reg = stage->reg;
	stage->lists[0] = list_of(1, "North", NULL);
	stage->lists[1] = list_of(2, "South", "North");
	(void)pthread_mutex_init(&gantry->lists_lock, NULL);
	(void)pthread_mutex_init(&gantry->alarm_lock, NULL);
	gantry->lists = stage->lists;
	gantry->list_count = 2;
	gantry->lists_generation = 1;
	gantry->hits = hits;
	hits->gantry = gantry;
	hits->urgent_priority = URGENT;
	(void)pthread_mutex_init(&hits->late_lock, NULL);
	CHECK_INT(0, hit_latency_new(&hits->latency));
	for (unsigned lane = 0; lane < HIT_LANE_COUNT; lane++)
		CHECK_INT(0, hit_ring_new(RING, &behind, &hits->rings[lane]));
	CHECK_INT(0, subscriptions_new(&options, &stage->err, &hits->subscriptions));
	for (unsigned i = 0; i < ROOMS; i++)
		room_open(stage, i);
	CHECK_INT(0, courier_start_catcher(hits, &stage->err, &hits->catcher));
	for (unsigned lane = 0; lane < HIT_LANE_COUNT; lane++)
		CHECK_INT(0, courier_start_lane(hits, lane, &stage->err, &hits->lanes[lane]));
	return stage;
}

/* Every connection was ended once, whoever ended it. */
static void stage_free(struct stage *stage)
{
	struct hits *hits = &stage->hits;

	for (unsigned i = 0; i < ROOMS; i++)
		subscription_end(stage->rooms[i].subscription, FOLLOWER_GONE);
	for (unsigned lane = 0; lane < HIT_LANE_COUNT; lane++)
		hits->lanes[lane] = courier_stop(hits->lanes[lane]);
	hits->catcher = courier_stop(hits->catcher);
	for (unsigned i = 0; i < session_count; i++) {
		CHECK_INT(1, sessions[i]->ends);
		for (unsigned lane = 0; lane < HIT_LANE_COUNT; lane++)
			free(sessions[i]->told[lane]);
		free(sessions[i]);
	}
	session_count = 0;
	for (unsigned i = 0; i < ROOMS; i++) {
		subscriptions_release(hits->subscriptions, stage->rooms[i].subscription);
		free(stage->rooms[i].acknowledged);
		free(stage->rooms[i].got);
	}
	hits->subscriptions = subscriptions_free(hits->subscriptions);
	for (unsigned lane = 0; lane < HIT_LANE_COUNT; lane++)
		hit_ring_free(hits->rings[lane]);
	hit_latency_free(hits->latency);
	list_free(stage->lists[0]);
	list_free(stage->lists[1]);
	reg_free(stage->reg);
	keyring_free(stage->keyring);
	io_real_free(stage->io);
	free(past.hits);
	free(stage);
}

/* How many that a room ought to have are missing: never told, or never acknowledged. */
static size_t missing(struct room *room, bool damaged_too, bool acknowledged)
{
	size_t count = 0;

	(void)pthread_mutex_lock(&past.lock);
	(void)pthread_mutex_lock(&room->lock);
	for (size_t i = 0; i < past.count; i++)
		count += may_have(room->index, &past.hits[i].found.hit) && (damaged_too || !past.hits[i].damaged) &&
			 (acknowledged ? room->acknowledged[i] == 0 : room->got[i] == 0);
	(void)pthread_mutex_unlock(&room->lock);
	(void)pthread_mutex_unlock(&past.lock);
	return count;
}

static void wait_for(struct room *room, bool damaged_too, bool acknowledged)
{
	for (unsigned i = 0; i < 20000 && missing(room, damaged_too, acknowledged) > 0; i++)
		usleep(1000);
	CHECK_INT(0, missing(room, damaged_too, acknowledged));
}

static void everything_at_once(void)
{
	static const unsigned sources[PUBLISHERS] = {0, 1, HIT_SOURCE_LATE};
	struct stage *stage = stage_new();
	struct publisher publishers[PUBLISHERS];
	unsigned behind = 0;

	atomic_store(&publishing, true);
	for (unsigned i = 0; i < ROOMS; i++)
		CHECK_INT(0, pthread_create(&stage->rooms[i].thread, NULL, live_in, &stage->rooms[i]));
	for (unsigned i = 0; i < PUBLISHERS; i++) {
		publishers[i] = (struct publisher){.gantry = &stage->gantry, .source = sources[i]};
		CHECK_INT(0, pthread_create(&publishers[i].thread, NULL, publish_all, &publishers[i]));
	}
	for (unsigned i = 0; i < PUBLISHERS; i++)
		CHECK_INT(0, pthread_join(publishers[i].thread, NULL));
	atomic_store(&past.store_error, 0);
	atomic_store(&publishing, false);
	for (unsigned i = 0; i < ROOMS; i++)
		wait_for(&stage->rooms[i], false, true);
	atomic_store(&over, true);
	for (unsigned i = 0; i < ROOMS; i++) {
		CHECK_INT(0, pthread_join(stage->rooms[i].thread, NULL));
		behind += (unsigned)stage->rooms[i].subscription->lanes[HIT_LANE_MASS].from_store;
	}
	CHECK_INT(0, atomic_load(&wrong));
	/* What the test is about has happened: looks at the store, failing ones, hits from there, connections that
	 * ended. */
	CHECK(atomic_load(&past.scans) > 50 && atomic_load(&past.failures) > 5 && behind > 100);
	CHECK(session_count > 2 * ROOMS);
	printf("\n    %u connections, %u looks at the store, %u failed ", session_count, past.scans, past.failures);
	stage_free(stage);
}

/* Until lists were loaded nobody can say whose hits are: they wait, and are not counted as somebody else's. */
static void before_lists_are_known(void)
{
	struct stage *stage = stage_new();
	struct room *room = &stage->rooms[0];
	struct prng prng = {check_seed()};
	const struct subscription_lane *lanes = room->subscription->lanes;

	(void)pthread_mutex_lock(&stage->gantry.lists_lock);
	stage->gantry.lists_generation = 0;
	(void)pthread_mutex_unlock(&stage->gantry.lists_lock);
	session_begin(room);
	for (unsigned i = 0; i < 20; i++)
		(void)publish_some(&stage->gantry, &prng, i % 2, 32);
	usleep(100000);
	(void)pthread_mutex_lock(&room->lock);
	CHECK_INT(0, room->session->seen[HIT_LANE_URGENT] + room->session->seen[HIT_LANE_MASS]);
	(void)pthread_mutex_unlock(&room->lock);
	(void)pthread_mutex_lock(&room->subscription->lock);
	for (unsigned lane = 0; lane < HIT_LANE_COUNT; lane++)
		for (unsigned source = 0; source < HIT_SOURCES; source++)
			CHECK_INT(0, lanes[lane].acknowledged.at[source] + lanes[lane].sent.at[source]);
	(void)pthread_mutex_unlock(&room->subscription->lock);
	(void)pthread_mutex_lock(&stage->gantry.lists_lock);
	stage->gantry.lists_generation = 1;
	(void)pthread_mutex_unlock(&stage->gantry.lists_lock);
	wait_for(room, false, false); /* the ring has gone on: what the store has lost is lost */
	CHECK_INT(0, atomic_load(&wrong));
	stage_free(stage);
}

static bool alarm_stands(struct gantry *gantry)
{
	bool stands;

	(void)pthread_mutex_lock(&gantry->alarm_lock);
	stands = gantry->standing[ALARM_HITS][0] != '\0';
	(void)pthread_mutex_unlock(&gantry->alarm_lock);
	return stands;
}

static unsigned waiting_told(struct room *room)
{
	unsigned told;

	(void)pthread_mutex_lock(&room->lock);
	told = room->waiting;
	(void)pthread_mutex_unlock(&room->lock);
	return told;
}

/*
 * Room 0 was away until the rings had gone on, and the store cannot say what it missed: it is told so, once a lane, and
 * so is the operator; room 2, which was there, goes on as if nothing were. When the store can say again, nothing lacks.
 */
static void a_store_that_fails(void)
{
	struct stage *stage = stage_new();
	struct room *away = &stage->rooms[0], *there = &stage->rooms[2];
	struct prng prng = {check_seed()};
	int64_t begun_ns;
	unsigned failures;

	session_begin(there);
	for (unsigned i = 0; i < 60; i++) {
		(void)publish_some(&stage->gantry, &prng, i % 2, 32);
		wait_for(there, true, false);
		acknowledge(there, HIT_LANE_URGENT);
		acknowledge(there, HIT_LANE_MASS);
	}
	atomic_store(&past.store_error, -1);
	session_begin(away);
	for (unsigned i = 0; i < 20000 && waiting_told(away) < HIT_LANE_COUNT; i++)
		usleep(1000);
	begun_ns = clock_mono_ns();
	failures = atomic_load(&past.failures);
	for (unsigned i = 0; i < 20000 && !alarm_stands(&stage->gantry); i++) {
		(void)publish_some(&stage->gantry, &prng, i % 2, 8);
		wait_for(there, true, false);
		acknowledge(there, HIT_LANE_URGENT);
		acknowledge(there, HIT_LANE_MASS);
		usleep(5000);
	}
	CHECK(alarm_stands(&stage->gantry));
	CHECK_INT(HIT_LANE_COUNT, waiting_told(away));
	CHECK_INT(0, waiting_told(there));
	/* A store in trouble is not hammered: a lane asks ten times a second. */
	CHECK(atomic_load(&past.failures) - failures <=
	      HIT_LANE_COUNT * (1 + (uint64_t)(clock_mono_ns() - begun_ns) / 100000000));
	CHECK(missing(away, false, false) > 100);
	atomic_store(&past.store_error, 0);
	for (unsigned i = 0; i < 20000 && missing(away, false, false) > 0; i++) {
		acknowledge(away, HIT_LANE_URGENT);
		acknowledge(away, HIT_LANE_MASS);
		usleep(1000);
	}
	CHECK_INT(0, missing(away, false, false));
	for (unsigned i = 0; i < 20000 && alarm_stands(&stage->gantry); i++)
		usleep(1000);
	CHECK(!alarm_stands(&stage->gantry));
	CHECK_INT(HIT_LANE_COUNT, waiting_told(away));
	CHECK_INT(0, atomic_load(&wrong));
	stage_free(stage);
}

/* Another connection takes over while a courier has half of a batch in hand: it begins anew, where it acknowledged. */
static void taken_over_in_the_middle(void)
{
	struct stage *stage = stage_new();
	struct room *room = &stage->rooms[0];
	struct prng prng = {check_seed()};

	for (unsigned round = 1; round <= 5; round++) {
		for (unsigned i = 0; i < 30; i++)
			(void)publish_some(&stage->gantry, &prng, 0, 64);
		atomic_store(&room->taken_over_next, true);
		session_begin(room);
		for (unsigned i = 0;
		     i < 20000 && (atomic_load(&room->sessions) < 2 * round || missing(room, false, true) > 0); i++) {
			usleep(1000);
			if (atomic_load(&room->sessions) < 2 * round)
				continue;
			acknowledge(room, HIT_LANE_URGENT);
			acknowledge(room, HIT_LANE_MASS);
		}
		CHECK_INT(0, missing(room, false, true));
		CHECK_INT(2 * round, atomic_load(&room->sessions));
		leave(room);
	}
	CHECK_INT(0, atomic_load(&wrong));
	stage_free(stage);
}

int main(int argc, char **argv)
{
	static const struct check_test tests[] = {{"everything at once", everything_at_once},
						  {"before lists are known", before_lists_are_known},
						  {"a store that fails", a_store_that_fails},
						  {"taken over in the middle", taken_over_in_the_middle},
						  {NULL, NULL}};

	log_level_set(getenv("GANTRY_TEST_LOG") != NULL ? LOG_LEVEL_DEBUG : LOG_LEVEL_ERROR);
	return check_main(argc, argv, "courier", tests);
}
