/*
 * The next version of a list on its way: while its difference goes into the audit log, threads of its own make what
 * else it needs, the sealed blob and the match set. Neither is in force by that: the register names the blob, and the
 * workers get the set, only behind the log.
 *
 * Life cycle: zeroed, begun, asked for the blob and then for the set, ended; all by one control thread with change_lock
 * held, which the two threads rely on.
 */
#ifndef GANTRY_APPLIANCE_LIST_AHEAD_H
#define GANTRY_APPLIANCE_LIST_AHEAD_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "storage/register.h"

struct gantry;
struct list;
struct matching;
struct reg;

struct list_ahead {
	struct gantry *gantry;
	struct reg *reg;
	struct list *list; /* owned until `taken`; nobody changes it any more. NULL: not begun */
	bool taken;        /* it is among the gantry's */

	pthread_t blob_thread;
	bool blob_waited;
	bool blob_named; /* by a change that the register was asked for: the blob is its own, whatever came of it */
	int blob_result; /* these: of the thread until it is waited for */
	uint64_t blob_size;
	uint8_t blob[REG_BLOB_NAME_SIZE];

	pthread_t set_thread;
	bool set_waited;
	struct list **lists;
	size_t list_count;
	struct matching *matching; /* NULL: could not be made */
};

/* Takes over `list`. Where no thread can be had, the work is done when it is asked for. */
void list_ahead_begin(struct list_ahead *ahead, struct gantry *gantry, struct reg *reg, struct list *list);

/* Waits. 0 and the blob's name and size, durable; or as reg_blob_put, -ENOMEM. */
int list_ahead_blob(struct list_ahead *ahead, uint8_t ret_name[REG_BLOB_NAME_SIZE], uint64_t *ret_size);

/* Waits. The set of just these lists in this order, handed over; NULL: make one. */
struct matching *list_ahead_matching(struct list_ahead *ahead, struct list *const *lists, size_t count);

/* Waits; frees what nobody took, and removes a blob that no change was to name. Accepts one that never began. */
void list_ahead_end(struct list_ahead *ahead);

#endif
