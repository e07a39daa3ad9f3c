/*
 * Inside of the late hits, shared by late_hits.c (life, scans), late_put.c (what changes the register) and late_batch.c
 * (the bytes of a batch), nobody else.
 */
#ifndef GANTRY_STORAGE_LATE_INTERNAL_H
#define GANTRY_STORAGE_LATE_INTERNAL_H

#include <pthread.h>

#include "appliance/base/aead.h"
#include "storage/keyring.h"
#include "storage/late_hits.h"
#include "storage/late_tags.h"
#include "storage/register_late.h"

/* A record of the register, as scans find it. */
struct late_batch {
	uint64_t first; /* counts of the first and the last hit's number */
	uint64_t last;
	int64_t capture_first_us;
	int64_t capture_last_us;
	int32_t day;
	uint32_t number; /* of the record in its day */
	uint16_t count;  /* hits; what was tidied away leaves gaps in their numbers */
};

struct late_day {
	int32_t day;
	uint32_t next_number; /* of a record */
	uint64_t key;         /* KEY_LATE (key, day) of new records; 0: none made yet */
	uint64_t tidied;      /* marks_stamp as of the last tidying */
	struct late_tags tags;
};

struct late_hits {
	pthread_mutex_t change;
	struct reg *reg; /* NULL: not loaded */
	struct keyring *keyring;
	struct marks *marks;
	uint64_t seed; /* of the tags */
	/* Under change: */
	struct late_day *days; /* ascending */
	size_t day_count;
	size_t day_room;

	pthread_mutex_t lock;       /* guards what follows; written with `change` held as well */
	struct late_batch *batches; /* ascending by first */
	size_t batch_count;
	size_t batch_room;
	uint64_t last; /* count of the number given last */
};

/* Hits of one batch, decoded; personal data. */
struct late_content {
	size_t count;
	struct late_hit hits[REG_LATE_HITS_MAX];
};

/* late_batch.c */

/* A batch being filled: its hits' bytes, not yet sealed. */
struct late_filling {
	uint64_t first;
	uint16_t count;
	uint16_t size;
	uint8_t bytes[REG_LATE_SEALED_MAX];
};
/* By ascending numbers. False: it is full, the hit belongs into the next one. */
bool late_filling_add(struct late_filling *filling, const struct late_hit *hit);
/* Seals under the key into `record`, whose day, number and key are set. */
void late_batch_seal(const uint8_t key[KEY_SIZE], const struct late_filling *filling, struct reg_late_hits *record);
/* -EBADMSG, or what the keyring says of the key: -ENOENT. Numbers of the hits are set. */
int late_batch_open(struct keyring *keyring, const struct reg_late_hits *record, struct late_content *ret_content);
/* From the register. -ENOENT: it is gone by now. */
int late_batch_read(const struct late_hits *late, const struct late_batch *batch, struct late_content *ret_content);

/* late_hits.c; `change` held */

/* Where the day is, or would be inserted. */
struct late_day *late_day_find(const struct late_hits *late, int32_t day);
/* The day's entry, made when there is none. NULL: out of memory. */
struct late_day *late_day_make(struct late_hits *late, int32_t day);
/* For `more` batches beyond those there are. */
int late_batches_reserve(struct late_hits *late, size_t more);
struct late_tag late_tag_of(const struct late_hits *late, const struct late_hit *hit);

/* late_put.c; `change` held */

/* Records of the day go from the register, its keys from the ring, its batches from what scans see. */
int late_day_drop(struct late_hits *late, int32_t day, struct err *err);

#endif
