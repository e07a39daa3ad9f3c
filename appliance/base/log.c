#include "appliance/base/log.h"

#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "appliance/base/clock.h"

static _Atomic int log_level_now = LOG_LEVEL_INFO;

void log_level_set(enum log_level level)
{
	atomic_store(&log_level_now, (int)level);
}

static const char *log_level_name(enum log_level level)
{
	switch (level) {
	case LOG_LEVEL_ERROR:
		return "error";
	case LOG_LEVEL_WARN:
		return "warning";
	case LOG_LEVEL_INFO:
		return "info";
	case LOG_LEVEL_DEBUG:
		return "debug";
	}
	return "?";
}

void log_write(enum log_level level, const char *module, const char *function, const char *format, ...)
{
	char line[1024];
	int used;
	va_list args;

	if ((int)level > atomic_load(&log_level_now))
		return;
	if (getenv("JOURNAL_STREAM") != NULL) {
		used = snprintf(line, sizeof(line), "<%d>%s.%s: ", (int)level, module, function);
	} else {
		char stamp[40];
		int64_t now_us = clock_wall_us();
		time_t seconds = (time_t)(now_us / 1000000);
		struct tm tm;

		gmtime_r(&seconds, &tm);
		strftime(stamp, sizeof(stamp), "%Y-%m-%dT%H:%M:%S", &tm);
		used = snprintf(line, sizeof(line), "%s.%03dZ %s %s.%s: ", stamp, (int)(now_us / 1000 % 1000),
				log_level_name(level), module, function);
	}
	va_start(args, format);
	used += vsnprintf(line + used, sizeof(line) - (size_t)used, format, args);
	va_end(args);
	if (used > (int)sizeof(line) - 2)
		used = (int)sizeof(line) - 2;
	line[used] = '\n';
	/* One write, so that lines of several threads do not mix; nobody can be told if standard error is gone. */
	(void)!write(STDERR_FILENO, line, (size_t)used + 1);
}

int log_due(int64_t *last_ns)
{
	int64_t now_ns = clock_mono_ns();

	if (*last_ns != 0 && now_ns - *last_ns < INT64_C(1000000000))
		return 0;
	*last_ns = now_ns;
	return 1;
}
