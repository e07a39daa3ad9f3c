/* Round-trip estimate of RFC 9002, section 5: smoothed value and variation, ns. One owner. */
#ifndef GANTRY_BENCH_RTT_H
#define GANTRY_BENCH_RTT_H

#include <stdint.h>

#define RTT_INITIAL_NS (INT64_C(100) * 1000000)

struct rtt {
	int64_t smoothed_ns; /* 0: no sample yet */
	int64_t variation_ns;
	int64_t latest_ns;
};

static inline void rtt_sample(struct rtt *rtt, int64_t ns)
{
	int64_t error;

	rtt->latest_ns = ns;
	if (rtt->smoothed_ns == 0) {
		rtt->smoothed_ns = ns > 0 ? ns : 1;
		rtt->variation_ns = ns / 2;
		return;
	}
	error = rtt->smoothed_ns > ns ? rtt->smoothed_ns - ns : ns - rtt->smoothed_ns;
	rtt->variation_ns += (error - rtt->variation_ns) / 4;
	rtt->smoothed_ns += (ns - rtt->smoothed_ns) / 8;
}

/* The larger of smoothed and latest. */
static inline int64_t rtt_now(const struct rtt *rtt)
{
	if (rtt->smoothed_ns == 0)
		return RTT_INITIAL_NS;
	return rtt->smoothed_ns > rtt->latest_ns ? rtt->smoothed_ns : rtt->latest_ns;
}

#endif
