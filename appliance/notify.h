/* Telling systemd (sd_notify's datagram, without its library): ready, watchdog, stopping. Nothing when not under it. */
#ifndef GANTRY_APPLIANCE_NOTIFY_H
#define GANTRY_APPLIANCE_NOTIFY_H

struct config;
struct gantry;

void notify_ready(const struct config *config);
void notify_stopping(void);

/* Says WATCHDOG=1 only when every worker has turned since the last call: a stuck core is a stuck appliance. */
void notify_watchdog(struct gantry *gantry);

#endif
