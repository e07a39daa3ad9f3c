/* lists load, add and drop: the rejected lines go to a file of their own, all of them. */
#include "mgmt/ctl/ctl.h"

#include <errno.h>
#include <string.h>

static const char *const report_fields[] = {"line", "column", "duplicate", "reason", NULL};

static bool write_row(const json_t *row, void *ctx)
{
	csv_row(ctx, report_fields, row);
	return !ferror((FILE *)ctx);
}

/* Without --report there are no rows, and the result says the first hundred. */
static bool drop_row(const json_t *row, void *ctx)
{
	(void)row;
	(void)ctx;
	return true;
}

static void print_result(const struct request *request)
{
	if (request->result == NULL)
		return;
	if (!request->options->json) {
		show_result(stdout, request->result);
		return;
	}
	(void)json_dumpf(request->result, stdout, JSON_COMPACT);
	(void)fputc('\n', stdout);
}

/* What was asked is on the list only in part; that an entry to drop was not there leaves nothing undone. */
static bool is_partial(const struct command *command, const json_t *result)
{
	return strcmp(command->method, "lists.drop") != 0 &&
	       json_integer_value(json_object_get(result, "rejected_count")) > 0;
}

int run_list_load(const struct command *command, struct options *options)
{
	struct request request = {.method = command->method,
				  .params = options->params,
				  .options = options,
				  .command = command,
				  .on_row = drop_row};
	FILE *report = NULL;
	int code;

	if (options->report != NULL) {
		report = fopen(options->report, "w");
		if (report == NULL)
			return say(CTL_REFUSED, "%s: %s", options->report, strerror(errno));
		(void)json_object_set_new(options->params, "report", json_true());
		csv_head(report, report_fields);
		request.on_row = write_row;
		request.ctx = report;
	}
	code = request_run(&request);
	print_result(&request);
	if (code == CTL_OK && is_partial(command, request.result))
		code = say(CTL_INCOMPLETE, "rows were rejected, the others are loaded%s",
			   report == NULL ? "; --report FILE names each" : "");
	if (report != NULL && fclose(report) != 0 && code == CTL_OK)
		code = say(CTL_REFUSED, "%s: %s", options->report, strerror(errno));
	json_decref(request.rows);
	json_decref(request.result);
	return code;
}
