/* SPDX-License-Identifier: MIT-0
   Tests of stream_json.h's second half: the partial view, the writer's flush and doubles, rewrite, diff and
   merge. What they do is compared with the same done slowly: on trees, byte by byte, by other code.

   Environment: TEST_SEED (another random run), TEST_SCALE (percent of the random cases; 100, under
   sanitizers 12). */
#if defined(__linux__)
#define _DEFAULT_SOURCE 1
#include <sys/mman.h>
#include <unistd.h>
#endif

#include <stdlib.h>

static unsigned long allocations;
static void *counted(void *ptr, size_t size) {
    allocations++;
    return realloc(ptr, size);
}
#define STREAM_MALLOC(size) counted(NULL, size)
#define STREAM_REALLOC(ptr, size) counted(ptr, size)
#define STREAM_FREE(ptr) free(ptr)

#include <stdint.h>
static uint32_t patience; /* bytes passed in vain before members are sorted; the most: as without this */
#define STREAM_JSON__PATIENCE(len) (patience < UINT32_MAX ? patience : stream_json__patience(len))
#define STREAM_JSON_IMPLEMENTATION
#include "stream_json.h"
#include "test.h"

static stream_json_value value(const char *text) { return stream_json_value_of(text, strlen(text)); }

/* n bytes that end where an unreadable page begins; one such place for each of 0 and 1. */
enum { ROOM = 1 << 16 };
static char *before_page(unsigned which, size_t n) {
    static char *ends[2];
    if (!ends[which]) {
#if defined(__linux__)
        size_t page = (size_t)sysconf(_SC_PAGESIZE);
        char *p = (char *)mmap(NULL, ROOM + 2 * page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (p == MAP_FAILED || mprotect(p + page, ROOM, PROT_READ | PROT_WRITE)) exit(1);
        ends[which] = p + page + ROOM;
#else
        ends[which] = (char *)malloc(ROOM);
        if (!ends[which]) exit(1);
        ends[which] += ROOM;
#endif
    }
    return ends[which] - n;
}

static const char *lend(const char *bytes, size_t n) {
    char *p = before_page(0, n);
    if (n) memcpy(p, bytes, n);
    return p;
}

/* --- trees: JSON read the simple way --------------------------------------------------------------- */

typedef struct node {
    stream_json_type type;
    const char *begin, *end; /* as written */
    const char *key, *text;  /* unescaped; key NULL in arrays */
    size_t key_len, text_len;
    struct node *child, *next;
} node;

typedef struct forest {
    node nodes[4000];
    char bytes[200000];
    size_t count, used;
    const char *p, *e;
    bool broken;
} forest;

static node *new_node(forest *f) {
    node *v;
    if (f->count == sizeof f->nodes / sizeof *f->nodes) exit(1);
    v = &f->nodes[f->count++];
    memset(v, 0, sizeof *v);
    return v;
}

static void skip_space(forest *f) {
    while (f->p < f->e && (*f->p == ' ' || *f->p == '\n' || *f->p == '\t' || *f->p == '\r')) f->p++;
}

static unsigned hex_at(forest *f) {
    unsigned v = 0, i;
    for (i = 0; i < 4; i++) {
        char c = f->p < f->e ? *f->p++ : 'x';
        unsigned d = (unsigned)(c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10
                                : c >= 'A' && c <= 'F' ? c - 'A' + 10 : 99);
        if (d > 15) f->broken = true;
        v = v * 16 + (d & 15);
    }
    return v;
}

static void put_utf8(forest *f, unsigned long c) {
    char *to = f->bytes + f->used;
    if (f->used + 8 > sizeof f->bytes) exit(1);
    if (c < 0x80) {
        *to++ = (char)c;
    } else if (c < 0x800) {
        *to++ = (char)(0xC0 | c >> 6);
        *to++ = (char)(0x80 | (c & 63));
    } else if (c < 0x10000) {
        *to++ = (char)(0xE0 | c >> 12);
        *to++ = (char)(0x80 | (c >> 6 & 63));
        *to++ = (char)(0x80 | (c & 63));
    } else {
        *to++ = (char)(0xF0 | c >> 18);
        *to++ = (char)(0x80 | (c >> 12 & 63));
        *to++ = (char)(0x80 | (c >> 6 & 63));
        *to++ = (char)(0x80 | (c & 63));
    }
    f->used = (size_t)(to - f->bytes);
}

static const char *read_string(forest *f, size_t *len) {
    size_t begin = f->used;
    if (f->p == f->e || *f->p++ != '"') f->broken = true;
    while (!f->broken) {
        char c;
        if (f->p == f->e) break;
        c = *f->p++;
        if (c == '"') {
            *len = f->used - begin;
            return f->bytes + begin;
        }
        if (c != '\\') {
            if (f->used + 1 > sizeof f->bytes) exit(1);
            f->bytes[f->used++] = c;
            continue;
        }
        c = f->p < f->e ? *f->p++ : '?';
        if (c == 'u') {
            unsigned long u = hex_at(f);
            if (u >= 0xD800 && u < 0xDC00 && f->e - f->p >= 6 && f->p[0] == '\\' && f->p[1] == 'u') {
                const char *back = f->p;
                unsigned low;
                f->p += 2;
                low = hex_at(f);
                if (low >= 0xDC00 && low < 0xE000) u = 0x10000 + ((u - 0xD800) << 10) + (low - 0xDC00);
                else f->p = back;
            }
            put_utf8(f, u);
        } else {
            static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
            const char *at = strchr(from, c);
            if (!at || !c) break;
            put_utf8(f, (unsigned char)to[at - from]);
        }
    }
    f->broken = true;
    *len = 0;
    return "";
}

static node *read_value(forest *f) {
    node *v = new_node(f), **last = &v->child;
    skip_space(f);
    v->begin = f->p;
    if (f->p == f->e) {
        f->broken = true;
    } else if (*f->p == '{' || *f->p == '[') {
        bool object = *f->p++ == '{', first = true;
        v->type = object ? STREAM_JSON_OBJECT : STREAM_JSON_ARRAY;
        for (; !f->broken; first = false) {
            const char *key = NULL;
            size_t key_len = 0;
            skip_space(f);
            if (f->p < f->e && first && *f->p == (object ? '}' : ']')) break;
            if (object) {
                key = read_string(f, &key_len);
                skip_space(f);
                if (f->p == f->e || *f->p++ != ':') f->broken = true;
            }
            *last = read_value(f);
            (*last)->key = key;
            (*last)->key_len = key_len;
            last = &(*last)->next;
            skip_space(f);
            if (f->p < f->e && *f->p == (object ? '}' : ']')) break;
            if (f->p == f->e || *f->p++ != ',') f->broken = true;
        }
        f->p++;
    } else if (*f->p == '"') {
        v->type = STREAM_JSON_STRING;
        v->text = read_string(f, &v->text_len);
    } else {
        while (f->p < f->e && !strchr(" \n\r\t,]}", *f->p)) f->p++;
        v->type = *v->begin == 'n' ? STREAM_JSON_NULL : *v->begin == 't' ? STREAM_JSON_TRUE
                  : *v->begin == 'f' ? STREAM_JSON_FALSE : STREAM_JSON_NUMBER;
    }
    v->end = f->p;
    return v;
}

/* NULL when it is no JSON (as the strict check has it, too). */
static node *read_tree(forest *f, const char *text, size_t n) {
    node *v;
    size_t at;
    if (stream_json_check(text, n, &at) != STREAM_OK) return NULL;
    f->count = f->used = 0;
    f->p = text;
    f->e = text + n;
    f->broken = false;
    v = read_value(f);
    skip_space(f);
    return f->broken || f->p != f->e ? NULL : v;
}

static bool same_key(const node *a, const node *b) {
    return a->key_len == b->key_len && memcmp(a->key, b->key, a->key_len) == 0;
}

static node *member(const node *v, const node *named) {
    node *c;
    for (c = v->child; c; c = c->next)
        if (same_key(c, named)) return c;
    return NULL;
}

static size_t length(const node *v) {
    size_t n = 0;
    const node *c;
    for (c = v->child; c; c = c->next) n++;
    return n;
}

/* Equal as [patch] says it. */
static bool equal(const node *a, const node *b) {
    const node *c, *d;
    if (!a || !b || a->type != b->type) return false;
    switch (a->type) {
    case STREAM_JSON_STRING: return a->text_len == b->text_len && memcmp(a->text, b->text, a->text_len) == 0;
    case STREAM_JSON_NUMBER:
        return a->end - a->begin == b->end - b->begin &&
               memcmp(a->begin, b->begin, (size_t)(a->end - a->begin)) == 0;
    case STREAM_JSON_ARRAY:
        for (c = a->child, d = b->child; c && d; c = c->next, d = d->next)
            if (!equal(c, d)) return false;
        return !c && !d;
    case STREAM_JSON_OBJECT:
        for (c = a->child; c; c = c->next)
            if (!equal(c, member(b, c))) return false;
        return length(a) == length(b);
    default: return true;
    }
}

/* --- random documents ------------------------------------------------------------------------------ */

typedef struct document {
    char text[6000];
    size_t n, limit;
    uint64_t *random;
    bool unique, nulls; /* no duplicate keys; null members allowed */
} document;

/* Strings as they may be written; the first few often, so that keys meet. */
static const char *const spellings[] = {
    "a",
    "b",
    "c",
    "\\u0061",
    "\\u0062",
    "a/b",
    "a\\/b",
    "m~n",
    "~1",
    "\\u007e",
    "0",
    "1",
    "01",
    "",
    "\xC3\xA9",
    "\\u00E9",
    "\\ud83d\\ude00",
    "\xF0\x9F\x98\x80",
    "\\n\\\"",
    "}]",
    "\\\\",
    ",:",
    "\\ud83d",
    "\\ude00x",
    "\\ud83d\\ud83d\\ude00",
    "\xE4\xB8\xAD\xE6\x96\x87",
    "some longer text that fills more than one word of eight bytes \\t and then some \xC2\xA7 more"};
enum { SPELLINGS = sizeof spellings / sizeof *spellings };

static void say(document *d, const char *text) {
    size_t len = strlen(text);
    memcpy(d->text + d->n, text, len);
    d->n += len;
}

static void say_space(document *d) {
    static const char *const spaces[] = {"", "", "", "", "", " ", "\n", "\t ", "\r\n"};
    say(d, spaces[below(d->random, 9)]);
}

static void say_string(document *d) {
    say(d, "\"");
    say(d, spellings[below(d->random, below(d->random, 3) ? 5 : SPELLINGS)]);
    say(d, "\"");
}

static void say_value(document *d, unsigned depth) {
    static const char *const numbers[] = {"0",  "-0",      "1",   "1.0",
                                          "12", "-7.5e+3", "1e9", "123456789012345678901234567890"};
    size_t what = below(d->random, depth == 0 ? 6 : depth < 5 ? 12 : 6), i, count, used[5];
    if (depth == 0 && below(d->random, 10)) what = 8 + below(d->random, 4);
    if (what >= 6 && d->n + 400 < d->limit) {
        bool object = what > 7;
        say(d, object ? "{" : "[");
        count = below(d->random, 6);
        for (i = 0; i < count && d->n + 300 < d->limit; i++) {
            if (i) say(d, ",");
            say_space(d);
            if (object && d->unique) { /* a key of five that was not yet, in one of its spellings */
                static const char *const keys[][2] = {{"a", "\\u0061"},
                                                      {"b", "\\u0062"},
                                                      {"a/b", "a\\/b"},
                                                      {"\xC3\xA9", "\\u00e9"},
                                                      {"long key", "long\\u0020key"}};
                size_t k, again;
                do {
                    used[i] = below(d->random, 5);
                    for (k = again = 0; k < i; k++) again += used[k] == used[i];
                } while (again);
                say(d, "\"");
                say(d, keys[used[i]][below(d->random, 4) == 0]);
                say(d, "\"");
            } else if (object) {
                say_string(d);
            }
            if (object) {
                say_space(d);
                say(d, ":");
                say_space(d);
            }
            say_value(d, depth + 1);
            say_space(d);
        }
        if (count == 0) say_space(d);
        say(d, object ? "}" : "]");
    } else if (what == 0 && d->nulls) {
        say(d, "null");
    } else if (what <= 1) {
        say(d, "true");
    } else if (what == 2) {
        say(d, "false");
    } else if (what == 3) {
        say_string(d);
    } else {
        say(d, numbers[below(d->random, sizeof numbers / sizeof *numbers)]);
    }
}

static void make_document(document *d, uint64_t *random, size_t limit) {
    d->n = 0;
    d->limit = limit;
    d->random = random;
    say_value(d, 0);
}

/* A pointer into the tree, mostly one that leads somewhere. */
static void make_pointer(char *to, const node *v, uint64_t *random) {
    static const char *const strays[] = {"0", "1", "5", "00", "-", "a", "b", "x", "", "4294967296"};
    unsigned steps = 0;
    while (steps++ < 5 && below(random, 6)) {
        const node *c = v ? v->child : NULL;
        size_t skip = below(random, 5), index = 0, i;
        while (c && c->next && skip--) {
            c = c->next;
            index++;
        }
        *to++ = '/';
        if (!c || below(random, 10) == 0 || (c->key && memchr(c->key, '\0', c->key_len))) {
            if (v && v->type == STREAM_JSON_ARRAY && below(random, 2))
                to += sprintf(to, "%u", (unsigned)length(v));
            else to += sprintf(to, "%s", strays[below(random, sizeof strays / sizeof *strays)]);
            v = NULL;
            continue;
        }
        if (!c->key) to += sprintf(to, "%u", (unsigned)index);
        for (i = 0; c->key && i < c->key_len; i++) {
            if (c->key[i] == '~' || c->key[i] == '/') {
                *to++ = '~';
                *to++ = c->key[i] == '~' ? '0' : '1';
            } else {
                *to++ = c->key[i];
            }
        }
        v = c;
    }
    *to = '\0';
}

/* Whether a step names this child; where the step ends. */
static bool names(const char *step, const node *c, size_t index, const char **end) {
    char plain[200];
    size_t n = 0;
    for (; *step && *step != '/'; step++) {
        if (*step == '~') plain[n++] = *++step == '1' ? '/' : '~';
        else plain[n++] = *step;
    }
    *end = step;
    if (c->key) return n == c->key_len && memcmp(plain, c->key, n) == 0;
    plain[n] = '\0';
    {
        char digits[30];
        sprintf(digits, "%u", (unsigned)index);
        return strcmp(digits, plain) == 0;
    }
}

/* The first value that a pointer leads to, going back where a duplicate key leads nowhere. */
static const node *resolve(const node *v, const char *pointer) {
    const node *c, *found = NULL;
    size_t index = 0;
    const char *end;
    if (!*pointer) return v;
    for (c = v->child; c && !found; c = c->next, index++)
        if (names(pointer + 1, c, index, &end)) found = resolve(c, end);
    return found;
}

/* --- the partial view ------------------------------------------------------------------------------ */

/* How much of a string's inside, so far, may be shown: by looking at all of it each time. */
static size_t safe_part(const char *p, size_t n) {
    size_t i = 0;
    while (i < n) {
        unsigned char c = (unsigned char)p[i];
        size_t step = 1, k;
        if (c == '\\') {
            step = i + 1 < n && p[i + 1] == 'u' ? 6 : 2;
            if (i + step > n) return i;
            if (step == 6 && strchr("dD", p[i + 2]) && strchr("89abAB", p[i + 3])) { /* a high surrogate */
                static const char *const low = "dD\0cdefCDEF";
                const char *q = p + i + 6;
                size_t left = n - i - 6;
                if (left == 0) return i;
                if (q[0] == '\\') {
                    if (left == 1) return i;
                    if (q[1] == 'u') {
                        bool pair;
                        if (left < 6) return i;
                        pair = strchr(low, q[2]) && strchr(low + 3, q[3]);
                        if (pair) step = 12;
                    } /* else it is alone, and its neighbour is another escape */
                }
            }
        } else if (c >= 0xC2 && c <= 0xF4) {
            step = c < 0xE0 ? 2 : c < 0xF0 ? 3 : 4;
            for (k = 1; k < step && i + k < n; k++)
                if (((unsigned char)p[i + k] & 0xC0) != 0x80) break;
            if (i + k == n && k < step) return i;
            step = k;
        }
        i += step;
    }
    return n;
}

static const char *pointers[STREAM_JSON_VIEW_FIELDS];
static char pointer_texts[STREAM_JSON_VIEW_FIELDS][1200];

static void random_pointers(size_t count, const node *root, uint64_t *random) {
    size_t i;
    for (i = 0; i < count; i++) {
        make_pointer(pointer_texts[i], root, random);
        pointers[i] = pointer_texts[i];
    }
}

/* What the view must say when the first n bytes have arrived. */
static void check_fields(const stream_json_view *view, const node *root, const char *text, size_t n,
                         size_t count) {
    size_t i;
    for (i = 0; i < count; i++) {
        const stream_json_field *f = &view->field[i];
        const node *v = resolve(root, pointers[i]);
        size_t begin = v ? (size_t)(v->begin - text) : 0, end = v ? (size_t)(v->end - text) : 0;
        bool bare = v && v->type < STREAM_JSON_STRING;
        if (!v || begin >= n) {
            CHECK_EQ(f->type, STREAM_JSON_NONE);
            CHECK(!f->whole && f->offset == 0 && f->len == 0 && f->safe == 0);
            continue;
        }
        CHECK_EQ(f->type, v->type);
        CHECK_EQ(f->offset, begin);
        CHECK_EQ(f->len, (end < n ? end : n) - begin);
        CHECK_EQ(f->whole, bare ? end < n : end <= n);
        if (v->type != STREAM_JSON_STRING) CHECK_EQ(f->safe, 0);
        else if (f->whole) CHECK_EQ(f->safe, f->len - 2);
        else CHECK_EQ(f->safe, safe_part(text + begin + 1, n - begin - 1));
    }
}

static document doc, other;
static forest trees[4];

static void the_view_knows_at_every_byte_how_far_each_field_has_come(void) {
    size_t i, documents = scaled(3000);
    for (i = 0; i < documents && !test.failures; i++) {
        uint64_t seed = seed_of(i), random = seed;
        stream_json_view view, at_once;
        const node *root;
        size_t count = 1 + below(&random, STREAM_JSON_VIEW_FIELDS), n;
        doc.unique = i % 2;
        doc.nulls = true;
        make_document(&doc, &random, 100 + below(&random, 900));
        root = read_tree(&trees[0], doc.text, doc.n);
        CHECK(root != NULL);
        if (!root) break;
        random_pointers(count, root, &random);
        CHECK_EQ(stream_json_view_init(&view, pointers, count), STREAM_OK);
        for (n = 0; n < doc.n; n++) {
            size_t k;
            stream_status status = stream_json_view_feed(&view, lend(doc.text + n, 1), 1);
            CHECK_EQ(view.offset, n + 1);
            check_fields(&view, root, doc.text, n + 1, count);
            if (n + 1 < doc.n && root->type >= STREAM_JSON_STRING)
                CHECK_EQ(status, doc.text + n + 1 < root->end ? STREAM_MORE : STREAM_OK);
            if (n % 7 == i % 7) { /* cut in two parts, here */
                stream_json_view_init(&at_once, pointers, count);
                stream_json_view_feed(&at_once, lend(doc.text, n), n);
                check_fields(&at_once, root, doc.text, n, count);
                CHECK_EQ(stream_json_view_feed(&at_once, lend(doc.text + n, doc.n - n), doc.n - n),
                         STREAM_OK);
                check_fields(&at_once, root, doc.text, doc.n, count);
                for (k = 0; k < count; k++) CHECK(!at_once.field[k].whole || at_once.field[k].len > 0);
            }
        }
        CHECK_EQ(view.status, STREAM_OK);
        if (test.failures) {
            printf("    document %zu, seed %llu: ", i, (unsigned long long)seed);
            test_print_bytes(doc.text, doc.n);
            for (n = 0; n < count; n++) printf(" %s", pointers[n]);
            printf("\n");
        }
    }
}

/* A mutilated document: the view and pick stop alike, and find the same. */
static void the_view_finds_what_pick_finds(void) {
    size_t i, documents = scaled(30000);
    for (i = 0; i < documents && !test.failures; i++) {
        static const char letters[] = "{}[]\",:\\u0d8etn1-. \n\xC3\xFF";
        static const char *everything[STREAM_JSON_VIEW_FIELDS + 1];
        uint64_t seed = seed_of(i + 1000000), random = seed;
        stream_json_view view;
        stream_json_value found[STREAM_JSON_VIEW_FIELDS + 1];
        stream_status status, picked;
        size_t count = 1 + below(&random, STREAM_JSON_VIEW_FIELDS - 1), n = 0, k, breaks = below(&random, 3);
        const node *root;
        doc.unique = false;
        doc.nulls = true;
        make_document(&doc, &random, 400);
        root = read_tree(&trees[0], doc.text, doc.n);
        random_pointers(count, root, &random);
        while (breaks--) doc.text[below(&random, doc.n)] = letters[below(&random, sizeof letters - 1)];
        for (k = 0; k < count; k++) everything[k] = pointers[k];
        everything[count] = "/no such key here"; /* so that pick goes on to the end */
        pointers[count] = everything[count];
        picked = stream_json_pick(doc.text, doc.n, everything, count + 1, found);
        stream_json_view_init(&view, pointers, count + 1);
        do {
            size_t step = 1 + below(&random, 40);
            if (step > doc.n - n) step = doc.n - n;
            status = stream_json_view_feed(&view, lend(doc.text + n, step), step);
            n += step;
        } while (n < doc.n && status != STREAM_E_INVALID);
        if (status == STREAM_E_INVALID) { /* behind the value pick does not look */
            stream_json_view again;
            char *head = exact(doc.text, view.offset + 1);
            stream_json_view_init(&again, pointers, count + 1);
            CHECK(stream_json_view_feed(&again, head, view.offset) >= 0);
            CHECK(picked == STREAM_E_INVALID || again.status == STREAM_OK);
            CHECK_EQ(stream_json_view_feed(&again, head + again.offset, 1), STREAM_E_INVALID);
            CHECK_EQ(again.offset, view.offset);
            CHECK(memcmp(again.field, view.field, sizeof view.field) == 0);
            CHECK_EQ(stream_json_view_feed(&again, "1", 1), STREAM_E_INVALID);
            CHECK_EQ(again.offset, view.offset);
            free(head);
        } else {
            CHECK_EQ(status, picked);
        }
        for (k = 0; k < count; k++) {
            const stream_json_field *f = &view.field[k];
            if (f->whole) {
                CHECK_EQ(found[k].type, f->type);
                CHECK_EQ(found[k].len, f->len);
                CHECK(found[k].ptr == doc.text + f->offset);
            } else if (found[k].type != STREAM_JSON_NONE) { /* alone, to pick it is whole */
                CHECK(f->type == found[k].type && f->type < STREAM_JSON_STRING &&
                      f->offset + f->len == doc.n);
            }
        }
        if (test.failures) {
            printf("    document %zu, seed %llu: ", i, (unsigned long long)seed);
            test_print_bytes(doc.text, doc.n);
            for (k = 0; k < count; k++) printf(" %s", pointers[k]);
            printf("\n");
        }
    }
}

/* A string of any bytes, cut anywhere: its safe parts, unescaped one by one, are the whole unescaped. */
static void check_parts(const char *raw, size_t n, uint64_t *random) {
    static const char *const whole_pointer[] = {""};
    static const stream_json_surrogates policies[] = {STREAM_JSON_PASS, STREAM_JSON_REPLACE,
                                                      STREAM_JSON_REJECT};
    static char text[400], want[400], got[400];
    size_t which, at, len, used, shown;
    text[0] = '"';
    memcpy(text + 1, raw, n);
    text[n + 1] = '"';
    for (which = 0; which < 3; which++) {
        stream_json_view view;
        stream_status status =
            stream_json_string(stream_json_value_of(text, n + 2), policies[which], want, sizeof want, &len);
        stream_status part = STREAM_OK;
        stream_json_view_init(&view, whole_pointer, 1);
        for (at = used = shown = 0; at < n + 2;) {
            size_t step = 1 + below(random, 6), more = 0;
            if (step > n + 2 - at) step = n + 2 - at;
            CHECK(stream_json_view_feed(&view, lend(text + at, step), step) >= 0);
            at += step;
            CHECK(view.field[0].safe >= shown && view.field[0].safe < at);
            if (part == STREAM_OK)
                part = stream_json_unescape(lend(text + 1 + shown, view.field[0].safe - shown),
                                            view.field[0].safe - shown, policies[which], got + used,
                                            sizeof got - used, &more);
            used += more;
            shown = view.field[0].safe;
        }
        CHECK_EQ(view.status, STREAM_OK);
        CHECK(view.field[0].whole);
        CHECK_EQ(shown, n);
        CHECK_EQ(part, status);
        if (status == STREAM_OK) CHECK_BYTES(got, used, want, len);
    }
}

static void safe_parts_unescaped_are_the_whole_unescaped(void) {
    static const char *const pieces[] = {"\\ud83d",
                                         "\\ude00",
                                         "\\uD83D\\uDE00",
                                         "\\n",
                                         "\\\\",
                                         "\\\"",
                                         "\\u0041",
                                         "\\u00e9",
                                         "x",
                                         "yz",
                                         "\xC3\xA9",
                                         "\xE4\xB8\xAD",
                                         "\xF0\x9F\x98\x80",
                                         "\xC3",
                                         "\xE4\xB8",
                                         "\xF0\x9F",
                                         "\x80",
                                         "\xFF",
                                         "\\u12",
                                         "\\q"};
    size_t i, count = scaled(40000);
    for (i = 0; i < count && !test.failures; i++) {
        uint64_t seed = seed_of(i + 2000000), random = seed;
        size_t parts = below(&random, 9), n = 0;
        char raw[200];
        while (parts--) {
            const char *piece = pieces[below(&random, sizeof pieces / sizeof *pieces - (i % 4 ? 2 : 0))];
            memcpy(raw + n, piece, strlen(piece));
            n += strlen(piece);
        }
        check_parts(raw, n, &random);
        if (test.failures) {
            printf("    string %zu, seed %llu: ", i, (unsigned long long)seed);
            test_print_bytes(raw, n);
            printf("\n");
        }
    }
}

static stream_json_view view_of(const char *json, const char *pointer) {
    stream_json_view view;
    stream_json_view_init(&view, &pointer, 1);
    stream_json_view_feed(&view, json, strlen(json));
    return view;
}

#define CHECK_VIEW(json, pointer, want_status, want_type, want_offset, want_len, want_safe, want_whole) \
    do {                                                                                                \
        stream_json_view seen = view_of(json, pointer);                                                 \
        CHECK_EQ(seen.status, want_status);                                                             \
        CHECK_EQ(seen.field[0].type, want_type);                                                        \
        CHECK_EQ(seen.field[0].offset, want_offset);                                                    \
        CHECK_EQ(seen.field[0].len, want_len);                                                          \
        CHECK_EQ(seen.field[0].safe, want_safe);                                                        \
        CHECK_EQ(seen.field[0].whole, want_whole);                                                      \
    } while (0)

static void a_field_is_open_until_its_end_is_seen(void) {
    CHECK_VIEW("", "/a", STREAM_MORE, STREAM_JSON_NONE, 0, 0, 0, 0);
    CHECK_VIEW("{\"a\":", "/a", STREAM_MORE, STREAM_JSON_NONE, 0, 0, 0, 0);
    CHECK_VIEW("{\"a\":12", "/a", STREAM_MORE, STREAM_JSON_NUMBER, 5, 2, 0, 0);
    CHECK_VIEW("{\"a\":12 ", "/a", STREAM_MORE, STREAM_JSON_NUMBER, 5, 2, 0, 1);
    CHECK_VIEW("{\"a\":12}", "/a", STREAM_OK, STREAM_JSON_NUMBER, 5, 2, 0, 1);
    CHECK_VIEW("{\"a\":true", "/a", STREAM_MORE, STREAM_JSON_TRUE, 5, 4, 0, 0);
    CHECK_VIEW("{\"a\":\"", "/a", STREAM_MORE, STREAM_JSON_STRING, 5, 1, 0, 0);
    CHECK_VIEW("{\"a\":\"x\\", "/a", STREAM_MORE, STREAM_JSON_STRING, 5, 3, 1, 0);
    CHECK_VIEW("{\"a\":\"x\\ud83d", "/a", STREAM_MORE, STREAM_JSON_STRING, 5, 8, 1, 0);
    CHECK_VIEW("{\"a\":\"x\\ud83d\\ude0", "/a", STREAM_MORE, STREAM_JSON_STRING, 5, 13, 1, 0);
    CHECK_VIEW("{\"a\":\"x\\ud83d\\ude00", "/a", STREAM_MORE, STREAM_JSON_STRING, 5, 14, 13, 0);
    CHECK_VIEW("{\"a\":\"x\\ud83dy", "/a", STREAM_MORE, STREAM_JSON_STRING, 5, 9, 8, 0);
    CHECK_VIEW("{\"a\":\"x\\ud83d\\ud83d", "/a", STREAM_MORE, STREAM_JSON_STRING, 5, 14, 7, 0);
    CHECK_VIEW("{\"a\":\"x\\ud83d\"", "/a", STREAM_MORE, STREAM_JSON_STRING, 5, 9, 7, 1);
    CHECK_VIEW("{\"a\":\"x\xE4\xB8", "/a", STREAM_MORE, STREAM_JSON_STRING, 5, 4, 1, 0);
    CHECK_VIEW("{\"a\":\"x\xE4\xB8\xAD", "/a", STREAM_MORE, STREAM_JSON_STRING, 5, 5, 4, 0);
    CHECK_VIEW("{\"a\":[{}", "/a", STREAM_MORE, STREAM_JSON_ARRAY, 5, 3, 0, 0);
    CHECK_VIEW("{\"a\":[{}]", "/a", STREAM_MORE, STREAM_JSON_ARRAY, 5, 4, 0, 1);
    CHECK_VIEW("{\"a\":[{}]", "", STREAM_MORE, STREAM_JSON_OBJECT, 0, 9, 0, 0);
    CHECK_VIEW(" [[1],[2,3", "/1/1", STREAM_MORE, STREAM_JSON_NUMBER, 9, 1, 0, 0);
    CHECK_VIEW("12", "", STREAM_OK, STREAM_JSON_NUMBER, 0, 2, 0, 0); /* it may still grow */
    CHECK_VIEW("12\n", "", STREAM_OK, STREAM_JSON_NUMBER, 0, 2, 0, 1);
    CHECK_VIEW("-", "", STREAM_MORE, STREAM_JSON_NUMBER, 0, 1, 0, 0);
    CHECK_VIEW("{\"a\":{\"b\":1},\"a\":{\"c\":2}}", "/a/c", STREAM_OK, STREAM_JSON_NUMBER, 22, 1, 0, 1);
    CHECK_VIEW("{\"a\":1,\"a\":22}", "/a", STREAM_OK, STREAM_JSON_NUMBER, 5, 1, 0, 1);
    CHECK_VIEW("{\"\\u0061\\u002Fb\\ud83d\\ude00\":1}", "/a~1b\xF0\x9F\x98\x80", STREAM_OK,
               STREAM_JSON_NUMBER, 29, 1, 0, 1);
    CHECK_VIEW("{\"\\ud83d\\ue000\":1,\"b\":2}", "/\xED\xA0\xBD\xEE\x80\x80", STREAM_OK, STREAM_JSON_NUMBER, 16, 1, 0,
               1);
    CHECK_VIEW("{\"a\\q\":1,\"\\ud83d\":2}", "/\xED\xA0\xBD", STREAM_OK, STREAM_JSON_NUMBER, 18, 1, 0, 1);
}

static void the_view_stops_where_the_structure_breaks(void) {
    static const struct {
        const char *json;
        size_t at;
    } cases[] = {{"x", 0},         {"{x", 1},          {"{\"a\"1", 4},    {"{\"a\":x", 5},  {"{\"a\":1x", 6},
                 {"{\"a\":01", 6}, {"{\"a\":truf", 8}, {"{\"a\":1,}", 7}, {"{,", 1},        {"[,", 1},
                 {"[1,]", 3},      {"[1 2", 3},        {"[1}", 2},        {"{\"a\":1]", 6}, {"{}x", 2},
                 {"{} {", 3},      {"1 2", 2},         {"\"a\"\"", 3},    {"]", 0},         {"[-]", 2},
                 {"[1.]", 3}};
    static const char *const want[] = {"/b/c", "/7/x"};
    size_t i, cut;
    for (i = 0; i < sizeof cases / sizeof *cases; i++) {
        size_t n = strlen(cases[i].json);
        for (cut = 0; cut <= n; cut++) {
            stream_json_view view;
            stream_json_view_init(&view, want, 2);
            stream_json_view_feed(&view, lend(cases[i].json, cut), cut);
            stream_json_view_feed(&view, lend(cases[i].json + cut, n - cut), n - cut);
            CHECK_EQ(view.status, STREAM_E_INVALID);
            CHECK_EQ(view.offset, cases[i].at);
            CHECK_EQ(stream_json_view_feed(&view, "{}", 2), STREAM_E_INVALID);
            CHECK_EQ(view.offset, cases[i].at);
        }
        if (test.failures) printf("    %s\n", cases[i].json);
    }
}

static void the_view_refuses_pointers_that_cannot_be_meant(void) {
    static const char *const bad[] = {"a", "/~", "/~2", "/a~/b", "/a~"};
    const char *many[STREAM_JSON_VIEW_FIELDS + 1];
    char deep[2 * (STREAM_JSON_VIEW_STEPS + 1) + 1];
    const char *one;
    stream_json_view view;
    size_t i;
    for (i = 0; i < sizeof bad / sizeof *bad; i++) {
        CHECK_EQ(stream_json_view_init(&view, &bad[i], 1), STREAM_E_ARGUMENT);
        CHECK_EQ(stream_json_view_feed(&view, "{}", 2), STREAM_E_ARGUMENT);
    }
    one = NULL;
    CHECK_EQ(stream_json_view_init(&view, &one, 1), STREAM_E_ARGUMENT);
    for (i = 0; i <= STREAM_JSON_VIEW_FIELDS; i++) many[i] = "/a";
    CHECK_EQ(stream_json_view_init(&view, many, STREAM_JSON_VIEW_FIELDS + 1), STREAM_E_ARGUMENT);
    CHECK_EQ(stream_json_view_init(&view, many, STREAM_JSON_VIEW_FIELDS), STREAM_OK);
    stream_json_view_feed(&view, "{\"a\":[1]}", 9);
    for (i = 0; i < STREAM_JSON_VIEW_FIELDS; i++) CHECK(view.field[i].whole && view.field[i].len == 3);
    CHECK_EQ(stream_json_view_init(&view, NULL, 0), STREAM_OK);
    CHECK_EQ(stream_json_view_feed(&view, "[[]", 3), STREAM_MORE);
    CHECK_EQ(stream_json_view_feed(&view, "]", 1), STREAM_OK);
    for (i = 0; i <= STREAM_JSON_VIEW_STEPS; i++) memcpy(deep + 2 * i, "/0", 2);
    deep[2 * i] = '\0';
    one = deep;
    CHECK_EQ(stream_json_view_init(&view, &one, 1), STREAM_E_ARGUMENT);
    one = deep + 2;
    CHECK_EQ(stream_json_view_init(&view, &one, 1), STREAM_OK);
    for (i = 0; i < STREAM_JSON_VIEW_STEPS; i++) CHECK_EQ(stream_json_view_feed(&view, "[", 1), STREAM_MORE);
    stream_json_view_feed(&view, "7 ", 2);
    CHECK(view.field[0].whole && view.field[0].offset == STREAM_JSON_VIEW_STEPS);
    for (i = 0; i < STREAM_JSON_VIEW_STEPS; i++)
        CHECK_EQ(view.status = stream_json_view_feed(&view, "]", 1),
                 i + 1 < STREAM_JSON_VIEW_STEPS ? STREAM_MORE : STREAM_OK);
}

/* A CR that may belong to the record's end is not shown before the byte behind it: what is shown, the item has. */
static void what_is_peeked_at_is_in_the_item(void) {
    char memory[200];
    stream_json_desc desc;
    stream_json json;
    stream_item item;
    memset(&desc, 0, sizeof desc);
    desc.memory = memory;
    desc.memory_len = sizeof memory;
    CHECK_EQ(stream_json_init(&json, &desc), STREAM_OK);
    stream_json_feed(&json, "{\"a\":\"x\r", 8);
    CHECK_EQ(stream_json_next(&json, &item), STREAM_MORE);
    CHECK_EQ(stream_json_peek(&json, &item), STREAM_OK);
    CHECK_TEXT(item.ptr, item.len, "{\"a\":\"x");
    CHECK_EQ(item.size, 7);
    stream_json_feed(&json, "y", 1);
    CHECK_EQ(stream_json_next(&json, &item), STREAM_MORE);
    CHECK_EQ(stream_json_peek(&json, &item), STREAM_OK);
    CHECK_TEXT(item.ptr, item.len, "{\"a\":\"x\ry");
    stream_json_feed(&json, "\r", 1);
    CHECK_EQ(stream_json_next(&json, &item), STREAM_MORE);
    CHECK_EQ(stream_json_peek(&json, &item), STREAM_OK);
    CHECK_EQ(item.len, 9);
    stream_json_feed(&json, "\n", 1);
    CHECK_EQ(stream_json_next(&json, &item), STREAM_E_TRUNCATED);
    CHECK_EQ(item.len, 9);
}

/* Nesting that no pointer leads into is counted, not kept. */
static void the_view_is_as_deep_as_the_value(void) {
    static const char *const want[] = {"/1"};
    stream_json_view view;
    size_t i;
    stream_json_view_init(&view, want, 1);
    stream_json_view_feed(&view, "[", 1);
    for (i = 0; i < 100000; i++) stream_json_view_feed(&view, "[\"]\\\"\",", 7);
    for (i = 0; i < 100000; i++) stream_json_view_feed(&view, "]", 1);
    CHECK_EQ(stream_json_view_feed(&view, ",true]", 6), STREAM_OK);
    CHECK(view.field[0].whole && view.field[0].offset == 800002);
}

/* The open value of a stream, seen after every fragment: the bytes that next hands out in the end, as far as
   they have come; and a view that follows it there. */
static void the_open_value_can_be_seen(void) {
    static const char *const between[] = {"\n", " \r\n",  "\nlog {line [12\n", "\nx",
                                          "",   "\n12\n", "\n\"a\\\"[\"\n"};
    size_t i, streams = scaled(3000), seen = 0;
    for (i = 0; i < streams && !test.failures; i++) {
        static char text[8000];
        uint64_t seed = seed_of(i + 7000000), random = seed;
        stream_item items[200], item;
        uint64_t ends[200]; /* up to where each is open */
        stream_json_desc desc;
        stream_json json;
        stream_json_view view;
        stream_status status;
        size_t n = 0, count = 0, at, parts = 1 + below(&random, 5), step = 1 + below(&random, 40), k;
        uint64_t followed = UINT64_MAX;
        memset(&desc, 0, sizeof desc);
        desc.mode = (stream_json_mode)(i % 2);
        desc.first_len = 1;
        while (parts--) {
            const char *gap = between[below(&random, sizeof between / sizeof *between)];
            doc.unique = true;
            doc.nulls = true;
            make_document(&doc, &random, 100 + below(&random, 600));
            memcpy(text + n, doc.text, doc.n);
            n += doc.n;
            memcpy(text + n, gap, strlen(gap));
            n += strlen(gap);
        }
        CHECK_EQ(stream_json_init(&json, &desc), STREAM_OK);
        CHECK_EQ(stream_json_peek(&json, &item), STREAM_EMPTY);
        stream_json_feed(&json, text, n);
        CHECK_EQ(stream_json_peek(&json, &item), n ? STREAM_E_STATE : STREAM_EMPTY);
        while ((status = stream_json_next(&json, &item)) != STREAM_END && count < 200) {
            if (status == STREAM_MORE) stream_json_finish(&json);
            if (status == STREAM_MORE || item.kind < STREAM_JSON_ARRAY) continue;
            ends[count] = item.offset + item.size;
            if (status == STREAM_OK) ends[count]--;
            else if (ends[count] < n && text[ends[count]] == '\r') ends[count]++;
            items[count++] = item;
        }
        CHECK(count < 200);
        stream_json_free(&json);
        if (i % 4 == 3) desc.max_len = 20 + below(&random, 200);
        CHECK_EQ(stream_json_init(&json, &desc), STREAM_OK);
        for (at = 0; at < n && !test.failures; at += step) {
            const stream_item *open = NULL;
            if (step > n - at) step = n - at;
            stream_json_feed(&json, lend(text + at, step), step);
            while ((status = stream_json_next(&json, &item)) != STREAM_MORE) {
            }
            for (k = 0; k < count; k++)
                if (items[k].offset < at + step && at + step <= ends[k]) open = &items[k];
            status = stream_json_peek(&json, &item);
            CHECK(status == STREAM_OK || status == STREAM_EMPTY);
            if (status == STREAM_EMPTY) { /* nothing is, or no more than a bracket and a bare element of it */
                CHECK_EQ(item.len, 0);
                for (k = open ? (size_t)open->offset + 1 : at + step; k < at + step; k++)
                    CHECK(!strchr("{}[]\",:", text[k]));
                continue;
            }
            seen++;
            CHECK(open != NULL);
            if (!open) break;
            CHECK_EQ(item.offset, open->offset);
            CHECK_EQ(item.kind, open->kind);
            const bool ends_in_cr = desc.mode == STREAM_JSON_NDJSON && text[at + step - 1] == '\r' &&
                         (!desc.max_len || at + step - open->offset <= desc.max_len);
            CHECK_EQ(item.size, at + step - open->offset - ends_in_cr);
            CHECK_EQ(item.len, desc.max_len && item.size > desc.max_len ? desc.max_len : item.size);
            CHECK_BYTES(item.ptr, item.len, text + open->offset, item.len);
            if (followed != item.offset) {
                static const char *const want[] = {"/a", "/b/a", "/0", ""};
                CHECK_EQ(stream_json_view_init(&view, want, 4), STREAM_OK);
                followed = item.offset;
            }
            CHECK(stream_json_view_feed(&view, item.ptr + view.offset, item.len - view.offset) != STREAM_OK);
            CHECK_EQ(view.field[3].len, view.status == STREAM_MORE ? item.len : view.offset);
        }
        stream_json_free(&json);
        if (test.failures) {
            printf("    stream %zu, seed %llu: ", i, (unsigned long long)seed);
            test_print_bytes(text, n);
            printf("\n");
        }
    }
    CHECK(seen > streams);
}

/* --- the writer ------------------------------------------------------------------------------------ */

/* Where a writer's output goes: what came, how often, and when it is refused. */
typedef struct sink {
    char bytes[1 << 16];
    size_t n, calls, refuse; /* refuse: the call that fails, 0 for none */
    stream_status with;
} sink;

static stream_status collect(void *ctx, const char *ptr, size_t len) {
    sink *s = (sink *)ctx;
    if (++s->calls == s->refuse) return s->with;
    if (len == 0 || s->n + len > sizeof s->bytes) exit(1);
    memcpy(s->bytes + s->n, ptr, len);
    s->n += len;
    return STREAM_OK;
}

static void sink_init(sink *s) { s->n = s->calls = s->refuse = 0; }

/* Something that writes one value, into any writer. */
typedef void (*job)(stream_json_writer *w);

/* The same output with every capacity, and through every buffer, and with each flush refused. */
static void check_output(job write, const char *want, size_t n) {
    static sink s;
    stream_json_writer w;
    size_t cap, len, call, calls;
    for (cap = 0; cap <= n + 1; cap++) {
        char *dst = before_page(1, cap);
        memset(before_page(1, ROOM), 0x55, ROOM);
        stream_json_writer_init(&w, cap ? dst : NULL, cap);
        write(&w);
        CHECK_EQ(stream_json_writer_finish(&w, &len), cap < n ? STREAM_FULL : STREAM_OK);
        CHECK_EQ(stream_json_writer_finish(&w, &len), cap < n ? STREAM_FULL : STREAM_OK);
        CHECK_EQ(len, n);
        CHECK_BYTES(dst, cap < n ? cap : n, want, cap < n ? cap : n);
        if (cap < ROOM) CHECK_EQ(dst[-1], 0x55);
        sink_init(&s);
        stream_json_writer_init_flush(&w, dst, cap, collect, &s);
        write(&w);
        CHECK(w.used <= cap && s.n + w.used == n);
        CHECK_EQ(stream_json_writer_finish(&w, &len), STREAM_OK);
        calls = s.calls;
        CHECK_EQ(stream_json_writer_finish(&w, &len), STREAM_OK);
        CHECK_EQ(s.calls, calls);
        CHECK_EQ(len, n);
        CHECK_BYTES(s.bytes, s.n, want, n);
        if (cap > n) CHECK_EQ(calls, 1);
        for (call = 1; call <= calls && (cap < 4 || cap % 16 == 0); call++) {
            sink_init(&s);
            s.refuse = call;
            s.with = call % 2 ? STREAM_E_IO : STREAM_FULL;
            stream_json_writer_init_flush(&w, dst, cap, collect, &s);
            write(&w);
            CHECK_EQ(stream_json_writer_finish(&w, &len), s.with);
            CHECK_EQ(stream_json_writer_finish(&w, &len), s.with);
            CHECK_EQ(s.calls, call); /* and it is not asked again */
            CHECK_BYTES(s.bytes, s.n, want, s.n);
        }
    }
}

static void write_sample(stream_json_writer *w) {
    stream_json_write_object(w);
    stream_json_write_key(w, "text", 4);
    stream_json_write_string(w, "line\n\xF0\x9F\x98\x80\x01\xFF and more than one word of eight", 43);
    stream_json_write_key(w, "n\"", 2);
    stream_json_write_array(w);
    stream_json_write_int64(w, INT64_MIN);
    stream_json_write_uint64(w, UINT64_MAX);
    stream_json_write_double(w, -0.1);
    stream_json_write_bool(w, false);
    stream_json_write_null(w);
    stream_json_write_value(w, value("[1, 2]"));
    stream_json_write_string(w, NULL, 0);
    stream_json_write_end(w);
    stream_json_write_end(w);
}

static void every_capacity_and_every_buffer_gives_the_same_output(void) {
    static const char want[] =
        "{\"text\":\"line\\n\xF0\x9F\x98\x80\\u0001\xEF\xBF\xBD and more than one word of eight\",\"n\\\"\":"
        "[-9223372036854775808,18446744073709551615,-0.1,false,null,[1, 2],\"\"]}";
    check_output(write_sample, want, sizeof want - 1);
}

static void misuse_reaches_no_flush_and_no_buffer(void) {
    static sink s;
    stream_json_writer w;
    char buffer[8];
    size_t len;
    sink_init(&s);
    stream_json_writer_init_flush(&w, buffer, sizeof buffer, collect, &s);
    stream_json_write_array(&w);
    stream_json_write_key(&w, "a key that is longer than the buffer", 36);
    stream_json_write_string(&w, "a text that is longer than the buffer", 37);
    stream_json_write_end(&w);
    CHECK_EQ(stream_json_writer_finish(&w, &len), STREAM_E_STATE);
    CHECK_EQ(s.calls, 0);
    CHECK_EQ(len, 1);
    stream_json_writer_init_flush(&w, buffer, sizeof buffer, collect, &s);
    stream_json_write_array(&w);
    CHECK_EQ(stream_json_writer_finish(&w, &len), STREAM_E_STATE); /* unfinished */
    CHECK_EQ(s.calls, 0);
}

/* Text from anywhere is written as a value only when it is one. */
static void text_is_spliced_when_it_is_json(void) {
    static const struct {
        const char *text;
        stream_status status;
    } cases[] = {{" {\"a\" : [1]}\n", STREAM_OK}, {"12", STREAM_OK},
                 {"", STREAM_E_TRUNCATED},        {" ", STREAM_E_TRUNCATED},
                 {"{\"a\":", STREAM_E_TRUNCATED}, {"tru", STREAM_E_TRUNCATED},
                 {"1,2", STREAM_E_INVALID},       {"{} {}", STREAM_E_INVALID},
                 {"\"\xFF\"", STREAM_E_INVALID},  {"\"a\",\"b\":1", STREAM_E_INVALID},
                 {"[\x01]", STREAM_E_INVALID},    {"NaN", STREAM_E_INVALID}};
    static char deep[STREAM_JSON_CHECK_DEPTH + 1];
    stream_json_value nothing;
    stream_json_writer w;
    char dst[100];
    size_t i, len;
    for (i = 0; i < sizeof cases / sizeof *cases; i++) {
        size_t n = strlen(cases[i].text);
        stream_json_writer_init(&w, dst, sizeof dst);
        stream_json_write_array(&w);
        stream_json_write_json(&w, lend(cases[i].text, n), n);
        stream_json_write_end(&w);
        CHECK_EQ(stream_json_writer_finish(&w, &len), cases[i].status);
        if (cases[i].status == STREAM_OK) CHECK_TEXT(dst, len, i ? "[12]" : "[{\"a\" : [1]}]");
        else CHECK_TEXT(dst, len, "[");
        stream_json_write_json(&w, "1", 1); /* done, or an error already */
        CHECK_EQ(stream_json_writer_finish(&w, &len),
                 cases[i].status == STREAM_OK ? STREAM_E_STATE : cases[i].status);
    }
    memset(deep, '[', sizeof deep);
    stream_json_writer_init(&w, dst, sizeof dst);
    stream_json_write_json(&w, deep, sizeof deep);
    CHECK_EQ(stream_json_writer_finish(&w, &len), STREAM_E_TOO_DEEP);
    memset(&nothing, 0, sizeof nothing);
    nothing.type = STREAM_JSON_OBJECT;
    stream_json_writer_init(&w, dst, sizeof dst);
    stream_json_write_value(&w, nothing);
    CHECK_EQ(stream_json_writer_finish(&w, &len), STREAM_E_ARGUMENT);
    CHECK_EQ(len, 0);
}

/* What a string must come out as: one character after the other, table 3-7 of the Unicode standard by hand.
 */
static size_t slow_escape(char *to, const char *text, size_t n) {
    static const unsigned char second[][4] = {{0xC2, 0xDF, 0x80, 0xBF}, {0xE0, 0xE0, 0xA0, 0xBF},
                                              {0xE1, 0xEC, 0x80, 0xBF}, {0xED, 0xED, 0x80, 0x9F},
                                              {0xEE, 0xEF, 0x80, 0xBF}, {0xF0, 0xF0, 0x90, 0xBF},
                                              {0xF1, 0xF3, 0x80, 0xBF}, {0xF4, 0xF4, 0x80, 0x8F}};
    const unsigned char *p = (const unsigned char *)text;
    char *begin = to;
    size_t i = 0;
    *to++ = '"';
    while (i < n) {
        size_t need = p[i] < 0xE0 ? 1 : p[i] < 0xF0 ? 2 : 3, k = 1, row;
        if (p[i] < 0x80) {
            static const char letters[] = "btnvfr";
            if (p[i] == '"' || p[i] == '\\') to += sprintf(to, "\\%c", p[i]);
            else if (p[i] >= 8 && p[i] <= 13 && p[i] != 11) to += sprintf(to, "\\%c", letters[p[i] - 8]);
            else if (p[i] < 0x20) to += sprintf(to, "\\u%04x", p[i]);
            else *to++ = (char)p[i];
            i++;
            continue;
        }
        for (row = 0; row < 8 && (p[i] < second[row][0] || p[i] > second[row][1]); row++) {
        }
        if (row < 8 && i + 1 < n && p[i + 1] >= second[row][2] && p[i + 1] <= second[row][3])
            for (k = 2; k <= need && i + k < n && (p[i + k] & 0xC0) == 0x80; k++) {
            }
        if (row < 8 && k == need + 1) memcpy(to, p + i, k);
        else memcpy(to, "\xEF\xBF\xBD", 3);
        to += row < 8 && k == need + 1 ? k : 3;
        i += k;
    }
    *to++ = '"';
    return (size_t)(to - begin);
}

static void check_escape(const char *text, size_t n) {
    static char want[4000], dst[4000];
    stream_json_writer w;
    size_t len, at;
    stream_json_writer_init(&w, dst, sizeof dst);
    stream_json_write_string(&w, lend(text, n), n);
    CHECK_EQ(stream_json_writer_finish(&w, &len), STREAM_OK);
    CHECK_BYTES(dst, len, want, slow_escape(want, text, n));
    CHECK_EQ(stream_json_check(dst, len, &at), STREAM_OK);
}

static void a_stop_is_found_wherever_it_stands(void) {
    static const char stops[][5] = {"\"",
                                    "\\",
                                    "\x1F",
                                    "\x01",
                                    "\n",
                                    "\x7F",
                                    "\x80",
                                    "\xFF",
                                    "\xC3\xA9",
                                    "\xE4\xB8\xAD",
                                    "\xF0\x9F\x98\x80",
                                    "\xE4\xB8",
                                    "\x20",
                                    "!",
                                    "#",
                                    "[",
                                    "]"};
    char text[300];
    size_t n, at, i;
    for (n = 0; n < 210; n += n < 80 ? 1 : 13)
        for (at = 0; at < n; at++)
            for (i = 0; i < sizeof stops / sizeof *stops; i++) {
                size_t len = strlen(stops[i]);
                memset(text, 'a' + (int)(n % 20), n);
                memcpy(text + at, stops[i], len < n - at ? len : n - at);
                check_escape(text, n);
                if (test.failures) return;
            }
    memset(text, 0, sizeof text);
    check_escape(text, 200); /* NULs */
}

static void text_is_escaped_and_mended_as_by_hand(void) {
    static const char *const pieces[] = {"plain text of some length, ",
                                         "x",
                                         "\"",
                                         "\\",
                                         "\n",
                                         "\x02",
                                         "\xC3\xA9",
                                         "\xE4\xB8\xAD",
                                         "\xF0\x9F\x98\x80",
                                         "\xC3",
                                         "\xE0\x80",
                                         "\xE0\xA0",
                                         "\xED\xA0\x80",
                                         "\xED\x9F\xBF",
                                         "\xF0\x80",
                                         "\xF0\x90\x80",
                                         "\xF4\x90\x80\x80",
                                         "\xF4\x8F\xBF",
                                         "\x80",
                                         "\xC0\xAF",
                                         "\xFF",
                                         "\xF5\x80"};
    size_t i, count = scaled(60000);
    for (i = 0; i < count && !test.failures; i++) {
        uint64_t seed = seed_of(i + 3000000), random = seed;
        size_t parts = below(&random, 14), n = 0;
        char text[500];
        while (parts--) {
            const char *piece = pieces[below(&random, sizeof pieces / sizeof *pieces)];
            memcpy(text + n, piece, strlen(piece));
            n += strlen(piece);
        }
        check_escape(text, n);
        if (test.failures) printf("    text %zu, seed %llu\n", i, (unsigned long long)seed);
    }
}

/* The examples of the Unicode standard, tables 3-8 to 3-11. */
static void what_is_not_utf8_is_mended_by_maximal_subparts(void) {
    static const struct {
        const char *text;
        unsigned marks;
    } cases[] = {{"\xC0\xAF\xE0\x80\xBF\xF0\x81\x82", 8},
                 {"\xED\xA0\x80\xED\xBF\xBF\xED\xAF", 8},
                 {"\xF4\x91\x92\x93\xFF", 5},
                 {"\x80\xBF", 2},
                 {"\xE1\x80\xE2\xF0\x91\x92\xF1\xBF", 4}};
    size_t i;
    for (i = 0; i < sizeof cases / sizeof *cases; i++) {
        stream_json_writer w;
        char text[20], dst[60], want[60] = "\"";
        size_t len, k;
        sprintf(text, "%sA", cases[i].text);
        stream_json_writer_init(&w, dst, sizeof dst);
        stream_json_write_string(&w, text, strlen(text));
        stream_json_writer_finish(&w, &len);
        for (k = 0; k < cases[i].marks; k++) strcat(want, "\xEF\xBF\xBD");
        strcat(want, "A\"");
        CHECK_TEXT(dst, len, want);
    }
}

static double double_of(uint64_t bits) {
    double d;
    memcpy(&d, &bits, sizeof d);
    return d;
}

static void check_double(uint64_t bits, const char *want) {
    char dst[60];
    stream_json_writer w;
    stream_json_value v;
    size_t len, at;
    double back;
    uint64_t back_bits;
    stream_json_writer_init(&w, dst, sizeof dst);
    stream_json_write_double(&w, double_of(bits));
    CHECK_EQ(stream_json_writer_finish(&w, &len), STREAM_OK);
    CHECK_EQ(stream_json_check(dst, len, &at), STREAM_OK);
    if (want) CHECK_TEXT(dst, len, want);
    v = stream_json_value_of(dst, len);
    CHECK_EQ(stream_json_double(v, &back), STREAM_OK);
    memcpy(&back_bits, &back, sizeof back);
    CHECK(back_bits == bits);
}

static void doubles_are_written_short_and_come_back(void) {
    static const struct {
        uint64_t bits;
        const char *text;
    } cases[] = {{UINT64_C(0x0000000000000000), "0"},
                 {UINT64_C(0x8000000000000000), "-0"},
                 {UINT64_C(0x3FF0000000000000), "1"},
                 {UINT64_C(0x3FB999999999999A), "0.1"},
                 {UINT64_C(0xBFD3333333333334), "-0.30000000000000004"},
                 {UINT64_C(0x444B1AE4D6E2EF50), "1e+21"},
                 {UINT64_C(0x444B1AE4D6E2EF4F), "999999999999999900000"},
                 {UINT64_C(0x3EB0C6F7A0B5ED8D), "0.000001"},
                 {UINT64_C(0x3E7AD7F29ABCAF48), "1e-7"},
                 {UINT64_C(0x0000000000000001), "5e-324"},
                 {UINT64_C(0x7FEFFFFFFFFFFFFF), "1.7976931348623157e+308"},
                 {UINT64_C(0x0010000000000000), "2.2250738585072014e-308"},
                 {UINT64_C(0x4340000000000000), "9007199254740992"}};
    size_t i, count = scaled(200000);
    uint64_t random = seed_of(4000000);
    for (i = 0; i < sizeof cases / sizeof *cases; i++) check_double(cases[i].bits, cases[i].text);
    for (i = 0; i < count && !test.failures; i++) {
        uint64_t bits = test_random(&random);
        if ((bits >> 52 & 0x7FF) == 0x7FF) continue;
        check_double(bits, NULL);
    }
}

static void what_is_no_number_is_not_written(void) {
    static const uint64_t none[] = {UINT64_C(0x7FF0000000000000), UINT64_C(0xFFF0000000000000),
                                    UINT64_C(0x7FF8000000000000), UINT64_C(0xFFF8000000000001)};
    size_t i, len;
    for (i = 0; i < 4; i++) {
        stream_json_writer w;
        char dst[20];
        stream_json_writer_init(&w, dst, sizeof dst);
        stream_json_write_array(&w);
        stream_json_write_double(&w, 1.5);
        stream_json_write_double(&w, double_of(none[i]));
        stream_json_write_end(&w);
        CHECK_EQ(stream_json_writer_finish(&w, &len), STREAM_E_ARGUMENT);
        CHECK_TEXT(dst, len, "[1.5");
        stream_json_write_null(&w);
        CHECK_EQ(stream_json_writer_finish(&w, &len), STREAM_E_ARGUMENT);
        CHECK_EQ(len, 4);
    }
}

/* --- rewriting ------------------------------------------------------------------------------------- */

/* Rules as text: "op pointer value", op one of = (set) ~ (replace) + (add) - (drop); NULL ends them. */
static stream_json_rule rules[64];
static char rule_texts[64][1300];

static void set_rule(size_t i, char op, const char *pointer, const char *text) {
    static const char ops[] = "=~+-";
    memset(&rules[i], 0, sizeof rules[i]);
    rules[i].op = (stream_json_op)(strchr(ops, op) - ops);
    strcpy(rule_texts[i], pointer);
    rules[i].pointer = rule_texts[i];
    rules[i].value = value(text);
}

static size_t parse_rules(const char *const *texts) {
    size_t i;
    for (i = 0; texts[i]; i++) {
        char pointer[200];
        const char *space = strchr(texts[i] + 2, ' ');
        size_t n = space ? (size_t)(space - texts[i] - 2) : strlen(texts[i] + 2);
        memcpy(pointer, texts[i] + 2, n);
        pointer[n] = '\0';
        set_rule(i, texts[i][0], pointer, space ? space + 1 : "");
    }
    return i;
}

static void check_rewrite(const char *json, const char *const *texts, const char *want, uint64_t want_hits) {
    size_t count = parse_rules(texts), n = strlen(json), len, at, cap;
    stream_json_writer w;
    uint64_t hits;
    char dst[600];
    char *exactly = exact(json, n);
    stream_json_writer_init(&w, dst, sizeof dst);
    CHECK_EQ(stream_json_rewrite(exactly, n, rules, count, &w, &hits, &at), STREAM_OK);
    CHECK_EQ(stream_json_writer_finish(&w, &len), STREAM_OK);
    CHECK_TEXT(dst, len, want);
    CHECK_EQ(hits, want_hits);
    CHECK_EQ(stream_json_check(dst, len, &at), STREAM_OK);
    for (cap = 0; cap < len; cap++) {
        size_t again;
        stream_json_writer_init(&w, before_page(1, cap), cap);
        CHECK_EQ(stream_json_rewrite(exactly, n, rules, count, &w, NULL, NULL), STREAM_OK);
        CHECK_EQ(stream_json_writer_finish(&w, &again), STREAM_FULL);
        CHECK_EQ(again, len);
    }
    free(exactly);
}

#define REWRITE(json, want, hits, ...)                     \
    do {                                                   \
        static const char *const said[] = {__VA_ARGS__, NULL}; \
        check_rewrite(json, said, want, hits);             \
    } while (0)

static void commas_are_right_whatever_is_dropped_or_added(void) {
    REWRITE("{\"a\":1,\"b\":2,\"c\":3}", "{\"b\":2,\"c\":3}", 1, "- /a");
    REWRITE("{\"a\":1,\"b\":2,\"c\":3}", "{\"a\":1,\"c\":3}", 1, "- /b");
    REWRITE("{\"a\":1,\"b\":2,\"c\":3}", "{\"a\":1,\"b\":2}", 1, "- /c");
    REWRITE("{\"a\":1,\"b\":2,\"c\":3}", "{}", 7, "- /a", "- /b", "- /c");
    REWRITE("{\"a\":1,\"b\":2,\"c\":3}", "{\"c\":3}", 3, "- /a", "- /b");
    REWRITE("{\"a\":1,\"b\":2,\"c\":3}", "{\"a\":1}", 3, "- /c", "- /b");
    REWRITE("{\"a\":1,\"b\":2,\"c\":3}", "{\"b\":2}", 3, "- /c", "- /a");
    REWRITE("{\"a\":1}", "{}", 1, "- /a");
    REWRITE("{ \"a\" : 1 }", "{ }", 1, "- /a");
    REWRITE("{\n  \"a\": 1,\n  \"b\": 2\n}", "{\n  \"a\": 1\n}", 1, "- /b");
    REWRITE("{\n  \"a\": 1,\n  \"b\": 2\n}", "{\n  \"b\": 2\n}", 1, "- /a");
    REWRITE("[1, 2 ,3]", "[ 2 ,3]", 1, "- /0");
    REWRITE("[1, 2 ,3]", "[1,3]", 1, "- /1");
    REWRITE("[1, 2 ,3]", "[1, 2 ]", 1, "- /2");
    REWRITE("[1]", "[]", 1, "- /0");
    REWRITE("{}", "{\"a\":1}", 1, "= /a 1");
    REWRITE("{ }", "{\"a\":1 }", 1, "+ /a 1");
    REWRITE("[]", "[1]", 1, "+ /0 1");
    REWRITE("[ ]", "[1 ]", 1, "+ /- 1");
    REWRITE("{\"a\":1 }", "{\"a\":1,\"b\":2 }", 1, "+ /b 2");
    REWRITE("{\"a\":1}", "{\"b\":2}", 3, "- /a", "= /b 2");
    REWRITE("{\"a\":1}", "{\"b\":2,\"c\":3}", 7, "- /a", "= /b 2", "+ /c 3");
    REWRITE("[1,2]", "[0,1,2]", 1, "+ /0 0");
    REWRITE("[1, 2]", "[1,0, 2]", 1, "+ /1 0");
    REWRITE("[1,2]", "[1,2,0]", 1, "+ /2 0");
    REWRITE("[1,2]", "[1,2]", 0, "+ /3 0");
    REWRITE("[1,2]", "[8,9,2]", 7, "+ /0 8", "+ /0 9", "- /0");
    REWRITE("[1,2]", "[8,9]", 15, "- /0", "- /1", "+ /0 8", "+ /1 9");
    REWRITE("[1,2]", "[8,9,7]", 31, "- /0", "- /1", "+ /0 8", "+ /1 9", "= /- 7");
    REWRITE("[1,2]", "[1,2,7,8]", 3, "+ /- 7", "+ /- 8");
    REWRITE("[1,2]", "[1,2,7,8]", 3, "+ /2 7", "= /2 8");
    REWRITE("[1,2]", "[1,8,9,2]", 3, "+ /1 8", "+ /1 9");
    REWRITE("[1]", "[1]", 0, "= /-1 9"); /* no index, nor the end */
    REWRITE("{}", "{\"x~y/z\":1}", 1, "= /x~0y~1z 1");
    REWRITE("{}", "{\"a\":1,\"b\":2}", 3, "= /a 1", "+ /b 2", "= /a 3"); /* the first rule for a new member */
}

static void rules_do_what_they_say(void) {
    REWRITE("{\"a\":1}", "{\"a\":2}", 1, "= /a 2");
    REWRITE("{\"a\":1}", "{\"a\":2}", 1, "~ /a 2");
    REWRITE("{\"a\":1}", "{\"a\":1}", 0, "+ /a 2");
    REWRITE("{\"a\":1}", "{\"a\":1}", 0, "~ /b 2");
    REWRITE("{\"a\":1}", "{\"a\":1}", 0, "- /b");
    REWRITE("{\"a\":1}", "{\"a\":1}", 0, "= /b/c 2"); /* a parent that is missing */
    REWRITE("{\"a\":1}", "{\"a\":1}", 0, "= /a/c 2"); /* or has no members */
    REWRITE("[1,2]", "[1,9]", 1, "= /1 9");
    REWRITE("[1,2]", "[1,2,9]", 1, "= /2 9");
    REWRITE("[1,2]", "[1,2]", 0, "= /3 9", "= /01 9", "= /x 9", "- /-", "~ /- 9");
    REWRITE("[1,2]", "[1,null]", 1, "= /1");
    REWRITE(" {\"a\":1}\n", " 7\n", 1, "=  7", "= /a 8"); /* the whole */
    REWRITE(" {\"a\":1}\n", " {\"a\":8,\"\":7}\n", 3, "= / 7", "= /a 8"); /* the key "" */
}

/* The same by the tree, without white space. A tail is what is left of a rule's pointer here, or NULL. */
typedef struct text {
    char bytes[30000];
    size_t n;
} text;

static void put(text *t, const char *bytes, size_t n) {
    if (t->n + n > sizeof t->bytes) exit(1);
    memcpy(t->bytes + t->n, bytes, n);
    t->n += n;
}

/* JSON as it is spelled, but for the white space. */
static void put_squeezed(text *t, const char *p, size_t n) {
    size_t i;
    bool inside = false;
    for (i = 0; i < n; i++) {
        if (p[i] == '"') inside = !inside;
        if (inside && p[i] == '\\') put(t, p + i++, 1);
        if (inside || !strchr(" \n\r\t", p[i])) put(t, p + i, 1);
    }
}

/* A string from plain bytes, as the writer spells it. */
static void put_string(text *t, const char *bytes, size_t n) {
    char dst[4000];
    stream_json_writer w;
    size_t len;
    stream_json_writer_init(&w, dst, sizeof dst);
    stream_json_write_string(&w, bytes, n);
    stream_json_writer_finish(&w, &len);
    put(t, dst, len);
}

static void put_value(text *t, stream_json_value v) {
    if (v.type == STREAM_JSON_NONE) put(t, "null", 4);
    else put_squeezed(t, v.ptr, v.len);
}

static void slow_rewrite(text *t, const node *v, const char *const *tails, size_t count, uint64_t *hits) {
    const char *next[64], *end;
    bool there[64] = {false}, first = true;
    const node *c;
    size_t i, k, index = 0;
    for (i = 0; i < count; i++) {
        if (!tails[i] || *tails[i] || rules[i].op == STREAM_JSON_OP_ADD) continue;
        put_value(t, rules[i].value);
        *hits |= UINT64_C(1) << i;
        return;
    }
    if (v->type < STREAM_JSON_ARRAY) {
        put_squeezed(t, v->begin, (size_t)(v->end - v->begin));
        return;
    }
    put(t, v->type == STREAM_JSON_OBJECT ? "{" : "[", 1);
    for (c = v->child; c; c = c->next, index++) {
        size_t named = count; /* the first rule for this place that is no ADD */
        for (i = 0; i < count; i++) {
            next[i] = tails[i] && *tails[i] && names(tails[i] + 1, c, index, &end) ? end : NULL;
            if (!next[i] || *next[i]) continue;
            there[i] = true;
            if (rules[i].op != STREAM_JSON_OP_ADD && named == count) named = i;
            if (v->type == STREAM_JSON_ARRAY && rules[i].op == STREAM_JSON_OP_ADD) {
                if (!first) put(t, ",", 1);
                first = false;
                put_value(t, rules[i].value);
                *hits |= UINT64_C(1) << i;
            }
        }
        if (named < count && rules[named].op == STREAM_JSON_OP_DROP) {
            *hits |= UINT64_C(1) << named;
            continue;
        }
        for (i = 0; i < count; i++)
            if (next[i] && !*next[i] && i != named) next[i] = NULL;
        if (!first) put(t, ",", 1);
        first = false;
        if (c->key) { /* as it is spelled: from the comma or bracket before it */
            const char *begin = c == v->child ? v->begin + 1 : NULL;
            const node *b;
            for (b = v->child; !begin; b = b->next)
                if (b->next == c) begin = b->end;
            while (*begin != '"') begin++;
            put_squeezed(t, begin, (size_t)(c->begin - begin));
        }
        slow_rewrite(t, c, next, count, hits);
    }
    for (i = 0; i < count; i++) {
        const char *step = tails[i] ? tails[i] + 1 : "/";
        bool last = tails[i] && *tails[i] && !strchr(step, '/'), done = false;
        char digits[30], plain[1300];
        size_t n = 0;
        if (!last || there[i] || (rules[i].op != STREAM_JSON_OP_SET && rules[i].op != STREAM_JSON_OP_ADD))
            continue;
        sprintf(digits, "%u", (unsigned)index);
        if (v->type == STREAM_JSON_ARRAY && strcmp(step, "-") != 0 && strcmp(step, digits) != 0) continue;
        for (k = 0; k < i; k++)
            done = done || (v->type == STREAM_JSON_OBJECT && (*hits >> k & 1) &&
                            strcmp(rules[k].pointer, rules[i].pointer) == 0);
        if (done) continue;
        if (!first) put(t, ",", 1);
        first = false;
        for (; *step; step++) plain[n++] = *step == '~' ? (*++step == '1' ? '/' : '~') : *step;
        if (v->type == STREAM_JSON_OBJECT) {
            put_string(t, plain, n);
            put(t, ":", 1);
        }
        put_value(t, rules[i].value);
        *hits |= UINT64_C(1) << i;
    }
    put(t, v->type == STREAM_JSON_OBJECT ? "}" : "]", 1);
}

static const char *const rule_values[] = {"0", "\"new\"", "{\"k\": [1, 2]}", "[]", "", "\"a b\"", "-1.5e3"};

static void rewriting_is_what_the_tree_makes(void) {
    static text got, want, dst;
    size_t i, documents = scaled(40000);
    for (i = 0; i < documents && !test.failures; i++) {
        uint64_t seed = seed_of(i + 5000000), random = seed, hits, want_hits = 0, k_hits;
        size_t count = below(&random, 8), k, at, len;
        const char *tails[64];
        stream_json_writer w;
        const node *root;
        doc.unique = i % 3 > 0;
        doc.nulls = true;
        make_document(&doc, &random, 100 + below(&random, 700));
        root = read_tree(&trees[0], doc.text, doc.n);
        CHECK(root != NULL);
        if (!root) break;
        for (k = 0; k < count; k++) {
            char pointer[1200];
            if (k && below(&random, 4) == 0) strcpy(pointer, rules[below(&random, k)].pointer);
            else make_pointer(pointer, root, &random);
            set_rule(k, *pointer ? "=~+-"[below(&random, 4)] : '=', pointer, rule_values[below(&random, 7)]);
            tails[k] = rules[k].pointer;
        }
        stream_json_writer_init(&w, dst.bytes, sizeof dst.bytes);
        CHECK_EQ(stream_json_rewrite(lend(doc.text, doc.n), doc.n, rules, count, &w, &hits, &at), STREAM_OK);
        CHECK_EQ(stream_json_writer_finish(&w, &len), STREAM_OK);
        CHECK_EQ(stream_json_check(dst.bytes, len, &at), STREAM_OK);
        got.n = want.n = 0;
        put_squeezed(&got, dst.bytes, len);
        slow_rewrite(&want, root, tails, count, &want_hits);
        CHECK_BYTES(got.bytes, got.n, want.bytes, want.n);
        CHECK_EQ(hits, want_hits);
        if (!hits) CHECK_BYTES(dst.bytes, len, doc.text, doc.n); /* white space and all */
        for (k = 0; k < count; k++) { /* one value in the place of another: all around it stays */
            const node *v = resolve(root, rules[k].pointer);
            char expected[7000];
            size_t head = v ? (size_t)(v->begin - doc.text) : 0, n = rules[k].value.len;
            if (!v || !doc.unique || n == 0 || strchr("+-", "=~+-"[rules[k].op])) continue;
            memcpy(expected, doc.text, head);
            memcpy(expected + head, rules[k].value.ptr, n);
            memcpy(expected + head + n, v->end, doc.n - (size_t)(v->end - doc.text));
            stream_json_writer_init(&w, dst.bytes, sizeof dst.bytes);
            CHECK_EQ(stream_json_rewrite(doc.text, doc.n, &rules[k], 1, &w, &k_hits, NULL), STREAM_OK);
            CHECK_EQ(stream_json_writer_finish(&w, &len), STREAM_OK);
            CHECK_EQ(k_hits, 1);
            CHECK_BYTES(dst.bytes, len, expected, head + n + doc.n - (size_t)(v->end - doc.text));
        }
        if (test.failures) {
            printf("    document %zu, seed %llu: ", i, (unsigned long long)seed);
            test_print_bytes(doc.text, doc.n);
            for (k = 0; k < count; k++)
                printf("\n      %c %s %.*s", "=~+-"[rules[k].op], rules[k].pointer, (int)rules[k].value.len,
                       rules[k].value.len ? rules[k].value.ptr : "");
            printf("\n");
        }
    }
}

static void rewriting_refuses_what_cannot_be_meant(void) {
    static const char *const bad[] = {"a", "/~", "/a~2"};
    char deep[2 * 33 + 1], dst[100];
    stream_json_writer w;
    uint64_t hits;
    size_t i, at, len;
    for (i = 0; i < 33; i++) memcpy(deep + 2 * i, "/0", 3);
    for (i = 0; i < 9; i++) {
        size_t count = 1;
        hits = 99;
        set_rule(0, '=', i < 3 ? bad[i] : i == 3 ? deep : "", "1");
        if (i == 4) rules[0].op = STREAM_JSON_OP_DROP;
        if (i == 5) rules[0].op = (stream_json_op)4;
        if (i == 6) rules[0].pointer = NULL;
        if (i == 7) count = 65;
        if (i == 8) rules[0].value.len = 0; /* a value of which nothing is there */
        stream_json_writer_init(&w, dst, sizeof dst);
        CHECK_EQ(stream_json_rewrite("[1]", 3, rules, count, &w, &hits, &at), STREAM_E_ARGUMENT);
        CHECK_EQ(stream_json_writer_finish(&w, &len), STREAM_E_ARGUMENT);
        CHECK_EQ(len, 0);
        CHECK_EQ(hits, 0);
    }
    set_rule(0, '=', deep + 2, "1"); /* 32 steps are fine */
    stream_json_writer_init(&w, dst, sizeof dst);
    CHECK_EQ(stream_json_rewrite("[[]]", 4, rules, 1, &w, &hits, &at), STREAM_OK);
    CHECK_EQ(stream_json_writer_finish(&w, &len), STREAM_OK);
    CHECK_TEXT(dst, len, "[[]]");
    /* Where no value may stand, and into a writer that has failed. */
    CHECK_EQ(stream_json_rewrite("[]", 2, NULL, 0, &w, &hits, &at), STREAM_E_STATE);
    CHECK_EQ(stream_json_rewrite("[]", 2, NULL, 0, &w, NULL, NULL), STREAM_E_STATE);
    CHECK_EQ(stream_json_writer_finish(&w, &len), STREAM_E_STATE);
    CHECK_EQ(len, 4);
}

static void rewriting_stands_where_a_value_may(void) {
    char dst[100];
    stream_json_writer w;
    size_t len;
    set_rule(0, '=', "/a", "2");
    stream_json_writer_init(&w, dst, sizeof dst);
    stream_json_write_object(&w);
    stream_json_write_key(&w, "x", 1);
    CHECK_EQ(stream_json_rewrite("{\"a\":1}", 7, rules, 1, &w, NULL, NULL), STREAM_OK);
    stream_json_write_key(&w, "y", 1);
    CHECK_EQ(stream_json_rewrite("[7]", 3, rules, 1, &w, NULL, NULL), STREAM_OK);
    stream_json_write_end(&w);
    CHECK_EQ(stream_json_writer_finish(&w, &len), STREAM_OK);
    CHECK_TEXT(dst, len, "{\"x\":{\"a\":2},\"y\":[7]}");
}

/* Cut anywhere it is truncated; broken, it is invalid where the strict check says so. */
static void rewriting_says_where_the_input_ends_or_breaks(void) {
    static const char json[] = "{\"a\":[1,{\"b\":\"x\\n\"}],\"c\":true,\"d\":-1.5e3}";
    static const struct {
        const char *json;
        size_t at;
    } cases[] = {{"{\"a\" 1}", 5}, {"{\"a\":1 \"b\":2}", 7}, {"[1,,2]", 3},
                 {"[1 2]", 3},     {"{\"a\":[1,]}", 8},      {"{} {}", 3},
                 {"x", 0},         {"{\"a\":tru}", 8},       {"[01]", 2}};
    char dst[200];
    stream_json_writer w;
    size_t i, at, len;
    set_rule(0, '-', "/a/1/b", "");
    set_rule(1, '=', "/a/0", "0");
    for (i = 0; i < sizeof json - 1; i++) {
        stream_json_writer_init(&w, dst, sizeof dst);
        CHECK_EQ(stream_json_rewrite(lend(json, i), i, rules, 2, &w, NULL, &at), STREAM_E_TRUNCATED);
        CHECK_EQ(at, i);
        CHECK_EQ(stream_json_writer_finish(&w, &len), STREAM_E_TRUNCATED);
    }
    for (i = 0; i < sizeof cases / sizeof *cases; i++) {
        size_t n = strlen(cases[i].json);
        stream_json_writer_init(&w, dst, sizeof dst);
        CHECK_EQ(stream_json_rewrite(lend(cases[i].json, n), n, rules, 2, &w, NULL, &at), STREAM_E_INVALID);
        CHECK_EQ(at, cases[i].at);
        CHECK_EQ(stream_json_writer_finish(&w, &len), STREAM_E_INVALID);
        if (test.failures) printf("    %s\n", cases[i].json);
    }
}

/* The value of a rule that has none may be anything; what stands behind a value is told, not copied; and where a fault
   is, behind more levels than a check goes. */
static void rewriting_looks_at_what_it_needs(void) {
    enum { DEEP = STREAM_JSON_CHECK_DEPTH + 6 };
    static char json[2 * DEEP + 40];
    stream_json_rule rule = {"/a", STREAM_JSON_OP_DROP, {NULL, 0, STREAM_JSON_NUMBER}};
    stream_json_writer w;
    char dst[20], *p = json;
    size_t len, at;
    stream_json_writer_init(&w, dst, sizeof dst);
    CHECK_EQ(stream_json_rewrite("{\"a\":1}", 7, &rule, 1, &w, NULL, NULL), STREAM_OK);
    CHECK_EQ(stream_json_writer_finish(&w, &len), STREAM_OK);
    CHECK_TEXT(dst, len, "{}");
    stream_json_writer_init(&w, dst, sizeof dst);
    CHECK_EQ(stream_json_rewrite("{} {}", 5, NULL, 0, &w, NULL, &at), STREAM_E_INVALID);
    CHECK_EQ(at, 3);
    CHECK_EQ(stream_json_writer_finish(&w, &len), STREAM_E_INVALID);
    CHECK_TEXT(dst, len, "{} ");
    p += sprintf(p, "{\"x\":");
    memset(p, '[', DEEP);
    memset(p + DEEP, ']', DEEP);
    sprintf(p + 2 * DEEP, " \"y\"}");
    rule.pointer = "/1";
    stream_json_writer_init(&w, NULL, 0);
    CHECK_EQ(stream_json_rewrite(json, strlen(json), &rule, 1, &w, NULL, &at), STREAM_E_INVALID);
    CHECK_EQ(at, strlen(json) - 4);
}

/* --- merge patches --------------------------------------------------------------------------------- */

static stream_status patched(bool merge, const char *a, const char *b, char *dst, size_t cap, size_t *len) {
    stream_json_writer w;
    stream_status status, end;
    stream_json_writer_init(&w, dst, cap);
    status = merge ? stream_json_merge(value(a), value(b), &w) : stream_json_diff(value(a), value(b), &w);
    end = stream_json_writer_finish(&w, len);
    CHECK(end == status || (status == STREAM_OK && end == STREAM_FULL));
    return end;
}

/* The same with memory for `room` members: as without. It begins anywhere, and no byte behind it is touched. */
static void sorted_as_well(bool merge, stream_json_value a, stream_json_value b, size_t room, const char *want,
                           size_t want_len) {
    const size_t off = (room + want_len) % 4;
    char *memory = (char *)malloc(off + 4 * room + 3), *dst = (char *)malloc(want_len + 1);
    stream_json_writer w;
    size_t len;
    stream_status status;
    if (!memory || !dst) exit(1);
    stream_json_writer_init(&w, dst, want_len);
    status = merge ? stream_json_merge_sorted(a, b, &w, memory + off, 4 * room + 3)
                   : stream_json_diff_sorted(a, b, &w, memory + off, 4 * room + 3);
    CHECK_EQ(status, STREAM_OK);
    CHECK_EQ(stream_json_writer_finish(&w, &len), STREAM_OK);
    CHECK_BYTES(dst, len, want, want_len);
    free(memory);
    free(dst);
}

/* The table of RFC 7386, appendix A: original, patch, result. */
static void the_examples_of_the_rfc_come_out(void) {
    static const char *const cases[][3] = {
        {"{\"a\":\"b\"}", "{\"a\":\"c\"}", "{\"a\":\"c\"}"},
        {"{\"a\":\"b\"}", "{\"b\":\"c\"}", "{\"a\":\"b\",\"b\":\"c\"}"},
        {"{\"a\":\"b\"}", "{\"a\":null}", "{}"},
        {"{\"a\":\"b\",\"b\":\"c\"}", "{\"a\":null}", "{\"b\":\"c\"}"},
        {"{\"a\":[\"b\"]}", "{\"a\":\"c\"}", "{\"a\":\"c\"}"},
        {"{\"a\":\"c\"}", "{\"a\":[\"b\"]}", "{\"a\":[\"b\"]}"},
        {"{\"a\":{\"b\":\"c\"}}", "{\"a\":{\"b\":\"d\",\"c\":null}}", "{\"a\":{\"b\":\"d\"}}"},
        {"{\"a\":[{\"b\":\"c\"}]}", "{\"a\":[1]}", "{\"a\":[1]}"},
        {"[\"a\",\"b\"]", "[\"c\",\"d\"]", "[\"c\",\"d\"]"},
        {"{\"a\":\"b\"}", "[\"c\"]", "[\"c\"]"},
        {"{\"a\":\"foo\"}", "null", "null"},
        {"{\"a\":\"foo\"}", "\"bar\"", "\"bar\""},
        {"{\"e\":null}", "{\"a\":1}", "{\"e\":null,\"a\":1}"},
        {"[1,2]", "{\"a\":\"b\",\"c\":null}", "{\"a\":\"b\"}"},
        {"{}", "{\"a\":{\"bb\":{\"ccc\":null}}}", "{\"a\":{\"bb\":{}}}"}};
    size_t i, len;
    for (i = 0; i < sizeof cases / sizeof *cases; i++) {
        char dst[100];
        CHECK_EQ(patched(true, cases[i][0], cases[i][1], dst, sizeof dst, &len), STREAM_OK);
        CHECK_TEXT(dst, len, cases[i][2]);
    }
}

static void a_difference_is_said_in_few_words(void) {
    static const char *const cases[][3] = {
        {"{}", "{}", "{}"},
        {"{\"a\":1}", "{\"a\" : 1}", "{}"},
        {"{\"a\":1,\"b\":2}", "{\"b\":2,\"a\":1}", "{}"},
        {"{\"a\":\"x\"}", "{\"\\u0061\":\"\\u0078\"}", "{}"},
        {"{\"a\":1}", "{\"a\":1.0}", "{\"a\":1.0}"},
        {"{\"a\":1}", "{}", "{\"a\":null}"},
        {"{}", "{\"a\":[1 ,2]}", "{\"a\":[1 ,2]}"},
        {"{\"a\":[1,2]}", "{\"a\":[ 1,2 ]}", "{}"},
        {"{\"a\":[1,{\"x\":1,\"y\":2}]}", "{\"a\":[1,{\"y\":2,\"x\":1}]}", "{}"},
        {"{\"a\":[1,2]}", "{\"a\":[1,2,3]}", "{\"a\":[1,2,3]}"},
        {"{\"a\":{\"b\":{\"c\":1,\"d\":2}},\"e\":3}", "{\"a\":{\"b\":{\"c\":1,\"d\":4}},\"e\":3}",
         "{\"a\":{\"b\":{\"d\":4}}}"},
        {"{\"a\":{\"b\":1}}", "{\"a\":2}", "{\"a\":2}"},
        {"{\"a\":2}", "{\"a\":{\"b\":1}}", "{\"a\":{\"b\":1}}"},
        {"[1]", "[1]", "[1]"},
        {"", "{\"a\":1}", "{\"a\":1}"},
        {"{\"a\":1}", "7", "7"}};
    size_t i, len;
    for (i = 0; i < sizeof cases / sizeof *cases; i++) {
        char dst[100];
        CHECK_EQ(patched(false, cases[i][0], cases[i][1], dst, sizeof dst, &len), STREAM_OK);
        CHECK_TEXT(dst, len, cases[i][2]);
    }
}

static const node *slow_member(const node *v, const node *named) {
    return v && v->type == STREAM_JSON_OBJECT ? member(v, named) : NULL;
}

static void put_key(text *t, const node *c, bool *first) {
    put(t, ",", *first ? 0 : 1);
    *first = false;
    put_string(t, c->key, c->key_len);
    put(t, ":", 1);
}

/* The pseudo code of RFC 7386, section 2, on trees. */
static void slow_merge(text *t, const node *target, const node *patch) {
    const node *c, *p;
    bool first = true;
    if (patch->type != STREAM_JSON_OBJECT) {
        put(t, patch->begin, (size_t)(patch->end - patch->begin));
        return;
    }
    put(t, "{", 1);
    for (c = target && target->type == STREAM_JSON_OBJECT ? target->child : NULL; c; c = c->next) {
        p = member(patch, c);
        if (p && p->type == STREAM_JSON_NULL) continue;
        put_key(t, c, &first);
        if (p) slow_merge(t, c, p);
        else put(t, c->begin, (size_t)(c->end - c->begin));
    }
    for (p = patch->child; p; p = p->next) {
        if (p->type == STREAM_JSON_NULL || slow_member(target, p)) continue;
        put_key(t, p, &first);
        slow_merge(t, NULL, p);
    }
    put(t, "}", 1);
}

static void slow_diff(text *t, const node *from, const node *to) {
    const node *c, *o;
    bool first = true;
    if (from->type != STREAM_JSON_OBJECT || to->type != STREAM_JSON_OBJECT) {
        put(t, to->begin, (size_t)(to->end - to->begin));
        return;
    }
    put(t, "{", 1);
    for (c = to->child; c; c = c->next) {
        o = member(from, c);
        if (equal(o, c)) continue;
        put_key(t, c, &first);
        if (o) slow_diff(t, o, c);
        else put(t, c->begin, (size_t)(c->end - c->begin));
    }
    for (c = from->child; c; c = c->next) {
        if (member(to, c)) continue;
        put_key(t, c, &first);
        put(t, "null", 4);
    }
    put(t, "}", 1);
}

static void patches_are_what_the_trees_make(void) {
    static text slow, patch, back;
    size_t i, documents = scaled(30000);
    for (i = 0; i < documents && !test.failures; i++) {
        uint64_t seed = seed_of(i + 6000000), random = seed;
        stream_json_writer w;
        stream_json_value x, y, z;
        const node *a, *b, *c, *d;
        size_t len;
        bool nulls = i % 2;
        doc.unique = other.unique = true;
        doc.nulls = other.nulls = nulls;
        make_document(&doc, &random, 100 + below(&random, 600));
        make_document(&other, &random, 100 + below(&random, 600));
        a = read_tree(&trees[0], doc.text, doc.n);
        b = read_tree(&trees[1], other.text, other.n);
        CHECK(a && b);
        if (!a || !b) break;
        x = stream_json_value_of(doc.text, doc.n);
        y = stream_json_value_of(other.text, other.n);

        stream_json_writer_init(&w, patch.bytes, sizeof patch.bytes);
        CHECK_EQ(stream_json_merge(x, y, &w), STREAM_OK);
        CHECK_EQ(stream_json_writer_finish(&w, &len), STREAM_OK);
        sorted_as_well(true, x, y, below(&random, 50), patch.bytes, len);
        slow.n = 0;
        slow_merge(&slow, a, b);
        c = read_tree(&trees[2], patch.bytes, len);
        d = read_tree(&trees[3], slow.bytes, slow.n);
        CHECK(equal(c, d));

        stream_json_writer_init(&w, patch.bytes, sizeof patch.bytes);
        CHECK_EQ(stream_json_diff(x, y, &w), STREAM_OK);
        CHECK_EQ(stream_json_writer_finish(&w, &len), STREAM_OK);
        sorted_as_well(false, x, y, below(&random, 50), patch.bytes, len);
        slow.n = 0;
        slow_diff(&slow, a, b);
        c = read_tree(&trees[2], patch.bytes, len);
        d = read_tree(&trees[3], slow.bytes, slow.n);
        CHECK(equal(c, d));
        z = stream_json_value_of(patch.bytes, len);
        stream_json_writer_init(&w, back.bytes, sizeof back.bytes);
        CHECK_EQ(stream_json_merge(x, z, &w), STREAM_OK);
        CHECK_EQ(stream_json_writer_finish(&w, &len), STREAM_OK);
        if (!nulls) CHECK(equal(read_tree(&trees[3], back.bytes, len), b));
        if (test.failures) {
            printf("    documents %zu, seed %llu: ", i, (unsigned long long)seed);
            test_print_bytes(doc.text, doc.n);
            test_print_bytes(other.text, other.n);
            printf("\n");
        }
    }
}

/* More members than fit a mask, in another order: one changed, one gone, one new. */
static void objects_of_many_members_are_matched_in_any_order(void) {
    enum { MANY = 150 };
    static char a[MANY * 20], b[MANY * 20], dst[MANY * 40], back[MANY * 40];
    size_t order, i, len;
    for (order = 0; order < 4; order++) {
        stream_json_writer w;
        char *p = a, *q = b;
        const node *m, *n;
        p += sprintf(p, "{");
        q += sprintf(q, "{");
        for (i = 0; i < MANY; i++) {
            size_t at = order == 0 ? i : order == 1 ? MANY - 1 - i : order == 2 ? i * 7 % MANY : i ^ 1;
            p += sprintf(p, "%s\"k%u\":%u", i ? "," : "", (unsigned)i, (unsigned)i);
            if (at == 100) q += sprintf(q, "%s\"new\":1", i ? "," : "");
            else
                q += sprintf(q, "%s\"\\u006b%u\":%u", i ? "," : "", (unsigned)at,
                             (unsigned)(at == 70 ? 7 : at));
        }
        sprintf(p, "}");
        sprintf(q, "}");
        stream_json_writer_init(&w, dst, sizeof dst);
        CHECK_EQ(stream_json_diff(value(a), value(b), &w), STREAM_OK);
        CHECK_EQ(stream_json_writer_finish(&w, &len), STREAM_OK);
        for (i = 0; i < 160; i += 7) sorted_as_well(false, value(a), value(b), i, dst, len);
        m = read_tree(&trees[0], dst, len);
        {
            static const char want[] = "{\"k70\":7,\"new\":1,\"k100\":null}";
            CHECK(equal(m, read_tree(&trees[1], want, sizeof want - 1)));
        }
        stream_json_writer_init(&w, back, sizeof back);
        CHECK_EQ(stream_json_merge(value(a), stream_json_value_of(dst, len), &w), STREAM_OK);
        CHECK_EQ(stream_json_writer_finish(&w, &len), STREAM_OK);
        m = read_tree(&trees[0], back, len);
        n = read_tree(&trees[1], b, strlen(b));
        CHECK(equal(m, n));
    }
}

/* Every order of members, in objects beside and inside each other and in arrays, with keys spelled in two ways and
   with broken ones, which are nobody's: as without memory, whatever there is of it and whenever it is used. */
static void members_are_sorted_where_there_is_room(void) {
    static char a[20000], b[20000], dst[80000];
    static const char *const spelling[] = {"key%u", "\\u006bey%u", "key\\q%u", "key\\u01%u", "\\\\%u", "%u\xC3\xA9"};
    static const char *const shape[] = {"\":[{\"z\":%u,\"y\":[],\"x\":1}]", "\":[{\"x\":1,\"y\":[],\"z\":%u}]",
                                        "\":%u", "\":{\"x\":%u}"};
    size_t i, documents = scaled(400), side, len;
    for (i = 0; i < documents && !test.failures; i++) {
        uint64_t seed = seed_of(i + 31000000), random = seed;
        const size_t many = 1 + below(&random, i % 8 ? 20 : 160), nested = below(&random, 3), kinds = below(&random, 7);
        stream_json_writer w;
        for (side = 0; side < 2; side++) {
            char *p = side ? b : a;
            size_t group;
            *p++ = '{';
            for (group = 0; group < 1 + nested; group++) {
                size_t at[160], n;
                p += sprintf(p, group ? ",\"g%u\":%s{" : "\"g%u\":%s{", (unsigned)group, group == 2 ? "[" : "");
                for (n = 0; n < many; n++) at[n] = n;
                for (n = many; side && n > 1; n--) { /* shuffled, or nearly in order */
                    const size_t by = i % 3 ? below(&random, n) : n - 1 - below(&random, 20) / 19, was = at[n - 1];
                    at[n - 1] = at[by];
                    at[by] = was;
                }
                for (n = 0; n < many; n++) {
                    const bool gone = below(&random, 40) == 0, broken = kinds && below(&random, 4) == 0;
                    if (n) *p++ = ',';
                    *p++ = '"';
                    p += sprintf(p, spelling[broken ? below(&random, kinds) : 0], (unsigned)at[n] + (gone ? 1000 : 0));
                    p += sprintf(p, shape[n % 5 == 1 ? side : below(&random, 30) ? 2 : 3], (unsigned)at[n]);
                }
                p += sprintf(p, group == 2 ? "}]" : "}");
            }
            memcpy(p, "}", 2);
        }
        for (side = 0; side < 2; side++) { /* the patch; and one object laid over the other */
            patience = 0;
            stream_json_writer_init(&w, dst, sizeof dst);
            CHECK_EQ(side ? stream_json_merge(value(a), value(b), &w) : stream_json_diff(value(a), value(b), &w),
                     STREAM_OK);
            CHECK_EQ(stream_json_writer_finish(&w, &len), STREAM_OK);
            for (patience = 0; patience < 3000; patience = 3 * patience + 1)
                sorted_as_well(side, value(a), value(b), below(&random, 2) ? 500 : below(&random, 200), dst, len);
        }
        if (test.failures) printf("    document %zu, seed %llu: %s %s\n", i, (unsigned long long)seed, a, b);
    }
    patience = 0;
}

/* {"from":value,...}, up to the key before `to`. */
static void numbered(char *p, unsigned from, unsigned to, const char *what) {
    const char *before = "{";
    for (; from < to; from++, before = ",") p += sprintf(p, "%s\"%u\":%s", before, from, what);
    memcpy(p, "}", 2);
}

/* Many members gone from behind those that stayed: each is looked for in vain, until they are sorted. */
static void members_that_are_gone_are_told_after_sorting(void) {
    enum { MANY = 200, STAY = 100 };
    static char was[MANY * 10], now[STAY * 10], dst[MANY * 20], want[MANY * 20];
    stream_json_writer w;
    size_t len;
    numbered(was, 0, MANY, "1");
    numbered(now, 0, STAY, "1");
    numbered(want, STAY, MANY, "null");
    stream_json_writer_init(&w, dst, sizeof dst);
    CHECK_EQ(stream_json_diff(value(was), value(now), &w), STREAM_OK);
    CHECK_EQ(stream_json_writer_finish(&w, &len), STREAM_OK);
    CHECK_TEXT(dst, len, want);
    for (patience = 0; patience < 20000; patience = 3 * patience + 1) {
        sorted_as_well(false, value(was), value(now), MANY, want, len);
        sorted_as_well(false, value(was), value(now), MANY - 1, want, len); /* no room */
        sorted_as_well(false, value(was), value(now), 0, want, len);
    }
    patience = UINT32_MAX;
    sorted_as_well(false, value(was), value(now), MANY, want, len);
    patience = 0;
}

/* What is laid over nothing has nobody to be told of. */
static void many_members_are_laid_over_nothing(void) {
    enum { MANY = 200 };
    static char json[MANY * 10], dst[MANY * 10];
    stream_json_value none;
    stream_json_writer w;
    size_t len;
    memset(&none, 0, sizeof none);
    numbered(json, 0, MANY, "1");
    stream_json_writer_init(&w, dst, sizeof dst);
    CHECK_EQ(stream_json_merge(none, value(json), &w), STREAM_OK);
    CHECK_EQ(stream_json_writer_finish(&w, &len), STREAM_OK);
    CHECK_TEXT(dst, len, json);
    sorted_as_well(true, none, value(json), MANY, json, len);
}

/* What sorting comes upon first is told as it would be without. */
static void what_cannot_be_sorted_is_told(void) {
    static const char *const from[] = {"{\"b\":1,\"a\":2,\"c\" 3}", "{\"b\":1,\"a\":2,\"c\":3", "{\"b\":1,\"a\":x}"};
    static const stream_status want[] = {STREAM_E_INVALID, STREAM_E_TRUNCATED, STREAM_E_INVALID};
    size_t i, merge;
    for (i = 0; i < sizeof from / sizeof *from; i++)
        for (merge = 0; merge < 2; merge++) {
            const stream_json_value a = value("{\"a\":1}"), b = value(from[i]);
            char dst[100];
            uint32_t memory[10];
            stream_json_writer w;
            stream_json_writer_init(&w, dst, sizeof dst);
            CHECK_EQ(merge ? stream_json_merge_sorted(a, b, &w, memory, sizeof memory)
                           : stream_json_diff_sorted(b, a, &w, memory, sizeof memory), want[i]);
        }
}

/* Members that are spelled alike are not entered, so they may be as deep as they like. */
static void what_is_spelled_alike_is_equal_however_deep(void) {
    enum { DEEP = STREAM_JSON_PATCH_DEPTH + 10 };
    char json[6 * DEEP + 20], dst[20], *p = json;
    size_t i, len;
    p += sprintf(p, "{\"a\":1,\"b\":");
    for (i = 0; i < DEEP; i++) p += sprintf(p, "{\"\":");
    *p++ = '0';
    memset(p, '}', DEEP + 1);
    p[DEEP + 1] = '\0';
    CHECK_EQ(patched(false, json, json, dst, sizeof dst, &len), STREAM_OK);
    CHECK_TEXT(dst, len, "{}");
}

static void patches_say_what_is_wrong(void) {
    static const char json[] = "{\"a\":{\"b\":[1,2]},\"c\":\"x\"}";
    static char deep[2][6 * (STREAM_JSON_PATCH_DEPTH + 2)];
    static const char *const broken[] = {"{\"a\" 1}", "{\"a\":1,}", "{\"a\":x}", "{\"a\":1}}", "{a}"};
    char dst[1000];
    stream_json_value none;
    stream_json_writer w;
    size_t i, k, len;
    memset(&none, 0, sizeof none);
    stream_json_writer_init(&w, dst, sizeof dst); /* nothing mends what went wrong before */
    stream_json_write_end(&w);
    CHECK_EQ(stream_json_merge(value("{}"), none, &w), STREAM_E_STATE);
    for (i = 0; i < 2; i++) { /* both ways, cut and broken, on either side */
        for (k = 1; k < sizeof json - 1; k++) {
            stream_json_value whole = value(json), cut = whole;
            cut.ptr = lend(json, k);
            cut.len = k;
            stream_json_writer_init(&w, dst, sizeof dst);
            CHECK_EQ(i ? stream_json_merge(whole, cut, &w) : stream_json_diff(cut, whole, &w),
                     STREAM_E_TRUNCATED);
            CHECK_EQ(stream_json_writer_finish(&w, &len), STREAM_E_TRUNCATED);
            stream_json_writer_init(&w, dst, sizeof dst);
            CHECK_EQ(i ? stream_json_merge(cut, whole, &w) : stream_json_diff(whole, cut, &w),
                     STREAM_E_TRUNCATED);
        }
        for (k = 0; k < sizeof broken / sizeof *broken; k++) {
            CHECK_EQ(patched(i, broken[k], "{\"a\":2}", dst, sizeof dst, &len), STREAM_E_INVALID);
            CHECK_EQ(patched(i, "{\"a\":2}", broken[k], dst, sizeof dst, &len), STREAM_E_INVALID);
        }
        stream_json_writer_init(&w, dst, sizeof dst);
        CHECK_EQ(i ? stream_json_merge(value("{}"), none, &w) : stream_json_diff(value("{}"), none, &w),
                 STREAM_E_ARGUMENT);
        CHECK_EQ(stream_json_writer_finish(&w, &len), STREAM_E_ARGUMENT);
        CHECK_EQ(len, 0);
        for (k = 0; k < 2; k++) { /* as many objects as there may be, and one more */
            size_t levels = STREAM_JSON_PATCH_DEPTH + k, at;
            deep[0][0] = deep[1][0] = '\0';
            for (at = 0; at < levels; at++) {
                strcat(deep[0], "{\"a\":");
                strcat(deep[1], "{\"a\":");
            }
            strcat(deep[0], "1");
            strcat(deep[1], "2");
            for (at = 0; at < levels; at++) {
                strcat(deep[0], "}");
                strcat(deep[1], "}");
            }
            CHECK_EQ(patched(i, deep[0], deep[1], dst, sizeof dst, &len), k ? STREAM_E_TOO_DEEP : STREAM_OK);
            if (!k) CHECK_TEXT(dst, len, deep[1]);
        }
        /* Objects of which nothing is there, as a lost item's value may be. */
        none.type = STREAM_JSON_OBJECT;
        stream_json_writer_init(&w, dst, sizeof dst);
        CHECK_EQ(i ? stream_json_merge(none, value("{}"), &w) : stream_json_diff(none, value("{}"), &w),
                 STREAM_E_TRUNCATED);
        stream_json_writer_init(&w, dst, sizeof dst);
        CHECK_EQ(i ? stream_json_merge(value("{}"), none, &w) : stream_json_diff(value("{}"), none, &w),
                 STREAM_E_TRUNCATED);
        memset(&none, 0, sizeof none);
        /* Where no value may stand. */
        CHECK_EQ(i ? stream_json_merge(value("{}"), value("{}"), &w)
                   : stream_json_diff(value("{}"), value("{}"), &w),
                 STREAM_E_TRUNCATED);
        stream_json_writer_init(&w, dst, sizeof dst);
        stream_json_write_object(&w);
        CHECK_EQ(i ? stream_json_merge(value("{}"), value("{}"), &w)
                   : stream_json_diff(value("{}"), value("{}"), &w),
                 STREAM_E_STATE);
    }
}

/* Strings and arrays that nobody has checked: never the same, never read too far. */
static void patches_compare_what_is_broken_too(void) {
    static char deep[2][2 * (STREAM_JSON_PATCH_DEPTH + 10)];
    char dst[1000];
    size_t len, k, n;
    CHECK_EQ(patched(false, "{\"a\":\"\\q\"}", "{\"a\":\"\\u0041\"}", dst, sizeof dst, &len), STREAM_OK);
    CHECK_TEXT(dst, len, "{\"a\":\"\\u0041\"}");
    CHECK_EQ(patched(false, "{\"\\q\":1}", "{\"\\u0041\":1}", dst, sizeof dst, &len), STREAM_OK);
    CHECK_TEXT(dst, len, "{\"\\u0041\":1,\"\\q\":null}");
    CHECK_EQ(patched(false, "{\"A\":1}", "{\"\\u004\":1}", dst, sizeof dst, &len), STREAM_OK);
    CHECK_TEXT(dst, len, "{\"\\u004\":1,\"A\":null}");
    CHECK_EQ(patched(false, "{\"\xC3\":1}", "{\"\\u00e9\":1}", dst, sizeof dst, &len), STREAM_OK); /* half of it */
    CHECK_TEXT(dst, len, "{\"\\u00e9\":1,\"\xC3\":null}");
    CHECK_EQ(patched(false, "{\"a\":[1,x]}", "{\"a\":[1, 2]}", dst, sizeof dst, &len), STREAM_OK);
    CHECK_TEXT(dst, len, "{\"a\":[1, 2]}");
    CHECK_EQ(patched(false, "{\"a\":[1, 2]}", "{\"a\":[1 2]}", dst, sizeof dst, &len), STREAM_OK);
    CHECK_TEXT(dst, len, "{\"a\":[1 2]}"); /* copied as it is spelled: that it is JSON was the caller's word */
    for (k = 0; k < 2; k++) { /* alike, as far as can be seen */
        n = (size_t)sprintf(deep[k], "{\"a\":");
        memset(deep[k] + n, '[', STREAM_JSON_PATCH_DEPTH + 1);
        n += STREAM_JSON_PATCH_DEPTH + 1;
        deep[k][n++] = (char)('1' + k);
        memset(deep[k] + n, ']', STREAM_JSON_PATCH_DEPTH + 1);
        n += STREAM_JSON_PATCH_DEPTH + 1;
        deep[k][n++] = '}';
        deep[k][n] = '\0';
    }
    CHECK_EQ(patched(false, deep[0], deep[1], dst, sizeof dst, &len), STREAM_OK);
    CHECK_TEXT(dst, len, deep[1]);
}

/* And as every other output: any room, any buffer, any refusal. */
static void write_edited(stream_json_writer *w) {
    static const char json[] = " {\"a\" : [1, 2], \"b\":{\"c\":null} }";
    set_rule(0, '-', "/a/0", "");
    set_rule(1, '+', "/b/d~1", "\"x\"");
    stream_json_write_array(w);
    stream_json_rewrite(json, sizeof json - 1, rules, 2, w, NULL, NULL);
    stream_json_diff(value("{\"a\":1,\"b\":{\"c\":2,\"d\":3}}"), value("{\"b\":{\"d\":4},\"e\":[5]}"), w);
    stream_json_merge(value("{\"a\":1,\"b\":{\"c\":2}}"), value("{\"b\":{\"d\":4},\"a\":null}"), w);
    stream_json_write_end(w);
}

static void edited_output_fits_any_room(void) {
    static const char want[] = "[ {\"a\" : [ 2], \"b\":{\"c\":null,\"d/\":\"x\"} "
                               "},{\"b\":{\"d\":4,\"c\":null},\"e\":[5],\"a\":null},"
                               "{\"b\":{\"c\":2,\"d\":4}}]";
    check_output(write_edited, want, sizeof want - 1);
}

static void nothing_was_allocated(void) { CHECK_EQ(allocations, 0); }

int main(void) {
    TEST_PROGRAM("json_edit");
    RUN(the_view_knows_at_every_byte_how_far_each_field_has_come);
    RUN(the_view_finds_what_pick_finds);
    RUN(safe_parts_unescaped_are_the_whole_unescaped);
    RUN(a_field_is_open_until_its_end_is_seen);
    RUN(the_view_stops_where_the_structure_breaks);
    RUN(the_view_refuses_pointers_that_cannot_be_meant);
    RUN(what_is_peeked_at_is_in_the_item);
    RUN(the_view_is_as_deep_as_the_value);
    RUN(every_capacity_and_every_buffer_gives_the_same_output);
    RUN(misuse_reaches_no_flush_and_no_buffer);
    RUN(text_is_spliced_when_it_is_json);
    RUN(a_stop_is_found_wherever_it_stands);
    RUN(text_is_escaped_and_mended_as_by_hand);
    RUN(what_is_not_utf8_is_mended_by_maximal_subparts);
    RUN(doubles_are_written_short_and_come_back);
    RUN(what_is_no_number_is_not_written);
    RUN(commas_are_right_whatever_is_dropped_or_added);
    RUN(rules_do_what_they_say);
    RUN(rewriting_is_what_the_tree_makes);
    RUN(rewriting_refuses_what_cannot_be_meant);
    RUN(rewriting_stands_where_a_value_may);
    RUN(rewriting_says_where_the_input_ends_or_breaks);
    RUN(rewriting_looks_at_what_it_needs);
    RUN(the_examples_of_the_rfc_come_out);
    RUN(a_difference_is_said_in_few_words);
    RUN(patches_are_what_the_trees_make);
    RUN(objects_of_many_members_are_matched_in_any_order);
    RUN(members_are_sorted_where_there_is_room);
    RUN(members_that_are_gone_are_told_after_sorting);
    RUN(many_members_are_laid_over_nothing);
    RUN(what_cannot_be_sorted_is_told);
    RUN(what_is_spelled_alike_is_equal_however_deep);
    RUN(patches_say_what_is_wrong);
    RUN(patches_compare_what_is_broken_too);
    RUN(edited_output_fits_any_room);
    RUN(nothing_was_allocated);
    RUN(the_open_value_can_be_seen);
    return test_end();
}
