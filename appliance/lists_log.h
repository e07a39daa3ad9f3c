/*
 * Every entry that comes or goes is in the audit log (R27): what changed between two versions of a list, gathered as
 * CSV, and written before the change is made. A few changes stand in the entry's own sealed body; many stand in an
 * attachment (mgmt/audit_attach.h) that the body names by its digest. Control threads; one owner.
 */
#ifndef GANTRY_APPLIANCE_LISTS_LOG_H
#define GANTRY_APPLIANCE_LISTS_LOG_H

#include <jansson.h>
#include <stddef.h>
#include <stdint.h>

#include "matcher/list_edit.h"

struct audit;
struct err;

#define LISTS_LOG_INLINE_MAX 1000 /* changes in an entry's own body, when they fit it */

/* Zeroed, filled, then fini. */
struct lists_log {
	char *text;
	size_t size;
	size_t room;
	uint32_t counts[2]; /* enum list_change */
};

/* So many are to come: saves moving what is there already. -ENOMEM. */
int lists_log_expect(struct lists_log *log, uint32_t changes);

/* A list_change_fn: context is the log. -ENOMEM. */
int lists_log_take(void *log, enum list_change change, const struct list_entry *entry);

/* Every living entry of a list as removed. -ENOMEM. */
int lists_log_take_all(struct lists_log *log, const struct list *list);

/* Who changed what. */
struct lists_log_note {
	uint32_t uid;
	const char *account;
	const char *verb; /* that did it */
	const char *name; /* of the list */
	uint32_t list;
	uint32_t from_version; /* 0: none */
	uint32_t version;
	const struct list_info *head_before; /* of that version; NULL: none, or it is not known */
	const struct list_info *head;        /* NULL: the list goes */
};

/*
 * Durable on return: a note "lists.change" with counts, what the head says otherwise, so who may have the list's hits,
 * the digest of the difference and the difference. ret_facts, without head and difference, are
 * for the entry of the call that does it (a new reference). < 0 with err: then the change must not be made.
 */
int lists_log_write(const struct lists_log *log, struct audit *audit, const struct lists_log_note *note,
		    struct err *err, json_t **ret_facts);

void lists_log_fini(struct lists_log *log);

#endif
