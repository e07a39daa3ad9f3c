/*
 * A journal file: names, the byte layout of its header block and frames, and the scan that recovery and fsck use.
 * docs/disk-format.md has the byte tables.
 *
 * Name: "w<worker>-<sequence>.<state>" ("w00-0000000001.open"). `open`: being written, or prepared ahead, or left by a
 * crash; `closed`: ends with an END frame; `failed`: a write failed, it is never written again and has no END. The
 * keeper renames, never the worker.
 *
 * Content: a header block of 4 KiB, then frames at multiples of 4 KiB, numbered 1, 2, 3 …, written once each.
 * Everything is sealed under the file's own key (KEY_JOURNAL, id = the file's id, which is random and in every header);
 * nonce = frame number (0: the header block), so no nonce ever repeats under a key.
 *
 * The encoders are pure functions; the worker calls them. The scan belongs to one control thread.
 */
#ifndef GANTRY_STORAGE_JOURNAL_FILE_H
#define GANTRY_STORAGE_JOURNAL_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "appliance/base/err.h"
#include "appliance/base/read.h"
#include "storage/lane.h"

#define JOURNAL_HEADER_SIZE 4096 /* the file's header block */
#define JOURNAL_HEADER_USED 72   /* of it; zeros follow */
#define JOURNAL_FRAME_HEADER_SIZE 128
#define JOURNAL_RUN_SIZE 40
#define JOURNAL_ROW_SIZE 64
#define JOURNAL_HIT_SIZE 28
#define JOURNAL_FRAME_SIZE_MAX (4u << 20) /* header and padding included */
#define JOURNAL_PATH_MAX 512
#define JOURNAL_CHAIN_SIZE 16
#define JOURNAL_FRAME_BLOCK 4096 /* frames begin at multiples of it */

struct aead_key;
struct io;
struct io_file;

/* ---- names */

enum journal_file_state { JOURNAL_FILE_OPEN, JOURNAL_FILE_CLOSED, JOURNAL_FILE_FAILED };

struct journal_file_name {
	unsigned worker;
	uint64_t sequence;
	enum journal_file_state state;
};

/* False when the name is not a journal's. */
bool journal_file_name_parse(const char *name, struct journal_file_name *ret_name);
/* "<directory>/w00-0000000001.open"; -ENAMETOOLONG. */
int journal_file_path(const char *directory, const struct journal_file_name *name, char ret_path[JOURNAL_PATH_MAX]);

/*
 * Discards and unlinks the file, in whichever state its name is (name->state is ignored), and syncs the directory.
 * 0 also when there is none. The caller has destroyed its key.
 */
int journal_file_destroy(struct io *io, const char *directory, const struct journal_file_name *name);

/* ---- encoding (worker: no allocation) */

struct journal_file_header {
	uint64_t file_id;
	uint64_t sequence;
	uint64_t file_size; /* as preallocated */
	int64_t created_us;
	uint32_t worker;
};
/* ret_chain: what the first frame carries. */
void journal_file_header_encode(const struct journal_file_header *header, const struct aead_key *key,
				uint8_t ret_block[JOURNAL_HEADER_SIZE], uint8_t ret_chain[JOURNAL_CHAIN_SIZE]);
/*
 * The header as it stands, its checksum checked; -EBADMSG; -ENOTSUP: of another version. With `key` its tag too.
 * Without, the caller learns only which key to fetch.
 */
int journal_file_header_decode(const uint8_t block[JOURNAL_HEADER_SIZE], const struct aead_key *key,
			       struct journal_file_header *ret_header, uint8_t ret_chain[JOURNAL_CHAIN_SIZE]);

struct journal_frame_header {
	uint64_t file_id;
	uint64_t frame;
	uint64_t durable; /* highest contiguous durable frame of this file when this one was submitted */
	int64_t submitted_us;
	uint8_t chain[JOURNAL_CHAIN_SIZE]; /* XXH3-128 of the previous frame's header (with its tag), or of the file's
					      header */
	uint32_t run_count;
	uint32_t row_count;
	uint32_t hit_count;
	uint32_t body_size;
	uint16_t key_version; /* of the VRM key */
	bool end;             /* a clean close: no body, nothing follows */
};

/* Bytes on disk of a frame with this body: header, body, padding to IO_ALIGN. */
size_t journal_frame_size(size_t body_size);
/*
 * Seals `body` behind its header into `ret_frame` (journal_frame_size bytes; the padding is zeroed). ret_chain is what
 * the next frame carries.
 */
void journal_frame_encode(const struct journal_frame_header *header, const struct aead_key *key, const void *body,
			  void *ret_frame, uint8_t ret_chain[JOURNAL_CHAIN_SIZE]);

/* The header of a frame that begins here, its checksum and bounds checked; -EBADMSG; -ENOTSUP: of another version. */
int journal_frame_header_decode(const void *frame, struct journal_frame_header *ret_header);
/* Opens the frame whose header this is into `body` (header->body_size bytes); -EBADMSG. */
int journal_frame_open(const struct journal_frame_header *header, const struct aead_key *key, const void *frame,
		       void *body, uint8_t ret_chain[JOURNAL_CHAIN_SIZE]);

/* One run and its rows as body bytes, at most JOURNAL_RUN_SIZE + 32 * JOURNAL_ROW_SIZE; returns how many. */
size_t journal_run_encode(const struct run *run, uint64_t watermark, const struct read *reads, void *ret_bytes);

/* ---- scan */

/* A frame that opened: authentic and well formed. Borrowed until the next journal_scan_next. */
struct journal_frame {
	struct journal_frame_header header;
	uint64_t offset;        /* in the file */
	const struct hit *hits; /* row = index among the frame's rows; less than row_count, checked */
	const uint8_t *next;    /* cursor of journal_frame_next */
	uint32_t runs_left;
	uint32_t row;
};

/*
 * Lays a cursor over an opened body, all of it checked first (counts, lanes, hits' rows); -EBADMSG. `body` is aligned
 * to 8 bytes and stays the caller's.
 */
int journal_frame_init(struct journal_frame *frame, const struct journal_frame_header *header, const void *body,
		       uint64_t offset);

/* A run of a frame, its rows decoded; feed and epoch filled from the run, receipt from its arrival. */
struct journal_run {
	struct run run;
	uint64_t watermark; /* the lane's cumulative durable sequence when this run was appended: all ≤ it had been
			       durable */
	int64_t receipt_us;
	uint32_t first_row; /* index in the frame of reads[0] */
	struct read reads[LANE_RUN_MAX];
};
/* True and the next run, false after the last. */
bool journal_frame_next(struct journal_frame *frame, struct journal_run *ret_run);

/*
 * What was missing. Damage: the frames are named durable by another frame (so reads in them may have been
 * acknowledged); torn: nobody recorded them durable, so none of their reads was acknowledged through this file. Which
 * sequences a damaged frame held: whatever a lane's recovered state lacks below the highest watermark of its runs
 * elsewhere (see lane_map_watermark).
 */
struct journal_hole {
	uint64_t first_frame;
	uint64_t last_frame; /* first_frame − 1 when unknown: bytes after the last frame that are no frame */
	uint64_t offset;     /* where it begins in the file */
	bool damage;
};

#define JOURNAL_HOLES_MAX 64
struct journal_scan_result {
	struct journal_file_header header;
	uint64_t frames; /* opened, END not counted */
	uint64_t rows;
	uint64_t last_frame;
	uint64_t durable_known;     /* highest frame any frame says was durable */
	bool header_valid;          /* else the id was taken from the frames */
	bool ended;                 /* an END frame was found: closed cleanly */
	bool damaged;               /* any hole is damage, the chain is broken, a block is unreadable: alarm */
	unsigned chain_breaks;      /* neighbours whose chain does not fit */
	uint64_t unreadable_blocks; /* of 4 KiB, that the device could not read: passed over as holes */
	unsigned hole_count;        /* all of them; the first JOURNAL_HOLES_MAX are told */
	struct journal_hole holes[JOURNAL_HOLES_MAX];
};

struct journal_scan;

struct journal_scan_options {
	const char *path;
	/* The key of a journal file id: 0, or -ENOENT when it is destroyed or was never made. */
	int (*key)(void *context, uint64_t file_id, uint8_t ret_key[32]);
	void *context;
	bool ahead; /* a helper thread reads ahead in a large file: `io` takes calls from two threads */
};

/*
 * 0; JOURNAL_SCAN_EMPTY when the file holds neither a header nor a frame (a crash while it was made: unlink it);
 * JOURNAL_SCAN_KEYLESS when its key is gone (sealed already, or made and swept: unlink it), ret_file_id tells which.
 * -errno when it cannot be read, then err says why; -ENOTSUP: its frames are of another version. ret_scan only with 0.
 */
enum journal_scan_outcome { JOURNAL_SCAN_EMPTY = 1, JOURNAL_SCAN_KEYLESS = 2 };
int journal_scan_new(const struct journal_scan_options *options, struct io *io, struct err *err,
		     struct journal_scan **ret_scan, uint64_t *ret_file_id);
struct journal_scan *journal_scan_free(struct journal_scan *scan);

/*
 * The next frame that opens, in file order, passing over holes. 1: ret_frame filled; 0: the file is through, ask for
 * the result; -errno: the file cannot be read at all (err).
 */
int journal_scan_next(struct journal_scan *scan, struct err *err, struct journal_frame *ret_frame);

/* After journal_scan_next said 0. Holes are judged against the whole file. */
const struct journal_scan_result *journal_scan_result(const struct journal_scan *scan);

#endif
