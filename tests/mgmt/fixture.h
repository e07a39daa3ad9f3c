/* What the tests of the management socket share: keys, an audit log, a server, a client that speaks lines. */
#ifndef GANTRY_TESTS_MGMT_FIXTURE_H
#define GANTRY_TESTS_MGMT_FIXTURE_H

#include <jansson.h>
#include <stdbool.h>

#include "mgmt/audit.h"
#include "mgmt/server.h"

/* Keys made from their month; months below `destroyed_before` are gone. */
struct test_keys {
	int32_t destroyed_before;
};
struct audit_keys test_keys(struct test_keys *keys);
/* The real operations without waiting for the disk, which many tests at once would do for minutes. */
const struct audit_files *test_files(void);
struct audit *test_audit(const char *directory, struct test_keys *keys);
/* Entries of the log with this outcome (AUDIT_OUTCOME_COUNT: any) and verb (NULL: any). */
unsigned test_audit_count(struct audit *audit, const char *verb, enum audit_outcome outcome);

/* A server on a socket in `directory`, its options open to change before test_server_start. */
struct test_server {
	struct server_options options;
	struct server *server;
	struct test_keys keys;
	char path[108];
};
void test_server_init(struct test_server *test);
void test_server_new(struct test_server *test);
void test_server_start(struct test_server *test);
void test_server_fini(struct test_server *test);

/* A client: blocking, every read with a deadline of ten seconds. */
struct test_client {
	int fd;
	char *bytes;
	size_t size;
	size_t capacity;
};
void test_connect(struct test_client *client, const struct test_server *test); /* takes the hello */
void test_connect_raw(struct test_client *client, const struct test_server *test);
void test_close(struct test_client *client);
void test_send(struct test_client *client, const char *text);
void test_send_bytes(struct test_client *client, const void *bytes, size_t size);
json_t *test_receive(struct test_client *client); /* the next line; NULL at the end of the stream */
/* Sends a request and returns the next line. */
json_t *test_call(struct test_client *client, const char *request);
int test_error_code(json_t *answer); /* 0 when there is none; consumes */

#endif
