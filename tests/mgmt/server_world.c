#include "tests/mgmt/server_world.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <unistd.h>

#include "mgmt/call.h"
#include "tests/check.h"
#include "tests/mgmt/fixture.h"

int world_status(struct call *call, void *ctx)
{
	(void)ctx;
	call_result(call, json_pack("{s:s}", "state", "running"));
	return 0;
}

int world_change(struct call *call, void *ctx)
{
	struct world *world = ctx;

	atomic_fetch_add(&world->effects, 1);
	call_result(call, json_pack("{s:I}", "feed", (json_int_t)call_integer(call, "feed", -1)));
	return 0;
}

static int handle_load(struct call *call, void *ctx)
{
	struct world *world = ctx;
	size_t size = 0;
	const char *text = call_upload(call, "upload", &size);

	atomic_fetch_add(&world->effects, 1);
	call_result(call, json_pack("{s:s%, s:I}", "text", text, size < 32 ? size : 32, "entries", (json_int_t)size));
	return 0;
}

/* As many rows as the limit says, each of some bytes. */
static int handle_search(struct call *call, void *ctx)
{
	struct world *world = ctx;
	int64_t count = call_integer(call, "limit", 100);
	int r = 0;

	atomic_fetch_add(&world->effects, 1);
	for (int64_t i = 0; i < count && r == 0; i++) {
		call_progress(call, (uint64_t)i, (uint64_t)count, "searching");
		r = call_row(call,
			     json_pack("{s:I, s:s}", "n", (json_int_t)i, "text",
				       "a row with some text so that it has a size that fills buffers in the end"));
		atomic_fetch_add(&world->rows, r == 0);
	}
	if (r == 0)
		call_result(call, json_pack("{s:I}", "count", (json_int_t)count));
	return r;
}

/* Waits until it is cancelled. */
static int world_wait(struct call *call, void *ctx)
{
	struct world *world = ctx;

	atomic_fetch_add(&world->blocked, 1);
	while (!call_cancelled(call))
		(void)usleep(1000);
	atomic_fetch_sub(&world->blocked, 1);
	atomic_fetch_add(&world->cancelled, 1);
	return -ECANCELED;
}

static void follow_cancelled(struct call *call, void *ctx)
{
	struct world *world = ctx;
	bool ours;

	(void)pthread_mutex_lock(&world->lock);
	ours = world->stream == call;
	if (ours)
		world->stream = NULL;
	(void)pthread_mutex_unlock(&world->lock);
	atomic_fetch_add(&world->cancelled, 1);
	if (ours)
		call_finish(call);
}

static int handle_follow(struct call *call, void *ctx)
{
	struct world *world = ctx;
	int r;

	/* Together: once it is kept it may be cancelled, and the callback has to find it here. */
	(void)pthread_mutex_lock(&world->lock);
	r = call_keep(call, follow_cancelled, world);
	if (r == 0)
		world->stream = call;
	(void)pthread_mutex_unlock(&world->lock);
	return r == 0 ? CALL_STREAMING : r;
}

void world_begin(struct test_server *test, struct world *world)
{
	memset(world, 0, sizeof(*world));
	(void)pthread_mutex_init(&world->lock, NULL);
	test_server_new(test);
	CHECK_INT(0, server_bind(test->server, "status", world_status, world));
	CHECK_INT(0, server_bind(test->server, "feeds.add", world_change, world));
	CHECK_INT(0, server_bind(test->server, "lists.load", handle_load, world));
	CHECK_INT(0, server_bind(test->server, "reads.search", handle_search, world));
	CHECK_INT(0, server_bind(test->server, "reads.count", world_wait, world));
	CHECK_INT(0, server_bind(test->server, "hits.follow", handle_follow, world));
	CHECK_INT(0, server_bind(test->server, "hits.search", handle_follow, world));
	CHECK_INT(-EBUSY, server_bind(test->server, "status", world_status, world));
	CHECK_INT(-ENOENT, server_bind(test->server, "no.such", world_status, world));
	CHECK_INT(-ENOENT, server_bind(test->server, "cancel", world_status, world));
	test_server_start(test);
}

void world_wait_for(atomic_int *value, int wanted)
{
	for (int i = 0; i < 10000 && atomic_load(value) != wanted; i++)
		(void)usleep(1000);
	CHECK_INT(wanted, atomic_load(value));
}

struct server_counters world_counters(struct test_server *test)
{
	struct server_counters counters;

	server_counters_get(test->server, &counters);
	return counters;
}
