/* What the tests of gantryctl share: a server with handlers that answer as the appliance would, and what it says. */
#ifndef GANTRY_TESTS_MGMT_CTL_WORLD_H
#define GANTRY_TESTS_MGMT_CTL_WORLD_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

#include "tests/mgmt/fixture.h"

#define SIXTY_FOUR "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdeg"
#define GROUNDS "--purpose serious --case C-17 --reason 'robbery at the station'"

struct world {
	struct test_server test;
	/* Written by one thread, read by another. */
	atomic_bool complete;
	atomic_uint acknowledged;
	atomic_uint following;
	atomic_int delivered; /* what hits.follow answers in the end; negative: nothing */
	atomic_size_t uploaded_size;
	atomic_uchar uploaded_sum;
};

/* A server with every handler of this world bound, started. */
void ctl_begin(struct world *world);

/* Of the newest run. */
extern char ctl_output[256 * 1024];
extern char ctl_errors[256 * 1024];
/* Runs a shell line "gantryctl …" and takes what it says; its exit status. */
int ctl_run(const struct world *world, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Is that in its output, or in its errors? Notes both when it is not. */
bool ctl_says(const char *text);
bool ctl_complains(const char *text);
unsigned ctl_line_count(void);
void ctl_slurp(const char *path, char *to, size_t size);

/* test_ctl_hits.c */
void ctl_test_hits(void);
void ctl_test_hits_searched(void);
void ctl_test_lists_and_rates(void);
void ctl_test_hits_taken_on(void);
void ctl_test_hits_end_with_the_appliance(void);

#endif
