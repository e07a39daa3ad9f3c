#include "matcher/hsdb.h"

#include <errno.h>
#include <hs.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "appliance/base/err.h"

#define CLASS "[A-Z0-9]"
/* Separators, and each byte of the pattern at its longest. */
#define EXPRESSION_SIZE_MAX (2 * 2 + HSDB_PATTERN_SIZE * sizeof(CLASS "*") + 1)

static size_t expression_write(const struct hsdb_pattern *pattern, char *expression)
{
	char *at = stpcpy(expression, "\\n");

	for (size_t i = 0; i < HSDB_PATTERN_SIZE && pattern->bytes[i] != '\0'; i++) {
		if (pattern->bytes[i] == '?') {
			at = stpcpy(at, CLASS);
		} else if (pattern->bytes[i] == '*') {
			at = stpcpy(at, CLASS "*");
		} else {
			*at++ = pattern->bytes[i];
		}
	}
	return (size_t)(stpcpy(at, "\\n") - expression);
}

struct expressions {
	char *text;
	const char **each;
	unsigned *ids;
};

static void expressions_fini(struct expressions *expressions)
{
	free(expressions->text);
	free(expressions->each);
	free(expressions->ids);
}

static int expressions_init(struct expressions *expressions, const struct hsdb_pattern *patterns, uint32_t count)
{
	char scrap[EXPRESSION_SIZE_MAX];
	size_t size = 0;

	for (uint32_t i = 0; i < count; i++)
		size += expression_write(&patterns[i], scrap) + 1;
	expressions->text = malloc(size);
	expressions->each = malloc(count * sizeof(*expressions->each));
	expressions->ids = malloc(count * sizeof(*expressions->ids));
	if (expressions->text == NULL || expressions->each == NULL || expressions->ids == NULL) {
		expressions_fini(expressions);
		return -ENOMEM;
	}
	size = 0;
	for (uint32_t i = 0; i < count; i++) {
		expressions->each[i] = expressions->text + size;
		expressions->ids[i] = i;
		size += expression_write(&patterns[i], expressions->text + size) + 1;
	}
	return 0;
}

/* Out of memory, Hyperscan 5.4 says so only in words, and blames expression 0. */
static bool is_nomem(const hs_compile_error_t *error, hs_error_t code)
{
	return code == HS_NOMEM || (error != NULL && strstr(error->message, "allocate memory") != NULL);
}

/* Hyperscan's text tells of expressions, not of VRMs: ours have no names, classes or escapes that it could quote. */
static int compile_error(const hs_compile_error_t *error, hs_error_t code, uint32_t count, struct err *err,
			 uint32_t *ret_bad)
{
	if (is_nomem(error, code))
		return err_set(err, -ENOMEM, "no memory to compile %u patterns", count);
	if (error != NULL && error->expression >= 0)
		*ret_bad = (uint32_t)error->expression;
	return err_set(err, code == HS_ARCH_ERROR ? -ENOTSUP : -EINVAL, "Hyperscan: %s",
		       error != NULL ? error->message : "no reason given");
}

int hsdb_compile(const struct hsdb_pattern *patterns, uint32_t count, struct err *err, uint32_t *ret_bad,
		 struct hs_database **ret_db)
{
	struct expressions expressions;
	hs_compile_error_t *error = NULL;
	hs_database_t *db = NULL;
	hs_error_t code;
	int status;

	*ret_bad = count;
	if (count == 0) {
		*ret_db = NULL;
		return 0;
	}
	if (hs_valid_platform() != HS_SUCCESS)
		return err_set(err, -ENOTSUP, "this CPU lacks SSSE3, which Hyperscan needs");
	status = expressions_init(&expressions, patterns, count);
	if (status < 0)
		return err_set(err, status, "no memory to compile %u patterns", count);
	code = hs_compile_multi(expressions.each, NULL, expressions.ids, count, HS_MODE_BLOCK, NULL, &db, &error);
	expressions_fini(&expressions);
	if (code != HS_SUCCESS) {
		status = compile_error(error, code, count, err, ret_bad);
		hs_free_compile_error(error);
		return status;
	}
	*ret_db = db;
	return 0;
}

void hsdb_free(struct hs_database *db)
{
	hs_free_database(db);
}

size_t hsdb_size(const struct hs_database *db)
{
	size_t size = 0;

	if (db != NULL)
		(void)hs_database_size(db, &size);
	return size;
}
