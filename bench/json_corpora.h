/* SPDX-License-Identifier: MIT-0
   The corpora of bench/json.cpp: made from a seed, the same bytes on every machine. Each is NDJSON, and knows
   of itself what the contenders must find in it. */
#ifndef BENCH_JSON_CORPORA_H
#define BENCH_JSON_CORPORA_H

#include <cstdint>
#include <cstdio>
#include <string>
#include <vector>

/* xorshift64* (Vigna 2016). */
struct bench_random {
    uint64_t state;
    explicit bench_random(uint64_t seed) : state(seed * UINT64_C(0x9E3779B97F4A7C15) | 1) {}
    uint64_t next() {
        state ^= state >> 12;
        state ^= state << 25;
        state ^= state >> 27;
        return state * UINT64_C(2685821657736338717);
    }
    size_t below(size_t n) { return size_t(next() >> 16) % n; }
    size_t between(size_t low, size_t high) { return low + below(high - low + 1); }
    bool chance(unsigned percent) { return below(100) < percent; }
};

struct bench_document {
    size_t at, len;
    std::string type, uuid, inner; /* what /type, /uuid and (in deltas) /event/delta/text say, as written */
};

/* Some documents in a row, timed by themselves: 2 MiB, or a little more where a document ends later. */
struct bench_piece {
    const char *ptr;
    size_t len;
    const bench_document *begin, *end;
    size_t offset, number;
};

class bench_corpus {
public:
    std::string name, what;
    std::string bytes; /* the documents, a line feed after each; room for the padding rivals ask for */
    std::vector<bench_document> documents;
    std::vector<bench_piece> pieces;
    size_t longest = 0;

    bench_corpus(const std::string &which, size_t size, uint64_t seed);
    bench_corpus(const bench_corpus &) = delete; /* pieces point into it */
    /* The documents of a piece as one array: a text of its own. */
    static std::string as_array(const bench_piece &piece) {
        std::string s;
        s.reserve(1 + piece.len + 64);
        s = "[";
        s.append(piece.ptr, piece.len);
        for (const bench_document *d = piece.begin; d < piece.end; d++)
            s[1 + d->at - piece.offset + d->len] = ',';
        s.back() = ']';
        return s;
    }

private:
    bench_random random;
    std::string doc, type, uuid, inner; /* the document being made */

    void word(std::string &to);
    void prose(std::string &to, size_t len);
    void code(std::string &to, size_t len);
    void listing(std::string &to, size_t len);
    void terminal(std::string &to, size_t len);
    std::string id();
    void escape(const std::string &raw);
    void session_end();
    void assistant_text();
    void tool_use();
    void tool_result(size_t len, bool colours);
    void text_record();
    void delta_record();
    void number_record();
    void nested(unsigned depth);
    void structure_record();
};

/* A word, 6 in 100 of them not ASCII: characters of two, three and four bytes. */
inline void bench_corpus::word(std::string &to) {
    static const char *const plain[] = {
        "the", "of", "and", "to", "in", "is", "that", "it", "for", "with", "as", "this", "file", "function",
        "buffer", "returns", "stream", "value", "which", "when", "pointer", "error", "reader", "because",
        "should", "before", "after", "each", "length", "bytes", "record", "test", "I", "see", "now", "change",
        "fails", "passes", "let", "me", "check", "line", "parser", "handles", "case", "implementation"};
    static const char *const other[] = {"na\xC3\xAFve", ("\xC3\xBC" "ber"), "\xE2\x80\x94", "\xE2\x86\x92",
                                        "\xE2\x9C\x93", "\xE6\x97\xA5\xE6\x9C\xAC", "caf\xC3\xA9",
                                        "\xF0\x9F\x9A\x80", "\xE2\x80\xA6"};
    if (random.chance(6)) to += other[random.below(sizeof other / sizeof *other)];
    else to += plain[random.below(sizeof plain / sizeof *plain)];
}

/* What a model says: paragraphs, a list now and then, names in quotes and back quotes. */
inline void bench_corpus::prose(std::string &to, size_t len) {
    size_t end = to.size() + len;
    while (to.size() < end) {
        if (random.chance(25)) to += random.chance(50) ? "- " : "## ";
        for (size_t n = random.between(6, 60); n && to.size() < end; n--) {
            if (random.chance(3)) {
                to += random.chance(50) ? '"' : '`';
                word(to);
                to += to[to.size() - 1] == 'e' ? "\"" : "`";
            } else {
                word(to);
            }
            to += random.chance(8) ? ", " : " ";
        }
        to += random.chance(40) ? ".\n\n" : ".\n";
    }
}

/* Source text: short indented lines with strings and braces in them. */
inline void bench_corpus::code(std::string &to, size_t len) {
    size_t end = to.size() + len;
    unsigned indent = 0;
    while (to.size() < end) {
        to.append(indent * 4, ' ');
        switch (random.below(7)) {
        case 0:
            to += "if (";
            word(to);
            to += " != NULL && ";
            word(to);
            to += "->len > 0) {";
            indent += indent < 5;
            break;
        case 1:
            if (indent) {
                to.resize(to.size() - 4);
                indent--;
            }
            to += "}";
            break;
        case 2:
            to += "printf(\"%s: ";
            word(to);
            to += "\\n\", ";
            word(to);
            to += ");";
            break;
        case 3:
            to += "/* ";
            for (size_t n = random.between(3, 10); n; n--) word(to), to += ' ';
            to += "*/";
            break;
        case 4: to += "return ctx->state[i] & 0x7f;"; break;
        case 5:
            to += "const char *";
            word(to);
            to += " = \"";
            word(to);
            to += "\";";
            break;
        default:
            word(to);
            to += " = ";
            word(to);
            to += "(self, ";
            to += std::to_string(random.below(5000));
            to += ");";
        }
        to += '\n';
    }
}

/* A file as a tool shows it: a number, a tab, the line. */
inline void bench_corpus::listing(std::string &to, size_t len) {
    size_t end = to.size() + len;
    std::string line;
    for (unsigned n = 1; to.size() < end; n++) {
        char number[16];
        std::snprintf(number, sizeof number, "%6u\t", n);
        to += number;
        line.clear();
        code(line, 1);
        to += line;
    }
}

/* Terminal output: colours, so control characters that only a \u escape can write. */
inline void bench_corpus::terminal(std::string &to, size_t len) {
    size_t end = to.size() + len;
    while (to.size() < end) {
        to += random.chance(70) ? "\x1b[32mok\x1b[0m   " : "\x1b[31mFAIL\x1b[0m ";
        word(to);
        to += '.';
        word(to);
        to += " (" + std::to_string(random.below(100000)) + " checks)\n";
    }
}

inline std::string bench_corpus::id() {
    char s[48];
    unsigned long long a = random.next(), b = random.next();
    std::snprintf(s, sizeof s, "%08llx-%04llx-4%03llx-a%03llx-%012llx", a >> 32, a >> 16 & 0xffff, a & 0xfff,
                  b >> 48 & 0xfff, b & 0xffffffffffffULL);
    return s;
}

inline void bench_corpus::escape(const std::string &raw) {
    for (char c : raw) {
        switch (c) {
        case '"': doc += "\\\""; break;
        case '\\': doc += "\\\\"; break;
        case '\n': doc += "\\n"; break;
        case '\t': doc += "\\t"; break;
        case '\x1b': doc += "\\u001b"; break;
        default: doc += c;
        }
    }
}

inline void bench_corpus::session_end() {
    uuid = id();
    doc += ",\"session_id\":\"edadfc9a-b718-4145-ae79-3c0552fbf8fe\",\"parent_tool_use_id\":null,";
    doc += "\"uuid\":\"" + uuid + "\"}";
}

inline void bench_corpus::assistant_text() {
    std::string raw;
    type = "assistant";
    prose(raw, random.between(120, 2500));
    if (random.chance(40)) {
        raw += "```c\n";
        code(raw, random.between(200, 1500));
        raw += "```\n";
    }
    doc += "{\"type\":\"assistant\",\"message\":{\"id\":\"msg_01" + std::to_string(random.next()) +
           "\",\"type\":\"message\",\"role\":\"assistant\",\"model\":\"large-4\",\"content\":[{\"type\":"
           "\"text\",\"text\":\"";
    escape(raw);
    doc += "\"}],\"stop_reason\":null,\"stop_sequence\":null,\"usage\":{\"input_tokens\":" +
           std::to_string(random.below(9000)) + ",\"cache_read_input_tokens\":" +
           std::to_string(random.below(90000)) + ",\"output_tokens\":" + std::to_string(random.below(2000)) +
           ",\"service_tier\":\"standard\"}}";
    session_end();
}

inline void bench_corpus::tool_use() {
    std::string before, after;
    type = "assistant";
    code(before, random.between(80, 700));
    code(after, random.between(80, 900));
    doc += "{\"type\":\"assistant\",\"message\":{\"id\":\"msg_01" + std::to_string(random.next()) +
           "\",\"type\":\"message\",\"role\":\"assistant\",\"content\":[{\"type\":\"tool_use\",\"id\":"
           "\"toolu_" + std::to_string(random.next()) +
           "\",\"name\":\"Edit\",\"input\":{\"replace_all\":false,\"file_path\":"
           "\"/home/dev/project/src/main.c\",\"old_string\":\"";
    escape(before);
    doc += "\",\"new_string\":\"";
    escape(after);
    doc += "\"}}]}";
    session_end();
}

inline void bench_corpus::tool_result(size_t len, bool colours) {
    std::string raw;
    type = "user";
    if (colours) terminal(raw, len);
    else listing(raw, len);
    doc += "{\"type\":\"user\",\"message\":{\"role\":\"user\",\"content\":[{\"tool_use_id\":\"toolu_" +
           std::to_string(random.next()) + "\",\"type\":\"tool_result\",\"is_error\":false,\"content\":\"";
    escape(raw);
    doc += "\"}]}";
    session_end();
}

inline void bench_corpus::text_record() {
    size_t k = random.below(100);
    if (k < 36) assistant_text();
    else if (k < 62) tool_use();
    else if (k < 95) tool_result(random.between(200, 8000), random.chance(30));
    else tool_result(38 << 10, false); /* 40 KB and more once escaped */
}

/* About 260 bytes: what a model's answer is made of while it arrives. */
inline void bench_corpus::delta_record() {
    std::string raw;
    size_t from;
    type = "stream_event";
    for (size_t n = random.between(1, 5); n; n--) {
        word(raw);
        raw += random.chance(4) ? ":\n\n" : random.chance(3) ? " \"quoted\" " : " ";
    }
    doc += "{\"type\":\"stream_event\",\"event\":{\"type\":\"content_block_delta\",\"index\":0,\"delta\":{"
           "\"type\":\"text_delta\",\"text\":\"";
    from = doc.size();
    escape(raw);
    inner = doc.substr(from);
    doc += "\"}}";
    session_end();
}

inline void bench_corpus::number_record() {
    char s[64];
    type = "samples";
    doc += "{\"type\":\"samples\",\"t\":" + std::to_string(1700000000 + random.below(10000000)) +
           ".125,\"doubles\":[";
    for (size_t n = random.between(40, 300), i = 0; i < n; i++) {
        double unit = double(random.next() >> 11) * 0x1p-53;
        switch (random.below(5)) {
        case 0: std::snprintf(s, sizeof s, "%.17g", unit * 200 - 100); break;
        case 1: std::snprintf(s, sizeof s, "%.3f", unit * 1000); break;
        case 2: std::snprintf(s, sizeof s, "%.6e", unit * 1e-7); break;
        case 3: std::snprintf(s, sizeof s, "%.15g", -unit); break;
        default: std::snprintf(s, sizeof s, "%.2f", unit * 100);
        }
        doc += i ? "," : "";
        doc += s;
    }
    doc += "],\"ints\":[";
    for (size_t n = random.between(40, 300), i = 0; i < n; i++) {
        long long v = (long long)(random.next() >> random.between(1, 62));
        doc += i ? "," : "";
        doc += std::to_string(random.chance(30) ? -v : v);
    }
    doc += "],\"uuid\":\"" + (uuid = id()) + "\"}";
}

inline void bench_corpus::nested(unsigned depth) {
    static const char *const keys[] = {"a", "id", "x", "y", "ok", "key", "val", "next", "kind", "left",
                                       "right"};
    size_t n, i;
    switch (depth == 0 ? 2 + random.below(4) : random.below(7)) {
    case 0:
    case 6:
        doc += '{';
        for (n = random.below(5), i = 0; i < n; i++) {
            doc += i ? ",\"" : "\"";
            doc += keys[random.below(sizeof keys / sizeof *keys)];
            doc += "\":";
            nested(depth - 1);
        }
        doc += '}';
        break;
    case 1:
        doc += '[';
        for (n = random.below(5), i = 0; i < n; i++) {
            doc += i ? "," : "";
            nested(depth - 1);
        }
        doc += ']';
        break;
    case 2: doc += random.chance(50) ? "true" : "false"; break;
    case 3: doc += random.chance(50) ? "null" : "[]"; break;
    case 4: doc += std::to_string(random.below(1000)); break;
    default: doc += random.chance(50) ? "\"ab\"" : "{}";
    }
}

inline void bench_corpus::structure_record() {
    type = "tree";
    doc += "{\"type\":\"tree\",\"nodes\":[";
    for (size_t end = doc.size() + random.between(300, 4000), i = 0; doc.size() < end; i++) {
        doc += i ? "," : "";
        doc += "{\"id\":" + std::to_string(i) + ",\"of\":[";
        nested(6);
        doc += "]}";
    }
    doc += "],\"uuid\":\"" + (uuid = id()) + "\"}";
}

inline bench_corpus::bench_corpus(const std::string &which, size_t size, uint64_t seed)
    : name(which), random(seed) {
    bool big = false;
    what = which == "text"       ? "stream-json with long strings: messages, edits, listings"
           : which == "deltas"   ? "stream-json events of about 260 bytes"
           : which == "turns"    ? "the same, two shapes in turn, so that none is like the one before"
           : which == "numbers"  ? "arrays of doubles and integers"
                                 : "small nested objects and arrays";
    bytes.reserve(size + (2 << 20));
    while (bytes.size() < size) {
        doc.clear();
        inner.clear();
        if (which == "text") {
            /* One record of 1 MB, in the middle: what is left of 1,000,000 bytes is filled to the byte. */
            if (!big && size >= (4 << 20) && bytes.size() >= size / 2) {
                big = true;
                tool_result(900000, false);
                doc.insert(doc.find("content\":\"") + 10, 1000000 - doc.size(), '=');
            } else {
                text_record();
            }
        } else if (which == "deltas" || which == "turns") {
            delta_record();
            if (which == "turns" && documents.size() % 2) doc.insert(1, "\"part\":2,");
        } else if (which == "numbers") {
            number_record();
        } else {
            structure_record();
        }
        documents.push_back({bytes.size(), doc.size(), type, uuid, inner});
        if (doc.size() > longest) longest = doc.size();
        bytes += doc;
        bytes += '\n';
    }
    const bench_document *first = documents.data(), *end = first + documents.size();
    for (const bench_document *d = first; d < end; d++) {
        size_t len = d->at + d->len + 1 - first->at;
        if (len < (2 << 20) && d + 1 < end) continue;
        pieces.push_back({bytes.data() + first->at, len, first, d + 1, first->at, pieces.size()});
        first = d + 1;
    }
}

#endif
