/*
 * The fresh process: its own code is brought into memory first, as a running appliance's would be; then keyring,
 * catalog and views are opened; then the clock runs, once cold and some times warm.
 */
#include <errno.h>
#include <link.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "appliance/base/clock.h"
#include "bench/suite_commands.h"
#include "bench/suite_options.h"
#include "bench/suite_question.h"
#include "bench/suite_report.h"
#include "bench/suite_store.h"
#include "matcher/vrm.h"
#include "storage/search.h"

#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ 22 /* Linux 5.14 */
#endif

struct asked {
	const struct search_query *query;
	struct suite_answer *answer;
};

/* A kernel that does not know it leaves the pages to be read when they are run: the figure is then a little worse. */
static int object_populate(struct dl_phdr_info *info, size_t size, void *context)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);

	(void)size;
	(void)context;
	for (unsigned i = 0; i < info->dlpi_phnum; i++) {
		const ElfW(Phdr) *part = &info->dlpi_phdr[i];
		uintptr_t start = (info->dlpi_addr + part->p_vaddr) & ~(page - 1);
		uintptr_t end = info->dlpi_addr + part->p_vaddr + part->p_memsz;

		if (part->p_type == PT_LOAD && start != 0)
			(void)madvise((void *)start, end - start, MADV_POPULATE_READ);
	}
	return 0;
}

static bool row_answers(const struct asked *asked, const struct read *read)
{
	const struct search_query *query = asked->query;
	bool camera = query->camera_count == 0;

	for (size_t i = 0; i < query->camera_count; i++)
		camera = camera || query->cameras[i] == read->camera;
	return camera && read->capture_us >= query->from_us && read->capture_us < query->to_us &&
	       (query->key_glob == NULL || glob_match(query->key_glob, read->key));
}

static int row_take(void *context, const struct read *read, const char public_id[SEARCH_PUBLIC_ID_SIZE])
{
	struct asked *asked = context;

	(void)public_id;
	asked->answer->rows++;
	asked->answer->wrong += !row_answers(asked, read);
	return 0;
}

static int ask(struct views *views, struct asked *asked, struct search_result *result, struct err *err, double *ret_ms)
{
	int64_t start_ns = clock_mono_ns();
	int r;

	asked->answer->rows = 0;
	asked->answer->wrong = 0;
	r = search_run(views, asked->query, err, row_take, asked, result);
	*ret_ms = (double)(clock_mono_ns() - start_ns) / 1e6;
	return r;
}

static int ask_all(const struct suite_question *question, const struct search_query *query, const char *room,
		   struct err *err, struct suite_answer *answer)
{
	struct asked asked = {query, answer};
	struct search_result *result = malloc(sizeof(*result));
	struct suite_reader reader;
	double warm[SUITE_WARM_RUNS];
	int r = result == NULL ? err_set(err, -ENOMEM, "no memory") : suite_reader_open(&reader, room, err);

	if (r < 0) {
		free(result);
		return r;
	}
	r = ask(reader.views, &asked, result, err, &answer->cold_ms);
	answer->start_ms = (double)(clock_mono_ns() - question->started_ns) / 1e6;
	if (r == 0) {
		answer->pages_read = result->pages_read;
		answer->bytes_read = result->bytes_read;
		answer->segments = result->segments;
		answer->incomplete = result->incomplete || result->truncated;
	}
	for (unsigned i = 0; r == 0 && i < SUITE_WARM_RUNS; i++)
		r = ask(reader.views, &asked, result, err, &warm[i]);
	if (r == 0)
		answer->warm_ms = suite_spread_of(warm, SUITE_WARM_RUNS).median;
	suite_reader_close(&reader);
	free(result);
	return r;
}

int suite_measure(const struct suite_options *options, int *ret_status, struct err *err)
{
	struct suite_question question;
	struct suite_answer answer = {0};
	struct search_query query = {.limit = SEARCH_LIMIT_MAX};
	struct glob glob;
	int r;

	(void)dl_iterate_phdr(object_populate, NULL);
	r = suite_question_read(stdin, err, &question);
	if (r < 0)
		return r;
	query.from_us = question.from_us;
	query.to_us = question.to_us;
	if (question.pattern[0] != '\0') {
		r = vrm_pattern_key(question.pattern, strlen(question.pattern), err, &glob);
		if (r < 0)
			return r;
		query.key_glob = &glob;
	} else {
		query.cameras = question.cameras;
		query.camera_count = SUITE_SCENE_CAMERAS;
	}
	r = ask_all(&question, &query, options->data, err, &answer);
	if (r == 0)
		r = suite_answer_write(&answer, stdout);
	*ret_status = 0;
	return r;
}
