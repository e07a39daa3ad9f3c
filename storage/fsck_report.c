/* What gantry-fsck says, and to whom: lines for people, or one JSON object; progress to standard error. */
#include "storage/fsck.h"

#include <jansson.h>
#include <stdarg.h>
#include <string.h>
#include <unistd.h>

#include "appliance/base/clock.h"
#include "appliance/base/utf8.h"

#define REPORT_MAX 1000 /* lines of damage and of notes that are told one by one */
#define TEXT_SIZE 768   /* of a line */
#define PROGRESS_AFTER_NS INT64_C(2000000000)
#define PROGRESS_EVERY_NS INT64_C(1000000000)

/* A text may quote a damaged file: JSON takes nothing but UTF-8, and no terminal is to obey what is quoted. */
static void make_printable(char *text)
{
	size_t size = strlen(text);
	size_t length;

	for (size_t at = 0; at < size; at += length) {
		uint32_t point = 0;

		length = utf8_next((const uint8_t *)text + at, size - at, &point);
		if (length == 0 || point < 0x20 || (point >= 0x7f && point < 0xa0)) {
			text[at] = '?';
			length = 1;
		}
	}
}

void fsck_damage(struct fsck *fsck, const char *found, uint64_t rows_lost)
{
	char text[TEXT_SIZE];

	(void)snprintf(text, sizeof(text), "%s", found);
	make_printable(text);
	fsck->rows_lost += rows_lost;
	if (fsck->damage_count++ >= REPORT_MAX)
		return;
	(void)json_array_append_new(fsck->damage,
				    json_pack("{s:s, s:I}", "text", text, "rows_lost", (json_int_t)rows_lost));
	if (fsck->report != NULL && rows_lost > 0)
		(void)fprintf(fsck->report, "damage: %s (%llu reads lost)\n", text, (unsigned long long)rows_lost);
	else if (fsck->report != NULL)
		(void)fprintf(fsck->report, "damage: %s\n", text);
}

void fsck_damage_format(struct fsck *fsck, uint64_t rows_lost, const char *format, ...)
{
	char text[TEXT_SIZE];
	va_list args;

	va_start(args, format);
	(void)vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	fsck_damage(fsck, text, rows_lost);
}

void fsck_note(struct fsck *fsck, const char *format, ...)
{
	char text[512];
	va_list args;

	if (json_array_size(fsck->notes) >= REPORT_MAX)
		return;
	va_start(args, format);
	(void)vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	make_printable(text);
	(void)json_array_append_new(fsck->notes, json_string(text));
	if (fsck->report != NULL)
		(void)fprintf(fsck->report, "note: %s\n", text);
}

void fsck_progress(struct fsck *fsck, const char *what, uint64_t done, uint64_t total)
{
	int64_t now_ns = clock_mono_ns();

	if (now_ns - fsck->start_ns < PROGRESS_AFTER_NS || now_ns - fsck->told_ns < PROGRESS_EVERY_NS)
		return;
	fsck->told_ns = now_ns;
	(void)fprintf(stderr, "gantry-fsck: %s: %llu of %llu\n", what, (unsigned long long)done,
		      (unsigned long long)total);
}

const char *fsck_below(const struct fsck *fsck, const char *path)
{
	size_t size = strlen(fsck->options.directory);

	if (strncmp(path, fsck->options.directory, size) != 0)
		return path;
	path += size;
	while (*path == '/')
		path++;
	return path;
}

const char *fsck_path(const struct fsck *fsck, const char *name, char *ret_path)
{
	(void)snprintf(ret_path, LAYOUT_PATH_SIZE, "%s/%s", fsck->options.directory, name);
	return ret_path;
}

static void report_json(struct fsck *fsck)
{
	const struct {
		const char *name;
		uint64_t value;
	} numbers[] = {
		{"segments", fsck->segments},
		{"segment_rows", fsck->segment_rows},
		{"segment_bytes", fsck->segment_bytes},
		{"journals", fsck->journals},
		{"journal_frames", fsck->journal_frames},
		{"journal_rows", fsck->journal_rows},
		{"refused", fsck->refused},
		{"register_entries", fsck->register_entries},
		{"lists", fsck->lists},
		{"purges", fsck->purges},
		{"audit_entries", fsck->audit_entries},
		{"rows_lost", fsck->rows_lost},
		{"damage_count", fsck->damage_count},
	};
	json_t *object = json_pack("{s:b}", "clean", fsck->damage_count == 0);

	for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++)
		(void)json_object_set_new(object, numbers[i].name, json_integer((json_int_t)numbers[i].value));
	(void)json_object_set(object, "damage", fsck->damage);
	(void)json_object_set(object, "notes", fsck->notes);
	(void)json_dumpf(object, stdout, JSON_COMPACT);
	(void)printf("\n");
	json_decref(object);
}

void fsck_report(struct fsck *fsck)
{
	if (fsck->options.json) {
		report_json(fsck);
		return;
	}
	(void)fprintf(fsck->report,
		      "%llu segments with %llu reads in %llu bytes, %llu journals with %llu frames, %llu reads and "
		      "%llu refusals not sealed,\n%llu register entries, %llu lists, %llu purges, %llu audit entries: "
		      "%s\n",
		      (unsigned long long)fsck->segments, (unsigned long long)fsck->segment_rows,
		      (unsigned long long)fsck->segment_bytes, (unsigned long long)fsck->journals,
		      (unsigned long long)fsck->journal_frames, (unsigned long long)fsck->journal_rows,
		      (unsigned long long)fsck->refused, (unsigned long long)fsck->register_entries,
		      (unsigned long long)fsck->lists, (unsigned long long)fsck->purges,
		      (unsigned long long)fsck->audit_entries, fsck->damage_count == 0 ? "clean" : "DAMAGED");
}
