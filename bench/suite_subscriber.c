#include "bench/suite_subscriber.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>

#include "appliance/base/clock.h"
#include "appliance/base/hit_name.h"
#include "appliance/base/read.h"
#include "mgmt/link.h"

#define FOLLOW_ID 1
#define ACK_ID 2
#define LOOK_MS 100   /* how soon it hears that it shall end */
#define LINE_HEAD 200 /* of a line: enough to tell what it is */
#define CURSOR_SIZE 512

struct suite_subscriber {
	struct link link;
	pthread_t thread;
	const char *subscription;
	atomic_bool stopping;
	_Atomic uint64_t hits;
	int result;
	bool acknowledging;       /* one is under way */
	char cursor[CURSOR_SIZE]; /* to be acknowledged; empty: nothing */
	uint64_t hits_max;
	uint64_t first;     /* number that came first, the lowest: one worker's come in order */
	uint8_t *came;      /* a bit for each count; hits_max of them */
	uint32_t *waits_us; /* of each that came */
	struct suite_told told;
};

/* ---- a message, without taking it apart: what a subscriber spends is the machine's, and is not to be measured */

/* The text behind `name` in the line, which ends at a quote; NULL: no more of them. Texts within are escaped: what
 * looks like a name is one. */
static const char *member(const char *from, const char *end, const char *name, size_t name_size)
{
	const char *at = memmem(from, (size_t)(end - from), name, name_size);

	return at != NULL ? at + name_size : NULL;
}
#define MEMBER(from, end, name) member(from, end, name, sizeof(name) - 1)

static void take_number(struct suite_subscriber *subscriber, const char *text, const char *end, int64_t wait_us)
{
	const char *quote = memchr(text, '"', (size_t)(end - text));
	char name[HIT_NAME_SIZE];
	uint64_t number, count;

	if (quote == NULL || (size_t)(quote - text) >= sizeof(name)) {
		subscriber->told.alien++;
		return;
	}
	memcpy(name, text, (size_t)(quote - text));
	name[quote - text] = '\0';
	if (hit_name_parse(name, &number) < 0) {
		subscriber->told.alien++;
		return;
	}
	if (subscriber->first == 0)
		subscriber->first = number;
	count = number - subscriber->first;
	if (number < subscriber->first || count > subscriber->hits_max) {
		subscriber->told.alien++;
		return;
	}
	if ((subscriber->came[count / 8] >> (count % 8) & 1) != 0) {
		subscriber->told.again++;
		return;
	}
	subscriber->came[count / 8] |= (uint8_t)(1 << (count % 8));
	subscriber->waits_us[subscriber->told.hits++] = (uint32_t)(wait_us < UINT32_MAX ? wait_us : UINT32_MAX);
}

static void take_hits(struct suite_subscriber *subscriber, const char *line, const char *end)
{
	int64_t now_us = clock_wall_us();
	const char *at = line;

	while ((at = MEMBER(at, end, "\"number\":\"")) != NULL) {
		const char *receipt = MEMBER(at, end, "\"receipt_us\":");

		if (receipt == NULL)
			break;
		take_number(subscriber, at, end, now_us - strtoll(receipt, NULL, 10));
		at = receipt;
	}
	atomic_store_explicit(&subscriber->hits, subscriber->told.hits, memory_order_relaxed);
}

static void take_cursor(struct suite_subscriber *subscriber, const char *line, const char *end)
{
	const char *cursor = MEMBER(line, end, "\"cursor\":\"");
	const char *quote = cursor != NULL ? memchr(cursor, '"', (size_t)(end - cursor)) : NULL;

	if (quote == NULL || (size_t)(quote - cursor) >= CURSOR_SIZE)
		return;
	memcpy(subscriber->cursor, cursor, (size_t)(quote - cursor));
	subscriber->cursor[quote - cursor] = '\0';
}

/* One at a time; what comes meanwhile is acknowledged by the next. */
static int acknowledge(struct suite_subscriber *subscriber)
{
	int result;

	if (subscriber->acknowledging || subscriber->cursor[0] == '\0')
		return 0;
	result = link_send(
		&subscriber->link, "hits.ack",
		json_pack("{s:s,s:s}", "subscription", subscriber->subscription, "cursor", subscriber->cursor), ACK_ID);
	subscriber->acknowledging = result == 0;
	subscriber->cursor[0] = '\0';
	return result;
}

/* 0, or what an answer's error ends it with. */
static int take_answer(struct suite_subscriber *subscriber, const char *line, size_t size)
{
	json_t *message = json_loadb(line, size, 0, NULL);
	bool good = json_object_get(message, "result") != NULL;
	json_int_t id = json_integer_value(json_object_get(message, "id"));

	json_decref(message);
	if (!good || id != ACK_ID)
		return -EPROTO; /* refused, or the stream has ended */
	subscriber->acknowledging = false;
	return 0;
}

static int take_line(struct suite_subscriber *subscriber, const char *line, size_t size)
{
	size_t head = size < LINE_HEAD ? size : LINE_HEAD;

	if (MEMBER(line, line + head, "\"method\":\"hits.hits\"") != NULL) {
		subscriber->told.messages++;
		subscriber->told.bytes += size + 1;
		take_hits(subscriber, line, line + size);
		take_cursor(subscriber, line, line + size);
	} else if (MEMBER(line, line + head, "\"method\"") == NULL) {
		int result = take_answer(subscriber, line, size);

		if (result < 0)
			return result;
	}
	return acknowledge(subscriber);
}

static void *follow(void *context)
{
	struct suite_subscriber *subscriber = context;

	(void)prctl(PR_SET_NAME, "subscriber");
	while (subscriber->result == 0 && !atomic_load(&subscriber->stopping)) {
		const char *line;
		size_t size;
		int result = link_receive_line(&subscriber->link, LOOK_MS, &line, &size);

		if (result == 0)
			result = take_line(subscriber, line, size);
		if (result < 0)
			subscriber->result = result;
	}
	return NULL;
}

static void subscriber_free(struct suite_subscriber *subscriber)
{
	link_close(&subscriber->link);
	free(subscriber->came);
	free(subscriber->waits_us);
	free(subscriber);
}

static json_t *grounds(const char *subscription)
{
	return json_pack("{s:s,s:s,s:s,s:s}", "subscription", subscription, "purpose", "serious", "case", "BENCH-1",
			 "reason", "measuring how soon hits reach a subscriber");
}

int suite_subscriber_start(const char *socket, const char *subscription, uint64_t hits_max,
			   struct suite_subscriber **ret_subscriber, struct err *err)
{
	struct suite_subscriber *subscriber = calloc(1, sizeof(*subscriber));
	int result;

	if (subscriber == NULL)
		return err_set(err, -ENOMEM, "out of memory");
	subscriber->link.fd = -1;
	subscriber->subscription = subscription;
	subscriber->hits_max = hits_max;
	subscriber->came = calloc(hits_max / 8 + 1, 1);
	subscriber->waits_us = calloc(hits_max + 1, sizeof(*subscriber->waits_us));
	if (subscriber->came == NULL || subscriber->waits_us == NULL)
		result = err_set(err, -ENOMEM, "out of memory");
	else
		result = link_open(&subscriber->link, socket, err);
	if (result == 0 && link_send(&subscriber->link, "hits.follow", grounds(subscription), FOLLOW_ID) < 0)
		result = err_set(err, -EIO, "%s: gone", socket);
	if (result == 0 && pthread_create(&subscriber->thread, NULL, follow, subscriber) != 0)
		result = err_set(err, -EAGAIN, "no thread for a subscriber");
	if (result < 0) {
		subscriber_free(subscriber);
		return result;
	}
	*ret_subscriber = subscriber;
	return 0;
}

uint64_t suite_subscriber_hits(const struct suite_subscriber *subscriber)
{
	return atomic_load_explicit(&subscriber->hits, memory_order_relaxed);
}

static int compare_waits(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return x < y ? -1 : x > y;
}

static void tell(struct suite_subscriber *subscriber, struct suite_told *ret_told)
{
	uint64_t count = subscriber->told.hits;
	uint32_t *waits_us = subscriber->waits_us;

	*ret_told = subscriber->told;
	if (count == 0)
		return;
	qsort(waits_us, count, sizeof(*waits_us), compare_waits);
	ret_told->p50_ms = waits_us[count / 2] / 1e3;
	ret_told->p99_ms = waits_us[count - 1 - count / 100] / 1e3;
	ret_told->max_ms = waits_us[count - 1] / 1e3;
}

struct suite_subscriber *suite_subscriber_end(struct suite_subscriber *subscriber, struct suite_told *ret_told,
					      int *ret_result)
{
	if (subscriber == NULL)
		return NULL;
	atomic_store(&subscriber->stopping, true);
	(void)pthread_join(subscriber->thread, NULL);
	tell(subscriber, ret_told);
	*ret_result = subscriber->result;
	subscriber_free(subscriber);
	return NULL;
}
