/* Life cycle of the server: options, socket file, pool. Threads and locks: mgmt/private.h. */
#include "mgmt/server.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "mgmt/api.h"
#include "mgmt/private.h"

#define THREAD_COUNT_MAX 64
#define CLIENT_COUNT_MAX 1024

void server_options_init(struct server_options *options)
{
	*options = (struct server_options){
		.socket_path = "",
		.version = "",
		.node = "",
		.mode = 0660,
		.group = (gid_t)-1,
		.thread_count = 3,
		.client_count_max = 64,
		.in_flight_count_max = 8,
		.depth_max = 16,
		.line_size_max = 1 << 20,
		.output_size_max = 4 << 20,
		.upload_size_max = 512 << 20, /* what a list may have: 3 M rows with texts are 111 MiB */
		.upload_total_max = 1 << 30,
		.idle_s = 600,
		.stall_ms = 30000,
	};
}

static int check_bound(const char *name, uint64_t value, uint64_t min, uint64_t max, struct err *err)
{
	if (value >= min && value <= max)
		return 0;
	return err_set(err, -EINVAL, "management socket: %s is %llu, must be %llu..%llu", name,
		       (unsigned long long)value, (unsigned long long)min, (unsigned long long)max);
}

static int check_options(const struct server_options *options, struct err *err)
{
	const struct {
		const char *name;
		uint64_t value, min, max;
	} bounds[] = {
		{"thread_count", options->thread_count, 1, THREAD_COUNT_MAX},
		{"client_count_max", options->client_count_max, 1, CLIENT_COUNT_MAX},
		{"in_flight_count_max", options->in_flight_count_max, 1, 1024},
		{"depth_max", options->depth_max, 3, 256},
		{"line_size_max", options->line_size_max, 1024, 64 << 20},
		{"output_size_max", options->output_size_max, 4096, 256 << 20},
		{"upload_size_max", options->upload_size_max, 1, UINT32_MAX},
		{"upload_total_max", options->upload_total_max, options->upload_size_max, UINT32_MAX},
		{"idle_s", options->idle_s, 1, 86400},
		{"stall_ms", options->stall_ms, 10, 3600000},
	};
	struct sockaddr_un address;
	int r = 0;

	for (size_t i = 0; i < sizeof(bounds) / sizeof(bounds[0]) && r == 0; i++)
		r = check_bound(bounds[i].name, bounds[i].value, bounds[i].min, bounds[i].max, err);
	/* ".lock" and ".new" stand beside it. */
	if (r == 0 && (options->socket_path[0] == '\0' ||
		       strlen(options->socket_path) + sizeof(".lock") > sizeof(address.sun_path)))
		r = err_set(err, -EINVAL, "management socket: the path must have 1..%zu bytes",
			    sizeof(address.sun_path) - sizeof(".lock"));
	return r;
}

static int init_sync(struct server *server)
{
	(void)pthread_mutex_init(&server->lock, NULL);
	(void)pthread_cond_init(&server->work, NULL);
	(void)pthread_cond_init(&server->quiet, NULL);
	server->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	server->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	return server->epoll_fd < 0 || server->wake_fd < 0 ? -errno : 0;
}

static int copy_options(const struct server_options *options, struct server_options *to)
{
	*to = *options;
	to->socket_path = strdup(options->socket_path);
	to->version = strdup(options->version);
	to->node = strdup(options->node);
	return to->socket_path == NULL || to->version == NULL || to->node == NULL ? -ENOMEM : 0;
}

int server_new(const struct server_options *options, struct server **ret_server, struct err *err)
{
	struct server *server;
	int r = check_options(options, err);

	if (r < 0)
		return r;
	server = calloc(1, sizeof(*server));
	if (server == NULL)
		return err_set(err, -ENOMEM, "management socket: out of memory");
	server->listen_fd = server->lock_fd = -1;
	r = init_sync(server);
	if (r == 0)
		r = copy_options(options, &server->options);
	if (r < 0) {
		(void)server_free(server);
		return err_set(err, r, "management socket: %s", strerror(-r));
	}
	*ret_server = server;
	return 0;
}

int server_bind(struct server *server, const char *name, call_handler *handler, void *ctx)
{
	const struct api_method *method = api_find(name);
	struct binding *binding;

	if (method == NULL || (method->flags & API_INLINE) != 0)
		return -ENOENT;
	assert(api_index(method) < API_METHOD_MAX);
	binding = &server->bindings[api_index(method)];
	if (server->started || binding->handler != NULL)
		return -EBUSY;
	*binding = (struct binding){handler, ctx};
	return 0;
}

/* The lock file decides between two servers; the kernel lets go of it when its holder dies, however it dies. */
static int take_lock(struct server *server, struct err *err)
{
	char path[sizeof(((struct sockaddr_un *)NULL)->sun_path) + 8];

	(void)snprintf(path, sizeof(path), "%s.lock", server->options.socket_path);
	server->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (server->lock_fd < 0)
		return err_set(err, -errno, "%s: %s", path, strerror(errno));
	if (flock(server->lock_fd, LOCK_EX | LOCK_NB) < 0)
		return err_set(err, errno == EWOULDBLOCK ? -EADDRINUSE : -errno,
			       "%s: another appliance serves this socket", server->options.socket_path);
	return 0;
}

/* What stands at the path: nothing, a socket that nobody serves (left by a killed appliance), or something to keep. */
static int check_path(const struct server *server, const struct sockaddr_un *address, struct err *err)
{
	const char *path = server->options.socket_path;
	struct stat stat;
	int fd;
	int r;

	if (lstat(path, &stat) < 0)
		return errno == ENOENT ? 0 : err_set(err, -errno, "%s: %s", path, strerror(errno));
	if (!S_ISSOCK(stat.st_mode))
		return err_set(err, -EEXIST, "%s: exists and is not a socket; move it away", path);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return err_set(err, -errno, "socket: %s", strerror(errno));
	r = connect(fd, (const struct sockaddr *)address, sizeof(*address));
	if (r < 0 && (errno == ECONNREFUSED || errno == ENOENT))
		r = 0;
	else
		r = err_set(err, -EADDRINUSE, "%s: another program serves this socket", path);
	(void)close(fd);
	return r;
}

/* Bound under another name and moved into place when its mode and group are right: it is never open to others. */
static int make_socket(struct server *server, struct err *err)
{
	const struct server_options *options = &server->options;
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	struct sockaddr_un fresh = {.sun_family = AF_UNIX};
	int r;

	(void)snprintf(address.sun_path, sizeof(address.sun_path), "%s", options->socket_path);
	r = check_path(server, &address, err);
	if (r < 0)
		return r;
	r = snprintf(fresh.sun_path, sizeof(fresh.sun_path), "%s.new", options->socket_path);
	assert(r < (int)sizeof(fresh.sun_path));
	server->listen_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (server->listen_fd < 0)
		return err_set(err, -errno, "socket: %s", strerror(errno));
	(void)unlink(fresh.sun_path);
	if (bind(server->listen_fd, (struct sockaddr *)&fresh, sizeof(fresh)) < 0)
		return err_set(err, -errno, "%s: %s", fresh.sun_path, strerror(errno));
	if (chmod(fresh.sun_path, options->mode) < 0 ||
	    (options->group != (gid_t)-1 && chown(fresh.sun_path, (uid_t)-1, options->group) < 0) ||
	    rename(fresh.sun_path, address.sun_path) < 0 || listen(server->listen_fd, 64) < 0) {
		r = err_set(err, -errno, "%s: %s", address.sun_path, strerror(errno));
		(void)unlink(fresh.sun_path);
		return r;
	}
	return 0;
}

static int watch(struct server *server, int fd, void *tag)
{
	struct epoll_event event = {.events = EPOLLIN, .data.ptr = tag};

	return epoll_ctl(server->epoll_fd, EPOLL_CTL_ADD, fd, &event) < 0 ? -errno : 0;
}

void server_queue(struct server *server, struct call *call)
{
	call->queue_next = NULL;
	if (server->queue_last != NULL)
		server->queue_last->queue_next = call;
	else
		server->queue_first = call;
	server->queue_last = call;
	(void)pthread_cond_signal(&server->work);
}

static bool may_run(const struct server *server, const struct call *call)
{
	bool is_long = (call->method->flags & API_LONG) != 0 && !call->finished;

	return !is_long || server->pool_count == 1 || server->long_count + 1 < server->pool_count;
}

/* The oldest call that may run: long searches leave one thread to those who ask how the appliance is, or stop it. */
static struct call *take_call(struct server *server)
{
	struct call *before = NULL;
	struct call *call = server->queue_first;

	while (call != NULL && !may_run(server, call)) {
		before = call;
		call = call->queue_next;
	}
	if (call == NULL)
		return NULL;
	if (before != NULL)
		before->queue_next = call->queue_next;
	else
		server->queue_first = call->queue_next;
	if (server->queue_last == call)
		server->queue_last = before;
	return call;
}

static void run_one(struct server *server, struct call *call)
{
	bool finished = call->finished;
	bool is_long = (call->method->flags & API_LONG) != 0 && !finished;

	server->long_count += is_long;
	server->counters.calls_running++;
	(void)pthread_mutex_unlock(&server->lock);
	if (finished)
		call_answer(call);
	else
		call_run(call);
	(void)pthread_mutex_lock(&server->lock);
	server->counters.calls_running--;
	server->long_count -= is_long;
	if (is_long)
		(void)pthread_cond_signal(&server->work);
}

static void *pool_run(void *ctx)
{
	struct server *server = ctx;
	struct call *call;

	(void)pthread_mutex_lock(&server->lock);
	while (!server->quit || server->call_count > 0) {
		call = take_call(server);
		if (call != NULL)
			run_one(server, call);
		else
			(void)pthread_cond_wait(&server->work, &server->lock);
	}
	(void)pthread_mutex_unlock(&server->lock);
	return NULL;
}

static int start_threads(struct server *server)
{
	unsigned count = server->options.thread_count;
	int r;

	server->pool = calloc(count, sizeof(*server->pool));
	if (server->pool == NULL)
		return -ENOMEM;
	server->pool_count = count;
	for (unsigned i = 0; i < count; i++) {
		r = pthread_create(&server->pool[i], NULL, pool_run, server);
		if (r != 0) {
			server->pool_count = i;
			return -r;
		}
	}
	r = pthread_create(&server->loop, NULL, loop_run, server);
	server->started = r == 0;
	return -r;
}

int server_start(struct server *server, struct err *err)
{
	int r = take_lock(server, err);

	if (r == 0)
		r = make_socket(server, err);
	if (r < 0)
		return r;
	r = watch(server, server->listen_fd, &server->listen_fd);
	if (r == 0)
		r = watch(server, server->wake_fd, &server->wake_fd);
	if (r == 0)
		r = start_threads(server);
	return r == 0 ? 0 : err_set(err, r, "%s: %s", server->options.socket_path, strerror(-r));
}

static void stop_calls(struct server *server)
{
	(void)pthread_mutex_lock(&server->lock);
	server->stopping = true;
	while (server->call_count > 0) {
		call_cancel_all(server, NULL);
		if (server->call_count > 0)
			(void)pthread_cond_wait(&server->quiet, &server->lock);
	}
	server->closing = true;
	loop_wake(server);
	(void)pthread_mutex_unlock(&server->lock);
}

static void stop_pool(struct server *server)
{
	(void)pthread_mutex_lock(&server->lock);
	server->quit = true;
	(void)pthread_cond_broadcast(&server->work);
	(void)pthread_mutex_unlock(&server->lock);
	for (unsigned i = 0; i < server->pool_count; i++)
		(void)pthread_join(server->pool[i], NULL);
	free(server->pool);
}

static void close_fd(int fd)
{
	if (fd >= 0)
		(void)close(fd);
}

struct server *server_free(struct server *server)
{
	if (server == NULL)
		return NULL;
	if (server->started) {
		stop_calls(server);
		(void)pthread_join(server->loop, NULL);
	}
	stop_pool(server);
	if (server->listen_fd >= 0)
		(void)unlink(server->options.socket_path); /* ours: we hold the lock file */
	close_fd(server->listen_fd);
	close_fd(server->epoll_fd);
	close_fd(server->wake_fd);
	close_fd(server->lock_fd);
	(void)pthread_cond_destroy(&server->quiet);
	(void)pthread_cond_destroy(&server->work);
	(void)pthread_mutex_destroy(&server->lock);
	free((char *)server->options.socket_path);
	free((char *)server->options.version);
	free((char *)server->options.node);
	free(server);
	return NULL;
}

void server_counters_get(struct server *server, struct server_counters *ret_counters)
{
	(void)pthread_mutex_lock(&server->lock);
	*ret_counters = server->counters;
	(void)pthread_mutex_unlock(&server->lock);
}
