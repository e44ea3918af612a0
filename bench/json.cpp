/* SPDX-License-Identifier: MIT-0
   stream_json.h beside its rivals, in one process, on one thread: framing, strict framing, picking fields,
   checking; every kernel of this machine and every size of fragment. bench/json.sh builds and runs it, and
   says what each side is compiled with.

   What makes it fair:

     - Within a row the contenders take turns at the whole corpus, A B C A B C. Each piece of 2 MiB is timed by
       itself, by the clock on the wall, and the best of all rounds counts for it: on a machine that is shared, quiet
       milliseconds are to be had, quiet seconds are not; and a virtual one may take time from a thread that
       the thread's own clock counts as its. After ROUNDS it goes on, up to four times as long, until three in a row
       have made no contender's time less by a percent.
     - We are fed fragments of 32 KiB; a rival that needs the whole text in memory gets it. Its parser and
       memory live from round to round, its worker threads are off, and where it works in batches the batch
       size that suits it best on that corpus is found out first.
     - The generator knows how many documents there are, where they begin, how long they are and what their
       fields say. Whoever says otherwise, by count or by checksum, ends the run.
     - A rival is asked in more than one way where there is one, and each is judged: the fastest decides.

   Environment: SIZE (32M, bytes a corpus), ROUNDS (7), SEED (1); ROWS and CORPORA (names with a blank
   between: only those); ONLY=row,corpus[,n] runs one line of one row, the n-th from 0, in a loop for LOOP
   (10) seconds: something for a profiler to look at.

   A new line is one contender in the function of its row, a new row one more function, named in main(). */
#ifdef BENCH_OURS
/* The header as a user compiles it: a C file of its own. BENCH_OURS names the check made here; a second
   object with STREAM_JSON_KERNEL set has the same check with that kernel, and nothing else to link with. */
#define STREAM_JSON_IMPLEMENTATION
#include "../stream_json.h"
stream_status BENCH_OURS(const char *json, size_t len, size_t *offset);
stream_status BENCH_OURS(const char *json, size_t len, size_t *offset) {
    return stream_json_check(json, len, offset);
}

/* Every mask that framing (3: inside strings, 5) or checking (11) asks of a block, and nothing made of them. */
#define BENCH_MASKS(K, TARGET)                                                                               \
    TARGET static uint64_t masks_##K(const char *p, size_t len, unsigned masks) {                            \
        const stream__c64_##K quote = stream__all_##K('"'), backslash = stream__all_##K('\\');               \
        const stream__c64_##K lf = stream__all_##K('\n'), open = stream__all_##K('{');                       \
        const stream__c64_##K close = stream__all_##K('}'), space = stream__all_##K(' ');                    \
        const stream__c64_##K control = stream__all_##K(0x1F), colon = stream__all_##K(':');                 \
        const stream__c64_##K comma = stream__all_##K(',');                                                  \
        uint64_t sum = 0;                                                                                    \
        for (; len >= 64; p += 64, len -= 64) {                                                              \
            stream__v64_##K v = stream__load_##K(p);                                                         \
            sum += stream__is_##K(v, quote) ^ stream__is_##K(v, backslash) ^ stream__is_##K(v, lf);          \
            if (masks > 5)                                                                                   \
                sum += stream__is_##K(v, colon) ^ stream__is_##K(v, comma) ^ stream__upto_##K(v, space) ^    \
                       stream__upto_##K(v, control) ^ stream__high_##K(v) ^ stream__bit5_##K(v);             \
            if (masks > 3) {                                                                                 \
                v = stream__or_##K(v, space);                                                                \
                sum += stream__is_##K(v, open) ^ stream__is_##K(v, close);                                   \
            }                                                                                                \
        }                                                                                                    \
        return sum;                                                                                          \
    }

/* The parts that no check of these blocks does without, with nothing that puts them together: 11 masks, what is in
   strings, of which kind the innermost bracket is; with `tokens` numbers and literals as well. */
#define BENCH_PARTS(K, TARGET)                                                                               \
    TARGET static uint64_t parts_##K(const char *p, size_t len, bool tokens) {                               \
        const stream_json__words *const words = &stream_json__words_##K;                                     \
        stream_json__grammar g;                                                                              \
        stream_json__stretch t;                                                                              \
        stream_json__levels levels;                                                                          \
        uint64_t in_string = 0, was_escape = 0, sum = 0;                                                     \
        stream_json__grammar_init(&g, '[');                                                                  \
        memset(&t, 0, sizeof t);                                                                             \
        t.valid = ~UINT64_C(0);                                                                              \
        t.to = 64;                                                                                           \
        for (; len >= 64; p += 64, len -= 64) {                                                              \
            stream__v64_##K v = stream__load_##K(p);                                                         \
            const uint64_t backslash = stream__is_##K(v, stream__all_##K('\\'));                            \
            const uint64_t escaped = stream_json__escaped(backslash, was_escape);                            \
            const uint64_t quote = stream__is_##K(v, stream__all_##K('"')) & ~escaped;                       \
            const uint64_t string = stream__parity_##K(quote) ^ in_string;                                   \
            const uint64_t colon = stream__is_##K(v, stream__all_##K(':'));                                  \
            const uint64_t comma = stream__is_##K(v, stream__all_##K(','));                                  \
            const uint64_t low = stream__upto_##K(v, stream__all_##K(' ')), brace = stream__bit5_##K(v);     \
            uint64_t open, close, scalar, object;                                                            \
            sum += stream__is_##K(v, stream__all_##K('\n')) ^ stream__high_##K(v) ^                          \
                   stream__upto_##K(v, stream__all_##K(0x1F));                                               \
            v = stream__or_##K(v, stream__all_##K(' '));                                                     \
            open = stream__is_##K(v, stream__all_##K('{')) & ~string;                                        \
            close = stream__is_##K(v, stream__all_##K('}')) & ~string;                                       \
            /* False where all may be closed: never, for all stands in the bracket of grammar_init. */       \
            if (!stream_json__objects(&g, words, open, close, brace, 0, &object, &levels)) return 0;         \
            sum += object;                                                                                   \
            g.top = levels.top;                                                                              \
            g.depth = levels.depth;                                                                          \
            scalar = ~(string | quote | colon | comma | low | open | close);                                 \
            if (tokens && (scalar || g.number || g.literal)) {                                               \
                const uint64_t starts = scalar & ~(scalar << 1 | (uint64_t)g.scalar);                        \
                sum += stream_json__check_scalars(&g, words, p, &t, scalar, starts);                         \
            }                                                                                                \
            g.scalar = scalar >> 63 != 0;                                                                    \
            was_escape = (backslash & ~escaped) >> 63;                                                       \
            in_string = 0 - (string >> 63);                                                                  \
        }                                                                                                    \
        return sum;                                                                                          \
    }
BENCH_MASKS(scalar, )
BENCH_PARTS(scalar, )
#if STREAM__SIMD_X86
BENCH_MASKS(sse2, )
BENCH_PARTS(sse2, )
BENCH_MASKS(avx2, STREAM__AVX2)
BENCH_PARTS(avx2, STREAM__AVX2)
BENCH_MASKS(avx512, STREAM__AVX512)
BENCH_PARTS(avx512, STREAM__AVX512)
#elif STREAM__SIMD_NEON
BENCH_MASKS(neon, )
BENCH_PARTS(neon, )
#endif
/* By kernel, in the order of stream_json__framers. */
static const struct {
    uint64_t (*masks)(const char *p, size_t len, unsigned masks);
    uint64_t (*parts)(const char *p, size_t len, bool tokens);
} bounds[] = {
#if STREAM__SIMD_X86
    {masks_avx512, parts_avx512}, {masks_avx2, parts_avx2}, {masks_sse2, parts_sse2},
#elif STREAM__SIMD_NEON
    {masks_neon, parts_neon},
#endif
    {masks_scalar, parts_scalar}};
uint64_t bench_masks(const char *kernel, const char *p, size_t len, unsigned masks);
uint64_t bench_masks(const char *kernel, const char *p, size_t len, unsigned masks) {
    return bounds[stream_json__choose(stream_json__framers, kernel) - stream_json__framers].masks(p, len, masks);
}
uint64_t bench_parts(const char *kernel, const char *p, size_t len, bool tokens);
uint64_t bench_parts(const char *kernel, const char *p, size_t len, bool tokens) {
    return bounds[stream_json__choose(stream_json__framers, kernel) - stream_json__framers].parts(p, len, tokens);
}
#else
#include "../stream_json.h"

#include <algorithm>
#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <time.h>
#include <vector>

#define BENCH_NAME "json"
#include "bench.hpp"
#include "json_corpora.h"
#include "samples.h"

#ifdef HAVE_SIMDJSON
#include <simdjson.h>
#endif
#ifdef HAVE_YAJL
#include <yajl/yajl_parse.h>
#endif

extern "C" stream_status bench_check(const char *json, size_t len, size_t *offset);
extern "C" uint64_t bench_masks(const char *kernel, const char *p, size_t len, unsigned masks);
extern "C" uint64_t bench_parts(const char *kernel, const char *p, size_t len, bool tokens);
#ifdef HAVE_SSE2
extern "C" stream_status bench_check_sse2(const char *json, size_t len, size_t *offset);
#endif

static std::string bytes_text(size_t n) {
    if (n >= 1048576 && n % 1048576 == 0) return text("%zu MiB", n / 1048576);
    if (n >= 1024 && n % 1024 == 0) return text("%zu KiB", n / 1024);
    return text("%zu B", n);
}

/* Whether an environment list is unset or names this. */
static bool wanted(const char *list_name, const std::string &name) {
    const char *list = std::getenv(list_name);
    if (!list || !*list) return true;
    return (" " + std::string(list) + " ").find(" " + name + " ") != std::string::npos;
}

static double seconds_now() {
    timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return double(t.tv_sec) + double(t.tv_nsec) * 1e-9;
}

/* --- facts: what a contender found, compared with what the generator knows -------------------------- */

/* NONE where a contender has no way to tell: yajl without callbacks says only that it took every byte. */
static constexpr uint64_t NONE = UINT64_MAX;

struct facts {
    uint64_t docs = NONE;   /* how many documents */
    uint64_t starts = NONE; /* sum of the offsets they begin at */
    uint64_t lens = NONE;   /* sum of their lengths */
    uint64_t fields = NONE; /* sum of field_sum over the fields asked for */
};

/* Touches the length and both ends of a field: cheap enough for a record of 100 ns, and no two of the
   generator's values agree in all of it often. */
static uint64_t field_sum(const char *p, size_t n) {
    return n == 0 ? 1 : n * 65537 + (unsigned char)p[0] * 257u + (unsigned char)p[n - 1] * 31u;
}
static uint64_t field_sum(std::string_view s) { return field_sum(s.data(), s.size()); }

static void compare(const std::string &who, const facts &got, const facts &want) {
    auto differs = [](uint64_t a, uint64_t b) { return a != NONE && b != NONE && a != b; };
    if (differs(got.docs, want.docs))
        die("%s found %llu documents, there are %llu", who.c_str(), (unsigned long long)got.docs,
            (unsigned long long)want.docs);
    if (differs(got.starts, want.starts)) die("%s: documents begin elsewhere", who.c_str());
    if (differs(got.lens, want.lens)) die("%s: documents have other lengths", who.c_str());
    if (differs(got.fields, want.fields)) die("%s: fields have other values", who.c_str());
}

/* --- us ----------------------------------------------------------------------------------------------- */

static constexpr size_t FRAGMENT = 32768;

struct frame_options {
    size_t fragment = FRAGMENT;
    const char *kernel = nullptr;
    bool strict = false;
};

/* A decoder that lives as long as the run; its buffer has grown by the second round. */
class framer {
public:
    explicit framer(const frame_options &o) : fragment(o.fragment) {
        stream_json_desc desc = {};
        desc.kernel = o.kernel;
#ifdef HAVE_STRICT
        desc.strict = o.strict;
#endif
        made = stream_json_init(&json, &desc) == STREAM_OK;
    }
    framer(const framer &) = delete;
    ~framer() { stream_json_free(&json); }

    bool made;

    /* Hands every document to use(item) and sums what they all have in common. */
    template <class Use> facts run(const char *p, size_t len, Use use) {
        facts f;
        f.docs = f.starts = f.lens = 0;
        stream_json_reset(&json);
        for (const char *e = p + len; p < e;) {
            size_t n = std::min(fragment, size_t(e - p));
            stream_json_feed(&json, p, n);
            drain(f, use, STREAM_MORE);
            p += n;
        }
        stream_json_finish(&json);
        drain(f, use, STREAM_END);
        return f;
    }

private:
    /* Sums in variables of its own: in `f`, which is memory, gcc 12 keeps two of them as one vector, and each record
       waits for the one before to have written it (deltas: 1.5 GB/s in place of 4.5). */
    template <class Use> void drain(facts &f, Use use, stream_status until) {
        uint64_t docs = 0, starts = 0, lens = 0;
        stream_status st;
        stream_item item;
        while ((st = stream_json_next(&json, &item)) == STREAM_OK) {
            docs++;
            starts += item.offset;
            lens += item.len;
            use(item);
        }
        if (st != until)
            die("stream_json: %s at offset %llu", stream_status_text(st), (unsigned long long)item.offset);
        f.docs += docs;
        f.starts += starts;
        f.lens += lens;
    }

    stream_json json = {};
    size_t fragment;
};

using contender_run = std::function<facts(const bench_piece &)>;

static contender_run ours_frame(const frame_options &o = {}) {
    auto f = std::make_shared<framer>(o);
    return [f](const bench_piece &p) { return f->run(p.ptr, p.len, [](const stream_item &) {}); };
}

/* Frames, then checks each document: what strict framing replaces. */
static contender_run ours_frame_check() {
    auto f = std::make_shared<framer>(frame_options{});
    return [f](const bench_piece &p) {
        return f->run(p.ptr, p.len, [](const stream_item &item) {
            size_t offset;
            if (bench_check(item.ptr, item.len, &offset) != STREAM_OK) die("stream_json_check: not valid");
        });
    };
}

/* A string as written, between its quotes. */
static std::string_view inside(const stream_json_value &v) {
    if (v.type != STREAM_JSON_STRING) die("stream_json: a field is missing");
    return {v.ptr + 1, v.len - 2};
}

/* stream_json_pick, and stream_json_picker_pick, which compares each record with the one before. */
struct plain_pick {
    std::vector<const char *> pointers;
    explicit plain_pick(const std::vector<const char *> &wanted) : pointers(wanted) {}
    void operator()(const char *ptr, size_t len, stream_json_value *v) {
        stream_json_pick(ptr, len, pointers.data(), pointers.size(), v);
    }
};
struct picker {
    std::vector<const char *> pointers;
    stream_json_picker state;
    explicit picker(const std::vector<const char *> &wanted) : pointers(wanted) {
        if (stream_json_picker_init(&state, pointers.data(), pointers.size()) != STREAM_OK) die("picker: refused");
    }
    void operator()(const char *ptr, size_t len, stream_json_value *v) {
        stream_json_picker_pick(&state, ptr, len, v);
    }
};

template <class Pick> static contender_run ours_pick(const char *pointer) {
    auto f = std::make_shared<framer>(frame_options{});
    auto pick = std::make_shared<Pick>(std::vector<const char *>{pointer});
    return [f, pick](const bench_piece &p) {
        uint64_t sum = 0;
        facts got = f->run(p.ptr, p.len, [&](const stream_item &item) {
            stream_json_value v;
            (*pick)(item.ptr, item.len, &v);
            sum += field_sum(inside(v));
        });
        got.fields = sum;
        return got;
    };
}

/* The same with the string unescaped into memory of ours, as get_string does. */
static contender_run ours_pick_string(const char *pointer) {
    auto f = std::make_shared<framer>(frame_options{});
    auto pick = std::make_shared<picker>(std::vector<const char *>{pointer});
    return [f, pick](const bench_piece &p) {
        uint64_t sum = 0;
        char room[256];
        facts got = f->run(p.ptr, p.len, [&](const stream_item &item) {
            stream_json_value v;
            size_t n;
            (*pick)(item.ptr, item.len, &v);
            if (stream_json_string(v, STREAM_JSON_PASS, room, sizeof room, &n) != STREAM_OK)
                die("stream_json_string refused");
            sum += field_sum(room, n);
        });
        got.fields = sum;
        return got;
    };
}

/* The same by walking the members until the key is there. */
static contender_run ours_each(std::string_view name) {
    auto f = std::make_shared<framer>(frame_options{});
    return [f, name](const bench_piece &p) {
        uint64_t sum = 0;
        facts got = f->run(p.ptr, p.len, [&](const stream_item &item) {
            stream_json_each each;
            stream_json_value key, value, found = {};
            stream_json_each_init(&each, {item.ptr, item.len, STREAM_JSON_OBJECT});
            while (stream_json_each_next(&each, &key, &value) == STREAM_OK) {
                if (stream_json_equals(key, name.data(), name.size())) {
                    found = value;
                    break;
                }
            }
            sum += field_sum(inside(found));
        });
        got.fields = sum;
        return got;
    };
}

/* Three fields of each record, the records framed already and few enough for the cache. */
template <class Pick> static contender_run ours_pick_three() {
    auto pick = std::make_shared<Pick>(std::vector<const char *>{"/type", "/event/delta/text", "/uuid"});
    return [pick](const bench_piece &p) {
        facts got;
        got.docs = got.fields = 0;
        for (const bench_document *d = p.begin; d < p.end; d++) {
            stream_json_value v[3];
            (*pick)(p.ptr + d->at, d->len, v);
            for (const stream_json_value &x : v) got.fields += field_sum(inside(x));
            got.docs++;
        }
        return got;
    };
}

using check_function = stream_status (*)(const char *json, size_t len, size_t *offset);

static contender_run ours_check(check_function check) {
    return [check](const bench_piece &p) {
        size_t offset = 0;
        stream_status st = check(p.ptr, p.len, &offset);
        if (st != STREAM_OK) die("stream_json_check: %s at %zu", stream_status_text(st), offset);
        return facts{};
    };
}

/* --- bounds: less work than anyone's here, to show what the machine gives ---------------------------- */

static contender_run bound_lines() {
    return [](const bench_piece &p) {
        facts f;
        f.docs = f.starts = f.lens = 0;
        const char *s = p.ptr, *e = s + p.len;
        while (const char *lf = s < e ? (const char *)memchr(s, '\n', size_t(e - s)) : nullptr) {
            f.docs++;
            f.starts += uint64_t(s - p.ptr);
            f.lens += uint64_t(lf - s);
            s = lf + 1;
        }
        return f;
    };
}

static volatile uint64_t bound_sink;

/* From quote to quote of each record and nothing else: what a reader that asks libc for the next one begins with. */
static contender_run bound_quotes() {
    return [](const bench_piece &p) {
        facts got;
        uint64_t sum = 0;
        got.docs = 0;
        for (const bench_document *d = p.begin; d < p.end; d++) {
            const char *s = p.ptr + d->at, *e = s + d->len;
            while (const char *quote = s < e ? (const char *)memchr(s, '"', size_t(e - s)) : nullptr) {
                sum += uint64_t(quote - p.ptr);
                s = quote + 1;
            }
            got.docs++;
        }
        bound_sink = sum;
        return got;
    };
}

static contender_run bound_read() {
    return [](const bench_piece &p) {
        uint64_t sum = 0, w[4];
        for (size_t i = 0; i + sizeof w <= p.len; i += sizeof w) {
            memcpy(w, p.ptr + i, sizeof w);
            sum += w[0] ^ w[1] ^ w[2] ^ w[3];
        }
        bound_sink = sum;
        return facts{};
    };
}

/* --- rivals ------------------------------------------------------------------------------------------- */

#ifdef HAVE_SIMDJSON
namespace od = simdjson::ondemand;
#define QUOTED(x)  QUOTED_(x)
#define QUOTED_(x) #x

[[noreturn]] static void simdjson_die(simdjson::error_code error) {
    die("simdjson: %s", simdjson::error_message(error));
}

/* One thread: else simdjson finds the structure of the next batch in a second one, whose time is not ours
   to see. */
template <class Parser> static std::shared_ptr<Parser> one_thread() {
    auto parser = std::make_shared<Parser>();
#ifdef SIMDJSON_THREADS_ENABLED
    parser->threaded = false;
#endif
    return parser;
}

/* When a document ends where a batch does, simdjson 3.0.1 has the next one begin at the line feed between. */
template <class Iterator> static size_t begin_of(const Iterator &i, const bench_piece &p) {
    size_t at = i.current_index();
    return at + (p.ptr[at] == '\n');
}

/* Each document's bytes by source(), which walks its structure once more than needed to go on. */
static contender_run simdjson_source(size_t batch) {
    auto parser = one_thread<od::parser>();
    return [parser, batch](const bench_piece &p) {
        facts f;
        od::document_stream stream;
        f.docs = f.starts = f.lens = 0;
        auto error = parser->iterate_many(p.ptr, p.len, batch).get(stream);
        if (error) simdjson_die(error);
        for (auto i = stream.begin(); i != stream.end(); ++i) {
            if (i.error()) simdjson_die(i.error());
            std::string_view s = i.source();
            if (s[0] == '\n') s.remove_prefix(1); /* see begin_of */
            f.docs++;
            f.starts += uint64_t(s.data() - p.ptr);
            f.lens += s.size();
        }
        return f;
    };
}

/* Only where each document begins: a framer that trusts the next beginning to be one line feed away. */
static contender_run simdjson_index(size_t batch) {
    auto parser = one_thread<od::parser>();
    return [parser, batch](const bench_piece &p) {
        facts f;
        od::document_stream stream;
        f.docs = f.starts = 0;
        auto error = parser->iterate_many(p.ptr, p.len, batch).get(stream);
        if (error) simdjson_die(error);
        for (auto i = stream.begin(); i != stream.end(); ++i) {
            if (i.error()) simdjson_die(i.error());
            f.docs++;
            f.starts += begin_of(i, p);
        }
        f.lens = p.len - f.docs;
        return f;
    };
}

static contender_run simdjson_dom(size_t batch) {
    auto parser = one_thread<simdjson::dom::parser>();
    return [parser, batch](const bench_piece &p) {
        facts f;
        simdjson::dom::document_stream stream;
        f.docs = f.starts = 0;
        auto error = parser->parse_many(p.ptr, p.len, batch).get(stream);
        if (error) simdjson_die(error);
        for (auto i = stream.begin(); i != stream.end(); ++i) {
            simdjson::dom::element value;
            if ((error = (*i).get(value))) simdjson_die(error);
            f.docs += value.is_object();
            f.starts += begin_of(i, p);
        }
        return f;
    };
}

/* The reading that the documentation shows: any order of keys, the string unescaped. */
static contender_run simdjson_get_string(size_t batch, std::string_view name) {
    auto parser = one_thread<od::parser>();
    return [parser, batch, name](const bench_piece &p) {
        facts f;
        od::document_stream stream;
        f.docs = f.starts = f.fields = 0;
        auto error = parser->iterate_many(p.ptr, p.len, batch).get(stream);
        if (error) simdjson_die(error);
        for (auto i = stream.begin(); i != stream.end(); ++i) {
            std::string_view s;
            auto doc = *i;
            if ((error = doc[name].get_string().get(s))) simdjson_die(error);
            f.docs++;
            f.starts += begin_of(i, p);
            f.fields += field_sum(s);
        }
        return f;
    };
}

/* A string as written, without its quotes. raw_json_token reaches to the next token: it may end in blanks. */
static std::string_view raw_string(od::value v) {
    std::string_view s = v.raw_json_token();
    size_t n = s.size();
    while (n && s[n - 1] != '"') n--;
    return s.substr(1, n - 2);
}

/* The fastest there is: the key must come next in order, and the string stays as written. */
static contender_run simdjson_raw(size_t batch, std::string_view name) {
    auto parser = one_thread<od::parser>();
    return [parser, batch, name](const bench_piece &p) {
        facts f;
        od::document_stream stream;
        f.docs = f.starts = f.fields = 0;
        auto error = parser->iterate_many(p.ptr, p.len, batch).get(stream);
        if (error) simdjson_die(error);
        for (auto i = stream.begin(); i != stream.end(); ++i) {
            od::value v;
            auto doc = *i;
            if ((error = doc.find_field(name).get(v))) simdjson_die(error);
            f.docs++;
            f.starts += begin_of(i, p);
            f.fields += field_sum(raw_string(v));
        }
        return f;
    };
}

/* Three fields of each record in the order they stand; a path's steps are separated in place. */
static contender_run simdjson_pick_three(const std::vector<std::vector<std::string_view>> &paths) {
    auto parser = one_thread<od::parser>();
    return [parser, paths](const bench_piece &p) {
        facts f;
        f.docs = f.fields = 0;
        for (const bench_document *d = p.begin; d < p.end; d++) {
            od::document doc;
            od::object object;
            /* Behind every record lies the next one, or the room behind the corpus. */
            auto error = parser->iterate(p.ptr + d->at, d->len, d->len + simdjson::SIMDJSON_PADDING).get(doc);
            if (error || (error = doc.get_object().get(object))) simdjson_die(error);
            for (const auto &path : paths) {
                od::value v;
                error = object.find_field(path[0]).get(v);
                for (size_t k = 1; !error && k < path.size(); k++) error = v.find_field(path[k]).get(v);
                if (error) simdjson_die(error);
                f.fields += field_sum(raw_string(v));
            }
            f.docs++;
        }
        return f;
    };
}

static contender_run simdjson_dom_one() {
    auto parser = one_thread<simdjson::dom::parser>();
    return [parser](const bench_piece &p) {
        facts f;
        simdjson::dom::array a;
        auto error = parser->parse(p.ptr, p.len, false).get(a);
        if (error) simdjson_die(error);
        f.docs = a.size();
        return f;
    };
}
#endif

#ifdef HAVE_YAJL
/* Without callbacks yajl says only yes or no; strings are checked to be UTF-8, numbers are not converted. */
static contender_run yajl_check(const yajl_callbacks *callbacks = nullptr, void *ctx = nullptr) {
    return [callbacks, ctx](const bench_piece &p) {
        yajl_handle h = yajl_alloc(callbacks, nullptr, ctx);
        const unsigned char *s = (const unsigned char *)p.ptr, *e = s + p.len;
        yajl_status st = yajl_status_ok;
        yajl_config(h, yajl_allow_multiple_values, 1);
        while (s < e && st == yajl_status_ok) {
            size_t n = std::min(FRAGMENT, size_t(e - s));
            st = yajl_parse(h, s, n);
            if (st == yajl_status_ok && yajl_get_bytes_consumed(h) != n) die("yajl left bytes over");
            s += n;
        }
        if (st == yajl_status_ok) st = yajl_complete_parse(h);
        if (st != yajl_status_ok) die("yajl: %s", yajl_status_to_string(st));
        yajl_free(h);
        return facts{};
    };
}

/* Once a corpus, untimed: with callbacks yajl sees as many documents as there are. */
static void yajl_counts(const bench_corpus &c) {
    struct count {
        uint64_t depth, docs;
        static int open(void *self) { return ((count *)self)->depth++, 1; }
        static int close(void *self) {
            count *n = (count *)self;
            if (--n->depth == 0) n->docs++;
            return 1;
        }
    } n = {0, 0};
    yajl_callbacks callbacks = {};
    facts got, want;
    callbacks.yajl_start_map = callbacks.yajl_start_array = count::open;
    callbacks.yajl_end_map = callbacks.yajl_end_array = count::close;
    for (const bench_piece &p : c.pieces) yajl_check(&callbacks, &n)(p);
    got.docs = n.docs;
    want.docs = c.documents.size();
    compare("yajl with callbacks", got, want);
}
#endif

/* --- rows --------------------------------------------------------------------------------------------- */

/* What is asked of a line of a row. */
enum demand_kind {
    NOTHING,   /* only shown */
    AT_LEAST,  /* GB/s */
    AT_MOST,   /* nanoseconds per document */
    FASTER_BY  /* a rival: the row's first line must be this many times as fast; 0: only shown */
};

struct contender {
    std::string name;
    contender_run run;
    demand_kind kind = NOTHING;
    double demand = 0;
    size_t units = 0;               /* what its nanoseconds are divided by; 0: the documents */
    std::vector<double> best = {};  /* seconds, of each piece */
    double seconds = 0;             /* their sum */
    std::vector<double> turns = {}; /* seconds, of all pieces, in each round */
};

/* A row of one corpus: the first contender is ours and the one that rivals are measured against. */
class cell {
public:
    std::string row, corpus;
    const std::vector<bench_piece> *pieces;
    std::vector<facts> want; /* of each piece */
    std::vector<contender> all;
    size_t turns = 1; /* a short row takes this many times as many rounds */

    cell(const char *row_name, const bench_corpus &c,
         std::initializer_list<std::string bench_document::*> fields = {})
        : row(row_name), corpus(c.name), pieces(&c.pieces) {
        for (const bench_piece &p : c.pieces) {
            facts f;
            f.docs = f.starts = f.lens = 0;
            if (fields.size()) f.fields = 0;
            for (const bench_document *d = p.begin; d < p.end; d++) {
                f.docs++;
                f.starts += d->at - p.offset;
                f.lens += d->len;
                for (auto field : fields) f.fields += field_sum(d->*field);
            }
            want.push_back(f);
        }
    }
    void add(contender c) { all.push_back(c); }
    template <class Make> void add_batched(double times, std::string name, const bench_corpus &c, Make make);
    void measure();

private:
    void pass(contender &k, bool timed) const;
    [[noreturn]] void profile();
    void print();
};

static size_t rounds;
static unsigned asked, met;

/* The n of ONLY=row,corpus,n. */
static size_t profiled() {
    std::string only = std::getenv("ONLY");
    size_t first = only.find(','), second = only.find(',', first + 1);
    return second == std::string::npos ? 0 : size_t(std::strtoul(only.c_str() + second + 1, nullptr, 10));
}

/* Once over the corpus. What is not timed fills caches and buffers, and settles memory. */
void cell::pass(contender &k, bool timed) const {
    double turn = 0;
    for (const bench_piece &p : *pieces) {
        double from = seconds_now();
        facts got = k.run(p);
        double time = seconds_now() - from;
        compare(k.name, got, want[p.number]);
        if (!timed) continue;
        turn += time;
        if (k.best.size() <= p.number) k.best.push_back(time);
        k.best[p.number] = std::min(k.best[p.number], time);
    }
    if (timed) k.turns.push_back(turn);
    k.seconds = 0;
    for (double time : k.best) k.seconds += time;
}

void cell::measure() {
    if (std::getenv("ONLY")) profile();
    for (contender &k : all) pass(k, false);
    size_t calm = 0;
    for (size_t round = 0; round < rounds * turns || (calm < 3 && round < 4 * rounds * turns); round++) {
        calm++;
        for (contender &k : all) {
            const double before = k.seconds;
            pass(k, true);
            if (k.seconds < 0.99 * before) calm = 0;
        }
    }
    print();
}

void cell::profile() {
    if (profiled() >= all.size()) die("row %s has %zu contenders", row.c_str(), all.size());
    contender &k = all[profiled()];
    size_t bytes = 0;
    for (const bench_piece &p : *pieces) bytes += p.len;
    pass(k, false);
    for (double from = seconds_now(), last = from; last - from < double(env_size("LOOP", 10));) {
        pass(k, true);
        double now = seconds_now();
        std::printf("%s: %.3f GB/s, best %.3f\n", k.name.c_str(), double(bytes) / (now - last) * 1e-9,
                    double(bytes) / k.seconds * 1e-9);
        last = now;
    }
    std::exit(0);
}

void cell::print() {
    size_t bytes = 0, docs = 0;
    for (const bench_piece &p : *pieces) bytes += p.len, docs += size_t(p.end - p.begin);
    for (const contender &k : all) {
        double times = k.seconds / all[0].seconds, gb = double(bytes) / k.seconds * 1e-9;
        double ns = k.seconds * 1e9 / double(k.units ? k.units : docs);
        std::string ratio, demand;
        bool holds = false;
        if (k.kind == AT_LEAST) holds = gb >= k.demand, demand = text(">= %g GB/s", k.demand);
        if (k.kind == AT_MOST) holds = ns <= k.demand, demand = text("<= %g ns", k.demand);
        if (k.kind == FASTER_BY && k.demand > 0)
            holds = times >= k.demand, demand = text(">= %g x", k.demand);
        if (&k != &all[0]) ratio = text("%.2f x", times);
        if (!demand.empty()) asked++, met += holds;
        for (double turn : k.turns)
            bench_sample("json", (row + ", " + corpus).c_str(), k.name.c_str(),
                         &k == &all[0] ? "ours" : k.name.rfind("(bound)", 0) == 0 ? "bound" : "rival", "ns",
                         k.kind == FASTER_BY || k.kind == AT_MOST ? demand.c_str() : "",
                         turn * 1e9 / double(k.units ? k.units : docs));
        std::printf("| %-9s | %-9s | %-58s | %7.3f | %9.1f | %8s | %-9s | %-3s |\n", row.c_str(),
                    corpus.c_str(), k.name.c_str(), gb, ns, ratio.c_str(), demand.c_str(),
                    demand.empty() ? "" : holds ? "yes" : "NO");
    }
    std::fflush(stdout);
}

/* What is not wanted is not prepared either. */
static bool row_wanted(const char *row, const char *corpus) {
    const char *only = std::getenv("ONLY");
    std::string key = std::string(row) + "," + corpus;
    if (only) return only == key || std::string(only).rfind(key + ",", 0) == 0;
    return wanted("ROWS", row);
}

static contender shown(std::string name, contender_run run) { return {name, run}; }
[[maybe_unused]] static contender at_least(double gb, std::string name, contender_run run) {
    return {name, run, AT_LEAST, gb};
}
static contender at_most(double ns, std::string name, contender_run run) { return {name, run, AT_MOST, ns}; }
[[maybe_unused]] static contender rival(double times, std::string name, contender_run run) {
    return {name, run, FASTER_BY, times};
}

#ifdef HAVE_SIMDJSON
/* simdjson finds the structure of a batch, then walks it: small batches stay in the cache, large ones cost
   less at their seams. It gets the size that is fastest here. */
template <class Make>
void cell::add_batched(double times, std::string name, const bench_corpus &c, Make make) {
    size_t best = 0;
    double least = 0;
    if (std::getenv("ONLY") && profiled() != all.size()) return add(shown(name, nullptr));
    for (size_t batch = 32768; batch <= (4u << 20); batch *= 2) {
        if (batch <= c.longest) continue;
        contender k = shown(name + ", batch " + bytes_text(batch), make(batch));
        pass(k, false);
        for (int i = 0; i < 3; i++) pass(k, true);
        if (best && k.seconds >= least) continue;
        best = batch;
        least = k.seconds;
    }
    if (!best) die("a document of %zu bytes fits no batch", c.longest);
    add(rival(times, name + ", batch " + bytes_text(best), make(best)));
}
#endif

/* The masks without which nobody here frames or checks; in the text corpus most blocks are inside a string, and
   ask for three. */
static contender bound_masks(const char *kernel, const bench_corpus &c, unsigned masks) {
    if (c.name == "text") masks = 3;
    return shown(text("(bound) %u masks of each block%s%s", masks, kernel ? ", " : "", kernel ? kernel : ""),
                 [kernel, masks](const bench_piece &p) {
                     bound_sink = bench_masks(kernel, p.ptr, p.len, masks);
                     return facts{};
                 });
}

static contender bound_parts(const char *kernel, bool tokens) {
    return shown(text("(bound) 11 masks, strings, kinds of brackets%s, no grammar", tokens ? ", tokens" : ""),
                 [kernel, tokens](const bench_piece &p) {
                     bound_sink = bench_parts(kernel, p.ptr, p.len, tokens);
                     return facts{};
                 });
}

static void row_frame(const bench_corpus &c) {
    cell row("frame", c);
    row.add(shown("stream_json", ours_frame()));
#ifdef HAVE_SIMDJSON
    row.add_batched(2.0, "simdjson iterate_many, source()", c, simdjson_source);
    row.add_batched(2.0, "simdjson iterate_many, current_index()", c, simdjson_index);
#endif
    frame_options at_once;
    at_once.fragment = 4u << 20;
    row.add(shown("(bound) stream_json, a piece at once: nothing is copied", ours_frame(at_once)));
    row.add(bound_masks(nullptr, c, 5));
    row.add(shown("(bound) memchr to each line feed", bound_lines()));
    row.add(shown("(bound) load every byte", bound_read()));
    row.measure();
}

static void row_strict(const bench_corpus &c) {
    cell row("strict", c);
#ifdef HAVE_STRICT
    frame_options strict;
    strict.strict = true;
    row.add(shown("stream_json, strict", ours_frame(strict)));
#endif
    row.add(shown("stream_json, then stream_json_check", ours_frame_check()));
    row.add(shown("(bound) stream_json, framing alone", ours_frame()));
    row.add(bound_masks(nullptr, c, 11));
    row.add(bound_parts(nullptr, false));
    row.add(bound_parts(nullptr, true));
#ifdef HAVE_SIMDJSON
    row.add_batched(2.5, "simdjson DOM parse_many", c, simdjson_dom);
#endif
#ifdef HAVE_YAJL
    row.add(rival(8.0, "yajl, no callbacks", yajl_check()));
#endif
    row.measure();
}

/* Records none of which is like the one before: what comparing them in vain costs. */
static void row_turns(uint64_t seed) {
    bench_corpus c("turns", 4 << 20, seed);
    cell row("strict", c);
    frame_options strict;
    strict.strict = true;
    row.add(shown("stream_json, strict", ours_frame(strict)));
#ifdef HAVE_SIMDJSON
    row.add_batched(0, "simdjson DOM parse_many", c, simdjson_dom);
#endif
#ifdef HAVE_YAJL
    yajl_counts(c);
    row.add(rival(0, "yajl, no callbacks", yajl_check()));
#endif
    row.measure();
}

/* Everywhere /type comes first and /uuid last. */
static void row_pick(const bench_corpus &c) {
    cell row("pick", c, {&bench_document::type});
    row.add(shown("stream_json, picker of /type", ours_pick<picker>("/type")));
#ifdef HAVE_SIMDJSON
    row.add_batched(1.5, "simdjson iterate_many, [\"type\"], get_string", c,
                    [](size_t batch) { return simdjson_get_string(batch, "type"); });
    row.add_batched(1.5, "simdjson iterate_many, find_field, raw", c,
                    [](size_t batch) { return simdjson_raw(batch, "type"); });
#endif
    row.add(shown("stream_json, picker, stream_json_string", ours_pick_string("/type")));
    row.add(shown("stream_json, stream_json_pick", ours_pick<plain_pick>("/type")));
    row.add(shown("stream_json, stream_json_each to \"type\"", ours_each("type")));
    row.measure();
}

static void row_pick_last(const bench_corpus &c) {
    cell row("pick-last", c, {&bench_document::uuid});
    row.add(shown("stream_json, picker of /uuid", ours_pick<picker>("/uuid")));
#ifdef HAVE_SIMDJSON
    row.add_batched(0, "simdjson iterate_many, find_field, raw", c,
                    [](size_t batch) { return simdjson_raw(batch, "uuid"); });
#endif
    row.add(shown("stream_json, stream_json_pick", ours_pick<plain_pick>("/uuid")));
    row.add(shown("stream_json, stream_json_each to \"uuid\"", ours_each("uuid")));
    row.measure();
}

/* A thousand records, framed already: what is left is the cost of reading. The last field is the record's
   last, so all of it is passed over. They are of one shape, the text and the uuid differ: what a picker is for.
   stream_json_pick, which knows of no other record, stands beside it. */
static void row_pick_three(uint64_t seed) {
    bench_corpus c("deltas", 260 * 1000, seed);
    cell row("pick-3", c, {&bench_document::type, &bench_document::inner, &bench_document::uuid});
    row.turns = 50;
    row.add(at_most(100, "stream_json, picker of /type /event/delta/text /uuid", ours_pick_three<picker>()));
    row.add(shown("stream_json, stream_json_pick", ours_pick_three<plain_pick>()));
#ifdef HAVE_SIMDJSON
    row.add(rival(0, "simdjson iterate, find_field, raw",
                  simdjson_pick_three({{"type"}, {"event", "delta", "text"}, {"uuid"}})));
#endif
    row.add(shown("(bound) memchr to each quote", bound_quotes()));
    row.measure();
}

/* Texts of 2 MiB, each an array of a piece's documents. */
static void row_check(const bench_corpus &c) {
    cell row("check", c);
    std::vector<std::string> arrays;
    std::vector<bench_piece> texts = c.pieces;
    for (bench_piece &p : texts) arrays.push_back(bench_corpus::as_array(p));
    for (bench_piece &p : texts) p.ptr = arrays[p.number].data(), p.len = arrays[p.number].size();
    row.pieces = &texts;
#ifdef HAVE_SSE2
    row.add(at_least(1.0, "stream_json_check, sse2", ours_check(bench_check_sse2)));
    row.add(bound_masks("sse2", c, 11));
    row.add(bound_parts("sse2", false));
    row.add(bound_parts("sse2", true));
#endif
    row.add(shown("stream_json_check, best kernel", ours_check(bench_check)));
#ifdef HAVE_SIMDJSON
    row.add(rival(0, "simdjson DOM parse", simdjson_dom_one()));
#endif
#ifdef HAVE_YAJL
    row.add(rival(0, "yajl, no callbacks", yajl_check()));
#endif
    row.measure();
}

static void row_scalar(const bench_corpus &c) {
    cell row("scalar", c);
    frame_options scalar;
    scalar.kernel = "scalar";
    row.add(shown("stream_json, scalar", ours_frame(scalar)));
    row.add(bound_masks("scalar", c, 5));
#ifdef HAVE_YAJL
    row.add(rival(4.0, "yajl, no callbacks", yajl_check()));
#endif
    row.measure();
}

static void row_kernels(const bench_corpus &c) {
    cell row("kernels", c);
    row.add(shown("stream_json, none named", ours_frame()));
    for (const char *name : {"avx512", "avx2", "sse2", "neon", "scalar"}) {
        frame_options o;
        o.kernel = name;
        if (framer(o).made) row.add(shown(std::string("stream_json, ") + name, ours_frame(o)));
    }
    row.measure();
}

static void row_fragments(const bench_corpus &c) {
    cell row("fragments", c);
    for (size_t fragment : {32768, 4096, 64, 1}) {
        frame_options o;
        o.fragment = fragment;
        row.add(shown("stream_json, fragments of " + bytes_text(fragment), ours_frame(o)));
        for (const bench_piece &p : c.pieces) row.all.back().units += (p.len + fragment - 1) / fragment;
    }
    row.measure();
}

int main() {
    size_t size = env_size("SIZE", 32 << 20);
    uint64_t seed = env_size("SEED", 1);
    std::string legend;
    rounds = env_size("ROUNDS", 7);
    std::printf("%s, one thread, best of %zu rounds and more, seed %llu. A ratio says how many times as long as the\n"
                "row's first line a line takes; ns are per document, in row fragments per fragment.\n",
                bytes_text(size).c_str(), rounds, (unsigned long long)seed);
#ifdef HAVE_SIMDJSON
    std::printf("simdjson %d.%d.%d: stage 1 and DOM run its %s kernel, on-demand is compiled for %s.\n",
                simdjson::SIMDJSON_VERSION_MAJOR, simdjson::SIMDJSON_VERSION_MINOR,
                simdjson::SIMDJSON_VERSION_REVISION,
                std::string(simdjson::get_active_implementation()->name()).c_str(),
                QUOTED(SIMDJSON_BUILTIN_IMPLEMENTATION));
#endif
    std::printf("\n| row       | corpus    | %-58s |    GB/s |        ns |    ratio | asked     | met |\n"
                "|---|---|---|--:|--:|--:|---|---|\n", "who");
    for (const char *name : {"text", "deltas", "numbers", "structure"}) {
        static const struct {
            const char *name;
            void (*run)(const bench_corpus &c);
        } rows[] = {{"frame", row_frame},         {"strict", row_strict}, {"pick", row_pick},
                    {"pick-last", row_pick_last}, {"check", row_check},   {"scalar", row_scalar},
                    {"kernels", row_kernels},     {"fragments", row_fragments}};
        if (!wanted("CORPORA", name)) continue;
        bench_corpus c(name, size, seed);
        legend += text("%s: %s; %zu documents of %zu bytes each, the longest of %zu.\n", name, c.what.c_str(),
                       c.documents.size(), c.bytes.size() / c.documents.size(), c.longest);
#ifdef HAVE_YAJL
        yajl_counts(c);
#endif
        for (const auto &row : rows)
            if (row_wanted(row.name, name)) row.run(c);
    }
    if (row_wanted("strict", "turns")) row_turns(seed);
    if (row_wanted("pick-3", "deltas")) row_pick_three(seed);
    if (std::getenv("ONLY")) die("there is no such row and corpus");
    std::printf("\n%s%u of %u figures asked for are reached.\n", legend.c_str(), met, asked);
    return 0;
}
#endif
