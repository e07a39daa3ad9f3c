/*
 * Inside of the marks: their image in memory, shared by marks.c (life, what is published, whole days), marks_record.c
 * (their records), marks_load.c, marks_make.c and marks_pending.c, nobody else.
 *
 * `change` is held by whoever calls what stands here.
 */
#ifndef GANTRY_STORAGE_MARKS_INTERNAL_H
#define GANTRY_STORAGE_MARKS_INTERNAL_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "appliance/base/err.h"
#include "appliance/base/read.h"
#include "storage/keyring.h"
#include "storage/mark_set.h"
#include "storage/marks.h"
#include "storage/register.h"

/* What the removal needs of a pending mark. */
struct mark_work {
	bool readable;
	bool removed; /* lies in no segment; its correction waits for one */
	int64_t until_ns;
	struct read read;
	struct read corrected;
};

struct mark {
	struct mark_brief brief;
	uint32_t number;
	int64_t made_us;
	uint64_t key;
	struct mark_work *work; /* NULL: not pending */
};

struct marks {
	pthread_mutex_t change;
	struct reg *reg; /* NULL: not loaded */
	struct keyring *keyring;
	struct mark_keys keys;
	bool keyed;
	bool keys_owed;   /* the keyring still has keys of marks that are done */
	struct mark *all; /* ascending by day, number */
	size_t count;
	size_t room;

	pthread_mutex_t set_lock;
	struct mark_set *set;
};

/* Who and why stand in the audit log; here a reason in words might name the read for longer than its day. */
#define MARK_REASON "see the audit log"

/* marks.c */

void mark_work_free(struct mark_work *work); /* wipes; NULL is fine */
/* The image becomes the set that searches hold from now on. -ENOMEM: the set before stays. */
int marks_publish(struct marks *marks);
/* The marks of that day are all[begin] … all[*ret_end − 1]; one that is new comes in at the end. Returns begin. */
size_t marks_of_day(const struct marks *marks, int32_t day, size_t *ret_end);
/* For one mark more. -ENOMEM. */
int marks_room_make(struct marks *marks);
/* KEY_IDENTITY's two keys, from the keyring once. -ENOKEY when it has none, -errno. */
int marks_keys_ready(struct marks *marks);
/* Deletes the records of the day from the register, then its marks from the image; publishes nothing. */
int marks_forget_day_locked(struct marks *marks, int32_t day, struct err *err);

/* marks_record.c */

struct key_id mark_work_key(const struct mark *mark);
/* The mark's record, durable; its work is sealed under KEY_MARK, which is in the keyring. */
int mark_record_write(struct marks *marks, const struct mark *mark, uint32_t who_uid, struct err *err);
/* -EBADMSG; -ENOTSUP: of another version; or what the keyring says of the key: -ENOENT. */
int mark_work_open(struct marks *marks, const struct mark *mark, const struct reg_mark *record,
		   struct mark_work *ret_work);

/* marks_load.c */

/* The keys that no pending mark names: of a mark that was not made in the end, or one that is done. */
int marks_orphans_destroy(struct marks *marks);

#endif
