#include "bench/suite_match_socket.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "appliance/base/clock.h"
#include "bench/suite_appliance.h"
#include "bench/suite_match_world.h"
#include "bench/suite_options.h"
#include "bench/suite_report.h"
#include "bench/suite_room.h"
#include "mgmt/link.h"

#define VERSIONS 2
#define TRIES 3
#define ASK_PAUSE_NS 5000000
#define ANSWER_MS 60000
#define REST_NS 2500000000 /* between two tries: the fold of the last one */

/* Another client. It asks on a connection of its own until it is ended. */
struct asker {
	struct link link;
	pthread_t thread;
	atomic_bool ended;
	double slowest_ms; /* the thread's, until it has ended */
	bool failed;
};

static void *ask_on(void *context)
{
	const struct timespec pause = {.tv_nsec = ASK_PAUSE_NS};
	struct asker *asker = context;

	while (!atomic_load(&asker->ended) && !asker->failed) {
		int64_t started_ns = clock_mono_ns();
		const char *line;
		size_t size;
		double ms;

		asker->failed = link_send(&asker->link, "status", json_object(), 1) < 0 ||
				link_receive_line(&asker->link, ANSWER_MS, &line, &size) != 0;
		ms = (double)(clock_mono_ns() - started_ns) / 1e6;
		asker->slowest_ms = ms > asker->slowest_ms ? ms : asker->slowest_ms;
		(void)nanosleep(&pause, NULL);
	}
	return NULL;
}

static int asker_begin(struct asker *asker, const char *socket, struct err *err)
{
	int status;

	memset(asker, 0, sizeof(*asker));
	status = link_open(&asker->link, socket, err);
	if (status < 0)
		return status;
	status = pthread_create(&asker->thread, NULL, ask_on, asker);
	if (status == 0)
		return 0;
	link_close(&asker->link);
	return err_set(err, -status, "no thread to ask for status: %s", strerror(status));
}

static int asker_end(struct asker *asker, struct err *err, double *slowest_ms)
{
	atomic_store(&asker->ended, true);
	(void)pthread_join(asker->thread, NULL);
	link_close(&asker->link);
	*slowest_ms = asker->slowest_ms > *slowest_ms ? asker->slowest_ms : *slowest_ms;
	return asker->failed ? err_set(err, -EIO, "gantryd does not answer while a list is replaced") : 0;
}

static void path_of(const struct suite_room *room, unsigned version, char ret_path[SUITE_PATH_SIZE + 16])
{
	(void)snprintf(ret_path, SUITE_PATH_SIZE + 16, "%s/%u.csv", room->path, version);
}

/* The list's VRMs with the columns that such lists come with. */
static int version_write(const struct match_world *world, const struct suite_options *options,
			 const struct suite_room *room, unsigned version, struct err *err)
{
	size_t size = 0;
	char *text = match_world_mass_text(world, options->mass, version, &size);
	char path[SUITE_PATH_SIZE + 16];
	char *line, *rest;
	FILE *file;

	path_of(room, version, path);
	if (text == NULL)
		return err_set(err, -ENOMEM, "no memory for a list");
	file = fopen(path, "w");
	if (file != NULL) {
		(void)strtok_r(text, "\n", &rest);
		(void)fputs("vrm,reason,action\n", file);
		while ((line = strtok_r(NULL, "\n", &rest)) != NULL)
			(void)fprintf(file, "%s,uninsured,report\n", line);
	}
	free(text);
	return file != NULL && fclose(file) == 0 ? 0 : err_set(err, -errno, "%s: %s", path, strerror(errno));
}

static int load(struct suite_appliance *appliance, const struct suite_room *room, unsigned version, struct err *err)
{
	char path[SUITE_PATH_SIZE + 16];
	const char *const words[] = {"lists",       "load",       path, "--name",  "mass",  "--class",
				     "third-party", "--priority", "20", "--owner", "bench", NULL};
	json_t *answer = NULL;
	int status;

	path_of(room, version, path);
	status = suite_appliance_ctl(appliance, words, &answer, err);
	json_decref(answer);
	return status;
}

static int replace_once(struct suite_appliance *appliance, const struct suite_room *room, unsigned version,
			struct err *err, double *ret_ms, double *slowest_ms)
{
	const struct timespec rest = {.tv_sec = REST_NS / 1000000000, .tv_nsec = REST_NS % 1000000000};
	struct asker asker;
	struct err other;
	int64_t started_ns;
	int status, ended;

	(void)nanosleep(&rest, NULL);
	status = asker_begin(&asker, appliance->socket, err);
	if (status < 0)
		return status;
	started_ns = clock_mono_ns();
	status = load(appliance, room, version, err);
	*ret_ms = (double)(clock_mono_ns() - started_ns) / 1e6;
	ended = asker_end(&asker, status == 0 ? err : &other, slowest_ms);
	return status < 0 ? status : ended;
}

static int measure(struct suite_appliance *appliance, const struct suite_room *room, struct err *err,
		   struct match_socket *ret_socket)
{
	double ms[TRIES], slowest_ms = 0;
	int status = load(appliance, room, 0, err);

	for (unsigned i = 0; i < TRIES && status == 0; i++)
		status = replace_once(appliance, room, (i + 1) % VERSIONS, err, &ms[i], &slowest_ms);
	if (status < 0)
		return status;
	*ret_socket = (struct match_socket){suite_spread_of(ms, TRIES).median, slowest_ms};
	return 0;
}

static int in_room(const struct match_world *world, const struct suite_options *options, const struct suite_room *room,
		   struct err *err, struct match_socket *ret_socket)
{
	char directory[SUITE_PATH_SIZE + 16];
	struct suite_appliance appliance;
	int status = 0;

	for (unsigned i = 0; i < VERSIONS && status == 0; i++)
		status = version_write(world, options, room, i, err);
	if (status < 0)
		return status;
	(void)suite_room_remove(room, "lists"); /* one that was kept has versions of its own */
	(void)snprintf(directory, sizeof(directory), "%s/lists", room->path);
	status = suite_appliance_start(options, directory, &appliance, err);
	if (status == 0)
		status = measure(&appliance, room, err, ret_socket);
	suite_appliance_end(&appliance);
	return status;
}

int match_socket_run(const struct match_world *world, const struct suite_options *options, struct err *err,
		     struct match_socket *ret_socket)
{
	struct suite_room room;
	int status = suite_room_take(options->data, options->keep, suite_options_bytes(options), &room, err);

	if (status < 0)
		return status;
	status = in_room(world, options, &room, err, ret_socket);
	suite_room_leave(&room);
	return status;
}
