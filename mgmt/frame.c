#include "mgmt/frame.h"

#include <errno.h>
#include <string.h>

#include "appliance/base/bytes.h"

static const char magic[4] = {FRAME_MARK, 'U', 'P', 'L'};

int frame_parse(const void *bytes, size_t size, size_t size_max, struct frame *ret_frame)
{
	const uint8_t *head = bytes;
	struct frame frame;

	if (memcmp(head, magic, size < sizeof(magic) ? size : sizeof(magic)) != 0)
		return -EBADMSG;
	if (size < FRAME_HEAD_SIZE)
		return FRAME_MORE;
	frame = (struct frame){le32_get(head + 4), le32_get(head + 8), le32_get(head + 12)};
	if (frame.size == 0 || (size_t)FRAME_HEAD_SIZE + frame.size > size_max)
		return -EBADMSG;
	if (size - FRAME_HEAD_SIZE < frame.size)
		return FRAME_MORE;
	*ret_frame = frame;
	return 0;
}

void frame_head_put(const struct frame *frame, uint8_t ret_head[FRAME_HEAD_SIZE])
{
	memcpy(ret_head, magic, sizeof(magic));
	le32_put(ret_head + 4, frame->size);
	le32_put(ret_head + 8, frame->upload);
	le32_put(ret_head + 12, frame->id);
}
