#include "bench/ledger.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "appliance/base/bytes.h"
#include "bench/ledger_format.h"

#define SEQUENCE_MAX (UINT64_C(1) << 40)
#define OUT_SIZE (1 << 20)
#define LINE_MAX_SIZE 256

/* Which sequences of one (feed, epoch, lane) were printed. */
struct printed {
	uint64_t *bits;
	size_t words;
	uint32_t feed;
	uint32_t epoch;
	uint8_t lane;
};

struct printer {
	const uint8_t *bytes;
	size_t size;
	struct ledger_entry *refused; /* sorted, not overlapping */
	size_t refused_count;
	struct printed *printed;
	size_t printed_count;
	FILE *out;
	char *buffer;
	size_t used;
	uint64_t lines;
};

static int entry_order(const void *left, const void *right)
{
	const struct ledger_entry *a = left;
	const struct ledger_entry *b = right;

	if (a->feed != b->feed)
		return a->feed < b->feed ? -1 : 1;
	if (a->epoch != b->epoch)
		return a->epoch < b->epoch ? -1 : 1;
	if (a->lane != b->lane)
		return a->lane < b->lane ? -1 : 1;
	return a->first < b->first ? -1 : a->first > b->first;
}

static bool entry_at(const struct printer *printer, size_t at, struct ledger_entry *ret_entry)
{
	return at + LEDGER_ENTRY_SIZE <= printer->size && ledger_entry_decode(printer->bytes + at, ret_entry) &&
	       at + ledger_entry_size(ret_entry) <= printer->size && ret_entry->first < SEQUENCE_MAX;
}

static int refused_collect(struct printer *printer)
{
	struct ledger_entry entry;
	size_t room = 0;

	for (size_t at = LEDGER_HEAD_SIZE; entry_at(printer, at, &entry); at += ledger_entry_size(&entry)) {
		if (entry.type != LEDGER_REFUSED)
			continue;
		if (printer->refused_count == room) {
			struct ledger_entry *more;

			room = room == 0 ? 1024 : 2 * room;
			more = realloc(printer->refused, room * sizeof(*more));
			if (more == NULL)
				return -ENOMEM;
			printer->refused = more;
		}
		printer->refused[printer->refused_count++] = entry;
	}
	if (printer->refused_count > 0)
		qsort(printer->refused, printer->refused_count, sizeof(*printer->refused), entry_order);
	return 0;
}

/*
 * The refusal that holds a sequence, or REFUSAL_NONE; looks at the entry with the nearest first sequence at or below
 * it, and a few before that, as one refusal may be listed twice after a kill.
 */
static uint8_t refusal_of(const struct printer *printer, const struct ledger_entry *entry, uint64_t sequence)
{
	struct ledger_entry key = *entry;
	size_t low = 0;
	size_t high = printer->refused_count;

	key.first = sequence;
	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (entry_order(&printer->refused[middle], &key) <= 0)
			low = middle + 1;
		else
			high = middle;
	}
	for (unsigned back = 0; back < 8 && low > 0; back++, low--) {
		const struct ledger_entry *refused = &printer->refused[low - 1];

		if (refused->feed != key.feed || refused->epoch != key.epoch || refused->lane != key.lane)
			break;
		if (sequence - refused->first < refused->count)
			return refused->reason;
	}
	return REFUSAL_NONE;
}

static struct printed *printed_find(struct printer *printer, const struct ledger_entry *entry)
{
	struct printed *more;

	for (size_t i = printer->printed_count; i-- > 0;) {
		struct printed *printed = &printer->printed[i];

		if (printed->feed == entry->feed && printed->epoch == entry->epoch && printed->lane == entry->lane)
			return printed;
	}
	more = realloc(printer->printed, (printer->printed_count + 1) * sizeof(*more));
	if (more == NULL)
		return NULL;
	printer->printed = more;
	more += printer->printed_count++;
	*more = (struct printed){.feed = entry->feed, .epoch = entry->epoch, .lane = entry->lane};
	return more;
}

static int printed_reach(struct printed *printed, uint64_t sequence)
{
	size_t words = sequence / 64 + 1;
	uint64_t *more;

	if (words <= printed->words)
		return 0;
	words += words / 2;
	more = realloc(printed->bits, words * sizeof(*more));
	if (more == NULL)
		return -ENOMEM;
	memset(more + printed->words, 0, (words - printed->words) * sizeof(*more));
	printed->bits = more;
	printed->words = words;
	return 0;
}

static char *put_text(char *at, const char *text, char end)
{
	while (*text != '\0')
		*at++ = *text++;
	*at++ = end;
	return at;
}

static char *put_number(char *at, uint64_t value, char end)
{
	char digits[20];
	unsigned count = 0;

	do {
		digits[count++] = (char)('0' + value % 10);
		value /= 10;
	} while (value > 0);
	while (count > 0)
		*at++ = digits[--count];
	*at++ = end;
	return at;
}

static char *put_signed(char *at, int64_t value, char end)
{
	if (value < 0)
		*at++ = '-';
	return put_number(at, value < 0 ? 0 - (uint64_t)value : (uint64_t)value, end);
}

static char *put_country(char *at, const uint8_t country[2])
{
	if (country[0] == 0) {
		*at++ = '-';
	} else {
		*at++ = (char)country[0];
		*at++ = (char)country[1];
	}
	*at++ = '\t';
	return at;
}

static char *put_record(char *at, const uint8_t *record)
{
	at = put_signed(at, (int64_t)le64_get(record), '\t');
	at = put_number(at, le32_get(record + 8), '\t');
	for (unsigned i = 0; i < READ_TEXT_SIZE && record[20 + i] != 0; i++)
		*at++ = (char)record[20 + i];
	*at++ = '\t';
	at = put_signed(at, (int32_t)le32_get(record + 12), '\t');
	at = put_signed(at, (int32_t)le32_get(record + 16), '\t');
	at = put_number(at, record[39], '\t');
	at = put_number(at, record[36], '\t');
	at = put_number(at, record[37], '\t');
	at = put_number(at, record[38], '\t');
	at = put_number(at, le16_get(record + 40), '\t');
	at = put_country(at, record + 42);
	return put_number(at, record[44], '\n');
}

static int flush(struct printer *printer)
{
	if (fwrite(printer->buffer, 1, printer->used, printer->out) != printer->used)
		return -EIO;
	printer->used = 0;
	return 0;
}

static int print_read(struct printer *printer, const struct ledger_entry *entry, uint64_t sequence,
		      const uint8_t *record)
{
	static const char *const fates[REFUSAL_COUNT] = {"acknowledged", "malformed", "too-old", "future",
							 "camera-suspended"};
	uint8_t refusal = printer->refused_count > 0 ? refusal_of(printer, entry, sequence) : REFUSAL_NONE;
	char *at = printer->buffer + printer->used;

	at = put_number(at, entry->feed, '\t');
	at = put_number(at, entry->epoch, '\t');
	at = put_text(at, entry->lane == FEED_LANE_LIVE ? "live" : "backlog", '\t');
	at = put_number(at, sequence, '\t');
	at = put_text(at, refusal < REFUSAL_COUNT ? fates[refusal] : "refused", '\t');
	at = put_record(at, record);
	printer->used = (size_t)(at - printer->buffer);
	printer->lines++;
	return printer->used > OUT_SIZE - LINE_MAX_SIZE ? flush(printer) : 0;
}

static int print_entry(struct printer *printer, const struct ledger_entry *entry, const uint8_t *records)
{
	struct printed *printed = printed_find(printer, entry);
	int r = 0;

	if (printed == NULL || printed_reach(printed, entry->first + entry->count) < 0)
		return -ENOMEM;
	for (uint32_t i = 0; r == 0 && i < entry->count; i++) {
		uint64_t sequence = entry->first + i;
		uint64_t bit = UINT64_C(1) << sequence % 64;

		if ((printed->bits[sequence / 64] & bit) != 0)
			continue;
		printed->bits[sequence / 64] |= bit;
		r = print_read(printer, entry, sequence, records + (size_t)i * LEDGER_RECORD_SIZE);
	}
	return r;
}

static int print_all(struct printer *printer)
{
	struct ledger_entry entry;
	int r = refused_collect(printer);

	for (size_t at = LEDGER_HEAD_SIZE; r == 0 && entry_at(printer, at, &entry); at += ledger_entry_size(&entry))
		if (entry.type == LEDGER_ACKNOWLEDGED)
			r = print_entry(printer, &entry, printer->bytes + at + LEDGER_ENTRY_SIZE);
	return r == 0 ? flush(printer) : r;
}

static int map(const char *path, struct printer *printer, struct err *err)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct stat stat;
	void *bytes = MAP_FAILED;

	if (fd < 0 || fstat(fd, &stat) < 0) {
		int r = err_set(err, -errno, "%s: %s", path, strerror(errno));

		if (fd >= 0)
			close(fd);
		return r;
	}
	if (stat.st_size >= LEDGER_HEAD_SIZE)
		bytes = mmap(NULL, (size_t)stat.st_size, PROT_READ, MAP_SHARED, fd, 0);
	close(fd);
	if (bytes == MAP_FAILED)
		return err_set(err, -EINVAL, "%s is no ledger: it is too short", path);
	printer->bytes = bytes;
	printer->size = (size_t)stat.st_size;
	if (!ledger_head_valid(printer->bytes)) {
		munmap(bytes, printer->size);
		return err_set(err, -EINVAL, "%s is no ledger of this version", path);
	}
	return 0;
}

int ledger_print(const char *path, FILE *out, uint64_t *ret_count, struct err *err)
{
	struct printer printer = {.out = out};
	int r = map(path, &printer, err);

	if (r < 0)
		return r;
	printer.buffer = malloc(OUT_SIZE);
	r = printer.buffer == NULL ? -ENOMEM : print_all(&printer);
	if (r == 0 && fflush(out) != 0)
		r = -EIO;
	for (size_t i = 0; i < printer.printed_count; i++)
		free(printer.printed[i].bits);
	free(printer.printed);
	free(printer.refused);
	free(printer.buffer);
	munmap((void *)(uintptr_t)printer.bytes, printer.size);
	if (r < 0)
		return err_set(err, r, "%s: %s", path, strerror(-r));
	*ret_count = printer.lines;
	return 0;
}
