/*
 * The clock guard: may days be destroyed by what this clock says? (NASPLE 7.4.3, R5, R34)
 *
 * The clock is under suspicion when the kernel does not call it synchronised, when it has moved by more than `jump`
 * against the monotonic clock, or when it is farther than `jump` from the last time that was trusted and written down
 * (a machine that was off for long, a board without battery, a typing error in its date). Suspicion ends by itself
 * after ten synchronised minutes in a row, by the monotonic clock. Under suspicion nothing is purged.
 *
 * The file "clock" of the data directory keeps the last trusted time and whether there was suspicion, rewritten every
 * minute and at every change, checksummed: docs/disk-format.md. That it cannot be written is told once and is no
 * failure: then the next start may find itself under suspicion.
 *
 * Any control thread (a mutex inside); clock_guard_age_us any thread, workers too (one load).
 */
#ifndef GANTRY_STORAGE_CLOCK_GUARD_H
#define GANTRY_STORAGE_CLOCK_GUARD_H

#include <stdbool.h>
#include <stdint.h>

#include "appliance/base/clock.h"
#include "appliance/base/err.h"

#define CLOCK_GUARD_RECOVERY_NS (INT64_C(600) * 1000000000)
/* Looks further apart than this prove nothing about the time between them: the ten minutes begin anew. */
#define CLOCK_GUARD_LOOK_MAX_NS (INT64_C(60) * 1000000000)

struct clock_guard;
struct io;

/* Stable numbers: kept in the file. */
enum clock_trust {
	CLOCK_TRUSTED = 0,
	CLOCK_UNSYNCHRONISED = 1,
	CLOCK_JUMPED = 2,  /* against the monotonic clock, or against the last time seen */
	CLOCK_UNKNOWN = 3, /* no last time to compare with: the file is missing or damaged */
	CLOCK_TRUST_COUNT
};

struct clock_guard_options {
	struct io *io;
	const char *directory;            /* the data directory */
	const struct clock_source *clock; /* NULL: this machine's; copied */
	int64_t jump_us;
	bool always; /* a machine without time source: only jumps are suspicious */
	bool fresh;  /* a new data directory: there is no last time, and nothing to lose */
};

/* Reads the last time seen and takes the first look. 0 or -ENOMEM, -ENAMETOOLONG. */
int clock_guard_new(const struct clock_guard_options *options, struct clock_guard **ret_guard);
struct clock_guard *clock_guard_free(struct clock_guard *guard); /* writes the time down once more; accepts NULL */

/* The file alone, for gantry-fsck: 0, -ENOENT, -EBADMSG, or what io says. */
int clock_guard_check(struct io *io, const char *directory);

struct clock_guard_state {
	enum clock_trust trust;
	int64_t now_us;
	int64_t last_us;     /* last trusted time; 0 none */
	int64_t remaining_s; /* until trust is regained, if all stays well; 0 when trusted */
	bool saved;          /* the file could be written the last time */
	char why[192];       /* empty when trusted */
};

/* Looks at the clocks now. Call it every few seconds, and before anything is destroyed by date. */
void clock_guard_look(struct clock_guard *guard, struct clock_guard_state *ret_state);

/*
 * The time by which a read is judged too old to be taken or shown: `wall_us`, or the latest time that was trusted when
 * that is later. So a clock that is set back brings nothing back that was over age; once the guard trusts the clock
 * again after suspicion, its time counts. `wall_us`: the wall clock, as the caller read it.
 */
int64_t clock_guard_age_us(const struct clock_guard *guard, int64_t wall_us);

#endif
