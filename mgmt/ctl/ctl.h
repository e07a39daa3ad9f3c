/* What the parts of gantryctl share. One thread. */
#ifndef GANTRY_MGMT_CTL_CTL_H
#define GANTRY_MGMT_CTL_CTL_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

struct api_method;
struct api_param;
struct err;
struct link;

enum ctl_exit {
	CTL_OK = 0,
	CTL_REFUSED = 1,    /* refused or failed */
	CTL_USAGE = 2,      /* the command line is wrong: nothing was sent */
	CTL_UNREACHED = 3,  /* no appliance at the socket, or it went away */
	CTL_INCOMPLETE = 4, /* answered, but the answer says that it is not complete */
};

struct column {
	const char *title;
	const char *path; /* "read.vrm|vrm": the first that is there and not null */
	int width;        /* of a table whose rows are shown as they come; else it is as wide as its cells */
};

/* A command line taken apart. */
struct options {
	bool json;
	bool help;
	const char *socket; /* NULL: find it */
	const char *file;   /* FILE of the command, or --file */
	const char *key;
	const char *out;
	const char *report;      /* where rejected lines go */
	const char *officers[2]; /* certificates' files */
	unsigned officer_count;
	bool markdown;
	bool count_only;
	bool csv;
	bool no_ack;     /* hits follow --no-ack */
	int64_t row_max; /* hits follow --count; 0: no bound */
	int64_t for_s;   /* hits follow --for; 0: no bound */
	json_t *params;
};

enum command_takes {
	TAKES_FILE = 1 << 0,     /* FILE is uploaded as the method's upload */
	TAKES_FOLLOW = 1 << 1,   /* --count N, --for SECONDS, --no-ack */
	TAKES_COUNT = 1 << 2,    /* --count: ask how many */
	TAKES_VERIFY = 1 << 3,   /* --file F --key K */
	TAKES_OUT = 1 << 4,      /* --out F */
	TAKES_MARKDOWN = 1 << 5, /* --markdown */
	TAKES_CSV = 1 << 6,      /* --csv */
	TAKES_OFFICERS = 1 << 7, /* --officer F, twice */
	TAKES_REPORT = 1 << 8,   /* --report F */
};

struct command {
	const char *words;
	const char *method;     /* row of the API table whose parameters are the options; NULL when all is local */
	const char *positional; /* parameter that may come without its name */
	unsigned takes;
	const char *upload_kind;
	const struct column *columns; /* of streamed rows; ends with a NULL title */
	const char *const *fields;    /* of streamed rows as CSV; ends with NULL */
	int (*run)(const struct command *command, struct options *options); /* NULL: run_method */
	const char *examples;
};

extern const struct command commands[]; /* ends with NULL words */

/* options.c: 0, or -EINVAL with a text. The option's name of a parameter: --camera for cameras. */
int options_parse(const struct command *command, char **args, int count, struct options *ret_options, struct err *err);
const char *option_name(const char *param, char *buffer, size_t size);
/* Not an option: FILE stands for an upload, gantryctl takes rows as fast as they come, --report names a file. */
bool option_hidden(const struct api_param *param);
void options_fini(struct options *options);

/* help.c */
void help_all(FILE *to);
bool help_group(FILE *to, const char *group); /* false: no such group */
void help_command(FILE *to, const struct command *command);

/* value.c: malloc'd texts, never NULL, empty for nothing; `name` of a number tells its unit */
char *value_text(const char *name, const json_t *value);
bool value_is_latency(const char *name); /* p50_us: shown in ms */
char *text_format(const char *how, ...) __attribute__((format(printf, 1, 2)));
int text_width(const char *text); /* places on a terminal: a character beyond ASCII counts once */

/* show.c: results for people */
void show_result(FILE *to, const json_t *result);
void show_rows(FILE *to, const json_t *rows, const struct column *columns);
void show_row_now(FILE *to, const json_t *row, const struct column *columns, bool head);

/* csv.c: members of rows, by name */
void csv_head(FILE *to, const char *const *fields);
void csv_row(FILE *to, const char *const *fields, const json_t *row);

/* run.c, audit.c, escrow.c: each returns an exit code */
int run_method(const struct command *command, struct options *options);
int run_show(const struct command *command, struct options *options);
int run_rates(const struct command *command, struct options *options);
int run_hit_step(const struct command *command, struct options *options);
int run_search(const struct command *command, struct options *options);
int run_list_load(const struct command *command, struct options *options);
int run_attachment(const struct command *command, struct options *options);
int run_segments(const struct command *command, struct options *options);
int run_follow(const struct command *command, struct options *options);
int run_audit_verify(const struct command *command, struct options *options);
int run_audit_export(const struct command *command, struct options *options);
int run_audit_key(const struct command *command, struct options *options);
int run_escrow(const struct command *command, struct options *options);
int run_api(const struct command *command, struct options *options);

/* request.c: one request from first byte to exit code */
#define OTHER_ID 16
struct request {
	const char *method;
	json_t *params; /* borrowed */
	const struct options *options;
	const struct command *command;
	/* Called for each row; false ends the request early with a cancel. NULL: rows are gathered in `rows`. */
	bool (*on_row)(const json_t *row, void *ctx);
	void *ctx;
	/* Called for the answer to a request that on_row has sent itself, over `link`, under an id from OTHER_ID on. */
	void (*on_other)(const json_t *message, void *ctx);
	struct link *link;   /* while it runs */
	int64_t deadline_ns; /* cancel then; 0: never */
	json_t *rows;        /* gathered; the caller's to release */
	json_t *result;      /* NULL when it failed or was cancelled; the caller's to release */
	bool cancelled;      /* by on_row, the deadline or a signal */
};
int request_run(struct request *request);
/* Releases rows and result, flushes; the exit code. In run.c. */
int request_finish(struct request *request, int code);
int say(int code, const char *format, ...) __attribute__((format(printf, 2, 3))); /* to stderr; returns code */
int say_stopping(void); /* that the appliance ended a request that nobody cancelled; CTL_UNREACHED */

#endif
