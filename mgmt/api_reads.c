#include "mgmt/api_tables.h"

#define SEARCH_PARAMS                                                                                                  \
	{"vrm", API_VRM, false, NAME, NULL, "plate or pattern: ? is one character, * any run; anchored"},              \
		{"tolerant", API_BOOLEAN, false, 0, 0, NULL, "also plates that this one is easily misread for"},       \
		{"strict", API_BOOLEAN, false, 0, 0, NULL, "compare the text as received, not the VRM key"},           \
		{"not_read", API_BOOLEAN, false, 0, 0, NULL, "records of plates that were not read (R4)"},             \
		{"from", API_TIME, false, 0, 0, NULL, "captured at or after; default: the oldest that may be seen"},   \
		{"to", API_TIME, false, 0, 0, NULL, "captured before; default: now and reads.future more"},            \
		{"cameras", API_INTEGERS, false, 1, 10000, NULL, "only these; default: all"},                          \
		{"circle", API_STRING, false, 5, 64, NULL, "only in this area: LAT,LON,RADIUS in degrees and metres"}, \
		{"polygon", API_STRING, false, 11, 6000, NULL, "only in this area: LAT,LON LAT,LON LAT,LON …"},        \
		{"restricted",                                                                                         \
		 API_BOOLEAN,                                                                                          \
		 false,                                                                                                \
		 0,                                                                                                    \
		 0,                                                                                                    \
		 NULL,                                                                                                 \
		 "restricted reads too (R39); only for subject-access and court"},                                     \
		{"hold", API_STRING, false,                                                                            \
		 NAME,   NULL,       "only what this case, that of the grounds, holds of purged days (R35)"},          \
		BUDGET_PARAMS

/* The id is one-way: camera and time find the read. */
#define READ_PARAMS                                                                                                    \
	{"id", API_HEX, true, 16, 16, NULL, "of the read, as a search shows it"},                                      \
		{"camera", API_INTEGER, true, U32, NULL, "of the read"},                                               \
		{"captured", API_TIME, true, 0, 0, NULL, "of the read, to the microsecond as a search shows it"},      \
	{                                                                                                              \
		"hold", API_STRING, false, NAME, NULL, "in the copy of this case: the read's day is gone (R35)"        \
	}

const struct api_method api_reads[] = {
	{"reads.search",
	 "Sightings by plate or pattern, time and camera",
	 API_STREAM | API_GROUNDS | API_READS | API_LONG,
	 "reads.rows",
	 "count, truncated, cursor, complete, unreadable[], cameras_inside, cameras_moving, " SEARCH_RESULT,
	 {SEARCH_PARAMS,
	  {"limit", API_INTEGER, false, 1, 10000, NULL, "at most so many rows; default 100"},
	  {"order", API_CHOICE, false, 0, 0, api_orders, "by capture time; default newest"},
	  {"cursor", API_STRING, false, 1, 256, NULL, "of the truncated result: go on after it; same question only"},
	  {"window", API_INTEGER, false, 1, 1000000, NULL,
	   "rows the client takes before it sends credit; default: no limit"},
	  {0}}},
	{"reads.count",
	 "How many sightings a search would find",
	 API_GROUNDS | API_READS | API_LONG,
	 NULL,
	 "count, complete, unreadable[], cameras_inside, cameras_moving, " SEARCH_RESULT,
	 {SEARCH_PARAMS, {0}}},
	{"reads.consecutive",
	 "Consecutive reads of one camera in capture order, to evaluate it (R14)",
	 API_STREAM | API_GROUNDS | API_READS | API_LONG,
	 "reads.rows",
	 "count, camera, not_read, tests, first, last, complete, unreadable[], " SEARCH_RESULT,
	 {{"camera", API_INTEGER, true, U32, NULL, "which camera"},
	  {"count", API_INTEGER, false, 1, 10000, NULL, "so many reads; default 250"},
	  {"from", API_TIME, false, 0, 0, NULL, "the first ones captured at or after"},
	  {"before", API_TIME, false, 0, 0, NULL,
	   "instead: the last ones captured before; default: now and reads.future more"},
	  BUDGET_PARAMS,
	  {"window", API_INTEGER, false, 1, 1000000, NULL,
	   "rows the client takes before it sends credit; default: no limit"},
	  {0}}},

	{"segments.show",
	 "Sealed segments, or days of them, with their sizes",
	 API_STREAM | API_LONG,
	 "segments.rows",
	 "segments, days, reads, collapsed, hits, bytes, bytes_per_read, first, last",
	 {{"day", API_DATE, false, 0, 0, NULL, "only this day of capture, UTC"},
	  {"from", API_DATE, false, 0, 0, NULL, "instead: this day and later"},
	  {"to", API_DATE, false, 0, 0, NULL, "this day and earlier"},
	  {"by_day", API_BOOLEAN, false, 0, 0, NULL, "one row a day, purged days too"},
	  {"window", API_INTEGER, false, 1, 1000000, NULL, "rows the client takes before it sends credit"},
	  {0}}},

	{"reads.erase",
	 "Erase one read: hidden at once, physically removed within the hour (R39)",
	 API_GROUNDS | API_CHANGES | API_LONG,
	 NULL,
	 "id, camera, captured, held_by, already",
	 {READ_PARAMS, {0}}},
	{"reads.restrict",
	 "Restrict one read: kept, raises no hits, shown for subject-access and court only (R39)",
	 API_GROUNDS | API_CHANGES | API_LONG,
	 NULL,
	 "id, camera, captured, held_by, already",
	 {READ_PARAMS, {0}}},
	{"reads.unrestrict",
	 "End a restriction",
	 API_GROUNDS | API_CHANGES | API_LONG,
	 NULL,
	 "id, camera, captured, already",
	 {READ_PARAMS, {0}}},
	{"reads.amend",
	 "Correct a misread VRM; the read is found and matched by the new one at once (R2)",
	 API_GROUNDS | API_CHANGES | API_LONG,
	 NULL,
	 "id, camera, captured, held_by, new_id, hits, more_hits, already",
	 {READ_PARAMS, {"vrm", API_STRING, true, 1, 16, NULL, "what the plate says, as a camera would send it"}, {0}}},
	{0},
};
