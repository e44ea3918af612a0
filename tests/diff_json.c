/* SPDX-License-Identifier: MIT-0
   stream_json.h against two other implementations: documents made from the grammar, and damaged ones.

   The others, and where they are known not to be RFC 8259 (each is a case below, and nothing else is let
   pass):

     jansson (2.14)  rejects half a surrogate pair in an escape, \u0000 in a key, integers outside int64 and
                     reals outside double; overlooks a NUL byte right behind a number or a literal.
     yajl (2.1)      takes form feed and vertical tab for white space; lets overlong UTF-8, surrogates and
                     what lies above U+10FFFF pass; overlooks a string behind the value that never ends.
                     Where jansson is too strict, yajl decides.

   json-c was looked at and left out: its strict mode takes 01, 2., NaN, 'a' and line feeds in strings, so its
   verdict says nothing.

   Environment: TEST_SEED (another random run), TEST_SCALE (percent of the documents; 100, under sanitizers
   12). Compile time: HAVE_JANSSON, HAVE_YAJL. A failure prints the document. */
#define STREAM_JSON_IMPLEMENTATION
#include "stream_json.h"
#include "test.h"

#ifdef HAVE_JANSSON
#include <jansson.h>
#endif
#ifdef HAVE_YAJL
#include <yajl/yajl_parse.h>
#endif

/* --- documents ------------------------------------------------------------------------------------------ */

typedef struct document {
    char *ptr;
    size_t len, cap;
    uint64_t random;
    size_t wanted; /* grows until about this long */
} document;

static size_t draw(document *d, size_t n) { return below(&d->random, n); }

static void put(document *d, const void *bytes, size_t n) {
    while (d->cap - d->len < n) {
        d->cap = d->cap ? d->cap * 2 : 4096;
        d->ptr = (char *)realloc(d->ptr, d->cap);
        if (!d->ptr) exit(1);
    }
    if (n) memcpy(d->ptr + d->len, bytes, n);
    d->len += n;
}

static void put_text(document *d, const char *text) { put(d, text, strlen(text)); }
static void put_byte(document *d, unsigned byte) {
    char c = (char)byte;
    put(d, &c, 1);
}

static void put_space(document *d) {
    size_t n = draw(d, 12) ? 0 : draw(d, 30) ? 1 + draw(d, 3) : draw(d, 200);
    while (n--) put_byte(d, (unsigned char)" \t\n\r"[draw(d, 4)]);
}

static void put_utf8(document *d, uint32_t c) {
    if (c < 0x80) {
        put_byte(d, c);
    } else if (c < 0x800) {
        put_byte(d, 0xC0 | c >> 6);
        put_byte(d, 0x80 | (c & 0x3F));
    } else if (c < 0x10000) {
        put_byte(d, 0xE0 | c >> 12);
        put_byte(d, 0x80 | (c >> 6 & 0x3F));
        put_byte(d, 0x80 | (c & 0x3F));
    } else {
        put_byte(d, 0xF0 | c >> 18);
        put_byte(d, 0x80 | (c >> 12 & 0x3F));
        put_byte(d, 0x80 | (c >> 6 & 0x3F));
        put_byte(d, 0x80 | (c & 0x3F));
    }
}

/* Any character but a surrogate: mostly of a random length in UTF-8, often at the edge of one. */
static uint32_t character(document *d) {
    static const uint32_t edges[] = {0x20,   0x21,   0x23,   0x5B,   0x5D,   0x7F,   0x80,    0x7FF,   0x800,
                                     0xD7FF, 0xE000, 0xFEFF, 0xFFFD, 0xFFFF, 0x10000, 0x1F680, 0x10FFFF};
    uint32_t c;
    if (draw(d, 3) == 0) return edges[draw(d, sizeof edges / sizeof *edges)];
    switch (draw(d, 5)) {
    case 0: c = (uint32_t)(0x80 + draw(d, 0x780)); break;
    case 1: c = (uint32_t)(0x800 + draw(d, 0xF800)); break;
    case 2: c = (uint32_t)(0x10000 + draw(d, 0x100000)); break;
    default: c = (uint32_t)(0x20 + draw(d, 0x60));
    }
    return c >= 0xD800 && c <= 0xDFFF ? c - 0x800 : c;
}

static void put_escape(document *d) {
    char text[16];
    uint32_t c;
    switch (draw(d, 40)) {
    case 0: /* half a pair, unless the other half happens to follow */
        snprintf(text, sizeof text, "\\u%04X", (unsigned)(0xD800 + draw(d, 0x800)));
        break;
    case 1: snprintf(text, sizeof text, "\\u0000"); break;
    case 2:
    case 3:
    case 4:
    case 5:
        c = (uint32_t)draw(d, 0x100000);
        snprintf(text, sizeof text, draw(d, 2) ? "\\uD%03x\\uD%03X" : "\\ud%03X\\ud%03x", 0x800u | c >> 10,
                 0xC00u | (c & 0x3FF));
        break;
    case 6:
    case 7:
    case 8:
    case 9:
    case 10:
        c = (uint32_t)draw(d, 0x10000 - 0x800 - 1) + 1;
        snprintf(text, sizeof text, "\\u%04x", (unsigned)(c >= 0xD800 ? c + 0x800 : c));
        break;
    default: snprintf(text, sizeof text, "\\%c", "\"\\/bfnrt"[draw(d, 8)]);
    }
    put_text(d, text);
}

static void put_string(document *d, bool key) {
    size_t n = draw(d, 4) ? draw(d, key ? 6 : 12) : draw(d, key ? 20 : 120);
    put_byte(d, '"');
    if (key && draw(d, 3)) { /* a short alphabet, so that some keys come twice, and pointers need escapes */
        for (n = 1 + draw(d, 4); n; n--) put_byte(d, (unsigned char)"abcdefgh~/"[draw(d, 10)]);
    } else if (draw(d, 3) == 0) { /* plain and long enough for a kernel to step over */
        for (n *= 2; n; n--) put_byte(d, 'a' + (unsigned)draw(d, 26));
    } else {
        for (; n; n--) {
            uint32_t c = character(d);
            if (draw(d, 6) == 0 || c == '"' || c == '\\') put_escape(d);
            else put_utf8(d, c);
        }
    }
    put_byte(d, '"');
}

static void put_digits(document *d, size_t n) {
    while (n--) put_byte(d, '0' + (unsigned)draw(d, 10));
}

static void put_number(document *d) {
    static const char *const edges[] = {"0", "-0", "-0.0", "9223372036854775807", "-9223372036854775808",
                                        "9223372036854775808", "18446744073709551615", "1e308", "1.8e308",
                                        "5e-324", "1E+2", "0e0", "0.1", "2.2250738585072011e-308", "1e-400"};
    if (draw(d, 5) == 0) {
        put_text(d, edges[draw(d, sizeof edges / sizeof *edges)]);
        return;
    }
    if (draw(d, 3) == 0) put_byte(d, '-');
    if (draw(d, 6) == 0) {
        put_byte(d, '0');
    } else {
        put_byte(d, '1' + (unsigned)draw(d, 9));
        put_digits(d, draw(d, 8) ? draw(d, 6) : draw(d, 25));
    }
    if (draw(d, 3) == 0) {
        put_byte(d, '.');
        put_digits(d, 1 + (draw(d, 8) ? draw(d, 6) : draw(d, 25)));
    }
    if (draw(d, 4) == 0) {
        put_byte(d, draw(d, 2) ? 'e' : 'E');
        if (draw(d, 2)) put_byte(d, draw(d, 2) ? '+' : '-');
        put_digits(d, 1 + draw(d, draw(d, 10) ? 2 : 4));
    }
}

static void put_value(document *d, unsigned depth) {
    size_t n, i, kind = draw(d, 10);
    put_space(d);
    if (depth == 0 || (kind > 4 && d->len > 0) || d->len > d->wanted) kind = 4 + draw(d, 6);
    switch (kind) {
    case 0:
    case 1:
    case 2:
        put_byte(d, '{');
        for (n = draw(d, 7), i = 0; i < n; i++) {
            if (i) put_byte(d, ',');
            put_space(d);
            put_string(d, true);
            put_space(d);
            put_byte(d, ':');
            put_value(d, depth - 1);
        }
        if (n == 0) put_space(d);
        put_byte(d, '}');
        break;
    case 3:
    case 4:
        if (kind == 4 && depth == 0) goto scalar;
        put_byte(d, '[');
        for (n = depth ? draw(d, 7) : 0, i = 0; i < n; i++) {
            if (i) put_byte(d, ',');
            put_value(d, depth - 1);
        }
        if (n == 0) put_space(d);
        put_byte(d, ']');
        break;
    case 5:
    case 6: put_string(d, false); break;
    case 7:
    case 8: put_number(d); break;
    default:
    scalar:
        put_text(d, draw(d, 3) ? draw(d, 2) ? "true" : "false" : "null");
    }
    put_space(d);
}

/* A valid text; one in fifty is a deep one. */
static void make(document *d, uint64_t number) {
    const char *text = getenv("TEST_SEED");
    uint64_t seed = text ? strtoull(text, NULL, 0) : 1;
    d->random = (seed * UINT64_C(1000003) + number) * UINT64_C(0x9E3779B97F4A7C15) | 1;
    test_random(&d->random);
    d->len = 0;
    d->wanted = draw(d, 4) ? draw(d, 300) : draw(d, 4000);
    if (draw(d, 50) == 0) {
        size_t n = draw(d, 900), i; /* damage may deepen it; it must stay below STREAM_JSON_CHECK_DEPTH */
        char close[900];
        for (i = 0; i < n; i++) {
            bool object = draw(d, 2);
            put_text(d, object ? "{\"a\":" : "[");
            close[i] = object ? '}' : ']';
        }
        put_value(d, 3);
        while (i) put_byte(d, (unsigned char)close[--i]);
    } else {
        put_value(d, (unsigned)draw(d, 12));
    }
}

/* One to three wounds. */
static void damage(document *d) {
    static const char bytes[] = "{}[]\",:\\/0123456789eE+-.tfnaulrs \t\r\n\f\v\0\x01\x1F\x7F\x80\x9F\xA0"
                                "\xBF\xC0\xC2\xE0\xED\xEF\xF0\xF4\xF5\xFF";
    size_t times = 1 + draw(d, 3);
    while (times-- && d->len) {
        size_t at = draw(d, d->len), n, rest = d->len - at;
        char with = bytes[draw(d, sizeof bytes - 1)];
        switch (draw(d, 7)) {
        case 0: d->ptr[at] = (char)(d->ptr[at] ^ 1 << draw(d, 8)); break;
        case 1: d->ptr[at] = with; break;
        case 2:
        case 3: /* delete */
            n = draw(d, 4) ? 1 : 1 + draw(d, rest);
            memmove(d->ptr + at, d->ptr + at + n, rest - n);
            d->len -= n;
            break;
        case 4: /* insert */
            put_byte(d, 0);
            memmove(d->ptr + at + 1, d->ptr + at, rest);
            d->ptr[at] = with;
            break;
        case 5: d->len = at; break;
        default: /* say some of it twice */
            n = 1 + draw(d, rest < 20 ? rest : 20);
            for (rest = 0; rest < n; rest++) put_byte(d, 0);
            memmove(d->ptr + at + n, d->ptr + at, d->len - at - n);
        }
    }
}

/* --- verdicts ------------------------------------------------------------------------------------------- */

typedef struct verdict {
    stream_status status;
    size_t offset;
} verdict;

/* Ours, on a block of exactly the text's size, so that a sanitizer sees one byte too far. What it says must
   also hold for the text before the offset: nothing is wrong with that. */
static verdict ours(const char *text, size_t len) {
    verdict v;
    size_t before;
    char *exact = (char *)calloc(1, len ? len : 1);
    stream_status st;
    if (!exact) exit(1);
    if (len) memcpy(exact, text, len);
    v.offset = SIZE_MAX;
    v.status = stream_json_check(exact, len, &v.offset);
    if (v.status != STREAM_E_INVALID) {
        CHECK_EQ(v.offset, len);
    } else {
        st = stream_json_check(exact, v.offset, &before);
        CHECK(v.offset < len && st >= 0);
        CHECK_EQ(stream_json_check(exact, v.offset + 1, &before), STREAM_E_INVALID);
        CHECK_EQ(before, v.offset);
    }
    free(exact);
    return v;
}

static void show(const char *text, size_t len, uint64_t number, const char *why) {
    printf("  document %llu: %s: ", (unsigned long long)number, why);
    test_print_bytes(text, len);
    putchar('\n');
}

/* Calls use(document, number) for count documents: each as made, then damaged twice. */
static void each_document(unsigned long count, void (*use)(const document *d, uint64_t number)) {
    document d;
    uint64_t number;
    memset(&d, 0, sizeof d);
    for (number = 0; number < count && test.failures == 0; number++) {
        make(&d, number);
        use(&d, number);
        damage(&d);
        use(&d, number);
        damage(&d);
        use(&d, number);
    }
    free(d.ptr);
}

#ifdef HAVE_YAJL
static bool yajl_takes(const char *text, size_t len) {
    yajl_handle h = yajl_alloc(NULL, NULL, NULL);
    bool takes = yajl_parse(h, (const unsigned char *)text, len) == yajl_status_ok &&
                 yajl_complete_parse(h) == yajl_status_ok;
    yajl_free(h);
    return takes;
}

/* The first byte that no UTF-8 can have there, or len. Not by a table of ranges: each lead and continuation
   narrows what the character can still be, until nothing is left of it. */
static size_t utf8_breaks(const char *text, size_t len) {
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    size_t i, k, n;
    for (i = 0; i < len; i += n) {
        unsigned char c = (unsigned char)text[i];
        uint32_t low, high, bits;
        if (c >= 0xF8 || (c >= 0x80 && c < 0xC0)) return i;
        n = c < 0x80 ? 1 : c < 0xE0 ? 2 : c < 0xF0 ? 3 : 4;
        if (n == 1) continue;
        bits = c & (0x7Fu >> n);
        for (k = 1;; k++) {
            low = bits << 6 * (n - k);
            high = low | ((1u << 6 * (n - k)) - 1);
            if (high < least[n] || low > 0x10FFFF || (low >= 0xD800 && high <= 0xDFFF)) return i + k - 1;
            if (k == n) break;
            if (i + k == len) return len;
            c = (unsigned char)text[i + k];
            if ((c & 0xC0) != 0x80) return i + k;
            bits = bits << 6 | (c & 0x3F);
        }
    }
    return len;
}

/* What yajl may think of a text about which we say this. */
static bool yajl_agrees(const char *text, size_t len, verdict v) {
    size_t offset;
    if (!yajl_takes(text, len)) return v.status == STREAM_MORE || v.status == STREAM_E_INVALID;
    if (v.status != STREAM_E_INVALID) return v.status == STREAM_OK;
    if (text[v.offset] == '\f' || text[v.offset] == '\v' || utf8_breaks(text, len) == v.offset) return true;
    if (text[v.offset] != '"' || stream_json_check(text, v.offset, &offset) != STREAM_OK) return false;
    text += v.offset; /* the string that never ends, whose UTF-8 is yajl's own as well */
    len -= v.offset;
    return stream_json_check(text, len, &offset) == STREAM_MORE || utf8_breaks(text, len) == offset;
}

static void yajl_judges(const document *d, uint64_t number) {
    verdict v = ours(d->ptr, d->len);
    bool agrees = yajl_agrees(d->ptr, d->len, v);
    CHECK(agrees);
    if (!agrees) show(d->ptr, d->len, number, stream_status_text(v.status));
}
#endif

#ifdef HAVE_JANSSON
static json_t *jansson_reads(const char *text, size_t len, json_error_t *error) {
    return json_loadb(text, len, JSON_DECODE_ANY | JSON_ALLOW_NUL, error);
}

/* Whether a valid text escapes half a surrogate pair. */
static bool lone_surrogate(const char *text, size_t len) {
    bool high = false, low;
    char hex[5] = {0};
    unsigned n;
    size_t i;
    for (i = 0; i < len; i++) {
        if (text[i] != '\\') {
            if (high) return true;
            continue;
        }
        if (text[++i] != 'u') {
            if (high) return true;
            continue;
        }
        memcpy(hex, text + i + 1, 4);
        n = (unsigned)strtoul(hex, NULL, 16);
        i += 4;
        low = n >= 0xDC00 && n <= 0xDFFF;
        if (low != high) return true;
        high = n >= 0xD800 && n <= 0xDBFF;
    }
    return high;
}

/* Whether a text is valid but for NUL bytes right behind numbers and literals. */
static bool valid_without_nul(const char *text, size_t len) {
    char *copy = (char *)malloc(len);
    size_t at;
    stream_status st;
    if (!copy) exit(1);
    memcpy(copy, text, len);
    while ((st = stream_json_check(copy, len, &at)) == STREAM_E_INVALID && at > 0 && copy[at] == '\0' &&
           ((copy[at - 1] >= '0' && copy[at - 1] <= '9') || (copy[at - 1] >= 'a' && copy[at - 1] <= 'z')))
        memmove(copy + at, copy + at + 1, --len - at);
    free(copy);
    return st == STREAM_OK;
}

/* What jansson may think of a text about which we say this. */
static bool jansson_agrees(const char *text, size_t len, verdict v) {
    json_error_t error;
    json_t *tree = jansson_reads(text, len, &error);
    bool takes = tree != NULL;
    json_decref(tree);
    if (takes) return v.status == STREAM_OK || (v.status == STREAM_E_INVALID && valid_without_nul(text, len));
    if (v.status != STREAM_OK) return v.status == STREAM_MORE || v.status == STREAM_E_INVALID;
#ifdef HAVE_YAJL
    if (!yajl_takes(text, len)) return false;
#endif
    switch (json_error_code(&error)) {
    case json_error_numeric_overflow:
    case json_error_null_byte_in_key: return true; /* it says so itself, of nothing else */
    case json_error_invalid_syntax: return lone_surrogate(text, len);
    default: return false;
    }
}

static void jansson_judges(const document *d, uint64_t number) {
    verdict v = ours(d->ptr, d->len);
    bool agrees = jansson_agrees(d->ptr, d->len, v);
    CHECK(agrees);
    if (!agrees) show(d->ptr, d->len, number, stream_status_text(v.status));
}
#endif

/* Every disagreement that is let pass above, once each, and neighbours that all agree about. */
static void known_disagreements(void) {
#define CASE(text) text, sizeof text - 1
    static const struct {
        const char *text;
        size_t len;
        stream_status status;
        bool jansson, yajl;
    } cases[] = {
        {CASE("\"\\ud800\""), STREAM_OK, false, true},             /* half a pair */
        {CASE("\"\\udc00\\ud800\""), STREAM_OK, false, true},      /* the halves swapped */
        {CASE("\"\\ud83d\\ude80\""), STREAM_OK, true, true},
        {CASE("{\"\\u0000\":1}"), STREAM_OK, false, true},         /* NUL in a key */
        {CASE("[\"\\u0000\"]"), STREAM_OK, true, true},
        {CASE("9223372036854775808"), STREAM_OK, false, true},     /* over int64 */
        {CASE("9223372036854775807"), STREAM_OK, true, true},
        {CASE("-9223372036854775809"), STREAM_OK, false, true},
        {CASE("1e309"), STREAM_OK, false, true},                   /* over double */
        {CASE("1e-400"), STREAM_OK, true, true},
        {CASE("[1\0]"), STREAM_E_INVALID, true, false},            /* NUL behind a number */
        {CASE("true\0"), STREAM_E_INVALID, true, false},           /* and a literal */
        {CASE("[1]\0"), STREAM_E_INVALID, false, false},
        {CASE("[1,\0]"), STREAM_E_INVALID, false, false},
        {CASE("\f1"), STREAM_E_INVALID, false, true},              /* not JSON's white space */
        {CASE("[1,\v2]"), STREAM_E_INVALID, false, true},
        {CASE("\"\f\""), STREAM_E_INVALID, false, false},
        {CASE("\"\xC0\x80\""), STREAM_E_INVALID, false, true},     /* overlong */
        {CASE("\"\xE0\x9F\xBF\""), STREAM_E_INVALID, false, true},
        {CASE("\"\xF0\x8F\xBF\xBF\""), STREAM_E_INVALID, false, true},
        {CASE("\"\xED\xA0\x80\""), STREAM_E_INVALID, false, true}, /* a surrogate */
        {CASE("\"\xF4\x90\x80\x80\""), STREAM_E_INVALID, false, true}, /* above U+10FFFF */
        {CASE("\"\xC3(\""), STREAM_E_INVALID, false, false},
        {CASE("\"\x80\""), STREAM_E_INVALID, false, false},
        {CASE("\"\xF4\x8F\xBF\xBF\""), STREAM_OK, true, true},
        {CASE("2 \"a"), STREAM_E_INVALID, false, true},            /* a string that never ends */
        {CASE("2 \"a\""), STREAM_E_INVALID, false, false},
        {CASE("01"), STREAM_E_INVALID, false, false},
        {CASE("2."), STREAM_MORE, false, false},
        {CASE(""), STREAM_MORE, false, false},
    };
#undef CASE
    size_t i;
    for (i = 0; i < sizeof cases / sizeof *cases; i++) {
        verdict v = ours(cases[i].text, cases[i].len);
        unsigned long failures = test.failures;
        CHECK_EQ(v.status, cases[i].status);
#ifdef HAVE_JANSSON
        {
            json_error_t error;
            json_t *tree = jansson_reads(cases[i].text, cases[i].len, &error);
            CHECK_EQ(tree != NULL, cases[i].jansson);
            CHECK(jansson_agrees(cases[i].text, cases[i].len, v));
            json_decref(tree);
        }
#endif
#ifdef HAVE_YAJL
        CHECK_EQ(yajl_takes(cases[i].text, cases[i].len), cases[i].yajl);
        CHECK(yajl_agrees(cases[i].text, cases[i].len, v));
#endif
        if (test.failures != failures) show(cases[i].text, cases[i].len, i, "case");
    }
}

/* Nothing made from the grammar is refused, and no part of its beginning either. */
static void made_documents_are_valid(void) {
    document d;
    uint64_t number;
    memset(&d, 0, sizeof d);
    for (number = 0; number < scaled(4000) && test.failures == 0; number++) {
        size_t i, offset;
        make(&d, number);
        CHECK_EQ(ours(d.ptr, d.len).status, STREAM_OK);
        for (i = 0; i < 8; i++) CHECK(stream_json_check(d.ptr, draw(&d, d.len), &offset) >= 0);
        if (test.failures) show(d.ptr, d.len, number, "refused");
    }
    free(d.ptr);
}

/* What ours() checks of itself, also where there is nobody to compare with. */
static void judge_alone(const document *d, uint64_t number) {
    ours(d->ptr, d->len);
    if (test.failures) show(d->ptr, d->len, number, "offset");
}
static void offsets_in_damaged_documents(void) { each_document(scaled(20000), judge_alone); }

/* --- values --------------------------------------------------------------------------------------------- */

#ifdef HAVE_JANSSON
/* Our walk beside jansson's tree: every member, element, key, string, integer, and every span. */
typedef struct step {
    json_t *tree;
    stream_json_each each;
    size_t members, key_at, index;
    bool object;
} step;

typedef struct walk {
    step steps[STREAM_JSON_CHECK_DEPTH];
    size_t depth;
    char pointer[8192]; /* to the innermost, as RFC 6901 writes it */
    size_t pointer_len;
    char text[65536];
    uint64_t random;
    char *picked[64];
    stream_json_value want[64];
    size_t seen, count;
    bool twice; /* a key came twice somewhere: jansson keeps the last, pick takes the first */
} walk;

static void same_scalar(walk *w, stream_json_value v, const json_t *tree) {
    size_t n = 0;
    int64_t number = 0;
    switch (json_typeof(tree)) {
    case JSON_STRING:
        CHECK_EQ(stream_json_string(v, STREAM_JSON_REJECT, w->text, sizeof w->text, &n), STREAM_OK);
        CHECK_BYTES(w->text, n, json_string_value(tree), json_string_length(tree));
        CHECK(stream_json_equals(v, json_string_value(tree), json_string_length(tree)));
        if (n) w->text[n - 1] ^= 1;
        CHECK(!stream_json_equals(v, w->text, n ? n : 1));
        break;
    case JSON_INTEGER:
        CHECK_EQ(stream_json_int64(v, &number), STREAM_OK);
        CHECK_EQ(number, json_integer_value(tree));
        break;
    case JSON_REAL:
        CHECK_EQ(v.type, STREAM_JSON_NUMBER);
        CHECK(v.len < sizeof w->text);
        memcpy(w->text, v.ptr, v.len);
        w->text[v.len] = '\0';
        CHECK(strtod(w->text, NULL) == json_real_value(tree));
        break;
    case JSON_TRUE: CHECK_TEXT(v.ptr, v.len, "true"); break;
    case JSON_FALSE: CHECK_TEXT(v.ptr, v.len, "false"); break;
    default: CHECK_TEXT(v.ptr, v.len, "null");
    }
}

static stream_json_type type_of(const json_t *tree) {
    switch (json_typeof(tree)) {
    case JSON_OBJECT: return STREAM_JSON_OBJECT;
    case JSON_ARRAY: return STREAM_JSON_ARRAY;
    case JSON_STRING: return STREAM_JSON_STRING;
    case JSON_INTEGER:
    case JSON_REAL: return STREAM_JSON_NUMBER;
    case JSON_TRUE: return STREAM_JSON_TRUE;
    case JSON_FALSE: return STREAM_JSON_FALSE;
    default: return STREAM_JSON_NULL;
    }
}

/* Keeps the value at the pointer to be picked later: each with the same chance (reservoir sampling). */
static void remember(walk *w, stream_json_value v) {
    size_t slot = w->count, steps = 0, i;
    char *copy;
    for (i = 0; i < w->pointer_len; i++) steps += w->pointer[i] == '/';
    if (steps > 31) return; /* with one more, below, as many as stream_json_pick takes */
    w->seen++;
    if (slot == 64) {
        slot = (size_t)(test_random(&w->random) >> 16) % w->seen;
        if (slot >= 64) return;
        free(w->picked[slot]);
        w->count--;
    }
    copy = (char *)malloc(w->pointer_len + 1);
    if (!copy) exit(1);
    memcpy(copy, w->pointer, w->pointer_len);
    copy[w->pointer_len] = '\0';
    w->picked[slot] = copy;
    w->want[slot] = v;
    w->count++;
}

/* Adds a step to the pointer; false when it cannot be written as C text or is too long. */
static bool point(walk *w, const char *key, size_t len) {
    size_t i;
    if (w->pointer_len + 2 * len + 2 > sizeof w->pointer) return false;
    w->pointer[w->pointer_len++] = '/';
    for (i = 0; i < len; i++) {
        char c = key[i];
        if (c == '~' || c == '/') {
            w->pointer[w->pointer_len++] = '~';
            c = c == '~' ? '0' : '1';
        }
        w->pointer[w->pointer_len++] = c;
    }
    return true;
}

static void enter(walk *w, stream_json_value v, json_t *tree) {
    CHECK_EQ(v.type, type_of(tree));
    remember(w, v);
    if (v.type == STREAM_JSON_OBJECT || v.type == STREAM_JSON_ARRAY) {
        step *s = &w->steps[w->depth++];
        memset(s, 0, sizeof *s);
        s->tree = tree;
        s->object = v.type == STREAM_JSON_OBJECT;
        s->key_at = w->pointer_len;
        CHECK_EQ(stream_json_each_init(&s->each, v), STREAM_OK);
    } else {
        same_scalar(w, v, tree);
    }
}

/* Whether key comes again behind this member. */
static bool comes_again(stream_json_each each, const char *key, size_t len) {
    stream_json_value k, v;
    while (stream_json_each_next(&each, &k, &v) == STREAM_OK)
        if (stream_json_equals(k, key, len)) return true;
    return false;
}

static void walk_all(walk *w, const char *text, size_t len, json_t *tree) {
    stream_json_value v = stream_json_value_of(text, len);
    w->depth = w->pointer_len = w->seen = w->count = 0;
    w->twice = false;
    enter(w, v, tree);
    while (w->depth && test.failures == 0) {
        step *s = &w->steps[w->depth - 1];
        stream_json_value key;
        stream_status st = stream_json_each_next(&s->each, &key, &v);
        w->pointer_len = s->key_at;
        if (st != STREAM_OK) {
            CHECK_EQ(st, STREAM_END);
            CHECK_EQ(s->members, s->object ? json_object_size(s->tree) : json_array_size(s->tree));
            w->depth--;
        } else if (s->object) {
            static char name[65536];
            size_t n = 0;
            CHECK_EQ(stream_json_string(key, STREAM_JSON_REJECT, name, sizeof name, &n), STREAM_OK);
            if (comes_again(s->each, name, n)) {
                w->twice = true; /* jansson has forgotten this one */
            } else if (!point(w, name, n)) {
                w->twice = true; /* nothing below can be picked: leave it out of the picking */
                s->members++;
            } else {
                json_t *child = json_object_getn(s->tree, name, n);
                s->members++;
                CHECK(child != NULL);
                if (child) enter(w, v, child);
            }
        } else {
            char index[24];
            json_t *child = json_array_get(s->tree, s->index);
            CHECK_EQ(key.type, STREAM_JSON_NONE);
            snprintf(index, sizeof index, "%zu", s->index++);
            s->members++;
            CHECK(child != NULL);
            if (child && point(w, index, strlen(index))) enter(w, v, child);
        }
    }
}

/* Picks what the walk saw, up to 64 at a time, and names that are not there. */
static void pick_all(walk *w, const char *text, size_t len) {
    stream_json_value got[64];
    const char *pointers[64] = {NULL};
    stream_json_picker picker;
    size_t i;
    int time;
    for (i = 0; i < w->count; i++) pointers[i] = w->picked[i];
    CHECK_EQ(stream_json_picker_init(&picker, pointers, w->count), STREAM_OK);
    for (time = 0; time < 3; time++) { /* once by itself, and by a picker that learns it and then knows it */
        if (time == 0) CHECK_EQ(stream_json_pick(text, len, pointers, w->count, got), STREAM_OK);
        else CHECK_EQ(stream_json_picker_pick(&picker, text, len, got), STREAM_OK);
        for (i = 0; i < w->count; i++) {
            CHECK(got[i].ptr == w->want[i].ptr);
            CHECK_EQ(got[i].len, w->want[i].len);
            CHECK_EQ(got[i].type, w->want[i].type);
        }
    }
    for (i = 0; i < w->count && i < 4; i++) {
        char *absent = (char *)malloc(strlen(pointers[i]) + 16);
        const char *one = absent;
        if (!absent) exit(1);
        sprintf(absent, "%s/not there", pointers[i]);
        CHECK_EQ(stream_json_pick(text, len, &one, 1, got), STREAM_OK);
        CHECK(got[0].type == STREAM_JSON_NONE && !got[0].ptr);
        free(absent);
    }
}

static void same_values(const document *d, uint64_t number) {
    static walk w;
    json_error_t error;
    verdict v = ours(d->ptr, d->len);
    json_t *tree = v.status == STREAM_OK ? jansson_reads(d->ptr, d->len, &error) : NULL;
    size_t i;
    if (!tree) return; /* judged elsewhere */
    w.random = number | 1;
    walk_all(&w, d->ptr, d->len, tree);
    if (!w.twice && test.failures == 0) pick_all(&w, d->ptr, d->len);
    for (i = 0; i < w.count; i++) free(w.picked[i]);
    json_decref(tree);
    if (test.failures) show(d->ptr, d->len, number, "values differ");
}

static void verdicts_of_jansson(void) { each_document(scaled(100000), jansson_judges); }
static void values_of_jansson(void) { each_document(scaled(40000), same_values); }
#else
static void verdicts_of_jansson(void) { test_skip("needs libjansson-dev"); }
static void values_of_jansson(void) { test_skip("needs libjansson-dev"); }
#endif

#ifdef HAVE_YAJL
static void verdicts_of_yajl(void) { each_document(scaled(100000), yajl_judges); }
#else
static void verdicts_of_yajl(void) { test_skip("needs libyajl-dev"); }
#endif

int main(void) {
    TEST_PROGRAM("diff_json");
    RUN(known_disagreements);
    RUN(made_documents_are_valid);
    RUN(offsets_in_damaged_documents);
    RUN(verdicts_of_jansson);
    RUN(verdicts_of_yajl);
    RUN(values_of_jansson);
    return test_end();
}
