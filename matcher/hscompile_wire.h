/*
 * What gantry-compile and its parent say to each other. The same build on the same machine: host byte order. Both sides
 * check what they get all the same.
 *
 *	parent → child   struct compile_order, then `count` patterns
 *	child → parent   struct compile_answer, then `size` bytes of image when status is 0
 */
#ifndef GANTRY_MATCHER_HSCOMPILE_WIRE_H
#define GANTRY_MATCHER_HSCOMPILE_WIRE_H

#include <assert.h>
#include <stdint.h>

#define COMPILE_MAGIC UINT32_C(0x31504347) /* "GCP1" */
#define COMPILE_PATTERNS_MAX 5000000u
#define COMPILE_IMAGE_SIZE_MAX (UINT64_C(1) << 31)

struct compile_order {
	uint32_t magic;
	uint32_t count;
	uint64_t memory_max;
	uint32_t cpu_s;
	uint32_t zero;
};
static_assert(sizeof(struct compile_order) == 24, "no padding");

struct compile_answer {
	uint32_t magic;
	int32_t status; /* 0, or -errno as hsdb_compile gives it */
	uint32_t bad;
	uint32_t zero;
	uint64_t size;  /* of the image; 0 unless status is 0 */
	char text[256]; /* why; zero terminated */
};
static_assert(sizeof(struct compile_answer) == 280, "no padding");

#endif
