/*
 * Which cases hold a read of a day that lives, and how it stays held when it is amended: an amended read has another
 * VRM and another id, so that no selector may match it any more. Before the mark is made each case that holds the
 * original takes the corrected read by its id; without the mark that id is nobody's. Takes hold_mutex; control threads.
 */
#ifndef GANTRY_STORAGE_HOLD_FOLLOW_H
#define GANTRY_STORAGE_HOLD_FOLLOW_H

#include <stddef.h>
#include <stdint.h>

#include "appliance/base/err.h"
#include "storage/register_hold.h"

struct read;
struct store;

/*
 * The cases that hold the read (caller frees), which hold `corrected` too from now on; NULL: only tells them. 0, or
 * -errno with err: then the read is not to be amended.
 */
int hold_follow(struct store *store, const struct read *read, const uint8_t public_id[REG_PUBLIC_ID_SIZE],
		const struct read *corrected, uint32_t who_uid, struct err *err, struct reg_hold **ret_holds,
		size_t *ret_count);

#endif
