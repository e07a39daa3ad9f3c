#include "storage/segment_page.h"

#include <errno.h>
#include <string.h>

#include "appliance/base/bytes.h"

#define HIT_SIZE 28
#define HITS_FIXED 4

size_t segment_hits_encode(const struct hit *hits, unsigned count, uint8_t *page)
{
	uint8_t *at = page + HITS_FIXED;

	le32_put(page, count);
	for (unsigned i = 0; i < count; i++, at += HIT_SIZE) {
		le32_put(at, hits[i].row);
		le32_put(at + 4, hits[i].list);
		le32_put(at + 8, hits[i].version);
		le32_put(at + 12, hits[i].entry);
		at[16] = hits[i].kind;
		at[17] = hits[i].priority;
		le16_put(at + 18, hits[i].flags);
		le64_put(at + 20, hits[i].number);
	}
	return (size_t)(at - page);
}

int segment_hits_decode(const uint8_t *page, size_t size, struct hit *ret_hits, uint32_t *ret_count)
{
	const uint8_t *at = page + HITS_FIXED;
	uint32_t count;

	if (size < HITS_FIXED)
		return -EBADMSG;
	count = le32_get(page);
	if (count == 0 || count > SEGMENT_PAGE_HITS || size != HITS_FIXED + (size_t)count * HIT_SIZE)
		return -EBADMSG;
	for (uint32_t i = 0; i < count; i++, at += HIT_SIZE)
		ret_hits[i] = (struct hit){.row = le32_get(at),
					   .list = le32_get(at + 4),
					   .version = le32_get(at + 8),
					   .entry = le32_get(at + 12),
					   .kind = at[16],
					   .priority = at[17],
					   .flags = le16_get(at + 18),
					   .number = le64_get(at + 20)};
	*ret_count = count;
	return 0;
}
