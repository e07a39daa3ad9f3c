/* keys escrow: the officers' certificates go to the appliance, what it sealed to them comes back into a new file. */
#include "mgmt/ctl/ctl.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define CERTIFICATE_SIZE_MAX (64 * 1024)

/* A certificate as text; NULL with errno. */
static json_t *read_certificate(const char *path)
{
	char *text = malloc(CERTIFICATE_SIZE_MAX + 1);
	FILE *file = fopen(path, "re");
	json_t *string = NULL;
	size_t size;

	if (text != NULL && file != NULL) {
		size = fread(text, 1, CERTIFICATE_SIZE_MAX + 1, file);
		errno = ferror(file) != 0 ? EIO : EINVAL;
		if (ferror(file) == 0 && size <= CERTIFICATE_SIZE_MAX)
			string = json_stringn(text, size);
	}
	if (file != NULL)
		(void)fclose(file);
	free(text);
	return string;
}

static int read_officers(struct options *options)
{
	static const char *const names[] = {"officer_1", "officer_2"};

	for (unsigned i = 0; i < 2; i++) {
		json_t *certificate = read_certificate(options->officers[i]);

		if (certificate == NULL)
			return say(CTL_USAGE, "%s: %s", options->officers[i],
				   errno == EINVAL ? "not a certificate in PEM" : strerror(errno));
		(void)json_object_set_new(options->params, names[i], certificate);
	}
	return CTL_OK;
}

static int write_all(int fd, const char *text)
{
	size_t size = strlen(text);

	while (size > 0) {
		ssize_t count = write(fd, text, size);

		if (count < 0 && errno != EINTR)
			return -errno;
		if (count > 0) {
			text += count;
			size -= (size_t)count;
		}
	}
	return fsync(fd) < 0 ? -errno : 0;
}

static void report(const struct options *options, json_t *result)
{
	(void)json_object_del(result, "sealed");
	(void)json_object_set_new(result, "file", json_string(options->out));
	if (options->json) {
		(void)json_dumpf(result, stdout, JSON_COMPACT);
		(void)fputc('\n', stdout);
	} else {
		show_result(stdout, result);
	}
}

static int export_to(const struct command *command, struct options *options, int fd)
{
	struct request request = {
		.method = command->method, .params = options->params, .options = options, .command = command};
	int code = request_run(&request);
	const char *sealed = json_string_value(json_object_get(request.result, "sealed"));
	int r;

	if (code == CTL_OK && sealed == NULL)
		code = say(CTL_REFUSED, "interrupted: look at keys show, and export again");
	r = code == CTL_OK ? write_all(fd, sealed) : 0;
	if (r < 0)
		code = say(CTL_REFUSED, "%s: %s; the former export is void all the same: export again", options->out,
			   strerror(-r));
	if (code == CTL_OK)
		report(options, request.result);
	json_decref(request.rows);
	json_decref(request.result);
	return code;
}

int run_escrow(const struct command *command, struct options *options)
{
	int code;
	int fd;

	if (options->officer_count != 2)
		return say(CTL_USAGE, "keys escrow: --officer FILE is needed twice, for two officers");
	if (options->out == NULL)
		return say(CTL_USAGE, "keys escrow: --out FILE is missing");
	code = read_officers(options);
	if (code != CTL_OK)
		return code;
	/* Before anything is asked: an export that cannot be written down would void the former one. */
	fd = open(options->out, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0)
		return say(CTL_REFUSED, "%s: %s", options->out, strerror(errno));
	code = export_to(command, options, fd);
	if (close(fd) < 0 && code == CTL_OK)
		code = say(CTL_REFUSED, "%s: %s", options->out, strerror(errno));
	if (code != CTL_OK)
		(void)unlink(options->out);
	return code;
}
