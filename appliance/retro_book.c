#include "appliance/retro_book.h"

#include <errno.h>
#include <string.h>

#include "appliance/base/clock.h"
#include "storage/register.h"

#define ROOM (RETRO_RUNNING_MAX + RETRO_KEPT_MAX)

static int load_request(void *context, const struct reg_record *record)
{
	struct retro_book *book = context;

	if (book->count == ROOM)
		return 1;
	return reg_retro_decode(record->value, record->value_size, &book->requests[book->count++]);
}

int retro_book_load(struct retro_book *book, struct reg *reg)
{
	int result = reg_each(reg, REG_RETRO, 0, UINT32_MAX, load_request, book);

	return result < 0 ? result : 0;
}

bool retro_book_full(const struct retro_book *book)
{
	size_t running = 0;

	for (size_t i = 0; i < book->count; i++)
		running += book->requests[i].state == REG_RETRO_RUNNING;
	return running >= RETRO_RUNNING_MAX || book->count == ROOM;
}

void retro_book_add(struct retro_book *book, const struct reg_retro *request)
{
	book->requests[book->count++] = *request;
}

/* Its index; count: unknown. */
static size_t find(const struct retro_book *book, uint32_t number)
{
	size_t at = 0;

	while (at < book->count && book->requests[at].number != number)
		at++;
	return at;
}

void retro_book_renew(struct retro_book *book, const struct reg_retro *request)
{
	size_t at = find(book, request->number);

	if (at < book->count)
		book->requests[at] = *request;
}

bool retro_book_next(const struct retro_book *book, struct reg_retro *ret_request)
{
	for (size_t i = 0; i < book->count; i++) {
		if (book->requests[i].ended_us != 0)
			continue;
		*ret_request = book->requests[i];
		return true;
	}
	return false;
}

int retro_book_cancel(struct retro_book *book, struct reg *reg, uint32_t number, struct err *err)
{
	size_t at = find(book, number);
	struct reg_retro cancelled;
	int result;

	if (at == book->count)
		return RETRO_UNKNOWN;
	if (book->requests[at].state != REG_RETRO_RUNNING)
		return RETRO_ENDED;
	cancelled = book->requests[at];
	cancelled.state = REG_RETRO_CANCELLED;
	result = retro_record_put(reg, &cancelled, err);
	if (result == 0)
		book->requests[at] = cancelled;
	return result;
}

bool retro_book_cancelled(const struct retro_book *book, uint32_t number)
{
	size_t at = find(book, number);

	return at == book->count || book->requests[at].state == REG_RETRO_CANCELLED;
}

static void remove_at(struct retro_book *book, size_t at)
{
	book->count--;
	memmove(&book->requests[at], &book->requests[at + 1], (book->count - at) * sizeof(book->requests[0]));
}

uint32_t retro_book_forget(struct retro_book *book)
{
	size_t ended = 0;
	size_t oldest = 0;
	uint32_t number;

	for (size_t i = book->count; i-- > 0;) {
		if (book->requests[i].ended_us == 0)
			continue;
		ended++;
		oldest = i;
	}
	if (ended <= RETRO_KEPT_MAX)
		return 0;
	number = book->requests[oldest].number;
	remove_at(book, oldest);
	return number;
}

static json_t *request_json(const struct reg_retro *request, bool running, const char *why)
{
	static const char *const states[REG_RETRO_STATE_COUNT] = {"waiting", "done", "cancelled"};
	char made[CLOCK_TEXT_SIZE], ended[CLOCK_TEXT_SIZE];
	json_t *object = json_pack(
		"{s:I,s:I,s:I,s:I,s:s,s:I,s:I,s:I,s:I,s:s,s:I,s:s}", "number", (json_int_t)request->number, "list",
		(json_int_t)request->list, "since_version", (json_int_t)request->since_version, "upto_version",
		(json_int_t)request->upto_version, "state", running ? "running" : states[request->state], "days",
		(json_int_t)(request->last_day - request->first_day + 1), "days_done",
		(json_int_t)(request->last_day - request->next_day), "finds", (json_int_t)request->finds, "met",
		(json_int_t)request->met, "asked", clock_text_utc(request->made_us, made), "uid",
		(json_int_t)request->who_uid, "why", running ? why : request->why);

	if (request->ended_us != 0)
		(void)json_object_set_new(object, "ended", json_string(clock_text_utc(request->ended_us, ended)));
	return object;
}

json_t *retro_book_json(const struct retro_book *book, uint32_t running, const char *why)
{
	json_t *array = json_array();

	for (size_t i = 0; i < book->count; i++) {
		const struct reg_retro *request = &book->requests[i];
		bool runs = request->number == running && request->state == REG_RETRO_RUNNING;

		(void)json_array_append_new(array, request_json(request, runs, why));
	}
	return array;
}

int retro_record_put(struct reg *reg, const struct reg_retro *request, struct err *err)
{
	uint8_t buffer[REG_RECORD_SIZE_MAX];
	struct reg_change change = {.kind = REG_RETRO, .a = request->number, .value = buffer};

	if (reg == NULL)
		return err_set(err, -ENOKEY, "the register is incomplete: nothing is searched");
	change.value_size = reg_retro_encode(request, buffer);
	return reg_change(reg, &change, 1, request->who_uid, "search back", err);
}

int retro_record_remove(struct reg *reg, uint32_t number, struct err *err)
{
	struct reg_change change = {.kind = REG_RETRO, .a = number};

	if (reg == NULL)
		return err_set(err, -ENOKEY, "the register is incomplete: nothing is searched");
	return reg_change(reg, &change, 1, 0, "ended long ago", err);
}
