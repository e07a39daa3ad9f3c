/*
 * When, where and of which reads a list alarms: the optional conditions of its header. Hours, directions and camera
 * types are judged here; areas are kept as text, which whoever knows the ground reads (appliance/base/area.h). Plain
 * data and pure functions: any thread, no allocation.
 */
#ifndef GANTRY_MATCHER_LIST_CONDITIONS_H
#define GANTRY_MATCHER_LIST_CONDITIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct err;

#define LIST_WINDOWS_MAX 16
#define LIST_AREAS_MAX 8
#define LIST_AREAS_SIZE 4096 /* bytes of all texts of areas, their zeros included */
#define LIST_DIRECTIONS 3    /* enum read_direction */
#define LIST_CAMERA_TYPES 8  /* bits kept for them */
#define LIST_DAY_MINUTES 1440
#define LIST_WEEK_MINUTES (7 * LIST_DAY_MINUTES)

/* Local time, half open. One that ends at or before its beginning goes on into the next day. */
struct list_window {
	uint8_t days; /* on which it begins: 1 << 0 is Monday */
	uint16_t from_minute;
	uint16_t to_minute; /* at most LIST_DAY_MINUTES */
};

/* All zero: none, so every read is alarmed on. */
struct list_conditions {
	uint8_t window_count;
	uint8_t area_count;
	uint8_t directions;   /* 1 << enum read_direction; 0: any */
	uint8_t camera_types; /* 1 << the register's number; 0: any */
	struct list_window windows[LIST_WINDOWS_MAX];
	char areas[LIST_AREAS_SIZE]; /* area_count zero terminated texts, "circle …" or "polygon …", one behind another
				      */
};

/* "mon-fri 08:00-18:00", "sat,sun 22:00-06:00", "07:00-09:30" (every day). -EINVAL with err; ret untouched. */
int list_window_parse(const char *text, struct err *err, struct list_window *ret_window);
#define LIST_WINDOW_TEXT_SIZE 48
/* As list_window_parse reads it, days one by one; returns buffer. */
const char *list_window_text(const struct list_window *window, char buffer[LIST_WINDOW_TEXT_SIZE]);

/* Appends an area's text. -E2BIG with err: too many, or too long; conditions are as before. */
int list_area_add(struct list_conditions *conditions, const char *text, struct err *err);
/* index < area_count */
const char *list_area_text(const struct list_conditions *conditions, unsigned index);

/* -EINVAL with err for conditions that the functions above do not make. */
int list_conditions_check(const struct list_conditions *conditions, struct err *err);

/*
 * Do hours, direction and camera type allow an alarm? minute_of_week: of the capture in local time, from Monday 00:00.
 * A camera whose type is not known (>= LIST_CAMERA_TYPES) has none of the types.
 */
bool list_conditions_hold(const struct list_conditions *conditions, unsigned minute_of_week, unsigned direction,
			  unsigned camera_type);

#endif
