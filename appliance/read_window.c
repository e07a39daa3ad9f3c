#include "appliance/read_window.h"

#include <errno.h>
#include <inttypes.h>

#include "appliance/base/clock.h"
#include "appliance/base/glob.h"
#include "appliance/base/read.h"

int read_window_set(const struct read_window_rules *rules, const struct read_window_ask *ask, struct err *err,
		    struct read_window *ret_window)
{
	int64_t oldest_us = rules->age_us - rules->retention_days * DAY_US;
	int64_t newest_us = rules->now_us + rules->future_s * 1000000;
	int64_t open_us = rules->open_days * DAY_US;
	struct read_window window = {oldest_us, newest_us};
	char oldest[CLOCK_TEXT_SIZE];

	if (ask->has_from && ask->has_to && ask->from_us >= ask->to_us)
		return err_set(err, -EINVAL, "from is not before to");
	if (ask->has_to && ask->to_us <= oldest_us)
		return err_set(err, -EPERM,
			       "reads are accessible for %" PRId64 " days after their capture (R34): nothing before %s "
			       "is shown, whether it has been purged or not",
			       rules->retention_days, clock_text_utc(oldest_us, oldest));
	if (ask->has_to && ask->to_us < newest_us)
		window.to_us = ask->to_us;
	if (window.from_us > window.to_us)
		window.from_us = window.to_us; /* the clock was set back by more than is kept */
	if (ask->has_from && ask->from_us > oldest_us)
		window.from_us = ask->from_us < window.to_us ? ask->from_us : window.to_us;
	if (ask->open && window.to_us - window.from_us > open_us) {
		if (ask->has_from)
			return err_set(err, -EPERM,
				       "without cameras, an area or more of the VRM a search may span %" PRId64
				       " days: narrow its window",
				       rules->open_days);
		window.from_us = window.to_us - open_us;
	}
	*ret_window = window;
	return 0;
}

bool read_window_pattern_open(const struct glob *pattern, int64_t fixed_min)
{
	return pattern->wildcards > 0 && pattern->pattern_size - pattern->wildcards < fixed_min;
}
