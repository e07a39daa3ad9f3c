/*
 * Named kill points: where the crash tests stop the process dead, as a power cut would.
 *
 * GANTRY_KILL="name" or "name:N" in the environment kills the process with SIGKILL when it passes that point for the
 * first or Nth time. Inert otherwise: one load and a branch, on cold paths only. Every name used is listed in
 * killpoint_names, so that the tests sweep them all.
 */
#ifndef GANTRY_BASE_KILLPOINT_H
#define GANTRY_BASE_KILLPOINT_H

void killpoint(const char *name);

/* NULL-terminated. */
extern const char *const killpoint_names[];

#endif
