#include "bench/suite_match_world.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/plate.h"
#include "bench/sheet.h"
#include "bench/suite_options.h"
#include "matcher/list.h"
#include "matcher/vrm.h"

#define READS (1u << 18)
#define DAY 20779
#define PLATES_SEED UINT64_C(0x706c6174)
#define STRANGERS 200000    /* of whose plates patterns are made */
#define LITERALS_DRIVEN 200 /* one in so many of the literals is a vehicle of the fleet */

/* Prints plates until `wanted` different ones stand there. */
struct printing {
	FILE *out;
	struct u64_map drawn;
	uint32_t wanted;
	uint32_t printed;
	int result; /* -ENOMEM sticks */
};

static bool printing_more(const struct printing *printing)
{
	return printing->printed < printing->wanted && printing->result >= 0;
}

/* Not one that was printed already, as a list sees it. */
static void plate_print(struct printing *printing, const struct plate *plate)
{
	uint8_t key[READ_TEXT_SIZE] = {0};

	if (!printing_more(printing) || vrm_key(plate->text, key) != 0)
		return;
	printing->result = sheet_first(&printing->drawn, key, sizeof(key));
	if (printing->result <= 0)
		return;
	fprintf(printing->out, "%.*s\n", READ_TEXT_SIZE, (const char *)plate->text);
	printing->printed++;
}

/* Every second of the rarest half, starting with an odd or an even one by the day. */
static void seldom_print(struct printing *printing, const struct population *population, uint32_t count, unsigned day)
{
	uint32_t half = population->count / 2;

	for (uint32_t i = 0; i < count && 2 * i + day % 2 < half; i++)
		plate_print(printing, &population->plates[half + 2 * i + day % 2]);
}

/* All that is still wanted. */
static void strangers_print(struct printing *printing, uint64_t seed)
{
	struct prng prng = {seed};
	struct plate plate;

	while (printing_more(printing)) {
		plate_make(&prng, 30, &plate);
		plate_print(printing, &plate);
	}
}

static int printing_begin(struct printing *printing, uint32_t entries, char **text, size_t *size)
{
	*printing = (struct printing){.out = open_memstream(text, size), .wanted = entries};
	if (printing->out == NULL)
		return -ENOMEM;
	fputs("vrm\n", printing->out);
	return 0;
}

/* The text, or NULL. */
static char *printing_end(struct printing *printing, char **text)
{
	u64_map_fini(&printing->drawn);
	if (fclose(printing->out) == 0 && printing->result >= 0)
		return *text;
	free(*text);
	return NULL;
}

char *match_world_mass_text(const struct match_world *world, uint32_t entries, unsigned day, size_t *ret_size)
{
	struct printing printing;
	char *text = NULL;

	if (printing_begin(&printing, entries, &text, ret_size) < 0)
		return NULL;
	seldom_print(&printing, &world->fleet.fleet.population, entries / 2, day);
	strangers_print(&printing, PLATES_SEED + day);
	return printing_end(&printing, &text);
}

static char *literals_text(const struct match_world *world, uint32_t entries, size_t *ret_size)
{
	const struct population *population = &world->fleet.fleet.population;
	struct printing printing;
	char *text = NULL;

	if (printing_begin(&printing, entries, &text, ret_size) < 0)
		return NULL;
	for (uint32_t i = 0; i < entries / LITERALS_DRIVEN; i++)
		plate_print(&printing, &population->plates[population->count - 1 - i * 3 % population->count]);
	strangers_print(&printing, ~PLATES_SEED);
	return printing_end(&printing, &text);
}

static char *patterns_text(const struct population *strangers, uint32_t entries, uint64_t seed, size_t *ret_size)
{
	struct err err;
	char *text = NULL;
	FILE *out = open_memstream(&text, ret_size);
	int status;

	if (out == NULL)
		return NULL;
	status = sheet_list(strangers, 0, entries, seed, out, &err);
	if (fclose(out) == 0 && status == 0)
		return text;
	free(text);
	return NULL;
}

int match_world_list(uint32_t id, uint32_t version, uint32_t generation, const char *text, size_t size, struct err *err,
		     struct list **ret_list)
{
	struct list_info info = {.id = id, .version = version, .generation = generation, .priority = 50};

	(void)snprintf(info.name, sizeof(info.name), "list %u", id);
	return list_load_csv(&info, text, size, NULL, NULL, err, ret_list);
}

static int texts_make(struct match_world *world, const struct suite_options *options)
{
	struct population strangers;
	int status = population_init(&strangers, STRANGERS, 0, PLATES_SEED ^ options->seed);

	if (status < 0)
		return status;
	world->texts[WORLD_MASS] = match_world_mass_text(world, options->mass, 0, &world->sizes[WORLD_MASS]);
	world->texts[WORLD_LITERALS] = literals_text(world, options->literals, &world->sizes[WORLD_LITERALS]);
	world->texts[WORLD_PATTERNS] =
		patterns_text(&strangers, options->patterns, options->seed, &world->sizes[WORLD_PATTERNS]);
	world->texts[WORLD_MANY] = patterns_text(&strangers, options->many, ~options->seed, &world->sizes[WORLD_MANY]);
	population_fini(&strangers);
	return 0;
}

static int lists_make(struct match_world *world, const struct suite_options *options, struct err *err)
{
	int status = texts_make(world, options);

	for (uint32_t i = 0; i < WORLD_LISTS && status == 0; i++) {
		struct list *list;

		if (world->texts[i] == NULL)
			return err_set(err, -ENOMEM, "no memory for the lists");
		status = match_world_list(i + 1, 1, 1, world->texts[i], world->sizes[i], err, &list);
		if (status == 0)
			world->lists[i] = list;
	}
	return status;
}

/* What is matched at all, from the morning on. */
static int reads_make(struct match_world *world, struct err *err)
{
	struct read *batch = malloc(SUITE_DAY_READS_MIN * sizeof(*batch));
	struct suite_day *day = NULL;
	size_t made;

	world->reads = malloc(READS * sizeof(*world->reads));
	if (batch == NULL || world->reads == NULL || suite_day_new(&world->fleet, DAY, READS * 3 / 2, &day) < 0) {
		free(batch);
		return err_set(err, -ENOMEM, "no memory for the reads");
	}
	while (world->read_count < READS && (made = suite_day_next(day, batch, SUITE_DAY_READS_MIN)) > 0)
		for (size_t i = 0; i < made && world->read_count < READS; i++)
			if (batch[i].kind == READ_KIND_VRM && (batch[i].flags & READ_FLAG_TEST) == 0)
				world->reads[world->read_count++] = batch[i];
	suite_day_free(day);
	free(batch);
	return 0;
}

int match_world_init(struct match_world *world, const struct suite_options *options, struct err *err)
{
	const struct suite_fleet_options fleet = {.seed = options->seed,
						  .cameras = options->cameras,
						  .vehicles = options->vehicles,
						  .feeds = options->feeds};
	int status;

	memset(world, 0, sizeof(*world));
	status = suite_fleet_init(&world->fleet, &fleet);
	if (status < 0)
		return err_set(err, status, "no memory for the fleet");
	status = lists_make(world, options, err);
	return status < 0 ? status : reads_make(world, err);
}

void match_world_fini(struct match_world *world)
{
	for (int i = 0; i < WORLD_LISTS; i++) {
		(void)list_free((struct list *)(uintptr_t)world->lists[i]);
		free(world->texts[i]);
	}
	free(world->reads);
	suite_fleet_fini(&world->fleet);
}
