/* SPDX-License-Identifier: MIT-0 */
#if !defined(_WIN32)
#if defined(__linux__) && !defined(_GNU_SOURCE)
#define _GNU_SOURCE 1 /* pipe2, posix_openpt, mkostemp */
#endif
#include "child.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>
#if defined(__linux__)
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#endif

extern char **environ;

/* In child.os. */
enum { GUARDIAN = 0, CONTROL = 1 };

/* Both ends close-on-exec; atomically where the system can: another thread may start a child in between. */
static int pipe_cloexec(int ends[2]) {
#if defined(__linux__) || defined(__FreeBSD__) || defined(__NetBSD__) || defined(__OpenBSD__)
    return pipe2(ends, O_CLOEXEC);
#else
    if (pipe(ends) != 0) return -1;
    fcntl(ends[0], F_SETFD, FD_CLOEXEC);
    fcntl(ends[1], F_SETFD, FD_CLOEXEC);
    return 0;
#endif
}

static int socket_cloexec(int ends[2]) {
#if defined(SOCK_CLOEXEC)
    return socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends);
#else
    if (socketpair(AF_UNIX, SOCK_STREAM, 0, ends) != 0) return -1;
    fcntl(ends[0], F_SETFD, FD_CLOEXEC);
    fcntl(ends[1], F_SETFD, FD_CLOEXEC);
    return 0;
#endif
}

static int set_nonblocking(int fd) {
    int flags = fcntl(fd, F_GETFL);
    return flags < 0 ? -1 : fcntl(fd, F_SETFL, flags | O_NONBLOCK);
}

static void close_pair(int pair[2]) {
    if (pair[0] >= 0) close(pair[0]);
    if (pair[1] >= 0) close(pair[1]);
}

/* ---- the child's standard output -------------------------------------------------------------------- */

static int set_size(int fd, unsigned columns, unsigned rows) {
    struct winsize size;
    memset(&size, 0, sizeof size);
    size.ws_col = (unsigned short)(columns < 0xffff ? columns : 0xffff);
    size.ws_row = (unsigned short)(rows < 0xffff ? rows : 0xffff);
    return ioctl(fd, TIOCSWINSZ, &size);
}

/* [0] is ours, [1] the child's. */
static int open_terminal(int ends[2], const child_desc *desc) {
    struct termios mode;
    const char *name;
#if defined(__linux__)
    ends[0] = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
#else
    ends[0] = posix_openpt(O_RDWR | O_NOCTTY);
    if (ends[0] >= 0) fcntl(ends[0], F_SETFD, FD_CLOEXEC);
#endif
    if (ends[0] < 0 || grantpt(ends[0]) != 0 || unlockpt(ends[0]) != 0 || (name = ptsname(ends[0])) == NULL)
        return -1;
    ends[1] = open(name, O_RDWR | O_NOCTTY | O_CLOEXEC);
    if (ends[1] < 0 || tcgetattr(ends[1], &mode) != 0) return -1;
    mode.c_iflag &= (tcflag_t) ~(BRKINT | ICRNL | INLCR | IGNCR | INPCK | ISTRIP | IXON);
    mode.c_oflag &= (tcflag_t)~OPOST; /* bytes pass as they are: no CR before LF, no tab widened */
    mode.c_lflag &= (tcflag_t) ~(ECHO | ECHONL | ICANON | IEXTEN);
    if (tcsetattr(ends[1], TCSANOW, &mode) != 0) return -1;
    return set_size(ends[1], desc->columns, desc->rows);
}

/* Written at its end by the child, read from its beginning by us. */
static int open_file(int ends[2]) {
    const char *dir = getenv("TMPDIR");
    char path[1024];
    int n = snprintf(path, sizeof path, "%s/stream_wrap.XXXXXX", dir && *dir ? dir : "/tmp");
    if (n < 0 || (size_t)n >= sizeof path) {
        errno = ENAMETOOLONG;
        return -1;
    }
    ends[1] = mkostemp(path, O_CLOEXEC);
    if (ends[1] < 0) return -1;
    ends[0] = open(path, O_RDONLY | O_CLOEXEC);
    unlink(path);
    if (ends[0] < 0) return -1;
    return fcntl(ends[1], F_SETFL, O_APPEND);
}

static int open_output(int ends[2], const child_desc *desc) {
    switch (desc->output) {
    case CHILD_STDOUT_SOCKET: return socket_cloexec(ends);
    case CHILD_STDOUT_FILE: return open_file(ends);
    case CHILD_STDOUT_PTY: return open_terminal(ends, desc);
    default: return pipe_cloexec(ends);
    }
}

/* ---- in the child ----------------------------------------------------------------------------------- */

/* What becomes of the start, or of the child, on its way to us. */
typedef struct report {
    int kind, value;
} report;

enum { RAN = 1, NOT_RUN, NOT_THERE, EXITED, ALONE };

static bool send_report(int fd, int kind, int value) {
    report r;
    size_t done = 0;
    memset(&r, 0, sizeof r);
    r.kind = kind;
    r.value = value;
    while (done < sizeof r) {
        ssize_t n = write(fd, (const char *)&r + done, sizeof r - done);
        if (n < 0 && errno != EINTR) return false;
        if (n > 0) done += (size_t)n;
    }
    return true;
}

/* Whether two texts, NAME=VALUE or NAME, are of one name. */
static bool same_name(const char *a, const char *b) {
    const size_t len = strcspn(a, "=");
    return len == strcspn(b, "=") && memcmp(a, b, len) == 0;
}

/* Ours with what desc sets and removes; of one name the last counts. The caller's to free unless it is `environ`: with
   nothing to change no memory is needed, so that who has none can still start what cleans up. Made before there is a
   fork: there another thread may have held malloc's lock. */
static char **environment_of(const child_desc *desc) {
    size_t ours = 0, n = 0, i, j;
    char **all;
    if (desc->env_count == 0) return environ;
    while (environ[ours]) ours++;
    all = (char **)malloc((ours + desc->env_count + 1) * sizeof *all);
    if (!all) return NULL;
    for (i = 0; i < ours; i++) {
        for (j = 0; j < desc->env_count && !same_name(environ[i], desc->env[j]); j++) {
        }
        if (j == desc->env_count) all[n++] = environ[i];
    }
    for (i = 0; i < desc->env_count; i++) {
        for (j = i + 1; j < desc->env_count && !same_name(desc->env[i], desc->env[j]); j++) {
        }
        if (j == desc->env_count && strchr(desc->env[i], '=')) all[n++] = (char *)(uintptr_t)desc->env[i];
    }
    all[n] = NULL;
    return all;
}

/* Between fork and exec, in a process with one thread. Never returns. */
static void become(const child_desc *desc, char **environment, int in, int out, int err, int failed, pid_t parent) {
    struct sigaction standard;
    sigset_t none;
    int s;
    if (desc->output == CHILD_STDOUT_PTY) {
        setsid();
        ioctl(out, TIOCSCTTY, 0);
    } else if (!desc->foreground) {
        setpgid(0, 0);
    }
#if defined(__linux__)
    prctl(PR_SET_PDEATHSIG, desc->guarded ? SIGKILL : 0);
    if (desc->guarded && getppid() != parent) _exit(127);
#else
    (void)parent;
#endif
    memset(&standard, 0, sizeof standard);
    standard.sa_handler = SIG_DFL;
    for (s = 1; s < 32; s++) /* an ignored SIGPIPE would be inherited, and surprise the child */
        if (s != SIGKILL && s != SIGSTOP) sigaction(s, &standard, NULL);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    environ = environment;
    if (desc->cwd && chdir(desc->cwd) != 0) {
        send_report(failed, NOT_THERE, errno);
        _exit(127);
    }
    if ((in < 0 || dup2(in, 0) >= 0) && dup2(out, 1) >= 0 && dup2(err, 2) >= 0)
        execvp(desc->argv[0], desc->argv);
    send_report(failed, NOT_RUN, errno);
    _exit(127);
}

/* Starts the child; RAN with its pid, or why not. */
static report launch(const child_desc *desc, char **environment, int in, int out, int err) {
    int ends[2];
    report r;
    ssize_t n;
    pid_t parent = getpid();
    memset(&r, 0, sizeof r);
    r.kind = CHILD_FAILED;
    if (pipe_cloexec(ends) == 0) {
        pid_t pid = fork();
        if (pid == 0) become(desc, environment, in, out, err, ends[1], parent);
        if (pid < 0) r.value = errno;
        close(ends[1]);
        do n = pid < 0 ? -1 : read(ends[0], &r, sizeof r);
        while (n < 0 && errno == EINTR && pid >= 0);
        close(ends[0]);
        if (pid >= 0 && n == (ssize_t)sizeof r) { /* exec failed; its success closes the pipe instead */
            while (waitpid(pid, NULL, 0) < 0 && errno == EINTR) {
            }
        } else if (pid >= 0) {
            if (desc->output != CHILD_STDOUT_PTY && !desc->foreground) setpgid(pid, pid); /* in both: whoever comes first */
            r.kind = RAN;
            r.value = pid;
        }
    } else {
        r.value = errno;
    }
    return r;
}

/* ---- processes below one ---------------------------------------------------------------------------- */

typedef struct process {
    long pid, parent;
    uint64_t ticks; /* of CPU, its reaped children's too */
    bool below;
} process;

typedef struct processes {
    process *all;
    size_t count, room;
} processes;

#if defined(__linux__)
/* The guardian is a fork: another thread may have held malloc's lock just then, and nobody gives it back there. So its
   memory is the system's, and directories are read without opendir, which asks malloc. */
static bool add_process(processes *p, process one) {
    if (p->count == p->room) {
        const size_t had = p->room * sizeof one, room = p->room ? p->room * 2 : 1024;
        void *grown = had ? mremap(p->all, had, room * sizeof one, MREMAP_MAYMOVE)
                          : mmap(NULL, room * sizeof one, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (grown == MAP_FAILED) return false;
        p->all = (process *)grown;
        p->room = room;
    }
    p->all[p->count++] = one;
    return true;
}

/* The process that /proc names so; false when it names none, or it has gone. */
static bool read_process(const char *name, process *one) {
    unsigned long long mine = 0, system = 0, childs = 0, childs_system = 0;
    char path[64], text[512], *p;
    ssize_t n;
    int fd;
    memset(one, 0, sizeof *one);
    one->pid = strtol(name, &p, 10);
    if (one->pid <= 0 || *p) return false;
    snprintf(path, sizeof path, "/proc/%ld/stat", one->pid);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    n = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
    if (fd >= 0) close(fd);
    if (n <= 0) return false;
    text[n] = '\0';
    p = strrchr(text, ')'); /* the name before may contain anything */
    if (!p || sscanf(p + 1, " %*c %ld %*d %*d %*d %*d %*u %*u %*u %*u %*u %llu %llu %llu %llu", &one->parent, &mine,
                     &system, &childs, &childs_system) < 3)
        return false;
    one->ticks = mine + system + childs + childs_system;
    return true;
}
#endif

/* Everything below `root`, itself too; free_processes takes it back. None where that is not told. */
static processes processes_below(long root) {
    processes list;
    memset(&list, 0, sizeof list);
#if !defined(__linux__) /* where that would be another system call on each; the process group has to do */
    (void)root;
#else
    {
        enum { LENGTH = 16, NAME = 19 }; /* of getdents64's entries, in the ABI of all architectures */
        int dir = open("/proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        uint64_t entries[512];
        size_t i, j;
        bool more = true;
        long n;
        while (more && dir >= 0 && (n = syscall(SYS_getdents64, dir, entries, sizeof entries)) > 0) {
            const char *p = (const char *)entries;
            const char *const end = p + n;
            unsigned short len;
            for (; more && p < end; p += len) {
                process one;
                memcpy(&len, p + LENGTH, sizeof len);
                if (!read_process(p + NAME, &one)) continue;
                one.below = one.pid == root;
                more = add_process(&list, one);
            }
        }
        if (dir >= 0) close(dir);
        for (more = true; more;) {
            more = false;
            for (i = 0; i < list.count; i++) {
                for (j = 0; !list.all[i].below && j < list.count; j++) {
                    if (!list.all[j].below || list.all[i].parent != list.all[j].pid) continue;
                    list.all[i].below = more = true;
                }
            }
        }
        for (i = j = 0; i < list.count; i++)
            if (list.all[i].below) list.all[j++] = list.all[i];
        list.count = j;
    }
#endif
    return list;
}

static void free_processes(processes *p) {
#if defined(__linux__)
    if (p->room) munmap(p->all, p->room * sizeof *p->all);
#else
    (void)p;
#endif
}

/* ---- the guardian ----------------------------------------------------------------------------------- */

enum { LEAVE = 0 }; /* beside signal numbers */

static void on_child(int number) { (void)number; }

/* SIGCONT, so that a stopped one can do as it is told. */
static void signal_one(long pid, int number) {
    if (pid <= 0 || pid == getpid()) return;
    kill((pid_t)pid, number);
    if (number != SIGKILL && number != SIGSTOP) kill((pid_t)pid, SIGCONT);
}

/* Those right below us, found without memory; what is below them comes to us when they are gone. */
static void signal_children(int number) {
#if defined(__linux__)
    char path[64], text[4096], *p = text, *end;
    ssize_t n;
    int fd;
    snprintf(path, sizeof path, "/proc/self/task/%ld/children", (long)getpid());
    fd = open(path, O_RDONLY | O_CLOEXEC);
    n = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
    if (fd >= 0) close(fd);
    text[n > 0 ? n : 0] = '\0';
    for (;; p = end) {
        long pid = strtol(p, &end, 10);
        if (end == p || (*end != ' ' && *end)) break;
        if (*end) signal_one(pid, number); /* a number without its space may be cut off */
    }
#else
    (void)number;
#endif
}

/* To the group while it has a member we know of, and to whoever left it. */
static void signal_tree(pid_t group, int number) {
    processes list = processes_below(getpid());
    size_t i;
    for (i = 0; i < list.count; i++) signal_one(list.all[i].pid, number);
    if (list.count == 0) {
        if (kill(-group, number) != 0) kill(group, number);
        signal_children(number);
    }
    free_processes(&list);
}

/* Kills and collects until nothing is below us. */
static void kill_all(pid_t group) {
    do signal_tree(group, SIGKILL);
    while (waitpid(-1, NULL, 0) > 0 || errno == EINTR);
}

/* A process between us and the child. It adopts what the child leaves behind, tells us how the child ended,
   and when our end of `control` closes without LEAVE, whatever the reason, it kills all that is below. */
static void guard(const child_desc *desc, char **environment, int in, int out, int err, int control) {
    struct sigaction act;
    sigset_t blocked, before;
    pid_t us = getppid();
    bool alone = false;
    report r;
    int fd;
    memset(&act, 0, sizeof act);
    sigemptyset(&blocked);
    sigaddset(&blocked, SIGCHLD);
    sigprocmask(SIG_BLOCK, &blocked, &before);
    sigdelset(&before, SIGCHLD);
    act.sa_handler = on_child;
    sigaction(SIGCHLD, &act, NULL);
    act.sa_handler = SIG_IGN; /* a terminal sends these to everyone; the child is told by us */
    sigaction(SIGINT, &act, NULL);
    sigaction(SIGTERM, &act, NULL);
    sigaction(SIGHUP, &act, NULL);
    sigaction(SIGQUIT, &act, NULL);
    sigaction(SIGPIPE, &act, NULL);
    if (!desc->foreground) setpgid(0, 0);
#if defined(__linux__)
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    prctl(PR_SET_NAME, "stream_guard");
#endif
    r = launch(desc, environment, in, out, err);
    /* Our copies would keep pipes open, standard streams too. */
    for (fd = 0; fd < 1024; fd++)
        if (fd != control) close(fd);
    if (!send_report(control, r.kind, r.value) || r.kind != RAN) {
        if (r.kind == RAN) kill_all(r.value);
        _exit(0);
    }
    for (;;) {
        unsigned char order[16];
        fd_set ready;
        int status;
        pid_t pid;
        ssize_t n, i;
        bool told = true;
        while ((pid = waitpid(-1, &status, WNOHANG)) > 0 || (pid < 0 && errno == EINTR)) {
            if (pid != r.value) continue;
            told = told && send_report(control, EXITED, status);
            kill(us, SIGCHLD);
        }
        if (pid < 0 && errno == ECHILD && !alone) {
            alone = true;
            told = told && send_report(control, ALONE, 0);
            kill(us, SIGCHLD);
        }
        if (!told) { /* our own end says that it is over, if not how */
            kill_all(r.value);
            _exit(0);
        }
        FD_ZERO(&ready);
        FD_SET(control, &ready);
        if (pselect(control + 1, &ready, NULL, NULL, NULL, &before) <= 0) continue;
        n = read(control, order, sizeof order);
        for (i = 0; i < n; i++) {
            if (order[i] == LEAVE) _exit(0);
            signal_tree(r.value, order[i]);
        }
        if (n == 0 || (n < 0 && errno != EINTR && errno != EAGAIN)) {
            kill_all(r.value);
            _exit(0);
        }
    }
}

/* ---- in us ------------------------------------------------------------------------------------------ */

static void no_child(child *c) {
    memset(c, 0, sizeof *c);
    c->in = c->out = c->err = -1;
    c->os[CONTROL] = -1;
}

/* The next report; false when there is none, not all of it yet, or its end. */
static bool receive(int fd, report *r, int flags) {
    ssize_t n;
    do n = recv(fd, r, sizeof *r, flags | MSG_PEEK);
    while (n < 0 && errno == EINTR);
    if (n != (ssize_t)sizeof *r) return false;
    do n = recv(fd, r, sizeof *r, flags);
    while (n < 0 && errno == EINTR);
    return n == (ssize_t)sizeof *r;
}

static report start_guarded(child *c, const child_desc *desc, char **environment, int in, int out, int err) {
    int control[2] = {-1, -1};
    report r;
    pid_t pid;
    memset(&r, 0, sizeof r);
#if defined(__linux__)
    prctl(PR_SET_CHILD_SUBREAPER, 1); /* the guardian's heirs */
#endif
    if (socket_cloexec(control) != 0 || (pid = fork()) < 0) {
        r.value = errno;
        close_pair(control);
        return r;
    }
    if (pid == 0) {
        close(control[0]);
        guard(desc, environment, in, out, err, control[1]);
    }
    close(control[1]);
    if (!receive(control[0], &r, MSG_WAITALL)) {
        memset(&r, 0, sizeof r);
        r.value = ECHILD; /* the guardian was lost */
    }
    if (r.kind != RAN) {
        close(control[0]);
        while (waitpid(pid, NULL, 0) < 0 && errno == EINTR) {
        }
        return r;
    }
    c->os[GUARDIAN] = pid;
    c->os[CONTROL] = control[0];
    return r;
}

bool child_offers(child_stdout output) { return output >= CHILD_STDOUT_PIPE && output <= CHILD_STDOUT_PTY; }

child_result child_start(child *c, const child_desc *desc, int *os_error) {
    int in[2] = {-1, -1}, out[2] = {-1, -1}, err[2] = {-1, -1}, input;
    char **environment;
    child_result result = CHILD_FAILED;
    report r;
    no_child(c);
    if (open_output(out, desc) != 0 || pipe_cloexec(err) != 0) goto fail;
    if (desc->input == CHILD_STDIN_NULL && (in[0] = open("/dev/null", O_RDONLY | O_CLOEXEC)) < 0) goto fail;
    if (desc->input == CHILD_STDIN_PIPE && (pipe_cloexec(in) != 0 || set_nonblocking(in[1]) != 0)) goto fail;
    if (set_nonblocking(out[0]) != 0 || set_nonblocking(err[0]) != 0) goto fail;
    if (desc->pipe_len) {
        size_t granted; /* a refusal is no error */
        stream_kernel_buffer(out[0], desc->pipe_len, &granted);
        stream_kernel_buffer(err[0], 65536, &granted);
    }
    input = desc->input == CHILD_STDIN_FILE ? desc->file : in[0];
    if ((environment = environment_of(desc)) == NULL) goto fail;
    r = desc->guarded ? start_guarded(c, desc, environment, input, out[1], err[1])
                      : launch(desc, environment, input, out[1], err[1]);
    if (environment != environ) free(environment);
    if (r.kind != RAN) {
        errno = r.value;
        if (r.kind == NOT_RUN) result = r.value == ENOENT ? CHILD_NOT_FOUND : CHILD_CANNOT_RUN;
        if (r.kind == NOT_THERE) result = CHILD_NO_CWD;
        goto fail;
    }
    close(out[1]);
    close(err[1]);
    if (in[0] >= 0) close(in[0]);
    c->pid = r.value;
    c->in = in[1];
    c->out = out[0];
    c->err = err[0];
    return CHILD_STARTED;

fail:
    *os_error = errno;
    close_pair(in);
    close_pair(out);
    close_pair(err);
    no_child(c);
    return result;
}

void child_signal(const child *c, int signal_number) {
    unsigned char order = (unsigned char)signal_number;
    if (c->pid <= 0) return;
    if (c->os[CONTROL] < 0 && kill(-(pid_t)c->pid, signal_number) != 0 && !c->exited)
        kill((pid_t)c->pid, signal_number);
    if (c->os[CONTROL] >= 0) {
        ssize_t n;
        do n = send((int)c->os[CONTROL], &order, 1, MSG_DONTWAIT);
        while (n < 0 && errno == EINTR);
    }
}

static void take_status(child *c, int status) {
    c->exited = true;
    c->code = WIFEXITED(status) ? WEXITSTATUS(status) : WIFSIGNALED(status) ? 128 + WTERMSIG(status) : 125;
}

static bool has_ended(pid_t pid, int *status) {
    pid_t n;
    do n = waitpid(pid, status, WNOHANG);
    while (n < 0 && errno == EINTR);
    return n == pid;
}

static void take_reports(child *c) {
    report r;
    while (receive((int)c->os[CONTROL], &r, MSG_DONTWAIT)) {
        if (r.kind == EXITED) take_status(c, r.value);
        if (r.kind == ALONE) c->tree_gone = true;
    }
}

bool child_reap(child *c) {
    int status;
    if (c->pid <= 0) return c->exited;
    if (c->os[CONTROL] >= 0) {
        take_reports(c);
        if (!c->tree_gone && c->os[GUARDIAN] > 0 && has_ended((pid_t)c->os[GUARDIAN], &status)) {
            /* Somebody killed the guardian, and the child went with it; what else there was is ours now. */
            take_reports(c); /* its last words may have come only now */
            c->unknown = !c->exited;
            if (!c->exited) take_status(c, SIGKILL);
            (void)kill(-(pid_t)c->pid, SIGKILL);
            kill_all((pid_t)c->pid);
            c->os[GUARDIAN] = 0;
            c->tree_gone = true;
        }
        return c->exited;
    }
    if (!c->exited && has_ended((pid_t)c->pid, &status)) {
        take_status(c, status);
        c->tree_gone = true;
    }
    return c->exited;
}

void child_resize(const child *c, unsigned columns, unsigned rows) {
    if (c->out >= 0 && isatty(c->out)) set_size(c->out, columns, rows);
}

bool child_cpu_ns(const child *c, uint64_t *ns) {
    processes list;
    uint64_t ticks = 0;
    long second = sysconf(_SC_CLK_TCK);
    size_t i;
    bool known;
    if (c->pid <= 0) return false;
    list = processes_below((long)c->pid);
    known = list.count > 0 && second > 0;
    for (i = 0; i < list.count; i++) ticks += list.all[i].ticks;
    free_processes(&list);
    if (known) *ns = ticks * (UINT64_C(1000000000) / (uint64_t)second);
    return known;
}

void child_free(child *c, bool leave) {
    unsigned char order = LEAVE;
    if (c->os[CONTROL] >= 0) {
        if (leave) (void)!send((int)c->os[CONTROL], &order, 1, MSG_DONTWAIT);
        close((int)c->os[CONTROL]);
        while (c->os[GUARDIAN] > 0 && waitpid((pid_t)c->os[GUARDIAN], NULL, 0) < 0 && errno == EINTR) {
        }
    }
    no_child(c);
}

#endif
