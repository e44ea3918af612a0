/* SPDX-License-Identifier: MIT-0
   What becomes of the tools when the system refuses them something: each call they make, and each request
   of memory, fails once, in every way that it can.

   A scenario is a tool with its clients, on loopback and in a folder of its own. It is run once with
   nothing wrong, which counts the calls by who makes them, what they are about, and what they are
   (faults.h); then again for each call, which tests/faults_inject.c makes fail. Each run is judged: the
   tool ends by itself, with a code that --help knows, leaves no process behind, closes nothing twice, keeps
   nothing open that it did not keep before, and never loses a byte without saying so; a server goes on, and
   serves the next client.

   The scenarios stand in faults_wrap.h, faults_relay.h and faults_bridge.h.

   faults SCENARIO...: of each kind of call the first, the second, the third and the last fail, of memory a
   sample; "wrap" is all of stream_wrap's. FAULTS=all: every one of the first hundred of a kind. One point again:
   faults SCENARIO POINT, as a failure prints it. faults list: their names. BUILD is where the tools are.

   No verdict hangs on how fast the machine is: what did not come in time is tried again with more of it, and
   is a failure when it is late three times (FAULTS_PATIENCE=1: at once). */
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

/* A run that takes longer hangs; and for what the tool started to be gone after it. On a machine that has
   other things to do everything is late once: see `patience`. */
#define BOUND_MS 10000
#define LATE_MS  3000
#define TEXT_MAX ((size_t)1 << 20)
#define SOURCES  32

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
    {CALL_mkostemp, ANY, 0, ENOSPC},
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

/* What is only late is tried again, with this many times the time: for the bounds above, and for the tools'
   own clocks that a scenario sets. */
static unsigned patience = 1, most_patience = 9;

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

static uint64_t after_ms(unsigned ms) { return clock_ns() + (uint64_t)ms * patience * 1000000; }

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
    /* That the fault has struck is something to be waited for as well, and comes without a sign. */
    (void)poll(list, n, state->kind ? 20 : (int)((now.deadline_ns - at) / 1000000) + 1);
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
        now.deadline_ns = after_ms(LATE_MS);
        while (!now.over && waitpid(now.pid, NULL, 0) < 0 && errno == EINTR) {
        }
    }
    now.deadline_ns = after_ms(LATE_MS);
    for (;;) {
        int status;
        struct pollfd one = {child_pipe[0], POLLIN, 0};
        pid_t pid = waitpid(-1, &status, WNOHANG);
        bool none = pid < 0 && errno == ECHILD;
        uint64_t at = clock_ns();
        take();
        if (pid > 0) continue;
        if (none) break;
        if (at >= now.deadline_ns) {
            now.left = true;
            kill_left();
            now.deadline_ns = after_ms(LATE_MS);
        }
        (void)poll(&one, 1, (int)((now.deadline_ns - at) / 1000000) + 1);
    }
    take();
    for (i = 0; i < now.sources; i++) close(now.source[i].fd);
}

/* ---- clients, and an upstream ----------------------------------------------------------------------- */

#define PEERS 12

static text heard[PEERS], asked[PEERS]; /* by the clients; of the upstream, on each of its connections */
static int client[PEERS], upstream[PEERS];
static unsigned answered[PEERS]; /* requests; and how far the last answer is: */
static unsigned clients, upstreams, tool_port;
static int source_fd;     /* a fan-out's events are written there */
static bool resumed;      /* somebody has come back for more */
static bool half_way[PEERS];

/* What the upstream says: a head, then something at once, and the rest when a client has `seen`. */
typedef struct upstream_plan {
    bool takes_posts; /* instead: it is a relay that is published to */
    bool keeps_open;  /* only its first answer comes to an end */
    bool for_nobody;  /* the client that has seen it may have left */
    const char *head, *first, *seen, *rest;
    const char *request_end; /* a request is not whole before this has come */
} upstream_plan;
static upstream_plan plan;

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

/* In one chunk, if there is anything. */
static void say_chunk(int fd, const char *words) {
    char head[32];
    if (!*words) return;
    snprintf(head, sizeof head, "%zx\r\n", strlen(words));
    say(fd, head);
    say(fd, words);
    say(fd, "\r\n");
}

/* The upstream: a first event at once, and the others when a client has it. */
static void serve(void) {
    unsigned i, k;
    int fd = listener < 0 ? -1 : accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    if (fd >= 0 && upstreams == PEERS) fatal("too many connections to the upstream");
    if (fd >= 0) {
        clear(&asked[upstreams]);
        answered[upstreams] = 0;
        half_way[upstreams] = false;
        upstream[upstreams] = fd;
        watch(fd, &asked[upstreams++]);
    }
    for (i = 0; i < upstreams; i++) {
        unsigned requests = count_of(&asked[i], plan.request_end ? plan.request_end : "\r\n\r\n");
        for (; plan.takes_posts && requests > answered[i]; answered[i]++)
            say(upstream[i], "HTTP/1.1 204 No Content\r\n\r\n");
        if (!half_way[i] && requests > answered[i]) {
            say(upstream[i], plan.head ? plan.head : HEAD_OK);
            say_chunk(upstream[i], plan.first ? plan.first : "data: one\n\n");
            answered[i]++;
            half_way[i] = true;
        }
        for (k = 0; half_way[i] && k < clients; k++) {
            if ((ended(client[k]) && !plan.for_nobody) ||
                !has(&heard[k], plan.seen ? plan.seen : "data: one\n"))
                continue;
            say_chunk(upstream[i], plan.rest ? plan.rest : "data: two\n\ndata: three\n\n");
            if (!(plan.keeps_open && i > 0)) say(upstream[i], "0\r\n\r\n");
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

static void empty(const char *folder) {
    DIR *list = opendir(folder);
    struct dirent *entry;
    while (list && (entry = readdir(list)) != NULL)
        if (entry->d_name[0] != '.') unlinkat(dirfd(list), entry->d_name, 0);
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
    const char *gone;           /* said by a server when what it serves has ended */
    bool slow;                  /* many of its runs wait for a time to pass: a smaller sample */
} scenario;

/* Whether the fault was on standard error itself: then nothing can be said there. */
static bool mute(void) {
    return state->kind && (state->fault_class & CLASS_STDERR) && state->call != CALL_fcntl;
}

static bool went_well(void) { return now.code == good.ended - 1; }

/* Until a server has said where it listens. */
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

#include "faults_wrap.h"
#include "faults_relay.h"
#include "faults_bridge.h"

static const scenario scenarios[] = {
    {"wrap.pipes", wrap_pipes, judge_wrap_tee, "stream_wrap: ", "125 126 127 137 141", NULL, false},
    {"wrap.pty", wrap_pty, judge_wrap, "stream_wrap: ", "125 126 127 137 141", NULL, false},
    {"wrap.file", wrap_file, judge_wrap_tee, "stream_wrap: ", "125 126 127 137 141", NULL, false},
    {"wrap.events", wrap_events, judge_events, "stream_wrap: ", "125 126 127 137 141", NULL, false},
    {"wrap.text", wrap_text, judge_text, "stream_wrap: ", "125 126 127 137 141", NULL, false},
    {"wrap.listen", wrap_listen, judge_listen, "stream_wrap: ", "125 126 127 137 141", NULL, false},
    {"wrap.publish", wrap_publish, judge_publish, "stream_wrap: ", "125 126 127 137 141", NULL, true},
    {"wrap.stop", wrap_stop, judge_wrap, "stream_wrap: ", "125 126 127 141 143", NULL, true},
    {"wrap.restart", wrap_restart, judge_wrap, "stream_wrap: ", "125 126 127 137 141", NULL, false},
    {"wrap.map", wrap_map, judge_map, "stream_wrap: ", "125 126 127 137 141", NULL, true},
    {"wrap.input", wrap_input, judge_wrap_tee, "stream_wrap: ", "65 125 141", NULL, true},
    {"wrap.timeout", wrap_timeout, judge_wrap, "stream_wrap: ", "125 126 127 137 141", NULL, true},
    {"relay.proxy", relay_proxy, judge_answers, "sse_relay: ", "2 3 4", NULL, false},
    {"relay.fanout", relay_fanout, judge_fanout, "sse_relay: ", "2 3 4", NULL, false},
    {"relay.exec", relay_exec, judge_exec, "sse_relay: ", "2 3 4", NULL, false},
    {"relay.rules", relay_rules, judge_rules, "sse_relay: ", "2 3 4", NULL, false},
    {"relay.publish", relay_publish, judge_published, "sse_relay: ", "2 3 4", NULL, false},
    {"relay.admin", relay_admin, judge_admin, "sse_relay: ", "2 3 4", NULL, false},
    {"relay.reload", relay_reload, judge_reload, "sse_relay: ", "2 3 4", NULL, false},
    {"relay.upstream", relay_upstream, judge_upstream, "sse_relay: ", "2 3 4", NULL, false},
    {"relay.upload", relay_upload, judge_upload, "sse_relay: ", "2 3 4", NULL, false},
    {"bridge.exec", bridge_exec, judge_bridge, "tmux_bridge: ", "1 2", "the command has ended", false},
    {"bridge.input", bridge_input, judge_input, "tmux_bridge: ", "1 2", NULL, true},
    {"bridge.pages", bridge_pages, judge_pages, "tmux_bridge: ", "1 2", NULL, true},
};

enum { SCENARIOS = sizeof scenarios / sizeof *scenarios };

/* ---- all the points --------------------------------------------------------------------------------- */

static unsigned points, failures, repeated;
static uint64_t calls;

/* For the totals. */
enum { MEMORY, BYTES, DESCRIPTORS, WAITING, PROCESSES, FAMILIES };
static unsigned families[FAMILIES];

static int family_of(int call) {
    return call == CALL_memory            ? MEMORY
           : call < CALL_open             ? BYTES
           : call < CALL_epoll_create1    ? DESCRIPTORS
           : call < CALL_fork             ? WAITING
                                          : PROCESSES;
}

/* One run with that fault; without one: kind 0. */
static void run_once(const scenario *s, int role, int call, int fault_class, unsigned nth, int from,
                     int kind) {
    empty(dir);
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
    memset(&plan, 0, sizeof plan);
    now.over = now.hung = now.left = now.up = false;
    now.code = now.signal_number = 0;
    now.wrong = NULL;
    now.deadline_ns = after_ms(BOUND_MS);
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
    bool known = went_well(), gone;
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
    /* Who ends what it has started looks at each process there is. */
    if (total(state) > 3 * total(&good) + 20000) return "it spins";
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
    gone = s->gone && has(&now.err, s->gone);
    if (now.up && !went_well() && !gone) return "the server has ended";
    wrong = went_well() && !gone ? now.wrong : NULL;
    return wrong ? wrong : s->judge();
}

/* Whether that may be because other programs had the machine. */
static bool late(void) { return now.hung || now.left || now.wrong; }

static void show(const text *t, const char *name) {
    size_t n = t->len < 700 ? t->len : 700;
    if (t->len)
        printf("    %s: %.*s%s", name, (int)n, t->ptr + t->len - n, t->ptr[t->len - 1] == '\n' ? "" : "\n");
}

static void point(const scenario *s, int role, int call, int fault_class, unsigned nth, int from,
                  int kind) {
    const char *wrong;
    for (patience = 1;; patience *= 3) {
        run_once(s, role, call, fault_class, nth, from, kind);
        wrong = state->fired ? judge(s) : NULL;
        if (!wrong || !late() || patience >= most_patience) break;
        repeated++;
    }
    patience = 1;
    if (!state->fired) return; /* this run had fewer of them */
    points++;
    families[family_of(call)]++;
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

/* The one to fail after the nth. All: behind the hundredth of a kind, which are those of a loop over all processes
   or all entries of something, ever fewer. Of memory, in a sample: the first ones, where most differ, and then ever
   fewer. */
static unsigned following(unsigned n, unsigned last, bool all, bool memory, bool slow) {
    if (all) return n < 100 ? n + 1 : n + 1 + n / 8;
    if (memory) return n < 12 ? n + 1 : n + 1 + n / 4;
    return n < (slow ? 1 : 3) ? n + 1 : n < last ? last : last + 1;
}

static void try_all(const scenario *s, bool all) {
    int role, call, fault_class;
    for (role = 0; role < ROLES; role++) {
        for (call = 0; call < CALLS; call++) {
            for (fault_class = 0; fault_class < CLASSES; fault_class++) {
                unsigned last = good.count[role][call][fault_class], nth;
                size_t way;
                for (nth = 1; nth <= last; nth = following(nth, last, all, call == CALL_memory, s->slow)) {
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
    points = repeated = 0;
    memset(families, 0, sizeof families);
    for (patience = 1;; patience *= 3) {
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
        if (!wrong || !late() || patience >= most_patience) break;
    }
    patience = 1;
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
        printf("    fired %u, %llu calls, exit code %d, %s\n", state->fired, (unsigned long long)total(state),
               now.code, now.over ? "over" : "killed");
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
    if (all)
        printf("  %s: memory %u, bytes %u, descriptors %u, waiting %u, processes %u; failures %u; again %u\n",
               s->name, families[MEMORY], families[BYTES], families[DESCRIPTORS], families[WAITING],
               families[PROCESSES], failures - failed_before, repeated);
    fflush(stdout);
}

int main(int argc, char **argv) {
    const char *mode = getenv("FAULTS"), *given = getenv("BUILD");
    static char base[64], tmux_dir[96];
    struct sigaction act;
    int fd, i;
    size_t k;
    if (getenv("FAULTS_PATIENCE")) most_patience = (unsigned)atoi(getenv("FAULTS_PATIENCE"));
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
    snprintf(tmux_dir, sizeof tmux_dir, "%.32s/tmux-%ld", base, (long)getuid());
    setenv("TMUX_TMPDIR", base, 1);
    setenv("TERM", "xterm", 1);
    unsetenv("TMUX");
    memset(&act, 0, sizeof act);
    act.sa_handler = on_child;
    act.sa_flags = SA_RESTART;
    sigaction(SIGCHLD, &act, NULL);
    for (k = 0; k < SCENARIOS; k++) {
        for (i = 1; i < argc; i++) {
            size_t n = strlen(argv[i]);
            bool is_it = strncmp(scenarios[k].name, argv[i], n) == 0 && strchr(".", scenarios[k].name[n]);
            if (strcmp(argv[i], "list") == 0)
                puts(scenarios[k].name);
            else if (is_it)
                scenario_run(&scenarios[k], mode && strcmp(mode, "all") == 0,
                             i + 1 < argc && strchr(argv[i + 1], ':') ? argv[i + 1] : NULL);
        }
    }
    empty(dir);
    rmdir(dir);
    empty(tmux_dir); /* its sockets */
    rmdir(tmux_dir);
    unlink(state_file);
    rmdir(base);
    return failures != 0;
}
