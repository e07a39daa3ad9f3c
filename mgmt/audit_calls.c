/* audit.show, audit.verify, audit.export, audit.attachment on the socket. */
#include "mgmt/audit.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "appliance/base/bytes.h"
#include "appliance/base/clock.h"
#include "appliance/base/err.h"
#include "mgmt/audit_attach.h"
#include "mgmt/base64.h"
#include "mgmt/call.h"
#include "mgmt/leaf.h"
#include "mgmt/server.h"

#define SHOW_COUNT_DEFAULT 50

struct sender {
	struct call *call;
	bool withheld; /* show: entries of lists are not for the call's account */
	uint64_t count;
	char *text; /* export: base64 of one leaf */
};

/* The superuser and the server's own account: whole lists can be put together from their changes (R26). */
static bool may_see_entries(const struct call *call)
{
	uid_t uid = call_peer(call)->uid;

	return uid == 0 || uid == getuid();
}

static json_t *encode_body(const struct audit_record *record, bool withheld)
{
	json_t *body =
		record->entry.body != NULL ? json_loadb(record->entry.body, record->entry.body_size, 0, NULL) : NULL;

	if (withheld && json_object_del(body, "difference") == 0)
		(void)json_object_set_new(body, "withheld", json_pack("[s]", "difference"));
	return body != NULL ? body : json_null();
}

static int show_entry(const struct audit_record *record, void *ctx)
{
	struct sender *sender = ctx;
	char time[CLOCK_TEXT_SIZE];
	json_t *row =
		json_pack("{s:I, s:s, s:I, s:s, s:s, s:s, s:o}", "index", (json_int_t)record->index, "time",
			  clock_text_utc(record->entry.time_us, time), "uid", (json_int_t)record->entry.uid, "account",
			  record->entry.account, "verb", record->entry.verb, "outcome",
			  audit_outcome_name(record->entry.outcome), "body", encode_body(record, sender->withheld));

	if (row != NULL && record->entry.intent != AUDIT_NO_INTENT)
		(void)json_object_set_new(row, "intent", json_integer((json_int_t)record->entry.intent));
	if (row != NULL && record->body_lost)
		(void)json_object_set_new(row, "body_lost", json_true());
	sender->count++;
	return call_row(sender->call, row);
}

static int fail_on(struct call *call, int r, const struct err *err)
{
	if (r != -ECANCELED)
		call_fail(call, CALL_FAILED, "%s", err->text);
	return r;
}

static int handle_show(struct call *call, void *ctx)
{
	struct audit *audit = ctx;
	struct sender sender = {.call = call, .withheld = !may_see_entries(call)};
	struct audit_head head;
	struct err err = {""};
	uint64_t count = (uint64_t)call_integer(call, "count", SHOW_COUNT_DEFAULT);
	uint64_t first;
	int r;

	audit_head_get(audit, &head);
	first = (uint64_t)call_integer(call, "first", (int64_t)(head.size > count ? head.size - count : 0));
	r = audit_read(audit, first, count, true, show_entry, &sender, &err);
	if (r < 0)
		return fail_on(call, r, &err);
	call_result(call, json_pack("{s:I, s:I}", "count", (json_int_t)sender.count, "size", (json_int_t)head.size));
	return 0;
}

static int handle_verify(struct call *call, void *ctx)
{
	struct audit *audit = ctx;
	struct audit_head head;
	struct err err = {""};
	char root[2 * MERKLE_HASH_SIZE + 1];
	int r = audit_verify(audit, &head, &err);

	if (r < 0)
		return fail_on(call, r, &err);
	call_result(call, json_pack("{s:I, s:s, s:s, s:s}", "size", (json_int_t)head.size, "root",
				    hex_encode(head.root, sizeof(head.root), root), "checkpoint", head.checkpoint,
				    "vkey", audit_vkey(audit)));
	return 0;
}

static int send_leaf(const struct audit_record *record, void *ctx)
{
	struct sender *sender = ctx;

	(void)base64_encode(record->leaf, record->leaf_size, sender->text);
	sender->count++;
	return call_row(sender->call, json_string(sender->text));
}

static json_t *encode_proof(const merkle_hash *path, unsigned count)
{
	json_t *proof = json_array();
	char text[2 * MERKLE_HASH_SIZE + 1];

	for (unsigned i = 0; i < count; i++)
		(void)json_array_append_new(proof, json_string(hex_encode(path[i], MERKLE_HASH_SIZE, text)));
	return proof;
}

static int handle_export(struct call *call, void *ctx)
{
	struct audit *audit = ctx;
	struct sender sender = {.call = call};
	struct audit_head head;
	merkle_hash path[MERKLE_PATH_MAX];
	unsigned path_count = 0;
	struct err err = {""};
	uint64_t first = (uint64_t)call_integer(call, "first", 0);
	uint64_t count = (uint64_t)call_integer(call, "count", INT64_MAX);
	int r = 0;

	audit_head_get(audit, &head);
	if (first >= head.size) {
		call_fail(call, CALL_REFUSED, "the log has %llu entries, counted from 0",
			  (unsigned long long)head.size);
		return 0;
	}
	if (count > head.size - first)
		count = head.size - first;
	sender.text = malloc(BASE64_SIZE(LEAF_SIZE_MAX));
	r = sender.text != NULL ? audit_read(audit, first, count, false, send_leaf, &sender, &err) : -ENOMEM;
	free(sender.text);
	if (r == 0)
		r = audit_prove_range(audit, &head, first, count, path, &path_count, &err);
	if (r < 0)
		return fail_on(call, r, &err);
	call_audit_fact(call, "first", json_integer((json_int_t)first));
	call_result(call,
		    json_pack("{s:I, s:I, s:I, s:o, s:s, s:s}", "first", (json_int_t)first, "count", (json_int_t)count,
			      "size", (json_int_t)head.size, "proof", encode_proof(path, path_count), "checkpoint",
			      head.checkpoint, "vkey", audit_vkey(audit)));
	return 0;
}

/* Line by line, as it was written. */
static int send_lines(struct call *call, char *text, uint64_t *ret_count)
{
	int r = 0;

	for (char *line = text; *line != '\0' && r == 0; (*ret_count)++) {
		char *end = line + strcspn(line, "\n");
		char *next = *end != '\0' ? end + 1 : end;

		*end = '\0';
		r = call_row(call, json_string(line));
		line = next;
	}
	return r;
}

static int handle_attachment(struct call *call, void *ctx)
{
	uint8_t name[SHA256_SIZE];
	struct err err = {""};
	uint64_t count = 0;
	char *text = NULL;
	size_t size;
	int r;

	if (!may_see_entries(call)) {
		call_fail(call, CALL_REFUSED,
			  "an attachment holds entries of lists: it is shown to the superuser or the appliance's own "
			  "account (R26)");
		return 0;
	}
	r = hex_decode(call_text(call, "attachment"), name, sizeof(name));
	if (r == 0)
		r = audit_attachment(ctx, name, &err, &text, &size);
	if (r < 0)
		return fail_on(call, r, &err);
	r = send_lines(call, text, &count);
	bytes_wipe(text, size);
	free(text);
	if (r == 0)
		call_result(call, json_pack("{s:I, s:I}", "count", (json_int_t)count, "size", (json_int_t)size));
	return r;
}

int audit_bind(struct server *server, struct audit *audit)
{
	int r = server_bind(server, "audit.show", handle_show, audit);

	if (r == 0)
		r = server_bind(server, "audit.verify", handle_verify, audit);
	if (r == 0)
		r = server_bind(server, "audit.export", handle_export, audit);
	if (r == 0)
		r = server_bind(server, "audit.attachment", handle_attachment, audit);
	return r;
}
