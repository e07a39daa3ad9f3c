#include "bench/feeds.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "appliance/base/bytes.h"
#include "appliance/base/prng.h"

#define LINE_SIZE 512

static int parse_u32(const char *text, uint32_t *ret_value)
{
	char *end;
	unsigned long long value;

	if (text[0] < '0' || text[0] > '9')
		return -EINVAL;
	errno = 0;
	value = strtoull(text, &end, 10);
	if (*end != '\0' || errno != 0 || value > UINT32_MAX)
		return -EINVAL;
	*ret_value = (uint32_t)value;
	return 0;
}

static int parse_line(char *line, uint32_t cameras, struct feeds *feeds, struct err *err)
{
	struct loop_feed *row = &feeds->rows[feeds->count];
	struct fleet_range *range = &feeds->ranges[feeds->count];
	char *save = NULL;
	char *words[6];
	unsigned count = 0;

	for (char *word = strtok_r(line, " \t\r\n", &save); word != NULL; word = strtok_r(NULL, " \t\r\n", &save)) {
		if (count == 5 || word[0] == '#')
			break;
		words[count++] = word;
	}
	if (count == 0)
		return 0;
	if (feeds->count == FLEET_FEEDS_MAX)
		return err_set(err, -EINVAL, "more than %d feeds", FLEET_FEEDS_MAX);
	if (count != 2 && count != 4)
		return err_set(err, -EINVAL, "must be: feed_id key_hex [camera_first camera_last]");
	if (parse_u32(words[0], &row->feed) < 0)
		return err_set(err, -EINVAL, "the feed id is no number");
	if (hex_decode(words[1], row->key, sizeof(row->key)) < 0)
		return err_set(err, -EINVAL, "the key of feed %u is not 64 hex digits", row->feed);
	for (unsigned i = 0; i < feeds->count; i++)
		if (feeds->rows[i].feed == row->feed)
			return err_set(err, -EINVAL, "feed %u stands here twice", row->feed);
	*range = (struct fleet_range){0, 0};
	if (count == 4 && (parse_u32(words[2], &range->first) < 0 || parse_u32(words[3], &range->last) < 0 ||
			   range->first == 0 || range->last < range->first || range->last > cameras))
		return err_set(err, -EINVAL, "the cameras of feed %u must be a range within 1 to %u (--cameras)",
			       row->feed, cameras);
	feeds->count++;
	return 0;
}

static int check(struct feeds *feeds, uint32_t cameras, unsigned dual_permille, struct err *err)
{
	unsigned with_range = 0;

	if (feeds->count == 0)
		return err_set(err, -EINVAL, "no feed in it");
	for (unsigned i = 0; i < feeds->count; i++)
		with_range += feeds->ranges[i].first != 0;
	if (with_range != 0 && with_range != feeds->count)
		return err_set(err, -EINVAL, "give a camera range for every feed or for none");
	if (with_range == 0)
		fleet_ranges_split(cameras, dual_permille, feeds->count, feeds->ranges);
	return 0;
}

int feeds_load(const char *path, uint32_t cameras, unsigned dual_permille, struct feeds *ret_feeds, struct err *err)
{
	FILE *file = fopen(path, "re");
	struct feeds *feeds = calloc(1, sizeof(*feeds));
	char line[LINE_SIZE];
	unsigned number = 0;
	int r = 0;

	if (file == NULL || feeds == NULL)
		r = err_set(err, feeds == NULL ? -ENOMEM : -errno, "%s: %s", path, strerror(errno));
	while (r == 0 && fgets(line, sizeof(line), file) != NULL) {
		number++;
		if (strchr(line, '\n') == NULL && !feof(file))
			r = err_set(err, -EINVAL, "line too long");
		else
			r = parse_line(line, cameras, feeds, err);
		if (r < 0)
			r = err_prefix(err, r, "%s line %u", path, number);
	}
	if (r == 0) {
		r = check(feeds, cameras, dual_permille, err);
		if (r < 0)
			r = err_prefix(err, r, "%s", path);
	}
	if (r == 0)
		*ret_feeds = *feeds;
	if (file != NULL)
		fclose(file);
	bytes_wipe(line, sizeof(line));
	if (feeds != NULL)
		bytes_wipe(feeds, sizeof(*feeds));
	free(feeds);
	return r;
}

void feeds_invent(unsigned count, uint32_t cameras, unsigned dual_permille, uint64_t seed, struct feeds *ret_feeds)
{
	struct prng prng = {seed ^ UINT64_C(0x6b657973)};

	ret_feeds->count = count;
	for (unsigned i = 0; i < count; i++) {
		ret_feeds->rows[i].feed = i + 1;
		for (unsigned k = 0; k < sizeof(ret_feeds->rows[i].key); k++)
			ret_feeds->rows[i].key[k] = (uint8_t)prng_next(&prng);
	}
	fleet_ranges_split(cameras, dual_permille, count, ret_feeds->ranges);
}
