/*
 * May an account have hits of a list (hits_account_may)? Asked of thousands of hits that are of a few lists: answers
 * are remembered for as long as one call lasts. One thread.
 */
#ifndef GANTRY_APPLIANCE_HIT_ACCESS_H
#define GANTRY_APPLIANCE_HIT_ACCESS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct gantry;

#define HIT_ACCESS_OPINIONS 64

struct hit_access {
	struct gantry *gantry;
	uid_t uid;
	struct {
		uint32_t list;
		bool known;
		bool allowed;
	} opinions[HIT_ACCESS_OPINIONS];
};

/* list 0: impossible journeys. */
bool hit_access_may(struct hit_access *access, uint32_t list);

#endif
