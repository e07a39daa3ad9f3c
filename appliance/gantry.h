/*
 * The appliance, put together: the one place that knows every part.
 *
 * Threads. main starts and stops everything and waits. Workers run on EAL lcores (worker.h). The store has its keeper
 * and sealer, the management server its I/O thread and pool; handlers (handlers.h) run on that pool. The attendant
 * (attendant.h) opens lanes that workers ask for and delivers hits, the escalation (escalation.h) watches that somebody
 * acknowledges them, the fold (fold.h) renews what match sets stand on.
 * Handlers that change feeds, cameras or lists hold
 * `change_lock`, rewrite the register and then publish new tables.
 */
#ifndef GANTRY_APPLIANCE_GANTRY_H
#define GANTRY_APPLIANCE_GANTRY_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "appliance/base/err.h"
#include "appliance/config.h"
#include "appliance/worker.h"
#include "storage/register_records.h"

struct attendant;
struct audit;
struct calendar;
struct crossing;
struct escalation;
struct feed_state;
struct fold;
struct frame_queue;
struct gate;
struct hits;
struct io;
struct list;
struct list_ahead;
struct matching;
struct port;
struct reg_list;
struct retro;
struct rte_rcu_qsbr;
struct server;
struct store;
struct tables;
struct unmatched;
struct views;

/* Slots of feeds, per worker: a feed keeps its slot for ever. */
#define FEED_SLOTS_MAX 65536
#define LISTS_MAX 1024

enum gantry_alarm {
	ALARM_LISTS,        /* those of the register are not those that are matched */
	ALARM_LISTS_AGE,    /* those over 28 days (R25) could not be deleted */
	ALARM_FOLD,         /* what the match sets stand on cannot be renewed */
	ALARM_UNMATCHED,    /* reads are accepted while not all lists are loaded, or wait to be matched */
	ALARM_MASTER_KEY,   /* its rotation failed */
	ALARM_UNSUBSCRIBED, /* lists whose hits nobody is told of */
	ALARM_HITS,         /* hits could not be delivered or noted as acknowledged */
	ALARM_HITS_WAIT,    /* some have waited too long to be acknowledged (R24) */
	ALARM_COUNT,
};

struct feed_slots {
	struct feed_state **states; /* [slot] */
	uint32_t count;
};

/* A list that the register knows and whose entries, and the rest of its head, are lost or damaged. */
struct missing_list {
	uint32_t list;
	char name[REG_NAME_SIZE];
	char owner[REG_NAME_SIZE];
};

struct gantry {
	struct config config;
	struct io *io;
	struct port *port;
	struct frame_queue *queues[WORKERS_MAX];
	struct crossing *crossing;
	struct rte_rcu_qsbr *quiescence;
	struct worker *workers[WORKERS_MAX];
	unsigned worker_count;
	bool workers_running;
	struct store *store;
	struct views *views; /* the store's */
	struct gate *gate;
	struct audit *audit;
	struct server *server;
	struct hits *hits;
	struct attendant *attendant;
	struct escalation *escalation;
	struct calendar *calendar;
	struct retro *retro;
	struct unmatched *unmatched;
	int64_t started_us;
	int64_t started_ns;
	atomic_bool stop_asked;

	/* Under change_lock. */
	pthread_mutex_t change_lock;
	struct feed_slots slots[WORKERS_MAX];
	pthread_mutex_t tables_lock;        /* a leaf: whoever reads `tables` without change_lock holds it meanwhile */
	struct tables *tables;              /* those published now; replaced with both locks held */
	_Atomic uint64_t tables_generation; /* written under change_lock, read by anyone */
	struct matching *matching;
	struct fold *fold; /* where it comes from; never changes after the start */

	/* The lists loaded now, by id: changed with both locks held, read with either. lists_lock is a leaf, held
	 * briefly. */
	pthread_mutex_t lists_lock;
	struct list **lists;
	size_t list_count;
	struct missing_list *missing; /* of the register, but their entries cannot be read: they match nothing */
	size_t missing_count;
	uint64_t lists_generation; /* grows with every change of them; 0: none was ever loaded */

	/* What happened, newest last, each text once; and what of the appliance's own lasts, empty when it is well. */
	pthread_mutex_t alarm_lock;
	char standing[ALARM_COUNT][192];
	char alarms[16][192];
	unsigned alarm_count;
};

/*
 * In order: gate, EAL, port, workers, store, audit, lists, tables, hits, attendant, escalation, lcores, fold,
 * interrupted purges, management socket, calendar, search back. On failure what was started is stopped again.
 * `recover_only`: a port that nobody can reach and no socket; gantry_stop then seals and closes the recovered store.
 */
int gantry_start(struct gantry *gantry, const struct config *config, bool recover_only, struct err *err);

/* Reverse order; seals what is unsealed. -errno when something acknowledged could not be sealed (it stays journalled).
 */
int gantry_stop(struct gantry *gantry);

/* `gantryd --check`: what of this configuration would not work on this host. Prints a line each; 0 when all is well. */
int gantry_check(const struct config *config);

/* An entry of the appliance's own in the audit log; a failure is logged too. Any control thread. */
int gantry_note(struct gantry *gantry, uint32_t uid, const char *verb, const char *body);

/*
 * Something that an operator must know as long as it is so: logged, and shown by status until it is over. Neither VRM
 * nor secret. Any control thread.
 */
void gantry_alarm_stand(struct gantry *gantry, enum gantry_alarm alarm, const char *text);
/* The words of one that stands already: not logged. */
void gantry_alarm_renew(struct gantry *gantry, enum gantry_alarm alarm, const char *text);
void gantry_alarm_over(struct gantry *gantry, enum gantry_alarm alarm);
/* Those that last, the store's first, then what happened. `each` may call neither gantry nor store. */
void gantry_alarms_each(struct gantry *gantry, void (*each)(void *context, const char *text), void *context);

/* What storage.memtable means on this machine, in bytes. */
size_t gantry_memtable_bytes(const struct config *config);

/* change_lock held: new tables from the register, published to all workers; waits for their quiescence. */
int gantry_publish(struct gantry *gantry, struct err *err);

/* Lists and their match set, made and not in force: nothing of what is has changed. */
struct lists_next {
	struct list **lists;
	size_t count;
	struct matching *matching;
	struct list *fresh; /* among them, the caller's until they are taken; NULL: none is */
	struct missing_list *missing;
	size_t missing_count;
	struct err why; /* of the first that is missing */
};

/*
 * change_lock held: the lists of the register, read where they are not loaded, as they will be with `change` in it
 * (NULL: as they are). `ahead` (NULL: nothing) has that record's list, and perhaps the set. On failure nothing is left.
 */
int gantry_lists_make(struct gantry *gantry, const struct reg_list *change, struct list_ahead *ahead, struct err *err,
		      struct lists_next *ret_next);
/* change_lock held, throughout since they were made: puts them in force, for the next publication; or frees them. */
void gantry_lists_take(struct gantry *gantry, struct lists_next *next, struct list_ahead *ahead);
void gantry_lists_drop(struct gantry *gantry, struct lists_next *next);

/* change_lock held: both, of the register as it is. */
int gantry_load_lists(struct gantry *gantry, struct err *err);
/* Are all lists of the register matched? change_lock held. */
bool gantry_lists_complete(const struct gantry *gantry);
/* Has that succeeded since the start, if only of no lists at all? A list that cannot be read does not hold up others.
 */
bool gantry_lists_loaded(struct gantry *gantry);

#endif
