#include "appliance/read_area.h"

#include <errno.h>
#include <stdlib.h>

#include "storage/register.h"

struct gathering {
	struct read_area *area;
	const uint32_t *only;
	size_t only_count;
	size_t only_at; /* both ascend: each is looked at once */
};

static bool asked_for(struct gathering *gathering, uint32_t camera)
{
	if (gathering->only == NULL)
		return true;
	while (gathering->only_at < gathering->only_count && gathering->only[gathering->only_at] < camera)
		gathering->only_at++;
	return gathering->only_at < gathering->only_count && gathering->only[gathering->only_at] == camera;
}

static int grow(struct read_area *area)
{
	size_t room = area->room == 0 ? 256 : 2 * area->room;
	void *cameras = realloc(area->cameras, room * sizeof(*area->cameras));
	void *roamers;

	if (cameras == NULL)
		return -ENOMEM;
	area->cameras = cameras;
	roamers = realloc(area->roamers, room * sizeof(*area->roamers));
	if (roamers == NULL)
		return -ENOMEM;
	area->roamers = roamers;
	area->room = room;
	return 0;
}

static bool moves(const struct reg_camera *camera)
{
	return camera->type == REG_CAMERA_MOBILE || camera->type == REG_CAMERA_DASHBOARD ||
	       camera->type == REG_CAMERA_PORTABLE;
}

static int take_camera(void *context, const struct reg_record *record)
{
	struct gathering *gathering = context;
	struct read_area *area = gathering->area;
	struct reg_camera camera;
	bool inside;

	if (reg_camera_decode(record->value, record->value_size, &camera) < 0 || !asked_for(gathering, camera.camera))
		return 0;
	inside = area_contains(&area->area, (struct area_point){camera.lat_e7, camera.lon_e7});
	if (!inside && !moves(&camera))
		return 0;
	if (area->camera_count == area->room && grow(area) < 0)
		return -ENOMEM;
	area->cameras[area->camera_count++] = camera.camera;
	if (moves(&camera))
		area->roamers[area->roamer_count++] = (struct search_roamer){camera.camera, inside};
	return 0;
}

int read_area_gather(struct read_area *area, struct reg *reg, const uint32_t *only, size_t only_count)
{
	struct gathering gathering = {.area = area, .only = only, .only_count = only_count};
	int result = grow(area); /* an area without cameras is not «all cameras» */

	return result < 0 ? result : reg_each(reg, REG_CAMERA, 0, UINT32_MAX, take_camera, &gathering);
}

void read_area_fini(struct read_area *area)
{
	free(area->cameras);
	free(area->roamers);
}
