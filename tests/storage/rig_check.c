#include "tests/storage/rig_check.h"

#include <stdlib.h>

#include "tests/check.h"
#include "tests/storage/sim_io.h"

void rig_check(struct rig *rig, bool well, const char *what)
{
	if (!well)
		check_note("%s: %s", what, rig->problem);
	CHECK(well);
}

void rig_check_open(struct rig *rig, const char *what)
{
	int result = rig_open(rig);

	if (result != 0)
		check_note("%s: %s", what, rig->err.text);
	CHECK_INT(0, result);
}

void rig_done(struct rig *rig, struct io *io)
{
	CHECK_INT(0, rig_close(rig, false));
	sim_free(io);
	free(rig);
}
