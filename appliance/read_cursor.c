#include "appliance/read_cursor.h"

#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "appliance/base/bytes.h"
#include "appliance/base/digest.h"
#include "appliance/gantry.h"
#include "appliance/read_query.h"
#include "mgmt/call.h"
#include "storage/keyring.h"
#include "storage/store.h"

/* As it was given. False is as good as absent. */
static int put_asked(const struct call *call, const char *name, json_t *question)
{
	json_t *value = json_object_get(call_params(call), name);

	return value != NULL && !json_is_false(value) ? json_object_set(question, name, value) : 0;
}

/* Which rows; cameras and order are taken from the query, where each has one form. */
static int question_json(const struct call *call, const struct read_query *query, const char *const *more,
			 json_t *question)
{
	static const char *const names[] = {"vrm", "tolerant", "strict",  "not_read",   "from",
					    "to",  "circle",   "polygon", "restricted", "hold"};
	json_t *cameras = json_array();
	int result = 0;

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		result |= put_asked(call, names[i], question);
	for (; more != NULL && *more != NULL; more++)
		result |= put_asked(call, *more, question);
	for (size_t i = 0; i < query->camera_count; i++)
		result |= json_array_append_new(cameras, json_integer(query->cameras[i]));
	result |= json_object_set_new(question, "cameras", cameras);
	result |= json_object_set_new(question, "oldest_first", json_boolean(query->search.oldest_first));
	return result < 0 ? -ENOMEM : 0;
}

int read_cursor_question(const struct call *call, const struct read_query *query, const char *const *more,
			 uint64_t *ret_question)
{
	json_t *question = json_object();
	uint8_t digest[SHA256_SIZE];
	char *text = NULL;

	if (question != NULL && question_json(call, query, more, question) == 0)
		text = json_dumps(question, JSON_COMPACT | JSON_SORT_KEYS);
	json_decref(question);
	if (text == NULL)
		return -ENOMEM;
	sha256(text, strlen(text), digest);
	bytes_wipe(text, strlen(text));
	free(text);
	*ret_question = le64_get(digest);
	return 0;
}

static int identity_key(struct gantry *gantry, uint8_t ret_key[KEY_SIZE])
{
	const struct key_id id = {.day = KEY_DAY_NONE, .kind = KEY_IDENTITY};

	return keyring_get(store_keyring(gantry->store), id, ret_key);
}

int read_cursor_take(struct call *call, struct gantry *gantry, struct read_query *query)
{
	const char *text = call_text(call, "cursor");
	uint8_t key[KEY_SIZE];
	int result;

	if (text == NULL)
		return 0;
	if ((result = identity_key(gantry, key)) < 0)
		return result;
	result = search_cursor_open(key, query->question, text, &query->search.cursor);
	bytes_wipe(key, sizeof(key));
	if (result == 0)
		return 0;
	call_fail(call, CALL_INVALID_PARAMS,
		  result == -ESTALE
			  ? "cursor: of another question; give it with the VRM, kinds, window, place and order "
			    "of the search that gave it"
			  : "cursor: not one that a search has given");
	return -EINVAL;
}

int read_cursor_give(struct gantry *gantry, uint64_t question, const struct search_cursor *cursor,
		     char ret_text[SEARCH_CURSOR_TEXT_SIZE])
{
	uint8_t key[KEY_SIZE];
	int result = identity_key(gantry, key);

	if (result < 0)
		return result;
	search_cursor_seal(key, question, cursor, ret_text);
	bytes_wipe(key, sizeof(key));
	return 0;
}
