/* Inside of the store: what hit_highest says, gathered once while the store opens. */
#ifndef GANTRY_STORAGE_HIT_HIGHEST_H
#define GANTRY_STORAGE_HIT_HIGHEST_H

struct store;

/* Behind recovery, before the journals are made. 0, -ENOMEM, or what the catalog says. */
int hit_highest_gather(struct store *store);

#endif
