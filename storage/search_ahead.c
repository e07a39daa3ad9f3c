#include "storage/search_ahead.h"

#include <errno.h>
#include <stdlib.h>

#include "storage/search_source.h"

#define POLL_OPENED 8 /* segments between two looks at the disk: their first reads go together */

struct slot {
	struct search_source *source;
	struct err *err; /* why it could not be opened, not told yet */
};

/* Turn t is that of segment t, or of the t-th from the end when the newest come first. */
struct search_ahead {
	struct slot *slots; /* by number */
	size_t count;
	size_t ahead;
	size_t first; /* turns before it are closed */
	size_t opened;
};

static bool is_narrow(const struct search *search)
{
	return search->keys.keyed || search->query->cameras != NULL || search->query->count_only;
}

int search_ahead_new(struct search *search)
{
	struct search_ahead *ahead = calloc(1, sizeof(*ahead));

	if (ahead == NULL)
		return -ENOMEM;
	ahead->count = search->view.segment_count;
	ahead->ahead = is_narrow(search) ? AHEAD_SEGMENTS : 1;
	ahead->slots = calloc(ahead->count + 1, sizeof(*ahead->slots));
	if (ahead->slots == NULL) {
		free(ahead);
		return -ENOMEM;
	}
	search->ahead = ahead;
	return 0;
}

void search_ahead_close(struct search *search, size_t number)
{
	struct slot *slot = &search->ahead->slots[number];

	if (slot->source != NULL)
		search_source_fini(slot->source, search);
	free(slot->source);
	free(slot->err);
	*slot = (struct slot){NULL, NULL};
}

void search_ahead_free(struct search *search)
{
	if (search->ahead == NULL)
		return;
	for (size_t i = 0; i < search->ahead->count; i++)
		search_ahead_close(search, i);
	free(search->ahead->slots);
	free(search->ahead);
	search->ahead = NULL;
}

static bool outside(const struct search *search, const struct catalog_segment *which)
{
	return which->capture_last_us < search->from_us || which->capture_first_us >= search->to_us;
}

static int start(struct search *search, struct slot *slot, struct segment *segment)
{
	int r = search->fetch != NULL ? 0 : fetch_new(views_io(search->views), &search->fetch);

	if (r == 0) {
		slot->source = malloc(sizeof(*slot->source));
		r = slot->source != NULL ? 0 : -ENOMEM;
	}
	if (r < 0) {
		view_segment_put(search->views, segment);
		return r;
	}
	return search_source_init_segment(slot->source, search, segment);
}

/* A segment purged meanwhile holds nothing; one that cannot be opened is a fault, told when its turn comes. */
static int open_slot(struct search *search, size_t number)
{
	const struct catalog_segment *which = &search->view.segments[number];
	struct slot *slot = &search->ahead->slots[number];
	struct segment *segment;
	struct err err = {""};
	int r;

	if (outside(search, which))
		return 0;
	r = view_segment_get(search->views, which, &err, &segment);
	if (r == 0)
		return start(search, slot, segment);
	if (r == VIEW_PURGED || r == -ENOMEM)
		return r < 0 ? r : 0;
	slot->err = malloc(sizeof(*slot->err));
	if (slot->err == NULL)
		return -ENOMEM;
	*slot->err = err;
	return 0;
}

static size_t number_of(const struct search *search, size_t turn)
{
	return search->query->oldest_first ? turn : search->ahead->count - 1 - turn;
}

int search_ahead_reach(struct search *search, size_t first, size_t count)
{
	struct search_ahead *ahead = search->ahead;
	size_t end;

	if (count == 0)
		return 0;
	ahead->first = search->query->oldest_first ? first : ahead->count - first - count;
	end = ahead->first + count + ahead->ahead;
	for (; ahead->opened < end && ahead->opened < ahead->count; ahead->opened++) {
		int r;

		/* What lies ahead is read by then only if there is time left. */
		if (ahead->opened >= ahead->first + count && search_must_stop(search))
			return 0;
		r = open_slot(search, number_of(search, ahead->opened));
		if (r < 0)
			return r;
		if (search->fetch != NULL && ahead->opened % POLL_OPENED == 0)
			(void)fetch_poll(search->fetch);
	}
	return 0;
}

struct search_source *search_ahead_source(struct search *search, size_t number)
{
	struct slot *slot = &search->ahead->slots[number];

	if (outside(search, &search->view.segments[number]))
		return NULL;
	if (slot->err != NULL)
		search_fault(search, slot->err);
	else if (slot->source != NULL)
		search->result->segments++;
	return slot->source;
}

int search_ahead_go(struct search_ahead *ahead, struct search *search)
{
	(void)fetch_poll(search->fetch);
	for (size_t turn = ahead->first; turn < ahead->opened; turn++) {
		struct search_source *source = ahead->slots[number_of(search, turn)].source;
		int r = source != NULL && source->woken ? search_source_go(source, search) : 0;

		if (r < 0)
			return r;
	}
	return 0;
}
