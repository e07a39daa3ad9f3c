#include "appliance/read_search.h"

#include <errno.h>

#include "appliance/base/clock.h"
#include "appliance/gantry.h"
#include "appliance/read_answer.h"
#include "mgmt/call.h"
#include "storage/store.h"

static int answer(struct read_search *search, const struct read_search_verb *verb, void *context)
{
	const struct search_result *result = &search->result;
	json_t *object = read_answer_json(&search->query.search, result, search->began_ns);
	int error = object != NULL ? verb->put(context, object) : -ENOMEM;

	if (error < 0) {
		json_decref(object);
		return error;
	}
	call_audit_fact(search->call, "count", json_integer((json_int_t)result->count));
	call_audit_fact(search->call, "complete", json_boolean(!result->incomplete));
	call_result(search->call, object);
	return 0;
}

int read_search_run(struct read_search *search, const struct read_search_verb *verb, void *context)
{
	struct err err = {""};
	const char *why;
	int result;

	if (store_register(search->gantry->store, &why) == NULL) {
		call_fail(search->call, CALL_FAILED, "the register is incomplete, so nothing is searched: %s", why);
		return 0;
	}
	search->began_ns = clock_mono_ns();
	result = verb->take(context);
	if (result < 0)
		return result == -EINVAL ? 0 : result;
	result = verb->run(context, &err);
	if ((result == -EINVAL || result == -EIO) && err.text[0] != '\0') {
		call_fail(search->call, result == -EINVAL ? CALL_INVALID_PARAMS : CALL_FAILED, "%s", err.text);
		return 0;
	}
	if (result != 0)
		return result;
	return search->result.stop == SEARCH_CANCELLED ? -ECANCELED : answer(search, verb, context);
}
