/* SPDX-License-Identifier: MIT-0
   stream_wrap.exe from outside: test_wrap_windows STREAM_WRAP.EXE FAKE_LLM.EXE, on Windows or under wine.
   What the wrapped child does this program does itself, started with a role as its first argument. Numbers
   in names are those of the behaviours the cases stand for; tests/test_wrap.c has the rest of them, for
   POSIX. */
#include "test.h"

#include <stdbool.h>

#define STREAM_IMPLEMENTATION
#include "stream.h"
#define STREAM_JSON_IMPLEMENTATION
#include "stream_json.h"

#include <fcntl.h>
#include <io.h>
#include <windows.h>

#include <psapi.h>

#include "bytes.h"
#include "child.h"
#include "windows/wide.h"

#define SECOND    UINT64_C(1000000000)
#define A(text)   ((char *)(uintptr_t)(text))
#define ARGS(...) ((char *const[]){__VA_ARGS__, NULL})

static const char *self, *wrap_path, *fake_path;
static char dir[512]; /* scratch files of this run */

/* ==[ what a wrapped child does ]==================================================================== */

static void say(int fd, const void *data, size_t len) {
    const char *p = (const char *)data;
    while (len > 0) {
        int n = _write(fd, p, len < 65536 ? (unsigned)len : 65536);
        if (n <= 0) exit(90);
        p += n;
        len -= (size_t)n;
    }
}

static void say_text(int fd, const char *text) { say(fd, text, strlen(text)); }

static void say_many(int fd, size_t len) {
    static char block[65536];
    memset(block, 'x', sizeof block);
    for (; len > 0; len -= len < sizeof block ? len : sizeof block)
        say(fd, block, len < sizeof block ? len : sizeof block);
}

static void say_process(int fd) {
    char line[64];
    say(fd, line,
        (size_t)snprintf(line, sizeof line, "{\"pid\":%lu}\n", (unsigned long)GetCurrentProcessId()));
}

static bool spawn_self(const wchar_t *role) {
    STARTUPINFOW start;
    PROCESS_INFORMATION p;
    wchar_t path[512], line[64];
    memset(&start, 0, sizeof start);
    start.cb = sizeof start;
    swprintf(line, 64, L"child %ls", role);
    return GetModuleFileNameW(NULL, path, 512) > 0 &&
           CreateProcessW(path, line, NULL, NULL, TRUE, 0, NULL, NULL, &start, &p);
}

static int play(int argc, char **argv) {
    const char *role = argv[1];
    size_t n = argc > 2 ? (size_t)strtoull(argv[2], NULL, 10) : 0;
    static char block[65536];
    int i;
    if (strcmp(role, "exit") == 0) return (int)(uint32_t)n;
    if (strcmp(role, "stderr-first") == 0) {
        say_many(2, n);
        say_text(1, "{}\n");
        return argc > 3 ? atoi(argv[3]) : 0;
    }
    if (strcmp(role, "line") == 0) {
        say_many(1, n);
        say_text(1, "\n{\"type\":\"next\"}\n");
        return 0;
    }
    if (strcmp(role, "crlf") == 0) {
        say_text(
            1,
            "{\"type\":\"one\"}\r\n{\"type\":\"two\",\"s\":\"a\\r\\nb\"}\r\n\r\n{\"type\":\"three\"}\r\n");
        return 0;
    }
    if (strcmp(role, "bytes") == 0) {
        for (i = 0; i < 4096; i++) block[i] = (char)(i * 7 + i / 256);
        say(1, block, 4096);
        return 0;
    }
    if (strcmp(role, "arguments") == 0) {
        for (i = 2; i < argc; i++) {
            char head[32];
            say(1, head, (size_t)snprintf(head, sizeof head, "%u:", (unsigned)strlen(argv[i])));
            say_text(1, argv[i]);
        }
        return 0;
    }
    if (strcmp(role, "echo") == 0) {
        while ((i = _read(0, block, sizeof block)) > 0) say(1, block, (size_t)i);
        return 0;
    }
    if (strcmp(role, "talk-then-count") == 0) { /* says so much before it reads anything */
        size_t count = 0;
        say_many(1, n);
        while ((i = _read(0, block, sizeof block)) > 0) count += (size_t)i;
        fprintf(stderr, "%u", (unsigned)count);
        return 0;
    }
    if (strcmp(role, "grandchild") == 0) { /* ends, and leaves one behind that holds its output */
        say_text(1, "last\n");
        return spawn_self(L"sleep") ? 5 : 91;
    }
    if (strcmp(role, "tree") == 0) {
        say_process(1);
        if (!spawn_self(L"sleep")) return 91;
        Sleep(INFINITE);
    }
    if (strcmp(role, "tree-talking") == 0) {
        say_process(1);
        if (!spawn_self(L"sleep")) return 91;
        for (;;) say_text(1, "{\"type\":\"tick\"}\n");
    }
    if (strcmp(role, "sleep") == 0) {
        say_process(1);
        Sleep(INFINITE);
    }
    if (strcmp(role, "where") == 0) { /* its directory, and two variables */
        wchar_t wide[512];
        char *text;
        GetCurrentDirectoryW(512, wide);
        say_text(1, text = wide_to_utf8(wide));
        free(text);
        if (GetEnvironmentVariableW(L"STREAM_TEST", wide, 512) == 0) wide[0] = 0;
        say_text(1, "|");
        say_text(1, text = wide_to_utf8(wide));
        free(text);
        say_text(1, GetEnvironmentVariableW(L"PATH", NULL, 0) == 0 ? "|no path" : "|path");
        return 0;
    }
    if (strcmp(role, "cut") == 0) {
        say_text(1, "{\"type\":\"a\"}\n{\"type\":\"b\",\"text\":\"cut he");
        return 0;
    }
    return 92;
}

/* ==[ one run ]====================================================================================== */

typedef struct result {
    int code; /* -1: had to be killed */
    bytes out, err;
    uint64_t out_len, out_hash; /* also when out is not kept */
    size_t peak;                /* of its memory, bytes; looked at once for each MiB of output */
    uint64_t ms;
} result;

/* How to run it; all zero is: no standard input, everything kept. */
typedef struct setup {
    const char *input; /* bytes for standard input */
    size_t input_len;
    bool discard;            /* only count and hash the output */
    unsigned slow_ms;        /* between reads of its output, of 1 KiB then */
    size_t close_after;      /* so many bytes of output nobody reads it any more */
    bool keep_err_shut;      /* its standard error is not read before its output has ended */
    void (*meanwhile)(void); /* called again and again while it runs */
} setup;

typedef struct running {
    stream_io io;
    child c;
    stream_io_file file[3];
    stream_io_op op[3];
    char data[2][65536];
    HANDLE process;
    uint64_t started;
} running;

static void wake(void *ctx) { stream_io_wake((stream_io *)ctx); }

static void hash_in(result *r, const char *p, size_t n) { /* FNV-1a; only to compare */
    uint64_t h = r->out_hash ? r->out_hash : UINT64_C(14695981039346656037);
    r->out_len += n;
    for (; n; n--) h = (h ^ (unsigned char)*p++) * UINT64_C(1099511628211);
    r->out_hash = h;
}

static bool start(running *w, const setup *s, char *const args[]) {
    char *argv[80];
    child_desc desc;
    int n = 0, error = 0;
    memset(w, 0, sizeof *w);
    memset(&desc, 0, sizeof desc);
    argv[n++] = A(wrap_path);
    while (*args && n < 79) argv[n++] = *args++;
    argv[n] = NULL;
    if (stream_io_init(&w->io, NULL) != STREAM_OK) return false;
    desc.argv = argv;
    desc.input = s->input ? CHILD_STDIN_PIPE : CHILD_STDIN_NULL;
    desc.guarded = true;
    desc.wake = wake;
    desc.ctx = &w->io;
    w->started = stream_now_ns();
    if (child_start(&w->c, &desc, &error) != CHILD_STARTED) {
        CHECK_EQ(error, 0);
        stream_io_free(&w->io);
        return false;
    }
    w->process =
        OpenProcess(PROCESS_QUERY_INFORMATION | PROCESS_VM_READ | SYNCHRONIZE, FALSE, (DWORD)w->c.pid);
    stream_io_attach(&w->io, &w->file[1], w->c.out);
    stream_io_attach(&w->io, &w->file[2], w->c.err);
    if (w->c.in != -1) {
        stream_io_attach(&w->io, &w->file[0], w->c.in);
        stream_io_write(&w->io, &w->op[0], &w->file[0], s->input, s->input_len);
    }
    return true;
}

static void read_on(running *w, int i, const setup *s) {
    bool wait = i == 2 && s->keep_err_shut && w->file[1].fd != -1;
    if (w->file[i].fd == -1 || w->op[i].file != NULL || wait) return;
    if (i == 1 && s->slow_ms) Sleep(s->slow_ms);
    stream_io_read(&w->io, &w->op[i], &w->file[i], w->data[i - 1], i == 1 && s->slow_ms ? 1024 : 65536);
}

/* What it has needed so far; nothing is left to ask about once it has ended. */
static void look_at_memory(running *w, result *r) {
    PROCESS_MEMORY_COUNTERS memory;
    memset(&memory, 0, sizeof memory);
    if (w->process && GetProcessMemoryInfo(w->process, &memory, sizeof memory) &&
        memory.PeakWorkingSetSize > r->peak)
        r->peak = memory.PeakWorkingSetSize;
}

/* Feeds and collects until it has ended and so have its outputs, or `until` bytes of output are there. */
static bool go_on(running *w, const setup *s, result *r, size_t until) {
    uint64_t end = stream_now_ns() + 120 * SECOND;
    while (stream_now_ns() < end) {
        stream_io_op *op;
        read_on(w, 1, s);
        read_on(w, 2, s);
        if (until && r->out_len >= until) return true;
        if (w->file[1].fd == -1 && w->file[2].fd == -1 && child_reap(&w->c)) {
            r->code = w->c.code;
            return true;
        }
        stream_io_wait(&w->io, s->meanwhile ? SECOND / 200 : SECOND);
        if (s->meanwhile) s->meanwhile();
        while ((op = stream_io_next(&w->io)) != NULL) {
            int i = (int)(op - w->op);
            if (i == 0 || op->status != STREAM_OK) {
                stream_io_close(&w->io, &w->file[i]);
            } else if (i == 2) {
                keep(&r->err, w->data[1], op->bytes);
            } else {
                if ((r->out_len + op->bytes) >> 20 != r->out_len >> 20) look_at_memory(w, r);
                hash_in(r, w->data[0], op->bytes);
                if (!s->discard) keep(&r->out, w->data[0], op->bytes);
                if (s->close_after && r->out_len >= s->close_after) stream_io_close(&w->io, &w->file[1]);
            }
        }
    }
    return false;
}

static void end(running *w, result *r) {
    int i;
    if (w->process) CloseHandle(w->process);
    r->ms = (stream_now_ns() - w->started) / 1000000;
    for (i = 0; i < 3; i++) stream_io_close(&w->io, &w->file[i]);
    stream_io_wait(&w->io, 0);
    while (stream_io_next(&w->io)) {
    }
    child_free(&w->c, true); /* what it left running is looked for */
    stream_io_free(&w->io);
    keep(&r->out, "", 0);
    keep(&r->err, "", 0);
}

static result run_with(const setup *s, char *const args[]) {
    static running w;
    result r;
    memset(&r, 0, sizeof r);
    r.code = -1;
    if (start(&w, s, args)) {
        if (!go_on(&w, s, &r, 0)) child_signal(&w.c, CHILD_KILL);
        end(&w, &r);
    }
    return r;
}

static result run(const char *input, char *const args[]) {
    setup s;
    memset(&s, 0, sizeof s);
    s.input = input;
    s.input_len = input ? strlen(input) : 0;
    return run_with(&s, args);
}

static void forget(result *r) {
    free(r->out.ptr);
    free(r->err.ptr);
}

static char *path_of(const char *name) {
    static char path[8][600];
    static int turn;
    turn = (turn + 1) % 8;
    snprintf(path[turn], sizeof path[0], "%s\\%s", dir, name);
    return path[turn];
}

/* Lets others replace the file meanwhile. */
static bytes read_file(const char *path) {
    bytes b = {NULL, 0, 0};
    wchar_t *wide = wide_from_utf8(path);
    HANDLE file = CreateFileW(wide, GENERIC_READ, FILE_SHARE_READ | FILE_SHARE_WRITE | FILE_SHARE_DELETE,
                              NULL, OPEN_EXISTING, 0, NULL);
    char part[4096];
    DWORD n;
    keep(&b, "", 0);
    while (file != INVALID_HANDLE_VALUE && ReadFile(file, part, sizeof part, &n, NULL) && n > 0)
        keep(&b, part, n);
    if (file != INVALID_HANDLE_VALUE) CloseHandle(file);
    free(wide);
    return b;
}

static void write_file(const char *path, const char *text) {
    FILE *f = fopen(path, "wb");
    if (!f || fwrite(text, 1, strlen(text), f) != strlen(text) || fclose(f) != 0) exit(96);
}

static int64_t number_at(const bytes *json, const char *pointer) {
    stream_json_value v;
    int64_t n;
    stream_json_pick(json->ptr, json->len, &pointer, 1, &v);
    return stream_json_int64(v, &n) == STREAM_OK ? n : -1;
}

/* ==[ the child ]==================================================================================== */

static void stderr_before_stdout_1_1(void) {
    size_t passed = 0;
    int tries;
    result r = run(NULL, ARGS(A("--stderr=drop"), A("--"), A(self), A("stderr-first"), A("300000")));
    CHECK_EQ(r.code, 0);
    CHECK_TEXT(r.out.ptr, r.out.len, "{}\n");
    CHECK_EQ(r.err.len, 0);
    forget(&r);
    for (tries = 0; tries < 10 && passed < 300000; tries++) { /* to a reader that other work may hold up */
        r = run(NULL, ARGS(A("--"), A(self), A("stderr-first"), A("300000")));
        CHECK_EQ(r.code, 0);
        passed = r.err.len;
        forget(&r);
    }
    CHECK_EQ(passed, 300000);
    r = run(NULL, ARGS(A("--stderr=tail"), A("--"), A(self), A("stderr-first"), A("100000"), A("3")));
    CHECK_EQ(r.code, 3);
    CHECK_HAS(r.err, "the last 4096 of 100000 bytes");
    CHECK(r.err.len < 4300);
    forget(&r);
}

static void unread_stderr_never_stops_the_child_1_1(void) {
    const char *file = path_of("missed");
    bytes state;
    setup s;
    result r;
    memset(&s, 0, sizeof s);
    s.keep_err_shut = true;
    r = run_with(&s, ARGS(A("--status-file"), A(file), A("--"), A(self), A("stderr-first"), A("3000000")));
    CHECK_EQ(r.code, 0);
    CHECK_TEXT(r.out.ptr, r.out.len, "{}\n");
    state = read_file(file);
    CHECK_EQ(number_at(&state, "/stderr_bytes"), 3000000);
    CHECK(number_at(&state, "/stderr_dropped") > 2500000);
    free(state.ptr);
    forget(&r);
}

static void exit_codes(void) {
    static const struct {
        const char *text;
        uint32_t code;
    } cases[] = {{"0", 0}, {"3", 3}, {"255", 255}, {"70000", 70000}, {"3221225477", 0xC0000005u}};
    size_t i;
    result r;
    for (i = 0; i < sizeof cases / sizeof *cases; i++) {
        r = run(NULL, ARGS(A("--"), A(self), A("exit"), A(cases[i].text)));
        CHECK_EQ((uint32_t)r.code, cases[i].code);
        CHECK_EQ(r.err.len, 0);
        forget(&r);
    }
    r = run(NULL, ARGS(A("--"), A("no-such-command-anywhere")));
    CHECK_EQ(r.code, 127);
    CHECK_HAS(r.err, "no-such-command-anywhere");
    forget(&r);
    write_file(path_of("text.exe"), "this is no program\n");
    r = run(NULL, ARGS(A("--"), A(path_of("text.exe"))));
    CHECK_EQ(r.code, 126);
    CHECK_HAS(r.err, "text.exe");
    forget(&r);
    r = run(NULL, ARGS(A("--nope")));
    CHECK_EQ(r.code, 125);
    CHECK_HAS(r.err, "--nope");
    forget(&r);
    r = run(NULL, ARGS(A("--stdin=C:\\no\\such\\file"), A("--"), A(self)));
    CHECK_EQ(r.code, 125);
    CHECK_HAS(r.err, "--stdin");
    forget(&r);
    r = run(NULL, ARGS(A("--"), A(self), A("cut")));
    CHECK_EQ(r.code, 65);
    forget(&r);
}

static void grandchild_holding_the_pipe_1_2(void) {
    result r = run(NULL, ARGS(A("--linger=3s"), A("--"), A(self), A("grandchild")));
    bytes line = {NULL, 0, 0};
    HANDLE p;
    const char *at = r.out.ptr ? strchr(r.out.ptr, '\n') : NULL;
    CHECK_EQ(r.code, 5);
    CHECK(r.out.len >= 5 && memcmp(r.out.ptr, "last\n", 5) == 0);
    CHECK(r.ms < 20000);
    keep(&line, at ? at + 1 : "", at ? strlen(at + 1) : 0);
    /* What the child left running on purpose is still there; it is ours to end. */
    p = OpenProcess(SYNCHRONIZE | PROCESS_TERMINATE, FALSE, (DWORD)number_at(&line, "/pid"));
    CHECK(p != NULL);
    if (p) {
        CHECK_EQ(WaitForSingleObject(p, 0), WAIT_TIMEOUT);
        TerminateProcess(p, 0);
        WaitForSingleObject(p, INFINITE);
        CloseHandle(p);
    }
    free(line.ptr);
    forget(&r);
}

/* The two processes that a tree says it is made of. */
static void open_tree(const bytes *out, HANDLE p[2]) {
    const char *at = out->ptr;
    int i;
    for (i = 0; i < 2; i++) {
        at = at ? strstr(at, "{\"pid\":") : NULL;
        p[i] = at ? OpenProcess(SYNCHRONIZE, FALSE, (DWORD)strtoul(at + 7, NULL, 10)) : NULL;
        CHECK(p[i] != NULL);
        at = at ? at + 1 : NULL;
    }
}

static void tree_is_gone(HANDLE p[2]) {
    int i;
    for (i = 0; i < 2; i++) {
        if (!p[i]) continue;
        CHECK_EQ(WaitForSingleObject(p[i], 10000), WAIT_OBJECT_0);
        CloseHandle(p[i]);
    }
}

static void killed_with_the_whole_tree_1_12(void) {
    static running w;
    setup s;
    result r;
    HANDLE tree[2], wrapper;
    memset(&s, 0, sizeof s);
    memset(&r, 0, sizeof r);
    CHECK(start(&w, &s, ARGS(A("--"), A(self), A("tree"))));
    /* Until both have said who they are. */
    while (count_text(&r.out, "}\n") < 2 && go_on(&w, &s, &r, r.out_len + 1) && w.file[1].fd != -1) {
    }
    open_tree(&r.out, tree);
    CHECK_EQ(WaitForSingleObject(tree[1], 0), WAIT_TIMEOUT);
    wrapper = OpenProcess(PROCESS_TERMINATE, FALSE, (DWORD)w.c.pid);
    CHECK(wrapper && TerminateProcess(wrapper, 77)); /* it alone, and it cannot do anything about it */
    CloseHandle(wrapper);
    CHECK(go_on(&w, &s, &r, 0)); /* the outputs have ended too: nobody holds them */
    CHECK_EQ(r.code, 77);
    tree_is_gone(tree);
    end(&w, &r);
    forget(&r);
}

static void closed_stdout_stops_the_whole_tree_1_14(void) {
    static running w;
    setup s;
    result r;
    HANDLE tree[2];
    memset(&s, 0, sizeof s);
    memset(&r, 0, sizeof r);
    CHECK(start(&w, &s, ARGS(A("--grace=100ms"), A("--"), A(self), A("tree-talking"))));
    while (count_text(&r.out, "\"pid\"") < 2 && go_on(&w, &s, &r, r.out_len + 1) && w.file[1].fd != -1) {
    }
    open_tree(&r.out, tree);
    stream_io_close(&w.io, &w.file[1]); /* as head -1 does */
    CHECK(go_on(&w, &s, &r, 0));
    CHECK_EQ(r.code, 141);
    CHECK_EQ(r.err.len, 0);
    tree_is_gone(tree);
    end(&w, &r);
    forget(&r);
}

/* How many of the processes that are named there still run. */
static int living(const bytes *out) {
    const char *at = out->ptr;
    int n = 0;
    while (at && (at = strstr(at, "{\"pid\":")) != NULL) {
        HANDLE p = OpenProcess(SYNCHRONIZE, FALSE, (DWORD)strtoul(at + 7, NULL, 10));
        n += p && WaitForSingleObject(p, 0) == WAIT_TIMEOUT;
        if (p) CloseHandle(p);
        at++;
    }
    return n;
}

static void timers_and_orphans_end_the_tree_1_6(void) {
    result r =
        run(NULL, ARGS(A("--timeout=idle=2s:stop"), A("--grace=100ms"), A("--"), A(self), A("tree")));
    CHECK_EQ(r.code, 124);
    CHECK_HAS(r.err, "idle");
    CHECK(r.ms < 20000);
    CHECK_EQ(living(&r.out), 0);
    CHECK_EQ(count_text(&r.out, "\"pid\""), 2);
    forget(&r);
    r = run(NULL, ARGS(A("--orphans=stop"), A("--linger=3s"), A("--grace=100ms"), A("--"), A(self),
                       A("grandchild")));
    CHECK_EQ(r.code, 5);
    CHECK_EQ(living(&r.out), 0);
    forget(&r);
}

static void environment_and_directory(void) {
    result r = run(NULL, ARGS(A("--cwd"), A(dir), A("--env=STREAM_TEST=\xc3\xa9 \xe6\x97\xa5"),
                              A("--env=path"), A("--"), A(self), A("where")));
    char want[700];
    snprintf(want, sizeof want, "%s|\xc3\xa9 \xe6\x97\xa5|no path", dir);
    CHECK_EQ(r.code, 0);
    CHECK_TEXT(r.out.ptr, r.out.len, want);
    forget(&r);
    r = run(NULL, ARGS(A("--cwd=C:\\no\\such\\place"), A("--"), A(self), A("where")));
    CHECK_EQ(r.code, 125);
    CHECK_HAS(r.err, "--cwd");
    forget(&r);
}

static void what_there_is_to_write_to_1_4(void) {
    static const char *const refused[] = {"--pty", "--child-stdout=socket"};
    const char *file = path_of("tee");
    bytes copy;
    result want = run(NULL, ARGS(A("--tee"), A(file), A("--"), A(fake_path), A("--total=500K")));
    result r = run(NULL, ARGS(A("--child-stdout=file"), A("--"), A(fake_path), A("--total=500K")));
    size_t i;
    CHECK(want.out.len > 500000);
    CHECK_EQ(r.code, 0);
    CHECK_BYTES(r.out.ptr, r.out.len, want.out.ptr, want.out.len);
    copy = read_file(file);
    CHECK_BYTES(copy.ptr, copy.len, want.out.ptr, want.out.len);
    free(copy.ptr);
    forget(&r);
    forget(&want);
    for (i = 0; i < 2; i++) {
        char name[32];
        r = run(NULL, ARGS(A(refused[i]), A("--"), A(self), A("crlf")));
        snprintf(name, sizeof name, "%.*s", (int)strcspn(refused[i], "="), refused[i]);
        CHECK_EQ(r.code, 125);
        CHECK_HAS(r.err, name);
        CHECK_HAS(r.err, "not on this system");
        CHECK_EQ(r.out.len, 0);
        forget(&r);
    }
}

/* ==[ bytes ]======================================================================================== */

static void huge_line_in_small_memory_1_3(void) {
    static char block[65536];
    const char *after = "\n{\"type\":\"next\"}\n", *file = path_of("huge");
    setup s;
    result small, r, want;
    bytes state;
    int i;
    memset(&s, 0, sizeof s);
    memset(&want, 0, sizeof want);
    s.discard = true;
    small = run_with(&s, ARGS(A("--"), A(self), A("line"), A("4000000")));
    r = run_with(&s, ARGS(A("--status-file"), A(file), A("--"), A(self), A("line"), A("67108864")));
    memset(block, 'x', sizeof block);
    for (i = 0; i < 1024; i++) hash_in(&want, block, sizeof block);
    hash_in(&want, after, strlen(after));
    CHECK_EQ(r.code, 0);
    CHECK_EQ(r.out_len, want.out_len);
    CHECK(r.out_hash == want.out_hash);
    CHECK(small.peak > 0 && r.peak > 0);
    CHECK(r.peak < small.peak + (2u << 20)); /* the system's own share differs from run to run */
    printf("  peak: %u KiB, with a short line %u KiB\n", (unsigned)(r.peak >> 10),
           (unsigned)(small.peak >> 10));
    state = read_file(file);
    CHECK_EQ(number_at(&state, "/types/next"), 1);
    CHECK_EQ(number_at(&state, "/oversize"), 1);
    free(state.ptr);
    forget(&small);
    forget(&r);
}

static void crlf_is_taken_and_passed_on_1_19(void) {
    const char *want =
        "{\"type\":\"one\"}\r\n{\"type\":\"two\",\"s\":\"a\\r\\nb\"}\r\n\r\n{\"type\":\"three\"}\r\n";
    const char *file = path_of("crlf");
    result r = run(NULL, ARGS(A("--status-file"), A(file), A("--"), A(self), A("crlf")));
    bytes state = read_file(file);
    CHECK_TEXT(r.out.ptr, r.out.len, want);
    CHECK_EQ(number_at(&state, "/records"), 3);
    CHECK_EQ(number_at(&state, "/noise"), 0);
    free(state.ptr);
    forget(&r);
    r = run(NULL, ARGS(A("--output=events"), A("--"), A(self), A("crlf")));
    CHECK_HAS(r.out, "\"record\":{\"type\":\"two\",\"s\":\"a\\r\\nb\"}");
    CHECK_EQ(count_text(&r.out, "\r"), 0); /* what we write ourselves ends with LF alone */
    forget(&r);
    r = run(NULL, ARGS(A("--summary"), A("--"), A(self), A("crlf")));
    CHECK_HAS(r.err, "3 records");
    CHECK_EQ(count_text(&r.err, "\r"), 0);
    forget(&r);
}

static void all_bytes_pass_exactly_1_19(void) {
    char all[4096]; /* among them CTRL+Z, and each kind of line end */
    setup s;
    size_t i;
    result r = run(NULL, ARGS(A("--"), A(self), A("bytes")));
    for (i = 0; i < sizeof all; i++) all[i] = (char)(i * 7 + i / 256);
    CHECK_BYTES(r.out.ptr, r.out.len, all, sizeof all);
    forget(&r);
    memset(&s, 0, sizeof s);
    s.input = all;
    s.input_len = sizeof all;
    r = run_with(&s, ARGS(A("--output=raw"))); /* no command: it is the source itself */
    CHECK_EQ(r.code, 0);
    CHECK_BYTES(r.out.ptr, r.out.len, all, sizeof all);
    forget(&r);
    r = run_with(&s, ARGS(A("--stdin=-"), A("--"), A(self), A("echo")));
    CHECK_EQ(r.code, 0);
    CHECK_BYTES(r.out.ptr, r.out.len, all, sizeof all);
    forget(&r);
}

static void standard_input_of_the_child(void) {
    const char *file = path_of("input");
    result r = run("for nobody", ARGS(A("--"), A(self), A("echo")));
    CHECK_EQ(r.code, 0);
    CHECK_EQ(r.out.len, 0);
    forget(&r);
    r = run("as it is", ARGS(A("--stdin=inherit"), A("--"), A(self), A("echo")));
    CHECK_TEXT(r.out.ptr, r.out.len, "as it is");
    forget(&r);
    write_file(file, "from a file");
    r = run(NULL, ARGS(A("--stdin"), A(file), A("--"), A(self), A("echo")));
    CHECK_TEXT(r.out.ptr, r.out.len, "from a file");
    forget(&r);
}

static void big_input_against_a_chatty_child_1_10(void) {
    setup s;
    result r;
    char *input = (char *)calloc(1, 8000000);
    if (!input) exit(99);
    memset(&s, 0, sizeof s);
    s.input = input;
    s.input_len = 8000000;
    s.discard = true;
    r = run_with(&s, ARGS(A("--stdin=-"), A("--"), A(self), A("talk-then-count"), A("8000000")));
    CHECK_EQ(r.code, 0);
    CHECK_EQ(r.out_len, 8000000);
    CHECK_TEXT(r.err.ptr, r.err.len, "8000000");
    free(input);
    forget(&r);
}

static void slow_reader_misses_nothing_1_15(void) {
    setup s;
    result r, want;
    memset(&s, 0, sizeof s);
    s.discard = true;
    want = run_with(&s, ARGS(A("--"), A(fake_path), A("--total=300K"), A("--seed=3")));
    s.slow_ms = 1;
    r = run_with(&s, ARGS(A("--"), A(fake_path), A("--total=300K"), A("--seed=3")));
    CHECK_EQ(r.code, 0);
    CHECK(want.out_len >= 300 << 10);
    CHECK_EQ(r.out_len, want.out_len);
    CHECK(r.out_hash == want.out_hash);
    forget(&want);
    forget(&r);
}

/* ==[ arguments ]==================================================================================== */

static const char *const hostile[] = {"",
                                      " ",
                                      "plain",
                                      "a b",
                                      "\t",
                                      "\"",
                                      "\"\"",
                                      "say \"hi\"",
                                      "\\",
                                      "\\\\",
                                      "a\\",
                                      "a b\\",
                                      "a b\\\\",
                                      "\\\"",
                                      "\\\\\\\"b c\\\\",
                                      "c:\\dir with space\\",
                                      "*",
                                      "*.c",
                                      "%PATH%",
                                      "%",
                                      "^",
                                      "a&b",
                                      "|",
                                      "<in",
                                      ">out",
                                      "(x)",
                                      ";",
                                      "!x!",
                                      "{\"k\":\"v w\",\"n\":[1,2]}",
                                      "\xc3\xa9\xe6\x97\xa5\xf0\x9f\x9a\x80",
                                      "a\"b c\"d",
                                      "\"begins",
                                      "--summary"};

enum { HOSTILE = sizeof hostile / sizeof *hostile };

static void arguments_reach_the_child_as_they_are(void) {
    char *args[HOSTILE + 4];
    bytes want = {NULL, 0, 0};
    result r;
    size_t i, n = 0;
    args[n++] = A("--");
    args[n++] = A(self);
    args[n++] = A("arguments");
    for (i = 0; i < HOSTILE; i++) {
        char head[32];
        args[n++] = A(hostile[i]);
        keep(&want, head, (size_t)snprintf(head, sizeof head, "%u:", (unsigned)strlen(hostile[i])));
        keep(&want, hostile[i], strlen(hostile[i]));
    }
    args[n] = NULL;
    r = run(NULL, args);
    CHECK_EQ(r.code, 0);
    CHECK_BYTES(r.out.ptr, r.out.len, want.ptr, want.len);
    free(want.ptr);
    forget(&r);
}

/* Through cmd.exe, which would act upon some of them. */
static void arguments_reach_a_batch_file(void) {
    static const char *const words[] = {"plain",
                                        "a b",
                                        "say \"hi\"",
                                        "a&b",
                                        "a|b>c<d",
                                        "^",
                                        "tail\\",
                                        "!x!",
                                        "x \"y\" & echo bad",
                                        "",
                                        "(z)",
                                        "\xc3\xa9",
                                        "c:\\dir x\\",
                                        "%PATH%",
                                        "100%"};
    const char *script = path_of("say it.cmd");
    char text[700];
    size_t i, count = sizeof words / sizeof *words;
    result r;
    /* Wine's cmd.exe has no substrings of variables, by which a percent sign is kept from beginning one. */
    if (GetProcAddress(GetModuleHandleW(L"ntdll.dll"), "wine_get_version")) count -= 2;
    snprintf(text, sizeof text, "@\"%s\" arguments %%*\r\n", self);
    write_file(script, text);
    for (i = 0; i < count; i++) {
        snprintf(text, sizeof text, "%u:%s4:last", (unsigned)strlen(words[i]), words[i]);
        r = run(NULL, ARGS(A("--"), A(script), A(words[i]), A("last")));
        CHECK_EQ(r.code, 0);
        CHECK_TEXT(r.out.ptr, r.out.len, text);
        forget(&r);
    }
    r = run(NULL, ARGS(A("--"), A(script), A("two\nlines"))); /* would end the line, and begin a command */
    CHECK_EQ(r.code, 126);
    CHECK_EQ(r.out.len, 0);
    forget(&r);
}

/* ==[ what it says ]================================================================================= */

static void text_events_summary_and_metrics(void) {
    result raw = run(NULL, ARGS(A("--"), A(fake_path), A("--seed=5")));
    result r = run(NULL, ARGS(A("--output=text"), A("--summary"), A("--"), A(fake_path), A("--seed=5")));
    stream_json j;
    stream_item item;
    size_t events = 0, at;
    CHECK_EQ(raw.code, 0);
    CHECK(raw.out.len > 10000);
    CHECK_EQ(r.code, 0);
    CHECK(r.out.len > 500 && count_text(&r.out, "\r") == 0 && stream_utf8_valid(r.out.ptr, r.out.len));
    CHECK_HAS(r.err, "records, ");
    CHECK_HAS(r.err, "exit code 0");
    forget(&raw);
    forget(&r);
    r = run(NULL, ARGS(A("--output=events"), A("--"), A(fake_path), A("--seed=5")));
    stream_json_init(&j, NULL);
    stream_json_feed(&j, r.out.ptr, r.out.len);
    stream_json_finish(&j);
    while (stream_json_next(&j, &item) == STREAM_OK) {
        CHECK_EQ(stream_json_check(item.ptr, item.len, &at), STREAM_OK);
        events++;
    }
    CHECK(events > 20);
    CHECK_HAS(r.out, "\"event\":\"end\"");
    stream_json_free(&j);
    forget(&r);
    r = run(NULL, ARGS(A("--metrics=json"), A("--"), A(fake_path), A("--seed=5")));
    CHECK_EQ(stream_json_check(r.err.ptr, r.err.len, &at), STREAM_OK);
    CHECK_EQ(number_at(&r.err, "/stream_wrap_records_total{type=\"result\"}"), 1);
    forget(&r);
    r = run(NULL, ARGS(A("--version")));
    CHECK_HAS(r.out, "stream_wrap " STREAM_VERSION);
    forget(&r);
}

static struct {
    const char *path;
    uint64_t last;
    int reads, whole;
} status;

/* Now and then, as people do: while it is open here it cannot be replaced, and is tried again there. */
static void look_at_status(void) {
    bytes b;
    size_t at;
    if (stream_now_ns() - status.last < SECOND / 50) return;
    b = read_file(status.path);
    status.last = stream_now_ns();
    if (b.len > 0 || status.reads > 0) {
        status.reads++;
        status.whole +=
            b.len > 1 && stream_json_check(b.ptr, b.len, &at) == STREAM_OK && b.ptr[b.len - 1] == '\n';
    }
    free(b.ptr);
}

static void status_file_is_always_whole_1_17(void) {
    bytes b;
    setup s;
    result r;
    memset(&s, 0, sizeof s);
    memset(&status, 0, sizeof status);
    status.path = path_of("status \xc3\xa9\xe6\x97\xa5.json");
    s.meanwhile = look_at_status;
    r = run_with(&s, ARGS(A("--interval=1ms"), A("--status-file"), A(status.path), A("--"), A(fake_path),
                          A("--records=200"), A("--rate=400")));
    CHECK_EQ(r.code, 0);
    CHECK_TEXT(r.err.ptr, r.err.len, "");
    CHECK(status.reads > 0);
    CHECK_EQ(status.whole, status.reads);
    b = read_file(status.path);
    CHECK_EQ(number_at(&b, "/exit_code"), 0);
    free(b.ptr);
    forget(&r);
    r = run(NULL, ARGS(A("--status-file=C:\\no\\such\\place"), A("--"), A(self), A("crlf")));
    CHECK_EQ(r.code, 0);
    CHECK_EQ(count_text(&r.err, "--status-file"), 1);
    forget(&r);
}

static void remove_scratch(const wchar_t *place) {
    wchar_t pattern[MAX_PATH + 64];
    WIN32_FIND_DATAW found;
    HANDLE each;
    swprintf(pattern, MAX_PATH + 64, L"%ls\\*", place);
    each = FindFirstFileW(pattern, &found);
    if (each != INVALID_HANDLE_VALUE) {
        do {
            swprintf(pattern, MAX_PATH + 64, L"%ls\\%ls", place, found.cFileName);
            DeleteFileW(pattern);
        } while (FindNextFileW(each, &found));
        FindClose(each);
    }
    RemoveDirectoryW(place);
}

int main(int argc, char **argv) {
    wchar_t temp[MAX_PATH + 1], name[MAX_PATH + 32];
    char *utf8;
    argv = wide_arguments(&argc);
    if (!argv || argc < 2) return 2;
    _setmode(0, _O_BINARY);
    _setmode(1, _O_BINARY);
    _setmode(2, _O_BINARY);
    self = argv[0];
    if (argc < 3 || !strstr(argv[1], "stream_wrap")) return play(argc, argv);
    wrap_path = argv[1];
    fake_path = argv[2];
    TEST_PROGRAM("wrap_windows");
    GetTempPathW(MAX_PATH, temp);
    swprintf(name, MAX_PATH + 32, L"%lstest_wrap.%lu", temp, (unsigned long)GetCurrentProcessId());
    remove_scratch(name); /* of another run with this number */
    if (!CreateDirectoryW(name, NULL) || (utf8 = wide_to_utf8(name)) == NULL) return 2;
    snprintf(dir, sizeof dir, "%s", utf8);
    free(utf8);

    RUN(stderr_before_stdout_1_1);
    RUN(unread_stderr_never_stops_the_child_1_1);
    RUN(exit_codes);
    RUN(grandchild_holding_the_pipe_1_2);
    RUN(killed_with_the_whole_tree_1_12);
    RUN(closed_stdout_stops_the_whole_tree_1_14);
    RUN(timers_and_orphans_end_the_tree_1_6);
    RUN(environment_and_directory);
    RUN(what_there_is_to_write_to_1_4);
    RUN(huge_line_in_small_memory_1_3);
    RUN(crlf_is_taken_and_passed_on_1_19);
    RUN(all_bytes_pass_exactly_1_19);
    RUN(standard_input_of_the_child);
    RUN(big_input_against_a_chatty_child_1_10);
    RUN(slow_reader_misses_nothing_1_15);
    RUN(arguments_reach_the_child_as_they_are);
    RUN(arguments_reach_a_batch_file);
    RUN(text_events_summary_and_metrics);
    RUN(status_file_is_always_whole_1_17);
    remove_scratch(name);
    return test_end();
}
