#include "appliance/gantry.h"

#include <errno.h>
#include <grp.h>
#include <rte_malloc.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define LOG_MODULE "gantry"
#include "appliance/attendant.h"
#include "appliance/base/aead.h"
#include "appliance/base/clock.h"
#include "appliance/base/digest.h"
#include "appliance/base/log.h"
#include "appliance/calendar.h"
#include "appliance/cross.h"
#include "appliance/escalation.h"
#include "appliance/fold.h"
#include "appliance/gantry_inside.h"
#include "appliance/gate.h"
#include "appliance/handlers.h"
#include "appliance/retro.h"
#include "appliance/hits.h"
#include "appliance/tables.h"
#include "appliance/telemetry.h"
#include "appliance/unmatched.h"
#include "dpdk/eal.h"
#include "dpdk/frame.h"
#include "dpdk/port.h"
#include "gantry-config.h"
#include "mgmt/audit.h"
#include "mgmt/server.h"
#include "storage/io.h"
#include "storage/purge.h"
#include "storage/store.h"

static int start_tables(struct gantry *gantry, struct err *err)
{
	struct err local = {""};
	int result = fold_new(gantry, &gantry->fold, err);

	if (result < 0)
		return result;
	pthread_mutex_lock(&gantry->change_lock);
	result = gantry_load_lists(gantry, NULL, &local);
	if (result < 0)
		gantry_alarm_stand(gantry, ALARM_LISTS, local.text);
	/* Before a worker takes the first one. */
	result = unmatched_note(gantry, err);
	if (result == 0)
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
	gantry_eal_settings(&gantry->config, &eal, name);
	if ((result = gate_new(config, err, &gantry->gate)) < 0)
		return result;
	if ((result = gantry_directories_make(config, err)) < 0 || (result = eal_start(&eal, err)) < 0) {
		gantry->gate = gate_free(gantry->gate);
		return result;
	}
	if ((result = gantry_port_start(gantry, err)) < 0 || (result = gantry_workers_start(gantry, err)) < 0 ||
	    (result = gantry_store_start(gantry, err)) < 0 || (result = gantry_audit_start(gantry, err)) < 0)
		goto failed;
	if ((result = start_tables(gantry, err)) < 0 || (result = hits_start(gantry, &gantry->hits, err)) < 0 ||
	    (result = attendant_start(gantry, &gantry->attendant, err)) < 0 ||
	    (result = escalation_start(gantry, hits_escalated, &gantry->escalation, err)) < 0 ||
	    (result = start_lcores(gantry, err)) < 0)
		goto failed;
	if ((result = fold_start(gantry->fold, err)) < 0)
		goto failed;
	/* Before anybody can ask: a day that was to be purged is gone, or the operator is told why not. */
	resume_purges(gantry);
	if (recover_only)
		return 0;
	if ((result = telemetry_start(gantry, err)) < 0 || (result = start_server(gantry, err)) < 0 ||
	    (result = calendar_start(gantry, &gantry->calendar, err)) < 0 ||
	    (result = retro_start(gantry, &gantry->retro, err)) < 0 ||
	    (result = unmatched_start(gantry, &gantry->unmatched, err)) < 0)
		goto failed;
	log_info("%s serves: port %s, %u worker(s), journal by %s, AEAD by %s, telemetry %s", config->node,
		 port_name(gantry->port), gantry->worker_count, gantry->io->ops->name, aead_engine_name(), name);
	return 0;

failed:
	(void)gantry_stop(gantry);
	return result;
}

int gantry_stop(struct gantry *gantry)
{
	int result = 0;

	telemetry_stop();
	/* The server cancels its streams and waits for their owners, the couriers, to end them. */
	gantry->server = server_free(gantry->server);
	escalation_stop(gantry->escalation); /* it speaks through the attendant, which feeds it */
	/* Both deliver through the attendant. */
	gantry->unmatched = unmatched_stop(gantry->unmatched);
	gantry->retro = retro_stop(gantry->retro);
	gantry->attendant = attendant_stop(gantry->attendant);
	gantry->hits = hits_stop(gantry->hits);
	gantry->escalation = escalation_free(gantry->escalation);
	gantry->calendar = calendar_stop(gantry->calendar);
	fold_stop(gantry->fold);
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
	if (gantry->fold != NULL)
		gantry_lists_free(gantry);
	gantry->fold = fold_free(gantry->fold);
	for (unsigned i = 0; i < gantry->worker_count; i++) {
		gantry->workers[i] = worker_free(gantry->workers[i]);
		gantry->queues[i] = frame_queue_free(gantry->queues[i]);
	}
	gantry->gate = gate_free(gantry->gate);
	gantry_feeds_free(gantry);
	gantry->crossing = crossing_free(gantry->crossing);
	rte_free(gantry->quiescence);
	gantry->port = port_close(gantry->port);
	eal_stop();
	return result;
}
