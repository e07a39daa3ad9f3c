#include "matcher/hsdb.h"

#include <errno.h>
#include <hs.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "appliance/base/bytes.h"
#include "appliance/base/err.h"

#define CLASS "[A-Z0-9]"
/* Separators, and each byte of the pattern at its longest. */
#define EXPRESSION_SIZE_MAX (2 * 2 + HSDB_PATTERN_SIZE * sizeof(CLASS "*") + 1)

/* The image: this head, little-endian, then what Hyperscan serialised. The digest is over the head before it and that.
 */
#define IMAGE_MAGIC UINT64_C(0x3144534852544e47) /* "GNTRHSD1" */
#define IMAGE_VERSION 1
enum { AT_MAGIC = 0, AT_VERSION = 8, AT_KEY = 16, AT_SIZE = 48, AT_DIGEST = 56, HEAD_SIZE = 88 };

struct hsdb {
	hs_database_t *database;
	size_t size;
	_Atomic unsigned references;
	uint8_t key[SHA256_SIZE];
};

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

void hsdb_key(const struct hsdb_pattern *patterns, uint32_t count, uint8_t ret_key[SHA256_SIZE])
{
	struct hs_platform_info platform = {0};
	char head[256];
	struct slice parts[] = {{head, 0}, {patterns, (size_t)count * sizeof(*patterns)}};

	/* Where Hyperscan does not run, nothing is compiled that a key could name. */
	(void)hs_populate_platform(&platform);
	/* A pattern's id is its place. */
	parts[0].size = (size_t)snprintf(head, sizeof(head), "gantry hsdb %d\n%s\n%u %llx\n%u\n", IMAGE_VERSION,
					 hs_version(), platform.tune, (unsigned long long)platform.cpu_features, count);
	sha256_parts(parts, 2, ret_key);
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

/* Takes the database over, also on failure. */
static int wrap(hs_database_t *database, const uint8_t key[SHA256_SIZE], struct err *err, struct hsdb **ret_db)
{
	struct hsdb *db = calloc(1, sizeof(*db));

	if (db == NULL) {
		(void)hs_free_database(database);
		return err_set(err, -ENOMEM, "no memory for a pattern database");
	}
	db->database = database;
	atomic_init(&db->references, 1);
	memcpy(db->key, key, sizeof(db->key));
	(void)hs_database_size(database, &db->size);
	*ret_db = db;
	return 0;
}

/* Hyperscan 5.4.0 does not look at empty ones itself. */
static bool has_empty(const struct hsdb_pattern *patterns, uint32_t count, uint32_t *ret_bad)
{
	for (uint32_t i = 0; i < count; i++) {
		if (patterns[i].bytes[0] == '\0') {
			*ret_bad = i;
			return true;
		}
	}
	return false;
}

int hsdb_compile(const struct hsdb_pattern *patterns, uint32_t count, struct err *err, uint32_t *ret_bad,
		 struct hsdb **ret_db)
{
	struct expressions expressions;
	hs_compile_error_t *error = NULL;
	hs_database_t *database = NULL;
	uint8_t key[SHA256_SIZE];
	hs_error_t code;
	int status;

	*ret_bad = count;
	if (count == 0) {
		*ret_db = NULL;
		return 0;
	}
	if (hs_valid_platform() != HS_SUCCESS)
		return err_set(err, -ENOTSUP, "this CPU lacks SSSE3, which Hyperscan needs");
	if (has_empty(patterns, count, ret_bad))
		return err_set(err, -EINVAL, "an empty pattern");
	status = expressions_init(&expressions, patterns, count);
	if (status < 0)
		return err_set(err, status, "no memory to compile %u patterns", count);
	code = hs_compile_multi(expressions.each, NULL, expressions.ids, count, HS_MODE_BLOCK, NULL, &database, &error);
	expressions_fini(&expressions);
	if (code != HS_SUCCESS) {
		status = compile_error(error, code, count, err, ret_bad);
		hs_free_compile_error(error);
		return status;
	}
	hsdb_key(patterns, count, key);
	return wrap(database, key, err, ret_db);
}

struct hsdb *hsdb_hold(struct hsdb *db)
{
	if (db != NULL)
		(void)atomic_fetch_add(&db->references, 1);
	return db;
}

struct hsdb *hsdb_free(struct hsdb *db)
{
	if (db == NULL || atomic_fetch_sub(&db->references, 1) > 1)
		return NULL;
	(void)hs_free_database(db->database);
	free(db);
	return NULL;
}

const struct hs_database *hsdb_database(const struct hsdb *db)
{
	return db != NULL ? db->database : NULL;
}

const uint8_t *hsdb_content(const struct hsdb *db)
{
	return db->key;
}

size_t hsdb_size(const struct hsdb *db)
{
	return db != NULL ? db->size : 0;
}

static void image_digest(const uint8_t *bytes, size_t size, uint8_t ret_digest[SHA256_SIZE])
{
	const struct slice parts[] = {{bytes, AT_DIGEST}, {bytes + HEAD_SIZE, size - HEAD_SIZE}};

	sha256_parts(parts, 2, ret_digest);
}

int hsdb_image(const struct hsdb *db, void **ret_bytes, size_t *ret_size)
{
	char *serialised = NULL;
	uint8_t *bytes;
	size_t size;

	if (hs_serialize_database(db->database, &serialised, &size) != HS_SUCCESS)
		return -ENOMEM;
	bytes = malloc(HEAD_SIZE + size);
	if (bytes != NULL) {
		memset(bytes, 0, HEAD_SIZE);
		le64_put(bytes + AT_MAGIC, IMAGE_MAGIC);
		le32_put(bytes + AT_VERSION, IMAGE_VERSION);
		memcpy(bytes + AT_KEY, db->key, SHA256_SIZE);
		le64_put(bytes + AT_SIZE, size);
		memcpy(bytes + HEAD_SIZE, serialised, size);
		image_digest(bytes, HEAD_SIZE + size, bytes + AT_DIGEST);
		*ret_bytes = bytes;
		*ret_size = HEAD_SIZE + size;
	}
	bytes_wipe(serialised, size);
	free(serialised);
	return bytes != NULL ? 0 : -ENOMEM;
}

static int image_check(const uint8_t *bytes, size_t size, const uint8_t key[SHA256_SIZE], struct err *err)
{
	uint8_t digest[SHA256_SIZE];

	if (size < HEAD_SIZE || le64_get(bytes + AT_MAGIC) != IMAGE_MAGIC)
		return err_set(err, -EBADMSG, "not the image of a pattern database");
	if (le32_get(bytes + AT_VERSION) != IMAGE_VERSION)
		return err_set(err, -ESTALE, "a pattern database of format %u", le32_get(bytes + AT_VERSION));
	if (le64_get(bytes + AT_SIZE) != size - HEAD_SIZE)
		return err_set(err, -EBADMSG, "the image of a pattern database is cut or has grown");
	image_digest(bytes, size, digest);
	if (memcmp(digest, bytes + AT_DIGEST, sizeof(digest)) != 0)
		return err_set(err, -EBADMSG, "the image of a pattern database is damaged");
	if (memcmp(bytes + AT_KEY, key, SHA256_SIZE) != 0)
		return err_set(err, -ESTALE, "a pattern database of other lists, Hyperscan or CPU");
	return 0;
}

int hsdb_parse(const void *bytes, size_t size, const uint8_t key[SHA256_SIZE], struct err *err, struct hsdb **ret_db)
{
	const char *body = (const char *)bytes + HEAD_SIZE;
	hs_database_t *database = NULL;
	hs_error_t code;
	int status = image_check(bytes, size, key, err);

	if (status < 0)
		return status;
	code = hs_deserialize_database(body, size - HEAD_SIZE, &database);
	if (code == HS_NOMEM)
		return err_set(err, -ENOMEM, "no memory for a pattern database");
	if (code != HS_SUCCESS)
		return err_set(err, -EBADMSG, "Hyperscan does not take the pattern database (%d)", code);
	return wrap(database, key, err, ret_db);
}
