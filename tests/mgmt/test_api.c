#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "appliance/base/err.h"
#include "mgmt/api.h"
#include "tests/check.h"

/* The table is sound: the server's and the client's loops rely on it. */
static void table_is_sound(void)
{
	const struct api_method *method;
	size_t count = 0;

	for (; (method = api_at(count)) != NULL; count++) {
		CHECK_INT(count, api_index(method));
		CHECK(method->summary != NULL && method->result != NULL);
		CHECK(api_find(method->name) == method);
		CHECK_INT((method->flags & API_STREAM) != 0, method->stream != NULL);
		for (const struct api_param *param = method->params; param->name != NULL; param++) {
			CHECK(param->text != NULL);
			CHECK(param->min <= param->max);
			CHECK_INT(param->type == API_CHOICE, param->choices != NULL);
			CHECK(api_param_find(method, param->name) == param); /* no grounds hidden by a parameter */
			CHECK(param < method->params + API_PARAM_MAX);
		}
		CHECK(method->params[API_PARAM_MAX - 1].name == NULL);
	}
	CHECK(count <= 128);
	CHECK(api_find("no.such") == NULL);
	CHECK(api_find("") == NULL);
}

static int check(const char *method, const char *text, json_t **ret_params)
{
	json_t *params = json_loads(text, 0, NULL);
	struct err err = {""};
	int r;

	CHECK(params != NULL);
	r = api_check(api_find(method), params, ret_params, &err);
	if (r < 0 && err.text[0] == '\0')
		check_note("%s: refused without a text", text);
	CHECK(r == 0 || err.text[0] != '\0');
	json_decref(params);
	return r;
}

static void values_become_what_handlers_see(void)
{
	json_t *params = NULL;

	CHECK_INT(0, check("reads.search",
			   "{\"from\":\"2026-11-22T05:43:00.5Z\",\"to\":\"2026-11-22\",\"cameras\":[1,4294967295],"
			   "\"vrm\":\"AB1?CDE\",\"purpose\":\"audit\",\"not_read\":false}",
			   &params));
	CHECK_INT(1795326180500000, json_integer_value(json_object_get(params, "from")));
	CHECK_INT(1795305600000000, json_integer_value(json_object_get(params, "to")));
	CHECK_STR("AB1?CDE", json_string_value(json_object_get(params, "vrm")));
	CHECK_INT(2, json_array_size(json_object_get(params, "cameras")));
	json_decref(params);
	CHECK_INT(0, check("purge.propose", "{\"day\":\"1970-01-02\",\"authority\":\"the rule\"}", &params));
	CHECK_INT(1, json_integer_value(json_object_get(params, "day")));
	json_decref(params);
	CHECK_INT(0, api_check(api_find("status"), NULL, &params, NULL));
	CHECK_INT(0, json_object_size(params));
	json_decref(params);
}

static void bounds_hold_at_their_edges(void)
{
	static const struct {
		const char *method;
		const char *params;
		bool good;
	} cases[] = {
		{"reads.search", "{\"limit\":1}", true},
		{"reads.search", "{\"limit\":10000}", true},
		{"reads.search", "{\"limit\":0}", false},
		{"reads.search", "{\"limit\":10001}", false},
		{"reads.search", "{\"limit\":true}", false},
		{"feeds.show", "{\"feed\":0}", true},
		{"feeds.show", "{\"feed\":4294967295}", true},
		{"feeds.show", "{\"feed\":4294967296}", false},
		{"feeds.show", "{\"feed\":-1}", false},
		{"feeds.show", "{\"feed\":9223372036854775807}", false},
		{"purge.plan", "{\"before\":\"2026-11-22\"}", true},
		{"purge.plan", "{\"before\":\"2026-11-22T00:00\"}", false},
		{"purge.plan", "{\"before\":\"2026-13-22\"}", false},
		{"purge.plan", "{\"before\":20261122}", false},
		{"reads.search", "{\"from\":\"2026-11-22T05:43:00+01:00\"}", true},
		{"reads.search", "{\"from\":\"\"}", false},
		{"reads.search", "{\"purpose\":\"Audit\"}", false},
		{"reads.search", "{\"cameras\":[[1]]}", false},
		{"reads.search", "{\"vrm\":\"AB\\u0000\"}", false},
		{"reads.search", "{\"vrm\":\"\\u00c4B1\"}", true},
		{"reads.search", "{\"vrm\":\"AB\\u001b[2J\"}", false},
		{"reads.count", "{\"limit\":5}", false},
		{"appliance.stop", "{\"reason\":\"ab\"}", false},
		{"appliance.stop", "{\"reason\":\"abc\"}", true},
		{"cancel", "{\"id\":1}", true},
		{"cancel", "{\"id\":\"x\"}", true},
		{"cancel", "{\"id\":null}", false},
		{"cancel", "{\"id\":\"\"}", false},
		{"status", "{\"purpose\":\"audit\"}", false},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		json_t *params = json_loads(cases[i].params, JSON_ALLOW_NUL, NULL);
		json_t *checked = NULL;
		int r = api_check(api_find(cases[i].method), params, &checked, NULL);

		if (r != (cases[i].good ? 0 : -EINVAL))
			check_note("%s %s", cases[i].method, cases[i].params);
		CHECK_INT(cases[i].good ? 0 : -EINVAL, r);
		json_decref(params);
		json_decref(checked);
	}
}

static void discover_names_everything(void)
{
	json_t *document = api_discover("1.2.3");
	size_t count = 0;

	CHECK(document != NULL);
	CHECK_STR("1.2.3", json_string_value(json_object_get(json_object_get(document, "info"), "version")));
	while (api_at(count) != NULL)
		count++;
	CHECK_INT(count, json_array_size(json_object_get(document, "methods")));
	for (size_t i = 0; i < count; i++) {
		const json_t *method = json_array_get(json_object_get(document, "methods"), i);
		const struct api_method *row = api_at(i);
		size_t params = (row->flags & (API_GROUNDS | API_RETRO)) != 0 ? 3 : 0;

		for (const struct api_param *param = row->params; param->name != NULL; param++)
			params++;
		CHECK_STR(row->name, json_string_value(json_object_get(method, "name")));
		CHECK_INT(params, json_array_size(json_object_get(method, "params")));
	}
	json_decref(document);
}

/* docs/management-socket.md holds the table as gantryctl api --markdown prints it. */
static void page_is_current(void)
{
	char *table = api_markdown();
	FILE *file = fopen(PAGE, "r");
	char *page = calloc(1, 1 << 20);

	CHECK(table != NULL && page != NULL);
	CHECK(file != NULL);
	CHECK(fread(page, 1, (1 << 20) - 1, file) > 0);
	(void)fclose(file);
	if (strstr(page, table) == NULL)
		check_note("the page is old: put the output of gantryctl api --markdown into " PAGE);
	CHECK(strstr(page, table) != NULL);
	free(page);
	free(table);
}

int main(int argc, char **argv)
{
	static const struct check_test tests[] = {
		{"the table is sound", table_is_sound},
		{"values become what handlers see", values_become_what_handlers_see},
		{"bounds hold at their edges", bounds_hold_at_their_edges},
		{"rpc.discover names everything", discover_names_everything},
		{"the page is current", page_is_current},
		{NULL, NULL},
	};

	return check_main(argc, argv, "table of methods", tests);
}
