/*
 * gantryd: parse, check, start in order, wait for a signal or appliance.stop, stop in reverse order.
 * Exit status: 0 stopped cleanly, 1 could not start or stop, 2 usage or configuration.
 */
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define LOG_MODULE "main"
#include "appliance/base/log.h"
#include "appliance/config.h"
#include "appliance/gantry.h"
#include "appliance/notify.h"
#include "appliance/totals.h"
#include "gantry-config.h"

static void help(FILE *to)
{
	(void)fprintf(
		to,
		"gantryd %s: the Gantry appliance\n\n"
		"  gantryd                              start with every default: a vhost port, no hugepages\n"
		"  gantryd --config /etc/gantry.ini     start with a configuration\n"
		"  gantryd --set port.port=af_packet --set port.device=veth0\n"
		"                                       one setting on the command line, over the file's\n"
		"  gantryd --check [--config FILE]      say what would not work here and what to mend; start nothing\n"
		"  gantryd --recover [--config FILE]    recover and seal what a crash left, then stop; no port opens.\n"
		"                                       Prints what the directory holds as JSON\n"
		"  gantryd --settings-markdown          this table for the docs\n\n"
		"Stop it with SIGTERM or `gantryctl stop`; both seal what is journalled first.\n\n"
		"Settings, as in a file:\n",
		GANTRY_VERSION);
	config_help(to);
}

static void set_log_level(const struct config *config)
{
	static const enum log_level levels[] = {LOG_LEVEL_ERROR, LOG_LEVEL_WARN, LOG_LEVEL_INFO, LOG_LEVEL_DEBUG};

	log_level_set(levels[config->log_level]);
}

/* Until a signal of ours or the stop verb. The signals are blocked in every thread, so that only this one sees them. */
static void wait_for_end(struct gantry *gantry, const sigset_t *signals)
{
	const struct timespec tick = {.tv_nsec = 200000000};

	while (!atomic_load(&gantry->stop_asked)) {
		if (sigtimedwait(signals, NULL, &tick) > 0)
			return;
		notify_watchdog(gantry);
	}
}

/* What the directory holds, for whoever recovered it: one JSON object. */
static void report(struct gantry *gantry)
{
	struct totals totals;

	if (totals_get(gantry, &totals) < 0)
		return;
	printf("{\"acknowledged\":%llu,\"stored\":%llu,\"collapsed\":%llu,\"refused\":%llu,\"erased\":%llu,\"purged\":%"
	       "llu}\n",
	       (unsigned long long)totals.acknowledged, (unsigned long long)totals.stored,
	       (unsigned long long)totals.collapsed, (unsigned long long)totals.refused_total,
	       (unsigned long long)totals.erased, (unsigned long long)totals.purged);
	(void)fflush(stdout);
}

static int serve(const struct config *config, bool recover_only)
{
	static struct gantry gantry;
	sigset_t signals;
	struct err err = {""};
	int result;

	sigemptyset(&signals);
	sigaddset(&signals, SIGTERM);
	sigaddset(&signals, SIGINT);
	pthread_sigmask(SIG_BLOCK, &signals, NULL);
	(void)signal(SIGPIPE, SIG_IGN);
	result = gantry_start(&gantry, config, recover_only, &err);
	if (result < 0) {
		log_error("cannot start: %s", err.text);
		return EXIT_FAILURE;
	}
	if (recover_only) {
		report(&gantry);
	} else {
		notify_ready(config);
		wait_for_end(&gantry, &signals);
		notify_stopping();
	}
	log_info("stopping");
	result = gantry_stop(&gantry);
	if (result < 0)
		log_error("not everything could be sealed (%s): it stays journalled and is recovered at the next start",
			  strerror(-result));
	else
		log_info("stopped");
	return result < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}

int main(int argc, char **argv)
{
	static const struct option options[] = {{"config", required_argument, NULL, 'c'},
						{"set", required_argument, NULL, 's'},
						{"check", no_argument, NULL, 'k'},
						{"recover", no_argument, NULL, 'r'},
						{"settings-markdown", no_argument, NULL, 'm'},
						{"version", no_argument, NULL, 'V'},
						{"help", no_argument, NULL, 'h'},
						{NULL, 0, NULL, 0}};
	static struct config config;
	struct err err = {""};
	bool check = false;
	bool recover_only = false;
	int option;

	config_init(&config);
	while ((option = getopt_long(argc, argv, "c:s:h", options, NULL)) != -1) {
		int result = 0;

		switch (option) {
		case 'c':
			result = config_read(&config, optarg, &err);
			break;
		case 's':
			result = config_set(&config, optarg, &err);
			break;
		case 'k':
			check = true;
			break;
		case 'r':
			recover_only = true;
			break;
		case 'm':
			config_markdown(stdout);
			return EXIT_SUCCESS;
		case 'V':
			puts(GANTRY_VERSION);
			return EXIT_SUCCESS;
		case 'h':
			help(stdout);
			return EXIT_SUCCESS;
		default:
			return 2;
		}
		if (result < 0) {
			(void)fprintf(stderr, "gantryd: %s\n", err.text);
			return 2;
		}
	}
	if (optind < argc) {
		(void)fprintf(stderr, "gantryd: what is '%s'? See gantryd --help\n", argv[optind]);
		return 2;
	}
	if (config_finish(&config, &err) < 0) {
		(void)fprintf(stderr, "gantryd: %s\n", err.text);
		return 2;
	}
	set_log_level(&config);
	return check ? (gantry_check(&config) < 0 ? EXIT_FAILURE : EXIT_SUCCESS) : serve(&config, recover_only);
}
