#include "appliance/cross.h"

#include <errno.h>
#include <rte_ring.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct cross_pair {
	struct rte_ring *filled; /* from → to */
	struct rte_ring *empty;  /* to → from */
	struct cross_slot *slots;
};

struct crossing {
	unsigned workers;
	struct cross_pair *pairs; /* [from * workers + to] */
};

static struct cross_pair *pair_of(struct crossing *crossing, unsigned from, unsigned to)
{
	return &crossing->pairs[from * crossing->workers + to];
}

static int pair_init(struct cross_pair *pair, unsigned from, unsigned to)
{
	char name[48];

	pair->slots = calloc(CROSS_SLOTS, sizeof(struct cross_slot));
	(void)snprintf(name, sizeof(name), "cross_filled_%u_%u", from, to);
	pair->filled = rte_ring_create(name, CROSS_SLOTS + 1, SOCKET_ID_ANY, RING_F_SP_ENQ | RING_F_SC_DEQ);
	(void)snprintf(name, sizeof(name), "cross_empty_%u_%u", from, to);
	pair->empty = rte_ring_create(name, CROSS_SLOTS + 1, SOCKET_ID_ANY, RING_F_SP_ENQ | RING_F_SC_DEQ);
	if (pair->slots == NULL || pair->filled == NULL || pair->empty == NULL)
		return -ENOMEM;
	for (unsigned i = 0; i < CROSS_SLOTS; i++)
		(void)rte_ring_sp_enqueue(pair->empty, &pair->slots[i]);
	return 0;
}

int crossing_new(unsigned workers, struct crossing **ret_crossing)
{
	struct crossing *crossing = calloc(1, sizeof(*crossing));

	if (crossing == NULL)
		return -ENOMEM;
	crossing->workers = workers;
	crossing->pairs = calloc((size_t)workers * workers, sizeof(struct cross_pair));
	if (crossing->pairs == NULL)
		goto no_memory;
	for (unsigned from = 0; from < workers; from++)
		for (unsigned to = 0; to < workers; to++)
			if (from != to && pair_init(pair_of(crossing, from, to), from, to) < 0)
				goto no_memory;
	*ret_crossing = crossing;
	return 0;

no_memory:
	(void)crossing_free(crossing);
	return -ENOMEM;
}

struct crossing *crossing_free(struct crossing *crossing)
{
	if (crossing == NULL)
		return NULL;
	for (unsigned i = 0; crossing->pairs != NULL && i < crossing->workers * crossing->workers; i++) {
		rte_ring_free(crossing->pairs[i].filled);
		rte_ring_free(crossing->pairs[i].empty);
		free(crossing->pairs[i].slots);
	}
	free(crossing->pairs);
	free(crossing);
	return NULL;
}

bool crossing_send(struct crossing *crossing, unsigned from, unsigned to, const struct path *path, int64_t receipt_us,
		   const uint8_t *payload, uint32_t size)
{
	struct cross_pair *pair = pair_of(crossing, from, to);
	struct cross_slot *slot;
	void *object;

	if (size > sizeof(slot->payload) || rte_ring_sc_dequeue(pair->empty, &object) != 0)
		return false;
	slot = object;
	slot->path = *path;
	slot->receipt_us = receipt_us;
	slot->size = size;
	memcpy(slot->payload, payload, size);
	/* There are as many places as slots: this cannot be full. */
	(void)rte_ring_sp_enqueue(pair->filled, slot);
	return true;
}

unsigned crossing_receive(struct crossing *crossing, unsigned to, struct cross_slot **ret_slots, unsigned max)
{
	unsigned count = 0;

	for (unsigned from = 0; from < crossing->workers && count < max; from++)
		if (from != to)
			count += rte_ring_sc_dequeue_burst(pair_of(crossing, from, to)->filled,
							   (void **)&ret_slots[count], max - count, NULL);
	return count;
}

void crossing_return(struct crossing *crossing, unsigned to, struct cross_slot *const *slots, unsigned count)
{
	for (unsigned i = 0; i < count; i++) {
		for (unsigned from = 0; from < crossing->workers; from++) {
			struct cross_pair *pair = pair_of(crossing, from, to);

			if (from == to || slots[i] < pair->slots || slots[i] >= pair->slots + CROSS_SLOTS)
				continue;
			(void)rte_ring_sp_enqueue(pair->empty, slots[i]);
			break;
		}
	}
}
