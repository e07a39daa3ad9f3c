/*
 * The bytes of a sealed day segment (docs/disk-format.md has the tables): names, header and page addressing that
 * writer, reader, catalog and gantry-fsck share. Little-endian; pure functions, any thread.
 *
 * A file is: header page, then sealed pages without a gap, then the end mark. A page belongs to a section and is found
 * through two levels of fences: the top page (in the file and, as the same sealed bytes, in the catalog) names leaf
 * pages, a leaf names data pages. Every sealed page is ciphertext and 16-byte tag under the segment's own key, nonce =
 * (section, page number), associated data = (day, format version, segment id).
 */
#ifndef GANTRY_STORAGE_SEGMENT_FORMAT_H
#define GANTRY_STORAGE_SEGMENT_FORMAT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "appliance/base/aead.h"
#include "appliance/base/err.h"

#define SEGMENT_FORMAT 3
#define SEGMENT_HEADER_SIZE 4096
#define SEGMENT_END_SIZE 64
#define SEGMENT_TOP_SIZE_MAX 4096 /* sealed */
#define SEGMENT_LINEAGE_MAX 256
#define SEGMENT_HIT_WORKERS 64                           /* whose hits a segment may hold */
#define SEGMENT_HIT_FENCES_MAX (SEGMENT_HIT_WORKERS + 1) /* one each, and one of what is found late */
#define SEGMENT_NAME_SIZE 48
#define SEGMENT_ROWS_MAX (UINT32_C(1) << 28) /* twice the nation's busiest day */

/* Items in a page at most; a page is full but for the last of its section. */
#define SEGMENT_PAGE_ROWS 512
#define SEGMENT_PAGE_KEYS 2048
#define SEGMENT_PAGE_SCENES 2048
#define SEGMENT_PAGE_HITS 256
#define SEGMENT_PAGE_SIZE_MAX 65536  /* of data pages, sealed; larger ones are refused */
#define SEGMENT_LEAF_SIZE_MAX 262144 /* of leaf pages, sealed */

/* Stable numbers: they are part of nonces. Leaf pages use section | SEGMENT_LEAF. */
enum segment_section {
	SEGMENT_HEADER = 0, /* only a tag over the header page, kept in it */
	SEGMENT_ROWS = 1,   /* rows by (VRM key, capture time, …) */
	SEGMENT_KEYS = 2,   /* dictionary: distinct VRM keys, first row and count of each */
	SEGMENT_SCENES = 3, /* (camera, unit of the day, row page), sorted */
	SEGMENT_HITS = 4,   /* hits by row */
	SEGMENT_TOP = 5,    /* the one top page */
	SEGMENT_SECTIONS = 5,
	SEGMENT_LEAF = 16,
};

enum segment_lineage_kind {
	SEGMENT_FROM_JOURNALS = 1, /* ids are journal file ids */
	SEGMENT_FROM_SEGMENTS = 2, /* ids are parents' segment ids */
};

struct segment_section_info {
	uint64_t item_count;
	uint32_t page_count;
	uint32_t leaf_count;
	uint32_t leaf_pages; /* data pages that a full leaf names */
};

/* Where the numbers of one source's hits lie (appliance/base/read.h); both ends are numbers of hits that are there. */
struct segment_hit_fence {
	uint64_t first;
	uint64_t last;
};

/* All that the header says, and the sealed top page: also the value of the catalog's row. */
struct segment_summary {
	uint64_t id;
	int32_t day;          /* capture day, days since 1970-01-01 UTC */
	uint16_t key_version; /* of the VRM key */
	uint16_t lineage_kind;
	uint32_t lineage_count;
	uint64_t lineage[SEGMENT_LINEAGE_MAX];
	uint64_t row_count;
	uint64_t collapsed_count; /* equal reads that were left out when it was written */
	int64_t capture_first_us;
	int64_t capture_last_us;
	uint64_t file_size;
	uint64_t top_offset;
	struct segment_section_info sections[SEGMENT_SECTIONS];      /* by enum segment_section; [0] is unused */
	uint32_t hit_fence_count;                                    /* sources of hits */
	struct segment_hit_fence hit_fences[SEGMENT_HIT_FENCES_MAX]; /* ascending */
	uint32_t top_size;
	uint8_t top[SEGMENT_TOP_SIZE_MAX];
};

/* One entry of a top or leaf page. */
struct segment_fence {
	uint8_t key[16]; /* of the page's first item: VRM key; big-endian (camera, unit of the day); big-endian row */
	uint64_t offset;
	uint32_t size; /* sealed */
	uint32_t
		first; /* rows, scenes, hits: number of the first item; keys: row number of the first key's first row */
};
#define SEGMENT_FENCE_SIZE 32
#define SEGMENT_FENCES_AT 8 /* in a top or leaf page: behind the count and four zero bytes */
#define SEGMENT_TOP_FENCES ((SEGMENT_TOP_SIZE_MAX - SEGMENT_FENCES_AT - AEAD_TAG_SIZE) / SEGMENT_FENCE_SIZE)

/* "d<day>-<16 hex digits><suffix>"; suffix ".seg" or ".tmp". Returns name. */
const char *segment_name(int32_t day, uint64_t id, const char *suffix, char name[SEGMENT_NAME_SIZE]);
/* 0 when the name is exactly what segment_name makes with that suffix, else -EINVAL. */
int segment_name_parse(const char *name, const char *suffix, int32_t *ret_day, uint64_t *ret_id);

/* Header page, with its checksum and its tag under the segment's key. */
void segment_header_encode(const struct segment_summary *summary, const struct aead_key *key,
			   uint8_t page[SEGMENT_HEADER_SIZE]);
/*
 * Fills all but the top page's bytes. -EBADMSG checksum, tag or a field is wrong, -ENOTSUP another format version. With
 * key NULL the tag is not looked at (what gantry-fsck can say when the key is gone).
 */
int segment_header_decode(const uint8_t page[SEGMENT_HEADER_SIZE], const struct aead_key *key, struct err *err,
			  struct segment_summary *ret_summary);

/*
 * The catalog's form of a summary: the header's fixed fields, lineage, hit fences, sealed top page, checksum. Returns
 * its size. Decode: -EBADMSG or -ENOTSUP, ret undefined.
 */
#define SEGMENT_SUMMARY_FIXED 200
#define SEGMENT_HIT_FENCE_SIZE 16
#define SEGMENT_SUMMARY_SIZE_MAX                                                                                       \
	(SEGMENT_SUMMARY_FIXED + 8 * SEGMENT_LINEAGE_MAX + SEGMENT_HIT_FENCE_SIZE * SEGMENT_HIT_FENCES_MAX +           \
	 SEGMENT_TOP_SIZE_MAX + 8)
size_t segment_summary_encode(const struct segment_summary *summary, uint8_t bytes[SEGMENT_SUMMARY_SIZE_MAX]);
int segment_summary_decode(const uint8_t *bytes, size_t size, struct err *err, struct segment_summary *ret_summary);

/* May it have been given to a hit of a segment? */
bool segment_hit_number_valid(uint64_t number);
/* Widens the fence of the valid number's source, making it if need be. */
void segment_hit_fence_add(struct segment_summary *summary, uint64_t number);
/* May a hit with after < number ≤ upto be there? */
bool segment_hit_fences_meet(const struct segment_summary *summary, uint64_t after, uint64_t upto);

void segment_end_encode(const uint8_t header[SEGMENT_HEADER_SIZE], uint64_t file_size, uint8_t end[SEGMENT_END_SIZE]);
int segment_end_check(const uint8_t header[SEGMENT_HEADER_SIZE], uint64_t file_size,
		      const uint8_t end[SEGMENT_END_SIZE]);

void segment_fence_encode(const struct segment_fence *fence, uint8_t bytes[SEGMENT_FENCE_SIZE]);
void segment_fence_decode(const uint8_t bytes[SEGMENT_FENCE_SIZE], struct segment_fence *ret_fence);

/* Seals `size` bytes in place and puts the tag behind them: page has room for size + 16. */
void segment_page_seal(const struct aead_key *key, int32_t day, uint64_t id, unsigned section, uint64_t page_number,
		       uint8_t *page, size_t size);
/* Opens in place; `size` counts the tag. 0 or -EBADMSG. */
int segment_page_open(const struct aead_key *key, int32_t day, uint64_t id, unsigned section, uint64_t page_number,
		      uint8_t *page, size_t size);

#endif
