/*
 * Cache life cycle: an entry is made by the first get, counted while anybody uses it, kept idle afterwards, closed when
 * too many are idle or its day is forgotten. A forgotten entry in use leaves the table at once and is closed by its
 * last put. Opening happens outside the mutex: of two threads that open the same segment one gives its copy up.
 *
 * Pins: each view hangs one, with the number of the turn it was taken in, at the end of a list, before it looks at the
 * catalog; so the list is in the order of turns, and its head says how old the oldest view may be.
 */
#include "storage/view.h"

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "storage/cases.h"
#include "storage/keyring.h"
#include "storage/marks.h"
#include "storage/segment_read.h"

#define BUCKETS 1024
#define CACHE_DEFAULT 512

struct entry {
	struct entry *next; /* in its bucket, or of the forgotten ones */
	struct segment *segment;
	uint64_t stamp; /* of the last put */
	unsigned users;
};

struct view_pin {
	struct view_pin *next;
	struct view_pin *previous;
	uint64_t turn;
};

struct views {
	struct views_options options;
	char *directory;
	char *cases_directory;
	pthread_mutex_t mutex; /* guards all below */
	struct entry *buckets[BUCKETS];
	struct entry *forgotten;
	uint64_t stamp;
	unsigned idle;
	struct view_pin pins; /* head of a ring, oldest first */
	uint64_t turn;
};

int views_new(const struct views_options *options, struct views **ret_views)
{
	struct views *views = calloc(1, sizeof(*views));

	if (views == NULL)
		return -ENOMEM;
	views->options = *options;
	views->directory = strdup(options->segments_directory);
	if (views->directory == NULL) {
		free(views);
		return -ENOMEM;
	}
	views->options.segments_directory = views->directory;
	views->cases_directory = options->cases_directory != NULL ? strdup(options->cases_directory) : NULL;
	if (options->cases_directory != NULL && views->cases_directory == NULL) {
		free(views->directory);
		free(views);
		return -ENOMEM;
	}
	views->options.cases_directory = views->cases_directory;
	if (options->cache_segments == 0)
		views->options.cache_segments = CACHE_DEFAULT;
	(void)pthread_mutex_init(&views->mutex, NULL);
	views->pins.next = views->pins.previous = &views->pins;
	*ret_views = views;
	return 0;
}

static void entry_free(struct entry *entry)
{
	segment_free(entry->segment);
	free(entry);
}

struct views *views_free(struct views *views)
{
	if (views == NULL)
		return NULL;
	for (unsigned b = 0; b < BUCKETS; b++) {
		while (views->buckets[b] != NULL) {
			struct entry *entry = views->buckets[b];

			views->buckets[b] = entry->next;
			entry_free(entry);
		}
	}
	(void)pthread_mutex_destroy(&views->mutex);
	free(views->directory);
	free(views->cases_directory);
	free(views);
	return NULL;
}

struct keyring *views_keyring(struct views *views)
{
	return views->options.keyring;
}

struct io *views_io(struct views *views)
{
	return views->options.io;
}

struct mark_set *views_marks_hold(struct views *views)
{
	return views->options.marks != NULL ? marks_hold(views->options.marks) : NULL;
}

static struct view_pin *pin_hang(struct views *views)
{
	struct view_pin *pin = malloc(sizeof(*pin));

	if (pin == NULL)
		return NULL;
	(void)pthread_mutex_lock(&views->mutex);
	*pin = (struct view_pin){.next = &views->pins, .previous = views->pins.previous, .turn = views->turn};
	pin->previous->next = pin;
	views->pins.previous = pin;
	(void)pthread_mutex_unlock(&views->mutex);
	return pin;
}

static void pin_drop(struct views *views, struct view_pin *pin)
{
	(void)pthread_mutex_lock(&views->mutex);
	pin->previous->next = pin->next;
	pin->next->previous = pin->previous;
	(void)pthread_mutex_unlock(&views->mutex);
	free(pin);
}

uint64_t views_turn(struct views *views)
{
	uint64_t turn;

	(void)pthread_mutex_lock(&views->mutex);
	turn = ++views->turn;
	(void)pthread_mutex_unlock(&views->mutex);
	return turn;
}

bool views_passed(struct views *views, uint64_t turn)
{
	bool passed;

	(void)pthread_mutex_lock(&views->mutex);
	passed = views->pins.next == &views->pins || views->pins.next->turn >= turn;
	(void)pthread_mutex_unlock(&views->mutex);
	return passed;
}

static int take(struct views *views, const struct catalog_choice *choice, struct view *ret_view)
{
	struct memtable *memtable = views->options.memtable;
	struct view view = {.views = views, .pin = pin_hang(views)};
	struct catalog_snapshot snapshot;
	int r;

	if (view.pin == NULL)
		return -ENOMEM;
	if (memtable != NULL)
		memtable_lock(memtable);
	r = catalog_snapshot_take(views->options.catalog, &snapshot);
	if (r == 0 && memtable != NULL) {
		r = memtable_view_take(memtable, &view.memory);
		if (r < 0)
			catalog_snapshot_end(&snapshot);
	}
	if (memtable != NULL)
		memtable_unlock(memtable);
	if (r < 0) {
		pin_drop(views, view.pin);
		return r;
	}
	r = catalog_snapshot_segments(&snapshot, choice, &view.segments, &view.segment_count);
	catalog_snapshot_end(&snapshot);
	if (r < 0)
		view_release(&view);
	else
		*ret_view = view;
	return r;
}

int view_take(struct views *views, int32_t first_day, int32_t last_day, struct view *ret_view)
{
	return take(views, &(struct catalog_choice){.first_day = first_day, .last_day = last_day}, ret_view);
}

int view_take_hits(struct views *views, uint64_t after, uint64_t upto, struct view *ret_view)
{
	struct catalog_choice choice = {INT32_MIN, INT32_MAX, .hits = true, .hit_after = after, .hit_upto = upto};

	return take(views, &choice, ret_view);
}

int view_take_case(struct views *views, uint32_t number, int32_t first_day, int32_t last_day, struct view *ret_view)
{
	struct view view = {.views = views};
	int r = catalog_case_segments(views->options.catalog, number, first_day, last_day, &view.segments,
				      &view.segment_count);

	if (r == 0)
		*ret_view = view;
	return r;
}

void view_release(struct view *view)
{
	if (view->views->options.memtable != NULL)
		memtable_view_release(view->views->options.memtable, &view->memory);
	free(view->segments);
	view->segments = NULL;
	view->segment_count = 0;
	if (view->pin != NULL) /* a case's copies are not replaced: their view pins nothing */
		pin_drop(view->views, view->pin);
	view->pin = NULL;
}

static struct entry **bucket_of(struct views *views, uint64_t id)
{
	return &views->buckets[id % BUCKETS];
}

/* Mutex held. */
static struct entry *find(struct views *views, int32_t day, uint64_t id)
{
	struct entry *entry = *bucket_of(views, id);

	while (entry != NULL &&
	       (segment_summary(entry->segment)->id != id || segment_summary(entry->segment)->day != day))
		entry = entry->next;
	if (entry != NULL && entry->users++ == 0)
		views->idle--;
	return entry;
}

static bool day_is_going(struct views *views, int32_t number)
{
	struct catalog_day day;

	return keyring_day_destroyed(views->options.keyring, number) ||
	       (catalog_day(views->options.catalog, number, &day) == 0 && day.state != CATALOG_DAY_OPEN);
}

/* Replaced since the view was taken: no row in the catalog, but the view's pin keeps the file and its key. */
static int open_replaced(struct views *views, const struct catalog_segment *which, struct err *err,
			 struct segment **ret_segment)
{
	return segment_open(views->options.io, views->options.keyring, views->directory, which->day, which->id, err,
			    ret_segment);
}

/* A copy whose key or file is gone belongs to a case that was released meanwhile, if its row is gone too by then. */
static int open_case(struct views *views, const struct catalog_segment *which, struct segment_summary *summary,
		     struct err *err, struct segment **ret_segment)
{
	struct key_id key = case_key(which->case_number, which->id);
	char directory[CASE_DIRECTORY_SIZE];
	int r = catalog_case_segment(views->options.catalog, which->case_number, which->day, which->id, summary);

	if (r == -ENOENT)
		return VIEW_PURGED;
	if (r < 0)
		return err_set(err, r, "a held copy's row in the catalog: %s", strerror(-r));
	return segment_open_summary_keyed(views->options.io, views->options.keyring,
					  case_directory(views->options.cases_directory, which->case_number, directory),
					  &key, summary, err, ret_segment);
}

static int open_segment(struct views *views, const struct catalog_segment *which, struct err *err,
			struct segment **ret_segment)
{
	struct segment_summary *summary = malloc(sizeof(*summary));
	char name[SEGMENT_NAME_SIZE];
	int r;

	if (summary == NULL)
		return -ENOMEM;
	if (which->case_number != 0) {
		r = open_case(views, which, summary, err, ret_segment);
		free(summary);
		return r;
	}
	r = catalog_segment(views->options.catalog, which->day, which->id, summary);
	if (r == -ENOENT)
		r = open_replaced(views, which, err, ret_segment);
	else if (r < 0)
		(void)err_set(err, r, "%s: its row in the catalog: %s",
			      segment_name(which->day, which->id, ".seg", name), strerror(-r));
	else
		r = segment_open_summary(views->options.io, views->options.keyring, views->directory, summary, err,
					 ret_segment);
	free(summary);
	if ((r == -ENOENT || r == -ENOKEY) && day_is_going(views, which->day))
		return VIEW_PURGED;
	return r;
}

/* Mutex held. Takes the segment over; if another thread was faster its entry is used. */
static struct entry *insert(struct views *views, struct entry *fresh, struct segment *segment)
{
	const struct segment_summary *summary = segment_summary(segment);
	struct entry *entry = find(views, summary->day, summary->id);
	struct entry **bucket = bucket_of(views, summary->id);

	if (entry != NULL) {
		segment_free(segment);
		free(fresh);
		return entry;
	}
	/* Purged while it was being opened: views_forget_day may be over, so it must not come into the table. */
	if (keyring_day_destroyed(views->options.keyring, summary->day))
		bucket = &views->forgotten;
	*fresh = (struct entry){.next = *bucket, .segment = segment, .users = 1};
	*bucket = fresh;
	return fresh;
}

int view_segment_get(struct views *views, const struct catalog_segment *which, struct err *err,
		     struct segment **ret_segment)
{
	struct segment *segment;
	struct entry *entry;
	struct entry *fresh;
	int r;

	(void)pthread_mutex_lock(&views->mutex);
	entry = find(views, which->day, which->id);
	(void)pthread_mutex_unlock(&views->mutex);
	if (entry != NULL) {
		*ret_segment = entry->segment;
		return 0;
	}
	fresh = malloc(sizeof(*fresh));
	if (fresh == NULL)
		return -ENOMEM;
	r = open_segment(views, which, err, &segment);
	if (r != 0) {
		free(fresh);
		return r;
	}
	(void)pthread_mutex_lock(&views->mutex);
	*ret_segment = insert(views, fresh, segment)->segment;
	(void)pthread_mutex_unlock(&views->mutex);
	return 0;
}

/* Mutex held. Takes the entry out of the list it is in. */
static bool unlink_entry(struct entry **list, const struct entry *entry)
{
	for (; *list != NULL; list = &(*list)->next) {
		if (*list == entry) {
			*list = entry->next;
			return true;
		}
	}
	return false;
}

/* Mutex held. The entry that was put back longest ago. */
static struct entry *oldest_idle(struct views *views)
{
	struct entry *oldest = NULL;

	for (unsigned b = 0; b < BUCKETS; b++)
		for (struct entry *entry = views->buckets[b]; entry != NULL; entry = entry->next)
			if (entry->users == 0 && (oldest == NULL || entry->stamp < oldest->stamp))
				oldest = entry;
	return oldest;
}

/* Mutex held. Counts the user out; returns an entry to be closed, or NULL. */
static struct entry *give_back(struct views *views, struct segment *segment)
{
	struct entry *entry = *bucket_of(views, segment_summary(segment)->id);

	while (entry != NULL && entry->segment != segment)
		entry = entry->next;
	if (entry == NULL) {
		for (entry = views->forgotten; entry->segment != segment;)
			entry = entry->next;
		return --entry->users == 0 && unlink_entry(&views->forgotten, entry) ? entry : NULL;
	}
	if (--entry->users > 0)
		return NULL;
	entry->stamp = ++views->stamp;
	if (++views->idle <= views->options.cache_segments)
		return NULL;
	entry = oldest_idle(views);
	unlink_entry(bucket_of(views, segment_summary(entry->segment)->id), entry);
	views->idle--;
	return entry;
}

void view_segment_put(struct views *views, struct segment *segment)
{
	struct entry *done;

	(void)pthread_mutex_lock(&views->mutex);
	done = give_back(views, segment);
	(void)pthread_mutex_unlock(&views->mutex);
	if (done != NULL)
		entry_free(done);
}

/* Takes out of the table what is of the day and, with `id` not NULL, of that id. */
static void forget(struct views *views, int32_t day, const uint64_t *id)
{
	(void)pthread_mutex_lock(&views->mutex);
	for (unsigned b = 0; b < BUCKETS; b++) {
		for (struct entry **at = &views->buckets[b]; *at != NULL;) {
			struct entry *entry = *at;
			const struct segment_summary *summary = segment_summary(entry->segment);

			if (summary->day != day || (id != NULL && summary->id != *id)) {
				at = &entry->next;
				continue;
			}
			*at = entry->next;
			if (entry->users == 0) {
				views->idle--;
				entry_free(entry);
			} else {
				entry->next = views->forgotten;
				views->forgotten = entry;
			}
		}
	}
	(void)pthread_mutex_unlock(&views->mutex);
}

void views_forget_day(struct views *views, int32_t day)
{
	forget(views, day, NULL);
}

void views_forget_segment(struct views *views, int32_t day, uint64_t id)
{
	forget(views, day, &id);
}
