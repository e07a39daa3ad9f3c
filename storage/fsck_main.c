/* gantry-fsck: arguments, order of work. */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "appliance/base/clock.h"
#include "storage/fsck.h"
#include "storage/io.h"
#include "storage/keyring.h"
#include "storage/lane_map.h"

enum exit_status { EXIT_CLEAN = 0, EXIT_DAMAGE = 1, EXIT_USAGE = 2, EXIT_CANNOT_OPEN = 3 };

static const char usage[] =
	"Usage: gantry-fsck DIR --master-key FILE [--keyring FILE] [--keyring-copy FILE] [--dump FILE|-] [--json]\n"
	"       gantry-fsck DIR --master-key FILE --rebuild-catalog\n"
	"       gantry-fsck DIR --master-key FILE --new-master FILE\n"
	"\n"
	"Checks a data directory while no gantryd serves it: keyring copies, every page of every segment, every frame "
	"of every\n"
	"journal, catalog, lanes' copies, register, lists, purges, audit log. Says what is damaged and what that "
	"loses. "
	"A check\n"
	"changes nothing.\n"
	"\n"
	"  --master-key FILE     the key that opens the keyring: the master key, or one restored from an escrow "
	"export\n"
	"  --keyring FILE        first copy of the keyring, default DIR/" LAYOUT_KEYRING_A "\n"
	"  --keyring-copy FILE   second copy, default DIR/" LAYOUT_KEYRING_B "\n"
	"  --dump FILE           also writes every stored read as a line of text (personal data in clear); - is "
	"standard\n"
	"                        output, the report then goes to standard error\n"
	"  --json                the report as one JSON object, last on standard output\n"
	"  --rebuild-catalog     first makes the catalog anew from segments and lanes' copies; the old one is put "
	"aside\n"
	"  --new-master FILE     no check: the keyring is wrapped under the master key in FILE (made when there is "
	"none);\n"
	"                        the former key opens nothing any more, destroy its file\n"
	"\n"
	"Exit status: 0 clean, 1 damage, 2 usage, 3 directory or keyring cannot be opened, or the check could not go "
	"on.\n"
	"\n";

static const struct option longs[] = {
	{"master-key", required_argument, NULL, 'm'},
	{"keyring", required_argument, NULL, 'a'},
	{"keyring-copy", required_argument, NULL, 'b'},
	{"dump", required_argument, NULL, 'd'},
	{"new-master", required_argument, NULL, 'n'},
	{"rebuild-catalog", no_argument, NULL, 'r'},
	{"json", no_argument, NULL, 'j'},
	{"help", no_argument, NULL, 'h'},
	{NULL, 0, NULL, 0},
};

/* -1: go on; else the exit status. */
static int take_option(int option, struct fsck_options *options)
{
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
	case 'n':
		options->new_master = optarg;
		break;
	case 'r':
		options->rebuild_catalog = true;
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
	return -1;
}

static int parse(int argc, char **argv, struct fsck_options *options)
{
	int option;

	while ((option = getopt_long(argc, argv, "h", longs, NULL)) != -1) {
		int status = take_option(option, options);

		if (status >= 0)
			return status;
	}
	if (optind + 1 != argc || options->master == NULL ||
	    (options->new_master != NULL && (options->rebuild_catalog || options->dump != NULL))) {
		(void)fprintf(stderr, "%s", usage);
		return EXIT_USAGE;
	}
	options->directory = argv[optind];
	return -1;
}

/* A served directory changes under our hands, and what is written into it would be lost or worse. */
static int lock_take(struct fsck *fsck)
{
	char path[LAYOUT_PATH_SIZE];
	int fd = open(fsck_path(fsck, LAYOUT_LOCK, path), O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return errno == ENOENT ? 0 : -errno;
	fsck->lock_fd = fd;
	if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
		(void)fprintf(stderr, "gantry-fsck: %s: a gantryd serves this directory; stop it first\n",
			      fsck->options.directory);
		return -EBUSY;
	}
	return 0;
}

static int open_all(struct fsck *fsck)
{
	const struct fsck_options *options = &fsck->options;
	char copy_a[LAYOUT_PATH_SIZE], copy_b[LAYOUT_PATH_SIZE];
	struct keyring_options keyring = {.master_path = options->master,
					  .copy_a_path = options->keyring_a,
					  .copy_b_path = options->keyring_b,
					  .read_only = options->new_master == NULL,
					  .escrow = true};
	struct stat status;
	struct err err = {""};
	int r;

	if (strlen(options->directory) + 64 > LAYOUT_PATH_SIZE || stat(options->directory, &status) < 0 ||
	    !S_ISDIR(status.st_mode)) {
		(void)fprintf(stderr, "gantry-fsck: %s: not a directory\n", options->directory);
		return -ENOTDIR;
	}
	r = lock_take(fsck);
	if (r < 0)
		return r;
	(void)fsck_path(fsck, LAYOUT_SEGMENTS, fsck->segments_directory);
	(void)fsck_path(fsck, LAYOUT_JOURNAL, fsck->journal_directory);
	if (keyring.copy_a_path == NULL)
		keyring.copy_a_path = fsck_path(fsck, LAYOUT_KEYRING_A, copy_a);
	if (keyring.copy_b_path == NULL)
		keyring.copy_b_path = fsck_path(fsck, LAYOUT_KEYRING_B, copy_b);
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
static int open_dump(struct fsck *fsck)
{
	const char *path = fsck->options.dump;

	if (path == NULL)
		return 0;
	(void)umask(077);
	fsck->dump = strcmp(path, "-") == 0 ? stdout : fopen(path, "w");
	if (fsck->dump == NULL) {
		int error = errno;

		(void)fprintf(stderr, "gantry-fsck: %s: %s\n", path, strerror(error));
		return -error;
	}
	(void)setvbuf(fsck->dump, NULL, _IOFBF, 1 << 20);
	return 0;
}

static int close_dump(struct fsck *fsck)
{
	bool failed = fsck->dump != NULL && (fflush(fsck->dump) != 0 || ferror(fsck->dump));

	if (fsck->dump != NULL && fsck->dump != stdout)
		failed = fclose(fsck->dump) != 0 || failed;
	if (failed)
		(void)fprintf(stderr, "gantry-fsck: %s: could not be written whole\n", fsck->options.dump);
	return failed ? -EIO : 0;
}

static int check_parts(struct fsck *fsck)
{
	static int (*const parts[])(struct fsck * fsck) = {fsck_keys,  fsck_top,     fsck_segments, fsck_journals,
							   fsck_cases, fsck_catalog, fsck_register, fsck_audit};
	int r = 0;

	for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]) && r == 0; i++)
		r = parts[i](fsck);
	return r;
}

static int check(struct fsck *fsck)
{
	int r = open_dump(fsck);

	if (r < 0)
		return EXIT_CANNOT_OPEN;
	if (fsck->options.rebuild_catalog && fsck_catalog_rebuild(fsck) < 0)
		return EXIT_CANNOT_OPEN;
	r = check_parts(fsck);
	if (r < 0)
		(void)fprintf(stderr, "gantry-fsck: cannot go on: %s\n", strerror(-r));
	if (close_dump(fsck) < 0 || r < 0)
		return EXIT_CANNOT_OPEN;
	fsck_report(fsck);
	return fsck->damage_count == 0 ? EXIT_CLEAN : EXIT_DAMAGE;
}

static int rewrap(struct fsck *fsck)
{
	struct err err = {""};

	if (keyring_rewrap(fsck->keyring, fsck->options.new_master, &err) < 0) {
		(void)fprintf(stderr, "gantry-fsck: %s\n", err.text);
		return EXIT_CANNOT_OPEN;
	}
	(void)printf("the keyring opens with %s; destroy %s, it opens nothing any more\n", fsck->options.new_master,
		     fsck->options.master);
	return EXIT_CLEAN;
}

static int run(struct fsck *fsck)
{
	const struct fsck_options *options = &fsck->options;

	fsck->report = options->json                                              ? NULL
		       : options->dump != NULL && strcmp(options->dump, "-") == 0 ? stderr
										  : stdout;
	if (open_all(fsck) < 0)
		return EXIT_CANNOT_OPEN;
	return options->new_master != NULL ? rewrap(fsck) : check(fsck);
}

int main(int argc, char **argv)
{
	struct fsck *fsck = calloc(1, sizeof(*fsck));
	int status;

	if (fsck == NULL)
		return EXIT_CANNOT_OPEN;
	fsck->lock_fd = -1;
	fsck->start_ns = clock_mono_ns();
	fsck->damage = json_array();
	fsck->notes = json_array();
	status = parse(argc, argv, &fsck->options);
	if (status < 0)
		status = run(fsck);
	json_decref(fsck->damage);
	json_decref(fsck->notes);
	free(fsck->sealed);
	free(fsck->journal_ids);
	keyring_free(fsck->keyring);
	lane_map_free(fsck->lanes);
	io_real_free(fsck->io);
	if (fsck->lock_fd >= 0)
		(void)close(fsck->lock_fd);
	free(fsck);
	return status;
}
