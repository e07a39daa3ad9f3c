/*
 * A call: one request of one client, as its handler sees it.
 *
 * The handler runs on a thread of the server's pool, with parameters that have passed the method's row in mgmt/api.h:
 * nothing unknown, every type and bound checked, times already µs, days already numbers. It may stream notifications
 * (call_row, call_notify), should look at call_cancelled in every loop, sets one result or one failure and returns 0.
 * The answer is sent after the handler has returned and, for an audited method, after its outcome is in the audit log.
 *
 * Long-lived streams: the handler hands the call to call_keep and returns CALL_STREAMING. From then on the owner may
 * call call_notify_try from any thread and must call call_finish once, which ends the call and gives the reference
 * back. When the client cancels, disconnects or the server stops, the owner is told by its callback.
 *
 * json_t arguments are consumed ("stolen"), also on failure. Functions are safe from any thread that holds the call.
 */
#ifndef GANTRY_MGMT_CALL_H
#define GANTRY_MGMT_CALL_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct call;

enum call_outcome { CALL_STREAMING = 1 }; /* what a handler may return beside 0 and -errno */

/* Error codes on the socket: JSON-RPC's own, then ours. Stable. */
enum call_code {
	CALL_PARSE_ERROR = -32700,
	CALL_INVALID_REQUEST = -32600,
	CALL_UNKNOWN_METHOD = -32601,
	CALL_INVALID_PARAMS = -32602,
	CALL_INTERNAL = -32603,
	CALL_FAILED = -32000,        /* tried and failed; the text says why */
	CALL_REFUSED = -32001,       /* a rule forbids it: an unknown list, a day that may not be purged */
	CALL_NOT_AVAILABLE = -32002, /* this appliance has no handler for the method */
	CALL_BUSY = -32003,          /* too many requests in flight, or uploads full */
	CALL_CANCELLED = -32004,     /* by the client */
	CALL_STOPPING = -32005,      /* the appliance is stopping */
	CALL_UNGROUNDED = -32010,    /* purpose, case or reason missing or a placeholder (R31, R51) */
	CALL_UNAUDITED = -32011,     /* the audit log could not take the entry: nothing was done, or done unrecorded */
};

/* Who is at the other end, from SO_PEERCRED; never from the request. */
struct call_peer {
	uid_t uid;
	gid_t gid;
	pid_t pid;
	const char *account; /* name of uid, or its number; lives as long as the call */
};
const struct call_peer *call_peer(const struct call *call);
const char *call_method(const struct call *call);

/* The checked parameters; borrowed. Optional ones that were not given: NULL or the fallback. A getter of the wrong
 * type for the table's row is our own bug and asserted. */
const json_t *call_params(const struct call *call);
bool call_has(const struct call *call, const char *name);
const char *call_text(const struct call *call, const char *name);                     /* string, vrm, hex, choice */
int64_t call_integer(const struct call *call, const char *name, int64_t fallback);    /* integer */
bool call_boolean(const struct call *call, const char *name, bool fallback);          /* boolean */
int64_t call_time(const struct call *call, const char *name, int64_t fallback_us);    /* time: µs since 1970 UTC */
int32_t call_day(const struct call *call, const char *name, int32_t fallback);        /* date: read_day's number */
const json_t *call_array(const struct call *call, const char *name);                  /* integers or strings */
const char *call_upload(const struct call *call, const char *name, size_t *ret_size); /* text, lives as the call */

/* True once the client has cancelled or gone, or the server stops: give up soon, call_fail or return -ECANCELED. */
bool call_cancelled(const struct call *call);

/*
 * One row of a stream ("rows" of the method's notification, see api.h). Rows are sent in batches; a client that set
 * `window` is never sent more rows than it has given credit for. Blocks while the client is behind; -ECANCELED when
 * the call is cancelled or the client was dropped for stalling, -EMSGSIZE when the row can never be sent, -ENOMEM. The
 * last batch leaves with the answer; call_flush sends what is waiting now. Handler thread only.
 */
int call_row(struct call *call, json_t *row);
int call_flush(struct call *call);

/*
 * A notification of its own; `id` is added to params. call_notify blocks while the client's buffer is full (errors as
 * call_row). call_notify_try never blocks and takes one row of credit where the client set a window: -EAGAIN when the
 * client is behind, -ECANCELED, -EMSGSIZE, -ENOMEM. It carries so many `rows`, which the audit log's rows_sent counts.
 */
int call_notify(struct call *call, const char *method, json_t *params);
int call_notify_try(struct call *call, const char *method, json_t *params, unsigned rows);

/* Bytes that wait for the call's client, beyond what its socket has taken. Any thread. */
size_t call_waiting(const struct call *call);

/* "progress" {id, done, total, text}; at most five a second leave, and none while the client is behind. Never blocks.
 */
void call_progress(struct call *call, uint64_t done, uint64_t total, const char *text);

/* The outcome; the last one set counts. Without any, a handler's 0 is answered as an internal error. A text never
 * holds a VRM or a secret. */
void call_result(struct call *call, json_t *result);
void call_fail(struct call *call, enum call_code code, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* Facts for the outcome's sealed audit body, beside the code: counts, versions, digests. For audited methods. */
void call_audit_fact(struct call *call, const char *name, json_t *value);

/*
 * Keeps the call beyond the handler's return. `cancelled` is called once at most, on the server's own thread or the
 * one that stops it, with no lock held; it must not block, and may call call_finish. -ECANCELED when the call is
 * cancelled already: then nothing is kept, the callback never comes, and the handler ends as usual. After call_keep the
 * handler returns CALL_STREAMING whatever happens.
 */
int call_keep(struct call *call, void (*cancelled)(struct call *call, void *ctx), void *ctx);

/*
 * Ends a kept call: its result or failure is sent by the pool (never blocks on I/O). Once only; the call is not
 * touched afterwards. When it returns, the callback is not running and will not, unless it is the caller itself: so
 * hold no lock here that the callback takes.
 */
void call_finish(struct call *call);

#endif
