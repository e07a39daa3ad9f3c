/*
 * The loop: one thread that accepts clients, reads and frames their lines, sends what waits, and closes them.
 *
 * Nothing here blocks but epoll_wait. While clients are connected it wakes once a tick to see to those that are silent
 * or take nothing; without clients it sleeps until something happens.
 */
#include "mgmt/private.h"

#include <errno.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "appliance/base/clock.h"
#include "mgmt/api.h"
#include "mgmt/frame.h"
#include "mgmt/rpc.h"

#define EVENT_COUNT 64
#define READ_SIZE (64 * 1024)
#define TICK_MS_MAX 1000
#define CLOSING_NS 1000000000

void loop_wake(struct server *server)
{
	uint64_t one = 1;

	(void)!write(server->wake_fd, &one, sizeof(one)); /* full means that it wakes anyway */
}

static void name_account(struct client *client)
{
	char buffer[4096];
	struct passwd passwd;
	struct passwd *found = NULL;

	if (getpwuid_r(client->peer.uid, &passwd, buffer, sizeof(buffer), &found) == 0 && found != NULL)
		(void)snprintf(client->account, sizeof(client->account), "%s", passwd.pw_name);
	else
		(void)snprintf(client->account, sizeof(client->account), "%u", (unsigned)client->peer.uid);
	client->peer.account = client->account;
}

static char *encode_hello(const struct server *server, size_t *ret_size)
{
	const struct server_options *options = &server->options;

	return rpc_notification("hello",
				json_pack("{s:s, s:s, s:i, s:s, s:[s,s,s,s,s,s], s:{s:I, s:I, s:I, s:I}}", "product",
					  "gantry", "version", options->version, "api", API_REVISION, "node",
					  options->node, "capabilities", "stream", "credit", "cancel", "upload",
					  "frames", "discover", "limits", "line_bytes",
					  (json_int_t)options->line_size_max, "depth", (json_int_t)options->depth_max,
					  "in_flight", (json_int_t)options->in_flight_count_max, "upload_bytes",
					  (json_int_t)options->upload_size_max),
				ret_size);
}

static struct client *client_new(struct server *server, int fd)
{
	struct client *client = calloc(1, sizeof(*client));
	struct ucred credentials = {0};
	socklen_t size = sizeof(credentials);
	pthread_condattr_t attributes;

	if (client == NULL || getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &credentials, &size) < 0) {
		free(client);
		return NULL;
	}
	(void)pthread_condattr_init(&attributes);
	(void)pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
	(void)pthread_cond_init(&client->changed, &attributes);
	(void)pthread_condattr_destroy(&attributes);
	client->server = server;
	client->fd = fd;
	client->ref_count = 1;
	client->peer = (struct call_peer){credentials.uid, credentials.gid, credentials.pid, NULL};
	name_account(client);
	client->heard_ns = client->moved_ns = clock_mono_ns();
	client->watching_in = true;
	return client;
}

/* Lock held. */
static void welcome(struct client *client)
{
	struct epoll_event event = {.events = EPOLLIN, .data.ptr = client};
	struct server *server = client->server;
	size_t size = 0;
	char *hello = encode_hello(server, &size);

	client->next = server->clients;
	server->clients = client;
	server->counters.clients_accepted++;
	server->counters.client_count++;
	if (epoll_ctl(server->epoll_fd, EPOLL_CTL_ADD, client->fd, &event) < 0 || hello == NULL)
		client_doom(client);
	else
		(void)client_send(client, NULL, hello, size, CLIENT_SEND_FORCE);
	free(hello);
}

static void turn_away(int fd)
{
	static const char text[] =
		"{\"jsonrpc\":\"2.0\",\"method\":\"goodbye\",\"params\":{\"reason\":\"too many clients\"}}\n";

	(void)!send(fd, text, sizeof(text) - 1, MSG_DONTWAIT | MSG_NOSIGNAL);
	(void)close(fd);
}

static void accept_one(struct server *server, int fd)
{
	struct client *client = NULL;
	bool room;

	(void)pthread_mutex_lock(&server->lock);
	room = server->counters.client_count < server->options.client_count_max && !server->stopping;
	(void)pthread_mutex_unlock(&server->lock);
	if (room)
		client = client_new(server, fd);
	(void)pthread_mutex_lock(&server->lock);
	if (client != NULL)
		welcome(client);
	else
		server->counters.clients_refused++;
	(void)pthread_mutex_unlock(&server->lock);
	if (client == NULL)
		turn_away(fd);
}

static void accept_clients(struct server *server)
{
	static const struct timespec pause = {0, 10000000};
	int fd;

	for (unsigned i = 0; i < EVENT_COUNT; i++) {
		fd = accept4(server->listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
		if (fd < 0)
			break;
		accept_one(server, fd);
	}
	/* UNTESTED: without the pause an appliance out of descriptors would spin here. */
	if (fd < 0 && (errno == EMFILE || errno == ENFILE || errno == ENOMEM))
		(void)nanosleep(&pause, NULL);
}

/* The last that is taken of a client: where its next line begins cannot be known. */
static void refuse_rest(struct client *client, uint64_t *counter, const char *text)
{
	struct server *server = client->server;
	size_t size = 0;
	char *line = rpc_error(NULL, CALL_INVALID_REQUEST, text, &size);

	(void)pthread_mutex_lock(&server->lock);
	(*counter)++;
	client->ended = true;
	if (line == NULL || client_send(client, NULL, line, size, CLIENT_SEND_FORCE) < 0)
		client_doom(client);
	client_watch(client);
	(void)pthread_mutex_unlock(&server->lock);
	free(line);
	text_fini(&client->in);
	client->in_scanned = 0;
}

static void refuse_oversize(struct client *client)
{
	char text[64];

	(void)snprintf(text, sizeof(text), "a line is longer than %zu bytes", client->server->options.line_size_max);
	refuse_rest(client, &client->server->counters.lines_oversize, text);
}

/* May another line be taken? Not from one that takes no answers, or of whom enough is known. */
static bool may_take(struct client *client)
{
	bool may;

	(void)pthread_mutex_lock(&client->server->lock);
	may = !client->doomed && !client_behind(client);
	(void)pthread_mutex_unlock(&client->server->lock);
	return may;
}

static void consume(struct client *client, size_t size)
{
	text_consume(&client->in, size);
	client->line_ns = clock_mono_ns();
}

/* True when the whole of it was there. */
static bool take_frame(struct client *client)
{
	const char *bytes = client->in.bytes + client->in.start;
	struct frame frame;
	int r = frame_parse(bytes, text_size(&client->in), client->server->options.line_size_max, &frame);

	if (r < 0)
		refuse_rest(client, &client->server->counters.lines_malformed,
			    "a zero byte where a line begins, and no frame of an upload behind it");
	if (r != 0)
		return false;
	dispatch_frame(client, &frame, bytes + FRAME_HEAD_SIZE);
	consume(client, FRAME_HEAD_SIZE + (size_t)frame.size);
	return true;
}

/* True when the whole of it was there. */
static bool take_line(struct client *client)
{
	size_t line_size_max = client->server->options.line_size_max;
	const char *line = client->in.bytes + client->in.start;
	const char *end = memchr(line + client->in_scanned, '\n', text_size(&client->in) - client->in_scanned);
	size_t size = end != NULL ? (size_t)(end - line) + 1 : text_size(&client->in);

	if (size > line_size_max || (end == NULL && size == line_size_max)) {
		refuse_oversize(client);
		return false;
	}
	client->in_scanned = end != NULL ? 0 : size;
	if (end == NULL)
		return false;
	dispatch_line(client, line, size - 1);
	consume(client, size);
	return true;
}

static void take_lines(struct client *client)
{
	bool whole = true;

	while (whole && text_size(&client->in) > client->in_scanned && may_take(client))
		whole = client->in.bytes[client->in.start] == FRAME_MARK ? take_frame(client) : take_line(client);
}

static void hear(struct client *client, const char *bytes, size_t size)
{
	int64_t now = clock_mono_ns();

	if (text_size(&client->in) == 0)
		client->line_ns = now;
	(void)pthread_mutex_lock(&client->server->lock);
	client->heard_ns = now;
	if (text_append(&client->in, bytes, size) < 0)
		client_doom(client);
	(void)pthread_mutex_unlock(&client->server->lock);
	take_lines(client);
}

static void read_client(struct client *client)
{
	char bytes[READ_SIZE];
	ssize_t size = recv(client->fd, bytes, sizeof(bytes), MSG_DONTWAIT);

	if (size > 0) {
		hear(client, bytes, (size_t)size);
		return;
	}
	if (size < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	(void)pthread_mutex_lock(&client->server->lock);
	client->ended = true;
	if (size < 0)
		client_doom(client);
	client_watch(client);
	(void)pthread_mutex_unlock(&client->server->lock);
}

static void serve(struct client *client, uint32_t events)
{
	bool ended;

	(void)pthread_mutex_lock(&client->server->lock);
	if ((events & (EPOLLHUP | EPOLLERR)) != 0)
		client_doom(client);
	if ((events & EPOLLOUT) != 0)
		client_flush(client);
	ended = client->ended || client->doomed;
	(void)pthread_mutex_unlock(&client->server->lock);
	if ((events & EPOLLOUT) != 0)
		take_lines(client); /* those that waited for their answers' room */
	if ((events & EPOLLIN) != 0 && !ended)
		read_client(client);
}

/* Why a client is to go now; counts it. Lock held. */
static bool is_due(struct client *client, int64_t now)
{
	const struct server_options *options = &client->server->options;
	int64_t idle_ns = (int64_t)options->idle_s * 1000000000;
	bool waiting = text_size(&client->out) > 0;

	if (client->doomed)
		return true;
	if (client->ended && client->in_flight_count == 0 && !waiting)
		return true;
	if (waiting && now - client->moved_ns > (int64_t)options->stall_ms * 1000000) {
		client->server->counters.clients_slow++;
		return true;
	}
	if ((client->in_flight_count == 0 && now - client->heard_ns > idle_ns) ||
	    (text_size(&client->in) > 0 && !client_behind(client) && now - client->line_ns > idle_ns)) {
		client->server->counters.clients_idle++;
		return true;
	}
	return false;
}

/* Lock held; let go while the owners of its streams are told. Not touched afterwards. */
static void close_client(struct server *server, struct client *client)
{
	struct client **at = &server->clients;

	client->closed = true;
	(void)epoll_ctl(server->epoll_fd, EPOLL_CTL_DEL, client->fd, NULL);
	(void)close(client->fd);
	client->fd = -1;
	(void)pthread_cond_broadcast(&client->changed);
	call_cancel_all(server, client);
	while (*at != client)
		at = &(*at)->next;
	*at = client->next;
	server->counters.client_count--;
	client_unref(client);
}

/* Closes who is due, or everybody. Only here do clients leave, so none dies under an event of the same batch. */
static void sweep(struct server *server, bool all)
{
	int64_t now = clock_mono_ns();
	struct client *client = server->clients;

	while (client != NULL) {
		struct client *next = client->next;

		if (all || is_due(client, now))
			close_client(server, client);
		client = next;
	}
}

static bool any_waiting(const struct server *server)
{
	for (const struct client *client = server->clients; client != NULL; client = client->next)
		if (text_size(&client->out) > 0 && !client->doomed)
			return true;
	return false;
}

static int tick_ms(struct server *server)
{
	unsigned tick = server->options.stall_ms / 4;
	int ms = -1;

	(void)pthread_mutex_lock(&server->lock);
	if (server->closing)
		ms = 10;
	else if (server->clients != NULL)
		ms = (int)(tick < TICK_MS_MAX ? tick + 1 : TICK_MS_MAX);
	(void)pthread_mutex_unlock(&server->lock);
	return ms;
}

static void handle_event(struct server *server, const struct epoll_event *event)
{
	uint64_t woken;

	if (event->data.ptr == &server->wake_fd)
		(void)!read(server->wake_fd, &woken, sizeof(woken));
	else if (event->data.ptr == &server->listen_fd)
		accept_clients(server);
	else
		serve(event->data.ptr, event->events);
}

/* True when the loop is to end: everything is sent, or nobody takes it. */
static bool settle(struct server *server, int64_t *closing_ns)
{
	int64_t now = clock_mono_ns();
	bool end;

	(void)pthread_mutex_lock(&server->lock);
	if (server->closing && *closing_ns == 0)
		*closing_ns = now;
	end = server->closing && (!any_waiting(server) || now - *closing_ns > CLOSING_NS);
	sweep(server, end);
	(void)pthread_mutex_unlock(&server->lock);
	return end;
}

void *loop_run(void *ctx)
{
	struct server *server = ctx;
	struct epoll_event events[EVENT_COUNT];
	int64_t closing_ns = 0;
	int count;

	do {
		count = epoll_wait(server->epoll_fd, events, EVENT_COUNT, tick_ms(server));
		for (int i = 0; i < count; i++)
			handle_event(server, &events[i]);
	} while (!settle(server, &closing_ns));
	return NULL;
}
