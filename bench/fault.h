/*
 * A transport that spoils what passes through another one, on purpose and from a seed: drops (both ways), sends twice,
 * holds back past later datagrams, flips a bit. For proving that nothing is lost and nothing stored twice all the same.
 */
#ifndef GANTRY_BENCH_FAULT_H
#define GANTRY_BENCH_FAULT_H

#include <stdint.h>

struct transport;

struct fault_settings {
	uint64_t seed;
	unsigned drop_permille; /* of what is sent and of what is received */
	unsigned duplicate_permille;
	unsigned reorder_permille; /* held back until up to FAULT_HELD_MAX later ones have gone */
	unsigned corrupt_permille;
};

#define FAULT_HELD_MAX 16

struct fault_counters {
	uint64_t dropped_out;
	uint64_t dropped_in;
	uint64_t duplicated;
	uint64_t reordered;
	uint64_t corrupted;
};

/* Owns `inner` from then on, also when it fails (-ENOMEM). */
int fault_new(struct transport *inner, const struct fault_settings *settings, struct transport **ret_transport);
const struct fault_counters *fault_counters(const struct transport *transport);

#endif
