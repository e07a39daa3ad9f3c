/* Help at every level, from the same tables that parse the command line. */
#include "mgmt/ctl/ctl.h"

#include <string.h>

#include "mgmt/api.h"

static const char *summary(const struct command *command)
{
	if (strcmp(command->words, "audit key") == 0)
		return "The key that an auditor checks exports with";
	return command->method != NULL ? api_find(command->method)->summary : "Methods and parameters of the socket";
}

/* An empty group has all. */
static bool in_group(const struct command *command, const char *group)
{
	size_t size = strlen(group);

	return strncmp(command->words, group, size) == 0 && (size == 0 || command->words[size] == ' ');
}

static void print_commands(FILE *to, const char *group)
{
	int width = 0;

	for (const struct command *command = commands; command->words != NULL; command++)
		if (in_group(command, group) && text_width(command->words) > width)
			width = text_width(command->words);
	for (const struct command *command = commands; command->words != NULL; command++)
		if (in_group(command, group))
			(void)fprintf(to, "  %-*s  %s\n", width, command->words, summary(command));
}

void help_all(FILE *to)
{
	(void)fputs("Usage: gantryctl [--socket PATH] COMMAND [OPTION]…\n\n", to);
	print_commands(to, "");
	(void)fputs("\n"
		    "gantryctl COMMAND --help shows its options and examples.\n"
		    "  --socket PATH    default: $GANTRY_SOCKET, gantry/run/gantry.sock, /run/gantry/gantry.sock\n"
		    "  --json           for scripts: rows one a line as they come, the result last\n"
		    "Exit status: 0 done, 1 refused or failed, 2 wrong command line, 3 appliance not reached or\n"
		    "stopping, 4 answered, but incomplete, or some rows or hits were refused and the others taken.\n",
		    to);
}

bool help_group(FILE *to, const char *group)
{
	for (const struct command *command = commands; command->words != NULL; command++)
		if (in_group(command, group)) {
			(void)fprintf(to, "Usage: gantryctl %s COMMAND [OPTION]…\n\n", group);
			print_commands(to, group);
			return true;
		}
	return false;
}

static void print_param(FILE *to, const struct api_param *param)
{
	char name[64];
	char option[96];
	char bounds[256];

	if (option_hidden(param))
		return;
	(void)snprintf(option, sizeof(option), "--%s%s%s", option_name(param->name, name, sizeof(name)),
		       param->type == API_BOOLEAN ? "" : " ",
		       param->type == API_BOOLEAN    ? ""
		       : param->type == API_INTEGERS ? "integer"
		       : param->type == API_STRINGS  ? "string"
						     : api_type_name(param->type));
	(void)fprintf(to, "  %-24s %s%s", option, param->text, param->required ? " (needed)" : "");
	if (param->type == API_INTEGERS || param->type == API_STRINGS)
		(void)fputs("; may be given more than once", to);
	else if (api_bounds(param, bounds, sizeof(bounds))[0] != '\0')
		(void)fprintf(to, " [%s]", bounds);
	(void)fputc('\n', to);
}

static void print_extras(FILE *to, unsigned takes)
{
	static const struct {
		unsigned takes;
		const char *text;
	} extras[] = {
		{TAKES_FILE, "  FILE                     the text to load, - for standard input"},
		{TAKES_FOLLOW,
		 "A message of which all hits are printed is acknowledged: they do not come again.\n\n"
		 "  --count N                end after so many\n  --for SECONDS            end after so long\n"
		 "  --no-ack                 acknowledge nothing; with --json each hit tells its lane, and the last of "
		 "a\n"
		 "                           message the cursor that hits ack acknowledges all of them with"},
		{TAKES_COUNT, "  --count                  only say how many"},
		{TAKES_VERIFY,
		 "  --file FILE --key KEY    check an export with this key (or file), without an appliance"},
		{TAKES_REPORT, "  --report FILE            file to write every rejected line to, as CSV"},
		{TAKES_OUT, "  --out FILE               new file to write (needed)"},
		{TAKES_CSV, "  --csv                    rows as CSV, every field, times in UTC"},
		{TAKES_OFFICERS, "  --officer FILE           an officer's certificate, PEM; given twice (needed)"},
		{TAKES_MARKDOWN, "  --markdown               the tables of docs/management-socket.md"},
	};

	for (size_t i = 0; i < sizeof(extras) / sizeof(extras[0]); i++)
		if ((takes & extras[i].takes) != 0)
			(void)fprintf(to, "%s\n", extras[i].text);
}

static void print_positional(FILE *to, const struct command *command)
{
	if ((command->takes & TAKES_FILE) != 0)
		(void)fputs(" FILE", to);
	for (const char *at = command->positional; at != NULL && *at != '\0'; at++)
		(void)fprintf(to, "%s%c", at == command->positional ? " [" : "", *at - 32);
	if (command->positional != NULL)
		(void)fputc(']', to);
}

static void print_examples(FILE *to, const char *text)
{
	(void)fputs("\nExamples:\n", to);
	while (*text != '\0') {
		size_t size = strcspn(text, "\n");

		(void)fprintf(to, "  %.*s\n", (int)size, text);
		text += size + (text[size] == '\n');
	}
}

void help_command(FILE *to, const struct command *command)
{
	const struct api_method *method = command->method != NULL ? api_find(command->method) : NULL;

	(void)fprintf(to, "Usage: gantryctl %s", command->words);
	print_positional(to, command);
	(void)fprintf(to, " [OPTION]…\n%s.\n\n", summary(command));
	print_extras(to, command->takes);
	for (const struct api_param *param = method != NULL ? method->params : NULL;
	     param != NULL && param->name != NULL; param++)
		print_param(to, param);
	if (method != NULL && api_grounds_of(method) != NULL)
		for (const struct api_param *param = api_grounds_of(method); param->name != NULL; param++)
			print_param(to, param);
	(void)fputs("  --json                   for scripts\n", to);
	if (command->examples != NULL)
		print_examples(to, command->examples);
}
