#include "mgmt/rpc.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "appliance/base/err.h"
#include "mgmt/call.h"

/* Jansson would recurse up to 2048 levels: the bound is checked before it sees the text. */
static unsigned nesting(const char *at, size_t size)
{
	unsigned depth = 0;
	unsigned most = 0;
	bool in_string = false;

	for (size_t i = 0; i < size; i++) {
		if (in_string) {
			if (at[i] == '\\')
				i++;
			else if (at[i] == '"')
				in_string = false;
		} else if (at[i] == '"') {
			in_string = true;
		} else if (at[i] == '{' || at[i] == '[') {
			depth++;
			if (depth > most)
				most = depth;
		} else if ((at[i] == '}' || at[i] == ']') && depth > 0) {
			depth--;
		}
	}
	return most;
}

static int take_id(json_t *value, struct rpc_request *request, struct err *err)
{
	size_t size = json_string_length(value);

	if (!json_is_integer(value) && (!json_is_string(value) || size == 0 || size > RPC_ID_MAX))
		return err_set(err, CALL_INVALID_REQUEST, "id: must be an integer or a string of 1..%d bytes",
			       RPC_ID_MAX);
	request->id = value;
	return 0;
}

static int take_member(const char *name, json_t *value, struct rpc_request *request, struct err *err)
{
	if (strcmp(name, "jsonrpc") == 0)
		return json_is_string(value) && strcmp(json_string_value(value), "2.0") == 0
			       ? 0
			       : err_set(err, CALL_INVALID_REQUEST, "jsonrpc: must be \"2.0\"");
	if (strcmp(name, "method") == 0) {
		request->method = json_string_value(value);
		return request->method != NULL ? 0 : err_set(err, CALL_INVALID_REQUEST, "method: must be a string");
	}
	if (strcmp(name, "params") == 0) {
		request->params = value;
		return 0;
	}
	if (strcmp(name, "id") == 0)
		return 0;
	return err_set(err, CALL_INVALID_REQUEST, "the request has a member that JSON-RPC 2.0 does not know");
}

static int take_members(json_t *root, struct rpc_request *request, struct err *err)
{
	json_t *id = json_object_get(root, "id");
	const char *name;
	json_t *value;
	int r = id != NULL ? take_id(id, request, err) : 0;

	if (r != 0)
		return r;
	json_object_foreach(root, name, value)
	{
		r = take_member(name, value, request, err);
		if (r != 0)
			return r;
	}
	if (json_object_get(root, "jsonrpc") == NULL)
		return err_set(err, CALL_INVALID_REQUEST, "jsonrpc: is missing, must be \"2.0\"");
	return request->method != NULL ? 0 : err_set(err, CALL_INVALID_REQUEST, "method: is missing");
}

int rpc_parse(const char *line, size_t size, unsigned depth_max, struct rpc_request *ret_request, struct err *err)
{
	json_error_t error;

	memset(ret_request, 0, sizeof(*ret_request));
	if (nesting(line, size) > depth_max)
		return err_set(err, CALL_INVALID_REQUEST, "nested deeper than %u", depth_max);
	ret_request->root = json_loadb(line, size, JSON_REJECT_DUPLICATES, &error);
	/* Only the kind of error is told: Jansson's text quotes the line, and a line may hold a VRM. */
	if (ret_request->root == NULL)
		return json_error_code(&error) == json_error_duplicate_key
			       ? err_set(err, CALL_INVALID_REQUEST, "an object has a name twice, near byte %d",
					 error.position)
			       : err_set(err, CALL_PARSE_ERROR, "not a JSON object, near byte %d", error.position);
	if (json_is_array(ret_request->root))
		return err_set(err, CALL_INVALID_REQUEST, "batches are not taken: send one object a line");
	return take_members(ret_request->root, ret_request, err);
}

void rpc_fini(struct rpc_request *request)
{
	json_decref(request->root);
	memset(request, 0, sizeof(*request));
}

static char *encode(json_t *message, size_t *ret_size)
{
	const size_t flags = JSON_COMPACT;
	size_t size;
	char *line;

	if (message == NULL)
		return NULL;
	size = json_dumpb(message, NULL, 0, flags);
	line = size > 0 ? malloc(size + 1) : NULL;
	if (line != NULL) {
		(void)json_dumpb(message, line, size, flags);
		line[size] = '\n';
		*ret_size = size + 1;
	}
	json_decref(message);
	return line;
}

char *rpc_result(const json_t *id, json_t *result, size_t *ret_size)
{
	return encode(json_pack("{s:s, s:O?, s:o}", "jsonrpc", "2.0", "id", id, "result", result), ret_size);
}

char *rpc_error(const json_t *id, int code, const char *text, size_t *ret_size)
{
	json_t *error = json_pack("{s:i, s:s%}", "code", code, "message", text, strlen(text));
	json_t *message;

	/* A text cut in the middle of a character is not UTF-8 any more: then say at least the code. */
	if (error == NULL)
		error = json_pack("{s:i, s:s}", "code", code, "message", "refused");
	message = json_pack("{s:s, s:o}", "jsonrpc", "2.0", "error", error);
	if (message != NULL)
		(void)json_object_set_new(message, "id", id != NULL ? json_incref((json_t *)id) : json_null());
	return encode(message, ret_size);
}

char *rpc_notification(const char *method, json_t *params, size_t *ret_size)
{
	return encode(json_pack("{s:s, s:s, s:o}", "jsonrpc", "2.0", "method", method, "params", params), ret_size);
}
