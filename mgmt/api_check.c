/* A request's parameters against their row in the table: everything outside it is refused before any effect. */
#include "mgmt/api.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "appliance/base/clock.h"
#include "appliance/base/err.h"
#include "appliance/base/read.h"

static int wrong_type(const struct api_param *param, struct err *err)
{
	return err_set(err, -EINVAL, "parameter \"%s\": must be %s", param->name, api_type_name(param->type));
}

static int check_integer(const struct api_param *param, const json_t *value, int64_t min, int64_t max, struct err *err)
{
	int64_t number = json_integer_value(value);

	if (!json_is_integer(value))
		return wrong_type(param, err);
	if (number < min || number > max)
		return err_set(err, -EINVAL, "parameter \"%s\": must be %" PRId64 "..%" PRId64, param->name, min, max);
	return 0;
}

static bool has_control(const char *text, size_t size)
{
	if (strlen(text) != size)
		return true;
	for (; *text != '\0'; text++)
		if ((unsigned char)*text < 0x20 || *text == 0x7f)
			return true;
	return false;
}

static int check_string(const struct api_param *param, const json_t *value, int64_t min, int64_t max, struct err *err)
{
	int64_t size = (int64_t)json_string_length(value);

	if (!json_is_string(value))
		return wrong_type(param, err);
	if (size < min || size > max)
		return err_set(err, -EINVAL, "parameter \"%s\": must have %" PRId64 "..%" PRId64 " bytes", param->name,
			       min, max);
	if (param->type != API_TEXT && has_control(json_string_value(value), json_string_length(value)))
		return err_set(err, -EINVAL, "parameter \"%s\": must not hold control characters", param->name);
	return 0;
}

static int check_array(const struct api_param *param, const json_t *value, struct err *err)
{
	size_t count = json_array_size(value);
	int r = 0;

	if (!json_is_array(value))
		return wrong_type(param, err);
	if ((int64_t)count < param->min || (int64_t)count > param->max)
		return err_set(err, -EINVAL, "parameter \"%s\": must have %" PRId64 "..%" PRId64 " items", param->name,
			       param->min, param->max);
	for (size_t i = 0; i < count && r == 0; i++) {
		const json_t *item = json_array_get(value, i);

		r = param->type == API_INTEGERS ? check_integer(param, item, 0, UINT32_MAX, err)
						: check_string(param, item, 1, 96, err);
	}
	return r;
}

static int check_time(const struct api_param *param, const json_t *value, json_t **ret_value, struct err *err)
{
	const char *text = json_string_value(value);
	int64_t us;

	if (text == NULL)
		return wrong_type(param, err);
	if (clock_parse(text, &us) < 0 || (param->type == API_DATE && strlen(text) != strlen("YYYY-MM-DD")))
		return err_set(err, -EINVAL, "parameter \"%s\": must be %s", param->name,
			       param->type == API_DATE ? "a date: YYYY-MM-DD"
						       : "a time: YYYY-MM-DD[THH:MM[:SS]][Z|+HH:MM]");
	*ret_value = json_integer(param->type == API_DATE ? read_day(us) : us);
	return *ret_value != NULL ? 0 : -ENOMEM;
}

static int check_choice(const struct api_param *param, const json_t *value, struct err *err)
{
	char bounds[256];

	if (!json_is_string(value))
		return wrong_type(param, err);
	for (const char *const *choice = param->choices; *choice != NULL; choice++)
		if (strcmp(*choice, json_string_value(value)) == 0)
			return 0;
	return err_set(err, -EINVAL, "parameter \"%s\": must be one of %s", param->name,
		       api_bounds(param, bounds, sizeof(bounds)));
}

static int check_hex(const struct api_param *param, const json_t *value, struct err *err)
{
	const char *text = json_string_value(value);
	char bounds[256];

	if (text == NULL)
		return wrong_type(param, err);
	if ((int64_t)json_string_length(value) != 2 * param->max ||
	    strspn(text, "0123456789abcdefABCDEF") != json_string_length(value))
		return err_set(err, -EINVAL, "parameter \"%s\": must be %s, each 0..9 or a..f", param->name,
			       api_bounds(param, bounds, sizeof(bounds)));
	return 0;
}

static int check_id(const struct api_param *param, const json_t *value, struct err *err)
{
	return json_is_integer(value) ? 0 : check_string(param, value, 1, 128, err);
}

/* Sets *ret_value only where the handler sees another value than the one sent. */
static int check_value(const struct api_param *param, json_t *value, json_t **ret_value, struct err *err)
{
	switch (param->type) {
	case API_STRING:
	case API_VRM:
	case API_TEXT:
		return check_string(param, value, param->min, param->max, err);
	case API_INTEGER:
	case API_UPLOAD:
		return check_integer(param, value, param->min, param->max, err);
	case API_BOOLEAN:
		return json_is_boolean(value) ? 0 : wrong_type(param, err);
	case API_TIME:
	case API_DATE:
		return check_time(param, value, ret_value, err);
	case API_INTEGERS:
	case API_STRINGS:
		return check_array(param, value, err);
	case API_HEX:
		return check_hex(param, value, err);
	case API_CHOICE:
		return check_choice(param, value, err);
	case API_ID:
		return check_id(param, value, err);
	}
	return -EINVAL;
}

static int check_missing(const struct api_method *method, const json_t *params, struct err *err)
{
	for (const struct api_param *param = method->params; param->name != NULL; param++)
		if (param->required && json_object_get(params, param->name) == NULL)
			return err_set(err, -EINVAL, "parameter \"%s\": is missing", param->name);
	return 0;
}

static int check_one(const struct api_method *method, const char *name, json_t *value, json_t *to, struct err *err)
{
	const struct api_param *param = api_param_find(method, name);
	json_t *seen = NULL;
	int r;

	if (param == NULL)
		return err_set(err, -EINVAL, "parameter \"%.64s\": unknown; rpc.discover lists those of %s",
			       has_control(name, strlen(name)) ? "?" : name, method->name);
	r = check_value(param, value, &seen, err);
	if (r < 0)
		return r;
	if (seen == NULL)
		seen = json_incref(value);
	return json_object_set_new(to, name, seen) < 0 ? -ENOMEM : 0;
}

int api_check(const struct api_method *method, const json_t *params, json_t **ret_params, struct err *err)
{
	json_t *to;
	const char *name;
	json_t *value;
	int r = 0;

	if (params != NULL && !json_is_object(params))
		return err_set(err, -EINVAL, "params: must be an object with named parameters");
	to = json_object();
	if (to == NULL)
		return -ENOMEM;
	json_object_foreach((json_t *)params, name, value)
	{
		r = check_one(method, name, value, to, err);
		if (r < 0)
			break;
	}
	if (r == 0)
		r = check_missing(method, to, err);
	if (r < 0) {
		json_decref(to);
		return r;
	}
	*ret_params = to;
	return 0;
}
