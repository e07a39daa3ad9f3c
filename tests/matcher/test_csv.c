#include "matcher/csv.h"

#include <stdlib.h>
#include <string.h>

#include "appliance/base/prng.h"
#include "tests/check.h"

static struct csv_record record;

static void start(struct csv *csv, const char *text)
{
	csv_init(csv, text, strlen(text));
}

static void fields_are(struct csv *csv, uint32_t line, const char *a, const char *b)
{
	CHECK(csv_next(csv, &record));
	CHECK(record.bad == NULL);
	CHECK_INT(line, record.line);
	CHECK_INT(2, record.field_count);
	CHECK_STR(a, record.fields[0]);
	CHECK_STR(b, record.fields[1]);
}

static void bad_is(struct csv *csv, uint32_t line, uint16_t column, const char *word)
{
	CHECK(csv_next(csv, &record));
	CHECK(record.bad != NULL);
	CHECK_INT(line, record.line);
	CHECK_INT(column, record.bad_field);
	CHECK(strstr(record.bad, word) != NULL);
}

static void rfc_4180(void)
{
	struct csv csv;

	start(&csv, "\xef\xbb\xbf"
		    "aaa,bbb\r\nzzz,\"y\"\"y\"\r\n\"b\r\nb\",\"c,c\"\n\n,\r\n\"\",\"\"\r\nlast,one");
	fields_are(&csv, 1, "aaa", "bbb");
	fields_are(&csv, 2, "zzz", "y\"y");
	fields_are(&csv, 3, "b  b", "c,c");
	fields_are(&csv, 6, "", "");
	fields_are(&csv, 7, "", "");
	fields_are(&csv, 8, "last", "one");
	CHECK(!csv_next(&csv, &record));
	CHECK(!csv_next(&csv, &record));
}

static void faults_are_named_and_left_behind(void)
{
	struct csv csv;

	start(&csv, "a,b\"c\nx,\"y\"z\np,\x01\nq,\xff\n\xc2\x85,1\nr,s\rt\nok,fine\n\"open,\nfor ever");
	bad_is(&csv, 1, 2, "quote inside");
	bad_is(&csv, 2, 2, "behind a closing quote");
	bad_is(&csv, 3, 2, "control");
	bad_is(&csv, 4, 2, "UTF-8");
	bad_is(&csv, 5, 1, "control");
	bad_is(&csv, 6, 2, "control");
	fields_are(&csv, 7, "ok", "fine");
	bad_is(&csv, 8, 1, "never closed");
	CHECK(!csv_next(&csv, &record));
}

static void sizes_are_bounded(void)
{
	static char text[4 * CSV_FIELD_SIZE_MAX];
	struct csv csv;

	memset(text, 'a', CSV_FIELD_SIZE_MAX);
	strcpy(text + CSV_FIELD_SIZE_MAX, ",x\n");
	start(&csv, text);
	CHECK(csv_next(&csv, &record));
	CHECK(record.bad == NULL);
	CHECK_INT(CSV_FIELD_SIZE_MAX, strlen(record.fields[0]));
	memset(text, 'a', CSV_FIELD_SIZE_MAX + 1);
	strcpy(text + CSV_FIELD_SIZE_MAX + 1, ",x\ny,z");
	start(&csv, text);
	bad_is(&csv, 1, 1, "longer");
	fields_are(&csv, 2, "y", "z");
	start(&csv, "1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16");
	CHECK(csv_next(&csv, &record));
	CHECK(record.bad == NULL && record.field_count == 16);
	start(&csv, "1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,\"17\",18\ny,z");
	bad_is(&csv, 1, 17, "more than 16");
	fields_are(&csv, 2, "y", "z");
}

/* Any fields, quoted as RFC 4180 says, come back as they were. */
static void what_is_quoted_comes_back(void)
{
	static const char alphabet[] = "a\",; \xc3\x84\n";
	struct prng prng = {check_seed()};

	for (int turn = 0; turn < 50000; turn++) {
		char fields[3][32] = {{0}}, text[3 * 70], *at = text;
		struct csv csv;

		for (int i = 0; i < 3; i++) {
			size_t count = prng_below(&prng, 8);
			char *field = fields[i];

			*at++ = '"';
			for (size_t j = 0; j < count; j++) {
				char c = alphabet[prng_below(&prng, sizeof(alphabet) - 1)];

				if ((uint8_t)c >= 0x80) {
					memcpy(at, "\xc3\x84", 2);
					memcpy(field, "\xc3\x84", 2);
					at += 2;
					field += 2;
					continue;
				}
				if (c == '"')
					*at++ = '"';
				*at++ = c;
				*field++ = c == '\n' ? ' ' : c;
			}
			*at++ = '"';
			*at++ = i < 2 ? ',' : '\n';
		}
		csv_init(&csv, text, (size_t)(at - text));
		CHECK(csv_next(&csv, &record));
		CHECK(record.bad == NULL);
		CHECK_INT(3, record.field_count);
		for (int i = 0; i < 3; i++)
			CHECK_STR(fields[i], record.fields[i]);
		CHECK(!csv_next(&csv, &record));
	}
}

/* Any bytes: it ends, lines only grow, and ASan sees no byte read beyond a text of exactly its size. */
static void any_bytes_are_safe(void)
{
	static const char likely[] = "\"\"\",,\r\n\nab\xc3\x84\0\x01";
	struct prng prng = {check_seed()};

	for (int turn = 0; turn < 50000; turn++) {
		size_t size = prng_below(&prng, 60);
		char *text = malloc(size + 1);
		char *exact;
		uint32_t line = 0;
		struct csv csv;
		size_t records = 0;

		for (size_t i = 0; i < size; i++)
			text[i] = prng_chance(&prng, 100) ? (char)prng_next(&prng)
							  : likely[prng_below(&prng, sizeof(likely) - 1)];
		exact = malloc(size > 0 ? size : 1);
		memcpy(exact, text, size);
		csv_init(&csv, exact, size);
		while (csv_next(&csv, &record)) {
			CHECK(record.line > line);
			line = record.line;
			CHECK(++records <= size);
			for (int i = 0; record.bad == NULL && i < record.field_count; i++)
				CHECK(csv_text_is_clean(record.fields[i], record.sizes[i]));
		}
		free(exact);
		free(text);
	}
}

int main(int argc, char **argv)
{
	static const struct check_test tests[] = {
		{"RFC 4180", rfc_4180},
		{"faults are named and left behind", faults_are_named_and_left_behind},
		{"sizes are bounded", sizes_are_bounded},
		{"what is quoted comes back", what_is_quoted_comes_back},
		{"any bytes are safe", any_bytes_are_safe},
		{NULL, NULL},
	};

	return check_main(argc, argv, "csv", tests);
}
