#include "tests/storage/store_world.h"

#include <stdio.h>
#include <stdlib.h>

#include "storage/io.h"
#include "storage/store.h"
#include "storage/store_internal.h"
#include "tests/check.h"
#include "tests/storage/rig_check.h"
#include "tests/storage/store_rig.h"

void rig_db_directory(char path[600])
{
	static unsigned number;

	snprintf(path, 600, "%s/db%u", check_memory_directory(), number++);
}

struct rig *rig_new(struct io *io, uint64_t seed)
{
	struct rig *rig = malloc(sizeof(*rig));
	char path[600];

	CHECK(rig != NULL);
	rig_db_directory(path);
	rig_init(rig, io, RIG_DIRECTORY, path, seed);
	return rig;
}

void rig_check_reads(struct rig *rig)
{
	rig_check(rig, rig_verify(rig), "reads");
}

void rig_check_tidy(struct rig *rig)
{
	rig_check(rig, rig_verify_tidy(rig), "files");
}

void rig_send_some(struct rig *rig, unsigned runs)
{
	for (unsigned i = 0; i < runs; i++) {
		(void)rig_send(rig);
		if (i % 4 == 3)
			rig_settle(rig, 2);
	}
}

void rig_scenario(struct rig *rig)
{
	for (unsigned round = 0; round < 6; round++) {
		rig_send_some(rig, 25);
		if (round % 2 == 1)
			(void)store_seal_all(rig->store, INT64_C(30000000));
		if (round == 3)
			(void)rig_purge(rig, 0);
	}
	(void)rig_resend(rig);
	rig_settle(rig, 10);
}
