/*
 * The ledger: which reads were acknowledged, and which of these were refused. The fleet's own account, to be held
 * against the store. Append-only; written through to the kernel with each ACK, before the spool lets a read go, so that
 * a SIGKILL of gantry-load or of the appliance loses nothing of it.
 *
 * File (little-endian): 16 bytes "GNTRYLDG", version u32, zero u32; then entries, each a 32-byte head
 *
 *	0  type u8 (1 acknowledged, 2 refused)   1  lane u8   2  reason u8   3  zero u8   4  count u32
 *	8  first sequence u64                    16 feed u32  20 epoch u32   24 check u64 (XXH3 of the 24 bytes before)
 *
 * after type 1 followed by count 48-byte records as they went on the wire. Type 2 says that `count` sequences, being
 * or about to be acknowledged, were refused for `reason` (enum refusal). A torn last entry is cut off when the file is
 * opened again. A read may be listed twice, when a kill came between ledger and spool: ledger_print drops the second.
 */
#ifndef GANTRY_BENCH_LEDGER_H
#define GANTRY_BENCH_LEDGER_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "appliance/base/err.h"
#include "appliance/base/read.h"

struct spool;
struct ledger;

/* Opens for appending; made when it is not there. Writers keep each other out: -EBUSY. One owner thread. */
int ledger_open(const char *path, struct ledger **ret_ledger, struct err *err);
/* NULL allowed; returns NULL. */
struct ledger *ledger_close(struct ledger *ledger);

/* Sequences [first, end) of the spool's lane are acknowledged; called before spool_acknowledge. 0 or -errno. */
int ledger_acknowledged(struct ledger *ledger, uint32_t feed, const struct spool *spool, enum feed_lane lane,
			uint64_t first, uint64_t end);

int ledger_refused(struct ledger *ledger, uint32_t feed, uint32_t epoch, enum feed_lane lane, uint64_t first,
		   uint32_t count, uint8_t reason);

/*
 * One line per acknowledged read, each once, in the order of the ledger, tab-separated:
 * feed, epoch, lane (live, backlog), sequence, fate (acknowledged, or the refusal: malformed, too-old, future,
 * camera-suspended), capture_us, camera, text, lat_e7, lon_e7, kind, confidence, road lane, direction, flags (the
 * sender's), country (two letters or -), images. Numbers are decimal. *ret_count: lines. A torn end is left out.
 */
int ledger_print(const char *path, FILE *out, uint64_t *ret_count, struct err *err);

#endif
