/*
 * A hit's number as text, "SOURCE-COUNT" in decimal: whole numbers of 64 bits do not survive every reader of JSON. Pure
 * functions, any thread.
 */
#ifndef GANTRY_BASE_HIT_NAME_H
#define GANTRY_BASE_HIT_NAME_H

#include <stdint.h>

#define HIT_NAME_SIZE 24 /* with its zero */

/* Returns `name`. */
const char *hit_name(uint64_t number, char name[HIT_NAME_SIZE]);

/* -EINVAL, and ret untouched, for anything that hit_name does not write, and for the number 0. */
int hit_name_parse(const char *name, uint64_t *ret_number);

#endif
