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

struct err;
struct list;

#define LIST_NAME_SIZE 64      /* zero terminated */
#define LIST_PATTERN_SIZE 64   /* bytes of a vrm field */
#define LIST_TEXT_SIZE_MAX 256 /* bytes of any other field */
#define LIST_WILDCARDS_MAX 8
#define LIST_FIXED_MIN 2 /* letters and digits that a pattern with wildcards has to name */
#define LIST_REPORTS_MAX 100
#define LIST_PRIORITY_MAX 100

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

/* "local", "pnc-fast-track", …; "monitor", "respond". NULL for an unknown value. */
const char *list_class_name(enum list_class class);
const char *list_purpose_name(enum list_purpose purpose);
/* -EINVAL for an unknown name. */
int list_class_parse(const char *name, enum list_class *ret_class);
int list_purpose_parse(const char *name, enum list_purpose *ret_purpose);

/* The head of a list. Filled by whoever loads it, except sha256. */
struct list_info {
	uint32_t id;
	uint32_t version;
	uint32_t generation; /* replaced whole so often: within one, an entry keeps its number */
	enum list_class class;
	enum list_purpose purpose;
	enum list_tolerance tolerance; /* of exact entries whose row says nothing of it */
	uint8_t priority;              /* 0..100, 100 first */
	int64_t revised_us;            /* by its supplier: the 28 days of R25 count from here */
	char name[LIST_NAME_SIZE];     /* printable UTF-8, not empty */
	char owner[LIST_NAME_SIZE];    /* organisation; may be empty */
	uint8_t sha256[SHA256_SIZE];   /* of the CSV text it was made from */
};

enum list_flags {
	LIST_FLAG_TOLERANT = 1 << 0,    /* equality of folded keys is enough; exact entries only */
	LIST_FLAG_AS_RECEIVED = 1 << 1, /* the text as received must equal `text` too; exact entries only */
	LIST_FLAG_WILDCARD = 1 << 2,    /* `pattern` has `?` or `*` */
	LIST_FLAG_REMOVED = 1 << 3,     /* no longer of the list; its number is not given again */
};

/* Pointers are zero terminated, never NULL, and the list's own: valid until it is freed. */
struct list_entry {
	const char *pattern; /* over keys, canonical; without wildcard: the key itself */
	const char *text;    /* the field as written */
	const char *reason, *action, *make, *model, *colour;
	int64_t expires_us; /* reads received from then on do not hit; INT64_MAX: never */
	uint32_t line;      /* of the CSV text, from 1 */
	uint8_t flags;      /* enum list_flags */
};

struct list_options {
	bool strict;       /* a single bad row: nothing is loaded */
	bool tolerant;     /* exact entries whose row says nothing of it are tolerant */
	size_t bytes_max;  /* 0: 512 MiB */
	uint32_t rows_max; /* 0: 5,000,000 */
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
	uint32_t bad;
	uint32_t duplicates;
	uint32_t report_count;
	struct list_report reports[LIST_REPORTS_MAX];
};

/*
 * From CSV (RFC 4180; LF alone and a byte order mark are taken too). The first line names the columns: `vrm` or
 * `pattern`, and optionally `reason`, `action`, `make`, `model`, `colour`, `expires`, `tolerant`, `as-received`.
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
uint32_t list_count(const struct list *list);
/* index < list_count; it is the `entry` of a hit. */
void list_entry(const struct list *list, uint32_t index, struct list_entry *ret_entry);
uint8_t list_entry_flags(const struct list *list, uint32_t index); /* alone: looks at no text */

#endif
