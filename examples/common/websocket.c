/* SPDX-License-Identifier: MIT-0 */
#include "websocket.h"

#include <string.h>

#include "digest.h"

enum { IN_HEAD_BYTES, IN_PAYLOAD, IN_CONTROL, STEP_OVER };

/* ---- masks -------------------------------------------------------------------------------------------- */

void ws_mask(void *data, size_t len, const uint8_t mask[4], uint64_t at) {
    uint8_t key[8], *p = (uint8_t *)data;
    uint64_t word, keys;
    size_t i;
    for (i = 0; i < 8; i++) key[i] = mask[(at + i) % 4];
    memcpy(&keys, key, sizeof keys);
    for (; len >= 8; len -= 8, p += 8) { /* eight at a time; memcpy, for no address is aligned here */
        memcpy(&word, p, sizeof word);
        word ^= keys;
        memcpy(p, &word, sizeof word);
    }
    for (i = 0; i < len; i++) p[i] = (uint8_t)(p[i] ^ key[i]);
}

/* ---- reading ------------------------------------------------------------------------------------------ */

void ws_init(ws *w, const ws_desc *desc) {
    memset(w, 0, sizeof *w);
    w->role = desc ? (uint8_t)desc->role : WS_SERVER;
    w->max_message = desc && desc->max_message ? desc->max_message : (uint64_t)1 << 20;
    w->need = 2;
}

stream_status ws_feed(ws *w, void *data, size_t len) {
    if (w->finished || w->cur != w->end) return STREAM_E_STATE;
    w->cur = (char *)data;
    w->end = len ? w->cur + len : w->cur;
    return STREAM_OK;
}

stream_status ws_finish(ws *w) {
    w->finished = true;
    return STREAM_OK;
}

static void ws_advance(ws *w, size_t n) {
    w->cur += n;
    w->offset += n;
    w->scanned += n;
}

static stream_status ws_broken(ws *w, stream_item *item, stream_status status, int code, const char *text) {
    memset(item, 0, sizeof *item);
    item->offset = w->offset;
    w->close_code = code;
    w->error = text;
    w->state = STEP_OVER;
    w->bad_text = false;
    return status;
}

bool ws_code_valid(int code) {
    if (code >= 1000 && code <= 1014) return code < 1004 || code > 1006;
    return code >= 3000 && code <= 4999;
}

/* What the byte that came last in the head says is wrong, or NULL; each is looked at as soon as it comes. */
static const char *ws_head_byte(ws *w, uint64_t *length) {
    uint8_t byte = w->head[w->head_len - 1], size, i;
    if (w->head_len == 1) {
        w->fin = byte >> 7;
        w->opcode = byte & 15;
        if (byte & 0x70) return "reserved bit set";
        if (w->opcode >= 8) {
            if (w->opcode > WS_PONG) return "reserved opcode";
            if (!w->fin) return "control frame in fragments";
        } else {
            if (w->opcode > WS_BINARY) return "reserved opcode";
            if (w->opcode && w->message) return "message inside a message";
            if (!w->opcode && !w->message) return "continuation of no message";
        }
        return NULL;
    }
    size = w->head[1] & 127;
    if (w->head_len == 2) {
        if ((w->head[1] >> 7) != (w->role == WS_SERVER))
            return w->role == WS_SERVER ? "frame without a mask" : "frame with a mask";
        if (w->opcode >= 8 && size > WS_MAX_CONTROL) return "control frame longer than 125 bytes";
        w->need = (uint8_t)(2 + (size == 126 ? 2 : size == 127 ? 8 : 0) + (w->role == WS_SERVER ? 4 : 0));
    }
    i = size == 126 ? 4 : size == 127 ? 10 : 2; /* where the length ends */
    if (w->head_len != i) return NULL;
    *length = size;
    if (size >= 126) {
        uint8_t k;
        *length = 0;
        for (k = 2; k < i; k++) *length = *length << 8 | w->head[k];
        if (*length >> 63) return "length above 2^63";
        if (*length < 126 || (size == 127 && *length < 65536))
            return "length that is not in its shortest form";
    }
    return NULL;
}

/* A control frame's payload is whole, and unmasked. */
static stream_status ws_control(ws *w, stream_item *item, const char *ptr, size_t len) {
    memset(item, 0, sizeof *item);
    item->kind = w->opcode;
    item->flags = WS_FIRST | WS_LAST | (ptr == w->control && len ? STREAM_COPIED : 0);
    item->ptr = ptr;
    item->len = len;
    item->size = len;
    item->offset = w->offset - len;
    w->state = IN_HEAD_BYTES;
    w->head_len = 0;
    w->need = 2;
    if (w->opcode != WS_CLOSE) return STREAM_OK;
    if (len == 1) return ws_broken(w, item, STREAM_E_INVALID, 1002, "Close with half a code");
    w->close_code = 1005;
    if (len) {
        int code = (unsigned char)ptr[0] << 8 | (unsigned char)ptr[1];
        if (!ws_code_valid(code))
            return ws_broken(w, item, STREAM_E_INVALID, 1002, "Close with a code that none may send");
        if (!stream_utf8_valid(ptr + 2, len - 2))
            return ws_broken(w, item, STREAM_E_INVALID, 1007, "Close with a reason that is no UTF-8");
        w->close_code = code;
    }
    w->closed = true;
    w->state = STEP_OVER;
    return STREAM_OK;
}

/* What of the open frame's payload is in the loan; EMPTY when there is nothing to hand out. */
static stream_status ws_piece(ws *w, stream_item *item) {
    size_t n = (size_t)(w->end - w->cur);
    bool text = w->message == WS_TEXT, last;
    if (n > w->left) n = (size_t)w->left;
    memset(item, 0, sizeof *item);
    item->kind = w->message;
    item->ptr = w->cur;
    item->offset = w->offset;
    if (w->role == WS_SERVER && n) {
        ws_mask(w->cur, n, w->mask, w->mask_at);
        w->mask_at = (uint8_t)((w->mask_at + n) & 3);
    }
    if (text) {
        uint64_t before = w->utf8.offset;
        if (stream_utf8_feed(&w->utf8, w->cur, n) == STREAM_E_INVALID) {
            n = (size_t)(w->utf8.offset - before);
            w->bad_text = true;
        }
    }
    if (n) ws_advance(w, n);
    w->left -= n;
    last = w->left == 0 && w->fin && !w->bad_text;
    if (last && text && stream_utf8_finish(&w->utf8) != STREAM_OK) {
        w->bad_text = true;
        last = false;
    }
    if (w->left == 0 && !w->bad_text) {
        w->state = IN_HEAD_BYTES;
        w->head_len = 0;
        w->need = 2;
    }
    if (n == 0 && !last) return STREAM_EMPTY;
    item->len = n;
    item->size = n;
    item->flags = (w->first ? (uint32_t)WS_FIRST : 0) | (last ? (uint32_t)WS_LAST : 0);
    w->first = false;
    if (last) w->message = 0;
    return STREAM_OK;
}

/* The head is whole. */
static stream_status ws_frame(ws *w, stream_item *item, uint64_t length) {
    w->left = length;
    w->mask_at = 0;
    if (w->role == WS_SERVER) memcpy(w->mask, w->head + w->head_len - 4, 4);
    if (w->opcode >= 8) {
        w->state = IN_CONTROL;
        w->control_len = 0;
        return STREAM_OK;
    }
    if (w->opcode) {
        w->message = w->opcode;
        w->first = true;
        w->size = 0;
        memset(&w->utf8, 0, sizeof w->utf8);
    }
    if (length > w->max_message - w->size)
        return ws_broken(w, item, STREAM_E_TOO_LONG, 1009, "message longer than max_message");
    w->size += length;
    w->state = IN_PAYLOAD;
    return STREAM_OK;
}

stream_status ws_next(ws *w, stream_item *item) {
    stream_status status;
    for (;;) {
        size_t n = (size_t)(w->end - w->cur);
        if (w->bad_text) return ws_broken(w, item, STREAM_E_INVALID, 1007, "text that is no UTF-8");
        if (w->state == IN_PAYLOAD && (n || w->left == 0)) {
            status = ws_piece(w, item);
            if (status == STREAM_EMPTY) continue;
            return status;
        }
        if (w->state == IN_CONTROL && (n || w->left == 0)) {
            if (n > w->left) n = (size_t)w->left;
            if (w->role == WS_SERVER && n) ws_mask(w->cur, n, w->mask, w->control_len);
            if (n == w->left && w->control_len == 0) {
                const char *ptr = w->cur;
                if (n) ws_advance(w, n);
                return ws_control(w, item, ptr, n);
            }
            memcpy(w->control + w->control_len, w->cur, n);
            w->control_len = (uint8_t)(w->control_len + n);
            ws_advance(w, n);
            w->left -= n;
            if (w->left == 0) return ws_control(w, item, w->control, w->control_len);
            continue;
        }
        if (n == 0) break;
        if (w->state == STEP_OVER) {
            ws_advance(w, n);
            continue;
        }
        w->head[w->head_len++] = (uint8_t)*w->cur;
        {
            const char *wrong = ws_head_byte(w, &w->left);
            if (wrong) return ws_broken(w, item, STREAM_E_INVALID, 1002, wrong);
        }
        ws_advance(w, 1);
        if (w->head_len < 2 || w->head_len < w->need) continue;
        status = ws_frame(w, item, w->left);
        if (status != STREAM_OK) return status;
    }
    memset(item, 0, sizeof *item);
    item->offset = w->offset;
    if (!w->finished) return STREAM_MORE;
    if (w->state == STEP_OVER || (w->state == IN_HEAD_BYTES && w->head_len == 0 && w->message == 0))
        return STREAM_END;
    return ws_broken(w, item, STREAM_E_TRUNCATED, 1006, "the input ended inside a message");
}

static stream_status ws_decoder_feed(void *self, const void *data, size_t len) {
    return ws_feed((ws *)self, (void *)(uintptr_t)data, len);
}
static stream_status ws_decoder_next(void *self, stream_item *item) { return ws_next((ws *)self, item); }
static stream_status ws_decoder_finish(void *self) { return ws_finish((ws *)self); }

stream_decoder ws_decoder(ws *w) {
    stream_decoder d;
    d.self = w;
    d.feed = ws_decoder_feed;
    d.next = ws_decoder_next;
    d.finish = ws_decoder_finish;
    return d;
}

/* ---- the handshake ------------------------------------------------------------------------------------ */

void ws_accept(stream_slice key, char accept[WS_ACCEPT_LEN]) {
    static const char guid[] = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"; /* RFC 6455, 1.3 */
    char text[24 + sizeof guid - 1];
    uint8_t digest[SHA1_LEN];
    size_t n = key.len < 24 ? key.len : 24;
    memcpy(text, key.ptr, n);
    memcpy(text + n, guid, sizeof guid - 1);
    sha1(text, n + sizeof guid - 1, digest);
    base64_encode(digest, sizeof digest, accept);
}

int ws_request(const http_head *head, stream_slice *key, const char **error) {
    uint8_t bytes[18];
    size_t len;
    *key = http_field(head->fields, "Sec-WebSocket-Key");
    *error = NULL;
    if (head->method.len != 3 || memcmp(head->method.ptr, "GET", 3) != 0) {
        *error = "WebSocket by a method other than GET";
        return 405;
    }
    if (!head->upgrade || !http_list_has(http_field(head->fields, "Upgrade"), "websocket"))
        *error = "no Upgrade: websocket";
    else if (head->framing != HTTP_NO_BODY)
        *error = "WebSocket request with a body";
    else if (http_field_count(head->fields, "Sec-WebSocket-Key") != 1)
        *error = "Sec-WebSocket-Key missing, or more than once";
    else if (key->len != 24 || !base64_decode(key->ptr, key->len, bytes, &len) || len != 16)
        *error = "Sec-WebSocket-Key that is not 16 bytes in base64";
    if (*error) return 400;
    if (http_field_count(head->fields, "Sec-WebSocket-Version") != 1 ||
        !http_same(http_field(head->fields, "Sec-WebSocket-Version"), "13")) {
        *error = "Sec-WebSocket-Version other than 13";
        return 426;
    }
    return 101;
}

const char *ws_response(const http_head *head, stream_slice key) {
    char accept[WS_ACCEPT_LEN];
    stream_slice got = http_field(head->fields, "Sec-WebSocket-Accept");
    if (head->status != 101) return "status other than 101";
    if (!head->upgrade || !http_same(http_field(head->fields, "Upgrade"), "websocket"))
        return "no Upgrade: websocket";
    ws_accept(key, accept);
    if (http_field_count(head->fields, "Sec-WebSocket-Accept") != 1 || got.len != sizeof accept ||
        memcmp(got.ptr, accept, sizeof accept) != 0)
        return "Sec-WebSocket-Accept that is not the key's";
    if (http_field(head->fields, "Sec-WebSocket-Extensions").ptr)
        return "an extension that was not asked for";
    return NULL;
}

/* ---- writing ------------------------------------------------------------------------------------------- */

size_t ws_head(int opcode, bool fin, uint64_t len, const uint8_t mask[4], char head[WS_MAX_HEAD]) {
    uint8_t bytes[WS_MAX_HEAD];
    size_t n = 2, extra = len < 126 ? 0 : len < 65536 ? 2 : 8, i;
    bytes[0] = (uint8_t)((fin ? 0x80 : 0) | (opcode & 15));
    bytes[1] = (uint8_t)((mask ? 0x80 : 0) | (extra == 0 ? (int)len : extra == 2 ? 126 : 127));
    for (i = 0; i < extra; i++) bytes[n++] = (uint8_t)(len >> (8 * (extra - 1 - i)) & 0xFF);
    for (i = 0; mask && i < 4; i++) bytes[n++] = mask[i];
    memcpy(head, bytes, n);
    return n;
}

size_t ws_close_payload(int code, const char *reason, char payload[WS_MAX_CONTROL]) {
    stream_slice text = stream_slice_text(reason ? reason : "");
    size_t n = text.len < WS_MAX_CONTROL - 2 ? text.len : WS_MAX_CONTROL - 2;
    if (code == 1005) return 0;
    if (n < text.len) n = stream_utf8_cut(text.ptr, n);
    payload[0] = (char)(unsigned char)(code >> 8 & 0xFF);
    payload[1] = (char)(unsigned char)(code & 0xFF);
    memcpy(payload + 2, text.ptr, n);
    return n + 2;
}
