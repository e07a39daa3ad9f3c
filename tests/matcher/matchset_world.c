#include "tests/matcher/matchset_world.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "matcher/list_build.h"
#include "matcher/vrm.h"
#include "tests/check.h"

struct hit hits[HITS_MAX];
size_t hit_count;
struct err err;

char *text_add(char *at, const char *format, ...)
{
	va_list args;
	int size;

	va_start(args, format);
	size = vsprintf(at, format, args);
	va_end(args);
	CHECK(size >= 0);
	return at + size;
}

struct list *list_make(uint32_t id, uint8_t priority, const char *text)
{
	struct list_info info = {.id = id, .version = 10 * id, .priority = priority};
	struct list_result result;
	struct list *list;

	(void)snprintf(info.name, sizeof(info.name), "list %u", id);
	CHECK_INT(0, list_load_csv(&info, text, strlen(text), NULL, &result, &err, &list));
	CHECK_INT(0, result.bad);
	return list;
}

struct matchbase *base_make(struct list *const *lists, size_t count, const struct match_limits *limits)
{
	struct matchbase_options options = {0};
	struct matchbase *base;

	if (limits != NULL)
		options.limits = *limits;
	CHECK_INT(0, matchbase_new((const struct list *const *)lists, count, &options, &err, &base));
	return base;
}

struct matchset *set_on(struct matchbase *base, struct list *const *lists, size_t count)
{
	struct matchset *set;

	CHECK_INT(0, matchset_new((const struct list *const *)lists, count, base, NULL, &err, &set));
	return set;
}

struct matchset *set_make(struct list *const *lists, size_t count, const struct match_limits *limits)
{
	struct matchbase *base = base_make(lists, count, limits);
	struct matchset *set = set_on(base, lists, count);

	CHECK_INT(0, matchset_stale(set));
	matchbase_free(base);
	return set;
}

struct read read_of(const char *text)
{
	struct read read = {.receipt_us = 1000000};

	CHECK(strlen(text) <= READ_TEXT_SIZE);
	memcpy(read.text, text, strlen(text));
	CHECK_INT(0, vrm_key(read.text, read.key));
	return read;
}

void match_all(const struct matchset *set, struct match_scratch *scratch, const struct read *reads, size_t count,
	       size_t room)
{
	struct match_cursor cursor = {0};
	int status;

	hit_count = 0;
	do {
		struct hit *part = calloc(room, sizeof(*part)); /* of its size, for ASan */
		size_t got = SIZE_MAX;

		status = match_burst(set, scratch, reads, count, &cursor, part, room, &got);
		CHECK(status == 0 || status == MATCH_MORE);
		CHECK(got <= room);
		CHECK(status == 0 || got == room);
		CHECK(hit_count + got <= HITS_MAX);
		memcpy(hits + hit_count, part, got * sizeof(*part));
		hit_count += got;
		free(part);
	} while (status == MATCH_MORE);
}

void hit_is(size_t index, uint32_t row, uint32_t list, uint32_t entry, enum hit_kind kind)
{
	CHECK(index < hit_count);
	CHECK_INT(row, hits[index].row);
	CHECK_INT(list, hits[index].list);
	CHECK_INT(10 * list, hits[index].version);
	CHECK_INT(entry, hits[index].entry);
	CHECK_INT(kind, hits[index].kind);
	CHECK_INT(0, hits[index].flags);
}
