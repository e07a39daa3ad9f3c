#include "bench/curve.h"

#define HOURS 24
#define HOUR_US (DAY_US / HOURS)

/* Of a thousand reads of a day. */
static const unsigned hours[HOURS] = {8,  5,  4,  4,  7,  19, 42, 64, 69, 58, 53, 54,
				      56, 57, 59, 65, 71, 72, 64, 51, 40, 33, 27, 18};

unsigned curve_permille(int64_t us)
{
	int64_t in_day = us - read_day(us) * DAY_US;

	return hours[in_day / HOUR_US] * HOURS;
}

int64_t curve_moment(uint64_t done, uint64_t total)
{
	/* Position in thousandths of the day's reads, kept as a fraction of `total`. */
	unsigned __int128 at = (unsigned __int128)done * 1000;
	int64_t hour = 0;

	while (hour < HOURS - 1 && at >= (unsigned __int128)hours[hour] * total)
		at -= (unsigned __int128)hours[hour++] * total;
	return hour * HOUR_US + (int64_t)(at * HOUR_US / ((unsigned __int128)hours[hour] * total));
}
