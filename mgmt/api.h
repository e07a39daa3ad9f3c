/*
 * The methods of the management socket: one table, as data (its rows by area: mgmt/api_tables.h). The server checks
 * parameters by it, gantryctl parses its options and prints its help from it, docs/management-socket.md shows it
 * (gantryctl api --markdown), rpc.discover answers it. Constant; any thread.
 */
#ifndef GANTRY_MGMT_API_H
#define GANTRY_MGMT_API_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct err;

#define API_REVISION 1 /* grows with every change that a client could notice */
#define API_PARAM_MAX 24

enum api_type {
	API_STRING,   /* min..max bytes of UTF-8, no control characters */
	API_INTEGER,  /* min..max */
	API_BOOLEAN,  /* true or false */
	API_TIME,     /* text as clock_parse reads it; becomes integer µs */
	API_DATE,     /* "YYYY-MM-DD"; becomes integer days since 1970-01-01 */
	API_INTEGERS, /* 1..max items, each a u32 */
	API_STRINGS,  /* 1..max items, each 1..96 bytes */
	API_VRM,      /* 1..64 bytes: letters, digits, spaces, dashes, ? and * (the matcher judges further) */
	API_HEX,      /* max bytes as 2 hex digits each */
	API_CHOICE,   /* one of `choices` */
	API_UPLOAD,   /* number of a complete upload of this connection; used up by the call */
	API_ID,       /* a request's id: integer or string of 1..128 bytes */
	API_TEXT,     /* min..max bytes, any characters: file content */
};

struct api_param {
	const char *name;
	enum api_type type;
	bool required;
	int64_t min;
	int64_t max;
	const char *const *choices; /* NULL-terminated, for API_CHOICE */
	const char *text;           /* for people, with the default */
};

enum api_flags {
	API_STREAM = 1 << 0,  /* answers with notifications before its result */
	API_GROUNDS = 1 << 1, /* needs purpose, case and reason; audited */
	API_CHANGES = 1 << 2, /* changes the appliance; audited */
	API_READS = 1 << 3,   /* shows reads or hits; audited */
	API_INLINE = 1 << 4,  /* answered by the server itself; also allowed as a notification where it says so */
	API_NOTIFY = 1 << 5,  /* may come as a notification */
	API_LONG = 1 << 6,    /* may take long: never takes the pool's last thread */
	API_RETRO = 1 << 7,   /* may ask for a search back (parameter retro), for which it needs grounds */
	API_AUDITED = API_GROUNDS | API_CHANGES | API_READS,
};

struct api_method {
	const char *name;
	const char *summary;
	unsigned flags;
	const char *stream;                     /* name of the row notification, or NULL */
	const char *result;                     /* its fields, for people */
	struct api_param params[API_PARAM_MAX]; /* ends with a NULL name; grounds not listed, the flag adds them */
};

/* The methods in the table's order, from index 0 on; NULL behind the last. */
const struct api_method *api_at(size_t index);
/* Its place in that order; how many there are, for a row that is not of the table. */
size_t api_index(const struct api_method *method);

/* NULL when there is none. */
const struct api_method *api_find(const char *name);

/* Parameter of a method, grounds included; NULL when there is none. */
const struct api_param *api_param_find(const struct api_method *method, const char *name);

/* purpose, case, reason (R31, R51), ending with a NULL name. They are typed here and judged by the policy. */
extern const struct api_param api_grounds[];
/* Those that a method takes: always, or with its `retro`; NULL: none. */
const struct api_param *api_grounds_of(const struct api_method *method);
extern const char *const api_purposes[];

/*
 * Checks a request's params (NULL is {}) against the row and makes the object that handlers see: a new reference.
 * -EINVAL with a text naming the parameter and the bound when anything is unknown, missing, mistyped or out of bounds.
 */
int api_check(const struct api_method *method, const json_t *params, json_t **ret_params, struct err *err);

/* "integer", "array of integers" …, for help and docs. */
const char *api_type_name(enum api_type type);
/* "0..4294967295", "1..64 bytes", "newest | oldest"; empty when there is no bound. Returns buffer. */
const char *api_bounds(const struct api_param *param, char *buffer, size_t size);

json_t *api_discover(const char *version); /* OpenRPC-like; new reference, NULL when out of memory */
char *api_markdown(void);                  /* malloc'd */

#endif
