/* JSON-RPC 2.0 as this socket speaks it: lines to requests, answers to lines. Pure functions, any thread. */
#ifndef GANTRY_MGMT_RPC_H
#define GANTRY_MGMT_RPC_H

#include <jansson.h>
#include <stddef.h>

struct err;

#define RPC_ID_MAX 128

struct rpc_request {
	json_t *root; /* owns the rest */
	json_t *id;   /* integer or string of 1..RPC_ID_MAX bytes; NULL in a notification */
	const char *method;
	json_t *params; /* NULL when there are none */
};

/*
 * One line without its LF. 0, or the CALL_… code to answer with and a text: not UTF-8 JSON, nested deeper than
 * depth_max, a name twice in one object, a batch, a member that JSON-RPC does not know. On failure `id` is still set
 * where one could be read, and the caller calls rpc_fini either way.
 */
int rpc_parse(const char *line, size_t size, unsigned depth_max, struct rpc_request *ret_request, struct err *err);
void rpc_fini(struct rpc_request *request);

/* Each a malloc'd line with its LF, or NULL when out of memory; `id` NULL is null; result and params are consumed. */
char *rpc_result(const json_t *id, json_t *result, size_t *ret_size);
char *rpc_error(const json_t *id, int code, const char *text, size_t *ret_size);
char *rpc_notification(const char *method, json_t *params, size_t *ret_size);

#endif
