#include "tests/storage/rewrite_rig.h"

#include <stdio.h>
#include <stdlib.h>

#include "storage/io.h"
#include "storage/store_internal.h"
#include "storage/tidier.h"
#include "tests/check.h"
#include "tests/storage/sim_io.h"
#include "tests/storage/rig_check.h"
#include "tests/storage/store_rig.h"

struct rig *rig_new(struct io *io, uint64_t seed)
{
	static unsigned number;
	struct rig *rig = malloc(sizeof(*rig));
	char path[600];

	CHECK(rig != NULL);
	/* LMDB's flushes, by the thousand, are not what is tested. */
	snprintf(path, sizeof(path), "%s/db%u", check_memory_directory(), number++);
	rig_init(rig, io, RIG_DIRECTORY, path, seed);
	rig->options.workers = 1; /* one journal, one segment a day for each sealing */
	rig->options.catalog_map_size = 16 << 20;
	rig->options.memtable_bytes_max = (size_t)40 << 20;
	return rig;
}

int rig_merge_all(struct rig *rig)
{
	int result;

	do
		result = tidier_round(rig->store);
	while (result == TIDIER_MORE);
	return result;
}

void rig_fill(struct rig *rig, unsigned rounds)
{
	rig_check_open(rig, "to be filled");
	for (unsigned round = 0; round < rounds; round++) {
		for (unsigned i = 0; i < 24; i++)
			(void)rig_send(rig);
		rig_settle(rig, 1000);
		CHECK_INT(0, store_seal_all(rig->store, INT64_C(5000000000)));
	}
}

uint64_t rig_segments(struct rig *rig)
{
	struct catalog_info info;

	CHECK_INT(0, catalog_info(store_catalog(rig->store), &info));
	return info.segments;
}

void rig_check_books(struct rig *rig, uint64_t reads)
{
	struct catalog_totals totals;
	struct catalog_segment *segments;
	struct store_status *status = malloc(sizeof(*status));
	uint64_t rows = 0, bytes = 0;
	size_t count;

	CHECK(status != NULL);
	CHECK_INT(0, catalog_totals(store_catalog(rig->store), &totals));
	CHECK_INT(reads, totals.stored + totals.collapsed + totals.erased);
	CHECK_INT(0, catalog_segments(store_catalog(rig->store), INT32_MIN, INT32_MAX, &segments, &count));
	for (size_t i = 0; i < count; i++) {
		rows += segments[i].row_count;
		bytes += segments[i].file_size;
	}
	free(segments);
	CHECK_INT(0, store_status(rig->store, status));
	CHECK_INT(count, status->segments);
	CHECK_INT(rows, status->reads_segments);
	CHECK_INT(bytes, status->segment_bytes);
	CHECK_INT(totals.erased, status->erased_total);
	free(status);
}

void rig_check_reopens(struct rig *rig, const char *what)
{
	CHECK_INT(0, rig_close(rig, true));
	rig_check_open(rig, what);
	rig_check(rig, rig_verify(rig), what);
	rig_check(rig, rig_verify_tidy(rig), what);
}
