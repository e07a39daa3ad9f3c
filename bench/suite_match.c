/*
 * gantry-bench match: how fast reads are matched, against which lists, and how soon lists that change are matched.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "appliance/base/clock.h"
#include "appliance/base/glob.h"
#include "bench/suite_commands.h"
#include "bench/suite_match_delta.h"
#include "bench/suite_match_socket.h"
#include "bench/suite_match_world.h"
#include "bench/suite_options.h"
#include "bench/suite_report.h"
#include "bench/suite_rivals.h"
#include "matcher/hscompile.h"
#include "matcher/list.h"
#include "matcher/matchset.h"

#define PASSES 7
#define BURST_LARGE 896 /* 32 datagrams of 28: what a worker meets under load */
#define BURST_SMALL 64
#define HITS_ROOM (4 * BURST_LARGE)
#define SAMPLE_EVEN 150
#define SAMPLE_HITS 100
#define RIVAL_SECONDS 1.0

struct bench {
	const struct suite_options *options;
	struct match_world world;
	struct hscompile compile;
	char program[HSCOMPILE_PATH_SIZE];
	json_t *report;
	uint64_t wrong;
	struct err *err;
};

/* What a pass over all reads found. */
struct passes {
	double vrms_per_s; /* the middle of PASSES */
	double best;
	uint64_t hits;
	uint64_t mass_hits;
};

static int pass(const struct bench *bench, const struct matchset *set, struct match_scratch *scratch, size_t burst,
		struct hit *hits, struct passes *passes)
{
	const struct match_world *world = &bench->world;

	passes->hits = 0;
	passes->mass_hits = 0;
	for (size_t at = 0; at < world->read_count; at += burst) {
		size_t left = world->read_count - at, count = left < burst ? left : burst, got;
		struct match_cursor cursor = {0};
		int status;

		do {
			status = match_burst(set, scratch, world->reads + at, count, &cursor, hits, HITS_ROOM, &got);
			if (status < 0)
				return status;
			passes->hits += got;
			for (size_t i = 0; i < got; i++)
				passes->mass_hits += hits[i].list == 1 + WORLD_MASS;
		} while (status == MATCH_MORE);
	}
	return 0;
}

static int measure(const struct bench *bench, const struct matchset *set, size_t burst, struct passes *ret_passes)
{
	struct match_scratch *scratch;
	struct hit *hits = malloc(HITS_ROOM * sizeof(*hits));
	double rates[PASSES];
	int status = hits == NULL ? -ENOMEM : match_scratch_new(set, &scratch);

	if (status < 0) {
		free(hits);
		return status;
	}
	for (int i = 0; i < PASSES && status == 0; i++) {
		int64_t started_ns = clock_mono_ns();

		status = pass(bench, set, scratch, burst, hits, ret_passes);
		rates[i] = (double)bench->world.read_count * 1e9 / (double)(clock_mono_ns() - started_ns);
	}
	if (status == 0) {
		struct suite_spread spread = suite_spread_of(rates, PASSES);

		ret_passes->vrms_per_s = spread.median;
		ret_passes->best = spread.max;
	}
	match_scratch_free(scratch);
	free(hits);
	return status;
}

static int base_make(struct bench *bench, const struct list *const *lists, size_t count, uint32_t mass_entries_min,
		     struct matchbase **ret_base)
{
	const struct matchbase_options options = {.limits = {.mass_entries_min = mass_entries_min,
							     .literals_max = UINT32_MAX,
							     .patterns_max = UINT32_MAX},
						  .compile = bench->program[0] != '\0' ? &bench->compile : NULL};

	return matchbase_new(lists, count, &options, bench->err, ret_base);
}

/* One row of the table: lists, and where their entries lie. base NULL: all of it as a delta. */
static int row_add(struct bench *bench, json_t *rows, const char *name, const struct list *const *lists, size_t count,
		   struct matchbase *base, double build_ms, struct passes *ret_passes)
{
	const struct match_limits limits = {.patterns_max = UINT32_MAX};
	int64_t started_ns = clock_mono_ns();
	struct passes small;
	struct matchset *set;
	json_t *row;
	int status = matchset_new(lists, count, base, &limits, bench->err, &set);

	if (status < 0)
		return status;
	if (base == NULL)
		build_ms = (double)(clock_mono_ns() - started_ns) / 1e6;
	status = measure(bench, set, BURST_SMALL, &small);
	if (status == 0)
		status = measure(bench, set, BURST_LARGE, ret_passes);
	(void)matchset_free(set);
	if (status < 0)
		return status;
	row = json_object();
	suite_report_text(row, "lists", name);
	suite_report_real(row, "vrms_per_s", ret_passes->vrms_per_s);
	suite_report_real(row, "best", ret_passes->best);
	suite_report_real(row, "bursts_of_64", small.vrms_per_s);
	suite_report_real(row, "build_ms", build_ms);
	suite_report_integer(row, "hits", (long long)ret_passes->hits);
	(void)json_array_append_new(rows, row);
	return 0;
}

static int row_base(struct bench *bench, json_t *rows, const char *name, const struct list *const *lists, size_t count,
		    uint32_t mass_entries_min, struct passes *ret_passes)
{
	int64_t started_ns = clock_mono_ns();
	struct matchbase *base;
	int status = base_make(bench, lists, count, mass_entries_min, &base);

	if (status < 0)
		return status;
	fprintf(stderr, "match: %s\n", name);
	status = row_add(bench, rows, name, lists, count, base, (double)(clock_mono_ns() - started_ns) / 1e6,
			 ret_passes);
	(void)matchbase_free(base);
	return status;
}

static int tiers_run(struct bench *bench)
{
	const struct list *const *lists = bench->world.lists;
	json_t *rows = json_array();
	struct passes all, other;
	int status;

	(void)json_object_set_new(bench->report, "tiers", rows);
	status = row_base(bench, rows, "all", lists, 3, 0, &all);
	if (status == 0)
		status = row_base(bench, rows, "all,hyperscan", lists, 3, list_count(lists[WORLD_MASS]), &other);
	if (status == 0)
		status = row_base(bench, rows, "mass", lists + WORLD_MASS, 1, 0, &other);
	if (status == 0)
		status = row_base(bench, rows, "literals", lists + WORLD_LITERALS, 1, 0, &other);
	if (status == 0)
		status = row_base(bench, rows, "lit.,hyperscan", lists + WORLD_LITERALS, 1, UINT32_MAX, &other);
	if (status == 0)
		status = row_base(bench, rows, "patterns", lists + WORLD_PATTERNS, 1, 0, &other);
	if (status == 0)
		status = row_add(bench, rows, "patterns,delta", lists + WORLD_PATTERNS, 1, NULL, 0, &other);
	if (status == 0)
		status = row_add(bench, rows, "many,delta", lists + WORLD_MANY, 1, NULL, 0, &other);
	if (status == 0)
		status = row_base(bench, rows, "many", lists + WORLD_MANY, 1, 0, &other);
	if (status < 0)
		return status;
	suite_report_real(bench->report, "vrms_per_s", all.vrms_per_s);
	suite_report_real(bench->report, "patterns_30k_vrms_per_s", other.vrms_per_s);
	suite_report_real(bench->report, "mass_hits_percent",
			  100.0 * (double)all.mass_hits / (double)bench->world.read_count);
	suite_report_real(bench->report, "other_hits_percent",
			  100.0 * (double)(all.hits - all.mass_hits) / (double)bench->world.read_count);
	return 0;
}

static void rival_add(json_t *rows, const char *name, int status, const struct rival_result *result)
{
	json_t *row = json_object();

	suite_report_text(row, "instead", name);
	suite_report_real(row, "vrms_per_s", status == 0 ? result->vrms_per_s : 0.0 / 0.0);
	suite_report_real(row, "build_ms", status == 0 ? result->build_ms : 0.0 / 0.0);
	suite_report_text(row, "note",
			  status == 0          ? ""
			  : status == -ENOTSUP ? "not built in"
			  : status == -EINVAL  ? "refuses the patterns"
					       : "out of memory");
	(void)json_array_append_new(rows, row);
}

static void rivals_run(struct bench *bench)
{
	const struct match_world *world = &bench->world;
	json_t *rows = json_array();
	struct rival_result result;

	fprintf(stderr, "match: what one would use instead\n");
	rival_add(rows, "hash set, exact",
		  rival_hash_set(world->lists, 2, world->reads, world->read_count, RIVAL_SECONDS, &result), &result);
	rival_add(rows, "PCRE2, patterns",
		  rival_pcre2(world->lists[WORLD_PATTERNS], world->reads, world->read_count, RIVAL_SECONDS, &result),
		  &result);
	rival_add(rows, "RE2, patterns",
		  rival_re2(world->lists[WORLD_PATTERNS], world->reads, world->read_count, RIVAL_SECONDS, &result),
		  &result);
	rival_add(rows, "PCRE2, many",
		  rival_pcre2(world->lists[WORLD_MANY], world->reads, world->read_count, RIVAL_SECONDS, &result),
		  &result);
	rival_add(rows, "RE2, many",
		  rival_re2(world->lists[WORLD_MANY], world->reads, world->read_count, RIVAL_SECONDS, &result),
		  &result);
	(void)json_object_set_new(bench->report, "instead", rows);
}

/* ---- answers */

/* How many entries of a list hit a key, by looking at each of them. */
static uint64_t plain_hits(const struct list *list, const uint8_t key[READ_TEXT_SIZE])
{
	uint64_t hits = 0;

	for (uint32_t i = 0; i < list_count(list); i++) {
		struct list_entry entry;
		struct glob glob;

		list_entry(list, i, &entry);
		if ((entry.flags & LIST_FLAG_WILDCARD) == 0)
			hits += strncmp(entry.pattern, (const char *)key, READ_TEXT_SIZE) == 0;
		else
			hits += glob_compile(entry.pattern, strlen(entry.pattern), &glob) == 0 &&
				glob_match(&glob, key);
	}
	return hits;
}

static int read_check(struct bench *bench, const struct matchset *set, struct match_scratch *scratch,
		      const struct read *read, uint64_t *checked_hits)
{
	struct match_cursor cursor = {0};
	struct hit hits[256];
	uint64_t plain = 0;
	size_t got;
	int status = match_burst(set, scratch, read, 1, &cursor, hits, 256, &got);

	if (status < 0)
		return status;
	for (int i = 0; i < 3; i++)
		plain += plain_hits(bench->world.lists[i], read->key);
	bench->wrong += status == MATCH_MORE || plain != got;
	*checked_hits += got;
	return 0;
}

static bool read_hits(const struct matchset *set, struct match_scratch *scratch, const struct read *read)
{
	struct match_cursor cursor = {0};
	struct hit hit;
	size_t got = 0;

	return match_burst(set, scratch, read, 1, &cursor, &hit, 1, &got) >= 0 && got > 0;
}

/* Reads evenly over all of them, whatever they hit, and the first ones that do hit; each against every entry. */
static int answers_check(struct bench *bench, struct matchbase *base)
{
	const struct match_world *world = &bench->world;
	uint64_t checked = 0, checked_hits = 0;
	struct match_scratch *scratch;
	struct matchset *set;
	int status = matchset_new(world->lists, 3, base, NULL, bench->err, &set);

	if (status < 0)
		return status;
	status = match_scratch_new(set, &scratch);
	for (size_t i = 0; i < SAMPLE_EVEN && status == 0; i++, checked++)
		status = read_check(bench, set, scratch, &world->reads[i * (world->read_count / SAMPLE_EVEN)],
				    &checked_hits);
	for (size_t i = 0, hitting = 0; status == 0 && i < world->read_count && hitting < SAMPLE_HITS; i++) {
		if (!read_hits(set, scratch, &world->reads[i]))
			continue;
		hitting++;
		checked++;
		status = read_check(bench, set, scratch, &world->reads[i], &checked_hits);
	}
	suite_report_integer(bench->report, "reads_checked", (long long)checked);
	suite_report_integer(bench->report, "hits_checked", (long long)checked_hits);
	(void)match_scratch_free(scratch);
	(void)matchset_free(set);
	return status;
}

static int moving_run(struct bench *bench)
{
	struct match_delta delta;
	struct matchbase *base;
	int status = base_make(bench, bench->world.lists, 3, 0, &base);

	if (status < 0)
		return status;
	fprintf(stderr, "match: answers checked, then lists that change under load\n");
	status = answers_check(bench, base);
	if (status == 0)
		status = match_delta_run(&bench->world, base, bench->options, bench->err, &delta);
	(void)matchbase_free(base);
	if (status < 0)
		return status;
	suite_report_real(bench->report, "delta_alarm_p50_ms", delta.alarm_p50_ms);
	suite_report_real(bench->report, "delta_alarm_p99_ms", delta.alarm_p99_ms);
	suite_report_real(bench->report, "delta_alarm_max_ms", delta.alarm_max_ms);
	suite_report_real(bench->report, "delta_reads_per_s", delta.rate);
	suite_report_real(bench->report, "mass_parse_ms", delta.mass_parse_ms);
	suite_report_real(bench->report, "mass_replace_ms", delta.mass_replace_ms);
	suite_report_real(bench->report, "mass_fold_ms", delta.mass_fold_ms);
	suite_report_real(bench->report, "restart_ms", delta.restart_ms);
	bench->wrong += delta.wrong;
	return 0;
}

/* Where the programs are missing, or there is no room, the other figures stand. */
static void socket_run(struct bench *bench)
{
	struct match_socket socket = {0.0 / 0.0, 0.0 / 0.0};
	struct err err = {""};

	fprintf(stderr, "match: the mass list replaced through gantryctl and a gantryd of its own\n");
	if (match_socket_run(&bench->world, bench->options, &err, &socket) < 0)
		fprintf(stderr, "match: not measured: %s\n", err.text);
	suite_report_real(bench->report, "mass_replace_socket_ms", socket.replace_ms);
	suite_report_real(bench->report, "mass_replace_status_ms", socket.status_ms);
}

int suite_match(const struct suite_options *options, int *ret_status, struct err *err)
{
	struct bench bench = {.options = options, .err = err, .report = suite_report_new(options, ".")};
	json_t *scale = json_object_get(bench.report, "scale");
	int status;

	fprintf(stderr, "match: making reads and lists\n");
	if (hscompile_find(bench.program) == 0)
		bench.compile.program = bench.program;
	status = match_world_init(&bench.world, options, err);
	for (int i = 0; i < WORLD_LISTS && status == 0; i++) {
		static const char *const names[WORLD_LISTS] = {"mass", "literals", "patterns", "many"};

		suite_report_integer(scale, names[i], list_count(bench.world.lists[i]));
	}
	if (status == 0)
		status = tiers_run(&bench);
	if (status == 0)
		rivals_run(&bench);
	if (status == 0)
		status = moving_run(&bench);
	if (status == 0)
		socket_run(&bench);
	match_world_fini(&bench.world);
	if (status == 0) {
		suite_report_integer(bench.report, "wrong", (long long)bench.wrong);
		status = suite_report_print(bench.report, options->json);
		*ret_status = bench.wrong > 0;
	}
	json_decref(bench.report);
	return status;
}
