/* gantryctl: the operator's client. Knows nothing but the management socket and the table of its methods. */
#include <locale.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "appliance/base/err.h"
#include "gantry-config.h"
#include "mgmt/ctl/ctl.h"

/* "hits.open" is "hits open", and "reads.search" is "search": messages speak of methods. */
static bool match_dotted(const struct command *command, const char *word)
{
	size_t size = strcspn(command->words, " ");

	if (strchr(word, '.') == NULL)
		return false;
	if (command->method != NULL && strcmp(word, command->method) == 0)
		return true;
	return command->words[size] == ' ' && strncmp(word, command->words, size) == 0 && word[size] == '.' &&
	       strcmp(word + size + 1, command->words + size + 1) == 0;
}

/* How many words of the command line name this command; 0 when they do not. */
static int match(const struct command *command, char **args, int count)
{
	const char *second = strchr(command->words, ' ');
	size_t size = second != NULL ? (size_t)(second - command->words) : strlen(command->words);

	if (count < 1)
		return 0;
	if (match_dotted(command, args[0]))
		return 1;
	if (strlen(args[0]) != size || memcmp(args[0], command->words, size) != 0)
		return 0;
	if (second == NULL)
		return 1;
	return count >= 2 && strcmp(args[1], second + 1) == 0 ? 2 : 0;
}

static int run_command(const struct command *command, char **args, int count, const char *socket)
{
	struct options options;
	struct err err = {""};
	int code;

	if (options_parse(command, args, count, &options, &err) < 0) {
		code = say(CTL_USAGE, "%s: %s; see gantryctl %s --help", command->words, err.text, command->words);
	} else if (options.help) {
		help_command(stdout, command);
		code = CTL_OK;
	} else {
		if (options.socket == NULL)
			options.socket = socket;
		code = command->run != NULL ? command->run(command, &options) : run_method(command, &options);
	}
	options_fini(&options);
	return code;
}

static bool wants_help(const char *arg)
{
	return strcmp(arg, "--help") == 0 || strcmp(arg, "-h") == 0 || strcmp(arg, "help") == 0;
}

static int run_words(char **args, int count, const char *socket)
{
	for (const struct command *command = commands; command->words != NULL; command++) {
		int words = match(command, args, count);

		if (words > 0)
			return run_command(command, args + words, count - words, socket);
	}
	if (count == 1 || wants_help(args[1])) {
		FILE *to = count > 1 ? stdout : stderr;

		if (help_group(to, args[0]))
			return count > 1 ? CTL_OK : CTL_USAGE;
	}
	return say(CTL_USAGE, "there is no command \"%.64s%s%.64s\"; see gantryctl --help", args[0],
		   count > 1 ? " " : "", count > 1 ? args[1] : "");
}

int main(int argc, char **argv)
{
	const char *socket = NULL;
	char **args = argv + 1;
	int count = argc - 1;

	(void)setlocale(LC_CTYPE, "");
	tzset();
	if (count >= 2 && strcmp(args[0], "--socket") == 0) {
		socket = args[1];
		args += 2;
		count -= 2;
	}
	if (count >= 1 && strcmp(args[0], "--version") == 0) {
		(void)printf("gantryctl %s\n", GANTRY_VERSION);
		return CTL_OK;
	}
	if (count == 0 || wants_help(args[0])) {
		help_all(count == 0 ? stderr : stdout);
		return count == 0 ? CTL_USAGE : CTL_OK;
	}
	return run_words(args, count, socket);
}
