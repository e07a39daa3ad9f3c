/* Areas as people write them. Numbers are taken digit by digit: no locale, no exponent, no rounding. */
#include <errno.h>
#include <string.h>

#include "appliance/base/area.h"

/* Degrees with at most seven decimals, as 1e-7 degree. Moves *at behind them. */
static int take_degrees(const char **at, struct err *err, int32_t *ret_e7)
{
	const char *text = *at;
	bool negative = *text == '-';
	int64_t value = 0;
	unsigned digits = 0;
	int decimals = -1;

	text += negative || *text == '+';
	for (; (*text >= '0' && *text <= '9') || (*text == '.' && decimals < 0); text++) {
		if (*text == '.') {
			decimals = 0;
			continue;
		}
		value = value * 10 + (*text - '0');
		decimals += decimals >= 0;
		if (++digits > 10 || decimals > 7)
			return err_set(err, -EINVAL, "degrees have at most three digits and seven decimals");
	}
	if (digits == 0)
		return err_set(err, -EINVAL, "degrees are written like 51.5074 or -0.1278");
	for (int i = decimals < 0 ? 0 : decimals; i < 7; i++)
		value *= 10;
	if (value > AREA_LON_E7_MAX)
		return err_set(err, -EINVAL, "there are no more than 180 degrees");
	*ret_e7 = (int32_t)(negative ? -value : value);
	*at = text;
	return 0;
}

static int take_point(const char **at, struct err *err, struct area_point *ret_point)
{
	struct area_point point;
	int r = take_degrees(at, err, &point.lat_e7);

	if (r < 0)
		return r;
	if (**at != ',')
		return err_set(err, -EINVAL, "a point is LAT,LON");
	(*at)++;
	r = take_degrees(at, err, &point.lon_e7);
	if (r < 0)
		return r;
	*ret_point = point;
	return 0;
}

int area_circle_parse(const char *text, struct err *err, struct area *ret_area)
{
	struct area_point centre;
	uint32_t radius = 0;
	int r = take_point(&text, err, &centre);

	if (r < 0)
		return r;
	if (*text != ',' || text[1] < '0' || text[1] > '9')
		return err_set(err, -EINVAL, "a circle is LAT,LON,RADIUS with whole metres");
	for (text++; *text >= '0' && *text <= '9' && radius <= AREA_RADIUS_M_MAX; text++)
		radius = radius * 10 + (uint32_t)(*text - '0');
	if (*text != '\0' && radius <= AREA_RADIUS_M_MAX)
		return err_set(err, -EINVAL, "a circle is LAT,LON,RADIUS with whole metres");
	return area_circle(centre, radius, err, ret_area);
}

int area_polygon_parse(const char *text, struct err *err, struct area *ret_area)
{
	struct area_point points[AREA_POINTS_MAX + 1]; /* the first may stand again at the end */
	size_t count = 0;

	text += strspn(text, " ");
	while (*text != '\0') {
		int r;

		if (count == AREA_POINTS_MAX + 1)
			return err_set(err, -EINVAL, "a polygon has 3 … %d different points", AREA_POINTS_MAX);
		r = take_point(&text, err, &points[count]);
		if (r < 0)
			return r;
		count++;
		if (*text != ' ' && *text != '\0')
			return err_set(err, -EINVAL, "a polygon is LAT,LON LAT,LON LAT,LON … with blanks between");
		text += strspn(text, " ");
	}
	return area_polygon(points, count, err, ret_area);
}

int area_parse(const char *text, struct err *err, struct area *ret_area)
{
	if (strncmp(text, "circle ", strlen("circle ")) == 0)
		return area_circle_parse(text + strlen("circle "), err, ret_area);
	if (strncmp(text, "polygon ", strlen("polygon ")) == 0)
		return area_polygon_parse(text + strlen("polygon "), err, ret_area);
	return err_set(err, -EINVAL, "an area is a circle or a polygon");
}
