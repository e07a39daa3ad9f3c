/* The store and the audit log: their directories, settings and keys. */
#include "appliance/gantry_inside.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysinfo.h>
#include <unistd.h>

#define LOG_MODULE "gantry"
#include "appliance/base/bytes.h"
#include "appliance/base/log.h"
#include "gantry-config.h"
#include "matcher/vrm.h"
#include "mgmt/audit.h"
#include "storage/io.h"
#include "storage/keyring.h"
#include "storage/layout.h"
#include "storage/store.h"

/* Prefaulting takes a core up to half a second a GiB behind the start: more is for whoever asks for it. */
#define MEMTABLE_AUTO_MAX ((size_t)2 << 30)

static int make_directory(const char *path, struct err *err)
{
	char copy[CONFIG_TEXT_SIZE];

	(void)snprintf(copy, sizeof(copy), "%s", path);
	for (char *slash = strchr(copy + 1, '/'); slash != NULL; slash = strchr(slash + 1, '/')) {
		*slash = '\0';
		if (mkdir(copy, 0755) < 0 && errno != EEXIST)
			return err_set(err, -errno, "%s: cannot be made: %s", copy, strerror(errno));
		*slash = '/';
	}
	if (mkdir(copy, 0755) < 0 && errno != EEXIST)
		return err_set(err, -errno, "%s: cannot be made: %s", copy, strerror(errno));
	return 0;
}

/* The directories around data and run: the store makes its own inside, with its own modes. */
int gantry_directories_make(const struct config *config, struct err *err)
{
	const char *paths[] = {config->data_directory, config->master_key, config->run_directory};
	int result = 0;

	for (size_t i = 0; i < 3 && result == 0; i++) {
		char parent[CONFIG_TEXT_SIZE];
		char *slash;

		(void)snprintf(parent, sizeof(parent), "%s", paths[i]);
		slash = strrchr(parent, '/');
		if (i < 2 && slash != NULL && slash != parent)
			*slash = '\0';
		result = make_directory(parent, err);
	}
	if (result == 0 && config->keyring_copy[0] != '\0')
		result = make_directory(config->keyring_copy, err);
	return result;
}

size_t gantry_memtable_bytes(const struct config *config)
{
	struct sysinfo info;

	if (config->memtable_mib > 0)
		return (size_t)config->memtable_mib << 20;
	if (sysinfo(&info) < 0)
		return (size_t)1 << 30;
	size_t quarter = (size_t)info.totalram * info.mem_unit / 4;
	return quarter < MEMTABLE_AUTO_MAX ? quarter : MEMTABLE_AUTO_MAX;
}

static int keyring_key(struct gantry *gantry, struct key_id id, bool create, uint8_t ret_key[KEY_SIZE])
{
	struct keyring *keyring = store_keyring(gantry->store);
	struct key_change change = {.id = id};
	int result = keyring_get(keyring, id, ret_key);

	if (result != -ENOENT || !create)
		return result;
	result = keyring_change(keyring, &change, 1);
	return result < 0 && result != -EEXIST ? result : keyring_get(keyring, id, ret_key);
}

int gantry_store_start(struct gantry *gantry, struct err *err)
{
	const struct config *config = &gantry->config;
	struct journal_hooks journal[WORKERS_MAX];
	char keyring_b[CONFIG_TEXT_SIZE + 16];
	struct store_hooks hooks = {.journal = journal, .alarm = gantry_alarm_hook, .context = gantry};
	struct store_options options = {
		.directory = config->data_directory,
		.master_path = config->master_key,
		.workers = gantry->worker_count,
		.key_version = VRM_KEY_VERSION,
		.memtable_bytes_max = gantry_memtable_bytes(config),
		.memtable_prefault = true,
		.journal_file_size = (uint64_t)config->journal_file_mib << 20,
		.journal_slab_size = (uint32_t)config->journal_slab_kib << 10,
		.journal_slab_count = (unsigned)config->journal_slabs,
		.journal_commit_interval_ns = config->commit_us * 1000,
		.journal_roll_age_ns = config->journal_roll_s * 1000000000,
		.lane_size = (uint32_t)config->lane_window,
		.merge_quiet_us = config->merge_quiet_s * 1000000,
		.reserve_bytes = (uint64_t)config->reserve_mib << 20,
		.catalog_map_size = (size_t)config->catalog_map_mib << 20,
		.erase_rewrite_us = config->erase_rewrite_s * 1000000,
		.retention_days = (int32_t)config->retention_days,
		.clock_jump_us = config->clock_jump_s * 1000000,
		.clock_always = config->clock_trust == CONFIG_CLOCK_ALWAYS,
	};
	const struct key_id identity = {.day = KEY_DAY_NONE, .kind = KEY_IDENTITY};
	uint8_t key[KEY_SIZE];
	const char *why;
	int result;

	(void)snprintf(keyring_b, sizeof(keyring_b), "%s/%s", config->keyring_copy, LAYOUT_KEYRING_B);
	if (config->keyring_copy[0] != '\0')
		options.keyring_b_path = keyring_b;
	for (unsigned i = 0; i < gantry->worker_count; i++)
		journal[i] = worker_journal_hooks(gantry->workers[i]);
	if ((result = io_real_new(&gantry->io)) < 0)
		return err_set(err, result, "storage I/O: %s", strerror(-result));
	if ((result = store_open(&options, &hooks, gantry->io, err, &gantry->store)) < 0)
		return result;
	for (unsigned i = 0; i < gantry->worker_count; i++)
		worker_attach(gantry->workers[i], gantry->store);
	/*
	 * Search needs it for public ids; made once, and the ids stay the same for ever. Never while the register is
	 * incomplete: marks that wait for the lost key would find a new one at the next start, and hide nothing.
	 */
	if (store_register(gantry->store, &why) != NULL) {
		if ((result = keyring_key(gantry, identity, true, key)) < 0)
			return err_set(err, result, "the key of public ids: %s", strerror(-result));
		bytes_wipe(key, sizeof(key));
	}
	gantry->views = store_views(gantry->store);
	return 0;
}

static int audit_month_key(void *context, int32_t month, bool create, uint8_t ret_key[AUDIT_KEY_SIZE])
{
	struct key_id id = {.id = (uint64_t)month, .day = KEY_DAY_NONE, .kind = KEY_AUDIT_MONTH};

	return keyring_key(context, id, create, ret_key);
}

static int audit_signing_seed(void *context, uint8_t ret_seed[AUDIT_KEY_SIZE])
{
	struct key_id id = {.day = KEY_DAY_NONE, .kind = KEY_AUDIT_SIGNING};

	return keyring_key(context, id, true, ret_seed);
}

/* Checkpoints' origin: the node's name, of which a signed note forbids blanks and plus signs. */
static void audit_origin(const struct config *config, char origin[CONFIG_TEXT_SIZE])
{
	size_t i;

	for (i = 0; config->node[i] != '\0'; i++)
		origin[i] = config->node[i] == ' ' || config->node[i] == '+' ? '-' : config->node[i];
	origin[i] = '\0';
}

int gantry_note(struct gantry *gantry, uint32_t uid, const char *verb, const char *body)
{
	struct audit_entry entry = {.uid = uid,
				    .account = "gantryd",
				    .verb = verb,
				    .outcome = AUDIT_NOTE,
				    .intent = AUDIT_NO_INTENT,
				    .body = body,
				    .body_size = strlen(body)};
	uint64_t index;
	int result = audit_append(gantry->audit, &entry, &index);

	if (result < 0)
		log_error("%s could not be audited: %s", verb, strerror(-result));
	return result;
}

int gantry_audit_start(struct gantry *gantry, struct err *err)
{
	struct key_id signing = {.day = KEY_DAY_NONE, .kind = KEY_AUDIT_SIGNING};
	char origin[CONFIG_TEXT_SIZE];
	uint8_t seed[KEY_SIZE];
	struct audit_options options = {
		.directory = store_audit_directory(gantry->store),
		.origin = origin,
		.keys = {.ctx = gantry, .month_key = audit_month_key, .signing_seed = audit_signing_seed},
		/* A signing key that exists has signed a log: a missing log is then damage, not a beginning. */
		.existing = keyring_get(store_keyring(gantry->store), signing, seed) == 0,
	};
	int result;

	bytes_wipe(seed, sizeof(seed));
	audit_origin(&gantry->config, origin);
	result = audit_open(&options, &gantry->audit, err);
	if (result == 0)
		(void)gantry_note(gantry, (uint32_t)getuid(), "appliance.start",
				  "{\"version\":\"" GANTRY_VERSION "\"}");
	return result;
}
