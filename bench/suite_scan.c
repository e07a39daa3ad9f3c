#include "bench/suite_scan.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "appliance/base/clock.h"
#include "appliance/base/digest.h"
#include "bench/suite_build.h"
#include "bench/suite_entropy.h"
#include "bench/suite_store.h"
#include "storage/catalog.h"
#include "storage/keyring.h"
#include "storage/segment_format.h"
#include "storage/segment_read.h"
#include "storage/store.h"

struct pass {
	const struct segment *segment;
	struct segment_scratch scratch;
	struct segment_rows rows;
	uint32_t pages;
	struct err *err;
};

static double seconds_since(int64_t start_ns)
{
	return (double)(clock_mono_ns() - start_ns) / 1e9;
}

/* Every page, and nothing else: what is timed. */
static int decode_pass(struct pass *pass, struct suite_scan *scan)
{
	int64_t start_ns = clock_mono_ns();

	for (uint32_t page = 0; page < pass->pages; page++) {
		int r = segment_read_rows(pass->segment, &pass->scratch, page, pass->err, &pass->rows);

		if (r < 0)
			return r;
		scan->rows += pass->rows.count;
	}
	scan->decode_s += seconds_since(start_ns);
	return 0;
}

static void sizes_add(struct segment_sizes *sizes, const struct segment_sizes *more)
{
	if (sizes->count == 0) {
		*sizes = *more;
		return;
	}
	for (unsigned i = 0; i < sizes->count; i++)
		sizes->list[i].bytes += more->list[i].bytes;
}

/* The pages once more: content, entropy, and into a second file that tells what its columns took. */
static int encode_pass(struct pass *pass, struct segment_build *build, uint32_t stride, struct suite_entropy *entropy,
		       struct suite_scan *scan)
{
	uint64_t number;
	int r = 0;

	for (uint32_t page = 0; r == 0 && page < pass->pages; page++) {
		int64_t start_ns;

		r = segment_read_rows(pass->segment, &pass->scratch, page, pass->err, &pass->rows);
		if (r < 0)
			return r;
		for (uint32_t i = 0; i < pass->rows.count; i++)
			scan->content += suite_read_hash(&pass->rows.rows[i]);
		if (page % stride == 0 && suite_entropy_add(entropy, pass->rows.rows, pass->rows.count) < 0)
			return err_set(pass->err, -ENOMEM, "no memory for the entropy's tables");
		start_ns = clock_mono_ns();
		for (uint32_t i = 0; r == 0 && i < pass->rows.count; i++)
			r = segment_build_row(build, &pass->rows.rows[i], &number);
		scan->encode_s += seconds_since(start_ns);
	}
	return r < 0 ? err_set(pass->err, r, "encoding the rows again: %s", strerror(-r)) : 0;
}

static int rebuild(struct pass *pass, struct suite_store *store, const char *scratch, uint32_t stride,
		   struct suite_entropy *entropy, struct suite_scan *scan)
{
	const struct segment_summary *summary = segment_summary(pass->segment);
	struct segment_origin origin = {.day = summary->day,
					.key_version = summary->key_version,
					.lineage_kind = SEGMENT_FROM_SEGMENTS,
					.lineage = &summary->id,
					.lineage_count = 1};
	struct segment_summary *child = malloc(sizeof(*child));
	struct segment_build *build = NULL;
	char path[768];
	char name[SEGMENT_NAME_SIZE];
	struct segment_sizes sizes;
	uint8_t key[KEY_SIZE];
	int64_t start_ns;
	int r;

	random_bytes(key, sizeof(key));
	random_bytes(&origin.id, sizeof(origin.id));
	r = child == NULL ? -ENOMEM : segment_build_new(store->io, scratch, key, &origin, pass->err, &build);
	if (r == 0)
		r = encode_pass(pass, build, stride, entropy, scan);
	start_ns = clock_mono_ns();
	if (r == 0)
		r = segment_build_finish(build, pass->err, child);
	if (r == 0) {
		scan->encode_s += seconds_since(start_ns);
		segment_build_sizes(build, &sizes);
		sizes_add(&scan->sizes, &sizes);
	}
	segment_build_free(build);
	free(child);
	snprintf(path, sizeof(path), "%s/%s", scratch, segment_name(origin.day, origin.id, ".seg", name));
	(void)unlink(path);
	return r;
}

static int segment_scan(struct suite_store *store, const struct catalog_segment *which, const char *scratch,
			uint64_t rows_max, struct suite_entropy *entropy, struct err *err, struct suite_scan *scan)
{
	struct pass *pass = calloc(1, sizeof(*pass));
	struct segment *segment;
	uint32_t stride;
	int r;

	if (pass == NULL)
		return err_set(err, -ENOMEM, "no memory");
	r = segment_open(store->io, store_keyring(store->store), store->segments, which->day, which->id, err, &segment);
	if (r < 0) {
		free(pass);
		return r;
	}
	pass->segment = segment;
	pass->pages = segment_summary(segment)->sections[SEGMENT_ROWS].page_count;
	pass->err = err;
	stride = (uint32_t)(which->row_count / (rows_max + 1)) + 1;
	r = rebuild(pass, store, scratch, stride, entropy, scan);
	/* Afterwards, when the file is in the page cache as far as it fits. */
	if (r == 0)
		r = decode_pass(pass, scan);
	scan->file_bytes += which->file_size;
	scan->segments++;
	segment_scratch_fini(&pass->scratch);
	segment_free(segment);
	free(pass);
	return r;
}

int suite_scan_day(struct suite_store *store, int32_t day, const char *scratch, uint64_t rows_max,
		   struct suite_entropy *entropy, struct err *err, struct suite_scan *ret_scan)
{
	struct catalog_segment *segments;
	struct suite_scan *scan = calloc(1, sizeof(*scan));
	size_t count;
	int r = scan == NULL ? -ENOMEM : catalog_segments(store_catalog(store->store), day, day, &segments, &count);

	if (r < 0) {
		free(scan);
		return err_set(err, r, "catalog: %s", strerror(-r));
	}
	for (size_t i = 0; r == 0 && i < count; i++)
		r = segment_scan(store, &segments[i], scratch, rows_max / count, entropy, err, scan);
	if (r == 0)
		*ret_scan = *scan;
	free(segments);
	free(scan);
	return r;
}
