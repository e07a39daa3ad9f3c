/*
 * The management socket: a Unix stream socket that speaks JSON-RPC 2.0, one object a line (docs/management-socket.md).
 *
 *	server_options_init(&options);  fill in path, version, node, audit
 *	server_new(&options, &server, &err);
 *	server_bind(server, "reads.search", search_handler, ctx);  for every method this appliance offers
 *	server_start(server, &err);
 *	…
 *	server = server_free(server);
 *
 * One thread of its own does I/O and framing, a small pool runs the handlers, so a handler may block. Methods, their
 * parameters and their flags are data: mgmt/api.h. What a handler is given: mgmt/call.h. Between dispatch and handler
 * stand the parameter check and the policy (mgmt/policy.c): an audited method has no effect before its intent is in
 * the audit log. The server itself binds rpc.discover, cancel, credit, upload.open and upload.append.
 */
#ifndef GANTRY_MGMT_SERVER_H
#define GANTRY_MGMT_SERVER_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct audit;
struct call;
struct err;
struct server;

/* Texts are copied by server_new. */
struct server_options {
	const char *socket_path;
	const char *version; /* of the appliance, for hello */
	const char *node;    /* this appliance's name, for hello */
	struct audit *audit; /* outlives the server; NULL: every audited method is refused */
	mode_t mode;         /* of the socket file: 0660 */
	gid_t group;         /* of the socket file; (gid_t)-1 leaves it as it is */
	unsigned thread_count;
	unsigned client_count_max;
	unsigned in_flight_count_max; /* requests of one client that are not answered yet, streams included */
	unsigned depth_max;           /* of nested arrays and objects in a request */
	size_t line_size_max;         /* bytes of one request, its LF included */
	size_t output_size_max;       /* bytes waiting for one client, and the largest single message */
	size_t upload_size_max;
	size_t upload_total_max; /* bytes of all uploads of all clients */
	unsigned idle_s;         /* a client with nothing in flight that is silent so long is dropped */
	unsigned stall_ms;       /* a client that takes nothing (or gives no credit) so long is dropped */
};

/* The defaults of design.md; socket_path, version and node "" and audit NULL are the caller's to fill. */
void server_options_init(struct server_options *options);

/* -EINVAL with a text when an option is out of its bounds, -ENOMEM. No thread, no file yet. */
int server_new(const struct server_options *options, struct server **ret_server, struct err *err);

/*
 * Stops: no new client, streams and running calls are cancelled, their final answers are awaited (a handler that does
 * not look at call_cancelled holds this up), the socket file is removed. The owners of streams must call call_finish
 * from their cancelled callback or soon after. NULL is allowed. Returns NULL. Not from a handler: see appliance.stop,
 * whose handler answers and tells the main thread.
 */
struct server *server_free(struct server *server);

/*
 * A handler for a method of the table, before server_start. Returns 0 when it has set the call's result or failure,
 * CALL_STREAMING when it keeps the call (call.h), or a negative errno, which is answered as a failure with its text.
 * -ENOENT when the table has no such method, -EBUSY when it is bound already or the server has started.
 * A method nobody binds answers CALL_NOT_AVAILABLE.
 */
typedef int call_handler(struct call *call, void *ctx);
int server_bind(struct server *server, const char *method, call_handler *handler, void *ctx);

/*
 * Makes the socket and the threads. A socket file that nobody listens on is replaced; -EADDRINUSE when another server
 * holds it; -EEXIST when the path is something other than a socket; other errno of the system, each with a text.
 */
int server_start(struct server *server, struct err *err);

/* Since the start. Any thread. */
struct server_counters {
	uint64_t client_count; /* now connected */
	uint64_t clients_accepted;
	uint64_t clients_refused;     /* client_count_max reached */
	uint64_t clients_slow;        /* dropped after stall_ms */
	uint64_t clients_idle;        /* dropped after idle_s */
	uint64_t lines_oversize;      /* each ended its client */
	uint64_t lines_malformed;     /* not JSON, too deep, not a request */
	uint64_t requests;            /* well-formed requests */
	uint64_t requests_refused;    /* of those: unknown, unbound, wrong parameters, too many in flight */
	uint64_t requests_ungrounded; /* of those: refused by the policy, audited */
	uint64_t requests_unaudited;  /* of those: refused because the audit log could not take them */
	uint64_t calls_running;       /* now with a handler, streams included */
};
void server_counters_get(struct server *server, struct server_counters *ret_counters);

#endif
