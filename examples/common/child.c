/* SPDX-License-Identifier: MIT-0 */
#if !defined(_WIN32)
#if defined(__linux__) && !defined(_GNU_SOURCE)
#define _GNU_SOURCE 1 /* pipe2 */
#endif
#include "child.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

/* Both ends close-on-exec; atomically where the system can. */
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

static int set_nonblocking(int fd) {
    int flags = fcntl(fd, F_GETFL);
    return flags < 0 ? -1 : fcntl(fd, F_SETFL, flags | O_NONBLOCK);
}

static void close_pair(int pair[2]) {
    if (pair[0] >= 0) close(pair[0]);
    if (pair[1] >= 0) close(pair[1]);
}

/* In the child, between fork and exec: async-signal-safe calls only. Never returns. */
static void become(char *const argv[], int in, int out, int err, int report) {
    struct sigaction standard;
    sigset_t none;
    int s, error;
    setpgid(0, 0);
    memset(&standard, 0, sizeof standard);
    standard.sa_handler = SIG_DFL;
    for (s = 1; s < 32; s++) /* an ignored SIGPIPE would be inherited, and surprise the child */
        if (s != SIGKILL && s != SIGSTOP) sigaction(s, &standard, NULL);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    if ((in < 0 || dup2(in, 0) >= 0) && dup2(out, 1) >= 0 && dup2(err, 2) >= 0) execvp(argv[0], argv);
    error = errno;
    while (write(report, &error, sizeof error) < 0 && errno == EINTR) {
    }
    _exit(127);
}

static void no_child(child *c) {
    memset(c, 0, sizeof *c);
    c->in = c->out = c->err = -1;
}

child_result child_start(child *c, const child_desc *desc, int *os_error) {
    int in[2] = {-1, -1}, out[2] = {-1, -1}, err[2] = {-1, -1}, report[2] = {-1, -1}, error = 0;
    child_result result = CHILD_FAILED;
    pid_t pid;
    ssize_t n;
    no_child(c);
    if (pipe_cloexec(out) != 0 || pipe_cloexec(err) != 0 || pipe_cloexec(report) != 0) goto fail;
    if (desc->input == CHILD_STDIN_NULL && (in[0] = open("/dev/null", O_RDONLY | O_CLOEXEC)) < 0) goto fail;
    if (desc->input == CHILD_STDIN_PIPE && (pipe_cloexec(in) != 0 || set_nonblocking(in[1]) != 0)) goto fail;
    if (set_nonblocking(out[0]) != 0 || set_nonblocking(err[0]) != 0) goto fail;

    pid = fork();
    if (pid < 0) goto fail;
    if (pid == 0)
        become(desc->argv, desc->input == CHILD_STDIN_FILE ? desc->file : in[0], out[1], err[1], report[1]);
    setpgid(pid, pid); /* in both: whoever comes first */
    close(report[1]);
    report[1] = -1;
    do n = read(report[0], &error, sizeof error);
    while (n < 0 && errno == EINTR);
    if (n == (ssize_t)sizeof error) { /* exec failed; its success closes the pipe instead */
        while (waitpid(pid, NULL, 0) < 0 && errno == EINTR) {
        }
        errno = error;
        result = error == ENOENT ? CHILD_NOT_FOUND : CHILD_CANNOT_RUN;
        goto fail;
    }
    close(report[0]);
    close(out[1]);
    close(err[1]);
    if (in[0] >= 0) close(in[0]);
    if (desc->pipe_len) {
        size_t granted; /* a refusal is no error */
        stream_kernel_buffer(out[0], desc->pipe_len, &granted);
        stream_kernel_buffer(err[0], 65536, &granted);
    }
    c->pid = pid;
    c->in = in[1];
    c->out = out[0];
    c->err = err[0];
    return CHILD_STARTED;

fail:
    *os_error = errno;
    close_pair(in);
    close_pair(out);
    close_pair(err);
    close_pair(report);
    return result;
}

void child_signal(const child *c, int signal_number) {
    if (c->pid > 0) kill(-(pid_t)c->pid, signal_number);
}

bool child_reap(child *c) {
    int status;
    if (c->pid <= 0 || c->exited || waitpid((pid_t)c->pid, &status, WNOHANG) != (pid_t)c->pid) return c->exited;
    c->exited = true;
    c->code = WIFEXITED(status) ? WEXITSTATUS(status) : WIFSIGNALED(status) ? 128 + WTERMSIG(status) : 125;
    return true;
}

void child_free(child *c) { no_child(c); }

#endif
