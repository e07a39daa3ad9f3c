/*
 * The keeper: what workers need and must not wait for (chunks, next journal files), and the watch over disk room. It
 * also runs the sealer's thread.
 */
#ifndef GANTRY_STORAGE_KEEPER_H
#define GANTRY_STORAGE_KEEPER_H

#include "appliance/base/err.h"

struct store;

/* Starts keeper and sealer threads; stops and joins them (nothing when they do not run). */
int keeper_start(struct store *store, struct err *err);
void keeper_stop(struct store *store);

/* Measures disk room now and opens or closes credit. Any control thread. */
void keeper_disk(struct store *store);

#endif
