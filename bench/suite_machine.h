/* On what a figure was measured: printed with every result. Any thread. */
#ifndef GANTRY_BENCH_SUITE_MACHINE_H
#define GANTRY_BENCH_SUITE_MACHINE_H

#include <stdint.h>

struct suite_machine {
	char cpu[96];
	unsigned cores; /* that we may run on */
	uint64_t memory_bytes;
	char kernel[96];
	char file_system[32]; /* of the data directory */
	uint64_t disk_total_bytes;
	uint64_t disk_free_bytes;
	char io[32];    /* storage's kind of I/O here */
	char build[96]; /* version, build type, sanitizers */
};

/* What cannot be found out is called "unknown" or 0. */
void suite_machine_get(const char *directory, struct suite_machine *ret_machine);

#endif
