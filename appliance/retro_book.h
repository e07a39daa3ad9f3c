/*
 * The book of the searches back (retro.h): the requests that run or wait and the last that ended, as retros.show tells
 * them, each with its record in the register.
 *
 * The owner's lock guards a book; each function that takes one is called with it held. The functions that take a
 * register write records, which may wait for the disk: without the lock, but where the owner says otherwise.
 */
#ifndef GANTRY_APPLIANCE_RETRO_BOOK_H
#define GANTRY_APPLIANCE_RETRO_BOOK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <jansson.h>

#include "appliance/base/err.h"
#include "appliance/retro.h"
#include "storage/register_late.h"

struct reg;

#define RETRO_KEPT_MAX 32 /* requests that have ended */

/* Zeroed = empty. */
struct retro_book {
	struct reg_retro requests[RETRO_RUNNING_MAX + RETRO_KEPT_MAX]; /* ascending by number */
	size_t count;
};

/* What the register holds. 0, or what the register says; the book is no use then. */
int retro_book_load(struct retro_book *book, struct reg *reg);

/* No room for one that runs. */
bool retro_book_full(const struct retro_book *book);
/* Not full. Its number is higher than all others. */
void retro_book_add(struct retro_book *book, const struct reg_retro *request);
/* What is known of a request now; one that is not in the book stays out of it. */
void retro_book_renew(struct retro_book *book, const struct reg_retro *request);
/* The first that has not ended, a cancelled one too. False: there is none. */
bool retro_book_next(const struct retro_book *book, struct reg_retro *ret_request);

/*
 * From now on it is cancelled, durable on return: written with the lock held, for its owner's thread writes the same
 * record. 0, RETRO_UNKNOWN, RETRO_ENDED (ended or cancelled before), or < 0 with err and nothing changed.
 */
int retro_book_cancel(struct retro_book *book, struct reg *reg, uint32_t number, struct err *err);
/* Unknown ones are cancelled too. */
bool retro_book_cancelled(const struct retro_book *book, uint32_t number);

/* Out of the book, when more have ended than are kept: the oldest. Its number; 0: none has to go. */
uint32_t retro_book_forget(struct retro_book *book);

/* [{number, list, state, …}]; `running` is in work, and `why` its last attempt failed. New reference. */
json_t *retro_book_json(const struct retro_book *book, uint32_t running, const char *why);

/* Durable on return. reg NULL: -ENOKEY. */
int retro_record_put(struct reg *reg, const struct reg_retro *request, struct err *err);
int retro_record_remove(struct reg *reg, uint32_t number, struct err *err);

#endif
