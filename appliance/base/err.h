/*
 * Errors for people. Functions return 0, a negative errno (fatal to the operation, passed up unchanged) or a small
 * positive outcome; those that check bytes from outside also take a `struct err` and say what, where and what to do.
 * A NULL err is allowed everywhere. A text never holds a VRM or a secret.
 */
#ifndef GANTRY_BASE_ERR_H
#define GANTRY_BASE_ERR_H

struct err {
	char text[512];
};

/* Formats the text and returns `code`, so that a check reads: return err_set(err, -EINVAL, "…"). */
int err_set(struct err *err, int code, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* Puts "where: " before the text already there; returns `code`. */
int err_prefix(struct err *err, int code, const char *format, ...) __attribute__((format(printf, 3, 4)));

#endif
