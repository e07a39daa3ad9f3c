/* The ledger's bytes (bench/ledger.h has the table), for its writer and its reader. Pure functions. */
#ifndef GANTRY_BENCH_LEDGER_FORMAT_H
#define GANTRY_BENCH_LEDGER_FORMAT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LEDGER_HEAD_SIZE 16
#define LEDGER_ENTRY_SIZE 32
#define LEDGER_RECORD_SIZE 48

enum ledger_type { LEDGER_ACKNOWLEDGED = 1, LEDGER_REFUSED = 2 };

struct ledger_entry {
	uint8_t type; /* enum ledger_type */
	uint8_t lane;
	uint8_t reason;
	uint32_t count;
	uint64_t first;
	uint32_t feed;
	uint32_t epoch;
};

void ledger_head_encode(uint8_t ret_head[LEDGER_HEAD_SIZE]);
bool ledger_head_valid(const uint8_t head[LEDGER_HEAD_SIZE]);

void ledger_entry_encode(const struct ledger_entry *entry, uint8_t ret_bytes[LEDGER_ENTRY_SIZE]);
/* False when the bytes are no entry's head. */
bool ledger_entry_decode(const uint8_t bytes[LEDGER_ENTRY_SIZE], struct ledger_entry *ret_entry);
/* Of head and records. */
size_t ledger_entry_size(const struct ledger_entry *entry);

#endif
