#include "appliance/base/area.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define WGS84_A 6378137.0 /* m */
#define WGS84_E2 0.00669437999014131699
#define RADIANS_PER_E7 (M_PI / 180e7)

static int check_point(struct area_point point, struct err *err)
{
	if (point.lat_e7 < -AREA_LAT_E7_MAX || point.lat_e7 > AREA_LAT_E7_MAX)
		return err_set(err, -EINVAL, "a latitude is not within -90 and 90 degrees");
	if (point.lon_e7 < -AREA_LON_E7_MAX || point.lon_e7 > AREA_LON_E7_MAX)
		return err_set(err, -EINVAL, "a longitude is not within -180 and 180 degrees");
	return 0;
}

/* Radius of curvature east to west, at that sine of the latitude. */
static double prime_vertical(double sine)
{
	return WGS84_A / sqrt(1 - WGS84_E2 * sine * sine);
}

void area_in_space(struct area_point point, double ret_metres[3])
{
	double lat = point.lat_e7 * RADIANS_PER_E7;
	double lon = point.lon_e7 * RADIANS_PER_E7;
	double sine = sin(lat);
	double normal = prime_vertical(sine);

	ret_metres[0] = normal * cos(lat) * cos(lon);
	ret_metres[1] = normal * cos(lat) * sin(lon);
	ret_metres[2] = normal * (1 - WGS84_E2) * sine;
}

/* Chords are compared, which needs no case for poles or antimeridian; the arc is made one by the curvature there. */
int area_circle(struct area_point centre, uint32_t radius_m, struct err *err, struct area *ret_area)
{
	struct area area = {.kind = AREA_CIRCLE};
	double sine, normal, mean, chord;
	int r = check_point(centre, err);

	if (r < 0)
		return r;
	if (radius_m < 1 || radius_m > AREA_RADIUS_M_MAX)
		return err_set(err, -EINVAL, "the radius has to be 1 … %d m", AREA_RADIUS_M_MAX);
	sine = sin(centre.lat_e7 * RADIANS_PER_E7);
	normal = prime_vertical(sine);
	mean = normal * sqrt((1 - WGS84_E2) / (1 - WGS84_E2 * sine * sine));
	chord = 2 * mean * sin(radius_m / (2 * mean));
	area_in_space(centre, area.centre);
	area.chord_squared = chord * chord;
	*ret_area = area;
	return 0;
}

static void widen(struct area *area, struct area_point point)
{
	area->low.lat_e7 = point.lat_e7 < area->low.lat_e7 ? point.lat_e7 : area->low.lat_e7;
	area->low.lon_e7 = point.lon_e7 < area->low.lon_e7 ? point.lon_e7 : area->low.lon_e7;
	area->high.lat_e7 = point.lat_e7 > area->high.lat_e7 ? point.lat_e7 : area->high.lat_e7;
	area->high.lon_e7 = point.lon_e7 > area->high.lon_e7 ? point.lon_e7 : area->high.lon_e7;
}

int area_polygon(const struct area_point *points, size_t count, struct err *err, struct area *ret_area)
{
	struct area area = {.kind = AREA_POLYGON};

	if (count > 1 && points[0].lat_e7 == points[count - 1].lat_e7 && points[0].lon_e7 == points[count - 1].lon_e7)
		count--;
	if (count < 3 || count > AREA_POINTS_MAX)
		return err_set(err, -EINVAL, "a polygon has 3 … %d different points", AREA_POINTS_MAX);
	area.low = area.high = points[0];
	for (size_t i = 0; i < count; i++) {
		const struct area_point *next = &points[(i + 1) % count];
		int r = check_point(points[i], err);

		if (r < 0)
			return r;
		if (llabs((int64_t)points[i].lon_e7 - next->lon_e7) > AREA_LON_E7_MAX)
			return err_set(err, -EINVAL,
				       "an edge spans more than 180 degrees of longitude: search both sides of the "
				       "antimeridian apart");
		widen(&area, points[i]);
		area.points[i] = points[i];
	}
	area.count = count;
	*ret_area = area;
	return 0;
}

/* Twice the area of the triangle a, b, point: its sign says on which side of the line from a to b the point lies. */
static __int128 side(struct area_point a, struct area_point b, struct area_point point)
{
	int64_t lon_ab = (int64_t)b.lon_e7 - a.lon_e7;
	int64_t lat_ab = (int64_t)b.lat_e7 - a.lat_e7;
	int64_t lon_ap = (int64_t)point.lon_e7 - a.lon_e7;
	int64_t lat_ap = (int64_t)point.lat_e7 - a.lat_e7;

	return (__int128)lon_ab * lat_ap - (__int128)lat_ab * lon_ap;
}

static bool between(int32_t a, int32_t b, int32_t x)
{
	return a < b ? x >= a && x <= b : x >= b && x <= a;
}

static bool polygon_contains(const struct area *area, struct area_point point)
{
	bool inside = false;

	if (point.lat_e7 < area->low.lat_e7 || point.lat_e7 > area->high.lat_e7 || point.lon_e7 < area->low.lon_e7 ||
	    point.lon_e7 > area->high.lon_e7)
		return false;
	for (size_t i = 0; i < area->count; i++) {
		struct area_point a = area->points[i];
		struct area_point b = area->points[(i + 1) % area->count];
		__int128 of = side(a, b, point);

		if (of == 0 && between(a.lat_e7, b.lat_e7, point.lat_e7) && between(a.lon_e7, b.lon_e7, point.lon_e7))
			return true;
		/* An edge counts its lower end and not its upper one, or a ray through a corner would meet it twice. */
		if ((a.lat_e7 <= point.lat_e7) != (b.lat_e7 <= point.lat_e7) && (b.lat_e7 > a.lat_e7) == (of > 0))
			inside = !inside;
	}
	return inside;
}

bool area_contains(const struct area *area, struct area_point point)
{
	double place[3];
	double sum = 0;

	if (area->kind == AREA_POLYGON)
		return polygon_contains(area, point);
	area_in_space(point, place);
	for (unsigned i = 0; i < 3; i++)
		sum += (place[i] - area->centre[i]) * (place[i] - area->centre[i]);
	return sum <= area->chord_squared;
}
