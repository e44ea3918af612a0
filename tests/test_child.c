/* SPDX-License-Identifier: MIT-0
   Child processes, on every system: examples/common/child.h. The program is its own child: started with a
   role as its first argument it plays that, else it tests. What a child holds that it should not is looked
   for while several threads start others and open and close all that stream.h opens. */
#include "test.h"

#include <stdatomic.h>
#include <stdbool.h>

#define STREAM_IMPLEMENTATION
#include "stream.h"

#include "bytes.h"
#include "child.h"

#if defined(_WIN32)
#include <fcntl.h>
#include <io.h>
#include <windows.h>

#include "windows/wide.h"
#define read(fd, p, n)  _read(fd, p, (unsigned)(n))
#define write(fd, p, n) _write(fd, p, (unsigned)(n))
#else
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>
#endif

#define SECOND  UINT64_C(1000000000)
#define A(text) ((char *)(uintptr_t)(text))

static const char *self;

/* Between fork and exec, and in the guardian, which is a fork for good, nothing may ask malloc: another thread may have
   held its lock at the fork, and there it stays held. glibc minds its own; a sanitizer's does not, and waited for ever. */
#if defined(__GLIBC__) && !TEST_SANITIZED
extern void *__libc_malloc(size_t);
extern void *__libc_calloc(size_t, size_t);
extern void *__libc_realloc(void *, size_t);

static pid_t tester;

static void no_fork_asks(void) {
    if (tester && getpid() != tester) _exit(93);
}

void *malloc(size_t n) {
    no_fork_asks();
    return __libc_malloc(n);
}

void *calloc(size_t n, size_t size) {
    no_fork_asks();
    return __libc_calloc(n, size);
}

void *realloc(void *p, size_t n) {
    no_fork_asks();
    return __libc_realloc(p, n);
}
#endif

/* ==[ what the child does ]========================================================================== */

static void say(int fd, const char *text, size_t len) {
    while (len > 0) {
        long n = (long)write(fd, text, len);
        if (n <= 0) exit(90);
        text += n;
        len -= (size_t)n;
    }
}

/* Each argument as length, colon, bytes. */
static int say_arguments(int argc, char **argv) {
    int i;
    for (i = 2; i < argc; i++) {
        char head[32];
        say(1, head, (size_t)snprintf(head, sizeof head, "%u:", (unsigned)strlen(argv[i])));
        say(1, argv[i], strlen(argv[i]));
    }
    return 0;
}

/* What is open here beside the three standard streams; on Windows, which pipes: the system opens other
   things in every process. */
static int say_descriptors(void) {
    char line[64];
#if defined(_WIN32)
    uintptr_t h;
    for (h = 4; h < 8192; h += 4) {
        HANDLE handle = (HANDLE)h;
        if (handle == GetStdHandle(STD_INPUT_HANDLE) || handle == GetStdHandle(STD_OUTPUT_HANDLE) ||
            handle == GetStdHandle(STD_ERROR_HANDLE) || GetFileType(handle) != FILE_TYPE_PIPE)
            continue;
        say(1, line, (size_t)snprintf(line, sizeof line, "%u ", (unsigned)h));
    }
#else
    int fd;
    for (fd = 3; fd < 1024; fd++)
        if (fcntl(fd, F_GETFD) != -1) say(1, line, (size_t)snprintf(line, sizeof line, "%d ", fd));
#endif
    return 0;
}

static void wait_for_ever(void) {
#if defined(_WIN32)
    Sleep(INFINITE);
#else
    for (;;) pause();
#endif
}

#if defined(_WIN32)
static BOOL WINAPI deaf(DWORD event) {
    (void)event;
    return TRUE;
}
#endif

/* Of each name: name, equals, value, or the name alone. */
static int say_environment(int argc, char **argv) {
    int i;
    for (i = 2; i < argc; i++) {
        const char *value = getenv(argv[i]);
        say(1, argv[i], strlen(argv[i]));
        if (value) say(1, "=", 1), say(1, value, strlen(value));
        say(1, ";", 1);
    }
    return 0;
}

static int play(int argc, char **argv) {
    const char *role = argv[1];
    static char block[65536];
    long n;
    if (strcmp(role, "arguments") == 0) return say_arguments(argc, argv);
    if (strcmp(role, "environment") == 0) return say_environment(argc, argv);
    if (strcmp(role, "descriptors") == 0) return say_descriptors();
    if (strcmp(role, "exit") == 0) return atoi(argv[2]);
    if (strcmp(role, "say") == 0) {
        say(1, "out", 3);
        say(2, "err", 3);
        return 0;
    }
    if (strcmp(role, "echo") == 0) {
        while ((n = (long)read(0, block, sizeof block)) > 0) say(1, block, (size_t)n);
        return 0;
    }
    if (strcmp(role, "flood") == 0) { /* 1 MiB on each */
        int i;
        memset(block, 'x', sizeof block);
        for (i = 0; i < 16; i++) say(2, block, sizeof block);
        for (i = 0; i < 16; i++) say(1, block, sizeof block);
        return 0;
    }
    if (strcmp(role, "deaf") == 0) {
#if defined(_WIN32)
        SetConsoleCtrlHandler(deaf, TRUE);
#else
        signal(SIGTERM, SIG_IGN);
#endif
        say(1, "up", 2);
        wait_for_ever();
    }
    if (strcmp(role, "wait") == 0) {
        say(1, "up", 2);
        wait_for_ever();
    }
    if (strcmp(role, "parent") == 0 || strcmp(role, "leave") == 0) {
        /* Its own child holds our pipes as well; the end of the output is the end of both. */
#if defined(_WIN32)
        STARTUPINFOW start;
        PROCESS_INFORMATION p;
        wchar_t line[] = L"grandchild wait", path[512];
        memset(&start, 0, sizeof start);
        start.cb = sizeof start;
        if (GetModuleFileNameW(NULL, path, 512) == 0 ||
            !CreateProcessW(path, line, NULL, NULL, TRUE, 0, NULL, NULL, &start, &p))
            return 91;
#else
        pid_t pid = fork();
        if (pid < 0) return 91;
        if (pid == 0) {
            say(1, "up", 2);
            wait_for_ever();
        }
#endif
        if (strcmp(role, "leave") == 0) return 0;
        wait_for_ever();
    }
    return 92;
}

/* ==[ one run of a child ]=========================================================================== */

typedef struct result {
    child_result started;
    int os_error, code;
    bytes out, err;
    bool out_ended; /* before the child was ended from here */
} result;

static void forget(result *r) {
    free(r->out.ptr);
    free(r->err.ptr);
}

typedef struct watched {
    stream_io io;
    child c;
    stream_io_file file[3]; /* in, out, err */
    stream_io_op op[3];
    char data[2][16384];
} watched;

static void wake(void *ctx) { stream_io_wake((stream_io *)ctx); }

/* What every child here is told of its environment. */
static const char *const changes[] = {"CHILD_SET=1",     "CHILD_GONE",    "CHILD_LATER=1",
                                      "CHILD_LATER=2=3", "CHILD_TWICE=1", "CHILD_TWICE"};

static bool watch(watched *w, result *r, char *const argv[], child_stdin input, stream_fd file) {
    child_desc desc;
    int i;
    memset(w, 0, sizeof *w);
    memset(r, 0, sizeof *r);
    memset(&desc, 0, sizeof desc);
    if (stream_io_init(&w->io, NULL) != STREAM_OK) return false;
    desc.argv = argv;
    desc.input = input;
    desc.file = file;
    desc.guarded = true;
    desc.env = changes;
    desc.env_count = sizeof changes / sizeof changes[0];
    desc.wake = wake;
    desc.ctx = &w->io;
    r->started = child_start(&w->c, &desc, &r->os_error);
    if (r->started != CHILD_STARTED) {
        stream_io_free(&w->io);
        return false;
    }
    stream_io_attach(&w->io, &w->file[1], w->c.out);
    stream_io_attach(&w->io, &w->file[2], w->c.err);
    if (w->c.in != -1) stream_io_attach(&w->io, &w->file[0], w->c.in);
    for (i = 1; i < 3; i++)
        stream_io_read(&w->io, &w->op[i], &w->file[i], w->data[i - 1], sizeof w->data[0]);
    return true;
}

/* Goes on until both outputs have ended and the child has, or `until` bytes of output are there, or time is
   up: then false. */
static bool go_on(watched *w, result *r, size_t until, uint64_t ns) {
    uint64_t end = stream_now_ns() + ns;
    for (;;) {
        uint64_t now = stream_now_ns();
        stream_io_op *op;
        if (until && r->out.len >= until) return true;
        if (w->file[1].fd == -1 && w->file[2].fd == -1 && child_reap(&w->c) && w->c.tree_gone) break;
        if (now >= end) return false;
        /* Where the end of a child is a signal's news nobody wakes us here. */
        stream_io_wait(&w->io, end - now < 10000000 ? end - now : 10000000);
        while ((op = stream_io_next(&w->io)) != NULL) {
            int i = (int)(op - w->op);
            if (i == 0) {
                stream_io_close(&w->io, &w->file[0]);
            } else if (op->status == STREAM_OK) {
                keep(i == 1 ? &r->out : &r->err, w->data[i - 1], op->bytes);
                stream_io_read(&w->io, op, &w->file[i], w->data[i - 1], sizeof w->data[0]);
            } else {
                stream_io_close(&w->io, &w->file[i]);
            }
        }
    }
    r->code = w->c.code;
    return true;
}

static void unwatch(watched *w) {
    int i;
    for (i = 0; i < 3; i++) stream_io_close(&w->io, &w->file[i]);
    stream_io_wait(&w->io, 0);
    while (stream_io_next(&w->io)) {
    }
    child_free(&w->c, false);
    stream_io_free(&w->io);
}

static result run(char *const argv[], child_stdin input, stream_fd file, const char *text, size_t len) {
    watched *w = (watched *)malloc(sizeof *w);
    result r;
    if (!w) exit(99);
    if (watch(w, &r, argv, input, file)) {
        if (input == CHILD_STDIN_PIPE) stream_io_write(&w->io, &w->op[0], &w->file[0], text, len);
        if (!go_on(w, &r, 0, 60 * SECOND)) {
            child_signal(&w->c, CHILD_KILL);
            r.code = -1;
        }
        unwatch(w);
    }
    free(w);
    return r;
}

#define ARGS(...) ((char *const[]){A(self), __VA_ARGS__, NULL})

/* ==[ the cases ]==================================================================================== */

static void outputs_are_told_apart(void) {
    result r = run(ARGS(A("say")), CHILD_STDIN_NULL, -1, NULL, 0);
    CHECK_EQ(r.started, CHILD_STARTED);
    CHECK_EQ(r.code, 0);
    CHECK_TEXT(r.out.ptr, r.out.len, "out");
    CHECK_TEXT(r.err.ptr, r.err.len, "err");
    forget(&r);
    r = run(ARGS(A("flood")), CHILD_STDIN_NULL, -1, NULL, 0);
    CHECK_EQ(r.out.len, 1 << 20);
    CHECK_EQ(r.err.len, 1 << 20);
    forget(&r);
}

static void exit_codes(void) {
    static const char *const code[] = {"0", "1", "7", "255"};
    size_t i;
    for (i = 0; i < 4; i++) {
        result r = run(ARGS(A("exit"), A(code[i])), CHILD_STDIN_NULL, -1, NULL, 0);
        CHECK_EQ(r.code, atoi(code[i]));
        forget(&r);
    }
}

static void what_cannot_run_is_told_apart(void) {
    result r = run((char *[]){A("no-such-command-anywhere"), NULL}, CHILD_STDIN_NULL, -1, NULL, 0);
    CHECK_EQ(r.started, CHILD_NOT_FOUND);
    CHECK(r.os_error != 0);
    r = run((char *[]){A(""), NULL}, CHILD_STDIN_NULL, -1, NULL, 0);
    CHECK_EQ(r.started, CHILD_NOT_FOUND);
    /* A file that is there, and no program. */
    r = run((char *[]){A("./Makefile"), NULL}, CHILD_STDIN_NULL, -1, NULL, 0);
    CHECK_EQ(r.started, CHILD_CANNOT_RUN);
    CHECK(r.os_error != 0);
}

static void standard_input(void) {
    static char big[3000000];
    size_t i;
    result r = run(ARGS(A("echo")), CHILD_STDIN_NULL, -1, NULL, 0);
    CHECK_EQ(r.code, 0);
    CHECK_EQ(r.out.len, 0);
    forget(&r);
    for (i = 0; i < sizeof big; i++) big[i] = (char)(i * 7 + i / 251);
    r = run(ARGS(A("echo")), CHILD_STDIN_PIPE, -1, big, sizeof big);
    CHECK_EQ(r.code, 0);
    CHECK_BYTES(r.out.ptr, r.out.len, big, sizeof big);
    forget(&r);
}

/* Whatever an argument is made of, it arrives. */
static const char *const hostile[] = {"",
                                      " ",
                                      "  two  ",
                                      "plain",
                                      "a b",
                                      "\t",
                                      "\"",
                                      "\"\"",
                                      "\"\"\"",
                                      "say \"hi\"",
                                      "\\",
                                      "\\\\",
                                      "a\\",
                                      "a b\\",
                                      "a b\\\\",
                                      "\\\"",
                                      "\\\\\"",
                                      "a\\\\\\\"b c\\\\",
                                      "c:\\dir with space\\",
                                      "'single'",
                                      "*",
                                      "?",
                                      "*.c",
                                      "$HOME",
                                      "`id`",
                                      "%PATH%",
                                      "%",
                                      "100%",
                                      "^",
                                      "a^b",
                                      "&",
                                      "a&b",
                                      "|",
                                      "<in",
                                      ">out",
                                      "(x)",
                                      ";",
                                      "!x!",
                                      "--",
                                      "-x",
                                      "/c",
                                      "{\"k\":\"v w\",\"n\":[1,2]}",
                                      "\xc3\xa9\xe6\x97\xa5\xf0\x9f\x9a\x80",
                                      "\xe2\x80\x8b",
                                      "tab\tin",
                                      "a\"b c\"d",
                                      "\"quoted\"",
                                      "ends with quote\"",
                                      "\"begins",
                                      "\\\\server\\share\\\"x\""};

enum { HOSTILE = sizeof hostile / sizeof *hostile };

static void expect_arguments(const char *program, const char *const *args, size_t count) {
    char *argv[HOSTILE + 4];
    bytes want = {NULL, 0, 0};
    result r;
    size_t i, n = 0;
    argv[n++] = A(program);
    if (program == self) argv[n++] = A("arguments");
    keep(&want, "", 0);
    for (i = 0; i < count; i++) {
        char head[32];
        argv[n++] = A(args[i]);
        keep(&want, head, (size_t)snprintf(head, sizeof head, "%u:", (unsigned)strlen(args[i])));
        keep(&want, args[i], strlen(args[i]));
    }
    argv[n] = NULL;
    r = run(argv, CHILD_STDIN_NULL, -1, NULL, 0);
    CHECK_EQ(r.started, CHILD_STARTED);
    CHECK_EQ(r.code, 0);
    CHECK_BYTES(r.out.ptr, r.out.len, want.ptr, want.len);
    free(want.ptr);
    forget(&r);
}

static void arguments_arrive_as_they_are(void) {
    static const char piece[] = "\"\\ a%&^\t";
    uint64_t seed = 7;
    int round;
    size_t i;
    expect_arguments(self, hostile, HOSTILE);
    for (i = 0; i < HOSTILE; i += 7) expect_arguments(self, &hostile[i], 1); /* alone, and last */
    for (round = 0; round < 8; round++) {                                    /* any row of what matters */
        char text[20][12];
        const char *args[20];
        for (i = 0; i < 20; i++) {
            size_t len = (size_t)(test_random(&seed) % 11), k;
            for (k = 0; k < len; k++) text[i][k] = piece[test_random(&seed) % (sizeof piece - 1)];
            text[i][len] = '\0';
            args[i] = text[i];
        }
        expect_arguments(self, args, 20);
    }
}

static bool is_up(watched *w, result *r, char *role) {
    CHECK(watch(w, r, ARGS(role), CHILD_STDIN_NULL, -1));
    return r->started == CHILD_STARTED && go_on(w, r, 2, 20 * SECOND);
}

/* Wine's console passes no event on; a child is then ended without being asked. */
static bool can_ask(const child *c) {
#if defined(_WIN32)
    return GenerateConsoleCtrlEvent(CTRL_BREAK_EVENT, (DWORD)c->pid) != 0;
#else
    return c->pid > 0;
#endif
}

static void the_environment_is_ours_but_for_what_is_set_and_removed(void) {
    static const char want[] = "CHILD_KEPT=kept;CHILD_SET=1;CHILD_GONE;CHILD_LATER=2=3;CHILD_TWICE;";
    result r;
#if defined(_WIN32)
    _putenv("CHILD_KEPT=kept");
    _putenv("CHILD_GONE=x");
    _putenv("CHILD_SET=before");
#else
    setenv("CHILD_KEPT", "kept", 1);
    setenv("CHILD_GONE", "x", 1);
    setenv("CHILD_SET", "before", 1);
#endif
    r = run(ARGS(A("environment"), A("CHILD_KEPT"), A("CHILD_SET"), A("CHILD_GONE"), A("CHILD_LATER"),
                 A("CHILD_TWICE")),
            CHILD_STDIN_NULL, -1, NULL, 0);
    CHECK_EQ(r.code, 0);
    CHECK_TEXT(r.out.ptr, r.out.len, want);
    forget(&r);
}

static void signals_and_the_end(void) {
    static watched w;
    result r;
    bool asks;
    CHECK(is_up(&w, &r, A("wait")));
    CHECK(!child_reap(&w.c));
    asks = can_ask(&w.c);
    child_signal(&w.c, CHILD_TERMINATE);
    CHECK(go_on(&w, &r, 0, 20 * SECOND));
    CHECK_EQ(r.code, 128 + (asks ? CHILD_TERMINATE : CHILD_KILL));
    unwatch(&w);
    forget(&r);
    CHECK(is_up(&w, &r, A("deaf")));
    if (asks) {
        child_signal(&w.c, CHILD_TERMINATE);
        CHECK(!go_on(&w, &r, 0, SECOND / 5));
    }
    child_signal(&w.c, CHILD_KILL);
    CHECK(go_on(&w, &r, 0, 20 * SECOND));
    CHECK_EQ(r.code, 128 + CHILD_KILL);
    unwatch(&w);
    forget(&r);
}

/* A grandchild holds the output open, so its end is the end of the whole tree. */
static void the_tree_is_killed(void) {
    static watched w;
    result r;
    CHECK(is_up(&w, &r, A("parent")));
    child_signal(&w.c, CHILD_KILL);
    CHECK(go_on(&w, &r, 0, 20 * SECOND));
    CHECK_EQ(r.code, 128 + CHILD_KILL);
    unwatch(&w);
    forget(&r);
    CHECK(is_up(&w, &r, A("leave"))); /* the child has gone, its own is there */
    CHECK(!go_on(&w, &r, 0, SECOND / 5));
    CHECK(child_reap(&w.c));
    CHECK_EQ(w.c.code, 0);
    child_signal(&w.c, CHILD_KILL);
    CHECK(go_on(&w, &r, 0, 20 * SECOND));
    unwatch(&w);
    forget(&r);
}

/* ==[ what children inherit ]======================================================================== */

#if defined(_WIN32)
typedef HANDLE thread;
#define THREAD(name) static DWORD WINAPI name(void *arg)
static thread begin(LPTHREAD_START_ROUTINE f, void *arg) { return CreateThread(NULL, 0, f, arg, 0, NULL); }
static void join(thread t) {
    WaitForSingleObject(t, INFINITE);
    CloseHandle(t);
}
#define THREAD_END 0
#else
typedef pthread_t thread;
#define THREAD(name) static void *name(void *arg)
static thread begin(void *(*f)(void *), void *arg) {
    thread t;
    if (pthread_create(&t, NULL, f, arg) != 0) exit(98);
    return t;
}
static void join(thread t) { pthread_join(t, NULL); }
#define THREAD_END   NULL
#endif

#if defined(_WIN32)
enum { SPAWNERS = 3, SPAWNS = 8 }; /* a process is dear there */
#else
enum { SPAWNERS = 3, SPAWNS = 60 };
#endif

typedef struct spawner {
    unsigned started, leaked;
    char what[128];
} spawner;

static atomic_uint spawning;

THREAD(spawn_many) {
    spawner *s = (spawner *)arg;
    int i;
    for (i = 0; i < SPAWNS; i++) {
        result r = run(ARGS(A("descriptors")), i % 2 ? CHILD_STDIN_PIPE : CHILD_STDIN_NULL, -1, "x", 1);
        s->started += r.started == CHILD_STARTED && r.code == 0;
        if (r.out.len > 0) {
            s->leaked++;
            snprintf(s->what, sizeof s->what, "%s", r.out.ptr);
        }
        forget(&r);
    }
    atomic_fetch_sub(&spawning, 1u);
    return THREAD_END;
}

#if !defined(_WIN32)
/* Opens and closes whatever stream.h opens, so that a fork falls between any two of its calls. */
THREAD(open_and_close) {
    static const char *const backend[] = {"epoll", "io_uring", "kqueue", "poll"};
    unsigned long *rounds = (unsigned long *)arg;
    char data[64];
    while (atomic_load(&spawning) > 0) {
        size_t i;
        for (i = 0; i < sizeof backend / sizeof *backend; i++) {
            stream_io io;
            stream_io_file file[3];
            stream_io_op op[3];
            stream_io_desc desc;
            struct sockaddr_in address;
            socklen_t len = (socklen_t)sizeof address;
            int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), n = 0, fifo[2];
            stream_io_op *done;
            memset(&desc, 0, sizeof desc);
            memset(file, 0, sizeof file);
            memset(op, 0, sizeof op);
            memset(&address, 0, sizeof address);
            address.sin_family = AF_INET;
            address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
            desc.backends = backend[i];
            if (listener < 0 || bind(listener, (struct sockaddr *)&address, sizeof address) != 0 ||
                listen(listener, 4) != 0 || getsockname(listener, (struct sockaddr *)&address, &len) != 0 ||
                pipe2(fifo, O_CLOEXEC) != 0)
                exit(97);
            if (stream_io_init(&io, &desc) != STREAM_OK) {
                close(listener), close(fifo[0]), close(fifo[1]);
                continue;
            }
            stream_io_attach(&io, &file[0], listener);
            stream_io_attach(&io, &file[1], socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
            stream_io_attach(&io, &file[2], fifo[0]); /* blocking: opened once more */
            stream_io_accept(&io, &op[0], &file[0]);
            stream_io_connect(&io, &op[1], &file[1], &address, sizeof address);
            stream_io_read(&io, &op[2], &file[2], data, sizeof data);
            while (n < 2 && stream_io_wait(&io, SECOND) >= 0) {
                while ((done = stream_io_next(&io)) != NULL) {
                    n++;
                    if (done == &op[0] && done->fd >= 0) close(done->fd);
                }
            }
            for (n = 0; n < 3; n++) stream_io_close(&io, &file[n]);
            close(fifo[1]);
            stream_io_free(&io);
            ++*rounds;
        }
        {
            stream_channel channel;
            stream_channel_desc desc;
            memset(&desc, 0, sizeof desc);
            desc.wake_fd = true;
            if (stream_channel_init(&channel, &desc) == STREAM_OK) stream_channel_free(&channel);
        }
    }
    return THREAD_END;
}
#endif

static void children_inherit_nothing_4_12(void) {
    thread t[SPAWNERS];
    spawner s[SPAWNERS];
    unsigned long rounds = 0;
    int i;
#if !defined(_WIN32)
    thread other;
#endif
    memset(s, 0, sizeof s);
    atomic_store(&spawning, (unsigned)SPAWNERS);
    for (i = 0; i < SPAWNERS; i++) t[i] = begin(spawn_many, &s[i]);
#if !defined(_WIN32)
    other = begin(open_and_close, &rounds);
#endif
    for (i = 0; i < SPAWNERS; i++) {
        join(t[i]);
        CHECK_EQ(s[i].started, SPAWNS);
        CHECK_EQ(s[i].leaked, 0);
        if (s[i].leaked) printf("    inherited: %s\n", s[i].what);
    }
#if !defined(_WIN32)
    join(other);
    CHECK(rounds > 0);
#else
    (void)rounds;
#endif
}

/* One that lives on holds nothing of one that ends. */
static void ends_are_seen_at_once_4_12(void) {
    static watched first, second;
    result a, b;
    CHECK(is_up(&first, &a, A("wait")));
    CHECK(watch(&second, &b, ARGS(A("echo")), CHILD_STDIN_PIPE, -1));
    child_signal(&first.c, CHILD_KILL);
    CHECK(go_on(&first, &a, 0, 20 * SECOND));
    unwatch(&first);
    stream_io_close(&second.io, &second.file[0]);
    CHECK(go_on(&second, &b, 0, 20 * SECOND));
    CHECK_EQ(b.code, 0);
    unwatch(&second);
    forget(&a);
    forget(&b);
}

int main(int argc, char **argv) {
#if defined(_WIN32)
    argv = wide_arguments(&argc);
    if (!argv) return 2;
    _setmode(0, _O_BINARY);
    _setmode(1, _O_BINARY);
    _setmode(2, _O_BINARY);
#else
    signal(SIGPIPE, SIG_IGN);
#endif
    self = argv[0];
    if (argc > 1) return play(argc, argv);
#if defined(_WIN32)
    AllocConsole(); /* events are sent through one; we may have it already */
#endif
#if !defined(_WIN32)
    for (argc = 3; argc < 1024; argc++) close(argc); /* what whoever started us left open is not ours */
#endif
#if defined(__GLIBC__) && !TEST_SANITIZED
    tester = getpid();
#endif
    TEST_PROGRAM("child");
    RUN(outputs_are_told_apart);
    RUN(exit_codes);
    RUN(what_cannot_run_is_told_apart);
    RUN(standard_input);
    RUN(arguments_arrive_as_they_are);
    RUN(the_environment_is_ours_but_for_what_is_set_and_removed);
    RUN(signals_and_the_end);
    RUN(the_tree_is_killed);
    RUN(children_inherit_nothing_4_12);
    RUN(ends_are_seen_at_once_4_12);
    return test_end();
}
