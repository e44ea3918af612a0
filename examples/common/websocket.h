/* SPDX-License-Identifier: MIT-0
   WebSocket (RFC 6455) without any I/O: the handshake, a strict decoder, and the heads of frames to send. No
   extensions. Payloads are handed out as they come, message after message, in pieces that are slices of the
   bytes you lent: a connection needs no buffer at all, whatever the other end sends or announces.

   The decoder follows the one protocol of stream.h (see stream_decoder there), with two differences. What is
   lent to a server's is written to: payloads are unmasked where they lie. And nothing can be made out behind
   a frame that is broken: after an error, or a Close, the rest of the input is stepped over. The text of a
   message is checked as it comes: of one that is no UTF-8, what stands before the first wrong byte is handed
   out, and then the error. A piece may end inside a character.

       ws_feed(&ws, chunk, n);
       while ((st = ws_next(&ws, &item)) != STREAM_MORE)
           if (st != STREAM_OK) close_with(ws.close_code, ws.error);
           else if (item.kind == WS_PING) send(WS_PONG, item.ptr, item.len);
           else if (item.kind == WS_CLOSE) close_with(ws.close_code, NULL); // the echo, and that is the end
           else if (item.kind == WS_BINARY) take(item.ptr, item.len, item.flags & WS_LAST);

   One thread at a time for each object; no state besides. */
#ifndef COMMON_WEBSOCKET_H
#define COMMON_WEBSOCKET_H

#include "http.h"

/* item.kind: the opcode. Pieces of a message all have that of its first frame. */
enum { WS_TEXT = 1, WS_BINARY = 2, WS_CLOSE = 8, WS_PING = 9, WS_PONG = 10 };

/* item.flags, beside those of stream.h. A message is at least one piece; the last one may be empty. Control
   frames come whole, with both, and may come between the pieces of a message. */
enum {
    WS_FIRST = 0x100, /* the message begins with this piece */
    WS_LAST = 0x200   /* and ends with it */
};

typedef enum ws_role {
    WS_SERVER = 0, /* reads what clients send: every frame is masked */
    WS_CLIENT = 1  /* reads what a server sends: none is */
} ws_role;

enum { WS_MAX_CONTROL = 125, WS_MAX_HEAD = 14 };

typedef struct ws_desc {
    ws_role role;
    uint64_t max_message; /* longest message, bytes; 0: 1 MiB; a longer one is refused when it is announced */
} ws_desc;

typedef struct ws {
    /* read only */
    int close_code;        /* with WS_CLOSE: the other end's, 1005 for none; with an error: what to send */
    const char *error;     /* with an error: constant text */
    uint64_t scanned;      /* bytes looked at so far: never above the bytes fed */
    bool closed;           /* Close has come: the connection ended as it should */
    /* private */
    char *cur, *end;       /* what is left of the loan */
    uint64_t offset;       /* stream offset of cur */
    uint64_t left;         /* of the open frame's payload */
    uint64_t size;         /* of the open message's payload, all frames so far */
    uint64_t max_message;
    stream_utf8 utf8;      /* of the open text message */
    uint8_t head[WS_MAX_HEAD], head_len, need;
    uint8_t mask[4], mask_at;
    uint8_t role, state;
    uint8_t opcode;        /* of the open frame */
    uint8_t message;       /* opcode of the open message; 0: none */
    uint8_t control_len;
    bool fin, first, finished;
    bool bad_text;         /* the error is still to be said */
    char control[WS_MAX_CONTROL]; /* of a control frame that spans two loans */
} ws;

/* desc NULL: a server's. Nothing is ever allocated; there is nothing to free. */
void ws_init(ws *w, const ws_desc *desc);
/* Lends len bytes until next returns MORE, to be written to if the role is WS_SERVER. OK or E_STATE. */
stream_status ws_feed(ws *w, void *data, size_t len);
/* OK, MORE, END; E_INVALID or E_TOO_LONG, once, with ws.close_code (1002, 1007 or 1009), ws.error, and in
   item->offset where it was seen; E_TRUNCATED when the input ends inside a frame or a message. */
stream_status ws_next(ws *w, stream_item *item);
stream_status ws_finish(ws *w);
/* The same behind function pointers. A server's writes to its loans here as well. */
stream_decoder ws_decoder(ws *w);

/* ---- the handshake ------------------------------------------------------------------------------------ */

#define WS_ACCEPT_LEN 28
/* What answers a Sec-WebSocket-Key. */
void ws_accept(stream_slice key, char accept[WS_ACCEPT_LEN]);
/* Whether a request asks for a WebSocket as it must: 101, and *key; or 400, 405, 426 (which must name the
   version: Sec-WebSocket-Version: 13) and what is wrong in *error. Who may ask, by Origin and token, is not
   decided here. */
int ws_request(const http_head *head, stream_slice *key, const char **error);
/* Whether a response accepts that key: NULL, or what is wrong with it. */
const char *ws_response(const http_head *head, stream_slice key);

/* ---- writing ------------------------------------------------------------------------------------------- */

/* The head of a frame with len bytes of payload, which go behind it; `fin`: the message ends with it; a
   continuation has opcode 0. mask NULL: a server's; else a client's, and the payload must go through ws_mask.
   The result is the head's length. */
size_t ws_head(int opcode, bool fin, uint64_t len, const uint8_t mask[4], char head[WS_MAX_HEAD]);
/* Masks or unmasks len bytes, the first of which stands at `at` in the payload. */
void ws_mask(void *data, size_t len, const uint8_t mask[4], uint64_t at);
/* A Close frame's payload: the code, and as much of the reason (NULL: none) as fits, cut at a character;
   1005: nothing at all. The result is its length. */
size_t ws_close_payload(int code, const char *reason, char payload[WS_MAX_CONTROL]);
/* Whether a code may stand in a Close frame. */
bool ws_code_valid(int code);

#endif
