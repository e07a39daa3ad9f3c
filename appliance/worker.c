#include "appliance/worker.h"

#include <errno.h>
#include <rte_common.h>
#include <rte_rcu_qsbr.h>
#include <rte_ring.h>
#include <rte_ring_elem.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "appliance/base/clock.h"
#include "appliance/cross.h"
#include "appliance/worker_inside.h"
#include "dpdk/answer.h"
#include "dpdk/port.h"
#include "dpdk/reply.h"
#include "storage/lane.h"
#include "storage/store.h"

static struct rte_ring *lane_ring_new(const char *kind, unsigned index, unsigned element_size)
{
	char name[32];

	(void)snprintf(name, sizeof(name), "lane_%s_%u", kind, index);
	return rte_ring_create_elem(name, element_size, LANE_RING_SIZE, SOCKET_ID_ANY, RING_F_SP_ENQ | RING_F_SC_DEQ);
}

int worker_new(const struct worker_options *options, struct frame_queue *queue, struct crossing *crossings,
	       struct rte_rcu_qsbr *quiescence, struct worker **ret_worker)
{
	struct worker *worker = aligned_alloc(64, RTE_ALIGN_CEIL(sizeof(*worker), 64));

	if (worker == NULL)
		return -ENOMEM;
	memset(worker, 0, sizeof(*worker));
	worker->options = *options;
	worker->queue = queue;
	worker->crossing = crossings;
	worker->quiescence = quiescence;
	worker->lane_requests = lane_ring_new("requests", options->index, sizeof(struct lane_request));
	worker->lane_grants = lane_ring_new("grants", options->index, sizeof(struct lane_grant));
	if (worker->lane_requests == NULL || worker->lane_grants == NULL) {
		(void)worker_free(worker);
		return -ENOMEM;
	}
	*ret_worker = worker;
	return 0;
}

struct worker *worker_free(struct worker *worker)
{
	if (worker == NULL)
		return NULL;
	rte_ring_free(worker->lane_requests);
	rte_ring_free(worker->lane_grants);
	free(worker);
	return NULL;
}

/* The journal's word that a group is on stable storage: every lane it touched is owed an ACK. */
static void on_durable(void *context, const struct journal_commit *commit)
{
	struct worker *worker = context;

	for (unsigned i = 0; i < commit->run_count; i++) {
		const struct run *run = &commit->runs[i];
		const struct feed_entry *entry;

		counter_add(run->refusal == REFUSAL_NONE ? &worker->counters.durable_reads
							 : &worker->counters.durable_refusals,
			    run->count);
		entry = worker->tables != NULL ? tables_feed(worker->tables, run->feed) : NULL;
		if (entry == NULL)
			continue; /* removed meanwhile: nobody to tell */
		if (run->refusal == REFUSAL_NONE)
			counter_add(&entry->state->shown.reads, run->count);
		for (unsigned j = 0; j < FEED_EPOCHS_LIVE; j++)
			if (entry->state->epochs[j].epoch == run->epoch)
				worker_ack_lane(worker, entry->state, &entry->state->epochs[j].lanes[run->lane]);
	}
}

struct journal_hooks worker_journal_hooks(struct worker *worker)
{
	return (struct journal_hooks){.durable = on_durable, .context = worker};
}

void worker_attach(struct worker *worker, struct store *store)
{
	worker->store = store;
	worker->journal = store_journal(store, worker->options.index);
}

void worker_publish(struct worker *worker, const struct tables *tables)
{
	atomic_store_explicit(&worker->published, tables, memory_order_release);
}

/* New tables: feeds' keys may have changed. Compared bytes, so that an untouched feed keeps its sessions. */
static void take_over_keys(struct worker *worker)
{
	const struct tables *tables = worker->tables;

	for (uint32_t slot = 0; slot < tables->slot_counts[worker->options.index]; slot++) {
		uint32_t index = tables->slots[worker->options.index][slot];
		const struct feed_entry *entry;
		struct feed_state *state;

		if (index == 0)
			continue;
		entry = &tables->feeds[index - 1];
		state = entry->state;
		if (memcmp(state->key, entry->key, sizeof(state->key)) == 0 &&
		    state->has_key_next == entry->has_key_next &&
		    memcmp(state->key_next, entry->key_next, sizeof(state->key_next)) == 0)
			continue;
		memcpy(state->key, entry->key, sizeof(state->key));
		memcpy(state->key_next, entry->key_next, sizeof(state->key_next));
		state->has_key_next = entry->has_key_next;
		feed_peer_keys_set(&state->peer, entry->key, entry->has_key_next ? entry->key_next : NULL);
	}
}

static void burst_add(struct worker *worker, const uint8_t *payload, uint32_t size, const struct path *path,
		      int64_t receipt_us)
{
	struct burst_datagram *datagram = &worker->datagrams[worker->datagram_count++];

	datagram->payload = payload;
	datagram->size = size;
	datagram->path = path;
	datagram->receipt_us = receipt_us;
}

static void outcome_count(struct worker *worker, enum feed_outcome outcome)
{
	counter_add(&worker->counters.feed[outcome], 1);
}

/* Whose it is. A datagram of another worker's feed goes over to it; what names no live feed ends here. */
static void find_feed(struct worker *worker, struct burst_datagram *datagram)
{
	const struct tables *tables = worker->tables;
	unsigned index = worker->options.index;
	unsigned owner;

	datagram->entry = NULL;
	datagram->claim = feed_peek(datagram->payload, datagram->size, FEED_SIDE_APPLIANCE, &datagram->peek);
	switch (datagram->claim) {
	case FEED_HELLO_FRESH:
		datagram->entry = tables_feed(tables, datagram->peek.id);
		if (datagram->entry == NULL || !datagram->entry->active) {
			datagram->entry = NULL;
			datagram->claim = FEED_DROP_UNKNOWN_FEED;
			outcome_count(worker, datagram->claim);
			return;
		}
		owner = datagram->entry->state->worker;
		break;
	case FEED_OPENED_DATA:
	case FEED_OPENED_HEARTBEAT:
		owner = feed_session_worker(datagram->peek.id);
		if (owner == index) {
			uint16_t slot = feed_session_slot(datagram->peek.id);
			uint32_t found = slot < tables->slot_counts[index] ? tables->slots[index][slot] : 0;

			datagram->entry = found != 0 ? &tables->feeds[found - 1] : NULL;
		}
		if (owner >= worker->options.worker_count ||
		    (owner == index && (datagram->entry == NULL || !datagram->entry->active))) {
			datagram->entry = NULL;
			datagram->claim = FEED_DROP_UNKNOWN_SESSION;
			outcome_count(worker, datagram->claim);
			return;
		}
		break;
	default:
		outcome_count(worker, datagram->claim);
		return;
	}
	if (owner == index)
		return;
	datagram->entry = NULL;
	counter_add(crossing_send(worker->crossing, index, owner, datagram->path, datagram->receipt_us,
				  datagram->payload, datagram->size)
			    ? &worker->counters.crossed
			    : &worker->counters.cross_dropped,
		    1);
}

static void answer_hello(struct worker *worker, const struct burst_datagram *datagram)
{
	struct feed_state *feed = datagram->entry->state;
	uint8_t reply[FEED_WELCOME_SIZE];
	struct feed_hello hello;
	struct feed_welcome welcome;
	enum feed_outcome outcome =
		feed_peer_hello(&feed->peer, datagram->payload, datagram->size, worker->now_ns, &hello, reply);

	if (outcome == FEED_HELLO_FRESH) {
		worker_welcome(worker, feed, &hello, &welcome);
		enum feed_outcome sealed = feed_peer_welcome(&feed->peer, &welcome, worker->now_ns, reply);

		if (sealed != FEED_SEALED)
			outcome = sealed;
	}
	outcome_count(worker, outcome);
	if (outcome == FEED_HELLO_FRESH || outcome == FEED_HELLO_REPEATED)
		(void)reply_send(worker->queue, datagram->path, reply, sizeof(reply));
}

static void open_datagram(struct worker *worker, const struct burst_datagram *datagram)
{
	struct feed_state *feed = datagram->entry->state;
	struct feed_opened opened;
	enum feed_outcome outcome = feed_peer_open(&feed->peer, &datagram->peek, datagram->payload, datagram->size,
						   worker->now_ns, worker->body, &opened);

	outcome_count(worker, outcome);
	if (outcome != FEED_OPENED_DATA && outcome != FEED_OPENED_HEARTBEAT)
		return;
	feed->path = *datagram->path;
	feed->path_known = true;
	/* A feed that wakes up shares the credit at once, not only at the next census. */
	if (worker->now_ns - feed->last_seen_ns >= FEED_ACTIVE_NS)
		worker->active_feeds++;
	feed->last_seen_ns = worker->now_ns;
	atomic_store_explicit(&feed->shown.last_seen_us, datagram->receipt_us, memory_order_relaxed);
	if (outcome == FEED_OPENED_DATA)
		worker_collect(worker, datagram, &opened);
	else
		worker_heartbeat(worker, feed, &opened.heartbeat);
	if (opened.session_began)
		worker_ack_feed(worker, feed);
}

static void take_burst(struct worker *worker)
{
	for (unsigned i = 0; i < worker->datagram_count; i++)
		find_feed(worker, &worker->datagrams[i]);
	for (unsigned i = 0; i < worker->datagram_count; i++) {
		const struct burst_datagram *datagram = &worker->datagrams[i];

		if (datagram->entry == NULL)
			continue;
		if (i + 1 < worker->datagram_count)
			__builtin_prefetch(worker->datagrams[i + 1].payload + 64);
		if (datagram->claim == FEED_HELLO_FRESH)
			answer_hello(worker, datagram);
		else
			open_datagram(worker, datagram);
	}
	if (worker->run_count > 0)
		worker_append(worker);
}

/* A link that came up may lead to other switches and other peers than before: say whose our addresses are. */
static void watch_link(struct worker *worker)
{
	bool up;

	if (worker->options.index != 0 || worker->now_ns - worker->link_ns < LINK_EVERY_NS)
		return;
	worker->link_ns = worker->now_ns;
	up = port_link_up(worker->options.port);
	if (up && !worker->link_up)
		answer_announce(worker->queue);
	worker->link_up = up;
}

static bool turn(struct worker *worker)
{
	const struct frame_batch *batch = frame_receive(worker->queue);
	bool worked = batch->frame_count > 0;

	worker->tables = atomic_load_explicit(&worker->published, memory_order_acquire);
	if (worker->tables->generation != worker->seen) {
		take_over_keys(worker);
		worker->seen = worker->tables->generation;
	}
	worker->now_ns = clock_mono_ns();
	worker->now_us = clock_wall_us();
	worker->oldest_us = store_age_us(worker->store, worker->now_us) - worker->options.retention_us;
	watch_link(worker);
	worker_grants(worker);
	worker->datagram_count = 0;
	for (unsigned i = 0; i < batch->count; i++)
		burst_add(worker, batch->datagrams[i].payload, batch->datagrams[i].size, &batch->datagrams[i].path,
			  batch->receipt_us);
	worker->crossed_count = worker->crossing == NULL ? 0
							 : crossing_receive(worker->crossing, worker->options.index,
									    worker->crossed, FRAME_BURST);
	for (unsigned i = 0; i < worker->crossed_count; i++)
		burst_add(worker, worker->crossed[i]->payload, worker->crossed[i]->size, &worker->crossed[i]->path,
			  worker->crossed[i]->receipt_us);
	if (worker->datagram_count > 0)
		take_burst(worker);
	frame_release(worker->queue);
	if (worker->crossed_count > 0) {
		crossing_return(worker->crossing, worker->options.index, worker->crossed, worker->crossed_count);
		worked = true;
	}
	journal_poll(worker->journal, clock_mono_ns());
	worker_credit(worker);
	worked |= worker->acks != NULL;
	worker_ack_flush(worker);
	return worked;
}

static void go_offline(void *context)
{
	struct worker *worker = context;

	rte_rcu_qsbr_thread_offline(worker->quiescence, worker->options.index);
}

static void go_online(void *context)
{
	struct worker *worker = context;

	rte_rcu_qsbr_thread_online(worker->quiescence, worker->options.index);
}

int worker_run(void *context)
{
	struct worker *worker = context;
	struct idle_settings settings;

	idle_settings_init(&settings);
	settings.busy = worker->options.busy;
	settings.quiet_cap_us = worker->options.sleep_cap_us;
	settings.before_sleep = go_offline;
	settings.after_sleep = go_online;
	settings.context = worker;
	idle_init(&worker->idle, &settings);
	idle_thread_prepare();
	worker->started_ns = clock_mono_ns();
	journal_poll(worker->journal, worker->started_ns); /* gives the journal its clock before the first read */
	(void)rte_rcu_qsbr_thread_register(worker->quiescence, worker->options.index);
	rte_rcu_qsbr_thread_online(worker->quiescence, worker->options.index);
	while (!atomic_load_explicit(&worker->stopping, memory_order_relaxed)) {
		bool worked = turn(worker);
		int64_t due_ns = INT64_MAX;
		int64_t limit_ns = INT64_MAX;

		if (!journal_idle(worker->journal, &due_ns))
			limit_ns = due_ns - clock_mono_ns();
		counter_add(&worker->turns, 1);
		worker->tables = NULL;
		rte_rcu_qsbr_quiescent(worker->quiescence, worker->options.index);
		(void)idle_turn(&worker->idle, worked, limit_ns);
	}
	rte_rcu_qsbr_thread_offline(worker->quiescence, worker->options.index);
	(void)rte_rcu_qsbr_thread_unregister(worker->quiescence, worker->options.index);
	return 0;
}

void worker_stop(struct worker *worker)
{
	atomic_store_explicit(&worker->stopping, true, memory_order_relaxed);
}

struct worker_counters *worker_counters(struct worker *worker)
{
	return &worker->counters;
}

struct frame_queue *worker_queue(struct worker *worker)
{
	return worker->queue;
}

struct rte_ring *worker_lane_requests(struct worker *worker)
{
	return worker->lane_requests;
}

struct rte_ring *worker_lane_grants(struct worker *worker)
{
	return worker->lane_grants;
}

uint64_t worker_turns(const struct worker *worker)
{
	return counter_get(&worker->turns);
}

void worker_load(const struct worker *worker, int64_t *ret_running_ns, uint64_t *ret_slept_ns, uint32_t *ret_credit)
{
	uint64_t sleeps;

	idle_totals(&worker->idle, &sleeps, ret_slept_ns);
	*ret_running_ns = worker->started_ns == 0 ? 0 : clock_mono_ns() - worker->started_ns;
	*ret_credit = atomic_load_explicit(&worker->credit, memory_order_relaxed);
}
