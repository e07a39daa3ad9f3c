/* audit attachment: the lines of a text that an entry of the log was too small for. */
#include "mgmt/ctl/ctl.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

static bool write_line(const json_t *row, void *ctx)
{
	return fprintf(ctx, "%s\n", json_string_value(row)) >= 0;
}

int run_attachment(const struct command *command, struct options *options)
{
	struct request request = {.method = command->method,
				  .params = options->params,
				  .options = options,
				  .command = command,
				  .on_row = write_line};
	FILE *out;
	int code, fd;

	if (options->out == NULL)
		return say(CTL_USAGE, "audit attachment: --out FILE is missing");
	fd = open(options->out, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	out = fd >= 0 ? fdopen(fd, "w") : NULL;
	if (out == NULL)
		return say(CTL_REFUSED, "%s: %s", options->out, strerror(errno));
	request.ctx = out;
	code = request_run(&request);
	if (code == CTL_OK && request.result == NULL)
		code = say(CTL_REFUSED, "interrupted, or %s cannot be written", options->out);
	if (fclose(out) != 0 && code == CTL_OK)
		code = say(CTL_REFUSED, "%s: %s", options->out, strerror(errno));
	if (code != CTL_OK)
		(void)unlink(options->out);
	json_decref(request.rows);
	json_decref(request.result);
	return code;
}
