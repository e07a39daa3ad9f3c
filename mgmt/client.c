/* A client's output: sent at once where the socket takes it, kept up to a bound where not. See private.h for the lock.
 */
#include "mgmt/private.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "appliance/base/clock.h"

bool client_behind(const struct client *client)
{
	return text_size(&client->out) > client->server->options.output_size_max / 2;
}

/* What epoll should tell about: input unless its answers pile up, output while some waits. */
void client_watch(struct client *client)
{
	bool in = !client->ended && !client_behind(client);
	bool out = text_size(&client->out) > 0;
	struct epoll_event event = {.events = (in ? EPOLLIN : 0) | (out ? EPOLLOUT : 0), .data.ptr = client};

	if (client->closed || (in == client->watching_in && out == client->watching_out))
		return;
	client->watching_in = in;
	client->watching_out = out;
	(void)epoll_ctl(client->server->epoll_fd, EPOLL_CTL_MOD, client->fd, &event);
}

void client_doom(struct client *client)
{
	if (client->doomed || client->closed)
		return;
	client->doomed = true;
	loop_wake(client->server);
}

/* How many bytes the socket took now. */
static size_t send_now(struct client *client, const char *bytes, size_t size)
{
	ssize_t sent = send(client->fd, bytes, size, MSG_DONTWAIT | MSG_NOSIGNAL);

	if (sent < 0 && errno != EAGAIN && errno != EINTR)
		client_doom(client);
	if (sent > 0)
		client->moved_ns = clock_mono_ns();
	return sent > 0 ? (size_t)sent : 0;
}

void client_flush(struct client *client)
{
	if (client->closed || text_size(&client->out) == 0)
		return;
	text_consume(&client->out, send_now(client, client->out.bytes + client->out.start, text_size(&client->out)));
	client_watch(client);
	(void)pthread_cond_broadcast(&client->changed);
}

static int send_or_keep(struct client *client, const char *bytes, size_t size)
{
	size_t sent = 0;
	int r;

	if (text_size(&client->out) == 0) {
		client->moved_ns = clock_mono_ns();
		sent = send_now(client, bytes, size);
	}
	if (sent == size)
		return 0;
	r = text_append(&client->out, bytes + sent, size - sent);
	if (r < 0) {
		client_doom(client); /* half a line is out: nothing sensible can follow it */
		return r;
	}
	client_watch(client);
	return 0;
}

int client_send(struct client *client, struct call *call, const char *bytes, size_t size, enum client_send_mode mode)
{
	size_t size_max = client->server->options.output_size_max;

	assert(mode != CLIENT_SEND_WAIT || call != NULL);
	if (size > size_max && mode != CLIENT_SEND_FORCE)
		return -EMSGSIZE;
	for (;;) {
		if (client->closed || client->doomed)
			return -ECANCELED;
		if (mode == CLIENT_SEND_WAIT && atomic_load(&call->cancelled))
			return -ECANCELED;
		if (mode == CLIENT_SEND_FORCE || text_size(&client->out) + size <= size_max)
			return send_or_keep(client, bytes, size);
		if (mode == CLIENT_SEND_TRY)
			return -EAGAIN;
		/* Ends by itself: the loop closes a client that takes nothing for stall_ms. */
		(void)pthread_cond_wait(&client->changed, &client->server->lock);
	}
}

void client_unref(struct client *client)
{
	assert(client->ref_count > 0);
	if (--client->ref_count > 0)
		return;
	while (client->uploads != NULL)
		upload_free(client->server, upload_take(client, client->uploads->number));
	text_fini(&client->in);
	text_fini(&client->out);
	(void)pthread_cond_destroy(&client->changed);
	free(client);
}
