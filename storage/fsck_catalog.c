/*
 * The catalog against the files, the lanes' copies, and the catalog's rebuild.
 *
 * Whatever is wrong with the catalog alone loses no read: the next start, or --rebuild-catalog, makes it anew. What it
 * knows and no file has is lost.
 */
#include "storage/fsck.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "appliance/base/bytes.h"
#include "appliance/base/clock.h"
#include "storage/catalog.h"
#include "storage/catalog_rebuild.h"
#include "storage/io.h"
#include "storage/keyring.h"
#include "storage/lane_map.h"
#include "storage/lanes_copy.h"
#include "storage/segment_read.h"

#define REBUILT "; it is made anew from segments and lanes' copies at the next start, or by --rebuild-catalog"

static bool summaries_agree(const struct segment_summary *a, const struct segment_summary *b)
{
	uint8_t *bytes = malloc(2 * (size_t)SEGMENT_SUMMARY_SIZE_MAX);
	size_t size;
	bool same = false;

	if (bytes != NULL) {
		size = segment_summary_encode(a, bytes);
		same = segment_summary_encode(b, bytes + SEGMENT_SUMMARY_SIZE_MAX) == size &&
		       memcmp(bytes, bytes + SEGMENT_SUMMARY_SIZE_MAX, size) == 0;
	}
	free(bytes);
	return same;
}

static void check_known(struct fsck *fsck, struct catalog *catalog, const struct catalog_segment *known,
			struct segment_summary *scratch)
{
	char name[SEGMENT_NAME_SIZE];
	struct segment *segment;
	struct err err = {""};
	int r = catalog_segment(catalog, known->day, known->id, scratch);

	(void)segment_name(known->day, known->id, ".seg", name);
	if (r < 0) {
		fsck_damage_format(fsck, 0, LAYOUT_CATALOG "/data.mdb: its row of %s is damaged" REBUILT, name);
		return;
	}
	r = segment_open(fsck->io, fsck->keyring, fsck->segments_directory, known->day, known->id, &err, &segment);
	if (r == -ENOENT && keyring_day_destroyed(fsck->keyring, known->day))
		fsck_note(fsck, LAYOUT_CATALOG ": still knows %s of a purged day, until the next start", name);
	else if (r == -ENOENT)
		fsck_damage_format(fsck, known->row_count,
				   LAYOUT_SEGMENTS "/%s: missing, the catalog knows it: its reads are lost", name);
	if (r == -EBADMSG)
		fsck->rows_lost += known->row_count; /* the damage was told with the file */
	if (r < 0)
		return;
	if (!summaries_agree(scratch, segment_summary(segment)))
		fsck_damage_format(fsck, 0, LAYOUT_CATALOG "/data.mdb: its row of %s is another's" REBUILT, name);
	segment_free(segment);
}

static bool is_known(const struct catalog_segment *known, size_t count, int32_t day, uint64_t id)
{
	for (size_t i = 0; i < count; i++)
		if (known[i].day == day && known[i].id == id)
			return true;
	return false;
}

static int check_unknown(struct fsck *fsck, const struct catalog_segment *known, size_t known_count)
{
	char **names;
	size_t count;
	int r = fsck_list(fsck->io, fsck->segments_directory, &names, &count);

	if (r < 0)
		return r;
	for (size_t i = 0; i < count; i++) {
		int32_t day;
		uint64_t id;

		if (segment_name_parse(names[i], ".seg", &day, &id) == 0 && !is_known(known, known_count, day, id))
			fsck_note(fsck, LAYOUT_SEGMENTS "/%s: not in the catalog, removed at the next start", names[i]);
	}
	fsck_list_free(names, count);
	return 0;
}

static int check_segments(struct fsck *fsck, struct catalog *catalog)
{
	struct segment_summary *scratch = malloc(sizeof(*scratch));
	struct catalog_segment *known = NULL;
	size_t count = 0;
	int r = scratch != NULL ? catalog_segments(catalog, INT32_MIN, INT32_MAX, &known, &count) : -ENOMEM;

	for (size_t i = 0; r == 0 && i < count; i++) {
		check_known(fsck, catalog, &known[i], scratch);
		fsck_progress(fsck, "catalog", i, count);
	}
	if (r == 0)
		r = check_unknown(fsck, known, count);
	if (r == 0)
		r = fsck_cases_known(fsck, catalog);
	free(known);
	free(scratch);
	return r;
}

static int lane_decode(void *context, const struct catalog_lane *lane)
{
	const struct lane_id id = {.feed = lane->feed, .epoch = lane->epoch, .lane = lane->lane};

	return lane_map_load(context, &id, lane->bytes, lane->size);
}

static int journal_pass(void *context, uint64_t journal_id)
{
	(void)context;
	(void)journal_id;
	return 0;
}

static int day_pass(void *context, const struct catalog_day *day)
{
	(void)context;
	(void)day;
	return 0;
}

/* Every value that the segments' check did not read. */
static int check_values(struct catalog *catalog)
{
	struct catalog_totals totals;
	struct lane_map *lanes;
	int r = lane_map_new(&lanes);

	if (r < 0)
		return r;
	r = catalog_totals(catalog, &totals);
	if (r == 0)
		r = catalog_each_journal(catalog, journal_pass, NULL);
	if (r == 0)
		r = catalog_each_day(catalog, day_pass, NULL);
	if (r == 0)
		r = catalog_each_lane(catalog, lane_decode, lanes);
	lane_map_free(lanes);
	return r;
}

/* Was anything ever sealed here? */
static bool lanes_begun(struct fsck *fsck)
{
	const struct key_id id = {.id = 0, .day = KEY_DAY_NONE, .kind = KEY_LANES};
	uint8_t key[KEY_SIZE];
	bool begun = keyring_get(fsck->keyring, id, key) == 0;

	bytes_wipe(key, sizeof(key));
	return begun;
}

static int check_catalog(struct fsck *fsck)
{
	char path[LAYOUT_PATH_SIZE];
	struct catalog_options options = {.directory = fsck_path(fsck, LAYOUT_CATALOG, path), .read_only = true};
	struct catalog *catalog;
	struct err err = {""};
	int r = catalog_open(&options, &err, &catalog);

	if (r == -ENOMEM)
		return r;
	if (r == -ENOENT && !lanes_begun(fsck)) {
		fsck_note(fsck, LAYOUT_CATALOG ": none yet, made at the next start");
		return 0;
	}
	if (r < 0) {
		fsck_damage_format(fsck, 0, "%s" REBUILT,
				   r == -ENOENT ? LAYOUT_CATALOG "/data.mdb: missing" : fsck_below(fsck, err.text));
		return 0;
	}
	if (catalog_is_new(catalog))
		fsck_note(fsck, LAYOUT_CATALOG ": new, filled at the next start");
	else
		r = check_segments(fsck, catalog);
	if (r == 0)
		r = check_values(catalog);
	catalog_free(catalog);
	if (r == -EBADMSG) {
		fsck_damage(fsck, LAYOUT_CATALOG "/data.mdb: a value is damaged" REBUILT, 0);
		r = 0;
	}
	return r;
}

static void check_lanes(struct fsck *fsck)
{
	static const char *const names[LANES_COPIES] = {LAYOUT_LANES_A, LAYOUT_LANES_B};
	bool begun = lanes_begun(fsck);

	for (unsigned copy = 0; copy < LANES_COPIES; copy++) {
		struct lanes_content content = {0};
		int r = lanes_copy_read_one(fsck->io, fsck->keyring, fsck->options.directory, copy, &content);

		lanes_content_fini(&content);
		if (r == 0 || (r == -ENOENT && !begun))
			continue;
		fsck_damage_format(fsck, 0,
				   "%s: %s; nothing is lost while the catalog or the other copy stands, it is "
				   "written anew with the next sealing",
				   names[copy], r == -ENOENT ? "missing" : "damaged");
	}
}

int fsck_catalog(struct fsck *fsck)
{
	int r = check_catalog(fsck);

	if (r == 0)
		check_lanes(fsck);
	return r;
}

/* ---- rebuild */

static void rebuild_damage(void *context, const char *text)
{
	struct fsck *fsck = context;

	fsck_damage(fsck, fsck_below(fsck, text), 0);
}

static int directory_sync(const char *path)
{
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int r = fd < 0 || fsync(fd) < 0 ? -errno : 0;

	if (fd >= 0)
		(void)close(fd);
	return r;
}

static void leftovers_remove(const char *directory)
{
	static const char *const names[] = {"data.mdb", "lock.mdb", "clean"};
	char path[LAYOUT_PATH_SIZE + 16];

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		(void)snprintf(path, sizeof(path), "%s/%s", directory, names[i]);
		(void)unlink(path);
	}
}

static int rebuild_into(struct fsck *fsck, const char *fresh, struct err *err)
{
	struct catalog_options options = {.directory = fresh};
	struct catalog_rebuild rebuild = {.io = fsck->io,
					  .keyring = fsck->keyring,
					  .directory = fsck->options.directory,
					  .segments_directory = fsck->segments_directory,
					  .damage = rebuild_damage,
					  .context = fsck};
	struct catalog_rebuild_result result = {0};
	uint64_t copies = 0;
	int r;

	leftovers_remove(fresh);
	r = catalog_open(&options, err, &rebuild.catalog);
	if (r < 0)
		return r;
	r = catalog_rebuild(&rebuild, err, &result);
	if (r == 0)
		r = fsck_cases_adopt(fsck, rebuild.catalog, &copies);
	catalog_free(rebuild.catalog);
	if (r == 0)
		fsck_note(fsck, "catalog rebuilt: %zu segments, %llu copies of held reads, %zu purged days, %s",
			  result.segments, (unsigned long long)copies, result.purged_days,
			  result.lanes_known ? "lanes from their copy" : "lanes begin anew");
	return r;
}

/* Does every value of it read? Then it is put aside without being called damaged. */
static bool former_sound(const char *path)
{
	struct catalog_options options = {.directory = path, .read_only = true};
	struct catalog *catalog;
	struct err err = {""};
	bool sound;

	if (catalog_open(&options, &err, &catalog) < 0)
		return false;
	sound = check_values(catalog) == 0;
	catalog_free(catalog);
	return sound;
}

/* A crash between the two renames leaves no catalog: the next start makes one. */
int fsck_catalog_rebuild(struct fsck *fsck)
{
	char path[LAYOUT_PATH_SIZE], fresh[LAYOUT_PATH_SIZE], aside[LAYOUT_PATH_SIZE + 32];
	struct err err = {""};
	int r;

	(void)fsck_path(fsck, LAYOUT_CATALOG, path);
	(void)fsck_path(fsck, LAYOUT_CATALOG ".new", fresh);
	(void)snprintf(aside, sizeof(aside), "%s.%s-%lld", path, former_sound(path) ? "former" : "damaged",
		       (long long)(clock_wall_us() / 1000000));
	r = rebuild_into(fsck, fresh, &err);
	if (r == 0 && rename(path, aside) < 0 && errno != ENOENT)
		r = err_set(&err, -errno, "%s: cannot be put aside: %s", path, strerror(errno));
	if (r == 0 && rename(fresh, path) < 0)
		r = err_set(&err, -errno, "%s: cannot take its place: %s", fresh, strerror(errno));
	if (r == 0)
		r = directory_sync(fsck->options.directory);
	if (r < 0)
		(void)fprintf(stderr, "gantry-fsck: %s\n", err.text[0] != '\0' ? err.text : strerror(-r));
	return r;
}
