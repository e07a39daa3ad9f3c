#include "matcher/vrm_table.h"

#include <stddef.h>

/* The letter and its lower case, where the two are a fixed distance apart. */
#define LATIN(point, letters) [point] = letters, [(point) + 0x20] = letters
#define GREEK(point, letters) [point] = letters, [(point) + 0x20] = letters
#define CYRILLIC(point, letters) [point] = letters, [(point) + 0x20] = letters
#define CYRILLIC_EXTRA(point, letters) [point] = letters, [(point) + 0x50] = letters

/* Two bytes of UTF-8 each: at most two letters. Pairs of Latin letters stand as upper case, lower case. */
static const char table_two_bytes[0x530][2] = {
	/* Latin-1: Western Europe. Æ, Ð, Ø, Þ, ß have no decomposition in Unicode; these are ours. */
	[0xc0 ... 0xc5] = "A",
	LATIN(0xc6, "AE"),
	LATIN(0xc7, "C"),
	[0xc8 ... 0xcb] = "E",
	[0xcc ... 0xcf] = "I",
	LATIN(0xd0, "D"),
	LATIN(0xd1, "N"),
	[0xd2 ... 0xd6] = "O",
	LATIN(0xd8, "O"),
	[0xd9 ... 0xdc] = "U",
	LATIN(0xdd, "Y"),
	LATIN(0xde, "TH"),
	[0xdf] = "SS",
	[0xe0 ... 0xe5] = "A",
	[0xe8 ... 0xeb] = "E",
	[0xec ... 0xef] = "I",
	[0xf2 ... 0xf6] = "O",
	[0xf9 ... 0xfc] = "U",
	[0xff] = "Y",

	/* Latin Extended-A: Central Europe, Baltic, Turkish, Welsh. */
	[0x100 ... 0x105] = "A",
	[0x106 ... 0x10d] = "C",
	[0x10e ... 0x111] = "D",
	[0x112 ... 0x11b] = "E",
	[0x11c ... 0x123] = "G",
	[0x124 ... 0x127] = "H",
	[0x128 ... 0x131] = "I",
	[0x132 ... 0x133] = "IJ",
	[0x134 ... 0x135] = "J",
	[0x136 ... 0x138] = "K",
	[0x139 ... 0x142] = "L",
	[0x143 ... 0x14b] = "N",
	[0x14c ... 0x151] = "O",
	[0x152 ... 0x153] = "OE",
	[0x154 ... 0x159] = "R",
	[0x15a ... 0x161] = "S",
	[0x162 ... 0x167] = "T",
	[0x168 ... 0x173] = "U",
	[0x174 ... 0x175] = "W",
	[0x176 ... 0x178] = "Y",
	[0x179 ... 0x17e] = "Z",
	[0x17f] = "S",

	/* Latin Extended-B: Romanian Ș and Ț, Azeri Ə, Croatian digraphs, letters with two marks. */
	[0x18f] = "E",
	[0x1a0 ... 0x1a1] = "O",
	[0x1af ... 0x1b0] = "U",
	[0x1c4 ... 0x1c6] = "DZ",
	[0x1c7 ... 0x1c9] = "LJ",
	[0x1ca ... 0x1cc] = "NJ",
	[0x1cd ... 0x1ce] = "A",
	[0x1cf ... 0x1d0] = "I",
	[0x1d1 ... 0x1d2] = "O",
	[0x1d3 ... 0x1dc] = "U",
	[0x1de ... 0x1e1] = "A",
	[0x1e2 ... 0x1e3] = "AE",
	[0x1e4 ... 0x1e7] = "G",
	[0x1e8 ... 0x1e9] = "K",
	[0x1ea ... 0x1ed] = "O",
	[0x1f0] = "J",
	[0x1f1 ... 0x1f3] = "DZ",
	[0x1f4 ... 0x1f5] = "G",
	[0x1f8 ... 0x1f9] = "N",
	[0x1fa ... 0x1fb] = "A",
	[0x1fc ... 0x1fd] = "AE",
	[0x1fe ... 0x1ff] = "O",
	[0x200 ... 0x203] = "A",
	[0x204 ... 0x207] = "E",
	[0x208 ... 0x20b] = "I",
	[0x20c ... 0x20f] = "O",
	[0x210 ... 0x213] = "R",
	[0x214 ... 0x217] = "U",
	[0x218 ... 0x219] = "S",
	[0x21a ... 0x21b] = "T",
	[0x21e ... 0x21f] = "H",
	[0x226 ... 0x227] = "A",
	[0x228 ... 0x229] = "E",
	[0x22a ... 0x231] = "O",
	[0x232 ... 0x233] = "Y",
	[0x259] = "E",

	/* Greek: the fourteen letters of Greek plates by their look, the others by ELOT 743, marks dropped. */
	[0x386] = "A",
	[0x388] = "E",
	[0x389] = "H",
	[0x38a] = "I",
	[0x38c] = "O",
	[0x38e] = "Y",
	[0x38f] = "O",
	[0x390] = "I",
	GREEK(0x391, "A"),
	GREEK(0x392, "B"),
	GREEK(0x393, "G"),
	GREEK(0x394, "D"),
	GREEK(0x395, "E"),
	GREEK(0x396, "Z"),
	GREEK(0x397, "H"),
	GREEK(0x398, "TH"),
	GREEK(0x399, "I"),
	GREEK(0x39a, "K"),
	GREEK(0x39b, "L"),
	GREEK(0x39c, "M"),
	GREEK(0x39d, "N"),
	GREEK(0x39e, "X"),
	GREEK(0x39f, "O"),
	GREEK(0x3a0, "P"),
	GREEK(0x3a1, "P"),
	[0x3c2] = "S",
	GREEK(0x3a3, "S"),
	GREEK(0x3a4, "T"),
	GREEK(0x3a5, "Y"),
	GREEK(0x3a6, "F"),
	GREEK(0x3a7, "X"),
	GREEK(0x3a8, "PS"),
	GREEK(0x3a9, "O"),
	GREEK(0x3aa, "I"),
	GREEK(0x3ab, "Y"),
	[0x3ac] = "A",
	[0x3ad] = "E",
	[0x3ae] = "H",
	[0x3af] = "I",
	[0x3b0] = "Y",
	[0x3cc] = "O",
	[0x3cd] = "Y",
	[0x3ce] = "O",

	/*
	 * Cyrillic: look-alikes by their look (also Ѕ, І, Ј), the others by sound, after ICAO Doc 9303 but no longer
	 * than two letters. The hard and the soft sign leave nothing.
	 */
	CYRILLIC_EXTRA(0x400, "E"),
	CYRILLIC_EXTRA(0x401, "E"),
	CYRILLIC_EXTRA(0x402, "D"),
	CYRILLIC_EXTRA(0x403, "G"),
	CYRILLIC_EXTRA(0x404, "E"),
	CYRILLIC_EXTRA(0x405, "S"),
	CYRILLIC_EXTRA(0x406, "I"),
	CYRILLIC_EXTRA(0x407, "I"),
	CYRILLIC_EXTRA(0x408, "J"),
	CYRILLIC_EXTRA(0x409, "LJ"),
	CYRILLIC_EXTRA(0x40a, "NJ"),
	CYRILLIC_EXTRA(0x40b, "C"),
	CYRILLIC_EXTRA(0x40c, "K"),
	CYRILLIC_EXTRA(0x40d, "I"),
	CYRILLIC_EXTRA(0x40e, "Y"),
	CYRILLIC_EXTRA(0x40f, "DZ"),
	CYRILLIC(0x410, "A"),
	CYRILLIC(0x411, "B"),
	CYRILLIC(0x412, "B"),
	CYRILLIC(0x413, "G"),
	CYRILLIC(0x414, "D"),
	CYRILLIC(0x415, "E"),
	CYRILLIC(0x416, "ZH"),
	CYRILLIC(0x417, "Z"),
	CYRILLIC(0x418, "I"),
	CYRILLIC(0x419, "I"),
	CYRILLIC(0x41a, "K"),
	CYRILLIC(0x41b, "L"),
	CYRILLIC(0x41c, "M"),
	CYRILLIC(0x41d, "H"),
	CYRILLIC(0x41e, "O"),
	CYRILLIC(0x41f, "P"),
	CYRILLIC(0x420, "P"),
	CYRILLIC(0x421, "C"),
	CYRILLIC(0x422, "T"),
	CYRILLIC(0x423, "Y"),
	CYRILLIC(0x424, "F"),
	CYRILLIC(0x425, "X"),
	CYRILLIC(0x426, "TS"),
	CYRILLIC(0x427, "CH"),
	CYRILLIC(0x428, "SH"),
	CYRILLIC(0x429, "SH"),
	CYRILLIC(0x42b, "Y"),
	CYRILLIC(0x42d, "E"),
	CYRILLIC(0x42e, "IU"),
	CYRILLIC(0x42f, "IA"),
	[0x490 ... 0x491] = "G",
};

/* U+1E00 to U+1EFF, Latin Extended Additional: Welsh Ẁ Ẃ Ẅ, capital ẞ, letters with marks below. */
static const char table_latin_more[0x100][2] = {
	[0x00 ... 0x01] = "A", [0x02 ... 0x07] = "B", [0x08 ... 0x09] = "C", [0x0a ... 0x13] = "D",
	[0x14 ... 0x1d] = "E", [0x1e ... 0x1f] = "F", [0x20 ... 0x21] = "G", [0x22 ... 0x2b] = "H",
	[0x2c ... 0x2f] = "I", [0x30 ... 0x35] = "K", [0x36 ... 0x3d] = "L", [0x3e ... 0x43] = "M",
	[0x44 ... 0x4b] = "N", [0x4c ... 0x53] = "O", [0x54 ... 0x57] = "P", [0x58 ... 0x5f] = "R",
	[0x60 ... 0x69] = "S", [0x6a ... 0x71] = "T", [0x72 ... 0x7b] = "U", [0x7c ... 0x7f] = "V",
	[0x80 ... 0x89] = "W", [0x8a ... 0x8d] = "X", [0x8e ... 0x8f] = "Y", [0x90 ... 0x95] = "Z",
	[0x96] = "H",          [0x97] = "T",          [0x98] = "W",          [0x99] = "Y",
	[0x9a] = "A",          [0x9b] = "S",          [0x9e] = "SS",         [0xa0 ... 0xb7] = "A",
	[0xb8 ... 0xc7] = "E", [0xc8 ... 0xcb] = "I", [0xcc ... 0xe3] = "O", [0xe4 ... 0xf1] = "U",
	[0xf2 ... 0xf9] = "Y",
};

static const char table_digits[10][2] = {"0", "1", "2", "3", "4", "5", "6", "7", "8", "9"};
static const char table_upper[26][2] = {"A", "B", "C", "D", "E", "F", "G", "H", "I", "J", "K", "L", "M",
					"N", "O", "P", "Q", "R", "S", "T", "U", "V", "W", "X", "Y", "Z"};

static const char *ascii_letters(uint32_t point)
{
	if (point >= '0' && point <= '9')
		return table_digits[point - '0'];
	if (point >= 'A' && point <= 'Z')
		return table_upper[point - 'A'];
	if (point >= 'a' && point <= 'z')
		return table_upper[point - 'a'];
	return NULL;
}

const char *vrm_letters(uint32_t point)
{
	const char *letters;

	if (point < 0x80)
		return ascii_letters(point);
	if (point >= 0xff01 && point <= 0xff5e) /* full-width forms of ASCII */
		return ascii_letters(point - 0xff01 + '!');
	if (point < 0x530)
		letters = table_two_bytes[point];
	else if (point >= 0x1e00 && point <= 0x1eff)
		letters = table_latin_more[point - 0x1e00];
	else
		return NULL;
	return letters[0] != 0 ? letters : NULL;
}
