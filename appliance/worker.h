/*
 * A worker: one core, one receive queue, the feeds whose id falls to it, one journal. Run to completion.
 *
 * A turn: take a burst of frames (and what other workers handed over) ▸ find each datagram's feed ▸ open ▸ judge each
 * record by its lane's window ▸ check and normalise ▸ match the burst's VRMs at once ▸ judge the hits (gate.h) ▸ append
 * to the journal ▸ let the journal commit ▸ acknowledge what became durable ▸ report a quiescent point ▸ rest when
 * there was nothing to do.
 *
 * Every stage is one pass over the burst with plain arrays in `struct worker`. After worker_new nothing is allocated,
 * locked, logged or waited for, with one exception that the feed limits bound: a HELLO's handshake, inside OpenSSL.
 *
 * Threads. The worker's lcore runs worker_run. Control threads: worker_new/free, worker_publish, worker_stop, reading
 * `counters`, `shown` values, and their side of two SPSC rings: lane_requests (worker → control) and lane_grants
 * (control → worker). Between workers: one pair of SPSC rings for each direction (cross.h).
 */
#ifndef GANTRY_APPLIANCE_WORKER_H
#define GANTRY_APPLIANCE_WORKER_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "appliance/base/err.h"
#include "appliance/counters.h"
#include "dpdk/idle.h"
#include "storage/journal.h"

#define WORKERS_MAX 16

struct crossing;
struct feed_state;
struct frame_queue;
struct gate;
struct lane_window;
struct port;
struct rte_rcu_qsbr;
struct rte_ring;
struct store;
struct tables;
struct worker;

/* A worker asks for the windows of an epoch that it does not know; the answer comes as a grant. */
struct lane_request {
	uint32_t feed;
	uint32_t epoch;
	uint32_t slot;
	uint32_t zero;
};
enum lane_outcome {
	LANES_OPENED,
	LANES_REFUSED, /* the epoch is too old: refused for good */
	LANES_FAILED,  /* not now; the sender's next datagram asks again */
};
struct lane_grant {
	struct lane_window *windows[2]; /* both set when opened, else NULL */
	uint32_t slot;
	uint32_t epoch;
	uint32_t outcome; /* enum lane_outcome */
	uint32_t zero;
};

struct worker_options {
	unsigned index;
	unsigned worker_count;
	bool busy;             /* never sleep */
	unsigned sleep_cap_us; /* longest sleep of a port that may lose silently */
	int64_t retention_us;
	int64_t future_us;
	const char *node;
	struct port *port; /* whose link is watched; outlives the worker */
	struct gate *gate; /* of all workers; outlives them */
};

/*
 * The store is given later (worker_attach), because the store wants the worker's journal hooks when it opens.
 * -ENOMEM; -EINVAL when `queue` cannot serve. `crossings` is the matrix all workers share, NULL with one worker.
 */
int worker_new(const struct worker_options *options, struct frame_queue *queue, struct crossing *crossings,
	       struct rte_rcu_qsbr *quiescence, struct worker **ret_worker);
struct worker *worker_free(struct worker *worker);

/* For store_open: what the journal calls on the worker's thread. */
struct journal_hooks worker_journal_hooks(struct worker *worker);
void worker_attach(struct worker *worker, struct store *store);

/* First tables before worker_run; later ones by the control thread, which then waits for quiescence. */
void worker_publish(struct worker *worker, const struct tables *tables);

/* On its lcore, until worker_stop. Returns 0. */
int worker_run(void *worker);
void worker_stop(struct worker *worker);

struct worker_counters *worker_counters(struct worker *worker);
struct frame_queue *worker_queue(struct worker *worker);
struct rte_ring *worker_lane_requests(struct worker *worker);
struct rte_ring *worker_lane_grants(struct worker *worker);
/* Grows while the worker lives: a watchdog's proof. */
uint64_t worker_turns(const struct worker *worker);
/* Share of the time since the start that it did not sleep, and what it would grant now. */
void worker_load(const struct worker *worker, int64_t *ret_running_ns, uint64_t *ret_slept_ns, uint32_t *ret_credit);

#endif
