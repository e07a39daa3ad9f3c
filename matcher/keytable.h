/*
 * An immutable set of 16-byte keys, each known by its index: buckets by XXH3, half full at most. Made and
 * freed on a control thread, searched by any number of threads.
 */
#ifndef GANTRY_MATCHER_KEYTABLE_H
#define GANTRY_MATCHER_KEYTABLE_H

#include <stddef.h>
#include <stdint.h>

#include "appliance/base/read.h"

#define KEYTABLE_BURST 64
#define KEYTABLE_NONE UINT32_MAX

struct keytable;

/* Keys must differ from each other; they are copied. At most 2^30. -ENOMEM. */
int keytable_new(const uint8_t (*keys)[READ_TEXT_SIZE], uint32_t count, struct keytable **ret_table);
struct keytable *keytable_free(struct keytable *table);

/*
 * The index of each of up to KEYTABLE_BURST keys, KEYTABLE_NONE where it is not in the table. All buckets are fetched
 * before the first is looked at, so that a burst waits for memory about once.
 */
void keytable_find(const struct keytable *table, const uint8_t (*keys)[READ_TEXT_SIZE], size_t count,
		   uint32_t *ret_indexes);

#endif
