/* SPDX-License-Identifier: MIT-0
   SHA-1 (FIPS 180-4) and base64 (RFC 4648, section 4), as far as a WebSocket handshake and a Basic credential
   need them. SHA-1 keeps no secrets any more; here it only shows that both ends speak the same protocol. */
#ifndef COMMON_DIGEST_H
#define COMMON_DIGEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SHA1_LEN 20

/* Of all of it at once. */
void sha1(const void *data, size_t len, uint8_t digest[SHA1_LEN]);

/* Characters that len bytes become, without NUL. */
#define BASE64_LEN(len) (((len) + 2) / 3 * 4)
void base64_encode(const void *data, size_t len, char *text);
/* Only the one text that encodes those bytes is taken: with its padding, and no bits set that mean nothing.
   Writes at most text_len / 4 * 3 bytes; false when it is not well-formed. */
bool base64_decode(const char *text, size_t text_len, uint8_t *data, size_t *len);

/* Equal, in a time that depends on the lengths only: for tokens. */
bool same_secret(const void *a, size_t a_len, const void *b, size_t b_len);

#endif
