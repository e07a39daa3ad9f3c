/* The appliance's small parts: histogram, camera files, the tables that workers read. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "appliance/base/prng.h"
#include "appliance/camera_csv.h"
#include "appliance/histogram.h"
#include "appliance/tables.h"
#include "tests/check.h"

static int compare(const void *a, const void *b)
{
	int64_t left = *(const int64_t *)a;
	int64_t right = *(const int64_t *)b;

	return left < right ? -1 : left > right;
}

static void quantiles_are_near_the_sorted_values(void)
{
	static struct histogram histogram;
	static int64_t values[20000];
	struct prng prng = {check_seed()};
	const size_t count = sizeof(values) / sizeof(values[0]);

	CHECK_INT(0, histogram_quantile(&histogram, 500));
	for (size_t i = 0; i < count; i++) {
		values[i] = 1 + (int64_t)prng_below(&prng, UINT64_C(1) << (1 + prng_below(&prng, 30)));
		histogram_add(&histogram, values[i]);
	}
	qsort(values, count, sizeof(values[0]), compare);
	for (unsigned permille = 10; permille < 1000; permille += 45) {
		int64_t exact = values[(count * permille + 999) / 1000 - 1];
		int64_t told = (int64_t)histogram_quantile(&histogram, permille);

		if (told < exact || told > exact + exact / 7 + 1)
			check_note("permille %u: %lld, sorted %lld", permille, (long long)told, (long long)exact);
		CHECK(told >= exact && told <= exact + exact / 7 + 1);
	}
	CHECK_INT(count, histogram_within(&histogram, INT64_C(1) << 40));
	histogram_add(&histogram, -5);
	histogram_add(&histogram, INT64_MAX);
	CHECK_INT(count + 2, histogram_within(&histogram, INT64_MAX));
}

static int rows_of(const char *text, struct camera_row *rows, unsigned max, struct err *err)
{
	struct camera_csv csv;
	unsigned count = 0;
	int result = camera_csv_init(&csv, text, strlen(text), err);

	if (result < 0)
		return result;
	while (count < max && camera_csv_next(&csv, &rows[count]))
		count++;
	return (int)count;
}

static void camera_files_are_read_and_refused(void)
{
	struct camera_row rows[16];
	struct err err = {""};

	CHECK_INT(3, rows_of("lat,camera,lon,type,restricted,name\n51.5,7,-0.125,mobile,yes,\"A1, north\"\n"
			     "91,8,0,fixed,no,x\n51,0,0,fixed,no,x\n",
			     rows, 16, &err));
	CHECK(rows[0].bad == NULL);
	CHECK_INT(7, rows[0].camera.camera);
	CHECK_INT(515000000, rows[0].camera.lat_e7);
	CHECK_INT(-1250000, rows[0].camera.lon_e7);
	CHECK_INT(REG_CAMERA_MOBILE, rows[0].camera.type);
	CHECK(rows[0].camera.restricted);
	CHECK_STR("A1, north", rows[0].camera.name);
	CHECK(rows[1].bad != NULL);
	CHECK_INT(1, rows[1].bad_column);
	CHECK(rows[2].bad != NULL);
	CHECK_INT(2, rows[2].bad_column);
	CHECK_INT(2, rows_of("camera,lat,lon,type\n1,1,1,zeppelin\n2,nan,1,fixed\n", rows, 16, &err));
	CHECK(rows[0].bad != NULL && rows[1].bad != NULL);
	CHECK_INT(-EINVAL, rows_of("", rows, 16, &err));
	CHECK_INT(-EINVAL, rows_of("camera,lat\n", rows, 16, &err));
	CHECK(strstr(err.text, "lon") != NULL);
	CHECK_INT(-EINVAL, rows_of("camera,lat,lon,lat\n", rows, 16, &err));
	CHECK_INT(-EINVAL, rows_of("camera,lat,lon,colour\n", rows, 16, &err));
}

static void damaged_camera_files_are_survived(void)
{
	static const char whole[] = "camera,lat,lon,name\n1,51.5,0.1,\"a\"\"b\"\n2,52.5,0.2,c\n";
	struct prng prng = {check_seed()};

	for (unsigned round = 0; round < 5000; round++) {
		char text[sizeof(whole)];
		struct camera_row rows[16];
		struct err err;
		int count;

		memcpy(text, whole, sizeof(text));
		for (unsigned i = 0; i <= prng_below(&prng, 5); i++)
			text[prng_below(&prng, sizeof(text) - 1)] = (char)prng_next(&prng);
		text[prng_below(&prng, sizeof(text))] = '\0';
		count = rows_of(text, rows, 16, &err);
		for (int i = 0; i < count; i++)
			CHECK(rows[i].bad != NULL ||
			      (rows[i].camera.camera != 0 && rows[i].camera.lat_e7 <= 900000000));
	}
}

/* A feed's cameras: every combination of known, bound and suspended, for a bound feed and one that speaks for all. */
static void cameras_stand_as_the_register_says(void)
{
	struct tables tables = {0};
	struct feed_entry bound = {.feed = 3};
	struct feed_entry all = {.feed = 4, .all_cameras = true};
	uint32_t place;

	CHECK_INT(0, places_init(&tables.places, 3));
	CHECK_INT(0, slot_table_init(&tables.bindings, 2));
	/* Camera 10 is well, 11 suspended, 12 not bound, 13 unknown. */
	for (uint32_t camera = 10; camera <= 12; camera++) {
		places_add(&tables.places, camera, (struct area_point){(int32_t)camera, 0}, 0, camera == 11);
		if (camera != 12)
			slot_put(&tables.bindings, UINT64_C(3) << 32 | camera,
				 slot_find(&tables.places.by_camera, (uint64_t)camera + 1) - 1);
	}
	CHECK_INT(CAMERA_BOUND, tables_camera(&tables, &bound, 10, &place));
	CHECK_INT(CAMERA_SUSPENDED, tables_camera(&tables, &bound, 11, &place));
	CHECK_INT(CAMERA_NOT_BOUND, tables_camera(&tables, &bound, 12, &place));
	CHECK_INT(CAMERA_UNKNOWN, tables_camera(&tables, &bound, 13, &place));
	CHECK_INT(CAMERA_BOUND, tables_camera(&tables, &all, 12, &place));
	CHECK_INT(CAMERA_SUSPENDED, tables_camera(&tables, &all, 11, &place));
	CHECK_INT(1, place);
	CHECK_INT(CAMERA_UNKNOWN, tables_camera(&tables, &all, 13, &place));
	CHECK_INT(PLACE_NONE, place);
	slot_table_fini(&tables.bindings);
	places_fini(&tables.places);
}

int main(int argc, char **argv)
{
	static const struct check_test tests[] = {
		{"quantiles are near the sorted values", quantiles_are_near_the_sorted_values},
		{"camera files are read and refused", camera_files_are_read_and_refused},
		{"damaged camera files are survived", damaged_camera_files_are_survived},
		{"cameras stand as the register says", cameras_stand_as_the_register_says},
		{NULL, NULL},
	};

	return check_main(argc, argv, "appliance parts", tests);
}
