#include "appliance/lists_log.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "appliance/base/bytes.h"
#include "appliance/base/clock.h"
#include "appliance/base/err.h"
#include "appliance/lists_head.h"
#include "mgmt/audit.h"
#include "mgmt/audit_attach.h"

#define COLUMNS "change,vrm,reason,action,make,model,colour,expires,tolerant,as-received"
#define BODY_MAX (AUDIT_BODY_MAX - 1024)
#define CHANGE_SIZE 32 /* of most, as a line */

/* Wiped when it moves: it holds VRMs. */
static int reserve(struct lists_log *log, size_t more)
{
	size_t room = log->room > 0 ? log->room : 4096;
	char *text;

	if (log->size + more <= log->room)
		return 0;
	while (room < log->size + more)
		room *= 2;
	text = malloc(room);
	if (text == NULL)
		return -ENOMEM;
	if (log->size > 0)
		memcpy(text, log->text, log->size);
	if (log->text != NULL)
		bytes_wipe(log->text, log->size);
	free(log->text);
	log->text = text;
	log->room = room;
	return 0;
}

/* A field in quotes where it needs them; the room is there. */
static void put_field(struct lists_log *log, const char *field)
{
	char *at = log->text + log->size;
	const char *from = field;

	*at++ = ',';
	while (*from != '\0' && *from != ',' && *from != '"')
		*at++ = *from++;
	if (*from != '\0') {
		at = log->text + log->size + 1;
		*at++ = '"';
		for (; *field != '\0'; field++) {
			if (*field == '"')
				*at++ = '"';
			*at++ = *field;
		}
		*at++ = '"';
	}
	log->size = (size_t)(at - log->text);
}

static int put_columns(struct lists_log *log)
{
	int result = reserve(log, sizeof(COLUMNS));

	if (result < 0)
		return result;
	memcpy(log->text, COLUMNS "\n", sizeof(COLUMNS));
	log->size = sizeof(COLUMNS);
	return 0;
}

int lists_log_expect(struct lists_log *log, uint32_t changes)
{
	return reserve(log, (size_t)changes * CHANGE_SIZE);
}

int lists_log_take(void *context, enum list_change change, const struct list_entry *entry)
{
	struct lists_log *log = context;
	char expires[CLOCK_TEXT_SIZE] = "";
	const char *fields[] = {entry->text,
				entry->reason,
				entry->action,
				entry->make,
				entry->model,
				entry->colour,
				expires,
				entry->flags & LIST_FLAG_TOLERANT ? "yes"
				: entry->flags & LIST_FLAG_EXACT  ? "no"
								  : "",
				entry->flags & LIST_FLAG_AS_RECEIVED ? "yes" : ""};
	size_t most = 2;
	int result = log->size == 0 ? put_columns(log) : 0;

	if (entry->expires_us != INT64_MAX)
		(void)clock_text_utc(entry->expires_us, expires);
	for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++)
		most += 2 * strlen(fields[i]) + 3;
	if (result == 0)
		result = reserve(log, most);
	if (result < 0)
		return result;
	log->text[log->size++] = change == LIST_ADDED ? '+' : '-';
	for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++)
		put_field(log, fields[i]);
	log->text[log->size++] = '\n';
	log->counts[change]++;
	return 0;
}

int lists_log_take_all(struct lists_log *log, const struct list *list)
{
	int result = 0;

	for (uint32_t i = 0; i < list_count(list) && result == 0; i++) {
		struct list_entry entry;

		list_entry(list, i, &entry);
		if ((entry.flags & LIST_FLAG_REMOVED) == 0)
			result = lists_log_take(log, LIST_REMOVED, &entry);
	}
	return result;
}

static json_t *facts_of(const struct lists_log *log, const struct lists_log_note *note)
{
	uint8_t digest[SHA256_SIZE];
	char text[2 * SHA256_SIZE + 1];

	sha256(log->text != NULL ? log->text : "", log->size, digest);
	return json_pack("{s:I,s:s,s:I,s:I,s:I,s:I,s:s}", "list", (json_int_t)note->list, "name", note->name,
			 "from_version", (json_int_t)note->from_version, "version", (json_int_t)note->version, "added",
			 (json_int_t)log->counts[LIST_ADDED], "removed", (json_int_t)log->counts[LIST_REMOVED],
			 "difference_sha256", hex_encode(digest, sizeof(digest), text));
}

/* The lines, the one with the columns first; NULL out of memory. */
static json_t *lines_of(const struct lists_log *log)
{
	json_t *lines = json_array();

	for (size_t at = 0; lines != NULL && at < log->size;) {
		const char *end = memchr(log->text + at, '\n', log->size - at);
		size_t size = (size_t)(end - (log->text + at));

		(void)json_array_append_new(lines, json_stringn(log->text + at, size));
		at += size + 1;
	}
	return lines;
}

/* What every note says beside the difference. NULL out of memory. */
static json_t *body_of(const json_t *facts, const struct lists_log_note *note)
{
	json_t *body = json_copy((json_t *)facts);
	json_t *head = note->head != NULL ? lists_head_changes(note->head_before, note->head) : NULL;

	(void)json_object_set_new(body, "by", json_string(note->verb));
	if (head != NULL)
		(void)json_object_set_new(body, "head", head);
	return body;
}

/* The note's body as text, or NULL when it does not fit an entry (or memory is out). */
static char *body_inline(const struct lists_log *log, const json_t *facts, const struct lists_log_note *note)
{
	json_t *body = body_of(facts, note);
	char *text = NULL;

	if ((uint64_t)log->counts[0] + log->counts[1] <= LISTS_LOG_INLINE_MAX && body != NULL) {
		(void)json_object_set_new(body, "difference", lines_of(log));
		text = json_dumps(body, JSON_COMPACT);
	}
	json_decref(body);
	if (text != NULL && strlen(text) > BODY_MAX) {
		bytes_wipe(text, strlen(text));
		free(text);
		text = NULL;
	}
	return text;
}

static int attach(const struct lists_log *log, struct audit *audit, const struct lists_log_note *note, json_t *facts,
		  struct err *err, char **ret_body)
{
	uint8_t name[SHA256_SIZE];
	char hex[2 * SHA256_SIZE + 1];
	json_t *body;
	int result = audit_attach(audit, log->text, log->size, err, name);

	if (result < 0)
		return result;
	(void)json_object_set_new(facts, "attachment", json_string(hex_encode(name, sizeof(name), hex)));
	body = body_of(facts, note);
	*ret_body = json_dumps(body, JSON_COMPACT);
	json_decref(body);
	return *ret_body != NULL ? 0 : err_set(err, -ENOMEM, "out of memory");
}

int lists_log_write(const struct lists_log *log, struct audit *audit, const struct lists_log_note *note,
		    struct err *err, json_t **ret_facts)
{
	json_t *facts = facts_of(log, note);
	char *body = facts != NULL ? body_inline(log, facts, note) : NULL;
	uint64_t index;
	int result = facts != NULL ? 0 : err_set(err, -ENOMEM, "out of memory");

	if (result == 0 && body == NULL)
		result = attach(log, audit, note, facts, err, &body);
	if (result == 0) {
		struct audit_entry entry = {.uid = note->uid,
					    .account = note->account,
					    .verb = "lists.change",
					    .outcome = AUDIT_NOTE,
					    .intent = AUDIT_NO_INTENT,
					    .body = body,
					    .body_size = strlen(body)};

		result = audit_append(audit, &entry, &index);
		if (result < 0)
			(void)err_set(err, result, "the audit log cannot record it: %s", strerror(-result));
	}
	if (body != NULL)
		bytes_wipe(body, strlen(body));
	free(body);
	if (result < 0) {
		json_decref(facts);
		return result;
	}
	(void)json_object_set_new(facts, "entry", json_integer((json_int_t)index));
	*ret_facts = facts;
	return 0;
}

void lists_log_fini(struct lists_log *log)
{
	if (log->text != NULL)
		bytes_wipe(log->text, log->size);
	free(log->text);
	memset(log, 0, sizeof(*log));
}
