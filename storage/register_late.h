/*
 * The register's records of what is found late, and their bytes (docs/disk-format.md): batches of late hits, the last
 * number given to one, requests for a search back, windows of unmatched reads. As register_records.h. Pure functions,
 * any thread.
 */
#ifndef GANTRY_STORAGE_REGISTER_LATE_H
#define GANTRY_STORAGE_REGISTER_LATE_H

#include "storage/register_records.h"

#define REG_LATE_LAST UINT32_MAX /* `a` of the one record that says which number was given last */
#define REG_LATE_NONCE_SIZE 12
#define REG_LATE_SEALED_MAX 1344
#define REG_LATE_HITS_MAX 64

/*
 * Hits of one capture day, with their reads, whose numbers lie within REG_LATE_HITS_MAX of the first. Nothing in it
 * tells a read to whoever lacks the day's KEY_LATE.
 */
struct reg_late_hits {
	int32_t day; /* of capture, 0 … */
	uint32_t number;
	uint64_t key;   /* KEY_LATE (key, day) */
	uint64_t first; /* count of the first hit's number (appliance/base/read.h) */
	uint16_t count; /* 1 … REG_LATE_HITS_MAX */
	uint8_t nonce[REG_LATE_NONCE_SIZE];
	uint16_t sealed_size;
	uint8_t sealed[REG_LATE_SEALED_MAX];
};

/* Stable numbers. */
enum reg_retro_state { REG_RETRO_RUNNING = 0, REG_RETRO_DONE = 1, REG_RETRO_CANCELLED = 2, REG_RETRO_STATE_COUNT };

/* A search back for the entries of a list that came with certain versions of it. */
struct reg_retro {
	uint32_t number; /* never given again */
	uint32_t list;
	uint32_t generation; /* of the list when it was asked for: entries have other numbers in another */
	uint32_t since_version;
	uint32_t upto_version; /* entries that came with since_version … upto_version */
	int32_t first_day;     /* of capture */
	int32_t last_day;
	int32_t next_day; /* to be searched next; days are done from the last to the first */
	uint32_t who_uid;
	uint8_t state; /* enum reg_retro_state */
	int64_t made_us;
	int64_t ended_us;        /* 0 while it runs, or is cancelled and yet to be ended */
	uint64_t finds;          /* late hits that it put */
	uint64_t met;            /* reads that met an entry, those beyond the bound and those told before too */
	char why[REG_TEXT_SIZE]; /* it ended before its time; empty: it did not */
};

/* Reads were received in [from_us, to_us) while no list was loaded, and are yet to be matched. */
struct reg_unmatched {
	uint32_t number; /* never given again */
	int64_t from_us;
	int64_t to_us; /* 0: it lasts */
};

size_t reg_late_hits_encode(const struct reg_late_hits *hits, uint8_t buffer[REG_RECORD_SIZE_MAX]);
size_t reg_late_last_encode(uint64_t last, uint8_t buffer[REG_RECORD_SIZE_MAX]);
size_t reg_retro_encode(const struct reg_retro *retro, uint8_t buffer[REG_RECORD_SIZE_MAX]);
size_t reg_unmatched_encode(const struct reg_unmatched *unmatched, uint8_t buffer[REG_RECORD_SIZE_MAX]);

/* -EBADMSG when the bytes are no such record, whole and nothing more; ret untouched. */
int reg_late_hits_decode(const void *bytes, size_t size, struct reg_late_hits *ret_hits);
int reg_late_last_decode(const void *bytes, size_t size, uint64_t *ret_last);
int reg_retro_decode(const void *bytes, size_t size, struct reg_retro *ret_retro);
int reg_unmatched_decode(const void *bytes, size_t size, struct reg_unmatched *ret_unmatched);

#endif
