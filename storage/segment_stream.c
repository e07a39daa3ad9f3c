/*
 * Two queues. `leaves` are fence pages, ascending, being read or read; `pages` are those found or asked for, ascending,
 * the oldest being the next to give. A page goes: WANTED (its fence is not known yet), PLACED, STARTED (its bytes are
 * in the read of its leader, itself or a neighbour before it), or LOST (its fence cannot be read). A leaf goes when no
 * page needs it any more; a read goes with the last page in it.
 *
 * With ranges, `ask` runs ahead and requests the leaves they lie in, and `take` follows and makes pages of them.
 */
#include "storage/segment_stream.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "appliance/base/bytes.h"
#include "storage/segment_file.h"

static_assert(SEGMENT_LEAF_SIZE_MAX <= FETCH_SIZE_MAX && STREAM_PIECE_SIZE <= FETCH_SIZE_MAX &&
		      SEGMENT_PAGE_SIZE_MAX <= STREAM_PIECE_SIZE,
	      "every page can be read in one go");

enum page_state { PAGE_WANTED, PAGE_PLACED, PAGE_STARTED, PAGE_LOST };

struct page {
	struct fetch_read read; /* of a leader */
	uint64_t offset;
	uint32_t size;
	uint32_t number;
	uint32_t first;
	uint32_t leader; /* its sequence */
	uint8_t state;
	uint8_t key[16];
};

struct leaf {
	struct fetch_read read;
	uint32_t number;
	uint32_t pages; /* 0: not opened yet */
	bool lost;
	bool told; /* that it is lost */
};

struct place {
	size_t range;
	uint32_t leaf;
};

/* Sequences only grow; sequence s stands in slot s % size. */
struct segment_stream {
	struct fetch *fetch;
	struct segment *segment;
	unsigned section;
	bool *signal;
	const struct key_range *ranges;
	size_t range_count;
	struct place ask;
	struct place take;
	uint32_t take_page;   /* within the leaf: pages before it are not wanted any more */
	bool entered;         /* the first page of the range in this leaf has been found */
	uint32_t oldest_page; /* whose read is still in use */
	uint32_t first_page, started_page, placed_page, end_page;
	uint32_t first_leaf, end_leaf;
	bool holding; /* the page given last still stands in first_page − 1 */
	struct leaf leaves[STREAM_LEAVES];
	struct page pages[STREAM_PAGES];
};

static struct page *page_at(struct segment_stream *stream, uint32_t sequence)
{
	return &stream->pages[sequence % STREAM_PAGES];
}

static struct leaf *leaf_at(struct segment_stream *stream, uint32_t sequence)
{
	return &stream->leaves[sequence % STREAM_LEAVES];
}

static const struct segment_section_info *info(const struct segment_stream *stream)
{
	return &segment_summary(stream->segment)->sections[stream->section];
}

static const struct segment_fence *top(const struct segment_stream *stream, uint32_t leaf)
{
	return &stream->segment->top[stream->segment->top_first[stream->section] + leaf];
}

struct segment_stream *segment_stream_new(struct fetch *fetch, struct segment *segment, unsigned section,
					  const struct key_range *ranges, size_t range_count, bool *signal)
{
	struct segment_stream *stream = calloc(1, sizeof(*stream));

	if (stream == NULL)
		return NULL;
	stream->fetch = fetch;
	stream->segment = segment;
	stream->section = section;
	stream->signal = signal;
	stream->ranges = ranges;
	stream->range_count = ranges != NULL && info(stream)->page_count > 0 ? range_count : 0;
	if (stream->range_count > 0)
		stream->ask.leaf = stream->take.leaf = segment_find_leaf(segment, section, ranges[0].low);
	return stream;
}

static void drop_leaves_before(struct segment_stream *stream, uint32_t number)
{
	while (stream->first_leaf != stream->end_leaf && leaf_at(stream, stream->first_leaf)->number < number)
		fetch_release(stream->fetch, &leaf_at(stream, stream->first_leaf++)->read);
}

struct segment_stream *segment_stream_free(struct segment_stream *stream)
{
	if (stream == NULL)
		return NULL;
	for (uint32_t s = stream->oldest_page; s != stream->end_page; s++)
		fetch_release(stream->fetch, &page_at(stream, s)->read);
	drop_leaves_before(stream, UINT32_MAX);
	free(stream);
	return NULL;
}

bool segment_stream_want(struct segment_stream *stream, uint32_t page)
{
	if (stream->end_page - stream->oldest_page == STREAM_PAGES)
		return false;
	*page_at(stream, stream->end_page++) = (struct page){.number = page, .state = PAGE_WANTED};
	return true;
}

/* The leaf's entry, requested now if need be; NULL when the queue of leaves is full. */
static struct leaf *request_leaf(struct segment_stream *stream, uint32_t number)
{
	const struct segment_fence *fence = top(stream, number);
	struct io_file *file;
	struct leaf *leaf;
	int r;

	for (uint32_t s = stream->first_leaf; s != stream->end_leaf; s++)
		if (leaf_at(stream, s)->number == number)
			return leaf_at(stream, s);
	if (stream->end_leaf - stream->first_leaf == STREAM_LEAVES)
		return NULL;
	leaf = leaf_at(stream, stream->end_leaf++);
	*leaf = (struct leaf){.number = number};
	r = segment_direct_file(stream->segment, &file);
	if (r < 0 || fence->size <= AEAD_TAG_SIZE) {
		leaf->read.state = FETCH_DONE;
		leaf->read.result = r < 0 ? r : -EBADMSG;
	} else {
		fetch_start(stream->fetch, &leaf->read, file, fence->offset, fence->size, stream->signal);
	}
	return leaf;
}

/* Opens a leaf that has come, once. */
static void open_leaf(struct segment_stream *stream, struct leaf *leaf)
{
	if (leaf->pages > 0 || leaf->lost)
		return;
	leaf->lost = leaf->read.result < 0 ||
		     segment_open_leaf(stream->segment, stream->section, leaf->number, fetch_bytes(&leaf->read),
				       leaf->read.size, NULL, &leaf->pages) < 0;
	if (!leaf->lost)
		fetch_count_page(stream->fetch);
}

static const uint8_t *leaf_fence(const struct leaf *leaf, uint32_t index)
{
	return fetch_bytes(&leaf->read) + SEGMENT_FENCES_AT + (size_t)index * SEGMENT_FENCE_SIZE;
}

/* To the next leaf in which keys of the ranges may lie. */
static void step(const struct segment_stream *stream, struct place *place)
{
	if (place->leaf + 1 < info(stream)->leaf_count &&
	    memcmp(top(stream, place->leaf + 1)->key, stream->ranges[place->range].high, 16) <= 0) {
		place->leaf++;
		return;
	}
	if (++place->range < stream->range_count) {
		uint32_t leaf = segment_find_leaf(stream->segment, stream->section, stream->ranges[place->range].low);

		place->leaf = leaf > place->leaf ? leaf : place->leaf;
	}
}

static void ask_leaves(struct segment_stream *stream)
{
	while (stream->ask.range < stream->range_count && request_leaf(stream, stream->ask.leaf) != NULL)
		step(stream, &stream->ask);
}

/* The last page of the leaf whose first key is below `key`; the first one when there is none. */
static uint32_t find_in_leaf(const struct leaf *leaf, const uint8_t key[16])
{
	uint32_t low = 0;
	uint32_t high = leaf->pages;

	while (high - low > 1) {
		uint32_t middle = low + (high - low) / 2;

		if (memcmp(leaf_fence(leaf, middle), key, 16) < 0)
			low = middle;
		else
			high = middle;
	}
	return low;
}

/* Makes pages of the current range in this leaf. False: no room for more. */
static bool take_pages(struct segment_stream *stream, const struct leaf *leaf)
{
	const struct key_range *range = &stream->ranges[stream->take.range];
	uint32_t base = leaf->number * info(stream)->leaf_pages;

	if (!stream->entered) {
		uint32_t found = base + find_in_leaf(leaf, range->low);

		stream->take_page = found > stream->take_page ? found : stream->take_page;
		stream->entered = true;
	}
	while (stream->take_page < base + leaf->pages &&
	       memcmp(leaf_fence(leaf, stream->take_page - base), range->high, 16) <= 0) {
		if (!segment_stream_want(stream, stream->take_page))
			return false;
		stream->take_page++;
	}
	return true;
}

/* A leaf that cannot be read stands in the queue of pages as one of its own. False: no room. */
static bool take_loss(struct segment_stream *stream, struct leaf *leaf)
{
	if (!leaf->told && !segment_stream_want(stream, leaf->number * info(stream)->leaf_pages))
		return false;
	leaf->told = true;
	return true;
}

static void take_leaves(struct segment_stream *stream)
{
	while (stream->take.range < stream->range_count) {
		struct leaf *leaf = request_leaf(stream, stream->take.leaf);

		if (leaf == NULL || !fetch_done(&leaf->read))
			return;
		open_leaf(stream, leaf);
		if (!(leaf->lost ? take_loss(stream, leaf) : take_pages(stream, leaf)))
			return;
		step(stream, &stream->take);
		stream->entered = false;
	}
}

/* Gives pages their places from the fences that have come. */
static void place_pages(struct segment_stream *stream)
{
	uint32_t leaf_pages = info(stream)->leaf_pages;

	for (; stream->placed_page != stream->end_page; stream->placed_page++) {
		struct page *page = page_at(stream, stream->placed_page);
		struct leaf *leaf = request_leaf(stream, page->number / leaf_pages);
		struct segment_fence fence;

		if (leaf == NULL || !fetch_done(&leaf->read))
			break;
		open_leaf(stream, leaf);
		page->state = PAGE_LOST;
		page->offset = leaf->number;
		memcpy(page->key, top(stream, leaf->number)->key, sizeof(page->key));
		if (leaf->lost || page->number % leaf_pages >= leaf->pages)
			continue;
		segment_fence_decode(leaf_fence(leaf, page->number % leaf_pages), &fence);
		page->state = PAGE_PLACED;
		page->offset = fence.offset;
		page->size = fence.size;
		page->first = fence.first;
		memcpy(page->key, fence.key, sizeof(page->key));
	}
}

/* Asks for the leaves of pages to come, and lets go those behind. */
static void keep_leaves(struct segment_stream *stream)
{
	uint32_t leaf_pages = info(stream)->leaf_pages;
	uint32_t needed = UINT32_MAX;

	if (stream->placed_page != stream->end_page)
		needed = page_at(stream, stream->placed_page)->number / leaf_pages;
	if (stream->take.range < stream->range_count && stream->take.leaf < needed)
		needed = stream->take.leaf;
	drop_leaves_before(stream, needed);
	for (uint32_t s = stream->placed_page, last = UINT32_MAX; s != stream->end_page; s++) {
		uint32_t leaf = page_at(stream, s)->number / leaf_pages;

		if (leaf != last && request_leaf(stream, leaf) == NULL)
			break;
		last = leaf;
	}
}

static bool page_fits(const struct segment_stream *stream, const struct page *page)
{
	uint64_t file_size = segment_summary(stream->segment)->file_size;

	return page->size > AEAD_TAG_SIZE && page->size <= SEGMENT_PAGE_SIZE_MAX && page->offset <= file_size &&
	       page->size <= file_size - page->offset;
}

/* Starts to read placed pages, those that lie side by side together. */
static void start_pages(struct segment_stream *stream)
{
	while (stream->started_page != stream->placed_page) {
		uint32_t leader = stream->started_page;
		struct page *page = page_at(stream, stream->started_page++);
		uint32_t size = page->size;
		struct io_file *file;

		page->leader = leader;
		if (page->state != PAGE_PLACED || !page_fits(stream, page) ||
		    segment_direct_file(stream->segment, &file) < 0)
			continue; /* next says what is wrong with it */
		page->state = PAGE_STARTED;
		while (stream->started_page != stream->placed_page) {
			struct page *follower = page_at(stream, stream->started_page);

			if (follower->state != PAGE_PLACED || !page_fits(stream, follower) ||
			    follower->offset != page->offset + size || size + follower->size > STREAM_PIECE_SIZE)
				break;
			follower->state = PAGE_STARTED;
			follower->leader = leader;
			size += follower->size;
			stream->started_page++;
		}
		fetch_start(stream->fetch, &page->read, file, page->offset, size, stream->signal);
	}
}

/* The page given last is done with; the read that it was the last one of goes too. */
static void let_go(struct segment_stream *stream)
{
	const struct page *given;

	if (stream->holding) {
		given = page_at(stream, stream->first_page - 1);
		if (stream->first_page != stream->started_page &&
		    page_at(stream, stream->first_page)->leader == given->leader)
			return;
		fetch_release(stream->fetch, &page_at(stream, given->leader)->read);
		stream->holding = false;
	}
	stream->oldest_page = stream->first_page;
}

void segment_stream_go(struct segment_stream *stream)
{
	ask_leaves(stream);
	take_leaves(stream);
	place_pages(stream);
	keep_leaves(stream);
	start_pages(stream);
}

bool segment_stream_ready(const struct segment_stream *stream)
{
	const struct page *page = &stream->pages[stream->first_page % STREAM_PAGES];

	if (stream->first_page == stream->end_page)
		return stream->take.range == stream->range_count;
	if (stream->first_page == stream->started_page)
		return false;
	return page->state != PAGE_STARTED || fetch_done(&stream->pages[page->leader % STREAM_PAGES].read);
}

void segment_stream_urge(struct segment_stream *stream)
{
	if (stream->first_page != stream->started_page)
		fetch_urge(stream->fetch, &page_at(stream, page_at(stream, stream->first_page)->leader)->read);
	else if (stream->first_leaf != stream->end_leaf)
		fetch_urge(stream->fetch, &leaf_at(stream, stream->first_leaf)->read);
}

static int open_page(struct segment_stream *stream, const struct page *page, struct err *err,
		     struct segment_stream_page *ret_page)
{
	const struct page *leader = page_at(stream, page->leader);
	const struct segment_summary *summary = segment_summary(stream->segment);
	uint8_t *bytes;

	ret_page->page = page->number;
	ret_page->first = page->first;
	memcpy(ret_page->key, page->key, sizeof(page->key));
	if (page->state == PAGE_LOST)
		return segment_damaged(stream->segment, err, stream->section | SEGMENT_LEAF, (uint32_t)page->offset,
				       "cannot be read");
	if (page->state != PAGE_STARTED)
		return segment_damaged(stream->segment, err, stream->section, page->number, "lies outside the file");
	if (leader->read.result < 0) {
		(void)segment_damaged(stream->segment, err, stream->section, page->number,
				      leader->read.result == -EBADMSG ? "cut short" : strerror(-leader->read.result));
		return leader->read.result;
	}
	bytes = fetch_bytes(&leader->read) + (page->offset - leader->offset);
	if (segment_page_open(&stream->segment->key, summary->day, summary->id, stream->section, page->number, bytes,
			      page->size) < 0)
		return segment_damaged(stream->segment, err, stream->section, page->number, "not what its key sealed");
	ret_page->bytes = bytes;
	ret_page->size = page->size - AEAD_TAG_SIZE;
	fetch_count_page(stream->fetch);
	return 0;
}

/* All pages of a lost leaf that wait behind one another are one loss. */
static void skip_loss(struct segment_stream *stream, uint64_t leaf)
{
	while (stream->first_page != stream->started_page && page_at(stream, stream->first_page)->state == PAGE_LOST &&
	       page_at(stream, stream->first_page)->offset == leaf)
		stream->first_page++;
}

int segment_stream_next(struct segment_stream *stream, struct err *err, struct segment_stream_page *ret_page)
{
	struct page *page;
	int r;

	let_go(stream);
	if (stream->first_page == stream->end_page)
		return SEGMENT_STREAM_END;
	page = page_at(stream, stream->first_page++);
	stream->holding = page->state == PAGE_STARTED;
	r = open_page(stream, page, err, ret_page);
	if (page->state == PAGE_LOST)
		skip_loss(stream, page->offset);
	return r;
}
