/*
 * The control plane's answer to workers that ask for the lanes of an epoch (worker.h). Attendant's thread.
 */
#ifndef GANTRY_APPLIANCE_LANES_H
#define GANTRY_APPLIANCE_LANES_H

#include <stdint.h>

struct lane_window;
struct rte_ring;

/* As store_lane: 0, STORE_EPOCH_OLD for good, -errno for now. */
typedef int lanes_open(void *context, uint32_t feed, uint32_t epoch, uint8_t lane, struct lane_window **ret_window);

/*
 * Answers the requests in the ring, as many as there is room for grants; the others stay for the next round. Only this
 * thread takes requests and puts grants.
 */
void lanes_answer(struct rte_ring *requests, struct rte_ring *grants, lanes_open *open, void *context);

#endif
