#include "tests/storage/fake_clock.h"

static int64_t fake_wall_us(void *context)
{
	return ((const struct fake_clock *)context)->wall_us;
}

static int64_t fake_mono_ns(void *context)
{
	return ((const struct fake_clock *)context)->mono_ns;
}

static bool fake_synchronised(void *context)
{
	return ((const struct fake_clock *)context)->synchronised;
}

struct clock_source fake_clock_source(struct fake_clock *clock)
{
	return (struct clock_source){fake_wall_us, fake_mono_ns, fake_synchronised, clock};
}
