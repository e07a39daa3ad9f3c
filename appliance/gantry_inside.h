/*
 * The parts of the appliance's start that have files of their own: gantry.c puts them in order and undoes them. The
 * main thread only, but for the hook of alarms. All starts: 0, or -errno with err; what was made is freed by
 * gantry_stop.
 */
#ifndef GANTRY_APPLIANCE_GANTRY_INSIDE_H
#define GANTRY_APPLIANCE_GANTRY_INSIDE_H

#include "appliance/gantry.h"

struct eal_settings;

/* gantry_alarms.c: what the store calls; context is the gantry. */
void gantry_alarm_hook(void *context, const char *text, bool lasts);

/* gantry_port.c: EAL's settings, the port with its queues, the workers behind them. `name` is kept by the settings. */
void gantry_eal_settings(const struct config *config, struct eal_settings *settings, const char *name);
int gantry_port_start(struct gantry *gantry, struct err *err);
int gantry_workers_start(struct gantry *gantry, struct err *err);

/* gantry_store.c: the store, attached to the workers, and the audit log, whose keys are in its keyring. */
int gantry_directories_make(const struct config *config, struct err *err);
int gantry_store_start(struct gantry *gantry, struct err *err);
int gantry_audit_start(struct gantry *gantry, struct err *err);

/* gantry_tables.c, gantry_lists.c: workers run no more. */
void gantry_feeds_free(struct gantry *gantry);
void gantry_lists_free(struct gantry *gantry);

#endif
