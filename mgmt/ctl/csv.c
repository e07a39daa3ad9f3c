/* Rows as CSV (RFC 4180) for spreadsheets and evaluators: every field as the socket has it, times in UTC. */
#include "mgmt/ctl/ctl.h"

#include <stdlib.h>
#include <string.h>

static void put_text(FILE *to, const char *text)
{
	bool quoted = strpbrk(text, ",\"\r\n") != NULL || text[0] == ' ';

	if (!quoted) {
		(void)fputs(text, to);
		return;
	}
	(void)fputc('"', to);
	for (; *text != '\0'; text++) {
		if (*text == '"')
			(void)fputc('"', to);
		(void)fputc(*text, to);
	}
	(void)fputc('"', to);
}

/* Several texts in one field: separated by blanks, as none of them holds one. */
static void put_array(FILE *to, const json_t *array)
{
	char text[256];
	size_t used = 0;
	size_t index;
	json_t *item;

	text[0] = '\0';
	json_array_foreach(array, index, item)
	{
		const char *name = json_string_value(item);

		if (name != NULL && used + strlen(name) + 2 < sizeof(text))
			used += (size_t)snprintf(text + used, sizeof(text) - used, "%s%s", index > 0 ? " " : "", name);
	}
	put_text(to, text);
}

static void put_value(FILE *to, const json_t *value)
{
	char number[64];

	switch (value != NULL ? json_typeof(value) : JSON_NULL) {
	case JSON_STRING:
		put_text(to, json_string_value(value));
		break;
	case JSON_INTEGER:
		(void)fprintf(to, "%" JSON_INTEGER_FORMAT, json_integer_value(value));
		break;
	case JSON_REAL: /* seven decimals of a degree are a centimetre */
		(void)snprintf(number, sizeof(number), "%.7f", json_real_value(value));
		put_text(to, number);
		break;
	case JSON_ARRAY:
		put_array(to, value);
		break;
	case JSON_TRUE:
	case JSON_FALSE:
		(void)fputs(json_is_true(value) ? "yes" : "no", to);
		break;
	default:
		break;
	}
}

void csv_head(FILE *to, const char *const *fields)
{
	for (size_t i = 0; fields[i] != NULL; i++)
		(void)fprintf(to, "%s%s", i > 0 ? "," : "", fields[i]);
	(void)fputs("\r\n", to);
}

void csv_row(FILE *to, const char *const *fields, const json_t *row)
{
	for (size_t i = 0; fields[i] != NULL; i++) {
		if (i > 0)
			(void)fputc(',', to);
		put_value(to, json_object_get(row, fields[i]));
	}
	(void)fputs("\r\n", to);
}
