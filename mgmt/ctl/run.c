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

static int finish(struct request *request, int code)
{
	if (code == CTL_OK && request->cancelled && request->result == NULL)
		code = say(CTL_REFUSED, "interrupted");
	json_decref(request->rows);
	json_decref(request->result);
	if (fflush(stdout) != 0 || ferror(stdout))
		return say(CTL_REFUSED, "standard output: %s", strerror(errno));
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
	return finish(&request, code);
}

static void print_search_note(const json_t *result)
{
	const char *cursor = json_string_value(json_object_get(result, "cursor"));
	json_int_t count = json_integer_value(json_object_get(result, "count"));

	(void)fprintf(stderr, "%lld %s, %lld ms\n", (long long)count, count == 1 ? "sighting" : "sightings",
		      (long long)json_integer_value(json_object_get(result, "elapsed_ms")));
	if (json_is_true(json_object_get(result, "truncated")))
		(void)fprintf(stderr, "there are more: repeat with --limit N%s%s\n",
			      cursor != NULL ? ", or go on with --cursor " : "", cursor != NULL ? cursor : "");
	if (json_is_false(json_object_get(result, "complete"))) {
		char *unreadable = json_dumps(json_object_get(result, "unreadable"), JSON_COMPACT | JSON_ENCODE_ANY);

		(void)say(0, "the answer is INCOMPLETE, these could not be read: %s",
			  unreadable != NULL ? unreadable : "?");
		free(unreadable);
	}
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

int run_search(const struct command *command, struct options *options)
{
	struct request request = new_request(command, options);
	int code;

	if (options->count_only) {
		request.method = "reads.count";
		code = drop_row_params(options->params);
		if (code != 0)
			return code;
	}
	code = request_run(&request);
	if (!options->json && options->count_only && request.result != NULL)
		(void)printf("%lld\n", (long long)json_integer_value(json_object_get(request.result, "count")));
	else
		print_answer(&request);
	if (!options->json && request.result != NULL)
		print_search_note(request.result);
	return finish(&request, code);
}

struct following {
	const struct command *command;
	const struct options *options;
	int64_t count;
};

static bool follow_row(const json_t *row, void *ctx)
{
	struct following *following = ctx;

	if (following->options->json)
		print_json(row);
	else
		show_row_now(stdout, row, following->command->columns, following->count == 0);
	if (fflush(stdout) != 0)
		return false;
	following->count++;
	return following->options->row_max == 0 || following->count < following->options->row_max;
}

int run_follow(const struct command *command, struct options *options)
{
	struct request request = new_request(command, options);
	struct following following = {command, options, 0};
	int code;

	request.on_row = follow_row;
	request.ctx = &following;
	if (options->for_s > 0)
		request.deadline_ns = clock_mono_ns() + options->for_s * 1000000000;
	code = request_run(&request);
	request.cancelled = false; /* --count, --for or an interrupt: how such a command is meant to end */
	return finish(&request, code);
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
			(void)printf("%-18s %s\n", json_string_value(json_object_get(method, "name")),
				     json_string_value(json_object_get(method, "summary")));
		}
	}
	json_decref(table);
	(void)command;
	return CTL_OK;
}
