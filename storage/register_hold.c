#include "storage/register_hold.h"

#include <assert.h>
#include <errno.h>

#include "storage/register_cursor.h"

static struct cursor record_begin(uint8_t buffer[REG_RECORD_SIZE_MAX], uint32_t number)
{
	struct cursor cursor = reg_record_begin(buffer, REG_RECORD_VERSION);

	cursor_put_u32(&cursor, number);
	return cursor;
}

static struct cursor record_read(const void *bytes, size_t size, uint32_t *ret_number)
{
	struct cursor cursor = reg_record_read(bytes, size);

	*ret_number = cursor_get_u32(&cursor);
	return cursor;
}

size_t reg_hold_encode(const struct reg_hold *hold, uint8_t buffer[REG_RECORD_SIZE_MAX])
{
	struct cursor cursor = record_begin(buffer, hold->number);

	assert(hold->hold_class == REG_HOLD_CPIA || hold->hold_class == REG_HOLD_MOPI);
	cursor_put_u8(&cursor, hold->hold_class);
	cursor_put_u8(&cursor, hold->released);
	cursor_put_u32(&cursor, (uint32_t)hold->review_day);
	cursor_put_u64(&cursor, (uint64_t)hold->created_us);
	cursor_put_u32(&cursor, hold->who_uid);
	cursor_put_u32(&cursor, hold->released_uid);
	cursor_put_text(&cursor, hold->reference);
	cursor_put_text(&cursor, hold->reason);
	return reg_record_end(&cursor, buffer);
}

int reg_hold_decode(const void *bytes, size_t size, struct reg_hold *ret_hold)
{
	struct reg_hold hold = {0};
	struct cursor cursor = record_read(bytes, size, &hold.number);

	hold.hold_class = cursor_get_u8(&cursor);
	hold.released = reg_get_flag(&cursor);
	hold.review_day = (int32_t)cursor_get_u32(&cursor);
	hold.created_us = (int64_t)cursor_get_u64(&cursor);
	hold.who_uid = cursor_get_u32(&cursor);
	hold.released_uid = cursor_get_u32(&cursor);
	cursor_get_text(&cursor, hold.reference, sizeof(hold.reference));
	cursor_get_text(&cursor, hold.reason, sizeof(hold.reason));
	if (!cursor_done(&cursor) || (hold.hold_class != REG_HOLD_CPIA && hold.hold_class != REG_HOLD_MOPI))
		return -EBADMSG;
	*ret_hold = hold;
	return 0;
}

#define SELECTOR_FIXED_SIZE (1 + 3 * 4 + 4 + 8 + 1 + 2 * 8 + 8 + 2 * 2) /* all but texts, cameras and reads */
#define SELECTOR_TEXTS_SIZE (2 + REG_HOLD_PATTERN_SIZE - 1 + 2 + REG_HOLD_REASON_SIZE - 1)
#define SELECTOR_READ_SIZE (REG_PUBLIC_ID_SIZE + 4 + 8)
/* Cameras and reads exclude each other. */
static_assert(SELECTOR_FIXED_SIZE + SELECTOR_TEXTS_SIZE + 4 * REG_HOLD_CAMERAS <= REG_RECORD_SIZE_MAX, "cameras fit");
static_assert(SELECTOR_FIXED_SIZE + SELECTOR_TEXTS_SIZE + SELECTOR_READ_SIZE * REG_HOLD_READS <= REG_RECORD_SIZE_MAX,
	      "reads fit");

size_t reg_hold_selector_encode(const struct reg_hold_selector *selector, uint8_t buffer[REG_RECORD_SIZE_MAX])
{
	struct cursor cursor = record_begin(buffer, selector->number);

	assert(selector->camera_count <= REG_HOLD_CAMERAS);
	assert(selector->read_count <= REG_HOLD_READS);
	assert(selector->camera_count == 0 || selector->read_count == 0);
	assert(selector->first <= selector->index);
	cursor_put_u32(&cursor, selector->index);
	cursor_put_u32(&cursor, selector->first);
	cursor_put_u32(&cursor, selector->who_uid);
	cursor_put_u64(&cursor, (uint64_t)selector->added_us);
	cursor_put_u8(&cursor, selector->follows);
	cursor_put_text(&cursor, selector->reason);
	cursor_put_text(&cursor, selector->pattern);
	cursor_put_u64(&cursor, (uint64_t)selector->from_us);
	cursor_put_u64(&cursor, (uint64_t)selector->to_us);
	cursor_put_u64(&cursor, selector->identity);
	cursor_put_u16(&cursor, selector->camera_count);
	for (unsigned i = 0; i < selector->camera_count; i++)
		cursor_put_u32(&cursor, selector->cameras[i]);
	cursor_put_u16(&cursor, selector->read_count);
	for (unsigned i = 0; i < selector->read_count; i++) {
		cursor_put_bytes(&cursor, selector->reads[i].public_id, REG_PUBLIC_ID_SIZE);
		cursor_put_u32(&cursor, selector->reads[i].camera);
		cursor_put_u64(&cursor, (uint64_t)selector->reads[i].capture_us);
	}
	return reg_record_end(&cursor, buffer);
}

int reg_hold_selector_decode(const void *bytes, size_t size, struct reg_hold_selector *ret_selector)
{
	struct reg_hold_selector selector = {0};
	struct cursor cursor = record_read(bytes, size, &selector.number);

	selector.index = cursor_get_u32(&cursor);
	selector.first = cursor_get_u32(&cursor);
	selector.who_uid = cursor_get_u32(&cursor);
	selector.added_us = (int64_t)cursor_get_u64(&cursor);
	selector.follows = reg_get_flag(&cursor);
	cursor_get_text(&cursor, selector.reason, sizeof(selector.reason));
	cursor_get_text(&cursor, selector.pattern, sizeof(selector.pattern));
	selector.from_us = (int64_t)cursor_get_u64(&cursor);
	selector.to_us = (int64_t)cursor_get_u64(&cursor);
	selector.identity = cursor_get_u64(&cursor);
	selector.camera_count = cursor_get_u16(&cursor);
	if (selector.camera_count > REG_HOLD_CAMERAS)
		return -EBADMSG;
	for (unsigned i = 0; i < selector.camera_count; i++)
		selector.cameras[i] = cursor_get_u32(&cursor);
	selector.read_count = cursor_get_u16(&cursor);
	if (selector.read_count > REG_HOLD_READS)
		return -EBADMSG;
	for (unsigned i = 0; i < selector.read_count; i++) {
		cursor_get_bytes(&cursor, selector.reads[i].public_id, REG_PUBLIC_ID_SIZE);
		selector.reads[i].camera = cursor_get_u32(&cursor);
		selector.reads[i].capture_us = (int64_t)cursor_get_u64(&cursor);
	}
	if (!cursor_done(&cursor) || selector.first > selector.index)
		return -EBADMSG;
	*ret_selector = selector;
	return 0;
}

size_t reg_proposal_encode(const struct reg_proposal *proposal, uint8_t buffer[REG_RECORD_SIZE_MAX])
{
	struct cursor cursor = record_begin(buffer, proposal->number);

	cursor_put_u32(&cursor, (uint32_t)proposal->day);
	cursor_put_u32(&cursor, proposal->who_uid);
	cursor_put_u64(&cursor, (uint64_t)proposal->proposed_us);
	cursor_put_text(&cursor, proposal->authority);
	cursor_put_text(&cursor, proposal->reason);
	return reg_record_end(&cursor, buffer);
}

int reg_proposal_decode(const void *bytes, size_t size, struct reg_proposal *ret_proposal)
{
	struct reg_proposal proposal = {0};
	struct cursor cursor = record_read(bytes, size, &proposal.number);

	proposal.day = (int32_t)cursor_get_u32(&cursor);
	proposal.who_uid = cursor_get_u32(&cursor);
	proposal.proposed_us = (int64_t)cursor_get_u64(&cursor);
	cursor_get_text(&cursor, proposal.authority, sizeof(proposal.authority));
	cursor_get_text(&cursor, proposal.reason, sizeof(proposal.reason));
	if (!cursor_done(&cursor))
		return -EBADMSG;
	*ret_proposal = proposal;
	return 0;
}
