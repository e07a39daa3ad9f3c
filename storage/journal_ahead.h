/*
 * Reading a file front to back with a thread that stays a piece ahead: recovery opens and files one stretch of a
 * journal while the disk brings the next. One owner thread; the helper lives as long as the object.
 */
#ifndef GANTRY_STORAGE_JOURNAL_AHEAD_H
#define GANTRY_STORAGE_JOURNAL_AHEAD_H

#include <stddef.h>
#include <stdint.h>

struct io_file;
struct journal_ahead;

/* The file is borrowed, of at least one byte. 0, -ENOMEM, -EAGAIN no thread: then read without. */
int journal_ahead_new(struct io_file *file, uint64_t file_size, struct journal_ahead **ret_ahead);
/* Waits for a read under way. NULL is fine; returns NULL. */
struct journal_ahead *journal_ahead_free(struct journal_ahead *ahead);

/*
 * As the file's own read. Fast where `offset` follows what was read last; anywhere else it begins anew there. An error
 * is that of a whole piece: who wants to know which block cannot be read asks the file itself.
 */
int64_t journal_ahead_read(struct journal_ahead *ahead, uint64_t offset, void *buffer, size_t size);

#endif
