/*
 * Areas on the ground, WGS 84: circles and polygons, and whether a point lies inside. Pure functions, any thread.
 *
 * Circle: what is at most the radius away from its centre along the ellipsoid; exact to a millimetre at 10 km and 10 m
 * at 1,000 km. Poles and the antimeridian are no exception.
 *
 * Polygon: its edges are straight in longitude and latitude (as GeoJSON's, RFC 7946 section 3.1.1), a point is inside
 * when an odd number of them lies to its east; computed in whole numbers, so that nothing is ever on both sides. An
 * edge over more than 180 degrees of longitude is refused: an area across the antimeridian is two areas.
 *
 * The border belongs to the area.
 */
#ifndef GANTRY_BASE_AREA_H
#define GANTRY_BASE_AREA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "appliance/base/err.h"

#define AREA_POINTS_MAX 200
#define AREA_RADIUS_M_MAX 1000000
#define AREA_LAT_E7_MAX 900000000
#define AREA_LON_E7_MAX 1800000000

struct area_point {
	int32_t lat_e7;
	int32_t lon_e7;
};

enum area_kind { AREA_CIRCLE, AREA_POLYGON };

struct area {
	enum area_kind kind;
	/* polygon; its hull, for a quick no */
	size_t count;
	struct area_point points[AREA_POINTS_MAX];
	struct area_point low;
	struct area_point high;
	/* circle: its centre in space, and the longest chord squared, in metres */
	double centre[3];
	double chord_squared;
};

/* Both: 0, or -EINVAL with a text and ret untouched. radius_m 1 … AREA_RADIUS_M_MAX. */
int area_circle(struct area_point centre, uint32_t radius_m, struct err *err, struct area *ret_area);
/* 3 … AREA_POINTS_MAX points; the first repeated at the end counts once. */
int area_polygon(const struct area_point *points, size_t count, struct err *err, struct area *ret_area);

/*
 * As people write them, decimal degrees and metres: "LAT,LON,RADIUS" and "LAT,LON LAT,LON LAT,LON …"; at most seven
 * decimals. Errors as above.
 */
int area_circle_parse(const char *text, struct err *err, struct area *ret_area);
int area_polygon_parse(const char *text, struct err *err, struct area *ret_area);

/* Either of them behind its name: "circle LAT,LON,RADIUS", "polygon LAT,LON LAT,LON LAT,LON …". Errors as above. */
int area_parse(const char *text, struct err *err, struct area *ret_area);

bool area_contains(const struct area *area, struct area_point point);

/* Where a point of the ellipsoid lies in space: metres from the Earth's centre. Two of them lie a chord apart. */
void area_in_space(struct area_point point, double ret_metres[3]);

#endif
