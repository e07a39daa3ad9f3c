#include "bench/population.h"

#include <errno.h>
#include <stdlib.h>

int population_init(struct population *population, uint32_t count, unsigned foreign_permille, uint64_t seed)
{
	struct prng prng = {seed ^ UINT64_C(0x706f70756c617465)};

	if (count == 0 || count > POPULATION_MAX)
		return -EINVAL;
	population->plates = malloc(count * sizeof(*population->plates));
	if (population->plates == NULL)
		return -ENOMEM;
	population->count = count;
	population->bands = 1;
	/* The last band takes what remains, so that no band is so short that its vehicles outnumber the head's. */
	while (((uint64_t)POPULATION_HEAD << population->bands) <= count)
		population->bands++;
	for (uint32_t i = 0; i < count; i++)
		plate_make(&prng, foreign_permille, &population->plates[i]);
	return 0;
}

void population_fini(struct population *population)
{
	free(population->plates);
	population->plates = NULL;
	population->count = 0;
}
