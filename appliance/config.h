/*
 * The configuration: an INI file (libinih) over a table of settings. One row of config_settings is the whole truth of a
 * setting: the parser, `gantryd --help`, `--check` and the page in docs/operations.md all read it.
 *
 * Control thread, before anything starts; immutable afterwards.
 */
#ifndef GANTRY_APPLIANCE_CONFIG_H
#define GANTRY_APPLIANCE_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "appliance/base/err.h"
#include "matcher/list.h"

#define CONFIG_TEXT_SIZE 256

enum config_clock { CONFIG_CLOCK_SYNCHRONISED, CONFIG_CLOCK_ALWAYS };
enum config_poll { CONFIG_POLL_ADAPTIVE, CONFIG_POLL_BUSY };

struct config {
	char node[CONFIG_TEXT_SIZE];
	char data_directory[CONFIG_TEXT_SIZE];
	char master_key[CONFIG_TEXT_SIZE];
	char keyring_copy[CONFIG_TEXT_SIZE];
	char run_directory[CONFIG_TEXT_SIZE];
	int64_t log_level;
	int64_t workers;
	int64_t control_core;
	int64_t first_worker_core;

	char port[CONFIG_TEXT_SIZE];
	char port_device[CONFIG_TEXT_SIZE];
	char ipv4[CONFIG_TEXT_SIZE];
	char ipv6[CONFIG_TEXT_SIZE];
	char mac[CONFIG_TEXT_SIZE];
	int64_t udp_port;
	int64_t buffers;
	int64_t poll;

	bool hugepages;
	int64_t memory_mib;
	char eal_extra[CONFIG_TEXT_SIZE];

	int64_t journal_file_mib;
	int64_t journal_slab_kib;
	int64_t journal_slabs;
	int64_t journal_roll_s;
	int64_t commit_us;
	int64_t memtable_mib;
	int64_t reserve_mib;
	int64_t merge_quiet_s;
	int64_t catalog_map_mib;
	int64_t erase_rewrite_s;

	int64_t retention_days;
	int64_t future_s;
	int64_t lane_window;

	int64_t clock_trust;
	int64_t clock_jump_s;

	int64_t mass_entries_min;
	int64_t patterns_max;
	int64_t substitutions_max;
	int64_t compiler_memory_mib;
	int64_t compiler_seconds;
	int64_t retro_hits_max;
	char compiler[CONFIG_TEXT_SIZE];
	char zone[CONFIG_TEXT_SIZE];
	int64_t lists_cadence[LIST_CLASS_COUNT]; /* minutes, 0: any */
	int64_t repeats_mib;

	bool clones_detect;
	int64_t clones_speed_kmh;
	int64_t clones_slack_s;
	int64_t clones_distance_m;
	int64_t clones_confidence;
	int64_t clones_sightings;
	int64_t clones_priority;
	int64_t clones_minutes;
	int64_t clones_mib;

	int64_t escalate_priority;
	int64_t escalate_s;

	int64_t hits_urgent_priority;
	int64_t hits_urgent_ring;
	int64_t hits_mass_ring;
	int64_t hits_window;

	char socket[CONFIG_TEXT_SIZE];
	char socket_group[CONFIG_TEXT_SIZE];
	int64_t socket_mode;
	int64_t clients_max;
	int64_t search_threads;

	int64_t search_rows_max;
	int64_t search_mib_max;
	int64_t search_ms_max;
	int64_t search_open_days;
	int64_t search_fixed_min;
};

enum setting_type { SETTING_TEXT, SETTING_INTEGER, SETTING_OCTAL, SETTING_SWITCH, SETTING_CHOICE };

struct setting {
	const char *section;
	const char *name;
	enum setting_type type;
	const char *unit;    /* "" when it has none */
	const char *initial; /* as it would be written in a file */
	int64_t minimum;
	int64_t maximum;
	const char *const *choices; /* SETTING_CHOICE: NULL-terminated; its value is the index */
	size_t offset;              /* in struct config */
	const char *text;
};

/* Ends with a row whose section is NULL. */
extern const struct setting config_settings[];

void config_init(struct config *config);

/* -EINVAL with the file, line, setting, bound and what to write instead; config is then half changed: do not use it. */
int config_read(struct config *config, const char *path, struct err *err);

/* "section.name=value", from the command line. */
int config_set(struct config *config, const char *assignment, struct err *err);

/*
 * What no single row can say: settings that contradict each other. Makes data_directory, run_directory and the paths
 * that depend on them absolute and fills those left empty.
 */
int config_finish(struct config *config, struct err *err);

/* The table for people, and as the page's Markdown. */
void config_help(FILE *to);
void config_markdown(FILE *to);

#endif
