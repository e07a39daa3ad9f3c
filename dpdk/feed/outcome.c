#include "dpdk/feed/outcome.h"

const struct feed_outcome_row feed_outcome_rows[FEED_OUTCOME_COUNT] = {
#define FEED_OUTCOME_ROW(name, counter, help) [FEED_##name] = {counter, help},
	FEED_OUTCOMES(FEED_OUTCOME_ROW)
#undef FEED_OUTCOME_ROW
};
