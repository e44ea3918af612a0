/* SPDX-License-Identifier: MIT-0
   What becomes of the tools when the system refuses them something: each call they make, and each request
   of memory, fails once, in every way that it can.

   A scenario is a tool with its clients, on loopback and in a folder of its own. It is run once with
   nothing wrong, which counts the calls by who makes them, what they are about, and what they are
   (faults.h); then again for each call, which tests/faults_inject.c makes fail. Each run is judged: the
   tool ends by itself, with a code that --help knows, leaves no process behind, closes nothing twice, keeps
   nothing open that it did not keep before, and never loses a byte without saying so; a server goes on, and
   serves the next client.

   faults SCENARIO...: of each kind of call the first, the second, the third and the last fail, of memory a
   sample. FAULTS=all: every one. One point again, with all that was said: faults SCENARIO POINT, as a
   failure prints it. BUILD is where the tools are. */
#define _GNU_SOURCE 1
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "faults.h"

#define BOUND_MS 10000 /* a run that takes longer hangs */
#define LATE_MS  3000  /* for what the tool started to be gone after it */
#define TEXT_MAX ((size_t)1 << 20)
#define SOURCES  24

/* ---- ways to fail ----------------------------------------------------------------------------------- */

#define ANY    0x7f
#define BIT(x) (1 << (x))
#define ENDS   (BIT(IS_PIPE) | BIT(IS_SOCKET)) /* what has another end */

/* Left out is what the system does not do: to have bytes, to say so, and to refuse them with EAGAIN, or to
   give fewer than it has (epoll(7) lets programs rely on that); to interrupt what does not wait; to take
   back a close. */

/* A call fails so if it is about one of these; only where it would block (1), only where it does not (2).
 */
static const struct {
    int call, about, blocking, kind;
} ways[] = {
    {CALL_memory, ANY, 0, ENOMEM},
    {CALL_read, ANY, 0, EINTR},
    {CALL_read, BIT(IS_FILE), 0, EIO}, /* of a terminal that is its end */
    {CALL_read, BIT(IS_SOCKET), 0, ECONNRESET},
    {CALL_read, ENDS, 0, KIND_SHORT},
    {CALL_write, ANY, 0, EINTR},
    {CALL_write, BIT(IS_FILE), 0, ENOSPC},
    {CALL_write, BIT(IS_FILE) | BIT(IS_DEVICE), 0, EIO},
    {CALL_write, ENDS, 0, EPIPE},
    {CALL_write, BIT(IS_FILE) | ENDS, 0, KIND_SHORT},
    {CALL_write, ENDS, 2, EAGAIN},
    {CALL_writev, ENDS, 0, EPIPE},
    {CALL_writev, ANY, 0, KIND_SHORT},
    {CALL_writev, BIT(IS_FILE), 0, ENOSPC},
    {CALL_writev, ENDS, 2, EAGAIN},
    {CALL_recv, ANY, 0, EINTR},
    {CALL_recv, ANY, 0, ECONNRESET},
    {CALL_send, ANY, 0, EINTR},
    {CALL_send, ANY, 0, EPIPE},
    {CALL_send, ANY, 0, EAGAIN},
    {CALL_send, ANY, 0, ENOBUFS},
    {CALL_send, ANY, 0, KIND_SHORT},
    {CALL_sendmsg, ANY, 0, EINTR},
    {CALL_sendmsg, ANY, 0, EPIPE},
    {CALL_sendmsg, ANY, 0, EAGAIN},
    {CALL_sendmsg, ANY, 0, ECONNRESET},
    {CALL_sendmsg, ANY, 0, KIND_SHORT},
    {CALL_splice, ANY, 0, EINVAL},
    {CALL_splice, ANY, 0, ENOMEM},
    {CALL_splice, ANY, 0, KIND_SHORT},
    {CALL_tee, ANY, 0, EINVAL},
    {CALL_tee, ANY, 0, ENOMEM},
    {CALL_open, ANY, 0, EMFILE},
    {CALL_open, ANY, 0, EINTR},
    {CALL_open, BIT(IS_FILE), 0, ENOSPC},
    {CALL_close, ANY, 0, EINTR},
    {CALL_close, ANY, 0, EIO},
    {CALL_pipe2, ANY, 0, EMFILE},
    {CALL_socketpair, ANY, 0, EMFILE},
    {CALL_socket, ANY, 0, EMFILE},
    {CALL_socket, ANY, 0, ENOBUFS},
    {CALL_bind, ANY, 0, EADDRINUSE},
    {CALL_bind, ANY, 0, EACCES},
    {CALL_listen, ANY, 0, EADDRINUSE},
    {CALL_accept4, ANY, 0, EINTR},
    {CALL_accept4, ANY, 0, ECONNABORTED},
    {CALL_accept4, ANY, 0, EMFILE},
    {CALL_accept4, ANY, 0, ENOBUFS},
    {CALL_connect, ANY, 0, EINTR},
    {CALL_connect, ANY, 0, ECONNREFUSED},
    {CALL_connect, ANY, 0, EADDRNOTAVAIL},
    {CALL_connect, ANY, 2, EAGAIN},
    {CALL_shutdown, ANY, 0, ENOTCONN},
    {CALL_setsockopt, ANY, 0, ENOMEM},
    {CALL_getsockopt, ANY, 0, ENOBUFS},
    {CALL_getsockname, ANY, 0, ENOBUFS},
    {CALL_getpeername, ANY, 0, ENOTCONN},
    {CALL_getaddrinfo, ANY, 0, ENOMEM},
    {CALL_getaddrinfo, ANY, 0, EAGAIN},
    {CALL_getnameinfo, ANY, 0, ENOMEM},
    {CALL_fcntl, ANY, 0, EPERM},
    {CALL_ioctl, ANY, 0, EIO},
    {CALL_dup2, ANY, 0, EMFILE},
    {CALL_fstat, ANY, 0, ENOMEM},
    {CALL_lstat, ANY, 0, EACCES},
    {CALL_lseek, ANY, 0, EIO},
    {CALL_ftruncate, ANY, 0, EIO},
    {CALL_mkstemp, ANY, 0, ENOSPC},
    {CALL_rename, ANY, 0, ENOSPC},
    {CALL_unlink, ANY, 0, EACCES},
    {CALL_opendir, ANY, 0, EMFILE},
    {CALL_readdir, ANY, 0, EIO},
    {CALL_fopen, ANY, 0, EMFILE},
    {CALL_fread, ANY, 0, EIO},
    {CALL_fflush, ANY, 0, ENOSPC},
    {CALL_chdir, ANY, 0, EACCES},
    {CALL_epoll_create1, ANY, 0, EMFILE},
    {CALL_epoll_ctl, ANY, 3, ENOMEM},
    {CALL_epoll_ctl, ANY, 3, ENOSPC},
    {CALL_epoll_wait, ANY, 0, EINTR},
    {CALL_eventfd, ANY, 0, EMFILE},
    {CALL_poll, ANY, 0, EINTR},
    {CALL_poll, ANY, 0, ENOMEM},
    {CALL_pselect, ANY, 0, EINTR},
    {CALL_pselect, ANY, 0, ENOMEM},
    {CALL_mmap, ANY, 0, ENOMEM},
    {CALL_syscall, ANY, 0, ENOSYS},
    {CALL_syscall, ANY, 0, ENOMEM},
    {CALL_fork, ANY, 0, EAGAIN},
    {CALL_fork, ANY, 0, ENOMEM},
    {CALL_execvp, ANY, 0, EACCES},
    {CALL_execvp, ANY, 0, ENOMEM},
    {CALL_waitpid, ANY, 0, EINTR},
    {CALL_waitid, ANY, 0, EINTR},
    {CALL_kill, ANY, 0, EPERM},
    {CALL_setsid, ANY, 0, EPERM},
    {CALL_setpgid, ANY, 0, EACCES},
    {CALL_prctl, ANY, 0, EINVAL},
    {CALL_posix_openpt, ANY, 0, EMFILE},
    {CALL_grantpt, ANY, 0, EACCES},
    {CALL_unlockpt, ANY, 0, EIO},
    {CALL_ptsname, ANY, 0, ENOTTY},
    {CALL_tcgetattr, ANY, 0, EIO},
    {CALL_tcsetattr, ANY, 0, EIO},
};

enum { WAYS = sizeof ways / sizeof *ways };

static bool applies(size_t way, int fault_class) {
    if (!(ways[way].about & BIT(fault_class & 7))) return false;
    if (ways[way].blocking == 2) return (fault_class & CLASS_NONBLOCKING) != 0;
    if (ways[way].blocking == 3) return (fault_class & CLASS_ADDS) != 0;
    return true;
}

#define FAULT_NAME(name) #name,
static const char *const call_name[] = {FAULT_CALLS(FAULT_NAME)};

static const char *kind_name(int kind) {
    return kind == KIND_SHORT ? "short" : kind == 0 ? "nothing" : strerrorname_np(kind);
}

/* ---- one run ---------------------------------------------------------------------------------------- */

typedef struct text {
    char *ptr;
    size_t len;
} text;

/* Something that is read as it comes. */
typedef struct source {
    int fd;
    text *to;
    bool ended;
} source;

static fault_state *state;
static char dir[64], build[PATH_MAX], library[PATH_MAX], state_file[96];
static int child_pipe[2], listener; /* what says that a child has ended; the upstream's */
static struct {
    pid_t pid;
    int in, code, signal_number;
    bool over, hung, left; /* left: processes survived it */
    bool up;               /* it is a server, and serves */
    text ready;            /* what a child has written to descriptor 9 */
    uint64_t deadline_ns;
    text out, err;
    source source[SOURCES];
    size_t sources;
    const char *wrong; /* what a client has found */
} now;
static text good_out, good_err; /* of the run without a fault */
static fault_state good;

static uint64_t clock_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

static void fatal(const char *what) {
    printf("FAIL faults: %s: %s\n", what, strerror(errno));
    exit(1);
}

static void add(text *t, const char *p, size_t n) {
    if (!t->ptr && (t->ptr = (char *)malloc(TEXT_MAX)) == NULL) fatal("memory");
    if (n > TEXT_MAX - 1 - t->len) n = TEXT_MAX - 1 - t->len;
    memcpy(t->ptr + t->len, p, n);
    t->len += n;
    t->ptr[t->len] = '\0';
}

static void clear(text *t) {
    add(t, "", 0);
    t->len = 0;
    t->ptr[0] = '\0';
}

static bool has(const text *t, const char *word) {
    return t->ptr && memmem(t->ptr, t->len, word, strlen(word)) != NULL;
}

static bool begins(const text *whole, const text *part) {
    return part->len <= whole->len && memcmp(whole->ptr, part->ptr, part->len) == 0;
}

static bool same(const text *a, const text *b) { return a->len == b->len && begins(a, b); }

static const char *path_of(const char *name) {
    static char paths[8][128];
    static unsigned at;
    at = (at + 1) % 8;
    snprintf(paths[at], sizeof paths[at], "%s/%s", dir, name);
    return paths[at];
}

static bool get_file(const char *name, text *t) {
    char part[4096];
    int fd = open(path_of(name), O_RDONLY | O_CLOEXEC);
    ssize_t n;
    clear(t);
    if (fd < 0) return false;
    while ((n = read(fd, part, sizeof part)) > 0) add(t, part, (size_t)n);
    close(fd);
    return true;
}

static void on_child(int number) {
    int saved = errno;
    (void)number;
    (void)!write(child_pipe[1], "", 1);
    errno = saved;
}

static void watch(int fd, text *to) {
    if (now.sources == SOURCES) fatal("too many sources");
    fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
    now.source[now.sources].fd = fd;
    now.source[now.sources].to = to;
    now.source[now.sources++].ended = false;
}

static bool ended(int fd) {
    size_t i;
    for (i = 0; i < now.sources; i++)
        if (now.source[i].fd == fd) return now.source[i].ended;
    return true;
}

/* What has come, of everything that is read, is taken. */
static void take(void) {
    char part[16384];
    size_t i;
    ssize_t n;
    int status;
    pid_t pid;
    while (read(child_pipe[0], part, sizeof part) > 0) {
    }
    while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
        if (pid != now.pid) continue;
        now.over = true;
        now.code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
        now.signal_number = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
    }
    for (i = 0; i < now.sources; i++) {
        source *s = &now.source[i];
        while (!s->ended && s->to) {
            n = read(s->fd, part, sizeof part);
            if (n > 0)
                add(s->to, part, (size_t)n);
            else if (n == 0 || (errno != EAGAIN && errno != EINTR))
                s->ended = true;
            else
                break;
        }
    }
}

/* Waits until something has come. False: the tool has ended, or its time is over. */
static bool pump(void) {
    struct pollfd list[SOURCES + 2];
    uint64_t at = clock_ns();
    size_t i, n = 1;
    if (now.over || now.hung) return false;
    if (at >= now.deadline_ns) {
        now.hung = true;
        return false;
    }
    list[0].fd = child_pipe[0];
    list[0].events = POLLIN;
    if (listener >= 0) {
        list[n].fd = listener;
        list[n++].events = POLLIN;
    }
    for (i = 0; i < now.sources; i++) {
        if (now.source[i].ended) continue;
        list[n].fd = now.source[i].fd;
        list[n++].events = POLLIN;
    }
    (void)poll(list, n, (int)((now.deadline_ns - at) / 1000000) + 1);
    take();
    return !now.over;
}

static void serve(void);

/* Until it holds, the tool has ended, or its time is over. */
#define AWAIT(condition)                                                                                   \
    while (serve(), !(condition) && pump()) {                                                              \
    }

static const char *args[40];
static size_t arg_count;

static void arg(const char *text_arg) { args[arg_count++] = text_arg; }

static void tool(const char *name, ...) {
    static char path[PATH_MAX + 64];
    const char *one;
    va_list list;
    snprintf(path, sizeof path, "%s/%s", build, name);
    arg_count = 0;
    arg(path);
    va_start(list, name);
    while ((one = va_arg(list, const char *)) != NULL) arg(one);
    va_end(list);
}

/* Starts the tool with what tool() and arg() said, on pipes. */
static void start(void) {
    int in[2], out[2], err[2], ready[2];
    args[arg_count] = NULL;
    if (pipe2(in, O_CLOEXEC) || pipe2(out, O_CLOEXEC) || pipe2(err, O_CLOEXEC) || pipe2(ready, O_CLOEXEC))
        fatal("pipe");
    fflush(stdout);
    now.pid = fork();
    if (now.pid < 0) fatal("fork");
    if (now.pid == 0) {
        dup2(in[0], 0);
        dup2(out[1], 1);
        dup2(err[1], 2);
        dup2(ready[1], 9);
        setenv("LD_PRELOAD", library, 1);
        setenv("FAULTS_STATE", state_file, 1);
        if (chdir(dir) == 0) execv(args[0], (char *const *)(uintptr_t)args);
        _exit(127);
    }
    close(in[0]);
    close(out[1]);
    close(err[1]);
    close(ready[1]);
    now.in = in[1];
    watch(ready[0], &now.ready);
    watch(out[0], &now.out);
    watch(err[0], &now.err);
}

static void end_input(void) {
    if (now.in >= 0) close(now.in);
    now.in = -1;
}

/* Kills what is still below us. */
static void kill_left(void) {
    DIR *list = opendir("/proc");
    struct dirent *entry;
    while (list && (entry = readdir(list)) != NULL) {
        char path[300], line[512], *p;
        long pid = strtol(entry->d_name, &p, 10), parent = 0;
        FILE *f;
        if (pid <= 0 || *p) continue;
        snprintf(path, sizeof path, "/proc/%ld/stat", pid);
        f = fopen(path, "r");
        if (f && fgets(line, sizeof line, f) && (p = strrchr(line, ')')) != NULL &&
            sscanf(p + 1, " %*c %ld", &parent) == 1 && parent == getpid())
            kill((pid_t)pid, SIGKILL);
        if (f) fclose(f);
    }
    if (list) closedir(list);
}

/* The end of a run: the tool's, and that of all it started. */
static void finish(void) {
    size_t i;
    end_input();
    while (pump()) {
    }
    if (now.hung) {
        kill(now.pid, SIGKILL);
        now.deadline_ns = clock_ns() + (uint64_t)LATE_MS * 1000000;
        while (!now.over && waitpid(now.pid, NULL, 0) < 0 && errno == EINTR) {
        }
    }
    now.deadline_ns = clock_ns() + (uint64_t)LATE_MS * 1000000;
    for (;;) {
        int status;
        struct pollfd one = {child_pipe[0], POLLIN, 0};
        pid_t pid = waitpid(-1, &status, WNOHANG);
        uint64_t at = clock_ns();
        take();
        if (pid > 0) continue;
        if (pid < 0 && errno == ECHILD) break;
        if (at >= now.deadline_ns) {
            now.left = true;
            kill_left();
            now.deadline_ns = at + (uint64_t)LATE_MS * 1000000;
        }
        (void)poll(&one, 1, (int)((now.deadline_ns - at) / 1000000) + 1);
    }
    take();
    for (i = 0; i < now.sources; i++) close(now.source[i].fd);
}

/* ---- clients, and an upstream ----------------------------------------------------------------------- */

#define PEERS 8

static text heard[PEERS], asked[PEERS]; /* by the clients; of the upstream, on each of its connections */
static int client[PEERS], upstream[PEERS];
static unsigned answered[PEERS]; /* requests; and how far the last answer is: */
static unsigned clients, upstreams, tool_port;
static int source_fd; /* a fan-out's events are written there */
static bool resumed;
static bool half_way[PEERS];

static int listen_to(unsigned *port) {
    struct sockaddr_in a;
    socklen_t n = sizeof a;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    memset(&a, 0, sizeof a);
    a.sin_family = AF_INET;
    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (fd < 0 || bind(fd, (const struct sockaddr *)(const void *)&a, sizeof a) != 0 ||
        listen(fd, 16) != 0 || getsockname(fd, (struct sockaddr *)(void *)&a, &n) != 0)
        fatal("listening");
    *port = ntohs(a.sin_port);
    return fd;
}

/* A client that has sent `request`; what it hears is in heard[]. */
static unsigned dial(const char *path, unsigned port, const char *request) {
    struct sockaddr_un u;
    struct sockaddr_in a;
    unsigned i = clients++;
    int fd = socket(path ? AF_UNIX : AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || i == PEERS) fatal("a client");
    memset(&u, 0, sizeof u);
    u.sun_family = AF_UNIX;
    memset(&a, 0, sizeof a);
    a.sin_family = AF_INET;
    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    a.sin_port = htons((uint16_t)port);
    if (path) snprintf(u.sun_path, sizeof u.sun_path, "%s", path);
    clear(&heard[i]);
    client[i] = fd;
    watch(fd, &heard[i]);
    fcntl(fd, F_SETFL, 0);
    if ((path ? connect(fd, (const struct sockaddr *)(const void *)&u, sizeof u)
              : connect(fd, (const struct sockaddr *)(const void *)&a, sizeof a)) == 0)
        (void)send(fd, request, strlen(request), MSG_NOSIGNAL);
    fcntl(fd, F_SETFL, O_NONBLOCK);
    return i;
}

static void say(int fd, const char *words) { (void)send(fd, words, strlen(words), MSG_NOSIGNAL); }

static unsigned count_of(const text *t, const char *word) {
    unsigned n = 0;
    const char *p;
    for (p = t->ptr; (p = strstr(p, word)) != NULL; p++) n++;
    return n;
}

/* Whether an answer in chunks has its end. */
static bool whole(const text *t) { return t->len > 7 && strcmp(t->ptr + t->len - 7, "\r\n0\r\n\r\n") == 0; }

#define HEAD_OK "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"

/* The upstream: a first event at once, and the others when a client has it. */
static void serve(void) {
    unsigned i, k;
    int fd = listener < 0 ? -1 : accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    if (fd >= 0 && upstreams < PEERS) {
        clear(&asked[upstreams]);
        answered[upstreams] = 0;
        half_way[upstreams] = false;
        upstream[upstreams] = fd;
        watch(fd, &asked[upstreams++]);
    }
    for (i = 0; i < upstreams; i++) {
        if (!half_way[i] && count_of(&asked[i], "\r\n\r\n") > answered[i]) {
            say(upstream[i], HEAD_OK "b\r\ndata: one\n\n\r\n");
            answered[i]++;
            half_way[i] = true;
        }
        for (k = 0; half_way[i] && k < clients; k++) {
            if (ended(client[k]) || !has(&heard[k], "data: one\n")) continue;
            say(upstream[i], "b\r\ndata: two\n\n\r\nd\r\ndata: three\n\n\r\n0\r\n\r\n");
            half_way[i] = false;
        }
    }
}

/* A client that leaves. */
static void hang_up(unsigned i) {
    size_t k;
    for (k = 0; k < now.sources; k++)
        if (now.source[k].fd == client[i]) now.source[k].ended = true;
    shutdown(client[i], SHUT_RDWR);
}

/* The fault may strike one client; the next one is served. */
static void next_client(bool (*ask)(void)) {
    if (ask() || now.over || now.hung || (state->from && state->fired)) return;
    if (!ask() && !now.over && !now.hung) now.wrong = "the next client is not served";
}

/* The port in "listening at ..., port N", on standard error or where else it is said. */
static bool find_port(const text *t, const char *before) {
    const char *p = t->ptr ? strstr(t->ptr, before) : NULL;
    if (!p || !strpbrk(p, "\n")) return false;
    tool_port = (unsigned)strtoul(p + strlen(before), NULL, 10);
    return true;
}

static void empty_dir(void) {
    DIR *list = opendir(dir);
    struct dirent *entry;
    while (list && (entry = readdir(list)) != NULL)
        if (entry->d_name[0] != '.') unlink(path_of(entry->d_name));
    if (list) closedir(list);
}

/* A file in the folder that is none of these: what the tool has left there. */
static const char *stray(const char *const *known) {
    static char name[300];
    DIR *list = opendir(dir);
    struct dirent *entry;
    bool found = false;
    while (list && !found && (entry = readdir(list)) != NULL) {
        size_t i;
        if (entry->d_name[0] == '.') continue;
        for (i = 0; known[i] && strcmp(known[i], entry->d_name) != 0; i++) {
        }
        if (!known[i]) {
            snprintf(name, sizeof name, "left behind: %s", entry->d_name);
            found = true;
        }
    }
    if (list) closedir(list);
    return found ? name : NULL;
}

/* ---- what every scenario is judged by ---------------------------------------------------------------- */

typedef struct scenario {
    const char *name;
    void (*run)(void);          /* one run, up to finish() */
    const char *(*judge)(void); /* NULL, or what is wrong; of the run without a fault, too */
    const char *says;           /* how the tool's own words begin */
    const char *codes;          /* what it may end with, beside what it ends with when all is well */
    const char *gone;           /* ... of a server: said when what it serves has ended */
} scenario;

/* ---- stream_wrap ------------------------------------------------------------------------------------ */

/* Whether the fault was on standard error itself: then nothing can be said there. */
static bool mute(void) {
    return state->kind && (state->fault_class & CLASS_STDERR) && state->call != CALL_fcntl;
}

static bool went_well(void) { return now.code == good.ended - 1; }

/* What the tool has passed on is a beginning of what there was, and all of it when all is well. */
static const char *judge_output(void) {
    if (!begins(&good_out, &now.out)) return "standard output has other bytes";
    if (went_well() && !same(&good_out, &now.out)) return "standard output has lost bytes in silence";
    return NULL;
}

static const char *judge_tee(void) {
    static text tee;
    get_file("tee", &tee);
    if (!begins(&good_out, &tee)) return "the tee has other bytes";
    if (went_well() && !same(&good_out, &tee) && !has(&now.err, "tee missed") && !has(&now.err, "--tee"))
        return "the tee has lost bytes in silence";
    return NULL;
}

static const char *judge_status(void) {
    static const char *const known[] = {"tee", "status", "sock", "flag", NULL};
    static text status;
    bool told = has(&now.err, "--status-file") || !went_well();
    const char *left = state->call == CALL_unlink && state->fired ? NULL : stray(known);
    if (left) return left;
    if (!get_file("status", &status)) return told ? NULL : "no status file, and not a word about it";
    if (status.len < 2 || status.ptr[0] != '{' || strcmp(status.ptr + status.len - 2, "}\n") != 0)
        return "half a status file";
    if (!told && !has(&status, "\"state\":\"exit\""))
        return "the last state is missing, and not a word about it";
    return NULL;
}

static const char *judge_child_stderr(void) {
    static const char end[] = "\"settings\": {\"path\": [\"~\"]}\n";
    size_t want = 0, got = 0;
    const char *p;
    for (p = good_err.ptr; (p = strstr(p, end)) != NULL; p++) want++;
    for (p = now.err.ptr; (p = strstr(p, end)) != NULL; p++) got++;
    if (went_well() && got < want && !mute() && has(&now.err, " 0 dropped"))
        return "the child's standard error is lost in silence";
    return NULL;
}

static const char *judge_wrap(void) {
    const char *wrong = judge_output();
    if (!wrong) wrong = judge_status();
    if (!wrong) wrong = judge_child_stderr();
    return wrong;
}

static const char *judge_wrap_tee(void) {
    const char *wrong = judge_wrap();
    return wrong ? wrong : judge_tee();
}

static void wrap(const char *first, const char *second) {
    tool("stream_wrap", "--status-file", path_of("status"), "--summary", "--grace", "50ms", first, second,
         NULL);
}

static void child(void) {
    static char fake[PATH_MAX + 16];
    snprintf(fake, sizeof fake, "%s/fake_llm", build);
    arg("--");
    arg(fake);
    arg("--turns"), arg("1"), arg("--text"), arg("60"), arg("--result"), arg("200"), arg("--stderr"),
        arg("70");
}

static void wrap_pipes(void) {
    wrap("--tee", path_of("tee"));
    arg("--metrics"), arg("json");
    child();
    start();
    finish();
}

static void wrap_pty(void) {
    wrap("--pty", NULL);
    child();
    start();
    finish();
}

static void wrap_file(void) {
    wrap("--child-stdout", "file");
    arg("--tee"), arg(path_of("tee")), arg("--tee-policy"), arg("stop");
    child();
    start();
    finish();
}

/* The first child breaks off, the second one does not. */
static void wrap_restart(void) {
    static char script[2 * PATH_MAX];
    wrap("--restart", "1");
    arg("--restart-delay"), arg("1ms"), arg("--child-stdout"), arg("socket");
    snprintf(script, sizeof script,
             "if test -e %s; then exec %.3000s/fake_llm --turns 1 --text 60 --result 200; fi; : >%s; "
             "exec %.3000s/fake_llm --turns 1 --text 60 --result 200 --fault truncate --exit 3",
             path_of("flag"), build, path_of("flag"), build);
    arg("--"), arg("sh"), arg("-c"), arg(script);
    start();
    finish();
}

/* Lines of `part` are lines of `all`, in the same order; but for the last event, which counts them. */
static bool lines_of(const text *all, const text *part) {
    const char *a = all->ptr, *p = part->ptr;
    while (*p) {
        size_t n = strcspn(p, "\n");
        if (p[n] != '\n') return true; /* cut off */
        if (strncmp(p, "{\"event\":\"end\"", 14) == 0) return p[n + 1] == '\0';
        while (*a && (strcspn(a, "\n") != n || memcmp(a, p, n) != 0))
            a += strcspn(a, "\n"), a += *a == '\n';
        if (!*a) return false;
        a += n + 1;
        p += n + 1;
    }
    return true;
}

/* Numbers of milliseconds differ from run to run. */
static void without_times(text *t) {
    char *from = t->ptr, *to = t->ptr;
    while (*from) {
        bool time_is_next = strncmp(from, "ms\":", 4) == 0;
        *to++ = *from++;
        if (!time_is_next) continue;
        memcpy(to, "s\":", 3);
        from += 3, to += 3;
        while (*from >= '0' && *from <= '9') from++;
    }
    *to = '\0';
    t->len = (size_t)(to - t->ptr);
}

static const char *judge_events(void) {
    without_times(&now.out);
    without_times(&good_out);
    if (!lines_of(&good_out, &now.out)) return "events are not what they were";
    if (went_well() && !same(&good_out, &now.out)) return "events are lost in silence";
    return judge_status();
}

static const char *judge_text(void) {
    if (went_well() && !same(&good_out, &now.out)) return "text is lost in silence";
    return judge_status();
}

static void wrap_events(void) {
    wrap("--output", "events");
    arg("--name"), arg("n");
    child();
    start();
    finish();
}

static void wrap_text(void) {
    wrap("--output", "text");
    arg("--stderr"), arg("tail");
    child();
    start();
    finish();
}

static bool ask_status(void) {
    unsigned i =
        dial(path_of("sock"), 0, "GET /status HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    AWAIT(ended(client[i]));
    return has(&heard[i], "HTTP/1.1 200") && has(&heard[i], "\"exit_code\":null}");
}

/* A subscriber, another client, and only then does the child get what it waits for: the end of its input.
 */
static void wrap_listen(void) {
    static char script[PATH_MAX + 200], address[160];
    unsigned i;
    wrap("--stdin", "-");
    snprintf(address, sizeof address, "unix:%s", path_of("sock"));
    arg("--listen"), arg(address);
    snprintf(
        script, sizeof script,
        "echo ready >&9; exec 9>&-; exec %.4000s/fake_llm --need-stdin --turns 1 --text 60 --result 200",
        build);
    arg("--"), arg("sh"), arg("-c"), arg(script);
    start();
    AWAIT(has(&now.ready, "ready"));
    if (!now.over) {
        i = dial(path_of("sock"), 0, "GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n");
        AWAIT(ended(client[i]) || has(&heard[i], "event: status"));
        next_client(ask_status);
    }
    finish();
}

static const char *judge_listen(void) {
    static unsigned events;
    if (!state->kind) events = count_of(&heard[0], "event: ");
    if (!state->kind && events < 20) return "the subscriber got no events";
    if (now.code == good.ended - 1 && clients && whole(&heard[0]) &&
        count_of(&heard[0], "event: ") < events && !has(&heard[0], "event: gap") &&
        !has(&now.err, "subscribers missed"))
        return "a subscriber has lost events in silence";
    return judge_wrap();
}

/* A child that does not listen, and one of its own that has left its group. */
static void wrap_stop(void) {
    wrap("--orphans", "stop");
    arg("--"), arg("sh"), arg("-c");
    arg("trap '' TERM; setsid sleep 1000 9>&- & echo '{}'; echo ready >&9; exec 9>&-; while :; do sleep "
        "1000; done");
    start();
    AWAIT(has(&now.ready, "ready"));
    if (!now.over) {
        kill(now.pid, SIGTERM);
        AWAIT(false);
    }
    finish();
}

/* ---- sse_relay ------------------------------------------------------------------------------------------
 */

#define GET_EVENTS "GET /events HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"

/* With an address of its own; true when it serves. */
static bool relay(const char *first, const char *second) {
    tool("sse_relay", "--listen", "127.0.0.1:0", "--drain", "50ms", "--metrics", "json", first, second,
         NULL);
    return true;
}

static bool serves(const char *before) {
    bool found = false;
    AWAIT((found = find_port(before[0] == 's' ? &now.err : &now.out, before)) ||
          has(&now.err, "could not be written"));
    now.up = found && !now.over && !now.hung;
    return now.up;
}

static void stop_server(void) {
    if (!now.over) kill(now.pid, SIGTERM);
    finish();
}

static const char *const words[] = {"data: one\n", "data: two\n", "data: three\n"};

/* An answer that looks whole has every event, or says what it lost. */
static const char *judge_answer(const text *t) {
    size_t i;
    const char *at = t->ptr;
    if (!has(t, "HTTP/1.1 200") || !whole(t) || has(t, "event: error") || has(t, "event: gap")) return NULL;
    for (i = 0; i < 3; i++) {
        at = strstr(at, words[i]);
        if (!at) return "an event is lost in silence";
    }
    return NULL;
}

static const char *judge_answers(void) {
    unsigned i;
    const char *wrong = NULL;
    for (i = 0; i < clients && !wrong; i++) wrong = judge_answer(&heard[i]);
    return wrong;
}

static bool ask_proxy(void) {
    unsigned i = dial(NULL, tool_port, "GET /x HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    AWAIT(ended(client[i]));
    return whole(&heard[i]) && has(&heard[i], "data: three");
}

static void relay_proxy(void) {
    static char address[64];
    unsigned port;
    relay("--access-log", path_of("log"));
    listener = listen_to(&port);
    snprintf(address, sizeof address, "http://127.0.0.1:%u", port);
    arg("--upstream"), arg(address), arg("--connect-timeout"), arg("1s"), arg("--header-timeout"),
        arg("1s");
    arg("--first-event-timeout"), arg("1s"), arg("--idle-timeout"), arg("1s");
    start();
    if (serves("sse_relay: listening at 127.0.0.1:0, port ")) {
        next_client(ask_proxy);
        if (!now.wrong) next_client(ask_proxy);
    }
    stop_server();
    close(listener);
    listener = -1;
}

/* It has said so; who listens is told when there is memory for it. */
static bool event_lost(void) { return has(&now.err, "an event is lost"); }

static void feed(int fd, const char *events) { (void)!write(fd, events, strlen(events)); }

/* Somebody who comes now gets what comes now. */
static bool ask_new(void) {
    unsigned i = dial(NULL, tool_port, GET_EVENTS);
    AWAIT(ended(client[i]) || has(&heard[i], "\r\n\r\n"));
    if (!ended(client[i])) feed(source_fd, "data: four\n\n");
    AWAIT(ended(client[i]) || has(&heard[i], "data: four") || event_lost());
    return has(&heard[i], "data: four");
}

/* Somebody who had the first event comes back for the others. */
static void resume(const text *before) {
    char request[200];
    const char *id = strstr(before->ptr, "id: ");
    unsigned i;
    resumed = id != NULL;
    if (!resumed) return;
    snprintf(request, sizeof request,
             "GET /events?lastEventId=%.*s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
             (int)strcspn(id + 4, "\r\n"), id + 4);
    i = dial(NULL, tool_port, request);
    AWAIT(ended(client[i]) || has(&heard[i], words[2]) || event_lost());
}

/* Two subscribers, of whom one leaves and one comes later with the number of its last event. */
static void relay_fanout(void) {
    unsigned a, b;
    relay("--fanout", "-");
    start();
    if (serves("sse_relay: listening at 127.0.0.1:0, port ")) {
        a = dial(NULL, tool_port, GET_EVENTS);
        b = dial(NULL, tool_port, GET_EVENTS);
        AWAIT(ended(client[a]) || has(&heard[a], "\r\n\r\n"));
        AWAIT(ended(client[b]) || has(&heard[b], "\r\n\r\n"));
        source_fd = now.in;
        feed(now.in, "data: one\n\n");
        AWAIT(event_lost() || ((ended(client[a]) || has(&heard[a], words[0])) &&
                               (ended(client[b]) || has(&heard[b], words[0]))));
        hang_up(a);
        feed(now.in, "data: two\n\ndata: three\n\n");
        AWAIT(ended(client[b]) || has(&heard[b], words[2]) || event_lost());
        resume(&heard[b]);
        next_client(ask_new);
        end_input();
        AWAIT(ended(client[b]));
    }
    stop_server();
}

static const char *judge_fanout(void) {
    const char *wrong = clients > 1 ? judge_answer(&heard[1]) : NULL;
    if (!wrong && resumed && whole(&heard[2]) && !has(&heard[2], words[2]))
        wrong = "who comes back has lost an event";
    return wrong;
}

static const char *judge_exec(void) { return clients ? judge_answer(&heard[0]) : NULL; }

static void relay_exec(void) {
    static char script[200];
    unsigned a;
    int fifo;
    relay("--fanout", "--exec");
    snprintf(script, sizeof script, "echo ready >&9; exec 9>&-; cat %s; exec sleep 1000", path_of("fifo"));
    arg(script);
    if (mkfifo(path_of("fifo"), 0600) != 0 || (fifo = open(path_of("fifo"), O_RDWR | O_CLOEXEC)) < 0)
        fatal("a FIFO");
    start();
    if (serves("sse_relay: listening at 127.0.0.1:0, port ")) {
        AWAIT(has(&now.ready, "ready"));
        a = dial(NULL, tool_port, GET_EVENTS);
        AWAIT(ended(client[a]) || has(&heard[a], "\r\n\r\n"));
        feed(fifo, "data: one\n\ndata: two\n\ndata: three\n\n");
        AWAIT(ended(client[a]) || has(&heard[a], words[2]) || event_lost());
        source_fd = fifo;
        next_client(ask_new);
    }
    close(fifo);
    stop_server();
}

/* ---- tmux_bridge ----------------------------------------------------------------------------------------
 */

#define TOKEN "0123456789abcdef"

static bool ask_screen(void) {
    /* A masked binary message: version 2, and no screen seen before. */
    static const char hello[6 + 18] = {'\x82', '\x92', 0, 0, 0, 0, 'h', 0, 0, 0, 13, 2};
    char request[400];
    unsigned i;
    snprintf(request, sizeof request,
             "GET /ws HTTP/1.1\r\nHost: 127.0.0.1:%u\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
             "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
             "Authorization: Bearer " TOKEN "\r\n\r\n",
             tool_port);
    i = dial(NULL, tool_port, request);
    AWAIT(ended(client[i]) || has(&heard[i], "\r\n\r\n"));
    if (has(&heard[i], "HTTP/1.1 101")) {
        (void)send(client[i], hello, sizeof hello, MSG_NOSIGNAL);
        AWAIT(ended(client[i]) || has(&heard[i], "howdy") ||
              (state->from && has(&now.err, "no memory; trying again")));
    }
    if (!ended(client[i])) hang_up(i);
    return has(&heard[i], "howdy");
}

static void bridge_exec(void) {
    FILE *token = fopen(path_of("token"), "w");
    if (!token || fputs(TOKEN "\n", token) < 0 || fclose(token) != 0) fatal("a token");
    tool("tmux_bridge", "--exec", "echo howdy; exec sleep 1000", "--listen", "127.0.0.1:0", "--token",
         path_of("token"), "--record", path_of("cast"), NULL);
    start();
    if (serves("watch: http://127.0.0.1:")) {
        next_client(ask_screen);
        if (!now.wrong) next_client(ask_screen);
    }
    stop_server();
}

static const char *judge_bridge(void) {
    static text cast;
    bool seen = false;
    unsigned i;
    get_file("cast", &cast);
    for (i = 0; i < clients; i++) seen = seen || has(&heard[i], "howdy");
    if (went_well() && seen && !has(&cast, "howdy") && !has(&now.err, "--record"))
        return "the record is lost in silence";
    return NULL;
}

static const scenario scenarios[] = {
    {"wrap.pipes", wrap_pipes, judge_wrap_tee, "stream_wrap: ", "125 126 127 137 141", "\n\n\n"},
    {"wrap.pty", wrap_pty, judge_wrap, "stream_wrap: ", "125 126 127 137 141", "\n\n\n"},
    {"wrap.file", wrap_file, judge_wrap_tee, "stream_wrap: ", "125 126 127 137 141", "\n\n\n"},
    {"wrap.events", wrap_events, judge_events, "stream_wrap: ", "125 126 127 137 141", "\n\n\n"},
    {"wrap.text", wrap_text, judge_text, "stream_wrap: ", "125 126 127 137 141", "\n\n\n"},
    {"wrap.listen", wrap_listen, judge_listen, "stream_wrap: ", "125 126 127 137 141", "\n\n\n"},
    {"wrap.stop", wrap_stop, judge_wrap, "stream_wrap: ", "125 126 127 141 143", "\n\n\n"},
    {"wrap.restart", wrap_restart, judge_wrap, "stream_wrap: ", "125 126 127 137 141", "\n\n\n"},
    {"relay.proxy", relay_proxy, judge_answers, "sse_relay: ", "2 3 4", "\n\n\n"},
    {"relay.fanout", relay_fanout, judge_fanout, "sse_relay: ", "2 3 4", "\n\n\n"},
    {"relay.exec", relay_exec, judge_exec, "sse_relay: ", "2 3 4", "\n\n\n"},
    {"bridge.exec", bridge_exec, judge_bridge, "tmux_bridge: ", "1 2", "the command has ended"},
};

enum { SCENARIOS = sizeof scenarios / sizeof *scenarios };

/* ---- all the points --------------------------------------------------------------------------------- */

static unsigned points, failures;
static uint64_t calls;

/* One run with that fault; without one: kind 0. */
static void run_once(const scenario *s, int role, int call, int fault_class, unsigned nth, int from,
                     int kind) {
    empty_dir();
    memset(state, 0, sizeof *state);
    state->role = role;
    state->call = call;
    state->fault_class = fault_class;
    state->nth = nth;
    state->from = from;
    state->kind = kind;
    clear(&now.out);
    clear(&now.err);
    clear(&now.ready);
    now.sources = 0;
    now.in = listener = -1;
    clients = upstreams = 0;
    resumed = false;
    now.over = now.hung = now.left = now.up = false;
    now.code = now.signal_number = 0;
    now.wrong = NULL;
    now.deadline_ns = clock_ns() + (uint64_t)BOUND_MS * 1000000;
    s->run();
}

static uint64_t total(const fault_state *f) {
    const unsigned *p = &f->count[0][0][0];
    uint64_t sum = 0;
    size_t i;
    for (i = 0; i < (size_t)ROLES * CALLS * CLASSES; i++) sum += p[i];
    return sum;
}

/* Whether a line on standard error is the tool's own. */
static bool says(const scenario *s) {
    char line[64];
    snprintf(line, sizeof line, "\n%s", s->says);
    return strncmp(now.err.ptr, s->says, strlen(s->says)) == 0 || has(&now.err, line);
}

static const char *judge(const scenario *s) {
    static char why[200];
    const char *at = s->codes, *wrong;
    bool known = went_well();
    if (now.hung) return "it does not end";
    if (now.signal_number) {
        snprintf(why, sizeof why, "a signal ended it: %s", strsignal(now.signal_number));
        return why;
    }
    for (; !known && *at; at += strcspn(at, " "), at += *at == ' ') known = atoi(at) == now.code;
    if (!known) {
        snprintf(why, sizeof why, "exit code %d", now.code);
        return why;
    }
    if (now.left) return "processes are left";
    if (state->bad_closes) return "a descriptor is closed twice";
    if (total(state) > 3 * total(&good) + 1000) return "it spins";
    if (!went_well() && now.code != 141 && !mute() && !says(s)) return "it ends without a word";
    if (went_well() && state->open_at_end > good.open_at_end) {
        snprintf(why, sizeof why, "%d descriptors open at the end, not %d", state->open_at_end,
                 good.open_at_end);
        return why;
    }
    if (went_well() && state->live_at_end > good.live_at_end) {
        snprintf(why, sizeof why, "%ld blocks of memory left, not %ld", state->live_at_end,
                 good.live_at_end);
        return why;
    }
    if (now.up && !went_well() && !has(&now.err, s->gone)) return "the server has ended";
    wrong = went_well() && !has(&now.err, s->gone) ? now.wrong : NULL;
    return wrong ? wrong : s->judge();
}

static void show(const text *t, const char *name) {
    size_t n = t->len < 700 ? t->len : 700;
    if (t->len)
        printf("    %s: %.*s%s", name, (int)n, t->ptr + t->len - n, t->ptr[t->len - 1] == '\n' ? "" : "\n");
}

static void point(const scenario *s, int role, int call, int fault_class, unsigned nth, int from,
                  int kind) {
    const char *wrong;
    run_once(s, role, call, fault_class, nth, from, kind);
    if (!state->fired) return; /* this run had fewer of them */
    points++;
    wrong = judge(s);
    if (!wrong) return;
    failures++;
    printf("  %s %d:%d:%d:%u:%d:%d  %s %u%s of %s, class %d: %s: %s (exit code %d)\n", s->name, role, call,
           fault_class, nth, from, kind, call_name[call], nth, from ? " and all after it" : "",
           role == 0   ? "the tool"
           : role == 1 ? "its child"
                       : "its child's child",
           fault_class, kind_name(kind), wrong, now.code);
    if (failures <= 20) show(&now.err, "stderr");
    fflush(stdout);
}

/* Of memory, in a sample: the first ones, where most differ, and then ever fewer. */
static unsigned following(unsigned n, unsigned last, bool all, bool memory) {
    if (all) return n + 1;
    if (memory) return n < 12 ? n + 1 : n + 1 + n / 4;
    return n < 3 ? n + 1 : n < last ? last : last + 1;
}

static void try_all(const scenario *s, bool all) {
    int role, call, fault_class;
    for (role = 0; role < ROLES; role++) {
        for (call = 0; call < CALLS; call++) {
            for (fault_class = 0; fault_class < CLASSES; fault_class++) {
                unsigned last = good.count[role][call][fault_class], nth;
                size_t way;
                for (nth = 1; nth <= last; nth = following(nth, last, all, call == CALL_memory)) {
                    for (way = 0; way < WAYS; way++)
                        if (ways[way].call == call && applies(way, fault_class))
                            point(s, role, call, fault_class, nth, 0, ways[way].kind);
                    if (call == CALL_memory) point(s, role, call, fault_class, nth, 1, ENOMEM);
                }
            }
        }
    }
}

static void scenario_run(const scenario *s, bool all, const char *only) {
    unsigned failed_before = failures;
    const char *wrong;
    points = 0;
    memset(&good, 0, sizeof good);
    run_once(s, 0, 0, 0, 0, 0, 0);
    good = *state;
    calls = total(&good);
    clear(&good_out);
    clear(&good_err);
    add(&good_out, now.out.ptr, now.out.len);
    add(&good_err, now.err.ptr, now.err.len);
    good.ended = now.code + 1; /* went_well() asks for it */
    wrong = judge(s);
    if (!state->ended && !wrong) wrong = "the library was not loaded";
    if (wrong) {
        printf("FAIL faults.%s: with nothing failing: %s\n", s->name, wrong);
        show(&now.out, "stdout");

        show(&now.err, "stderr");
        failures++;
        return;
    }
    if (only) {
        int role, call, fault_class, from, kind;
        unsigned nth, i;
        if (sscanf(only, "%d:%d:%d:%u:%d:%d", &role, &call, &fault_class, &nth, &from, &kind) != 6) return;
        point(s, role, call, fault_class, nth, from, kind);
        printf("    fired %u, exit code %d, %s\n", state->fired, now.code, now.over ? "over" : "killed");
        show(&now.out, "stdout");

        show(&now.err, "stderr");
        for (i = 0; i < clients; i++) show(&heard[i], "client");
        return;
    }
    try_all(s, all);
    if (failures > failed_before) {
        printf("FAIL faults.%s: %u of %u points\n", s->name, failures - failed_before, points);
    } else {
        printf("ok   faults.%s (%u points, %llu calls)\n", s->name, points, (unsigned long long)calls);
    }
    fflush(stdout);
}

int main(int argc, char **argv) {
    const char *mode = getenv("FAULTS"), *given = getenv("BUILD");
    static char base[64];
    struct sigaction act;
    int fd, i;
    size_t k;
    if (!realpath(given ? given : "build", build)) fatal("BUILD");
    snprintf(library, sizeof library, "%.4000s/tests/faults_inject.so", build);
    strcpy(base, "/tmp/faults.XXXXXX");
    if (!mkdtemp(base)) fatal("a folder in /tmp");
    snprintf(dir, sizeof dir, "%.32s/run", base);
    snprintf(state_file, sizeof state_file, "%.32s/state", base);
    fd = open(state_file, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (mkdir(dir, 0700) != 0 || fd < 0 || ftruncate(fd, sizeof *state) != 0) fatal(base);
    state = (fault_state *)mmap(NULL, sizeof *state, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (state == MAP_FAILED || pipe2(child_pipe, O_CLOEXEC | O_NONBLOCK) != 0) fatal("setting up");
    close(fd);
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    signal(SIGPIPE, SIG_IGN);
    setenv("TMUX_TMPDIR", base, 1);
    setenv("TERM", "xterm", 1);
    unsetenv("TMUX");
    memset(&act, 0, sizeof act);
    act.sa_handler = on_child;
    act.sa_flags = SA_RESTART;
    sigaction(SIGCHLD, &act, NULL);
    for (k = 0; k < SCENARIOS; k++) {
        for (i = 1; i < argc; i++) {
            bool is_it = strncmp(scenarios[k].name, argv[i], strlen(argv[i])) == 0;
            if (is_it)
                scenario_run(&scenarios[k], mode && strcmp(mode, "all") == 0,
                             i + 1 < argc && strchr(argv[i + 1], ':') ? argv[i + 1] : NULL);
        }
    }
    empty_dir();
    rmdir(dir);
    unlink(state_file);
    rmdir(base);
    return failures != 0;
}
