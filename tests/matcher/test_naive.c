/*
 * Every way in which an entry may meet a read, against a matcher as naive as can be: it goes from the rows as they were
 * written and the texts as they were received, has its own keys, patterns, misread classes and files, and shares no
 * line with what it judges. Lists are loaded, added to, dropped from, restated and replaced; sets stand on bases of
 * earlier moments or on none, with mass tables or with Hyperscan's literals.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "appliance/base/err.h"
#include "appliance/base/prng.h"
#include "appliance/base/read.h"
#include "matcher/list.h"
#include "matcher/list_edit.h"
#include "matcher/matchset.h"
#include "matcher/vrm.h"
#include "tests/check.h"

enum {
	LISTS = 3,
	ROWS = 400,
	LIVING_MAX = 150,
	READS = 64,
	TURNS = 3,
	TURNS_MAX = 100,
	EDITS = 12,
	BURSTS = 1,
	HITS = 4096
};

/* What a row says, by the words of docs/management-socket.md. */
struct row {
	char vrm[40];
	char key[40]; /* upper case, nothing but letters and digits, O and I as digits; with ? and * left in */
	bool wild;
	char tolerant; /* 'y', 'n' or '-' */
	bool as_received;
	bool expires; /* two seconds after 1970 */
	bool living;
};

struct naive_list {
	uint32_t id, version, generation;
	enum list_tolerance tolerance;
	struct row rows[ROWS]; /* a row's number stands in its reason */
	uint32_t row_count, living;
	struct list *list;
};

/* By what an entry met a read; each has to happen. */
enum way {
	WAY_EXACT,
	WAY_EXPIRED, /* and so did not */
	WAY_REMOVED,
	WAY_PATTERN,
	WAY_AS_RECEIVED,
	WAY_NOT_AS_RECEIVED,
	WAY_EXACT_ONLY, /* the row said no */
	WAY_SUBSTITUTION,
	WAY_H_FOR_11,
	WAY_CLASS, /* and one more for each further class */
	WAY_COUNT = WAY_CLASS + 6
};
static unsigned ways[WAY_COUNT];

static const char *const classes[6] = {"0DQ", "1", "2Z", "5S", "8B", "6G"}; /* O and I are digits already */

static struct err err;

/* ---- naive */

/* Of a run of wildcards, as many `?` as it has and then one `*` if it has any: that says the same. */
static void runs_settle(char *key)
{
	char *to = key;

	while (*key != '\0') {
		bool any = false;

		for (; *key == '?' || *key == '*'; key++) {
			any = any || *key == '*';
			if (*key == '?')
				*to++ = '?';
		}
		if (any)
			*to++ = '*';
		else if (*key != '\0')
			*to++ = *key++;
	}
	*to = '\0';
}

static void naive_key(const char *text, char key[40])
{
	char *at = key;

	for (; *text != '\0'; text++) {
		if (strncmp(text, "\xc3\x84", 2) == 0) /* A with two dots */
			*at++ = 'A';
		else if (*text >= 'a' && *text <= 'z')
			*at++ = (char)(*text - 'a' + 'A');
		else if ((*text >= 'A' && *text <= 'Z') || (*text >= '0' && *text <= '9') || *text == '?' ||
			 *text == '*')
			*at++ = *text;
		if (at > key && at[-1] == 'O')
			at[-1] = '0';
		if (at > key && at[-1] == 'I')
			at[-1] = '1';
	}
	*at = '\0';
	runs_settle(key);
}

static bool naive_glob(const char *pattern, const char *text)
{
	if (*pattern == '\0')
		return *text == '\0';
	if (*pattern == '*')
		return naive_glob(pattern + 1, text) || (*text != '\0' && naive_glob(pattern, text + 1));
	return *text != '\0' && (*pattern == '?' || *pattern == *text) && naive_glob(pattern + 1, text + 1);
}

static int class_of(char c)
{
	for (int i = 0; i < 6; i++)
		if (strchr(classes[i], c) != NULL)
			return i;
	return -1;
}

static void written_out(const char *key, char out[80])
{
	for (; *key != '\0'; key++) {
		int class = class_of(*key);

		*out++ = *key == 'H' ? '1' : class >= 0 ? classes[class][0] : *key;
		if (*key == 'H')
			*out++ = '1';
	}
	*out = '\0';
}

static bool naive_alike(const char *a, const char *b)
{
	char x[80], y[80];

	written_out(a, x);
	written_out(b, y);
	return strcmp(x, y) == 0;
}

static unsigned places_that_differ(const char *a, const char *b)
{
	unsigned count = 0;

	for (; *a != '\0'; a++, b++)
		count += *a != *b;
	return count;
}

static bool naive_substituted(const char *a, const char *b)
{
	return strlen(a) == strlen(b) && strlen(a) >= 5 && strlen(a) <= 11 && places_that_differ(a, b) == 1;
}

/* Which ways a misread went, for the tally. */
static void note_misread(const char *a, const char *b)
{
	ways[WAY_H_FOR_11] += strlen(a) != strlen(b);
	if (strlen(a) != strlen(b))
		return;
	for (; *a != '\0'; a++, b++)
		if (*a != *b && class_of(*a) >= 0 && class_of(*a) == class_of(*b))
			ways[WAY_CLASS + class_of(*a)]++;
}

/* Both exact, keys differ. */
static bool naive_tolerates(const struct naive_list *list, const struct row *row, const char *key)
{
	bool alike = naive_alike(row->key, key);

	if (row->as_received || row->tolerant == 'n') {
		ways[WAY_EXACT_ONLY] += alike && row->tolerant == 'n' && list->tolerance != LIST_TOLERANCE_OFF;
		return false;
	}
	if (list->tolerance == LIST_TOLERANCE_SUBSTITUTION && !alike && naive_substituted(row->key, key)) {
		ways[WAY_SUBSTITUTION]++;
		return true;
	}
	if (!alike || (list->tolerance == LIST_TOLERANCE_OFF && row->tolerant != 'y'))
		return false;
	note_misread(row->key, key);
	return true;
}

/* Would it, were the row in force? 0: no; else 1 + the kind. */
static unsigned naive_meets(const struct naive_list *list, const struct row *row, const char *text, const char *key)
{
	if (row->wild)
		return naive_glob(row->key, key) ? 1 + HIT_PATTERN : 0;
	if (strcmp(row->key, key) != 0)
		return naive_tolerates(list, row, key) ? 1 + HIT_TOLERANT : 0;
	if (row->as_received)
		ways[strcmp(row->vrm, text) == 0 ? WAY_AS_RECEIVED : WAY_NOT_AS_RECEIVED]++;
	return !row->as_received || strcmp(row->vrm, text) == 0 ? 1 + HIT_EXACT : 0;
}

static unsigned naive_hit(const struct naive_list *list, const struct row *row, const struct read *read)
{
	char text[READ_TEXT_SIZE + 1] = "", key[40];
	unsigned kind;

	memcpy(text, read->text, READ_TEXT_SIZE);
	naive_key(text, key);
	kind = naive_meets(list, row, text, key);
	if (kind == 0)
		return 0;
	if (!row->living || (row->expires && read->receipt_us >= 2000000)) {
		ways[row->living ? WAY_EXPIRED : WAY_REMOVED]++;
		return 0;
	}
	ways[WAY_EXACT] += kind == 1 + HIT_EXACT;
	ways[WAY_PATTERN] += kind == 1 + HIT_PATTERN;
	return kind;
}

/* ---- rows and reads by chance */

static char any_character(struct prng *prng)
{
	static const char all[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789", often[] = "0ODQ1I2Z5S8B6GH1";

	return prng_chance(prng, 600) ? often[prng_below(prng, 16)] : all[prng_below(prng, 36)];
}

/* As people and cameras write: small letters, spaces and dashes between; at most 16 bytes. */
static void write_as_people_do(struct prng *prng, const char *plate, char text[40])
{
	char *at = text;

	for (const char *from = plate; *from != '\0'; from++) {
		if ((size_t)(at - text) + 2 * strlen(from) < 14 && prng_chance(prng, 100))
			*at++ = prng_chance(prng, 500) ? ' ' : '-';
		if (*from == 'A' && (size_t)(at - text) + 2 * strlen(from) < 14 && prng_chance(prng, 60))
			at = stpcpy(at, "\xc3\x84");
		else
			*at++ = *from >= 'A' && *from <= 'Z' && prng_chance(prng, 200) ? (char)(*from - 'A' + 'a')
										       : *from;
	}
	*at = '\0';
}

static struct row row_random(struct prng *prng)
{
	struct row row = {.tolerant = "--yn"[prng_below(prng, 4)], .expires = prng_chance(prng, 100), .living = true};
	size_t size = 3 + prng_below(prng, 8);
	char plate[40] = "";

	for (size_t i = 0; i < size; i++)
		plate[i] = any_character(prng);
	row.wild = prng_chance(prng, 250);
	if (row.wild) { /* two characters at least stay what they are */
		row.tolerant = '-';
		for (size_t i = 2; i < size; i++)
			plate[i] = prng_chance(prng, 400) ? prng_chance(prng, 700) ? '?' : '*' : plate[i];
		plate[size - 1] = prng_chance(prng, 700) ? '?' : '*';
	}
	row.as_received = !row.wild && prng_chance(prng, 150);
	if (row.as_received && row.tolerant == 'y') /* refused together */
		row.tolerant = '-';
	write_as_people_do(prng, plate, row.vrm);
	naive_key(row.vrm, row.key);
	return row;
}

/* Something that the row might meet, or nearly. */
static void plate_near(struct prng *prng, const struct row *row, char plate[40])
{
	char *at = plate, *h;

	for (const char *from = row->key; *from != '\0'; from++) {
		if (*from == '*')
			for (uint64_t i = prng_below(prng, 3); i > 0; i--)
				*at++ = any_character(prng);
		else
			*at++ = *from == '?' ? any_character(prng) : *from;
	}
	*at = '\0';
	for (char *c = plate; *c != '\0'; c++) /* misread by its class */
		if (class_of(*c) >= 0 && prng_chance(prng, 120))
			*c = classes[class_of(*c)][prng_below(prng, strlen(classes[class_of(*c)]))];
	if (prng_chance(prng, 200) && *plate != '\0') /* some other character */
		plate[prng_below(prng, strlen(plate))] = any_character(prng);
	if (prng_chance(prng, 500) && (h = strchr(plate, 'H')) != NULL && strlen(plate) < 12) {
		memmove(h + 2, h + 1, strlen(h));
		memcpy(h, "11", 2);
	} else if (prng_chance(prng, 500) && (h = strstr(plate, "11")) != NULL) {
		*h = 'H';
		memmove(h + 1, h + 2, strlen(h + 1));
	}
	if (prng_chance(prng, 50))
		*stpcpy(plate + strlen(plate), "A") = '\0';
}

static void read_random(struct prng *prng, const struct naive_list *lists, struct read *read)
{
	const struct naive_list *list = &lists[prng_below(prng, LISTS)];
	struct row row = list->row_count > 0 && prng_chance(prng, 950) ? list->rows[prng_below(prng, list->row_count)]
								       : row_random(prng);
	char plate[40], text[40];

	if (row.as_received && prng_chance(prng, 500)) {
		strcpy(text, row.vrm);
	} else {
		plate_near(prng, &row, plate);
		write_as_people_do(prng, plate, text);
	}
	*read = (struct read){.receipt_us = (int64_t)prng_below(prng, 4000000)};
	memcpy(read->text, text, strnlen(text, READ_TEXT_SIZE));
	if (strlen(text) > READ_TEXT_SIZE || vrm_key(read->text, read->key) != 0)
		read_random(prng, lists, read);
}

/* ---- lists: the naive one and the one that is judged, changed in the same way */

static bool same_entry(const struct row *a, const struct row *b)
{
	return strcmp(a->key, b->key) == 0 && a->tolerant == b->tolerant && a->as_received == b->as_received &&
	       (!a->as_received || strcmp(a->vrm, b->vrm) == 0);
}

static bool stands(const struct naive_list *list, const struct row *row)
{
	for (uint32_t i = 0; i < list->row_count; i++)
		if (list->rows[i].living && same_entry(&list->rows[i], row))
			return true;
	return false;
}

/* Makes rows, as a file. */
static size_t rows_make(struct prng *prng, struct naive_list *list, uint64_t count, char *text)
{
	char *at = stpcpy(text, "reason,pattern,tolerant,as-received,expires\n");

	for (; count > 0 && list->living < LIVING_MAX && list->row_count < ROWS; count--) {
		struct row row = row_random(prng);

		if (stands(list, &row))
			continue;
		at += sprintf(at, "%u,%s,%s,%s,%s\n", list->row_count, row.vrm,
			      row.tolerant == 'y'   ? "yes"
			      : row.tolerant == 'n' ? "no"
						    : "",
			      row.as_received ? "yes" : "", row.expires ? "1970-01-01T00:00:02Z" : "");
		list->rows[list->row_count++] = row;
		list->living++;
	}
	return (size_t)(at - text);
}

static void remove_like(struct naive_list *list, const char *key)
{
	for (uint32_t i = 0; i < list->row_count; i++)
		if (list->rows[i].living && strcmp(list->rows[i].key, key) == 0) {
			list->rows[i].living = false;
			list->living--;
		}
}

/* Names some by what they are, once each. */
static size_t rows_drop(struct prng *prng, struct naive_list *list, char *text)
{
	char *at = stpcpy(text, "pattern\n");

	for (uint32_t i = 0; i < list->row_count; i++) {
		char key[40];

		if (!list->rows[i].living || !prng_chance(prng, 150))
			continue;
		strcpy(key, list->rows[i].key);
		at += sprintf(at, "%s\n", list->rows[i].vrm);
		remove_like(list, key);
	}
	return (size_t)(at - text);
}

static struct list_info info_of(const struct naive_list *list)
{
	return (struct list_info){.id = list->id,
				  .version = list->version,
				  .generation = list->generation,
				  .tolerance = list->tolerance,
				  .name = "naive"};
}

static void list_change(struct prng *prng, struct naive_list *list)
{
	static char text[ROWS * 64];
	struct list_info info;
	struct list_result result = {0};
	struct list *next = NULL;
	uint64_t what = list->list == NULL ? 0 : prng_below(prng, 8);

	list->version++;
	info = info_of(list);
	if (what == 0) {
		info.generation = list->generation = list->version;
		list->row_count = list->living = 0;
		info.tolerance = list->tolerance = (enum list_tolerance)prng_below(prng, LIST_TOLERANCE_COUNT);
		CHECK_INT(0, list_load_csv(&info, text, rows_make(prng, list, 80, text), NULL, &result, &err, &next));
	} else if (what == 1) {
		info.tolerance = list->tolerance = (enum list_tolerance)prng_below(prng, LIST_TOLERANCE_COUNT);
		CHECK_INT(0, list_restate(list->list, &info, &err, &next));
	} else if (what < 4) {
		CHECK_INT(0, list_drop(list->list, &info, text, rows_drop(prng, list, text), NULL, NULL, NULL, &result,
				       &err, &next));
	} else {
		CHECK_INT(0, list_add(list->list, &info, text, rows_make(prng, list, 15, text), NULL, NULL, NULL,
				      &result, &err, &next));
	}
	for (uint32_t i = 0; i < result.report_count; i++)
		check_note("line %u: %s", result.reports[i].line, result.reports[i].reason);
	CHECK_INT(0, result.bad + result.duplicates);
	CHECK_INT(list->living, list_living(next));
	list->generation = list_info(next)->generation; /* an edit may begin a new one */
	list_free(list->list);
	list->list = next;
}

/* ---- one against the other */

static void burst_agrees(const struct naive_list *lists, const struct matchset *set, struct match_scratch *scratch,
			 const struct read *reads)
{
	static unsigned char expected[READS][LISTS][ROWS], nothing[READS][LISTS][ROWS];
	struct match_cursor cursor = {0};
	static struct hit hits[HITS];
	size_t count = 0;

	for (unsigned i = 0; i < READS; i++)
		for (unsigned l = 0; l < LISTS; l++)
			for (unsigned r = 0; r < lists[l].row_count; r++)
				expected[i][l][r] = (unsigned char)naive_hit(&lists[l], &lists[l].rows[r], &reads[i]);
	CHECK_INT(0, match_burst(set, scratch, reads, READS, &cursor, hits, HITS, &count));
	for (size_t i = 0; i < count; i++) {
		const struct hit *hit = &hits[i];
		const struct naive_list *list = &lists[(hit->list - 1) % LISTS];
		struct list_entry entry;
		unsigned row;

		CHECK(hit->list >= 1 && hit->list <= LISTS && hit->row < READS);
		CHECK_INT(list->version, hit->version);
		CHECK(hit->entry < list_count(list->list));
		list_entry(list->list, hit->entry, &entry);
		row = (unsigned)atoi(entry.reason);
		CHECK(row < list->row_count);
		if (expected[hit->row][hit->list - 1][row] != 1 + hit->kind)
			check_note("read \"%.16s\": entry \"%s\" hits as %u, expected %d", reads[hit->row].text,
				   list->rows[row].vrm, hit->kind, expected[hit->row][hit->list - 1][row] - 1);
		CHECK_INT(1 + hit->kind, expected[hit->row][hit->list - 1][row]);
		expected[hit->row][hit->list - 1][row] = 0; /* once */
	}
	for (unsigned i = 0; i < READS; i++)
		for (unsigned l = 0; l < LISTS; l++)
			for (unsigned r = 0; r < lists[l].row_count; r++)
				if (expected[i][l][r] != 0)
					check_note("read \"%.16s\": entry \"%s\" of tolerance %d does not hit",
						   reads[i].text, lists[l].rows[r].vrm, lists[l].tolerance);
	CHECK(memcmp(expected, nothing, sizeof(nothing)) == 0);
}

static void sets_agree(struct prng *prng, const struct naive_list *lists, struct matchbase *const bases[3])
{
	const struct list *of[LISTS];

	for (unsigned i = 0; i < LISTS; i++)
		of[i] = lists[i].list;
	for (unsigned b = 0; b < 3; b++) {
		struct match_scratch *scratch;
		struct matchset *set;

		CHECK_INT(0, matchset_new(of, LISTS, bases[b], NULL, &err, &set));
		CHECK_INT(0, match_scratch_new(set, &scratch));
		for (unsigned burst = 0; burst < BURSTS; burst++) {
			struct read reads[READS];

			for (unsigned i = 0; i < READS; i++)
				read_random(prng, lists, &reads[i]);
			burst_agrees(lists, set, scratch, reads);
		}
		match_scratch_free(scratch);
		matchset_free(set);
	}
}

/* With a mass table, with literals; the third set has none and is all delta. */
static void bases_make(const struct naive_list *lists, struct matchbase *bases[3])
{
	static const uint32_t mass_from[2] = {1, ROWS};
	const struct list *of[LISTS];

	for (unsigned i = 0; i < LISTS; i++)
		of[i] = lists[i].list;
	for (unsigned b = 0; b < 2; b++) {
		struct matchbase_options options = {.limits = {.mass_entries_min = mass_from[b]}};

		bases[b] = matchbase_free(bases[b]);
		CHECK_INT(0, matchbase_new(of, LISTS, &options, &err, &bases[b]));
	}
}

static bool all_ways_met(void)
{
	for (unsigned i = 0; i < WAY_COUNT; i++)
		if (ways[i] <= 20 && i != WAY_CLASS + 1) /* I is the digit in every key already */
			return false;
	return true;
}

static void agrees_with_the_naive_one(void)
{
	static struct naive_list lists[LISTS];
	struct prng prng = {check_seed()};
	struct matchbase *bases[3] = {NULL};

	memset(ways, 0, sizeof(ways));
	for (unsigned turn = 0; turn < TURNS || !all_ways_met(); turn++) {
		CHECK(turn < TURNS_MAX);
		for (unsigned i = 0; i < LISTS; i++) {
			memset(&lists[i], 0, sizeof(lists[i]));
			lists[i].id = i + 1;
			list_change(&prng, &lists[i]);
		}
		for (unsigned edit = 0; edit < EDITS; edit++) {
			if (edit % 4 == 0)
				bases_make(lists, bases);
			sets_agree(&prng, lists, bases);
			list_change(&prng, &lists[prng_below(&prng, LISTS)]);
		}
		for (unsigned i = 0; i < LISTS; i++)
			list_free(lists[i].list);
	}
	matchbase_free(bases[0]);
	matchbase_free(bases[1]);
}

int main(int argc, char **argv)
{
	static const struct check_test tests[] = {{"agrees with the naive one", agrees_with_the_naive_one},
						  {NULL, NULL}};

	return check_main(argc, argv, "naive", tests);
}
