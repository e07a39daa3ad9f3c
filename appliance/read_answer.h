/* What every answer of a search says beside its rows. Handler threads. */
#ifndef GANTRY_APPLIANCE_READ_ANSWER_H
#define GANTRY_APPLIANCE_READ_ANSWER_H

#include <jansson.h>
#include <stdint.h>

struct search_query;
struct search_result;

/* How much, how sure, of which stretch of time, at what cost. New reference; NULL when out of memory. */
json_t *read_answer_json(const struct search_query *query, const struct search_result *result, int64_t began_ns);

#endif
