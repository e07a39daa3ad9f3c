#include "storage/late_tags.h"

#include <errno.h>
#include <stdlib.h>

#define SLOTS_MIN 64

static struct late_tag *slot_of(const struct late_tags *tags, struct late_tag tag)
{
	size_t at = tag.low & tags->mask;

	while ((tags->slots[at].low | tags->slots[at].high) != 0 &&
	       (tags->slots[at].low != tag.low || tags->slots[at].high != tag.high))
		at = (at + 1) & tags->mask;
	return &tags->slots[at];
}

int late_tags_reserve(struct late_tags *tags, size_t more)
{
	struct late_tags grown = {.count = tags->count};
	size_t slots = SLOTS_MIN;

	while (slots < 2 * (tags->count + more))
		slots *= 2;
	if (tags->slots != NULL && slots <= tags->mask + 1)
		return 0;
	grown.slots = calloc(slots, sizeof(*grown.slots));
	if (grown.slots == NULL)
		return -ENOMEM;
	grown.mask = slots - 1;
	for (size_t i = 0; tags->slots != NULL && i <= tags->mask; i++)
		if ((tags->slots[i].low | tags->slots[i].high) != 0)
			*slot_of(&grown, tags->slots[i]) = tags->slots[i];
	free(tags->slots);
	*tags = grown;
	return 0;
}

bool late_tags_add(struct late_tags *tags, struct late_tag tag)
{
	struct late_tag *slot = slot_of(tags, tag);

	if ((slot->low | slot->high) != 0)
		return false;
	*slot = tag;
	tags->count++;
	return true;
}

void late_tags_undo(struct late_tags *tags, struct late_tag tag)
{
	*slot_of(tags, tag) = (struct late_tag){0};
	tags->count--;
}

void late_tags_fini(struct late_tags *tags)
{
	free(tags->slots);
	*tags = (struct late_tags){0};
}
