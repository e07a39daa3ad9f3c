/*
 * The inside of the store, shared by store*.c, recovery*.c, seal*.c, keeper.c, purge*.c, rewrite.c and tidier.c,
 * nobody else.
 *
 * Lock order: purge_mutex, tidy_mutex, hold_mutex, seal_mutex, lane_mutex, memtable_lock, LMDB's writer; status_mutex
 * and thread_mutex are leaves. The marks' mutex comes behind tidy and hold mutex and before those of register and
 * keyring; what publishes their set is a leaf.
 */
#ifndef GANTRY_STORAGE_STORE_INTERNAL_H
#define GANTRY_STORAGE_STORE_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "appliance/base/clock.h"
#include "appliance/base/err.h"
#include "storage/catalog.h"
#include "storage/io.h"
#include "storage/journal_file.h"
#include "storage/keyring.h"
#include "storage/lane_map.h"
#include "storage/layout.h"
#include "storage/memtable.h"
#include "storage/store.h"

struct hit_lives;
struct late_hits;
struct marks;
struct views;

/* A key that must go, and the file that goes after it. */
enum seal_debt_kind { DEBT_KEY, DEBT_JOURNAL, DEBT_SEGMENT };
struct seal_debt {
	struct key_id key;
	enum seal_debt_kind kind;
	struct journal_file_name file; /* DEBT_JOURNAL */
	uint64_t turn;                 /* DEBT_SEGMENT: not before this turn of the views has passed */
};

/* Where a recovered journal lies: its generation may bear another worker's number when there are fewer now. */
struct recovered_name {
	uint64_t journal_id;
	struct journal_file_name file;
};

/* A generation whose segments are written and whose commit has not succeeded yet; all of it under seal_mutex. */
struct seal_pending {
	struct generation *generation; /* NULL: none */
	struct segment_summary *segments;
	size_t segment_count;
	struct catalog_lane *lanes; /* bytes owned */
	size_t lane_count;
	size_t lane_capacity;
	uint64_t refused[REFUSAL_COUNT];
	uint64_t erased; /* reads left out */
};

struct rewrite_pending; /* rewrite_private.h: a replacement whose commit failed */

#define TIDY_PUT_OFF_MAX 16
/* A day whose merge failed: not before. */
struct tidy_put_off {
	int32_t day;
	int64_t until_ns; /* monotonic */
};

/* The windows given out, by lane; open addressing. Under lane_mutex. */
struct window_table {
	struct lane_window **slots;
	size_t capacity; /* power of two, or 0 */
	size_t count;
};

/* An alarm that lasts. */
enum store_standing_kind { STANDING_SEALING, STANDING_REMOVAL, STANDING_DISK, STANDING_PURGE };
struct store_standing {
	enum store_standing_kind kind;
	int32_t day;
	char text[512];
};

struct store {
	struct io *io;
	struct store_options options; /* its texts are not kept: see the paths */
	struct store_hooks hooks;
	struct journal_hooks *journal_hooks;
	char directory[LAYOUT_PATH_SIZE];
	char db_directory[LAYOUT_PATH_SIZE];
	char journal_directory[LAYOUT_PATH_SIZE];
	char segments_directory[LAYOUT_PATH_SIZE];
	char purge_directory[LAYOUT_PATH_SIZE];
	char cases_directory[LAYOUT_PATH_SIZE];
	char audit_directory[LAYOUT_PATH_SIZE];
	int lock_fd;

	struct clock_source clock;
	struct clock_guard *guard;
	bool fresh; /* this open found nothing here: a new directory */
	struct keyring *keyring;
	struct catalog *catalog;
	struct reg *reg;
	struct err reg_why;
	bool catalog_lost; /* recovery: it knew nothing although there were segments */
	struct memtable *memtable;
	struct views *views;
	struct marks *marks;
	struct hit_lives *hit_lives;
	struct late_hits *late;
	struct journal *journals[STORE_WORKERS_MAX];
	uint64_t hit_highest[256]; /* by source; set once while it opens */

	_Atomic uint64_t days_closed[STORE_DAY_END / 64]; /* control writes, workers read */
	atomic_bool credit;                               /* keeper writes, workers read */

	pthread_mutex_t lane_mutex;
	struct lane_map *lanes; /* as recovered; the windows' memory */
	struct window_table windows;

	pthread_mutex_t seal_mutex;
	struct lane_map *sealed_lanes; /* as of the sealed journals */
	struct seal_pending pending;
	struct seal_debt *debts;
	size_t debt_count;
	size_t debt_capacity;
	struct recovered_name *recovered;
	size_t recovered_count;
	size_t recovered_capacity;

	pthread_mutex_t purge_mutex;
	pthread_mutex_t hold_mutex; /* what is held, against the purge that copies it: storage/hold.h */

	pthread_mutex_t tidy_mutex; /* held by whatever rewrites or purges a day's segments: rewrite_lock */
	atomic_uint tidy_preempted; /* purges that wait for it */
	atomic_bool tidy_stop;      /* the tidier's thread is to end */
	struct rewrite_pending *pending_rewrite;
	/* The tidier's, under tidy_mutex. */
	struct tidy_put_off put_off[TIDY_PUT_OFF_MAX];
	bool tidy_may_pause;    /* the duty in hand is the thread's */
	int64_t tidy_paused_ns; /* of it */
	unsigned tidy_turns;

	pthread_mutex_t status_mutex;
	uint64_t damage_count;
	unsigned damage_text_count;
	char damage[STORE_DAMAGE_MAX][192];
	int64_t unread_since_ns; /* hit_view's: the device gives no answer, time and again … */
	int64_t unread_last_ns;  /* … the last time; 0 never */
	struct store_standing *standings;
	size_t standing_count;
	size_t standing_room;
	uint64_t seal_failures;
	char seal_why[192];     /* of the failure that lasts; empty when well */
	char register_why[192]; /* likewise, of writing the register's log anew */
	int64_t renew_again_ns; /* monotonic: that is not tried before */
	uint64_t disk_total;
	uint64_t disk_free;
	uint64_t disk_reserve;
	uint64_t journal_bytes;
	bool space_allows; /* keeper's: room for one more journal file */
	int64_t opened_ns; /* set once while it opens */
	int64_t recovery_ns;
	uint64_t recovery_reads;
	struct store_tidy tidy;

	int64_t disk_checked_ns; /* keeper's */
	int64_t look_again_ns;   /* marks_look's: not before */

	pthread_mutex_t thread_mutex; /* of the bells and of stop */
	pthread_cond_t sealer_bell;
	pthread_cond_t tidier_bell;
	bool sealer_rung;
	atomic_bool stop;
	pthread_t keeper;
	pthread_t sealer;
	pthread_t tidier;
	bool keeper_runs;
	bool sealer_runs;
	bool tidier_runs;
};

/* store_alarm.c */
/* Something that happened. */
void store_alarm(struct store *store, const char *format, ...) __attribute__((format(printf, 2, 3)));
/*
 * Something that lasts: told when it begins, over when store_alarm_over says so; until then a newer text takes the
 * place of the older one. `day` tells those of one kind apart; 0 when there is but one.
 */
void store_alarm_stand(struct store *store, enum store_standing_kind kind, int32_t day, const char *format, ...)
	__attribute__((format(printf, 4, 5)));
/* Idempotent. */
void store_alarm_over(struct store *store, enum store_standing_kind kind, int32_t day);
/* As an alarm, and kept in the status as damage. */
void store_damage(struct store *store, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* store_directory.c */
/* "<directory>/<name>". -ENAMETOOLONG when there is no room for the names below it: `path` is untouched. */
int store_path(char path[LAYOUT_PATH_SIZE], const char *directory, const char *name);
/* Paths, lock and directories. -EBUSY: another process serves it. What was taken is given back with the store. */
int store_directory_ready(struct store *store, struct err *err);
/* May a new keyring be made here? Only where nothing is that an old one would open. -ENOTEMPTY: foreign files. */
int store_directory_judge(struct store *store, struct err *err, bool *ret_create);
/* store.c */
void store_day_close(struct store *store, int32_t day);
int64_t store_wall_us(struct store *store);
/* keeper.c */
void store_bell(struct store *store);
/* rewrite_commit.c */
void rewrite_fini(struct store *store);
/* tidier.c: between two pages of a rewriting; may sleep while ingest needs the machine. 0 or -ECANCELED. */
int tidier_pace(struct store *store);

#endif
