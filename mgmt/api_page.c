/* The table as people and programs read it: names of types, bounds, the OpenRPC document, the page's tables. */
#include "mgmt/api.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *api_type_name(enum api_type type)
{
	static const char *const names[] = {
		[API_STRING] = "string",
		[API_INTEGER] = "integer",
		[API_BOOLEAN] = "boolean",
		[API_TIME] = "time",
		[API_DATE] = "date",
		[API_INTEGERS] = "array of integers",
		[API_STRINGS] = "array of strings",
		[API_VRM] = "VRM pattern",
		[API_HEX] = "hex string",
		[API_CHOICE] = "choice",
		[API_UPLOAD] = "upload",
		[API_ID] = "integer or string",
		[API_TEXT] = "text",
	};

	return names[type];
}

static const char *join_choices(const struct api_param *param, char *buffer, size_t size)
{
	size_t used = 0;

	for (const char *const *choice = param->choices; *choice != NULL && used < size; choice++)
		used += (size_t)snprintf(buffer + used, size - used, "%s%s", used > 0 ? " | " : "", *choice);
	return buffer;
}

const char *api_bounds(const struct api_param *param, char *buffer, size_t size)
{
	const char *unit = "";

	buffer[0] = '\0';
	switch (param->type) {
	case API_CHOICE:
		return join_choices(param, buffer, size);
	case API_INTEGER:
	case API_UPLOAD:
		if (param->max == INT64_MAX) {
			(void)snprintf(buffer, size, "%" PRId64 " or more", param->min);
			return buffer;
		}
		break;
	case API_HEX: /* two for a byte; none is of any size */
		(void)snprintf(buffer, size, "%" PRId64 " digits", 2 * param->max);
		return buffer;
	case API_STRING:
	case API_VRM:
	case API_ID:
		unit = " bytes";
		break;
	case API_INTEGERS:
	case API_STRINGS:
		unit = " items";
		break;
	case API_BOOLEAN:
	case API_TIME:
	case API_DATE:
	case API_TEXT:
		return buffer;
	}
	(void)snprintf(buffer, size, "%" PRId64 "..%" PRId64 "%s", param->min, param->max, unit);
	return buffer;
}

static const char *schema_type(enum api_type type)
{
	switch (type) {
	case API_INTEGER:
	case API_UPLOAD:
		return "integer";
	case API_BOOLEAN:
		return "boolean";
	case API_INTEGERS:
	case API_STRINGS:
		return "array";
	default:
		return "string";
	}
}

static json_t *discover_schema(const struct api_param *param)
{
	json_t *schema =
		json_pack("{s:s, s:s}", "type", schema_type(param->type), "x-gantry-type", api_type_name(param->type));
	char bounds[256];

	if (schema == NULL)
		return NULL;
	if (param->type == API_INTEGER || param->type == API_UPLOAD)
		(void)json_object_update_new(schema, json_pack("{s:I, s:I}", "minimum", (json_int_t)param->min,
							       "maximum", (json_int_t)param->max));
	if (param->type == API_INTEGERS || param->type == API_STRINGS)
		(void)json_object_update_new(schema,
					     json_pack("{s:I, s:I, s:{s:s}}", "minItems", (json_int_t)param->min,
						       "maxItems", (json_int_t)param->max, "items", "type",
						       param->type == API_INTEGERS ? "integer" : "string"));
	if (param->type == API_CHOICE) {
		json_t *choices = json_array();

		for (const char *const *choice = param->choices; *choice != NULL; choice++)
			(void)json_array_append_new(choices, json_string(*choice));
		(void)json_object_set_new(schema, "enum", choices);
	}
	if (api_bounds(param, bounds, sizeof(bounds))[0] != '\0')
		(void)json_object_set_new(schema, "description", json_string(bounds));
	return schema;
}

static void discover_params(const struct api_param *param, bool required, json_t *to)
{
	for (; param->name != NULL; param++)
		(void)json_array_append_new(to, json_pack("{s:s, s:s, s:b, s:o}", "name", param->name, "summary",
							  param->text, "required", (int)(required || param->required),
							  "schema", discover_schema(param)));
}

static json_t *discover_method(const struct api_method *method)
{
	json_t *params = json_array();
	json_t *object;

	discover_params(method->params, false, params);
	if (api_grounds_of(method) != NULL)
		discover_params(api_grounds_of(method), (method->flags & API_GROUNDS) != 0, params);
	object = json_pack("{s:s, s:s, s:s, s:o, s:{s:s, s:{s:s, s:s}}, s:b}", "name", method->name, "summary",
			   method->summary, "paramStructure", "by-name", "params", params, "result", "name", "result",
			   "schema", "type", "object", "description", method->result, "x-audited",
			   (int)((method->flags & API_AUDITED) != 0));
	if (object != NULL && method->stream != NULL)
		(void)json_object_set_new(object, "x-stream", json_string(method->stream));
	return object;
}

json_t *api_discover(const char *version)
{
	json_t *methods = json_array();
	const struct api_method *method;

	for (size_t i = 0; (method = api_at(i)) != NULL; i++)
		(void)json_array_append_new(methods, discover_method(method));
	return json_pack("{s:s, s:{s:s, s:s}, s:i, s:o}", "openrpc", "1.2.6", "info", "title",
			 "Gantry management socket", "version", version, "x-api-revision", API_REVISION, "methods",
			 methods);
}

static void print_flags(FILE *to, unsigned flags)
{
	static const struct {
		unsigned flag;
		const char *text;
	} names[] = {{API_GROUNDS, "needs purpose, case and reason"},
		     {API_RETRO, "with `retro` needs purpose, case and reason"},
		     {API_CHANGES, "changes the appliance"},
		     {API_READS, "shows reads"},
		     {API_AUDITED, "audited"},
		     {API_NOTIFY, "also as a notification"}};
	const char *between = "";

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if ((flags & names[i].flag) != 0) {
			(void)fprintf(to, "%s%s", between, names[i].text);
			between = ", ";
		}
	if (between[0] != '\0')
		(void)fputs(".\n\n", to);
}

/* A bar ends a table's cell. */
static void print_cell(FILE *to, const char *text)
{
	for (; *text != '\0'; text++)
		(void)fprintf(to, *text == '|' ? "\\%c" : "%c", *text);
}

static void print_params(FILE *to, const struct api_param *param)
{
	char bounds[256];

	(void)fputs("| parameter | type | bounds | meaning |\n|---|---|---|---|\n", to);
	for (; param->name != NULL; param++) {
		(void)fprintf(to, "| `%s`%s | %s | ", param->name, param->required ? "" : "?",
			      api_type_name(param->type));
		print_cell(to, api_bounds(param, bounds, sizeof(bounds)));
		(void)fputs(" | ", to);
		print_cell(to, param->text);
		(void)fputs(" |\n", to);
	}
	(void)fputs("\n", to);
}

static void print_method(FILE *to, const struct api_method *method)
{
	(void)fprintf(to, "### `%s`\n%s.\n\n", method->name, method->summary);
	print_flags(to, method->flags);
	if (method->params[0].name != NULL)
		print_params(to, method->params);
	if (method->stream != NULL)
		(void)fprintf(to, "Streams `%s`. ", method->stream);
	(void)fprintf(to, "Result: %s.\n\n", method->result);
}

char *api_markdown(void)
{
	char *text = NULL;
	size_t size = 0;
	FILE *to = open_memstream(&text, &size);
	const struct api_method *method;

	if (to == NULL)
		return NULL;
	for (size_t i = 0; (method = api_at(i)) != NULL; i++)
		print_method(to, method);
	(void)fputs("### Grounds\nPart of every request that needs them.\n\n", to);
	print_params(to, api_grounds);
	if (fclose(to) != 0) {
		free(text);
		return NULL;
	}
	return text;
}
