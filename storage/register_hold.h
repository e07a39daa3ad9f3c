/*
 * The register's records of holds and of proposed purges, and their bytes (docs/disk-format.md): as
 * register_records.h. Pure functions, any thread.
 */
#ifndef GANTRY_STORAGE_REGISTER_HOLD_H
#define GANTRY_STORAGE_REGISTER_HOLD_H

#include "storage/register_records.h"

#define REG_HOLD_PATTERN_SIZE 65
#define REG_HOLD_REASON_SIZE 512
#define REG_HOLD_CAMERAS 96 /* of one record; a selector of more takes several records */
#define REG_HOLD_READS 13
#define REG_PUBLIC_ID_SIZE 16
#define REG_AUTHORITY_SIZE 256

/* Stable numbers. */
enum reg_hold_class { REG_HOLD_CPIA = 1, REG_HOLD_MOPI = 2 };

struct reg_hold {
	uint32_t number;    /* of the case; never given again */
	uint8_t hold_class; /* enum reg_hold_class */
	bool released;      /* its copies are being destroyed */
	int32_t review_day;
	int64_t created_us;
	uint32_t who_uid;      /* who made the case, and why; each selector has its own maker */
	uint32_t released_uid; /* who released it; 0 before */
	char reference[REG_NAME_SIZE];
	char reason[REG_HOLD_REASON_SIZE];
};

struct reg_hold_read {
	uint8_t public_id[REG_PUBLIC_ID_SIZE];
	uint32_t camera;
	int64_t capture_us;
};

/* One of a case's; rows that any of them matches are held. */
struct reg_hold_selector {
	uint32_t number; /* of the case */
	uint32_t index;
	uint32_t first;   /* index of the first record of what was added together */
	uint32_t who_uid; /* who added it */
	int64_t added_us; /* when */
	bool follows;     /* an amendment: it holds the corrected read of one that this maker had held */
	char pattern[REG_HOLD_PATTERN_SIZE]; /* empty: any */
	int64_t from_us;
	int64_t to_us;
	uint64_t identity;     /* which key made the ids of the reads (hold_match.h); 0 without reads */
	uint16_t camera_count; /* 0: any */
	uint16_t read_count;   /* not 0: just these, and no other criterion */
	uint32_t cameras[REG_HOLD_CAMERAS];
	struct reg_hold_read reads[REG_HOLD_READS];
	char reason[REG_HOLD_REASON_SIZE]; /* why it was added */
};

struct reg_proposal {
	uint32_t number; /* never given again */
	int32_t day;
	uint32_t who_uid;
	int64_t proposed_us;
	char authority[REG_AUTHORITY_SIZE];
	char reason[REG_HOLD_REASON_SIZE];
};

size_t reg_hold_encode(const struct reg_hold *hold, uint8_t buffer[REG_RECORD_SIZE_MAX]);
size_t reg_hold_selector_encode(const struct reg_hold_selector *selector, uint8_t buffer[REG_RECORD_SIZE_MAX]);
size_t reg_proposal_encode(const struct reg_proposal *proposal, uint8_t buffer[REG_RECORD_SIZE_MAX]);

/* -EBADMSG when the bytes are no such record, whole and nothing more; ret untouched. */
int reg_hold_decode(const void *bytes, size_t size, struct reg_hold *ret_hold);
int reg_hold_selector_decode(const void *bytes, size_t size, struct reg_hold_selector *ret_selector);
int reg_proposal_decode(const void *bytes, size_t size, struct reg_proposal *ret_proposal);

#endif
