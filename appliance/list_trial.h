/*
 * The head of a list tried on stored reads, armed or not: would a read of yesterday that the list's entries match have
 * been a hit, by its hours, areas, directions and camera types? Cameras stand where they stand when the trial begins.
 * One owner, any control thread.
 */
#ifndef GANTRY_APPLIANCE_LIST_TRIAL_H
#define GANTRY_APPLIANCE_LIST_TRIAL_H

#include <stdbool.h>

#include "appliance/places.h"

struct gantry;
struct hit_rule;
struct hit_rules;
struct list_info;
struct read;

/* Zeroed = none begun. */
struct list_trial {
	struct places places; /* its own: published tables come and go meanwhile */
	struct hit_rules *rules;
	const struct hit_rule *rule;
};

/* No lock held; takes tables_lock. Copies what it needs. -ENOMEM: fini is right then too. */
int list_trial_init(struct list_trial *trial, struct gantry *gantry, const struct list_info *info);
void list_trial_fini(struct list_trial *trial);

/* Some reads are ruled out by what the head says. */
bool list_trial_conditional(const struct list_trial *trial);

/* A connectivity test is never a hit. */
bool list_trial_admits(const struct list_trial *trial, const struct read *read);

#endif
