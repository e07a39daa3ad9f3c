#include "tests/storage/rig_hits.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "storage/hit_scan.h"

#define PAGE_MAX 400

struct seen {
	struct rig *rig;
	uint8_t given[RIG_FEEDS][FEED_LANE_COUNT][RIG_SEQUENCES][RIG_HITS];
	struct hit_found page[PAGE_MAX];
};

static bool wrong(struct rig *rig, const char *format, ...) __attribute__((format(printf, 2, 3)));
static bool wrong(struct rig *rig, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(rig->problem, sizeof(rig->problem), format, arguments);
	va_end(arguments);
	return false;
}

static bool number_is(struct rig *rig, uint64_t *known, uint64_t number)
{
	unsigned source = hit_source(number);

	if (*known == 0) {
		if (number <= rig->hit_floor[source])
			return wrong(rig, "hit %llx is new, and %llx was seen before", (unsigned long long)number,
				     (unsigned long long)rig->hit_floor[source]);
		*known = number;
		if (rig->hit_highest[source] < number)
			rig->hit_highest[source] = number;
	}
	return *known == number ||
	       wrong(rig, "hit %llx is now called %llx", (unsigned long long)*known, (unsigned long long)number);
}

static bool found_is(struct rig *rig, const struct hit_found *found, const struct rig_identity *id)
{
	struct hit hits[RIG_HITS];
	unsigned count = rig_hits(id->feed, id->lane, id->sequence, 0, hits);
	struct read read;

	rig_read(rig, id->feed, id->lane, id->sequence, &read);
	read.receipt_us = found->read.receipt_us; /* the run's first row's */
	if (found->hit.entry >= count)
		return wrong(rig, "a hit that nobody made");
	hits[found->hit.entry].number = found->hit.number;
	if (memcmp(&hits[found->hit.entry], &found->hit, sizeof(found->hit)) != 0 ||
	    memcmp(&read, &found->read, sizeof(read)) != 0)
		return wrong(rig, "hit %llx is not what it was", (unsigned long long)found->hit.number);
	return number_is(rig, &rig->hits[id->feed - 1][id->lane][id->sequence][found->hit.entry], found->hit.number);
}

static bool take(struct seen *seen, const struct hit_found *found)
{
	struct rig *rig = seen->rig;
	struct rig_identity id;

	if (!rig_identify(&found->read, &id) || id.amended)
		return wrong(rig, "a hit of a read that nobody sent");
	if (rig->found[id.feed - 1][id.lane][id.sequence] == 0)
		return wrong(rig, "a hit of a read that is not there");
	if (rig->marked[id.feed - 1][id.lane][id.sequence] &&
	    !rig->purge_begun[rig_day_of(id.feed, id.lane, id.sequence)])
		return wrong(rig, "a hit of a read that is erased, amended or restricted");
	if (!found_is(rig, found, &id))
		return false;
	if (seen->given[id.feed - 1][id.lane][id.sequence][found->hit.entry]++ > 0)
		return wrong(rig, "hit %llx was given twice", (unsigned long long)found->hit.number);
	return true;
}

static bool source_walk(struct seen *seen, unsigned source)
{
	struct rig *rig = seen->rig;
	uint64_t after = 0;
	size_t count;
	size_t max;

	do {
		int result;

		max = 1 + prng_below(&rig->prng, PAGE_MAX);
		result = hit_scan(rig->store, source, after, UINT64_MAX, max, &rig->err, seen->page, &count);
		if (result < 0)
			return wrong(rig, "hits: %s: %.150s", strerror(-result), rig->err.text);
		for (size_t i = 0; i < count; i++) {
			if (seen->page[i].hit.number <= after || hit_source(seen->page[i].hit.number) != source)
				return wrong(rig, "hits do not ascend");
			after = seen->page[i].hit.number;
			if (!take(seen, &seen->page[i]))
				return false;
		}
	} while (count == max);
	return true;
}

static bool find_by_number(struct rig *rig, uint64_t number, const struct rig_identity *id)
{
	struct hit_found found;
	int result = hit_find(rig->store, number, &rig->err, &found);

	return result == 0 ? found_is(rig, &found, id)
			   : wrong(rig, "hit %llx: %s", (unsigned long long)number, strerror(-result));
}

/* Is each hit of the read given that has to be? A repeat is, by its number alone. */
static bool identity_verify(struct seen *seen, const struct rig_identity *id)
{
	struct rig *rig = seen->rig;
	struct hit hits[RIG_HITS];
	unsigned count = rig_hits(id->feed, id->lane, id->sequence, 0, hits);

	if (rig->found[id->feed - 1][id->lane][id->sequence] == 0 ||
	    rig->marked[id->feed - 1][id->lane][id->sequence] ||
	    rig->purge_begun[rig_day_of(id->feed, id->lane, id->sequence)])
		return true;
	for (unsigned i = 0; i < count; i++) {
		bool repeat = (hits[i].flags & HIT_FLAG_REPEAT) != 0;
		uint64_t number = rig->hits[id->feed - 1][id->lane][id->sequence][i];

		if (seen->given[id->feed - 1][id->lane][id->sequence][i] != !repeat)
			return wrong(rig, "feed %u lane %u sequence %llu: its hit %u is %s", id->feed, id->lane,
				     (unsigned long long)id->sequence, i, repeat ? "a repeat and given" : "missed");
		if (number != 0 && (repeat || prng_chance(&rig->prng, 5)) && !find_by_number(rig, number, id))
			return false;
	}
	return true;
}

static bool all_verify(struct seen *seen)
{
	struct rig *rig = seen->rig;

	for (unsigned source = 0; source < STORE_WORKERS_MAX; source++)
		if (!source_walk(seen, source))
			return false;
	for (uint32_t feed = 1; feed <= RIG_FEEDS; feed++)
		for (unsigned lane = 0; lane < FEED_LANE_COUNT; lane++)
			for (uint64_t sequence = 1; sequence < rig->next[feed - 1][lane]; sequence++)
				if (!identity_verify(seen, &(struct rig_identity){feed, lane, sequence, false}))
					return false;
	return true;
}

bool rig_verify_hits(struct rig *rig)
{
	struct seen *seen = calloc(1, sizeof(*seen));
	bool well;

	if (seen == NULL || rig->hits_wrong) {
		free(seen);
		return false;
	}
	seen->rig = rig;
	well = all_verify(seen);
	free(seen);
	rig->hits_looked = well;
	return well;
}
