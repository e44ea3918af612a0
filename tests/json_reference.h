/* SPDX-License-Identifier: MIT-0
   Framing (but for RFC 7464) and checking as the documentation of stream_json.h has them, naively: the whole
   input in memory, one byte after another. Include after the implementation, a type `trace`, and
   reference_item(), which takes the items. */
#ifndef JSON_REFERENCE_H
#define JSON_REFERENCE_H

/* ---- framing ------------------------------------------------------------------------------------------- */

typedef struct input {
    const char *p;
    size_t n;
    char end; /* what ends a record; 0: nothing does */
    size_t max_len, max_depth;
} input;

typedef enum verdict { NO, YES, MAYBE } verdict; /* MAYBE: the input ends before it shows */

static inline bool ends(const input *in, size_t i) { return in->end && in->p[i] == in->end; }

static inline bool white(const input *in, size_t i) {
    return !ends(in, i) && (in->p[i] == ' ' || in->p[i] == '\t' || in->p[i] == '\r' || in->p[i] == '\n');
}

static inline bool bracket(const input *in, size_t i) { return in->p[i] == '{' || in->p[i] == '['; }

static inline bool one_of(char c, const char *set) { return c != '\0' && strchr(set, c) != NULL; }

static inline uint32_t type_of(char c) {
    if (c == '{') return STREAM_JSON_OBJECT;
    if (c == '[') return STREAM_JSON_ARRAY;
    if (c == '"') return STREAM_JSON_STRING;
    if (c == 't') return STREAM_JSON_TRUE;
    if (c == 'f') return STREAM_JSON_FALSE;
    if (c == 'n') return STREAM_JSON_NULL;
    return c == '-' || (c >= '0' && c <= '9') ? STREAM_JSON_NUMBER : STREAM_JSON_NONE;
}

static inline size_t digits(const char *p, size_t n, size_t i) {
    while (i < n && p[i] >= '0' && p[i] <= '9') i++;
    return i;
}

/* Are these bytes a literal or a number (RFC 8259)? MAYBE: the beginning of one. */
static inline verdict is_bare(const char *p, size_t n) {
    static const char *const words[] = {"true", "false", "null"};
    size_t i, from;
    for (i = 0; i < 3; i++) {
        size_t len = strlen(words[i]);
        if (n > 0 && n <= len && memcmp(p, words[i], n) == 0) return n == len ? YES : MAYBE;
    }
    i = n > 0 && p[0] == '-';
    if (i == n) return MAYBE;
    from = i;
    i = p[i] == '0' ? i + 1 : digits(p, n, i);
    if (i == from) return NO;
    if (i < n && p[i] == '.') {
        if (i + 1 == n) return MAYBE;
        from = i + 1;
        i = digits(p, n, from);
        if (i == from) return NO;
    }
    if (i < n && (p[i] == 'e' || p[i] == 'E')) {
        i++;
        if (i < n && (p[i] == '+' || p[i] == '-')) i++;
        if (i == n) return MAYBE;
        i = digits(p, n, i);
    }
    return i == n && p[n - 1] >= '0' && p[n - 1] <= '9' ? YES : NO;
}

/* The longest beginning of a bare value at i, up to `limit`; *stop is behind it. */
static inline verdict bare_at(const input *in, size_t i, size_t limit, size_t *stop) {
    size_t j = i;
    while (j < limit && is_bare(in->p + i, j + 1 - i) != NO) j++;
    *stop = j;
    return j == i ? NO : is_bare(in->p + i, j - i);
}

/* Does the bracket at i begin a value? *stop is where that shows. */
static inline verdict begins(const input *in, size_t i, bool after_noise, size_t *stop) {
    size_t limit = after_noise && in->n - i > 32 ? i + 32 : in->n;
    size_t j = i + 1;
    verdict first;
    while (j < limit && white(in, j)) j++;
    *stop = j;
    if (j == in->n) return MAYBE;
    if (j == limit || ends(in, j)) return NO;
    if (in->p[i] == '{') return one_of(in->p[j], "\"}") ? YES : NO;
    if (one_of(in->p[j], "]\"{[")) return YES;
    first = bare_at(in, j, limit, stop);
    if (first == NO) return NO;
    if (*stop == in->n) return MAYBE;
    if (*stop == limit) return NO;
    return first == YES && (white(in, *stop) || one_of(in->p[*stop], ",]")) ? YES : NO;
}

/* Is there a scalar at i? *to is its end; *stop is how far one must look to say so. */
static inline verdict scalar(const input *in, size_t i, size_t *to, size_t *stop) {
    size_t j;
    verdict is = NO;
    if (in->p[i] == '"') {
        for (j = i + 1; j < in->n && in->p[j] != '"'; j++) {
            if (in->p[j] == '\\' && j + 1 < in->n) j++;
            if (in->end == '\n' && in->p[j] == '\n') break;
        }
        *to = *stop = j;
        if (j == in->n) return MAYBE;
        if (in->p[j] != '"') return NO;
        *to = *stop = j + 1;
        if (in->end == 0) return YES;
    } else {
        is = bare_at(in, i, in->n, to);
        *stop = *to;
        if (*to == in->n || is == NO) return is;
        if (is == MAYBE) return NO;
        if (in->end == 0) return white(in, *to) || one_of(in->p[*to], "{}[],\"") ? YES : NO;
        if (!white(in, *to) && !ends(in, *to)) return NO;
    }
    for (j = *to; j < in->n && white(in, j); j++) {
    } /* alone up to its record's end? */
    *stop = j;
    return j == in->n || ends(in, j) ? YES : NO;
}

static inline void hand_out(const input *in, trace *out, stream_status status, uint32_t kind, size_t from,
                     size_t to, bool at_end) {
    stream_item item;
    memset(&item, 0, sizeof item);
    item.ptr = in->p + from;
    item.size = to - from;
    item.len = to - from < in->max_len ? to - from : in->max_len;
    item.offset = from;
    item.kind = kind;
    item.flags = at_end ? (uint32_t)STREAM_UNTERMINATED : 0;
    if (item.size > in->max_len && status != STREAM_E_TOO_DEEP) status = STREAM_E_TOO_LONG;
    reference_item(out, status, &item);
}

/* Where the bytes end that a line feed at i cuts off. */
static inline size_t before_cr(const input *in, size_t i) {
    return i < in->n && in->p[i] == '\n' && in->p[i - 1] == '\r' ? i - 1 : i;
}

/* The object or array at i: returns where it or its record ends. */
static inline size_t reference_value(const input *in, size_t i, trace *out, bool *cut) {
    size_t depth = 0, deepest = 0, from = i;
    bool in_string = false;
    *cut = true;
    for (; i < in->n && *cut; i++) {
        if (in->end == '\n' && in->p[i] == '\n') break;
        if (in_string) {
            if (in->p[i] == '"') in_string = false;
            else if (in->p[i] == '\\' && i + 1 < in->n && !(in->end == '\n' && in->p[i + 1] == '\n')) i++;
            continue;
        }
        if (ends(in, i)) break;
        in_string = in->p[i] == '"';
        if (bracket(in, i) && ++depth > deepest) deepest = depth;
        if (one_of(in->p[i], "}]") && --depth == 0) *cut = false;
    }
    hand_out(in, out,
             deepest > in->max_depth ? STREAM_E_TOO_DEEP
             : *cut                  ? STREAM_E_TRUNCATED
                                     : STREAM_OK,
             type_of(in->p[from]), from, *cut ? before_cr(in, i) : i, *cut && i == in->n);
    return i;
}

static inline void reference_frame(const stream_json_desc *desc, const char *p, size_t n, trace *out) {
    input in;
    stream_item last;
    size_t i = 0, gap = 0; /* gap: where the white space before i begins */
    bool open = false;     /* a value was handed out since the last record's end */
    in.p = p;
    in.n = n;
    in.end = desc->mode == STREAM_JSON_NDJSON ? '\n' : desc->mode == STREAM_JSON_DOLLAR ? '$' : '\0';
    in.max_len = desc->max_len ? desc->max_len : (size_t)1 << 20;
    in.max_depth = desc->max_depth ? desc->max_depth : 512;
    while (i < n) {
        size_t from = i - gap > 64 ? i : gap, to = i, stop = i;
        bool cut;
        verdict is = NO;
        if (ends(&in, i)) {
            open = false;
            gap = ++i;
            continue;
        }
        if (white(&in, i)) {
            if (p[i++] == '\n') gap = i;
            continue;
        }
        if (bracket(&in, i)) {
            is = begins(&in, i, false, &stop);
        } else if (type_of(p[i]) != STREAM_JSON_NONE) {
            is = scalar(&in, i, &to, &stop);
            if (is != NO) {
                bool at_end = stop == n && !(in.end == 0 && p[i] == '"' && is == YES);
                hand_out(&in, out, is == YES ? STREAM_OK : STREAM_E_TRUNCATED, type_of(p[i]), i, to,
                         at_end);
                open = is == YES;
                gap = i = at_end ? n : to;
                continue;
            }
        }
        if (is == NO) {
            i = stop;
            while (i < n && p[i] != '\n' && !ends(&in, i)) {
                if (bracket(&in, i)) {
                    is = begins(&in, i, true, &stop);
                    if (is != NO) break;
                    i = stop;
                } else {
                    i++;
                }
            }
            hand_out(&in, out, STREAM_NOISE, STREAM_JSON_NONE, from, before_cr(&in, i), i == n);
            if (i == n) open = false;
            gap = i;
        }
        if (is != NO) {
            gap = i = reference_value(&in, i, out, &cut);
            open = !cut;
        }
    }
    memset(&last, 0, sizeof last);
    last.offset = n;
    if (open && in.end) last.flags = STREAM_UNTERMINATED;
    reference_item(out, STREAM_END, &last);
}

/* ---- checking ------------------------------------------------------------------------------------------ */

/* Byte by byte and with nothing of the kernels' masks: a loop over what may come next, with a bit a level for
   what is open. */
enum {
    WANT_VALUE = 0, /* a value */
    WANT_ELEMENT,   /* a value, or the end of an empty array */
    WANT_MEMBER,    /* a key, or the end of an empty object */
    WANT_KEY,
    WANT_COLON,
    WANT_COMMA, /* or the end of what is open */
    WANT_NOTHING
};

/* A string from its opening quote, strictly. OK with *p past the closing one, MORE, or E_INVALID with *p at
   the first byte that cannot be. */
static inline stream_status reference_string(const char **p, const char *e) {
    const char *s = *p + 1;
    for (; s < e; s++) {
        unsigned char c = (unsigned char)*s;
        if (c == '"') {
            *p = s + 1;
            return STREAM_OK;
        }
        if (c == '\\') {
            if (++s == e) break;
            if (*s == 'u') {
                unsigned n;
                for (n = 0; n < 4; n++) {
                    char h;
                    if (++s == e) return STREAM_MORE;
                    h = (char)(*s | 0x20);
                    if (!((*s >= '0' && *s <= '9') || (h >= 'a' && h <= 'f'))) goto invalid;
                }
            } else if (*s != '"' && *s != '\\' && *s != '/' && *s != 'b' && *s != 'f' && *s != 'n' &&
                       *s != 'r' && *s != 't') {
                goto invalid;
            }
        } else if (c >= 0x80) {
            unsigned need = c < 0xE0 ? 1 : c < 0xF0 ? 2 : 3;
            unsigned char low = 0x80, high = 0xBF;
            if (c < 0xC2 || c > 0xF4) goto invalid;
            if (c == 0xE0) low = 0xA0;
            else if (c == 0xED) high = 0x9F;
            else if (c == 0xF0) low = 0x90;
            else if (c == 0xF4) high = 0x8F;
            for (; need; need--, low = 0x80, high = 0xBF) {
                if (++s == e) return STREAM_MORE;
                if ((unsigned char)*s < low || (unsigned char)*s > high) goto invalid;
            }
        } else if (c < 0x20) {
            goto invalid;
        }
    }
    return STREAM_MORE;
invalid:
    *p = s;
    return STREAM_E_INVALID;
}

static inline const char *skip_spaces(const char *p, const char *e) {
    while (p < e && strchr(" \t\r\n", *p) && *p) p++;
    return p;
}

static inline stream_status reference_check(const char *json, size_t len, size_t *offset) {
    const char *p = json, *e = len ? json + len : json;
    uint8_t object[STREAM_JSON_CHECK_DEPTH / 8];
    size_t depth = 0;
    int want = WANT_VALUE;
    stream_status status = STREAM_OK;
    for (;;) {
        char c;
        bool in_object = depth > 0 && (object[(depth - 1) / 8] >> ((depth - 1) % 8) & 1);
        p = skip_spaces(p, e);
        if (p == e) {
            *offset = len;
            return want == WANT_NOTHING ? STREAM_OK : STREAM_MORE;
        }
        c = *p;
        if ((c == ']' && !in_object && (want == WANT_ELEMENT || want == WANT_COMMA)) ||
            (c == '}' && in_object && (want == WANT_MEMBER || want == WANT_COMMA))) {
            depth--;
            p++;
            want = depth ? WANT_COMMA : WANT_NOTHING;
        } else if (want == WANT_COMMA && c == ',') {
            p++;
            want = in_object ? WANT_KEY : WANT_VALUE;
        } else if (want == WANT_COLON && c == ':') {
            p++;
            want = WANT_VALUE;
        } else if ((want == WANT_KEY || want == WANT_MEMBER) && c == '"') {
            status = reference_string(&p, e);
            want = WANT_COLON;
        } else if (want > WANT_ELEMENT) {
            status = STREAM_E_INVALID;
        } else if (c == '{' || c == '[') {
            if (depth == STREAM_JSON_CHECK_DEPTH) {
                *offset = (size_t)(p - json);
                return STREAM_E_TOO_DEEP;
            }
            if (c == '{') object[depth / 8] = (uint8_t)(object[depth / 8] | 1u << (depth % 8));
            else object[depth / 8] = (uint8_t)(object[depth / 8] & ~(1u << (depth % 8)));
            want = c == '{' ? WANT_MEMBER : WANT_ELEMENT;
            depth++;
            p++;
        } else {
            if (c == '"') {
                status = reference_string(&p, e);
            } else {
                uint8_t state = stream_json__token_begin(c), at = 1;
                if (state == 0) status = STREAM_E_INVALID;
                else
                    for (p++; p < e && stream_json__token_step(&state, &at, c, *p); p++) {
                    }
                if (state && !stream_json__token_whole(state, at, c))
                    status = p == e ? STREAM_MORE : STREAM_E_INVALID;
            }
            want = depth ? WANT_COMMA : WANT_NOTHING;
        }
        if (status != STREAM_OK) {
            *offset = status == STREAM_MORE ? len : (size_t)(p - json);
            return status;
        }
    }
}

#endif
