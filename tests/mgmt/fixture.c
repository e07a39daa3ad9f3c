#include "tests/mgmt/fixture.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "appliance/base/clock.h"
#include "appliance/base/err.h"
#include "tests/check.h"

static int month_key(void *ctx, int32_t month, bool create, uint8_t ret_key[AUDIT_KEY_SIZE])
{
	const struct test_keys *keys = ctx;

	(void)create;
	if (month < keys->destroyed_before)
		return -ENOENT;
	memset(ret_key, month & 0xff, AUDIT_KEY_SIZE);
	return 0;
}

static int signing_seed(void *ctx, uint8_t ret_seed[AUDIT_KEY_SIZE])
{
	(void)ctx;
	memset(ret_seed, 7, AUDIT_KEY_SIZE);
	return 0;
}

struct audit_keys test_keys(struct test_keys *keys)
{
	return (struct audit_keys){keys, month_key, signing_seed};
}

static int plain_write(void *ctx, int fd, const void *bytes, size_t size, uint64_t offset)
{
	(void)ctx;
	return pwrite(fd, bytes, size, (off_t)offset) == (ssize_t)size ? 0 : -EIO;
}

static int no_sync(void *ctx, int fd)
{
	(void)ctx;
	(void)fd;
	return 0;
}

static int plain_rename(void *ctx, const char *from, const char *to)
{
	(void)ctx;
	return rename(from, to) < 0 ? -errno : 0;
}

static int plain_truncate(void *ctx, int fd, uint64_t size)
{
	(void)ctx;
	return ftruncate(fd, (off_t)size) < 0 ? -errno : 0;
}

const struct audit_files *test_files(void)
{
	static const struct audit_files files = {NULL, plain_write, no_sync, plain_rename, plain_truncate};

	return &files;
}

struct audit *test_audit(const char *directory, struct test_keys *keys)
{
	struct audit_options options = {
		.directory = directory, .origin = "gantry.test/audit", .keys = test_keys(keys), .files = test_files()};
	struct audit *audit = NULL;
	struct err err = {""};
	int r = audit_open(&options, &audit, &err);

	if (r < 0)
		check_note("%s", err.text);
	CHECK_INT(0, r);
	return audit;
}

struct counting {
	const char *verb;
	enum audit_outcome outcome;
	unsigned count;
};

static int count_entry(const struct audit_record *record, void *ctx)
{
	struct counting *counting = ctx;

	counting->count += (counting->verb == NULL || strcmp(counting->verb, record->entry.verb) == 0) &&
			   (counting->outcome == AUDIT_OUTCOME_COUNT || counting->outcome == record->entry.outcome);
	return 0;
}

unsigned test_audit_count(struct audit *audit, const char *verb, enum audit_outcome outcome)
{
	struct counting counting = {verb, outcome, 0};

	CHECK_INT(0, audit_read(audit, 0, UINT64_MAX, true, count_entry, &counting, NULL));
	return counting.count;
}

void test_server_init(struct test_server *test)
{
	const char *directory = check_directory();
	char log[200];

	memset(test, 0, sizeof(*test));
	(void)snprintf(test->path, sizeof(test->path), "%s/s", directory);
	(void)snprintf(log, sizeof(log), "%s/audit", directory);
	server_options_init(&test->options);
	test->options.socket_path = test->path;
	test->options.version = "0.0.0";
	test->options.node = "test";
	test->options.audit = test_audit(log, &test->keys);
}

void test_server_new(struct test_server *test)
{
	struct err err = {""};
	int r = server_new(&test->options, &test->server, &err);

	if (r < 0)
		check_note("%s", err.text);
	CHECK_INT(0, r);
	CHECK_INT(0, audit_bind(test->server, test->options.audit));
}

void test_server_start(struct test_server *test)
{
	struct err err = {""};
	int r = server_start(test->server, &err);

	if (r < 0)
		check_note("%s", err.text);
	CHECK_INT(0, r);
}

void test_server_fini(struct test_server *test)
{
	test->server = server_free(test->server);
	test->options.audit = audit_close(test->options.audit);
}

void test_connect_raw(struct test_client *client, const struct test_server *test)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};

	memset(client, 0, sizeof(*client));
	(void)snprintf(address.sun_path, sizeof(address.sun_path), "%s", test->path);
	client->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	CHECK(client->fd >= 0);
	CHECK_INT(0, connect(client->fd, (struct sockaddr *)&address, sizeof(address)));
}

void test_connect(struct test_client *client, const struct test_server *test)
{
	json_t *hello;

	test_connect_raw(client, test);
	hello = test_receive(client);
	CHECK_STR("hello", json_string_value(json_object_get(hello, "method")));
	json_decref(hello);
}

void test_close(struct test_client *client)
{
	(void)close(client->fd);
	free(client->bytes);
	memset(client, 0, sizeof(*client));
	client->fd = -1;
}

void test_send_bytes(struct test_client *client, const void *bytes, size_t size)
{
	const char *at = bytes;

	while (size > 0) {
		ssize_t sent = send(client->fd, at, size, MSG_NOSIGNAL);

		if (sent < 0 && errno == EINTR)
			continue;
		if (sent < 0)
			return; /* the server closed: the test sees it when it reads */
		at += sent;
		size -= (size_t)sent;
	}
}

void test_send(struct test_client *client, const char *text)
{
	test_send_bytes(client, text, strlen(text));
	test_send_bytes(client, "\n", 1);
}

static bool fill(struct test_client *client)
{
	struct pollfd wait = {.fd = client->fd, .events = POLLIN};
	ssize_t got;

	if (client->size + 65536 > client->capacity) {
		client->capacity = 2 * client->capacity + 131072;
		client->bytes = realloc(client->bytes, client->capacity);
		CHECK(client->bytes != NULL);
	}
	if (poll(&wait, 1, 10000) != 1) {
		check_note("no answer within ten seconds");
		CHECK(false);
	}
	got = recv(client->fd, client->bytes + client->size, 65536, 0);
	if (got <= 0)
		return false;
	client->size += (size_t)got;
	return true;
}

json_t *test_receive(struct test_client *client)
{
	char *lf;
	size_t size;
	json_t *message;

	while ((lf = client->size > 0 ? memchr(client->bytes, '\n', client->size) : NULL) == NULL)
		if (!fill(client))
			return NULL;
	size = (size_t)(lf - client->bytes) + 1;
	message = json_loadb(client->bytes, size - 1, JSON_REJECT_DUPLICATES, NULL);
	if (message == NULL)
		check_note("not JSON: %.*s", (int)size, client->bytes);
	CHECK(message != NULL);
	memmove(client->bytes, client->bytes + size, client->size - size);
	client->size -= size;
	return message;
}

json_t *test_call(struct test_client *client, const char *request)
{
	test_send(client, request);
	return test_receive(client);
}

int test_error_code(json_t *answer)
{
	int code;

	CHECK(answer != NULL);
	code = (int)json_integer_value(json_object_get(json_object_get(answer, "error"), "code"));
	json_decref(answer);
	return code;
}
