/* What the commands do with their answers. */
#include "mgmt/ctl/ctl.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "appliance/base/clock.h"
#include "gantry-config.h"
#include "mgmt/api.h"

static void print_json(const json_t *value)
{
	(void)json_dumpf(value, stdout, JSON_COMPACT | JSON_ENCODE_ANY);
	(void)fputc('\n', stdout);
}

static bool print_json_row(const json_t *row, void *ctx)
{
	(void)ctx;
	print_json(row);
	return !ferror(stdout);
}

static void print_answer(const struct request *request)
{
	if (request->result == NULL)
		return;
	if (request->options->json) {
		print_json(request->result);
		return;
	}
	if (request->command->columns != NULL)
		show_rows(stdout, request->rows, request->command->columns);
	else
		show_result(stdout, request->result);
}

int request_finish(struct request *request, int code)
{
	if (code == CTL_OK && request->cancelled && request->result == NULL)
		code = say(CTL_REFUSED, "interrupted");
	json_decref(request->rows);
	json_decref(request->result);
	errno = 0;
	if (fflush(stdout) != 0 && errno != 0)
		return say(CTL_REFUSED, "standard output: %s", strerror(errno));
	if (ferror(stdout)) /* of what was written before: its errno is gone */
		return say(CTL_REFUSED, "standard output cannot be written");
	return code;
}

static struct request new_request(const struct command *command, struct options *options)
{
	return (struct request){.method = command->method,
				.params = options->params,
				.options = options,
				.command = command,
				.on_row = options->json ? print_json_row : NULL};
}

int run_method(const struct command *command, struct options *options)
{
	struct request request = new_request(command, options);
	int code = request_run(&request);

	print_answer(&request);
	return request_finish(&request, code);
}

static json_int_t number_of(const json_t *result, const char *name)
{
	return json_integer_value(json_object_get(result, name));
}

static void print_cost(const json_t *result)
{
	(void)fprintf(stderr, ", %.1f ms", json_number_value(json_object_get(result, "elapsed_ms")));
	if (json_object_get(result, "rows_seen") != NULL)
		(void)fprintf(stderr, "; looked at %lld rows and keys, %lld segments, %lld pages",
			      (long long)number_of(result, "rows_seen"), (long long)number_of(result, "segments"),
			      (long long)number_of(result, "pages_read"));
	if (json_object_get(result, "cameras_inside") != NULL)
		(void)fprintf(stderr, "; %lld cameras stand there, %lld move",
			      (long long)number_of(result, "cameras_inside"),
			      (long long)number_of(result, "cameras_moving"));
	(void)fputc('\n', stderr);
}

static void print_incomplete(const json_t *result)
{
	const json_t *unreadable = json_object_get(result, "unreadable");
	const char *stopped = json_string_value(json_object_get(result, "stopped"));
	char *parts = json_dumps(unreadable, JSON_COMPACT | JSON_ENCODE_ANY);

	if (stopped != NULL)
		(void)say(0, "the answer is INCOMPLETE, its budget %s was spent: narrow the question", stopped);
	if (stopped == NULL || json_array_size(unreadable) > 0)
		(void)say(0, "the answer is INCOMPLETE, these could not be read: %s", parts != NULL ? parts : "?");
	free(parts);
}

/* The one that was asked for by name has its members below each other, not a table's row of them. */
int run_show(const struct command *command, struct options *options)
{
	struct request request = new_request(command, options);
	int code = request_run(&request);
	void *member = json_object_iter(request.result);
	json_t *rows = member != NULL ? json_object_iter_value(member) : NULL;

	if (!options->json && json_object_get(options->params, command->positional) != NULL &&
	    json_array_size(rows) == 1) {
		json_t *only = json_incref(json_array_get(rows, 0));

		json_decref(request.result);
		request.result = only;
	}
	print_answer(&request);
	return request_finish(&request, code);
}

/* An empty table would leave it open whether there is nothing, or too little to say. */
int run_rates(const struct command *command, struct options *options)
{
	struct request request = new_request(command, options);
	int code = request_run(&request);
	bool none = request.result != NULL && json_array_size(json_object_get(request.result, "rates")) == 0;
	const json_t *min = json_object_get(options->params, "assessed_min");

	if (none && !options->json)
		(void)printf("no row has %lld or more assessed hits; --assessed-min 1 shows those with fewer\n",
			     min != NULL ? (long long)json_integer_value(min) : 20LL);
	else
		print_answer(&request);
	return request_finish(&request, code);
}

/* Steps of several hits, of which some could not be done: done, but not all. */
int run_hit_step(const struct command *command, struct options *options)
{
	struct request request = new_request(command, options);
	int code = request_run(&request);

	if (code == CTL_OK && number_of(request.result, "refused") > 0)
		code = CTL_INCOMPLETE;
	print_answer(&request);
	return request_finish(&request, code);
}

static void print_search_note(const json_t *result, const char *what)
{
	const char *cursor = json_string_value(json_object_get(result, "cursor"));
	const char *lists = json_string_value(json_object_get(result, "lists"));
	json_int_t count = number_of(result, "count");

	(void)fprintf(stderr, "%lld %s%s%s", (long long)count, what, count == 1 ? "" : "s",
		      lists != NULL && strcmp(lists, "own") == 0 ? " of the lists of your own subscriptions" : "");
	if (json_object_get(result, "not_read") != NULL)
		(void)fprintf(stderr, ", of them %lld not read, %lld tests", (long long)number_of(result, "not_read"),
			      (long long)number_of(result, "tests"));
	print_cost(result);
	if (json_is_true(json_object_get(result, "truncated")))
		(void)fprintf(stderr, "there are more: repeat with --limit N%s%s\n",
			      cursor != NULL ? ", or go on with --cursor " : "", cursor != NULL ? cursor : "");
	if (json_is_false(json_object_get(result, "complete")))
		print_incomplete(result);
}

/* --count asks the other method, which knows neither limit nor order. */
static int drop_row_params(json_t *params)
{
	const struct api_method *method = api_find("reads.count");
	const char *name;
	json_t *value;

	json_object_foreach(params, name, value)
	{
		(void)value;
		if (api_param_find(method, name) == NULL)
			return say(CTL_USAGE, "--count and --%s do not go together", name);
	}
	return 0;
}

static bool print_csv_row(const json_t *row, void *ctx)
{
	csv_row(stdout, ctx, row);
	return !ferror(stdout);
}

/* Rows of reads.* are sightings. */
static const char *counted_what(const struct command *command)
{
	return strncmp(command->method, "hits.", 5) == 0 ? "hit" : "sighting";
}

int run_search(const struct command *command, struct options *options)
{
	struct request request = new_request(command, options);
	bool counts = options->count_only || json_is_true(json_object_get(options->params, "count"));
	int code;

	if (options->csv) {
		request.on_row = print_csv_row;
		request.ctx = (void *)command->fields;
		csv_head(stdout, command->fields);
	}
	if (options->count_only) {
		request.method = "reads.count";
		code = drop_row_params(options->params);
		if (code != 0)
			return code;
	}
	code = request_run(&request);
	if (!options->json && counts && request.result != NULL)
		(void)printf("%lld\n", (long long)json_integer_value(json_object_get(request.result, "count")));
	else if (!options->csv)
		print_answer(&request);
	if (!options->json && request.result != NULL)
		print_search_note(request.result, counted_what(command));
	return request_finish(&request, code);
}

/* The rows, and below them their sums. */
int run_segments(const struct command *command, struct options *options)
{
	struct request request = new_request(command, options);
	int code = request_run(&request);

	print_answer(&request);
	if (!options->json && request.result != NULL) {
		if (json_array_size(request.rows) > 0)
			(void)putchar('\n');
		show_result(stdout, request.result);
	}
	return request_finish(&request, code);
}

int run_api(const struct command *command, struct options *options)
{
	json_t *table;
	char *page;

	if (options->markdown) {
		page = api_markdown();
		(void)fputs(page != NULL ? page : "", stdout);
		free(page);
		return CTL_OK;
	}
	table = api_discover(GANTRY_VERSION);
	if (options->json) {
		print_json(table);
	} else {
		size_t index;
		json_t *method;

		json_array_foreach(json_object_get(table, "methods"), index, method)
		{
			(void)printf("%-20s  %s\n", json_string_value(json_object_get(method, "name")),
				     json_string_value(json_object_get(method, "summary")));
		}
	}
	json_decref(table);
	(void)command;
	return CTL_OK;
}
