/* Shared by hold*.c, nobody else. */
#ifndef GANTRY_STORAGE_HOLD_INTERNAL_H
#define GANTRY_STORAGE_HOLD_INTERNAL_H

#include <stdint.h>

#include "appliance/base/err.h"
#include "storage/register.h"
#include "storage/register_hold.h"

struct store;

/* A put for reg_change: `buffer` takes the bytes and lives until the change is done. */
struct reg_change hold_put(const struct reg_hold *hold, uint8_t buffer[REG_RECORD_SIZE_MAX]);

/* The index that the case's next selector takes. */
int hold_selector_end(struct store *store, uint32_t number, uint32_t *ret_index);

/* -ENOKEY with err: the register is incomplete. */
int hold_ready(struct store *store, struct err *err);

#endif
