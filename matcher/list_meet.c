/* One VRM against one list, entry by entry: the slow answer that a person asks for. */
#include "matcher/list_edit.h"

#include <string.h>

#include "appliance/base/glob.h"
#include "matcher/list_build.h"
#include "matcher/vrm.h"
#include "matcher/vrm_variants.h"

struct question {
	const uint8_t *key;
	const uint8_t *text;
	uint8_t alike[READ_TEXT_SIZE];
	const struct list_info *list;
};

static bool one_differs(const uint8_t a[READ_TEXT_SIZE], const uint8_t b[READ_TEXT_SIZE])
{
	size_t size = vrm_key_size(a);
	unsigned differing = 0;

	if (size != vrm_key_size(b) || size < VRM_SUBSTITUTION_MIN || size > VRM_SUBSTITUTION_MAX)
		return false;
	for (size_t i = 0; i < size; i++)
		differing += a[i] != b[i];
	return differing == 1;
}

static bool meets_misread(const struct question *question, const struct list_entry *entry,
			  const uint8_t key[READ_TEXT_SIZE])
{
	enum list_tolerance tolerance = list_tolerance_of(question->list, entry->flags);
	uint8_t alike[READ_TEXT_SIZE];

	if (tolerance == LIST_TOLERANCE_OFF)
		return false;
	vrm_alike(key, alike);
	if (memcmp(alike, question->alike, sizeof(alike)) == 0)
		return true;
	return tolerance == LIST_TOLERANCE_SUBSTITUTION && one_differs(key, question->key);
}

/* *ret_exact: not by misread. */
static bool meets(const struct question *question, const struct list_entry *entry, bool *ret_exact)
{
	uint8_t key[READ_TEXT_SIZE] = {0};
	uint8_t text[READ_TEXT_SIZE] = {0};
	struct glob glob;

	*ret_exact = true;
	if ((entry->flags & LIST_FLAG_WILDCARD) != 0)
		return glob_compile(entry->pattern, strlen(entry->pattern), &glob) == 0 &&
		       glob_match(&glob, question->key);
	memcpy(key, entry->pattern, strnlen(entry->pattern, sizeof(key)));
	if (memcmp(key, question->key, sizeof(key)) == 0) {
		memcpy(text, entry->text, strnlen(entry->text, sizeof(text)));
		return (entry->flags & LIST_FLAG_AS_RECEIVED) == 0 || memcmp(text, question->text, sizeof(text)) == 0;
	}
	*ret_exact = false;
	return meets_misread(question, entry, key);
}

uint32_t list_meet(const struct list *list, const uint8_t key[16], const uint8_t text[16], uint32_t count_max,
		   void (*tell)(void *context, uint32_t index, bool exact), void *context)
{
	struct question question = {.key = key, .text = text, .list = &list->info};
	uint32_t count = 0;

	vrm_alike(key, question.alike);
	for (uint32_t i = 0; i < list->count && count < count_max; i++) {
		struct list_entry entry;
		bool exact;

		if ((list->slots[i].flags & LIST_FLAG_REMOVED) != 0)
			continue;
		list_entry(list, i, &entry);
		if (meets(&question, &entry, &exact)) {
			count++;
			tell(context, i, exact);
		}
	}
	return count;
}
