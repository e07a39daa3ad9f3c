#include "appliance/hit_access.h"

#include "appliance/hits.h"
#include "storage/register_records.h"

bool hit_access_may(struct hit_access *access, uint32_t list)
{
	unsigned place = list % HIT_ACCESS_OPINIONS;
	char organisation[REG_NAME_SIZE];

	if (!access->opinions[place].known || access->opinions[place].list != list) {
		access->opinions[place].list = list;
		access->opinions[place].known = true;
		access->opinions[place].allowed = hits_account_may(access->gantry, access->uid, list, organisation);
	}
	return access->opinions[place].allowed;
}
