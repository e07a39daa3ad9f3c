/* Every command, as data: which method it calls, what it adds to that method's parameters, how its rows are shown. */
#include "mgmt/ctl/ctl.h"

#include <stddef.h>

static const struct column read_columns[] = {
	{"CAPTURED", "capture"}, {"VRM", "vrm"},   {"CAMERA", "camera"},    {"PLACE", "camera_name"},
	{"FEED", "feed"},        {"LANE", "lane"}, {"DIR", "direction"},    {"CONF", "confidence"},
	{"COUNTRY", "country"},  {"KIND", "kind"}, {"FLAGS", "flags"},      {"IMAGES", "images"},
	{"HITS", "hits"},        {"ID", "id"},     {"RECEIVED", "receipt"}, {NULL, NULL},
};

static const char *const read_fields[] = {
	"id",  "capture", "receipt",    "vrm",  "key",       "kind",    "camera", "camera_name", "position", "lat",
	"lon", "feed",    "confidence", "lane", "direction", "country", "flags",  "images",      NULL,
};

static const struct column segment_columns[] = {
	{"DAY", "day"},         {"SEGMENT", "segment"}, {"SEGMENTS", "segments"},
	{"STATE", "state"},     {"READS", "reads"},     {"COLLAPSED", "collapsed"},
	{"HITS", "hits"},       {"SIZE", "bytes"},      {"B/READ", "bytes_per_read"},
	{"FIRST", "first"},     {"LAST", "last"},       {"MADE OF", "made_of"},
	{"PARENTS", "parents"}, {NULL, NULL},
};

/* Of a subscription of kind sms: time, location and list are all there is. The widths are of hits follow. */
static const struct column hit_columns[] = {
	{"CAPTURED", "read.capture|time", 27},
	{"VRM", "read.vrm|vrm", 8},
	{"LIST", "list_name|list", 16},
	{"PRIORITY", "priority", 8},
	{"KIND", "kind", 8},
	{"PLACE", "read.camera_name|location|read.camera", 32},
	{"ACTION", "action", 16},
	{"REASON", "reason", 20},
	{"OTHER CAMERA", "other_camera", 12},
	{"OTHER TIME", "other_time", 27},
	{"HIT", "number", 18},
	{NULL, NULL},
};

static const struct column hit_search_columns[] = {
	{"CAPTURED", "read.capture"},
	{"VRM", "read.vrm"},
	{"LIST", "list_name|list"},
	{"PRIORITY", "priority"},
	{"KIND", "kind"},
	{"LATE", "late"},
	{"REPEAT", "repeat"},
	{"PLACE", "read.camera_name|read.camera"},
	{"ACTION", "action"},
	{"REASON", "reason"},
	{"OTHER CAMERA", "other_camera"},
	{"OTHER TIME", "other_time"},
	{"FLAGS", "read.flags"},
	{"HIT", "number"},
	{NULL, NULL},
};

/* The thing that an entry is about; no plates, for which its body is there. */
#define AUDIT_WHAT                                                                                                     \
	"body.params.name|body.facts.name|body.name|body.params.subscription|body.params.number|body.params.hits|"     \
	"body.params.feed|"                                                                                            \
	"body.params.camera|body.params.hold|body.params.id|body.params.attachment"

static const struct column audit_columns[] = {
	{"INDEX", "index"},
	{"TIME", "time"},
	{"ACCOUNT", "account"},
	{"VERB", "verb"},
	{"OUTCOME", "outcome"},
	{"OF", "intent"},
	{"WHAT", AUDIT_WHAT},
	{"ADDED", "body.facts.added|body.added"},
	{"REMOVED", "body.facts.removed|body.removed"},
	{"PURPOSE", "body.params.purpose|body.purpose"},
	{"CASE", "body.params.case|body.case"},
	{"REASON", "body.params.reason|body.text"},
	{NULL, NULL},
};

#define GROUNDS "--purpose serious --case C-2026-17 --reason 'robbery, witness saw part of the plate'"

const struct command commands[] = {
	{.words = "status", .method = "status", .examples = "gantryctl status\ngantryctl status --json | jq .totals\n"},
	{.words = "counters", .method = "counters", .examples = "gantryctl counters\n"},

	{.words = "feeds add",
	 .method = "feeds.add",
	 .positional = "feed",
	 .examples = "gantryctl feeds add 7 --name 'North ring' --organisation 'Northshire Police'\n"},
	{.words = "feeds show",
	 .method = "feeds.show",
	 .positional = "feed",
	 .examples = "gantryctl feeds show\ngantryctl feeds show 7\n"},
	{.words = "feeds rotate",
	 .method = "feeds.rotate",
	 .positional = "feed",
	 .examples = "gantryctl feeds rotate 7\n"},
	{.words = "feeds retire",
	 .method = "feeds.retire",
	 .positional = "feed",
	 .examples = "gantryctl feeds retire 7\n"},
	{.words = "feeds remove",
	 .method = "feeds.remove",
	 .positional = "feed",
	 .examples = "gantryctl feeds remove 7\n"},

	{.words = "cameras load",
	 .method = "cameras.load",
	 .takes = TAKES_FILE,
	 .upload_kind = "cameras",
	 .examples = "gantryctl cameras load cameras.csv\ngantryctl cameras load --strict - < cameras.csv\n"},
	{.words = "cameras show",
	 .method = "cameras.show",
	 .positional = "camera",
	 .examples = "gantryctl cameras show --feed 7 --limit 1000\n"},
	{.words = "cameras bind",
	 .method = "cameras.bind",
	 .positional = "feed",
	 .examples = "gantryctl cameras bind 7 --camera 1001 --camera 1002\ngantryctl cameras bind 7 --all\n"},
	{.words = "cameras suspend",
	 .method = "cameras.suspend",
	 .positional = "camera",
	 .examples = "gantryctl cameras suspend 1001 --reason 'clock wrong, not mended for 30 days'\n"},
	{.words = "cameras resume",
	 .method = "cameras.resume",
	 .positional = "camera",
	 .examples = "gantryctl cameras resume 1001 --reason 'mended, report 4711'\n"},

	{.words = "lists load",
	 .method = "lists.load",
	 .takes = TAKES_FILE | TAKES_REPORT,
	 .upload_kind = "list",
	 .run = run_list_load,
	 .examples = "gantryctl lists load stolen.csv --name stolen --priority 80 --list-purpose respond\n"
		     "gantryctl lists load stolen.csv --name stolen --report rejected.csv\n"
		     "gantryctl lists load ring.csv --name ring --owner 'Northshire Police' --tolerance classes"
		     " --subscriber 'Southshire Police' --hour 'mon-fri 07:00-19:00' --circle 51.5074,-0.1278,500\n"
		     "gantryctl lists load stolen.csv --name stolen --retro 30 " GROUNDS "\n"},
	{.words = "lists add",
	 .method = "lists.add",
	 .takes = TAKES_FILE | TAKES_REPORT,
	 .upload_kind = "list",
	 .run = run_list_load,
	 .examples = "gantryctl lists add more.csv --name stolen\n"
		     "printf 'vrm,reason\\nAB12 CDE,robbery\\n' | gantryctl lists add - --name stolen --strict\n"
		     "gantryctl lists add more.csv --name stolen --retro 30 " GROUNDS "\n"},
	{.words = "lists drop",
	 .method = "lists.drop",
	 .takes = TAKES_FILE | TAKES_REPORT,
	 .upload_kind = "list",
	 .run = run_list_load,
	 .examples = "gantryctl lists drop found.csv --name stolen\n"
		     "printf 'vrm\\nAB12 CDE\\n' | gantryctl lists drop - --name stolen --strict\n"},
	{.words = "lists edit",
	 .method = "lists.edit",
	 .positional = "name",
	 .examples = "gantryctl lists edit stolen --priority 90 --suppress-minutes 10 --suppress-scope camera\n"
		     "gantryctl lists edit stolen --hour none --direction approaching\n"},
	{.words = "lists rollback",
	 .method = "lists.rollback",
	 .positional = "name",
	 .examples = "gantryctl lists rollback stolen\n"},
	{.words = "lists versions",
	 .method = "lists.versions",
	 .positional = "name",
	 .examples = "gantryctl lists versions stolen\n"},
	{.words = "lists show",
	 .method = "lists.show",
	 .positional = "name",
	 .run = run_show,
	 .examples = "gantryctl lists show\ngantryctl lists show stolen\n"},
	{.words = "lists check",
	 .method = "lists.check",
	 .positional = "name",
	 .examples = "gantryctl lists check stolen --vrm 'AB12 CDE' " GROUNDS "\n"},
	{.words = "lists preview",
	 .method = "lists.preview",
	 .positional = "vrm",
	 .examples = "gantryctl lists preview 'AB12 CDE' --tolerance substitution " GROUNDS "\n"
		     "gantryctl lists preview 'AB12 CDE' --name crime " GROUNDS "\n"
		     "gantryctl lists preview 'AB12 CDE' --hour 'mon-fri 08:00-18:00' --circle 51.5,-0.12,500 " GROUNDS
		     "\n"},
	{.words = "lists remove",
	 .method = "lists.remove",
	 .positional = "name",
	 .examples = "gantryctl lists remove stolen\n"},

	{.words = "lists retro",
	 .method = "lists.retro",
	 .positional = "name",
	 .examples = "gantryctl lists retro stolen --days 30 " GROUNDS "\n"},
	{.words = "retros show", .method = "retros.show", .examples = "gantryctl retros show\n"},
	{.words = "retros cancel",
	 .method = "retros.cancel",
	 .positional = "number",
	 .examples = "gantryctl retros cancel 117\n"},

	{.words = "hits follow",
	 .method = "hits.follow",
	 .positional = "subscription",
	 .takes = TAKES_FOLLOW,
	 .columns = hit_columns,
	 .run = run_follow,
	 .examples = "gantryctl hits follow control-room " GROUNDS "\n"
		     "gantryctl hits follow control-room --count 10 --for 60 --json " GROUNDS "\n"
		     "gantryctl hits follow control-room --no-ack --json " GROUNDS " | jq -r '.cursor // empty'\n"},
	{.words = "hits ack",
	 .method = "hits.ack",
	 .positional = "subscription",
	 .examples = "gantryctl hits ack control-room --cursor 0001…     # of hits follow --no-ack --json\n"},
	{.words = "subscriptions add",
	 .method = "subscriptions.add",
	 .positional = "name",
	 .examples = "gantryctl subscriptions add control-room --organisation 'Northshire Police'\n"
		     "gantryctl subscriptions add patrol-sms --organisation 'Northshire Police' --uid 1004 --kind sms"
		     " --list stolen\n"},
	{.words = "subscriptions remove",
	 .method = "subscriptions.remove",
	 .positional = "name",
	 .examples = "gantryctl subscriptions remove control-room\n"},
	{.words = "subscriptions show",
	 .method = "subscriptions.show",
	 .positional = "name",
	 .run = run_show,
	 .examples = "gantryctl subscriptions show\ngantryctl subscriptions show control-room\n"},

	{.words = "hits acknowledge",
	 .method = "hits.acknowledge",
	 .positional = "hits",
	 .run = run_hit_step,
	 .examples = "gantryctl hits acknowledge 0-1795368459776060\n"
		     "gantryctl hits acknowledge 0-1795368459776060 0-1795368459776061 1-1795368459776213\n"},
	{.words = "hits assess",
	 .method = "hits.assess",
	 .positional = "hits",
	 .run = run_hit_step,
	 .examples = "gantryctl hits assess 0-1795368459776060 --disposition correct\n"
		     "gantryctl hits assess 0-1795368459776060 --disposition misread --text 'image shows a B, read as"
		     " 8'\n"},
	{.words = "hits respond",
	 .method = "hits.respond",
	 .positional = "hits",
	 .run = run_hit_step,
	 .examples = "gantryctl hits respond 0-1795368459776060 --text 'stopped on the A1, driver arrested'\n"},
	{.words = "hits dismiss",
	 .method = "hits.dismiss",
	 .positional = "hits",
	 .run = run_hit_step,
	 .examples = "gantryctl hits dismiss 0-1795368459776060 --text 'misread, vehicle of another make'\n"},
	{.words = "hits show",
	 .method = "hits.show",
	 .positional = "number",
	 .examples = "gantryctl hits show 0-1795368459776060 " GROUNDS "\n"},
	{.words = "hits open",
	 .method = "hits.open",
	 .examples = "gantryctl hits open\ngantryctl hits open --state unacknowledged --priority-min 90\n"},
	{.words = "hits rates",
	 .method = "hits.rates",
	 .run = run_rates,
	 .examples = "gantryctl hits rates\n"
		     "gantryctl hits rates --by both --from 2026-10-01 --to 2026-10-31 --assessed-min 50 --json\n"},

	{.words = "hits search",
	 .method = "hits.search",
	 .positional = "vrm",
	 .columns = hit_search_columns,
	 .run = run_search,
	 .examples = "gantryctl hits search --from 2026-11-21 --list stolen --priority-min 80 " GROUNDS "\n"
		     "gantryctl hits search 'AB12 CDE' --from 2026-11-01 --kind tolerant --order oldest " GROUNDS "\n"
		     "gantryctl hits search --from 2026-11-21 --to 2026-11-22 --camera 1001 --count " GROUNDS "\n"},

	{.words = "search",
	 .method = "reads.search",
	 .positional = "vrm",
	 .takes = TAKES_COUNT | TAKES_CSV,
	 .columns = read_columns,
	 .fields = read_fields,
	 .run = run_search,
	 .examples = "gantryctl search 'AB1?CDE' --from 2026-11-01 --to 2026-11-08 " GROUNDS "\n"
		     "gantryctl search AB12CDE --tolerant --csv " GROUNDS "\n"
		     "gantryctl search 'AB*' --camera 1001 --camera 1002 --count " GROUNDS "\n"
		     "gantryctl search 'AB*' --circle 51.5074,-0.1278,500 " GROUNDS "\n"
		     "gantryctl search --polygon '51.50,-0.14 51.52,-0.14 51.52,-0.10' --from '2026-11-08 14:00' --to"
		     " '2026-11-08 14:10' " GROUNDS "\n"
		     "gantryctl search 'ab12 CDE' --strict " GROUNDS "\n"
		     "gantryctl search --not-read --camera 1001 " GROUNDS "\n"
		     "gantryctl search --hold C-2026-17 --from 2025-03-01 " GROUNDS "\n"},
	{.words = "consecutive",
	 .method = "reads.consecutive",
	 .positional = "camera",
	 .takes = TAKES_CSV,
	 .columns = read_columns,
	 .fields = read_fields,
	 .run = run_search,
	 .examples =
		 "gantryctl consecutive 1001 --count 250 --from '2026-11-08 12:00' --csv --purpose audit --case EV-9"
		 " --reason 'yearly evaluation' > camera-1001.csv\n"
		 "gantryctl consecutive 1001 --count 50 --before '2026-11-08 22:00' --purpose audit --case EV-9"
		 " --reason 'yearly evaluation, by night'\n"},
	{.words = "segments show",
	 .method = "segments.show",
	 .columns = segment_columns,
	 .run = run_segments,
	 .examples = "gantryctl segments show --day 2026-11-08\n"
		     "gantryctl segments show --from 2026-11-01 --to 2026-11-08 --by-day\n"},

	{.words = "reads erase",
	 .method = "reads.erase",
	 .positional = "id",
	 .examples = "gantryctl reads erase 6f1c…e2 --camera 1001 --captured 2026-11-20T08:15:02.123456Z"
		     " --purpose subject-access --case SAR-7 --reason 'erasure ordered, letter of 12 November'\n"},
	{.words = "reads restrict",
	 .method = "reads.restrict",
	 .positional = "id",
	 .examples = "gantryctl reads restrict 6f1c…e2 --camera 1001 --captured 2026-11-20T08:15:02.123456Z"
		     " --purpose subject-access --case SAR-7 --reason 'accuracy is contested'\n"},
	{.words = "reads unrestrict",
	 .method = "reads.unrestrict",
	 .positional = "id",
	 .examples = "gantryctl reads unrestrict 6f1c…e2 --camera 1001 --captured 2026-11-20T08:15:02.123456Z"
		     " --purpose subject-access --case SAR-7 --reason 'the read was right'\n"},
	{.words = "reads amend",
	 .method = "reads.amend",
	 .positional = "id",
	 .examples = "gantryctl reads amend 6f1c…e2 --camera 1001 --captured 2026-11-20T08:15:02.123456Z --vrm 'AB12 "
		     "CDE' --purpose code-of-ethics --case QA-3 --reason 'image shows a B, read as 8'\n"},

	{.words = "purge plan",
	 .method = "purge.plan",
	 .examples = "gantryctl purge plan\ngantryctl purge plan --day 2025-11-21\n"},
	{.words = "purge run",
	 .method = "purge.run",
	 .positional = "day",
	 .examples = "gantryctl purge run 2025-11-21 --purpose code-of-ethics --case RET-1 --reason 'day 366, room is "
		     "needed now'\n"},
	{.words = "purge propose",
	 .method = "purge.propose",
	 .positional = "day",
	 .examples = "gantryctl purge propose 2026-11-20 --authority 'Data Controller, letter 4711' --purpose "
		     "code-of-ethics --case P-12 --reason 'reads of a day recorded unlawfully'\n"},
	{.words = "purge approve",
	 .method = "purge.approve",
	 .positional = "number",
	 .examples = "gantryctl purge approve 57 --purpose code-of-ethics --case P-12 --reason 'checked with the "
		     "controller'\n"},
	{.words = "purge withdraw",
	 .method = "purge.withdraw",
	 .positional = "number",
	 .examples = "gantryctl purge withdraw 57 --purpose code-of-ethics --case P-12 --reason 'wrong day'\n"},
	{.words = "purge show", .method = "purge.show", .examples = "gantryctl purge show\n"},

	{.words = "holds add",
	 .method = "holds.add",
	 .examples = "gantryctl holds add --class cpia --review 2027-06-01 --vrm 'AB1?CDE' --from 2026-03-01 --to "
		     "2026-04-01 " GROUNDS "\n"
		     "gantryctl holds add --class mopi --review 2027-06-01 --read "
		     "0123456789abcdef0123456789abcdef,1001,2026-03-05T07:12:33.250000Z " GROUNDS "\n"},
	{.words = "holds show",
	 .method = "holds.show",
	 .positional = "hold",
	 .examples = "gantryctl holds show " GROUNDS "\n"},
	{.words = "holds review", .method = "holds.review", .examples = "gantryctl holds review\n"},
	{.words = "holds renew",
	 .method = "holds.renew",
	 .positional = "review",
	 .examples = "gantryctl holds renew 2028-06-01 " GROUNDS "\n"},
	{.words = "holds release", .method = "holds.release", .examples = "gantryctl holds release " GROUNDS "\n"},

	{.words = "keys show", .method = "keys.show", .examples = "gantryctl keys show\n"},
	{.words = "keys rotate-master",
	 .method = "keys.rotate",
	 .positional = "reason",
	 .examples = "gantryctl keys rotate-master 'yearly, K-7'\n"},
	{.words = "keys escrow",
	 .method = "keys.escrow",
	 .takes = TAKES_OFFICERS | TAKES_OUT,
	 .run = run_escrow,
	 .examples =
		 "gantryctl keys escrow --officer first.pem --officer second.pem --out escrow.pem --reason 'K-8'\n"},

	{.words = "audit show",
	 .method = "audit.show",
	 .columns = audit_columns,
	 .examples = "gantryctl audit show --count 20 --purpose audit --case A-3 --reason 'monthly review'\n"},
	{.words = "audit verify",
	 .method = "audit.verify",
	 .takes = TAKES_VERIFY,
	 .run = run_audit_verify,
	 .examples = "gantryctl audit verify\n"
		     "gantryctl audit verify --file november.txt --key auditor.key     # no appliance needed\n"},
	{.words = "audit export",
	 .method = "audit.export",
	 .takes = TAKES_OUT,
	 .run = run_audit_export,
	 .examples = "gantryctl audit export --out november.txt --first 0 --purpose audit --case A-3 --reason 'for the "
		     "ICO'\n"},
	{.words = "audit attachment",
	 .method = "audit.attachment",
	 .positional = "attachment",
	 .takes = TAKES_OUT,
	 .run = run_attachment,
	 .examples = "gantryctl audit attachment 6f1c…e2 --out difference.csv --purpose audit --case A-3 --reason"
		     " 'monthly review'\n"},
	{.words = "audit key",
	 .method = "audit.verify",
	 .run = run_audit_key,
	 .examples = "gantryctl audit key > auditor.key     # once, to be kept away from the appliance\n"},

	{.words = "api",
	 .takes = TAKES_MARKDOWN,
	 .run = run_api,
	 .examples = "gantryctl api\ngantryctl api --json\ngantryctl api --markdown\n"},
	{.words = "stop",
	 .method = "appliance.stop",
	 .positional = "reason",
	 .examples = "gantryctl stop 'kernel update'\n"},
	{0},
};
