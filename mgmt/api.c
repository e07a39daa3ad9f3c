#include "mgmt/api.h"

#include <string.h>

#define U32 0, UINT32_MAX
#define INDEX 0, INT64_MAX
#define NAME 1, 63 /* the register keeps names in 64 bytes, zero included */
#define REASON 3, 500
#define CERTIFICATE_SIZE_MAX (64 * 1024)

static const char *const orders[] = {"newest", "oldest", NULL};
static const char *const hit_kinds[] = {"exact", "pattern", "tolerant", "retro", "clone", NULL};
static const char *const list_purposes[] = {"monitor", "respond", NULL};
static const char *const tolerances[] = {"off", "classes", "substitution", NULL};
static const char *const scopes[] = {"camera", "area", "anywhere", NULL};
static const char *const hold_classes[] = {"cpia", "mopi", NULL};
static const char *const dispositions[] = {"correct", "misread", "wrong-vehicle", "stale-entry", NULL};
static const char *const open_states[] = {"unacknowledged", "acknowledged", "assessed", NULL};
static const char *const rates_by[] = {"camera", "list", "both", NULL};
static const char *const subscription_kinds[] = {"full", "sms", NULL};
static const char *const upload_kinds[] = {"cameras", "list", NULL};

const char *const api_purposes[] = {"national-security",
				    "counter-terrorism",
				    "major",
				    "serious",
				    "priority-volume",
				    "evidence",
				    "court",
				    "code-of-ethics",
				    "audit",
				    "subject-access",
				    NULL};

const struct api_param api_grounds[] = {
	{"purpose", API_CHOICE, false, 0, 0, api_purposes, "why the law allows it (R31); needed"},
	{"case", API_STRING, false, 0, 64, NULL, "reference of the case it is for; needed"},
	{"reason", API_STRING, false, 0, 500, NULL, "the justification, in words; needed"},
	{0},
};

#define BUDGET(name, text)                                                                                             \
	{                                                                                                              \
		name, API_INTEGER, false, 1, INT64_MAX, NULL, text                                                     \
	}
#define BUDGET_PARAMS                                                                                                  \
	BUDGET("rows_max", "look at so many rows and keys at most; default: search.rows_max"),                         \
		BUDGET("bytes_max", "read so many bytes at most; default: search.bytes_max"),                          \
		BUDGET("ms_max", "take so many ms at most; default: search.ms_max")

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

#define SEARCH_RESULT "from, to, stopped, rows_seen, bytes_read, pages_read, segments, elapsed_ms"

/* Of lists.load and lists.edit. What is not given stays as it was; of a new list the defaults. */
#define LIST_HEAD_PARAMS                                                                                                \
	{"priority", API_INTEGER, false, 0, 100, NULL, "of its hits; of a new list 50"},                                \
		{"class", API_STRING, false, NAME, NULL, "class of list (R21); of a new list local"},                   \
		{"list_purpose",                                                                                        \
		 API_CHOICE,                                                                                            \
		 false,                                                                                                 \
		 0,                                                                                                     \
		 0,                                                                                                     \
		 list_purposes,                                                                                         \
		 "what a hit asks of its reader (R23); of a new list respond"},                                         \
		{"owner", API_STRING, false, NAME, NULL, "the organisation that answers for it (R23)"},                 \
		{"subscribers", API_STRINGS, false, 1, 32, NULL, "organisations that may subscribe; none: the owner"},  \
		{"marking", API_STRING, false, NAME, NULL, "protective marking; of a new list OFFICIAL-SENSITIVE"},     \
		{"tolerance",                                                                                           \
		 API_CHOICE,                                                                                            \
		 false,                                                                                                 \
		 0,                                                                                                     \
		 0,                                                                                                     \
		 tolerances,                                                                                            \
		 "misreads that exact entries accept unless their row says otherwise; of a new list off"},              \
		{"suppress_minutes", API_INTEGER, false, 0, 10080, NULL, "repeats are silent for so long; 0: never"},   \
		{"suppress_scope", API_CHOICE, false, 0, 0, scopes, "which repeats"},                                   \
		{"hours", API_STRINGS, false, 1, 16, NULL, "only then, local time: mon-fri 08:00-18:00; none: always"}, \
		{"directions", API_STRINGS, false, 1, 3, NULL, "only approaching, receding or unknown; none: any"},     \
		{"camera_types", API_STRINGS, false, 1, 5, NULL, "only of these cameras; none: any"},                   \
		{"circles", API_STRINGS, false, 1, 8, NULL, "only in these areas: LAT,LON,RADIUS; none: no circle"},    \
	{                                                                                                               \
		"polygon", API_STRING, false, 4, 4000, NULL,                                                            \
			"and in these: LAT,LON LAT,LON LAT,LON …, a semicolon before the next; none: no polygon"      \
	}
#define LIST_ROW_PARAMS                                                                                                \
	{"upload", API_UPLOAD, true, U32, NULL, "the CSV text"},                                                       \
		{"name", API_STRING, true, NAME, NULL, "name of the list"},                                            \
		{"version",                                                                                            \
		 API_INTEGER,                                                                                          \
		 false,                                                                                                \
		 1,                                                                                                    \
		 UINT32_MAX,                                                                                           \
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
	"list, version, generation, entries, added, removed, unchanged, rejected_count, duplicates, rejected[]"

/* The id is one-way: camera and time find the read. */
#define READ_PARAMS                                                                                                    \
	{"id", API_HEX, true, 16, 16, NULL, "of the read, as a search shows it"},                                      \
		{"camera", API_INTEGER, true, U32, NULL, "of the read"},                                               \
		{"captured", API_TIME, true, 0, 0, NULL, "of the read, to the microsecond as a search shows it"},      \
	{                                                                                                              \
		"hold", API_STRING, false, NAME, NULL, "in the copy of this case: the read's day is gone (R35)"        \
	}

#define HITS_PARAM                                                                                                     \
	{                                                                                                              \
		"hits", API_STRINGS, true, 1, 100, NULL, "their numbers, as hits.follow shows them"                    \
	}
#define HIT_STEP_RESULT "done, already, refused, hits[]"

const struct api_method api_methods[] = {
	{"status",
	 "State, totals, rates, feeds, lists and alarms of the appliance",
	 0,
	 NULL,
	 "version, node, state, since, uptime_s, totals, rates, hits, workers[], storage, feeds[], lists[], matching, "
	 "clock, retention, alarms[], marks",
	 {{0}}},
	{"counters", "Every counter by name", 0, NULL, "counters by name", {{0}}},

	{"feeds.add",
	 "Register a feed and make its key; the key is shown once",
	 API_CHANGES,
	 NULL,
	 "feed, key",
	 {{"feed", API_INTEGER, true, U32, NULL, "number of the new feed"},
	  {"name", API_STRING, true, NAME, NULL, "for people"},
	  {"organisation", API_STRING, true, NAME, NULL, "who owns it (R41)"},
	  {0}}},
	{"feeds.show",
	 "Feeds with their state, lanes and gaps",
	 0,
	 NULL,
	 "feeds[]",
	 {{"feed", API_INTEGER, false, U32, NULL, "only this one"}, {0}}},
	{"feeds.rotate",
	 "Make a second key; both are valid until feeds.retire",
	 API_CHANGES,
	 NULL,
	 "feed, key",
	 {{"feed", API_INTEGER, true, U32, NULL, "which feed"}, {0}}},
	{"feeds.retire",
	 "Drop the old key after a rotation",
	 API_CHANGES,
	 NULL,
	 "feed",
	 {{"feed", API_INTEGER, true, U32, NULL, "which feed"}, {0}}},
	{"feeds.remove",
	 "Remove a feed: its datagrams are refused from now on",
	 API_CHANGES,
	 NULL,
	 "feed",
	 {{"feed", API_INTEGER, true, U32, NULL, "which feed"}, {0}}},

	{"cameras.load",
	 "Load or update cameras from an uploaded CSV",
	 API_CHANGES,
	 NULL,
	 "loaded, changed, rejected[]",
	 {{"upload", API_UPLOAD, true, U32, NULL, "the CSV text"},
	  {"strict", API_BOOLEAN, false, 0, 0, NULL, "one rejected line refuses the whole file"},
	  {0}}},
	{"cameras.show",
	 "Cameras of the register",
	 0,
	 NULL,
	 "cameras[], truncated",
	 {{"camera", API_INTEGER, false, U32, NULL, "only this one"},
	  {"feed", API_INTEGER, false, U32, NULL, "only those bound to this feed"},
	  {"limit", API_INTEGER, false, 1, 10000, NULL, "at most so many; default 100"},
	  {0}}},
	{"cameras.bind",
	 "Let a feed speak for cameras",
	 API_CHANGES,
	 NULL,
	 "feed, bound",
	 {{"feed", API_INTEGER, true, U32, NULL, "which feed"},
	  {"cameras", API_INTEGERS, false, 1, 100000, NULL, "these cameras"},
	  {"all", API_BOOLEAN, false, 0, 0, NULL, "instead: every camera of the register"},
	  {0}}},
	{"cameras.suspend",
	 "Refuse a camera's reads until it is resumed (R15)",
	 API_CHANGES,
	 NULL,
	 "camera, since",
	 {{"camera", API_INTEGER, true, U32, NULL, "which camera"},
	  {"reason", API_STRING, true, REASON, NULL, "why"},
	  {0}}},
	{"cameras.resume",
	 "Accept a suspended camera's reads again",
	 API_CHANGES,
	 NULL,
	 "camera",
	 {{"camera", API_INTEGER, true, U32, NULL, "which camera"},
	  {"reason", API_STRING, true, REASON, NULL, "why"},
	  {0}}},

	{"lists.load",
	 "Load a list of vehicles of interest, replacing its older version whole",
	 API_STREAM | API_CHANGES | API_RETRO | API_LONG,
	 "lists.rejected",
	 LIST_RESULT ", retro",
	 {LIST_ROW_PARAMS, LIST_RETRO_PARAM, LIST_HEAD_PARAMS, {0}}},
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
	 "Change the head of a list; its entries stay",
	 API_CHANGES | API_LONG,
	 NULL,
	 "list, version, unchanged",
	 {{"name", API_STRING, true, NAME, NULL, "name of the list"}, LIST_HEAD_PARAMS, {0}}},
	{"lists.rollback",
	 "Back to what the version before said, under a new version",
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
	 "Is this VRM on the list: by which entries, since which version",
	 API_GROUNDS | API_LONG,
	 NULL,
	 "list, version, found, entries[]",
	 {{"name", API_STRING, true, NAME, NULL, "name of the list"},
	  {"vrm", API_VRM, true, NAME, NULL, "plate, no pattern"},
	  {0}}},
	{"lists.preview",
	 "Which misreads of a VRM a tolerance accepts, and how many of yesterday's reads they were",
	 API_GROUNDS | API_READS | API_LONG,
	 NULL,
	 "tolerance, variants_total, variants[], from, to, complete",
	 {{"vrm", API_VRM, true, NAME, NULL, "plate, no pattern"},
	  {"tolerance", API_CHOICE, false, 0, 0, tolerances, "default classes"},
	  {"limit", API_INTEGER, false, 1, 1000, NULL, "look at so many variants at most; default 100"},
	  BUDGET("ms_max", "take so many ms at most; default: search.ms_max"),
	  {0}}},
	{"lists.remove",
	 "Remove a list; it matches nothing from now on",
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
	{"hits.follow",
	 "A subscription's hits, from those not acknowledged on, until cancelled",
	 API_STREAM | API_GROUNDS | API_READS,
	 "hits.hits",
	 "delivered",
	 {{"subscription", API_STRING, false, NAME, NULL, "name; see subscriptions.add"}, {0}}},
	{"hits.ack",
	 "Acknowledge that hits have arrived: all up to the cursor of a message, in its lane",
	 0,
	 NULL,
	 "acknowledged",
	 {{"subscription", API_STRING, true, NAME, NULL, "name"},
	  {"cursor", API_STRING, true, 1, 2048, NULL, "of the message"},
	  {0}}},

	{"subscriptions.add",
	 "Let an account of an organisation be told of hits, from now on (R24)",
	 API_CHANGES,
	 NULL,
	 "subscription, name",
	 {{"name", API_STRING, true, NAME, NULL, "of the subscription"},
	  {"organisation", API_STRING, true, NAME, NULL, "whose; lists say by organisation who may have their hits"},
	  {"uid", API_INTEGER, false, U32, NULL, "the account that may use it; default: the caller's"},
	  {"lists", API_STRINGS, false, 1, 64, NULL,
	   "only of these lists; default: all that its organisation may have"},
	  {"kind", API_CHOICE, false, 0, 0, subscription_kinds,
	   "default full; sms: VRM, time, location, list only (R28)"},
	  {"clones", API_BOOLEAN, false, 0, 0, NULL, "also hits of no list: impossible journeys"},
	  {0}}},
	{"subscriptions.remove",
	 "End a subscription; what it was given stays known",
	 API_CHANGES,
	 NULL,
	 "name",
	 {{"name", API_STRING, true, NAME, NULL, "of the subscription"}, {0}}},
	{"subscriptions.show",
	 "Who is told of hits, whether connected, and how far each has come",
	 0,
	 NULL,
	 "subscriptions[]",
	 {{"name", API_STRING, false, NAME, NULL, "only this one"}, {0}}},

	{"hits.acknowledge",
	 "Take hits on: they escalate no more (R24)",
	 API_CHANGES,
	 NULL,
	 HIT_STEP_RESULT,
	 {HITS_PARAM, {0}}},
	{"hits.assess",
	 "Say what acknowledged hits were found to be",
	 API_CHANGES,
	 NULL,
	 HIT_STEP_RESULT,
	 {HITS_PARAM,
	  {"disposition", API_CHOICE, true, 0, 0, dispositions, "what they were found to be"},
	  {"text", API_STRING, false, 1, 256, NULL, "in words, without the plate"},
	  {0}}},
	{"hits.respond",
	 "End assessed hits: somebody acted on them",
	 API_CHANGES,
	 NULL,
	 HIT_STEP_RESULT,
	 {HITS_PARAM, {"text", API_STRING, false, 1, 256, NULL, "what was done, without the plate"}, {0}}},
	{"hits.dismiss",
	 "End assessed hits: nobody acts on them",
	 API_CHANGES,
	 NULL,
	 HIT_STEP_RESULT,
	 {HITS_PARAM, {"text", API_STRING, true, 3, 256, NULL, "why not, without the plate"}, {0}}},
	{"hits.show",
	 "A hit, its read and its life",
	 API_GROUNDS | API_READS,
	 NULL,
	 "number, list, list_name, version, entry, kind, priority, late, repeat, read, life",
	 {{"number", API_STRING, true, 1, 63, NULL, "its number, as hits.follow shows it"}, {0}}},
	{"hits.open",
	 "Hits that wait: unacknowledged ones that may escalate, and those not ended, oldest first",
	 API_READS,
	 NULL,
	 "hits[], more, watched_from",
	 {{"state", API_CHOICE, false, 0, 0, open_states, "only these; default: all"},
	  {"priority_min", API_INTEGER, false, 0, 100, NULL, "only from this priority on; default 0"},
	  {"limit", API_INTEGER, false, 1, 1000, NULL, "at most so many; default 100"},
	  {0}}},
	{"hits.rates",
	 "Measured misreads: what assessed hits were found to be, the worst first",
	 0,
	 NULL,
	 "rates[], more",
	 {{"by", API_CHOICE, false, 0, 0, rates_by, "a row for each; default camera"},
	  {"from", API_DATE, false, 0, 0, NULL, "captured on that day or later; default: the first"},
	  {"to", API_DATE, false, 0, 0, NULL, "captured on that day or earlier; default: the last"},
	  {"assessed_min", API_INTEGER, false, 1, UINT32_MAX, NULL, "with so many assessed at least; default 20"},
	  {"limit", API_INTEGER, false, 1, 10000, NULL, "at most so many rows; default 100"},
	  {0}}},

	{"hits.search",
	 "Hits by time, list, camera, plate, kind and priority",
	 API_STREAM | API_GROUNDS | API_READS | API_LONG,
	 "hits.rows",
	 "count, truncated, cursor, complete, unreadable[], cameras_inside, cameras_moving, " SEARCH_RESULT,
	 {{"from", API_TIME, true, 0, 0, NULL, "captured at or after"},
	  {"to", API_TIME, false, 0, 0, NULL, "captured before; default: now and reads.future more"},
	  {"lists", API_STRINGS, false, 1, 64, NULL, "only of these lists, by name"},
	  {"kind", API_CHOICE, false, 0, 0, hit_kinds, "only of this kind"},
	  {"priority_min", API_INTEGER, false, 0, 100, NULL, "only of this priority or a higher one"},
	  {"vrm", API_VRM, false, NAME, NULL, "plate or pattern that was read: ? is one character, * any run"},
	  {"tolerant", API_BOOLEAN, false, 0, 0, NULL, "also plates that this one is easily misread for"},
	  {"strict", API_BOOLEAN, false, 0, 0, NULL, "compare the text as received, not the VRM key"},
	  {"cameras", API_INTEGERS, false, 1, 10000, NULL, "only these; default: all"},
	  {"circle", API_STRING, false, 5, 64, NULL, "only in this area: LAT,LON,RADIUS in degrees and metres"},
	  {"polygon", API_STRING, false, 11, 6000, NULL, "only in this area: LAT,LON LAT,LON LAT,LON …"},
	  {"restricted", API_BOOLEAN, false, 0, 0, NULL,
	   "of restricted reads too (R39); only for subject-access and court"},
	  {"count", API_BOOLEAN, false, 0, 0, NULL, "how many there are, without a row"},
	  {"limit", API_INTEGER, false, 1, 10000, NULL, "at most so many rows; default 100"},
	  {"order", API_CHOICE, false, 0, 0, orders, "by capture time; default newest"},
	  {"cursor", API_STRING, false, 1, 80, NULL, "of the truncated result: go on after it; same question only"},
	  BUDGET_PARAMS,
	  {"window", API_INTEGER, false, 1, 1000000, NULL,
	   "rows the client takes before it sends credit; default: no limit"},
	  {0}}},

	{"reads.search",
	 "Sightings by plate or pattern, time and camera",
	 API_STREAM | API_GROUNDS | API_READS | API_LONG,
	 "reads.rows",
	 "count, truncated, cursor, complete, unreadable[], cameras_inside, cameras_moving, " SEARCH_RESULT,
	 {SEARCH_PARAMS,
	  {"limit", API_INTEGER, false, 1, 10000, NULL, "at most so many rows; default 100"},
	  {"order", API_CHOICE, false, 0, 0, orders, "by capture time; default newest"},
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

	{"purge.plan",
	 "What would go, when and why: days held, what is due, proposed or begun, and what cases keep of it",
	 API_LONG,
	 NULL,
	 "days[]",
	 {{"before", API_DATE, false, 0, 0, NULL, "only days before this one; default: today"},
	  {"day", API_DATE, false, 0, 0, NULL, "instead: this day, with what cases would keep of it"},
	  {0}}},
	{"purge.run",
	 "Begin at once what the retention rule says is due, or go on with what stands half done",
	 API_GROUNDS | API_CHANGES | API_LONG,
	 NULL,
	 "the certificate",
	 {{"day", API_DATE, true, 0, 0, NULL, "the day of capture, UTC"}, {0}}},
	{"purge.propose",
	 "Propose to destroy a day that is not due; another account approves within the hour",
	 API_GROUNDS | API_CHANGES,
	 NULL,
	 "the proposal: number, day, proposer_uid, authority, reason, proposed, expires",
	 {{"day", API_DATE, true, 0, 0, NULL, "the day of capture, UTC"},
	  {"authority", API_STRING, true, 3, 255, NULL, "on whose authority; stands in the certificate, in clear"},
	  {0}}},
	{"purge.approve",
	 "Destroy a proposed day; never by the account that proposed it",
	 API_GROUNDS | API_CHANGES | API_LONG,
	 NULL,
	 "the certificate",
	 {{"number", API_INTEGER, true, U32, NULL, "of the proposal"}, {0}}},
	{"purge.withdraw",
	 "Take a proposal back",
	 API_GROUNDS | API_CHANGES,
	 NULL,
	 "number",
	 {{"number", API_INTEGER, true, U32, NULL, "of the proposal"}, {0}}},
	{"purge.show",
	 "Proposals that stand, purges that run, certificates given",
	 0,
	 NULL,
	 "proposals[], running[], certificates[]",
	 {{"day", API_DATE, false, 0, 0, NULL, "only of this day"}, {0}}},

	{"holds.add",
	 "Hold reads for the case of the grounds beyond their day (R35)",
	 API_GROUNDS | API_CHANGES,
	 NULL,
	 "case, number, days_gone[], days_gone_count",
	 {{"class", API_CHOICE, true, 0, 0, hold_classes, "by which law"},
	  {"review", API_DATE, true, 0, 0, NULL, "when it is to be reviewed"},
	  {"vrm", API_VRM, false, NAME, NULL, "reads of this plate or pattern"},
	  {"from", API_TIME, false, 0, 0, NULL, "captured at or after"},
	  {"to", API_TIME, false, 0, 0, NULL, "captured before"},
	  {"cameras", API_INTEGERS, false, 1, 10000, NULL, "only by these"},
	  {"reads", API_STRINGS, false, 1, 10000, NULL, "instead: single reads, ID,CAMERA,TIME as a search gives them"},
	  {0}}},
	{"holds.show",
	 "Cases that hold reads: what they hold, and what was copied of purged days",
	 API_GROUNDS | API_READS,
	 NULL,
	 "holds[]",
	 {{"hold", API_STRING, false, NAME, NULL, "only this case"}, {0}}},
	{"holds.review",
	 "Holds whose review is due",
	 0,
	 NULL,
	 "holds[]",
	 {{"by", API_DATE, false, 0, 0, NULL, "due by then; default: today"}, {0}}},
	{"holds.renew",
	 "The case of the grounds was reviewed and stays held",
	 API_GROUNDS | API_CHANGES,
	 NULL,
	 "case, review",
	 {{"review", API_DATE, true, 0, 0, NULL, "the next review"}, {0}}},
	{"holds.release",
	 "End the hold of the grounds' case: copies of purged days are destroyed",
	 API_GROUNDS | API_CHANGES | API_LONG,
	 NULL,
	 "case, number, destroyed_segments, destroyed_reads",
	 {{0}}},

	{"keys.show",
	 "State of the keyring, its copies, master key and escrow; no key",
	 0,
	 NULL,
	 "generation, keys, kinds, days_destroyed, master_key, master_made, master_age_days, escrow, escrow_made, "
	 "copies_current, copies[]",
	 {{0}}},
	{"keys.rotate",
	 "Make a new master key and destroy the old one",
	 API_CHANGES,
	 NULL,
	 "generation, master_key, master_made",
	 {{"reason", API_STRING, true, REASON, NULL, "why"}, {0}}},
	{"keys.escrow",
	 "Export a key that opens the data directory, sealed to two officers together",
	 API_CHANGES,
	 NULL,
	 "escrow, officers[], sealed",
	 {{"officer_1", API_TEXT, true, 1, CERTIFICATE_SIZE_MAX, NULL, "the first officer's certificate, PEM"},
	  {"officer_2", API_TEXT, true, 1, CERTIFICATE_SIZE_MAX, NULL, "the second officer's"},
	  {"reason", API_STRING, true, REASON, NULL, "why"},
	  {0}}},

	{"audit.show",
	 "Entries of the audit log, bodies opened",
	 API_STREAM | API_GROUNDS | API_LONG,
	 "audit.entries",
	 "count, size",
	 {{"first", API_INTEGER, false, INDEX, NULL, "index of the first; default: the newest `count`"},
	  {"count", API_INTEGER, false, 1, 10000, NULL, "at most so many; default 50"},
	  {"window", API_INTEGER, false, 1, 1000000, NULL, "entries the client takes before it sends credit"},
	  {0}}},
	{"audit.verify",
	 "Recompute the whole log and check its signature",
	 API_LONG,
	 NULL,
	 "size, root, checkpoint, vkey",
	 {{0}}},
	{"audit.export",
	 "Leaves with a proof that is checked offline (R53)",
	 API_STREAM | API_GROUNDS | API_LONG,
	 "audit.leaves",
	 "first, count, size, proof[], checkpoint, vkey",
	 {{"first", API_INTEGER, false, INDEX, NULL, "index of the first; default 0"},
	  {"count", API_INTEGER, false, 1, INT64_MAX, NULL, "at most so many; default: all"},
	  {"window", API_INTEGER, false, 1, 1000000, NULL, "leaves the client takes before it sends credit"},
	  {0}}},

	{"audit.attachment",
	 "What an entry of the log was too small for: lines of a text sealed beside it",
	 API_STREAM | API_GROUNDS | API_LONG,
	 "audit.lines",
	 "count, size",
	 {{"attachment", API_HEX, true, 32, 32, NULL, "its name, as an entry's body gives it"},
	  {"window", API_INTEGER, false, 1, 1000000, NULL, "lines the client takes before it sends credit"},
	  {0}}},

	{"upload.open",
	 "Begin a text that a later request on this connection uses",
	 API_INLINE,
	 NULL,
	 "upload",
	 {{"kind", API_CHOICE, true, 0, 0, upload_kinds, "what it is"}, {0}}},
	{"upload.append",
	 "Add to it",
	 API_INLINE,
	 NULL,
	 "upload, size",
	 {{"upload", API_INTEGER, true, U32, NULL, "from upload.open"},
	  {"text", API_TEXT, true, 0, INT32_MAX, NULL, "the next piece, whole characters"},
	  {0}}},
	{"cancel",
	 "End a request of this connection early",
	 API_INLINE | API_NOTIFY,
	 NULL,
	 "found",
	 {{"id", API_ID, true, 1, 128, NULL, "of the request"}, {0}}},
	{"credit",
	 "Let a stream of this connection send more rows",
	 API_INLINE | API_NOTIFY,
	 NULL,
	 "found",
	 {{"id", API_ID, true, 1, 128, NULL, "of the request"},
	  {"rows", API_INTEGER, true, 1, 1000000, NULL, "so many more"},
	  {0}}},
	{"rpc.discover", "This table", API_INLINE, NULL, "an OpenRPC document", {{0}}},
	{"appliance.stop",
	 "Stop the appliance cleanly",
	 API_CHANGES,
	 NULL,
	 "state",
	 {{"reason", API_STRING, true, REASON, NULL, "why"}, {0}}},
	{0},
};

const struct api_method *api_find(const char *name)
{
	for (const struct api_method *method = api_methods; method->name != NULL; method++)
		if (strcmp(method->name, name) == 0)
			return method;
	return NULL;
}

static const struct api_param *find_in(const struct api_param *params, const char *name)
{
	for (; params->name != NULL; params++)
		if (strcmp(params->name, name) == 0)
			return params;
	return NULL;
}

const struct api_param *api_param_find(const struct api_method *method, const char *name)
{
	const struct api_param *param = find_in(method->params, name);

	if (param == NULL && (method->flags & (API_GROUNDS | API_RETRO)) != 0)
		param = find_in(api_grounds, name);
	return param;
}
