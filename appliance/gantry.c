#include "appliance/gantry.h"

#include <errno.h>
#include <grp.h>
#include <rte_errno.h>
#include <rte_malloc.h>
#include <rte_rcu_qsbr.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysinfo.h>
#include <unistd.h>

#define LOG_MODULE "gantry"
#include "appliance/attendant.h"
#include "appliance/base/aead.h"
#include "appliance/base/bytes.h"
#include "appliance/base/clock.h"
#include "appliance/base/digest.h"
#include "appliance/base/log.h"
#include "appliance/calendar.h"
#include "appliance/cross.h"
#include "appliance/feed_state.h"
#include "appliance/handlers.h"
#include "appliance/tables.h"
#include "appliance/telemetry.h"
#include "dpdk/answer.h"
#include "dpdk/eal.h"
#include "dpdk/frame.h"
#include "dpdk/path.h"
#include "dpdk/port.h"
#include "gantry-config.h"
#include "matcher/list.h"
#include "matcher/matchset.h"
#include "matcher/vrm.h"
#include "mgmt/audit.h"
#include "mgmt/server.h"
#include "storage/io.h"
#include "storage/keyring.h"
#include "storage/layout.h"
#include "storage/marks.h"
#include "storage/purge.h"
#include "storage/register.h"
#include "storage/store.h"

/* How long a control thread waits for workers to pass a quiescent point before it says that one hangs. */
#define CONTROL_WAIT_NS (INT64_C(5) * 1000000000)

/* Prefaulting takes a core up to half a second a GiB behind the start: more is for whoever asks for it. */
#define MEMTABLE_AUTO_MAX ((size_t)2 << 30)

/* One that is told again becomes the newest; else a full ring loses its oldest. */
static void on_alarm(void *context, const char *text)
{
	struct gantry *gantry = context;
	char alarm[sizeof(gantry->alarms[0])];
	unsigned at = 0;

	log_warn("%s", text);
	(void)snprintf(alarm, sizeof(alarm), "%s", text);
	pthread_mutex_lock(&gantry->alarm_lock);
	while (at < gantry->alarm_count && strcmp(gantry->alarms[at], alarm) != 0)
		at++;
	if (at == sizeof(gantry->alarms) / sizeof(gantry->alarms[0]))
		at = 0;
	if (at < gantry->alarm_count) {
		gantry->alarm_count--;
		memmove(gantry->alarms[at], gantry->alarms[at + 1], (gantry->alarm_count - at) * sizeof(alarm));
	}
	memcpy(gantry->alarms[gantry->alarm_count++], alarm, sizeof(alarm));
	pthread_mutex_unlock(&gantry->alarm_lock);
}

void gantry_alarm(struct gantry *gantry, const char *text)
{
	on_alarm(gantry, text);
}

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
static int make_directories(const struct config *config, struct err *err)
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

static void eal_settings_of(const struct config *config, struct eal_settings *settings, const char *name)
{
	eal_settings_init(settings, name);
	settings->memory_mib = (unsigned)config->memory_mib;
	settings->hugepages = config->hugepages;
	settings->control_core = (int)config->control_core;
	settings->worker_count = (unsigned)config->workers;
	for (unsigned i = 0; i < settings->worker_count; i++)
		settings->worker_cores[i] =
			config->first_worker_core < 0 ? EAL_CORE_ANY : (int)(config->first_worker_core + i);
	settings->extra = config->eal_extra[0] != '\0' ? config->eal_extra : NULL;
	if (strcmp(config->port, "pci") == 0)
		settings->pci_devices[0] = config->port_device;
}

static int port_settings_of(const struct config *config, struct port_settings *settings, struct err *err)
{
	port_settings_init(settings, config->port, config->port_device[0] != '\0' ? config->port_device : NULL);
	settings->queue_count = (unsigned)config->workers;
	settings->buffer_count = (unsigned)config->buffers - 1;
	if (config->mac[0] != '\0' && path_mac_parse(config->mac, settings->mac) < 0)
		return err_set(err, -EINVAL, "port.mac: wants six bytes in hex like 02:00:5e:10:00:01");
	return 0;
}

static int frame_local_of(const struct config *config, struct frame_local *local, struct err *err)
{
	int result = 0;

	frame_local_init(local, (uint16_t)config->udp_port);
	if (config->ipv4[0] != '\0')
		result = frame_local_add(local, config->ipv4, err);
	if (result == 0 && config->ipv6[0] != '\0')
		result = frame_local_add(local, config->ipv6, err);
	return result;
}

static int start_port(struct gantry *gantry, struct err *err)
{
	struct port_settings settings;
	struct frame_local local;
	int result;

	if ((result = port_settings_of(&gantry->config, &settings, err)) < 0 ||
	    (result = frame_local_of(&gantry->config, &local, err)) < 0 ||
	    (result = port_open(&settings, &gantry->port, err)) < 0)
		return result;
	for (unsigned i = 0; i < gantry->worker_count && result == 0; i++)
		result = frame_queue_new(gantry->port, i, &local, &gantry->queues[i], err);
	return result;
}

static int start_workers(struct gantry *gantry, struct err *err)
{
	size_t size = rte_rcu_qsbr_get_memsize(WORKERS_MAX);
	struct worker_options options = {
		.worker_count = gantry->worker_count,
		.busy = gantry->config.poll == CONFIG_POLL_BUSY,
		.sleep_cap_us = IDLE_QUIET_CAP_US,
		.retention_us = gantry->config.retention_days * DAY_US,
		.future_us = gantry->config.future_s * 1000000,
		.node = gantry->config.node,
		.port = gantry->port,
	};
	int result;

	gantry->quiescence = rte_zmalloc("quiescence", size, RTE_CACHE_LINE_SIZE);
	if (gantry->quiescence == NULL || rte_rcu_qsbr_init(gantry->quiescence, WORKERS_MAX) != 0)
		return err_set(err, -ENOMEM, "no memory for quiescence; raise eal.memory");
	if (gantry->worker_count > 1 && crossing_new(gantry->worker_count, &gantry->crossing) < 0)
		return err_set(err, -ENOMEM, "no memory for the rings between workers; raise eal.memory");
	for (unsigned i = 0; i < gantry->worker_count; i++) {
		options.index = i;
		result = worker_new(&options, gantry->queues[i], gantry->crossing, gantry->quiescence,
				    &gantry->workers[i]);
		if (result < 0)
			return err_set(err, result, "worker %u: %s; raise eal.memory", i, strerror(-result));
	}
	return 0;
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

static int start_store(struct gantry *gantry, struct err *err)
{
	const struct config *config = &gantry->config;
	struct journal_hooks journal[WORKERS_MAX];
	char keyring_b[CONFIG_TEXT_SIZE + 16];
	struct store_hooks hooks = {.journal = journal, .alarm = on_alarm, .context = gantry};
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
	/* Search needs it for public ids; made once, and the ids stay the same for ever. */
	if ((result = keyring_key(gantry, identity, true, key)) < 0)
		return err_set(err, result, "the key of public ids: %s", strerror(-result));
	bytes_wipe(key, sizeof(key));
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

static int start_audit(struct gantry *gantry, struct err *err)
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

static struct feed_state *feed_state_new(struct gantry *gantry, uint32_t feed, const uint8_t key[32],
					 const uint8_t *key_next)
{
	unsigned owner = feed % gantry->worker_count;
	struct feed_slots *slots = &gantry->slots[owner];
	struct feed_state *state;

	if (slots->states == NULL)
		slots->states = calloc(FEED_SLOTS_MAX, sizeof(struct feed_state *));
	if (slots->states == NULL || slots->count == FEED_SLOTS_MAX)
		return NULL;
	state = aligned_alloc(64, (sizeof(*state) + 63) / 64 * 64);
	if (state == NULL)
		return NULL;
	memset(state, 0, sizeof(*state));
	state->feed = feed;
	state->worker = owner;
	state->slot = (uint16_t)slots->count;
	state->last_seen_ns = INT64_MIN / 2;
	atomic_init(&state->shown.clock_synchronised, -1);
	memcpy(state->key, key, sizeof(state->key));
	state->has_key_next = key_next != NULL;
	if (key_next != NULL)
		memcpy(state->key_next, key_next, sizeof(state->key_next));
	feed_peer_init(&state->peer, feed, (uint8_t)owner, state->slot, key, key_next, clock_mono_ns());
	slots->states[slots->count++] = state;
	return state;
}

static struct feed_state *feed_state_of(void *context, uint32_t feed, const uint8_t key[32], const uint8_t *key_next)
{
	struct gantry *gantry = context;
	const struct feed_slots *slots = &gantry->slots[feed % gantry->worker_count];
	const struct feed_entry *known = gantry->tables != NULL ? tables_feed(gantry->tables, feed) : NULL;

	if (known != NULL)
		return known->state;
	/* A feed that was removed and is registered again: rare, so a search is good enough. */
	for (uint32_t i = 0; i < slots->count; i++)
		if (slots->states[i]->feed == feed)
			return slots->states[i];
	return feed_state_new(gantry, feed, key, key_next);
}

int gantry_publish(struct gantry *gantry, struct err *err)
{
	struct reg *reg = store_register(gantry->store, NULL);
	struct tables *old = gantry->tables;
	struct tables *tables;
	int result;

	result = tables_new(reg, gantry->matching, gantry->worker_count, feed_state_of, gantry, &tables);
	if (result < 0)
		return err_set(err, result, "new tables for the workers: %s", strerror(-result));
	tables->marks = marks_hold(store_marks(gantry->store));
	tables->generation = atomic_fetch_add(&gantry->tables_generation, 1) + 1;
	for (unsigned i = 0; i < gantry->worker_count; i++)
		worker_publish(gantry->workers[i], tables);
	pthread_mutex_lock(&gantry->tables_lock);
	gantry->tables = tables;
	pthread_mutex_unlock(&gantry->tables_lock);
	if (gantry->workers_running)
		rte_rcu_qsbr_synchronize(gantry->quiescence, RTE_QSBR_THRID_INVALID);
	(void)tables_free(old);
	return 0;
}

struct list_loading {
	struct gantry *gantry;
	struct reg *reg;
	struct list **lists;
	size_t count;
	struct err *err;
};

static struct list *loaded_list(struct gantry *gantry, const struct reg_list *record)
{
	for (size_t i = 0; i < gantry->list_count; i++) {
		const struct list_info *info = list_info(gantry->lists[i]);

		if (info->id == record->list && info->version == record->now.version)
			return gantry->lists[i];
	}
	return NULL;
}

static int load_list(void *context, const struct reg_record *record)
{
	struct list_loading *loading = context;
	struct reg_list row;
	struct list *list;
	void *bytes;
	size_t size;
	int result = reg_list_decode(record->value, record->value_size, &row);

	if (result < 0 || row.removed)
		return result;
	if (loading->count == LISTS_MAX)
		return err_set(loading->err, -E2BIG, "more than %d lists", LISTS_MAX);
	list = loaded_list(loading->gantry, &row);
	if (list == NULL) {
		if ((result = reg_blob_get(loading->reg, row.now.blob, loading->err, &bytes, &size)) < 0)
			return result;
		result = list_parse(bytes, size, loading->err, &list);
		bytes_wipe(bytes, size);
		free(bytes);
		if (result < 0)
			return err_prefix(loading->err, result, "list %u", row.list);
	}
	loading->lists[loading->count++] = list;
	return 0;
}

static bool among(struct list *const *lists, size_t count, const struct list *list)
{
	for (size_t i = 0; i < count; i++)
		if (lists[i] == list)
			return true;
	return false;
}

/* Frees of `lists` those that are not among `keep`. */
static void free_lists(struct list **lists, size_t count, struct list *const *keep, size_t keep_count)
{
	for (size_t i = 0; i < count; i++)
		if (!among(keep, keep_count, lists[i]))
			(void)list_free(lists[i]);
	free(lists);
}

int gantry_load_lists(struct gantry *gantry, struct err *err)
{
	struct list_loading loading = {.gantry = gantry, .reg = store_register(gantry->store, NULL), .err = err};
	struct matchset_options options = {.mass_entries_min = (uint32_t)gantry->config.mass_entries_min};
	struct matching *matching;
	struct matchset *set;
	struct list **old = gantry->lists;
	size_t old_count = gantry->list_count;
	int result;

	if (loading.reg == NULL)
		return err_set(err, -ENOKEY, "the register is incomplete: lists cannot be loaded");
	loading.lists = calloc(LISTS_MAX, sizeof(struct list *));
	if (loading.lists == NULL)
		return err_set(err, -ENOMEM, "out of memory");
	result = reg_each(loading.reg, REG_LIST, 0, UINT32_MAX, load_list, &loading);
	if (result == 0)
		result = matchset_new((const struct list *const *)loading.lists, loading.count, &options, err, &set);
	if (result == 0 && (result = matching_new(set, gantry->worker_count, &matching)) < 0)
		(void)err_set(err, result, "no memory for the workers' match scratch");
	if (result != 0) {
		free_lists(loading.lists, loading.count, old, old_count);
		return result;
	}
	pthread_mutex_lock(&gantry->lists_lock);
	gantry->lists = loading.lists;
	gantry->list_count = loading.count;
	pthread_mutex_unlock(&gantry->lists_lock);
	free_lists(old, old_count, gantry->lists, gantry->list_count);
	(void)matching_release(gantry->matching);
	gantry->matching = matching;
	return 0;
}

static int start_tables(struct gantry *gantry, struct err *err)
{
	struct err local;
	int result;

	pthread_mutex_lock(&gantry->change_lock);
	result = gantry_load_lists(gantry, &local);
	if (result < 0)
		on_alarm(gantry, local.text);
	result = gantry_publish(gantry, err);
	pthread_mutex_unlock(&gantry->change_lock);
	return result;
}

static int start_server(struct gantry *gantry, struct err *err)
{
	const struct config *config = &gantry->config;
	struct server_options options;
	int result;

	server_options_init(&options);
	options.socket_path = config->socket;
	options.version = GANTRY_VERSION;
	options.node = config->node;
	options.audit = gantry->audit;
	options.mode = (mode_t)config->socket_mode;
	options.thread_count = (unsigned)config->search_threads;
	options.client_count_max = (unsigned)config->clients_max;
	if (config->socket_group[0] != '\0') {
		const struct group *group = getgrnam(config->socket_group);

		if (group == NULL)
			return err_set(err, -ENOENT, "management.group: this host has no group of that name");
		options.group = group->gr_gid;
	}
	if ((result = server_new(&options, &gantry->server, err)) < 0 ||
	    (result = handlers_bind(gantry->server, gantry, err)) < 0)
		return result;
	return server_start(gantry->server, err);
}

static int start_lcores(struct gantry *gantry, struct err *err)
{
	for (unsigned i = 0; i < gantry->worker_count; i++) {
		int result = eal_worker_launch(i, worker_run, gantry->workers[i]);

		if (result < 0)
			return err_set(err, result, "worker %u could not be launched: %s", i, strerror(-result));
		gantry->workers_running = true;
	}
	return 0;
}

/* Purges that a crash interrupted. Workers run: their journals are closed for it. */
static void resume_purges(struct gantry *gantry)
{
	struct purge_hooks hooks;
	struct err err;
	int result;

	purge_hooks_of(gantry, &hooks);
	result = purge_resume(gantry->store, &hooks, &err);
	/* The calendar goes on with them, and says as long as it is so what they wait for. */
	if (result < 0)
		log_warn("%s", err.text);
	else if (result > 0)
		log_info("%d interrupted purge(s) finished", result);
}

/*
 * EAL's name of this instance: the same for every life of it, so that a killed one leaves nothing that the next does
 * not take over, and different for two instances on one host.
 */
static void eal_name(const struct config *config, char *name, size_t size)
{
	uint8_t digest[SHA256_SIZE];

	sha256(config->run_directory, strlen(config->run_directory), digest);
	(void)snprintf(name, size, "gantry-%02x%02x%02x%02x", digest[0], digest[1], digest[2], digest[3]);
}

int gantry_start(struct gantry *gantry, const struct config *config, bool recover_only, struct err *err)
{
	struct eal_settings eal;
	static char name[64];
	int result;

	memset(gantry, 0, sizeof(*gantry));
	gantry->config = *config;
	gantry->worker_count = (unsigned)config->workers;
	gantry->started_us = clock_wall_us();
	gantry->started_ns = clock_mono_ns();
	pthread_mutex_init(&gantry->change_lock, NULL);
	pthread_mutex_init(&gantry->lists_lock, NULL);
	pthread_mutex_init(&gantry->tables_lock, NULL);
	pthread_mutex_init(&gantry->alarm_lock, NULL);
	if (recover_only) {
		/* Workers run, so that journals can be closed for a purge, on a port that nobody can reach. */
		(void)snprintf(gantry->config.port, sizeof(gantry->config.port), "ring");
		(void)snprintf(gantry->config.port_device, sizeof(gantry->config.port_device), "recover");
	}
	eal_name(config, name, sizeof(name));
	eal_settings_of(&gantry->config, &eal, name);
	if ((result = make_directories(config, err)) < 0 || (result = eal_start(&eal, err)) < 0)
		return result;
	if ((result = start_port(gantry, err)) < 0 || (result = start_workers(gantry, err)) < 0 ||
	    (result = start_store(gantry, err)) < 0 || (result = start_audit(gantry, err)) < 0)
		goto failed;
	if ((result = start_tables(gantry, err)) < 0 ||
	    (result = attendant_start(gantry, &gantry->attendant, err)) < 0 || (result = start_lcores(gantry, err)) < 0)
		goto failed;
	/* Before anybody can ask: a day that was to be purged is gone, or the operator is told why not. */
	resume_purges(gantry);
	if (recover_only)
		return 0;
	if ((result = telemetry_start(gantry, err)) < 0 || (result = start_server(gantry, err)) < 0 ||
	    (result = calendar_start(gantry, &gantry->calendar, err)) < 0)
		goto failed;
	log_info("%s serves: port %s, %u worker(s), journal by %s, AEAD by %s, telemetry %s", config->node,
		 port_name(gantry->port), gantry->worker_count, gantry->io->ops->name, aead_engine_name(), name);
	return 0;

failed:
	(void)gantry_stop(gantry);
	return result;
}

static void free_feed_states(struct gantry *gantry)
{
	for (unsigned worker = 0; worker < gantry->worker_count; worker++) {
		struct feed_slots *slots = &gantry->slots[worker];

		for (uint32_t i = 0; i < slots->count; i++) {
			feed_peer_fini(&slots->states[i]->peer);
			bytes_wipe(slots->states[i], sizeof(*slots->states[i]));
			free(slots->states[i]);
		}
		free(slots->states);
	}
}

int gantry_stop(struct gantry *gantry)
{
	int result = 0;

	telemetry_stop();
	/* The server cancels its streams and waits for their owner, the attendant, to end them. */
	gantry->server = server_free(gantry->server);
	gantry->attendant = attendant_stop(gantry->attendant);
	gantry->calendar = calendar_stop(gantry->calendar);
	for (unsigned i = 0; i < gantry->worker_count; i++)
		if (gantry->workers[i] != NULL)
			worker_stop(gantry->workers[i]);
	for (unsigned i = 0; gantry->workers_running && i < gantry->worker_count; i++)
		(void)eal_worker_wait(i);
	gantry->workers_running = false;
	if (gantry->audit != NULL)
		(void)gantry_note(gantry, (uint32_t)getuid(), "appliance.stop", "{}");
	gantry->audit = audit_close(gantry->audit);
	if (gantry->store != NULL)
		result = store_close(gantry->store, true);
	gantry->store = NULL;
	gantry->io = io_real_free(gantry->io);
	gantry->tables = tables_free(gantry->tables);
	gantry->matching = matching_release(gantry->matching);
	free_lists(gantry->lists, gantry->list_count, NULL, 0);
	for (unsigned i = 0; i < gantry->worker_count; i++) {
		gantry->workers[i] = worker_free(gantry->workers[i]);
		gantry->queues[i] = frame_queue_free(gantry->queues[i]);
	}
	free_feed_states(gantry);
	gantry->crossing = crossing_free(gantry->crossing);
	rte_free(gantry->quiescence);
	gantry->port = port_close(gantry->port);
	eal_stop();
	return result;
}
