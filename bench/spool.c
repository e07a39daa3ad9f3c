/*
 * File: one header page; then for each lane a bitmap (bit of sequence s at s modulo capacity: acknowledged) and the
 * records. Order of stores, which a killed process leaves behind in the page cache exactly as far as it came:
 *
 *	push         clear the bits, write the records, move next
 *	acknowledge  set the bits, move lowest over all that is acknowledged
 *
 * so that the slot of a sequence below next always holds its read, and lowest can be found again from the bits. Both
 * cursors are kept twice, first `value`, then `copy`: a kill may come between the two, nothing else may part them.
 */
#include "bench/spool.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <xxhash.h>

#include "appliance/base/digest.h"

#define SPOOL_MAGIC "GANTRYSP"
#define SPOOL_VERSION 1
#define PAGE 4096
#define BOOT_SIZE 16

struct cursor {
	uint64_t value;
	uint64_t copy;
};

struct lane_header {
	struct cursor next;
	struct cursor lowest;
};

struct header {
	/* Written once. */
	char magic[8];
	uint32_t version;
	uint32_t feed;
	uint32_t epoch;
	uint32_t capacity;
	uint64_t check; /* XXH3 of the 24 bytes before */
	/* Written when opened and closed. */
	uint8_t boot[BOOT_SIZE]; /* the boot during which it is open; all zero when closed in order */
	uint8_t zero[16];
	struct lane_header lanes[FEED_LANE_COUNT];
};
static_assert(sizeof(struct header) == 128, "the spool's header is a file format");
static_assert(sizeof(struct header) <= PAGE, "one page");

struct spool {
	struct header *header; /* the whole mapping */
	uint64_t *bits[FEED_LANE_COUNT];
	uint8_t *records[FEED_LANE_COUNT];
	size_t size;
	uint32_t capacity;
	int fd; /* -1: anonymous */
};

static size_t lane_size(uint32_t capacity)
{
	return (capacity / 8 + (size_t)capacity * SPOOL_RECORD_SIZE + PAGE - 1) / PAGE * PAGE;
}

static size_t file_size(uint32_t capacity)
{
	return PAGE + FEED_LANE_COUNT * lane_size(capacity);
}

static uint64_t header_check(const struct header *header)
{
	return XXH3_64bits(header, offsetof(struct header, check));
}

/* Which boot of the machine this is. Where the kernel does not tell, every opening counts as the same boot. */
static void boot_read(uint8_t ret_boot[BOOT_SIZE])
{
	char text[64] = "";
	int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
	XXH128_hash_t hash;

	if (fd >= 0) {
		if (read(fd, text, sizeof(text) - 1) < 0)
			text[0] = '\0';
		close(fd);
	}
	hash = XXH3_128bits(text, strlen(text));
	memcpy(ret_boot, &hash, BOOT_SIZE);
	ret_boot[0] |= 1; /* never all zero */
}

static void header_make(struct header *header, uint32_t feed, uint32_t capacity)
{
	memset(header, 0, sizeof(*header));
	memcpy(header->magic, SPOOL_MAGIC, sizeof(header->magic));
	header->version = SPOOL_VERSION;
	header->feed = feed;
	header->capacity = capacity;
	while (header->epoch == 0)
		random_bytes(&header->epoch, sizeof(header->epoch));
	header->check = header_check(header);
	for (unsigned lane = 0; lane < FEED_LANE_COUNT; lane++) {
		header->lanes[lane].next = (struct cursor){1, 1};
		header->lanes[lane].lowest = (struct cursor){1, 1};
	}
}

static void store(struct cursor *cursor, uint64_t value)
{
	__atomic_store_n(&cursor->value, value, __ATOMIC_RELEASE);
	__atomic_store_n(&cursor->copy, value, __ATOMIC_RELEASE);
}

/* Brings a cursor's two copies together, if nothing but a kill can have parted them. */
static bool cursor_mend(struct cursor *cursor, uint64_t step_max)
{
	if (cursor->value < cursor->copy || cursor->value - cursor->copy > step_max)
		return false;
	cursor->copy = cursor->value;
	return true;
}

static bool lane_mend(struct lane_header *lane, uint32_t capacity)
{
	return cursor_mend(&lane->next, SPOOL_PUSH_MAX) && cursor_mend(&lane->lowest, capacity) &&
	       lane->lowest.value >= 1 && lane->lowest.value <= lane->next.value &&
	       lane->next.value - lane->lowest.value <= capacity;
}

static uint64_t bit_find(const struct spool *spool, enum feed_lane lane, uint64_t from, uint64_t end, bool wanted);

static void lowest_move(struct spool *spool, enum feed_lane lane, uint64_t from)
{
	struct lane_header *header = &spool->header->lanes[lane];

	/* Only where it begins is wanted: where it ends may be a whole spool away. */
	store(&header->lowest, bit_find(spool, lane, from, header->next.value, false));
}

static int map(struct spool *spool)
{
	int flags = spool->fd >= 0 ? MAP_SHARED : MAP_PRIVATE | MAP_ANONYMOUS;
	uint8_t *at;

	spool->size = file_size(spool->capacity);
	at = mmap(NULL, spool->size, PROT_READ | PROT_WRITE, flags, spool->fd, 0);
	if (at == MAP_FAILED)
		return -errno;
	spool->header = (struct header *)at;
	for (unsigned lane = 0; lane < FEED_LANE_COUNT; lane++) {
		spool->bits[lane] = (uint64_t *)(at + PAGE + lane * lane_size(spool->capacity));
		spool->records[lane] = (uint8_t *)spool->bits[lane] + spool->capacity / 8;
	}
	return 0;
}

/* 0 when the open file is a spool to go on with; -EBADMSG when it is not to be believed; else what failed. */
static int resume(struct spool *spool, uint32_t feed)
{
	static const uint8_t closed[BOOT_SIZE];
	uint8_t boot[BOOT_SIZE];
	struct header header;
	struct stat stat;
	ssize_t got = pread(spool->fd, &header, sizeof(header), 0);
	int r;

	if (got < 0 || fstat(spool->fd, &stat) < 0)
		return -errno;
	boot_read(boot);
	if (got != sizeof(header) || memcmp(header.magic, SPOOL_MAGIC, sizeof(header.magic)) != 0 ||
	    header.version != SPOOL_VERSION || header.check != header_check(&header) || header.feed != feed ||
	    header.epoch == 0 || header.capacity < SPOOL_READS_MIN || header.capacity > SPOOL_READS_MAX ||
	    (header.capacity & (header.capacity - 1)) != 0 || (size_t)stat.st_size != file_size(header.capacity))
		return -EBADMSG;
	if (memcmp(header.boot, closed, BOOT_SIZE) != 0 && memcmp(header.boot, boot, BOOT_SIZE) != 0)
		return -EBADMSG;
	spool->capacity = header.capacity;
	r = map(spool);
	if (r < 0)
		return r;
	for (unsigned lane = 0; lane < FEED_LANE_COUNT; lane++) {
		if (!lane_mend(&spool->header->lanes[lane], spool->capacity)) {
			munmap(spool->header, spool->size);
			spool->header = NULL;
			return -EBADMSG;
		}
		lowest_move(spool, lane, spool->header->lanes[lane].lowest.value);
	}
	memcpy(spool->header->boot, boot, BOOT_SIZE);
	return 0;
}

/* Under a name of its own until it is whole, so that a kill leaves no half-made spool. */
static int create(struct spool *spool, const char *path, uint32_t feed, uint32_t capacity)
{
	char draft[PATH_MAX + 8];
	struct header header;
	int r;

	snprintf(draft, sizeof(draft), "%s.new", path);
	spool->capacity = capacity;
	spool->fd = open(draft, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (spool->fd < 0)
		return -errno;
	header_make(&header, feed, capacity);
	boot_read(header.boot);
	if (flock(spool->fd, LOCK_EX | LOCK_NB) < 0)
		return errno == EWOULDBLOCK ? -EBUSY : -errno;
	if (ftruncate(spool->fd, (off_t)file_size(capacity)) < 0)
		return -errno;
	r = map(spool);
	if (r < 0)
		return r;
	memcpy(spool->header, &header, sizeof(header));
	return rename(draft, path) < 0 ? -errno : 0;
}

/* The outcome, or the error that ended it. */
static int open_file(struct spool *spool, const char *path, uint32_t feed, uint32_t capacity)
{
	char aside[PATH_MAX + 32];
	uint32_t tag = 0;
	int r;

	spool->fd = open(path, O_RDWR | O_CLOEXEC);
	if (spool->fd < 0) {
		if (errno != ENOENT)
			return -errno;
		r = create(spool, path, feed, capacity);
		return r < 0 ? r : SPOOL_FRESH;
	}
	if (flock(spool->fd, LOCK_EX | LOCK_NB) < 0)
		return errno == EWOULDBLOCK ? -EBUSY : -errno;
	r = resume(spool, feed);
	if (r != -EBADMSG)
		return r < 0 ? r : SPOOL_RESUMED;
	random_bytes(&tag, sizeof(tag));
	snprintf(aside, sizeof(aside), "%s.damaged-%08x", path, tag);
	close(spool->fd);
	spool->fd = -1;
	if (rename(path, aside) < 0)
		return -errno;
	r = create(spool, path, feed, capacity);
	return r < 0 ? r : SPOOL_RENEWED;
}

static int open_anonymous(struct spool *spool, uint32_t feed, uint32_t capacity)
{
	int r;

	spool->capacity = capacity;
	r = map(spool);
	if (r < 0)
		return r;
	header_make(spool->header, feed, capacity);
	return SPOOL_FRESH;
}

int spool_open(const char *directory, uint32_t feed, uint32_t reads, struct spool **ret_spool, struct err *err)
{
	char path[PATH_MAX];
	uint32_t capacity = SPOOL_READS_MIN;
	struct spool *spool;
	int r;

	if (reads > SPOOL_READS_MAX)
		return err_set(err, -EINVAL, "a spool of %u reads: at most %u", reads, SPOOL_READS_MAX);
	while (capacity < reads)
		capacity *= 2;
	spool = calloc(1, sizeof(*spool));
	if (spool == NULL)
		return err_set(err, -ENOMEM, "no memory for a spool");
	spool->fd = -1;
	if (directory == NULL) {
		snprintf(path, sizeof(path), "(memory)");
		r = open_anonymous(spool, feed, capacity);
	} else {
		snprintf(path, sizeof(path), "%s/feed-%u.spool", directory, feed);
		r = open_file(spool, path, feed, capacity);
	}
	if (r < 0) {
		if (spool->header != NULL)
			munmap(spool->header, spool->size);
		if (spool->fd >= 0)
			close(spool->fd);
		free(spool);
		if (r == -EBUSY)
			return err_set(err, r, "%s is in use by another gantry-load: stop it, or give --spool", path);
		return err_set(err, r, "%s: %s", path, strerror(-r));
	}
	*ret_spool = spool;
	return r;
}

struct spool *spool_close(struct spool *spool)
{
	if (spool == NULL)
		return NULL;
	if (spool->fd >= 0) {
		/* Only a spool that is known to be on disk may say that it was closed in order. */
		if (msync(spool->header, spool->size, MS_SYNC) == 0)
			memset(spool->header->boot, 0, BOOT_SIZE);
		close(spool->fd);
	}
	munmap(spool->header, spool->size);
	free(spool);
	return NULL;
}

uint32_t spool_epoch(const struct spool *spool)
{
	return spool->header->epoch;
}

uint32_t spool_capacity(const struct spool *spool)
{
	return spool->capacity;
}

uint64_t spool_next(const struct spool *spool, enum feed_lane lane)
{
	return spool->header->lanes[lane].next.value;
}

uint64_t spool_lowest(const struct spool *spool, enum feed_lane lane)
{
	return spool->header->lanes[lane].lowest.value;
}

uint32_t spool_room(const struct spool *spool, enum feed_lane lane)
{
	return (uint32_t)(spool->capacity - (spool_next(spool, lane) - spool_lowest(spool, lane)));
}

/* Sets or clears the bits of [first, end), a word at a time; end − first <= capacity. */
static void bits_fill(struct spool *spool, enum feed_lane lane, uint64_t first, uint64_t end, bool value)
{
	while (first < end) {
		uint32_t slot = (uint32_t)first & (spool->capacity - 1);
		unsigned shift = slot % 64;
		uint64_t count = end - first < 64 - shift ? end - first : 64 - shift;
		uint64_t mask = (count == 64 ? UINT64_MAX : (UINT64_C(1) << count) - 1) << shift;
		uint64_t *word = &spool->bits[lane][slot / 64];

		__atomic_store_n(word, value ? *word | mask : *word & ~mask, __ATOMIC_RELEASE);
		first += count;
	}
}

uint64_t spool_push(struct spool *spool, enum feed_lane lane, const uint8_t *records, unsigned count)
{
	uint64_t first = spool_next(spool, lane);

	assert(count >= 1);
	assert(count <= SPOOL_PUSH_MAX);
	assert(count <= spool_room(spool, lane));
	bits_fill(spool, lane, first, first + count, false);
	for (unsigned done = 0; done < count;) {
		uint32_t slot = (uint32_t)(first + done) & (spool->capacity - 1);
		uint32_t part = count - done < spool->capacity - slot ? count - done : spool->capacity - slot;

		memcpy(spool->records[lane] + (size_t)slot * SPOOL_RECORD_SIZE,
		       records + (size_t)done * SPOOL_RECORD_SIZE, (size_t)part * SPOOL_RECORD_SIZE);
		done += part;
	}
	store(&spool->header->lanes[lane].next, first + count);
	return first;
}

const uint8_t *spool_record(const struct spool *spool, enum feed_lane lane, uint64_t sequence, uint32_t *ret_contiguous)
{
	uint32_t slot = (uint32_t)sequence & (spool->capacity - 1);

	*ret_contiguous = spool->capacity - slot;
	return spool->records[lane] + (size_t)slot * SPOOL_RECORD_SIZE;
}

bool spool_acknowledged(const struct spool *spool, enum feed_lane lane, uint64_t sequence)
{
	uint32_t slot = (uint32_t)sequence & (spool->capacity - 1);

	return sequence < spool_lowest(spool, lane) || (spool->bits[lane][slot / 64] >> slot % 64 & 1) != 0;
}

/* The first sequence in [from, end) whose bit is `value`; end when there is none. */
static uint64_t bit_find(const struct spool *spool, enum feed_lane lane, uint64_t from, uint64_t end, bool value)
{
	while (from < end) {
		uint32_t slot = (uint32_t)from & (spool->capacity - 1);
		uint64_t word = spool->bits[lane][slot / 64];

		word = (value ? word : ~word) >> slot % 64;
		if (word != 0) {
			from += (unsigned)__builtin_ctzll(word);
			return from < end ? from : end;
		}
		from += 64 - slot % 64;
	}
	return end;
}

bool spool_unacknowledged(const struct spool *spool, enum feed_lane lane, uint64_t from, uint64_t end,
			  uint64_t *ret_first, uint64_t *ret_end)
{
	uint64_t first = bit_find(spool, lane, from, end, false);

	if (first >= end)
		return false;
	*ret_first = first;
	*ret_end = bit_find(spool, lane, first, end, true);
	return true;
}

void spool_acknowledge(struct spool *spool, enum feed_lane lane, uint64_t first, uint64_t end)
{
	assert(first >= spool_lowest(spool, lane));
	assert(end <= spool_next(spool, lane));
	bits_fill(spool, lane, first, end, true);
	if (first == spool_lowest(spool, lane))
		lowest_move(spool, lane, end);
}

uint64_t spool_outstanding(const struct spool *spool, enum feed_lane lane)
{
	uint64_t next = spool_next(spool, lane);
	uint64_t at = spool_lowest(spool, lane);
	uint64_t count = 0;
	uint64_t first;
	uint64_t end;

	for (; at < next && spool_unacknowledged(spool, lane, at, next, &first, &end); at = end)
		count += end - first;
	return count;
}
