/* SPDX-License-Identifier: MIT-0 */
#include "http.h"

#include <stdlib.h>
#include <string.h>

/* ---- characters ---------------------------------------------------------------------------------------- */

static bool is_digit(char c) { return c >= '0' && c <= '9'; }

static int hex_digit(char c) {
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    return -1;
}

static bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }

static char lower(char c) { return c >= 'A' && c <= 'Z' ? (char)(c + ('a' - 'A')) : c; }

/* One of the characters of `set`; NUL is none of them. */
static bool is_one_of(char c, const char *set) {
    while (*set && *set != c) set++;
    return *set != 0;
}

static bool is_token_char(char c) { return is_letter(c) || is_digit(c) || is_one_of(c, "!#$%&'*+-.^_`|~"); }

static bool is_token(stream_slice s) {
    size_t i;
    for (i = 0; i < s.len; i++)
        if (!is_token_char(s.ptr[i])) return false;
    return s.len > 0;
}

/* Visible, or a byte above ASCII, which the standard leaves to those who use it. */
static bool is_text_char(char c) {
    unsigned char u = (unsigned char)c;
    return u >= 0x20 ? u != 0x7F : u == '\t';
}

static bool is_text(stream_slice s) {
    size_t i;
    for (i = 0; i < s.len; i++)
        if (!is_text_char(s.ptr[i])) return false;
    return true;
}

bool http_same(stream_slice a, const char *b) {
    size_t i;
    for (i = 0; i < a.len && b[i]; i++)
        if (lower(a.ptr[i]) != lower(b[i])) return false;
    return i == a.len && b[i] == 0;
}

static bool same_slices(stream_slice a, stream_slice b) {
    size_t i;
    if (a.len != b.len) return false;
    for (i = 0; i < a.len; i++)
        if (lower(a.ptr[i]) != lower(b.ptr[i])) return false;
    return true;
}

static stream_slice trimmed(stream_slice s) {
    while (s.len && (s.ptr[0] == ' ' || s.ptr[0] == '\t')) s.ptr++, s.len--;
    while (s.len && (s.ptr[s.len - 1] == ' ' || s.ptr[s.len - 1] == '\t')) s.len--;
    return s;
}

/* The first n bytes of *s, which loses them. */
static stream_slice taken(stream_slice *s, size_t n) {
    stream_slice head = stream_slice_of(s->ptr, n);
    s->ptr += n;
    s->len -= n;
    return head;
}

/* ---- fields -------------------------------------------------------------------------------------------- */

bool http_field_next(stream_slice *rest, stream_slice *name, stream_slice *value) {
    size_t n;
    if (rest->len == 0 || rest->ptr[0] == '\r') return false;
    n = stream_find_byte(rest->ptr, rest->len, ':');
    if (n == rest->len) return false;
    *name = taken(rest, n);
    taken(rest, 1);
    n = stream_find_byte(rest->ptr, rest->len, '\r');
    *value = trimmed(taken(rest, n));
    taken(rest, rest->len < 2 ? rest->len : 2);
    return true;
}

stream_slice http_field(stream_slice fields, const char *name) {
    stream_slice n, value;
    while (http_field_next(&fields, &n, &value))
        if (http_same(n, name)) return value;
    return stream_slice_of(NULL, 0);
}

size_t http_field_count(stream_slice fields, const char *name) {
    stream_slice n, value;
    size_t count = 0;
    while (http_field_next(&fields, &n, &value)) count += http_same(n, name);
    return count;
}

/* The next element of a comma-separated list; empty ones are left out. */
static bool list_next(stream_slice *rest, stream_slice *element) {
    while (rest->len) {
        size_t n = stream_find_byte(rest->ptr, rest->len, ',');
        *element = trimmed(taken(rest, n));
        if (rest->len) taken(rest, 1);
        if (element->len) return true;
    }
    return false;
}

bool http_list_has(stream_slice value, const char *token) {
    stream_slice element;
    while (list_next(&value, &element))
        if (http_same(element, token)) return true;
    return false;
}

bool http_hop_by_hop(stream_slice fields, stream_slice name) {
    static const char *const always[] = {"connection",       "keep-alive",        "proxy-authenticate",
                                         "proxy-authorization", "proxy-connection", "te",
                                         "trailer",          "transfer-encoding", "upgrade"};
    stream_slice n, value, element;
    size_t i;
    for (i = 0; i < sizeof always / sizeof *always; i++)
        if (http_same(name, always[i])) return true;
    while (http_field_next(&fields, &n, &value)) {
        if (!http_same(n, "connection")) continue;
        while (list_next(&value, &element))
            if (same_slices(element, name)) return true;
    }
    return false;
}

/* ---- reading: a whole head --------------------------------------------------------------------------- */

/* What is wrong, and where: the address of a byte of the head, whose offset is then known. */
typedef struct fault {
    int status;
    const char *text;
    const char *at;
} fault;

static bool fail(fault *f, int status, const char *text, const char *at) {
    f->status = status;
    f->text = text;
    f->at = at;
    return false;
}

/* "HTTP/1.0" or "HTTP/1.1". */
static bool parse_version(stream_slice v, int *minor, fault *f) {
    if (v.len != 8 || memcmp(v.ptr, "HTTP/", 5) != 0 || !is_digit(v.ptr[5]) || v.ptr[6] != '.' ||
        !is_digit(v.ptr[7]))
        return fail(f, 400, "no HTTP version where one must be", v.ptr);
    if (v.ptr[5] != '1' || v.ptr[7] > '1') return fail(f, 505, "HTTP version other than 1.0 and 1.1", v.ptr);
    *minor = v.ptr[7] - '0';
    return true;
}

/* Of a path or query, as they come in practice: what browsers leave unescaped in a query is let through
   there, nothing that could be taken for something else anywhere. */
static bool parse_path(http_head *head, stream_slice s, fault *f) {
    size_t i;
    head->path = s;
    for (i = 0; i < s.len; i++) {
        char c = s.ptr[i];
        unsigned char u = (unsigned char)c;
        if (c == '?' && !head->query.ptr) head->query = stream_slice_of(s.ptr + i + 1, s.len - i - 1);
        if (u <= 0x20 || u >= 0x7F || is_one_of(c, "\"<>#") || (c == '\\' && !head->query.ptr))
            return fail(f, 400, "character in the target that must be escaped", s.ptr + i);
    }
    return true;
}

static bool parse_target(http_head *head, fault *f) {
    stream_slice t = head->target;
    http_address address;
    const char *wrong;
    if (http_same(head->method, "CONNECT")) {
        wrong = http_host_parse(t, &address);
        if (wrong || address.port == 0) return fail(f, 400, wrong ? wrong : "CONNECT without a port", t.ptr);
        head->host = t;
        head->path = stream_slice_of(t.ptr + t.len, 0);
        return true;
    }
    if (t.len == 1 && t.ptr[0] == '*') {
        if (!http_same(head->method, "OPTIONS")) return fail(f, 400, "target * without OPTIONS", t.ptr);
        head->path = t;
        return true;
    }
    if (t.len && t.ptr[0] == '/') return parse_path(head, t, f);
    if (t.len > 7 && http_same(stream_slice_of(t.ptr, 7), "http://")) {
        static const char path_starts[] = "/?";
        taken(&t, 7);
        head->host = taken(&t, stream_find_any(t.ptr, t.len, path_starts, 2));
        wrong = http_host_parse(head->host, &address);
        if (wrong) return fail(f, 400, wrong, head->host.ptr);
        if (!parse_path(head, t, f)) return false;
        if (t.len == 0) head->path = stream_slice_text("/");
        return true;
    }
    return fail(f, 400, "target that is neither a path nor an http URL", t.ptr);
}

static bool parse_length(stream_slice v, uint64_t *length, fault *f) {
    size_t i;
    uint64_t n = 0;
    if (v.len == 0 || v.len > 18) return fail(f, 400, "Content-Length of no or too many digits", v.ptr);
    for (i = 0; i < v.len; i++) {
        if (!is_digit(v.ptr[i])) return fail(f, 400, "Content-Length that is no number", v.ptr + i);
        n = n * 10 + (uint64_t)(v.ptr[i] - '0');
    }
    *length = n;
    return true;
}

/* One line of fields: its name and value are what the grammar allows. rest begins with it. */
static bool check_field(stream_slice *rest, stream_slice *name, stream_slice *value, fault *f) {
    size_t n = stream_find_any(rest->ptr, rest->len, ":\r", 2), i;
    if (n == rest->len || rest->ptr[n] != ':') return fail(f, 400, "field line without a colon", rest->ptr);
    if (n == 0) return fail(f, 400, "field without a name", rest->ptr);
    for (i = 0; i < n; i++) {
        char c = rest->ptr[i];
        if (c == ' ' || c == '\t')
            return fail(f, 400, "white space in or behind a field name", rest->ptr + i);
        if (!is_token_char(c))
            return fail(f, 400, "character in a field name that cannot be there", rest->ptr + i);
    }
    return http_field_next(rest, name, value);
}

typedef struct seen { /* fields that decide about framing */
    size_t hosts, lengths, codings;
    stream_slice coding;
    bool close, keep_alive, upgrade, upgrade_named;
} seen;

/* A Connection that names one of these would have a proxy drop what the message is about. */
static bool parse_connection(stream_slice value, seen *s, fault *f) {
    static const char *const forbidden[] = {"host", "content-length", "content-type", "authorization",
                                            "cookie",
                                            "cache-control"};
    stream_slice element;
    size_t i;
    while (list_next(&value, &element)) {
        if (!is_token(element)) return fail(f, 400, "Connection that is no list of tokens", element.ptr);
        if (http_same(element, "close")) s->close = true;
        if (http_same(element, "keep-alive")) s->keep_alive = true;
        if (http_same(element, "upgrade")) s->upgrade_named = true;
        for (i = 0; i < sizeof forbidden / sizeof *forbidden; i++)
            if (http_same(element, forbidden[i]))
                return fail(f, 400, "Connection names a field that is not for this hop", element.ptr);
    }
    return true;
}

static bool parse_fields(http_head *head, seen *s, bool request, fault *f) {
    stream_slice rest = head->fields, name, value;
    while (rest.len && rest.ptr[0] != '\r') {
        const char *line = rest.ptr;
        if (!check_field(&rest, &name, &value, f)) return false;
        if (http_same(name, "host") && request) {
            http_address address;
            const char *wrong = http_host_parse(value, &address);
            if (s->hosts++) return fail(f, 400, "Host more than once", line);
            if (wrong) return fail(f, 400, wrong, value.ptr);
            if (head->host.ptr && !same_slices(head->host, value))
                return fail(f, 400, "Host differs from the target's", value.ptr);
            head->host = value;
        } else if (http_same(name, "content-length")) {
            if (s->lengths++) return fail(f, 400, "Content-Length more than once", line);
            if (!parse_length(value, &head->length, f)) return false;
        } else if (http_same(name, "transfer-encoding")) {
            if (s->codings++) return fail(f, 400, "Transfer-Encoding more than once", line);
            s->coding = value;
        } else if (http_same(name, "connection")) {
            if (!parse_connection(value, s, f)) return false;
        } else if (http_same(name, "upgrade")) {
            s->upgrade = true;
        } else if (http_same(name, "expect") && request) {
            if (!http_same(value, "100-continue"))
                return fail(f, 417, "Expect other than 100-continue", value.ptr);
            head->expect_continue = head->minor > 0;
        }
    }
    return true;
}

/* The head's lines, the empty one included, are well-ended: every CR is followed by LF and every LF preceded
   by CR, and there is no other control character but the tab. */
static bool parse_head(http_head *head, stream_slice text, bool request, bool bodyless, fault *f) {
    stream_slice rest = text, line;
    size_t n;
    seen s;
    memset(head, 0, sizeof *head);
    memset(&s, 0, sizeof s);
    line = taken(&rest, stream_find_byte(rest.ptr, rest.len, '\r'));
    taken(&rest, 2);
    head->fields = rest;
    if (request) {
        n = stream_find_byte(line.ptr, line.len, ' ');
        head->method = taken(&line, n);
        if (!is_token(head->method)) return fail(f, 400, "no method where one must be", head->method.ptr);
        if (line.len) taken(&line, 1);
        n = stream_find_byte(line.ptr, line.len, ' ');
        head->target = taken(&line, n);
        if (n == 0) return fail(f, 400, "request line without a target", head->target.ptr);
        if (line.len == 0) return fail(f, 400, "request line without a version", line.ptr);
        taken(&line, 1);
        if (!parse_version(line, &head->minor, f) || !parse_target(head, f)) return false;
    } else {
        n = stream_find_byte(line.ptr, line.len, ' ');
        if (!parse_version(taken(&line, n), &head->minor, f)) return false;
        if (line.len < 4 || !is_digit(line.ptr[1]) || !is_digit(line.ptr[2]) || !is_digit(line.ptr[3]) ||
            (line.len > 4 && line.ptr[4] != ' '))
            return fail(f, 502, "status that is not three digits", line.ptr);
        head->status = (line.ptr[1] - '0') * 100 + (line.ptr[2] - '0') * 10 + (line.ptr[3] - '0');
        if (head->status < 100 || head->status > 599)
            return fail(f, 502, "status below 100 or above 599", line.ptr + 1);
        taken(&line, 4);
        if (line.len) taken(&line, 1); /* without the space before an empty reason: often so, and harmless */
        head->reason = line;
    }
    if (!parse_fields(head, &s, request, f)) return false;
    if (request && s.hosts == 0 && head->minor > 0) return fail(f, 400, "no Host", rest.ptr);

    if (s.codings) {
        if (s.lengths) return fail(f, 400, "Content-Length beside Transfer-Encoding", rest.ptr);
        if (head->minor == 0) return fail(f, 400, "Transfer-Encoding in HTTP/1.0", rest.ptr);
        if (!http_same(s.coding, "chunked"))
            return fail(f, 501, "Transfer-Encoding other than chunked", s.coding.ptr);
    }
    head->keep_alive = !s.close && (head->minor > 0 || s.keep_alive);
    head->upgrade = s.upgrade && s.upgrade_named && head->minor > 0;
    if (!request && head->status == 101) {
        head->framing = HTTP_UNTIL_CLOSE;
        head->keep_alive = false;
    } else if (!request && (bodyless || head->status < 200 || head->status == 204 || head->status == 304)) {
        head->framing = HTTP_NO_BODY;
    } else if (s.codings) {
        head->framing = HTTP_CHUNKED;
    } else if (s.lengths) {
        head->framing = head->length ? HTTP_LENGTH : HTTP_NO_BODY;
    } else if (!request) {
        head->framing = HTTP_UNTIL_CLOSE;
        head->keep_alive = false;
    }
    return true;
}

/* ---- reading: the decoder ---------------------------------------------------------------------------- */

enum {
    AT_START, /* between messages: nothing of a head yet */
    IN_HEAD,
    IN_BODY,  /* Content-Length */
    IN_REST,  /* until the connection closes */
    CHUNK_SIZE,
    CHUNK_SPACE, /* white space behind the size: an extension must follow */
    CHUNK_EXTENSION,
    CHUNK_LF,
    CHUNK_DATA,
    CHUNK_DATA_CR,
    CHUNK_DATA_LF,
    IN_TRAILERS,
    AT_END, /* DONE is still to be said */
    DEAD
};

enum { MAX_EXTENSION = 4096 }; /* bytes of chunk extensions in one message; nobody uses them */

stream_status http_init(http *h, const http_desc *desc) {
    http_desc d;
    memset(&d, 0, sizeof d);
    if (desc) d = *desc;
    if (d.max_head == 0) d.max_head = d.memory ? d.memory_len : 16384;
    if (d.memory && d.max_head > d.memory_len) d.max_head = d.memory_len;
    if (d.max_head < 64 || d.max_head > SIZE_MAX / 4) return STREAM_E_ARGUMENT;
    if (d.first_head == 0) d.first_head = 1024;
    memset(h, 0, sizeof *h);
    h->role = (uint8_t)d.role;
    h->max_target = d.max_target ? d.max_target : 8192;
    h->max_fields = d.max_fields ? d.max_fields : 100;
    h->max_body = d.max_body ? d.max_body : UINT64_MAX;
    h->allocator = d.allocator;
    h->first_head = d.first_head < d.max_head ? d.first_head : d.max_head;
    h->max_head = d.max_head;
    if (d.memory) {
        h->held = (char *)d.memory;
        h->held_cap = d.max_head;
        h->fixed = true;
    }
    return STREAM_OK;
}

static void *resize(http *h, size_t size) {
    if (h->allocator.resize) return h->allocator.resize(h->allocator.ctx, h->held, h->held_cap, size, 1);
    if (size) return realloc(h->held, size);
    free(h->held);
    return NULL;
}

/* Nothing is held any more, and the buffer is given back: between heads a connection needs none. */
static void let_go(http *h) {
    h->held_len = 0;
    h->refused = h->spent = false;
    if (h->fixed || !h->held) return;
    resize(h, 0);
    h->held = NULL;
    h->held_cap = 0;
}

/* Keeps the bytes; there are never more than max_head. */
static void hold(http *h, const char *ptr, size_t len) {
    size_t want = h->held_cap ? h->held_cap : h->first_head;
    if (h->refused) return;
    while (want < h->held_len + len) want = want > h->max_head / 2 ? h->max_head : want * 2;
    if (want > h->held_cap) {
        void *grown = resize(h, want);
        if (!grown) {
            h->refused = true;
            return;
        }
        h->held = (char *)grown;
        h->held_cap = want;
    }
    if (len) memcpy(h->held + h->held_len, ptr, len);
    h->held_len += len;
}

void http_free(http *h) {
    let_go(h);
    memset(h, 0, sizeof *h);
}

void http_reset(http *h) {
    let_go(h);
    memset(&h->head, 0, sizeof h->head);
    h->cur = h->end = NULL;
    h->offset = h->start = h->scanned = h->body = h->left = 0;
    h->line = h->lines = h->extra = 0;
    h->status = 0;
    h->error = NULL;
    h->state = AT_START;
    h->cr = h->blank = h->bodyless = h->finished = false;
}

stream_status http_feed(http *h, const void *data, size_t len) {
    if (h->finished || h->cur != h->end) return STREAM_E_STATE;
    h->cur = (const char *)data;
    h->end = len ? h->cur + len : h->cur;
    return STREAM_OK;
}

stream_status http_finish(http *h) {
    h->finished = true;
    return STREAM_OK;
}

void http_expect_no_body(http *h) { h->bodyless = true; }

bool http_idle(const http *h) { return h->state == AT_START; }

stream_slice http_rest(http *h) {
    stream_slice rest = stream_slice_of(h->cur, (size_t)(h->end - h->cur));
    h->cur = h->end;
    h->offset += rest.len;
    h->scanned += rest.len;
    h->finished = true;
    h->state = DEAD;
    return rest;
}

static void advance(http *h, size_t n) {
    h->cur += n;
    h->offset += n;
    h->scanned += n;
}

/* The message is broken at `offset`: nothing that follows can be understood. */
static stream_status broken(http *h, stream_item *item, stream_status status, int answer, const char *text,
                            uint64_t offset) {
    memset(item, 0, sizeof *item);
    item->offset = offset;
    h->status = h->role == HTTP_RESPONSES ? 502 : answer;
    h->error = text;
    h->state = DEAD;
    let_go(h);
    return status;
}

/* Looks at the next bytes of a head or of trailers up to its empty line, and at each of them once. OK: all of
   it is there, and cur behind it. */
static stream_status scan_lines(http *h, stream_item *item, const char *from) {
    bool head = h->state == IN_HEAD;
    while (h->cur != h->end) {
        char c = *h->cur;
        if (h->offset - h->start >= h->max_head) {
            bool first = head && h->lines == 0 && h->role == HTTP_REQUESTS;
            return broken(h, item, STREAM_E_TOO_LONG, first ? 414 : 431,
                          head ? "head longer than max_head" : "trailers longer than max_head", h->offset);
        }
        if (h->cr && c != '\n')
            return broken(h, item, STREAM_E_INVALID, 400, "CR without LF", h->offset);
        if (c == '\n') {
            if (!h->cr) return broken(h, item, STREAM_E_INVALID, 400, "LF without CR", h->offset);
            h->cr = false;
            advance(h, 1);
            if (h->line == 0) {
                if (!head || h->lines) return STREAM_OK;
                /* One empty line before a request is left over from an old client's last body. */
                if (h->blank || h->role == HTTP_RESPONSES)
                    return broken(h, item, STREAM_E_INVALID, 400, "empty line where a head must begin",
                                  h->offset - 2);
                h->blank = true;
                let_go(h);
                h->state = AT_START;
                h->start = h->offset;
                return STREAM_EMPTY;
            }
            h->line = 0;
            if (++h->lines > h->max_fields + head)
                return broken(h, item, STREAM_E_TOO_LONG, 431, "more fields than max_fields", h->offset - 1);
            continue;
        }
        if (c == '\r') {
            h->cr = true;
        } else {
            if (!is_text_char(c))
                return broken(h, item, STREAM_E_INVALID, 400, "control character in a head", h->offset);
            if (h->line == 0 && (c == ' ' || c == '\t'))
                return broken(h, item, STREAM_E_INVALID, 400, "line that begins with white space",
                              h->offset);
            if (h->line == 0 && head && h->lines == 0 && !is_token_char(c))
                return broken(h, item, STREAM_E_INVALID, 400, "character that no head begins with",
                              h->offset);
            h->line++;
            if (head && h->lines == 0 && h->role == HTTP_REQUESTS && h->line > h->max_target + 32)
                return broken(h, item, STREAM_E_TOO_LONG, 414, "target longer than max_target", h->offset);
        }
        advance(h, 1);
    }
    if (h->cur != from) hold(h, from, (size_t)(h->cur - from));
    return STREAM_MORE;
}

/* All lines from h->start to cur, whole: in the loan, or put together. */
static stream_status whole_lines(http *h, stream_item *item, const char *from) {
    memset(item, 0, sizeof *item);
    item->offset = h->start;
    item->size = h->offset - h->start;
    item->ptr = from;
    item->len = (size_t)(h->cur - from);
    if (item->len < item->size) {
        hold(h, from, item->len);
        if (h->refused) return broken(h, item, STREAM_E_NOMEM, 503, "out of memory", h->start);
        item->ptr = h->held;
        item->len = h->held_len;
        item->flags = STREAM_COPIED;
        h->spent = true;
    }
    return STREAM_OK;
}

static stream_status next_head(http *h, stream_item *item) {
    const char *from = h->cur;
    fault f;
    bool request = h->role == HTTP_REQUESTS;
    stream_status status;
    if (h->state == AT_START) {
        h->state = IN_HEAD;
        h->start = h->offset;
        h->line = h->lines = 0;
        h->cr = false;
    }
    status = scan_lines(h, item, from);
    if (status != STREAM_OK) return status;
    status = whole_lines(h, item, from);
    if (status != STREAM_OK) return status;
    if (!parse_head(&h->head, stream_slice_of(item->ptr, item->len), request, h->bodyless, &f))
        return broken(h, item, STREAM_E_INVALID, f.status, f.text,
                      item->offset + (uint64_t)(f.at - item->ptr));
    if (h->head.target.len > h->max_target)
        return broken(h, item, STREAM_E_TOO_LONG, 414, "target longer than max_target",
                      item->offset + (uint64_t)(h->head.target.ptr - item->ptr));
    if (h->head.framing == HTTP_LENGTH && h->head.length > h->max_body)
        return broken(h, item, STREAM_E_TOO_LONG, 413, "body longer than max_body", item->offset);
    h->body = 0;
    h->extra = 0;
    h->blank = false;
    h->left = h->head.length;
    h->digits = 0;
    switch (h->head.framing) {
    case HTTP_NO_BODY: h->state = AT_END; break;
    case HTTP_LENGTH: h->state = IN_BODY; break;
    case HTTP_CHUNKED:
        h->state = CHUNK_SIZE;
        h->left = 0;
        break;
    case HTTP_UNTIL_CLOSE: h->state = IN_REST; break;
    }
    if (!request && h->head.status < 200 && h->head.status != 101) h->state = AT_START; /* more to come */
    else h->bodyless = false;
    item->kind = HTTP_HEAD;
    return STREAM_OK;
}

static stream_status next_trailers(http *h, stream_item *item) {
    static const char *const forbidden[] = {"content-length", "transfer-encoding", "host"};
    const char *from = h->cur;
    stream_slice rest, name, value;
    fault f;
    size_t i;
    stream_status status = scan_lines(h, item, from);
    if (status != STREAM_OK) return status;
    status = whole_lines(h, item, from);
    if (status != STREAM_OK) return status;
    rest = stream_slice_of(item->ptr, item->len);
    while (rest.ptr[0] != '\r') {
        const char *line = rest.ptr;
        bool good = check_field(&rest, &name, &value, &f);
        for (i = 0; good && i < sizeof forbidden / sizeof *forbidden; i++)
            if (http_same(name, forbidden[i])) good = fail(&f, 400, "field that cannot be a trailer", line);
        if (!good)
            return broken(h, item, STREAM_E_INVALID, f.status, f.text,
                          item->offset + (uint64_t)(f.at - item->ptr));
    }
    h->state = AT_END;
    if (item->len == 2) return STREAM_EMPTY; /* none */
    item->kind = HTTP_TRAILERS;
    return STREAM_OK;
}

/* A piece of the body: what of `left` is in the loan. */
static stream_status next_piece(http *h, stream_item *item, int done) {
    size_t n = (size_t)(h->end - h->cur);
    memset(item, 0, sizeof *item);
    if (h->state != IN_REST && n > h->left) n = (size_t)h->left;
    if (n > h->max_body - h->body) n = (size_t)(h->max_body - h->body);
    if (n == 0) return broken(h, item, STREAM_E_TOO_LONG, 413, "body longer than max_body", h->offset);
    item->kind = HTTP_BODY;
    item->ptr = h->cur;
    item->len = n;
    item->size = n;
    item->offset = h->offset;
    advance(h, n);
    h->body += n;
    if (h->state != IN_REST && (h->left -= n) == 0) h->state = (uint8_t)done;
    return STREAM_OK;
}

/* The line before a chunk, byte by byte. MORE, or an error, or OK when the state is that of what comes next. */
static stream_status chunk_line(http *h, stream_item *item) {
    while (h->cur != h->end) {
        char c = *h->cur;
        int digit;
        switch (h->state) {
        case CHUNK_SIZE:
            digit = hex_digit(c);
            if (digit >= 0) {
                if (h->digits == 16 || h->left >> 59)
                    return broken(h, item, STREAM_E_INVALID, 400, "chunk size of too many digits",
                                  h->offset);
                h->left = h->left << 4 | (uint64_t)digit;
                h->digits++;
                break;
            }
            if (h->digits == 0)
                return broken(h, item, STREAM_E_INVALID, 400, "no chunk size where one must be", h->offset);
            if (c == '\r') h->state = CHUNK_LF;
            else if (c == ';') h->state = CHUNK_EXTENSION;
            else if (c == ' ' || c == '\t') h->state = CHUNK_SPACE;
            else
                return broken(h, item, STREAM_E_INVALID, 400, "chunk size that is not hexadecimal",
                              h->offset);
            break;
        case CHUNK_SPACE:
            if (c == ';') h->state = CHUNK_EXTENSION;
            else if (c != ' ' && c != '\t')
                return broken(h, item, STREAM_E_INVALID, 400, "white space behind a chunk size", h->offset);
            break;
        case CHUNK_EXTENSION:
            if (c == '\r') h->state = CHUNK_LF;
            else if (!is_text_char(c))
                return broken(h, item, STREAM_E_INVALID, 400, "control character in a chunk extension",
                              h->offset);
            break;
        default: /* CHUNK_LF */
            if (c != '\n') return broken(h, item, STREAM_E_INVALID, 400, "CR without LF", h->offset);
            advance(h, 1);
            h->digits = 0;
            if (h->left == 0) { /* the last one */
                h->state = IN_TRAILERS;
                h->start = h->offset;
                h->line = h->lines = 0;
                h->cr = false;
            } else {
                h->state = CHUNK_DATA;
            }
            return STREAM_OK;
        }
        if ((h->state == CHUNK_EXTENSION || h->state == CHUNK_SPACE) && ++h->extra > MAX_EXTENSION)
            return broken(h, item, STREAM_E_TOO_LONG, 400, "chunk extensions without end", h->offset);
        advance(h, 1);
    }
    return STREAM_MORE;
}

stream_status http_next(http *h, stream_item *item) {
    stream_status status = STREAM_OK;
    memset(item, 0, sizeof *item);
    if (h->spent) let_go(h);
    for (;;) {
        if (h->state == AT_END) {
            memset(item, 0, sizeof *item);
            item->kind = HTTP_DONE;
            item->offset = h->offset;
            h->state = h->head.keep_alive ? AT_START : DEAD; /* what follows the last message is none */
            return STREAM_OK;
        }
        if (h->cur == h->end) break;
        switch (h->state) {
        case AT_START:
        case IN_HEAD: status = next_head(h, item); break;
        case IN_BODY: return next_piece(h, item, AT_END);
        case IN_REST: return next_piece(h, item, IN_REST);
        case CHUNK_DATA: return next_piece(h, item, CHUNK_DATA_CR);
        case CHUNK_DATA_CR:
            if (*h->cur != '\r')
                return broken(h, item, STREAM_E_INVALID, 400, "chunk longer than its size", h->offset);
            advance(h, 1);
            h->state = CHUNK_DATA_LF;
            continue;
        case CHUNK_DATA_LF:
            if (*h->cur != '\n') return broken(h, item, STREAM_E_INVALID, 400, "CR without LF", h->offset);
            advance(h, 1);
            h->state = CHUNK_SIZE;
            h->digits = 0;
            continue;
        case IN_TRAILERS: status = next_trailers(h, item); break;
        case DEAD: advance(h, (size_t)(h->end - h->cur)); continue;
        default: status = chunk_line(h, item); break;
        }
        if (status == STREAM_MORE || status == STREAM_EMPTY) continue; /* used up; nothing to hand out */
        if (status == STREAM_OK && item->kind == 0) continue;          /* on with a chunk */
        return status;
    }
    memset(item, 0, sizeof *item);
    item->offset = h->offset;
    if (!h->finished) return STREAM_MORE;
    if (h->state == IN_REST) { /* this is how it ends */
        h->state = DEAD;
        item->kind = HTTP_DONE;
        return STREAM_OK;
    }
    if (h->state == DEAD || http_idle(h)) return STREAM_END;
    return broken(h, item, STREAM_E_TRUNCATED, 400, "the input ended inside a message", h->offset);
}

static stream_status decoder_feed(void *self, const void *data, size_t len) {
    return http_feed((http *)self, data, len);
}
static stream_status decoder_next(void *self, stream_item *item) { return http_next((http *)self, item); }
static stream_status decoder_finish(void *self) { return http_finish((http *)self); }

stream_decoder http_decoder(http *h) {
    stream_decoder d;
    d.self = h;
    d.feed = decoder_feed;
    d.next = decoder_next;
    d.finish = decoder_finish;
    return d;
}

/* ---- writing ----------------------------------------------------------------------------------------- */

void http_write_begin(http_writer *w, void *memory, size_t cap) {
    w->ptr = (char *)memory;
    w->cap = cap;
    w->len = 0;
    w->status = STREAM_OK;
}

static void put(http_writer *w, const char *ptr, size_t len) {
    if (len && w->len <= w->cap && len <= w->cap - w->len) memcpy(w->ptr + w->len, ptr, len);
    w->len += len; /* above cap nothing more is copied: len would have to shrink again for that */
}

static void put_text(http_writer *w, const char *text) { put(w, text, stream_slice_text(text).len); }

static void put_number(http_writer *w, uint64_t value) {
    char digits[20];
    size_t n = sizeof digits;
    do digits[--n] = (char)('0' + value % 10);
    while ((value /= 10) != 0);
    put(w, digits + n, sizeof digits - n);
}

void http_write_request(http_writer *w, stream_slice method, stream_slice target) {
    size_t i;
    if (!is_token(method) || target.len == 0) w->status = STREAM_E_INVALID;
    for (i = 0; i < target.len; i++)
        if ((unsigned char)target.ptr[i] <= 0x20 || (unsigned char)target.ptr[i] >= 0x7F)
            w->status = STREAM_E_INVALID;
    put(w, method.ptr, method.len);
    put(w, " ", 1);
    put(w, target.ptr, target.len);
    put_text(w, " HTTP/1.1\r\n");
}

void http_write_response(http_writer *w, int status, const char *reason) {
    stream_slice text = stream_slice_text(reason ? reason : http_reason(status));
    if (status < 100 || status > 599 || !is_text(text)) w->status = STREAM_E_INVALID;
    put_text(w, "HTTP/1.1 ");
    put_number(w, (uint64_t)(unsigned)status);
    put(w, " ", 1);
    put(w, text.ptr, text.len);
    put(w, "\r\n", 2);
}

static void put_field(http_writer *w, stream_slice name, stream_slice value) {
    if (!is_token(name) || !is_text(value)) w->status = STREAM_E_INVALID;
    put(w, name.ptr, name.len);
    put(w, ": ", 2);
    put(w, value.ptr, value.len);
    put(w, "\r\n", 2);
}

void http_write_field(http_writer *w, const char *name, stream_slice value) {
    put_field(w, stream_slice_text(name), value);
}

void http_write_text(http_writer *w, const char *name, const char *value) {
    put_field(w, stream_slice_text(name), stream_slice_text(value));
}

void http_write_number(http_writer *w, const char *name, uint64_t value) {
    put_text(w, name);
    if (!is_token(stream_slice_text(name))) w->status = STREAM_E_INVALID;
    put(w, ": ", 2);
    put_number(w, value);
    put(w, "\r\n", 2);
}

static bool named(stream_slice name, const char *const *names) {
    while (*names)
        if (http_same(name, *names++)) return true;
    return false;
}

void http_write_forwarded_but(http_writer *w, stream_slice fields, const char *const *names) {
    static const char *const never[] = {"host", "content-length", "expect", NULL};
    stream_slice rest = fields, name, value;
    while (http_field_next(&rest, &name, &value))
        if (!http_hop_by_hop(fields, name) && !named(name, never) && !named(name, names))
            put_field(w, name, value);
}

void http_write_forwarded(http_writer *w, stream_slice fields) {
    static const char *const none[] = {NULL};
    http_write_forwarded_but(w, fields, none);
}

stream_status http_write_end(http_writer *w) {
    put(w, "\r\n", 2);
    if (w->status != STREAM_OK) return w->status;
    return w->len > w->cap ? STREAM_FULL : STREAM_OK;
}

size_t http_chunk_head(uint64_t len, char head[18]) {
    static const char digit[] = "0123456789abcdef";
    size_t n = 1, i;
    while (n < 16 && len >> (4 * n)) n++;
    for (i = 0; i < n; i++) head[i] = digit[len >> (4 * (n - 1 - i)) & 15];
    head[n] = '\r';
    head[n + 1] = '\n';
    return n + 2;
}

const char *http_reason(int status) {
    switch (status) {
    case 100: return "Continue";
    case 101: return "Switching Protocols";
    case 103: return "Early Hints";
    case 200: return "OK";
    case 201: return "Created";
    case 202: return "Accepted";
    case 204: return "No Content";
    case 206: return "Partial Content";
    case 301: return "Moved Permanently";
    case 302: return "Found";
    case 303: return "See Other";
    case 304: return "Not Modified";
    case 307: return "Temporary Redirect";
    case 308: return "Permanent Redirect";
    case 400: return "Bad Request";
    case 401: return "Unauthorized";
    case 403: return "Forbidden";
    case 404: return "Not Found";
    case 405: return "Method Not Allowed";
    case 406: return "Not Acceptable";
    case 408: return "Request Timeout";
    case 409: return "Conflict";
    case 411: return "Length Required";
    case 413: return "Content Too Large";
    case 414: return "URI Too Long";
    case 415: return "Unsupported Media Type";
    case 417: return "Expectation Failed";
    case 421: return "Misdirected Request";
    case 422: return "Unprocessable Content";
    case 426: return "Upgrade Required";
    case 429: return "Too Many Requests";
    case 431: return "Request Header Fields Too Large";
    case 500: return "Internal Server Error";
    case 501: return "Not Implemented";
    case 502: return "Bad Gateway";
    case 503: return "Service Unavailable";
    case 504: return "Gateway Timeout";
    case 505: return "HTTP Version Not Supported";
    default: return "Unknown";
    }
}

/* The civil date from a count of days: eras of 400 years beginning in March, after Hinnant,
   "chrono-Compatible Low-Level Date Algorithms". */
void http_date(uint64_t unix_seconds, char text[HTTP_DATE]) {
    static const char day_name[] = "ThuFriSatSunMonTueWed";
    static const char month_name[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
    uint64_t days = unix_seconds / 86400, seconds = unix_seconds % 86400;
    uint64_t z = days + 719468, era = z / 146097, of_era = z % 146097;
    uint64_t year = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
    uint64_t of_year = of_era - (365 * year + year / 4 - year / 100);
    uint64_t shifted = (5 * of_year + 2) / 153, day = of_year - (153 * shifted + 2) / 5 + 1;
    uint64_t month = shifted < 10 ? shifted + 2 : shifted - 10; /* from 0, January */
    uint64_t n[6];
    static const unsigned char at[6] = {5, 12, 14, 17, 20, 23};
    size_t i;
    year += era * 400 + (month < 2);
    memcpy(text, "Thu, 00 Jan 0000 00:00:00 GMT", HTTP_DATE);
    memcpy(text, day_name + 3 * (days % 7), 3);
    memcpy(text + 8, month_name + 3 * month, 3);
    n[0] = day;
    n[1] = year / 100 % 100;
    n[2] = year % 100;
    n[3] = seconds / 3600;
    n[4] = seconds / 60 % 60;
    n[5] = seconds % 60;
    for (i = 0; i < 6; i++) {
        text[at[i]] = (char)('0' + n[i] / 10);
        text[at[i] + 1] = (char)('0' + n[i] % 10);
    }
}

/* ---- addresses --------------------------------------------------------------------------------------- */

static bool is_ipv4(stream_slice s) {
    size_t parts = 0;
    for (;;) {
        size_t n = 0;
        unsigned v = 0;
        while (n < s.len && n < 4 && is_digit(s.ptr[n])) v = v * 10 + (unsigned)(s.ptr[n++] - '0');
        if (n == 0 || v > 255 || n > 3 || (n > 1 && s.ptr[0] == '0')) return false;
        taken(&s, n);
        parts++;
        if (s.len == 0) return parts == 4;
        if (s.ptr[0] != '.' || parts == 4) return false;
        taken(&s, 1);
    }
}

/* Eight groups of up to four digits, :: for one or more of them, the last two perhaps as an IPv4 address
   (RFC 3986, IPv6address). */
static bool is_ipv6(stream_slice s) {
    size_t groups = 0;
    bool gap = false;
    if (s.len >= 2 && s.ptr[0] == ':' && s.ptr[1] == ':') {
        gap = true;
        taken(&s, 2);
    }
    while (s.len) {
        size_t n = 0;
        while (n < s.len && n < 5 && hex_digit(s.ptr[n]) >= 0) n++;
        if (n < s.len && s.ptr[n] == '.') {
            if (!is_ipv4(s)) return false;
            groups += 2;
            break;
        }
        if (n == 0 || n > 4) return false;
        groups++;
        taken(&s, n);
        if (s.len == 0) break;
        if (s.ptr[0] != ':' || s.len == 1) return false;
        taken(&s, 1);
        if (s.ptr[0] != ':') continue;
        if (gap) return false;
        gap = true;
        taken(&s, 1);
    }
    return gap ? groups < 8 : groups == 8;
}

static bool parse_port(stream_slice s, uint16_t *port) {
    unsigned long v = 0;
    size_t i;
    if (s.len == 0 || s.len > 5) return false;
    for (i = 0; i < s.len; i++) {
        if (!is_digit(s.ptr[i])) return false;
        v = v * 10 + (unsigned long)(s.ptr[i] - '0');
    }
    *port = (uint16_t)v;
    return v > 0 && v < 65536;
}

const char *http_host_parse(stream_slice text, http_address *address) {
    size_t n;
    memset(address, 0, sizeof *address);
    if (text.len == 0) return "host that is empty";
    if (text.ptr[0] == '[') {
        n = stream_find_byte(text.ptr, text.len, ']');
        if (n == text.len) return "IPv6 address without its closing bracket";
        address->ipv6 = true;
        address->host = stream_slice_of(text.ptr + 1, n - 1);
        if (!is_ipv6(address->host)) return "IPv6 address that is none";
        taken(&text, n + 1);
    } else {
        n = stream_find_byte(text.ptr, text.len, ':');
        address->host = taken(&text, n);
        if (n == 0) return "host that is empty";
        if (n > 253) return "host longer than a name can be";
        /* Names as they are in use: RFC 3986 would let through escapes and marks that no resolver takes. */
        for (n = 0; n < address->host.len; n++) {
            char c = address->host.ptr[n];
            if (!is_letter(c) && !is_digit(c) && !is_one_of(c, "-._"))
                return "character in the host that no name has";
        }
    }
    if (text.len == 0) return NULL;
    if (text.ptr[0] != ':') return "text behind the host";
    taken(&text, 1);
    return parse_port(text, &address->port) ? NULL : "port that is no number from 1 to 65535";
}

static bool starts_with(stream_slice s, const char *text) {
    size_t n = stream_slice_text(text).len;
    return s.len >= n && http_same(stream_slice_of(s.ptr, n), text);
}

/* The path of a Unix socket, up to `end`. */
static const char *parse_unix(stream_slice path, http_address *address) {
    memset(address, 0, sizeof *address);
    if (path.len == 0) return "Unix socket without a path";
    if (path.len > 107) return "path longer than a Unix socket's can be (107 bytes)";
    if (stream_find_byte(path.ptr, path.len, '\0') < path.len) return "NUL in a path";
    address->unix_path = path;
    return NULL;
}

const char *http_address_parse(stream_slice text, http_address *address) {
    if (starts_with(text, "unix:")) return parse_unix(stream_slice_of(text.ptr + 5, text.len - 5), address);
    if (text.len && text.ptr[0] == ':') {
        memset(address, 0, sizeof *address);
        taken(&text, 1);
        return parse_port(text, &address->port) ? NULL : "port that is no number from 1 to 65535";
    }
    return http_host_parse(text, address);
}

const char *http_url_parse(stream_slice text, http_url *url) {
    size_t n;
    memset(url, 0, sizeof *url);
    for (n = 0; n < text.len; n++)
        if ((unsigned char)text.ptr[n] <= 0x20 || (unsigned char)text.ptr[n] >= 0x7F ||
            is_one_of(text.ptr[n], "\"<>#\\"))
            return "character in the URL that must be escaped";
    if (starts_with(text, "unix:")) {
        const char *wrong;
        taken(&text, 5);
        n = stream_find_byte(text.ptr, text.len, ':');
        wrong = parse_unix(taken(&text, n), &url->address);
        if (wrong) return wrong;
        if (text.len) taken(&text, 1);
        url->authority = stream_slice_text("localhost");
        url->target = text.len ? text : stream_slice_text("/");
        return url->target.ptr[0] == '/' ? NULL : "path that does not begin with /";
    }
    if (starts_with(text, "https://")) return "https: put a TLS front before it, and name that";
    if (!starts_with(text, "http://")) return "URL that begins with neither http:// nor unix:";
    taken(&text, 7);
    url->authority = taken(&text, stream_find_any(text.ptr, text.len, "/?", 2));
    if (stream_find_byte(url->authority.ptr, url->authority.len, '@') < url->authority.len)
        return "user name in a URL";
    url->target = text;
    if (text.len == 0) url->target = stream_slice_text("/");
    else if (text.ptr[0] != '/') return "query without a path before it";
    {
        const char *wrong = http_host_parse(url->authority, &url->address);
        if (wrong) return wrong;
    }
    if (url->address.port == 0) url->address.port = 80;
    return NULL;
}

bool http_query_next(stream_slice *rest, stream_slice *name, stream_slice *value) {
    while (rest->len) {
        stream_slice pair = taken(rest, stream_find_byte(rest->ptr, rest->len, '&'));
        if (rest->len) taken(rest, 1);
        if (pair.len == 0) continue;
        *name = taken(&pair, stream_find_byte(pair.ptr, pair.len, '='));
        if (pair.len) taken(&pair, 1);
        *value = pair;
        return true;
    }
    return false;
}

stream_status http_percent_decode(stream_slice src, bool form, char *dst, size_t cap, size_t *len) {
    size_t i;
    *len = 0;
    for (i = 0; i < src.len; i++) {
        char c = src.ptr[i];
        if (c == '%') {
            int high = src.len - i > 2 ? hex_digit(src.ptr[i + 1]) : -1;
            int low = src.len - i > 2 ? hex_digit(src.ptr[i + 2]) : -1;
            if (high < 0 || low < 0) return STREAM_E_INVALID;
            c = (char)(unsigned char)(high << 4 | low);
            i += 2;
        } else if (c == '+' && form) {
            c = ' ';
        }
        if (*len < cap) dst[*len] = c;
        ++*len;
    }
    return *len > cap ? STREAM_FULL : STREAM_OK;
}
