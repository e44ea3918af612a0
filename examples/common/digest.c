/* SPDX-License-Identifier: MIT-0 */
#include "digest.h"

#include <string.h>

static uint32_t rotate(uint32_t x, unsigned n) { return x << n | x >> (32 - n); }

static void sha1_block(uint32_t state[5], const uint8_t block[64]) {
    static const uint32_t constant[4] = {0x5A827999, 0x6ED9EBA1, 0x8F1BBCDC, 0xCA62C1D6};
    uint32_t w[80], a = state[0], b = state[1], c = state[2], d = state[3], e = state[4], f, next;
    size_t i;
    for (i = 0; i < 16; i++)
        w[i] = (uint32_t)block[4 * i] << 24 | (uint32_t)block[4 * i + 1] << 16 | (uint32_t)block[4 * i + 2] << 8 |
               block[4 * i + 3];
    for (; i < 80; i++) w[i] = rotate(w[i - 3] ^ w[i - 8] ^ w[i - 14] ^ w[i - 16], 1);
    for (i = 0; i < 80; i++) {
        if (i < 20) f = (b & c) | (~b & d);
        else if (i >= 40 && i < 60) f = (b & c) | (b & d) | (c & d);
        else f = b ^ c ^ d;
        next = rotate(a, 5) + f + e + constant[i / 20] + w[i];
        e = d;
        d = c;
        c = rotate(b, 30);
        b = a;
        a = next;
    }
    state[0] += a;
    state[1] += b;
    state[2] += c;
    state[3] += d;
    state[4] += e;
}

void sha1(const void *data, size_t len, uint8_t digest[SHA1_LEN]) {
    uint32_t state[5] = {0x67452301, 0xEFCDAB89, 0x98BADCFE, 0x10325476, 0xC3D2E1F0};
    const uint8_t *p = (const uint8_t *)data;
    uint8_t tail[128];
    uint64_t bits = (uint64_t)len * 8;
    size_t left = len, end, i;
    for (; left >= 64; left -= 64, p += 64) sha1_block(state, p);
    end = left < 56 ? 64 : 128; /* a one bit, zeros, and the length in the last eight bytes */
    memset(tail, 0, sizeof tail);
    if (left) memcpy(tail, p, left);
    tail[left] = 0x80;
    for (i = 0; i < 8; i++) tail[end - 1 - i] = (uint8_t)(bits >> (8 * i) & 0xFF);
    for (i = 0; i < end; i += 64) sha1_block(state, tail + i);
    for (i = 0; i < SHA1_LEN; i++) digest[i] = (uint8_t)(state[i / 4] >> (24 - 8 * (i % 4)) & 0xFF);
}

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

void base64_encode(const void *data, size_t len, char *text) {
    const uint8_t *p = (const uint8_t *)data;
    size_t i;
    for (i = 0; i < len; i += 3) {
        size_t n = len - i < 3 ? len - i : 3;
        uint32_t group = (uint32_t)p[i] << 16 | (n > 1 ? (uint32_t)p[i + 1] << 8 : 0) | (n > 2 ? p[i + 2] : 0u);
        *text++ = alphabet[group >> 18];
        *text++ = alphabet[group >> 12 & 63];
        *text++ = n > 1 ? alphabet[group >> 6 & 63] : '=';
        *text++ = n > 2 ? alphabet[group & 63] : '=';
    }
}

bool base64_decode(const char *text, size_t text_len, uint8_t *data, size_t *len) {
    size_t i, k;
    *len = 0;
    if (text_len % 4) return false;
    for (i = 0; i < text_len; i += 4) {
        uint32_t group = 0;
        size_t n = 4; /* characters before the padding, which only the last four may have */
        if (i + 4 == text_len) n = text[i + 3] != '=' ? 4 : text[i + 2] != '=' ? 3 : 2;
        for (k = 0; k < 4; k++) {
            const char *at = k < n && text[i + k] ? (const char *)memchr(alphabet, text[i + k], 64) : NULL;
            if (k < n && !at) return false;
            group = group << 6 | (at ? (uint32_t)(at - alphabet) : 0);
        }
        if (group & ((n == 2 ? 0xFFFFu : n == 3 ? 0xFFu : 0u))) return false;
        for (k = 0; k + 1 < n; k++) data[(*len)++] = (uint8_t)(group >> (16 - 8 * k) & 0xFF);
    }
    return true;
}

bool same_secret(const void *a, size_t a_len, const void *b, size_t b_len) {
    const volatile uint8_t *x = (const volatile uint8_t *)a, *y = (const volatile uint8_t *)b;
    unsigned different = a_len != b_len;
    size_t i;
    for (i = 0; i < a_len && i < b_len; i++) different |= (unsigned)(x[i] ^ y[i]);
    return different == 0;
}
