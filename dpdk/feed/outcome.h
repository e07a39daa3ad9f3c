/*
 * What became of a datagram: every one ends in exactly one of these, and each of these is one counter. The table gives
 * the enumerator, the counter's name and its help text, so that code, telemetry and docs/feed-protocol.md cannot part.
 *
 * On the appliance's side FEED_DROP_UNKNOWN_FEED is not answered by this library: whoever keeps the table of feeds
 * counts it. A FEED_SEALED is a datagram sent, not one received.
 */
#ifndef GANTRY_FEED_OUTCOME_H
#define GANTRY_FEED_OUTCOME_H

#define FEED_OUTCOMES(X)                                                                                               \
	X(HELLO_FRESH, "hello_fresh", "HELLO authenticated; a session is offered by a new WELCOME")                    \
	X(HELLO_REPEATED, "hello_repeated", "same HELLO again; the same WELCOME is sent again")                        \
	X(OPENED_DATA, "data", "DATA authenticated and well-formed")                                                   \
	X(OPENED_HEARTBEAT, "heartbeat", "HEARTBEAT authenticated and well-formed")                                    \
	X(OPENED_WELCOME, "welcome", "WELCOME accepted (sender)")                                                      \
	X(OPENED_ACK, "ack", "ACK authenticated and well-formed (sender)")                                             \
	X(SEALED, "sealed", "datagram built and sealed for sending")                                                   \
	X(DROP_SHORT, "drop_short", "shorter than its type's least size")                                              \
	X(DROP_LONG, "drop_long", "longer than its type's size or than 1400 bytes")                                    \
	X(DROP_VERSION, "drop_version", "protocol version other than 1")                                               \
	X(DROP_TYPE, "drop_type", "type that no version defines")                                                      \
	X(DROP_RESERVED_TYPE, "drop_reserved_type", "type 16 to 19, reserved for image parts")                         \
	X(DROP_RESERVED_BITS, "drop_reserved_bits", "reserved header byte not zero, or a lane that does not exist")    \
	X(DROP_REFLECTED, "drop_reflected", "type that only the receiving side sends: our own direction came back")    \
	X(DROP_UNKNOWN_FEED, "drop_unknown_feed", "HELLO for a feed that is not registered")                           \
	X(DROP_UNKNOWN_SESSION, "drop_unknown_session", "session id that is not, or no longer, live")                  \
	X(DROP_BAD_TAG, "drop_bad_tag", "authentication failed: forged, damaged, wrong key or wrong feed")             \
	X(DROP_REPLAY, "drop_replay", "packet number already seen")                                                    \
	X(DROP_TOO_OLD, "drop_too_old", "packet number below the replay window")                                       \
	X(DROP_REKEY, "drop_rekey", "session past its packet or age limit: a new HELLO is due")                        \
	X(DROP_HELLO_RATE, "drop_hello_rate", "more HELLOs than this feed may send")                                   \
	X(DROP_MALFORMED, "drop_malformed", "authentic, but its body breaks the format or names another epoch")        \
	X(DROP_UNEXPECTED, "drop_unexpected", "right type, wrong state: nothing was asked for")

enum feed_outcome {
#define FEED_OUTCOME_ENUM(name, counter, help) FEED_##name,
	FEED_OUTCOMES(FEED_OUTCOME_ENUM)
#undef FEED_OUTCOME_ENUM
		FEED_OUTCOME_COUNT
};

struct feed_outcome_row {
	const char *name; /* counter's name, without a prefix */
	const char *help;
};
extern const struct feed_outcome_row feed_outcome_rows[FEED_OUTCOME_COUNT];

#endif
