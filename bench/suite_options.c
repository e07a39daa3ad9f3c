#include "bench/suite_options.h"

#include <errno.h>
#include <sched.h>
#include <stddef.h>
#include <string.h>

#include "bench/fleet.h"
#include "bench/option_table.h"
#include "bench/suite_appliance.h"
#include "bench/suite_query.h"

#define AT(field) offsetof(struct suite_options, field)
#define ANY UINT64_MAX
#define VEHICLES_MIN 1000
#define READS_MAX UINT64_C(4000000000) /* a segment's rows */

/* What a read may need on disk while a day is merged, and what keyring, catalog and journals need beside. */
#define SEGMENT_BYTES_READ 20
#define MATCH_BYTES_ROW UINT64_C(400) /* of a list: its versions as text and sealed, what they differ in */
#define JOURNAL_BYTES_READ 72
#define HIT_BYTES_READ 24 /* four in ten reads hit: in journal and segment */
#define BESIDE_BYTES (UINT64_C(256) << 20)

static const struct option_row rows[] = {
	{"data", "DIR", OPTION_STRING, AT(data), 0, 0,
	 "work here; search uses again what it finds (a fresh directory under $TMPDIR or here)"},
	{"keep", NULL, OPTION_FLAG, AT(keep), 0, 0, "leave the directory; one that --data found is always left"},
	{"seed", "N", OPTION_U64, AT(seed), 0, ANY, "of fleet and questions (1)"},
	{"quick", NULL, OPTION_FLAG, AT(quick), 0, 0, "at the smaller scale shown above"},
	{"json", NULL, OPTION_FLAG, AT(json), 0, 0, "the result as one JSON object on standard output"},
	{"day-reads", "N", OPTION_U64, AT(day_reads), 1000, READS_MAX, "reads of the full day (40,000,000)"},
	{"year-reads", "N", OPTION_U64, AT(year_reads), 1000, READS_MAX,
	 "search: reads of every other day of the year (4,100,000)"},
	{"days", "N", OPTION_U32, AT(days), 1, 366, "search: days of the year, the full one included (365)"},
	{"cameras", "N", OPTION_U32, AT(cameras), SUITE_SCENE_CAMERAS, CAMERAS_MAX, "of the fleet (18,000)"},
	{"vehicles", "N", OPTION_U32, AT(vehicles), VEHICLES_MIN, POPULATION_MAX,
	 "that pass them (2,000,000; --quick: a twentieth of --day-reads)"},
	{"feeds", "N", OPTION_U32, AT(feeds), 1, FLEET_FEEDS_MAX, "that the cameras share (45)"},
	{"threads", "N", OPTION_U32, AT(threads), 1, 64, "that make the year (as many as there are cores)"},
	{"piece", "N", OPTION_U32, AT(piece_reads), 4096, 1 << 28,
	 "storage: reads sealed at a time (2,000,000: a journal file of 128 MiB)"},
	{"ingest", "S", OPTION_U32, AT(ingest_s), 0, 3600,
	 "storage: seconds of sealing beside ingest, then as long with searches too; 0 none (20)"},
	{"rate", "N", OPTION_U32, AT(ingest_rate), 1000, 100000000,
	 "storage: reads a second of that; hits: of its busy traffic (1,000,000)"},
	{"seconds", "S", OPTION_U32, AT(hits_s), 1, 3600, "hits: of each traffic (20)"},
	{"unsealed", "N", OPTION_U64, AT(unsealed), 1000, READS_MAX,
	 "recovery: reads in the journals (10,000,000, then as many as the memtable takes)"},
	{"memtable", "MIB", OPTION_U32, AT(memtable_mib), 32, 1048576,
	 "recovery, storage: memtable_bytes_max (a quarter of the machine's memory, 2 GiB at most)"},
	{"mass", "N", OPTION_U32, AT(mass), 1000, 5000000, "match: entries of the mass list (1,000,000)"},
	{"literals", "N", OPTION_U32, AT(literals), 1000, 1000000, "match: other exact entries (100,000)"},
	{"patterns", "N", OPTION_U32, AT(patterns), 10, 30000, "match: partial VRMs beside them (1,000)"},
	{"many", "N", OPTION_U32, AT(many), 10, 100000, "match: partial VRMs alone (30,000)"},
	{"clones", "N", OPTION_U32, AT(planted), 1, 1000000, "clones: vehicles with another's plate (1,000)"},
	{"repeat", "N", OPTION_U32, AT(repeat), 1, SUITE_QUERIES, "search: questions of each kind (8)"},
	{"cold", "HOW", OPTION_STRING, AT(cold), 0, 0,
	 "drop: empty the machine's page cache; advise: posix_fadvise on every file (drop if allowed)"},
	{"measure", NULL, OPTION_FLAG, AT(measure), 0, 0,
	 "search: what each fresh process is started with; its question comes on standard input"},
};

static const struct option_table table = {"gantry-bench", rows, sizeof(rows) / sizeof(rows[0])};

static const char *const commands[SUITE_COMMANDS] = {"storage", "search", "recovery", "match", "clones", "hits"};

void suite_options_help(FILE *out)
{
	fputs("gantry-bench: what a capacity planner asks of this machine\n\n"
	      "usage: gantry-bench storage|search|recovery|match|clones|hits [options]\n\n"
	      "  storage    seals a national day (40 M reads, piece by piece, then merged): bytes a read by column\n"
	      "             beside their entropy, speed of sealing, merging and decoding, sealing beside ingest\n"
	      "             with and without a heavy search.\n"
	      "             Writes 1.3 GB and takes about 3 minutes; --quick: 2 M reads, 0.3 GB.\n"
	      "  search     makes a year of 365 days (4.1 M reads each, the newest one 40 M: 1.53 G reads) and asks "
	      "it\n"
	      "             from fresh processes with an empty page cache, then again. Writes up to 31 GB and takes\n"
	      "             about 15 minutes; --quick: 365 days of 10,000 reads, the newest one 1 M, 0.4 GB.\n"
	      "  recovery   leaves 10 M reads unsealed in journals by ending a process without closing anything, and\n"
	      "             times the next start; then as many as the memtable takes. Writes up to 3 GB, takes about\n"
	      "             a minute; --quick: 1 M reads, 0.4 GB.\n"
	      "  match      matches the fleet's reads on one core against a million exact entries, 100,000 others and\n"
	      "             1,000 partial VRMs, and 30,000 partial ones alone; beside a hash set, PCRE2 and RE2; then\n"
	      "             changes lists under load, and replaces the mass list through gantryctl and a gantryd of\n"
	      "             its own, where they lie beside this program. That writes 0.9 GB; the rest nothing. About\n"
	      "             50 s, with --quick or without.\n"
	      "  clones     plants clones among vehicles that drive, holds a day's reads (40 M) against their last\n"
	      "             sightings, and tells which clones were found, what was found wrongly, and what a read\n"
	      "             costs. Writes nothing; about 3 minutes; --quick: 2 M reads, 10 s.\n\n"
	      "  hits       follows hits through a whole appliance, from the receipt of their read to a subscriber's\n"
	      "             socket: at 5,000 reads/s, at a million, and at a million of which 42 % hit a mass list;\n"
	      "             then tells how far the mass list's subscriber was behind and whether all was told.\n"
	      "             Writes up to 9 GB and takes about 3 minutes; --quick: 5 s of each, 3 GB, a minute.\n\n"
	      "examples:\n"
	      "  gantry-bench storage --quick\n"
	      "  gantry-bench search --data /srv/year --keep    # the year stays, and is asked again without --keep\n"
	      "  gantry-bench recovery --unsealed 5000000\n\n"
	      "options (defaults in brackets):\n",
	      out);
	option_table_help(&table, out);
	fputs("\nReads are synthetic, made from the seed as gantry-load makes them: the same seed gives the same "
	      "reads.\n"
	      "Every answer is compared with what the generator knows. bytes a read: segment file, catalog and both\n"
	      "keyring copies over the reads kept. entropy: what a perfect coder would need with a simple model of\n"
	      "each column (each key once, by what it shares with the one before; times by their distances; what\n"
	      "hangs on the camera given the camera): a floor under what the format codes, each field taken by\n"
	      "itself; bench/suite_entropy.h has it column by column. Cold: each question in a "
	      "fresh\n"
	      "process after the page cache was emptied; its clock starts when keyring and catalog are open.\n\n"
	      "exit status: 0 done; 1 an answer was wrong, or an error; 2 usage; 3 no room on the disk.\n",
	      out);
}

static unsigned cores(void)
{
	cpu_set_t set;

	return sched_getaffinity(0, sizeof(set), &set) == 0 ? (unsigned)CPU_COUNT(&set) : 1;
}

/* What the command line leaves open. */
static void complete(struct suite_options *options)
{
	bool quick = options->quick;

	if (options->day_reads == 0)
		options->day_reads = !quick                                                                  ? 40000000
				     : options->command == SUITE_STORAGE || options->command == SUITE_CLONES ? 2000000
													     : 1000000;
	/* Twenty sightings a vehicle and day, as on the full scale: the dictionary's share hangs on it. */
	if (options->command == SUITE_HITS) {
		options->feeds = SUITE_APPLIANCE_FEEDS;
		if (options->vehicles == 0)
			options->vehicles = 1000000;
		if (options->hits_s == 0)
			options->hits_s = quick ? 5 : 20;
	}
	if (options->vehicles == 0)
		options->vehicles =
			!quick || options->command == SUITE_MATCH ? 2000000 : (uint32_t)(options->day_reads / 20);
	if (options->vehicles < VEHICLES_MIN)
		options->vehicles = VEHICLES_MIN;
	if (options->year_reads == 0)
		options->year_reads = quick ? 10000 : 4100000;
	if (options->unsealed == 0)
		options->unsealed = quick ? 1000000 : 10000000;
	if (options->ingest_s == UINT32_MAX)
		options->ingest_s = quick ? 4 : 20;
	if (options->repeat == 0)
		options->repeat = quick ? 5 : SUITE_QUERIES;
	if (options->piece_reads == 0)
		options->piece_reads = quick ? 500000 : 2000000;
	if (options->mass == 0)
		options->mass = 1000000;
	if (options->literals == 0)
		options->literals = 100000;
	if (options->patterns == 0)
		options->patterns = 1000;
	if (options->many == 0)
		options->many = 30000;
	if (options->planted == 0)
		options->planted = options->vehicles / 4 < 1000 ? options->vehicles / 4 : 1000;
	if (options->command == SUITE_CLONES)
		options->feeds = 1; /* a vehicle passes the cameras of many: one sender makes them all */
	if (options->threads == 0)
		options->threads = cores();
}

static int cold_choose(struct suite_options *options, struct err *err)
{
	options->cache = SUITE_CACHE_AUTO;
	if (options->cold == NULL)
		return 0;
	if (strcmp(options->cold, "drop") == 0)
		options->cache = SUITE_CACHE_DROP;
	else if (strcmp(options->cold, "advise") == 0)
		options->cache = SUITE_CACHE_ADVISE;
	else
		return err_set(err, -EINVAL, "--cold %s: must be drop or advise", options->cold);
	return 0;
}

static int command_find(const char *name, struct suite_options *options, struct err *err)
{
	for (unsigned i = 0; i < SUITE_COMMANDS; i++) {
		if (strcmp(commands[i], name) == 0) {
			options->command = (enum suite_command)i;
			return 0;
		}
	}
	return err_set(err, -EINVAL, "unknown command %s: see gantry-bench --help", name);
}

int suite_options_parse(int argc, char **argv, struct suite_options *ret_options, struct err *err)
{
	struct suite_options options = {
		.seed = 1, .days = 365, .cameras = 18000, .feeds = 45, .ingest_s = UINT32_MAX, .ingest_rate = 1000000};
	int r;

	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) {
			suite_options_help(stdout);
			return 1;
		}
	}
	if (argc < 2)
		return err_set(err, -EINVAL, "no command given: see gantry-bench --help");
	r = command_find(argv[1], &options, err);
	for (int i = 2; r == 0 && i < argc; i++) {
		if (strncmp(argv[i], "--", 2) != 0)
			r = err_set(err, -EINVAL, "%s: not expected here: see gantry-bench --help", argv[i]);
		else
			r = option_table_parse(&table, argc, argv, &i, &options, err);
	}
	if (r == 0)
		r = cold_choose(&options, err);
	if (r == 0 && options.measure && (options.command != SUITE_SEARCH || options.data == NULL))
		r = err_set(err, -EINVAL, "--measure belongs to search --data DIR");
	if (r < 0)
		return r;
	complete(&options);
	*ret_options = options;
	return 0;
}

uint64_t suite_options_bytes(const struct suite_options *options)
{
	uint64_t day = options->day_reads * SEGMENT_BYTES_READ;
	uint64_t year = (options->days - 1) * options->year_reads * SEGMENT_BYTES_READ;
	uint64_t unsealed = options->unsealed * JOURNAL_BYTES_READ;
	uint64_t ingest = (uint64_t)options->ingest_s * options->ingest_rate * SEGMENT_BYTES_READ;

	switch (options->command) {
	case SUITE_SEARCH:
		return BESIDE_BYTES + year + 2 * day;
	case SUITE_MATCH:
		return 2 * BESIDE_BYTES + options->mass * MATCH_BYTES_ROW;
	case SUITE_CLONES:
		return 0;
	case SUITE_HITS: /* a traffic at a time: journals, and what is sealed of them meanwhile */
		return BESIDE_BYTES + (uint64_t)options->hits_s * options->ingest_rate *
					      (JOURNAL_BYTES_READ + SEGMENT_BYTES_READ + HIT_BYTES_READ);
	case SUITE_RECOVERY:
		return 2 * BESIDE_BYTES + 2 * unsealed;
	default:
		return 2 * BESIDE_BYTES + (2 * day > ingest ? 2 * day : ingest);
	}
}
