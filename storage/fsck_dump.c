#include "storage/fsck.h"

#include <string.h>

#include "appliance/base/bytes.h"

const char fsck_dump_format[] =
	"Dump format: one line per stored read, fields separated by tabs:\n"
	"  day          capture day, days since 1970-01-01 UTC\n"
	"  where        s<segment id> or j<journal id>, 16 hex digits\n"
	"  feed epoch   numbers\n"
	"  capture_us receipt_us   microseconds since 1970-01-01 UTC\n"
	"  camera       number\n"
	"  text         as received; control bytes and backslash as \\xNN; - when not read\n"
	"  key          VRM key, 32 hex digits\n"
	"  lat_e7 lon_e7\n"
	"  kind confidence lane direction flags   numbers\n"
	"  country      two letters or -\n"
	"  images       number\n"
	"and one line per refused run of a journal that is not sealed:\n"
	"  refused  j<journal id>  feed  epoch  lane  first sequence  count  reason  receipt_us\n"
	"Each read stands once: a journal's reads of a day are left out when a segment of that day names the "
	"journal.\n";

static char *put_unsigned(char *at, uint64_t value)
{
	char digits[20];
	unsigned count = 0;

	do {
		digits[count++] = (char)('0' + value % 10);
		value /= 10;
	} while (value != 0);
	while (count > 0)
		*at++ = digits[--count];
	*at++ = '\t';
	return at;
}

static char *put_signed(char *at, int64_t value)
{
	if (value < 0)
		*at++ = '-';
	return put_unsigned(at, value < 0 ? -(uint64_t)value : (uint64_t)value);
}

static char *put_hex(char *at, const void *bytes, size_t size)
{
	hex_encode(bytes, size, at);
	at += 2 * size;
	*at++ = '\t';
	return at;
}

static char *put_where(char *at, char where, uint64_t id)
{
	uint8_t bytes[8];

	be64_put(bytes, id);
	*at++ = where;
	return put_hex(at, bytes, sizeof(bytes));
}

static char *put_text(char *at, const uint8_t text[READ_TEXT_SIZE])
{
	unsigned size = READ_TEXT_SIZE;

	while (size > 0 && text[size - 1] == 0)
		size--;
	if (size == 0)
		*at++ = '-';
	for (unsigned i = 0; i < size; i++) {
		if (text[i] < 0x20 || text[i] == 0x7f || text[i] == '\\') {
			*at++ = '\\';
			*at++ = 'x';
			at = put_hex(at, &text[i], 1) - 1;
		} else {
			*at++ = (char)text[i];
		}
	}
	*at++ = '\t';
	return at;
}

static char *put_country(char *at, uint16_t country)
{
	char letters[2] = {(char)(country & 0xff), (char)(country >> 8)};

	if (letters[0] < 'A' || letters[0] > 'Z' || letters[1] < 'A' || letters[1] > 'Z') {
		*at++ = '-';
	} else {
		*at++ = letters[0];
		*at++ = letters[1];
	}
	*at++ = '\t';
	return at;
}

static void write_line(struct fsck *fsck, const char *line, char *end)
{
	end[-1] = '\n'; /* over the last tab */
	(void)fwrite_unlocked(line, 1, (size_t)(end - line), fsck->dump);
}

void fsck_dump_row(struct fsck *fsck, char where, uint64_t id, const struct read *row)
{
	char line[512];
	char *at = line;

	if (fsck->dump == NULL)
		return;
	at = put_signed(at, read_day(row->capture_us));
	at = put_where(at, where, id);
	at = put_unsigned(at, row->feed);
	at = put_unsigned(at, row->epoch);
	at = put_signed(at, row->capture_us);
	at = put_signed(at, row->receipt_us);
	at = put_unsigned(at, row->camera);
	at = put_text(at, row->text);
	at = put_hex(at, row->key, READ_TEXT_SIZE);
	at = put_signed(at, row->lat_e7);
	at = put_signed(at, row->lon_e7);
	at = put_unsigned(at, row->kind);
	at = put_unsigned(at, row->confidence);
	at = put_unsigned(at, row->road_lane);
	at = put_unsigned(at, row->direction);
	at = put_unsigned(at, row->flags);
	at = put_country(at, row->country);
	at = put_unsigned(at, row->images);
	write_line(fsck, line, at);
}

void fsck_dump_refused(struct fsck *fsck, uint64_t id, const struct run *run, int64_t receipt_us)
{
	char line[256] = "refused\t";
	char *at = line + 8;

	if (fsck->dump == NULL)
		return;
	at = put_where(at, 'j', id);
	at = put_unsigned(at, run->feed);
	at = put_unsigned(at, run->epoch);
	at = put_unsigned(at, run->lane);
	at = put_unsigned(at, run->first);
	at = put_unsigned(at, run->count);
	at = put_unsigned(at, run->refusal);
	at = put_signed(at, receipt_us);
	write_line(fsck, line, at);
}
