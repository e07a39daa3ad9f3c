#include "mgmt/link.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "appliance/base/clock.h"
#include "appliance/base/err.h"
#include "mgmt/frame.h"

#define PIECE_SIZE (64 * 1024)
#define HELLO_MS 10000

static int take_hello(struct link *link, const char *path, struct err *err)
{
	json_t *hello = NULL;
	const char *product;
	int r = link_receive(link, HELLO_MS, &hello);

	if (r != 0)
		return err_set(err, -ECONNREFUSED, "%s: somebody listens there, but says nothing", path);
	product = json_string_value(json_object_get(json_object_get(hello, "params"), "product"));
	if (product == NULL || strcmp(product, "gantry") != 0)
		r = err_set(err, -ECONNREFUSED, "%s: %s", path,
			    product == NULL ? "is busy with other clients, or is no Gantry" : "is no Gantry");
	json_decref(hello);
	return r;
}

int link_open(struct link *link, const char *path, struct err *err)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int r;

	memset(link, 0, sizeof(*link));
	link->fd = -1;
	if (strlen(path) >= sizeof(address.sun_path))
		return err_set(err, -ENAMETOOLONG, "%s: too long for a socket's path", path);
	memcpy(address.sun_path, path, strlen(path) + 1);
	link->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (link->fd < 0 || connect(link->fd, (struct sockaddr *)&address, sizeof(address)) < 0) {
		r = err_set(err, -errno, "%s: %s%s", path, strerror(errno),
			    errno == EACCES ? "; are you in the socket's group?" : "; is the appliance running?");
		link_close(link);
		return r;
	}
	r = take_hello(link, path, err);
	if (r < 0)
		link_close(link);
	return r;
}

void link_close(struct link *link)
{
	if (link->fd >= 0)
		(void)close(link->fd);
	free(link->bytes);
	memset(link, 0, sizeof(*link));
	link->fd = -1;
}

static int send_all(struct link *link, const char *bytes, size_t size)
{
	while (size > 0) {
		ssize_t sent = send(link->fd, bytes, size, MSG_NOSIGNAL);

		if (sent < 0 && errno == EINTR)
			continue;
		if (sent < 0)
			return -errno;
		bytes += sent;
		size -= (size_t)sent;
	}
	return 0;
}

int link_send(struct link *link, const char *method, json_t *params, int64_t id)
{
	json_t *request = json_pack("{s:s, s:s, s:o}", "jsonrpc", "2.0", "method", method, "params", params);
	size_t size;
	char *line;
	int r;

	if (request != NULL && id >= 0)
		(void)json_object_set_new(request, "id", json_integer(id));
	line = request != NULL ? json_dumps(request, JSON_COMPACT) : NULL;
	json_decref(request);
	if (line == NULL)
		return -ENOMEM;
	size = strlen(line);
	line[size] = '\n'; /* in the place of the NUL: one message, one call */
	r = send_all(link, line, size + 1);
	free(line);
	return r;
}

int link_send_frame(struct link *link, const struct frame *frame, const void *bytes)
{
	uint8_t head[FRAME_HEAD_SIZE];
	int r;

	frame_head_put(frame, head);
	r = send_all(link, (const char *)head, sizeof(head));
	return r == 0 ? send_all(link, bytes, frame->size) : r;
}

/* What is taken makes room only here: a line is good until the next is asked for. */
static int make_room(struct link *link)
{
	char *bytes;

	if (link->start > 0) {
		memmove(link->bytes, link->bytes + link->start, link->size - link->start);
		link->size -= link->start;
		link->start = 0;
	}
	if (link->capacity - link->size >= PIECE_SIZE)
		return 0;
	bytes = realloc(link->bytes, 2 * link->capacity + PIECE_SIZE);
	if (bytes == NULL)
		return -ENOMEM;
	link->bytes = bytes;
	link->capacity = 2 * link->capacity + PIECE_SIZE;
	return 0;
}

static int fill(struct link *link)
{
	ssize_t got;
	int r = make_room(link);

	if (r < 0)
		return r;
	got = recv(link->fd, link->bytes + link->size, link->capacity - link->size, 0);
	if (got <= 0)
		return got < 0 ? -errno : -ECONNRESET;
	link->size += (size_t)got;
	return 0;
}

static int wait_for_bytes(struct link *link, int64_t until_ns)
{
	struct pollfd wait = {.fd = link->fd, .events = POLLIN};
	int64_t left_ns = until_ns - clock_mono_ns();
	int r = poll(&wait, 1, until_ns < 0 ? -1 : left_ns > 0 ? (int)(left_ns / 1000000) + 1 : 0);

	if (r == 0 || (r < 0 && errno == EINTR))
		return 1;
	return r < 0 ? -errno : 0;
}

int link_receive_line(struct link *link, int timeout_ms, const char **ret_line, size_t *ret_size)
{
	int64_t until_ns = timeout_ms < 0 ? -1 : clock_mono_ns() + (int64_t)timeout_ms * 1000000;
	size_t looked = 0; /* how far there is no LF */
	char *lf;
	int r;

	while ((lf = link->size > link->start + looked
			     ? memchr(link->bytes + link->start + looked, '\n', link->size - link->start - looked)
			     : NULL) == NULL) {
		looked = link->size - link->start;
		r = wait_for_bytes(link, until_ns);
		if (r == 0)
			r = fill(link);
		if (r != 0)
			return r;
	}
	*ret_line = link->bytes + link->start;
	*ret_size = (size_t)(lf - *ret_line);
	link->start += *ret_size + 1;
	return 0;
}

int link_receive(struct link *link, int timeout_ms, json_t **ret_message)
{
	const char *line;
	json_t *message;
	size_t size;
	int r = link_receive_line(link, timeout_ms, &line, &size);

	if (r != 0)
		return r;
	message = json_loadb(line, size, JSON_REJECT_DUPLICATES, NULL);
	if (message == NULL)
		return -EBADMSG;
	*ret_message = message;
	return 0;
}
