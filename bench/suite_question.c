#include "bench/suite_question.h"

#include <errno.h>
#include <string.h>

#include <jansson.h>

#include "bench/suite_report.h"

static int line_write(json_t *object, FILE *out)
{
	int r = json_dumpf(object, out, JSON_COMPACT);

	json_decref(object);
	fputc('\n', out);
	return r != 0 || fflush(out) != 0 ? -EIO : 0;
}

static json_t *line_read(FILE *in, struct err *err)
{
	json_t *object = json_loadf(in, JSON_DISABLE_EOF_CHECK, NULL);

	if (object == NULL)
		(void)err_set(err, -EBADMSG, "no JSON came from the other process");
	return object;
}

int suite_question_write(const struct suite_question *question, FILE *out)
{
	json_t *object = json_object();
	json_t *cameras = json_array();

	for (unsigned i = 0; i < SUITE_SCENE_CAMERAS; i++)
		(void)json_array_append_new(cameras, json_integer(question->cameras[i]));
	suite_report_text(object, "pattern", question->pattern);
	(void)json_object_set_new(object, "cameras", cameras);
	suite_report_integer(object, "from_us", question->from_us);
	suite_report_integer(object, "to_us", question->to_us);
	suite_report_integer(object, "started_ns", question->started_ns);
	return line_write(object, out);
}

int suite_question_read(FILE *in, struct err *err, struct suite_question *ret_question)
{
	struct suite_question question = {{0}};
	json_t *object = line_read(in, err);
	const char *pattern = json_string_value(json_object_get(object, "pattern"));

	if (object == NULL)
		return -EBADMSG;
	snprintf(question.pattern, sizeof(question.pattern), "%s", pattern == NULL ? "" : pattern);
	for (unsigned i = 0; i < SUITE_SCENE_CAMERAS; i++)
		question.cameras[i] =
			(uint32_t)json_integer_value(json_array_get(json_object_get(object, "cameras"), i));
	question.from_us = json_integer_value(json_object_get(object, "from_us"));
	question.to_us = json_integer_value(json_object_get(object, "to_us"));
	question.started_ns = json_integer_value(json_object_get(object, "started_ns"));
	json_decref(object);
	*ret_question = question;
	return 0;
}

int suite_answer_write(const struct suite_answer *answer, FILE *out)
{
	json_t *object = json_object();

	suite_report_real(object, "cold_ms", answer->cold_ms);
	suite_report_real(object, "warm_ms", answer->warm_ms);
	suite_report_real(object, "start_ms", answer->start_ms);
	suite_report_integer(object, "rows", (long long)answer->rows);
	suite_report_integer(object, "wrong", (long long)answer->wrong);
	suite_report_integer(object, "pages_read", (long long)answer->pages_read);
	suite_report_integer(object, "bytes_read", (long long)answer->bytes_read);
	suite_report_integer(object, "segments", (long long)answer->segments);
	(void)json_object_set_new(object, "incomplete", json_boolean(answer->incomplete));
	return line_write(object, out);
}

int suite_answer_read(FILE *in, struct err *err, struct suite_answer *ret_answer)
{
	json_t *object = line_read(in, err);

	if (object == NULL)
		return -EBADMSG;
	*ret_answer =
		(struct suite_answer){.cold_ms = json_number_value(json_object_get(object, "cold_ms")),
				      .warm_ms = json_number_value(json_object_get(object, "warm_ms")),
				      .start_ms = json_number_value(json_object_get(object, "start_ms")),
				      .rows = (uint64_t)json_integer_value(json_object_get(object, "rows")),
				      .wrong = (uint64_t)json_integer_value(json_object_get(object, "wrong")),
				      .pages_read = (uint64_t)json_integer_value(json_object_get(object, "pages_read")),
				      .bytes_read = (uint64_t)json_integer_value(json_object_get(object, "bytes_read")),
				      .segments = (uint64_t)json_integer_value(json_object_get(object, "segments")),
				      .incomplete = json_is_true(json_object_get(object, "incomplete"))};
	json_decref(object);
	return 0;
}
