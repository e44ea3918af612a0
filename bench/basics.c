/* SPDX-License-Identifier: MIT-0
   What the idea is worth, and what the library claims of itself. Three ways to read a child that writes:

     stream   stream_pipeline: a pooled buffer, stream_json, nothing kept
     append   one buffer; append what was read, hand out a copy of each whole line, move the rest to the front
     gather   read until the end, then go through the lines

   Each reads the same records from a pipe in a process of its own and looks at the same member of each. Then
   the library's small costs, in memory. Usage: basics [ROUNDS [MIB]]; prints medians. bench/samples.h says where
   the single measurements go. */
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static uint64_t allocations;
static void *counted(void *ptr, size_t size) {
    allocations++;
    return realloc(ptr, size);
}
#define STREAM_MALLOC(size) counted(NULL, size)
#define STREAM_REALLOC(ptr, size) counted(ptr, size)
#define STREAM_FREE(ptr) free(ptr)

#define STREAM_IMPLEMENTATION
#include "stream.h"
#define STREAM_JSON_IMPLEMENTATION
#include "stream_json.h"
#define STREAM_POOL_IMPLEMENTATION
#include "stream_pool.h"

#include "samples.h"

enum { WAYS = 3, MEMORY_POINTS = 64 };
static const char *const ways[WAYS] = {"stream", "append", "gather"};
static int rounds = 5;
static size_t total_mib = 64;

static uint64_t now_ns(clockid_t clock) {
    struct timespec t;
    clock_gettime(clock, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void die(const char *what) {
    perror(what);
    exit(1);
}

static double resident_mib(void) {
    long all, pages = 0;
    FILE *f = fopen("/proc/self/statm", "r");
    if (!f) return 0;
    if (fscanf(f, "%ld %ld", &all, &pages) != 2) pages = 0;
    fclose(f);
    return (double)pages * (double)sysconf(_SC_PAGESIZE) / 1048576;
}

#define FILLER UINT64_C(1700000000000000000)

/* ---- the child that writes ---------------------------------------------------------------------------- */

/* sent_ns: since 1970, always of 19 digits. */
static size_t record(char *to, uint64_t sent_ns) {
    return (size_t)sprintf(
        to,
        "{\"type\":\"stream_event\",\"sent\":%llu,\"event\":{\"type\":\"content_block_delta\",\"index\":0,"
        "\"delta\":{\"type\":\"text_delta\",\"text\":\"and then the second run is slow \"}},"
        "\"session_id\":\"76cee856-ad8b-4be5-a23b-ee2a398fb09c\",\"parent_tool_use_id\":null,"
        "\"uuid\":\"5f0eb4e5-420e-481c-b530-bb95c8fb81d9\"}\n",
        (unsigned long long)sent_ns);
}

static void write_all(int fd, const char *p, size_t n) {
    while (n) {
        ssize_t done = write(fd, p, n);
        if (done < 0 && errno == EINTR) continue;
        if (done < 0) _exit(0); /* the reader has had enough */
        p += done;
        n -= (size_t)done;
    }
}

/* `bytes` in all: as fast as they go, or `per_ms` records each millisecond, stamped with the time. */
static void produce(int fd, uint64_t bytes, unsigned per_ms) {
    static char block[1 << 16];
    uint64_t sent = 0, due = now_ns(CLOCK_MONOTONIC);
    size_t n = 0, one = record(block, FILLER);
    unsigned i;
    if (!per_ms) {
        while (n + one < sizeof block) n += record(block + n, FILLER);
        for (; sent < bytes; sent += n) write_all(fd, block, n);
        return;
    }
    while (sent < bytes) {
        struct timespec until;
        due += 1000000;
        until.tv_sec = (time_t)(due / 1000000000u);
        until.tv_nsec = (long)(due % 1000000000u);
        while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL) == EINTR) continue;
        for (n = 0, i = 0; i < per_ms; i++) n += record(block + n, now_ns(CLOCK_REALTIME));
        write_all(fd, block, n);
        sent += n;
    }
}

/* ---- the three ways to read --------------------------------------------------------------------------- */

typedef struct outcome { /* in memory that the reader shares with the one who measures it */
    uint64_t records, bytes, allocations, wall_ns, cpu_ns, longest_ns;
    double resident; /* MiB above the start, at the most */
    stream_histogram latency;
    double memory[MEMORY_POINTS]; /* MiB above the start, after each so many-th part of the input */
} outcome;

typedef struct reading {
    outcome *out;
    uint64_t expected;
    double start;
    bool stamped;
} reading;

static void note_memory(reading *r) {
    double now = resident_mib() - r->start;
    size_t point = (size_t)(r->out->bytes * MEMORY_POINTS / (r->expected + 1));
    if (now > r->out->resident) r->out->resident = now;
    if (point < MEMORY_POINTS) r->out->memory[point] = now;
}

static void look_at(reading *r, const char *ptr, size_t len) {
    static const char *const type[] = {"/type"}, *const sent[] = {"/sent"};
    stream_json_value value;
    int64_t stamp;
    stream_json_pick(ptr, len, r->stamped ? sent : type, 1, &value);
    r->out->records += value.type != STREAM_JSON_NONE;
    if (r->stamped && stream_json_int64(value, &stamp) == STREAM_OK)
        stream_histogram_add(&r->out->latency, now_ns(CLOCK_REALTIME) - (uint64_t)stamp);
}

static void read_stream(reading *r, int fd, size_t buffer_len) {
    stream_pool pool;
    stream_json json;
    stream_pipeline pipe;
    stream_pipeline_desc desc;
    stream_item item;
    stream_status st;
    uint64_t noted = 0;
    memset(&desc, 0, sizeof desc);
    if (stream_pool_init(&pool, NULL) != STREAM_OK || stream_json_init(&json, NULL) != STREAM_OK) exit(1);
    desc.source = stream_source_fd(fd);
    desc.buffers = stream_pool_buffers(&pool);
    desc.buffer_len = buffer_len;
    desc.decoder = stream_json_decoder(&json);
    if (stream_pipeline_init(&pipe, &desc) != STREAM_OK) exit(1);
    while ((st = stream_pipeline_next(&pipe, &item)) != STREAM_END) {
        if (st == STREAM_OK) look_at(r, item.ptr, item.len);
        if (pipe.bytes - noted >= 1 << 20) {
            r->out->bytes = noted = pipe.bytes;
            note_memory(r);
        }
    }
    r->out->bytes = pipe.bytes;
    stream_pipeline_free(&pipe);
    stream_json_free(&json);
    stream_pool_free(&pool);
}

typedef struct growing {
    char *ptr;
    size_t len, cap;
} growing;

/* Reads once, behind what is there. False at the end, and where memory ends. */
static bool read_more(growing *g, int fd, size_t most) {
    ssize_t n;
    if (g->cap - g->len < most) {
        size_t cap = g->cap ? g->cap * 2 : 2 * most;
        char *ptr = (char *)counted(g->ptr, cap);
        if (!ptr) return false;
        g->ptr = ptr;
        g->cap = cap;
    }
    do n = read(fd, g->ptr + g->len, most);
    while (n < 0 && errno == EINTR);
    if (n > 0) g->len += (size_t)n;
    return n > 0;
}

static void read_append(reading *r, int fd, size_t buffer_len) {
    growing g = {NULL, 0, 0};
    uint64_t noted = 0;
    char *feed;
    while (read_more(&g, fd, buffer_len)) {
        while ((feed = (char *)memchr(g.ptr, '\n', g.len)) != NULL) {
            size_t len = (size_t)(feed - g.ptr);
            char *line = (char *)counted(NULL, len + 1);
            if (!line) exit(1);
            memcpy(line, g.ptr, len);
            look_at(r, line, len);
            free(line);
            g.len -= len + 1;
            memmove(g.ptr, feed + 1, g.len);
            r->out->bytes += len + 1;
        }
        if (r->out->bytes - noted >= 1 << 20) {
            noted = r->out->bytes;
            note_memory(r);
        }
    }
    free(g.ptr);
}

static void read_gather(reading *r, int fd, size_t buffer_len) {
    growing g = {NULL, 0, 0};
    size_t at = 0, noted = 0;
    const char *feed;
    while (read_more(&g, fd, buffer_len)) {
        r->out->bytes = g.len;
        if (g.len - noted < 1 << 20) continue;
        noted = g.len;
        note_memory(r);
    }
    while (at < g.len && (feed = (const char *)memchr(g.ptr + at, '\n', g.len - at)) != NULL) {
        look_at(r, g.ptr + at, (size_t)(feed - g.ptr) - at);
        at = (size_t)(feed - g.ptr) + 1;
    }
    free(g.ptr);
}

/* One way, in a process of its own, beside one that writes. limit: bytes of address space; 0: none. */
static outcome *run(size_t way, uint64_t bytes, unsigned per_ms, size_t buffer_len, rlim_t limit) {
    static void (*const read_by[WAYS])(reading *, int, size_t) = {read_stream, read_append, read_gather};
    static outcome *out;
    int ends[2], status;
    pid_t writer, reader;
    if (!out) {
        out = (outcome *)mmap(NULL, sizeof *out, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        if (out == MAP_FAILED) die("mmap");
    }
    memset(out, 0, sizeof *out);
    if (pipe(ends) != 0) die("pipe");
    (void)fcntl(ends[0], F_SETPIPE_SZ, 1 << 20);
    if ((writer = fork()) == 0) {
        close(ends[0]);
        produce(ends[1], bytes, per_ms);
        _exit(0);
    }
    if ((reader = fork()) == 0) {
        reading r = {out, bytes, resident_mib(), per_ms != 0};
        uint64_t wall = now_ns(CLOCK_MONOTONIC), cpu = now_ns(CLOCK_PROCESS_CPUTIME_ID);
        struct rlimit most = {limit, limit};
        close(ends[1]);
        if (limit && setrlimit(RLIMIT_AS, &most) != 0) _exit(1);
        allocations = 0;
        read_by[way](&r, ends[0], buffer_len);
        out->wall_ns = now_ns(CLOCK_MONOTONIC) - wall;
        out->cpu_ns = now_ns(CLOCK_PROCESS_CPUTIME_ID) - cpu;
        out->allocations = allocations;
        _exit(0);
    }
    close(ends[0]);
    close(ends[1]);
    if (writer < 0 || reader < 0) die("fork");
    if (waitpid(reader, &status, 0) != reader || status != 0) out->records = 0;
    waitpid(writer, &status, 0);
    return out;
}

/* ---- printing ----------------------------------------------------------------------------------------- */

typedef struct series {
    double value[64];
    int n;
} series;

static int by_value(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(series *s) {
    qsort(s->value, (size_t)s->n, sizeof s->value[0], by_value);
    return s->n ? s->value[s->n / 2] : 0;
}

static void add(series *s, const char *what, const char *who, const char *role, const char *unit,
                const char *asked, double value) {
    if (s->n < 64) s->value[s->n++] = value;
    bench_sample("basics", what, who, role, unit, asked, value);
}

/* ---- the table of the first page ---------------------------------------------------------------------- */

static const char *role_of(size_t way) { return way == 0 ? "ours" : "rival"; }

static void three_ways(void) {
    static const struct {
        const char *what, *unit;
    } column[] = {{"memory at the most, MiB", "MiB"},   {"allocations a record", "allocations"},
                  {"records taken in, MB/s", "+MB/s"},   {"processor time, s a GB", "s"},
                  {"written to looked at, p99, ms", "ms"}, {"longest output in 64 MiB, MiB", "+MiB"}};
    enum { COLUMNS = sizeof column / sizeof column[0] };
    static series s[WAYS][COLUMNS];
    const uint64_t bytes = (uint64_t)total_mib << 20;
    size_t way, c, i;
    int round;
    for (round = 0; round < rounds; round++) {
        for (way = 0; way < WAYS; way++) {
            const outcome *o = run(way, bytes, 0, 32768, 0);
            double value[COLUMNS];
            value[0] = o->resident;
            value[1] = (double)o->allocations / (double)(o->records ? o->records : 1);
            value[2] = (double)o->bytes / (double)o->wall_ns * 1e3;
            value[3] = (double)o->cpu_ns / (double)o->bytes;
            if (round == 0)
                for (i = 0; i < MEMORY_POINTS; i++)
                    bench_sample("memory", "over the input", ways[way], role_of(way), "MiB", "",
                                 o->memory[i]);
            o = run(way, 5 << 20, 20, 32768, 0);
            value[4] = (double)stream_histogram_quantile_ns(&o->latency, 990) / 1e6;
            if (round == 0)
                for (i = 1; i < 1000; i++)
                    bench_sample("latency", "written to looked at", ways[way], role_of(way), "ms", "",
                                 (double)stream_histogram_quantile_ns(&o->latency, (unsigned)i) / 1e6);
            o = run(way, UINT64_C(1) << 30, 0, 32768, (rlim_t)64 << 20);
            value[5] = (double)o->bytes / 1048576;
            for (c = 0; c < COLUMNS; c++)
                add(&s[way][c], column[c].what, ways[way], role_of(way), column[c].unit, "", value[c]);
        }
    }
    printf("%zu MiB of records through a pipe, then 20 records a millisecond, then 1 GiB with 64 MiB of "
           "address space; medians of %d\n\n| %-30s | %10s | %10s | %10s |\n|---|--:|--:|--:|\n",
           total_mib, rounds, "", ways[0], ways[1], ways[2]);
    for (c = 0; c < COLUMNS; c++)
        printf("| %-30s | %10.3f | %10.3f | %10.3f |\n", column[c].what, median(&s[0][c]), median(&s[1][c]),
               median(&s[2][c]));
    fflush(stdout);
}

/* ---- sizes of buffers and fragments ------------------------------------------------------------------- */

static char *text;
static size_t text_len, text_records;

static void sizes(void) {
    size_t size;
    int round;
    for (round = 0; round < rounds; round++)
        for (size = 4096; size <= 131072; size *= 2) {
            const outcome *o = run(0, (uint64_t)total_mib << 20, 0, size, 0);
            char name[32];
            snprintf(name, sizeof name, "%zu", size);
            bench_sample("buffers", "through a pipe", name, size == 32768 ? "ours" : "rival", "+MB/s", "",
                         (double)o->bytes / (double)o->wall_ns * 1e3);
        }
    for (round = 0; round < rounds; round++)
        for (size = 1; size <= 131072; size *= 2) {
            const size_t len = size < 16 ? text_len / 8 : text_len;
            stream_json json;
            stream_item item;
            uint64_t start = now_ns(CLOCK_PROCESS_CPUTIME_ID);
            size_t at, records = 0;
            char name[32];
            if (stream_json_init(&json, NULL) != STREAM_OK) exit(1);
            for (at = 0; at < len; at += size) {
                stream_json_feed(&json, text + at, len - at < size ? len - at : size);
                while (stream_json_next(&json, &item) != STREAM_MORE) records++;
            }
            snprintf(name, sizeof name, "%zu", size);
            bench_sample("fragments", "framing", name, size == 32768 ? "ours" : "rival", "ns", "",
                         (double)(now_ns(CLOCK_PROCESS_CPUTIME_ID) - start) /
                             (double)(records ? records : 1));
            stream_json_free(&json);
        }
}

/* ---- claims ------------------------------------------------------------------------------------------- */

static uint64_t kept; /* so that no compiler finds that nothing was wanted */

static double lines_ns(void) {
    stream_lines lines;
    stream_item line;
    uint64_t start = now_ns(CLOCK_PROCESS_CPUTIME_ID);
    size_t at, count = 0;
    if (stream_lines_init(&lines, NULL) != STREAM_OK) exit(1);
    for (at = 0; at < text_len; at += 32768) {
        stream_lines_feed(&lines, text + at, text_len - at < 32768 ? text_len - at : 32768);
        while (stream_lines_next(&lines, &line) == STREAM_OK) count++, kept += line.len;
    }
    stream_lines_free(&lines);
    return (double)(now_ns(CLOCK_PROCESS_CPUTIME_ID) - start) / (double)count;
}

static double json_seconds(size_t *made) {
    static const char *const type[] = {"/type"};
    stream_json json;
    stream_item item;
    stream_json_value value;
    uint64_t start = now_ns(CLOCK_PROCESS_CPUTIME_ID);
    size_t at;
    allocations = 0;
    if (stream_json_init(&json, NULL) != STREAM_OK) exit(1);
    for (at = 0; at < text_len; at += 32768) {
        stream_json_feed(&json, text + at, text_len - at < 32768 ? text_len - at : 32768);
        while (stream_json_next(&json, &item) == STREAM_OK) {
            stream_json_pick(item.ptr, item.len, type, 1, &value);
            kept += value.len;
        }
    }
    *made = (size_t)allocations;
    stream_json_free(&json);
    return (double)(now_ns(CLOCK_PROCESS_CPUTIME_ID) - start) / 1e9;
}

static double error_ns(void) {
    enum { TIMES = 1000000 };
    static const char *const volatile wrong = "\"1\"";
    const stream_json_value value = stream_json_value_of(wrong, 3);
    uint64_t start = now_ns(CLOCK_PROCESS_CPUTIME_ID);
    int64_t number;
    int i;
    for (i = 0; i < TIMES; i++) kept += (uint64_t)-stream_json_int64(value, &number);
    return (double)(now_ns(CLOCK_PROCESS_CPUTIME_ID) - start) / TIMES;
}

static double utf8_mb_s(bool ascii) {
    static char prose[1 << 20];
    size_t n = 0;
    uint64_t start;
    int i;
    while (n + 64 < sizeof prose) {
        const char *piece = ascii ? "Nothing in here is beyond seven bits. "
                                  : "na\xC3\xAFve caf\xC3\xA9 \xE2\x80\x94 \xF0\x9F\x98\x80 ";
        memcpy(prose + n, piece, strlen(piece));
        n += strlen(piece);
    }
    start = now_ns(CLOCK_PROCESS_CPUTIME_ID);
    for (i = 0; i < 20; i++) kept += stream_utf8_valid(prose, n);
    return (double)n * 20 / (double)(now_ns(CLOCK_PROCESS_CPUTIME_ID) - start) * 1e3;
}

/* A burst of three times what the queue should hold, on a consumer of one a millisecond: until slow mode
   ends, on a fake clock. */
static double recovery_ms(void) {
    stream_flow flow;
    stream_flow_monitor seen;
    uint64_t ms;
    memset(&seen, 0, sizeof seen);
    if (stream_flow_init(&flow, NULL) != STREAM_OK) exit(1);
    for (ms = 1; ms < 5000; ms++) {
        const uint64_t lag = stream_flow_lag(&flow);
        if (ms == 2000) stream_flow_sent(&flow, 300);
        if (stream_flow_advise_ns(&flow, ms * 1000000) == 0) stream_flow_sent(&flow, 1);
        stream_flow_consumed(&flow, lag > 0);
        stream_flow_watch(&seen, &flow, ms * 1000000);
    }
    return (double)seen.worst_recovery_ns / 1e6;
}

static double reuse_percent(void) {
    stream_pool pool;
    stream_pool_usage usage;
    stream_pool_buf *buf;
    int i;
    double reused;
    if (stream_pool_init(&pool, NULL) != STREAM_OK) exit(1);
    for (i = 0; i < 100000; i++) {
        if (stream_pool_acquire(&pool, 1000 + (size_t)(i * 7919) % 15000, &buf) != STREAM_OK) exit(1);
        stream_pool_release(buf);
    }
    stream_pool_stats(&pool, &usage);
    reused = 100.0 * (double)usage.total.reused / 100000;
    stream_pool_free(&pool);
    return reused;
}

static void claims(void) {
    enum { CLAIMS = 10 };
    static const struct {
        const char *what, *unit, *asked;
    } claim[CLAIMS] = {{"a line of text", "ns", "<= 41"},
                       {"a JSON record: framed, one member read", "ns", "<= 350"},
                       {"JSON framed and read", "+MB/s", ">= 950"},
                       {"allocations in a million JSON records", "allocations", "<= 1"},
                       {"an error made", "ns", "<= 15"},
                       {"UTF-8 checked, ASCII", "+MB/s", ">= 2500"},
                       {"UTF-8 checked, a quarter beyond ASCII", "+MB/s", ">= 2500"},
                       {"recovery from a burst of three queues", "ms", "<= 200"},
                       {"buffers that come back from the pool", "+%", ">= 90"},
                       {"growth over 10,000 events", "MiB", "<= 10"}};
    static series s[CLAIMS];
    size_t i;
    int round;
    for (round = 0; round < rounds; round++) {
        size_t made;
        const double seconds = json_seconds(&made);
        double value[CLAIMS];
        value[0] = lines_ns();
        value[1] = seconds * 1e9 / (double)text_records;
        value[2] = (double)text_len / seconds / 1e6;
        value[3] = (double)made;
        value[4] = error_ns();
        value[5] = utf8_mb_s(true);
        value[6] = utf8_mb_s(false);
        value[7] = recovery_ms();
        value[8] = reuse_percent();
        value[9] = run(0, 10000 * 300, 0, 32768, 0)->resident;
        for (i = 0; i < CLAIMS; i++)
            add(&s[i], claim[i].what, "stream.h", "ours", claim[i].unit, claim[i].asked, value[i]);
    }
    printf("\n| %-42s | %10s | %8s | met |\n|---|--:|--:|---|\n", "claim", "", "asked");
    for (i = 0; i < CLAIMS; i++) {
        const double got = median(&s[i]), want = strtod(claim[i].asked + 3, NULL);
        printf("| %-42s | %10.2f | %8s | %-3s |\n", claim[i].what, got, claim[i].asked,
               (claim[i].asked[0] == '<' ? got <= want : got >= want) ? "yes" : "NO");
    }
}

/* ---- hot loops for a counter of instructions ---------------------------------------------------------- */

static void frame_json(bool strict) {
    stream_json json;
    stream_json_desc desc;
    stream_item item;
    memset(&desc, 0, sizeof desc);
    desc.strict = strict;
    if (stream_json_init(&json, &desc) != STREAM_OK) exit(1);
    stream_json_feed(&json, text, text_len);
    while (stream_json_next(&json, &item) == STREAM_OK) kept += item.len;
    stream_json_free(&json);
}

static void decode_sse(void) {
    stream_sse sse;
    stream_item item;
    size_t at, i;
    static char event[512];
    if (stream_sse_init(&sse, NULL) != STREAM_OK) exit(1);
    at = (size_t)sprintf(event, "event: delta\nid: 7\ndata: ");
    at += record(event + at, FILLER);
    event[at++] = '\n';
    for (i = 0; i < text_records; i++) {
        stream_sse_feed(&sse, event, at);
        while (stream_sse_next(&sse, &item) == STREAM_OK) kept += item.len;
    }
    stream_sse_free(&sse);
}

static void pass_pointers(void) {
    stream_spsc ring;
    stream_spsc_desc desc;
    void *item;
    size_t i;
    memset(&desc, 0, sizeof desc);
    if (stream_spsc_init(&ring, &desc) != STREAM_OK) exit(1);
    for (i = 0; i < text_records; i++) {
        (void)stream_spsc_push(&ring, text + i);
        if (stream_spsc_pop(&ring, &item) == STREAM_OK) kept += (uintptr_t)item & 1;
    }
    stream_spsc_free(&ring);
}

static void pool_pairs(void) {
    stream_pool pool;
    stream_pool_buf *buf;
    size_t i;
    if (stream_pool_init(&pool, NULL) != STREAM_OK) exit(1);
    for (i = 0; i < text_records; i++) {
        if (stream_pool_acquire(&pool, 4096, &buf) != STREAM_OK) exit(1);
        stream_pool_release(buf);
    }
    stream_pool_free(&pool);
}

/* Once over text_records of something; bench/instructions.sh subtracts what `nothing` takes. */
static int once(const char *what) {
    size_t made;
    if (strcmp(what, "nothing") == 0) return 0;
    if (strcmp(what, "records") == 0) return printf("%zu\n", text_records) < 0;
    if (strcmp(what, "lines") == 0) lines_ns();
    else if (strcmp(what, "frame") == 0) frame_json(false);
    else if (strcmp(what, "strict") == 0) frame_json(true);
    else if (strcmp(what, "pick") == 0) json_seconds(&made);
    else if (strcmp(what, "sse") == 0) decode_sse();
    else if (strcmp(what, "spsc") == 0) pass_pointers();
    else if (strcmp(what, "pool") == 0) pool_pairs();
    else return 2;
    return kept == 1;
}

static void fill_text(size_t len) {
    text = (char *)malloc(len + 1024);
    if (!text) die("malloc");
    for (; text_len < len; text_records++) text_len += record(text + text_len, FILLER + text_records);
}

int main(int argc, char **argv) {
    if (argc == 3 && strcmp(argv[1], "once") == 0) {
        fill_text(1 << 20);
        return once(argv[2]);
    }
    if (argc > 1) rounds = atoi(argv[1]);
    if (argc > 2) total_mib = (size_t)atoi(argv[2]);
    if (rounds < 1 || rounds > 64 || total_mib < 1) {
        fprintf(stderr, "usage: basics [ROUNDS [MIB]] | once NAME\n");
        return 2;
    }
    fill_text(16 << 20);
    three_ways();
    sizes();
    claims();
    return kept == 1;
}
