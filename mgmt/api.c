#include "mgmt/api.h"

#include <string.h>

#include "mgmt/api_tables.h"

static const struct api_method *const areas[] = {api_intake, api_lists, api_hits, api_reads, api_purge, api_system};
#define AREA_COUNT (sizeof(areas) / sizeof(areas[0]))

const char *const api_orders[] = {"newest", "oldest", NULL};

const char *const api_purposes[] = {"national-security",
				    "counter-terrorism",
				    "major",
				    "serious",
				    "priority-volume",
				    "evidence",
				    "court",
				    "code-of-ethics",
				    "audit",
				    "subject-access",
				    NULL};

const struct api_param api_grounds[] = {
	{"purpose", API_CHOICE, false, 0, 0, api_purposes, "why the law allows it (R31); needed"},
	{"case", API_STRING, false, 0, 64, NULL, "reference of the case it is for; needed"},
	{"reason", API_STRING, false, 0, 500, NULL, "the justification, in words; needed"},
	{0},
};

static const struct api_param retro_grounds[] = {
	{"purpose", API_CHOICE, false, 0, 0, api_purposes, "why the law allows it (R31); needed with --retro"},
	{"case", API_STRING, false, 0, 64, NULL, "reference of the case it is for; needed with --retro"},
	{"reason", API_STRING, false, 0, 500, NULL, "the justification, in words; needed with --retro"},
	{0},
};

const struct api_param *api_grounds_of(const struct api_method *method)
{
	if ((method->flags & API_GROUNDS) != 0)
		return api_grounds;
	return (method->flags & API_RETRO) != 0 ? retro_grounds : NULL;
}

const struct api_method *api_at(size_t index)
{
	for (size_t i = 0; i < AREA_COUNT; i++)
		for (const struct api_method *method = areas[i]; method->name != NULL; method++)
			if (index-- == 0)
				return method;
	return NULL;
}

size_t api_index(const struct api_method *method)
{
	size_t index = 0;

	for (size_t i = 0; i < AREA_COUNT; i++)
		for (const struct api_method *row = areas[i]; row->name != NULL; row++, index++)
			if (row == method)
				return index;
	return index;
}

const struct api_method *api_find(const char *name)
{
	for (size_t i = 0; i < AREA_COUNT; i++)
		for (const struct api_method *method = areas[i]; method->name != NULL; method++)
			if (strcmp(method->name, name) == 0)
				return method;
	return NULL;
}

static const struct api_param *find_in(const struct api_param *params, const char *name)
{
	for (; params->name != NULL; params++)
		if (strcmp(params->name, name) == 0)
			return params;
	return NULL;
}

const struct api_param *api_param_find(const struct api_method *method, const char *name)
{
	const struct api_param *param = find_in(method->params, name);
	const struct api_param *grounds = api_grounds_of(method);

	return param == NULL && grounds != NULL ? find_in(grounds, name) : param;
}
