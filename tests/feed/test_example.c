/*
 * The worked example and the counters table of docs/feed-protocol.md, derived by the code and looked for in the page:
 * neither can change without the other. `test_feed_example --print` writes both, ready to be put into the page.
 */
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "appliance/base/bytes.h"
#include "dpdk/feed/link.h"
#include "dpdk/feed/peer.h"
#include "dpdk/feed/record.h"
#include "tests/check.h"

#define FEED 258
#define WORKER 5
#define SLOT 0x0203
#define TIME_US INT64_C(1795329000000000) /* 2026-11-22T06:30:00Z */

static struct feed_link link_end;
static struct feed_peer peer_end;
static uint8_t psk[32];
static uint8_t sender_private[32];
static uint8_t appliance_private[32];

/* What is looked for in the page, and how: printed, or searched. */
static const char *page;
static bool printing;

static void expect(const char *text)
{
	if (printing) {
		fputs(text, stdout);
		return;
	}
	if (strstr(page, text) == NULL)
		check_note("docs/feed-protocol.md lacks:\n%s", text);
	CHECK(strstr(page, text) != NULL);
}

/* "name\n" and lines of 32 bytes in hex, each after two blanks. */
static void value(const char *name, const uint8_t *bytes, size_t size)
{
	char text[8192];
	size_t at = (size_t)snprintf(text, sizeof(text), "%s\n", name);

	for (size_t done = 0; done < size; done += 32) {
		char hex[65];
		size_t part = size - done < 32 ? size - done : 32;

		at += (size_t)snprintf(text + at, sizeof(text) - at, "  %s\n", hex_encode(bytes + done, part, hex));
	}
	expect(text);
}

static void random_sender(void *bytes, size_t size)
{
	CHECK_INT(32, size);
	memcpy(bytes, sender_private, size);
}

/* The appliance draws the session's generation first, then its ephemeral key. */
static void random_appliance(void *bytes, size_t size)
{
	if (size == 1)
		*(uint8_t *)bytes = 0x41;
	else
		memcpy(bytes, appliance_private, size);
}

static void public_of(const uint8_t private[32], uint8_t ret_public[32])
{
	EVP_PKEY *key = EVP_PKEY_new_raw_private_key(EVP_PKEY_X25519, NULL, private, 32);
	size_t size = 32;

	CHECK(key != NULL && EVP_PKEY_get_raw_public_key(key, ret_public, &size) == 1);
	EVP_PKEY_free(key);
}

static void shared_of(const uint8_t private[32], const uint8_t public[32], uint8_t ret_secret[32])
{
	EVP_PKEY *own = EVP_PKEY_new_raw_private_key(EVP_PKEY_X25519, NULL, private, 32);
	EVP_PKEY *other = EVP_PKEY_new_raw_public_key(EVP_PKEY_X25519, NULL, public, 32);
	EVP_PKEY_CTX *context = EVP_PKEY_CTX_new(own, NULL);
	size_t size = 32;

	CHECK(context != NULL && EVP_PKEY_derive_init(context) == 1 && EVP_PKEY_derive_set_peer(context, other) == 1 &&
	      EVP_PKEY_derive(context, ret_secret, &size) == 1);
	EVP_PKEY_CTX_free(context);
	EVP_PKEY_free(other);
	EVP_PKEY_free(own);
}

static void noise_values(const char *when, const struct noise *noise)
{
	char name[64];

	(void)snprintf(name, sizeof(name), "h %s", when);
	value(name, noise->hash, 32);
	(void)snprintf(name, sizeof(name), "ck %s", when);
	value(name, noise->chain, 32);
	(void)snprintf(name, sizeof(name), "k %s", when);
	value(name, noise->key, 32);
}

static void ends_init(void)
{
	for (uint8_t i = 0; i < 32; i++) {
		psk[i] = i;
		sender_private[i] = (uint8_t)(0x20 + i);
		appliance_private[i] = (uint8_t)(0x40 + i);
	}
	feed_link_init(&link_end, FEED, psk);
	link_end.random = random_sender;
	feed_peer_init(&peer_end, FEED, WORKER, SLOT, psk, NULL, 0);
	peer_end.random = random_appliance;
	feed_link_start(&link_end, 0);
}

static void example_keys(void)
{
	uint8_t prologue[NOISE_PROLOGUE_SIZE];
	uint8_t sender_public[32];
	uint8_t appliance_public[32];
	uint8_t secret[32];
	struct noise noise;

	public_of(sender_private, sender_public);
	public_of(appliance_private, appliance_public);
	shared_of(sender_private, appliance_public, secret);
	noise_prologue(FEED, prologue);
	noise_init(&noise, prologue, sizeof(prologue), psk);
	value("psk", psk, 32);
	value("sender's ephemeral private key", sender_private, 32);
	value("sender's ephemeral public key", sender_public, 32);
	value("appliance's ephemeral private key", appliance_private, 32);
	value("appliance's ephemeral public key", appliance_public, 32);
	value("X25519 shared secret", secret, 32);
	value("prologue", prologue, sizeof(prologue));
	noise_values("after the token psk", &noise);
}

static void example_hello(uint8_t ret_hello[FEED_HELLO_SIZE])
{
	const struct feed_hello hello = {.clock_us = TIME_US,
					 .lanes = {{.next = 1003, .lowest = 1001}, {.next = 1, .lowest = 1}},
					 .epoch = 3,
					 .name = "Example Force"};
	uint8_t payload[FEED_HELLO_PAYLOAD_SIZE];

	feed_hello_encode(&hello, payload);
	CHECK_INT(FEED_SEALED, feed_link_hello(&link_end, &hello, 0, ret_hello));
	value("HELLO payload", payload, sizeof(payload));
	value("HELLO datagram", ret_hello, FEED_HELLO_SIZE);
	noise_values("after the HELLO", &link_end.handshake);
}

/* The handshake once more by the Noise functions alone, for the values that the peer wipes. */
static void example_split(const uint8_t *hello, const uint8_t *payload)
{
	uint8_t prologue[NOISE_PROLOGUE_SIZE];
	uint8_t message[FEED_WELCOME_SIZE];
	uint8_t opened[FEED_HELLO_PAYLOAD_SIZE];
	uint8_t keys[2][32];
	struct noise noise;

	noise_prologue(FEED, prologue);
	noise_init(&noise, prologue, sizeof(prologue), psk);
	CHECK_INT(0, noise_read_hello(&noise, hello + FEED_HANDSHAKE_HEADER_SIZE, FEED_HELLO_SIZE - 8, opened));
	CHECK_INT(0, noise_write_welcome(&noise, appliance_private, payload, FEED_WELCOME_PAYLOAD_SIZE, message));
	noise_split(&noise, keys[0], keys[1]);
	noise_values("after the WELCOME", &noise);
	value("key from sender to appliance", keys[0], 32);
	value("key from appliance to sender", keys[1], 32);
}

static void example_welcome(const uint8_t *hello)
{
	struct feed_welcome welcome = {
		.clock_us = TIME_US + 1500,
		.node = "gantry-a",
		.lanes = {{.cumulative = 1000, .credit = 65536, .records_max = 28, .known = true},
			  {.credit = 65536, .records_max = 28}}};
	uint8_t payload[FEED_WELCOME_PAYLOAD_SIZE];
	uint8_t datagram[FEED_WELCOME_SIZE];
	struct feed_hello got;
	struct feed_event event;

	CHECK_INT(FEED_HELLO_FRESH, feed_peer_hello(&peer_end, hello, FEED_HELLO_SIZE, 0, &got, datagram));
	CHECK_INT(FEED_SEALED, feed_peer_welcome(&peer_end, &welcome, 0, datagram));
	welcome.session = 0x42020305;
	feed_welcome_encode(&welcome, payload);
	value("WELCOME payload", payload, sizeof(payload));
	value("WELCOME datagram", datagram, sizeof(datagram));
	example_split(hello, payload);
	CHECK_INT(FEED_OPENED_WELCOME, feed_link_receive(&link_end, datagram, sizeof(datagram), 0, &event));
	CHECK_INT(welcome.session, event.welcome.session);
}

static void peer_opens(const uint8_t *datagram, size_t size, enum feed_outcome expected)
{
	uint8_t body[FEED_BODY_SIZE_MAX];
	struct feed_opened opened;
	struct feed_peek peek;

	CHECK_INT(expected, feed_peek(datagram, size, FEED_SIDE_APPLIANCE, &peek));
	CHECK_INT(expected, feed_peer_open(&peer_end, &peek, datagram, size, 0, body, &opened));
}

static void example_data(void)
{
	static const struct read reads[] = {
		{.capture_us = TIME_US - 250000,
		 .camera = 77,
		 .text = "AB12CDE",
		 .confidence = 96,
		 .road_lane = 2,
		 .direction = READ_DIRECTION_APPROACHING,
		 .country = 'G' | 'B' << 8,
		 .images = 3},
		{.capture_us = TIME_US - 100000,
		 .camera = 78,
		 .lat_e7 = 515007000,
		 .lon_e7 = -1246000,
		 .flags = READ_FLAG_POSITION,
		 .kind = READ_KIND_NOT_READ,
		 .confidence = READ_CONFIDENCE_UNKNOWN},
	};
	uint8_t records[2 * FEED_RECORD_SIZE];
	struct feed_data data = {.records = records, .first = 1001, .epoch = 3, .count = 2};
	uint8_t body[FEED_BODY_SIZE_MAX];
	uint8_t datagram[FEED_DATAGRAM_SIZE_MAX];
	uint8_t nonce[12];
	size_t size;

	for (size_t i = 0; i < 2; i++)
		feed_record_encode(&reads[i], records + i * FEED_RECORD_SIZE);
	size = feed_data_encode(&data, body);
	value("DATA body", body, size);
	noise_nonce(0, nonce);
	value("DATA nonce", nonce, sizeof(nonce));
	CHECK_INT(FEED_SEALED, feed_link_seal_data(&link_end, FEED_LANE_LIVE, &data, 0, datagram, &size));
	value("DATA datagram", datagram, size);
	peer_opens(datagram, size, FEED_OPENED_DATA);
}

static void example_heartbeat(void)
{
	const struct feed_heartbeat heartbeat = {
		.clock_us = TIME_US + 20000,
		.clock_offset_us = -12,
		.lanes = {{.sent = {.next = 1003, .lowest = 1001}, .backlog = 2, .oldest_age_us = 270000},
			  {.sent = {.next = 1, .lowest = 1}}},
		.epoch = 3,
		.clock_synchronised = true,
		.clock_source = "ntp"};
	uint8_t body[FEED_HEARTBEAT_SIZE];
	uint8_t datagram[FEED_DATAGRAM_SIZE_MAX];
	size_t size;

	feed_heartbeat_encode(&heartbeat, body);
	value("HEARTBEAT body", body, sizeof(body));
	CHECK_INT(FEED_SEALED, feed_link_seal_heartbeat(&link_end, &heartbeat, 0, datagram, &size));
	value("HEARTBEAT datagram", datagram, size);
	peer_opens(datagram, size, FEED_OPENED_HEARTBEAT);
}

static void example_ack(void)
{
	const struct feed_ack ack = {.durable = {.cumulative = 1001,
						 .ranges = {{.first = 1010, .last = 1012}},
						 .refused_total = 1,
						 .epoch = 3,
						 .lane = FEED_LANE_LIVE,
						 .range_count = 1},
				     .clock_us = TIME_US + 25000,
				     .deferred_total = 1,
				     .notices = {{.first = 1002, .count = 1, .reason = FEED_DEFERRAL_UNKNOWN_CAMERA},
						 {.first = 1012, .count = 1, .reason = REFUSAL_FUTURE}},
				     .credit = 65000,
				     .notice_count = 2};
	uint8_t body[FEED_ACK_SIZE_MAX];
	uint8_t datagram[FEED_DATAGRAM_SIZE_MAX];
	struct feed_event event;
	size_t size = feed_ack_encode(&ack, body);

	value("ACK body", body, size);
	CHECK_INT(FEED_SEALED, feed_peer_ack(&peer_end, &ack, 0, datagram, &size));
	value("ACK datagram", datagram, size);
	CHECK_INT(FEED_OPENED_ACK, feed_link_receive(&link_end, datagram, size, 0, &event));
}

static void the_worked_example_is_what_the_code_does(void)
{
	uint8_t hello[FEED_HELLO_SIZE];

	ends_init();
	example_keys();
	example_hello(hello);
	example_welcome(hello);
	example_data();
	example_heartbeat();
	example_ack();
}

static void the_counters_table_is_the_code_s(void)
{
	for (size_t i = 0; i < FEED_OUTCOME_COUNT; i++) {
		char row[256];

		(void)snprintf(row, sizeof(row), "| `%s` | %s |\n", feed_outcome_rows[i].name,
			       feed_outcome_rows[i].help);
		expect(row);
	}
}

static char *page_read(const char *path)
{
	FILE *file = fopen(path, "r");
	char *text = calloc(1, 1 << 20);

	if (file == NULL || text == NULL || fread(text, 1, (1 << 20) - 1, file) == 0) {
		fprintf(stderr, "%s cannot be read\n", path);
		exit(1);
	}
	fclose(file);
	return text;
}

int main(int argc, char **argv)
{
	static const struct check_test tests[] = {
		{"the worked example is what the code does", the_worked_example_is_what_the_code_does},
		{"the counters table is the code's", the_counters_table_is_the_code_s},
		{NULL, NULL},
	};
	char *text = NULL;
	int rc;

	printing = argc == 2 && strcmp(argv[1], "--print") == 0;
	if (!printing)
		page = text = page_read(FEED_PROTOCOL_PAGE);
	rc = check_main(printing ? 1 : argc, argv, "feed/example", tests);
	free(text);
	return rc;
}
