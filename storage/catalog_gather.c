#include "storage/catalog_gather.h"

#include <errno.h>
#include <stdlib.h>

#include "appliance/base/array.h"
#include "storage/segment_format.h"

struct gathering {
	int (*each)(const struct catalog_wanted *wanted, const MDB_val *key);
	const struct catalog_wanted *wanted;
	struct catalog_segment *list;
	size_t count;
	size_t room;
	struct segment_summary summary; /* large: kept off the stack */
};

static int list_add(struct gathering *gathering)
{
	const struct segment_summary *summary = &gathering->summary;
	void *grown = array_grow(gathering->list, gathering->count, &gathering->room, sizeof(*gathering->list));

	if (grown == NULL)
		return -ENOMEM;
	gathering->list = grown;
	gathering->list[gathering->count++] =
		(struct catalog_segment){.id = summary->id,
					 .case_number = gathering->wanted->case_number,
					 .row_count = summary->row_count,
					 .file_size = summary->file_size,
					 .capture_first_us = summary->capture_first_us,
					 .capture_last_us = summary->capture_last_us,
					 .day = summary->day,
					 .lineage_kind = summary->lineage_kind,
					 .lineage_count = summary->lineage_count,
					 .collapsed_count = summary->collapsed_count,
					 .hit_count = summary->sections[SEGMENT_HITS].item_count};
	return 0;
}

static bool is_chosen(const struct gathering *gathering)
{
	const struct catalog_choice *choice = gathering->wanted->choice;

	return choice == NULL || !choice->hits ||
	       segment_hit_fences_meet(&gathering->summary, choice->hit_after, choice->hit_upto);
}

static int pair_take(void *context, const MDB_val *key, const MDB_val *value)
{
	struct gathering *gathering = context;
	int r = gathering->each(gathering->wanted, key);

	if (r == 0)
		r = segment_summary_decode(value->mv_data, value->mv_size, NULL, &gathering->summary);
	return r == 0 && is_chosen(gathering) ? list_add(gathering) : r;
}

int catalog_gather(struct catalog *catalog, MDB_txn *txn, enum catalog_db db, const MDB_val *first,
		   int (*each)(const struct catalog_wanted *wanted, const MDB_val *key),
		   const struct catalog_wanted *wanted, struct catalog_segment **ret_segments, size_t *ret_count)
{
	struct gathering *gathering = calloc(1, sizeof(*gathering));
	int r;

	if (gathering == NULL)
		return -ENOMEM;
	gathering->each = each;
	gathering->wanted = wanted;
	r = catalog_each_pair_in(catalog, txn, db, first, pair_take, gathering);
	if (r < 0) {
		free(gathering->list);
	} else {
		*ret_segments = gathering->list;
		*ret_count = gathering->count;
		r = 0;
	}
	free(gathering);
	return r;
}
