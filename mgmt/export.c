#include "mgmt/export.h"

#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "appliance/base/bytes.h"
#include "appliance/base/err.h"
#include "mgmt/base64.h"
#include "mgmt/leaf.h"
#include "mgmt/note.h"

struct export
{
	merkle_hash *hashes;
	uint64_t count;
	uint64_t capacity;
	uint64_t first; /* index in the first leaf */
	uint64_t line;
	int64_t from_us;
	int64_t to_us;
};

static int add_leaf(struct export *export, const char *text, size_t text_size, struct err *err)
{
	uint8_t *bytes = malloc(LEAF_SIZE_MAX);
	size_t size = 0;
	struct leaf leaf;
	int r = 0;

	if (export->count == export->capacity) {
		uint64_t capacity = export->capacity > 0 ? 2 * export->capacity : 1024;
		merkle_hash *hashes = realloc(export->hashes, capacity * sizeof(*hashes));

		r = hashes != NULL ? 0 : -ENOMEM;
		export->hashes = hashes != NULL ? hashes : export->hashes;
		export->capacity = hashes != NULL ? capacity : export->capacity;
	}
	if (bytes == NULL || r < 0) {
		free(bytes);
		return err_set(err, -ENOMEM, "out of memory");
	}
	if (base64_decode(text, text_size, bytes, LEAF_SIZE_MAX, &size) < 0 || leaf_decode(bytes, size, &leaf) < 0)
		r = err_set(err, -EBADMSG, "line %" PRIu64 ": is not a leaf", export->line);
	else if (export->count > 0 && leaf.index != export->first + export->count)
		r = err_set(err, -EBADMSG, "line %" PRIu64 ": entry %" PRIu64 " stands where %" PRIu64 " belongs",
			    export->line, leaf.index, export->first + export->count);
	if (r == 0) {
		if (export->count == 0) {
			export->first = leaf.index;
			export->from_us = leaf.time_us;
		}
		export->to_us = leaf.time_us;
		merkle_leaf(bytes, size, export->hashes[export->count++]);
	}
	free(bytes);
	return r;
}

static int take_proof(const json_t *proof, merkle_hash *ret_path, unsigned *ret_count)
{
	size_t count = json_array_size(proof);

	if (!json_is_array(proof) || count > MERKLE_PATH_MAX)
		return -EBADMSG;
	for (size_t i = 0; i < count; i++) {
		const char *text = json_string_value(json_array_get(proof, i));

		if (text == NULL || hex_decode(text, ret_path[i], sizeof(ret_path[i])) < 0)
			return -EBADMSG;
	}
	*ret_count = (unsigned)count;
	return 0;
}

static int check_tree(const struct export *export, const json_t *trailer, const struct checkpoint *checkpoint,
		      struct err *err)
{
	const json_t *first = json_object_get(trailer, "first");
	const json_t *count = json_object_get(trailer, "count");
	const json_t *size = json_object_get(trailer, "size");
	merkle_hash path[MERKLE_PATH_MAX];
	unsigned path_count = 0;

	if (!json_is_integer(count) || (uint64_t)json_integer_value(count) != export->count)
		return err_set(err, -EBADMSG, "the file has %" PRIu64 " leaves, its last line says another number",
			       export->count);
	if (!json_is_integer(size) || (uint64_t)json_integer_value(size) != checkpoint->size)
		return err_set(err, -EBADMSG, "the last line's size is not the checkpoint's");
	if (export->count == 0)
		return 0;
	if (!json_is_integer(first) || (uint64_t)json_integer_value(first) != export->first)
		return err_set(err, -EBADMSG, "the first leaf is entry %" PRIu64 ", the last line says another",
			       export->first);
	if (take_proof(json_object_get(trailer, "proof"), path, &path_count) < 0)
		return err_set(err, -EBADMSG, "the last line's proof is not one");
	if (merkle_range_check(export->hashes, export->first, export->count, checkpoint->size, path, path_count,
			       checkpoint->root) < 0)
		return err_set(err, -EBADMSG,
			       "the leaves do not lead to the signed root: an entry or the proof was changed");
	return 0;
}

static int check_trailer(const struct export *export, const char *line, size_t size,
			 const struct note_verifier *verifier, struct checkpoint *ret_checkpoint, struct err *err)
{
	json_t *trailer = json_loadb(line, size, JSON_REJECT_DUPLICATES, NULL);
	const json_t *text = json_object_get(trailer, "checkpoint");
	int r;

	if (!json_is_string(text))
		r = err_set(err, -EBADMSG, "the last line has no checkpoint: the file is cut off or not an export");
	else
		r = checkpoint_open(json_string_value(text), json_string_length(text), verifier, ret_checkpoint, err);
	if (r == 0)
		r = check_tree(export, trailer, ret_checkpoint, err);
	json_decref(trailer);
	return r;
}

static int check_lines(FILE *file, struct export *export, const struct note_verifier *verifier,
		       struct checkpoint *ret_checkpoint, struct err *err)
{
	char *line = NULL;
	size_t capacity = 0;
	ssize_t size;
	bool ended = false;
	int r = 0;

	while (r == 0 && (size = getline(&line, &capacity, file)) >= 0) {
		export->line++;
		if (line[size - 1] != '\n' || ended)
			r = err_set(err, -EBADMSG, "line %" PRIu64 ": is cut off, or stands after the last",
				    export->line);
		else if (export->line == 1)
			r = (size_t)size == sizeof(EXPORT_HEAD) &&
					    memcmp(line, EXPORT_HEAD, sizeof(EXPORT_HEAD) - 1) == 0
				    ? 0
				    : err_set(err, -EBADMSG, "line 1: is not \"" EXPORT_HEAD "\"");
		else if (line[0] == '{') {
			ended = true;
			r = check_trailer(export, line, (size_t)size - 1, verifier, ret_checkpoint, err);
		} else
			r = add_leaf(export, line, (size_t)size - 1, err);
	}
	free(line);
	if (r == 0 && ferror(file))
		return err_set(err, -EIO, "cannot be read");
	return r == 0 && !ended ? err_set(err, -EBADMSG, "has no last line: it is cut off") : r;
}

int export_verify(FILE *file, const char *vkey, struct export_report *ret_report, struct err *err)
{
	struct export export = {0};
	struct note_verifier verifier;
	struct checkpoint checkpoint;
	int r = note_init();

	if (r == 0)
		r = note_vkey_parse(vkey, &verifier, err);
	if (r < 0)
		return r;
	r = check_lines(file, &export, &verifier, &checkpoint, err);
	free(export.hashes);
	if (r < 0)
		return r;
	*ret_report = (struct export_report){.first = export.first,
					     .count = export.count,
					     .size = checkpoint.size,
					     .from_us = export.from_us,
					     .to_us = export.to_us};
	memcpy(ret_report->root, checkpoint.root, sizeof(ret_report->root));
	return 0;
}
