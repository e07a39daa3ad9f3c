/*
 * DPDK's telemetry runs a callback in a thread per client with nothing but the command's name, so the table below maps
 * the name back to its filler. Rows are written under no lock: a row is complete before rte_telemetry_register_cmd
 * (which locks) makes it findable, and never changes afterwards.
 */
#include "dpdk/telemetry.h"

#include <ctype.h>
#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include <rte_telemetry.h>

struct telemetry_sheet {
	struct rte_tel_data *data;
	unsigned pair_count;
	size_t size;
	uint64_t omitted_count;
};

static struct telemetry_command table[TELEMETRY_COMMANDS_MAX];
static unsigned table_count;

void telemetry_add(struct telemetry_sheet *sheet, const char *name, uint64_t value)
{
	/* "name":value, with the longest number */
	size_t size = strlen(name) + 24;

	/* The setter is named _uint from 23.03 on. */
	if (sheet->pair_count >= TELEMETRY_PAIRS_MAX || sheet->size + size > TELEMETRY_ANSWER_MAX ||
	    rte_tel_data_add_dict_u64(sheet->data, name, value) != 0) {
		sheet->omitted_count++;
		return;
	}
	sheet->pair_count++;
	sheet->size += size;
}

static int answer(const char *path, const char *parameters, struct rte_tel_data *data)
{
	struct telemetry_sheet sheet = {.data = data};
	unsigned count = __atomic_load_n(&table_count, __ATOMIC_ACQUIRE);

	(void)parameters;
	for (unsigned i = 0; i < count; i++) {
		if (strcmp(table[i].path, path) != 0)
			continue;
		(void)rte_tel_data_start_dict(data);
		table[i].fill(table[i].context, &sheet);
		if (sheet.omitted_count > 0)
			(void)rte_tel_data_add_dict_u64(data, "omitted", sheet.omitted_count);
		return 0;
	}
	return -ENOENT;
}

static bool path_valid(const char *path)
{
	if (strncmp(path, "/gantry/", 8) != 0 || strlen(path) > TELEMETRY_PATH_MAX || path[8] == '\0')
		return false;
	for (; *path != '\0'; path++)
		if (!isalnum((unsigned char)*path) && *path != '_' && *path != '/')
			return false;
	return true;
}

static int register_one(const struct telemetry_command *command, struct err *err)
{
	int result;

	if (!path_valid(command->path))
		return err_set(err, -EINVAL, "telemetry path '%s': /gantry/ and letters, digits, _ and /, at most %d",
			       command->path, TELEMETRY_PATH_MAX);
	if (strlen(command->help) > TELEMETRY_HELP_MAX)
		return err_set(err, -EINVAL, "telemetry path '%s': its help is longer than %d", command->path,
			       TELEMETRY_HELP_MAX);
	for (unsigned i = 0; i < table_count; i++)
		if (strcmp(table[i].path, command->path) == 0)
			return err_set(err, -EEXIST, "telemetry path '%s' is taken", command->path);
	if (table_count == TELEMETRY_COMMANDS_MAX)
		return err_set(err, -ENOSPC, "more than %d telemetry paths", TELEMETRY_COMMANDS_MAX);
	table[table_count] = *command;
	__atomic_store_n(&table_count, table_count + 1, __ATOMIC_RELEASE);
	result = rte_telemetry_register_cmd(command->path, answer, command->help);
	if (result < 0) {
		__atomic_store_n(&table_count, table_count - 1, __ATOMIC_RELEASE);
		return err_set(err, result, "telemetry path '%s': DPDK refuses it: %s", command->path,
			       strerror(-result));
	}
	return 0;
}

int telemetry_register(const struct telemetry_command *commands, size_t count, struct err *err)
{
	for (size_t i = 0; i < count; i++) {
		int result = register_one(&commands[i], err);

		if (result < 0)
			return result;
	}
	return 0;
}
