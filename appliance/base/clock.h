/* Clocks. Wall time in µs since 1970 UTC stamps reads; monotonic ns drives every timer. Any thread. */
#ifndef GANTRY_BASE_CLOCK_H
#define GANTRY_BASE_CLOCK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

static inline int64_t clock_wall_us(void)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

static inline int64_t clock_mono_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

/* The state of the wall clock, as the kernel knows it (adjtimex): evidence for R5. */
struct clock_state {
	bool synchronised;
	int64_t offset_us;    /* last known offset from its source */
	int64_t error_max_us; /* kernel's bound */
};

void clock_state_get(struct clock_state *ret_state);

/* The clocks as somebody sees them who lives by days: tests walk through a year with clocks of their own. */
struct clock_source {
	int64_t (*wall_us)(void *context);
	int64_t (*mono_ns)(void *context);
	bool (*synchronised)(void *context); /* the kernel's word for the wall clock */
	void *context;
};

/* This machine's. */
extern const struct clock_source clock_source_real;

#define CLOCK_TEXT_SIZE 32
/* "2026-11-22T05:43:00.123456Z"; returns buffer. */
const char *clock_text_utc(int64_t us, char buffer[CLOCK_TEXT_SIZE]);

/*
 * Reads "YYYY-MM-DD", "YYYY-MM-DDTHH:MM[:SS[.ffffff]]" with Z, an offset ±HH:MM, or nothing (then UTC).
 * -EINVAL and ret untouched when the text is anything else.
 */
int clock_parse(const char *text, int64_t *ret_us);

#endif
