/*
 * A client's end of the management socket: requests out, messages in, one a line, blocking. For programs that talk to
 * an appliance (gantryctl, the bench). What a message means is the caller's business. One thread at a time.
 */
#ifndef GANTRY_MGMT_LINK_H
#define GANTRY_MGMT_LINK_H

#include <jansson.h>
#include <stddef.h>
#include <stdint.h>

struct err;
struct frame;

struct link {
	int fd;
	char *bytes;
	size_t start; /* of what is not taken yet */
	size_t size;  /* of all */
	size_t capacity;
};

/* Connects and takes the hello. < 0 with err: nobody there, not allowed, too busy, or no Gantry; nothing is left open.
 */
int link_open(struct link *link, const char *path, struct err *err);
void link_close(struct link *link);

/* Steals params, also on failure. id < 0: a notification. Blocks until the socket has taken all of it. */
int link_send(struct link *link, const char *method, json_t *params, int64_t id);

/* A piece of an upload (mgmt/frame.h), of frame->size bytes. Blocks as well; -errno. */
int link_send_frame(struct link *link, const struct frame *frame, const void *bytes);

/*
 * Waits until timeout_ms (-1: for ever) for a line. 0 with its bytes, the LF not counted but there, good until the next
 * call; 1 when the time is over or a signal came; -ECONNRESET when the appliance has gone; else -errno.
 */
int link_receive_line(struct link *link, int timeout_ms, const char **ret_line, size_t *ret_size);

/* The same, taken apart; the caller owns it. -EBADMSG: not JSON. */
int link_receive(struct link *link, int timeout_ms, json_t **ret_message);

#endif
