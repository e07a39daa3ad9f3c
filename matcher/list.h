/*
 * A list of vehicles of interest (R21–R27): one version of it, immutable once made.
 *
 * Made on a control thread from CSV text or from a stored image, read by any number of threads, freed by its one owner.
 * A match set (matcher/matchset.h) copies what it needs: a list may be freed once the set is built. Lists hold VRMs in
 * clear, in memory only: what goes to disk is list_image's bytes, sealed by storage.
 */
#ifndef GANTRY_MATCHER_LIST_H
#define GANTRY_MATCHER_LIST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "appliance/base/digest.h"
#include "matcher/list_conditions.h"

struct err;
struct list;

#define LIST_NAME_SIZE 64      /* zero terminated */
#define LIST_PATTERN_SIZE 64   /* bytes of a vrm field */
#define LIST_TEXT_SIZE_MAX 256 /* bytes of any other field */
#define LIST_WILDCARDS_MAX 8
#define LIST_FIXED_MIN 2 /* letters and digits that a pattern with wildcards has to name */
#define LIST_REPORTS_MAX 100
#define LIST_PRIORITY_MAX 100
#define LIST_SUBSCRIBERS_MAX 32
#define LIST_SUPPRESS_MINUTES_MAX 10080 /* a week */
#define LIST_MARKING_DEFAULT "OFFICIAL-SENSITIVE"
#define LIST_ROWS_MAX 5000000u

/* Stable values: they are stored. */
enum list_class {
	LIST_CLASS_LOCAL = 0,
	LIST_CLASS_PNC_FAST_TRACK = 1,
	LIST_CLASS_PNC_EXTRACT = 2,
	LIST_CLASS_SCHENGEN = 3,
	LIST_CLASS_MMC = 4,
	LIST_CLASS_THIRD_PARTY = 5, /* uninsured vehicles and the like */
	LIST_CLASS_COUNT
};
enum list_purpose { LIST_PURPOSE_MONITOR = 0, LIST_PURPOSE_RESPOND = 1, LIST_PURPOSE_COUNT };

/* What a read may differ in from an exact entry and still hit it. Stable values. */
enum list_tolerance {
	LIST_TOLERANCE_OFF = 0,          /* the key must be equal */
	LIST_TOLERANCE_CLASSES = 1,      /* the folded key must be equal, 11 and H alike (matcher/vrm.h) */
	LIST_TOLERANCE_SUBSTITUTION = 2, /* that, or one character of the key is another */
	LIST_TOLERANCE_COUNT
};

/* Which further hits of a vehicle its first one silences for a while. Stable values. */
enum list_scope {
	LIST_SCOPE_CAMERA = 0, /* those at the same camera */
	LIST_SCOPE_AREA = 1,   /* those in the same area */
	LIST_SCOPE_ANYWHERE = 2,
	LIST_SCOPE_COUNT
};

/* "local", "pnc-fast-track", …; "monitor", "respond"; "off", "classes", "substitution"; "camera", "area", "anywhere".
 * NULL for an unknown value. */
const char *list_class_name(enum list_class class);
const char *list_purpose_name(enum list_purpose purpose);
const char *list_tolerance_name(enum list_tolerance tolerance);
const char *list_scope_name(enum list_scope scope);
/* -EINVAL for an unknown name. */
int list_class_parse(const char *name, enum list_class *ret_class);
int list_purpose_parse(const char *name, enum list_purpose *ret_purpose);
int list_tolerance_parse(const char *name, enum list_tolerance *ret_tolerance);
int list_scope_parse(const char *name, enum list_scope *ret_scope);

/* The head of a list. Filled by whoever loads it, except generation_since and sha256. */
struct list_info {
	uint32_t id;
	uint32_t version;
	uint32_t generation;       /* replaced whole so often: within one, an entry keeps its number */
	uint32_t generation_since; /* version with which that one began: since then an entry's number means the same */
	enum list_class class;
	enum list_purpose purpose;
	enum list_tolerance tolerance; /* of exact entries whose row says nothing of it */
	enum list_scope suppress_scope;
	uint16_t suppress_minutes; /* 0: every hit is told */
	uint8_t priority;          /* 0..100, 100 first */
	uint8_t subscriber_count;
	int64_t revised_us;           /* by its supplier, as known when it was made: the register has the last word */
	bool revised_unsure;          /* by a clock under suspicion; the register alone keeps it */
	char name[LIST_NAME_SIZE];    /* printable UTF-8, not empty */
	char owner[LIST_NAME_SIZE];   /* organisation; may be empty */
	char marking[LIST_NAME_SIZE]; /* empty becomes LIST_MARKING_DEFAULT */
	char subscribers[LIST_SUBSCRIBERS_MAX][LIST_NAME_SIZE]; /* organisations that may; none: only the owner's */
	struct list_conditions conditions;
	uint8_t sha256[SHA256_SIZE]; /* of what it says: see list_build.h */
};

enum list_flags {
	LIST_FLAG_TOLERANT = 1 << 0, /* LIST_TOLERANCE_CLASSES at least, whatever the list says; exact entries only */
	LIST_FLAG_AS_RECEIVED = 1 << 1, /* the text as received must equal `text` too; exact entries only */
	LIST_FLAG_WILDCARD = 1 << 2,    /* `pattern` has `?` or `*` */
	LIST_FLAG_REMOVED = 1 << 3,     /* no longer of the list; its number is not given again */
	LIST_FLAG_EXACT = 1 << 4,       /* as LIST_TOLERANCE_OFF, whatever the list says */
};

/* Pointers are zero terminated, never NULL, and the list's own: valid until it is freed. */
struct list_entry {
	const char *pattern; /* over keys, canonical; without wildcard: the key itself */
	const char *text;    /* the field as written */
	const char *reason, *action, *make, *model, *colour;
	int64_t expires_us; /* reads received from then on do not hit; INT64_MAX: never */
	uint32_t line;      /* of the CSV text that brought it, from 1 */
	uint32_t since;     /* version of the list in which it came to say this */
	uint8_t flags;      /* enum list_flags */
};

struct list_report;

struct list_options {
	bool strict;       /* a single bad row: nothing is loaded */
	size_t bytes_max;  /* 0: 512 MiB */
	uint32_t rows_max; /* 0: LIST_ROWS_MAX */
	int64_t now_us;    /* rows that expire by then are taken, and counted; 0: they are not counted */
	/* Told of every row that is left out, in their order, beyond the first hundred too. NULL: nobody is. */
	int (*report)(void *context, const struct list_report *report); /* < 0 ends the load and is returned */
	void *context;
};

/* What loading saw: bad rows are left out, repeated ones kept once; every one is counted, the first hundred told. */
struct list_report {
	uint32_t line;
	uint16_t column;    /* field of the line, from 1; 0 is the whole row */
	bool duplicate;     /* of an earlier row: not an error */
	const char *reason; /* static text; never what the row holds */
};
struct list_result {
	uint32_t rows; /* = loaded + bad + duplicates */
	uint32_t loaded;
	uint32_t expired; /* of those loaded: over by list_options.now_us, they hit nothing */
	uint32_t bad;
	uint32_t duplicates;
	uint32_t report_count;
	struct list_report reports[LIST_REPORTS_MAX];
};

/*
 * From CSV (RFC 4180; LF alone and a byte order mark are taken too). The first line names the columns: `vrm` or
 * `pattern`, and optionally `reason`, `action`, `make`, `model`, `colour`, `expires`, `tolerant`, `as-received`
 * (docs/management-socket.md).
 *
 * 0, also when bad rows were left out. -EINVAL: bad info, no usable header line, or bad rows under `strict`. -E2BIG:
 * over a limit. -ENOMEM. On failure ret_list is untouched and err says why. ret_result (may be NULL) is filled in any
 * case, so that the rows can be named.
 */
int list_load_csv(const struct list_info *info, const char *text, size_t size, const struct list_options *options,
		  struct list_result *ret_result, struct err *err, struct list **ret_list);

/*
 * The list as bytes for storage to seal; the caller frees ret_bytes with free(), having wiped it. -ENOMEM.
 * list_parse gives an equal list back, or -EBADMSG for bytes that no list_image has made (truncated, flipped, unknown
 * format), -ENOMEM; ret untouched. Patterns are made anew from the text, so an image outlives a change of the VRM key.
 */
int list_image(const struct list *list, void **ret_bytes, size_t *ret_size);
int list_parse(const void *bytes, size_t size, struct err *err, struct list **ret_list);

/* Wipes it. NULL is fine; returns NULL. */
struct list *list_free(struct list *list);

const struct list_info *list_info(const struct list *list);
uint32_t list_count(const struct list *list);  /* slots, removed ones too */
uint32_t list_living(const struct list *list); /* entries that are not removed */
/* index < list_count; it is the `entry` of a hit. Also of one removed. */
void list_entry(const struct list *list, uint32_t index, struct list_entry *ret_entry);
uint8_t list_entry_flags(const struct list *list, uint32_t index); /* alone: looks at no text */
/* What an entry with these flags accepts in a list with that head. */
enum list_tolerance list_tolerance_of(const struct list_info *info, uint8_t flags);

#endif
