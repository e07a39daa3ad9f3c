#include "mgmt/api_tables.h"

static const char *const list_purposes[] = {"monitor", "respond", NULL};
static const char *const tolerances[] = {"off", "classes", "substitution", NULL};
static const char *const scopes[] = {"camera", "area", "anywhere", NULL};

/* When, where and of which reads a list alarms. What is not given stays as it was. */
#define LIST_CONDITION_PARAMS                                                                                          \
	{"hours", API_STRINGS, false, 1, 16, NULL, "only then, local time: mon-fri 08:00-18:00; none: always"},        \
		{"directions", API_STRINGS, false, 1, 3, NULL, "only approaching, receding or unknown; none: any"},    \
		{"camera_types",                                                                                       \
		 API_STRINGS,                                                                                          \
		 false,                                                                                                \
		 1,                                                                                                    \
		 5,                                                                                                    \
		 NULL,                                                                                                 \
		 "only of fixed, mobile, dashboard, portable or cctv cameras; none: any"},                             \
		{"circles", API_STRINGS, false, 1, 8, NULL, "only in these areas: LAT,LON,RADIUS; none: no circle"},   \
	{                                                                                                              \
		"polygon", API_STRING, false, 4, 4000, NULL,                                                           \
			"and in these: LAT,LON LAT,LON LAT,LON …, a semicolon before the next; none: no polygon"     \
	}

/* Of lists.load and lists.edit. What is not given stays as it was; of a new list the defaults. */
#define LIST_HEAD_PARAMS                                                                                               \
	{"priority", API_INTEGER, false, 0, 100, NULL, "of its hits; of a new list 50"},                               \
		{"class",                                                                                              \
		 API_STRING,                                                                                           \
		 false,                                                                                                \
		 NAME,                                                                                                 \
		 NULL,                                                                                                 \
		 "local, pnc-fast-track, pnc-extract, schengen, mmc or third-party (R21); of a new list local"},       \
		{"list_purpose",                                                                                       \
		 API_CHOICE,                                                                                           \
		 false,                                                                                                \
		 0,                                                                                                    \
		 0,                                                                                                    \
		 list_purposes,                                                                                        \
		 "what a hit asks of its reader (R23); of a new list respond"},                                        \
		{"owner", API_STRING, false, NAME, NULL, "the organisation that answers for it (R23)"},                \
		{"subscribers", API_STRINGS, false, 1, 32, NULL, "organisations that may subscribe; none: the owner"}, \
		{"marking", API_STRING, false, NAME, NULL, "protective marking; of a new list OFFICIAL-SENSITIVE"},    \
		{"tolerance",                                                                                          \
		 API_CHOICE,                                                                                           \
		 false,                                                                                                \
		 0,                                                                                                    \
		 0,                                                                                                    \
		 tolerances,                                                                                           \
		 "misreads that exact entries accept unless their row says otherwise; of a new list off"},             \
		{"suppress_minutes",                                                                                   \
		 API_INTEGER,                                                                                          \
		 false,                                                                                                \
		 0,                                                                                                    \
		 10080,                                                                                                \
		 NULL,                                                                                                 \
		 "repeats (same vehicle, same entry) are silent for so long, by receipt; reads 5 minutes late or "     \
		 "more only among themselves, by capture; 0: never"},                                                  \
		{"suppress_scope",                                                                                     \
		 API_CHOICE,                                                                                           \
		 false,                                                                                                \
		 0,                                                                                                    \
		 0,                                                                                                    \
		 scopes,                                                                                               \
		 "those at the same camera, in the same area of the list (has it none: in the same square of "         \
		 "about 10 km), or anywhere"},                                                                         \
		LIST_CONDITION_PARAMS
/* Room for a date with a number of the day, and above it for the versions that every edit makes: a name that had them
 * all could never be changed again. */
#define LIST_VERSION_GIVEN_MAX INT64_C(4000000000)
#define LIST_ROW_PARAMS                                                                                                \
	{"upload", API_UPLOAD, true, U32, NULL, "the CSV text"},                                                       \
		{"name", API_STRING, true, NAME, NULL, "name of the list"},                                            \
		{"version",                                                                                            \
		 API_INTEGER,                                                                                          \
		 false,                                                                                                \
		 1,                                                                                                    \
		 LIST_VERSION_GIVEN_MAX,                                                                               \
		 NULL,                                                                                                 \
		 "default: one more than the last; an older one is refused"},                                          \
		{"strict", API_BOOLEAN, false, 0, 0, NULL, "one rejected line refuses the whole file"},                \
		{"report", API_BOOLEAN, false, 0, 0, NULL, "tell every rejected line before the result"},              \
	{                                                                                                              \
		"window", API_INTEGER, false, 1, 1000000, NULL,                                                        \
			"lines the client takes before it sends credit; default: no limit"                             \
	}
#define LIST_RETRO_PARAM                                                                                               \
	{                                                                                                              \
		"retro", API_INTEGER, false, 1, 366, NULL,                                                             \
			"search so many days back for the new entries, on the grounds given; default: none"            \
	}
#define LIST_RESULT                                                                                                    \
	"list, version, generation, entries, added, removed, unchanged, expired, rejected_count, duplicates, "         \
	"rejected[]"

const struct api_method api_lists[] = {
	{"lists.load",
	 "Load a list of vehicles of interest, replacing its older version whole",
	 API_STREAM | API_CHANGES | API_RETRO | API_LONG,
	 "lists.rejected",
	 LIST_RESULT ", retro",
	 {LIST_ROW_PARAMS,
	  {"empty", API_BOOLEAN, false, 0, 0, NULL,
	   "a file without rows may empty the list; without it that is refused"},
	  LIST_RETRO_PARAM,
	  LIST_HEAD_PARAMS,
	  {0}}},
	{"lists.add",
	 "Add entries to a list; one of the same VRM that says something else is replaced",
	 API_STREAM | API_CHANGES | API_RETRO | API_LONG,
	 "lists.rejected",
	 LIST_RESULT ", retro",
	 {LIST_ROW_PARAMS, LIST_RETRO_PARAM, {0}}},
	{"lists.drop",
	 "Take entries from a list, by their VRM or pattern",
	 API_STREAM | API_CHANGES | API_LONG,
	 "lists.rejected",
	 LIST_RESULT,
	 {LIST_ROW_PARAMS, {0}}},
	{"lists.edit",
	 "Change the head of a list; its entries stay, and lists.rollback goes back to the head before, to older "
	 "entries no more",
	 API_CHANGES | API_LONG,
	 NULL,
	 "list, version, unchanged, rollback",
	 {{"name", API_STRING, true, NAME, NULL, "name of the list"}, LIST_HEAD_PARAMS, {0}}},
	{"lists.rollback",
	 "Back to what the version before said, under a new version; a list that was removed comes back",
	 API_CHANGES | API_LONG,
	 NULL,
	 "list, version, of_version, from_version, entries, added, removed",
	 {{"name", API_STRING, true, NAME, NULL, "name of the list"}, {0}}},
	{"lists.versions",
	 "The version of a list and the one that lists.rollback goes back to",
	 0,
	 NULL,
	 "list, name, versions[]",
	 {{"name", API_STRING, true, NAME, NULL, "name of the list"}, {0}}},
	{"lists.show",
	 "Lists with version, age and number of entries; of one all of its head",
	 0,
	 NULL,
	 "lists[]",
	 {{"name", API_STRING, false, NAME, NULL, "only this one"}, {0}}},
	{"lists.check",
	 "Is this VRM on the list: by which entries, since which version, and are they in force or expired",
	 API_GROUNDS | API_LONG,
	 NULL,
	 "list, version, found, in_force, entries[]",
	 {{"name", API_STRING, true, NAME, NULL, "name of the list"},
	  {"vrm", API_VRM, true, NAME, NULL, "plate, no pattern"},
	  {0}}},
	{"lists.preview",
	 "Which misreads of a VRM a list would accept, and how many of yesterday's reads each would have hit",
	 API_GROUNDS | API_READS | API_LONG,
	 NULL,
	 "tolerance, conditional, variants_total, truncated, variants[], from, to, complete",
	 {{"vrm", API_VRM, true, NAME, NULL, "plate, no pattern"},
	  {"name", API_STRING, false, NAME, NULL,
	   "as this list is: its tolerance and conditions; default: as a new one"},
	  {"tolerance", API_CHOICE, false, 0, 0, tolerances, "instead of the list's; of a new list classes"},
	  LIST_CONDITION_PARAMS,
	  {"limit", API_INTEGER, false, 1, 1000, NULL, "look at so many variants at most; default 100"},
	  BUDGET("ms_max", "take so many ms at most; default: search.ms_max"),
	  {0}}},
	{"lists.remove",
	 "Remove a list; it matches nothing from now on; lists.rollback brings it back",
	 API_CHANGES | API_LONG,
	 NULL,
	 "list",
	 {{"name", API_STRING, true, NAME, NULL, "name of the list"}, {0}}},
	{"lists.retro",
	 "Search the store back for entries of a list; what is found arrives as hits of kind retro",
	 API_GROUNDS | API_CHANGES,
	 NULL,
	 "number, list, version",
	 {{"name", API_STRING, true, NAME, NULL, "name of the list"},
	  {"days", API_INTEGER, true, 1, 366, NULL, "so many days back, and today"},
	  {"since_version", API_INTEGER, false, U32, NULL, "only entries that came with it or later; default: all"},
	  {0}}},
	{"retros.show", "Searches back: those that run or wait, and the last that ended", 0, NULL, "retros[]", {{0}}},
	{"retros.cancel",
	 "End a search back; what it found stays",
	 API_CHANGES,
	 NULL,
	 "number",
	 {{"number", API_INTEGER, true, U32, NULL, "of the search back"}, {0}}},
	{0},
};
