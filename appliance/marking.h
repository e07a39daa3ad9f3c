/*
 * One call that marks a read: reads.erase, reads.restrict, reads.unrestrict (handlers_marks.c) and reads.amend
 * (handlers_amend.c). The read is named by its public id together with camera and capture time, which find it. One
 * thread of the server's pool.
 */
#ifndef GANTRY_APPLIANCE_MARKING_H
#define GANTRY_APPLIANCE_MARKING_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "appliance/base/err.h"
#include "appliance/base/read.h"
#include "storage/cases_edit.h"
#include "storage/marks.h"
#include "storage/search.h"

struct call;
struct gantry;

#define MARKING_HITS_MAX 32 /* hits of a corrected read that are looked for */

/* One call. The reads in it are personal data: the whole is wiped. */
struct marking {
	struct call *call;
	struct gantry *gantry;
	uint32_t case_number; /* not 0: of that case's copy, for the read's day is gone */
	char id[SEARCH_PUBLIC_ID_SIZE];
	uint32_t camera;
	int64_t capture_us;
	bool found;
	struct read read;
	/* of an amendment */
	uint8_t text[READ_TEXT_SIZE];
	uint8_t key[READ_TEXT_SIZE];
	struct hit hits[MARKING_HITS_MAX];
	size_t hit_count;
	bool hits_more;
	struct read corrected;
	bool corrected_found;
	bool corrected_exact; /* else only its text is looked at: it was corrected by an earlier call */
	char corrected_id[SEARCH_PUBLIC_ID_SIZE];
	json_t *held_by; /* cases that held it; NULL: not asked */
	struct search_result result;
};

/* Takes the call's parameters, then `act` answers it; what it returns is returned. */
int marking_run(struct call *call, struct gantry *gantry, int (*act)(struct marking *marking));

/* All reads of that camera at that microsecond. 0, or -errno with the call failed. */
int marking_look(struct marking *marking);
/* Was the read marked so by an earlier call? For one that is not found. */
bool marking_was_made(struct marking *marking, enum mark_kind kind);
/* With the call failed: there is no such read. */
void marking_fail_unknown(struct marking *marking);

/* change_lock held. Makes the mark, or only asks whether it may be made. 0, MARKS_ALREADY, or < 0: the call failed. */
int marking_make(struct marking *marking, enum mark_kind kind,
		 int (*how)(struct marks *marks, const struct mark_order *order, struct err *err));
/* Which cases hold the read; they hold `corrected` in its stead when that is given. 0, or < 0: the call failed. */
int marking_follow(struct marking *marking, const struct read *corrected);
/* change_lock held: what the workers know is what the marks say. */
void marking_publish(struct marking *marking);
/* A case's copy, at once; the read was found there. 0, 1 it is so already, or < 0: the call failed. */
int marking_edit_copy(struct marking *marking, enum case_edit_kind kind);

json_t *marking_answer(const struct marking *marking, bool already);

#endif
