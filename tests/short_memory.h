/*
 * Memory that runs out on demand, for programs linked with short_memory_dep: every malloc, calloc, realloc,
 * reallocarray and aligned_alloc of ours goes through here, those inside libraries do not. Any thread; which one meets
 * the end of it is then by chance.
 */
#ifndef GANTRY_TESTS_SHORT_MEMORY_H
#define GANTRY_TESTS_SHORT_MEMORY_H

#include <stdatomic.h>
#include <stdbool.h>

extern atomic_int memory_allowed; /* allocations until the one that fails; -1: none does */
extern atomic_bool memory_failed; /* one has; the test sets it back */

#endif
