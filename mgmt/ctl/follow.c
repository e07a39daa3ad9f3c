/*
 * hits follow: prints what a subscription is told, and acknowledges a message when all of it is printed. One
 * acknowledgement is under way at a time; what is printed meanwhile is acknowledged by the next, lane by lane.
 */
#include "mgmt/ctl/ctl.h"

#include <stdlib.h>
#include <string.h>

#include "appliance/base/clock.h"
#include "mgmt/link.h"

#define LANES 2

struct following {
	struct request request;
	int64_t count;
	json_t *printed[LANES]; /* cursor up to which a lane is printed and not acknowledged yet; NULL: none */
	bool asked;             /* an acknowledgement is under way */
};

static void acknowledge(struct following *following)
{
	for (unsigned i = 0; i < LANES && !following->asked; i++) {
		const json_t *name = json_object_get(following->request.options->params, "subscription");

		if (following->printed[i] == NULL)
			continue;
		following->asked =
			link_send(following->request.link, "hits.ack",
				  json_pack("{s:O,s:o}", "subscription", name, "cursor", following->printed[i]),
				  OTHER_ID + (int64_t)i) == 0;
		following->printed[i] = NULL;
	}
}

static void on_acknowledged(const json_t *message, void *ctx)
{
	struct following *following = ctx;
	const json_t *error = json_object_get(message, "error");

	if (error != NULL)
		(void)say(0, "not acknowledged: %s", json_string_value(json_object_get(error, "message")));
	following->asked = false;
	acknowledge(following);
}

/* Who acknowledges himself has to know up to where; all of the message, so that it stands behind the last of it. */
static void print_json_hit(const struct following *following, const json_t *message, size_t index)
{
	const json_t *hits = json_object_get(message, "hits");
	json_t *hit = json_copy(json_array_get(hits, index));

	if (following->request.options->no_ack)
		(void)json_object_set(hit, "lane", json_object_get(message, "lane"));
	if (following->request.options->no_ack && index + 1 == json_array_size(hits))
		(void)json_object_set(hit, "cursor", json_object_get(message, "cursor"));
	(void)json_dumpf(hit, stdout, JSON_COMPACT);
	(void)fputc('\n', stdout);
	json_decref(hit);
}

static bool print_hit(struct following *following, const json_t *message, size_t index)
{
	if (following->request.options->json) {
		print_json_hit(following, message, index);
	} else {
		const json_t *hit = json_array_get(json_object_get(message, "hits"), index);

		show_row_now(stdout, hit, following->request.command->columns, following->count == 0);
	}
	following->count++;
	return following->request.options->row_max == 0 || following->count < following->request.options->row_max;
}

/* hits.escalated, of a hit that came before, and hits.waiting: neither counted nor acknowledged. */
static bool print_notice(const struct following *following, const json_t *message)
{
	const char *why = json_string_value(json_object_get(message, "why"));

	if (following->request.options->json) {
		(void)json_dumpf(message, stdout, JSON_COMPACT);
		(void)fputc('\n', stdout);
	} else if (why != NULL) {
		(void)printf("hits of lane %s wait, the store cannot be read now: %s\n",
			     json_string_value(json_object_get(message, "lane")), why);
	} else {
		char *list = value_text("list", json_object_get(message, "list_name"));

		(void)printf("escalated: hit %s of list %s, nobody has acknowledged it since %s\n",
			     json_string_value(json_object_get(message, "number")), list[0] != '\0' ? list : "-",
			     json_string_value(json_object_get(message, "since")));
		free(list);
	}
	return fflush(stdout) == 0;
}

static bool take_message(const json_t *message, void *ctx)
{
	struct following *following = ctx;
	const char *lane = json_string_value(json_object_get(message, "lane"));
	const json_t *hits = json_object_get(message, "hits");
	json_t **printed = &following->printed[lane != NULL && strcmp(lane, "urgent") == 0 ? 0 : 1];
	bool more = true;
	size_t i;

	if (hits == NULL)
		return print_notice(following, message);
	for (i = 0; i < json_array_size(hits) && more; i++)
		more = print_hit(following, message, i);
	if (fflush(stdout) != 0 || i < json_array_size(hits))
		return false; /* not printed, or not all of it: it comes again */
	if (following->request.options->no_ack)
		return more;
	json_decref(*printed);
	*printed = json_incref(json_object_get(message, "cursor"));
	acknowledge(following);
	return more;
}

int run_follow(const struct command *command, struct options *options)
{
	struct following following = {.request = {.method = command->method,
						  .params = options->params,
						  .options = options,
						  .command = command,
						  .on_row = take_message,
						  .on_other = on_acknowledged}};
	int code;

	following.request.ctx = &following;
	if (options->for_s > 0)
		following.request.deadline_ns = clock_mono_ns() + options->for_s * 1000000000;
	code = request_run(&following.request);
	/* --count, --for or an interrupt: how such a command is meant to end. Else it was the appliance that ended it.
	 */
	if (code == CTL_OK && !following.request.cancelled)
		code = say_stopping();
	following.request.cancelled = false;
	for (unsigned i = 0; i < LANES; i++)
		json_decref(following.printed[i]);
	return request_finish(&following.request, code);
}
