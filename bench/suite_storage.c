/*
 * gantry-bench storage. The day is sealed in pieces while it is made, merged, read back; then, in a store of its own,
 * sealing beside ingest.
 */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "appliance/base/clock.h"
#include "bench/suite_build.h"
#include "bench/suite_append.h"
#include "bench/suite_commands.h"
#include "bench/suite_entropy.h"
#include "bench/suite_ingest.h"
#include "bench/suite_options.h"
#include "bench/suite_progress.h"
#include "bench/suite_reads.h"
#include "bench/suite_report.h"
#include "bench/suite_room.h"
#include "bench/suite_scan.h"
#include "bench/suite_store.h"
#include "storage/catalog.h"
#include "storage/keyring.h"
#include "storage/store.h"

#define ENTROPY_ROWS 4000000 /* stands for the day */
#define PLACE "day"          /* a store of its own: a year that is kept in the same room stays */
#define SCRATCH "scratch"
#define INGEST "ingest"
#define INGEST_MASTER "ingest.key"

struct storage {
	const struct suite_options *options;
	const struct suite_fleet *fleet;
	const struct suite_room *room;
	int32_t day;
	struct suite_built built;
	struct suite_scan scan;
	struct suite_entropy *entropy;
	struct suite_ingest ingest;   /* sealing beside it */
	struct suite_ingest searched; /* and searching too */
	double merge_s;
	size_t pieces;
	uint64_t catalog_bytes;
	uint64_t keyring_bytes; /* both copies */
};

#define BIT(column) (1u << SUITE_COLUMN_##column)

/* Which of a read's fields storage keeps in which of the parts it names. A part that is none of them is index. */
static const struct {
	const char *part;
	unsigned columns;
} parts[] = {
	{"groups", BIT(GROUPS)},
	{"key", BIT(KEY)},
	{"form", BIT(FORM)},
	{"text", BIT(TEXT)},
	{"source", BIT(FEED) | BIT(EPOCH)},
	{"capture", BIT(CAPTURE)},
	{"delay", BIT(RECEIPT)},
	{"receipt", BIT(RECEIPT)},
	{"camera", BIT(CAMERA)},
	{"feed", BIT(FEED)},
	{"epoch", BIT(EPOCH)},
	{"country", BIT(COUNTRY)},
	{"flags", BIT(FLAGS)},
	{"kind", BIT(KIND)},
	{"confidence", BIT(CONFIDENCE)},
	{"road_lane", BIT(ROAD_LANE)},
	{"direction", BIT(DIRECTION)},
	{"images", BIT(IMAGES)},
	{"position", BIT(POSITION)},
};

static double part_entropy(const struct suite_entropy *entropy, unsigned columns)
{
	double bits = 0;

	for (unsigned c = 0; c < SUITE_COLUMNS; c++)
		if ((columns & 1u << c) != 0)
			bits += suite_entropy_bits(entropy, (enum suite_column)c);
	return bits / 8;
}

static unsigned part_columns(const char *part)
{
	for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++)
		if (strcmp(parts[i].part, part) == 0)
			return parts[i].columns;
	return 0;
}

static void column_put(json_t *columns, const char *name, uint64_t bytes, double rows, double entropy)
{
	json_t *row = json_object();

	suite_report_text(row, "name", name);
	suite_report_integer(row, "bytes", (long long)bytes);
	suite_report_real(row, "bytes_per_read", (double)bytes / rows);
	suite_report_real(row, "entropy", entropy);
	(void)json_array_append_new(columns, row);
}

/* Parts as storage names them, then the fields that no part has to itself. */
static json_t *columns_new(const struct storage *storage)
{
	const struct segment_sizes *sizes = &storage->scan.sizes;
	json_t *columns = json_array();
	double rows = (double)storage->scan.rows;
	unsigned told = 0;

	for (unsigned i = 0; i < sizes->count; i++) {
		unsigned of = part_columns(sizes->list[i].name);

		told |= of;
		column_put(columns, sizes->list[i].name, sizes->list[i].bytes, rows,
			   part_entropy(storage->entropy, of));
	}
	for (unsigned c = 0; c < SUITE_COLUMNS; c++)
		if ((told & 1u << c) == 0)
			column_put(columns, suite_column_name((enum suite_column)c), 0, rows,
				   part_entropy(storage->entropy, 1u << c));
	column_put(columns, "catalog", storage->catalog_bytes, rows, 0);
	column_put(columns, "keyring", storage->keyring_bytes, rows, 0);
	return columns;
}

static json_t *ingest_new(const struct suite_ingest *ingest, const struct suite_options *options)
{
	json_t *object = json_object();

	suite_report_integer(object, "asked_per_s", options->ingest_rate);
	suite_report_real(object, "reads_per_s", ingest->reads_per_s);
	suite_report_real(object, "sealed_per_s", ingest->sealed_per_s);
	suite_report_real(object, "seconds", ingest->seconds);
	suite_report_integer(object, "pushed_back", (long long)ingest->pushed_back);
	suite_report_real(object, "memtable_peak", ingest->memtable_peak);
	suite_report_integer(object, "memtable_bytes", (long long)suite_append_memtable(options->memtable_mib));
	suite_report_real(object, "worker_ns_per_read", ingest->worker_ns);
	suite_report_real(object, "longest_pause_ms", ingest->pause_ms);
	suite_report_integer(object, "searches", (long long)ingest->searches);
	suite_report_real(object, "drain_s", ingest->drain_s);
	(void)json_object_set_new(object, "kept_up", json_boolean(ingest->kept_up));
	(void)json_object_set_new(object, "complete", json_boolean(ingest->complete));
	return object;
}

static bool day_is_right(const struct storage *storage)
{
	return storage->scan.rows == storage->built.reads - storage->built.copies &&
	       storage->built.rows >= storage->scan.rows && storage->scan.content == storage->built.content;
}

static int report(const struct storage *storage, const char *directory, int *ret_status)
{
	const struct suite_options *options = storage->options;
	const struct suite_scan *scan = &storage->scan;
	json_t *object = suite_report_new(options, directory);
	double rows = (double)scan->rows;
	uint64_t bytes = scan->file_bytes + storage->catalog_bytes + storage->keyring_bytes;
	bool right = day_is_right(storage) &&
		     (options->ingest_s == 0 || (storage->ingest.complete && storage->searched.complete));
	double entropy = 0;
	int r;

	for (unsigned c = 0; c < SUITE_COLUMNS; c++)
		entropy += suite_entropy_bits(storage->entropy, (enum suite_column)c) / 8;
	suite_report_integer(object, "reads", (long long)scan->rows);
	suite_report_integer(object, "reads_made", (long long)storage->built.reads);
	suite_report_integer(object, "collapsed", (long long)storage->built.copies);
	suite_report_integer(object, "segments", (long long)scan->segments);
	suite_report_integer(object, "bytes", (long long)bytes);
	suite_report_real(object, "bytes_per_read", (double)bytes / rows);
	suite_report_real(object, "entropy_per_read", entropy);
	suite_report_integer(object, "entropy_rows", (long long)suite_entropy_rows(storage->entropy));
	(void)json_object_set_new(object, "columns", columns_new(storage));
	suite_report_integer(object, "pieces", (long long)storage->pieces);
	suite_report_real(object, "seal_reads_per_s", (double)storage->built.reads / storage->built.seal_s);
	suite_report_real(object, "merge_reads_per_s", storage->merge_s > 0 ? rows / storage->merge_s : NAN);
	suite_report_real(object, "decode_reads_per_s", rows / scan->decode_s);
	suite_report_real(object, "encode_reads_per_s", rows / scan->encode_s);
	suite_report_text(object, "speeds",
			  "one thread each; sealing while the fleet runs on another core; decoding with a warm cache");
	if (options->ingest_s > 0) {
		(void)json_object_set_new(object, "ingest", ingest_new(&storage->ingest, options));
		(void)json_object_set_new(object, "ingest_beside_search", ingest_new(&storage->searched, options));
	}
	(void)json_object_set_new(object, "complete", json_boolean(right));
	r = suite_report_print(object, options->json);
	json_decref(object);
	*ret_status = right ? 0 : 1;
	if (!right)
		fputs("gantry-bench: what was read back is not what was made\n", stderr);
	return r;
}

static int day_build(struct storage *storage, struct suite_store *store, struct err *err)
{
	const struct suite_options *options = storage->options;
	size_t pieces = suite_build_pieces(options->day_reads, options->piece_reads);
	uint64_t *ids = calloc(pieces + 1, sizeof(*ids));
	struct suite_progress progress;
	struct suite_builder builder = {.store = store, .fleet = storage->fleet, .progress = &progress, .hash = true};
	int r;

	if (ids == NULL)
		return err_set(err, -ENOMEM, "no memory");
	suite_progress_start(&progress, "day", options->day_reads);
	r = suite_build_day(&builder, storage->day, options->day_reads, options->piece_reads, err, &storage->built,
			    ids);
	suite_progress_end(&progress);
	storage->pieces = storage->built.segments;
	if (r == 0 && storage->pieces > 1) {
		fprintf(stderr, "merging %zu segments\n", storage->pieces);
		r = suite_store_merge(store, storage->day, ids, pieces, err, &storage->merge_s);
	}
	free(ids);
	return r;
}

static int day_scan(struct storage *storage, struct suite_store *store, struct err *err)
{
	struct keyring_info keyring;
	struct catalog_info catalog;
	char scratch[SUITE_PATH_SIZE + 32];
	int r;

	snprintf(scratch, sizeof(scratch), "%s/" SCRATCH, storage->room->path);
	if (mkdir(scratch, 0700) < 0 && errno != EEXIST)
		return err_set(err, -errno, "%s: %s", scratch, strerror(errno));
	fprintf(stderr, "reading it back\n");
	r = suite_scan_day(store, storage->day, scratch, ENTROPY_ROWS, storage->entropy, err, &storage->scan);
	(void)suite_room_remove(storage->room, SCRATCH);
	if (r < 0)
		return r;
	keyring_info(store_keyring(store->store), &keyring);
	r = catalog_info(store_catalog(store->store), &catalog);
	if (r < 0)
		return err_set(err, r, "catalog: %s", strerror(-r));
	storage->keyring_bytes = 2 * keyring.file_size;
	storage->catalog_bytes = catalog.bytes_used;
	return 0;
}

static int ingest_measure(struct storage *storage, bool search, struct suite_ingest *ret_ingest, struct err *err)
{
	const struct suite_options *options = storage->options;
	char directory[SUITE_PATH_SIZE + 32];
	char master[SUITE_PATH_SIZE + 32];
	struct suite_ingest_options ingest = {.directory = directory,
					      .master_path = master,
					      .fleet = storage->fleet,
					      .day = storage->day,
					      .seconds = options->ingest_s,
					      .reads_per_s = options->ingest_rate,
					      .memtable_bytes = suite_append_memtable(options->memtable_mib),
					      .search = search};
	int r;

	if (options->ingest_s == 0)
		return 0;
	snprintf(directory, sizeof(directory), "%s/" INGEST, storage->room->path);
	snprintf(master, sizeof(master), "%s/" INGEST_MASTER, storage->room->path);
	fprintf(stderr, "sealing beside ingest%s for %u s\n", search ? " and heavy searching" : "", options->ingest_s);
	r = suite_ingest_run(&ingest, err, ret_ingest);
	(void)suite_room_remove(storage->room, INGEST);
	(void)suite_room_remove(storage->room, INGEST_MASTER);
	return r;
}

static int measure(struct storage *storage, struct err *err)
{
	char place[SUITE_PATH_SIZE + 32];
	struct suite_store store;
	int r;

	snprintf(place, sizeof(place), "%s/" PLACE, storage->room->path);
	if (mkdir(place, 0700) < 0)
		return err_set(err, -errno, "%s: %s", place, strerror(errno));
	r = suite_store_open(&store, place, err);
	if (r < 0)
		return r;
	r = day_build(storage, &store, err);
	if (r == 0)
		r = day_scan(storage, &store, err);
	suite_store_close(&store);
	(void)suite_room_remove(storage->room, PLACE);
	if (r == 0)
		r = ingest_measure(storage, false, &storage->ingest, err);
	return r == 0 ? ingest_measure(storage, true, &storage->searched, err) : r;
}

int suite_storage(const struct suite_options *options, int *ret_status, struct err *err)
{
	const struct suite_fleet_options fleet_options = {.seed = options->seed,
							  .cameras = options->cameras,
							  .vehicles = options->vehicles,
							  .feeds = options->feeds};
	struct storage *storage = calloc(1, sizeof(*storage));
	struct suite_fleet *fleet = calloc(1, sizeof(*fleet));
	struct suite_room room;
	int r = storage == NULL || fleet == NULL || suite_entropy_new(&storage->entropy) < 0
			? err_set(err, -ENOMEM, "no memory")
			: suite_room_take(options->data, options->keep, suite_options_bytes(options), &room, err);

	if (r < 0)
		goto out;
	storage->options = options;
	storage->room = &room;
	storage->fleet = fleet;
	storage->day = read_day(clock_wall_us());
	fprintf(stderr, "storage: a day of %.1f M reads, up to %.1f GB in %s, about %.0f s\n",
		(double)options->day_reads / 1e6, (double)suite_options_bytes(options) / 1e9, room.path,
		10 + (double)options->day_reads / 4e5 + 2 * options->ingest_s);
	r = suite_fleet_init(fleet, &fleet_options);
	if (r < 0) {
		(void)err_set(err, r, "the fleet could not be made: %s", strerror(-r));
	} else {
		r = measure(storage, err);
		if (r == 0)
			r = report(storage, room.path, ret_status);
		suite_fleet_fini(fleet);
	}
	suite_room_leave(&room);
out:
	if (storage != NULL)
		suite_entropy_free(storage->entropy);
	free(storage);
	free(fleet);
	return r;
}
