/* audit export, audit verify and audit key: what an auditor does, with the appliance and without it. */
#include "mgmt/ctl/ctl.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "appliance/base/bytes.h"
#include "appliance/base/clock.h"
#include "appliance/base/err.h"
#include "mgmt/audit.h"
#include "mgmt/export.h"

/* The key itself, or a file that holds it. */
static int read_key(const char *text, char *ret_key, size_t size)
{
	FILE *file = strchr(text, '+') != NULL ? NULL : fopen(text, "r");
	bool found;

	if (file == NULL) {
		(void)snprintf(ret_key, size, "%s", text);
		return strlen(text) < size ? 0 : -EINVAL;
	}
	found = fgets(ret_key, (int)size, file) != NULL;
	(void)fclose(file);
	if (!found)
		return -EINVAL;
	ret_key[strcspn(ret_key, "\r\n")] = '\0';
	return 0;
}

static int report(const struct options *options, const struct export_report *found)
{
	char root[2 * MERKLE_HASH_SIZE + 1];
	char from[CLOCK_TEXT_SIZE];
	char to[CLOCK_TEXT_SIZE];
	json_t *result = json_pack("{s:b, s:I, s:I, s:I, s:s}", "verified", 1, "first", (json_int_t)found->first,
				   "count", (json_int_t)found->count, "size", (json_int_t)found->size, "root",
				   hex_encode(found->root, sizeof(found->root), root));

	if (found->count > 0)
		(void)json_object_update_new(result,
					     json_pack("{s:s, s:s}", "from", clock_text_utc(found->from_us, from), "to",
						       clock_text_utc(found->to_us, to)));
	if (options->json) {
		(void)json_dumpf(result, stdout, JSON_COMPACT);
		(void)fputc('\n', stdout);
	} else {
		show_result(stdout, result);
	}
	json_decref(result);
	return CTL_OK;
}

static int verify_file(const struct options *options, const char *path, const char *key)
{
	FILE *file = fopen(path, "r");
	struct export_report found;
	struct err err = {""};
	int r;

	if (file == NULL)
		return say(CTL_REFUSED, "%s: %s", path, strerror(errno));
	r = export_verify(file, key, &found, &err);
	(void)fclose(file);
	if (r < 0)
		return say(CTL_REFUSED, "%s: NOT verified: %s", path, err.text);
	return report(options, &found);
}

int run_audit_verify(const struct command *command, struct options *options)
{
	char key[AUDIT_VKEY_MAX];

	if (options->file == NULL && options->key == NULL)
		return run_method(command, options);
	if (options->file == NULL || options->key == NULL)
		return say(CTL_USAGE, "audit verify: --file and --key go together");
	if (read_key(options->key, key, sizeof(key)) < 0)
		return say(CTL_USAGE, "audit verify: --key must be a verifier key or a file that holds one");
	return verify_file(options, options->file, key);
}

static bool write_leaf(const json_t *row, void *ctx)
{
	return json_is_string(row) && fprintf(ctx, "%s\n", json_string_value(row)) > 0;
}

static int write_trailer(FILE *file, const json_t *result)
{
	json_t *trailer = json_copy((json_t *)result);
	int r;

	(void)json_object_del(trailer, "vkey"); /* an auditor takes the key from elsewhere, or it proves nothing */
	r = json_dumpf(trailer, file, JSON_COMPACT);
	json_decref(trailer);
	if (r < 0 || fputc('\n', file) == EOF || fflush(file) != 0 || fsync(fileno(file)) < 0)
		return -errno;
	return 0;
}

static int export_to(const struct command *command, struct options *options, FILE *file, char *ret_key, size_t key_size)
{
	struct request request = {.method = command->method,
				  .params = options->params,
				  .options = options,
				  .command = command,
				  .on_row = write_leaf,
				  .ctx = file};
	const char *vkey;
	int code;

	(void)fprintf(file, "%s\n", EXPORT_HEAD);
	code = request_run(&request);
	if (code == CTL_OK && request.result == NULL)
		code = say(CTL_REFUSED, "interrupted, or %s cannot be written", options->out);
	if (code == CTL_OK && write_trailer(file, request.result) < 0)
		code = say(CTL_REFUSED, "%s: %s", options->out, strerror(errno));
	vkey = json_string_value(json_object_get(request.result, "vkey"));
	(void)snprintf(ret_key, key_size, "%s", vkey != NULL ? vkey : "");
	json_decref(request.rows);
	json_decref(request.result);
	return code;
}

int run_audit_export(const struct command *command, struct options *options)
{
	char key[AUDIT_VKEY_MAX];
	FILE *file;
	int fd;
	int code;

	if (options->out == NULL)
		return say(CTL_USAGE, "audit export: --out FILE is missing");
	fd = open(options->out, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	file = fd >= 0 ? fdopen(fd, "w") : NULL;
	if (file == NULL)
		return say(CTL_REFUSED, "%s: %s", options->out, strerror(errno));
	code = export_to(command, options, file, key, sizeof(key));
	if (fclose(file) != 0 && code == CTL_OK)
		code = say(CTL_REFUSED, "%s: %s", options->out, strerror(errno));
	if (code == CTL_OK)
		code = verify_file(options, options->out, key);
	if (code != CTL_OK)
		(void)unlink(options->out);
	return code;
}

int run_audit_key(const struct command *command, struct options *options)
{
	struct request request = {
		.method = command->method, .params = options->params, .options = options, .command = command};
	int code = request_run(&request);
	const json_t *vkey = json_object_get(request.result, "vkey");

	if (code == CTL_OK && options->json) {
		json_t *object = json_pack("{s:O?}", "key", vkey);

		(void)json_dumpf(object, stdout, JSON_COMPACT);
		(void)fputc('\n', stdout);
		json_decref(object);
	} else if (code == CTL_OK) {
		(void)printf("%s\n", json_is_string(vkey) ? json_string_value(vkey) : "");
	}
	json_decref(request.rows);
	json_decref(request.result);
	return code;
}
