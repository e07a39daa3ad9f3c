/*
 * Number plates as cameras report them: UK formats in a realistic mix, a share of foreign ones (with diacritics, Greek
 * and Cyrillic letters, dashes), and the misreads that cameras make. Synthetic: any likeness is chance. Any thread.
 */
#ifndef GANTRY_BENCH_PLATE_H
#define GANTRY_BENCH_PLATE_H

#include <stdbool.h>
#include <stdint.h>

#include "appliance/base/prng.h"
#include "appliance/base/read.h"

enum plate_format {
	PLATE_CURRENT,  /* AA99AAA, since September 2001 */
	PLATE_PREFIX,   /* A9[9][9]AAA, 1983 to 2001, and Q plates */
	PLATE_SUFFIX,   /* AAA9[9][9]A, 1963 to 1983 */
	PLATE_DATELESS, /* one to three letters and one to four digits, either order */
	PLATE_NORTHERN, /* Northern Ireland: AAZ9999 with an I or Z that is not the first letter */
	PLATE_MILITARY, /* AA99AA */
	PLATE_DIPLOMAT, /* 999D999 */
	PLATE_FOREIGN,
	PLATE_FORMATS
};

struct plate {
	uint8_t text[READ_TEXT_SIZE]; /* UTF-8, zero padded */
	uint16_t country;             /* as struct read has it */
	uint16_t format;              /* enum plate_format */
};

/* A plate of the mix; foreign ones in `foreign_permille` of a thousand cases. */
void plate_make(struct prng *prng, unsigned foreign_permille, struct plate *ret_plate);

/* Replaces one character by one that cameras take it for (0 O D Q, 1 I, 2 Z, 5 S, 8 B, 6 G). False: none can be. */
bool plate_misread(uint64_t random, uint8_t text[READ_TEXT_SIZE]);

#endif
