#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "appliance/base/prng.h"
#include "appliance/config.h"
#include "tests/check.h"

static char path[256];

static void file_is(const char *text, size_t size)
{
	FILE *file;
	static const char *directory;

	if (directory == NULL)
		directory = check_directory();
	(void)snprintf(path, sizeof(path), "%s/gantry.ini", directory);
	file = fopen(path, "w");
	CHECK(file != NULL);
	CHECK(fwrite(text, 1, size, file) == size);
	CHECK_INT(0, fclose(file));
}

static int read_text(const char *text, struct config *config, struct err *err)
{
	file_is(text, strlen(text));
	config_init(config);
	return config_read(config, path, err);
}

/* Every row's own default must be a value that its own bounds allow, and be there after config_init. */
static void defaults_obey_their_bounds(void)
{
	struct config config;
	struct err err;
	unsigned rows = 0;

	config_init(&config);
	for (const struct setting *setting = config_settings; setting->section != NULL; setting++, rows++) {
		char assignment[1024];

		(void)snprintf(assignment, sizeof(assignment), "%s.%s=%s", setting->section, setting->name,
			       setting->initial);
		CHECK_INT(0, config_set(&config, assignment, &err));
		CHECK(strlen(setting->text) > 10);
	}
	CHECK(rows > 30);
	CHECK_INT(4717, config.udp_port);
	CHECK_INT(0660, config.socket_mode);
	CHECK_INT(CONFIG_POLL_ADAPTIVE, config.poll);
	CHECK_STR("vhost", config.port);
}

static void a_file_is_read(void)
{
	struct config config;
	struct err err;

	CHECK_INT(
		0,
		read_text(
			"; a comment\n[port]\nport = af_packet\ndevice = veth0\npoll = busy\n[storage]\ncommit = 250\n"
			"[eal]\nhugepages = yes\n",
			&config, &err));
	CHECK_STR("af_packet", config.port);
	CHECK_STR("veth0", config.port_device);
	CHECK_INT(CONFIG_POLL_BUSY, config.poll);
	CHECK_INT(250, config.commit_us);
	CHECK(config.hugepages);
}

static void what_is_wrong_is_named(void)
{
	static const struct {
		const char *text;
		const char *told;
	} rows[] = {
		{"[port]\nudp_port = 70000\n", "port.udp_port"},
		{"[port]\nudp_port = 12x\n", "port.udp_port"},
		{"[port]\nudp_port =\n", "port.udp_port"},
		{"[port]\nspeed = 3\n", "[port] has no setting 'speed'"},
		{"[nonsense]\nport = vhost\n", "[nonsense] has no setting"},
		{"[port]\npoll = sometimes\n", "port.poll"},
		{"[eal]\nhugepages = maybe\n", "eal.hugepages"},
		{"[management]\nmode = 0888\n", "management.mode"},
		{"[port\n", "line 1"},
		{"[port]\nwhat is this\n", "line 2"},
	};
	struct config config;

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct err err = {""};

		CHECK_INT(-EINVAL, read_text(rows[i].text, &config, &err));
		if (strstr(err.text, rows[i].told) == NULL)
			check_note("'%s' does not name '%s'", err.text, rows[i].told);
		CHECK(strstr(err.text, rows[i].told) != NULL);
		CHECK(strstr(err.text, "gantry.ini") != NULL);
	}
}

static void settings_that_contradict_are_refused(void)
{
	static const char *const rows[][2] = {
		{"appliance.master_key=gantry/data/key", "master_key"},
		{"reads.lane_window=5000", "power of two"},
		{"storage.journal_file=4", "journal_file"},
	};
	struct config config;
	struct err err;

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		config_init(&config);
		if (i == 2)
			CHECK_INT(0, config_set(&config, "storage.journal_slab=4096", &err));
		CHECK_INT(0, config_set(&config, rows[i][0], &err));
		CHECK_INT(-EINVAL, config_finish(&config, &err));
		CHECK(strstr(err.text, rows[i][1]) != NULL);
	}
	/* The journal takes no more and no larger slabs than these. */
	config_init(&config);
	CHECK_INT(0, config_set(&config, "storage.journal_slabs=16", &err));
	CHECK_INT(-EINVAL, config_set(&config, "storage.journal_slabs=17", &err));
	CHECK_INT(-EINVAL, config_set(&config, "storage.journal_slab=4097", &err));
	config_init(&config);
	CHECK_INT(0, config_finish(&config, &err));
	CHECK(config.data_directory[0] == '/');
	CHECK(strstr(config.socket, "/gantry/run/gantry.sock") != NULL);
	CHECK(strstr(config.port_device, "/gantry/run/port.sock") != NULL);
}

/* Any bytes: an answer, never a crash, and an error always has a text. */
static void garbage_is_survived(void)
{
	static const char seedling[] = "[port]\nport = af_packet\nudp_port = 4717\n[storage]\ncommit = 1000 ; µs\n";
	struct prng prng = {check_seed()};

	for (unsigned round = 0; round < 300; round++) {
		char text[sizeof(seedling)];
		struct config config;
		struct err err = {""};
		int result;

		memcpy(text, seedling, sizeof(text));
		for (unsigned i = 0; i <= prng_below(&prng, 6); i++)
			text[prng_below(&prng, sizeof(text) - 1)] = (char)prng_next(&prng);
		file_is(text, prng_below(&prng, sizeof(text)));
		config_init(&config);
		result = config_read(&config, path, &err);
		CHECK(result == 0 || (result == -EINVAL && err.text[0] != '\0'));
		CHECK_INT(0, unlink(path));
	}
}

int main(int argc, char **argv)
{
	static const struct check_test tests[] = {
		{"defaults obey their bounds", defaults_obey_their_bounds},
		{"a file is read", a_file_is_read},
		{"what is wrong is named", what_is_wrong_is_named},
		{"settings that contradict are refused", settings_that_contradict_are_refused},
		{"garbage is survived", garbage_is_survived},
		{NULL, NULL},
	};

	return check_main(argc, argv, "configuration", tests);
}
