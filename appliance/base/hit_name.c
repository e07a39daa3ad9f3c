#include "appliance/base/hit_name.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "appliance/base/read.h"

const char *hit_name(uint64_t number, char name[HIT_NAME_SIZE])
{
	(void)snprintf(name, HIT_NAME_SIZE, "%u-%" PRIu64, hit_source(number), number & HIT_COUNT_MASK);
	return name;
}

int hit_name_parse(const char *name, uint64_t *ret_number)
{
	char again[HIT_NAME_SIZE];
	char *end;
	unsigned long source = strtoul(name, &end, 10);
	uint64_t number = hit_number(source & 0xff, *end == '-' ? strtoull(end + 1, NULL, 10) : 0);

	/* One spelling only: whatever else was read differs from what is written. */
	if (number == 0 || strcmp(hit_name(number, again), name) != 0)
		return -EINVAL;
	*ret_number = number;
	return 0;
}
