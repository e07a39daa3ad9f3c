/* Geometry against plain models: Vincenty's formulae on the ellipsoid, and the winding number of a polygon. */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "appliance/base/prng.h"
#include "appliance/base/area.h"
#include "tests/check.h"

#define E7 10000000.0

static struct area_point at(double lat, double lon)
{
	return (struct area_point){(int32_t)lround(lat * E7), (int32_t)lround(lon * E7)};
}

static double radians(int32_t e7)
{
	return e7 / E7 * M_PI / 180;
}

/* T. Vincenty, Direct and inverse solutions of geodesics on the ellipsoid (1975), equations 13 to 19. NAN: no answer.
 */
static double distance(struct area_point p, struct area_point q)
{
	const double a = 6378137, f = 1 / 298.257223563, b = a * (1 - f);
	double u1 = atan((1 - f) * tan(radians(p.lat_e7))), u2 = atan((1 - f) * tan(radians(q.lat_e7)));
	double l = radians(q.lon_e7) - radians(p.lon_e7), lambda = l, before;
	double sin_s = 0, cos_s = 1, s = 0, cos2 = 0, cos_2m = 0;

	for (int i = 0; i < 100; i++) {
		double sin_l = sin(lambda), cos_l = cos(lambda), sin_a, c;

		sin_s = hypot(cos(u2) * sin_l, cos(u1) * sin(u2) - sin(u1) * cos(u2) * cos_l);
		if (sin_s == 0)
			return 0;
		cos_s = sin(u1) * sin(u2) + cos(u1) * cos(u2) * cos_l;
		s = atan2(sin_s, cos_s);
		sin_a = cos(u1) * cos(u2) * sin_l / sin_s;
		cos2 = 1 - sin_a * sin_a;
		cos_2m = cos2 == 0 ? 0 : cos_s - 2 * sin(u1) * sin(u2) / cos2;
		c = f / 16 * cos2 * (4 + f * (4 - 3 * cos2));
		before = lambda;
		lambda = l + (1 - c) * f * sin_a * (s + c * sin_s * (cos_2m + c * cos_s * (2 * cos_2m * cos_2m - 1)));
		if (fabs(lambda - before) < 1e-12) {
			double uu = cos2 * (a * a - b * b) / (b * b);
			double big_a = 1 + uu / 16384 * (4096 + uu * (-768 + uu * (320 - 175 * uu)));
			double big_b = uu / 1024 * (256 + uu * (-128 + uu * (74 - 47 * uu)));
			double delta = big_b * sin_s *
				       (cos_2m + big_b / 4 *
							 (cos_s * (2 * cos_2m * cos_2m - 1) -
							  big_b / 6 * cos_2m * (4 * sin_s * sin_s - 3) *
								  (4 * cos_2m * cos_2m - 3)));

			return b * big_a * (s - delta);
		}
	}
	return NAN;
}

static void circles_agree_with_vincenty(void)
{
	static const uint32_t radii[] = {1, 10, 1000, 10000, 100000, 1000000};
	static const double errors[] = {1e-4, 1e-4, 1e-4, 1e-3, 0.02, 10};
	struct prng prng = {check_seed()};

	for (unsigned i = 0; i < 300000; i++) {
		unsigned which = (unsigned)prng_below(&prng, 6);
		struct area_point centre = at((double)prng_below(&prng, 179000) / 1000 - 89.5,
					      (double)prng_below(&prng, 359000) / 1000 - 179.5);
		double angle = (double)prng_below(&prng, 6283) / 1000, away = radii[which] * 1.2 / 111000;
		double part = (double)prng_below(&prng, 1000) / 1000;
		struct area_point point = {(int32_t)(centre.lat_e7 + part * away * sin(angle) * E7),
					   (int32_t)(centre.lon_e7 + part * away * cos(angle) * E7)};
		struct area area;
		struct err err = {""};
		double metres;

		if (abs(point.lat_e7) > AREA_LAT_E7_MAX || labs(centre.lon_e7) > AREA_LON_E7_MAX - 150000000)
			continue;
		CHECK_INT(0, area_circle(centre, radii[which], &err, &area));
		metres = distance(centre, point);
		if (isnan(metres) || fabs(metres - radii[which]) < errors[which])
			continue;
		CHECK(area_contains(&area, point) == (metres < radii[which]));
	}
}

/* The error itself, at the border: walks out from the centre until the area ends. */
static void a_circle_ends_where_it_should(void)
{
	static const struct {
		uint32_t radius;
		double error;
	} cases[] = {{1, 0.02}, {1000, 0.02}, {10000, 0.02}, {100000, 0.03}, {1000000, 10}};

	for (unsigned c = 0; c < 5; c++) {
		for (double lat = -85; lat <= 85; lat += 17) {
			struct area_point centre = at(lat, 12);
			struct area area;
			struct err err = {""};
			int32_t in = centre.lon_e7, out = centre.lon_e7 + AREA_LON_E7_MAX / 2;

			CHECK_INT(0, area_circle(centre, cases[c].radius, &err, &area));
			while (out - in > 1) {
				int32_t middle = in + (out - in) / 2;

				if (area_contains(&area, (struct area_point){centre.lat_e7, middle}))
					in = middle;
				else
					out = middle;
			}
			if (fabs(lat) > 80 && cases[c].radius == 1000000)
				continue; /* goes round the pole */
			CHECK(fabs(distance(centre, (struct area_point){centre.lat_e7, in}) - cases[c].radius) <
			      cases[c].error);
		}
	}
}

static void circles_know_poles_and_antimeridian(void)
{
	struct area area;
	struct err err = {""};

	CHECK_INT(0, area_circle(at(10, 179.9999), 1000, &err, &area));
	CHECK(area_contains(&area, at(10, -179.9999)));
	CHECK(area_contains(&area, at(10, 180)));
	CHECK(area_contains(&area, at(10, -180)));
	CHECK(!area_contains(&area, at(10, -179.9)));
	CHECK_INT(0, area_circle(at(90, 0), 1000, &err, &area));
	CHECK(area_contains(&area, at(90, 123)));
	CHECK(area_contains(&area, at(89.9999, -170)));
	CHECK(!area_contains(&area, at(89.98, 10)));
	CHECK_INT(0, area_circle(at(-90, 55), 1, &err, &area));
	CHECK(area_contains(&area, at(-90, -55)));
	CHECK_INT(0, area_circle(at(51.5, 0), 1, &err, &area));
	CHECK(area_contains(&area, at(51.5, 0)));
	CHECK(area_contains(&area, at(51.5000085, 0)));
	CHECK(!area_contains(&area, at(51.5000095, 0)));
	CHECK_INT(0, area_circle(at(0, 0), AREA_RADIUS_M_MAX, &err, &area));
	CHECK(!area_contains(&area, at(0, 180)));
	CHECK(area_contains(&area, at(0, 8.98)));
	CHECK(!area_contains(&area, at(0, 8.99)));
}

/* How often the polygon goes round the point: odd is inside. Rays go up here, not east; the border is looked at apart.
 */
static bool model_contains(const struct area_point *points, size_t count, struct area_point point)
{
	int crossings = 0;

	for (size_t i = 0; i < count; i++) {
		struct area_point a = points[i], b = points[(i + 1) % count];
		long double lon = point.lon_e7, lat = point.lat_e7;
		long double x1 = a.lon_e7, y1 = a.lat_e7, x2 = b.lon_e7, y2 = b.lat_e7;
		long double cross = (x2 - x1) * (lat - y1) - (y2 - y1) * (lon - x1);

		if (cross == 0 && fminl(x1, x2) <= lon && lon <= fmaxl(x1, x2) && fminl(y1, y2) <= lat &&
		    lat <= fmaxl(y1, y2))
			return true;
		if (x1 != x2 && fminl(x1, x2) <= lon && lon < fmaxl(x1, x2) &&
		    y1 + (y2 - y1) * (lon - x1) / (x2 - x1) > lat)
			crossings++;
	}
	return crossings % 2 == 1;
}

/* A coarse grid, so that corners and borders are met all the time. */
static void polygons_agree_with_the_model(void)
{
	struct prng prng = {check_seed()};
	unsigned inside = 0, asked = 0;

	for (unsigned i = 0; i < 20000; i++) {
		size_t count = 3 + prng_below(&prng, 9);
		int32_t unit = prng_chance(&prng, 500) ? 1 : 1000003;
		struct area_point points[12];
		struct area area;
		struct err err = {""};

		for (size_t p = 0; p < count; p++)
			points[p] = (struct area_point){(int32_t)prng_below(&prng, 9) * unit,
							((int32_t)prng_below(&prng, 9) - 4) * unit};
		if (area_polygon(points, count, &err, &area) != 0)
			continue; /* the last point is the first, and then there are two */
		for (unsigned q = 0; q < 40; q++, asked++) {
			struct area_point point = {((int32_t)prng_below(&prng, 11) - 1) * unit,
						   ((int32_t)prng_below(&prng, 11) - 5) * unit};

			CHECK(model_contains(points, count, point) == area_contains(&area, point));
			inside += area_contains(&area, point);
		}
	}
	CHECK(inside > asked / 20 && inside < asked / 2);
}

static void polygons_know_their_limits(void)
{
	struct area_point many[AREA_POINTS_MAX + 2];
	struct area_point world[] = {at(-90, -180), at(-90, 0), at(-90, 180), at(90, 180), at(90, 0), at(90, -180)};
	struct area_point across[] = {at(10, 179), at(10, -179), at(11, 180)};
	struct area_point closed[] = {at(0, 0), at(0, 1), at(1, 1), at(0, 0)};
	struct area_point line[] = {at(0, 0), at(1, 1), at(2, 2)};
	struct area area = {.count = 77};
	struct err err = {""};

	CHECK_INT(-EINVAL, area_polygon(across, 3, &err, &area));
	CHECK(strstr(err.text, "antimeridian") != NULL);
	CHECK_INT(-EINVAL, area_polygon(closed, 2, &err, &area));
	CHECK_INT(-EINVAL, area_polygon(closed, 0, &err, &area));
	CHECK_INT(77, area.count);
	CHECK_INT(0, area_polygon(closed, 4, &err, &area));
	CHECK_INT(3, area.count);
	CHECK(area_contains(&area, at(0, 0)) && area_contains(&area, at(0.5, 0.5)) && area_contains(&area, at(0, 0.3)));
	CHECK(!area_contains(&area, at(0.5000001, 0.5)));
	CHECK_INT(0, area_polygon(world, 6, &err, &area));
	CHECK(area_contains(&area, at(90, 180)) && area_contains(&area, at(-12, 34)));
	CHECK_INT(0, area_polygon(line, 3, &err, &area));
	CHECK(area_contains(&area, at(0.5, 0.5)) && !area_contains(&area, at(0.5, 0.6)));
	for (int i = 0; i < AREA_POINTS_MAX + 2; i++)
		many[i] = at(i * 0.01, (double)(i % 2));
	CHECK_INT(0, area_polygon(many, AREA_POINTS_MAX, &err, &area));
	CHECK_INT(-EINVAL, area_polygon(many, AREA_POINTS_MAX + 1, &err, &area));
	many[1].lat_e7 = AREA_LAT_E7_MAX + 1;
	CHECK_INT(-EINVAL, area_polygon(many, 3, &err, &area));
	many[1] = (struct area_point){0, -AREA_LON_E7_MAX - 1};
	CHECK_INT(-EINVAL, area_polygon(many, 3, &err, &area));
}

static void texts_become_areas(void)
{
	static const char *const circles[] = {"",           "51.5",
					      "51.5,0",     "51.5,0,",
					      "51.5,0,0",   "51.5,0,1m",
					      "51.5,0,1.5", "51.5,0,1000001",
					      "91,0,5",     "0,181,5",
					      "0,-180.1,5", "a,b,5",
					      "51.5, 0,5",  "51.50000001,0,5",
					      "1.2.3,0,5",  "51.5,0,99999999999999",
					      "-,-,5",      ".,.,5",
					      "1e1,0,5",    "51.5,0,5 "};
	static const char *const polygons[] = {
		"", "0,0 0,1", "0,0 0,1 1", "0,0;0,1;1,1", "0,0 0,1 1,1,", "0,0 0,1 1,91x"};
	struct area area, other;
	struct err err = {""};
	char many[AREA_POINTS_MAX * 8 + 64] = "";

	CHECK_INT(0, area_circle_parse("51.5074,-0.1278,500", &err, &area));
	CHECK_INT(0, area_circle(at(51.5074, -0.1278), 500, &err, &other));
	CHECK_MEM(area.centre, other.centre, sizeof(area.centre));
	CHECK(area.chord_squared == other.chord_squared);
	CHECK_INT(0, area_circle_parse("-90,+180.0000000,1", &err, &area));
	CHECK_INT(0, area_polygon_parse(" 0,0  0.0000001,1 -1.5,1.25 0,0 ", &err, &area));
	CHECK_INT(3, area.count);
	CHECK_INT(1, area.points[1].lat_e7);
	CHECK_INT(-15000000, area.points[2].lat_e7);
	CHECK_INT(12500000, area.points[2].lon_e7);
	for (size_t i = 0; i < sizeof(circles) / sizeof(circles[0]); i++)
		CHECK_INT(-EINVAL, area_circle_parse(circles[i], &err, &area));
	for (size_t i = 0; i < sizeof(polygons) / sizeof(polygons[0]); i++)
		CHECK_INT(-EINVAL, area_polygon_parse(polygons[i], &err, &area));
	for (int i = 0; i < AREA_POINTS_MAX + 5; i++)
		strcat(many, i % 2 != 0 ? "1,0 " : "0,1 ");
	CHECK_INT(-EINVAL, area_polygon_parse(many, &err, &area));
}

/* Areas as they stand in the heads of lists, made wrong: refused and nothing touched, or an area as it ought to be. */
static void any_text_is_safe(void)
{
	static const char *const seeds[] = {"circle 51.5,-0.12,500", "polygon 51.5,-0.14 51.6,-0.14 51.6,-0.1",
					    "polygon 89.9,179.9 -89.9,179.9 0,1 0.0000001,-1"};
	static const char likely[] = "0123456789,,,. -+eE\tnaif";
	static struct area area, before;
	struct prng prng = {check_seed()};
	unsigned taken = 0, refused = 0;

	for (unsigned turn = 0; turn < 50000; turn++) {
		const char *seed = seeds[prng_below(&prng, 3)];
		size_t size = strlen(seed);
		char *text = malloc(size + 1); /* of its size, for ASan */
		struct err err = {""};
		int status;

		memcpy(text, seed, size + 1);
		for (uint64_t i = 1 + prng_below(&prng, 3); i > 0; i--)
			text[prng_below(&prng, size)] = prng_chance(&prng, 950)
								? likely[prng_below(&prng, sizeof(likely) - 1)]
								: (char)prng_next(&prng);
		memset(&area, 0x5a, sizeof(area));
		before = area;
		status = area_parse(text, &err, &area);
		CHECK(status == 0 || (status == -EINVAL && err.text[0] != '\0'));
		CHECK(status == 0 || memcmp(&area, &before, sizeof(area)) == 0);
		if (status == 0 && area.kind == AREA_POLYGON) {
			CHECK(area.count >= 3 && area.count <= AREA_POINTS_MAX);
			CHECK(area.low.lat_e7 >= -AREA_LAT_E7_MAX && area.high.lat_e7 <= AREA_LAT_E7_MAX);
			CHECK(area.low.lon_e7 >= -AREA_LON_E7_MAX && area.high.lon_e7 <= AREA_LON_E7_MAX);
			for (size_t i = 0; i < area.count; i++)
				CHECK(area_contains(&area, area.points[i]));
		}
		taken += status == 0;
		refused += status < 0;
		free(text);
	}
	CHECK(taken > 500 && refused > 500);
}

int main(int argc, char **argv)
{
	static const struct check_test tests[] = {
		{"circles agree with Vincenty", circles_agree_with_vincenty},
		{"a circle ends where it should", a_circle_ends_where_it_should},
		{"circles know poles and antimeridian", circles_know_poles_and_antimeridian},
		{"polygons agree with the model", polygons_agree_with_the_model},
		{"polygons know their limits", polygons_know_their_limits},
		{"texts become areas", texts_become_areas},
		{"any text is safe", any_text_is_safe},
		{NULL, NULL},
	};

	return check_main(argc, argv, "area", tests);
}
