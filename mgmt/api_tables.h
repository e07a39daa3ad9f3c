/*
 * The rows of the methods' table by area, in the order in which they are shown, each ending with a NULL name; and the
 * words that rows of several areas share. For api.c, which joins them: everybody else asks api_at and api_find.
 */
#ifndef GANTRY_MGMT_API_TABLES_H
#define GANTRY_MGMT_API_TABLES_H

#include "mgmt/api.h"

extern const struct api_method api_intake[]; /* state of the appliance, feeds and cameras */
extern const struct api_method api_lists[];  /* vehicles of interest, and the search back for them */
extern const struct api_method api_hits[];   /* who is told of them, their life, their search */
extern const struct api_method api_reads[];  /* search, segments, erasure and correction of one read */
extern const struct api_method api_purge[];  /* purge of days, and what cases hold of them */
extern const struct api_method api_system[]; /* keys, audit log, uploads, the connection itself */

/* Bounds, as min and max of a parameter. */
#define U32 0, UINT32_MAX
#define INDEX 0, INT64_MAX
#define NAME 1, 63 /* the register keeps names in 64 bytes, zero included */
#define REASON 3, 500

/* Budgets of a search. */
#define BUDGET(name, text)                                                                                             \
	{                                                                                                              \
		name, API_INTEGER, false, 1, INT64_MAX, NULL, text                                                     \
	}
#define BUDGET_PARAMS                                                                                                  \
	BUDGET("rows_max", "look at so many rows and keys at most; default: search.rows_max"),                         \
		BUDGET("bytes_max", "read so many bytes at most; default: search.bytes_max"),                          \
		BUDGET("ms_max", "take so many ms at most; default: search.ms_max")

/* Fields that each search adds to its result. */
#define SEARCH_RESULT "from, to, stopped, rows_seen, bytes_read, pages_read, segments, elapsed_ms"

extern const char *const api_orders[]; /* of rows: by capture time */

#endif
