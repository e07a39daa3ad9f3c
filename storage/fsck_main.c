/* gantry-fsck: arguments, order of work, report. */
#include <errno.h>
#include <getopt.h>
#include <jansson.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "storage/fsck.h"
#include "storage/io.h"
#include "storage/keyring.h"
#include "storage/lane_map.h"
#include "storage/layout.h"

enum exit_status { EXIT_CLEAN = 0, EXIT_DAMAGE = 1, EXIT_USAGE = 2, EXIT_CANNOT_OPEN = 3 };

#define REPORT_MAX 1000 /* lines of damage and of notes that are told one by one */

struct options {
	const char *directory;
	const char *master;
	const char *keyring_a;
	const char *keyring_b;
	const char *dump;
	bool json;
};

static const char usage[] =
	"Usage: gantry-fsck DIR --master-key FILE [--keyring FILE] [--keyring-copy FILE] [--dump FILE|-] [--json]\n"
	"\n"
	"Checks a data directory while no gantryd serves it: every page of every segment, every frame of every "
	"journal.\n"
	"Says what is damaged and what that loses. Nothing is repaired.\n"
	"\n"
	"  --master-key FILE     the key that opens the keyring\n"
	"  --keyring FILE        first copy of the keyring, default DIR/" LAYOUT_KEYRING_A "\n"
	"  --keyring-copy FILE   second copy, default DIR/" LAYOUT_KEYRING_B "\n"
	"  --dump FILE           also writes every stored read as a line of text (personal data in clear); - is "
	"standard\n"
	"                        output, the report then goes to standard error\n"
	"  --json                the report as one JSON object, last on standard output\n"
	"\n"
	"Exit status: 0 clean, 1 damage, 2 usage, 3 directory or keyring cannot be opened.\n"
	"\n";

void fsck_damage(struct fsck *fsck, const char *text, uint64_t rows_lost)
{
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

void fsck_note(struct fsck *fsck, const char *format, ...)
{
	char text[512];
	va_list args;

	if (json_array_size(fsck->notes) >= REPORT_MAX)
		return;
	va_start(args, format);
	(void)vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	(void)json_array_append_new(fsck->notes, json_string(text));
	if (fsck->report != NULL)
		(void)fprintf(fsck->report, "note: %s\n", text);
}

struct listing {
	char **names;
	size_t count;
	size_t room;
};

static int keep_name(void *context, const char *name)
{
	struct listing *listing = context;

	if (listing->count == listing->room) {
		size_t room = listing->room == 0 ? 64 : 2 * listing->room;
		char **names = realloc(listing->names, room * sizeof(char *));

		if (names == NULL)
			return -ENOMEM;
		listing->names = names;
		listing->room = room;
	}
	listing->names[listing->count] = strdup(name);
	return listing->names[listing->count] != NULL ? (listing->count++, 0) : -ENOMEM;
}

static int compare_names(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

int fsck_list(struct io *io, const char *directory, char ***ret_names, size_t *ret_count)
{
	struct listing listing = {0};
	int r = io->ops->list(io, directory, keep_name, &listing);

	if (r < 0 && r != -ENOENT) {
		fsck_list_free(listing.names, listing.count);
		return r;
	}
	if (listing.count > 0)
		qsort(listing.names, listing.count, sizeof(char *), compare_names);
	*ret_names = listing.names;
	*ret_count = listing.count;
	return 0;
}

void fsck_list_free(char **names, size_t count)
{
	for (size_t i = 0; i < count; i++)
		free(names[i]);
	free(names);
}

/* -1: go on; else the exit status. */
static int parse(int argc, char **argv, struct options *options)
{
	static const struct option longs[] = {
		{"master-key", required_argument, NULL, 'm'},
		{"keyring", required_argument, NULL, 'a'},
		{"keyring-copy", required_argument, NULL, 'b'},
		{"dump", required_argument, NULL, 'd'},
		{"json", no_argument, NULL, 'j'},
		{"help", no_argument, NULL, 'h'},
		{NULL, 0, NULL, 0},
	};
	int option;

	while ((option = getopt_long(argc, argv, "h", longs, NULL)) != -1) {
		switch (option) {
		case 'm':
			options->master = optarg;
			break;
		case 'a':
			options->keyring_a = optarg;
			break;
		case 'b':
			options->keyring_b = optarg;
			break;
		case 'd':
			options->dump = optarg;
			break;
		case 'j':
			options->json = true;
			break;
		case 'h':
			printf("%s%s", usage, fsck_dump_format);
			return EXIT_CLEAN;
		default:
			return EXIT_USAGE;
		}
	}
	if (optind + 1 != argc || options->master == NULL) {
		(void)fprintf(stderr, "%s", usage);
		return EXIT_USAGE;
	}
	options->directory = argv[optind];
	return -1;
}

static int open_all(const struct options *options, struct fsck *fsck)
{
	char copy_a[LAYOUT_PATH_SIZE], copy_b[LAYOUT_PATH_SIZE];
	struct keyring_options keyring = {.master_path = options->master, .copy_a_path = copy_a, .copy_b_path = copy_b};
	struct stat status;
	struct err err = {""};
	int r;

	if (strlen(options->directory) + 64 > LAYOUT_PATH_SIZE || stat(options->directory, &status) < 0 ||
	    !S_ISDIR(status.st_mode)) {
		(void)fprintf(stderr, "gantry-fsck: %s: not a directory\n", options->directory);
		return -ENOTDIR;
	}
	(void)snprintf(copy_a, sizeof(copy_a), "%s/" LAYOUT_KEYRING_A, options->directory);
	(void)snprintf(copy_b, sizeof(copy_b), "%s/" LAYOUT_KEYRING_B, options->directory);
	(void)snprintf(fsck->segments_directory, sizeof(fsck->segments_directory), "%s/" LAYOUT_SEGMENTS,
		       options->directory);
	(void)snprintf(fsck->journal_directory, sizeof(fsck->journal_directory), "%s/" LAYOUT_JOURNAL,
		       options->directory);
	if (options->keyring_a != NULL)
		keyring.copy_a_path = options->keyring_a;
	if (options->keyring_b != NULL)
		keyring.copy_b_path = options->keyring_b;
	r = io_real_new(&fsck->io);
	if (r == 0)
		r = lane_map_new(&fsck->lanes);
	if (r == 0)
		r = keyring_open(&keyring, fsck->io, &err, &fsck->keyring);
	if (r < 0)
		(void)fprintf(stderr, "gantry-fsck: %s\n", err.text[0] != '\0' ? err.text : strerror(-r));
	return r;
}

/* The dump holds VRMs in clear: its file is for its owner only. */
static int open_dump(const struct options *options, struct fsck *fsck)
{
	if (options->dump == NULL)
		return 0;
	(void)umask(077);
	fsck->dump = strcmp(options->dump, "-") == 0 ? stdout : fopen(options->dump, "w");
	if (fsck->dump == NULL) {
		int error = errno;

		(void)fprintf(stderr, "gantry-fsck: %s: %s\n", options->dump, strerror(error));
		return -error;
	}
	(void)setvbuf(fsck->dump, NULL, _IOFBF, 1 << 20);
	return 0;
}

static void report(const struct options *options, struct fsck *fsck)
{
	if (options->json) {
		json_t *object = json_pack(
			"{s:b, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:O, s:O}", "clean",
			fsck->damage_count == 0, "segments", (json_int_t)fsck->segments, "segment_rows",
			(json_int_t)fsck->segment_rows, "segment_bytes", (json_int_t)fsck->segment_bytes, "journals",
			(json_int_t)fsck->journals, "journal_frames", (json_int_t)fsck->journal_frames, "journal_rows",
			(json_int_t)fsck->journal_rows, "refused", (json_int_t)fsck->refused, "rows_lost",
			(json_int_t)fsck->rows_lost, "damage_count", (json_int_t)fsck->damage_count, "damage",
			fsck->damage, "notes", fsck->notes);

		(void)json_dumpf(object, stdout, JSON_COMPACT);
		(void)printf("\n");
		json_decref(object);
		return;
	}
	(void)fprintf(
		fsck->report,
		"%llu segments with %llu reads in %llu bytes, %llu journals with %llu frames, %llu reads and %llu "
		"refusals not sealed: %s\n",
		(unsigned long long)fsck->segments, (unsigned long long)fsck->segment_rows,
		(unsigned long long)fsck->segment_bytes, (unsigned long long)fsck->journals,
		(unsigned long long)fsck->journal_frames, (unsigned long long)fsck->journal_rows,
		(unsigned long long)fsck->refused, fsck->damage_count == 0 ? "clean" : "DAMAGED");
}

static int close_dump(const struct options *options, struct fsck *fsck)
{
	bool failed = fsck->dump != NULL && (fflush(fsck->dump) != 0 || ferror(fsck->dump));

	if (fsck->dump != NULL && fsck->dump != stdout)
		failed = fclose(fsck->dump) != 0 || failed;
	if (failed)
		(void)fprintf(stderr, "gantry-fsck: %s: could not be written whole\n", options->dump);
	return failed ? -EIO : 0;
}

static int check(const struct options *options, struct fsck *fsck)
{
	int r = open_dump(options, fsck);

	if (r < 0)
		return EXIT_CANNOT_OPEN;
	r = fsck_segments(fsck);
	if (r == 0)
		r = fsck_journals(fsck);
	if (r < 0)
		(void)fprintf(stderr, "gantry-fsck: cannot go on: %s\n", strerror(-r));
	if (close_dump(options, fsck) < 0 || r < 0)
		return EXIT_CANNOT_OPEN;
	report(options, fsck);
	return fsck->damage_count == 0 ? EXIT_CLEAN : EXIT_DAMAGE;
}

int main(int argc, char **argv)
{
	struct options options = {0};
	struct fsck *fsck;
	int status = parse(argc, argv, &options);

	if (status >= 0)
		return status;
	fsck = calloc(1, sizeof(*fsck));
	if (fsck == NULL)
		return EXIT_CANNOT_OPEN;
	fsck->report = options.json ? NULL : options.dump != NULL && strcmp(options.dump, "-") == 0 ? stderr : stdout;
	fsck->damage = json_array();
	fsck->notes = json_array();
	status = open_all(&options, fsck) < 0 ? EXIT_CANNOT_OPEN : check(&options, fsck);
	json_decref(fsck->damage);
	json_decref(fsck->notes);
	free(fsck->sealed);
	keyring_free(fsck->keyring);
	lane_map_free(fsck->lanes);
	io_real_free(fsck->io);
	free(fsck);
	return status;
}
