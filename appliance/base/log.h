/*
 * The log: lines on standard error, "<priority>" prefixed when systemd reads them, else with a time. For control
 * threads only: a worker counts, it never logs. Any thread may call. Neither VRMs nor secrets are ever logged.
 */
#ifndef GANTRY_BASE_LOG_H
#define GANTRY_BASE_LOG_H

#include <stdint.h>

enum log_level { LOG_LEVEL_ERROR = 3, LOG_LEVEL_WARN = 4, LOG_LEVEL_INFO = 6, LOG_LEVEL_DEBUG = 7 }; /* syslog's */

/* Least important level that is printed; LOG_LEVEL_INFO until set. */
void log_level_set(enum log_level level);

void log_write(enum log_level level, const char *module, const char *function, const char *format, ...)
	__attribute__((format(printf, 4, 5)));

/* A file defines LOG_MODULE before it includes this header. */
#define log_error(...) log_write(LOG_LEVEL_ERROR, LOG_MODULE, __func__, __VA_ARGS__)
#define log_warn(...) log_write(LOG_LEVEL_WARN, LOG_MODULE, __func__, __VA_ARGS__)
#define log_info(...) log_write(LOG_LEVEL_INFO, LOG_MODULE, __func__, __VA_ARGS__)
#define log_debug(...) log_write(LOG_LEVEL_DEBUG, LOG_MODULE, __func__, __VA_ARGS__)

/* At most one line a second from one place: if (log_due(&last)) log_warn(…). `last` starts at 0. */
int log_due(int64_t *last_ns);

#endif
