/*
 * What the verbs that search stored reads or hits of them have in common: nothing is searched while the register is
 * incomplete, then question, search, and an answer that says how much, how sure and at what cost. Handler threads; one
 * owner, who zeroes it, names call and gantry, and ends it with read_query_fini.
 */
#ifndef GANTRY_APPLIANCE_READ_SEARCH_H
#define GANTRY_APPLIANCE_READ_SEARCH_H

#include <jansson.h>
#include <stdint.h>

#include "appliance/base/err.h"
#include "appliance/read_query.h"

struct call;
struct gantry;

struct read_search {
	struct call *call;
	struct gantry *gantry;
	struct read_query query;
	struct search_result result;
	int64_t began_ns;
};

/* What is a verb's own; `context` is that of read_search_run. */
struct read_search_verb {
	/* The question, into `query`. 0; -EINVAL with the call failed and its reason said; else < 0. */
	int (*take)(void *context);
	/* The search, into `result`. 0; -EINVAL a question out of bounds, or -EIO, with err; else < 0. */
	int (*run)(void *context, struct err *err);
	/* What the answer says beyond read_answer.h. 0 or < 0. */
	int (*put)(void *context, json_t *object);
};

/* As a handler returns: 0 with the call answered or failed, or < 0. */
int read_search_run(struct read_search *search, const struct read_search_verb *verb, void *context);

#endif
