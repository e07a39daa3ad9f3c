/*
 * What is too large for an entry of the audit log: a text sealed under its month's audit key, in a file of its own
 * beside the log, which an entry's body names. The name is the SHA-256 of the file, so an entry proves what the file
 * was also when the month's key is gone; with that key goes the text.
 *
 *	0  magic "GNTRATT1"   8  i32 month   12  u32 zero   16  u64 size   24  nonce, 12 random bytes   36  u32 zero
 *	40 sealed text, 16-byte tag; associated data = bytes 0–39. Little-endian.
 *
 * Any control thread.
 */
#ifndef GANTRY_MGMT_AUDIT_ATTACH_H
#define GANTRY_MGMT_AUDIT_ATTACH_H

#include <stddef.h>
#include <stdint.h>

#include "appliance/base/digest.h"

struct audit;
struct err;

#define AUDIT_ATTACHMENT_MAX ((size_t)1 << 30) /* bytes of the text */

/*
 * Durable on return. -E2BIG, -ENOMEM, or what key or disk say, with err; no file stays then. An attachment that no
 * entry names (the power failed in between) is harmless.
 */
int audit_attach(struct audit *audit, const void *text, size_t size, struct err *err, uint8_t ret_name[SHA256_SIZE]);

/* The caller wipes and frees *ret_text. -ENOENT none, -ENOKEY its month's key is gone, -EBADMSG damaged; with err. */
int audit_attachment(struct audit *audit, const uint8_t name[SHA256_SIZE], struct err *err, char **ret_text,
		     size_t *ret_size);

#endif
