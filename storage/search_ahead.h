/*
 * Inside of search: the sources of the segments to come, opened and reading ahead before their turn, so that the page
 * reads of many segments are in flight together. One thread.
 *
 * The segments of a view are numbered as the view has them; they are opened in the order in which the search goes
 * through them, AHEAD_SEGMENTS beyond those that it has come to. A search that takes whatever it finds (no VRM, no
 * cameras) is soon full: it opens but one.
 */
#ifndef GANTRY_STORAGE_SEARCH_AHEAD_H
#define GANTRY_STORAGE_SEARCH_AHEAD_H

#include <stddef.h>

struct search;
struct search_ahead;
struct search_source;

#define AHEAD_SEGMENTS 64 /* two page reads of each keep a disk busy; more is only lost when the search ends early */

/* For the search's view, from then on in search->ahead. 0, -ENOMEM. */
int search_ahead_new(struct search *search);
void search_ahead_free(struct search *search); /* closes all sources that were not closed; NULL is none */

/*
 * The search has come to the segments numbered first … first + count − 1, all those of a day: opens them, if that has
 * not happened, and those ahead. 0, -ENOMEM, or what a reader of the disk says that cannot be had.
 */
int search_ahead_reach(struct search *search, size_t first, size_t count);
/* NULL: nothing to be looked at: purged, outside the window, or it could not be opened, which was told as a fault. */
struct search_source *search_ahead_source(struct search *search, size_t number);
void search_ahead_close(struct search *search, size_t number);

/* Lets those sources go on for whom something has come. 0, -ENOMEM. */
int search_ahead_go(struct search_ahead *ahead, struct search *search);

#endif
