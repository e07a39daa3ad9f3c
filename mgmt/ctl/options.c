/* The command line, taken apart by the method's row in the API table. */
#include "mgmt/ctl/ctl.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "appliance/base/clock.h"
#include "appliance/base/err.h"
#include "mgmt/api.h"

#define TWICE "%.*s is given twice"

/* Arrays are given item by item. */
static const char *const singular[][2] = {
	{"cameras", "camera"},         {"lists", "list"}, {"reads", "read"},           {"hits", "hit"},

	{"subscribers", "subscriber"}, {"hours", "hour"}, {"directions", "direction"}, {"camera_types", "camera_type"},
	{"circles", "circle"}};

const char *option_name(const char *param, char *buffer, size_t size)
{
	for (size_t i = 0; i < sizeof(singular) / sizeof(singular[0]); i++)
		if (strcmp(param, singular[i][0]) == 0)
			param = singular[i][1];
	(void)snprintf(buffer, size, "%s", param);
	for (char *at = buffer; *at != '\0'; at++)
		if (*at == '_')
			*at = '-';
	return buffer;
}

bool option_hidden(const struct api_param *param)
{
	return param->type == API_UPLOAD || param->type == API_TEXT || strcmp(param->name, "window") == 0 ||
	       strcmp(param->name, "report") == 0;
}

static const struct api_param *find_param(const struct api_method *method, const char *option, size_t size)
{
	const struct api_param *tables[] = {method->params,
					    (method->flags & (API_GROUNDS | API_RETRO)) != 0 ? api_grounds : NULL};
	char name[64];

	for (size_t i = 0; i < 2; i++)
		for (const struct api_param *param = tables[i]; param != NULL && param->name != NULL; param++)
			if (!option_hidden(param) && strlen(option_name(param->name, name, sizeof(name))) == size &&
			    memcmp(name, option, size) == 0)
				return param;
	return NULL;
}

static int parse_integer(const char *text, int64_t *ret_value)
{
	char *end;
	long long value;

	errno = 0;
	value = strtoll(text, &end, 10);
	if (errno != 0 || end == text || *end != '\0')
		return -EINVAL;
	*ret_value = value;
	return 0;
}

/* People mean their own clock when they name no zone; the socket would take it for UTC. */
static json_t *encode_time(const char *text)
{
	const char *clock = strpbrk(text, "T ");
	char utc[CLOCK_TEXT_SIZE];
	int64_t us;
	time_t seconds;
	struct tm tm;

	if (clock_parse(text, &us) < 0 || (clock != NULL && strpbrk(clock, "Z+-") != NULL))
		return json_string(text);
	seconds = (time_t)(us / 1000000);
	(void)gmtime_r(&seconds, &tm);
	tm.tm_isdst = -1;
	return json_string(clock_text_utc((int64_t)mktime(&tm) * 1000000 + us % 1000000, utc));
}

static int append_item(json_t *params, const char *name, json_t *item)
{
	json_t *array = json_object_get(params, name);

	if (item == NULL)
		return -EINVAL;
	if (array == NULL) {
		array = json_array();
		(void)json_object_set_new(params, name, array);
	}
	return json_array_append_new(array, item) < 0 ? -ENOMEM : 0;
}

static int set_param(json_t *params, const struct api_param *param, const char *text)
{
	int64_t number;

	switch (param->type) {
	case API_INTEGER:
		if (parse_integer(text, &number) < 0)
			return -EINVAL;
		return json_object_set_new(params, param->name, json_integer(number));
	case API_INTEGERS:
		if (parse_integer(text, &number) < 0)
			return -EINVAL;
		return append_item(params, param->name, json_integer(number));
	case API_STRINGS:
		return append_item(params, param->name, json_string(text));
	case API_TIME:
		return json_object_set_new(params, param->name, encode_time(text));
	default:
		return json_object_set_new(params, param->name, json_string(text)) < 0 ? -EINVAL : 0;
	}
}

struct parser {
	const struct command *command;
	const struct api_method *method;
	char **args;
	int count;
	int at;
	bool placed; /* the positional one is taken */
	struct options *options;
	struct err *err;
};

static int take_number(const char *text, int64_t *ret_value)
{
	return parse_integer(text, ret_value) < 0 || *ret_value < 1 ? -EINVAL : 0;
}

/* Options that are no parameters: those of every command, then those that the command takes. 1: not one of them. */
static int take_flag(struct parser *parser, const char *name)
{
	struct options *options = parser->options;
	unsigned takes = parser->command->takes;
	bool *flag = NULL;

	if (strcmp(name, "--json") == 0)
		flag = &options->json;
	else if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0)
		flag = &options->help;
	else if ((takes & TAKES_COUNT) != 0 && strcmp(name, "--count") == 0)
		flag = &options->count_only;
	else if ((takes & TAKES_CSV) != 0 && strcmp(name, "--csv") == 0)
		flag = &options->csv;
	else if ((takes & TAKES_FOLLOW) != 0 && strcmp(name, "--no-ack") == 0)
		flag = &options->no_ack;
	else if ((takes & TAKES_MARKDOWN) != 0 && strcmp(name, "--markdown") == 0)
		flag = &options->markdown;
	if (flag == NULL)
		return 1;
	if (*flag)
		return err_set(parser->err, -EINVAL, TWICE, (int)strlen(name), name);
	*flag = true;
	return 0;
}

/* 1: it is not an officer. */
static int take_officer(struct parser *parser, const char *name, size_t size, const char *value)
{
	struct options *options = parser->options;

	if ((parser->command->takes & TAKES_OFFICERS) == 0 || size != strlen("--officer") ||
	    memcmp(name, "--officer", size) != 0)
		return 1;
	if (value == NULL)
		return err_set(parser->err, -EINVAL, "--officer needs a value");
	if (options->officer_count == 2)
		return err_set(parser->err, -EINVAL, "two officers, no more");
	options->officers[options->officer_count++] = value;
	return 0;
}

static int take_extra(struct parser *parser, const char *name, size_t size, const char *value)
{
	struct options *options = parser->options;
	unsigned takes = parser->command->takes;
	const struct {
		const char *name;
		bool taken;
		const char **text;
		int64_t *number;
	} extras[] = {
		{"--socket", true, &options->socket, NULL},
		{"--file", (takes & (TAKES_VERIFY | TAKES_FILE)) != 0, &options->file, NULL},
		{"--key", (takes & TAKES_VERIFY) != 0, &options->key, NULL},
		{"--out", (takes & TAKES_OUT) != 0, &options->out, NULL},
		{"--report", (takes & TAKES_REPORT) != 0, &options->report, NULL},
		{"--count", (takes & TAKES_FOLLOW) != 0, NULL, &options->row_max},
		{"--for", (takes & TAKES_FOLLOW) != 0, NULL, &options->for_s},
	};

	for (size_t i = 0; i < sizeof(extras) / sizeof(extras[0]); i++) {
		if (!extras[i].taken || strlen(extras[i].name) != size || memcmp(extras[i].name, name, size) != 0)
			continue;
		if (value == NULL)
			return err_set(parser->err, -EINVAL, "%s needs a value", extras[i].name);
		if (extras[i].text != NULL ? *extras[i].text != NULL : *extras[i].number != 0)
			return err_set(parser->err, -EINVAL, TWICE, (int)size, name);
		if (extras[i].text != NULL)
			*extras[i].text = value;
		else if (take_number(value, extras[i].number) < 0)
			return err_set(parser->err, -EINVAL, "%s must be a number of 1 or more", extras[i].name);
		return 0;
	}
	return 1;
}

/* Of two values one would be dropped without a word, and the answer be to another question than the one asked. */
static bool is_given(const struct parser *parser, const struct api_param *param)
{
	return param->type != API_INTEGERS && param->type != API_STRINGS &&
	       json_object_get(parser->options->params, param->name) != NULL;
}

static int take_param(struct parser *parser, const char *arg, size_t size, const char *value, bool *ret_used)
{
	const struct api_param *param =
		parser->method != NULL && size > 2 ? find_param(parser->method, arg + 2, size - 2) : NULL;

	if (param == NULL)
		return err_set(parser->err, -EINVAL, "%.*s: no such option", (int)size, arg);
	if (is_given(parser, param))
		return err_set(parser->err, -EINVAL, TWICE, (int)size, arg);
	if (param->type == API_BOOLEAN) {
		*ret_used = false;
		return json_object_set_new(parser->options->params, param->name, json_true());
	}
	*ret_used = true;
	if (value == NULL)
		return err_set(parser->err, -EINVAL, "%.*s needs a value", (int)size, arg);
	if (set_param(parser->options->params, param, value) < 0)
		return err_set(parser->err, -EINVAL, "%.*s: must be %s", (int)size, arg,
			       param->type == API_INTEGERS ? "an integer" : api_type_name(param->type));
	return 0;
}

/* "--name value", "--name=value" or "--flag". */
static int take_option(struct parser *parser)
{
	const char *arg = parser->args[parser->at++];
	const char *equals = strchr(arg, '=');
	size_t size = equals != NULL ? (size_t)(equals - arg) : strlen(arg);
	const char *value = equals != NULL ? equals + 1 : parser->at < parser->count ? parser->args[parser->at] : NULL;
	bool used = true;
	int r = equals == NULL ? take_flag(parser, arg) : 1;

	if (r <= 0)
		return r;
	r = take_extra(parser, arg, size, value);
	if (r > 0)
		r = take_officer(parser, arg, size, value);
	if (r > 0)
		r = take_param(parser, arg, size, value, &used);
	if (r == 0 && equals != NULL && !used)
		return err_set(parser->err, -EINVAL, "%.*s takes no value", (int)size, arg);
	if (r == 0 && equals == NULL && used)
		parser->at++;
	return r;
}

static int take_positional(struct parser *parser)
{
	const char *arg = parser->args[parser->at++];
	const struct command *command = parser->command;
	const struct api_param *param;

	param = parser->method != NULL && command->positional != NULL
			? api_param_find(parser->method, command->positional)
			: NULL;
	/* Of a parameter that takes several there may be several words. */
	if (parser->placed && param != NULL && param->type == API_STRINGS)
		return set_param(parser->options->params, param, arg);
	if (parser->placed || (command->positional == NULL && (command->takes & TAKES_FILE) == 0))
		return err_set(parser->err, -EINVAL, "\"%.64s\": one word too many", arg);
	parser->placed = true;
	if (command->positional == NULL) {
		if (parser->options->file != NULL)
			return err_set(parser->err, -EINVAL, "FILE is given twice");
		parser->options->file = arg;
		return 0;
	}
	if (is_given(parser, param))
		return err_set(parser->err, -EINVAL, "%s is given twice", param->name);
	if (set_param(parser->options->params, param, arg) < 0)
		return err_set(parser->err, -EINVAL, "%s: must be %s", param->name, api_type_name(param->type));
	return 0;
}

/* The table speaks of parameters ("parameter "hits": is missing"), people of options: "--hit is missing". */
static void name_option(struct err *err)
{
	static const char head[] = "parameter \"";
	const char *param = err->text + sizeof(head) - 1;
	const char *end = strncmp(err->text, head, sizeof(head) - 1) == 0 ? strstr(param, "\": ") : NULL;
	struct err told;
	char name[64];
	char option[64];

	if (end == NULL || (size_t)(end - param) >= sizeof(name))
		return;
	(void)snprintf(name, sizeof(name), "%.*s", (int)(end - param), param);
	told = *err;
	(void)err_set(err, 0, "--%s %s", option_name(name, option, sizeof(option)),
		      told.text + (end - err->text) + strlen("\": "));
}

/* Grounds are left for the appliance to judge, so that a request without them leaves its trace there. */
static int check_params(const struct parser *parser)
{
	json_t *params = json_copy(parser->options->params);
	json_t *checked = NULL;
	int r;

	if ((parser->command->takes & TAKES_FILE) != 0)
		(void)json_object_set_new(params, "upload", json_integer(0));
	if ((parser->command->takes & TAKES_OFFICERS) != 0)
		(void)json_object_update_new(params, json_pack("{s:s, s:s}", "officer_1", "-", "officer_2", "-"));
	r = api_check(parser->method, params, &checked, parser->err);
	if (r < 0)
		name_option(parser->err);
	json_decref(params);
	json_decref(checked);
	return r;
}

int options_parse(const struct command *command, char **args, int count, struct options *ret_options, struct err *err)
{
	struct parser parser = {.command = command, .args = args, .count = count, .options = ret_options, .err = err};
	int r = 0;

	memset(ret_options, 0, sizeof(*ret_options));
	ret_options->params = json_object();
	parser.method = command->method != NULL ? api_find(command->method) : NULL;
	while (r == 0 && parser.at < count) {
		const char *arg = args[parser.at];

		/* A lone word beginning with a dash is an option; "-" and a pattern are not. */
		r = arg[0] == '-' && arg[1] != '\0' ? take_option(&parser) : take_positional(&parser);
	}
	if (r < 0 || ret_options->help)
		return r;
	if (ret_options->csv && (ret_options->json || ret_options->count_only))
		return err_set(err, -EINVAL, "--csv goes neither with --json nor with --count");
	if ((command->takes & TAKES_FOLLOW) != 0 && json_object_get(ret_options->params, "subscription") == NULL)
		return err_set(err, -EINVAL,
			       "the subscription's name is missing; see subscriptions show, make one with"
			       " subscriptions add");
	if ((command->takes & TAKES_FILE) != 0 && ret_options->file == NULL)
		return err_set(err, -EINVAL, "FILE is missing");
	return parser.method != NULL ? check_params(&parser) : 0;
}

void options_fini(struct options *options)
{
	json_decref(options->params);
	memset(options, 0, sizeof(*options));
}
