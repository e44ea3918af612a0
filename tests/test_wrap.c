/* SPDX-License-Identifier: MIT-0
   stream_wrap from outside: test_wrap PATH_OF_STREAM_WRAP PATH_OF_FAKE_LLM [CASE]. Each case runs the real
   binary on pipes or a terminal and looks at bytes, exit codes, files and memory. Numbers in names are
   those of the behaviours the cases stand for. */
#include "test.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#if defined(__GLIBC__)
#include <malloc.h>
#endif

#define STREAM_STATIC
#define STREAM_IMPLEMENTATION
#include "stream.h"
#define STREAM_JSON_IMPLEMENTATION
#include "stream_json.h"
#include "bytes.h"

static const char *program, *wrap_path, *fake_path, *only; /* only: cases whose name contains it */
static char dir[64];                                       /* scratch files of this run */

typedef struct result {
    int code; /* exit code, 128 + signal, or -1: had to be killed */
    bytes out, err;
    uint64_t out_len, out_hash; /* also when out is not kept */
    long rss_kib;
    uint64_t cpu_ms, wall_ms;
} result;

/* How to run it; all zero is: no standard input, everything kept. */
typedef struct setup {
    const char *input; /* bytes for standard input */
    size_t input_len;
    uint64_t zeros;         /* ... or so many 'x' bytes, and then input */
    const char *stdin_file; /* ... or a file */
    char *const *producer;  /* ... or another program's output */
    bool discard;           /* only count and hash the output */
    const char *preload;    /* LD_PRELOAD */
    int out_fd;             /* standard output, or 0 for a pipe that is read */
} setup;

static uint64_t now_ms(void) { return stream_now_ns() / 1000000; }

static void forget(result *r) {
    free(r->out.ptr);
    free(r->err.ptr);
}

static uint64_t hash(uint64_t h, const char *p, size_t n) { /* FNV-1a over words: only to compare */
    uint64_t word;
    if (h == 0) h = UINT64_C(14695981039346656037);
    for (; n >= 8; n -= 8, p += 8) {
        memcpy(&word, p, 8);
        h = (h ^ word) * UINT64_C(1099511628211);
    }
    for (; n; n--) h = (h ^ (unsigned char)*p++) * UINT64_C(1099511628211);
    return h;
}

static void pipe_or_die(int ends[2]) {
    if (pipe(ends) != 0) exit(98);
    fcntl(ends[0], F_SETFD, FD_CLOEXEC);
    fcntl(ends[1], F_SETFD, FD_CLOEXEC);
}

static pid_t spawn(char *const argv[], int in, int out, int err, const char *preload) {
    size_t i;
    pid_t pid = fork();
    if (pid == 0) {
        static const int numbers[] = {SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGPIPE, SIGTSTP};
        for (i = 0; i < sizeof numbers / sizeof *numbers; i++) /* some may be ignored, as below nohup */
            signal(numbers[i], SIG_DFL);
        if (preload) setenv("LD_PRELOAD", preload, 1);
        if (in >= 0) dup2(in, 0);
        if (out >= 0) dup2(out, 1);
        dup2(err >= 0 ? err : open("/dev/null", O_WRONLY), 2);
        for (in = 3; in < 1024; in++) close(in); /* what the caller of the tests left open is not ours */
        execv(argv[0], argv);
        _exit(97);
    }
    return pid;
}

/* Runs stream_wrap with argv (its own name is put before); feeds and collects until it has ended. */
static result run_with(const setup *s, char *const args[]) {
    char *argv[40];
    int in[2] = {-1, -1}, out[2] = {-1, -1}, err[2], n = 0, status = 0;
    uint64_t start = now_ms(), fed = 0, want = s->zeros + s->input_len, block_len = 0;
    static char block[65536], pad[65536];
    pid_t pid, producer = 0;
    struct rusage usage;
    result r;
    memset(&r, 0, sizeof r);
    memset(pad, 'x', sizeof pad);
    argv[n++] = (char *)(uintptr_t)wrap_path;
    while (*args && n < 39) argv[n++] = *args++;
    argv[n] = NULL;
#if defined(__GLIBC__)
    malloc_trim(0); /* what is freed and not given back would count in the peak of a child forked now */
#endif
    if (s->stdin_file) {
        in[0] = open(s->stdin_file, O_RDONLY | O_CLOEXEC);
    } else {
        pipe_or_die(in);
    }
    if (s->out_fd == 0) pipe_or_die(out);
    pipe_or_die(err);
    if (s->producer) {
        producer = spawn(s->producer, open("/dev/null", O_RDONLY | O_CLOEXEC), in[1], -1, NULL);
        close(in[1]);
        in[1] = -1;
    }
    pid = spawn(argv, in[0], s->out_fd ? s->out_fd : out[1], err[1], s->preload);
    close(in[0]);
    if (out[1] >= 0) close(out[1]);
    close(err[1]);
    if (in[1] >= 0) {
        fcntl(in[1], F_SETFL, O_NONBLOCK);
        if (want == 0) close(in[1]), in[1] = -1;
    }
    while (out[0] >= 0 || err[0] >= 0) {
        struct pollfd fds[3] = {{in[1], POLLOUT, 0}, {out[0], POLLIN, 0}, {err[0], POLLIN, 0}};
        if (now_ms() - start > 120000) {
            kill(pid, SIGKILL);
            r.code = -1;
            break;
        }
        poll(fds, 3, 1000);
        if (in[1] >= 0 && fds[0].revents) {
            const char *from = fed < s->zeros ? pad : s->input + (fed - s->zeros);
            uint64_t left = fed < s->zeros ? s->zeros - fed : want - fed;
            ssize_t w = write(in[1], from, left < sizeof pad ? (size_t)left : sizeof pad);
            if (w > 0) fed += (uint64_t)w;
            if (fed == want || (w < 0 && errno != EAGAIN)) close(in[1]), in[1] = -1;
        }
        if (out[0] >= 0 && fds[1].revents) {
            ssize_t got = read(out[0], block + block_len, sizeof block - block_len);
            if (got > 0) {
                r.out_len += (uint64_t)got;
                if (!s->discard) keep(&r.out, block + block_len, (size_t)got);
                block_len += (uint64_t)got;
            }
            if (block_len == sizeof block ||
                got <= 0) { /* whole blocks, so that reads' sizes do not matter */
                r.out_hash = hash(r.out_hash, block, (size_t)block_len);
                block_len = 0;
            }
            if (got <= 0) close(out[0]), out[0] = -1;
        }
        if (err[0] >= 0 && fds[2].revents) {
            char part[8192];
            ssize_t got = read(err[0], part, sizeof part);
            if (got > 0)
                keep(&r.err, part, (size_t)got);
            else
                close(err[0]), err[0] = -1;
        }
    }
    wait4(pid, &status, 0, &usage);
    if (producer) waitpid(producer, NULL, 0);
    if (in[1] >= 0) close(in[1]);
    if (r.code == 0) r.code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    r.rss_kib = usage.ru_maxrss;
    r.cpu_ms = (uint64_t)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1000 +
               (uint64_t)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1000;
    r.wall_ms = now_ms() - start;
    return r;
}

#define ARGS(...) ((char *const[]){__VA_ARGS__, NULL})
#define A(text)   ((char *)(uintptr_t)(text))

static result run(const char *input, char *const args[]) {
    setup s;
    memset(&s, 0, sizeof s);
    s.input = input;
    s.input_len = input ? strlen(input) : 0;
    return run_with(&s, args);
}

/* stream_wrap [option] -- sh -c SCRIPT */
static result run_sh(const char *option, const char *script) {
    if (option) return run(NULL, ARGS(A(option), A("--"), A("/bin/sh"), A("-c"), A(script)));
    return run(NULL, ARGS(A("--"), A("/bin/sh"), A("-c"), A(script)));
}

static char *path_of(const char *name) {
    static char path[8][128];
    static int turn;
    turn = (turn + 1) % 8;
    snprintf(path[turn], sizeof path[0], "%s/%s", dir, name);
    return path[turn];
}

static char *format(const char *f, ...) {
    static char text[8][1024];
    static int turn;
    va_list args;
    turn = (turn + 1) % 8;
    va_start(args, f);
    vsnprintf(text[turn], sizeof text[0], f, args);
    va_end(args);
    return text[turn];
}

static bytes read_file(const char *path) {
    bytes b = {NULL, 0, 0};
    char part[65536];
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n;
    keep(&b, "", 0);
    while (fd >= 0 && (n = read(fd, part, sizeof part)) > 0) keep(&b, part, (size_t)n);
    if (fd >= 0) close(fd);
    return b;
}

static void write_text(const char *path, const char *text, size_t len) {
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0 || write(fd, text, len) != (ssize_t)len) exit(96);
    close(fd);
}

/* One field of a JSON text: an integer, -1 when there is none; a string or other value as written. */
static int64_t number_at(const bytes *json, const char *pointer) {
    stream_json_value v;
    int64_t n;
    stream_json_pick(json->ptr, json->len, &pointer, 1, &v);
    return stream_json_int64(v, &n) == STREAM_OK ? n : -1;
}

static const char *text_at(const bytes *json, const char *pointer) {
    static char out[4][256];
    static int turn;
    stream_json_value v;
    turn = (turn + 1) % 4;
    stream_json_pick(json->ptr, json->len, &pointer, 1, &v);
    snprintf(out[turn], sizeof out[0], "%.*s", (int)v.len, v.ptr ? v.ptr : "");
    return out[turn];
}

/* Runs with a status file and gives back its last state. */
static bytes status_of(const char *input, size_t len, result *r, const char *option) {
    const char *file = path_of("status");
    setup s;
    bytes status;
    memset(&s, 0, sizeof s);
    s.input = input;
    s.input_len = len;
    unlink(file);
    *r = run_with(&s, option ? ARGS(A("--status-file"), A(file), A(option))
                             : ARGS(A("--status-file"), A(file)));
    status = read_file(file);
    return status;
}

static bool is_gone(pid_t pid) { return kill(pid, 0) != 0 && errno == ESRCH; }

/* Awaits a condition that another process brings about: a failure after half a minute. */
#define AWAIT(condition)                                                                                   \
    do {                                                                                                   \
        uint64_t end_ = now_ms() + 30000;                                                                  \
        bool met_;                                                                                         \
        while (!(met_ = (condition)) && now_ms() < end_) usleep(2000);                                     \
        CHECK(met_);                                                                                       \
    } while (0)

static bool exit_code_shown(const char *file, int64_t code) {
    bytes b = read_file(file);
    bool shown = number_at(&b, "/exit_code") == code;
    free(b.ptr);
    return shown;
}

/* ---- the child ----------------------------------------------------------------------------------- */

static void stderr_before_stdout_1_1(void) {
    size_t passed = 0;
    int tries;
    result r = run_sh("--stderr=drop", "head -c 300000 /dev/zero >&2; echo '{}'");
    CHECK_EQ(r.code, 0);
    CHECK_TEXT(r.out.ptr, r.out.len, "{}\n");
    CHECK_EQ(r.err.len, 0);
    forget(&r);
    for (tries = 0; tries < 10 && passed < 300000; tries++) { /* to a reader that other work may hold up */
        r = run_sh(NULL, "head -c 300000 /dev/zero >&2; echo '{}'");
        CHECK_EQ(r.code, 0);
        passed = r.err.len;
        forget(&r);
    }
    CHECK_EQ(passed, 300000);
    r = run_sh("--stderr=tail", "yes line | head -c 100000 >&2; echo end >&2; exit 3");
    CHECK_EQ(r.code, 3);
    CHECK_HAS(r.err, "the last 4096 of 100004 bytes");
    CHECK_HAS(r.err, "end\n");
    CHECK(r.err.len < 4300);
    forget(&r);
    r = run_sh("--stderr=tail", "echo not shown >&2");
    CHECK_EQ(r.err.len, 0);
    forget(&r);
}

static void unread_stderr_never_stops_the_child_1_1(void) {
    /* Nobody reads our standard error: the child still ends, and what was missed is counted. */
    int unread[2], status;
    const char *file = path_of("missed");
    bytes state;
    pid_t pid;
    pipe_or_die(unread);
    pid = spawn(ARGS(A(wrap_path), A("--status-file"), A(file), A("--"), A("/bin/sh"), A("-c"),
                     A("head -c 3000000 /dev/zero >&2; echo '{}'")),
                open("/dev/null", O_RDONLY | O_CLOEXEC), open("/dev/null", O_WRONLY | O_CLOEXEC), unread[1],
                NULL);
    close(unread[1]);
    AWAIT(exit_code_shown(file, 0));
    state = read_file(file);
    CHECK_EQ(number_at(&state, "/stderr_bytes"), 3000000);
    CHECK(number_at(&state, "/stderr_dropped") > 2500000);
    free(state.ptr);
    waitpid(pid, &status, 0);
    CHECK_EQ(WEXITSTATUS(status), 0);
    close(unread[0]);
}

static void grandchild_holding_the_pipe_1_2(void) {
    const char *file = path_of("sleeper");
    uint64_t best = UINT64_MAX;
    int tries;
    for (tries = 0; tries < 10 && best > 500; tries++) { /* other work may hold one up */
        bytes b;
        result r = run_sh(NULL, format("echo last; sleep 600 & echo $! >%s; exit 5", file));
        CHECK_EQ(r.code, 5);
        CHECK_TEXT(r.out.ptr, r.out.len, "last\n");
        if (r.wall_ms < best) best = r.wall_ms;
        b = read_file(file);
        if (b.len && atoi(b.ptr) > 1) kill(atoi(b.ptr), SIGKILL);
        free(b.ptr);
        forget(&r);
    }
    CHECK(best <= (getenv("TEST_SANITIZED") ? 2000 : 500));
}

static void grandchild_that_goes_on_talking_is_heard_1_2(void) {
    result r = run_sh(NULL, "(for i in 1 2 3 4 5 6 7 8; do sleep 0.1; echo $i; done) & echo first; exit 7");
    CHECK_EQ(r.code, 7);
    CHECK_TEXT(r.out.ptr, r.out.len, "first\n1\n2\n3\n4\n5\n6\n7\n8\n");
    forget(&r);
}

static void child_without_output_lives_on(void) {
    result r = run_sh(NULL, "exec >&-; echo only here >&2; sleep 0.4; exit 3");
    CHECK_EQ(r.code, 3);
    CHECK_EQ(r.out.len, 0);
    CHECK_TEXT(r.err.ptr, r.err.len, "only here\n");
    CHECK(r.wall_ms >= 400);
    forget(&r);
}

static void exit_codes(void) {
    static const struct {
        const char *script;
        int code;
    } cases[] = {
        {"exit 0", 0}, {"exit 3", 3}, {"kill -9 $$", 137}, {"kill -TERM $$", 143}, {"exit 255", 255}};
    size_t i;
    result r;
    for (i = 0; i < sizeof cases / sizeof *cases; i++) {
        r = run_sh(NULL, cases[i].script);
        CHECK_EQ(r.code, cases[i].code);
        CHECK_EQ(r.err.len, 0);
        forget(&r);
    }
    r = run(NULL, ARGS(A("--"), A("/etc/passwd")));
    CHECK_EQ(r.code, 126);
    CHECK_HAS(r.err, "/etc/passwd");
    forget(&r);
    r = run(NULL, ARGS(A("--"), A("no-such-command-anywhere")));
    CHECK_EQ(r.code, 127);
    CHECK_HAS(r.err, "no-such-command-anywhere");
    forget(&r);
}

static void refused(char *const args[], const char *name) {
    result r = run(NULL, args);
    CHECK_EQ(r.code, 125);
    CHECK_HAS(r.err, name);
    CHECK_EQ(r.out.len, 0);
    CHECK(r.err.len < 1000 && count_text(&r.err, "\n") == 1); /* one line that says it */
    forget(&r);
}

static void wrong_options_name_themselves(void) {
    static const char *const wrong[] = {"--nope",
                                        "--output=xml",
                                        "--max-record=0",
                                        "--max-record=12Q",
                                        "--buffer=-1",
                                        "--buffer=1T",
                                        "--buffer=99999999999999999999",
                                        "--interval=soon",
                                        "--interval=0",
                                        "--interval=1e3",
                                        "--grace=99999999999h",
                                        "--timeout=nap=3s",
                                        "--timeout=idle",
                                        "--timeout=idle=5s:",
                                        "--timeout=idle=5s:kill",
                                        "--timeout=,idle=5s",
                                        "--summary=yes",
                                        "--output",
                                        "--metrics-file=x",
                                        "--tee-policy=wait",
                                        "--env==x",
                                        "--name=a\033[31mb",
                                        "--restart=-1",
                                        "--show-map=nope",
                                        "--map=/",
                                        "--listen=99999",
                                        "--listen=:99999",
                                        "--listen=unix:/no/such/place",
                                        "--publish=ftp://x",
                                        "--stdin=/no/file",
                                        "--cwd=/etc/passwd",
                                        "--tee=/",
                                        "-x"};
    result help = run(NULL, ARGS(A("--help")));
    char *line, *save = NULL;
    size_t i;
    for (i = 0; i < sizeof wrong / sizeof *wrong; i++)
        refused(ARGS(A(wrong[i]), A("--"), A("true")),
                format("%.*s", (int)strcspn(wrong[i], "="), wrong[i]));
    /* Every option there is: without its value, with an empty one, and a flag with one. */
    for (line = strtok_r(help.out.ptr, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
        char name[64], value[64] = "";
        if (strncmp(line, "  --", 4) != 0 || sscanf(line, " %63s %63s", name, value) < 1) continue;
        if (strcmp(name, "--help") == 0 || strcmp(name, "--version") == 0) continue;
        if (value[0]) refused(ARGS(A(name)), name);
        refused(ARGS(A(format("%s=", name)), A("--"), A("true")), name);
    }
    forget(&help);
}

/* What was to be printed has to arrive, also what is no stream. */
static void full_disk_is_no_help(void) {
    static const char *const option[] = {"--help", "--version", "--show-map=codex"};
    size_t i;
    for (i = 0; i < COUNT(option); i++) {
        setup s;
        result r;
        memset(&s, 0, sizeof s);
        s.out_fd = open("/dev/full", O_WRONLY | O_CLOEXEC);
        r = run_with(&s, ARGS(A(option[i])));
        CHECK_EQ(r.code, 125);
        close(s.out_fd);
        forget(&r);
    }
}

static void help_is_complete_and_true(void) {
    result r = run(NULL, ARGS(A("--help"))), again;
    char *line, *save = NULL;
    int options = 0;
    CHECK_EQ(r.code, 0);
    for (line = strtok_r(r.out.ptr, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
        char name[64], value[64] = "", *p;
        if (strncmp(line, "  --", 4) != 0) continue;
        options++;
        if (sscanf(line, " %63s %63s", name, value) < 1) continue;
        if (strcmp(name, "--help") == 0 || strcmp(name, "--version") == 0) continue;
        /* Every option in the text is taken, with the last of its words or a value of its kind. */
        p = strrchr(value, '|');
        if (strcmp(value, "SIZE") == 0)
            strcpy(value, "1M");
        else if (strcmp(value, "TIME") == 0)
            strcpy(value, "1s");
        else if (strcmp(name, "--listen") == 0)
            snprintf(value, sizeof value, "unix:%s", path_of("any.socket"));
        else if (strcmp(value, "N") == 0)
            strcpy(value, "2");
        else if (strcmp(value, "URL") == 0)
            strcpy(value, "http://127.0.0.1:9/publish");
        else if (strcmp(value, "DIR") == 0)
            strcpy(value, "/");
        else if (strcmp(value, "NAME[=VALUE]") == 0)
            strcpy(value, "A=B");
        else if (strncmp(value, "TIMER", 5) == 0)
            strcpy(value, "idle=1m,total=1h:stop");
        else if (strcmp(value, "FILE") == 0)
            strcpy(value, path_of("any"));
        else if (strcmp(name, "--map") == 0)
            strcpy(value, "codex");
        else if (p && strcmp(p, "|FILE") == 0)
            strcpy(value, "null");
        else if (p)
            memmove(value, p + 1, strlen(p));
        if (strcmp(name, "--tee-policy") == 0)
            again = run(NULL, ARGS(A("--tee=/dev/null"), A(name), A(value), A("--"), A("true")));
        else if (strcmp(name, "--metrics-file") == 0)
            again = run(NULL, ARGS(A("--metrics=json"), A(name), A(value), A("--"), A("true")));
        else if (value[0])
            again = run(NULL, ARGS(A(name), A(value), A("--"), A("true")));
        else
            again = run(NULL, ARGS(A(name), A("--"), A("true")));
        CHECK_EQ(again.code, 0);
        forget(&again);
    }
    CHECK(options >= 15);
    forget(&r);
    r = run(NULL, ARGS(A("--version")));
    CHECK_TEXT(r.out.ptr, r.out.len, "stream_wrap " STREAM_VERSION "\n");
    forget(&r);
}

static void child_gets_default_signals_1_14(void) {
    result r = run_sh(NULL, "kill -PIPE $$; echo still here");
    CHECK_EQ(r.code, 128 + SIGPIPE);
    CHECK_EQ(r.out.len, 0);
    forget(&r);
}

static void child_inherits_no_descriptor(void) {
    result r = run_sh("--stderr=drop", "ls /proc/self/fd | tr '\\n' ' '");
    /* 0, 1, 2 and the directory that ls itself reads */
    CHECK_TEXT(r.out.ptr, r.out.len, "0 1 2 3 ");
    forget(&r);
}

/* Starts a script, awaits its "up", and gives back its wrapper. */
static pid_t start_script(int *reader, const char *option, const char *script) {
    int out[2];
    char line[8];
    pid_t pid;
    pipe_or_die(out);
    pid = spawn(ARGS(A(wrap_path), A(option), A("--"), A("/bin/sh"), A("-c"), A(script)),
                open("/dev/null", O_RDONLY | O_CLOEXEC), out[1], -1, NULL);
    close(out[1]);
    CHECK_EQ(read(out[0], line, 3), 3);
    *reader = out[0];
    return pid;
}

static void signals_reach_the_child(void) {
    static const struct {
        int number;
        const char *name;
    } sent[] = {{SIGTERM, "TERM"}, {SIGINT, "INT"}, {SIGHUP, "HUP"}, {SIGQUIT, "QUIT"}};
    size_t i;
    for (i = 0; i < COUNT(sent); i++) {
        int reader, status;
        char line[16];
        pid_t pid = start_script(&reader, "--grace=5s",
                                 format("trap 'echo got; exit 9' %s; echo up; while :; do sleep 0.05; done",
                                        sent[i].name));
        kill(pid, sent[i].number);
        CHECK_EQ(read(reader, line, sizeof line), 4);
        waitpid(pid, &status, 0);
        CHECK_EQ(WEXITSTATUS(status), 9);
        close(reader);
        /* And as itself: one that it does not handle is what it dies of. */
        pid = start_script(&reader, "--grace=5s", "echo up; exec sleep 600");
        kill(pid, sent[i].number);
        waitpid(pid, &status, 0);
        CHECK_EQ(WEXITSTATUS(status), 128 + sent[i].number);
        close(reader);
    }
}

static void last_words_after_a_signal_are_whole_1_4(void) {
    /* What the child says when it is told to end is more than pipes hold, and our reader takes its time. */
    static const char *const mode[] = {"--output=raw", "--output=events"};
    static char block[65536];
    size_t i;
    for (i = 0; i < COUNT(mode); i++) {
        int out[2], status;
        bytes got = {NULL, 0, 0};
        ssize_t n;
        pid_t pid;
        pipe_or_die(out);
        pid = spawn(ARGS(A(wrap_path), A(mode[i]), A("--"), A("/bin/sh"), A("-c"),
                         A(format("trap '%s --text=100K; exit 9' TERM; echo '\"up\"'; "
                                  "while :; do sleep 0.05; done",
                                  fake_path))),
                    open("/dev/null", O_RDONLY | O_CLOEXEC), out[1], -1, NULL);
        close(out[1]);
        keep(&got, "", 0);
        n = read(out[0], block, sizeof block);
        CHECK(n > 0);
        kill(pid, SIGTERM);
        usleep(700000);
        CHECK_EQ(waitpid(pid, &status, WNOHANG), 0);
        while ((n = read(out[0], block, sizeof block)) > 0) keep(&got, block, (size_t)n);
        waitpid(pid, &status, 0);
        CHECK_EQ(WEXITSTATUS(status), 9);
        CHECK(got.len > 150000);
        CHECK_EQ(count_text(&got, "\"type\":\"result\""), 1);
        if (i) CHECK_EQ(count_text(&got, "{\"event\":\"end\""), 1);
        free(got.ptr);
        close(out[0]);
    }
}

static void reader_that_takes_nothing_is_left(void) {
    /* But not for longer than --grace, and not in silence. */
    int out[2], err[2], status, full = 0;
    char said[200];
    uint64_t start;
    ssize_t n;
    pid_t pid;
    pipe_or_die(out);
    pipe_or_die(err);
    pid = spawn(ARGS(A(wrap_path), A("--grace=300ms"), A("--"), A(fake_path), A("--total=3M")),
                open("/dev/null", O_RDONLY | O_CLOEXEC), out[1], err[1], NULL);
    close(out[1]);
    close(err[1]);
    AWAIT(ioctl(out[0], FIONREAD, &full) == 0 && full > 60000); /* so all before it fills, too */
    start = now_ms();
    kill(pid, SIGTERM);
    n = read(err[0], said, sizeof said - 1);
    said[n > 0 ? n : 0] = '\0';
    waitpid(pid, &status, 0);
    CHECK_EQ(WEXITSTATUS(status), 143);
    CHECK(now_ms() - start >= 300 && now_ms() - start < 60000);
    CHECK(strstr(said, "standard output is not complete") != NULL);
    close(out[0]);
    close(err[0]);
}

static uint64_t switches_of(pid_t pid) {
    bytes b = read_file(format("/proc/%d/status", (int)pid));
    const char *p = strstr(b.ptr, "\nvoluntary_ctxt_switches:");
    uint64_t n = p ? strtoull(p + strlen("\nvoluntary_ctxt_switches:"), NULL, 10) : 0;
    free(b.ptr);
    return n;
}

static void nothing_turns_while_nothing_happens(void) {
    /* All that there is to wait for is waited for, and never asked about again and again. */
    char *const *const how[] = {
        ARGS(A("--"), A("sleep"), A("600")),
        ARGS(A("--timeout=startup=100ms,idle=100ms"), A("--"), A("/bin/sh"), A("-c"), A("echo; sleep 600")),
        ARGS(A("--"), A("/bin/sh"), A("-c"), A("exec >&-; sleep 600")),
        ARGS(A("--"), A("/bin/sh"), A("-c"), A("exec >&- 2>&-; sleep 600")),
        ARGS(A("--restart=3"), A("--restart-delay=600s"), A("--"), A("/bin/false")),
        ARGS(A("--linger=600s"), A("--"), A("/bin/sh"), A("-c"), A("sleep 600 & exit 0")),
        ARGS(A("--listen"), A(format("unix:%s", path_of("turn"))), A("--"), A("sleep"), A("600")),
        ARGS(A("--publish"), A(format("unix:%s:/publish", path_of("no"))), A("--"), A("sleep"), A("600")),
        ARGS(A("--pty"), A("--"), A("sleep"), A("600")),
        ARGS(A("--stdin=-"), A("--"), A("sleep"), A("600")),
        ARGS(A("--"), A(fake_path), A("--total=3M"))}; /* its reader takes nothing */
    enum { WAYS = sizeof how / sizeof *how };
    uint64_t before[WAYS];
    int out[2], in[2], null = open("/dev/null", O_WRONLY | O_CLOEXEC);
    pid_t pid[WAYS];
    size_t i;
    pipe_or_die(out);
    pipe_or_die(in);
    for (i = 0; i < WAYS; i++) {
        char *argv[16];
        size_t n;
        argv[0] = A(wrap_path);
        for (n = 0; n < 15 && (argv[n + 1] = how[i][n]) != NULL; n++) {
        }
        pid[i] = spawn(argv, in[0], i == WAYS - 1 ? out[1] : null, -1, NULL);
    }
    usleep(1500000);
    for (i = 0; i < WAYS; i++) before[i] = switches_of(pid[i]);
    usleep(1000000);
    for (i = 0; i < WAYS; i++) {
        uint64_t n = switches_of(pid[i]) - before[i];
        CHECK(before[i] > 0 && n <= 4);
        if (n > 4) printf("  the way of number %zu turned %u times in a second\n", i, (unsigned)n);
        kill(pid[i], SIGKILL);
        waitpid(pid[i], NULL, 0);
    }
    for (i = 0; i < 2; i++) close(out[i]), close(in[i]);
    close(null);
}

static void asked_twice_waits_for_nobody(void) {
    int reader, status;
    uint64_t start = now_ms();
    pid_t pid = start_script(&reader, "--grace=60s", "trap '' INT; echo up; while :; do sleep 0.05; done");
    kill(pid, SIGINT);
    usleep(100000);
    CHECK_EQ(waitpid(pid, &status, WNOHANG), 0);
    kill(pid, SIGINT);
    waitpid(pid, &status, 0);
    CHECK_EQ(WEXITSTATUS(status), 137);
    CHECK(now_ms() - start < 10000);
    close(reader);
}

static void deaf_child_is_killed_after_grace(void) {
    int out[2], status;
    char line[16];
    pid_t pid;
    pipe_or_die(out);
    pid = spawn(ARGS(A(wrap_path), A("--grace=100ms"), A("--"), A("/bin/sh"), A("-c"),
                     A("trap '' TERM; echo up; while :; do sleep 0.05; done")),
                open("/dev/null", O_RDONLY | O_CLOEXEC), out[1], -1, NULL);
    close(out[1]);
    CHECK_EQ(read(out[0], line, sizeof line), 3);
    kill(pid, SIGTERM);
    waitpid(pid, &status, 0);
    CHECK_EQ(WEXITSTATUS(status), 137);
    close(out[0]);
}

/* ---- time ---------------------------------------------------------------------------------------- */

static void timers_report_and_let_live_1_6(void) {
    result r = run(NULL, ARGS(A("--output=events"), A("--timeout=startup=150ms"), A("--"), A("/bin/sh"),
                              A("-c"), A("sleep 0.6; echo '{\"type\":\"late\"}'")));
    CHECK_EQ(r.code, 0);
    CHECK_HAS(r.out, "\"event\":\"stalled\"");
    CHECK_HAS(r.out, "\"timer\":\"startup\"");
    CHECK_HAS(r.out, "\"action\":\"report\"");
    CHECK_HAS(r.out, "\"event\":\"resumed\"");
    CHECK_HAS(r.out, "\"type\":\"late\"");
    CHECK_HAS(r.err, "stalled: startup");
    CHECK_EQ(count_text(&r.out, "\"stalled\""), 1);
    forget(&r);
}

static void idle_timer_tells_what_is_known_1_6_1_11(void) {
    /* Our own progress lines are no sign of life of the child's. */
    result r =
        run(NULL, ARGS(A("--timeout=idle=250ms:stop"), A("--stdin=inherit"), A("--progress=plain"),
                       A("--interval=20ms"), A("--"), A("/bin/sh"), A("-c"), A("echo '{}'; sleep 600")));
    CHECK_EQ(r.code, 124);
    CHECK_HAS(r.err, "stalled: idle");
    CHECK_HAS(r.err, "no CPU used");
    CHECK_HAS(r.err, "its stdin is open");
    CHECK(r.wall_ms < 60000);
    forget(&r);
    r = run(NULL, ARGS(A("--timeout=idle=900ms:stop"), A("--"), A("/bin/sh"), A("-c"),
                       A("echo '{}'; while :; do :; done")));
    CHECK_EQ(r.code, 124);
    CHECK_HAS(r.err, "CPU in use");
    CHECK_EQ(count_text(&r.err, "stdin is open"), 0);
    forget(&r);
}

static void tool_has_a_timer_of_its_own_1_6(void) {
    const char *script =
        "echo '{\"type\":\"assistant\",\"message\":{\"id\":\"m\",\"content\":[{\"type\":\"tool_use\","
        "\"id\":\"t\",\"name\":\"Bash\",\"input\":{}}]}}'; sleep 0.7";
    result r = run(NULL, ARGS(A("--output=events"), A("--timeout=idle=50ms,tool=300ms"), A("--"),
                              A("/bin/sh"), A("-c"), A(script)));
    CHECK_EQ(r.code, 0);
    CHECK_EQ(count_text(&r.out, "\"event\":\"stalled\""), 1); /* not idle: a tool runs */
    CHECK_HAS(r.out, "\"timer\":\"tool\"");
    CHECK_HAS(r.out, "\"tool\":\"Bash\"");
    forget(&r);
}

static void total_and_exit_timers_stop_1_5(void) {
    result r = run(NULL, ARGS(A("--timeout=total=300ms:stop"), A("--"), A("/bin/sh"), A("-c"),
                              A("while :; do echo '{}'; sleep 0.01; done")));
    CHECK_EQ(r.code, 124);
    CHECK_HAS(r.err, "stalled: total");
    forget(&r);
    r = run(NULL, ARGS(A("--timeout=exit=200ms:stop"), A("--"), A("/bin/sh"), A("-c"),
                       A("echo '{\"type\":\"result\"}'; sleep 600")));
    CHECK_EQ(r.code, 124);
    CHECK_HAS(r.err, "stalled: exit");
    CHECK(r.wall_ms < 60000);
    forget(&r);
}

static void next_turn_has_its_timers_again_1_6(void) {
    result r = run(
        NULL, ARGS(A("--timeout=idle=200ms,exit=0"), A("--"), A("/bin/sh"), A("-c"),
                   A("echo '{\"type\":\"result\"}'; sleep 0.5; echo '{\"type\":\"system\"}'; sleep 0.5")));
    CHECK_EQ(r.code, 0);
    CHECK_EQ(count_text(&r.err, "stalled: idle"), 1); /* not between result and system */
    forget(&r);
}

static void slow_reader_is_no_idle_child_1_6(void) {
    int out[2], status;
    static char block[65536];
    ssize_t n;
    pid_t pid;
    pipe_or_die(out);
    pid = spawn(ARGS(A(wrap_path), A("--timeout=idle=200ms:stop"), A("--"), A(fake_path), A("--total=2M")),
                open("/dev/null", O_RDONLY | O_CLOEXEC), out[1], -1, NULL);
    close(out[1]);
    usleep(700000); /* it is we who do not read */
    while ((n = read(out[0], block, sizeof block)) > 0) {
    }
    waitpid(pid, &status, 0);
    CHECK_EQ(WEXITSTATUS(status), 0);
    close(out[0]);
}

static void stopped_wrapper_hears_no_silence_1_6(void) {
    /* ^Z: what the child says meanwhile waits in its pipe, and no timer may take that for silence. */
    int out[2], status;
    char line[64];
    pid_t pid;
    pipe_or_die(out);
    pid = spawn(ARGS(A(wrap_path), A("--timeout=startup=1500ms:stop,idle=1500ms:stop"), A("--"), A("/bin/sh"),
                     A("-c"),
                     A("echo up; for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do "
                       "sleep 0.15; echo $i; done; exit 4")),
                open("/dev/null", O_RDONLY | O_CLOEXEC), out[1], -1, NULL);
    close(out[1]);
    CHECK_EQ(read(out[0], line, 3), 3);
    kill(pid, SIGSTOP);
    usleep(3200000);
    kill(pid, SIGCONT);
    while (read(out[0], line, sizeof line) > 0) {
    }
    waitpid(pid, &status, 0);
    CHECK_EQ(WEXITSTATUS(status), 4);
    close(out[0]);
}

static bool stall_shown(const char *file) {
    bytes b = read_file(file);
    bool shown = strcmp(text_at(&b, "/stalled/timer"), "\"idle\"") == 0;
    free(b.ptr);
    return shown;
}

static void stall_is_seen_everywhere_1_6_1_11(void) {
    /* The event, the line and the file each say it, and all of what is known; and then that it is over. */
    const char *file = path_of("stallstate"), *said = path_of("stallsaid"), *go = path_of("stallgo");
    int status, err = open(said, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600), out[2];
    bytes b = {NULL, 0, 0};
    char part[512];
    ssize_t n;
    pid_t pid;
    unlink(go);
    pipe_or_die(out);
    pid = spawn(ARGS(A(wrap_path), A("--output=events"), A("--status-file"), A(file), A("--interval=20ms"),
                     A("--progress=plain"), A("--timeout=idle=200ms"), A("--stdin=inherit"), A("--"),
                     A("/bin/sh"), A("-c"),
                     A(format("echo '{}'; while ! test -e %s; do sleep 0.05; done; echo '{}'", go))),
                open("/dev/null", O_RDONLY | O_CLOEXEC), out[1], err, NULL);
    close(out[1]);
    AWAIT(stall_shown(file));
    b = read_file(file);
    CHECK(number_at(&b, "/stalled/quiet_ms") >= 200);
    CHECK_EQ(number_at(&b, "/stalls"), 1);
    CHECK_TEXT(text_at(&b, "/stalled/stdin_open"), 4, "true");
    free(b.ptr);
    write_text(go, "", 0);
    b.ptr = NULL;
    b.len = b.cap = 0;
    while ((n = read(out[0], part, sizeof part)) > 0) keep(&b, part, (size_t)n);
    waitpid(pid, &status, 0);
    CHECK_EQ(WEXITSTATUS(status), 0);
    CHECK_EQ(count_text(&b, "\"event\":\"stalled\""), 1);
    CHECK_EQ(count_text(&b, "\"event\":\"resumed\""), 1);
    CHECK_HAS(b, "\"stdin_open\":true");
    free(b.ptr);
    b = read_file(said);
    CHECK_HAS(b, "stream_wrap: 0:00  streaming  stalled: idle for 0 s");
    free(b.ptr);
    b = read_file(file);
    CHECK_TEXT(text_at(&b, "/stalled"), 4, "null");
    free(b.ptr);
    close(out[0]);
    close(err);
}

/* ---- all that the child starts ------------------------------------------------------------------- */

static pid_t pid_in(const char *name) {
    bytes b = read_file(path_of(name));
    pid_t pid = b.len ? (pid_t)atoi(b.ptr) : 0;
    free(b.ptr);
    return pid;
}

static void killed_wrapper_leaves_nothing_1_12(void) {
    const char *script =
        format("echo $$ >%s; setsid sleep 600 & echo $! >%s; (sleep 600 & echo $! >%s); "
               "sh -c 'trap \"\" TERM HUP INT; echo $$ >%s; while :; do sleep 0.1; done' & "
               "while ! test -s %s; do sleep 0.01; done; echo up; wait",
               path_of("k1"), path_of("k2"), path_of("k3"), path_of("k4"), path_of("k4"));
    const char *names[] = {"k1", "k2", "k3", "k4"};
    int reader, i;
    uint64_t start;
    pid_t pid = start_script(&reader, "--grace=5s", script), below[4];
    for (i = 0; i < 4; i++) {
        below[i] = pid_in(names[i]);
        CHECK(below[i] > 1 && !is_gone(below[i]));
    }
    kill(pid, SIGKILL);
    start = now_ms();
    waitpid(pid, NULL, 0);
    for (i = 0; i < 4; i++) AWAIT(is_gone(below[i]));
    CHECK(now_ms() - start < 2000);
    close(reader);
}

static void stopped_grandchild_is_killed_1_12(void) {
    const char *script =
        format("(trap '' TERM; kill -STOP $(sh -c 'echo $PPID >%s; echo $PPID'); sleep 600) & "
               "while ! test -s %s; do sleep 0.01; done; echo up; sleep 600",
               path_of("s1"), path_of("s1"));
    int reader, status;
    pid_t pid = start_script(&reader, "--grace=200ms", script), stopped = pid_in("s1");
    CHECK(stopped > 1);
    kill(pid, SIGTERM);
    waitpid(pid, &status, 0);
    CHECK_EQ(WEXITSTATUS(status), 143); /* of the child itself */
    AWAIT(is_gone(stopped));
    close(reader);
}

static void tree_is_killed_when_its_leader_is_gone_1_12(void) {
    const char *script =
        format("setsid sh -c 'trap \"\" TERM; echo $$ >%s; while :; do sleep 0.05; done' & "
               "while ! test -s %s; do sleep 0.01; done; echo up; sleep 600",
               path_of("l1"), path_of("l1"));
    int reader, status;
    pid_t pid = start_script(&reader, "--grace=200ms", script), deaf = pid_in("l1");
    CHECK(deaf > 1);
    kill(pid, SIGTERM);
    waitpid(pid, &status, 0);
    CHECK_EQ(WEXITSTATUS(status), 143);
    CHECK(is_gone(deaf));
    close(reader);
}

static void killed_guardian_takes_all_with_it_1_12(void) {
    const char *script = format("setsid sleep 600 & echo $! >%s; echo $PPID >%s; echo up; sleep 600",
                                path_of("g1"), path_of("g2"));
    int reader, status;
    pid_t pid = start_script(&reader, "--grace=200ms", script), left = pid_in("g1");
    CHECK(left > 1 && pid_in("g2") > 1);
    kill(pid_in("g2"), SIGKILL);
    waitpid(pid, &status, 0);
    CHECK_EQ(WEXITSTATUS(status), 137);
    CHECK(is_gone(left));
    close(reader);
}

static void orphans_are_left_or_stopped_1_12(void) {
    pid_t pid;
    result r = run_sh("--orphans=stop", format("sleep 600 & echo $! >%s; exit 3", path_of("o1")));
    CHECK_EQ(r.code, 3);
    pid = pid_in("o1");
    CHECK(pid > 1 && is_gone(pid));
    forget(&r);
    r = run_sh("--orphans=leave", format("sleep 600 >&- 2>&- & echo $! >%s; exit 3", path_of("o2")));
    CHECK_EQ(r.code, 3);
    pid = pid_in("o2");
    CHECK(pid > 1 && !is_gone(pid));
    if (pid > 1) kill(pid, SIGKILL);
    forget(&r);
}

static void no_zombie_is_left_1_12(void) {
    result r = run_sh(NULL, format("cp /bin/true %s; for i in 1 2 3 4 5; do (%s &); done; sleep 0.3; "
                                   "grep -l 'Name:.zombie_try' /proc/[0-9]*/status 2>/dev/null | wc -l",
                                   path_of("zombie_try"), path_of("zombie_try")));
    CHECK_TEXT(r.out.ptr, r.out.len, "0\n");
    forget(&r);
}

/* ---- how the child is run ------------------------------------------------------------------------ */

static void terminal_for_the_child_changes_no_byte_1_20(void) {
    result r = run_sh("--pty", "test -t 1 && echo tty; stty size <&1; printf 'a\\r\\nb\\tc\\n'; test -t 2 "
                               "|| echo pipe >&2; exit 4");
    CHECK_EQ(r.code, 4);
    CHECK_TEXT(r.out.ptr, r.out.len, "tty\n24 4096\na\r\nb\tc\n");
    CHECK_TEXT(r.err.ptr, r.err.len, "pipe\n");
    forget(&r);
    r = run(NULL, ARGS(A("--pty"), A("--metrics=json"), A("--"), A(fake_path), A("--total=3M")));
    CHECK_EQ(r.code, 0);
    CHECK_EQ(number_at(&r.err, "/stream_wrap_bytes_total"), (int64_t)r.out_len);
    CHECK_EQ(number_at(&r.err, "/stream_wrap_records_total{type=\"result\"}"), 1);
    forget(&r);
}

/* Both ends of a terminal of that size: ours, and *terminal for a program. */
static int open_terminal(int *terminal, unsigned short rows, unsigned short columns) {
    struct winsize size = {rows, columns, 0, 0};
    int master = posix_openpt(O_RDWR | O_NOCTTY);
    if (master < 0 || grantpt(master) != 0 || unlockpt(master) != 0) exit(94);
    fcntl(master, F_SETFD, FD_CLOEXEC);
    *terminal = open(ptsname(master), O_RDWR | O_NOCTTY | O_CLOEXEC);
    ioctl(master, TIOCSWINSZ, &size);
    return master;
}

/* Runs stream_wrap on a terminal of its own, but for standard error. When "up" comes, the text is typed or,
   if it is NULL, the window made 77 columns wide instead of 100. All that came, and the exit code. */
static bytes run_on_terminal(char *const args[], const char *typed, int *code) {
    int terminal, status, master = open_terminal(&terminal, 40, 100);
    struct winsize narrow = {40, 77, 0, 0};
    bytes got = {NULL, 0, 0};
    bool done = false;
    char *argv[16], part[256];
    ssize_t n;
    size_t i;
    pid_t pid;
    argv[0] = A(wrap_path);
    for (i = 0; i < 15 && (argv[i + 1] = args[i]) != NULL; i++) {
    }
    keep(&got, "", 0);
    pid = fork();
    if (pid == 0) {
        setsid();
        ioctl(terminal, TIOCSCTTY, 0);
        dup2(terminal, 0);
        dup2(terminal, 1);
        dup2(open("/dev/null", O_WRONLY), 2);
        execv(wrap_path, argv);
        _exit(97);
    }
    close(terminal);
    while ((n = read(master, part, sizeof part)) > 0) {
        keep(&got, part, (size_t)n);
        if (done || count_text(&got, "up") == 0) continue;
        done = typed ? write(master, typed, strlen(typed)) > 0 : ioctl(master, TIOCSWINSZ, &narrow) == 0;
    }
    waitpid(pid, &status, 0);
    *code = WEXITSTATUS(status);
    close(master);
    return got;
}

static void window_size_reaches_the_child_1_20(void) {
    int code;
    bytes got = run_on_terminal(ARGS(A("--pty"), A("--"), A("/bin/sh"), A("-c"),
                                     A("stty size <&1; trap 'stty size <&1; exit 0' WINCH; echo up; "
                                       "while :; do sleep 0.05; done")),
                                NULL, &code);
    CHECK_EQ(code, 0);
    CHECK_HAS(got, "40 100");
    CHECK_HAS(got, "40 77");
    free(got.ptr);
}

static void child_may_read_our_terminal(void) {
    int code;
    bytes got = run_on_terminal(ARGS(A("--stdin=inherit"), A("--"), A("/bin/sh"), A("-c"),
                                     A("echo up; read line; echo \"got $line\"; exit 3")),
                                "typed\n", &code);
    CHECK_EQ(code, 3);
    CHECK_HAS(got, "got typed");
    free(got.ptr);
}

static void typed_interrupt_comes_once(void) {
    /* A child that shares our terminal has it from there; one that does not has it from us. */
    static const char *const how[][2] = {{"--stdin=inherit", "--stderr=drop"},
                                         {"--stdin=null", "--stderr=drop"},
                                         {"--stdin=inherit", "--pty"}};
    size_t i;
    for (i = 0; i < COUNT(how); i++) {
        int code;
        bytes got = run_on_terminal(ARGS(A(how[i][0]), A(how[i][1]), A("--"), A("/bin/sh"), A("-c"),
                                         A("n=0; trap 'n=$((n+1))' INT; echo up; while test $n = 0; do "
                                           "sleep 0.05; done; sleep 0.3; echo heard $n; exit 3")),
                                    "\003", &code);
        CHECK_EQ(code, 3);
        CHECK_HAS(got, "heard 1");
        free(got.ptr);
    }
}

#if defined(F_GETPIPE_SZ)
static void pipe_of_the_child_is_large_1_4(void) {
    static const struct {
        const char *preset, *size;
    } c[] = {{"--preset=balanced", "1048576\n"}, {"--preset=low-memory", "65536\n"}};
    size_t i;
    for (i = 0; i < COUNT(c); i++) {
        result r = run(NULL, ARGS(A(c[i].preset), A("--"), A(program), A("pipe-size")));
        CHECK_TEXT(r.out.ptr, r.out.len, c[i].size);
        forget(&r);
    }
}
#endif

static void child_may_write_to_socket_or_file_1_4(void) {
    static const char *const to[] = {"--child-stdout=pipe", "--child-stdout=socket", "--child-stdout=file"};
    uint64_t want = 0;
    int i;
    for (i = 0; i < 3; i++) {
        setup s;
        result r;
        memset(&s, 0, sizeof s);
        s.discard = true;
        r = run_with(&s, ARGS(A(to[i]), A("--"), A(fake_path), A("--total=3M"), A("--seed=5")));
        CHECK_EQ(r.code, 0);
        CHECK(r.out_len > 3000000);
        if (i == 0) want = r.out_hash;
        CHECK(r.out_hash == want);
        forget(&r);
        r = run_sh(to[i], "echo a; sleep 0.15; echo b; (sleep 0.15; echo c) & exit 5");
        CHECK_EQ(r.code, 5);
        CHECK_TEXT(r.out.ptr, r.out.len, "a\nb\nc\n");
        forget(&r);
    }
}

static void environment_and_directory(void) {
    result r = run(NULL, ARGS(A("--env=FOO=bar=x"), A("--env"), A("HOME"), A("--cwd=/"), A("--"),
                              A("/bin/sh"), A("-c"), A("echo $FOO-$HOME-$(pwd)")));
    CHECK_EQ(r.code, 0);
    CHECK_TEXT(r.out.ptr, r.out.len, "bar=x--/\n");
    forget(&r);
    r = run(NULL, ARGS(A("--cwd=/no/such/place"), A("--"), A("true")));
    CHECK_EQ(r.code, 125);
    CHECK_HAS(r.err, "--cwd /no/such/place");
    forget(&r);
}

/* ---- the tee ------------------------------------------------------------------------------------- */

static void tee_has_every_byte(void) {
    static const char *const modes[] = {"--output=raw", "--output=text", "--output=events"};
    const char *file = path_of("tee");
    bytes want = {NULL, 0, 0};
    int i;
    for (i = 0; i < 3; i++) {
        result r =
            run(NULL, ARGS(A("--tee"), A(file), A(modes[i]), A("--"), A(fake_path), A("--total=3M")));
        bytes copy = read_file(file);
        CHECK_EQ(r.code, 0);
        if (i == 0) {
            keep(&want, r.out.ptr, r.out.len);
            CHECK(want.len > 3000000);
        }
        CHECK_BYTES(copy.ptr, copy.len, want.ptr, want.len);
        free(copy.ptr);
        forget(&r);
    }
    free(want.ptr);
    unlink(file);
}

static void full_disk_behind_the_tee(void) {
    const char *file = path_of("teestate");
    bytes state;
    result r = run(NULL, ARGS(A("--tee=/dev/full"), A("--status-file"), A(file), A("--"), A(fake_path),
                              A("--total=1M")));
    CHECK_EQ(r.code, 0); /* the stream does not suffer */
    CHECK(r.out_len > 1000000);
    CHECK_HAS(r.err, "--tee /dev/full: No space left on device; going on without it");
    CHECK_EQ(count_text(&r.err, "\n"), 1);
    state = read_file(file);
    CHECK_EQ(number_at(&state, "/tee_dropped"), (int64_t)r.out_len);
    free(state.ptr);
    forget(&r);
    r = run(NULL, ARGS(A("--tee=/dev/full"), A("--tee-policy=stop"), A("--"), A("/bin/sh"), A("-c"),
                       A("while :; do echo '{}'; done")));
    CHECK_EQ(r.code, 125);
    CHECK_HAS(r.err, "stopping");
    forget(&r);
    r = run(NULL, ARGS(A("--tee=/no/such/place/x"), A("--"), A("true")));
    CHECK_EQ(r.code, 125);
    CHECK_HAS(r.err, "--tee /no/such/place/x");
    forget(&r);
}

static void file_size_limit_is_a_full_disk(void) {
    const char *file = path_of("limited");
    bytes b;
    result r =
        run(NULL,
            ARGS(A("--"), A("/bin/sh"), A("-c"),
                 A(format("ulimit -f 64; exec %s --tee %s -- %s --total=1M", wrap_path, file, fake_path))));
    CHECK_EQ(r.code, 0);
    CHECK(r.out_len > 1000000);
    CHECK_HAS(r.err, "File too large; going on without it");
    b = read_file(file);
    CHECK(b.len == 32768 || b.len == 65536); /* blocks of 512 bytes, or of 1024 */
    CHECK(memcmp(b.ptr, r.out.ptr, b.len) == 0);
    free(b.ptr);
    forget(&r);
}

static void unread_tee_holds_nothing_up_unless_asked(void) {
    const char *fifo = path_of("teefifo"), *file = path_of("fifostate");
    int reader, status;
    bytes state;
    pid_t pid;
    result r;
    CHECK_EQ(mkfifo(fifo, 0600), 0);
    reader = open(fifo, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    r = run(NULL,
            ARGS(A("--tee"), A(fifo), A("--status-file"), A(file), A("--"), A(fake_path), A("--total=4M")));
    CHECK_EQ(r.code, 0);
    CHECK(r.out_len > 4000000);
    state = read_file(file);
    CHECK(number_at(&state, "/tee_dropped") > 2000000);
    CHECK_EQ(number_at(&state, "/tee_dropped") + number_at(&state, "/tee_bytes"), (int64_t)r.out_len);
    free(state.ptr);
    forget(&r);
    pid = spawn(ARGS(A(wrap_path), A("--tee"), A(fifo), A("--tee-policy=wait"), A("--"), A(fake_path),
                     A("--total=4M")),
                open("/dev/null", O_RDONLY | O_CLOEXEC), open("/dev/null", O_WRONLY | O_CLOEXEC), -1, NULL);
    usleep(300000);
    CHECK_EQ(waitpid(pid, &status, WNOHANG), 0); /* waits */
    {
        static char block[65536];
        uint64_t got = 0;
        ssize_t n;
        fcntl(reader, F_SETFL, 0);
        while ((n = read(reader, block, sizeof block)) > 0) got += (uint64_t)n;
        CHECK(got > 4000000);
    }
    waitpid(pid, &status, 0);
    CHECK_EQ(WEXITSTATUS(status), 0);
    close(reader);
}

/* ---- other CLIs ---------------------------------------------------------------------------------- */

static const char codex_stream[] =
    "{\"type\":\"thread.started\",\"thread_id\":\"th-1\"}\n{\"type\":\"turn.started\"}\n"
    "{\"type\":\"item.started\",\"item\":{\"id\":\"i1\",\"type\":\"command_execution\",\"command\":\"ls\"}}"
    "\n"
    "{\"type\":\"item.completed\",\"item\":{\"id\":\"i1\",\"type\":\"command_execution\",\"exit_code\":1,"
    "\"status\":\"failed\"}}\n"
    "{\"type\":\"item.completed\",\"item\":{\"id\":\"i2\",\"type\":\"agent_message\",\"text\":\"Done.\"}}\n"
    "{\"type\":\"turn.completed\",\"usage\":{\"input_tokens\":100,\"cached_input_tokens\":60,\"output_"
    "tokens\":7}}\n";

static const char gemini_stream[] =
    "{\"type\":\"init\",\"timestamp\":\"t\",\"session_id\":\"g-1\",\"model\":\"gemini-x\"}\n"
    "{\"type\":\"message\",\"role\":\"user\",\"content\":\"hi\"}\n"
    "{\"type\":\"message\",\"role\":\"assistant\",\"content\":\"Hel\",\"delta\":true}\n"
    "{\"type\":\"message\",\"role\":\"assistant\",\"content\":\"lo\",\"delta\":true}\n"
    "{\"type\":\"tool_use\",\"tool_name\":\"read_file\",\"tool_id\":\"r1\",\"parameters\":{\"path\":\"x\"}}"
    "\n"
    "{\"type\":\"tool_result\",\"tool_id\":\"r1\",\"status\":\"success\"}\n"
    "{\"type\":\"message\",\"role\":\"assistant\",\"content\":\"Bye\",\"delta\":true}\n"
    "{\"type\":\"result\",\"status\":\"success\",\"stats\":{\"input_tokens\":30,\"output_tokens\":20,"
    "\"cached\":10,"
    "\"input\":20}}\n";

static void codex_and_gemini_are_known(void) {
    static const struct {
        const char *stream, *map, *text, *session, *name;
        int64_t input, output, cached, messages;
    } c[] = {{codex_stream, "--map=codex", "Done.\n", "\"th-1\"", "\"name\":\"command_execution\"", 40, 7,
              60, 1},
             {gemini_stream, "--map=gemini", "Hello\nBye\n", "\"g-1\"", "\"name\":\"read_file\"", 20, 20,
              10, 2}};
    size_t i, at;
    int by_itself;
    for (i = 0; i < 2; i++) {
        result r = run(c[i].stream, ARGS(A("--output=events"), A(c[i].map))), text;
        bytes state;
        CHECK_HAS(r.out, "\"event\":\"start\"");
        CHECK_HAS(r.out, "\"event\":\"tool_start\"");
        CHECK_HAS(r.out, c[i].name);
        CHECK_HAS(r.out, i == 0 ? "\"is_error\":true" : "\"is_error\":false");
        CHECK_HAS(r.out, "\"event\":\"result\"");
        forget(&r);
        for (by_itself = 0; by_itself < 2; by_itself++) {
            text = run(c[i].stream, ARGS(A("--output=text"), A(by_itself ? "--map=auto" : c[i].map)));
            CHECK_TEXT(text.out.ptr, text.out.len, c[i].text);
            forget(&text);
        }
        state = status_of(c[i].stream, strlen(c[i].stream), &r, "--map=auto");
        CHECK_EQ(r.code, 0);
        CHECK_TEXT(r.out.ptr, r.out.len, c[i].stream); /* raw is raw */
        CHECK_TEXT(text_at(&state, "/session_id"), strlen(text_at(&state, "/session_id")), c[i].session);
        CHECK_EQ(number_at(&state, "/tokens/input"), c[i].input);
        CHECK_EQ(number_at(&state, "/tokens/output"), c[i].output);
        CHECK_EQ(number_at(&state, "/tokens/cache_read"), c[i].cached);
        CHECK_EQ(number_at(&state, "/messages"), c[i].messages);
        CHECK_EQ(number_at(&state, "/tools_started"), 1);
        CHECK_TEXT(text_at(&state, "/missing"), strlen(text_at(&state, "/missing")), "null");
        free(state.ptr);
        forget(&r);
        r = run(NULL, ARGS(A("--show-map"), A(c[i].map + 6)));
        CHECK_EQ(r.code, 0);
        CHECK(r.out.len > 0 && stream_json_check(r.out.ptr, r.out.len - 1, &at) == STREAM_OK);
        forget(&r);
    }
}

static void mapping_of_ones_own(void) {
    static const char map[] =
        "{\"type\":\"/k~1d\",\"rules\":["
        "{\"when\":{\"/k~1d\":[\"say\",\"shout\"],\"/deep/0\":7},\"is\":\"text\",\"text\":\"/t\"},"
        "{\"when\":{\"/k~1d\":\"end\"},\"is\":\"result\",\"cost\":\"/c\",\"failed\":{\"/bad\":true}}]}";
    static const char stream[] =
        "{\"k/d\":\"say\",\"deep\":[7],\"t\":\"one\"}\n{\"k/d\":\"say\",\"deep\":[8],\"t\":\"no\"}\n"
        "{\"deep\":[7],\"t\":\"tw\\u006f\",\"k/d\":\"sh\\u006fut\"}\n{\"k/d\":\"end\",\"c\":0.5}\n";
    static const struct {
        const char *text, *said;
    } bad[] = {{"{}", "line 1: no \"rules\""},
               {"[]", "line 1: no \"rules\""},
               {"", "line 1: no JSON"},
               {"{\n\"rules\":\n7}", "line 3: no \"rules\""},
               {"{\"rules\":[\n{\"is\":\"text\"},\n{\"is\":\n\"nothing\"}]}", "line 3: \"is\""},
               {"{\"rules\":[\n\n{\"text\":\"no\"}]}", "line 3: a member"},
               {"{\"rules\":[{\n\"when\":[]}]}", "line 2: \"when\""},
               {"{\"rules\":[{\"failed\":{\"/x\":{}}}]}", "line 1: \"failed\""},
               {"{\"rules\":[\n{\"what\":\"/x\"}]}", "line 2: a rule has a member of an unknown name"},
               {"{\"rules\":[{},\n7]}", "line 2: a rule is no object"},
               {"{\n\n\"type\":\"no\",\"rules\":[]}", "line 3: \"type\""},
               {"{\n\"first\":[],\"rules\":[]}", "line 2: \"first\""},
               {"{\n\n\"rules\":[}", "line 3: no JSON"},
               {"{\"rules\":", "line 1: no JSON"},
               {"\xEF\xBB\xBF{\n7}", "line 2: no JSON"},
               {"\xFF\xFE{\n", "line 1: UTF-16"}};
    const char *file = path_of("map.json"), *marked;
    bytes state;
    size_t i;
    result r;
    write_text(file, map, strlen(map));
    r = run(stream, ARGS(A("--map"), A(file), A("--output=text")));
    CHECK_EQ(r.code, 0);
    CHECK_TEXT(r.out.ptr, r.out.len, "one\ntwo\n");
    forget(&r);
    marked = format("\xEF\xBB\xBF%s\r\n", map); /* as editors on Windows save it */
    write_text(file, marked, strlen(marked));
    r = run(stream, ARGS(A("--map"), A(file), A("--output=text")));
    CHECK_TEXT(r.out.ptr, r.out.len, "one\ntwo\n");
    forget(&r);
    state = status_of(stream, strlen(stream), &r, format("--map=%s", file));
    CHECK_EQ(number_at(&state, "/types/say"), 2);
    CHECK_EQ(number_at(&state, "/types/shout"), 1);
    CHECK_TEXT(text_at(&state, "/cost_usd"), strlen(text_at(&state, "/cost_usd")), "0.5");
    free(state.ptr);
    forget(&r);
    for (i = 0; i < sizeof bad / sizeof *bad; i++) {
        write_text(file, bad[i].text, strlen(bad[i].text));
        refused(ARGS(A("--map"), A(file)), format("--map %s: %s", file, bad[i].said));
    }
    refused(ARGS(A("--map=/no/such/file")), "--map /no/such/file: No such file or directory");
}

/* ---- the endpoint -------------------------------------------------------------------------------- */

/* Asks over a Unix socket; the connection, from which the answer can be read. */
static int ask(const char *path, const char *target, const char *host) {
    struct sockaddr_un address;
    char request[256];
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), n;
    memset(&address, 0, sizeof address);
    address.sun_family = AF_UNIX;
    snprintf(address.sun_path, sizeof address.sun_path, "%s", path);
    AWAIT(connect(fd, (struct sockaddr *)&address, sizeof address) == 0);
    n = snprintf(request, sizeof request, "GET %s HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n",
                 target, host);
    CHECK_EQ(write(fd, request, (size_t)n), n);
    return fd;
}

static bytes answer_of(int fd) {
    bytes b = {NULL, 0, 0};
    char part[65536];
    ssize_t n;
    keep(&b, "", 0);
    while ((n = read(fd, part, sizeof part)) > 0) keep(&b, part, (size_t)n);
    close(fd);
    return b;
}

static void endpoint_tells_how_it_goes(void) {
    const char *path = path_of("socket"), *go = path_of("go");
    int out[2], stalled, events, status;
    static char block[65536];
    uint64_t total = 0;
    ssize_t n;
    bytes b;
    pid_t pid;
    unlink(go);
    pipe_or_die(out);
    pid =
        spawn(ARGS(A(wrap_path), A("--listen"), A(format("unix:%s", path)), A("--"), A("/bin/sh"), A("-c"),
                   A(format("while ! test -e %s; do sleep 0.01; done; %s --total 6M; "
                            "echo '{\"type\":\"the_last\"}'",
                            go, fake_path))),
              open("/dev/null", O_RDONLY | O_CLOEXEC), out[1], -1, NULL);
    close(out[1]);
    b = answer_of(ask(path, "/status", "localhost"));
    CHECK_HAS(b, "HTTP/1.1 200 OK\r\n");
    CHECK_HAS(b, "\"state\":\"start\"");
    free(b.ptr);
    b = answer_of(ask(path, "/metrics", "127.0.0.1:80"));
    CHECK_HAS(b, "# TYPE stream_wrap_bytes_total counter\n");
    free(b.ptr);
    b = answer_of(ask(path, "/nothing", "localhost"));
    CHECK_HAS(b, "HTTP/1.1 404 ");
    free(b.ptr);
    b = answer_of(ask(path, "/events", "rebound.example"));
    CHECK_HAS(b, "HTTP/1.1 403 ");
    free(b.ptr);
    b = answer_of(ask(path, "/status", "1.fa.ce"));
    CHECK_HAS(b, "HTTP/1.1 403 ");
    free(b.ptr);
    b = answer_of(ask(path, "/status", "[::1]:80"));
    CHECK_HAS(b, "HTTP/1.1 200 ");
    free(b.ptr);
    stalled = ask(path, "/events", "localhost"); /* never read: holds nothing up */
    events = ask(path, "/events", "localhost");
    n = read(events, block, 400);
    b.ptr = NULL;
    b.len = b.cap = 0;
    keep(&b, block, n > 0 ? (size_t)n : 0);
    CHECK_HAS(b, "Content-Type: text/event-stream\r\n");
    CHECK_HAS(b, "event: status\ndata: {\"version\"");
    free(b.ptr);
    write_text(go, "", 0);
    while ((n = read(out[0], block, sizeof block)) > 0) total += (uint64_t)n;
    CHECK(total > 6000000);
    b = answer_of(events); /* read too late for most of it, and told so; the end is there */
    CHECK(count_text(&b, "event: start\ndata: {\"event\":\"start\"") + count_text(&b, "event: gap") > 0);
    close(stalled);
    waitpid(pid, &status, 0);
    CHECK_EQ(WEXITSTATUS(status), 0);
    CHECK(access(path, F_OK) != 0);
    free(b.ptr);
    close(out[0]);
}

static void subscriber_that_keeps_up_gets_every_event(void) {
    const char *path = path_of("socket2"), *go = path_of("go2");
    int status, i;
    bytes b;
    pid_t pid;
    unlink(go);
    pid =
        spawn(ARGS(A(wrap_path), A("--listen"), A(format("unix:%s", path)), A("--"), A("/bin/sh"), A("-c"),
                   A(format("while ! test -e %s; do sleep 0.01; done; %s --seed=9", go, fake_path))),
              open("/dev/null", O_RDONLY | O_CLOEXEC), open("/dev/null", O_WRONLY | O_CLOEXEC), -1, NULL);
    i = ask(path, "/events", "localhost");
    {
        char first[300];
        CHECK(read(i, first, sizeof first) > 0);
    }
    write_text(go, "", 0);
    b = answer_of(i);
    waitpid(pid, &status, 0);
    CHECK_EQ(WEXITSTATUS(status), 0);
    CHECK_EQ(count_text(&b, "event: gap"), 0);
    CHECK_EQ(count_text(&b, "event: result\ndata: {\"event\":\"result\""), 1);
    CHECK_EQ(count_text(&b, "event: end\ndata: {\"event\":\"end\""), 1);
    CHECK(count_text(&b, "event: text\n") > 5);
    free(b.ptr);
}

static void what_ends_behind_the_child_disturbs_no_subscriber(void) {
    /* The last second is for a subscriber that has not taken everything yet; our input ends within it. */
    const char *path = path_of("socket3"), *go = path_of("go3"), *file = path_of("state3");
    int status, subscriber, in[2];
    bytes b;
    pid_t pid;
    char first[300];
    pipe_or_die(in);
    unlink(go);
    unlink(file);
    pid = spawn(ARGS(A(wrap_path), A("--stdin=-"), A("--status-file"), A(file), A("--listen"),
                     A(format("unix:%s", path)), A("--"), A("/bin/sh"), A("-c"),
                     A(format("while ! test -e %s; do sleep 0.01; done; %s --seed=9 --turns=200", go,
                              fake_path))),
                in[0], open("/dev/null", O_WRONLY | O_CLOEXEC), -1, NULL);
    close(in[0]);
    subscriber = ask(path, "/events", "localhost");
    CHECK(read(subscriber, first, sizeof first) > 0);
    write_text(go, "", 0);
    AWAIT(exit_code_shown(file, 0));
    CHECK_EQ(write(in[1], "late", 4), 4);
    close(in[1]);
    b = answer_of(subscriber);
    waitpid(pid, &status, 0);
    CHECK(WIFEXITED(status));
    CHECK_EQ(WEXITSTATUS(status), 0);
    CHECK(b.len > 10000);
    free(b.ptr);
}

/* ---- the view ------------------------------------------------------------------------------------ */

/* A time in the summary, of which the state has whole milliseconds. */
static bool has_seconds(const bytes *text, const char *said, int64_t ms) {
    double low = (double)ms / 1e3, high = (double)(ms + 1) / 1e3;
    return count_text(text, format(said, low, low)) > 0 || count_text(text, format(said, high, high)) > 0;
}

static void summary_is_complete_1_17(void) {
    const char *script =
        "echo '{\"type\":\"assistant\",\"message\":{\"id\":\"m\",\"usage\":{\"input_tokens\":10,"
        "\"cache_read_input_tokens\":2000,\"cache_creation_input_tokens\":300},\"content\":[{\"type\":"
        "\"tool_use\",\"id\":\"t\",\"name\":\"Bash\",\"input\":{}}]}}'; sleep 0.3; echo 'noise'; "
        "echo '{\"type\":\"user\",\"message\":{\"content\":[{\"type\":\"tool_result\",\"tool_use_id\":"
        "\"t\",\"is_error\":true}]}}'; echo complaint >&2; "
        "echo '{\"type\":\"result\",\"total_cost_usd\":0.25}'; printf '{\"cut'";
    const char *file = path_of("summary");
    int64_t ms;
    bytes state;
    result r = run(
        NULL, ARGS(A("--summary"), A("--status-file"), A(file), A("--"), A("/bin/sh"), A("-c"), A(script)));
    CHECK_EQ(r.code, 65);
    CHECK_HAS(r.err, "3 records");
    CHECK_HAS(r.err, "1 result\n");
    CHECK_HAS(r.err, "1 messages, 1 tools, 2.3k tokens in (2.0k from cache, 300 into it), 0 out, $0.2500");
    CHECK_HAS(r.err, "10 bytes of standard error, 0 dropped");
    CHECK_HAS(r.err, "odd: 1 noise, 0 invalid, 0 oversize, 1 truncated");
    CHECK_HAS(r.err, "note: the last record was cut off");
    state = read_file(file);
    CHECK_EQ(number_at(&state, "/tools/0/calls"), 1);
    CHECK_EQ(number_at(&state, "/tools/0/failed"), 1);
    ms = number_at(&state, "/tools/0/ms");
    CHECK(ms >= 150 && ms == number_at(&state, "/tools/0/longest_ms"));
    CHECK(has_seconds(&r.err, "1 Bash: %.1f s, the longest %.1f s, some failed", ms));
    ms = number_at(&state, "/longest_silence_ms");
    CHECK(ms >= 150);
    CHECK(has_seconds(&r.err, "longest silence %.1f s", ms));
    free(state.ptr);
    forget(&r);
}

static void slow_reader_shows_in_the_state(void) {
    const char *file = path_of("slowstate");
    static char block[65536];
    int out[2], status;
    bytes state;
    pid_t pid;
    pipe_or_die(out);
    pid = spawn(ARGS(A(wrap_path), A("--status-file"), A(file), A("--interval=20ms"), A("--"), A(fake_path),
                     A("--total=3M")),
                open("/dev/null", O_RDONLY | O_CLOEXEC), out[1], -1, NULL);
    close(out[1]);
    usleep(300000);
    state = read_file(file);
    CHECK(number_at(&state, "/lag") > 0);
    CHECK(number_at(&state, "/bytes") < 2000000); /* the child waits, too */
    CHECK(strcmp(text_at(&state, "/slow_reader"), "true") == 0);
    free(state.ptr);
    while (read(out[0], block, sizeof block) > 0) {
    }
    waitpid(pid, &status, 0);
    CHECK_EQ(WEXITSTATUS(status), 0);
    state = read_file(file);
    CHECK(number_at(&state, "/blocked_ms") > 150);
    CHECK_EQ(number_at(&state, "/lag"), 0);
    free(state.ptr);
    close(out[0]);
}

static void slow_reader_shows_in_the_metrics(void) {
    const char *path = path_of("slowsocket");
    static char block[65536];
    int out[2], status;
    bytes b;
    pid_t pid;
    pipe_or_die(out);
    pid = spawn(ARGS(A(wrap_path), A("--listen"), A(format("unix:%s", path)), A("--"), A(fake_path),
                     A("--total=3M")),
                open("/dev/null", O_RDONLY | O_CLOEXEC), out[1], -1, NULL);
    close(out[1]);
    usleep(300000);
    b = answer_of(ask(path, "/metrics", "localhost"));
    CHECK_HAS(b, "\nstream_wrap_slow_reader 1\n");
    CHECK_EQ(count_text(&b, "\nstream_wrap_lag_bytes 0\n"), 0);
    CHECK_EQ(count_text(&b, "\nstream_wrap_blocked_seconds_total 0\n"), 0);
    free(b.ptr);
    while (read(out[0], block, sizeof block) > 0) {
    }
    waitpid(pid, &status, 0);
    CHECK_EQ(WEXITSTATUS(status), 0);
    close(out[0]);
}

static void dumb_terminal_gets_plain_lines_1_17(void) {
    int terminal, status, master = open_terminal(&terminal, 24, 80);
    bytes screen = {NULL, 0, 0};
    char part[4096];
    ssize_t n;
    pid_t pid;
    keep(&screen, "", 0);
    setenv("TERM", "dumb", 1);
    pid = spawn(ARGS(A(wrap_path), A("--interval=20ms"), A("--"), A("/bin/sh"), A("-c"),
                     A("echo '{}'; sleep 10.4")),
                open("/dev/null", O_RDONLY | O_CLOEXEC), open("/dev/null", O_WRONLY | O_CLOEXEC), terminal,
                NULL);
    setenv("TERM", "xterm", 1);
    close(terminal);
    while ((n = read(master, part, sizeof part)) > 0) keep(&screen, part, (size_t)n);
    waitpid(pid, &status, 0);
    CHECK_EQ(count_text(&screen, "\033"), 0);
    CHECK_HAS(screen, "stream_wrap: 0:10  streaming  last 0:");
    CHECK_EQ(count_text(&screen, "\n"), 1); /* few of them, whatever --interval says */
    free(screen.ptr);
    close(master);
}

/* What stands in the pane of a tmux server of our own. */
static bytes pane(const char *command) {
    bytes b = {NULL, 0, 0};
    char part[4096];
    size_t n;
    FILE *p = popen(command, "r");
    keep(&b, "", 0);
    while (p && (n = fread(part, 1, sizeof part, p)) > 0) keep(&b, part, n);
    if (p) pclose(p);
    return b;
}

static void status_line_in_a_tmux_pane_1_17(void) {
    char script[1024], tmux[128];
    size_t looks = 0, seen = 0, at_most = 0, i;
    bytes b = {NULL, 0, 0};
    if (system("command -v tmux >/dev/null 2>&1") != 0) {
        test_skip("no tmux here");
        return;
    }
    unsetenv("TMUX");
    snprintf(tmux, sizeof tmux, "tmux -f /dev/null -S %s", path_of("tmux"));
    snprintf(script, sizeof script,
             "%s --name 'a name that is far too long' -- sh -c 'i=0; while [ $i -lt 40 ]; do "
             "echo {\\\"type\\\":\\\"tick\\\"}; sleep 0.05; i=$((i+1)); done'\n"
             "echo over\nsleep 5\n",
             wrap_path);
    write_text(path_of("pane.sh"), script, strlen(script));
    CHECK_EQ(system(format("%s new-session -d -x 90 -y 50 'sh %s'", tmux, path_of("pane.sh"))), 0);
    for (i = 0; i < 300; i++) {
        static const struct {
            size_t at;
            const char *columns;
        } resize[] = {{20, "30"}, {40, "20"}, {60, "90"}}; /* ticks: during output */
        static size_t resized;
        size_t ticks;
        free(b.ptr);
        b = pane(format("%s capture-pane -p -S - 2>/dev/null", tmux)); /* and what scrolled away */
        ticks = count_text(&b, "tick");
        if (i == 0) resized = 0;
        if (count_text(&b, "over") > 0) break;
        if (ticks > 0) { /* there, and once, whatever the width was a moment ago */
            looks++;
            seen += count_text(&b, "a name") > 0;
            if (count_text(&b, "a name") > at_most) at_most = count_text(&b, "a name");
        }
        if (resized < COUNT(resize) && ticks * 2 >= resize[resized].at)
            CHECK_EQ(system(format("%s resize-window -x %s 2>/dev/null", tmux, resize[resized++].columns)),
                     0);
        usleep(20000);
    }
    CHECK_HAS(b, "over");
    CHECK_EQ(count_text(&b, "tick"), 40);  /* what the child said stands, line for line */
    CHECK_EQ(count_text(&b, "a name"), 0); /* and nothing of ours is left, folded or not */
    CHECK_EQ(count_text(&b, " 0:0"), 0);
    CHECK_EQ(count_text(&b, "streaming"), 0);
    CHECK(looks >= 10);
    CHECK(seen * 10 >= looks * 6); /* it stands beside quick output, too: no flicker */
    CHECK_EQ(at_most, 1);
    free(b.ptr);
    b = pane(format("%s kill-server 2>&1", tmux));
    free(b.ptr);
}

/* ---- starting over ------------------------------------------------------------------------------- */

static void restarts_and_resumes(void) {
    const char *counter = path_of("runs"), *file = path_of("restarts");
    char script[1024];
    bytes state;
    result r;
    unlink(counter);
    snprintf(script, sizeof script,
             "echo x >>%s; echo \"$@\" >&2; echo "
             "'{\"type\":\"system\",\"subtype\":\"init\",\"session_id\":\"s-77\"}'; "
             "test $(wc -l <%s) -lt 3 && { printf '{\"cut\":'; exit 7; }; echo '{\"type\":\"result\"}'",
             counter, counter);
    r = run(NULL,
            ARGS(A("--restart=5"), A("--restart-delay=20ms"), A("--resume-arg=--resume"), A("--name=job"),
                 A("--status-file"), A(file), A("--"), A("/bin/sh"), A("-c"), A(script), A("sh")));
    CHECK_EQ(r.code, 0);
    CHECK_EQ(count_text(&r.out, "{\"cut\":\n{\"type\":\"system\""),
             2); /* each record on a line of its own */
    CHECK_EQ(count_text(&r.err, "\n--resume s-77\n"), 2);
    CHECK_HAS(r.err, "exit code 7; starting again in 0.0 s (2 of 5), session s-77");
    state = read_file(file);
    CHECK_EQ(number_at(&state, "/restarts"), 2);
    CHECK_TEXT(text_at(&state, "/name"), strlen(text_at(&state, "/name")), "\"job\"");
    free(state.ptr);
    forget(&r);
    r = run(NULL, ARGS(A("--restart=2"), A("--restart-delay=20ms"), A("--output=events"), A("--name=job"),
                       A("--"), A("/bin/sh"), A("-c"), A("exit 9")));
    CHECK_EQ(r.code, 9);
    CHECK_EQ(count_text(&r.out, "{\"event\":\"restart\",\"wrap\":\"job\""), 2);
    forget(&r);
    /* Option and session as one word. */
    r = run(NULL, ARGS(A("--restart=2"), A("--restart-delay=20ms"), A("--resume-arg=--resume="), A("--"),
                       A("/bin/sh"), A("-c"),
                       A("echo \"args:$#$*\" >&2; echo '{\"type\":\"system\",\"subtype\":\"init\","
                         "\"session_id\":\"s-78\"}'; exit 9"),
                       A("sh"), A("x")));
    CHECK_EQ(r.code, 9);
    CHECK_EQ(count_text(&r.err, "args:1x\n"), 1);
    CHECK_EQ(count_text(&r.err, "args:2x --resume=s-78\n"), 2);
    forget(&r);
    /* What could be taken for an option is no session to resume. */
    r = run(NULL, ARGS(A("--restart=1"), A("--restart-delay=20ms"), A("--resume-arg=--resume"), A("--"),
                       A("/bin/sh"), A("-c"),
                       A("echo \"args:$*\" >&2; echo '{\"type\":\"system\",\"subtype\":\"init\","
                         "\"session_id\":\"--evil\"}'; exit 9"),
                       A("sh")));
    CHECK_EQ(r.code, 9);
    CHECK_EQ(count_text(&r.err, "args:\n"), 2);
    forget(&r);
    /* One that stalls is stopped, and tried again; a second time it is not. */
    r = run(NULL, ARGS(A("--restart=1"), A("--restart-delay=20ms"), A("--timeout=startup=150ms:stop"),
                       A("--"), A("/bin/sh"), A("-c"), A("sleep 600")));
    CHECK_EQ(r.code, 124);
    CHECK_HAS(r.err, "exit code 124; starting again");
    forget(&r);
}

static void totals_outlive_a_restart(void) {
    const char *counter = path_of("totals"), *file = path_of("totalstate");
    bytes state;
    result r;
    unlink(counter);
    r = run(NULL,
            ARGS(A("--restart=5"), A("--restart-delay=10ms"), A("--status-file"), A(file), A("--"),
                 A("/bin/sh"), A("-c"),
                 A(format("echo x >>%s; "
                          "echo '{\"type\":\"assistant\",\"message\":{\"id\":\"m'$$'\",\"content\":[],"
                          "\"usage\":{\"input_tokens\":1,\"output_tokens\":2}}}'; "
                          "test $(wc -l <%s) = 2 && exit 7; "
                          "echo '{\"type\":\"result\",\"total_cost_usd\":0.25,\"usage\":{\"input_tokens\":"
                          "100,\"output_tokens\":10}}'; test $(wc -l <%s) = 3",
                          counter, counter, counter))));
    CHECK_EQ(r.code, 0);
    state = read_file(file);
    CHECK_EQ(number_at(&state, "/restarts"), 2);
    CHECK_EQ(number_at(&state, "/messages"), 3);
    CHECK_EQ(number_at(&state, "/tokens/input"), 201); /* two results, and a message that came to none */
    CHECK_EQ(number_at(&state, "/tokens/output"), 22);
    CHECK_TEXT(text_at(&state, "/cost_usd"), strlen(text_at(&state, "/cost_usd")), "0.5");
    free(state.ptr);
    forget(&r);
}

static void long_delay_is_no_shorter(void) {
    /* What is longer than the longest wait is not multiplied, nor cut. */
    int err[2];
    char line[256];
    ssize_t n;
    pid_t pid;
    pipe_or_die(err);
    pid = spawn(ARGS(A(wrap_path), A("--restart=9"), A("--restart-delay=100h"), A("--"), A("/bin/false")),
                open("/dev/null", O_RDONLY | O_CLOEXEC), open("/dev/null", O_WRONLY | O_CLOEXEC), err[1],
                NULL);
    close(err[1]);
    n = read(err[0], line, sizeof line - 1);
    line[n > 0 ? n : 0] = '\0';
    CHECK(strstr(line, "starting again in 360000.0 s (1 of 9)") != NULL);
    kill(pid, SIGTERM);
    waitpid(pid, NULL, 0);
    close(err[0]);
}

/* ---- publishing ---------------------------------------------------------------------------------- */

/* What has come from a non-blocking descriptor by now holds the text. */
static bool comes(int fd, bytes *seen, const char *text) {
    char part[4096];
    ssize_t n;
    while ((n = read(fd, part, sizeof part)) > 0) keep(seen, part, (size_t)n);
    return count_text(seen, text) > 0;
}

static void published_to_a_relay(void) {
    const char *path = path_of("relay.sock");
    char relay[256], target[256];
    int source[2], status, fd;
    bytes seen = {NULL, 0, 0};
    pid_t pid;
    result r;
    snprintf(relay, sizeof relay, "%.*ssse_relay", (int)(strrchr(fake_path, '/') + 1 - fake_path),
             fake_path);
    if (access(relay, X_OK) != 0) {
        test_skip("no sse_relay beside fake_llm");
        return;
    }
    pipe_or_die(source);
    pid = spawn(ARGS(A(relay), A("--listen"), A(format("unix:%s", path)), A("--token=secret"),
                     A("--fanout"), A("-")),
                source[0], open("/dev/null", O_WRONLY | O_CLOEXEC), -1, NULL);
    close(source[0]);
    fd = ask(path, "/events?topic=my%20job", "localhost");
    snprintf(target, sizeof target, "unix:%s:/publish", path);
    setenv("STREAM_WRAP_TOKEN", "secret", 1);
    r = run(NULL, ARGS(A("--publish"), A(target), A("--name=my job"), A("--"), A(fake_path)));
    CHECK_EQ(r.code, 0);
    CHECK_EQ(r.err.len, 0);
    forget(&r);
    keep(&seen, "", 0);
    fcntl(fd, F_SETFL, O_NONBLOCK);
    AWAIT(comes(fd, &seen, "\"event\":\"end\""));
    CHECK_HAS(seen, "{\"event\":\"start\",\"wrap\":\"my job\"");
    CHECK_EQ(count_text(&seen, "\"event\":\"result\""), 1);
    CHECK(count_text(&seen, "\"event\":\"text\"") > 5);
    setenv("STREAM_WRAP_TOKEN", "wrong", 1);
    r = run(NULL, ARGS(A("--publish"), A(target), A("--summary"), A("--"), A("/bin/sh"), A("-c"),
                       A("echo '{\"type\":\"a\"}'")));
    CHECK_EQ(r.code, 0);
    CHECK_HAS(r.err, "answered 401");
    CHECK_HAS(r.err, "events were not published");
    forget(&r);
    unsetenv("STREAM_WRAP_TOKEN");
    kill(pid, SIGTERM);
    waitpid(pid, &status, 0);
    r = run(NULL, ARGS(A("--publish"), A(target), A("--"), A("/bin/sh"), A("-c"),
                       A("echo '{\"type\":\"a\"}'; exit 5")));
    CHECK_EQ(r.code, 5); /* nobody there: said, and the run goes on */
    CHECK_EQ(count_text(&r.err, "trying again"), 1);
    forget(&r);
    close(source[1]);
    close(fd);
    free(seen.ptr);
}

static pid_t start_relay(const char *relay, const char *path, int source) {
    return spawn(ARGS(A(relay), A("--listen"), A(format("unix:%s", path)), A("--token=secret"),
                      A("--keep-alive=200ms"), A("--fanout"), A("-")),
                 source, open("/dev/null", O_WRONLY | O_CLOEXEC), -1, NULL);
}

static void relay_that_comes_late_and_again(void) {
    /* What is said before the relay is there, while it is away, and after a connection was closed in a long
       silence: all of it arrives, once; only what is worth it is said. */
    const char *path = path_of("late.sock"), *said = path_of("latesaid");
    char relay[256], target[256];
    int source[2], source2[2], status, fd, err = open(said, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    int go[2];
    bytes seen = {NULL, 0, 0}, b;
    pid_t pid, wrap;
    snprintf(relay, sizeof relay, "%.*ssse_relay", (int)(strrchr(fake_path, '/') + 1 - fake_path),
             fake_path);
    if (access(relay, X_OK) != 0) {
        test_skip("no sse_relay beside fake_llm");
        return;
    }
    keep(&seen, "", 0);
    pipe_or_die(go);
    pipe_or_die(source);
    pipe_or_die(source2);
    snprintf(target, sizeof target, "unix:%s:/publish", path);
    setenv("STREAM_WRAP_TOKEN", "secret", 1);
    wrap = spawn(ARGS(A(wrap_path), A("--publish"), A(target), A("--name=late"), A("--stdin=-"), A("--"),
                      A("/bin/cat")),
                 go[0], open("/dev/null", O_WRONLY | O_CLOEXEC), err, NULL);
    unsetenv("STREAM_WRAP_TOKEN");
    close(go[0]);
    dprintf(go[1], "{\"type\":\"a\"}\n");
    usleep(200000);
    pid = start_relay(relay, path, source[0]);
    fd = ask(path, "/events?topic=late", "localhost");
    fcntl(fd, F_SETFL, O_NONBLOCK);
    AWAIT(comes(fd, &seen, "{\"type\":\"a\"}"));
    usleep(700000); /* the relay closes the connection */
    dprintf(go[1], "{\"type\":\"b\"}\n");
    AWAIT(comes(fd, &seen, "{\"type\":\"b\"}"));
    close(fd);
    kill(pid, SIGTERM);
    waitpid(pid, &status, 0);
    dprintf(go[1], "{\"type\":\"c\"}\n");
    usleep(200000);
    pid = start_relay(relay, path, source2[0]);
    fd = ask(path, "/events?topic=late", "localhost");
    fcntl(fd, F_SETFL, O_NONBLOCK);
    AWAIT(comes(fd, &seen, "{\"type\":\"c\"}"));
    close(go[1]);
    waitpid(wrap, &status, 0);
    CHECK_EQ(WEXITSTATUS(status), 0);
    AWAIT(comes(fd, &seen, "\"event\":\"end\""));
    CHECK_EQ(count_text(&seen, "\"event\":\"record\""), 3);
    b = read_file(said);
    CHECK_EQ(count_text(&b, "trying again"), 2); /* absent at first, and gone: not the closed connection */
    free(b.ptr);
    free(seen.ptr);
    kill(pid, SIGTERM);
    waitpid(pid, &status, 0);
    close(fd);
    close(err);
    close(source[0]);
    close(source[1]);
    close(source2[0]);
    close(source2[1]);
}

static void presets_and_environment_overlay(void) {
    static const struct {
        const char *option, *environment;
        int64_t buffer;
    } c[] = {{"--preset=balanced", NULL, 65536},    {"--preset=throughput", NULL, 262144},
             {"--preset=low-memory", NULL, 8192},   {"--preset=low-latency", NULL, 16384},
             {"--preset=low-memory", "20K", 20480}, {"--buffer=12345", "20K", 12345}};
    size_t i;
    for (i = 0; i < sizeof c / sizeof *c; i++) {
        bytes state;
        result r;
        if (c[i].environment) setenv("STREAM_RESPONSE_CHUNK_SIZE", c[i].environment, 1);
        state = status_of("{}\n", 3, &r, c[i].option);
        unsetenv("STREAM_RESPONSE_CHUNK_SIZE");
        CHECK_EQ(number_at(&state, "/buffer"), c[i].buffer);
        free(state.ptr);
        forget(&r);
    }
    for (i = 0; i < 2; i++) {
        const char *name = i ? "STREAM_REQUEST_CHUNK_SIZE" : "STREAM_RESPONSE_CHUNK_SIZE";
        setenv(name, "much", 1);
        refused(ARGS(A("--output=raw")), name);
        setenv(name, "0", 1);
        refused(ARGS(A("--output=raw")), name);
        setenv(name, "3", 1);
        {
            result r = run("through small pieces", ARGS(A("--stdin=-"), A("--"), A("/bin/cat")));
            CHECK_TEXT(r.out.ptr, r.out.len, "through small pieces");
            forget(&r);
        }
        unsetenv(name);
    }
    for (i = 0; i < 2; i++) { /* without the pool each buffer is made anew: the tee keeps some */
        result r;
        if (i) setenv("STREAM_BUFFER_POOL_ENABLED", "0", 1);
        r = run(NULL,
                ARGS(A("--metrics=json"), A("--tee=/dev/null"), A("--"), A(fake_path), A("--total=3M")));
        unsetenv("STREAM_BUFFER_POOL_ENABLED");
        CHECK_EQ(r.code, 0);
        CHECK((number_at(&r.err, "/stream_wrap_buffers_reused_total") == 0) == (i == 1));
        forget(&r);
    }
}

/* ---- bytes --------------------------------------------------------------------------------------- */

static void all_bytes_pass_exactly(void) {
    char all[4096];
    size_t i;
    result r;
    setup s;
    for (i = 0; i < sizeof all; i++) all[i] = (char)(i * 7 + i / 256);
    memset(&s, 0, sizeof s);
    s.input = all;
    s.input_len = sizeof all;
    r = run_with(&s, ARGS(A("--output=raw")));
    CHECK_BYTES(r.out.ptr, r.out.len, all, sizeof all);
    CHECK_EQ(r.code, 0);
    forget(&r);
    r = run_with(&s, ARGS(A("--buffer=1"), A("--stdin=-"), A("--"), A("/bin/cat")));
    CHECK_BYTES(r.out.ptr, r.out.len, all, sizeof all);
    forget(&r);
}

static void huge_line_in_small_memory_1_3(void) {
    const char *after = "\n{\"type\":\"next\"}\n", *file = path_of("huge");
    uint64_t want = 0, i;
    static char block[65536];
    setup s;
    result r;
    bytes state;
    memset(&s, 0, sizeof s);
    s.zeros = 64 << 20;
    s.input = after;
    s.input_len = strlen(after);
    s.discard = true;
    r = run_with(&s, ARGS(A("--status-file"), A(file)));
    memset(block, 'x', sizeof block);
    for (i = 0; i < 1024; i++) want = hash(want, block, sizeof block);
    want = hash(want, after, strlen(after));
    CHECK_EQ(r.code, 0);
    CHECK_EQ(r.out_len, (64 << 20) + strlen(after));
    CHECK_EQ(r.out_hash, want);
    if (!getenv("TEST_SANITIZED")) CHECK(r.rss_kib < 6 * 1024);
    state = read_file(file);
    CHECK_EQ(number_at(&state, "/types/next"), 1);
    CHECK_EQ(number_at(&state, "/oversize"), 1);
    free(state.ptr);
    forget(&r);
}

static void oversize_is_one_event_then_resync_1_3(void) {
    const char *in = "{\"type\":\"big\",\"x\":\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\"}\n{"
                     "\"type\":\"small\"}\n";
    result r = run(in, ARGS(A("--output=events"), A("--max-record=32")));
    CHECK_EQ(count_text(&r.out, "\"event\":\"oversize\""), 1);
    CHECK_HAS(r.out, "\"bytes\":66,\"head\":\"{\\\"type\\\":\\\"big\\\"");
    CHECK_HAS(r.out, "\"record\":{\"type\":\"small\"}");
    forget(&r);
    /* The cap is each record's own: those before it do not count. */
    r = run("{\"n\":\"0123456789abcdef\"}\n{\"n\":\"0123456789abcdef0123456789\"}\n"
            "{\"n\":\"0123456789abcdef0123456789\"}\n{\"n\":\"0123456789abcdef\"}\n",
            ARGS(A("--output=events"), A("--max-record=32")));
    CHECK_EQ(count_text(&r.out, "\"event\":\"oversize\""), 2);
    CHECK_EQ(count_text(&r.out, "\"event\":\"record\""), 2);
    forget(&r);
}

static void cut_record_has_its_own_exit_code_1_4(void) {
    result r = run_sh("--output=events", "printf '{\"type\":\"a\"}\\n{\"type\":\"b\",\"text\":\"cut he'");
    CHECK_EQ(r.code, 65);
    CHECK_HAS(r.out, "\"event\":\"truncated\"");
    CHECK_HAS(r.out, "\"offset\":13,\"bytes\":26");
    CHECK_HAS(r.out, "\"missing\":\"the last record was cut off\"");
    forget(&r);
    r = run_sh(NULL, "printf '{\"type\":\"b\",'; exit 4"); /* the child's own code tells more */
    CHECK_EQ(r.code, 4);
    forget(&r);
    r = run("{\"a\":\n{\"b\":1}\n",
            ARGS(A("--output=events"))); /* cut by its line's end: the stream goes on */
    CHECK_EQ(r.code, 0);
    CHECK_HAS(r.out, "\"event\":\"truncated\"");
    CHECK_HAS(r.out, "\"record\":{\"b\":1}");
    forget(&r);
}

static void unterminated_last_record_1_16(void) {
    result r;
    bytes state = status_of("{\"type\":\"a\"}\n{\"type\":\"b\"}", 25, &r, NULL);
    CHECK_EQ(number_at(&state, "/types/b"), 1);
    CHECK_TEXT(text_at(&state, "/unterminated"), strlen(text_at(&state, "/unterminated")), "true");
    CHECK_TEXT(r.out.ptr, r.out.len, "{\"type\":\"a\"}\n{\"type\":\"b\"}");
    CHECK_EQ(r.code, 0);
    free(state.ptr);
    forget(&r);
    state = status_of("{\"type\":\"b\"}\n", 13, &r, NULL);
    CHECK_TEXT(text_at(&state, "/unterminated"), strlen(text_at(&state, "/unterminated")), "false");
    free(state.ptr);
    forget(&r);
}

static void characters_split_anywhere_stay_whole_1_7(void) {
    const char *script =
        "s='{\"type\":\"x\",\"t\":\"\xc3\xa9\xe6\x97\xa5\xf0\x9f\x9a\x80\"}'; "
        "printf '%s\\n' \"$s\" | dd bs=1 2>/dev/null; printf '%s\\n' \"$s\" | dd bs=1 >&2 2>/dev/null";
    const char *want = "{\"type\":\"x\",\"t\":\"\xc3\xa9\xe6\x97\xa5\xf0\x9f\x9a\x80\"}\n";
    result r = run_sh(NULL, script);
    CHECK_TEXT(r.out.ptr, r.out.len, want);
    CHECK_TEXT(r.err.ptr, r.err.len, want);
    forget(&r);
    r = run_sh("--output=events", script);
    CHECK_HAS(r.out, "\xc3\xa9\xe6\x97\xa5\xf0\x9f\x9a\x80");
    CHECK_EQ(count_text(&r.out, "\xef\xbf\xbd"), 0);
    forget(&r);
}

static void surrogates_and_escapes_stay_whole_1_21(void) {
    static const char lone[] =
        "{\"type\":\"assistant\",\"message\":{\"id\":\"m\",\"content\":[{\"type\":\"text\",\"text\":"
        "\"a\\uD800b\\uD83D\\uDE00\"}]}}\n";
    char record[700];
    size_t i, at;
    result r = run(lone, ARGS(A("--output=raw")));
    CHECK_TEXT(r.out.ptr, r.out.len, lone);
    forget(&r);
    r = run(lone, ARGS(A("--output=events")));
    CHECK_HAS(r.out, "\"text\":\"a\\uD800b\\uD83D\\uDE00\"");
    forget(&r);
    r = run(lone, ARGS(A("--output=text")));
    CHECK_TEXT(r.out.ptr, r.out.len,
               "a\xEF\xBF\xBD"
               "b\xF0\x9F\x98\x80\n");
    forget(&r);
    for (i = 0; i < 24;
         i++) { /* the head of an oversize record is cut at 256 bytes, whatever stands there */
        size_t pad = 220 + i, n;
        bytes line = {NULL, 0, 0};
        n = (size_t)snprintf(record, sizeof record,
                             "{\"k\":\"%0*d\\uD83D\\uDE00\\n\\\\\\uD83D\\uDE00%0300d\"}\n", (int)pad, 0, 0);
        CHECK(n < sizeof record);
        r = run(record, ARGS(A("--output=events"), A("--max-record=512")));
        keep(&line, r.out.ptr, strcspn(r.out.ptr, "\n"));
        CHECK_HAS(line, "\"event\":\"oversize\"");
        CHECK_EQ(stream_json_check(line.ptr, line.len, &at), STREAM_OK);
        {
            const char *want = "/head";
            char plain[600];
            stream_json_value v;
            size_t len;
            stream_json_pick(line.ptr, line.len, &want, 1, &v);
            CHECK_EQ(stream_json_string(v, STREAM_JSON_REJECT, plain, sizeof plain - 2, &len), STREAM_OK);
            memcpy(plain + len, "\"}", 2); /* closed by hand, it is whole JSON: no escape was cut */
            CHECK_EQ(stream_json_check(plain, len + 2, &at), STREAM_OK);
            plain[len] = '\0';
            CHECK(len < 6 || strcmp(plain + len - 6, "\\uD83D") != 0);
        }
        free(line.ptr);
        forget(&r);
    }
}

static void only_lf_ends_a_record_1_8(void) {
    static const char in[] = "{\"type\":\"one\",\"t\":\"a\xe2\x80\xa8"
                             "b\xe2\x80\xa9"
                             "c\xc2\x85"
                             "d\x0b\x0c\r e\"}\r\n";
    result r;
    bytes state = status_of(in, sizeof in - 1, &r, NULL);
    CHECK_EQ(number_at(&state, "/records"), 1);
    CHECK_EQ(number_at(&state, "/types/one"), 1);
    CHECK_EQ(number_at(&state, "/noise"), 0);
    CHECK_BYTES(r.out.ptr, r.out.len, in, sizeof in - 1);
    free(state.ptr);
    forget(&r);
}

static void noise_and_glue_1_9(void) {
    const char *in = "[INFO] starting {not json}\n"
                     "junk{\"type\":\"a\"}\n"
                     "{\"type\":\"b\",\"s\":\"}{\\\"\"}{\"type\":\"c\"}\n"
                     "2024-01-01 12:00:00 \"quoted\" {\"type\":\"d\"} tail\n";
    result r = run(in, ARGS(A("--output=events")));
    CHECK_HAS(r.out, "\"source\":\"output\",\"text\":\"[INFO] starting {not json}\"");
    CHECK_HAS(r.out, "\"text\":\"junk\"");
    CHECK_HAS(r.out, "\"record\":{\"type\":\"a\"}");
    CHECK_HAS(r.out, "\"record\":{\"type\":\"b\",\"s\":\"}{\\\"\"}");
    CHECK_HAS(r.out, "\"record\":{\"type\":\"c\"}");
    CHECK_HAS(r.out, "\"record\":{\"type\":\"d\"}");
    CHECK_HAS(r.out, "\"text\":\"2024-01-01 12:00:00 \\\"quoted\\\" \"");
    CHECK_HAS(r.out, "\"text\":\" tail\"");
    CHECK_HAS(r.out, "\"records\":4");
    forget(&r);
}

static void events_are_valid_json_whatever_comes(void) {
    static const char in[] =
        "{\"type\":\"x\",broken}\n{\"type\":\"assistant\",\"message\":{\"content\":[{\"type\":"
        "\"text\",\"text\":\"bad \\q escape\"}]}}\n\xff\xfe noise \x01\n{\"type\":\"\xff\"}\n[1,]\n12\n";
    setup s;
    result r;
    stream_json j;
    stream_item item;
    stream_status st;
    int64_t events = 0;
    memset(&s, 0, sizeof s);
    s.input = in;
    s.input_len = sizeof in - 1;
    r = run_with(&s, ARGS(A("--output=events")));
    stream_json_init(&j, NULL);
    stream_json_feed(&j, r.out.ptr, r.out.len);
    stream_json_finish(&j);
    while ((st = stream_json_next(&j, &item)) != STREAM_END) {
        size_t at;
        CHECK_EQ(st, STREAM_OK);
        CHECK_EQ(stream_json_check(item.ptr, item.len, &at), STREAM_OK);
        events++;
    }
    CHECK(events >= 6);
    stream_json_free(&j);
    forget(&r);
}

static void invalid_record_counts_once(void) {
    static const char *const mode[] = {"--output=raw", "--output=text", "--output=events"};
    size_t i;
    for (i = 0; i < COUNT(mode); i++) {
        result r;
        bytes state = status_of("{\"type\" \"a\"}\n{\"type\":\"b\"}\n", 28, &r, mode[i]);
        CHECK_EQ(number_at(&state, "/invalid"), 1);
        CHECK_EQ(number_at(&state, "/records"), 2);
        free(state.ptr);
        forget(&r);
    }
}

static void big_input_against_a_chatty_child_1_10(void) {
    setup s;
    result r;
    memset(&s, 0, sizeof s);
    s.zeros = 8000000;
    r = run_with(&s, ARGS(A("--stdin=-"), A("--"), A("/bin/sh"), A("-c"),
                          A("head -c 8000000 /dev/zero; wc -c >&2")));
    CHECK_EQ(r.code, 0);
    CHECK_EQ(r.out_len, 8000000);
    CHECK_EQ(atoi(r.err.ptr ? r.err.ptr : ""), 8000000);
    forget(&r);
}

static void timers_run_while_input_is_written_1_10(void) {
    setup s;
    result r;
    memset(&s, 0, sizeof s);
    s.zeros = 8000000;
    r = run_with(
        &s, ARGS(A("--stdin=-"), A("--timeout=startup=300ms:stop"), A("--"), A("/bin/sleep"), A("600")));
    CHECK_EQ(r.code, 124);
    CHECK_HAS(r.err, "stalled: startup");
    CHECK_HAS(r.err, "its stdin is open");
    CHECK(r.wall_ms < 60000);
    forget(&r);
}

static void unreadable_input_is_no_success(void) {
    setup s;
    result r;
    memset(&s, 0, sizeof s);
    s.stdin_file = "/";
    r = run_with(&s, ARGS(A("--output=raw")));
    CHECK_EQ(r.code, 125);
    CHECK_HAS(r.err, "reading: Is a directory");
    forget(&r);
    /* Nor is what the child did not get of ours passed over. */
    r = run_with(&s, ARGS(A("--stdin=-"), A("--"), A("/bin/sh"), A("-c"), A("cat; echo '{}'")));
    CHECK_EQ(r.code, 0);
    CHECK_TEXT(r.out.ptr, r.out.len, "{}\n");
    CHECK_HAS(r.err, "standard input: Is a directory: the child gets no more of it");
    forget(&r);
}

static void child_input_is_empty_unless_asked(void) {
    const char *file = path_of("input");
    result r = run("for nobody", ARGS(A("--"), A("/bin/cat")));
    CHECK_EQ(r.code, 0);
    CHECK_EQ(r.out.len, 0);
    forget(&r);
    r = run("for the child", ARGS(A("--stdin=inherit"), A("--"), A("/bin/cat")));
    CHECK_TEXT(r.out.ptr, r.out.len, "for the child");
    forget(&r);
    r = run("through a pipe", ARGS(A("--stdin=-"), A("--"), A("/bin/cat")));
    CHECK_TEXT(r.out.ptr, r.out.len, "through a pipe");
    forget(&r);
    write_text(file, "from a file", 11);
    r = run(NULL, ARGS(A("--stdin"), A(file), A("--"), A("/bin/cat")));
    CHECK_TEXT(r.out.ptr, r.out.len, "from a file");
    forget(&r);
}

static void each_byte_is_scanned_once_1_13(void) {
    setup s;
    result r;
    memset(&s, 0, sizeof s);
    s.producer = ARGS(A(fake_path), A("--total=8M"), A("--chunk=777"));
    s.discard = true;
    r = run_with(&s, ARGS(A("--metrics=json")));
    CHECK(number_at(&r.err, "/stream_wrap_bytes_total") > 8 << 20);
    CHECK(number_at(&r.err, "/stream_wrap_scanned_bytes_total") <=
          number_at(&r.err, "/stream_wrap_bytes_total") / 100 * 105);
    CHECK_EQ(number_at(&r.err, "/stream_wrap_written_bytes_total"),
             number_at(&r.err, "/stream_wrap_bytes_total"));
    forget(&r);
}

static void memory_does_not_grow_with_the_stream_1_13(void) {
    /* The first long enough to come to all the code there is, of which the pages count. */
    static const char *const size[] = {"--total=64M", "--total=2G"};
    long rss[2];
    int i;
    for (i = 0; i < 2; i++) {
        setup s;
        result r;
        memset(&s, 0, sizeof s);
        s.producer = ARGS(A(fake_path), A(size[i]));
        s.discard = true;
        r = run_with(&s, ARGS(A("--output=raw")));
        CHECK_EQ(r.code, 0);
        CHECK(r.out_len >= (i ? UINT64_C(2) << 30 : UINT64_C(64) << 20));
        rss[i] = r.rss_kib;
        CHECK(rss[i] < 6 * 1024);
        forget(&r);
    }
    CHECK(rss[1] - rss[0] <= 256); /* the same, to within a few pages of stack and tables */
    printf("  64 MiB: %ld KiB, 2 GiB: %ld KiB\n", rss[0], rss[1]);
}

static void steady_state_allocates_nothing(void) {
    const char *library = getenv("TEST_COUNT_MALLOC");
    int64_t count[2];
    int i;
    if (!library) {
        test_skip("no shared library to count malloc with (LD_PRELOAD)");
        return;
    }
    for (i = 0; i < 2; i++) {
        const char *file = path_of("mallocs");
        setup s;
        result r;
        bytes b;
        memset(&s, 0, sizeof s);
        setenv("COUNT_MALLOC_FILE", file, 1);
        s.producer = ARGS(A(fake_path), A("--seed=7"), A(i ? "--records=1000000" : "--records=20000"));
        s.discard = true;
        s.preload = library;
        r = run_with(&s, ARGS(A("--output=text")));
        CHECK_EQ(r.code, 0);
        b = read_file(file);
        count[i] = b.len ? atoll(b.ptr) : -1;
        free(b.ptr);
        forget(&r);
    }
    CHECK(count[0] > 0);
    CHECK_EQ(count[1], count[0]);
}

/* ---- our own standard output --------------------------------------------------------------------- */

static void closed_stdout_stops_the_child_quietly_1_14(void) {
    const char *file = path_of("talker");
    const char *script = format("echo $$ >%s; while :; do echo '{\"type\":\"tick\"}'; done", file);
    int out[2], err[2], status;
    char line[64];
    bytes b;
    pid_t pid;
    pipe_or_die(out);
    pipe_or_die(err);
    pid = spawn(ARGS(A(wrap_path), A("--"), A("/bin/sh"), A("-c"), A(script)), -1, out[1], err[1], NULL);
    close(out[1]);
    close(err[1]);
    CHECK_EQ(read(out[0], line, 16), 16);
    close(out[0]);                                /* as head -1 does */
    CHECK_EQ(read(err[0], line, sizeof line), 0); /* nothing said, and the end */
    waitpid(pid, &status, 0);
    CHECK_EQ(WEXITSTATUS(status), 141);
    b = read_file(file);
    CHECK(atoi(b.ptr) > 1);
    AWAIT(is_gone(atoi(b.ptr)));
    free(b.ptr);
    close(err[0]);
}

static void closed_stdout_is_noticed_in_silence_1_14(void) {
    int out[2], status;
    char line[16];
    pid_t pid;
    pipe_or_die(out);
    pid = spawn(ARGS(A(wrap_path), A("--"), A("/bin/sh"), A("-c"), A("echo up; sleep 600")), -1, out[1], -1,
                NULL);
    close(out[1]);
    CHECK_EQ(read(out[0], line, sizeof line), 3);
    close(out[0]); /* the child says nothing more, so no write would tell */
    waitpid(pid, &status, 0);
    CHECK_EQ(WEXITSTATUS(status), 141);
}

static void a_clock_does_not_hide_why_the_child_is_stopped(void) {
    int out[2], status;
    char line[16];
    pid_t pid;
    pipe_or_die(out);
    pid = spawn(ARGS(A(wrap_path), A("--timeout=idle=2s:stop"), A("--grace=3s"), A("--"), A("/bin/sh"), A("-c"),
                     A("trap '' TERM; echo up; while :; do sleep 1; done")),
                -1, out[1], -1, NULL);
    close(out[1]);
    CHECK_EQ(read(out[0], line, sizeof line), 3);
    close(out[0]); /* it is stopped for that, and has not ended when it has been idle for too long */
    waitpid(pid, &status, 0);
    CHECK_EQ(WEXITSTATUS(status), 141);
}

static void closed_stdout_can_be_drained_1_14(void) {
    const char *file = path_of("finished");
    int out[2], status;
    char line[4];
    bytes b;
    pid_t pid;
    pipe_or_die(out);
    pid = spawn(ARGS(A(wrap_path), A("--closed-stdout=drain"), A("--"), A("/bin/sh"), A("-c"),
                     A(format("echo up; head -c 3000000 /dev/zero; echo done >%s; exit 6", file))),
                -1, out[1], -1, NULL);
    close(out[1]);
    CHECK_EQ(read(out[0], line, 3), 3);
    close(out[0]);
    waitpid(pid, &status, 0);
    CHECK_EQ(WEXITSTATUS(status), 6);
    b = read_file(file);
    CHECK_TEXT(b.ptr, b.len, "done\n");
    free(b.ptr);
}

static void full_disk_is_said_and_stops(void) {
    setup s;
    result r;
    memset(&s, 0, sizeof s);
    s.out_fd = open("/dev/full", O_WRONLY | O_CLOEXEC);
    r = run_with(&s, ARGS(A("--"), A("/bin/sh"), A("-c"), A("while :; do echo '{}'; done")));
    CHECK_EQ(r.code, 125);
    CHECK_HAS(r.err, "standard output");
    CHECK_HAS(r.err, strerror(ENOSPC));
    close(s.out_fd);
    forget(&r);
}

static uint64_t ticks_of(pid_t pid) {
    bytes b = read_file(format("/proc/%d/stat", (int)pid));
    const char *p = strrchr(b.ptr, ')');
    unsigned long user = 0, system = 0;
    if (p) sscanf(p + 1, " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &user, &system);
    free(b.ptr);
    return user + system;
}

/* A reader that takes 1 KiB now and then, behind a pipe or socket that is, or is not, non-blocking: a
   second at 100 KiB/s, or ten at 1 KiB/s. */
static void slow_reader(int out[2], bool nonblocking, bool very) {
    bytes got = {NULL, 0, 0}, want = {NULL, 0, 0};
    static char block[1024];
    struct rusage usage;
    int status, ref_fd[2];
    pid_t pid, producer;
    uint64_t ticks = 0;
    ssize_t n;
    if (nonblocking) fcntl(out[1], F_SETFL, O_NONBLOCK);
    pid = spawn(ARGS(A(wrap_path), A("--"), A(fake_path), A("--total=400K")),
                open("/dev/null", O_RDONLY | O_CLOEXEC), out[1], -1, NULL);
    CHECK_EQ(fcntl(out[1], F_GETFL) & O_NONBLOCK, nonblocking ? O_NONBLOCK : 0);
    while (got.len <
           (very ? 11 : 100) * 1024) { /* slowly at first: the wrapper is blocked nearly all the time */
        if (got.len == 1024) ticks = ticks_of(pid);
        n = read(out[0], block, sizeof block);
        if (n <= 0) break;
        keep(&got, block, (size_t)n);
        CHECK_EQ(fcntl(out[1], F_GETFL) & O_NONBLOCK, nonblocking ? O_NONBLOCK : 0);
        usleep(very ? 1000000 : 10000);
    }
    if (very) CHECK(ticks_of(pid) - ticks <= 10 * (uint64_t)sysconf(_SC_CLK_TCK) * 2 / 100);
    close(out[1]);
    while ((n = read(out[0], block, sizeof block)) > 0) {
        keep(&got, block, (size_t)n);
    }
    wait4(pid, &status, 0, &usage);
    CHECK_EQ(WEXITSTATUS(status), 0);
    if (!getenv("TEST_SANITIZED")) /* 2 % of a second, and the work itself */
        CHECK((usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1000000 + usage.ru_utime.tv_usec +
                  usage.ru_stime.tv_usec <
              60000);
    pipe_or_die(ref_fd);
    producer = spawn(ARGS(A(fake_path), A("--total=400K")), open("/dev/null", O_RDONLY | O_CLOEXEC),
                     ref_fd[1], -1, NULL);
    close(ref_fd[1]);
    while ((n = read(ref_fd[0], block, sizeof block)) > 0) keep(&want, block, (size_t)n);
    waitpid(producer, NULL, 0);
    close(ref_fd[0]);
    CHECK_BYTES(got.ptr, got.len, want.ptr, want.len);
    free(got.ptr);
    free(want.ptr);
    close(out[0]);
}

/* What is lent to our reader, written to it, and in the tee: the same, however the reader takes it. */
static void full_flow(const char *total, size_t most) {
    const char *tee = path_of("flow.tee"), *status = path_of("flow.status");
    static char block[1 << 18];
    bytes got = {NULL, 0, 0}, want = {NULL, 0, 0}, copy, state;
    int out[2], code;
    pid_t pid;
    ssize_t n;
    size_t turn = 0;
    pipe_or_die(out);
    pid = spawn(ARGS(A(wrap_path), A("--tee"), A(tee), A("--status-file"), A(status), A("--"), A(fake_path),
                     A(total)),
                open("/dev/null", O_RDONLY | O_CLOEXEC), out[1], -1, NULL);
    close(out[1]);
    while ((n = read(out[0], block, turn % 5 == 0 ? 1 + turn % 100 : most)) > 0) {
        keep(&got, block, (size_t)n);
        turn++;
    }
    waitpid(pid, &code, 0);
    CHECK_EQ(WEXITSTATUS(code), 0);
    close(out[0]);
    pipe_or_die(out);
    pid = spawn(ARGS(A(fake_path), A(total)), open("/dev/null", O_RDONLY | O_CLOEXEC), out[1], -1, NULL);
    close(out[1]);
    while ((n = read(out[0], block, sizeof block)) > 0) keep(&want, block, (size_t)n);
    waitpid(pid, &code, 0);
    close(out[0]);
    CHECK(want.len > 1 << 20);
    CHECK(got.len == want.len && memcmp(got.ptr, want.ptr, want.len) == 0);
    copy = read_file(tee);
    CHECK(copy.len == want.len && memcmp(copy.ptr, want.ptr, want.len) == 0);
    state = read_file(status);
    CHECK_EQ(number_at(&state, "/bytes"), (int64_t)want.len);
    CHECK_EQ(number_at(&state, "/written"), (int64_t)want.len);
    CHECK_EQ(number_at(&state, "/lag"), 0);
    CHECK_EQ(number_at(&state, "/noise"), 0);
    free(got.ptr);
    free(want.ptr);
    free(copy.ptr);
    free(state.ptr);
}

static void full_flow_arrives_whole(void) { full_flow("--total=16M", 1 << 18); }
static void full_flow_arrives_whole_in_small_reads(void) { full_flow("--total=2M", 1000); }

static void slow_reader_of_a_nonblocking_pipe_1_15(void) {
    int out[2];
    pipe_or_die(out);
    slow_reader(out, true, getenv("TEST_SANITIZED") == NULL);
}

static void slow_reader_of_a_blocking_pipe_1_15(void) {
    int out[2];
    pipe_or_die(out);
    slow_reader(out, false, false);
}

static void slow_reader_of_a_socket_1_15(void) {
    int out[2];
    if (socketpair(AF_UNIX, SOCK_STREAM, 0, out) != 0) exit(95);
    fcntl(out[0], F_SETFD, FD_CLOEXEC);
    fcntl(out[1], F_SETFD, FD_CLOEXEC);
    slow_reader(out, false, false);
}

static void closed_standard_descriptors_are_survived(void) {
    int status;
    pid_t pid = fork();
    if (pid == 0) {
        close(0);
        close(1);
        close(2);
        execl(wrap_path, wrap_path, "--", "/bin/echo", "hello", (char *)NULL);
        _exit(97);
    }
    waitpid(pid, &status, 0);
    CHECK_EQ(WEXITSTATUS(status), 0);
}

/* ---- what it shows ------------------------------------------------------------------------------- */

static bool state_is(const char *file, const char *state) {
    bytes b = read_file(file);
    bool is = strcmp(text_at(&b, "/state"), state) == 0;
    free(b.ptr);
    return is;
}

static void states_are_visible_1_5(void) {
    /* A child that says one thing whenever it reads a line from a FIFO. */
    static const struct {
        const char *say, *state;
    } step[] = {
        {"{\"type\":\"system\",\"subtype\":\"init\",\"session_id\":\"s\",\"model\":\"m\"}",
         "\"streaming\""},
        {"{\"type\":\"assistant\",\"message\":{\"id\":\"m1\",\"content\":[{\"type\":\"tool_use\",\"id\":"
         "\"t1\",\"name\":\"Bash\"}]}}",
         "\"tool\""},
        {"{\"type\":\"user\",\"message\":{\"content\":[{\"type\":\"tool_result\",\"tool_use_id\":\"t1\"}]}"
         "}",
         "\"streaming\""},
        {"{\"type\":\"result\",\"total_cost_usd\":0.25,\"usage\":{\"input_tokens\":5,\"output_tokens\":7}}",
         "\"result\""},
    };
    const char *fifo = path_of("fifo"), *file = path_of("states");
    bytes b;
    int say, status;
    size_t i;
    pid_t pid;
    CHECK_EQ(mkfifo(fifo, 0600), 0);
    pid = spawn(ARGS(A(wrap_path), A("--interval=10ms"), A("--status-file"), A(file), A("--"),
                     A("/bin/cat"), A(fifo)),
                open("/dev/null", O_RDONLY | O_CLOEXEC), open("/dev/null", O_WRONLY | O_CLOEXEC), -1, NULL);
    say = open(fifo, O_WRONLY | O_CLOEXEC);
    AWAIT(state_is(file, "\"start\""));
    for (i = 0; i < sizeof step / sizeof *step; i++) {
        dprintf(say, "%s\n", step[i].say);
        AWAIT(state_is(file, step[i].state));
    }
    close(say);
    waitpid(pid, &status, 0);
    CHECK(state_is(file, "\"exit\""));
    b = read_file(file);
    CHECK_EQ(number_at(&b, "/tools_started"), 1);
    CHECK_EQ(number_at(&b, "/messages"), 1);
    CHECK_EQ(number_at(&b, "/tokens/output"), 7);
    CHECK_TEXT(text_at(&b, "/cost_usd"), 4, "0.25");
    CHECK_TEXT(text_at(&b, "/missing"), 4, "null");
    free(b.ptr);
}

static void missing_result_is_named_1_5(void) {
    result r =
        run_sh("--summary", "echo '{\"type\":\"assistant\",\"message\":{\"id\":\"m\",\"content\":[]}}'");
    CHECK_HAS(r.err, "the stream ended without a result");
    forget(&r);
    r = run_sh("--summary", "true");
    CHECK_HAS(r.err, "no record came");
    forget(&r);
}

/* One line of an asciicast: when, and what was written. */
static void record_frame(FILE *cast, uint64_t ms, const char *data, size_t len) {
    char text[8 * 4096];
    size_t n;
    stream_json_writer w;
    stream_json_writer_init(&w, text, sizeof text);
    stream_json_write_string(&w, data, len);
    if (stream_json_writer_finish(&w, &n) == STREAM_OK)
        fprintf(cast, "[%u.%03u, \"o\", %.*s]\n", (unsigned)(ms / 1000), (unsigned)(ms % 1000), (int)n,
                text);
}

static void status_line_on_a_terminal_1_17(void) {
    int terminal, status, master = open_terminal(&terminal, 24, 70);
    char part[4096];
    bytes screen = {NULL, 0, 0};
    uint64_t start;
    FILE *cast;
    ssize_t n;
    pid_t pid;
    setenv("TERM", "xterm", 1);
    keep(&screen, "", 0);
    pid = spawn(
        ARGS(A(wrap_path), A("--"), A("/bin/sh"), A("-c"),
             A("echo "
               "'{\"type\":\"assistant\",\"message\":{\"id\":\"m1\",\"usage\":{\"output_tokens\":1234},"
               "\"content\":"
               "[{\"type\":\"tool_use\",\"id\":\"t1\",\"name\":\"Bash\"}]}}'; sleep 0.5; "
               "echo '{\"type\":\"result\",\"total_cost_usd\":0.0625,\"usage\":{\"output_tokens\":1300}}'; "
               "sleep 0.3")),
        open("/dev/null", O_RDONLY | O_CLOEXEC), open("/dev/null", O_WRONLY | O_CLOEXEC), terminal, NULL);
    close(terminal);
    start = now_ms();
    cast = fopen(format("%s.status_line.cast", program), "w"); /* to be looked at: asciinema play */
    if (cast) fputs("{\"version\":2,\"width\":70,\"height\":24}\n", cast);
    while ((n = read(master, part, sizeof part)) > 0) {
        keep(&screen, part, (size_t)n);
        if (cast) record_frame(cast, now_ms() - start, part, (size_t)n);
    }
    if (cast) fclose(cast);
    waitpid(pid, &status, 0);
    CHECK_HAS(screen, "Bash 0:0");
    CHECK_HAS(screen, "1 msg");
    CHECK_HAS(screen, "1.2k out");
    CHECK_HAS(screen, "$0.0625");
    CHECK_EQ(count_text(&screen, "last 0:0"), count_text(&screen, "last "));
    CHECK_EQ(count_text(&screen, "\n"), 0); /* one line, and it never scrolls */
    CHECK(screen.len > 7 &&
          memcmp(screen.ptr + screen.len - 7, "\r\033[K\033[J", 7) == 0); /* left as found */
    {
        size_t from = 0, i; /* never wider than the terminal */
        for (i = 0; i < screen.len; i++) {
            if (screen.ptr[i] == '\r') from = i + 1;
            if (strncmp(screen.ptr + i, "\033[?7l", 5) == 0) from = i + 5;
            if (screen.ptr[i] == '\033' && from <= i) CHECK(i - from < 70 + 3);
        }
    }
    close(master);
    free(screen.ptr);
}

static void background_job_draws_nothing_1_17(void) {
    /* A shell has its prompt there. It is run by another stream_wrap, for the sake of the terminal. */
    static const char *const how[] = {"", "&"};
    size_t i;
    for (i = 0; i < COUNT(how); i++) {
        int code;
        bytes got = run_on_terminal(
            ARGS(A("--progress=off"), A("--stdin=inherit"), A("--"), A("/bin/sh"), A("-c"),
                 format("set -m; %s --output=text -- sleep 0.5 2>/dev/tty %s wait; echo up", wrap_path,
                        how[i][0] ? how[i] : ";")),
            "x", &code);
        CHECK_EQ(code, 0);
        CHECK_EQ(count_text(&got, "last 0:0") > 0, i == 0);
        CHECK_EQ(count_text(&got, "\033") > 0, i == 0);
        CHECK_HAS(got, "up");
        free(got.ptr);
    }
}

static void narrow_terminal_cuts_no_character_1_7_1_17(void) {
    /* 20 columns, a long name, a tool with wide characters and an escape in its name; and no colour. */
    int terminal, status, master = open_terminal(&terminal, 24, 20);
    char part[4096];
    bytes screen = {NULL, 0, 0};
    size_t i, from = 0, frames = 0;
    ssize_t n;
    pid_t pid;
    keep(&screen, "", 0);
    setenv("NO_COLOR", "1", 1);
    pid = spawn(
        ARGS(A(wrap_path), A("--name=\xe6\x97\xa5\xe6\x9c\xac\xe8\xaa\x9e"), A("--"), A("/bin/sh"), A("-c"),
             A("echo '{\"type\":\"assistant\",\"message\":{\"id\":\"m\",\"content\":[{\"type\":"
               "\"tool_use\",\"id\":\"t\",\"name\":"
               "\"x\xe8\xaa\xad\xe3\x82\x80\xe8\xaa\xad\xe3\x82\x80\\u001b[31m\"}]}}'; "
               "sleep 0.4")),
        open("/dev/null", O_RDONLY | O_CLOEXEC), open("/dev/null", O_WRONLY | O_CLOEXEC), terminal, NULL);
    unsetenv("NO_COLOR");
    close(terminal);
    while ((n = read(master, part, sizeof part)) > 0) keep(&screen, part, (size_t)n);
    waitpid(pid, &status, 0);
    for (i = 0; i < screen.len; i++) {
        if (strncmp(screen.ptr + i, "\033[?7l", 5) == 0) from = i + 5;
        if (screen.ptr[i] == '\033')
            CHECK(strspn(screen.ptr + i + 1, "[?7") > 0 &&
                  strchr("lhJK", screen.ptr[i + 1 + strspn(screen.ptr + i + 1, "[?7")]));
        if (strncmp(screen.ptr + i, "\033[J\033[?7h", 8) != 0) continue;
        CHECK(i - from < 20); /* bytes, of which a column takes one at least */
        CHECK(stream_utf8_valid(screen.ptr + from, i - from));
        frames++;
    }
    CHECK(frames >= 2);
    /* A third is for the name; then the time, and what has room of the tool's name, cut between characters.
     */
    CHECK_HAS(screen, "l\xe6\x97\xa5\xe6\x9c\xac 0:00  x\xe8\xaa\xad\033[J");
    close(master);
    free(screen.ptr);
}

static void no_terminal_no_decoration_1_17(void) {
    result r = run_sh(NULL, "echo '{}'; sleep 0.2");
    CHECK_EQ(r.err.len, 0);
    forget(&r);
    r = run(NULL, ARGS(A("--progress=plain"), A("--interval=50ms"), A("--"), A("/bin/sh"), A("-c"),
                       A("echo '{}'; sleep 0.5")));
    CHECK(count_text(&r.err, "stream_wrap: 0:00  ") >= 3);
    CHECK_EQ(count_text(&r.err, "\033"), 0);
    forget(&r);
}

static void status_file_is_always_whole_1_17(void) {
    const char *file = path_of("atomic");
    int reads = 0, whole = 0;
    pid_t pid =
        spawn(ARGS(A(wrap_path), A("--interval=1ms"), A("--status-file"), A(file), A("--"), A(fake_path),
                   A("--records=300"), A("--rate=1000")),
              open("/dev/null", O_RDONLY | O_CLOEXEC), open("/dev/null", O_WRONLY | O_CLOEXEC), -1, NULL);
    AWAIT(access(file, R_OK) == 0);
    while (waitpid(pid, NULL, WNOHANG) == 0) {
        bytes b = read_file(file);
        size_t at;
        reads++;
        whole += b.len > 1 && stream_json_check(b.ptr, b.len, &at) == STREAM_OK && b.ptr[b.len - 1] == '\n';
        free(b.ptr);
    }
    CHECK(reads > 10);
    CHECK_EQ(whole, reads);
}

static void unwritable_status_file_is_said_once_1_17(void) {
    result r = run(NULL, ARGS(A("--interval=1ms"), A("--status-file=/no/such/place"), A("--"), A("/bin/sh"),
                              A("-c"), A("sleep 0.1; echo '{}'")));
    CHECK_EQ(r.code, 0);
    CHECK_EQ(count_text(&r.err, "--status-file"), 1);
    CHECK_TEXT(r.out.ptr, r.out.len, "{}\n");
    forget(&r);
}

static void unknown_types_pass_untouched_1_17(void) {
    const char *in = "{\"type\":\"brand_new\",\"n\": 1.50e3, \"s\":\"\\u00e9\"}\n";
    result r = run(in, ARGS(A("--output=events")));
    CHECK_HAS(r.out, "\"record\":{\"type\":\"brand_new\",\"n\": 1.50e3, \"s\":\"\\u00e9\"}");
    forget(&r);
    r = run(in, ARGS(A("--summary")));
    CHECK_TEXT(r.out.ptr, r.out.len, in);
    CHECK_HAS(r.err, "brand_new");
    forget(&r);
}

static void news_of_the_system_is_passed_on(void) {
    static const char in[] = "{\"type\":\"system\",\"subtype\":\"thinking_tokens\",\"estimated_tokens\":2}\n"
                             "{\"type\":\"system\",\"subtype\":\"api_retry\",\"attempt\":3}\n"
                             "{\"type\":\"stream_event\",\"event\":{\"type\":\"ping\"}}\n"
                             "{\"type\":\"stream_event\",\"event\":{\"type\":\"error\",\"error\":{}}}\n"
                             "{\"type\":\"stream_event\",\"event\":{\"type\":\"content_block_start\","
                             "\"content_block\":{\"type\":\"tool_use\",\"id\":\"t\",\"name\":\"Bash\"}}}\n";
    result r = run(in, ARGS(A("--output=events")));
    CHECK_EQ(count_text(&r.out, "\"event\":\"record\""), 2);
    CHECK_HAS(r.out, "\"record\":{\"type\":\"system\",\"subtype\":\"api_retry\",\"attempt\":3}}\n");
    CHECK_HAS(r.out, "\"record\":{\"type\":\"stream_event\",\"event\":{\"type\":\"error\",");
    CHECK_HAS(r.out, "\"id\":\"t\",\"name\":\"Bash\"}\n"); /* its input comes later */
    forget(&r);
}

static void hostile_types_are_bounded(void) {
    bytes in = {NULL, 0, 0}, state;
    result r;
    int i;
    for (i = 0; i < 500; i++) {
        const char *line = format("{\"type\":\"t%d\\u001b[31m\"}\n", i);
        keep(&in, line, strlen(line));
    }
    state = status_of(in.ptr, in.len, &r, "--summary");
    CHECK_EQ(number_at(&state, "/records"), 500);
    CHECK_EQ(number_at(&state, "/types/(others)"), 500 - 23);
    CHECK_EQ(count_text(&r.err, "\033"), 0);
    free(state.ptr);
    forget(&r);
    /* One that is called as the rest are counted is counted with them, not beside them. */
    {
        const char *line = "{\"type\":\"(others)\"}\n";
        setup s;
        memset(&s, 0, sizeof s);
        keep(&in, line, strlen(line));
        memmove(in.ptr + strlen(line), in.ptr, in.len - strlen(line));
        memcpy(in.ptr, line, strlen(line));
        s.input = in.ptr;
        s.input_len = in.len;
        r = run_with(&s, ARGS(A("--metrics=prometheus")));
        CHECK_EQ(count_text(&r.err, "{type=\"(others)\"}"), 1);
        CHECK_EQ(count_text(&r.err, "stream_wrap_records_total{type="),
                 24 - 1); /* it took the place of one */
        forget(&r);
    }
    free(in.ptr);
}

static void text_is_safe_for_a_terminal_1_22(void) {
    const char *in =
        "{\"type\":\"assistant\",\"message\":{\"id\":\"m\",\"content\":[{\"type\":\"text\",\"text\":"
        "\"a\\u001b]52;c;aGk=\\u0007b\\u0000c\\u009b31md\\u007fe\\tf\\ng\xc2\x9b"
        "h\xff"
        "i \\ud800 j\\r\\nk\"}]}}\n"
        "\033]0;noise\007\n";
    result r = run(in, ARGS(A("--output=text")));
    size_t i;
    for (i = 0; i < r.out.len; i++) {
        unsigned char c = (unsigned char)r.out.ptr[i];
        CHECK(c >= 0x20 ? c != 0x7F : c == '\n' || c == '\t');
        CHECK(!(c == 0xC2 && (unsigned char)r.out.ptr[i + 1] < 0xA0));
    }
    CHECK(stream_utf8_valid(r.out.ptr, r.out.len));
    CHECK_HAS(r.out, "e\tf\ng");
    CHECK_HAS(r.out, " j\nk\n");
    CHECK_EQ(count_text(&r.out, "noise"), 0);
    forget(&r);
    r = run(in, ARGS(A("--output=raw")));
    CHECK_TEXT(r.out.ptr, r.out.len, in);
    forget(&r);
}

/* What the whole messages of a raw stream say: the assistant's text blocks, each ending its line. */
static bytes said_in(const bytes *raw) {
    static const char *const want[] = {"/type", "/parent_tool_use_id", "/message/content"};
    static const char *const block_want[] = {"/type", "/text"};
    bytes text = {NULL, 0, 0};
    stream_json json;
    stream_item item;
    stream_json_init(&json, NULL);
    stream_json_feed(&json, raw->ptr, raw->len);
    while (stream_json_next(&json, &item) == STREAM_OK) {
        stream_json_value v[3], block, part[2];
        stream_json_each each;
        stream_json_pick(item.ptr, item.len, want, 3, v);
        if (!stream_json_equals(v[0], "assistant", 9) || v[1].type == STREAM_JSON_STRING) continue;
        stream_json_each_init(&each, v[2]);
        while (stream_json_each_next(&each, NULL, &block) == STREAM_OK) {
            char plain[65536];
            size_t len, i;
            stream_json_pick(block.ptr, block.len, block_want, 2, part);
            if (!stream_json_equals(part[0], "text", 4)) continue;
            CHECK_EQ(stream_json_string(part[1], STREAM_JSON_REPLACE, plain, sizeof plain, &len),
                     STREAM_OK);
            for (i = 0; i < len; i++) {
                bool control = (unsigned char)plain[i] < 0x20 && plain[i] != '\n' && plain[i] != '\t';
                if (control || plain[i] == 0x7F)
                    keep(&text, "\xef\xbf\xbd", 3);
                else
                    keep(&text, plain + i, 1);
            }
            if (len && plain[len - 1] != '\n') keep(&text, "\n", 1);
        }
    }
    stream_json_free(&json);
    return text;
}

static void text_comes_once_from_deltas_or_whole(void) {
    static const char *const mode[] = {"--no-partial", "--seed=1"};
    int i;
    for (i = 0; i < 2; i++) {
        result raw = run(NULL, ARGS(A("--"), A(fake_path), A(mode[i])));
        result shown = run(NULL, ARGS(A("--output=text"), A("--"), A(fake_path), A(mode[i])));
        bytes want = said_in(&raw.out);
        CHECK(want.len > 500);
        CHECK_BYTES(shown.out.ptr, shown.out.len, want.ptr, want.len);
        free(want.ptr);
        forget(&raw);
        forget(&shown);
    }
}

static void what_never_streamed_is_said_too(void) {
    /* With partial messages on, a message that comes only whole (an error the CLI words itself) is text
       like any other; messages of subagents side by side are told apart by their ids. */
    static const char in[] =
        "{\"type\":\"stream_event\",\"event\":{\"type\":\"message_start\",\"message\":{\"id\":\"m1\","
        "\"usage\":{\"input_tokens\":10,\"output_tokens\":1}}}}\n"
        "{\"type\":\"stream_event\",\"event\":{\"type\":\"content_block_start\",\"content_block\":{"
        "\"type\":"
        "\"text\"}}}\n"
        "{\"type\":\"stream_event\",\"event\":{\"type\":\"content_block_delta\",\"delta\":{\"type\":"
        "\"text_delta\",\"text\":\"hel\"}}}\n"
        "{\"type\":\"stream_event\",\"event\":{\"type\":\"content_block_delta\",\"delta\":{\"type\":"
        "\"text_delta\",\"text\":\"lo\"}}}\n"
        "{\"type\":\"assistant\",\"message\":{\"id\":\"m1\",\"content\":[{\"type\":\"text\",\"text\":"
        "\"hello\"}]}}\n"
        "{\"type\":\"stream_event\",\"event\":{\"type\":\"content_block_stop\"}}\n"
        "{\"type\":\"stream_event\",\"event\":{\"type\":\"message_delta\",\"usage\":{\"output_tokens\":7}}}"
        "\n"
        "{\"type\":\"assistant\",\"parent_tool_use_id\":\"t1\",\"message\":{\"id\":\"s1\",\"content\":[{"
        "\"type\":"
        "\"text\",\"text\":\"under\"}],\"usage\":{\"input_tokens\":3,\"output_tokens\":2}}}\n"
        "{\"type\":\"assistant\",\"parent_tool_use_id\":\"t2\",\"message\":{\"id\":\"s2\",\"content\":[],"
        "\"usage\":{\"input_tokens\":3,\"output_tokens\":2}}}\n"
        "{\"type\":\"assistant\",\"parent_tool_use_id\":\"t1\",\"message\":{\"id\":\"s1\",\"content\":[],"
        "\"usage\":{\"input_tokens\":3,\"output_tokens\":4}}}\n"
        "{\"type\":\"assistant\",\"message\":{\"id\":\"own\",\"content\":[{\"type\":\"text\",\"text\":"
        "\"API Error\"}]}}\n";
    bytes state;
    result r = run(in, ARGS(A("--output=text")));
    CHECK_TEXT(r.out.ptr, r.out.len, "hello\nAPI Error\n");
    forget(&r);
    r = run(in, ARGS(A("--output=events")));
    CHECK_HAS(r.out, "\"source\":\"subagent\",\"text\":\"under\"");
    CHECK_HAS(r.out, "\"source\":\"assistant\",\"text\":\"API Error\"");
    CHECK_EQ(count_text(&r.out, "hello"), 0); /* it came in pieces */
    forget(&r);
    state = status_of(in, sizeof in - 1, &r, NULL);
    CHECK_EQ(number_at(&state, "/messages"), 4);
    CHECK_EQ(number_at(&state, "/tokens/input"), 16);
    CHECK_EQ(number_at(&state, "/tokens/output"), 13);
    free(state.ptr);
    forget(&r);
}

static void result_that_knows_nothing_changes_nothing(void) {
    static const char in[] = "{\"type\":\"assistant\",\"message\":{\"id\":\"m\",\"content\":[],\"usage\":"
                             "{\"input_tokens\":5,\"output_tokens\":7}}}\n"
                             "{\"type\":\"assistant\",\"message\":{\"id\":\"m\",\"content\":[]}}\n"
                             "{\"type\":\"result\",\"is_error\":true,\"usage\":{\"input_tokens\":0}}\n";
    result r;
    bytes state = status_of(in, sizeof in - 1, &r, NULL);
    CHECK_EQ(number_at(&state, "/tokens/input"), 5);
    CHECK_EQ(number_at(&state, "/tokens/output"), 7);
    CHECK_EQ(number_at(&state, "/messages"), 1);
    free(state.ptr);
    forget(&r);
}

static void absurd_figures_are_none(void) {
    static const char *const cost[] = {"1e300", "-1", "1e-400", "99999999999999999999999999999999"};
    size_t i;
    for (i = 0; i < COUNT(cost); i++) {
        const char *in = format("{\"type\":\"result\",\"total_cost_usd\":%s,\"usage\":{\"input_tokens\":-5,"
                                "\"output_tokens\":1e9}}\n",
                                cost[i]);
        result r = run(in, ARGS(A("--metrics=json")));
        CHECK_EQ(r.code, 0);
        CHECK_EQ(number_at(&r.err, "/stream_wrap_cost_usd"), 0);
        CHECK_EQ(number_at(&r.err, "/stream_wrap_tokens_total{kind=\"input\"}"), 0);
        forget(&r);
        r = run(in, ARGS(A("--summary"), A("--progress=plain"), A("--stdin=-"), A("--"), A("/bin/cat")));
        CHECK_EQ(count_text(&r.err, "$1"), 0);
        CHECK_EQ(count_text(&r.err, "$-"), 0);
        forget(&r);
    }
}

static void metrics_in_both_forms(void) {
    const char *file = path_of("metrics");
    bytes b;
    size_t at;
    result r =
        run(NULL, ARGS(A("--metrics=prometheus"), A("--metrics-file"), A(file), A("--"), A(fake_path)));
    CHECK_EQ(r.code, 0);
    CHECK_EQ(r.err.len, 0);
    b = read_file(file);
    CHECK_HAS(b, "# TYPE stream_wrap_records_total counter\nstream_wrap_records_total{type=\"system\"} ");
    CHECK_HAS(b, "stream_wrap_latency_seconds{quantile=\"0.99\"} 0.");
    CHECK_HAS(b, "stream_wrap_exit_code 0\n");
    free(b.ptr);
    forget(&r);
    r = run(NULL, ARGS(A("--metrics=json"), A("--"), A(fake_path)));
    CHECK_EQ(stream_json_check(r.err.ptr, r.err.len, &at), STREAM_OK);
    CHECK_EQ(number_at(&r.err, "/stream_wrap_records_total{type=\"result\"}"), 1);
    forget(&r);
}

static void totals_do_not_depend_on_how_it_is_cut(void) {
    static const char *const chunk[] = {"--chunk=65536", "--dribble", "--chunk=7", "--chunk=4097"};
    bytes first = {NULL, 0, 0};
    size_t i;
    for (i = 0; i < sizeof chunk / sizeof *chunk; i++) {
        const char *file = path_of("cut");
        bytes b;
        size_t from;
        result r = run(NULL, ARGS(A("--status-file"), A(file), A("--"), A(fake_path), A("--noise=20"),
                                  A("--glue=15"), A(chunk[i])));
        CHECK_EQ(r.code, 0);
        b = read_file(file);
        from =
            (size_t)(strstr(b.ptr, "\"records\"") - b.ptr); /* what is before tells times and process ids */
        if (i == 0)
            keep(&first, b.ptr + from, b.len - from);
        else
            CHECK_BYTES(b.ptr + from, b.len - from, first.ptr, first.len);
        free(b.ptr);
        forget(&r);
    }
    free(first.ptr);
}

static void recorded_session(void) {
    const char *shared = getenv("STREAM_SHARED") ? getenv("STREAM_SHARED") : "../shared";
    const char *session = format("%s/data/claude/session-tools.ndjson", shared), *file = path_of("session");
    bytes want, b;
    int how;
    if (access(session, R_OK) != 0) {
        test_skip("no ../shared/data/claude/session-tools.ndjson (STREAM_SHARED says where)");
        return;
    }
    want = read_file(session);
    for (how = 0; how < 3; how++) {
        setup s;
        result r;
        memset(&s, 0, sizeof s);
        if (how == 0) s.stdin_file = session;
        r = how == 0   ? run_with(&s, ARGS(A("--status-file"), A(file)))
            : how == 1 ? run(NULL, ARGS(A("--status-file"), A(file), A("--"), A("/bin/cat"), A(session)))
                       : run(NULL, ARGS(A("--status-file"), A(file), A("--buffer=1"), A("--"),
                                        A("/bin/cat"), A(session)));
        CHECK_EQ(r.code, 0);
        CHECK_BYTES(r.out.ptr, r.out.len, want.ptr, want.len);
        b = read_file(file);
        CHECK_EQ(number_at(&b, "/records"), 783);
        CHECK_EQ(number_at(&b, "/types/stream_event"), 682);
        CHECK_EQ(number_at(&b, "/types/system"), 85);
        CHECK_EQ(number_at(&b, "/types/assistant"), 12);
        CHECK_EQ(number_at(&b, "/types/user"), 3);
        CHECK_EQ(number_at(&b, "/types/result"), 1);
        CHECK_EQ(number_at(&b, "/messages"), 4);
        CHECK_EQ(number_at(&b, "/tools_started"), 3);
        CHECK_EQ(number_at(&b, "/tokens/input"), 4806);
        CHECK_EQ(number_at(&b, "/tokens/output"), 646);
        CHECK_EQ(number_at(&b, "/tokens/cache_read"), 36000);
        CHECK_TEXT(text_at(&b, "/cost_usd"), strlen(text_at(&b, "/cost_usd")), "0.058179999999999996");
        CHECK_EQ(number_at(&b, "/noise"), 0);
        free(b.ptr);
        forget(&r);
    }
    free(want.ptr);
}

static void live_totals_agree_with_the_final_record(void) {
    /* Without its result record the sums must come from the messages themselves. */
    const char *with = path_of("with"), *without = path_of("without");
    bytes a, b;
    result r = run(NULL, ARGS(A("--status-file"), A(with), A("--"), A(fake_path), A("--no-partial")));
    forget(&r);
    r = run(NULL, ARGS(A("--status-file"), A(without), A("--"), A(fake_path), A("--no-partial"),
                       A("--fault=no-result")));
    forget(&r);
    a = read_file(with);
    b = read_file(without);
    CHECK(number_at(&a, "/messages") > 3);
    CHECK_EQ(number_at(&b, "/messages"), number_at(&a, "/messages"));
    CHECK(number_at(&b, "/tokens/output") > 0);
    CHECK_TEXT(text_at(&b, "/missing"), strlen(text_at(&b, "/missing")),
               "\"the stream ended without a result\"");
    free(a.ptr);
    free(b.ptr);
}

#undef RUN
#define RUN(function) (!only || strstr(#function, only) ? test_run(#function, function) : (void)0)

int main(int argc, char **argv) {
#if defined(F_GETPIPE_SZ)
    if (argc == 2 && strcmp(argv[1], "pipe-size") == 0) return printf("%d\n", fcntl(1, F_GETPIPE_SZ)) < 0;
#endif
    if (argc < 3) return 2;
    only = argc > 3 ? argv[3] : NULL;
    program = argv[0];
    wrap_path = argv[1];
    fake_path = argv[2];
    TEST_PROGRAM(getenv("TEST_SANITIZED") ? "wrap.asan" : "wrap");
    signal(SIGPIPE, SIG_IGN);
    snprintf(dir, sizeof dir, "/tmp/test_wrap.XXXXXX");
    if (!mkdtemp(dir)) return 2;

    /* First: what this process has grown to before it forks counts as the wrapper's, too. */
    if (!getenv("TEST_SANITIZED")) RUN(memory_does_not_grow_with_the_stream_1_13);
    RUN(stderr_before_stdout_1_1);
    RUN(unread_stderr_never_stops_the_child_1_1);
    RUN(grandchild_holding_the_pipe_1_2);
    RUN(grandchild_that_goes_on_talking_is_heard_1_2);
    RUN(child_without_output_lives_on);
    RUN(exit_codes);
    RUN(wrong_options_name_themselves);
    RUN(full_disk_is_no_help);
    RUN(help_is_complete_and_true);
    RUN(child_gets_default_signals_1_14);
    RUN(child_inherits_no_descriptor);
    RUN(signals_reach_the_child);
    RUN(last_words_after_a_signal_are_whole_1_4);
    RUN(reader_that_takes_nothing_is_left);
    RUN(asked_twice_waits_for_nobody);
    RUN(nothing_turns_while_nothing_happens);
    RUN(deaf_child_is_killed_after_grace);
    RUN(timers_report_and_let_live_1_6);
    RUN(idle_timer_tells_what_is_known_1_6_1_11);
    RUN(tool_has_a_timer_of_its_own_1_6);
    RUN(total_and_exit_timers_stop_1_5);
    RUN(next_turn_has_its_timers_again_1_6);
    RUN(slow_reader_is_no_idle_child_1_6);
    RUN(stopped_wrapper_hears_no_silence_1_6);
    RUN(stall_is_seen_everywhere_1_6_1_11);
    RUN(killed_wrapper_leaves_nothing_1_12);
    RUN(stopped_grandchild_is_killed_1_12);
    RUN(tree_is_killed_when_its_leader_is_gone_1_12);
    RUN(killed_guardian_takes_all_with_it_1_12);
    RUN(orphans_are_left_or_stopped_1_12);
    RUN(no_zombie_is_left_1_12);
    RUN(terminal_for_the_child_changes_no_byte_1_20);
    RUN(window_size_reaches_the_child_1_20);
    RUN(child_may_read_our_terminal);
    RUN(typed_interrupt_comes_once);
#if defined(F_GETPIPE_SZ)
    RUN(pipe_of_the_child_is_large_1_4);
#endif
    RUN(child_may_write_to_socket_or_file_1_4);
    RUN(environment_and_directory);
    RUN(tee_has_every_byte);
    RUN(full_disk_behind_the_tee);
    RUN(file_size_limit_is_a_full_disk);
    RUN(unread_tee_holds_nothing_up_unless_asked);
    RUN(codex_and_gemini_are_known);
    RUN(mapping_of_ones_own);
    RUN(endpoint_tells_how_it_goes);
    RUN(subscriber_that_keeps_up_gets_every_event);
    RUN(what_ends_behind_the_child_disturbs_no_subscriber);
    RUN(summary_is_complete_1_17);
    RUN(slow_reader_shows_in_the_state);
    RUN(slow_reader_shows_in_the_metrics);
    if (!getenv("TEST_SANITIZED")) RUN(dumb_terminal_gets_plain_lines_1_17); /* takes its time */
    RUN(status_line_in_a_tmux_pane_1_17);
    RUN(restarts_and_resumes);
    RUN(totals_outlive_a_restart);
    RUN(long_delay_is_no_shorter);
    RUN(published_to_a_relay);
    RUN(relay_that_comes_late_and_again);
    RUN(presets_and_environment_overlay);
    RUN(all_bytes_pass_exactly);
    RUN(huge_line_in_small_memory_1_3);
    RUN(oversize_is_one_event_then_resync_1_3);
    RUN(cut_record_has_its_own_exit_code_1_4);
    RUN(unterminated_last_record_1_16);
    RUN(characters_split_anywhere_stay_whole_1_7);
    RUN(surrogates_and_escapes_stay_whole_1_21);
    RUN(only_lf_ends_a_record_1_8);
    RUN(noise_and_glue_1_9);
    RUN(events_are_valid_json_whatever_comes);
    RUN(invalid_record_counts_once);
    RUN(big_input_against_a_chatty_child_1_10);
    RUN(timers_run_while_input_is_written_1_10);
    RUN(unreadable_input_is_no_success);
    RUN(child_input_is_empty_unless_asked);
    RUN(each_byte_is_scanned_once_1_13);
    if (!getenv("TEST_SANITIZED")) { /* what a sanitizer allocates is not ours */
        RUN(steady_state_allocates_nothing);
    }
    RUN(closed_stdout_stops_the_child_quietly_1_14);
    RUN(closed_stdout_is_noticed_in_silence_1_14);
    RUN(a_clock_does_not_hide_why_the_child_is_stopped);
    RUN(closed_stdout_can_be_drained_1_14);
    RUN(full_disk_is_said_and_stops);
    RUN(full_flow_arrives_whole);
    RUN(full_flow_arrives_whole_in_small_reads);
    RUN(slow_reader_of_a_nonblocking_pipe_1_15);
    RUN(slow_reader_of_a_blocking_pipe_1_15);
    RUN(slow_reader_of_a_socket_1_15);
    RUN(closed_standard_descriptors_are_survived);
    RUN(states_are_visible_1_5);
    RUN(missing_result_is_named_1_5);
    RUN(status_line_on_a_terminal_1_17);
    RUN(background_job_draws_nothing_1_17);
    RUN(narrow_terminal_cuts_no_character_1_7_1_17);
    RUN(no_terminal_no_decoration_1_17);
    RUN(status_file_is_always_whole_1_17);
    RUN(unwritable_status_file_is_said_once_1_17);
    RUN(unknown_types_pass_untouched_1_17);
    RUN(news_of_the_system_is_passed_on);
    RUN(hostile_types_are_bounded);
    RUN(text_is_safe_for_a_terminal_1_22);
    RUN(text_comes_once_from_deltas_or_whole);
    RUN(what_never_streamed_is_said_too);
    RUN(result_that_knows_nothing_changes_nothing);
    RUN(absurd_figures_are_none);
    RUN(metrics_in_both_forms);
    RUN(totals_do_not_depend_on_how_it_is_cut);
    RUN(recorded_session);
    RUN(live_totals_agree_with_the_final_record);

    if (fork() == 0) execl("/bin/rm", "rm", "-rf", dir, (char *)NULL);
    wait(NULL);
    return test_end();
}
