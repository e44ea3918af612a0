/* SPDX-License-Identifier: MIT-0
   Fuzz target: what a browser sends to tmux_bridge, whole against split, and whether or not it has to
   wait now and then. Who may not write does nothing to a session, whatever is sent; what reaches a
   session is what may. The first byte of the input chooses rights and framing, the next two the cuts. */
#define STREAM_IMPLEMENTATION
#include "stream.h"
#define STREAM_POOL_IMPLEMENTATION
#include "stream_pool.h"
#include "fuzz_split.h"
#include "../examples/common/digest.c"
#include "../examples/common/http.c"
#include "../examples/common/text.c"
#include "../examples/common/websocket.c"
#include "../examples/tmux_bridge/screen.c"
#include "../examples/tmux_bridge/viewer.c"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

/* ---- what the viewer calls ------------------------------------------------------------------------------ */

static trace effects;
static bool may, closed;
static unsigned asked, waits; /* every so many questions tmux takes nothing; 0: it always does */

static void effect(char kind, const char *p, size_t n) {
    size_t i;
    trace_add(&effects, (unsigned char)kind);
    for (i = 0; i < n; i++) trace_add(&effects, (unsigned char)p[i]);
    effects.items++;
}

static void change(char kind, const char *p, size_t n) {
    FUZZ_CHECK(may && !closed);
    effect(kind, p, n);
}

stream_status terminal_type(terminal *t, const char *text, size_t len) {
    (void)t;
    FUZZ_CHECK(stream_utf8_valid(text, len));
    change('t', text, len);
    return STREAM_OK;
}

stream_status terminal_key(terminal *t, const char *name, size_t len) {
    size_t i;
    (void)t;
    FUZZ_CHECK(len > 0 && len <= 24);
    for (i = 0; i < len; i++) FUZZ_CHECK((unsigned char)name[i] > 0x20 && (unsigned char)name[i] < 0x7F);
    change('k', name, len);
    return STREAM_OK;
}

stream_status terminal_paste(terminal *t, uint64_t id, bool first, bool last, const char *text, size_t len) {
    static bool open;
    (void)t;
    (void)id;
    FUZZ_CHECK(first || open);
    open = !last;
    change((char)('0' + first + 2 * last), text, len);
    return STREAM_OK;
}

stream_status terminal_resize(terminal *t, viewer *v, unsigned cols, unsigned rows) {
    FUZZ_CHECK(t->bridge->options.resize && v->writes);
    FUZZ_CHECK(cols >= MIN_COLS && cols <= MAX_COLS && rows >= MIN_ROWS && rows <= MAX_ROWS);
    change('z', "", cols + rows == 0);
    return STREAM_OK;
}

stream_status terminal_history(terminal *t, uint64_t viewer, uint32_t first, uint32_t count) {
    static const char lines[] = "one\n\033[1mtwo\n";
    effect('b', "", 0);
    if (count % 3 == 0) return STREAM_E_STATE;
    if (count % 7 == 0) viewer_old_lost(t, viewer);
    else viewer_old(t, viewer, first, count, stream_slice_of(lines, sizeof lines - 1));
    return STREAM_OK;
}

void terminal_let_go(terminal *t, viewer *v) {
    (void)t;
    (void)v;
}
void terminal_watched(terminal *t) { (void)t; }
bool terminal_takes_input(const terminal *t) {
    (void)t;
    return waits == 0 || ++asked % waits != 0;
}

unsigned server_room(const server_conn *c) {
    (void)c;
    return SERVER_PARTS;
}
void server_pause(server_conn *c) { (void)c; }
void server_resume(server_conn *c) { (void)c; }
void server_timer(server_conn *c, uint64_t when_ns) {
    (void)c;
    (void)when_ns;
}
void server_close(server_conn *c, server_reason reason) {
    (void)c;
    (void)reason;
    closed = true;
}
void server_abort(server_conn *c, server_reason reason) { server_close(c, reason); }

/* Whole WebSocket frames, and in binary ones whole frames of ours. */
stream_status server_send(server_conn *c, stream_pool_buf *buf, const void *ptr, size_t len) {
    const unsigned char *p = (const unsigned char *)ptr;
    size_t head = 2, n = p[1];
    (void)c;
    FUZZ_CHECK(len >= 2 && n < 127 && len <= WIRE_MAX_FRAME);
    if (n == 126) {
        n = (size_t)p[2] << 8 | p[3];
        head = 4;
    }
    FUZZ_CHECK(head + n == len);
    if (p[0] == 0x82) {
        size_t at = head;
        while (at < len) at += STREAM_FRAME_HEAD + wire_get32((const char *)p + at + 1);
        FUZZ_CHECK(at == len);
    }
    stream_pool_release(buf);
    return STREAM_OK;
}

/* ---- one run -------------------------------------------------------------------------------------------- */

static void run(bridge *b, terminal *t, const uint8_t *data, size_t len, const uint8_t *cuts) {
    server_conn *c = (server_conn *)calloc(1, sizeof *c);
    viewer *v;
    size_t at = 0, turn = 0;
    memset(&effects, 0, sizeof effects);
    closed = false;
    asked = 0;
    if (!c) return;
    c->server = &b->server;
    c->id = 7;
    v = viewer_new(t, c, may);
    if (v) may = v->writes;
    while (v && at < len) {
        size_t n = cuts ? (size_t)cuts[turn++ % 2] + 1 : len;
        char *loan;
        if (n > len - at) n = len - at;
        loan = (char *)malloc(n);
        if (!loan) break;
        memcpy(loan, data + at, n);
        viewer_data(v, loan, n);
        free(loan); /* nothing of it may be needed any more */
        at += n;
    }
    while (v && v->held && !v->closing) viewer_resume(v);
    if (v) viewer_free(v);
    free(c);
}

/* The bytes as messages of up to 1000 bytes, behind a hello. The result is malloc's. */
static uint8_t *wrapped(const uint8_t *data, size_t len, size_t *made) {
    static const uint8_t hello[] = {0x82, 0x80 | 18, 0, 0, 0, 0, 'h', 0, 0, 0, 13, WIRE_VERSION, 0, 0, 0, 0,
                                    0,    0,         0, 0, 0, 0, 0,   0};
    uint8_t *out = (uint8_t *)malloc(sizeof hello + len + 8 * (len / 1000 + 1));
    size_t n = sizeof hello;
    if (!out) return NULL;
    memcpy(out, hello, n);
    while (len) {
        size_t piece = len < 1000 ? len : 1000;
        out[n++] = 0x82;
        out[n++] = (uint8_t)(0x80 | (piece < 126 ? piece : 126));
        if (piece >= 126) out[n++] = (uint8_t)(piece >> 8);
        if (piece >= 126) out[n++] = (uint8_t)(piece & 255);
        memset(out + n, 0, 4);
        memcpy(out + n + 4, data, piece);
        n += 4 + piece;
        data += piece;
        len -= piece;
    }
    *made = n;
    return out;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len) {
    static stream_pool pool;
    static bridge b;
    static terminal t;
    trace whole;
    uint8_t *made = NULL;
    const uint8_t *cuts = data + 1;
    if (len < 3) return 0;
    if (!t.bridge) {
        stream_broadcast_desc desc;
        memset(&desc, 0, sizeof desc);
        desc.max_items = 16;
        desc.max_bytes = 4096;
        FUZZ_CHECK(stream_pool_init(&pool, NULL) == STREAM_OK);
        FUZZ_CHECK(stream_broadcast_init(&t.updates, &desc) == STREAM_OK);
        FUZZ_CHECK(screen_capture(&t.now, "text", 4, 10, 3) == STREAM_OK);
        b.server.pool = &pool;
        b.options.input_rate = (size_t)1 << 30;
        b.options.viewer_cap = 1 << 20;
        b.options.ping_ns = UINT64_C(20000000000);
        t.bridge = &b;
        t.number = 1;
        memcpy(t.name, "fuzz", 4);
    }
    b.options.share = (share_mode)(data[0] >> 1 & 3) == SHARE_WATCH ? SHARE_WATCH : SHARE_ALL;
    b.options.resize = (data[0] >> 3 & 1) != 0;
    if (data[0] >> 4 & 1) made = wrapped(data + 3, len - 3, &len);
    else len -= 3;
    may = (data[0] & 1) != 0;
    waits = 0;
    run(&b, &t, made ? made : data + 3, len, NULL);
    whole = effects;
    may = (data[0] & 1) != 0;
    waits = 3;
    run(&b, &t, made ? made : data + 3, len, cuts);
    FUZZ_CHECK(whole.sum == effects.sum && whole.items == effects.items);
    free(made);
    return 0;
}
