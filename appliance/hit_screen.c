#include "appliance/hit_screen.h"

#include "appliance/base/read.h"
#include "appliance/gantry.h"
#include "storage/hit_scan.h"
#include "storage/keyring.h"
#include "storage/mark_set.h"
#include "storage/marks.h"
#include "storage/store.h"

void hit_screen_begin(struct gantry *gantry, struct hit_screen *ret_screen)
{
	*ret_screen = (struct hit_screen){.keyring = store_keyring(gantry->store),
					  .marks = marks_hold(store_marks(gantry->store)),
					  .day = INT32_MIN};
}

void hit_screen_end(struct hit_screen *screen)
{
	mark_set_release(screen->marks);
}

bool hit_screen_hides(struct hit_screen *screen, const struct hit_found *found)
{
	int32_t day = read_day(found->read.capture_us);

	if (screen->day != day) {
		screen->day = day;
		screen->marks_day = mark_set_day(screen->marks, day);
		screen->destroyed = keyring_day_destroyed(screen->keyring, day);
	}
	return screen->destroyed || (found->read.flags & READ_FLAG_RESTRICTED) != 0 ||
	       mark_find(screen->marks_day, &found->read) != MARK_NONE;
}
