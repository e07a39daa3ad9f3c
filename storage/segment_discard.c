#include "storage/segment_discard.h"

#include <errno.h>
#include <stdio.h>

#include "storage/io.h"
#include "storage/layout.h"
#include "storage/segment_format.h"

int segment_discard(struct io *io, const char *directory, int32_t day, uint64_t id)
{
	char path[LAYOUT_PATH_SIZE + SEGMENT_NAME_SIZE];
	char name[SEGMENT_NAME_SIZE];
	struct io_file *file;
	int result;

	snprintf(path, sizeof(path), "%s/%s", directory, segment_name(day, id, ".seg", name));
	result = io->ops->open(io, path, IO_WRITE, &file);
	if (result == 0) {
		(void)file->ops->punch(file);
		file->ops->close(file);
	}
	result = io->ops->unlink(io, path);
	return result == -ENOENT ? 0 : result;
}
