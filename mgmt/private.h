/*
 * What server.c, loop.c, client.c, dispatch.c, call.c, policy.c and upload.c share. Not for anyone else.
 *
 * Threads. The *loop* (one thread) accepts, reads, frames, parses, checks parameters, answers inline methods, sends
 * what did not go at once, closes. The *pool* runs handlers and sends their answers. Owners of kept calls are anybody.
 *
 * Synchronisation. One lock, server->lock, guards every field below that is not marked otherwise. It is never held over
 * a handler, a callback, the audit log or JSON work of a client's size; it is held over one non-blocking send.
 *
 * Life cycle of a call: made by the loop, in its client's list until it is answered. queued -> (pool) admitted by the
 * policy -> handler -> answered; or handler -> kept -> call_finish -> queued again -> (pool) answered.
 *
 * A client is closed only by the loop; others ask with `doomed`. Its memory lives until its last call is gone.
 */
#ifndef GANTRY_MGMT_PRIVATE_H
#define GANTRY_MGMT_PRIVATE_H

#include <jansson.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "appliance/base/err.h"
#include "mgmt/call.h"
#include "mgmt/server.h"

struct api_method;
struct frame;

#define ACCOUNT_SIZE 64
#define API_METHOD_MAX 128 /* of the table; a test counts them */

struct text {
	char *bytes;
	size_t start; /* of what is left to send */
	size_t end;
	size_t capacity;
};

struct upload {
	struct upload *next;
	uint32_t number;
	struct text text;
};

struct client {
	struct client *next;
	struct server *server;
	int fd;             /* -1 once closed */
	unsigned ref_count; /* the connection's, and one for each call */
	bool closed;
	bool doomed;       /* the loop is to close it */
	bool ended;        /* it will send no more: close when everything is answered */
	bool watching_out; /* EPOLLOUT asked for */
	bool watching_in;
	struct call_peer peer; /* set before anybody else sees the client */
	char account[ACCOUNT_SIZE];
	struct text in;    /* the loop's own */
	size_t in_scanned; /* the loop's own: bytes of `in` known to hold no LF */
	int64_t line_ns;   /* the loop's own: when the first byte of an unfinished line came */
	struct text out;
	int64_t heard_ns;       /* last bytes from it */
	int64_t moved_ns;       /* last time output went out, or began to wait */
	pthread_cond_t changed; /* output space, credit, cancellation, end */
	struct call *calls;
	unsigned in_flight_count;
	struct upload *uploads;
	uint32_t upload_last;
};

struct call {
	struct call *next; /* in its client's list */
	struct call *queue_next;
	struct server *server; /* these: constant */
	struct client *client;
	const struct api_method *method;
	json_t *id;
	json_t *params; /* checked; NULL when refused */
	struct upload *upload;
	/* The outcome: written by the handler or owner, read by the pool after it. */
	json_t *result;
	json_t *facts;
	int code; /* enum call_code; 0 with a result */
	bool decided;
	struct err text;
	uint64_t intent; /* in the audit log */
	bool admitted;
	/* Stream. Rows belong to the handler's thread. */
	struct text rows;
	unsigned row_count;
	int64_t row_ns;
	uint64_t rows_sent;
	int64_t progress_ns;
	bool windowed;
	int64_t credit;
	int64_t credit_ns; /* when credit last came */
	/* Cancellation and keeping. */
	atomic_bool cancelled;
	bool in_handler;
	bool kept;
	bool finished;
	bool told;
	bool telling;
	pthread_t teller;
	void (*on_cancelled)(struct call *call, void *ctx);
	void *on_cancelled_ctx;
};

struct binding {
	call_handler *handler;
	void *ctx;
};

struct server {
	struct server_options options; /* constant after server_new, like the bindings after start */
	struct binding bindings[API_METHOD_MAX];
	int listen_fd;
	int lock_fd;
	int epoll_fd;
	int wake_fd;
	bool started;
	pthread_t loop;
	pthread_t *pool;
	unsigned pool_count;

	pthread_mutex_t lock;
	pthread_cond_t work;  /* queue or quit */
	pthread_cond_t quiet; /* a call ended, or a callback returned */
	struct client *clients;
	struct call *queue_first;
	struct call *queue_last;
	unsigned call_count;
	unsigned long_count; /* pool threads in handlers that may take long */
	size_t upload_total;
	bool stopping; /* no new requests */
	bool closing;  /* the loop is to end */
	bool quit;     /* the pool is to end */
	struct server_counters counters;
};

/* text.c: a growing byte buffer */
int text_append(struct text *text, const void *bytes, size_t size);
void text_consume(struct text *text, size_t size);
void text_fini(struct text *text);
static inline size_t text_size(const struct text *text)
{
	return text->end - text->start;
}

/* client.c: lock held throughout, but for client_new and client_free's memory */
enum client_send_mode {
	CLIENT_SEND_TRY,   /* -EAGAIN when it does not fit */
	CLIENT_SEND_FORCE, /* beyond the bound, by the loop only, which stops reading above it */
	CLIENT_SEND_WAIT,  /* wait for space; also give up when `call` is cancelled */
	CLIENT_SEND_ANSWER /* wait for space, cancelled or not */
};
int client_send(struct client *client, struct call *call, const char *bytes, size_t size, enum client_send_mode mode);
/* Sends what waits; the loop's. */
void client_flush(struct client *client);
bool client_behind(const struct client *client);
void client_watch(struct client *client);
void client_doom(struct client *client);
void client_unref(struct client *client);

/* loop.c */
void *loop_run(void *server);
void loop_wake(struct server *server);

/* dispatch.c: the loop's; lock not held */
void dispatch_line(struct client *client, const char *line, size_t size);
void dispatch_frame(struct client *client, const struct frame *frame, const char *text);

/* server.c: lock held */
void server_queue(struct server *server, struct call *call);

/* call.c */
struct call *call_new(struct client *client, const struct api_method *method, const json_t *id);
struct call *call_free(struct call *call); /* no lock */
bool call_is(const struct call *call, const json_t *id);
/* Lock held; lets it go while callbacks run. NULL client: of all clients. */
void call_cancel(struct call *call);
void call_cancel_all(struct server *server, struct client *client);
void call_run(struct call *call);    /* pool, no lock: admits and runs; answers unless kept */
void call_answer(struct call *call); /* pool, no lock: outcome, answer, end */
void call_set_failure(struct call *call, int code, const char *text);

/* policy.c: pool, no lock */
int policy_admit(struct call *call); /* 0, or the code, with call's failure set */
void policy_outcome(struct call *call);

/* upload.c: lock held */
int upload_open(struct client *client, uint32_t *ret_number);
int upload_append(struct client *client, uint32_t number, const char *text, size_t size, size_t *ret_size);
struct upload *upload_take(struct client *client, uint32_t number);
void upload_free(struct server *server, struct upload *upload);

#endif
