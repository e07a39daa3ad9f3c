/* Lists, bases and sets made in a line, and the hits of a burst against them: what the tests of match sets share. */
#ifndef GANTRY_TESTS_MATCHSET_WORLD_H
#define GANTRY_TESTS_MATCHSET_WORLD_H

#include <stddef.h>
#include <stdint.h>

#include "appliance/base/err.h"
#include "appliance/base/read.h"
#include "matcher/list.h"
#include "matcher/matchset.h"

#define HITS_MAX 4096

extern struct hit hits[HITS_MAX]; /* of match_all */
extern size_t hit_count;
extern struct err err;

/* Writes at `at`, whose room the caller has seen to; returns the end. */
__attribute__((noinline, format(printf, 2, 3))) char *text_add(char *at, const char *format, ...);

/* Version 10 * id, without a bad row. */
struct list *list_make(uint32_t id, uint8_t priority, const char *text);

struct matchbase *base_make(struct list *const *lists, size_t count, const struct match_limits *limits);
struct matchset *set_on(struct matchbase *base, struct list *const *lists, size_t count);
/* Everything in the base. */
struct matchset *set_make(struct list *const *lists, size_t count, const struct match_limits *limits);

struct read read_of(const char *text);

/* All hits, fetched `room` at a time. */
void match_all(const struct matchset *set, struct match_scratch *scratch, const struct read *reads, size_t count,
	       size_t room);

/* Of a list that list_make made. */
void hit_is(size_t index, uint32_t row, uint32_t list, uint32_t entry, enum hit_kind kind);

#endif
