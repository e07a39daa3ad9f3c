/*
 * Erasing, restricting and amending of a read that only a case's copy still has: its day is gone, and its marks with it
 * (R39, R2). The copy is written anew under a new key, at once: key durable → segment written and renamed → catalog row
 * in place of the old one → old key destroyed, old file gone. The new copy's lineage names the old one: of two that a
 * crash has left recovery keeps the newer (cases_recover.c).
 *
 * Control threads.
 */
#ifndef GANTRY_STORAGE_CASES_EDIT_H
#define GANTRY_STORAGE_CASES_EDIT_H

#include <stdint.h>

#include "appliance/base/err.h"
#include "appliance/base/read.h"

struct store;

enum case_edit_kind { CASE_EDIT_ERASE, CASE_EDIT_RESTRICT, CASE_EDIT_LIFT, CASE_EDIT_AMEND };

struct case_edit {
	enum case_edit_kind kind;
	const struct read *read;      /* as a search of the case found it */
	const struct read *corrected; /* CASE_EDIT_AMEND: what marks_correct made of it; it comes without hits */
};

/*
 * Takes hold_mutex. All rows that are this read for the sender are meant. 0 with the edit durable and the old copy
 * destroyed; 1: the case has no such row (any more), nothing changed; -errno with err: the read is as it was, or as it
 * was to be.
 */
int case_edit(struct store *store, uint32_t number, const struct case_edit *edit, struct err *err);

#endif
