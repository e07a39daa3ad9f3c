/*
 * The catalog was lost: the files are the witnesses, each by the header that its key seals.
 *
 *   - A child names its parents and is whole: a segment that another one of its day names goes. (A parent is rewritten
 *     only when what it was made from is destroyed, so no chain is longer than this.)
 *   - A segment one of whose journals still has its key goes: that journal is sealed anew.
 *   - Of several with the same origin the first stays.
 *
 * What stays is adopted in one transaction, then the others are removed: a start that is cut short does it all again.
 */
#include "storage/recovery_segment.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "appliance/base/bytes.h"
#include "storage/segment_read.h"
#include "storage/store_internal.h"

struct claim {
	uint64_t id;
	int32_t day;
};

struct adoption {
	struct store *store;
	struct err *err;
	struct segment_files *files;
	size_t at;
	size_t adopted;
	struct claim *claims; /* segments that a child names, sorted */
	size_t claim_count;
	size_t claim_capacity;
	uint64_t *origins; /* of those adopted, hashed */
	size_t origin_count;
	size_t origin_capacity;
};

/*
 * 0, 1 when it is of no use (its key is gone, or it is damaged, which is told), or < 0: a file that cannot be read
 * today may be readable tomorrow, and the start after this one would remove it.
 */
static int file_open(struct adoption *adoption, struct segment_file *file, struct segment **ret_segment)
{
	struct store *store = adoption->store;
	struct err err;
	int result = segment_open(store->io, store->keyring, store->segments_directory, file->day, file->id, &err,
				  ret_segment);

	if (result == 0)
		return 0;
	file->unwanted = result == -ENOKEY;
	file->damaged = result == -EBADMSG || result == -ENOTSUP;
	if (file->damaged)
		store_damage(store, "segment of day %d left out: %s", file->day, err.text);
	if (file->damaged || file->unwanted)
		return 1;
	return err_set(
		adoption->err, result,
		"the catalog was lost, and not every segment can be read: %s; mend the cause and start again, or "
		"give its reads up by moving it away",
		err.text);
}

static int claim_order(const void *a, const void *b)
{
	const struct claim *left = a;
	const struct claim *right = b;

	if (left->day != right->day)
		return left->day < right->day ? -1 : 1;
	return left->id < right->id ? -1 : left->id > right->id;
}

static int claims_add(struct adoption *adoption, const struct segment_summary *summary)
{
	if (summary->lineage_kind != SEGMENT_FROM_SEGMENTS)
		return 0;
	for (uint32_t i = 0; i < summary->lineage_count; i++) {
		if (recovery_grow((void **)&adoption->claims, &adoption->claim_capacity, adoption->claim_count,
				  sizeof(*adoption->claims)) < 0)
			return -ENOMEM;
		adoption->claims[adoption->claim_count++] =
			(struct claim){.id = summary->lineage[i], .day = summary->day};
	}
	return 0;
}

/* Judges every file by itself, and gathers what children name. */
static int files_look(struct adoption *adoption)
{
	int result = 0;

	for (size_t i = 0; result == 0 && i < adoption->files->count; i++) {
		struct segment_file *file = &adoption->files->files[i];
		struct segment *segment;

		file->unwanted = file->unfinished || keyring_day_destroyed(adoption->store->keyring, file->day);
		if (file->unwanted)
			continue;
		result = file_open(adoption, file, &segment);
		if (result == 0) {
			result = claims_add(adoption, segment_summary(segment));
			segment_free(segment);
		}
		result = result > 0 ? 0 : result;
	}
	if (adoption->claim_count > 0)
		qsort(adoption->claims, adoption->claim_count, sizeof(*adoption->claims), claim_order);
	return result;
}

static bool claimed(const struct adoption *adoption, const struct segment_file *file)
{
	struct claim claim = {.id = file->id, .day = file->day};

	return adoption->claim_count > 0 &&
	       bsearch(&claim, adoption->claims, adoption->claim_count, sizeof(*adoption->claims), claim_order) != NULL;
}

static bool journal_has_key(struct store *store, uint64_t id)
{
	uint8_t key[KEY_SIZE];
	int result =
		keyring_get(store->keyring, (struct key_id){.id = id, .day = KEY_DAY_NONE, .kind = KEY_JOURNAL}, key);

	bytes_wipe(key, sizeof(key));
	return result == 0;
}

/* 1 when it is the only witness of its reads, 0, -ENOMEM. */
static int adoptable(struct adoption *adoption, const struct segment_summary *summary)
{
	uint64_t hash = XXH3_64bits_withSeed(summary->lineage, summary->lineage_count * sizeof(summary->lineage[0]),
					     (uint64_t)(uint32_t)summary->day);

	if (summary->lineage_kind == SEGMENT_FROM_JOURNALS)
		for (uint32_t i = 0; i < summary->lineage_count; i++)
			if (journal_has_key(adoption->store, summary->lineage[i]))
				return 0;
	for (size_t i = 0; i < adoption->origin_count; i++)
		if (adoption->origins[i] == hash)
			return 0;
	if (recovery_grow((void **)&adoption->origins, &adoption->origin_capacity, adoption->origin_count,
			  sizeof(hash)) < 0)
		return -ENOMEM;
	adoption->origins[adoption->origin_count++] = hash;
	return 1;
}

/* 1 with its summary when the file is to be adopted, 0 when not, < 0. */
static int file_judge(struct adoption *adoption, struct segment_file *file, struct segment_summary *ret_summary)
{
	struct segment *segment;
	int result;

	if (file->unwanted || file->damaged)
		return 0;
	if (claimed(adoption, file)) {
		file->unwanted = true;
		return 0;
	}
	result = file_open(adoption, file, &segment);
	if (result != 0)
		return result < 0 ? result : 0;
	result = adoptable(adoption, segment_summary(segment));
	if (result > 0)
		*ret_summary = *segment_summary(segment);
	file->unwanted = result == 0;
	segment_free(segment);
	return result;
}

static int next_adopted(void *context, struct segment_summary *ret_summary)
{
	struct adoption *adoption = context;
	int result = 0;

	while (result == 0 && adoption->at < adoption->files->count)
		result = file_judge(adoption, &adoption->files->files[adoption->at++], ret_summary);
	adoption->adopted += result > 0;
	return result;
}

int recovery_adopt(struct store *store, struct segment_files *files, struct err *err)
{
	struct adoption adoption = {.store = store, .err = err, .files = files};
	int result = files_look(&adoption);

	if (result == 0)
		result = catalog_adopt_all(store->catalog, next_adopted, &adoption);
	for (size_t i = 0; result == 0 && i < files->count; i++)
		if (files->files[i].unwanted)
			result = recovery_file_remove(store, &files->files[i]);
	store->catalog_lost = adoption.adopted > 0;
	if (result == 0 && adoption.adopted > 0)
		store_damage(store, "the catalog was lost: %zu segments adopted, lanes begin anew", adoption.adopted);
	free(adoption.claims);
	free(adoption.origins);
	return result;
}
